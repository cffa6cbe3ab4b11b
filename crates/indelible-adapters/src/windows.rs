//! Windows events as JSON, in the shapes that are about: flat (nxlog, Splunk), winlogbeat (`winlog.event_data`), and EVTX
//! converted (`Event.System`, `Event.EventData`).
//!
//! Action: a known action where the event means one (4624 is `user.login`), else `windows-<log>.<event id>` such as
//! `windows-security.4658` or `windows-sysmon.10`.
//!
//! Time: the first of `TimeCreated`, `@timestamp` and Sysmon's `UtcTime` that names a moment. nxlog's `EventTime` has no zone and
//! is not used.

use std::borrow::Cow;
use std::fmt::Write as _;

use indelible_format::{Outcome, Severity};

use crate::action::{self, Case};
use crate::facts::{Facts, Text, Words};
use crate::found::{Found, Value};
use crate::plan::Plan;
use crate::time;
use crate::windows_events::{Log, Meaning, Who, meaning, severity_of_level, severity_of_nxlog};

const EVENT_ID: u8 = 0;
const CHANNEL: u8 = 1;
const PROVIDER: u8 = 2;
const CREATED: u8 = 3;
const TIMESTAMP: u8 = 4;
const UTC_TIME: u8 = 5;
const EVENT_TIME: u8 = 6;
const KEYWORDS: u8 = 7;
const EVENT_TYPE: u8 = 8;
const LEVEL: u8 = 9;
const SEVERITY_VALUE: u8 = 10;
const STATUS: u8 = 11;
const SUBJECT_SID: u8 = 12;
const SUBJECT_NAME: u8 = 13;
const SUBJECT_LOGON: u8 = 14;
const TARGET_SID: u8 = 15;
const TARGET_NAME: u8 = 16;
const TARGET_LOGON: u8 = 17;
const OTHER_SID: u8 = 18;
const OTHER_NAME: u8 = 19;
const HOST: u8 = 20;
const ADDRESS: u8 = 21;
const OBJECT: u8 = 22;
const OBJECT_TYPE: u8 = 23;
const TARGETS: u8 = 24; // and as many more as NAMING_FIELDS has

/// Where event data stand in the different shapes.
const EVENT_DATA: &[&[&str]] = &[&[], &["EventData"], &["winlog", "event_data"], &["Event", "EventData"]];

/// Fields of event data that say who; the slot is for those that are mapped.
const WHO: &[(&str, Option<u8>)] = &[
    ("SubjectUserSid", Some(SUBJECT_SID)),
    ("SubjectUserName", Some(SUBJECT_NAME)),
    ("SubjectDomainName", None),
    ("SubjectLogonId", Some(SUBJECT_LOGON)),
    ("SubjectLogonGuid", None),
    ("TargetUserSid", Some(TARGET_SID)),
    ("TargetSid", Some(TARGET_SID)),
    ("TargetUserName", Some(TARGET_NAME)),
    ("TargetDomainName", None),
    ("TargetLogonId", Some(TARGET_LOGON)),
    ("TargetLogonGuid", None),
    ("TargetLinkedLogonId", None),
    ("TargetOutboundUserName", None),
    ("TargetOutboundDomainName", None),
    ("TargetUser", None),
    ("MemberName", None),
    ("MemberSid", None),
    ("SourceUser", Some(OTHER_NAME)),
    ("User", Some(OTHER_NAME)),
    ("UserName", Some(OTHER_NAME)),
    ("AccountName", Some(OTHER_NAME)),
    ("UserID", Some(OTHER_SID)),
    ("UserSid", Some(OTHER_SID)),
    ("UserId", Some(OTHER_SID)),
    ("AccountDomain", None),
    ("AccountType", None),
    ("Domain", None),
    ("ParentUser", None),
    ("LogonId", Some(SUBJECT_LOGON)),
    ("LogonGuid", None),
    ("LogonID", Some(SUBJECT_LOGON)),
    ("IpAddress", Some(ADDRESS)),
    ("ClientAddress", Some(ADDRESS)),
    ("SourceIp", Some(ADDRESS)),
    ("SourceAddress", Some(ADDRESS)),
    ("IpPort", None),
    ("SourcePort", None),
    ("SourceHostname", None),
    ("ClientName", None),
    ("WorkstationName", None),
    ("Workstation", None),
    ("RemoteUserID", None),
    ("RemoteMachineID", None),
    ("CallerUserName", None),
    ("SamAccountName", None),
    ("DisplayName", None),
    ("UserPrincipalName", None),
    ("HomeDirectory", None),
];

