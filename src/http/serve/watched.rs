//! A client's socket that ends when its client keeps it waiting.
//!
//! The connection's [`Phase`] says what is waited for: the first request, another request, the rest of a request, or
//! that the client takes what it is sent. What takes longer than [`Patience`] allows ends in an error, and the
//! connection with it. While a response is being made nothing is expected of the client.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client may take, for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From its first byte to its last one of a request's head; and to the first byte of the first request.
    pub request: Duration,
    /// Between requests.
    pub idle: Duration,
    /// To take any of what it is sent.
    pub stall: Duration,
}

/// What is expected of the client. Odd: a response is being made; even: a request is expected.
#[derive(Clone, Default)]
pub struct Phase(Arc<AtomicU64>);

/// A response is being made until this is dropped.
pub struct Responding(Phase);

impl Phase {
    /// A request has come.
    pub fn respond(&self) -> Responding {
        // One request at a time: they do not overlap on a connection.
        self.0.fetch_or(1, Ordering::SeqCst);
        Responding(self.clone())
    }

    fn number(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Responding {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The socket.
pub struct Watched {
    socket: TcpStream,
    patience: Patience,
    phase: Phase,
    /// When the request must be there; of which phase that is, and whether its first byte has come.
    due: Pin<Box<Sleep>>,
    due_in: Option<u64>,
    heard: bool,
    /// When the client must have taken [`LEAST_TAKEN`]; since when, by phase, that is waited for, and what it has taken.
    stalled: Pin<Box<Sleep>>,
    stalling_in: Option<u64>,
    taken: usize,
}

/// What a client must take while it keeps a write waiting for [`Patience::stall`], in bytes: one that takes a few at a
/// time has a place that others could use.
const LEAST_TAKEN: usize = 64 << 10;

impl Watched {
    /// Watches a socket that has just been accepted.
    pub fn new(socket: TcpStream, patience: Patience, phase: Phase) -> Self {
        let never = || Box::pin(sleep_until(Instant::now()));
        let (due, stalled) = (never(), never());
        Watched { socket, patience, phase, due, due_in: None, heard: false, stalled, stalling_in: None, taken: 0 }
    }

    /// Whether the client keeps a request waiting.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let phase = self.phase.number();
        if !phase.is_multiple_of(2) {
            return false;
        }
        if self.due_in != Some(phase) {
            let patience = if phase == 0 { self.patience.request } else { self.patience.idle };
            self.due.as_mut().reset(Instant::now() + patience);
            (self.due_in, self.heard) = (Some(phase), false);
        }
        self.due.as_mut().poll(context).is_ready()
    }

    /// Bytes have come: the rest of the request is to follow soon.
    fn hear(&mut self) {
        let phase = self.phase.number();
        if phase.is_multiple_of(2) && (self.due_in != Some(phase) || !self.heard) {
            self.due.as_mut().reset(Instant::now() + self.patience.request);
            (self.due_in, self.heard) = (Some(phase), true);
        }
    }

    /// What a write came to; those that have to wait must not do so for ever.
    fn written(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let phase = self.phase.number();
        if let Poll::Ready(taken) = &written {
            self.taken += taken.as_ref().map_or(0, |taken| *taken);
            // A time that went by without a write that waited was the server's own.
            if self.taken >= LEAST_TAKEN || self.stalled.is_elapsed() {
                self.stalling_in = None;
            }
            return written;
        }
        if self.stalling_in != Some(phase) {
            self.stalled.as_mut().reset(Instant::now() + self.patience.stall);
            (self.stalling_in, self.taken) = (Some(phase), 0);
        }
        match self.stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(late("the client takes nothing, or next to nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.socket).poll_read(context, buffer) {
            Poll::Pending if this.is_late(context) => Poll::Ready(Err(late("no request comes"))),
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                if buffer.filled().len() > before {
                    this.hear();
                    // A head that comes byte by byte is never waited for, and yet late.
                    if this.is_late(context) {
                        return Poll::Ready(Err(late("no request comes")));
                    }
                }
                Poll::Ready(read)
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.written(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(context, pieces);
        this.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(3600);

    /// A watched socket, its phase, and the client's end.
    async fn pair(patience: Patience) -> (Watched, Phase, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        let phase = Phase::default();
        let (socket, _) = listener.accept().await.expect("accepted");
        (Watched::new(socket, patience, phase.clone()), phase, client)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("in time") });
    }

    #[test]
    fn silence_and_a_head_that_trickles_end_it() {
        run(async {
            let patience = Patience { request: SHORT, idle: LONG, stall: LONG };
            let (mut silent, _, _client) = pair(patience).await;
            let error = silent.read_u8().await.expect_err("nobody speaks");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);

            let (mut slow, _, mut client) = pair(patience).await;
            tokio::spawn(async move {
                while client.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(SHORT / 16).await;
                }
            });
            let began = Instant::now();
            while slow.read_u8().await.is_ok() {}
            assert!(began.elapsed() < 20 * SHORT, "{:?}", began.elapsed());
        });
    }

    #[test]
    fn between_requests_it_may_rest_and_while_one_is_answered_too() {
        run(async {
            let patience = Patience { request: SHORT, idle: 3 * SHORT, stall: LONG };
            let (mut socket, phase, mut client) = pair(patience).await;
            client.write_all(b"x").await.expect("written");
            socket.read_u8().await.expect("a request");
            let responding = phase.respond();
            assert!(tokio::time::timeout(5 * SHORT, socket.read_u8()).await.is_err(), "nothing is expected");
            drop(responding);
            let began = Instant::now();
            socket.read_u8().await.expect_err("idle for too long");
            assert!(began.elapsed() >= 2 * SHORT, "{:?}", began.elapsed());
        });
    }

    #[test]
    fn a_client_that_takes_nothing_is_dropped() {
        run(async {
            let patience = Patience { request: LONG, idle: LONG, stall: SHORT };
            let (mut socket, phase, _client) = pair(patience).await;
            let _responding = phase.respond();
            let error = loop {
                if let Err(error) = socket.write_all(&[0; 65536]).await {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn so_is_one_that_takes_next_to_nothing() {
        run(async {
            let patience = Patience { request: LONG, idle: LONG, stall: 3 * SHORT };
            let (mut socket, phase, mut client) = pair(patience).await;
            let _responding = phase.respond();
            let sipping = tokio::spawn(async move {
                let mut sip = [0; 64];
                while client.read(&mut sip).await.is_ok_and(|length| length > 0) {
                    tokio::time::sleep(SHORT / 10).await;
                }
            });
            let error = loop {
                if let Err(error) = socket.write_all(&[0; 65536]).await {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            drop(socket);
            sipping.abort();
        });
    }
}
