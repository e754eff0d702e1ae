//! What a scenario tells while it runs. Nothing here changes the verdict; the host bounds all of it.

pub use crate::bindings::scenario::host::report::{attach, metric, note, step};
