//! Limits how long an agent is waited for. Silence is a fault of class `idle`, unless the provider makes the agent wait; if that takes
//! too long it is an `overload`. With the limit `no-progress-timeout`, output without progress is `idle` too.
//!
//! An event counts from the time when it was read. Before the time is up, the output that is still in the pipe is read,
//! so that an agent that has ended is seen to have ended.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::progress::Progress;
use host_agents::ReadProgress;
use host_clock::{Instant, settle, sleep_until};
use host_model::{Fault, FaultClass, Limits, SessionEventKind};

/// Watches the activity of an agent in one session.
pub(super) struct Watchdog {
    idle_timeout: Duration,
    backoff_timeout: Duration,
    /// The reading of the agent's output, which passes on every event.
    intake: Arc<ReadProgress>,
    activity: Mutex<Activity>,
    /// Notified when a change of `activity` may bring the end closer.
    changed: Notify,
}

struct Activity {
    /// The last event, or the time since which one is waited for.
    last: Instant,
    /// When the first back-off since the provider's last answer began, the reason of the last one, and whether another
    /// event has come since.
    backing_off: Option<(Instant, String, bool)>,
    /// Since when nothing is waited for.
    idle: Option<Instant>,
    /// With the limit `no-progress-timeout`.
    progress: Option<Progress>,
}

