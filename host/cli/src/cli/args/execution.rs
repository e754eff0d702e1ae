use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use host_core::app::ExecutionSettings;
use host_model::ReporterKind;
use host_report::Verbosity;

/// The arguments of all commands that write a run directory.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run options")]
pub(in crate::cli) struct RunDirectoryArgs {
    /// Run N attempts in parallel [default: 16]
    ///
    /// Overrides `jobs` of the suite.
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    pub(in crate::cli) jobs: Option<usize>,

    /// Write run directories to this folder [default: .host next to scenarios/]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    pub(in crate::cli) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Run options")]
pub(in crate::cli) struct ExecutionArgs {
    #[command(flatten)]
    pub(in crate::cli) directory: RunDirectoryArgs,

    /// Keep the root and config dir of every attempt, and print their paths
    #[arg(long)]
    pub(in crate::cli) keep: bool,

    /// Record which grants each attempt uses and is denied, and propose the smallest policy
    #[arg(long)]
    pub(in crate::cli) audit: bool,

    /// Control when to use colors; `NO_COLOR` is respected
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN", help_heading = "Reporter options")]
    pub(in crate::cli) color: Color,

    /// Show only failures and the summary
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Reporter options")]
    pub(in crate::cli) quiet: bool,

    /// Show steps, notes, tool calls and messages
    #[arg(short, long, help_heading = "Reporter options")]
    pub(in crate::cli) verbose: bool,
}

impl ExecutionArgs {
    pub(in crate::cli) fn settings(&self) -> ExecutionSettings {
        ExecutionSettings { output: self.directory.output.clone(), keep: self.keep, audit: self.audit }
    }

    pub(in crate::cli) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Color {
    /// Use colors on a terminal
    Auto,
    /// Always use colors
    Always,
    /// Never use colors
    Never,
}

pub(in crate::cli) fn reporter_kind() -> impl TypedValueParser<Value = ReporterKind> {
    let values = ReporterKind::ALL.map(|kind| {
        PossibleValue::new(kind.as_str()).help(match kind {
            ReporterKind::Human => "Readable text: live on a terminal, plain lines elsewhere",
            ReporterKind::Jsonl => "The event stream on stdout: one JSON object per line",
            ReporterKind::Junit => "JUnit XML, as `junit.xml` in the run directory",
            ReporterKind::Github => "Groups, annotations, a step summary and outputs for GitHub Actions",
            ReporterKind::Silent => "No report: only the run directory is written",
        })
    });
    PossibleValuesParser::new(values).try_map(|word| {
        let kind = ReporterKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.ok_or_else(|| format!("unknown reporter `{word}`"))
    })
}

pub(in crate::cli) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected 1 or more".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
