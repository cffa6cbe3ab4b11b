//! OCSF events.
//!
//! Action: `<class>.<activity>` by name, `authentication.logon`; by number where the names are left out; `ocsf.<type_uid>` where
//! the numbers are not known either. `time` is milliseconds by the schema.
//!
//! `observables` and `enrichments` repeat values of the event, names and addresses above all, and `raw_data` repeats all of it,
//! so they go with the identity part.

use std::borrow::Cow;

use indelible_format::{Outcome, Severity, taxonomy};

use crate::action::{self, Case};
use crate::facts::{Facts, Words};
use crate::found::{Found, Value};
use crate::ocsf_names::{activity_name, class_name};
use crate::plan::Plan;
use crate::time;

const UID: u8 = 0;
const TIME: u8 = 1;
const TIME_TEXT: u8 = 2;
const CLASS_UID: u8 = 3;
const CLASS_NAME: u8 = 4;
const ACTIVITY_ID: u8 = 5;
const ACTIVITY_NAME: u8 = 6;
const TYPE_UID: u8 = 7;
const SEVERITY_ID: u8 = 8;
const STATUS_ID: u8 = 9;
const STATUS: u8 = 10;
const ACTION_ID: u8 = 11;
const DISPOSITION_ID: u8 = 12;
const ACTOR_ID: u8 = 13;
const ACTOR_NAME: u8 = 14;
const ACTOR_KIND: u8 = 15;
const ACTOR_EMAIL: u8 = 16;
const SESSION: u8 = 17;
const ADDRESS: u8 = 18;
const HOST: u8 = 19;
const USER_AGENT: u8 = 20;
const RESOURCES: u8 = 21;
const PROCESS: u8 = 22;
const FILE: u8 = 23;
const DESTINATION: u8 = 24;
const USER_ID: u8 = 25;
const USER_NAME: u8 = 26;
const USER_KIND: u8 = 27;
const USER_EMAIL: u8 = 28;

pub(crate) fn plan() -> Plan {
    let mut plan = Plan::default();
    for path in [
        &["actor"][..],
        &["user"],
        &["src_endpoint"],
        &["device"],
        &["session"],
        &["observables"],
        &["enrichments"],
        &["raw_data"],
        // Where our own export puts the identity part of a foreign record.
        &["unmapped", "identity_details"],
        &["http_request", "x_forwarded_for"],
    ] {
        plan.add(path, true, None);
    }
    plan.add(&["http_request", "user_agent"], true, Some(USER_AGENT));
    for (path, slot) in [
        (&["actor", "user", "uid"][..], ACTOR_ID),
        (&["user", "uid"], USER_ID),
        (&["actor", "user", "name"], ACTOR_NAME),
        (&["user", "name"], USER_NAME),
        (&["actor", "user", "type"], ACTOR_KIND),
        (&["user", "type"], USER_KIND),
        (&["actor", "user", "email_addr"], ACTOR_EMAIL),
        (&["user", "email_addr"], USER_EMAIL),
        (&["actor", "session", "uid"], SESSION),
        (&["session", "uid"], SESSION),
        (&["src_endpoint", "ip"], ADDRESS),
        (&["device", "ip"], ADDRESS),
        (&["device", "hostname"], HOST),
        (&["device", "name"], HOST),
        (&["src_endpoint", "hostname"], HOST),
        (&["metadata", "uid"], UID),
        (&["time"], TIME),
        (&["time_dt"], TIME_TEXT),
        (&["class_uid"], CLASS_UID),
        (&["class_name"], CLASS_NAME),
        (&["activity_id"], ACTIVITY_ID),
        (&["activity_name"], ACTIVITY_NAME),
        (&["type_uid"], TYPE_UID),
        (&["severity_id"], SEVERITY_ID),
        (&["status_id"], STATUS_ID),
        (&["status"], STATUS),
        (&["action_id"], ACTION_ID),
        (&["disposition_id"], DISPOSITION_ID),
        (&["resources"], RESOURCES),
        (&["process"], PROCESS),
        (&["file"], FILE),
        (&["dst_endpoint"], DESTINATION),
    ] {
        plan.add(path, false, Some(slot));
    }
    plan
}

