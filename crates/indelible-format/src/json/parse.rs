//! The parser: bytes to tape, in one loop and without recursion.
//!
//! Invariants: `open` holds one frame per container that has begun and not ended, so its length is the depth; `names` and
//! `decoded` are stacks that a frame cuts back to where it found them. UTF-8 is checked last, over exactly the bytes that were
//! consumed: until then nothing is handed out and all comparisons are of bytes.

use std::cmp::Ordering;

use super::error::{Error, ErrorKind};
use super::escape::{self, BadEscape};
use super::tape::{Document, Entry, Kind};
use super::{BYTES_CAP, DEPTH_CAP, Limits, NODES_CAP, Node, keys, scan};

/// A container that has begun and not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    node: u32,
    /// Elements so far; objects count their names instead.
    count: u32,
    /// Where this object's names begin in `names`, and their unescaped text in `decoded`.
    names: u32,
    decoded: u32,
    object: bool,
    /// The names so far are strictly ascending, hence without a duplicate.
    ordered: bool,
    /// Nothing so far needs rewriting.
    canonical: bool,
}

/// A name of an object that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    prefix: u64,
    start: u32,
    end: u32,
    /// Its node, with [`DECODED`] when `start..end` lies in `decoded` and not in the input.
    node: u32,
}

const DECODED: u32 = 1 << 31;
const _: () = assert!(NODES_CAP < DECODED as usize);

/// One value and nothing behind it.
pub(super) fn whole<'d, 'i>(document: &'d mut Document, input: &'i [u8], limits: &Limits) -> Result<Node<'d, 'i>, Error> {
    let bytes_max = limits.bytes_max.min(BYTES_CAP);
    if input.len() > bytes_max {
        return Err(ErrorKind::TooLarge.at(bytes_max));
    }
    let end = fill(document, input, limits)?;
    let behind = scan::space_end(input, end);
    if behind < input.len() {
        return Err(earlier_utf8_error(input, ErrorKind::TrailingData.at(behind)));
    }
    view(document, input, end)
}

/// One value and where it ends.
pub(super) fn prefix<'d, 'i>(
    document: &'d mut Document,
    input: &'i [u8],
    limits: &Limits,
) -> Result<(Node<'d, 'i>, usize), Error> {
    let bytes_max = limits.bytes_max.min(BYTES_CAP);
    let bytes = input.get(..bytes_max).unwrap_or(input);
    let cut = bytes.len() < input.len();
    let end = match fill(document, bytes, limits) {
        // The text did not end there; we stopped reading.
        Err(error) if cut && matches!(error.kind, ErrorKind::UnexpectedEnd | ErrorKind::Empty) => {
            return Err(ErrorKind::TooLarge.at(bytes_max));
        }
        other => other?,
    };
    let node = view(document, bytes, end)?;
    if !matches!(node.kind(), Kind::String | Kind::Array | Kind::Object) && input.get(end).is_some_and(|next| runs_on(*next)) {
        let kind = if end == bytes.len() { ErrorKind::TooLarge } else { ErrorKind::Syntax };
        return Err(kind.at(end));
    }
    Ok((node, end))
}

/// Whether a number or literal cannot end before `next`.
const fn runs_on(next: u8) -> bool {
    next.is_ascii_alphanumeric() || matches!(next, b'+' | b'-' | b'.' | b'_')
}

/// Checks the UTF-8 of what was consumed and hands out the root.
fn view<'d, 'i>(document: &'d Document, bytes: &'i [u8], end: usize) -> Result<Node<'d, 'i>, Error> {
    let consumed = bytes.get(..end).unwrap_or(bytes);
    let text = std::str::from_utf8(consumed).map_err(|error| ErrorKind::InvalidUtf8.at(error.valid_up_to()))?;
    Ok(Node::root(&document.tape, text))
}

