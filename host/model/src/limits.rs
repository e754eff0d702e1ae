use std::time::Duration;

/// The limits of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of the whole attempt, with host calls and the agent's time.
    pub timeout: Duration,
    /// How long an agent may stay silent during a turn.
    pub idle_timeout: Duration,
    /// How long an agent may report that it waits for its provider; it does not count as silent meanwhile.
    pub backoff_timeout: Duration,
    /// How long a turn may go on without a new tool call and without a durable change; `None` is no limit.
    pub no_progress_timeout: Option<Duration>,
    /// Bytes of linear memory over all memories of the component.
    pub max_memory: u64,
    /// Elements over all tables of the component.
    pub max_table_elements: u64,
    /// Core instances of the component.
    pub max_instances: u32,
    /// Bytes that the component may write to stdout, and to stderr, and attach, each.
    pub max_output: u64,
    /// Bytes of root, config dir and the agent's own directories together.
    pub max_disk: u64,
    /// Descriptors and other handles that the component may have open.
    pub max_handles: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(300),
            backoff_timeout: Duration::from_secs(300),
            no_progress_timeout: None,
            max_memory: 512 << 20,
            max_table_elements: 1_000_000,
            max_instances: 100,
            max_output: 16 << 20,
            max_disk: 2 << 30,
            max_handles: 1_000,
        }
    }
}

/// The limits for compiling one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of memory that the process may use.
    pub max_memory: u64,
    /// Wall-clock time.
    pub timeout: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { max_memory: 4 << 30, timeout: Duration::from_secs(600) }
    }
}
