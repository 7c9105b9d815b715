//! Where a key comes from: a file, the environment, a question on the terminal; never the command line.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::key::Key;
use crate::command::KEY_VARIABLE;
use crate::error::{Error, Result};
use crate::stop::{Interruptible, Stop};

/// The environment variable that may hold the key.
pub const VARIABLE: &str = KEY_VARIABLE;

/// The longest line that is read: a key is far shorter, and whatever else it is need not be read whole.
const LONGEST: u64 = 4096;

/// Where this side's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// `--key-file`.
    File(PathBuf),
    /// [`VARIABLE`].
    Environment,
    /// Nowhere yet: the sender asks on the terminal, the receiver makes one.
    Nowhere,
}

/// A receiver's key, and what is to be done about it.
#[derive(Debug)]
pub enum ReceiverKey {
    /// The sender's user knows where to find it.
    Known(Key),
    /// Made for this run; it must be shown to whoever starts the sender.
    New(Key),
    /// Made for this run, and written to the file that was named.
    Written(Key),
}

impl KeySource {
    /// The file if one is named, else the environment if it has the variable.
    pub fn find(file: Option<PathBuf>) -> Self {
        match file {
            Some(path) => KeySource::File(path),
            None if env::var_os(VARIABLE).is_some_and(|value| !value.is_empty()) => KeySource::Environment,
            None => KeySource::Nowhere,
        }
    }

    /// The key as the sender gets it: read, or asked for.
    ///
    /// # Errors
    /// A usage error when there is none, when it has a typo, or when others can read its file; what ended the run
    /// while it was asked for.
    pub fn for_sender(&self, stop: &Stop) -> Result<Key> {
        match self {
            KeySource::File(path) => read_file(path),
            KeySource::Environment => read_environment(),
            KeySource::Nowhere => ask(stop),
        }
    }

    /// The key as the receiver gets it: read, or made, and written where a file was named that is not there.
    ///
    /// # Errors
    /// As [`KeySource::for_sender`]; and when the file cannot be written.
    pub fn for_receiver(&self) -> Result<ReceiverKey> {
        match self {
            KeySource::File(path) if path.exists() => read_file(path).map(ReceiverKey::Known),
            KeySource::File(path) => {
                let key = Key::generate()?;
                write_file(path, &key)?;
                Ok(ReceiverKey::Written(key))
            }
            KeySource::Environment => read_environment().map(ReceiverKey::Known),
            KeySource::Nowhere => Key::generate().map(ReceiverKey::New),
        }
    }
}

impl ReceiverKey {
    /// The key itself.
    pub fn key(&self) -> &Key {
        match self {
            ReceiverKey::Known(key) | ReceiverKey::New(key) | ReceiverKey::Written(key) => key,
        }
    }
}

fn parse(text: &str, on: impl std::fmt::Display) -> Result<Key> {
    let key = text.parse::<Key>();
    key.map_err(|why| {
        Error::usage("cannot read the key", on, why).way_out("take it as the receiver has printed it")
    })
}

fn read_environment() -> Result<Key> {
    let text = env::var(VARIABLE).map(Zeroizing::new);
    parse(&text.map_err(|e| Error::usage("cannot read the key", VARIABLE, e))?, VARIABLE)
}

fn read_file(path: &Path) -> Result<Key> {
    let shown = path.display();
    let failed = |e: &io::Error| Error::io("cannot read the key", path.display(), e);
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let metadata = file.metadata().map_err(|e| failed(&e))?;
    // As ssh does it: a file of one's own must be one's own; what another user, or the system, has handed out is
    // theirs to guard. A pipe has no readers but those who were given it.
    let own = metadata.uid() == nix::unistd::geteuid().as_raw();
    if metadata.is_file() && own && metadata.mode() & 0o077 != 0 {
        let why = format!("others may read it: its mode is {:04o}", metadata.mode() & 0o7777);
        return Err(Error::usage("cannot use the key", shown, why).way_out(format!("chmod 600 {}", path.display())));
    }
    let mut text = Zeroizing::new(String::with_capacity(256));
    let read = Read::by_ref(&mut file).take(LONGEST).read_to_string(&mut text);
    match read {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => parse("", shown),
        Err(e) => Err(failed(&e)),
        Ok(_) => parse(&text, shown),
    }
}

fn write_file(path: &Path, key: &Key) -> Result<()> {
    let failed = |e: &io::Error| Error::io("cannot write the key", path.display(), e);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| failed(&e))?;
    let mut text = key.text();
    text.push('\n');
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| {
        // Half a key is of no use, and would be taken for one the next time.
        let _ = fs::remove_file(path);
        failed(&e)
    })
}

