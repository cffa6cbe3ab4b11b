//! What is asked: questions with another literal each time, drawn from the events as a person would ask them.

use std::fmt;

use fastrand::Rng;

use crate::zipf::Zipf;

/// Rows of one page of an answer.
pub(crate) const PAGE_ROWS: usize = 100;
const HOUR_NS: i64 = 3_600_000_000_000;
/// Those that occur; the rarer ones are asked for as often.
const SEVERITIES: &[&str] = &["info", "low", "medium", "high"];

/// The kinds of questions, in the order in which they are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ById,
    LastOfActor,
    LastOfTenantAction,
    CountByAction,
    SeverityInHour,
    Substring,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// The event with this id.
    ById { id: String },
    /// The newest page of an actor's events, newest first.
    LastOfActor { actor: String },
    /// The newest page of what was done in a tenant.
    LastOfTenantAction { tenant: String, action: &'static str },
    /// How many events of each action there are.
    CountByAction,
    /// How many events are that severe from one moment (included) to another (excluded).
    SeverityInHour { severity: &'static str, from_ns: i64, to_ns: i64 },
    /// How many events have this somewhere in a value of their details.
    Substring { piece: String },
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::ById, Self::LastOfActor, Self::LastOfTenantAction, Self::CountByAction, Self::SeverityInHour, Self::Substring];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ById => "by id",
            Self::LastOfActor => "last 100 of an actor",
            Self::LastOfTenantAction => "last 100 tenant+action",
            Self::CountByAction => "count by action",
            Self::SeverityInHour => "severity in 1 h",
            Self::Substring => "substring in details",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Question {
    /// A question of that kind about the first `events` events. Actors, tenants and actions come as often as they do in the events.
    pub(crate) fn draw(kind: Kind, zipf: &Zipf, events: u64, rng: &mut Rng) -> Self {
        let event = zipf.at(rng.u64(..events));
        match kind {
            Kind::ById => Self::ById { id: event.id.text().to_owned() },
            Kind::LastOfActor => Self::LastOfActor { actor: event.actor_id.to_owned() },
            Kind::LastOfTenantAction => Self::LastOfTenantAction { tenant: event.tenant.to_owned(), action: event.action.name() },
            Kind::CountByAction => Self::CountByAction,
            Kind::SeverityInHour => {
                let severity = rng.choice(SEVERITIES).copied().unwrap_or("info");
                // Near an end of the log part of the hour is empty. Whole microseconds: some peers know no finer ones.
                let middle_ns = event.time_ns - event.time_ns % 1_000;
                Self::SeverityInHour { severity, from_ns: middle_ns - HOUR_NS / 2, to_ns: middle_ns + HOUR_NS / 2 }
            }
            Kind::Substring => Self::Substring { piece: piece(event.request.text(), rng) },
        }
    }

    /// Its arguments, as a child process is told them.
    #[cfg(feature = "peers")]
    pub(crate) fn as_json(&self) -> serde_json::Value {
        use serde_json::json;
        match self {
            Self::ById { id } => json!({"ask": "by_id", "id": id}),
            Self::LastOfActor { actor } => json!({"ask": "last_of_actor", "actor": actor}),
            Self::LastOfTenantAction { tenant, action } => {
                json!({"ask": "last_of_tenant_action", "tenant": tenant, "action": action})
            }
            Self::CountByAction => json!({"ask": "count_by_action"}),
            Self::SeverityInHour { severity, from_ns, to_ns } => {
                json!({"ask": "severity_in_hour", "severity": severity, "from_ns": from_ns, "to_ns": to_ns})
            }
            Self::Substring { piece } => json!({"ask": "substring", "piece": piece}),
        }
    }
}

/// A stretch of hexadecimal digits: half of them out of an event, half of chance. A digit and a letter are among them, so that no number and no
/// word of another member has it inside: peers that search the text of all details find the same as those that search values.
fn piece(request: &str, rng: &mut Rng) -> String {
    let length = rng.usize(6..=12);
    if rng.bool() {
        let from = rng.usize(..=request.len() - length);
        let cut: String = request.chars().skip(from).take(length).collect();
        if cut.contains(|digit: char| digit.is_ascii_alphabetic()) && cut.contains(|digit: char| digit.is_ascii_digit()) {
            return cut;
        }
    }
    let mut digits: String = (2..length).map(|_| rng.digit(16)).collect();
    digits.push_str("7e");
    digits
}
