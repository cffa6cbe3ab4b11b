//! Records, and segments made of them.

use std::ops::ControlFlow;

use bytes::Bytes;
use indelible_format::leaf::Seed;
use indelible_format::{Draft, Hash, Record, Stamp, encode, record};
use indelible_segment::{Options, Proof, Segment, SegmentError, SegmentWriter, Summary};

pub(crate) const LOG: u32 = 1;

/// The record of a draft, numbered as the committer would.
pub(crate) fn event(draft: &Draft<'_>, received: i64, tenant_seq: u64) -> Vec<u8> {
    let mut uuid = [7; 16];
    uuid[8..].copy_from_slice(&received.to_le_bytes());
    let stamp = Stamp { received, uuid, producer: None, tenant: "acme", log: LOG };
    let mut memory = Vec::new();
    let encoded = encode(draft, &stamp, &mut memory).unwrap();
    memory.truncate(encoded.bytes);
    record::set_tenant_seq(&mut memory, tenant_seq).unwrap();
    memory
}

/// A proof with the right number of everything.
pub(crate) fn proof(first_seq: u64, count: u64) -> Proof {
    let end = first_seq + count;
    let touched = if count == 0 { 0 } else { (end - 1) / 256 - first_seq / 256 + 1 };
    let roots = end / 256 - first_seq / 256;
    Proof {
        origin: "example.com/audit/1".into(),
        log: LOG,
        first_seq,
        count,
        before: vec![Hash::ZERO; usize::try_from(first_seq % 256).unwrap()],
        roots: vec![Hash::ZERO; usize::try_from(roots).unwrap()],
        seeds: vec![Seed([1; 32]); usize::try_from(touched).unwrap()],
    }
}

pub(crate) fn write(first_seq: u64, records: &[Vec<u8>]) -> (Bytes, Summary) {
    let mut writer = SegmentWriter::new(Vec::new(), LOG, first_seq, Options::default()).unwrap();
    for record in records {
        writer.push(&Record::parse(record).unwrap()).unwrap();
    }
    let (bytes, summary) = writer.finish(&proof(first_seq, records.len() as u64)).unwrap();
    assert_eq!(summary.rows, records.len() as u64);
    (bytes.into(), summary)
}

pub(crate) fn read(bytes: Bytes) -> Result<Vec<(u64, Vec<u8>)>, SegmentError> {
    let mut records = Vec::new();
    Segment::open(bytes)?.records(&mut |seq, record| {
        records.push((seq, record.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// Writes, reads and compares. Says what was written.
pub(crate) fn round_trip(first_seq: u64, records: &[Vec<u8>]) -> (Bytes, Summary) {
    let (bytes, summary) = write(first_seq, records);
    let found = read(bytes.clone()).unwrap();
    assert_eq!(found.len(), records.len());
    for ((seq, found), (nth, record)) in found.iter().zip((0..).zip(records)) {
        assert_eq!(*seq, first_seq + nth);
        assert!(found == record, "position {seq} came back as other bytes");
    }
    (bytes, summary)
}
