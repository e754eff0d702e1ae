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
        "timeout" timeout: Time => limits.timeout;
        /// How long an agent may stay silent.
        "idle-timeout" idle_timeout: Time => limits.idle_timeout;
        /// How long an agent may wait for its provider.
        "backoff-timeout" backoff_timeout: Time => limits.backoff_timeout;
        /// How long an agent may go on without a tool call and without a change.
        "no-progress-timeout" no_progress_timeout: Optional<Time> => limits.no_progress_timeout;
        /// Bytes of linear memory.
        "max-memory" max_memory: NotZero<Bytes> => limits.max_memory;
        /// Elements of tables.
        "max-table-elements" max_table_elements: u64 => limits.max_table_elements;
        /// Core instances.
        "max-instances" max_instances: NotZero<u32> => limits.max_instances;
        /// Bytes of each output stream.
        "max-output" max_output: Bytes => limits.max_output;
        /// Bytes of all directories of an attempt.
        "max-disk" max_disk: Bytes => limits.max_disk;
        /// Open handles.
        "max-handles" max_handles: NotZero<u32> => limits.max_handles;
        /// Attempts after the first.
        "retries" retries: Optional<u32> => retry.retries;
        /// What a trial is retried after.
        "retry-on" retry_on: Optional<Vec<CauseName>> => retry.on;
        /// Wait before the first retry.
        "retry-delay" retry_delay: Optional<Wait> => retry.delay;
    }
}
