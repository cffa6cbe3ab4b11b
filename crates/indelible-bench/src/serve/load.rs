//! A steady load on a large log: acknowledgements, searches and live tails, all open loops at the same time.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::ServeArgs;
use super::bodies::Posts;
use super::driver::{Driven, Plan, drive};
use super::listeners::{Delays, Listeners, Probes};
use super::process::{Program, Server, Used, Watch};
use super::questions::{KINDS, Searches};
use crate::disk::sync_latencies;
use crate::kept::Kept;
use crate::latency::Latencies;
use crate::report::{Cell, Table, cells};
use crate::zipf::Zipf;
use crate::{Bench, Result, pages, say};

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Events in the log before the load
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Directory that keeps the store from run to run, as that of `big` [default: beside the directories of runs]
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Milliseconds from one event of it to the next
    #[arg(long, default_value_t = 5)]
    gap_ms: u64,
    /// Events a second, in batches of 100
    #[arg(long, default_value_t = 50_000.0)]
    rate: f64,
    /// Searches a second
    #[arg(long, default_value_t = 20.0)]
    searches: f64,
    /// Live tails
    #[arg(long, default_value_t = 500)]
    listeners: usize,
    /// Different questions among them
    #[arg(long, default_value_t = 10)]
    filters: usize,
    /// Events a second that all of them hear
    #[arg(long, default_value_t = 20.0)]
    probes: f64,
    /// Seconds of the load, after three to warm up
    #[arg(long, default_value_t = 30.0)]
    load_seconds: f64,
}

const BATCH_EVENTS: u64 = 100;
const WARM_UP: Duration = Duration::from_secs(3);
/// Connections of whoever searches, and of whoever sends probes.
const FEW_CONNECTIONS: usize = 4;
/// What a frame holds under such a load, about.
const FRAME_BYTES: usize = 64 << 10;
const DISK_SECONDS: f64 = 3.0;
/// Until the generators have their connections.
const AHEAD: Duration = Duration::from_millis(300);

/// What the generators found.
struct Found {
    posted: Driven,
    searched: Driven,
    by_kind: [Latencies; KINDS.len()],
    delays: Delays,
    used: Used,
    event_bytes: f64,
}

pub(super) fn run(bench: &mut Bench, args: &ServeArgs, program: &Program) -> Result<()> {
    let load = &args.load;
    let zipf = Zipf::new(bench.seed, load.gap_ms);
    let kept = Kept::prepare(load.keep.clone(), &bench.place, &zipf, load.events, load.gap_ms)?;
    kept.seal()?;
    // Tokens of earlier runs are known to nobody.
    let access = kept.store().join("access.json");
    if access.exists() {
        fs::remove_file(access)?;
    }
    pages::remember(&kept.store())?;
    let sync = sync_latencies(bench.place.path(), FRAME_BYTES, DISK_SECONDS)?;
    say("opening the store in the server");
    let opening = Instant::now();
    let server = Server::start(program, &kept.store(), &kept.dir.join("state"))?;
    let open_s = opening.elapsed().as_secs_f64();
    server.create_tenants(zipf.tenants().iter().cloned())?;
    say(&format!("{:.0} events/s, {} searches/s, {} live tails", load.rate, load.searches, load.listeners));
    let found = drive_all(&server, args, &zipf, bench.seed)?;
    server.stop()?;
    let mut table = Table::new(
        format!(
            "serve: {:.0} events/s in batches of {BATCH_EVENTS} on a log of {}, {} s",
            load.rate, load.events, load.load_seconds
        ),
        &["what", "asked", "p50 ms", "p99 ms", "max ms", "count"],
    );
    let disk_ms = sync.quantile_us(0.99).unwrap_or(f64::NAN) / 1e3;
    table.row(row(format!("the disk's own write and sync of {FRAME_BYTES} B"), None, &sync));
    table.row(row("durable acknowledgement".into(), Some(format!("p99 ≤ {:.1} ms", 5.0 + disk_ms)), &found.posted.latencies));
    table.row(row("search, all kinds".into(), Some("p99 ≤ 10 ms".into()), &found.searched.latencies));
    for (kind, latencies) in KINDS.iter().zip(&found.by_kind) {
        table.row(row(format!("… {kind}"), None, latencies));
    }
    table.row(row("live tail, from the receipt".into(), Some("p99 ≤ 50 ms".into()), &found.delays.from_receipt));
    table.row(row("live tail, from when it was due".into(), None, &found.delays.from_due));
    table.note(format!(
        "{:.0} events/s of {:.0} B acknowledged; {:.0} MiB anonymous memory at most (asked 256); {}",
        found.posted.requests as f64 * BATCH_EVENTS as f64 / found.posted.seconds,
        found.event_bytes,
        found.used.anonymous_mib(),
        found.used.told(),
    ));
    table.note(format!(
        "{} listeners, {} different questions, {}/s probes: {} of {} heard; p99 of what was sent late {:.2} ms; opened in {open_s:.1} s",
        load.listeners,
        load.filters,
        load.probes,
        found.delays.heard,
        found.delays.sent,
        found.posted.waits.quantile_us(0.99).unwrap_or(f64::NAN) / 1e3,
    ));
    bench.report.add(table)
}

