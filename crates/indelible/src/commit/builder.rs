//! Builds frames: takes what waits in the lanes, numbers it, hashes it, and advances the tips.
//!
//! The builder runs ahead of what is durable by the batches in flight. That is safe because a batch that cannot be written kills
//! the journal: no later state is ever published on top of it.

use std::collections::HashMap;

use indelible_format::frame::{Encoded, FrameMeta, GroupSeed, LogChange, LogState, StoreId};
use indelible_format::leaf::{LeafHasher, Salts, Seed};
use indelible_format::record::Routing;
use indelible_format::{Class, Hash, Record, record};

use crate::buffer::{Lane, Taken};
use crate::commit::board::{Fate, LeafRun, Run, lane_index};
use crate::commit::dedupe::{IdempotencyIndex, Seen};
use crate::commit::journal::Before;
use crate::commit::producers::{Arrival, Producers};
use crate::commit::refused::Refused;
use crate::digest::LogHead;
use crate::digest::stated::Newest;
use crate::digest::tip::Tip;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::LOG_CONTROL;
use crate::world::World;

/// Leaves are handed to the board for batches up to this many records; receipts of larger ones are read back.
const LEAVES_KEPT_MAX: usize = 4_096;

/// A built frame, ready to be written.
pub(crate) struct Batch {
    pub(crate) lsn: u64,
    prev: Hash,
    before: Vec<LogState>,
    pub(crate) meta: Vec<u8>,
    pub(crate) encoded: Encoded,
    pub(crate) control: Vec<u8>,
    /// Control entries that come last: gaps of what turned out to be repeated.
    pub(crate) trailer: Vec<u8>,
    /// Critical, normal, telemetry.
    pub(crate) taken: [Taken; 3],
    pub(crate) ends: [u64; 3],
    pub(crate) runs: Vec<Run>,
    pub(crate) leaves: Vec<LeafRun>,
    pub(crate) heads: Vec<LogHead>,
    pub(crate) group_roots: Vec<(u32, Vec<Hash>)>,
    pub(crate) records: u64,
}

impl Batch {
    /// The frame in the order of its bytes.
    pub(crate) fn parts(&self) -> [&[u8]; 6] {
        let [critical, normal, telemetry] = &self.taken;
        [&self.meta, &self.control, &critical.buffer, &normal.buffer, &telemetry.buffer, &self.trailer]
    }

    /// Each changed log with the sequence number of its first record here.
    pub(crate) fn first_seqs(&self) -> Vec<(u32, u64)> {
        self.before.iter().map(|state| (state.log, state.size)).collect()
    }

    pub(crate) fn before(&self, now: i64) -> Before<'_> {
        Before { lsn: self.lsn, prev: self.prev, logs: &self.before, now }
    }
}

/// Tentative state of the store: what it will be when every batch in flight is durable.
pub(crate) struct Builder {
    world: World,
    store: StoreId,
    lsn: u64,
    prev: Hash,
    tips: Vec<Tip>,
    producers: Producers,
    indexes: HashMap<u32, IdempotencyIndex>,
    /// Id and epoch of the store's own producer, whose numbers need no check here.
    local: (String, u64),
    notes: Vec<(u32, String)>,
    hasher: LeafHasher,
    leaves: Vec<Hash>,
    /// Log of each queued record, in payload order, with its tenant number.
    order: Vec<(u32, u64)>,
    spare_meta: Vec<Vec<u8>>,
}

impl Builder {
    #[expect(clippy::too_many_arguments, reason = "made in one place, from what recovery found")]
    pub(crate) fn new(
        world: World,
        store: StoreId,
        lsn: u64,
        prev: Hash,
        tips: Vec<Tip>,
        producers: Producers,
        indexes: HashMap<u32, IdempotencyIndex>,
        local: (String, u64),
    ) -> Self {
        Self {
            world,
            store,
            lsn,
            prev,
            tips,
            producers,
            indexes,
            local,
            notes: Vec::new(),
            hasher: LeafHasher::new(),
            leaves: Vec::new(),
            order: Vec::new(),
            spare_meta: Vec::new(),
        }
    }

    /// A checkpoint to ride in the next frame; a newer one of the same log replaces an older.
    pub(crate) fn carry_note(&mut self, log: u32, note: String) {
        match self.notes.iter_mut().find(|(known, _)| *known == log) {
            Some((_, known)) => *known = note,
            None => self.notes.push((log, note)),
        }
    }

