//! `[lane.NAME]`, and which of them are run in.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::Spanned;

use super::{
    error::ConfigError,
    lane_table::{LaneForm, LaneTable},
    layers::{Sourced, Sources},
    source::FileText,
    suite_file::{RunTable, SuiteFile},
    table::{Layer, SettingsTable},
    value::Table,
};
use host_model::{
    AgentSettings, Confinement, ConfinementMode, Credential, DEFAULT_BREAKER, LaneName, Ports, Provider, RetryOverride,
    check_name, text::did_you_mean,
};

/// The lane of a suite that names none.
const DEFAULT_LANE: &str = "scripted";
/// The scripted agent of a lane that names none.
const DEFAULT_AGENT: &str = "right";

/// A lane, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// Its name.
    pub name: LaneName,
    /// Its kind of agent.
    pub kind: LaneKind,
    /// What the operating system lets its agents use.
    pub confinement: Confinement,
    /// Attempts in parallel in this lane; limited by the run alone when absent.
    pub jobs: Option<usize>,
    /// Its retries.
    pub retry: RetryOverride,
    /// The number of trials in a row that end as faults of the whole lane, after which no more of its trials start; 0 is
    /// never.
    pub breaker: u32,
}

/// A kind of agent, with its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneKind {
    /// `host agent` plays a script of the scenario.
    Scripted {
        /// The script's name.
        agent: String,
    },
    /// A program of the user's.
    Program(Box<AgentSettings>),
}

impl LaneKind {
    /// The kind without its configuration.
    #[must_use]
    pub fn kind(&self) -> host_model::LaneKind {
        match self {
            Self::Scripted { .. } => host_model::LaneKind::Scripted,
            Self::Program(settings) => settings.kind,
        }
    }

    /// The program, if it is one.
    #[must_use]
    pub fn program(&self) -> Option<&AgentSettings> {
        match self {
            Self::Scripted { .. } => None,
            Self::Program(settings) => Some(settings),
        }
    }

    /// The word that files and reports use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }
}

/// The lanes of a suite.
#[derive(Debug)]
pub(super) struct Lanes {
    /// By name; the embedded one is among them.
    known: BTreeMap<String, LaneSettings>,
    /// Those that the suite defines, by name; the embedded one where it defines none.
    defined: Vec<String>,
}

impl Lanes {
    /// Reads the lanes of `top`, with those of the profile `asked` over them. What is wrong with them, or with those of
    /// any profile, is added to `problems`. Relative paths start at `base`.
    pub(super) fn read(
        top: &RunTable,
        suite: &SuiteFile,
        asked: Option<&str>,
        base: &Path,
        file: &FileText,
        sources: &mut Sources,
        problems: &mut Vec<ConfigError>,
    ) -> Self {
        let mut known = BTreeMap::new();
        let mut reader = Reader { base, file, problems };
        for (name, Table(table)) in &top.lane {
            let name_text = name.get_ref();
            if let Err(error) = check_name(name_text) {
                reader.wrong(name.span(), error.to_string());
            }
            let prefix = format!("lane.{name_text}.");
            Layer { table, file, profile: None }.note(&prefix, sources);
            reader.check_confinement(table);
            let mut settings = reader.settings(name_text, name.span(), table);
            for (profile, Table(run)) in &suite.profile {
                let over = run.lane.iter().find(|(lane, _)| lane.get_ref() == name_text);
                let Some((lane, Table(over))) = over else { continue };
                // A lane must be valid with every profile, not only with the one that is asked for.
                reader.check_confinement(over);
                let changed = reader.settings(name_text, lane.span(), &over.over(table));
                if asked == Some(profile.get_ref().as_str()) {
                    settings = changed;
                    Layer { table: over, file, profile: asked }.note(&prefix, sources);
                }
            }
            known.insert(name_text.clone(), settings);
        }
        let mut defined: Vec<String> = known.keys().cloned().collect();
        if defined.is_empty() {
            defined.push(DEFAULT_LANE.to_owned());
        }
        // The embedded lane exists unless the suite defines its own.
        known
            .entry(DEFAULT_LANE.to_owned())
            .or_insert_with(|| reader.settings(DEFAULT_LANE, 0..0, &LaneTable::default()));
        let lanes = Self { known, defined };
        let changed = suite.profile.values().flat_map(|Table(run)| run.lane.keys());
        for name in changed.filter(|name| !top.lane.keys().any(|lane| lane.get_ref() == name.get_ref())) {
            let message = format!(
                "the suite does not define `[lane.{}]`, so this has nothing to change; {}",
                name.get_ref().escape_debug(),
                lanes.hint(name.get_ref())
            );
            problems.push(file.error(name.span(), message).into());
        }
        lanes
    }

