//! Views of one value on the tape.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use super::tape::{Entry, Kind};
use super::{compare_keys, escape, unescape};

/// One value of a parsed [`Document`](super::Document). Copying it is free; text it gives out borrows from the input.
#[derive(Clone, Copy)]
pub struct Node<'d, 'i> {
    tape: &'d [Entry],
    text: &'i str,
    index: usize,
}

impl<'d, 'i> Node<'d, 'i> {
    pub(super) const fn root(tape: &'d [Entry], text: &'i str) -> Self {
        Self { tape, text, index: 0 }
    }

    #[inline]
    fn entry(&self) -> Entry {
        self.tape.get(self.index).copied().unwrap_or_default()
    }

    #[inline]
    const fn at(&self, index: usize) -> Self {
        Self { index, ..*self }
    }

    /// What it is.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> Kind {
        self.entry().kind()
    }

    /// Where it stands in the input, quotes or brackets included.
    #[must_use]
    #[inline]
    pub fn span(&self) -> Range<usize> {
        let entry = self.entry();
        entry.start as usize..entry.end as usize
    }

    /// Its bytes exactly as they came.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> &'i str {
        self.text.get(self.span()).unwrap_or_default()
    }

    /// The text of a string; allocates only if something in it is escaped.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'i, str>> {
        let entry = self.entry();
        (entry.kind() == Kind::String).then(|| {
            let inside = inside(self.raw());
            if entry.has(Entry::ESCAPED) { unescape(inside) } else { Cow::Borrowed(inside) }
        })
    }

    /// `true` or `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.raw() == "true")
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// A number as it was written.
    #[must_use]
    pub fn number_lexeme(&self) -> Option<&'i str> {
        (self.kind() == Kind::Number).then(|| self.raw())
    }

    /// A number that is written as an integer (no point, no exponent) and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.number_lexeme()?.parse().ok()
    }

    /// A number that is written as an integer (no point, no exponent, no sign) and fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.number_lexeme()?.parse().ok()
    }

    /// How many elements an array or members an object has; 0 for everything else.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entry().count()
    }

    /// Whether [`len`](Self::len) is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the member `key` of an object.
    ///
    /// # Cost
    /// Looks at the keys one by one, in input order.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        self.entries().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// [`get`](Self::get) along a path of object keys; the empty path is the value itself.
    #[must_use]
    pub fn path(&self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(*self, |node, key| node.get(key))
    }

    /// The members of an object in input order; nothing for any other kind.
    #[must_use]
    pub fn entries(&self) -> Entries<'d, 'i> {
        Entries(self.children(Kind::Object))
    }

    /// The elements of an array; nothing for any other kind.
    #[must_use]
    pub fn elements(&self) -> Elements<'d, 'i> {
        Elements(self.children(Kind::Array))
    }

    fn children(&self, kind: Kind) -> Children<'d, 'i> {
        let entry = self.entry();
        Children { next: self.at(self.index + 1), left: if entry.kind() == kind { entry.count() } else { 0 } }
    }

    /// Whether [`raw`](Self::raw) is its own canonical form.
    #[must_use]
    #[inline]
    pub fn is_canonical(&self) -> bool {
        !self.entry().has(Entry::REWRITE)
    }

    /// Appends the canonical form to `out`.
    ///
    /// # Cost
    /// What is canonical already is copied whole; the rest costs one walk. Nothing is sorted (the parser did) or allocated but
    /// `out`.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let entry = self.entry();
        out.reserve((entry.end - entry.start) as usize);
        self.write(entry, out);
    }

    fn write(&self, entry: Entry, out: &mut Vec<u8>) {
        if !entry.has(Entry::REWRITE) {
            self.copy(entry.start, entry.end, out);
            return;
        }
        match entry.kind() {
            // A scalar other than a string has one spelling only.
            Kind::Null | Kind::Bool | Kind::Number => self.copy(entry.start, entry.end, out),
            Kind::String => {
                out.push(b'"');
                escape::rewrite(out, inside(self.raw()));
                out.push(b'"');
            }
            Kind::Array => {
                let mut separator = b'[';
                for element in self.elements() {
                    out.push(separator);
                    element.write(element.entry(), out);
                    separator = b',';
                }
                // An empty array comes here when there is white space in it.
                out.extend_from_slice(if separator == b'[' { b"[]" } else { b"]" });
            }
            Kind::Object => {
                let mut separator = b'{';
                let mut members = self.children(Kind::Object);
                while let Some(place) = members.advance(1) {
                    // The key that belongs in this place; it is the key itself where the object came sorted.
                    let key = place.at(place.entry().link as usize);
                    out.push(separator);
                    key.write_member(out);
                    separator = b',';
                }
                out.extend_from_slice(if separator == b'{' { b"{}" } else { b"}" });
            }
        }
    }

    /// Writes the member whose key this is; in one copy when its bytes are as they should be, colon included.
    #[inline]
    fn write_member(&self, out: &mut Vec<u8>) {
        let key = self.entry();
        let node = self.at(self.index + 1);
        let value = node.entry();
        if !key.has(Entry::REWRITE) && !value.has(Entry::REWRITE) && key.end + 1 == value.start {
            self.copy(key.start, value.end, out);
            return;
        }
        self.write(key, out);
        out.push(b':');
        node.write(value, out);
    }

    #[inline]
    fn copy(&self, start: u32, end: u32, out: &mut Vec<u8>) {
        let bytes = self.text.as_bytes().get(start as usize..end as usize);
        out.extend_from_slice(bytes.unwrap_or_default());
    }
}

