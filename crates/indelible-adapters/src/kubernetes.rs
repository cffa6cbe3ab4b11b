//! Kubernetes audit events, `audit.k8s.io`.
//!
//! Action: `<resource>.<verb>`, with the subresource in the noun (`pods/exec.create`); `k8s.<verb>` for what is no resource. One
//! request makes one event per stage, all with the same `auditID`, so the id is `auditID/stage`.

use std::borrow::Cow;

use indelible_format::{Outcome, taxonomy};

use crate::action::{self, Case};
use crate::facts::{Facts, Words};
use crate::found::{Found, Value};
use crate::plan::Plan;

const AUDIT_ID: u8 = 0;
const STAGE: u8 = 1;
const STAGE_TIME: u8 = 2;
const RECEIVED_TIME: u8 = 3;
const OLD_TIME: u8 = 4;
const VERB: u8 = 5;
const RESOURCE: u8 = 6;
const SUBRESOURCE: u8 = 7;
const NAMESPACE: u8 = 8;
const NAME: u8 = 9;
const URI: u8 = 10;
const CODE: u8 = 11;
const DECISION: u8 = 12;
const USER_NAME: u8 = 13;
const SOURCE_IPS: u8 = 14;
const USER_AGENT: u8 = 15;

pub(crate) fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.add(&["user"], true, None);
    plan.add(&["impersonatedUser"], true, None);
    plan.add(&["sourceIPs"], true, Some(SOURCE_IPS));
    plan.add(&["userAgent"], true, Some(USER_AGENT));
    for (path, slot) in [
        (&["user", "username"][..], USER_NAME),
        (&["auditID"], AUDIT_ID),
        (&["stage"], STAGE),
        (&["stageTimestamp"], STAGE_TIME),
        (&["requestReceivedTimestamp"], RECEIVED_TIME),
        (&["timestamp"], OLD_TIME),
        (&["verb"], VERB),
        (&["objectRef", "resource"], RESOURCE),
        (&["objectRef", "subresource"], SUBRESOURCE),
        (&["objectRef", "namespace"], NAMESPACE),
        (&["objectRef", "name"], NAME),
        // A create request names the object in its body only.
        (&["responseObject", "metadata", "name"], NAME),
        (&["requestObject", "metadata", "name"], NAME),
        (&["requestURI"], URI),
        (&["responseStatus", "code"], CODE),
        (&["annotations", "authorization.k8s.io/decision"], DECISION),
    ] {
        plan.add(path, false, Some(slot));
    }
    plan
}

pub(crate) fn map<'a>(found: &Found<'a>, words: &mut Words, facts: &mut Facts<'a>) {
    let verb = found.text(VERB).unwrap_or_default();
    let resource = found.text(RESOURCE);
    let subresource = found.text(SUBRESOURCE);
    match (&resource, &subresource) {
        (Some(resource), Some(sub)) => {
            action::push_part(&mut words.action, resource, Case::Keep, '_');
            words.action.push('/');
            action::push_part(&mut words.action, sub, Case::Keep, '_');
            words.action.push('.');
            action::push_part(&mut words.action, &verb, Case::Keep, '_');
        }
        _ => action::write_pair(&mut words.action, resource.as_deref().unwrap_or("k8s"), &verb, Case::Keep),
    }
    if let Some(id) = found.text(AUDIT_ID) {
        words.id.push_str(&id);
        if let Some(stage) = found.text(STAGE) {
            words.id.push('/');
            words.id.push_str(&stage);
        }
    }
    facts.offer_times(found, &[STAGE_TIME, RECEIVED_TIME, OLD_TIME]);

    let forbidden = found.text(DECISION).as_deref() == Some("forbid");
    facts.outcome = match found.integer(CODE) {
        _ if forbidden => Outcome::Denied,
        Some(401 | 403) => Outcome::Denied,
        Some(100..400) => Outcome::Success,
        Some(400..500) => Outcome::Failure,
        Some(500..) => Outcome::Error,
        _ if found.text(STAGE).as_deref() == Some("Panic") => Outcome::Error,
        _ => Outcome::Unknown,
    };
    let changes = matches!(&*verb, "create" | "update" | "patch" | "delete" | "deletecollection");
    facts.like = match (resource.as_deref(), subresource.as_deref()) {
        _ if facts.outcome == Outcome::Denied => Some(taxonomy::ACCESS_DENY),
        (Some("clusterroles" | "roles"), _) if changes => Some(taxonomy::POLICY_CHANGE),
        (Some("clusterrolebindings" | "rolebindings"), _) if changes => Some(taxonomy::ROLE_ASSIGN),
        (Some("serviceaccounts"), Some("token")) => Some(taxonomy::TOKEN_ISSUE),
        (Some("serviceaccounts"), None) if changes => Some(taxonomy::ACCOUNT_UPDATE),
        _ => None,
    };

    facts.actor_id = found.text(USER_NAME);
    facts.actor_kind = facts.actor_id.as_deref().map(|name| Cow::Borrowed(kind_of(name)));
    facts.ip = found.elements(SOURCE_IPS).next().and_then(Value::text);
    facts.user_agent = found.text(USER_AGENT);

    match resource {
        Some(resource) => {
            facts.targets.push_all(Some(resource), found.text(NAME), None);
            facts.targets.push("namespace", found.text(NAMESPACE));
        }
        None => facts.targets.push("url", found.text(URI)),
    }
}

/// Kubernetes tells kinds of users by the prefix of their name.
fn kind_of(name: &str) -> &'static str {
    if name.starts_with("system:serviceaccount:") {
        "service_account"
    } else if name.starts_with("system:node:") {
        "node"
    } else if name.starts_with("system:") {
        "system"
    } else {
        "user"
    }
}
