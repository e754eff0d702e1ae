//! Limits and retries of a scenario, and `[defaults]` for scenarios that do not set them.

use super::{
    table::{Optional, settings_table},
    value::{Bytes, CauseName, NotZero, Time, Wait},
};
use host_model::{Limits, RetryOverride};

/// What a scenario may use, and when it is retried.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    /// Its limits.
    pub(super) limits: Limits,
    /// Its retries.
    pub(super) retry: RetryOverride,
}

settings_table! {
    /// At the top of `scenario.toml`, and `[defaults]` of `suite.toml`.
    DefaultsTable for Defaults {
        /// Wall-clock time of an attempt.
        "deadline" deadline: Time => limits.deadline;
        /// How long an agent may stay silent.
        "quiet" quiet: Time => limits.quiet;
        /// How long an agent may wait for its provider.
        "back-off" back_off: Time => limits.back_off;
        /// How long an agent may go on without a tool call and without a change.
        "progress" progress: Optional<Time> => limits.progress;
        /// Bytes of linear memory.
        "memory" memory: NotZero<Bytes> => limits.memory;
        /// Elements of tables.
        "table-elements" table_elements: u64 => limits.table_elements;
        /// Core instances.
        "instances" instances: NotZero<u32> => limits.instances;
        /// Bytes of each output stream.
        "output" output: Bytes => limits.output;
        /// Bytes of all directories of an attempt.
        "disk" disk: Bytes => limits.disk;
        /// Open handles.
        "handles" handles: NotZero<u32> => limits.handles;
        /// Attempts after the first.
        "retries" retries: Optional<u32> => retry.retries;
        /// What a trial is retried after.
        "retry-on" retry_on: Optional<Vec<CauseName>> => retry.on;
        /// Wait before the first retry.
        "retry-delay" retry_delay: Optional<Wait> => retry.delay;
    }
}
