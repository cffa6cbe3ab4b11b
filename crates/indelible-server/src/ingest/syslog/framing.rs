//! Where a message ends in a stream (RFC 6587): behind as many octets as stand in front of it, or at the end of the line. Each message says by its first
//! octet which it is: a digit, or `<`.

/// Bytes of one message.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Digits of a count.
const DIGITS_MAX: usize = 6;

/// Neither framing.
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
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message. `at_end`: nothing follows, so what is left is one.
    ///
    /// # Errors
    /// It is longer than a message may be, or its count is none.
    pub(super) fn next(&mut self, at_end: bool) -> Result<Option<Vec<u8>>, Nonsense> {
        // Between messages some senders put what ends lines.
        let rest = self.bytes.get(self.done..).unwrap_or_default();
        self.done += rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | 0)).count();
        let rest = self.bytes.get(self.done..).unwrap_or_default();
        match rest.first() {
            None => Ok(None),
            Some(b'1'..=b'9') => self.counted(),
            Some(_) => self.line(at_end),
        }
    }

    fn counted(&mut self) -> Result<Option<Vec<u8>>, Nonsense> {
        let rest = self.bytes.get(self.done..).unwrap_or_default();
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

    fn line(&mut self, at_end: bool) -> Result<Option<Vec<u8>>, Nonsense> {
        let rest = self.bytes.get(self.done..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | 0));
        let message = match end {
            Some(end) => rest.get(..end).unwrap_or_default(),
            None if rest.len() > MESSAGE_BYTES_MAX => return Err(Nonsense),
            None if at_end => rest,
            None => return Ok(None),
        };
        let taken = end.map_or(rest.len(), |end| end + 1);
        let message = message.strip_suffix(b"\r").unwrap_or(message).to_vec();
        self.done += taken;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut into pieces of `step` bytes on the way.
    fn cut(stream: &[u8], step: usize) -> Result<Vec<String>, Nonsense> {
        let (mut frames, mut messages) = (Frames::default(), Vec::new());
        for piece in stream.chunks(step) {
            frames.push(piece);
            while let Some(message) = frames.next(false)? {
                messages.push(String::from_utf8(message).unwrap());
            }
        }
        while let Some(message) = frames.next(true)? {
            messages.push(String::from_utf8(message).unwrap());
        }
        Ok(messages)
    }

    #[test]
    fn both_framings_may_be_mixed_however_the_bytes_come() {
        let stream = b"<1>one\n7 <2>a\nb\n<3>three\r\n6 <4>xyz\n\n<5>last";
        for step in 1..stream.len() {
            assert_eq!(cut(stream, step).unwrap(), ["<1>one", "<2>a\nb\n", "<3>three", "<4>xyz", "<5>last"], "{step}");
        }
    }

    #[test]
    fn nonsense_ends_it_and_memory_is_bounded() {
        assert_eq!(cut(b"7x<1>", 3), Err(Nonsense));
        assert_eq!(cut(b"9999999 <1>", 3), Err(Nonsense));
        assert_eq!(cut(b"999999 <1>", 3), Err(Nonsense));
        assert_eq!(cut(&vec![b'<'; MESSAGE_BYTES_MAX + 2], 4096), Err(Nonsense));
        assert_eq!(cut(b"100 <1>cut off", 3).unwrap(), Vec::<String>::new());
    }
}
