//! Lossless split of a record by path, and its inverse.
//!
//! Rules:
//! - A value at an identity path moves to the identity part whole, with the keys that lead to it.
//! - The objects that lead there stay in the content part too, even if nothing is left in them, so what the identity part has
//!   beside the content part is exactly what moved: merging cannot confuse `{}` with "absent".
//! - A record that is no object is content whole; the identity part of a record without identity is absent.
//!
//! Both parts are canonical because the record is: members are taken in its order and copied byte for byte.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use indelible_format::json::{self, Kind, walk, walk::Malformed};
use indelible_format::limits;

use crate::found::Found;
use crate::plan::{Node, Plan};

/// Splits `record`, which must be canonical JSON. Both buffers are cleared first; `identity` stays empty if nothing moved.
///
/// # Errors
/// The bytes are not canonical JSON. What the buffers then hold is of no use.
///
/// # Cost
/// One pass, one copy; allocates only to grow the buffers.
pub fn split(record: &[u8], plan: &Plan, identity: &mut Vec<u8>, content: &mut Vec<u8>) -> Result<(), Malformed> {
    find_and_split(record, plan, identity, content, &mut Found::new(record))
}

/// [`split`] that notes the plan's fields on its way.
pub(crate) fn find_and_split(
    record: &[u8],
    plan: &Plan,
    identity: &mut Vec<u8>,
    content: &mut Vec<u8>,
    found: &mut Found<'_>,
) -> Result<(), Malformed> {
    identity.clear();
    content.clear();
    if record.first() != Some(&b'{') {
        content.extend_from_slice(record);
        return Ok(());
    }
    content.reserve(record.len());
    Splitter { record, identity, content, found }.object(plan.root(), 0..record.len())?;
    Ok(())
}

struct Splitter<'s, 'f> {
    record: &'s [u8],
    identity: &'s mut Vec<u8>,
    content: &'s mut Vec<u8>,
    found: &'s mut Found<'f>,
}

impl Splitter<'_, '_> {
    /// Splits the object at `object`; says whether anything in it moved. Recurses as deep as the plan's paths are long.
    fn object(&mut self, node: &Node, object: Range<usize>) -> Result<bool, Malformed> {
        let record = self.record;
        let mut moved = false;
        let mut kept = Kept { run: 0..0, separator: b'{' };
        for member in walk::members_at(record, object) {
            let member = member?;
            let start = with_key(&member).start;
            let Some(child) = node.child(member.key) else {
                kept.member(start..member.value.end, record, self.content);
                continue;
            };
            if let Some(slot) = child.slot {
                self.found.note(slot, &member.value, member.kind);
            }
            if child.identity {
                self.identity.push(if moved { b',' } else { b'{' });
                moved = true;
                self.identity.extend_from_slice(slice(record, start..member.value.end));
                self.find_inside(child, member.kind, member.value)?;
            } else if child.moves_below && member.kind == Kind::Object {
                kept.between(record, self.content);
                let key = slice(record, start..member.value.start);
                self.content.extend_from_slice(key);
                let before = self.identity.len();
                self.identity.push(if moved { b',' } else { b'{' });
                self.identity.extend_from_slice(key);
                if self.object(child, member.value)? {
                    moved = true;
                } else {
                    self.identity.truncate(before);
                }
            } else {
                kept.member(start..member.value.end, record, self.content);
                self.find_inside(child, member.kind, member.value)?;
            }
        }
        kept.flush(record, self.content);
        self.content.extend_from_slice(if kept.separator == b'{' { b"{}" } else { b"}" });
        if moved {
            self.identity.push(b'}');
        }
        Ok(moved)
    }

    /// Notes fields in a value that is copied whole.
    fn find_inside(&mut self, node: &Node, kind: Kind, object: Range<usize>) -> Result<(), Malformed> {
        if kind != Kind::Object || !node.has_children() {
            return Ok(());
        }
        for member in walk::members_at(self.record, object) {
            let member = member?;
            let Some(child) = node.child(member.key) else { continue };
            if let Some(slot) = child.slot {
                self.found.note(slot, &member.value, member.kind);
            }
            self.find_inside(child, member.kind, member.value)?;
        }
        Ok(())
    }
}

