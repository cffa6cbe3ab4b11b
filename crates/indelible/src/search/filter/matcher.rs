//! A compiled filter, and how each of its tests looks at an event.
//!
//! Tests read the head's fields and the spans; JSON is walked only for `details`, and only after a search at memory speed has found
//! the words that must stand in it. Nothing is allocated, but for targets and texts of unusual length or form.

use indelible_format::json::{self, Kind};
use indelible_format::{Field, Id, Tag};

use super::Limit;
use super::decimal::Decimal;
use super::fields::KnownField;
use super::glob::{Form, Glob};
use super::network::Network;
use super::path::{self, Path};
use crate::search::view::{TargetView, View};

/// A filter ready to run; made by [`Filter::compile`](super::Filter::compile). It is `Send` and `Sync`: share one between threads.
#[derive(Debug, Clone)]
pub struct Matcher {
    root: Node,
}

impl Matcher {
    pub(super) const fn new(root: Node) -> Self {
        Self { root }
    }

    /// Whether the event passes the filter.
    ///
    /// # Cost
    /// No lock, no allocation in the common case. Tests run cheapest first and stop as soon as the answer is known.
    #[must_use]
    pub fn matches(&self, view: &View<'_>) -> bool {
        self.root.matches(view)
    }

    pub(super) const fn root(&self) -> &Node {
        &self.root
    }

    /// Whether every event passes, so that there is nothing to run.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self.root, Node::All)
    }
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    All,
    And(Box<[Self]>),
    Or(Box<[Self]>),
    Not(Box<Self>),
    Leaf(Leaf),
}

impl Node {
    /// No event.
    pub(super) fn nothing() -> Self {
        Self::Or(Box::new([]))
    }

    fn matches(&self, view: &View<'_>) -> bool {
        match self {
            Self::All => true,
            Self::And(nodes) => nodes.iter().all(|node| node.matches(view)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(view)),
            Self::Not(node) => !node.matches(view),
            Self::Leaf(leaf) => leaf.matches(view),
        }
    }

    /// Roughly nanoseconds; only the order matters.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Self::All => 0,
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().fold(1, |sum, node| sum.saturating_add(node.cost())),
            Self::Not(node) => node.cost(),
            Self::Leaf(leaf) => leaf.cost(),
        }
    }
}

/// One test.
#[derive(Debug, Clone)]
pub(super) enum Leaf {
    /// The word's bit is in the mask.
    Words(Words, u8),
    /// The number lies between two others, both included.
    Number(Number, u64, u64),
    Time {
        received: bool,
        first: i64,
        last: i64,
    },
    /// A text of the head; without a glob: there is one.
    Head(HeadText, Option<Glob>),
    /// A text with a span.
    Span(Field, Option<Glob>),
    Address {
        glob: Option<Glob>,
        network: Option<Network>,
    },
    Target(TargetText, Option<Glob>),
    Details(Path, ValueTest),
    Raw(Option<Glob>),
    RawMediaType(Option<Glob>),
    /// Anywhere.
    Text(Glob),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Words {
    Outcome,
    Severity,
    Class,
}

impl Words {
    pub(super) const fn of(field: KnownField) -> Option<Self> {
        match field {
            KnownField::Outcome => Some(Self::Outcome),
            KnownField::Severity => Some(Self::Severity),
            KnownField::Class => Some(Self::Class),
            _ => None,
        }
    }

