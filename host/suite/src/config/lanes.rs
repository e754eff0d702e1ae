//! `[lane.NAME]`, and which of them are run in.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::Spanned;

use super::{
    defaults::retry,
    error::ConfigError,
    lane_table::{FileTable, LaneTable, WrittenCredential, kinds_for},
    layers::{Layer, Source, Sourced, Sources},
    source::{FileText, did_you_mean},
    suite_file::SuiteFile,
    value::Table,
};
use host_model::{
    AgentSettings, Confinement, ConfinementMode, Credential, DEFAULT_BREAKER, LaneName, MAX_JOBS, Ports, ProcessLimits,
    Provider, RetryOverride, check_name,
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
    /// What the operating system holds its agents to.
    pub confinement: Confinement,
    /// Attempts at once in this lane; the run's bound alone when absent.
    pub jobs: Option<usize>,
    /// What it says of retries.
    pub retry: RetryOverride,
    /// After so many trials in a row that end as faults of the whole lane nothing more of it starts; 0 is never.
    pub breaker: u32,
}

/// A kind of agent, with what it is configured with.
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
    /// Reads the lanes of `suite`, with what the profile `asked` puts over them. What is wrong with them, or with any
    /// profile's, is added to `problems`. Relative paths are meant from `base`.
    pub(super) fn of(
        suite: &SuiteFile,
        asked: Option<&str>,
        base: &Path,
        file: &FileText,
        sources: &mut Sources,
        problems: &mut Vec<ConfigError>,
    ) -> Self {
        let mut known = BTreeMap::new();
        let mut reader = Reader { base, file, problems };
        for (name, Table(table)) in &suite.lane {
            let name_text = name.get_ref();
            if let Err(error) = check_name(name_text) {
                reader.wrong(name.span(), error.to_string());
            }
            for (key, span) in table.spans() {
                let source = Source::File { place: file.place(span), profile: None };
                sources.note(format!("lane.{name_text}.{key}"), source);
            }
            reader.look_at(table);
            let mut settings = reader.settings(name_text, name.span(), table);
            for (profile, Table(run)) in &suite.profile {
                let over = run.lane.iter().find(|(lane, _)| lane.get_ref() == name_text);
                let Some((lane, Table(over))) = over else { continue };
                // What a profile makes of a lane must be sound whether it is asked for or not.
                reader.look_at(over);
                let changed = reader.settings(name_text, lane.span(), &over.over(table));
                if asked == Some(profile.get_ref().as_str()) {
                    settings = changed;
                    for (key, span) in over.spans() {
                        let source = Source::File { place: file.place(span), profile: asked.map(str::to_owned) };
                        sources.note(format!("lane.{name_text}.{key}"), source);
                    }
                }
            }
            known.insert(name_text.clone(), settings);
        }
        let mut defined: Vec<String> = known.keys().cloned().collect();
        if defined.is_empty() {
            defined.push(DEFAULT_LANE.to_owned());
        }
        // The embedded lane is there unless the suite defines it otherwise.
        known
            .entry(DEFAULT_LANE.to_owned())
            .or_insert_with(|| reader.settings(DEFAULT_LANE, 0..0, &LaneTable::default()));
        let lanes = Self { known, defined };
        let changed = suite.profile.values().flat_map(|Table(run)| run.lane.keys());
        for name in changed.filter(|name| !suite.lane.keys().any(|lane| lane.get_ref() == name.get_ref())) {
            let message = format!(
                "the suite has no `[lane.{}]` that this could change; {}",
                name.get_ref().escape_debug(),
                lanes.hint(name.get_ref())
            );
            problems.push(file.error(name.span(), message).into());
        }
        lanes
    }

    /// The lanes to run in: those asked for, else those that the profile or the suite names, else all.
    pub(super) fn chosen(
        &self,
        asked: Option<Sourced<Vec<String>>>,
        layers: [&Layer; 2],
        sources: &mut Sources,
        problems: &mut Vec<ConfigError>,
    ) -> Vec<LaneSettings> {
        for (name, place) in layers.iter().filter_map(|layer| layer.lanes.as_ref()).flat_map(|lanes| &lanes.value) {
            if let Some(problem) = self.unknown(name) {
                problems.push(place.error(problem).into());
            }
        }
        if let Some(asked) = &asked {
            for name in asked.value.iter().filter(|name| !self.known.contains_key(*name)) {
                problems.push(ConfigError::UnknownLane { name: name.clone(), hint: self.hint(name) });
            }
        }
        let written = layers.map(|layer| {
            let lanes = layer.lanes.as_ref()?;
            let value = lanes.value.iter().map(|(name, _)| name.clone()).collect();
            Some(Sourced { value, source: lanes.source.clone() })
        });
        let names = sources.pick("lanes", std::iter::once(asked).chain(written), || self.defined.clone());
        let mut chosen: Vec<LaneSettings> = Vec::new();
        for lane in names.iter().filter_map(|name| self.known.get(name)) {
            if !chosen.contains(lane) {
                chosen.push(lane.clone());
            }
        }
        chosen
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

/// Makes settings of tables.
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

    /// A lane from its table, which begins at `header`.
    fn settings(&mut self, name: &str, header: Range<usize>, table: &LaneTable) -> LaneSettings {
        let kind = said(&table.kind).map(|kind| kind.0).unwrap_or_default();
        let mut fits = true;
        for (key, span) in table.spans() {
            let kinds = kinds_for(key);
            if !kinds.contains(&kind) {
                fits = false;
                let words: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
                let words = words.join(", ");
                self.wrong(
                    span,
                    format!("`{key}` is not for a lane of the kind `{kind}`, only for {words}; remove it"),
                );
            }
        }
        if let Some(jobs) = table.jobs.as_ref().filter(|jobs| !(1..=MAX_JOBS).contains(jobs.get_ref())) {
            self.wrong(jobs.span(), format!("`jobs` must be from 1 to {MAX_JOBS}"));
        }
        let lane_kind = match kind {
            host_model::LaneKind::Scripted => {
                LaneKind::Scripted { agent: said(&table.agent).unwrap_or_else(|| DEFAULT_AGENT.to_owned()) }
            }
            host_model::LaneKind::Claude
            | host_model::LaneKind::Codex
            | host_model::LaneKind::Pi
            | host_model::LaneKind::Acp
            | host_model::LaneKind::Command => LaneKind::Program(Box::new(self.program(kind, table))),
        };
        if let LaneKind::Program(settings) = &lane_kind
            && fits
        {
            let spans = table.spans();
            for problem in settings.problems() {
                let place = spans.iter().find(|(key, _)| *key == problem.key).map(|(_, span)| span.clone());
                self.wrong(place.unwrap_or_else(|| header.clone()), problem.what);
            }
        }
        LaneSettings {
            name: LaneName(name.to_owned()),
            confinement: self.confinement(&lane_kind, table),
            kind: lane_kind,
            jobs: said(&table.jobs),
            retry: retry(table.retries.as_ref(), table.retry_on.as_ref(), table.retry_delay.as_ref()),
            breaker: said(&table.breaker).unwrap_or(DEFAULT_BREAKER),
        }
    }

    fn program(&self, kind: host_model::LaneKind, table: &LaneTable) -> AgentSettings {
        let provider = Provider {
            name: said(&table.provider),
            base_url: said(&table.base_url),
            api: said(&table.api),
            key_variable: said(&table.key_variable),
        };
        let credential = |written: Spanned<WrittenCredential>| match written.into_inner() {
            WrittenCredential::Variable(name) => Credential::Variable(name),
            WrittenCredential::File(FileTable { file, to }) => Credential::File { from: self.path(&file), to },
        };
        AgentSettings {
            kind,
            // A name without a slash is looked up.
            command: said(&table.command).map(|command| match command.contains('/') {
                true => self.path(&command).to_string_lossy().into_owned(),
                false => command,
            }),
            path: self.paths(&table.path),
            model: said(&table.model),
            args: said(&table.args).unwrap_or_default(),
            env: said(&table.env).unwrap_or_default(),
            version: said(&table.version),
            credentials: said(&table.credentials).unwrap_or_default().into_iter().map(credential).collect(),
            required: said(&table.required).unwrap_or(true),
            provider: (provider != Provider::default()).then_some(provider),
            mode: said(&table.mode),
            config_seed: said(&table.config).map(|folder| self.path(&folder)),
        }
    }

    /// What contradicts itself within one table. A profile may well switch off what the suite's lists are for.
    fn look_at(&mut self, table: &LaneTable) {
        const LISTS: [&str; 4] = ["readable", "writable", "connect-ports", "listen-ports"];
        if said(&table.confine).is_some_and(|mode| mode.0 == ConfinementMode::None) {
            for (key, span) in table.spans().into_iter().filter(|(key, _)| LISTS.contains(key)) {
                self.wrong(span, format!("`{key}` means nothing with `confine = \"none\"`; remove one of the two"));
            }
        }
    }

    fn confinement(&self, kind: &LaneKind, table: &LaneTable) -> Confinement {
        let mode = said(&table.confine).unwrap_or_default().0;
        let usual = kind.program().map(AgentSettings::usual_ports).unwrap_or_default();
        Confinement {
            mode,
            writable: self.paths(&table.writable),
            readable: self.paths(&table.readable),
            tcp_connect: said(&table.connect_ports).map_or(Ports::Only(usual), |ports| ports.0),
            tcp_bind: said(&table.listen_ports).map(|ports| ports.0).unwrap_or_default(),
            limits: ProcessLimits {
                processes: said(&table.max_processes),
                file_size: said(&table.max_file_size).map(|bytes| bytes.0),
                address_space: said(&table.max_address_space).map(|bytes| bytes.0),
            },
            view: None,
        }
    }

    fn paths(&self, written: &Option<Spanned<Vec<Spanned<String>>>>) -> Vec<PathBuf> {
        said(written).unwrap_or_default().iter().map(|path| self.path(path.get_ref())).collect()
    }

    /// `~/` is the user's home folder. What is relative is meant from the folder that holds `scenarios/`.
    fn path(&self, written: &str) -> PathBuf {
        match (written.strip_prefix("~/"), std::env::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.base.join(written),
        }
    }
}

fn said<T: Clone>(written: &Option<Spanned<T>>) -> Option<T> {
    written.as_ref().map(|written| written.get_ref().clone())
}
