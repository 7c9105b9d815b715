//! What a client takes: content codings and media types, by RFC 9110, section 12.5.

/// Whether an `Accept-Encoding` field has zstd, and not with a weight of 0. A wildcard is not taken for it: who can
/// decode zstd says so.
pub fn takes_zstd(field: &str) -> bool {
    elements(field).any(|(name, weight)| name.eq_ignore_ascii_case("zstd") && weight > 0)
}

/// Which of these media types an `Accept` field prefers; the first of those that are equal, and where none is taken,
/// for then the client is to see something rather than 406.
pub fn preferred<'a>(field: &str, offered: &[&'a str]) -> &'a str {
    let weight = |offer: &str| -> u32 {
        let matches = elements(field).filter_map(|(range, weight)| Some((specificity(range, offer)?, weight)));
        matches.max_by_key(|(specificity, _)| *specificity).map_or(0, |(_, weight)| weight)
    };
    // Of equal ones, max_by_key takes the last.
    offered.iter().copied().rev().max_by_key(|offer| weight(offer)).unwrap_or_default()
}

/// How closely a media range fits; `None` where it does not.
fn specificity(range: &str, offer: &str) -> Option<u32> {
    if range.eq_ignore_ascii_case(offer) {
        return Some(2);
    }
    let (kind, _) = offer.split_once('/')?;
    match range.split_once('/')? {
        ("*", "*") => Some(0),
        (range, "*") if range.eq_ignore_ascii_case(kind) => Some(1),
        _ => None,
    }
}

/// The elements of a list with their weights in thousandths; those whose weight is none are left out.
fn elements(field: &str) -> impl Iterator<Item = (&str, u32)> {
    field.split(',').filter_map(|element| {
        let mut pieces = element.split(';').map(str::trim);
        let name = pieces.next().filter(|name| !name.is_empty())?;
        let weight = pieces.find_map(|piece| piece.strip_prefix("q=").or(piece.strip_prefix("Q=")));
        Some((name, weight.map_or(Some(1000), thousandths)?))
    })
}

/// A weight: 0 to 1 with up to three decimals.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let decimals: u32 = if digits { format!("{decimals:0<3}").parse().ok()? } else { return None };
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zstd_is_taken_where_it_is_named() {
        for yes in ["zstd", "gzip, deflate, br, zstd", "ZSTD;q=0.001", "gzip;q=1.0 , zstd ;q=1"] {
            assert!(takes_zstd(yes), "{yes}");
        }
        for no in ["", "gzip", "*", "zstd;q=0", "zstd;q=0.000", "zstdx", "identity"] {
            assert!(!takes_zstd(no), "{no}");
        }
    }

    #[test]
    fn a_browser_gets_html_and_a_program_what_it_asks_for() {
        let offers = ["text/html", "application/json"];
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(preferred(browser, &offers), "text/html");
        for html in ["", "*/*", "text/plain", "text/*", "application/json;q=0.5, text/html;q=0.6", "x;q=2"] {
            assert_eq!(preferred(html, &offers), "text/html", "{html}");
        }
        for json in ["application/json", "application/json, */*;q=0.1", "application/*", "text/html;q=0, */*"] {
            assert_eq!(preferred(json, &offers), "application/json", "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(field in ".*", weights in "(zstd|a/b|\\*/\\*)(;q=[01.]{0,6})?") {
            for text in [field, weights] {
                takes_zstd(&text);
                preferred(&text, &["text/html", "a/b"]);
            }
        }
    }
}
