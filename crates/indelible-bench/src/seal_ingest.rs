//! Ingest that goes on for many minutes, sealing included: what it sustains, how long a commit takes meanwhile, what memory it needs.
//!
//! Producers emit at a rate; beside them one thread appends an event now and then and waits for its receipt, as a service does that
//! answers a request. The disk's own sync is measured before, on the same file system.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use indelible::{Config, Stats, Store};

use crate::cpu::{CpuUse, CpuWatch, memory_bytes, reset_memory_peak};
use crate::disk::sync_latencies;
use crate::latency::{Latencies, median, nanoseconds};
use crate::pace::Pace;
use crate::place::{bytes_on_disk, free_bytes};
use crate::report::{Table, cells};
use crate::zipf::Zipf;
use crate::{Bench, Result, sealing};

/// Bytes that a run leaves free on the disk.
const FREE_BYTES_MIN: u64 = 5_000_000_000;
/// Time from one sample of the memory to the next.
const SAMPLE: Duration = Duration::from_millis(100);
/// The log that events of the normal and critical lanes go to.
const LOG_MAIN: u32 = 1;
/// Seconds for which the bare disk is measured, with each size.
const BARE_SECONDS: f64 = 3.0;
const MEBIBYTE: f64 = 1_048_576.0;

#[derive(Debug, Args)]
pub(crate) struct SealIngestArgs {
    /// Seconds to emit for
    #[arg(long, default_value_t = 600.0)]
    seconds: f64,
    /// Events per second; 0 for as many as the store takes
    #[arg(long, default_value_t = 400_000.0)]
    rate: f64,
    /// Threads that emit
    #[arg(long, default_value_t = 2)]
    producers: usize,
    /// Commits that are waited for, per second
    #[arg(long, default_value_t = 100.0)]
    waits: f64,
    /// Stop when the data directory has this many bytes
    #[arg(long, default_value_t = 40_000_000_000)]
    limit_bytes: u64,
}

/// What a run found.
struct Sustained {
    stats: Stats,
    seconds: f64,
    /// Events that became durable in each whole second.
    each_second: Vec<u64>,
    /// Anonymous memory over time.
    anonymous: Vec<f64>,
    waits: Latencies,
    peak_bytes: u64,
    written_bytes: u64,
    on_disk_bytes: u64,
    cpu: CpuUse,
    stopped: Option<String>,
}

pub(crate) fn run(bench: &mut Bench, args: &SealIngestArgs) -> Result<()> {
    let dir = bench.place.fresh("seal-ingest")?;
    let bare_small = sync_latencies(dir.path(), 4 << 10, BARE_SECONDS)?;
    let bare_frame = sync_latencies(dir.path(), 256 << 10, BARE_SECONDS)?;
    let zipf = Zipf::new(bench.seed, 5);
    reset_memory_peak();
    let before_bytes = memory_bytes("RssAnon");
    let sustained = sustain(&dir.path().join("store"), args, &zipf)?;
    bench.report.add(rates(args, &sustained))?;
    bench.report.add(commits(&sustained, &[("bare disk, 4 KiB", &bare_small), ("bare disk, 256 KiB", &bare_frame)]))?;
    bench.report.add(memory(&sustained, before_bytes))
}

fn sustain(dir: &Path, args: &SealIngestArgs, zipf: &Zipf) -> Result<Sustained> {
    let mut config = Config::new(dir);
    sealing::switch_on(&mut config);
    let store = Store::open(config)?;
    let pace = Pace::new(zipf, 0, args.rate);
    let written_before = written_bytes();
    let watch = CpuWatch::start(&[]);
    let started = Instant::now();
    let (each_second, anonymous, stopped, waits) = thread::scope(|scope| {
        let (store, pace) = (&store, &pace);
        let producers: Vec<_> = (0..args.producers).map(|_| scope.spawn(move || pace.produce(store, started, 0))).collect();
        let waiter = scope.spawn(move || wait_now_and_then(store, pace, args.waits));
        let (each_second, anonymous, stopped) = watch_over(store, dir, args, started);
        pace.stop.store(true, Ordering::Relaxed);
        let waits = waiter.join().map_err(|_| "the waiting thread panicked")?;
        for producer in producers {
            producer.join().map_err(|_| "a producer panicked")??;
        }
        Ok::<_, crate::Error>((each_second, anonymous, stopped, waits?))
    })?;
    store.flush()?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = watch.stop();
    let stats = store.stats();
    let peak_bytes = memory_bytes("VmHWM");
    let emitted = pace.next.load(Ordering::Relaxed) + waits.count();
    let durable = store.heads().iter().find(|head| head.log == LOG_MAIN).map_or(0, |head| head.size);
    if durable != emitted {
        return Err(format!("{emitted} events were emitted, {durable} are durable").into());
    }
    sealing::seal(&store)?;
    store.close()?;
    Ok(Sustained {
        stats,
        seconds,
        each_second,
        anonymous,
        waits,
        peak_bytes,
        written_bytes: written_bytes().saturating_sub(written_before),
        on_disk_bytes: bytes_on_disk(dir)?,
        cpu,
        stopped,
    })
}

/// Appends an event every so often and waits until it is durable.
fn wait_now_and_then(store: &Store, pace: &Pace<'_>, per_second: f64) -> Result<Latencies> {
    let mut latencies = Latencies::new()?;
    let pause = Duration::from_secs_f64(1.0 / per_second.max(0.01));
    while !pace.stop.load(Ordering::Relaxed) {
        // An event of now, but with another id than the producers'.
        let event = pace.zipf.at(pace.next.load(Ordering::Relaxed));
        let mut draft = event.draft();
        draft.id = None;
        let before = Instant::now();
        store.append(&draft)?;
        latencies.record(nanoseconds(before.elapsed()));
        thread::sleep(pause);
    }
    Ok(latencies)
}

