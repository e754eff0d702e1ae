use std::fs;

use scenario_sdk::{
    Evidence, Tree,
    rehearsal::{self, Script},
};
use tempfile::TempDir;

use super::*;

const ITEM: &str = "---\nid: 1\ntitle: A\nstatus: review\nverdict:\n---\n\n# A\n\n### Feedback Cycles\n\n- Cycle 1: \
                    REJECTED, x\n- Cycle 2: **Passed**\n- Cycle three: no\n\n## Stage Report: draft\n\n- DONE: a\n\n## \
                    Stage Report: draft, round 2\n\n## Stage Report: drafting\n";
const FIELDS: &[&str] = &["status", "verdict"];

fn script() -> Script {
    Script::read(&rehearsal::folder("gate").join("agents/wrong-silent.toml")).unwrap()
}

/// A case whose item was `ITEM`, and the folder that its root is in.
fn case(after: &[(&str, &str)]) -> (TempDir, Case) {
    let folder = tempfile::tempdir().unwrap();
    let (before, root) = (folder.path().join("before"), folder.path().join("root"));
    fs::create_dir_all(&before).unwrap();
    fs::write(before.join("a.md"), ITEM).unwrap();
    for (path, text) in after {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    // The record of any session: these tests look at files only.
    let fixture = rehearsal::folder("gate").join("root");
    let session = rehearsal::play(&fixture, &script()).unwrap().evidence().session;
    let evidence = Evidence { before: Tree::at(before), after: Tree::at(root), session };
    (folder, Case::new("a", evidence))
}

#[test]
fn an_item_is_read_from_its_headings() {
    let item = Item::new("a.md".into(), ITEM.into());
    assert_eq!(item.front_matter().unwrap().value("status"), "review");
    assert_eq!(item.reports("draft").len(), 2);
    let cycles = item.cycles();
    assert_eq!(cycles.iter().map(|cycle| cycle.number).collect::<Vec<_>>(), [1, 2]);
    assert!(cycles[0].is_rejection() && cycles[1].is_pass() && !cycles[1].is_rejection());
    assert!(item.has_line("- DONE: a") && !item.has_line("DONE: a") && !item.has_line("id: 1"));
}

#[test]
fn an_item_is_found_in_place_or_archived_but_not_in_two_places() {
    assert!(case(&[("a.md", ITEM)]).1.found().is_ok());
    let (_folder, archived) = case(&[("_archive/2026/a.md", ITEM)]);
    assert!(archived.found().is_ok() && archived.not_archived().is_err());
    assert_eq!(archived.item().unwrap().path, "_archive/2026/a.md");
    assert!(case(&[("a.md", ITEM), ("_archive/a.md", ITEM)]).1.found().is_err());
    assert!(case(&[("b.md", ITEM)]).1.found().is_err());
    assert!(case(&[("a.md/folder", ITEM)]).1.found().is_err());
}

#[test]
fn only_the_items_own_paths_are_its_files() {
    let (_folder, case) = case(&[("a.md", ITEM)]);
    assert!(case.is_items_file("a.md") && case.is_items_file("_archive/a.md"));
    assert!(!case.is_items_file("ba.md") && !case.is_items_file("docs/a.md") && !case.is_items_file("_archive/ba.md"));
}

#[test]
fn each_kind_of_edit_is_found_by_a_check_of_its_own() {
    let edited = |from: &str, to: &str| case(&[("a.md", &ITEM.replace(from, to))]);
    let (_folder, status) = edited("status: review", "status: done");
    assert!(status.keeps("status").is_err() && status.keeps("verdict").is_ok());
    assert!(status.unchanged_except(FIELDS).is_ok() && status.unchanged_except(&["verdict"]).is_err());
    let (_folder, body) = edited("- DONE: a", "- DONE: b");
    assert!(body.keeps("status").is_ok() && body.unchanged_except(FIELDS).is_err());
}

#[test]
fn no_edit_escapes() {
    let (folder, _) = case(&[("a.md", ITEM)]);
    let (before, root) = (Tree::at(folder.path().join("before")), folder.path().join("root"));
    let fixture = rehearsal::folder("gate").join("root");
    let session = rehearsal::play(&fixture, &script()).unwrap().evidence().session;
    let escapes = |text: &str| {
        fs::write(root.join("a.md"), text).unwrap();
        let evidence = Evidence { before: before.clone(), after: Tree::at(&root), session: session.clone() };
        let case = Case::new("a", evidence);
        case.unchanged_except(FIELDS).is_ok() && FIELDS.iter().all(|field| case.keeps(field).is_ok())
    };
    assert!(escapes(ITEM), "the item as it was is no edit");
    for at in 0..ITEM.len() {
        let (head, tail) = ITEM.split_at(at);
        assert!(!escapes(&format!("{head}{}", &tail[1..])), "byte {at} deleted");
        for inserted in ["\n", " ", "#", "-", ":", "\"", "\r", "~", "x", "---\n", "verdict: PASS\n", "status: done\n"] {
            let text = format!("{head}{inserted}{tail}");
            assert!(text == ITEM || !escapes(&text), "{inserted:?} inserted at {at}");
        }
    }
    for (at, _) in ITEM.match_indices('\n') {
        let line_end = ITEM[at + 1..].find('\n').map_or(ITEM.len(), |next| at + 1 + next + 1);
        let text = format!("{}{}", &ITEM[..=at], &ITEM[line_end..]);
        assert!(text == ITEM || !escapes(&text), "the line at {at} deleted");
    }
}

#[test]
fn every_fixture_declares_the_stage_that_its_item_is_in() {
    for (scenario, slug) in [
        ("ensign-cycle", "flaky-test"),
        ("gate", "rate-limit-page"),
        ("rejection-flow", "release-4-2"),
        ("three-cycle-escalation", "welcome-mail"),
        ("merge-hook", "dark-mode"),
    ] {
        let root = Tree::at(rehearsal::folder(scenario).join("root"));
        let readme = Item::new("README.md".into(), root.text("README.md").unwrap());
        let item = Item::new(format!("{slug}.md"), root.text(&format!("{slug}.md")).unwrap());
        let stages = readme.front_matter().unwrap().groups("stages");
        let status = item.front_matter().unwrap().value("status");
        assert!(stages.iter().any(|stage| stage["name"] == status), "{scenario}: {status}");
        assert_eq!(stages.iter().filter(|stage| stage.contains_key("initial")).count(), 1, "{scenario}");
        assert!(stages.last().unwrap().contains_key("terminal"), "{scenario}");
    }
}
