//! What was built against a published version of the contract goes on running. `tests/fixtures/contract-VERSION.wit` has
//! the world of each, without its comments.

use std::path::PathBuf;

use host_model::Verdict;
use host_testing::{Listed, Suite, fixture, repository, typed_module_of};
use wit_component::semver_check;
use wit_parser::Resolve;

const VERSIONS: [&str; 1] = ["0.1.0"];

fn published(version: &str) -> PathBuf {
    fixture(&format!("contract-{version}.wit"))
}

/// Whether a component of the world `plugin` in `old` can be run by a host of that in `new`.
fn is_compatible(old: &str, new: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    // One package cannot be there twice; the check leaves versions aside.
    let old = resolve.push_str("old.wit", &old.replace("package scenario:host@0.1.0", "package scenario:host@0.0.1"));
    let old = old.unwrap();
    let new = resolve.push_str("new.wit", new).unwrap();
    let world = |package| resolve.select_world(&[package], Some("plugin")).unwrap();
    let (old, new) = (world(old), world(new));
    semver_check(resolve, old, new).map_err(|error| format!("{error:#}"))
}

/// The world `plugin` of today, in one text.
fn current() -> String {
    let wit = repository().join("wit");
    let read = |name: &str| std::fs::read_to_string(wit.join(name)).unwrap();
    let world = read("world.wit");
    let plugin = world.split("/// The same with everything of WASI").next().unwrap();
    let interfaces = ["agent.wit", "report.wit", "scenarios.wit"].map(|name| {
        let text = read(name);
        text.lines().filter(|line| !line.starts_with("package ")).map(|line| format!("{line}\n")).collect::<String>()
    });
    plugin.to_owned() + &interfaces.concat()
}

#[test]
fn plugins_of_every_published_contract_still_load() {
    for version in VERSIONS {
        let published = std::fs::read_to_string(published(version)).unwrap();
        assert_eq!(is_compatible(&published, &current()), Ok(()), "{version}");
    }
}

#[test]
fn the_check_finds_what_breaks_a_plugin() {
    let published = std::fs::read_to_string(published("0.1.0")).unwrap();
    for (was, is) in [
        ("step: func(name: string);", "step: func(name: string, level: u32);"),
        ("final-message: string,", "final-message: option<string>,"),
        ("pass,", "pass, flaky,"),
        ("note: func(text: string);", ""),
    ] {
        assert!(published.contains(was), "{was}");
        assert!(is_compatible(&published, &published.replace(was, is)).is_err(), "{was} -> {is}");
    }
}

#[test]
fn a_plugin_that_was_built_against_a_published_contract_runs() {
    for version in VERSIONS {
        let suite = Suite::new();
        let listed = [Listed { name: "old", summary: "Built long ago.", ..Listed::default() }];
        suite.file("old.wasm", typed_module_of(&published(version), &listed, "", "", ""));
        let run = suite.host(["run", "old.wasm"]);
        run.exits(0);
        assert_eq!(*run.verdict("old"), Verdict::Pass, "{version}: {}", run.told());
    }
}
