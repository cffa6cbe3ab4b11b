//! Journal frames and file headers. Layout: docs/format/journal.md.
//!
//! A frame's *meta* (header and tables) is written and hashed here; the payload is the caller's, so that lane buffers reach the
//! disk without another copy.

use crate::hash::Hash;
use crate::leaf::Seed;
use crate::limits::{FRAME_BYTES_MAX, LOGS_MAX, NOTE_BYTES_MAX, SECTOR_BYTES};
use crate::reader::Reader;
use crate::sha256;

/// Bytes before a frame's tables.
pub const FRAME_HEADER_BYTES: usize = 112;
const LOG_ENTRY_BYTES: usize = 48;
const SEED_ENTRY_BYTES: usize = 48;
const FILE_FIXED_BYTES: usize = 104;
const FILE_HEADER_BYTES_MAX: usize = 1024 * 1024;
const FRAME_MAGIC: &[u8; 4] = b"IDF1";
const FILE_MAGIC: &[u8; 8] = b"IDLWAL\x00\x01";

/// The records repeat earlier ones; no tree changes.
pub const FLAG_CARRY: u32 = 1;
/// The writer drained and closed the journal.
pub const FLAG_CLOSE: u32 = 2;

/// Random id of a store.
pub type StoreId = [u8; 16];

/// What one frame does to one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogChange {
    /// Which log.
    pub log: u32,
    /// Records of it in this frame, ≥ 1.
    pub count: u32,
    /// Sequence number of the first.
    pub first_seq: u64,
    /// Root after this frame.
    pub root: Hash,
}

/// Seed of a group that this frame's records fall into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSeed {
    /// Which log.
    pub log: u32,
    /// `seq / 256`.
    pub group: u64,
    /// The seed.
    pub seed: Seed,
}

/// Everything of a frame but its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameMeta {
    /// Number of the frame.
    pub lsn: u64,
    /// Hash of the frame before.
    pub prev: Hash,
    /// When it was written, ns since 1970 UTC.
    pub written: i64,
    /// Whose journal.
    pub store: StoreId,
    /// [`FLAG_CARRY`], [`FLAG_CLOSE`].
    pub flags: u32,
    /// Records in the payload.
    pub records: u32,
    /// The logs it changes, ascending.
    pub logs: Vec<LogChange>,
    /// The seeds its records need, ascending.
    pub seeds: Vec<GroupSeed>,
    /// Signed checkpoints over earlier, durable states; log ascending.
    pub notes: Vec<(u32, String)>,
}

/// A frame's meta as bytes, ready to be written before its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// Bytes of the whole frame.
    pub frame_bytes: usize,
    /// Zero bytes to write behind the payload.
    pub padding: usize,
    /// Hash of the meta: the next frame's `prev`.
    pub hash: Hash,
}

impl FrameMeta {
    /// Writes the meta into `out` (cleared first) for a payload made of `parts`.
    ///
    /// # Errors
    /// `None` when the frame would be larger than [`FRAME_BYTES_MAX`].
    pub fn encode(&self, parts: &[&[u8]], out: &mut Vec<u8>) -> Option<Encoded> {
        let payload_bytes: usize = parts.iter().map(|part| part.len()).sum();
        let payload_crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        out.clear();
        out.resize(FRAME_HEADER_BYTES, 0);
        for change in &self.logs {
            out.extend_from_slice(&change.log.to_le_bytes());
            out.extend_from_slice(&change.count.to_le_bytes());
            out.extend_from_slice(&change.first_seq.to_le_bytes());
            out.extend_from_slice(&change.root.0);
        }
        for seed in &self.seeds {
            out.extend_from_slice(&seed.log.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&seed.group.to_le_bytes());
            out.extend_from_slice(&seed.seed.0);
        }
        for (log, note) in &self.notes {
            out.extend_from_slice(&log.to_le_bytes());
            out.extend_from_slice(&u32::try_from(note.len()).ok()?.to_le_bytes());
            out.extend_from_slice(note.as_bytes());
        }
        let meta_bytes = out.len();
        let frame_bytes = (meta_bytes + payload_bytes).next_multiple_of(SECTOR_BYTES);
        if frame_bytes > FRAME_BYTES_MAX {
            return None;
        }
        let word = |value: usize| u32::try_from(value).ok().map(u32::to_le_bytes);
        let mut header = [0u8; FRAME_HEADER_BYTES];
        header[0..4].copy_from_slice(FRAME_MAGIC);
        header[4..8].copy_from_slice(&word(frame_bytes)?);
        header[8..12].copy_from_slice(&word(meta_bytes)?);
        header[12..16].copy_from_slice(&word(payload_bytes)?);
        header[16..20].copy_from_slice(&payload_crc.to_le_bytes());
        header[24..32].copy_from_slice(&self.lsn.to_le_bytes());
        header[32..64].copy_from_slice(&self.prev.0);
        header[64..72].copy_from_slice(&self.written.to_le_bytes());
        header[72..88].copy_from_slice(&self.store);
        header[88..92].copy_from_slice(&word(self.logs.len())?);
        header[92..96].copy_from_slice(&word(self.seeds.len())?);
        header[96..100].copy_from_slice(&word(self.notes.len())?);
        header[100..104].copy_from_slice(&self.records.to_le_bytes());
        header[104..108].copy_from_slice(&self.flags.to_le_bytes());
        out.get_mut(..FRAME_HEADER_BYTES)?.copy_from_slice(&header);
        let crc = meta_crc(out)?;
        out.get_mut(20..24)?.copy_from_slice(&crc.to_le_bytes());
        Some(Encoded { frame_bytes, padding: frame_bytes - meta_bytes - payload_bytes, hash: sha256::sha256(out) })
    }
}

