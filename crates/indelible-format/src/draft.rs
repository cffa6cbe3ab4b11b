//! A draft: what a caller says about an event, by reference, before admission turns it into a record.

use arrayvec::ArrayVec;

use crate::event::{Class, Outcome, Severity};
use crate::head::{Producer, Trace};
use crate::taxonomy::Action;

/// Details of a draft are kept in place up to this many pairs; more spill to the heap.
const DETAILS_INLINE: usize = 8;
const TARGETS_INLINE: usize = 2;

/// A short list: the first `N` items in place, more on the heap. Reads as a slice.
#[derive(Debug, Clone)]
pub struct Few<T, const N: usize>(Items<T, N>);

#[derive(Debug, Clone)]
enum Items<T, const N: usize> {
    InPlace(ArrayVec<T, N>),
    Heap(Vec<T>),
}

impl<T, const N: usize> Few<T, N> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Items::InPlace(ArrayVec::new_const()))
    }

    /// Appends an item; allocates from the `N + 1`st on.
    #[inline(always)]
    pub fn push(&mut self, item: T) {
        match &mut self.0 {
            Items::InPlace(items) if !items.is_full() => drop(items.try_push(item)),
            _ => self.spill(item),
        }
    }

    #[cold]
    fn spill(&mut self, item: T) {
        match &mut self.0 {
            Items::Heap(items) => items.push(item),
            Items::InPlace(items) => {
                let mut heap: Vec<T> = items.drain(..).collect();
                heap.push(item);
                self.0 = Items::Heap(heap);
            }
        }
    }
}

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> std::ops::Deref for Few<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Items::InPlace(items) => items,
            Items::Heap(items) => items,
        }
    }
}

impl<T: PartialEq, const N: usize> PartialEq for Few<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T, const N: usize> Extend<T> for Few<T, N> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T, const N: usize> FromIterator<T> for Few<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::new();
        few.extend(items);
        few
    }
}

/// JSON bytes already in canonical form, made by this crate's [`canonicalize`](crate::json::canonicalize) or known by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canonical<'a>(&'a [u8]);

impl<'a> Canonical<'a> {
    /// Takes `bytes` at their word. If they are not canonical JSON the log still proves what was stored, but
    /// `verify` reports the event as `not-canonical`; adapters pass only what they canonicalised themselves.
    #[must_use]
    pub const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// One value of `details`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A string; any text.
    Text(&'a str),
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A number; NaN and infinities are refused at admission.
    Float(f64),
    /// true or false.
    Bool(bool),
    /// null.
    Null,
    /// Any canonical JSON.
    Json(Canonical<'a>),
}

/// Conversions into [`Value`].
macro_rules! value_from {
    ($($type:ty => $variant:ident as $target:ty),+ $(,)?) => {
        $(impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self { Self::$variant(<$target>::from(value)) }
        })+
    };
}
value_from!(i8 => Signed as i64, i16 => Signed as i64, i32 => Signed as i64, i64 => Signed as i64,
            u8 => Unsigned as u64, u16 => Unsigned as u64, u32 => Unsigned as u64, u64 => Unsigned as u64,
            f32 => Float as f64, f64 => Float as f64, bool => Bool as bool);

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Canonical<'a>> for Value<'a> {
    fn from(json: Canonical<'a>) -> Self {
        Self::Json(json)
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Actor<'a> {
    /// Stable id.
    pub id: Option<&'a str>,
    /// `user`, `service`, `role`…
    pub kind: Option<&'a str>,
    /// Display name.
    pub name: Option<&'a str>,
    /// E-mail address.
    pub email: Option<&'a str>,
}

impl Actor<'_> {
    /// Whether anything is said about it.
    #[inline(always)]
    pub(crate) const fn is_some(&self) -> bool {
        self.id.is_some() | self.kind.is_some() | self.name.is_some() | self.email.is_some()
    }
}

/// Where it was done from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Address.
    pub ip: Option<&'a str>,
    /// User agent.
    pub user_agent: Option<&'a str>,
    /// Host name.
    pub host: Option<&'a str>,
}

impl Origin<'_> {
    /// Whether anything is said about it.
    #[inline(always)]
    pub(crate) const fn is_some(&self) -> bool {
        self.ip.is_some() | self.user_agent.is_some() | self.host.is_some()
    }
}

/// What it was done to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Target<'a> {
    /// `repo`, `user`, `bucket`…
    pub kind: Option<&'a str>,
    /// Stable id.
    pub id: Option<&'a str>,
    /// Display name.
    pub name: Option<&'a str>,
}

/// A foreign record that is not JSON, kept byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    /// `text/plain`, `application/xml`…
    pub media_type: &'a str,
    /// The record.
    pub bytes: &'a [u8],
}

/// `details`: pairs said one by one, or one JSON value.
#[expect(clippy::large_enum_variant, reason = "pairs are in place so that a draft costs no allocation")]
#[derive(Debug, Clone, PartialEq)]
pub enum Details<'a> {
    /// Members of an object, in any order; a key said twice is refused.
    Pairs(Few<(&'a str, Value<'a>), DETAILS_INLINE>),
    /// The whole value.
    Json(Canonical<'a>),
}

impl Details<'_> {
    #[inline(always)]
    pub(crate) fn is_some(&self) -> bool {
        match self {
            Self::Pairs(pairs) => !pairs.is_empty(),
            Self::Json(_) => true,
        }
    }
}

