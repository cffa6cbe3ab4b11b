//! Opening a store: what the journal says happened, compared with what was signed, made ready to go on.
//!
//! Order matters. The journal is replayed from values; it is compared with every checkpoint this side of the disk and with the
//! trusted state; the frames of the last file are copied to a fresh file and synced, because after a failed sync the page
//! cache may show what the disk does not have; only then may anything be signed or acknowledged.

use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::ControlFlow;
use std::path::Path;

use indelible_format::record::Kind;
use indelible_format::{Hash, Record};

use crate::commit::dedupe::IdempotencyIndex;
use crate::commit::journal::{Prepared, Resume, file_bytes, file_name};
use crate::commit::producers::Producers;
use crate::config::Config;
use crate::digest::LogHead;
use crate::digest::checkpoints::{self, SignedCheckpoint};
use crate::digest::replay::{Fault, Replay};
use crate::digest::tip::Tip;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::Identity;
use crate::read::Reader;
use crate::read::frames::{self, Cursor, End, Next};
use crate::seal::sealer::Sealer;
use crate::seal::state::LogState;
use crate::seal::{Start, files};
use crate::world::{Open, World};

/// What recovery found.
pub(crate) struct Recovered {
    pub(crate) tips: Vec<Tip>,
    pub(crate) producers: Producers,
    pub(crate) indexes: HashMap<u32, IdempotencyIndex>,
    pub(crate) lsn: u64,
    pub(crate) prev: Hash,
    /// The file to go on with.
    pub(crate) resume: Option<Resume>,
    pub(crate) next_file: u64,
    pub(crate) report: Recovery,
}

/// What opening a store found, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Frames replayed.
    pub frames: u64,
    /// Records replayed.
    pub records: u64,
    /// Bytes of a torn frame that was never acknowledged, now dropped.
    pub torn_bytes: u64,
    /// Bytes copied to a fresh file before going on.
    pub copied_bytes: u64,
    /// How long it took, ns.
    pub nanoseconds: u64,
}

/// Replays the journal and makes it ready for writing.
pub(crate) fn recover(world: &World, config: &Config, identity: &Identity, sealer: &Sealer) -> Result<Recovered> {
    let started = world.clock.monotonic_ns();
    let dir = &config.dir;
    let anchors = anchors(world, config, identity)?;
    let start = sealer.manifest.start;
    let mut cursor = Cursor::new(world, dir, identity.store, &start, None)?.once();
    if let Some((lsn, prev)) = cursor.first()?
        && (lsn, prev) != (start.lsn, start.prev)
    {
        return Err(begins_elsewhere(&start, lsn));
    }
    let mut replay = Replay::new(config.threads);
    replay.tips = sealer.state.tips();
    for log in &identity.logs {
        replay.tip(log.id);
    }
    replay.tips.sort_unstable_by_key(|tip| tip.log);
    let mut producers = sealer.state.producers.clone();
    let mut indexes = HashMap::new();
    for log in &identity.logs {
        let mut salt = [0; 32];
        world.entropy.fill(&mut salt).map_err(|error| Error::io("could not draw random bytes", error))?;
        let index = IdempotencyIndex::create(world.disk.clone(), dir.join("dedupe"), log.id, config.idempotency_window, salt);
        indexes.insert(log.id, index.map_err(|error| Error::io("could not reset the index of idempotency keys", error))?);
    }
    insert_sealed_keys(world, config, sealer, &mut indexes)?;
    let mut unproven = anchors;
    check_sealed(&mut unproven, world, config, identity, sealer)?;
    let mut report = Recovery::default();
    let mut faults = Vec::new();
    loop {
        match cursor.next()? {
            Next::Frame(frame, _) => {
                report.frames += 1;
                let mut failed = None;
                replay.frame(&frame, &mut faults, &mut |log, seq, record, head| {
                    if record.kind() == Kind::Event {
                        if let Some(producer) = head.and_then(|head| head.producer) {
                            producers.arrive(producer.id, producer.epoch, producer.seq);
                        }
                        if let (Some(idempotency), Some(index)) = (record.idempotency(), indexes.get_mut(&log)) {
                            failed = index.insert(&idempotency, seq).err().or(failed.take());
                        }
                    }
                });
                if let Some(error) = failed {
                    return Err(Error::io("could not rebuild the index of idempotency keys", error));
                }
                if let Some(fault) = faults.first() {
                    return Err(corrupt(fault, frame.meta.lsn));
                }
                check(&mut unproven, &replay.heads())?;
            }
            Next::End(End::Clean | End::Limit) => break,
            Next::End(End::Gone) => {
                return Err(Error::new(ErrorKind::Corrupt, "a journal file went away while it was read")
                    .with_hint("something else changes the data directory: find out what, then open the store again"));
            }
            Next::End(End::Torn(bytes)) => {
                report.torn_bytes = bytes;
                break;
            }
            Next::End(End::Broken { file, offset, why }) => {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("the journal is broken at {offset} of journal/{}: {why:?}", file_name(file)),
                )
                .with_hint("run `indelible verify` for all findings; keep the directory as evidence and restore a backup"));
            }
        }
    }
    if let Some(ahead) = unproven.first() {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!(
                "log {} ({}) has {} entries, but a checkpoint over {} was signed: it was cut off, or rolled back",
                ahead.log,
                identity.log_name(ahead.log),
                replay.head(ahead.log).size,
                ahead.size
            ),
        )
        .with_hint("run `indelible verify`; keep the directory as evidence and restore a backup"));
    }
    report.records = replay.records;
    let (lsn, prev) = (cursor.next_lsn, cursor.prev);
    let place = cursor.place().zip(cursor.header.take());
    drop(cursor);
    let (resume, next_file) = match place {
        Some((place, header)) => {
            let room = file_bytes(place.file, config.journal_file_bytes_max);
            let (file, copied) = copy_tail(world, dir, place.file, place.offset, room)?;
            report.copied_bytes = copied;
            (Some(Resume { file, end: place.offset, header }), place.file + 1)
        }
        None => (None, start.file),
    };
    report.nanoseconds = world.clock.monotonic_ns() - started;
    Ok(Recovered { tips: replay.tips, producers, indexes, lsn, prev, resume, next_file, report })
}

