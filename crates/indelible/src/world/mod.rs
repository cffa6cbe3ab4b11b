//! The only door to the outside: disk, clock, entropy, threads.
//!
//! The engine reaches the operating system through a [`World`] and nothing else, so that a seeded simulation can run the
//! real engine against a faulty disk and a clock that is a value. All `unsafe` of the workspace lives in this folder.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod clock;
mod disk;
mod entropy;
pub mod fork;

pub use clock::RealClock;
pub use disk::RealDisk;
pub use entropy::RealEntropy;

/// Everything outside the engine that it may touch.
#[derive(Clone)]
pub struct World {
    /// Files and directories.
    pub disk: Arc<dyn Disk>,
    /// Wall time and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes fit for keys and salts.
    pub entropy: Arc<dyn Entropy>,
}

impl World {
    /// The real machine.
    #[must_use]
    pub fn real() -> Self {
        Self { disk: Arc::new(RealDisk), clock: Arc::new(RealClock::new()), entropy: Arc::new(RealEntropy) }
    }
}

impl World {
    /// Everything in a small file.
    ///
    /// # Errors
    /// What the operating system says; `InvalidData` for a file of more than 16 MiB.
    pub fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.disk.open(path, Open::Read)?;
        let bytes = file.len()?;
        let length = usize::try_from(bytes).ok().filter(|length| *length <= SMALL_FILE_BYTES_MAX);
        let mut buf = vec![0; length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "file too large"))?];
        let read = file.read_at(&mut buf, 0)?;
        buf.truncate(read);
        Ok(buf)
    }

    /// Replaces a small file atomically and durably: a crash leaves the old contents or the new.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn replace_file(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let fresh = path.with_file_name(name);
        if self.disk.exists(&fresh) {
            self.disk.remove(&fresh)?;
        }
        let file = self.disk.open(&fresh, Open::CreateNew)?;
        file.write_at(&[io::IoSlice::new(contents)], 0)?;
        file.sync_data()?;
        drop(file);
        self.disk.rename(&fresh, path)?;
        self.disk.sync_dir(&parent(path))
    }
}

const SMALL_FILE_BYTES_MAX: usize = 16 << 20;

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

/// How to open a file. Every way refuses symbolic links (`O_NOFOLLOW`) and whatever is not a regular file, and makes new
/// files 0600.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Existing file, reading only.
    Read,
    /// Existing file, reading and writing.
    ReadWrite,
    /// New file, reading and writing; fails with `AlreadyExists` when the name is taken.
    CreateNew,
    /// Existing or new file, reading and writing, contents kept.
    Create,
}

/// A file system. Paths are absolute or relative to the process as usual.
///
/// Durability: a name made, renamed or removed is durable after `sync_dir` of its directory; file contents after
/// [`DiskFile::sync_data`].
pub trait Disk: Send + Sync {
    /// Opens `path` as `how` says.
    ///
    /// # Errors
    /// What the operating system says; `ELOOP` for a symbolic link, `IsADirectory` for a directory, `InvalidInput` for a
    /// pipe, socket or device.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a directory with mode 0700; no error if it, or a link to one, is there already.
    ///
    /// # Errors
    /// What the operating system says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames `from` to `to`, replacing it atomically.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names of the files and directories in `path`, sorted; in a name that is not UTF-8 the bad bytes become U+FFFD.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Whether something is at `path` (a dangling symbolic link counts).
    fn exists(&self, path: &Path) -> bool;
    /// Makes names in the directory `path` durable.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes an unprivileged writer may still use on the file system of `path`.
    ///
    /// # Errors
    /// What the operating system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Takes the writer's lock on the existing file `path` without waiting. Dropping the guard (or dying) frees it.
    ///
    /// # Errors
    /// `WouldBlock` when somebody holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
}

/// Held as long as the writer's lock is held.
pub trait LockGuard: Send + Sync {}

/// One open file. Offsets are absolute; calls may run concurrently.
#[expect(clippy::len_without_is_empty, reason = "asking for the length may fail; nobody asks a file whether it is empty")]
pub trait DiskFile: Send + Sync {
    /// Fills `buf` from `offset`, or returns how many bytes there were before the end of the file.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all the `parts`, one behind the other, from `offset`.
    ///
    /// # Errors
    /// What the operating system says; how much was written is then unknown.
    fn write_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Returns once all that was written survives power loss (`fdatasync`).
    ///
    /// # Errors
    /// Final for this handle: the caller must never retry on it.
    fn sync_data(&self) -> io::Result<()>;
    /// `write_at` and `sync_data` in one: returns once all the `parts` survive power loss.
    ///
    /// # Errors
    /// As those of `sync_data`: final for this handle.
    fn write_durably(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.write_at(parts, offset)?;
        self.sync_data()
    }
    /// A hint: the `bytes` from `offset` on will be read soon.
    fn will_read(&self, _offset: u64, _bytes: u64) {}
    /// A hint: the `bytes` from `offset` on were read, and will not be read again soon.
    fn have_read(&self, _offset: u64, _bytes: u64) {}
    /// The ranges, from `offset` on, in which bytes other than zero may stand: reserved blocks that were never written are left out.
    /// All to the end of the file where nobody knows. To be asked before anything there is read, as what is in the page cache counts.
    ///
    /// # Errors
    /// What the operating system says.
    fn data(&self, offset: u64) -> io::Result<Vec<Range<u64>>> {
        Ok(std::iter::once(offset..self.len()?).collect())
    }
    /// From now on this handle is read and written in whole sectors: the page cache may be passed by. Memory that does not begin at a page
    /// costs a copy in `write_durably`, and ends the passing by in `write_at` and `read_at`.
    fn pass_by_cache(&self) {}
    /// Size in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) to `bytes`.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Reserves disk space for the first `bytes` and makes the file that long (reads as zeros).
    ///
    /// # Errors
    /// `StorageFull` when there is no room; the file may then be longer than it was. After success no later write within
    /// `bytes` fails for lack of room (best effort on copy-on-write file systems).
    fn allocate(&self, bytes: u64) -> io::Result<()>;
}

/// Time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since 1970-01-01T00:00:00Z. May jump.
    fn wall_ns(&self) -> i64;
    /// Nanoseconds since some fixed moment. Never goes back.
    fn monotonic_ns(&self) -> u64;
}

/// Randomness fit for keys and salts.
pub trait Entropy: Send + Sync {
    /// Fills `buf` with random bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn fill(&self, buf: &mut [u8]) -> io::Result<()>;
}

/// The directory that holds `path`: `.` for a bare name, `/` for the root itself.
#[must_use]
pub fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_path_buf(),
        None if path.has_root() => path.to_path_buf(),
        None => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;

/// From now on this thread gives way to others of the machine that have work. A hint: where it is refused, nothing changes.
///
/// For a processor only: who waits for a disk as the last one may be what others wait for, who have its journal or our locks to get by.
pub fn background() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), BACKGROUND_NICE);
}

/// A tenth of the share of a thread that is not nice.
const BACKGROUND_NICE: i32 = 10;

/// Name of this machine, for people.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
