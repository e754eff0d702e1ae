//! The real agents against a model on loopback that says what it has heard.
//!
//! Run with `HOST_TEST_AGENTS=FOLDER cargo test -p host --test lanes_real -- --ignored`, where FOLDER holds the
//! `node_modules` that the agents are installed in.

#[path = "processes/support.rs"]
#[allow(dead_code, reason = "a module of several test files, each of which uses a part")]
mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
};

use host::{
    lane::{Guard, HostProgram, LaneKind, lane, version},
    model::{AgentSettings, Confinement, Credential, FaultClass, Ports, Provider, SessionEventKind},
};
use serde_json::{Value, json};

use support::{Attempt, all_events, within};

const CODEX: &str = "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";

const KINDS: [LaneKind; 3] = [LaneKind::Claude, LaneKind::Codex, LaneKind::Pi];

/// Where an installed package has `path`.
fn installed(path: &str) -> PathBuf {
    let folder = std::env::var_os("HOST_TEST_AGENTS").expect("HOST_TEST_AGENTS names where the agents are installed");
    PathBuf::from(folder).join("node_modules").join(path)
}

/// An agent of `kind` that is installed in `HOST_TEST_AGENTS`, with its model at `url`.
fn settings(kind: LaneKind, url: &str) -> AgentSettings {
    let mut settings = AgentSettings::new(kind);
    settings.path = vec![installed(".bin")];
    // Its launcher needs a system to choose from; with `--ignore-scripts` the program lies here.
    let claude = installed("@anthropic-ai/claude-code-linux-x64/claude");
    settings.command = (kind == LaneKind::Claude).then(|| claude.display().to_string());
    settings.model = Some("mock-model".into());
    settings.provider = Some(Provider {
        base_url: Some(url.to_owned()),
        key_variable: Some("MODEL_KEY".into()),
        ..Provider::default()
    });
    let keys = [("MODEL_KEY", "key-of-the-test"), ("ANTHROPIC_API_KEY", "key-of-the-test")];
    settings.env = keys.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    settings.env.insert("CLAUDE_CODE_MAX_RETRIES".into(), "1".into());
    settings
}

#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn two_turns_are_one_conversation() {
    let model = Model::start();
    for kind in KINDS {
        let attempt = Attempt::new("");
        let mut spec = attempt.spec();
        spec.prompt = "--first ONE".into();
        let started = within(120, lane(&settings(kind, &model.url("ok")), this_host(), guard()).start(spec)).await;
        let mut session = started.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        let (events, fault) = within(120, all_events(&mut *session)).await;
        assert_eq!(fault, None, "{kind}: {events:?}");
        assert!(matches!(&events[0], SessionEventKind::Started { .. }), "{kind}: {events:?}");
        assert!(events.contains(&SessionEventKind::Message { text: "heard ONE".into() }), "{kind}: {events:?}");
        within(120, session.send("@second TWO".into())).await.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        let conclusion = within(120, session.conclude()).await.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        assert_eq!((conclusion.final_message.as_str(), conclusion.turns), ("heard ONE TWO", 2), "{kind}");
        let usage = &conclusion.usage;
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.cost_micro_usd),
            (Some(20), Some(6), None),
            "{kind}"
        );
        assert_eq!(attempt.living(), [0; 0], "{kind}");
        assert_eq!(std::fs::read_dir(attempt.path("root")).unwrap().count(), 0, "{kind} leaves the root alone");
    }
}

#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn a_login_that_is_refused_is_a_launch_fault() {
    let model = Model::start();
    for kind in KINDS {
        let attempt = Attempt::new("");
        let mut session =
            within(120, lane(&settings(kind, &model.url("refuse")), this_host(), guard()).start(attempt.spec()))
                .await
                .unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        let fault = within(180, session.conclude()).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Launch, "{kind}: {fault}");
        assert!(fault.message.contains("401"), "{kind}: {fault}");
    }
}

#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn an_option_that_an_agent_does_not_know_is_a_launch_fault() {
    for kind in KINDS {
        let attempt = Attempt::new("");
        let mut settings = settings(kind, "http://127.0.0.1:9");
        settings.args = vec!["--no-such-option-of-any-agent".into()];
        let started = within(120, lane(&settings, this_host(), guard()).start(attempt.spec())).await;
        let mut session = started.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        let fault = within(120, session.conclude()).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Launch, "{kind}: {fault}");
        assert!(fault.message.contains("no-such-option"), "{kind}: {fault}");
    }
}

#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn the_installed_versions_are_told() {
    for kind in KINDS {
        let mut settings = settings(kind, "http://127.0.0.1:9");
        settings.version = Some(">=0.80".into());
        let found = within(60, version(&settings, this_host(), &Confinement::default()))
            .await
            .unwrap_or_else(|why| panic!("{kind}: {why}"));
        println!("{kind}: {} {}", found.program.display(), found.version);
        settings.version = Some("<0.1".into());
        assert!(within(60, version(&settings, this_host(), &Confinement::default())).await.is_err(), "{kind}");
    }
}

