//! The journal's writing side: appends frames to files made ahead of use. Bytes: docs/format/journal.md.
//!
//! Invariants: one frame is in flight at a time (the caller holds `&mut`). A file is durable in its directory before its first
//! frame is written; its header travels with that frame in one sync. After any failed write or sync the journal is dead.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indelible_format::Hash;
use indelible_format::frame::{FileHeader, LogState, Status, StoreId};
use indelible_format::limits::SECTOR_BYTES;
use parking_lot::{Condvar, Mutex};

use crate::digest::LogHead;
use crate::error::{Error, ErrorKind, Result};
use crate::seal::sealer::Boundary;
use crate::world::{DiskFile, Open, World};

/// Smallest journal file: what an empty store costs, twice.
pub(crate) const FILE_BYTES_MIN: u64 = 4 << 20;
/// Zeros are written ahead in pieces of this size: a commit that meets one at the disk waits for no more.
static ZEROS: Zeros = Zeros([0; 256 << 10]);

/// Begins at a page, so that it need not pass through the page cache.
#[repr(align(4096))]
struct Zeros([u8; 256 << 10]);

const PADDING: &[u8; SECTOR_BYTES] = &[0; SECTOR_BYTES];

/// Name of the file with this number.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:08}.wal")
}

/// Number in a file's name.
pub(crate) fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let number = digits.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// A file of full size whose name is durable, waiting to be used.
pub(crate) struct Prepared {
    pub(crate) number: u64,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) bytes: u64,
}

/// Whether to write a file full of zeros ahead of use, so that later syncs need not update its extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prewrite {
    /// Only reserve the space.
    Never,
    /// Unless files are used up so fast that writing everything twice would cost more than it saves.
    WhenCalm,
}

/// Above this rate files are filled in large batches, which hide the cost of a sync by themselves, and writing everything twice would
/// take the disk from them. Below it, a sync of blocks that were written ahead takes half as long as one that must convert them.
const CALM_BYTES_PER_SECOND: u64 = 64 << 20;

/// Makes journal files ahead of use. Shared by the journal and the housekeeping thread.
pub(crate) struct Nursery {
    world: World,
    dir: PathBuf,
    reserve_bytes: u64,
    file_bytes_max: u64,
    slot: Mutex<Slot>,
    changed: Condvar,
    // Set when the journal waits for the file that is being made: writing zeros ahead is then given up.
    hurry: AtomicBool,
}

/// Size of the file with this number: the first are small.
pub(crate) fn file_bytes(number: u64, file_bytes_max: u64) -> u64 {
    let max = file_bytes_max.max(FILE_BYTES_MIN).next_multiple_of(1 << 20);
    let grown = FILE_BYTES_MIN.checked_shl(u32::try_from(number.saturating_sub(1).min(16)).unwrap_or(16));
    grown.unwrap_or(max).min(max)
}

struct Slot {
    next_number: u64,
    next_bytes: u64,
    /// Bytes of the file in use, and when it was taken.
    last_taken: Option<(u64, u64)>,
    /// Whether the file before that was used up too fast for writing ahead.
    hurried: bool,
    ready: Option<Prepared>,
    making: bool,
    /// What went wrong for good: after a failed sync nobody knows which names and bytes the disk holds, so none is used.
    failed: Option<Error>,
}

impl Nursery {
    pub(crate) fn new(world: World, dir: &Path, next_number: u64, reserve_bytes: u64, file_bytes_max: u64) -> Self {
        let file_bytes_max = file_bytes_max.max(FILE_BYTES_MIN).next_multiple_of(1 << 20);
        Self {
            world,
            dir: dir.to_owned(),
            reserve_bytes,
            file_bytes_max,
            slot: Mutex::new(Slot {
                next_number,
                next_bytes: file_bytes(next_number, file_bytes_max),
                last_taken: None,
                hurried: false,
                ready: None,
                making: false,
                failed: None,
            }),
            changed: Condvar::new(),
            hurry: AtomicBool::new(false),
        }
    }

