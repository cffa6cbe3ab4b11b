//! The attacker's toolkit: a data directory taken apart into frames and records, to be changed and written out again.
//!
//! What is written is as consistent as an attacker can make it: sequence numbers, seeds, leaves, roots, `heads` entries, checksums,
//! the chain of frames and file headers are computed anew on demand; signatures only with a key. The private key, the lock and
//! caches of idempotency keys are never written: the copies are for verifying.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use indelible::format::checkpoint::{Checkpoint, SignedCheckpoint};
use indelible::format::frame::{FLAG_CARRY, FileHeader, Frame, FrameMeta, GroupSeed, LogChange, LogState, Status};
use indelible::format::leaf::{self, Salts, Seed};
use indelible::format::limits::{FRAME_BYTES_MAX, GROUP_LEAVES};
use indelible::format::merkle::{Frontier, empty_root};
use indelible::format::note::SigningKey;
use indelible::format::record::{Kind, Records};
use indelible::json::{Document, Limits};
use indelible::{Hash, Identity, Record};

use super::record::{Parts, control};
use crate::failure::{Failure, Result};

/// Zero bytes behind the last frame of a file, as files made ahead of use have.
const SPARE_BYTES: usize = 8_192;

/// One frame taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    pub(crate) meta: FrameMeta,
    pub(crate) records: Vec<Vec<u8>>,
}

/// Where a position stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) sheet: usize,
    pub(crate) nth: usize,
    pub(crate) log: u32,
    pub(crate) seq: u64,
}

/// Size and root of each log behind a frame.
type Heads = BTreeMap<u32, (u64, Hash)>;

/// A data directory in memory.
#[derive(Debug, Clone)]
pub(crate) struct Forgery {
    pub(crate) identity: Identity,
    /// `store.json`.
    pub(crate) identity_json: Vec<u8>,
    pub(crate) sheets: Vec<Sheet>,
    /// The sheets that a new journal file begins with; the first is 0.
    pub(crate) files: Vec<usize>,
    /// `checkpoint/<log>`.
    pub(crate) checkpoints: BTreeMap<u32, Vec<u8>>,
    pub(crate) seeds: BTreeMap<(u32, u64), Seed>,
    /// Behind which sheet a log first had this size, when it was read.
    known: BTreeMap<(u32, u64), usize>,
    /// Whether `heads` entries follow what becomes of the heads.
    pub(crate) restates: bool,
    created: i64,
}

/// Where a written frame stands.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    /// From the frame's front.
    pub(crate) payload: usize,
    pub(crate) payload_bytes: usize,
}

/// Where everything was written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    pub(crate) frames: Vec<Place>,
    pub(crate) files: Vec<PathBuf>,
}

impl Forgery {
    /// Takes the store in `dir` apart, up to about `bytes_max` of journal. Returns it and whether it is all of it.
    pub(crate) fn read(dir: &Path, identity: &Identity, bytes_max: usize) -> Result<(Self, bool)> {
        let read_file = |path: PathBuf| fs::read(&path).map_err(|error| Failure::file("read", &path, &error));
        let mut forgery = Self {
            identity: identity.clone(),
            identity_json: read_file(dir.join("store.json"))?,
            sheets: Vec::new(),
            files: vec![0],
            checkpoints: BTreeMap::new(),
            seeds: BTreeMap::new(),
            known: BTreeMap::new(),
            restates: true,
            created: identity.created,
        };
        // Checkpoints first: somebody may be writing, and what is signed now is in the journal when that is read.
        for log in &identity.logs {
            let path = dir.join("checkpoint").join(log.id.to_string());
            if path.exists() {
                forgery.checkpoints.insert(log.id, read_file(path)?);
            }
        }
        let whole = forgery.read_journal(&dir.join("journal"), bytes_max)?;
        if !whole {
            forgery.checkpoints = forgery.notes_before(forgery.sheets.len());
        }
        for (nth, heads) in forgery.heads().into_iter().enumerate() {
            for (log, (size, _)) in heads {
                forgery.known.entry((log, size)).or_insert(nth);
            }
        }
        Ok((forgery, whole))
    }