/// Fields of event data that say to what, and what kind of thing they name.
const NAMING_FIELDS: &[(&str, &str)] = &[
    ("ServiceName", "service"),
    ("ShareName", "share"),
    ("TaskName", "task"),
    ("NewProcessName", "process"),
    ("TargetImage", "process"),
    ("Image", "process"),
    ("ImageLoaded", "image"),
    ("TargetFilename", "file"),
    ("TargetObject", "registry_key"),
    ("PipeName", "pipe"),
    ("QueryName", "domain"),
    ("DestinationIp", "endpoint"),
    ("DestAddress", "endpoint"),
];

pub(crate) fn plan() -> Plan {
    let mut plan = Plan::default();
    let mut add_data = |key: &'static str, identity: bool, slot: Option<u8>| {
        for prefix in EVENT_DATA {
            let path: Vec<&str> = prefix.iter().copied().chain([key]).collect();
            plan.add(&path, identity, slot);
        }
    };
    for (key, slot) in WHO {
        add_data(key, true, *slot);
    }
    add_data("ObjectName", false, Some(OBJECT));
    add_data("ObjectType", false, Some(OBJECT_TYPE));
    add_data("Status", false, Some(STATUS));
    add_data("UtcTime", false, Some(UTC_TIME));
    for (slot, (key, _)) in (TARGETS..).zip(NAMING_FIELDS) {
        add_data(key, false, Some(slot));
    }
    for (path, slot) in [
        (&["Hostname"][..], Some(HOST)),
        (&["Computer"], Some(HOST)),
        (&["ComputerName"], Some(HOST)),
        (&["winlog", "computer_name"], Some(HOST)),
        (&["Event", "System", "Computer"], Some(HOST)),
        (&["host"], None),
        (&["agent", "hostname"], None),
        (&["agent", "name"], None),
        (&["user"], None),
        (&["source"], None),
        (&["client"], None),
        (&["related"], None),
        (&["winlog", "user"], None),
        (&["Event", "System", "Security"], None),
        (&["Security"], None),
        // Splunk groups the fields of the rendered message under its headings.
        (&["Subject"], None),
        (&["New Logon"], None),
        (&["Account For Which Logon Failed"], None),
        (&["Account That Was Locked Out"], None),
        (&["Target Account"], None),
        (&["Member"], None),
        (&["Network Information"], None),
    ] {
        plan.add(path, true, slot);
    }
    for (path, slot) in [
        (&["host", "name"][..], HOST),
        (&["host", "hostname"], HOST),
        (&["winlog", "user", "identifier"], OTHER_SID),
        (&["Event", "System", "Security", "#attributes", "UserID"], OTHER_SID),
        (&["Security", "UserID"], OTHER_SID),
        (&["winlog", "user", "name"], OTHER_NAME),
        (&["user", "name"], OTHER_NAME),
        (&["source", "ip"], ADDRESS),
        (&["Subject", "Security ID"], SUBJECT_SID),
        (&["Subject", "Account Name"], SUBJECT_NAME),
        (&["Subject", "Logon ID"], SUBJECT_LOGON),
        (&["New Logon", "Security ID"], TARGET_SID),
        (&["New Logon", "Account Name"], TARGET_NAME),
        (&["EventID"], EVENT_ID),
        (&["winlog", "event_id"], EVENT_ID),
        (&["Event", "System", "EventID", "#text"], EVENT_ID),
        (&["Event", "System", "EventID"], EVENT_ID),
        (&["EventCode"], EVENT_ID),
        (&["event", "code"], EVENT_ID),
        (&["Channel"], CHANNEL),
        (&["winlog", "channel"], CHANNEL),
        (&["Event", "System", "Channel"], CHANNEL),
        (&["LogName"], CHANNEL),
        (&["SourceName"], PROVIDER),
        (&["winlog", "provider_name"], PROVIDER),
        (&["Provider", "Name"], PROVIDER),
        (&["Event", "System", "Provider", "#attributes", "Name"], PROVIDER),
        (&["Event", "System", "TimeCreated", "#attributes", "SystemTime"], CREATED),
        (&["TimeCreated", "SystemTime"], CREATED),
        (&["TimeCreated", "#attributes", "SystemTime"], CREATED),
        (&["TimeCreated"], CREATED),
        (&["@timestamp"], TIMESTAMP),
        (&["EventTime"], EVENT_TIME),
        (&["ref_time"], EVENT_TIME),
        (&["Keywords"], KEYWORDS),
        (&["winlog", "keywords"], KEYWORDS),
        (&["Event", "System", "Keywords"], KEYWORDS),
        (&["EventType"], EVENT_TYPE),
        (&["event", "outcome"], EVENT_TYPE),
        (&["Level"], LEVEL),
        (&["Event", "System", "Level"], LEVEL),
        (&["SeverityValue"], SEVERITY_VALUE),
    ] {
        plan.add(path, false, Some(slot));
    }
    plan
}

