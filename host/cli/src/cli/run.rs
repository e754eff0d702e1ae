//! `host run`.

use super::{
    args::RunArgs,
    notices::TerminalNotices,
    run_reports::{RunReports, report_end},
    show_config, terminal,
};
use host_core::app::{self, Error};
use host_model::ExitCode;

pub(super) async fn run(args: &RunArgs) -> Result<ExitCode, Error> {
    if args.show_config {
        terminal::output(&show_config::show(args)?)?;
        return Ok(ExitCode::Ok);
    }
    let mut reports = RunReports::of_suite(args.execution.color, args.execution.verbosity());
    let finished = app::run(&args.settings(), &TerminalNotices::new(), &mut reports).await?;
    report_end(&finished, reports.kinds(), args.execution.quiet);
    Ok(finished.code)
}
