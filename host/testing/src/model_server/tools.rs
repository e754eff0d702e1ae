//! Acts, as calls of the tools that an agent declares.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{conversation::Conversation, script::Act};

/// How long a worker may take until its coordinator asks again, in milliseconds.
const WORKER_WAIT_MS: u64 = 30_000;

/// The tools of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Tools {
    names: BTreeSet<String>,
    /// By tool, where it is one of a group (Responses).
    namespaces: BTreeMap<String, String>,
}

/// A tool call of the model. Its id says its place, so that its result can be found again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ToolUse {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) input: Value,
}

impl Tools {
    /// As each of the three interfaces declares them.
    pub(super) fn declared(body: &Value) -> Self {
        let mut tools = Self::default();
        for tool in body["tools"].as_array().into_iter().flatten() {
            let name = tool["name"].as_str().or_else(|| tool["function"]["name"].as_str());
            if let (Some("namespace"), Some(namespace)) = (tool["type"].as_str(), name) {
                for inner in tool["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()) {
                    tools.namespaces.insert(inner.to_owned(), namespace.to_owned());
                    tools.names.insert(inner.to_owned());
                }
            } else if let Some(name) = name.or_else(|| tool["type"].as_str()) {
                tools.names.insert(name.to_owned());
            }
        }
        tools
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.iter().cloned().collect()
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

/// Turns acts into calls, in the order of the script.
pub(super) struct Caller<'a> {
    conversation: &'a Conversation,
    /// Calls so far.
    count: usize,
    /// Workers by name, with the call that started each.
    started: BTreeMap<String, String>,
    found_messenger: bool,
}

impl<'a> Caller<'a> {
    pub(super) fn new(conversation: &'a Conversation) -> Self {
        Self { conversation, count: 0, started: BTreeMap::new(), found_messenger: false }
    }

    /// The calls that do `act`, at least one, the same at every request of a conversation.
    pub(super) fn calls(&mut self, act: &Act) -> Result<Vec<ToolUse>, String> {
        let tools = &self.conversation.tools;
        let calls = match act {
            Act::Shell(command) => vec![self.shell(&alone(command))?],
            Act::Write { path, text } => match self.write(path, text) {
                Some(calls) => calls,
                None => vec![self.shell(&into_file(path, text, ">"))?],
            },
            Act::Append { path, text } => vec![self.shell(&into_file(path, text, ">>"))?],
            Act::Replace { path, from, to } => match self.edit(path, from, to) {
                Some(calls) => calls,
                None => vec![self.shell(&replace(path, from, to))?],
            },
            Act::Dispatch { worker, description, task } if tools.has("Agent") => {
                // Without a name it cannot be sent a message; in the foreground, so that its end is awaited.
                let input = json!({
                    "name": worker, "description": description, "prompt": task, "subagent_type": "general-purpose",
                    "run_in_background": false,
                });
                vec![self.call("Agent", input)]
            }
            Act::Dispatch { worker, task, .. } if tools.has("spawn_agent") => {
                let spawn = self.call("spawn_agent", json!({ "message": task }));
                self.started.insert(worker.clone(), spawn.id.clone());
                vec![spawn, self.wait(worker)]
            }
            Act::Dispatch { worker, task, .. } => {
                vec![self.shell(&format!("dispatch-worker {} {}", quote(worker), quote(task)))?]
            }
            Act::Message { worker, text } if tools.has("Agent") => {
                let mut calls = Vec::new();
                if !self.found_messenger && tools.has("ToolSearch") {
                    // The agent hands out this tool only when it is asked for.
                    self.found_messenger = true;
                    calls.push(self.call("ToolSearch", json!({ "query": "select:SendMessage", "max_results": 5 })));
                }
                let summary = text.split_whitespace().take(5).collect::<Vec<_>>().join(" ");
                let input = json!({ "to": worker, "summary": summary, "message": text });
                calls.push(self.call("SendMessage", input));
                calls
            }
            Act::Message { worker, text } if tools.has("send_input") => {
                let target = self.id_of(worker);
                vec![self.call("send_input", json!({ "target": target, "message": text })), self.wait(worker)]
            }
            Act::Message { worker, text } => {
                vec![self.shell(&format!("message-worker {} {}", quote(worker), quote(text)))?]
            }
        };
        Ok(calls)
    }

    fn call(&mut self, name: &str, input: Value) -> ToolUse {
        self.count += 1;
        let namespace = self.conversation.tools.namespaces.get(name).cloned();
        ToolUse { id: format!("call_{}", self.count), name: name.into(), namespace, input }
    }

    fn shell(&mut self, command: &str) -> Result<ToolUse, String> {
        let known: [(&str, Value); 5] = [
            ("Bash", json!({ "command": command, "description": "Do the next step" })),
            ("exec_command", json!({ "cmd": command, "yield_time_ms": 30_000 })),
            ("shell_command", json!({ "command": command })),
            ("shell", json!({ "command": ["bash", "-lc", command] })),
            ("bash", json!({ "command": command })),
        ];
        let tools = &self.conversation.tools;
        let found = known.into_iter().find(|(name, _)| tools.has(name));
        let (name, input) = found.ok_or_else(|| format!("none of the tools {:?} is a known shell", tools.names))?;
        Ok(self.call(name, input))
    }