    fn read_journal(&mut self, journal: &Path, bytes_max: usize) -> Result<bool> {
        let failed = |error| Failure::file("read", journal, &error);
        let mut paths: Vec<PathBuf> = fs::read_dir(journal)
            .map_err(failed)?
            .filter_map(|entry| {
                Some(entry.ok()?.path()).filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
            })
            .collect();
        paths.sort();
        let mut room = bytes_max;
        for path in paths {
            let mut bytes = Vec::new();
            let limit = (room + FRAME_BYTES_MAX) as u64;
            fs::File::open(&path).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
            let Some((header, header_bytes)) =
                FileHeader::parse(&bytes).filter(|(header, _)| header.store == self.identity.store)
            else {
                continue;
            };
            if header.first_lsn != self.sheets.len() as u64 {
                break;
            }
            let first = self.sheets.len();
            self.created = header.created;
            let mut rest = bytes.get(header_bytes..).unwrap_or_default();
            while let Ok(frame) = Frame::parse(rest)
                && frame.meta.lsn == self.sheets.len() as u64
                && frame.meta.store == self.identity.store
            {
                if frame.frame_bytes > room {
                    return Ok(false);
                }
                if first > 0 && self.sheets.len() == first {
                    self.files.push(first);
                }
                room -= frame.frame_bytes;
                rest = rest.get(frame.frame_bytes..).unwrap_or_default();
                for seed in &frame.meta.seeds {
                    self.seeds.insert((seed.log, seed.group), seed.seed.clone());
                }
                let records = Records::new(frame.payload).map(|record| record.bytes().to_vec()).collect();
                self.sheets.push(Sheet { meta: frame.meta, records });
            }
        }
        Ok(true)
    }

    /// The newest note of each log in the sheets before `end`.
    pub(crate) fn notes_before(&self, end: usize) -> BTreeMap<u32, Vec<u8>> {
        let notes = self.sheets.iter().take(end).flat_map(|sheet| &sheet.meta.notes);
        notes.map(|(log, note)| (*log, note.as_bytes().to_vec())).collect()
    }

    /// Sizes and roots behind each sheet, as the frames state them.
    pub(crate) fn heads(&self) -> Vec<Heads> {
        let mut heads = Heads::new();
        let behind = |sheet: &Sheet| {
            if sheet.meta.flags & FLAG_CARRY == 0 {
                for change in &sheet.meta.logs {
                    heads.insert(change.log, (change.first_seq + u64::from(change.count), change.root));
                }
            }
            heads.clone()
        };
        self.sheets.iter().map(behind).collect()
    }

    /// Size of a log behind the last sheet.
    pub(crate) fn size(&self, log: u32) -> u64 {
        self.heads().last().and_then(|heads| heads.get(&log)).map_or(0, |(size, _)| *size)
    }

    /// How much of a log its newest checkpoint covers.
    pub(crate) fn signed(&self, log: u32) -> u64 {
        self.checkpoints
            .get(&log)
            .and_then(|note| SignedCheckpoint::parse(note).ok())
            .map_or(0, |signed| signed.unverified().size)
    }

    /// Every position in journal order.
    pub(crate) fn spots(&self) -> Vec<Spot> {
        let mut spots = Vec::new();
        for (sheet, frame) in self.sheets.iter().enumerate().filter(|(_, frame)| frame.meta.flags & FLAG_CARRY == 0) {
            let mut next: BTreeMap<u32, u64> = frame.meta.logs.iter().map(|change| (change.log, change.first_seq)).collect();
            for (nth, bytes) in frame.records.iter().enumerate() {
                let Some(record) = Record::parse(bytes) else { continue };
                if let Some(seq) = next.get_mut(&record.log()) {
                    spots.push(Spot { sheet, nth, log: record.log(), seq: *seq });
                    *seq += 1;
                }
            }
        }
        spots
    }

    pub(crate) fn record(&self, spot: Spot) -> Option<&Vec<u8>> {
        self.sheets.get(spot.sheet)?.records.get(spot.nth)
    }

    pub(crate) fn record_mut(&mut self, spot: Spot) -> Option<&mut Vec<u8>> {
        self.sheets.get_mut(spot.sheet)?.records.get_mut(spot.nth)
    }

