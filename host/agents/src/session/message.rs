//! Validates messages to agents.

use crate::session::process::AgentCommand;

/// Linux limits an argument to 128 KiB, including its terminator.
const MAX_ARGUMENT_BYTES: usize = (128 << 10) - 1;

/// A message is passed as an argument of the program, alone or as a part of one.
pub(super) fn check_message(message: &str, command: &AgentCommand) -> Result<(), String> {
    if message.contains('\0') {
        return Err("the message contains a NUL character, which agents cannot receive".into());
    }
    let longest = command.args.iter().map(|argument| argument.len()).max().unwrap_or_default();
    if longest <= MAX_ARGUMENT_BYTES || longest < message.len() {
        return Ok(());
    }
    let (length, max) = (message.len(), MAX_ARGUMENT_BYTES.saturating_sub(longest - message.len()));
    Err(format!(
        "the message has {length} bytes, but this agent takes at most {max}: put the long part into a file in the root"
    ))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use host_model::Confinement;

    #[test]
    fn a_message_must_fit_its_argument() {
        let check = |message: &str| {
            let args = vec!["agent".into(), format!("--prompt={message}").into()];
            let (program, cwd) = (PathBuf::from("it"), PathBuf::from("/"));
            let confinement = Confinement::default();
            check_message(message, &AgentCommand { program, args, env: Vec::new(), cwd, stdin: None, confinement })
        };
        let max = MAX_ARGUMENT_BYTES - "--prompt=".len();
        assert_eq!(check("do it\nnow"), Ok(()));
        assert_eq!(check(&"x".repeat(max)), Ok(()));
        let problem = check(&"x".repeat(max + 1)).unwrap_err();
        assert!(problem.contains("131063 bytes") && problem.contains("at most 131062"), "{problem}");
        assert!(check("a\0b").unwrap_err().contains("NUL"));
    }
}