/// What a caller says about an event. Build it by chaining; all text is borrowed.
///
/// ```
/// use indelible_format::{Draft, Outcome, taxonomy};
/// let draft = Draft::new(taxonomy::USER_LOGIN)
///     .actor("alice")
///     .target("repo", "42")
///     .outcome(Outcome::Failure)
///     .detail("reason", "bad_password");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Draft<'a> {
    /// What was done.
    pub action: Action<'a>,
    /// How it ended.
    pub outcome: Outcome,
    /// Overrides the taxonomy's severity.
    pub severity: Option<Severity>,
    /// Overrides the taxonomy's class.
    pub class: Option<Class>,
    /// The caller's id; a UUIDv7 is made when absent.
    pub id: Option<&'a str>,
    /// When it happened, ns since 1970 UTC; the moment of admission when absent.
    pub time: Option<i64>,
    /// Whose event it is; the log's default tenant when absent.
    pub tenant: Option<&'a str>,
    /// Format it came from.
    pub source: &'a str,
    /// The producer's own count.
    pub producer: Option<Producer<'a>>,
    /// Trace context.
    pub trace: Option<Trace>,
    /// Compliance frameworks it is marked with.
    pub frameworks: &'a [&'a str],
    /// How many events it stands for, ≥ 1.
    pub weight: u64,
    /// Who.
    pub actor: Actor<'a>,
    /// Session.
    pub session: Option<&'a str>,
    /// From where.
    pub origin: Origin<'a>,
    /// The identity part of a foreign record.
    pub identity_details: Option<Canonical<'a>>,
    /// To what.
    pub targets: Few<Target<'a>, TARGETS_INLINE>,
    /// Everything else.
    pub details: Details<'a>,
    /// A foreign record that is not JSON.
    pub raw: Option<Raw<'a>>,
    /// Repeating a request under the same key records it once.
    pub idempotency_key: Option<&'a str>,
}

/// Chainable setters for plain members.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($argument:ident: $type:ty) => $($place:ident).+ = $value:expr;)+) => {
        $($(#[$doc])* #[must_use] #[inline(always)]
        pub fn $name(mut self, $argument: $type) -> Self { self.$($place).+ = $value; self })+
    };
}

impl<'a> Draft<'a> {
    /// A draft of `action`: a taxonomy constant or any `noun.verb`.
    #[must_use]
    #[inline(always)]
    pub fn new(action: impl Into<Action<'a>>) -> Self {
        Self {
            action: action.into(),
            outcome: Outcome::Unknown,
            severity: None,
            class: None,
            id: None,
            time: None,
            tenant: None,
            source: "",
            producer: None,
            trace: None,
            frameworks: &[],
            weight: 1,
            actor: Actor::default(),
            session: None,
            origin: Origin::default(),
            identity_details: None,
            targets: Few::new(),
            details: Details::Pairs(Few::new()),
            raw: None,
            idempotency_key: None,
        }
    }

    setters! {
        /// How it ended.
        outcome(outcome: Outcome) => outcome = outcome;
        /// How bad it is, instead of the taxonomy's word.
        severity(severity: Severity) => severity = Some(severity);
        /// Its lane, instead of the taxonomy's word.
        class(class: Class) => class = Some(class);
        /// The caller's own id, 1..=256 bytes.
        id(id: &'a str) => id = Some(id);
        /// When it happened, ns since 1970 UTC.
        time_ns(time: i64) => time = Some(time);
        /// Whose event it is, 1..=128 bytes.
        tenant(tenant: &'a str) => tenant = Some(tenant);
        /// The format it came from, ≤ 64 bytes.
        source(source: &'a str) => source = source;
        /// The producer's own count.
        producer(producer: Producer<'a>) => producer = Some(producer);
        /// Trace context.
        trace(trace: Trace) => trace = Some(trace);
        /// Compliance frameworks, ≤ 16 of ≤ 32 bytes.
        frameworks(frameworks: &'a [&'a str]) => frameworks = frameworks;
        /// How many events it stands for, ≥ 1.
        weight(weight: u64) => weight = weight;
        /// Actor's id.
        actor(id: &'a str) => actor.id = Some(id);
        /// Actor's type: `user`, `service`…
        actor_type(kind: &'a str) => actor.kind = Some(kind);
        /// Actor's display name.
        actor_name(name: &'a str) => actor.name = Some(name);
        /// Actor's e-mail address.
        actor_email(email: &'a str) => actor.email = Some(email);
        /// Session.
        session(session: &'a str) => session = Some(session);
        /// Address it was done from.
        ip(ip: &'a str) => origin.ip = Some(ip);
        /// User agent it was done with.
        user_agent(user_agent: &'a str) => origin.user_agent = Some(user_agent);
        /// Host it was done on or from.
        host(host: &'a str) => origin.host = Some(host);
        /// All details as one canonical JSON value; replaces what was said before.
        details_json(json: Canonical<'a>) => details = Details::Json(json);
        /// The identity part of a foreign record.
        identity_details(json: Canonical<'a>) => identity_details = Some(json);
        /// A foreign record that is not JSON.
        raw(raw: Raw<'a>) => raw = Some(raw);
        /// Repeating a request under the same key records it once; 1..=1024 bytes.
        idempotency_key(key: &'a str) => idempotency_key = Some(key);
    }

    /// Adds a target by type and id.
    #[must_use]
    #[inline(always)]
    pub fn target(mut self, kind: &'a str, id: &'a str) -> Self {
        self.targets.push(Target { kind: Some(kind), id: Some(id), name: None });
        self
    }

    /// Adds one member of `details`.
    #[must_use]
    #[inline(always)]
    pub fn detail(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        match &mut self.details {
            Details::Pairs(pairs) => pairs.push((key, value.into())),
            Details::Json(_) => {
                let mut pairs = Few::new();
                pairs.push((key, value.into()));
                self.details = Details::Pairs(pairs);
            }
        }
        self
    }

    /// The class it will have.
    #[must_use]
    pub fn effective_class(&self) -> Class {
        self.class.unwrap_or_else(|| self.action.defaults(self.outcome).0)
    }
}
