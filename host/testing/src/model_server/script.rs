//! Scripts, cut into what a model answers: texts and tool calls.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use host_model::{Script, ScriptedFault, Step, Usage};

/// Words of the prompts of this repository's scenarios, each in one of them only.
const PROMPTS: &[(&str, &str)] = &[
    ("in the stage `backlog`", "ensign-cycle"),
    ("`rate-limit-page`", "gate"),
    ("`dark-mode`", "merge-hook"),
    ("`release-4-2`", "rejection-flow"),
    ("`welcome-mail`", "three-cycle-escalation"),
];

/// Where scripts come from.
#[derive(Clone, Debug, Default)]
pub struct Scripts {
    folder: Option<PathBuf>,
    added: BTreeMap<(String, String), Script>,
    prompts: Vec<(String, String)>,
    no_sleeps: bool,
}

impl Scripts {
    /// Those of a suite: `SCENARIO/agents/AGENT.toml` below `folder`. The prompts of this repository's scenarios are
    /// known.
    pub fn of_suite(folder: impl Into<PathBuf>) -> Self {
        let prompts = PROMPTS.iter().map(|(words, scenario)| ((*words).into(), (*scenario).into())).collect();
        Self { folder: Some(folder.into()), prompts, ..Self::default() }
    }

    /// Adds one that is no file.
    #[must_use]
    pub fn with(mut self, scenario: &str, agent: &str, script: &str) -> Self {
        let script = toml::from_str(script).unwrap_or_else(|error| panic!("{scenario}/{agent}: {error}"));
        self.added.insert((scenario.into(), agent.into()), script);
        self
    }

    /// Words of the prompt that tell the scenario where the URL says `auto`.
    #[must_use]
    pub fn told_by(mut self, words: &str, scenario: &str) -> Self {
        self.prompts.push((words.into(), scenario.into()));
        self
    }

    /// Answers at once: steps `sleep` are passed over.
    #[must_use]
    pub fn without_sleeps(mut self) -> Self {
        self.no_sleeps = true;
        self
    }

    /// The scenario whose prompt, or whose worker's task in the script `agent`, opens a conversation.
    pub fn scenario_of(&self, opening: &[String], agent: &str) -> Result<&str, String> {
        let told = |words: &str| opening.iter().any(|text| text.contains(words));
        let gives_task = |scenario: &str| self.plan(scenario, agent).is_ok_and(|plan| plan.gives_task(opening));
        let by_words = self.prompts.iter().find(|(words, _)| told(words));
        let found = by_words.or_else(|| self.prompts.iter().find(|(_, scenario)| gives_task(scenario)));
        let known = || self.prompts.iter().map(|(words, _)| words.as_str()).collect::<Vec<_>>().join(", ");
        found
            .map(|(_, scenario)| scenario.as_str())
            .ok_or_else(|| format!("the prompt tells no scenario: it has none of the words {}", known()))
    }

    /// The script, cut.
    pub(super) fn plan(&self, scenario: &str, agent: &str) -> Result<Plan, String> {
        let script = match self.added.get(&(scenario.to_owned(), agent.to_owned())) {
            Some(script) => script.clone(),
            None => read(self.folder.as_deref(), scenario, agent)?,
        };
        Plan::of(&script, !self.no_sleeps).map_err(|problem| format!("{scenario}/{agent}: {problem}"))
    }
}

fn read(folder: Option<&Path>, scenario: &str, agent: &str) -> Result<Script, String> {
    let name = |name: &str| !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
    let Some(folder) = folder.filter(|_| name(scenario) && name(agent)) else {
        return Err(format!("there is no script {scenario}/{agent}"));
    };
    let file = folder.join(scenario).join("agents").join(format!("{agent}.toml"));
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// A script as a model plays it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The beats of each turn.
    pub(super) turns: Vec<Vec<Beat>>,
    /// What workers are told first: a conversation that begins with one of these is a worker's own.
    tasks: Vec<String>,
}

/// A text and an act that go together, and what comes before them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Beat {
    /// How long the model thinks.
    pub(super) delay: Duration,
    /// What is in the way, in order.
    pub(super) obstacles: Vec<Obstacle>,
    pub(super) text: Option<String>,
    /// `None` ends the turn.
    pub(super) act: Option<Act>,
    /// Used since the beat before.
    pub(super) usage: Usage,
}

/// What the provider does instead of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Obstacle {
    /// Fails once, and names a time after which to ask again.
    BackOff { reason: String, delay: Duration },
    /// Refuses the key, for ever.
    Unauthorized,
    /// Fails for ever.
    Overloaded,
    /// Says nothing, for ever.
    Silent,
}

/// What is done with a tool.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Shell(String),
    Write { path: String, text: String },
    Append { path: String, text: String },
    Replace { path: String, from: String, to: String },
    Dispatch { worker: String, description: String, task: String },
    Message { worker: String, text: String },
}

impl Plan {
    fn of(script: &Script, sleeps: bool) -> Result<Self, String> {
        let mut cutter = Cutter::default();
        for (index, step) in script.steps.iter().enumerate() {
            cutter.step(step, sleeps).map_err(|problem| format!("step {}: {problem}", index + 1))?;
        }
        cutter.end_turn();
        let (_, before) = cutter.turns.split_last().expect("a turn was just ended");
        if before.iter().any(|turn| turn.last().is_none_or(|beat| beat.text.is_none())) {
            // A conversation shows the end of a turn by the text that ended it.
            return Err("a turn before `await-message` has to end with a `say`".into());
        }
        Ok(Self { turns: cutter.turns, tasks: cutter.tasks })
    }

