use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A capability that a scenario may be given. What is not granted is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Sessions with the lane's agent.
    Session,
}

/// A name that is no grant of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGrant(pub String);

impl Grant {
    /// Every grant that this host knows.
    pub const ALL: [Self; 1] = [Self::Session];

    /// The word that files and components use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Grant {
    type Err = UnknownGrant;

    fn from_str(name: &str) -> Result<Self, UnknownGrant> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == name).ok_or_else(|| UnknownGrant(name.to_owned()))
    }
}

/// The grants of one scenario; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeSet<Grant>);

impl Grants {
    /// Whether `grant` was given.
    #[must_use]
    pub fn has(&self, grant: Grant) -> bool {
        self.0.contains(&grant)
    }

    /// Those of `needs` that were not given.
    #[must_use]
    pub fn missing(&self, needs: &[Grant]) -> Vec<Grant> {
        needs.iter().copied().filter(|grant| !self.has(*grant)).collect()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}