    pub(crate) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Takes what waits in `lanes` (critical, normal, telemetry), adds the `control` entries, and builds one frame.
    ///
    /// # Errors
    /// Only for causes that must stop the store: no randomness, a frame beyond its limits, a log that is not there.
    pub(crate) fn build(&mut self, lanes: &[Lane; 3], control: &[(u32, Vec<u8>)], flags: u32) -> Result<Batch> {
        let before =
            self.tips.iter().map(Tip::head).map(|head| LogState { log: head.log, size: head.size, root: head.root }).collect();
        let [critical, normal, telemetry] = lanes;
        // Critical last: whatever was admitted before a normal event in this frame is then in this frame or an earlier one.
        let telemetry = telemetry.take();
        let normal = normal.take();
        let mut taken = [critical.take(), normal, telemetry];
        let mut payload = Vec::new();
        let mut pending = Pending::default();
        for (log, json) in control {
            let at = payload.len();
            record::encode_control(*log, json, &mut payload)
                .ok_or_else(|| Error::new(ErrorKind::Unsupported, "a control entry is too long"))?;
            self.queue(Queued::Control(payload.get(at..).unwrap_or_default()), *log, 0, &mut pending)?;
        }
        let mut ends = [0; 3];
        for ((taken, lane), end) in taken.iter_mut().zip(lanes).zip(&mut ends) {
            self.number(taken, lane.class(), &mut pending)?;
            *end = taken.first_position + taken.records;
        }
        let mut trailer = Vec::new();
        for json in std::mem::take(&mut pending.refused).entries(self.world.clock.wall_ns()) {
            let from = trailer.len();
            record::encode_control(LOG_CONTROL, &json, &mut trailer)
                .ok_or_else(|| Error::new(ErrorKind::Unsupported, "a control entry is too long"))?;
            self.queue(Queued::Control(trailer.get(from..).unwrap_or_default()), LOG_CONTROL, 0, &mut pending)?;
        }
        self.hash(pending, before, payload, trailer, taken, ends, flags)
    }

    /// Gives every record of a lane its fate; drops those that were recorded before.
    fn number(&mut self, taken: &mut Taken, class: Class, pending: &mut Pending) -> Result<()> {
        let mut kept = 0;
        let mut at = 0;
        let mut position = taken.first_position;
        while at < taken.buffer.len() {
            let routing = taken.buffer.get(at..).and_then(Routing::peek).ok_or_else(malformed)?;
            let (length, log) = (routing.bytes, routing.log);
            let (fate, tenant_seq) = self.judge(&routing)?;
            if let Fate::Recorded { .. } = fate {
                if kept != at {
                    taken.buffer.copy_within(at..at + length, kept);
                }
                let bytes = taken.buffer.get_mut(kept..kept + length).unwrap_or_default();
                record::set_tenant_seq(bytes, tenant_seq).ok_or_else(malformed)?;
                self.queue(Queued::Event(bytes), log, tenant_seq, pending)?;
                kept += length;
            } else {
                pending.refused.note(routing.producer, class, fate);
            }
            pending.place(lane_index(class), position, fate);
            position += 1;
            at += length;
        }
        taken.buffer.truncate(kept);
        Ok(())
    }

