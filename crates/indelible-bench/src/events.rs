//! The events everything is measured with: typed for us, the same as JSON text for others. A function of the seed.
//!
//! They look like the audit trail of a company's services: few tenants, some thousand people, a skew towards some of each, one
//! failure in twenty. About nine in ten are of the normal lane and the rest critical; none is telemetry, which may be shed.

use fastrand::Rng;
use indelible::taxonomy::{self, Action};
use indelible::{Class, Draft, Outcome};
use serde_json::{Map, Value, json};

/// How many different events there are; then they come again. Few enough that their pieces stay in the second-level cache: an
/// application has just made what it emits, and a cold generator would be measured as if it were the log.
const SAMPLES: usize = 1_024;
/// 2026-01-01 UTC, where the JSON texts' times begin.
const EPOCH_NS: i64 = 1_767_225_600_000_000_000;

/// One event, in the pieces an application has it in.
pub(crate) struct Sample {
    pub(crate) action: Action<'static>,
    pub(crate) outcome: Outcome,
    pub(crate) tenant: String,
    pub(crate) actor_id: String,
    pub(crate) actor_name: String,
    pub(crate) actor_email: String,
    pub(crate) session: String,
    pub(crate) ip: String,
    pub(crate) user_agent: &'static str,
    pub(crate) host: String,
    pub(crate) target_kind: &'static str,
    pub(crate) target_id: String,
    pub(crate) request: String,
    pub(crate) reason: &'static str,
    pub(crate) duration_us: u64,
    pub(crate) mfa: bool,
    /// When the JSON text says it happened, ns since 1970 UTC.
    pub(crate) time_ns: i64,
    /// The same event as a peer stores it.
    pub(crate) json: String,
}

/// The events of a run.
pub(crate) struct Samples {
    samples: Vec<Sample>,
}

impl Samples {
    pub(crate) fn generate(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self { samples: (0..SAMPLES).map(|nth| Sample::generate(&mut rng, nth)).collect() }
    }

    /// The `nth` event; they repeat.
    #[inline]
    pub(crate) fn at(&self, nth: usize) -> &Sample {
        let samples = self.samples.as_slice();
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the length, and generation makes it non-zero")]
        &samples[nth % samples.len()]
    }

    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Mean length of the JSON texts.
    pub(crate) fn json_bytes(&self) -> f64 {
        let total: usize = self.samples.iter().map(|sample| sample.json.len()).sum();
        total as f64 / self.len() as f64
    }

    /// Share of events of the critical lane.
    pub(crate) fn critical_share(&self) -> f64 {
        let critical = self.samples.iter().filter(|sample| sample.draft().effective_class() == Class::Critical).count();
        critical as f64 / self.len() as f64
    }

    /// One line for a report.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} different events of {:.0} B as JSON on average, {:.0} % of them critical",
            self.len(),
            self.json_bytes(),
            100.0 * self.critical_share()
        )
    }
}

impl Sample {
    /// The typed event, as a call site would write it.
    #[inline]
    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft::new(self.action)
            .outcome(self.outcome)
            .tenant(&self.tenant)
            .actor(&self.actor_id)
            .actor_type("user")
            .actor_name(&self.actor_name)
            .actor_email(&self.actor_email)
            .session(&self.session)
            .ip(&self.ip)
            .user_agent(self.user_agent)
            .host(&self.host)
            .target(self.target_kind, &self.target_id)
            .detail("request_id", &self.request)
            .detail("reason", self.reason)
            .detail("duration_us", self.duration_us)
            .detail("mfa", self.mfa)
    }

    /// Reads all its text, so that what is measured next finds it in the cache, as it does in an application that just made it.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let texts = [
            self.tenant.as_str(),
            &self.actor_id,
            &self.actor_name,
            &self.actor_email,
            &self.session,
            &self.ip,
            &self.host,
            &self.target_id,
            &self.request,
            &self.json,
        ];
        texts.iter().map(|text| text.bytes().step_by(CACHE_LINE_BYTES).map(u64::from).sum::<u64>()).sum()
    }

    fn generate(rng: &mut Rng, nth: usize) -> Self {
        let actions = if rng.u32(..100) < GRAVE_PERCENT { GRAVE } else { USUAL };
        let (action, target_kind) = rng.choice(actions).copied().unwrap_or((taxonomy::DATA_READ, "dataset"));
        let outcome = match rng.u32(..100) {
            0..95 => Outcome::Success,
            95..98 => Outcome::Failure,
            _ => Outcome::Denied,
        };
        let person = skewed(rng, 4_000);
        let first = rng.choice(FIRST).copied().unwrap_or_default();
        let last = rng.choice(LAST).copied().unwrap_or_default();
        let tenant = format!("tenant-{:02}", skewed(rng, 16));
        let time_ns = EPOCH_NS + i64::try_from(nth).unwrap_or(0) * 5_000_000 + i64::from(rng.u32(..5_000_000));
        let mut sample = Self {
            action,
            outcome,
            actor_id: format!("u-{person:05}"),
            actor_name: format!("{first} {last}"),
            actor_email: format!("{}.{}@{tenant}.example.com", first.to_lowercase(), last.to_lowercase()),
            tenant,
            session: format!("s-{:012x}", rng.u64(..1 << 48)),
            ip: format!("10.{}.{}.{}", rng.u8(..), rng.u8(..), rng.u8(1..)),
            user_agent: rng.choice(USER_AGENTS).copied().unwrap_or_default(),
            host: format!("app-{:02}", rng.u32(..40)),
            target_kind,
            target_id: format!("{target_kind}-{:08x}", skewed(rng, 50_000)),
            request: format!("{:016x}", rng.u64(..)),
            reason: if outcome == Outcome::Success { "allowed" } else { rng.choice(REASONS).copied().unwrap_or_default() },
            duration_us: rng.u64(80..250_000),
            mfa: rng.bool(),
            time_ns,
            json: String::new(),
        };
        sample.json = sample.as_json(rng, nth).to_string();
        sample
    }

    /// The event as others would store it, with the id and the time that we add ourselves.
    fn as_json(&self, rng: &mut Rng, nth: usize) -> Value {
        let text = |text: &str| Value::from(text);
        let mut event = Map::new();
        event.insert(
            "id".into(),
            format!(
                "019b76da-{:04x}-7{:03x}-8{:03x}-{:012x}",
                nth & 0xffff,
                rng.u32(..1 << 12),
                rng.u32(..1 << 12),
                rng.u64(..1 << 48)
            )
            .into(),
        );
        event.insert("time".into(), indelible::time::format(self.time_ns).into());
        event.insert("tenant".into(), text(&self.tenant));
        event.insert("action".into(), text(self.action.name()));
        event.insert("outcome".into(), text(self.outcome.name()));
        event.insert("severity".into(), text(self.action.defaults(self.outcome).1.name()));
        event.insert(
            "actor".into(),
            json!({"id": self.actor_id, "type": "user", "name": self.actor_name, "email": self.actor_email}),
        );
        event.insert("session".into(), text(&self.session));
        event.insert("origin".into(), json!({"ip": self.ip, "user_agent": self.user_agent, "host": self.host}));
        event.insert("targets".into(), json!([{"type": self.target_kind, "id": self.target_id}]));
        event.insert(
            "details".into(),
            json!({"request_id": self.request, "reason": self.reason, "duration_us": self.duration_us, "mfa": self.mfa}),
        );
        Value::Object(event)
    }
}

