//! Offline verification of a tenant's own copy: that its events are in the logs, and that none of them is missing. Lines:
//! docs/format/tenants.md.

use std::io::{BufRead, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::json::{self, Document, Node};
use indelible_format::merkle::{Frontier, subtrees};
use indelible_format::note::VerifierKey;
use indelible_format::tenants::{CountProof, Neighbour, Told};
use indelible_format::{Hash, Head, Tag, sha256};

use super::proof::{self, ProofReport, ProvenGroup};
use crate::digest::stated::{self, Stated};
use crate::error::{Error, ErrorKind, Result};

/// The longest line: an event of the largest kind, in base64, with the hashes before it.
const LINE_BYTES_MAX: usize = 32 << 20;

/// What a tenant's copy proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantReport {
    /// Whose events they are.
    pub tenant: String,
    /// Origin of log 0.
    pub origin: String,
    /// Position in log 0 of the entry that counts the events.
    pub entry: u64,
    /// When it was recorded, as it says: RFC 3339.
    pub at: String,
    /// Entries of log 0 that its checkpoint is over.
    pub size: u64,
    /// All logs of the store but log 0.
    pub logs: Vec<TenantLog>,
}

impl TenantReport {
    /// Events that are here.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.logs.iter().map(|log| log.count - log.first).sum()
    }

    /// Whether the copy shows that none is missing. Without a leaf of the tenant's in any log it does not: who has no event cannot be told from
    /// who is shown a wrong salt.
    #[must_use]
    pub fn shows_all(&self) -> bool {
        self.logs.iter().any(|log| log.count > 0)
    }
}

/// A tenant's events in one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLog {
    /// Number of the log.
    pub log: u32,
    /// Positions that the log had.
    pub size: u64,
    /// Positions before this one have expired, as an entry of log 0 says; 0: none.
    pub below: u64,
    /// Events of the tenant among those that have expired: the number of the first that is there.
    pub first: u64,
    /// Events that the tenant ever had here: the numbers from `first` up to this are all there.
    pub count: u64,
    /// Groups of events that are withheld.
    pub withheld: u64,
}

/// An event of a tenant's copy, once it was read; it is proven when all of it was.
#[derive(Debug)]
pub struct TenantEvent<'e> {
    /// Which log.
    pub log: u32,
    /// Position in it.
    pub seq: u64,
    /// Its groups, by tag.
    pub groups: &'e [ProvenGroup],
}