/// Waits for the end of the run; counts each second's events, samples memory, and says why the run ends early.
fn watch_over(store: &Store, dir: &Path, args: &SealIngestArgs, started: Instant) -> (Vec<u64>, Vec<f64>, Option<String>) {
    let (mut each_second, mut anonymous) = (Vec::new(), Vec::new());
    let mut counted = 0;
    let mut sample = 0u32;
    while started.elapsed() < Duration::from_secs_f64(args.seconds) {
        sample += 1;
        thread::sleep((SAMPLE * sample).saturating_sub(started.elapsed()));
        anonymous.push(memory_bytes("RssAnon") as f64);
        if !sample.is_multiple_of(SAMPLES_PER_SECOND) {
            continue;
        }
        let records = store.stats().records;
        each_second.push(records - counted);
        counted = records;
        let bytes = bytes_on_disk(dir).unwrap_or(0);
        if bytes >= args.limit_bytes {
            let why = format!("the data directory has {bytes} bytes, the limit is {}", args.limit_bytes);
            return (each_second, anonymous, Some(why));
        }
        if free_bytes(dir).is_ok_and(|free| free < FREE_BYTES_MIN) {
            let why = format!("less than {} GB are free on the disk", FREE_BYTES_MIN / 1_000_000_000);
            return (each_second, anonymous, Some(why));
        }
    }
    (each_second, anonymous, None)
}

/// Bytes that this process caused to be written to disks.
fn written_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0)
}

fn rates(args: &SealIngestArgs, run: &Sustained) -> Table {
    let asked = if args.rate > 0.0 { format!("{:.0} events/s asked", args.rate) } else { "unbounded".into() };
    let mut table = Table::new(
        format!("seal-ingest: {} producers, {asked}, {:.0} s", args.producers, run.seconds),
        &["events", "events/s", "slowest second", "median second", "fastest second", "CPU ns/event", "foreign CPU"],
    );
    let events = run.stats.records;
    let seconds: Vec<f64> = run.each_second.iter().map(|count| *count as f64).collect();
    table.row(cells![
        events,
        events as f64 / run.seconds,
        run.each_second.iter().min().copied(),
        median(&seconds),
        run.each_second.iter().max().copied(),
        run.cpu.own_s() * 1e9 / events as f64,
        run.cpu.foreign_text(),
    ]);
    if let Some(reason) = &run.stopped {
        table.note(format!("stopped early: {reason}"));
    }
    let blocked: u64 = run.stats.lanes.iter().map(|lane| lane.blocked).sum();
    table.note(format!(
        "{:.1} GB written ({:.0} B/event), {:.1} GB on disk after closing ({:.0} B/event); producers waited {blocked} times for room",
        run.written_bytes as f64 / 1e9,
        run.written_bytes as f64 / events as f64,
        run.on_disk_bytes as f64 / 1e9,
        run.on_disk_bytes as f64 / events as f64,
    ));
    table.note("CPU includes the producers' making of events");
    table
}

fn commits(run: &Sustained, bare: &[(&str, &Latencies)]) -> Table {
    let mut table = Table::new(
        "seal-ingest: from the call to the receipt, beside the bare disk",
        &["what", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "count"],
    );
    for (name, times) in [("commit, waited for", &run.waits)].iter().chain(bare) {
        table.row(cells![
            *name,
            times.quantile_us(0.5),
            times.quantile_us(0.99),
            times.quantile_us(0.999),
            times.max_ns().map(|ns| ns as f64 / 1e3),
            times.count(),
        ]);
    }
    table.note("the bare disk was measured before, when the store did nothing: write and fdatasync on recycled blocks");
    table
}

fn memory(run: &Sustained, before_bytes: u64) -> Table {
    let mut table = Table::new("seal-ingest: memory", &["what", "MiB"]);
    let third = run.anonymous.len() / 3;
    let (first, rest) = run.anonymous.split_at(third);
    let last = rest.get(rest.len() - third..).unwrap_or_default();
    let peak = |samples: &[f64]| samples.iter().copied().reduce(f64::max).unwrap_or(0.0);
    table.row(cells!["anonymous before opening (the generator's tables)", before_bytes as f64 / MEBIBYTE]);
    table.row(cells!["anonymous, peak of the samples", peak(&run.anonymous) / MEBIBYTE]);
    table.row(cells!["… first third: median", median(first).map(|bytes| bytes / MEBIBYTE)]);
    table.row(cells!["… first third: peak", peak(first) / MEBIBYTE]);
    table.row(cells!["… last third: median", median(last).map(|bytes| bytes / MEBIBYTE)]);
    table.row(cells!["… last third: peak", peak(last) / MEBIBYTE]);
    table.row(cells!["resident, peak (VmHWM; mapped files included)", run.peak_bytes as f64 / MEBIBYTE]);
    let flat = peak(last) <= peak(first) * FLAT_FACTOR + FLAT_BYTES;
    table.note(if flat {
        "flat: the last third's peak is that of the first"
    } else {
        "NOT FLAT: the last third needs more than the first"
    });
    table
}

const SAMPLES_PER_SECOND: u32 = 10;
/// Growth that is still flat: allocators round.
const FLAT_FACTOR: f64 = 1.05;
const FLAT_BYTES: f64 = 2.0 * MEBIBYTE;
