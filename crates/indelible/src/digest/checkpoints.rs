//! Checkpoints: signing durable heads, keeping them outside the journal, comparing a store with them.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indelible_format::Hash;
use indelible_format::checkpoint::{self, Checkpoint};
use indelible_format::json::{self, Document};

use crate::commit::builder::Builder;
use crate::commit::journal::Prewrite;
use crate::commit::pipeline::{OPEN, Shared};
use crate::digest::LogHead;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Identity, hex};
use crate::world::World;

/// A signed head of a log, signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// Which log.
    pub log: u32,
    /// Its origin.
    pub origin: String,
    /// Number of positions.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The signed note, for third parties.
    pub note: String,
}

/// The newest checkpoint of each log.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) notes: Vec<(LogHead, String)>,
    /// Whether `notes` has something that the files do not have yet.
    unsaved: bool,
    /// Notes that no frame carries yet.
    pub(crate) uncarried: Vec<(u32, String)>,
}

pub(crate) fn path(dir: &Path, log: u32) -> PathBuf {
    dir.join("checkpoint").join(log.to_string())
}

/// Reads `checkpoint/<log>` and checks its signature.
pub(crate) fn read(world: &World, dir: &Path, identity: &Identity, log: u32) -> Result<Option<SignedCheckpoint>> {
    let path = path(dir, log);
    if !world.disk.exists(&path) {
        return Ok(None);
    }
    let bytes = world.read_file(&path).map_err(|error| Error::io(format!("could not read checkpoint/{log}"), error))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::Corrupt, format!("checkpoint/{log} is not text")))?;
    open(identity, log, &text).map(Some)
}

/// Checks a note's signature and origin.
pub(crate) fn open(identity: &Identity, log: u32, note: &str) -> Result<SignedCheckpoint> {
    let key = identity.verifier_key(log).ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no log {log}")))?;
    let Checkpoint { origin, size, root, .. } = checkpoint::open(note.as_bytes(), &key).map_err(|error| {
        Error::new(ErrorKind::Mismatch, format!("the checkpoint of log {log} does not verify: {error}"))
            .with_hint("run `indelible verify`")
    })?;
    Ok(SignedCheckpoint { log, origin, size, root, note: note.to_owned() })
}

impl Shared {
    /// Signs the durable head of a log, unless its newest checkpoint already covers it.
    pub(crate) fn sign(&self, log: u32) -> Result<String> {
        let mut published = self.checkpoints.lock();
        let head = self.heads.read().iter().find(|head| head.log == log).copied();
        let head = head.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no log {log}")))?;
        if let Some((_, note)) = published.notes.iter().find(|(known, _)| *known == head) {
            return Ok(note.clone());
        }
        let origin = self.identity.origin(log).unwrap_or_default();
        let failed =
            |error: &dyn std::fmt::Display| Error::new(ErrorKind::Unsupported, format!("could not sign a checkpoint: {error}"));
        let key = self.key.with_name(&origin).map_err(|error| failed(&error))?;
        let note = Checkpoint::new(&origin, head.size, head.root).sign(&key).map_err(|error| failed(&error))?;
        published.notes.retain(|(known, _)| known.log != log);
        published.notes.push((head, note.clone()));
        published.uncarried.push((log, note.clone()));
        published.unsaved = true;
        Ok(note)
    }

    /// Gives the builder the notes that no frame carries yet.
    pub(crate) fn hand_over_notes(&self, builder: &mut Builder) {
        let notes = std::mem::take(&mut self.checkpoints.lock().uncarried);
        notes.into_iter().for_each(|(log, note)| builder.carry_note(log, note));
    }

    /// Takes a store's newest checkpoints as they were found on opening.
    pub(crate) fn adopt_checkpoints(&self) -> Result<()> {
        for log in &self.identity.logs {
            if let Some(found) = read(&self.world, &self.config.dir, &self.identity, log.id)? {
                let head = LogHead { log: log.id, size: found.size, root: found.root };
                self.checkpoints.lock().notes.push((head, found.note));
            }
        }
        Ok(())
    }

    /// Signs every head that changed since it was last signed.
    pub(crate) fn sign_all(&self) -> Result<()> {
        let heads = self.heads.read().clone();
        heads.iter().filter(|head| head.size > 0).try_for_each(|head| self.sign(head.log).map(drop))
    }

    /// Whether a head is not covered by its newest checkpoint, or a checkpoint is not in its file.
    pub(crate) fn checkpoint_due(&self) -> bool {
        let published = self.checkpoints.lock();
        published.unsaved
            || self.heads.read().iter().any(|head| head.size > 0 && !published.notes.iter().any(|(known, _)| known == head))
    }

