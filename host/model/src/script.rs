//! The script of a scripted agent: what a stand-in for a real agent does, step by step.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Deserializer};

use super::{FaultClass, Usage};

/// A script file, `scenarios/<name>/agents/<agent>.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Script {
    /// One sentence on what this agent does right or wrong.
    pub summary: String,
    /// The verdict that a trial with it must get.
    pub expect: ScriptExpectation,
    /// Its steps, in order. `await-message` parts the turns.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

/// The verdict that a trial with a scripted agent must get.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScriptExpectation {
    /// It is a right one, or an accepted paraphrase.
    Pass,
    /// It is a wrong one: it must be failed with exactly these findings.
    Fail {
        /// Codes; not empty.
        findings: BTreeSet<String>,
    },
    /// The scenario must skip.
    Skip,
    /// It breaks in a way that is no answer: the fault must have this class.
    Fault {
        /// The class.
        class: FaultClass,
    },
}

/// One step. In the file it is a table `[[step]]` with the key of its action, and that action's own keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `say = TEXT`: a message to the person.
    Say(String),
    /// `shell = COMMAND`: runs `sh -c COMMAND` in the root, as a tool call with its result.
    Shell(String),
    /// `write = PATH`, `text = TEXT`: writes a file of the root, as a tool call. Folders are made.
    Write {
        /// Relative to the root.
        path: String,
        /// The whole content.
        text: String,
    },
    /// `append = PATH`, `text = TEXT`: the same at the end of a file.
    Append {
        /// Relative to the root.
        path: String,
        /// The text to append.
        text: String,
    },
    /// `replace = PATH`, `from = TEXT`, `to = TEXT`: replaces the one place where `from` stands.
    Replace {
        /// Relative to the root.
        path: String,
        /// Must be found exactly once.
        from: String,
        /// The new text.
        to: String,
    },
    /// `sleep = "800ms"`: stands for the model's time.
    Sleep(Duration),
    /// `dispatch = WORKER`, `task = TEXT`: a tool call that starts a named worker.
    Dispatch {
        /// The worker's name.
        worker: String,
        /// Its task.
        task: String,
    },
    /// `message-worker = WORKER`, `text = TEXT`: a tool call that sends a worker a message.
    MessageWorker {
        /// The worker's name.
        worker: String,
        /// The message.
        text: String,
    },
    /// `tool = NAME`, `input = {…}`, `output = TEXT`, `is-error = BOOL`: a tool call without an effect.
    Tool {
        /// The tool's name.
        name: String,
        /// Its arguments.
        input: toml::Value,
        /// Its answer.
        output: String,
        /// Whether the answer is an error.
        is_error: bool,
    },
    /// `usage = { input-tokens = 1, … }`: the usage so far.
    Usage(Usage),
    /// `back-off = REASON`, `delay = "100ms"`: reports a provider's back-off and waits that long.
    BackOff {
        /// The provider's words.
        reason: String,
        /// How long it waits.
        delay: Duration,
    },
    /// `raw = LINE`: prints the line as it is.
    Raw(String),
    /// `await-message = true`: ends the turn; what follows answers the next message.
    AwaitMessage,
    /// `fault = KIND`, and that kind's own keys: breaks.
    Fault(ScriptedFault),
}

/// A way in which a scripted agent breaks.
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptedFault {
    /// `crash`: exits immediately with code 70 and no conclusion; with `text` on stderr if given.
    Crash {
        /// Its stderr before the exit.
        text: String,
    },
    /// `kill`: ends by SIGKILL of its own.
    Kill,
    /// `exit`: exit code 0 without a conclusion.
    Exit,
    /// `stall`: no event any more, for ever.
    Stall,
    /// `mute`: as the first step of a turn, no output at all, not even that it has started; later the same as `stall`.
    Mute,
    /// `unauthorized`: the provider refuses the login; ends the session.
    Unauthorized,
    /// `overloaded`: back-off events for ever, one every `delay`.
    Overloaded {
        /// Time between them.
        delay: Duration,
    },
    /// `garbage`: `count` lines that are not JSON.
    Garbage {
        /// How many.
        count: u64,
    },
    /// `half-line`: half of an event without its end of line, then exit code 0.
    HalfLine,
    /// `invalid-utf8`: a line that is not UTF-8.
    InvalidUtf8,
    /// `huge-line`: one line of `bytes` bytes.
    HugeLine {
        /// How long.
        bytes: u64,
    },
    /// `flood`: `count` events as fast as they go.
    Flood {
        /// How many.
        count: u64,
    },
    /// `loop`: says the same and calls the same tool, `count` times or for ever, every `delay`.
    Loop {
        /// How often; for ever when absent.
        count: Option<u64>,
        /// Time after each.
        delay: Duration,
    },
    /// `ignore-sigterm`: SIGTERM has no effect from here on.
    IgnoreSigterm,
    /// `daemon`: leaves a process behind that has left the session and process group.
    Daemon,
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StepTable::deserialize(deserializer)?.into_step().map_err(serde::de::Error::custom)
    }
}

