//! Thrift's compact protocol, as far as Parquet's metadata needs it.
//!
//! Ours and not the `parquet` crate's, because that one reserves memory for as many entries as a list claims to have, and writes no
//! checksums of pages. Reading is total: it allocates nothing, and what claims to be longer than the bytes ends with `None`.

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
/// Structs and lists inside one another, where a reader passes over what it does not know.
const DEPTH_MAX: u8 = 16;

/// Writes the members of one struct, ids ascending.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    last: i16,
}

impl<'o> Writer<'o> {
    /// Writes a struct to the end of `out`.
    pub(crate) fn write(out: &'o mut Vec<u8>, members: impl FnOnce(&mut Self)) {
        let mut writer = Self { out, last: 0 };
        members(&mut writer);
        writer.out.push(0);
    }

    fn member(&mut self, id: i16, kind: u8) {
        match u8::try_from(id - self.last) {
            Ok(step @ 1..=15) => self.out.push(step << 4 | kind),
            _ => {
                self.out.push(kind);
                signed(self.out, i64::from(id));
            }
        }
        self.last = id;
    }

    pub(crate) fn bool(&mut self, id: i16, value: bool) {
        self.member(id, if value { TRUE } else { FALSE });
    }

    pub(crate) fn byte(&mut self, id: i16, value: u8) {
        self.member(id, BYTE);
        self.out.push(value);
    }

    pub(crate) fn i32(&mut self, id: i16, value: i32) {
        self.member(id, I32);
        signed(self.out, i64::from(value));
    }

    pub(crate) fn i64(&mut self, id: i16, value: i64) {
        self.member(id, I64);
        signed(self.out, value);
    }

    pub(crate) fn bytes(&mut self, id: i16, value: &[u8]) {
        self.member(id, BINARY);
        bytes(self.out, value);
    }

    pub(crate) fn group(&mut self, id: i16, members: impl FnOnce(&mut Writer<'_>)) {
        self.member(id, STRUCT);
        Writer::write(self.out, members);
    }

    fn list(&mut self, id: i16, kind: u8, count: usize) {
        self.member(id, LIST);
        match u8::try_from(count) {
            Ok(count @ 0..15) => self.out.push(count << 4 | kind),
            _ => {
                self.out.push(0xf0 | kind);
                unsigned(self.out, count as u64);
            }
        }
    }

    pub(crate) fn groups<T>(
        &mut self,
        id: i16,
        items: impl ExactSizeIterator<Item = T>,
        mut each: impl FnMut(T, &mut Writer<'_>),
    ) {
        self.list(id, STRUCT, items.len());
        for item in items {
            Writer::write(self.out, |writer| each(item, writer));
        }
    }

    /// Groups that were written before, each by [`write`](Self::write).
    pub(crate) fn written_groups<'b>(&mut self, id: i16, items: impl ExactSizeIterator<Item = &'b [u8]>) {
        self.list(id, STRUCT, items.len());
        items.for_each(|item| self.out.extend_from_slice(item));
    }

    pub(crate) fn i32s(&mut self, id: i16, items: impl ExactSizeIterator<Item = i32>) {
        self.list(id, I32, items.len());
        items.for_each(|item| signed(self.out, i64::from(item)));
    }

    pub(crate) fn i64s(&mut self, id: i16, items: impl ExactSizeIterator<Item = i64>) {
        self.list(id, I64, items.len());
        items.for_each(|item| signed(self.out, item));
    }

    pub(crate) fn bools(&mut self, id: i16, items: impl ExactSizeIterator<Item = bool>) {
        self.list(id, TRUE, items.len());
        self.out.extend(items.map(|item| if item { TRUE } else { FALSE }));
    }

    pub(crate) fn binaries<'b>(&mut self, id: i16, items: impl ExactSizeIterator<Item = &'b [u8]>) {
        self.list(id, BINARY, items.len());
        items.for_each(|item| bytes(self.out, item));
    }
}