    /// Changes one event; spans follow its values.
    pub(crate) fn edit(&mut self, spot: Spot, change: impl FnOnce(&mut Parts) -> Option<()>) -> Option<()> {
        let mut parts = Parts::of(self.record(spot)?)?;
        change(&mut parts)?;
        *self.record_mut(spot)? = parts.encode()?;
        Some(())
    }

    pub(crate) fn leaf_at(&self, spot: Spot) -> Option<Hash> {
        let record = Record::parse(self.record(spot)?)?;
        Some(leaf::leaf(&record, spot.seq, &mut Salts::new(self.seed_of(spot.log, spot.seq))))
    }

    pub(crate) fn seed_of(&self, log: u32, seq: u64) -> Seed {
        seed_in(&self.seeds, (log, seq / GROUP_LEAVES))
    }

    /// Gives every event the tenant number that is due.
    pub(crate) fn renumber_tenants(&mut self) -> Option<()> {
        let mut next: BTreeMap<(u32, String), u64> = BTreeMap::new();
        for bytes in self.sheets.iter_mut().flat_map(|sheet| &mut sheet.records) {
            let Some(head) = Record::parse(bytes).and_then(|record| record.head()) else { continue };
            let number = next.entry((Record::parse(bytes)?.log(), head.tenant.to_owned())).or_default();
            if head.tenant_seq != *number {
                let mut parts = Parts::of(bytes)?;
                parts.set_tenant_seq(*number)?;
                *bytes = parts.encode()?;
            }
            *number += 1;
        }
        Some(())
    }

    /// Computes positions, seeds, leaves, roots and `heads` entries anew from the values.
    pub(crate) fn recompute(&mut self) -> Option<()> {
        let mut frontiers: BTreeMap<u32, Frontier> = BTreeMap::new();
        let mut behind: Vec<Heads> = Vec::new();
        let mut now = Heads::new();
        let (seeds, known) = (&self.seeds, &self.known);
        let mut salts = SaltCache::default();
        for sheet in &mut self.sheets {
            if sheet.meta.flags & FLAG_CARRY != 0 {
                behind.push(now.clone());
                continue;
            }
            let mut changes: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
            let mut groups: BTreeSet<(u32, u64)> = BTreeSet::new();
            for bytes in &mut sheet.records {
                if let Some(json) = restated_heads(bytes, known, &behind).filter(|_| self.restates) {
                    *bytes = control(0, &json)?;
                }
                let record = Record::parse(bytes)?;
                let frontier = frontiers.entry(record.log()).or_default();
                let seq = frontier.size();
                let group = (record.log(), seq / GROUP_LEAVES);
                groups.insert(group);
                changes.entry(record.log()).or_insert((seq, 0)).1 += 1;
                frontier.push_leaf(leaf::leaf(&record, seq, salts.of(group, seeds)));
            }
            sheet.meta.records = u32::try_from(sheet.records.len()).ok()?;
            sheet.meta.logs.clear();
            for (log, (first_seq, count)) in changes {
                let frontier = frontiers.get(&log)?;
                sheet.meta.logs.push(LogChange { log, count, first_seq, root: frontier.root() });
                now.insert(log, (frontier.size(), frontier.root()));
            }
            let seed_of = |(log, group): (u32, u64)| GroupSeed { log, group, seed: seed_in(seeds, (log, group)) };
            sheet.meta.seeds = groups.into_iter().map(seed_of).collect();
            behind.push(now.clone());
        }
        Some(())
    }

    /// Numbers the frames anew and makes each name the one before it.
    pub(crate) fn chain(&mut self) -> Option<()> {
        let (mut prev, mut meta) = (Hash::ZERO, Vec::new());
        for (nth, sheet) in self.sheets.iter_mut().enumerate() {
            sheet.meta.lsn = nth as u64;
            sheet.meta.prev = prev;
            let parts: Vec<&[u8]> = sheet.records.iter().map(Vec::as_slice).collect();
            prev = sheet.meta.encode(&parts, &mut meta)?.hash;
        }
        Some(())
    }

    /// Drops every signature.
    pub(crate) fn strip(&mut self) {
        self.sheets.iter_mut().for_each(|sheet| sheet.meta.notes.clear());
        self.checkpoints.clear();
    }

