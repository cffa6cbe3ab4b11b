//! The search language: one `field:value` query for the API, the command line and whatever is built on them.
//!
//! `query text ──parse──▶ Filter ──compile──▶ Matcher ──matches──▶ yes or no`, for one [`View`](super::view::View) of an event at
//! a time. The language is described for people in docs/search.md. Rules that hold throughout:
//!
//! - A term is true if the event has the field and *some* value of it fits. `NOT` is plain negation, so `NOT actor:alice` is also
//!   true of events without an actor, and of events whose identity was withheld or erased.
//! - Fields compare exactly, case included; free text and `raw` look for a stretch of text and ignore case.
//! - Numbers in `details` compare by their exact decimal value: 2^53 and 2^53+1 differ, `5` and `5.0` do not.
//! - `Display` writes a query that parses to the same filter, as long as it is within the limits of a query.
//!
//! Bounds of a query text: [`QUERY_BYTES_MAX`], [`TERMS_MAX`], [`DEPTH_MAX`], [`WILDCARDS_MAX`]. Nothing here does I/O or reads a clock;
//! times relative to now are resolved against the `now` that is passed to [`Filter::compile`].

mod compile;
mod decimal;
mod display;
mod error;
mod fields;
mod glob;
mod lexer;
pub(crate) mod mask;
mod matcher;
mod needs;
mod network;
mod parse;
pub(super) mod path;
mod sieve;

#[cfg(test)]
mod tests;

pub use error::{FilterError, FilterErrorKind};
pub use fields::{FIELDS, FieldInfo, FieldKind, KnownField, Name, Step};
pub use matcher::Matcher;
pub(crate) use needs::Need;
pub(crate) use sieve::Sieve;

/// Bytes of a query.
pub const QUERY_BYTES_MAX: usize = 8 * 1024;
/// Terms of a query.
pub const TERMS_MAX: usize = 512;
/// Parentheses and negations inside one another in a query.
pub const DEPTH_MAX: usize = 64;
/// Wildcards in one value.
pub const WILDCARDS_MAX: usize = 64;

/// A question to an event. Parse one from text, or build one:
///
/// ```
/// use indelible::search::Filter;
/// let parsed: Filter = "actor:alice action:iam.* NOT outcome:success".parse()?;
/// let built = Filter::field("actor.id").is("alice")
///     .and(Filter::field("action").matches("iam.*"))
///     .and(Filter::field("outcome").is("success").not());
/// assert_eq!(parsed, built);
/// assert_eq!(built.to_string(), "actor.id:alice action:iam.* NOT outcome:success");
/// # Ok::<(), indelible::search::FilterError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    /// Every event.
    #[default]
    All,
    /// The pattern occurs somewhere in the event's text, in any case.
    Text(Pattern),
    /// A field passes a test.
    Term(Name, Test),
    /// All of them; true when there are none.
    And(Vec<Self>),
    /// At least one of them; false when there are none.
    Or(Vec<Self>),
    /// Not that.
    Not(Box<Self>),
}

/// What a field is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Whether it is there.
    Exists,
    /// Whether it is this. For `raw`: whether this occurs in it.
    Is(Pattern),
    /// Whether it lies between two ends; an end that is `None` is open.
    Between {
        /// The lower end.
        low: Option<Limit>,
        /// The upper end.
        high: Option<Limit>,
    },
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// As it was written: a number, a time, a word or text.
    pub value: String,
    /// Whether the value itself is still inside.
    pub inclusive: bool,
}

/// Text with wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

/// A piece of a [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// This text; never empty, never beside another.
    Literal(String),
    /// `?`: any one character.
    One,
    /// `*`: anything, nothing included; never beside another.
    Any,
}

impl Pattern {
    /// Exactly `text`.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        let mut pattern = Self::default();
        pattern.push(Piece::Literal(text.into()));
        pattern
    }

    /// `text` in which `*` and `?` are wildcards and a backslash takes the meaning from the character behind it.
    #[must_use]
    pub fn wild(text: &str) -> Self {
        let mut pattern = Self::default();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            pattern.push(match character {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => Piece::Literal(characters.next().unwrap_or('\\').to_string()),
                _ => Piece::Literal(character.to_string()),
            });
        }
        pattern
    }

    /// Its pieces in order; none: the empty text.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text, if there are no wildcards.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    fn push(&mut self, piece: Piece) {
        match (self.pieces.last_mut(), piece) {
            (_, Piece::Literal(more)) if more.is_empty() => {}
            (Some(Piece::Literal(text)), Piece::Literal(more)) => text.push_str(&more),
            (Some(Piece::Any), Piece::Any) => {}
            (_, piece) => self.pieces.push(piece),
        }
    }

    fn is_anything(&self) -> bool {
        self.pieces == [Piece::Any]
    }
}

