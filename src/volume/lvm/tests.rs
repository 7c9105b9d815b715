//! The guards against a fake of LVM: shell scripts that keep LVs as files and note what they were asked.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::marks::{Marks, TEMPORARY};
use super::{Activation, CreatedLv, Kept, LogicalVolume, Lvm, TemporarySnapshot, cleanup_stale};
use crate::error::Status;
use crate::reserve::{Held, Reservations};

/// The scripts. A file of the repository: one that was just written cannot be run while another test's child, made
/// in between, still has it open for writing.
const FAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/volume/lvm/fake-lvm.sh");

struct Fake {
    directory: TempDir,
    lvm: Lvm,
    reservations: Reservations,
}

impl Fake {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("scratch directory");
        let path = directory.path();
        for command in ["lvs", "lvcreate", "lvchange", "lvremove"] {
            symlink(FAKE, path.join(command)).expect("linked");
        }
        fs::create_dir_all(path.join("volumes/vg")).expect("made");
        let (lvm, reservations) = (Lvm::in_directory(path), Reservations::open_in(&path.join("run")));
        Fake { directory, lvm, reservations }
    }

    fn lv(&self, name: &str, attributes: &str, tags: &str) -> LogicalVolume {
        fs::write(self.path(name), format!("{attributes}\n{tags}\n")).expect("written");
        self.lvm.find("vg", name).expect("asked").expect("just made")
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("volumes/vg").join(name)
    }

    fn volumes(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join("volumes/vg")).expect("read");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("read").file_name().into_string().expect("ASCII")).collect();
        names.sort();
        names
    }

    fn refuse(&self, command: &str, complaint: &str) {
        fs::write(self.directory.path().join(format!("refuse-{command}")), complaint).expect("written");
    }

    /// What somebody else does between lvpipe's look and its command; `volumes/VG/LV` are the LVs.
    fn before(&self, command: &str, script: &str) {
        fs::write(self.directory.path().join(format!("before-{command}")), script).expect("written");
    }

    fn allow(&self, command: &str) {
        fs::remove_file(self.directory.path().join(format!("refuse-{command}"))).expect("removed");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).expect("read")
    }

    /// As the next run would: the registry's files of this process are still locked by `self.reservations`, so
    /// that is given up first.
    fn next_run(&mut self) -> Vec<String> {
        self.reservations = Reservations::open_in(&self.directory.path().join("run"));
        cleanup_stale(&self.lvm, &self.reservations, true).expect("cleaned")
    }

    /// What is on record.
    fn on_record(&mut self) -> Vec<Held> {
        self.reservations = Reservations::open_in(&self.directory.path().join("run"));
        self.reservations.stale().expect("read").iter().map(|stale| stale.held().clone()).collect()
    }
}

/// An LV that only its names matter of.
pub(super) fn volume(vg: &str, name: &str) -> LogicalVolume {
    let fake = Fake::new();
    let mut volume = fake.lv("some", "Vwi-a-tz--", "-");
    (volume.vg, volume.name) = (vg.into(), name.into());
    volume
}

#[test]
fn a_temporary_snapshot_is_marked_active_and_gone_with_its_guard() {
    let mut fake = Fake::new();
    let origin = fake.lv("vm1", "Vwi-aotz--", "-");
    let snapshot = TemporarySnapshot::take(&fake.lvm, &origin, &fake.reservations).expect("taken");
    let name = snapshot.volume().name.clone();
    assert!(name.starts_with("vm1.lvpipe-"), "{name}");
    assert!(snapshot.volume().is_active());
    for tag in Marks::of_this_boot().expect("known").all() {
        assert!(snapshot.volume().has_tag(tag), "{tag}");
    }
    assert_eq!(fake.volumes(), ["vm1".to_string(), name.clone()]);
    drop(snapshot);
    assert_eq!(fake.volumes(), ["vm1"]);
    assert_eq!(fake.on_record(), []);
    assert!(fake.log().contains("--snapshot") && fake.log().contains("--permission=r"), "{}", fake.log());
}

