//! The store: opens, emits, flushes, closes. Wiring only; the work is in the stages.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indelible_format::frame::FLAG_CLOSE;
use indelible_format::{Class, Draft, Tag, json};
use parking_lot::{Mutex, RwLock};

use crate::admit::{Admitted, LaneFull, Refused};
use crate::buffer::{Lane, LaneStats};
use crate::commit::board::{Board, Woken};
use crate::commit::builder::Builder;
use crate::commit::control;
use crate::commit::journal::{Journal, Nursery};
use crate::commit::pipeline::{CLOSED, Counters, DEAD, OPEN, Shared, Writer};
use crate::commit::read_back::ReadBack;
use crate::commit::receipt::Receipt;
use crate::commit::recovery::{self, Recovery};
use crate::commit::threads::{self, Parking};
use crate::commit::ticket::{Ticket, force_durable};
use crate::config::{CRITICAL_LANE_BYTES_MAX, Config, Overflow};
use crate::digest::LogHead;
use crate::digest::checkpoints::{self, SignedCheckpoint};
use crate::digest::tip::Tip;
use crate::digest::tree_file::TreeFile;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Identity, LOG_CONTROL, LOG_MAIN, LOG_TELEMETRY, pseudonym_key};
use crate::read::{Reader, TenantCopy};
use crate::retain::Router;
use crate::retain::adopt::Adopted;
use crate::seal::Sealed;
use crate::seal::sealer::Sealer;
use crate::time;
use crate::watch::tap::{Tap, Taps};
use crate::world::{LockGuard, Open, World, fork};

/// How long a starting writer tries for the lock: readers hold it for a moment to see whether somebody writes.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Entries of log 0 that a new store begins with: its own, and those of the logs that every store has.
const GENESIS_ENTRIES: u64 = 3;

/// A handle to an open store. Clones share it; dropping the last one drains and closes it.
#[derive(Clone)]
pub struct Store {
    inner: Option<Arc<Handle>>,
}

/// Owns the threads; its drop closes the store.
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    closing: AtomicBool,
    recovery: Recovery,
}

/// What closing left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Size and root of every log; all signed.
    pub heads: Vec<LogHead>,
}

/// Counters of an open store since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames committed; one sync each.
    pub frames: u64,
    /// Records committed.
    pub records: u64,
    /// Bytes written to the journal.
    pub bytes: u64,
    /// Events refused at the door.
    pub rejected: u64,
    /// Values redacted before hashing.
    pub redacted: u64,
    /// Time spent numbering and hashing, ns.
    pub build_ns: u64,
    /// Time spent writing and syncing, ns.
    pub write_ns: u64,
    /// Critical, normal, telemetry.
    pub lanes: [LaneStats; 3],
    /// Segments sealed.
    pub segments: u64,
    /// Attempts to seal in the background that failed, and are made again.
    pub seal_failures: u64,
    /// What opening found.
    pub recovery: Recovery,
}

impl Store {
    /// Opens the store in `config.dir`, making it first if there is none and `config.create` allows it.
    ///
    /// **Durability**: when it returns, everything it found is on disk, and compared with every checkpoint it knows.
    ///
    /// # Errors
    /// `Locked`: somebody writes to it; the message says who. `Mismatch`, `Corrupt`: the store is not what was signed. `NotFound`,
    /// `Io`, `Unsupported`.
    pub fn open(config: Config) -> Result<Self> {
        Self::open_in(config, World::real())
    }

