//! The program; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    host::cli::main(std::env::args_os()).into()
}
