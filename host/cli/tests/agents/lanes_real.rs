//! Sessions of the real agents with the scripted model: what is not seen from outside of the host.
//!
//! Run with `HOST_TEST_AGENTS=FOLDER cargo test -p scenario-host --test agents lanes_real:: -- --ignored`, where FOLDER holds the
//! `node_modules` that the agents are installed in.

use std::path::PathBuf;

use host_agents::{HostProgram, LaneKind, Protection, create_lane, version};
use host_model::{AgentSettings, Confinement, Credential, FaultClass, Ports, Provider, SessionEventKind};
use serde_json::{Value, json};

use host_testing::{
    host_binary,
    model_server::{ModelServer, Scripts, Session},
    session::{Attempt, all_events, within},
};

const CODEX: &str = "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";

const KINDS: [LaneKind; 3] = [LaneKind::Claude, LaneKind::Codex, LaneKind::Pi];

const KEY: &str = "key-of-the-test";

/// The second turn is played to a conversation that holds the first one.
const TWO_TURNS: &str = r#"
summary = "s"
expect = { verdict = "pass" }
step = [
  { usage = { input-tokens = 10, output-tokens = 3 } }, { say = "One thing." },
  { await-message = true },
  { usage = { input-tokens = 20, output-tokens = 6 } }, { say = "Two things." },
]
"#;

/// A model that knows one conversation, which any number of sessions has, told apart by their names.
async fn model() -> ModelServer {
    ModelServer::start(Scripts::default().with("talk", "right", TWO_TURNS)).await.unwrap()
}

fn session(name: &str) -> Session<'_> {
    Session { scenario: "talk", agent: "right", mode: "ok", label: name }
}

/// A session asked with the test's key, and a conversation of it came to hold all of this.
fn asked(model: &ModelServer, name: &str, words: &[&str]) {
    let requests = model.requests_of(&session(name));
    assert!(requests.iter().all(|request| request.key.as_deref() == Some(KEY)), "{name}");
    let bodies: Vec<String> = requests.iter().map(|request| request.body.to_string()).collect();
    assert!(bodies.iter().any(|body| words.iter().all(|word| body.contains(word))), "{name}: {bodies:#?}");
}

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
    settings.env = ["MODEL_KEY", "ANTHROPIC_API_KEY"].map(|name| (name.to_owned(), KEY.to_owned())).into();
    settings.env.insert("CLAUDE_CODE_MAX_RETRIES".into(), "1".into());
    settings
}

#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn two_turns_are_one_conversation() {
    let model = model().await;
    for kind in KINDS {
        let attempt = Attempt::new("");
        let url = model.url(&session(kind.as_str()));
        let mut spec = attempt.spec();
        spec.prompt = "--first ONE".into();
        let started = within(120, create_lane(&settings(kind, &url), this_host(), guard()).start(spec)).await;
        let mut session = started.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        let (events, fault) = within(120, all_events(&mut *session)).await;
        assert_eq!(fault, None, "{kind}: {events:?}");
        assert!(matches!(&events[0], SessionEventKind::Started { .. }), "{kind}: {events:?}");
        assert!(events.contains(&SessionEventKind::Message { text: "One thing.".into() }), "{kind}: {events:?}");
        within(120, session.send("@second TWO".into())).await.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        let conclusion = within(120, session.conclude()).await.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        assert_eq!((conclusion.final_message.as_str(), conclusion.turns), ("Two things.", 2), "{kind}");
        let usage = &conclusion.usage;
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.cost_micro_usd),
            (Some(20), Some(6), None),
            "{kind}"
        );
        asked(&model, kind.as_str(), &["--first ONE", "One thing.", "@second TWO"]);
        assert_eq!(attempt.living(), [0; 0], "{kind}");
        assert_eq!(std::fs::read_dir(attempt.path("root")).unwrap().count(), 0, "{kind} leaves the root alone");
    }
}

