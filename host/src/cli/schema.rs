use std::io::{self, Write};

use super::failure::Failure;
use crate::{model::ExitCode, report::event_schema};

/// `host schema`.
pub(super) fn schema() -> Result<ExitCode, Failure> {
    let text = format!("{:#}\n", event_schema());
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever read the beginning wanted no more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::Ok),
        Err(error) => Err(Failure::setup(format!("cannot write to stdout: {error}"))),
        Ok(()) => Ok(ExitCode::Ok),
    }
}
