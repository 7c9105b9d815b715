//! What is refused, and in which words: before a byte of the target is written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::image::{Image, names, scratch_in_memory};
use crate::process::run;
use crate::server::{pull, serve};

const MIB: u64 = 1 << 20;

#[test]
fn a_wrong_token_and_none_are_told_apart() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(MIB).write(&source);
    let server = serve(&[], &source);
    let none = run(server.pull(&[], &target).env_remove("LVPIPE_TOKEN"));
    none.expect_failure(5, &["it wants a token", "--token-file FILE"]);
    let wrong = run(server.pull(&[], &target).env("LVPIPE_TOKEN", "lvt1-wrong"));
    let wrong = wrong.expect_failure(5, &["it does not take the token"]);
    assert!(!wrong.stderr.contains("lvt1-wrong"), "{wrong}");
    let file = scratch.path().join("token");
    fs::write(&file, server.printed("lvt1-")).expect("written");
    let with_file = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("own file");
        let mut command = server.pull(&["-q", "--token-file"], &target);
        // Behind the option.
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = crate::process::lvpipe(["pull", "-q", "--token-file"]);
        command.arg(&file).args(&args[3..]).env_remove("LVPIPE_TOKEN");
        run(&mut command)
    };
    with_file(0o644).expect_failure(2, &["others may read it", "chmod 600"]);
    with_file(0o600).expect_ok();
    assert_eq!(names(scratch.path()), ["copy", "image", "token"]);
}

#[test]
fn a_server_with_another_certificate_is_not_believed() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(MIB).write(&source);
    let server = serve(&[], &source);
    let url = format!("https://{}/image", server.address);
    let wrong = format!("sha256:{}", "ab".repeat(32));
    let pinned = run(&mut pull(&["--fingerprint", &wrong], &url, &target));
    pinned.expect_failure(5, &["the server's certificate has another fingerprint"]);
    let unknown = run(&mut pull(&[], &url, &target));
    unknown.expect_failure(5, &["cannot connect securely", "--fingerprint sha256:"]);
    let not_tls = run(&mut pull(&[], &format!("http://{}/image", server.address), &target));
    assert!(!not_tls.status.success(), "{not_tls}");
    assert_eq!(names(scratch.path()), ["image"]);
}

#[test]
fn a_token_is_not_sent_in_the_clear() {
    let scratch = scratch_in_memory();
    let target = scratch.path().join("copy");
    let mut command = pull(&[], "http://127.0.0.1:9/image", &target);
    run(command.env("LVPIPE_TOKEN", "lvt1-a")).expect_failure(2, &["the token would go to the server as it is"]);
    let fingerprint = format!("sha256:{}", "ab".repeat(32));
    run(&mut pull(&["--fingerprint", &fingerprint], "http://127.0.0.1:9/image", &target))
        .expect_failure(2, &["http:// has no certificate"]);
}

#[test]
fn what_is_no_volume_is_not_pulled() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(MIB).write(&source);
    let server = serve(&["--insecure"], &source);
    let at = |path: &str| run(&mut pull(&[], &format!("http://{}{path}", server.address), &target));
    at("/nothing").expect_failure(1, &["there is no such volume", "404"]);
    at("/").expect_failure(2, &["it is a page for people"]);
    run(&mut pull(&[], "ftp://host/x", &target)).expect_failure(2, &["a URL is http://HOST/PATH"]);
    run(&mut pull(&[], "http://127.0.0.1:1/x", &target)).expect_failure(1, &["Connection refused"]);
    assert_eq!(names(scratch.path()), ["image"]);
}

#[test]
fn a_volume_is_not_pulled_onto_itself() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    let image = Image::full(MIB);
    image.write(&source);
    let server = serve(&["--insecure"], &source);
    run(&mut server.pull(&[], &source)).expect_failure(4, &["target refused"]);
    image.assert_is(&source);
}

#[test]
fn a_target_that_cannot_be_ends_the_run_before_data_comes() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::full(MIB).write(&source);
    let server = serve(&["--insecure"], &source);
    let ran = run(&mut server.pull(&[], Path::new("/dev/shm/no/such/directory/copy")));
    ran.expect_failure(1, &["No such file or directory"]);
}