/// Fills the tape with the value that begins `bytes`; says where it ends.
fn fill(document: &mut Document, bytes: &[u8], limits: &Limits) -> Result<usize, Error> {
    document.tape.clear();
    document.open.clear();
    document.names.clear();
    document.decoded.clear();
    let mut parser = Parser {
        bytes,
        tape: &mut document.tape,
        open: &mut document.open,
        names: &mut document.names,
        decoded: &mut document.decoded,
        depth_max: limits.depth_max.min(DEPTH_CAP),
        nodes_max: limits.nodes_max.min(NODES_CAP),
    };
    parser.run().map_err(|error| earlier_utf8_error(bytes, error))
}

/// Bytes that are no UTF-8 before the place of `error` are the better explanation of it.
#[cold]
fn earlier_utf8_error(bytes: &[u8], error: Error) -> Error {
    let longest_character = 4;
    let read = bytes.get(..error.offset.saturating_add(longest_character)).unwrap_or(bytes);
    match std::str::from_utf8(read) {
        Err(utf8) if utf8.error_len().is_some() && utf8.valid_up_to() <= error.offset => {
            ErrorKind::InvalidUtf8.at(utf8.valid_up_to())
        }
        _ => error,
    }
}

struct Parser<'p> {
    bytes: &'p [u8],
    tape: &'p mut Vec<Entry>,
    open: &'p mut Vec<Frame>,
    names: &'p mut Vec<Name>,
    decoded: &'p mut Vec<u8>,
    depth_max: usize,
    nodes_max: usize,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<usize, Error> {
        let bytes = self.bytes;
        let mut at = scan::space_end(bytes, 0);
        if at == bytes.len() {
            return Err(ErrorKind::Empty.at(at));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(ErrorKind::ByteOrderMark.at(0));
        }
        loop {
            // A value begins at `at`.
            at = match bytes.get(at) {
                Some(b'"') => {
                    let (end, flags) = string(bytes, at)?;
                    self.leaf(Kind::String, flags, at, end)?;
                    self.taint(flags);
                    end
                }
                Some(b'{') => {
                    self.enter(at, true)?;
                    let first = self.space(at + 1);
                    if bytes.get(first) == Some(&b'}') {
                        self.leave(first + 1)?
                    } else {
                        at = self.name(first)?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.enter(at, false)?;
                    let first = self.space(at + 1);
                    if bytes.get(first) == Some(&b']') {
                        self.leave(first + 1)?
                    } else {
                        self.count_element();
                        at = first;
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => {
                    let end = number(bytes, at)?;
                    self.leaf(Kind::Number, 0, at, end)?;
                    end
                }
                Some(b't') => self.literal(at, b"true", Kind::Bool)?,
                Some(b'f') => self.literal(at, b"false", Kind::Bool)?,
                Some(b'n') => self.literal(at, b"null", Kind::Null)?,
                other => return Err(unexpected(other, at)),
            };
            // A value has ended at `at`.
            loop {
                let Some(frame) = self.open.last().copied() else {
                    return Ok(at);
                };
                at = self.space(at);
                match (bytes.get(at), frame.object) {
                    (Some(b','), true) => {
                        let next = self.space(at + 1);
                        at = self.name(next)?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.count_element();
                        at = self.space(at + 1);
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => at = self.leave(at + 1)?,
                    (other, _) => return Err(unexpected(other, at)),
                }
            }
        }
    }

    /// Skips white space inside a container.
    #[inline(always)]
    fn space(&mut self, at: usize) -> usize {
        let end = scan::space_end(self.bytes, at);
        if end != at {
            self.taint(Entry::REWRITE);
        }
        end
    }

    /// Notes in the innermost container that something in it is not canonical, if `flags` say so.
    #[inline(always)]
    fn taint(&mut self, flags: u32) {
        if flags & Entry::REWRITE != 0
            && let Some(frame) = self.open.last_mut()
        {
            frame.canonical = false;
        }
    }

    #[inline(always)]
    fn count_element(&mut self) {
        if let Some(frame) = self.open.last_mut() {
            frame.count += 1;
        }
    }

    #[inline(always)]
    fn leaf(&mut self, kind: Kind, flags: u32, start: usize, end: usize) -> Result<(), Error> {
        let link = narrow(self.tape.len()) + 1;
        self.push(Entry::new(kind, flags, narrow(start), narrow(end), link))
    }

    #[inline(always)]
    fn push(&mut self, entry: Entry) -> Result<(), Error> {
        if self.tape.len() >= self.nodes_max {
            return Err(ErrorKind::TooManyNodes.at(entry.start as usize));
        }
        self.tape.push(entry);
        Ok(())
    }

    #[inline]
    fn literal(&mut self, at: usize, word: &[u8], kind: Kind) -> Result<usize, Error> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        if !rest.starts_with(word) {
            let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
            return Err(unexpected(rest.get(same), at + same));
        }
        self.leaf(kind, 0, at, at + word.len())?;
        Ok(at + word.len())
    }

    fn enter(&mut self, at: usize, object: bool) -> Result<(), Error> {
        if self.open.len() >= self.depth_max {
            return Err(ErrorKind::DepthExceeded.at(at));
        }
        let kind = if object { Kind::Object } else { Kind::Array };
        let node = narrow(self.tape.len());
        self.push(Entry::new(kind, 0, narrow(at), narrow(at), node))?;
        self.open.push(Frame {
            node,
            count: 0,
            names: narrow(self.names.len()),
            decoded: narrow(self.decoded.len()),
            object,
            ordered: true,
            canonical: true,
        });
        Ok(())
    }

    /// Ends the innermost container; `end` is behind its bracket and is given back.
    fn leave(&mut self, end: usize) -> Result<usize, Error> {
        let Some(frame) = self.open.pop() else {
            return Ok(end);
        };
        let mut count = frame.count;
        if frame.object {
            count = narrow(self.names.len()) - frame.names;
            if !frame.ordered {
                self.order_names(&frame)?;
            }
            self.names.truncate(frame.names as usize);
            self.decoded.truncate(frame.decoded as usize);
        }
        let flags = if frame.canonical && frame.ordered { 0 } else { Entry::REWRITE };
        let link = narrow(self.tape.len());
        if let Some(entry) = self.tape.get_mut(frame.node as usize) {
            entry.close(narrow(end), link, count, flags);
        }
        self.taint(flags);
        Ok(end)
    }

    /// Reads a name and its colon; says where the value begins.
    #[inline]
    fn name(&mut self, at: usize) -> Result<usize, Error> {
        let bytes = self.bytes;
        match bytes.get(at) {
            Some(b'"') => {}
            other => return Err(unexpected(other, at)),
        }
        let (end, flags) = string(bytes, at)?;
        let node = narrow(self.tape.len());
        self.push(Entry::new(Kind::String, flags, narrow(at), narrow(end), node))?;
        self.taint(flags);

        let mut name = Name { prefix: 0, start: narrow(at + 1), end: narrow(end - 1), node };
        if flags & Entry::ESCAPED == 0 {
            name.prefix = keys::prefix(bytes, at + 1, end - 1);
        } else {
            self.decode(&mut name);
        }
        self.note(name)?;

        let colon = self.space(end);
        match bytes.get(colon) {
            Some(b':') => Ok(self.space(colon + 1)),
            other => Err(unexpected(other, colon)),
        }
    }

    /// Names are compared unescaped: `"a"` and `"\u0061"` are one name.
    #[cold]
    fn decode(&mut self, name: &mut Name) {
        let start = self.decoded.len();
        let raw = self.bytes.get(name.start as usize..name.end as usize);
        escape::unescape_into(self.decoded, raw.unwrap_or_default());
        name.start = narrow(start);
        name.end = narrow(self.decoded.len());
        name.node |= DECODED;
        name.prefix = keys::prefix(self.decoded, start, self.decoded.len());
    }

    /// Adds a name to the innermost object and sees whether its names are still in order.
    #[inline(always)]
    fn note(&mut self, name: Name) -> Result<(), Error> {
        if let Some(frame) = self.open.last_mut()
            && frame.ordered
            && let Some(last) = self.names.get(frame.names as usize..).and_then(<[Name]>::last)
            && last.prefix >= name.prefix
        {
            match compare(self.bytes, self.decoded, last, &name) {
                Ordering::Less => {}
                Ordering::Equal => return Err(self.duplicate(&name)),
                Ordering::Greater => frame.ordered = false,
            }
        }
        self.names.push(name);
        Ok(())
    }

    /// Sorts the names of an object that came unsorted, refuses a duplicate, and links its keys in canonical order.
    fn order_names(&mut self, frame: &Frame) -> Result<(), Error> {
        let (bytes, decoded) = (self.bytes, &*self.decoded);
        let names = self.names.get_mut(frame.names as usize..).unwrap_or_default();
        names.sort_unstable_by(|a, b| compare(bytes, decoded, a, b).then_with(|| a.place().cmp(&b.place())));
        let repeated = names
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if compare(bytes, decoded, a, b) == Ordering::Equal => Some(*b),
                _ => None,
            })
            .min_by_key(Name::place);
        if let Some(name) = repeated {
            return Err(self.duplicate(&name));
        }
        let mut key = frame.node as usize + 1;
        for name in names {
            let behind_value = self.tape.get(key + 1).map(|value| value.link as usize);
            if let Some(entry) = self.tape.get_mut(key) {
                entry.link = name.place();
            }
            key = behind_value.unwrap_or(key);
        }
        Ok(())
    }

    #[cold]
    fn duplicate(&self, name: &Name) -> Error {
        let start = self.tape.get(name.place() as usize).map(|key| key.start);
        ErrorKind::DuplicateKey.at(start.unwrap_or_default() as usize)
    }
}

