//! Telling a link that it is not wanted.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::error::Status;
use crate::link::Link;
use crate::wire::Answer;

/// How long the other side may take to hear it.
const LIMIT: Duration = Duration::from_secs(2);

/// Answers a link with what this side's exit status is, or would be, and why; then hangs up. Takes two seconds at
/// most, and does its best only: who does not listen is not told.
pub fn refuse(link: Link, status: Status, reason: &str) {
    let Link { mut reader, mut writer, hang_up, .. } = link;
    let answer = Answer::Failed { status, reason: reason.into() }.encode();
    let (done, over) = bounded::<()>(0);
    let telling = thread::Builder::new().name("refusal".into()).spawn(move || {
        if writer.write_all(&answer).and_then(|()| writer.flush()).is_ok() {
            // What has come and is not read would make the system reset the connection, and the answer be lost.
            let _ = io::copy(&mut reader, &mut io::sink());
        }
        drop(done);
    });
    if telling.is_ok() {
        // Disconnected as soon as the other side has closed its end.
        let _ = over.recv_timeout(LIMIT);
    }
    hang_up.hang_up();
}
