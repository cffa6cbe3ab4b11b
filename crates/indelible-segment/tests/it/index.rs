//! The index finds every term of every row, and is what the rows say.

use indelible_format::event::Field;
use indelible_format::head::Id;
use indelible_format::{Draft, Record, Stamp, encode};
use indelible_segment::{BLOCK_ROWS, IndexField, Segment, pair};

use crate::support::{LOG, mixed, write};

fn terms(record: &Record<'_>) -> Vec<(IndexField, Vec<u8>)> {
    let mut terms = Vec::new();
    let Some(head) = record.head() else { return terms };
    terms.push((IndexField::Tenant, head.tenant.as_bytes().to_vec()));
    terms.push((IndexField::Action, head.action.as_bytes().to_vec()));
    terms.push((IndexField::TenantAction, pair(head.tenant.as_bytes(), head.action.as_bytes())));
    match head.id {
        Id::Uuid(uuid) => terms.push((IndexField::Id, uuid.to_vec())),
        Id::Text(text) => terms.push((IndexField::IdText, text.as_bytes().to_vec())),
    }
    terms.extend(head.trace.map(|trace| (IndexField::TraceId, trace.trace_id.to_vec())));
    for (field, text) in record.spans() {
        let field = match field {
            Field::ActorId => IndexField::ActorId,
            Field::Session => IndexField::Session,
            Field::OriginIp => IndexField::OriginIp,
            Field::TargetId => IndexField::TargetId,
            _ => continue,
        };
        terms.push((field, text.to_vec()));
    }
    terms
}

#[test]
fn every_term_of_every_row_is_found_in_its_block() {
    let records = mixed(12_000, 7);
    let segment = Segment::open(write(300, &records).0).unwrap();
    for (row, record) in (0u32..).zip(&records) {
        for (field, term) in terms(&Record::parse(record).unwrap()) {
            match segment.blocks_of(field, &term).unwrap() {
                Some(blocks) => assert!(blocks.numbers().contains(&(row / BLOCK_ROWS)), "{field:?} of row {row}"),
                None => assert_eq!(field, IndexField::Id, "ids in order need no index"),
            }
        }
    }
    for field in IndexField::ALL.iter().copied().filter(|field| *field != IndexField::Id) {
        let blocks = segment.blocks_of(field, b"nobody says this").unwrap().unwrap();
        assert!(blocks.numbers().is_empty(), "{field:?}");
        assert_eq!(blocks.ranges().len(), 0);
    }
    let all = segment.blocks_of(IndexField::Action, b"user.login").unwrap().unwrap();
    assert_eq!(all.ranges().last(), Some(11 * BLOCK_ROWS..12_000));
    assert_eq!(segment.check_index().unwrap(), []);
}

/// Ids made at random say nothing about where they are: they are indexed.
#[test]
fn ids_in_no_order_are_indexed() {
    let mut rng = fastrand::Rng::with_seed(8);
    let records: Vec<Vec<u8>> = (0..20_000)
        .map(|n| {
            let mut uuid = [0; 16];
            uuid.fill_with(|| rng.u8(..));
            let stamp = Stamp { received: n, uuid, producer: None, tenant: "acme", log: LOG };
            let mut memory = Vec::new();
            let encoded = encode(&Draft::new("a.b"), &stamp, &mut memory).unwrap();
            memory.truncate(encoded.bytes);
            memory
        })
        .collect();
    let segment = Segment::open(write(0, &records).0).unwrap();
    for (row, record) in (0u32..).zip(&records).step_by(7) {
        let (_, id) = terms(&Record::parse(record).unwrap()).into_iter().find(|(field, _)| *field == IndexField::Id).unwrap();
        let blocks = segment.blocks_of(IndexField::Id, &id).unwrap().unwrap();
        assert!(blocks.numbers().contains(&(row / BLOCK_ROWS)) && blocks.numbers().len() < 3);
    }
    assert_eq!(segment.check_index().unwrap(), []);
}

#[test]
fn a_changed_index_is_a_finding_wherever_it_was_changed() {
    let (bytes, summary) = write(0, &mixed(3_000, 9));
    let start = bytes.windows(8).position(|window| window == b"INDLIDX1").unwrap();
    let mut rng = fastrand::Rng::with_seed(10);
    for _ in 0..200 {
        let mut bad = bytes.to_vec();
        bad[start + rng.usize(..summary.index_bytes as usize)] ^= 1 << rng.u8(..8);
        // Its head is read when it is opened, the rest when it is looked at.
        if let Ok(segment) = Segment::open(bad) {
            assert!(!segment.check_index().unwrap().is_empty());
        }
    }
}
