//! Where a message ends in a stream (RFC 6587): behind as many octets as stand in front of it, or at the end of the line. Each message says by its first
//! octet which it is: a digit, or `<`.

use bytes::BufMut;
use bytes::buf::Limit;

/// Bytes of one message.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Bytes that are read at once.
const PIECE_BYTES: usize = 4 << 10;
/// Bytes of a message that is not whole which any connection may hold.
const SMALL_BYTES: usize = 8 << 10;
/// Digits of a count.
const DIGITS_MAX: usize = 6;

/// Neither framing, or the beginning of a message that is never whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

/// A stream being cut into messages.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// Bytes in front that were handed out.
    done: usize,
}

impl Frames {
    /// Where the next piece goes.
    pub(super) fn space(&mut self) -> Limit<&mut Vec<u8>> {
        self.bytes.drain(..self.done);
        self.done = 0;
        if self.is_small() {
            // What a long message took is given back behind it.
            self.bytes.shrink_to(SMALL_BYTES + PIECE_BYTES);
        }
        if self.bytes.capacity() - self.bytes.len() < PIECE_BYTES {
            self.bytes.reserve_exact(PIECE_BYTES);
        }
        (&mut self.bytes).limit(PIECE_BYTES)
    }

    /// Whether no message is begun.
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// Whether no more is held than any connection may hold.
    pub(super) fn is_small(&self) -> bool {
        self.rest().len() <= SMALL_BYTES
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    /// The next message.
    ///
    /// # Errors
    /// It is longer than a message may be, or its count is none.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Nonsense> {
        // Between messages some senders put what ends lines.
        self.done += self.rest().iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | 0)).count();
        match self.rest().first() {
            None => Ok(None),
            Some(b'1'..=b'9') => self.counted(),
            Some(_) => self.line(),
        }
    }

    /// What is left when nothing follows. `in_order`: the sender ended the stream, so that a line which nothing ends is whole: some end their last
    /// one so.
    ///
    /// # Errors
    /// It is the beginning of a message.
    pub(super) fn last(mut self, in_order: bool) -> Result<Option<Vec<u8>>, Nonsense> {
        let rest = self.bytes.split_off(self.done);
        match rest.first() {
            None => Ok(None),
            Some(b'1'..=b'9') => Err(Nonsense),
            Some(_) if in_order => Ok(Some(rest.strip_suffix(b"\r").unwrap_or(&rest).to_vec())),
            Some(_) => Err(Nonsense),
        }
    }

    fn counted(&mut self) -> Result<Option<Vec<u8>>, Nonsense> {
        let rest = self.rest();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > DIGITS_MAX {
            return Err(Nonsense);
        }
        match rest.get(digits) {
            None => return Ok(None),
            Some(b' ') => {}
            Some(_) => return Err(Nonsense),
        }
        let count =
            rest.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok()).ok_or(Nonsense)?;
        if count > MESSAGE_BYTES_MAX {
            return Err(Nonsense);
        }
        let start = digits + 1;
        let Some(message) = rest.get(start..start + count) else { return Ok(None) };
        let message = message.to_vec();
        self.done += start + count;
        Ok(Some(message))
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, Nonsense> {
        let rest = self.rest();
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | 0)) else {
            return if rest.len() > MESSAGE_BYTES_MAX { Err(Nonsense) } else { Ok(None) };
        };
        let message = rest.get(..end).unwrap_or_default();
        let message = message.strip_suffix(b"\r").unwrap_or(message).to_vec();
        self.done += end + 1;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut into pieces of `step` bytes on the way.
    fn cut(stream: &[u8], step: usize) -> Result<(Vec<String>, Frames), Nonsense> {
        let (mut frames, mut messages) = (Frames::default(), Vec::new());
        for piece in stream.chunks(step) {
            frames.space().put_slice(piece);
            while let Some(message) = frames.next()? {
                messages.push(String::from_utf8(message).unwrap());
            }
        }
        Ok((messages, frames))
    }

    /// Messages of a stream that its sender ended.
    fn ended(stream: &[u8], step: usize) -> Result<Vec<String>, Nonsense> {
        let (mut messages, frames) = cut(stream, step)?;
        messages.extend(frames.last(true)?.map(|message| String::from_utf8(message).unwrap()));
        Ok(messages)
    }

    #[test]
    fn both_framings_may_be_mixed_however_the_bytes_come() {
        let stream = b"<1>one\n7 <2>a\nb\n<3>three\r\n6 <4>xyz\n\n<5>last";
        for step in 1..stream.len() {
            assert_eq!(ended(stream, step).unwrap(), ["<1>one", "<2>a\nb\n", "<3>three", "<4>xyz", "<5>last"], "{step}");
        }
    }

    #[test]
    fn nonsense_ends_it_and_memory_is_bounded() {
        for wrong in [&b"7x<1>"[..], b"9999999 <1>", b"999999 <1>"] {
            assert!(cut(wrong, 3).is_err());
        }
        assert!(cut(&vec![b'<'; MESSAGE_BYTES_MAX + 2], PIECE_BYTES).is_err());
        let long = [&b"200000 <1>"[..], &vec![b'x'; 200_000 - 3], b"<2>"].concat();
        let (messages, mut frames) = cut(&long, PIECE_BYTES).unwrap();
        assert_eq!((messages.len(), frames.is_small(), frames.is_empty()), (1, true, false));
        frames.space();
        assert!(frames.bytes.capacity() <= SMALL_BYTES + 2 * PIECE_BYTES, "given back: {}", frames.bytes.capacity());
        let (_, frames) = cut(&long[..150_000], PIECE_BYTES).unwrap();
        assert!(!frames.is_small() && frames.bytes.capacity() <= 150_000 + 2 * PIECE_BYTES, "{}", frames.bytes.capacity());
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        for (stream, in_order) in [("100 <1>cut off", true), ("100 <1>cut off", false), ("10", true), ("<1>cut off", false)] {
            let (messages, frames) = cut(stream.as_bytes(), 3).unwrap();
            assert!(messages.is_empty() && !frames.is_empty());
            assert_eq!(frames.last(in_order), Err(Nonsense), "{stream}");
        }
        let (_, frames) = cut(b"<1>last\r", 3).unwrap();
        assert_eq!(frames.last(true).unwrap(), Some(b"<1>last".to_vec()));
        let (_, frames) = cut(b"6 <1>one\n\n", 3).unwrap();
        assert_eq!(frames.last(false).unwrap(), None);
    }
}
