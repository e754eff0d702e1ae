//! Limits and retries of a scenario, and `[defaults]` for scenarios that do not set them.

use super::{
    table::{Optional, settings_table},
    value::{Bytes, CauseName, NotZero, Time, Wait},
};
use host_model::{Limits, RetryOverride};

/// The limits and retries of a scenario.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    pub(super) limits: Limits,
    pub(super) retry: RetryOverride,
}

settings_table! {
    /// At the top of `scenario.toml`, and `[defaults]` of `suite.toml`.
    DefaultsTable for Defaults {
        "timeout" timeout: Time => limits.timeout;
        "idle-timeout" idle_timeout: Time => limits.idle_timeout;
        "backoff-timeout" backoff_timeout: Time => limits.backoff_timeout;
        "no-progress-timeout" no_progress_timeout: Optional<Time> => limits.no_progress_timeout;
        "max-memory" max_memory: NotZero<Bytes> => limits.max_memory;
        "max-table-elements" max_table_elements: u64 => limits.max_table_elements;
        "max-instances" max_instances: NotZero<u32> => limits.max_instances;
        "max-output" max_output: Bytes => limits.max_output;
        "max-disk" max_disk: Bytes => limits.max_disk;
        "max-handles" max_handles: NotZero<u32> => limits.max_handles;
        "retries" retries: Optional<u32> => retry.retries;
        "retry-on" retry_on: Optional<Vec<CauseName>> => retry.on;
        "retry-delay" retry_delay: Optional<Wait> => retry.delay;
    }
}
