//! The footer of the file, and the page indexes in front of it.
//!
//! Reading checks types and lengths; it does not look at pages. Other readers of Parquet believe members that ours has no use for, such as
//! bloom filters, deprecated bounds or sort orders. So what was read is written again and compared: what stands there beside it, or stands
//! there in another way, shows.

use super::schema;
use super::thrift::{Member, Reader, Writer};
use crate::column::{COLUMNS, Column, Kind, PerColumn};

/// First and last bytes of the file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";
const CODEC_ZSTD: i32 = 6;
const CODEC_NONE: i32 = 0;

/// Least and greatest value of a page or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bounds {
    /// Of numbers; those of unsigned columns as the signed number of the same bits.
    Numbers(i64, i64),
    /// Of texts and bytes.
    Bytes(Box<[u8]>, Box<[u8]>),
}

impl Bounds {
    /// As Parquet's statistics have them.
    fn encode(&self, column: Column) -> [Vec<u8>; 2] {
        match self {
            Self::Numbers(min, max) => [*min, *max].map(|value| {
                let bytes = value.to_le_bytes();
                bytes.get(..column.fixed_bytes().unwrap_or(8)).unwrap_or_default().to_vec()
            }),
            Self::Bytes(min, max) => [min.to_vec(), max.to_vec()],
        }
    }

    fn decode(column: Column, min: &[u8], max: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| match column.kind() {
            Kind::Small => Some(i64::from(u32::from_le_bytes(bytes.try_into().ok()?))),
            _ => Some(i64::from_le_bytes(bytes.try_into().ok()?)),
        };
        if column.is_number() {
            return Some(Self::Numbers(number(min)?, number(max)?));
        }
        let long = column.fixed_bytes();
        let fits = |bytes: &[u8]| long.is_none_or(|long| bytes.len() == long);
        (fits(min) && fits(max)).then(|| Self::Bytes(min.into(), max.into()))
    }

    /// The bounds of both.
    pub(crate) fn merge(self, other: &Self, column: Column) -> Self {
        match (self, other) {
            (Self::Numbers(min, max), Self::Numbers(other_min, other_max)) => {
                let less = |a: i64, b: i64| if column.is_unsigned() { a.cast_unsigned() < b.cast_unsigned() } else { a < b };
                let min = if less(*other_min, min) { *other_min } else { min };
                Self::Numbers(min, if less(max, *other_max) { *other_max } else { max })
            }
            (Self::Bytes(min, max), Self::Bytes(other_min, other_max)) => {
                Self::Bytes(min.min(other_min.clone()), max.max(other_max.clone()))
            }
            (bounds, _) => bounds,
        }
    }
}

/// A page's entry in the zone map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) nulls: u64,
    /// None: it has no values.
    pub(crate) bounds: Option<Bounds>,
}

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PagePlace {
    /// From the start of the file.
    pub(crate) offset: u64,
    /// With its header.
    pub(crate) bytes: u32,
    /// Counted from the first row of the segment.
    pub(crate) first_row: u32,
}

/// All values of one column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) encodings: Vec<i32>,
    /// Values and nulls.
    pub(crate) entries: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) bytes: u64,
    pub(crate) data_offset: u64,
    pub(crate) dictionary_offset: Option<u64>,
    /// Whether pages may be compressed.
    pub(crate) is_compressed: bool,
    pub(crate) nulls: Option<u64>,
    pub(crate) bounds: Option<Bounds>,
    /// Offset and length of the two indexes.
    pub(crate) offset_index: (u64, u32),
    pub(crate) column_index: Option<(u64, u32)>,
}

impl Chunk {
    /// Where its pages are, the dictionary's included.
    pub(crate) fn range(&self) -> Option<std::ops::Range<u64>> {
        let start = self.dictionary_offset.map_or(self.data_offset, |offset| offset.min(self.data_offset));
        Some(start..start.checked_add(self.bytes)?)
    }
}

/// Who wrote a file, as its footer says; its version follows. Some readers go round bugs that they know some writers to have.
const WRITER_NAME: &str = "indelible ";
pub(super) const WRITER: &str = concat!("indelible ", env!("CARGO_PKG_VERSION"));

