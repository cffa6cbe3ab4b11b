//! A sliding window over the input, and the scanner that finds where a JSON value ends without parsing it.
//!
//! Invariant: the window holds at most one record's limit and one chunk of the input, however long the input or a value is.

use std::io::{self, BufRead};

use memchr::{memchr, memchr_iter, memchr2, memchr3};

/// Bytes taken from the input at a time.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// The input from the first byte not yet used.
pub(crate) struct Window<'i> {
    input: &'i mut dyn BufRead,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    /// Offset in the input of the first unused byte.
    pub(crate) offset: u64,
    /// Line of the first unused byte, from 1.
    pub(crate) line: u64,
}

impl<'i> Window<'i> {
    pub(crate) fn new(input: &'i mut dyn BufRead) -> Self {
        Self { input, buffer: Vec::new(), start: 0, ended: false, offset: 0, line: 1 }
    }

    /// What is in memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Reads one more chunk; false at the end of the input.
    pub(crate) fn more(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        // What was used is dropped before the buffer would grow; that copies each byte at most about once.
        if self.start > 0 && self.start >= self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        loop {
            match self.input.fill_buf() {
                Ok(chunk) => {
                    // An input that is in memory already gives all of itself at once.
                    let chunk = chunk.get(..CHUNK_BYTES_MAX).unwrap_or(chunk);
                    let count = chunk.len();
                    self.buffer.extend_from_slice(chunk);
                    self.input.consume(count);
                    self.ended = count == 0;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Passes over the first `count` bytes.
    pub(crate) fn skip(&mut self, count: usize) {
        let passed = self.bytes().get(..count).unwrap_or_default();
        let (length, lines) = (passed.len(), memchr_iter(b'\n', passed).count());
        self.advance(length, lines as u64);
    }

    /// [`skip`](Self::skip) for who knows how many lines end in those bytes.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize, lines: u64) {
        self.start = self.buffer.len().min(self.start + count);
        self.offset += count as u64;
        self.line += lines;
    }

    /// Makes at least `count` bytes available if the input has them.
    pub(crate) fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.bytes().len() < count && self.more()? {}
        Ok(())
    }

    /// Passes over white space; the next byte, or none at the end of the input.
    pub(crate) fn skip_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            let space = space_length(self.bytes());
            self.skip(space);
            if let Some(byte) = self.bytes().first() {
                return Ok(Some(*byte));
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// Length of the first line without its end, reading on as needed but not beyond `limit` bytes.
    pub(crate) fn line_length(&mut self, limit: usize) -> io::Result<Ended> {
        let mut seen = 0;
        loop {
            if let Some(place) = self.bytes().get(seen..).and_then(|fresh| memchr(b'\n', fresh)) {
                return Ok(Ended::At(seen + place));
            }
            seen = self.bytes().len();
            if seen > limit {
                return Ok(Ended::TooLong);
            }
            if !self.more()? {
                return Ok(Ended::AtEnd(seen));
            }
        }
    }

    /// Passes over the rest of a line, its end included, without keeping it.
    pub(crate) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            match memchr(b'\n', self.bytes()) {
                Some(place) => {
                    self.skip(place + 1);
                    return Ok(());
                }
                None => {
                    self.skip(self.bytes().len());
                    if !self.more()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Length of the value that begins here, reading on as needed but not beyond `limit` bytes.
    pub(crate) fn value_length(&mut self, mut scanner: Scanner, limit: usize) -> io::Result<Ended> {
        let mut seen = 0;
        loop {
            if let Some(length) = scanner.scan(self.bytes().get(seen..).unwrap_or_default()) {
                return Ok(Ended::At(seen + length));
            }
            seen = self.bytes().len();
            if seen > limit {
                return Ok(Ended::TooLong);
            }
            if !self.more()? {
                return Ok(Ended::AtEnd(seen));
            }
        }
    }

    /// Passes over what `scanner` has not seen the end of, without keeping it; false if the input ends first.
    pub(crate) fn skip_value(&mut self, mut scanner: Scanner) -> io::Result<bool> {
        loop {
            if let Some(length) = scanner.scan(self.bytes()) {
                self.skip(length);
                return Ok(true);
            }
            self.skip(self.bytes().len());
            if !self.more()? {
                return Ok(false);
            }
        }
    }
}

/// Where something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// After so many bytes.
    At(usize),
    /// The input ends after so many bytes, and it has not.
    AtEnd(usize),
    /// Beyond the limit.
    TooLong,
}

/// How much white space `bytes` begin with.
pub(crate) fn space_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

/// Finds the end of a JSON value by its brackets and quotes alone; can stop and go on at any byte.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scanner {
    depth: u64,
    state: State,
    /// A line end inside a string, which JSON does not allow, ends the value: what follows is likelier to be the next one.
    ends_at_broken_line: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Before,
    Structure,
    String,
    Escape,
    Scalar,
}

impl Scanner {
    /// A scanner inside `depth` open brackets.
    pub(crate) const fn inside(depth: u64) -> Self {
        Self { depth, state: State::Structure, ends_at_broken_line: false }
    }

    /// A scanner for values that stand on lines of their own: a broken one ends with its line.
    pub(crate) fn of_lines() -> Self {
        Self { ends_at_broken_line: true, ..Self::default() }
    }

    /// Looks at the next bytes; says how many of them belong to the value once its end is in sight.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self.state {
                State::String => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let place =
                        if self.ends_at_broken_line { memchr3(b'"', b'\\', b'\n', rest) } else { memchr2(b'"', b'\\', rest) };
                    at += place? + 1;
                    let found = bytes.get(at - 1);
                    if found == Some(&b'\\') {
                        self.state = State::Escape;
                    } else if self.depth == 0 || found == Some(&b'\n') {
                        return Some(at);
                    } else {
                        self.state = State::Structure;
                    }
                    continue;
                }
                State::Escape => self.state = State::String,
                State::Scalar => {
                    if matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') {
                        return Some(at);
                    }
                }
                State::Before | State::Structure => match byte {
                    b'"' => self.state = State::String,
                    b'{' | b'[' => {
                        self.depth += 1;
                        self.state = State::Structure;
                    }
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ if self.state == State::Before => self.state = State::Scalar,
                    _ => {}
                },
            }
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_brackets_and_quotes_say_however_it_is_cut() {
        for (text, length) in
            [(r#"{"a":"}\"","b":[{}]} {"#, 20), (r#"["\\"]]"#, 6), (r#""a\"b",1"#, 6), ("12,", 2), ("true]", 4), ("{}{}", 2)]
        {
            assert_eq!(Scanner::default().scan(text.as_bytes()), Some(length), "{text}");
            for cut in 0..length {
                let mut scanner = Scanner::default();
                let (first, second) = text.as_bytes().split_at(cut);
                assert_eq!(scanner.scan(first), None, "{text} cut at {cut}");
                assert_eq!(scanner.scan(second), Some(length - cut), "{text} cut at {cut}");
            }
        }
        assert_eq!(Scanner::inside(1).scan(b",\"a\":{\"}\":1}}x"), Some(13));
        assert_eq!(Scanner::of_lines().scan(b"{\"a\n\":1}"), Some(4));
        assert_eq!(Scanner::default().scan(b"{\"a\n\":1}"), Some(8));
    }
}
