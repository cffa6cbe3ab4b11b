//! Heads of requests while they come: memory that is taken before anybody is known.
//!
//! A connection may have sent so much of a head without asking; what is more takes room, which all connections together have little of. One
//! that finds none ends. Bodies have their own room, so that what comes while one is read is not counted here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that a connection may have sent without room, and that are read at once: its buffer has that size from the beginning.
const FREE_BYTES: usize = 8 << 10;
/// Room for what is more, of all connections.
const ROOM_BYTES: usize = 32 << 20;

/// Heads of all connections.
#[derive(Debug, Clone)]
pub(super) struct Heads {
    /// In KiB.
    room: Arc<Semaphore>,
}

/// What one connection has sent, and nobody has looked at yet.
#[derive(Debug, Clone)]
pub(super) struct Unread(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    heads: Heads,
    /// Those that are being read.
    bodies: usize,
    bytes: usize,
    /// Of them, what came last.
    last: usize,
    room: Vec<OwnedSemaphorePermit>,
    kib: usize,
}

impl Heads {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(ROOM_BYTES >> 10)) }
    }

    pub(super) fn connection(&self) -> Unread {
        let state = State { heads: self.clone(), bodies: 0, bytes: 0, last: 0, room: Vec::new(), kib: 0 };
        Unread(Arc::new(Mutex::new(state)))
    }
}

impl Unread {
    /// How much to read at once.
    pub(super) fn most(&self) -> usize {
        if self.0.lock().bodies > 0 { usize::MAX } else { FREE_BYTES }
    }

    /// Counts what came; `false` if there is no room for it.
    pub(super) fn came(&self, bytes: usize) -> bool {
        let mut state = self.0.lock();
        if state.bodies > 0 {
            return true;
        }
        state.bytes += bytes;
        state.last = bytes;
        let wanted = state.bytes.saturating_sub(FREE_BYTES).div_ceil(1 << 10).saturating_sub(state.kib);
        if wanted == 0 {
            return true;
        }
        let count = u32::try_from(wanted).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&state.heads.room).try_acquire_many_owned(count) else { return false };
        state.room.push(room);
        state.kib += wanted;
        true
    }

    /// What came before is done with: a request has begun, or something was answered. Of what came last, a part may be behind it.
    pub(super) fn done(&self) {
        let mut state = self.0.lock();
        state.bytes = state.bytes.min(state.last);
        state.room.clear();
        state.kib = 0;
    }

    /// A request has come; gives its body, which is not counted while it is read.
    pub(super) fn begun(&self, body: Incoming) -> Told {
        self.done();
        let unread = (!body.is_end_stream()).then(|| self.clone());
        if let Some(unread) = &unread {
            unread.0.lock().bodies += 1;
        }
        Told { body, unread }
    }

    fn body_ended(&self) {
        let mut state = self.0.lock();
        state.bodies -= 1;
        state.bytes = 0;
    }
}

/// The body of a request, which tells when nobody reads it any more.
pub(super) struct Told {
    body: Incoming,
    unread: Option<Unread>,
}

impl Body for Told {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(unread) = &self.unread {
            unread.body_ended();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_take_room_beyond_what_is_free_and_give_it_back() {
        let heads = Heads { room: Arc::new(Semaphore::new(10)) };
        let (one, other) = (heads.connection(), heads.connection());
        assert!(one.came(FREE_BYTES) && other.came(FREE_BYTES));
        assert_eq!(heads.room.available_permits(), 10, "that is free");
        assert!(one.came(1) && one.came(6 << 10) && other.came(3 << 10));
        assert_eq!(heads.room.available_permits(), 0);
        assert!(!other.came(1 << 10), "there is no more");
        // Its request has begun: a part of what came last may be of the next one.
        one.done();
        assert_eq!(heads.room.available_permits(), 7);
        assert!(one.came(2 << 10) && one.came(1 << 10));
        assert_eq!(heads.room.available_permits(), 6);
        drop(one);
        assert_eq!(heads.room.available_permits(), 7);
        // Who is answered again and again holds nothing, however much that is in all.
        let pinging = heads.connection();
        for _ in 0..100 {
            assert!(pinging.came(1_000));
            pinging.done();
        }
        assert_eq!(heads.room.available_permits(), 7);
    }
}
