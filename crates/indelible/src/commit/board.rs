//! The board: how far each lane is durable, who waits for what, and where recent events went.
//!
//! A waiter is a `Waker` with the position it waits for; only those whose position became durable are woken. Placements are
//! remembered for the newest batches, within a fixed number of bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use indelible_format::{Class, Hash};
use parking_lot::Mutex;

use crate::commit::journal::Place;
use crate::error::Error;

/// Leaves and tenant numbers are kept for this many of the newest events; older ones are read from the journal.
const LEAVES_MAX: usize = 16_384;
/// Runs of placements that are remembered.
const RUNS_MAX: usize = 65_536;

/// What became of a run of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Recorded from `seq` on; `forgotten`: older idempotency keys of the log are no longer known.
    Recorded { log: u32, seq: u64, keyed: bool, forgotten: bool },
    /// The idempotency key was used before, for the same event.
    Duplicate { log: u32, seq: u64 },
    /// The idempotency key was used before, for another event.
    Conflict { log: u32, seq: u64 },
    /// The producer delivered this number before.
    Repeated { log: u32 },
    /// More producers or gaps than can be remembered; not recorded.
    TooManyProducers,
    /// The idempotency index could not be read or written; not recorded.
    IndexFailed,
}

/// `count` events of one lane from `first_position` on, with one fate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) lane: u8,
    pub(crate) first_position: u64,
    pub(crate) count: u64,
    pub(crate) fate: Fate,
}

/// Leaves and tenant numbers of contiguous events of one log.
#[derive(Debug, Default)]
pub(crate) struct LeafRun {
    pub(crate) log: u32,
    pub(crate) first_seq: u64,
    pub(crate) leaves: Vec<(Hash, u64)>,
}

#[derive(Default)]
struct Inner {
    waiters: [Vec<(u64, Waker)>; 3],
    runs: VecDeque<(Run, Place)>,
    leaves: VecDeque<LeafRun>,
    leaves_count: usize,
    stalled: Option<Error>,
    dead: Option<Error>,
}

#[derive(Default)]
pub(crate) struct Board {
    durable: [AtomicU64; 3],
    dead: AtomicBool,
    // How often the disk had no room; read by waiters before they take the lock.
    stalls: AtomicU64,
    inner: Mutex<Inner>,
}

/// What the board knows of one position.
pub(crate) enum Lookup {
    /// Not durable yet.
    Pending,
    /// Its fate and its offset within the run; leaf and tenant number if still remembered; where its frame is.
    Known(Fate, u64, Option<(Hash, u64)>, Place),
    /// Durable, but too long ago to say where it went.
    Forgotten,
    /// It will never become durable on this handle.
    Dead(Error),
}

pub(crate) const fn lane_index(class: Class) -> usize {
    match class {
        Class::Critical => 0,
        Class::Normal => 1,
        Class::Telemetry => 2,
    }
}

impl Board {
    /// Everything below this position of the lane is durable.
    pub(crate) fn durable(&self, lane: usize) -> u64 {
        self.durable.get(lane).map_or(0, |durable| durable.load(Ordering::Acquire))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Publishes a durable batch: `ends` are the lanes' new positions. Returns the wakers of those whose wait is over.
    pub(crate) fn complete(&self, ends: [u64; 3], runs: &[Run], leaves: Vec<LeafRun>, place: Place, woken: &mut Vec<Waker>) {
        let mut inner = self.inner.lock();
        for (durable, end) in self.durable.iter().zip(ends) {
            durable.fetch_max(end, Ordering::AcqRel);
        }
        inner.runs.extend(runs.iter().map(|run| (*run, place)));
        let excess = inner.runs.len().saturating_sub(RUNS_MAX);
        inner.runs.drain(..excess);
        for run in leaves {
            inner.leaves_count += run.leaves.len();
            inner.leaves.push_back(run);
        }
        while inner.leaves_count > LEAVES_MAX {
            let Some(oldest) = inner.leaves.pop_front() else { break };
            inner.leaves_count -= oldest.leaves.len();
        }
        for (waiters, end) in inner.waiters.iter_mut().zip(ends) {
            let mut at = 0;
            while let Some((position, _)) = waiters.get(at) {
                if *position < end { woken.push(waiters.swap_remove(at).1) } else { at += 1 }
            }
        }
    }

    /// Tells everyone that nothing more will become durable.
    pub(crate) fn die(&self, cause: &Error) {
        let mut inner = self.inner.lock();
        inner.dead.get_or_insert_with(|| cause.clone());
        self.dead.store(true, Ordering::Release);
        let waiters: Vec<Waker> = inner.waiters.iter_mut().flat_map(std::mem::take).map(|(_, waker)| waker).collect();
        drop(inner);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Tells those who wait now that the disk has no room; what they wait for may yet become durable.
    pub(crate) fn stall(&self, cause: &Error) {
        let mut inner = self.inner.lock();
        self.stalls.fetch_add(1, Ordering::AcqRel);
        inner.stalled = Some(cause.clone());
        let waiters: Vec<Waker> = inner.waiters.iter_mut().flat_map(std::mem::take).map(|(_, waker)| waker).collect();
        drop(inner);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// How often the disk had no room.
    pub(crate) fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Acquire)
    }

    /// What the disk said when it last had no room.
    pub(crate) fn stalled(&self) -> Option<Error> {
        self.inner.lock().stalled.clone()
    }

    pub(crate) fn death(&self) -> Option<Error> {
        self.inner.lock().dead.clone()
    }

    /// Registers `waker` for `position` unless that is already decided. Returns whether it was registered.
    pub(crate) fn register(&self, lane: usize, position: u64, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        if inner.dead.is_some() || self.durable(lane) > position {
            return false;
        }
        let Some(waiters) = inner.waiters.get_mut(lane) else { return false };
        match waiters.iter_mut().find(|(known, waiting)| *known == position && waiting.will_wake(waker)) {
            Some(_) => {}
            None => waiters.push((position, waker.clone())),
        }
        true
    }

    pub(crate) fn look_up(&self, lane: usize, position: u64) -> Lookup {
        if self.durable(lane) <= position {
            return self.death().map_or(Lookup::Pending, Lookup::Dead);
        }
        let inner = self.inner.lock();
        // The newest runs are at the back, and are nearly always those asked for.
        let found = inner.runs.iter().rev().find(|(run, _)| {
            usize::from(run.lane) == lane && (run.first_position..run.first_position + run.count).contains(&position)
        });
        let Some((run, place)) = found else { return Lookup::Forgotten };
        let offset = position - run.first_position;
        let leaf = match run.fate {
            Fate::Recorded { log, seq, .. } => inner.leaves.iter().rev().find_map(|leaves| {
                let at = (seq + offset).checked_sub(leaves.first_seq).filter(|_| leaves.log == log)?;
                leaves.leaves.get(usize::try_from(at).ok()?).copied()
            }),
            _ => None,
        };
        Lookup::Known(run.fate, offset, leaf, *place)
    }
}
