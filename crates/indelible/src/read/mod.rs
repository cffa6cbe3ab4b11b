//! Reading a store without its lock, while another process may be writing to it.

pub(crate) mod frames;
mod prove;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use indelible_format::Record;
use indelible_format::frame::FLAG_CARRY;
use indelible_format::record::Records;

pub use frames::Stored;

use crate::digest::LogHead;
use crate::digest::checkpoints::{self, SignedCheckpoint};
use crate::error::Result;
use crate::identity::Identity;
use crate::read::frames::{Cursor, End, Next};
use crate::world::World;

/// A reader of a store. Opening one costs a small file; every question reads what is durable at that moment.
#[derive(Debug, Clone)]
pub struct Reader {
    world: World,
    dir: PathBuf,
    identity: Identity,
}

/// One position of a log, while it is being read.
#[derive(Debug)]
pub struct Position<'a> {
    /// Which log.
    pub log: u32,
    /// Position in the log.
    pub seq: u64,
    /// What is there.
    pub record: &'a Record<'a>,
}

/// What a scan saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Records read.
    pub records: u64,
    /// Frames read.
    pub frames: u64,
    /// Whether everything durable was read.
    pub complete: bool,
    /// Why not, if not.
    pub reason: Option<String>,
    /// Size and root of each log behind the last frame read.
    pub heads: Vec<LogHead>,
}

impl Reader {
    /// Opens the store in `dir` for reading.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported`, `Io`.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_in(dir, World::real())
    }

    /// [`open`](Self::open) in a given world.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_in(dir: impl AsRef<Path>, world: World) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        let identity = Identity::read(&world, &dir)?;
        Ok(Self { world, dir, identity })
    }

    /// Who the store is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) const fn world(&self) -> &World {
        &self.world
    }

    /// The newest checkpoint of a log, signature checked; `None` when it was never signed.
    ///
    /// # Errors
    /// `Mismatch` when the signature does not hold; `Io`.
    pub fn checkpoint(&self, log: u32) -> Result<Option<SignedCheckpoint>> {
        checkpoints::read(&self.world, &self.dir, &self.identity, log)
    }

    /// Reads every durable position in journal order until `each` breaks off. One pass over the files, in constant memory.
    ///
    /// # Errors
    /// `Io`, `Corrupt`. A journal that is broken in the middle is no error: the scan says that it is not complete.
    pub fn records(&self, each: &mut dyn FnMut(Position<'_>) -> ControlFlow<()>) -> Result<Scan> {
        self.follow(&mut self.cursor()?, &mut BTreeMap::new(), each)
    }

    /// A place in the journal to read on from, at its beginning.
    pub(crate) fn cursor(&self) -> Result<Cursor> {
        let limit = frames::durable_limit(&self.world, &self.dir, &self.identity.store)?;
        Cursor::new(&self.world, &self.dir, self.identity.store, limit)
    }

    /// A place in the journal at or before position `seq` of `log`.
    pub(crate) fn cursor_at(&self, log: u32, seq: u64) -> Result<Cursor> {
        let mut cursor = self.cursor()?;
        cursor.skip_to(log, seq)?;
        Ok(cursor)
    }

    /// Reads on from `cursor`; `heads` are those of the frames read so far.
    pub(crate) fn follow(
        &self,
        cursor: &mut Cursor,
        heads: &mut BTreeMap<u32, LogHead>,
        each: &mut dyn FnMut(Position<'_>) -> ControlFlow<()>,
    ) -> Result<Scan> {
        let mut scan = Scan { records: 0, frames: 0, complete: true, reason: None, heads: Vec::new() };
        'frames: loop {
            match cursor.next()? {
                Next::Frame(frame, place) => {
                    scan.frames += 1;
                    if frame.meta.flags & FLAG_CARRY != 0 {
                        continue;
                    }
                    let mut next: Vec<(u32, u64)> = frame.meta.logs.iter().map(|change| (change.log, change.first_seq)).collect();
                    let mut records = Records::new(frame.payload);
                    for record in records.by_ref() {
                        let Some((log, seq)) = next.iter_mut().find(|(log, _)| *log == record.log()) else { continue };
                        let position = Position { log: *log, seq: *seq, record: &record };
                        *seq += 1;
                        scan.records += 1;
                        if each(position).is_break() {
                            break 'frames;
                        }
                    }
                    if !records.finished() {
                        scan.complete = false;
                        scan.reason =
                            Some(format!("frame {} holds a malformed record (journal file {})", frame.meta.lsn, place.file));
                    }
                    for change in &frame.meta.logs {
                        let head =
                            LogHead { log: change.log, size: change.first_seq + u64::from(change.count), root: change.root };
                        heads.insert(change.log, head);
                    }
                }
                Next::End(End::Broken { file, offset, why }) => {
                    scan.complete = false;
                    scan.reason = Some(format!("the journal is broken at byte {offset} of file {file}: {why:?}"));
                    break;
                }
                Next::End(_) => break,
            }
        }
        scan.heads = heads.values().copied().collect();
        Ok(scan)
    }

    /// Follows the store: reads everything durable, then what becomes durable later, until `each` or `idle` breaks off.
    /// `idle` is called whenever there is nothing new; it is expected to pause.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub fn tail(
        &self,
        each: &mut dyn FnMut(Position<'_>) -> ControlFlow<()>,
        idle: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Scan> {
        let mut cursor = self.cursor()?;
        let mut heads = BTreeMap::new();
        let mut stopped = false;
        loop {
            let scan = self.follow(&mut cursor, &mut heads, &mut |position| {
                let flow = each(position);
                stopped |= flow.is_break();
                flow
            })?;
            if stopped || !scan.complete || idle().is_break() {
                return Ok(scan);
            }
            cursor.extend(frames::durable_limit(&self.world, &self.dir, &self.identity.store)?)?;
        }
    }

    /// One position of a log; `None` when the log is not that long.
    ///
    /// # Errors
    /// `Io`.
    pub fn record(&self, log: u32, seq: u64) -> Result<Option<Stored>> {
        frames::find(&self.world, &self.dir, &self.identity, log, seq)
    }

    /// Size and root of every log, as the durable journal says; nothing is verified.
    ///
    /// # Errors
    /// `Io`.
    pub fn heads(&self) -> Result<Vec<LogHead>> {
        let mut heads = BTreeMap::new();
        let mut cursor = self.cursor()?;
        while let Next::Frame(frame, _) = cursor.next()? {
            for change in &frame.meta.logs {
                heads.insert(
                    change.log,
                    LogHead { log: change.log, size: change.first_seq + u64::from(change.count), root: change.root },
                );
            }
        }
        Ok(heads.into_values().collect())
    }
}
