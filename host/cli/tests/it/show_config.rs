//! `host run --show-config`: every setting with who says it.

use std::{path::Path, process::Command};

use host_testing::{Suite, host_binary, host_snapshot, plain_module};

const SUITE: &str = r#"plugins = ["tool.wasm"]
canary = ["tool"]
jobs = 8

[defaults]
timeout = "90s"
max-memory = "64MiB"

[lane.mine]
agent = "slow"
retries = 2

[lane.other]
jobs = 1
breaker = 0

[profile.ci]
lanes = ["mine"]
fail-fast = true
reporters = ["human", "junit"]

[profile.ci.defaults]
retries = 1
retry-delay = "5s"
"#;

fn suite() -> Suite {
    let suite = Suite::new();
    suite.file("tool.wasm", plain_module("", "")).file("scenarios/suite.toml", SUITE);
    suite.scenario("tool", "plugin = \"tool.wasm\"\ntimeout = \"5m\"\nretries = 4\nretry-on = [\"idle\", \"fail\"]\n");
    suite
}

/// What `host run --show-config` prints, with these variables.
fn shown(suite: &Suite, args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new(host_binary())
        .args(["run", "--show-config"])
        .args(args)
        .current_dir(suite.path(""))
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty() && !Path::new(&suite.path(".host")).exists(), "nothing ran");
    String::from_utf8(output.stdout).unwrap()
}

/// CI systems set the variables of inputs that nobody gave to nothing.
#[test]
fn an_empty_variable_is_ignored() {
    let variables = ["HOST_PROFILE", "HOST_JOBS", "HOST_LANE", "HOST_MAX_FAIL", "HOST_RETRY_ON", "HOST_FAIL_FAST"];
    let text = shown(&suite(), &[], &variables.map(|name| (name, "")));
    assert_eq!(text, shown(&suite(), &[], &[]));
}

