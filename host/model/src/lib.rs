//! Plain data that every module shares: no I/O, no tokio, no wasmtime, no clap.

mod address;
mod agent;
mod agent_version;
mod confinement;
mod event;
mod exit_code;
mod fault;
mod grant;
mod id;
mod lane;
mod limits;
mod listen;

mod policy;
mod redact;
mod replay;
mod reporter;
mod scenario;
mod script;
mod session;
mod shortage;
mod target;
pub mod text;
mod verdict;
mod words;

pub use address::special;
pub use agent::{AgentProblem, AgentSettings, Credential, Provider, RESERVED_VARIABLES};
pub use agent_version::{WrittenVersion, version_in, version_requirement};
pub use confinement::{Confinement, ConfinementMode, Ports, ProcessLimits, View};
pub use event::{
    AttemptRecord, Canary, Event, EventKind, LaneInfo, PassRate, PluginInfo, Report, Revision, RunSummary,
    RunningTrial, SCHEMA_VERSION, SuiteInfo, TrialInfo, VerdictCounts,
};
pub use exit_code::ExitCode;
pub use fault::{Fault, FaultClass};
pub use grant::{Grant, GrantItem, Grants, HttpGrant, SecretHeader, SocketGrants, policy_section};
pub use id::{BadName, LaneName, RunId, ScenarioId, TrialId, check_name};
pub use lane::LaneKind;
pub use limits::{CompileLimits, Limits};
pub use listen::ListenTarget;
pub use policy::{
    CountsAs, DEFAULT_BREAKER, ExpectedFailure, MAX_JOBS, MAX_REPETITIONS, RetryCause, RetryOverride, RetryRules,
    RunRules, UnknownRetryCause,
};
pub use redact::{RedactingStream, Redactor, SHORTEST_SECRET, TooManySecrets};
pub use replay::{
    FIXTURES_FILE, FIXTURES_FOLDER, KeptFixture, REPLAY_FILE, REPLAY_SCHEMA, RecordedFixture, RecordedFixtures,
    RecordedTree, ReplayStep, tree_file,
};
pub use reporter::ReporterKind;
pub use scenario::{
    CommandSpec, Declared, DeclaredScenario, Expectation, Fixture, PluginFacts, PluginId, Preopen, PreopenSource,
    SESSION_FOLDER, Scenario, ScenarioShape, ScriptedAgent, SessionPrompt, TextMatch, Ungranted,
};
pub use script::{Script, ScriptExpectation, ScriptedFault, Step};
pub use session::{BackOff, Conclusion, SessionEvent, SessionEventKind, Usage};
pub use shortage::Shortage;
pub use target::{BadTarget, HostPattern, HttpTarget, Scheme, SocketTarget};
pub use text::shown;
pub use verdict::{Clause, Finding, Outcome, Verdict};
