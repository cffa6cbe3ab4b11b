//! Control entries: what the store says about itself. Members: docs/format/store.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::json::{self, Document};
use indelible_format::{Class, Hash};

use crate::buffer::Loss;
use crate::digest::LogHead;
use crate::digest::stated::Stated;
use crate::identity::{Identity, LogIdentity, Predecessor, write_list};
use crate::json_object::Object;
use crate::retain::{Hold, Retention};
use crate::time;

/// First entry of log 0.
pub(crate) fn store_created(identity: &Identity, at: i64) -> Vec<u8> {
    let key = identity.verifier_key(0).map(|key| key.to_string()).unwrap_or_default();
    Object::new()
        .text("at", &time::format(at))
        .text("key", &key)
        .text("origin", &identity.origin(0).unwrap_or_default())
        .text("store", &identity.store_hex())
        .text("type", "store.created")
        .finish()
}

/// A log other than log 0 came to be.
pub(crate) fn log_created(identity: &Identity, log: u32, at: i64) -> Vec<u8> {
    let key = identity.verifier_key(log).map(|key| key.to_string()).unwrap_or_default();
    Object::new()
        .text("at", &time::format(at))
        .text("key", &key)
        .number("log", u64::from(log))
        .text("name", identity.log_name(log))
        .text("origin", &identity.origin(log).unwrap_or_default())
        .text("type", "log.created")
        .finish()
}

/// From here on, events are routed and kept as this policy says.
pub(crate) fn retention(policy: &Retention, at: i64) -> Vec<u8> {
    policy.write(Object::new().text("at", &time::format(at)), |object| object.text("type", "retention")).finish()
}

/// Events of a log before `below` go; `kept` is the digest of the file that holds what stays.
pub(crate) fn expired(expiry: &Expiry, at: i64) -> Vec<u8> {
    let mut object = Object::new()
        .text("at", &time::format(at))
        .text("before", &time::format(expiry.before))
        .number("below", expiry.below)
        .number("count", expiry.count)
        .number("held", expiry.held)
        .number("log", u64::from(expiry.log))
        .number("policy", expiry.policy)
        .text("root", &STANDARD.encode(expiry.root.0))
        .text("sha256", &STANDARD.encode(expiry.digest.0))
        .text("tenants", &STANDARD.encode(expiry.tenants.0));
    if let Some(at) = expiry.trusting {
        object = object.text("trusting", &time::format(at));
    }
    object.text("type", "expired").finish()
}

/// What an `expired` entry says.
pub(crate) struct Expiry {
    pub(crate) log: u32,
    pub(crate) below: u64,
    /// Events received before this time, ns since 1970 UTC.
    pub(crate) before: i64,
    /// Events that go.
    pub(crate) count: u64,
    /// Events that stay because they are held.
    pub(crate) held: u64,
    /// Position of the policy's entry.
    pub(crate) policy: u64,
    pub(crate) root: Hash,
    pub(crate) digest: Hash,
    /// Root over how many events each tenant had before `below`.
    pub(crate) tenants: Hash,
    /// The time that somebody vouched for, where the log itself does not lead up to it.
    pub(crate) trusting: Option<i64>,
}

/// Events that `query` matches stay from now on, whatever a policy says.
pub(crate) fn hold_created(hold: &Hold) -> Vec<u8> {
    Object::new()
        .text("at", &time::format(hold.at))
        .text("name", &hold.name)
        .text("query", &hold.query)
        .text("reason", &hold.reason)
        .text("type", "hold.created")
        .finish()
}

/// A hold is over.
pub(crate) fn hold_released(name: &str, reason: &str, at: i64) -> Vec<u8> {
    Object::new().text("at", &time::format(at)).text("name", name).text("reason", reason).text("type", "hold.released").finish()
}

