//! Conditional requests, by RFC 9110, section 13: `If-Match`, `If-None-Match`, `If-Range`.
//!
//! All of the server's entity tags are strong, and there are no modification dates: what asks for one is passed over
//! or, in `If-Range`, does not match.

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE};

/// How a request goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As if there were no condition.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: it is another one.
    Failed,
}

/// What the conditions of a GET or HEAD come to. `tags` are those of the resource as it would be sent; the first one
/// is its own. A puller names the tag of the volume with whatever it asks for, so that for a volume's parts and its
/// map the volume's tag is one as well.
pub fn judge(headers: &HeaderMap, tags: &[&str]) -> Verdict {
    let listed = |name: &HeaderName| -> Option<bool> {
        let mut values = headers.get_all(name).iter().peekable();
        values.peek()?;
        Some(values.any(|value| value.to_str().is_ok_and(|value| lists(value, tags, name == IF_NONE_MATCH))))
    };
    if listed(&IF_MATCH) == Some(false) {
        return Verdict::Failed;
    }
    if listed(&IF_NONE_MATCH) == Some(true) { Verdict::NotModified } else { Verdict::Proceed }
}

/// Whether the `Range` field counts: there is no `If-Range`, or it has this very tag.
pub fn range_counts(headers: &HeaderMap, tag: &str) -> bool {
    headers.get(IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes())
}

/// Whether a list of tags has one of these, or is `*`. With `weakly`, a weak tag is as good as a strong one.
fn lists(mut list: &str, tags: &[&str], weakly: bool) -> bool {
    if list.trim() == "*" {
        return true;
    }
    loop {
        list = list.trim_start_matches([' ', '\t', ',']);
        let (is_weak, rest) = match list.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, list),
        };
        // A tag may have commas in it: the next quote ends it.
        let Some(length) = rest.strip_prefix('"').and_then(|inner| inner.find('"')) else { return false };
        let (tag, rest) = rest.split_at(length + 2);
        if (weakly || !is_weak) && tags.contains(&tag) {
            return true;
        }
        list = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))])
    }

    #[test]
    fn if_match_compares_strongly() {
        let judged = |value: &str| judge(&with(IF_MATCH, value), &["\"a\"", "\"v\""]);
        for good in ["*", "\"a\"", "\"x\", \"a\"", "\"v\"", ",\"x,y\" ,\t\"v\""] {
            assert_eq!(judged(good), Verdict::Proceed, "{good}");
        }
        for bad in ["W/\"a\"", "\"x\"", "a", "", "\"a", "\"x\"y\"a\"z"] {
            assert_eq!(judged(bad), Verdict::Failed, "{bad}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let judged = |value: &str| judge(&with(IF_NONE_MATCH, value), &["\"a\""]);
        for known in ["*", "\"a\"", "W/\"a\"", "\"x\",W/\"y\", \"a\""] {
            assert_eq!(judged(known), Verdict::NotModified, "{known}");
        }
        assert_eq!(judged("\"b\""), Verdict::Proceed);
        assert_eq!(judge(&HeaderMap::new(), &["\"a\""]), Verdict::Proceed);
    }

    #[test]
    fn if_range_takes_the_very_tag() {
        assert!(range_counts(&HeaderMap::new(), "\"a\""));
        assert!(range_counts(&with(IF_RANGE, "\"a\""), "\"a\""));
        for other in ["\"b\"", "W/\"a\"", "Sat, 29 Oct 1994 19:43:31 GMT"] {
            assert!(!range_counts(&with(IF_RANGE, other), "\"a\""), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_list_panics(list in "[W/\",a *]{0,30}|.*") {
            let _ = lists(&list, &["\"a\""], true);
        }
    }
}
