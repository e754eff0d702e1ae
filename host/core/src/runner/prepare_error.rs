use std::path::PathBuf;

use host_model::{ScenarioId, shown};
use host_wasm::guest::LinkError;
use host_wasm::sandbox::{FixtureError, GrantError, RecordedFixtureError};

/// Something that a run needs is not available.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A plugin cannot run here.
    #[error("`{}` {source}", shown(path))]
    Link {
        /// The plugin.
        path: PathBuf,
        /// Why not.
        source: LinkError,
    },
    /// A grant cannot be given.
    #[error("the scenario `{scenario}`: {source}")]
    Grant {
        /// The scenario.
        scenario: ScenarioId,
        /// Why not.
        source: GrantError,
    },
    /// Secrets cannot be kept out of what is recorded.
    #[error("the scenario `{scenario}`: {reason}")]
    Secrets {
        /// The scenario.
        scenario: ScenarioId,
        /// Why not.
        reason: String,
    },
    /// A fixture cannot be used.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// A fixture that an earlier run saved cannot be used.
    #[error("cannot use the recorded fixture of `{scenario}`")]
    RecordedFixture {
        /// The scenario.
        scenario: ScenarioId,
        /// The cause.
        #[source]
        source: RecordedFixtureError,
    },
    /// The fixtures cannot be saved.
    #[error("cannot save the fixtures in {}", folder.display())]
    KeepFixtures {
        /// The folder for them.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}