/// A number below `end`, the small ones more often: half of all draws are below a quarter of it.
fn skewed(rng: &mut Rng, end: u32) -> u64 {
    let draw = rng.f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^32")]
    let number = (draw * draw * f64::from(end)) as u64;
    number
}

const CACHE_LINE_BYTES: usize = 64;

/// Actions whose class is critical however they end are this share of all.
const GRAVE_PERCENT: u32 = 5;
/// Actions with what they are done to, as often as they stand here.
const USUAL: &[(Action<'static>, &str)] = &[
    (taxonomy::DATA_READ, "dataset"),
    (taxonomy::DATA_READ, "report"),
    (taxonomy::DATA_READ, "invoice"),
    (taxonomy::DATA_UPDATE, "dataset"),
    (taxonomy::FILE_READ, "file"),
    (taxonomy::FILE_WRITE, "file"),
    (taxonomy::USER_LOGIN, "account"),
    (taxonomy::USER_LOGOUT, "account"),
    (taxonomy::TOKEN_ISSUE, "token"),
    (taxonomy::RESOURCE_ACCESS, "bucket"),
    (taxonomy::RESOURCE_CREATE, "instance"),
    (taxonomy::RESOURCE_UPDATE, "instance"),
    (taxonomy::KEY_USE, "key"),
    (taxonomy::NETWORK_CONNECT, "service"),
];
const GRAVE: &[(Action<'static>, &str)] = &[
    (taxonomy::ACCESS_DENY, "repository"),
    (taxonomy::ACCOUNT_UPDATE, "account"),
    (taxonomy::CONFIG_CHANGE, "service"),
    (taxonomy::POLICY_CHANGE, "policy"),
    (taxonomy::ROLE_ASSIGN, "role"),
];
const FIRST: &[&str] =
    &["Alice", "Bogdan", "Chiara", "Dinesh", "Elena", "Farid", "Grete", "Hiroshi", "Ines", "Jonas", "Kwame", "Lucía"];
const LAST: &[&str] =
    &["Almeida", "Brandt", "Costa", "Dubois", "Eriksen", "Fischer", "Gupta", "Haddad", "Ivanova", "Jansen", "Kowalska"];
const USER_AGENTS: &[&str] =
    &["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "console/2.31.4 (linux; amd64)", "billing-worker/7.2"];
const REASONS: &[&str] = &["bad_password", "expired_token", "not_owner", "quota_exceeded", "policy_denies"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_events_and_another_makes_others() {
        let texts = |seed| Samples::generate(seed).samples.into_iter().map(|sample| sample.json).collect::<Vec<_>>();
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
    }

    #[test]
    fn events_have_the_size_and_the_mix_the_module_promises() {
        let samples = Samples::generate(1);
        assert!((480.0..560.0).contains(&samples.json_bytes()), "{}", samples.json_bytes());
        assert!((0.05..0.15).contains(&samples.critical_share()), "{}", samples.critical_share());
        assert!(samples.samples.iter().all(|sample| sample.draft().effective_class() != Class::Telemetry));
    }
}
