//! Where stores are made for measuring: a directory of our own on a real disk, removed afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Result;

const PREFIX: &str = "run-";

/// The file system a directory is on.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// `ext4`, `xfs`…
    pub(crate) kind: String,
    /// What is mounted.
    pub(crate) device: String,
    pub(crate) free_bytes: u64,
}

/// The directory of this run. Dropping it removes everything in it.
pub(crate) struct Place {
    run: TempDir,
    pub(crate) mount: Mount,
}

impl Place {
    /// Makes a directory for this run in `data`, by default beside the build's other products.
    ///
    /// # Errors
    /// The directory cannot be made, or lies in memory: a sync there costs nothing and proves nothing.
    pub(crate) fn make(data: Option<&Path>) -> Result<Self> {
        let base = data.map_or_else(default_base, Path::to_owned);
        fs::create_dir_all(&base).map_err(|error| format!("could not make {}: {error}", base.display()))?;
        let base = fs::canonicalize(&base)?;
        let mount = mount_of(&base)?;
        if matches!(mount.kind.as_str(), "tmpfs" | "ramfs" | "overlay") {
            return Err(format!("{} is on {}, not on a disk; choose another --data", base.display(), mount.kind).into());
        }
        sweep(&base)?;
        let run = tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir_in(&base)?;
        Ok(Self { run, mount })
    }

    pub(crate) fn path(&self) -> &Path {
        self.run.path()
    }

    /// Where things are kept from run to run: beside the directories of runs.
    pub(crate) fn cache(&self) -> Result<&Path> {
        Ok(self.path().parent().ok_or("the directory of this run is the root")?)
    }

    /// A fresh directory for one measurement, removed when dropped.
    pub(crate) fn fresh(&self, name: &str) -> Result<TempDir> {
        Ok(tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(self.path())?)
    }
}

fn default_base() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target.join("indelible-bench")
}

/// Removes what runs that were killed left behind: it can be tens of gigabytes.
fn sweep(base: &Path) -> Result<()> {
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if let Some(pid) = owner
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The file system that `path` is on: the longest mount point above it.
fn mount_of(path: &Path) -> Result<Mount> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let found = mounts
        .lines()
        .filter_map(|line| {
            // proc(5): "… mount-point options [optional fields] - type source super-options".
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?.replace("\\040", " ");
            let mut right = right.split(' ');
            let (kind, device) = (right.next()?, right.next()?);
            path.starts_with(&point).then(|| (point.len(), kind.to_owned(), device.to_owned()))
        })
        // Of mounts on the same point the last one is on top, and `max_by_key` returns the last.
        .max_by_key(|(length, ..)| *length);
    let (_, kind, device) = found.ok_or("no mount point found")?;
    Ok(Mount { kind, device, free_bytes: free_bytes(path)? })
}

/// Bytes that we may still write where `path` is.
pub(crate) fn free_bytes(path: &Path) -> Result<u64> {
    let status = rustix::fs::statvfs(path)?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

/// Bytes of all files below `dir` as they lie on disk, holes not counted.
pub(crate) fn bytes_on_disk(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() { bytes_on_disk(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(total)
}
