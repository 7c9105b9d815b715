//! A journal, whatever a crash or a disk made of it. What is held lies on the volume, in order, apart.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lvpipe_fuzz::mend_journal;

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), mend_journal(bytes)] {
        let Some((about, extents)) = lvpipe::journal::parse(&bytes) else { continue };
        let size = about.volume_size.unwrap_or(i64::MAX as u64);
        let mut least = 0;
        for (offset, length) in extents {
            assert!(offset >= least && length > 0, "{offset}, {length} after {least}");
            least = offset + length;
        }
        assert!(least <= size, "{least} of {size}");
    }
});
