//! `indelible hold`: legal holds.

use clap::{Args, Subcommand};
use indelible::search::time;
use indelible::{Hold, Store};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};

/// Hold events that a policy would let expire.
///
/// Whatever matches a hold stays, event by event, until the hold is released; the others expire around it, and the proofs of all hold.
/// Creating and releasing a hold are entries of the control log, signed like everything else.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Hold what a query matches, now and later
    Create {
        /// What people call it: a case number, most often
        #[arg(value_name = "NAME")]
        name: String,
        /// What to hold, in the search language: `tenant:acme actor.id:alice`; '*' or '' holds everything
        #[arg(value_name = "QUERY", allow_hyphen_values = true)]
        query: String,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        #[command(flatten)]
        shape: ShapeOption,
    },
    /// End a hold: what has expired of what it held goes with the next `indelible retention apply`
    Release {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        #[command(flatten)]
        shape: ShapeOption,
    },
    /// Show the holds in force
    List {
        #[command(flatten)]
        shape: ShapeOption,
    },
}

pub(crate) fn run(place: &Place, args: &HoldArgs) -> Result<Exit> {
    match &args.verb {
        Verb::Create { name, query, reason, shape } => {
            let query = if query == "*" { "" } else { query };
            changed(place, shape, "is held from now on", |store| store.hold(name, query, reason))
        }
        Verb::Release { name, reason, shape } => {
            changed(place, shape, "is released; what has expired of it goes with the next `indelible retention apply`", |store| {
                store.release(name, reason)
            })
        }
        Verb::List { shape } => list(place, shape),
    }
}

fn changed(
    place: &Place,
    shape: &ShapeOption,
    what: &str,
    change: impl FnOnce(&Store) -> indelible::Result<Hold>,
) -> Result<Exit> {
    let mut config = place.config("hold")?;
    config.sealing.background = false;
    let store = Store::open(config)?;
    let hold = change(&store)?;
    store.close()?;
    let mut out = Out::open();
    if shape.is_json() {
        let mut object = Object::new();
        describe(&hold, &mut object);
        out.json_line(&object.finish())?;
    } else {
        let query = if hold.query.is_empty() { "everything" } else { &hold.query };
        out.line(&format!("{}: {} {what}", out.shown(&hold.name).into_owned(), out.shown(query).into_owned()))?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn list(place: &Place, shape: &ShapeOption) -> Result<Exit> {
    let holds = place.reader()?.holds()?;
    let mut out = Out::open();
    if shape.is_json() {
        let mut object = Object::new();
        object.objects("holds", &holds, |object, hold| describe(hold, object));
        out.json_line(&object.finish())?;
        out.flush()?;
        return Ok(Exit::Ok);
    }
    if !holds.is_empty() {
        let mut table = Table::new(["name", "since", "entry", "holds", "reason"]);
        for hold in &holds {
            let query = if hold.query.is_empty() { "everything" } else { &hold.query };
            table.row([hold.name.clone(), time::show(hold.at), hold.entry.to_string(), query.to_owned(), hold.reason.clone()]);
        }
        out.table(table, &[2])?;
    }
    out.flush()?;
    drop(out);
    eprintln!("{} holds are in force", holds.len());
    Ok(Exit::Ok)
}

fn describe(hold: &Hold, object: &mut Object) {
    object.text("name", &hold.name).text("query", &hold.query).text("reason", &hold.reason);
    object.text("since", &time::show(hold.at)).number("entry", hold.entry);
}
