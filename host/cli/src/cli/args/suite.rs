use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;

use crate::cli::arg_sources::ArgSources;
use host_core::app::LoadSettings;
use host_model::CompileLimits;
use host_suite::config::{Overrides, parse_bytes};

/// Limits for compiling a plugin, in place of the suite's.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Compilation")]
pub(in crate::cli) struct CompileArgs {
    /// Limit the memory for compiling one plugin [default: the suite's `compile.max-memory`, or 4GiB]
    #[arg(long, value_name = "SIZE", env = "HOST_COMPILE_MAX_MEMORY", value_parser = size)]
    compile_max_memory: Option<u64>,

    /// Limit the time for compiling one plugin [default: the suite's `compile.timeout`, or 10m]
    #[arg(long, value_name = "TIME", env = "HOST_COMPILE_TIMEOUT", value_parser = time)]
    compile_timeout: Option<Duration>,
}

impl CompileArgs {
    /// The limits without a suite.
    pub(in crate::cli) fn limits(&self) -> CompileLimits {
        let default = CompileLimits::default();
        CompileLimits {
            max_memory: self.compile_max_memory.unwrap_or(default.max_memory),
            timeout: self.compile_timeout.unwrap_or(default.timeout),
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    parse_bytes(text).filter(|bytes| *bytes > 0).ok_or_else(|| "write a size such as `8GiB`".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| "write a duration such as `20m`".into())
}

/// The suite and its plugins.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct LoadArgs {
    /// Load these plugins: `.wasm` files or patterns [default: the suite's `plugins`]
    #[arg(value_name = "PLUGIN")]
    pub(in crate::cli) plugins: Vec<OsString>,

    /// Read this suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if it exists]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    suite: Option<PathBuf>,

    /// Limit what scenarios may be granted to what this file allows
    ///
    /// Keep the file where the authors of the scenarios cannot change it. Without a policy, scenarios get every grant that
    /// they request.
    #[arg(long, value_name = "FILE", env = "HOST_POLICY")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    compile: CompileArgs,

    /// Ignore the compile cache, and do not write to it
    #[arg(long, help_heading = "Compilation")]
    no_cache: bool,

    /// The sources of all flags of the command.
    #[arg(skip)]
    pub(in crate::cli) sources: ArgSources,
}

impl LoadArgs {
    /// What to load, with `overrides` that include these arguments.
    pub(in crate::cli) fn settings(&self, overrides: Overrides) -> LoadSettings {
        LoadSettings { plugins: self.plugins.clone(), overrides, no_cache: self.no_cache }
    }

    /// These in place of the values of files.
    pub(in crate::cli) fn overrides(&self) -> Overrides {
        let sources = &self.sources;
        Overrides {
            suite: sources.sourced("suite", self.suite.clone()),
            caps: sources.sourced("policy", self.policy.clone()),
            compile_max_memory: sources.sourced("compile_max_memory", self.compile.compile_max_memory),
            compile_timeout: sources.sourced("compile_timeout", self.compile.compile_timeout),
            ..Overrides::default()
        }
    }

    /// These, and the lanes to run in; those of the suite if there are none.
    pub(in crate::cli) fn overrides_with_lanes(&self, lanes: &[String]) -> Overrides {
        let lanes = Some(lanes.to_vec()).filter(|lanes| !lanes.is_empty());
        Overrides { lanes: self.sources.sourced("lanes", lanes), ..self.overrides() }
    }

    /// These, and the number of attempts in parallel.
    pub(in crate::cli) fn overrides_with_jobs(&self, jobs: Option<usize>) -> Overrides {
        Overrides { jobs: self.sources.sourced("jobs", jobs), ..self.overrides() }
    }
}

/// The suite, and the part of it to use.
#[derive(Debug, Args)]
pub(in crate::cli) struct SuiteArgs {
    #[command(flatten)]
    pub(in crate::cli) load: LoadArgs,

    /// Apply the suite's `[profile.NAME]`
    #[arg(long, value_name = "NAME", env = "HOST_PROFILE")]
    profile: Option<String>,

    /// Run in this lane instead of the suite's; repeat it for more
    #[arg(long = "lane", value_name = "NAME", env = "HOST_LANE", value_delimiter = ',')]
    lanes: Vec<String>,

    /// Run only scenarios whose name contains one of these texts; canaries always run
    #[arg(last = true, value_name = "FILTER")]
    pub(in crate::cli) filters: Vec<String>,
}

impl SuiteArgs {
    /// These in place of the values of files.
    pub(in crate::cli) fn overrides(&self) -> Overrides {
        Overrides {
            profile: self.load.sources.sourced("profile", self.profile.clone()),
            ..self.load.overrides_with_lanes(&self.lanes)
        }
    }
}
