//! What a scenario may say of its limits and retries, and `[defaults]` for scenarios that do not.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::value::{Bytes, CauseName, NotZero, Time, Wait};
use host_model::{Limits, RetryOverride};

/// As written; at the top of `scenario.toml`, a table of its own in `suite.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct DefaultsTable {
    pub(super) deadline: Option<Spanned<Time>>,
    pub(super) memory: Option<Spanned<NotZero<Bytes>>>,
    pub(super) table_elements: Option<Spanned<u64>>,
    pub(super) instances: Option<Spanned<NotZero<u32>>>,
    pub(super) output: Option<Spanned<Bytes>>,
    pub(super) disk: Option<Spanned<Bytes>>,
    pub(super) handles: Option<Spanned<NotZero<u32>>>,
    pub(super) quiet: Option<Spanned<Time>>,
    pub(super) back_off: Option<Spanned<Time>>,
    pub(super) progress: Option<Spanned<Time>>,
    pub(super) retries: Option<Spanned<u32>>,
    pub(super) retry_on: Option<Spanned<Vec<CauseName>>>,
    pub(super) retry_delay: Option<Spanned<Wait>>,
}

fn said<T: Copy>(written: Option<&Spanned<T>>) -> Option<T> {
    written.map(|written| *written.get_ref())
}

impl DefaultsTable {
    /// `base` with the limits that this table gives put in their places.
    pub(super) fn limits_over(&self, base: &Limits) -> Limits {
        Limits {
            deadline: said(self.deadline.as_ref()).map_or(base.deadline, |time| time.0),
            memory: said(self.memory.as_ref()).map_or(base.memory, |bytes| bytes.0.0),
            table_elements: said(self.table_elements.as_ref()).unwrap_or(base.table_elements),
            instances: said(self.instances.as_ref()).map_or(base.instances, |count| count.0),
            output: said(self.output.as_ref()).map_or(base.output, |bytes| bytes.0),
            disk: said(self.disk.as_ref()).map_or(base.disk, |bytes| bytes.0),
            handles: said(self.handles.as_ref()).map_or(base.handles, |count| count.0),
            quiet: said(self.quiet.as_ref()).map_or(base.quiet, |time| time.0),
            back_off: said(self.back_off.as_ref()).map_or(base.back_off, |time| time.0),
            progress: said(self.progress.as_ref()).map_or(base.progress, |time| Some(time.0)),
        }
    }

    /// What it says of retries.
    pub(super) fn retry(&self) -> RetryOverride {
        retry(self.retries.as_ref(), self.retry_on.as_ref(), self.retry_delay.as_ref())
    }

    /// Where its values stand, by key.
    pub(super) fn spans(&self) -> impl Iterator<Item = (&'static str, Range<usize>)> {
        [
            ("deadline", self.deadline.as_ref().map(Spanned::span)),
            ("memory", self.memory.as_ref().map(Spanned::span)),
            ("table-elements", self.table_elements.as_ref().map(Spanned::span)),
            ("instances", self.instances.as_ref().map(Spanned::span)),
            ("output", self.output.as_ref().map(Spanned::span)),
            ("disk", self.disk.as_ref().map(Spanned::span)),
            ("handles", self.handles.as_ref().map(Spanned::span)),
            ("quiet", self.quiet.as_ref().map(Spanned::span)),
            ("back-off", self.back_off.as_ref().map(Spanned::span)),
            ("progress", self.progress.as_ref().map(Spanned::span)),
            ("retries", self.retries.as_ref().map(Spanned::span)),
            ("retry-on", self.retry_on.as_ref().map(Spanned::span)),
            ("retry-delay", self.retry_delay.as_ref().map(Spanned::span)),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
    }
}

/// What a table with these keys says of retries.
pub(super) fn retry(
    retries: Option<&Spanned<u32>>,
    on: Option<&Spanned<Vec<CauseName>>>,
    delay: Option<&Spanned<Wait>>,
) -> RetryOverride {
    RetryOverride {
        retries: said(retries),
        on: on.map(|on| on.get_ref().iter().map(|cause| cause.0).collect()),
        delay: said(delay).map(|delay| delay.0),
    }
}
