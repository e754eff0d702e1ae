use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;

use crate::cli::arg_sources::ArgSources;
use host_core::app::LoadSettings;
use host_model::CompileLimits;
use host_suite::config::{Overrides, Sourced, parse_bytes};

/// Bounds of compiling a plugin, in place of the suite's.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct CompileArgs {
    /// Memory that compiling one plugin may take [default: the suite's `compile.max-memory`, or 4GiB]
    #[arg(long, value_name = "SIZE", env = "HOST_COMPILE_MAX_MEMORY", value_parser = size)]
    compile_max_memory: Option<u64>,

    /// Time that compiling one plugin may take [default: the suite's `compile.timeout`, or 10m]
    #[arg(long, value_name = "TIME", env = "HOST_COMPILE_TIMEOUT", value_parser = time)]
    compile_timeout: Option<Duration>,
}

impl CompileArgs {
    /// `overrides` with these limits.
    pub(in crate::cli) fn over(&self, sources: &ArgSources, overrides: Overrides) -> Overrides {
        Overrides {
            compile_max_memory: sources.sourced("compile_max_memory", self.compile_max_memory),
            compile_timeout: sources.sourced("compile_timeout", self.compile_timeout),
            ..overrides
        }
    }

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

/// What scenarios may be given at most.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct CapsArgs {
    /// Give scenarios no more than this file allows; keep it where who writes them cannot change it [default: what they
    /// ask for]
    #[arg(long, value_name = "FILE", env = "HOST_POLICY")]
    pub(in crate::cli) policy: Option<PathBuf>,
}

impl CapsArgs {
    /// The file, with its source.
    pub(in crate::cli) fn sourced(&self, sources: &ArgSources) -> Option<Sourced<PathBuf>> {
        sources.sourced("policy", self.policy.clone())
    }
}

/// What to load.
#[derive(Debug, Args)]
pub(in crate::cli) struct SuiteArgs {
    /// Plugins: `.wasm` files or patterns; those that the suite names when absent
    #[arg(value_name = "PLUGIN")]
    pub(in crate::cli) plugins: Vec<OsString>,

    /// The suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if there is one]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    pub(in crate::cli) suite: Option<PathBuf>,

    #[command(flatten)]
    pub(in crate::cli) caps: CapsArgs,

    /// A `[profile.NAME]` of the suite, put over the rest of it
    #[arg(long, value_name = "NAME", env = "HOST_PROFILE")]
    pub(in crate::cli) profile: Option<String>,

    /// A lane to run in, in place of the suite's; may be repeated
    #[arg(long = "lane", value_name = "NAME", env = "HOST_LANE", value_delimiter = ',')]
    pub(in crate::cli) lanes: Vec<String>,

    /// Compile plugins anew and keep nothing of it
    #[arg(long)]
    pub(in crate::cli) no_cache: bool,

    #[command(flatten)]
    pub(in crate::cli) compile: CompileArgs,

    /// Only scenarios whose name contains one of these texts (canaries run all the same)
    #[arg(last = true, value_name = "FILTER")]
    pub(in crate::cli) filters: Vec<String>,

    /// The sources of all flags of the command.
    #[arg(skip)]
    pub(in crate::cli) sources: ArgSources,
}

impl SuiteArgs {
    /// What to load, with `overrides` that include these arguments.
    pub(in crate::cli) fn load(&self, overrides: Overrides) -> LoadSettings {
        LoadSettings { plugins: self.plugins.clone(), overrides, no_cache: self.no_cache }
    }

    /// These in place of the values of files.
    pub(in crate::cli) fn overrides(&self) -> Overrides {
        let overrides = Overrides {
            suite: self.sources.sourced("suite", self.suite.clone()),
            caps: self.caps.sourced(&self.sources),
            profile: self.sources.sourced("profile", self.profile.clone()),
            lanes: self.sources.sourced("lanes", Some(self.lanes.clone()).filter(|lanes| !lanes.is_empty())),
            ..Overrides::default()
        };
        self.compile.over(&self.sources, overrides)
    }
}