    /// With the agent's own tools, where these write the text as it is.
    fn write(&mut self, path: &str, text: &str) -> Option<Vec<ToolUse>> {
        let tools = &self.conversation.tools;
        if tools.has("Write") && tools.has("Read") && plain(text) {
            // A file that is there is written only by who has read it; one that is not is an error without effect.
            return Some(vec![
                self.call("Read", json!({ "file_path": path })),
                self.call("Write", json!({ "file_path": path, "content": text })),
            ]);
        }
        if tools.has("write") {
            return Some(vec![self.call("write", json!({ "path": path, "content": text }))]);
        }
        if tools.has("exec_command") && plain(text) && text.ends_with('\n') && !path.contains(['\n', ' ']) {
            let lines: String = text.lines().map(|line| format!("+{line}\n")).collect();
            let patch = format!("*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\n");
            let command = format!("apply_patch <<'END_OF_PATCH'\n{patch}END_OF_PATCH");
            return self.shell(&command).ok().map(|call| vec![call]);
        }
        None
    }

    fn edit(&mut self, path: &str, from: &str, to: &str) -> Option<Vec<ToolUse>> {
        let tools = &self.conversation.tools;
        let exact = plain(from) && plain(to) && from != to && !from.is_empty();
        if tools.has("Edit") && tools.has("Read") && exact {
            let input = json!({ "file_path": path, "old_string": from, "new_string": to });
            return Some(vec![self.call("Read", json!({ "file_path": path })), self.call("Edit", input)]);
        }
        if tools.has("edit") && exact {
            let input = json!({ "path": path, "edits": [{ "oldText": from, "newText": to }] });
            return Some(vec![self.call("edit", input)]);
        }
        None
    }

    fn wait(&mut self, worker: &str) -> ToolUse {
        let target = self.id_of(worker);
        self.call("wait_agent", json!({ "targets": [target], "timeout_ms": WORKER_WAIT_MS }))
    }

    /// The id that the agent gave a worker; empty until it is known.
    fn id_of(&self, worker: &str) -> String {
        let result = self.started.get(worker).and_then(|call| self.conversation.result_of(call));
        let told: Value = result.and_then(|output| serde_json::from_str(output).ok()).unwrap_or_default();
        told["agent_id"].as_str().unwrap_or_default().to_owned()
    }
}

/// Whether every agent's file tools keep a text as it is: some repair line ends, white space or quotation marks.
fn plain(text: &str) -> bool {
    text.is_ascii() && !text.contains('\r') && text.lines().all(|line| line.trim_end() == line)
}

/// A command starts in the root, wherever the one before it went: some agents keep the folder of their shell.
fn alone(command: &str) -> String {
    let moves = command.split(|c: char| !c.is_alphanumeric()).any(|word| matches!(word, "cd" | "pushd"));
    if moves { format!("(\n{command}\n)") } else { command.to_owned() }
}

/// One word of a shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn into_file(path: &str, text: &str, how: &str) -> String {
    let folder = match path.rsplit_once('/') {
        Some((folder, _)) => format!("mkdir -p {} && ", quote(folder)),
        None => String::new(),
    };
    let (format, text) = if text.chars().any(is_hidden) {
        let escaped = text.chars().map(|c| match c {
            '\\' => r"\\".to_owned(),
            c if is_hidden(c) => format!(r"\0{:o}", u32::from(c)),
            c => c.to_string(),
        });
        ("%b", escaped.collect())
    } else {
        ("%s", text.to_owned())
    };
    format!("{folder}printf '{format}' {} {how} {}", quote(&text), quote(path))
}

/// Replaces the one place; anything but one is an error, and the file stays.
fn replace(path: &str, from: &str, to: &str) -> String {
    const PROGRAM: &str = r#"my ($path, $from, $to) = @ARGV; local $/; s/\\(..)/chr hex $1/ge for $from, $to;
open(my $in, "<", $path) or die "$path: $!\n"; my $text = <$in>; close $in;
my $count = () = $text =~ /\Q$from\E/g; die "stands there $count times\n" if $count != 1;
my $at = index($text, $from); substr($text, $at, length $from) = $to;
open(my $out, ">", $path) or die "$path: $!\n"; print $out $text; close $out;"#;
    let escaped = |text: &str| -> String {
        let escaped = text.chars().map(|c| match c {
            c if c == '\\' || is_hidden(c) => format!(r"\{:02x}", u32::from(c)),
            c => c.to_string(),
        });
        quote(&escaped.collect::<String>())
    };
    format!("perl -e '{PROGRAM}' {} {} {}", quote(path), escaped(from), escaped(to))
}

/// Agents refuse a command with characters that a person would not see.
fn is_hidden(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\n' | '\t')
}
