//! From records to columns.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, FixedSizeBinaryBuilder, ListBuilder, StringBuilder, StructBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch, StructArray, TimestampNanosecondArray};
use arrow_buffer::{NullBuffer, NullBufferBuilder};
use arrow_schema::Fields;
use indelible_format::event::Field;
use indelible_format::head::Id;
use indelible_format::json;
use indelible_format::record::{Body, Kind};
use indelible_format::{Head, Record, Tag};

use crate::error::Result;
use crate::schema::{SCHEMA, TARGET, framework_item, kind, name, target_item};

/// Builds the columns of a few thousand rows.
pub(crate) struct Columns {
    rows: usize,
    seq: UInt64Builder,
    kind: StringBuilder,
    id: FixedSizeBinaryBuilder,
    id_text: StringBuilder,
    time: Vec<Option<i64>>,
    received: Vec<Option<i64>>,
    tenant: StringBuilder,
    tenant_seq: UInt64Builder,
    action: StringBuilder,
    outcome: StringBuilder,
    severity: StringBuilder,
    class: StringBuilder,
    source: StringBuilder,
    weight: UInt64Builder,
    producer: (NullBufferBuilder, StringBuilder, UInt64Builder, UInt64Builder),
    trace: (NullBufferBuilder, FixedSizeBinaryBuilder, FixedSizeBinaryBuilder),
    frameworks: ListBuilder<StringBuilder>,
    actor: Texts<4>,
    session: StringBuilder,
    origin: Texts<3>,
    identity_details: StringBuilder,
    targets: ListBuilder<StructBuilder>,
    details: StringBuilder,
    raw: (NullBufferBuilder, StringBuilder, BinaryBuilder),
    idempotency: (NullBufferBuilder, FixedSizeBinaryBuilder, FixedSizeBinaryBuilder),
    control: StringBuilder,
    leaf: FixedSizeBinaryBuilder,
}

/// A group of `N` texts of which any may be missing; the group is there when one of them is.
struct Texts<const N: usize> {
    there: NullBufferBuilder,
    members: [StringBuilder; N],
}

impl<const N: usize> Texts<N> {
    fn new(rows: usize) -> Self {
        Self { there: NullBufferBuilder::new(rows), members: std::array::from_fn(|_| StringBuilder::with_capacity(rows, 0)) }
    }

