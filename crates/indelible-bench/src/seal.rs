//! What sealing costs by itself: a journal of so many events, sealed by the thread that asks for it while nothing else happens.
//!
//! The figure that counts is CPU time: it is the same on a busy machine and on a quiet one, nearly.

use std::time::Instant;

use clap::Args;
use indelible::{Config, Store};

use crate::cpu::{CpuWatch, thread_cpu};
use crate::latency::median;
use crate::report::{Table, cells};
use crate::zipf::Zipf;
use crate::{Bench, Result, sealing};

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    /// Events in the journal
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often, each time in a fresh store
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub(crate) fn run(bench: &mut Bench, args: &SealArgs) -> Result<()> {
    let zipf = Zipf::new(bench.seed, 5);
    let mut table = Table::new(
        format!("seal: {} events", args.events),
        &["round", "CPU ns/event", "of it system", "wall ns/event", "segments", "B/event", "foreign CPU"],
    );
    let mut costs = Vec::new();
    for round in 1..=args.rounds {
        let place = bench.place.fresh("seal")?;
        let mut config = Config::new(place.path().join("store"));
        config.sealing.background = false;
        let store = Store::open(config)?;
        for nth in 0..args.events {
            store.emit(&zipf.at(nth).draft())?;
        }
        store.flush()?;
        let (watch, cpu, started) = (CpuWatch::start(&[]), thread_cpu(), Instant::now());
        let sealed = sealing::seal(&store)?;
        let (seconds, cpu_s) = (started.elapsed().as_secs_f64(), (thread_cpu() - cpu).as_secs_f64());
        let used = watch.stop();
        store.close()?;
        let per_event = |seconds: f64| seconds * 1e9 / sealed.records as f64;
        costs.push(per_event(cpu_s));
        table.row(cells![
            round,
            per_event(cpu_s),
            per_event(used.system_s),
            per_event(seconds),
            sealed.segments,
            sealed.segment_bytes as f64 / sealed.records as f64,
            used.foreign_text(),
        ]);
    }
    if let Some(cost) = median(&costs) {
        table.note(format!("median {cost:.0} ns of CPU an event: one core seals {:.0} events/s", 1e9 / cost));
    }
    bench.report.add(table)
}
