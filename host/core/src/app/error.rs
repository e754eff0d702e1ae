use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
};

use super::paths::as_seen_here;
use host_model::{ExitCode, Shortage, shown};
use host_suite::config::{ConfigError, HasSource, SourceError};
use host_suite::plan::SetupProblem;

/// Why a function ended before its work was done.
#[derive(Debug)]
pub struct Error {
    /// The exit code of a process that ends because of this.
    pub code: ExitCode,
    /// At least one message for every problem.
    pub messages: Vec<Message>,
}

/// What is wrong, and where if it is in a file.
///
/// Messages quote plugins and files: escape them before you print them.
#[derive(Clone, Debug)]
pub struct Message {
    /// The message with its place, and the lines of the file around it.
    pub text: String,
    /// File, line and column, from 1.
    pub place: Option<(PathBuf, usize, usize)>,
    short: Option<String>,
    /// What the machine was short of, if that is the cause.
    pub shortage: Option<Shortage>,
}

impl Message {
    /// A message about something that is in no file.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), place: None, short: None, shortage: None }
    }

    /// An error with its causes.
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        let text = chain(error);
        let shortage = Shortage::of(error);
        match source_error(error) {
            Some(SourceError { path, position: Some((line, column)), message, .. }) => {
                let place = Some((as_seen_here(path), *line, *column));
                Self { text, place, short: Some(message.clone()), shortage }
            }
            _ => Self { shortage, ..Self::plain(text) },
        }
    }

    /// The message without its place, where that is known.
    #[must_use]
    pub fn short(&self) -> &str {
        self.short.as_deref().unwrap_or(&self.text)
    }
}

/// The error in a file that `error` is, if it is one.
fn source_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a SourceError> {
    let config = || error.downcast_ref::<ConfigError>()?.source_error();
    let setup = || error.downcast_ref::<SetupProblem>()?.source_error();
    error.downcast_ref::<SourceError>().or_else(config).or_else(setup)
}

impl Error {
    /// An error that ends the process with `code`.
    pub fn new(code: ExitCode, messages: impl IntoIterator<Item = Message>) -> Self {
        Self { code, messages: messages.into_iter().collect() }
    }

    /// A bad suite, plugin, grant or machine.
    pub fn setup(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Setup, [Message::plain(message)])
    }

    /// The same with several messages.
    pub fn setups(messages: impl IntoIterator<Item = String>) -> Self {
        Self::new(ExitCode::Setup, messages.into_iter().map(Message::plain))
    }

    /// The same with the messages of several errors.
    pub fn setup_all<E: StdError + 'static>(errors: impl IntoIterator<Item = E>) -> Self {
        Self::new(ExitCode::Setup, errors.into_iter().map(|error| Message::of(&error)))
    }

    /// The same with the message of one error.
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        Self::new(ExitCode::Setup, [Message::of(error)])
    }

    /// A file or folder that could not be used.
    #[must_use]
    pub fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        let message = Message::plain(format!("{what} {}: {error}", shown(&as_seen_here(path))));
        Self::new(ExitCode::Setup, [Message { shortage: Shortage::of(error), ..message }])
    }

    /// A signal arrived before there was anything to report.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Interrupted, [Message::plain(message)])
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.messages.iter().map(|message| &*message.text).collect();
        f.write_str(&texts.join("\n"))
    }
}

impl StdError for Error {}

/// An error with its causes; a cause that the message repeats already is left out.
#[must_use]
pub fn chain(error: &dyn StdError) -> String {
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
