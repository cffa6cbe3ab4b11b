//! Any number of realistic audit events, each a function of the seed and its number: typed for us, as JSON text for others.
//!
//! They are what a company's services write in a day: 50,000 people and 100,000 data sets, few of which do and get most (Zipf), 200
//! tenants of as different sizes, one failure in twenty, and in every event numbers that nobody has seen before (its id, its request).
//! Events lie a fixed gap apart and a little off, so their order is that of their numbers. Nothing is kept per event: the 999th
//! costs what the first did, and threads can make disjoint parts.

use std::fmt::Write as _;

use fastrand::Rng;
use indelible::taxonomy::{self, Action};
use indelible::{Draft, Outcome};

use crate::ranks::Ranks;

const ACTORS: u32 = 50_000;
const TENANTS: u32 = 200;
const TARGETS: u32 = 100_000;
const SESSIONS_PER_ACTOR: u32 = 4;
const HOSTS: u32 = 40;
/// 2026-01-01 UTC, where time begins.
pub(crate) const EPOCH_NS: i64 = 1_767_225_600_000_000_000;

/// The tables that events are drawn from; about 12 MB.
pub(crate) struct Zipf {
    pub(crate) seed: u64,
    gap_ns: u64,
    actors: Vec<Actor>,
    actor_ranks: Ranks,
    target_ranks: Ranks,
    tenants: Vec<String>,
    hosts: Vec<String>,
    actions: Ranks,
}

/// Everything about a person in three cache lines, next to one another: fetching six texts from six places would cost more than all
/// the rest of an event.
struct Actor {
    texts: [u8; 112],
    /// Where id, name, e-mail address and two addresses of machines end in `texts`.
    ends: [u8; 5],
    tenant: u8,
    user_agent: u8,
    /// The first of its sessions' numbers; the others follow from it.
    session: u64,
}

/// One event, in the pieces an application has it in.
pub(crate) struct Event<'z> {
    pub(crate) id: Text<36>,
    pub(crate) time_ns: i64,
    pub(crate) tenant: &'z str,
    pub(crate) actor_id: &'z str,
    pub(crate) actor_name: &'z str,
    pub(crate) actor_email: &'z str,
    pub(crate) session: Text<10>,
    pub(crate) ip: &'z str,
    pub(crate) user_agent: &'static str,
    pub(crate) host: &'z str,
    pub(crate) action: Action<'static>,
    pub(crate) outcome: Outcome,
    pub(crate) target_kind: &'static str,
    pub(crate) target_id: Text<11>,
    pub(crate) request: Text<32>,
    pub(crate) reason: &'static str,
    pub(crate) duration_us: u64,
    pub(crate) mfa: bool,
}

impl Zipf {
    /// Events `gap_ms` apart. Cost: about 40 ms.
    pub(crate) fn new(seed: u64, gap_ms: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let tenant_ranks = Ranks::zipf(TENANTS, 1.3);
        let tenants: Vec<String> = (0..TENANTS).map(|nth| format!("tenant-{nth:03}")).collect();
        let actors = (0..ACTORS).map(|nth| Actor::generate(&mut rng, nth, tenant_ranks.draw(rng_word(seed, nth)))).collect();
        Self {
            seed,
            gap_ns: gap_ms * 1_000_000,
            actors,
            actor_ranks: Ranks::zipf(ACTORS, 1.05),
            target_ranks: Ranks::zipf(TARGETS, 1.15),
            tenants,
            hosts: (0..HOSTS).map(|nth| format!("app-{nth:02}")).collect(),
            actions: Ranks::new(&ACTIONS.map(|(_, _, weight)| weight)),
        }
    }

