//! One event as a search sees it, and the text of any of its fields.
//!
//! Well-known fields come from the record's spans; JSON is only walked for paths into `details` and for targets beyond the ones that
//! have spans.

use std::borrow::Cow;

use indelible_format::json::{self, Kind, walk};
use indelible_format::{Field, Head, Record, Tag, limits};

use super::filter::path::Path;
use super::filter::{FilterError, KnownField, Name};
use super::time;

/// One event: its place, its record and its head.
#[derive(Debug, Clone, Copy)]
pub struct View<'v> {
    /// The log it is in.
    pub log: u32,
    /// Its position there.
    pub seq: u64,
    /// The record.
    pub record: &'v Record<'v>,
    /// The record's head, read once for all tests.
    pub head: &'v Head<'v>,
}

/// The texts of one target: insides of JSON strings, still escaped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TargetView<'v> {
    pub(crate) kind: Option<&'v [u8]>,
    pub(crate) id: Option<&'v [u8]>,
    pub(crate) name: Option<&'v [u8]>,
}

impl<'v> View<'v> {
    /// What the first span of `field` points to: the inside of a string, still escaped, or the whole JSON of details.
    #[inline]
    pub(crate) fn span(&self, field: Field) -> Option<&'v [u8]> {
        let (_, offset, length) = self.record.span_offsets().find(|(found, ..)| *found == field)?;
        slice(self.record.value(field.tag())?, offset, length)
    }

    /// The JSON of details: the identity part of a foreign record, then the content part.
    pub(crate) fn details(&self) -> impl Iterator<Item = &'v [u8]> {
        [self.span(Field::IdentityDetails), self.span(Field::Details)].into_iter().flatten()
    }

    /// Media type and bytes of the foreign record.
    pub(crate) fn raw(&self) -> Option<(&'v [u8], &'v [u8])> {
        let (length, rest) = self.record.value(Tag::RAW)?.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
    }

    /// Shows `visit` every target until it says true. Returns whether it did.
    pub(crate) fn any_target(&self, visit: &mut dyn FnMut(&TargetView<'v>) -> bool) -> bool {
        let Some(content) = self.record.value(Tag::CONTENT) else { return false };
        let mut target: Option<TargetView<'v>> = None;
        for (field, offset, length) in self.record.span_offsets() {
            if field == Field::Target {
                if target.replace(TargetView::default()).is_some_and(|target| visit(&target)) {
                    return true;
                }
            } else if let Some(target) = &mut target {
                let text = slice(content, offset, length);
                match field {
                    Field::TargetType => target.kind = text,
                    Field::TargetId => target.id = text,
                    Field::TargetName => target.name = text,
                    _ => {}
                }
            }
        }
        target.is_some_and(|target| visit(&target)) || self.any_unspanned_target(visit)
    }

    /// As [`any_target`](Self::any_target), of the targets behind the last one that has a span; read from the JSON, if there are any.
    pub(crate) fn any_unspanned_target(&self, visit: &mut dyn FnMut(&TargetView<'v>) -> bool) -> bool {
        let spanned = self.record.span_offsets().filter(|(field, ..)| *field == Field::Target).count();
        spanned >= limits::SPANNED_TARGETS_MAX
            && self.record.value(Tag::CONTENT).is_some_and(|content| any_unspanned_target(content, visit))
    }
}

impl<'v> TargetView<'v> {
    /// Its texts, whichever there are.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &'v [u8]> {
        [self.kind, self.id, self.name].into_iter().flatten()
    }
}

fn slice(body: &[u8], offset: u32, length: u32) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    body.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}

/// The targets behind the last one that has a span, read from the JSON.
fn any_unspanned_target<'v>(content: &'v [u8], visit: &mut dyn FnMut(&TargetView<'v>) -> bool) -> bool {
    let mut members = walk::members(content).map_while(Result::ok);
    let Some(targets) = members.find(|member| member.key == b"targets" && member.kind == Kind::Array) else { return false };
    let elements = walk::elements_at(content, targets.value).map_while(Result::ok);
    let objects = elements.filter(|element| element.kind == Kind::Object);
    for element in objects.skip(limits::SPANNED_TARGETS_MAX) {
        let mut target = TargetView::default();
        for member in walk::members_at(content, element.value).map_while(Result::ok) {
            if member.kind == Kind::String {
                let text = content.get(member.value.start + 1..member.value.end.saturating_sub(1));
                match member.key {
                    b"type" => target.kind = text,
                    b"id" => target.id = text,
                    b"name" => target.name = text,
                    _ => {}
                }
            }
        }
        if visit(&target) {
            return true;
        }
    }
    false
}

/// A field or path whose text is to be shown: the columns of a table, the groups of a statistic. Resolve it once, use it for many events.
#[derive(Debug, Clone)]
pub struct Selector {
    name: Name,
    path: Option<Path>,
}

impl Selector {
    /// For a name as queries have it: `actor.id`, `ip`, `details.a.*.b`.
    ///
    /// # Errors
    /// There is no such field; near names are in the hint.
    pub fn new(name: &str) -> Result<Self, FilterError> {
        let name = Name::parse(name)?;
        let path = if let Name::Details(steps) = &name { Some(Path::new(steps)) } else { None };
        Ok(Self { name, path })
    }

