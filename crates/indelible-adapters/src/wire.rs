//! Events on their way from a server to another of our programs: the records themselves, so that whatever can be made of them where they are
//! stored can be made of them where they arrive. For everybody else there is JSON.
//!
//! ```text
//! frame   seq: u64 ‖ record                position, and the record, which says its log and how long it is (docs/format/event.md)
//! end     2^64 - 1: u64 ‖ length: u32 ‖ JSON       what is said of the answer as a whole; nothing follows
//! ```
//!
//! Little-endian. An answer that ends without its end broke off.

use std::io::{self, Read};

use indelible_format::Record;
use indelible_format::limits::RECORD_BYTES_MAX;

/// Media type of such an answer.
pub const RECORDS_MEDIA_TYPE: &str = "application/vnd.indelible.records";

const END: u64 = u64::MAX;
const LENGTH_BYTES: usize = 4;
/// Bytes of the end; what is said there is a few names and numbers.
const END_BYTES_MAX: usize = 1 << 20;

/// Appends the position of a record; the record has to follow.
pub fn write_seq(out: &mut Vec<u8>, seq: u64) {
    out.extend_from_slice(&seq.to_le_bytes());
}

/// Appends the end of an answer with this JSON, up to 1 MiB of it.
pub fn write_end(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(&END.to_le_bytes());
    out.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(json);
}

/// Reads an answer frame by frame, in memory for one record.
#[derive(Debug)]
pub struct RecordsReader<R> {
    input: R,
    memory: Vec<u8>,
}

/// A part of an answer.
#[derive(Debug)]
pub enum Received<'r> {
    /// A record and its position.
    Record(u64, Record<'r>),
    /// What is said of the whole, as JSON.
    End(&'r [u8]),
}

impl<R: Read> RecordsReader<R> {
    /// Of `input`, which should be buffered.
    pub const fn new(input: R) -> Self {
        Self { input, memory: Vec::new() }
    }

    /// The next part. After the end there is none: do not ask.
    ///
    /// # Errors
    /// `InvalidData`: it is no such answer. `UnexpectedEof`: it broke off. Or what `input` says.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from it, which an iterator cannot say")]
    pub fn next(&mut self) -> io::Result<Received<'_>> {
        let mut front = [0; size_of::<u64>() + LENGTH_BYTES];
        self.input.read_exact(&mut front)?;
        let [a, b, c, d, e, f, g, h, length @ ..] = front;
        let seq = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let told = u32::from_le_bytes(length) as usize;
        let (rest, most) = if seq == END { (told, END_BYTES_MAX) } else { (told.saturating_sub(LENGTH_BYTES), RECORD_BYTES_MAX) };
        if rest > most {
            return Err(invalid("a part of it is longer than it can be"));
        }
        self.memory.clear();
        if seq != END {
            self.memory.extend_from_slice(&length);
        }
        // Grows with what arrives, not with what is announced.
        let read = (&mut self.input).take(rest as u64).read_to_end(&mut self.memory)?;
        if read < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if seq == END {
            return Ok(Received::End(&self.memory));
        }
        let record = Record::parse(&self.memory).filter(|record| record.bytes().len() == self.memory.len());
        Ok(Received::Record(seq, record.ok_or_else(|| invalid("a record of it is malformed"))?))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use indelible_format::record::encode_control;

    use super::*;

    fn answer() -> Vec<u8> {
        let mut out = Vec::new();
        write_seq(&mut out, 7);
        encode_control(3, b"{\"a\":1}", &mut out).unwrap();
        write_end(&mut out, b"{\"count\":1}");
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let answer = answer();
        let mut reader = RecordsReader::new(&*answer);
        let Received::Record(7, record) = reader.next().unwrap() else { panic!("a record") };
        assert_eq!((record.log(), record.control()), (3, Some(&b"{\"a\":1}"[..])));
        let Received::End(json) = reader.next().unwrap() else { panic!("the end") };
        assert_eq!(json, b"{\"count\":1}");
    }

    #[test]
    fn what_broke_off_or_is_nonsense_is_an_error_and_never_a_panic() {
        let answer = answer();
        for length in 0..answer.len() {
            let mut reader = RecordsReader::new(&answer[..length]);
            let mut parts = 0;
            let error = loop {
                match reader.next() {
                    Ok(_) => parts += 1,
                    Err(error) => break error,
                }
                assert!(parts < 2, "{length}");
            };
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
        for at in 0..answer.len() {
            let mut wrong = answer.clone();
            wrong[at] ^= 0xff;
            let mut reader = RecordsReader::new(&*wrong);
            while let Ok(Received::Record(..)) = reader.next() {}
        }
    }
}
