//! A record: one position of a log as the journal stores it. Layout: docs/format/event.md.

use std::ops::Range;

use smallvec::SmallVec;

use crate::event::{Field, Tag};
use crate::hash::Hash;
use crate::head::{FIXED_BYTES, Head, TENANT_SEQ_OFFSET};
use crate::limits;
use crate::reader::Reader;

pub(crate) const HEADER_BYTES: usize = 12;
pub(crate) const GROUP_ENTRY_BYTES: usize = 6;
pub(crate) const KIND_EVENT: u8 = 1;
pub(crate) const KIND_CONTROL: u8 = 2;
pub(crate) const KIND_LEAF: u8 = 3;
pub(crate) const FLAG_IDEMPOTENCY: u8 = 1;
pub(crate) const IDEMPOTENCY_BYTES: usize = 32;
const FORMS_MAX: u8 = 2;

/// What a position of a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An event.
    Event,
    /// A control entry: canonical JSON in the clear.
    Control,
    /// A leaf hash in place of an event that lives elsewhere or has expired.
    Leaf,
}

/// Body of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// The value; its salt comes from the group's seed.
    Value(&'a [u8]),
    /// The value and its own salt.
    Salted([u8; 16], &'a [u8]),
    /// The value is withheld or erased; its commitment stays.
    Withheld(Hash),
}

impl<'a> Body<'a> {
    /// The value, unless it is withheld.
    #[must_use]
    pub const fn value(&self) -> Option<&'a [u8]> {
        match self {
            Self::Value(value) | Self::Salted(_, value) => Some(value),
            Self::Withheld(_) => None,
        }
    }
}

/// Digests that recognise a repeated request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// First 16 bytes of the key's SHA-256.
    pub key: [u8; 16],
    /// First 16 bytes of the SHA-256 of the caller's statement.
    pub statement: [u8; 16],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    tag: u8,
    form: u8,
    body: Range<usize>,
}

