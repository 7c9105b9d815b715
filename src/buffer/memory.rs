//! The buffer's memory: anonymous pages, or a mapped file for buffers larger than the machine's memory.
//!
//! Nothing is touched here: pages come into being as the buffer fills. The mapping goes away with the [`Memory`].

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memmap2::{MmapMut, MmapOptions, MmapRaw};

use super::log::Log;
use super::{Fatal, reason};

/// Bytes in a huge page on the processors where giving pages away was found to be worth it.
pub const HUGE_PAGE: usize = 2 << 20;

/// Whether the system makes huge pages of anonymous memory for those who ask for them.
fn has_huge_pages() -> bool {
    let read = |name| std::fs::read_to_string(Path::new("/sys/kernel/mm/transparent_hugepage").join(name));
    let enabled = read("enabled").is_ok_and(|text| !text.contains("[never]"));
    enabled && read("hpage_pmd_size").is_ok_and(|text| text.trim().parse() == Ok(HUGE_PAGE))
}

/// Where the buffer lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// In memory.
    #[default]
    Anonymous,
    /// `-t`: in a new file in `$TMPDIR` or `/var/tmp`.
    TempFile,
    /// `-T`: in this file, which is made for it; one below `/dev` must be there, and is used as it is.
    File(PathBuf),
}

/// Bytes that the reader and the outputs share; who may touch which is the ring's business.
pub struct Memory {
    map: MmapRaw,
    can_give: bool,
}

impl Memory {
    /// Maps `bytes` bytes; where a temporary file is used its name is said.
    pub fn new(place: &Place, bytes: u64, log: &Log) -> Result<Self, Fatal> {
        let refused = |error: &io::Error| {
            Fatal::new(format!("Could not allocate enough memory ({bytes} requested): {}", reason(error)))
        };
        let len = usize::try_from(bytes).ok().filter(|len| isize::try_from(*len).is_ok());
        let len = len.ok_or_else(|| refused(&io::Error::from_raw_os_error(libc::ENOMEM)))?;
        let map = match place {
            Place::Anonymous => {
                let map = MmapMut::map_anon(len).map_err(|error| refused(&error))?;
                // Fewer page faults and TLB misses where the system has huge pages to give; no harm where it has not.
                let _ = map.advise(memmap2::Advice::HugePage);
                MmapRaw::from(map)
            }
            Place::TempFile => map_file(&temp_file(log)?, bytes, len)?,
            Place::File(path) => map_file(&buffer_file(path)?, bytes, len)?,
        };
        let aligned = (map.as_mut_ptr() as usize).is_multiple_of(HUGE_PAGE);
        Ok(Memory { map, can_give: matches!(place, Place::Anonymous) && aligned && has_huge_pages() })
    }

    /// Keeps the pages from being swapped out (`-L`); this touches all of them.
    pub fn lock(&mut self) -> io::Result<()> {
        // Locked pages cannot be given up.
        self.keep();
        self.map.lock()
    }

    /// No pages are given away.
    pub fn keep(&mut self) {
        self.can_give = false;
    }

    /// Whether pages can be given away at little cost: private memory in huge pages, of which one comes as fast as a
    /// small one.
    pub fn can_give(&self) -> bool {
        self.can_give
    }

    /// Gives up the pages of this range, for others may refer to them, and gets fresh ones in their place. False: the
    /// pages are still the old ones.
    ///
    /// The bytes change, so nobody may hold a slice of them.
    pub fn renew(&self, offset: usize, len: usize) -> bool {
        debug_assert!(offset + len <= self.len(), "it lies inside the mapping");
        let start = self.start().wrapping_add(offset).cast();
        // SAFETY: the range lies inside the mapping, which is private and anonymous and stays mapped; by the contract
        // above no slice of it exists.
        let renewed = unsafe { libc::madvise(start, len, libc::MADV_DONTNEED) } == 0;
        if renewed {
            // Here and now, rather than in the reader's system call, where it would hold the lock of the input's pipe
            // meanwhile. Kernels before 5.14 cannot, and do it there.
            // SAFETY: as above; this changes no byte.
            let _ = unsafe { libc::madvise(start, len, libc::MADV_POPULATE_WRITE) };
        }
        renewed
    }

