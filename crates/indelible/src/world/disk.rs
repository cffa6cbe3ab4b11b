//! The machine's file system.
//!
//! Invariants: the last component of an opened path is never a symbolic link and always a regular file; nothing made here
//! is open to the group or to others, whatever the umask says; no descriptor survives an `exec`; a failed sync is reported
//! once, as it came, and never tried again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSlice};
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::Path;

use parking_lot::Mutex;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, Mode, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

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
        Ok(Box::new(RealFile { file: open_regular(path, flags)?, is_written: how != Open::Read, direct: Mutex::new(None) }))
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
    /// Whether it was opened for writing.
    is_written: bool,
    /// There while the file is open for direct I/O.
    direct: Mutex<Option<SectorBuffer>>,
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.read_all(buf, offset) {
            Err(error) if refuses_direct(&error) && self.direct.lock().take().is_some() => {
                set_direct(&self.file, false)?;
                self.read_all(buf, offset)
            }
            done => done,
        }
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let write = || write_all(parts, offset, |parts, at| Ok(rustix::io::pwritev(&self.file, parts, at)?));
        match write() {
            Err(error) if refuses_direct(&error) && self.direct.lock().take().is_some() => {
                set_direct(&self.file, false)?;
                write()
            }
            done => done,
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not retried, not even when interrupted: the kernel reports a lost page once, and a second call may say it is well.
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    /// Around the page cache where `pass_by_cache` was asked for and the file system lets us. That spares the kernel a page for every
    /// 4 KiB, and it reports what buffered writes hide: on ext4, a failed conversion of reserved blocks to written ones.
    fn write_durably(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut direct = self.direct.lock();
        if let Some(sectors) = direct.as_mut().map(|buffer| buffer.gather(parts)) {
            match self.write_direct(sectors, offset) {
                // Written once more below, through the cache.
                Err(error) if refuses_direct(&error) => {}
                done => {
                    direct.as_mut().map(SectorBuffer::shrink);
                    return done;
                }
            }
        }
        drop(direct);
        self.write_at(parts, offset)?;
        self.sync_data()
    }

    fn will_read(&self, offset: u64, bytes: u64) {
        // What passes by the page cache shall not be read into it. Best effort, like any hint.
        if self.direct.lock().is_none() {
            let _ = rustix::fs::fadvise(&self.file, offset, NonZeroU64::new(bytes), Advice::WillNeed);
        }
    }

    fn have_read(&self, offset: u64, bytes: u64) {
        if self.direct.lock().is_none() {
            let _ = rustix::fs::fadvise(&self.file, offset, NonZeroU64::new(bytes), Advice::DontNeed);
        }
    }

    fn data(&self, offset: u64) -> io::Result<Vec<Range<u64>>> {
        let (mut ranges, mut at) = (Vec::new(), offset);
        loop {
            let start = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) => start,
                // Nothing from here to the end, or the end is before.
                Err(Errno::NXIO) => return Ok(ranges),
                // Not on this file system.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(std::iter::once(offset..self.len()?).collect()),
                Err(error) => return Err(error.into()),
            };
            at = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
            ranges.push(start..at);
        }
    }

    fn pass_by_cache(&self) {
        if set_direct(&self.file, true).is_ok() {
            *self.direct.lock() = Some(SectorBuffer::default());
            // What was written ahead would only be thrown out page by page. Best effort. Who only reads leaves others their pages: a
            // journal file that is being sealed is searched meanwhile.
            if self.is_written {
                let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
            }
        }
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

impl RealFile {
    fn read_all(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
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

    fn write_direct(&self, sectors: &[u8], offset: u64) -> io::Result<()> {
        // One call for a short write. A long one goes to the device in pieces, and would wait for each of them.
        let sync_with_write = sectors.len() <= SYNCED_WRITE_BYTES_MAX;
        let flags = if sync_with_write { ReadWriteFlags::DSYNC } else { ReadWriteFlags::empty() };
        write_all(&[IoSlice::new(sectors)], offset, |parts, at| Ok(rustix::io::pwritev2(&self.file, parts, at, flags)?))?;
        if sync_with_write { Ok(()) } else { self.sync_data() }
    }
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    rustix::fs::fcntl_setfl(file, if direct { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT })?;
    Ok(())
}

/// Whether a direct write was turned down before anything was written: for its alignment, or because there is no such thing here.
fn refuses_direct(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::OPNOTSUPP))
}

/// Memory that begins where direct I/O wants it to.
#[derive(Default)]
struct SectorBuffer(Vec<u8>);

impl SectorBuffer {
    /// Copies the `parts` one behind the other.
    fn gather(&mut self, parts: &[IoSlice<'_>]) -> &[u8] {
        let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        if self.0.len() < bytes + PAGE_BYTES {
            self.0 = vec![0; bytes.next_multiple_of(256 << 10) + PAGE_BYTES];
        }
        let start = self.0.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        let (_, memory) = self.0.split_at_mut(start);
        let mut rest = &mut *memory;
        for part in parts {
            let Some((to, behind)) = rest.split_at_mut_checked(part.len()) else { break };
            to.copy_from_slice(part);
            rest = behind;
        }
        memory.get(..bytes).unwrap_or_default()
    }

    /// Lets go of what one large frame needed.
    fn shrink(&mut self) {
        if self.0.len() > SECTOR_BUFFER_KEPT_MAX {
            self.0 = Vec::new();
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

/// No direct I/O asks for more.
const PAGE_BYTES: usize = 4096;
/// Up to here a write that syncs takes less time than a write and a sync.
const SYNCED_WRITE_BYTES_MAX: usize = 256 << 10;
/// What the lanes hold by default, and its tables, fit in.
const SECTOR_BUFFER_KEPT_MAX: usize = 7 << 20;
