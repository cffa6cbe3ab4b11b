//! From the bytes of a file to its records.
//!
//! Understood, told by what the input begins with:
//! - one JSON value per line (NDJSON), the common case: a line is a record, whatever is wrong with it, so one bad line costs one
//!   record;
//! - JSON values one after another, on one line or over many;
//! - an array, whose elements are the records;
//! - an envelope: `{"Records":[…]}` of CloudTrail, an `EventList` of Kubernetes with its `items`; also several after another.
//!
//! Only brackets, quotes and line ends are looked at here; what a record is made of is for [`Adapter`](crate::Adapter). All of it
//! streams: memory is bounded by one record's limit, however large the array or envelope.

use std::io::{self, BufRead};
use std::ops::ControlFlow;

use indelible_format::json::{Kind, walk};
use indelible_format::limits;
use memchr::memmem;

use crate::stream::{Ended, Scanner, Window, space_length};

/// What reading may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of one record or line; what is longer is passed over and reported.
    pub record_bytes_max: usize,
}

impl Default for ReadLimits {
    /// 4 MiB, as much as one stored record.
    fn default() -> Self {
        Self { record_bytes_max: limits::RECORD_BYTES_MAX }
    }
}

/// One record as it stands in the input, without white space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSlice<'r> {
    /// Its bytes.
    pub bytes: &'r [u8],
    /// Line it begins on, from 1.
    pub line: u64,
    /// Offset of its first byte in the input.
    pub offset: u64,
}

/// A stretch of the input that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, byte {offset}: {kind}")]
pub struct RecordError {
    /// What is wrong.
    pub kind: RecordErrorKind,
    /// Line it begins on, from 1.
    pub line: u64,
    /// Offset of its first byte in the input.
    pub offset: u64,
}

/// What is wrong with a stretch of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordErrorKind {
    /// A record is longer than the limit; it was passed over.
    #[error("a record of more than {limit} bytes was passed over")]
    TooLong {
        /// How long it may be.
        limit: usize,
    },
    /// The input ends inside an array or envelope.
    #[error("the input ends inside an array of records")]
    Truncated,
    /// A closing bracket of the wrong kind between the elements of an array.
    #[error("a bracket that closes nothing, in an array of records")]
    StrayBracket,
}

/// What was in the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records handed out.
    pub records: u64,
    /// Errors handed out.
    pub errors: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Members of envelopes that are neither the records nor the envelope's own description, and are not imported. Those behind
    /// the records of one envelope count as one.
    pub envelope_members: u64,
}

/// Calls `with` for every record of `input`, in order, until it breaks.
///
/// # Errors
/// The input could not be read. What is wrong *in* it is handed to `with`, and reading goes on behind it.
///
/// # Cost
/// Copies the input once through a buffer of one record's length at most.
pub fn for_each_record(
    input: &mut dyn BufRead,
    limits: ReadLimits,
    with: &mut dyn FnMut(Result<RecordSlice<'_>, RecordError>) -> ControlFlow<()>,
) -> io::Result<Totals> {
    let limit = limits.record_bytes_max;
    let mut reader = Reader { window: Window::new(input), limit, with, totals: Totals::default(), broken_off: false };
    reader.run()?;
    Ok(Totals { bytes: reader.window.offset, ..reader.totals })
}

/// Envelopes show themselves this early or are none.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;
/// Where an audit event's first element must name its id, if nothing else said that the envelope is a list of them.
const FIRST_ELEMENT_BYTES: usize = 4096;

struct Reader<'r> {
    window: Window<'r>,
    limit: usize,
    with: &'r mut dyn FnMut(Result<RecordSlice<'_>, RecordError>) -> ControlFlow<()>,
    totals: Totals,
    broken_off: bool,
}

/// How the values stand in the input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Unknown,
    /// Arrays and envelopes, maybe more of them.
    Containers,
    /// One after another, wherever lines end.
    Values,
}