/// A record whose framing has been checked. Contents of the groups are read on demand.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    bytes: &'a [u8],
    kind: Kind,
    log: u32,
    groups: SmallVec<[Group; 4]>,
    idempotency: Option<Idempotency>,
    body: Range<usize>,
    spans: &'a [u8],
    spans_n: u8,
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `bytes`. `None`: what stands there is not a record of version 1.
    ///
    /// Spans are not looked at: who uses one gets what it points to, or nothing; [`Record::spans_are`] checks them all.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let length = Reader::new(bytes).length()?;
        let bytes = bytes.get(..length)?;
        if length > limits::RECORD_BYTES_MAX {
            return None;
        }
        let mut reader = Reader::new(bytes.get(4..)?);
        let (kind, flags, groups_n, spans_n) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
        let log = reader.u32()?;
        let mut record = Self {
            bytes,
            kind: Kind::Event,
            log,
            groups: SmallVec::new(),
            idempotency: None,
            body: HEADER_BYTES..length,
            spans: &[],
            spans_n: 0,
        };
        match kind {
            KIND_EVENT => {
                record.read_event(&mut reader, flags, groups_n, spans_n)?;
            }
            KIND_CONTROL if flags == 0 && groups_n == 0 && spans_n == 0 => {
                record.kind = Kind::Control;
                if !(2..=limits::CONTROL_BYTES_MAX).contains(&reader.rest().len()) {
                    return None;
                }
            }
            KIND_LEAF if flags == 0 && groups_n == 0 && spans_n == 0 && reader.rest().len() == 32 => {
                record.kind = Kind::Leaf;
            }
            _ => return None,
        }
        Some(record)
    }

    fn read_event(&mut self, reader: &mut Reader<'a>, flags: u8, groups_n: u8, spans_n: u8) -> Option<()> {
        if flags & !FLAG_IDEMPOTENCY != 0 || groups_n == 0 || usize::from(groups_n) > limits::GROUPS_MAX {
            return None;
        }
        let idempotency_bytes = if flags & FLAG_IDEMPOTENCY == 0 { 0 } else { IDEMPOTENCY_BYTES };
        let mut at = HEADER_BYTES + usize::from(groups_n) * GROUP_ENTRY_BYTES + idempotency_bytes;
        let mut previous = 0;
        for nth in 0..groups_n {
            let (tag, form, length) = (reader.u8()?, reader.u8()?, reader.length()?);
            let ordered = if nth == 0 { tag == Tag::HEAD.0 } else { tag > previous };
            let fits = match form {
                0 => true,
                1 => length >= 16,
                2 => length == 32,
                _ => false,
            };
            if !ordered || form > FORMS_MAX || !fits {
                return None;
            }
            previous = tag;
            let end = at.checked_add(length)?;
            self.groups.push(Group { tag, form, body: at..end });
            at = end;
        }
        if idempotency_bytes > 0 {
            self.idempotency = Some(Idempotency { key: reader.array()?, statement: reader.array()? });
        }
        self.spans = self.bytes.get(at..)?;
        self.spans_n = spans_n;
        Some(())
    }

    /// The whole record.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Which log of the store it belongs to.
    #[must_use]
    pub const fn log(&self) -> u32 {
        self.log
    }

    /// Digests of the caller's idempotency key, if one was given.
    #[must_use]
    pub const fn idempotency(&self) -> Option<Idempotency> {
        self.idempotency
    }

    /// The groups in order of their tags; none for control and leaf records.
    pub fn groups(&self) -> impl Iterator<Item = (Tag, Body<'a>)> + '_ {
        self.groups.iter().map(|group| (Tag(group.tag), self.body_of(group)))
    }

    /// One group.
    #[must_use]
    pub fn group(&self, tag: Tag) -> Option<Body<'a>> {
        self.groups.iter().find(|group| group.tag == tag.0).map(|group| self.body_of(group))
    }

    /// One group's value, if the group is there and not withheld.
    #[must_use]
    pub fn value(&self, tag: Tag) -> Option<&'a [u8]> {
        self.group(tag)?.value()
    }

    fn body_of(&self, group: &Group) -> Body<'a> {
        // `parse` has checked the ranges; the fall-backs are never taken.
        let body = self.bytes.get(group.body.clone()).unwrap_or_default();
        match (group.form, body.split_first_chunk::<16>()) {
            (1, Some((salt, value))) => Body::Salted(*salt, value),
            (2, _) => Body::Withheld(Hash::from_slice(body).unwrap_or_default()),
            _ => Body::Value(body),
        }
    }

    /// The head, if this is an event whose head is well formed and not withheld.
    #[must_use]
    pub fn head(&self) -> Option<Head<'a>> {
        Head::parse(self.value(Tag::HEAD)?)
    }

    /// The JSON of a control record.
    #[must_use]
    pub fn control(&self) -> Option<&'a [u8]> {
        (self.kind == Kind::Control).then(|| self.bytes.get(self.body.clone()))?
    }

    /// The hash of a leaf record.
    #[must_use]
    pub fn leaf(&self) -> Option<Hash> {
        (self.kind == Kind::Leaf).then(|| Hash::from_slice(self.bytes.get(self.body.clone())?))?
    }

    /// All spans in order, each with the bytes it points to.
    pub fn spans(&self) -> impl Iterator<Item = (Field, &'a [u8])> + '_ {
        self.span_offsets().filter_map(|(field, offset, length)| {
            let body = self.value(field.tag())?;
            Some((field, body.get(offset as usize..(offset as usize).checked_add(length as usize)?)?))
        })
    }

    /// All spans in order as (field, offset in the group's value, length).
    pub fn span_offsets(&self) -> impl Iterator<Item = (Field, u32, u32)> + use<'a> {
        let mut reader = Reader::new(self.spans);
        std::iter::from_fn(move || Some((Field::from_byte(reader.u8()?)?, reader.varint()?, reader.varint()?)))
    }

    /// Whether the stored spans are exactly these, encoded minimally.
    #[must_use]
    pub fn spans_are(&self, spans: &[(Field, u32, u32)]) -> bool {
        let mut reader = Reader::new(self.spans);
        let mut next = || Some((reader.u8()?, reader.varint()?, reader.varint()?));
        usize::from(self.spans_n) == spans.len()
            && spans.iter().all(|(field, offset, length)| next() == Some((field.byte(), *offset, *length)))
            && reader.rest().is_empty()
    }

    /// The first span of `field`: the still escaped inside of a string, or whole JSON for details.
    #[must_use]
    pub fn field(&self, field: Field) -> Option<&'a [u8]> {
        self.spans().find(|(found, _)| *found == field).map(|(_, bytes)| bytes)
    }
}

