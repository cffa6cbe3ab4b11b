//! Changes segments as somebody would who knows the format: checksums and digests stay right.
//!
//! Also the fuzz target's, so that what lies behind checksums is reached.

mod thrift;

use indelible_format::sha256::sha256;

pub(crate) use thrift::{Struct, Value};

/// Members of the footer, of a column in it, and of a page's header.
pub(crate) const GROUPS: i16 = 4;
/// See [`GROUPS`].
pub(crate) const META: i16 = 3;
/// Where the pages of a column begin.
pub(crate) const DATA_OFFSET: i16 = 9;
/// Where its dictionary is.
pub(crate) const DICTIONARY_OFFSET: i16 = 11;
const COLUMN_BYTES: i16 = 7;
const STORED_BYTES: i16 = 3;
const CRC: i16 = 4;

/// A member of a column's metadata in the footer.
pub(crate) fn of_column(column: usize, member: i16) -> [i16; 6] {
    [GROUPS, 0, 1, i16::try_from(column).unwrap_or(i16::MAX), META, member]
}

/// The footer, and where it begins.
pub(crate) fn footer(file: &[u8]) -> Option<(Struct, usize)> {
    let end = file.len().checked_sub(8)?;
    let length = u32::from_le_bytes(*file.get(end..)?.first_chunk()?);
    let start = end.checked_sub(length as usize)?;
    Some((Struct::read(file.get(start..end)?)?.0, start))
}

/// The file up to its footer, then something that is put in front of the footer, and this footer.
pub(crate) fn with_footer(file: &[u8], inserted: &[u8], new: &Struct) -> Vec<u8> {
    let start = footer(file).map_or(file.len(), |(_, start)| start);
    let bytes = new.bytes();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    [file.get(..start).unwrap_or_default(), inserted, &bytes, &length, b"PAR1"].concat()
}

/// A page whose header has the checksum and the length of its body.
pub(crate) fn page(header: &Struct, body: &[u8]) -> Vec<u8> {
    let mut header = header.clone();
    header.put(&[STORED_BYTES], Value::i32(i32::try_from(body.len()).unwrap_or(i32::MAX)));
    header.put(&[CRC], Value::i32(crc32(&[body]).cast_signed()));
    [&header.bytes(), body].concat()
}

/// The pages of a column, its dictionary first: where each begins, its header, and where its body begins and ends.
pub(crate) fn pages(file: &[u8], footer: &Struct, column: usize) -> Vec<(usize, Struct, std::ops::Range<usize>)> {
    let number = |member| footer.number(&of_column(column, member)).and_then(|number| usize::try_from(number).ok());
    let mut starts: Vec<usize> = number(DICTIONARY_OFFSET).into_iter().collect();
    if let Some(places) = page_index(file, footer, column).as_ref().and_then(|index| index.find(&[1]).cloned())
        && let Value::List(_, places) = places
    {
        let offset = |place: Value| match place {
            Value::Struct(place) => usize::try_from(place.number(&[1])?).ok(),
            _ => None,
        };
        starts.extend(places.into_iter().filter_map(offset));
    }
    let found = |start: usize| {
        let (header, length) = Struct::read(file.get(start..)?)?;
        let body = usize::try_from(header.number(&[STORED_BYTES])?).ok()?;
        let body = start + length..(start + length).checked_add(body).filter(|end| *end <= file.len())?;
        Some((start, header, body))
    };
    starts.into_iter().filter_map(found).collect()
}

/// The offset index of a column.
pub(crate) fn page_index(file: &[u8], footer: &Struct, column: usize) -> Option<Struct> {
    let column = i16::try_from(column).ok()?;
    let place = |member| usize::try_from(footer.number(&[GROUPS, 0, 1, column, member])?).ok();
    let (start, length) = (place(4)?, place(5)?);
    Some(Struct::read(file.get(start..start.checked_add(length)?)?)?.0)
}

