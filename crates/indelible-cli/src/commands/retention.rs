//! `indelible retention`: what is kept how long, what would go now, and letting it go.

use clap::{Args, Subcommand};
use indelible::search::time;
use indelible::{Expiration, ExpireOptions, Expired, Identity, LogPlan, Plan, PlanOptions, Store};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};
use crate::question::grouped;

mod policy;

/// Say how long events are kept, see what would expire now, and let it expire.
///
/// A policy leads every event to a log, and says how long each log keeps what it has; what expires is always the beginning of a log.
/// Nothing expires by itself: `indelible retention apply` does it, from a timer if you like. What a legal hold matches stays, and what is
/// left can be verified as before: of what has expired the log keeps the hashes that proofs need, and an entry that says what went, by
/// which policy.
#[derive(Debug, Args)]
pub(crate) struct RetentionArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a file the policy of the store
    ///
    /// The file is TOML. [keep] says how long each log keeps its events (`90d`, `26w`, `7y`); logs that are not there are made, and logs that
    /// are not named keep everything. Each [[rule]] has a `log`, and `tenant`, `class` or `framework`; the first that fits decides. [minimum]
    /// changes what frameworks ask at least (sox 7y, hipaa 6y, pci-dss 1y; 0d: nothing). It decides about events that come from now on.
    Set {
        /// The file; `-`: stdin
        #[arg(value_name = "FILE")]
        file: std::path::PathBuf,
    },
    /// Print the policy in force, as a file that `set` takes
    Show {
        #[command(flatten)]
        shape: ShapeOption,
    },
    /// Show what would expire now, and change nothing
    Plan {
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        shape: ShapeOption,
    },
    /// Let expire what `plan` shows
    Apply {
        #[command(flatten)]
        count: Count,
        /// A checkpoint kept elsewhere that shall stay comparable; may be given again
        ///
        /// Of what has expired, only sizes that are multiples of 256 can be compared with a checkpoint later, and those named here. The
        /// checkpoints of the trusted state are taken care of.
        #[arg(long, value_name = "FILE")]
        anchor: Vec<std::path::PathBuf>,
        #[command(flatten)]
        shape: ShapeOption,
    },
}

#[derive(Debug, Args)]
struct Count {
    /// Believe the clock, though nothing was recorded for more than a day before
    ///
    /// Time is believed as far as the events of the store lead up to it, so that a clock that jumps lets nothing expire early: events that come
    /// every day do, and after a silence of up to a week events that have come for a day. This says
    /// that the clock is right; the entry in the log says that it was said.
    #[arg(long)]
    trust_clock: bool,
}

impl Count {
    const fn options(&self) -> PlanOptions {
        PlanOptions { trust_clock: self.trust_clock }
    }
}

pub(crate) fn run(place: &Place, args: &RetentionArgs) -> Result<Exit> {
    match &args.verb {
        Verb::Set { file } => set(place, file),
        Verb::Show { shape } => show(place, shape),
        Verb::Plan { count, shape } => plan(place, count, shape),
        Verb::Apply { count, anchor, shape } => apply(place, count, anchor, shape),
    }
}

fn set(place: &Place, file: &std::path::Path) -> Result<Exit> {
    let mut config = place.config("retention")?;
    config.sealing.background = false;
    config.retention = Some(policy::read(file)?);
    let store = Store::open(config)?;
    let entry = store.identity()?.retention.as_ref().map_or(0, |(entry, _)| *entry);
    store.close()?;
    eprintln!(
        "this is the policy from now on, by entry {entry} of the control log; see what would expire: indelible retention plan"
    );
    Ok(Exit::Ok)
}

