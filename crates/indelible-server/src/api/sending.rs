//! Answers that are longer than memory: made on a thread of their own, sent in pieces to whoever takes them in time. One that is not whole
//! breaks the response off, so that nobody takes it for all there is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::http::Problem;
use crate::http::shares::{Holder, Place};
use crate::server::Server;

/// Bytes that are sent together.
pub(super) const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for a slow reader.
const PIECES: usize = 4;

/// The sending end.
pub(super) struct Sending {
    server: Arc<Server>,
    sender: mpsc::Sender<io::Result<Bytes>>,
    is_whole: Arc<AtomicBool>,
    is_broken: bool,
    /// Places of their own: such an answer lasts as long as its reader takes, and searches do not wait for that.
    _place: Place,
}

impl Sending {
    /// Waits for a place, and gives both ends.
    ///
    /// # Errors
    /// 503: too many are under way.
    pub(super) async fn begin(server: &Arc<Server>, holder: Holder) -> Result<(Self, Body), Problem> {
        let patience = server.config().time("limits.search_time");
        let place = server.exports.of(holder).take(1, patience).await;
        let place = place.ok_or_else(|| Problem::busy("too many exports are under way"))?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let is_whole = Arc::new(AtomicBool::new(false));
        let body = Body::from_stream(Pieces(receiver, Arc::clone(&is_whole)));
        Ok((Self { server: Arc::clone(server), sender, is_whole, is_broken: false, _place: place }, body))
    }

    /// Whether nobody takes it any more, or it cannot be gone on with.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken || self.server.is_draining()
    }

    /// It cannot be gone on with.
    pub(super) const fn give_up(&mut self) {
        self.is_broken = true;
    }

    /// Sends these bytes. Who takes nothing for `limits.body_time` is not waited for.
    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        let mut rest = Bytes::from(bytes);
        while !rest.is_empty() && !self.is_broken {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            let patience = self.server.config().time("limits.body_time");
            let sent = tokio::runtime::Handle::current().block_on(tokio::time::timeout(patience, self.sender.send(Ok(piece))));
            self.is_broken |= !matches!(sent, Ok(Ok(())));
        }
    }

    /// The end: whole, unless it was given up. Gives which.
    pub(super) fn end(self) -> bool {
        if self.is_broken {
            let _ = self.sender.try_send(Err(broken_off()));
        }
        self.is_whole.store(!self.is_broken, Ordering::Relaxed);
        !self.is_broken
    }
}

/// What is sent, and whether it is whole.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>, Arc<AtomicBool>);

impl futures_core::Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.poll_recv(context) {
            // Whoever made them gave up, and said so at most in a place that this reader left no room in.
            Poll::Ready(None) if !self.1.swap(true, Ordering::Relaxed) => Poll::Ready(Some(Err(broken_off()))),
            polled => polled,
        }
    }
}

fn broken_off() -> io::Error {
    io::Error::other("the export broke off")
}