/// Members of one object that stay in the content part; neighbours are copied at once.
struct Kept {
    run: Range<usize>,
    /// What goes before the next run.
    separator: u8,
}

impl Kept {
    #[inline]
    fn member(&mut self, member: Range<usize>, record: &[u8], content: &mut Vec<u8>) {
        // Neighbours have one comma between them.
        if !self.run.is_empty() && self.run.end + 1 == member.start {
            self.run.end = member.end;
            return;
        }
        self.flush(record, content);
        self.run = member;
    }

    /// Ends the run, and says where the next member goes, which comes from elsewhere.
    fn between(&mut self, record: &[u8], content: &mut Vec<u8>) {
        self.flush(record, content);
        content.push(self.separator);
        self.separator = b',';
    }

    fn flush(&mut self, record: &[u8], content: &mut Vec<u8>) {
        if self.run.is_empty() {
            return;
        }
        content.push(self.separator);
        self.separator = b',';
        content.extend_from_slice(slice(record, self.run.clone()));
        self.run = 0..0;
    }
}

#[inline]
fn slice(bytes: &[u8], range: Range<usize>) -> &[u8] {
    bytes.get(range).unwrap_or_default()
}

/// Two parts that are not the parts of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// One of them is not canonical JSON.
    #[error("a part is {0}")]
    Malformed(#[from] Malformed),
    /// The same path has a value in both.
    #[error("both parts have a value at the same path")]
    Conflict,
    /// Nested deeper than an event can be.
    #[error("the parts are nested deeper than {} levels", limits::DEPTH_MAX)]
    TooDeep,
}

/// Appends the record that `identity` and `content` are the parts of, in canonical form, to `out`.
///
/// # Errors
/// The parts do not belong together, see [`MergeError`]; `out` is then as it was.
///
/// # Cost
/// One pass over both parts.
pub fn merge(identity: Option<&[u8]>, content: &[u8], out: &mut Vec<u8>) -> Result<(), MergeError> {
    let Some(identity) = identity.filter(|identity| !identity.is_empty()) else {
        out.extend_from_slice(content);
        return Ok(());
    };
    let before = out.len();
    let merged = merge_objects(identity, content, out, 0);
    if merged.is_err() {
        out.truncate(before);
    }
    merged
}

fn merge_objects(identity: &[u8], content: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), MergeError> {
    if depth > limits::DEPTH_MAX {
        return Err(MergeError::TooDeep);
    }
    if identity.first() != Some(&b'{') || content.first() != Some(&b'{') {
        return Err(MergeError::Conflict);
    }
    let mut mine = walk::members(identity);
    let mut theirs = walk::members(content);
    let (mut left, mut right) = (mine.next().transpose()?, theirs.next().transpose()?);
    // Nearly all members are in the content part: neighbours are copied at once.
    let mut kept = Kept { run: 0..0, separator: b'{' };
    loop {
        let order = match (&left, &right) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => compare(left.key, right.key)?,
        };
        match (order, &left, &right) {
            (Ordering::Greater, _, Some(right)) => kept.member(with_key(right), content, out),
            (Ordering::Less, Some(left), _) => {
                kept.between(content, out);
                out.extend_from_slice(slice(identity, with_key(left)));
            }
            (Ordering::Equal, Some(left), Some(right)) => {
                kept.between(content, out);
                out.extend_from_slice(slice(identity, with_key(left).start..left.value.start));
                let (left, right) = (slice(identity, left.value.clone()), slice(content, right.value.clone()));
                merge_objects(left, right, out, depth + 1)?;
            }
            _ => {}
        }
        if order.is_le() {
            left = mine.next().transpose()?;
        }
        if order.is_ge() {
            right = theirs.next().transpose()?;
        }
    }
    kept.flush(content, out);
    out.extend_from_slice(if kept.separator == b'{' { b"{}" } else { b"}" });
    Ok(())
}

/// Where a member stands from the quote before its key.
const fn with_key(member: &walk::Member<'_>) -> Range<usize> {
    let quotes_and_colon = 3;
    member.value.start.saturating_sub(member.key.len() + quotes_and_colon)..member.value.end
}

