//! Checks canonical JSON in one pass and without a tape: for readers of stored bodies that trust nothing, such as `verify`.
//!
//! It accepts exactly what [`Document`] parses within [`DEPTH_MAX`] levels and finds to be its own canonical form, with nothing
//! around it; its caller picks up the members it needs in the same pass. Where [`walk`](super::walk) steps over a value, this
//! checks it.
//!
//! Two things make one pass enough. Canonical keys are strictly ascending, so a repeated one stands next to its twin and looking
//! at the key before is looking at all of them. And a number or literal has one spelling, so only strings need to be asked about
//! theirs.
//!
//! Invariants: nothing recurses over the input; memory is one [`Checker`], whatever the input (but for keys with escapes, which
//! are unescaped one by one to be compared); after an error nothing is promised about what was handed out before it.
//!
//! [`Document`]: super::Document

use std::cmp::Ordering;
use std::ops::Range;

use super::{BYTES_CAP, Kind, compare_keys, escape, keys, scan, unescape};
use crate::limits::DEPTH_MAX;

/// The memory of a check, kept from one to the next so that its 2 KiB are cleared once and not for every small body.
///
/// ```
/// use indelible_format::json::canonical::Checker;
/// let mut checker = Checker::new();
/// assert!(checker.is_canonical(br#"{"a":[1.0],"b":"\n"}"#));
/// assert!(!checker.is_canonical(br#"{"a":[1.0],"b":"\u000a"}"#));
/// ```
#[derive(Debug)]
pub struct Checker {
    /// The containers around the innermost one of a value that is being read: the last key of an object, [`Key::NONE`] for an
    /// array.
    levels: [Key; DEPTH_MAX],
}

/// The bytes are not canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical JSON at byte {offset}")]
pub struct NotCanonical {
    /// Where this was noticed: at a byte that may not stand there, the backslash of an escape, or the start of a key that is not
    /// behind the one before it. UTF-8 is looked at last.
    pub offset: usize,
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// A new one. No check depends on an earlier one.
    #[must_use]
    pub const fn new() -> Self {
        Self { levels: [Key::NONE; DEPTH_MAX] }
    }

    /// Whether `bytes` are one value in canonical form and nothing else.
    ///
    /// # Cost
    /// One pass, and another to check the UTF-8 of what is not ASCII.
    #[must_use]
    pub fn is_canonical(&mut self, bytes: &[u8]) -> bool {
        let whole = |mut cursor: Cursor<'_, '_>| {
            cursor.value()?;
            cursor.end()
        };
        self.read(bytes).and_then(whole).is_ok()
    }

    /// As [`is_canonical`](Self::is_canonical), of a value that stands within so many containers.
    ///
    /// ```
    /// # use indelible_format::{json::canonical::Checker, limits::DEPTH_MAX};
    /// let mut checker = Checker::new();
    /// assert!(checker.is_canonical_within(b"[{}]", DEPTH_MAX - 2));
    /// assert!(!checker.is_canonical_within(b"[{}]", DEPTH_MAX - 1));
    /// ```
    #[must_use]
    pub fn is_canonical_within(&mut self, bytes: &[u8], depth: usize) -> bool {
        let whole = |mut cursor: Cursor<'_, '_>| {
            cursor.depth = depth;
            cursor.value()?;
            cursor.depth = 0;
            cursor.end()
        };
        self.read(bytes).and_then(whole).is_ok()
    }

    /// A cursor at the start of `bytes`. They are canonical when the value was read and then [`Cursor::end`] says so, not before.
    ///
    /// # Errors
    /// `bytes` are longer than [`BYTES_CAP`].
    #[inline]
    pub fn read<'c, 'b>(&'c mut self, bytes: &'b [u8]) -> Result<Cursor<'c, 'b>, NotCanonical> {
        if bytes.len() > BYTES_CAP {
            return Err(NotCanonical { offset: BYTES_CAP });
        }
        Ok(Cursor { text: Text::new(bytes), at: 0, depth: 0, levels: &mut self.levels })
    }
}

