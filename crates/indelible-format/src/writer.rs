//! Writes into a fixed piece of memory and counts what did not fit.
//!
//! The hot path of admission: a record is a few dozen short pieces, and asking a `Vec` for room before each of them costs more
//! than copying them. What does not fit is only counted; the caller grows the memory to that size and writes once more.

use crate::json;

/// A cursor over the memory to write to.
pub(crate) struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl<'o> Writer<'o> {
    pub(crate) const fn new(out: &'o mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Bytes written so far, those that did not fit included.
    #[inline(always)]
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(slot) = self.out.get_mut(self.at..end) {
            slot.copy_from_slice(bytes);
        }
        self.at = end;
    }

    /// Bytes whose number the compiler knows: a few moves instead of a call.
    #[inline(always)]
    pub(crate) fn put_array<const N: usize>(&mut self, bytes: &[u8; N]) {
        if let Some(slot) = self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut::<N>) {
            *slot = *bytes;
        }
        self.at += N;
    }

    /// Leaves room for bytes that are known later; see [`Writer::fill`].
    #[inline(always)]
    pub(crate) const fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Writes at an earlier place.
    #[inline(always)]
    pub(crate) fn fill<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) {
        if let Some(slot) = self.out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<N>) {
            *slot = *bytes;
        }
    }

    /// What was written from `at` on; short if it did not fit.
    pub(crate) fn written(&self, at: usize) -> &[u8] {
        self.out.get(at..self.at).unwrap_or_default()
    }

    /// `u16` length, then the text.
    #[inline(always)]
    pub(crate) fn put_str16(&mut self, text: &str) {
        self.put_array(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        self.put(text.as_bytes());
    }

    /// The inside of a canonical JSON string: copied and looked through in one go, in overlapping pieces, since texts are short.
    #[inline(always)]
    pub(crate) fn put_escaped(&mut self, text: &str) {
        let from = text.as_bytes();
        let end = self.at + from.len();
        let Some(to) = self.out.get_mut(self.at..end) else {
            return self.put_escaped_slowly(text);
        };
        let plain = if from.len() >= 16 {
            copy_long(from, to)
        } else if let (Some(head), Some(tail)) = (from.first_chunk::<8>(), from.last_chunk::<8>()) {
            copy_ends(from, to);
            !any_special(head) & !any_special(tail)
        } else {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            !from.iter().any(|byte| is_special(*byte))
        };
        if plain {
            self.at = end;
        } else {
            self.put_escaped_slowly(text);
        }
    }

    #[cold]
    fn put_escaped_slowly(&mut self, text: &str) {
        let mut escaped = Vec::with_capacity(text.len() + text.len() / 8 + 16);
        json::write_escaped(&mut escaped, text);
        self.put(&escaped);
    }

    /// A canonical JSON string.
    #[inline(always)]
    pub(crate) fn put_string(&mut self, text: &str) {
        self.put_array(b"\"");
        self.put_escaped(text);
        self.put_array(b"\"");
    }

    /// Minimal LEB128.
    #[inline(always)]
    pub(crate) fn put_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            let [low, ..] = value.to_le_bytes();
            self.put_array(&[low | 0x80]);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.put_array(&[low]);
    }
}

/// Whether a byte must be escaped in a JSON string. Joined without branches, so that a run of them becomes vector code.
#[inline(always)]
const fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

#[inline(always)]
fn any_special<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(false, |any, byte| any | is_special(*byte))
}

/// Copies 8 to 16 bytes as their first and their last eight.
#[inline(always)]
fn copy_ends(from: &[u8], to: &mut [u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<8>(), from.first_chunk::<8>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<8>(), from.last_chunk::<8>()) {
        *to = *from;
    }
}

/// Copies 16 bytes or more in pieces of 16, the last one overlapping; tells whether none needs an escape.
#[inline(always)]
fn copy_long(from: &[u8], to: &mut [u8]) -> bool {
    let mut special = false;
    for (to, from) in to.as_chunks_mut::<16>().0.iter_mut().zip(from.as_chunks::<16>().0) {
        *to = *from;
        special |= any_special(from);
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<16>(), from.last_chunk::<16>()) {
        *to = *from;
        special |= any_special(from);
    }
    !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_and_special_place_are_written_as_the_simple_writer_writes_them() {
        for length in 0..70usize {
            for place in 0..=length {
                for special in ["", "\"", "\\", "\u{1}", "\u{1f}", "ä", "\u{7f}"] {
                    let text = format!("{}{special}{}", "a".repeat(place), "b".repeat(length - place));
                    let mut expected = Vec::new();
                    json::write_string(&mut expected, &text);
                    let mut memory = [0xee; 200];
                    let mut writer = Writer::new(&mut memory);
                    writer.put_string(&text);
                    let at = writer.at();
                    assert_eq!(&memory[..at], &expected[..], "{text:?}");
                    let mut small = Writer::new(&mut []);
                    small.put_string(&text);
                    assert_eq!(small.at(), expected.len(), "what does not fit is counted");
                }
            }
        }
    }
}
