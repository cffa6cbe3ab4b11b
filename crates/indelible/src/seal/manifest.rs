//! `manifest`: which segments there are, and where the journal goes on behind them. Bytes: docs/format/store.md.
//!
//! Replaced as a whole, by the one who holds the writer's lock. Until a new manifest is durable the old one counts, with the files that
//! it names; what no manifest names is nobody's, and goes at the next opening.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::json::{self, Document, Node};
use indelible_format::{Hash, Head, Record};

use crate::error::{Error, ErrorKind, Result};
use crate::identity::Identity;
use crate::json_object::Object;
use crate::world::World;

const FORMAT: u64 = 1;

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

/// What is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Grows by one with every change.
    pub(crate) generation: u64,
    pub(crate) start: Start,
    /// By log and position; those of one log follow each other without a gap.
    pub(crate) segments: Vec<SegmentInfo>,
}

pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("manifest")
}

impl Manifest {
    /// Of a store that never sealed anything.
    pub(crate) const fn empty() -> Self {
        Self { generation: 0, start: Start::GENESIS, segments: Vec::new() }
    }

    /// Segments of one log, in order.
    pub(crate) fn of(&self, log: u32) -> &[SegmentInfo] {
        let from = self.segments.partition_point(|segment| segment.log < log);
        let to = self.segments.partition_point(|segment| segment.log <= log);
        self.segments.get(from..to).unwrap_or_default()
    }

    /// How many positions of a log are sealed.
    pub(crate) fn sealed(&self, log: u32) -> u64 {
        self.of(log).last().map_or(0, SegmentInfo::end)
    }

    /// The segment that holds a position.
    pub(crate) fn find(&self, log: u32, seq: u64) -> Option<&SegmentInfo> {
        let segments = self.of(log);
        let at = segments.partition_point(|segment| segment.end() <= seq);
        segments.get(at).filter(|segment| segment.first_seq <= seq)
    }

    /// Logs that have segments.
    pub(crate) fn logs(&self) -> Vec<u32> {
        let mut logs: Vec<u32> = self.segments.iter().map(|segment| segment.log).collect();
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
        let mut out = Object::new().number("format", FORMAT).number("generation", self.generation);
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
            Some(FORMAT) => {}
            Some(later) if later > FORMAT => {
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
        for (one, next) in segments.iter().zip(segments.iter().skip(1)) {
            if one.log > next.log || (one.log == next.log && one.end() != next.first_seq) {
                return Err(corrupt(&format!("leaves out positions of log {}, behind {}", one.log, one.end())));
            }
        }
        let generation = number(&root, "generation").ok_or_else(|| corrupt("names no generation"))?;
        Ok(Self { generation, start, segments })
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
    (info.count > 0 && info.first_seq.checked_add(info.count).is_some()).then_some(info)
}
