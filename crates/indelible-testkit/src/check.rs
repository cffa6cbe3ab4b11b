//! The checker: opens a store that nobody writes to and compares it with the ledger kept outside it.
//!
//! It reads the journal with the decoders of `indelible-format` alone and computes every leaf and every inclusion proof itself,
//! so that the engine's reader, its tree file and its prover are compared with something else than themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use indelible::format::frame::{FLAG_CARRY, FileHeader, Frame};
use indelible::format::leaf::{Salts, Seed, leaf};
use indelible::format::limits::{GROUP_LEAVES, SECTOR_BYTES};
use indelible::format::merkle::{LeafHashes, inclusion_proof, verify_inclusion};
use indelible::format::record::{Kind, Records};
use indelible::json::{self, Document};
use indelible::verify::{self, Code, Level, Options};
use indelible::world::{Open, World};
use indelible::{Hash, Identity, Reader, Record};
use indelible_segment::Segment;

use crate::events::{Spec, parse_id};
use crate::model::Ledger;

/// How a store compares with a ledger. Every list names what is wrong; all empty: nothing is.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Events in the store.
    pub events: u64,
    /// Size of each log.
    pub sizes: BTreeMap<u32, u64>,
    /// Acknowledged and not where the receipt says, or with another leaf.
    pub lost: Vec<String>,
    /// In the store more than once.
    pub duplicated: Vec<String>,
    /// In the store otherwise than asked for, or never asked for.
    pub wrong: Vec<String>,
    /// Receipts whose proof does not verify against the newest checkpoint.
    pub unproven: Vec<String>,
    /// Producer numbers that `verify` misses. Not part of [`is_clean`](Self::is_clean): some tests make gaps.
    pub gaps: Vec<String>,
    /// What `verify` says though nobody touched the store, and what keeps it from being read.
    pub alarms: Vec<String>,
}

impl Audit {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        [&self.lost, &self.duplicated, &self.wrong, &self.unproven, &self.alarms].into_iter().all(Vec::is_empty)
    }

    /// Panics with everything that is wrong, and `story`.
    ///
    /// # Panics
    /// When something is.
    pub fn expect_clean(&self, story: &dyn fmt::Display) {
        assert!(self.is_clean(), "{story}\n{self}");
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} events, sizes {:?}", self.events, self.sizes)?;
        let lists = [
            ("lost", &self.lost),
            ("duplicated", &self.duplicated),
            ("wrong", &self.wrong),
            ("unproven", &self.unproven),
            ("alarms", &self.alarms),
        ];
        for (what, list) in lists {
            if !list.is_empty() {
                writeln!(f, "{what}: {}", list.len())?;
                list.iter().take(8).try_for_each(|line| writeln!(f, "  {line}"))?;
            }
        }
        Ok(())
    }
}

/// How thorough [`audit`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proofs {
    /// The checker proves every receipt from the leaves; the engine's own prover is asked for this many of them.
    Signed {
        /// Receipts that [`Reader::prove`] is asked for: each costs a scan.
        by_engine: usize,
    },
    /// The newest entries need not be signed yet: the store was not closed.
    Unsigned,
}

/// Compares the store in `dir` with `ledger`. Nobody may write to it meanwhile.
#[must_use]
pub fn audit(world: &World, dir: &Path, ledger: &Ledger, proofs: Proofs) -> Audit {
    let mut audit = Audit::default();
    if let Err(problem) = compare(world, dir, ledger, proofs, &mut audit) {
        audit.alarms.push(problem);
    }
    audit
}

/// Log, position and leaf of an event that was found.
type Found = (u32, u64, Hash);

