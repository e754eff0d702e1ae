//! Reading a shell command: enough to know which programs it names, and with which words.

/// The simple commands of a command line, each as its words, quotes taken off. Nothing is expanded.
pub(crate) fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => word.get_or_insert_default().extend(chars.by_ref().take_while(|c| *c != '\'')),
            '"' => double_quoted(&mut chars, word.get_or_insert_default()),
            // A line that goes on.
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            ' ' | '\t' => commands.last_mut().into_iter().for_each(|command| command.extend(word.take())),
            '\n' | ';' | '&' | '|' | '(' | ')' => {
                commands.last_mut().into_iter().for_each(|command| command.extend(word.take()));
                commands.push(Vec::new());
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    commands.last_mut().into_iter().for_each(|command| command.extend(word.take()));
    commands.retain(|command| !command.is_empty());
    commands.into_iter().flat_map(|command| inner(&command).unwrap_or_else(|| vec![command])).collect()
}

/// In double quotes a backslash stands before four characters only.
fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            '"' => return,
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) if matches!(c, '$' | '`' | '"' | '\\') => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => {}
            },
            c => word.push(c),
        }
    }
}

/// The commands that a shell is told to run: `/bin/bash -lc 'COMMANDS'`, as some agents log every command.
fn inner(command: &[String]) -> Option<Vec<Vec<String>>> {
    match command {
        [shell, flag, line] if matches!(program(shell), "sh" | "bash" | "zsh") && matches!(&**flag, "-c" | "-lc") => {
            Some(commands(line))
        }
        _ => None,
    }
}

/// A program without its folder.
pub(crate) fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_parted_as_a_shell_does_it() {
        for (line, expected) in [
            ("", &[][..]),
            ("  a  b\t c ", &[&["a", "b", "c"][..]]),
            (r#"a 'b c' "d e"f '' "#, &[&["a", "b c", "d ef", ""]]),
            (r#"a 'it'\''s' "say \"x\" \\ \n" \' "#, &[&["a", "it's", r#"say "x" \ \n"#, "'"]]),
            ("a; b&&c|d & (e)\nf", &[&["a"], &["b"], &["c"], &["d"], &["e"], &["f"]]),
            ("a 'b; c' \\\n d", &[&["a", "b; c", "d"]]),
            (r#"/bin/bash -lc 'a "b c" && d'"#, &[&["a", "b c"], &["d"]]),
            (r#"/bin/bash -lc "a 'b c'""#, &[&["a", "b c"]]),
            ("a 'open", &[&["a", "open"]]),
            ("a \"open\\", &[&["a", "open"]]),
            ("a \\", &[&["a"]]),
        ] {
            assert_eq!(commands(line), expected, "{line}");
        }
    }

    #[test]
    fn a_deep_nest_of_shells_is_no_overflow() {
        let mut line = "a".to_owned();
        for _ in 0..8 {
            line = format!("sh -c '{}'", line.replace('\'', r"'\''"));
        }
        assert_eq!(commands(&line), [["a"]]);
    }
}
