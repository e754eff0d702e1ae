//! `scenarios/<name>/`: the file, the fixture and the scripted agents.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    settings::{ConfigError, read},
    source::parse,
    suite_file::LimitsTable,
};
use crate::model::{
    CommandSpec, Expectation, Fixture, Grant, Grants, Limits, Script, ScriptedAgent, SessionPrompt, TextMatch,
    check_name,
};

/// A scenario's folder, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioSettings {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// The plugin that the file names, as a path; needed for a plain command, a check for a typed one.
    pub plugin: Option<PathBuf>,
    /// One sentence, for a plain command.
    pub summary: Option<String>,
    /// Words to select by.
    pub tags: Vec<String>,
    /// What it is given.
    pub grants: Grants,
    /// Its bounds.
    pub limits: Limits,
    /// What root and config dir start with.
    pub fixture: Fixture,
    /// For a plain command.
    pub command: CommandSpec,
    /// Keys of the file that only a plain command can have.
    pub command_keys: Vec<&'static str>,
    /// Its scripted agents.
    pub agents: BTreeMap<String, ScriptedAgent>,
}

/// `scenario.toml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct ScenarioFile {
    plugin: Option<String>,
    summary: Option<String>,
    tags: Vec<String>,
    deadline: Option<super::value::Time>,
    memory: Option<super::value::Bytes>,
    table_elements: Option<u64>,
    instances: Option<u32>,
    output: Option<super::value::Bytes>,
    disk: Option<super::value::Bytes>,
    handles: Option<u32>,
    grants: GrantsTable,
    fixture: FixtureTable,
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, String>>,
    stdin: Option<String>,
    session: Option<SessionTable>,
    expect: Option<ExpectTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct GrantsTable {
    session: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct FixtureTable {
    git: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SessionTable {
    prompt: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct ExpectTable {
    exit_code: Option<i32>,
    stdout: Option<MatchTable>,
    stderr: Option<MatchTable>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text, or `{ contains = TEXT }`")]
enum MatchTable {
    Equals(String),
    Contains(Contains),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contains {
    contains: String,
}

impl From<MatchTable> for TextMatch {
    fn from(written: MatchTable) -> Self {
        match written {
            MatchTable::Equals(text) => Self::Equals(text),
            MatchTable::Contains(Contains { contains }) => Self::Contains(contains),
        }
    }
}

impl ScenarioFile {
    fn limits(&self) -> LimitsTable {
        LimitsTable {
            deadline: self.deadline,
            memory: self.memory,
            table_elements: self.table_elements,
            instances: self.instances,
            output: self.output,
            disk: self.disk,
            handles: self.handles,
        }
    }

    fn command_keys(&self) -> Vec<&'static str> {
        [
            ("args", self.args.is_some()),
            ("env", self.env.is_some()),
            ("stdin", self.stdin.is_some()),
            ("session", self.session.is_some()),
            ("expect", self.expect.is_some()),
            ("summary", self.summary.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect()
    }
}

impl ScenarioSettings {
    /// Reads the folder of the scenario `name`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(folder: &Path, base: &Path, defaults: &Limits) -> Result<Self, Vec<ConfigError>> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        check_name(&name).map_err(|source| vec![ConfigError::FolderName { folder: folder.to_owned(), source }])?;
        let mut problems = Vec::new();
        let path = folder.join("scenario.toml");
        let file: ScenarioFile = match read(&path) {
            Ok(Some(text)) => parse(&path, &text).unwrap_or_else(|error| {
                problems.push(error.into());
                ScenarioFile::default()
            }),
            Ok(None) => ScenarioFile::default(),
            Err(error) => return Err(vec![error]),
        };
        let agents = agents(&folder.join("agents")).unwrap_or_else(|errors| {
            problems.extend(errors);
            BTreeMap::new()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let command_keys = file.command_keys();
        let limits = file.limits().over(defaults);
        let dir = |name: &str| Some(folder.join(name)).filter(|path| path.is_dir());
        Ok(Self {
            plugin: file.plugin.as_deref().map(|plugin| plugin_path(plugin, folder, base)),
            summary: file.summary,
            tags: file.tags,
            grants: file.grants.session.then_some(Grant::Session).into_iter().collect::<Grants>(),
            limits,
            fixture: Fixture { root: dir("root"), config: dir("config"), git: file.fixture.git },
            command: CommandSpec {
                args: file.args.unwrap_or_default(),
                env: file.env.unwrap_or_default(),
                stdin: file.stdin.unwrap_or_default().into_bytes(),
                session: file.session.map(|session| SessionPrompt { prompt: session.prompt }),
                expect: file.expect.map(|expect| Expectation {
                    exit_code: expect.exit_code,
                    stdout: expect.stdout.map(Into::into),
                    stderr: expect.stderr.map(Into::into),
                }),
            },
            command_keys,
            agents,
            name,
            folder: folder.to_owned(),
        })
    }

    /// Names of agents, right and wrong.
    #[must_use]
    pub fn agent_names(&self) -> BTreeSet<&str> {
        self.agents.keys().map(String::as_str).collect()
    }
}

/// A path in `scenario.toml` is meant from the folder that holds `scenarios/`, or from the file itself.
fn plugin_path(written: &str, folder: &Path, base: &Path) -> PathBuf {
    let (from_base, from_file) = (base.join(written), folder.join(written));
    if !from_base.exists() && from_file.exists() { from_file } else { from_base }
}

fn agents(folder: &Path) -> Result<BTreeMap<String, ScriptedAgent>, Vec<ConfigError>> {
    let mut agents = BTreeMap::new();
    let mut problems = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(agents),
        Err(source) => return Err(vec![ConfigError::Read { path: folder.to_owned(), source }]),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Err(source) = check_name(&name) {
            problems.push(ConfigError::FolderName { folder: path, source });
            continue;
        }
        match read(&path).and_then(|text| Ok(parse::<Script>(&path, &text.unwrap_or_default())?)) {
            Ok(script) => drop(agents.insert(name, ScriptedAgent { path, script })),
            Err(error) => problems.push(error),
        }
    }
    if problems.is_empty() { Ok(agents) } else { Err(problems) }
}
