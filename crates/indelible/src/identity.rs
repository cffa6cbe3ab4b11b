//! Who a store is: its ids, its logs, its key. Files `store.json` and `key` of docs/format/store.md.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::frame::StoreId;
use indelible_format::json::{self, Document, Node};
use indelible_format::note::{SigningKey, VerifierKey};
use zeroize::Zeroizing;

use crate::backup::UNFINISHED;
use crate::error::{Error, ErrorKind, Result};
use crate::json_object::Object;
use crate::retain::Retention;
use crate::time;
use crate::world::World;

mod predecessor;

pub(crate) use predecessor::write_list;
pub use predecessor::{Predecessor, TakenOver};

/// Version of the store directory that this build reads and writes.
pub const FORMAT: u64 = 1;
/// The store's own log: creation of logs, keys, heads, gaps.
pub const LOG_CONTROL: u32 = 0;
/// The log events go to.
pub const LOG_MAIN: u32 = 1;
/// The log telemetry events go to.
pub const LOG_TELEMETRY: u32 = 2;

/// One log of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIdentity {
    /// Its number in the journal.
    pub id: u32,
    /// What people call it; never part of a proof.
    pub name: String,
    /// 16 random hex digits, part of its origin.
    pub uid: String,
}

/// A store's identity: everything public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Random id.
    pub store: StoreId,
    /// First part of the origins.
    pub prefix: String,
    /// When it was made, ns since 1970 UTC.
    pub created: i64,
    /// Its logs, by number.
    pub logs: Vec<LogIdentity>,
    /// Ed25519 public key.
    pub public_key: [u8; 32],
    /// The retention policy in force, and the position in log 0 of the entry that set it.
    pub retention: Option<(u64, Retention)>,
    /// The stores that it goes on from, oldest first; empty unless it was restored from a backup.
    pub predecessors: Vec<Predecessor>,
}

impl LogIdentity {
    fn to_json(&self) -> Vec<u8> {
        Object::new().number("id", u64::from(self.id)).text("name", &self.name).text("uid", &self.uid).finish()
    }
}

impl Identity {
    /// The store id as 32 hex digits.
    #[must_use]
    pub fn store_hex(&self) -> String {
        hex(&self.store)
    }

    /// The origin of one log.
    #[must_use]
    pub fn origin(&self, log: u32) -> Option<String> {
        let log = self.logs.iter().find(|known| known.id == log)?;
        Some(format!("{}/{}/{}", self.prefix, self.store_hex(), log.uid))
    }

    /// The verifier key of one log.
    #[must_use]
    pub fn verifier_key(&self, log: u32) -> Option<VerifierKey> {
        VerifierKey::new(&self.origin(log)?, &self.public_key).ok()
    }

    /// The number of the log that people call `name`, or whose number it is.
    #[must_use]
    pub fn log_named(&self, name: &str) -> Option<u32> {
        let number = name.parse().ok();
        self.logs.iter().find(|log| log.name == name || Some(log.id) == number).map(|log| log.id)
    }

    /// What people call a log.
    #[must_use]
    pub fn log_name(&self, log: u32) -> &str {
        self.logs.iter().find(|known| known.id == log).map_or("?", |known| known.name.as_str())
    }

    /// Draws a new identity and its signing key.
    pub(crate) fn generate(world: &World, prefix: &str) -> Result<(Self, SigningKey)> {
        let names = [(LOG_CONTROL, "control"), (LOG_MAIN, "main"), (LOG_TELEMETRY, "telemetry")];
        Self::draw(world, prefix, &names)
    }

    /// Draws the identity of a store that goes on where `before` ends, and its signing key: the same logs under new origins.
    pub(crate) fn succeed(world: &World, before: Predecessor, earlier: Vec<Predecessor>) -> Result<(Self, SigningKey)> {
        let names: Vec<(u32, &str)> = before.identity.logs.iter().map(|log| (log.id, log.name.as_str())).collect();
        let (mut identity, key) = Self::draw(world, &before.identity.prefix, &names)?;
        identity.retention.clone_from(&before.identity.retention);
        identity.predecessors = earlier;
        identity.predecessors.push(before);
        Ok((identity, key))
    }

