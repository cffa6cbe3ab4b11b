//! The bytes of an event record from its fields: what admission's encoder writes for them (`indelible_format::encode`), laid out in one
//! pass. Who seals a row compares the two; who reads it gets the same bytes, as the columns give back the same fields.

use std::borrow::Cow;

use indelible_format::event::{Field, Tag};
use indelible_format::head::{Id, is_action};
use indelible_format::{json, limits};
use smallvec::SmallVec;

/// A text as it was said, without JSON escapes.
#[derive(Debug, Clone)]
pub(crate) struct Text<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Whether it stands in a JSON string as it is.
    pub(crate) is_plain: bool,
}

/// A target's type, id and name.
pub(crate) type Target<'a> = [Option<Text<'a>>; 3];

/// All that the columns say of an event.
#[derive(Debug, Default)]
pub(crate) struct Event<'a> {
    /// Bytes of outcome, severity and class.
    pub(crate) words: [u8; 3],
    pub(crate) tenant_seq: u64,
    pub(crate) time: i64,
    pub(crate) received: i64,
    pub(crate) weight: u64,
    pub(crate) uuid: Option<[u8; 16]>,
    /// The id, if it is no UUID.
    pub(crate) id_text: &'a [u8],
    pub(crate) tenant: &'a [u8],
    pub(crate) action: &'a [u8],
    pub(crate) source: &'a [u8],
    pub(crate) producer: Option<(&'a [u8], u64, u64)>,
    pub(crate) trace: Option<([u8; 16], [u8; 8])>,
    pub(crate) frameworks: SmallVec<[&'a [u8]; 4]>,
    /// Id, type, name, e-mail address.
    pub(crate) actor: [Option<Text<'a>>; 4],
    pub(crate) session: Option<Text<'a>>,
    /// Address, user agent, host.
    pub(crate) origin: [Option<Text<'a>>; 3],
    pub(crate) identity_details: Option<&'a [u8]>,
    pub(crate) targets: SmallVec<[Target<'a>; 2]>,
    pub(crate) details: Option<&'a [u8]>,
    /// Media type and bytes.
    pub(crate) raw: Option<(&'a [u8], &'a [u8])>,
    pub(crate) idempotency: Option<([u8; 16], [u8; 16])>,
}

pub(crate) const HEADER_BYTES: usize = 12;
pub(crate) const ENTRY_BYTES: usize = 6;
pub(crate) const KIND_EVENT: u8 = 1;
pub(crate) const HEAD_VERSION: u8 = 1;

impl Event<'_> {
    /// The record, in `memory`, which is grown where needed and never shrunk. `None`: no record can say this.
    pub(crate) fn lay_out<'m>(&self, log: u32, memory: &'m mut Vec<u8>) -> Option<&'m [u8]> {
        self.check()?;
        let mut out = Out { memory, at: 0 };
        let identity = self.has_actor() || self.has_origin() || self.session.is_some() || self.identity_details.is_some();
        let content = !self.targets.is_empty() || self.details.is_some();
        let groups_n = 1 + u8::from(identity) + u8::from(content) + u8::from(self.raw.is_some());
        out.at = HEADER_BYTES + usize::from(groups_n) * ENTRY_BYTES;
        if let Some((key, statement)) = &self.idempotency {
            out.array(key);
            out.array(statement);
        }
        let mut spans = Spans::new(0);
        let mut table = Table { at: HEADER_BYTES, start: out.at };
        self.head(&mut out)?;
        table.put(Tag::HEAD, &mut out)?;
        if identity {
            spans.base = out.at;
            self.identity(&mut out, &mut spans)?;
            table.put(Tag::IDENTITY, &mut out)?;
        }
        if content {
            spans.base = out.at;
            self.content(&mut out, &mut spans)?;
            table.put(Tag::CONTENT, &mut out)?;
        }
        if let Some((media_type, bytes)) = self.raw {
            out.str16(media_type)?;
            out.put(bytes);
            table.put(Tag::RAW, &mut out)?;
        }
        spans.bytes().into_iter().for_each(|bytes| out.put(bytes));
        let end = out.at;
        if end > limits::RECORD_BYTES_MAX {
            return None;
        }
        let [a, b, c, d] = u32::try_from(end).ok()?.to_le_bytes();
        let [e, f, g, h] = log.to_le_bytes();
        let flags = u8::from(self.idempotency.is_some());
        out.at = 0;
        out.array(&[a, b, c, d, KIND_EVENT, flags, groups_n, spans.count, e, f, g, h]);
        memory.get(..end)
    }

    /// What the head's limits are; texts of groups may be of any length.
    pub(crate) fn check(&self) -> Option<()> {
        let long = |text: &[u8], min: usize, max: usize| (min..=max).contains(&text.len());
        let good = long(self.tenant, 1, limits::TENANT_BYTES_MAX)
            && long(self.source, 0, limits::SOURCE_BYTES_MAX)
            && self.weight > 0
            && self.producer.is_none_or(|(id, ..)| long(id, 1, limits::PRODUCER_BYTES_MAX))
            && self.frameworks.len() <= limits::FRAMEWORKS_MAX
            && self.frameworks.iter().all(|framework| long(framework, 1, limits::FRAMEWORK_BYTES_MAX))
            && self.targets.len() <= limits::SPANNED_TARGETS_MAX
            && is_action(std::str::from_utf8(self.action).ok()?);
        let id = self.uuid.is_some()
            || long(self.id_text, 1, limits::ID_BYTES_MAX)
                && matches!(Id::from_text(std::str::from_utf8(self.id_text).ok()?), Id::Text(_));
        (good && id).then_some(())
    }

    const fn has_actor(&self) -> bool {
        let [id, kind, name, email] = &self.actor;
        id.is_some() || kind.is_some() || name.is_some() || email.is_some()
    }

    const fn has_origin(&self) -> bool {
        let [ip, user_agent, host] = &self.origin;
        ip.is_some() || user_agent.is_some() || host.is_some()
    }

    fn head(&self, out: &mut Out<'_>) -> Option<()> {
        let [outcome, severity, class] = self.words;
        let (producer, epoch, count) = self.producer.unwrap_or_default();
        let (traced, id_form) = (u8::from(self.trace.is_some()), u8::from(self.uuid.is_none()));
        out.array(&[HEAD_VERSION, outcome, severity, class, traced, id_form, 0, 0]);
        let mut numbers = [0; 48];
        let values = [self.tenant_seq, self.time.cast_unsigned(), self.received.cast_unsigned(), self.weight, epoch, count];
        numbers.as_chunks_mut::<8>().0.iter_mut().zip(values).for_each(|(to, value)| *to = value.to_le_bytes());
        out.array(&numbers);
        match &self.uuid {
            Some(uuid) => out.array(uuid),
            None => out.str16(self.id_text)?,
        }
        out.str16(self.tenant)?;
        out.str16(self.action)?;
        out.str16(self.source)?;
        out.str16(producer)?;
        if let Some((trace_id, span_id)) = &self.trace {
            out.array(trace_id);
            out.array(span_id);
        }
        out.array(&[u8::try_from(self.frameworks.len()).ok()?]);
        self.frameworks.iter().try_for_each(|framework| out.str16(framework))
    }

    fn identity(&self, out: &mut Out<'_>, spans: &mut Spans) -> Option<()> {
        let mut comma = b'{';
        if self.has_actor() {
            key(&mut comma, b"\"actor\":", out);
            let [id, kind, name, email] = &self.actor;
            let mut comma = b'{';
            member(&mut comma, b"\"email\":\"", Field::ActorEmail, email, out, spans)?;
            member(&mut comma, b"\"id\":\"", Field::ActorId, id, out, spans)?;
            member(&mut comma, b"\"name\":\"", Field::ActorName, name, out, spans)?;
            member(&mut comma, b"\"type\":\"", Field::ActorType, kind, out, spans)?;
            out.array(b"}");
        }
        if let Some(details) = self.identity_details {
            key(&mut comma, b"\"details\":", out);
            json_member(Field::IdentityDetails, details, out, spans)?;
        }
        if self.has_origin() {
            key(&mut comma, b"\"origin\":", out);
            let [ip, user_agent, host] = &self.origin;
            let mut comma = b'{';
            member(&mut comma, b"\"host\":\"", Field::OriginHost, host, out, spans)?;
            member(&mut comma, b"\"ip\":\"", Field::OriginIp, ip, out, spans)?;
            member(&mut comma, b"\"user_agent\":\"", Field::OriginUserAgent, user_agent, out, spans)?;
            out.array(b"}");
        }
        member(&mut comma, b"\"session\":\"", Field::Session, &self.session, out, spans)?;
        out.array(b"}");
        Some(())
    }

    fn content(&self, out: &mut Out<'_>, spans: &mut Spans) -> Option<()> {
        let mut comma = b'{';
        if let Some(details) = self.details {
            key(&mut comma, b"\"details\":", out);
            json_member(Field::Details, details, out, spans)?;
        }
        if !self.targets.is_empty() {
            key(&mut comma, b"\"targets\":", out);
            let mut open = b'[';
            for target in &self.targets {
                out.array(&[open]);
                open = b',';
                self.target(target, out, spans)?;
            }
            out.array(b"]");
        }
        out.array(b"}");
        Some(())
    }

    /// One target: its span stands before those of its members and is known after them.
    fn target(&self, [kind, id, name]: &Target<'_>, out: &mut Out<'_>, spans: &mut Spans) -> Option<()> {
        let start = out.at;
        let mut inner = Spans::new(spans.base);
        let mut comma = b'{';
        member(&mut comma, b"\"id\":\"", Field::TargetId, id, out, &mut inner)?;
        member(&mut comma, b"\"name\":\"", Field::TargetName, name, out, &mut inner)?;
        member(&mut comma, b"\"type\":\"", Field::TargetType, kind, out, &mut inner)?;
        if comma == b'{' {
            out.array(b"{");
        }
        out.array(b"}");
        spans.put(Field::Target, start, out.at)?;
        inner.bytes().into_iter().for_each(|bytes| spans.add_all(bytes));
        spans.count = spans.count.checked_add(inner.count)?;
        Some(())
    }
}

/// Bytes of spans that have room in place: those of a dozen.
const SPANS_IN_PLACE: usize = 64;

/// Spans as they stand in the record.
struct Spans {
    near: [u8; SPANS_IN_PLACE],
    near_bytes: usize,
    /// What has no room in place, and everything after it.
    far: Vec<u8>,
    count: u8,
    /// Where the group begins.
    base: usize,
}

impl Spans {
    const fn new(base: usize) -> Self {
        Self { near: [0; SPANS_IN_PLACE], near_bytes: 0, far: Vec::new(), count: 0, base }
    }

    fn bytes(&self) -> [&[u8]; 2] {
        [self.near.get(..self.near_bytes).unwrap_or_default(), &self.far]
    }

    #[inline(always)]
    fn add<const N: usize>(&mut self, bytes: [u8; N]) {
        match self.near.get_mut(self.near_bytes..).and_then(<[u8]>::first_chunk_mut::<N>) {
            Some(slot) if self.far.is_empty() => {
                *slot = bytes;
                self.near_bytes += N;
            }
            _ => self.far.extend_from_slice(&bytes),
        }
    }

    fn add_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.add([*byte]));
    }

    #[inline(always)]
    fn put(&mut self, field: Field, from: usize, to: usize) -> Option<()> {
        let (offset, length) = (u32::try_from(from - self.base).ok()?, u32::try_from(to - from).ok()?);
        self.count = self.count.checked_add(1)?;
        let [offset_low, offset_high, ..] = (offset & 0x7f | (offset & 0x3f80) << 1).to_le_bytes();
        let [length_low, ..] = length.to_le_bytes();
        // Nearly all: a short text in the front of its group, or a little behind.
        match (offset, length) {
            (..0x80, ..0x80) => self.add([field.byte(), offset_low, length_low]),
            (..0x4000, ..0x80) => self.add([field.byte(), offset_low | 0x80, offset_high, length_low]),
            _ => {
                self.add([field.byte()]);
                self.varint(offset);
                self.varint(length);
            }
        }
        Some(())
    }

    fn varint(&mut self, mut value: u32) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.add([low & 0x7f]);
                return;
            }
            self.add([low | 0x80]);
        }
    }
}