impl Reader<'_> {
    fn run(&mut self) -> io::Result<()> {
        let byte_order_mark = b"\xef\xbb\xbf";
        self.window.fill(byte_order_mark.len())?;
        if self.window.bytes().starts_with(byte_order_mark) {
            self.window.skip(byte_order_mark.len());
        }
        let mut layout = Layout::Unknown;
        while !self.broken_off {
            let Some(first) = self.window.skip_space()? else { return Ok(()) };
            match first {
                b'[' if layout != Layout::Values => {
                    layout = Layout::Containers;
                    self.window.skip(1);
                    self.elements()?;
                }
                b'{' if layout != Layout::Values && self.open_envelope()? => {
                    layout = Layout::Containers;
                    if self.elements()? {
                        self.close_envelope()?;
                    }
                }
                b'{' | b'[' => {
                    if layout == Layout::Unknown && self.is_one_per_line()? {
                        return self.lines();
                    }
                    if layout == Layout::Unknown {
                        layout = Layout::Values;
                    }
                    self.value(Scanner::of_lines())?;
                }
                _ if layout == Layout::Unknown => return self.lines(),
                _ => self.line()?,
            }
        }
        Ok(())
    }

    /// Whether the value that begins here ends with its line, or was meant to.
    fn is_one_per_line(&mut self) -> io::Result<bool> {
        let length = match self.window.line_length(self.limit)? {
            Ended::At(length) | Ended::AtEnd(length) => length,
            Ended::TooLong => {
                return Ok(!matches!(self.window.value_length(Scanner::of_lines(), self.limit)?, Ended::At(_)));
            }
        };
        self.window.fill(length + 2)?;
        let (line, behind) = self.window.bytes().split_at_checked(length).unwrap_or((self.window.bytes(), &[]));
        Ok(match Scanner::default().scan(line) {
            Some(end) => line.get(end..).is_some_and(|rest| space_length(rest) == rest.len()),
            // A value that goes on over lines does not have `{` at the left edge, unless a list is written like that.
            None => behind.starts_with(b"\n{") && !matches!(line.trim_ascii_end().last(), Some(b'[' | b',' | b':')),
        })
    }

    /// Every line that is not blank is a record.
    fn lines(&mut self) -> io::Result<()> {
        while !self.broken_off {
            if self.window.bytes().is_empty() && !self.window.more()? {
                return Ok(());
            }
            self.line()?;
        }
        Ok(())
    }

    /// The rest of this line, if not blank, is a record.
    fn line(&mut self) -> io::Result<()> {
        match self.window.line_length(self.limit)? {
            Ended::At(length) => {
                self.emit_trimmed(length);
                self.window.advance(length + 1, 1);
            }
            Ended::AtEnd(length) => {
                self.emit_trimmed(length);
                self.window.skip(length);
            }
            Ended::TooLong => {
                self.fail(RecordErrorKind::TooLong { limit: self.limit });
                self.window.skip_line()?;
            }
        }
        Ok(())
    }

    fn emit_trimmed(&mut self, length: usize) {
        let line = self.window.bytes().get(..length).unwrap_or_default();
        if line.len() > self.limit {
            self.fail(RecordErrorKind::TooLong { limit: self.limit });
            return;
        }
        let before = space_length(line);
        let record = line.trim_ascii();
        if !record.is_empty() {
            self.emit(before, record.len());
        }
    }

    /// The value that begins here is a record.
    fn value(&mut self, scanner: Scanner) -> io::Result<()> {
        match self.window.value_length(scanner, self.limit)? {
            Ended::At(length) | Ended::AtEnd(length) if length <= self.limit => {
                self.emit(0, length);
                self.window.skip(length);
            }
            _ => {
                self.fail(RecordErrorKind::TooLong { limit: self.limit });
                self.window.skip_value(scanner)?;
            }
        }
        Ok(())
    }

    /// Every value up to the array's end is a record; says whether the end was there.
    fn elements(&mut self) -> io::Result<bool> {
        while !self.broken_off {
            match self.window.skip_space()? {
                None => {
                    self.fail(RecordErrorKind::Truncated);
                    return Ok(false);
                }
                Some(b']') => {
                    self.window.skip(1);
                    return Ok(true);
                }
                Some(b',') => self.window.skip(1),
                Some(b'}') => {
                    self.fail(RecordErrorKind::StrayBracket);
                    self.window.skip(1);
                }
                Some(_) => self.element()?,
            }
        }
        Ok(false)
    }

    fn element(&mut self) -> io::Result<()> {
        match self.window.value_length(Scanner::default(), self.limit)? {
            Ended::At(length) if length <= self.limit => {
                self.emit(0, length);
                self.window.skip(length);
            }
            // The array's end is missing too, which is what will be reported.
            Ended::AtEnd(length) => self.window.skip(length),
            _ => {
                self.fail(RecordErrorKind::TooLong { limit: self.limit });
                self.window.skip_value(Scanner::default())?;
            }
        }
        Ok(())
    }

    /// Steps into the array of records if the object that begins here is an envelope.
    fn open_envelope(&mut self) -> io::Result<bool> {
        loop {
            match sniff(self.window.bytes()) {
                Sniffed::Envelope { records_at, others } => {
                    self.totals.envelope_members += others;
                    self.window.skip(records_at);
                    return Ok(true);
                }
                Sniffed::Cut if self.window.bytes().len() < ENVELOPE_BYTES_MAX && self.window.more()? => {}
                Sniffed::Cut | Sniffed::Other => return Ok(false),
            }
        }
    }

    /// Passes over what is behind the array of records.
    fn close_envelope(&mut self) -> io::Result<()> {
        if self.window.skip_space()? == Some(b',') {
            self.totals.envelope_members += 1;
        }
        if !self.window.skip_value(Scanner::inside(1))? {
            self.fail(RecordErrorKind::Truncated);
        }
        Ok(())
    }

    fn emit(&mut self, from: usize, length: usize) {
        let bytes = self.window.bytes().get(from..from + length).unwrap_or_default();
        let (line, offset) = (self.window.line, self.window.offset + from as u64);
        self.totals.records += 1;
        self.broken_off = (self.with)(Ok(RecordSlice { bytes, line, offset })).is_break();
    }

    fn fail(&mut self, kind: RecordErrorKind) {
        self.totals.errors += 1;
        let (line, offset) = (self.window.line, self.window.offset);
        self.broken_off |= (self.with)(Err(RecordError { kind, line, offset })).is_break();
    }
}

