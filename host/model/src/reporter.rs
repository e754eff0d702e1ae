use serde::{Deserialize, Serialize};

/// A way to report a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReporterKind {
    /// For people: live on a terminal, plain lines elsewhere.
    Human,
    /// The event stream, one JSON object a line, on stdout.
    Jsonl,
    /// `junit.xml` in the run directory, as Jenkins reads it.
    Junit,
    /// For GitHub Actions, on stdout and in the files that it names.
    Github,
    /// Nothing but the run directory.
    Silent,
}

impl ReporterKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Human, Self::Jsonl, Self::Junit, Self::Github, Self::Silent];

    /// The word that files and flags use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Jsonl => "jsonl",
            Self::Junit => "junit",
            Self::Github => "github",
            Self::Silent => "silent",
        }
    }
}
