//! `scenario-host`: replaces itself with the `host` in its own directory. Debian's `bind9-host` also installs a `host`, so
//! the name `host` alone can mean another program.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

/// The exit code of `host` when it cannot work on this machine.
const SETUP: u8 = 96;

fn main() -> ExitCode {
    let error = match env::current_exe() {
        Ok(own) => {
            let program = own.with_file_name("host");
            let mut args = env::args_os();
            // The program's help shows the name that it was called by.
            let name = args.next().unwrap_or_else(|| OsString::from("scenario-host"));
            let error = Command::new(&program).arg0(name).args(args).exec();
            format!(
                "cannot run {}: {error}\nhelp: `scenario-host` starts the `host` in its own directory; to install one file only, \
                 install `host` as `scenario-host`",
                program.display()
            )
        }
        Err(error) => format!("cannot find this program's own file: {error}\nhelp: mount /proc"),
    };
    // Without a stderr the exit code still tells.
    let _ = writeln!(io::stderr(), "error: {error}");
    SETUP.into()
}
