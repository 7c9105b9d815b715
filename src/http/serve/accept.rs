//! Runs a server: accepts connections until the run ends, and lets what is under way come to its end.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::tally::Refusal;
use super::{Server, Terms, Volume};
use crate::error::{Error, Result};
use crate::link::activation;
use crate::link::listen::Listener;
use crate::stop::Stop;

/// How long an end of the run may go unnoticed.
const NOTICE: Duration = Duration::from_millis(50);
/// Between two attempts where no connection can be accepted: no more descriptors, mostly.
const BREATH: Duration = Duration::from_millis(100);

/// How a server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Responses had their time to come to an end.
    InGoodOrder,
    /// A second signal was not to wait for them.
    AtOnce,
}

/// Serves volumes until the run ends. All that refers to the volumes is gone when this returns.
///
/// # Errors
/// When there are no threads or sockets for it.
pub fn serve(listener: Listener, volumes: Vec<Volume>, terms: &Terms, stop: &Stop) -> Result<Ended> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let server = Server::new(volumes, terms, processors);
    let runtime = runtime(processors).map_err(|e| Error::io("cannot start threads", "http", &e))?;
    let ended = runtime.block_on(run(server, listener.into_sockets(), terms.grace, stop));
    // Cuts what is left, and waits for the reads that are under way.
    drop(runtime);
    ended
}

fn runtime(processors: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(processors.max(2))
        // They read and compress: some wait for the disk while others work.
        .max_blocking_threads(2 * processors.max(2))
        .thread_name("http")
        .enable_all()
        .build()
}

async fn run(server: Arc<Server>, sockets: Vec<TcpListener>, grace: Duration, stop: &Stop) -> Result<Ended> {
    let (close, closing) = watch::channel(false);
    // Every connection has a copy; when all are gone, so are the connections.
    let (alive, mut gone) = mpsc::channel::<()>(1);
    let mut accepting = Vec::new();
    for socket in sockets {
        let failed = |e: &std::io::Error| Error::io("cannot listen", "socket", e);
        socket.set_nonblocking(true).map_err(|e| failed(&e))?;
        let socket = tokio::net::TcpListener::from_std(socket).map_err(|e| failed(&e))?;
        accepting.push(tokio::spawn(accept(server.clone(), socket, closing.clone(), alive.clone())));
    }
    drop(alive);
    activation::notify("READY=1\nSTATUS=serving");
    while !stop.is_set() {
        server.complaints.tick();
        sleep(NOTICE).await;
    }
    activation::notify("STOPPING=1");
    let again = another_signal()?;
    accepting.iter().for_each(tokio::task::JoinHandle::abort);
    // Fails where nobody listens, which is to say that nobody is connected.
    let _ = close.send(true);
    let hurried = async {
        while !again.load(Ordering::SeqCst) {
            sleep(NOTICE).await;
        }
    };
    tokio::select! {
        _ = timeout(grace, gone.recv()) => Ok(Ended::InGoodOrder),
        () = hurried => Ok(Ended::AtOnce),
    }
}

/// Whether a signal comes after the one that ended the run.
fn another_signal() -> Result<Arc<AtomicBool>> {
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, again.clone())
            .map_err(|e| Error::io("cannot watch for signals", "SIGINT and SIGTERM", &e))?;
    }
    Ok(again)
}

/// Accepts connections, as long as it is let.
async fn accept(
    server: Arc<Server>,
    socket: tokio::net::TcpListener,
    closing: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    loop {
        if server.gate.make_room().await {
            server.tally.refuse(Refusal::PushedOut);
        }
        let (stream, client) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                server.complaints.say(&format!("cannot accept a connection: {error}"));
                sleep(BREATH).await;
                continue;
            }
        };
        server.tally.connections.fetch_add(1, Ordering::Relaxed);
        // What is written is whole frames; a small one is what somebody waits for.
        let _ = stream.set_nodelay(true);
        let place = server.gate.enter();
        let number = place.number();
        let connection = Connection { server: server.clone(), client, place, closing: closing.clone() };
        let alive = alive.clone();
        let task = tokio::spawn(async move {
            connection.serve(stream).await;
            drop(alive);
        });
        server.gate.attach(number, task.abort_handle());
    }
}
