//! What the kernel that the tests run on can do.

/// Whether the kernel lacks what `needed` names, in the words of the notice that agents run with less; then it says so.
/// Whoever asks can hold nobody to it here. `a_kernel_without_landlock_is_reported_or_refused` and
/// `unconfined_agents_are_reported_in_every_attempt` hold the host to the notice.
#[expect(clippy::print_stdout, reason = "for the person who runs the test")]
#[track_caller]
pub fn lacks(needed: &str) -> bool {
    let Err(why) = host_agents::confinement_available() else { return false };
    let lacks = why.contains("no Landlock") || why.contains(needed);
    if lacks {
        println!("{}: not tried, for {why}", std::panic::Location::caller());
    }
    lacks
}

/// Truncating files elsewhere, and with it whatever else concerns files.
pub const FILES: &str = "truncating";
/// TCP.
pub const TCP: &str = "TCP";
/// Signals to other processes and abstract sockets.
pub const SIGNALS: &str = "signals";
/// Filters of system calls.
pub const FILTERS: &str = "MPTCP";

/// Whether a command works here, unconfined.
pub fn runs(command: &str) -> bool {
    std::process::Command::new("sh").args(["-c", command]).output().unwrap().status.success()
}
