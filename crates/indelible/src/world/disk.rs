//! The machine's file system.
//!
//! Invariants: the last component of an opened path is never a symbolic link and always a regular file; nothing made here
//! is open to the group or to others, whatever the umask says; no descriptor survives an `exec`; a failed sync is reported
//! once, as it came, and never tried again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Disk, DiskFile, LockGuard, Open, fork};

/// Files and directories of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let flags = match how {
            Open::Read => OFlags::RDONLY,
            Open::ReadWrite => OFlags::RDWR,
            Open::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            Open::Create => OFlags::RDWR | OFlags::CREATE,
        };
        Ok(Box::new(RealFile { file: open_regular(path, flags)? }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match rustix::fs::mkdir(path, DIRECTORY_MODE) {
            Ok(()) => Ok(()),
            // A link to a directory is accepted: operators put a journal on another volume that way.
            Err(Errno::EXIST) if fs::metadata(path).is_ok_and(|found| found.is_dir()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // One stray foreign name must not keep a store from opening, so it is shown as well as it can be.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        Ok(rustix::fs::fsync(&directory)?)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = retry_on_intr(|| rustix::fs::statvfs(path))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let generation = fork::watch()?;
        let file = open_regular(path, OFlags::RDWR)?;
        retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive))?;
        Ok(Box::new(RealLock { file, generation }))
    }
}

/// An `flock` on an open file. It belongs to the open file, not to the process: a second opening is refused it even here.
struct RealLock {
    file: File,
    generation: u64,
}

impl LockGuard for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // A forked child shares the open file. Closing alone would leave the lock held until the last child is gone;
        // unlocking in a child would take it from the parent, who is still writing.
        if fork::generation() == self.generation {
            // Closing comes next and frees it too: an error here changes nothing.
            let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
        }
    }
}

struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = advance(offset, done)?;
            match retry_on_intr(|| rustix::io::pread(&self.file, &mut *rest, at))? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        write_all(parts, offset, |parts, at| Ok(rustix::io::pwritev(&self.file, parts, at)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not retried, not even when interrupted: the kernel reports a lost page once, and a second call may say it is well.
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        match retry_on_intr(|| rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes)) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(self, bytes),
            Err(error) => Err(error.into()),
        }
    }
}

/// Opens a regular file without following a link at the end of `path`.
fn open_regular(path: &Path, flags: OFlags) -> io::Result<File> {
    // NONBLOCK and NOCTTY mean nothing to a regular file; they keep the open of a planted pipe or terminal from hanging.
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(retry_on_intr(|| rustix::fs::open(path, flags, FILE_MODE))?);
    let found = file.metadata()?.file_type();
    if found.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if !found.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Writes all the `parts` with a `write` that takes at most `PARTS_MAX` of them and may do less than it was asked for.
pub(super) fn write_all(
    parts: &[IoSlice<'_>],
    offset: u64,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let mut parts = parts;
    let mut at = offset;
    // Bytes of the first part that are written already.
    let mut skip = 0;
    loop {
        let Some(first) = parts.first() else { return Ok(()) };
        let rest = first.get(skip..).unwrap_or_default();
        if rest.is_empty() {
            parts = parts.get(1..).unwrap_or_default();
            skip = 0;
            continue;
        }
        // A write that stopped inside a part finishes that part by itself, so that no list of parts is ever copied.
        let written =
            if skip > 0 { write(&[IoSlice::new(rest)], at) } else { write(parts.get(..PARTS_MAX).unwrap_or(parts), at) };
        let mut written = match written {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        at = advance(at, written)?;
        while written > 0 {
            let Some(first) = parts.first() else { return Ok(()) };
            let rest = first.len().saturating_sub(skip);
            if written < rest {
                skip += written;
                break;
            }
            written -= rest;
            skip = 0;
            parts = parts.get(1..).unwrap_or_default();
        }
    }
}

/// What `allocate` does on a file system that cannot reserve: makes the blocks by writing them.
///
/// Only beyond the present end, since a writer may be at work before it; holes there stay holes.
pub(super) fn write_zeros(file: &dyn DiskFile, bytes: u64) -> io::Result<()> {
    let mut at = file.len()?;
    while at < bytes {
        let step = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_at(&[IoSlice::new(ZEROS.get(..step).unwrap_or(&ZEROS))], at)?;
        at = advance(at, step)?;
    }
    Ok(())
}

fn advance(offset: u64, by: usize) -> io::Result<u64> {
    u64::try_from(by)
        .ok()
        .and_then(|by| offset.checked_add(by))
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "offset beyond 2^64"))
}

/// Modes are ceilings: a umask or a default access list can take from them, never add.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIRECTORY_MODE: Mode = Mode::RWXU;

/// `IOV_MAX` of Linux: more parts in one call are refused.
pub(super) const PARTS_MAX: usize = 1024;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
