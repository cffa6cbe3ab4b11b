//! OpenTelemetry log records, as objects: attributes by their keys, so that paths can name them.
//!
//! `{"resource":{"attributes":{…}},"scope":{…},"timeUnixNano":"…","severityNumber":9,"body":…,"attributes":{…},"traceId":"…","spanId":"…",
//! "eventName":"…"}`: what the server makes of OTLP, whatever its encoding on the wire.

use indelible_format::{Outcome, Severity, Trace};

use crate::action::{self, Case};
use crate::facts::{Facts, Words};
use crate::found::Found;
use crate::generic::outcome_of;
use crate::hexadecimal::hexadecimal;
use crate::plan::Plan;
use crate::time::Reading;

const EVENT_NAME: u8 = 0;
const TIME: u8 = 1;
const OBSERVED_TIME: u8 = 2;
const SEVERITY: u8 = 3;
const TRACE_ID: u8 = 4;
const SPAN_ID: u8 = 5;
const OUTCOME: u8 = 6;
const STATUS: u8 = 7;
const EXCEPTION: u8 = 8;
const SERVICE: u8 = 9;
const ACTOR_ID: u8 = 10;
const ACTOR_NAME: u8 = 11;
const ACTOR_EMAIL: u8 = 12;
const SESSION: u8 = 13;
const ADDRESS: u8 = 14;
const USER_AGENT: u8 = 15;
const HOST: u8 = 16;

/// Attributes that say who, by the semantic conventions of now and of before.
const WHO: &[(&str, Option<u8>)] = &[
    ("user.id", Some(ACTOR_ID)),
    ("enduser.id", Some(ACTOR_ID)),
    ("user.name", Some(ACTOR_NAME)),
    ("enduser.pseudo.id", Some(ACTOR_NAME)),
    ("user.email", Some(ACTOR_EMAIL)),
    ("user.full_name", None),
    ("user.hash", None),
    ("enduser.role", None),
    ("enduser.scope", None),
    ("session.id", Some(SESSION)),
    ("session.previous_id", None),
    ("client.address", Some(ADDRESS)),
    ("source.address", Some(ADDRESS)),
    ("http.client_ip", Some(ADDRESS)),
    ("network.peer.address", Some(ADDRESS)),
    ("net.peer.ip", Some(ADDRESS)),
    ("net.sock.peer.addr", Some(ADDRESS)),
    ("user_agent.original", Some(USER_AGENT)),
    ("http.user_agent", Some(USER_AGENT)),
    ("device.id", None),
];

pub(crate) fn plan() -> Plan {
    let mut plan = Plan::default();
    for (key, slot) in WHO {
        plan.add(&["attributes", key], true, *slot);
    }
    plan.add(&["resource", "attributes", "host.name"], true, Some(HOST));
    for (path, slot) in [
        (&["eventName"][..], EVENT_NAME),
        (&["attributes", "event.name"], EVENT_NAME),
        (&["timeUnixNano"], TIME),
        (&["observedTimeUnixNano"], OBSERVED_TIME),
        (&["severityNumber"], SEVERITY),
        (&["traceId"], TRACE_ID),
        (&["spanId"], SPAN_ID),
        (&["attributes", "event.outcome"], OUTCOME),
        (&["attributes", "outcome"], OUTCOME),
        (&["attributes", "http.response.status_code"], STATUS),
        (&["attributes", "http.status_code"], STATUS),
        (&["attributes", "exception.type"], EXCEPTION),
        (&["attributes", "error.type"], EXCEPTION),
        (&["resource", "attributes", "service.name"], SERVICE),
    ] {
        plan.add(path, false, Some(slot));
    }
    plan
}

pub(crate) fn map<'a>(found: &Found<'a>, words: &mut Words, facts: &mut Facts<'a>) {
    match found.text(EVENT_NAME) {
        Some(name) => action::write_dotted(&mut words.action, "log", &name, Case::Keep),
        None => words.action.push_str("log.record"),
    }
    for slot in [TIME, OBSERVED_TIME] {
        // 0 is "unknown" in OTLP.
        if let Some(time) = found.text(slot).and_then(|text| text.parse::<i64>().ok()).filter(|time| *time > 0) {
            facts.offer_time(Reading::At(time));
        }
    }
    facts.severity = match found.integer(SEVERITY) {
        Some(1..=12) => Some(Severity::Info),
        Some(13..=16) => Some(Severity::Low),
        Some(17..=20) => Some(Severity::Medium),
        Some(21..=24) => Some(Severity::Critical),
        _ => None,
    };
    let word = found.text(OUTCOME);
    facts.outcome = match (word.as_deref().and_then(outcome_of), found.integer(STATUS)) {
        (Some(outcome), _) => outcome,
        (None, Some(401 | 403)) => Outcome::Denied,
        (None, Some(200..400)) => Outcome::Success,
        (None, Some(400..500)) => Outcome::Failure,
        (None, Some(500..600)) => Outcome::Error,
        _ if found.text(EXCEPTION).is_some() => Outcome::Error,
        _ => Outcome::Unknown,
    };
    let trace = found.text(TRACE_ID).and_then(|text| hexadecimal(&text));
    let span = found.text(SPAN_ID).and_then(|text| hexadecimal(&text));
    facts.trace = trace.zip(span).map(|(trace_id, span_id)| Trace { trace_id, span_id });
    facts.actor_id = found.text(ACTOR_ID);
    facts.actor_name = found.text(ACTOR_NAME);
    facts.actor_email = found.text(ACTOR_EMAIL);
    facts.session = found.text(SESSION);
    facts.user_agent = found.text(USER_AGENT);
    facts.host = found.text(HOST);
    facts.address(found.text(ADDRESS));
    facts.targets.push("service", found.text(SERVICE));
}
