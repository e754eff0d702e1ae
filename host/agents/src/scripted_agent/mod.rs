//! The scripted agent, `host agent --script FILE`: a small real agent process that runs a script in its working
//! directory, prints its events as JSON lines and writes a transcript to its config dir, as real agents do.
//!
//! Its tools: `shell` {command}, `write` and `append` {path, text}, `replace` {path, from, to}, `dispatch` {worker,
//! task}, `message-worker` {worker, text}, and any tool that a `tool` step names.

mod faults;
mod output;
mod tools;

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    thread,
};

use host_model::{BackOff, Script, ScriptedFault, SessionEventKind, Step};
use output::AgentOutput;

/// The variable with the scripted agent's config dir, like `CLAUDE_CONFIG_DIR` for Claude Code.
pub(crate) const CONFIG_DIR_VARIABLE: &str = "HOST_AGENT_CONFIG_DIR";

/// The exit code if the script is invalid or one of its steps fails.
const BAD_SCRIPT_EXIT_CODE: u8 = 2;

/// The arguments of `host agent`.
#[derive(Clone, Debug)]
pub struct ScriptedAgentOptions {
    /// The script.
    pub script: PathBuf,
    /// The turn of the conversation to run, counted from 1.
    pub turn: u32,
    /// The session's id; derived from the process id if absent.
    pub session: Option<String>,
    /// The message that begins the turn.
    pub prompt: String,
}

/// Why an agent stops before the end of its turn.
enum StopCause {
    Script(String),
    /// A scripted exit with this code.
    Exit(u8),
    /// The output was closed.
    Io(io::Error),
}

impl From<io::Error> for StopCause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs one turn of the script. Returns the exit code.
#[must_use]
pub fn run_agent(args: &ScriptedAgentOptions) -> u8 {
    let session = args.session.clone().unwrap_or_else(|| format!("agent-{}", std::process::id()));
    let config_dir = env::var_os(CONFIG_DIR_VARIABLE).map(PathBuf::from);
    let mut output = match AgentOutput::open(config_dir.as_deref(), &session) {
        Ok(output) => output,
        Err(error) => {
            drop(writeln!(
                io::stderr(),
                "host agent: cannot write the transcript under {CONFIG_DIR_VARIABLE}: {error}"
            ));
            return 1;
        }
    };
    match run_turn(args, session, &mut output) {
        Ok(()) => 0,
        Err(StopCause::Exit(code)) => code,
        Err(StopCause::Script(message)) => {
            drop(writeln!(io::stderr(), "host agent: {message}"));
            // Readers of the events should see it, too.
            drop(output.error("script", &message));
            BAD_SCRIPT_EXIT_CODE
        }
        Err(StopCause::Io(error)) => {
            drop(writeln!(io::stderr(), "host agent: {error}"));
            1
        }
    }
}

fn run_turn(args: &ScriptedAgentOptions, session: String, output: &mut AgentOutput) -> Result<(), StopCause> {
    output.transcribe_prompt(args.turn, &args.prompt)?;
    let script = read_script(args)?;
    let mut agent = Agent { output, turn: args.turn, calls: 0, back_offs: 0 };
    let steps = steps_of_turn(&script.steps, args.turn)?;
    if let Some((_, Step::Fault(ScriptedFault::Mute))) = steps.first() {
        faults::sleep_forever();
    }
    agent.output.event(&SessionEventKind::Started { session_id: session, model: Some("scripted".into()) })?;
    for (number, step) in steps {
        agent.step(step).map_err(|stop| match stop {
            StopCause::Script(problem) => {
                StopCause::Script(format!("{}: step {number} failed: {problem}", args.script.display()))
            }
            other => other,
        })?;
    }
    Ok(agent.output.finished("end-turn")?)
}

fn read_script(args: &ScriptedAgentOptions) -> Result<Script, StopCause> {
    let file = args.script.display();
    let text = host_fs::read_text(&args.script)
        .map_err(|error| StopCause::Script(format!("{file}: cannot read the script: {error}")))?;
    toml::from_str(&text).map_err(|error| {
        let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
        StopCause::Script(format!("{file}:{line}:{column}: {}", error.message()))
    })
}

/// The line and column of a byte of `text`, both counted from 1.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The steps of a turn with their numbers in the file, counted from 1.
fn steps_of_turn(steps: &[Step], turn: u32) -> Result<Vec<(usize, &Step)>, StopCause> {
    let mut turns: Vec<Vec<(usize, &Step)>> = vec![Vec::new()];
    for (index, step) in steps.iter().enumerate() {
        match (step, turns.last_mut()) {
            (Step::AwaitMessage, _) => turns.push(Vec::new()),
            (_, Some(last)) => last.push((index + 1, step)),
            (_, None) => {}
        }
    }
    let count = turns.len();
    let wanted = usize::try_from(turn).ok().and_then(|turn| turn.checked_sub(1));
    wanted.and_then(|index| turns.into_iter().nth(index)).ok_or_else(|| {
        StopCause::Script(format!(
            "turn {turn} was requested, but the script has {count}: each `await-message = true` starts another turn"
        ))
    })
}

struct Agent<'a> {
    output: &'a mut AgentOutput,
    turn: u32,
    calls: u32,
    back_offs: u32,
}

impl Agent<'_> {
    fn step(&mut self, step: &Step) -> Result<(), StopCause> {
        match step {
            Step::Say(text) => self.output.event(&SessionEventKind::Message { text: text.clone() })?,
            Step::Sleep(time) => thread::sleep(*time),
            Step::Usage(usage) => self.output.event(&SessionEventKind::Usage(usage.clone()))?,
            Step::BackOff { reason, delay } => self.back_off(reason, *delay)?,
            Step::Raw(line) => self.output.raw(line.as_bytes())?,
            Step::Fault(fault) => self.fault(fault)?,
            // Separates turns; `steps_of_turn` leaves it out.
            Step::AwaitMessage => {}
            tool => self.tool(tool)?,
        }
        Ok(())
    }

    fn back_off(&mut self, reason: &str, delay: std::time::Duration) -> io::Result<()> {
        self.back_offs += 1;
        self.output.event(&SessionEventKind::BackOff(BackOff {
            attempt: Some(self.back_offs),
            delay_ms: u64::try_from(delay.as_millis()).ok(),
            reason: reason.to_owned(),
        }))?;
        thread::sleep(delay);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn await_message_separates_turns() {
        let say = |text: &str| Step::Say(text.into());
        let steps = [say("a"), Step::AwaitMessage, say("b"), say("c"), Step::AwaitMessage];
        let numbers =
            |turn| steps_of_turn(&steps, turn).map(|it| it.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        assert_eq!(numbers(1).ok().unwrap(), [1]);
        assert_eq!(numbers(2).ok().unwrap(), [3, 4]);
        assert_eq!(numbers(3).ok().unwrap(), [0; 0]);
        for turn in [0, 4] {
            assert!(matches!(numbers(turn), Err(StopCause::Script(problem)) if problem.contains("the script has 3")));
        }
    }

    #[test]
    fn script_errors_have_a_position() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("bad.toml");
        fs::write(&script, "summary = \"s\"\nexpect = { verdict = \"pass\" }\n\n[[step]]\nsays = \"x\"\n").unwrap();
        let args = ScriptedAgentOptions { script, turn: 1, session: None, prompt: String::new() };
        let Err(StopCause::Script(problem)) = read_script(&args) else { panic!("it was read") };
        assert!(problem.contains("bad.toml:") && problem.contains("says"), "{problem}");
        assert_eq!(position("ab\ncd", 4), (2, 2));
    }
}
