use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use super::{
    setup::{FindError, as_seen_here},
    terminal,
};
use host_model::{ExitCode, Shortage, shown};
use host_report::visible;
use host_suite::config::{ConfigError, HasSource, SourceError};
use host_suite::plan::SetupProblem;

/// Why a command ends before its work is done.
#[derive(Debug)]
pub(super) struct Failure {
    code: ExitCode,
    messages: Vec<Message>,
}

/// What is wrong, and where if it stands in a file.
#[derive(Debug)]
pub(super) struct Message {
    text: String,
    place: Option<(PathBuf, usize, usize)>,
    short: Option<String>,
    shortage: Option<Shortage>,
}

impl Message {
    /// Of something that stands in no file.
    pub(super) fn plain(text: String) -> Self {
        Self { text, place: None, short: None, shortage: None }
    }

    /// Of an error with its causes.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let text = chain(error);
        let shortage = Shortage::of(error);
        match in_a_file(error) {
            Some(SourceError { path, position: Some((line, column)), message, .. }) => {
                let place = Some((as_seen_here(path), *line, *column));
                Self { text, place, short: Some(message.clone()), shortage }
            }
            _ => Self { shortage, ..Self::plain(text) },
        }
    }

    /// As it is printed. Messages quote plugins and files, whose words must not steer a terminal.
    pub(super) fn told(&self) -> String {
        harmless(&self.text)
    }

    /// Without the place, where that is known.
    pub(super) fn short(&self) -> &str {
        self.short.as_deref().unwrap_or(&self.text)
    }

    /// File, line and column, from 1.
    pub(super) fn place(&self) -> Option<(&Path, usize, usize)> {
        self.place.as_ref().map(|(path, line, column)| (path.as_path(), *line, *column))
    }
}

/// The error in a file that `error` is, if it is one.
fn in_a_file<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a SourceError> {
    let config = || error.downcast_ref::<ConfigError>()?.source_error();
    let setup = || error.downcast_ref::<SetupProblem>()?.source_error();
    let find = || match error.downcast_ref::<FindError>()? {
        FindError::Named(error) => Some(error),
        FindError::Given(_) => None,
    };
    error.downcast_ref::<SourceError>().or_else(config).or_else(setup).or_else(find)
}

impl Failure {
    /// Bad suite, plugin, grant or machine.
    pub(super) fn setup(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Setup, messages: vec![Message::plain(message.into())] }
    }

    /// The same, several times.
    pub(super) fn setups(messages: impl IntoIterator<Item = String>) -> Self {
        Self { code: ExitCode::Setup, messages: messages.into_iter().map(Message::plain).collect() }
    }

    /// The same for several errors, all of which are told.
    pub(super) fn setup_all<E: Error + 'static>(errors: impl IntoIterator<Item = E>) -> Self {
        Self { code: ExitCode::Setup, messages: errors.into_iter().map(|error| Message::of(&error)).collect() }
    }

    /// A file or folder that the command needs could not be used.
    pub(super) fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        let message = Message::plain(format!("{what} {}: {error}", shown(&as_seen_here(path))));
        let message = Message { shortage: Shortage::of(error), ..message };
        Self { code: ExitCode::Setup, messages: vec![message] }
    }

    /// A signal came before there was anything to report; what happened has been told.
    pub(super) fn interrupted() -> Self {
        Self { code: ExitCode::Interrupted, messages: Vec::new() }
    }

    /// The same, with what has not been told yet.
    pub(super) fn interrupted_by(message: &str) -> Self {
        Self { code: ExitCode::Interrupted, messages: vec![Message::plain(message.to_owned())] }
    }

    /// Prints the messages to stderr and gives the exit code.
    pub(super) fn tell(self) -> ExitCode {
        terminal::print(&told("error", &self.messages));
        self.code
    }

    /// What is wrong.
    pub(super) fn into_messages(self) -> Vec<Message> {
        self.messages
    }
}

/// Messages that are printed; one wrong name in a large suite can make thousands.
const MAX_MESSAGES: usize = 100;

/// The messages as lines that begin with `level`, and last how many more there are.
pub(super) fn told(level: &str, messages: &[Message]) -> String {
    let mut text: String =
        messages.iter().take(MAX_MESSAGES).map(|message| format!("{level}: {}\n", message.told())).collect();
    if messages.len() > MAX_MESSAGES {
        let (more, all) = (messages.len() - MAX_MESSAGES, messages.len());
        text.push_str(&format!(
            "{level}: … and {more} more, {all} in all\nhelp: fix these first, or see all with `host check --format json`\n"
        ));
    }
    // What many messages are due to is told once.
    let mut told: Vec<Shortage> = Vec::new();
    for shortage in messages.iter().filter_map(|message| message.shortage) {
        if !told.contains(&shortage) {
            text.push_str(&format!("help: {}\n", shortage.help()));
            told.push(shortage);
        }
    }
    text
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::setup_all([error])
    }
}

/// A message as it is printed. It quotes plugins and files, whose words must neither steer a terminal nor begin a line
/// that a person or a CI runner takes for one of ours. The marked places of configuration errors stay as they are.
fn harmless(message: &str) -> String {
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
    fn a_shortage_has_its_remedy_once() {
        let short = || io::Error::from_raw_os_error(libc::ENOSPC);
        let failure = Failure::setup_all([short(), io::Error::other("else"), short()]);
        let text = told("error", &failure.into_messages());
        assert_eq!(text.matches("error: ").count(), 3);
        assert_eq!(text.matches("help: the disk is full: free space and inodes").count(), 1, "{text}");
        let failure = Failure::file("cannot write", Path::new("/a/junit.xml"), &short());
        let text = told("error", &failure.into_messages());
        assert!(text.starts_with("error: cannot write /a/junit.xml: No space left"), "{text}");
    }

    #[test]
    fn no_line_that_somebody_else_wrote_passes_for_one_of_ours() {
        assert_eq!(
            harmless("bad\n::error::x\n  ::set-env\nerror: forged\nwarning: too\n##[error]y\n\u{1b}[2J"),
            "bad\n  | ::error::x\n  |   ::set-env\n  | error: forged\n  | warning: too\n# #[error]y\n\\u{1b}[2J"
        );
    }

    #[test]
    fn a_marked_place_stays_as_it_is() {
        let marked = "s.toml:1:1: unknown key `a`\n --> \n  |\n1 | a = 1\n  | ^";
        assert_eq!(harmless(marked), marked);
    }

    #[test]
    fn of_thousands_of_messages_the_first_are_printed_and_the_others_counted() {
        let messages: Vec<Message> = (0..10_000).map(|number| Message::plain(format!("no {number}"))).collect();
        let text = told("error", &messages);
        assert!(text.starts_with("error: no 0\nerror: no 1\n"), "{text}");
        assert!(text.contains("error: no 99\nerror: … and 9900 more, 10000 in all\nhelp: "), "{text}");
        assert_eq!(text.lines().count(), 102);
        assert_eq!(told("warning", &messages[..2]), "warning: no 0\nwarning: no 1\n");
        assert_eq!(told("error", &[]), "");
    }
}