    fn draw(world: &World, prefix: &str, names: &[(u32, &str)]) -> Result<(Self, SigningKey)> {
        let random = |buf: &mut [u8]| world.entropy.fill(buf).map_err(|error| Error::io("could not draw random bytes", error));
        let mut store = [0; 16];
        random(&mut store)?;
        let mut seed = Zeroizing::new([0; 32]);
        random(seed.as_mut_slice())?;
        let mut logs = Vec::new();
        for (id, name) in names.iter().copied() {
            let mut uid = [0; 8];
            random(&mut uid)?;
            logs.push(LogIdentity { id, name: name.into(), uid: hex(&uid) });
        }
        let (created, predecessors, retention) = (world.clock.wall_ns(), Vec::new(), None);
        let mut identity = Self { store, prefix: prefix.into(), created, logs, public_key: [0; 32], retention, predecessors };
        let origin = identity.origin(LOG_CONTROL).unwrap_or_default();
        let key = SigningKey::from_seed(&origin, &seed).map_err(|error| {
            Error::new(ErrorKind::Rejected, format!("`{prefix}` cannot begin an origin: {error}"))
                .with_hint("use a host name and path such as example.com/audit, without spaces or +")
        })?;
        identity.public_key = *key.verifier().public_key();
        Ok((identity, key))
    }

    /// Gives a number and an origin to every log that a policy names and the store does not have. Returns whether there was one.
    pub(crate) fn add_logs(&mut self, world: &World, policy: &Retention) -> Result<bool> {
        let before = self.logs.len();
        for keep in &policy.keep {
            if self.logs.iter().all(|log| log.name != keep.log) {
                let mut uid = [0; 8];
                world.entropy.fill(&mut uid).map_err(|error| Error::io("could not draw random bytes", error))?;
                let id = self.logs.iter().map(|log| log.id).max().map_or(0, |last| last.saturating_add(1));
                self.logs.push(LogIdentity { id, name: keep.log.clone(), uid: hex(&uid) });
            }
        }
        Ok(self.logs.len() > before)
    }

