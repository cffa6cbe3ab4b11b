//! DELTA_BINARY_PACKED and DELTA_BYTE_ARRAY: numbers as differences, ids by what they share with the one before.

use std::cell::RefCell;

use super::bits::{BitWriter, PADDING, extract_wide, unpack, width_of};
use crate::container::thrift::{Reader, signed, unsigned};

/// Numbers of a block, and how many miniblocks with a width of their own it has.
const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Appends `values`, DELTA_BINARY_PACKED.
pub(crate) fn put_numbers(values: &[i64], out: &mut Vec<u8>) {
    let first = values.first().copied().unwrap_or(0);
    unsigned(out, BLOCK as u64);
    unsigned(out, MINIBLOCKS as u64);
    unsigned(out, values.len() as u64);
    signed(out, first);
    let mut last = first;
    for block in values.get(1..).unwrap_or_default().chunks(BLOCK) {
        let mut deltas = [0i64; BLOCK];
        let mut min = i64::MAX;
        for (delta, value) in deltas.iter_mut().zip(block) {
            *delta = value.wrapping_sub(last);
            min = min.min(*delta);
            last = *value;
        }
        signed(out, min);
        let deltas = deltas.get(..block.len()).unwrap_or_default();
        let mut widths = [0; MINIBLOCKS];
        for (width, deltas) in widths.iter_mut().zip(deltas.chunks(MINIBLOCK)) {
            *width = width_of(deltas.iter().fold(0, |bits, delta| bits | delta.wrapping_sub(min).cast_unsigned()));
        }
        out.extend(widths.map(|width| u8::try_from(width).unwrap_or(64)));
        for (width, deltas) in widths.iter().zip(deltas.chunks(MINIBLOCK)) {
            let mut writer = BitWriter::new(out);
            deltas.iter().for_each(|delta| writer.push(delta.wrapping_sub(min).cast_unsigned(), *width));
            (deltas.len()..MINIBLOCK).for_each(|_| writer.push(0, *width));
            writer.finish();
        }
    }
}

/// Reads `count` numbers from the front of `bytes`, behind which there is [`PADDING`]; `None`: they are not there, or their number is
/// another one. Gives what follows them, padding included. Allocates `count` numbers: the caller bounds it.
pub(crate) fn numbers(bytes: &[u8], count: usize) -> Option<(Vec<i64>, &[u8])> {
    let mut values = Vec::with_capacity(count);
    let rest = first_numbers(bytes, count, count, &mut values)?;
    Some((values, rest))
}

/// The number at `nth` of `count`, as [`numbers`] gives it.
pub(crate) fn number_at(bytes: &[u8], count: usize, nth: usize) -> Option<i64> {
    NUMBERS.with_borrow_mut(|values| {
        values.clear();
        first_numbers(bytes, count, nth + 1, values)?;
        values.get(nth).copied()
    })
}

thread_local! {
    /// Numbers in front of the one that is wanted; at most as many as a page has rows.
    static NUMBERS: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// Appends the first `wanted` of `count` numbers, and perhaps some more.
fn first_numbers<'b>(bytes: &'b [u8], count: usize, wanted: usize, values: &mut Vec<i64>) -> Option<&'b [u8]> {
    let mut reader = Reader::new(bytes);
    let (block, miniblocks) = (usize::try_from(reader.unsigned()?).ok()?, usize::try_from(reader.unsigned()?).ok()?);
    let total = reader.unsigned()?;
    let mut last = reader.signed()?;
    let mini = block.checked_div(miniblocks)?;
    if total != count as u64 || block % 128 != 0 || block > 1 << 16 || mini % 32 != 0 || mini * miniblocks != block {
        return None;
    }
    if count > 0 {
        values.push(last);
    }
    let mut deltas = Vec::with_capacity(MINIBLOCK);
    while values.len() < wanted {
        let min = reader.signed()?;
        let widths = reader.take(miniblocks)?;
        for width in widths {
            let here = (count - values.len()).min(mini);
            if here == 0 {
                break;
            }
            let width = u32::from(*width);
            let length = mini.checked_mul(width as usize)? / 8;
            if width > 64 || length + PADDING > reader.rest().len() {
                return None;
            }
            let packed = reader.rest();
            let mut step = |delta: u64| {
                last = last.wrapping_add(min).wrapping_add(delta.cast_signed());
                last
            };
            if width <= 32 {
                deltas.clear();
                unpack(packed, 0, width, here, &mut deltas);
                values.extend(deltas.iter().map(|delta| step(u64::from(*delta))));
            } else {
                values.extend((0..here).map(|nth| extract_wide(packed, nth * width as usize, width)).map(step));
            }
            reader.take(length)?;
        }
    }
    Some(reader.rest())
}

/// Bytes of an id.
pub(crate) const ID: usize = 16;