fn compare(world: &World, dir: &Path, ledger: &Ledger, proofs: Proofs, audit: &mut Audit) -> Result<(), String> {
    let stored = read_store(world, dir)?;
    let mut places: BTreeMap<(u64, u64), Vec<Found>> = BTreeMap::new();
    let mut leaves: BTreeMap<u32, Vec<Hash>> = BTreeMap::new();
    for placed in &stored {
        let Placed { log, seq, leaf, .. } = placed;
        leaves.entry(*log).or_default().push(*leaf);
        let Some(record) = placed.record() else { return Err(format!("{log}/{seq} is malformed")) };
        if record.kind() != Kind::Event {
            continue;
        }
        audit.events += 1;
        let id = placed.id();
        // Events that other tests name otherwise are not judged.
        let Some((seed, stream, number)) = parse_id(&id) else { continue };
        places.entry((stream, number)).or_default().push((*log, *seq, *leaf));
        // Padding and class may have been changed after `of`: what the ledger knows goes first.
        let asked = ledger.entry(stream, number).map_or_else(|| Spec::of(seed, stream, number), |entry| entry.spec.clone());
        audit.wrong.extend(asked.difference(&record).map(|what| format!("{id} at {log}/{seq}: {what}")));
    }
    audit.sizes = leaves.iter().map(|(log, leaves)| (*log, leaves.len() as u64)).collect();
    for ((stream, number), found) in &places {
        if found.len() > 1 {
            audit.duplicated.push(format!("{stream}-{number} is at {found:?}"));
        }
    }
    let mut receipts = Vec::new();
    for (spec, place) in ledger.acknowledged() {
        let found = places.get(&(spec.stream, spec.number)).cloned().unwrap_or_default();
        if found.contains(&(place.log, place.seq, place.leaf)) {
            receipts.push(place);
        } else {
            audit.lost.push(format!("{}: the receipt says {place:?}, the store has it at {found:?}", spec.id));
        }
    }
    let report = verify::verify_in(dir, Options::default(), world).map_err(|error| format!("verify: {error}"))?;
    for finding in &report.findings {
        match finding.code {
            Code::Unanchored | Code::UnsignedTail if finding.level == Level::Note => {}
            Code::ProducerGap => audit.gaps.push(finding.message.clone()),
            _ => audit.alarms.push(format!("{finding:?}")),
        }
    }
    for log in &report.logs {
        let size = audit.sizes.get(&log.log).copied().unwrap_or(0);
        if log.size != size {
            audit.alarms.push(format!("verify saw {} positions of log {}, the journal has {size}", log.size, log.log));
        }
    }
    let Proofs::Signed { by_engine } = proofs else { return Ok(()) };
    let reader = Reader::open_in(dir, world.clone()).map_err(|error| format!("the reader: {error}"))?;
    let segments = reader.segments().map_err(|error| format!("the manifest: {error}"))?;
    if !segments.is_empty() {
        check_folder(world, dir, &segments.into_iter().map(|info| info.file).collect::<Vec<_>>())?;
    }
    for (log, leaves) in &leaves {
        let mine: Vec<_> = receipts.iter().filter(|place| place.log == *log).collect();
        let checkpoint = reader.checkpoint(*log).map_err(|error| format!("checkpoint {log}: {error}"))?;
        let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.size == leaves.len() as u64) else {
            audit.unproven.push(format!("log {log}: the newest checkpoint is not over its {} positions", leaves.len()));
            continue;
        };
        for place in &mine {
            let proof = inclusion_proof(place.seq, checkpoint.size, &mut LeafHashes(leaves))
                .map_err(|error| format!("proof: {error}"))?;
            if verify_inclusion(&place.leaf, place.seq, checkpoint.size, &proof, &checkpoint.root).is_err() {
                audit.unproven.push(format!("{log}/{} is not under the signed root", place.seq));
            }
        }
        let key = reader.identity().verifier_key(*log).ok_or("a log has no key")?;
        let step = (mine.len() / by_engine.max(1)).max(1);
        // The newest first: it lies in the group that is not complete.
        for place in mine.iter().rev().step_by(step).take(by_engine) {
            match reader.prove(*log, place.seq) {
                Ok(proof) => {
                    audit.unproven.extend(
                        proof
                            .verify(&place.leaf, std::slice::from_ref(&key))
                            .err()
                            .map(|error| format!("{log}/{}: {error}", place.seq)),
                    );
                }
                Err(error) => audit.unproven.push(format!("{log}/{}: {error}", place.seq)),
            }
        }
    }
    Ok(())
}

/// One position of a log, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Number of its frame; 0 once it is sealed.
    pub lsn: u64,
    /// Its log.
    pub log: u32,
    /// Its position there.
    pub seq: u64,
    /// Its leaf hash, computed from the values.
    pub leaf: Hash,
    bytes: Vec<u8>,
}

impl Placed {
    /// The record.
    #[must_use]
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parse(&self.bytes)
    }

    /// The event's id; empty for other records.
    #[must_use]
    pub fn id(&self) -> String {
        self.record().and_then(|record| Some(record.head()?.id.to_string())).unwrap_or_default()
    }
}

