//! Holds the module table of the architecture: what each module of the crate may use.
//!
//! It reads the sources as tokens, with comments, texts and everything under `#[cfg(test)]` left out, and writes
//! out every path that they name, those of `use` trees included.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// A module, and the others that it may use. Nothing else may.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("files", &[]),
    ("clock", &[]),
    ("config", &["files", "model"]),
    ("engine", &["model"]),
    ("component", &["clock", "engine", "model"]),
    ("sandbox", &["clock", "engine", "files", "model"]),
    ("lane", &["clock", "files", "model"]),
    ("plan", &["config", "model"]),
    ("runner", &["plan", "component", "sandbox", "lane", "clock", "model"]),
    ("report", &["model"]),
    ("artifact", &["clock", "model"]),
    (
        "cli",
        &[
            "artifact",
            "clock",
            "component",
            "config",
            "engine",
            "files",
            "lane",
            "model",
            "plan",
            "report",
            "runner",
            "sandbox",
        ],
    ),
    ("main", &["cli"]),
];

/// Paths that only the named module may use; a path stands for all below it.
const RESERVED: &[(&str, Option<&str>)] =
    &[("wasmtime::Config", Some("engine")), ("std::process::exit", None), ("std::process::abort", None)];

/// What changes the environment of the whole process, by whatever path it is reached.
const NOWHERE: &[&str] = &["set_var", "remove_var"];

/// What plain data needs none of.
const NOT_IN_MODEL: &[&str] = &["tokio", "wasmtime", "wasmtime_wasi", "clap", "std::fs", "std::net", "std::process"];
/// A number with a meaning, which `main` returns.
const BUT_IN_MODEL: &[&str] = &["std::process::ExitCode"];

/// `main.rs` has fewer.
const MAIN_LINES: usize = 15;

#[test]
fn every_module_uses_only_what_the_table_gives_it() {
    let sources = sources();
    for (module, _) in MAY_USE {
        assert!(sources.iter().any(|source| source.module == *module), "there is no module `{module}` any more");
    }
    let problems: Vec<Problem> = sources.iter().flat_map(check).collect();
    assert!(problems.is_empty(), "\n{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn main_is_a_dozen_lines() {
    let lines = fs::read_to_string(src().join("main.rs")).unwrap().lines().count();
    assert!(lines < MAIN_LINES, "main.rs has {lines} lines; move code to cli/");
}

/// What is wrong with a made-up source of `module`.
fn found(module: &str, text: &str) -> Vec<String> {
    let source = Source { path: "made/up.rs".into(), module: module.into(), depth: 2, text: text.into() };
    check(&source).into_iter().map(|problem| problem.to_string()).collect()
}

#[test]
fn the_checker_finds_what_is_forbidden() {
    for (module, text, what) in [
        ("model", "use crate::config::Settings;", "`model` may not use `config` (crate::config::Settings)"),
        ("model", "use crate::{model::Id, runner::{self, x}};", "`model` may not use `runner`"),
        ("plan", "fn f() -> crate::runner::Feed { todo!() }", "`plan` may not use `runner`"),
        ("lane", "pub use super::super::sandbox;", "`lane` may not use `sandbox`"),
        ("lane", "use super::super::{sandbox as box_of, model};", "`lane` may not use `sandbox`"),
        ("report", "use crate::*;", "`report` may not use `*`"),
        ("main", "fn main() { host::engine::run() }", "`main` may not use `engine`"),
        ("sandbox", "fn f(c: wasmtime::Config) {}", "wasmtime::Config is for `engine` alone"),
        ("sandbox", "use wasmtime::{Engine, Config as C};", "wasmtime::Config is for `engine` alone"),
        ("component", "use wasmtime::*;", "wasmtime::Config is for `engine` alone"),
        ("engine", "fn f() { std::process::exit(1) }", "std::process::exit is for nobody"),
        ("cli", "use std::process; fn f() { process::exit(1) }", "std::process::exit is for nobody"),
        ("cli", "use std::{io, process::{exit as leave, Command}};", "std::process::exit is for nobody"),
        ("cli", "fn f() { unsafe { std::env::set_var(\"A\", \"b\") } }", "`set_var` is for nobody"),
        ("cli", "use std::env::remove_var as forget;", "`remove_var` is for nobody"),
        ("model", "use std::{fs, fmt};", "`model` may not use std::fs"),
        ("model", "use ::std::net::TcpStream;", "`model` may not use std::net"),
        ("model", "fn f(c: std::process::Command) {}", "`model` may not use std::process"),
        ("model", "use std::process;", "`model` may not use std::process"),
        ("model", "use tokio as t;", "`model` may not use tokio"),
        ("model", "#[derive(clap::Parser)] struct S;", "`model` may not use clap"),
        ("model", "#[cfg(test)] mod tests { use x::y; } use wasmtime::Engine;", "`model` may not use wasmtime"),
        ("model", "fn f() -> char { let _ = ('\"', b'\\'', r#\"\"\"#); clap::x() }", "`model` may not use clap"),
        ("model", "fn f<'a>(x: &'a str) { tokio::spawn(x) }", "`model` may not use tokio"),
    ] {
        let problems = found(module, text);
        assert!(problems.iter().any(|problem| problem.contains(what)), "{text}\n{problems:#?}");
    }
}

#[test]
fn the_checker_says_where() {
    assert_eq!(
        found("model", "//! fine\n\nuse crate::lane::Lane;\n"),
        ["made/up.rs:3: `model` may not use `lane` (crate::lane::Lane)"]
    );
}

#[test]
fn the_checker_lets_pass_what_is_allowed_or_no_code() {
    for (module, text) in [
        ("plan", "use crate::{config::Settings, model::{Id, Lane}, plan::x};"),
        ("lane", "use super::{scripted, session::Session}; use crate::lane::orphans;"),
        ("engine", "use wasmtime::{Config, Engine};"),
        ("model", "use std::{process::ExitCode, fmt};"),
        ("model", "// use tokio::x;\n/* std::fs /* nested */ std::net */ const A: &str = \"clap::x \\\" std::fs\";"),
        ("model", "const A: &str = r##\"tokio::spawn \"# crate::cli::x\"##;"),
        ("model", "#[cfg(test)]\n#[allow(x)]\nmod tests { use tokio::x; fn f() { std::fs::read(\"}\"); } }"),
        ("model", "#[cfg(test)] use tokio::x; #[cfg(test)] mod tests;"),
        ("cli", "fn f() { other::exit(1); self.exit(); let set = 1; }"),
        ("model", "struct S { wasmtime: String, clap: u8 } fn f(tokio: S) { tokio.wasmtime }"),
        ("sandbox", "struct Config; fn f(c: Config, m: wasmtime::component::Component) {}"),
    ] {
        assert_eq!(found(module, text), Vec::<String>::new(), "{text}");
    }
}

fn src() -> PathBuf {
    host_testing::repository().join("host/src")
}

/// A file of the crate.
struct Source {
    path: String,
    /// The module of the table that it belongs to.
    module: String,
    /// How far its own module lies below the crate's root.
    depth: usize,
    text: String,
}

/// Every file of the crate but its tests and `lib.rs`, which only names the modules.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![src()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name == "tests" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(src()).unwrap();
            if path.extension().is_none_or(|extension| extension != "rs") || inside == Path::new("lib.rs") {
                continue;
            }
            let parts: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
            let module = parts[0].trim_end_matches(".rs").to_owned();
            let depth = parts.len() - usize::from(name == "mod");
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: inside.display().to_string(), module, depth, text });
        }
    }
    sources
}

