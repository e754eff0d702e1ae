//! Bodies that end as they should, or do not.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame};

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// Nothing comes any more, and the connection stays.
    Silent,
    /// The connection is closed.
    Dropped,
}

/// A body in parts.
#[derive(Debug)]
pub(super) struct Parts {
    parts: VecDeque<Bytes>,
    end: End,
    /// What was sent has had its chance to leave the machine's buffers.
    flushed: bool,
}

impl Parts {
    pub(super) fn new(parts: impl IntoIterator<Item = String>, end: End) -> Self {
        Self { parts: parts.into_iter().map(Bytes::from).collect(), end, flushed: false }
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match (self.parts.pop_front(), self.end) {
            (Some(part), _) => Poll::Ready(Some(Ok(Frame::data(part)))),
            (None, End::Whole) => Poll::Ready(None),
            (None, End::Silent) => Poll::Pending,
            (None, End::Dropped) if self.flushed => {
                Poll::Ready(Some(Err(io::Error::other("the connection is dropped on purpose"))))
            }
            (None, End::Dropped) => {
                // The connection flushes when it has to wait for more.
                self.flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