/// Appends `ids`, DELTA_BYTE_ARRAY.
pub(crate) fn put_ids(ids: &[[u8; ID]], out: &mut Vec<u8>) {
    let mut last = [0; ID];
    let mut shared = Vec::with_capacity(ids.len());
    for (nth, id) in ids.iter().enumerate() {
        let same = if nth == 0 { 0 } else { id.iter().zip(&last).take_while(|(a, b)| a == b).count() };
        shared.push(i64::try_from(same).unwrap_or(0));
        last = *id;
    }
    put_numbers(&shared, out);
    let lengths: Vec<i64> = shared.iter().map(|same| 16 - same).collect();
    put_numbers(&lengths, out);
    for (id, same) in ids.iter().zip(&shared) {
        out.extend_from_slice(usize::try_from(*same).ok().and_then(|same| id.get(same..)).unwrap_or_default());
    }
}

/// Reads `count` ids; behind `bytes` there is [`PADDING`].
pub(crate) fn ids(bytes: &[u8], count: usize) -> Option<Vec<[u8; ID]>> {
    let mut ids = Vec::with_capacity(count);
    let rest = first_ids(bytes, count, count, |id| ids.push(id))?;
    (rest.len() >= PADDING).then_some(ids)
}

/// The id at `nth` of `count`, as [`ids`] gives it.
pub(crate) fn id_at(bytes: &[u8], count: usize, nth: usize) -> Option<[u8; ID]> {
    let mut last = None;
    first_ids(bytes, count, nth.checked_add(1)?, |id| last = Some(id))?;
    last.filter(|_| nth < count)
}

/// Shows the first `wanted` of `count` ids, and gives what is behind them.
fn first_ids(bytes: &[u8], count: usize, wanted: usize, mut each: impl FnMut([u8; ID])) -> Option<&[u8]> {
    let (shared, rest) = numbers(bytes, count)?;
    let (lengths, mut rest) = numbers(rest, count)?;
    let (mut last, mut is_first) = (0u128, true);
    for (same, length) in shared.into_iter().zip(lengths).take(wanted) {
        let (same, length) = (u32::try_from(same).ok()?, usize::try_from(length).ok()?);
        // The first has none before it. Some readers would take the last of the page before.
        if (same as usize).checked_add(length) != Some(ID) || is_first && same > 0 {
            return None;
        }
        is_first = false;
        // All sixteen bytes from here on, of which the first `length` are wanted: what is beyond falls out at the top.
        let suffix = u128::from_le_bytes(*rest.first_chunk::<ID>()?).checked_shl(same * 8).unwrap_or(0);
        let kept = last & 1u128.checked_shl(same * 8).map_or(u128::MAX, |bit| bit - 1);
        last = kept | suffix;
        each(last.to_le_bytes());
        rest = rest.get(length..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend([0; PADDING]);
        bytes
    }

    #[test]
    fn numbers_come_back_whatever_their_steps() {
        let mut rng = fastrand::Rng::with_seed(3);
        for count in [0, 1, 2, 32, 33, 128, 129, 130, 257, 1000] {
            for bits in [0, 1, 7, 31, 33, 63, 64] {
                let values: Vec<i64> = (0..count).map(|_| (rng.u64(..) & super::super::bits::mask(bits)).cast_signed()).collect();
                let mut out = Vec::new();
                put_numbers(&values, &mut out);
                let out = padded(out);
                let (found, rest) = numbers(&out, count).unwrap();
                assert_eq!((&found, rest.len()), (&values, PADDING), "{count} of {bits} bits");
                assert!(numbers(&out, count + 1).is_none());
                assert!((0..count).all(|nth| number_at(&out, count, nth) == Some(found[nth])), "{count} of {bits} bits");
                assert_eq!(number_at(&out, count, count), None);
            }
        }
        let ends = [i64::MIN, i64::MAX, 0, -1, i64::MAX, i64::MIN];
        let mut out = Vec::new();
        put_numbers(&ends, &mut out);
        assert_eq!(numbers(&padded(out), 6).unwrap().0, ends);
    }

    #[test]
    fn ids_come_back_whatever_they_share() {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut all = vec![[0; ID], [0; ID]];
        for _ in 0..500 {
            let mut id = *all.last().unwrap();
            for byte in &mut id[rng.usize(..=ID)..] {
                *byte = rng.u8(..3);
            }
            all.push(id);
        }
        let mut out = Vec::new();
        put_ids(&all, &mut out);
        let out = padded(out);
        assert_eq!(ids(&out, all.len()).unwrap(), all);
        assert!((0..all.len()).all(|nth| id_at(&out, all.len(), nth) == Some(all[nth])));
        assert_eq!(id_at(&out, all.len(), all.len()), None);
        for cut in 1..out.len() - PADDING {
            assert_ne!(ids(&padded(out[..cut].to_vec()), all.len()).as_ref(), Some(&all), "{cut}");
        }
    }
}