/// The newest keyed events may be sealed: their keys are remembered all the same, oldest first.
fn insert_sealed_keys(
    world: &World,
    config: &Config,
    sealer: &Sealer,
    indexes: &mut HashMap<u32, IdempotencyIndex>,
) -> Result<()> {
    for (log, index) in indexes {
        let segments = sealer.manifest.of(*log);
        let mut keyed = 0;
        let newest = segments.iter().rev().take_while(|info| {
            let wanted = keyed < config.idempotency_window;
            keyed += info.keyed;
            wanted
        });
        let needed = newest.count();
        for info in segments.iter().skip(segments.len() - needed).filter(|info| info.keyed > 0) {
            let segment = files::open_segment(world, &config.dir, info)?;
            let mut failed = None;
            let read = segment.records(0..u64::MAX, &mut |seq, bytes| {
                if let Some(idempotency) = Record::parse(bytes).and_then(|record| record.idempotency()) {
                    failed = index.insert(&idempotency, seq).err();
                }
                if failed.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if let Some(error) = failed {
                return Err(Error::io("could not rebuild the index of idempotency keys", error));
            }
            read.map_err(|error| files::failed(&info.file, error))?;
        }
    }
    Ok(())
}

/// Judges the anchors over sizes that are sealed. Those of the writer are over the newest heads; older ones come from a trusted state
/// that was away for a while.
fn check_sealed(
    unproven: &mut Vec<SignedCheckpoint>,
    world: &World,
    config: &Config,
    identity: &Identity,
    sealer: &Sealer,
) -> Result<()> {
    let mut heads: Vec<LogHead> = sealer.state.logs.iter().map(LogState::head).collect();
    let reader = Reader::of(config.dir.clone(), world.clone(), identity.clone(), 0);
    let mut unknowable = Vec::new();
    for anchor in unproven.iter().filter(|anchor| anchor.size < sealer.state.size(anchor.log)) {
        match reader.root_at(anchor.log, anchor.size) {
            Ok(root) => heads.push(LogHead { log: anchor.log, size: anchor.size, root }),
            // Its group has expired, and nothing was kept for a state that was away then: the log is longer, and that is all that can be told.
            Err(error) if error.kind() == ErrorKind::Expired => unknowable.push((anchor.log, anchor.size)),
            Err(error) => return Err(error),
        }
    }
    unproven.retain(|anchor| !unknowable.contains(&(anchor.log, anchor.size)));
    heads.sort_unstable_by_key(|head| (head.log, head.size));
    heads.iter().try_for_each(|head| check(unproven, std::slice::from_ref(head)))
}

fn begins_elsewhere(start: &Start, lsn: u64) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("the journal begins with frame {lsn}, frame {} was due behind what is sealed", start.lsn),
    )
    .with_hint("run `indelible verify` for all findings; keep the directory as evidence and restore a backup")
}