    /// Where the bytes begin; aligned to a page.
    pub fn start(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.map.len() == 0
    }
}

/// A file without a name: gone when the process is, however it ends.
fn temp_file(log: &Log) -> Result<File, Fatal> {
    let directory = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let template = directory.join("mbuffer-XXXXXX");
    let failed = |error: &io::Error| {
        Fatal::new(format!("could not create temporary file ({}): {}", template.display(), reason(error)))
    };
    let mut name = CString::new(template.as_os_str().as_bytes())
        .map_err(|_| failed(&io::Error::from_raw_os_error(libc::EINVAL)))?
        .into_bytes_with_nul();
    // SAFETY: `name` is a writable, NUL-terminated string that ends in XXXXXX, as mkostemp(3) wants it.
    let fd = unsafe { libc::mkostemp(name.as_mut_ptr().cast(), libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(failed(&io::Error::last_os_error()));
    }
    // SAFETY: mkostemp has just opened `fd`, nobody else owns it.
    let file = unsafe { File::from_raw_fd(fd) };
    name.pop();
    let path = Path::new(std::ffi::OsStr::from_bytes(&name));
    log.info(&format!("tmpfile is {}", path.display()));
    std::fs::remove_file(path).map_err(|error| failed(&error))?;
    Ok(file)
}

fn buffer_file(path: &Path) -> Result<File, Fatal> {
    let device = path.starts_with("/dev");
    let failed = |error: io::Error| {
        Fatal::new(format!("could not create temporary file ({}): {}", path.display(), reason(&error)))
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if !device {
        options.create_new(true);
    }
    let file = options.open(path).map_err(failed)?;
    if !device {
        std::fs::remove_file(path).map_err(failed)?;
    }
    Ok(file)
}

/// Maps a file after its space is reserved: a disk that fills up later would be a SIGBUS.
fn map_file(file: &File, bytes: u64, len: usize) -> Result<MmapRaw, Fatal> {
    let failed = |error: &io::Error| Fatal::new(format!("could not resize temporary file: {}", reason(error)));
    let kind = file.metadata().map_err(|error| failed(&error))?.file_type();
    if kind.is_file() {
        file.set_len(bytes).map_err(|error| failed(&error))?;
        // SAFETY: a plain system call on a file that is open for writing.
        let refused = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes as libc::off_t) } != 0;
        let error = io::Error::last_os_error();
        // Some file systems cannot reserve; there the file stays sparse, as mbuffer's does.
        if refused && error.raw_os_error() != Some(libc::EOPNOTSUPP) {
            return Err(failed(&error));
        }
    }
    let map = MmapOptions::new().len(len).map_raw(file);
    map.map_err(|error| Fatal::new(format!("could not map buffer-file to memory: {}", reason(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_file_leaves_no_name_and_an_existing_one_is_not_touched() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("buffer");
        let memory = Memory::new(&Place::File(path.clone()), 1 << 20, &Log::new("mbuffer")).expect("a mapping");
        assert_eq!(memory.len(), 1 << 20);
        assert!(!path.exists());
        std::fs::write(&path, "mine").expect("a file");
        let refused = Memory::new(&Place::File(path.clone()), 1 << 20, &Log::new("mbuffer"))
            .err()
            .expect("an existing file is refused");
        assert!(refused.to_string().starts_with("could not create temporary file ("), "{refused}");
        assert_eq!(std::fs::read(&path).expect("a file"), b"mine");
    }

    #[test]
    fn what_the_machine_does_not_have_is_refused_with_its_size() {
        let refused =
            Memory::new(&Place::Anonymous, 1 << 60, &Log::new("mbuffer")).err().expect("no machine has so much");
        let expected = "Could not allocate enough memory (1152921504606846976 requested): Cannot allocate memory";
        assert_eq!(refused.to_string(), expected);
    }
}
