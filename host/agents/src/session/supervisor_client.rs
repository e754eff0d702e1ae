//! The host's side of a supervisor: sends orders and applies its reports.

use std::{os::unix::net::UnixStream as StdUnixStream, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::Child,
    sync::watch,
};

use crate::{
    exit::AgentExit,
    session::{process_state::ProcessState, timer::sleep_until},
    supervise::{orphans::kill_orphans, suspension},
};
use host_clock::{Instant, timeout};

/// How long a supervisor may take to start its agent, and, beyond the grace, to end it, before it counts as stuck. The
/// sweep for its orphans has the same timeout.
const SUPERVISOR_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct SupervisorClient {
    pub(super) supervisor: Child,
    pub(super) state: watch::Sender<ProcessState>,
    pub(super) session: String,
}

impl SupervisorClient {
    pub(super) async fn run(mut self, control: StdUnixStream, orders: watch::Receiver<Option<Duration>>) {
        let reported_gone = match UnixStream::from_std(control) {
            Ok(control) => self.relay(control, orders).await,
            Err(_) => false,
        };
        if !reported_gone {
            // It is stuck, stopped or dead; its agent dies with it.
            drop(self.supervisor.start_kill());
        }
        // If it cannot be reaped now, the sweep reports what is left.
        let pid = pid_of(&self.supervisor);
        let reaped = timeout(SUPERVISOR_TIMEOUT, self.supervisor.wait()).await.is_ok();
        suspension::unregister(pid);
        let survivors = if reported_gone && reaped { Ok(()) } else { self.sweep().await };
        self.state.send_modify(|state| {
            state.set_exit(AgentExit::Unknown);
            state.gone = Some(survivors);
        });
    }

    /// Receives reports and sends orders. Returns whether the supervisor reported that no descendant is left.
    async fn relay(&mut self, mut control: UnixStream, mut orders: watch::Receiver<Option<Duration>>) -> bool {
        let (reader, mut writer) = control.split();
        let mut lines = BufReader::new(reader).lines();
        let start_by = Instant::now() + SUPERVISOR_TIMEOUT;
        let mut starting = true;
        let mut give_up: Option<Instant> = None;
        let mut orders_open = true;
        loop {
            tokio::select! {
                // Reports sent before an order must be applied before it.
                biased;
                line = lines.next_line() => match line {
                    Ok(Some(line)) => {
                        let mut last = false;
                        self.state.send_modify(|state| {
                            last = state.apply(&line);
                            starting = !state.started;
                        });
                        if last {
                            return true;
                        }
                    }
                    _ => return false,
                },
                order = orders.changed(), if orders_open => {
                    orders_open = order.is_ok();
                    // If the sender is gone, nobody can order anything else.
                    let ordered = if orders_open { *orders.borrow_and_update() } else { None };
                    let grace = ordered.unwrap_or_default();
                    let until = Instant::now() + grace + SUPERVISOR_TIMEOUT;
                    give_up = Some(give_up.map_or(until, |before| before.min(until)));
                    self.wake_supervisor();
                    // If the write fails, the supervisor is about to be recognized as gone.
                    drop(writer.write_all(format!("end {}\n", grace.as_millis()).as_bytes()).await);
                }
                () = sleep_until(give_up) => {
                    self.state.send_modify(|state| state.ending = true);
                    return false;
                }
                () = host_clock::sleep_until(start_by), if starting => {
                    let why = format!("its supervisor did not respond within {} s", SUPERVISOR_TIMEOUT.as_secs());
                    self.state.send_modify(|state| state.set_failed(&why));
                    return false;
                }
            }
        }
    }

    /// An agent may have stopped its supervisor. The supervisor is a child of this process until `run` reaps it, so its
    /// pid cannot belong to another process.
    fn wake_supervisor(&self) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid_of(&self.supervisor)) {
            // It may have exited.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT);
        }
    }

    async fn sweep(&self) -> Result<(), String> {
        let session = self.session.clone();
        tokio::task::spawn_blocking(move || kill_orphans(Some(&session), SUPERVISOR_TIMEOUT))
            .await
            .unwrap_or_else(|error| Err(format!("the search for orphans failed: {error}")))
    }
}

/// The pid of a process that is not reaped yet; 0 afterwards.
pub(super) fn pid_of(child: &Child) -> i32 {
    child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0)
}