/// The canonical order of two keys that are still escaped.
fn compare(a: &[u8], b: &[u8]) -> Result<Ordering, Malformed> {
    let plain = |key: &[u8]| key.iter().all(|byte| byte.is_ascii() && *byte != b'\\');
    if plain(a) && plain(b) {
        return Ok(a.cmp(b));
    }
    Ok(json::compare_keys(&key_text(a)?, &key_text(b)?))
}

fn key_text(key: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    std::str::from_utf8(key).map(json::unescape).map_err(|_| Malformed { offset: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(record: &str, paths: &[&[&str]]) -> (String, String) {
        let plan = Plan::new(paths.iter().map(|path| path.iter()));
        let (mut identity, mut content, mut merged) = (Vec::new(), Vec::new(), Vec::new());
        split(record.as_bytes(), &plan, &mut identity, &mut content).unwrap();
        merge(Some(&identity), &content, &mut merged).unwrap();
        assert_eq!(String::from_utf8(merged).unwrap(), record);
        (String::from_utf8(identity).unwrap(), String::from_utf8(content).unwrap())
    }

    #[test]
    fn an_object_at_an_identity_path_moves_whole_and_parents_stay_behind() {
        let record = r#"{"a":{"b":{},"c":1},"d":{"e":{"f":null}},"g":[]}"#;
        let (identity, content) = parts(record, &[&["a", "b"], &["d", "e"], &["d", "e", "f"]]);
        assert_eq!(identity, r#"{"a":{"b":{}},"d":{"e":{"f":null}}}"#);
        assert_eq!(content, r#"{"a":{"c":1},"d":{},"g":[]}"#);
    }

    #[test]
    fn a_path_that_leads_nowhere_moves_nothing() {
        for record in [r#"{"a":{}}"#, r#"{"a":1}"#, r#"{"a":[{"b":1}]}"#, "{}", "[]", "7", r#""a""#, "null"] {
            assert_eq!(parts(record, &[&["a", "b"]]), (String::new(), record.to_owned()));
        }
    }

    #[test]
    fn the_first_the_last_and_every_member_may_move() {
        let record = r#"{"a":1,"b":2,"c":3}"#;
        assert_eq!(parts(record, &[&["a"]]).1, r#"{"b":2,"c":3}"#);
        assert_eq!(parts(record, &[&["b"]]).1, r#"{"a":1,"c":3}"#);
        assert_eq!(parts(record, &[&["c"]]).1, r#"{"a":1,"b":2}"#);
        assert_eq!(parts(record, &[&["a"], &["b"], &["c"]]), (record.to_owned(), "{}".to_owned()));
    }

    #[test]
    fn escaped_and_foreign_keys_are_found_by_what_they_stand_for() {
        let record = r#"{"\"":1,"A":2,"a\nb":3,"é":4,"":5,"😀":6}"#;
        let mut canonical = Vec::new();
        json::canonicalize(record.as_bytes(), &json::Limits::default(), &mut canonical).unwrap();
        let record = String::from_utf8(canonical).unwrap();
        assert_eq!(parts(&record, &[&["A"], &["a\nb"], &["\""]]).0, r#"{"\"":1,"A":2,"a\nb":3}"#);
        assert_eq!(parts(&record, &[&["😀"], &["é"], &["A"]]).0, r#"{"A":2,"é":4,"😀":6}"#);
    }

    #[test]
    fn parts_of_different_records_do_not_merge() {
        let mut out = b"kept".to_vec();
        let conflict = Err(MergeError::Conflict);
        assert_eq!(merge(Some(br#"{"a":1}"#), br#"{"a":1}"#, &mut out), conflict);
        assert_eq!(merge(Some(br#"{"a":{}}"#), br#"{"a":1}"#, &mut out), conflict);
        assert_eq!(merge(Some(br#"{"a":1}"#), b"[]", &mut out), conflict);
        assert!(matches!(merge(Some(br#"{"a":"#), b"{}", &mut out), Err(MergeError::Malformed(_))));
        let deep = r#"{"a":"#.repeat(200_000) + "1" + &"}".repeat(200_000);
        assert_eq!(merge(Some(deep.as_bytes()), deep.as_bytes(), &mut out), Err(MergeError::TooDeep));
        assert_eq!(out, b"kept");
    }
}
