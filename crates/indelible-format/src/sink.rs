//! Where drafts go: an embedded store, or the client of a server. Layers record into either.

use std::sync::Arc;

use crate::draft::Draft;

/// Takes drafts without making whoever offers them wait.
///
/// Implementations neither block nor do I/O in [`offer`](Self::offer), count what they refuse, and may be called from any thread.
pub trait Sink: Send + Sync {
    /// Hands `draft` over. When this returns it is on its way, not durable yet.
    ///
    /// # Errors
    /// [`Refusal`]: nothing is recorded of it but a count.
    fn offer(&self, draft: &Draft<'_>) -> Result<(), Refusal>;
}

/// Why a draft was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not one that can be recorded, now or later.
    #[error("the event is not one that can be recorded")]
    Rejected,
    /// There is no room now.
    #[error("there is no room for the event now")]
    Full,
    /// Nothing is taken any more.
    #[error("nothing is recorded any more")]
    Stopped,
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn offer(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        (**self).offer(draft)
    }
}
