//! Parses the `env` of a script's first line. The host does that instead of `env`, so that the program is only searched
//! for in the lane's directories and never in a scenario's `bin`.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EnvCommand {
    /// Its options and assignments, one word each, for an `env` that receives the program's absolute path.
    pub(super) env_args: Vec<OsString>,
    /// The `PATH` that it sets, in which it then looks for the program.
    pub(super) path: Option<OsString>,
    pub(super) command: Vec<OsString>,
}

/// Whether `interpreter` is `env`, whatever its name.
pub(super) fn is_env(interpreter: &Path) -> bool {
    let named = |path: &Path| path.file_name().is_some_and(|name| name == "env");
    if named(interpreter) || interpreter.canonicalize().is_ok_and(|path| named(&path)) {
        return true;
    }
    let same = |one: &Path, other: &str| {
        use std::os::unix::fs::MetadataExt;
        let id = |path: &Path| path.metadata().map(|it| (it.dev(), it.ino())).ok();
        id(one).is_some_and(|known| id(Path::new(other)) == Some(known))
    };
    // Compares inodes to find hard links. A multi-call program (busybox) is `env` only under that name.
    let multicall = |path: &Path| path.canonicalize().is_ok_and(|it| !named(&it));
    ["/usr/bin/env", "/bin/env"].iter().any(|env| !multicall(Path::new(env)) && same(interpreter, env))
}

/// Parses the `arguments` of an `env`. `variable` returns the values of variables that `-S` refers to.
///
/// # Errors
/// The text completes "cannot determine which program FILE starts: …".
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<EnvCommand, String> {
    let words = arguments.into_iter().collect();
    let mut parser = EnvParser { words, parsed: EnvCommand::default(), variable: &variable };
    parser.options()?;
    let EnvParser { mut words, mut parsed, .. } = parser;
    if words.front().is_some_and(|word| word == "-") {
        words.pop_front();
        parsed.env_args.push("-i".into());
    }
    while let Some(word) = words.front()
        && let Some(equals) = word.as_bytes().iter().position(|byte| *byte == b'=')
    {
        if &word.as_bytes()[..equals] == b"PATH" {
            parsed.path = Some(OsStr::from_bytes(&word.as_bytes()[equals + 1..]).to_owned());
        }
        parsed.env_args.extend(words.pop_front());
    }
    if words.is_empty() {
        return Err("`env` has no program to start".into());
    }
    parsed.command = words.into();
    Ok(parsed)
}

struct EnvParser<'a> {
    words: VecDeque<OsString>,
    parsed: EnvCommand,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl EnvParser<'_> {
    fn options(&mut self) -> Result<(), String> {
        while let Some(word) = self.words.pop_front_if(|word| word.as_bytes().starts_with(b"-") && *word != "-") {
            match word.as_bytes().strip_prefix(b"--") {
                Some(b"") => break,
                Some(long) => self.long_option(long)?,
                None => self.short_options(&word.as_bytes()[1..])?,
            }
        }
        Ok(())
    }

    /// The value in an option's own word, or the next word.
    fn value(&mut self, own: Option<&[u8]>, option: &str) -> Result<OsString, String> {
        let value = own.map(|own| OsStr::from_bytes(own).to_owned()).or_else(|| self.words.pop_front());
        value.ok_or_else(|| format!("the option `{option}` of `env` needs a value"))
    }

    fn short_options(&mut self, letters: &[u8]) -> Result<(), String> {
        for (place, letter) in letters.iter().enumerate() {
            let rest = Some(&letters[place + 1..]).filter(|rest| !rest.is_empty());
            match letter {
                b'i' => self.parsed.env_args.push("-i".into()),
                // It logs to stderr.
                b'v' => self.parsed.env_args.push("-v".into()),
                b'u' | b'C' | b'a' => {
                    let option = format!("-{}", char::from(*letter));
                    let value = self.value(rest, &option)?;
                    self.parsed.env_args.extend([option.into(), value]);
                    return Ok(());
                }
                b'S' => {
                    let text = self.value(rest, "-S")?;
                    return self.split_in_front(&text);
                }
                _ => return Err(format!("the option `-{}` of `env` is not supported", letters.escape_ascii())),
            }
        }
        Ok(())
    }

    fn long_option(&mut self, option: &[u8]) -> Result<(), String> {
        const PLAIN: [&str; 2] = ["ignore-environment", "debug"];
        const WITH_VALUE: [&str; 4] = ["unset", "chdir", "argv0", "split-string"];
        const WITH_OPTIONAL: [&str; 3] = ["default-signal", "ignore-signal", "block-signal"];
        let equals = option.iter().position(|byte| *byte == b'=');
        let (name, mut value) = equals.map_or((option, None), |at| (&option[..at], Some(&option[at + 1..])));
        let unknown = || format!("the option `--{}` of `env` is not supported", option.escape_ascii());
        let all = PLAIN.iter().chain(&WITH_VALUE).chain(&WITH_OPTIONAL);
        // Like `getopt_long`, which accepts unique prefixes.
        let mut meant = all.filter(|known| known.as_bytes().starts_with(name) && !name.is_empty());
        let (Some(known), None) = (meant.next(), meant.next()) else { return Err(unknown()) };
        let next;
        if WITH_VALUE.contains(known) {
            next = self.value(value, &format!("--{known}"))?;
            if *known == "split-string" {
                return self.split_in_front(&next);
            }
            value = Some(next.as_bytes());
        } else if value.is_some() && PLAIN.contains(known) {
            return Err(unknown());
        }
        let mut word = OsString::from(format!("--{known}"));
        if let Some(value) = value {
            word.push("=");
            word.push(OsStr::from_bytes(value));
        }
        self.parsed.env_args.push(word);
        Ok(())
    }

    /// Splits the value of `-S`. Its words come before all others and may be options, too.
    fn split_in_front(&mut self, text: &OsStr) -> Result<(), String> {
        for word in split(text.as_bytes(), self.variable)?.into_iter().rev() {
            self.words.push_front(OsString::from_vec(word));
        }
        Ok(())
    }
}

