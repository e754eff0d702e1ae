//! `suite.toml`, `scenario.toml`, the environment and flags, resolved to [`Settings`].

mod scenario_file;
mod settings;
mod source;
mod suite_file;
#[cfg(test)]
mod tests;
mod value;

pub use scenario_file::ScenarioSettings;
pub use settings::{ConfigError, LaneKind, LaneSettings, Overrides, SCENARIOS_FOLDER, SUITE_FILE, Settings};
pub use source::{Place, ReadError, SourceError, nearest, shown};