/// A step as it is written: every key of every action.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct StepTable {
    say: Option<String>,
    shell: Option<String>,
    write: Option<String>,
    append: Option<String>,
    replace: Option<String>,
    sleep: Option<String>,
    dispatch: Option<String>,
    message_worker: Option<String>,
    tool: Option<String>,
    usage: Option<Usage>,
    back_off: Option<String>,
    raw: Option<String>,
    await_message: Option<bool>,
    fault: Option<String>,
    // Keys that belong to an action.
    text: Option<String>,
    from: Option<String>,
    to: Option<String>,
    task: Option<String>,
    input: Option<toml::Value>,
    output: Option<String>,
    is_error: Option<bool>,
    delay: Option<String>,
    count: Option<u64>,
    bytes: Option<u64>,
}

const FAULTS: &str = "`crash`, `kill`, `exit`, `stall`, `mute`, `unauthorized`, `overloaded`, `garbage`, `half-line`, \
                      `invalid-utf8`, `huge-line`, `flood`, `loop`, `ignore-sigterm`, `daemon`";

impl StepTable {
    fn into_step(mut self) -> Result<Step, String> {
        let mut step: Option<(&str, Step)> = None;
        let mut take = |key: &'static str, found: Option<Step>| match (&step, found) {
            (_, None) => Ok(()),
            (None, Some(found)) => {
                step = Some((key, found));
                Ok(())
            }
            (Some((first, _)), Some(_)) => {
                Err(format!("a step has one action, but this one has `{first}` and `{key}`"))
            }
        };
        take("say", self.say.take().map(Step::Say))?;
        take("shell", self.shell.take().map(Step::Shell))?;
        if let Some(path) = self.write.take() {
            take("write", Some(Step::Write { path, text: required(self.text.take(), "write", "text")? }))?;
        }
        if let Some(path) = self.append.take() {
            take("append", Some(Step::Append { path, text: required(self.text.take(), "append", "text")? }))?;
        }
        if let Some(path) = self.replace.take() {
            let from = required(self.from.take(), "replace", "from")?;
            let to = required(self.to.take(), "replace", "to")?;
            take("replace", Some(Step::Replace { path, from, to }))?;
        }
        take("sleep", self.sleep.take().map(|text| duration("sleep", &text)).transpose()?.map(Step::Sleep))?;
        if let Some(worker) = self.dispatch.take() {
            take("dispatch", Some(Step::Dispatch { worker, task: self.task.take().unwrap_or_default() }))?;
        }
        if let Some(worker) = self.message_worker.take() {
            let text = required(self.text.take(), "message-worker", "text")?;
            take("message-worker", Some(Step::MessageWorker { worker, text }))?;
        }
        if let Some(name) = self.tool.take() {
            let input = self.input.take().unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
            let output = self.output.take().unwrap_or_default();
            let is_error = self.is_error.take().unwrap_or(false);
            take("tool", Some(Step::Tool { name, input, output, is_error }))?;
        }
        take("usage", self.usage.take().map(Step::Usage))?;
        if let Some(reason) = self.back_off.take() {
            take("back-off", Some(Step::BackOff { reason, delay: self.delay_or(Duration::ZERO)? }))?;
        }
        take("raw", self.raw.take().map(Step::Raw))?;
        match self.await_message.take() {
            Some(true) => take("await-message", Some(Step::AwaitMessage))?,
            Some(false) => return Err("`await-message` can only be `true`".into()),
            None => {}
        }
        if let Some(kind) = self.fault.take() {
            let fault = self.fault(&kind)?;
            take("fault", Some(Step::Fault(fault)))?;
        }
        let Some((action, step)) = step else {
            return Err("a step needs an action: `say`, `shell`, `write`, `append`, `replace`, `sleep`, `dispatch`, \
                        `message-worker`, `tool`, `usage`, `back-off`, `raw`, `await-message` or `fault`"
                .into());
        };
        match self.left_over() {
            Some(key) => Err(format!("`{key}` does not belong to a step with `{action}`")),
            None => Ok(step),
        }
    }

    fn fault(&mut self, kind: &str) -> Result<ScriptedFault, String> {
        Ok(match kind {
            "crash" => ScriptedFault::Crash { text: self.text.take().unwrap_or_default() },
            "kill" => ScriptedFault::Kill,
            "exit" => ScriptedFault::Exit,
            "stall" => ScriptedFault::Stall,
            "mute" => ScriptedFault::Mute,
            "unauthorized" => ScriptedFault::Unauthorized,
            "overloaded" => ScriptedFault::Overloaded { delay: self.delay_or(Duration::from_millis(100))? },
            "garbage" => ScriptedFault::Garbage { count: self.count.take().unwrap_or(1) },
            "half-line" => ScriptedFault::HalfLine,
            "invalid-utf8" => ScriptedFault::InvalidUtf8,
            "huge-line" => ScriptedFault::HugeLine { bytes: required(self.bytes.take(), "fault", "bytes")? },
            "flood" => ScriptedFault::Flood { count: required(self.count.take(), "fault", "count")? },
            "loop" => {
                ScriptedFault::Loop { count: self.count.take(), delay: self.delay_or(Duration::from_millis(100))? }
            }
            "ignore-sigterm" => ScriptedFault::IgnoreSigterm,
            "daemon" => ScriptedFault::Daemon,
            _ => return Err(format!("`{kind}` is not a fault; the faults are {FAULTS}")),
        })
    }

    fn delay_or(&mut self, default: Duration) -> Result<Duration, String> {
        self.delay.take().map_or(Ok(default), |text| duration("delay", &text))
    }

    fn left_over(&self) -> Option<&'static str> {
        [
            ("text", self.text.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("task", self.task.is_some()),
            ("input", self.input.is_some()),
            ("output", self.output.is_some()),
            ("is-error", self.is_error.is_some()),
            ("delay", self.delay.is_some()),
            ("count", self.count.is_some()),
            ("bytes", self.bytes.is_some()),
        ]
        .into_iter()
        .find_map(|(key, present)| present.then_some(key))
    }
}

