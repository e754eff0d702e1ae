//! `scenarios/<name>/`: the file, the fixture and the scripted agents.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    agents::agents,
    defaults::{Defaults, DefaultsTable},
    error::ConfigError,
    expected::{ExpectFailTable, ExpectedSettings},
    grants::{GrantsTable, SourcedGrants},
    parse::parse_both,
    preopens::{PreopenTable, preopens},
    source::{FileText, SourceError, SourceSpan, read},
    strays::{Stray, strays},
    table::SettingsTable,
    value::{ExitCode, Table},
    within::SuiteFolder,
};
use host_model::{
    CommandSpec, Expectation, Fixture, Limits, Preopen, RetryOverride, SESSION_FOLDER, ScriptedAgent, SessionPrompt,
    TextMatch, check_name,
};

/// The most tags that are read.
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
    /// The canonical path of the plugin that the file names; `None` where it is missing.
    pub plugin_canonical: Option<PathBuf>,
    /// One sentence, for a plain command.
    pub summary: Option<String>,
    /// Words to select by.
    pub tags: Vec<String>,
    /// Its grants.
    pub grants: SourcedGrants,
    /// Its limits.
    pub limits: Limits,
    /// Its retries.
    pub retry: RetryOverride,
    /// Its known failures.
    pub expected_failures: Vec<ExpectedSettings>,
    /// Its file, where there is one.
    pub file: Option<PathBuf>,
    /// The initial content of root and config dir.
    pub fixture: Fixture,
    /// Programs that come before all others in the agent's `PATH`.
    pub bin: Option<PathBuf>,
    /// For a plain command.
    pub command: CommandSpec,
    /// Keys of the file that only a plain command can have.
    pub command_keys: Vec<&'static str>,
    /// The positions of `plugin`, of the keys of a plain command, and of limits and retries in the file.
    pub places: BTreeMap<&'static str, SourceSpan>,
    /// Its scripted agents.
    pub agents: BTreeMap<String, ScriptedAgent>,
    /// Entries of its folder that are not read.
    pub strays: Vec<Stray>,
}

/// `scenario.toml` as written, without the limits and retries of [`DefaultsTable`].
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct ScenarioFile {
    plugin: Option<Spanned<String>>,
    summary: Option<Spanned<String>>,
    tags: Option<Spanned<Vec<String>>>,
    expect_fail: Vec<Table<ExpectFailTable>>,
    grants: Table<GrantsTable>,
    fixture: Table<FixtureTable>,
    args: Option<Spanned<Vec<String>>>,
    env: Option<Spanned<Variables>>,
    stdin: Option<Spanned<String>>,
    preopens: Option<Spanned<Vec<Table<PreopenTable>>>>,
    session: Option<Spanned<Table<SessionTable>>>,
    expect: Option<Spanned<Table<ExpectTable>>>,
}

/// Names and texts in the order in which they are written: a program may look at the order of its variables.
#[derive(Debug, Deserialize)]
#[serde(from = "BTreeMap<Spanned<String>, String>")]
struct Variables(Vec<(String, String)>);