#[test]
fn kept_snapshots_are_found_by_their_tags_in_order_of_time_and_removed_unless_renamed() {
    let fake = Fake::new();
    let origin = fake.lv("vm1", "Vwi-aotz--", "-");
    let moment = |text: &str| text.parse().expect("a moment");
    let (older, newer) = (moment("20260101T000000Z"), moment("20260101T000001Z"));
    let take = |moment, tags: &[&str]| fake.lvm.take_kept(&origin, moment, tags).expect("asked");
    let second = take(newer, &["of-vm1", "to-a"]).expect("taken");
    assert_eq!((second.volume.name.as_str(), second.moment), ("vm1.lvpipe-20260101T000001Z", newer));
    take(older, &["of-vm1", "to-a"]).expect("taken");
    assert_eq!(take(older, &["of-vm1", "to-b"]), None, "the name is taken");
    take(moment("20251231T235959Z"), &["of-vm1", "to-b"]).expect("taken");
    fake.lv("admins", "Vwi---tz-k", "of-vm1,to-a");

    let moments = |kept: Vec<Kept>| kept.iter().map(|kept| kept.moment).collect::<Vec<_>>();
    let kept = fake.lvm.kept("vg", &["to-a", "of-vm1"]).expect("asked");
    assert_eq!(moments(kept.clone()), [older, newer]);
    fake.lvm.remove_kept(&kept[0], "to-b").expect("nothing that is both");
    fake.lvm.remove_kept(&kept[0], "to-a").expect("removed");
    fake.lvm.remove_kept(&kept[0], "to-a").expect("gone already");
    assert_eq!(moments(fake.lvm.kept("vg", &["to-a"]).expect("asked")), [newer]);
    assert_eq!(fake.volumes().len(), 4);
}

#[test]
fn a_snapshot_that_is_to_be_kept_and_is_refused_says_why() {
    let fake = Fake::new();
    let origin = fake.lv("vm1", "Vwi-aotz--", "-");
    fake.refuse("lvcreate", "  free space in thin pool vg/pool reached threshold.");
    let error = fake.lvm.take_kept(&origin, "20260101T000000Z".parse().expect("a moment"), &["t"]);
    assert!(error.expect_err("refused").why().contains("reached threshold"));
    // Somebody else's, of the same name, made in between.
    fake.before("lvcreate", "printf 'Vwi-a-tz--\n-\n' > volumes/vg/vm1.lvpipe-20260101T000000Z");
    fake.allow("lvcreate");
    assert_eq!(fake.lvm.take_kept(&origin, "20260101T000000Z".parse().expect("a moment"), &["t"]), Ok(None));
}

#[test]
fn a_snapshot_that_lvm_refuses_leaves_nothing_and_says_why() {
    let mut fake = Fake::new();
    let origin = fake.lv("vm1", "Vwi-aotz--", "-");
    fake.refuse("lvcreate", "  Cannot create new thin volume, free space in thin pool vg/pool reached threshold.");
    let error = TemporarySnapshot::take(&fake.lvm, &origin, &fake.reservations).expect_err("refused");
    assert_eq!(error.status(), Status::Io);
    assert!(error.why().contains("reached threshold"), "{error}");
    assert_eq!(fake.on_record(), []);
}

#[test]
fn what_cannot_be_removed_is_said_and_left_to_the_next_run() {
    let mut fake = Fake::new();
    let origin = fake.lv("vm1", "Vwi-aotz--", "-");
    let snapshot = TemporarySnapshot::take(&fake.lvm, &origin, &fake.reservations).expect("taken");
    let name = snapshot.volume().full_name();
    fake.refuse("lvremove", "Logical volume in use.");
    let error = snapshot.remove().expect_err("refused");
    assert_eq!(error.why(), "Logical volume in use.");

    let notices = fake.next_run();
    assert_eq!(notices.len(), 1);
    assert!(notices[0].starts_with(&format!("cannot remove {name}, left by lvpipe ")), "{notices:?}");
    fake.allow("lvremove");
    let notices = fake.next_run();
    assert_eq!(notices.len(), 1);
    assert!(notices[0].starts_with(&format!("removed {name}, left by lvpipe ")), "{notices:?}");
    assert_eq!(fake.volumes(), ["vm1"]);
    assert_eq!(fake.next_run(), Vec::<String>::new());
}

