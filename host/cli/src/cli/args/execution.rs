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
    /// Attempts at once [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    pub(in crate::cli) jobs: Option<usize>,

    /// Folder for run directories [default: .host beside the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    pub(in crate::cli) output: Option<PathBuf>,

    /// Keep every attempt's root and config dir, and print where they are
    #[arg(long)]
    pub(in crate::cli) keep: bool,

    /// Write down what each attempt uses of its grants and what it is refused, and propose the smallest policy
    #[arg(long)]
    pub(in crate::cli) audit: bool,

    /// When to use colours (`NO_COLOR` is kept)
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(in crate::cli) color: Color,

    /// Only failures and the summary
    #[arg(short, long, conflicts_with = "verbose")]
    pub(in crate::cli) quiet: bool,

    /// Steps, notes and messages too
    #[arg(short, long)]
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
            ReporterKind::Jsonl => "The event stream, one JSON object a line, on stdout",
            ReporterKind::Junit => "`junit.xml` in the run directory, as Jenkins reads it",
            ReporterKind::Github => {
                "Groups, annotations, step summary and outputs for GitHub Actions, on stdout and in the files that it \
                 names"
            }
            ReporterKind::Silent => "Nothing but the run directory",
        })
    });
    PossibleValuesParser::new(values).try_map(|word| {
        let kind = ReporterKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.ok_or_else(|| format!("there is no report `{word}`"))
    })
}

pub(in crate::cli) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("nothing runs with 0 at once; give 1 or more".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
