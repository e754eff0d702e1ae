use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{
    execution::{at_least_one, reporter_kind},
    suite::{CapsArgs, CompileArgs},
};
use crate::cli::arg_sources::ArgSources;
use host_core::app::{LoadSettings, RegradeSettings};
use host_model::ReporterKind;
use host_suite::config::Overrides;

#[derive(Debug, Args)]
pub(in crate::cli) struct RegradeArgs {
    /// The run: a run directory, the name of a run, or `latest`
    #[arg(value_name = "RUN")]
    pub(in crate::cli) run: Option<OsString>,

    /// Plugins to grade with: `.wasm` files or patterns; those of the run, as they are now, when absent
    #[arg(value_name = "PLUGIN")]
    pub(in crate::cli) plugins: Vec<OsString>,

    /// The suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if there is one]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    pub(in crate::cli) suite: Option<PathBuf>,

    #[command(flatten)]
    pub(in crate::cli) caps: CapsArgs,

    /// Compile plugins anew and keep nothing of it
    #[arg(long)]
    pub(in crate::cli) no_cache: bool,

    #[command(flatten)]
    pub(in crate::cli) compile: CompileArgs,

    /// Attempts at once [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    pub(in crate::cli) jobs: Option<usize>,

    /// Folder of the run directories, for the new one too [default: .host beside the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    pub(in crate::cli) output: Option<PathBuf>,

    /// Only trials whose verdict is not the same, and the summary
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,

    /// How to report to the terminal or a pipe; may be repeated [default: human]
    #[arg(long = "reporter", value_parser = reporter_kind(), value_name = "KIND", value_delimiter = ',')]
    pub(in crate::cli) reporters: Vec<ReporterKind>,

    /// Only trials of scenarios whose name contains one of these texts
    #[arg(last = true, value_name = "FILTER")]
    pub(in crate::cli) filters: Vec<String>,

    /// The sources of the flags.
    #[arg(skip)]
    pub(in crate::cli) sources: ArgSources,
}

impl RegradeArgs {
    pub(in crate::cli) fn settings(&self) -> RegradeSettings {
        let overrides = Overrides {
            suite: self.sources.sourced("suite", self.suite.clone()),
            caps: self.caps.sourced(&self.sources),
            jobs: self.sources.sourced("jobs", self.jobs),
            ..Overrides::default()
        };
        let overrides = self.compile.over(&self.sources, overrides);
        RegradeSettings {
            load: LoadSettings { plugins: self.plugins.clone(), overrides, no_cache: self.no_cache },
            run: self.run.clone(),
            filters: self.filters.clone(),
            output: self.output.clone(),
        }
    }
}