    /// The `nth` event.
    #[inline]
    pub(crate) fn at(&self, nth: u64) -> Event<'_> {
        let mut rng = Rng::with_seed(mixed(self.seed ^ mixed(nth)));
        let time_ns = self.time_ns(nth) + i64::try_from(rng.u64(..self.gap_ns)).unwrap_or(0);
        let actor = at(&self.actors, self.actor_ranks.draw(rng.u64(..)));
        let rest = rng.u64(..);
        // Disjoint bits of one word decide what needs few.
        let piece = |shift: u32, end: u64| (((rest >> shift) & 0xffff) * end) >> 16;
        let (action, target_kind, _) = *at(&ACTIONS, self.actions.draw(rng.u64(..)));
        let outcome = match piece(0, 100) {
            0..95 => Outcome::Success,
            95..98 => Outcome::Failure,
            _ => Outcome::Denied,
        };
        let session = mixed(actor.session + u64::from(SESSIONS_PER_ACTOR) * (rest & 0xff) / 256);
        let small = rng.u64(..);
        Event {
            id: uuid(time_ns, [rng.u64(..), rng.u64(..)]),
            time_ns,
            tenant: at(&self.tenants, usize::from(actor.tenant)).as_str(),
            actor_id: actor.text(0),
            actor_name: actor.text(1),
            actor_email: actor.text(2),
            session: Text::prefixed(b"s-").hex::<8>(2, session),
            ip: actor.text(3 + usize::from(small & 7 == 0)),
            user_agent: word(&USER_AGENTS, usize::from(actor.user_agent)),
            host: at(&self.hosts, index(piece(16, u64::from(HOSTS)))).as_str(),
            action,
            outcome,
            target_kind,
            target_id: Text::prefixed(b"ds-").hex::<8>(3, mixed(self.target_ranks.draw(rng.u64(..)) as u64)),
            request: Text::prefixed(b"").hex::<16>(0, rng.u64(..)).hex::<16>(16, rng.u64(..)),
            reason: if outcome == Outcome::Success {
                word(REASONS, index(piece(32, REASONS.len() as u64)))
            } else {
                word(REFUSALS, index(piece(32, REFUSALS.len() as u64)))
            },
            // From 90 µs to 260 ms, the short ones more often.
            duration_us: 90 + (1 << (piece(48, 18))) + (small >> 8) % (1 << (piece(48, 18))),
            mfa: small & 0x80 != 0,
        }
    }

    /// All tenants.
    pub(crate) fn tenants(&self) -> &[String] {
        &self.tenants
    }

    /// Where the time of the `nth` event begins; that of the next begins a gap later.
    pub(crate) fn time_ns(&self, nth: u64) -> i64 {
        EPOCH_NS + i64::try_from(nth * self.gap_ns).unwrap_or(i64::MAX / 2)
    }

    /// The number of the event that happened at `time_ns`.
    pub(crate) fn number_of(&self, time_ns: i64) -> Option<u64> {
        u64::try_from(time_ns - EPOCH_NS).ok()?.checked_div(self.gap_ns)
    }
}

impl Actor {
    fn generate(rng: &mut Rng, nth: u32, tenant: usize) -> Self {
        let first = word(FIRST, rng.usize(..FIRST.len()));
        let last = word(LAST, rng.usize(..LAST.len()));
        let mut ip = || format!("10.{}.{}.{}", rng.u8(..), rng.u8(..), rng.u8(1..));
        let email = format!("{}.{}@t{tenant:03}.example", first.to_lowercase(), last.to_lowercase());
        let pieces = [format!("u-{nth:05}"), format!("{first} {last}"), email, ip(), ip()];
        let mut end = 0;
        let ends = pieces.each_ref().map(|piece| {
            end += piece.len();
            u8::try_from(end).unwrap_or(u8::MAX)
        });
        let mut texts = [b' '; 112];
        texts.iter_mut().zip(pieces.concat().bytes()).for_each(|(to, from)| *to = from);
        Self {
            texts,
            ends,
            tenant: u8::try_from(tenant).unwrap_or(u8::MAX),
            user_agent: rng.u8(..4),
            session: u64::from(nth) * u64::from(SESSIONS_PER_ACTOR),
        }
    }

    /// One of its texts.
    #[inline]
    fn text(&self, piece: usize) -> &str {
        let end = |piece: usize| usize::from(*at(&self.ends, piece));
        let start = piece.checked_sub(1).map_or(0, end);
        std::str::from_utf8(self.texts.get(start..end(piece)).unwrap_or_default()).unwrap_or_default()
    }
}

