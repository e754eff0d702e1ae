//! Inline snapshots of what a call of `host` printed.

use insta::Settings;

use crate::{Finished, repository};

/// What differs from run to run, and what replaces it.
const FILTERS: [(&str, &str); 6] = [
    (r"\d{8}-\d{6}-[a-z]{4}", "[RUN]"),
    (r"\[ *\d[\dhms. ]*\]", "[    TIME]"),
    (r"(Summary .*) in \d[\dhms. ]*", "$1 in [TIME]"),
    (r"host-test-\w+", "[DIR]"),
    // In a pattern, which begins with the suite's directory.
    (r"(near position) \d+", "$1 [N]"),
    // Whether and how times are compared depends on the machine.
    (r" +(one after another|fan-out of lane) .*\n", ""),
];

/// Compares what calls of `host` printed with an inline snapshot: a [`Finished`] call with its exit code, stdout and
/// stderr, or a text.
///
/// The suite's directory, run ids and times are replaced. To accept what changed, run
/// `cargo insta test --accept -p scenario-host --test it`.
#[macro_export]
macro_rules! host_snapshot {
    ($shown:expr, @$snapshot:literal $(,)?) => {{
        let shown = $crate::Shown::shown(&$shown);
        $crate::snapshot_settings().bind(|| $crate::insta::assert_snapshot!(shown, @$snapshot));
    }};
}

/// The filters of [`host_snapshot`].
pub fn snapshot_settings() -> Settings {
    let mut settings = Settings::clone_current();
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, replacement);
    }
    settings
}

/// Something that can be compared with a snapshot.
pub trait Shown {
    /// Its text, without what the filters replace.
    fn shown(&self) -> String;
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for Finished {
    fn shown(&self) -> String {
        let code = self.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let (stdout, stderr) = (self.without_directories(&self.stdout), self.shown_stderr());
        format!("exit code: {code}\n----- stdout -----\n{stdout}----- stderr -----\n{stderr}")
    }
}

impl Finished {
    /// Standard error, with the directories of the suite and the repository as `[SUITE]` and `[REPOSITORY]`.
    pub fn shown_stderr(&self) -> String {
        self.without_directories(&self.stderr)
    }

    fn without_directories(&self, text: &str) -> String {
        let text = text.replace(&self.folder.display().to_string(), "[SUITE]");
        text.replace(&repository().display().to_string(), "[REPOSITORY]")
    }
}
