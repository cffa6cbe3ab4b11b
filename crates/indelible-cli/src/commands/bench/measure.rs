//! The measurements themselves.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indelible::verify::{Options, verify};
use indelible::{Config, Draft, LaneConfig, Outcome, Overflow, Store, taxonomy};

use crate::failure::{Failure, Result};
use crate::signals::Stop;

/// A measurement about to be made.
pub(crate) struct Bench<'b> {
    pub(crate) dir: &'b Path,
    pub(crate) seconds: f64,
    /// The stores may not become larger than this.
    pub(crate) bytes_max: u64,
    pub(crate) stop: &'b Stop,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Emit {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    /// What reading the clock costs, which is part of each.
    pub(crate) timer: u64,
    pub(crate) per_second: f64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ingest {
    pub(crate) per_second: f64,
    pub(crate) threads: usize,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) emit: Emit,
    pub(crate) ingest: Ingest,
    /// 64 writers, each waiting for every event.
    pub(crate) crowd: f64,
    /// One such writer.
    pub(crate) single: f64,
    /// A bare write and fdatasync of as many bytes.
    pub(crate) bare: f64,
    pub(crate) verify: f64,
    pub(crate) event_bytes: u64,
}

impl Figures {
    pub(crate) fn ratio(&self) -> f64 {
        if self.bare > 0.0 { self.single / self.bare } else { 0.0 }
    }
}

/// Events per second at which emit is timed: busy, but with lanes that are not full.
const EMIT_RATE: f64 = 100_000.0;
const CROWD: u64 = 64;
/// One event of this size takes a frame of two or three sectors.
const BARE_BYTES: usize = 1024;
/// The bare file is written round and round, as recycled journal files are.
const BARE_FILE_BYTES: u64 = 4 << 20;

