//! The pass over the journal: frames in order, every check on each, findings gathered.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::checkpoint::{self, CheckpointError, SignedCheckpoint};
use indelible_format::frame::{FLAG_CARRY, FileHeader, Frame};
use indelible_format::json::canonical::Checker;
use indelible_format::json::{self, Document};
use indelible_format::merkle::empty_root;
use indelible_format::note::{SignatureError, VerifierKey};
use indelible_format::record::Kind;
use indelible_format::span::{self, Spans};
use indelible_format::{Field, Hash, Head, Record, Tag};
use indelible_segment::Rebuilt;

use super::anchors::{Claimed, Claims, Source};
use super::expired::{Expiry, Pruning};
use super::finding::{Code, Finding, Level};
use super::restored::{RESTORED_MAX, Restored};
use super::{LogReport, Options, Report};
use crate::commit::journal::file_name;
use crate::commit::producers::{Arrival, Producers};
use crate::digest::replay::{Fault, Replay};
use crate::digest::{LogHead, checkpoints};
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Identity, LOG_CONTROL};
use crate::read::Reader;
use crate::read::frames::{self, Broken, Cursor, End, FileReader, Next, Pages};
use crate::retain::Retention;
use crate::seal::Manifest;
use crate::world::World;

/// Gap ranges remembered, so that a recorded loss is not reported as a silent one.
const GAPS_MAX: usize = 1 << 20;

pub(super) struct Verifier<'v> {
    pub(super) identity: Identity,
    keys: HashMap<u32, VerifierKey>,
    pub(super) claims: HashMap<u32, Claims>,
    pub(super) findings: Vec<Finding>,
    pub(super) details: Details,
    frames: u64,
    pub(super) events: u64,
    carried: u64,
    pub(super) reader: Reader,
    /// Bytes of segments that were read.
    pub(super) bytes_sealed: u64,
    /// Claims about sizes within the sealed part that were made behind it.
    late: Vec<(u32, u64, Hash, Source)>,
    /// What has expired, and what becomes of claims about it.
    pub(super) pruning: Pruning,
    progress: Option<&'v mut dyn FnMut(u64, u64)>,
}

/// What the records say besides their hashes.
#[derive(Default)]
pub(super) struct Details {
    pub(super) producers: Producers,
    pub(super) gaps: Vec<(String, u64, u64, u64)>,
    /// Entries of log 0 that say that something has expired, by position.
    pub(super) expiries: BTreeMap<u64, Expiry>,
    /// Policies that log 0 announces, by position.
    pub(super) policies: BTreeMap<u64, Retention>,
    created: Vec<Created>,
    pub(super) restored: Vec<Restored>,
    pub(super) heads: Vec<(u64, u32, u64, Hash)>,
    /// By log: how many groups or positions, and the first of them.
    withheld: BTreeMap<u32, (u64, u64)>,
    pub(super) events: u64,
    spans: Spans,
    checker: Checker,
    document: Document,
}

/// What an entry of log 0 says about a log that came to be.
struct Created {
    at: u64,
    log: u32,
    key: String,
    origin: String,
    /// Log 0 itself has no name there.
    name: Option<String>,
    /// Only the first entry of log 0 names the store.
    store: Option<String>,
}

pub(super) fn run(world: &World, dir: &Path, options: Options<'_>) -> Result<Report> {
    let identity = Identity::read(world, dir)?;
    // The limit comes first: checkpoints are only ever about what was durable when they were written.
    let reader = Reader::of(dir.to_owned(), world.clone(), identity.clone(), 0);
    let mut verifier = Verifier {
        keys: HashMap::new(),
        claims: identity.logs.iter().map(|log| (log.id, Claims::default())).collect(),
        identity,
        findings: Vec::new(),
        details: Details::default(),
        frames: 0,
        events: 0,
        carried: 0,
        reader,
        bytes_sealed: 0,
        late: Vec::new(),
        pruning: Pruning::default(),
        progress: options.progress,
    };
    let mut replay = Replay::judging(true);
    let anchored =
        verifier.gather(world, dir, &options.against, options.key.as_ref(), options.trusted_state_dir.as_deref(), &mut replay)?;
    verifier.check_owners(world, dir)?;
    let torn = verifier.stream(&mut replay)?;
    verifier.settle_late();
    Ok(verifier.conclude(&mut replay, anchored, torn))
}

