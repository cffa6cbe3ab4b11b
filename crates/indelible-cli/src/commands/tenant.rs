//! A tenant's copy: all of its events, with what proves that none is missing; and the verification of one, without any store.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indelible::format::note::VerifierKey;
use indelible::verify::{TenantReport, verify_tenant};
use indelible::{ErrorKind, Store};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption, Tone};
use crate::progress::Progress;
use crate::question::grouped;

/// Write all events of a tenant with what proves that none is missing.
///
/// Counts everybody's events in the control log first, so no other process may be writing to the store; a running server gives out copies
/// itself, at /api/v1/tenants/NAME/copy. Whoever gets the file verifies it with `indelible verify --tenant FILE --key KEY`, without the store, and
/// learns nothing of other tenants.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Whose events
    #[arg(value_name = "NAME")]
    name: String,

    /// File to write; it must not be there
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn export(place: &Place, args: &ExportArgs, out: &mut Out) -> Result<()> {
    let mut config = place.config("tenant")?;
    config.sealing.background = false;
    let store = Store::open(config).map_err(|error| {
        let locked = error.kind() == ErrorKind::Locked;
        let failure = Failure::from(error);
        if locked { failure.hint("ask the running server: GET /api/v1/tenants/NAME/copy") } else { failure }
    })?;
    // Under another name until it is whole.
    let unfinished = args.out.with_added_extension("unfinished");
    let failed = |path: &Path, error| Failure::file("write", path, &error);
    if args.out.exists() {
        return Err(Failure::new("rejected", format!("{} is there already", args.out.display())).hint("name another file"));
    }
    let mut file = BufWriter::new(File::create(&unfinished).map_err(|error| failed(&unfinished, error))?);
    let copy = store.write_tenant(&args.name, &[], Duration::ZERO, &mut file)?;
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| failed(&unfinished, error))?;
    std::fs::rename(&unfinished, &args.out).map_err(|error| failed(&args.out, error))?;
    let key = store.identity()?.verifier_key(indelible::identity::LOG_CONTROL).map(|key| key.to_string()).unwrap_or_default();
    store.close()?;
    if args.shape.is_json() {
        let mut object = Object::new();
        object.text("tenant", &args.name).number("events", copy.events).number("entry", copy.entry).text("key", &key);
        return out.json_line(&object.finish());
    }
    let (events, path) = (grouped(copy.events), args.out.display().to_string());
    let path = out.shown(&path).into_owned();
    out.line(&format!("{events} events, counted by entry {} of the control log, in {path}", copy.entry))?;
    out.line(&format!("to verify: indelible verify --tenant {path} --key {key}"))
}

/// `indelible verify --tenant`.
pub(crate) fn verify_copy(path: &Path, key: &VerifierKey, shape: ShapeOption, out: &mut Out) -> Result<Exit> {
    let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    let bar = Progress::bytes(file.metadata().map_or(0, |data| data.len()), "verifying");
    let (mut events, mut done) = (0u64, 0u64);
    let checked = verify_tenant(BufReader::with_capacity(1 << 20, file), key, &mut |event| {
        events += 1;
        done += event.groups.iter().filter_map(|group| group.value.as_ref()).map(|value| value.len() as u64 * 4 / 3).sum::<u64>();
        if events.is_multiple_of(1_024) {
            bar.at(done);
        }
        Ok(())
    });
    drop(bar);
    let report = checked.map_err(|error| {
        let failed = matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Mismatch);
        let failure = Failure::from(error);
        if failed {
            failure.exit(Exit::Unverified).hint("ask for the copy again; if it is as before, keep it: it is evidence")
        } else {
            failure
        }
    })?;
    if shape.is_json() {
        json(&report, out)?
    } else {
        text(&report, out)?
    }
    Ok(if report.shows_all() { Exit::Ok } else { Exit::Incomplete })
}

fn json(report: &TenantReport, out: &mut Out) -> Result<()> {
    let mut object = Object::new();
    object
        .boolean("ok", report.shows_all())
        .text("tenant", &report.tenant)
        .text("origin", &report.origin)
        .number("entry", report.entry);
    object.text("at", &report.at).number("tree_size", report.size);
    object.objects("logs", &report.logs, |object, log| {
        object.number("log", log.log).number("size", log.size).number("count", log.count).number("expired", log.first);
        object.number("withheld", log.withheld);
    });
    out.json_line(&object.finish())
}

fn text(report: &TenantReport, out: &mut Out) -> Result<()> {
    let tenant = out.shown(&report.tenant).into_owned();
    if report.shows_all() {
        let verdict = out.painted(Tone::Good, "VERIFIED");
        let there = grouped(report.events());
        out.line(&format!("{verdict}: {there} events of {tenant}, and none is missing up to {}", report.at))?;
    } else {
        let verdict = out.painted(Tone::Careful, "NOTHING SHOWN");
        out.line(&format!("{verdict}: the copy has no event of {tenant}; that there is none cannot be shown this way"))?;
    }
    let mut logs = Table::new(["log", "positions", "events ever", "expired", "here", "groups withheld"]);
    for log in &report.logs {
        let numbers = [log.size, log.count, log.first, log.count - log.first, log.withheld].map(grouped);
        let [size, count, first, here, withheld] = numbers;
        logs.row([log.log.to_string(), size, count, first, here, withheld]);
    }
    out.table(logs, &[1, 2, 3, 4, 5])?;
    out.line(&format!(
        "\ncounted by entry {} of {}, which is {} entries long",
        report.entry,
        report.origin,
        grouped(report.size)
    ))?;
    out.line("that the same control log is shown to everybody takes a witness, or a checkpoint of it that others compare")
}
