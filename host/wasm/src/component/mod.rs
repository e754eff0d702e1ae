//! Plugins: discovering, identifying, adapting, compiling or loading them from the cache.

pub mod bindings;
mod compile;
mod componentize;
mod convert;
mod discover;
mod entry_point;
mod identify;
mod link_error;
mod load;
mod load_all;
mod memory;
mod subprocess;

pub use compile::compile;
pub use componentize::{ComponentizeError, Componentized, componentize};
pub use discover::{DiscoverError, PluginFile, discover};
pub use entry_point::entry_point_problem;
pub use identify::{Contents, IdentifyError, Import, Shape, WasiVersion, identify};
pub use link_error::{explain_link_error, explain_module_link_error};
pub use load::{CompileObserver, LoadError, LoadProblem, Plugin, read};
pub use load_all::load_all;
pub use subprocess::{ADAPT_MODE, COMPILE_MODE, MEMORY_EXCEEDED};

pub use crate::engine::Code;
pub use host_wasip1::{CONTRACT, PROC_RAISE, adapt};
