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

    /// Prints the messages to stderr and gives the exit code.
    pub(super) fn tell(self) -> ExitCode {
        let mut stderr = io::stderr().lock();
        for message in &self.messages {
            // Without a stderr the exit code still tells.
            // Messages quote plugins and files, whose words must not steer a terminal.
            let _ = writeln!(stderr, "error: {}", visible(message));
        }
        self.code
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::setup(chain(&error))
    }
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
