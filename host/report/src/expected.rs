//! Describes expected failures.

use super::text::inline;
use host_model::ExpectedFailure;

/// Which codes and classes, until when, whose and why, in one harmless line.
pub(super) fn describe(expected: &[ExpectedFailure]) -> String {
    let one = |it: &ExpectedFailure| {
        let codes = it.codes().collect::<Vec<_>>().join(", ");
        format!("{codes} until {} ({}: {})", it.until, it.owner, it.reason)
    };
    // Line by line: an owner of several lines must not hide the next expectation.
    expected.iter().map(|it| inline(&one(it))).collect::<Vec<_>>().join("; ")
}