impl Name {
    const fn place(&self) -> u32 {
        self.node & !DECODED
    }

    #[inline]
    fn text<'p>(&self, bytes: &'p [u8], decoded: &'p [u8]) -> &'p [u8] {
        let from = if self.node & DECODED == 0 { bytes } else { decoded };
        from.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

#[inline(always)]
fn compare(bytes: &[u8], decoded: &[u8], a: &Name, b: &Name) -> Ordering {
    a.prefix.cmp(&b.prefix).then_with(|| keys::compare(a.text(bytes, decoded), b.text(bytes, decoded)))
}

/// Reads the string whose quote is at `start`: where it ends, and its flags.
#[inline(always)]
fn string(bytes: &[u8], start: usize) -> Result<(usize, u32), Error> {
    let end = scan::plain_end(bytes, start + 1);
    if bytes.get(end) == Some(&b'"') {
        return Ok((end + 1, 0));
    }
    string_slow(bytes, end)
}

/// The rest of a string, from the first byte in it that is not plain.
fn string_slow(bytes: &[u8], from: usize) -> Result<(usize, u32), Error> {
    let mut at = from;
    let mut flags = 0;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok((at + 1, flags)),
            Some(b'\\') => {}
            other => return Err(unexpected(other, at)),
        }
        let (character, length) = escape::read_escape(bytes, at).map_err(|bad| match bad {
            BadEscape::Cut => ErrorKind::UnexpectedEnd.at(bytes.len()),
            BadEscape::Unknown(offset) => ErrorKind::Syntax.at(offset),
            BadEscape::Lone => ErrorKind::LoneSurrogate.at(at),
        })?;
        flags |= Entry::ESCAPED;
        if !escape::is_canonical(bytes.get(at..at + length).unwrap_or_default(), character) {
            flags |= Entry::REWRITE;
        }
        at = scan::plain_end(bytes, at + length);
    }
}

/// Reads the number that begins at `start`: where its lexeme ends.
#[inline]
fn number(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let mut at = start;
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// At least one digit.
#[inline(always)]
fn digits(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == start {
        return Err(unexpected(bytes.get(at), at));
    }
    Ok(at)
}

#[cold]
fn unexpected(byte: Option<&u8>, offset: usize) -> Error {
    match byte {
        Some(_) => ErrorKind::Syntax.at(offset),
        None => ErrorKind::UnexpectedEnd.at(offset),
    }
}

/// An offset or index as the tape keeps it; input and tape are capped below 2^32 before any is made.
#[expect(clippy::cast_possible_truncation, reason = "bounded by BYTES_CAP and NODES_CAP")]
#[inline(always)]
const fn narrow(wide: usize) -> u32 {
    wide as u32
}
