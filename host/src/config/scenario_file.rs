//! `scenarios/<name>/`: the file, the fixture and the scripted agents.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    settings::ConfigError,
    source::{Place, ReadError, SourceError, parse, read},
    suite_file::LimitsTable,
    value::{Bytes, NotZero, Table, Time},
};
use crate::model::{
    CommandSpec, Expectation, ExpectedFailure, Fixture, Grant, Grants, Limits, RetryOverride, Script,
    ScriptExpectation, ScriptedAgent, SessionPrompt, Step, TextMatch, check_name,
};

/// More words to select by help nobody.
const MAX_TAGS: usize = 1_000;
/// Bytes of a plain command's `args` and `env` together.
const MAX_HANDED: usize = 1 << 20;

/// A scenario's folder, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioSettings {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// The plugin that the file names, as a path; needed for a plain command, a check for a typed one.
    pub plugin: Option<PathBuf>,
    /// The place on disk of the plugin that the file names; `None` where nothing is there.
    pub plugin_canonical: Option<PathBuf>,
    /// One sentence, for a plain command.
    pub summary: Option<String>,
    /// Words to select by.
    pub tags: Vec<String>,
    /// What it is given.
    pub grants: Grants,
    /// Its bounds.
    pub limits: Limits,
    /// What it says of retries.
    pub retry: RetryOverride,
    /// Its known failures.
    pub expected_failures: Vec<ExpectedFailure>,
    /// Its file, where there is one.
    pub file: Option<PathBuf>,
    /// What root and config dir start with.
    pub fixture: Fixture,
    /// For a plain command.
    pub command: CommandSpec,
    /// Keys of the file that only a plain command can have.
    pub command_keys: Vec<&'static str>,
    /// Where `plugin` and the keys of a plain command stand in the file.
    pub places: BTreeMap<&'static str, Place>,
    /// Its scripted agents.
    pub agents: BTreeMap<String, ScriptedAgent>,
}

