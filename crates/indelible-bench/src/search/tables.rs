//! What a search run says.

use super::corpus::Corpus;
use super::{Entry, Kind, SearchArgs};
use crate::cpu::CpuUse;
use crate::latency::median;
use crate::report::{Cell, Table, cells};
use crate::{Bench, Result};

/// The tables: who is fastest at what, every figure, and what is on disk.
pub(super) fn report(
    bench: &mut Bench,
    args: &SearchArgs,
    corpus: &Corpus<'_>,
    entries: &[Entry],
    notes: Vec<String>,
    [loading, asking]: [CpuUse; 2],
) -> Result<()> {
    let mut sizes = sizes(corpus, entries);
    sizes.note(format!("foreign CPU while loading {}", loading.foreign_text()));
    notes.into_iter().for_each(|note| sizes.note(note));
    bench.report.add(sizes)?;
    bench.report.add(every_figure(args, entries))?;
    let mut medians = medians(corpus, entries);
    medians.note(format!("everybody gave the same answers; foreign CPU while asking {}", asking.foreign_text()));
    bench.report.add(medians)
}

fn sizes(corpus: &Corpus<'_>, entries: &[Entry]) -> Table {
    let mut table = Table::new(
        format!("search: bytes on disk, {} events", corpus.events),
        &["who", "B/event", "of gzip -6", "load s", "open ms, median"],
    );
    let events = corpus.events as f64;
    let of_gzip = |bytes: u64| bytes as f64 / corpus.gzip_bytes as f64;
    for entry in entries {
        table.row(cells![
            entry.peer.name(),
            entry.bytes as f64 / events,
            of_gzip(entry.bytes),
            entry.load_s,
            median(&entry.open_ns).map(|ns| ns / 1e6),
        ]);
    }
    let texts = [("JSON text", corpus.lines_bytes), ("gzip -6 of it", corpus.gzip_bytes), ("zstd -3 of it", corpus.zstd_bytes)];
    for (name, bytes) in texts {
        table.row(cells![name, bytes as f64 / events, of_gzip(bytes), None::<u64>, None::<u64>]);
    }
    table.note("all files of each, indexes, proofs and room made ahead included; our load is durable and hashed, the others' is not synced");
    table.note(format!("making an event and its draft takes {:.0} ns of CPU, which our load contains", corpus.event_ns));
    table
}

fn every_figure(args: &SearchArgs, entries: &[Entry]) -> Table {
    let mut table = Table::new(
        format!("search: up to {} questions of a kind, or {} s", args.questions, args.seconds),
        &["question", "who", "median µs", "p90 µs", "p99 µs", "cold median µs", "cold max µs", "questions", "ours/this"],
    );
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        let measured = |entry: &Entry| entry.kinds.get(at).and_then(|measured| measured.hot.quantile_us(0.5));
        let ours = entries.first().and_then(measured);
        for entry in entries {
            let Some(figures) = entry.kinds.get(at) else { continue };
            table.row(vec![
                kind.name().into(),
                entry.peer.name().into(),
                figures.hot.quantile_us(0.5).into(),
                figures.hot.quantile_us(0.9).into(),
                figures.hot.quantile_us(0.99).into(),
                figures.cold.quantile_us(0.5).into(),
                figures.cold.max_ns().map(|ns| ns as f64 / 1e3).into(),
                figures.hot.count().into(),
                ours.zip(measured(entry)).map(|(ours, this)| ours / this).into(),
            ]);
        }
    }
    table.note(format!("cold: {} questions, each after the files left the page cache and the peer was opened anew", args.cold));
    table
}

/// One row for each peer, one column for each kind: hot median, and cold behind a slash.
fn medians(corpus: &Corpus<'_>, entries: &[Entry]) -> Table {
    let columns: Vec<&str> = ["who", "B/event"].into_iter().chain(Kind::ALL.map(Kind::name)).collect();
    let mut table = Table::new(format!("search: hot / cold medians, {} events", corpus.events), &columns);
    for entry in entries {
        let mut row = vec![Cell::from(entry.peer.name()), (entry.bytes as f64 / corpus.events as f64).into()];
        for figures in &entry.kinds {
            let [hot, cold] = [&figures.hot, &figures.cold].map(|times| short(times.quantile_ns(0.5)));
            row.push(format!("{hot} / {cold}").into());
        }
        table.row(row);
    }
    table
}

/// A duration with two or three digits and its unit.
fn short(ns: Option<u64>) -> String {
    let Some(ns) = ns else { return "–".into() };
    let ns = ns as f64;
    let (number, unit) = match ns {
        0.0..1e6 => (ns / 1e3, "µs"),
        1e6..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    if number < 10.0 { format!("{number:.1} {unit}") } else { format!("{number:.0} {unit}") }
}