    /// Makes the next file unless one is ready or in the making.
    ///
    /// # Errors
    /// `Busy`: for lack of room or handles; trying again is fine. Any other is final: it comes back from every later call.
    pub(crate) fn prepare(&self, prewrite: Prewrite) -> Result<()> {
        let mut slot = self.slot.lock();
        if let Some(error) = &slot.failed {
            return Err(error.clone());
        }
        if slot.ready.is_some() || slot.making {
            return Ok(());
        }
        slot.making = true;
        let (number, bytes) = (slot.next_number, slot.next_bytes);
        let prewrite = prewrite == Prewrite::WhenCalm && !slot.hurried;
        drop(slot);
        let made = self.make(number, bytes, prewrite);
        let mut slot = self.slot.lock();
        slot.making = false;
        let result = made.map(|prepared| {
            slot.next_number += 1;
            slot.next_bytes = (bytes * 2).min(self.file_bytes_max);
            slot.ready = Some(prepared);
        });
        slot.failed = result.as_ref().err().filter(|error| error.kind() != ErrorKind::Busy).cloned();
        self.changed.notify_all();
        result
    }

    /// Removes the file that is ready and was not used.
    fn discard(&self) {
        let ready = self.slot.lock().ready.take();
        if let Some(ready) = ready {
            let path = self.dir.join(file_name(ready.number));
            drop(ready);
            let _ = self.world.disk.remove(&path);
        }
    }

    /// The next file; made here and now if nobody has.
    fn take(&self) -> Result<Prepared> {
        self.hurry.store(true, Ordering::Relaxed);
        let taken = loop {
            let mut slot = self.slot.lock();
            if let Some(ready) = slot.ready.take() {
                let now = self.world.clock.monotonic_ns();
                // The file before this one lasted from when it was taken until now.
                slot.hurried = slot.last_taken.is_some_and(|(bytes, taken)| {
                    let calm_ns = bytes.saturating_mul(1_000_000_000) / CALM_BYTES_PER_SECOND;
                    now.saturating_sub(taken) < calm_ns
                });
                slot.last_taken = Some((ready.bytes, now));
                break Ok(ready);
            }
            if slot.making {
                self.changed.wait(&mut slot);
                continue;
            }
            drop(slot);
            if let Err(error) = self.prepare(Prewrite::Never) {
                break Err(error);
            }
        };
        self.hurry.store(false, Ordering::Relaxed);
        taken
    }

    fn make(&self, number: u64, bytes: u64, prewrite: bool) -> Result<Prepared> {
        let name = file_name(number);
        let context = || format!("could not make journal/{name}");
        let failed = |error| growth_failed(context(), error);
        // Whatever the reason, a sync that failed is final, want of room included: it may have lost what was written.
        let sync_failed = |error| Error::io(context(), error);
        let free = self.world.disk.free_bytes(&self.dir).map_err(failed)?;
        if free < bytes.saturating_add(self.reserve_bytes) {
            let reserve = self.reserve_bytes;
            let told =
                format!("the disk has {free} bytes left; the next journal file needs {bytes} and {reserve} are kept in reserve");
            return Err(growth_failed(told, std::io::ErrorKind::StorageFull.into()));
        }
        let path = self.dir.join(&name);
        // A file of this number without a valid header is left over from a crash; it was never in use.
        let file = self.world.disk.open(&path, Open::Create).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        file.allocate(bytes).map_err(failed)?;
        file.pass_by_cache();
        if prewrite {
            let mut at = 0;
            while at < bytes && !self.hurry.load(Ordering::Relaxed) {
                let length = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.0.len());
                file.write_at(&[IoSlice::new(ZEROS.0.get(..length).unwrap_or(&ZEROS.0))], at).map_err(failed)?;
                at += length as u64;
            }
        }
        file.sync_data().map_err(sync_failed)?;
        self.world.disk.sync_dir(&self.dir).map_err(sync_failed)?;
        Ok(Prepared { number, file, bytes })
    }
}