    /// Signs what is there now wherever something was signed before, as the holder of a key can.
    pub(crate) fn sign(&mut self, key: &SigningKey) -> Option<()> {
        let heads = self.heads();
        let known = self.known.clone();
        let identity = self.identity.clone();
        let anew = |log: u32, note: &[u8]| {
            let size = SignedCheckpoint::parse(note).ok()?.unverified().size;
            let (size, root) = heads.get(*known.get(&(log, size))?)?.get(&log).copied()?;
            let origin = identity.origin(log)?;
            Checkpoint::new(&origin, size, root).sign(&key.with_name(&origin).ok()?).ok()
        };
        for (log, note) in self.sheets.iter_mut().flat_map(|sheet| &mut sheet.meta.notes) {
            *note = anew(*log, note.as_bytes())?;
        }
        for (log, note) in &mut self.checkpoints {
            *note = anew(*log, note)?.into_bytes();
        }
        Some(())
    }

    /// Signs the newest heads into the checkpoint files, as the store does when it is closed.
    pub(crate) fn sign_heads(&mut self, key: &SigningKey) -> Option<()> {
        for (log, (size, root)) in self.heads().last()? {
            let origin = self.identity.origin(*log)?;
            let note = Checkpoint::new(&origin, *size, *root).sign(&key.with_name(&origin).ok()?).ok()?;
            self.checkpoints.insert(*log, note.into_bytes());
        }
        Some(())
    }

    /// Changes a control entry of log 0; `change` sees the JSON and gives another.
    pub(crate) fn edit_control(&mut self, seq: u64, change: impl FnOnce(&str) -> String) -> Option<()> {
        let spot = self.spots().into_iter().find(|spot| (spot.log, spot.seq) == (0, seq))?;
        let record = self.record(spot)?.clone();
        let json = std::str::from_utf8(Record::parse(&record)?.control()?).ok()?.to_owned();
        *self.record_mut(spot)? = control(0, change(&json).as_bytes())?;
        Some(())
    }

    /// Keeps only the sheets before `end`.
    pub(crate) fn cut(&mut self, end: usize) {
        self.sheets.truncate(end);
        self.files.retain(|first| *first < end.max(1));
    }

    /// Spreads the frames over `count` journal files, as a busier store would have.
    pub(crate) fn spread(&mut self, count: usize) -> Option<()> {
        if self.sheets.len() < count {
            return None;
        }
        self.files = (0..count).map(|nth| nth * self.sheets.len() / count).collect();
        Some(())
    }

    /// Writes it all into `dir`, which is made.
    pub(crate) fn write(&self, dir: &Path) -> Result<Layout> {
        for name in ["", "journal", "checkpoint", "tree"] {
            let path = dir.join(name);
            fs::create_dir_all(&path).map_err(|error| Failure::file("make", &path, &error))?;
        }
        put(&dir.join("store.json"), &self.identity_json)?;
        for (log, note) in &self.checkpoints {
            put(&dir.join("checkpoint").join(log.to_string()), note)?;
        }
        let mut layout = Layout::default();
        let heads = self.heads();
        let mut meta = Vec::new();
        for (nth, first) in self.files.iter().copied().enumerate() {
            let end = self.files.get(nth + 1).copied().unwrap_or(self.sheets.len());
            let number = nth as u64 + 1;
            let path = dir.join("journal").join(format!("{number:08}.wal"));
            let mut bytes = Vec::new();
            let before = first.checked_sub(1).and_then(|before| heads.get(before));
            let state = |log: u32| before.and_then(|heads| heads.get(&log)).copied().unwrap_or((0, empty_root()));
            let logs = self.identity.logs.iter().map(|log| (log.id, state(log.id))).map(|(log, (size, root))| LogState {
                log,
                size,
                root,
            });
            let Some(sheet) = self.sheets.get(first) else { continue };
            let header = FileHeader {
                number,
                store: sheet.meta.store,
                first_lsn: sheet.meta.lsn,
                prev: sheet.meta.prev,
                created: self.created,
                logs: logs.collect(),
            };
            header.encode(&mut bytes).ok_or_else(too_large)?;
            for sheet in self.sheets.get(first..end.min(self.sheets.len())).unwrap_or_default() {
                let parts: Vec<&[u8]> = sheet.records.iter().map(Vec::as_slice).collect();
                let encoded = sheet.meta.encode(&parts, &mut meta).ok_or_else(too_large)?;
                let (offset, payload_bytes) = (bytes.len(), parts.iter().map(|part| part.len()).sum());
                bytes.extend_from_slice(&meta);
                parts.iter().for_each(|part| bytes.extend_from_slice(part));
                bytes.resize(offset + encoded.frame_bytes, 0);
                layout.frames.push(Place {
                    path: path.clone(),
                    offset,
                    bytes: encoded.frame_bytes,
                    payload: meta.len(),
                    payload_bytes,
                });
            }
            let end = bytes.len();
            bytes.resize(bytes.len() + SPARE_BYTES, 0);
            put(&path, &bytes)?;
            layout.files.push(path);
            let next_lsn = self.sheets.len() as u64;
            put(&dir.join("status"), &Status { store: self.identity.store, file: number, end: end as u64, next_lsn }.encode())?;
        }
        Ok(layout)
    }