fn drive_all(server: &Server, args: &ServeArgs, zipf: &Zipf, seed: u64) -> Result<Found> {
    let load = &args.load;
    let end = WARM_UP + Duration::from_secs_f64(load.load_seconds);
    let mut posts = Posts::make(server, zipf, args.connections, 8, BATCH_EVENTS)?;
    let questions = (load.searches * end.as_secs_f64()).ceil().min(1e6);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and from 0 to a million")]
    let questions = questions as usize;
    let mut searches = Searches::make(server, zipf, FEW_CONNECTIONS, load.events, questions.max(1), seed ^ 0x5e)?;
    let tenant = zipf.tenants().first().ok_or("no tenants")?;
    let mut probes = Probes::new(server, tenant);
    let listeners = Listeners::connect(server, load.listeners, load.filters)?;
    let watch = Watch::start(server);
    let started = Instant::now() + AHEAD;
    let plan =
        |connections, rate| Plan { address: server.address, connections, rate: Some(rate), started, warm_up: WARM_UP, end };
    let (posting, searching) = (plan(args.connections, load.rate / BATCH_EVENTS as f64), plan(FEW_CONNECTIONS, load.searches));
    let probing = plan(FEW_CONNECTIONS, load.probes);
    let stop = AtomicBool::new(false);
    let (posted, searched, probed, heard) = thread::scope(|scope| {
        let heard = scope.spawn(|| listeners.listen(started, &stop));
        let searched = scope.spawn(|| drive(&searching, &mut searches));
        let probed = scope.spawn(|| drive(&probing, &mut probes));
        let posted = drive(&posting, &mut posts);
        let (searched, probed) = (searched.join(), probed.join());
        // What was acknowledged last is still on its way to the listeners.
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        (posted, searched, probed, heard.join())
    });
    let used = watch.stop()?;
    let panicked = |_| "a generator panicked";
    let (posted, searched) = (posted?, searched.map_err(panicked)??);
    probed.map_err(panicked)??;
    let delays = heard.map_err(panicked)??.delays(&probes)?;
    Ok(Found { posted, searched, by_kind: searches.latencies, delays, used, event_bytes: posts.event_bytes })
}

fn row(what: String, asked: Option<String>, latencies: &Latencies) -> Vec<Cell> {
    let ms = |share: f64| latencies.quantile_us(share).map(|us| us / 1e3);
    cells![what, asked, ms(0.5), ms(0.99), latencies.max_ns().map(|ns| ns as f64 / 1e6), latencies.count()]
}
