use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CountsAs, ExpectedFailure, Fault, FaultClass};

/// Something that a grader requires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clause {
    /// Stable code of the finding when it does not hold.
    pub code: String,
    /// The condition, in one sentence.
    pub requires: String,
}

/// One failed clause of a grader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable code of the clause.
    pub code: String,
    /// The expected and the actual result.
    pub message: String,
    /// The text that shows it, bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// The outcome of one attempt, raw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Every clause held.
    Pass,
    /// Clauses failed.
    Fail {
        /// All of them; not empty.
        findings: Vec<Finding>,
    },
    /// The scenario does not apply here.
    Skip {
        /// Its reason.
        reason: String,
    },
    /// An infrastructure fault.
    Fault(Fault),
    /// The run ended before the attempt did.
    Cancelled {
        /// Why the run ended.
        reason: String,
    },
}

impl Outcome {
    /// One word: the verdict's, or the class of a fault.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail { .. } => "fail",
            Self::Skip { .. } => "skip",
            Self::Fault(fault) => fault.class.as_str(),
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// The judgement on a trial over its attempts and expectations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Verdict {
    /// Every clause held.
    Pass,
    /// Every clause held, but only after a retry.
    Flaky {
        /// How the attempts before ended.
        reason: String,
        /// What it counts as.
        counts_as: CountsAs,
    },
    /// Clauses failed.
    Fail {
        /// All of them; not empty.
        findings: Vec<Finding>,
        /// Why an expected failure does not cover them, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Only clauses failed that were expected to, or a fault came that was.
    Xfail {
        /// All of them; empty where a fault came.
        findings: Vec<Finding>,
        /// The fault, where one came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
        /// The expectations that cover them.
        expected: Vec<ExpectedFailure>,
    },
    /// It was expected to fail, and every clause held.
    Xpass {
        /// The expectations.
        expected: Vec<ExpectedFailure>,
        /// What it counts as.
        counts_as: CountsAs,
    },
    /// The scenario does not apply here.
    Skip {
        /// Its reason.
        reason: String,
    },
    /// Its lane's canary did not pass, or its lane broke, so it never started.
    Blocked {
        /// The canary and its outcome, or the reason that broke the lane.
        reason: String,
    },
    /// An infrastructure fault: never a failed assertion.
    Fault(Fault),
    /// The run ended before the trial did.
    Cancelled {
        /// Why the run ended.
        reason: String,
    },
}

impl Verdict {
    /// The word that reports use.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Flaky { .. } => "flaky",
            Self::Fail { .. } => "fail",
            Self::Xfail { .. } => "xfail",
            Self::Xpass { .. } => "xpass",
            Self::Skip { .. } => "skip",
            Self::Blocked { .. } => "blocked",
            Self::Fault(_) => "fault",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Whether every clause held in the end.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        matches!(self, Self::Pass | Self::Flaky { .. } | Self::Xpass { .. })
    }

    /// Whether it counts as a failure of the trial or as a fault: what a person has to look at. What is blocked has its
    /// cause elsewhere.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Fail { .. } | Self::Fault(_) => true,
            Self::Flaky { counts_as, .. } | Self::Xpass { counts_as, .. } => *counts_as == CountsAs::Fail,
            Self::Pass | Self::Xfail { .. } | Self::Skip { .. } | Self::Blocked { .. } | Self::Cancelled { .. } => {
                false
            }
        }
    }

    /// The fault's class, where it is one.
    #[must_use]
    pub fn fault_class(&self) -> Option<FaultClass> {
        match self {
            Self::Fault(fault) => Some(fault.class),
            _ => None,
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Pass => Self::Pass,
            Outcome::Fail { findings } => Self::Fail { findings, note: None },
            Outcome::Skip { reason } => Self::Skip { reason },
            Outcome::Fault(fault) => Self::Fault(fault),
            Outcome::Cancelled { reason } => Self::Cancelled { reason },
        }
    }
}
