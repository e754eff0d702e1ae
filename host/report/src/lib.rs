//! The reports of a run: one ordered stream of events, fanned out to sinks.
//!
//! A sink knows nothing but the events, so that a report can be made again later from `events.jsonl`.

pub mod artifact;
mod background;
mod event_log;
mod expected;
mod github;
mod human;
mod jsonl;
mod junit;
mod rate;
#[cfg(test)]
mod sample;
mod schema;
mod text;
mod verdict_words;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
};

pub use background::Background;
pub use event_log::{EventLog, LogTail};
pub use github::{Github, GithubFiles};
pub use host_model::text::visible;
pub use human::{ColorChoice, Human, HumanOptions, LiveLines, Verbosity};
pub use jsonl::{JsonLines, ReadError, read_events};
pub use junit::Junit;
pub use schema::event_schema;

use host_model::Event;

/// Something that shows or saves a run's events.
pub trait Sink: Send {
    /// Takes one event; it may stay in a buffer until [`Sink::flush`].
    ///
    /// # Errors
    /// The sink cannot go on; it gets no further calls.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Makes everything so far visible to others. Called after each batch of events, not after each event.
    ///
    /// # Errors
    /// The sink cannot go on; it gets no further calls.
    fn flush(&mut self) -> io::Result<()>;

    /// Called about every second while no event comes, where the sink has a thread of its own.
    ///
    /// # Errors
    /// The sink cannot go on; it gets no further calls.
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether so much waits in it that nothing should be added.
    fn is_full(&self) -> bool {
        false
    }

    /// The stream is over: the sink may begin to complete the report. [`Sink::finish`] waits for it.
    fn close(&mut self) {}

    /// The stream is over, with or without a last event: completes the report and flushes.
    ///
    /// # Errors
    /// The report is not complete.
    fn finish(&mut self) -> io::Result<()>;
}

/// How many signals have asked the process to end.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// Records that a signal has asked the process to end: readers are no longer waited for.
pub fn interrupt() {
    INTERRUPTS.fetch_add(1, Ordering::AcqRel);
}

/// Returns a check: whether a signal has asked the process to end since this call.
pub fn is_interrupted() -> impl Fn() -> bool {
    let before = INTERRUPTS.load(Ordering::Acquire);
    move || INTERRUPTS.load(Ordering::Acquire) != before
}

/// A sink that failed, and why. It got nothing after the failure.
#[derive(Debug)]
pub struct BrokenSink {
    /// The name that it was added under.
    pub name: String,
    /// Its first and only error.
    pub error: io::Error,
}

/// Fans one stream of events out to sinks. A sink that fails is switched off and remembered; the others go on,
/// so that no report can lose the verdicts of the run.
#[derive(Default)]
pub struct Reporter {
    sinks: Vec<(String, Box<dyn Sink>)>,
    broken: Vec<BrokenSink>,
}

impl Reporter {
    /// A reporter without sinks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink; `name` tells it from the others in [`Reporter::broken`].
    pub fn add(&mut self, name: impl Into<String>, sink: impl Sink + 'static) {
        self.sinks.push((name.into(), Box::new(sink)));
    }

    /// Sends one event to every working sink.
    pub fn event(&mut self, event: &Event) {
        self.each(|sink| sink.event(event));
    }

    /// Makes everything so far visible; to be called after each drained batch.
    pub fn flush(&mut self) {
        self.each(<dyn Sink>::flush);
    }

    /// Completes every report. Nothing is sent to a sink after this.
    pub fn finish(&mut self) {
        // Sinks that wait for a reader wait concurrently.
        for (_, sink) in &mut self.sinks {
            sink.close();
        }
        self.each(<dyn Sink>::finish);
        self.sinks.clear();
    }

    /// Whether so much waits in a sink that nothing should be added.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.sinks.iter().any(|(_, sink)| sink.is_full())
    }

    /// The sinks that failed, in the order of their failures.
    #[must_use]
    pub fn broken(&self) -> &[BrokenSink] {
        &self.broken
    }

    fn each(&mut self, mut call: impl FnMut(&mut (dyn Sink + 'static)) -> io::Result<()>) {
        let broken = &mut self.broken;
        // A panic in one sink must affect neither the run nor other sinks.
        let mut guarded = |sink: &mut (dyn Sink + 'static)| {
            catch_unwind(AssertUnwindSafe(|| call(sink)))
                .unwrap_or_else(|_| Err(io::Error::other("it panicked; this is a bug in host")))
        };
        self.sinks.retain_mut(|(name, sink)| match guarded(sink.as_mut()) {
            Ok(()) => true,
            Err(error) => {
                broken.push(BrokenSink { name: std::mem::take(name), error });
                false
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Counts its calls, and fails from its `good`-th call on.
    struct Flaky {
        good: usize,
        calls: Arc<Mutex<usize>>,
    }

    impl Flaky {
        fn call(&mut self) -> io::Result<()> {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            if *calls > self.good { Err(io::Error::other("disk full")) } else { Ok(()) }
        }
    }

    impl Sink for Flaky {
        fn event(&mut self, _event: &Event) -> io::Result<()> {
            self.call()
        }
        fn flush(&mut self) -> io::Result<()> {
            self.call()
        }
        fn finish(&mut self) -> io::Result<()> {
            self.call()
        }
    }

    #[test]
    fn a_broken_sink_is_disabled_and_others_continue() {
        let (bad, good) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let mut reporter = Reporter::new();
        reporter.add("junit", Flaky { good: 1, calls: Arc::clone(&bad) });
        reporter.add("jsonl", Flaky { good: usize::MAX, calls: Arc::clone(&good) });
        let events = sample::all_pass();
        for event in &events {
            reporter.event(event);
        }
        reporter.flush();
        reporter.finish();
        assert_eq!(*bad.lock().unwrap(), 2, "one good call, one failure, then nothing");
        assert_eq!(*good.lock().unwrap(), events.len() + 2);
        let broken: Vec<_> = reporter.broken().iter().map(|b| format!("{}: {}", b.name, b.error)).collect();
        assert_eq!(broken, ["junit: disk full"]);
    }

    struct Panicking;

    impl Sink for Panicking {
        fn event(&mut self, _event: &Event) -> io::Result<()> {
            panic!("it fell over")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panicking_sink_is_disabled_and_others_continue() {
        let good = Arc::new(Mutex::new(0));
        let mut reporter = Reporter::new();
        reporter.add("human", Panicking);
        reporter.add("jsonl", Flaky { good: usize::MAX, calls: Arc::clone(&good) });
        let events = sample::all_pass();
        for event in &events {
            reporter.event(event);
        }
        reporter.finish();
        assert_eq!(*good.lock().unwrap(), events.len() + 1);
        let broken: Vec<_> = reporter.broken().iter().map(|b| b.name.as_str()).collect();
        assert_eq!(broken, ["human"]);
    }

    #[test]
    fn a_sink_may_fail_at_the_very_end() {
        let mut reporter = Reporter::new();
        reporter.add("human", Flaky { good: 0, calls: Arc::default() });
        reporter.finish();
        reporter.finish();
        assert_eq!(reporter.broken().len(), 1);
    }
}
