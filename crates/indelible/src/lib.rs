//! The audit log that can prove itself: the embedded engine.
//!
//! An event's life, by folder: `admit` → `buffer` → `commit` → `digest` → `search` · `verify` · `watch`. Everything outside the
//! process goes through [`world`].

mod admit;
pub mod backup;
mod buffer;
mod commit;
mod config;
mod digest;
mod engine;
mod error;
pub mod identity;
mod json_object;
mod read;
mod retain;
mod seal;
pub mod search;
mod sink;
pub mod time;
pub mod verify;
mod watch;
pub mod world;

pub use admit::redact;
pub use buffer::LaneStats;
pub use commit::receipt::{Idempotence, Receipt};
pub use commit::recovery::Recovery;
pub use commit::ticket::Ticket;
pub use config::{CRITICAL_LANE_BYTES_MAX, Config, Durability, LaneConfig, Lanes, Overflow, Profile, Sealing};
pub use digest::LogHead;
pub use digest::checkpoints::{SignedCheckpoint, trusted_state_path};
pub use engine::{Closed, Stats, Store};
pub use error::{Error, ErrorKind, Result};
pub use identity::Identity;
pub use read::{Position, Reader, Scan, SearchMemory, Stored, TenantCopy};
pub use retain::{Expiration, ExpireOptions, Expired, Hold, Keep, LogPlan, Minimum, Plan, PlanOptions, Retention, Rule};
pub use seal::{ExpiredInfo, Sealed, SegmentInfo};
pub use watch::tap::{Committed, Tap};

/// Remote emit, with the API of the embedded store.
#[cfg(feature = "client")]
pub use indelible_client as client;
#[cfg(feature = "client")]
pub use indelible_client::Client;

pub use indelible_format as format;
pub use indelible_format::sink::{Refusal, Sink};
pub use indelible_format::{
    Canonical, Class, Draft, Field, Hash, Head, Id, Outcome, Producer, Record, Rejection, Severity, Tag, Trace, Value, head,
    json, taxonomy, text,
};

/// Builds a [`Draft`] in one expression and emits it.
///
/// `setter: argument` calls the [`Draft`] method of that name; `"key" => value` adds a detail.
///
/// ```
/// use indelible::{Outcome, Store, event};
/// # fn main() -> indelible::Result<()> {
/// let store = Store::disabled();
/// let ticket = event!(store, "user.login", actor: "alice", outcome: Outcome::Failure, "reason" => "bad_password", "attempt" => 3)?;
/// assert!(ticket.is_shed()); // a disabled store records nothing
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! event {
    ($store:expr, $action:expr $(, $($rest:tt)*)?) => {
        $store.emit(&$crate::event!(@ $crate::Draft::new($action); $($($rest)*)?))
    };
    (@ $draft:expr; ) => { $draft };
    (@ $draft:expr; $key:literal => $value:expr $(, $($rest:tt)*)?) => {
        $crate::event!(@ $draft.detail($key, $value); $($($rest)*)?)
    };
    (@ $draft:expr; $setter:ident: ($($argument:expr),+ $(,)?) $(, $($rest:tt)*)?) => {
        $crate::event!(@ $draft.$setter($($argument),+); $($($rest)*)?)
    };
    (@ $draft:expr; $setter:ident: $argument:expr $(, $($rest:tt)*)?) => {
        $crate::event!(@ $draft.$setter($argument); $($($rest)*)?)
    };
}
