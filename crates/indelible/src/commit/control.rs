//! Control entries: what the store says about itself. Members: docs/format/store.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::Class;

use crate::buffer::Loss;
use crate::digest::LogHead;
use crate::identity::{Identity, LogIdentity, Predecessor, write_list};
use crate::json_object::Object;
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

/// Events that were refused at the door since the last such entry.
pub(crate) fn rejected(count: u64, at: i64) -> Vec<u8> {
    Object::new().text("at", &time::format(at)).number("count", count).text("reason", "rejected").text("type", "gap").finish()
}
