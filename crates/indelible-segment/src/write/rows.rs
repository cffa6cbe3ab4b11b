//! From records to columns.

use std::borrow::Cow;

use indelible_format::event::Field;
use indelible_format::head::Id;
use indelible_format::record::{Body, Kind};
use indelible_format::{Head, Record, Tag};
use indelible_format::{json, limits};

use crate::column::{Column, PerColumn};
use crate::error::Result;
use crate::index::{IndexBuilder, IndexField};
use crate::layout::{Event, Target, Text, is_plain};
use crate::limits::STRIDE;
use crate::write::column::ColumnWriter;
use crate::write::column_of;
use crate::write::page::PageMaker;

/// What a row is.
pub(crate) mod kind {
    pub(crate) const EVENT: &[u8] = b"event";
    pub(crate) const CONTROL: &[u8] = b"control";
    pub(crate) const LEAF: &[u8] = b"leaf";
}

/// How often what was pushed since the last stride is in memory when its pages are made: as it came, compressed, and in the column.
pub(crate) const PENDING_COPIES: usize = 3;

/// All columns in the making, and the index of their terms.
pub(crate) struct Columns {
    writers: PerColumn<ColumnWriter>,
    pub(crate) index: IndexBuilder,
    rows: u32,
    /// Bytes of memory that all of it took when the last stride ended, and bytes of the records since.
    settled_bytes: usize,
    pending_bytes: usize,
    /// The last record laid out again.
    rebuilt: Vec<u8>,
    /// Whether records are laid out again and compared.
    pub(crate) compares: bool,
}

impl Columns {
    pub(crate) fn new() -> Self {
        Self {
            writers: PerColumn::new(ColumnWriter::new),
            index: IndexBuilder::default(),
            rows: 0,
            settled_bytes: 0,
            pending_bytes: 0,
            rebuilt: Vec::new(),
            compares: true,
        }
    }

    /// Bytes of memory that the rows so far take, and ending the page of the newest will for a moment.
    pub(crate) const fn memory(&self) -> usize {
        self.settled_bytes + PENDING_COPIES * self.pending_bytes
    }

    pub(crate) fn into_writers(self) -> (PerColumn<ColumnWriter>, IndexBuilder) {
        (self.writers, self.index)
    }

    /// Adds one row. Gives whether its record is kept whole: because the columns do not give it back exactly, or because `whole`.
    pub(crate) fn push(
        &mut self,
        seq: u64,
        record: &Record<'_>,
        head: Option<&Head<'_>>,
        whole: bool,
        maker: &mut PageMaker,
    ) -> Result<bool> {
        self.begin_row(seq, record);
        let event = head.map(|head| event_of(record, head, self.compares));
        let exact = match record.kind() {
            Kind::Event => {
                let rebuilt = &mut self.rebuilt;
                event.as_ref().is_some_and(|event| !self.compares || event.lay_out(record.log(), rebuilt) == Some(record.bytes()))
            }
            // What a control entry says is JSON, and so UTF-8; what is not goes by its bytes.
            Kind::Control => record.control().is_some_and(|json| std::str::from_utf8(json).is_ok()),
            Kind::Leaf => true,
        };
        match &event {
            Some(event) => self.event(event),
            None => self.no_event(record),
        }
        let whole = whole || !exact;
        self.end_row(record, whole, maker)?;
        Ok(whole)
    }

    /// Adds a row of a table, which shows an event to others: its details as they are given, if they are. The record stands beside its
    /// columns if those of a segment would not give it back exactly.
    pub(crate) fn push_shown(
        &mut self,
        seq: u64,
        record: &Record<'_>,
        head: &Head<'_>,
        details: Option<&[u8]>,
        maker: &mut PageMaker,
    ) -> Result<()> {
        self.begin_row(seq, record);
        let mut event = event_of(record, head, true);
        let exact = event.lay_out(record.log(), &mut self.rebuilt) == Some(record.bytes());
        if details.is_some() {
            (event.identity_details, event.details) = (None, details);
        }
        self.event(&event);
        self.end_row(record, !exact, maker)
    }

