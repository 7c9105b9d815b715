//! The lab's initramfs, in two archives that the kernel unpacks one after the other:
//! the base (busybox, programs, libraries, modules), made again only when one of them changes,
//! and the overlay (lvpipe, the scenarios, the plan), made for each boot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::contents::{BUSYBOX, DIRECTORIES, FILES, HELPERS, LINKS, LVM_COMMANDS, MODULES, PROGRAMS, Program};
use super::kernel::Kernel;
use super::run_command;

/// Where a program of this machine is.
pub fn locate(program: &Program) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program.name))
        .find(|file| file.is_file())
        .with_context(|| format!("no {} on this machine: apt-get install {}", program.name, program.package))
}

/// The base archive in `directory`, up to date.
pub fn base(directory: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let tree = Tree::of_the_base(kernel)?;
    let archive = directory.join("base.cpio");
    let recipe = directory.join("base.recipe");
    let wanted = tree.recipe()?;
    if !archive.exists() || fs::read_to_string(&recipe).ok().as_deref() != Some(&wanted) {
        let root = directory.join("base");
        tree.write(&root)?;
        run_command(Command::new("depmod").arg("-b").arg(&root).arg(&kernel.version))?;
        pack(&root, &archive)?;
        fs::write(&recipe, &wanted)?;
    }
    Ok(archive)
}

/// The program without what only a debugger wants: that would be most of what each boot unpacks.
pub fn slim(program: &Path, directory: &Path) -> Result<PathBuf> {
    let slim = directory.join("lvpipe");
    run_command(Command::new("strip").args(["--strip-debug", "-o"]).arg(&slim).arg(program))?;
    Ok(slim)
}

/// The overlay archive for one boot: `lvpipe`, what is in tests/lab, and the plan that its init reads.
pub fn overlay(directory: &Path, lvpipe: &Path, lab: &Path, plan: &str) -> Result<PathBuf> {
    let mut tree = Tree::default();
    tree.program_file(lvpipe, "usr/bin/lvpipe")?;
    tree.copy(&lab.join("init.sh"), "init");
    tree.texts.insert("lab/plan".into(), plan.into());
    for entry in fs::read_dir(lab)?.chain(fs::read_dir(lab.join("scenarios"))?) {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "sh") {
            let below = file.strip_prefix(lab).context("it was listed there")?;
            tree.copy(&file, Path::new("lab").join(below));
        }
    }
    let root = directory.join("overlay");
    tree.write(&root)?;
    let archive = directory.join("overlay.cpio");
    pack(&root, &archive)?;
    Ok(archive)
}

/// What is to be in an archive. All paths are relative to its root.
#[derive(Default)]
struct Tree {
    directories: BTreeSet<PathBuf>,
    links: BTreeMap<PathBuf, PathBuf>,
    copies: BTreeMap<PathBuf, PathBuf>,
    texts: BTreeMap<PathBuf, String>,
}

impl Tree {
    fn of_the_base(kernel: &Kernel) -> Result<Tree> {
        let mut tree = Tree::default();
        tree.directories.extend(DIRECTORIES.iter().map(PathBuf::from));
        tree.links.extend(LINKS.iter().map(|(from, to)| (from.into(), to.into())));
        tree.texts.extend(FILES.iter().map(|(path, text)| (path.into(), text.to_string())));
        for program in PROGRAMS {
            tree.program_file(&locate(program)?, &format!("usr/bin/{}", program.name))?;
        }
        for helper in HELPERS.iter().map(Path::new).filter(|helper| helper.exists()) {
            tree.program_file(helper, &helper.strip_prefix("/")?.to_string_lossy())?;
        }
        for name in LVM_COMMANDS {
            tree.links.insert(format!("usr/bin/{name}").into(), "lvm".into());
        }
        // The applets come last in PATH, so that a real program goes before its applet.
        tree.copy(&locate(&BUSYBOX)?, "usr/bin/busybox");
        for applet in run_command(Command::new(locate(&BUSYBOX)?).arg("--list"))?.lines() {
            tree.links.insert(format!("usr/lib/busybox/{applet}").into(), "/usr/bin/busybox".into());
        }
        tree.links.insert("usr/bin/sh".into(), "bash".into());
        tree.kernel_modules(kernel)?;
        Ok(tree)
    }

    fn copy(&mut self, from: &Path, to: impl Into<PathBuf>) {
        self.copies.insert(to.into(), from.into());
    }

    /// A program under the path `to`, and the libraries that it is linked with where it looks for them.
    fn program_file(&mut self, program: &Path, to: &str) -> Result<()> {
        self.copy(&program.canonicalize()?, to);
        for library in libraries(program)? {
            let real = library.canonicalize()?;
            // The directory may be reached through a link (/lib); the file's own name is the one looked for.
            let name = library.file_name().context("a library has a name")?;
            let parent = library.parent().context("ldd gives full paths")?.canonicalize()?;
            self.copy(&real, parent.strip_prefix("/")?.join(name));
        }
        Ok(())
    }

