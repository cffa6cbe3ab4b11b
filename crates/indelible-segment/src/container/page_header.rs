//! The header in front of every page.

use super::thrift::{Reader, Writer};

pub(crate) const PLAIN: i32 = 0;
pub(crate) const RLE: i32 = 3;
pub(crate) const DELTA_BINARY_PACKED: i32 = 5;
pub(crate) const DELTA_BYTE_ARRAY: i32 = 7;
pub(crate) const RLE_DICTIONARY: i32 = 8;
/// An older name of [`RLE_DICTIONARY`].
pub(crate) const PLAIN_DICTIONARY: i32 = 2;

/// Longer than any header.
pub(crate) const HEADER_BYTES: usize = 80;

const DICTIONARY: i32 = 2;
const DATA_V2: i32 = 3;

/// What a header says. Nothing of it has been compared with the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageHeader {
    /// Bytes of the page once it is decompressed, levels included.
    pub(crate) raw_bytes: usize,
    /// Bytes of the page as it stands in the file, without the header.
    pub(crate) bytes: usize,
    /// IEEE CRC-32 of those bytes.
    pub(crate) crc: Option<u32>,
    /// What is in it.
    pub(crate) body: Body,
}

/// The part of a header that depends on what is in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Dictionary {
        values: usize,
    },
    Data {
        entries: usize,
        nulls: usize,
        rows: u32,
        encoding: i32,
        definition_bytes: usize,
        repetition_bytes: usize,
        compressed: bool,
    },
}

impl PageHeader {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        Writer::write(out, |w| {
            w.i32(1, if matches!(self.body, Body::Data { .. }) { DATA_V2 } else { DICTIONARY });
            w.i32(2, int(self.raw_bytes));
            w.i32(3, int(self.bytes));
            if let Some(crc) = self.crc {
                w.i32(4, crc.cast_signed());
            }
            match self.body {
                Body::Dictionary { values } => w.group(7, |w| {
                    w.i32(1, int(values));
                    w.i32(2, PLAIN);
                }),
                Body::Data { entries, nulls, rows, encoding, definition_bytes, repetition_bytes, compressed } => {
                    w.group(8, |w| {
                        w.i32(1, int(entries));
                        w.i32(2, int(nulls));
                        w.i32(3, rows.cast_signed());
                        w.i32(4, encoding);
                        w.i32(5, int(definition_bytes));
                        w.i32(6, int(repetition_bytes));
                        w.bool(7, compressed);
                    })
                }
            }
        });
    }

    /// Reads a header, and gives the bytes behind it. `None`: it is none, one of a page that no segment has, or one that says more, which
    /// other readers might believe, such as bounds of its own.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::new(bytes);
        let size = |n: i32| usize::try_from(n).ok();
        let (mut kind, mut raw_bytes, mut stored, mut crc) = (None, None, None, None);
        let (mut dictionary, mut data) = (None, None);
        reader.members(|r, m| {
            match m.id {
                1 => kind = Some(r.i32(m)?),
                2 => raw_bytes = Some(size(r.i32(m)?)?),
                3 => stored = Some(size(r.i32(m)?)?),
                4 => crc = Some(r.i32(m)?.cast_unsigned()),
                7 => {
                    let (mut values, mut encoding) = (None, None);
                    r.group(m, |r, m| {
                        match m.id {
                            1 => values = Some(size(r.i32(m)?)?),
                            2 => encoding = Some(r.i32(m)?),
                            _ => r.skip(m)?,
                        }
                        Some(())
                    })?;
                    dictionary = Some(Body::Dictionary { values: values.filter(|_| encoding == Some(PLAIN))? });
                }
                8 => data = Some(read_data(r, m)?),
                _ => r.skip(m)?,
            }
            Some(())
        })?;
        let body = match kind? {
            DICTIONARY => dictionary?,
            DATA_V2 => data?,
            _ => return None,
        };
        let header = Self { raw_bytes: raw_bytes?, bytes: stored?, crc, body };
        let mut again = Vec::with_capacity(HEADER_BYTES);
        header.write(&mut again);
        let said = bytes.len().checked_sub(reader.rest().len()).and_then(|length| bytes.get(..length))?;
        (again == said).then(|| (header, reader.rest()))
    }
}

fn read_data(reader: &mut Reader<'_>, member: super::thrift::Member) -> Option<Body> {
    let mut numbers = [None; 6];
    let mut compressed = true;
    reader.group(member, |r, m| {
        match m.id {
            7 => compressed = r.bool(m)?,
            id => match usize::try_from(id - 1).ok().and_then(|at| numbers.get_mut(at)) {
                Some(number) => *number = Some(r.i32(m)?),
                None => r.skip(m)?,
            },
        }
        Some(())
    })?;
    let [entries, nulls, rows, encoding, definition_bytes, repetition_bytes] = numbers;
    let size = |n: Option<i32>| usize::try_from(n?).ok();
    Some(Body::Data {
        entries: size(entries)?,
        nulls: size(nulls)?,
        rows: u32::try_from(rows?).ok()?,
        encoding: encoding?,
        definition_bytes: size(definition_bytes)?,
        repetition_bytes: size(repetition_bytes)?,
        compressed,
    })
}
