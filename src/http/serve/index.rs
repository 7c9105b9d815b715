//! `/`: the volumes and who is reading them, as a page for people and as JSON.
//!
//! The page needs nothing but itself: no script, one style sheet inside, pictures as SVG inside. Its policy
//! (Content-Security-Policy) allows that and nothing else. It loads itself again every few seconds.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, VARY};
use serde_json::{Value, json};

use super::answer::{Answer, set, with_type};
use super::call::Call;
use super::transfers::Seen;
use super::volume::Volume;
use super::{Server, names, negotiate};
use crate::byte_size::ByteSize;
use crate::wire::DigestKind;

const STYLE: &str = include_str!("index.css");
/// Seconds until the page loads itself again.
const REFRESH: u32 = 3;

/// The page, or JSON where that is preferred.
pub fn answer(call: &Call<'_>) -> Answer {
    let accept = call.headers.get(ACCEPT).and_then(|field| field.to_str().ok()).unwrap_or_default();
    let is_json = negotiate::preferred(accept, &["text/html", "application/json"]) == "application/json";
    let mut answer = if is_json { json_answer(call.server) } else { page_answer(call.server) };
    set(&mut answer, VARY, "accept");
    answer
}

/// As JSON.
pub fn json_answer(server: &Server) -> Answer {
    let mut answer = with_type(StatusCode::OK, "application/json", json(server).to_string() + "\n");
    set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

fn page_answer(server: &Server) -> Answer {
    let mut answer = with_type(StatusCode::OK, "text/html; charset=utf-8", page(server));
    let style = data_encoding::BASE64.encode(&DigestKind::Sha256.of(&[STYLE.as_bytes()]).0);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    set(&mut answer, CONTENT_SECURITY_POLICY, &policy);
    set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

fn json(server: &Server) -> Value {
    let volumes = server.volumes.iter().zip(&server.pictures).map(|(volume, picture)| {
        let about = &volume.about;
        json!({
            "name": about.volume,
            "source": about.lineage.source,
            "url": format!("/{}", names::encode(&about.volume)),
            "map_url": format!("/{}/map", names::encode(&about.volume)),
            "size": volume.size(),
            "used": about.map.used_bytes(),
            "part_size": volume.part_size(),
            "parts": volume.parts(),
            "etag": about.etag,
            "read": volume.read.load(Ordering::Relaxed),
            "sent": volume.sent.load(Ordering::Relaxed),
            "picture": picture.cells(),
        })
    });
    let transfers = server.transfers.see().into_iter().map(|seen| {
        json!({
            "client": seen.client.to_string(),
            "volume": server.volumes.get(seen.volume).map(|volume| volume.about.volume.as_str()),
            "seconds": seen.for_time.as_secs_f64(),
            "responses": seen.responses,
            "sent": seen.sent,
            "rate": seen.rate,
        })
    });
    let (clients, _) = server.gate.count();
    json!({
        "lvpipe": env!("CARGO_PKG_VERSION"),
        "host": server.host,
        "seconds": server.began.elapsed().as_secs_f64(),
        "connections": clients,
        "volumes": volumes.collect::<Vec<_>>(),
        "transfers": transfers.collect::<Vec<_>>(),
    })
}

fn page(server: &Server) -> String {
    let mut page = String::with_capacity(16 << 10);
    let host = escaped(&server.host);
    // Writing to a string does not fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"{REFRESH}\"><title>lvpipe on {host}</title>\
         <style>{STYLE}</style></head><body><main>\n<header><h1>lvpipe on {host}</h1><p>{}</p></header>\n",
        summary(server),
    );
    for (volume, picture) in server.volumes.iter().zip(&server.pictures) {
        card(&mut page, volume, &picture.svg(&escaped(&format!("the map of {}", volume.about.volume))));
    }
    table(&mut page, server, &server.transfers.see());
    let _ = write!(
        page,
        "<footer><span>lvpipe {}</span><a href=\"/index.json\">as JSON</a><a href=\"/metrics\">metrics</a></footer>\n\
         </main></body></html>\n",
        env!("CARGO_PKG_VERSION"),
    );
    page
}

fn summary(server: &Server) -> String {
    let (clients, _) = server.gate.count();
    let volumes = server.volumes.len();
    format!(
        "{volumes} volume{}, read-only · {clients} connection{} · up {}",
        plural(volumes),
        plural(clients),
        spoken(server.began.elapsed())
    )
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// A volume.
fn card(page: &mut String, volume: &Volume, picture: &str) {
    let about = &volume.about;
    let (path, name) = (names::encode(&about.volume), escaped(&about.volume));
    let used = about.map.used_bytes();
    let per_cent = (used as f64 * 100.0 / volume.size().max(1) as f64).round();
    let source = about.lineage.source.as_deref().filter(|source| *source != about.volume);
    let source =
        source.map(|source| format!("<span class=\"soft\">{}</span>", escaped(source))).unwrap_or_default();
    let _ = writeln!(
        page,
        "<section class=\"card\"><div class=\"top\"><h2><a href=\"/{path}\">{name}</a></h2>{source}</div>{picture}\
         <div class=\"top\"><span><strong>{}</strong> used of {} ({per_cent}%)</span>\
         <span class=\"soft\">{} parts of {} · {} sent · <a href=\"/{path}/map\">map</a></span></div></section>",
        ByteSize(used),
        ByteSize(volume.size()),
        volume.parts(),
        ByteSize(volume.part_size()),
        ByteSize(volume.sent.load(Ordering::Relaxed)),
    );
}

/// The transfers under way.
fn table(page: &mut String, server: &Server, transfers: &[Seen]) {
    page.push_str("<h3>Transfers</h3>\n");
    if transfers.is_empty() {
        page.push_str("<p class=\"soft\">Nobody is reading.</p>\n");
        return;
    }
    page.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>volume</th><th>to</th><th>responses</th><th>sent</th>\
         <th>for</th><th>rate</th></tr></thead><tbody>\n",
    );
    for seen in transfers {
        let volume =
            server.volumes.get(seen.volume).map(|volume| escaped(&volume.about.volume)).unwrap_or_default();
        let rate = match seen.rate {
            0 => "<td class=\"soft\">resting</td>".to_string(),
            rate => format!("<td class=\"now\">{}/s</td>", ByteSize(rate)),
        };
        let _ = writeln!(
            page,
            "<tr><td>{volume}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>{rate}</tr>",
            seen.client.to_canonical(),
            seen.responses,
            ByteSize(seen.sent),
            spoken(seen.for_time),
        );
    }
    page.push_str("</tbody></table></div>\n");
}

/// `7 s`, `12 min`, `3 h 20 min`, `5 d 2 h`.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Text in HTML, in an attribute too.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_markup() {
        assert_eq!(escaped("<b>&\"'x"), "&lt;b&gt;&amp;&quot;&#39;x");
    }

    #[test]
    fn times_are_spoken() {
        let rows = [(7, "7 s"), (61, "1 min"), (12_000, "3 h 20 min"), (180_000, "2 d 2 h")];
        for (seconds, text) in rows {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }
}
