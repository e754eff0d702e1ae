//! What `host` inherits from the program that starts it, and must not depend on.

/// Signals whose handling is reset: an ignored SIGCHLD takes the exit codes of children away, and the others end a program
/// that no one can reach otherwise, or are ignored by every program that `host` starts. Left as they are: SIGHUP (`nohup`),
/// SIGINT and SIGQUIT of background jobs until a command handles them, those of job control, and those that Rust's
/// runtime handles.
const RESET: [libc::c_int; 9] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGCONT,
];

/// Gives signals their usual meaning, and blocks none. To be called before there are threads: these inherit what is
/// blocked.
pub(super) fn reset_signals() {
    // SAFETY: plain system calls on a set that lives here; none of these signals has a handler yet.
    unsafe {
        for signal in RESET {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}
