//! Diagnostics on stderr, with `HOST_LOG`, for people who debug the host or their suite.

use std::{
    io,
    sync::{
        LazyLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use host_model::{Redactor, text::visible};
use tracing_subscriber::EnvFilter;

use super::terminal;

/// Directives such as `debug` or `host_agents=trace`, separated by commas.
const VARIABLE: &str = "HOST_LOG";

static IS_ENABLED: AtomicBool = AtomicBool::new(false);
/// `None` if the secrets cannot be removed: then nothing is logged.
static REDACTOR: LazyLock<RwLock<Option<Redactor>>> = LazyLock::new(|| RwLock::new(Some(Redactor::default())));

/// Starts logging if `HOST_LOG` is set.
///
/// # Errors
/// Its value has no meaning; the text says why.
pub(super) fn start() -> Result<(), String> {
    let Some(directives) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else { return Ok(()) };
    let wrong = |why: &dyn std::fmt::Display| {
        format!(
            "invalid value '{}' for {VARIABLE}: {why}\n\
             help: use a level (`error`, `warn`, `info`, `debug`, `trace`) or \
             directives such as `host_agents=debug`",
            visible(&directives.to_string_lossy())
        )
    };
    let text = directives.to_str().ok_or_else(|| wrong(&"the value is not UTF-8"))?;
    let filter = EnvFilter::builder().parse(text).map_err(|error| wrong(&error))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Writer).try_init();
    IS_ENABLED.store(logs.is_ok(), Ordering::Relaxed);
    Ok(())
}

/// Whether lines may be logged at any time, so that nothing on the terminal is drawn again.
pub(super) fn is_enabled() -> bool {
    IS_ENABLED.load(Ordering::Relaxed)
}

pub(super) fn redact(secrets: &[String]) {
    let redactor = Redactor::new(secrets.iter().cloned()).ok();
    *REDACTOR.write().unwrap_or_else(PoisonError::into_inner) = redactor;
}

/// Writes each event, which arrives in one piece, to stderr.
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        if let Some(redactor) = &*REDACTOR.read().unwrap_or_else(PoisonError::into_inner) {
            terminal::print(&visible(&redactor.text(&text)));
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
