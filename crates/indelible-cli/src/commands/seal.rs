//! `indelible seal`: makes segments of the journal.

use clap::Args;
use indelible::Store;

use crate::commands::segments::ratio;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::json::Object;
use crate::output::{Out, ShapeOption};
use crate::question::{bytes_text, grouped};

/// Seal what was recorded into segments of plain Parquet.
///
/// A program that records seals by itself, in the background. This does it now, for everything there is: the events move from the
/// journal into files that DuckDB, Spark and pandas read as they are. Every record is read back from its segment and compared, byte for
/// byte, before the journal that held it goes. Positions, hashes and proofs stay the same.
#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn run(place: &Place, args: &SealArgs) -> Result<Exit> {
    let mut config = place.config("seal")?;
    config.sealing.background = false;
    let store = Store::open(config)?;
    let sealed = store.seal()?;
    let dir = place.data()?.join("segments");
    store.close()?;
    let mut out = Out::open();
    if args.shape.is_json() {
        let mut object = Object::new();
        object.number("records", sealed.records).number("segments", sealed.segments).number("merged", sealed.merged);
        object.number("segment_bytes", sealed.segment_bytes).number("journal_bytes", sealed.journal_bytes);
        out.json_line(&object.finish())?;
    } else if sealed.records == 0 {
        out.line("nothing to seal: everything is sealed already")?;
    } else {
        out.line(&format!(
            "{} records sealed into {} segments in {}: {}, {} of what they took in the journal",
            grouped(sealed.records),
            sealed.segments,
            out.shown(&dir.display().to_string()).into_owned(),
            bytes_text(sealed.segment_bytes),
            ratio(sealed.segment_bytes, sealed.journal_bytes),
        ))?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}
