//! From columns back to records, byte for byte.
//!
//! A row whose `record` is there is that record. Any other is laid out again from what the columns say, as it was when it was written:
//! there the two were compared.

use std::sync::Arc;

use indelible_format::{Hash, Record, record};

use super::page::Page;
use super::store;
use crate::column::{Column, PerColumn};
use crate::layout::{Event, Target, Text, is_plain};
use crate::limits::ELEMENTS_MAX;
use crate::write::kind;

/// Memory and pages that are used again from call to call.
#[derive(Debug, Default)]
pub struct Scratch {
    segment: Option<u64>,
    window: Window,
    memory: Vec<u8>,
}

impl Scratch {
    pub(super) fn parts(&mut self, segment: u64) -> (&mut Window, &mut Vec<u8>) {
        if self.segment != Some(segment) {
            self.segment = Some(segment);
            self.window = Window::default();
        }
        (&mut self.window, &mut self.memory)
    }
}

/// A page of each column.
#[derive(Debug)]
pub(super) struct Window {
    pages: PerColumn<Option<Arc<Page>>>,
}

impl Default for Window {
    fn default() -> Self {
        Self { pages: PerColumn::new(|_| None) }
    }
}

impl Window {
    #[inline]
    pub(super) fn holds(&self, column: Column, row: u32) -> bool {
        self.pages.of(column).as_ref().is_some_and(|page| page.holds(row))
    }

    pub(super) fn put(&mut self, page: Arc<Page>) {
        let column = page.column();
        *self.pages.of_mut(column) = Some(page);
    }

    pub(super) fn page(&self, column: Column) -> Option<&Page> {
        self.pages.of(column).as_deref()
    }

    /// The row behind the last of a column's page.
    pub(super) fn end(&self, column: Column) -> u32 {
        self.pages.of(column).as_ref().map_or(0, |page| page.first_row() + page.rows())
    }

    pub(super) fn seq_and_log(&self, row: u32) -> Option<(u64, u32)> {
        let number = |column| self.number(column, row);
        Some((number(Column::Seq)?.cast_unsigned(), u32::try_from(number(Column::Log)?).ok()?))
    }

    #[inline]
    fn bytes(&self, column: Column, row: u32) -> Option<&[u8]> {
        self.pages.of(column).as_ref()?.bytes(row)
    }

    #[inline]
    fn number(&self, column: Column, row: u32) -> Option<i64> {
        self.pages.of(column).as_ref()?.number(row)
    }

    #[inline]
    fn text(&self, column: Column, row: u32) -> Option<Text<'_>> {
        self.pages.of(column).as_ref()?.bytes_and_plain(row).map(text_of)
    }

    fn fixed<const N: usize>(&self, column: Column, row: u32) -> Option<[u8; N]> {
        self.bytes(column, row)?.try_into().ok()
    }

    /// The byte of a word of outcome, severity or class.
    #[inline]
    fn code(&self, column: Column, row: u32) -> Option<u8> {
        let page = self.pages.of(column).as_ref()?;
        // A dictionary knows the codes of its words; words that are written out are parsed one by one.
        page.code(row).or_else(|| store::code(column, page.bytes(row)?))
    }

    /// The record of a row, in `memory`. `None`: the columns describe no record.
    pub(super) fn record<'m>(&self, row: u32, log: u32, memory: &'m mut Vec<u8>) -> Option<&'m [u8]> {
        if let Some(whole) = self.bytes(Column::Record, row) {
            // Nothing else looks at these bytes before they are handed out.
            Record::parse(whole).filter(|record| record.bytes().len() == whole.len() && record.log() == log)?;
            memory.clear();
            memory.extend_from_slice(whole);
            return Some(memory);
        }
        let kind = self.bytes(Column::Kind, row)?;
        if kind == kind::EVENT {
            return self.event(row)?.lay_out(log, memory);
        } else if kind == kind::CONTROL {
            memory.clear();
            record::encode_control(log, self.bytes(Column::Control, row)?, memory)?;
        } else if kind == kind::LEAF {
            memory.clear();
            record::encode_leaf(log, &Hash(self.fixed(Column::Leaf, row)?), memory);
        } else {
            return None;
        }
        Some(memory)
    }

    // Inlined, as an event is too large to be handed on by value.
    #[inline(always)]
    fn event(&self, row: u32) -> Option<Event<'_>> {
        let words = [self.code(Column::Outcome, row)?, self.code(Column::Severity, row)?, self.code(Column::Class, row)?];
        let uuid = self.fixed(Column::Id, row);
        let mut event = Event {
            words,
            tenant_seq: self.number(Column::TenantSeq, row)?.cast_unsigned(),
            time: self.number(Column::Time, row)?,
            received: self.number(Column::Received, row)?,
            weight: self.number(Column::Weight, row)?.cast_unsigned(),
            uuid,
            id_text: if uuid.is_some() { &[] } else { self.bytes(Column::IdText, row)? },
            tenant: self.bytes(Column::Tenant, row)?,
            action: self.bytes(Column::Action, row)?,
            source: self.bytes(Column::Source, row)?,
            actor: [Column::ActorId, Column::ActorType, Column::ActorName, Column::ActorEmail]
                .map(|column| self.text(column, row)),
            session: self.text(Column::Session, row),
            origin: [Column::OriginIp, Column::OriginUserAgent, Column::OriginHost].map(|column| self.text(column, row)),
            identity_details: self.bytes(Column::IdentityDetails, row),
            details: self.bytes(Column::Details, row),
            ..Event::default()
        };
        if let Some(id) = self.bytes(Column::ProducerId, row) {
            let number = |column| self.number(column, row).map(i64::cast_unsigned);
            event.producer = Some((id, number(Column::ProducerEpoch)?, number(Column::ProducerSeq)?));
        }
        if let Some(trace_id) = self.fixed(Column::TraceId, row) {
            event.trace = Some((trace_id, self.fixed(Column::SpanId, row)?));
        }
        if let Some(media_type) = self.bytes(Column::RawMediaType, row) {
            event.raw = Some((media_type, self.bytes(Column::RawBytes, row)?));
        }
        if let Some(key) = self.fixed(Column::IdempotencyKey, row) {
            event.idempotency = Some((key, self.fixed(Column::IdempotencyStatement, row)?));
        }
        let frameworks = self.pages.of(Column::Frameworks).as_ref()?;
        for element in frameworks.elements(row) {
            event.frameworks.push(frameworks.element_bytes(element)?);
        }
        self.targets(row, &mut event)?;
        Some(event)
    }

    #[inline]
    fn targets<'w>(&'w self, row: u32, event: &mut Event<'w>) -> Option<()> {
        let member = |column| self.pages.of(column).as_deref();
        let (kinds, ids, names) = (member(Column::TargetType)?, member(Column::TargetId)?, member(Column::TargetName)?);
        // Elements are numbered in each page by itself, and the members of one element stand in pages of their own.
        let [kind, id, name] = [kinds, ids, names].map(|page| page.elements(row));
        if kind.len() != id.len() || kind.len() != name.len() || kind.len() > ELEMENTS_MAX {
            return None;
        }
        for ((kind, id), name) in kind.zip(id).zip(name) {
            let text = |page: &'w Page, element| page.element_and_plain(element).map(text_of);
            let target: Target<'w> = [text(kinds, kind), text(ids, id), text(names, name)];
            event.targets.push(target);
        }
        Some(())
    }
}

#[inline]
fn text_of((bytes, plain): (&[u8], bool)) -> Text<'_> {
    Text { bytes: bytes.into(), is_plain: plain || is_plain(bytes) }
}