impl Event<'_> {
    /// The typed event, as a call site would write it, with the id and the time that others get too.
    #[inline]
    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft::new(self.action)
            .outcome(self.outcome)
            .id(self.id.text())
            .time_ns(self.time_ns)
            .tenant(self.tenant)
            .actor(self.actor_id)
            .actor_type("user")
            .actor_name(self.actor_name)
            .actor_email(self.actor_email)
            .session(self.session.text())
            .ip(self.ip)
            .user_agent(self.user_agent)
            .host(self.host)
            .target(self.target_kind, self.target_id.text())
            .detail("duration_us", self.duration_us)
            .detail("mfa", self.mfa)
            .detail("reason", self.reason)
            .detail("request_id", self.request.text())
    }

    pub(crate) fn severity(&self) -> &'static str {
        self.action.defaults(self.outcome).1.name()
    }

    /// Appends its details as JSON, the members in the order in which we store them.
    pub(crate) fn details_json(&self, out: &mut String) {
        let Self { duration_us, mfa, reason, request, .. } = self;
        let request = request.text();
        // Writing to a text does not fail, here and below.
        let _ = write!(out, r#"{{"duration_us":{duration_us},"mfa":{mfa},"reason":"{reason}","request_id":"{request}"}}"#);
    }

    /// Appends the event as others store it: one line of JSON. None of its texts needs an escape.
    pub(crate) fn json_line(&self, out: &mut String) {
        let (id, tenant, session) = (self.id.text(), self.tenant, self.session.text());
        let (action, outcome, severity) = (self.action.name(), self.outcome.name(), self.severity());
        let time = indelible::time::format(self.time_ns);
        let _ = write!(out, r#"{{"id":"{id}","time":"{time}","tenant":"{tenant}","action":"{action}","outcome":"{outcome}","#);
        let Self { actor_id, actor_name, actor_email, .. } = self;
        let _ = write!(out, r#""severity":"{severity}","actor":{{"id":"{actor_id}","type":"user","name":"{actor_name}","#);
        let Self { ip, user_agent, host, target_kind, .. } = self;
        let _ = write!(out, r#""email":"{actor_email}"}},"session":"{session}","origin":{{"ip":"{ip}","#);
        let target_id = self.target_id.text();
        let _ = write!(out, r#""user_agent":"{user_agent}","host":"{host}"}},"targets":[{{"type":"{target_kind}","#);
        let _ = write!(out, r#""id":"{target_id}"}}],"details":"#);
        self.details_json(out);
        out.push_str("}\n");
    }
}

/// ASCII of a fixed length without an allocation.
#[derive(Clone, Copy)]
pub(crate) struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    fn prefixed(prefix: &[u8]) -> Self {
        let mut bytes = [b'-'; N];
        bytes.iter_mut().zip(prefix).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// Writes the lowest `D` hexadecimal digits of `number` at `from`.
    #[inline]
    fn hex<const D: usize>(mut self, from: usize, number: u64) -> Self {
        let digit = |nth: usize| {
            let nibble = (number >> (4 * (D - 1 - nth))).to_le_bytes()[0] & 15;
            // Without a table, so that all digits are made at once.
            nibble + b'0' + u8::from(nibble > 9) * (b'a' - b'9' - 1)
        };
        if let Some(place) = self.0.get_mut(from..from + D) {
            place.copy_from_slice(&std::array::from_fn::<u8, D, _>(digit));
        }
        self
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A UUIDv7 of that moment.
fn uuid(time_ns: i64, [left, right]: [u64; 2]) -> Text<36> {
    let ms = u64::try_from(time_ns / 1_000_000).unwrap_or(0);
    Text::prefixed(b"")
        .hex::<8>(0, ms >> 16)
        .hex::<4>(9, ms)
        .hex::<4>(14, 0x7000 | left & 0xfff)
        .hex::<4>(19, 0x8000 | left >> 12 & 0x3fff)
        .hex::<12>(24, right)
}

/// The element there. Panics outside, which the tables' own lengths exclude.
#[inline]
#[expect(clippy::indexing_slicing, reason = "every index is drawn below the table's length")]
fn at<T>(table: &[T], nth: usize) -> &T {
    &table[nth]
}

#[inline]
fn word(words: &[&'static str], nth: usize) -> &'static str {
    words.get(nth).copied().unwrap_or_default()
}

#[inline]
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn rng_word(seed: u64, nth: u32) -> u64 {
    mixed(mixed(seed) ^ u64::from(nth))
}

/// A number that looks like chance but follows from `number`: neighbours share no digits. (The finalizer of MurmurHash3.)
#[inline]
pub(crate) const fn mixed(number: u64) -> u64 {
    let number = (number.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ number >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ number >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ number >> 33
}

/// What is done, to what, and how often of a thousand.
const ACTIONS: [(Action<'static>, &str, f64); 16] = [
    (taxonomy::DATA_READ, "dataset", 300.0),
    (taxonomy::DATA_UPDATE, "dataset", 140.0),
    (taxonomy::USER_LOGIN, "account", 110.0),
    (taxonomy::FILE_READ, "file", 100.0),
    (taxonomy::RESOURCE_ACCESS, "bucket", 90.0),
    (taxonomy::USER_LOGOUT, "account", 70.0),
    (taxonomy::TOKEN_ISSUE, "token", 60.0),
    (taxonomy::FILE_WRITE, "file", 40.0),
    (taxonomy::RESOURCE_CREATE, "instance", 25.0),
    (taxonomy::DATA_EXPORT, "dataset", 20.0),
    (taxonomy::CONFIG_CHANGE, "service", 15.0),
    (taxonomy::RESOURCE_DELETE, "instance", 10.0),
    (taxonomy::ROLE_ASSIGN, "role", 8.0),
    (taxonomy::ACCESS_DENY, "repository", 6.0),
    (taxonomy::POLICY_CHANGE, "policy", 4.0),
    (taxonomy::PRIVILEGE_ESCALATE, "host", 2.0),
];
const FIRST: &[&str] = &[
    "Alice", "Bogdan", "Chiara", "Dinesh", "Elena", "Farid", "Grete", "Hiroshi", "Ines", "Jonas", "Kwame", "Leila", "Mei", "Noah",
];
const LAST: &[&str] =
    &["Almeida", "Brandt", "Costa", "Dubois", "Eriksen", "Fischer", "Gupta", "Haddad", "Ivanova", "Jansen", "Kowalska", "Lind"];
const USER_AGENTS: [&str; 4] = ["Firefox/140 (Linux)", "Chrome/141 (Windows)", "console/2.31 (linux)", "billing-worker/7.2"];
const REASONS: &[&str] = &["scheduled report", "user request", "api call", "retry after timeout", "policy sync", "batch job"];
const REFUSALS: &[&str] = &["bad_password", "expired_token", "not_owner", "quota_exceeded", "policy_denies"];

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn line(zipf: &Zipf, nth: u64) -> String {
        let mut out = String::new();
        zipf.at(nth).json_line(&mut out);
        out
    }

    #[test]
    fn an_event_follows_from_the_seed_and_its_number() {
        let (one, two, other) = (Zipf::new(7, 5), Zipf::new(7, 5), Zipf::new(8, 5));
        for nth in [0, 1, 99_999_999] {
            assert_eq!(line(&one, nth), line(&two, nth));
            assert_ne!(line(&one, nth), line(&other, nth));
        }
    }

    #[test]
    fn times_rise_and_give_the_number_back() {
        let zipf = Zipf::new(1, 5);
        let times: Vec<i64> = (0..10_000).map(|nth| zipf.at(nth).time_ns).collect();
        assert!(times.is_sorted_by(|a, b| a < b));
        assert!((0u64..).zip(&times).all(|(nth, time)| zipf.number_of(*time) == Some(nth)));
    }

    #[test]
    fn lines_are_json_of_the_promised_size_and_say_what_the_draft_says() {
        let zipf = Zipf::new(1, 5);
        let mut bytes = 0;
        for nth in 0..2_000 {
            let (text, event) = (line(&zipf, nth), zipf.at(nth));
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let draft = event.draft();
            assert_eq!(value["id"].as_str(), draft.id);
            assert_eq!(value["time"], indelible::time::format(event.time_ns));
            assert_eq!(value["actor"]["id"].as_str(), draft.actor.id);
            bytes += text.len();
        }
        assert!((500..540).contains(&(bytes / 2_000)), "{}", bytes / 2_000);
    }

    #[test]
    fn few_do_most() {
        let zipf = Zipf::new(1, 5);
        let mut by_actor: HashMap<&str, u32> = HashMap::new();
        (0..20_000).for_each(|nth| *by_actor.entry(zipf.at(nth).actor_id).or_default() += 1);
        let most = by_actor.values().max().unwrap();
        assert!((1_800..3_000).contains(most) && by_actor.len() > 3_000, "{most} of {}", by_actor.len());
    }
}
