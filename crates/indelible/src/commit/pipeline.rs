//! The commit pipeline: two stages, each behind its own lock, taken hand over hand.
//!
//! A *cycle* builds a batch under the builder's lock, takes the journal's lock, lets the builder go, writes, syncs, acknowledges.
//! Any thread may run one: the committer threads do, and a caller who waits does when nobody else is at it. While one cycle
//! syncs, the next builds; the order of frames is the order of building, because the journal's lock is taken before the
//! builder's is let go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use indelible_format::Class;
use indelible_format::note::SigningKey;
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::buffer::Lane;
use crate::commit::board::{Board, Woken};
use crate::commit::builder::{Batch, Builder};
use crate::commit::control;
use crate::commit::journal::{Journal, Nursery};
use crate::commit::read_back::ReadBack;
use crate::commit::threads::Parking;
use crate::config::Config;
use crate::digest::LogHead;
use crate::digest::stated::{Newest, Stated};
use crate::digest::tree_file::TreeFile;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Identity, LOG_CONTROL, LOG_MAIN};
use crate::read::Reader;
use crate::retain::Router;
use crate::seal::sealer::Sealer;
use crate::watch::tap::Taps;
use crate::world::{LockGuard, World, fork};

/// Batches of fewer bytes wait for the journal before they are built, so that late comers share the sync; larger ones are hashed
/// while the one before is synced.
const BUILD_AHEAD_BYTES: usize = 128 << 10;

pub(crate) const OPEN: u8 = 0;
pub(crate) const CLOSED: u8 = 1;
pub(crate) const DEAD: u8 = 2;

/// Everything the threads and handles of one open store share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) world: World,
    pub(crate) identity: Identity,
    /// Where events go, if there is a retention policy.
    pub(crate) router: Option<Router>,
    /// Origin of each log.
    pub(crate) origins: Vec<(u32, Arc<str>)>,
    pub(crate) key: SigningKey,
    pub(crate) state: AtomicU8,
    pub(crate) forks: u64,
    /// Critical, normal, telemetry.
    pub(crate) lanes: [Lane; 3],
    pub(crate) builder: Mutex<Builder>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) stalled: AtomicBool,
    pub(crate) board: Board,
    pub(crate) read_back: ReadBack,
    pub(crate) heads: RwLock<Vec<LogHead>>,
    pub(crate) nursery: Arc<Nursery>,
    pub(crate) committer: Parking,
    pub(crate) second: Parking,
    pub(crate) keeper: Parking,
    pub(crate) sealing: Parking,
    pub(crate) producer: (String, u64),
    pub(crate) producer_seq: AtomicU64,
    pub(crate) id_key: u64,
    pub(crate) rejected: AtomicU64,
    pub(crate) counters: Counters,
    pub(crate) taps: Taps,
    pub(crate) checkpoints: Mutex<crate::digest::checkpoints::Published>,
    /// The newest statement about tenants. Held while one is made.
    pub(crate) stated: Mutex<Option<Arc<Newest>>>,
    /// Reads what is durable; keeps the segments that were opened.
    pub(crate) reader: Reader,
    /// Held while something is sealed.
    pub(crate) sealer: Mutex<Sealer>,
    /// Held while checkpoints are written to their files: by the keeper, or by whoever closes the store.
    pub(crate) saving: Mutex<()>,
    /// Held for the life of the store.
    pub(crate) _lock: Box<dyn LockGuard>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) frames: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) redacted: AtomicU64,
    pub(crate) build_ns: AtomicU64,
    pub(crate) write_ns: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) seal_failures: AtomicU64,
}

/// The journal, and what could not be written yet for lack of room.
pub(crate) struct Writer {
    pub(crate) journal: Journal,
    pub(crate) stalled: VecDeque<Batch>,
    pub(crate) trees: Vec<(u32, TreeFile)>,
    /// Number of the file that was written to last.
    pub(crate) file: u64,
}

/// What a cycle did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There was nothing to do.
    Idle,
    /// A frame became durable.
    Committed,
    /// What had no room on disk before is durable now; what was to be built was not.
    Cleared,
}

impl Shared {
    pub(crate) fn pending_bytes(&self) -> usize {
        self.lanes.iter().map(Lane::pending_bytes).sum()
    }

    pub(crate) fn pending_records(&self) -> usize {
        self.lanes.iter().map(Lane::pending_records).sum()
    }

