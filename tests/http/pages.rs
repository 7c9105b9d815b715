//! The page, its JSON, and the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use crate::image::{Image, scratch_in_memory};
use crate::process::wait_until;
use crate::server::{Server, serve_openly};

const MIB: u64 = 1 << 20;

fn served() -> (Server, tempfile::TempDir) {
    let scratch = scratch_in_memory();
    let (one, other) = (scratch.path().join("one.img"), scratch.path().join("<b>two&.img"));
    Image::new(64 * MIB, &[0..20 * MIB, 40 * MIB..52 * MIB]).write(&one);
    Image::sample().write(&other);
    (serve_openly(&[], &[&one, &other]), scratch)
}

#[test]
fn the_page_shows_the_volumes_and_needs_nothing_else() {
    let (server, _scratch) = served();
    let reply = server.get("/", &["Accept: text/html,application/xhtml+xml,*/*;q=0.8"]);
    assert_eq!((reply.status, reply.field("content-type")), (200, "text/html; charset=utf-8"));
    let page = reply.text();
    for words in
        ["one.img", "32.0 MiB", "of 64.0 MiB", "50%", "<svg", "Nobody is reading", "http-equiv=\"refresh\""]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(page.contains("&lt;b&gt;two&amp;.img") && !page.contains("<b>two"), "{page}");
    assert!(page.contains("href=\"/%3Cb%3Etwo%26.img\""), "{page}");
    for foreign in ["http://", "https://", "<script", "<img", "url(", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Only its own style sheet is let in, by its digest.
    let policy = reply.field("content-security-policy");
    let (style, _) = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).expect("a style");
    let digest = lvpipe::wire::DigestKind::Sha256.of(&[style.as_bytes()]);
    assert!(
        policy.contains(&data_encoding::BASE64.encode(&digest.0)) && policy.contains("default-src 'none'"),
        "{policy}"
    );
    assert_eq!(reply.field("x-content-type-options"), "nosniff");
}

#[test]
fn the_json_has_the_same_and_transfers_show_while_they_last() {
    let (server, _scratch) = served();
    let index = |path: &str, fields: &[&str]| -> serde_json::Value {
        let reply = server.get(path, fields);
        assert_eq!(reply.field("content-type"), "application/json");
        serde_json::from_slice(&reply.body).expect("JSON")
    };
    let json = index("/", &["Accept: application/json"]);
    assert_eq!(json["volumes"][0]["name"], "one.img");
    assert_eq!(json["volumes"][0]["used"], 32 * MIB);
    assert_eq!(json["transfers"], serde_json::json!([]));
    let mut stream = server.connect();
    stream.write_all(b"GET /one.img HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("written");
    stream.read_exact(&mut vec![0; MIB as usize]).expect("an answer");
    let json = index("/index.json", &[]);
    let transfer = &json["transfers"][0];
    assert_eq!(
        (&transfer["volume"], &transfer["client"], &transfer["responses"]),
        (&"one.img".into(), &"127.0.0.1".into(), &1.into())
    );
    assert!(transfer["sent"].as_u64() >= Some(MIB) && transfer["rate"].as_u64() > Some(0), "{transfer}");
    let page = server.get("/", &[]).text();
    assert!(page.contains("<td>127.0.0.1</td>"), "{page}");
    drop(stream);
    wait_until("it has ended", || index("/index.json", &[])["transfers"][0]["responses"] == 0);
}

/// The grammar of OpenMetrics, as far as these metrics use it; samples by name and labels.
#[track_caller]
fn parse_metrics(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    let (mut samples, mut families, mut family) =
        (BTreeMap::new(), BTreeSet::new(), (String::new(), String::new()));
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let (keyword, rest) = rest.split_once(' ').expect("a keyword");
            let (name, value) = rest.split_once(' ').expect("a name");
            match keyword {
                "TYPE" => {
                    assert!(["gauge", "counter", "info"].contains(&value), "{line}");
                    assert!(families.insert(name.to_string()), "twice: {line}");
                    family = (name.to_string(), value.to_string());
                }
                "UNIT" => assert!(name == family.0 && name.ends_with(&format!("_{value}")), "{line}"),
                "HELP" => assert!(name == family.0 && !value.is_empty(), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').map_or((series, None), |(name, labels)| (name, Some(labels)));
        let suffix = match family.1.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert_eq!(name, format!("{}{suffix}", family.0), "{line}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        if let Some(labels) = labels {
            let labels = labels.strip_suffix("\"}").expect("closed").split("\",");
            assert!(
                labels.into_iter().all(|label| label.split_once("=\"").is_some_and(|(key, _)| !key.is_empty())),
                "{line}"
            );
        }
        let value: f64 = value.parse().expect("a number");
        assert!(value >= 0.0 && samples.insert(series.to_string(), value).is_none(), "{line}");
    }
    samples
}

#[test]
fn the_metrics_are_openmetrics_and_count() {
    let (server, _scratch) = served();
    let reply = server.get("/metrics", &[]);
    assert_eq!(reply.field("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let before = parse_metrics(&reply.text());
    server.get("/one.img", &["Range: bytes=0-1048575"]);
    server.get("/one.img/parts/25", &[]);
    server.get("/nothing", &[]);
    let after = parse_metrics(&server.get("/metrics", &[]).text());
    let at = |name: &str| after.get(name).copied().unwrap_or_else(|| panic!("no {name}: {after:?}"));
    assert_eq!(at("lvpipe_volume_size_bytes{volume=\"one.img\"}"), (64 * MIB) as f64);
    assert_eq!(at("lvpipe_volume_used_bytes{volume=\"one.img\"}"), (32 * MIB) as f64);
    assert_eq!(at("lvpipe_read_bytes_total{volume=\"one.img\"}"), MIB as f64, "a hole is not read");
    assert_eq!(at("lvpipe_sent_bytes_total{volume=\"one.img\"}"), (2 * MIB) as f64);
    assert_eq!(at("lvpipe_requests_total{resource=\"raw\",status=\"206\"}"), 1.0);
    assert_eq!(at("lvpipe_requests_total{resource=\"none\",status=\"404\"}"), 1.0);
    assert_eq!(at("lvpipe_connections{of=\"client\"}"), 1.0);
    assert!(at("lvpipe_connections_accepted_total") > before["lvpipe_connections_accepted_total"]);
}
