use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::{Overrides, Source, Sourced};
use host_model::{Declared, PluginId};

/// A folder with plugins (empty files) and a suite.
struct Place {
    folder: TempDir,
    plugins: Vec<PluginFacts>,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), plugins: Vec::new() }
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn plugin(mut self, name: &str, label: &str, declared: Declared) -> Self {
        self = self.file(name, "");
        let canonical = self.folder.path().join(name).canonicalize().unwrap();
        let id = PluginId(self.plugins.len());
        self.plugins.push(PluginFacts {
            id,
            label: label.into(),
            path: name.into(),
            canonical,
            digest: format!("digest of {name}"),
            declared,
        });
        self
    }

    fn typed(self, name: &str, label: &str, scenarios: &[(&str, &[Grant])]) -> Self {
        let declared = scenarios.iter().map(|(name, needs)| DeclaredScenario {
            name: (*name).into(),
            summary: format!("about {name}"),
            tags: vec!["declared".into()],
            needs: needs.to_vec(),
            clauses: Vec::new(),
        });
        self.plugin(name, label, Declared::Typed(declared.collect()))
    }

    fn command(self, name: &str, label: &str) -> Self {
        self.plugin(name, label, Declared::Command)
    }

    /// The scenarios, or what is wrong, with paths from the folder.
    fn resolve(&self) -> Result<Vec<Scenario>, Vec<String>> {
        let caps = self.folder.path().join("policy.toml");
        let caps = caps.exists().then(|| Sourced { value: caps, source: Source::Flag("--policy".into()) });
        let settings = Settings::resolve(self.folder.path(), &Overrides { caps, ..Overrides::default() }).unwrap();
        let here = format!("{}/", self.folder.path().display());
        resolve(&self.plugins, &settings)
            .map_err(|problems| problems.iter().map(|problem| problem.to_string().replace(&here, "")).collect())
    }

    fn ids(&self) -> Vec<String> {
        self.resolve().unwrap().into_iter().map(|scenario| scenario.id.0).collect()
    }

    /// The one need that is not granted.
    fn ungranted(&self) -> String {
        let scenarios = self.resolve().unwrap();
        let problems: Vec<&str> =
            scenarios.iter().flat_map(|it| &it.ungranted).map(|missing| missing.problem.as_str()).collect();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems[0].replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// The first line of the one thing that is wrong.
    fn problem(&self) -> String {
        let problems = self.resolve().unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems[0].lines().next().unwrap().to_owned()
    }
}

#[test]
fn scenarios_combine_plugin_and_folder() {
    let place = Place::new()
        .typed("a.wasm", "a", &[("one", &[Grant::Session]), ("two", &[])])
        .file(
            "scenarios/one/scenario.toml",
            "tags = [\"heavy\", \"declared\"]\ntimeout = \"5s\"\ngrants.session = true",
        )
        .file("scenarios/one/root/f", "");
    let scenarios = place.resolve().unwrap();
    let [one, two] = scenarios.as_slice() else { panic!("{scenarios:#?}") };
    assert_eq!(one.tags, ["declared", "heavy"]);
    assert_eq!(one.summary, "about one");
    assert_eq!(one.limits.timeout.as_secs(), 5);
    assert!(one.grants.has(Grant::Session) && one.fixture.root.is_some());
    assert!(!two.grants.has(Grant::Session) && two.fixture.root.is_none());
    assert_eq!((&one.shape, &two.shape), (&ScenarioShape::Typed, &ScenarioShape::Typed));
}

#[test]
fn shared_names_get_the_label_of_the_plugin() {
    let place = Place::new()
        .typed("a.wasm", "a", &[("same", &[]), ("own", &[])])
        .typed("b.wasm", "b", &[("same", &[])])
        .command("same.wasm", "same");
    assert_eq!(place.ids(), ["a::same", "own", "b::same", "same::same"]);
}

