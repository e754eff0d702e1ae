//! Timeouts for the bodies of requests and responses.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// How long to wait for the server, from the first poll.
pub(super) struct WaitTimer {
    limit: Duration,
    left: Option<Pin<Box<Sleep>>>,
}

impl WaitTimer {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, left: None }
    }

    /// Stops the timer.
    pub(super) fn stop(&mut self) {
        self.left = None;
    }

    /// Starts or continues the timer; ready when it has elapsed.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        self.left.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(context)
    }
}

/// How far a request was sent.
#[derive(Default)]
pub(super) struct SendProgress {
    /// Parts of the body that the component has provided.
    frames: AtomicU64,
    /// Whether the next part is still to come from the component.
    waits: AtomicBool,
}

impl SendProgress {
    /// Whether the request waits for the component.
    pub(super) fn waits_for_component(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }
}

/// A request's body, without trailers whose names the host sets itself.
pub(super) struct Outgoing {
    body: WasiBody,
    reserved: Vec<HeaderName>,
    progress: Arc<SendProgress>,
}

impl Outgoing {
    pub(super) fn new(body: WasiBody, reserved: Vec<HeaderName>, progress: Arc<SendProgress>) -> Self {
        Self { body, reserved, progress }
    }

    fn without_reserved(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_trailers() {
            Ok(mut trailers) => {
                self.reserved.iter().for_each(|name| drop(trailers.remove(name)));
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.progress.waits.store(polled.is_pending(), Ordering::Relaxed);
        let frame = ready!(polled);
        self.progress.frames.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(frame.map(|frame| frame.map(|frame| self.without_reserved(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A response's body with a timeout for the server. Time in which nothing reads does not count.
pub(super) struct TimedBody<B, K> {
    body: B,
    timer: WaitTimer,
    between: Duration,
    _guard: K,
}

impl<B, K> TimedBody<B, K> {
    /// The first part may take `first`, each later one `between`. `guard` is dropped with the body.
    pub(super) fn new(body: B, first: Duration, between: Duration, guard: K) -> Self {
        Self { body, timer: WaitTimer::new(first), between, _guard: guard }
    }
}

impl<B, K> Body for TimedBody<B, K>
where
    B: Body<Data = Bytes> + Unpin,
    K: Unpin,
    Error: From<B::Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.timer = WaitTimer::new(self.between);
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
            Poll::Pending => {
                ready!(self.timer.poll(context));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{HeaderMap, HeaderValue};
    use http_body_util::{BodyExt, Full};
    use tokio::sync::mpsc;

    use super::*;

    /// A body whose frames come from a channel.
    struct ChannelBody(mpsc::UnboundedReceiver<Frame<Bytes>>);

    impl Body for ChannelBody {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(context).map(|frame| frame.map(Ok))
        }
    }

    const FIRST: Duration = Duration::from_secs(20);
    const BETWEEN: Duration = Duration::from_secs(5);

    fn timed() -> (mpsc::UnboundedSender<Frame<Bytes>>, TimedBody<ChannelBody, ()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, TimedBody::new(ChannelBody(receiver), FIRST, BETWEEN, ()))
    }

    fn part() -> Frame<Bytes> {
        Frame::data(Bytes::from_static(b"part"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_reader_does_not_time_out_the_server() {
        let (sender, mut body) = timed();
        // Nothing reads, which is not the server's fault.
        sleep(10 * FIRST).await;
        let server = tokio::spawn(async move {
            sleep(FIRST / 2).await;
            sender.send(part()).unwrap();
            sleep(10 * BETWEEN + BETWEEN / 2).await;
            sender.send(part()).unwrap();
        });
        assert!(body.frame().await.unwrap().is_ok());
        sleep(10 * BETWEEN).await;
        assert!(body.frame().await.unwrap().is_ok());
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_response_body_times_out() {
        let (sender, mut body) = timed();
        let began = tokio::time::Instant::now();
        assert!(matches!(body.frame().await, Some(Err(Error::ConnectionReadTimeout))));
        // The paused clock advances only while the test waits.
        assert_eq!(began.elapsed().as_secs(), FIRST.as_secs());

        let (brings_one, mut body) = timed();
        brings_one.send(part()).unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        let began = tokio::time::Instant::now();
        assert!(matches!(body.frame().await, Some(Err(Error::ConnectionReadTimeout))));
        assert_eq!(began.elapsed().as_secs(), BETWEEN.as_secs());
        drop(sender);
    }

    #[tokio::test]
    async fn reserved_names_are_removed_from_trailers() {
        let trailers: HeaderMap = [("x-api-key", "guess"), ("x-own", "mine")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let body = Full::new(Bytes::from_static(b"part")).with_trailers(async { Some(Ok(trailers)) });
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let reserved = vec![HeaderName::from_static("x-api-key")];
        let sent = Outgoing::new(body, reserved, Arc::default()).collect().await.unwrap();
        let names: Vec<_> = sent.trailers().unwrap().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-own"]);
    }
}
