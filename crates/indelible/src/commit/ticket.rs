//! Tickets: the promise that an event will be durable, to be waited for or not.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use indelible_format::{Class, Hash};

use crate::admit::Admitted;
use crate::commit::board::{Fate, Lookup, Waiter, lane_index};
use crate::commit::pipeline::{Progress, Shared};
use crate::commit::receipt::{Idempotence, Receipt};
use crate::commit::threads::is_own;
use crate::config::Durability;
use crate::error::{Error, ErrorKind, Result};
use crate::world::fork;

/// Returned by `emit`. Dropping it is fine: the event is on its way all the same.
#[derive(Clone, Copy)]
pub struct Ticket<'s> {
    place: Option<(&'s Shared, Class, u64)>,
    // As a future: how often the disk had no room when it was first polled.
    stalls: Option<u64>,
}

impl std::fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("place", &self.place.map(|(_, class, position)| (class, position))).finish()
    }
}

impl<'s> Ticket<'s> {
    pub(crate) const fn new(shared: &'s Shared, admitted: Admitted) -> Self {
        match admitted {
            Admitted::Waiting(class, position) => Self { place: Some((shared, class, position)), stalls: None },
            Admitted::Shed(_) => Self::nothing(),
        }
    }

    /// Nothing to wait for: the event was shed, or the store is disabled.
    pub(crate) const fn nothing() -> Self {
        Self { place: None, stalls: None }
    }

    /// Whether the event was shed: it is counted and the gap is recorded, but it is not in the log.
    #[must_use]
    pub const fn is_shed(&self) -> bool {
        self.place.is_none()
    }

    /// Waits until the event survives power loss and says where it is.
    ///
    /// The thread that waits runs the commit itself when nobody else does, so that a single writer pays no hand-over.
    ///
    /// # Errors
    /// `Poisoned`: a write or sync failed, the event is not promised. `Busy`: no room on disk. The event waits in memory and may
    /// yet be recorded, unless there is no room for its idempotency key: then it was not, and the message says so. `Rejected`: the idempotency key belongs to another event. `NotFound`: shed.
    pub fn wait(self) -> Result<Receipt> {
        let Some((shared, class, position)) = self.place else { return Err(shed()) };
        wait_until_durable(shared, class, position)?;
        receipt(shared, lane_index(class), position)
    }
}

fn this_thread() -> Waiter {
    Waiter::Thread(thread::current())
}

/// Makes everything up to `position` of the lane durable, whatever the durability mode would still gather.
pub(crate) fn force_durable(shared: &Shared, class: Class, position: u64) -> Result<()> {
    let lane = lane_index(class);
    while shared.board.durable(lane) <= position {
        if shared.board.is_dead() {
            return Err(shared.death());
        }
        let stalls = shared.board.stalls();
        // Waits for whoever builds now. `Idle` then means that another thread took the event and is writing it.
        if shared.cycle()? == Progress::Idle && shared.board.register(lane, position, stalls, this_thread()) {
            thread::park();
        }
    }
    Ok(())
}

/// Returns once everything up to `position` of the lane is durable.
pub(crate) fn wait_until_durable(shared: &Shared, class: Class, position: u64) -> Result<()> {
    if fork::generation() != shared.forks {
        return Err(shared.why_closed());
    }
    let lane = lane_index(class);
    let stalls = shared.board.stalls();
    let leads = !shared.config.threads
        || match shared.config.durability {
            Durability::Immediate => true,
            Durability::Batched { .. } => false,
            Durability::Hybrid { .. } => class == Class::Critical,
        };
    loop {
        if shared.board.durable(lane) > position {
            return Ok(());
        }
        if shared.board.is_dead() {
            return Err(shared.death());
        }
        if shared.board.stalls() != stalls
            && let Some(error) = shared.board.stalled()
        {
            return Err(error);
        }
        let cycle = match leads {
            // A task that one of the store's threads woke: nobody else may be there to serve it.
            _ if is_own() => Some(shared.cycle()?),
            true => shared.try_cycle()?,
            false => None,
        };
        if matches!(cycle, Some(Progress::Committed | Progress::Cleared)) {
            continue;
        }
        if shared.board.register(lane, position, stalls, this_thread()) {
            match cycle {
                // Nothing waits in the lanes: whoever took the event is writing it.
                Some(_) => {}
                // Whoever builds now may have taken the lanes before this event came: then the committer goes again.
                None if leads => shared.committer.wake_now(),
                None => shared.notify(Admitted::Waiting(class, position)),
            }
            if shared.config.threads {
                thread::park();
            } else {
                thread::yield_now();
            }
        }
    }
}

