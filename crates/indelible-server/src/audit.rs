//! What the server records of itself: reads, exports, refusals, changes. Events of the tenant `_system`, in the same log as everything else.
//!
//! Refusals may come in floods, so those alike within a second are one event whose `weight` says how many. What cannot be recorded when it
//! happens (the disk is full, a lane is) is counted, and the count is recorded as soon as that goes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indelible::{Draft, Outcome, Store, taxonomy};
use parking_lot::Mutex;

use crate::access::{SYSTEM_TENANT, Scope};
use crate::http::caller::Caller;
use crate::metrics::Metrics;

/// Source of these events.
const SOURCE: &str = "indelible-server";
/// Refusals told apart within a second; the rest are one.
const APART_MAX: usize = 1_024;

/// Writes them.
pub(crate) struct Audit {
    store: Store,
    metrics: Arc<Metrics>,
    refusals: Mutex<HashMap<Refusal, u64>>,
    unrecorded: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Refusal {
    address: Option<IpAddr>,
    token: Option<String>,
    why: &'static str,
}

impl Audit {
    pub(crate) fn new(store: Store, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, refusals: Mutex::default(), unrecorded: AtomicU64::new(0) }
    }

    /// A token that does not hold.
    pub(crate) fn failed_login(&self, address: Option<IpAddr>, why: &'static str) {
        self.refuse(Refusal { address, token: None, why });
    }

    /// A token without the scope.
    pub(crate) fn denied(&self, caller: &Caller, scope: Scope) {
        let why = match scope {
            Scope::Emit => "no scope emit",
            Scope::Read => "no scope read",
            Scope::Audit => "no scope audit",
            Scope::Admin => "no scope admin",
        };
        self.refuse(Refusal { address: caller.address, token: Some(caller.token.id.clone()), why });
    }

    fn refuse(&self, refusal: Refusal) {
        let mut refusals = self.refusals.lock();
        let full = refusals.len() >= APART_MAX;
        let refusal = if full && !refusals.contains_key(&refusal) {
            Refusal { address: None, token: None, why: "more than are told apart" }
        } else {
            refusal
        };
        *refusals.entry(refusal).or_default() += 1;
    }

    /// Somebody read events: what was asked, in the words of the API.
    pub(crate) fn read(&self, caller: &Caller, operation: &str, asked: &str, tenants: &str) {
        let draft = Draft::new(taxonomy::AUDIT_READ).outcome(Outcome::Success).detail("operation", operation);
        self.by(caller, draft.detail("asked", asked).detail("tenants", tenants));
    }

    /// Events left the system.
    pub(crate) fn export(&self, caller: &Caller, asked: &str, tenants: &str, count: u64, complete: bool) {
        let outcome = if complete { Outcome::Success } else { Outcome::Failure };
        let draft = Draft::new(taxonomy::DATA_EXPORT).outcome(outcome).detail("asked", asked).detail("tenants", tenants);
        self.by(caller, draft.detail("count", count));
    }

    /// An event about what `caller` did, said by `draft`.
    pub(crate) fn by(&self, caller: &Caller, draft: Draft<'_>) {
        let address = caller.address.map(|address| address.to_string());
        let mut draft = draft.actor(&caller.token.id).actor_type("token").actor_name(&caller.token.name);
        draft.origin.ip = address.as_deref();
        self.record(draft, 1);
    }

    /// An event of the server's own.
    pub(crate) fn own(&self, draft: Draft<'_>) {
        self.record(draft.actor("indelible-server").actor_type("service"), 1);
    }

    fn record(&self, draft: Draft<'_>, weight: u64) -> bool {
        let recorded = self.store.try_emit(&draft.tenant(SYSTEM_TENANT).source(SOURCE).weight(weight)).is_ok();
        if !recorded {
            self.unrecorded.fetch_add(weight, Ordering::Relaxed);
            self.metrics.unaudited.inc_by(weight);
        }
        recorded
    }

    /// Writes what gathered; called every second, and before the end.
    pub(crate) fn tick(&self) {
        let refusals = std::mem::take(&mut *self.refusals.lock());
        for (refusal, count) in refusals {
            let (action, outcome) = match refusal.token {
                Some(_) => (taxonomy::ACCESS_DENY, Outcome::Denied),
                None => (taxonomy::USER_LOGIN, Outcome::Failure),
            };
            let address = refusal.address.map(|address| address.to_string());
            let mut draft = Draft::new(action).outcome(outcome).detail("reason", refusal.why);
            draft.actor.id = refusal.token.as_deref();
            draft.actor.kind = Some("token");
            draft.origin.ip = address.as_deref();
            self.record(draft, count);
        }
        let unrecorded = self.unrecorded.swap(0, Ordering::Relaxed);
        if unrecorded > 0 {
            let draft =
                Draft::new(taxonomy::AUDIT_GAP).outcome(Outcome::Failure).detail("what", "reads and refusals of the server");
            // Counted again if it fails; the metric counts each only once.
            if self.store.try_emit(&draft.tenant(SYSTEM_TENANT).source(SOURCE).weight(unrecorded)).is_err() {
                self.unrecorded.fetch_add(unrecorded, Ordering::Relaxed);
            }
        }
    }
}