/// Each of them through its adapter.
#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn two_turns_through_acp_are_one_conversation() {
    let model = Model::start();
    let adapters = [(LaneKind::Claude, "claude-agent-acp"), (LaneKind::Codex, "codex-acp"), (LaneKind::Pi, "pi-acp")];
    for (kind, adapter) in adapters {
        let attempt = Attempt::new("");
        let agent = settings(kind, &model.url("ok"));
        // Of the adapters only Codex's is told of a provider in this way.
        let provider = agent.provider.clone().filter(|_| kind == LaneKind::Codex);
        let mut settings = AgentSettings { kind: LaneKind::Acp, provider, ..agent.clone() };
        settings.command = Some(adapter.to_owned());
        settings.env.extend([
            ("CLAUDE_CODE_EXECUTABLE".into(), agent.command.unwrap_or_default()),
            ("ANTHROPIC_BASE_URL".into(), model.url("ok")),
            ("ANTHROPIC_MODEL".into(), "mock-model".into()),
            ("CODEX_PATH".into(), installed(CODEX).display().to_string()),
        ]);
        if kind == LaneKind::Codex {
            std::fs::create_dir(attempt.path("seeds")).unwrap();
            std::fs::write(attempt.path("seeds/config.toml"), "model = \"mock-model\"\n").unwrap();
            settings.config_seed = Some(attempt.path("seeds"));
        }
        if kind == LaneKind::Pi {
            let entry = json!({
                "baseUrl": model.url("ok"), "api": "anthropic-messages", "apiKey": "$MODEL_KEY",
                "models": [{ "id": "mock-model" }],
            });
            std::fs::create_dir(attempt.path("seeds")).unwrap();
            let seed = |name: &str, value: Value| std::fs::write(attempt.path("seeds").join(name), value.to_string());
            seed("models.json", json!({ "providers": { "host": entry } })).unwrap();
            let quiet = json!({ "defaultProvider": "host", "defaultModel": "mock-model", "quietStartup": true });
            seed("settings.json", quiet).unwrap();
            settings.config_seed = Some(attempt.path("seeds"));
        }
        let mut spec = attempt.spec();
        spec.prompt = "first ONE".into();
        let started = within(120, lane(&settings, this_host(), guard()).start(spec)).await;
        let mut session = started.unwrap_or_else(|fault| panic!("{adapter}: {fault}"));
        let (events, fault) = within(120, all_events(&mut *session)).await;
        assert_eq!(fault, None, "{adapter}: {events:?}");
        assert!(events.contains(&SessionEventKind::Message { text: "heard ONE".into() }), "{adapter}: {events:?}");
        within(120, session.send("second TWO".into())).await.unwrap_or_else(|fault| panic!("{adapter}: {fault}"));
        let conclusion = within(120, session.conclude()).await.unwrap_or_else(|fault| panic!("{adapter}: {fault}"));
        assert_eq!((conclusion.final_message.as_str(), conclusion.turns), ("heard ONE TWO", 2), "{adapter}");
        assert_eq!(attempt.living(), [0; 0], "{adapter}");
    }
}

/// A login in a file, as after `codex login --with-api-key`.
#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn codex_reads_a_login_that_is_linked_into_its_config_dir() {
    let model = Model::start();
    let attempt = Attempt::new("");
    let file = attempt.path("auth.json");
    std::fs::write(&file, json!({ "auth_mode": "apikey", "OPENAI_API_KEY": "key-of-the-test" }).to_string()).unwrap();
    let mut settings = settings(LaneKind::Codex, &model.url("ok"));
    settings.env.clear();
    settings.credentials = vec![Credential::File { from: file, to: "auth.json".into() }];
    settings.provider.as_mut().unwrap().key_variable = None;
    settings.args = ["-c", "model_providers.host.requires_openai_auth=true"].map(String::from).into();
    let mut session = within(60, lane(&settings, this_host(), guard()).start(attempt.spec())).await.unwrap();
    within(60, session.conclude()).await.unwrap();
}

/// The model has any port.
fn guard() -> Guard {
    Guard { confinement: Confinement { tcp_connect: Ports::Any, ..Confinement::default() }, ..Guard::default() }
}

fn this_host() -> HostProgram {
    HostProgram::at(env!("CARGO_BIN_EXE_host"))
}

/// A model server that speaks Messages and Responses, streaming. It says which of the words ONE and TWO it has heard
/// in the whole conversation; it accepts no other key than the test's.
struct Model {
    address: String,
}

impl Model {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is none of the server's business.
                std::thread::spawn(move || drop(answer(stream)));
            }
        });
        Self { address }
    }

    fn url(&self, mode: &str) -> String {
        format!("http://{}/{mode}", self.address)
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut length, mut authorised) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" | "x-api-key" => authorised |= value.contains("key-of-the-test"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default();
    let send = |stream: &mut TcpStream, status: &str, kind: &str, body: &str| {
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    if path.starts_with("/refuse") || !authorised {
        let error = json!({ "type": "error", "error": { "type": "authentication_error", "message": "no" } });
        return send(&mut stream, "401 Unauthorized", "application/json", &error.to_string());
    }
    let body = String::from_utf8_lossy(&body);
    let heard: Vec<&str> = ["ONE", "TWO"].into_iter().filter(|word| body.contains(&format!(" {word}"))).collect();
    let events = match path.split('?').next().unwrap_or_default() {
        path if path.ends_with("/v1/messages") => messages(&format!("heard {}", heard.join(" "))),
        path if path.ends_with("/v1/responses") => responses(&format!("heard {}", heard.join(" "))),
        _ => return send(&mut stream, "404 Not Found", "application/json", "{}"),
    };
    let text: String = events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect();
    send(&mut stream, "200 OK", "text/event-stream", &text)
}

fn messages(text: &str) -> Vec<Value> {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "mock-model", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 10, "output_tokens": 1 },
    });
    vec![
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
            "usage": { "output_tokens": 3 },
        }),
        json!({ "type": "message_stop" }),
    ]
}

fn responses(text: &str) -> Vec<Value> {
    let item = json!({
        "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }],
    });
    let usage = json!({
        "input_tokens": 10, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 3,
        "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 13,
    });
    vec![
        json!({ "type": "response.created", "response": { "id": "resp_1", "object": "response" } }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({
            "type": "response.completed",
            "response": { "id": "resp_1", "object": "response", "status": "completed", "output": [item], "usage": usage },
        }),
    ]
}