#[test]
fn missing_grants_name_the_place_to_add_them() {
    let place =
        Place::new().typed("a.wasm", "a", &[("one", &[Grant::Session])]).file("scenarios/one/scenario.toml", "");
    assert_eq!(
        place.ungranted(),
        "the scenario `one` of `a.wasm` needs the grant `session`, which it does not have; \
         if you trust it, add `session = true` under `[grants]` in scenarios/one/scenario.toml"
    );
}

#[test]
fn missing_folders_are_named_with_missing_grants() {
    let place =
        Place::new().typed("a.wasm", "a", &[("gate", &[Grant::Session])]).file("scenarios/gat/scenario.toml", "");
    let told = place.ungranted();
    assert!(told.contains("the suite has no folder `gate` (there is `gat`)") && told.contains("--suite"), "{told}");
}

#[test]
fn grants_beyond_the_policy_are_reported_with_both_positions() {
    let place = Place::new()
        .typed("a.wasm", "a", &[("one", &[Grant::Session, Grant::Http])])
        .file(
            "scenarios/one/scenario.toml",
            "[grants]\nsession = true\nhttp = [\"https://a.example\", \"https://evil.example\"]",
        )
        .file("policy.toml", "[grants]\nsession = true\nhttp = [\"https://*.example.com\", \"https://a.example\"]");
    let one = &place.resolve().unwrap()[0];
    let given: Vec<String> = one.grants.items().iter().map(ToString::to_string).collect();
    assert_eq!(given, ["session = true", "http = [\"https://a.example\"]"]);
    assert_eq!(
        place.ungranted().lines().next().unwrap(),
        "scenarios/one/scenario.toml:3:30: `http` requests more than the policy policy.toml allows: `http = \
         [\"https://evil.example\"]`; remove it here, or allow it there, under `[grants]` or `[scenario.one.grants]`"
    );
    let place = place.file("policy.toml", "");
    assert_eq!(place.resolve().unwrap()[0].grants, Default::default());
    assert_eq!(place.resolve().unwrap()[0].ungranted.len(), 3, "each is told once, also what is needed");
}

#[test]
fn folders_of_other_plugins_grant_nothing() {
    let place = Place::new()
        .typed("a.wasm", "a", &[("one", &[Grant::Session])])
        .typed("b.wasm", "b", &[("one", &[Grant::Session])])
        .file("scenarios/one/scenario.toml", "plugin = \"a.wasm\"\n[grants]\nsession = true");
    assert_eq!(
        place.ungranted(),
        "the scenario `one` of `b.wasm` needs the grant `session`, which it does not have; \
         scenarios/one/scenario.toml is for `a.wasm`, so its grants do not apply to this one"
    );
}

#[test]
fn folders_without_a_scenario_offer_the_nearest() {
    let place = Place::new().typed("plugins/a.wasm", "a", &[("gate", &[]), ("hook", &[])]);
    let place = place.file("scenarios/gaet/scenario.toml", "tags = []\nplugin = \"plugins/a.wasm\"");
    assert_eq!(
        place.problem(),
        "scenarios/gaet/scenario.toml:2:10: the plugin `plugins/a.wasm` has no scenario `gaet`; did you mean `gate`?"
    );
}

#[test]
fn plugins_of_the_same_name_match_in_other_folders() {
    let place = Place::new()
        .command("built/tool.wasm", "tool")
        .file("scenarios/one/scenario.toml", "plugin = \"plugins/tool.wasm\"");
    assert_eq!(place.ids(), ["one"]);
}

#[test]
fn plugins_are_compared_by_canonical_path() {
    let place = Place::new()
        .typed("built/a.wasm", "a", &[("one", &[Grant::Session])])
        .file("scenarios/one/scenario.toml", "plugin = \"plugins/../built/../linked.wasm\"\n[grants]\nsession = true")
        .file("plugins/x", "");
    std::os::unix::fs::symlink("built/a.wasm", place.folder.path().join("linked.wasm")).unwrap();
    assert!(place.resolve().unwrap()[0].grants.has(Grant::Session));
}