pub(crate) fn map<'a>(found: &Found<'a>, words: &mut Words, facts: &mut Facts<'a>) {
    let id = found.integer(EVENT_ID).unwrap_or(0);
    let channel = said(found, CHANNEL).or_else(|| said(found, PROVIDER));
    let log = log_of(channel.as_deref().unwrap_or_default());
    let meaning = meaning(log, id);
    match meaning.action {
        Some(action) => words.action.push_str(action.name()),
        None => write_action(&mut words.action, channel.as_deref().unwrap_or("event"), id),
    }
    facts.like = meaning.like;
    facts.outcome = meaning.outcome.or_else(|| outcome(found)).unwrap_or(Outcome::Unknown);

    facts.offer_times(found, &[CREATED, TIMESTAMP]);
    if facts.time.is_none()
        && let Some(text) = found.text(UTC_TIME)
    {
        facts.offer_time(time::declared_utc(&text));
    }
    facts.offer_times(found, &[EVENT_TIME]);

    map_who(found, &meaning, facts);
    for (slot, (_, kind)) in (TARGETS..).zip(NAMING_FIELDS) {
        facts.targets.push(*kind, said(found, slot));
    }
    if let Some(object) = said(found, OBJECT) {
        facts.targets.push(said(found, OBJECT_TYPE).unwrap_or(Cow::Borrowed("object")), Some(object));
    }

    // A warning of the source may raise what the taxonomy says of the action, never lower it.
    let told = found.integer(LEVEL).and_then(severity_of_level);
    let told = told.or_else(|| found.integer(SEVERITY_VALUE).and_then(severity_of_nxlog));
    let usual = meaning.action.or(meaning.like).map_or(Severity::Info, |action| action.defaults(facts.outcome).1);
    facts.severity = told.filter(|told| *told > usual);
}

