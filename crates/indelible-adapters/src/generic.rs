//! Any other JSON: application logs, ECS, Google Cloud, Okta, GitHub, Microsoft 365… by the keys that most of them use.
//!
//! A name such as "user id" is known in every spelling (`user_id`, `userId`, `UserID`, `user-id`…) at the top of the record; deeper
//! paths are named one by one. What is said nowhere is left out: the event then has the action `record.import`, an unknown outcome
//! or the time of its admission.

use std::borrow::Cow;

use indelible_format::json::Kind;
use indelible_format::{Outcome, Severity, Trace};

use crate::action::{self, Case};
use crate::facts::{Facts, Words};
use crate::found::{Found, Value};
use crate::hexadecimal::{hexadecimal, traceparent};
use crate::plan::Plan;
use crate::time;

const ACTION: u8 = 0;
const ID: u8 = 1;
const TIME: u8 = 2;
const OTHER_TIME: u8 = 3;
const OUTCOME: u8 = 4;
const STATUS: u8 = 5;
const SUCCESS: u8 = 6;
const SEVERITY: u8 = 7;
const ACTOR_ID: u8 = 8;
const ACTOR_NAME: u8 = 9;
const ACTOR_KIND: u8 = 10;
const ACTOR_EMAIL: u8 = 11;
const SESSION: u8 = 12;
const ADDRESS: u8 = 13;
const USER_AGENT: u8 = 14;
const HOST: u8 = 15;
const TRACE_ID: u8 = 16;
const SPAN_ID: u8 = 17;
const TRACE_PARENT: u8 = 18;
const TARGET: u8 = 19;
const TARGET_KIND: u8 = 20;
const TARGET_ID: u8 = 21;
const TARGET_NAME: u8 = 22;
const ERROR: u8 = 23;

/// Who, at the top of a record, as words; the best source of a slot first.
const WHO: &[(&str, Option<u8>)] = &[
    ("user id", Some(ACTOR_ID)),
    ("actor id", Some(ACTOR_ID)),
    ("principal id", Some(ACTOR_ID)),
    ("account id", Some(ACTOR_ID)),
    ("uid", Some(ACTOR_ID)),
    ("user name", Some(ACTOR_NAME)),
    ("user", Some(ACTOR_NAME)),
    ("actor", Some(ACTOR_NAME)),
    ("actor name", Some(ACTOR_NAME)),
    ("login", Some(ACTOR_NAME)),
    ("principal", Some(ACTOR_NAME)),
    ("account", Some(ACTOR_NAME)),
    ("account name", Some(ACTOR_NAME)),
    ("display name", Some(ACTOR_NAME)),
    ("full name", Some(ACTOR_NAME)),
    ("caller", Some(ACTOR_NAME)),
    ("identity", Some(ACTOR_NAME)),
    ("actor type", Some(ACTOR_KIND)),
    ("user type", Some(ACTOR_KIND)),
    ("email", Some(ACTOR_EMAIL)),
    ("user email", Some(ACTOR_EMAIL)),
    ("actor email", Some(ACTOR_EMAIL)),
    ("email address", Some(ACTOR_EMAIL)),
    ("mail", Some(ACTOR_EMAIL)),
    ("session id", Some(SESSION)),
    ("session", Some(SESSION)),
    ("sid", Some(SESSION)),
    ("ip", Some(ADDRESS)),
    ("ip address", Some(ADDRESS)),
    ("client ip", Some(ADDRESS)),
    ("client ip address", Some(ADDRESS)),
    ("client address", Some(ADDRESS)),
    ("remote ip", Some(ADDRESS)),
    ("remote addr", Some(ADDRESS)),
    ("remote address", Some(ADDRESS)),
    ("source ip", Some(ADDRESS)),
    ("source ip address", Some(ADDRESS)),
    ("source address", Some(ADDRESS)),
    ("src ip", Some(ADDRESS)),
    ("src addr", Some(ADDRESS)),
    ("src", Some(ADDRESS)),
    ("caller ip", Some(ADDRESS)),
    ("caller ip address", Some(ADDRESS)),
    ("actor ip", Some(ADDRESS)),
    ("actor ip address", Some(ADDRESS)),
    ("user ip", Some(ADDRESS)),
    ("user agent", Some(USER_AGENT)),
    ("host", Some(HOST)),
    ("host name", Some(HOST)),
    ("actor location", None),
    ("client", None),
    ("client host", None),
    ("created by", None),
    ("updated by", None),
    ("performed by", None),
    ("initiated by", None),
    ("requested by", None),
    ("on behalf of", None),
    ("impersonator", None),
    ("impersonated user", None),
    ("operator", None),
    ("first name", None),
    ("last name", None),
    ("phone", None),
    ("phone number", None),
    ("user key", None),
    ("device id", None),
    ("x forwarded for", None),
    ("related", None),
];