#[test]
fn thousands_of_folders_are_matched_quickly() {
    let mut place = Place::new();
    for index in 0..300 {
        place = place.command(&format!("p{index}.wasm"), &format!("p{index}")).file(
            &format!("scenarios/s{index:03}/scenario.toml"),
            &format!("plugin = \"p{index}.wasm\"\ntags = [\"a\", \"b\", \"a\"]"),
        );
    }
    let scenarios = place.resolve().unwrap();
    assert_eq!(scenarios.len(), 300);
    assert!(scenarios.iter().enumerate().all(|(index, it)| it.name == format!("s{index:03}") && it.tags == ["a", "b"]));
}

#[test]
fn each_folder_of_a_command_is_a_scenario() {
    let place = Place::new()
        .command("tool.wasm", "tool")
        .file("scenarios/first/scenario.toml", "plugin = \"tool.wasm\"\nargs = [\"1\"]\nsummary = \"the first\"")
        .file("scenarios/second/scenario.toml", "plugin = \"tool.wasm\"\nargs = [\"2\"]")
        .file("scenarios/tool/scenario.toml", "args = [\"by name\"]");
    let scenarios = place.resolve().unwrap();
    let args = |scenario: &Scenario| match &scenario.shape {
        ScenarioShape::Command(spec) => spec.args.clone(),
        ScenarioShape::Typed => panic!("it is a command"),
    };
    let found: Vec<_> = scenarios.iter().map(|scenario| (scenario.id.0.as_str(), args(scenario))).collect();
    assert_eq!(found, [("first", vec!["1".to_owned()]), ("second", vec!["2".to_owned()])]);
    assert_eq!(scenarios[0].summary, "the first");
}

#[test]
fn commands_without_a_folder_use_their_file_name() {
    let place =
        Place::new().command("tool.wasm", "tool").file("scenarios/tool/scenario.toml", "[expect]\nexit-code = 3");
    let scenarios = place.resolve().unwrap();
    let ScenarioShape::Command(spec) = &scenarios[0].shape else { panic!("{scenarios:#?}") };
    assert_eq!((scenarios[0].id.0.as_str(), spec.expect.clone().unwrap().exit_code), ("tool", Some(3)));
    assert_eq!(Place::new().command("bare.wasm", "bare").ids(), ["bare"], "a folder is not needed");
}

#[test]
fn file_names_of_commands_must_be_scenario_names() {
    let problem = Place::new().command("a b.wasm", "a b").problem();
    assert!(
        problem.starts_with("`a b.wasm` cannot name a scenario: `a b` is not a valid name: use up to"),
        "{problem}"
    );
    assert!(problem.ends_with("rename the file"), "{problem}");
    let named = Place::new().command("a b.wasm", "a b").file("scenarios/ab/scenario.toml", "plugin = \"a b.wasm\"");
    assert_eq!(named.ids(), ["ab"]);
}

#[test]
fn command_keys_are_refused_for_typed_plugins() {
    let place = Place::new().typed("a.wasm", "a", &[("one", &[])]).file(
        "scenarios/one/scenario.toml",
        "summary = \"s\"\nargs = []\nstdin = \"\"\n[env]\n[session]\nprompt = \"p\"\n[expect]\n",
    );
    let problems = place.resolve().unwrap_err();
    let first: Vec<&str> = problems.iter().map(|problem| problem.lines().next().unwrap()).collect();
    assert_eq!(first.len(), 6, "{first:#?}");
    assert_eq!(
        first[0],
        "scenarios/one/scenario.toml:2:8: `args` applies to plain WASI commands, but `a.wasm` is of the typed world; remove it"
    );
    for (key, line) in [("env", 4), ("expect", 7), ("session", 5), ("stdin", 3), ("summary", 1)] {
        let found = first
            .iter()
            .any(|problem| problem.contains(&format!(":{line}:")) && problem.contains(&format!("`{key}` applies to")));
        assert!(found, "{key}: {first:#?}");
    }
}

