//! Tickets: the promise that an event will be recorded, to be waited for or not; and receipts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use indelible_format::Hash;
use indelible_format::event::Idempotence;
use parking_lot::{Condvar, Mutex};

use crate::error::{ClientError, ErrorKind};

/// Proof of acceptance: the event is durable at this place of the server's log. Keep `origin`, `seq` and `leaf`: with them, a
/// later proof of inclusion shows that the log still holds the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Origin of the log.
    pub origin: Arc<str>,
    /// Name of the log in its store.
    pub log: Arc<str>,
    /// Position in the log; `None` only for `Repeated`.
    pub seq: Option<u64>,
    /// Leaf hash at that position; `None` only for `Repeated`.
    pub leaf: Option<Hash>,
    /// Number of the event among its tenant's; `None` only for `Repeated`.
    pub tenant_seq: Option<u64>,
    /// What became of the idempotency key. Every event of a client has one; `Duplicate`: an attempt that seemed to fail had not.
    pub idempotence: Idempotence,
}

/// What became of an event.
pub(crate) type Settled = Result<Receipt, ClientError>;

/// Where it is written what became of an event.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    settled: Option<Settled>,
    wakers: Vec<Waker>,
}

impl Slot {
    /// Says what became of the event, once: `false` if that is known.
    pub(crate) fn settle(&self, settled: Settled) -> bool {
        let wakers = {
            let mut state = self.state.lock();
            if state.settled.is_some() {
                return false;
            }
            state.settled = Some(settled);
            std::mem::take(&mut state.wakers)
        };
        self.settled.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        true
    }
}

/// Returned by `emit`. Dropping it is fine: the event is on its way all the same.
#[derive(Debug, Clone)]
pub struct Ticket(Option<Arc<Slot>>);

impl Ticket {
    pub(crate) const fn of(slot: Arc<Slot>) -> Self {
        Self(Some(slot))
    }

    /// The event was shed.
    pub(crate) const fn nothing() -> Self {
        Self(None)
    }

    /// Whether the event was shed: it is counted, and the count is recorded, but the event is not.
    #[must_use]
    pub const fn is_shed(&self) -> bool {
        self.0.is_none()
    }

    /// Waits until the event is durable on the server and says where it is. While the server cannot be reached this waits for it,
    /// until the client is closed.
    ///
    /// # Errors
    /// `Rejected`, `Denied`: the server does not take it, and it will not be sent again. `NotFound`: it was shed here or there;
    /// or it is durable, but the server does not remember where. `Closed`: the client was closed before the server answered; it
    /// may be recorded.
    pub fn wait(self) -> Result<Receipt, ClientError> {
        let slot = self.0.ok_or_else(shed)?;
        let mut state = slot.state.lock();
        loop {
            if let Some(settled) = &state.settled {
                return settled.clone();
            }
            slot.settled.wait(&mut state);
        }
    }
}

impl Future for Ticket {
    type Output = Result<Receipt, ClientError>;

    /// As [`wait`](Ticket::wait), without a runtime of its own.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(slot) = &self.0 else { return Poll::Ready(Err(shed())) };
        let mut state = slot.state.lock();
        if let Some(settled) = &state.settled {
            return Poll::Ready(settled.clone());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

fn shed() -> ClientError {
    ClientError::new(ErrorKind::NotFound, "the event was not recorded: the queue was full, and telemetry is shed then")
}
