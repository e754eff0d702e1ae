use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;

use crate::cli::arg_sources::ArgSources;
use host_core::app::LoadSettings;
use host_model::CompileLimits;
use host_suite::config::{Overrides, parse_bytes};

#[derive(Debug, Args)]
#[command(next_help_heading = "Compile options")]
pub(in crate::cli) struct CompileArgs {
    /// Limit the memory for compiling one plugin [default: 4GiB]
    ///
    /// Overrides `compile.max-memory` of the suite.
    #[arg(long, value_name = "SIZE", env = "HOST_COMPILE_MAX_MEMORY", value_parser = size)]
    compile_max_memory: Option<u64>,

    /// Limit the time for compiling one plugin [default: 10m]
    ///
    /// Overrides `compile.timeout` of the suite.
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
    parse_bytes(text).filter(|bytes| *bytes > 0).ok_or_else(|| "expected a size such as `8GiB`".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| "expected a duration such as `20m`".into())
}

/// The arguments of all commands that load a suite.
#[derive(Debug, Args)]
#[command(next_help_heading = "Suite options")]
pub(in crate::cli) struct LoadArgs {
    /// Load this `suite.toml` or folder [default: scenarios/suite.toml]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    suite: Option<PathBuf>,

    /// Limit the grants of scenarios to this policy
    ///
    /// Store the file where the authors of scenarios cannot change it. Without a policy, scenarios get all grants that
    /// their `scenario.toml` requests.
    #[arg(long, value_name = "FILE", env = "HOST_POLICY")]
    policy: Option<PathBuf>,

    /// Ignore the compile cache
    #[arg(long, help_heading = "Compile options")]
    no_cache: bool,

    #[command(flatten)]
    compile: CompileArgs,

    /// The sources of all flags of the command.
    #[arg(skip)]
    pub(in crate::cli) sources: ArgSources,
}

impl LoadArgs {
    /// What to load: `plugins`, with `overrides` that include these arguments.
    pub(in crate::cli) fn settings(&self, plugins: &[OsString], overrides: Overrides) -> LoadSettings {
        LoadSettings { plugins: plugins.to_vec(), overrides, no_cache: self.no_cache }
    }

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
}

/// The arguments of the commands that select trials.
#[derive(Debug, Args)]
#[command(next_help_heading = "Suite options")]
pub(in crate::cli) struct SuiteArgs {
    /// Load these `.wasm` files or patterns [default: the suite's plugins]
    #[arg(value_name = "PLUGIN", help_heading = None::<&str>)]
    pub(in crate::cli) plugins: Vec<OsString>,

    #[command(flatten)]
    pub(in crate::cli) load: LoadArgs,

    /// Apply this profile, a `[profile.NAME]` of the suite
    #[arg(long, value_name = "NAME", env = "HOST_PROFILE", help_heading = "Suite options")]
    profile: Option<String>,

    /// Run in this lane instead of the suite's lanes; may be repeated
    #[arg(
        long = "lane",
        value_name = "NAME",
        env = "HOST_LANE",
        value_delimiter = ',',
        help_heading = "Suite options"
    )]
    lanes: Vec<String>,

    /// Select the scenarios whose name contains one of these texts; canaries always run
    #[arg(last = true, value_name = "FILTER", help_heading = None::<&str>)]
    pub(in crate::cli) filters: Vec<String>,
}

impl SuiteArgs {
    pub(in crate::cli) fn overrides(&self) -> Overrides {
        let sources = &self.load.sources;
        Overrides {
            profile: sources.sourced("profile", self.profile.clone()),
            lanes: sources.list("lanes", &self.lanes),
            ..self.load.overrides()
        }
    }
}
