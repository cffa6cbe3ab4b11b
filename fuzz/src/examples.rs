//! Well-formed inputs for every target: where a fuzzer starts from.

use indelible_format::checkpoint::Checkpoint;
use indelible_format::frame::{FLAG_CLOSE, FileHeader, FrameMeta, GroupSeed, LogChange, LogState};
use indelible_format::leaf::Seed;
use indelible_format::note::{Note, SigningKey};
use indelible_format::tile::{TileKind, TilePath, encode_entries, encode_hashes};
use indelible_format::tlog_proof::TlogProof;
use indelible_format::{Draft, Hash, Outcome, Producer, Record, Stamp, Tag, Trace, encode, record, taxonomy};
use indelible_segment::{Proof, SegmentWriter};

const ORIGIN: &str = "log.example/00112233445566778899aabbccddeeff/0123456789abcdef";

/// JSON in and out of canonical form.
pub fn json() -> Vec<Vec<u8>> {
    [
        r#"{"b":[1,2.50,-0,1e400,9007199254740993],"a":{"z":null,"y":true},"é":"\u001b[31m"}"#,
        r#"{"\ud83d\ude00":"pair","":"\n\t\"\\/","list":[[],{},[[]]]}"#,
        " [ 1 , \"two\" , false ] ",
        "\"text\"",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

/// Records of events, from bare to full, and of control entries.
pub fn record() -> Vec<Vec<u8>> {
    let full = Draft::new(taxonomy::USER_LOGIN)
        .outcome(Outcome::Failure)
        .id("request-17")
        .time_ns(1_700_000_000_000_000_000)
        .tenant("acme")
        .source("example")
        .producer(Producer { id: "web-1", epoch: 3, seq: 41 })
        .trace(Trace { trace_id: [1; 16], span_id: [2; 8] })
        .frameworks(&["SOX", "PCI DSS"])
        .actor("alice")
        .actor_type("user")
        .actor_name("Alice \u{1b}[31m")
        .actor_email("alice@example.com")
        .session("s-1")
        .ip("203.0.113.9")
        .host("web-1")
        .target("repo", "42")
        .target("branch", "main")
        .detail("reason", "bad_password")
        .detail("attempt", 3)
        .idempotency_key("key-1");
    let drafts = [full, Draft::new("widget.polish"), Draft::new(taxonomy::DATA_READ).actor("bob").detail("rows", 12)];
    let stamp = Stamp { received: 1_700_000_000_000_000_001, uuid: [5; 16], producer: None, tenant: "default", log: 1 };
    let mut records: Vec<Vec<u8>> = drafts
        .iter()
        .filter_map(|draft| {
            let mut out = Vec::new();
            encode(draft, &stamp, &mut out).ok().map(|_| out)
        })
        .collect();
    let mut control = Vec::new();
    if record::encode_control(0, br#"{"at":"2026-01-01T00:00:00Z","type":"gap"}"#, &mut control).is_some() {
        records.push(control);
    }
    records.push(records.concat());
    records
}

/// The heads of those events.
pub fn head() -> Vec<Vec<u8>> {
    let records = record();
    let parsed =
        records.iter().filter_map(|record| indelible_format::Record::parse(record)?.value(Tag::HEAD).map(<[u8]>::to_vec));
    parsed.collect()
}

/// A frame with records, seeds and a checkpoint, and one that only closes.
pub fn frame() -> Vec<Vec<u8>> {
    let payload = record().first().cloned().unwrap_or_default();
    let note = String::from_utf8(checkpoint().concat()).unwrap_or_default();
    let full = FrameMeta {
        lsn: 7,
        prev: Hash([3; 32]),
        written: 1_700_000_000_000_000_002,
        store: [4; 16],
        flags: 0,
        records: 1,
        logs: vec![LogChange { log: 1, count: 1, first_seq: 255, root: Hash([6; 32]) }],
        seeds: vec![GroupSeed { log: 1, group: 0, seed: Seed([8; 32]) }],
        notes: vec![(1, note)],
    };
    let closing = FrameMeta { lsn: 8, flags: FLAG_CLOSE, records: 0, logs: Vec::new(), seeds: Vec::new(), ..full.clone() };
    [(full, payload), (closing, Vec::new())]
        .into_iter()
        .filter_map(|(meta, payload)| {
            let mut out = Vec::new();
            let encoded = meta.encode(&[&payload], &mut out)?;
            out.extend_from_slice(&payload);
            out.resize(encoded.frame_bytes, 0);
            Some(out)
        })
        .collect()
}

/// The header of a journal file.
pub fn file_header() -> Vec<Vec<u8>> {
    let logs = (0..3).map(|log| LogState { log, size: u64::from(log) * 300, root: Hash([9; 32]) }).collect();
    let header =
        FileHeader { number: 2, store: [4; 16], first_lsn: 7, prev: Hash([3; 32]), created: 1_700_000_000_000_000_000, logs };
    let mut out = Vec::new();
    header.encode(&mut out);
    vec![out]
}

fn key() -> Option<SigningKey> {
    SigningKey::from_seed(ORIGIN, &[1; 32]).ok()
}

/// Notes by one signer and by two.
pub fn note() -> Vec<Vec<u8>> {
    let Some(key) = key() else { return Vec::new() };
    let Ok(one) = Note::sign("hello\n\nlog\n", &key) else { return Vec::new() };
    let mut two = one.clone();
    if let Ok(witness) = SigningKey::from_seed("witness.example", &[2; 32]) {
        let _ = two.add_signature(&witness);
    }
    vec![one.to_string().into_bytes(), two.to_string().into_bytes()]
}

/// A signed checkpoint.
pub fn checkpoint() -> Vec<Vec<u8>> {
    let signed = key().and_then(|key| Checkpoint::new(ORIGIN, 256, Hash([6; 32])).sign(&key).ok());
    signed.into_iter().map(String::into_bytes).collect()
}

/// Proofs with and without values.
pub fn tlog_proof() -> Vec<Vec<u8>> {
    let Some(checkpoint) = checkpoint().pop().and_then(|note| String::from_utf8(note).ok()) else { return Vec::new() };
    let proof = TlogProof {
        extra: Some(br#"{"format":"indelible/v1","control":{}}"#.to_vec()),
        index: 3,
        hashes: vec![Hash([1; 32]); 8],
        checkpoint,
    };
    let bare = TlogProof { extra: None, ..proof.clone() };
    vec![proof.to_string().into_bytes(), bare.to_string().into_bytes()]
}

/// Paths, and contents behind a byte that says how many there are.
pub fn tile() -> Vec<Vec<u8>> {
    let paths = [(TileKind::Hashes(0), 1_234_067, 256), (TileKind::Entries, 5, 17), (TileKind::Hashes(2), 0, 1)];
    let mut found: Vec<Vec<u8>> = paths
        .iter()
        .filter_map(|(kind, index, width)| Some(TilePath::new(*kind, *index, *width)?.to_string().into_bytes()))
        .collect();
    found.push([&[2][..], &encode_hashes(&[Hash([1; 32]), Hash([2; 32]), Hash([3; 32])])].concat());
    if let Ok(entries) = encode_entries([&b"one"[..], b"", b"three"]) {
        found.push([&[2][..], &entries].concat());
    }
    found
}

/// A small segment of the records above that are events.
pub fn segment() -> Vec<Vec<u8>> {
    let records: Vec<Vec<u8>> = record().into_iter().filter(|bytes| Record::parse(bytes).is_some_and(|record| record.log() == 1)).collect();
    let made = || {
        let mut writer = SegmentWriter::new(Vec::new(), 1, 0, indelible_segment::Options::default()).ok()?;
        for record in records.iter().cycle().take(300) {
            writer.push(&Record::parse(record)?).ok()?;
        }
        let (before, roots, seeds) = (Vec::new(), vec![Hash::ZERO], vec![Seed([1; 32]), Seed([2; 32])]);
        let proof = Proof { origin: ORIGIN.into(), log: 1, first_seq: 0, count: 300, before, roots, seeds };
        writer.finish(&proof).ok().map(|(bytes, _)| bytes)
    };
    made().into_iter().collect()
}
