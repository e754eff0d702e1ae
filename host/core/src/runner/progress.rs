//! Whether an agent makes progress: one that keeps talking but repeats the same calls hangs, too.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::task::spawn_blocking;

use super::{text::shortened, watchdog::Watchdog};
use host_clock::{Instant, sleep};
use host_model::{Fault, FaultClass};
use host_wasm::sandbox::AttemptDirs;

/// How often the attempt's directories are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Different tool calls of a session that are remembered; one more clears them all.
const MAX_CALLS: usize = 20_000;
/// Bytes of a tool call that a message shows.
const MAX_SHOWN_BYTES: usize = 200;

/// The progress of a session: a tool call that it had not made before, or a durable change of the attempt's directories.
/// Messages are no progress.
pub(super) struct Progress {
    budget: Duration,
    /// The last progress, or the time since which it is waited for.
    last: Instant,
    /// When the last check of the directories began.
    checked: Option<Instant>,
    /// How often each tool call was made, by its hash.
    calls: HashMap<u64, u64>,
    hasher: RandomState,
    /// The call made most often.
    most: Option<(String, u64)>,
}

impl Progress {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget,
            last: Instant::now(),
            checked: None,
            calls: HashMap::new(),
            hasher: RandomState::new(),
            most: None,
        }
    }

    pub(super) fn called(&mut self, name: &str, input: &Value) {
        let input = input.to_string();
        let hash = self.hasher.hash_one((name, &input));
        if self.calls.len() >= MAX_CALLS && !self.calls.contains_key(&hash) {
            self.calls.clear();
            self.most = None;
        }
        let count = self.calls.entry(hash).or_insert(0);
        *count += 1;
        if *count == 1 {
            self.last = Instant::now();
        }
        if self.most.as_ref().is_none_or(|(_, most)| most < count) {
            self.most = Some((shortened(format!("{name} {input}"), MAX_SHOWN_BYTES), *count));
        }
    }

    /// Records a check that began at `began`, and whether something has `changed` since the one before.
    fn checked(&mut self, began: Instant, changed: bool) {
        self.checked = Some(began);
        if changed {
            self.last = Instant::now();
        }
    }

    /// Time that does not count.
    pub(super) fn skip(&mut self, time: Duration) {
        self.last = (self.last + time).min(Instant::now());
    }

    pub(super) fn ends(&self) -> Instant {
        self.last + self.budget
    }

    /// The fault, once the budget has run out and a check after that has found nothing.
    pub(super) fn run_out(&self) -> Option<Fault> {
        let ends = self.ends();
        if ends > Instant::now() || self.checked.is_none_or(|checked| checked < ends) {
            return None;
        }
        let budget = humantime::format_duration(self.budget);
        let most = match &self.most {
            Some((call, count)) => format!("its most frequent tool call, {count} times, is `{call}`"),
            None => "it did not call any tool".into(),
        };
        let what = format!(
            "the agent made no progress for {budget}: neither a new tool call nor a changed file; {most}; its limit \
             is `no-progress-timeout`"
        );
        Some(Fault::new(FaultClass::Idle, what))
    }
}

