//! The documentation says what the program does: flags, keys, events, words, links.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use host_model::{Event, EventKind, Script};
use host_testing::{host_binary, repository};
use serde::de::DeserializeOwned;

/// No key, step, event or class of anything is called that, or nearly that.
const NOTHING: &str = "zzzqqqxxxjjj";

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn host(args: &[&str], cwd: &Path) -> Output {
    let mut command = Command::new(host_binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOST_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(cwd).output().unwrap()
}

fn help(command: &[&str]) -> String {
    let output = host(&[command, &["--help"]].concat(), &repository());
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `host --help` lists.
fn commands() -> BTreeSet<String> {
    let help = help(&[]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A line that is indented further goes on with the one before.
    let names = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.map(|line| line.split(' ').next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

/// The rows of all tables between a heading and the next of any level, each as its cells; without the header's.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "there is no heading `{heading}`");
    let section: Vec<&str> = lines.take_while(|line| !line.starts_with('#')).collect();
    let mut rows = Vec::new();
    for (index, line) in section.iter().enumerate() {
        let next_is_rule = section.get(index + 1).is_some_and(|line| line.starts_with("|---"));
        if line.starts_with('|') && !line.starts_with("|---") && !next_is_rule {
            rows.push(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        }
    }
    assert!(!rows.is_empty(), "there is no table below `{heading}`");
    rows
}

/// What stands in single backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn first_cells(rows: &[Vec<String>]) -> BTreeSet<String> {
    rows.iter().flat_map(|row| quoted(&row[0])).collect()
}

/// Words that begin like a flag: `--jobs`, `-j`.
fn flags(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let flag = |word: &&str| {
        let name = word.trim_start_matches('-');
        let dashes = word.len() - name.len();
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && (dashes == 2 || dashes == 1 && name.len() == 1)
    };
    words.filter(flag).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[test]
fn the_reference_has_every_flag_and_no_other() {
    let mut real = BTreeSet::new();
    for command in commands() {
        let help = help(&[&command]);
        let (_, options) = help.split_once("Options:\n").unwrap();
        // A flag's own line; the text about it is indented further.
        for line in options.lines().filter(|line| line.trim_start().starts_with('-') && !line.starts_with("       ")) {
            real.extend(flags(line).map(|flag| (command.clone(), flag)));
        }
    }
    let mut written = BTreeSet::new();
    for row in rows(&read("docs/reference/cli.md"), "## Flags") {
        for command in row[1].split(", ") {
            written.extend(quoted(&row[0]).iter().flat_map(|cell| flags(cell)).map(|flag| (command.to_owned(), flag)));
        }
    }
    assert_eq!(written, real);
}

#[test]
fn the_reference_has_every_command_and_no_other() {
    let rows = rows(&read("docs/reference/cli.md"), "# Command line");
    let written: BTreeSet<String> =
        first_cells(&rows).iter().map(|usage| usage.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(written, commands());
}

#[test]
fn the_reference_has_every_variable() {
    let written = first_cells(&rows(&read("docs/reference/cli.md"), "## Environment"));
    for command in commands() {
        let help = help(&[&command]);
        for named in help.split("[env: ").skip(1) {
            let name = named.split('=').next().unwrap();
            assert!(written.contains(name), "docs/reference/cli.md lacks `{name}`");
        }
    }
    let sources = sources();
    for name in written {
        let read_somewhere = sources.values().any(|text| text.contains(&format!("\"{name}\"")));
        assert!(read_somewhere || name == "TMPDIR", "nothing reads `{name}`");
    }
}

/// The exit codes of `host --help`, in order.
fn exit_codes() -> Vec<String> {
    let help = help(&[]);
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    codes.lines().map(|code| code.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn exit_codes_are_the_same_in_the_help_and_the_reference() {
    let rows = rows(&read("docs/reference/verdicts.md"), "## Exit codes");
    assert_eq!(rows.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>(), exit_codes());
}

/// What serde says is known in place of a name that is not.
fn known_variants<T: DeserializeOwned>(document: &str) -> BTreeSet<String> {
    let error = serde_json::from_str::<T>(document).err().unwrap().to_string();
    let (_, known) = error.split_once("expected").unwrap_or_else(|| panic!("{error}"));
    quoted(known).into_iter().collect()
}

#[test]
fn verdicts_and_fault_classes_are_the_same_as_in_the_model() {
    let text = read("docs/reference/verdicts.md");
    let tables = [rows(&text, "## Verdicts"), rows(&text, "## Fault classes")].concat();
    let verdicts = known_variants::<host_model::Verdict>(&format!(r#"{{"verdict":"{NOTHING}"}}"#));
    let classes = known_variants::<host_model::FaultClass>(&format!(r#""{NOTHING}""#));
    assert_eq!(first_cells(&tables), verdicts.union(&classes).cloned().collect());
}

/// The keys that the program knows in a file of a suite, below a table's header if one is given. `None` when there is
/// no such table, nor a list of such tables.
fn known_keys(file: &str, header: Option<&str>) -> Option<BTreeSet<String>> {
    let below = |header: &str| {
        let message = complaint(file, &format!("{header}{NOTHING} = 1\n"));
        let (_, rest) = message.split_once(&format!("unknown key `{NOTHING}`"))?;
        let (_, known) = rest.split_once("; expected one of ")?;
        Some(quoted(known).into_iter().collect())
    };
    let Some(header) = header else { return below("") };
    below(&format!("[{header}]\n")).or_else(|| below(&format!("[[{header}]]\n")))
}

/// The first line that the program says of a file.
fn complaint(file: &str, content: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    let output = host(&["list"], folder.path());
    assert_eq!(output.status.code(), Some(96), "{content} was taken");
    String::from_utf8(output.stderr).unwrap().lines().next().unwrap_or_default().to_owned()
}

/// All keys of a file, those of tables as `TABLE.KEY`. `free` names tables whose own keys are free.
fn all_keys(file: &str, free: &[&str]) -> BTreeSet<String> {
    let mut all = known_keys(file, None).unwrap_or_else(|| panic!("{file}: the error lists no keys"));
    for table in all.clone() {
        let table = if free.contains(&table.as_str()) { format!("{table}.NAME") } else { table };
        let keys = known_keys(file, Some(&table)).unwrap_or_default();
        all.extend(keys.into_iter().map(|key| format!("{table}.{key}")));
    }
    all
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    for (page, file, free) in [
        ("docs/reference/scenario-toml.md", "scenarios/a/scenario.toml", &[][..]),
        ("docs/reference/suite-toml.md", "scenarios/suite.toml", &["lane", "profile"][..]),
    ] {
        assert_eq!(first_cells(&key_rows(&read(page))), all_keys(file, free), "{page}");
    }
}

/// The rows of all tables of a page whose first column is called `key`.
fn key_rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        in_table = line.starts_with("| key |") || in_table && line.starts_with('|');
        if in_table && line.starts_with("| `") {
            rows.push(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        }
    }
    assert!(!rows.is_empty(), "there is no table of keys");
    rows
}

/// The keys that a cell names; what stands in parentheses are defaults.
fn own_keys(cell: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut depth = 0_usize;
    for c in cell.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    quoted(&plain)
}

#[test]
fn the_reference_has_every_step_and_fault_and_no_other() {
    const SCRIPT: &str = "summary = \"s\"\nexpect = { verdict = \"pass\" }\n[[step]]\n";
    const FILE: &str = "scenarios/a/agents/b.toml";
    let page = read("docs/reference/scripted-agents.md");
    let (steps, faults) = (rows(&page, "## Steps"), rows(&page, "## Faults"));
    let mut written = first_cells(&steps);
    written.extend(steps.iter().chain(&faults).flat_map(|row| own_keys(&row[1])));
    let message = complaint(FILE, &format!("{SCRIPT}{NOTHING} = 1\n"));
    let (_, known) = message.split_once("expected one of ").unwrap_or_else(|| panic!("{message}"));
    assert_eq!(written, quoted(known).into_iter().collect());

    let message = complaint(FILE, &format!("{SCRIPT}fault = \"{NOTHING}\"\n"));
    let (_, known) = message.split_once("the faults are ").unwrap_or_else(|| panic!("{message}"));
    assert_eq!(first_cells(&faults), quoted(known).into_iter().collect());
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_script_in_the_documentation_is_one() {
    let mut scripts = 0;
    for file in markdown() {
        for block in blocks(&fs::read_to_string(&file).unwrap(), "toml") {
            if block.contains("[[step]]") {
                scripts += 1;
                toml::from_str::<Script>(block).unwrap_or_else(|error| panic!("{}: {error}\n{block}", file.display()));
            }
        }
    }
    assert!(scripts >= 4, "only {scripts} scripts were found");
}

#[test]
fn every_kind_of_event_has_an_example_that_is_one() {
    let text = read("docs/reference/events.md");
    let mut shown = BTreeSet::new();
    for line in blocks(&text, "json").iter().flat_map(|block| block.lines()) {
        let event: Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let again = serde_json::to_value(&event).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(line).unwrap());
        shown.insert(again["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(shown, known_variants::<EventKind>(&format!(r#"{{"event":"{NOTHING}"}}"#)));
}

/// The schema that the program prints.
fn event_schema() -> serde_json::Value {
    let output = host(&["schema"], &repository());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The names of all properties in a schema.
fn properties(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        found.extend(properties.keys().cloned());
    }
    match schema {
        serde_json::Value::Object(map) => map.values().for_each(|value| properties(value, found)),
        serde_json::Value::Array(all) => all.iter().for_each(|value| properties(value, found)),
        _ => {}
    }
}

#[test]
fn every_event_has_a_section_with_all_its_keys_and_no_other() {
    let text = read("docs/reference/events.md");
    let schema = event_schema();
    let kinds = schema["oneOf"].as_array().unwrap();
    assert!(kinds.len() > 10);
    for kind in kinds {
        let name = kind["properties"]["event"]["const"].as_str().unwrap();
        let keys: BTreeSet<String> = kind["properties"].as_object().unwrap().keys().cloned().collect();
        let heading = format!("### `{name}`");
        let section = text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        // The first table is that of the event's own keys.
        let table = section.split("\n\n").find(|part| part.trim_start().starts_with('|')).unwrap();
        let written = table.lines().skip(2).map(|row| quoted(row)[0].clone()).chain(["event".to_owned()]);
        assert_eq!(written.collect::<BTreeSet<_>>(), keys, "{name}");
    }
    let mut all = BTreeSet::new();
    properties(&schema, &mut all);
    let named: BTreeSet<String> = quoted(&text.replace("```", "")).into_iter().collect();
    assert_eq!(all.difference(&named).collect::<Vec<_>>(), [""; 0], "keys that docs/reference/events.md does not name");
}

/// The words that are headings of a level, in backquotes.
fn headed(text: &str, level: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix(level)?.strip_prefix(" `")?.strip_suffix('`'));
    headings.map(str::to_owned).collect()
}

#[test]
fn every_verdict_and_every_class_of_fault_has_its_section() {
    let verdicts = known_variants::<host_model::Verdict>(&format!(r#"{{"verdict":"{NOTHING}"}}"#));
    assert_eq!(headed(&read("docs/guides/reading-a-run.md"), "###"), verdicts);
    let mut troubles = known_variants::<host_model::FaultClass>(&format!(r#""{NOTHING}""#));
    troubles.extend(["blocked", "cancelled", "flaky"].map(str::to_owned));
    assert_eq!(headed(&read("docs/guides/troubleshooting.md"), "##"), troubles);
}

/// Everything below `folder` that `wanted` takes, without what is built or downloaded.
fn files(folder: &Path, wanted: fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            // Links are not followed.
            let kind = entry.file_type().unwrap();
            if kind.is_dir()
                && !matches!(name.to_str(), Some("target" | ".git" | ".host" | "node_modules" | ".languages"))
            {
                folders.push(path);
            } else if kind.is_file() && wanted(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn markdown() -> Vec<PathBuf> {
    files(&repository(), |path| path.extension().is_some_and(|extension| extension == "md"))
}

fn sources() -> BTreeMap<PathBuf, String> {
    let rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let all = ["host", "plugins"].iter().flat_map(|folder| files(&repository().join(folder), rust));
    all.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// A heading as the end of a link to it, as code hosts make it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The text without code: what looks like a link there is none.
fn prose(text: &str) -> String {
    let outside = text.split("```").step_by(2).collect::<String>();
    outside.split('`').step_by(2).collect()
}

#[test]
fn every_relative_link_has_a_target() {
    let mut problems = Vec::new();
    let mut links = 0;
    for file in markdown() {
        let text = fs::read_to_string(&file).unwrap();
        let text = prose(&text);
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let led = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let there = fragment.is_empty() && led.exists()
                || fs::read_to_string(&led).is_ok_and(|text| {
                    let headings = text.lines().filter(|line| line.starts_with('#'));
                    headings.map(|line| anchor(line.trim_start_matches('#').trim())).any(|anchor| anchor == fragment)
                });
            if !there {
                problems.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(links > 20, "only {links} links were found");
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn the_documentation_names_no_place_of_one_machine_and_no_registry() {
    const PLACES: [&str; 8] = ["/home/", "/root/", "/Users/", "/work/", "/tmp/", "/var/", "/opt/", "C:\\"];
    const REGISTRIES: [&str; 8] = [
        "crates.io",
        "pypi.org",
        "npmjs.",
        "ghcr.io",
        "docker.io",
        "golang.org",
        "deb.debian.org",
        "static.rust-lang.org",
    ];
    let mut problems = Vec::new();
    for file in markdown() {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            // `host/root/` and the like are relative.
            let place = PLACES.iter().find(|place| {
                line.match_indices(**place)
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_.>-".contains(c)))
            });
            if let Some(found) = place.or_else(|| REGISTRIES.iter().find(|name| line.contains(**name))) {
                problems.push(format!("{}:{}: {found}", file.display(), number + 1));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_test_that_the_documentation_names_is_there() {
    let sources = sources();
    let mut named = 0;
    for file in ["docs/explanation/security-tests.md", "docs/explanation/architecture.md"] {
        for word in quoted(&read(file)) {
            // `module::test_name`
            let Some((_, test)) = word.rsplit_once("::") else { continue };
            let is_test = test.matches('_').count() >= 2
                && test.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
            if is_test {
                named += 1;
                assert!(sources.values().any(|text| text.contains(&format!("fn {test}("))), "{file}: `{word}`");
            }
        }
    }
    assert!(named > 150, "only {named} tests were found");
}
