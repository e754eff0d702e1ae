use std::any::Any;

use super::error::Message;
use host_wasm::component::PluginFile;

/// Receives what the caller should know while a function works.
///
/// `()` ignores everything.
pub trait Notices: Sync {
    /// Something may not be as the user wants it; the work continues.
    fn warning(&self, message: Message);

    /// Something that the user may want to know.
    fn note(&self, message: Message) {
        drop(message);
    }

    /// Values that nothing may show from now on. Called before an agent starts.
    fn secrets(&self, secrets: &[String]) {
        let _ = secrets;
    }

    /// The plugin in `file`, of `bytes` bytes, is being compiled until the returned value is dropped. Called from several
    /// threads.
    fn compiling(&self, file: &PluginFile, bytes: usize) -> Box<dyn Any> {
        let _ = (file, bytes);
        Box::new(())
    }
}

impl Notices for () {
    fn warning(&self, message: Message) {
        drop(message);
    }
}
