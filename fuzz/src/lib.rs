//! The fuzz targets, as plain functions: each takes any bytes, and panics only when a promise of the format or segment crate is broken.
//!
//! The promises: every decoder returns, within memory bounded by its input; what it accepts it writes back as the same bytes, or as
//! bytes that read as the same value. `fuzz_targets/` hands them to libFuzzer; the tests here run them on damaged examples.

use std::ops::ControlFlow;

use indelible_format::checkpoint::{Checkpoint, SignedCheckpoint};
use indelible_format::frame::{FileHeader, Frame, FrameSizes, Status, parse_meta};
use indelible_format::json::{self, Document, Kind, Limits, walk};
use indelible_format::leaf::{LeafHasher, Salts, Seed, leaf};
use indelible_format::note::{Note, SigningKey, VerifierKey};
use indelible_format::record::Records;
use indelible_format::span::{self, Spans};
use indelible_format::tile::{self, TileKind, TilePath};
use indelible_format::tlog_proof::TlogProof;
use indelible_format::{Head, Id, Record, Tag};
use indelible_segment::{Column, IndexField, PageCache, Scratch, Segment};

pub mod examples;
#[expect(dead_code, reason = "the tests of segments use the rest")]
#[path = "../../crates/indelible-segment/tests/forge/mod.rs"]
mod forge;

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// Every target with its name and its examples.
pub const TARGETS: &[(&str, Target, fn() -> Vec<Vec<u8>>)] = &[
    ("json", json, examples::json),
    ("record", record, examples::record),
    ("head", head, examples::head),
    ("frame", frame, examples::frame),
    ("file_header", file_header, examples::file_header),
    ("note", note, examples::note),
    ("checkpoint", checkpoint, examples::checkpoint),
    ("tlog_proof", tlog_proof, examples::tlog_proof),
    ("tile", tile, examples::tile),
    ("segment", segment, examples::segment),
];

/// Canonical form is a fixed point, the walker agrees with the parser, and neither minds any bytes.
pub fn json(bytes: &[u8]) {
    walk_anything(bytes);
    let mut out = b"before".to_vec();
    let limits = Limits::default();
    if json::canonicalize(bytes, &limits, &mut out).is_err() {
        assert_eq!(out, b"before", "a refused input left something behind");
        assert!(!json::is_canonical(bytes, &limits));
        return;
    }
    let canonical = out.split_off(6);
    assert!(json::is_canonical(&canonical, &limits), "the canonical form is not canonical");
    let mut again = Vec::new();
    assert_eq!(json::canonicalize(&canonical, &limits, &mut again), Ok(()));
    assert_eq!(again, canonical, "canonicalising twice is not canonicalising once");
    let mut document = Document::new();
    let Ok(root) = document.parse(&canonical, &limits) else { panic!("the canonical form does not parse") };
    if root.kind() == Kind::Object {
        let walked: Vec<Vec<u8>> = walk::members(&canonical).map_while(Result::ok).map(|member| member.key.to_vec()).collect();
        let parsed: Vec<Vec<u8>> = root.entries().map(|(key, _)| key.raw().as_bytes().to_vec()).collect();
        assert_eq!(walked.len(), parsed.len(), "the walker does not see what the parser sees");
    }
}

fn walk_anything(bytes: &[u8]) {
    let members = walk::members(bytes).take_while(Result::is_ok).count();
    let elements = walk::elements(bytes).take_while(Result::is_ok).count();
    assert!(members <= bytes.len() && elements <= bytes.len());
    let _ = walk::skip_value(bytes, 0);
    let mut spans = Spans::new();
    let _ = span::derive(Some(bytes), Some(bytes), &mut spans);
}

/// Records read within their bounds, and both ways of hashing them agree.
pub fn record(bytes: &[u8]) {
    let mut records = Records::new(bytes);
    let mut read = 0;
    let mut salts = Salts::new(Seed([7; 32]));
    let mut hasher = LeafHasher::new();
    let mut one_by_one = Vec::new();
    for (seq, record) in (0..).zip(records.by_ref()) {
        read += record.bytes().len();
        one_by_one.push(look_at(&record, seq, &mut salts));
        hasher.push(&record, seq, &mut salts);
    }
    assert!(read <= bytes.len());
    assert!(!records.finished() || read == bytes.len());
    let mut together = Vec::new();
    hasher.finish(&mut together);
    assert_eq!(together, one_by_one, "hashing many records is not hashing each");
}