/// A place in bytes that are being checked: everything before it is canonical so far, but for its UTF-8.
///
/// ```
/// use indelible_format::json::canonical::{Checker, NotCanonical};
/// let mut checker = Checker::new();
/// let mut cursor = checker.read(br#"{"id":"u-1","roles":["a","b"]}"#)?;
/// let mut id = None;
/// let mut next = cursor.first_key()?;
/// while let Some(key) = next {
///     let (range, _) = cursor.value()?;
///     if cursor.raw(key) == b"id" {
///         id = Some(range);
///     }
///     next = cursor.next_key(key)?;
/// }
/// cursor.end()?;
/// assert_eq!(id, Some(6..11));
/// # Ok::<(), NotCanonical>(())
/// ```
#[derive(Debug)]
pub struct Cursor<'c, 'b> {
    text: Text<'b>,
    at: usize,
    /// Containers the caller has stepped into.
    depth: usize,
    levels: &'c mut [Key; DEPTH_MAX],
}

/// A key of an object, see [`Cursor::raw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// [`keys::prefix`], or [`Key::ESCAPED`] where that would be of the escapes and not of what they stand for.
    prefix: u64,
    /// Where it stands, without its quotes. The end is 0 only in [`Key::NONE`]: a bracket and a quote come before every key.
    start: u32,
    end: u32,
}

impl<'b> Cursor<'_, 'b> {
    /// What the value that begins here is, by its first byte. Whether it is one at all shows when it is read.
    #[must_use]
    #[inline(always)]
    pub fn kind(&self) -> Option<Kind> {
        self.text.at(self.at).and_then(kind_of)
    }

    /// A key between its quotes, still escaped.
    #[must_use]
    #[inline(always)]
    pub fn raw(&self, key: Key) -> &'b [u8] {
        key.raw(self.text.bytes)
    }

    /// Reads the value that begins here, whatever it is: where it stands (strings with their quotes) and its kind.
    ///
    /// # Errors
    /// It is not canonical, or nests too deeply.
    #[inline(always)]
    pub fn value(&mut self) -> Result<(Range<usize>, Kind), NotCanonical> {
        let start = self.at;
        let kind = self.kind().ok_or(self.wrong())?;
        self.at = match kind {
            Kind::String => self.text.string_end(start + 1)?,
            Kind::Array | Kind::Object => {
                // A copy, so that the cursor itself can live in registers.
                let mut text = self.text;
                let end = container_end(&mut text, start, self.levels.get_mut(self.depth..).unwrap_or_default())?;
                self.text = text;
                end
            }
            Kind::Null | Kind::Bool | Kind::Number => scalar_end(self.text.bytes, start)?,
        };
        Ok((start..self.at, kind))
    }

    /// Steps into the object that begins here, up to the value of its first key; behind it if it is empty.
    ///
    /// # Errors
    /// No canonical object begins here, or it is nested too deeply.
    #[inline(always)]
    pub fn first_key(&mut self) -> Result<Option<Key>, NotCanonical> {
        if !self.enter(b'{', b'}')? {
            return Ok(None);
        }
        let key = self.text.key(self.at)?;
        self.at = key.value_start();
        Ok(Some(key))
    }

    /// Steps from behind the value of `last` to that of the next key; behind the object if that was its last.
    ///
    /// # Errors
    /// Neither follows, or the key is not behind `last` in the canonical order.
    #[inline(always)]
    pub fn next_key(&mut self, last: Key) -> Result<Option<Key>, NotCanonical> {
        if !self.step(b'}')? {
            return Ok(None);
        }
        let key = self.text.next_key(self.at, last)?;
        self.at = key.value_start();
        Ok(Some(key))
    }

    /// Steps into the array that begins here, up to its first element. Behind it, and false, if it is empty.
    ///
    /// # Errors
    /// No array begins here, or it is nested too deeply.
    #[inline(always)]
    pub fn first_element(&mut self) -> Result<bool, NotCanonical> {
        self.enter(b'[', b']')
    }

    /// Steps from behind an element to the next one. Behind the array, and false, if that was its last.
    ///
    /// # Errors
    /// Neither follows.
    #[inline(always)]
    pub fn next_element(&mut self) -> Result<bool, NotCanonical> {
        self.step(b']')
    }

    /// Where the cursor is.
    #[must_use]
    #[inline(always)]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Nothing more may follow, and all of it must have been UTF-8.
    ///
    /// # Errors
    /// Either is not so, or the cursor is still inside something.
    #[inline]
    pub fn end(self) -> Result<(), NotCanonical> {
        if self.at != self.text.bytes.len() || self.depth != 0 || self.at == 0 {
            return Err(self.wrong());
        }
        // Only strings have let bytes through that are not ASCII, and nearly all bodies have none.
        if self.text.ascii {
            return Ok(());
        }
        std::str::from_utf8(self.text.bytes).map(drop).map_err(|error| NotCanonical { offset: error.valid_up_to() })
    }

    #[inline(always)]
    fn enter(&mut self, open: u8, close: u8) -> Result<bool, NotCanonical> {
        if self.text.at(self.at) != Some(open) || self.depth >= DEPTH_MAX {
            return Err(self.wrong());
        }
        self.at += 1;
        let empty = self.text.at(self.at) == Some(close);
        if empty {
            self.at += 1;
        } else {
            self.depth += 1;
        }
        Ok(!empty)
    }

    #[inline(always)]
    fn step(&mut self, close: u8) -> Result<bool, NotCanonical> {
        let more = match self.text.at(self.at) {
            Some(b',') => true,
            Some(byte) if byte == close => {
                self.depth = self.depth.saturating_sub(1);
                false
            }
            _ => return Err(self.wrong()),
        };
        self.at += 1;
        Ok(more)
    }

    #[inline(always)]
    const fn wrong(&self) -> NotCanonical {
        NotCanonical { offset: self.at }
    }
}

