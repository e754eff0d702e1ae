//! The scripted model server, over plain HTTP and with the real agents.

mod client;
mod crowd;
mod escapes;
mod faults;
mod real;
mod roots;
mod runs;
mod suites;
mod trace;

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, time::Duration};

use client::{Agent, Turn, post};
use host_testing::model_server::{Answered, Api, ModelServer, Scripts, Session};
use serde_json::{Value, json};

const APIS: [Api; 3] = [Api::Messages, Api::Responses, Api::Chat];

/// The suite of the repository.
fn scenarios() -> PathBuf {
    host_testing::repository().join("scenarios")
}

fn session<'a>(agent: &'a str, mode: &'a str, label: &'a str) -> Session<'a> {
    Session { scenario: "made-up", agent, mode, label }
}

/// A server with one script `right` of a scenario `made-up`.
async fn server(steps: &str) -> ModelServer {
    let script = format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\nstep = [\n{steps}\n]");
    let scripts = Scripts::default().with("made-up", "right", &script).told_by("the made-up work", "made-up");
    ModelServer::start(scripts.without_sleeps()).await.unwrap()
}

const TWO_CALLS: &str = r#"
    { say = "I look first." }, { shell = "ls" }, { usage = { input-tokens = 10, output-tokens = 2 } },
    { write = "a.md", text = "it's\n" }, { usage = { input-tokens = 25, output-tokens = 5 } },
    { say = "Done, all of it." },"#;

fn two_calls() -> Turn {
    Turn {
        texts: vec!["I look first.".into(), "Done, all of it.".into()],
        calls: vec![
            ("bash".into(), bash("ls")),
            (
                "bash".into(),
                bash(
                    r"printf '%s' 'it'\''s
' > 'a.md'",
                ),
            ),
        ],
        input_tokens: 25,
        output_tokens: 5,
    }
}

fn bash(command: &str) -> Value {
    json!({ "command": command })
}

