//! Texts for people, in one line.

use host_model::text;
pub use host_model::text::{backquoted, one_line, plural};

/// Names that one line of a list shows.
pub const MAX_NAMED: usize = 20;

/// The first of many names, followed by their number if some are left out.
#[must_use]
pub fn few(names: &[impl AsRef<str>]) -> String {
    text::few(names, MAX_NAMED)
}
