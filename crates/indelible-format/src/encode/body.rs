//! The groups of a record as canonical JSON, in the canonical order of keys, and their spans.

use std::fmt::Write as _;

use smallvec::SmallVec;

use super::{Rejection, within};
use crate::draft::{Canonical, Details, Draft, Target, Value};
use crate::event::Field;
use crate::json;
use crate::limits;
use crate::writer::Writer;

/// Head, groups and spans.
///
/// Unless `ESCAPED`, texts are copied as they are. Whoever does that must see afterwards that it was right: the groups then hold
/// `quotes` quotes, all of them syntax, no backslash and no control character.
pub(super) struct Body<'o, const ESCAPED: bool> {
    pub(super) out: Writer<'o>,
    pub(super) spans: Spans<'o>,
    pub(super) quotes: usize,
    /// Whether texts could be copied as they are, as far as is known without looking.
    pub(super) plain: bool,
    /// Where the group begins that is being written.
    base: usize,
}

impl<'o, const ESCAPED: bool> Body<'o, ESCAPED> {
    #[inline(always)]
    pub(super) fn new(out: &'o mut [u8], spans: &'o mut [u8; SPANS_BYTES_MAX]) -> Self {
        Self { out: Writer::new(out), spans: Spans { at: 0, memory: spans, count: 0 }, quotes: 0, plain: true, base: 0 }
    }

    /// Puts the spans behind the groups. How many bytes that makes, unless they did not fit.
    #[inline(always)]
    pub(super) fn finish(mut self) -> Option<usize> {
        self.out.put(self.spans.memory.get(..self.spans.at)?);
        (!self.out.is_short()).then_some(self.out.at())
    }

    /// `{"actor":{"email","id","name","type"},"details":…,"origin":{"host","ip","user_agent"},"session":…}`
    #[inline(always)]
    pub(super) fn identity(&mut self, draft: &Draft<'_>, actor: bool, origin: bool) -> Result<(), Rejection> {
        self.base = self.out.at();
        let mut comma = Comma::open(self);
        if actor {
            comma.put(self);
            self.key(b"\"actor\":");
            let mut inner = Comma::open(self);
            let actor = &draft.actor;
            self.text(&mut inner, Field::ActorEmail, b"\"email\":\"", actor.email)?;
            self.text(&mut inner, Field::ActorId, b"\"id\":\"", actor.id)?;
            self.text(&mut inner, Field::ActorName, b"\"name\":\"", actor.name)?;
            self.text(&mut inner, Field::ActorType, b"\"type\":\"", actor.kind)?;
            self.out.put_array(b"}");
        }
        if let Some(details) = draft.identity_details {
            comma.put(self);
            self.details(Field::IdentityDetails, details)?;
        }
        if origin {
            comma.put(self);
            self.key(b"\"origin\":");
            let mut inner = Comma::open(self);
            let origin = &draft.origin;
            self.text(&mut inner, Field::OriginHost, b"\"host\":\"", origin.host)?;
            self.text(&mut inner, Field::OriginIp, b"\"ip\":\"", origin.ip)?;
            self.text(&mut inner, Field::OriginUserAgent, b"\"user_agent\":\"", origin.user_agent)?;
            self.out.put_array(b"}");
        }
        self.text(&mut comma, Field::Session, b"\"session\":\"", draft.session)?;
        self.out.put_array(b"}");
        Ok(())
    }

    /// `{"details":…,"targets":[{"id","name","type"}…]}`
    #[inline(always)]
    pub(super) fn content(&mut self, draft: &Draft<'_>) -> Result<(), Rejection> {
        let targets = &draft.targets;
        if targets.len() > limits::TARGETS_MAX {
            return Err(Rejection::TooMany { field: "targets", count: targets.len(), limit: limits::TARGETS_MAX });
        }
        self.base = self.out.at();
        let mut comma = Comma::open(self);
        match &draft.details {
            Details::Json(json) => {
                comma.put(self);
                self.details(Field::Details, *json)?;
            }
            Details::Pairs(pairs) if pairs.is_empty() => {}
            Details::Pairs(pairs) => {
                comma.put(self);
                self.pairs(pairs)?;
            }
        }
        if !targets.is_empty() {
            comma.put(self);
            self.targets(targets)?;
        }
        self.out.put_array(b"}");
        Ok(())
    }

    /// A constant up to where a value begins that is no text.
    #[inline(always)]
    fn key<const N: usize>(&mut self, key: &[u8; N]) {
        self.out.put_array(key);
        self.quotes += 2;
    }

    /// A spanned text member, if there is one; `key` is everything up to the text, quotes and colon included.
    #[inline(always)]
    fn text<const N: usize>(
        &mut self,
        comma: &mut Comma,
        field: Field,
        key: &[u8; N],
        text: Option<&str>,
    ) -> Result<(), Rejection> {
        if let Some((from, to)) = self.unspanned(comma, field, key, text)? {
            self.spans.put(field, from - self.base, to - from);
        }
        Ok(())
    }