/// Something that a file must not name.
struct Problem {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

fn check(source: &Source) -> Vec<Problem> {
    let module = source.module.as_str();
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
        let what = format!("`{module}` is not in the table of modules");
        return vec![Problem { path: source.path.clone(), line: 1, what }];
    };
    let mut problems = Vec::new();
    for Named { line, path, imported } in paths(&without_tests(tokens(&source.text))) {
        let mut wrong = |what: String| problems.push(Problem { path: source.path.clone(), line, what });
        let shown = path.join("::");
        if let Some(used) = module_of(&path, source)
            && used != module
            && !allowed.contains(&used)
        {
            wrong(format!("`{module}` may not use `{used}` ({shown})"));
        }
        for (reserved, owner) in RESERVED {
            if *owner != Some(module) && reaches(&path, reserved) {
                let owner = owner.map_or("nobody".to_owned(), |owner| format!("`{owner}` alone"));
                wrong(format!("{reserved} is for {owner}"));
            }
        }
        if let Some(name) = path.iter().find(|name| NOWHERE.contains(&name.as_str())) {
            wrong(format!("`{name}` is for nobody"));
        }
        // A lone name is a field or a variable, unless it is brought in.
        if module == "model"
            && (path.len() > 1 || imported)
            && let Some(reserved) = NOT_IN_MODEL.iter().find(|reserved| starts_with(&path, reserved))
            && !BUT_IN_MODEL.iter().any(|fine| starts_with(&path, fine))
        {
            wrong(format!("`model` may not use {reserved}"));
        }
    }
    problems
}

/// The module of the table that a path leads to, when it leads to one.
fn module_of<'a>(path: &'a [String], source: &Source) -> Option<&'a str> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    if supers > 0 {
        return if supers == source.depth { path.get(supers).map(String::as_str) } else { None };
    }
    // `main.rs` is a crate of its own.
    let own = if source.module == "main" { "host" } else { "crate" };
    (path[0] == own).then(|| path.get(1).map(String::as_str)).flatten()
}

fn starts_with(path: &[String], prefix: &str) -> bool {
    let prefix: Vec<&str> = prefix.split("::").collect();
    path.len() >= prefix.len() && path.iter().zip(&prefix).all(|(name, wanted)| name == wanted)
}