/// Verifies what [`Store::write_tenant`](crate::Store::write_tenant) wrote, and shows each event to `each`.
///
/// `key` is the store's verifier key: that of log 0. What it rests on: that the key signs one log 0, and that the store's own `verify`, by
/// whoever may see all of it, does not fail.
///
/// **Cost**: one pass, in constant memory; the hashing of the events.
///
/// # Errors
/// `Rejected`: it is not such a copy. `Mismatch`: it is one, and it does not hold; what was shown before counts for nothing then. `Io`.
pub fn verify_tenant(
    copy: impl BufRead,
    key: &VerifierKey,
    each: &mut dyn FnMut(&TenantEvent<'_>) -> Result<()>,
) -> Result<TenantReport> {
    let mut lines = Lines { copy, line: String::new() };
    let (tenant, shown) = lines.next(|first| {
        if first.get("format")?.as_str()? != "indelible-tenant/v1" {
            return None;
        }
        Some((first.get("tenant")?.as_str()?.into_owned(), first.get("heads")?.as_str()?.into_owned()))
    })?;
    let shown = proof::verify_proof(shown.as_bytes(), key)?;
    let (at, stated) = counts(&shown, key)?;
    let mut report = TenantReport { tenant, origin: shown.origin, entry: shown.seq, at, size: shown.size, logs: Vec::new() };
    let mut salt = None;
    for stated in &stated {
        let (log, shown) = lines.next(count)?;
        // A made-up salt would put the tenant between two other leaves. The one that leads to a leaf of its own is the true one, and it is
        // the same for all logs of an entry.
        if *salt.get_or_insert(shown.salt) != shown.salt {
            return Err(wrong(format!("log {log} is shown under another salt than the logs before it")));
        }
        let count = shown.verify(&report.tenant, &stated.tenants).filter(|_| log == stated.log).ok_or_else(|| {
            wrong(format!("how many events {} has in log {} is not what log 0 says", report.tenant, stated.log))
        })?;
        let mut of_log = TenantLog { log, size: stated.size, below: 0, first: 0, count, withheld: 0 };
        if count > 0 {
            events(&mut lines, stated, &report.tenant, key, &mut of_log, each)?;
        }
        report.logs.push(of_log);
    }
    let there = report.events();
    let said = lines.next(|last| (last.get("complete")?.as_bool()?).then(|| last.get("events")?.as_u64())?)?;
    if said != there {
        return Err(wrong(format!("it says that it has {said} events, and has {there}")));
    }
    lines.end()?;
    Ok(report)
}

/// Reads the events of one log, and hashes it from its beginning to its end.
fn events(
    lines: &mut Lines<impl BufRead>,
    stated: &Stated,
    tenant: &str,
    key: &VerifierKey,
    of_log: &mut TenantLog,
    each: &mut dyn FnMut(&TenantEvent<'_>) -> Result<()>,
) -> Result<()> {
    let log = stated.log;
    let mut tree = Frontier::new();
    let mut due = 0;
    loop {
        match lines.next(item)? {
            Item::Expired { shown, proof } => {
                if tree.size() > 0 || due > 0 || of_log.below > 0 {
                    return Err(malformed("what has expired comes first, and once"));
                }
                let (below, tenants) = expiry(&proof, log, key)?;
                due = shown.verify(tenant, &tenants).ok_or_else(|| {
                    wrong(format!("how many events {tenant} had in what of log {log} has expired is not what log 0 says"))
                })?;
                (of_log.below, of_log.first) = (below, due);
            }
            Item::Event { seq, hashes, groups, entry } => {
                if !(of_log.below..stated.size).contains(&seq) {
                    return Err(wrong(format!("position {seq} of log {log} is not within what log 0 names")));
                }
                pass(&mut tree, seq, &hashes)?;
                tree.push_leaf(sha256::leaf(&entry));
                let head = groups.iter().find(|group| group.tag == Tag::HEAD).and_then(|group| group.value.as_deref());
                let head = head.and_then(Head::parse).ok_or_else(|| malformed("an event shows no head"))?;
                if head.tenant != tenant {
                    return Err(wrong(format!("the event at position {seq} of log {log} is another tenant's")));
                }
                if head.tenant_seq != due {
                    let message = format!("event {due} of {tenant} in log {log} is missing: number {} follows", head.tenant_seq);
                    return Err(wrong(message));
                }
                due += 1;
                of_log.withheld += groups.iter().filter(|group| group.value.is_none()).count() as u64;
                each(&TenantEvent { log, seq, groups: &groups })?;
            }
            Item::End { size, hashes } => {
                if size != stated.size {
                    return Err(wrong(format!("log {log} ends at {size}, log 0 names {}", stated.size)));
                }
                pass(&mut tree, size, &hashes)?;
                if tree.root() != stated.root {
                    return Err(wrong(format!("the events and hashes of log {log} do not lead to the root that log 0 names")));
                }
                if due == of_log.count {
                    return Ok(());
                }
                let count = of_log.count;
                return Err(wrong(format!(
                    "events of {tenant} in log {log} are missing: numbers up to {due}, log 0 counts {count}"
                )));
            }
        }
    }
}

/// Takes the tree over other people's events, up to position `to`.
fn pass(tree: &mut Frontier, to: u64, hashes: &[Hash]) -> Result<()> {
    let mut hashes = hashes.iter();
    if to < tree.size() {
        return Err(malformed("its positions do not ascend"));
    }
    for (level, _) in subtrees(tree.size(), to) {
        let hash = hashes.next().ok_or_else(|| malformed("hashes between two events are missing"))?;
        tree.push_subtree(level, *hash).map_err(|error| malformed(&error.to_string()))?;
    }
    if hashes.next().is_some() { Err(malformed("there are more hashes between two events than positions")) } else { Ok(()) }
}

/// What an entry of log 0 says of a log that has expired: below which position, and the root over the counts there.
fn expiry(proof: &str, log: u32, key: &VerifierKey) -> Result<(u64, Hash)> {
    let shown = proof::verify_proof(proof.as_bytes(), key)?;
    of_control(&shown, key)?;
    let mut document = Document::new();
    let read = |entry: &[u8]| {
        let root = document.parse(entry, &json::Limits::default()).ok()?;
        let (kind, of) = (root.get("type")?.as_str()?, root.get("log")?.as_u64()?);
        (kind == "expired" && of == u64::from(log)).then_some((root.get("below")?.as_u64()?, hash(root.get("tenants")?)?))
    };
    shown.control.as_deref().and_then(read).ok_or_else(|| malformed("the entry of log 0 does not say what has expired"))
}

/// Whether a proof is of an entry of log 0.
fn of_control(shown: &ProofReport, key: &VerifierKey) -> Result<()> {
    // In any other log such an entry would be nobody's business: only in log 0 it is compared with the logs.
    if shown.origin != key.name() {
        let message = format!("the counts are an entry of {}, the key is that of {}", shown.origin, key.name());
        return Err(Error::new(ErrorKind::Mismatch, message).with_hint(
            "give the store's key, which is that of log 0: `indelible init` and `indelible checkpoint --log control` print it",
        ));
    }
    Ok(())
}

/// When the entry of log 0 was recorded, and what it states.
fn counts(shown: &ProofReport, key: &VerifierKey) -> Result<(String, Vec<Stated>)> {
    of_control(shown, key)?;
    let entry = shown.control.as_deref().ok_or_else(|| malformed("it begins with the proof of an event"))?;
    let stated = stated::parse(entry).flatten().ok_or_else(|| malformed("the entry of log 0 counts nobody's events"))?;
    let mut document = Document::new();
    let root = document.parse(entry, &json::Limits::default()).map_err(|error| malformed(&error.to_string()))?;
    let at = root.get("at").and_then(|node| node.as_str()).ok_or_else(|| malformed("the entry of log 0 has no time"))?;
    Ok((at.into_owned(), stated))
}

/// Lines of JSON, one at a time.
struct Lines<R> {
    copy: R,
    line: String,
}

impl<R: BufRead> Lines<R> {
    fn next<T>(&mut self, read: impl FnOnce(Node<'_, '_>) -> Option<T>) -> Result<T> {
        self.line.clear();
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::InvalidData => malformed("a line is no text"),
            _ => Error::io("could not read the tenant's copy", error),
        };
        Read::by_ref(&mut self.copy).take(LINE_BYTES_MAX as u64).read_line(&mut self.line).map_err(failed)?;
        if !self.line.ends_with('\n') {
            return Err(malformed("it ends before its end"));
        }
        let limits = json::Limits { bytes_max: LINE_BYTES_MAX, ..json::Limits::default() };
        let mut document = Document::new();
        let root = document.parse(self.line.as_bytes(), &limits).map_err(|error| malformed(&error.to_string()))?;
        read(root).filter(|_| root.is_canonical()).ok_or_else(|| malformed("a line of it is another one than is due"))
    }
}

impl<R: BufRead> Lines<R> {
    fn end(&mut self) -> Result<()> {
        let rest = self.copy.fill_buf().map_err(|error| Error::io("could not read the tenant's copy", error))?;
        if rest.is_empty() { Ok(()) } else { Err(malformed("something follows its end")) }
    }
}

/// What stands between the count of a log and its end.
enum Item {
    Expired { shown: CountProof, proof: String },
    Event { seq: u64, hashes: Vec<Hash>, groups: Vec<ProvenGroup>, entry: Vec<u8> },
    End { size: u64, hashes: Vec<Hash> },
}

fn item(line: Node<'_, '_>) -> Option<Item> {
    if let Some(proof) = line.get("expired") {
        (line.len() == 3).then_some(())?;
        return Some(Item::Expired { shown: count_proof(line)?, proof: proof.as_str()?.into_owned() });
    }
    let hashes = hashes(line.get("hashes")?)?;
    if let Some(size) = line.get("end") {
        (line.len() == 2).then_some(())?;
        return Some(Item::End { size: size.as_u64()?, hashes });
    }
    (line.len() == 3).then_some(())?;
    let (groups, entry) = proof::event(line.get("groups")?)?;
    Some(Item::Event { seq: line.get("seq")?.as_u64()?, hashes, groups, entry })
}

fn count(line: Node<'_, '_>) -> Option<(u32, CountProof)> {
    (line.len() == 3).then_some(())?;
    Some((u32::try_from(line.get("log")?.as_u64()?).ok()?, count_proof(line)?))
}

fn count_proof(line: Node<'_, '_>) -> Option<CountProof> {
    let salt = bytes(line.get("salt")?)?.try_into().ok()?;
    let told = line.get("told")?;
    let told = match told.get("count") {
        Some(count) => {
            let (index, path) = (told.get("index")?.as_u64()?, hashes(told.get("path")?)?);
            Told::Counted { count: count.as_u64()?, index, path }
        }
        None => Told::Uncounted { left: neighbour(told.get("left")?)?, right: neighbour(told.get("right")?)? },
    };
    Some(CountProof { salt, told })
}

/// `Some(None)`: there is none.
fn neighbour(node: Node<'_, '_>) -> Option<Option<Neighbour>> {
    if node.is_null() {
        return Some(None);
    }
    let index = node.get("index")?.as_u64()?;
    let (id, commitment) = (hash(node.get("id")?)?, hash(node.get("commitment")?)?);
    Some(Some(Neighbour { index, id, commitment, path: hashes(node.get("path")?)? }))
}

fn bytes(node: Node<'_, '_>) -> Option<Vec<u8>> {
    STANDARD.decode(node.as_str()?.as_bytes()).ok()
}

fn hash(node: Node<'_, '_>) -> Option<Hash> {
    Hash::from_slice(&bytes(node)?)
}

fn hashes(node: Node<'_, '_>) -> Option<Vec<Hash>> {
    node.elements().map(hash).collect()
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Rejected, format!("this is not a tenant's copy: {what}"))
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Mismatch, message).with_hint("ask for the copy again; if it is as before, keep it: it is evidence")
}