/// The table of groups: where the next entry is, and where its group begins.
struct Table {
    at: usize,
    start: usize,
}

impl Table {
    /// The entry of the group that ends here.
    fn put(&mut self, tag: Tag, out: &mut Out<'_>) -> Option<()> {
        let end = out.at;
        let [a, b, c, d] = u32::try_from(end - self.start).ok()?.to_le_bytes();
        out.at = self.at;
        out.array(&[tag.0, 0, a, b, c, d]);
        (self.at, self.start) = (out.at, end);
        out.at = end;
        Some(())
    }
}

/// Writes piece by piece into memory that was used before: asking a `Vec` for room before each of some dozens of short pieces, and calling
/// for each to have it copied, costs more than copying them.
struct Out<'o> {
    memory: &'o mut Vec<u8>,
    at: usize,
}

impl Out<'_> {
    #[cold]
    #[inline(never)]
    fn grow(&mut self, end: usize) {
        self.memory.resize(end.next_power_of_two().max(1024), 0);
    }

    /// Bytes whose number the compiler knows.
    #[inline(always)]
    fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        let end = self.at + N;
        if end > self.memory.len() {
            self.grow(end);
        }
        if let Some(slot) = self.memory.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut::<N>) {
            *slot = *bytes;
        }
        self.at = end;
    }

    /// Bytes of any number.
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if end > self.memory.len() {
            self.grow(end);
        }
        if let Some(slot) = self.memory.get_mut(self.at..end) {
            match bytes.len() {
                0..4 => slot.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from),
                4..8 => both_ends::<4>(bytes, slot),
                8..16 => both_ends::<8>(bytes, slot),
                16..=32 => both_ends::<16>(bytes, slot),
                33..=64 => both_ends::<32>(bytes, slot),
                _ => slot.copy_from_slice(bytes),
            }
        }
        self.at = end;
    }

    /// `u16` length, then the text.
    #[inline(always)]
    fn str16(&mut self, text: &[u8]) -> Option<()> {
        self.array(&u16::try_from(text.len()).ok()?.to_le_bytes());
        self.put(text);
        Some(())
    }
}

