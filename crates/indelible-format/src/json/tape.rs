//! The tape: one JSON value as a flat list of nodes.
//!
//! Nodes stand in input order, a container before what it contains, an object key (a string node) before its value.
//!
//! ```text
//! offset  size  field   notes
//! 0       4     start   offset of the value's first byte in the input
//! 4       4     end     offset behind its last byte
//! 8       4     link    of a value: index of the node behind its subtree
//!                       of a key: index of the key that stands in this place in canonical order
//! 12      4     info    bits 0..3 kind · bit 3 escaped · bit 4 rewrite · bits 5..32 elements or members
//! ```
//!
//! The keys of an object are sorted once, when it closes, because that is how duplicates are found; `link` keeps the result
//! for the writer at no cost in space. `rewrite` says that the value's own bytes are not its canonical form, so an object that
//! came in canonical is written with one copy.

use super::{Error, Limits, Node, parse};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, known by its lexeme only.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// One node; the module says what its fields hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) link: u32,
    info: u32,
}

impl Entry {
    /// A string with at least one backslash in it.
    pub(super) const ESCAPED: u32 = 1 << 3;
    /// The bytes of this value are not in canonical form.
    pub(super) const REWRITE: u32 = 1 << 4;
    const COUNT_SHIFT: u32 = 5;

    #[inline(always)]
    pub(super) const fn new(kind: Kind, flags: u32, start: u32, end: u32, link: u32) -> Self {
        Self { start, end, link, info: kind as u32 | flags }
    }

    /// Completes a container.
    #[inline(always)]
    pub(super) const fn close(&mut self, end: u32, link: u32, count: u32, flags: u32) {
        self.end = end;
        self.link = link;
        self.info |= count << Self::COUNT_SHIFT | flags;
    }

    #[inline]
    pub(super) const fn kind(self) -> Kind {
        match self.info & 7 {
            1 => Kind::Bool,
            2 => Kind::Number,
            3 => Kind::String,
            4 => Kind::Array,
            5 => Kind::Object,
            _ => Kind::Null,
        }
    }

    #[inline]
    pub(super) const fn has(self, flag: u32) -> bool {
        self.info & flag != 0
    }

    #[inline]
    pub(super) const fn count(self) -> usize {
        (self.info >> Self::COUNT_SHIFT) as usize
    }
}

const _: () = assert!(size_of::<Entry>() == 16);

/// The memory of a parser: a tape and its scratch, kept from parse to parse so that a warm one allocates nothing.
///
/// ```
/// use indelible_format::json::{Document, Limits};
/// let mut document = Document::new();
/// let node = document.parse(br#"{"b":1,"a":[1.0]}"#, &Limits::default())?;
/// let mut canonical = Vec::new();
/// node.write_canonical(&mut canonical);
/// assert_eq!(canonical, br#"{"a":[1.0],"b":1}"#);
/// # Ok::<(), indelible_format::json::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Document {
    pub(super) tape: Vec<Entry>,
    pub(super) open: Vec<parse::Frame>,
    pub(super) names: Vec<parse::Name>,
    pub(super) decoded: Vec<u8>,
}

impl Document {
    /// An empty one; it allocates when it first parses.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses `input`, which is one value with nothing but white space around it.
    ///
    /// # Errors
    /// What is wrong and where; [`Error`] lists the kinds. Of several faults one is reported.
    ///
    /// # Cost
    /// One pass over the input and one more to check its UTF-8; keys are sorted per object, so n log n of them at worst.
    pub fn parse<'d, 'i>(&'d mut self, input: &'i [u8], limits: &Limits) -> Result<Node<'d, 'i>, Error> {
        parse::whole(self, input, limits)
    }

    /// Parses one value at the start of `input`, white space before it allowed, and says at which offset it ends. What follows
    /// is not looked at, but that a number or a literal must not run on: `1 2` and `{}{}` are two values, `01` and `nullnull`
    /// are errors.
    ///
    /// # Errors
    /// As [`parse`](Self::parse). `Empty` when only white space is left: the end of concatenated JSON. `UnexpectedEnd` when more
    /// bytes could complete the value. A number that reaches the end of `input` is taken as complete.
    pub fn parse_prefix<'d, 'i>(&'d mut self, input: &'i [u8], limits: &Limits) -> Result<(Node<'d, 'i>, usize), Error> {
        parse::prefix(self, input, limits)
    }

    /// Gives memory back so that no more than about `nodes` nodes' worth is kept for the next parse.
    pub fn shrink_to(&mut self, nodes: usize) {
        self.tape.clear();
        self.tape.shrink_to(nodes);
        self.open.clear();
        self.names.clear();
        self.names.shrink_to(nodes);
        self.decoded.clear();
        self.decoded.shrink_to(nodes.saturating_mul(size_of::<Entry>()));
    }

    /// Bytes of heap held now.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.tape.capacity() * size_of::<Entry>()
            + self.open.capacity() * size_of::<parse::Frame>()
            + self.names.capacity() * size_of::<parse::Name>()
            + self.decoded.capacity()
    }
}