/// What keeps the journal from growing: `Busy` where it may pass (room, handles), else what it is.
fn growth_failed(context: String, error: std::io::Error) -> Error {
    // ENFILE, EMFILE
    let passing = error.kind() == std::io::ErrorKind::StorageFull || matches!(error.raw_os_error(), Some(23 | 24));
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let cause = Error::io(context, error);
    if !passing {
        return cause;
    }
    let busy = Error::new(ErrorKind::Busy, "the journal cannot grow now").with_cause(cause);
    if full { busy.with_hint("free disk space or move the store to a larger disk; what was acknowledged is safe") } else { busy }
}

/// Whether the file system takes no writes any more: EIO, EROFS.
fn has_stopped(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(5 | 30))
}

/// The journal's end, where frames are appended.
pub(crate) struct Journal {
    nursery: Arc<Nursery>,
    world: World,
    store: StoreId,
    status: Box<dyn DiskFile>,
    current: Option<Current>,
    /// Number of the file after the newest one that was in use.
    next_file: u64,
    /// Number of the frame that comes next.
    next_lsn: u64,
    dead: Option<Error>,
}

struct Current {
    number: u64,
    file: Box<dyn DiskFile>,
    bytes: u64,
    end: u64,
    first_lsn: u64,
    /// Every log before the file's first frame.
    before: Vec<LogHead>,
}

/// The file to go on with: what recovery left.
pub(crate) struct Resume {
    pub(crate) file: Prepared,
    /// Behind its last frame.
    pub(crate) end: u64,
    pub(crate) header: FileHeader,
}

pub(crate) fn heads(logs: &[LogState]) -> Vec<LogHead> {
    logs.iter().map(|state| LogHead { log: state.log, size: state.size, root: state.root }).collect()
}

/// Where a frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u64,
    pub(crate) offset: u64,
}

/// What a frame needs to know about the state before it, should it open a new file.
pub(crate) struct Before<'a> {
    pub(crate) lsn: u64,
    pub(crate) prev: Hash,
    pub(crate) logs: &'a [LogState],
    pub(crate) now: i64,
}

impl Journal {
    /// Goes on behind `resume`: number, file, size and end of the file that recovery left, if any.
    pub(crate) fn new(
        nursery: Arc<Nursery>,
        world: World,
        store: StoreId,
        status: Box<dyn DiskFile>,
        next_file: u64,
        resume: Option<Resume>,
    ) -> Self {
        let current = resume.map(|Resume { file, end, header }| Current {
            number: file.number,
            file: file.file,
            bytes: file.bytes,
            end,
            first_lsn: header.first_lsn,
            before: heads(&header.logs),
        });
        Self { nursery, world, store, status, current, next_file, next_lsn: 0, dead: None }
    }

    /// Ends the file in use: the next frame goes to another one.
    pub(crate) fn end_file(&mut self) {
        self.current = None;
    }

    /// The end of the files that get no further frame; `now`: every log as it is at this moment.
    pub(crate) fn boundary(&self, now: Vec<LogHead>) -> Boundary {
        match &self.current {
            Some(current) => Boundary { file: current.number, lsn: current.first_lsn, heads: current.before.clone() },
            None => Boundary { file: self.next_file, lsn: self.next_lsn, heads: now },
        }
    }

    /// Tells readers how far the journal is durable before the first frame of this writer.
    pub(crate) fn announce(&mut self, next_lsn: u64) {
        self.next_lsn = next_lsn;
        let (file, end) = self.current.as_ref().map_or((0, 0), |current| (current.number, current.end));
        let _ = self.status.write_at(&[IoSlice::new(&Status { store: self.store, file, end, next_lsn }.encode())], 0);
    }

