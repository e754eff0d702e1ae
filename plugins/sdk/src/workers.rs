//! What the agent gave to workers: dispatches and messages, in the words of any lane.

use serde_json::Value;

use crate::{EventKind, Record, shell};

/// How a worker was given something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignmentKind {
    /// The worker was started with it.
    Dispatch,
    /// The worker, started before, was told it.
    Message,
}

/// One thing that a worker was given to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// How it was given.
    pub kind: AssignmentKind,
    /// Who the worker is: its name, or the id of the tool call that started it when it has none. Equal means the same
    /// worker.
    pub worker: String,
    /// Short labels that the agent gave with it, the most telling first: the worker's name, a description.
    pub labels: Vec<String>,
    /// The whole text that the worker was given.
    pub text: String,
}

/// All assignments of a session, in order.
///
/// Known tools: `dispatch` and `message-worker` (scripted), `Task` or `Agent` and `SendMessage` (Claude Code),
/// `spawn_agent` and `send_input` (Codex; `spawnAgent` and `sendInput` of its ACP adapter), `subagent` (an extension of
/// Pi). For agents without such a tool: the commands `dispatch-worker NAME TASK` and `message-worker NAME TEXT` in any
/// shell tool, unless they failed.
#[must_use]
pub fn assignments(session: &Record) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    // Workers by what they may be called later: (worker, id of the call that started it).
    let mut started: Vec<(String, &str)> = Vec::new();
    for call in session.tool_calls() {
        let input: Value = serde_json::from_str(&call.input).unwrap_or(Value::Null);
        let field = |names: &[&str]| names.iter().find_map(|name| input.get(name)?.as_str()).map(str::to_owned);
        // The same tool is `spawn_agent` to Codex and `spawnAgent` to its adapter.
        match call.name.to_lowercase().replace(['_', '-'], "").as_str() {
            "dispatch" | "task" | "agent" | "spawnagent" | "subagent" => {
                let name = field(&["worker", "name"]);
                let worker = name.clone().unwrap_or_else(|| call.id.clone());
                started.push((worker.clone(), &call.id));
                assignments.push(Assignment {
                    kind: AssignmentKind::Dispatch,
                    worker,
                    labels: [name, field(&["description"]), field(&["subagent_type", "agent"])]
                        .into_iter()
                        .flatten()
                        .collect(),
                    text: field(&["task", "prompt", "message"]).unwrap_or_default(),
                });
            }
            "messageworker" | "sendmessage" | "sendinput" => {
                let receiver = || input.get("receiver_thread_ids")?.get(0)?.as_str().map(str::to_owned);
                let to = field(&["worker", "to", "recipient", "target"]).or_else(receiver).unwrap_or_default();
                assignments.push(Assignment {
                    kind: AssignmentKind::Message,
                    worker: known_worker(session, &started, &to),
                    labels: field(&["summary"]).into_iter().collect(),
                    text: field(&["text", "message", "content", "prompt"]).unwrap_or_default(),
                });
            }
            _ if failed(session, &call.id) => {}
            _ => assignments.extend(field(&["command", "cmd"]).iter().flat_map(|line| of_command(line))),
        }
    }
    assignments
}

/// The assignments that a shell command makes.
fn of_command(line: &str) -> Vec<Assignment> {
    let assignment = |command: Vec<String>| {
        let (kind, worker, text) = match &command[..] {
            [program, worker, text] => match shell::program(program) {
                "dispatch-worker" => (AssignmentKind::Dispatch, worker, text),
                "message-worker" => (AssignmentKind::Message, worker, text),
                _ => return None,
            },
            _ => return None,
        };
        let labels = if kind == AssignmentKind::Dispatch { vec![worker.clone()] } else { Vec::new() };
        Some(Assignment { kind, worker: worker.clone(), labels, text: text.clone() })
    };
    shell::commands(line).into_iter().filter_map(assignment).collect()
}

/// Whether a call is known to have failed: no worker was reached by it.
fn failed(session: &Record, call: &str) -> bool {
    session.events.iter().any(|event| match &event.kind {
        EventKind::ToolResult(result) => result.id == call && result.is_error,
        _ => false,
    })
}

