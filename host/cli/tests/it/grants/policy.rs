//! `--policy`: what a scenario asks for is capped by somebody else.

use super::{One, SECRET, Server};
use host_testing::{Finished, Suite, plain_module, probe};

fn asking(server: &Server) -> One {
    One::new("probe-network", &["request", "GET", &server.url("/")], &format!("http = [{:?}]", server.origin()))
}

/// A policy beside the suite's folder.
pub(super) fn policy(suite: &Suite, text: &str) -> String {
    let path = suite.path("").parent().unwrap().join("policy.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn requests_within_the_policy_are_granted() {
    let server = Server::new();
    let one = asking(&server);
    for allowed in ["[grants]", "[scenario.one.grants]"] {
        let policy = policy(&one.suite, &format!("{allowed}\nhttp = [{:?}]", server.origin()));
        let run = one.run(&["--policy", &policy]);
        run.exits(0).passes("one");
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn requests_beyond_the_policy_are_set_up_errors() {
    let server = Server::new();
    let one = asking(&server);
    let text = "[scenario.other.grants]\nhttp = [\"https://api.example.com\"]";
    let policy = policy(&one.suite, text);
    let named = |run: &Finished| {
        run.exits(96);
        let told = run.told();
        assert!(told.contains("scenarios/one/scenario.toml:4:9: `http` requests more than the policy"), "{told}");
        assert!(told.contains("policy.toml") && told.contains("[scenario.one.grants]"), "{told}");
    };
    named(&one.run(&["--policy", &policy]));
    one.suite.agent("one", "");
    for command in ["check", "prove"] {
        named(&one.suite.host([command, "--policy", &policy]));
    }
    let listed = one.suite.host(["list", "--policy", &policy]);
    listed.exits(0);
    assert!(listed.stdout.contains("http, not granted"), "{}", listed.stdout);
    let by_variable = One { env: vec![("HOST_POLICY", policy)], ..one };
    named(&by_variable.run(&[]));
    assert_eq!(server.requests(), [""; 0]);
}

#[test]
fn a_section_for_another_plugin_allows_nothing() {
    let server = Server::new();
    let one = asking(&server);
    let other = "0".repeat(64);
    let text = format!("[scenario.one]\nplugin = \"sha256:{other}\"\ngrants.http = [{:?}]", server.origin());
    let run = one.run(&["--policy", &policy(&one.suite, &text)]);
    run.exits(96);
    assert!(run.told().contains("is for another plugin"), "{}", run.told());
}

#[test]
fn a_policy_within_the_repository_is_warned_of() {
    let server = Server::new();
    let one = asking(&server);
    one.suite.file("policy.toml", format!("[grants]\nhttp = [{:?}]", server.origin()));
    let run = one.run(&["--policy", "policy.toml"]);
    run.exits(0);
    assert!(run.stderr.contains("warning: the policy policy.toml is in the repository"), "{}", run.stderr);
    // Nor is a link of the repository's any better.
    let elsewhere = policy(&one.suite, &format!("[grants]\nhttp = [{:?}]", server.origin()));
    std::os::unix::fs::symlink(elsewhere, one.suite.path("link.toml")).unwrap();
    let run = one.run(&["--policy", "link.toml"]);
    run.exits(0);
    assert!(run.stderr.contains("warning: the policy link.toml is in the repository"), "{}", run.stderr);
}

#[test]
fn inspect_shows_reach_and_a_valid_policy() {
    let server = Server::new();
    let one = asking(&server);
    let plugin = probe("probe-network");
    let allowing = policy(&one.suite, "[grants]\ntcp = [\"127.0.0.1:1\"]");
    let human = one.suite.host(["inspect", plugin.to_str().unwrap(), "--policy", &allowing]);
    human.exits(0);
    for part in
        ["HTTP requests: only to hosts that the grant `http` allows", "`tcp`: \"127.0.0.1:1\"", "`http`: nothing"]
    {
        assert!(human.stdout.contains(part), "{part}: {}", human.stdout);
    }
    let json = one.suite.host(["inspect", plugin.to_str().unwrap(), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let plugin = &json["plugins"][0];
    assert_eq!(plugin["could-use"], serde_json::json!(["http", "tcp", "udp", "listen"]));
    let text = plugin["policy"].as_str().unwrap();
    assert!(text.contains("# possible with its imports: http = [\"https://HOST\"]"), "{text}");
    // With the host filled in it is what the scenario needs.
    let filled = text
        .replace("[scenario.probe-network", "[scenario.one")
        .replace("# possible with its imports: http = [\"https://HOST\"]", &format!("http = [{:?}]", server.origin()));
    one.run(&["--policy", &policy(&one.suite, &filled)]).exits(0).passes("one");
}

#[test]
fn inspect_shows_no_secret_of_the_policy() {
    let suite = Suite::new();
    let text = format!(
        "[grants]\nhttp = [{{ to = \"https://{SECRET}.example\", header = {{ name = \"authorization\", secret = \"API_KEY\" }} \
         }}]"
    );
    let (plugin, policy) = (probe("probe-network"), policy(&suite, &text));
    for format in ["human", "json"] {
        let args = ["inspect", plugin.to_str().unwrap(), "--policy", &policy, "--format", format];
        let mut command = suite.host_command(&suite.path(""), args);
        command.env("API_KEY", SECRET);
        let run = suite.start_command(command).finish();
        run.exits(0);
        assert!(run.stdout.contains("https://***.example") && !run.told().contains(SECRET), "{}", run.told());
    }
}

/// As where a job of CI has lost the input that names it.
#[test]
fn an_empty_variable_is_no_policy_and_no_run_either() {
    let suite = Suite::new();
    suite.file("work.wasm", plain_module("", ""));
    let mut command = suite.host_command(&suite.path(""), ["run", "work.wasm"]);
    command.env("HOST_POLICY", "");
    let run = suite.start_command(command).finish();
    run.exits(2);
    assert!(run.stderr.contains("--policy"), "{}", run.told());
}
