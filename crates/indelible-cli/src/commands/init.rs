//! `indelible init`: makes a store.

use clap::Args;
use indelible::identity::Identity;
use indelible::{Store, time, trusted_state_path};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};

/// Make a store: identity, signing key, empty logs.
///
/// The directory and everything in it can be read by its owner only. A new Ed25519 key is drawn and signs the log from its first
/// entry on; whoever has the verifier key that is printed here can check everything that is ever recorded.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// First part of the logs' names in checkpoints and proofs
    ///
    /// A host name and path of yours, such as example.com/audit, tells others whose log it is. It cannot be changed later.
    #[arg(long, value_name = "PREFIX", default_value = "localhost")]
    origin_prefix: String,

    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn run(place: &Place, args: &InitArgs) -> Result<Exit> {
    let data = place.data()?;
    if data.join("store.json").exists() {
        return Err(Failure::new("rejected", format!("there is a store in {} already", data.display())).hint(format!(
            "use it as it is, or make another one with --data; `indelible doctor --data {}` shows its state",
            data.display()
        )));
    }
    let mut config = place.config("init")?;
    config.create = true;
    config.prefix.clone_from(&args.origin_prefix);
    let store = Store::open(config)?;
    let identity = store.identity()?.clone();
    store.close()?;

    let key = data.join("key");
    let state = trusted_state_path(&place.state()?, &identity);
    let mut out = Out::open();
    if args.shape.is_json() {
        let mut object = Object::new();
        object.text("store", &identity.store_hex()).text("data", &data.to_string_lossy());
        object.text("created", &time::format(identity.created)).text("key_file", &key.to_string_lossy());
        object.text("trusted_state", &state.to_string_lossy()).text("verifier_key", &verifier_key(&identity, 0));
        object.objects("logs", &identity.logs, |object, log| {
            object.number("id", log.id).text("name", &log.name);
            object
                .text("origin", &identity.origin(log.id).unwrap_or_default())
                .text("verifier_key", &verifier_key(&identity, log.id));
        });
        out.json_line(&object.finish())?;
        out.flush()?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::pairs();
    table.pair("store", identity.store_hex()).pair("data directory", data.to_string_lossy());
    table.pair("created", time::format(identity.created));
    table.pair("signing key", key.to_string_lossy()).pair("trusted state", state.to_string_lossy());
    out.table(table, &[])?;
    out.line("")?;
    out.line("verifier keys, one per log; public, give them to whoever is to check the log:")?;
    for log in &identity.logs {
        // Never wrapped: it is made to be copied.
        out.lines(&format!("  {:<10} {}", log.name, verifier_key(&identity, log.id)))?;
    }
    out.flush()?;
    drop(out);
    eprintln!();
    eprintln!("Back up {} now, to a place where the log is not: without it the log can be read and verified,", key.display());
    eprintln!("but never written to again. Whoever has it can sign in this log's name.");
    Ok(Exit::Ok)
}

/// The text of a log's verifier key.
pub(crate) fn verifier_key(identity: &Identity, log: u32) -> String {
    identity.verifier_key(log).map(|key| key.to_string()).unwrap_or_default()
}
