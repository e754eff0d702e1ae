use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{
    execution::{at_least_one, reporter_kind},
    suite::LoadArgs,
};
use host_core::app::RegradeSettings;
use host_model::ReporterKind;

#[derive(Debug, Args)]
#[command(mut_arg("plugins", |plugins| {
    plugins.help("Grade with these plugins: `.wasm` files or patterns [default: those of the run, as they are now]")
}))]
pub(in crate::cli) struct RegradeArgs {
    /// Grade this run: a run directory, the name of a run, or `latest` [default: latest]
    #[arg(value_name = "RUN")]
    run: Option<OsString>,

    #[command(flatten)]
    pub(in crate::cli) load: LoadArgs,

    /// Grade up to N attempts in parallel [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    jobs: Option<usize>,

    /// Find runs in this folder, and write the new one to it [default: .host next to the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    output: Option<PathBuf>,

    /// Show only changed verdicts and the summary
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,

    /// Choose how to report; repeat it for more [default: human]
    #[arg(long = "reporter", value_parser = reporter_kind(), value_name = "KIND", value_delimiter = ',')]
    pub(in crate::cli) reporters: Vec<ReporterKind>,

    /// Grade only trials of scenarios whose name contains one of these texts
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,
}

impl RegradeArgs {
    pub(in crate::cli) fn settings(&self) -> RegradeSettings {
        RegradeSettings {
            load: self.load.settings(self.load.overrides_with_jobs(self.jobs)),
            run: self.run.clone(),
            filters: self.filters.clone(),
            output: self.output.clone(),
        }
    }
}
