use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{
    Format,
    execution::{RunDirectoryArgs, reporter_kind},
    suite::{CompileArgs, LoadArgs, SuiteArgs},
};
use host_core::app::{CheckSettings, ExecutionSettings, InspectSettings, ListSettings, ProveSettings, RegradeSettings};
use host_model::ReporterKind;
use host_suite::config::Overrides;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// Load these `.wasm` files or patterns [default: the suite's plugins]
    #[arg(value_name = "PLUGIN")]
    plugins: Vec<OsString>,

    #[command(flatten)]
    pub(in crate::cli) load: LoadArgs,

    /// Check this lane instead of all lanes; may be repeated
    #[arg(
        long = "lane",
        value_name = "NAME",
        env = "HOST_LANE",
        value_delimiter = ',',
        help_heading = "Suite options"
    )]
    lanes: Vec<String>,

    /// Run one trivial turn in each lane with a real agent
    ///
    /// This contacts the agents' providers, and costs money.
    #[arg(long, help_heading = None::<&str>)]
    live: bool,

    /// Set the output format
    #[arg(long, value_enum, default_value_t = Format::Human, help_heading = None::<&str>)]
    pub(in crate::cli) format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,

    /// Set the output format
    #[arg(long, value_enum, default_value_t = Format::Human, help_heading = None::<&str>)]
    pub(in crate::cli) format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// Inspect these `.wasm` files or patterns
    #[arg(value_name = "PLUGIN", required = true)]
    plugins: Vec<OsString>,

    /// Show the part of each grant that this policy allows
    #[arg(long, value_name = "FILE", env = "HOST_POLICY")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    compile: CompileArgs,

    /// Set the output format
    #[arg(long, value_enum, default_value_t = Format::Human, help_heading = None::<&str>)]
    pub(in crate::cli) format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ProveArgs {
    /// Load these `.wasm` files or patterns [default: the suite's plugins]
    #[arg(value_name = "PLUGIN")]
    plugins: Vec<OsString>,

    #[command(flatten)]
    pub(in crate::cli) load: LoadArgs,

    #[command(flatten)]
    directory: RunDirectoryArgs,

    /// Keep the root and config dir of every attempt, and print their paths
    #[arg(long, help_heading = "Run options")]
    keep: bool,

    /// Select the scenarios whose name contains one of these texts
    #[arg(last = true, value_name = "FILTER", help_heading = None::<&str>)]
    filters: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RegradeArgs {
    /// Grade this run: a run directory, the name of a run, or `latest` [default: latest]
    #[arg(value_name = "RUN")]
    run: Option<OsString>,

    /// Grade with these `.wasm` files or patterns [default: the run's plugins, as they are now]
    #[arg(value_name = "PLUGIN")]
    plugins: Vec<OsString>,

    #[command(flatten)]
    pub(in crate::cli) load: LoadArgs,

    #[command(flatten)]
    directory: RunDirectoryArgs,

    /// Show only the summary and the trials whose verdict differs
    #[arg(short, long, help_heading = "Reporter options")]
    pub(in crate::cli) quiet: bool,

    /// Report in this format; may be repeated [default: human]
    #[arg(
        long = "reporter",
        value_parser = reporter_kind(),
        value_name = "KIND",
        value_delimiter = ',',
        help_heading = "Reporter options",
    )]
    pub(in crate::cli) reporters: Vec<ReporterKind>,

    /// Select the trials of scenarios whose name contains one of these texts
    #[arg(last = true, value_name = "FILTER", help_heading = None::<&str>)]
    filters: Vec<String>,
}

impl CheckArgs {
    pub(in crate::cli) fn settings(&self) -> CheckSettings {
        let lanes = self.load.sources.list("lanes", &self.lanes);
        CheckSettings {
            load: self.load.settings(&self.plugins, Overrides { lanes, ..self.load.overrides() }),
            // There is no flag for it: a check writes nothing there, and only looks for leftovers of runs.
            output: std::env::var_os("HOST_OUTPUT").filter(|output| !output.is_empty()).map(PathBuf::from),
            live: self.live,
        }
    }
}

impl ListArgs {
    pub(in crate::cli) fn settings(&self) -> ListSettings {
        ListSettings {
            load: self.suite.load.settings(&self.suite.plugins, self.suite.overrides()),
            filters: self.suite.filters.clone(),
        }
    }
}

impl InspectArgs {
    pub(in crate::cli) fn settings(&self) -> InspectSettings {
        InspectSettings { plugins: self.plugins.clone(), policy: self.policy.clone(), compile: self.compile.limits() }
    }
}

impl ProveArgs {
    pub(in crate::cli) fn settings(&self) -> ProveSettings {
        let jobs = self.load.sources.sourced("jobs", self.directory.jobs);
        ProveSettings {
            load: self.load.settings(&self.plugins, Overrides { jobs, ..self.load.overrides() }),
            filters: self.filters.clone(),
            execution: ExecutionSettings { output: self.directory.output.clone(), keep: self.keep, audit: false },
        }
    }
}

impl RegradeArgs {
    pub(in crate::cli) fn settings(&self) -> RegradeSettings {
        let jobs = self.load.sources.sourced("jobs", self.directory.jobs);
        RegradeSettings {
            load: self.load.settings(&self.plugins, Overrides { jobs, ..self.load.overrides() }),
            run: self.run.clone(),
            filters: self.filters.clone(),
            output: self.directory.output.clone(),
        }
    }
}