/// Behind the container that begins at `start`. `levels` has a slot for every level that is allowed.
fn container_end(outer: &mut Text<'_>, start: usize, levels: &mut [Key]) -> Result<usize, NotCanonical> {
    let mut text = *outer;
    // `last` is the last key of the innermost container, or none if that is an array. The first of `levels[..open]` is around the
    // value itself and means nothing.
    let mut last = Key::NONE;
    let mut open = 0;
    let mut at = start;
    loop {
        // A value begins at `at`.
        at = match text.at(at) {
            Some(b'"') => text.string_end(at + 1)?,
            Some(bracket @ (b'{' | b'[')) => {
                *levels.get_mut(open).ok_or(NotCanonical { offset: at })? = last;
                // The closing brackets stand two behind the opening ones.
                if text.at(at + 1) == Some(bracket + 2) {
                    if open == 0 {
                        *outer = text;
                        return Ok(at + 2);
                    }
                    at + 2
                } else {
                    open += 1;
                    at += 1;
                    last = Key::NONE;
                    if bracket == b'{' {
                        last = text.key(at)?;
                        at = last.value_start();
                    }
                    continue;
                }
            }
            _ => scalar_end(text.bytes, at)?,
        };
        // A value has ended at `at`.
        loop {
            let object = last.end != 0;
            match text.at(at) {
                Some(b',') => {
                    at += 1;
                    if object {
                        last = text.next_key(at, last)?;
                        at = last.value_start();
                    }
                    break;
                }
                Some(byte) if byte == if object { b'}' } else { b']' } => {
                    at += 1;
                    open -= 1;
                    last = levels.get(open).copied().unwrap_or(Key::NONE);
                    if open == 0 {
                        *outer = text;
                        return Ok(at);
                    }
                }
                _ => return Err(NotCanonical { offset: at }),
            }
        }
    }
}

impl Key {
    const NONE: Self = Self { prefix: 0, start: 0, end: 0 };
    /// No prefix of a key in UTF-8.
    const ESCAPED: u64 = u64::MAX;