/// Iterates the records of a payload. Ends early, with `None` from [`Records::finished`], where bytes are not a record.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// Over `payload`.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn finished(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let record = Record::parse(self.rest)?;
        self.rest = self.rest.get(record.bytes.len()..)?;
        Some(record)
    }
}

/// Length and log of the record at the front of `bytes`, of which nothing else is looked at: for who parsed it before. `None`: there is not
/// so much.
#[must_use]
#[inline]
pub fn measure(bytes: &[u8]) -> Option<(usize, u32)> {
    let [a, b, c, d, _, _, _, _, e, f, g, h] = *bytes.first_chunk::<HEADER_BYTES>()?;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    (HEADER_BYTES..=bytes.len()).contains(&length).then_some((length, u32::from_le_bytes([e, f, g, h])))
}

/// What the committer must know of an event to number it.
#[derive(Debug, Clone, Copy)]
pub struct Routing<'a> {
    /// Length of the record.
    pub bytes: usize,
    /// Which log it goes to.
    pub log: u32,
    /// Whose event it is.
    pub tenant: &'a str,
    /// Id of its producer as bytes, its epoch and sequence number; an empty id: none.
    pub producer: (&'a [u8], u64, u64),
    /// Digests of its idempotency key.
    pub idempotency: Option<Idempotency>,
}

impl<'a> Routing<'a> {
    /// Of the event record at the front of `bytes`, which this process encoded itself: nothing else is checked. Total all the same.
    #[must_use]
    #[inline]
    pub fn peek(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let [a, b, c, d, _, flags, _, _, e, f, g, h] = *header;
        let (length, log) = (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]));
        let head_at = head_offset(bytes)?;
        let mut idempotency = None;
        if flags & FLAG_IDEMPOTENCY != 0 {
            let mut reader = Reader::new(bytes.get(head_at - IDEMPOTENCY_BYTES..)?);
            idempotency = Some(Idempotency { key: reader.array()?, statement: reader.array()? });
        }
        let head = bytes.get(head_at..length)?;
        let fixed = head.first_chunk::<FIXED_BYTES>()?;
        let mut reader = Reader::new(fixed.get(40..)?);
        let (epoch, seq) = (reader.u64()?, reader.u64()?);
        let mut reader = Reader::new(head.get(FIXED_BYTES..)?);
        if fixed[5] == 0 {
            reader.take(16)?;
        } else {
            reader.bytes16()?;
        }
        let tenant = std::str::from_utf8(reader.bytes16()?).ok()?;
        reader.bytes16()?;
        reader.bytes16()?;
        let producer = reader.bytes16()?;
        Some(Self { bytes: length, log, tenant, producer: (producer, epoch, seq), idempotency })
    }
}

/// Where the head begins in an event record that this process encoded itself.
#[inline]
fn head_offset(record: &[u8]) -> Option<usize> {
    let [flags, groups_n] = *record.get(5..7)?.first_chunk()?;
    let idempotency = if flags & FLAG_IDEMPOTENCY == 0 { 0 } else { IDEMPOTENCY_BYTES };
    Some(HEADER_BYTES + usize::from(groups_n) * GROUP_ENTRY_BYTES + idempotency)
}

