//! `indelible bench`: a short, honest measurement of this machine and disk.

mod measure;

use clap::Args;

use crate::commands::doctor::nanoseconds;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::machine;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};
use crate::question::{bytes_text, grouped_rate};
use crate::signals::Stop;

use measure::{Bench, Figures};

/// Measure emit, ingest and sync on this disk.
///
/// Works in a temporary store on the disk of the data directory and removes it afterwards. Every figure is measured through the
/// public interface, hashed and durable as in use; other programs on the machine make it worse. The comparison of one waiting
/// writer with a bare write and fdatasync is made in turns (A B A B) on a file of the same kind.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,

    #[command(flatten)]
    shape: ShapeOption,
}

/// Free space that has to stay after a measurement.
const FREE_BYTES_MIN: u64 = 2 << 30;

pub(crate) fn run(place: &Place, args: &BenchArgs) -> Result<Exit> {
    let stop = Stop::install()?;
    let dir = machine::existing(&place.data()?);
    // Beside the store rather than in it, if that is the same disk and may be written to.
    let beside = dir.parent().filter(|_| dir.join("store.json").exists());
    let holder = beside.and_then(|parent| temporary(parent).ok().filter(|found| same_disk(found.path(), &dir)));
    let holder = match holder {
        Some(holder) => holder,
        None => temporary(&dir).map_err(|error| Failure::file("make a directory in", &dir, &error))?,
    };
    let free =
        indelible::world::World::real().disk.free_bytes(holder.path()).map_err(|error| Failure::file("measure", &dir, &error))?;
    let room = free.checked_sub(FREE_BYTES_MIN).filter(|room| *room > FREE_BYTES_MIN / 4).ok_or_else(|| {
        Failure::new("rejected", format!("{} are free on this disk, too few to measure with", bytes_text(free)))
            .hint("free space, or name a --data on another disk")
    })?;
    let bench = Bench { dir: holder.path(), seconds: f64::from(args.seconds), bytes_max: room / 2, stop: &stop };
    let figures = bench.run()?;
    let disk = machine::file_system(holder.path());
    holder.close().map_err(|error| Failure::file("remove the temporary store in", &dir, &error))?;

    let mut out = Out::open();
    if args.shape.is_json() {
        json(&figures, &disk, &mut out)?
    } else {
        table(&figures, &disk, &mut out)?
    }
    out.flush()?;
    if stop.asked() {
        eprintln!("interrupted: the figures are of shorter runs, or missing");
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Ok)
}

fn temporary(dir: &std::path::Path) -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix(".indelible-bench-").tempdir_in(dir)
}

fn same_disk(a: &std::path::Path, b: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    matches!((a.metadata(), b.metadata()), (Ok(a), Ok(b)) if a.dev() == b.dev())
}

fn table(figures: &Figures, disk: &str, out: &mut Out) -> Result<()> {
    let mut table = Table::new(["what", "measured"]);
    let rate = grouped_rate;
    let emit = &figures.emit;
    table.pair(
        "emit, one event, caller's thread",
        format!(
            "p50 {}, p99 {}, p99.9 {}; a clock reading costs {} of each",
            nanoseconds(emit.p50),
            nanoseconds(emit.p99),
            nanoseconds(emit.p999),
            nanoseconds(emit.timer)
        ),
    );
    table.pair("", format!("at {} events/s, {} bytes stored per event", rate(emit.per_second), figures.event_bytes));
    table.pair(
        "ingest, hashed and durable",
        format!("{} events/s from {} threads", rate(figures.ingest.per_second), figures.ingest.threads),
    );
    table.pair("64 waiting writers", format!("{} acknowledgements/s", rate(figures.crowd)));
    table.pair("one waiting writer", format!("{} acknowledgements/s", rate(figures.single)));
    table.pair(
        "bare write and fdatasync",
        format!("{} per second; one writer reaches {:.2} of it", rate(figures.bare), figures.ratio()),
    );
    table.pair("verify", format!("{} events/s, one thread", rate(figures.verify)));
    out.table(table, &[])?;
    out.line("")?;
    let mut machine_table = Table::pairs();
    machine_table
        .pair("processor", machine::processor())
        .pair("SHA-256", indelible::format::sha256::backend())
        .pair("disk", disk);
    out.table(machine_table, &[])?;
    if cfg!(debug_assertions) {
        out.line("\nthis is a build for development: figures worth comparing come from `cargo build --release`")?;
    }
    Ok(())
}

fn json(figures: &Figures, disk: &str, out: &mut Out) -> Result<()> {
    let mut object = Object::new();
    object.object("emit", |object| {
        object.number("p50_ns", figures.emit.p50).number("p99_ns", figures.emit.p99).number("p999_ns", figures.emit.p999);
        object.number("timer_ns", figures.emit.timer).decimal("events_per_second", figures.emit.per_second);
    });
    object.number("event_bytes", figures.event_bytes);
    object.object("ingest", |object| {
        object.decimal("events_per_second", figures.ingest.per_second).number("threads", figures.ingest.threads);
    });
    object.decimal("writers_64_acks_per_second", figures.crowd).decimal("writers_1_acks_per_second", figures.single);
    object.decimal("bare_syncs_per_second", figures.bare).decimal("single_to_bare", figures.ratio());
    object.decimal("verify_events_per_second", figures.verify);
    object
        .boolean("release_build", !cfg!(debug_assertions))
        .text("processor", &machine::processor())
        .text("sha256", indelible::format::sha256::backend())
        .text("disk", disk);
    out.json_line(&object.finish())
}