/// Whether `path` names `reserved`: as it is, with a `*` in place of its end, or without its beginning where that
/// was brought in by a `use` (`process::exit`).
fn reaches(path: &[String], reserved: &str) -> bool {
    let full: Vec<&str> = reserved.split("::").collect();
    let tail = full[full.len().saturating_sub(2)..].join("::");
    let parent = full[..full.len() - 1].join("::");
    starts_with(path, reserved) || starts_with(path, &tail) || starts_with(path, &format!("{parent}::*"))
}

/// Words of the language that may stand before a path that begins with `::`.
const BEFORE_PATHS: [&str; 17] = [
    "use", "as", "in", "return", "break", "impl", "dyn", "where", "for", "mut", "if", "else", "match", "while", "move",
    "unsafe", "let",
];

/// A piece of source text: a name, or a mark (`::` is one).
#[derive(Clone, Debug, PartialEq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_') && !BEFORE_PATHS.contains(&self.text.as_str())
    }
}

/// The tokens of a source, without comments, texts, characters, lifetimes and numbers.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    let is = |at: usize, wanted: &str| wanted.chars().enumerate().all(|(step, c)| chars.get(at + step) == Some(&c));
    while at < chars.len() {
        let start = at;
        if is(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if is(at, "/*") {
            let mut depth = 0;
            loop {
                if is(at, "/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if is(at, "*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = raw_text_end(&chars, at) {
            at = end;
        } else if chars[at] == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if chars[at] == '\'' {
            let escaped = chars.get(at + 1) == Some(&'\\');
            if escaped || chars.get(at + 2) == Some(&'\'') {
                at += if escaped { 3 } else { 2 };
                while at < chars.len() && chars[at] != '\'' {
                    at += 1;
                }
                at += 1;
            } else {
                // A lifetime.
                at += 1;
                while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                    at += 1;
                }
            }
        } else if chars[at].is_alphanumeric() || chars[at] == '_' {
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            if !chars[start].is_numeric() {
                tokens.push(Token { line, text: chars[start..at].iter().collect() });
            }
        } else if is(at, "::") {
            tokens.push(Token { line, text: "::".into() });
            at += 2;
        } else {
            if !chars[at].is_whitespace() {
                tokens.push(Token { line, text: chars[at].to_string() });
            }
            at += 1;
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Where the raw text that begins at `at` ends, when one begins there.
fn raw_text_end(chars: &[char], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).map(|before| chars[before]);
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let mut next = at;
    while matches!(chars.get(next), Some('b' | 'c')) {
        next += 1;
    }
    if chars.get(next) != Some(&'r') {
        return None;
    }
    let hashes = chars[next + 1..].iter().take_while(|c| **c == '#').count();
    let mut end = next + 1 + hashes;
    if chars.get(end) != Some(&'"') {
        return None;
    }
    loop {
        end += 1;
        let c = chars.get(end)?;
        if *c == '"' && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(end + 1 + hashes);
        }
    }
}

/// Leaves out every item under `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let marked = MARK.iter().enumerate().all(|(step, c)| tokens.get(at + step).is_some_and(|it| it.text == *c));
        if !marked {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // To the end of the item: a `;`, or the brace that closes its body.
        let mut depth = 0_usize;
        at += MARK.len();
        while at < tokens.len() {
            match tokens[at].text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let ends = depth == 0 && matches!(tokens[at].text.as_str(), ";" | "}");
            at += 1;
            if ends {
                break;
            }
        }
    }
    kept
}

/// A path that a source names.
struct Named {
    line: usize,
    path: Vec<String>,
    /// Whether it stands right after `use`.
    imported: bool,
}

/// Every path, `use` trees written out.
fn paths(tokens: &[Token]) -> Vec<Named> {
    let mut named = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = tokens[at].is_name() || tokens[at].text == "::" && next_is_name(tokens, at);
        if begins {
            at = path(tokens, at, &[], &mut named);
        } else {
            at += 1;
        }
    }
    named
}

fn next_is_name(tokens: &[Token], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(Token::is_name)
}

/// Reads the path at `at`, with `prefix` before it, and returns where it ends.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], named: &mut Vec<Named>) -> usize {
    let line = tokens[at].line;
    let imported = at > 0 && tokens[at - 1].text == "use";
    let mut path = prefix.to_vec();
    if tokens[at].text == "::" {
        at += 1;
    }
    loop {
        match tokens.get(at).map(|token| token.text.as_str()) {
            Some("{") => return group(tokens, at + 1, &path, named),
            Some("*") if !path.is_empty() => path.push("*".into()),
            Some(name) if tokens[at].is_name() => {
                if name != "self" {
                    path.push(name.to_owned());
                }
            }
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    if !path.is_empty() {
        named.push(Named { line, path, imported });
    }
    at
}

/// Reads `a::b, c::{…}}` and returns where it ends.
fn group(tokens: &[Token], mut at: usize, prefix: &[String], named: &mut Vec<Named>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "}" => return at + 1,
            "as" => at += 2,
            "*" => at = path(tokens, at, prefix, named),
            "::" => at = path(tokens, at, prefix, named),
            _ if token.is_name() => at = path(tokens, at, prefix, named),
            _ => at += 1,
        }
    }
    at
}