fn map_who<'a>(found: &Found<'a>, meaning: &Meaning, facts: &mut Facts<'a>) {
    let subject = (SUBJECT_SID, SUBJECT_NAME, SUBJECT_LOGON);
    let target = (TARGET_SID, TARGET_NAME, TARGET_LOGON);
    let (sid, name, logon) = if meaning.who == Who::Target { target } else { subject };
    let nobody = "S-1-0-0";
    facts.actor_id = said(found, sid).filter(|sid| sid != nobody);
    facts.actor_name = said(found, name);
    if facts.actor_id.is_none() && facts.actor_name.is_none() {
        facts.actor_id = said(found, OTHER_SID).filter(|sid| sid != nobody);
        facts.actor_name = said(found, OTHER_NAME);
    }
    facts.actor_kind = kind_of(&facts.actor_id, &facts.actor_name).map(Cow::Borrowed);
    facts.session = said(found, logon).filter(|logon| logon != "0x0");
    facts.host = said(found, HOST);
    facts.address(said(found, ADDRESS));
}

/// A field's text, where `-` is how Windows says "nothing".
fn said<'a>(found: &Found<'a>, slot: u8) -> Text<'a> {
    found.text(slot).filter(|text| text != "-")
}

fn kind_of(id: &Text<'_>, name: &Text<'_>) -> Option<&'static str> {
    let system = ["S-1-5-18", "S-1-5-19", "S-1-5-20"];
    if id.as_deref().is_some_and(|id| system.contains(&id)) {
        Some("system")
    } else if name.as_deref().is_some_and(|name| name.ends_with('$')) {
        Some("computer")
    } else {
        (id.is_some() || name.is_some()).then_some("user")
    }
}

fn log_of(channel: &str) -> Log {
    let is = |name: &str| channel.eq_ignore_ascii_case(name);
    if is("Security") || is("Microsoft-Windows-Security-Auditing") {
        Log::Security
    } else if is("System") {
        Log::System
    } else if is("Microsoft-Windows-Sysmon/Operational") || is("Microsoft-Windows-Sysmon") {
        Log::Sysmon
    } else {
        Log::Other
    }
}

/// `Microsoft-Windows-PowerShell/Operational` 4103 → `windows-powershell.4103`.
fn write_action(action: &mut String, channel: &str, id: i64) {
    let name = channel.strip_prefix("Microsoft-Windows-").or_else(|| channel.strip_prefix("Windows ")).unwrap_or(channel);
    let name = name.strip_suffix("/Operational").unwrap_or(name);
    action.push_str("windows-");
    let before = action.len();
    // A slash would read as a second level of the name.
    for piece in name.split('/') {
        if action.len() > before {
            action.push('-');
        }
        action::push_part(action, piece, Case::Lower, '-');
    }
    if action.len() == before {
        action.push_str("event");
    }
    // Writing to a String cannot fail.
    let _ = write!(action, ".{id}");
}

/// Bits of `Keywords` that tell an audit's outcome.
const AUDIT_SUCCESS: u64 = 1 << 53;
const AUDIT_FAILURE: u64 = 1 << 52;

fn outcome(found: &Found<'_>) -> Option<Outcome> {
    let event_type = found.text(EVENT_TYPE);
    match event_type.as_deref() {
        Some("AUDIT_SUCCESS" | "success") => return Some(Outcome::Success),
        Some("AUDIT_FAILURE" | "failure") => return Some(Outcome::Failure),
        _ => {}
    }
    for keyword in found.elements(KEYWORDS) {
        let Some(text) = keyword.text() else { continue };
        if text == "Audit Success" {
            return Some(Outcome::Success);
        }
        if text == "Audit Failure" {
            return Some(Outcome::Failure);
        }
        let bits = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().map(i64::cast_unsigned).ok(),
        };
        match bits {
            Some(bits) if bits & AUDIT_SUCCESS != 0 => return Some(Outcome::Success),
            Some(bits) if bits & AUDIT_FAILURE != 0 => return Some(Outcome::Failure),
            _ => {}
        }
    }
    // Kerberos and NTLM events carry the status code of what was tried.
    let status = found.value(STATUS).and_then(Value::text)?;
    let digits = status.strip_prefix("0x")?;
    Some(if digits.bytes().all(|digit| digit == b'0') { Outcome::Success } else { Outcome::Failure })
}