    /// As `text`; gives the span instead of putting it.
    #[inline(always)]
    fn unspanned<const N: usize>(
        &mut self,
        comma: &mut Comma,
        field: Field,
        key: &[u8; N],
        text: Option<&str>,
    ) -> Result<Option<(usize, usize)>, Rejection> {
        let Some(text) = text else { return Ok(None) };
        within(field.name(), text.len(), limits::STRING_BYTES_MAX)?;
        comma.put(self);
        self.out.put_array(key);
        let from = self.out.at();
        self.put_text(text);
        let to = self.out.at();
        self.out.put_array(b"\"");
        self.quotes += 4;
        Ok(Some((from, to)))
    }

    #[inline(always)]
    fn put_text(&mut self, text: &str) {
        if ESCAPED { put_escaped(&mut self.out, text) } else { self.out.put(text.as_bytes()) }
    }

    /// The member `details`, whole.
    fn details(&mut self, field: Field, json: Canonical<'_>) -> Result<(), Rejection> {
        within(field.name(), json.bytes().len(), limits::DETAILS_BYTES_MAX)?;
        self.key(b"\"details\":");
        let from = self.out.at();
        self.out.put(json.bytes());
        self.spans.put(field, from - self.base, self.out.at() - from);
        Ok(())
    }

    /// The member `details`, from pairs.
    #[inline(always)]
    fn pairs(&mut self, pairs: &[(&str, Value<'_>)]) -> Result<(), Rejection> {
        self.key(b"\"details\":");
        let from = self.out.at();
        if ESCAPED {
            self.pairs_compared(pairs)?;
        } else if let Some(order) = sorted(pairs, &mut [(0, 0); FEW_PAIRS]) {
            let mut comma = Comma::open(self);
            for (_, nth) in order {
                if let Some(pair) = pairs.get(usize::from(*nth)) {
                    self.pair(&mut comma, pair)?;
                }
            }
        } else {
            self.give_up();
        }
        self.out.put_array(b"}");
        within("details", self.out.at() - from, limits::DETAILS_BYTES_MAX)?;
        self.spans.put(Field::Details, from - self.base, self.out.at() - from);
        Ok(())
    }

    fn pairs_compared(&mut self, pairs: &[(&str, Value<'_>)]) -> Result<(), Rejection> {
        let mut order: SmallVec<[&(&str, Value<'_>); FEW_PAIRS]> = pairs.iter().collect();
        order.sort_unstable_by(|(a, _), (b, _)| json::compare_keys(a, b));
        if order.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return Err(Rejection::DuplicateKey);
        }
        let mut comma = Comma::open(self);
        order.into_iter().try_for_each(|pair| self.pair(&mut comma, pair))
    }

    /// What is being written is written once more, with escapes: it is not plain, whatever it holds.
    #[inline(always)]
    const fn give_up(&mut self) {
        self.plain = false;
    }

    #[inline(always)]
    fn pair(&mut self, comma: &mut Comma, (key, value): &(&str, Value<'_>)) -> Result<(), Rejection> {
        comma.put(self);
        self.out.put_array(b"\"");
        self.put_text(key);
        self.key(b"\":");
        match value {
            Value::Text(text) => {
                within("details", text.len(), limits::DETAILS_BYTES_MAX)?;
                self.out.put_array(b"\"");
                self.put_text(text);
                self.out.put_array(b"\"");
                self.quotes += 2;
            }
            Value::Signed(number) => self.out.put(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Unsigned(number) => self.out.put(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Float(number) if number.is_finite() => self.out.put(float_text(*number).as_bytes()),
            Value::Float(_) => return Err(Rejection::NotFinite),
            Value::Bool(true) => self.out.put_array(b"true"),
            Value::Bool(false) => self.out.put_array(b"false"),
            Value::Null => self.out.put_array(b"null"),
            Value::Json(json) if ESCAPED => self.out.put(json.bytes()),
            // Nobody counted its quotes.
            Value::Json(_) => self.give_up(),
        }
        Ok(())
    }

    /// The member `targets`.
    #[inline(always)]
    fn targets(&mut self, targets: &[Target<'_>]) -> Result<(), Rejection> {
        self.key(b"\"targets\":");
        self.out.put_array(b"[");
        for (at, target) in targets.iter().enumerate() {
            if at > 0 {
                self.out.put_array(b",");
            }
            let from = self.out.at();
            let mut comma = Comma::open(self);
            let id = self.unspanned(&mut comma, Field::TargetId, b"\"id\":\"", target.id)?;
            let name = self.unspanned(&mut comma, Field::TargetName, b"\"name\":\"", target.name)?;
            let kind = self.unspanned(&mut comma, Field::TargetType, b"\"type\":\"", target.kind)?;
            self.out.put_array(b"}");
            if at < limits::SPANNED_TARGETS_MAX {
                self.spans.put(Field::Target, from - self.base, self.out.at() - from);
                for (field, found) in [(Field::TargetId, id), (Field::TargetName, name), (Field::TargetType, kind)] {
                    if let Some((from, to)) = found {
                        self.spans.put(field, from - self.base, to - from);
                    }
                }
            }
        }
        self.out.put_array(b"]");
        Ok(())
    }
}

/// Whether a member needs a comma before it.
struct Comma(bool);

impl Comma {
    /// Opens an object.
    #[inline(always)]
    fn open<const ESCAPED: bool>(body: &mut Body<'_, ESCAPED>) -> Self {
        body.out.put_array(b"{");
        Self(false)
    }

    #[inline(always)]
    fn put<const ESCAPED: bool>(&mut self, body: &mut Body<'_, ESCAPED>) {
        if std::mem::replace(&mut self.0, true) {
            body.out.put_array(b",");
        }
    }
}

/// The spans of a record as its bytes have them.
pub(super) struct Spans<'o> {
    memory: &'o mut [u8; SPANS_BYTES_MAX],
    at: usize,
    count: usize,
}

impl Spans<'_> {
    /// A field's byte, then two minimal LEB128 numbers.
    #[inline(always)]
    fn put(&mut self, field: Field, offset: usize, length: usize) {
        let (offset, offset_bytes) = varint(offset);
        let (length, length_bytes) = varint(length);
        let bits = u64::from(field.byte()) | offset << 8 | length << (8 + 8 * offset_bytes);
        if let Some(slot) = self.memory.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            *slot = bits.to_le_bytes();
        }
        self.at += 1 + offset_bytes + length_bytes;
        self.count += 1;
    }

    #[inline(always)]
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}

/// A number below 2^21 as minimal LEB128: its bytes, the first lowest, and how many there are. A group that needs larger ones is
/// beyond its limit and refused in the end.
#[inline(always)]
const fn varint(number: usize) -> (u64, usize) {
    let number = number as u64;
    match number {
        0..0x80 => (number, 1),
        0x80..0x4000 => (number & 0x7f | 0x80 | (number >> 7) << 8, 2),
        _ => (number & 0x7f | 0x80 | (number >> 7 & 0x7f | 0x80) << 8 | (number >> 14) << 16, 3),
    }
}

/// On the stack: an event allocates nothing. The longest finite number takes 24 bytes.
#[inline(never)]
fn float_text(number: f64) -> arrayvec::ArrayString<32> {
    let mut text = arrayvec::ArrayString::new();
    let _ = write!(text, "{number:?}");
    text
}

/// The inside of a canonical JSON string.
fn put_escaped(out: &mut Writer<'_>, text: &str) {
    if json::is_plain(text) {
        return out.put(text.as_bytes());
    }
    let mut escaped = Vec::with_capacity(text.len() + text.len() / 8 + 16);
    json::write_escaped(&mut escaped, text);
    out.put(&escaped);
}

/// Nine of identity, one of details, four for each target, seven bytes each; and one for the last to be written as eight.
pub(super) const SPANS_BYTES_MAX: usize = (9 + 1 + 4 * limits::SPANNED_TARGETS_MAX) * 7 + 1;
const _: () = assert!(limits::IDENTITY_BYTES_MAX < 1 << 21 && limits::CONTENT_BYTES_MAX < 1 << 21);

/// The order of keys that differ in their first eight bytes, all ASCII: those sort as numbers. `None`: it takes a closer look.
#[inline(always)]
fn sorted<'s>(pairs: &[(&str, Value<'_>)], order: &'s mut [(u64, u8); FEW_PAIRS]) -> Option<&'s [(u64, u8)]> {
    let order = order.get_mut(..pairs.len())?;
    let mut bits = 0;
    for ((slot, (key, _)), nth) in order.iter_mut().zip(pairs).zip(0u8..) {
        let prefix = key_prefix(key.as_bytes());
        *slot = (prefix, nth);
        bits |= prefix;
    }
    // By insertion: they are few, and often in order.
    for sorted in 1..order.len() {
        for at in (1..=sorted).rev() {
            match order.get_mut(at - 1..=at) {
                Some([a, b]) if *a > *b => std::mem::swap(a, b),
                _ => break,
            }
        }
    }
    let distinct = order.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    (bits & NON_ASCII == 0 && distinct).then_some(&*order)
}

/// The first eight bytes of a key, zeros behind a shorter one, as a number that sorts as they do.
#[inline(always)]
#[expect(clippy::big_endian_bytes, reason = "the first byte must weigh most for the number to sort as the text does")]
fn key_prefix(key: &[u8]) -> u64 {
    if let Some(first) = key.first_chunk::<8>() {
        return u64::from_be_bytes(*first);
    }
    let bits = 8 * key.len();
    let number = match (key.first_chunk::<4>(), key.last_chunk::<4>(), key) {
        // The two overlap, and agree where they do.
        (Some(first), Some(last), _) => {
            u64::from(u32::from_be_bytes(*first)) << (bits - 32) | u64::from(u32::from_be_bytes(*last))
        }
        (_, _, [a, b, c]) => u64::from(u32::from_be_bytes([0, *a, *b, *c])),
        (_, _, [a, b]) => u64::from(u16::from_be_bytes([*a, *b])),
        (_, _, [a]) => u64::from(*a),
        _ => return 0,
    };
    number << (64 - bits)
}

const NON_ASCII: u64 = u64::from_le_bytes([0x80; 8]);

/// Details up to this many are sorted in place.
const FEW_PAIRS: usize = 16;