impl Future for Ticket<'_> {
    type Output = Result<Receipt>;

    /// As [`wait`](Ticket::wait), but never blocks on the disk: the committer is woken and does the work. Without threads, polling
    /// does it.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((shared, class, position)) = self.place else { return Poll::Ready(Err(shed())) };
        if fork::generation() != shared.forks {
            return Poll::Ready(Err(shared.why_closed()));
        }
        let seen = &mut self.get_mut().stalls;
        let stalls = *seen.get_or_insert_with(|| shared.board.stalls());
        let lane = lane_index(class);
        loop {
            if shared.board.durable(lane) > position {
                return Poll::Ready(receipt(shared, lane, position));
            }
            if shared.board.is_dead() {
                return Poll::Ready(Err(shared.death()));
            }
            if shared.board.stalls() != stalls
                && let Some(error) = shared.board.stalled()
            {
                // Polled again it waits again.
                *seen = None;
                return Poll::Ready(Err(error));
            }
            if !shared.config.threads {
                if let Err(error) = shared.cycle() {
                    *seen = None;
                    return Poll::Ready(Err(error));
                }
                continue;
            }
            if shared.board.register(lane, position, stalls, Waiter::Task(context.waker().clone())) {
                shared.committer.wake();
                return Poll::Pending;
            }
        }
    }
}

fn shed() -> Error {
    Error::new(ErrorKind::NotFound, "the event was not recorded: its lane was full and sheds, or the store is disabled")
}

/// The receipt of a durable position.
fn receipt(shared: &Shared, lane: usize, position: u64) -> Result<Receipt> {
    let (fate, offset, leaf, place) = match shared.board.look_up(lane, position) {
        Lookup::Known(fate, offset, leaf, place) => (fate, offset, leaf, place),
        Lookup::Pending => return Err(Error::new(ErrorKind::Busy, "the event is not durable yet")),
        Lookup::Dead(cause) => return Err(Error::poisoned(&cause)),
        Lookup::Forgotten => {
            return Err(Error::new(
                ErrorKind::NotFound,
                "the event is durable, but it was so long ago that its place is not remembered",
            )
            .with_hint("search for it by its id"));
        }
    };
    let (log, seq, idempotence) = match fate {
        Fate::Recorded { log, seq, keyed, forgotten } => {
            let idempotence = match (keyed, forgotten) {
                (false, _) => Idempotence::NoKey,
                (true, false) => Idempotence::New,
                (true, true) => Idempotence::NewWithinWindow,
            };
            (log, Some(seq + offset), idempotence)
        }
        Fate::Duplicate { log, seq } => (log, Some(seq), Idempotence::Duplicate),
        Fate::Repeated { log } => (log, None, Idempotence::Repeated),
        Fate::Conflict { seq, .. } => {
            return Err(Error::new(ErrorKind::Rejected, format!("the idempotency key was used for another event, at {seq}"))
                .with_hint("use a new key for a new event"));
        }
        Fate::TooManyProducers => {
            return Err(Error::new(
                ErrorKind::Rejected,
                "more producers, or more gaps in a producer's sequence, than can be remembered",
            )
            .with_hint("let producers deliver in order, and reuse producer ids"));
        }
        Fate::IndexFailed { full: true } => {
            let cause = Error::io("could not make its next file", std::io::ErrorKind::StorageFull.into());
            let what = "the index of idempotency keys cannot grow now; the event was not recorded";
            return Err(Error::new(ErrorKind::Busy, what)
                .with_cause(cause)
                .with_hint("free disk space, then send it again with the same key: it is recorded once"));
        }
        Fate::IndexFailed { full: false } => {
            return Err(Error::new(
                ErrorKind::Io,
                "the index of idempotency keys could not be read or written; the event was not recorded",
            ));
        }
    };
    let known = shared.origins.iter().find(|(known, _)| *known == log);
    let origin = known.map_or_else(|| "".into(), |(_, origin)| Arc::clone(origin));
    let (leaf, tenant_seq) = match (leaf, seq) {
        (Some((leaf, tenant_seq)), _) => (Some(leaf), Some(tenant_seq)),
        (None, None) => (None, None),
        (None, Some(seq)) => {
            let (leaf, tenant_seq) = read_back(shared, log, seq, place)?;
            (Some(leaf), Some(tenant_seq))
        }
    };
    Ok(Receipt { origin, log, seq, leaf, tenant_seq, idempotence })
}

/// Leaf and tenant number of a durable event, from the journal or a segment.
fn read_back(shared: &Shared, log: u32, seq: u64, place: crate::commit::journal::Place) -> Result<(Hash, u64)> {
    if let Some(found) = shared.read_back.find(&shared.world, &shared.config.dir, place, log, seq)? {
        return Ok(found);
    }
    // A duplicate's original is in an older frame than the batch that answered it; or the frame is sealed.
    let stored = shared.reader.record(log, seq)?;
    let stored =
        stored.ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("event {seq} of log {log} is not where it was written")))?;
    Ok((stored.leaf(), stored.tenant_seq().unwrap_or_default()))
}