/// What the footer says.
#[derive(Debug, Clone)]
pub(crate) struct Footer {
    pub(crate) rows: u64,
    /// Keys and their values.
    pub(crate) entries: Vec<(String, String)>,
    pub(crate) chunks: PerColumn<Chunk>,
}

impl Footer {
    pub(crate) fn entry(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// Appends the footer without its length and the magic.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.write_as(WRITER, out);
    }

    fn write_as(&self, writer: &str, out: &mut Vec<u8>) {
        let long = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let total = |of: fn(&Chunk) -> u64| long(self.chunks.iter().map(|(_, chunk)| of(chunk)).sum());
        Writer::write(out, |w| {
            w.i32(1, 2);
            schema::write(2, w);
            w.i64(3, long(self.rows));
            // A segment without rows has no row group: readers stumble over columns without pages.
            let groups = usize::from(self.rows > 0);
            w.groups(4, 0..groups, |_, w| {
                w.groups(1, Column::ALL.iter().copied(), |column, w| write_chunk(column, self.chunks.of(column), w));
                w.i64(2, total(|chunk| chunk.raw_bytes));
                w.i64(3, long(self.rows));
                w.i64(5, long(self.chunks.of(Column::Seq).range().map_or(0, |range| range.start)));
                w.i64(6, total(|chunk| chunk.bytes));
            });
            write_end(&self.entries, writer, COLUMNS, w);
        });
    }

    /// Reads it. `None`: it is none, or of a file with other columns or more than one row group. Also gives whether that is all that stands
    /// there, as a writer of ours puts it.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, bool)> {
        let mut footer = (None, false, Vec::new(), Vec::new());
        let (rows, ours, entries, groups) = (&mut footer.0, &mut footer.1, &mut footer.2, &mut footer.3);
        let mut writer = "";
        Reader::new(bytes).members(|r, m| {
            match m.id {
                2 => *ours = schema::is_ours(r, m)?,
                3 => *rows = Some(u64::try_from(r.i64(m)?).ok()?),
                4 => r.groups(m, |r| {
                    groups.push(read_group(r)?);
                    (groups.len() == 1).then_some(())
                })?,
                5 => r.groups(m, |r| {
                    let (mut key, mut value) = ("", "");
                    r.members(|r, m| {
                        match m.id {
                            1 => key = std::str::from_utf8(r.bytes(m)?).ok()?,
                            2 => value = std::str::from_utf8(r.bytes(m)?).ok()?,
                            _ => r.skip(m)?,
                        }
                        Some(())
                    })?;
                    entries.push((key.to_owned(), value.to_owned()));
                    Some(())
                })?,
                6 => writer = std::str::from_utf8(r.bytes(m)?).ok()?,
                _ => r.skip(m)?,
            }
            Some(())
        })?;
        let (rows, true, entries, mut groups) = footer else { return None };
        let rows = rows?;
        let chunks = match groups.pop() {
            Some((chunks, found)) if found == rows => chunks,
            None if rows == 0 => PerColumn::new(|_| Chunk::default()),
            _ => return None,
        };
        let footer = Self { rows, entries, chunks };
        let mut again = Vec::with_capacity(bytes.len());
        footer.write_as(writer, &mut again);
        let is_all = again == bytes && writer.starts_with(WRITER_NAME) && footer.has_our_keys();
        Some((footer, is_all))
    }

    /// Whether its keys are ours, each there once: others tell some readers how to take the columns (`ARROW:schema`, `pandas`).
    fn has_our_keys(&self) -> bool {
        let mut keys: Vec<&str> = self.entries.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        keys.iter().all(|key| key.starts_with("indelible.")) && keys.is_sorted_by(|one, next| one < next)
    }
}

/// The members of a footer that stand behind its row groups.
pub(super) fn write_end(entries: &[(String, String)], writer: &str, columns: usize, w: &mut Writer<'_>) {
    w.groups(5, entries.iter(), |(key, value), w| {
        w.bytes(1, key.as_bytes());
        w.bytes(2, value.as_bytes());
    });
    w.bytes(6, writer.as_bytes());
    // Bounds are in the order of the type, for every column.
    w.groups(7, 0..columns, |_, w| w.group(1, |_| {}));
}