#[test]
fn a_created_volume_is_removed_unless_kept_and_then_unmarked() {
    let mut fake = Fake::new();
    fake.lv("pool", "twi-aotz--", "-");
    let create = |name: &str| CreatedLv::create(&fake.lvm, "vg", "pool", name, 1_000_000, &fake.reservations);
    drop(create("failed").expect("made"));
    assert_eq!(fake.volumes(), ["pool"]);
    assert!(fake.log().contains("--virtualsize 1000448b"), "{}", fake.log());

    create("whole").expect("made").keep().expect("kept");
    let whole = fake.lvm.find("vg", "whole").expect("asked").expect("there");
    assert!(whole.tags.is_empty(), "{:?}", whole.tags);
    assert_eq!(fake.on_record(), []);
}

#[test]
fn a_created_volume_is_marked_as_incomplete_from_shortly_before_it_is_handed_over_until_somebody_has_it() {
    let mut fake = Fake::new();
    fake.lv("pool", "twi-aotz--", "-");
    let tags = || fake.lvm.find("vg", "new").expect("asked").expect("there").tags;
    let created = CreatedLv::create(&fake.lvm, "vg", "pool", "new", 4096, &fake.reservations).expect("made");
    assert!(tags().iter().any(|tag| tag == TEMPORARY), "{:?}", tags());
    created.unmark().expect("unmarked");
    let is_left = || tags().len() == 2 && tags().iter().any(|tag| tag == "lvpipe.incomplete");
    assert!(is_left(), "{:?}", tags());
    let handed_over = created.hand_over().expect("handed over");
    assert!(is_left(), "no LVM command is run while somebody waits: {:?}", tags());
    handed_over.tidy().expect("tidied");
    assert!(tags().is_empty(), "{:?}", tags());
    assert_eq!(fake.on_record(), []);

    let created = CreatedLv::create(&fake.lvm, "vg", "pool", "failed", 4096, &fake.reservations).expect("made");
    created.unmark().expect("unmarked");
    created.hand_over().expect("handed over").remove().expect("nobody took it");
    assert_eq!(fake.volumes(), ["new", "pool"]);
}

#[test]
fn a_volume_is_not_created_over_another_nor_outside_a_pool() {
    let mut fake = Fake::new();
    fake.lv("pool", "twi-aotz--", "-");
    fake.lv("plain", "-wi-a-----", "-");
    fake.lv("left", "Vwi-a-tz--", "lvpipe.incomplete");
    let rows = [
        ("pool", "plain", "it exists already"),
        ("pool", "left", "it is left of a migration of which nobody knows whether it came to its end"),
        ("plain", "new", "vg/plain is no thin pool"),
        ("none", "new", "there is no pool vg/none"),
    ];
    for (pool, name, why) in rows {
        let error = CreatedLv::create(&fake.lvm, "vg", pool, name, 4096, &fake.reservations).expect_err(why);
        assert_eq!((error.status(), error.why()), (Status::Guard, why));
    }
    let error = CreatedLv::create(&fake.lvm, "vg", "pool", "a b", 4096, &fake.reservations).expect_err("a space");
    assert_eq!(error.status(), Status::Usage);
    assert!(!fake.log().contains("lvcreate"), "{}", fake.log());
    assert_eq!(fake.volumes(), ["left", "plain", "pool"]);
    assert_eq!(fake.on_record(), []);
}

#[test]
fn a_volume_that_somebody_else_makes_meanwhile_is_left_alone() {
    let mut fake = Fake::new();
    fake.lv("pool", "twi-aotz--", "-");
    // An admin's, and another lvpipe's on this host.
    let other_run = [Marks::of_this_boot().expect("known").all().join(","), "lvpipe.lv.other".into()].join(",");
    for (name, tags) in [("admins", "-"), ("others", other_run.as_str())] {
        fake.before("lvcreate", &format!("printf 'Vwi-a-tz--\n%s\n' '{tags}' > volumes/vg/{name}"));
        let error =
            CreatedLv::create(&fake.lvm, "vg", "pool", name, 4096, &fake.reservations).expect_err("it is taken");
        assert_eq!((error.status(), error.why()), (Status::Guard, "it exists already"));
        // Killed before it could clean up: the record alone.
        let held = Held::TemporaryLv { vg: "vg".into(), lv: name.into(), tag: "lvpipe.lv.dead".into() };
        drop(fake.reservations.record(held).expect("recorded"));
    }
    assert_eq!(fake.volumes(), ["admins", "others", "pool"]);
    assert_eq!(fake.next_run(), Vec::<String>::new());
    assert_eq!(fake.volumes(), ["admins", "others", "pool"]);
    assert_eq!(fake.on_record(), []);
}

