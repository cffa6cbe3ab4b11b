//! Real power cuts: an ext4 file system of its own in an image file, stopped by the kernel from one moment to the next.
//!
//! `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH` makes the file system forget everything that did not reach its device: dirty pages,
//! and whatever its journal holds in memory. Mounting it again replays the journal, as after a power cut.
#![expect(unsafe_code, reason = "the shutdown request of ext4 has no wrapper")]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted image. Dropping it unmounts and detaches it.
#[derive(Debug)]
pub struct LoopDisk {
    device: PathBuf,
    mount_point: PathBuf,
    mounted: bool,
}

/// Why there can be no power cut here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Something that can be installed or granted is missing: a gate that needs power cuts fails.
    Missing(String),
    /// The kernel has no loop devices for us, or no ext4: nothing in this machine can change that.
    Kernel(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(why) => write!(f, "no power cuts here: {why}"),
            Self::Kernel(why) => write!(f, "no power cuts here, the kernel refuses: {why}"),
        }
    }
}

impl LoopDisk {
    /// Makes an ext4 file system of `bytes` in an image file in `dir` and mounts it.
    ///
    /// # Errors
    /// Why not.
    pub fn make(dir: &Path, bytes: u64) -> Result<Self, Refusal> {
        // SAFETY: asks for a number, changes nothing.
        if unsafe { libc::geteuid() } != 0 {
            return Err(Refusal::Missing("mounting needs root".into()));
        }
        let failed = |what: &str, error: io::Error| Refusal::Missing(format!("{what}: {error}"));
        let (image, mount_point) = (dir.join("disk.img"), dir.join("mnt"));
        File::create(&image).and_then(|file| file.set_len(bytes)).map_err(|error| failed("the image", error))?;
        fs::create_dir_all(&mount_point).map_err(|error| failed("the mount point", error))?;
        run("mkfs.ext4", &["-q", "-F", &text(&image)]).map_err(|error| failed("mkfs.ext4 (package e2fsprogs)", error))?;
        if !Path::new("/dev/loop-control").exists() {
            return Err(Refusal::Kernel("there is no /dev/loop-control".into()));
        }
        let device = run("losetup", &["--find", "--show", &text(&image)]).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed("losetup (package mount)", error),
            _ => Refusal::Kernel(format!("losetup: {error}")),
        })?;
        let mut disk = Self { device: device.trim().into(), mount_point, mounted: false };
        disk.mount().map_err(|error| Refusal::Kernel(error.to_string()))?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Cuts the power: from now on every call fails, and what did not reach the device is gone.
    ///
    /// # Errors
    /// The kernel does not know the request.
    pub fn cut(&self) -> io::Result<()> {
        let root = File::open(&self.mount_point)?;
        let flags: u32 = GOING_FLAGS_NOLOGFLUSH;
        // SAFETY: the request reads one u32 behind the pointer, which lives through the call.
        match unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Restores the power: unmounts what is left and mounts the device anew, which replays the journal.
    ///
    /// # Errors
    /// Something still uses the file system, or it cannot be mounted.
    pub fn restore(&mut self) -> io::Result<()> {
        run("umount", &[&text(&self.mount_point)])?;
        self.mounted = false;
        self.mount()
    }

    fn mount(&mut self) -> io::Result<()> {
        run("mount", &["-t", "ext4", &text(&self.device), &text(&self.mount_point)])?;
        self.mounted = true;
        Ok(())
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Best effort: a device left behind is seen by the next `losetup --list`.
        if self.mounted {
            let _ = run("umount", &[&text(&self.mount_point)]);
        }
        let _ = run("losetup", &["--detach", &text(&self.device)]);
    }
}

fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program} {}: {said}", arguments.join(" "))))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// `_IOR('X', 125, __u32)`, `fs/ext4/ext4.h`.
const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587D;
/// Stop without writing out the journal.
const GOING_FLAGS_NOLOGFLUSH: u32 = 2;
