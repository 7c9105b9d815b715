//! A Debian that holds nothing but what every Debian has, in a directory: `debootstrap --variant=minbase`.
//!
//! It is of this host's release and from this host's mirror, so that the packages' libraries fit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use super::succeed;

/// The directory; removed when this is dropped.
pub struct CleanRoot {
    path: PathBuf,
}

impl CleanRoot {
    /// Makes it in `scratch`.
    pub fn make(scratch: &Path) -> Result<Self> {
        let root = CleanRoot { path: scratch.join("root") };
        root.remove();
        let (release, mirror) = (release()?, mirror()?);
        println!("a clean Debian {release}");
        let mut debootstrap = Command::new("debootstrap");
        let words = ["--variant=minbase", "--include=ca-certificates"];
        let log = scratch.join("debootstrap.log");
        let made =
            debootstrap.args(words).arg(&release).arg(&root.path).arg(&mirror).stdout(fs::File::create(&log)?);
        succeed(made).with_context(|| format!("see {}", log.display()))?;
        Ok(root)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a file into it, under its own name in /tmp.
    pub fn take(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("a file")?.to_string_lossy().into_owned();
        fs::copy(file, self.path.join("tmp").join(&name)).with_context(|| file.display().to_string())?;
        Ok(format!("/tmp/{name}"))
    }

    /// What a shell in it says.
    pub fn output(&self, script: &str) -> Result<Output> {
        let mut chroot = Command::new("chroot");
        chroot.arg(&self.path).args(["/bin/sh", "-ec", script]).env_clear();
        chroot.envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("LC_ALL", "C"),
        ]);
        chroot.output().context("chroot")
    }

    /// Runs a shell in it, which is to succeed; what it prints.
    pub fn run(&self, script: &str) -> Result<String> {
        let output = self.output(script)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "in the clean Debian: {script}: {}\n{out}{err}", output.status);
        Ok(out.into_owned())
    }

    /// All files in it, but for those that every installation changes.
    pub fn files(&self) -> Result<Vec<String>> {
        let script = "find / -xdev \\( -path /proc -o -path /sys -o -path /tmp -o -path /var/log -o -path /var/cache \\
                      -o -path /var/lib/dpkg \\) -prune -o -print | sort";
        Ok(self.run(script)?.lines().map(String::from).collect())
    }

    fn remove(&self) {
        // What cannot be removed is removed by the next run, or by `cargo clean`.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Drop for CleanRoot {
    fn drop(&mut self) {
        self.remove();
    }
}

/// This host's release: os-release(5).
fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release has no VERSION_CODENAME: is this a Debian release?")?.trim_matches('"').into())
}

/// Where this host gets its Debian from.
fn mirror() -> Result<String> {
    let release = release()?;
    let asked = Command::new("apt-get")
        .args(["indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages"])
        .output()
        .context("apt-get")?;
    let known = String::from_utf8(asked.stdout)?;
    let wanted = format!("Debian {release} ");
    let mirror = known.lines().find_map(|line| line.strip_prefix(&wanted));
    Ok(mirror.with_context(|| format!("apt knows no mirror of Debian {release}"))?.to_string())
}
