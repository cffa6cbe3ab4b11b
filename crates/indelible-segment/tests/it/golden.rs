//! The bytes of a segment are those of version 1: a change of format is not made by accident.
//!
//! When Zstandard is updated the file may change and still be right: then every other test passes, the two blocks are as they were, and
//! the hash of the file may be replaced, with a line in the commit that says so.

use indelible_format::sha256::sha256;
use indelible_segment::{Options, Proof, SegmentWriter};

use crate::support::{LOG, mixed, proof, write};

fn hex(bytes: &[u8]) -> String {
    sha256(bytes).0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_blocks_and_the_file_are_those_of_version_1() {
    let (bytes, summary) = write(300, &mixed(1_000, 42));
    let index_at = bytes.windows(8).position(|window| window == b"INDLIDX1").unwrap();
    let index = bytes.slice(index_at..index_at + summary.index_bytes as usize);
    let proof_block = proof(300, 1_000).encode();
    assert_eq!(bytes.slice(index_at + index.len()..).slice(..proof_block.len()), proof_block);
    let found = [hex(&proof_block), hex(&index), hex(&bytes)];
    assert_eq!(
        found,
        [
            "f7102005b4910a82cd861767d6fe98007f0f4f155d77f130dd9d0f15dd3b6e6a",
            "0589ffc4c9b518f2a9a7552be88848cf0c43409a9ce1d0e82d4f81f2fe58dfd8",
            "9fa8c8f8f1f045d0c81e7a72bafa0e227ca55a72918ac18a31fdbc5c49da1f42"
        ]
    );
}

/// An index small enough to be read by eye: one event, three fields with a term.
#[test]
fn a_small_index_block_byte_by_byte() {
    let record = crate::support::event(&indelible_format::Draft::new("a.b"), 1, 1);
    let mut writer = SegmentWriter::new(Vec::new(), LOG, 0, Options::default()).unwrap();
    writer.push(&indelible_format::Record::parse(&record).unwrap()).unwrap();
    let (bytes, summary) = writer.finish(&Proof { ..proof(0, 1) }).unwrap();
    let at = bytes.windows(8).position(|window| window == b"INDLIDX1").unwrap();
    let index: String = bytes[at..at + summary.index_bytes as usize].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        index,
        "494e444c49445831010000000004000003000000020000000100000048000000110000000600000001000000590000001100000007000000010000006a00000011000000ed80d90200000000090000005679ade8010069ed0700000000090000003a445d150100a540060000000009000000beb735e2010077a806"
    );
}