    #[inline(always)]
    fn raw(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Behind the quote and the colon.
    #[inline(always)]
    const fn value_start(self) -> usize {
        self.end as usize + 2
    }

    /// Whether it stands behind `last` in the canonical order.
    #[inline(always)]
    fn follows(self, last: Self, bytes: &[u8]) -> bool {
        (self.prefix > last.prefix && self.prefix != Self::ESCAPED) || self.follows_slow(last, bytes)
    }

    #[inline(never)]
    fn follows_slow(self, last: Self, bytes: &[u8]) -> bool {
        let (before, this) = (last.raw(bytes), self.raw(bytes));
        let order = if self.prefix.max(last.prefix) == Self::ESCAPED {
            // What is no UTF-8 is refused in the end, however it compares.
            let text = |raw| unescape(std::str::from_utf8(raw).unwrap_or_default());
            compare_keys(&text(before), &text(this))
        } else {
            keys::compare(before, this)
        };
        order == Ordering::Less
    }
}

/// The bytes, with an eye for where their strings end, front to back.
///
/// Most strings are short, and how long is what a processor guesses worst. So the bytes that can end a string are marked 64 at a
/// time, and the end of one is a shift and a count of zeros away, whatever its length.
#[derive(Clone, Copy, Debug)]
struct Text<'b> {
    bytes: &'b [u8],
    /// Which 64 bytes `marks` is about.
    block: usize,
    /// Bit `i` is set if byte `i` of the block is `"`, `\\` or a control character, or lies behind the end.
    marks: u64,
    /// No block so far has a byte that is not ASCII.
    ascii: bool,
}

impl<'b> Text<'b> {
    #[inline(always)]
    fn new(bytes: &'b [u8]) -> Self {
        let (marks, ascii) = block_of(bytes, 0);
        Self { bytes, block: 0, marks, ascii }
    }

    #[inline(always)]
    fn at(&self, offset: usize) -> Option<u8> {
        self.bytes.get(offset).copied()
    }

    /// Where the run of plain string bytes that begins at `from` ends: [`scan::plain_end`].
    #[inline(always)]
    fn plain_end(&mut self, from: usize) -> usize {
        let mut from = from;
        loop {
            let block = from / 64;
            if block != self.block {
                let (marks, ascii) = block_of(self.bytes, block);
                (self.block, self.marks) = (block, marks);
                self.ascii &= ascii;
            }
            let marks = self.marks >> (from % 64);
            if marks != 0 {
                return from + marks.trailing_zeros() as usize;
            }
            from = (block + 1) * 64;
        }
    }

    /// Behind the quote that ends the string whose inside begins at `from`.
    #[inline(always)]
    fn string_end(&mut self, from: usize) -> Result<usize, NotCanonical> {
        let end = self.plain_end(from);
        if self.at(end) == Some(b'"') {
            return Ok(end + 1);
        }
        self.string_end_slow(end)
    }

    /// Reads the key that begins at `at`, and the colon behind it.
    #[inline(always)]
    fn key(&mut self, at: usize) -> Result<Key, NotCanonical> {
        if self.at(at) != Some(b'"') {
            return Err(NotCanonical { offset: at });
        }
        let start = at + 1;
        let mut end = self.plain_end(start);
        let mut prefix = keys::prefix(self.bytes, start, end);
        if self.at(end) != Some(b'"') {
            end = self.string_end_slow(end)? - 1;
            prefix = Key::ESCAPED;
        }
        if self.at(end + 1) != Some(b':') {
            return Err(NotCanonical { offset: end + 1 });
        }
        Ok(Key { prefix, start: narrow(start), end: narrow(end) })
    }

    /// Reads the key that begins at `at`, which must stand behind `last` in the canonical order.
    #[inline(always)]
    fn next_key(&mut self, at: usize, last: Key) -> Result<Key, NotCanonical> {
        let key = self.key(at)?;
        if key.follows(last, self.bytes) { Ok(key) } else { Err(NotCanonical { offset: at }) }
    }