    /// The lanes to run in: those named, each once, or else every lane of the suite.
    pub(super) fn chosen(&self, named: Option<&[String]>) -> Vec<LaneSettings> {
        let mut chosen: Vec<LaneSettings> = Vec::new();
        for lane in named.unwrap_or(&self.defined).iter().filter_map(|name| self.known.get(name)) {
            if !chosen.contains(lane) {
                chosen.push(lane.clone());
            }
        }
        chosen
    }

    /// Names of lanes in files and in flags that no lane has.
    pub(super) fn unknown_names<'a>(
        &self,
        written: impl IntoIterator<Item = &'a Spanned<String>>,
        asked: Option<&Sourced<Vec<String>>>,
        file: &FileText,
    ) -> Vec<ConfigError> {
        let written =
            written.into_iter().filter_map(|name| Some(file.error(name.span(), self.unknown(name.get_ref())?).into()));
        let asked = asked.into_iter().flat_map(|asked| &asked.value).filter(|name| !self.known.contains_key(*name));
        let asked = asked.map(|name| ConfigError::UnknownLane { name: name.clone(), hint: self.hint(name) });
        written.chain(asked).collect()
    }

    /// What is wrong with a lane's name, if anything is.
    pub(super) fn unknown(&self, name: &str) -> Option<String> {
        let is_known = self.known.contains_key(name);
        (!is_known).then(|| format!("there is no lane `{}`; {}", name.escape_debug(), self.hint(name)))
    }

    fn hint(&self, name: &str) -> String {
        let names: Vec<&str> = self.known.keys().map(String::as_str).collect();
        did_you_mean(name, &names, if names.len() == 1 { "there is only" } else { "there are" })
    }

    /// Every lane that the suite defines.
    pub(super) fn defined(&self) -> Vec<LaneSettings> {
        self.defined.iter().filter_map(|name| self.known.get(name)).cloned().collect()
    }
}

/// Makes settings from tables.
struct Reader<'a> {
    base: &'a Path,
    file: &'a FileText,
    problems: &'a mut Vec<ConfigError>,
}

impl Reader<'_> {
    fn wrong(&mut self, span: Range<usize>, message: impl Into<String>) {
        let error = ConfigError::from(self.file.error(span, message));
        // A table is read again with each profile over it.
        if !self.problems.iter().any(|known| known.to_string() == error.to_string()) {
            self.problems.push(error);
        }
    }

    /// A lane from its table, whose header has the bytes `header`.
    fn settings(&mut self, name: &str, header: Range<usize>, table: &LaneTable) -> LaneSettings {
        let mut form = LaneForm::default();
        table.apply(&mut form);
        form.resolve_paths(self.base);
        let fits = self.check_keys(form.kind, table);
        for (span, message) in table.problems() {
            self.wrong(span, message);
        }
        let settings = form.settings(name);
        if let Some(program) = settings.kind.program()
            && fits
        {
            let spans = table.spans();
            for problem in program.problems() {
                let span = spans.iter().find(|(key, _)| *key == problem.key).map(|(_, span)| span.clone());
                self.wrong(span.unwrap_or_else(|| header.clone()), problem.what);
            }
        }
        settings
    }

    /// Whether every key of `table` is for lanes of this kind.
    fn check_keys(&mut self, kind: host_model::LaneKind, table: &LaneTable) -> bool {
        let mut fits = true;
        for (key, span) in table.spans() {
            let kinds = LaneTable::kinds_for(key);
            if !kinds.contains(&kind) {
                fits = false;
                let words: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
                let words = words.join(", ");
                self.wrong(
                    span,
                    format!("`{key}` does not apply to a lane of kind `{kind}`, only to {words}; remove it"),
                );
            }
        }
        fits
    }

    /// Reports contradictions within one table. A profile may turn off what the suite's lists are for.
    fn check_confinement(&mut self, table: &LaneTable) {
        if table.confinement.as_ref().is_some_and(|mode| *mode.get_ref() == ConfinementMode::None) {
            for (key, span) in table.spans().into_iter().filter(|(key, _)| CONFINEMENT_LISTS.contains(key)) {
                self.wrong(span, format!("`{key}` has no effect with `confinement = \"none\"`; remove one of the two"));
            }
        }
    }
}