/// `scenario.toml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct ScenarioFile {
    plugin: Option<Spanned<String>>,
    summary: Option<Spanned<String>>,
    tags: Option<Spanned<Vec<String>>>,
    deadline: Option<Time>,
    memory: Option<NotZero<Bytes>>,
    table_elements: Option<u64>,
    instances: Option<NotZero<u32>>,
    output: Option<Bytes>,
    disk: Option<Bytes>,
    handles: Option<NotZero<u32>>,
    quiet: Option<Time>,
    back_off: Option<Time>,
    progress: Option<Time>,
    grants: Table<GrantsTable>,
    fixture: Table<FixtureTable>,
    args: Option<Spanned<Vec<String>>>,
    env: Option<Spanned<BTreeMap<String, String>>>,
    stdin: Option<Spanned<String>>,
    session: Option<Spanned<Table<SessionTable>>>,
    expect: Option<Spanned<Table<ExpectTable>>>,
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
#[serde(untagged, expecting = "expected a text in quotes, or `{ contains = TEXT }`")]
enum MatchTable {
    Equals(String),
    Contains(Table<Contains>),
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
            MatchTable::Contains(Table(Contains { contains })) => Self::Contains(contains),
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
            quiet: self.quiet,
            back_off: self.back_off,
            progress: self.progress,
        }
    }

    /// What is too large to be meant, with its place.
    fn oversized(&self) -> impl Iterator<Item = (std::ops::Range<usize>, String)> {
        let tags = self.tags.as_ref().filter(|tags| tags.get_ref().len() > MAX_TAGS).map(|tags| {
            (tags.span(), format!("there are {} tags, but at most {MAX_TAGS} are read", tags.get_ref().len()))
        });
        let size = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.len() + 1).sum::<usize>();
        let args = self.args.as_ref().map_or(0, |args| size(&mut args.get_ref().iter()));
        let env =
            self.env.as_ref().map_or(0, |env| size(&mut env.get_ref().iter().flat_map(|(name, text)| [name, text])));
        // The larger of both is where to save.
        let larger =
            if args > env { self.args.as_ref().map(Spanned::span) } else { self.env.as_ref().map(Spanned::span) };
        let handed = larger.filter(|_| args + env > MAX_HANDED).map(|span| {
            let given = args + env;
            (span, format!("`args` and `env` take {given} bytes, but at most {MAX_HANDED} are handed over; use a file"))
        });
        tags.into_iter().chain(handed)
    }

    /// Where `plugin` and the keys of a plain command stand.
    fn spans(&self) -> impl Iterator<Item = (&'static str, std::ops::Range<usize>)> {
        [
            ("plugin", self.plugin.as_ref().map(Spanned::span)),
            ("args", self.args.as_ref().map(Spanned::span)),
            ("env", self.env.as_ref().map(Spanned::span)),
            ("stdin", self.stdin.as_ref().map(Spanned::span)),
            ("session", self.session.as_ref().map(Spanned::span)),
            ("expect", self.expect.as_ref().map(Spanned::span)),
            ("summary", self.summary.as_ref().map(Spanned::span)),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
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
        let text = read(&path).unwrap_or_else(|error| {
            problems.push(error.into());
            None
        });
        let given = text.is_some();
        let text = text.unwrap_or_else(|| Arc::from(""));
        let file: ScenarioFile = parse(&path, &text).unwrap_or_else(|error| {
            problems.push(error.into());
            ScenarioFile::default()
        });
        let mut dir = |name: &str| {
            let path = folder.join(name);
            if !path.is_dir() && path.symlink_metadata().is_ok() {
                problems.push(ConfigError::NotAFolder { path: path.clone() });
            }
            Some(path).filter(|path| path.is_dir())
        };
        let fixture = Fixture { root: dir("root"), config: dir("config"), git: file.fixture.0.git };
        let agents = agents(&folder.join("agents")).unwrap_or_else(|errors| {
            problems.extend(errors);
            BTreeMap::new()
        });
        problems
            .extend(file.oversized().map(|(span, message)| SourceError::new(&path, &text, Some(span), message).into()));
        if !problems.is_empty() {
            return Err(problems);
        }
        let plugin = file.plugin.as_ref().map(|plugin| plugin_path(plugin.get_ref(), folder, base));
        let places: BTreeMap<_, _> = file.spans().map(|(key, span)| (key, Place::new(&path, &text, span))).collect();
        let command_keys = places.keys().copied().filter(|key| *key != "plugin").collect();
        let limits = file.limits().over(defaults);
        let expect = file.expect.map(|expect| expect.into_inner().0);
        Ok(Self {
            plugin_canonical: plugin.as_deref().and_then(|path| path.canonicalize().ok()),
            plugin,
            summary: file.summary.map(Spanned::into_inner),
            tags: file.tags.map(Spanned::into_inner).unwrap_or_default(),
            grants: file.grants.0.session.then_some(Grant::Session).into_iter().collect::<Grants>(),
            limits,
            retry: RetryOverride::default(),
            expected_failures: Vec::new(),
            file: given.then_some(path),
            fixture,
            command: CommandSpec {
                args: file.args.map(Spanned::into_inner).unwrap_or_default(),
                env: file.env.map(Spanned::into_inner).unwrap_or_default(),
                stdin: file.stdin.map(Spanned::into_inner).unwrap_or_default().into_bytes(),
                session: file.session.map(|session| SessionPrompt { prompt: session.into_inner().0.prompt }),
                expect: expect.map(|expect| Expectation {
                    exit_code: expect.exit_code,
                    stdout: expect.stdout.map(Into::into),
                    stderr: expect.stderr.map(Into::into),
                }),
            },
            command_keys,
            places,
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
        Err(_) if folder.exists() && !folder.is_dir() => {
            return Err(vec![ConfigError::NotAFolder { path: folder.to_owned() }]);
        }
        Err(source) => return Err(vec![ReadError::Io { path: folder.to_owned(), source }.into()]),
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        // Files of editors and tools are none of ours.
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Err(source) = check_name(&name) {
            problems.push(ConfigError::FolderName { folder: path, source });
            continue;
        }
        match script(&path) {
            Ok(script) => drop(agents.insert(name, ScriptedAgent { path, script })),
            Err(error) => problems.push(error),
        }
    }
    if problems.is_empty() { Ok(agents) } else { Err(problems) }
}

/// A [`Script`] of which every step is read as a table of its own, so that an error names the step's place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    summary: String,
    expect: ScriptExpectation,
    #[serde(default)]
    step: Vec<Table<Step>>,
}

fn script(path: &Path) -> Result<Script, ConfigError> {
    let text = read(path)?.unwrap_or_else(|| Arc::from(""));
    let ScriptFile { summary, expect, step } = parse(path, &text)?;
    Ok(Script { summary, expect, steps: step.into_iter().map(|Table(step)| step).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is too large in a file, with the text that it is told of.
    fn oversized(text: &str) -> Vec<(String, String)> {
        let file: ScenarioFile = toml::from_str(text).unwrap();
        file.oversized().map(|(span, message)| (text[span].chars().take(6).collect(), message)).collect()
    }

    #[test]
    fn tags_arguments_and_environment_are_bounded_in_their_place() {
        assert_eq!(oversized(&format!("tags = [{}]", "\"a\",".repeat(MAX_TAGS))), []);
        let tags = oversized(&format!("tags = [{}]", "\"a\",".repeat(MAX_TAGS + 1)));
        assert_eq!(tags, [("[\"a\",\"".to_owned(), "there are 1001 tags, but at most 1000 are read".to_owned())]);
        let half = "x".repeat(MAX_HANDED / 2);
        assert_eq!(oversized(&format!("args = [\"{half}\"]\n[env]\nA = \"b\"")), []);
        let [(place, message)] =
            oversized(&format!("args = [\"{half}\"]\nenv = {{ A = \"{half}\" }}")).try_into().unwrap();
        assert!(place.starts_with("{ A = "), "{place}");
        assert!(message.starts_with("`args` and `env` take 1048580 bytes, but at most 1048576"), "{message}");
    }
}
