use std::path::Path;

use super::{args::ComponentizeArgs, terminal};
use host_core::app::Error;
use host_model::{ExitCode, shown};
use host_wasm::component::{componentize as make, read};

/// `host componentize`: turns a core module into a component.
pub(super) fn componentize(args: &ComponentizeArgs) -> Result<ExitCode, Error> {
    let module = read(&args.core).map_err(|error| Error::of(&error))?;
    let made = make(&module, args.world.as_deref())
        .map_err(|error| Error::setup(format!("`{}` {error}", shown(&args.core))))?;
    write(&args.output, &made.component)
        .map_err(|error| Error::setup(format!("cannot write `{}`: {error}", shown(&args.output))))?;
    terminal::output(&format!("{}: {}, {} bytes\n", shown(&args.output), made.kind, made.component.len()))?;
    Ok(ExitCode::Ok)
}

/// As a whole: a build that is stopped leaves no half of a component. Others may read it, as far as the umask lets them.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A link, a pipe and the like are written to, and never replaced.
    if std::fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        return std::fs::write(path, bytes);
    }
    host_fs::write_atomic(path, bytes, host_fs::SHARED)
}
