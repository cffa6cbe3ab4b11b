//! From columns back to records, byte for byte.
//!
//! A row whose `record` is there is that record. Any other is laid out again by the encoder that admission uses, from what the columns
//! say: both write canonical bytes, so whoever sealed the row could compare the two and did.

use arrow_array::types::TimestampNanosecondType;
use arrow_array::{
    Array, BinaryArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, RecordBatch, StringArray, StructArray, UInt64Array,
};
use indelible_format::draft::{Raw, Target};
use indelible_format::head::Trace;
use indelible_format::record::{self, Idempotency};
use indelible_format::taxonomy::Action;
use indelible_format::{Canonical, Draft, Hash, Producer, Stamp, encode};

use crate::error::{Result, SegmentError};
use crate::schema::{kind, name};

/// The columns of one batch, by type.
pub(crate) struct Batch<'b> {
    pub(crate) seq: &'b UInt64Array,
    kind: &'b StringArray,
    id: &'b FixedSizeBinaryArray,
    id_text: &'b StringArray,
    time: &'b PrimitiveArray<TimestampNanosecondType>,
    received: &'b PrimitiveArray<TimestampNanosecondType>,
    tenant: &'b StringArray,
    tenant_seq: &'b UInt64Array,
    action: &'b StringArray,
    outcome: &'b StringArray,
    severity: &'b StringArray,
    class: &'b StringArray,
    source: &'b StringArray,
    weight: &'b UInt64Array,
    producer: (&'b StructArray, &'b StringArray, &'b UInt64Array, &'b UInt64Array),
    trace: (&'b StructArray, &'b FixedSizeBinaryArray, &'b FixedSizeBinaryArray),
    frameworks: (&'b ListArray, &'b StringArray),
    actor: [&'b StringArray; 4],
    session: &'b StringArray,
    origin: [&'b StringArray; 3],
    identity_details: &'b StringArray,
    targets: (&'b ListArray, [&'b StringArray; 3]),
    details: &'b StringArray,
    raw: (&'b StructArray, &'b StringArray, &'b BinaryArray),
    idempotency: (&'b StructArray, &'b FixedSizeBinaryArray, &'b FixedSizeBinaryArray),
    control: &'b StringArray,
    leaf: &'b FixedSizeBinaryArray,
    whole: Option<&'b BinaryArray>,
}

/// Reused from row to row.
#[derive(Default)]
pub(crate) struct Scratch {
    memory: Vec<u8>,
}

const OTHER_SCHEMA: SegmentError = SegmentError::Foreign("its columns are not those of a segment");

fn column<'b, T: Array + 'static>(batch: &'b RecordBatch, name: &str) -> Result<&'b T> {
    batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref()).ok_or(OTHER_SCHEMA)
}

fn member<'b, T: Array + 'static>(group: &'b StructArray, name: &str) -> Result<&'b T> {
    group.column_by_name(name).and_then(|column| column.as_any().downcast_ref()).ok_or(OTHER_SCHEMA)
}

impl<'b> Batch<'b> {
    /// Of a batch with all columns; `record` may be missing while it is being decided.
    pub(crate) fn of(batch: &'b RecordBatch) -> Result<Self> {
        let group = |name| column::<StructArray>(batch, name);
        let (producer, trace, raw) = (group(name::PRODUCER)?, group(name::TRACE)?, group(name::RAW)?);
        let (actor, origin, idempotency) = (group(name::ACTOR)?, group(name::ORIGIN)?, group(name::IDEMPOTENCY)?);
        let frameworks: &ListArray = column(batch, "frameworks")?;
        let targets: &ListArray = column(batch, "targets")?;
        let element: &StructArray = targets.values().as_any().downcast_ref().ok_or(OTHER_SCHEMA)?;
        Ok(Self {
            seq: column(batch, "seq")?,
            kind: column(batch, "kind")?,
            id: column(batch, "id")?,
            id_text: column(batch, "id_text")?,
            time: column(batch, "time")?,
            received: column(batch, "received")?,
            tenant: column(batch, "tenant")?,
            tenant_seq: column(batch, "tenant_seq")?,
            action: column(batch, "action")?,
            outcome: column(batch, "outcome")?,
            severity: column(batch, "severity")?,
            class: column(batch, "class")?,
            source: column(batch, "source")?,
            weight: column(batch, "weight")?,
            producer: (producer, member(producer, "id")?, member(producer, "epoch")?, member(producer, "seq")?),
            trace: (trace, member(trace, "trace_id")?, member(trace, "span_id")?),
            frameworks: (frameworks, frameworks.values().as_any().downcast_ref().ok_or(OTHER_SCHEMA)?),
            actor: [member(actor, "id")?, member(actor, "type")?, member(actor, "name")?, member(actor, "email")?],
            session: column(batch, "session")?,
            origin: [member(origin, "ip")?, member(origin, "user_agent")?, member(origin, "host")?],
            identity_details: column(batch, "identity_details")?,
            targets: (targets, [member(element, "type")?, member(element, "id")?, member(element, "name")?]),
            details: column(batch, "details")?,
            raw: (raw, member(raw, "media_type")?, member(raw, "bytes")?),
            idempotency: (idempotency, member(idempotency, "key")?, member(idempotency, "statement")?),
            control: column(batch, "control")?,
            leaf: column(batch, "leaf")?,
            whole: batch.column_by_name("record").map(|_| column(batch, "record")).transpose()?,
        })
    }

    /// The record of a row, in memory that `scratch` keeps. `None`: the columns describe no record.
    pub(crate) fn record<'s>(&self, row: usize, log: u32, scratch: &'s mut Scratch) -> Option<&'s [u8]> {
        let memory = &mut scratch.memory;
        if let Some(whole) = self.whole.filter(|whole| whole.is_valid(row)) {
            memory.clear();
            memory.extend_from_slice(whole.value(row));
            return Some(memory);
        }
        match self.kind.value(row) {
            kind::EVENT => self.event(row, log, memory),
            kind::CONTROL => {
                memory.clear();
                record::encode_control(log, text(self.control, row)?.as_bytes(), memory)?;
                Some(memory)
            }
            kind::LEAF => {
                memory.clear();
                record::encode_leaf(log, &Hash(fixed(self.leaf, row)?), memory);
                Some(memory)
            }
            _ => None,
        }
    }

    fn event<'s>(&self, row: usize, log: u32, memory: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        let (frameworks, texts) = &self.frameworks;
        let frameworks: Vec<&str> = span(frameworks, row).map(|at| text(texts, at)).collect::<Option<_>>()?;
        let mut draft = Draft::new(Action::named(text(self.action, row)?));
        draft.outcome = text(self.outcome, row)?.parse().ok()?;
        draft.severity = Some(text(self.severity, row)?.parse().ok()?);
        draft.class = Some(text(self.class, row)?.parse().ok()?);
        draft.id = text(self.id_text, row);
        draft.time = Some(number(self.time, row)?);
        draft.tenant = Some(text(self.tenant, row)?);
        draft.source = text(self.source, row)?;
        draft.weight = number(self.weight, row)?;
        draft.frameworks = &frameworks;
        draft.producer = self.producer(row)?;
        draft.trace = self.trace(row)?;
        let [id, kind, name, email] = self.actor.map(|column| text(column, row));
        (draft.actor.id, draft.actor.kind, draft.actor.name, draft.actor.email) = (id, kind, name, email);
        draft.session = text(self.session, row);
        let [ip, user_agent, host] = self.origin.map(|column| text(column, row));
        (draft.origin.ip, draft.origin.user_agent, draft.origin.host) = (ip, user_agent, host);
        draft.identity_details = text(self.identity_details, row).map(|json| Canonical::trusted(json.as_bytes()));
        let (targets, [kinds, ids, names]) = &self.targets;
        let target = |at| Target { kind: text(kinds, at), id: text(ids, at), name: text(names, at) };
        draft.targets.extend(span(targets, row).map(target));
        if let Some(json) = text(self.details, row) {
            draft = draft.details_json(Canonical::trusted(json.as_bytes()));
        }
        let (raw, media_types, bytes) = &self.raw;
        if raw.is_valid(row) {
            draft.raw = Some(Raw { media_type: text(media_types, row)?, bytes: bytes.is_valid(row).then(|| bytes.value(row))? });
        }
        let uuid = if draft.id.is_some() { [0; 16] } else { fixed(self.id, row)? };
        let stamp = Stamp { received: number(self.received, row)?, uuid, producer: None, tenant: "", log };
        let encoded = encode(&draft, &stamp, memory).ok()?;
        record::set_tenant_seq(memory, number(self.tenant_seq, row)?)?;
        let (idempotency, keys, statements) = &self.idempotency;
        if idempotency.is_valid(row) {
            let digests = Idempotency { key: fixed(keys, row)?, statement: fixed(statements, row)? };
            memory.truncate(encoded.bytes);
            record::insert_idempotency(memory, &digests)?;
            return Some(memory);
        }
        memory.get(..encoded.bytes)
    }

    fn producer(&self, row: usize) -> Option<Option<Producer<'_>>> {
        let (producer, ids, epochs, counts) = &self.producer;
        if producer.is_null(row) {
            return Some(None);
        }
        Some(Some(Producer { id: text(ids, row)?, epoch: number(epochs, row)?, seq: number(counts, row)? }))
    }

    fn trace(&self, row: usize) -> Option<Option<Trace>> {
        let (trace, trace_ids, span_ids) = &self.trace;
        if trace.is_null(row) {
            return Some(None);
        }
        Some(Some(Trace { trace_id: fixed(trace_ids, row)?, span_id: fixed(span_ids, row)? }))
    }
}

fn text(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

fn number<T: arrow_array::ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

fn fixed<const N: usize>(column: &FixedSizeBinaryArray, row: usize) -> Option<[u8; N]> {
    column.is_valid(row).then(|| column.value(row).try_into().ok())?
}

/// The elements of a row's list, as indices into its values.
fn span(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    if list.is_null(row) {
        return 0..0;
    }
    let at = |nth: usize| list.value_offsets().get(nth).and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}