#[tokio::test]
async fn every_interface_plays_the_script_with_and_without_streaming() {
    let server = server(TWO_CALLS).await;
    for (api, stream) in APIS.into_iter().flat_map(|api| [(api, true), (api, false)]) {
        let label = format!("{api:?}-{stream}");
        let session = session("right", "ok", &label);
        let turn = Agent::new(&server, &session, api, stream).turn("Go.", |_, _| "fine".into()).await.unwrap();
        assert_eq!(turn, two_calls(), "{label}");
        let requests = server.requests_of(&session);
        let answered: Vec<_> = requests.iter().map(|request| request.answered.clone()).collect();
        let step = |number, tool: Option<&str>| Answered::Step { number, tool: tool.map(str::to_owned) };
        assert_eq!(answered, [step(0, Some("bash")), step(1, Some("bash")), step(2, None)], "{label}");
        assert!(requests.iter().all(|request| request.api == api && request.key.as_deref() == Some("a-key")));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_message_begins_the_next_turn_and_a_notice_does_not() {
    let server = server(
        r#"{ shell = "one" }, { say = "First." }, { await-message = true }, { shell = "two" }, { say = "Second." },"#,
    )
    .await;
    for api in APIS {
        let mut agent = Agent::new(&server, &session("right", "ok", "1"), api, true);
        let first = agent.turn("Go.", |_, _| String::new()).await.unwrap();
        assert_eq!((first.texts, first.calls.len()), (vec!["First.".into()], 1));
        let notice = agent.turn("<system-reminder>A worker has ended.", |_, _| String::new()).await.unwrap();
        assert_eq!((notice.texts, notice.calls.len()), (vec!["First.".into()], 0));
        let second = agent.turn("Go on.", |_, _| String::new()).await.unwrap();
        assert_eq!(
            (&second.texts[..], &second.calls[..]),
            (&["Second.".into()][..], &[("bash".into(), bash("two"))][..])
        );
        let problem = agent.turn("And now?", |_, _| String::new()).await.unwrap_err();
        assert_eq!(problem.status, 400);
        assert!(problem.text.contains("turn 3 was asked for, but the script has 2"), "{}", problem.text);
    }
}

#[tokio::test]
async fn the_conversation_of_a_worker_is_separate() {
    let server = server(r#"{ dispatch = "w", task = "Do the part." }, { say = "Done." },"#).await;
    for api in APIS {
        let mut worker = Agent::new(&server, &session("right", "401", "1"), api, false);
        worker.history.push(json!({ "role": "user", "content": "<environment_context>here</environment_context>" }));
        let turn = worker.turn("Do the part.\n", |_, _| unreachable!("it has nothing to do")).await.unwrap();
        assert_eq!(turn.texts, ["ok"]);
        assert_eq!(server.requests().last().unwrap().answered, Answered::Worker);
    }
}

#[tokio::test]
async fn each_agent_is_given_its_own_tools() {
    let steps = r#"
        { dispatch = "w", task = "Part." }, { message-worker = "w", text = "More." }, { shell = "cd x" },
        { write = "a.md", text = "x\n" }, { replace = "a.md", from = "x", to = "y" }, { say = "Done." },"#;
    let server = server(steps).await;
    let mut told = Vec::new();
    for (api, tools) in [
        (Api::Messages, &["Agent", "Bash", "Edit", "Read", "ToolSearch", "Write"][..]),
        (Api::Responses, &["exec_command", "spawn_agent", "send_input", "wait_agent"][..]),
        (Api::Messages, &["bash", "edit", "read", "write"][..]),
    ] {
        let mut agent = Agent::new(&server, &session("right", "ok", "1"), api, true);
        agent.tools = tools.to_vec();
        let result = |name: &str, _: &Value| {
            if name == "spawn_agent" { r#"{"agent_id":"id-1"}"#.into() } else { "fine".into() }
        };
        let turn = agent.turn("Go.", result).await.unwrap();
        told.push(turn.calls.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" "));
        let sent = turn.calls.iter().find(|(name, _)| name == "send_input");
        assert!(sent.is_none_or(|(_, input)| *input == json!({ "target": "id-1", "message": "More." })));
        let shell = turn.calls.iter().find(|(_, input)| input.to_string().contains("cd x")).unwrap();
        assert!(shell.1.to_string().contains("(\\ncd x\\n)"), "{shell:?}");
    }
    let expected = [
        "Agent ToolSearch SendMessage Bash Read Write Read Edit",
        "spawn_agent wait_agent send_input wait_agent exec_command exec_command exec_command",
        "bash bash bash write edit",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_missing_shell_is_reported() {
    let server = server(TWO_CALLS).await;
    let mut agent = Agent::new(&server, &session("right", "ok", "1"), Api::Chat, false);
    agent.tools = vec!["read"];
    let problem = agent.turn("Go.", |_, _| String::new()).await.unwrap_err();
    assert_eq!(problem.status, 400);
    assert!(problem.text.contains("is a known shell"), "{}", problem.text);
}

#[tokio::test]
async fn the_prompt_names_the_scenario_if_the_url_does_not() {
    let server = server(r#"{ dispatch = "w", task = "A part." }, { say = "Done." },"#).await;
    let auto = Session { scenario: "auto", ..session("right", "ok", "1") };
    let mut agent = Agent::new(&server, &auto, Api::Messages, true);
    assert_eq!(agent.turn("Do the made-up work.", |_, _| String::new()).await.unwrap().texts, ["Done."]);
    let mut worker = Agent::new(&server, &auto, Api::Messages, true);
    assert_eq!(worker.turn("A part.", |_, _| String::new()).await.unwrap().texts, ["ok"]);
    let mut lost = Agent::new(&server, &auto, Api::Messages, true);
    assert_eq!(lost.turn("Do another work.", |_, _| String::new()).await.unwrap_err().status, 400);
}

/// `auto` is for `host run`, where one lane has one URL for all scenarios.
#[test]
fn the_prompts_of_the_repositorys_scenarios_tell_them_apart() {
    let scripts = Scripts::of_suite(scenarios());
    for scenario in ["ensign-cycle", "gate", "merge-hook", "rejection-flow", "three-cycle-escalation"] {
        let source = scenarios().with_file_name("plugins").join(scenario).join("src/lib.rs");
        let source = fs::read_to_string(source).unwrap();
        let prompt = source.split_once("const PROMPT: &str = \"").unwrap().1.split_once("\";").unwrap().0;
        assert_eq!(scripts.scenario_of(&[prompt.to_owned()], "right"), Ok(scenario));
    }
}

#[tokio::test]
async fn every_status_is_answered_in_the_words_of_its_interface() {
    let server = server(r#"{ say = "Done." },"#).await;
    for (mode, status, kind) in [
        ("400", 400, "invalid_request_error"),
        ("401", 401, "authentication_error"),
        ("403", 403, "permission_error"),
        ("404", 404, "not_found_error"),
        ("429", 429, "rate_limit_error"),
        ("429-retry-after", 429, "rate_limit_error"),
        ("500", 500, "api_error"),
        ("503", 503, "api_error"),
        ("529", 529, "overloaded_error"),
    ] {
        for api in APIS {
            let session = session("right", mode, "1");
            for _ in 0..2 {
                let got = Agent::new(&server, &session, api, true).turn("Go.", |_, _| String::new()).await.unwrap_err();
                assert_eq!((got.status, &got.json()["error"]["type"]), (status, &json!(kind)), "{api:?} {mode}");
                assert_eq!(got.retry_after.as_deref(), (mode == "429-retry-after").then_some("1"));
            }
            let requests = server.requests_of(&session);
            assert_eq!(requests.last().unwrap().answered, Answered::Fault(mode.into()));
        }
    }
    let quota = Agent::new(&server, &session("right", "quota", "1"), Api::Chat, false).ask().await.unwrap();
    assert_eq!((quota.status, &quota.json()["error"]["code"]), (429, &json!("insufficient_quota")));
}

#[tokio::test]
async fn a_fault_passes_after_so_many_requests_and_comes_after_so_many_answers() {
    let server = server(TWO_CALLS).await;
    for api in APIS {
        let label = format!("{api:?}");
        let passing = session("right", "after1-fail2-529", &label);
        let mut agent = Agent::new(&server, &passing, api, true);
        let mut statuses = Vec::new();
        let mut turn = agent.turn("Go.", |_, _| "fine".into()).await;
        while let Err(got) = turn {
            statuses.push(got.status);
            // The same conversation once more: what stands behind a result begins no turn.
            turn = agent.turn("Once more.", |_, _| "fine".into()).await;
        }
        assert_eq!(statuses, [529, 529], "{label}");
        let numbers = server.requests_of(&passing).iter().filter(|request| request.is_step()).count();
        assert_eq!(numbers, 3, "{label}");
    }
}

#[tokio::test]
async fn a_stream_breaks_off_or_ends_with_an_error() {
    let server = server(r#"{ say = "One two three four." },"#).await;
    for api in APIS {
        for stream in [true, false] {
            let ask = async |mode| Agent::new(&server, &session("right", mode, "1"), api, stream).ask().await;
            assert!(ask("dropped").await.is_err(), "{api:?}");
            let cut = ask("dropped-mid-stream").await.unwrap();
            assert!(cut.broken && cut.status == 200 && !cut.text.is_empty(), "{api:?}: {cut:?}");
            assert!(!cut.text.contains("four"), "{api:?}: {cut:?}");
            let overloaded = ask("overloaded-event").await.unwrap();
            assert!(!overloaded.broken && overloaded.text.to_lowercase().contains("overloaded"), "{overloaded:?}");
            assert_eq!(overloaded.status, if stream { 200 } else { 529 });
            let bad = ask("bad-json").await.unwrap();
            assert_eq!((bad.status, bad.broken), (200, false));
            let data = bad.text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&bad.text);
            assert!(serde_json::from_str::<Value>(data).is_err(), "{bad:?}");
        }
    }
}

/// Waits until the server was asked so often.
async fn asked(server: &ModelServer, count: usize) {
    let all = async {
        while server.requests().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the server was not asked");
}

#[tokio::test]
async fn stopping_ends_the_silent_connections_too() {
    let server = server(r#"{ say = "One two three four." },"#).await;
    let mut asking = Vec::new();
    for (api, mode) in APIS.into_iter().flat_map(|api| [(api, "silent"), (api, "silent-mid-stream")]) {
        let agent = Agent::new(&server, &session("right", mode, "1"), api, true);
        asking.push((mode, tokio::spawn(async move { agent.ask().await })));
    }
    asked(&server, asking.len()).await;
    assert!(asking.iter().all(|(_, request)| !request.is_finished()));
    let address = server.address();
    server.stop().await;
    for (mode, request) in asking {
        let got = request.await.unwrap();
        assert_eq!(got.is_ok_and(|got| got.broken), mode == "silent-mid-stream");
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_faults_of_a_script_are_the_providers() {
    let overloaded = server(
        r#"{ shell = "ls" }, { back-off = "429: slow down", delay = "2s" }, { shell = "pwd" },
           { fault = "overloaded", delay = "1ms" }, { say = "Never." },"#,
    )
    .await;
    let mut agent = Agent::new(&overloaded, &session("right", "ok", "1"), Api::Messages, true);
    let slow = agent.turn("Go.", |_, _| String::new()).await.unwrap_err();
    assert_eq!((slow.status, slow.retry_after.as_deref()), (429, Some("2")));
    assert_eq!(slow.json()["error"]["message"], "429: slow down");
    for _ in 0..3 {
        let turn = agent.turn("<system-reminder>", |_, _| String::new()).await;
        assert_eq!(turn.unwrap_err().status, 529);
    }
    let unauthorized = server(r#"{ fault = "unauthorized" },"#).await;
    let got = Agent::new(&unauthorized, &session("right", "ok", "1"), Api::Chat, true).ask().await.unwrap();
    assert_eq!(got.status, 401);
    let killing = server(r#"{ fault = "kill" },"#).await;
    let mut agent = Agent::new(&killing, &session("right", "ok", "1"), Api::Chat, true);
    let turn = agent.turn("Go.", |_, _| String::new()).await.unwrap();
    assert_eq!(turn.calls, [("bash".into(), bash("kill -KILL $PPID"))]);
    let silent = server(r#"{ fault = "stall" },"#).await;
    let agent = Agent::new(&silent, &session("right", "ok", "1"), Api::Chat, true);
    let request = tokio::spawn(async move { agent.ask().await });
    asked(&silent, 1).await;
    silent.stop().await;
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn an_unplayable_script_is_reported() {
    for (steps, problem) in [
        (r#"{ fault = "huge-line", bytes = 5 },"#, "step 1: no model makes an agent break like this"),
        (r#"{ say = "x" }, { raw = "y" },"#, "step 2: `raw`"),
        (r#"{ shell = "ls" }, { await-message = true },"#, "has to end with a `say`"),
    ] {
        let server = server(steps).await;
        let got = Agent::new(&server, &session("right", "ok", "1"), Api::Messages, true).ask().await.unwrap();
        assert_eq!(got.status, 400);
        assert!(got.text.contains(problem), "{}", got.text);
        assert!(matches!(&server.requests()[0].answered, Answered::Problem(told) if told.contains(problem)));
    }
    let server = server("").await;
    for (session, problem) in [
        (session("wrong", "ok", "1"), "there is no script made-up/wrong"),
        (session("right", "sometimes", "1"), "unknown mode `sometimes`"),
        (session("right", "after-500", "1"), "unknown mode `after-500`"),
    ] {
        let got = Agent::new(&server, &session, Api::Messages, true).ask().await.unwrap();
        assert!(got.status == 400 && got.text.contains(problem), "{}", got.text);
    }
    let nowhere = format!("http://{}/elsewhere/v1/messages", server.address());
    assert_eq!(post(&nowhere, &json!({})).await.unwrap().status, 400);
    let unknown = format!("http://{}/elsewhere", server.address());
    assert_eq!(post(&unknown, &json!({})).await.unwrap().status, 404);
}

#[tokio::test]
async fn many_sessions_at_once_do_not_disturb_each_other() {
    let server = server(TWO_CALLS).await;
    let mut sessions = tokio::task::JoinSet::new();
    for number in 0..24 {
        let (api, label) = (APIS[number % 3], number.to_string());
        let mut agent = Agent::new(&server, &session("right", "fail1-503", &label), api, number % 2 == 0);
        sessions.spawn(async move {
            assert_eq!(agent.ask().await.unwrap().status, 503);
            agent.turn("Go.", |_, _| "fine".into()).await.unwrap()
        });
    }
    assert!(sessions.join_all().await.iter().all(|turn| *turn == two_calls()));
    let prefixes: BTreeSet<_> = server.requests().into_iter().map(|request| request.prefix).collect();
    assert_eq!((prefixes.len(), server.requests().len()), (24, 24 * 4));
}

#[test]
fn every_script_of_the_repository_can_be_played() {
    let mut count = 0;
    for scenario in fs::read_dir(scenarios()).unwrap().map(|entry| entry.unwrap().path().join("agents")) {
        for script in fs::read_dir(scenario).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            let parsed = toml::from_str(&fs::read_to_string(&script).unwrap()).unwrap();
            assert_eq!(host_testing::model_server::without_a_place(&parsed), None, "{}", script.display());
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

/// What `shell` steps do to a root is the same whoever runs the shell.
#[tokio::test]
async fn a_shell_does_every_step_as_the_scripted_agent_does() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("every-step.toml");
    fs::write(&script, roots::EVERY_STEP).unwrap();
    let scripted = roots::root(None, &folder.path().join("scripted"));
    roots::play_scripted(&script, &scripted, folder.path());
    let server = ModelServer::start(Scripts::default().with("made-up", "right", roots::EVERY_STEP)).await.unwrap();
    let own = roots::root(None, &folder.path().join("own"));
    let mut agent = Agent::new(&server, &session("right", "ok", "1"), Api::Chat, true);
    let run = |_: &str, input: &Value| {
        let command = input["command"].as_str().unwrap();
        let output = Command::new("bash").args(["-c", command]).current_dir(&own).env("PATH", roots::PATH).output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    };
    let turn = agent.turn("Go.", run).await.unwrap();
    assert_eq!(turn.texts, ["I begin.", "Half is done.", "Now the rest.", "It is all done."]);
    assert_eq!((turn.input_tokens, turn.output_tokens), (120, 34));
    assert_eq!(roots::contents(&own), roots::contents(&scripted));
    assert!(roots::contents(&own).len() > 14);
}