    /// [`open`](Self::open) in a given world.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_in(mut config: Config, world: World) -> Result<Self> {
        let forks = fork::watch().map_err(|error| Error::io("could not watch for forks", error))?;
        let critical = config.lanes.critical.bytes;
        if critical > CRITICAL_LANE_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Rejected,
                format!("the critical lane is to hold {critical} bytes, the limit is {CRITICAL_LANE_BYTES_MAX}"),
            )
            .with_hint("make it smaller: every frame takes all of it, so it empties with each sync"));
        }
        let dir = config.dir.clone();
        make_directories(&world, &config)?;
        let lock = take_lock(&world, &dir, &config.command)?;
        let (mut identity, key) = if world.disk.exists(&dir.join("store.json")) {
            let identity = Identity::read(&world, &dir)?;
            let key = identity.read_key(&world, &dir)?;
            (identity, key)
        } else {
            create(&world, &config)?
        };
        if let Some(redaction) = config.redaction.take_if(|redaction| redaction.needs_pseudonym_key()) {
            config.redaction = Some(redaction.pseudonym_key(*pseudonym_key(&world, &dir)?));
        }
        let adopted = Adopted::begin(&world, &dir, &mut identity, config.retention.as_ref())?;
        let sealer = Sealer::open(&world, &dir, &identity)?;
        let recovered = recovery::recover(&world, &config, &identity, &sealer)?;
        sealer.tidy()?;
        remove_unfinished(&world, &dir)?;
        let heads: Vec<LogHead> = recovered.tips.iter().map(Tip::head).collect();
        let fresh = recovered.lsn == 0;
        if let Some(adopted) = &adopted {
            let control = heads.iter().find(|head| head.log == LOG_CONTROL).map_or(0, |head| head.size);
            // What comes before it in any case.
            let restored = identity.predecessors.last().is_some_and(|before| before.size(LOG_CONTROL) == control);
            adopted.settle(&mut identity, if fresh { GENESIS_ENTRIES } else { control + u64::from(restored) });
        }
        let mut tips = recovered.tips;
        let mut trees = Vec::new();
        for tip in &mut tips {
            let roots = std::mem::take(&mut tip.group_roots);
            let sealed = sealer.restore_tree(tip.log)?;
            let tree = TreeFile::open(&world, &dir, tip.log, sealed, &roots)
                .map_err(|error| Error::io("could not write a tree file", error))?;
            trees.push((tip.log, tree));
        }
        let producer = identity.store_hex().get(..8).unwrap_or_default().to_owned();
        let epoch = recovered.producers.latest_epoch(&producer).unwrap_or(0).checked_add(1).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the store's own producer has used its last epoch: no event can be numbered any more")
                .with_hint(
                    "an event in the log claims that epoch; take a backup and restore it: a restored store is a new producer",
                )
        })?;
        let nursery = Arc::new(Nursery::new(
            world.clone(),
            &dir.join("journal"),
            recovered.next_file,
            config.disk_reserve_bytes,
            config.journal_file_bytes_max,
        ));
        let status =
            world.disk.open(&dir.join("status"), Open::Create).map_err(|error| Error::io("could not open status", error))?;
        let mut journal =
            Journal::new(Arc::clone(&nursery), world.clone(), identity.store, status, recovered.next_file, recovered.resume);
        journal.announce(recovered.lsn);
        let mut id_key = [0; 8];
        world.entropy.fill(&mut id_key).map_err(|error| Error::io("could not draw random bytes", error))?;
        let builder = Builder::new(
            world.clone(),
            identity.store,
            recovered.lsn,
            recovered.prev,
            tips,
            recovered.producers,
            recovered.indexes,
            (producer.clone(), epoch),
        );
        let lanes = [
            Lane::new(Class::Critical, config.lanes.critical),
            Lane::new(Class::Normal, config.lanes.normal),
            Lane::new(Class::Telemetry, config.lanes.telemetry),
        ];
        let origins = identity.logs.iter().filter_map(|log| Some((log.id, identity.origin(log.id)?.into()))).collect();
        let shared = Arc::new(Shared {
            reader: Reader::of(dir, world.clone(), identity.clone(), config.search_cache_bytes),
            sealer: Mutex::new(sealer),
            router: identity.retention.as_ref().map(|(_, policy)| Router::new(&identity, policy)),
            origins,
            world,
            identity,
            key,
            state: AtomicU8::new(OPEN),
            forks,
            lanes,
            builder: Mutex::new(builder),
            writer: Mutex::new(Writer { journal, stalled: std::collections::VecDeque::new(), trees, file: 0 }),
            stalled: AtomicBool::new(false),
            board: Board::new(config.receipts_remembered),
            read_back: ReadBack::default(),
            heads: RwLock::new(heads),
            nursery,
            committer: Parking::default(),
            second: Parking::default(),
            keeper: Parking::default(),
            sealing: Parking::default(),
            producer: (producer, epoch),
            producer_seq: AtomicU64::new(0),
            id_key: u64::from_le_bytes(id_key),
            rejected: AtomicU64::new(0),
            counters: Counters::default(),
            taps: Taps::default(),
            checkpoints: Mutex::default(),
            stated: Mutex::default(),
            saving: Mutex::default(),
            _lock: lock,
            config,
        });
        shared.adopt_checkpoints()?;
        if fresh {
            shared.write_genesis()?;
        } else {
            shared.write_restored()?;
        }
        if let Some(adopted) = &adopted {
            shared.adopt(adopted)?;
        }
        // A tail that was durable but never signed is signed now, before anything is added to it.
        shared.sign_all()?;
        shared.save_checkpoints()?;
        let threads = if shared.config.threads {
            threads::start(&shared).map_err(|error| Error::io("could not start threads", error))?
        } else {
            Vec::new()
        };
        Ok(Self {
            inner: Some(Arc::new(Handle {
                shared,
                threads: Mutex::new(threads),
                closing: AtomicBool::new(false),
                recovery: recovered.report,
            })),
        })
    }

    /// A store that records nothing: every emit is a load and a branch.
    #[must_use]
    pub const fn disabled() -> Self {
        Self { inner: None }
    }

    /// Whether this store records anything.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    pub(crate) fn shared(&self) -> Result<&Shared> {
        match &self.inner {
            Some(handle) => Ok(&handle.shared),
            None => Err(Error::new(ErrorKind::Closed, "the store is disabled")),
        }
    }

    /// Hands an event over and returns a ticket at once. Waits only while the event's lane is full, up to the lane's timeout.
    ///
    /// **Durability**: none yet; [`Ticket::wait`] or [`flush`](Self::flush) give it. **Cost**: no allocation, one memcpy under a lock.
    ///
    /// # Errors
    /// `Rejected`: nothing was recorded but the count. `Busy`: the lane stayed full. `Poisoned`, `Closed`.
    #[inline(always)]
    pub fn emit(&self, draft: &Draft<'_>) -> Result<Ticket<'_>> {
        match &self.inner {
            Some(handle) => emit_to(&handle.shared, draft),
            None => Ok(Ticket::nothing()),
        }
    }

    /// As [`emit`](Self::emit), but never waits: a full lane is `Busy`.
    ///
    /// # Errors
    /// As `emit`.
    pub fn try_emit(&self, draft: &Draft<'_>) -> Result<Ticket<'_>> {
        let Some(handle) = &self.inner else { return Ok(Ticket::nothing()) };
        let shared: &Shared = &handle.shared;
        match shared.admit(draft) {
            Ok(admitted) => {
                shared.notify(admitted);
                Ok(Ticket::new(shared, admitted))
            }
            Err(Refused::Error(error)) => Err(error),
            Err(Refused::Full(full)) => Err(busy(shared, &full, Duration::ZERO)),
        }
    }

    /// As [`emit`](Self::emit), but yields to the executor instead of blocking while the lane is full.
    ///
    /// # Errors
    /// As `emit`, but it waits for room without a timeout: drop the future to give up.
    pub async fn emit_async(&self, draft: &Draft<'_>) -> Result<Ticket<'_>> {
        let Some(handle) = &self.inner else { return Ok(Ticket::nothing()) };
        let shared: &Shared = &handle.shared;
        loop {
            match shared.admit(draft) {
                Ok(admitted) => {
                    shared.notify(admitted);
                    return Ok(Ticket::new(shared, admitted));
                }
                Err(Refused::Error(error)) => return Err(error),
                Err(Refused::Full(full)) if shared.lane(full.class).overflow() == Overflow::Reject => {
                    return Err(busy(shared, &full, Duration::ZERO));
                }
                // The lane has room again once what it held then is durable.
                Err(Refused::Full(LaneFull { class, full })) => {
                    drop(Ticket::new(shared, Admitted::Waiting(class, full.last)).await);
                }
            }
        }
    }

    /// Emits an event and waits for its receipt.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit) and [`Ticket::wait`]; `Closed` when the store is disabled.
    pub fn append(&self, draft: &Draft<'_>) -> Result<Receipt> {
        let shared = self.shared()?;
        match shared.admit(draft) {
            // Who waits at once commits at once: the committer need not be woken for it.
            Ok(admitted) => Ticket::new(shared, admitted).wait(),
            Err(Refused::Error(error)) => Err(error),
            Err(Refused::Full(full)) => emit_waiting(shared, draft, full)?.wait(),
        }
    }

    /// Returns once everything emitted before the call survives power loss.
    ///
    /// # Errors
    /// `Poisoned`, `Busy` (no room on disk).
    pub fn flush(&self) -> Result<()> {
        let Some(handle) = &self.inner else { return Ok(()) };
        handle.shared.flush()
    }

    /// Why nothing can be written at this moment, if so: the disk has no room. What waits is written as soon as it has, without being asked.
    ///
    /// What would be emitted now would wait in memory, and perhaps be recorded later: who can refuse it does so instead. **Cost**: one load.
    #[must_use]
    pub fn stalled(&self) -> Option<Error> {
        let shared = &self.inner.as_ref()?.shared;
        if shared.stalled.load(Ordering::Acquire) { shared.board.stalled() } else { None }
    }

    /// Seals everything that is durable now into segments, and removes the journal files that held it. Events that wait for room on the disk
    /// get it from that.
    ///
    /// **Durability**: as before; at every moment each event is in the journal or in a segment that the manifest names. **Cost**: reads
    /// the journal twice and writes about an eighth of it; commits go on meanwhile.
    ///
    /// # Errors
    /// `Io` (no room, most often), `Corrupt`, `Poisoned`, `Closed`. Nothing is lost or half done; a later call may try again.
    pub fn seal(&self) -> Result<Sealed> {
        let shared = self.shared()?;
        shared.flush_what_fits()?;
        shared.seal(true, &|| false)
    }

    /// Signs the newest durable head of a log, or returns its newest checkpoint if that covers it already.
    ///
    /// # Errors
    /// `NotFound`: no such log. `Closed`.
    pub fn checkpoint(&self, log: u32) -> Result<SignedCheckpoint> {
        let shared = self.shared()?;
        if fork::generation() != shared.forks {
            return Err(shared.why_closed());
        }
        let note = shared.sign(log)?;
        shared.keeper.wake_if_parked();
        checkpoints::open(&shared.identity, log, &note)
    }

    /// Records in log 0 how many events each tenant has in each log, so that a tenant can be shown that it has all of its own. Gives the
    /// entry's position; that of the last one, if nothing was recorded since.
    ///
    /// **Durability**: on disk when it returns. **Cost**: a sync; while the frame is built, some nine SHA-256 blocks for each tenant of each log.
    ///
    /// # Errors
    /// `Poisoned`, `Busy` (no room on disk), `Closed`.
    pub fn record_tenants(&self) -> Result<u64> {
        Ok(self.shared()?.record_tenants(Duration::ZERO)?.entry)
    }

    /// Writes all events of a tenant with what proves, without the store, that they are in the log and that none is missing: what
    /// [`verify_tenant`](crate::verify::verify_tenant) checks. Groups with these tags are withheld: their commitments stand in their place.
    ///
    /// The events are those up to the newest entry of log 0 that counts them; one is recorded first, unless the last one is younger than
    /// `within`. Lines of JSON: docs/format/tenants.md.
    ///
    /// **Cost**: the groups of 256 that the tenant has events in are read and hashed; the roots of all groups are held, an eighth of a byte
    /// per event of the log. Memory beyond that is constant.
    ///
    /// # Errors
    /// `Io`: `out` took no more. `Corrupt`, `Busy`, `Closed`.
    pub fn write_tenant(&self, tenant: &str, withheld: &[Tag], within: Duration, out: &mut dyn io::Write) -> Result<TenantCopy> {
        let shared = self.shared()?;
        let counted = shared.record_tenants(within)?;
        let checkpoint = self.checkpoint(LOG_CONTROL)?;
        shared.reader.write_tenant(&counted, &checkpoint, tenant, withheld, out)
    }

    /// Who this store is.
    ///
    /// # Errors
    /// `Closed` when the store is disabled.
    pub fn identity(&self) -> Result<&Identity> {
        Ok(&self.shared()?.identity)
    }

    /// Durable size and root of every log.
    #[must_use]
    pub fn heads(&self) -> Vec<LogHead> {
        self.shared().map(|shared| shared.heads.read().clone()).unwrap_or_default()
    }

    /// Subscribes to committed events; at most `capacity` wait in the subscription, and as many were taken out and are not yet handed on.
    ///
    /// # Errors
    /// `Closed` when the store is disabled.
    pub fn subscribe(&self, capacity: usize) -> Result<Tap> {
        Ok(self.shared()?.taps.subscribe(capacity))
    }

    /// A reader of this store: what is durable when it is asked, it sees.
    ///
    /// # Errors
    /// `Closed` when the store is disabled.
    pub fn reader(&self) -> Result<Reader> {
        Ok(self.shared()?.reader.clone())
    }

    /// Counters since opening.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Some(handle) = &self.inner else { return Stats::default() };
        let shared = &handle.shared;
        let [critical, normal, telemetry] = &shared.lanes;
        Stats {
            frames: shared.counters.frames.load(Ordering::Relaxed),
            records: shared.counters.records.load(Ordering::Relaxed),
            bytes: shared.counters.bytes.load(Ordering::Relaxed),
            rejected: shared.counters.rejected.load(Ordering::Relaxed),
            redacted: shared.counters.redacted.load(Ordering::Relaxed),
            build_ns: shared.counters.build_ns.load(Ordering::Relaxed),
            write_ns: shared.counters.write_ns.load(Ordering::Relaxed),
            lanes: [critical.stats(), normal.stats(), telemetry.stats()],
            segments: shared.counters.segments.load(Ordering::Relaxed),
            seal_failures: shared.counters.seal_failures.load(Ordering::Relaxed),
            recovery: handle.recovery,
        }
    }

    /// Drains the lanes, signs every head and closes the store, for all its clones.
    ///
    /// **Durability**: everything that was emitted, and its checkpoints.
    ///
    /// # Errors
    /// `Poisoned`, `Busy`, `Io`: what was acknowledged is safe all the same; who still waits for a receipt is told. `Closed`: another
    /// handle is closing the store at this moment.
    pub fn close(self) -> Result<Closed> {
        match &self.inner {
            Some(handle) => handle.close(),
            None => Ok(Closed { heads: Vec::new() }),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dir = self.inner.as_ref().map(|handle| &handle.shared.config.dir);
        f.debug_struct("Store").field("dir", &dir).finish_non_exhaustive()
    }
}

impl Handle {
    fn close(&self) -> Result<Closed> {
        let shared = &self.shared;
        // Only the process that opened the store may write to it.
        if fork::generation() != shared.forks {
            return Err(shared.why_closed());
        }
        // Nothing is let in from here on: what is in the lanes is all there is.
        shared.lanes.iter().for_each(Lane::close);
        if self.closing.swap(true, Ordering::AcqRel) {
            // Perhaps by this very thread, which drains and wakes the task that asks: it must not wait for itself.
            return match shared.state.load(Ordering::Acquire) {
                OPEN => Err(Error::new(ErrorKind::Closed, "another handle is closing the store")),
                DEAD => Err(shared.death()),
                _ => Ok(Closed { heads: shared.heads.read().clone() }),
            };
        }
        let result = if shared.state.load(Ordering::Acquire) == OPEN { shared.drain() } else { Ok(()) };
        // Another thread may have failed with the last events while there was nothing left to drain.
        let result =
            result.and_then(|()| if shared.state.load(Ordering::Acquire) == DEAD { Err(shared.death()) } else { Ok(()) });
        if let Err(error) = &result {
            // Nobody will try again.
            shared.die(error, &mut Woken::default());
        }
        let _ = shared.state.compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Acquire);
        for parking in [&shared.committer, &shared.second, &shared.keeper, &shared.sealing] {
            parking.wake();
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        // The last handle may be let go by a task that one of these threads wakes.
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A thread that panicked has poisoned nothing: its locks do not remember.
            let _ = thread.join();
        }
        if result.is_ok() {
            shared.writer.lock().journal.trim();
        }
        shared.taps.close();
        result.map(|()| Closed { heads: shared.heads.read().clone() })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; what was acknowledged is safe.
        let _ = self.close();
    }
}

impl Shared {
    pub(crate) fn flush(&self) -> Result<()> {
        if fork::generation() != self.forks {
            return Err(self.why_closed());
        }
        // What is gathering is not waited for: it goes now.
        self.cycle()?;
        for lane in &self.lanes {
            if let Some(last) = lane.next_position().checked_sub(1) {
                force_durable(self, lane.class(), last)?;
            }
        }
        Ok(())
    }

    /// Commits everything, records the heads of the other logs in log 0, signs, and writes a last frame with the checkpoints.
    fn drain(&self) -> Result<()> {
        while self.pending_records() > 0 || self.stalled.load(Ordering::Acquire) {
            self.cycle()?;
        }
        // Whoever took something from the lanes before has the journal by now: it is durable, or waits there, when this is ours.
        let builder = self.builder.lock();
        drop((self.writer.lock(), builder));
        if self.stalled.load(Ordering::Acquire) {
            self.cycle()?;
        }
        // What was refused or shed since the last frame, though nothing follows it.
        let owed = self.losses();
        if !owed.is_empty() {
            self.commit_control(&owed)?;
        }
        if self.config.tenant_counts_interval.is_some() && self.is_uncounted() {
            self.record_tenants(Duration::ZERO)?;
        }
        let unsigned = self.checkpoint_due();
        if unsigned {
            let others: Vec<LogHead> =
                self.heads.read().iter().filter(|head| head.log != LOG_CONTROL && head.size > 0).copied().collect();
            if !others.is_empty() {
                let entry = control::heads(&others, self.world.clock.wall_ns());
                self.commit_control(&[(LOG_CONTROL, entry)])?;
            }
        }
        self.sign_all()?;
        let mut builder = self.builder.lock();
        self.hand_over_notes(&mut builder);
        if builder.has_notes() {
            self.cycle_with(builder, FLAG_CLOSE, &[])?;
        }
        self.save_checkpoints()
    }

    /// The first entries of a new store's log 0.
    fn write_genesis(&self) -> Result<()> {
        let now = self.world.clock.wall_ns();
        let mut entries = vec![(LOG_CONTROL, control::store_created(&self.identity, now))];
        for log in [LOG_MAIN, LOG_TELEMETRY] {
            entries.push((LOG_CONTROL, control::log_created(&self.identity, log, now)));
        }
        debug_assert_eq!(entries.len() as u64, GENESIS_ENTRIES);
        self.cycle_with(self.builder.lock(), 0, &entries).map(drop)
    }

    /// The first entry of a restored store, unless it is there: nothing else comes between it and what was taken over.
    fn write_restored(&self) -> Result<()> {
        let Some(before) = self.identity.predecessors.last() else { return Ok(()) };
        let heads = self.heads.read().clone();
        let ended = |log: u32| heads.iter().find(|head| head.log == log);
        if ended(LOG_CONTROL).is_none_or(|head| head.size != before.size(LOG_CONTROL)) {
            return Ok(());
        }
        if before.logs.iter().any(|taken| ended(taken.head.log).is_some_and(|head| *head != taken.head)) {
            return Err(Error::new(ErrorKind::Corrupt, "the store does not hold what it was restored with")
                .with_hint("run `indelible verify` for all findings, and restore the backup into another directory"));
        }
        let entry = control::store_restored(&self.identity, before, self.world.clock.wall_ns());
        self.cycle_with(self.builder.lock(), 0, &[(LOG_CONTROL, entry)]).map(drop)
    }
}

/// Emitting to an open store; kept out of line, so that a disabled store costs its callers a load and a branch.
#[inline(never)]
fn emit_to<'s>(shared: &'s Shared, draft: &Draft<'_>) -> Result<Ticket<'s>> {
    match shared.admit(draft) {
        Ok(admitted) => {
            shared.notify(admitted);
            Ok(Ticket::new(shared, admitted))
        }
        Err(Refused::Error(error)) => Err(error),
        Err(Refused::Full(full)) => emit_waiting(shared, draft, full),
    }
}

/// The slow way in: the lane was full.
fn emit_waiting<'s>(shared: &'s Shared, draft: &Draft<'_>, mut full: LaneFull) -> Result<Ticket<'s>> {
    let started = Instant::now();
    let Overflow::Block(limit) = shared.lane(full.class).overflow() else {
        return Err(busy(shared, &full, Duration::ZERO));
    };
    loop {
        let waited = started.elapsed();
        if waited >= limit {
            return Err(busy(shared, &full, waited));
        }
        // A task that one of the store's threads woke does that thread's work: nobody else may be there to do it.
        if shared.config.threads && !threads::is_own() {
            shared.committer.wake_now();
            shared.lane(full.class).wait_for_space((limit - waited).min(Duration::from_millis(100)));
        } else {
            shared.cycle()?;
        }
        match shared.admit(draft) {
            Ok(admitted) => {
                shared.notify(admitted);
                return Ok(Ticket::new(shared, admitted));
            }
            Err(Refused::Error(error)) => return Err(error),
            Err(Refused::Full(still)) => full = still,
        }
    }
}

fn busy(shared: &Shared, full: &LaneFull, waited: Duration) -> Error {
    shared.lane(full.class).count_refused();
    Error::queue_full(full.class.name(), full.full.bytes, full.full.capacity, waited)
}

fn make_directories(world: &World, config: &Config) -> Result<()> {
    let dir = &config.dir;
    let failed = |error| Error::io(format!("could not make {}", dir.display()), error);
    if !world.disk.exists(&dir.join("store.json")) {
        if !config.create {
            return Err(Identity::missing(world, dir));
        }
        let ancestors: Vec<&Path> = dir.ancestors().take_while(|path| path.parent().is_some()).collect();
        for path in ancestors.into_iter().rev() {
            let there = world.disk.exists(path);
            if !there {
                world.disk.create_dir(path).map_err(failed)?;
            }
            // Also of what is there: it may come from an attempt like this one that ended before its name was durable.
            match world.disk.sync_dir(&crate::world::parent(path)) {
                // Not ours to sync; so it was not ours to make, either.
                Err(error) if there && not_ours(error.kind()) => {}
                synced => synced.map_err(failed)?,
            }
        }
        let names = world.disk.list(dir).map_err(failed)?;
        // What an interrupted creation leaves behind may be there; anything else is not ours to write into.
        if names.iter().any(|name| name == crate::backup::UNFINISHED) {
            return Err(Identity::missing(world, dir));
        }
        if let Some(stranger) = names.iter().find(|name| !OWN_NAMES.contains(&name.as_str())) {
            return Err(Error::new(
                ErrorKind::Rejected,
                format!("{} is not empty (it holds {stranger}) and holds no store", dir.display()),
            )
            .with_hint("choose an empty directory for --data"));
        }
    }
    for name in ["journal", "checkpoint", "tree", "dedupe"] {
        world.disk.create_dir(&dir.join(name)).map_err(failed)?;
    }
    world.disk.sync_dir(dir).map_err(failed)
}

/// Removes what was to replace a file of the store when its writer ended: nobody reads it, and nobody else removes it.
fn remove_unfinished(world: &World, dir: &Path) -> Result<()> {
    for name in ["key.new", "manifest.new", "pseudonym.key.new", "store.json.new"] {
        let path = dir.join(name);
        if world.disk.exists(&path) {
            world.disk.remove(&path).map_err(|error| Error::io(format!("could not remove {name}"), error))?;
        }
    }
    Ok(())
}

const fn not_ours(error: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(error, Kind::PermissionDenied | Kind::ReadOnlyFilesystem | Kind::InvalidInput | Kind::Unsupported)
}

const OWN_NAMES: &[&str] = &[
    "checkpoint",
    "dedupe",
    "journal",
    "key",
    "key.new",
    "lock",
    "manifest.new",
    "pseudonym.key",
    "pseudonym.key.new",
    "segments",
    "status",
    "store.json.new",
    "tree",
];

/// Draws and writes the identity of a new store.
fn create(world: &World, config: &Config) -> Result<(Identity, indelible_format::note::SigningKey)> {
    let (identity, key) = Identity::generate(world, &config.prefix)?;
    identity.write(&key, world, &config.dir)?;
    Ok((identity, key))
}

fn take_lock(world: &World, dir: &Path, command: &str) -> Result<Box<dyn LockGuard>> {
    let path = dir.join("lock");
    let failed = |error| Error::io("could not take the writer's lock", error);
    let file = world.disk.open(&path, Open::Create).map_err(failed)?;
    for nth in 0..LOCK_TRIES {
        match world.disk.lock(&path) {
            Ok(guard) => {
                let holder = holder(command, world.clock.wall_ns());
                file.set_len(0).map_err(failed)?;
                file.write_at(&[std::io::IoSlice::new(&holder)], 0).map_err(failed)?;
                return Ok(guard);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if nth + 1 < LOCK_TRIES {
                    std::thread::sleep(LOCK_PAUSE);
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let holder = world.read_file(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.is_empty());
    let holder = holder.unwrap_or_else(|| "a process that did not say who it is".into());
    Err(Error::new(ErrorKind::Locked, format!("another process writes to {}: {holder}", dir.display()))
        .with_hint("one process writes to a store at a time; reading, searching and verifying need no lock"))
}

/// Who holds the lock, as one canonical JSON object.
fn holder(command: &str, now: i64) -> Vec<u8> {
    let mut out = b"{\"command\":".to_vec();
    json::write_string(&mut out, command);
    out.extend_from_slice(b",\"host\":");
    json::write_string(&mut out, &crate::world::host_name());
    out.extend_from_slice(format!(",\"pid\":{},\"since\":\"{}\"}}", std::process::id(), time::format(now)).as_bytes());
    out
}