/// Makes checksums and digests right, wherever what they are about can be found. No length changes.
pub(crate) fn repair(file: &mut [u8]) {
    let Some((footer, start)) = footer(file) else { return };
    let Some(Value::List(_, columns)) = footer.find(&[GROUPS, 0, 1]) else { return };
    for column in 0..columns.len().min(64) {
        for (at, header, body) in pages(file, &footer, column) {
            repair_page(file, at, header, body);
        }
    }
    let Some(Value::List(_, entries)) = footer.find(&[5]) else { return };
    for entry in entries {
        if let Value::Struct(entry) = entry
            && let (Some(Value::Bytes(key)), Some(Value::Bytes(place))) = (entry.find(&[1]), entry.find(&[2]))
        {
            repair_block(file, start, key, place);
        }
    }
}

/// A checksum that takes as many bytes as the old one is found by changing the last byte of the page.
fn repair_page(file: &mut [u8], at: usize, mut header: Struct, body: std::ops::Range<usize>) {
    let length = body.start - at;
    for _ in 0..=u8::MAX {
        let Some(bytes) = file.get(body.clone()) else { return };
        header.put(&[CRC], Value::i32(crc32(&[bytes]).cast_signed()));
        let bytes = header.bytes();
        if bytes.len() == length {
            if let Some(old) = file.get_mut(at..body.start) {
                old.copy_from_slice(&bytes);
            }
            return;
        }
        match file.get_mut(body.clone()).and_then(<[u8]>::last_mut) {
            Some(last) => *last = last.wrapping_add(1),
            None => return,
        }
    }
}

fn repair_block(file: &mut [u8], footer: usize, key: &[u8], place: &[u8]) -> Option<()> {
    let mut words = std::str::from_utf8(place).ok()?.split(' ');
    let (offset, length) = (words.next()?.parse::<usize>().ok()?, words.next()?.parse::<usize>().ok()?);
    let digest = words.next()?.as_bytes().to_vec();
    let block = file.get_mut(offset..offset.checked_add(length)?)?;
    if key == b"indelible.index" {
        repair_index(block);
    }
    let hex: String = sha256(block).0.iter().map(|byte| format!("{byte:02x}")).collect();
    let tail = file.get_mut(footer..)?;
    let at = tail.windows(digest.len()).position(|window| window == digest)?;
    tail.get_mut(at..at + hex.len())?.copy_from_slice(hex.as_bytes());
    Some(())
}

/// The checksums of the head of an index and of its buckets.
fn repair_index(block: &mut [u8]) -> Option<()> {
    let number = |block: &[u8], at: usize| Some(u32::from_le_bytes(*block.get(at..)?.first_chunk()?) as usize);
    let fields = number(block, 16)?.min(64);
    let head = 20 + 16 * fields;
    let crc = crc32(&[block.get(..head)?]);
    block.get_mut(head..head + 4)?.copy_from_slice(&crc.to_le_bytes());
    for entry in (20..head).step_by(16) {
        let (field, bits) = (*block.get(entry)?, *block.get(entry + 1)?);
        let (part, buckets) = (number(block, entry + 8)?, 1usize << bits.min(16));
        let first = part.checked_add(4 * (buckets + 1))?;
        for bucket in 0..buckets {
            let (Some(from), Some(to)) = (number(block, part + 4 * bucket), number(block, part + 4 * bucket + 4)) else { break };
            let Some(bytes) = block.get_mut(first.saturating_add(from)..first.saturating_add(to)) else { continue };
            let number = u32::try_from(bucket).unwrap_or(u32::MAX).to_le_bytes();
            if let Some((crc, rest)) = bytes.split_first_chunk_mut::<4>() {
                *crc = crc32(&[&[field], &number, rest]).to_le_bytes();
            }
        }
    }
    Some(())
}

