//! Parquet's hybrid of runs and bit-packed numbers: levels, and indices into dictionaries.

use super::bits::{BitWriter, unpack};
use crate::container::thrift::{Reader, unsigned};

/// A run shorter than this is packed with its neighbours.
const RUN_MIN: usize = 16;

/// One piece of a hybrid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run<'a> {
    /// The same number this many times.
    Same(u32, usize),
    /// Packed numbers: their bytes, and how many there are, the filling included.
    Packed(&'a [u8], usize),
}

/// Appends one run.
pub(crate) fn put_run(value: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    unsigned(out, (count as u64) << 1);
    out.extend_from_slice(value.to_le_bytes().get(..width.div_ceil(8) as usize).unwrap_or_default());
}

/// Appends `values` as one packed piece, filled up with zeros to a multiple of eight.
pub(crate) fn put_packed(values: impl ExactSizeIterator<Item = u32>, width: u32, out: &mut Vec<u8>) {
    let groups = values.len().div_ceil(8);
    let filling = groups * 8 - values.len();
    unsigned(out, (groups as u64) << 1 | 1);
    let mut writer = BitWriter::new(out);
    values.chain(std::iter::repeat_n(0, filling)).for_each(|value| writer.push(u64::from(value), width));
    writer.finish();
}

/// Appends levels: runs where they pay, packed between them.
pub(crate) fn put_levels(levels: &[u8], width: u32, out: &mut Vec<u8>) {
    let (mut from, mut at) = (0, 0);
    let packed = |range: std::ops::Range<usize>, out: &mut Vec<u8>| {
        let levels = levels.get(range).unwrap_or_default();
        if !levels.is_empty() {
            put_packed(levels.iter().map(|level| u32::from(*level)), width, out);
        }
    };
    while let Some(rest) = levels.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.first().copied().unwrap_or(0);
        let run = rest.iter().take_while(|level| **level == first).count();
        if run >= RUN_MIN || run == rest.len() && from == at {
            packed(from..at, out);
            put_run(u32::from(first), run, width, out);
            at += run;
            from = at;
        } else {
            // Packed numbers come in eights, counted from where the piece begins.
            at = (at + 8).min(levels.len());
        }
    }
    packed(from..at, out);
}

/// The pieces of a hybrid that holds `count` numbers. Ends early, with `None`, where bytes are missing.
pub(crate) struct Runs<'a> {
    reader: Reader<'a>,
    width: u32,
    left: usize,
}

impl<'a> Runs<'a> {
    pub(crate) const fn new(bytes: &'a [u8], width: u32, count: usize) -> Self {
        Self { reader: Reader::new(bytes), width, left: count }
    }

    /// How many bytes follow the piece given last.
    pub(crate) const fn rest(&self) -> usize {
        self.reader.rest().len()
    }

    /// How many numbers were not given yet.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        if self.left == 0 {
            return None;
        }
        let head = self.reader.unsigned()?;
        let count = usize::try_from(head >> 1).ok().filter(|count| *count > 0)?;
        let run = if head & 1 == 0 {
            let bytes = self.reader.take(self.width.div_ceil(8) as usize)?;
            let mut value = [0; 4];
            value.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            Run::Same(u32::from_le_bytes(value), count.min(self.left))
        } else {
            let count = count.checked_mul(8)?;
            // The filling of the last piece may be left out.
            let bytes = count.checked_mul(self.width as usize)?.div_ceil(8).min(self.reader.rest().len());
            let count = count.min(self.left);
            let needed = count.checked_mul(self.width as usize)?.div_ceil(8);
            if bytes < needed {
                return None;
            }
            Run::Packed(self.reader.take(bytes)?, count)
        };
        self.left -= match run {
            Run::Same(_, count) | Run::Packed(_, count) => count,
        };
        Some(run)
    }
}

/// All numbers, each by itself. `None`: fewer than `count`. Allocates `count` numbers: the caller bounds it.
pub(crate) fn decode(bytes: &[u8], width: u32, count: usize) -> Option<Vec<u32>> {
    let mut values = Vec::with_capacity(count);
    let mut runs = Runs::new(bytes, width, count);
    let mut padded = Vec::new();
    for run in runs.by_ref() {
        match run {
            Run::Same(value, count) => values.extend(std::iter::repeat_n(value, count)),
            Run::Packed(bytes, count) => {
                padded.clear();
                padded.extend_from_slice(bytes);
                padded.extend_from_slice(&[0; super::bits::PADDING]);
                unpack(&padded, 0, width, count, &mut values);
            }
        }
    }
    (runs.left() == 0).then_some(values)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]
mod tests {
    use super::*;

    #[test]
    fn levels_come_back_whatever_their_runs() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..500 {
            let mut levels = Vec::new();
            for _ in 0..rng.usize(..12) {
                let (level, run) = (rng.u8(..5), rng.usize(1..40));
                levels.extend(std::iter::repeat_n(level, run));
            }
            let mut out = Vec::new();
            put_levels(&levels, 3, &mut out);
            let found = decode(&out, 3, levels.len()).unwrap();
            assert!(found.iter().map(|level| *level as u8).eq(levels.iter().copied()), "{levels:?}");
            // Of the last byte only the filling may be missing.
            let cut = decode(&out[..out.len().saturating_sub(1)], 3, levels.len());
            assert!(cut.is_none_or(|cut| cut == found));
        }
    }
}
