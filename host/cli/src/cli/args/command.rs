use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{
    Format,
    execution::at_least_one,
    suite::{CapsArgs, CompileArgs, SuiteArgs},
};
use crate::cli::arg_sources::ArgSources;
use host_core::app::{CheckSettings, ExecutionSettings, InspectSettings, ListSettings, LoadSettings, ProveSettings};
use host_suite::config::Overrides;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// Plugins: `.wasm` files or patterns; those that the suite names when absent
    #[arg(value_name = "PLUGIN")]
    pub(in crate::cli) plugins: Vec<OsString>,

    /// The suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if there is one]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    pub(in crate::cli) suite: Option<PathBuf>,

    #[command(flatten)]
    pub(in crate::cli) caps: CapsArgs,

    /// Try one trivial turn in each lane of a real agent: it reaches the provider, and costs
    #[arg(long)]
    pub(in crate::cli) live: bool,

    /// A lane to look at, in place of all; may be repeated
    #[arg(long = "lane", value_name = "NAME", env = "HOST_LANE", value_delimiter = ',')]
    pub(in crate::cli) lanes: Vec<String>,

    /// Compile plugins anew and keep nothing of it
    #[arg(long)]
    pub(in crate::cli) no_cache: bool,

    #[command(flatten)]
    pub(in crate::cli) compile: CompileArgs,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(in crate::cli) format: Format,

    /// The sources of the flags.
    #[arg(skip)]
    pub(in crate::cli) sources: ArgSources,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(in crate::cli) format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// Plugins: `.wasm` files or patterns
    #[arg(value_name = "PLUGIN", required = true)]
    pub(in crate::cli) plugins: Vec<OsString>,

    /// Show what of it this policy allows
    #[arg(long, value_name = "FILE", env = "HOST_POLICY")]
    pub(in crate::cli) policy: Option<PathBuf>,

    #[command(flatten)]
    pub(in crate::cli) compile: CompileArgs,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(in crate::cli) format: Format,
}

/// The flags of `host prove`: it has a lane of its own, and prints only its proof.
#[derive(Debug, Args)]
pub(in crate::cli) struct ProveArgs {
    /// Plugins: `.wasm` files or patterns; those that the suite names when absent
    #[arg(value_name = "PLUGIN")]
    plugins: Vec<OsString>,

    /// The suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if there is one]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    suite: Option<PathBuf>,

    #[command(flatten)]
    caps: CapsArgs,

    /// Compile plugins anew and keep nothing of it
    #[arg(long)]
    no_cache: bool,

    #[command(flatten)]
    compile: CompileArgs,

    /// Attempts at once [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    jobs: Option<usize>,

    /// Folder for run directories [default: .host beside the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    output: Option<PathBuf>,

    /// Keep every attempt's root and config dir, and print where they are
    #[arg(long)]
    keep: bool,

    /// Only scenarios whose name contains one of these texts
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,

    /// The sources of the flags.
    #[arg(skip)]
    pub(in crate::cli) sources: ArgSources,
}

impl CheckArgs {
    pub(in crate::cli) fn settings(&self) -> CheckSettings {
        let overrides = Overrides {
            suite: self.sources.sourced("suite", self.suite.clone()),
            caps: self.caps.sourced(&self.sources),
            lanes: self.sources.sourced("lanes", Some(self.lanes.clone()).filter(|lanes| !lanes.is_empty())),
            ..Overrides::default()
        };
        let overrides = self.compile.over(&self.sources, overrides);
        CheckSettings {
            load: LoadSettings { plugins: self.plugins.clone(), overrides, no_cache: self.no_cache },
            // It has no flag: a check writes nothing there, and only looks for what runs left.
            output: std::env::var_os("HOST_OUTPUT").filter(|output| !output.is_empty()).map(PathBuf::from),
            live: self.live,
        }
    }
}

impl ListArgs {
    pub(in crate::cli) fn settings(&self) -> ListSettings {
        ListSettings { load: self.suite.load(self.suite.overrides()), filters: self.suite.filters.clone() }
    }
}

impl InspectArgs {
    pub(in crate::cli) fn settings(&self) -> InspectSettings {
        InspectSettings { plugins: self.plugins.clone(), policy: self.policy.clone(), compile: self.compile.limits() }
    }
}

impl ProveArgs {
    pub(in crate::cli) fn settings(&self) -> ProveSettings {
        let overrides = Overrides {
            suite: self.sources.sourced("suite", self.suite.clone()),
            caps: self.caps.sourced(&self.sources),
            jobs: self.sources.sourced("jobs", self.jobs),
            ..Overrides::default()
        };
        let overrides = self.compile.over(&self.sources, overrides);
        ProveSettings {
            load: LoadSettings { plugins: self.plugins.clone(), overrides, no_cache: self.no_cache },
            filters: self.filters.clone(),
            execution: ExecutionSettings { output: self.output.clone(), keep: self.keep, audit: false },
        }
    }
}
