//! What the server records of itself: reads, exports, refusals, changes. Events of the tenant `_system`, in the same log as everything else.
//!
//! Refusals may come in floods, which must not become floods of events: of those that are alike, the first is recorded within a second, and what
//! follows once a minute, as one event whose `weight` says how many. Only so many are told apart in a minute; the rest are one more kind. What
//! cannot be recorded when it happens (the disk is full, a lane is) is counted, and the count is recorded as soon as that goes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indelible::{Draft, Outcome, Store, taxonomy};
use parking_lot::Mutex;

use crate::access::{SYSTEM_TENANT, Scope, TooMany, is_tenant_name};
use crate::http::caller::Caller;
use crate::metrics::Metrics;

/// Source of these events.
const SOURCE: &str = "indelible-server";
/// Refusals told apart within a minute; the rest are one.
const APART_MAX: usize = 1_024;
/// For how long those gather that are like one that was recorded.
const GATHERING: Duration = Duration::from_secs(60);

/// Writes them.
pub(crate) struct Audit {
    store: Store,
    metrics: Arc<Metrics>,
    refusals: Mutex<HashMap<Refusal, Gathered>>,
    unrecorded: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Refusal {
    address: Option<IpAddr>,
    token: Option<String>,
    why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Why {
    /// A token that does not hold.
    Login(&'static str),
    Scope(Scope),
    /// To record for a tenant that is not the token's, or to have a copy of it; named if it can be a name.
    Tenant(Option<String>),
    /// To see an event of another tenant, or of the log itself.
    Hidden,
    /// To see what tells of all tenants, by a token of some.
    Bound,
    /// To ask about what is masked for the token.
    Masked,
    /// Beyond a rate of this.
    Rate(&'static str),
    /// More kinds than are told apart.
    Others,
}

/// Refusals of one kind that are not recorded yet, and when they will be.
#[derive(Debug)]
struct Gathered {
    count: u64,
    due: Instant,
}

impl Audit {
    pub(crate) fn new(store: Store, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, refusals: Mutex::default(), unrecorded: AtomicU64::new(0) }
    }

    /// A token that does not hold.
    pub(crate) fn failed_login(&self, address: Option<IpAddr>, why: &'static str) {
        self.refuse(Refusal { address, token: None, why: Why::Login(why) });
    }

    /// A token without the scope.
    pub(crate) fn denied(&self, caller: &Caller, scope: Scope) {
        self.refuse_caller(caller, Why::Scope(scope));
    }

    /// A token that would record for a tenant that is not its own, or that is not there, or would have a copy of it.
    pub(crate) fn other_tenant(&self, caller: &Caller, tenant: &str) {
        self.refuse_caller(caller, Why::Tenant(is_tenant_name(tenant).then(|| tenant.to_owned())));
    }

    /// A token that asked for an event of another tenant; its caller is told that there is none.
    pub(crate) fn hidden(&self, caller: &Caller) {
        self.refuse_caller(caller, Why::Hidden);
    }

    /// A token of some tenants that asked for what tells of all.
    pub(crate) fn bound(&self, caller: &Caller) {
        self.refuse_caller(caller, Why::Bound);
    }

    /// A token that asked about what is masked for it.
    pub(crate) fn masked(&self, caller: &Caller) {
        self.refuse_caller(caller, Why::Masked);
    }

    /// A token beyond a rate.
    pub(crate) fn limited(&self, caller: &Caller, many: TooMany) {
        self.refuse_caller(caller, Why::Rate(many.what));
    }

    fn refuse_caller(&self, caller: &Caller, why: Why) {
        self.refuse(Refusal { address: caller.address, token: Some(caller.token.id.clone()), why });
    }

    fn refuse(&self, refusal: Refusal) {
        let mut refusals = self.refusals.lock();
        let full = refusals.len() >= APART_MAX;
        let refusal = if full && !refusals.contains_key(&refusal) {
            Refusal { address: None, token: None, why: Why::Others }
        } else {
            refusal
        };
        refusals.entry(refusal).or_insert_with(|| Gathered { count: 0, due: Instant::now() }).count += 1;
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

    /// Writes what gathered and is due; called every second.
    pub(crate) fn tick(&self) {
        self.write(Instant::now());
    }

    /// Writes all that gathered; called before the end.
    pub(crate) fn finish(&self) {
        self.write(Instant::now() + GATHERING);
    }

    fn write(&self, now: Instant) {
        let refusals = due(&mut self.refusals.lock(), now);
        for (refusal, count) in refusals {
            let (action, outcome) = match refusal.why {
                Why::Login(_) => (taxonomy::USER_LOGIN, Outcome::Failure),
                _ => (taxonomy::ACCESS_DENY, Outcome::Denied),
            };
            let (address, reason) = (refusal.address.map(|address| address.to_string()), refusal.why.told());
            let mut draft = Draft::new(action).outcome(outcome).detail("reason", &*reason);
            if let Why::Tenant(Some(tenant)) = &refusal.why {
                draft = draft.target("tenant", tenant);
            }
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

/// Takes what is due, so that what is like it gathers from now on. What nothing was like for so long is forgotten.
fn due(refusals: &mut HashMap<Refusal, Gathered>, now: Instant) -> Vec<(Refusal, u64)> {
    let mut due = Vec::new();
    refusals.retain(|refusal, gathered| {
        if gathered.due > now {
            return true;
        }
        let count = std::mem::take(&mut gathered.count);
        if count > 0 {
            due.push((refusal.clone(), count));
            gathered.due = now + GATHERING;
        }
        count > 0
    });
    due
}

impl Why {
    fn told(&self) -> String {
        match self {
            Self::Login(why) => (*why).to_owned(),
            Self::Scope(scope) => format!("no scope {}", scope.name()),
            Self::Tenant(_) => "no token of this tenant".to_owned(),
            Self::Hidden => "an event of another tenant".to_owned(),
            Self::Bound => "what tells of all tenants".to_owned(),
            Self::Masked => "what is masked for this token".to_owned(),
            Self::Rate(what) => format!("too many {what}"),
            Self::Others => "more than are told apart".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(nth: u8) -> Refusal {
        Refusal { address: Some([192, 0, 2, nth].into()), token: None, why: Why::Hidden }
    }

    #[test]
    fn of_a_flood_the_first_is_told_at_once_and_the_rest_once_a_minute() {
        let mut refusals = HashMap::new();
        let start = Instant::now();
        let come = |refusals: &mut HashMap<_, Gathered>, nth, count| {
            refusals.entry(refusal(nth)).or_insert_with(|| Gathered { count: 0, due: start }).count += count;
        };
        come(&mut refusals, 1, 3);
        assert_eq!(due(&mut refusals, start), [(refusal(1), 3)]);
        come(&mut refusals, 1, 500);
        come(&mut refusals, 2, 1);
        assert_eq!(due(&mut refusals, start + GATHERING / 2), [(refusal(2), 1)], "another is told at once");
        assert_eq!(due(&mut refusals, start + GATHERING), [(refusal(1), 500)]);
        assert_eq!(due(&mut refusals, start + GATHERING * 2), []);
        assert!(refusals.is_empty(), "{refusals:?}");
    }
}