    fn begin_row(&mut self, seq: u64, record: &Record<'_>) {
        self.index.row(self.rows);
        self.writers.of_mut(Column::Seq).number(seq.cast_signed());
        self.writers.of_mut(Column::Log).number(i64::from(record.log()));
        let kind = match record.kind() {
            Kind::Event => kind::EVENT,
            Kind::Control => kind::CONTROL,
            Kind::Leaf => kind::LEAF,
        };
        self.writers.of_mut(Column::Kind).bytes(kind);
    }

    fn end_row(&mut self, record: &Record<'_>, whole: bool, maker: &mut PageMaker) -> Result<()> {
        let control = record.control().filter(|json| std::str::from_utf8(json).is_ok());
        self.optional(Column::Control, control);
        self.optional(Column::Leaf, record.leaf().as_ref().map(|hash| hash.0.as_slice()));
        self.optional(Column::Record, whole.then(|| record.bytes()));
        self.rows += 1;
        self.pending_bytes += record.bytes().len();
        if self.rows.is_multiple_of(STRIDE) {
            self.stride(STRIDE, maker)?;
        }
        Ok(())
    }

    /// Ends the pages that are full; `rows` were added since it was last called.
    fn stride(&mut self, rows: u32, maker: &mut PageMaker) -> Result<()> {
        self.writers.iter_mut().for_each(|(_, writer)| writer.settle());
        // Blocks are whole strides.
        self.index.row(self.rows.saturating_sub(1));
        for field in IndexField::ALL.iter().copied().filter(|field| *field != IndexField::TenantAction) {
            if let Some(words) = self.writers.of(column_of(field)).settled() {
                self.index.add_words(field, words);
            }
        }
        if let (Some(tenants), Some(actions)) =
            (self.writers.of(Column::Tenant).settled(), self.writers.of(Column::Action).settled())
        {
            self.index.add_pairs(tenants, actions);
        }
        self.writers.iter_mut().try_for_each(|(_, writer)| writer.stride(rows, maker))?;
        self.pending_bytes = 0;
        self.settled_bytes = self.index.memory() + self.writers.iter().map(|(_, writer)| writer.memory()).sum::<usize>();
        Ok(())
    }

    /// Hands on the rows since the last full stride.
    pub(crate) fn finish(&mut self, maker: &mut PageMaker) -> Result<()> {
        match self.rows % STRIDE {
            0 => Ok(()),
            rows => self.stride(rows, maker),
        }
    }

    #[inline]
    fn optional(&mut self, column: Column, value: Option<&[u8]>) {
        self.member(column, value, 0);
    }

    /// A value, or a null whose level says whether the group around it is there.
    #[inline]
    fn member(&mut self, column: Column, value: Option<&[u8]>, level: u8) {
        let writer = self.writers.of_mut(column);
        match value {
            Some(value) => writer.bytes(value),
            None => writer.null(level),
        }
    }

    #[inline]
    fn number(&mut self, column: Column, value: Option<i64>) {
        let writer = self.writers.of_mut(column);
        match value {
            Some(value) => writer.number(value),
            None => writer.null(0),
        }
    }

