//! Writers that wait, each for its own acknowledgement: how many are served, and how fast.
//!
//! Every subject gets the same events and is measured in turns, A B A B, so that what changes on the machine changes for all; a
//! figure is the median of its rounds. Every round begins with an empty store of the subject's, and its first part is not counted.

mod bare;
mod chain;
mod ours;
#[cfg(feature = "peers")]
mod redis;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(feature = "peers")]
mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cpu::{CpuUse, CpuWatch};
use crate::events::Samples;
use crate::latency::{Latencies, median, nanoseconds};
use crate::report::{Cell, Table};
use crate::{Bench, Result};

#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    /// Numbers of waiting writers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    writers: Vec<usize>,
    /// Seconds of each round, besides the warm-up
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Rounds of each subject
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only subjects whose names contain one of these words
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

impl AckArgs {
    pub(crate) fn short() -> Self {
        Self { writers: vec![1, 8, 64], seconds: 1.0, rounds: 1, only: Vec::new() }
    }
}

/// What a round of a subject is given.
struct Round<'r> {
    /// An empty directory on the disk that is measured.
    dir: &'r Path,
    samples: Arc<Samples>,
    #[cfg_attr(not(feature = "peers"), expect(dead_code, reason = "only a peer cares"))]
    writers: usize,
    /// Mean bytes of a frame of ours with one writer, for the bare disk to write as many.
    frame_bytes: usize,
}

/// Somebody who makes events durable.
trait Subject {
    fn name(&self) -> &'static str;

    /// Whether it is measured with so many writers.
    fn takes(&self, _writers: usize) -> bool {
        true
    }

    fn open(&self, round: &Round<'_>) -> Result<Box<dyn Running>>;
}

/// Makes one event (by its number) durable; returns when it is.
type Writer<'w> = Box<dyn FnMut(usize) -> Result<()> + Send + 'w>;

/// A subject that is open.
trait Running: Sync {
    /// A handle for one thread.
    fn writer(&self) -> Result<Writer<'_>>;

    /// The process that does the work, if it is not this one.
    fn server(&self) -> Option<u32> {
        None
    }