/// Copies `N` to `2 N` bytes as their first and their last `N`, which may overlap.
#[inline(always)]
fn both_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<N>(), to.first_chunk_mut::<N>()) {
        *to = *from;
    }
    if let (Some(from), Some(to)) = (from.last_chunk::<N>(), to.last_chunk_mut::<N>()) {
        *to = *from;
    }
}

/// A member's key, behind what separates it from the one before.
#[inline(always)]
fn key<const N: usize>(comma: &mut u8, key: &[u8; N], out: &mut Out<'_>) {
    out.array(&[*comma]);
    *comma = b',';
    out.array(key);
}

/// A text member, if there is one.
#[inline(always)]
fn member<const N: usize>(
    comma: &mut u8,
    name: &[u8; N],
    field: Field,
    text: &Option<Text<'_>>,
    out: &mut Out<'_>,
    spans: &mut Spans,
) -> Option<()> {
    let Some(text) = text else { return Some(()) };
    key(comma, name, out);
    let from = out.at;
    if text.is_plain {
        out.put(&text.bytes);
    } else {
        let mut escaped = Vec::new();
        json::write_escaped(&mut escaped, std::str::from_utf8(&text.bytes).ok()?);
        out.put(&escaped);
    }
    spans.put(field, from, out.at)?;
    out.array(b"\"");
    Some(())
}