impl From<BTreeMap<Spanned<String>, String>> for Variables {
    fn from(written: BTreeMap<Spanned<String>, String>) -> Self {
        let mut written: Vec<_> = written.into_iter().collect();
        written.sort_by_key(|(name, _)| name.span().start);
        Self(written.into_iter().map(|(name, text)| (name.into_inner(), text)).collect())
    }
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
    exit_code: Option<ExitCode>,
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
    /// Values that are too large, with their positions.
    fn oversized(&self) -> impl Iterator<Item = (std::ops::Range<usize>, String)> {
        let tags = self.tags.as_ref().filter(|tags| tags.get_ref().len() > MAX_TAGS).map(|tags| {
            (tags.span(), format!("there are {} tags, but at most {MAX_TAGS} are allowed", tags.get_ref().len()))
        });
        let size = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.len() + 1).sum::<usize>();
        let args = self.args.as_ref().map_or(0, |args| size(&mut args.get_ref().iter()));
        let env =
            self.env.as_ref().map_or(0, |env| size(&mut env.get_ref().0.iter().flat_map(|(name, text)| [name, text])));
        // The larger of both is where to save.
        let larger =
            if args > env { self.args.as_ref().map(Spanned::span) } else { self.env.as_ref().map(Spanned::span) };
        let handed = larger.filter(|_| args + env > MAX_HANDED).map(|span| {
            let given = args + env;
            (span, format!("`args` and `env` take {given} bytes, but at most {MAX_HANDED} are allowed; use a file"))
        });
        tags.into_iter().chain(handed)
    }

    /// Values that no program can receive, with their positions.
    fn unfit(&self) -> impl Iterator<Item = (std::ops::Range<usize>, String)> {
        let nul = |key, span| (span, format!("`{key}` contains the character NUL, which ends a text; remove it"));
        let args = self.args.as_ref().filter(|args| args.get_ref().iter().any(|arg| arg.contains('\0')));
        let env = self.env.as_ref().and_then(|env| {
            let names = || env.get_ref().0.iter().map(|(name, _)| name);
            let texts = env.get_ref().0.iter().map(|(_, text)| text);
            if names().chain(texts).any(|text| text.contains('\0')) {
                return Some(nul("env", env.span()));
            }
            let unfit = names().find(|name| name.is_empty() || name.contains('='))?;
            Some((env.span(), format!("{unfit:?} is not a variable name; use a non-empty name without `=`")))
        });
        args.map(|args| nul("args", args.span())).into_iter().chain(env)
    }

    /// Variables that `env` sets and `[grants]` takes from the host: only one can apply.
    fn given_twice(&self, source: &FileText, grants: &SourcedGrants) -> Vec<SourceError> {
        let Some(env) = &self.env else { return Vec::new() };
        let both = env.get_ref().0.iter().map(|(name, _)| name).filter(|name| grants.grants.env.contains(*name));
        both.map(|name| {
            let message = format!("`{name}` is set here, and granted from the host's environment too; remove one");
            source.error(env.span(), message)
        })
        .collect()
    }

    /// An empty path of the plugin, with its position.
    fn empty_plugin(&self) -> Option<(std::ops::Range<usize>, String)> {
        let plugin = self.plugin.as_ref().filter(|plugin| plugin.get_ref().is_empty())?;
        Some((plugin.span(), "`plugin` is empty; write the plugin's path, or remove the key".to_owned()))
    }

    /// The positions of `plugin`, of the keys of a plain command, and of limits and retries.
    fn places(&self, defaults: &DefaultsTable, source: &FileText) -> BTreeMap<&'static str, SourceSpan> {
        let plugin = self.plugin.as_ref().map(|plugin| ("plugin", plugin.span()));
        let spans = self.command_spans().chain(plugin).chain(defaults.spans());
        spans.map(|(key, span)| (key, source.place(span))).collect()
    }

    /// The plain command.
    fn command(self, preopens: Option<Vec<Preopen>>) -> CommandSpec {
        CommandSpec {
            program: String::new(),
            args: self.args.map(Spanned::into_inner).unwrap_or_default(),
            env: self.env.map(|env| env.into_inner().0).unwrap_or_default(),
            stdin: self.stdin.map(Spanned::into_inner).unwrap_or_default().into_bytes(),
            preopens,
            session: self.session.map(|session| SessionPrompt { prompt: session.into_inner().0.prompt }),
            expect: self.expect.map(Spanned::into_inner).map(|Table(expect)| expect).map(|expect| Expectation {
                exit_code: expect.exit_code.map(|ExitCode(code)| code),
                stdout: expect.stdout.map(Into::into),
                stderr: expect.stderr.map(Into::into),
            }),
        }
    }

    /// The positions of the keys of a plain command.
    fn command_spans(&self) -> impl Iterator<Item = (&'static str, std::ops::Range<usize>)> {
        [
            ("args", self.args.as_ref().map(Spanned::span)),
            ("env", self.env.as_ref().map(Spanned::span)),
            ("expect", self.expect.as_ref().map(Spanned::span)),
            ("preopens", self.preopens.as_ref().map(Spanned::span)),
            ("session", self.session.as_ref().map(Spanned::span)),
            ("stdin", self.stdin.as_ref().map(Spanned::span)),
            ("summary", self.summary.as_ref().map(Spanned::span)),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
    }
}

/// The contents of a scenario's folder other than its file.
struct FolderParts {
    root: Option<PathBuf>,
    config: Option<PathBuf>,
    bin: Option<PathBuf>,
    agents: BTreeMap<String, ScriptedAgent>,
}

impl FolderParts {
    fn read(folder: &Path, suite: SuiteFolder<'_>, problems: &mut Vec<ConfigError>) -> Self {
        let mut dir = |name: &str| {
            let path = folder.join(name);
            if let Err(error) = suite.check_inside(&path) {
                problems.push(error);
                return None;
            }
            if !path.is_dir() && path.symlink_metadata().is_ok() {
                problems.push(ConfigError::NotAFolder { path: path.clone() });
            }
            Some(path).filter(|path| path.is_dir())
        };
        let (root, config) = (dir("root"), dir("config"));
        let bin = dir("bin").map(|bin| std::path::absolute(&bin).unwrap_or(bin));
        let agents = agents(&folder.join("agents"), suite).unwrap_or_else(|errors| {
            problems.extend(errors);
            BTreeMap::new()
        });
        Self { root, config, bin, agents }
    }
}