    /// Bytes per sync so far, if it knows.
    fn frame_bytes(&self) -> Option<usize> {
        None
    }
}

/// What a subject did in one round.
struct Measured {
    acks_per_s: f64,
    latencies: Latencies,
    cpu: CpuUse,
    frame_bytes: Option<usize>,
}

/// All rounds of a subject.
struct Entry {
    subject: Box<dyn Subject>,
    rates: Vec<f64>,
    latencies: Latencies,
    cpu_s: f64,
    foreign: Vec<f64>,
}

pub(crate) fn run(bench: &mut Bench, args: &AckArgs) -> Result<()> {
    let samples = Arc::new(Samples::generate(bench.seed));
    for &writers in &args.writers {
        let mut entries: Vec<Entry> = Vec::new();
        let wanted =
            |name: &str| args.only.is_empty() || args.only.iter().any(|word| name.to_lowercase().contains(&word.to_lowercase()));
        for subject in subjects().into_iter().filter(|subject| subject.takes(writers) && wanted(subject.name())) {
            entries.push(Entry { subject, rates: Vec::new(), latencies: Latencies::new()?, cpu_s: 0.0, foreign: Vec::new() });
        }
        // Until ours says what its frames have: an event and a frame header, in whole sectors.
        let mut frame_bytes = 1_024;
        let mut absent = Vec::new();
        for _ in 0..args.rounds {
            for entry in &mut entries {
                let dir = bench.place.fresh("ack")?;
                let round = Round { dir: dir.path(), samples: Arc::clone(&samples), writers, frame_bytes };
                let measured = match entry.subject.open(&round) {
                    Ok(running) => measure(running.as_ref(), writers, args.seconds)?,
                    Err(error) if error.is::<Absent>() => {
                        absent.push(format!("{}: {error}", entry.subject.name()));
                        continue;
                    }
                    Err(error) => return Err(format!("{}: {error}", entry.subject.name()).into()),
                };
                frame_bytes = measured.frame_bytes.unwrap_or(frame_bytes);
                entry.rates.push(measured.acks_per_s);
                entry.latencies.add(&measured.latencies)?;
                entry.cpu_s += measured.cpu.own_s();
                entry.foreign.push(measured.cpu.foreign_share());
            }
        }
        let mut table = table(writers, args, &entries);
        absent.dedup();
        for line in absent {
            table.note(line);
        }
        if writers == 1 {
            table.note(format!("a frame of ours has {frame_bytes} B; the bare disk writes as many per sync"));
        }
        table.note(samples.describe());
        bench.report.add(table)?;
    }
    Ok(())
}

/// Something to measure beside that is not on this machine.
#[derive(Debug)]
struct Absent(String);

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Absent {}

/// Ours first: the others are compared with it.
fn subjects() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(ours::Ours),
        Box::new(bare::Bare),
        Box::new(chain::Chain),
        #[cfg(feature = "peers")]
        Box::new(redis::Redis),
        #[cfg(feature = "peers")]
        Box::new(sqlite::Sqlite),
        #[cfg(feature = "rocksdb")]
        Box::new(rocks::RocksDb),
    ]
}

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Lets `writers` threads write for some seconds.
fn measure(running: &dyn Running, writers: usize, seconds: f64) -> Result<Measured> {
    let handles = (0..writers).map(|_| running.writer()).collect::<Result<Vec<_>>>()?;
    let phase = AtomicU8::new(WARMING);
    let servers: Vec<u32> = running.server().into_iter().collect();
    let (parts, counted_s, cpu) = thread::scope(|scope| {
        let threads: Vec<_> = handles
            .into_iter()
            .enumerate()
            .map(|(nth, mut write)| {
                let phase = &phase;
                scope.spawn(move || {
                    let mut latencies = Latencies::new()?;
                    let mut event = nth;
                    loop {
                        let began = phase.load(Ordering::Relaxed);
                        if began == OVER {
                            return Ok(latencies);
                        }
                        let before = Instant::now();
                        write(event)?;
                        let took = nanoseconds(before.elapsed());
                        if began == COUNTING {
                            latencies.record(took);
                        }
                        event += writers;
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_secs_f64((seconds / 4.0).clamp(0.2, 1.0)));
        let watch = CpuWatch::start(&servers);
        let started = Instant::now();
        phase.store(COUNTING, Ordering::Relaxed);
        thread::sleep(Duration::from_secs_f64(seconds));
        phase.store(OVER, Ordering::Relaxed);
        let counted_s = started.elapsed().as_secs_f64();
        let cpu = watch.stop();
        let parts: Vec<Result<Latencies>> =
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a writer panicked")?).collect();
        (parts, counted_s, cpu)
    });
    let mut latencies = Latencies::new()?;
    for part in parts {
        latencies.add(&part?)?;
    }
    Ok(Measured { acks_per_s: latencies.count() as f64 / counted_s, latencies, cpu, frame_bytes: running.frame_bytes() })
}

fn table(writers: usize, args: &AckArgs, entries: &[Entry]) -> Table {
    let mut table = Table::new(
        format!("ack: writers waiting: {writers}, {} rounds of {} s", args.rounds, args.seconds),
        &[
            "subject",
            "acks/s",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "CPU µs/ack",
            "min acks/s",
            "max acks/s",
            "ours/this",
            "foreign CPU",
        ],
    );
    let ours = entries.iter().find(|entry| entry.subject.name() == ours::NAME).and_then(|entry| median(&entry.rates));
    for entry in entries {
        let rate = median(&entry.rates);
        let edge = |pick: fn(f64, f64) -> f64| entry.rates.iter().copied().reduce(pick);
        let acks = entry.latencies.count();
        table.row(vec![
            entry.subject.name().into(),
            rate.into(),
            entry.latencies.quantile_us(0.5).into(),
            entry.latencies.quantile_us(0.99).into(),
            entry.latencies.quantile_us(0.999).into(),
            (entry.cpu_s * 1e6 / acks as f64).into(),
            edge(f64::min).into(),
            edge(f64::max).into(),
            ours.zip(rate).map(|(ours, rate)| ours / rate).into(),
            median(&entry.foreign).map_or(Cell::Nothing, |share| Cell::Text(format!("{:.0} %", 100.0 * share))),
        ]);
    }
    table
}