    /// Decides whether a record is new; if it is, also gives its number among its tenant's.
    fn judge(&mut self, routing: &Routing<'_>) -> Result<(Fate, u64)> {
        let log = routing.log;
        let (id, epoch, seq_of_producer) = routing.producer;
        // The store numbers its own events; nothing else could have.
        let is_counted = !id.is_empty() && (id, epoch) != (self.local.0.as_bytes(), self.local.1);
        let id = if is_counted { std::str::from_utf8(id).map_err(|_| malformed())? } else { "" };
        if is_counted {
            match self.producers.look(id, epoch, seq_of_producer) {
                Arrival::New => {}
                Arrival::Repeated => return Ok((Fate::Repeated { log }, 0)),
                Arrival::TooMany => return Ok((Fate::TooManyProducers, 0)),
            }
        }
        let tip = self
            .tips
            .iter_mut()
            .find(|tip| tip.log == log)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no log {log}")))?;
        let mut forgotten = false;
        if let (Some(idempotency), Some(index)) = (&routing.idempotency, self.indexes.get_mut(&log)) {
            match index.check(idempotency) {
                Ok(Seen::Duplicate { seq }) => {
                    if is_counted {
                        self.producers.arrive(id, epoch, seq_of_producer);
                    }
                    return Ok((Fate::Duplicate { log, seq }, 0));
                }
                Ok(Seen::Conflict { seq }) => return Ok((Fate::Conflict { log, seq }, 0)),
                Ok(Seen::New { window_complete }) => forgotten = !window_complete,
                Err(error) => return Ok((index_failed(&error), 0)),
            }
            if let Err(error) = index.insert(idempotency, tip.next_seq) {
                return Ok((index_failed(&error), 0));
            }
        }
        // Only now: a number whose event is turned away has not arrived, and may come again.
        if is_counted {
            self.producers.arrive(id, epoch, seq_of_producer);
        }
        let count = tip.tenants.entry(routing.tenant);
        let tenant_seq = *count;
        *count += 1;
        Ok((Fate::Recorded { log, seq: tip.next_seq, keyed: routing.idempotency.is_some(), forgotten }, tenant_seq))
    }

    /// What the first entry of the next frame can state about tenants.
    ///
    /// **Cost**: some nine SHA-256 blocks for each tenant of each log.
    pub(crate) fn count_tenants(&mut self) -> Result<Newest> {
        let (entry, seed) = self.next_entry()?;
        Ok(Newest::count(entry, seed, self.tips.iter()))
    }

    /// Position of the next entry of log 0, and the seed of its group.
    pub(crate) fn next_entry(&mut self) -> Result<(u64, Seed)> {
        let control = self.tips.iter_mut().find(|tip| tip.log == LOG_CONTROL);
        let control = control.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no log 0"))?;
        Ok((control.next_seq, next_salts(&self.world, control)?.seed().clone()))
    }

    /// Queues one record for hashing and advances its log's `next_seq`.
    fn queue(&mut self, record: Queued<'_>, log: u32, tenant_seq: u64, pending: &mut Pending) -> Result<()> {
        let tip = self
            .tips
            .iter_mut()
            .find(|tip| tip.log == log)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no log {log}")))?;
        let seq = tip.next_seq;
        let group = Tip::group(seq);
        let salts = next_salts(&self.world, tip)?;
        if pending.last_seed != Some((log, group)) && !pending.seeds.iter().any(|seed| (seed.log, seed.group) == (log, group)) {
            pending.seeds.push(GroupSeed { log, group, seed: salts.seed().clone() });
        }
        pending.last_seed = Some((log, group));
        match record {
            Queued::Event(bytes) => self.hasher.push_event(record::values(bytes), seq, salts),
            Queued::Control(bytes) => self.hasher.push(&Record::parse(bytes).ok_or_else(malformed)?, seq, salts),
        }
        tip.next_seq += 1;
        self.order.push((log, tenant_seq));
        pending.records += 1;
        Ok(())
    }

