//! `indelible backup`: the store as it is now, on another disk.

use std::path::PathBuf;

use clap::Args;
use indelible::backup::BackupOptions;
use indelible::time;

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};
use crate::progress::Progress;
use crate::question::{bytes_text, grouped};

/// Copy the store to another disk while it is in use.
///
/// Programs may go on recording and sealing. The backup holds the store as it was at one moment; a second one into the same directory
/// copies only what is new, and if it is interrupted the one before is still there. No key is copied: a backup cannot sign, so keep
/// `key` (and `pseudonym.key`, if there is one) in another place. `indelible restore --check DIR` proves that the backup is good.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Directory of the backup, of this store alone; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Read again what the backup holds already, and copy anew what rotted
    #[arg(long)]
    recheck: bool,

    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn run(place: &Place, args: &BackupArgs) -> Result<Exit> {
    let reader = place.reader()?;
    // A link counts as where it leads to: a backup within the store would back itself up.
    let directory = args.directory.canonicalize().or_else(|_| std::path::absolute(&args.directory));
    let directory = directory.map_err(|error| Failure::file("find", &args.directory, &error))?;
    let bar = Progress::bytes(0, "backing up");
    let mut progress = |done, total| {
        bar.total(total);
        bar.at(done);
    };
    let taken = reader.backup(&directory, BackupOptions { recheck: args.recheck, progress: Some(&mut progress) })?;
    drop(bar);
    let identity = reader.identity();
    let signed = |log: u32| taken.signed.iter().find(|(known, _)| *known == log).map_or(0, |(_, size)| *size);
    let mut out = Out::open();
    if args.shape.is_json() {
        let mut object = Object::new();
        object.text("backup", &directory.to_string_lossy()).text("store", &identity.store_hex());
        object.text("made", &time::format(taken.made)).number("files", taken.files).number("bytes", taken.bytes);
        object.number("copied_files", taken.copied_files).number("copied_bytes", taken.copied_bytes);
        object.objects("logs", &taken.heads, |object, head| {
            object.text("log", identity.log_name(head.log)).number("size", head.size).text("root", &head.root.to_string());
            object.number("signed", signed(head.log));
        });
        out.json_line(&object.finish())?;
    } else {
        let mut logs = Table::new(["log", "entries", "signed up to"]);
        for head in &taken.heads {
            logs.row([identity.log_name(head.log), &grouped(head.size), &grouped(signed(head.log))]);
        }
        out.table(logs, &[1, 2])?;
        let shown = out.shown(&directory.display().to_string()).into_owned();
        out.line(&format!(
            "\n{shown} holds the store as of {}: {} in {} files, {} of it new in {}",
            time::format(taken.made),
            bytes_text(taken.bytes),
            grouped(taken.files),
            bytes_text(taken.copied_bytes),
            grouped(taken.copied_files),
        ))?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}
