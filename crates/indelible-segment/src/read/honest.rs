//! Whether the columns of a row say what its record says, no more and no less: who reads the columns alone must see the same log.
//!
//! Where a record is laid out from its columns, it says what they say; what is left are columns that the record is not laid out from. Where
//! it stands whole beside them, all of them are compared with what the writer would have put there.

use indelible_format::Record;
use indelible_format::record::Kind;

use super::page::Page;
use super::rebuild::Window;
use crate::column::Column;
use crate::layout::{Event, Target, Text};
use crate::write::{event_of, kind, words_of};

/// Columns that are there together or not at all.
const TOGETHER: &[&[Column]] = &[
    &[Column::ProducerId, Column::ProducerEpoch, Column::ProducerSeq],
    &[Column::TraceId, Column::SpanId],
    &[Column::RawMediaType, Column::RawBytes],
    &[Column::IdempotencyKey, Column::IdempotencyStatement],
];

impl Window {
    /// Whether no row of these pages can have a column that its record is not laid out from.
    pub(super) fn is_plain(&self) -> bool {
        let page = |column| self.page(column);
        let is_empty = |column: &Column| page(*column).is_some_and(Page::is_empty);
        let is_full = |column: &Column| page(*column).is_some_and(Page::is_full);
        let event = page(Column::Kind).is_some_and(|page| {
            page.same().zip(page.dictionary()).is_some_and(|(word, dictionary)| dictionary.bytes(word) == Some(kind::EVENT))
        });
        event
            && [Column::Record, Column::Control, Column::Leaf].iter().all(is_empty)
            && (is_empty(&Column::IdText) || is_empty(&Column::Id))
            && TOGETHER.iter().all(|columns| columns.iter().all(is_empty) || columns.iter().all(is_full))
    }

    /// Whether the columns of a row say what its record says.
    pub(super) fn is_honest(&self, row: u32, record: &[u8]) -> bool {
        // What is no record is found out elsewhere.
        let Some(parsed) = Record::parse(record) else { return true };
        let name = match parsed.kind() {
            Kind::Event => kind::EVENT,
            Kind::Control => kind::CONTROL,
            Kind::Leaf => kind::LEAF,
        };
        let is_whole = !self.is_null(Column::Record, row);
        if parsed.kind() == Kind::Event && !is_whole {
            let one_way = self.is_null(Column::Id, row) != self.is_null(Column::IdText, row);
            let together = |columns: &&[Column]| {
                columns.windows(2).all(|pair| match pair {
                    [one, other] => self.is_null(*one, row) == self.is_null(*other, row),
                    _ => true,
                })
            };
            return one_way
                && TOGETHER.iter().all(together)
                && self.is_null(Column::Control, row)
                && self.is_null(Column::Leaf, row);
        }
        let control = parsed.control().filter(|json| std::str::from_utf8(json).is_ok());
        let leaf = parsed.leaf();
        self.says(Column::Kind, row, Some(name))
            && self.says(Column::Control, row, control)
            && self.says(Column::Leaf, row, leaf.as_ref().map(|hash| hash.0.as_slice()))
            && match parsed.head().map(|head| event_of(&parsed, &head, true)) {
                Some(event) => self.says_event(row, &event),
                None => self.says_no_event(row, &parsed),
            }
    }

    fn is_null(&self, column: Column, row: u32) -> bool {
        self.page(column).is_some_and(|page| page.is_null(row))
    }

    fn says(&self, column: Column, row: u32, value: Option<&[u8]>) -> bool {
        let Some(page) = self.page(column) else { return false };
        match value {
            Some(value) => page.bytes(row) == Some(value),
            None => page.is_null(row),
        }
    }

    fn says_number(&self, column: Column, row: u32, value: Option<u64>) -> bool {
        let Some(page) = self.page(column) else { return false };
        match value {
            Some(value) => page.number(row) == Some(value.cast_signed()),
            None => page.is_null(row),
        }
    }

    fn says_text(&self, column: Column, row: u32, value: &Option<Text<'_>>) -> bool {
        self.says(column, row, value.as_ref().map(|text| &*text.bytes))
    }

