//! A response's body, and what is to know how it goes: the connection's phase, the transfer, the volume's counter.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HyperBody, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use super::flow::Flow;
use super::transfers::Meter;
use super::volume::Volume;
use super::watched::Responding;
use crate::error::{Error, Result};

/// What is sent.
pub struct Body {
    source: Source,
    /// How many bytes there are, if that is known beforehand.
    length: Option<u64>,
    account: Option<Account>,
    complain: Option<Complain>,
    responding: Option<Responding>,
}

/// Is told what ends a body early.
type Complain = Box<dyn Fn(&Error) + Send>;

enum Source {
    Whole(Option<Bytes>),
    Flow(Flow),
    /// Written by a thread of its own.
    Channel(Receiver<Result<Bytes>>),
}

/// Who counts the bytes.
pub struct Account {
    /// The client's.
    pub meter: Meter,
    /// The volume's.
    pub volume: Arc<Volume>,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Body::whole(Bytes::new())
    }

    /// No bytes, in place of so many that a GET would have got.
    pub fn empty_of(length: Option<u64>) -> Self {
        Body::of(length, Source::Whole(None))
    }

    /// These bytes.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Body::of(Some(bytes.len() as u64), Source::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// What a plan makes, `length` bytes if that is known.
    pub fn flow(flow: Flow, length: Option<u64>) -> Self {
        Body::of(length, Source::Flow(flow))
    }

    /// What comes from a thread.
    pub fn channel(bytes: Receiver<Result<Bytes>>) -> Self {
        Body::of(None, Source::Channel(bytes))
    }

    fn of(length: Option<u64>, source: Source) -> Self {
        Body { source, length, account: None, complain: None, responding: None }
    }

    /// How many bytes there are, if that is known.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Counts what is sent.
    #[must_use]
    pub fn counted(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
    }

    /// Tells what ends the body early, which the client sees as no more than a connection that breaks.
    #[must_use]
    pub fn complaining(mut self, complain: impl Fn(&Error) + Send + 'static) -> Self {
        self.complain = Some(Box::new(complain));
        self
    }

    /// Keeps the connection in this phase until the body is sent or dropped.
    #[must_use]
    pub fn within(mut self, responding: Responding) -> Self {
        self.responding = Some(responding);
        self
    }
}

impl Source {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match self {
            Source::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Source::Flow(flow) => flow.poll_next(context),
            Source::Channel(receiver) => receiver.poll_recv(context),
        }
    }
}

impl HyperBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let next = this.source.poll_next(context);
        match &next {
            Poll::Ready(Some(Ok(bytes))) => {
                if let Some(account) = &this.account {
                    account.meter.add(bytes.len() as u64);
                    account.volume.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(complain) = &this.complain {
                    complain(error);
                }
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        next.map(|next| next.map(|made| made.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        // Asked before the first frame only.
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