    /// The bit of the word at `rank` in the vocabulary; the bytes of severity and class begin at 1.
    pub(super) const fn bit(self, rank: usize) -> u8 {
        match self {
            Self::Outcome => 1 << rank,
            Self::Severity | Self::Class => 2 << rank,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Seq,
    Log,
    Weight,
    TenantSeq,
    ProducerEpoch,
    ProducerSeq,
}

impl Number {
    pub(super) const fn of(field: KnownField) -> Option<Self> {
        match field {
            KnownField::Seq => Some(Self::Seq),
            KnownField::Log => Some(Self::Log),
            KnownField::Weight => Some(Self::Weight),
            KnownField::TenantSeq => Some(Self::TenantSeq),
            KnownField::ProducerEpoch => Some(Self::ProducerEpoch),
            KnownField::ProducerSeq => Some(Self::ProducerSeq),
            _ => None,
        }
    }

    /// Whether events may lack it.
    pub(super) const fn is_optional(self) -> bool {
        matches!(self, Self::ProducerEpoch | Self::ProducerSeq)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum HeadText {
    Action,
    Id,
    Tenant,
    Source,
    Framework,
    Producer,
    Trace,
    Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetText {
    /// `type:id`, or the id alone.
    Whole,
    Type,
    Id,
    Name,
}

/// What a value in details is asked.
#[derive(Debug, Clone)]
pub(super) enum ValueTest {
    Exists,
    Is {
        glob: Glob,
        /// The literal, if it is a number.
        number: Option<Box<str>>,
        /// The literal, if it is an address or network.
        network: Option<Network>,
    },
    /// Numbers, and strings that spell one.
    Numbers(Order),
    /// Strings, by their code points.
    Texts(Order),
}

/// A range whose ends are read when they are compared.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) low: Option<Limit>,
    pub(super) high: Option<Limit>,
}

impl Leaf {
    fn matches(&self, view: &View<'_>) -> bool {
        let head = view.head;
        match self {
            Self::Words(words, mask) => {
                let byte = match words {
                    Words::Outcome => head.outcome.byte(),
                    Words::Severity => head.severity.byte(),
                    Words::Class => head.class.byte(),
                };
                mask.checked_shr(u32::from(byte)).is_some_and(|bits| bits & 1 == 1)
            }
            Self::Number(number, low, high) => {
                let value = match number {
                    Number::Seq => Some(view.seq),
                    Number::Log => Some(u64::from(view.log)),
                    Number::Weight => Some(head.weight),
                    Number::TenantSeq => Some(head.tenant_seq),
                    Number::ProducerEpoch => head.producer.map(|producer| producer.epoch),
                    Number::ProducerSeq => head.producer.map(|producer| producer.seq),
                };
                value.is_some_and(|value| (*low..=*high).contains(&value))
            }
            Self::Time { received, first, last } => {
                (*first..=*last).contains(if *received { &head.received } else { &head.time })
            }
            Self::Head(text, glob) => head_matches(view, *text, glob.as_ref()),
            Self::Span(field, None) => view.span(*field).is_some(),
            Self::Span(field, Some(glob)) => view.span(*field).is_some_and(|text| glob.matches(text, Form::Escaped)),
            Self::Address { glob, network } => view.span(Field::OriginIp).is_some_and(|text| {
                glob.as_ref().is_none_or(|glob| glob.matches(text, Form::Escaped))
                    || network.is_some_and(|network| network.contains(text))
            }),
            Self::Target(which, glob) => view.any_target(&mut |target| target_matches(target, *which, glob.as_ref())),
            Self::Details(path, test) => {
                view.details().any(|json| test.may_pass(json) && path.may_occur(json) && test.passes(path, json))
            }
            Self::Raw(glob) => view.raw().is_some_and(|(_, bytes)| is(glob.as_ref(), bytes, Form::Plain)),
            Self::RawMediaType(glob) => view.raw().is_some_and(|(media_type, _)| is(glob.as_ref(), media_type, Form::Plain)),
            Self::Text(glob) => text_matches(view, glob),
        }
    }

    const fn cost(&self) -> u32 {
        match self {
            Self::Words(..) | Self::Number(..) | Self::Time { .. } => 1,
            Self::Head(..) => 4,
            Self::Span(..) => 20,
            Self::Address { .. } => 30,
            Self::RawMediaType(_) => 10,
            Self::Target(..) => 60,
            Self::Details(..) => 200,
            Self::Raw(_) => 300,
            Self::Text(_) => 500,
        }
    }
}

fn is(glob: Option<&Glob>, text: &[u8], form: Form) -> bool {
    glob.is_none_or(|glob| glob.matches(text, form))
}

fn head_matches(view: &View<'_>, text: HeadText, glob: Option<&Glob>) -> bool {
    let head = view.head;
    let plain = |text: &str| is(glob, text.as_bytes(), Form::Plain);
    match text {
        HeadText::Action => plain(head.action),
        HeadText::Tenant => plain(head.tenant),
        HeadText::Source => !head.source.is_empty() && plain(head.source),
        HeadText::Framework => head.frameworks().any(plain),
        HeadText::Producer => head.producer.is_some_and(|producer| plain(producer.id)),
        HeadText::Id => match &head.id {
            Id::Text(text) => plain(text),
            Id::Uuid(uuid) => is(glob, &uuid_text(uuid), Form::Plain),
        },
        HeadText::Trace => head.trace.is_some_and(|trace| is(glob, &hex::<16, 32>(&trace.trace_id), Form::Plain)),
        HeadText::Span => head.trace.is_some_and(|trace| is(glob, &hex::<8, 16>(&trace.span_id), Form::Plain)),
    }
}

const DIGITS: [u8; 16] = *b"0123456789abcdef";

fn digit(nibble: u8) -> u8 {
    DIGITS.get(usize::from(nibble & 15)).copied().unwrap_or(b'?')
}

pub(super) fn hex<const N: usize, const TWICE: usize>(bytes: &[u8; N]) -> [u8; TWICE] {
    let mut text = [0; TWICE];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
    text
}

/// `8-4-4-4-12` lower-case digits.
pub(super) fn uuid_text(uuid: &[u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let mut digits = hex::<16, 32>(uuid).into_iter();
    for (at, slot) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            *slot = digits.next().unwrap_or(b'?');
        }
    }
    text
}

fn target_matches(target: &TargetView<'_>, which: TargetText, glob: Option<&Glob>) -> bool {
    let fits = |text: &[u8]| is(glob, text, Form::Escaped);
    match which {
        TargetText::Type => target.kind.is_some_and(fits),
        TargetText::Id => target.id.is_some_and(fits),
        TargetText::Name => target.name.is_some_and(fits),
        TargetText::Whole if glob.is_none() => true,
        TargetText::Whole => match (target.kind, target.id) {
            (Some(kind), Some(id)) => fits(id) || joined(kind, id, fits),
            (None, id) => id.is_some_and(fits),
            (Some(_), None) => false,
        },
    }
}

/// Asks `fits` about `kind:id`, put together on the stack unless it is long.
pub(super) fn joined(kind: &[u8], id: &[u8], fits: impl Fn(&[u8]) -> bool) -> bool {
    let mut short = [0u8; 256];
    let length = kind.len() + 1 + id.len();
    if let Some(place) = short.get_mut(..length) {
        let (front, back) = place.split_at_mut(kind.len());
        front.copy_from_slice(kind);
        if let Some((colon, back)) = back.split_first_mut() {
            *colon = b':';
            back.copy_from_slice(id);
        }
        return fits(place);
    }
    fits(&[kind, b":", id].concat())
}

/// Free text. Most events hold no trace of it: then one pass over each group says so, and nothing more is looked at.
fn text_matches(view: &View<'_>, glob: &Glob) -> bool {
    let near = |tag| view.record.value(tag).is_some_and(|body| glob.may_occur(body));
    glob.matches(view.head.action.as_bytes(), Form::Plain)
        || (near(Tag::IDENTITY) && spanned_text_matches(view, glob, Tag::IDENTITY))
        || (near(Tag::CONTENT)
            && (spanned_text_matches(view, glob, Tag::CONTENT)
                || view.any_unspanned_target(&mut |target| target.texts().any(|text| glob.matches(text, Form::Escaped)))))
        || view.raw().is_some_and(|(_, bytes)| glob.matches(bytes, Form::Plain))
}

/// The texts of one group that spans point to, those inside details included.
fn spanned_text_matches(view: &View<'_>, glob: &Glob, tag: Tag) -> bool {
    view.record.spans().filter(|(field, _)| field.tag() == tag).any(|(field, text)| match field {
        Field::IdentityDetails | Field::Details => {
            let form = |kind| if kind == Kind::String { Form::Escaped } else { Form::Plain };
            path::any_text(text, &mut |kind, text| glob.matches(text, form(kind)))
        }
        // Its texts have spans of their own.
        Field::Target => false,
        _ => glob.matches(text, Form::Escaped),
    })
}

impl ValueTest {
    /// False only if nothing in `json` can pass; one pass at memory speed.
    pub(super) fn may_pass(&self, json: &[u8]) -> bool {
        match self {
            Self::Is { glob, number: None, network: None } => glob.may_occur(json),
            _ => true,
        }
    }

    pub(super) fn passes(&self, path: &Path, json: &[u8]) -> bool {
        match self {
            Self::Exists => path.exists(json),
            _ => path.find(json, &mut |kind, text| self.fits(kind, text)),
        }
    }

    fn fits(&self, kind: Kind, text: &[u8]) -> bool {
        match (self, kind) {
            (Self::Exists, _) => true,
            (_, Kind::Object | Kind::Array) => false,
            (Self::Is { glob, network, .. }, Kind::String) => {
                glob.matches(text, Form::Escaped) || network.is_some_and(|network| network.contains(text))
            }
            (Self::Is { number: Some(number), .. }, Kind::Number) => {
                let both = (Decimal::parse(number.as_bytes()), Decimal::parse(text));
                matches!(both, (Some(wanted), Some(found)) if wanted.compare(&found).is_eq())
            }
            (Self::Is { glob, .. }, _) => glob.matches(text, Form::Plain),
            (Self::Numbers(order), Kind::Number | Kind::String) => order.holds_number(text),
            (Self::Texts(order), Kind::String) => order.holds_text(text),
            (Self::Numbers(_) | Self::Texts(_), _) => false,
        }
    }
}

impl Order {
    fn holds_number(&self, text: &[u8]) -> bool {
        let Some(number) = Decimal::parse(text) else { return false };
        self.holds(|limit| Decimal::parse(limit.value.as_bytes()).map(|limit| number.compare(&limit)))
    }

    fn holds_text(&self, text: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(text) else { return false };
        // Escapes would sort by their backslash.
        let text = json::unescape(text);
        self.holds(|limit| Some(text.as_bytes().cmp(limit.value.as_bytes())))
    }

    fn holds(&self, compare: impl Fn(&Limit) -> Option<std::cmp::Ordering>) -> bool {
        let above = |low: &Limit| compare(low).is_some_and(|order| order.is_gt() || (low.inclusive && order.is_eq()));
        let below = |high: &Limit| compare(high).is_some_and(|order| order.is_lt() || (high.inclusive && order.is_eq()));
        self.low.as_ref().is_none_or(above) && self.high.as_ref().is_none_or(below)
    }
}
