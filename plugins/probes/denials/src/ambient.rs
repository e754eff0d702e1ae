//! What surrounds the component.

use std::{env, fs, io};

use probe_raw::filesystem::preopens::get_directories;
use scenario_sdk::Outcome;

use crate::Attempts;

pub(crate) fn control() -> Outcome {
    let mut attempts = Attempts::default();
    for path in ["/mine", "relative", "/host/config/mine"] {
        let kept = fs::write(path, "text").and_then(|()| fs::read_to_string(path));
        attempts.holds(kept.as_deref().is_ok_and(|text| text == "text"), || format!("{path}: {kept:?}"));
    }
    // The test's fixture holds this file.
    for path in ["/marker.txt", "/host/before/marker.txt"] {
        let read = fs::read_to_string(path);
        attempts.holds(read.as_deref().is_ok_and(|text| text == "fixture\n"), || format!("{path}: {read:?}"));
    }
    attempts.outcome()
}

pub(crate) fn environment() -> Outcome {
    let mut attempts = Attempts::default();
    let variables: Vec<_> = env::vars_os().collect();
    attempts.holds(variables.is_empty(), || format!("the environment holds {variables:?}"));
    let args: Vec<_> = env::args_os().collect();
    attempts.holds(args.is_empty(), || format!("the arguments are {args:?}"));
    attempts.outcome()
}

pub(crate) fn stdin() -> Outcome {
    let mut attempts = Attempts::default();
    let read = io::read_to_string(io::stdin());
    attempts.holds(read.as_deref().unwrap_or_default().is_empty(), || format!("stdin holds {read:?}"));
    attempts.outcome()
}

pub(crate) fn preopens() -> Outcome {
    let mut attempts = Attempts::default();
    let names: Vec<String> = get_directories().into_iter().map(|(_, name)| name).collect();
    attempts.holds(names == ["/", "/host/config", "/host/before"], || format!("it was given {names:?}"));
    attempts.outcome()
}
