//! A log that is much larger than memory would like: the first page of selective questions, hot, cold, and while events are written.
//!
//! The store stays where it was made and is used again by the next run with the same seed and size.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;
use indelible::{Config, SearchMemory, Store};

use crate::cpu::{CpuWatch, memory_bytes, reset_memory_peak};
use crate::kept::Kept;
use crate::latency::Latencies;
use crate::pace::Pace;
use crate::place::bytes_on_disk;
use crate::report::{Table, cells};
use crate::search::{Kind, Ours, Question};
use crate::zipf::Zipf;
use crate::{Bench, Result, pages, say, sealing};

const SELECTIVE: [Kind; 3] = [Kind::ById, Kind::LastOfActor, Kind::LastOfTenantAction];
/// The fewest questions that make a figure, however slow the answers come.
const QUESTIONS_MIN: usize = 3;
const MEBIBYTE: f64 = 1_048_576.0;

#[derive(Debug, Args)]
pub(crate) struct BigArgs {
    /// Events in the log
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Directory that keeps the store from run to run [default: beside the directories of runs]
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Milliseconds from one event to the next
    #[arg(long, default_value_t = 5)]
    gap_ms: u64,
    /// Questions of each kind
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    /// Seconds after which no more questions of a kind are asked
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Cold questions of each kind
    #[arg(long, default_value_t = 20)]
    cold: usize,
    /// Events written per second in the last part
    #[arg(long, default_value_t = 50_000.0)]
    rate: f64,
}

pub(crate) fn run(bench: &mut Bench, args: &BigArgs) -> Result<()> {
    let zipf = Zipf::new(bench.seed, args.gap_ms);
    let mut kept = Kept::prepare(args.keep.clone(), &bench.place, &zipf, args.events, args.gap_ms)?;
    let store_dir = kept.store();
    let mut table = Table::new(
        format!("big: {} events, first page of 100", kept.next),
        &["question", "when", "p50 µs", "p99 µs", "max µs", "questions", "rows", "pages read", "KiB read"],
    );
    let mut rng = Rng::with_seed(bench.seed ^ 0xb16);
    let watch = CpuWatch::start(&[]);
    let before_bytes = memory_bytes("RssAnon");
    let mut ask = |ours: &Ours, when: &str, seconds: f64| -> Result<()> {
        for kind in SELECTIVE {
            say(&format!("{kind}, {when}"));
            let (mut times, mut cost) = (Latencies::new()?, Cost::default());
            let started = Instant::now();
            while times.count() < args.questions as u64
                && (times.count() < QUESTIONS_MIN as u64 || started.elapsed() < Duration::from_secs_f64(seconds))
            {
                times.record(ours.ask(&Question::draw(kind, &zipf, args.events, &mut rng))?.0);
                cost.add(ours);
            }
            table.row(row(kind, when, &times, &cost));
        }
        Ok(())
    };
    pages::remember(&store_dir)?;
    reset_memory_peak();
    let reader = Ours::open(&store_dir)?;
    reader.ask(&Question::draw(Kind::ById, &zipf, args.events, &mut Rng::with_seed(bench.seed)))?;
    let opened_bytes = memory_bytes("RssAnon");
    ask(&reader, "hot", args.seconds)?;
    let hot = Hot { opened_bytes, end_bytes: memory_bytes("RssAnon"), peak_bytes: peak_bytes(), kept: reader.memory() };
    drop(reader);
    let writing = write_meanwhile(&mut kept, args, &zipf, &mut ask)?;
    for kind in SELECTIVE {
        say(&format!("{kind}, cold"));
        let (mut times, mut cost) = (Latencies::new()?, Cost::default());
        let started = Instant::now();
        for _ in 0..args.cold {
            if times.count() >= QUESTIONS_MIN as u64 && started.elapsed() > Duration::from_secs_f64(args.seconds) {
                break;
            }
            pages::forget(&store_dir)?;
            let ours = Ours::open(&store_dir)?;
            times.record(ours.ask(&Question::draw(kind, &zipf, args.events, &mut rng))?.0);
            cost.add(&ours);
        }
        table.row(row(kind, "cold", &times, &cost));
    }
    table.note(format!("foreign CPU {}", watch.stop().foreign_text()));
    table.note(format!("while {:.0} events/s were asked to be written, {:.0}/s were", args.rate, writing.events_per_s));
    bench.report.add(table)?;
    bench.report.add(memory(&kept, before_bytes, &hot, &writing)?)
}

/// What answers cost, in all.
#[derive(Default)]
struct Cost {
    rows: u64,
    pages: u64,
    bytes: u64,
}

impl Cost {
    fn add(&mut self, ours: &Ours) {
        let explain = ours.explain();
        self.rows += explain.rows_read + explain.tail_records;
        self.pages += explain.cache_misses;
        self.bytes += explain.bytes_read;
    }
}

