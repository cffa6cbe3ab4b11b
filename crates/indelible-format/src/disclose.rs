//! A record as it is handed to somebody who asks for it: some groups withheld, nothing else that would tell what is in them.
//!
//! What it does not hold: the digests of the idempotency key, one of which is over everything that the caller said; and the spans of
//! groups that are withheld, which tell how long their fields are.

use crate::event::Tag;
use crate::record::{Body, GROUP_ENTRY_BYTES, HEADER_BYTES, KIND_EVENT, Kind, Record};

/// Appends the record with the bodies that `body` gives for its groups. Control and leaf records are copied.
///
/// It reads back as a record: [`Record::parse`]. `body` may only withhold a group, salt it, or leave it as it is.
///
/// # Errors
/// `None`: it would be longer than a record can be. `out` is then as it was.
///
/// **Cost**: one copy.
pub fn disclose<'r>(record: &Record<'r>, out: &mut Vec<u8>, mut body: impl FnMut(Tag, Body<'r>) -> Body<'r>) -> Option<()> {
    if record.kind() != Kind::Event {
        out.extend_from_slice(record.bytes());
        return Some(());
    }
    let groups: Vec<(Tag, Body<'r>)> = record.groups().map(|(tag, known)| (tag, body(tag, known))).collect();
    let mut spans = Vec::new();
    let mut spans_n = 0_u8;
    for (field, offset, length) in record.span_offsets() {
        let shown = groups.iter().any(|(tag, body)| *tag == field.tag() && body.value().is_some());
        if shown {
            spans.push(field.byte());
            put_varint(&mut spans, offset);
            put_varint(&mut spans, length);
            spans_n = spans_n.checked_add(1)?;
        }
    }
    let bodies: usize = groups.iter().map(|(_, body)| length_of(body)).sum();
    let length = HEADER_BYTES + groups.len() * GROUP_ENTRY_BYTES + bodies + spans.len();
    let (length, groups_n) = (u32::try_from(length).ok()?, u8::try_from(groups.len()).ok()?);
    out.reserve(length as usize);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[KIND_EVENT, 0, groups_n, spans_n]);
    out.extend_from_slice(&record.log().to_le_bytes());
    for (tag, body) in &groups {
        // They are parts of `length`, which fits.
        let length = u32::try_from(length_of(body)).unwrap_or(u32::MAX);
        out.extend_from_slice(&[tag.0, form_of(body)]);
        out.extend_from_slice(&length.to_le_bytes());
    }
    for (_, body) in &groups {
        match body {
            Body::Value(value) => out.extend_from_slice(value),
            Body::Salted(salt, value) => {
                out.extend_from_slice(salt);
                out.extend_from_slice(value);
            }
            Body::Withheld(hash) => out.extend_from_slice(&hash.0),
        }
    }
    out.extend_from_slice(&spans);
    Some(())
}

const fn form_of(body: &Body<'_>) -> u8 {
    match body {
        Body::Value(_) => 0,
        Body::Salted(..) => 1,
        Body::Withheld(_) => 2,
    }
}

const fn length_of(body: &Body<'_>) -> usize {
    match body {
        Body::Value(value) => value.len(),
        Body::Salted(salt, value) => salt.len() + value.len(),
        Body::Withheld(hash) => hash.0.len(),
    }
}

/// Minimal unsigned LEB128.
fn put_varint(out: &mut Vec<u8>, mut number: u32) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;
    use crate::{Draft, Field, Stamp, encode};

    fn encoded() -> Vec<u8> {
        let mut record = Vec::new();
        let stamp = Stamp { received: 7, uuid: [9; 16], producer: None, tenant: "default", log: 1 };
        let draft = Draft::new("invoice.approve").actor("alice").ip("203.0.113.9").target("invoice", "17");
        let draft = draft.detail("amount", 7).idempotency_key("once");
        encode(&draft, &stamp, &mut record).unwrap();
        record
    }

    #[test]
    fn what_is_shown_reads_back_and_what_is_withheld_leaves_no_trace() {
        let bytes = encoded();
        let record = Record::parse(&bytes).unwrap();
        assert!(record.idempotency().is_some());
        let mut whole = Vec::new();
        disclose(&record, &mut whole, |_, body| body).unwrap();
        let whole = Record::parse(&whole).unwrap();
        assert!(whole.idempotency().is_none());
        assert!(whole.groups().eq(record.groups()) && whole.spans().eq(record.spans()));
        assert_eq!(whole.head().unwrap().action, "invoice.approve");

        let mut part = Vec::new();
        disclose(&record, &mut part, |tag, body| if tag == Tag::IDENTITY { Body::Withheld(Hash([7; 32])) } else { body })
            .unwrap();
        assert!(!part.windows(5).any(|window| window == b"alice"));
        let part = Record::parse(&part).unwrap();
        assert_eq!(part.group(Tag::IDENTITY), Some(Body::Withheld(Hash([7; 32]))));
        assert!(part.span_offsets().all(|(field, ..)| field.tag() == Tag::CONTENT));
        assert_eq!(part.field(Field::TargetId), record.field(Field::TargetId));
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 21, u32::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(crate::reader::Reader::new(&out).varint(), Some(number));
        }
    }
}
