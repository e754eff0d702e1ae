//! What real agents that are confined try in vain, and the secret that they tell and nobody hears.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use host_model::{EventKind, SessionEventKind};

use host_testing::{
    Finished, Suite, kernel,
    model_server::{ModelServer, Scripts},
    plain_module, wait_until,
};

use super::suites::{KEY, LANES, RealSuite, url};

/// A suite with one scenario, that every agent is to work at.
fn suite(top: &str) -> RealSuite {
    let suite = RealSuite::new(&format!("plugins = [\"work.wasm\"]\n{top}[defaults]\nretries = 0"));
    suite.suite.file("work.wasm", plain_module("", ""));
    let scenario = "plugin = \"work.wasm\"\n[session]\nprompt = \"Do the work.\"\n[grants]\nsession = true\n";
    suite.suite.scenario("work", scenario);
    suite
}

/// A model that has its agent run these commands, and then says these words.
async fn server(commands: &[String], words: &str) -> ModelServer {
    let steps: String = commands.iter().map(|command| format!("[[step]]\nshell = '''{command}'''\n")).collect();
    let script = format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\n{steps}[[step]]\nsay = '''{words}'''\n");
    ModelServer::start(Scripts::default().with("work", "work", &script).without_sleeps()).await.unwrap()
}

/// What a lane's tools answered.
fn answers(run: &Finished, lane: &str) -> Vec<String> {
    let answers = run.events.iter().filter_map(|event| match &event.kind {
        EventKind::Session { trial, detail, .. } if trial.lane.0 == lane => match &detail.kind {
            SessionEventKind::ToolResult { output, .. } => Some(output.clone()),
            _ => None,
        },
        _ => None,
    });
    answers.collect()
}

/// Every file below a folder, with its name.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let kind = path.symlink_metadata().unwrap();
        if kind.is_dir() {
            found.push((path.clone(), Vec::new()));
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found
}

