//! From a request's target to a resource.
//!
//! Nothing of a path is ever a path on this host: a segment is compared with the volumes' names once its
//! percent-encoding is undone, and whatever is no name is not there. `..`, `%2e%2e`, `%2f` and `%00` are no names.

use super::names;

/// A resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/`
    Index,
    /// `/index.json`
    IndexJson,
    /// `/metrics`
    Metrics,
    /// `/NAME`, the number of the volume.
    Raw(usize),
    /// `/NAME/map`
    Map(usize),
    /// `/NAME/parts/N`
    Part(usize, u64),
    /// `/NAME/parts`
    Batch(usize),
}

/// The resource at a path, where there is one.
pub fn route<'a>(path: &str, volumes: impl IntoIterator<Item = &'a str>) -> Option<Route> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let first = names::decode(segments.next()?)?;
    let rest: Vec<&str> = segments.take(3).collect();
    match (first.as_str(), rest.as_slice()) {
        ("", []) => return Some(Route::Index),
        ("index.json", []) => return Some(Route::IndexJson),
        ("metrics", []) => return Some(Route::Metrics),
        _ => {}
    }
    let volume = volumes.into_iter().position(|name| name == first)?;
    match rest.as_slice() {
        [] => Some(Route::Raw(volume)),
        ["map"] => Some(Route::Map(volume)),
        ["parts"] => Some(Route::Batch(volume)),
        ["parts", number] => digits(number).map(|number| Route::Part(volume, number)),
        _ => None,
    }
}

/// The value of a parameter in a query. Those that are asked for have no need of percent-encoding.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|(_, value)| value)
}

/// A number, of digits alone.
pub fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 2] = ["vm1", "a b"];

    #[test]
    fn resources_are_found() {
        let rows = [
            ("/", Route::Index),
            ("/index.json", Route::IndexJson),
            ("/metrics", Route::Metrics),
            ("/vm1", Route::Raw(0)),
            ("/%76m1", Route::Raw(0)),
            ("/a%20b", Route::Raw(1)),
            ("/vm1/map", Route::Map(0)),
            ("/vm1/parts", Route::Batch(0)),
            ("/vm1/parts/17", Route::Part(0, 17)),
        ];
        for (path, expected) in rows {
            assert_eq!(route(path, NAMES), Some(expected), "{path}");
        }
    }

    #[test]
    fn path_tricks_lead_nowhere() {
        let tricks = [
            "",
            "vm1",
            "//",
            "/vm1/",
            "//vm1",
            "/vm2",
            "/VM1",
            "/vm1/parts/",
            "/vm1/parts/-1",
            "/vm1/parts/+1",
            "/vm1/parts/1/2",
            "/vm1/parts/99999999999999999999",
            "/../etc/passwd",
            "/%2e%2e/etc/passwd",
            "/vm1/../vm1",
            "/vm1%2fmap",
            "/vm1%00",
            "/vm1%",
            "/%ff",
            "/./vm1",
            "/..%2fvm1",
            "/vm1/%6dap",
            "*",
        ];
        for path in tricks {
            assert_eq!(route(path, NAMES), None, "{path}");
        }
    }

    #[test]
    fn parameters_are_found() {
        assert_eq!(parameter("first=1&last=2", "last"), Some("2"));
        assert_eq!(parameter("first=&last", "first"), Some(""));
        assert_eq!(parameter("first=&last", "last"), None);
        assert_eq!(parameter("", "last"), None);
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "/?.*", tail in "[%/.0-9a-f]{0,20}") {
            let _ = route(&path, NAMES);
            let _ = route(&format!("/vm1/{tail}"), NAMES);
        }
    }
}
