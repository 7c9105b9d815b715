//! A request's target and fields, a line each: path and query, `Range`, `Accept-Encoding`, `If-Match`, `If-None-Match`,
//! `If-Range`, `Authorization`. What is selected lies within the volume and is bounded; nobody is let in.
#![no_main]

use hyper::HeaderMap;
use hyper::header::{HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use libfuzzer_sys::fuzz_target;
use lvpipe::http::serve::conditions::{judge, range_counts};
use lvpipe::http::serve::negotiate::{preferred, takes_zstd};
use lvpipe::http::serve::range::{MOST_RANGES, Selection, select};
use lvpipe::http::serve::route::{Route, parameter, route};
use lvpipe::http::serve::{Token, decode, encode};

const SIZE: u64 = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    let line = |number: usize| lines.get(number).copied().unwrap_or_default();

    let (path, query) = line(0).split_once('?').unwrap_or((line(0), ""));
    if let Some(Route::Raw(0)) = route(path, ["vm 1"]) {
        assert_eq!(decode(path.trim_start_matches('/')).as_deref(), Some("vm 1"));
    }
    assert_eq!(decode(&encode(line(0))).as_deref(), Some(line(0)));
    let _ = parameter(query, "first");

    match select(line(1), SIZE) {
        Selection::One(range) => assert!(!range.is_empty() && range.end() <= SIZE),
        Selection::Several(ranges) => {
            assert!((2..=MOST_RANGES).contains(&ranges.len()));
            assert!(ranges.iter().all(|range| !range.is_empty() && range.end() <= SIZE));
            assert!(ranges.iter().map(|range| range.length).sum::<u64>() <= 2 * SIZE);
        }
        Selection::Whole | Selection::Unsatisfiable => {}
    }

    let _ = takes_zstd(line(2));
    let _ = preferred(line(2), &["text/html", "application/json"]);
    let mut headers = HeaderMap::new();
    for (number, name) in [(3, IF_MATCH), (4, IF_NONE_MATCH), (5, IF_RANGE)] {
        if let Ok(value) = HeaderValue::from_str(line(number)) {
            headers.insert(name, value);
        }
    }
    let _ = judge(&headers, &["\"tag\"", "\"volume\""]);
    let _ = range_counts(&headers, "\"tag\"");

    let token = Token::new("a token of nobody's".replace(' ', "-").as_str(), "here").expect("a token");
    assert!(!token.admits(line(6)) || line(6).contains("a-token-of-nobody's") || line(6).contains("Basic"));
});