/// The worker that goes by `to`: its name, or an id that the dispatch answered with.
fn known_worker(session: &Record, started: &[(String, &str)], to: &str) -> String {
    let named = started.iter().find(|(worker, _)| worker == to);
    let answered = || {
        started
            .iter()
            .rev()
            .find(|(_, call)| !to.is_empty() && session.tool_output(call).is_some_and(|output| output.contains(to)))
    };
    named.or_else(answered).map_or_else(|| to.to_owned(), |(worker, _)| worker.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conclusion, Event, EventKind, ToolCall, ToolResult, Usage};

    fn record(calls: &[(&str, &str, &str, &str)]) -> Record {
        let usage = Usage { input_tokens: None, cached_input_tokens: None, output_tokens: None, cost_micro_usd: None };
        let events = calls.iter().flat_map(|&(id, name, input, output)| {
            [
                EventKind::ToolCall(ToolCall { id: id.into(), name: name.into(), input: input.into() }),
                EventKind::ToolResult(ToolResult { id: id.into(), is_error: false, output: output.into() }),
            ]
        });
        Record {
            events: events.map(|kind| Event { at_ms: 0, kind }).collect(),
            conclusion: Conclusion {
                final_message: String::new(),
                stop_reason: String::new(),
                turns: 1,
                usage,
                duration_ms: 0,
            },
        }
    }

    #[test]
    fn a_scripted_worker_goes_by_its_name() {
        let record = record(&[
            ("1", "dispatch", r#"{"worker":"w","task":"build"}"#, ""),
            ("2", "shell", r#"{"command":"dispatch"}"#, ""),
            ("3", "message-worker", r#"{"worker":"w","text":"more"}"#, ""),
        ]);
        let all = assignments(&record);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].worker.as_str(), all[0].text.as_str()), ("w", "build"));
        assert_eq!((all[1].kind, all[1].worker.as_str()), (AssignmentKind::Message, "w"));
    }

    #[test]
    fn a_claude_worker_without_a_name_is_its_call_and_found_by_the_id_it_answered_with() {
        let record = record(&[
            ("t1", "Task", r#"{"description":"Validate","subagent_type":"x","prompt":"p"}"#, "agentId: a1b2"),
            ("t2", "Agent", r#"{"description":"Other","prompt":"p"}"#, "agentId: c3d4"),
            ("t3", "SendMessage", r#"{"to":"a1b2","message":"again"}"#, ""),
        ]);
        let workers: Vec<_> = assignments(&record).into_iter().map(|assignment| assignment.worker).collect();
        assert_eq!(workers, ["t1", "t2", "t1"]);
    }

    #[test]
    fn a_codex_worker_is_its_call_and_found_by_its_thread() {
        let record = record(&[
            ("i1", "spawn_agent", r#"{"message":"Stage: validation. Go."}"#, r#"{"agent_id":"01a-5ce"}"#),
            ("i2", "spawnAgent", r#"{"prompt":"other"}"#, r#"{"receiver_thread_ids":["02b-6df"]}"#),
            ("i3", "send_input", r#"{"target":"01a-5ce","message":"again"}"#, ""),
            ("i4", "send_input", r#"{"receiver_thread_ids":["02b-6df"],"prompt":"once more"}"#, ""),
        ]);
        let all = assignments(&record);
        let told: Vec<_> = all.iter().map(|it| (it.worker.as_str(), it.text.as_str())).collect();
        assert_eq!(told, [("i1", "Stage: validation. Go."), ("i2", "other"), ("i1", "again"), ("i2", "once more")]);
        assert_eq!(all[3].kind, AssignmentKind::Message);
    }

    #[test]
    fn a_worker_of_a_pi_extension_is_its_call() {
        let all = assignments(&record(&[("c1", "subagent", r#"{"agent":"reviewer","task":"Review."}"#, "")]));
        assert_eq!((all[0].worker.as_str(), all[0].text.as_str()), ("c1", "Review."));
        assert_eq!(all[0].labels, ["reviewer"]);
    }

    #[test]
    fn a_worker_of_a_command_goes_by_its_name_in_any_shell_tool() {
        for (tool, input) in [
            ("shell", r#"{"command":"dispatch-worker w1 'Do it.' && message-worker w1 \"It's more.\""}"#),
            ("bash", r#"{"command":"cd x; bin/dispatch-worker w1 'Do it.'\nmessage-worker w1 \"It's more.\""}"#),
            (
                "exec",
                r#"{"cmd":"/bin/bash -lc \"dispatch-worker w1 'Do it.'; message-worker w1 'It'\\\"'\\\"'s more.'\""}"#,
            ),
        ] {
            let all = assignments(&record(&[("1", tool, input, "")]));
            assert_eq!(all.len(), 2, "{input}");
            assert_eq!((all[0].kind, all[0].text.as_str()), (AssignmentKind::Dispatch, "Do it."));
            assert_eq!(all[0].labels, ["w1"]);
            assert_eq!((all[1].kind, all[1].worker.as_str()), (AssignmentKind::Message, "w1"));
            assert_eq!(all[1].text, "It's more.", "{input}");
        }
    }

    #[test]
    fn a_command_that_only_speaks_of_workers_or_failed_assigns_nothing() {
        let speaks = record(&[
            ("1", "shell", r#"{"command":"echo dispatch-worker w1 x"}"#, ""),
            ("2", "shell", r#"{"command":"which dispatch-worker"}"#, ""),
            ("3", "shell", r#"{"command":"dispatch-worker w1"}"#, ""),
        ]);
        assert_eq!(assignments(&speaks), []);
        let mut failed = record(&[("1", "shell", r#"{"command":"dispatch-worker w1 x"}"#, "")]);
        assert_eq!(assignments(&failed).len(), 1);
        if let Some(Event { kind: EventKind::ToolResult(result), .. }) = failed.events.last_mut() {
            result.is_error = true;
        }
        assert_eq!(assignments(&failed), []);
    }

    #[test]
    fn broken_input_is_no_panic() {
        let record = record(&[("1", "dispatch", "{", ""), ("2", "SendMessage", "[1]", ""), ("3", "Task", "7", "")]);
        assert_eq!(assignments(&record).len(), 3);
    }
}
