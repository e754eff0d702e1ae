use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel},
    thread,
    time::{Duration, Instant},
};

use super::Sink;
use crate::model::Event;

/// Events that may wait for a slow reader.
const WAITING: usize = 4_096;
/// How long a reader may take nothing before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A sink on a thread of its own, for what goes to a terminal or a pipe: a reader that stops reading (a pager,
/// Ctrl-S) holds up neither the run nor its signals. After 10 s without progress the sink is given up as broken.
pub struct Background {
    orders: Option<SyncSender<Order>>,
    /// The sink's first error, or its end.
    ended: Receiver<io::Result<()>>,
}

enum Order {
    Event(Box<Event>),
    Flush,
}

impl Background {
    /// Puts `sink` on a thread of its own.
    #[must_use]
    pub fn new(mut sink: impl Sink + 'static) -> Self {
        let (orders, inbox) = sync_channel(WAITING);
        let (end, ended) = channel();
        // Detached on purpose: a thread that is stuck in a write must not keep the process.
        thread::spawn(move || {
            let carried_out = inbox.iter().try_for_each(|order| match order {
                Order::Event(event) => sink.event(&event),
                Order::Flush => sink.flush(),
            });
            // Nobody listens any more once the sink was given up.
            let _ = end.send(carried_out.and_then(|()| sink.finish()));
        });
        Self { orders: Some(orders), ended }
    }

    fn order(&mut self, mut order: Order) -> io::Result<()> {
        let Some(orders) = &self.orders else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let began = Instant::now();
        loop {
            match orders.try_send(order) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => {
                    return self
                        .ended
                        .recv()
                        .unwrap_or_else(|_| Err(died()))
                        .and(Err(io::ErrorKind::BrokenPipe.into()));
                }
                Err(TrySendError::Full(_)) if began.elapsed() >= PATIENCE => {
                    self.orders = None;
                    return Err(stuck());
                }
                Err(TrySendError::Full(again)) => {
                    order = again;
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
}

impl Sink for Background {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.order(Order::Event(Box::new(event.clone())))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.order(Order::Flush)
    }

    fn finish(&mut self) -> io::Result<()> {
        drop(self.orders.take());
        match self.ended.recv_timeout(PATIENCE) {
            Ok(ended) => ended,
            Err(RecvTimeoutError::Timeout) => Err(stuck()),
            Err(RecvTimeoutError::Disconnected) => Err(died()),
        }
    }
}

fn stuck() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("nobody reads it for {} s", PATIENCE.as_secs()))
}

fn died() -> io::Error {
    io::Error::other("its thread is gone")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::{EventKind, LaneName};

    fn event(seq: u64) -> Event {
        Event { seq, at_ms: 0, kind: EventKind::LaneOpened { lane: LaneName("l".into()) } }
    }

    #[derive(Clone, Default)]
    struct Seen {
        seqs: Arc<Mutex<Vec<u64>>>,
        fails_at: Option<u64>,
    }

    impl Sink for Seen {
        fn event(&mut self, event: &Event) -> io::Result<()> {
            if self.fails_at == Some(event.seq) {
                return Err(io::Error::other("disk full"));
            }
            self.seqs.lock().unwrap().push(event.seq);
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            self.seqs.lock().unwrap().push(u64::MAX);
            Ok(())
        }
    }

    #[test]
    fn everything_arrives_in_order_before_the_end() {
        let seen = Seen::default();
        let mut sink = Background::new(seen.clone());
        let all: Vec<u64> = (0..10_000).collect();
        for seq in &all {
            sink.event(&event(*seq)).unwrap();
        }
        sink.finish().unwrap();
        let seqs = seen.seqs.lock().unwrap();
        assert_eq!((&seqs[..10_000], seqs.last()), (&all[..], Some(&u64::MAX)));
    }

    #[test]
    fn an_error_of_the_sink_is_told() {
        let mut sink = Background::new(Seen { fails_at: Some(0), ..Seen::default() });
        // Told at once or at the end: the thread may not have come to it yet.
        let told = (0..3).try_for_each(|seq| sink.event(&event(seq))).and_then(|()| sink.finish());
        assert_eq!(told.unwrap_err().to_string(), "disk full");
    }
}