    /// The modules of the table, and what they need, as modules.dep tells.
    fn kernel_modules(&mut self, kernel: &Kernel) -> Result<()> {
        let to = Path::new("usr/lib/modules").join(&kernel.version);
        let dependencies = fs::read_to_string(kernel.modules.join("modules.dep"))?;
        for file in closure(&dependencies, MODULES)? {
            self.copy(&kernel.modules.join(&file), to.join(&file));
        }
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            self.copy(&kernel.modules.join(list), to.join(list));
        }
        self.texts.insert("lab/modules".into(), MODULES.join("\n") + "\n");
        Ok(())
    }

    /// What the archive depends on, as text: it is up to date while this stays the same.
    fn recipe(&self) -> Result<String> {
        let mut recipe = format!("{:?}\n{:?}\n{:?}\n", self.directories, self.links, self.texts);
        for (to, from) in &self.copies {
            let file = fs::metadata(from).with_context(|| format!("cannot read {}", from.display()))?;
            let (to, from) = (to.display(), from.display());
            recipe += &format!("{to} {from} {} {}.{}\n", file.len(), file.mtime(), file.mtime_nsec());
        }
        Ok(recipe)
    }

    fn write(&self, root: &Path) -> Result<()> {
        if root.exists() {
            fs::remove_dir_all(root)?;
        }
        for directory in &self.directories {
            fs::create_dir_all(root.join(directory))?;
        }
        for (from, to) in &self.links {
            symlink(to, with_parent(root.join(from))?)?;
        }
        for (to, from) in &self.copies {
            fs::copy(from, with_parent(root.join(to))?)
                .with_context(|| format!("cannot copy {}", from.display()))?;
            fs::set_permissions(root.join(to), fs::Permissions::from_mode(0o755))?;
        }
        for (to, text) in &self.texts {
            fs::write(with_parent(root.join(to))?, text)?;
        }
        Ok(())
    }
}

fn with_parent(path: PathBuf) -> Result<PathBuf> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(path)
}

/// The libraries that a program is linked with, its loader among them; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let ldd = Command::new("ldd").arg(program).env("LC_ALL", "C").output().context("cannot run ldd")?;
    let listing = String::from_utf8_lossy(&ldd.stdout);
    ensure!(!listing.contains("not found"), "{} lacks a library:\n{listing}", program.display());
    Ok(listing
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(Into::into)
        .collect())
}

/// The files of the modules named, and of those they depend on, from the text of modules.dep.
/// A module that is not there is built in, or modprobe in the lab will say what is wrong.
fn closure(dependencies: &str, modules: &[&str]) -> Result<BTreeSet<String>> {
    let same = |name: &str| name.replace('-', "_");
    let mut files = BTreeSet::new();
    for line in dependencies.lines() {
        let (file, needs) = line.split_once(':').context("modules.dep has lines 'file: needed files'")?;
        let stem = file.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
        if modules.iter().any(|module| same(module) == same(stem)) {
            files.insert(file.to_string());
            files.extend(needs.split_whitespace().map(str::to_string));
        }
    }
    Ok(files)
}

/// Packs the directory as the kernel wants it. Not compressed: that would take longer than it saves.
fn pack(root: &Path, archive: &Path) -> Result<()> {
    let unfinished = archive.with_extension("new");
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--null", "--quiet", "--owner=+0:+0"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(File::create(&unfinished)?)
        .spawn()
        .context("cannot run cpio")?;
    let mut names = cpio.stdin.take().context("its stdin is a pipe")?;
    let mut list = Vec::new();
    list_below(root, Path::new(""), &mut list)?;
    names.write_all(&list)?;
    drop(names);
    ensure!(cpio.wait()?.success(), "cpio failed");
    fs::rename(unfinished, archive)?;
    Ok(())
}

/// All that is below `root`, a directory before what is in it, each name ended by a NUL.
fn list_below(root: &Path, below: &Path, list: &mut Vec<u8>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        list.extend_from_slice(name.as_os_str().as_encoded_bytes());
        list.push(0);
        if entry.file_type()?.is_dir() {
            list_below(root, &name, list)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_brings_what_it_needs_under_either_spelling() {
        let dependencies = "kernel/md/dm-thin-pool.ko: kernel/md/dm-bufio.ko kernel/md/dm-mod.ko\n\
                            kernel/md/dm-bufio.ko: kernel/md/dm-mod.ko\n\
                            kernel/fs/xfs.ko.xz:\nkernel/net/veth.ko:\n";
        let files = closure(dependencies, &["dm_thin_pool", "xfs", "virtio_pci"]).expect("it parses");
        let expected =
            ["kernel/fs/xfs.ko.xz", "kernel/md/dm-bufio.ko", "kernel/md/dm-mod.ko", "kernel/md/dm-thin-pool.ko"];
        assert_eq!(files.into_iter().collect::<Vec<_>>(), expected);
        assert!(closure("nonsense", &["xfs"]).is_err());
    }
}