/// Keys without effect on an agent that is not confined.
const CONFINEMENT_LISTS: [&str; 4] = ["allow-read", "allow-write", "allow-connect", "allow-listen"];

impl Default for LaneForm {
    fn default() -> Self {
        let kind = host_model::LaneKind::default();
        Self {
            kind,
            agent: DEFAULT_AGENT.to_owned(),
            program: AgentSettings {
                kind,
                command: None,
                path: Vec::new(),
                model: None,
                args: Vec::new(),
                env: BTreeMap::new(),
                version: None,
                credentials: Vec::new(),
                required: true,
                provider: None,
                mode: None,
                config_seed: None,
            },
            provider: Provider::default(),
            confinement: Confinement::default(),
            connect: None,
            jobs: None,
            breaker: DEFAULT_BREAKER,
            retry: RetryOverride::default(),
        }
    }
}

impl LaneForm {
    /// Makes every path absolute: relative ones start at `base`, `~/` is the user's home folder.
    fn resolve_paths(&mut self, base: &Path) {
        let home = std::env::home_dir();
        let resolve = |path: &mut PathBuf| {
            *path = match (path.to_str().and_then(|path| path.strip_prefix("~/")), &home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => base.join(&path),
            };
        };
        let program = &mut self.program;
        // A name without a slash is looked up.
        if let Some(command) = program.command.as_mut().filter(|command| command.contains('/')) {
            let mut path = PathBuf::from(&*command);
            resolve(&mut path);
            *command = path.to_string_lossy().into_owned();
        }
        let files = program.credentials.iter_mut().filter_map(|credential| match credential {
            Credential::File { from, .. } => Some(from),
            Credential::Variable(_) => None,
        });
        let confinement = &mut self.confinement;
        let lists = program.path.iter_mut().chain(&mut confinement.readable).chain(&mut confinement.writable);
        lists.chain(files).chain(&mut program.config_seed).for_each(resolve);
    }

    fn settings(self, name: &str) -> LaneSettings {
        let kind = match self.kind {
            host_model::LaneKind::Scripted => LaneKind::Scripted { agent: self.agent },
            kind => LaneKind::Program(Box::new(AgentSettings {
                kind,
                provider: (self.provider != Provider::default()).then_some(self.provider),
                ..self.program
            })),
        };
        let usual = || kind.program().map(AgentSettings::usual_ports).unwrap_or_default();
        LaneSettings {
            name: LaneName(name.to_owned()),
            confinement: Confinement {
                tcp_connect: self.connect.unwrap_or_else(|| Ports::Only(usual())),
                ..self.confinement
            },
            kind,
            jobs: self.jobs,
            retry: self.retry,
            breaker: self.breaker,
        }
    }
}

impl LaneSettings {
    /// The lane as its table would have it: only keys for its kind, and no lists without effect.
    pub(super) fn rows(&self) -> Vec<(&'static str, toml::Value)> {
        let program = self.kind.program();
        let usual = program.map(AgentSettings::usual_ports).unwrap_or_default();
        let connect = &self.confinement.tcp_connect;
        let default = LaneForm::default();
        let form = LaneForm {
            kind: self.kind.kind(),
            agent: match &self.kind {
                LaneKind::Scripted { agent } => agent.clone(),
                LaneKind::Program(_) => default.agent,
            },
            provider: program.and_then(|program| program.provider.clone()).unwrap_or_default(),
            program: program.cloned().unwrap_or(default.program),
            connect: (*connect != Ports::default() || !usual.is_empty()).then(|| connect.clone()),
            confinement: self.confinement.clone(),
            jobs: self.jobs,
            breaker: self.breaker,
            retry: self.retry.clone(),
        };
        let is_confined = self.confinement.mode != ConfinementMode::None;
        let binds = self.confinement.tcp_bind != Ports::default();
        let mut rows = LaneTable::rows(&form);
        rows.retain(|(key, _)| {
            LaneTable::kinds_for(key).contains(&form.kind)
                && (is_confined || !CONFINEMENT_LISTS.contains(key))
                && (binds || *key != "allow-listen")
        });
        rows
    }
}
