//! The state of an agent's process.

use crate::exit::AgentExit;

/// The known state of an agent's process. Facts are only added.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessState {
    pub(super) program: String,
    pub(super) started: bool,
    /// Which part of the requested confinement is missing.
    pub(super) unconfined: Option<String>,
    pub(super) failed: Option<String>,
    /// Whether the host may cause what happens from now on.
    pub(super) ending: bool,
    pub(super) exit: Option<AgentExit>,
    /// Whether the exit happened before the host's order to end took effect.
    pub(super) unrequested: bool,
    /// Set once supervisor and descendants are gone, or are known to survive.
    pub(super) gone: Option<Result<(), String>>,
}

impl ProcessState {
    /// Applies a line from the supervisor. Returns whether it is the last one.
    pub(super) fn apply(&mut self, line: &str) -> bool {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => self.started = true,
            "unconfined" => self.unconfined = Some(rest.to_owned()),
            "failed" => self.set_failed(rest),
            "ending" => self.ending = true,
            "exited" => self.set_exit(rest.parse().map_or(AgentExit::Unknown, AgentExit::Code)),
            "killed" => self.set_exit(rest.parse().map_or(AgentExit::Unknown, AgentExit::Signal)),
            _ => {}
        }
        matches!(word, "gone" | "failed")
    }

    pub(super) fn set_failed(&mut self, why: &str) {
        let failed = format!("cannot start {}: {why}", self.program);
        self.set_exit(AgentExit::NotStarted(failed.clone()));
        self.failed = Some(failed);
    }

    /// The first exit is the agent's; its pid may be reused later.
    pub(super) fn set_exit(&mut self, exit: AgentExit) {
        if self.exit.is_none() {
            self.exit = Some(exit);
            self.unrequested = !self.ending;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply_lines(lines: &[&str]) -> ProcessState {
        let mut state = ProcessState { program: "it".into(), ..ProcessState::default() };
        for line in lines {
            assert_eq!(state.apply(line), matches!(line.split(' ').next(), Some("gone" | "failed")), "{line}");
        }
        state
    }

    #[test]
    fn the_first_exit_is_the_agents() {
        let state = apply_lines(&["started 7", "killed 9", "ending", "exited 0", "gone"]);
        assert_eq!((state.exit, state.unrequested), (Some(AgentExit::Signal(9)), true));
        let state = apply_lines(&["started 7", "ending", "exited 3", "gone"]);
        assert_eq!((state.exit, state.unrequested), (Some(AgentExit::Code(3)), false));
    }

    #[test]
    fn a_failed_start_has_a_reason() {
        let state = apply_lines(&["failed no such file"]);
        assert_eq!(state.failed.as_deref(), Some("cannot start it: no such file"));
        assert_eq!(state.exit.unwrap().to_string(), "cannot start it: no such file");
    }
}