fn look_at(record: &Record<'_>, seq: u64, salts: &mut Salts) -> indelible_format::Hash {
    let groups: usize = record.groups().map(|(_, body)| body.value().map_or(0, <[u8]>::len)).sum();
    assert!(groups <= record.bytes().len());
    for (field, bytes) in record.spans() {
        assert!(record.value(field.tag()).is_some_and(|value| bytes.len() <= value.len()));
    }
    let _ = (record.head(), record.control(), record.leaf(), record.idempotency());
    let mut spans = Spans::new();
    if span::derive(record.value(Tag::IDENTITY), record.value(Tag::CONTENT), &mut spans).is_ok() {
        let _ = record.spans_are(&spans);
    }
    leaf(record, seq, salts)
}

/// A head keeps its rules: one id, one encoding; sizes within limits.
pub fn head(bytes: &[u8]) {
    let Some(head) = Head::parse(bytes) else { return };
    assert!(indelible_format::head::is_action(head.action));
    assert!(head.weight > 0 && !head.tenant.is_empty());
    assert!(head.frameworks().all(|framework| !framework.is_empty()));
    let text = head.id.to_string();
    assert_eq!(Id::from_text(&text), head.id, "an id has two encodings");
}

/// A frame that reads is written back as the same bytes.
pub fn frame(bytes: &[u8]) {
    let _ = (Frame::parse(bytes).is_ok(), parse_meta(bytes).is_ok(), Status::parse(bytes));
    let mut bytes = bytes.to_vec();
    repair_frame(&mut bytes);
    let Ok(frame) = Frame::parse(&bytes) else { return };
    let mut meta = Vec::new();
    let Some(encoded) = frame.meta.encode(&[frame.payload], &mut meta) else { panic!("a frame that reads cannot be written") };
    let Ok(again) = parse_meta(&meta) else { panic!("a frame that was written does not read") };
    assert_eq!(again, frame.meta);
    assert_eq!(encoded.frame_bytes % 512, 0);
}

/// Checksums keep a fuzzer out: they are made right, so that what lies behind them is reached.
fn repair_frame(bytes: &mut [u8]) {
    let Ok(sizes) = FrameSizes::parse(bytes) else { return };
    let Some(payload) = bytes.get(sizes.meta..sizes.meta + sizes.payload) else { return };
    let payload_crc = crc32c::crc32c(payload);
    if let Some(stored) = bytes.get_mut(16..20) {
        stored.copy_from_slice(&payload_crc.to_le_bytes());
    }
    let (Some(before), Some(behind)) = (bytes.get(..20), bytes.get(24..sizes.meta)) else { return };
    let meta_crc = crc32c::crc32c_append(crc32c::crc32c(before), behind);
    if let Some(stored) = bytes.get_mut(20..24) {
        stored.copy_from_slice(&meta_crc.to_le_bytes());
    }
}

/// A file header that reads is written back as a header that reads the same.
pub fn file_header(bytes: &[u8]) {
    let _ = (FileHeader::peek(bytes), FileHeader::parse(bytes).is_some());
    let mut bytes = bytes.to_vec();
    if let Some(count) = bytes.get(88..92).and_then(|count| count.try_into().ok()).map(u32::from_le_bytes)
        && let Some(used) = (count as usize).checked_mul(48).and_then(|tables| tables.checked_add(104))
        && let (Some(before), Some(behind)) = (bytes.get(..12), bytes.get(16..used))
    {
        let crc = crc32c::crc32c_append(crc32c::crc32c(before), behind);
        if let Some(stored) = bytes.get_mut(12..16) {
            stored.copy_from_slice(&crc.to_le_bytes());
        }
    }
    let Some((header, length)) = FileHeader::parse(&bytes) else { return };
    assert!(length <= bytes.len());
    let mut written = Vec::new();
    assert!(header.encode(&mut written).is_some(), "a header that reads cannot be written");
    assert_eq!(FileHeader::parse(&written).map(|(again, _)| again), Some(header));
}

