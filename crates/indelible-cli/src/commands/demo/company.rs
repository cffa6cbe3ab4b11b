//! The made-up company: two dozen people and services, their ordinary day, and one night's break-in.
//!
//! Everything is a function of the moment it ends and of a seed.

use fastrand::Rng;
use indelible::{Draft, Outcome, taxonomy};

/// Where the intruder comes from; an address reserved for documentation.
pub(crate) const ATTACKER_ADDRESS: &str = "203.0.113.66";

/// One event, owned.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    time: i64,
    action: &'static str,
    outcome: Outcome,
    actor: &'static str,
    actor_kind: &'static str,
    email: Option<String>,
    ip: String,
    user_agent: &'static str,
    host: &'static str,
    session: String,
    target: (&'static str, String),
    detail: Option<(&'static str, &'static str)>,
    count: Option<(&'static str, u64)>,
}

impl Happening {
    /// Whether the intruder did it, once inside.
    pub(crate) fn is_break_in(&self) -> bool {
        self.ip == ATTACKER_ADDRESS && self.outcome != Outcome::Failure
    }

    pub(crate) fn draft(&self) -> Draft<'_> {
        let mut draft = Draft::new(self.action)
            .time_ns(self.time)
            .outcome(self.outcome)
            .actor(self.actor)
            .actor_type(self.actor_kind)
            .ip(&self.ip)
            .user_agent(self.user_agent)
            .host(self.host)
            .session(&self.session)
            .target(self.target.0, &self.target.1);
        draft.actor.email = self.email.as_deref();
        if let Some((key, text)) = self.detail {
            draft = draft.detail(key, text);
        }
        if let Some((key, count)) = self.count {
            draft = draft.detail(key, count);
        }
        draft
    }
}

