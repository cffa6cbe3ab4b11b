//! The stores that a restored store goes on from: who they were, and how far each of their logs is taken over.
//!
//! Positions below the size named here were recorded, and signed, under the predecessor's origins and key; those behind it under the next
//! one's. Member `predecessors` of `store.json`: docs/format/store.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::Hash;
use indelible_format::json::Node;

use super::{Identity, LOG_CONTROL};
use crate::digest::LogHead;
use crate::json_object::Object;
use crate::time;

/// A store whose backup was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Who it was. Its own predecessors are listed beside it, not in it.
    pub identity: Identity,
    /// When the backup was made, ns since 1970 UTC.
    pub until: i64,
    /// By log: what was taken over.
    pub logs: Vec<TakenOver>,
}

/// How much of a log was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// Size and root at the restoration.
    pub head: LogHead,
    /// Its newest signed checkpoint in the backup.
    pub checkpoint: Option<String>,
}

impl Predecessor {
    /// Positions of a log that were taken over.
    #[must_use]
    pub fn size(&self, log: u32) -> u64 {
        self.logs.iter().find(|taken| taken.head.log == log).map_or(0, |taken| taken.head.size)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut object = Object::new().text("created", &time::format(self.identity.created));
        write_list(object.key("heads"), &self.logs, |taken| taken.to_json(None));
        write_list(object.key("logs"), &self.identity.logs, super::LogIdentity::to_json);
        object
            .text("prefix", &self.identity.prefix)
            .text("public_key", &STANDARD.encode(self.identity.public_key))
            .text("store", &self.identity.store_hex())
            .text("until", &time::format(self.until))
            .finish()
    }

    pub(super) fn from_json(node: &Node<'_, '_>) -> Option<Self> {
        let logs: Option<Vec<TakenOver>> = node.get("heads")?.elements().map(|taken| TakenOver::from_json(&taken)).collect();
        let until = time::parse(&node.get("until")?.as_str()?)?;
        let predecessor = Self { identity: Identity::members(node).ok()?, until, logs: logs? };
        // A store without its first entry has nothing to be taken over.
        (predecessor.size(LOG_CONTROL) > 0).then_some(predecessor)
    }
}

impl TakenOver {
    /// `origin`: stands in the entry of log 0, which has no other place for it.
    pub(crate) fn to_json(&self, origin: Option<&str>) -> Vec<u8> {
        let mut object = Object::new();
        if let Some(note) = &self.checkpoint {
            object = object.text("checkpoint", note);
        }
        object = object.number("log", u64::from(self.head.log));
        if let Some(origin) = origin {
            object = object.text("origin", origin);
        }
        object.text("root", &STANDARD.encode(self.head.root.0)).number("size", self.head.size).finish()
    }

    fn from_json(node: &Node<'_, '_>) -> Option<Self> {
        let root = Hash::from_slice(&STANDARD.decode(node.get("root")?.as_str()?.as_bytes()).ok()?)?;
        let log = u32::try_from(node.get("log")?.as_u64()?).ok()?;
        let checkpoint = node.get("checkpoint").map(|note| note.as_str().map(String::from));
        let checkpoint = if let Some(note) = checkpoint { Some(note?) } else { None };
        Some(Self { head: LogHead { log, size: node.get("size")?.as_u64()?, root }, checkpoint })
    }
}

impl Identity {
    /// Who the store was when this position of a log was recorded.
    #[must_use]
    pub fn recorder(&self, log: u32, seq: u64) -> &Self {
        self.predecessors.iter().find(|before| seq < before.size(log)).map_or(self, |before| &before.identity)
    }

    /// The predecessor, and its log, that an origin names.
    #[must_use]
    pub fn predecessor_of(&self, origin: &str) -> Option<(&Predecessor, u32)> {
        self.predecessors.iter().find_map(|before| {
            let logs = &before.identity.logs;
            let log = logs.iter().map(|log| log.id).find(|log| before.identity.origin(*log).as_deref() == Some(origin))?;
            Some((before, log))
        })
    }

    /// Whether a segment of `log` with rows up to `end` may carry this origin: who wrote it had no rows behind that.
    pub(crate) fn may_have_sealed(&self, origin: &str, log: u32, end: u64) -> bool {
        self.origin(log).as_deref() == Some(origin)
            || self.predecessor_of(origin).is_some_and(|(before, of)| of == log && end <= before.size(log))
    }

    /// Each predecessor with the one that came after it, oldest first.
    pub(crate) fn succession(&self) -> impl Iterator<Item = (&Predecessor, &Self)> {
        let after = self.predecessors.iter().skip(1).map(|before| &before.identity).chain(std::iter::once(self));
        self.predecessors.iter().zip(after)
    }
}

/// Writes a JSON array.
pub(crate) fn write_list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&T) -> Vec<u8>) {
    out.push(b'[');
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&write(item));
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::control;

    fn example() -> Identity {
        let store = |id: u8, uid: &str| {
            let logs = vec![super::super::LogIdentity { id: 0, name: "control".into(), uid: uid.into() }];
            let key = indelible_format::note::SigningKey::from_seed("k", &[id; 32]).unwrap();
            let (prefix, public_key) = ("localhost".into(), *key.verifier().public_key());
            let created = 1_700_000_000_000_000_000;
            Identity { store: [id; 16], prefix, created, logs, public_key, retention: None, predecessors: Vec::new() }
        };
        let head = LogHead { log: 0, size: 5, root: Hash([3; 32]) };
        let taken = TakenOver { head, checkpoint: Some("a note\n".into()) };
        let before = Predecessor { identity: store(1, "00000000000000aa"), until: 1_700_000_001_000_000_000, logs: vec![taken] };
        Identity { predecessors: vec![before], ..store(2, "00000000000000bb") }
    }

    #[test]
    fn an_identity_with_predecessors_is_read_as_it_was_written() {
        let identity = example();
        assert_eq!(Identity::from_json(&identity.to_json()).unwrap(), identity);
        assert_eq!(identity.recorder(0, 4).store, [1; 16]);
        assert_eq!(identity.recorder(0, 5).store, [2; 16]);
        let (old, new) = (identity.predecessors[0].identity.origin(0).unwrap(), identity.origin(0).unwrap());
        assert!(identity.may_have_sealed(&old, 0, 5) && identity.may_have_sealed(&new, 0, 5));
        assert!(!identity.may_have_sealed(&old, 0, 6) && !identity.may_have_sealed("somebody", 0, 1));
    }

    /// The bytes of docs/format/backup.md: another writer must make the same entry.
    #[test]
    fn the_entry_of_a_restoration_is_these_bytes() {
        let identity = example();
        let entry = control::store_restored(&identity, &identity.predecessors[0], 1_700_000_002_000_000_000);
        assert_eq!(String::from_utf8(entry).unwrap(), GOLDEN);
    }

    const GOLDEN: &str = r#"{"at":"2023-11-14T22:13:22.000000000Z","logs":[{"key":"localhost/02020202020202020202020202020202/00000000000000bb+b5121d54+AYE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU","log":0,"name":"control","origin":"localhost/02020202020202020202020202020202/00000000000000bb"}],"predecessor":{"key":"localhost/01010101010101010101010101010101/00000000000000aa+b3e2199d+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c","logs":[{"checkpoint":"a note\n","log":0,"origin":"localhost/01010101010101010101010101010101/00000000000000aa","root":"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=","size":5}],"store":"01010101010101010101010101010101","until":"2023-11-14T22:13:21.000000000Z"},"store":"02020202020202020202020202020202","type":"store.restored"}"#;
}