/// Everything in a store that nobody writes to, segments first: docs/format/store.md, segment.md and journal.md, read the plain way.
///
/// # Errors
/// What cannot be read, or contradicts itself.
pub fn read_store(world: &World, dir: &Path) -> Result<Vec<Placed>, String> {
    let identity = Identity::read(world, dir).map_err(|error| error.to_string())?;
    let mut placed = Vec::new();
    let mut sizes: BTreeMap<u32, u64> = BTreeMap::new();
    let mut salts: BTreeMap<(u32, u64), Salts> = BTreeMap::new();
    let (mut lsn, mut first_file) = (0, 0);
    if let Ok(bytes) = whole(world, &dir.join("manifest")) {
        let mut document = Document::new();
        let manifest = document.parse(&bytes, &json::Limits::default()).map_err(|error| format!("the manifest: {error}"))?;
        let number = |path: &[&str]| manifest.path(path).and_then(|node| node.as_u64()).ok_or("the manifest lacks a number");
        (lsn, first_file) = (number(&["journal", "lsn"])?, number(&["journal", "file"])?);
        let names = manifest.get("segments").into_iter().flat_map(|list| list.elements());
        let names: Vec<String> = names.filter_map(|node| Some(node.get("file")?.as_str()?.into_owned())).collect();
        for name in names {
            let path = dir.join("segments").join(&name);
            // Where a writer was killed between two renames, it has its other name until the next one comes.
            let bytes = whole(world, &path).or_else(|_| whole(world, &path.with_extension("parquet.old")));
            let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
            read_segment(bytes, &mut sizes, &mut salts, &mut placed).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    let mut names = world.disk.list(&dir.join("journal")).map_err(|error| format!("list: {error}"))?;
    names.retain(|name| {
        name.strip_suffix(".wal").and_then(|number| number.parse().ok()).is_some_and(|number: u64| number >= first_file)
    });
    names.sort_unstable();
    for name in names {
        let bytes = whole(world, &dir.join("journal").join(&name)).map_err(|error| format!("{name}: {error}"))?;
        let Some((header, length)) = FileHeader::parse(&bytes) else { continue };
        if header.store != identity.store || header.first_lsn != lsn {
            return Err(format!("{name} begins with frame {}, frame {lsn} was due", header.first_lsn));
        }
        let mut rest = bytes.get(length..).unwrap_or_default();
        while let Ok(frame) = Frame::parse(rest)
            && frame.meta.store == identity.store
            && frame.meta.lsn == lsn
        {
            lsn += 1;
            rest = rest.get(frame.frame_bytes..).unwrap_or_default();
            if frame.meta.flags & FLAG_CARRY != 0 {
                continue;
            }
            for seed in frame.meta.seeds {
                salts.insert((seed.log, seed.group), Salts::new(seed.seed));
            }
            for record in Records::new(frame.payload) {
                let log = record.log();
                let size = sizes.entry(log).or_default();
                let salts = salts.entry((log, *size / GROUP_LEAVES)).or_insert_with(|| Salts::new(Seed([0; 32])));
                let leaf = leaf(&record, *size, salts);
                placed.push(Placed { lsn: frame.meta.lsn, log, seq: *size, leaf, bytes: record.bytes().to_vec() });
                *size += 1;
            }
        }
    }
    Ok(placed)
}

fn read_segment(
    bytes: Vec<u8>,
    sizes: &mut BTreeMap<u32, u64>,
    salts: &mut BTreeMap<(u32, u64), Salts>,
    placed: &mut Vec<Placed>,
) -> Result<(), String> {
    let segment = Segment::open(bytes).map_err(|error| error.to_string())?;
    let proof = segment.proof().map_err(|error| error.to_string())?;
    let size = sizes.entry(proof.log).or_default();
    if proof.first_seq != *size {
        return Err(format!("it begins at {}, {size} was due", proof.first_seq));
    }
    for (seed, group) in proof.seeds.iter().zip(proof.first_seq / GROUP_LEAVES..) {
        salts.insert((proof.log, group), Salts::new(seed.clone()));
    }
    let read = segment.records(0..u64::MAX, &mut |seq, bytes| {
        let (Some(record), Some(salts)) = (Record::parse(bytes), salts.get_mut(&(proof.log, seq / GROUP_LEAVES))) else {
            return ControlFlow::Break(());
        };
        let leaf = leaf(&record, seq, salts);
        placed.push(Placed { lsn: 0, log: proof.log, seq, leaf, bytes: bytes.to_vec() });
        *size = seq + 1;
        ControlFlow::Continue(())
    });
    read.map_err(|error| error.to_string())?;
    if *size == proof.first_seq + proof.count { Ok(()) } else { Err(format!("rows are missing from {size} on")) }
}

/// Whoever lists `*.parquet` finds every sealed event once; nothing that an interrupted seal left is there.
fn check_folder(world: &World, dir: &Path, named: &[String]) -> Result<(), String> {
    let found = world.disk.list(&dir.join("segments")).map_err(|error| format!("list segments: {error}"))?;
    let strange: Vec<_> = found.iter().filter(|name| !named.contains(name) && !name.ends_with(".state")).collect();
    let states = found.iter().filter(|name| name.ends_with(".state")).count();
    if strange.is_empty() && states == 1 {
        Ok(())
    } else {
        Err(format!("segments holds {found:?}, the manifest names {named:?}"))
    }
}

/// A file without the zeros it ends with: journal files are made at full size.
fn whole(world: &World, path: &Path) -> std::io::Result<Vec<u8>> {
    let file = world.disk.open(path, Open::Read)?;
    let length = file.len()?;
    let mut bytes = Vec::new();
    let mut zeros = 0;
    while (bytes.len() as u64) < length && zeros < ZEROS_MAX {
        let at = bytes.len();
        bytes.resize(at + PIECE_BYTES, 0);
        let Some(piece) = bytes.get_mut(at..) else { break };
        let read = file.read_at(piece, at as u64)?;
        zeros = if *piece == ZEROS { zeros + read } else { 0 };
        bytes.truncate(at + read);
        if read == 0 {
            break;
        }
    }
    Ok(bytes)
}

const PIECE_BYTES: usize = 128 * SECTOR_BYTES;
static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];
/// More zeros than a record can hold: no frame follows.
const ZEROS_MAX: usize = 2 << 20;
