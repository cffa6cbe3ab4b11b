//! How much memory a store adds to the process that opens it: idle, and with full lanes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use indelible::{Config, Store};
use serde_json::{Value, json};

use crate::child::{number, spawn, text};
use crate::cpu::{CpuWatch, memory_bytes, reset_memory_peak};
use crate::events::Samples;
use crate::ingest::produce;
use crate::report::{Table, cells};
use crate::{Bench, Result};

#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// Seconds to keep the lanes full
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Threads that emit
    #[arg(long, default_value_t = 2)]
    producers: usize,
}

impl MemoryArgs {
    pub(crate) fn short() -> Self {
        Self { seconds: 2.0, producers: 2 }
    }
}

pub(crate) fn run(bench: &mut Bench, args: &MemoryArgs) -> Result<()> {
    let place = bench.place.fresh("memory")?;
    let dir = place.path().join("store");
    let dir = dir.to_str().ok_or("the data directory is not UTF-8")?;
    let (seconds, producers) = (args.seconds.to_string(), args.producers.to_string());
    let said = spawn(&["memory", dir, "--seconds", &seconds, "--producers", &producers], bench.seed, false)?;
    let before = number(&said, "before_bytes")?;
    let mut table = Table::new(
        format!("memory: resident memory of a process with a store, {} producers for {} s", args.producers, args.seconds),
        &["when", "RSS MB", "added MB"],
    );
    for (when, name) in [
        ("before the store is opened", "before_bytes"),
        ("open, idle", "idle_bytes"),
        ("peak while the lanes are full", "peak_bytes"),
        ("after a flush", "after_bytes"),
    ] {
        let bytes = number(&said, name)?;
        table.row(cells![when, bytes / 1e6, (bytes - before) / 1e6]);
    }
    table.note(format!(
        "{:.0} events; at most {:.0} bytes waited in one lane; foreign CPU {}",
        number(&said, "events")?,
        number(&said, "high_water")?,
        text(&said, "foreign")?
    ));
    bench.report.add(table)
}

/// In a process of its own: opens a store, keeps its lanes full, watches the memory.
pub(crate) fn grow(dir: &Path, seconds: f64, producers: usize, samples: &Samples) -> Result<Value> {
    reset_memory_peak();
    let before = memory_bytes("VmRSS");
    let store = Store::open(Config::new(dir))?;
    thread::sleep(Duration::from_millis(200));
    let idle = memory_bytes("VmRSS");
    let stop = AtomicBool::new(false);
    let watch = CpuWatch::start(&[]);
    let events: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..producers)
            .map(|nth| {
                let (store, stop) = (&store, &stop);
                scope.spawn(move || produce(store, samples, nth * samples.len() / producers, stop).map(|(events, _)| events))
            })
            .collect();
        thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a producer panicked")?).collect::<Result<_>>()
    })?;
    store.flush()?;
    let foreign = watch.stop().foreign_text();
    let peak = memory_bytes("VmHWM");
    let after = memory_bytes("VmRSS");
    let high_water = store.stats().lanes.iter().map(|lane| lane.bytes_high_water).max();
    store.close()?;
    Ok(json!({
        "before_bytes": before, "idle_bytes": idle, "peak_bytes": peak, "after_bytes": after,
        "events": events.iter().sum::<u64>(), "high_water": high_water, "foreign": foreign,
    }))
}