/// Who, deeper in the records of well-known sources.
const WHO_BELOW: &[(&[&str], Option<u8>)] = &[
    // Elastic Common Schema.
    (&["source", "ip"], Some(ADDRESS)),
    (&["source", "address"], Some(ADDRESS)),
    (&["source", "domain"], None),
    (&["source", "geo"], None),
    (&["source", "user"], None),
    // Google Cloud.
    (&["protoPayload", "authenticationInfo"], None),
    (&["protoPayload", "requestMetadata", "callerIp"], Some(ADDRESS)),
    (&["protoPayload", "requestMetadata", "callerSuppliedUserAgent"], Some(USER_AGENT)),
    // Okta.
    (&["request", "ipChain"], None),
    (&["request", "ipAddress"], Some(ADDRESS)),
    (&["authenticationContext", "externalSessionId"], Some(SESSION)),
    (&["debugContext", "debugData", "userAgent"], Some(USER_AGENT)),
    // Azure.
    (&["authentication"], None),
    (&["properties", "userPrincipalName"], Some(ACTOR_NAME)),
    (&["properties", "userDisplayName"], Some(ACTOR_NAME)),
    (&["properties", "userId"], Some(ACTOR_ID)),
    (&["properties", "ipAddress"], Some(ADDRESS)),
    (&["properties", "initiatedBy"], None),
    // HTTP servers.
    (&["http", "request", "headers", "user-agent"], Some(USER_AGENT)),
    (&["request", "remote_ip"], Some(ADDRESS)),
    (&["request", "user_agent"], Some(USER_AGENT)),
    // Linux auditd, parsed.
    (&["data", "acct"], Some(ACTOR_NAME)),
    (&["data", "auid"], Some(ACTOR_ID)),
    (&["data", "uid"], Some(ACTOR_ID)),
    (&["data", "ses"], Some(SESSION)),
    (&["data", "addr"], Some(ADDRESS)),
    (&["data", "hostname"], None),
    // Panther's collected indicators.
    (&["p_any_ip_addresses"], None),
    (&["p_any_usernames"], None),
    (&["p_any_emails"], None),
    (&["p_any_actor_ids"], None),
];

/// Fields inside values that move whole.
const INSIDE_WHO: &[(&[&str], u8)] = &[
    (&["actor", "id"], ACTOR_ID),
    (&["actor", "name"], ACTOR_NAME),
    (&["actor", "displayName"], ACTOR_NAME),
    (&["actor", "display_name"], ACTOR_NAME),
    (&["actor", "login"], ACTOR_NAME),
    (&["actor", "type"], ACTOR_KIND),
    (&["actor", "email"], ACTOR_EMAIL),
    (&["actor", "alternateId"], ACTOR_EMAIL),
    (&["actor", "ip"], ADDRESS),
    (&["user", "id"], ACTOR_ID),
    (&["user", "name"], ACTOR_NAME),
    (&["user", "username"], ACTOR_NAME),
    (&["user", "login"], ACTOR_NAME),
    (&["user", "email"], ACTOR_EMAIL),
    (&["identity", "userPrincipalName"], ACTOR_NAME),
    (&["client", "ip"], ADDRESS),
    (&["client", "ipAddress"], ADDRESS),
    (&["client", "address"], ADDRESS),
    (&["client", "userAgent", "rawUserAgent"], USER_AGENT),
    (&["user_agent", "original"], USER_AGENT),
    (&["host", "name"], HOST),
    (&["host", "hostname"], HOST),
    (&["session", "id"], SESSION),
    (&["protoPayload", "authenticationInfo", "principalEmail"], ACTOR_EMAIL),
    (&["protoPayload", "authenticationInfo", "principalSubject"], ACTOR_ID),
    (&["authentication", "principalId"], ACTOR_ID),
];

