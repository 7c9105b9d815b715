//! What a stream is when it is not lvpipe's: the mistakes people make at a pipe's end.

/// Known beginnings, with what they are called.
const BEGINNINGS: [(usize, &[u8], &str); 11] = [
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"\x28\xb5\x2f\xfd", "zstd data"),
    (0, b"\xfd7zXZ\0", "xz data"),
    (0, b"BZh", "bzip2 data"),
    (0, b"\x04\x22\x4d\x18", "lz4 data"),
    (0, b"QFI\xfb", "a qcow2 image"),
    (8, b"\xac\xcb\xba\xf5\x02\0\0\0", "a zfs send stream"),
    (8, b"\0\0\0\x02\xf5\xba\xcb\xac", "a zfs send stream"),
    (0, b"btrfs-stream", "a btrfs send stream"),
    (257, b"ustar", "a tar archive"),
    (1080, b"\x53\xef", "an ext2/3/4 file system"),
];

/// How many first bytes [`looks_like`] wants to see.
pub const SAMPLE: usize = 2048;

/// What these first bytes of a stream are known from.
pub fn looks_like(beginning: &[u8]) -> Option<&'static str> {
    BEGINNINGS
        .iter()
        .find(|(offset, magic, _)| beginning.get(*offset..).is_some_and(|rest| rest.starts_with(magic)))
        .map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_streams_are_named() {
        assert_eq!(looks_like(b"\x1f\x8b\x08\0"), Some("gzip data"));
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(looks_like(&tar), Some("a tar archive"));
        assert_eq!(looks_like(b"hello"), None);
        assert_eq!(looks_like(b""), None);
    }
}