fn meta_crc(meta: &[u8]) -> Option<u32> {
    Some(crc32c::crc32c_append(crc32c::crc32c(meta.get(..20)?), meta.get(24..)?))
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Fewer bytes than the frame says it has.
    #[error("the frame is cut off")]
    Truncated,
    /// No frame begins here.
    #[error("no frame begins here")]
    Magic,
    /// A length contradicts another.
    #[error("the frame's lengths contradict each other")]
    Lengths,
    /// The checksum of the meta is wrong.
    #[error("the frame's meta fails its checksum")]
    MetaCrc,
    /// The checksum of the payload is wrong.
    #[error("the frame's payload fails its checksum")]
    PayloadCrc,
    /// The padding is not zero.
    #[error("the frame's padding is not zero")]
    Padding,
    /// A table is out of order or holds an impossible value.
    #[error("a table of the frame is malformed")]
    Tables,
}

/// The sizes of a frame, from its first 112 bytes; nothing is checked but that they fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSizes {
    /// Whole frame.
    pub frame: usize,
    /// Header and tables.
    pub meta: usize,
    /// Payload.
    pub payload: usize,
}

impl FrameSizes {
    /// Reads the sizes from a frame's header.
    ///
    /// # Errors
    /// `Truncated`, `Magic`, `Lengths`.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes.get(..FRAME_HEADER_BYTES).ok_or(FrameError::Truncated)?);
        if reader.array::<4>().as_ref() != Some(FRAME_MAGIC) {
            return Err(FrameError::Magic);
        }
        let mut length = || reader.length().ok_or(FrameError::Truncated);
        let sizes = Self { frame: length()?, meta: length()?, payload: length()? };
        let fits = sizes.meta >= FRAME_HEADER_BYTES
            && sizes.frame <= FRAME_BYTES_MAX
            && sizes.meta.checked_add(sizes.payload).map(|sum| sum.next_multiple_of(SECTOR_BYTES)) == Some(sizes.frame);
        if fits { Ok(sizes) } else { Err(FrameError::Lengths) }
    }
}

/// A frame read in place, its checksums verified.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// Header and tables.
    pub meta: FrameMeta,
    /// The records.
    pub payload: &'a [u8],
    /// Hash of the meta.
    pub hash: Hash,
    /// Bytes of the whole frame.
    pub frame_bytes: usize,
    /// Bytes before the payload.
    pub meta_bytes: usize,
}

