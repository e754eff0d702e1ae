//! Rules for outcomes: retries, expected failures, and when a run stops.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::words;
use super::{FaultClass, LaneName, Outcome};

/// An outcome after which a trial may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetryCause {
    /// A fault of this class.
    Fault(FaultClass),
    /// Failed clauses.
    Fail,
}

/// A word that is not a [`RetryCause`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRetryCause(pub String);

impl RetryCause {
    /// Every cause, `fail` last.
    pub fn all() -> impl Iterator<Item = Self> {
        FaultClass::ALL.into_iter().map(Self::Fault).chain([Self::Fail])
    }

    /// The word that files and flags use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fault(class) => class.as_str(),
            Self::Fail => "fail",
        }
    }

    /// The cause of this outcome, if it can be retried.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Fault(fault) => Some(Self::Fault(fault.class)),
            Outcome::Fail { .. } => Some(Self::Fail),
            Outcome::Pass | Outcome::Skip { .. } | Outcome::Cancelled { .. } => None,
        }
    }
}

impl fmt::Display for RetryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for UnknownRetryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = RetryCause::all().map(|cause| format!("`{cause}`")).collect();
        write!(f, "unknown retry cause `{}`; expected one of {}", self.0.escape_debug(), known.join(", "))
    }
}

impl std::error::Error for UnknownRetryCause {}

impl FromStr for RetryCause {
    type Err = UnknownRetryCause;

    fn from_str(word: &str) -> Result<Self, UnknownRetryCause> {
        Self::all().find(|cause| cause.as_str() == word).ok_or_else(|| UnknownRetryCause(word.to_owned()))
    }
}

/// When a trial is retried, and how soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// Attempts after the first.
    pub retries: u32,
    /// The outcomes that are retried.
    pub on: BTreeSet<RetryCause>,
    /// Wait before the first retry; it doubles with each further one, up to [`RetryRules::MAX_DELAY`]. A random part
    /// of up to half is taken off, so that trials that failed together do not come back together.
    pub delay: Duration,
}

impl RetryRules {
    /// No wait is longer.
    pub const MAX_DELAY: Duration = Duration::from_secs(120);

    /// Whether attempt number `attempt`, from 1, which ended as `outcome`, is followed by another.
    #[must_use]
    pub fn allows(&self, attempt: u32, outcome: &Outcome) -> bool {
        attempt <= self.retries && RetryCause::of(outcome).is_some_and(|cause| self.on.contains(&cause))
    }

    /// The longest wait after attempt number `attempt`, from 1.
    #[must_use]
    pub fn delay_after(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        self.delay.saturating_mul(doubled).min(Self::MAX_DELAY.max(self.delay))
    }
}

impl Default for RetryRules {
    /// No retries. If a setting asks for some: after faults that the provider or the machine may have caused, from one
    /// second on.
    fn default() -> Self {
        let on = [FaultClass::Launch, FaultClass::Overload, FaultClass::Idle, FaultClass::Crash];
        Self { retries: 0, on: on.map(RetryCause::Fault).into(), delay: Duration::from_secs(1) }
    }
}

/// The retries of a lane, a scenario or the command line; absent values stay as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOverride {
    /// Attempts after the first.
    pub retries: Option<u32>,
    /// The outcomes that are retried.
    pub on: Option<BTreeSet<RetryCause>>,
    /// Wait before the first retry.
    pub delay: Option<Duration>,
}

impl RetryOverride {
    /// These values over those of `base`.
    #[must_use]
    pub fn over(&self, base: &RetryRules) -> RetryRules {
        RetryRules {
            retries: self.retries.unwrap_or(base.retries),
            on: self.on.clone().unwrap_or_else(|| base.on.clone()),
            delay: self.delay.unwrap_or(base.delay),
        }
    }
}

words! {
    /// What a verdict that is neither a plain pass nor a plain failure counts as, for the exit code and for `--max-fail`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum CountsAs {
        /// As a pass: it is reported, and nothing more.
        #[default]
        Pass = "pass",
        /// As a failure.
        Fail = "fail",
    }
}

/// `[[expect-fail]]`: clauses that are known to fail, or faults that are known to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ExpectedFailure {
    /// The lanes in which this holds; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lanes: Vec<LaneName>,
    /// The expected finding codes; empty where only faults are expected.
    #[serde(default)]
    pub findings: BTreeSet<String>,
    /// The expected classes of faults, all of them deterministic.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<FaultClass>,
    /// Its owner.
    pub owner: String,
    /// Why it is accepted for now.
    pub reason: String,
    /// The last day, in UTC, on which it is accepted.
    pub until: Date,
}