pub(crate) fn map<'a>(found: &Found<'a>, words: &mut Words, facts: &mut Facts<'a>) {
    let class = found.integer(CLASS_UID).unwrap_or(0);
    let activity = found.integer(ACTIVITY_ID).unwrap_or(0);
    write_action(found, &mut words.action, class, activity);
    words.id.push_str(&found.text(UID).unwrap_or_default());
    facts.offer_times(found, &[TIME_TEXT]);
    if let Some(milliseconds) = found.integer(TIME) {
        facts.offer_time(time::epoch_milliseconds(milliseconds));
    }

    // action_id 2 and disposition_id 2 say that a control stopped it, whatever the status of stopping it was.
    let denied = found.integer(ACTION_ID) == Some(2) || found.integer(DISPOSITION_ID) == Some(2);
    facts.outcome = match (found.integer(STATUS_ID), found.text(STATUS).as_deref()) {
        _ if denied => Outcome::Denied,
        (Some(1), _) | (None, Some("Success")) => Outcome::Success,
        (Some(2), _) | (None, Some("Failure")) => Outcome::Failure,
        (Some(99) | None, Some("Error")) => Outcome::Error,
        _ => Outcome::Unknown,
    };
    let severity = found.integer(SEVERITY_ID).and_then(|number| u8::try_from(number).ok());
    facts.severity = severity.and_then(Severity::from_byte);
    facts.like = match class {
        2001..=2999 => Some(taxonomy::SECURITY_ALERT),
        3001 => Some(taxonomy::ACCOUNT_UPDATE),
        3002 => Some(taxonomy::USER_LOGIN),
        3003 | 3005 => Some(taxonomy::ROLE_ASSIGN),
        3006 => Some(taxonomy::GROUP_UPDATE),
        _ if denied => Some(taxonomy::ACCESS_DENY),
        _ => None,
    };

    // `user` is whom it was done to, and who did it only where nobody else is said to have: never some of one and some of the other.
    let actor_slots = [ACTOR_ID, ACTOR_NAME, ACTOR_KIND, ACTOR_EMAIL];
    let has_actor = found.first_text(&actor_slots).is_some();
    let [id, name, kind, email] = if has_actor { actor_slots } else { [USER_ID, USER_NAME, USER_KIND, USER_EMAIL] };
    facts.actor_id = found.text(id);
    facts.actor_name = found.text(name);
    facts.actor_kind = found.text(kind);
    facts.actor_email = found.text(email);
    facts.session = found.text(SESSION);
    facts.host = found.text(HOST);
    facts.user_agent = found.text(USER_AGENT);
    facts.address(found.text(ADDRESS));

    for resource in found.elements(RESOURCES) {
        let kind = resource.member("type").and_then(Value::text).unwrap_or(Cow::Borrowed("resource"));
        facts.targets.push_all(Some(kind), resource.first_member(&["uid"]), resource.first_member(&["name"]));
    }
    for (slot, kind, id, name) in [
        (PROCESS, "process", &["uid", "pid"][..], &["name", "cmd_line"][..]),
        (FILE, "file", &["path", "uid"], &["name"]),
        (DESTINATION, "endpoint", &["ip", "uid"], &["hostname", "name"]),
    ] {
        if let Some(value) = found.value(slot) {
            let (id, name) = (value.first_member(id), value.first_member(name));
            if id.is_some() || name.is_some() {
                facts.targets.push_all(Some(Cow::Borrowed(kind)), id, name);
            }
        }
    }
}

fn write_action(found: &Found<'_>, action: &mut String, class: i64, activity: i64) {
    let class_text = found.text(CLASS_NAME);
    let activity_text = found.text(ACTIVITY_NAME);
    let noun = class_text.as_deref().or_else(|| class_name(class));
    let verb = activity_text.as_deref().or_else(|| activity_name(class, activity));
    match (noun, verb) {
        (Some(noun), Some(verb)) => action::write_pair(action, noun, verb, Case::Lower),
        _ => {
            let computed = class.checked_mul(100).and_then(|class| class.checked_add(activity)).unwrap_or(0);
            let type_uid = found.integer(TYPE_UID).unwrap_or(computed);
            action::write_pair(action, "ocsf", &type_uid.to_string(), Case::Lower);
        }
    }
}
