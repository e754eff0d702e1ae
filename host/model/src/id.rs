use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names one invocation of `host run`: UTC time and a few random letters, so that it sorts by time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct RunId(pub String);

/// The name of a lane, as `suite.toml` and `--lane` give it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct LaneName(pub String);

/// A scenario's identity in a run: its name, with its plugin's label before it (`label::name`) where the
/// name alone would be ambiguous.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioId(pub String);

/// One scenario in one lane: what gets a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct TrialId {
    /// The lane it runs in.
    pub lane: LaneName,
    /// The scenario it runs.
    pub scenario: ScenarioId,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ScenarioId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.lane, self.scenario)
    }
}

/// Why a text is no name of a lane, scenario, agent or finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName {
    name: String,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
            self.name.escape_debug()
        )
    }
}

impl std::error::Error for BadName {}

/// Accepts what can be a folder name on every system and stays readable in a report.
///
/// # Errors
/// [`BadName`] with what a name may look like.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let ok = name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if ok { Ok(()) } else { Err(BadName { name: name.chars().take(120).collect() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_folders() {
        for good in ["gate", "merge-hook", "a.b_c", "3cycles"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "..", ".hidden", "a/b", "a b", "-flag", "a\nb", "é", &"x".repeat(101)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