    pub(crate) const fn lane(&self, class: Class) -> &Lane {
        let [critical, normal, telemetry] = &self.lanes;
        match class {
            Class::Critical => critical,
            Class::Normal => normal,
            Class::Telemetry => telemetry,
        }
    }

    /// Runs one cycle, waiting for whoever is building.
    pub(crate) fn cycle(&self) -> Result<Progress> {
        self.cycle_with(self.builder.lock(), 0, &[])
    }

    /// Runs one cycle unless somebody is building already.
    pub(crate) fn try_cycle(&self) -> Result<Option<Progress>> {
        self.builder.try_lock().map(|builder| self.cycle_with(builder, 0, &[])).transpose()
    }

    /// Commits control entries, in a frame with what waits in the lanes.
    pub(crate) fn commit_control(&self, entries: &[(u32, Vec<u8>)]) -> Result<()> {
        while self.cycle_with(self.builder.lock(), 0, entries)? == Progress::Cleared {}
        Ok(())
    }

    /// Records how many events each tenant has now, unless the last such entry is younger than `within`, or nothing was recorded since.
    pub(crate) fn record_tenants(&self, within: Duration) -> Result<Arc<Newest>> {
        let mut newest = self.stated.lock();
        loop {
            if let Some(known) = &*newest
                && (known.made.elapsed() < within || !self.is_behind(known))
            {
                return Ok(Arc::clone(known));
            }
            let mut builder = self.builder.lock();
            let counted = builder.count_tenants()?;
            let logs: Vec<&Stated> = counted.logs.iter().map(|(stated, _)| stated).collect();
            let entries = [(LOG_CONTROL, control::tenants(&logs, self.world.clock.wall_ns()))];
            // The same builder: its next frame is the one that the statement is about.
            if self.cycle_with(builder, 0, &entries)? != Progress::Cleared {
                return Ok(Arc::clone(newest.insert(Arc::new(counted))));
            }
        }
    }

    /// Whether something was recorded since the tenants' events were counted.
    pub(crate) fn is_uncounted(&self) -> bool {
        let newest = self.stated.lock();
        newest.as_ref().map_or_else(|| self.heads.read().iter().any(has_events), |newest| self.is_behind(newest))
    }

    fn is_behind(&self, newest: &Newest) -> bool {
        self.heads.read().iter().any(|head| has_events(head) && !newest.is_about(head))
    }

    /// Builds and commits one batch with the given control entries and frame flags.
    pub(crate) fn cycle_with(
        &self,
        mut builder: MutexGuard<'_, Builder>,
        flags: u32,
        control: &[(u32, Vec<u8>)],
    ) -> Result<Progress> {
        if self.state.load(Ordering::Acquire) == DEAD {
            return Err(self.death());
        }
        // The journal is the parent's, whatever a copy of its memory still holds.
        if fork::generation() != self.forks {
            return Err(self.why_closed());
        }
        if self.stalled.load(Ordering::Acquire) {
            // Nothing new is built on top of what has no room on disk.
            let writer = self.writer.lock();
            drop(builder);
            return self.write(writer, None).map(|()| Progress::Cleared);
        }
        let pending = self.pending_bytes();
        if pending == 0 && control.is_empty() && flags == 0 {
            return Ok(Progress::Idle);
        }
        let early = (pending < BUILD_AHEAD_BYTES).then(|| self.writer.lock());
        let started = self.world.clock.monotonic_ns();
        let losses = self.losses();
        let built = if losses.is_empty() {
            builder.build(&self.lanes, control, flags)
        } else {
            let all: Vec<_> = control.iter().cloned().chain(losses).collect();
            builder.build(&self.lanes, &all, flags)
        };
        let batch = match built {
            Ok(batch) => batch,
            Err(error) => {
                let mut woken = Woken::default();
                let error = self.die(&error, &mut woken);
                drop((early, builder));
                return Err(error);
            }
        };
        self.counters.build_ns.fetch_add(self.world.clock.monotonic_ns() - started, Ordering::Relaxed);
        let writer = early.unwrap_or_else(|| self.writer.lock());
        // From here on the order of frames is settled.
        drop(builder);
        self.write(writer, Some(batch)).map(|()| Progress::Committed)
    }