impl ScenarioSettings {
    /// Reads the folder of a scenario of `suite`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(
        folder: &Path,
        suite: SuiteFolder<'_>,
        base: &Path,
        limits: &Limits,
    ) -> Result<Self, Vec<ConfigError>> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        check_name(&name).map_err(|source| vec![ConfigError::FolderName { folder: folder.to_owned(), source }])?;
        let mut problems = Vec::new();
        let path = folder.join("scenario.toml");
        let text = suite.check_inside(&path).and_then(|()| Ok(read(&path)?)).unwrap_or_else(|error| {
            problems.push(error);
            None
        });
        let given = text.is_some();
        let source = FileText { path, text: text.unwrap_or_else(|| Arc::from("")) };
        let (defaults, file): (DefaultsTable, ScenarioFile) =
            parse_both(&source.path, &source.text).unwrap_or_else(|error| {
                problems.push(error.into());
                Default::default()
            });
        let parts = FolderParts::read(folder, suite, &mut problems);
        let mut wrong: Vec<_> = file.oversized().chain(file.unfit()).chain(file.empty_plugin()).collect();
        let given_preopens = file.preopens.as_ref().map(|written| {
            let taken: &[&str] = if file.session.is_some() { &[SESSION_FOLDER] } else { &[] };
            preopens(written, folder, taken, &mut wrong)
        });
        problems.extend(wrong.into_iter().map(|(span, message)| source.error(span, message).into()));
        let mut unexpected = Vec::new();
        let expected_failures =
            file.expect_fail.iter().map(|Table(table)| table.settings(&source, &mut unexpected)).collect();
        let grants = file.grants.0.read(&source, &mut unexpected);
        unexpected.extend(file.given_twice(&source, &grants));
        problems.extend(unexpected.into_iter().map(ConfigError::from));
        if !problems.is_empty() {
            return Err(problems);
        }
        let plugin = file.plugin.as_ref().map(|plugin| plugin_path(plugin.get_ref(), folder, base));
        let mut own = Defaults { limits: limits.clone(), ..Defaults::default() };
        defaults.apply(&mut own);
        let command_keys = file.command_spans().map(|(key, _)| key).collect();
        let places = file.places(&defaults, &source);
        let (preopens, folders) = given_preopens.map(|given| (given.list, given.folders)).unzip();
        let folders = folders.unwrap_or_default();
        let strays = strays(folder, folders.keys().map(String::as_str));
        Ok(Self {
            plugin_canonical: plugin.as_deref().and_then(|path| path.canonicalize().ok()),
            plugin,
            summary: file.summary.as_ref().map(|summary| summary.get_ref().clone()),
            tags: file.tags.as_ref().map(|tags| tags.get_ref().clone()).unwrap_or_default(),
            grants,
            limits: own.limits,
            retry: own.retry,
            expected_failures,
            file: given.then_some(source.path),
            fixture: Fixture { root: parts.root, config: parts.config, git: file.fixture.0.git, folders },
            bin: parts.bin,
            command: file.command(preopens),
            command_keys,
            places,
            agents: parts.agents,
            strays,
            name,
            folder: folder.to_owned(),
        })
    }

    /// Whether the file names a missing plugin.
    #[must_use]
    pub fn lacks_its_plugin(&self) -> bool {
        self.plugin.is_some() && !self.plugin_canonical.as_deref().is_some_and(Path::is_file)
    }

    /// Names of agents, right and wrong.
    #[must_use]
    pub fn agent_names(&self) -> BTreeSet<&str> {
        self.agents.keys().map(String::as_str).collect()
    }
}

/// A path in `scenario.toml` is relative to the folder of `scenarios/`, or to the file itself.
fn plugin_path(written: &str, folder: &Path, base: &Path) -> PathBuf {
    let (from_base, from_file) = (base.join(written), folder.join(written));
    if !from_base.exists() && from_file.exists() { from_file } else { from_base }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is too large in a file, with the text to report it.
    fn oversized(text: &str) -> Vec<(String, String)> {
        let file: ScenarioFile = toml::from_str(text).unwrap();
        file.oversized().map(|(span, message)| (text[span].chars().take(6).collect(), message)).collect()
    }

    #[test]
    fn tags_arguments_and_environment_are_limited() {
        assert_eq!(oversized(&format!("tags = [{}]", "\"a\",".repeat(MAX_TAGS))), []);
        let tags = oversized(&format!("tags = [{}]", "\"a\",".repeat(MAX_TAGS + 1)));
        assert_eq!(tags, [("[\"a\",\"".to_owned(), "there are 1001 tags, but at most 1000 are allowed".to_owned())]);
        let half = "x".repeat(MAX_HANDED / 2);
        assert_eq!(oversized(&format!("args = [\"{half}\"]\n[env]\nA = \"b\"")), []);
        let [(place, message)] =
            oversized(&format!("args = [\"{half}\"]\nenv = {{ A = \"{half}\" }}")).try_into().unwrap();
        assert!(place.starts_with("{ A = "), "{place}");
        assert!(message.starts_with("`args` and `env` take 1048580 bytes, but at most 1048576"), "{message}");
    }
}