#[test]
fn sessions_of_commands_need_the_grant() {
    let place = Place::new().command("one.wasm", "one");
    let place = place.file("scenarios/one/scenario.toml", "[session]\nprompt = \"go\"");
    assert_eq!(
        place.problem(),
        "scenarios/one/scenario.toml:1:1: `[session]` needs the grant `session`; add `session = true` under `[grants]`"
    );
    let place = place.file("scenarios/one/scenario.toml", "grants.session = true\n[session]\nprompt = \"go\"");
    assert_eq!(place.ids(), ["one"]);
}

#[test]
fn unknown_canaries_offer_the_nearest() {
    let place = Place::new()
        .typed("a.wasm", "a", &[("gate", &[])])
        .file("scenarios/suite.toml", "canary = [\n  \"gate\",\n  \"gaet\",\n]");
    assert_eq!(place.problem(), "scenarios/suite.toml:3:3: the canary `gaet` is not a scenario; did you mean `gate`?");
    let place = place.file("scenarios/suite.toml", "canary = [\"other\"]");
    assert_eq!(place.problem(), "scenarios/suite.toml:1:11: the canary `other` is not a scenario; there are `gate`");
}

#[test]
fn canaries_of_absent_plugins_are_known_by_folder() {
    let place = Place::new()
        .typed("a.wasm", "a", &[("gate", &[])])
        .file("scenarios/suite.toml", "canary = [\"first\"]")
        .file("scenarios/first/scenario.toml", "");
    assert_eq!(place.ids(), ["gate"]);
}

#[test]
fn all_mismatches_are_reported_together() {
    let place = Place::new()
        .typed("a.wasm", "a", &[("one", &[]), ("two", &[])])
        .command("b c.wasm", "b c")
        .file("scenarios/suite.toml", "canary = [\"nine\"]")
        .file("scenarios/two/scenario.toml", "args = []");
    assert_eq!(place.resolve().unwrap_err().len(), 3);
}

/// A canary is a scenario of one plugin, and not whatever lists its name.
#[test]
fn canaries_are_matched_by_their_plugin() {
    let two = || {
        Place::new().typed("ours.wasm", "ours", &[("smoke", &[]), ("gate", &[])]).typed(
            "theirs.wasm",
            "theirs",
            &[("smoke", &[])],
        )
    };
    let guards = |place: Place| -> Vec<(String, String)> {
        let scenarios = place.resolve().unwrap();
        scenarios.into_iter().filter_map(|it| Some((it.id.0, it.canary?))).collect()
    };
    let pair = |id: &str, entry: &str| (id.to_owned(), entry.to_owned());
    let by_name = two().file("scenarios/suite.toml", "canary = [\"smoke\"]");
    assert_eq!(guards(by_name), [pair("ours::smoke", "smoke"), pair("theirs::smoke", "smoke")]);
    let named = two().file("scenarios/suite.toml", "canary = [\"ours::smoke\"]");
    assert_eq!(guards(named), [pair("ours::smoke", "ours::smoke")]);
    let tied = two()
        .file("scenarios/suite.toml", "canary = [\"smoke\"]")
        .file("scenarios/smoke/scenario.toml", "plugin = \"ours.wasm\"");
    assert_eq!(guards(tied), [pair("ours::smoke", "smoke")]);
    // With one plugin alone the longer name is as good.
    let one = Place::new().typed("ours.wasm", "ours", &[("smoke", &[])]);
    assert_eq!(guards(one.file("scenarios/suite.toml", "canary = [\"ours::smoke\"]")), [pair("smoke", "ours::smoke")]);
    let unknown = two().file("scenarios/suite.toml", "canary = [\"our::smoke\"]");
    assert_eq!(
        unknown.problem(),
        "scenarios/suite.toml:1:11: the canary `our::smoke` is not a scenario; did you mean `ours::smoke`?"
    );
}
