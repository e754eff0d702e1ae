use std::time::Duration;

/// The bounds of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall clock of the whole attempt, host calls and the agent's time included.
    pub deadline: Duration,
    /// How long an agent that is waited for may stay silent.
    pub quiet: Duration,
    /// How long an agent may go on telling that its provider makes it wait; meanwhile it is not silent.
    pub back_off: Duration,
    /// How long an agent that is waited for may go on without a new tool call and without a durable change; `None`: for
    /// as long as it likes.
    pub progress: Option<Duration>,
    /// Bytes of linear memory over all memories of the component.
    pub memory: u64,
    /// Elements over all tables of the component.
    pub table_elements: u64,
    /// Core instances of the component.
    pub instances: u32,
    /// Bytes that the component may write to stdout, and to stderr, and attach, each.
    pub output: u64,
    /// Bytes that root, config dir and the agent's own directories may hold together.
    pub disk: u64,
    /// Descriptors and other handles that the component may hold at once.
    pub handles: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(600),
            quiet: Duration::from_secs(300),
            back_off: Duration::from_secs(300),
            progress: None,
            memory: 512 << 20,
            table_elements: 1_000_000,
            instances: 100,
            output: 16 << 20,
            disk: 2 << 30,
            handles: 1_000,
        }
    }
}

/// The bounds of compiling one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of memory that the process may take.
    pub max_memory: u64,
    /// Wall clock.
    pub timeout: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { max_memory: 4 << 30, timeout: Duration::from_secs(600) }
    }
}
