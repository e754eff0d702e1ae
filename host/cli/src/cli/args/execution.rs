use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use host_core::app::ExecutionSettings;
use host_model::ReporterKind;
use host_report::Verbosity;

/// How to run.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExecutionArgs {
    /// Run up to N attempts in parallel [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    pub(in crate::cli) jobs: Option<usize>,

    /// Write run directories to this folder [default: .host next to the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    pub(in crate::cli) output: Option<PathBuf>,

    /// Keep the root and config dir of every attempt, and print their paths
    #[arg(long)]
    pub(in crate::cli) keep: bool,

    /// Record which grants each attempt uses and what it is denied, and propose the smallest policy
    #[arg(long)]
    pub(in crate::cli) audit: bool,

    /// Choose when to use color; `NO_COLOR` is respected
    #[arg(long, help_heading = "Output", value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(in crate::cli) color: Color,

    /// Print only failures and the summary
    #[arg(short, long, help_heading = "Output", conflicts_with = "verbose")]
    pub(in crate::cli) quiet: bool,

    /// Also print steps, notes and messages
    #[arg(short, long, help_heading = "Output")]
    pub(in crate::cli) verbose: bool,
}

impl ExecutionArgs {
    pub(in crate::cli) fn settings(&self) -> ExecutionSettings {
        ExecutionSettings { output: self.output.clone(), keep: self.keep, audit: self.audit }
    }

    /// How much the report for people shows.
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
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Parses a kind of report by its word.
pub(in crate::cli) fn reporter_kind() -> impl TypedValueParser<Value = ReporterKind> {
    let values = ReporterKind::ALL.map(|kind| {
        PossibleValue::new(kind.as_str()).help(match kind {
            ReporterKind::Human => "For people: live on a terminal, plain lines elsewhere",
            ReporterKind::Jsonl => "The events on stdout, one JSON object per line",
            ReporterKind::Junit => "`junit.xml` in the run directory, in the form that Jenkins reads",
            ReporterKind::Github => "Groups, annotations, step summary and outputs for GitHub Actions",
            ReporterKind::Silent => "Only the run directory",
        })
    });
    PossibleValuesParser::new(values).try_map(|word| {
        let kind = ReporterKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.ok_or_else(|| format!("there is no reporter `{word}`"))
    })
}

pub(in crate::cli) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