    fn push(&mut self, texts: [Option<Cow<'_, str>>; N]) {
        self.there.append(texts.iter().any(Option::is_some));
        for (member, text) in self.members.iter_mut().zip(texts) {
            member.append_option(text);
        }
    }

    fn finish(&mut self, fields: &Fields) -> ArrayRef {
        let arrays = self.members.iter_mut().map(|member| Arc::new(member.finish()) as ArrayRef).collect();
        group(fields, arrays, self.there.finish())
    }
}

fn group(fields: &Fields, members: Vec<ArrayRef>, there: Option<NullBuffer>) -> ArrayRef {
    Arc::new(StructArray::new(fields.clone(), members, there))
}

/// Members of a group column.
fn members(of: &str) -> Fields {
    match SCHEMA.field_with_name(of).map(|field| field.data_type().clone()) {
        Ok(arrow_schema::DataType::Struct(fields)) => fields,
        _ => Fields::empty(),
    }
}

impl Columns {
    pub(crate) fn new(rows: usize) -> Self {
        let text = || StringBuilder::with_capacity(rows, 0);
        let number = || UInt64Builder::with_capacity(rows);
        let fixed = |bytes| FixedSizeBinaryBuilder::with_capacity(rows, bytes);
        let there = || NullBufferBuilder::new(rows);
        Self {
            rows: 0,
            seq: number(),
            kind: text(),
            id: fixed(16),
            id_text: text(),
            time: Vec::with_capacity(rows),
            received: Vec::with_capacity(rows),
            tenant: text(),
            tenant_seq: number(),
            action: text(),
            outcome: text(),
            severity: text(),
            class: text(),
            source: text(),
            weight: number(),
            producer: (there(), text(), number(), number()),
            trace: (there(), fixed(16), fixed(8)),
            frameworks: ListBuilder::new(StringBuilder::new()).with_field(framework_item()),
            actor: Texts::new(rows),
            session: text(),
            origin: Texts::new(rows),
            identity_details: text(),
            targets: ListBuilder::new(StructBuilder::from_fields(TARGET.clone(), rows)).with_field(target_item()),
            details: text(),
            raw: (there(), text(), BinaryBuilder::new()),
            idempotency: (there(), fixed(16), fixed(16)),
            control: text(),
            leaf: fixed(32),
        }
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds one row.
    pub(crate) fn push(&mut self, seq: u64, record: &Record<'_>) -> Result<()> {
        self.rows += 1;
        self.seq.append_value(seq);
        let (kind, head) = match record.kind() {
            Kind::Event => (kind::EVENT, record.head()),
            Kind::Control => (kind::CONTROL, None),
            Kind::Leaf => (kind::LEAF, None),
        };
        self.kind.append_value(kind);
        self.head(head.as_ref())?;
        self.groups(record)?;
        self.control.append_option(record.control().and_then(|json| std::str::from_utf8(json).ok()));
        fixed(&mut self.leaf, record.leaf().as_ref().map(|hash| hash.0.as_slice()))
    }

    fn head(&mut self, head: Option<&Head<'_>>) -> Result<()> {
        let (uuid, text) = match head.map(|head| head.id) {
            Some(Id::Uuid(uuid)) => (Some(uuid), None),
            Some(Id::Text(text)) => (None, Some(text)),
            None => (None, None),
        };
        fixed(&mut self.id, uuid.as_ref().map(<[u8; 16]>::as_slice))?;
        self.id_text.append_option(text);
        self.time.push(head.map(|head| head.time));
        self.received.push(head.map(|head| head.received));
        self.tenant.append_option(head.map(|head| head.tenant));
        self.tenant_seq.append_option(head.map(|head| head.tenant_seq));
        self.action.append_option(head.map(|head| head.action));
        self.outcome.append_option(head.map(|head| head.outcome.name()));
        self.severity.append_option(head.map(|head| head.severity.name()));
        self.class.append_option(head.map(|head| head.class.name()));
        self.source.append_option(head.map(|head| head.source));
        self.weight.append_option(head.map(|head| head.weight));
        let producer = head.and_then(|head| head.producer);
        let (there, id, epoch, count) = &mut self.producer;
        there.append(producer.is_some());
        id.append_option(producer.map(|producer| producer.id));
        epoch.append_option(producer.map(|producer| producer.epoch));
        count.append_option(producer.map(|producer| producer.seq));
        let trace = head.and_then(|head| head.trace);
        let (there, trace_id, span_id) = &mut self.trace;
        there.append(trace.is_some());
        fixed(trace_id, trace.as_ref().map(|trace| trace.trace_id.as_slice()))?;
        fixed(span_id, trace.as_ref().map(|trace| trace.span_id.as_slice()))?;
        let frameworks: Vec<&str> = head.map(|head| head.frameworks().collect()).unwrap_or_default();
        frameworks.iter().for_each(|framework| self.frameworks.values().append_value(framework));
        self.frameworks.append(!frameworks.is_empty());
        Ok(())
    }

    fn groups(&mut self, record: &Record<'_>) -> Result<()> {
        let field = |field: Field| record.field(field).map(unescaped);
        self.actor.push([Field::ActorId, Field::ActorType, Field::ActorName, Field::ActorEmail].map(field));
        self.session.append_option(field(Field::Session));
        self.origin.push([Field::OriginIp, Field::OriginUserAgent, Field::OriginHost].map(field));
        self.identity_details.append_option(record.field(Field::IdentityDetails).map(verbatim));
        self.details.append_option(record.field(Field::Details).map(verbatim));
        self.targets(record);
        let raw = match record.group(Tag::RAW) {
            Some(Body::Value(raw)) => split_raw(raw),
            _ => None,
        };
        let (there, media_type, bytes) = &mut self.raw;
        there.append(raw.is_some());
        media_type.append_option(raw.map(|(media_type, _)| media_type));
        bytes.append_option(raw.map(|(_, bytes)| bytes));
        let idempotency = record.idempotency();
        let (there, key, statement) = &mut self.idempotency;
        there.append(idempotency.is_some());
        fixed(key, idempotency.as_ref().map(|idempotency| idempotency.key.as_slice()))?;
        fixed(statement, idempotency.as_ref().map(|idempotency| idempotency.statement.as_slice()))
    }

    fn targets(&mut self, record: &Record<'_>) {
        let mut any = false;
        let mut open: [Option<&[u8]>; 3] = [None; 3];
        for (field, bytes) in record.spans() {
            let member = match field {
                Field::Target => {
                    if any {
                        self.target(open);
                    }
                    any = true;
                    open = [None; 3];
                    continue;
                }
                Field::TargetType => 0,
                Field::TargetId => 1,
                Field::TargetName => 2,
                _ => continue,
            };
            if let Some(member) = open.get_mut(member) {
                *member = Some(bytes);
            }
        }
        if any {
            self.target(open);
        }
        self.targets.append(any);
    }

    fn target(&mut self, texts: [Option<&[u8]>; 3]) {
        let element = self.targets.values();
        for (nth, text) in texts.into_iter().enumerate() {
            if let Some(member) = element.field_builder::<StringBuilder>(nth) {
                member.append_option(text.map(unescaped));
            }
        }
        element.append(true);
    }

    /// All columns but `record`, and starts anew.
    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        self.rows = 0;
        let times = |times: &mut Vec<Option<i64>>| -> ArrayRef {
            Arc::new(TimestampNanosecondArray::from(std::mem::take(times)).with_timezone("UTC"))
        };
        let (there, id, epoch, count) = &mut self.producer;
        let producer: Vec<ArrayRef> = vec![Arc::new(id.finish()), Arc::new(epoch.finish()), Arc::new(count.finish())];
        let producer = group(&members(name::PRODUCER), producer, there.finish());
        let (there, trace_id, span_id) = &mut self.trace;
        let trace = group(&members(name::TRACE), vec![Arc::new(trace_id.finish()), Arc::new(span_id.finish())], there.finish());
        let (there, media_type, bytes) = &mut self.raw;
        let raw = group(&members(name::RAW), vec![Arc::new(media_type.finish()), Arc::new(bytes.finish())], there.finish());
        let (there, key, statement) = &mut self.idempotency;
        let digests: Vec<ArrayRef> = vec![Arc::new(key.finish()), Arc::new(statement.finish())];
        let idempotency = group(&members(name::IDEMPOTENCY), digests, there.finish());
        vec![
            Arc::new(self.seq.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.id.finish()),
            Arc::new(self.id_text.finish()),
            times(&mut self.time),
            times(&mut self.received),
            Arc::new(self.tenant.finish()),
            Arc::new(self.tenant_seq.finish()),
            Arc::new(self.action.finish()),
            Arc::new(self.outcome.finish()),
            Arc::new(self.severity.finish()),
            Arc::new(self.class.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.weight.finish()),
            producer,
            trace,
            Arc::new(self.frameworks.finish()),
            self.actor.finish(&members(name::ACTOR)),
            Arc::new(self.session.finish()),
            self.origin.finish(&members(name::ORIGIN)),
            Arc::new(self.identity_details.finish()),
            Arc::new(self.targets.finish()),
            Arc::new(self.details.finish()),
            raw,
            idempotency,
            Arc::new(self.control.finish()),
            Arc::new(self.leaf.finish()),
        ]
    }
}

/// The columns and the records kept whole, as one batch.
pub(crate) fn batch(mut columns: Vec<ArrayRef>, whole: ArrayRef) -> Result<RecordBatch> {
    columns.push(whole);
    Ok(RecordBatch::try_new(SCHEMA.clone(), columns)?)
}

fn fixed(column: &mut FixedSizeBinaryBuilder, bytes: Option<&[u8]>) -> Result<()> {
    match bytes {
        Some(bytes) => column.append_value(bytes)?,
        None => column.append_null(),
    }
    Ok(())
}

/// The text that the inside of a JSON string stands for.
fn unescaped(inside: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(inside).map_or(Cow::Borrowed(""), json::unescape)
}

fn verbatim(json: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(json)
}

/// Media type and bytes of a raw group.
pub(crate) fn split_raw(raw: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = raw.split_first_chunk()?;
    let (media_type, bytes) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((std::str::from_utf8(media_type).ok()?, bytes))
}
