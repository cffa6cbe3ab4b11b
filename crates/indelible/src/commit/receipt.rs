//! Receipts: what a caller holds in hand once an event is durable.

use std::sync::Arc;

use indelible_format::Hash;
pub use indelible_format::event::Idempotence;

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