    /// A text that is indexed: by its number when the stride ends, if it has one.
    #[inline]
    fn term(&mut self, column: Column, field: IndexField, value: Option<&[u8]>, level: u8) {
        self.member(column, value, level);
        if let Some(value) = value
            && !self.writers.of(column).has_words()
        {
            self.index.add(field, value);
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        let there = |there: bool| u8::from(there);
        self.optional(Column::Id, event.uuid.as_ref().map(<[u8; 16]>::as_slice));
        if let Some(uuid) = &event.uuid {
            self.index.add_id(uuid);
        }
        let id_text = event.uuid.is_none().then_some(event.id_text);
        self.term(Column::IdText, IndexField::IdText, id_text, 0);
        self.number(Column::Time, Some(event.time));
        self.number(Column::Received, Some(event.received));
        self.term(Column::Tenant, IndexField::Tenant, Some(event.tenant), 0);
        self.number(Column::TenantSeq, Some(event.tenant_seq.cast_signed()));
        self.term(Column::Action, IndexField::Action, Some(event.action), 0);
        if !(self.writers.of(Column::Tenant).has_words() && self.writers.of(Column::Action).has_words()) {
            self.index.add_pair(event.tenant, event.action);
        }
        for (column, word) in [Column::Outcome, Column::Severity, Column::Class].into_iter().zip(words_of(event)) {
            self.optional(column, word.map(str::as_bytes));
        }
        self.optional(Column::Source, Some(event.source));
        self.number(Column::Weight, Some(event.weight.cast_signed()));
        self.optional(Column::ProducerId, event.producer.map(|(id, ..)| id));
        self.number(Column::ProducerEpoch, event.producer.map(|(_, epoch, _)| epoch.cast_signed()));
        self.number(Column::ProducerSeq, event.producer.map(|(.., count)| count.cast_signed()));
        let trace_id = event.trace.as_ref().map(|(trace_id, _)| trace_id.as_slice());
        self.term(Column::TraceId, IndexField::TraceId, trace_id, 0);
        self.optional(Column::SpanId, event.trace.as_ref().map(|(_, span_id)| span_id.as_slice()));
        self.frameworks(&event.frameworks);

        let actor = there(event.actor.iter().any(Option::is_some));
        let [id, kind, name, email] = &event.actor;
        self.term(Column::ActorId, IndexField::ActorId, bytes(id), actor);
        self.member(Column::ActorType, bytes(kind), actor);
        self.member(Column::ActorName, bytes(name), actor);
        self.member(Column::ActorEmail, bytes(email), actor);
        self.term(Column::Session, IndexField::Session, bytes(&event.session), 0);
        let origin = there(event.origin.iter().any(Option::is_some));
        let [ip, user_agent, host] = &event.origin;
        self.term(Column::OriginIp, IndexField::OriginIp, bytes(ip), origin);
        self.member(Column::OriginUserAgent, bytes(user_agent), origin);
        self.member(Column::OriginHost, bytes(host), origin);

        self.optional(Column::IdentityDetails, event.identity_details);
        self.targets(&event.targets);
        self.optional(Column::Details, event.details);
        self.optional(Column::RawMediaType, event.raw.map(|(media_type, _)| media_type));
        self.optional(Column::RawBytes, event.raw.map(|(_, bytes)| bytes));
        self.optional(Column::IdempotencyKey, event.idempotency.as_ref().map(|(key, _)| key.as_slice()));
        self.optional(Column::IdempotencyStatement, event.idempotency.as_ref().map(|(_, statement)| statement.as_slice()));
    }

    /// A row that is no event, or one whose head cannot be read: nothing of it has a column but the digests.
    fn no_event(&mut self, record: &Record<'_>) {
        let digests = record.idempotency();
        for column in Column::ALL.iter().copied() {
            match column {
                Column::Seq | Column::Log | Column::Kind | Column::Control | Column::Leaf | Column::Record => {}
                Column::IdempotencyKey => self.optional(column, digests.as_ref().map(|digests| digests.key.as_slice())),
                Column::IdempotencyStatement => {
                    self.optional(column, digests.as_ref().map(|digests| digests.statement.as_slice()));
                }
                column => {
                    let writer = self.writers.of_mut(column);
                    writer.null(0);
                    if column.is_list() {
                        writer.repetition(0);
                    }
                }
            }
        }
    }

    fn frameworks(&mut self, frameworks: &[&[u8]]) {
        let writer = self.writers.of_mut(Column::Frameworks);
        if frameworks.is_empty() {
            writer.null(0);
            writer.repetition(0);
        }
        for (nth, framework) in frameworks.iter().enumerate() {
            writer.bytes(framework);
            writer.repetition(u8::from(nth > 0));
        }
    }

    fn targets(&mut self, targets: &[Target<'_>]) {
        for (column, member) in [Column::TargetType, Column::TargetId, Column::TargetName].into_iter().zip(0..) {
            let writer = self.writers.of_mut(column);
            if targets.is_empty() {
                writer.null(0);
                writer.repetition(0);
            }
            for (nth, target) in targets.iter().enumerate() {
                writer.repetition(u8::from(nth > 0));
                match target.get(member).and_then(Option::as_ref) {
                    // The element is there without this member.
                    None => writer.null(3),
                    Some(text) => {
                        writer.bytes(&text.bytes);
                        if column == Column::TargetId && !writer.has_words() {
                            self.index.add(IndexField::TargetId, &text.bytes);
                        }
                    }
                }
            }
        }
    }
}

fn bytes<'t>(text: &'t Option<Text<'_>>) -> Option<&'t [u8]> {
    text.as_ref().map(|text| &*text.bytes)
}

pub(crate) fn words_of(event: &Event<'_>) -> [Option<&'static str>; 3] {
    use indelible_format::{Class, Outcome, Severity};
    let [outcome, severity, class] = event.words;
    [
        Outcome::from_byte(outcome).map(Outcome::name),
        Severity::from_byte(severity).map(Severity::name),
        Class::from_byte(class).map(Class::name),
    ]
}

/// The fields of an event record with this head. `strictly`: as if every text were looked at; else it is left to whoever reads the columns
/// again to find that one is not UTF-8.
#[inline(always)]
pub(crate) fn event_of<'a>(record: &Record<'a>, head: &Head<'a>, strictly: bool) -> Event<'a> {
    let mut event = Event {
        words: [head.outcome.byte(), head.severity.byte(), head.class.byte()],
        tenant_seq: head.tenant_seq,
        time: head.time,
        received: head.received,
        weight: head.weight,
        tenant: head.tenant.as_bytes(),
        action: head.action.as_bytes(),
        source: head.source.as_bytes(),
        producer: head.producer.map(|producer| (producer.id.as_bytes(), producer.epoch, producer.seq)),
        trace: head.trace.map(|trace| (trace.trace_id, trace.span_id)),
        frameworks: head.frameworks().map(str::as_bytes).collect(),
        idempotency: record.idempotency().map(|digests| (digests.key, digests.statement)),
        ..Event::default()
    };
    match head.id {
        Id::Uuid(uuid) => event.uuid = Some(uuid),
        Id::Text(text) => event.id_text = text.as_bytes(),
    }
    if let Some(Body::Value(raw)) = record.group(Tag::RAW) {
        event.raw = split_raw(raw);
    }
    // A group that is not UTF-8 has no texts; its record is kept whole.
    let is_text = |value: &&[u8]| !strictly || std::str::from_utf8(value).is_ok();
    let group = |tag| record.value(tag).filter(is_text);
    let (identity, content) = (group(Tag::IDENTITY), group(Tag::CONTENT));
    for (field, offset, length) in record.span_offsets() {
        let group = if field.byte() < Field::Details.byte() { identity } else { content };
        let end = (offset as usize).checked_add(length as usize);
        let text = group.zip(end).and_then(|(group, end)| group.get(offset as usize..end));
        // A span may end within a character.
        let Some(text) = text.filter(is_text) else { continue };
        put(&mut event, field, text);
    }
    event
}

/// Takes the first of each field, as every reader of spans does.
fn put<'a>(event: &mut Event<'a>, field: Field, text: &'a [u8]) {
    let [id, kind, name, email] = &mut event.actor;
    let [ip, user_agent, host] = &mut event.origin;
    let slot = match field {
        Field::ActorId => id,
        Field::ActorType => kind,
        Field::ActorName => name,
        Field::ActorEmail => email,
        Field::OriginIp => ip,
        Field::OriginUserAgent => user_agent,
        Field::OriginHost => host,
        Field::Session => &mut event.session,
        Field::IdentityDetails => {
            event.identity_details.get_or_insert(text);
            return;
        }
        Field::Details => {
            event.details.get_or_insert(text);
            return;
        }
        Field::Target if event.targets.len() < limits::SPANNED_TARGETS_MAX => return event.targets.push([None, None, None]),
        Field::Target => return,
        Field::TargetType | Field::TargetId | Field::TargetName => {
            let Some([kind, id, name]) = event.targets.last_mut() else { return };
            match field {
                Field::TargetType => kind,
                Field::TargetId => id,
                _ => name,
            }
        }
    };
    if slot.is_none() {
        *slot = Some(unescaped(text));
    }
}

/// The text that the inside of a JSON string stands for.
#[inline]
fn unescaped(inside: &[u8]) -> Text<'_> {
    let escaped = if is_plain(inside) { None } else { std::str::from_utf8(inside).ok() };
    let Some(escaped) = escaped else { return Text { bytes: Cow::Borrowed(inside), is_plain: true } };
    let bytes = match json::unescape(escaped) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let is_plain = is_plain(&bytes);
    Text { bytes, is_plain }
}

/// Media type and bytes of a raw group.
fn split_raw(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = raw.split_first_chunk()?;
    let (media_type, bytes) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    std::str::from_utf8(media_type).ok()?;
    Some((media_type, bytes))
}
