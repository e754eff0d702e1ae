//! Plugins: found, identified, adapted, compiled or loaded from the cache, and asked for their scenarios.

mod apart;
pub mod bindings;
mod command_entry;
mod compile;
mod componentize;
mod convert;
mod discover;
mod identify;
mod list;
mod load;
mod load_all;
mod memory;
mod unlinked;

pub use apart::{ADAPT_MODE, COMPILE_MODE, OVER_MEMORY};
pub use command_entry::run_problem;
pub use compile::compile;
pub use componentize::{ComponentizeError, Componentized, componentize};
pub use discover::{DiscoverError, PluginFile, discover};
pub use identify::{Contents, IdentifyError, Import, Shape, WasiVersion, identify};
pub use list::{ListError, Lister};
pub use load::{LoadError, LoadProblem, Plugin, WatchCompile, read};
pub use load_all::load_all;
pub use unlinked::{unlinked, unlinked_module};

pub use crate::engine::Code;
pub use host_wasip1::{CONTRACT, PROC_RAISE, adapt};
