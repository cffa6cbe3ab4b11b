//! How many events a second are acknowledged, by protocol and size of batch, on a fresh store each.

use std::time::{Duration, Instant};

use super::bodies::Posts;
use super::driver::{Plan, drive};
use super::grpc::{Exports, export, prepare};
use super::process::{Program, Server, Used, Watch};
use super::{Part, ServeArgs};
use crate::latency::Latencies;
use crate::report::{Cell, Table, cells};
use crate::zipf::Zipf;
use crate::{Bench, Result, say};

/// Time before what is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Milliseconds between events; they are posted without a time.
const GAP_MS: u64 = 5;
/// Log records of an export.
const EXPORT_RECORDS: u64 = 512;

/// One way to post events.
struct Way {
    part: Part,
    name: &'static str,
    events: u64,
    /// Requests made before the run for each connection.
    made: usize,
    asked: f64,
}

const WAYS: [Way; 2] = [
    Way { part: Part::Batches, name: "NDJSON, batches of 1,000", events: 1_000, made: 2, asked: 150_000.0 },
    Way { part: Part::Singles, name: "single events", events: 1, made: 16, asked: 15_000.0 },
];
const OTLP_ASKED: f64 = 80_000.0;

pub(super) fn run(bench: &mut Bench, args: &ServeArgs, program: &Program, wanted: &dyn Fn(Part) -> bool) -> Result<()> {
    let zipf = Zipf::new(bench.seed, GAP_MS);
    let mut table = Table::new(
        format!("serve: acknowledged events, {} connections, {} s", args.connections, args.seconds),
        &["how", "asked/s", "events/s", "p50 ms", "p99 ms", "max ms", "server µs/event", "generator µs/event", "anonymous MiB"],
    );
    for way in WAYS.iter().filter(|way| wanted(way.part)) {
        let rate = if way.events == 1 { args.single_rate } else { args.batch_rate };
        post(bench, args, program, &zipf, way, None, &mut table)?;
        if rate > 0.0 {
            post(bench, args, program, &zipf, way, Some(rate), &mut table)?;
        }
    }
    if wanted(Part::Otlp) {
        otlp(bench, args, program, &zipf, &mut table)?;
    }
    bench.report.add(table)
}

fn post(
    bench: &Bench,
    args: &ServeArgs,
    program: &Program,
    zipf: &Zipf,
    way: &Way,
    rate: Option<f64>,
    table: &mut Table,
) -> Result<()> {
    let how = match rate {
        None => way.name.to_owned(),
        Some(rate) => format!("… {rate:.0} events/s, open loop"),
    };
    say(&how);
    let dir = bench.place.fresh("serve")?;
    let server = Server::start(program, &dir.path().join("data"), &dir.path().join("state"))?;
    server.create_tenants(zipf.tenants().iter().cloned())?;
    let mut posts = Posts::make(&server, zipf, args.connections, way.made, way.events)?;
    let plan = Plan {
        address: server.address,
        connections: args.connections,
        rate: rate.map(|rate| rate / way.events as f64),
        started: Instant::now(),
        warm_up: WARM_UP,
        end: WARM_UP + Duration::from_secs_f64(args.seconds),
    };
    let watch = Watch::start(&server);
    let driven = drive(&plan, &mut posts)?;
    let used = watch.stop()?;
    server.stop()?;
    let events = driven.requests * way.events;
    let asked = Some(way.asked).filter(|_| rate.is_none());
    table.row(row(&how, asked, events, driven.seconds, &driven.latencies, &used));
    table.note(format!("{how}: {:.0} B an event; {}", posts.event_bytes, used.told()));
    if let (Some(_), Some(us)) = (rate, driven.waits.quantile_us(0.99)) {
        table.note(format!("{how}: p99 of what was sent late {:.2} ms, which is in the latencies", us / 1e3));
    }
    Ok(())
}

fn otlp(bench: &Bench, args: &ServeArgs, program: &Program, zipf: &Zipf, table: &mut Table) -> Result<()> {
    let how = format!("OTLP gRPC, batches of {EXPORT_RECORDS}");
    say(&how);
    let dir = bench.place.fresh("serve")?;
    let server = Server::start(program, &dir.path().join("data"), &dir.path().join("state"))?;
    let end = WARM_UP + Duration::from_secs_f64(args.seconds);
    let exports = Exports { connections: args.connections, records: EXPORT_RECORDS, warm_up: WARM_UP, end };
    let clients = prepare(&server, zipf, exports)?;
    let watch = Watch::start(&server);
    let exported = export(clients, exports)?;
    let used = watch.stop()?;
    server.stop()?;
    let events = exported.requests * EXPORT_RECORDS;
    table.row(row(&how, Some(OTLP_ASKED), events, args.seconds, &exported.latencies, &used));
    table.note(format!("{how}: {:.0} B an event; {}", exported.record_bytes, used.told()));
    Ok(())
}

fn row(how: &str, asked: Option<f64>, events: u64, seconds: f64, latencies: &Latencies, used: &Used) -> Vec<Cell> {
    let ms = |share: f64| latencies.quantile_us(share).map(|us| us / 1e3);
    let rate = events as f64 / seconds;
    // CPU is that of the whole run, warming up included.
    let each = |cpu_s: f64| cpu_s * 1e6 / (rate * used.wall_s);
    cells![
        how,
        asked,
        rate,
        ms(0.5),
        ms(0.99),
        latencies.max_ns().map(|ns| ns as f64 / 1e6),
        each(used.server_s),
        each(used.generator_s),
        used.anonymous_mib(),
    ]
}
