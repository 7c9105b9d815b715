//! What a server answers to a puller: batches, cut anywhere, and maps in both forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lvpipe::http::pull::multipart::{Event, Reader};
use lvpipe::http::volume_map::VolumeMap;
use lvpipe_fuzz::mend_map;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says into how long pieces the rest is cut.
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let whole = read(bytes, bytes.len());
    assert_eq!(read(bytes, usize::from(*cut)), whole, "it matters where it is cut");
    for bytes in [bytes.to_vec(), mend_map(bytes)] {
        for map in [VolumeMap::read_compact(&bytes[..]), VolumeMap::read_json(&bytes[..])].into_iter().flatten() {
            let mut again = Vec::new();
            map.write_compact(&mut again).expect("memory");
            assert_eq!(VolumeMap::read_compact(&again[..]).expect("what is written can be read"), map);
        }
    }
});

/// The heads and how many bytes came for each; and how it ended.
fn read(bytes: &[u8], length: usize) -> (Vec<(String, usize)>, String) {
    let mut reader = Reader::new("b");
    let mut parts: Vec<(String, usize)> = Vec::new();
    for mut input in bytes.chunks(length.max(1)) {
        loop {
            match reader.next(&mut input) {
                Ok(Some(Event::Part(head))) => parts.push((format!("{head:?}"), 0)),
                Ok(Some(Event::Data(data))) => parts.last_mut().expect("a part before its data").1 += data.len(),
                Ok(Some(Event::End)) => {}
                Ok(None) => break,
                Err(error) => return (parts, error.to_string()),
            }
        }
    }
    (parts, format!("{}", reader.is_at_end()))
}