impl Bench<'_> {
    pub(crate) fn run(&self) -> Result<Figures> {
        let mut figures = Figures::default();
        let store = self.store("emit")?;
        figures.emit = self.emit(&store)?;
        let stats = store.stats();
        figures.event_bytes = stats.bytes.checked_div(stats.records).unwrap_or_default();
        store.close()?;

        let store = self.store("ingest")?;
        figures.ingest = self.ingest(&store)?;
        store.close()?;
        let started = Instant::now();
        let report = verify(self.dir.join("ingest"), Options::default())?;
        figures.verify = per_second(report.events, started);

        let store = self.store("wait")?;
        // In turns, so that a disk that changes its mind changes it for both.
        for _ in 0..2 {
            figures.single += self.waiting(&store, 1, 0.5)? / 2.0;
            figures.bare += self.bare()? / 2.0;
        }
        figures.crowd = self.waiting(&store, CROWD, 1.0)?;
        store.close()?;
        Ok(figures)
    }

    fn store(&self, name: &str) -> Result<Store> {
        let mut config = Config::new(self.dir.join(name));
        config.command = "indelible bench".to_owned();
        config.lanes.normal = LaneConfig { overflow: Overflow::Block(Duration::from_secs(60)), ..config.lanes.normal };
        Ok(Store::open(config)?)
    }

    fn deadline(&self, share: f64) -> Instant {
        Instant::now() + Duration::from_secs_f64(self.seconds * share)
    }

    /// The time each emit takes, at a steady rate.
    fn emit(&self, store: &Store) -> Result<Emit> {
        let gap = Duration::from_secs_f64(1.0 / EMIT_RATE);
        let started = Instant::now();
        let deadline = self.deadline(1.0);
        let mut times = Vec::new();
        let mut due = started;
        let mut nth = 0u64;
        while due < deadline && !self.stop.asked() {
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            let before = Instant::now();
            let _ticket = store.emit(&sample(nth).draft())?;
            times.push(nanoseconds(before.elapsed()));
            nth += 1;
            due += gap;
        }
        let per_second = per_second(nth, started);
        store.flush()?;
        // The first ones make the thread's buffers.
        let mut times = times.split_off(times.len() / 10);
        times.sort_unstable();
        let at = |permille: usize| times.get(times.len() * permille / 1000).or(times.last()).copied().unwrap_or_default();
        Ok(Emit { p50: at(500), p99: at(990), p999: at(999), timer: timer_ns(), per_second })
    }

    /// As many events as the store takes.
    fn ingest(&self, store: &Store) -> Result<Ingest> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let deadline = self.deadline(1.0);
        let count = AtomicU64::new(0);
        let started = Instant::now();
        let results: Vec<Result<()>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads as u64)
                .map(|thread| {
                    let count = &count;
                    scope.spawn(move || -> Result<()> {
                        let mut nth = thread << 40;
                        while Instant::now() < deadline && !self.stop.asked() && store.stats().bytes < self.bytes_max {
                            for _ in 0..256 {
                                let _ticket = store.emit(&sample(nth).draft())?;
                                nth += 1;
                            }
                            count.fetch_add(256, Ordering::Relaxed);
                        }
                        Ok(())
                    })
                })
                .collect();
            handles.into_iter().map(joined).collect()
        });
        results.into_iter().collect::<Result<()>>()?;
        // Only what is durable counts.
        store.flush()?;
        Ok(Ingest { per_second: per_second(count.into_inner(), started), threads })
    }

    /// Acknowledgements per second to writers that each wait for every event.
    fn waiting(&self, store: &Store, writers: u64, share: f64) -> Result<f64> {
        let deadline = self.deadline(share);
        let started = Instant::now();
        let counts: Vec<Result<u64>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..writers)
                .map(|writer| {
                    scope.spawn(move || -> Result<u64> {
                        let mut count = 0;
                        while Instant::now() < deadline && !self.stop.asked() {
                            store.append(&sample((writer << 40) + count).draft())?;
                            count += 1;
                        }
                        Ok(count)
                    })
                })
                .collect();
            handles.into_iter().map(joined).collect()
        });
        let total = counts.into_iter().sum::<Result<u64>>()?;
        Ok(per_second(total, started))
    }

    /// What the disk does for a program that only writes and syncs.
    fn bare(&self) -> Result<f64> {
        let path = self.dir.join("bare");
        let failed = |error| Failure::file("write and sync", &path, &error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        for at in 0..BARE_FILE_BYTES >> 20 {
            file.write_all_at(&vec![0; 1 << 20], at << 20).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        let block = [0x5a; BARE_BYTES];
        let deadline = self.deadline(0.5);
        let started = Instant::now();
        let mut count = 0;
        while Instant::now() < deadline && !self.stop.asked() {
            file.write_all_at(&block, count * BARE_BYTES as u64 % BARE_FILE_BYTES).map_err(failed)?;
            file.sync_data().map_err(failed)?;
            count += 1;
        }
        Ok(per_second(count, started))
    }
}

fn joined<T>(handle: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle
        .join()
        .unwrap_or_else(|_| Err(Failure::new("bug", "a measuring thread panicked").hint("report this with the message above")))
}

fn per_second(count: u64, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64().max(1e-9)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What two readings of the clock, one behind the other, say has passed.
fn timer_ns() -> u64 {
    let mut times: Vec<u64> = (0..1001)
        .map(|_| {
            let before = Instant::now();
            nanoseconds(before.elapsed())
        })
        .collect();
    times.sort_unstable();
    times.get(500).copied().unwrap_or_default()
}

/// The texts of one made-up event; about 500 bytes once stored.
struct Sample {
    actor: &'static str,
    ip: &'static str,
    object: String,
    rows: u64,
}

fn sample(nth: u64) -> Sample {
    const ACTORS: [&str; 8] = ["u-10431", "u-20017", "u-33902", "svc-billing", "svc-export", "u-51128", "u-60340", "svc-backup"];
    const ADDRESSES: [&str; 4] = ["198.51.100.24", "198.51.100.77", "203.0.113.5", "2001:db8::17"];
    let pick =
        |choices: &[&'static str]| choices.get(usize::try_from(nth).unwrap_or(0) % choices.len()).copied().unwrap_or_default();
    Sample { actor: pick(&ACTORS), ip: pick(&ADDRESSES), object: format!("ledger-{:08}", nth % 100_000), rows: nth % 977 }
}

impl Sample {
    fn draft(&self) -> Draft<'_> {
        Draft::new(taxonomy::DATA_READ)
            .outcome(Outcome::Success)
            .actor(self.actor)
            .actor_type("user")
            .ip(self.ip)
            .user_agent("ledger-client/4.2 (linux; x86_64)")
            .host("app-07.eu-west.internal")
            .session("s-7f3c1a9e52d84b06")
            .target("table", &self.object)
            .detail("query", "select id, amount, currency from ledger where account = ? order by booked desc")
            .detail("rows", self.rows)
            .detail("cached", false)
    }
}