/// The root of an attempt of another run, which goes on.
fn root_of_another(other: &Suite) -> Option<PathBuf> {
    let within = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut roots = within(other.tmp()).flat_map(within).map(|slot| slot.join("a0/root"));
    roots.find(|root| root.join("mine").exists())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn a_confined_agent_cannot_escape_and_the_attempts_are_recorded() {
    if kernel::lacks(kernel::FILES) || kernel::lacks(kernel::TCP) {
        return;
    }
    let other = Suite::new();
    other
        .file("s.wasm", plain_module("", ""))
        .scenario("s", "[session]\nprompt = \"go\"\n[grants]\nsession = true\n")
        .agent("s", "[[step]]\nshell = 'echo of another > mine; exec sleep 1018'\n");
    let running = other.start(["run", "s.wasm"]);
    assert!(wait_until(|| root_of_another(&other).is_some()));
    let other_root = root_of_another(&other).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    // What `HOME` is to the host of the tests.
    let mut suite = suite("");
    let home = suite.suite.path("").join("../home");
    fs::create_dir(home.join(".ssh")).unwrap();
    fs::write(home.join(".ssh/id_ed25519"), "a key of the user\n").unwrap();
    let (home, other_root, temp) = (home.canonicalize().unwrap(), other_root.display(), std::env::temp_dir());
    let escape = format!("{}/host-escape-{}", temp.display(), std::process::id());
    let attacks = [
        "echo x > ../escape && rm ../escape".to_owned(),
        format!("echo x > {escape}-$$ && rm {escape}-$$"),
        format!("cat {}/.ssh/id_ed25519", home.display()),
        format!("cat {other_root}/mine"),
        format!("echo x >> {other_root}/planted && rm {other_root}/planted"),
        format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"),
    ];
    // Twelve and not a dozen: the words of the command are no answer.
    let commands: Vec<String> =
        attacks.iter().map(|attack| format!("( {attack} ) 2>&1 && echo got out: $((5 + 7))")).collect();
    let server = server(&commands, "Done.").await;
    for lane in LANES {
        suite.lane(lane, lane, &url(&server, "work", "work", "ok", lane), "");
        let free = format!("{lane}-free");
        suite.lane(&free, lane, &url(&server, "work", "work", "ok", &free), "confinement = \"none\"\n");
    }
    let run = suite.host(&["run", "--no-canary", "-j", "4"]);
    for lane in LANES {
        let told = answers(&run, lane);
        assert_eq!(told.len(), attacks.len(), "{lane}: {told:?}\n{}", run.told());
        for (answer, attack) in told.iter().zip(&attacks) {
            let refused = answer.contains("ermission denied") && !answer.contains("got out: 12");
            assert!(
                refused && !answer.contains("a key") && !answer.contains("of another"),
                "{lane}: {attack}: {answer}"
            );
        }
        let record = suite.suite.last_run().unwrap().join(lane).join("work/attempt-1/session-1");
        for file in ["stream.jsonl", "events.jsonl"] {
            let kept = fs::read_to_string(record.join(file)).unwrap();
            let refusals = kept.matches("ermission denied").count();
            assert!(refusals >= attacks.len(), "{lane}: {file} tells of {refusals} refusals");
        }
        let summary = fs::read_to_string(record.join("session.json")).unwrap();
        assert!(summary.contains("\"confinement\": \"landlock\""), "{lane}: {summary}");
        // Each attack is one: unconfined it works.
        let told = answers(&run, &format!("{lane}-free"));
        assert!(told.iter().all(|answer| answer.contains("got out: 12")), "{lane}: {told:?}");
        assert_eq!(told.len(), attacks.len(), "{lane}: {told:?}");
        assert!(told[2].contains("a key of the user") && told[3].contains("of another"), "{lane}: {told:?}");
    }
    run.exits(0);
    let reached = std::iter::from_fn(|| listener.accept().ok()).count();
    assert_eq!(reached, LANES.len(), "those that are free, and no other");
    assert_eq!(suite.suite.leftovers(), [""; 0]);
    server.stop().await;
    running.signal(rustix::process::Signal::KILL);
    drop(running.finish());
    assert!(wait_until(|| other.living().is_empty()));
}

/// As JSON writers may write it: all of it in numbers.
fn in_numbers(text: &str) -> String {
    text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn real_agents_cannot_record_a_secret_in_any_form() {
    // Agents keep some variables from their tools; the memory of the agent itself has them.
    let find = "K=${MODEL_KEY:-$ANTHROPIC_API_KEY}; [ -n \"$K\" ] || K=$(cat /proc/[0-9]*/environ 2>/dev/null | \
                tr '\\0' '\\n' | sed -n 's/^MODEL_KEY=//p; s/^ANTHROPIC_API_KEY=//p' | head -n 1); ";
    let commands = [
        "echo \"it has ${#K} characters\"; echo \"$K\"; echo \"$K\" >&2",
        "printf '%.19s' \"$K\"; echo; printf %s \"$K\" | cut -c20-; printf %s \"$K\" | fold -w 17",
        "printf %s \"$K\" | od -An -tx1 -v | tr -d ' \\n' | sed 's/../\\\\u00&/g'",
        "printf '{\"a\": \"%s\\\\n\"}' \"$K\"; printf %s \"$K\" | base64; echo \"https://x.invalid/?k=$K\"",
        "echo \"$K\" > kept; mkdir \"folder-$K\"; echo \"$K\" > \"folder-$K/file-$K\"; ln -s \"$K\" link",
    ];
    let commands = commands.map(|command| format!("{find}{command}"));
    let server = server(&commands, &format!("It is {KEY}, that is {}.", in_numbers(KEY))).await;
    let mut suite = suite("");
    for lane in LANES {
        suite.lane(lane, lane, &url(&server, "work", "work", "ok", lane), "");
    }
    let run = suite.host(&[
        "run",
        "--no-canary",
        "-v",
        "--reporter",
        "human",
        "--reporter",
        "junit",
        "--reporter",
        "github",
        "--reporter",
        "jsonl",
    ]);
    for lane in LANES {
        let told = answers(&run, lane);
        assert_eq!(told.len(), commands.len(), "{lane}: {told:?}\n{}", run.told());
        assert!(told[0].contains(&format!("it has {} characters", KEY.len())), "{lane} was not told it: {told:?}");
        assert!(told[0].contains("***"), "{lane}: {told:?}");
    }
    run.exits(0);
    let kept = files(&suite.suite.last_run().unwrap());
    for named in ["junit.xml", "root/kept", "stream.jsonl", "events.jsonl", "root.diff"] {
        assert!(kept.iter().any(|(path, _)| path.ends_with(named)), "{named}: {kept:?}");
    }
    let coded = "c2stdGVzdC0wMTIzNDU2Nzg5YWJjZGVm";
    let parts: Vec<String> = KEY.as_bytes().windows(12).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
    let numbers = parts.iter().map(|part| in_numbers(part));
    let all: Vec<String> = parts.iter().cloned().chain(numbers).chain([coded.to_owned()]).collect();
    let clean = |what: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let found = all.iter().find(|part| text.contains(part.as_str()));
        assert_eq!(found, None, "{what}");
    };
    for (path, bytes) in &kept {
        clean(&path.display().to_string(), path.as_os_str().as_encoded_bytes());
        clean(&path.display().to_string(), bytes);
    }
    clean("the terminal", run.told().as_bytes());
    assert_eq!(suite.suite.leftovers(), [""; 0]);
    server.stop().await;
}
