//! How a store is opened. Every default is the safe choice.

use std::path::PathBuf;
use std::time::Duration;

use crate::admit::redact::Redaction;
use crate::retain::Retention;
use crate::seal::sealer::Shape;

/// When a sync starts. What is acknowledged is durable in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As soon as anything waits; all that wait share one sync. The default.
    Immediate,
    /// When `events` have gathered or `interval` has passed. What was emitted and not waited for may be lost in a
    /// crash: at most that many events and that much time.
    Batched {
        /// Events that close a batch.
        events: u64,
        /// Time that closes a batch.
        interval: Duration,
    },
    /// Critical events as `Immediate`, the rest as `Batched`.
    Hybrid {
        /// Events that close a batch.
        events: u64,
        /// Time that closes a batch.
        interval: Duration,
    },
}

/// What happens to an event whose lane is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The caller waits up to this long, then gets `Busy`.
    Block(Duration),
    /// The caller gets `Busy` at once.
    Reject,
    /// The event is dropped, counted, and the loss recorded in the log. Never for the critical lane.
    Shed,
}

/// One of the three lanes between callers and committer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneConfig {
    /// Bytes that may wait. One larger event is let through when the lane is empty.
    pub bytes: usize,
    /// What happens when they are used up.
    pub overflow: Overflow,
}

/// The largest critical lane: with a buffer of each of the other lanes, or one event of the largest size, it fits into one frame.
pub const CRITICAL_LANE_BYTES_MAX: usize = 4 << 20;

/// What a reader keeps for searching unless told otherwise.
pub(crate) const SEARCH_CACHE_BYTES: usize = 128 << 20;

/// The three lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Never dropped: `Shed` counts as `Reject` here. At most [`CRITICAL_LANE_BYTES_MAX`]: every frame takes all of it.
    pub critical: LaneConfig,
    /// Blocks by default.
    pub normal: LaneConfig,
    /// Sheds by default.
    pub telemetry: LaneConfig,
}

impl Default for Lanes {
    fn default() -> Self {
        let block = Overflow::Block(Duration::from_secs(10));
        Self {
            critical: LaneConfig { bytes: 1 << 20, overflow: block },
            normal: LaneConfig { bytes: 4 << 20, overflow: block },
            telemetry: LaneConfig { bytes: 1 << 20, overflow: Overflow::Shed },
        }
    }
}

/// When and how complete journal files become segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sealing {
    /// Seal in the background, by a thread of its own. Without it, or without threads, only `Store::seal` does.
    pub background: bool,
    /// Bytes of complete journal files that are sealed together.
    pub journal_bytes: u64,
    /// Longest time that an event stays in the journal, if anything follows or not.
    pub interval: Duration,
    /// Rows of a segment at most, 512..=1,048,576.
    pub rows_max: u64,
    /// Bytes of memory that segments take while they are written, those of all logs together, 4 MiB at least: when they need more, the largest
    /// ends. Events of 500 bytes take about 140 of it each, events that do not compress what they have. Reading back and comparing comes
    /// after that, and needs less.
    pub memory_bytes_max: usize,
    /// Zstandard level, 1..=22.
    pub level: i32,
}

impl Sealing {
    pub(crate) fn shape(&self) -> Shape {
        let options = indelible_segment::Options { level: self.level };
        let memory_bytes_max = self.memory_bytes_max.max(4 << 20);
        Shape { rows_max: self.rows_max.clamp(512, 1 << 20), memory_bytes_max, merges: true, options }
    }
}

impl Default for Sealing {
    fn default() -> Self {
        Self {
            background: true,
            journal_bytes: 192 << 20,
            interval: Duration::from_secs(3_600),
            rows_max: 1 << 20,
            memory_bytes_max: 64 << 20,
            level: 1,
        }
    }
}

/// What a store is tuned for: sets durability, lanes, sealing, the size of journal files and the memory for searching together. Change single
/// ones afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The defaults.
    Balanced,
    /// Many events from many threads: events gather for 5 ms before they are synced, so **what was not waited for and is younger may be
    /// lost in a crash**; a normal lane of 16 MiB; segments of a million rows,
    /// sealed from 512 MiB of journal, with 128 MiB of memory.
    HighTraffic,
    /// Few events that are waited for and looked for at once: a sync as soon as anything waits; sealed from 32 MiB of journal, so that little
    /// is unsealed when somebody searches.
    LowLatency,
    /// As little disk as possible: sealed from 64 MiB of journal or after a minute, compressed harder (more CPU for a few per cent), into
    /// segments of a million rows, for which sealing takes 128 MiB of memory.
    Storage,
}