/// What and when, at the top of a record, as words.
const WHAT: &[(&str, u8)] = &[
    ("action", ACTION),
    ("event action", ACTION),
    ("event name", ACTION),
    ("event type", ACTION),
    ("operation name", ACTION),
    ("operation", ACTION),
    ("method name", ACTION),
    ("activity", ACTION),
    ("activity display name", ACTION),
    ("verb", ACTION),
    ("record type", ACTION),
    ("event", ACTION),
    ("type", ACTION),
    ("event id", ID),
    ("audit id", ID),
    ("uuid", ID),
    ("insert id", ID),
    ("id", ID),
    ("timestamp", TIME),
    ("event time", TIME),
    ("event timestamp", TIME),
    ("time", TIME),
    ("date time", TIME),
    ("occurred at", TIME),
    ("published", TIME),
    ("created at", TIME),
    ("creation time", TIME),
    ("date", TIME),
    ("ts", TIME),
    ("outcome", OUTCOME),
    ("result", OUTCOME),
    ("result status", OUTCOME),
    ("status", STATUS),
    ("status code", STATUS),
    ("http status", STATUS),
    ("success", SUCCESS),
    ("ok", SUCCESS),
    ("error", ERROR),
    ("error message", ERROR),
    ("severity", SEVERITY),
    ("level", SEVERITY),
    ("log level", SEVERITY),
    ("trace id", TRACE_ID),
    ("span id", SPAN_ID),
    ("trace parent", TRACE_PARENT),
    ("target", TARGET),
    ("resource", TARGET),
    ("object", TARGET),
    ("entity", TARGET),
    ("target type", TARGET_KIND),
    ("resource type", TARGET_KIND),
    ("object type", TARGET_KIND),
    ("entity type", TARGET_KIND),
    ("target id", TARGET_ID),
    ("resource id", TARGET_ID),
    ("object id", TARGET_ID),
    ("entity id", TARGET_ID),
    ("target name", TARGET_NAME),
    ("resource name", TARGET_NAME),
    ("object name", TARGET_NAME),
    ("entity name", TARGET_NAME),
    ("repo", TARGET_NAME),
    ("repository", TARGET_NAME),
];

/// What and when, deeper.
const WHAT_BELOW: &[(&[&str], u8)] = &[
    (&["event", "action"], ACTION),
    (&["event", "type"], ACTION),
    (&["event", "outcome"], OUTCOME),
    (&["event", "id"], ID),
    (&["outcome", "result"], OUTCOME),
    (&["data", "result"], OUTCOME),
    (&["protoPayload", "methodName"], ACTION),
    (&["protoPayload", "resourceName"], TARGET),
    (&["properties", "activityDisplayName"], ACTION),
    (&["@timestamp"], TIME),
    (&["trace", "id"], TRACE_ID),
    (&["span", "id"], SPAN_ID),
    (&["log", "level"], SEVERITY),
    (&["http", "response", "status_code"], STATUS),
    // A second chance for the time: ECS's moment of arrival.
    (&["event", "created"], OTHER_TIME),
    (&["receiveTimestamp"], OTHER_TIME),
];

pub(crate) fn plan() -> Plan {
    let mut plan = Plan::default();
    for (path, slot) in INSIDE_WHO {
        plan.add(path, false, Some(*slot));
    }
    for (path, slot) in WHO_BELOW {
        plan.add(path, true, *slot);
    }
    for (words, slot) in WHO {
        for key in spellings(words) {
            plan.add(&[key], true, *slot);
        }
    }
    for (path, slot) in WHAT_BELOW {
        plan.add(path, false, Some(*slot));
    }
    for (words, slot) in WHAT {
        for key in spellings(words) {
            plan.add(&[key], false, Some(*slot));
        }
    }
    plan
}

/// The ways keys are spelt: `user_id`, `user-id`, `user.id`, `user id`, `userid`, `userId`, `userID`, `UserId`, `UserID`, `USER_ID`.
fn spellings(words: &str) -> Vec<String> {
    let words: Vec<&str> = words.split(' ').collect();
    let capital = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    };
    // "ID" and "IP" are often written as the abbreviations they are.
    let shout = |word: &str| if matches!(word, "id" | "ip") { word.to_ascii_uppercase() } else { capital(word) };
    let camel = |each: &dyn Fn(&str) -> String| -> String {
        words.iter().enumerate().map(|(at, word)| if at == 0 { (*word).to_owned() } else { each(word) }).collect()
    };
    let pascal = |each: &dyn Fn(&str) -> String| -> String { words.iter().map(|word| each(word)).collect() };
    let mut all: Vec<String> = ["_", "-", ".", " ", ""].iter().map(|separator| words.join(separator)).collect();
    all.extend([camel(&capital), camel(&shout), pascal(&capital), pascal(&shout), words.join("_").to_ascii_uppercase()]);
    all
}

pub(crate) fn map<'a>(found: &Found<'a>, words: &mut Words, facts: &mut Facts<'a>) {
    match found.text(ACTION) {
        Some(name) => match known_verb(&name) {
            Some(known) => words.action.push_str(known),
            None => action::write_dotted(&mut words.action, "event", &name, Case::Keep),
        },
        None => words.action.push_str(action::FALLBACK),
    }
    words.id.push_str(&found.text(ID).unwrap_or_default());
    for slot in [TIME, OTHER_TIME] {
        if let Some(value) = found.value(slot)
            && let Some(text) = value.text()
        {
            facts.offer_time(if value.kind == Kind::Number { time::epoch(&text) } else { time::rfc3339(&text) });
        }
    }
    facts.outcome = outcome(found);
    facts.severity = found.text(SEVERITY).and_then(|word| severity(&word));
    facts.trace = trace(found);

    facts.actor_id = found.text(ACTOR_ID);
    facts.actor_name = found.text(ACTOR_NAME);
    facts.actor_kind = found.text(ACTOR_KIND);
    facts.actor_email = found.text(ACTOR_EMAIL);
    facts.session = found.text(SESSION);
    facts.user_agent = found.text(USER_AGENT);
    facts.host = found.text(HOST);
    facts.address(found.text(ADDRESS));
    map_targets(found, facts);
}

