//! Removes what killed runs left, when the next run starts.

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use serde_json::Value;

use super::{error::Message, notices::Notices, paths::as_seen_here, text::one_line};
use host_model::shown;
use host_report::artifact::RunDirectory;
use host_wasm::sandbox::{CHECK, DeadRun, Sweep, sweep};

/// How long to wait for agents that a supervisor is still killing; that is done within this time.
const SUPERVISOR_TIMEOUT: Duration = Duration::from_secs(2);

/// The most runs that have a note of their own.
const MAX_NAMED_RUNS: usize = 5;

/// Bytes at the end of an event log in which its last event is looked for. That of a whole log is short.
const MAX_TAIL: u64 = 64 << 10;

/// Removes what dead runs and checks left in `folder`. Notices are given of those whose runs go to `output`; the others
/// belong to other suites. Nothing here can fail a run. Blocks.
pub(super) fn remove_leftovers(folder: &Path, output: &Path, notices: &dyn Notices) {
    let mut swept = sweep(folder, SUPERVISOR_TIMEOUT);
    for directory in swept.dead.iter().filter_map(|run| run.directory.as_deref()) {
        RunDirectory::remove_unfinished_link(directory);
    }
    swept.dead.retain(|run| is_of(run, output));
    for note in notes(&swept, folder) {
        notices.note(Message::plain(note));
    }
    for problem in &swept.problems {
        notices.warning(Message::plain(format!("{}; the next run retries", one_line(&problem.to_string()))));
    }
}

/// Whether a dead run, or check, was of the suite whose runs go to `output`.
fn is_of(dead: &DeadRun, output: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    let Some(directory) = dead.directory.as_deref() else { return false };
    whole(directory).zip(whole(output)).is_some_and(|(directory, output)| directory.starts_with(output))
}

/// What the user should know of the dead runs; empty when there are none.
fn notes(swept: &Sweep, folder: &Path) -> Vec<String> {
    let mut notes: Vec<String> = swept.dead.iter().take(MAX_NAMED_RUNS).map(how_it_ended).collect();
    let more = swept.dead.len().saturating_sub(MAX_NAMED_RUNS);
    if more > 0 {
        notes.push(format!("{more} more runs ended in the same way; their run directories remain"));
    }
    if !swept.dead.is_empty() {
        let count = swept.dead.len();
        let folders = if count == 1 { "folder" } else { "folders" };
        notes.push(format!("removed {count} temporary {folders} of dead runs from {}", shown(folder)));
    }
    notes
}

fn how_it_ended(dead: &DeadRun) -> String {
    let run = &dead.run;
    if run == CHECK {
        return "a `host check` was killed".into();
    }
    let Some(directory) = &dead.directory else { return format!("run {run} was killed") };
    let log = directory.join("events.jsonl");
    let path = shown(&as_seen_here(&log));
    match is_finished(&log) {
        Ok(true) => format!("run {run} ended without cleaning up; its event log is complete: {path}"),
        Ok(false) => format!("run {run} was killed; its event log is complete up to the last full line: {path}"),
        Err(_) => format!("run {run} was killed; it has no event log at {path}"),
    }
}

/// Whether the last full line of an event log is its end, for every version of the host.
fn is_finished(log: &Path) -> io::Result<bool> {
    let (mut file, _) = host_fs::open(log)?;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(MAX_TAIL)))?;
    let mut tail = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else { return Ok(false) };
    let last = tail[..end].rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(serde_json::from_slice::<Value>(last).is_ok_and(|event| event["event"] == "run-finished"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const STARTED: &str = r#"{"seq":0,"at-ms":0,"event":"lane-opened","lane":"l"}"#;
    const FINISHED: &str = r#"{"seq":1,"at-ms":9,"event":"run-finished","summary":{}}"#;

    fn dead(directory: &Path) -> DeadRun {
        DeadRun { run: "r".into(), directory: Some(directory.to_owned()) }
    }

    #[test]
    fn the_end_of_the_log_shows_how_a_run_ended() {
        let folder = tempfile::tempdir().unwrap();
        let text = || how_it_ended(&dead(folder.path()));
        let log = folder.path().join("events.jsonl");
        assert!(text().contains("no event log at"), "{}", text());
        for (content, what) in [
            (String::new(), "complete up to the last full line"),
            (format!("{STARTED}\n"), "complete up to the last full line"),
            (format!("{STARTED}\n{}", &FINISHED[..FINISHED.len() - 3]), "complete up to the last full line"),
            (format!("{STARTED}\n{FINISHED}\n"), "its event log is complete: "),
            (format!("{}\n{FINISHED}\n", "x".repeat(100_000)), "its event log is complete: "),
            (format!("{FINISHED}\n{}\n", "x".repeat(100_000)), "complete up to the last full line"),
        ] {
            fs::write(&log, &content).unwrap();
            assert!(text().contains(what), "{}", text());
        }
        assert_eq!(how_it_ended(&DeadRun { run: "r".into(), directory: None }), "run r was killed");
        let check = DeadRun { run: CHECK.into(), directory: None };
        assert_eq!(how_it_ended(&check), "a `host check` was killed");
    }

    #[test]
    fn only_runs_of_the_same_output_are_reported() {
        let here = tempfile::tempdir().unwrap();
        let output = here.path().join("suite/.host");
        fs::create_dir_all(output.join("runs/r")).unwrap();
        std::os::unix::fs::symlink("suite", here.path().join("linked")).unwrap();
        let is_own = |directory: Option<&str>, output: &Path| {
            is_of(&DeadRun { run: "r".into(), directory: directory.map(|name| here.path().join(name)) }, output)
        };
        for own in ["suite/.host/runs/r", "suite/.host/runs/gone", "suite/.host", "linked/.host/runs/r"] {
            assert!(is_own(Some(own), &output), "{own}");
            assert!(is_own(Some("suite/.host/runs/r"), &here.path().join("linked/.host")), "{own}");
        }
        for other in [Some("other/.host/runs/r"), Some("suite/.host2/runs/r"), None] {
            assert!(!is_own(other, &output), "{other:?}");
        }
    }

    #[test]
    fn many_dead_runs_have_few_notes() {
        let tmp = Path::new("/t\u{1b}mp");
        assert_eq!(notes(&Sweep::default(), tmp), [""; 0]);
        let seven = (0..7).map(|number| DeadRun { run: number.to_string(), directory: None }).collect();
        let text = notes(&Sweep { dead: seven, problems: Vec::new() }, tmp);
        assert_eq!(text.len(), MAX_NAMED_RUNS + 2, "{text:?}");
        assert!(text[MAX_NAMED_RUNS].contains("2 more"), "{text:?}");
        assert!(
            text.last().unwrap().ends_with("removed 7 temporary folders of dead runs from /t\\u{1b}mp"),
            "{text:?}"
        );
        let one = vec![dead(Path::new("/a\nerror: forged"))];
        let text = notes(&Sweep { dead: one, problems: Vec::new() }, tmp);
        assert!(text.len() == 2 && text.iter().all(|note| !note.contains('\n')), "a path is on one line");
    }
}