/// Memory while nothing is written.
struct Hot {
    /// Anonymous memory after the first question, at the end, and the most meanwhile.
    opened_bytes: u64,
    end_bytes: u64,
    peak_bytes: u64,
    /// What the reader says that it keeps.
    kept: SearchMemory,
}

/// What happened while events were written.
struct Writing {
    events_per_s: f64,
    open_s: f64,
    /// Anonymous memory with the store open and nothing done, and at the end.
    open_bytes: u64,
    end_bytes: u64,
    peak_bytes: u64,
    /// What its reader says that it keeps.
    kept: SearchMemory,
}

/// Asks the same while a producer emits at the given rate.
fn write_meanwhile(
    kept: &mut Kept,
    args: &BigArgs,
    zipf: &Zipf,
    ask: &mut impl FnMut(&Ours, &str, f64) -> Result<()>,
) -> Result<Writing> {
    say("opening the store for writing");
    let mut config = Config::new(kept.store());
    sealing::switch_on(&mut config);
    reset_memory_peak();
    let opening = Instant::now();
    let store = Store::open(config)?;
    let open_s = opening.elapsed().as_secs_f64();
    let open_bytes = memory_bytes("RssAnon");
    let pace = Pace::new(zipf, kept.next, args.rate);
    let started = Instant::now();
    let kept_bytes = thread::scope(|scope| {
        let (store, pace, first) = (&store, &pace, kept.next);
        let producer = scope.spawn(move || pace.produce(store, started, first));
        let mut questions = || -> Result<SearchMemory> {
            let ours = Ours::over(store.reader()?);
            ask(&ours, "while written", args.seconds)?;
            Ok(ours.memory())
        };
        let asked = questions();
        pace.stop.store(true, Ordering::Relaxed);
        producer.join().map_err(|_| "the producer panicked")??;
        asked
    });
    store.flush()?;
    let seconds = started.elapsed().as_secs_f64();
    let (end_bytes, peak_bytes) = (memory_bytes("RssAnon"), peak_bytes());
    let events = store.stats().records;
    kept.next = pace.next.into_inner();
    kept.remember()?;
    store.close()?;
    Ok(Writing { events_per_s: events as f64 / seconds, open_s, open_bytes, end_bytes, peak_bytes, kept: kept_bytes? })
}

fn row(kind: Kind, when: &str, times: &Latencies, cost: &Cost) -> Vec<crate::report::Cell> {
    let each = |all: u64| all as f64 / times.count().max(1) as f64;
    cells![
        kind.name(),
        when,
        times.quantile_us(0.5),
        times.quantile_us(0.99),
        times.max_ns().map(|ns| ns as f64 / 1e3),
        times.count(),
        each(cost.rows),
        each(cost.pages),
        each(cost.bytes) / 1024.0,
    ]
}

/// Most anonymous memory since the peak was reset: what is mapped of files hardly changes meanwhile.
fn peak_bytes() -> u64 {
    memory_bytes("VmHWM").saturating_sub(memory_bytes("RssFile"))
}

fn memory(kept: &Kept, before_bytes: u64, hot: &Hot, writing: &Writing) -> Result<Table> {
    let mut table = Table::new("big: the log that is open", &["what", "value", "unit"]);
    let mebibytes = |bytes: u64| bytes as f64 / MEBIBYTE;
    table.row(cells!["anonymous before opening (the generator's tables)", mebibytes(before_bytes), "MiB"]);
    table.row(cells!["… open for reading, after a question", mebibytes(hot.opened_bytes), "MiB"]);
    table.row(cells!["… after the hot questions", mebibytes(hot.end_bytes), "MiB"]);
    table.row(cells!["… peak meanwhile", mebibytes(hot.peak_bytes), "MiB"]);
    table.row(cells!["… open for writing", mebibytes(writing.open_bytes), "MiB"]);
    table.row(cells!["… after the questions while written", mebibytes(writing.end_bytes), "MiB"]);
    table.row(cells!["… peak meanwhile, sealing included", mebibytes(writing.peak_bytes), "MiB"]);
    for (when, kept) in [("reading", hot.kept), ("writing", writing.kept)] {
        let SearchMemory { pages, segments, segments_open, results, unsealed } = kept;
        table.note(format!(
            "kept for searching after {when}, as the reader counts, MiB: pages {:.1}, {segments_open} segments {:.1}, answers {:.1}, unsealed {:.1}",
            mebibytes(pages as u64),
            mebibytes(segments as u64),
            mebibytes(results as u64),
            mebibytes(unsealed as u64),
        ));
    }
    table.row(cells!["opening for writing", writing.open_s, "s"]);
    table.row(cells!["on disk", bytes_on_disk(&kept.dir)? as f64 / kept.next as f64, "B/event"]);
    Ok(table)
}