const PEOPLE: &[&str] = &[
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "karim", "lena", "mallory", "nadia",
    "oscar", "peggy",
];
const SERVICES: &[&str] = &["svc-billing", "svc-deploy", "svc-backup", "svc-search", "svc-mail"];
const HOSTS: &[&str] = &["app-01", "app-02", "app-03", "db-01", "gateway"];
const BROWSERS: &[&str] =
    &["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "Mozilla/5.0 (Macintosh) Safari/618.1", "company-cli/3.4"];
const TABLES: &[&str] = &["customers", "invoices", "payroll", "orders", "tickets"];
const REPOSITORIES: &[&str] = &["shop", "billing", "infra", "website", "mobile"];

/// What people and services do, and how often.
const ORDINARY: &[(u32, &str, &str)] = &[
    (30, "data.read", "table"),
    (14, "data.update", "table"),
    (12, "repo.push", "repo"),
    (10, "ticket.update", "ticket"),
    (8, "file.read", "file"),
    (6, "pipeline.run", "pipeline"),
    (5, "file.write", "file"),
    (3, "data.delete", "table"),
    (2, "config.change", "service"),
    (1, "role.assign", "user"),
    (1, "key.rotate", "key"),
];

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const ORDINARY_EVENTS: usize = 3_200;
/// The break-in begins this long before the end of the day.
const NIGHT: i64 = 9 * HOUR;

/// The 24 hours before `end` (ns since 1970 UTC), in the order of time.
pub(crate) fn day(end: i64, seed: u64) -> Vec<Happening> {
    let mut random = Rng::with_seed(seed);
    let start = end - 24 * HOUR;
    let mut day: Vec<Happening> = (0..ORDINARY_EVENTS).map(|_| ordinary(start, &mut random)).collect();
    for person in PEOPLE {
        mornings_and_evenings(person, start, &mut random, &mut day);
    }
    night(end - NIGHT, &mut random, &mut day);
    day.iter_mut().for_each(|happening| happening.time -= happening.time.rem_euclid(MILLISECOND));
    day.sort_by_key(|happening| happening.time);
    day
}

fn pick<T: Copy>(choices: &[T], random: &mut Rng, fallback: T) -> T {
    choices.get(random.usize(0..choices.len().max(1))).copied().unwrap_or(fallback)
}

/// Somebody at work, with nothing special about it.
fn somebody(time: i64, action: &'static str, actor: &'static str, random: &mut Rng) -> Happening {
    let service = actor.starts_with("svc-");
    Happening {
        time,
        action,
        outcome: Outcome::Success,
        actor,
        actor_kind: if service { "service" } else { "user" },
        email: (!service).then(|| format!("{actor}@demo.example")),
        ip: if service { format!("10.20.0.{}", random.u8(2..60)) } else { format!("198.51.100.{}", random.u8(2..250)) },
        user_agent: if service { "internal/1.0" } else { pick(BROWSERS, random, "company-cli/3.4") },
        host: pick(HOSTS, random, "app-01"),
        session: format!("s-{:08x}", random.u32(..)),
        target: ("company", "demo".to_owned()),
        detail: None,
        count: None,
    }
}

fn ordinary(start: i64, random: &mut Rng) -> Happening {
    let total: u32 = ORDINARY.iter().map(|(weight, ..)| weight).sum();
    let mut draw = random.u32(0..total.max(1));
    let (action, kind) = ORDINARY
        .iter()
        .find_map(|(weight, action, kind)| {
            let here = draw < *weight;
            draw = draw.saturating_sub(*weight);
            here.then_some((*action, *kind))
        })
        .unwrap_or(("data.read", "table"));
    let actor = if random.u8(0..100) < 35 { pick(SERVICES, random, "svc-mail") } else { pick(PEOPLE, random, "alice") };
    // Services work around the clock, people mostly by day.
    let time = if actor.starts_with("svc-") { start + random.i64(0..24 * HOUR) } else { start + random.i64(0..12 * HOUR) };
    let mut happening = somebody(time, action, actor, random);
    happening.target = (kind, object(kind, random));
    happening.count = (kind == "table").then(|| ("rows", random.u64(1..500)));
    match random.u8(0..100) {
        0..=2 => {
            happening.outcome = Outcome::Denied;
            happening.detail = Some(("reason", "not_permitted"));
        }
        3 => {
            happening.outcome = Outcome::Error;
            happening.detail = Some(("reason", "timeout"));
        }
        _ => {}
    }
    happening
}

fn object(kind: &str, random: &mut Rng) -> String {
    match kind {
        "table" => pick(TABLES, random, "orders").to_owned(),
        "repo" => pick(REPOSITORIES, random, "shop").to_owned(),
        "file" => format!("/srv/share/report-{}.pdf", random.u16(1..400)),
        "user" => pick(PEOPLE, random, "bob").to_owned(),
        _ => format!("{kind}-{}", random.u16(1..300)),
    }
}

/// Logins with the odd mistyped password, and logouts.
fn mornings_and_evenings(person: &'static str, start: i64, random: &mut Rng, day: &mut Vec<Happening>) {
    for _ in 0..random.usize(2..5) {
        let mut time = start + random.i64(0..11 * HOUR);
        for _ in 0..random.usize(0..3).saturating_sub(1) {
            let mut mistyped = somebody(time, taxonomy::USER_LOGIN.name(), person, random);
            mistyped.outcome = Outcome::Failure;
            mistyped.target = ("app", "portal".to_owned());
            mistyped.detail = Some(("reason", "bad_password"));
            day.push(mistyped);
            time += random.i64(3 * SECOND..20 * SECOND);
        }
        let mut login = somebody(time, taxonomy::USER_LOGIN.name(), person, random);
        login.target = ("app", "portal".to_owned());
        login.detail = Some(("method", "password+otp"));
        let mut logout =
            Happening { time: time + random.i64(HOUR..9 * HOUR), action: taxonomy::USER_LOGOUT.name(), ..login.clone() };
        logout.detail = None;
        // Whoever is still there at the end of the day has not logged out.
        if logout.time < start + 24 * HOUR {
            day.push(logout);
        }
        day.push(login);
    }
}

/// Seconds after the login, action, target, and what else is said.
type Step = (i64, &'static str, (&'static str, &'static str), Option<(&'static str, &'static str)>, Option<(&'static str, u64)>);

