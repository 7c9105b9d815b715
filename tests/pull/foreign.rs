//! Servers that are not lvpipe's: nginx with a sparse file, Python's without ranges, and what the tests play.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal::SIGKILL;

use crate::image::{Image, assert_not_there, assert_takes_no_more, names, scratch_in_memory, scratch_on_disk};
use crate::origin::{Asked, Origin, answer, raw, well};
use crate::process::{Running, run, start, wait_until};
use crate::proxy::{Fault, Proxy};
use crate::server::{figure, pull};

const MIB: u64 = 1 << 20;

fn gappy() -> Image {
    Image::new(48 * MIB + 17, &[0..4096, 5 * MIB..6 * MIB, 20 * MIB..27 * MIB, 48 * MIB..48 * MIB + 17])
}

/// A port that is free: the next to ask may get it too, but not soon.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

#[track_caller]
fn running(command: &mut Command, port: u16) -> (Running, SocketAddr) {
    let running = start(command.stdout(Stdio::null()));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_until("it listens", || TcpStream::connect(address).is_ok());
    (running, address)
}

/// Debian's nginx, serving a directory.
#[track_caller]
fn nginx(root: &Path) -> (Running, SocketAddr) {
    let port = free_port();
    let own = root.join("nginx");
    fs::create_dir(&own).expect("its directory");
    let shown = own.display();
    let config = format!(
        "daemon off; pid {shown}/pid; error_log {shown}/log; events {{}} user root; http {{ access_log off; \
         client_body_temp_path {shown}/a; proxy_temp_path {shown}/b; fastcgi_temp_path {shown}/c; \
         uwsgi_temp_path {shown}/d; scgi_temp_path {shown}/e; \
         server {{ listen 127.0.0.1:{port}; root {}; }} }}",
        root.display()
    );
    fs::write(own.join("conf"), config).expect("its configuration");
    let mut command = Command::new("/usr/sbin/nginx");
    running(command.arg("-c").arg(own.join("conf")).arg("-e").arg(own.join("log")), port)
}

#[test]
fn nginx_is_pulled_from_in_parallel_and_zeros_are_not_written() {
    let scratch = scratch_on_disk();
    let (source, image) = (scratch.path().join("image"), gappy());
    image.write(&source);
    let (_nginx, address) = nginx(scratch.path());
    let proxy = Proxy::pulling(address, |_| Fault::None);
    let url = format!("http://{}/image", proxy.address);
    let copy = scratch.path().join("copy");
    let ran = run(&mut pull(&["-n", "4", "--progress", "json"], &url, &copy)).expect_ok();
    assert_eq!(proxy.connections(), 5, "one asks what there is");
    image.assert_is(&copy);
    assert_takes_no_more(&copy, &source);
    assert_eq!(figure(&ran, "wire_bytes"), image.size + 1, "{ran}");
    let piped = run(&mut pull(&["-n", "4", "-q"], &url, "-".as_ref())).expect_ok();
    image.assert_bytes(&piped.stdout);
}