const fn physical(column: Column) -> i32 {
    match column.kind() {
        Kind::Small => 1,
        Kind::Time | Kind::Number => 2,
        Kind::Text | Kind::Bytes => 6,
        Kind::Fixed(_) => 7,
    }
}

pub(super) fn write_chunk(column: Column, chunk: &Chunk, w: &mut Writer<'_>) {
    let long = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let int = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    w.i64(2, 0);
    w.group(3, |w| {
        w.i32(1, physical(column));
        w.i32s(2, chunk.encodings.iter().copied());
        w.binaries(3, column.path().iter().map(|part| part.as_bytes()));
        w.i32(4, if chunk.is_compressed { CODEC_ZSTD } else { CODEC_NONE });
        w.i64(5, long(chunk.entries));
        w.i64(6, long(chunk.raw_bytes));
        w.i64(7, long(chunk.bytes));
        w.i64(9, long(chunk.data_offset));
        if let Some(offset) = chunk.dictionary_offset {
            w.i64(11, long(offset));
        }
        w.group(12, |w| {
            if let Some(nulls) = chunk.nulls {
                w.i64(3, long(nulls));
            }
            if let Some([min, max]) = chunk.bounds.as_ref().map(|bounds| bounds.encode(column)) {
                w.bytes(5, &max);
                w.bytes(6, &min);
                w.bool(7, true);
                w.bool(8, true);
            }
        });
    });
    w.i64(4, long(chunk.offset_index.0));
    w.i32(5, int(chunk.offset_index.1));
    if let Some((offset, length)) = chunk.column_index {
        w.i64(6, long(offset));
        w.i32(7, int(length));
    }
}

fn read_group(r: &mut Reader<'_>) -> Option<(PerColumn<Chunk>, u64)> {
    let (mut chunks, mut rows) = (Vec::new(), None);
    r.members(|r, m| {
        match m.id {
            1 => r.groups(m, |r| {
                let column = *Column::ALL.get(chunks.len())?;
                chunks.push(read_chunk(column, r)?);
                Some(())
            })?,
            3 => rows = Some(u64::try_from(r.i64(m)?).ok()?),
            _ => r.skip(m)?,
        }
        Some(())
    })?;
    Some((PerColumn::from_entries(chunks)?, rows?))
}

fn read_chunk(column: Column, r: &mut Reader<'_>) -> Option<Chunk> {
    let mut chunk = Chunk::default();
    let (mut offset_index, mut column_index) = ((None, None), (None, None));
    r.members(|r, m| {
        match m.id {
            // The pages would be in another file.
            1 => return None,
            3 => read_chunk_body(column, &mut chunk, r, m)?,
            4 => offset_index.0 = Some(size(r, m)?),
            5 => offset_index.1 = Some(u32::try_from(r.i32(m)?).ok()?),
            6 => column_index.0 = Some(size(r, m)?),
            7 => column_index.1 = Some(u32::try_from(r.i32(m)?).ok()?),
            _ => r.skip(m)?,
        }
        Some(())
    })?;
    chunk.offset_index = (offset_index.0?, offset_index.1?);
    chunk.column_index = column_index.0.zip(column_index.1);
    Some(chunk)
}

fn size(r: &mut Reader<'_>, m: Member) -> Option<u64> {
    u64::try_from(r.i64(m)?).ok()
}

fn read_chunk_body(column: Column, chunk: &mut Chunk, r: &mut Reader<'_>, m: Member) -> Option<()> {
    let mut read = (false, false, false);
    r.group(m, |r, m| {
        match m.id {
            1 => read.0 = r.i32(m)? == physical(column),
            2 => r.i32s(m, |encoding| {
                chunk.encodings.push(encoding);
                Some(())
            })?,
            4 => {
                chunk.is_compressed = match r.i32(m)? {
                    CODEC_ZSTD => true,
                    CODEC_NONE => false,
                    _ => return None,
                }
            }
            5 => chunk.entries = size(r, m)?,
            6 => chunk.raw_bytes = size(r, m)?,
            7 => (chunk.bytes, read.1) = (size(r, m)?, true),
            9 => (chunk.data_offset, read.2) = (size(r, m)?, true),
            11 => chunk.dictionary_offset = Some(size(r, m)?),
            12 => {
                let (mut min, mut max, mut exact) = (None, None, [true; 2]);
                r.group(m, |r, m| {
                    match m.id {
                        3 => chunk.nulls = Some(size(r, m)?),
                        5 => max = Some(r.bytes(m)?),
                        6 => min = Some(r.bytes(m)?),
                        7 => exact[0] = r.bool(m)?,
                        8 => exact[1] = r.bool(m)?,
                        _ => r.skip(m)?,
                    }
                    Some(())
                })?;
                if let (Some(min), Some(max), [true, true]) = (min, max, exact) {
                    chunk.bounds = Some(Bounds::decode(column, min, max)?);
                }
            }
            _ => r.skip(m)?,
        }
        Some(())
    })?;
    (read == (true, true, true)).then_some(())
}

