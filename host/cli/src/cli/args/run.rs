use clap::{Args, ValueEnum};

use super::{
    execution::{ExecutionArgs, reporter_kind},
    policy::PolicyArgs,
    suite::SuiteArgs,
};
use host_core::app::{NothingToRun, RunSettings};
use host_model::ReporterKind;
use host_suite::config::Overrides;

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,

    #[command(flatten)]
    pub(in crate::cli) execution: ExecutionArgs,

    #[command(flatten)]
    pub(in crate::cli) policy: PolicyArgs,

    /// Print every setting with its source, as TOML, and run nothing
    #[arg(long)]
    pub(in crate::cli) show_config: bool,

    /// Play this scripted agent instead of the lane's, in scenarios that have one of this name
    #[arg(long = "agent", value_name = "NAME")]
    pub(in crate::cli) agents: Vec<String>,

    /// Start all trials without waiting for canaries
    #[arg(long)]
    pub(in crate::cli) no_canary: bool,

    /// Choose what happens if there is nothing to run
    #[arg(long, value_enum, default_value_t = NoTests::Fail, value_name = "ACTION")]
    no_tests: NoTests,

    /// Choose how to report; repeat it for more [default: the suite's `reporters`, or human]
    #[arg(long = "reporter", help_heading = "Output", value_parser = reporter_kind(), value_name = "KIND", value_delimiter = ',')]
    pub(in crate::cli) reporters: Vec<ReporterKind>,
}

impl RunArgs {
    pub(in crate::cli) fn settings(&self) -> RunSettings {
        RunSettings {
            load: self.suite.load.settings(self.overrides()),
            filters: self.suite.filters.clone(),
            no_canary: self.no_canary,
            nothing_to_run: match self.no_tests {
                NoTests::Fail => NothingToRun::Fail,
                NoTests::Warn => NothingToRun::Warn,
                NoTests::Pass => NothingToRun::Pass,
            },
            execution: self.execution.settings(),
        }
    }

    /// These in place of the values of files.
    pub(in crate::cli) fn overrides(&self) -> Overrides {
        let sources = &self.suite.load.sources;
        let reporters = Some(self.reporters.clone()).filter(|reporters| !reporters.is_empty());
        let mut overrides = Overrides {
            jobs: sources.sourced("jobs", self.execution.jobs),
            agents: self.agents.clone(),
            reporters: sources.sourced("reporters", reporters),
            ..self.suite.overrides()
        };
        self.policy.add_to(&mut overrides, sources);
        overrides
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum NoTests {
    /// Exit with 4
    Fail,
    /// Print a warning and exit with 0
    Warn,
    /// Exit with 0
    Pass,
}
