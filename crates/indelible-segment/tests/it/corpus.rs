//! Real events: imported, sealed, read back, and measured.

use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use indelible_adapters::{Adapter, ReadLimits, for_each_record};
use indelible_testkit::corpus;

use crate::support::{event, round_trip};

/// Every record below `folder`, as the import stores it.
fn imported(folder: &Path, at_most: usize) -> (Vec<Vec<u8>>, u64) {
    let (mut records, mut bytes) = (Vec::new(), 0);
    let mut adapter = Adapter::new(None);
    for path in corpus::files(folder, "") {
        let name = path.to_string_lossy().into_owned();
        let file = std::fs::File::open(&path).unwrap();
        let input: Box<dyn Read> = match name.rsplit('.').next() {
            Some("json" | "ndjson" | "jsonl") => Box::new(file),
            Some("zst") => Box::new(zstd::Decoder::new(file).unwrap()),
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
            _ => continue,
        };
        let _ = for_each_record(&mut BufReader::new(input), ReadLimits::default(), &mut |record| {
            let Ok(record) = record else { return ControlFlow::Continue(()) };
            let seq = records.len() as u64;
            bytes += record.bytes.len() as u64;
            if let Ok(adapted) = adapter.adapt(record.bytes, |draft| event(draft, 1_700_000_000_000_000_000, seq)) {
                records.push(adapted.result);
            }
            if records.len() >= at_most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if records.len() >= at_most {
            break;
        }
    }
    (records, bytes)
}

#[test]
fn real_events_come_back_byte_for_byte() {
    // All of them take a minute; the long gate looks at all.
    let windows = if std::env::var_os("INDELIBLE_LONG").is_some() { usize::MAX } else { 20_000 };
    for (name, at_most, at_least) in
        [("cloudtrail-invictus", usize::MAX, 2_900), ("otrf-security-datasets", windows, windows.min(219_808))]
    {
        let Some(folder) = corpus::folder(name) else { return };
        let (records, json_bytes) = imported(&folder, at_most);
        assert!(records.len() >= at_least, "{name}: {}", records.len());
        let (bytes, summary) = round_trip(0, &records);
        if let Some(keep) = std::env::var_os("KEEP_SEGMENTS") {
            std::fs::write(Path::new(&keep).join(format!("{name}.parquet")), &bytes).unwrap();
        }
        let stored: usize = records.iter().map(Vec::len).sum();
        println!(
            "{name}: {} records, {json_bytes} bytes of JSON, {stored} in the journal, {} in the segment, {} kept whole",
            records.len(),
            bytes.len(),
            summary.whole
        );
        assert_eq!(summary.whole, 0, "{name}: the columns say it all");
    }
}