/// What the beginning of an object shows.
enum Sniffed {
    /// Its records begin at this offset; so many members are before them.
    Envelope {
        records_at: usize,
        others: u64,
    },
    Other,
    /// It goes on behind what is in memory.
    Cut,
}

/// Looks at the members of the object that begins `bytes` for an array of records.
fn sniff(bytes: &[u8]) -> Sniffed {
    let space = |at: usize| at + bytes.get(at..).map_or(0, space_length);
    let mut at = 1;
    let mut others = 0;
    let mut is_list = false;
    let mut is_first = true;
    loop {
        at = space(at);
        match bytes.get(at) {
            None => return Sniffed::Cut,
            Some(b'"') => {}
            Some(_) => return Sniffed::Other,
        }
        let Ok((key_end, _)) = walk::skip_value(bytes, at) else { return Sniffed::Cut };
        let key = bytes.get(at + 1..key_end - 1).unwrap_or_default();
        at = space(key_end);
        match bytes.get(at) {
            None => return Sniffed::Cut,
            Some(b':') => at = space(at + 1),
            Some(_) => return Sniffed::Other,
        }
        if bytes.get(at) == Some(&b'[') {
            let inside = bytes.get(at + 1..).unwrap_or_default();
            let ours = match key {
                b"Records" | b"records" => is_first,
                b"items" => is_list || memmem::find(beginning(inside), b"\"auditID\"").is_some(),
                _ => false,
            };
            if ours {
                return match inside.get(space_length(inside)) {
                    None => Sniffed::Cut,
                    Some(b'{' | b']') => Sniffed::Envelope { records_at: at + 1, others },
                    Some(_) => Sniffed::Other,
                };
            }
        }
        let value_end = match walk::skip_value(bytes, at) {
            Ok((end, Kind::String)) => {
                let value = bytes.get(at..end).unwrap_or_default();
                is_list |= key == b"kind" && value.ends_with(b"List\"");
                end
            }
            Ok((end, _)) => end,
            Err(_) => return Sniffed::Cut,
        };
        others += u64::from(!matches!(key, b"kind" | b"apiVersion" | b"metadata"));
        is_first = false;
        at = space(value_end);
        match bytes.get(at) {
            None => return Sniffed::Cut,
            Some(b',') => at += 1,
            Some(_) => return Sniffed::Other,
        }
    }
}

fn beginning(bytes: &[u8]) -> &[u8] {
    bytes.get(..FIRST_ELEMENT_BYTES).unwrap_or(bytes)
}
