//! `indelible checkpoint`: the signed head of a log.

use clap::Args;
use indelible::identity::LOG_MAIN;
use indelible::{ErrorKind, Reader, SignedCheckpoint, Store};

use crate::commands::init::verifier_key;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::{Out, ShapeOption};
use crate::question::log_named;
use crate::source::Source;

/// Print the signed head of a log, to be kept elsewhere.
///
/// A checkpoint (C2SP signed note) says how many entries the log has and what they hash to. Kept where the log's owner cannot reach
/// it, it makes every later change of what it covers show: `indelible verify --against FILE`. While nobody writes to the store
/// the newest head is signed now; else the newest checkpoint on disk is printed, which is about a second old.
#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    /// Of this log: main, telemetry, control, or its number
    #[arg(long, value_name = "LOG")]
    log: Option<String>,

    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn run(place: &Place, args: &CheckpointArgs) -> Result<Exit> {
    let source = place.source()?;
    let identity = source.identity();
    let log = args.log.as_deref().map_or(Ok(LOG_MAIN), |name| log_named(identity, name))?;
    let (checkpoint, signed_now) = match &source {
        Source::Store(reader) => of_store(reader, log, place)?,
        // A server signs whatever is durable when it is asked.
        Source::Server(remote) => (remote.checkpoint(log)?, true),
    };
    let mut out = Out::open();
    let key = verifier_key(identity, log);
    if args.shape.is_json() {
        out.json_line(&checkpoint_json(&checkpoint, identity.log_name(log), &key, signed_now))?;
        out.flush()?;
        return Ok(Exit::Ok);
    }
    // The note as it is: it is what others verify.
    out.bytes(checkpoint.note.as_bytes())?;
    out.flush()?;
    drop(out);
    let how = if signed_now { "signed now" } else { "the newest on disk; this command could not write to the store" };
    eprintln!("log {}, {} entries, {how}", identity.log_name(log), checkpoint.size);
    eprintln!("verifier key: {key}");
    eprintln!("keep it elsewhere, then: indelible verify --against FILE");
    Ok(Exit::Ok)
}

/// The newest head that can be had of a directory, and whether it was signed now.
fn of_store(reader: &Reader, log: u32, place: &Place) -> Result<(SignedCheckpoint, bool)> {
    Ok(match Store::open(place.config("checkpoint")?) {
        Ok(store) => {
            let checkpoint = store.checkpoint(log)?;
            store.close()?;
            (checkpoint, true)
        }
        // Somebody writes, or we may only read: the newest one on disk has to do.
        Err(error) if error.kind() == ErrorKind::Locked || is_read_only(&error, place) => {
            let found = reader.checkpoint(log)?.ok_or_else(|| {
                Failure::new("not_found", format!("the log {} has no checkpoint yet", reader.identity().log_name(log)))
                    .hint("record an event, or run this as the user who writes to the store")
            })?;
            (found, false)
        }
        Err(error) => return Err(error.into()),
    })
}

/// Whether the key cannot be read or nothing can be written, as for an auditor with a copy.
fn is_read_only(error: &indelible::Error, place: &Place) -> bool {
    let no_key = place.data().is_ok_and(|data| std::fs::File::open(data.join("key")).is_err());
    let cause =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    no_key || matches!(cause, Some(std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem))
}

fn checkpoint_json(checkpoint: &SignedCheckpoint, log: &str, key: &str, signed_now: bool) -> Vec<u8> {
    let mut object = Object::new();
    object.text("log", log).text("origin", &checkpoint.origin).number("size", checkpoint.size);
    object.text("root", &checkpoint.root.to_string()).text("note", &checkpoint.note).text("verifier_key", key);
    object.boolean("signed_now", signed_now);
    object.finish()
}
