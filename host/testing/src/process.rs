//! Waiting, the processes of the machine, and tests that need a process of their own.

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A wait that takes longer hangs. No test comes near it, even on a slow machine.
pub(crate) const HANGS: Duration = Duration::from_secs(120);

/// Waits until `condition` holds, and returns whether it did before the time was up.
pub fn wait_until(condition: impl FnMut() -> bool) -> bool {
    wait_at_most(HANGS, condition)
}

pub(crate) fn wait_at_most(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > time {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Every process, as its directory in `/proc`.
pub fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit()))
}

/// Processes with `argument` among their arguments.
pub fn processes_with(argument: &str) -> Vec<PathBuf> {
    let has = |process: &PathBuf| {
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|given| given == argument.as_bytes())
    };
    processes().filter(has).collect()
}

const TO_ITSELF: &str = "HOST_TEST_TO_ITSELF";

/// A command that runs one test of this test binary in another process. `module` is its `module_path!()`.
pub fn test_command(module: &str, test: &str) -> Command {
    let (_crate, module) = module.split_once("::").expect("tests are in modules of the test binary");
    let name = format!("{module}::{test}");
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &name, "--include-ignored", "--nocapture"]).env(TO_ITSELF, name);
    command
}

/// Whether the calling test has this process to itself. If not, runs it in another one, which `change` can set up; the
/// caller then returns. For tests that change or measure the whole process.
#[track_caller]
pub fn has_test_to_itself(module: &str, test: &str, change: impl FnOnce(&mut Command)) -> bool {
    let mut command = test_command(module, test);
    let own = command.get_envs().find(|(name, _)| *name == TO_ITSELF).and_then(|(_, value)| value).unwrap().to_owned();
    if env::var_os(TO_ITSELF) == Some(own) {
        return true;
    }
    change(&mut command);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("test result: ok. 1 passed"), "{text}");
    false
}