impl Filter {
    /// Reads a query; an empty one and `*` mean every event.
    ///
    /// # Errors
    /// What is wrong with it, where, and what to write instead. Names of fields and their values are checked too.
    pub fn parse(query: &str) -> Result<Self, FilterError> {
        parse::parse(query)
    }

    /// Every event.
    #[must_use]
    pub const fn all() -> Self {
        Self::All
    }

    /// Events whose text holds `text` somewhere, in any case: action, actor, session, origin, targets, every string and number
    /// in `details`, and the raw record.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Pattern::literal(text))
    }

    /// Begins a term about the field of this name; see [`FIELDS`]. An unknown name is reported by [`compile`](Self::compile).
    pub fn field(name: &str) -> FieldTerm {
        FieldTerm { name: Name::new(name) }
    }

    /// Events of which every one of `filters` is true.
    #[must_use]
    pub fn all_of(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for filter in filters {
            match filter {
                Self::All => {}
                Self::And(more) => all.extend(more),
                other => all.push(other),
            }
        }
        match all.pop() {
            None => Self::All,
            Some(only) if all.is_empty() => only,
            Some(last) => {
                all.push(last);
                Self::And(all)
            }
        }
    }

    /// Events of which at least one of `filters` is true; none of them: no event.
    #[must_use]
    pub fn any_of(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Vec::new();
        for filter in filters {
            match filter {
                Self::Or(more) => any.extend(more),
                other => any.push(other),
            }
        }
        match any.pop() {
            None => Self::All.not(),
            Some(only) if any.is_empty() => only,
            Some(last) => {
                any.push(last);
                Self::Or(any)
            }
        }
    }

    /// This and `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::all_of([self, other])
    }

    /// This or `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::any_of([self, other])
    }

    /// Not this: also true of events that lack what this looks at.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "filters are built by chaining; the operator is offered as well")]
    pub fn not(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Makes it ready to run: names, numbers, times, networks and wildcards are resolved, cheap tests moved to the front.
    ///
    /// `now` is ns since 1970 UTC, for times relative to it (`time:>=now-1h`).
    ///
    /// # Errors
    /// A field or value that means nothing. A filter from [`parse`](Self::parse) has been checked already.
    pub fn compile(&self, now: i64) -> Result<Matcher, FilterError> {
        compile::compile(self, now).map(Matcher::new)
    }
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(query: &str) -> Result<Self, FilterError> {
        Self::parse(query)
    }
}

impl std::ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::not(self)
    }
}

/// A field that waits for its test; made by [`Filter::field`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a field alone asks nothing; add a test such as `.is(…)`"]
pub struct FieldTerm {
    name: Name,
}

impl FieldTerm {
    /// It is exactly `value`; numbers in `details` by their value. For `raw`: `value` occurs in it, in any case.
    #[must_use]
    pub fn is(self, value: impl ToString) -> Filter {
        Filter::Term(self.name, Test::Is(Pattern::literal(value.to_string())))
    }

    /// It is one of `values`.
    #[must_use]
    pub fn is_one_of<V: ToString>(self, values: impl IntoIterator<Item = V>) -> Filter {
        let name = self.name;
        Filter::any_of(values.into_iter().map(|value| Self { name: name.clone() }.is(value)))
    }

    /// It fits `pattern`, in which `*` stands for anything and `?` for one character.
    #[must_use]
    pub fn matches(self, pattern: &str) -> Filter {
        let pattern = Pattern::wild(pattern);
        Filter::Term(self.name, if pattern.is_anything() { Test::Exists } else { Test::Is(pattern) })
    }

    /// It is there.
    #[must_use]
    pub fn exists(self) -> Filter {
        Filter::Term(self.name, Test::Exists)
    }

    /// It is `value` or more.
    #[must_use]
    pub fn at_least(self, value: impl ToString) -> Filter {
        self.range(Some(limit(value, true)), None)
    }

    /// It is `value` or less.
    #[must_use]
    pub fn at_most(self, value: impl ToString) -> Filter {
        self.range(None, Some(limit(value, true)))
    }

    /// It is more than `value`; for a day: after it.
    #[must_use]
    pub fn above(self, value: impl ToString) -> Filter {
        self.range(Some(limit(value, false)), None)
    }

    /// It is less than `value`; for a day: before it.
    #[must_use]
    pub fn below(self, value: impl ToString) -> Filter {
        self.range(None, Some(limit(value, false)))
    }

    /// It is between `low` and `high`, both included.
    #[must_use]
    pub fn between(self, low: impl ToString, high: impl ToString) -> Filter {
        self.range(Some(limit(low, true)), Some(limit(high, true)))
    }

    fn range(self, low: Option<Limit>, high: Option<Limit>) -> Filter {
        Filter::Term(self.name, Test::Between { low, high })
    }
}

fn limit(value: impl ToString, inclusive: bool) -> Limit {
    Limit { value: value.to_string(), inclusive }
}