    /// Replaces `store.json`; durable when it returns.
    pub(crate) fn save(&self, world: &World, dir: &Path) -> Result<()> {
        world
            .replace_file(&dir.join("store.json"), &self.to_json())
            .map_err(|error| Error::io("could not write store.json", error))
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut object = Object::new().text("created", &time::format(self.created)).number("format", FORMAT);
        write_list(object.key("logs"), &self.logs, LogIdentity::to_json);
        if !self.predecessors.is_empty() {
            write_list(object.key("predecessors"), &self.predecessors, Predecessor::to_json);
        }
        object = object.text("prefix", &self.prefix).text("public_key", &STANDARD.encode(self.public_key));
        if let Some((entry, policy)) = &self.retention {
            let policy = policy.write(Object::new().number("entry", *entry), |object| object);
            object.key("retention").extend_from_slice(&policy.finish());
        }
        object.text("store", &self.store_hex()).finish()
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self> {
        let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, format!("store.json {what}"));
        let mut document = Document::new();
        let root = document.parse(bytes, &json::Limits::default()).map_err(|error| corrupt(&format!("is not JSON: {error}")))?;
        let format = root.get("format").and_then(|node| node.as_u64());
        if format != Some(FORMAT) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "store.json has format {}, this build reads {FORMAT}",
                    format.map_or_else(|| "none".into(), |n| n.to_string())
                ),
            )
            .with_hint("use the version of indelible that wrote it, or a later one"));
        }
        let mut identity = Self::members(&root)?;
        for node in root.get("predecessors").into_iter().flat_map(|list| list.elements()) {
            let before = Predecessor::from_json(&node).ok_or_else(|| corrupt("describes a predecessor that cannot be"))?;
            identity.predecessors.push(before);
        }
        Ok(identity)
    }

    /// The members that a store and a predecessor have in common.
    fn members(root: &Node<'_, '_>) -> Result<Self> {
        let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, format!("store.json {what}"));
        let text = |key: &str| root.get(key).and_then(|node| node.as_str()).ok_or_else(|| corrupt(&format!("has no `{key}`")));
        let mut logs = Vec::new();
        for node in root.get("logs").ok_or_else(|| corrupt("has no `logs`"))?.elements() {
            let member = |key: &str| node.get(key).and_then(|member| member.as_str()).map(String::from);
            let id = node.get("id").and_then(|id| id.as_u64()).and_then(|id| u32::try_from(id).ok());
            let (Some(id), Some(name), Some(uid)) = (id, member("name"), member("uid")) else {
                return Err(corrupt("has a log without id, name or uid"));
            };
            logs.push(LogIdentity { id, name, uid });
        }
        let store = unhex(&text("store")?).ok_or_else(|| corrupt("has a malformed `store`"))?;
        let public_key = STANDARD.decode(text("public_key")?.as_bytes()).ok().and_then(|key| key.try_into().ok());
        Ok(Self {
            store,
            prefix: text("prefix")?.into_owned(),
            created: time::parse(&text("created")?).ok_or_else(|| corrupt("has a malformed `created`"))?,
            logs,
            public_key: public_key.ok_or_else(|| corrupt("has a malformed `public_key`"))?,
            retention: match root.get("retention") {
                None => None,
                Some(node) => {
                    let entry = node.get("entry").and_then(|entry| entry.as_u64());
                    let policy = entry.zip(Retention::read(&node));
                    Some(policy.ok_or_else(|| corrupt("has a malformed `retention`"))?)
                }
            },
            predecessors: Vec::new(),
        })
    }

    /// Reads `store.json`.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported`, `Io`.
    pub fn read(world: &World, dir: &Path) -> Result<Self> {
        let path = dir.join("store.json");
        if !world.disk.exists(&path) {
            return Err(Self::missing(world, dir));
        }
        Self::from_json(&world.read_file(&path).map_err(|error| Error::io("could not read store.json", error))?)
    }

    /// Why there is no `store.json`.
    pub(crate) fn missing(world: &World, dir: &Path) -> Error {
        let shown = dir.display();
        if world.disk.exists(&dir.join(UNFINISHED)) {
            return Error::new(ErrorKind::NotFound, format!("a restoration into {shown} was not finished"))
                .with_hint(format!("run `indelible restore BACKUP --data {shown}` once more"));
        }
        Error::new(ErrorKind::NotFound, format!("there is no store in {shown}"))
            .with_hint(format!("make one with `indelible init --data {shown}`"))
    }

    /// Writes identity and key of a new store; `store.json` comes last, so a store without it was never finished.
    pub(crate) fn write(&self, key: &SigningKey, world: &World, dir: &Path) -> Result<()> {
        write_key(key, world, dir)?;
        self.save(world, dir)
    }

    /// Reads the signing key and checks that it is this store's.
    pub(crate) fn read_key(&self, world: &World, dir: &Path) -> Result<SigningKey> {
        let bytes = Zeroizing::new(world.read_file(&dir.join("key")).map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let error = Error::io("could not read the signing key", error);
            // Any other failure has its own next step: a key that is there needs no restoring.
            if missing {
                error.with_hint("restore `key` from its backup; without it the log can be read and verified, not written")
            } else {
                error
            }
        })?);
        let text = std::str::from_utf8(&bytes).map(str::trim_end).unwrap_or_default();
        let key = SigningKey::parse(text)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("the signing key is malformed: {error}")))?;
        if *key.verifier().public_key() != self.public_key || Some(key.verifier().name()) != self.origin(LOG_CONTROL).as_deref() {
            return Err(Error::new(ErrorKind::Mismatch, "the signing key is not the one of store.json")
                .with_hint("restore `key` and `store.json` from the same backup"));
        }
        Ok(key)
    }
}

/// Writes the file `key`.
pub(crate) fn write_key(key: &SigningKey, world: &World, dir: &Path) -> Result<()> {
    let mut secret = Zeroizing::new(key.to_secret_text().as_bytes().to_vec());
    secret.push(b'\n');
    world.replace_file(&dir.join("key"), &secret).map_err(|error| Error::io("could not write the signing key", error))
}

/// The key of the keyed pseudonyms: `pseudonym.key`, made when first asked for.
pub(crate) fn pseudonym_key(world: &World, dir: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let path = dir.join("pseudonym.key");
    if !world.disk.exists(&path) {
        let mut key = Zeroizing::new([0; 32]);
        world.entropy.fill(key.as_mut_slice()).map_err(|error| Error::io("could not draw random bytes", error))?;
        let text = Zeroizing::new(hex(key.as_slice()));
        world.replace_file(&path, text.as_bytes()).map_err(|error| Error::io("could not write pseudonym.key", error))?;
        return Ok(key);
    }
    let bytes = Zeroizing::new(world.read_file(&path).map_err(|error| Error::io("could not read pseudonym.key", error))?);
    let key = std::str::from_utf8(&bytes).ok().and_then(|text| unhex(text.trim_end()));
    key.map(Zeroizing::new).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "pseudonym.key is malformed")
            .with_hint("restore it from a backup: with another key, equal values get other pseudonyms than before")
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (slot, at) in out.iter_mut().zip((0..).step_by(2)) {
        *slot = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}