/// Appends an offset index.
pub(crate) fn write_offset_index(pages: &[PagePlace], out: &mut Vec<u8>) {
    Writer::write(out, |w| {
        w.groups(1, pages.iter(), |page, w| {
            w.i64(1, i64::try_from(page.offset).unwrap_or(i64::MAX));
            w.i32(2, i32::try_from(page.bytes).unwrap_or(i32::MAX));
            w.i64(3, i64::from(page.first_row));
        });
    });
}

/// Reads an offset index.
pub(crate) fn read_offset_index(bytes: &[u8]) -> Option<Vec<PagePlace>> {
    let mut pages = Vec::new();
    Reader::new(bytes).members(|r, m| match m.id {
        1 => r.groups(m, |r| {
            let (mut offset, mut length, mut first_row) = (None, None, None);
            r.members(|r, m| {
                match m.id {
                    1 => offset = Some(size(r, m)?),
                    2 => length = Some(u32::try_from(r.i32(m)?).ok()?),
                    3 => first_row = Some(u32::try_from(r.i64(m)?).ok()?),
                    _ => r.skip(m)?,
                }
                Some(())
            })?;
            pages.push(PagePlace { offset: offset?, bytes: length?, first_row: first_row? });
            Some(())
        }),
        _ => r.skip(m),
    })?;
    pages.shrink_to_fit();
    Some(pages)
}

/// Appends a column index.
pub(crate) fn write_column_index(column: Column, zones: &[Zone], out: &mut Vec<u8>) {
    let bounds: Vec<[Vec<u8>; 2]> =
        zones.iter().map(|zone| zone.bounds.as_ref().map(|bounds| bounds.encode(column)).unwrap_or_default()).collect();
    Writer::write(out, |w| {
        w.bools(1, zones.iter().map(|zone| zone.bounds.is_none()));
        w.binaries(2, bounds.iter().map(|[min, _]| min.as_slice()));
        w.binaries(3, bounds.iter().map(|[_, max]| max.as_slice()));
        // In no particular order.
        w.i32(4, 0);
        w.i64s(5, zones.iter().map(|zone| i64::try_from(zone.nulls).unwrap_or(i64::MAX)));
    });
}

/// Reads a column index.
pub(crate) fn read_column_index(column: Column, bytes: &[u8]) -> Option<Vec<Zone>> {
    let (mut empty, mut mins, mut maxs, mut nulls) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Reader::new(bytes).members(|r, m| match m.id {
        1 => r.bools(m, |is_empty| {
            empty.push(is_empty);
            Some(())
        }),
        2 => r.binaries(m, |min| {
            mins.push(min);
            Some(())
        }),
        3 => r.binaries(m, |max| {
            maxs.push(max);
            Some(())
        }),
        5 => r.i64s(m, |count| {
            nulls.push(u64::try_from(count).ok()?);
            Some(())
        }),
        _ => r.skip(m),
    })?;
    if mins.len() != empty.len() || maxs.len() != empty.len() || nulls.len() != empty.len() {
        return None;
    }
    let bounds = mins.into_iter().zip(maxs).map(|(min, max)| Bounds::decode(column, min, max));
    let zone = |((is_empty, bounds), nulls): ((bool, Option<Bounds>), u64)| {
        Some(Zone { nulls, bounds: if is_empty { None } else { Some(bounds?) } })
    };
    empty.into_iter().zip(bounds).zip(nulls).map(zone).collect()
}
