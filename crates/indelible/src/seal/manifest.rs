//! `manifest`: which segments there are, and where the journal goes on behind them. Bytes: docs/format/store.md.
//!
//! Replaced as a whole, by the one who holds the writer's lock. Until a new manifest is durable the old one counts, with the files that
//! it names; what no manifest names is nobody's, and goes at the next opening.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::json::{self, Document, Node};
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::{Hash, Head, Record};

use crate::error::{Error, ErrorKind, Result};
use crate::identity::Identity;
use crate::json_object::Object;
use crate::world::World;

/// Of a manifest without expired beginnings; with them it is [`FORMAT_EXPIRED`], so that a reader that does not know of them says so.
const FORMAT: u64 = 1;
const FORMAT_EXPIRED: u64 = 2;

/// Where the journal begins: everything before it is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// Number of the first journal file that is still needed.
    pub(crate) file: u64,
    /// Number of its first frame.
    pub(crate) lsn: u64,
    /// Hash of the frame before that one.
    pub(crate) prev: Hash,
}

impl Start {
    /// Of a store that never sealed anything.
    pub(crate) const GENESIS: Self = Self { file: 1, lsn: 0, prev: Hash::ZERO };
}

/// One sealed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its log.
    pub log: u32,
    /// Position of its first row.
    pub first_seq: u64,
    /// Number of its rows.
    pub count: u64,
    /// Name of its file in `segments/`.
    pub file: String,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub digest: Hash,
    /// Bytes that its records took in the journal.
    pub journal_bytes: u64,
    /// Rows whose caller gave an idempotency key.
    pub keyed: u64,
    /// Times of its first and last event, by time, ns since 1970 UTC; `None`: it has no events.
    pub time: Option<(i64, i64)>,
    /// The same of the times of admission.
    pub received: Option<(i64, i64)>,
}

impl SegmentInfo {
    /// A segment that has no rows yet, as the manifest of `generation` will name it first.
    pub(crate) fn begin(log: u32, first_seq: u64, generation: u64) -> Self {
        let file = super::files::segment_name(log, first_seq, generation);
        let (time, received, digest) = (None, None, Hash::ZERO);
        Self { log, first_seq, count: 0, file, bytes: 0, digest, journal_bytes: 0, keyed: 0, time, received }
    }

    /// The position behind its last row.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.first_seq.saturating_add(self.count)
    }

    /// Takes in what is said of the next row.
    pub(crate) fn add(&mut self, record: &Record<'_>, head: Option<&Head<'_>>) {
        self.count += 1;
        self.journal_bytes += record.bytes().len() as u64;
        self.keyed += u64::from(record.idempotency().is_some());
        if let Some(head) = head {
            widen(&mut self.time, head.time);
            widen(&mut self.received, head.received);
        }
    }
}

/// The beginning of a log, whose events have expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredInfo {
    /// Its log.
    pub log: u32,
    /// The first position that has not expired; a multiple of 256.
    pub below: u64,
    /// Position in log 0 of the entry that says so.
    pub entry: u64,
    /// Name of the file in `segments/` that holds what stays.
    pub file: String,
    /// SHA-256 of that file.
    pub digest: Hash,
}

/// What is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Grows by one with every change.
    pub(crate) generation: u64,
    pub(crate) start: Start,
    /// By log and position. Those of one log follow each other without a gap, but for groups that have expired.
    pub(crate) segments: Vec<SegmentInfo>,
    /// By log.
    pub(crate) expired: Vec<ExpiredInfo>,
}

pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("manifest")
}

impl Manifest {
    /// Of a store that never sealed anything.
    pub(crate) const fn empty() -> Self {
        Self { generation: 0, start: Start::GENESIS, segments: Vec::new(), expired: Vec::new() }
    }

    /// Segments of one log, in order.
    pub(crate) fn of(&self, log: u32) -> &[SegmentInfo] {
        let from = self.segments.partition_point(|segment| segment.log < log);
        let to = self.segments.partition_point(|segment| segment.log <= log);
        self.segments.get(from..to).unwrap_or_default()
    }

    /// How many positions of a log are sealed.
    pub(crate) fn sealed(&self, log: u32) -> u64 {
        self.of(log).last().map_or(0, SegmentInfo::end).max(self.below(log))
    }

    /// The expired beginning of a log.
    pub(crate) fn expired(&self, log: u32) -> Option<&ExpiredInfo> {
        self.expired.iter().find(|expired| expired.log == log)
    }

    /// The first position of a log that has not expired.
    pub(crate) fn below(&self, log: u32) -> u64 {
        self.expired(log).map_or(0, |expired| expired.below)
    }

    /// Segments of a log whose rows have not expired, in order.
    pub(crate) fn whole(&self, log: u32) -> &[SegmentInfo] {
        let (segments, below) = (self.of(log), self.below(log));
        segments.get(segments.partition_point(|segment| segment.first_seq < below)..).unwrap_or_default()
    }

