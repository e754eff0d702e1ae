use super::terminal;
use host_core::app::Error;
use host_model::ExitCode;
use host_report::event_schema;

pub(super) fn schema() -> Result<ExitCode, Error> {
    let text = format!("{:#}\n", event_schema());
    terminal::output(&text)?;
    Ok(ExitCode::Ok)
}