    /// What it selects; its `Display` is the name in its long form.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The text of the field; several values (targets, frameworks, elements of an array) are joined by `, `. `None`: it has none.
    ///
    /// Text is as it was recorded: pass it through `text::escape_terminal` or `text::csv_field` before a person sees it.
    #[must_use]
    pub fn text<'v>(&self, view: &View<'v>) -> Option<Cow<'v, str>> {
        let mut text: Option<Cow<'v, str>> = None;
        self.each(view, &mut |value| match &mut text {
            None => text = Some(value),
            Some(text) => {
                let text = text.to_mut();
                text.push_str(", ");
                text.push_str(&value);
            }
        });
        text
    }

    /// Shows `visit` each value of the field. Objects in `details` come as their JSON.
    pub fn each<'v>(&self, view: &View<'v>, visit: &mut dyn FnMut(Cow<'v, str>)) {
        if let Some(path) = &self.path {
            for json in view.details() {
                path.find(json, &mut |kind, text| {
                    visit(if kind == Kind::String { unescaped(text) } else { String::from_utf8_lossy(text) });
                    false
                });
            }
        } else if let Name::Field(field) = &self.name {
            each_of(*field, view, visit);
        }
    }
}

fn each_of<'v>(field: KnownField, view: &View<'v>, visit: &mut dyn FnMut(Cow<'v, str>)) {
    let head = view.head;
    let owned = |number: u64| Some(Cow::Owned(number.to_string()));
    let borrowed = |text: &'v str| Some(Cow::Borrowed(text)).filter(|text| !text.is_empty());
    let span = |field: Field| view.span(field).map(unescaped);
    let value: Option<Cow<'v, str>> = match field {
        KnownField::Action => borrowed(head.action),
        KnownField::Outcome => borrowed(head.outcome.name()),
        KnownField::Severity => borrowed(head.severity.name()),
        KnownField::Class => borrowed(head.class.name()),
        KnownField::Time => Some(Cow::Owned(time::show(head.time))),
        KnownField::Received => Some(Cow::Owned(time::show(head.received))),
        KnownField::ActorId => span(Field::ActorId),
        KnownField::ActorName => span(Field::ActorName),
        KnownField::ActorType => span(Field::ActorType),
        KnownField::ActorEmail => span(Field::ActorEmail),
        KnownField::Session => span(Field::Session),
        KnownField::OriginIp => span(Field::OriginIp),
        KnownField::OriginHost => span(Field::OriginHost),
        KnownField::OriginUserAgent => span(Field::OriginUserAgent),
        KnownField::Target | KnownField::TargetType | KnownField::TargetId | KnownField::TargetName => {
            view.any_target(&mut |target| {
                let text = match field {
                    KnownField::TargetType => target.kind.map(unescaped),
                    KnownField::TargetId => target.id.map(unescaped),
                    KnownField::TargetName => target.name.map(unescaped),
                    _ => target_text(target),
                };
                text.into_iter().for_each(&mut *visit);
                false
            });
            None
        }
        KnownField::Id => Some(Cow::Owned(head.id.to_string())),
        KnownField::Tenant => borrowed(head.tenant),
        KnownField::TenantSeq => owned(head.tenant_seq),
        KnownField::Log => owned(u64::from(view.log)),
        KnownField::Seq => owned(view.seq),
        KnownField::Source => borrowed(head.source),
        KnownField::Framework => {
            head.frameworks().for_each(|framework| visit(Cow::Borrowed(framework)));
            None
        }
        KnownField::Producer => head.producer.and_then(|producer| borrowed(producer.id)),
        KnownField::ProducerEpoch => head.producer.and_then(|producer| owned(producer.epoch)),
        KnownField::ProducerSeq => head.producer.and_then(|producer| owned(producer.seq)),
        KnownField::Trace => head.trace.map(|trace| Cow::Owned(hex(&trace.trace_id))),
        KnownField::Span => head.trace.map(|trace| Cow::Owned(hex(&trace.span_id))),
        KnownField::Weight => owned(head.weight),
        KnownField::Raw => view.raw().map(|(_, bytes)| String::from_utf8_lossy(bytes)),
        KnownField::RawMediaType => view.raw().map(|(media_type, _)| String::from_utf8_lossy(media_type)),
    };
    value.into_iter().for_each(visit);
}

/// `type:id`, or whichever of type, id and name there is.
fn target_text<'v>(target: &TargetView<'v>) -> Option<Cow<'v, str>> {
    match (target.kind, target.id.or(target.name)) {
        (Some(kind), Some(id)) => Some(Cow::Owned(format!("{}:{}", unescaped(kind), unescaped(id)))),
        (kind, id) => id.or(kind).map(unescaped),
    }
}

/// The text that the inside of a stored string stands for.
fn unescaped(inside: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(inside).map_or_else(|_| String::from_utf8_lossy(inside), json::unescape)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of one field of one event: [`Selector::text`] without keeping the selector. `None` also for a name that no field has.
#[must_use]
pub fn select<'v>(view: &View<'v>, name: &str) -> Option<Cow<'v, str>> {
    Selector::new(name).ok()?.text(view)
}
