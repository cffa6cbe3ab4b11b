//! What log 0 states about how many events each tenant has: written by the store, held against the records by `verify`. Rules:
//! docs/format/tenants.md.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::Hash;
use indelible_format::json::{self, Document, Node};
use indelible_format::leaf::Seed;
use indelible_format::tenants::TenantTree;

use crate::digest::LogHead;
use crate::digest::names::ByName;
use crate::digest::tip::Tip;
use crate::identity::LOG_CONTROL;

/// What a `tenants` entry states about one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) log: u32,
    /// Positions that the log had.
    pub(crate) size: u64,
    /// Its root over them.
    pub(crate) root: Hash,
    /// Root over the counts of its tenants there.
    pub(crate) tenants: Hash,
}

/// The newest statement of an open store, with what it is about.
pub(crate) struct Newest {
    /// Position of the entry in log 0.
    pub(crate) entry: u64,
    pub(crate) made: Instant,
    /// Of the group of log 0 that the entry is in.
    pub(crate) seed: Seed,
    pub(crate) logs: Vec<(Stated, ByName<u64>)>,
}

impl Newest {
    /// Counts the tenants of the logs as they are, for the entry at this position of log 0.
    pub(crate) fn count<'t>(entry: u64, seed: Seed, tips: impl Iterator<Item = &'t Tip>) -> Self {
        let logs = tips.filter(|tip| tip.log != LOG_CONTROL).map(|tip| {
            let LogHead { log, size, root } = tip.head();
            (Stated { log, size, root, tenants: tree(&seed, &tip.tenants).root() }, tip.tenants.clone())
        });
        let mut logs: Vec<_> = logs.collect();
        logs.sort_unstable_by_key(|(stated, _)| stated.log);
        Self { logs, entry, made: Instant::now(), seed }
    }

    /// Whether a log has the size that is stated.
    pub(crate) fn is_about(&self, head: &LogHead) -> bool {
        self.logs.iter().any(|(stated, _)| (stated.log, stated.size) == (head.log, head.size))
    }
}

/// A statement that the replay has yet to come to.
#[derive(Debug)]
pub(crate) struct Due {
    /// Position of the entry in log 0.
    pub(crate) entry: u64,
    pub(crate) size: u64,
    pub(crate) tenants: Hash,
    pub(crate) seed: Seed,
}

impl Due {
    /// Whether these are the counts that were stated.
    pub(crate) fn holds(&self, counts: &ByName<u64>) -> bool {
        tree(&self.seed, counts).root() == self.tenants
    }
}

/// The tree over these counts; `seed` is that of the group of log 0 that the entry is in.
pub(crate) fn tree(seed: &Seed, counts: &ByName<u64>) -> TenantTree {
    TenantTree::new(seed, counts.iter().map(|(tenant, count)| (tenant, *count)))
}

/// The number of the log that a `log.created` entry is about; `None`: it is none.
pub(crate) fn created(entry: &[u8]) -> Option<u32> {
    memchr::memmem::find(entry, b"\"type\":\"log.created\"")?;
    let mut document = Document::new();
    let root = document.parse(entry, &json::Limits::default()).ok()?;
    (root.get("type")?.as_str()? == "log.created").then_some(())?;
    u32::try_from(root.get("log")?.as_u64()?).ok()
}

/// Whether this says that events have expired.
pub(crate) fn is_expiry(entry: &[u8]) -> bool {
    memchr::memmem::find(entry, b"\"type\":\"expired\"").is_some()
}

/// The logs of a `tenants` entry; `None`: it is none. `Some(None)`: it is one, and malformed.
pub(crate) fn parse(entry: &[u8]) -> Option<Option<Vec<Stated>>> {
    // Log 0 has other entries, too, and few of these.
    memchr::memmem::find(entry, b"\"type\":\"tenants\"")?;
    let mut document = Document::new();
    let root = document.parse(entry, &json::Limits::default()).ok()?;
    (root.get("type")?.as_str()? == "tenants").then_some(())?;
    Some(root.get("logs").and_then(|logs| logs.elements().map(stated).collect()))
}

fn stated(node: Node<'_, '_>) -> Option<Stated> {
    let hash = |key: &str| Hash::from_slice(&STANDARD.decode(node.get(key)?.as_str()?.as_bytes()).ok()?);
    let log = u32::try_from(node.get("log")?.as_u64()?).ok()?;
    Some(Stated { log, size: node.get("size")?.as_u64()?, root: hash("root")?, tenants: hash("tenants")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::control;
    use crate::engine::Store;
    use crate::verify::{self, Code, Options};
    use crate::{Class, Config, Draft};

    /// What somebody who holds the key might state.
    type Lie = fn(&mut Vec<Stated>);

    fn found(lie: Lie, seals: bool) -> Vec<Code> {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("store"));
        config.sealing.background = false;
        let store = Store::open(config.clone()).unwrap();
        for n in 0..600 {
            let class = if n % 9 == 0 { Class::Telemetry } else { Class::Normal };
            store.emit(&Draft::new("door.open").tenant(["acme", "globex"][n % 2]).class(class)).unwrap();
        }
        store.flush().unwrap();
        let shared = store.shared().unwrap();
        let counted = shared.builder.lock().count_tenants().unwrap();
        let mut stated: Vec<Stated> = counted.logs.iter().map(|(stated, _)| *stated).collect();
        lie(&mut stated);
        let entry = control::tenants(&stated.iter().collect::<Vec<_>>(), 0);
        shared.commit_control(&[(LOG_CONTROL, entry)]).unwrap();
        // A true one, and more events behind.
        store.record_tenants().unwrap();
        store.append(&Draft::new("door.close").tenant("acme")).unwrap();
        if seals {
            store.seal().unwrap();
        }
        store.close().unwrap();
        let report = verify::verify(&config.dir, Options::default()).unwrap();
        report.findings.iter().filter(|finding| finding.level == verify::Level::Fail).map(|finding| finding.code).collect()
    }

    #[test]
    fn verify_names_every_false_statement() {
        for seals in [false, true] {
            assert_eq!(found(|_| {}, seals), [], "{seals}");
            assert_eq!(found(|stated| stated[0].tenants = Hash([1; 32]), seals), [Code::TenantCounts], "{seals}");
            assert_eq!(found(|stated| stated.truncate(1), seals), [Code::TenantCounts], "{seals}");
            // Each log once, in their order.
            assert!(found(|stated| stated.reverse(), seals).contains(&Code::TenantCounts), "{seals}");
            assert!(found(|stated| stated.push(stated[1]), seals).contains(&Code::TenantCounts), "{seals}");
            assert_eq!(found(|stated| stated[1].root = Hash([1; 32]), seals), [Code::HeadsMismatch], "{seals}");
            let swapped: Lie = |stated| {
                let [one, two] = [stated[0].tenants, stated[1].tenants];
                (stated[0].tenants, stated[1].tenants) = (two, one);
            };
            assert_eq!(found(swapped, seals), [Code::TenantCounts; 2], "{seals}");
            // About more than the log has, or less than it had.
            assert!(found(|stated| stated[0].size += 1, seals).contains(&Code::TenantCounts), "{seals}");
        }
        assert!(found(|stated| stated[0].size -= 1, false).contains(&Code::TenantCounts));
    }
}