/// Checks for durable changes until it is dropped.
pub(super) async fn watch_changes(dirs: Arc<AttemptDirs>, watchdog: Arc<Watchdog>) {
    let mut last = None;
    loop {
        let (began, checked_dirs) = (Instant::now(), Arc::clone(&dirs));
        // Without checks nothing is taken as idle.
        let Ok(found) = spawn_blocking(move || checked_dirs.fingerprint()).await else { return };
        let changed = last.replace(found).is_some_and(|last| last != found);
        watchdog.progress(|progress| progress.checked(began, changed));
        sleep(CHECK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use host_model::{BackOff, Limits, SessionEventKind};

    const SECOND: Duration = Duration::from_secs(1);

    fn watchdog() -> Arc<Watchdog> {
        let limits = Limits {
            idle_timeout: 20 * SECOND,
            backoff_timeout: 50 * SECOND,
            no_progress_timeout: Some(30 * SECOND),
            ..Limits::default()
        };
        Watchdog::new(&limits)
    }

    fn call(command: &str) -> SessionEventKind {
        let input = serde_json::json!({ "command": command });
        SessionEventKind::ToolCall { id: String::new(), name: "shell".into(), input }
    }

    fn message() -> SessionEventKind {
        SessionEventKind::Message { text: "on it".into() }
    }

    fn back_off() -> SessionEventKind {
        SessionEventKind::BackOff(BackOff { attempt: None, delay_ms: None, reason: "busy".into() })
    }

    /// Looks every second, and finds changes at these seconds.
    async fn looks(watchdog: Arc<Watchdog>, changes: &[u64]) {
        let began = Instant::now();
        loop {
            let now = Instant::now();
            let changed = changes.contains(&(now - began).as_secs());
            watchdog.progress(|progress| progress.checked(now, changed));
            sleep(SECOND).await;
        }
    }

    /// Tells the event of every second, over and over; the fault that ends it, and when.
    async fn stuck(changes: &[u64], event: impl Fn(u64) -> SessionEventKind) -> (Fault, u64) {
        let watchdog = watchdog();
        let began = Instant::now();
        let told = async {
            for second in 0.. {
                watchdog.record_event(&event(second));
                sleep(SECOND).await;
            }
            pending::<()>().await
        };
        tokio::select! {
            answer = watchdog.wait(told) => (answer.unwrap_err(), began.elapsed().as_secs()),
            () = looks(Arc::clone(&watchdog), changes) => unreachable!("it never returns"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_call_is_idle_and_named() {
        let (fault, after) = stuck(&[], |second| if second % 2 == 0 { call("ls") } else { message() }).await;
        assert_eq!((fault.class, after), (FaultClass::Idle, 30));
        for part in ["30s", r#"16 times, is `shell {"command":"ls"}`"#, "`no-progress-timeout`"] {
            assert!(fault.message.contains(part), "{part}: {fault}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn new_calls_and_changes_are_progress() {
        let (fault, after) = stuck(&[], |_| message()).await;
        assert!(after == 30 && fault.message.contains("did not call any tool"), "{after}: {fault}");
        let (_, after) = stuck(&[], |second| call(if second < 25 { "ls" } else { "cat" })).await;
        assert_eq!(after, 55);
        let (_, after) = stuck(&[10, 35], |_| call("ls")).await;
        assert_eq!(after, 65);
    }

    #[tokio::test(start_paused = true)]
    async fn a_back_off_stops_the_clock() {
        let (fault, after) = stuck(&[], |second| if (10..50).contains(&second) { back_off() } else { message() }).await;
        assert_eq!((fault.class, after), (FaultClass::Idle, 70), "{fault}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_a_waiter_does_not_count() {
        let watchdog = watchdog();
        let work = async {
            for _ in 0..20 {
                let answer = async {
                    sleep(SECOND).await;
                    watchdog.record_event(&message());
                };
                watchdog.wait(answer).await?;
                sleep(100 * SECOND).await;
            }
            Ok::<_, Fault>(())
        };
        tokio::select! {
            answer = work => assert_eq!(answer, Ok(())),
            () = looks(Arc::clone(&watchdog), &[]) => unreachable!("it never returns"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_look_nothing_is_taken_for_a_stall() {
        let watchdog = watchdog();
        let told = async {
            for _ in 0..100 {
                sleep(SECOND).await;
                watchdog.record_event(&message());
            }
            7
        };
        assert_eq!(watchdog.wait(told).await, Ok(7));
    }

    #[test]
    fn the_remembered_calls_are_limited() {
        let mut progress = Progress::new(SECOND);
        for number in 0..=MAX_CALLS {
            progress.called("shell", &serde_json::json!(number));
        }
        assert_eq!(progress.calls.len(), 1);
        progress.called("shell", &serde_json::json!(MAX_CALLS));
        assert_eq!(progress.most, Some((format!("shell {MAX_CALLS}"), 2)));
    }
}
