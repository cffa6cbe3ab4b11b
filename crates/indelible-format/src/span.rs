//! Spans derived from canonical bytes: the rule of docs/format/event.md, for everyone who did not write the record himself.

use std::ops::Range;

use smallvec::SmallVec;

use crate::event::Field;
use crate::json::Kind;
use crate::json::canonical::{Checker, Cursor, NotCanonical};
use crate::json::walk::{self, Malformed};
use crate::limits::SPANNED_TARGETS_MAX;

/// Spans of an event: (field, offset in its group's value, length).
pub type Spans = SmallVec<[(Field, u32, u32); 16]>;

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
                (b"actor", Kind::Object) => texts(identity, member.value, actor_field, spans)?,
                (b"origin", Kind::Object) => texts(identity, member.value, origin_field, spans)?,
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
                    let objects =
                        elements.filter(|element| element.as_ref().map_or(true, |element| element.kind == Kind::Object));
                    for element in objects.take(SPANNED_TARGETS_MAX) {
                        let range = element?.value;
                        push(spans, Field::Target, range.start, range.end);
                        texts(content, range, target_field, spans)?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Checks that an identity and a content value are canonical JSON objects, and derives their spans in the same pass: what
/// [`Checker::is_canonical`] and then [`derive()`] would say.
///
/// # Errors
/// [`NotCanonical`] when either is not a canonical object; `spans` is then empty.
///
/// # Cost
/// One pass: about a third of a parse and [`derive()`]. Allocates only for more than 16 spans and for keys with escapes.
pub fn derive_checked(
    checker: &mut Checker,
    identity: Option<&[u8]>,
    content: Option<&[u8]>,
    spans: &mut Spans,
) -> Result<(), NotCanonical> {
    spans.clear();
    let checked = identity_checked(checker, identity, spans).and_then(|()| content_checked(checker, content, spans));
    if checked.is_err() {
        spans.clear();
    }
    checked
}

fn identity_checked(checker: &mut Checker, identity: Option<&[u8]>, spans: &mut Spans) -> Result<(), NotCanonical> {
    let Some(identity) = identity else { return Ok(()) };
    let mut cursor = checker.read(identity)?;
    let mut next = cursor.first_key()?;
    while let Some(key) = next {
        match (cursor.raw(key), cursor.kind()) {
            (b"actor", Some(Kind::Object)) => texts_checked(&mut cursor, actor_field, spans)?,
            (b"origin", Some(Kind::Object)) => texts_checked(&mut cursor, origin_field, spans)?,
            (name, _) => {
                let (value, kind) = cursor.value()?;
                match (name, kind) {
                    (b"details", _) => push(spans, Field::IdentityDetails, value.start, value.end),
                    (b"session", Kind::String) => push(spans, Field::Session, value.start + 1, value.end - 1),
                    _ => {}
                }
            }
        }
        next = cursor.next_key(key)?;
    }
    cursor.end()
}

fn content_checked(checker: &mut Checker, content: Option<&[u8]>, spans: &mut Spans) -> Result<(), NotCanonical> {
    let Some(content) = content else { return Ok(()) };
    let mut cursor = checker.read(content)?;
    let mut next = cursor.first_key()?;
    while let Some(key) = next {
        match (cursor.raw(key), cursor.kind()) {
            (b"targets", Some(Kind::Array)) => targets_checked(&mut cursor, spans)?,
            (name, _) => {
                let (value, _) = cursor.value()?;
                if name == b"details" {
                    push(spans, Field::Details, value.start, value.end);
                }
            }
        }
        next = cursor.next_key(key)?;
    }
    cursor.end()
}

#[inline(always)]
fn targets_checked(cursor: &mut Cursor<'_, '_>, spans: &mut Spans) -> Result<(), NotCanonical> {
    let mut count = 0;
    let mut more = cursor.first_element()?;
    while more {
        if cursor.kind() == Some(Kind::Object) && count < SPANNED_TARGETS_MAX {
            count += 1;
            // Its span stands before those of its members and is as long as they make it.
            let (start, place) = (cursor.offset(), spans.len());
            push(spans, Field::Target, start, start);
            texts_checked(cursor, target_field, spans)?;
            if let Some(target) = spans.get_mut(place) {
                *target = span(Field::Target, start, cursor.offset());
            }
        } else {
            cursor.value()?;
        }
        more = cursor.next_element()?;
    }
    Ok(())
}

/// Spans the string members of `object` that `field_of` knows.
fn texts(bytes: &[u8], object: Range<usize>, field_of: fn(&[u8]) -> Option<Field>, spans: &mut Spans) -> Result<(), Malformed> {
    for member in walk::members_at(bytes, object) {
        let member = member?;
        if member.kind == Kind::String
            && let Some(field) = field_of(member.key)
        {
            push(spans, field, member.value.start + 1, member.value.end - 1);
        }
    }
    Ok(())
}

/// [`texts`] of the object the cursor is at.
#[inline(always)]
fn texts_checked(
    cursor: &mut Cursor<'_, '_>,
    field_of: impl Fn(&[u8]) -> Option<Field>,
    spans: &mut Spans,
) -> Result<(), NotCanonical> {
    let mut next = cursor.first_key()?;
    while let Some(key) = next {
        let (value, kind) = cursor.value()?;
        if kind == Kind::String
            && let Some(field) = field_of(cursor.raw(key))
        {
            push(spans, field, value.start + 1, value.end - 1);
        }
        next = cursor.next_key(key)?;
    }
    Ok(())
}

const fn actor_field(key: &[u8]) -> Option<Field> {
    match key {
        b"email" => Some(Field::ActorEmail),
        b"id" => Some(Field::ActorId),
        b"name" => Some(Field::ActorName),
        b"type" => Some(Field::ActorType),
        _ => None,
    }
}

const fn origin_field(key: &[u8]) -> Option<Field> {
    match key {
        b"host" => Some(Field::OriginHost),
        b"ip" => Some(Field::OriginIp),
        b"user_agent" => Some(Field::OriginUserAgent),
        _ => None,
    }
}

const fn target_field(key: &[u8]) -> Option<Field> {
    match key {
        b"id" => Some(Field::TargetId),
        b"name" => Some(Field::TargetName),
        b"type" => Some(Field::TargetType),
        _ => None,
    }
}

#[inline(always)]
fn push(spans: &mut Spans, field: Field, from: usize, to: usize) {
    spans.push(span(field, from, to));
}

#[inline(always)]
fn span(field: Field, from: usize, to: usize) -> (Field, u32, u32) {
    let offset = u32::try_from(from).unwrap_or(u32::MAX);
    let length = u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX);
    (field, offset, length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::json::{Limits, canonicalize, is_canonical};

    fn canonical(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        canonicalize(value.to_string().as_bytes(), &Limits::default(), &mut out).unwrap();
        out
    }

    /// The words the rule knows, where it knows them and elsewhere, with values of the right kind and of others.
    fn any_group() -> impl Strategy<Value = Value> {
        let key = prop::sample::select(vec![
            "actor",
            "details",
            "email",
            "host",
            "id",
            "ip",
            "name",
            "origin",
            "session",
            "targets",
            "type",
            "user_agent",
            "é",
            "\n",
        ]);
        let leaf = prop_oneof![
            3 => "[a-z\"\n/é]{0,70}".prop_map(Value::from),
            1 => Just(Value::Null),
            1 => any::<i32>().prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 60, 6, move |inner| {
            prop_oneof![
                1 => prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                2 => object(key.clone(), inner),
            ]
        });
        let top = prop::sample::select(vec!["actor", "details", "origin", "session", "targets", "zone"]);
        prop_oneof![9 => object(top, value.clone()), 1 => value]
    }

    fn object(key: impl Strategy<Value = &'static str>, value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        prop::collection::btree_map(key, value, 0..8)
            .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>())
    }

    /// Both derivations, and whether the bytes are canonical objects.
    fn assert_twins_agree(checker: &mut Checker, identity: Option<&[u8]>, content: Option<&[u8]>) {
        let group = |group: &[u8]| group.first() == Some(&b'{') && is_canonical(group, &Limits::default());
        let fine = identity.is_none_or(group) && content.is_none_or(group);
        let mut spans = Spans::from_elem((Field::Session, 7, 7), 3);
        let result = derive_checked(checker, identity, content, &mut spans);
        assert_eq!(result.is_ok(), fine, "{identity:?} {content:?}");
        let mut expected = Spans::new();
        if fine {
            derive(identity, content, &mut expected).unwrap();
        }
        assert_eq!(spans, expected);
    }

    proptest! {
        #[test]
        fn checked_spans_are_the_spans(identity in any_group(), content in any_group(), have in any::<(bool, bool)>()) {
            let (identity, content) = (canonical(&identity), canonical(&content));
            assert_twins_agree(&mut Checker::new(), have.0.then_some(&identity[..]), have.1.then_some(&content[..]));
        }

        #[test]
        fn altered_groups_are_refused_or_respanned(group in any_group(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
            let mut bytes = canonical(&group);
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, if byte & 1 == 0 { b' ' } else { byte }),
                _ => bytes.truncate(at),
            }
            let mut checker = Checker::new();
            assert_twins_agree(&mut checker, Some(&bytes), None);
            assert_twins_agree(&mut checker, None, Some(&bytes));
            assert_twins_agree(&mut checker, Some(b"{}"), Some(&bytes));
        }
    }

    #[test]
    fn every_field_is_spanned_where_it_stands() {
        let identity = canonical(&json!({
            "actor": {"email": "a@b", "id": "u-1", "name": "A\"B", "type": "user", "x": "no", "extra": 1},
            "details": [1, {"actor": {"id": "no"}}],
            "origin": {"host": "h", "ip": "10.0.0.1", "user_agent": "curl", "id": "no"},
            "session": "s-1",
        }));
        let content = canonical(&json!({
            "details": null,
            "session": "no",
            "targets": ["no", {"id": "t-1", "name": "T", "type": "doc"}, {}, {"id": 1, "type": ""}],
        }));
        let expected = [
            (Field::ActorEmail, "a@b"),
            (Field::ActorId, "u-1"),
            (Field::ActorName, "A\\\"B"),
            (Field::ActorType, "user"),
            (Field::IdentityDetails, r#"[1,{"actor":{"id":"no"}}]"#),
            (Field::OriginHost, "h"),
            (Field::OriginIp, "10.0.0.1"),
            (Field::OriginUserAgent, "curl"),
            (Field::Session, "s-1"),
            (Field::Details, "null"),
            (Field::Target, r#"{"id":"t-1","name":"T","type":"doc"}"#),
            (Field::TargetId, "t-1"),
            (Field::TargetName, "T"),
            (Field::TargetType, "doc"),
            (Field::Target, "{}"),
            (Field::Target, r#"{"id":1,"type":""}"#),
            (Field::TargetType, ""),
        ];
        let mut spans = Spans::new();
        derive_checked(&mut Checker::new(), Some(&identity), Some(&content), &mut spans).unwrap();
        let found: Vec<_> = spans
            .iter()
            .map(|(field, offset, length)| {
                let group = if field.byte() < 16 { &identity } else { &content };
                let range = *offset as usize..(*offset + *length) as usize;
                (*field, std::str::from_utf8(&group[range]).unwrap())
            })
            .collect();
        assert_eq!(found, expected);
        assert_twins_agree(&mut Checker::new(), Some(&identity), Some(&content));
    }

    #[test]
    fn only_the_first_targets_are_spanned_but_all_are_checked() {
        let mut targets = vec![json!(0)];
        targets.extend((0..100).map(|id| json!({"id": id.to_string()})));
        let content = canonical(&json!({"details": 1, "targets": targets}));
        let mut spans = Spans::new();
        let mut checker = Checker::new();
        derive_checked(&mut checker, None, Some(&content), &mut spans).unwrap();
        assert_eq!(spans.len(), 1 + 2 * SPANNED_TARGETS_MAX);
        assert_twins_agree(&mut checker, None, Some(&content));
        let spoiled = String::from_utf8(content).unwrap().replace(r#""98""#, r#"01"#).into_bytes();
        assert!(derive_checked(&mut checker, None, Some(&spoiled), &mut spans).is_err());
        assert!(spans.is_empty());
    }

    #[test]
    fn groups_are_objects() {
        let mut checker = Checker::new();
        assert_twins_agree(&mut checker, None, None);
        for group in ["", "{}", "[]", "1", "\"actor\"", "{} ", " {}", "{}{}", "{\"details\":{}}", "{\"actor\":[]}", "null"] {
            assert_twins_agree(&mut checker, Some(group.as_bytes()), None);
            assert_twins_agree(&mut checker, None, Some(group.as_bytes()));
        }
        let deep = |depth| format!("{{\"details\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        assert_twins_agree(&mut checker, Some(&deep(127)), Some(&deep(128)));
        assert_twins_agree(&mut checker, Some(&deep(127)), Some(&deep(127)));
    }
}
