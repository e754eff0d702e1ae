//! `turns`: has two conversations, one of two turns, and tells all that it sees wherever it can look, as a finding.

use std::{fmt::Write, fs, path::Path};

use scenario_sdk::{Finding, Outcome, Scenario, Session, Verdict};

/// The scenario.
pub const TURNS: Scenario = Scenario::new("turns", "Tells all that it sees.", run).needs(&["session"]);

scenario_sdk::plugin![TURNS];

fn run() -> Outcome {
    let mut seen = String::new();
    look(&mut seen, "before");
    fs::write("/own.txt", "by the component").expect("the root can be written");
    let mut session = Session::start("one")?;
    session.finish_turn()?;
    look(&mut seen, "after the first turn");
    fs::write("/between.txt", "by the component").expect("the root can be written");
    session.send("two")?;
    note(&mut seen, "first", &session.conclude()?);
    look(&mut seen, "after the first session");
    fs::remove_file("/between.txt").expect("it is there");
    note(&mut seen, "second", &Session::run("three")?);
    look(&mut seen, "after the second session");
    Ok(Verdict::Fail(vec![Finding { code: "seen".to_owned(), message: seen, evidence: None }]))
}

fn note(seen: &mut String, what: &str, record: &scenario_sdk::Record) {
    for event in &record.events {
        writeln!(seen, "{what}: {event:?}").expect("memory");
    }
    writeln!(seen, "{what}: {:?}", record.conclusion).expect("memory");
}

fn look(seen: &mut String, when: &str) {
    for folder in ["/", "/host/config"] {
        list(seen, when, Path::new(folder));
    }
}

fn list(seen: &mut String, when: &str, folder: &Path) {
    let mut entries: Vec<_> = fs::read_dir(folder).expect("a folder").flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let shown = path.display();
        let kind = entry.file_type().expect("it has a type");
        if kind.is_symlink() {
            writeln!(seen, "{when}: {shown} -> {:?}", fs::read_link(&path)).expect("memory");
        } else if kind.is_dir() {
            writeln!(seen, "{when}: {shown}/").expect("memory");
            list(seen, when, &path);
        } else {
            writeln!(seen, "{when}: {shown} = {:?}", fs::read_to_string(&path)).expect("memory");
        }
    }
}