fn ask(stop: &Stop) -> Result<Key> {
    let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        Error::usage("no key", "--key-file", "it is not given, and there is no terminal to ask on")
            .way_out(format!("give the receiver's key with --key-file FILE, or in {VARIABLE}"))
    })?;
    ask_on(&tty, stop)
}

/// Asks on this terminal, without echo.
fn ask_on(tty: &File, stop: &Stop) -> Result<Key> {
    let failed = |e: &io::Error| Error::io("cannot ask for the key", "/dev/tty", e);
    let quiet = Quiet::new(tty).map_err(|e| failed(&e))?;
    (&mut &*tty).write_all(b"The receiver's key: ").map_err(|e| failed(&e))?;
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    while !line.ends_with(b"\n") && (line.len() as u64) < LONGEST {
        let mut byte = [0];
        match Interruptible::new(tty, stop).read(&mut byte) {
            Ok(0) => break,
            Ok(_) => line.push(byte[0]),
            Err(e) => {
                stop.check()?;
                return Err(failed(&e));
            }
        }
    }
    drop(quiet);
    let _ = (&mut &*tty).write_all(b"\n");
    parse(std::str::from_utf8(&line).unwrap_or_default(), "what was typed")
}

/// A terminal that does not echo; it does again when this is dropped.
struct Quiet<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(tty: &'a File) -> io::Result<Self> {
        let before = tcgetattr(tty)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        // What was typed ahead is not the answer, and has been seen.
        tcsetattr(tty, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Quiet { tty, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, SetArg::TCSANOW, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use std::os::unix::fs::PermissionsExt;

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        (directory, path)
    }

    #[test]
    fn the_receiver_writes_a_key_once_and_the_sender_reads_it() {
        let (_directory, path) = scratch();
        let source = KeySource::find(Some(path.clone()));
        let made = source.for_receiver().expect("a new file");
        assert!(matches!(made, ReceiverKey::Written(_)));
        assert_eq!(fs::metadata(&path).expect("written").mode() & 0o7777, 0o600);
        let again = source.for_receiver().expect("it is there");
        assert!(matches!(&again, ReceiverKey::Known(key) if key == made.key()));
        assert_eq!(&source.for_sender(&Stop::new()).expect("it is there"), made.key());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let (_directory, path) = scratch();
        let source = KeySource::File(path.clone());
        source.for_receiver().expect("a new file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("own file");
        let error = source.for_sender(&Stop::new()).expect_err("others may read it");
        assert_eq!(error.status(), Status::Usage);
        assert!(error.to_string().contains("0640") && error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_with_something_else_is_a_usage_error() {
        let (_directory, path) = scratch();
        for bytes in [&b"hunter2"[..], b"\xff\xfe", b"", &[b'a'; 100_000]] {
            fs::write(&path, bytes).expect("own file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("own file");
            let error = KeySource::File(path.clone()).for_sender(&Stop::new()).expect_err("no key");
            assert_eq!(error.status(), Status::Usage);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    fn terminal() -> (File, File) {
        let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
        (File::from(pty.master), File::from(pty.slave))
    }

    #[test]
    fn a_key_is_asked_for_without_echo() {
        let (mut user, tty) = terminal();
        let key = Key::generate().expect("random numbers");
        let typed = format!("{key}\n");
        let asking = std::thread::spawn(move || {
            let answer = ask_on(&tty, &Stop::new());
            let echoes = tcgetattr(&tty).expect("a terminal").local_flags.contains(LocalFlags::ECHO);
            (answer, echoes, tty)
        });
        let mut shown = vec![0; 20];
        user.read_exact(&mut shown).expect("the question");
        assert_eq!(shown, b"The receiver's key: ");
        user.write_all(typed.as_bytes()).expect("it is read");
        let (answer, echoes, _tty) = asking.join().expect("no panic");
        assert_eq!(answer.expect("a key"), key);
        assert!(echoes, "as it was before");
        let mut rest = [0; 64];
        let length = user.read(&mut rest).expect("a line end");
        assert_eq!(&rest[..length], b"\r\n");
    }

    #[test]
    fn asking_ends_with_the_run_and_the_terminal_echoes_again() {
        let (_user, tty) = terminal();
        let stop = Stop::new();
        stop.fail(Error::signal(2));
        assert_eq!(ask_on(&tty, &stop), Err(Error::signal(2)));
        assert!(tcgetattr(&tty).expect("a terminal").local_flags.contains(LocalFlags::ECHO));
    }
}
