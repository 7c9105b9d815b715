//! Volumes' names in URLs: one path segment each, no two the same.
//!
//! A volume is called as its LV or its file is. Where two would be called the same, or as one of the server's own
//! resources, it gets its full name, as in `vg-vm1`, and where that does not help either, a number.

/// What the server's own resources are called.
const RESERVED: [&str; 3] = ["metrics", "index.json", "favicon.ico"];

/// Names for the volumes that the user calls so: `vg/vm1`, `/srv/images/vm1.img`.
pub fn unique(given: &[&str]) -> Vec<String> {
    let short: Vec<&str> = given.iter().map(|name| last_segment(name)).collect();
    let mut names: Vec<String> = Vec::new();
    for (name, short_name) in given.iter().zip(&short) {
        let is_alone = short.iter().filter(|other| *other == short_name).count() == 1;
        let full = segments(name).collect::<Vec<_>>().join("-");
        let plain = if is_alone { Some((*short_name).to_string()) } else { None };
        let numbered = (2u64..).map(|number| format!("{full}-{number}"));
        let is_free = |name: &String| !RESERVED.contains(&name.as_str()) && !names.contains(name);
        // One of ever higher numbers is free.
        names.extend(plain.into_iter().chain([full.clone()]).chain(numbered).find(is_free));
    }
    names
}

fn segments(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.split('/').filter(|segment| !segment.is_empty() && *segment != "." && *segment != "..")
}

fn last_segment(name: &str) -> &str {
    segments(name).next_back().unwrap_or("volume")
}

/// The name as it stands in a URL's path: RFC 3986, section 2.3, all but unreserved characters encoded.
pub fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A path's segment with its percent-encoding undone; `None` where that is broken, or not UTF-8.
pub fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_short_where_they_can_be() {
        assert_eq!(unique(&["vg/vm1", "/srv/disk.img", "disk2.img"]), ["vm1", "disk.img", "disk2.img"]);
        assert_eq!(unique(&["vg1/vm1", "vg2/vm1", "vg1/vm2"]), ["vg1-vm1", "vg2-vm1", "vm2"]);
        assert_eq!(unique(&["./a/x", "/a/x", "a-x"]), ["a-x", "a-x-2", "a-x-3"]);
        assert_eq!(unique(&["vg/metrics", "/"]), ["vg-metrics", "volume"]);
        assert_eq!(unique(&["metrics"]), ["metrics-2"]);
    }

    #[test]
    fn what_is_encoded_wrongly_is_no_name() {
        for wrong in ["%", "%1", "%zz", "a%f", "%ff", "%+1"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
        assert_eq!(decode("%2e%2E%2f%00").as_deref(), Some("../\0"));
    }

    proptest! {
        #[test]
        fn a_name_survives_its_url(name in ".{0,20}") {
            let encoded = encode(&name);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
            prop_assert_eq!(decode(&encoded), Some(name));
        }

        #[test]
        fn no_two_are_the_same(given in proptest::collection::vec("[ab/]{1,3}|metrics", 0..8)) {
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            let mut names = unique(&given);
            prop_assert_eq!(names.len(), given.len());
            prop_assert!(names.iter().all(|name| !name.contains('/') && !RESERVED.contains(&name.as_str())));
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), given.len());
        }
    }
}
