//! Changing a Parquet file as somebody would who knows the format: checksums stay right.

use std::ops::ControlFlow;

use indelible_format::Record;
use indelible_segment::{Options, Segment, SegmentWriter};

/// The segment `file` with something in place of the record at `seq` that is no record. `None`: there is no such position.
#[must_use]
pub fn spoil_record(file: &[u8], seq: u64) -> Option<Vec<u8>> {
    let segment = Segment::open(file.to_vec()).ok()?;
    let proof = segment.proof().ok()?;
    // So fast a level leaves the record as it is, where it can be found.
    let options = Options { level: -100_000 };
    let mut writer = SegmentWriter::new(Vec::new(), proof.log, proof.first_seq, options).ok()?;
    writer.keep_whole([seq]);
    let mut old = None;
    let read = segment.records(0..u64::MAX, &mut |at, bytes| {
        if at == seq {
            old = Some(bytes.to_vec());
        }
        let pushed = Record::parse(bytes).is_some_and(|record| writer.push(&record).is_ok());
        if pushed { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    read.ok()?;
    let (mut file, _) = writer.finish(&proof).ok()?;
    let old = old?;
    let at = file.windows(old.len()).position(|bytes| bytes == old)?;
    let mut new = old.clone();
    // Of no kind that there is.
    *new.get_mut(4)? = 0xee;
    replace_value(&mut file, at, &new).then_some(file)
}

/// Puts `new`, of which the last byte may become another, at `at`: in place of the last value of a page that is not compressed.
fn replace_value(file: &mut [u8], at: usize, new: &[u8]) -> bool {
    let end = at + new.len();
    // The page begins somewhere in front of the value, and its header, with the checksum, in front of that.
    let stated = (at.saturating_sub(64)..=at).find_map(|start| {
        let stated = varint(crc32(file.get(start..end)?));
        let front = start.saturating_sub(64);
        let place = file.get(front..start)?.windows(stated.len()).position(|bytes| bytes == stated)?;
        Some((start, front + place, stated.len()))
    });
    let Some((start, place, length)) = stated else { return false };
    for last in 0..=u8::MAX {
        file.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = *new);
        if let Some(byte) = file.get_mut(end - 1) {
            *byte = last;
        }
        let right = varint(crc32(file.get(start..end).unwrap_or_default()));
        if right.len() == length {
            file.iter_mut().skip(place).zip(&right).for_each(|(byte, right)| *byte = *right);
            return true;
        }
    }
    false
}

/// Says `to` instead of `from` in a column of which every row has that one word: in its dictionary page. `false`: there is no such page,
/// or no word of that length has a checksum that takes as many bytes. `to` is as long as `from`; its last byte may become another.
#[must_use]
pub fn replace_word(file: &mut [u8], from: &str, to: &str) -> bool {
    let old = page(from.as_bytes());
    let places: Vec<usize> = file.windows(old.len()).enumerate().filter(|(_, bytes)| *bytes == old).map(|(at, _)| at).collect();
    places.into_iter().any(|at| replace_at(file, at, &old, to))
}

fn replace_at(file: &mut [u8], at: usize, old: &[u8], to: &str) -> bool {
    // So short a page does not get shorter: Zstandard keeps it as it is, behind nine bytes of its own.
    let frame =
        file.get(at.saturating_sub(FRAME_BYTES)..at).filter(|frame| frame.starts_with(ZSTANDARD)).unwrap_or_default().to_vec();
    let stated = varint(crc32(&[&*frame, old].concat()));
    // The header stands in front of the page, and its checksum somewhere in there.
    let front = at.saturating_sub(64);
    let header = file.get(front..at).unwrap_or_default();
    let Some(place) = header.windows(stated.len()).position(|bytes| bytes == stated) else { return false };
    for last in b'a'..=b'z' {
        let mut word = to.as_bytes().to_vec();
        if let Some(byte) = word.last_mut() {
            *byte = last;
        }
        let new = page(&word);
        let right = varint(crc32(&[&*frame, &*new].concat()));
        if new.len() == old.len() && right.len() == stated.len() && new != old {
            file.iter_mut().skip(at).zip(&new).for_each(|(byte, new)| *byte = *new);
            file.iter_mut().skip(front + place).zip(&right).for_each(|(byte, new)| *byte = *new);
            return true;
        }
    }
    false
}

/// A dictionary of one word.
fn page(word: &[u8]) -> Vec<u8> {
    [&u32::try_from(word.len()).unwrap_or(u32::MAX).to_le_bytes(), word].concat()
}

const ZSTANDARD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const FRAME_BYTES: usize = 9;

/// As Parquet's headers have it: IEEE.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// A 32-bit number as Thrift's compact protocol has it.
fn varint(value: u32) -> Vec<u8> {
    let signed = value.cast_signed();
    let mut rest = (signed << 1 ^ signed >> 31).cast_unsigned();
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        bytes.push(if rest == 0 { low & 0x7f } else { low | 0x80 });
        if rest == 0 {
            return bytes;
        }
    }
}