/// Guesses, one of them right, and what followed.
fn night(start: i64, random: &mut Rng, day: &mut Vec<Happening>) {
    let mut time = start;
    let intruder = |time: i64, action: &'static str, actor: &'static str, random: &mut Rng| Happening {
        ip: ATTACKER_ADDRESS.to_owned(),
        user_agent: "python-requests/2.32",
        host: "gateway",
        session: String::from("s-00c0ffee"),
        email: None,
        ..somebody(time, action, actor, random)
    };
    for nth in 0..214 {
        time += random.i64(SECOND / 2..2 * SECOND);
        // First everybody's name with one password, then one name with many.
        let name = if nth < 64 { PEOPLE.get(nth % PEOPLE.len()).copied().unwrap_or("erin") } else { "erin" };
        let mut guess = intruder(time, taxonomy::USER_LOGIN.name(), name, random);
        guess.outcome = Outcome::Failure;
        guess.target = ("app", "portal".to_owned());
        guess.detail = Some(("reason", "bad_password"));
        guess.count = Some(("attempt", nth as u64 + 1));
        if nth == 100 {
            // An attempt to clear the screen of whoever reads the log.
            guess.user_agent = "\u{1b}[2J\u{1b}[1;1Hnothing to see here\u{202e}";
        }
        day.push(guess);
    }
    let story: [Step; 7] = [
        (2, taxonomy::USER_LOGIN.name(), ("app", "portal"), Some(("method", "password")), None),
        (9, taxonomy::TOKEN_ISSUE.name(), ("token", "pat-7713"), Some(("scope", "admin:read")), None),
        (41, taxonomy::PRIVILEGE_ESCALATE.name(), ("role", "billing-admin"), Some(("via", "misconfigured group")), None),
        (77, taxonomy::DATA_READ.name(), ("table", "payroll"), None, Some(("rows", 16))),
        (
            140,
            taxonomy::DATA_EXPORT.name(),
            ("table", "customers"),
            Some(("destination", "https://files.example.net/u/9c1")),
            Some(("rows", 48_211)),
        ),
        (171, taxonomy::POLICY_CHANGE.name(), ("policy", "alerting"), Some(("change", "login alerts off")), None),
        (185, taxonomy::USER_LOGOUT.name(), ("app", "portal"), None, None),
    ];
    for (seconds, action, (kind, id), detail, count) in story {
        let mut step = intruder(time + seconds * SECOND, action, "erin", random);
        step.target = (kind, id.to_owned());
        step.detail = detail;
        step.count = count;
        day.push(step);
    }
    let noticed = time + 49 * MINUTE;
    for (seconds, action, target, detail) in [
        (0, taxonomy::SECURITY_ALERT.name(), ("address", ATTACKER_ADDRESS), ("rule", "many failed logins, then one that worked")),
        (95, taxonomy::ACCOUNT_LOCK.name(), ("user", "erin"), ("reason", "suspected takeover")),
        (120, taxonomy::TOKEN_REVOKE.name(), ("token", "pat-7713"), ("reason", "suspected takeover")),
        (300, taxonomy::POLICY_CHANGE.name(), ("policy", "alerting"), ("change", "login alerts on")),
    ] {
        let mut step = somebody(noticed + seconds * SECOND, action, "grace", random);
        step.target = (target.0, target.1.to_owned());
        step.detail = Some(detail);
        day.push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1_760_000_000 * SECOND;

    #[test]
    fn the_day_is_a_few_thousand_events_in_order_and_repeats_by_seed() {
        let (day_1, again) = (day(END, 1), day(END, 1));
        assert!((3_400..4_000).contains(&day_1.len()), "{}", day_1.len());
        assert!(day_1.iter().all(|happening| (END - 24 * HOUR..=END).contains(&happening.time)));
        assert!(day_1.windows(2).all(|pair| pair[0].time <= pair[1].time));
        assert_eq!(format!("{day_1:?}"), format!("{again:?}"));
        assert_ne!(format!("{day_1:?}"), format!("{:?}", day(END, 2)));
    }

    #[test]
    fn the_story_is_in_every_day() {
        for seed in 0..20 {
            let day = day(END, seed);
            let by_intruder = |outcome: bool| {
                day.iter().filter(|h| h.ip == ATTACKER_ADDRESS && (h.outcome == Outcome::Failure) == outcome).count()
            };
            assert_eq!((by_intruder(true), by_intruder(false)), (214, 7));
            let export = day.iter().filter(|h| h.ip == ATTACKER_ADDRESS && h.action == "data.export").count();
            assert_eq!(export, 1);
        }
    }
}