impl ExpectedFailure {
    /// Whether it applies to `lane`.
    #[must_use]
    pub fn is_for(&self, lane: &LaneName) -> bool {
        self.lanes.is_empty() || self.lanes.contains(lane)
    }

    /// The accepted codes, then the accepted classes.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.findings.iter().map(String::as_str).chain(self.classes.iter().map(|class| class.as_str()))
    }

    /// Whether `today` is after its last day.
    #[must_use]
    pub fn has_expired(&self, today: Date) -> bool {
        today > self.until
    }
}

/// Rules for a whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRules {
    /// What a trial that passed after a retry counts as.
    pub flaky_result: CountsAs,
    /// What a trial that passed although it was expected to fail counts as.
    pub xpass: CountsAs,
    /// The number of failed trials after which nothing more starts; no limit when `None`.
    pub max_fail: Option<u32>,
    /// How often each trial is repeated; at least 1.
    pub repeat_each: u32,
}

impl Default for RunRules {
    fn default() -> Self {
        Self { flaky_result: CountsAs::Pass, xpass: CountsAs::Pass, max_fail: None, repeat_each: 1 }
    }
}

/// The most repetitions of each trial.
pub const MAX_REPETITIONS: u32 = 10_000;

/// The most attempts in parallel: more would come close to the kernel's limit on memory mappings.
pub const MAX_JOBS: usize = 5_000;

/// The number of trials in a row that end as faults of their whole lane, after which no more of its trials start, unless
/// the lane sets another.
pub const DEFAULT_BREAKER: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn fault(class: FaultClass) -> Outcome {
        Outcome::Fault(Fault::new(class, "x"))
    }

    #[test]
    fn causes_parse_by_name() {
        for cause in RetryCause::all() {
            assert_eq!(cause.as_str().parse(), Ok(cause));
        }
        let error = "flake".parse::<RetryCause>().unwrap_err().to_string();
        assert!(error.contains("`flake`") && error.contains("`overload`") && error.contains("`fail`"), "{error}");
    }

    #[test]
    fn failed_assertions_are_retried_only_on_request() {
        let mut policy = RetryRules { retries: 2, ..RetryRules::default() };
        let fail = Outcome::Fail { findings: Vec::new() };
        assert!(policy.allows(1, &fault(FaultClass::Idle)) && policy.allows(2, &fault(FaultClass::Launch)));
        assert!(!policy.allows(3, &fault(FaultClass::Idle)), "two retries are three attempts");
        assert!(!policy.allows(1, &fail) && !policy.allows(1, &fault(FaultClass::Trap)));
        policy.on.insert(RetryCause::Fail);
        assert!(policy.allows(1, &fail));
        assert!(!policy.allows(1, &Outcome::Pass) && !policy.allows(1, &Outcome::Cancelled { reason: String::new() }));
        assert!(!RetryRules::default().allows(1, &fault(FaultClass::Idle)), "none by default");
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let policy = RetryRules { delay: Duration::from_secs(30), ..RetryRules::default() };
        let seconds = |attempt| policy.delay_after(attempt).as_secs();
        assert_eq!([1, 2, 3, 4, 40].map(seconds), [30, 60, 120, 120, 120]);
        let long = RetryRules { delay: Duration::from_secs(300), ..policy };
        assert_eq!(long.delay_after(3).as_secs(), 300, "what was asked for is never cut");
    }

    #[test]
    fn overrides_keep_the_other_values() {
        let base = RetryRules { retries: 3, ..RetryRules::default() };
        let over = RetryOverride { delay: Some(Duration::ZERO), ..RetryOverride::default() }.over(&base);
        assert_eq!((over.retries, over.delay, over.on), (3, Duration::ZERO, base.on));
    }

    #[test]
    fn expectations_include_their_last_day() {
        let expected = ExpectedFailure {
            lanes: vec![LaneName("a".into())],
            findings: ["c".into()].into(),
            classes: BTreeSet::new(),
            owner: "o".into(),
            reason: "r".into(),
            until: Date::constant(2026, 12, 31),
        };
        assert!(
            !expected.has_expired(Date::constant(2026, 12, 31)) && expected.has_expired(Date::constant(2027, 1, 1))
        );
        assert!(expected.is_for(&LaneName("a".into())) && !expected.is_for(&LaneName("b".into())));
    }
}
