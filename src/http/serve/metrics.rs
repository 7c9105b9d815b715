//! `/metrics`: OpenMetrics text, version 1.0.0.

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;

use super::Server;
use super::tally::Refusal;

/// The media type.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything, as it is now.
pub fn text(server: &Server) -> String {
    let mut page = Page::default();
    page.family("lvpipe_build", "info", "", "The version of lvpipe");
    page.sample("lvpipe_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    page.family("lvpipe_uptime_seconds", "gauge", "seconds", "How long it has been serving");
    page.sample("lvpipe_uptime_seconds", &[], format_args!("{:.3}", server.began.elapsed().as_secs_f64()));
    connections(&mut page, server);
    volumes(&mut page, server);
    transfers(&mut page, server);
    page.0 + "# EOF\n"
}

fn connections(page: &mut Page, server: &Server) {
    let (clients, strangers) = server.gate.count();
    page.family("lvpipe_connections", "gauge", "", "Connections there are: of clients, and of those not known yet");
    page.sample("lvpipe_connections", &[("of", &"client")], clients);
    page.sample("lvpipe_connections", &[("of", &"stranger")], strangers);
    page.family("lvpipe_connections_accepted", "counter", "", "Connections that were accepted");
    page.sample("lvpipe_connections_accepted_total", &[], server.tally.connections.load(Ordering::Relaxed));
    page.family("lvpipe_refused", "counter", "", "Connections dropped and requests refused");
    for (why, name) in Refusal::ALL {
        page.sample("lvpipe_refused_total", &[("why", &name)], server.tally.refused(why));
    }
    page.family("lvpipe_requests", "counter", "", "Requests that were answered");
    for ((resource, status), count) in server.tally.requests() {
        page.sample("lvpipe_requests_total", &[("resource", &resource), ("status", &status)], count);
    }
}

fn volumes(page: &mut Page, server: &Server) {
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&super::volume::Volume) -> u64| {
        page.family(name, kind, "bytes", help);
        let sample = if kind == "counter" { format!("{name}_total") } else { name.to_string() };
        for volume in &server.volumes {
            page.sample(&sample, &[("volume", &volume.about.volume)], value(volume));
        }
    };
    family("lvpipe_volume_size_bytes", "gauge", "The size of a volume", &|volume| volume.size());
    family("lvpipe_volume_used_bytes", "gauge", "How much of it holds data", &|v| v.about.map.used_bytes());
    family("lvpipe_read_bytes", "counter", "Read from a volume; holes are not read", &|v| {
        v.read.load(Ordering::Relaxed)
    });
    family("lvpipe_sent_bytes", "counter", "Sent of a volume, compressed or not", &|v| {
        v.sent.load(Ordering::Relaxed)
    });
}

fn transfers(page: &mut Page, server: &Server) {
    let seen = server.transfers.see();
    page.family("lvpipe_transfers", "gauge", "", "Hosts that read a volume");
    for (number, volume) in server.volumes.iter().enumerate() {
        let count = seen.iter().filter(|transfer| transfer.volume == number).count();
        page.sample("lvpipe_transfers", &[("volume", &volume.about.volume)], count);
    }
    page.family("lvpipe_transfers_rate", "gauge", "", "Bytes a second that they read, over the last seconds");
    for (number, volume) in server.volumes.iter().enumerate() {
        let rate: u64 = seen.iter().filter(|transfer| transfer.volume == number).map(|t| t.rate).sum();
        page.sample("lvpipe_transfers_rate", &[("volume", &volume.about.volume)], rate);
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}.");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A label's value: backslash, quote and newline are escaped.
fn escaped(value: &dyn Display) -> String {
    value.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_line() {
        let mut page = Page::default();
        page.sample("x", &[("volume", &"a\"b\\c\nd")], 1);
        assert_eq!(page.0, "x{volume=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
