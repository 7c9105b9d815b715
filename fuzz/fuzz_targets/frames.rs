//! Frames after a good prelude, as a receiver reads them up to the decompressed part. The first byte of the input
//! chooses the kind of stream. What is believed fits into a part.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use lvpipe::wire::{
    Codec, Decoder, DigestKind, End, FrameHeader, FrameKind, Lineage, PartSize, Prelude, WireError,
};
use lvpipe_fuzz::mend_frames;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let prelude = Prelude {
        transfer: [1; 16],
        link: 0,
        links: 1,
        part_size: PartSize::new(PartSize::MIN).expect("the least"),
        volume_size: (choice & 1 == 0).then_some(PartSize::MIN * 5 / 2),
        used: None,
        digest: DigestKind::None,
        answers: choice & 2 != 0,
        resumes: choice & 4 != 0,
        lineage: Lineage { base: (choice & 8 != 0).then(|| "base:1".into()), ..Lineage::default() },
    };
    for bytes in [bytes.to_vec(), mend_frames(bytes)] {
        let mut from = &bytes[..];
        while let Ok(header) = FrameHeader::read(&mut from, &prelude) {
            if frame(&header, &prelude, &mut from).is_err() {
                break;
            }
        }
    }
});

fn frame(header: &FrameHeader, prelude: &Prelude, from: &mut impl Read) -> Result<(), WireError> {
    assert_eq!(FrameHeader::decode(&header.encode(), prelude).expect("what is written can be read"), *header);
    match header.kind {
        FrameKind::Part | FrameKind::Held => {
            let segments = header.read_segments(from, prelude)?;
            assert_eq!((segments.length(), segments.data()), (header.length, header.raw.into()));
            let mut payload = vec![0; prelude.part_size.bytes()];
            header.read_payload(from, &mut payload)?;
            let payload = &payload[..header.payload as usize];
            header.check_payload(payload)?;
            if header.codec == Codec::Zstd {
                Decoder::new()?.decode(payload, &mut vec![0; header.raw as usize])?;
            }
            Ok(())
        }
        FrameKind::End => End::read(header, from).map(drop),
        FrameKind::Abort => header.read_reason(from).map(drop),
        FrameKind::Hole | FrameKind::Alive | FrameKind::Kept => Ok(()),
    }
}
