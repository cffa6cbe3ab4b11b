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
    Segment::open(bytes)?.records(0..u64::MAX, &mut |seq, record| {
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

/// Rows of many shapes, the same for the same seed: events with and without each field, lists of any length, control entries and leaves,
/// some of which come in long runs of the same.
pub(crate) fn mixed(rows: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..rows).map(|nth| mixed_row(nth, &mut rng)).collect()
}

fn mixed_row(nth: usize, rng: &mut fastrand::Rng) -> Vec<u8> {
    let received = 1_700_000_000_000_000_000 + i64::try_from(nth).unwrap() * 1_000_000;
    // The middle third says one thing only.
    let quiet = nth % 30_000 >= 10_000 && nth % 30_000 < 20_000;
    if !quiet && rng.u32(..500) == 0 {
        let mut control = Vec::new();
        record::encode_control(LOG, format!(r#"{{"n":{nth},"type":"gap"}}"#).as_bytes(), &mut control).unwrap();
        return control;
    }
    if !quiet && rng.u32(..500) == 0 {
        let mut leaf = Vec::new();
        record::encode_leaf(LOG, &Hash([rng.u8(..); 32]), &mut leaf);
        return leaf;
    }
    let texts: Vec<String> = ["actor", "session", "tenant", "target", "unique"]
        .iter()
        .map(|name| format!("{name}-{}", if *name == "unique" { rng.u32(..) } else { rng.u32(..200) }))
        .collect();
    let [actor, session, tenant, target, unique] = texts.as_slice() else { unreachable!() };
    let mut draft = Draft::new(*rng.choice(&["user.login", "data.read", "role.grant"]).unwrap())
        .detail("n", rng.u32(..))
        .time_ns(received - 5);
    let some = |rng: &mut fastrand::Rng| !quiet && rng.u32(..4) == 0;
    if quiet || rng.u32(..10) > 0 {
        draft = draft.actor(actor).tenant(tenant);
    }
    if some(rng) {
        draft = draft.actor_name("a \"quoted\" name\n").actor_email(unique);
    }
    if some(rng) {
        draft = draft.session(session).ip("10.0.0.1").host("");
    }
    for _ in 0..if quiet { 0 } else { rng.usize(..4) } {
        draft = draft.target("repo", target);
    }
    if some(rng) {
        draft.targets.push(indelible_format::draft::Target { kind: None, id: None, name: Some("nobody") });
    }
    if some(rng) {
        draft = draft.frameworks(&["sox", "hipaa"]);
    }
    if some(rng) {
        draft = draft.trace(indelible_format::head::Trace { trace_id: [rng.u8(..); 16], span_id: [rng.u8(..); 8] });
    }
    if some(rng) {
        draft = draft.producer(indelible_format::Producer { id: "p", epoch: rng.u64(..3), seq: nth as u64 });
    }
    if some(rng) {
        draft = draft.id(unique);
    }
    if some(rng) {
        draft = draft.idempotency_key(unique);
    }
    if some(rng) {
        draft = draft.raw(indelible_format::draft::Raw { media_type: "text/plain", bytes: unique.as_bytes() });
    }
    event(&draft, received, rng.u64(..1 << 40))
}
