//! The board: how far each lane is durable, who waits for what, and where recent events went.
//!
//! A waiter is a thread or a task with the position it waits for; only those whose position became durable are woken. Placements
//! are remembered for the newest batches, within a fixed number of bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::thread::Thread;

use indelible_format::{Class, Hash};
use parking_lot::Mutex;

use crate::commit::journal::Place;
use crate::error::Error;

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
    /// The idempotency index could not be read or written; not recorded. `full`: for want of room.
    IndexFailed { full: bool },
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

/// Who waits.
#[derive(Debug, Clone)]
pub(crate) enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Thread(this), Self::Thread(that)) => this.id() == that.id(),
            (Self::Task(this), Self::Task(that)) => this.will_wake(that),
            _ => false,
        }
    }
}

/// Waiters whose wait is over and who do not know it yet.
///
/// Unparking a thread is safe under any lock. Waking a task runs the code of its executor, which may drop its tickets, or the
/// store: that happens only when this is dropped, and so this must outlive every lock.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Woken {
    threads: Vec<Thread>,
    tasks: Vec<Waker>,
}

impl Woken {
    fn push(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Thread(thread) => self.threads.push(thread),
            Waiter::Task(waker) => self.tasks.push(waker),
        }
    }

    pub(crate) fn unpark_threads(&mut self) {
        self.threads.drain(..).for_each(|thread| thread.unpark());
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.unpark_threads();
        self.tasks.drain(..).for_each(Waker::wake);
    }
}

#[derive(Default)]
struct Inner {
    waiters: [Vec<(u64, Waiter)>; 3],
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
    /// Leaves and tenant numbers are kept for this many of the newest events; older ones are read from the journal.
    leaves_max: usize,
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
    pub(crate) fn new(leaves_max: usize) -> Self {
        Self { leaves_max, ..Self::default() }
    }

    /// Everything below this position of the lane is durable.
    pub(crate) fn durable(&self, lane: usize) -> u64 {
        self.durable.get(lane).map_or(0, |durable| durable.load(Ordering::Acquire))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Publishes a durable batch: `ends` are the lanes' new positions. Those whose wait is over go to `woken`.
    pub(crate) fn complete(&self, ends: [u64; 3], runs: &[Run], leaves: Vec<LeafRun>, place: Place, woken: &mut Woken) {
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
        while inner.leaves_count > self.leaves_max {
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

    /// Nothing more will become durable: everyone's wait is over.
    pub(crate) fn die(&self, cause: &Error, woken: &mut Woken) {
        let mut inner = self.inner.lock();
        inner.dead.get_or_insert_with(|| cause.clone());
        self.dead.store(true, Ordering::Release);
        inner.waiters.iter_mut().flat_map(std::mem::take).for_each(|(_, waiter)| woken.push(waiter));
    }

    /// The disk has no room, which those who wait now shall hear; what they wait for may yet become durable.
    pub(crate) fn stall(&self, cause: &Error, woken: &mut Woken) {
        let mut inner = self.inner.lock();
        self.stalls.fetch_add(1, Ordering::AcqRel);
        inner.stalled = Some(cause.clone());
        inner.waiters.iter_mut().flat_map(std::mem::take).for_each(|(_, waiter)| woken.push(waiter));
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

    /// Registers `waiter` for `position`, unless that is already decided or the disk had no room since there were `stalls`.
    /// Returns whether it was registered, and so will be woken.
    pub(crate) fn register(&self, lane: usize, position: u64, stalls: u64, waiter: Waiter) -> bool {
        let mut inner = self.inner.lock();
        if inner.dead.is_some() || self.durable(lane) > position || self.stalls() != stalls {
            return false;
        }
        let Some(waiters) = inner.waiters.get_mut(lane) else { return false };
        if !waiters.iter().any(|(known, waiting)| *known == position && waiting.is(&waiter)) {
            waiters.push((position, waiter));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;
    use crate::error::ErrorKind;

    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task() -> (Arc<Count>, Waiter) {
        let count = Arc::new(Count(AtomicU64::new(0)));
        (Arc::clone(&count), Waiter::Task(Waker::from(count)))
    }

    fn full() -> Error {
        Error::new(ErrorKind::Busy, "no room")
    }

    #[test]
    fn who_registers_after_a_stall_it_has_not_seen_is_not_left_asleep() {
        let board = Board::default();
        let seen = board.stalls();
        board.stall(&full(), &mut Woken::default());
        let (_, waiter) = task();
        assert!(!board.register(1, 0, seen, waiter.clone()), "nobody would ever wake it");
        assert!(board.register(1, 0, board.stalls(), waiter), "it knows of that stall and waits for the next");
    }

    #[test]
    fn stall_and_death_end_every_wait_and_tasks_are_woken_last() {
        let board = Board::default();
        let (count, waiter) = task();
        for (lane, end) in [(0, false), (1, false), (2, true)] {
            assert!(board.register(lane, 7, board.stalls(), waiter.clone()));
            // The same task for the same position is woken once.
            assert!(board.register(lane, 7, board.stalls(), waiter.clone()));
            let before = count.0.load(Ordering::Relaxed);
            let mut woken = Woken::default();
            if end {
                board.die(&full(), &mut woken)
            } else {
                board.stall(&full(), &mut woken)
            }
            assert_eq!(count.0.load(Ordering::Relaxed), before, "woken while locks may be held");
            drop(woken);
            assert_eq!(count.0.load(Ordering::Relaxed), before + 1);
        }
        assert!(!board.register(0, 8, board.stalls(), waiter), "a dead store wakes nobody");
    }
}