fn json_member(field: Field, json: &[u8], out: &mut Out<'_>, spans: &mut Spans) -> Option<()> {
    let from = out.at;
    out.put(json);
    spans.put(field, from, out.at)
}

/// Whether bytes stand in a JSON string as they are: no quote, no backslash, no control character.
#[inline]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    // For each of eight bytes the highest bit: whether it is below 0x20, a quote or a backslash. Bytes above a hit may be wrong, no hit is missed.
    let special = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let is = |byte: u64| {
            let zero = word ^ (ONES * byte);
            zero.wrapping_sub(ONES) & !zero
        };
        (word.wrapping_sub(ONES * 0x20) & !word | is(0x22) | is(0x5c)) & HIGH
    };
    let (words, tail) = bytes.as_chunks::<8>();
    if words.is_empty() {
        return tail.iter().all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\');
    }
    // The last eight bytes cover the tail.
    let last = bytes.last_chunk::<8>().map_or(0, special);
    words.iter().fold(last, |hits, word| hits | special(word)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_what_a_json_string_shows_as_it_is() {
        let mut rng = fastrand::Rng::with_seed(9);
        for length in 0..40 {
            let mut text = vec![b'a'; length];
            assert!(is_plain(&text));
            for at in 0..length {
                for byte in 0..=255u8 {
                    text.fill_with(|| rng.u8(0x80..));
                    text[at] = byte;
                    let plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(&text), plain, "{byte} at {at} of {length}");
                }
            }
        }
    }
}