/// How to open a store. Start from [`Config::new`] and change what you must.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The data directory.
    pub dir: PathBuf,
    /// Make the store when there is none.
    pub create: bool,
    /// First part of the origins of a new store, such as `example.com/audit`; no spaces, no `+`.
    pub prefix: String,
    /// Tenant of events that name none.
    pub tenant: String,
    /// When syncs start.
    pub durability: Durability,
    /// The lanes' sizes and overflow policies.
    pub lanes: Lanes,
    /// Directory outside the data directory for the trusted state (`<store id>.json`): opening refuses a store that is shorter
    /// than it or inconsistent with it. `None`: no such check, and a rollback of the whole directory goes unnoticed here.
    pub trusted_state_dir: Option<PathBuf>,
    /// Redaction before hashing.
    pub redaction: Option<Redaction>,
    /// Bytes to leave free on the disk: the journal does not grow into them. Sealing does only where there is no other room, one journal file at a
    /// time, which then gives its own back; so it should be no less than `journal_file_bytes_max`.
    pub disk_reserve_bytes: u64,
    /// Largest journal file; small stores begin with smaller ones. When one is removed after sealing, a file system that gives freed blocks
    /// back to the disk at once (ext4 with `discard`) keeps commits waiting, the longer the larger it is.
    pub journal_file_bytes_max: u64,
    /// Sealing into segments.
    pub sealing: Sealing,
    /// The retention policy that the store is to have from now on; `None`: the one that it has. Changing it makes the logs that it names,
    /// and is an entry of log 0. It decides about events that are admitted later.
    pub retention: Option<Retention>,
    /// Bytes of memory that the readers of this store keep for searching, all of it: an eighth for open segments, which take some 100 KiB for a
    /// million rows; a sixteenth for answers about segments; a sixteenth at most for the newest unsealed records; nine sixteenths at most for
    /// places and prints of records that are not sealed yet, 28 bytes of each; what all these leave for decoded pages. What a question holds
    /// while it is answered is its own.
    pub search_cache_bytes: usize,
    /// Longest time between checkpoints while events arrive.
    pub checkpoint_interval: Duration,
    /// Longest time between entries of log 0 that state how many events each tenant has, while events arrive, so that a tenant can be shown
    /// that it has all of its own. `None`: only [`Store::record_tenants`](crate::Store::record_tenants) makes them.
    pub tenant_counts_interval: Option<Duration>,
    /// Newest events whose leaf hash and tenant number are at hand for receipts; of older ones they are read from the journal. 40 bytes each.
    pub receipts_remembered: usize,
    /// Newest idempotency keys remembered per log.
    pub idempotency_window: u64,
    /// Run committer and housekeeping threads. Without them the callers of `wait`, `flush` and `close` do all the work: for
    /// simulation, and for processes that must not have threads.
    pub threads: bool,
    /// What a refused second writer is told about this one.
    pub command: String,
}

impl Config {
    /// The defaults for the store in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            create: true,
            prefix: "localhost".into(),
            tenant: "default".into(),
            durability: Durability::Immediate,
            lanes: Lanes::default(),
            trusted_state_dir: None,
            redaction: None,
            disk_reserve_bytes: 64 << 20,
            journal_file_bytes_max: 16 << 20,
            sealing: Sealing::default(),
            retention: None,
            search_cache_bytes: SEARCH_CACHE_BYTES,
            checkpoint_interval: Duration::from_secs(1),
            tenant_counts_interval: None,
            receipts_remembered: 16_384,
            idempotency_window: 1_000_000,
            threads: true,
            command: std::env::args().next().unwrap_or_default(),
        }
    }

    /// Tunes it for a kind of use: all that profiles are about is set, whatever it was before.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        let Self { durability, lanes, sealing, journal_file_bytes_max, search_cache_bytes, .. } = Self::new(PathBuf::new());
        (self.durability, self.lanes) = (durability, lanes);
        // Who seals is no matter of tuning.
        self.sealing = Sealing { background: self.sealing.background, ..sealing };
        (self.journal_file_bytes_max, self.search_cache_bytes) = (journal_file_bytes_max, search_cache_bytes);
        match profile {
            Profile::Balanced => {}
            Profile::HighTraffic => {
                self.durability = Durability::Batched { events: 65_536, interval: Duration::from_millis(5) };
                self.lanes.normal.bytes = 16 << 20;
                self.lanes.telemetry.bytes = 4 << 20;
                self.sealing.journal_bytes = 512 << 20;
                self.sealing.memory_bytes_max = 128 << 20;
                self.journal_file_bytes_max = 64 << 20;
                self.search_cache_bytes = 2 * SEARCH_CACHE_BYTES;
            }
            Profile::LowLatency => {
                self.sealing.journal_bytes = 32 << 20;
                self.sealing.interval = Duration::from_secs(600);
                self.journal_file_bytes_max = 8 << 20;
            }
            Profile::Storage => {
                self.sealing.journal_bytes = 64 << 20;
                self.sealing.interval = Duration::from_secs(60);
                self.sealing.level = 9;
                self.sealing.memory_bytes_max = 128 << 20;
                self.journal_file_bytes_max = 32 << 20;
                self.search_cache_bytes = SEARCH_CACHE_BYTES / 2;
            }
        }
        self
    }
}
