//! Receipts: what a caller holds in hand once an event is durable.

use std::sync::Arc;

use indelible_format::Hash;

/// What became of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotence {
    /// The event had no key.
    NoKey,
    /// The key was never used in this log.
    New,
    /// The key was not used by any of the newest events that are remembered; older keys of this log are forgotten.
    NewWithinWindow,
    /// The same event was recorded under this key before; the receipt is that event's.
    Duplicate,
    /// The producer delivered this sequence number before; it is recorded, but where is not remembered.
    Repeated,
}

impl Idempotence {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoKey => "no-key",
            Self::New => "new",
            Self::NewWithinWindow => "new-within-window",
            Self::Duplicate => "duplicate",
            Self::Repeated => "repeated",
        }
    }
}

/// Proof of acceptance: the event is durable at this place. Keep `origin`, `seq` and `leaf`: with them, a later proof of
/// inclusion shows that the log still holds the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Origin of the log; shared by all its receipts.
    pub origin: Arc<str>,
    /// Number of the log in its store.
    pub log: u32,
    /// Position in the log; `None` only for `Repeated`.
    pub seq: Option<u64>,
    /// Leaf hash at that position; `None` only for `Repeated`.
    pub leaf: Option<Hash>,
    /// Number of the event among its tenant's; `None` only for `Repeated`.
    pub tenant_seq: Option<u64>,
    /// What became of the idempotency key.
    pub idempotence: Idempotence,
}