#[test]
fn a_volume_is_active_for_a_run_and_only_if_it_was_not() {
    let mut fake = Fake::new();
    let inactive = fake.lv("kept", "Vwi---tz-k", "-");
    let activation = Activation::of(&fake.lvm, &inactive, &fake.reservations).expect("activated");
    let active = fake.lvm.find("vg", "kept").expect("asked").expect("there");
    assert!(active.is_active());
    assert!(Activation::of(&fake.lvm, &active, &fake.reservations).expect("nothing to do").is_none());
    drop(activation);
    assert!(!fake.lvm.find("vg", "kept").expect("asked").expect("there").is_active());
    assert_eq!(fake.on_record(), []);
}

#[test]
fn a_volume_is_deactivated_by_its_id_and_not_another_that_has_its_name_by_now() {
    let mut fake = Fake::new();
    let inactive = fake.lv("kept", "Vwi---tz-k", "-");
    let is_active = |fake: &Fake, lv: &str| fake.lvm.find("vg", lv).expect("asked").expect("there").is_active();
    let activation = Activation::of(&fake.lvm, &inactive, &fake.reservations).expect("activated");
    fs::write(fake.path("renamed"), "Vwi-a-tz-k\n-\nid-kept\n").expect("written");
    fs::write(fake.path("kept"), "Vwi-a-tz--\n-\nid-others\n").expect("written");
    drop(activation);
    assert_eq!((is_active(&fake, "renamed"), is_active(&fake, "kept")), (false, true), "at the end of the run");

    fs::write(fake.path("renamed"), "Vwi-a-tz-k\n-\nid-kept\n").expect("written");
    let held = Held::ActivatedLv { vg: "vg".into(), lv: "kept".into(), uuid: "id-kept".into() };
    drop(fake.reservations.record(held).expect("recorded"));
    let notices = fake.next_run();
    assert!(notices[0].starts_with("deactivated vg/renamed, made active by lvpipe "), "{notices:?}");
    assert_eq!((is_active(&fake, "renamed"), is_active(&fake, "kept")), (false, true), "by the next run");
}

#[test]
fn a_volume_that_is_replaced_by_another_does_not_have_its_device_any_more() {
    let fake = Fake::new();
    let base = fake.lv("base", "Vwi---tz-k", "-");
    let has_its_device = |volume: &LogicalVolume| fake.lvm.has_its_device(volume).expect("asked");
    assert!(has_its_device(&base));
    assert!(!has_its_device(&LogicalVolume { thin_id: Some(3), ..base.clone() }), "it was merged");
    fs::write(fake.path("base"), "Vwi---tz-k\n-\nid-other\n").expect("written");
    assert!(!has_its_device(&base), "another of its name");
    fs::remove_file(fake.path("base")).expect("removed");
    assert!(!has_its_device(&base), "gone");
}

/// An LV that a run activates and that somebody else opens then.
fn opened_meanwhile(fake: &Fake) -> Activation {
    let inactive = fake.lv("kept", "Vwi---tz-k", "-");
    let activation =
        Activation::of(&fake.lvm, &inactive, &fake.reservations).expect("activated").expect("it was not");
    fake.lv("kept", "Vwi-aotz-k", "-");
    activation
}

#[test]
fn a_volume_that_somebody_has_opened_stays_active_which_is_no_failure() {
    let mut fake = Fake::new();
    let notice = opened_meanwhile(&fake).end().expect("no failure");
    assert_eq!(notice.as_deref(), Some("vg/kept stays active: somebody has opened it meanwhile"));
    assert_eq!(fake.on_record(), []);
}

