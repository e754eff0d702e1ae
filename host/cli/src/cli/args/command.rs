use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{
    Format,
    execution::at_least_one,
    suite::{CompileArgs, LoadArgs, SuiteArgs},
};
use host_core::app::{CheckSettings, ExecutionSettings, InspectSettings, ListSettings, ProveSettings};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    pub(in crate::cli) load: LoadArgs,

    /// Check this lane instead of all; repeat it for more
    #[arg(long = "lane", value_name = "NAME", env = "HOST_LANE", value_delimiter = ',')]
    lanes: Vec<String>,

    /// Run one short turn in each lane with a real agent
    ///
    /// It sends a request to the provider, which costs money.
    #[arg(long)]
    live: bool,

    /// Choose the output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(in crate::cli) format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,

    /// Choose the output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(in crate::cli) format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// Inspect these plugins: `.wasm` files or patterns
    #[arg(value_name = "PLUGIN", required = true)]
    plugins: Vec<OsString>,

    /// Show what this policy allows of it
    #[arg(long, value_name = "FILE", env = "HOST_POLICY")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    compile: CompileArgs,

    /// Choose the output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(in crate::cli) format: Format,
}

/// The flags of `host prove`: it has a lane of its own, and prints only its proof.
#[derive(Debug, Args)]
pub(in crate::cli) struct ProveArgs {
    #[command(flatten)]
    pub(in crate::cli) load: LoadArgs,

    /// Run up to N attempts in parallel [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    jobs: Option<usize>,

    /// Write run directories to this folder [default: .host next to the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    output: Option<PathBuf>,

    /// Keep the root and config dir of every attempt, and print their paths
    #[arg(long)]
    keep: bool,

    /// Prove only scenarios whose name contains one of these texts
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,
}

impl CheckArgs {
    pub(in crate::cli) fn settings(&self) -> CheckSettings {
        CheckSettings {
            load: self.load.settings(self.load.overrides_with_lanes(&self.lanes)),
            // It has no flag: a check only removes what dead runs left there.
            output: std::env::var_os("HOST_OUTPUT").filter(|output| !output.is_empty()).map(PathBuf::from),
            live: self.live,
        }
    }
}

impl ListArgs {
    pub(in crate::cli) fn settings(&self) -> ListSettings {
        ListSettings { load: self.suite.load.settings(self.suite.overrides()), filters: self.suite.filters.clone() }
    }
}

impl InspectArgs {
    pub(in crate::cli) fn settings(&self) -> InspectSettings {
        InspectSettings { plugins: self.plugins.clone(), policy: self.policy.clone(), compile: self.compile.limits() }
    }
}

impl ProveArgs {
    pub(in crate::cli) fn settings(&self) -> ProveSettings {
        ProveSettings {
            load: self.load.settings(self.load.overrides_with_jobs(self.jobs)),
            filters: self.filters.clone(),
            execution: ExecutionSettings { output: self.output.clone(), keep: self.keep, audit: false },
        }
    }
}
