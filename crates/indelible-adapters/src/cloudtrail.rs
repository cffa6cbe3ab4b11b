//! AWS CloudTrail records.
//!
//! Action: `<service>.<EventName>`, so `iam.*` finds all of IAM. Class and severity follow the known action that it means: a
//! refused call is `access.deny`, a console login `user.login`, a change to IAM `account.update`, switching off the trail
//! `policy.change`.

use std::borrow::Cow;

use indelible_format::{Outcome, taxonomy};

use crate::action::{self, Case};
use crate::facts::{Facts, Words};
use crate::found::{Found, Value};
use crate::plan::Plan;

const EVENT_ID: u8 = 0;
const EVENT_TIME: u8 = 1;
const EVENT_SOURCE: u8 = 2;
const EVENT_NAME: u8 = 3;
const ERROR_CODE: u8 = 4;
const READ_ONLY: u8 = 5;
const RESOURCES: u8 = 6;
const PARAMETERS: u8 = 7;
const CONSOLE_LOGIN: u8 = 8;
const ARN: u8 = 9;
const PRINCIPAL: u8 = 10;
const KIND: u8 = 11;
const USER_NAME: u8 = 12;
const ACCESS_KEY: u8 = 13;
const ADDRESS: u8 = 14;
const USER_AGENT: u8 = 15;

pub(crate) fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.add(&["userIdentity"], true, None);
    plan.add(&["sourceIPAddress"], true, Some(ADDRESS));
    plan.add(&["userAgent"], true, Some(USER_AGENT));
    for (path, slot) in [
        (&["userIdentity", "arn"][..], ARN),
        (&["userIdentity", "principalId"], PRINCIPAL),
        (&["userIdentity", "invokedBy"], PRINCIPAL),
        (&["userIdentity", "accountId"], PRINCIPAL),
        (&["userIdentity", "type"], KIND),
        (&["userIdentity", "userName"], USER_NAME),
        (&["userIdentity", "sessionContext", "sessionIssuer", "userName"], USER_NAME),
        (&["userIdentity", "accessKeyId"], ACCESS_KEY),
        (&["eventID"], EVENT_ID),
        (&["eventTime"], EVENT_TIME),
        (&["eventSource"], EVENT_SOURCE),
        (&["eventName"], EVENT_NAME),
        (&["errorCode"], ERROR_CODE),
        (&["readOnly"], READ_ONLY),
        (&["resources"], RESOURCES),
        (&["requestParameters"], PARAMETERS),
        (&["responseElements", "ConsoleLogin"], CONSOLE_LOGIN),
    ] {
        plan.add(path, false, Some(slot));
    }
    plan
}

/// Request parameters that name what the call is about, and what they name.
const NAMING_PARAMETERS: &[(&str, &str)] = &[
    ("bucketName", "bucket"),
    ("userName", "user"),
    ("roleName", "role"),
    ("groupName", "group"),
    ("policyArn", "policy"),
    ("policyName", "policy"),
    ("instanceProfileName", "instance_profile"),
    ("roleArn", "role"),
    ("secretId", "secret"),
    ("keyId", "key"),
    ("functionName", "function"),
    ("instanceId", "instance"),
    ("dBInstanceIdentifier", "database"),
    ("trailName", "trail"),
    ("tableName", "table"),
    ("queueUrl", "queue"),
    ("topicArn", "topic"),
    ("vpcId", "vpc"),
    ("subnetId", "subnet"),
];

pub(crate) fn map<'a>(found: &Found<'a>, words: &mut Words, facts: &mut Facts<'a>) {
    let source = found.text(EVENT_SOURCE).unwrap_or_default();
    let service = source.strip_suffix(".amazonaws.com").unwrap_or(&source);
    let name = found.text(EVENT_NAME).unwrap_or_default();
    action::write_pair(&mut words.action, service, &name, Case::Keep);
    words.id.push_str(&found.text(EVENT_ID).unwrap_or_default());
    facts.offer_times(found, &[EVENT_TIME]);

    let error = found.text(ERROR_CODE);
    facts.outcome = match error.as_deref() {
        Some(code) => outcome_of(code),
        None if found.text(CONSOLE_LOGIN).as_deref() == Some("Failure") => Outcome::Failure,
        None => Outcome::Success,
    };
    // Old records do not say whether a call only reads; its name does.
    let reads = || ["Get", "List", "Describe", "Simulate"].iter().any(|verb| name.starts_with(verb));
    let read_only = found.value(READ_ONLY).and_then(Value::boolean).unwrap_or_else(reads);
    facts.like = match (service, &*name) {
        _ if facts.outcome == Outcome::Denied => Some(taxonomy::ACCESS_DENY),
        ("signin", _) => Some(taxonomy::USER_LOGIN),
        ("cloudtrail", "StopLogging" | "DeleteTrail" | "UpdateTrail" | "PutEventSelectors") => Some(taxonomy::POLICY_CHANGE),
        ("iam", _) if !read_only => Some(taxonomy::ACCOUNT_UPDATE),
        _ => None,
    };

    facts.actor_id = found.first_text(&[ARN, PRINCIPAL]);
    facts.actor_kind = found.text(KIND);
    facts.actor_name = found.text(USER_NAME);
    facts.session = found.text(ACCESS_KEY);
    facts.user_agent = found.text(USER_AGENT);
    facts.address(found.text(ADDRESS));

    for resource in found.elements(RESOURCES) {
        let kind = resource.member("type").and_then(Value::text);
        facts.targets.push(kind.unwrap_or(Cow::Borrowed("resource")), resource.first_member(&["ARN", "arn"]));
    }
    if let Some(parameters) = found.value(PARAMETERS) {
        for (key, kind) in NAMING_PARAMETERS {
            facts.targets.push(*kind, parameters.member(key).and_then(Value::text));
        }
    }
}

/// AWS has thousands of error codes; their wording tells who is to blame.
fn outcome_of(code: &str) -> Outcome {
    let denied = ["AccessDenied", "Unauthorized", "NotAuthorized", "Forbidden"];
    let broken = ["Internal", "ServiceUnavailable", "ServiceException", "Server."];
    if denied.iter().any(|word| code.contains(word)) {
        Outcome::Denied
    } else if broken.iter().any(|word| code.starts_with(word)) {
        Outcome::Error
    } else {
        Outcome::Failure
    }
}
