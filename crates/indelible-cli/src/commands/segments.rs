//! `indelible segments`: what is sealed.

use clap::Args;
use indelible::search::time;
use indelible::{Reader, SegmentInfo};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};
use crate::question::{bytes_text, grouped};

/// Show what is sealed: files, positions, times, sizes.
///
/// Each line is one Parquet file in the directory `segments` of the store. What is not listed is still in the journal.
#[derive(Debug, Args)]
pub(crate) struct SegmentsArgs {
    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn run(place: &Place, args: &SegmentsArgs) -> Result<Exit> {
    let reader = place.reader()?;
    let segments = reader.segments()?;
    let expired = reader.expired()?;
    let heads = reader.heads()?;
    let unsealed: u64 = heads
        .iter()
        .map(|head| {
            let sealed = segments.iter().filter(|segment| segment.log == head.log).map(SegmentInfo::end).max();
            head.size.saturating_sub(sealed.unwrap_or(0))
        })
        .sum();
    let sum = |of: fn(&SegmentInfo) -> u64| segments.iter().map(of).sum::<u64>();
    let (rows, on_disk, in_journal) = (sum(|info| info.count), sum(|info| info.bytes), sum(|info| info.journal_bytes));
    let mut out = Out::open();
    if args.shape.is_json() {
        let mut object = Object::new();
        object.objects("expired", &expired, |object, expired| {
            object
                .text("log", reader.identity().log_name(expired.log))
                .number("below", expired.below)
                .number("entry", expired.entry);
        });
        object.objects("segments", &segments, |object, info| describe(&reader, info, object));
        object.number("rows", rows).number("bytes", on_disk).number("journal_bytes", in_journal).number("unsealed", unsealed);
        out.json_line(&object.finish())?;
        out.flush()?;
        return Ok(Exit::Ok);
    }
    if !segments.is_empty() {
        let mut table = Table::new(["log", "file", "first", "rows", "from", "to", "bytes", "b/row", "of journal"]);
        for info in &segments {
            let at = |time: Option<i64>| time.map_or_else(|| "-".into(), time::show);
            table.row([
                reader.identity().log_name(info.log).to_owned(),
                info.file.clone(),
                grouped(info.first_seq),
                grouped(info.count),
                at(info.time.map(|(first, _)| first)),
                at(info.time.map(|(_, last)| last)),
                bytes_text(info.bytes),
                per_row(info.bytes, info.count),
                ratio(info.bytes, info.journal_bytes),
            ]);
        }
        out.table(table, &[2, 3, 6, 7, 8])?;
    }
    out.flush()?;
    drop(out);
    for expired in &expired {
        eprintln!(
            "{}: what came before position {} has expired, by entry {} of the control log",
            reader.identity().log_name(expired.log),
            grouped(expired.below),
            expired.entry
        );
    }
    eprintln!(
        "{} rows in {} segments: {}, {} bytes a row, {} of what they took in the journal; {} entries are not sealed yet",
        grouped(rows),
        segments.len(),
        bytes_text(on_disk),
        per_row(on_disk, rows),
        ratio(on_disk, in_journal),
        grouped(unsealed),
    );
    Ok(Exit::Ok)
}

fn describe(reader: &Reader, info: &SegmentInfo, object: &mut Object) {
    object.text("log", reader.identity().log_name(info.log)).text("file", &info.file);
    object.number("first", info.first_seq).number("count", info.count);
    if let Some((first, last)) = info.time {
        object.text("from", &time::show(first)).text("to", &time::show(last));
    }
    object.number("bytes", info.bytes).number("journal_bytes", info.journal_bytes).number("keyed", info.keyed);
}

/// What part of `whole` `part` is, in hundredths.
pub(crate) fn ratio(part: u64, whole: u64) -> String {
    (part.saturating_mul(100)).checked_div(whole).map_or_else(|| "-".into(), |percent| format!("{percent} %"))
}

fn per_row(bytes: u64, rows: u64) -> String {
    bytes.saturating_mul(10).checked_div(rows).map_or_else(|| "-".into(), |tenths| format!("{}.{}", tenths / 10, tenths % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_for_eyes() {
        assert_eq!((ratio(1, 8), ratio(1, 0), per_row(577, 10)), ("12 %".into(), "-".into(), "57.7".into()));
    }
}
