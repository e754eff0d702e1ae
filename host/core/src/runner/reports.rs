//! The reports and attachments of one attempt's component, with limits.

use std::{fs, io::Write, path::PathBuf};

use async_trait::async_trait;

use super::{executor::AttemptEvents, text::shortened};
use host_model::{Report, check_name};
use host_wasm::guest::GuestReports;

/// The most reports of one attempt; of the others only their number is reported.
const MAX_REPORTS: u32 = 1_000;
/// Bytes of one report's text.
const MAX_REPORT_BYTES: usize = 4 << 10;

pub(super) struct Reports {
    events: AttemptEvents,
    folder: PathBuf,
    sent: u32,
    cut: u32,
    attached_bytes: u64,
    max_bytes: u64,
}

impl Reports {
    /// Attachments are saved in `folder`, and take up to `max_bytes` together.
    pub(super) fn new(events: AttemptEvents, folder: PathBuf, max_bytes: u64) -> Self {
        Self { events, folder, sent: 0, cut: 0, attached_bytes: 0, max_bytes }
    }

    /// Counts a report that is over the limit, so that nothing that belongs to it is saved either.
    fn is_over_limit(&mut self) -> bool {
        let over = self.sent >= MAX_REPORTS;
        self.cut += u32::from(over);
        over
    }

    /// Saves an attachment; an existing one of that name stays.
    fn save(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        let total = self.attached_bytes.saturating_add(content.len() as u64);
        if total > self.max_bytes {
            return Err(format!(
                "the attachment `{name}`: attachments may take {} bytes (limit `max-output`)",
                self.max_bytes
            ));
        }
        check_name(name).map_err(|error| format!("an attachment: {error}"))?;
        fs::create_dir_all(&self.folder)
            .and_then(|()| fs::File::create_new(self.folder.join(name))?.write_all(content))
            .map_err(|error| format!("the attachment `{name}`: {error}"))?;
        self.attached_bytes = total;
        Ok(())
    }
}

#[async_trait]
impl GuestReports for Reports {
    async fn report(&mut self, mut report: Report) {
        if self.is_over_limit() {
            return;
        }
        match &mut report {
            Report::Step { name: text } | Report::Note { text } | Report::Cut { what: text } => bound(text),
            Report::Metric { name, unit: other, .. } => {
                bound(name);
                bound(other);
            }
            Report::Attachment { media_type, .. } => bound(media_type),
            Report::Left { .. } | Report::Unconfined { .. } | Report::Denied { .. } => {}
        }
        self.sent += 1;
        self.events.report(report).await;
    }

    async fn attach(&mut self, name: String, media_type: String, content: Vec<u8>) {
        if self.is_over_limit() {
            return;
        }
        let report = match self.save(&name, &content) {
            Ok(()) => Report::Attachment { name, media_type, bytes: content.len() as u64 },
            Err(what) => Report::Cut { what },
        };
        self.report(report).await;
    }

    async fn not_saved(&mut self, what: String) {
        self.events.report(Report::Cut { what: format!("artifacts: {what}") }).await;
    }

    async fn finish(&mut self) {
        if self.cut > 0 {
            let what = format!("{} reports after the first {MAX_REPORTS}", self.cut);
            self.events.report(Report::Cut { what }).await;
        }
    }
}

fn bound(text: &mut String) {
    *text = shortened(std::mem::take(text), MAX_REPORT_BYTES);
}