impl Verifier<'_> {
    pub(super) fn find(&mut self, code: Code, level: Level, log: Option<u32>, at: Option<u64>, message: impl Into<String>) {
        self.findings.push(Finding { code, level, log, at, message: message.into() });
    }

    pub(super) fn fail(&mut self, code: Code, log: Option<u32>, at: Option<u64>, message: impl Into<String>) {
        self.find(code, Level::Fail, log, at, message);
    }

    /// Collects every claim that does not come from the journal itself. Returns whether any came from outside the store.
    fn gather(
        &mut self,
        world: &World,
        dir: &Path,
        against: &[String],
        key: Option<&VerifierKey>,
        state: Option<&Path>,
        replay: &mut Replay,
    ) -> Result<bool> {
        // A key tells who signed, not how much: a store that was rolled back is signed by it, too.
        let mut anchored = false;
        let key = key.filter(|key| !self.is_predecessors_key(key));
        let public_key = key.map_or(self.identity.public_key, |key| *key.public_key());
        if let Some(key) = key
            && *key.public_key() != self.identity.public_key
        {
            let found = self.identity.verifier_key(LOG_CONTROL).map(|key| key.to_string()).unwrap_or_default();
            self.fail(Code::KeyMismatch, None, None, format!("the store says its key is {found}; the key given is {key}"));
        }
        if let Some(key) = key
            && !self.identity.logs.iter().any(|log| self.identity.origin(log.id).as_deref() == Some(key.name()))
        {
            self.fail(
                Code::KeyMismatch,
                None,
                None,
                format!("the key given speaks for {}, which is no log of this store", key.name()),
            );
        }
        for log in self.identity.logs.clone() {
            // Signatures are checked with the outside key when there is one, whatever the store says its key is.
            match self.identity.origin(log.id).and_then(|origin| VerifierKey::new(&origin, &public_key).ok()) {
                Some(key) => drop(self.keys.insert(log.id, key)),
                None => self.fail(Code::StoreIdentity, Some(log.id), None, "store.json gives no usable key for this log"),
            }
            replay.tip(log.id);
            let path = checkpoints::path(dir, log.id);
            if world.disk.exists(&path) {
                let bytes =
                    world.read_file(&path).map_err(|error| Error::io(format!("could not read checkpoint/{}", log.id), error))?;
                self.claim_note(log.id, &bytes, Source::File, replay);
            }
        }
        self.gather_predecessors(replay);
        for note in against {
            anchored = true;
            self.claim_outside(note.as_bytes(), Source::Given, replay);
        }
        if let Some(state) = state {
            match checkpoints::trusted_notes(world, state, &self.identity) {
                Ok(notes) => {
                    anchored |= !notes.is_empty();
                    notes.iter().for_each(|note| self.claim_outside(note.as_bytes(), Source::State, replay));
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.fail(Code::AnchorMismatch, None, None, error.to_string())
                }
                Err(error) => return Err(error),
            }
        }
        Ok(anchored)
    }

    /// A checkpoint from outside: its origin says which log it is about.
    fn claim_outside(&mut self, note: &[u8], source: Source, replay: &mut Replay) {
        let origin = checkpoint::SignedCheckpoint::parse(note).map(|signed| signed.unverified().origin.clone());
        let log = origin.as_ref().ok().and_then(|origin| {
            self.identity.logs.iter().map(|log| log.id).find(|log| self.identity.origin(*log).as_ref() == Some(origin))
        });
        match (origin, log) {
            (Ok(_), Some(log)) => self.claim_note(log, note, source, replay),
            (Ok(origin), None) if self.claim_of_predecessor(note, &origin, source, replay) => {}
            (Ok(origin), None) => self.fail(
                Code::AnchorMismatch,
                None,
                None,
                format!("the outside checkpoint is about {origin}, which is no log of this store"),
            ),
            (Err(error), _) => {
                self.fail(Code::AnchorMismatch, None, None, format!("the outside checkpoint cannot be read: {error}"))
            }
        }
    }

    /// Checks a note's signature and files its claim.
    fn claim_note(&mut self, log: u32, note: &[u8], source: Source, replay: &mut Replay) {
        let Some(key) = self.keys.get(&log) else { return };
        let error = match checkpoint::open(note, key) {
            Ok(checkpoint) => return self.claim(log, checkpoint.size, checkpoint.root, source, replay),
            Err(error) => error,
        };
        let at = if let Source::Frame(lsn) = source { Some(lsn) } else { None };
        let unverified = SignedCheckpoint::parse(note).ok().map(|signed| signed.unverified().clone());
        let foreign =
            unverified.as_ref().filter(|checkpoint| checkpoint.origin != key.name()).map(|checkpoint| checkpoint.origin.clone());
        if let Some(origin) = foreign {
            self.fail(Code::CheckpointMismatch, Some(log), at, format!("a checkpoint kept for this log is about {origin}"));
            return;
        }
        let outside = matches!(source, Source::State | Source::Given);
        if let (Some(checkpoint), CheckpointError::Signature(SignatureError::Unknown), true) = (unverified, &error, outside) {
            // The caller vouches for it by giving it: that another key signed the store now is evidence, and so is what it says.
            self.fail(
                Code::KeyMismatch,
                Some(log),
                None,
                format!("{} is not signed by the key that the store has now", source.describe()),
            );
            return self.claim(log, checkpoint.size, checkpoint.root, source, replay);
        }
        self.fail(Code::CheckpointSignature, Some(log), at, format!("a checkpoint of this log does not verify: {error}"));
    }

    pub(super) fn claim(&mut self, log: u32, size: u64, root: Hash, source: Source, replay: &mut Replay) {
        let Some(claims) = self.claims.get_mut(&log) else { return };
        match claims.claim(size, root, source, log, &mut self.findings) {
            Claimed::Judged => {}
            Claimed::Ahead => drop(replay.tip(log).stops.insert(size)),
            Claimed::Sealed => self.late.push((log, size, root, source)),
        }
    }

    /// Judges the claims about sizes within the sealed part by its tree.
    fn settle_late(&mut self) {
        for (log, size, claimed, source) in std::mem::take(&mut self.late) {
            match self.reader.root_at(log, size) {
                Ok(root) => {
                    if let Some(claims) = self.claims.get_mut(&log) {
                        claims.judge(size, &root, &claimed, source, log, &mut self.findings);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Expired => self.give_up(log, size, source),
                Err(error) => {
                    let message = format!("{} over {size} entries cannot be compared: {error}", source.describe());
                    self.fail(Code::CheckpointMismatch, Some(log), Some(size), message);
                }
            }
        }
    }

    /// Journal files that belong to another store have no business here; the walk passes over them as not in use.
    fn check_owners(&mut self, world: &World, dir: &Path) -> Result<()> {
        for number in frames::numbers(world, dir)? {
            let owner = FileReader::open(world, dir, number, Pages::default())?.owner()?;
            if owner.is_some_and(|owner| owner != self.identity.store) {
                self.fail(Code::StoreIdentity, None, None, format!("journal/{} belongs to another store", file_name(number)));
            }
        }
        Ok(())
    }

    /// A file's header must say what the frames before it led to: readers find their way by it.
    fn check_header(&mut self, header: &FileHeader, before: &[LogHead], diverged: &[u32]) {
        let name = file_name(header.number);
        let stated = |log: u32| {
            header.logs.iter().find(|state| state.log == log).map_or((0, empty_root()), |state| (state.size, state.root))
        };
        let unknown = header.logs.iter().map(|state| state.log).filter(|log| !before.iter().any(|head| head.log == *log));
        let differs = before
            .iter()
            .filter(|head| !diverged.contains(&head.log) && stated(head.log) != (head.size, head.root))
            .map(|head| head.log);
        let wrong: Vec<u32> = unknown.chain(differs).collect();
        for log in wrong {
            let message =
                format!("the header of journal/{name} states another size or root of log {log} than the frames before it");
            self.fail(Code::FileHeader, None, Some(header.first_lsn), message);
        }
    }

    /// Reads what is sealed, then the journal to its end. Returns the bytes of a torn tail.
    fn stream(&mut self, replay: &mut Replay) -> Result<u64> {
        loop {
            let manifest = self.sealed(replay)?;
            if let Some(torn) = self.journal(&manifest, replay)? {
                return Ok(torn);
            }
            // A writer has sealed what was to be read next, and removed it: that is where it goes on.
        }
    }

    /// Reads the journal from where `manifest` says that it begins. `None`: that is not the store's manifest any more.
    fn journal(&mut self, manifest: &Manifest, replay: &mut Replay) -> Result<Option<u64>> {
        let start = manifest.start;
        let limit = self.reader.durable_limit()?;
        let mut cursor = Cursor::new(self.reader.world(), self.reader.dir(), self.identity.store, &start, limit)?.once();
        let total = self.bytes_sealed + cursor.bytes_total();
        let mut faults = Vec::new();
        if let Some((lsn, prev)) = cursor.first()?
            && (lsn, prev) != (start.lsn, start.prev)
        {
            if self.moved_on(manifest)? {
                return Ok(None);
            }
            let message = if lsn == start.lsn {
                "the header of the first journal file names another frame before it than the manifest".to_owned()
            } else {
                format!("the journal begins with frame {lsn}, frame {} was due", start.lsn)
            };
            let code = if lsn == start.lsn { Code::FileHeader } else { Code::JournalCorrupt };
            self.fail(code, None, Some(start.lsn), message);
            return Ok(Some(0));
        }
        let mut file = None;
        loop {
            let read = self.bytes_sealed + cursor.bytes_read;
            let before = (replay.heads(), replay.diverged().to_vec());
            match cursor.next()? {
                Next::Frame(frame, place) => {
                    self.frame(&frame, replay, &mut faults);
                    self.frames += 1;
                    if file.replace(place.file) != Some(place.file)
                        && let Some(header) = &cursor.header
                    {
                        self.check_header(header, &before.0, &before.1);
                    }
                    if self.frames.is_multiple_of(64)
                        && let Some(progress) = &mut self.progress
                    {
                        progress(read, total);
                    }
                }
                Next::End(End::Clean | End::Limit) => return Ok(Some(0)),
                Next::End(End::Torn(bytes)) => return Ok(Some(bytes)),
                Next::End(End::Gone) => {
                    if self.moved_on(manifest)? {
                        return Ok(None);
                    }
                    let lsn = cursor.next_lsn;
                    self.fail(Code::JournalCorrupt, None, Some(lsn), "a file of the journal went away while it was read");
                    return Ok(Some(0));
                }
                Next::End(End::Broken { file, offset, why }) => {
                    if self.moved_on(manifest)? {
                        return Ok(None);
                    }
                    let place = format!("at byte {offset} of journal/{}", file_name(file));
                    let (code, message) = match why {
                        Broken::Damaged(error) => (Code::FrameCrc, format!("{error}, {place}, though valid frames follow")),
                        Broken::Chain { .. } => (Code::FrameChain, format!("the frame {place} does not name the one before it")),
                        Broken::Header => (Code::FileHeader, format!("a file header contradicts the frames, {place}")),
                        Broken::Missing { expected, found } if found > expected => {
                            (Code::JournalCorrupt, format!("frames {expected} to {} are missing, {place}", found - 1))
                        }
                        Broken::Missing { expected, .. } => {
                            (Code::JournalCorrupt, format!("frame {expected} is missing, {place}, though later ones follow"))
                        }
                    };
                    let lsn = cursor.next_lsn;
                    self.fail(code, None, Some(lsn), message);
                    return Ok(Some(0));
                }
            }
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, replay: &mut Replay, faults: &mut Vec<Fault>) {
        let lsn = frame.meta.lsn;
        for (log, note) in &frame.meta.notes {
            if self.identity.origin(*log).is_none() {
                self.fail(
                    Code::LogUnknown,
                    Some(*log),
                    Some(lsn),
                    "a checkpoint in the journal is of a log that store.json does not know",
                );
                continue;
            }
            self.claim_note(*log, note.as_bytes(), Source::Frame(lsn), replay);
        }
        for change in &frame.meta.logs {
            if self.identity.origin(change.log).is_none() && !self.claims.contains_key(&change.log) {
                self.claims.insert(change.log, Claims::default());
                self.fail(Code::LogUnknown, Some(change.log), Some(lsn), "records of a log that store.json does not know");
            }
        }
        faults.clear();
        let (details, findings) = (&mut self.details, &mut self.findings);
        replay.frame(frame, faults, &mut |log, seq, record, head| {
            details.look(log, seq, record, head, Rebuilt::Otherwise, findings);
        });
        self.events = self.details.events;
        faults.drain(..).for_each(|fault| self.report(&fault));
        if frame.meta.flags & FLAG_CARRY != 0 {
            self.carried += u64::from(frame.meta.records);
            for change in &frame.meta.logs {
                let size = replay.head(change.log).size;
                if change.first_seq.saturating_add(u64::from(change.count)) > size {
                    let message = format!("the frame repeats entries of a log that has only {size} there");
                    self.fail(Code::Sequence, Some(change.log), Some(change.first_seq), message);
                }
            }
        } else {
            for change in &frame.meta.logs {
                let tip = replay.tip(change.log);
                let head = tip.head();
                let passed = std::mem::take(&mut tip.passed);
                if let Some(claims) = self.claims.get_mut(&change.log) {
                    for (size, root) in passed {
                        claims.reached(size, &root, change.log, &mut self.findings);
                    }
                    claims.boundary(head.size, head.root);
                }
            }
        }
        for (seq, log, size, root) in std::mem::take(&mut self.details.heads) {
            self.claim(log, size, root, Source::Heads(seq), replay);
        }
    }

    pub(super) fn report(&mut self, fault: &Fault) {
        match fault {
            Fault::Malformed { log, at } => self.fail(
                Code::RecordMalformed,
                *log,
                Some(*at),
                "a record is malformed, or there are more or fewer than the frame says",
            ),
            Fault::Sequence { log, expected, found } => {
                self.fail(
                    Code::Sequence,
                    Some(*log),
                    Some(*expected),
                    format!("numbering goes on with {found} where {expected} was due"),
                );
            }
            Fault::Unlisted { log, seq } => {
                self.fail(Code::Sequence, Some(*log), Some(*seq), "the frame holds a record of a log that it does not list")
            }
            Fault::SeedMissing { log, seq } => self.fail(
                Code::SeedMissing,
                Some(*log),
                Some(*seq),
                "the seed of this position's group is missing, or another one than before",
            ),
            Fault::Root { log, first_seq, size, expected, found } => self.fail(
                Code::RootMismatch,
                Some(*log),
                Some(*first_seq),
                format!("the values up to {size} give the root {found}, the frame says {expected}"),
            ),
            Fault::Tenant { log, seq, expected, found } => {
                self.fail(
                    Code::TenantSequence,
                    Some(*log),
                    Some(*seq),
                    format!("the tenant's numbering goes on with {found} where {expected} was due"),
                );
            }
            Fault::Stated { entry, log, size } => self.fail(
                Code::TenantCounts,
                Some(*log),
                Some(*size),
                format!("entry {entry} of log 0 states other numbers of its tenants' events there than the log gives"),
            ),
        }
    }

    fn conclude(mut self, replay: &mut Replay, anchored: bool, torn_tail_bytes: u64) -> Report {
        self.pruning.seeds = std::mem::take(&mut replay.expiries);
        let anchored = self.check_expired() && anchored;
        self.check_created(replay);
        self.check_restored(replay);
        self.check_policy();
        self.check_gaps();
        let mut logs = Vec::new();
        let mut numbers: Vec<u32> = self.claims.keys().copied().collect();
        numbers.sort_unstable();
        for log in numbers {
            let head = replay.head(log);
            let Some(mut claims) = self.claims.remove(&log) else { continue };
            claims.finish(log, &mut self.findings);
            if claims.signed < head.size {
                let (signed, size) = (claims.signed, head.size);
                self.find(
                    Code::UnsignedTail,
                    Level::Note,
                    Some(log),
                    Some(signed),
                    format!("{} of {size} entries are not covered by a checkpoint yet", size - signed),
                );
            }
            let name = self.identity.log_name(log).to_owned();
            logs.push(LogReport {
                log,
                name,
                size: head.size,
                root: head.root,
                signed: claims.signed,
                anchored: claims.anchored,
            });
        }
        // No kind of entry authorises this yet; whoever can write to the disk can put a hash in a value's place, and the roots hold.
        for (log, (count, first)) in std::mem::take(&mut self.details.withheld) {
            let message = format!(
                "{count} groups or positions are withheld, the first at {first}: only hashes are there, and no entry tells by whose authority"
            );
            self.fail(Code::Withheld, Some(log), Some(first), message);
        }
        if self.carried > 0 {
            let count = self.carried;
            self.find(
                Code::CarryUnchecked,
                Level::Note,
                None,
                None,
                format!("{count} carried records are copies that no root binds; readers pass over them"),
            );
        }
        if !anchored {
            self.find(
                Code::Unanchored,
                Level::Note,
                None,
                None,
                "no checkpoint from outside the store was given: that it was rolled back, cut off at a checkpoint, or made anew with its own key cannot be excluded",
            );
        }
        let ok = self.findings.iter().all(|finding| finding.level < Level::Fail);
        Report { ok, anchored, logs, frames: self.frames, events: self.events, torn_tail_bytes, findings: self.findings }
    }

    /// What log 0 says of the logs' creation and store.json must agree on store, origins, keys and names.
    fn check_created(&mut self, replay: &Replay) {
        let created = std::mem::take(&mut self.details.created);
        for entry in &created {
            let recorder = self.identity.recorder(LOG_CONTROL, entry.at);
            let known = recorder.verifier_key(entry.log).map(|key| key.to_string());
            let other = if known.as_ref() != Some(&entry.key) {
                "key"
            } else if recorder.origin(entry.log).as_ref() != Some(&entry.origin) {
                "origin"
            } else if entry.store.as_ref().is_some_and(|store| *store != recorder.store_hex()) {
                "store"
            } else if entry.name.as_ref().is_some_and(|name| name != recorder.log_name(entry.log)) {
                "name"
            } else {
                continue;
            };
            let message = format!("entry {} of log 0 names another {other} for log {} than store.json", entry.at, entry.log);
            self.fail(Code::StoreIdentity, Some(LOG_CONTROL), Some(entry.at), message);
        }
        for head in replay.heads() {
            if head.size > 0 && !created.iter().any(|entry| entry.log == head.log) {
                self.fail(Code::LogUnknown, Some(head.log), Some(0), "log 0 has no entry that created this log");
            }
        }
    }

    /// Numbers of producers that are missing, unless a gap entry owns up to them.
    fn check_gaps(&mut self) {
        let known = std::mem::take(&mut self.details.gaps);
        let producers = std::mem::take(&mut self.details.producers);
        let covered = |id: &str, epoch: u64, seq: u64| {
            known.iter().any(|(a, b, first, last)| a == id && *b == epoch && (*first..=*last).contains(&seq))
        };
        for (id, epoch, first, last) in producers.gaps() {
            // A recorded range may cover part of a gap; both ends tell nearly always, and the message names the whole.
            if covered(id, epoch, first) && covered(id, epoch, last) {
                continue;
            }
            self.find(
                Code::ProducerGap,
                Level::Warn,
                None,
                Some(first),
                format!("producer {id}, epoch {epoch}: numbers {first} to {last} never arrived"),
            );
        }
    }
}

impl Details {
    /// Everything about one record that its hash does not tell.
    pub(super) fn look(
        &mut self,
        log: u32,
        seq: u64,
        record: &Record<'_>,
        head: Option<&Head<'_>>,
        rebuilt: Rebuilt,
        findings: &mut Vec<Finding>,
    ) {
        let mut fail =
            |code, message: String| findings.push(Finding { code, level: Level::Fail, log: Some(log), at: Some(seq), message });
        match record.kind() {
            Kind::Leaf => self.withhold(log, seq, 1),
            Kind::Control => self.control(log, seq, record.control().unwrap_or_default(), findings),
            Kind::Event => {
                self.events += 1;
                if let Some(producer) = head.and_then(|head| head.producer)
                    && self.producers.arrive(producer.id, producer.epoch, producer.seq) == Arrival::Repeated
                {
                    fail(
                        Code::ProducerDuplicate,
                        format!("producer {}, epoch {}, delivered number {} twice", producer.id, producer.epoch, producer.seq),
                    );
                }
                let (identity, content) = (record.value(Tag::IDENTITY), record.value(Tag::CONTENT));
                self.withhold(log, seq, record.groups().filter(|(_, body)| body.value().is_none()).count() as u64);
                if rebuilt == Rebuilt::FromColumns {
                    // Nothing else in it can be otherwise: this process wrote it a moment ago.
                    let is_details = |field| matches!(field, Field::IdentityDetails | Field::Details);
                    let mut details = record.spans().filter(|(field, _)| is_details(*field));
                    if !details.all(|(_, json)| self.checker.is_canonical_within(json, DETAILS_DEPTH)) {
                        fail(Code::NotCanonical, "a group is not a canonical JSON object".into());
                    }
                    return;
                }
                if [identity, content].contains(&Some(b"{}")) {
                    fail(Code::RecordMalformed, "an empty group is stored".into());
                }
                if span::derive_checked(&mut self.checker, identity, content, &mut self.spans).is_err() {
                    fail(Code::NotCanonical, "a group is not a canonical JSON object".into());
                } else if !record.spans_are(&self.spans) {
                    fail(Code::SpanMismatch, "the index of fields is not that of the values".into());
                }
            }
        }
    }

    fn withhold(&mut self, log: u32, seq: u64, count: u64) {
        if count > 0 {
            self.withheld.entry(log).or_insert((0, seq)).0 += count;
        }
    }

    fn control(&mut self, log: u32, seq: u64, bytes: &[u8], findings: &mut Vec<Finding>) {
        let mut document = std::mem::take(&mut self.document);
        if let Ok(root) = document.parse(bytes, &LIMITS)
            && root.is_canonical()
        {
            let text = |key: &str| root.get(key).and_then(|node| node.as_str()).map(String::from);
            let number = |key: &str| root.get(key).and_then(|node| node.as_u64());
            let kind = text("type");
            let created = |of: Option<u32>, store: Option<String>| {
                let (key, origin) = (text("key").unwrap_or_default(), text("origin").unwrap_or_default());
                Created { at: seq, log: of.unwrap_or(u32::MAX), key, origin, name: text("name"), store }
            };
            if log == LOG_CONTROL && (seq == 0) != (kind.as_deref() == Some("store.created")) {
                let message = "the first entry of log 0, and no other, is `store.created`".into();
                findings.push(Finding { code: Code::StoreIdentity, level: Level::Fail, log: Some(log), at: Some(seq), message });
            }
            match kind.as_deref() {
                Some("store.created") if log == LOG_CONTROL => {
                    self.created.push(created(Some(LOG_CONTROL), Some(text("store").unwrap_or_default())))
                }
                Some("log.created") if log == LOG_CONTROL => {
                    self.created.push(created(number("log").and_then(|log| u32::try_from(log).ok()), None));
                }
                Some("store.restored") if self.restored.len() < RESTORED_MAX => {
                    let at = text("at").unwrap_or_default();
                    self.restored.push(Restored { log, seq, at, bytes: bytes.to_vec() });
                }
                Some("heads" | "tenants") if log == LOG_CONTROL => {
                    for head in root.get("logs").into_iter().flat_map(|logs| logs.elements()) {
                        let log = head.get("log").and_then(|node| node.as_u64()).and_then(|log| u32::try_from(log).ok());
                        let size = head.get("size").and_then(|node| node.as_u64());
                        let hash = head
                            .get("root")
                            .and_then(|node| node.as_str())
                            .and_then(|text| Hash::from_slice(&STANDARD.decode(text.as_bytes()).ok()?));
                        if let (Some(log), Some(size), Some(hash)) = (log, size, hash) {
                            self.heads.push((seq, log, size, hash));
                        }
                    }
                }
                Some(kind @ ("expired" | "retention" | "hold.created" | "hold.released")) if log == LOG_CONTROL => {
                    self.of_retention(kind, seq, &root, findings);
                }
                Some("gap") if self.gaps.len() < GAPS_MAX => {
                    if let (Some(producer), Some(epoch), Some(first), Some(last)) =
                        (text("producer"), number("epoch"), number("first_seq"), number("last_seq"))
                    {
                        self.gaps.push((producer, epoch, first, last));
                    }
                }
                _ => {}
            }
        } else {
            findings.push(Finding {
                code: Code::NotCanonical,
                level: Level::Fail,
                log: Some(log),
                at: Some(seq),
                message: "a control entry is not canonical JSON".into(),
            });
        }
        self.document = document;
    }
}

/// Details stand in the object that their group is.
const DETAILS_DEPTH: usize = 1;

const LIMITS: json::Limits = json::Limits { bytes_max: 4 << 20, depth_max: 128, nodes_max: 4_000_000 };