    #[inline(always)]
    fn string_end_slow(&mut self, from: usize) -> Result<usize, NotCanonical> {
        let (end, ascii) = string_end_slow(self.bytes, from)?;
        self.ascii &= ascii;
        Ok(end)
    }
}

/// [`Text::string_end`] from the first byte that is not plain, and whether it is ASCII from there.
#[inline(never)]
fn string_end_slow(bytes: &[u8], from: usize) -> Result<(usize, bool), NotCanonical> {
    let mut at = from;
    loop {
        let length = match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'"'), _) => return Ok((at + 1, bytes.get(from..at).is_some_and(<[u8]>::is_ascii))),
            (Some(b'\\'), Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't')) => 2,
            // `\u`, if it is one that has no shorter form.
            (Some(b'\\'), _) => match escape::read_escape(bytes, at) {
                Ok((character, length)) if escape::is_canonical(bytes.get(at..at + length).unwrap_or_default(), character) => {
                    length
                }
                _ => return Err(NotCanonical { offset: at }),
            },
            _ => return Err(NotCanonical { offset: at }),
        };
        at = scan::plain_end(bytes, at + length);
    }
}

/// The marks of a block, and whether it is ASCII. What lies behind the end of the bytes counts as control characters.
#[inline(never)]
fn block_of(bytes: &[u8], block: usize) -> (u64, bool) {
    let rest = bytes.get(block * 64..).unwrap_or_default();
    let mut padded = [0; 64];
    let block = rest.first_chunk::<64>().unwrap_or_else(|| {
        for (to, from) in padded.iter_mut().zip(rest) {
            *to = *from;
        }
        &padded
    });
    // No loop has a branch, so they become vector code.
    let marked = block.map(|byte| u8::from((byte == b'"') | (byte == b'\\') | (byte < 0x20)));
    // Eight bytes that are 0 or 1 become eight bits: the product has each of them once in its highest byte.
    let bits = |word: &[u8; 8]| u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let marks = marked.as_chunks::<8>().0.iter().rev().fold(0, |marks, word| marks << 8 | bits(word));
    let high = block.as_chunks::<8>().0.iter().fold(0, |all, word| all | u64::from_le_bytes(*word));
    (marks, high & 0x8080_8080_8080_8080 == 0)
}

const fn kind_of(byte: u8) -> Option<Kind> {
    Some(match byte {
        b'"' => Kind::String,
        b'{' => Kind::Object,
        b'[' => Kind::Array,
        b'-' | b'0'..=b'9' => Kind::Number,
        b't' | b'f' => Kind::Bool,
        b'n' => Kind::Null,
        _ => return None,
    })
}

/// Behind the number or literal that begins at `start`.
#[inline]
fn scalar_end(bytes: &[u8], start: usize) -> Result<usize, NotCanonical> {
    let word: &[u8] = match bytes.get(start) {
        Some(b'-' | b'0'..=b'9') => return number_end(bytes, start),
        Some(b't') => b"true",
        Some(b'f') => b"false",
        _ => b"null",
    };
    if bytes.get(start..).is_some_and(|rest| rest.starts_with(word)) {
        Ok(start + word.len())
    } else {
        Err(NotCanonical { offset: start })
    }
}

/// Behind the number that begins at `start`. What may follow it is for the container to say: `01` ends behind the zero.
#[inline]
fn number_end(bytes: &[u8], start: usize) -> Result<usize, NotCanonical> {
    let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits_end(bytes, at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits_end(bytes, at)?;
    }
    Ok(at)
}

/// Behind at least one digit.
#[inline(always)]
fn digits_end(bytes: &[u8], from: usize) -> Result<usize, NotCanonical> {
    let mut at = from;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at > from { Ok(at) } else { Err(NotCanonical { offset: at }) }
}

/// An offset as a [`Key`] keeps it.
#[expect(clippy::cast_possible_truncation, reason = "bounded by BYTES_CAP")]
#[inline(always)]
const fn narrow(wide: usize) -> u32 {
    wide as u32
}