fn show(place: &Place, shape: &ShapeOption) -> Result<Exit> {
    let reader = place.reader()?;
    let (entry, policy) = reader.identity().retention.as_ref().ok_or_else(|| {
        Failure::new("not_found", "this store has no retention policy: it keeps everything")
            .hint("write one, and give it to `indelible retention set FILE`")
    })?;
    let mut out = Out::open();
    if shape.is_json() {
        out.json_line(&policy::to_json(*entry, policy))?;
    } else {
        out.lines(&policy::to_toml(policy))?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn plan(place: &Place, count: &Count, shape: &ShapeOption) -> Result<Exit> {
    let reader = place.reader()?;
    let plan = reader.plan_expiry(count.options())?;
    let mut out = Out::open();
    if shape.is_json() {
        out.json_line(&plan_json(reader.identity(), &plan))?;
        out.flush()?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(["log", "keeps", "received before", "would expire", "held", "asked for", "expired", "positions"]);
    for log in &plan.logs {
        table.row([
            reader.identity().log_name(log.log).to_owned(),
            log.days.map_or_else(|| "for good".into(), |days| format!("{days} days")),
            log.before.map_or_else(|| "-".into(), time::show),
            grouped(log.events),
            grouped(log.held),
            grouped(log.asked),
            grouped(log.expired),
            if log.below > log.expired { format!("{}..{}", log.expired, log.below) } else { "-".into() },
        ]);
    }
    out.table(table, &[3, 4, 5, 6])?;
    out.flush()?;
    drop(out);
    tell_clock(&plan);
    let events: u64 = plan.logs.iter().map(|log| log.events).sum();
    eprintln!(
        "{} events would expire by the policy of entry {}; {} holds are in force; groups of 256 go together",
        grouped(events),
        plan.policy.0,
        plan.holds.len()
    );
    let asked: u64 = plan.logs.iter().map(|log| log.asked).sum();
    if asked > 0 {
        eprintln!("{} more are older than their log keeps events, and stay for as long as a framework asks", grouped(asked));
    }
    if events > 0 {
        eprintln!("let them expire: indelible retention apply");
    }
    Ok(Exit::Ok)
}

fn tell_clock(plan: &Plan) {
    if let Some(clock) = plan.doubted {
        eprintln!(
            "the clock says {}, the events lead up to {}: counted from there; if the clock is right, give --trust-clock",
            time::show(clock),
            time::show(plan.now)
        );
    }
}

fn apply(place: &Place, count: &Count, anchors: &[std::path::PathBuf], shape: &ShapeOption) -> Result<Exit> {
    let anchors = anchors.iter().map(|path| std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error)));
    let options = ExpireOptions { plan: count.options(), anchors: anchors.collect::<Result<_>>()? };
    let mut config = place.config("retention")?;
    config.sealing.background = false;
    let store = Store::open(config)?;
    let Expiration { plan, expired } = store.expire(&options)?;
    let identity = store.identity()?.clone();
    store.close()?;
    let mut out = Out::open();
    if shape.is_json() {
        let mut object = Object::new();
        object.objects("expired", &expired, |object, expired| describe(&identity, expired, object));
        out.json_line(&object.finish())?;
        out.flush()?;
        return Ok(Exit::Ok);
    }
    for expired in &expired {
        out.line(&format!(
            "{}: {} entries received before {} have expired, by entry {} of the control log; {} events of before stay",
            identity.log_name(expired.log),
            grouped(expired.removed),
            time::show(expired.before),
            expired.entry,
            grouped(expired.held),
        ))?;
    }
    if expired.is_empty() {
        out.line("nothing has expired")?;
    }
    out.flush()?;
    drop(out);
    tell_clock(&plan);
    Ok(Exit::Ok)
}

fn describe(identity: &Identity, expired: &Expired, object: &mut Object) {
    object.text("log", identity.log_name(expired.log)).text("before", &time::show(expired.before));
    object.number("below", expired.below).number("removed", expired.removed).number("held", expired.held);
    object.number("entry", expired.entry);
}

fn plan_json(identity: &Identity, plan: &Plan) -> Vec<u8> {
    let mut object = Object::new();
    object.text("now", &time::show(plan.now)).optional_text("doubted", plan.doubted.map(time::show).as_deref());
    object.number("policy", plan.policy.0).texts("holds", plan.holds.iter().map(|hold| hold.name.as_str()));
    object.objects("logs", &plan.logs, |object, log: &LogPlan| {
        object.text("log", identity.log_name(log.log)).optional_number("days", log.days);
        object.optional_text("before", log.before.map(time::show).as_deref());
        object.number("expired", log.expired).number("below", log.below).number("events", log.events);
        object.number("held", log.held).number("asked", log.asked);
    });
    object.finish()
}