    /// Hashes what is queued, advances the trees and writes the meta.
    #[expect(clippy::too_many_arguments, reason = "called once, with the parts of one frame")]
    fn hash(
        &mut self,
        mut pending: Pending,
        before: Vec<LogState>,
        control: Vec<u8>,
        trailer: Vec<u8>,
        taken: [Taken; 3],
        ends: [u64; 3],
        flags: u32,
    ) -> Result<Batch> {
        self.leaves.clear();
        self.hasher.finish(&mut self.leaves);
        let mut logs = Vec::new();
        let mut heads = Vec::new();
        let mut leaf_runs = Vec::new();
        let mut group_roots = Vec::new();
        let mut own = Vec::new();
        for tip in &mut self.tips {
            let first_seq = tip.frontier.size();
            let count = tip.next_seq - first_seq;
            if count == 0 {
                continue;
            }
            if count == pending.records {
                tip.extend(&self.leaves);
            } else {
                own.clear();
                own.extend(self.leaves.iter().zip(&self.order).filter(|(_, (log, _))| *log == tip.log).map(|(leaf, _)| *leaf));
                tip.extend(&own);
            }
            let head = tip.head();
            let count32 =
                u32::try_from(count).map_err(|_| Error::new(ErrorKind::Unsupported, "too many records in one frame"))?;
            logs.push(LogChange { log: tip.log, count: count32, first_seq, root: head.root });
            heads.push(head);
            if self.leaves.len() <= LEAVES_KEPT_MAX {
                let leaves = self.leaves.iter().zip(&self.order).filter(|(_, (log, _))| *log == tip.log);
                leaf_runs.push(LeafRun {
                    log: tip.log,
                    first_seq,
                    leaves: leaves.map(|(leaf, (_, tenant_seq))| (*leaf, *tenant_seq)).collect(),
                });
            }
            if !tip.group_roots.is_empty() {
                group_roots.push((tip.log, std::mem::take(&mut tip.group_roots)));
            }
        }
        self.order.clear();
        pending.seeds.sort_unstable_by_key(|seed| (seed.log, seed.group));
        self.notes.sort_unstable_by_key(|(log, _)| *log);
        let frame = FrameMeta {
            lsn: self.lsn,
            prev: self.prev,
            written: self.world.clock.wall_ns(),
            store: self.store,
            flags,
            records: u32::try_from(pending.records).unwrap_or(u32::MAX),
            logs,
            seeds: pending.seeds,
            notes: std::mem::take(&mut self.notes),
        };
        let mut meta = self.spare_meta.pop().unwrap_or_default();
        let [critical, normal, telemetry] = &taken;
        let encoded = frame
            .encode(&[&control, &critical.buffer, &normal.buffer, &telemetry.buffer, &trailer], &mut meta)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "a frame is larger than a frame may be"))?;
        let prev = self.prev;
        self.prev = encoded.hash;
        self.lsn += 1;
        Ok(Batch {
            lsn: frame.lsn,
            prev,
            before,
            meta,
            encoded,
            control,
            trailer,
            taken,
            ends,
            runs: pending.runs,
            leaves: leaf_runs,
            heads,
            group_roots,
            records: pending.records,
        })
    }

    /// Takes a written batch's meta buffer back.
    pub(crate) fn recycle(&mut self, meta: Vec<u8>) {
        if self.spare_meta.len() < 2 {
            self.spare_meta.push(meta);
        }
    }
}

/// The salts of a log's next position; its group's seed is drawn if that is the first.
fn next_salts<'t>(world: &World, tip: &'t mut Tip) -> Result<&'t mut Salts> {
    let seq = tip.next_seq;
    if tip.salts(seq).is_none() {
        let mut seed = [0; 32];
        world.entropy.fill(&mut seed).map_err(|error| Error::io("could not draw a seed", error))?;
        tip.set_seed(Tip::group(seq), &Seed(seed));
    }
    tip.salts(seq).ok_or_else(|| Error::new(ErrorKind::Corrupt, "a group has no seed"))
}

/// The bytes of a record that this process encoded itself.
#[derive(Clone, Copy)]
enum Queued<'b> {
    Event(&'b [u8]),
    Control(&'b [u8]),
}

fn index_failed(error: &std::io::Error) -> Fate {
    use std::io::ErrorKind as Kind;
    Fate::IndexFailed { full: matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded) }
}

fn malformed() -> Error {
    Error::new(ErrorKind::Corrupt, "a record in memory is malformed")
}

/// What is gathered while a frame is being built.
#[derive(Default)]
struct Pending {
    records: u64,
    seeds: Vec<GroupSeed>,
    last_seed: Option<(u32, u64)>,
    runs: Vec<Run>,
    refused: Refused,
}

impl Pending {
    /// Notes the fate of one position, joining it to the run before where it continues that.
    fn place(&mut self, lane: usize, position: u64, fate: Fate) {
        let lane = u8::try_from(lane).unwrap_or(u8::MAX);
        if let Some(last) = self.runs.last_mut()
            && last.lane == lane
            && last.first_position + last.count == position
            && let (Fate::Recorded { log, seq, keyed, forgotten }, Fate::Recorded { log: a, seq: b, keyed: c, forgotten: d }) =
                (last.fate, fate)
            && (log, seq + last.count, keyed, forgotten) == (a, b, c, d)
        {
            last.count += 1;
            return;
        }
        self.runs.push(Run { lane, first_position: position, count: 1, fate });
    }
}
