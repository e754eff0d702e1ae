use std::{
    error::Error,
    io::{self, Write},
};

use crate::{model::ExitCode, report::visible};

/// Why a command ends before its work is done.
#[derive(Debug)]
pub(super) struct Failure {
    code: ExitCode,
    messages: Vec<String>,
}

impl Failure {
    /// Bad suite, plugin, grant or machine.
    pub(super) fn setup(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Setup, messages: vec![message.into()] }
    }

    /// The same for several errors, all of which are told.
    pub(super) fn setup_all<E: Error + 'static>(errors: impl IntoIterator<Item = E>) -> Self {
        Self { code: ExitCode::Setup, messages: errors.into_iter().map(|error| chain(&error)).collect() }
    }

    /// A signal came before there was anything to report; what happened has been told.
    pub(super) fn interrupted() -> Self {
        Self { code: ExitCode::Interrupted, messages: Vec::new() }
    }

    /// Prints the messages to stderr and gives the exit code.
    pub(super) fn tell(self) -> ExitCode {
        let mut stderr = io::stderr().lock();
        for message in &self.messages {
            // Without a stderr the exit code still tells.
            // Messages quote plugins and files, whose words must not steer a terminal.
            let _ = writeln!(stderr, "error: {}", told(message));
        }
        self.code
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::setup(chain(&error))
    }
}

/// A message as it is printed. It quotes plugins and files, whose words must neither steer a terminal nor begin a line
/// that a person or a CI runner takes for one of ours. The marked places of configuration errors stay as they are.
fn told(message: &str) -> String {
    let message = visible(message).replace("##[", "# #[").replace("##vso[", "# #vso[");
    let mut lines = message.split('\n');
    let mut told = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        // Runners look for commands behind leading blanks too.
        let forged = ["::", "error:", "warning:"].iter().any(|start| line.trim_start().starts_with(start));
        told.push_str(if forged { "\n  | " } else { "\n" });
        told.push_str(line);
    }
    told
}

/// An error with its causes; a cause that the message repeats already is left out.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_that_somebody_else_wrote_passes_for_one_of_ours() {
        assert_eq!(
            told("bad\n::error::x\n  ::set-env\nerror: forged\nwarning: too\n##[error]y\n\u{1b}[2J"),
            "bad\n  | ::error::x\n  |   ::set-env\n  | error: forged\n  | warning: too\n# #[error]y\n\\u{1b}[2J"
        );
    }

    #[test]
    fn a_marked_place_stays_as_it_is() {
        let marked = "s.toml:1:1: unknown key `a`\n --> \n  |\n1 | a = 1\n  | ^";
        assert_eq!(told(marked), marked);
    }
}