/// The first entry behind what was taken over from `before`: who `identity` is, and whom it goes on from.
pub(crate) fn store_restored(identity: &Identity, before: &Predecessor, at: i64) -> Vec<u8> {
    let key = |identity: &Identity, log| identity.verifier_key(log).map(|key| key.to_string()).unwrap_or_default();
    let mut object = Object::new().text("at", &time::format(at));
    // A log that was added since has an entry of its own.
    let taken_over = |log: &&LogIdentity| before.identity.logs.iter().any(|known| known.id == log.id);
    let logs: Vec<&LogIdentity> = identity.logs.iter().filter(taken_over).collect();
    write_list(object.key("logs"), &logs, |log| {
        Object::new()
            .text("key", &key(identity, log.id))
            .number("log", u64::from(log.id))
            .text("name", &log.name)
            .text("origin", &identity.origin(log.id).unwrap_or_default())
            .finish()
    });
    let mut predecessor = Object::new().text("key", &key(&before.identity, 0));
    write_list(predecessor.key("logs"), &before.logs, |taken| {
        taken.to_json(Some(&before.identity.origin(taken.head.log).unwrap_or_default()))
    });
    let predecessor = predecessor.text("store", &before.identity.store_hex()).text("until", &time::format(before.until)).finish();
    object.key("predecessor").extend_from_slice(&predecessor);
    object.text("store", &identity.store_hex()).text("type", "store.restored").finish()
}

/// Heads of the other logs, durable before this entry.
pub(crate) fn heads(heads: &[LogHead], at: i64) -> Vec<u8> {
    let mut object = Object::new().text("at", &time::format(at));
    let out = object.key("logs");
    out.push(b'[');
    for (nth, head) in heads.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        let root = STANDARD.encode(head.root.0);
        out.extend_from_slice(format!("{{\"log\":{},\"root\":\"{root}\",\"size\":{}}}", head.log, head.size).as_bytes());
    }
    out.push(b']');
    object.text("type", "heads").finish()
}

/// How many events each tenant has in these logs; the roots over the counts hide them.
pub(crate) fn tenants(logs: &[&Stated], at: i64) -> Vec<u8> {
    let mut object = Object::new().text("at", &time::format(at));
    write_list(object.key("logs"), logs, |stated| {
        Object::new()
            .number("log", stated.log.into())
            .text("root", &STANDARD.encode(stated.root.0))
            .number("size", stated.size)
            .text("tenants", &STANDARD.encode(stated.tenants.0))
            .finish()
    });
    object.text("type", "tenants").finish()
}

/// Events of one class that are not recorded, by the store's own producer count: `shed`, `repeated` or `rejected`.
pub(crate) fn gap(loss: &Loss, class: Class, reason: &str, producer: &str, epoch: u64, at: i64) -> Vec<u8> {
    Object::new()
        .text("at", &time::format(at))
        .text("class", class.name())
        .number("count", loss.count)
        .number("epoch", epoch)
        .number("first_seq", loss.first_seq)
        .number("last_seq", loss.last_seq)
        .text("producer", producer)
        .text("reason", reason)
        .text("type", "gap")
        .finish()
}

/// The numbers of a producer that a `gap` entry speaks for: its id, epoch, first and last.
pub(crate) fn gap_range(entry: &[u8]) -> Option<(String, u64, u64, u64)> {
    let mut document = Document::new();
    let root = document.parse(entry, &json::Limits::default()).ok()?;
    let number = |key: &str| root.get(key)?.as_u64();
    let is_gap = root.get("type")?.as_str()? == "gap";
    is_gap.then_some(())?;
    Some((root.get("producer")?.as_str()?.into_owned(), number("epoch")?, number("first_seq")?, number("last_seq")?))
}

/// Events that were refused at the door since the last such entry.
pub(crate) fn rejected(count: u64, at: i64) -> Vec<u8> {
    Object::new().text("at", &time::format(at)).number("count", count).text("reason", "rejected").text("type", "gap").finish()
}