/// Splits like `env -S`: blanks separate words, quotes group, `\` escapes, `${NAME}` is a variable, and a word that
/// begins with `#` begins a comment.
fn split(text: &[u8], variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(*byte);
                word.get_or_insert_default();
            }
            (quoted, Some(open)) if quoted == open => quote = None,
            (b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r', None) => words.extend(word.take()),
            (b'#', None) if word.is_none() => break,
            (b'\\', Some(b'\'')) => {
                // Within single quotes, it only escapes these two.
                let escaped = rest.first().filter(|next| matches!(next, b'\\' | b'\''));
                word.get_or_insert_default().push(escaped.copied().unwrap_or(b'\\'));
                rest = &rest[usize::from(escaped.is_some())..];
            }
            (b'\\', quote) => {
                let [escaped, after @ ..] = rest else { return Err("`-S` of `env` ends in a backslash".into()) };
                rest = after;
                match escaped {
                    b'c' if quote.is_none() => break,
                    b'_' if quote.is_none() => words.extend(word.take()),
                    _ => word.get_or_insert_default().push(unescaped(*escaped)?),
                }
            }
            (b'$', None | Some(b'"')) => {
                let end = rest.iter().position(|byte| *byte == b'}');
                let name = rest.strip_prefix(b"{").zip(end).and_then(|(name, end)| name.get(..end - 1));
                let name = name.and_then(|name| std::str::from_utf8(name).ok());
                let (Some(name), Some(end)) = (name, end) else {
                    return Err("`-S` of `env` has a `$` that does not start a `${NAME}`".into());
                };
                let value = variable(name).ok_or_else(|| {
                    format!("`-S` of `env` uses the variable `{name}`, whose value is unknown before the start")
                })?;
                word.get_or_insert_default().extend(value.into_bytes());
                rest = &rest[end + 1..];
            }
            (byte, _) => word.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err("`-S` of `env` has an unmatched quotation mark".into());
    }
    words.extend(word);
    Ok(words)
}