fn map_targets<'a>(found: &Found<'a>, facts: &mut Facts<'a>) {
    let kind = found.text(TARGET_KIND);
    let (id, name) = (found.text(TARGET_ID), found.text(TARGET_NAME));
    if id.is_some() || name.is_some() {
        facts.targets.push_all(kind.clone(), id, name);
    }
    for target in found.elements(TARGET) {
        if target.kind == Kind::Object {
            let kind = target.first_member(&["type", "kind"]);
            let id = target.first_member(&["id", "uid", "uuid", "key"]);
            facts.targets.push_all(kind, id, target.first_member(&["name", "displayName", "display_name"]));
        } else {
            facts.targets.push(kind.clone().unwrap_or(Cow::Borrowed("resource")), target.text());
        }
    }
}

/// Verbs that mean a known action whatever the noun.
fn known_verb(name: &str) -> Option<&'static str> {
    let is = |verb: &&str| name.eq_ignore_ascii_case(verb);
    if ["login", "logon", "log_in", "signin", "sign_in", "user_login"].iter().any(is) {
        Some("user.login")
    } else if ["logout", "logoff", "log_out", "signout", "sign_out", "user_logout"].iter().any(is) {
        Some("user.logout")
    } else {
        None
    }
}

fn outcome(found: &Found<'_>) -> Outcome {
    if let Some(outcome) = found.text(OUTCOME).and_then(|word| outcome_of(&word)) {
        return outcome;
    }
    if let Some(success) = found.value(SUCCESS).and_then(Value::boolean) {
        return if success { Outcome::Success } else { Outcome::Failure };
    }
    let status = found.text(STATUS);
    if let Some(outcome) = status.as_deref().and_then(outcome_of) {
        return outcome;
    }
    match status.and_then(|status| status.parse::<u16>().ok()) {
        Some(401 | 403) => Outcome::Denied,
        Some(200..400) => Outcome::Success,
        Some(400..500) => Outcome::Failure,
        Some(500..600) => Outcome::Error,
        _ if found.text(ERROR).is_some() => Outcome::Failure,
        _ => Outcome::Unknown,
    }
}

pub(crate) fn outcome_of(word: &str) -> Option<Outcome> {
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    if is(&["success", "succeeded", "successful", "ok", "passed", "allow", "allowed", "granted", "accept", "accepted", "permit"])
    {
        Some(Outcome::Success)
    } else if is(&["failure", "failed", "fail", "unsuccessful", "invalid"]) {
        Some(Outcome::Failure)
    } else if is(&["denied", "deny", "forbidden", "blocked", "block", "reject", "rejected", "refused", "unauthorized"]) {
        Some(Outcome::Denied)
    } else if is(&["error", "errored", "exception", "aborted", "timeout"]) {
        Some(Outcome::Error)
    } else {
        None
    }
}

fn severity(word: &str) -> Option<Severity> {
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    if is(&["trace", "debug", "info", "informational", "information", "notice", "default"]) {
        Some(Severity::Info)
    } else if is(&["low", "warning", "warn"]) {
        Some(Severity::Low)
    } else if is(&["medium", "moderate", "error", "err"]) {
        Some(Severity::Medium)
    } else if is(&["high", "severe"]) {
        Some(Severity::High)
    } else if is(&["critical", "crit", "alert"]) {
        Some(Severity::Critical)
    } else if is(&["fatal", "emergency", "emerg", "panic"]) {
        Some(Severity::Fatal)
    } else {
        None
    }
}

/// W3C trace context: two fields of hexadecimal digits, or one `traceparent` (version, trace, span, flags).
fn trace(found: &Found<'_>) -> Option<Trace> {
    if let (Some(trace), Some(span)) = (found.text(TRACE_ID), found.text(SPAN_ID))
        && let (Some(trace_id), Some(span_id)) = (hexadecimal(&trace), hexadecimal(&span))
    {
        return Some(Trace { trace_id, span_id });
    }
    traceparent(&found.text(TRACE_PARENT)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_in_every_spelling() {
        let all = spellings("user id");
        for key in ["user_id", "user-id", "user.id", "user id", "userid", "userId", "userID", "UserId", "UserID", "USER_ID"] {
            assert!(all.iter().any(|spelling| spelling == key), "{key}");
        }
        assert!(spellings("ip").contains(&"IP".to_owned()));
        assert!(spellings("client ip").contains(&"ClientIP".to_owned()));
    }
}
