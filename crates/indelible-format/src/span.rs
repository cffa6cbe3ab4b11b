//! Spans derived from canonical bytes: the rule of docs/format/event.md, for everyone who did not write the record himself.

use std::ops::Range;

use smallvec::SmallVec;

use crate::event::Field;
use crate::json::Kind;
use crate::json::walk::{self, Malformed};
use crate::limits::SPANNED_TARGETS_MAX;

/// Spans of an event: (field, offset in its group's value, length).
pub type Spans = SmallVec<[(Field, u32, u32); 16]>;

const ACTOR: &[(&[u8], Field)] =
    &[(b"email", Field::ActorEmail), (b"id", Field::ActorId), (b"name", Field::ActorName), (b"type", Field::ActorType)];
const ORIGIN: &[(&[u8], Field)] =
    &[(b"host", Field::OriginHost), (b"ip", Field::OriginIp), (b"user_agent", Field::OriginUserAgent)];
const TARGET: &[(&[u8], Field)] = &[(b"id", Field::TargetId), (b"name", Field::TargetName), (b"type", Field::TargetType)];

/// Derives the spans of an identity and a content value.
///
/// # Errors
/// [`Malformed`] when the bytes are not JSON objects. They need not be canonical for this to be safe.
pub fn derive(identity: Option<&[u8]>, content: Option<&[u8]>, spans: &mut Spans) -> Result<(), Malformed> {
    spans.clear();
    if let Some(identity) = identity {
        for member in walk::members(identity) {
            let member = member?;
            match (member.key, member.kind) {
                (b"actor", Kind::Object) => texts(identity, member.value, ACTOR, spans)?,
                (b"origin", Kind::Object) => texts(identity, member.value, ORIGIN, spans)?,
                (b"details", _) => push(spans, Field::IdentityDetails, member.value.start, member.value.end),
                (b"session", Kind::String) => push(spans, Field::Session, member.value.start + 1, member.value.end - 1),
                _ => {}
            }
        }
    }
    if let Some(content) = content {
        for member in walk::members(content) {
            let member = member?;
            match (member.key, member.kind) {
                (b"details", _) => push(spans, Field::Details, member.value.start, member.value.end),
                (b"targets", Kind::Array) => {
                    let elements = walk::elements_at(content, member.value);
                    let objects = elements.filter(|element| element.as_ref().map_or(true, |element| element.kind == Kind::Object));
                    for element in objects.take(SPANNED_TARGETS_MAX) {
                        let range = element?.value;
                        push(spans, Field::Target, range.start, range.end);
                        texts(content, range, TARGET, spans)?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Spans the string members of `object` that `wanted` names.
fn texts(bytes: &[u8], object: Range<usize>, wanted: &[(&[u8], Field)], spans: &mut Spans) -> Result<(), Malformed> {
    for member in walk::members_at(bytes, object) {
        let member = member?;
        if member.kind == Kind::String
            && let Some((_, field)) = wanted.iter().find(|(key, _)| *key == member.key)
        {
            push(spans, *field, member.value.start + 1, member.value.end - 1);
        }
    }
    Ok(())
}

fn push(spans: &mut Spans, field: Field, from: usize, to: usize) {
    let offset = u32::try_from(from).unwrap_or(u32::MAX);
    let length = u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX);
    spans.push((field, offset, length));
}