fn unescaped(byte: u8) -> Result<u8, String> {
    Ok(match byte {
        b'f' => b'\x0c',
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => b'\x0b',
        b'_' => b' ',
        b'#' | b'$' | b'"' | b'\'' | b'\\' => byte,
        _ => return Err(format!("`-S` of `env` has the unknown escape `\\{}`", byte.escape_ascii())),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn given(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/x y".into())
    }

    fn read(arguments: &[&str]) -> Result<EnvCommand, String> {
        parse(arguments.iter().map(Into::into), given)
    }

    fn texts(words: &[OsString]) -> Vec<&str> {
        words.iter().map(|word| word.to_str().unwrap()).collect()
    }

    #[test]
    fn every_spelling_is_parsed() {
        for (arguments, env_args, command) in [
            (&["node", "s"][..], &[][..], &["node", "s"][..]),
            (&["-S node --x", "s"], &[], &["node", "--x", "s"]),
            (&["-Snode", "s"], &[], &["node", "s"]),
            (&["-S", "node", "s"], &[], &["node", "s"]),
            (&["--split-string=node --x", "s"], &[], &["node", "--x", "s"]),
            (&["--split", "node", "s"], &[], &["node", "s"]),
            (&["-iS node", "s"], &["-i"], &["node", "s"]),
            (&["-vS -i A=1 node", "s"], &["-v", "-i", "A=1"], &["node", "s"]),
            (&["-S- node", "s"], &["-i"], &["node", "s"]),
            (&["-S-- node", "s"], &[], &["node", "s"]),
            (
                &["-S-u A -uB -C /d --chdir=/e node", "s"],
                &["-u", "A", "-u", "B", "-C", "/d", "--chdir=/e"],
                &["node", "s"],
            ),
            (&["-SA='b c' D=\\#e \"no\"de", "s"], &["A=b c", "D=#e"], &["node", "s"]),
            (
                &["-S --ignore-signal=INT --default-signal node", "s"],
                &["--ignore-signal=INT", "--default-signal"],
                &["node", "s"],
            ),
            (&["-Snode\\_--x # y", "s"], &[], &["node", "--x", "s"]),
            (&["-S\"a\\_b\" ${HOME} '${X}' \\c z", "s"], &[], &["a b", "/home/x y", "${X}", "s"]),
            (&["-S-S 'node --x'", "s"], &[], &["node", "--x", "s"]),
        ] {
            let parsed = read(arguments).unwrap_or_else(|problem| panic!("{arguments:?}: {problem}"));
            assert_eq!(
                (texts(&parsed.env_args), texts(&parsed.command)),
                (env_args.to_vec(), command.to_vec()),
                "{arguments:?}"
            );
        }
        assert_eq!(read(&["-SPATH=/a:/b node"]).unwrap().path, Some("/a:/b".into()));
    }

    #[test]
    fn unknown_spellings_are_refused() {
        for (arguments, says) in [
            (&["--weird", "node"][..], "`--weird` of `env` is not supported"),
            (&["-P/x", "node"], "`-P/x` of `env` is not supported"),
            (&["--"], "no program"),
            (&["-S${KEY} x"], "the variable `KEY`"),
            (&["-S$KEY x"], "does not start a `${NAME}`"),
            (&["-S'node"], "quotation mark"),
            (&["-Snode\\"], "ends in a backslash"),
            (&["-Snode\\q"], "unknown escape `\\q`"),
            (&["-u"], "needs a value"),
        ] {
            let problem = read(arguments).unwrap_err();
            assert!(problem.contains(says), "{arguments:?}: {problem}");
        }
    }

    /// Compares the parser to the system's own `env`, if that supports `-S`.
    #[test]
    fn words_are_split_as_env_splits_them() {
        let env = |text: &str| {
            let output =
                Command::new("/usr/bin/env").env("HOME", "/home/x y").arg(format!("-S{text}")).output().ok()?;
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        if env("printf x").is_none() {
            return;
        }
        for text in [
            r"printf <%s> a 'b c' d\_e ${HOME}",
            r#"printf <%s> "a\_b" 'c\_d' "e\tf" 'g\'h'"#,
            r#"printf <%s> a#b #c"#,
            r#"printf <%s> "" '' x"" "${HOME}y" \c z"#,
        ] {
            let words = read(&[&format!("-S{text}")]).unwrap().command;
            let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
            assert_eq!(env(text).unwrap(), String::from_utf8(output.stdout).unwrap(), "{text}");
        }
    }

    #[test]
    fn env_is_known_by_its_links() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/usr/bin/env", dir.path().join("other")).unwrap();
        for (path, is) in [
            (Path::new("/usr/bin/env"), true),
            (Path::new("/nowhere/env"), true),
            (&dir.path().join("other"), true),
            (Path::new("/bin/sh"), false),
        ] {
            assert_eq!(is_env(path), is, "{}", path.display());
        }
    }
}
