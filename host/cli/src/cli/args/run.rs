use clap::{Args, ValueEnum};

use super::{
    execution::{ExecutionArgs, reporter_kind},
    outcomes::OutcomeArgs,
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
    outcomes: OutcomeArgs,

    /// Print every setting with its source as TOML, and run nothing
    #[arg(long)]
    pub(in crate::cli) show_config: bool,

    /// Replace the lane's agent with this scripted agent; may be repeated
    ///
    /// Applies to each scenario that has a scripted agent of this name.
    #[arg(long = "agent", value_name = "NAME", help_heading = "Run options")]
    agents: Vec<String>,

    /// Start all trials immediately, without waiting for canaries
    #[arg(long, help_heading = "Run options")]
    pub(in crate::cli) no_canary: bool,

    /// Control the result when there is nothing to run
    #[arg(long, value_enum, default_value_t = NoTests::Fail, value_name = "ACTION", help_heading = "Run options")]
    no_tests: NoTests,

    /// Report in this format; may be repeated [default: human]
    ///
    /// Overrides `reporters` of the suite.
    #[arg(
        long = "reporter",
        value_parser = reporter_kind(),
        value_name = "KIND",
        value_delimiter = ',',
        help_heading = "Reporter options",
    )]
    reporters: Vec<ReporterKind>,
}

impl RunArgs {
    pub(in crate::cli) fn settings(&self) -> RunSettings {
        RunSettings {
            load: self.suite.load.settings(&self.suite.plugins, self.overrides()),
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

    pub(in crate::cli) fn overrides(&self) -> Overrides {
        let sources = &self.suite.load.sources;
        let mut overrides = Overrides {
            jobs: sources.sourced("jobs", self.execution.directory.jobs),
            agents: self.agents.clone(),
            reporters: sources.list("reporters", &self.reporters),
            ..self.suite.overrides()
        };
        self.outcomes.add_to(&mut overrides, sources);
        overrides
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum NoTests {
    /// Exit with code 4
    Fail,
    /// Print a warning and exit with code 0
    Warn,
    /// Exit with code 0
    Pass,
}