fn required<T>(value: Option<T>, action: &str, key: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("a step with `{action}` needs `{key}`"))
}

fn duration(key: &str, text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("`{key} = \"{text}\"` is not a duration ({error}): write `800ms` or `2s`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(step: &str) -> Result<Vec<Step>, String> {
        let text = format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\n{step}");
        toml::from_str::<Script>(&text).map(|script| script.steps).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn steps_are_read_with_the_keys_of_their_action() {
        assert_eq!(parse("[[step]]\nsleep = \"800ms\"").unwrap(), [Step::Sleep(Duration::from_millis(800))]);
        assert_eq!(
            parse("[[step]]\nwrite = \"a\"\ntext = \"b\"").unwrap(),
            [Step::Write { path: "a".into(), text: "b".into() }]
        );
        assert_eq!(
            parse("[[step]]\nfault = \"flood\"\ncount = 3").unwrap(),
            [Step::Fault(ScriptedFault::Flood { count: 3 })]
        );
    }

    #[test]
    fn invalid_steps_are_reported() {
        for (step, message) in [
            ("[[step]]\ntext = \"x\"", "needs an action"),
            ("[[step]]\nsay = \"x\"\nshell = \"y\"", "has `say` and `shell`"),
            ("[[step]]\nsay = \"x\"\ntext = \"y\"", "`text` does not belong to a step with `say`"),
            ("[[step]]\nwrite = \"x\"", "needs `text`"),
            ("[[step]]\nsleep = \"soon\"", "is not a duration"),
            ("[[step]]\nfault = \"explode\"", "is not a fault"),
            ("[[step]]\nsays = \"x\"", "unknown field `says`"),
        ] {
            let error = parse(step).unwrap_err();
            assert!(error.contains(message), "{step}: {error}");
        }
    }

    #[test]
    fn expected_verdicts_are_read() {
        let script = |expect: &str| toml::from_str::<Script>(&format!("summary = \"s\"\nexpect = {expect}"));
        assert_eq!(
            script("{ verdict = \"fail\", findings = [\"b\", \"a\"] }").unwrap().expect,
            ScriptExpectation::Fail { findings: ["a", "b"].map(String::from).into() }
        );
        assert_eq!(
            script("{ verdict = \"fault\", class = \"crash\" }").unwrap().expect,
            ScriptExpectation::Fault { class: FaultClass::Crash }
        );
        assert!(script("{ verdict = \"fail\" }").is_err());
        assert!(script("{ verdict = \"maybe\" }").is_err());
    }
}