#[test]
fn a_failed_run_says_what_it_leaves_and_the_next_one_leaves_what_is_open() {
    let mut fake = Fake::new();
    fake.lv("pool", "twi-aotz--", "-");
    let created = CreatedLv::create(&fake.lvm, "vg", "pool", "new", 4096, &fake.reservations).expect("made");
    fake.refuse("lvremove", "Logical volume vg/new in use.");
    let why = "vg/new is left: Logical volume vg/new in use; the next run of lvpipe removes it";
    assert_eq!(created.abandon().as_deref(), Some(why));
    let notice = opened_meanwhile(&fake).abandon().expect("it is open");
    assert!(notice.starts_with("vg/kept is still active: Logical volume in use; "), "{notice}");

    fake.allow("lvremove");
    let pid = std::process::id();
    assert_eq!(
        fake.next_run(),
        [
            format!("removed vg/new, left by lvpipe {pid}, which has ended"),
            format!("left vg/kept active, as it is open: it was made active by lvpipe {pid}, which has ended"),
        ]
    );
    assert!(fake.lvm.find("vg", "kept").expect("asked").expect("there").is_active());
    assert_eq!(fake.on_record(), []);
}

#[test]
fn what_a_killed_run_left_is_undone_but_nothing_else() {
    let mut fake = Fake::new();
    let earlier = Marks::of_an_earlier_boot().all().join(",");
    fake.lv("earlier", "Vwi---tz-k", &earlier);
    fake.lv("other-host", "Vwi-a-tz-k", &format!("{TEMPORARY},lvpipe.host.other,lvpipe.boot.earlier"));
    fake.lv("living", "Vwi-a-tz-k", &Marks::of_this_boot().expect("known").all().join(","));
    fake.lv("dead", "Vwi-a-tz-k", &format!("{TEMPORARY},lvpipe.lv.dead"));
    fake.lv("kept", "Vwi-a-tz--", "-");
    fake.lv("activated", "Vwi-a-tz-k", "-");
    let record = |held| {
        // Dropped without being cleared, as when its process dies.
        drop(fake.reservations.record(held).expect("recorded"));
    };
    let temporary = |lv: &str| Held::TemporaryLv { vg: "vg".into(), lv: lv.into(), tag: format!("lvpipe.lv.{lv}") };
    record(temporary("dead"));
    // Killed after it was kept, before that was on record.
    record(temporary("kept"));
    // Killed before it was made.
    record(temporary("never"));
    record(Held::ActivatedLv { vg: "vg".into(), lv: "activated".into(), uuid: "id-activated".into() });

    let notices = fake.next_run();
    let pid = std::process::id();
    assert_eq!(
        notices,
        [
            format!("removed vg/dead, left by lvpipe {pid}, which has ended"),
            format!("deactivated vg/activated, made active by lvpipe {pid}, which has ended"),
            "removed vg/earlier, left by an lvpipe that did not end before this host went down".to_string(),
        ]
    );
    assert_eq!(fake.volumes(), ["activated", "kept", "living", "other-host"]);
    assert_eq!(fake.next_run(), Vec::<String>::new());
}

#[test]
fn a_name_is_resolved_to_a_volume_or_left_to_be_a_path() {
    let fake = Fake::new();
    fake.lv("vm1", "Vwi---tz-k", "-");
    let resolve = |name: &str| fake.lvm.resolve(name).map(|found| found.map(|volume| volume.full_name()));
    for name in ["vg/vm1", "/dev/vg/vm1", "/dev/mapper/vg-vm1"] {
        assert_eq!(resolve(name), Ok(Some("vg/vm1".into())), "{name}");
    }
    let file = fake.directory.path().join("log");
    for path in
        ["image", "./vg/vm1", "a/b/c", "/dev/null", "/dev/vg/other", "/srv/new.img", file.to_str().expect("ASCII")]
    {
        assert_eq!(resolve(path), Ok(None), "{path}");
    }
    // A file that could be made, beside Cargo.toml, where tests run.
    assert_eq!(resolve("src/new.img"), Ok(None));
    let error = resolve("vg/other").expect_err("neither a volume nor a file");
    assert!(error.to_string().starts_with("no such volume: vg/other: "), "{error}");
}

#[test]
fn without_lvm_a_path_is_a_path_and_a_volume_asks_for_the_package() {
    let lvm = Lvm::in_directory(Path::new("/nowhere"));
    assert_eq!(lvm.resolve("src/new.img"), Ok(None));
    assert_eq!(lvm.resolve("/dev/vg/vm1"), Ok(None));
    let error = lvm.resolve("vg/vm1").expect_err("cannot know");
    assert!(error.to_string().contains("apt install lvm2"), "{error}");
}