impl Watchdog {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let activity = Activity {
            last: Instant::now(),
            backing_off: None,
            idle: Some(Instant::now()),
            progress: limits.no_progress_timeout.map(Progress::new),
        };
        Arc::new_cyclic(|this: &std::sync::Weak<Self>| {
            let this = this.clone();
            let intake = ReadProgress::new(move |event| {
                this.upgrade().inspect(|this| this.record_event(event));
            });
            Self {
                idle_timeout: limits.idle_timeout,
                backoff_timeout: limits.backoff_timeout,
                intake: Arc::new(intake),
                activity: Mutex::new(activity),
                changed: Notify::new(),
            }
        })
    }

    pub(super) fn intake(&self) -> Arc<ReadProgress> {
        Arc::clone(&self.intake)
    }

    /// Why the provider makes the agent wait, if it does.
    pub(super) fn backing_off(&self) -> Option<String> {
        self.lock().backing_off.as_ref().map(|(_, reason, _)| reason.clone())
    }

    pub(super) fn wants_progress(&self) -> bool {
        self.lock().progress.is_some()
    }

    pub(super) fn progress(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = &mut self.lock().progress {
            change(progress);
        }
        self.changed.notify_one();
    }

    pub(super) fn record_event(&self, event: &SessionEventKind) {
        let mut activity = self.lock();
        let now = Instant::now();
        activity.last = now;
        match event {
            SessionEventKind::BackOff(told) => {
                let began = activity.backing_off.take().map_or(now, |(began, ..)| began);
                activity.backing_off = Some((began, told.reason.clone(), false));
                // Its limit may have passed meanwhile.
                self.changed.notify_one();
            }
            // Neither shows that the provider answers again: another back-off continues this one.
            SessionEventKind::Raw { .. } | SessionEventKind::Usage(_) => {
                if let Some((_, _, interrupted)) = &mut activity.backing_off {
                    *interrupted = true;
                }
            }
            kind => {
                let backed_off = activity.backing_off.take().map(|(began, ..)| now - began);
                if let Some(progress) = &mut activity.progress {
                    progress.skip(backed_off.unwrap_or_default());
                    if let SessionEventKind::ToolCall { name, input, .. } = kind {
                        progress.called(name, input);
                    }
                }
            }
        }
    }

    /// Waits for `answer` as long as the agent's activity allows.
    ///
    /// # Errors
    /// A fault of class `idle` or `overload`.
    pub(super) async fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T, Fault> {
        self.resume();
        let answer = tokio::select! {
            biased;
            answer = answer => Ok(answer),
            fault = self.expired() => Err(fault),
        };
        self.lock().idle = Some(Instant::now());
        answer
    }

    /// Time in which nothing was waited for is neither silence nor back-off: both begin later by that time.
    fn resume(&self) {
        let mut activity = self.lock();
        let now = Instant::now();
        let Some(since) = activity.idle.take() else { return };
        let idle = now - since;
        activity.last = (activity.last + idle).min(now);
        if let Some((began, ..)) = &mut activity.backing_off {
            *began = (*began + idle).min(now);
        }
        if let Some(progress) = &mut activity.progress {
            progress.skip(idle);
        }
    }

    async fn expired(&self) -> Fault {
        loop {
            let ends = match self.verdict() {
                Ok(ends) => ends,
                Err(_) => {
                    self.intake.catch_up().await;
                    // What was read may complete the answer.
                    settle().await;
                    match self.verdict() {
                        Ok(ends) => ends,
                        Err(fault) => return fault,
                    }
                }
            };
            tokio::select! {
                () = sleep_until(ends) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// The fault, if the time is up, or when to check again.
    fn verdict(&self) -> Result<Instant, Fault> {
        let activity = self.lock();
        let now = Instant::now();
        let (ends, fault) = match &activity.backing_off {
            Some((began, reason, false)) => (*began + self.backoff_timeout, overload(self.backoff_timeout, reason)),
            _ => (activity.last + self.idle_timeout, idle(self.idle_timeout)),
        };
        if ends <= now {
            return Err(fault);
        }
        match &activity.progress {
            Some(progress) if activity.backing_off.is_none() => match progress.run_out() {
                Some(fault) => Err(fault),
                // Past its end only a look at the files is waited for.
                None if progress.ends() <= now => Ok(ends),
                None => Ok(ends.min(progress.ends())),
            },
            _ => Ok(ends),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Activity> {
        // Every change is complete by itself.
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn idle(timeout: Duration) -> Fault {
    let timeout = humantime::format_duration(timeout);
    Fault::new(FaultClass::Idle, format!("the agent sent no event for {timeout}; its limit is `idle-timeout`"))
}

fn overload(timeout: Duration, reason: &str) -> Fault {
    let timeout = humantime::format_duration(timeout);
    let what = format!(
        "the agent's provider made it wait for {timeout}; its limit is `backoff-timeout`; the provider's reason: {reason}"
    );
    Fault::new(FaultClass::Overload, what)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::{
        sync::mpsc,
        time::{Instant, sleep},
    };

    use super::*;
    use host_agents::Observer;
    use host_model::{BackOff, SessionEvent};

    const SECOND: Duration = Duration::from_secs(1);

    fn watchdog() -> Arc<Watchdog> {
        Watchdog::new(&Limits { idle_timeout: 10 * SECOND, backoff_timeout: 30 * SECOND, ..Limits::default() })
    }

    fn message() -> SessionEventKind {
        SessionEventKind::Message { text: String::new() }
    }

    fn back_off() -> SessionEventKind {
        SessionEventKind::BackOff(BackOff { attempt: None, delay_ms: None, reason: "busy".into() })
    }

    /// Tells an event every so many seconds, so often, and never answers.
    async fn class_after(events: &[(u64, SessionEventKind)]) -> (FaultClass, u64) {
        let watchdog = watchdog();
        let began = Instant::now();
        let told = async {
            for (seconds, event) in events {
                sleep(*seconds as u32 * SECOND).await;
                watchdog.record_event(event);
            }
            pending::<()>().await
        };
        let fault = watchdog.wait(told).await.unwrap_err();
        (fault.class, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_a_stall_from_the_last_event_on() {
        assert_eq!(class_after(&[]).await, (FaultClass::Idle, 10));
        assert_eq!(class_after(&[(9, message()), (9, message())]).await, (FaultClass::Idle, 28));
    }

    #[tokio::test(start_paused = true)]
    async fn unread_output_is_activity() {
        let watchdog = watchdog();
        let (events, _taken) = mpsc::channel(1);
        let observer = Observer::new(events, watchdog.intake());
        let reads = async {
            loop {
                sleep(9 * SECOND).await;
                observer.notify(&message());
            }
        };
        let answer = async {
            sleep(100 * SECOND).await;
            7
        };
        tokio::select! {
            answer = watchdog.wait(answer) => assert_eq!(answer, Ok(7)),
            () = reads => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_reader_is_not_idle() {
        let watchdog = watchdog();
        let (events, mut taken) = mpsc::channel(1);
        let observer = Observer::new(events, watchdog.intake());
        let reads = async {
            let mut reading = observer.reading();
            for _ in 0..2 {
                observer.notify(&message());
                observer.send(SessionEvent { at_ms: 0, kind: message() }).await;
            }
            // There was more to read all the time.
            observer.notify(&message());
            loop {
                reading.requested().await;
                reading.caught_up();
            }
        };
        let held_up = async {
            sleep(60 * SECOND).await;
            taken.recv().await;
            pending().await
        };
        let began = Instant::now();
        tokio::select! {
            answer = watchdog.wait(pending::<()>()) => assert_eq!(answer.unwrap_err().class, FaultClass::Idle),
            () = reads => {}
            () = held_up => {}
        }
        assert_eq!(began.elapsed().as_secs(), 70, "the silence begins when the reader goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn output_in_the_pipe_is_read_before_the_timeout() {
        let watchdog = watchdog();
        let (events, _taken) = mpsc::channel(1);
        let observer = Observer::new(events, watchdog.intake());
        let (end, ended) = tokio::sync::oneshot::channel();
        let reads = async {
            let mut reading = observer.reading();
            reading.requested().await;
            // The end of the turn, which makes no event.
            end.send(7).unwrap();
            drop(reading);
            pending::<()>().await
        };
        tokio::select! {
            answer = watchdog.wait(ended) => assert_eq!(answer, Ok(Ok(7))),
            () = reads => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_overloaded_provider_is_no_hang() {
        assert_eq!(class_after(&[(5, back_off())]).await, (FaultClass::Overload, 35));
        let told: Vec<_> = (0..9).map(|_| (4, back_off())).collect();
        assert_eq!(class_after(&told).await, (FaultClass::Overload, 34), "the bound counts from the first");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_without_a_meaning_do_not_put_off_an_overload() {
        let raw = || SessionEventKind::Raw { line: "{}".into() };
        let told: Vec<_> = (0..20).flat_map(|_| [(2, back_off()), (1, raw())]).collect();
        assert_eq!(class_after(&told).await.0, FaultClass::Overload);
        let (class, seconds) = class_after(&[(5, back_off()), (1, raw())]).await;
        assert_eq!(class, FaultClass::Idle, "the last event is not a back-off");
        assert!(seconds > 6 + 20, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_comes_back_is_forgiven() {
        let told = [(5, back_off()), (20, message()), (5, back_off()), (25, message())];
        assert_eq!(class_after(&told).await, (FaultClass::Idle, 65));
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_a_waiter_does_not_count() {
        let watchdog = watchdog();
        sleep(100 * SECOND).await;
        let answer = async {
            sleep(9 * SECOND).await;
            7
        };
        assert_eq!(watchdog.wait(answer).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn polling_does_not_postpone_the_overload() {
        let watchdog = watchdog();
        let began = Instant::now();
        let fault = loop {
            let next = async {
                sleep(4 * SECOND).await;
                watchdog.record_event(&back_off());
            };
            if let Err(fault) = watchdog.wait(next).await {
                break fault;
            }
        };
        assert_eq!((fault.class, began.elapsed().as_secs()), (FaultClass::Overload, 34));
    }

    #[tokio::test(start_paused = true)]
    async fn a_back_off_without_a_waiter_does_not_count() {
        let watchdog = watchdog();
        watchdog.record_event(&back_off());
        sleep(100 * SECOND).await;
        let answer = async {
            sleep(29 * SECOND).await;
            7
        };
        assert_eq!(watchdog.wait(answer).await, Ok(7));
    }
}
