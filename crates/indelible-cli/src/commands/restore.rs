//! `indelible restore`: a backup is verified, and becomes a new store that names the one it goes on from.

use std::path::PathBuf;

use clap::Args;
use indelible::backup::{CheckOptions, Checked, Restored, check, restore};
use indelible::time;

use crate::commands::init::verifier_key;
use crate::commands::verify::{NOTE_FILE_BYTES_MAX, read_key, read_text, report_members, report_text};
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption, Tone};
use crate::progress::Progress;
use crate::question::{bytes_text, grouped};

/// Verify a backup and make a new store of it.
///
/// Every byte, hash and signature of the backup is checked first; if anything is wrong, it is said and nothing is written. The new
/// store, in the directory that --data names, has every entry at the position it had, but an id, a key and origins of its own: its first
/// new entry, `store.restored`, names the store it goes on from with size, root and newest checkpoint of every log. Give the new verifier
/// keys to whoever checks the log. What came between the backup and the loss is not there: `indelible verify --against` with a newer
/// checkpoint of the lost store says how much that is.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Directory of the backup
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Only verify the backup; nothing is written
    #[arg(long)]
    check: bool,

    /// Compare with this checkpoint of the store that was backed up, kept elsewhere; may be given again
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,

    /// The verifier key of the store that was backed up, or a file that holds it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn run(place: &Place, args: &RestoreArgs) -> Result<Exit> {
    let against = args.against.iter().map(|path| read_text(path, NOTE_FILE_BYTES_MAX)).collect::<Result<Vec<_>>>()?;
    let key = args.key.as_deref().map(read_key).transpose()?;
    let bar = Progress::bytes(0, "verifying");
    let mut progress = |done, total| {
        bar.total(total);
        bar.at(done);
        if done == total && !args.check {
            bar.says("restoring".to_owned());
        }
    };
    let options = CheckOptions { against, key, progress: Some(&mut progress) };
    let (checked, restored) = if args.check {
        (check(&args.directory, options)?, None)
    } else {
        let restoring = restore(&args.directory, place.config("restore")?, options)?;
        (restoring.checked, restoring.restored)
    };
    drop(bar);
    let good = checked.is_good();
    let data = if restored.is_some() { Some(place.data()?) } else { None };
    let mut out = Out::open();
    if args.shape.is_json() {
        let mut object = Object::new();
        object.boolean("ok", good);
        object.object("backup", |object| checked_members(&checked, object));
        if let (Some(restored), Some(data)) = (&restored, &data) {
            object.object("restored", |object| {
                object.text("data", &data.to_string_lossy());
                restored_members(restored, object);
            });
        }
        out.json_line(&object.finish())?;
    } else {
        checked_text(&checked, &mut out)?;
        if let (Some(restored), Some(data)) = (&restored, &data) {
            let shown = out.shown(&data.display().to_string()).into_owned();
            let word = out.painted(Tone::Good, "RESTORED");
            out.line(&format!("\n{word} into {shown}: store {}\n", restored.identity.store_hex()))?;
            out.line("verifier keys of the new store, one per log; public, give them to whoever is to check the log:")?;
            for log in &restored.identity.logs {
                // Never wrapped: it is made to be copied.
                out.lines(&format!("  {:<10} {}", log.name, verifier_key(&restored.identity, log.id)))?;
            }
        }
    }
    out.flush()?;
    Ok(if good { Exit::Ok } else { Exit::Unverified })
}

fn checked_members(checked: &Checked, object: &mut Object) {
    object.text("store", &checked.store).text("made", &time::format(checked.made));
    object.number("files", checked.files).number("bytes", checked.bytes);
    object.objects("damage", &checked.damage, |object, damage| {
        object.text("file", &damage.file).text("object", &damage.object).text("message", &damage.what);
    });
    object.texts("misstated", checked.misstated.iter().map(String::as_str));
    if let Some(report) = &checked.report {
        object.object("verified", |object| report_members(report, object));
    }
}

fn restored_members(restored: &Restored, object: &mut Object) {
    let identity = &restored.identity;
    object.text("store", &identity.store_hex()).text("verifier_key", &verifier_key(identity, 0));
    object.objects("logs", &identity.logs, |object, log| {
        let size = restored.heads.iter().find(|head| head.log == log.id).map_or(0, |head| head.size);
        let taken = identity.predecessors.last().map_or(0, |before| before.size(log.id));
        object.number("id", log.id).text("name", &log.name).number("size", size).number("taken_over", taken);
        object.text("origin", &identity.origin(log.id).unwrap_or_default()).text("verifier_key", &verifier_key(identity, log.id));
    });
}

fn checked_text(checked: &Checked, out: &mut Out) -> Result<()> {
    let mut table = Table::pairs();
    table.pair("backup of store", &checked.store).pair("made", time::format(checked.made));
    table.pair("files", format!("{}, {}", grouped(checked.files), bytes_text(checked.bytes)));
    out.table(table, &[])?;
    out.line("")?;
    if let Some(report) = &checked.report {
        report_text(report, out)?;
    }
    if !checked.damage.is_empty() {
        let mut table = Table::new(["file", "in the backup", "finding"]);
        for damage in &checked.damage {
            table.row([damage.file.as_str(), &format!("files/{}", damage.object), &damage.what]);
        }
        out.table(table, &[])?;
    }
    for what in &checked.misstated {
        out.lines(what)?;
    }
    if !checked.is_good() {
        let word = out.painted(Tone::Bad, "REFUSED");
        out.line(&format!("\n{word}: this is not what was backed up; nothing was written"))?;
        out.line("hint: use another backup. Where the store itself is still good, `indelible backup --recheck` copies anew what rotted")?;
    }
    Ok(())
}
