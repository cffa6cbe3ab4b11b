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

    /// The inside of a canonical JSON string.
    #[inline(always)]
    pub(crate) fn put_escaped(&mut self, text: &str) {
        let clean = json::plain_length(text.as_bytes());
        if clean == text.len() {
            self.put(text.as_bytes());
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
            self.put_array(&[(value & 0x7f) as u8 | 0x80]);
            value >>= 7;
        }
        self.put_array(&[value as u8 & 0x7f]);
    }
}
