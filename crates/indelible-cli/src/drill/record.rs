//! One record taken apart, to be changed and put together again: what an attacker with write access can do to a stored event.

use indelible::format::leaf;
use indelible::format::record::{Body, Idempotency, Kind, encode_control};
use indelible::format::span::{self, Spans};
use indelible::{Hash, Record, Tag};

/// Where `tenant_seq`, `producer_epoch` and `producer_seq` stand in a head.
const TENANT_SEQ: std::ops::Range<usize> = 8..16;
const PRODUCER_EPOCH: std::ops::Range<usize> = 40..48;
const PRODUCER_SEQ: std::ops::Range<usize> = 48..56;
const OUTCOME: usize = 1;

/// The parts of an event record.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) log: u32,
    /// Tag, form and stored body of each group.
    pub(crate) groups: Vec<(Tag, u8, Vec<u8>)>,
    pub(crate) idempotency: Option<Idempotency>,
    /// Field, offset, length.
    pub(crate) spans: Vec<(u8, u32, u32)>,
}

impl Parts {
    /// Takes a record apart; `None`: it is no event.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let record = Record::parse(bytes).filter(|record| record.kind() == Kind::Event)?;
        let groups = record.groups().map(|(tag, body)| match body {
            Body::Value(value) => (tag, 0, value.to_vec()),
            Body::Salted(salt, value) => (tag, 1, [salt.as_slice(), value].concat()),
            Body::Withheld(hash) => (tag, 2, hash.0.to_vec()),
        });
        let spans = record.span_offsets().map(|(field, offset, length)| (field.byte(), offset, length));
        Some(Self { log: record.log(), groups: groups.collect(), idempotency: record.idempotency(), spans: spans.collect() })
    }

    /// Puts it together again; `None`: it would be longer than a record can be.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut out = vec![0; 4];
        let counts = [u8::try_from(self.groups.len()).ok()?, u8::try_from(self.spans.len()).ok()?];
        out.extend_from_slice(&[1, u8::from(self.idempotency.is_some())]);
        out.extend_from_slice(&counts);
        out.extend_from_slice(&self.log.to_le_bytes());
        for (tag, form, body) in &self.groups {
            out.extend_from_slice(&[tag.0, *form]);
            out.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
        }
        if let Some(digests) = &self.idempotency {
            out.extend_from_slice(&digests.key);
            out.extend_from_slice(&digests.statement);
        }
        self.groups.iter().for_each(|(_, _, body)| out.extend_from_slice(body));
        for (field, offset, length) in &self.spans {
            out.push(*field);
            put_varint(&mut out, *offset);
            put_varint(&mut out, *length);
        }
        let length = u32::try_from(out.len()).ok()?.to_le_bytes();
        out.get_mut(..4)?.copy_from_slice(&length);
        Some(out)
    }

    /// The stored value of a group that is not withheld.
    pub(crate) fn value_mut(&mut self, tag: Tag) -> Option<&mut Vec<u8>> {
        self.groups.iter_mut().find(|(found, form, _)| *found == tag && *form == 0).map(|(_, _, body)| body)
    }

    /// Makes the spans those of the values, as whoever changes a value would.
    pub(crate) fn settle_spans(&mut self) {
        let value = |tag: Tag| {
            self.groups.iter().find(|(found, form, _)| *found == tag && *form == 0).map(|(_, _, body)| body.as_slice())
        };
        let mut spans = Spans::new();
        if span::derive(value(Tag::IDENTITY), value(Tag::CONTENT), &mut spans).is_ok() {
            self.spans = spans.iter().map(|(field, offset, length)| (field.byte(), *offset, *length)).collect();
        }
    }

    fn head_field(&mut self, place: std::ops::Range<usize>) -> Option<&mut [u8]> {
        self.value_mut(Tag::HEAD)?.get_mut(place)
    }

    pub(crate) fn set_tenant_seq(&mut self, number: u64) -> Option<()> {
        self.head_field(TENANT_SEQ)?.copy_from_slice(&number.to_le_bytes());
        Some(())
    }

    pub(crate) fn set_producer(&mut self, epoch: u64, seq: u64) -> Option<()> {
        self.head_field(PRODUCER_EPOCH)?.copy_from_slice(&epoch.to_le_bytes());
        self.head_field(PRODUCER_SEQ)?.copy_from_slice(&seq.to_le_bytes());
        Some(())
    }

    /// A failure becomes a success, and anything else a failure.
    pub(crate) fn turn_outcome(&mut self) -> Option<()> {
        let outcome = self.value_mut(Tag::HEAD)?.get_mut(OUTCOME)?;
        *outcome = if *outcome == 2 { 1 } else { 2 };
        Some(())
    }

    /// Puts the commitment of a group in its value's place; its leaf stays the same.
    pub(crate) fn withhold(&mut self, tag: Tag, salt: &[u8; 16]) -> Option<()> {
        let (_, form, body) = self.groups.iter_mut().find(|(found, form, _)| *found == tag && *form == 0)?;
        *body = leaf::commitment(tag, salt, body).0.to_vec();
        *form = 2;
        self.settle_spans();
        Some(())
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A control record of this log.
pub(crate) fn control(log: u32, json: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    encode_control(log, json, &mut out)?;
    Some(out)
}

/// A record that holds only the leaf hash of what was there.
pub(crate) fn leaf_record(log: u32, hash: &Hash) -> Vec<u8> {
    let mut out = 44u32.to_le_bytes().to_vec();
    out.extend_from_slice(&[3, 0, 0, 0]);
    out.extend_from_slice(&log.to_le_bytes());
    out.extend_from_slice(&hash.0);
    out
}