impl<'a> Frame<'a> {
    /// Reads the frame at the front of `bytes` and checks both checksums.
    ///
    /// # Errors
    /// [`FrameError`]; memory is bounded by the length of the input.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let sizes = FrameSizes::parse(bytes)?;
        let bytes = bytes.get(..sizes.frame).ok_or(FrameError::Truncated)?;
        let meta = parse_meta(bytes.get(..sizes.meta).ok_or(FrameError::Lengths)?)?;
        let payload = bytes.get(sizes.meta..sizes.meta + sizes.payload).ok_or(FrameError::Lengths)?;
        if bytes.get(sizes.meta + sizes.payload..).unwrap_or_default().iter().any(|byte| *byte != 0) {
            return Err(FrameError::Padding);
        }
        let expected = Reader::new(bytes.get(16..20).unwrap_or_default()).u32();
        if expected != Some(crc32c::crc32c(payload)) {
            return Err(FrameError::PayloadCrc);
        }
        let hash = sha256::sha256(bytes.get(..sizes.meta).unwrap_or_default());
        Ok(Self { meta, payload, hash, frame_bytes: sizes.frame, meta_bytes: sizes.meta })
    }
}

/// Reads and checks the `meta_bytes` of a frame without its payload.
///
/// # Errors
/// [`FrameError`].
pub fn parse_meta(meta: &[u8]) -> Result<FrameMeta, FrameError> {
    let stored = meta.get(20..24).map(Reader::new).and_then(|mut reader| reader.u32());
    if stored.is_none() || stored != meta_crc(meta) {
        return Err(FrameError::MetaCrc);
    }
    read_tables(meta).ok_or(FrameError::Tables)
}

fn read_tables(meta: &[u8]) -> Option<FrameMeta> {
    let mut reader = Reader::new(meta.get(24..)?);
    let lsn = reader.u64()?;
    let prev = Hash(reader.array()?);
    let written = reader.i64()?;
    let store = reader.array()?;
    let (logs_n, seeds_n, notes_n) = (reader.length()?, reader.length()?, reader.length()?);
    let records = reader.u32()?;
    let flags = reader.u32()?;
    if flags & !(FLAG_CARRY | FLAG_CLOSE) != 0 || reader.u32()? != 0 {
        return None;
    }
    let rest = reader.rest().len();
    if logs_n > LOGS_MAX
        || logs_n.checked_mul(LOG_ENTRY_BYTES)? > rest
        || seeds_n.checked_mul(SEED_ENTRY_BYTES)? > rest
        || notes_n > LOGS_MAX
    {
        return None;
    }
    let mut logs: Vec<LogChange> = Vec::with_capacity(logs_n);
    for _ in 0..logs_n {
        let change =
            LogChange { log: reader.u32()?, count: reader.u32()?, first_seq: reader.u64()?, root: Hash(reader.array()?) };
        if change.count == 0 || logs.last().is_some_and(|last| last.log >= change.log) {
            return None;
        }
        logs.push(change);
    }
    let mut seeds: Vec<GroupSeed> = Vec::with_capacity(seeds_n);
    for _ in 0..seeds_n {
        let log = reader.u32()?;
        if reader.u32()? != 0 {
            return None;
        }
        let seed = GroupSeed { log, group: reader.u64()?, seed: Seed(reader.array()?) };
        if seeds.last().is_some_and(|last| (last.log, last.group) >= (seed.log, seed.group)) {
            return None;
        }
        seeds.push(seed);
    }
    let mut notes: Vec<(u32, String)> = Vec::with_capacity(notes_n.min(64));
    for _ in 0..notes_n {
        let (log, length) = (reader.u32()?, reader.length()?);
        if length > NOTE_BYTES_MAX || notes.last().is_some_and(|(last, _)| *last >= log) {
            return None;
        }
        notes.push((log, std::str::from_utf8(reader.take(length)?).ok()?.to_owned()));
    }
    reader.rest().is_empty().then_some(FrameMeta { lsn, prev, written, store, flags, records, logs, seeds, notes })
}

/// State of one log before a file's first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Which log.
    pub log: u32,
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Header of a journal file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// Equals the number in the file's name.
    pub number: u64,
    /// Whose journal.
    pub store: StoreId,
    /// Lsn of the first frame.
    pub first_lsn: u64,
    /// Hash of the frame before it.
    pub prev: Hash,
    /// When it was put to use, ns since 1970 UTC.
    pub created: i64,
    /// State of the logs before the first frame, log ascending.
    pub logs: Vec<LogState>,
}

