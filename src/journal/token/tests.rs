use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn about(volume_size: Option<u64>) -> About {
    About {
        id: *b"0123456789abcdef",
        volume_size,
        part_size: PartSize::default(),
        digest: DigestKind::Sha256,
        lineage: Lineage {
            source: Some("vg/vm1".into()),
            host: Some("h".into()),
            time: Some(1),
            ..Lineage::default()
        },
        target: "lv x".into(),
    }
}

fn token(volume_size: Option<u64>, extents: &[(u64, u64)]) -> Token {
    let About { id, part_size, digest, lineage, .. } = about(volume_size);
    Token { id, volume_size, part_size, digest, lineage: cut(&lineage), extents: extents.to_vec() }
}

/// Byte for byte: a token outlives the version that printed it.
#[test]
fn a_token_is_what_it_was() {
    let token = token(Some(10 * MIB + 5), &[(0, 2 * MIB), (4 * MIB, 6 * MIB + 5)]);
    let text = "lvr1-MDEyMzQ1Njc4OWFiY2RlZgUAoAAAAAAAFAEGdmcvdm0xAAFoAgAAAgIHyIcnmg";
    assert_eq!(token.to_string(), text);
    assert_eq!(text.parse(), Ok(token.clone()));
    assert_eq!(format!(" {text}\n").parse(), Ok(token));
}

#[test]
fn it_is_made_of_whole_parts_of_what_is_held() {
    let size = 5 * MIB + 7;
    let extents = [(0, MIB - 1), (MIB + 1, 2 * MIB), (4 * MIB - 9, MIB + 9 + MIB / 2), (5 * MIB, 7)];
    let whole = |size| whole_parts(&extents, size, PartSize::default());
    assert_eq!(whole(Some(size)), [(2 * MIB, MIB), (4 * MIB, MIB), (5 * MIB, 7)]);
    assert_eq!(whole(None), [(2 * MIB, MIB), (4 * MIB, MIB)]);
}

#[test]
fn of_many_extents_the_largest_stay_in_order() {
    let extents: Vec<_> = (0..1000).map(|n| (n * 100 * MIB, (1 + n * 7919 % 97) * MIB)).collect();
    let largest = largest(extents.clone());
    assert_eq!(largest.len(), MOST_EXTENTS);
    assert!(largest.is_sorted());
    let smallest = largest.iter().map(|(_, length)| *length).min().expect("some");
    let left_out = extents.iter().filter(|extent| !largest.contains(extent));
    assert!(left_out.clone().all(|(_, length)| *length <= smallest));
    assert!(token(None, &largest).to_string().len() < 2000);
}

/// One character wrong, missing, doubled, or two exchanged.
#[test]
fn a_mistyped_token_is_seen() {
    let right = token(Some(50 * MIB), &[(0, 20 * MIB), (30 * MIB, MIB)]).to_string();
    let characters: Vec<char> = right.chars().collect();
    let mut wrong = Vec::new();
    for at in 0..characters.len() {
        for other in ['A', 'b', '7', '-', '_', ' ', 'é'] {
            wrong.push([&characters[..at], &[other], &characters[at + 1..]].concat());
        }
        wrong.push([&characters[..at], &characters[at + 1..]].concat());
        wrong.push([&characters[..at], &[characters[at]], &characters[at..]].concat());
        let mut exchanged = characters.clone();
        exchanged.swap(at, (at + 1).min(characters.len() - 1));
        wrong.push(exchanged);
    }
    for wrong in wrong.into_iter().filter(|wrong| *wrong != characters) {
        let text: String = wrong.into_iter().collect();
        assert!(text.parse::<Token>().is_err(), "{text}");
    }
    let said = |text: &str| text.parse::<Token>().expect_err("it is none");
    assert!(said("lvr2-AAAA").contains("another version"));
    assert!(said("vg/vm1").contains("no resume token"));
    assert!(said(&right[..40]).contains("mistyped or not whole"));
}

#[test]
fn what_no_receiver_writes_is_refused_though_the_checksum_fits() {
    let sealed = |mut bytes: Vec<u8>| {
        let crc = checksum(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        format!("{PREFIX}{}", base64url::encode(&bytes)).parse::<Token>()
    };
    let whole = token(Some(10 * MIB), &[(0, MIB)]).encode();
    let body = &whole[..whole.len() - 4];
    assert!(sealed(body.to_vec()).is_ok());
    for length in 0..body.len() {
        assert!(sealed(body[..length].to_vec()).is_err(), "{length} bytes");
    }
    assert!(sealed([body, &[0]].concat()).is_err(), "more than there is");
    for (extents, why) in [
        (&[1, 0, 0, 0][..], "an empty extent"),
        (&[1, 0, 0, 11], "beyond the volume"),
        (&[1, 0, 11, 1], "behind the volume"),
        (&[1, 1, 0, 1], "more extents than a token has"),
        (&[1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1], "an offset that overflows"),
    ] {
        assert!(sealed([&body[..body.len() - 4], extents].concat()).is_err(), "{why}");
    }
}

#[test]
fn another_source_is_refused() {
    let token = token(Some(10 * MIB), &[]);
    token.check(&about(None).lineage, Some(10 * MIB)).expect("it is the same");
    let other = Lineage { source: Some("vg/vm2".into()), ..about(None).lineage };
    let said = token.check(&other, Some(10 * MIB)).expect_err("another").to_string();
    assert!(said.contains("vg/vm2: the token is of vg/vm1 on h, this is vg/vm2 on h\n  without"), "{said}");
    let said = token.check(&about(None).lineage, None).expect_err("another").to_string();
    assert!(said.contains("had 10485760 bytes then, it has an unknown number of bytes now"), "{said}");
    // A name that does not fit is compared as far as it fits.
    let long = Lineage { source: Some("é".repeat(200)), ..Lineage::default() };
    Token { lineage: cut(&long), ..token }.check(&long, Some(10 * MIB)).expect("it is the same");
}

proptest! {
    #[test]
    fn a_token_survives(
        names in proptest::collection::vec(proptest::option::of(".{1,90}"), 3),
        runs in proptest::collection::vec((1u64..1 << 34, 1u64..1 << 20), 0..300),
        exponent in 16u32..=26,
        rest in 0u64..100,
    ) {
        let part_size = PartSize::new(1 << exponent).expect("a power of two");
        let part = 1u64 << exponent;
        let mut end = 0u64;
        let mut extents = Vec::new();
        for (between, parts) in runs.into_iter().map(|(between, parts)| (between * part, parts * part)) {
            let Some(next) = end.checked_add(between + parts).filter(|end| *end < 1 << 62) else { break };
            extents.push((end + between, parts));
            end = next;
        }
        let lineage = Lineage {
            source: names[0].clone(),
            uuid: names[1].clone(),
            host: names[2].clone(),
            ..Lineage::default()
        };
        let about = About { part_size, lineage, ..about(Some(end + rest)) };
        let extents = largest(whole_parts(&extents, about.volume_size, part_size));
        let token = Token { part_size, lineage: cut(&about.lineage), extents, ..token(about.volume_size, &[]) };
        prop_assert_eq!(token.to_string().parse(), Ok(token));
    }

    #[test]
    fn no_text_panics(text in ".{0,60}", bytes: Vec<u8>) {
        let _ = text.parse::<Token>();
        let _ = format!("lvr1-{text}").parse::<Token>();
        let _ = Token::decode(&bytes);
    }
}