    /// The segment that holds a position.
    pub(crate) fn find(&self, log: u32, seq: u64) -> Option<&SegmentInfo> {
        let segments = self.of(log);
        let at = segments.partition_point(|segment| segment.end() <= seq);
        segments.get(at).filter(|segment| segment.first_seq <= seq)
    }

    /// Logs of which something is sealed.
    pub(crate) fn logs(&self) -> Vec<u32> {
        let segments = self.segments.iter().map(|segment| segment.log);
        let mut logs: Vec<u32> = segments.chain(self.expired.iter().map(|expired| expired.log)).collect();
        logs.sort_unstable();
        logs.dedup();
        logs
    }

    /// The bytes of the manifest on disk; `None`: there is none.
    pub(crate) fn bytes(world: &World, dir: &Path) -> Result<Option<Vec<u8>>> {
        match world.read_file(&path(dir)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("could not read the manifest", error)),
        }
    }

    /// The manifest on disk; empty if there is none.
    pub(crate) fn read(world: &World, dir: &Path, identity: &Identity) -> Result<Self> {
        match Self::bytes(world, dir)? {
            Some(bytes) => Self::from_json(&bytes, identity),
            None => Ok(Self::empty()),
        }
    }

    /// Makes this the store's manifest; durable when it returns.
    ///
    /// # Errors
    /// `Mismatch`: the manifest on disk is not of the generation before this one.
    pub(crate) fn replace(&self, world: &World, dir: &Path, identity: &Identity) -> Result<()> {
        let known = Self::read(world, dir, identity)?.generation;
        if known.checked_add(1) != Some(self.generation) {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("the manifest on disk is of generation {known}, {} was to follow it", self.generation),
            )
            .with_hint("something else changed the data directory: close the store, and run `indelible verify`"));
        }
        self.write(world, dir, identity)
    }

    /// Writes this manifest anew; durable when it returns.
    pub(crate) fn write(&self, world: &World, dir: &Path, identity: &Identity) -> Result<()> {
        world.replace_file(&path(dir), &self.to_json(identity)).map_err(|error| Error::io("could not write the manifest", error))
    }

    pub(crate) fn to_json(&self, identity: &Identity) -> Vec<u8> {
        let range = |range: Option<(i64, i64)>| range.map_or_else(|| "null".into(), |(from, to)| format!("[{from},{to}]"));
        let mut out = Object::new();
        if !self.expired.is_empty() {
            let list = out.key("expired");
            list.push(b'[');
            for (nth, expired) in self.expired.iter().enumerate() {
                if nth > 0 {
                    list.push(b',');
                }
                let object = Object::new()
                    .number("below", expired.below)
                    .number("entry", expired.entry)
                    .text("file", &expired.file)
                    .number("log", u64::from(expired.log))
                    .text("sha256", &STANDARD.encode(expired.digest.0));
                list.extend_from_slice(&object.finish());
            }
            list.push(b']');
        }
        let format = if self.expired.is_empty() { FORMAT } else { FORMAT_EXPIRED };
        out = out.number("format", format).number("generation", self.generation);
        let start = Object::new()
            .number("file", self.start.file)
            .number("lsn", self.start.lsn)
            .text("prev", &STANDARD.encode(self.start.prev.0));
        out.key("journal").extend_from_slice(&start.finish());
        let list = out.key("segments");
        list.push(b'[');
        for (nth, segment) in self.segments.iter().enumerate() {
            if nth > 0 {
                list.push(b',');
            }
            let mut object = Object::new()
                .number("bytes", segment.bytes)
                .number("count", segment.count)
                .text("file", &segment.file)
                .number("first", segment.first_seq)
                .number("journal_bytes", segment.journal_bytes)
                .number("keyed", segment.keyed)
                .number("log", u64::from(segment.log));
            object.key("received").extend_from_slice(range(segment.received).as_bytes());
            object = object.text("sha256", &STANDARD.encode(segment.digest.0));
            object.key("time").extend_from_slice(range(segment.time).as_bytes());
            list.extend_from_slice(&object.finish());
        }
        list.push(b']');
        out.text("store", &identity.store_hex()).finish()
    }

    /// Reads a manifest. Segments must be in order, without gaps within a log, and named as this version names them.
    pub(crate) fn from_json(bytes: &[u8], identity: &Identity) -> Result<Self> {
        let corrupt = |what: &str| {
            Error::new(ErrorKind::Corrupt, format!("the manifest {what}"))
                .with_hint("run `indelible verify`; keep the directory as evidence and restore a backup")
        };
        let mut document = Document::new();
        let limits = json::Limits { bytes_max: 16 << 20, depth_max: 8, nodes_max: 4_000_000 };
        let root = document.parse(bytes, &limits).map_err(|error| corrupt(&format!("is not JSON: {error}")))?;
        match number(&root, "format") {
            Some(FORMAT | FORMAT_EXPIRED) => {}
            Some(later) if later > FORMAT_EXPIRED => {
                return Err(Error::new(ErrorKind::Unsupported, format!("the manifest is of version {later}"))
                    .with_hint("use a newer version of indelible"));
            }
            _ => return Err(corrupt("names no format")),
        }
        if root.get("store").and_then(|node| node.as_str()).as_deref() != Some(&identity.store_hex()) {
            return Err(corrupt("is of another store"));
        }
        let journal = root.get("journal").ok_or_else(|| corrupt("does not say where the journal begins"))?;
        let start = start(&journal).ok_or_else(|| corrupt("does not say where the journal begins"))?;
        let list = root.get("segments").ok_or_else(|| corrupt("lists no segments"))?;
        let segments: Option<Vec<SegmentInfo>> = list.elements().map(|node| segment(&node)).collect();
        let segments = segments.ok_or_else(|| corrupt("describes a segment that cannot be"))?;
        let expired: Option<Vec<ExpiredInfo>> =
            root.get("expired").map_or_else(|| Some(Vec::new()), |list| list.elements().map(|node| expired(&node)).collect());
        let expired = expired.ok_or_else(|| corrupt("describes an expired beginning that cannot be"))?;
        if expired.iter().zip(expired.iter().skip(1)).any(|(one, next)| one.log >= next.log) {
            return Err(corrupt("names the expired beginning of a log twice"));
        }
        if (number(&root, "format") == Some(FORMAT_EXPIRED)) == expired.is_empty() {
            return Err(corrupt("is of another format than what it says about expired beginnings"));
        }
        let generation = number(&root, "generation").ok_or_else(|| corrupt("names no generation"))?;
        let manifest = Self { generation, start, segments, expired };
        for (one, next) in manifest.segments.iter().zip(manifest.segments.iter().skip(1)) {
            let below = manifest.below(next.log);
            let follows = one.end() == next.first_seq || (one.end() < next.first_seq && next.first_seq <= below);
            if one.log > next.log || (one.log == next.log && !follows) {
                return Err(corrupt(&format!("leaves out positions of log {}, behind {}", one.log, one.end())));
            }
        }
        for segment in &manifest.segments {
            let below = manifest.below(segment.log);
            let sparse = segment.first_seq < below;
            let groups = segment.first_seq.is_multiple_of(GROUP_LEAVES) && segment.end().is_multiple_of(GROUP_LEAVES);
            if sparse && !(groups && segment.end() <= below) {
                return Err(corrupt(&format!("keeps part of what has expired of log {}, at {}", segment.log, segment.first_seq)));
            }
        }
        Ok(manifest)
    }
}

