//! Messages as they are printed.

use host_core::app::Message;
use host_model::Shortage;
use host_report::visible;

/// Messages that are printed; one wrong name in a large suite can make thousands.
const MAX_MESSAGES: usize = 100;

/// The messages as lines that begin with `level`, followed by the number of those that are left out.
pub(super) fn rendered(level: &str, messages: &[Message]) -> String {
    let mut text: String =
        messages.iter().take(MAX_MESSAGES).map(|message| format!("{level}: {}\n", harmless(&message.text))).collect();
    if messages.len() > MAX_MESSAGES {
        let (more, all) = (messages.len() - MAX_MESSAGES, messages.len());
        text.push_str(&format!(
            "{level}: … and {more} more, {all} in all\nhelp: fix these first, or see all with `host check --format json`\n"
        ));
    }
    // The cause of many messages is explained once.
    let mut explained: Vec<Shortage> = Vec::new();
    for shortage in messages.iter().filter_map(|message| message.shortage) {
        if !explained.contains(&shortage) {
            text.push_str(&format!("help: {}\n", shortage.help()));
            explained.push(shortage);
        }
    }
    text
}

/// A message as it is printed. It quotes plugins and files, whose text must not control a terminal, nor begin a line that
/// a person or a CI runner takes for one of ours. The marked places of configuration errors stay as they are.
fn harmless(message: &str) -> String {
    let message = visible(message).replace("##[", "# #[").replace("##vso[", "# #vso[");
    let mut lines = message.split('\n');
    let mut shown = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        // Runners look for commands behind leading blanks too.
        let forged = ["::", "error:", "warning:"].iter().any(|start| line.trim_start().starts_with(start));
        shown.push_str(if forged { "\n  | " } else { "\n" });
        shown.push_str(line);
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::*;
    use host_core::app::Error;

    #[test]
    fn help_for_a_shortage_is_shown_once() {
        let short = || io::Error::from_raw_os_error(libc::ENOSPC);
        let error = Error::setup_all([short(), io::Error::other("else"), short()]);
        let text = rendered("error", &error.messages);
        assert_eq!(text.matches("error: ").count(), 3);
        assert_eq!(text.matches("help: the disk is full: free space and inodes").count(), 1, "{text}");
        let error = Error::file("cannot write", Path::new("/a/junit.xml"), &short());
        let text = rendered("error", &error.messages);
        assert!(text.starts_with("error: cannot write /a/junit.xml: No space left"), "{text}");
    }

    #[test]
    fn quoted_lines_cannot_pass_for_ours() {
        assert_eq!(
            harmless("bad\n::error::x\n  ::set-env\nerror: forged\nwarning: too\n##[error]y\n\u{1b}[2J"),
            "bad\n  | ::error::x\n  |   ::set-env\n  | error: forged\n  | warning: too\n# #[error]y\n\\u{1b}[2J"
        );
    }

    #[test]
    fn a_marked_place_is_not_changed() {
        let marked = "s.toml:1:1: unknown key `a`\n --> \n  |\n1 | a = 1\n  | ^";
        assert_eq!(harmless(marked), marked);
    }

    #[test]
    fn only_the_first_of_many_messages_are_printed() {
        let messages: Vec<Message> = (0..10_000).map(|number| Message::plain(format!("no {number}"))).collect();
        let text = rendered("error", &messages);
        assert!(text.starts_with("error: no 0\nerror: no 1\n"), "{text}");
        assert!(text.contains("error: no 99\nerror: … and 9900 more, 10000 in all\nhelp: "), "{text}");
        assert_eq!(text.lines().count(), 102);
        assert_eq!(rendered("warning", &messages[..2]), "warning: no 0\nwarning: no 1\n");
        assert_eq!(rendered("error", &[]), "");
    }
}
