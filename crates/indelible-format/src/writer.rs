//! Writes into a fixed piece of memory, piece by piece.
//!
//! The hot path of admission: a record is a few dozen short pieces, and asking a `Vec` for room before each of them costs more
//! than copying them. When a piece does not fit nothing more is written; the caller then starts again with more memory.

/// A cursor over the memory to write to.
pub(crate) struct Writer<'o> {
    /// Empty from the first piece on that did not fit: so the last byte of the memory is never used.
    rest: &'o mut [u8],
    bytes: usize,
}

impl<'o> Writer<'o> {
    pub(crate) const fn new(memory: &'o mut [u8]) -> Self {
        Self { bytes: memory.len(), rest: memory }
    }

    /// Bytes written so far.
    #[inline(always)]
    pub(crate) const fn at(&self) -> usize {
        self.bytes - self.rest.len()
    }

    /// Whether a piece did not fit: then what was written is of no use.
    #[inline(always)]
    pub(crate) const fn is_short(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes of any number: short ones, as nearly all are, without a call.
    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let (slot, rest) = std::mem::take(&mut self.rest).split_at_mut_checked(bytes.len()).unwrap_or_default();
        if slot.len() == bytes.len() {
            copy(bytes, slot);
        }
        self.rest = rest;
    }

    /// Bytes whose number the compiler knows: a few moves.
    #[inline(always)]
    pub(crate) fn put_array<const N: usize>(&mut self, bytes: &[u8; N]) {
        if let Some((slot, rest)) = std::mem::take(&mut self.rest).split_first_chunk_mut::<N>() {
            *slot = *bytes;
            self.rest = rest;
        }
    }

    /// `u16` length, then the text.
    #[inline(always)]
    pub(crate) fn put_str16(&mut self, text: &str) {
        self.put_array(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        self.put(text.as_bytes());
    }
}

/// Copies between slices of one length.
#[inline(always)]
fn copy(from: &[u8], to: &mut [u8]) {
    match from.len() {
        0..4 => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        4..8 => copy_ends::<4>(from, to),
        8..16 => copy_ends::<8>(from, to),
        16..=32 => copy_ends::<16>(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// Copies `N` to `2 N` bytes as their first and their last `N`.
#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_are_copied_whole_or_not_at_all() {
        let from: Vec<u8> = (0u8..100).collect();
        for length in 0..from.len() {
            let mut memory = [0xee; 200];
            let mut writer = Writer::new(&mut memory);
            writer.put_array(b"abc");
            writer.put(&from[..length]);
            assert_eq!((writer.at(), writer.is_short()), (3 + length, false));
            assert_eq!(&memory[3..3 + length], &from[..length]);
            assert!(memory[3 + length..].iter().all(|byte| *byte == 0xee));
            let mut small = vec![0xee; length];
            let mut writer = Writer::new(&mut small);
            writer.put(&from[..=length]);
            assert!(writer.is_short());
            assert_eq!(writer.at(), length, "all of the memory counts as used");
            writer.put(b"");
            assert!(writer.is_short(), "what fits again is no comfort");
            assert!(small.iter().all(|byte| *byte == 0xee));
        }
    }
}
