use std::{fmt, str::FromStr};

/// A kind of agent that a lane can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LaneKind {
    /// The embedded agent that carries out a script; needs no network, key or program.
    #[default]
    Scripted,
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// Pi.
    Pi,
    /// Any agent that speaks the Agent Client Protocol.
    Acp,
    /// Any program that takes a prompt and prints lines.
    Command,
}

impl LaneKind {
    /// Every kind that this host knows: the one list of them. A new kind is added here and in `as_str`; the
    /// compiler then asks for what it is configured with (`config`) and for its sessions (`lane`).
    pub const ALL: [Self; 6] = [Self::Scripted, Self::Claude, Self::Codex, Self::Pi, Self::Acp, Self::Command];

    /// The word that `suite.toml` and reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scripted => "scripted",
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Pi => "pi",
            Self::Acp => "acp",
            Self::Command => "command",
        }
    }
}

impl fmt::Display for LaneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no kind of lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLaneKind(pub String);

impl fmt::Display for UnknownLaneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = LaneKind::ALL.iter().map(|kind| format!("`{kind}`")).collect();
        write!(f, "`{}` is not a lane kind; the kinds are {}", self.0.escape_debug(), known.join(", "))
    }
}

impl std::error::Error for UnknownLaneKind {}

impl FromStr for LaneKind {
    type Err = UnknownLaneKind;

    fn from_str(word: &str) -> Result<Self, UnknownLaneKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownLaneKind(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_parse_by_name() {
        for kind in LaneKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        let error = "claud".parse::<LaneKind>().unwrap_err().to_string();
        assert!(error.contains("`claud`") && error.contains("`scripted`"), "{error}");
    }
}
