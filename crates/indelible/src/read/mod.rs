//! Reading a store without its lock, while another process may be writing to it.

pub(crate) mod frames;
mod prove;
pub(crate) mod shelf;
pub(crate) mod tail;
mod tenant;
mod tiles;
pub(crate) mod walk;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indelible_format::Record;
use indelible_segment::{PageCache, Scratch, Segment};
use parking_lot::MutexGuard;

pub use frames::Stored;
pub use shelf::SearchMemory;
pub use tenant::TenantCopy;

use crate::config::SEARCH_CACHE_BYTES;
use crate::digest::LogHead;
use crate::digest::checkpoints::{self, SignedCheckpoint};
use crate::error::Result;
use crate::identity::Identity;
use crate::read::frames::{Cursor, Next};
use crate::read::shelf::Shelf;
use crate::read::tail::Tail;
use crate::seal::{ExpiredInfo, Manifest, SegmentInfo, expired, files};
use crate::search::{ResultCounts, Results};
use crate::world::World;
use walk::Walk;

/// A reader of a store. Opening one costs a small file; every question reads what is durable at that moment.
#[derive(Debug, Clone)]
pub struct Reader {
    world: World,
    dir: PathBuf,
    identity: Identity,
    shelf: Arc<Shelf>,
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
        Ok(Self::of(dir, world, identity, SEARCH_CACHE_BYTES))
    }

    pub(crate) fn of(dir: PathBuf, world: World, identity: Identity, cache_bytes: usize) -> Self {
        let shelf = Arc::new(Shelf::new(&world, &dir, cache_bytes));
        Self { world, dir, identity, shelf }
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

    /// Reads every durable position until `each` breaks off: what is sealed, log by log, then the journal in its order. The positions of
    /// one log always come in their order. One pass over the files, in constant memory.
    ///
    /// # Errors
    /// `Io`, `Corrupt` (a segment, or one row of it). A journal that is broken in the middle is no error: the scan says that it is not complete.
    pub fn records(&self, each: &mut dyn FnMut(Position<'_>) -> ControlFlow<()>) -> Result<Scan> {
        self.advance(&mut Walk::default(), each)
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
        let mut walk = Walk::default();
        let mut stopped = false;
        loop {
            let scan = self.advance(&mut walk, &mut |position| {
                let flow = each(position);
                stopped |= flow.is_break();
                flow
            })?;
            if stopped || !scan.complete || idle().is_break() {
                return Ok(scan);
            }
        }
    }

    /// The segments that the store has sealed, by log and position.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        Ok(self.manifest()?.segments.clone())
    }

    pub(crate) fn manifest(&self) -> Result<Arc<Manifest>> {
        self.shelf.manifest(&self.world, &self.dir, &self.identity)
    }

    pub(crate) fn cache(&self) -> &PageCache {
        self.shelf.cache()
    }

    pub(crate) fn results(&self) -> &Results {
        self.shelf.results()
    }

    /// How often the answer of a segment was known, by all that share this reader's memory.
    #[must_use]
    pub fn result_counts(&self) -> ResultCounts {
        self.results().counts()
    }

    /// What all that share this reader's memory keep in it now.
    #[must_use]
    pub fn search_memory(&self) -> SearchMemory {
        self.shelf.memory()
    }

    /// What of the unsealed part was read so far.
    pub(crate) fn tail_lock(&self) -> MutexGuard<'_, Tail> {
        self.shelf.tail()
    }

    pub(crate) fn segment(&self, info: &SegmentInfo) -> Result<Arc<Segment>> {
        self.shelf.segment(&self.world, &self.dir, info)
    }

    /// The beginnings of logs that have expired, by log.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn expired(&self) -> Result<Vec<ExpiredInfo>> {
        Ok(self.manifest()?.expired.clone())
    }

    /// One position of a log; `None` when the log is not that long.
    ///
    /// # Errors
    /// `Expired`: it was there, and went as a policy said. `Io`, `Corrupt`.
    pub fn record(&self, log: u32, seq: u64) -> Result<Option<Stored>> {
        self.settled(Option::is_some, &mut |manifest| match manifest.find(log, seq) {
            Some(info) => self.sealed_record(info, seq).and_then(|found| match manifest.expired(log) {
                // In place of an event that has expired, among others that are held.
                Some(info) if seq < info.below && found.as_ref().is_some_and(Stored::is_leaf) => Err(expired::gone(info, seq)),
                _ => Ok(found),
            }),
            None if seq < manifest.below(log) => match manifest.expired(log) {
                Some(info) => Err(expired::gone(info, seq)),
                None => Ok(None),
            },
            None => self.unsealed_record(manifest, log, seq),
        })
    }

    /// Asks under the manifest, and again under the next one, as long as the answer is not what `is_it` wants and the manifest was replaced:
    /// what was not found may have been sealed, or its segment replaced, since it was read.
    pub(crate) fn settled<T>(&self, is_it: impl Fn(&T) -> bool, ask: &mut dyn FnMut(&Manifest) -> Result<T>) -> Result<T> {
        loop {
            let manifest = self.manifest()?;
            let answer = ask(&manifest);
            if answer.as_ref().is_ok_and(&is_it) || self.manifest()?.generation == manifest.generation {
                return answer;
            }
        }
    }

    fn sealed_record(&self, info: &SegmentInfo, seq: u64) -> Result<Option<Stored>> {
        let segment = self.segment(info)?;
        let mut scratch = Scratch::default();
        let bytes = segment.record(seq, self.cache(), &mut scratch).map_err(|error| files::failed(&info.file, error))?;
        let bytes = bytes.map(<[u8]>::to_vec);
        let seed = segment.seed(seq).map_err(|error| files::failed(&info.file, error))?;
        Ok(bytes.map(|bytes| Stored { log: info.log, seq, bytes, seed }))
    }

    fn unsealed_record(&self, manifest: &Manifest, log: u32, seq: u64) -> Result<Option<Stored>> {
        let mut cursor = self.cursor_at(manifest, log, seq)?;
        while let Next::Frame(frame, _) = cursor.next()? {
            if let Some(stored) = frames::in_frame(&frame, log, seq) {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// A place in the journal at or before position `seq` of `log`.
    pub(crate) fn cursor_at(&self, manifest: &Manifest, log: u32, seq: u64) -> Result<Cursor> {
        let mut cursor = Cursor::new(&self.world, &self.dir, self.identity.store, &manifest.start, self.durable_limit()?)?;
        cursor.skip_to(log, seq)?;
        Ok(cursor)
    }

    /// Size and root of every log, as the durable store says; nothing is verified.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn heads(&self) -> Result<Vec<LogHead>> {
        Ok(self.advance(&mut Walk::behind(&*self.manifest()?), &mut |_| ControlFlow::Continue(()))?.heads)
    }
}
