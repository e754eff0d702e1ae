//! `host run --audit`: what was used and what was refused, and the policy that follows from it.

use std::fs;

use super::{One, SECRET, Server, denied};
use host_testing::{Listed, Suite, typed_module};

#[test]
fn the_proposed_policy_is_sufficient() {
    let server = Server::new();
    let origin = server.origin();
    let grants = format!(
        "http = [{{ to = {origin:?}, header = {{ name = \"authorization\", secret = \"API_KEY\" }} }}]\n\
         env = [\"GIVEN\"]"
    );
    let one = One::new("probe-network", &["request", "GET", &server.url("/path?secret")], &grants)
        .with("API_KEY", SECRET)
        .with("GIVEN", "value");
    let run = one.run(&["--audit"]);
    run.exits(0);
    let policy = one.suite.last_run().unwrap().join("policy.toml");
    assert!(run.stderr.contains("audit: proposed policy written to"), "{}", run.stderr);
    let audit = fs::read_to_string(one.attempt().join("audit.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{audit}");
    assert_eq!((&lines[0]["use"], &lines[0]["what"]), (&"env".into(), &"GIVEN".into()));
    assert_eq!((&lines[1]["what"], &lines[1]["allowed"]), (&format!("GET {origin}").into(), &true.into()));
    assert!(!audit.contains(SECRET) && !audit.contains("value"), "{audit}");
    // It allows the same run, and lies elsewhere then.
    let kept = one.suite.path("").parent().unwrap().join("policy.toml");
    fs::copy(&policy, &kept).unwrap();
    let again = one.run(&["--policy", kept.to_str().unwrap()]);
    again.exits(0).passes("one");
}

#[test]
fn plugins_of_odd_names_share_neither_a_trial_nor_a_section_of_the_policy() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let suite = Suite::new();
    let names: [&[u8]; 6] = [b"a.component", b"a.wasm", b"a.wasm.wasm", b"\xff.wasm", b"\xfe.wasm", b"..wasm"];
    for (index, name) in names.iter().enumerate() {
        // No two are of one content.
        let summary = "x".repeat(index);
        let listed = [Listed { name: "begun", summary: &summary, ..Listed::default() }];
        fs::write(suite.path("").join(OsStr::from_bytes(name)), typed_module(&listed, "", "", "")).unwrap();
    }
    let mut command = suite.host_command(&suite.path(""), ["run", "--audit", "--no-canary"]);
    command.args(names.map(OsStr::from_bytes));
    let run = suite.start_command(command).finish();
    run.exits(0);
    let mut trials: Vec<_> = run.records().iter().map(|(scenario, _)| scenario.0.clone()).collect();
    trials.sort();
    let mut expected =
        [".", "\\xfe", "\\xff", "a.component", "a.wasm", "a.wasm.wasm"].map(|label| format!("{label}::begun"));
    expected.sort();
    assert_eq!(trials, expected);
    let policy = fs::read_to_string(suite.last_run().unwrap().join("policy.toml")).unwrap();
    let policy: toml::Table = toml::from_str(&policy).unwrap();
    let sections = policy["scenario"].as_table().unwrap();
    let digests: std::collections::HashSet<_> =
        sections.values().map(|section| section["plugin"].to_string()).collect();
    assert_eq!((sections.len(), digests.len()), (names.len(), names.len()), "{policy}");
}

#[test]
fn denied_uses_are_not_proposed() {
    let server = Server::new();
    let one = One::new("probe-network", &["request", "GET", &server.url("/")], "env = [\"UNUSED\"]");
    denied(&one.run(&["--audit"]), &["HTTP: GET"]);
    assert_eq!(server.requests(), [""; 0]);
    let audit = fs::read_to_string(one.attempt().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"allowed\":false") && audit.contains(&server.origin()), "{audit}");
    let policy = fs::read_to_string(one.suite.last_run().unwrap().join("policy.toml")).unwrap();
    assert!(policy.contains(&format!("# denied, so not proposed: http = [\"{}\"]", server.origin())), "{policy}");
    assert!(policy.contains("# granted, but not used in this form: env = [\"UNUSED\"]"), "{policy}");
    assert!(policy.lines().all(|line| !line.starts_with("http")), "{policy}");
}

#[test]
fn a_secret_in_the_name_of_a_host_is_in_no_policy_that_is_proposed() {
    let server = Server::new();
    let grants = format!(
        "http = [{{ to = {:?}, header = {{ name = \"authorization\", secret = \"API_KEY\" }} }}]",
        server.origin()
    );
    // Names of hosts are told in lower case.
    let secret = "S3cr3T-0F-the-H0st";
    let url = format!("http://{secret}.example/");
    let one = One::new("probe-network", &["request", "GET", &url], &grants).with("API_KEY", secret);
    let run = one.run(&["--audit"]);
    denied(&run, &["HTTP: GET http://***.example"]);
    let policy = fs::read_to_string(one.suite.last_run().unwrap().join("policy.toml")).unwrap();
    assert!(policy.contains("# denied, so not proposed: http = [\"http://***.example\"]"), "{policy}");
    let mut found = Vec::new();
    super::files(&one.suite.path(".host"), &mut found);
    let told = found.iter().map(|file| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned());
    for text in told.chain([run.told()]) {
        assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{text}");
    }
}

#[test]
fn without_it_nothing_is_written_down() {
    let one = One::new("probe-network", &["env"], "");
    one.run(&[]).exits(0);
    assert!(!one.attempt().join("audit.jsonl").exists());
    assert!(!one.suite.last_run().unwrap().join("policy.toml").exists());
}