/// Appends an unsigned LEB128.
pub(crate) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a zigzag LEB128.
pub(crate) fn signed(out: &mut Vec<u8>, value: i64) {
    unsigned(out, (value << 1 ^ value >> 63).cast_unsigned());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// One member of a struct: its id, and what is needed to read it.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    pub(crate) id: i16,
    kind: u8,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// An unsigned LEB128 of at most ten bytes.
    #[inline]
    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A zigzag LEB128.
    #[inline]
    pub(crate) fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads a struct; `each` must read every member it is shown, or have it passed over with [`skip`](Self::skip).
    pub(crate) fn members(&mut self, mut each: impl FnMut(&mut Self, Member) -> Option<()>) -> Option<()> {
        let mut last = 0i16;
        loop {
            let head = self.u8()?;
            if head == 0 {
                return Some(());
            }
            let step = i16::from(head >> 4);
            last = if step == 0 { i16::try_from(self.signed()?).ok()? } else { last.checked_add(step)? };
            each(self, Member { id: last, kind: head & 0x0f })?;
        }
    }

    pub(crate) fn bool(&mut self, member: Member) -> Option<bool> {
        match member.kind {
            TRUE => Some(true),
            FALSE => Some(false),
            _ => None,
        }
    }

    pub(crate) fn i32(&mut self, member: Member) -> Option<i32> {
        i32::try_from(self.i64(member)?).ok()
    }

    pub(crate) fn i64(&mut self, member: Member) -> Option<i64> {
        match member.kind {
            BYTE => Some(i64::from(self.u8()?.cast_signed())),
            I16 | I32 | I64 => self.signed(),
            _ => None,
        }
    }

    pub(crate) fn bytes(&mut self, member: Member) -> Option<&'a [u8]> {
        if member.kind == BINARY { self.binary() } else { None }
    }

    fn binary(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        self.take(length)
    }

    pub(crate) fn group(&mut self, member: Member, each: impl FnMut(&mut Self, Member) -> Option<()>) -> Option<()> {
        if member.kind == STRUCT { self.members(each) } else { None }
    }

    fn list_head(&mut self) -> Option<(u8, usize)> {
        let head = self.u8()?;
        let count = match head >> 4 {
            15 => usize::try_from(self.unsigned()?).ok()?,
            count => usize::from(count),
        };
        // Every entry takes a byte at least, so no list is longer than what follows.
        (count <= self.rest.len()).then_some((head & 0x0f, count))
    }

    fn list(&mut self, member: Member, kind: u8) -> Option<usize> {
        if member.kind != LIST {
            return None;
        }
        let (found, count) = self.list_head()?;
        let same = found == kind || (found == FALSE && kind == TRUE);
        (same || count == 0).then_some(count)
    }

    pub(crate) fn groups(&mut self, member: Member, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        (0..self.list(member, STRUCT)?).try_for_each(|_| each(self))
    }

    pub(crate) fn i32s(&mut self, member: Member, mut each: impl FnMut(i32) -> Option<()>) -> Option<()> {
        (0..self.list(member, I32)?).try_for_each(|_| each(i32::try_from(self.signed()?).ok()?))
    }

    pub(crate) fn i64s(&mut self, member: Member, mut each: impl FnMut(i64) -> Option<()>) -> Option<()> {
        (0..self.list(member, I64)?).try_for_each(|_| each(self.signed()?))
    }

    pub(crate) fn bools(&mut self, member: Member, mut each: impl FnMut(bool) -> Option<()>) -> Option<()> {
        (0..self.list(member, TRUE)?).try_for_each(|_| each(self.u8()? == TRUE))
    }

    pub(crate) fn binaries(&mut self, member: Member, mut each: impl FnMut(&'a [u8]) -> Option<()>) -> Option<()> {
        (0..self.list(member, BINARY)?).try_for_each(|_| each(self.binary()?))
    }

    /// Passes over a member.
    pub(crate) fn skip(&mut self, member: Member) -> Option<()> {
        self.skip_value(member.kind, DEPTH_MAX)
    }

    fn skip_value(&mut self, kind: u8, depth: u8) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            TRUE | FALSE => {}
            BYTE => drop(self.u8()?),
            I16 | I32 | I64 => drop(self.unsigned()?),
            DOUBLE => drop(self.take(8)?),
            BINARY => drop(self.binary()?),
            LIST | SET => {
                let (kind, count) = self.list_head()?;
                for _ in 0..count {
                    if kind == TRUE || kind == FALSE { self.take(1).map(drop)? } else { self.skip_value(kind, depth)? }
                }
            }
            MAP => return None,
            STRUCT => self.members(|reader, member| reader.skip_value(member.kind, depth))?,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_not_known_is_passed_over() {
        let mut out = Vec::new();
        Writer::write(&mut out, |w| {
            w.i32(1, -7);
            w.i64(2, i64::MIN);
            w.bool(3, true);
            w.byte(4, 64);
            w.bytes(5, b"text");
            w.i64s(7, [1, -1, i64::MAX].into_iter());
            w.bools(8, [true, false].into_iter());
            w.groups(9, 0..20, |n, w| w.i32(1, n));
            w.group(40, |w| w.binaries(3, [b"a".as_slice(), b""].into_iter()));
            w.i32(41, 1);
        });
        let mut seen = Vec::new();
        let mut reader = Reader::new(&out);
        reader
            .members(|r, m| {
                seen.push(m.id);
                match m.id {
                    1 => assert_eq!(r.i32(m)?, -7),
                    2 => assert_eq!(r.i64(m)?, i64::MIN),
                    3 => assert!(r.bool(m)?),
                    5 => assert_eq!(r.bytes(m)?, b"text"),
                    _ => r.skip(m)?,
                }
                Some(())
            })
            .unwrap();
        assert_eq!(seen, [1, 2, 3, 4, 5, 7, 8, 9, 40, 41]);
        assert!(reader.rest().is_empty());
        for cut in 0..out.len() {
            assert!(Reader::new(&out[..cut]).members(|r, m| r.skip(m)).is_none(), "{cut}");
        }
    }

    #[test]
    fn depth_and_lengths_are_bounded() {
        let deep = [0x1c; 1000];
        assert!(Reader::new(&deep).members(|r, m| r.skip(m)).is_none());
        // A list that claims 2^40 entries.
        let long = [0x19, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0];
        assert!(Reader::new(&long).members(|r, m| r.skip(m)).is_none());
    }
}
