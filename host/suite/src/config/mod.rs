//! `suite.toml`, `scenario.toml`, the environment and flags, resolved to [`Settings`].

mod agents;
mod caps;
mod defaults;
mod error;
mod expected;
mod grants;
mod lane_table;
mod lanes;
mod layers;
mod parse;
mod preopens;
mod rows;
mod scenario_file;
mod settings;
mod source;
mod strays;
mod suite_file;
mod table;
#[cfg(test)]
mod tests;
mod toml_reader;
mod value;
mod within;

pub use caps::Caps;
pub use error::{ConfigError, HasSource};
pub use expected::ExpectedSettings;
pub use grants::SourcedGrants;
pub use host_model::text::nearest;
pub use lanes::{LaneKind, LaneSettings};
pub use layers::{Overrides, Source, Sourced, Sources};
pub use rows::SettingRow;
pub use scenario_file::ScenarioSettings;
pub use settings::Settings;
pub use source::{ReadError, SourceError, SourceSpan, seen_from_here};
pub use strays::Stray;
pub use suite_file::{SCENARIOS_FOLDER, SUITE_FILE};
pub use value::parse_bytes;