impl FileHeader {
    /// Appends the header, padded to whole sectors.
    ///
    /// # Errors
    /// `None` when there are too many logs.
    pub fn encode(&self, out: &mut Vec<u8>) -> Option<usize> {
        let used = FILE_FIXED_BYTES + self.logs.len() * LOG_ENTRY_BYTES;
        let header_bytes = used.next_multiple_of(SECTOR_BYTES);
        if header_bytes > FILE_HEADER_BYTES_MAX {
            return None;
        }
        let mut header = Vec::with_capacity(header_bytes);
        header.extend_from_slice(FILE_MAGIC);
        header.extend_from_slice(&u32::try_from(header_bytes).ok()?.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&self.number.to_le_bytes());
        header.extend_from_slice(&self.store);
        header.extend_from_slice(&self.first_lsn.to_le_bytes());
        header.extend_from_slice(&self.prev.0);
        header.extend_from_slice(&self.created.to_le_bytes());
        header.extend_from_slice(&u32::try_from(self.logs.len()).ok()?.to_le_bytes());
        header.extend_from_slice(&[0; 12]);
        for state in &self.logs {
            header.extend_from_slice(&state.log.to_le_bytes());
            header.extend_from_slice(&[0; 4]);
            header.extend_from_slice(&state.size.to_le_bytes());
            header.extend_from_slice(&state.root.0);
        }
        let crc = file_crc(&header)?;
        header.get_mut(12..16)?.copy_from_slice(&crc.to_le_bytes());
        header.resize(header_bytes, 0);
        out.extend_from_slice(&header);
        Some(header_bytes)
    }

    /// How many bytes the header at the front of `bytes` (≥ 16 of them) has; `None`: not a header.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<usize> {
        let mut reader = Reader::new(bytes);
        if reader.array::<8>().as_ref() != Some(FILE_MAGIC) {
            return None;
        }
        let length = reader.length()?;
        (length.is_multiple_of(SECTOR_BYTES) && (SECTOR_BYTES..=FILE_HEADER_BYTES_MAX).contains(&length)).then_some(length)
    }

    /// Reads the header at the front of `bytes`; also says how long it is.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let header_bytes = Self::peek(bytes)?;
        let bytes = bytes.get(..header_bytes)?;
        let mut reader = Reader::new(bytes.get(12..)?);
        let crc = reader.u32()?;
        let mut header = Self {
            number: reader.u64()?,
            store: reader.array()?,
            first_lsn: reader.u64()?,
            prev: Hash(reader.array()?),
            created: reader.i64()?,
            logs: Vec::new(),
        };
        let logs_n = reader.length()?;
        reader.take(12)?;
        let used = FILE_FIXED_BYTES.checked_add(logs_n.checked_mul(LOG_ENTRY_BYTES)?)?;
        if used > header_bytes || file_crc(bytes.get(..used)?)? != crc {
            return None;
        }
        for _ in 0..logs_n {
            let log = reader.u32()?;
            reader.u32()?;
            let state = LogState { log, size: reader.u64()?, root: Hash(reader.array()?) };
            if header.logs.last().is_some_and(|last| last.log >= log) {
                return None;
            }
            header.logs.push(state);
        }
        Some((header, header_bytes))
    }
}

fn file_crc(used: &[u8]) -> Option<u32> {
    Some(crc32c::crc32c_append(crc32c::crc32c(used.get(..12)?), used.get(16..)?))
}

/// How far the journal is durable: what the writer tells readers while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whose journal.
    pub store: StoreId,
    /// Number of the file that holds the last durable frame.
    pub file: u64,
    /// End of that frame in its file.
    pub end: u64,
    /// Lsn of the next frame.
    pub next_lsn: u64,
}

impl Status {
    /// Bytes of the status file.
    pub const BYTES: usize = 64;
    const MAGIC: &'static [u8; 8] = b"IDLSTAT1";

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..8].copy_from_slice(Self::MAGIC);
        bytes[8..24].copy_from_slice(&self.store);
        bytes[24..32].copy_from_slice(&self.file.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.end.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.next_lsn.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// From bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let mut reader = Reader::new(bytes);
        if &reader.array::<8>()? != Self::MAGIC {
            return None;
        }
        let status = Self { store: reader.array()?, file: reader.u64()?, end: reader.u64()?, next_lsn: reader.u64()? };
        reader.take(12)?;
        (reader.u32()? == crc32c::crc32c(&bytes[..60])).then_some(status)
    }
}
