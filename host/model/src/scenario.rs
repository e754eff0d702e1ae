use std::{collections::BTreeMap, path::PathBuf};

use super::{Clause, ExpectedFailure, Grant, Grants, Limits, RetryOverride, ScenarioId, Script};

/// Index of a plugin in the run's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginId(pub usize);

/// A named test, resolved from its plugin, its folder and the suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its identity in the run.
    pub id: ScenarioId,
    /// The plugin that contains it.
    pub plugin: PluginId,
    /// The name that its plugin and its folder use.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Words to select by: the plugin's and the folder's.
    pub tags: Vec<String>,
    /// The clauses of its grader; empty when its plugin declares none.
    pub clauses: Vec<Clause>,
    /// Its grants.
    pub grants: Grants,
    /// Whether it cannot do without a session.
    pub needs_session: bool,
    /// Grants that it needs or requests but does not have: it cannot run.
    pub ungranted: Vec<Ungranted>,
    /// Its bounds.
    pub limits: Limits,
    /// Its retries.
    pub retry: RetryOverride,
    /// Its known failures.
    pub expected_failures: Vec<ExpectedFailure>,
    /// Its file, where it has one.
    pub file: Option<PathBuf>,
    /// How it is called.
    pub shape: ScenarioShape,
    /// The initial content of its root and config dir.
    pub fixture: Fixture,
    /// A folder of programs that come before all others in the agent's `PATH`.
    pub bin: Option<PathBuf>,
    /// The scripted agents of its folder, by name.
    pub agents: BTreeMap<String, ScriptedAgent>,
    /// As which entry of the suite's `canary` it guards a lane, if it does.
    pub canary: Option<String>,
}

/// A scenario as its plugin declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredScenario {
    /// Stable name.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Words to select by.
    pub tags: Vec<String>,
    /// The grants that it cannot do without.
    pub needs: Vec<Grant>,
    /// The clauses of its grader; empty when it declares none.
    pub clauses: Vec<Clause>,
}

/// A grant that a scenario needs, or asks for, and is not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ungranted {
    /// The grant.
    pub grant: Grant,
    /// The problem and its fix, for people.
    pub problem: String,
}

/// How a scenario is called.
#[derive(Clone, Debug, PartialEq)]
pub enum ScenarioShape {
    /// Through the typed world `scenario:host/plugin`.
    Typed,
    /// As a plain WASI command.
    Command(Box<CommandSpec>),
}

/// The input of a plain command, and the expected result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandSpec {
    /// The program's name, which is its first argument: the name of its file.
    pub program: String,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// Its whole environment, in the order of the file.
    pub env: Vec<(String, String)>,
    /// Its stdin; empty by default.
    pub stdin: Vec<u8>,
    /// Its directories in their order, in place of the default ones.
    pub preopens: Option<Vec<Preopen>>,
    /// A session that the host drives before it starts the command.
    pub session: Option<SessionPrompt>,
    /// The expected result, in place of exit code 0 for pass and 77 for skip.
    pub expect: Option<Expectation>,
}

/// A directory that a plain command is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preopen {
    /// What it is.
    pub from: PreopenSource,
    /// The name that the component knows it by.
    pub to: String,
    /// Whether the component can change nothing in it.
    pub read_only: bool,
}

/// The source of a preopen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreopenSource {
    /// The attempt's root.
    Root,
    /// The attempt's config dir.
    Config,
    /// The fixture as it was.
    Before,
    /// A folder of the scenario, by its name in [`Fixture::folders`].
    Folder(String),
}

impl CommandSpec {
    /// Whether it may change a folder of the scenario, so that each attempt needs a copy.
    #[must_use]
    pub fn writes_folders(&self) -> bool {
        let mut preopens = self.preopens.iter().flatten();
        preopens.any(|preopen| !preopen.read_only && matches!(preopen.from, PreopenSource::Folder(_)))
    }
}

/// Where a plain command finds the record of a session that the host drove.
pub const SESSION_FOLDER: &str = "/host/session";

/// The prompt of a session that the host drives for a plain command.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPrompt {
    /// The first and only message.
    pub prompt: String,
}

/// The expected result of a plain command. Every clause that is present must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectation {
    /// The exit code; 0 when absent.
    pub exit_code: Option<i32>,
    /// The expected stdout.
    pub stdout: Option<TextMatch>,
    /// The expected stderr.
    pub stderr: Option<TextMatch>,
}

/// How an output is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum TextMatch {
    /// Equal, byte for byte.
    Equals(String),
    /// Contains the text.
    Contains(String),
}

/// The initial content of an attempt's directories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fixture {
    /// Copied to the root.
    pub root: Option<PathBuf>,
    /// Copied to the config dir.
    pub config: Option<PathBuf>,
    /// Whether the root becomes a git repository with one commit.
    pub git: bool,
    /// Further folders that a plain command is given, by their paths in the scenario's folder.
    pub folders: BTreeMap<String, PathBuf>,
}

/// A scripted agent of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptedAgent {
    /// The script's file.
    pub path: PathBuf,
    /// What the file holds.
    pub script: Script,
}

/// The properties of a plugin that the plan needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFacts {
    /// Its place in the run's list.
    pub id: PluginId,
    /// Unambiguous short name.
    pub label: String,
    /// As given, for messages.
    pub path: PathBuf,
    /// Its place on disk, for comparing.
    pub canonical: PathBuf,
    /// SHA-256 of its file, in hexadecimal digits.
    pub digest: String,
    /// Its content.
    pub declared: Declared,
}

/// The content of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declared {
    /// The scenarios that it lists.
    Typed(Vec<DeclaredScenario>),
    /// It is a plain command.
    Command,
}

impl Scenario {
    /// A typed scenario of this name, with nothing else.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            id: ScenarioId(name.into()),
            plugin: PluginId(0),
            name: name.into(),
            summary: String::new(),
            tags: Vec::new(),
            clauses: Vec::new(),
            grants: Grants::default(),
            needs_session: false,
            ungranted: Vec::new(),
            limits: Limits::default(),
            retry: RetryOverride::default(),
            expected_failures: Vec::new(),
            file: None,
            shape: ScenarioShape::Typed,
            fixture: Fixture::default(),
            bin: None,
            agents: BTreeMap::new(),
            canary: None,
        }
    }
}
