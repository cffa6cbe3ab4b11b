//! The head of an event: a binary record of fixed order. Layout: docs/format/event.md.

use crate::event::{Class, Outcome, Severity};
use crate::limits;
use crate::reader::Reader;
use crate::writer::Writer;

/// Offset of `tenant_seq`, which only the committer knows.
pub const TENANT_SEQ_OFFSET: usize = 8;
/// Bytes before the first variable field.
pub(crate) const FIXED_BYTES: usize = 56;
pub(crate) const VERSION: u8 = 1;
const FLAG_TRACE: u8 = 1;

/// An event's id: a UUID in 16 bytes, or any other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id<'a> {
    /// A UUID.
    Uuid([u8; 16]),
    /// Anything else; never the lower-case text of a UUID.
    Text(&'a str),
}

impl<'a> Id<'a> {
    /// The one form in which `text` is stored.
    #[must_use]
    pub fn from_text(text: &'a str) -> Self {
        parse_uuid(text).map_or(Self::Text(text), Self::Uuid)
    }
}

impl std::fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Uuid(bytes) => {
                for (at, byte) in bytes.iter().enumerate() {
                    if matches!(at, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

/// Where an event came from in its producer's own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer<'a> {
    /// Non-empty, at most 128 bytes.
    pub id: &'a str,
    /// Grows whenever the producer starts anew.
    pub epoch: u64,
    /// Contiguous from 0 within (id, epoch).
    pub seq: u64,
}

/// W3C trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
}

/// A head, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// How it ended.
    pub outcome: Outcome,
    /// How bad it is.
    pub severity: Severity,
    /// Its lane.
    pub class: Class,
    /// Contiguous per (log, tenant).
    pub tenant_seq: u64,
    /// When it happened, ns since 1970 UTC.
    pub time: i64,
    /// When it was admitted, ns since 1970 UTC.
    pub received: i64,
    /// How many events it stands for.
    pub weight: u64,
    /// The event's id.
    pub id: Id<'a>,
    /// Whose event it is.
    pub tenant: &'a str,
    /// What was done: `noun.verb`.
    pub action: &'a str,
    /// Format it came from; empty for the API.
    pub source: &'a str,
    /// The producer's own count, if it keeps one.
    pub producer: Option<Producer<'a>>,
    /// Trace context, if any.
    pub trace: Option<Trace>,
    frameworks_n: u8,
    frameworks: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads a head that must fill `bytes` exactly. `None`: not a head of version 1.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let outcome = Outcome::from_byte(reader.u8()?)?;
        let severity = Severity::from_byte(reader.u8()?)?;
        let class = Class::from_byte(reader.u8()?)?;
        let flags = reader.u8()?;
        let id_form = reader.u8()?;
        if flags & !FLAG_TRACE != 0 || reader.u16()? != 0 {
            return None;
        }
        let tenant_seq = reader.u64()?;
        let time = reader.i64()?;
        let received = reader.i64()?;
        let weight = reader.u64()?;
        let producer_epoch = reader.u64()?;
        let producer_seq = reader.u64()?;
        let id = match id_form {
            0 => Id::Uuid(reader.array()?),
            1 => match Id::from_text(bounded(reader.str16()?, 1, limits::ID_BYTES_MAX)?) {
                text @ Id::Text(_) => text,
                Id::Uuid(_) => return None,
            },
            _ => return None,
        };
        let tenant = bounded(reader.str16()?, 1, limits::TENANT_BYTES_MAX)?;
        let action = reader.str16()?;
        if !is_action(action) {
            return None;
        }
        let source = bounded(reader.str16()?, 0, limits::SOURCE_BYTES_MAX)?;
        let producer_id = bounded(reader.str16()?, 0, limits::PRODUCER_BYTES_MAX)?;
        let producer = match (producer_id, producer_epoch, producer_seq) {
            ("", 0, 0) => None,
            ("", ..) => return None,
            (id, epoch, seq) => Some(Producer { id, epoch, seq }),
        };
        let trace =
            if flags & FLAG_TRACE == 0 { None } else { Some(Trace { trace_id: reader.array()?, span_id: reader.array()? }) };
        let frameworks_n = reader.u8()?;
        let frameworks = reader.rest();
        if usize::from(frameworks_n) > limits::FRAMEWORKS_MAX || weight == 0 {
            return None;
        }
        for _ in 0..frameworks_n {
            bounded(reader.str16()?, 1, limits::FRAMEWORK_BYTES_MAX)?;
        }
        reader.rest().is_empty().then_some(Self {
            outcome,
            severity,
            class,
            tenant_seq,
            time,
            received,
            weight,
            id,
            tenant,
            action,
            source,
            producer,
            trace,
            frameworks_n,
            frameworks,
        })
    }

    /// The compliance frameworks the event was marked with.
    pub fn frameworks(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = Reader::new(self.frameworks);
        (0..self.frameworks_n).map_while(move |_| reader.str16())
    }
}