/// IEEE CRC-32 of these bytes one behind the other.
pub(crate) fn crc32(parts: &[&[u8]]) -> u32 {
    !parts.iter().copied().flatten().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// The file with other bytes in place of all pages of a column: its dictionary, if there is one, and its data pages with their first rows.
/// Everything behind moves, and what says where it is follows.
pub(crate) fn with_column(file: &[u8], column: usize, dictionary: Option<&[u8]>, data: &[(i64, Vec<u8>)]) -> Option<Vec<u8>> {
    let (mut new, start) = footer(file)?;
    let number = |path: &[i16]| new.number(path).and_then(|number| usize::try_from(number).ok());
    let data_at = number(&of_column(column, DATA_OFFSET))?;
    let from = number(&of_column(column, DICTIONARY_OFFSET)).unwrap_or(data_at);
    let to = from + number(&of_column(column, COLUMN_BYTES))?;
    let pages: Vec<u8> = dictionary.into_iter().chain(data.iter().map(|(_, page)| page.as_slice())).flatten().copied().collect();
    let grown = i64::try_from(pages.len()).ok()? - i64::try_from(to - from).ok()?;
    let moved = |at: i64| if usize::try_from(at).is_ok_and(|at| at >= to) { at + grown } else { at };
    let front = [file.get(..from)?, &pages, file.get(to..start)?].concat();

    let Some(Value::List(_, columns)) = new.find(&[GROUPS, 0, 1]).cloned() else { return None };
    let mut inserted = Vec::new();
    for nth in 0..columns.len() {
        let mut index = page_index(file, &new, nth)?;
        if nth == column {
            let mut at = i64::try_from(from + dictionary.map_or(0, <[u8]>::len)).ok()?;
            new.put(&of_column(column, DATA_OFFSET), Value::i64(at));
            new.put(&of_column(column, COLUMN_BYTES), Value::i64(i64::try_from(pages.len()).ok()?));
            let mut places = Vec::new();
            for (row, page) in data {
                let length = i32::try_from(page.len()).ok()?;
                places.push(Value::Struct(Struct(vec![(1, Value::i64(at)), (2, Value::i32(length)), (3, Value::i64(*row))])));
                at += i64::from(length);
            }
            index = Struct(vec![(1, Value::List(12, places))]);
        } else {
            for member in [DATA_OFFSET, DICTIONARY_OFFSET] {
                if let Some(at) = new.number(&of_column(nth, member)) {
                    new.put(&of_column(nth, member), Value::i64(moved(at)));
                }
            }
            let Some(Value::List(_, places)) = index.0.first_mut().map(|(_, places)| places) else { return None };
            for place in places {
                if let Value::Struct(place) = place {
                    place.put(&[1], Value::i64(moved(place.number(&[1])?)));
                }
            }
        }
        let own = [GROUPS, 0, 1, i16::try_from(nth).ok()?];
        let path = |member| [own[0], own[1], own[2], own[3], member];
        let bytes = index.bytes();
        new.put(&path(4), Value::i64(i64::try_from(front.len() + inserted.len()).ok()?));
        new.put(&path(5), Value::i32(i32::try_from(bytes.len()).ok()?));
        inserted.extend(bytes);
        if let Some(at) = new.number(&path(6)) {
            new.put(&path(6), Value::i64(moved(at)));
        }
    }
    let total = new.number(&[GROUPS, 0, 6])?;
    new.put(&[GROUPS, 0, 6], Value::i64(total + grown));
    let Some(Value::List(_, entries)) = new.find(&[5]).cloned() else { return None };
    for (nth, entry) in (0i16..).zip(entries) {
        if let Value::Struct(entry) = entry
            && let Some(Value::Bytes(place)) = entry.find(&[2])
            && let Some((at, rest)) = std::str::from_utf8(place).ok()?.split_once(' ')
        {
            new.put(&[5, nth, 2], Value::text(&format!("{} {rest}", moved(at.parse().ok()?))));
        }
    }
    Some(with_footer(&[front, file.get(start..)?.to_vec()].concat(), &inserted, &new))
}
