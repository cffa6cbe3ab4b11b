//! The record of a usual row, written from the cells of its strip. The layout is that of [`Event::lay_out`](crate::layout::Event), which
//! knows every kind of row; this one knows those of a [`Strip`] and writes them with fewer questions.

use indelible_format::event::{Field, Tag};
use indelible_format::head::is_action;
use indelible_format::{json, limits};

use super::strip::{Lane, Strip};
use crate::layout::{ENTRY_BYTES, HEAD_VERSION, HEADER_BYTES, KIND_EVENT, is_plain};

/// Bytes that are copied at once, whatever the length of a text is: how long it is is what a processor guesses worst.
const COPY: usize = 32;
/// Spans of nine members of identity, of the details and of a target and its members, seven bytes each; and one more byte for the last.
const SPANS_BYTES: usize = 14 * 7 + 1;
/// Numbers below this have three bytes at most as spans have them.
const SPAN_MAX: usize = 1 << 21;

impl Strip<'_> {
    /// Writes the record of a row of the strip to the front of `memory`, which is grown where needed and never shrunk. Gives its length.
    /// `None`: it is none, or not as usual in some way that only shows here; who rebuilds it by itself knows which.
    pub(super) fn record(&self, nth: usize, log: u32, memory: &mut Vec<u8>) -> Option<usize> {
        if memory.len() < self.bytes_max {
            memory.resize(self.bytes_max, 0);
        }
        let [email, id, name, kind, identity_details, host, ip, agent, session, details, target_id, target_name, target_kind, ..] =
            &self.texts;
        let there = |lane: &Lane<'_>| lane.get(nth).is_some();
        let actor = there(email) || there(id) || there(name) || there(kind);
        let origin = there(host) || there(ip) || there(agent);
        let identity = actor || origin || there(session) || there(identity_details);
        let content = self.has_target || there(details);
        let groups_n = 1 + u8::from(identity) + u8::from(content);
        let mut pen = Pen {
            out: memory,
            at: HEADER_BYTES + usize::from(groups_n) * ENTRY_BYTES,
            base: 0,
            spans: [0; SPANS_BYTES],
            spans_at: 0,
            spans_n: 0,
        };
        let head_at = pen.at;
        self.head(nth, &mut pen)?;
        let identity_at = pen.at;
        pen.base = pen.at;
        if identity {
            let mut open = b'{';
            if actor {
                pen.array(b"{\"actor\":");
                let mut inner = b'{';
                pen.member(&mut inner, b",\"email\":\"", Field::ActorEmail, email, nth)?;
                pen.member(&mut inner, b",\"id\":\"", Field::ActorId, id, nth)?;
                pen.member(&mut inner, b",\"name\":\"", Field::ActorName, name, nth)?;
                pen.member(&mut inner, b",\"type\":\"", Field::ActorType, kind, nth)?;
                pen.array(b"}");
                open = b',';
            }
            pen.json(&mut open, Field::IdentityDetails, identity_details, nth)?;
            if origin {
                pen.key(&mut open, b",\"origin\":");
                let mut inner = b'{';
                pen.member(&mut inner, b",\"host\":\"", Field::OriginHost, host, nth)?;
                pen.member(&mut inner, b",\"ip\":\"", Field::OriginIp, ip, nth)?;
                pen.member(&mut inner, b",\"user_agent\":\"", Field::OriginUserAgent, agent, nth)?;
                pen.array(b"}");
            }
            pen.member(&mut open, b",\"session\":\"", Field::Session, session, nth)?;
            pen.array(b"}");
        }
        let content_at = pen.at;
        pen.base = pen.at;
        if content {
            let mut open = b'{';
            pen.json(&mut open, Field::Details, details, nth)?;
            if self.has_target {
                pen.key(&mut open, b",\"targets\":[");
                let start = pen.at;
                // Its span stands before those of its members: how long it will be is known if no text needs escapes.
                let length = target_bytes([target_id, target_name, target_kind], nth)?;
                pen.span(Field::Target, start, start + length)?;
                let mut inner = b'{';
                pen.member(&mut inner, b",\"id\":\"", Field::TargetId, target_id, nth)?;
                pen.member(&mut inner, b",\"name\":\"", Field::TargetName, target_name, nth)?;
                pen.member(&mut inner, b",\"type\":\"", Field::TargetType, target_kind, nth)?;
                if inner == b'{' {
                    pen.array(b"{");
                }
                pen.array(b"}");
                if pen.at != start + length {
                    return None;
                }
                pen.array(b"]");
            }
            pen.array(b"}");
        }
        let spans_at = pen.at;
        let ends = [
            (true, Tag::HEAD, head_at, identity_at),
            (identity, Tag::IDENTITY, identity_at, content_at),
            (content, Tag::CONTENT, content_at, spans_at),
        ];
        pen.finish(log, groups_n, ends)
    }

    #[inline(always)]
    fn head(&self, nth: usize, pen: &mut Pen<'_>) -> Option<()> {
        let [.., id, tenant, action, source, producer] = &self.texts;
        let number = |numbers: &[i64]| match numbers {
            [same] => Some(*same),
            numbers => numbers.get(nth).copied(),
        };
        let code = |codes: &[u8]| match codes {
            [same] => Some(*same),
            codes => codes.get(nth).copied(),
        };
        let [tenant_seq, time, received, weight, epoch, count] = self.numbers;
        let [outcome, severity, class] = self.codes;
        pen.array(&[HEAD_VERSION, code(outcome)?, code(severity)?, code(class)?, 0, 0, 0, 0]);
        for numbers in [tenant_seq, time, received, weight] {
            pen.array(&number(numbers)?.to_le_bytes());
        }
        let (epoch, count) = if self.has_producer { (number(epoch)?, number(count)?) } else { (0, 0) };
        pen.array(&epoch.to_le_bytes());
        pen.array(&count.to_le_bytes());
        if number(weight)? == 0 {
            return None;
        }
        pen.array(id.value(nth)?.first_chunk::<16>()?);
        pen.text16(tenant.get(nth)?, 1, limits::TENANT_BYTES_MAX)?;
        let (bytes, length) = action.get(nth)?;
        if !self.are_actions && !is_action(std::str::from_utf8(bytes.get(..length)?).ok()?) {
            return None;
        }
        pen.text16((bytes, length), 1, limits::ACTION_BYTES_MAX)?;
        pen.text16(source.get(nth)?, 0, limits::SOURCE_BYTES_MAX)?;
        if self.has_producer {
            pen.text16(producer.get(nth)?, 1, limits::PRODUCER_BYTES_MAX)?;
        } else {
            pen.array(&[0, 0]);
        }
        // No frameworks.
        pen.array(&[0]);
        Some(())
    }
}