    /// A row of which nothing has a column but the digests.
    fn says_no_event(&self, row: u32, record: &Record<'_>) -> bool {
        let digests = record.idempotency();
        Column::ALL.iter().copied().all(|column| match column {
            Column::Seq | Column::Log | Column::Kind | Column::Control | Column::Leaf | Column::Record => true,
            Column::IdempotencyKey => self.says(column, row, digests.as_ref().map(|digests| digests.key.as_slice())),
            Column::IdempotencyStatement => self.says(column, row, digests.as_ref().map(|digests| digests.statement.as_slice())),
            _ => self
                .page(column)
                .is_some_and(|page| page.is_null(row) && page.elements(row).len() == usize::from(!column.is_list())),
        })
    }

    fn says_event(&self, row: u32, event: &Event<'_>) -> bool {
        let says = |column, value| self.says(column, row, value);
        let number = |column, value| self.says_number(column, row, value);
        let text = |column, value: &Option<Text<'_>>| self.says_text(column, row, value);
        let [outcome, severity, class] = words_of(event).map(|word| word.map(str::as_bytes));
        let [actor_id, actor_type, actor_name, actor_email] = &event.actor;
        let [ip, user_agent, host] = &event.origin;
        says(Column::Id, event.uuid.as_ref().map(<[u8; 16]>::as_slice))
            && says(Column::IdText, event.uuid.is_none().then_some(event.id_text))
            && number(Column::Time, Some(event.time.cast_unsigned()))
            && number(Column::Received, Some(event.received.cast_unsigned()))
            && says(Column::Tenant, Some(event.tenant))
            && number(Column::TenantSeq, Some(event.tenant_seq))
            && says(Column::Action, Some(event.action))
            && says(Column::Outcome, outcome)
            && says(Column::Severity, severity)
            && says(Column::Class, class)
            && says(Column::Source, Some(event.source))
            && number(Column::Weight, Some(event.weight))
            && says(Column::ProducerId, event.producer.map(|(id, ..)| id))
            && number(Column::ProducerEpoch, event.producer.map(|(_, epoch, _)| epoch))
            && number(Column::ProducerSeq, event.producer.map(|(.., count)| count))
            && says(Column::TraceId, event.trace.as_ref().map(|(trace_id, _)| trace_id.as_slice()))
            && says(Column::SpanId, event.trace.as_ref().map(|(_, span_id)| span_id.as_slice()))
            && text(Column::ActorId, actor_id)
            && text(Column::ActorType, actor_type)
            && text(Column::ActorName, actor_name)
            && text(Column::ActorEmail, actor_email)
            && text(Column::Session, &event.session)
            && text(Column::OriginIp, ip)
            && text(Column::OriginUserAgent, user_agent)
            && text(Column::OriginHost, host)
            && says(Column::IdentityDetails, event.identity_details)
            && says(Column::Details, event.details)
            && says(Column::RawMediaType, event.raw.map(|(media_type, _)| media_type))
            && says(Column::RawBytes, event.raw.map(|(_, bytes)| bytes))
            && says(Column::IdempotencyKey, event.idempotency.as_ref().map(|(key, _)| key.as_slice()))
            && says(Column::IdempotencyStatement, event.idempotency.as_ref().map(|(_, statement)| statement.as_slice()))
            && self.says_list(Column::Frameworks, row, event.frameworks.iter().map(|framework| Some(*framework)))
            && self.says_targets(row, &event.targets)
    }

    fn says_targets(&self, row: u32, targets: &[Target<'_>]) -> bool {
        let members = [Column::TargetType, Column::TargetId, Column::TargetName];
        members.into_iter().zip(0..).all(|(column, member)| {
            let text = |target: &Target<'_>| target.get(member).and_then(Option::as_ref).map(|text| text.bytes.to_vec());
            let texts: Vec<_> = targets.iter().map(text).collect();
            self.says_list(column, row, texts.iter().map(Option::as_deref))
        })
    }

    fn says_list<'v>(&self, column: Column, row: u32, values: impl ExactSizeIterator<Item = Option<&'v [u8]>>) -> bool {
        let Some(page) = self.page(column) else { return false };
        let elements = page.elements(row);
        elements.len() == values.len()
            && elements.zip(values).all(|(element, value)| match value {
                Some(value) => page.element_bytes(element) == Some(value),
                None => page.is_element_null(element),
            })
    }
}
