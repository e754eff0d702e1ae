//! Links of a suite, and files that are none.

use super::*;

/// A suite with the scenario `one`, beside a folder `outside` with something of everything.
fn suite() -> Suite {
    Suite::empty()
        .file("outside/scenario.toml", "summary = \"the machine's\"")
        .file("outside/right.toml", AGENT)
        .file("outside/root/secret", "")
        .file("scenarios/one/scenario.toml", "")
}

fn link(suite: &Suite, target: &str, name: &str) {
    let path = suite.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    symlink(target, path).unwrap();
}

#[test]
fn suites_read_nothing_outside_their_folder() {
    for (name, target) in [
        ("scenarios/suite.toml", "../outside/scenario.toml"),
        ("scenarios/two", "../outside"),
        ("scenarios/one/scenario.toml", "../../outside/scenario.toml"),
        ("scenarios/one/root", "../../outside/root"),
        ("scenarios/one/config", "../../outside/root"),
        ("scenarios/one/bin", "../../outside"),
        ("scenarios/one/agents", "../../outside"),
        ("scenarios/one/agents/right.toml", "../../../outside/right.toml"),
        ("scenarios/one/root", "/"),
        ("scenarios/one/root", "/proc/self/root"),
        ("scenarios/one/root", "../.."),
    ] {
        let suite = suite();
        link(&suite, target, name);
        let problem = suite.problem();
        let begins = format!("{name} is a symbolic link, or inside one, that points outside the suite, to ");
        assert!(problem.starts_with(&begins), "{problem}");
        let ends = "; copy its target into scenarios, or point the link to a place in that folder";
        assert!(problem.ends_with(ends), "{problem}");
        assert!(!problem.contains("the machine's"), "{problem}");
    }
    let behind = suite();
    link(&behind, "../../outside", "scenarios/.shared/out");
    link(&behind, "../.shared/out/root", "scenarios/one/root");
    assert!(behind.problem().contains("points outside the suite, to outside/root;"), "{}", behind.problem());
}

#[test]
fn links_within_the_suite_are_followed() {
    let suite = suite()
        .file("scenarios/.shared/root/x", "")
        .file("scenarios/.shared/scenario.toml", "summary = \"shared\"")
        .file("scenarios/.shared/right.toml", AGENT);
    link(&suite, "../.shared/root", "scenarios/one/root");
    link(&suite, "../.shared/scenario.toml", "scenarios/one/scenario.toml");
    link(&suite, "../../.shared/right.toml", "scenarios/one/agents/right.toml");
    link(&suite, "one", "scenarios/two");
    link(&suite, "one/root", "scenarios/three");
    let settings = suite.resolve().unwrap();
    assert_eq!(settings.scenarios.keys().collect::<Vec<_>>(), ["one", "three", "two"]);
    for name in ["one", "two"] {
        let scenario = &settings.scenarios[name];
        assert_eq!(scenario.summary.as_deref(), Some("shared"));
        assert!(scenario.fixture.root.as_ref().unwrap().join("x").is_file());
        assert_eq!(scenario.agent_names(), ["right"].into());
    }
}

/// The suite's folder itself may lie anywhere, if somebody has named it.
#[test]
fn suites_behind_links_are_read_only_when_named() {
    let suite = suite();
    fs::rename(suite.path("scenarios"), suite.path("moved")).unwrap();
    fs::create_dir(suite.path("cwd")).unwrap();
    link(&suite, "../moved", "cwd/scenarios");
    let resolve = |given: Option<&str>| {
        let given = given.map(|given| given.into()).and_then(|given| flag("--suite", given));
        Settings::resolve(&suite.path("cwd"), &Overrides { suite: given, ..Overrides::default() })
    };
    for given in [None, Some(".")] {
        let problem = resolve(given).unwrap_err()[0].to_string();
        assert!(problem.contains("outside its own folder") && problem.contains("`--suite /"), "{problem}");
    }
    for given in ["scenarios", "../moved/../moved", "../cwd/scenarios"] {
        let found = resolve(Some(given)).map(|settings| settings.scenarios.len());
        if given == "../moved/../moved" {
            assert!(found.is_err(), "it has no suite.toml, and another name");
        } else {
            assert_eq!(found.unwrap(), 1, "{given}");
        }
    }
}

#[test]
fn endless_and_large_files_are_not_read() {
    let fifo = |path: PathBuf| {
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    };
    let large = |path: PathBuf| fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    for name in ["scenarios/suite.toml", "scenarios/one/scenario.toml", "scenarios/one/agents/right.toml"] {
        for (make, told) in
            [(&fifo as &dyn Fn(PathBuf), "is not a regular file but a pipe"), (&large, "16777216 bytes")]
        {
            let suite = Suite::empty().file("scenarios/one/agents/wrong.toml", AGENT);
            make(suite.path(name));
            let problem = suite.problem();
            assert!(problem.starts_with(&format!("cannot read {name}: it ")) && problem.contains(told), "{problem}");
        }
    }
    let policies = Suite::empty();
    fifo(policies.path("pipe"));
    large(policies.path("large"));
    for (policy, told) in
        [("/dev/zero", "not a regular file"), ("pipe", "not a regular file"), ("large", "16777216 bytes")]
    {
        let caps = flag("--policy", PathBuf::from(policy));
        let problems = policies.with(&Overrides { caps, ..Overrides::default() }).unwrap_err();
        assert!(problems[0].contains("cannot read") && problems[0].contains(told), "{problems:?}");
    }
}
