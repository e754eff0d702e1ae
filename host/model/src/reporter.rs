use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// A way to report a run.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum ReporterKind {
        /// For people: live on a terminal, plain lines elsewhere.
        Human = "human",
        /// The event stream, one JSON object a line, on stdout.
        Jsonl = "jsonl",
        /// `junit.xml` in the run directory, as Jenkins reads it.
        Junit = "junit",
        /// For GitHub Actions, on stdout and in the files that it names.
        Github = "github",
        /// Nothing but the run directory.
        Silent = "silent",
    }
}