fn widen(range: &mut Option<(i64, i64)>, at: i64) {
    *range = Some(range.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
}

fn number(node: &Node<'_, '_>, key: &str) -> Option<u64> {
    node.get(key)?.as_u64()
}

fn start(node: &Node<'_, '_>) -> Option<Start> {
    let prev = Hash::from_slice(&STANDARD.decode(node.get("prev")?.as_str()?.as_bytes()).ok()?)?;
    Some(Start { file: number(node, "file")?, lsn: number(node, "lsn")?, prev })
}

fn expired(node: &Node<'_, '_>) -> Option<ExpiredInfo> {
    let info = ExpiredInfo {
        log: u32::try_from(number(node, "log")?).ok()?,
        below: number(node, "below")?,
        entry: number(node, "entry")?,
        file: node.get("file")?.as_str()?.into_owned(),
        digest: Hash::from_slice(&STANDARD.decode(node.get("sha256")?.as_str()?.as_bytes()).ok()?)?,
    };
    let named = super::files::is_expired(&info.file) && is_of(&info.file, info.log, info.below);
    (named && info.below > 0 && info.below.is_multiple_of(GROUP_LEAVES)).then_some(info)
}

fn segment(node: &Node<'_, '_>) -> Option<SegmentInfo> {
    let range = |key: &str| -> Option<Option<(i64, i64)>> {
        let node = node.get(key)?;
        if node.is_null() {
            return Some(None);
        }
        let mut ends = node.elements().map(|end| end.as_i64());
        Some(Some((ends.next()??, ends.next()??)))
    };
    let file = node.get("file")?.as_str()?.into_owned();
    super::files::is_segment(&file).then_some(())?;
    let info = SegmentInfo {
        log: u32::try_from(number(node, "log")?).ok()?,
        first_seq: number(node, "first")?,
        count: number(node, "count")?,
        file,
        bytes: number(node, "bytes")?,
        digest: Hash::from_slice(&STANDARD.decode(node.get("sha256")?.as_str()?.as_bytes()).ok()?)?,
        journal_bytes: number(node, "journal_bytes")?,
        keyed: number(node, "keyed")?,
        time: range("time")?,
        received: range("received")?,
    };
    let named = is_of(&info.file, info.log, info.first_seq);
    (named && info.count > 0 && info.first_seq.checked_add(info.count).is_some()).then_some(info)
}

/// Whether a file's name tells this log and position: whoever lists the folder goes by it.
fn is_of(file: &str, log: u32, position: u64) -> bool {
    file.starts_with(&format!("{log}-{position:012}-"))
}