/// A note that reads is written back as the same bytes, and no key is taken for another.
pub fn note(bytes: &[u8]) {
    let Ok(note) = Note::parse(bytes) else { return };
    assert_eq!(note.to_string().as_bytes(), bytes);
    let Ok(stranger) = SigningKey::from_seed("stranger.example", &[9; 32]) else { panic!("a plain name is no key name") };
    assert!(note.verify(&[stranger.verifier().clone()]).is_err(), "a key that signed nothing verifies");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (VerifierKey::parse(text).is_ok(), SigningKey::parse(text).is_ok());
    }
}

/// A checkpoint that reads is written back as the same text.
pub fn checkpoint(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(checkpoint) = Checkpoint::parse(text)
    {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(signed) = SignedCheckpoint::parse(bytes) {
        assert_eq!(signed.note().to_string().as_bytes(), bytes);
        assert_eq!(signed.unverified().to_string(), signed.note().text());
    }
}

/// A proof that reads is written back as the same bytes; nothing verifies without a key.
pub fn tlog_proof(bytes: &[u8]) {
    let Ok(proof) = TlogProof::parse(bytes) else { return };
    assert_eq!(proof.to_string().as_bytes(), bytes);
    assert!(proof.verify(&indelible_format::Hash::default(), &[]).is_err());
}

/// A tile's path has one spelling; its content is exactly as long as its width says.
pub fn tile(bytes: &[u8]) {
    if let Ok(path) = std::str::from_utf8(bytes)
        && let Ok(parsed) = TilePath::parse(path)
    {
        assert_eq!(parsed.to_string(), path);
        assert_eq!(TilePath::new(parsed.kind(), parsed.index(), parsed.width()), Some(parsed));
    }
    let Some((&width, rest)) = bytes.split_first() else { return };
    let width = u16::from(width) + 1;
    if let Ok(hashes) = tile::decode_hashes(rest, width) {
        assert_eq!(tile::encode_hashes(&hashes), rest);
    }
    if let Ok(entries) = tile::decode_entries(rest, width) {
        assert_eq!(tile::encode_entries(entries).as_deref(), Ok(rest));
    }
    let _ = TilePath::in_log(TileKind::Hashes(0), u64::from(width), u64::MAX);
}

#[cfg(test)]
mod tests;

/// Whatever a segment file holds, everything that can be asked of it is answered or refused; and one record by itself is the record that
/// comes in its turn. Also with all checksums and digests made right.
pub fn segment(bytes: &[u8]) {
    ask_segment(bytes);
    let mut repaired = bytes.to_vec();
    forge::repair(&mut repaired);
    if repaired != bytes {
        ask_segment(&repaired);
    }
}

fn ask_segment(bytes: &[u8]) {
    let Ok(segment) = Segment::open(bytes.to_vec()) else { return };
    let (cache, mut scratch) = (PageCache::new(1 << 20), Scratch::default());
    let mut records = Vec::new();
    let read = segment.records(0..u64::MAX, &mut |seq, record| {
        records.push((seq, record.to_vec()));
        if records.len() < 2_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    for (seq, record) in &records {
        if let Ok(Some(found)) = segment.record(*seq, &cache, &mut scratch) {
            assert_eq!(found, record, "position {seq}");
        }
    }
    if read.is_ok() && segment.rows() < 2_000 {
        assert_eq!(records.len(), segment.rows() as usize);
    }
    for column in Column::ALL {
        if let Ok(page) = segment.page(*column, 0, &cache) {
            page.indices(&mut Vec::new());
            page.numbers(&mut Vec::new());
        }
        let _ = segment.dictionary(*column, &cache);
    }
    for field in IndexField::ALL {
        let _ = segment.blocks_of(*field, b"alice");
    }
    let _ = (segment.check_index(), segment.check_statistics());
    let _ = segment.checked_records(0..u64::MAX, &mut |_, _, _| ControlFlow::Continue(()));
}
