//! A plain WASI command that does what its first argument says.

use std::{env, fs, io, process::ExitCode};

use probe_raw::{cli::exit::exit_with_code, preopen};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        [] => {}
        // The standard library's exit knows only success and failure.
        ["exit", code, rest @ ..] => {
            eprintln!("{}", rest.join(" "));
            exit_with_code(code.parse().expect("a number up to 255"));
        }
        ["fail", reason] => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
        ["panic", reason] => panic!("{reason}"),
        ["show"] => show(&args),
        ["session"] => return session(),
        ["read", path] => match fs::read_to_string(path) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        },
        ["kind", path] => println!("{:?}", fs::symlink_metadata(path).expect("it is there").file_type()),
        ["list", folder] => println!("{folder}: {}", names(folder).join(" ")),
        _ => {
            eprintln!("unknown arguments: {words:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Prints all that a command is given.
fn show(args: &[String]) {
    println!("args: {}", args.join("|"));
    let mut variables: Vec<String> = env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    variables.sort();
    println!("env: {}", variables.join("|"));
    println!("stdin: {:?}", io::read_to_string(io::stdin()).expect("stdin is text"));
    eprintln!("told on stderr");
}

/// What a folder holds, in order.
fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry"));
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Prints the record of the session that the host drove, and tries to change it.
fn session() -> ExitCode {
    println!("record: {}", names("/host/session").join(" "));
    println!("final message: {}", fs::read_to_string("/host/session/final-message.txt").expect("it is text"));
    println!("what the agent wrote: {:?}", fs::read_to_string("/greeting.txt").expect("the agent wrote it"));
    let record = preopen("/host/session");
    let refused = [
        fs::write("/host/session/final-message.txt", "forged").is_err(),
        fs::remove_file("/host/session/session.json").is_err(),
        fs::write("/host/session/new", "").is_err(),
        record.symlink_at("a", "b").is_err(),
    ];
    if refused.contains(&false) {
        eprintln!("the record can be changed: {refused:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
