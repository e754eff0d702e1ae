//! `scenario-host`: replaces itself with the `host` in its own directory. Debian's `bind9-host` also installs a `host`, so
//! the name `host` alone can mean another program.

// Rust's own `main` opens /dev/null in place of closed streams and ignores SIGPIPE, and `host` would inherit both.
#![no_main]

use std::{
    convert::Infallible,
    env,
    ffi::{CString, c_char, c_int},
    fs,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

/// The exit code of `host` when it cannot work on this machine.
const SETUP: c_int = 96;

#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, args: *const *const c_char) -> c_int {
    let Err(error) = start_host(args);
    // Without a stderr the exit code still tells.
    let _ = writeln!(io::stderr(), "error: {error}");
    SETUP
}

/// Runs `host` in this process, with the same arguments: its help shows the name that it was called by.
fn start_host(args: *const *const c_char) -> Result<Infallible, String> {
    let own = env::current_exe().map_err(|error| format!("cannot find my own file: {error}\nhelp: mount /proc"))?;
    let program = own.with_file_name("host");
    let error = match is_same_file(&own, &program) {
        Ok(true) => "it is `scenario-host` itself".to_owned(),
        Ok(false) => execute(&program, args).to_string(),
        Err(error) => error.to_string(),
    };
    Err(format!(
        "cannot run {}: {error}\nhelp: `scenario-host` starts the `host` in its own directory: install both files there, or the \
         file `host` under the name `scenario-host`",
        program.display()
    ))
}

/// Whether the launcher would start itself, forever.
fn is_same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::metadata(one)?, fs::metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Returns only if the program cannot be run.
fn execute(program: &Path, args: *const *const c_char) -> io::Error {
    let path = match CString::new(program.as_os_str().as_bytes()) {
        Ok(path) => path,
        Err(error) => return error.into(),
    };
    // SAFETY: a string that ends with a zero byte, and the arguments of `main`, which end with a null pointer.
    unsafe { libc::execv(path.as_ptr(), args) };
    io::Error::last_os_error()
}
