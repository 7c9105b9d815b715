//! A far side that takes one transfer after the other over one ssh, as migrations and replicas need it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lvpipe::engine::send::{Input, Sending};
use lvpipe::engine::spread::{LinkCount, Terms, send_over};
use lvpipe::engine::{Compress, HeldAtTarget, Workshop};
use lvpipe::error::{Result, Status};
use lvpipe::link::Dial;
use lvpipe::link::ssh::{Session, SshOptions};
use lvpipe::migrate::Order;
use lvpipe::progress::{Figures, Role};
use lvpipe::stop::Stop;
use lvpipe::usedmap::{Extent, MapBuilder, MapSource};
use lvpipe::volume::{OpenSource, SourceOptions, What, open_source};
use lvpipe::wire::{DigestKind, Lineage, PartSize, Prelude};

use crate::image::{Image, scratch_in_memory};
use crate::process::{LVPIPE, wait_until};

const MIB: u64 = 1 << 20;

/// A session with a far side that a stand-in for ssh runs here.
pub struct Scene {
    pub scratch: tempfile::TempDir,
    pub session: Arc<Session>,
    pub stop: Stop,
    links: LinkCount,
}

impl Scene {
    pub fn new(tcp: bool) -> Scene {
        let scratch = scratch_in_memory();
        let (script, pid) = (scratch.path().join("rsh"), scratch.path().join("pid"));
        let text = format!(
            "[ \"$1\" = -G ] && {{ echo 'hostname 127.0.0.1'; exit 0; }}\nfor command; do :; done\n\
             echo $$ > '{}'\neval \"exec $command\"\n",
            pid.display()
        );
        fs::write(&script, text).expect("written");
        let options = SshOptions {
            command: vec!["sh".into(), script.display().to_string()],
            remote: LVPIPE.into(),
            arguments: ["--stall-timeout", "5"].map(String::from).to_vec(),
            create: false,
            tcp,
            ports: None,
            binds: Vec::new(),
            connect_timeout: Duration::from_secs(2),
        };
        let stop = Stop::new();
        let url = "ssh://somewhere/-".parse().expect("a url");
        let session = Arc::new(Session::start(url, options, &stop).expect("it is started"));
        let links = if tcp { LinkCount::Fixed(3) } else { LinkCount::Fixed(0) };
        Scene { scratch, session, stop, links }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn transfer(&self, image: &Image, to: &Path) -> Result<()> {
        let order = Order::Receive { target: to.display().to_string(), create: false };
        self.carry(&order, image, Lineage::default(), None)
    }

    /// Sends an image after this order; with extents, as a delta of which these were written.
    pub fn carry(&self, order: &Order, image: &Image, lineage: Lineage, written: Option<&[Extent]>) -> Result<()> {
        let source = self.path("image");
        image.write(&source);
        let opened = open_source(source.as_ref(), &SourceOptions::default(), &self.stop).expect("an image");
        let OpenSource { what: What::Volume { source, mut map, mut discarded }, .. } = opened else {
            panic!("it is a file")
        };
        if let Some(written) = written {
            let of = |extents: &[Extent]| {
                let mut map = MapBuilder::new(MapSource::Thin);
                extents.iter().for_each(|extent| map.push(extent.offset, extent.length).expect("in order"));
                Arc::new(map.finish(image.size))
            };
            // What was written, and is no data in the image, was discarded.
            let rest = of(written).subtract(&map).expect("two maps of one volume");
            let data = of(written).subtract(&rest).expect("two maps of one volume");
            discarded = Some(Arc::new(rest));
            map = Arc::new(data);
        }
        self.session.begin_transfer(order, &self.stop)?;
        let (part_size, compress): (PartSize, Compress) = ("64k".parse().expect("a size"), Compress::Auto);
        let prelude = Prelude {
            transfer: rand_id(),
            link: 0,
            links: 4,
            part_size,
            volume_size: Some(map.size()),
            used: Some(map.used_bytes()),
            digest: DigestKind::Sha256,
            answers: true,
            resumes: false,
            lineage,
        };
        let sending = Sending {
            prelude,
            workshop: Workshop::plan(64 << 20, Some(2), part_size, compress.work()).expect("enough"),
            compress,
            source_may_change: false,
            held: HeldAtTarget::default(),
            rate: None,
            figures: Figures::new(Role::Send),
            stop: self.stop.child(),
        };
        let terms = Terms {
            links: self.links,
            retry_for: Duration::from_secs(1),
            stall: Duration::from_secs(5),
            rate: None,
            notice: Arc::new(|_| {}),
        };
        let dial: Arc<dyn Dial> = self.session.clone();
        send_over(Input::Volume { source, map, discarded }, &[dial], sending, &terms).map(drop)
    }

    pub fn pid(&self) -> String {
        fs::read_to_string(self.path("pid")).expect("it was started").trim().into()
    }

    #[track_caller]
    pub fn assert_far_side_ends(self, pid: &str) {
        drop(self.session);
        wait_until("the far side has ended", || !Path::new("/proc").join(pid).exists());
    }
}

fn rand_id() -> [u8; 16] {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("random bytes");
    id
}

#[test]
fn transfers_follow_each_other_over_one_ssh() {
    for tcp in [true, false] {
        let scene = Scene::new(tcp);
        let pid = scene.pid();
        for round in 0..4 {
            let (image, copy) = (Image::full((round + 1) * MIB).seed(round), scene.path(&format!("copy{round}")));
            scene.transfer(&image, &copy).expect("sent and verified");
            image.assert_is(&copy);
            assert_eq!(scene.pid(), pid, "it is the same far side");
        }
        scene.session.ask::<()>(&Order::End, &scene.stop).expect("it lets go");
        scene.assert_far_side_ends(&pid);
    }
}

#[test]
fn after_a_transfer_that_was_refused_comes_the_next() {
    let scene = Scene::new(true);
    let image = Image::full(MIB);
    let error = scene.transfer(&image, Path::new("/no/such/directory/copy")).expect_err("there is no such place");
    assert!(error.to_string().contains("/no/such/directory/copy"), "{error}");
    let copy = scene.path("copy");
    scene.transfer(&image, &copy).expect("sent and verified");
    image.assert_is(&copy);
    scene.session.ask::<()>(&Order::End, &scene.stop).expect("it lets go");
}

#[test]
fn a_far_side_whose_sender_is_gone_ends() {
    let scene = Scene::new(true);
    let pid = scene.pid();
    scene.assert_far_side_ends(&pid);
}

#[test]
fn a_far_side_that_was_killed_is_told_of() {
    let scene = Scene::new(true);
    let pid = scene.pid();
    let number = pid.parse().expect("a number");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), nix::sys::signal::SIGKILL).expect("killed");
    let error = scene.session.ask::<()>(&Order::End, &scene.stop).expect_err("nobody answers");
    assert_eq!((error.status(), error.on()), (Status::Io, "somewhere"), "{error}");
    assert_ne!(OsStr::new(error.why()), "");
}