    /// Whether a conversation that opens so is a worker's own. White space around is cut off by some agents.
    pub(super) fn gives_task(&self, opening: &[String]) -> bool {
        let is_task = |text: &String| self.tasks.iter().any(|task| !task.is_empty() && task.trim() == text.trim());
        opening.iter().any(is_task)
    }
}

/// What a script does that no model can, however its agent is built: a reason, or `None`.
pub fn without_a_place(script: &Script) -> Option<String> {
    Plan::of(script, false).err()
}

#[derive(Default)]
struct Cutter {
    turns: Vec<Vec<Beat>>,
    beats: Vec<Beat>,
    beat: Beat,
    used: Usage,
    /// Workers that go by an id that their dispatch answered with.
    known_as: BTreeMap<String, String>,
    tasks: Vec<String>,
}

impl Cutter {
    fn step(&mut self, step: &Step, sleeps: bool) -> Result<(), String> {
        match step {
            Step::Say(text) => {
                if self.beat.text.is_some() {
                    // A model parts two messages by a tool call; this one has no effect.
                    self.act(Act::Shell("true".into()));
                }
                self.beat.text = Some(text.clone());
            }
            Step::Shell(command) => self.act(Act::Shell(command.clone())),
            Step::Write { path, text } => self.act(Act::Write { path: path.clone(), text: text.clone() }),
            Step::Append { path, text } => self.act(Act::Append { path: path.clone(), text: text.clone() }),
            Step::Replace { path, from, to } => {
                self.act(Act::Replace { path: path.clone(), from: from.clone(), to: to.clone() });
            }
            Step::Sleep(time) if sleeps => self.beat.delay += *time,
            Step::Sleep(_) => {}
            Step::Dispatch { worker, task } => self.dispatch(worker.clone(), worker.clone(), task.clone()),
            Step::MessageWorker { worker, text } => {
                self.act(Act::Message { worker: worker.clone(), text: text.clone() });
            }
            Step::Tool { name, input, output, is_error } => self.tool(name, input, output, *is_error)?,
            Step::Usage(usage) => self.usage(usage),
            Step::BackOff { reason, delay } => {
                self.beat.obstacles.push(Obstacle::BackOff { reason: reason.clone(), delay: *delay });
            }
            Step::AwaitMessage => self.end_turn(),
            Step::Fault(fault) => self.fault(fault)?,
            Step::Raw(_) => return Err("`raw` is a line of the agent's own: no model prints it".into()),
        }
        Ok(())
    }

    fn act(&mut self, act: Act) {
        self.beat.act = Some(act);
        self.beats.push(std::mem::take(&mut self.beat));
    }

    fn dispatch(&mut self, worker: String, description: String, task: String) {
        self.tasks.push(task.clone());
        self.act(Act::Dispatch { worker, description, task });
    }

    /// A tool of another agent: a worker's is done with the real agent's own, any other has no effect but its result.
    fn tool(&mut self, name: &str, input: &toml::Value, output: &str, is_error: bool) -> Result<(), String> {
        let field = |key: &str| input.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        match name {
            "Task" | "Agent" => {
                let worker = match field("name") {
                    name if name.is_empty() => format!("worker-{}", self.tasks.len() + 1),
                    name => name,
                };
                if let Some(id) = output.split_whitespace().last() {
                    self.known_as.insert(id.to_owned(), worker.clone());
                }
                self.dispatch(worker, field("description"), field("prompt"));
            }
            "SendMessage" => {
                let to = field("to");
                let worker = self.known_as.get(&to).cloned().unwrap_or(to);
                self.act(Act::Message { worker, text: field("message") });
            }
            _ => {
                let input = serde_json::to_string(input).map_err(|error| error.to_string())?;
                let (said, result) = (super::tools::quote(&format!("{name} {input}")), super::tools::quote(output));
                let ending = if is_error { "; exit 1" } else { "" };
                self.act(Act::Shell(format!(": {said}; printf '%s' {result}{ending}")));
            }
        }
        Ok(())
    }

    /// A script tells sums; a model tells what each answer used.
    fn usage(&mut self, usage: &Usage) {
        let more = |now: Option<u64>, before: &mut Option<u64>, sum: &mut Option<u64>| {
            if let Some(now) = now {
                let added = now.saturating_sub(before.unwrap_or(0));
                *sum = Some(sum.unwrap_or(0) + added);
                *before = Some(now);
            }
        };
        more(usage.input_tokens, &mut self.used.input_tokens, &mut self.beat.usage.input_tokens);
        more(usage.cached_input_tokens, &mut self.used.cached_input_tokens, &mut self.beat.usage.cached_input_tokens);
        more(usage.output_tokens, &mut self.used.output_tokens, &mut self.beat.usage.output_tokens);
    }

    fn fault(&mut self, fault: &ScriptedFault) -> Result<(), String> {
        match fault {
            ScriptedFault::Unauthorized => self.beat.obstacles.push(Obstacle::Unauthorized),
            ScriptedFault::Overloaded { .. } => self.beat.obstacles.push(Obstacle::Overloaded),
            ScriptedFault::Stall => self.beat.obstacles.push(Obstacle::Silent),
            // The shell's parent is the agent in each of those that are known.
            ScriptedFault::Kill => self.act(Act::Shell("kill -KILL $PPID".into())),
            ScriptedFault::Daemon => {
                self.act(Act::Shell("setsid sleep 600 </dev/null >/dev/null 2>&1 &".into()));
            }
            other => return Err(format!("no model makes an agent break like this: {other:?}")),
        }
        Ok(())
    }

    fn end_turn(&mut self) {
        // Without text and act it is the silent end of a turn.
        self.beats.push(std::mem::take(&mut self.beat));
        self.turns.push(std::mem::take(&mut self.beats));
    }
}