    /// Writes the newest checkpoints to their files and to the trusted state. A crash leaves the files before or after.
    pub(crate) fn save_checkpoints(&self) -> Result<()> {
        // One at a time: two would take each other's fresh file away, or put an older note in the place of a newer one.
        let _saving = self.saving.lock();
        let notes = {
            let mut published = self.checkpoints.lock();
            if !std::mem::take(&mut published.unsaved) {
                return Ok(());
            }
            published.notes.clone()
        };
        let saved = notes.iter().try_for_each(|(head, note)| {
            self.world
                .replace_file(&path(&self.config.dir, head.log), note.as_bytes())
                .map_err(|error| Error::io(format!("could not write checkpoint/{}", head.log), error))
        });
        let saved = saved.and_then(|()| {
            self.config.trusted_state_dir.as_ref().map_or(Ok(()), |dir| {
                let logs: Vec<(u32, &str)> = notes.iter().map(|(head, note)| (head.log, note.as_str())).collect();
                write_trusted_state(&self.world, dir, &self.identity, &logs)
            })
        });
        if saved.is_err() {
            self.checkpoints.lock().unsaved = true;
        }
        saved
    }
}

/// The keeper: signs and saves checkpoints while there is traffic, and makes journal files ahead of use.
pub(crate) fn keep(shared: &Shared) {
    let interval = shared.config.checkpoint_interval;
    let running = || shared.state.load(Ordering::Acquire) == OPEN;
    let mut signed = Instant::now().checked_sub(interval);
    let mut counted = Instant::now();
    while running() {
        // A full disk shows where it hurts: in the journal, which asks again.
        let _ = shared.nursery.prepare(Prewrite::WhenCalm);
        let uncounted = shared.config.tenant_counts_interval.filter(|_| shared.is_uncounted());
        let count_in = uncounted.map(|interval| interval.saturating_sub(counted.elapsed()));
        if count_in == Some(Duration::ZERO) {
            // A full disk: what is owed stays owed.
            let _ = shared.record_tenants(Duration::ZERO);
            counted = Instant::now();
        }
        if !shared.checkpoint_due() {
            match count_in {
                // Not for longer: who commits wakes only a keeper that rests.
                Some(wait) => shared.keeper.nap(wait.min(interval)),
                None => shared.keeper.rest(|| shared.checkpoint_due() || !running()),
            }
            continue;
        }
        let wait = signed.map_or(Duration::ZERO, |signed| interval.saturating_sub(signed.elapsed()));
        if wait > Duration::ZERO {
            // Woken before that when the journal took a file, so that the next one is ready in time.
            shared.keeper.nap(wait);
            continue;
        }
        let _ = shared.sign_all();
        shared.hand_over_notes(&mut shared.builder.lock());
        let _ = shared.save_checkpoints();
        signed = Some(Instant::now());
    }
}

/// File of the trusted state of one store.
#[must_use]
pub fn trusted_state_path(dir: &Path, identity: &Identity) -> PathBuf {
    dir.join(format!("{}.json", identity.store_hex()))
}

/// Replaces the trusted state with these checkpoints.
pub(crate) fn write_trusted_state(world: &World, dir: &Path, identity: &Identity, notes: &[(u32, &str)]) -> Result<()> {
    let failed = |error| Error::io(format!("could not write the trusted state in {}", dir.display()), error);
    let mut notes = notes.to_vec();
    // Keys of a JSON object in canonical order are in the order of their text.
    notes.sort_by_key(|(log, _)| log.to_string());
    let mut out = b"{\"checkpoints\":{".to_vec();
    for (nth, (log, note)) in notes.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{log}\":").as_bytes());
        json::write_string(&mut out, note);
    }
    out.extend_from_slice(format!("}},\"format\":1,\"store\":\"{}\"}}", hex(&identity.store)).as_bytes());
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !world.disk.exists(ancestor)).collect();
    missing.iter().rev().try_for_each(|ancestor| world.disk.create_dir(ancestor)).map_err(failed)?;
    world.replace_file(&trusted_state_path(dir, identity), &out).map_err(failed)
}

/// The checkpoints of the trusted state, signatures checked; none if there is no such file.
pub(crate) fn read_trusted_state(world: &World, dir: &Path, identity: &Identity) -> Result<Vec<SignedCheckpoint>> {
    let notes = trusted_notes(world, dir, identity)?;
    let log_of = |note: &str| {
        let origin = note.lines().next();
        identity.logs.iter().map(|log| log.id).find(|log| identity.origin(*log).as_deref() == origin)
    };
    notes.iter().map(|note| open(identity, log_of(note).unwrap_or(u32::MAX), note)).collect()
}

/// The notes of the trusted state, as they stand there.
pub(crate) fn trusted_notes(world: &World, dir: &Path, identity: &Identity) -> Result<Vec<String>> {
    let path = trusted_state_path(dir, identity);
    if !world.disk.exists(&path) {
        return Ok(Vec::new());
    }
    let bytes = world.read_file(&path).map_err(|error| Error::io(format!("could not read {}", path.display()), error))?;
    let malformed = || {
        Error::new(ErrorKind::Corrupt, format!("{} is malformed", path.display()))
            .with_hint("restore it from a backup; only if you trust the store as it is, remove it")
    };
    let mut document = Document::new();
    let root = document.parse(&bytes, &json::Limits::default()).map_err(|_| malformed())?;
    if root.get("format").and_then(|node| node.as_u64()) != Some(1)
        || root.get("store").and_then(|node| node.as_str()).as_deref() != Some(&identity.store_hex())
    {
        return Err(malformed());
    }
    let notes = root.get("checkpoints").ok_or_else(malformed)?;
    notes.entries().map(|(_, note)| note.as_str().map(String::from).ok_or_else(malformed)).collect()
}