    /// Writes `tree/<log>` of every log.
    pub(crate) fn write_trees(&self, dir: &Path) -> Result<()> {
        let mut trees: BTreeMap<u32, (Frontier, Vec<u8>)> = BTreeMap::new();
        let mut salts = SaltCache::default();
        for spot in self.spots() {
            let Some(record) = self.record(spot).and_then(|bytes| Record::parse(bytes)) else { continue };
            let leaf = leaf::leaf(&record, spot.seq, salts.of((spot.log, spot.seq / GROUP_LEAVES), &self.seeds));
            let (frontier, roots) = trees.entry(spot.log).or_default();
            roots.extend(frontier.push_leaf(leaf).into_iter().flat_map(|root| root.0));
        }
        trees.iter().try_for_each(|(log, (_, roots))| put(&dir.join("tree").join(log.to_string()), roots))
    }
}

/// The seed of a group; one of the attacker's own where there never was one.
fn seed_in(seeds: &BTreeMap<(u32, u64), Seed>, group: (u32, u64)) -> Seed {
    seeds.get(&group).cloned().unwrap_or(Seed([7; 32]))
}

/// The salts of the group each log is in.
#[derive(Default)]
struct SaltCache(BTreeMap<u32, (u64, Salts)>);

impl SaltCache {
    fn of(&mut self, (log, group): (u32, u64), seeds: &BTreeMap<(u32, u64), Seed>) -> &mut Salts {
        let fresh = || (group, Salts::new(seed_in(seeds, (log, group))));
        let known = self.0.entry(log).or_insert_with(fresh);
        if known.0 != group {
            *known = fresh();
        }
        &mut known.1
    }
}

/// A `heads` entry whose heads were computed anew; `None`: the record is none.
fn restated_heads(bytes: &[u8], known: &BTreeMap<(u32, u64), usize>, behind: &[Heads]) -> Option<Vec<u8>> {
    let record = Record::parse(bytes).filter(|record| record.kind() == Kind::Control && record.log() == 0)?;
    let json = record.control()?;
    let mut document = Document::new();
    let root = document.parse(json, &Limits::default()).ok()?;
    if root.get("type")?.as_str()? != "heads" {
        return None;
    }
    let mut text = std::str::from_utf8(json).ok()?.to_owned();
    for head in root.get("logs")?.elements() {
        let log = u32::try_from(head.get("log")?.as_u64()?).ok()?;
        let old_size = head.get("size")?.as_u64()?;
        let (size, hash) = behind.get(*known.get(&(log, old_size))?)?.get(&log)?;
        let old = format!("\"root\":{},\"size\":{old_size}}}", head.get("root")?.raw());
        text = text.replace(&old, &format!("\"root\":\"{}\",\"size\":{size}}}", base64_of(&hash.0)));
    }
    Some(text.into_bytes())
}

pub(crate) fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn too_large() -> Failure {
    Failure::new("drill", "an attacked frame would be larger than a frame may be").hint("run the drill on a smaller store")
}

/// Writes a whole file.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| Failure::file("write", path, &error))
}

/// Changes a file's bytes in place.
pub(crate) fn patch(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let mut bytes = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    change(&mut bytes);
    put(path, &bytes)
}