#[test]
fn nginx_behind_connections_that_break_is_pulled_from() {
    let scratch = scratch_in_memory();
    let (source, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::full(40 * MIB);
    image.write(&source);
    let (_nginx, address) = nginx(scratch.path());
    let plan = |n: usize| match n {
        1..20 => Fault::CutAfter(300_000 * n as u64 % 5_000_000 + 1000),
        20..22 => Fault::SilentAfter(70_000),
        _ => Fault::None,
    };
    let proxy = Proxy::pulling(address, plan);
    let url = format!("http://{}/image", proxy.address);
    run(&mut pull(&["-n", "6", "-W", "1"], &url, &copy)).expect_ok();
    image.assert_is(&copy);
    assert!(proxy.connections() > 20, "{} connections", proxy.connections());
}

#[test]
fn a_pull_from_nginx_is_gone_on_with() {
    let scratch = scratch_in_memory();
    let (source, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::full(40 * MIB);
    image.write(&source);
    let (_nginx, address) = nginx(scratch.path());
    let slow = Arc::new(AtomicBool::new(true));
    let crawls = slow.clone();
    let plan = move |_| if crawls.load(Ordering::SeqCst) { Fault::Crawl(4 << 20) } else { Fault::None };
    let proxy = Proxy::pulling(address, plan);
    let url = format!("http://{}/image", proxy.address);
    let pulling = start(&mut pull(&["-n", "3"], &url, &copy));
    let journal = scratch.path().join("copy.lvpipe-journal");
    wait_until("some parts are on record", || fs::metadata(&journal).is_ok_and(|found| found.len() > 700));
    pulling.signal(SIGKILL);
    let _ = pulling.end();
    slow.store(false, Ordering::SeqCst);
    let ran = run(&mut pull(&["--resume", "--progress", "json"], &url, &copy)).expect_ok();
    assert!(figure(&ran, "held") > 0, "{ran}");
    assert!(figure(&ran, "wire_bytes") < image.size, "{ran}");
    image.assert_is(&copy);
    assert_eq!(names(scratch.path()), ["copy", "image", "nginx"]);
}

#[test]
fn a_server_without_ranges_is_pulled_from_in_one_stream() {
    let scratch = scratch_on_disk();
    let (source, image) = (scratch.path().join("image"), gappy());
    image.write(&source);
    let port = free_port();
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(scratch.path());
    let (_python, address) = running(&mut command, port);
    // Cut, it begins again and reads over what was there.
    let plan = |n: usize| if (2..5).contains(&n) { Fault::CutAfter(10_000_000 * n as u64) } else { Fault::None };
    let proxy = Proxy::pulling(address, plan);
    let (url, copy) = (format!("http://{}/image", proxy.address), scratch.path().join("copy"));
    let ran = run(&mut pull(&[], &url, &copy)).expect_ok();
    assert!(ran.stderr.contains("trying again"), "{ran}");
    image.assert_is(&copy);
    assert_takes_no_more(&copy, &source);
    let piped = run(&mut pull(&["-q"], &url, "-".as_ref())).expect_ok();
    image.assert_bytes(&piped.stdout);
    run(&mut pull(&["--resume"], &url, &copy)).expect_failure(2, &["the server has no ranges"]);
}

#[test]
fn a_file_that_changes_in_the_middle_is_refused() {
    // With conditions, and without: then what the server says of itself is looked at.
    for knows_conditions in [true, false] {
        let bytes = Image::full(40 * MIB).bytes();
        let origin = Origin::start(move |number, asked: &Asked| {
            let etag = if number < 4 { "\"one\"" } else { "\"two\"" };
            let mut asked = asked.clone();
            asked.fields.retain(|(name, _)| knows_conditions || name != "if-match");
            well(&asked, &bytes, etag)
        });
        let scratch = scratch_in_memory();
        let ran = run(&mut pull(&["-n", "2"], &origin.url(), &scratch.path().join("copy")));
        ran.expect_failure(1, &["the volume has changed while it was pulled"]);
        assert_not_there(scratch.path(), &[]);
        assert!(origin.asked().iter().skip(2).all(|asked| asked.field("if-match") == Some("\"one\"")));
    }
}

#[test]
fn redirects_are_followed_and_the_token_goes_nowhere_else() {
    let image = Image::sample();
    let bytes = image.bytes();
    let there = Origin::start(move |_, asked: &Asked| well(asked, &bytes, "\"a\""));
    let to = there.url();
    let here = Origin::start(move |_, asked: &Asked| match asked.path.as_str() {
        "/image" => answer("302 Found", &[("Location", "sub/next?x=1")], Vec::new()),
        _ => answer("307 Temporary Redirect", &[("Location", &to)], Vec::new()),
    });
    let scratch = scratch_in_memory();
    let copy = scratch.path().join("copy");
    run(pull(&["--insecure", "-q"], &here.url(), &copy).env("LVPIPE_TOKEN", "secret")).expect_ok();
    image.assert_is(&copy);
    assert!(here.asked().iter().all(|asked| asked.field("authorization") == Some("Bearer secret")));
    assert!(there.asked().iter().all(|asked| asked.field("authorization").is_none()));
    assert!(!there.asked().is_empty() && here.asked()[1].path == "/sub/next?x=1");
}

#[test]
fn servers_that_are_busy_are_asked_again_later() {
    let image = Image::full(20 * MIB);
    let bytes = image.bytes();
    let origin = Origin::start(move |number, asked: &Asked| match number {
        3 | 5 => answer("503 Service Unavailable", &[("Retry-After", "1")], Vec::new()),
        4 => answer("429 Too Many Requests", &[], Vec::new()),
        _ => well(asked, &bytes, "\"a\""),
    });
    let scratch = scratch_in_memory();
    let copy = scratch.path().join("copy");
    let ran = run(&mut pull(&["-n", "2"], &origin.url(), &copy)).expect_ok();
    assert!(ran.stderr.contains("503 Service Unavailable"), "{ran}");
    image.assert_is(&copy);
}

#[test]
fn a_stream_of_unknown_length_ends_where_it_ends() {
    let image = Image::sample();
    let bytes = image.bytes();
    let origin = Origin::start(move |_, asked: &Asked| {
        let fields = [("Transfer-Encoding", "chunked")];
        let mut body = Vec::new();
        for chunk in bytes.chunks(100_000) {
            body.extend(format!("{:x}\r\n", chunk.len()).bytes());
            body.extend_from_slice(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        let body = if asked.method == "HEAD" { Vec::new() } else { body };
        raw("200 OK", &fields, body)
    });
    let scratch = scratch_in_memory();
    let copy = scratch.path().join("copy");
    run(&mut pull(&["-q"], &origin.url(), &copy)).expect_ok();
    image.assert_is(&copy);
}