/// The values of the event record at the front of `bytes`, which this process encoded itself, tags ascending.
pub fn values(bytes: &[u8]) -> impl Iterator<Item = (Tag, &[u8])> {
    let groups_n = bytes.get(6).copied().unwrap_or_default();
    let (table, _) = bytes.get(HEADER_BYTES..).unwrap_or_default().as_chunks::<GROUP_ENTRY_BYTES>();
    let mut at = head_offset(bytes).unwrap_or_default();
    table.iter().take(usize::from(groups_n)).map_while(move |[tag, _, a, b, c, d]| {
        let end = at.checked_add(u32::from_le_bytes([*a, *b, *c, *d]) as usize)?;
        let value = bytes.get(at..end)?;
        at = end;
        Some((Tag(*tag), value))
    })
}

/// Writes `tenant_seq` into an event record that this process encoded itself.
pub fn set_tenant_seq(record: &mut [u8], tenant_seq: u64) -> Option<()> {
    let at = head_offset(record)? + TENANT_SEQ_OFFSET;
    record.get_mut(at..at + 8)?.copy_from_slice(&tenant_seq.to_le_bytes());
    Some(())
}

/// Appends a control record.
///
/// # Errors
/// `None` when `json` is longer than [`limits::CONTROL_BYTES_MAX`]; `out` is then as it was.
pub fn encode_control(log: u32, json: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if json.len() > limits::CONTROL_BYTES_MAX {
        return None;
    }
    let length = u32::try_from(HEADER_BYTES + json.len()).ok()?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[KIND_CONTROL, 0, 0, 0]);
    out.extend_from_slice(&log.to_le_bytes());
    out.extend_from_slice(json);
    Some(())
}

/// Appends a leaf record: a hash in place of an event.
pub fn encode_leaf(log: u32, leaf: &Hash, out: &mut Vec<u8>) {
    let length = u32::try_from(HEADER_BYTES + leaf.0.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[KIND_LEAF, 0, 0, 0]);
    out.extend_from_slice(&log.to_le_bytes());
    out.extend_from_slice(&leaf.0);
}

/// Puts digests into an event record that has none and fills `record`: for who rebuilds a record whose key is not known any more.
/// `None`: it has some, or is too short; it is then as it was.
pub fn insert_idempotency(record: &mut Vec<u8>, idempotency: &Idempotency) -> Option<()> {
    let at = head_offset(record)?;
    let length = u32::try_from(record.len() + IDEMPOTENCY_BYTES).ok()?;
    if record.get(5)? & FLAG_IDEMPOTENCY != 0 || record.len() < at {
        return None;
    }
    record.splice(at..at, idempotency.key.into_iter().chain(idempotency.statement));
    record.get_mut(..4)?.copy_from_slice(&length.to_le_bytes());
    *record.get_mut(5)? |= FLAG_IDEMPOTENCY;
    Some(())
}

/// Writes what only the holder of the lane knows into an event record that this process encoded itself: the local producer's
/// sequence number, and the random bits of a UUIDv7, each if it is given. A producer that counts by itself keeps its number.
pub fn set_local(record: &mut [u8], producer_seq: Option<u64>, random: Option<[u8; 10]>) -> Option<()> {
    let head = head_offset(record)?;
    if let Some(seq) = producer_seq {
        record.get_mut(head + 48..head + 56)?.copy_from_slice(&seq.to_le_bytes());
    }
    if let Some(mut random) = random {
        // RFC 9562: version 7 in the high nibble of byte 6, variant 10 in the high bits of byte 8.
        random[0] = random[0] & 0x0f | 0x70;
        random[2] = random[2] & 0x3f | 0x80;
        record.get_mut(head + 62..head + 72)?.copy_from_slice(&random);
    }
    Some(())
}
