//! One error for the whole program: what failed, on what, why, the way out, and the exit status.
//!
//! Rooms that others match on have an enum of their own (`wire::WireError`, `thin::ThinError`) and convert into
//! this one at their edge, where the device, file or peer is known. Only `main` prints and exits.

use std::fmt;
use std::io;

/// The result of everything that can end a run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run ended, as far as the exit status tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// An I/O operation failed: exit status 1.
    Io,
    /// The command line asks for something that cannot be: 2.
    Usage,
    /// The stream is truncated, corrupt, or not lvpipe's: 3.
    Stream,
    /// A guard refused the source or the target before anything was written: 4.
    Guard,
    /// The peer refused, or could not prove who it is: 5.
    Peer,
    /// A signal ended the run: 128 + its number.
    Signal(i32),
}

impl Status {
    /// The process's exit status, 1 to 255.
    pub fn code(self) -> u8 {
        match self {
            Status::Io => 1,
            Status::Usage => 2,
            Status::Stream => 3,
            Status::Guard => 4,
            Status::Peer => 5,
            // Signal numbers end at 64, so the sum stays below 255.
            Status::Signal(number) => 128u8.saturating_add(u8::try_from(number).unwrap_or(127)),
        }
    }

    /// From another process's exit status; what is none of lvpipe's is a failed operation.
    pub fn from_code(code: u8) -> Self {
        match code {
            2 => Status::Usage,
            3 => Status::Stream,
            4 => Status::Guard,
            5 => Status::Peer,
            129..=192 => Status::Signal(i32::from(code) - 128),
            _ => Status::Io,
        }
    }
}

/// What failed, on what, why; and what the user can do about it.
///
/// Printed as `what: on: why`, with the way out on a second line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: Status,
    what: String,
    on: String,
    why: String,
    way_out: Option<String>,
    told: bool,
}

impl Error {
    /// An error of any status. `what` is the operation ("cannot open source"), `on` the thing it was done to.
    pub fn new(status: Status, what: impl Into<String>, on: impl fmt::Display, why: impl fmt::Display) -> Self {
        Error { status, what: what.into(), on: on.to_string(), why: why.to_string(), way_out: None, told: false }
    }

    /// A failed system call or command.
    pub fn io(what: impl Into<String>, on: impl fmt::Display, why: &io::Error) -> Self {
        Error::new(Status::Io, what, on, plain_reason(why))
    }

    /// A command line that cannot be carried out.
    pub fn usage(what: impl Into<String>, on: impl fmt::Display, why: impl fmt::Display) -> Self {
        Error::new(Status::Usage, what, on, why)
    }

    /// A stream that is truncated, corrupt or foreign.
    pub fn stream(what: impl Into<String>, on: impl fmt::Display, why: impl fmt::Display) -> Self {
        Error::new(Status::Stream, what, on, why)
    }

    /// A refusal before the first byte is written.
    pub fn guard(what: impl Into<String>, on: impl fmt::Display, why: impl fmt::Display) -> Self {
        Error::new(Status::Guard, what, on, why)
    }

    /// The run was ended by this signal.
    pub fn signal(number: i32) -> Self {
        let name = signal_hook::low_level::signal_name(number).unwrap_or("a signal");
        Error::new(Status::Signal(number), "ended", name, "")
    }

    /// Adds the way out, printed on a second line.
    #[must_use]
    pub fn way_out(mut self, way_out: impl Into<String>) -> Self {
        self.way_out = Some(way_out.into());
        self
    }

    /// Adds what became of something else because of it, on a line of its own.
    #[must_use]
    pub fn also(mut self, line: impl Into<String>) -> Self {
        let line = line.into();
        self.way_out = Some(match self.way_out {
            Some(way_out) => format!("{way_out}\n  {line}"),
            None => line,
        });
        self
    }

    /// The user reads it elsewhere, in the words of the program that is told of it: it is not to be printed here.
    #[must_use]
    pub fn told_elsewhere(mut self) -> Self {
        self.told = true;
        self
    }

    /// Whether the user reads it elsewhere.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The exit status this error stands for.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What the operation was done to.
    pub fn on(&self) -> &str {
        &self.on
    }

    /// The reason alone, for a message that names the operation itself.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for piece in [&self.on, &self.why] {
            if !piece.is_empty() {
                write!(f, ": {piece}")?;
            }
        }
        if let Some(way_out) = &self.way_out {
            write!(f, "\n  {way_out}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The system's own words, without Rust's "(os error N)".
pub(crate) fn plain_reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_those_of_the_manual() {
        let rows = [
            (Status::Io, 1),
            (Status::Usage, 2),
            (Status::Stream, 3),
            (Status::Guard, 4),
            (Status::Peer, 5),
            (Status::Signal(2), 130),
            (Status::Signal(15), 143),
        ];
        for (status, code) in rows {
            assert_eq!(status.code(), code);
            assert_eq!(Status::from_code(code), status);
        }
    }

    #[test]
    fn message_says_what_on_what_why_and_the_way_out() {
        let error = Error::guard("target refused", "/dev/vg/a", "it is mounted on /srv").way_out("umount /srv");
        assert_eq!(error.to_string(), "target refused: /dev/vg/a: it is mounted on /srv\n  umount /srv");
        let os = Error::io("cannot open source", "x", &io::Error::from_raw_os_error(2));
        assert_eq!(os.to_string(), "cannot open source: x: No such file or directory");
    }
}
