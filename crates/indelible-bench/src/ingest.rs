//! Durable events per second through the public API, and where the time goes.
//!
//! Producers build and emit events in a loop; at the end everything is flushed. What counts is what is durable, divided by the
//! time until it is. A run stops early rather than fill the disk.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indelible::{Config, Durability, Stats, Store, verify};

use crate::cpu::{self, CpuUse, CpuWatch};
use crate::events::Samples;
use crate::place::{bytes_on_disk, free_bytes};
use crate::report::{Table, cells};
use crate::{Bench, Result};

/// Bytes that a run leaves free on the disk.
const FREE_BYTES_MIN: u64 = 5_000_000_000;
const POLL: Duration = Duration::from_millis(200);

/// How our store is told to sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// As soon as anything waits; the default of a store
    Immediate,
    /// After 10 ms or 65,536 events
    Batched,
}

impl DurabilityArg {
    pub(crate) const fn durability(self) -> Durability {
        match self {
            Self::Immediate => Durability::Immediate,
            Self::Batched => Durability::Batched { events: 65_536, interval: Duration::from_millis(10) },
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    /// Threads that emit
    #[arg(long, default_value_t = 2)]
    producers: usize,
    /// Seconds to emit for
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// When the store syncs
    #[arg(long, value_enum, default_value_t = DurabilityArg::Immediate)]
    durability: DurabilityArg,
    /// MiB that may wait in the normal lane [default: the store's own]
    #[arg(long)]
    lane_mib: Option<usize>,
    /// Stop when the journal has this many bytes
    #[arg(long, default_value_t = 40_000_000_000)]
    limit_bytes: u64,
    /// Repeat the run this often, each in a fresh store
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Verify the store afterwards
    #[arg(long)]
    verify: bool,
}

impl IngestArgs {
    pub(crate) fn short() -> Self {
        Self {
            producers: 2,
            seconds: 2.0,
            durability: DurabilityArg::Immediate,
            lane_mib: None,
            limit_bytes: 40_000_000_000,
            rounds: 1,
            verify: true,
        }
    }
}

/// What a run of ingest did.
struct Ingested {
    events: u64,
    /// Until the last event was emitted.
    emit_s: f64,
    /// Until all of them were durable.
    durable_s: f64,
    producer_cpu_s: f64,
    stats: Stats,
    cpu: CpuUse,
    journal_bytes: u64,
    /// Events that became durable in each whole second.
    each_second: Vec<u64>,
    stopped: Option<String>,
}

pub(crate) fn run(bench: &mut Bench, args: &IngestArgs) -> Result<()> {
    let mut rates = Table::new(
        format!("ingest: {} producers, {} s, {:?}", args.producers, args.seconds, args.durability),
        &[
            "round",
            "durable events/s",
            "events",
            "MB/s of JSON",
            "journal B/event",
            "slowest second",
            "fastest second",
            "foreign CPU",
        ],
    );
    let mut last = None;
    for round in 1..=args.rounds {
        let dir = bench.place.fresh("ingest")?;
        let store_dir = dir.path().join("store");
        let ingested = ingest(&store_dir, args, &bench.samples)?;
        let rate = ingested.events as f64 / ingested.durable_s;
        rates.row(cells![
            round,
            rate,
            ingested.events,
            rate * bench.samples.json_bytes() / 1e6,
            ingested.stats.bytes as f64 / ingested.events as f64,
            ingested.each_second.iter().min().copied(),
            ingested.each_second.iter().max().copied(),
            ingested.cpu.foreign_text(),
        ]);
        if let Some(reason) = &ingested.stopped {
            rates.note(format!("round {round} stopped early: {reason}"));
        }
        if args.verify {
            let started = Instant::now();
            let report = verify::verify(&store_dir, verify::Options::default())?;
            if !report.ok || report.events < ingested.events {
                return Err(format!("the store does not verify: {} events, {:?}", report.events, report.findings).into());
            }
            let seconds = started.elapsed().as_secs_f64();
            rates.note(format!("round {round} verified: {} events in {seconds:.2} s", report.events));
        }
        last = Some(ingested);
    }
    rates.note(bench.samples.describe());
    bench.report.add(rates)?;
    match last {
        Some(ingested) => bench.report.add(budget(&ingested)),
        None => Ok(()),
    }
}

/// Emits for as long as asked, flushes, closes; the store stays in `dir`.
fn ingest(dir: &Path, args: &IngestArgs, samples: &Samples) -> Result<Ingested> {
    let mut config = Config::new(dir);
    config.durability = args.durability.durability();
    if let Some(mebibytes) = args.lane_mib {
        config.lanes.normal.bytes = mebibytes << 20;
    }
    let store = Store::open(config)?;
    let stop = AtomicBool::new(false);
    let watch = CpuWatch::start(&[]);
    let started = Instant::now();
    let (counts, emit_s, each_second, stopped) = thread::scope(|scope| {
        let threads: Vec<_> = (0..args.producers)
            .map(|nth| {
                let (store, stop) = (&store, &stop);
                let first = nth * samples.len() / args.producers.max(1);
                scope.spawn(move || produce(store, samples, first, stop))
            })
            .collect();
        let (each_second, stopped) = watch_over(&store, dir, args, started);
        stop.store(true, Ordering::Relaxed);
        let counts =
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a producer panicked")?).collect::<Result<Vec<_>>>();
        (counts, started.elapsed().as_secs_f64(), each_second, stopped)
    });
    let counts = counts?;
    store.flush()?;
    let durable_s = started.elapsed().as_secs_f64();
    let cpu = watch.stop();
    let stats = store.stats();
    let events = counts.iter().map(|(events, _)| events).sum();
    let head = store.heads().iter().find(|head| head.log == LOG_MAIN).map_or(0, |head| head.size);
    if head != events {
        return Err(format!("{events} events were emitted, {head} are durable").into());
    }
    store.close()?;
    Ok(Ingested {
        events,
        emit_s,
        durable_s,
        producer_cpu_s: counts.iter().map(|(_, seconds)| seconds).sum(),
        stats,
        cpu,
        journal_bytes: bytes_on_disk(dir)?,
        each_second,
        stopped,
    })
}

/// Events emitted, and the CPU seconds it took.
pub(crate) fn produce(store: &Store, samples: &Samples, first: usize, stop: &AtomicBool) -> Result<(u64, f64)> {
    let before = cpu::thread_cpu();
    let mut events = 0;
    let mut event = first;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..64 {
            store.emit(&samples.at(event).draft())?;
            event += 1;
        }
        events += 64;
    }
    Ok((events, (cpu::thread_cpu() - before).as_secs_f64()))
}

/// Waits for the end of the run; counts each second's events; says why the run ends early.
fn watch_over(store: &Store, dir: &Path, args: &IngestArgs, started: Instant) -> (Vec<u64>, Option<String>) {
    let mut each_second = Vec::new();
    let (mut second, mut counted) = (1, 0);
    let end = Duration::from_secs_f64(args.seconds);
    loop {
        let elapsed = started.elapsed();
        if elapsed >= Duration::from_secs(second) {
            let records = store.stats().records;
            each_second.push(records - counted);
            (second, counted) = (second + 1, records);
        }
        if elapsed >= end {
            return (each_second, None);
        }
        let bytes = store.stats().bytes;
        if bytes >= args.limit_bytes {
            return (each_second, Some(format!("the journal has {bytes} bytes, the limit is {}", args.limit_bytes)));
        }
        if free_bytes(dir).is_ok_and(|free| free < FREE_BYTES_MIN) {
            return (each_second, Some(format!("less than {} GB are free on the disk", FREE_BYTES_MIN / 1_000_000_000)));
        }
        let next_second = Duration::from_secs(second).saturating_sub(elapsed);
        thread::sleep(POLL.min(end - elapsed).min(next_second).max(Duration::from_millis(1)));
    }
}

fn budget(ingested: &Ingested) -> Table {
    let mut table = Table::new("ingest: the budget per event", &["stage", "ns/event", "note"]);
    let events = ingested.events as f64;
    let stats = &ingested.stats;
    let per_event = |seconds: f64| seconds * 1e9 / events;
    let records = stats.records.max(1) as f64;
    let frames = stats.frames.max(1) as f64;
    table.row(cells![
        "wall",
        per_event(ingested.durable_s),
        format!("{:.2} s, {:.3} s of it after the last emit", ingested.durable_s, ingested.durable_s - ingested.emit_s)
    ]);
    table.row(cells!["producers, CPU", per_event(ingested.producer_cpu_s), "build the draft, validate, encode, hand over"]);
    table.row(cells![
        "number and hash",
        stats.build_ns as f64 / records,
        format!("{:.1} s under the builder's lock", stats.build_ns as f64 / 1e9)
    ]);
    table.row(cells![
        "write and sync",
        stats.write_ns as f64 / records,
        format!("{:.1} s under the journal's lock", stats.write_ns as f64 / 1e9)
    ]);
    table.row(cells!["process, CPU user", per_event(ingested.cpu.user_s), "all threads"]);
    table.row(cells!["process, CPU system", per_event(ingested.cpu.system_s), "copy to the page cache, sync, futex"]);
    table.row(cells!["kernel threads, CPU", per_event(ingested.cpu.kernel_threads_s), "write-back, the file system's journal"]);
    let blocked: u64 = stats.lanes.iter().map(|lane| lane.blocked).sum();
    table.note(format!(
        "{} frames of {:.0} events and {:.0} kB on average, {:.0} µs each to write and sync; producers waited {blocked} times for room",
        stats.frames,
        records / frames,
        stats.bytes as f64 / frames / 1e3,
        stats.write_ns as f64 / frames / 1e3,
    ));
    table.note(format!("the data directory takes {:.1} MB on disk after closing", ingested.journal_bytes as f64 / 1e6));
    table.note("stages overlap: producers, hashing and syncing run side by side; CPU of two cores is 2 × wall");
    table
}

/// The log that events of the normal and critical lanes go to.
const LOG_MAIN: u32 = 1;