#[test]
fn every_setting_is_shown_with_its_source() {
    let variables = [("HOST_PROFILE", "ci"), ("HOST_JOBS", "3"), ("HOST_XPASS", "fail"), ("HOST_OUTPUT", "out")];
    let text = shown(&suite(), &["-j", "5", "--repeat-each", "2", "--no-canary"], &variables);
    host_snapshot!(text, @r#"
    # The settings of `host run`, each with its source. As a suite.toml, this file produces the same settings.
    # suite: scenarios/suite.toml (default)
    # output: out (HOST_OUTPUT)
    # profile: ci (HOST_PROFILE)
    # canaries: other trials do not wait for them (--no-canary)

    plugins = ["tool.wasm"]  # scenarios/suite.toml:1:11
    canary = ["tool"]  # scenarios/suite.toml:2:10
    lanes = ["mine"]  # scenarios/suite.toml:18:9 ([profile.ci])
    jobs = 5  # --jobs
    max-fail = 1  # scenarios/suite.toml:19:13 ([profile.ci])
    repeat-each = 2  # --repeat-each
    flaky-result = "pass"  # default
    xpass = "fail"  # HOST_XPASS
    reporters = ["human", "junit"]  # scenarios/suite.toml:20:13 ([profile.ci])

    [defaults]
    timeout = "1m 30s"  # scenarios/suite.toml:6:11
    idle-timeout = "5m"  # default
    backoff-timeout = "5m"  # default
    max-memory = "64MiB"  # scenarios/suite.toml:7:14
    max-table-elements = 1000000  # default
    max-instances = 100  # default
    max-output = "16MiB"  # default
    max-disk = "2GiB"  # default
    max-handles = 1000  # default
    retries = 1  # scenarios/suite.toml:23:11 ([profile.ci])
    retry-on = ["launch", "overload", "idle", "crash"]  # default
    retry-delay = "5s"  # scenarios/suite.toml:24:15 ([profile.ci])

    [compile]
    max-memory = "4GiB"  # default
    timeout = "10m"  # default

    [lane.mine]
    kind = "scripted"  # default
    agent = "slow"  # scenarios/suite.toml:10:9
    confinement = "landlock"  # default
    breaker = 3  # default
    retries = 2  # scenarios/suite.toml:11:11

    # In scenarios/tool/scenario.toml:
    #   plugin = "tool.wasm"  # scenarios/tool/scenario.toml:1:10
    #   timeout = "5m"  # scenarios/tool/scenario.toml:2:11
    #   retries = 4  # scenarios/tool/scenario.toml:3:11
    #   retry-on = ["idle", "fail"]  # scenarios/tool/scenario.toml:4:12
    "#);
}

/// The settings without their comments.
fn values(text: &str) -> toml::Table {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_shown_settings_can_be_loaded() {
    for args in [
        &[][..],
        &["--profile", "ci"],
        &["--profile", "ci", "--no-fail-fast", "--lane", "other", "--lane", "mine"],
        &["--retries", "7", "--retry-on", "fail", "--flaky-result=fail", "--max-fail", "9", "--reporter", "silent"],
    ] {
        let suite = suite();
        let text = shown(&suite, args, &[]);
        suite.file("scenarios/suite.toml", &text);
        assert_eq!(values(&shown(&suite, &[], &[])), values(&text), "{args:?}");
    }
}

#[test]
fn a_flag_for_retries_leaves_no_file_a_say() {
    let text = shown(&suite(), &["--retries", "0"], &[]);
    assert_eq!(text.matches("\nretries = 0  # --retries\n").count(), 1, "{text}");
    assert!(!text.contains("retries = 2") && !text.contains("retries = 4"), "{text}");
    assert!(text.contains("#   retry-on = [\"idle\", \"fail\"]"), "{text}");
}

#[test]
fn a_flag_beats_a_variable_for_the_bound_on_failures_too() {
    let suite = suite();
    let bound = |args: &[&str], variables: &[(&str, &str)]| {
        let text = shown(&suite, args, variables);
        let line = text.lines().find(|line| line.starts_with("max-fail") || line.starts_with("fail-fast"));
        line.unwrap().to_owned()
    };
    let env = [("HOST_MAX_FAIL", "4"), ("HOST_PROFILE", "ci")];
    assert_eq!(bound(&[], &env), "max-fail = 4  # HOST_MAX_FAIL");
    assert_eq!(bound(&["--no-fail-fast"], &env), "fail-fast = false  # --no-fail-fast");
    assert_eq!(bound(&["--fail-fast"], &env), "max-fail = 1  # --fail-fast");
    assert_eq!(bound(&["--max-fail", "2", "--fail-fast"], &[]), "max-fail = 1  # --fail-fast");
    let env = [("HOST_FAIL_FAST", "no"), ("HOST_PROFILE", "ci")];
    assert_eq!(bound(&[], &env), "fail-fast = false  # HOST_FAIL_FAST");
}

#[test]
fn without_a_suite_the_defaults_are_shown() {
    let suite = Suite::new();
    let text = shown(&suite, &["x.wasm"], &[]);
    host_snapshot!(text, @r#"
    # The settings of `host run`, each with its source. As a suite.toml, this file produces the same settings.
    # suite: none
    # output: .host (default)

    plugins = ["x.wasm"]  # command line
    canary = []  # default
    lanes = ["scripted"]  # default
    jobs = 16  # default
    fail-fast = false  # default
    repeat-each = 1  # default
    flaky-result = "pass"  # default
    xpass = "pass"  # default
    reporters = ["human"]  # default

    [defaults]
    timeout = "10m"  # default
    idle-timeout = "5m"  # default
    backoff-timeout = "5m"  # default
    max-memory = "512MiB"  # default
    max-table-elements = 1000000  # default
    max-instances = 100  # default
    max-output = "16MiB"  # default
    max-disk = "2GiB"  # default
    max-handles = 1000  # default
    retries = 0  # default
    retry-on = ["launch", "overload", "idle", "crash"]  # default
    retry-delay = "1s"  # default

    [compile]
    max-memory = "4GiB"  # default
    timeout = "10m"  # default

    [lane.scripted]
    kind = "scripted"  # default
    agent = "right"  # default
    confinement = "landlock"  # default
    breaker = 3  # default
    "#);
}

#[test]
fn variables_act_like_flags_and_flags_win() {
    let suite = suite();
    for (variable, value, flag, key, by_variable, by_flag) in [
        ("HOST_JOBS", "3", "--jobs=5", "jobs", "3", "5"),
        ("HOST_LANE", "other", "--lane=mine", "lanes", "[\"other\"]", "[\"mine\"]"),
        ("HOST_RETRIES", "3", "--retries=0", "retries", "3", "0"),
        ("HOST_RETRY_ON", "fail,idle", "--retry-on=trap", "retry-on", "[\"idle\", \"fail\"]", "[\"trap\"]"),
        ("HOST_FLAKY_RESULT", "fail", "--flaky-result=pass", "flaky-result", "\"fail\"", "\"pass\""),
        ("HOST_XPASS", "fail", "--xpass=pass", "xpass", "\"fail\"", "\"pass\""),
        ("HOST_MAX_FAIL", "3", "--max-fail=5", "max-fail", "3", "5"),
        ("HOST_REPEAT_EACH", "3", "--repeat-each=5", "repeat-each", "3", "5"),
        ("HOST_FAIL_FAST", "true", "--max-fail=5", "max-fail", "1", "5"),
    ] {
        let says = |args: &[&str], source: &str| {
            let text = shown(&suite, &[&["--profile=ci"], args].concat(), &[(variable, value)]);
            text.lines().any(|line| line == format!("{key} = {source}"))
        };
        assert!(says(&[], &format!("{by_variable}  # {variable}")), "{variable}");
        let name = flag.split('=').next().unwrap();
        assert!(says(&[flag], &format!("{by_flag}  # {name}")), "{variable} {flag}");
    }
}