    /// Writes what stalled before and then `batch`, and publishes what became durable.
    fn write(&self, mut writer: MutexGuard<'_, Writer>, batch: Option<Batch>) -> Result<()> {
        writer.stalled.extend(batch);
        let mut woken = Woken::default();
        let mut result = Ok(());
        let mut written = Vec::new();
        while let Some(mut batch) = writer.stalled.pop_front() {
            let started = self.world.clock.monotonic_ns();
            let now = writer.journal.now();
            match writer.journal.append(&batch.parts(), &batch.before(now)) {
                Ok(place) => {
                    self.counters.write_ns.fetch_add(self.world.clock.monotonic_ns() - started, Ordering::Relaxed);
                    self.publish(&mut writer, &mut batch, place, &mut woken);
                    written.push(batch);
                }
                Err(error) => {
                    if writer.journal.dead().is_some() {
                        result = Err(self.die(&error, &mut woken));
                    } else {
                        writer.stalled.push_front(batch);
                        let error = Error::new(ErrorKind::Busy, "the journal cannot grow now; the event waits in memory")
                            .with_cause(error);
                        // Before anyone hears of it: who does and comes back shall find it so.
                        self.stalled.store(true, Ordering::Release);
                        self.board.stall(&error, &mut woken);
                        // It tries again, whoever waits or not.
                        self.committer.wake_now();
                        // Sealing makes room.
                        self.sealing.wake();
                        result = Err(error);
                    }
                    break;
                }
            }
        }
        self.stalled.store(!writer.stalled.is_empty(), Ordering::Release);
        // Before the journal is let go: who is woken has its next event in the lane by the time the next batch is built, and shares
        // that sync. The other way round, the writers split into two halves that take turns. Tasks must wait until after it.
        woken.unpark_threads();
        drop(writer);
        drop(woken);
        for batch in written {
            self.recycle(batch);
        }
        result
    }

    /// Makes a durable batch visible: heads, tree files, tickets, taps. Called in the order of frames.
    fn publish(&self, writer: &mut Writer, batch: &mut Batch, place: crate::commit::journal::Place, woken: &mut Woken) {
        self.counters.frames.fetch_add(1, Ordering::Relaxed);
        self.counters.records.fetch_add(batch.records, Ordering::Relaxed);
        self.counters.bytes.fetch_add(batch.encoded.frame_bytes as u64, Ordering::Relaxed);
        for (log, roots) in &batch.group_roots {
            if let Some((_, tree)) = writer.trees.iter_mut().find(|(known, _)| known == log) {
                // Rebuildable, and checked against the checkpoint before use: a failure here costs time, not truth.
                let _ = tree.append(roots);
            }
        }
        {
            let mut heads = self.heads.write();
            for head in &batch.heads {
                if let Some(known) = heads.iter_mut().find(|known| known.log == head.log) {
                    *known = *head;
                }
            }
        }
        self.taps.publish(batch);
        let ends = batch.ends;
        self.board.complete(ends, &batch.runs, std::mem::take(&mut batch.leaves), place, woken);
        if std::mem::replace(&mut writer.file, place.file) == place.file {
            self.keeper.wake_if_parked();
        } else {
            // The journal took a file: the keeper makes the next one.
            self.keeper.wake();
            self.sealing.wake();
        }
    }

    fn recycle(&self, batch: Batch) {
        for (taken, lane) in batch.taken.into_iter().zip(&self.lanes) {
            lane.give_back(taken.buffer);
        }
        if let Some(mut builder) = self.builder.try_lock() {
            builder.recycle(batch.meta);
        }
    }

    /// Control entries for what was shed or refused since the last frame.
    pub(crate) fn losses(&self) -> Vec<(u32, Vec<u8>)> {
        let mut entries = Vec::new();
        for lane in &self.lanes {
            for loss in lane.take_losses() {
                let at = self.world.clock.wall_ns();
                entries.push((LOG_MAIN, control::gap(&loss, lane.class(), "shed", &self.producer.0, self.producer.1, at)));
            }
        }
        // Refusals come one by one and are not worth an entry each: those of a frame share one.
        match self.rejected.swap(0, Ordering::Relaxed) {
            0 => {}
            count => entries.push((LOG_CONTROL, control::rejected(count, self.world.clock.wall_ns()))),
        }
        entries
    }

    /// Stops the store for good because of `cause`.
    pub(crate) fn die(&self, cause: &Error, woken: &mut Woken) -> Error {
        self.state.store(DEAD, Ordering::Release);
        self.board.die(cause, woken);
        cause.clone()
    }

    pub(crate) fn death(&self) -> Error {
        self.board.death().map_or_else(|| Error::new(ErrorKind::Closed, "the store is closed"), |cause| Error::poisoned(&cause))
    }
}

/// Whether tenants' events may be in this log.
const fn has_events(head: &LogHead) -> bool {
    head.log != LOG_CONTROL && head.size > 0
}