    /// Appends one frame made of `parts` (padding is added here) and returns once it survives power loss.
    ///
    /// # Errors
    /// `Busy` when there is no room, or no handle, for a further file: nothing was written, the journal lives. Anything else is
    /// final.
    pub(crate) fn append(&mut self, parts: &[&[u8]], before: &Before<'_>) -> Result<Place> {
        if let Some(cause) = &self.dead {
            return Err(Error::poisoned(cause));
        }
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let padding = bytes.next_multiple_of(SECTOR_BYTES) - bytes;
        let frame_bytes = (bytes + padding) as u64;
        let mut header = Vec::new();
        if self.current.as_ref().is_none_or(|current| current.end + frame_bytes > current.bytes) {
            let rotated = self.rotate(before, frame_bytes, &mut header);
            if let Err(error) = &rotated
                && error.kind() != ErrorKind::Busy
            {
                self.dead = Some(error.clone());
            }
            rotated?;
        }
        let Some(current) = &mut self.current else {
            return Err(Error::new(ErrorKind::Io, "no journal file is open"));
        };
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(parts.len() + 2);
        slices.push(IoSlice::new(&header));
        slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        slices.push(IoSlice::new(PADDING.get(..padding).unwrap_or(PADDING)));
        let place = Place { file: current.number, offset: current.end };
        let at = current.end - header.len() as u64;
        let end = current.end + frame_bytes;
        let status = Status { store: self.store, file: current.number, end, next_lsn: before.lsn + 1 };
        let written = current.file.write_durably(&slices, at).and_then(|()| {
            // For readers it is only a hint: if it cannot be written they see less, never anything wrong. But a file system that stopped
            // taking writes by now may have stopped before the sync ended, and ext4 then calls that sync a success (decision 10).
            match self.status.write_at(&[IoSlice::new(&status.encode())], 0) {
                Err(error) if has_stopped(&error) => Err(error),
                _ => Ok(()),
            }
        });
        if let Err(error) = written {
            let error =
                Error::io(format!("could not write frame {} of journal/{}", before.lsn, file_name(current.number)), error);
            self.dead = Some(error.clone());
            return Err(error);
        }
        current.end = end;
        self.next_lsn = before.lsn + 1;
        Ok(place)
    }

    /// Goes over to the next file; leaves its header in `header`, to be written with the first frame.
    fn rotate(&mut self, before: &Before<'_>, frame_bytes: u64, header: &mut Vec<u8>) -> Result<()> {
        let fresh = self.nursery.take()?;
        let encoded = FileHeader {
            number: fresh.number,
            store: self.store,
            first_lsn: before.lsn,
            prev: before.prev,
            created: before.now,
            logs: before.logs.to_vec(),
        }
        .encode(header);
        let header_bytes =
            encoded.ok_or_else(|| Error::new(ErrorKind::Unsupported, "too many logs for one journal file"))? as u64;
        let mut bytes = fresh.bytes;
        if header_bytes + frame_bytes > bytes {
            // The first files are small; one huge frame may need more.
            bytes = (header_bytes + frame_bytes).next_multiple_of(1 << 20);
            fresh.file.allocate(bytes).map_err(|error| growth_failed("could not enlarge a journal file".into(), error))?;
        }
        self.next_file = fresh.number + 1;
        self.current = Some(Current {
            number: fresh.number,
            file: fresh.file,
            bytes,
            end: header_bytes,
            first_lsn: before.lsn,
            before: heads(before.logs),
        });
        Ok(())
    }

    /// Gives back the room behind the last frame: nobody is going to use it soon.
    pub(crate) fn trim(&self) {
        if self.dead.is_none()
            && let Some(current) = &self.current
        {
            // Only room: where this fails, or is lost, the file is longer than it need be.
            let _ = current.file.set_len(current.end);
        }
        self.nursery.discard();
    }

    /// Why the journal is dead, if it is.
    pub(crate) const fn dead(&self) -> Option<&Error> {
        self.dead.as_ref()
    }

    /// Wall time, for frames.
    pub(crate) fn now(&self) -> i64 {
        self.world.clock.wall_ns()
    }
}