#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn an_option_that_an_agent_does_not_know_is_a_launch_fault() {
    for kind in KINDS {
        let attempt = Attempt::new("");
        let mut settings = settings(kind, "http://127.0.0.1:9");
        settings.args = vec!["--no-such-option-of-any-agent".into()];
        let started = within(120, create_lane(&settings, this_host(), guard()).start(attempt.spec())).await;
        let mut session = started.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        let fault = within(120, session.conclude()).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Launch, "{kind}: {fault}");
        assert!(fault.message.contains("no-such-option"), "{kind}: {fault}");
    }
}

#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn the_installed_versions_are_reported() {
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
    let model = model().await;
    let adapters = [(LaneKind::Claude, "claude-agent-acp"), (LaneKind::Codex, "codex-acp"), (LaneKind::Pi, "pi-acp")];
    for (kind, adapter) in adapters {
        let attempt = Attempt::new("");
        let url = model.url(&session(adapter));
        let agent = settings(kind, &url);
        // Of the adapters only Codex's is told of a provider in this way.
        let provider = agent.provider.clone().filter(|_| kind == LaneKind::Codex);
        let mut settings = AgentSettings { kind: LaneKind::Acp, provider, ..agent.clone() };
        settings.command = Some(adapter.to_owned());
        settings.env.extend([
            ("CLAUDE_CODE_EXECUTABLE".into(), agent.command.unwrap_or_default()),
            ("ANTHROPIC_BASE_URL".into(), url.clone()),
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
                "baseUrl": url, "api": "anthropic-messages", "apiKey": "$MODEL_KEY",
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
        let started = within(120, create_lane(&settings, this_host(), guard()).start(spec)).await;
        let mut session = started.unwrap_or_else(|fault| panic!("{adapter}: {fault}"));
        let (events, fault) = within(120, all_events(&mut *session)).await;
        assert_eq!(fault, None, "{adapter}: {events:?}");
        assert!(events.contains(&SessionEventKind::Message { text: "One thing.".into() }), "{adapter}: {events:?}");
        within(120, session.send("second TWO".into())).await.unwrap_or_else(|fault| panic!("{adapter}: {fault}"));
        let conclusion = within(120, session.conclude()).await.unwrap_or_else(|fault| panic!("{adapter}: {fault}"));
        assert_eq!((conclusion.final_message.as_str(), conclusion.turns), ("Two things.", 2), "{adapter}");
        asked(&model, adapter, &["first ONE", "One thing.", "second TWO"]);
        assert_eq!(attempt.living(), [0; 0], "{adapter}");
    }
}

/// A login in a file, as after `codex login --with-api-key`.
#[tokio::test]
#[ignore = "needs the agents: set HOST_TEST_AGENTS"]
async fn codex_reads_a_login_that_is_linked_into_its_config_dir() {
    let model = model().await;
    let attempt = Attempt::new("");
    let file = attempt.path("auth.json");
    std::fs::write(&file, json!({ "auth_mode": "apikey", "OPENAI_API_KEY": KEY }).to_string()).unwrap();
    let mut settings = settings(LaneKind::Codex, &model.url(&session("codex")));
    settings.env.clear();
    settings.credentials = vec![Credential::File { from: file, to: "auth.json".into() }];
    settings.provider.as_mut().unwrap().key_variable = None;
    settings.args = ["-c", "model_providers.host.requires_openai_auth=true"].map(String::from).into();
    let mut codex = within(60, create_lane(&settings, this_host(), guard()).start(attempt.spec())).await.unwrap();
    within(60, codex.conclude()).await.unwrap();
    asked(&model, "codex", &[]);
}

/// The model has any port.
fn guard() -> Protection {
    Protection {
        confinement: Confinement { tcp_connect: Ports::Any, ..Confinement::default() },
        ..Protection::default()
    }
}

fn this_host() -> HostProgram {
    HostProgram::at(host_binary())
}