impl fmt::Debug for Node<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw())
    }
}

/// What is between the quotes.
fn inside(quoted: &str) -> &str {
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
}

#[derive(Clone)]
struct Children<'d, 'i> {
    next: Node<'d, 'i>,
    left: usize,
}

impl<'d, 'i> Children<'d, 'i> {
    /// The next child; the value that ends it stands `key` nodes behind its first (1 in objects, where a key precedes it).
    #[inline]
    fn advance(&mut self, key: usize) -> Option<Node<'d, 'i>> {
        self.left = self.left.checked_sub(1)?;
        let node = self.next;
        self.next = node.at(node.at(node.index + key).entry().link as usize);
        Some(node)
    }
}

/// The members of an object, see [`Node::entries`].
#[derive(Clone)]
pub struct Entries<'d, 'i>(Children<'d, 'i>);

impl<'d, 'i> Iterator for Entries<'d, 'i> {
    type Item = (Key<'i>, Node<'d, 'i>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.advance(1)?;
        let key = Key { raw: inside(name.raw()), escaped: name.entry().has(Entry::ESCAPED) };
        Some((key, name.at(name.index + 1)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left, Some(self.0.left))
    }
}

impl ExactSizeIterator for Entries<'_, '_> {}
impl FusedIterator for Entries<'_, '_> {}

/// The elements of an array, see [`Node::elements`].
#[derive(Clone)]
pub struct Elements<'d, 'i>(Children<'d, 'i>);

impl<'d, 'i> Iterator for Elements<'d, 'i> {
    type Item = Node<'d, 'i>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.advance(0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left, Some(self.0.left))
    }
}

impl ExactSizeIterator for Elements<'_, '_> {}
impl FusedIterator for Elements<'_, '_> {}

/// An object key. It compares as the text it stands for, however it is escaped, in the canonical order.
#[derive(Clone, Copy, Debug)]
pub struct Key<'i> {
    raw: &'i str,
    escaped: bool,
}

impl<'i> Key<'i> {
    /// As it came, without the quotes.
    #[must_use]
    pub const fn raw(&self) -> &'i str {
        self.raw
    }

    /// The text it stands for; allocates only if something in it is escaped.
    #[must_use]
    pub fn text(&self) -> Cow<'i, str> {
        if self.escaped { unescape(self.raw) } else { Cow::Borrowed(self.raw) }
    }
}

impl PartialEq<str> for Key<'_> {
    #[inline]
    fn eq(&self, other: &str) -> bool {
        if self.escaped { unescape(self.raw) == other } else { self.raw == other }
    }
}

impl PartialEq<&str> for Key<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_keys(&self.text(), &other.text())
    }
}