/// Every checkpoint the journal must agree with: those in the store and those of the trusted state.
fn anchors(world: &World, config: &Config, identity: &Identity) -> Result<Vec<SignedCheckpoint>> {
    let mut anchors = Vec::new();
    for log in &identity.logs {
        anchors.extend(checkpoints::read(world, &config.dir, identity, log.id)?);
    }
    if let Some(dir) = &config.trusted_state_dir {
        anchors.extend(checkpoints::read_trusted_state(world, dir, identity)?);
    }
    anchors.retain(|anchor| anchor.size > 0);
    Ok(anchors)
}

/// Strikes out the anchors whose size was reached; checkpoints are only ever made at the end of a frame.
fn check(unproven: &mut Vec<SignedCheckpoint>, heads: &[LogHead]) -> Result<()> {
    let mut mismatch = None;
    unproven.retain(|anchor| match heads.iter().find(|head| head.log == anchor.log) {
        Some(head) if head.size == anchor.size && head.root == anchor.root => false,
        Some(head) if head.size >= anchor.size => {
            mismatch = Some(anchor.clone());
            false
        }
        _ => true,
    });
    mismatch.map_or(Ok(()), |anchor| {
        Err(Error::new(
            ErrorKind::Mismatch,
            format!(
                "log {} is not the one whose checkpoint over {} entries was signed: it was changed, or replaced",
                anchor.log, anchor.size
            ),
        )
        .with_hint("run `indelible verify`; keep the directory as evidence and restore a backup"))
    })
}

fn corrupt(fault: &Fault, lsn: u64) -> Error {
    Error::new(ErrorKind::Corrupt, format!("frame {lsn} contradicts itself: {fault:?}"))
        .with_hint("run `indelible verify` for all findings; keep the directory as evidence and restore a backup")
}

/// Copies what the last file holds up to `end` to a fresh file of the same name, with room for more; durable when it returns.
fn copy_tail(world: &World, dir: &Path, number: u64, end: u64, room: u64) -> Result<(Prepared, u64)> {
    let name = file_name(number);
    let failed = |error| Error::io(format!("could not copy journal/{name} to a fresh file"), error);
    let journal = dir.join("journal");
    // A store that was closed has none left.
    let bytes = room.max(end);
    let from = world.disk.open(&journal.join(&name), Open::Read).map_err(failed)?;
    let fresh_path = journal.join(format!("{name}.new"));
    if world.disk.exists(&fresh_path) {
        world.disk.remove(&fresh_path).map_err(failed)?;
    }
    let to = world.disk.open(&fresh_path, Open::CreateNew).map_err(failed)?;
    to.allocate(bytes).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        let read = from.read_at(piece, at).map_err(failed)?;
        if read == 0 {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
        }
        to.write_at(&[IoSlice::new(piece.get(..read).unwrap_or_default())], at).map_err(failed)?;
        at += read as u64;
    }
    to.sync_data().map_err(failed)?;
    world.disk.rename(&fresh_path, &journal.join(&name)).map_err(failed)?;
    world.disk.sync_dir(&journal).map_err(failed)?;
    // Later files were never in use; the nursery makes them anew.
    for later in frames::numbers(world, dir)?.into_iter().filter(|later| *later > number) {
        world.disk.remove(&journal.join(file_name(later))).map_err(failed)?;
    }
    to.pass_by_cache();
    Ok((Prepared { number, file: to, bytes }, end))
}