/// Bytes of the object of a target whose texts need no escapes.
#[inline(always)]
fn target_bytes(texts: [&Lane<'_>; 3], nth: usize) -> Option<usize> {
    let mut bytes = 1;
    for (lane, name) in texts.into_iter().zip([b",\"id\":\"\"".len(), b",\"name\":\"\"".len(), b",\"type\":\"\"".len()]) {
        if let Some((_, length)) = lane.get(nth) {
            bytes += name + length;
        }
    }
    // An object without members has two brackets; in any other the first comma is a bracket.
    Some(bytes.max(2))
}

/// Writes piece by piece; what does not fit is not written, and shows at the end.
struct Pen<'o> {
    out: &'o mut Vec<u8>,
    at: usize,
    /// Where the group begins.
    base: usize,
    spans: [u8; SPANS_BYTES],
    spans_at: usize,
    spans_n: u8,
}

impl Pen<'_> {
    /// Bytes whose number the compiler knows.
    #[inline(always)]
    fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        if let Some(slot) = self.out.get_mut(self.at..self.at + N).and_then(<[u8]>::first_chunk_mut::<N>) {
            *slot = *bytes;
        }
        self.at += N;
    }

    /// The first `length` of these bytes.
    #[inline(always)]
    fn put(&mut self, (bytes, length): (&[u8], usize)) {
        let near = bytes.first_chunk::<COPY>().filter(|_| length <= COPY);
        match (near, self.out.get_mut(self.at..self.at + COPY).and_then(<[u8]>::first_chunk_mut::<COPY>)) {
            // What is copied beyond the text is written over by what follows it.
            (Some(from), Some(to)) => *to = *from,
            _ => {
                if let (Some(from), Some(to)) = (bytes.get(..length), self.out.get_mut(self.at..self.at + length)) {
                    to.copy_from_slice(from);
                }
            }
        }
        self.at += length;
    }

    /// `u16` length, then the text, if it is as long as it may be.
    #[inline(always)]
    fn text16(&mut self, text: (&[u8], usize), min: usize, max: usize) -> Option<()> {
        let length = u16::try_from(text.1).ok().filter(|_| (min..=max).contains(&text.1))?;
        self.array(&length.to_le_bytes());
        self.put(text);
        Some(())
    }

    /// A key behind what separates it from the one before, whose place is the first byte of `name`.
    #[inline(always)]
    fn key<const N: usize>(&mut self, open: &mut u8, name: &[u8; N]) {
        let mut name = *name;
        if let Some(first) = name.first_mut() {
            *first = *open;
        }
        *open = b',';
        self.array(&name);
    }

    /// A text member, if there is one. `None`: it needs escapes, or is too far off for a short span.
    #[inline(always)]
    fn member<const N: usize>(&mut self, open: &mut u8, name: &[u8; N], field: Field, lane: &Lane<'_>, nth: usize) -> Option<()> {
        let Some((bytes, length)) = lane.get(nth) else { return Some(()) };
        self.key(open, name);
        let from = self.at;
        if lane.is_plain || is_plain(bytes.get(..length)?) {
            self.put((bytes, length));
        } else {
            self.escaped(bytes.get(..length)?)?;
        }
        self.span(field, from, self.at)?;
        self.array(b"\"");
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn escaped(&mut self, text: &[u8]) -> Option<()> {
        let mut escaped = Vec::new();
        json::write_escaped(&mut escaped, std::str::from_utf8(text).ok()?);
        self.put((&escaped, escaped.len()));
        Some(())
    }

    /// The member `details`, if there is one.
    #[inline(always)]
    fn json(&mut self, open: &mut u8, field: Field, lane: &Lane<'_>, nth: usize) -> Option<()> {
        let Some(json) = lane.get(nth) else { return Some(()) };
        self.key(open, b",\"details\":");
        let from = self.at;
        self.put(json);
        self.span(field, from, self.at)
    }

    /// A field's byte, then two minimal LEB128 numbers.
    #[inline(always)]
    fn span(&mut self, field: Field, from: usize, to: usize) -> Option<()> {
        let (offset, length) = (from - self.base, to - from);
        if offset >= SPAN_MAX || length >= SPAN_MAX {
            return None;
        }
        let ((offset, offset_bytes), (length, length_bytes)) = (varint(offset), varint(length));
        let bits = u64::from(field.byte()) | offset << 8 | length << (8 + 8 * offset_bytes);
        *self.spans.get_mut(self.spans_at..)?.first_chunk_mut::<8>()? = bits.to_le_bytes();
        self.spans_at += 1 + offset_bytes + length_bytes;
        self.spans_n += 1;
        Some(())
    }

    /// Spans, header and table of groups. `None`: something did not fit.
    #[inline(always)]
    fn finish(mut self, log: u32, groups_n: u8, groups: [(bool, Tag, usize, usize); 3]) -> Option<usize> {
        let (spans, spans_bytes) = (self.spans, self.spans_at);
        self.put((&spans, spans_bytes));
        let end = self.at;
        if end > self.out.len() || end > limits::RECORD_BYTES_MAX {
            return None;
        }
        self.at = 0;
        let [a, b, c, d] = u32::try_from(end).ok()?.to_le_bytes();
        let [e, f, g, h] = log.to_le_bytes();
        self.array(&[a, b, c, d, KIND_EVENT, 0, groups_n, self.spans_n, e, f, g, h]);
        for (is_there, tag, start, end) in groups {
            if is_there {
                let [a, b, c, d] = u32::try_from(end - start).ok()?.to_le_bytes();
                self.array(&[tag.0, 0, a, b, c, d]);
            }
        }
        Some(end)
    }
}

/// A number below [`SPAN_MAX`] as minimal LEB128: its bytes, the first lowest, and how many there are.
#[inline(always)]
const fn varint(number: usize) -> (u64, usize) {
    let number = number as u64;
    match number {
        0..0x80 => (number, 1),
        0x80..0x4000 => (number & 0x7f | 0x80 | (number >> 7) << 8, 2),
        _ => (number & 0x7f | 0x80 | (number >> 7 & 0x7f | 0x80) << 8 | (number >> 14) << 16, 3),
    }
}