fn bounded(text: &str, min: usize, max: usize) -> Option<&str> {
    (min..=max).contains(&text.len()).then_some(text)
}

/// Whether `action` is two or more non-empty parts of `a-z A-Z 0-9 _ - : /` joined by dots, within its limit.
#[must_use]
pub fn is_action(action: &str) -> bool {
    if action.len() > limits::ACTION_BYTES_MAX {
        return false;
    }
    let mut dots = 0usize;
    let mut part = 0usize;
    for byte in action.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b':' | b'/' => part += 1,
            b'.' if part > 0 => {
                dots += 1;
                part = 0;
            }
            _ => return false,
        }
    }
    dots > 0 && part > 0
}

/// Lower-case hyphenated UUID text, and nothing else, as its 16 bytes.
pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut uuid = [0u8; 16];
    let mut digits = 0usize;
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        let nibble = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        let slot = uuid.get_mut(digits / 2)?;
        *slot = (*slot << 4) | nibble;
        digits += 1;
    }
    Some(uuid)
}

/// What [`write`] puts into a head; already validated by the caller.
pub(crate) struct HeadFields<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) severity: Severity,
    pub(crate) class: Class,
    pub(crate) time: i64,
    pub(crate) received: i64,
    pub(crate) weight: u64,
    pub(crate) id: Id<'a>,
    pub(crate) tenant: &'a str,
    pub(crate) action: &'a str,
    pub(crate) source: &'a str,
    pub(crate) producer: Option<Producer<'a>>,
    pub(crate) trace: Option<Trace>,
    pub(crate) frameworks: &'a [&'a str],
}

/// Writes a head with `tenant_seq` 0.
#[inline(always)]
pub(crate) fn write(fields: &HeadFields<'_>, out: &mut Writer<'_>) {
    let mut fixed = [0u8; FIXED_BYTES];
    let (epoch, seq) = fields.producer.map_or((0, 0), |producer| (producer.epoch, producer.seq));
    fixed[0] = VERSION;
    fixed[1] = fields.outcome.byte();
    fixed[2] = fields.severity.byte();
    fixed[3] = fields.class.byte();
    fixed[4] = if fields.trace.is_some() { FLAG_TRACE } else { 0 };
    fixed[5] = u8::from(!matches!(fields.id, Id::Uuid(_)));
    fixed[16..24].copy_from_slice(&fields.time.to_le_bytes());
    fixed[24..32].copy_from_slice(&fields.received.to_le_bytes());
    fixed[32..40].copy_from_slice(&fields.weight.to_le_bytes());
    fixed[40..48].copy_from_slice(&epoch.to_le_bytes());
    fixed[48..56].copy_from_slice(&seq.to_le_bytes());
    out.put_array(&fixed);
    match fields.id {
        Id::Uuid(bytes) => out.put_array(&bytes),
        Id::Text(text) => out.put_str16(text),
    }
    out.put_str16(fields.tenant);
    out.put_str16(fields.action);
    out.put_str16(fields.source);
    out.put_str16(fields.producer.map_or("", |producer| producer.id));
    if let Some(trace) = fields.trace {
        out.put_array(&trace.trace_id);
        out.put_array(&trace.span_id);
    }
    out.put_array(&[u8::try_from(fields.frameworks.len()).unwrap_or(u8::MAX)]);
    for framework in fields.frameworks {
        out.put_str16(framework);
    }
}
