//! Steps through canonical JSON without a tape: for hot paths over bytes that were canonical when they were stored.
//!
//! The bytes may have been altered since, so this is total: it finds the bounds of members and elements, refuses what makes
//! that impossible, and never panics, recurses or allocates. It is **no validator**: inside a value that it skips it only
//! tells strings from brackets, and it does not look at key order, escapes, UTF-8 or the grammar of numbers. What was altered
//! is found by its hash; what is JSON is decided by [`Document`](super::Document).

use std::iter::FusedIterator;
use std::ops::Range;

use super::{Kind, scan};

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'b> {
    /// The key between its quotes, still escaped.
    pub key: &'b [u8],
    /// Where the value stands in the bytes given; strings with their quotes.
    pub value: Range<usize>,
    /// What the value is, by its first byte.
    pub kind: Kind,
}

/// An element of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Where the value stands in the bytes given; strings with their quotes.
    pub value: Range<usize>,
    /// What the value is, by its first byte.
    pub kind: Kind,
}

/// The bytes are not canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical JSON at byte {offset}")]
pub struct Malformed {
    /// Where this was noticed.
    pub offset: usize,
}

/// The members of the object that `bytes` is. After an error there is nothing more.
#[must_use]
pub const fn members(bytes: &[u8]) -> Members<'_> {
    Members(Walker::new(bytes, 0))
}

/// The members of the object that stands at `object` in `bytes`; the ranges given out are offsets into `bytes`.
#[must_use]
pub fn members_at(bytes: &[u8], object: Range<usize>) -> Members<'_> {
    Members(Walker::new(bytes.get(..object.end).unwrap_or(bytes), object.start))
}

/// The elements of the array that `bytes` is. After an error there is nothing more.
#[must_use]
pub const fn elements(bytes: &[u8]) -> Elements<'_> {
    Elements(Walker::new(bytes, 0))
}

/// The elements of the array that stands at `array` in `bytes`; the ranges given out are offsets into `bytes`.
#[must_use]
pub fn elements_at(bytes: &[u8], array: Range<usize>) -> Elements<'_> {
    Elements(Walker::new(bytes.get(..array.end).unwrap_or(bytes), array.start))
}

/// See [`members`].
#[derive(Clone, Debug)]
pub struct Members<'b>(Walker<'b>);

impl<'b> Iterator for Members<'b> {
    type Item = Result<Member<'b>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_with(b'{', b'}', Walker::member)
    }
}

impl FusedIterator for Members<'_> {}

/// See [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'b>(Walker<'b>);

impl Iterator for Elements<'_> {
    type Item = Result<Element, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_with(b'[', b']', |walker| {
            let (value, kind) = walker.value()?;
            Ok(Element { value, kind })
        })
    }
}

impl FusedIterator for Elements<'_> {}

/// A place in a container. `bytes` ends where the container must end.
#[derive(Clone, Debug)]
struct Walker<'b> {
    bytes: &'b [u8],
    at: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Before,
    Inside,
    Done,
}

impl<'b> Walker<'b> {
    const fn new(bytes: &'b [u8], at: usize) -> Self {
        Self { bytes, at, state: State::Before }
    }

    #[inline(always)]
    fn next_with<T>(
        &mut self,
        open: u8,
        close: u8,
        item: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Option<Result<T, Malformed>> {
        let more = match self.state {
            State::Before => self.begin(open, close),
            State::Inside => self.separator(close),
            State::Done => return None,
        };
        let result = match more {
            Ok(true) => item(self),
            Ok(false) => return None,
            Err(malformed) => Err(malformed),
        };
        if result.is_err() {
            self.state = State::Done;
        }
        Some(result)
    }

    /// Steps into the container; false if it is empty.
    fn begin(&mut self, open: u8, close: u8) -> Result<bool, Malformed> {
        self.state = State::Inside;
        self.expect(open)?;
        if self.bytes.get(self.at) == Some(&close) {
            return self.end();
        }
        Ok(true)
    }

    /// Steps over what follows an item; false at the end of the container.
    #[inline]
    fn separator(&mut self, close: u8) -> Result<bool, Malformed> {
        match self.bytes.get(self.at) {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if *byte == close => self.end(),
            _ => Err(self.malformed()),
        }
    }

    fn end(&mut self) -> Result<bool, Malformed> {
        self.at += 1;
        self.state = State::Done;
        if self.at == self.bytes.len() { Ok(false) } else { Err(self.malformed()) }
    }

    #[inline]
    fn member(&mut self) -> Result<Member<'b>, Malformed> {
        let start = self.at;
        self.expect(b'"')?;
        let end = string_end(self.bytes, self.at)?;
        let key = self.bytes.get(start + 1..end - 1).unwrap_or_default();
        self.at = end;
        self.expect(b':')?;
        let (value, kind) = self.value()?;
        Ok(Member { key, value, kind })
    }

    #[inline]
    fn value(&mut self) -> Result<(Range<usize>, Kind), Malformed> {
        let start = self.at;
        let (end, kind) = skip_value(self.bytes, start)?;
        self.at = end;
        Ok((start..end, kind))
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.bytes.get(self.at) != Some(&byte) {
            return Err(self.malformed());
        }
        self.at += 1;
        Ok(())
    }

    const fn malformed(&self) -> Malformed {
        Malformed { offset: self.at }
    }
}

/// Where the value that begins at `start` ends, and what it is.
///
/// # Errors
/// No value begins there, or it does not end.
///
/// # Cost
/// One pass over the value; strings at memory speed. Iterative, whatever the nesting.
#[inline]
pub fn skip_value(bytes: &[u8], start: usize) -> Result<(usize, Kind), Malformed> {
    let (end, kind) = match bytes.get(start) {
        Some(b'"') => (string_end(bytes, start + 1)?, Kind::String),
        Some(b'{') => (container_end(bytes, start)?, Kind::Object),
        Some(b'[') => (container_end(bytes, start)?, Kind::Array),
        Some(b'-' | b'0'..=b'9') => (number_end(bytes, start), Kind::Number),
        Some(b't') => (literal_end(bytes, start, b"true")?, Kind::Bool),
        Some(b'f') => (literal_end(bytes, start, b"false")?, Kind::Bool),
        Some(b'n') => (literal_end(bytes, start, b"null")?, Kind::Null),
        _ => return Err(Malformed { offset: start }),
    };
    Ok((end, kind))
}

/// Behind the quote that ends the string whose inside begins at `from`.
#[inline]
fn string_end(bytes: &[u8], from: usize) -> Result<usize, Malformed> {
    let mut at = from;
    loop {
        at = scan::quote_or_backslash(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            // A backslash and whatever it escapes.
            Some(_) => at += 2,
            None => {
                return Err(Malformed { offset: bytes.len() });
            }
        }
    }
}

/// Behind the bracket that ends the container whose first bracket is at `start`.
fn container_end(bytes: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut depth = 0usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at);
                }
            }
            _ => {}
        }
    }
    Err(Malformed { offset: bytes.len() })
}

fn number_end(bytes: &[u8], start: usize) -> usize {
    let digits = bytes.get(start..).unwrap_or_default();
    let length = digits.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
    start + length
}

fn literal_end(bytes: &[u8], start: usize, word: &[u8]) -> Result<usize, Malformed> {
    if bytes.get(start..).is_some_and(|rest| rest.starts_with(word)) {
        Ok(start + word.len())
    } else {
        Err(Malformed { offset: start })
    }
}
