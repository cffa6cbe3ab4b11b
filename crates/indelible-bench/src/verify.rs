//! Verification and recovery: how fast everything that is stored is read again, and how much memory that takes.
//!
//! Stores are filled, read and killed by child processes. What they wrote is still in the page cache: the figures are those of
//! the processor, not of the disk.

use std::path::Path;

use clap::Args;
use serde_json::Value;

use crate::child::{End, number, spawn, text};
use crate::latency::median;
use crate::report::{Table, cells};
use crate::{Bench, Result};

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Events in the store
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// How often it is verified
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

impl VerifyArgs {
    pub(crate) fn short() -> Self {
        Self { events: 500_000, rounds: 1 }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    /// Events in the store
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// How often it is opened after each end
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

impl RecoveryArgs {
    pub(crate) fn short() -> Self {
        Self { events: 500_000, rounds: 1 }
    }
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()).into())
}

fn fill(dir: &str, events: u64, end: End, seed: u64) -> Result<Value> {
    spawn(&["fill", dir, "--events", &events.to_string(), "--end", end.name()], seed, end == End::Kill)
}

pub(crate) fn run(bench: &mut Bench, args: &VerifyArgs) -> Result<()> {
    let place = bench.place.fresh("verify")?;
    let dir = place.path().join("store");
    let dir = path_text(&dir)?;
    let filled = fill(dir, args.events, End::Close, bench.seed)?;
    let bytes = number(&filled, "bytes")?;
    let mut table = Table::new(
        format!("verify: a store of {} events, {:.0} MB of journal", args.events, bytes / 1e6),
        &["round", "events/s per core", "events/s", "seconds", "CPU s", "MB/s of journal", "peak RSS MB", "foreign CPU"],
    );
    let mut rates = Vec::new();
    for round in 1..=args.rounds {
        let said = spawn(&["verify", dir], bench.seed, false)?;
        if said.get("ok") != Some(&Value::Bool(true)) || number(&said, "events")? < args.events as f64 {
            return Err(format!("the store does not verify: {said}").into());
        }
        let (events, seconds, cpu_s) = (number(&said, "events")?, number(&said, "seconds")?, number(&said, "cpu_s")?);
        rates.push(events / cpu_s);
        table.row(cells![
            round,
            events / cpu_s,
            events / seconds,
            seconds,
            cpu_s,
            bytes / 1e6 / seconds,
            number(&said, "peak_bytes")? / 1e6,
            text(&said, "foreign")?,
        ]);
    }
    if let Some(rate) = median(&rates) {
        table.note(format!("median {rate:.0} events/s per core; the peak is that of the whole process"));
    }
    bench.report.add(table)
}

pub(crate) fn run_recovery(bench: &mut Bench, args: &RecoveryArgs) -> Result<()> {
    let mut table = Table::new(
        format!("recovery: opening a store of {} events", args.events),
        &["left by", "round", "seconds", "events/s", "CPU s", "copied MB", "peak RSS MB", "foreign CPU"],
    );
    for end in [End::Close, End::Kill] {
        let place = bench.place.fresh("recovery")?;
        let dir = place.path().join("store");
        let dir = path_text(&dir)?;
        fill(dir, args.events, end, bench.seed)?;
        // The first opening closes it cleanly; only that one sees what a kill left.
        let rounds = if end == End::Kill { 1 } else { args.rounds };
        for round in 1..=rounds {
            let said = spawn(&["open", dir], bench.seed, false)?;
            let (seconds, records) = (number(&said, "seconds")?, number(&said, "records")?);
            if records < args.events as f64 {
                return Err(format!("{} events were durable, {records} were recovered", args.events).into());
            }
            table.row(cells![
                end.name(),
                round,
                seconds,
                records / seconds,
                number(&said, "cpu_s")?,
                number(&said, "copied_bytes")? / 1e6,
                number(&said, "peak_bytes")? / 1e6,
                text(&said, "foreign")?,
            ]);
        }
    }
    bench.report.add(table)
}
