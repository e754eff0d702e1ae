//! The limits of an attempt that the engine does not enforce: wall clock, disk, the end of the run.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{executor::StopRequest, judge::internal_outcome, sessions::Sessions};
use host_agents::attempt_processes;
use host_model::{Fault, FaultClass, Limits, Outcome, Usage};
use host_wasm::sandbox::{AttemptDirs, DiskUse, DiskUseError, Violations};

/// How long agents may take to end after SIGTERM: when an attempt is over, and when a run is interrupted.
const GRACE_PERIOD: Duration = Duration::from_secs(2);
const INTERRUPTED_GRACE_PERIOD: Duration = Duration::from_secs(10);
/// Why an attempt is cancelled when the run has to end.
pub(super) const INTERRUPTED: &str = "the run was interrupted";
/// How often the disk use of a long attempt is checked.
const DISK_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the call within the attempt's limits. Whatever ends first decides, and dropping the call frees everything that the
/// component holds. When the time is up, the agents' output up to then is read: a call that ends because of it ended in
/// time.
pub(super) async fn bounded(
    call: impl Future<Output = Outcome>,
    catch_up: impl Future<Output = ()>,
    limits: &Limits,
    dirs: &Arc<AttemptDirs>,
    violations: &Arc<Violations>,
    stop: &mut watch::Receiver<StopRequest>,
) -> Outcome {
    let timeout = limits.timeout;
    tokio::select! {
        biased;
        fault = violations.wait() => Outcome::Fault(fault),
        reason = stopped(stop) => Outcome::Cancelled { reason },
        outcome = call => outcome,
        () = passed(timeout, catch_up) => {
            let what = format!("the attempt did not end within {}; its limit is `timeout`", humantime::format_duration(timeout));
            Outcome::Fault(Fault::new(FaultClass::Timeout, what))
        }
        () = watch_disk(dirs, limits.max_disk, violations) => internal_outcome("the disk watch ended"),
    }
}

async fn passed(timeout: Duration, catch_up: impl Future<Output = ()>) {
    host_clock::sleep(timeout).await;
    catch_up.await;
    host_clock::settle().await;
}

async fn stopped(stop: &mut watch::Receiver<StopRequest>) -> String {
    match stop.wait_for(|stop| *stop != StopRequest::None).await {
        Ok(_) => INTERRUPTED.into(),
        Err(_) => "the run ended".into(),
    }
}

/// There is no quota to rely on, so this checks regularly. Never returns.
async fn watch_disk(dirs: &Arc<AttemptDirs>, bound: u64, violations: &Arc<Violations>) {
    loop {
        tokio::time::sleep(DISK_CHECK_INTERVAL).await;
        // The next check makes up for one that failed.
        let _ = check_disk(dirs, bound, violations).await;
    }
}

/// Checks the disk use once.
///
/// # Errors
/// Why it could not be checked, which says nothing about the limit: most likely a shortage of the machine.
pub(super) async fn check_disk(dirs: &Arc<AttemptDirs>, bound: u64, violations: &Arc<Violations>) -> Result<(), Fault> {
    let looked_at = Arc::clone(dirs);
    let look = move || looked_at.disk_use(&attempt_processes(&looked_at.base));
    match tokio::task::spawn_blocking(look).await {
        Ok(Ok(DiskUse { bytes, unlinked_bytes })) if bytes > bound => {
            let unlinked_bytes = if unlinked_bytes > 0 {
                format!(", {unlinked_bytes} of them in open files without a name")
            } else {
                String::new()
            };
            violations.limit(format!(
                "the attempt's directories have {bytes} bytes{unlinked_bytes}; its limit `max-disk` is {bound}"
            ));
        }
        Ok(Err(uncounted)) => return not_counted(&uncounted, violations),
        Ok(Ok(_)) => {}
        Err(error) => return Err(Fault::new(FaultClass::Internal, format!("cannot measure disk use: {error}"))),
    }
    Ok(())
}

/// What cannot be counted exceeds the limit, unless the machine is short of something.
fn not_counted(uncounted: &DiskUseError, violations: &Violations) -> Result<(), Fault> {
    let fault = Fault::of_error(uncounted);
    if fault.is_shortage() {
        return Err(fault);
    }
    violations.limit(format!("{uncounted}; files that cannot be counted exceed the limit `max-disk`"));
    Ok(())
}

/// Ends the sessions of an attempt with this outcome. The second signal ends their grace period.
///
/// # Errors
/// A fault that names what survives.
pub(super) async fn end_sessions(
    sessions: &Sessions,
    outcome: &Outcome,
    stop: &mut watch::Receiver<StopRequest>,
) -> Result<Usage, Fault> {
    let grace = if matches!(outcome, Outcome::Cancelled { .. }) { INTERRUPTED_GRACE_PERIOD } else { GRACE_PERIOD };
    let killed = async {
        if stop.wait_for(|stop| *stop == StopRequest::Kill).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = sessions.end(grace) => ended,
        () = killed => sessions.end(Duration::ZERO).await,
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use super::*;

    #[test]
    fn a_machine_without_descriptors_does_not_exceed_the_disk_limit() {
        let closed = |code| {
            let reason = io::Error::from_raw_os_error(code);
            DiskUseError::Closed { folder: PathBuf::new(), reason }
        };
        let violations = Violations::default();
        let short = not_counted(&closed(libc::EMFILE), &violations).unwrap_err();
        assert_eq!((short.class, violations.breached()), (FaultClass::Resources, None));
        not_counted(&closed(libc::EACCES), &violations).unwrap();
        assert_eq!(violations.breached().unwrap().class, FaultClass::Limit);
    }
}
