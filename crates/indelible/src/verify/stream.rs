//! The pass over the journal: frames in order, every check on each, findings gathered.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::checkpoint;
use indelible_format::frame::{FLAG_CARRY, Frame};
use indelible_format::json::{self, Document};
use indelible_format::note::VerifierKey;
use indelible_format::record::Kind;
use indelible_format::span::{self, Spans};
use indelible_format::{Hash, Record, Tag};

use super::anchors::{Claims, Source};
use super::finding::{Code, Finding, Level};
use super::{LogReport, Options, Report};
use crate::commit::journal::file_name;
use crate::commit::producers::{Arrival, Producers};
use crate::digest::checkpoints;
use crate::digest::replay::{Fault, Replay};
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Identity, LOG_CONTROL};
use crate::read::frames::{self, Broken, Cursor, End, Next};
use crate::world::World;

/// Gap ranges remembered, so that a recorded loss is not reported as a silent one.
const GAPS_MAX: usize = 1 << 20;

struct Verifier<'v> {
    identity: Identity,
    keys: HashMap<u32, VerifierKey>,
    claims: HashMap<u32, Claims>,
    findings: Vec<Finding>,
    details: Details,
    frames: u64,
    events: u64,
    progress: Option<&'v mut dyn FnMut(u64, u64)>,
}

/// What the records say besides their hashes.
#[derive(Default)]
struct Details {
    producers: Producers,
    gaps: Vec<(String, u64, u64, u64)>,
    created: Vec<(u32, String)>,
    heads: Vec<(u64, u32, u64, Hash)>,
    withheld: u64,
    events: u64,
    spans: Spans,
    document: Document,
}

pub(super) fn run(world: &World, dir: &Path, options: Options<'_>) -> Result<Report> {
    let identity = Identity::read(world, dir)?;
    // The limit comes first: checkpoints are only ever about what was durable when they were written.
    let mut verifier = Verifier {
        keys: HashMap::new(),
        claims: identity.logs.iter().map(|log| (log.id, Claims::default())).collect(),
        identity,
        findings: Vec::new(),
        details: Details::default(),
        frames: 0,
        events: 0,
        progress: options.progress,
    };
    let mut replay = Replay::default();
    let anchored = verifier.gather(world, dir, &options.against, options.key.as_ref(), options.trusted_state_dir.as_deref(), &mut replay)?;
    let limit = frames::durable_limit(world, dir, &verifier.identity.store)?;
    let mut cursor = Cursor::new(world, dir, verifier.identity.store, limit)?;
    let torn = verifier.stream(&mut cursor, &mut replay)?;
    Ok(verifier.conclude(&mut replay, anchored, torn))
}

impl Verifier<'_> {
    fn find(&mut self, code: Code, level: Level, log: Option<u32>, at: Option<u64>, message: impl Into<String>) {
        self.findings.push(Finding { code, level, log, at, message: message.into() });
    }

    fn fail(&mut self, code: Code, log: Option<u32>, at: Option<u64>, message: impl Into<String>) {
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
        let mut anchored = key.is_some();
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
            self.fail(Code::KeyMismatch, None, None, format!("the key given speaks for {}, which is no log of this store", key.name()));
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
                let bytes = world.read_file(&path).map_err(|error| Error::io(format!("could not read checkpoint/{}", log.id), error))?;
                self.claim_note(log.id, &bytes, Source::File, replay);
            }
        }
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
                Err(error) if error.kind() == ErrorKind::Corrupt => self.fail(Code::AnchorMismatch, None, None, error.to_string()),
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
            (Ok(origin), None) => self.fail(Code::AnchorMismatch, None, None, format!("the outside checkpoint is about {origin}, which is no log of this store")),
            (Err(error), _) => self.fail(Code::AnchorMismatch, None, None, format!("the outside checkpoint cannot be read: {error}")),
        }
    }

    /// Checks a note's signature and files its claim.
    fn claim_note(&mut self, log: u32, note: &[u8], source: Source, replay: &mut Replay) {
        let Some(key) = self.keys.get(&log) else { return };
        match checkpoint::open(note, key) {
            Ok(checkpoint) => self.claim(log, checkpoint.size, checkpoint.root, source, replay),
            Err(error) => {
                let at = if let Source::Frame(lsn) = source { Some(lsn) } else { None };
                self.fail(Code::CheckpointSignature, Some(log), at, format!("a checkpoint of this log does not verify: {error}"));
            }
        }
    }

    fn claim(&mut self, log: u32, size: u64, root: Hash, source: Source, replay: &mut Replay) {
        let Some(claims) = self.claims.get_mut(&log) else { return };
        if claims.claim(size, root, source, log, &mut self.findings) {
            replay.tip(log).stops.insert(size);
        }
    }

    /// Reads the journal to its end. Returns the bytes of a torn tail.
    fn stream(&mut self, cursor: &mut Cursor, replay: &mut Replay) -> Result<u64> {
        let total = cursor.bytes_total();
        let mut faults = Vec::new();
        if let Some(first_lsn) = cursor.first_lsn()?
            && first_lsn != 0
        {
            self.fail(Code::JournalCorrupt, None, Some(0), format!("the journal begins with frame {first_lsn}; frames 0 to {} are missing", first_lsn - 1));
            return Ok(0);
        }
        loop {
            let read = cursor.bytes_read;
            match cursor.next()? {
                Next::Frame(frame, _) => {
                    self.frame(&frame, replay, &mut faults);
                    self.frames += 1;
                    if self.frames.is_multiple_of(64)
                        && let Some(progress) = &mut self.progress
                    {
                        progress(read, total);
                    }
                }
                Next::End(End::Clean | End::Limit) => return Ok(0),
                Next::End(End::Torn(bytes)) => return Ok(bytes),
                Next::End(End::Broken { file, offset, why }) => {
                    let place = format!("at byte {offset} of journal/{}", file_name(file));
                    let (code, message) = match why {
                        Broken::Damaged(error) => (Code::FrameCrc, format!("{error}, {place}, though valid frames follow")),
                        Broken::Chain { .. } => (Code::FrameChain, format!("the frame {place} does not name the one before it")),
                        Broken::Header => (Code::FileHeader, format!("a file header contradicts the frames, {place}")),
                        Broken::Missing { expected, found } => (Code::JournalCorrupt, format!("frames {expected} to {} are missing, {place}", found.saturating_sub(1))),
                    };
                    let lsn = cursor.next_lsn;
                    self.fail(code, None, Some(lsn), message);
                    return Ok(0);
                }
            }
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, replay: &mut Replay, faults: &mut Vec<Fault>) {
        let lsn = frame.meta.lsn;
        for (log, note) in &frame.meta.notes {
            if self.identity.origin(*log).is_none() {
                self.fail(Code::LogUnknown, Some(*log), Some(lsn), "a checkpoint in the journal is of a log that store.json does not know");
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
        replay.frame(frame, faults, &mut |_, _, _| {}, &mut |log, seq, record, _| details.look(log, seq, record, findings));
        self.events = self.details.events;
        faults.drain(..).for_each(|fault| self.report(&fault));
        if frame.meta.flags & FLAG_CARRY == 0 {
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

    fn report(&mut self, fault: &Fault) {
        match fault {
            Fault::Malformed { log, at } => self.fail(Code::RecordMalformed, *log, Some(*at), "a record is malformed, or there are more or fewer than the frame says"),
            Fault::Sequence { log, expected, found } => {
                self.fail(Code::Sequence, Some(*log), Some(*expected), format!("numbering goes on with {found} where {expected} was due"));
            }
            Fault::SeedMissing { log, seq } => self.fail(Code::SeedMissing, Some(*log), Some(*seq), "the seed of this position's group is missing, or another one than before"),
            Fault::Root { log, first_seq, size, expected, found } => self.fail(
                Code::RootMismatch,
                Some(*log),
                Some(*first_seq),
                format!("the values up to {size} give the root {found}, the frame says {expected}"),
            ),
            Fault::Tenant { log, seq, expected, found } => {
                self.fail(Code::TenantSequence, Some(*log), Some(*seq), format!("the tenant's numbering goes on with {found} where {expected} was due"));
            }
        }
    }

    fn conclude(mut self, replay: &mut Replay, anchored: bool, torn_tail_bytes: u64) -> Report {
        self.check_created(replay);
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
                self.find(Code::UnsignedTail, Level::Note, Some(log), Some(signed), format!("{} of {size} entries are not covered by a checkpoint yet", size - signed));
            }
            let name = self.identity.log_name(log).to_owned();
            logs.push(LogReport { log, name, size: head.size, root: head.root, signed: claims.signed, anchored: claims.anchored });
        }
        if self.details.withheld > 0 {
            let count = self.details.withheld;
            self.find(Code::Withheld, Level::Note, None, None, format!("{count} groups or positions are withheld: only their hashes were checked"));
        }
        if !anchored {
            self.find(
                Code::Unanchored,
                Level::Note,
                None,
                None,
                "nothing outside the store was given: that it was rolled back, cut off at a checkpoint, or made anew with its own key cannot be excluded",
            );
        }
        let ok = self.findings.iter().all(|finding| finding.level < Level::Fail);
        Report { ok, anchored, logs, frames: self.frames, events: self.events, torn_tail_bytes, findings: self.findings }
    }

    /// `log.created` entries and store.json must agree on names, origins and keys.
    fn check_created(&mut self, replay: &Replay) {
        let created = std::mem::take(&mut self.details.created);
        for (log, key) in &created {
            if self.identity.verifier_key(*log).map(|key| key.to_string()).as_ref() != Some(key) {
                self.fail(Code::StoreIdentity, Some(*log), None, format!("log 0 says that this log's key is {key}; store.json says otherwise"));
            }
        }
        for head in replay.heads() {
            if head.size > 0 && !created.iter().any(|(log, _)| *log == head.log) {
                self.fail(Code::LogUnknown, Some(head.log), Some(0), "log 0 has no entry that created this log");
            }
        }
    }

    /// Numbers of producers that are missing, unless a gap entry owns up to them.
    fn check_gaps(&mut self) {
        let known = std::mem::take(&mut self.details.gaps);
        let producers = std::mem::take(&mut self.details.producers);
        let covered = |id: &str, epoch: u64, seq: u64| known.iter().any(|(a, b, first, last)| a == id && *b == epoch && (*first..=*last).contains(&seq));
        for (id, epoch, first, last) in producers.gaps() {
            // A recorded range may cover part of a gap; both ends tell nearly always, and the message names the whole.
            if covered(id, epoch, first) && covered(id, epoch, last) {
                continue;
            }
            self.find(Code::ProducerGap, Level::Warn, None, Some(first), format!("producer {id}, epoch {epoch}: numbers {first} to {last} never arrived"));
        }
    }
}

impl Details {
    /// Everything about one record that its hash does not tell.
    fn look(&mut self, log: u32, seq: u64, record: &Record<'_>, findings: &mut Vec<Finding>) {
        let mut fail = |code, message: String| findings.push(Finding { code, level: Level::Fail, log: Some(log), at: Some(seq), message });
        match record.kind() {
            Kind::Leaf => self.withheld += 1,
            Kind::Control => self.control(log, seq, record.control().unwrap_or_default(), findings),
            Kind::Event => {
                self.events += 1;
                if let Some(producer) = record.head().and_then(|head| head.producer)
                    && self.producers.arrive(producer.id, producer.epoch, producer.seq) == Arrival::Repeated
                {
                    fail(Code::ProducerDuplicate, format!("producer {}, epoch {}, delivered number {} twice", producer.id, producer.epoch, producer.seq));
                }
                let (identity, content) = (record.value(Tag::IDENTITY), record.value(Tag::CONTENT));
                self.withheld += record.groups().filter(|(_, body)| body.value().is_none()).count() as u64;
                for value in [identity, content].into_iter().flatten() {
                    let canonical = value.first() == Some(&b'{') && self.document.parse(value, &LIMITS).is_ok_and(|root| root.is_canonical());
                    if !canonical {
                        fail(Code::NotCanonical, "a group is not canonical JSON".into());
                        return;
                    }
                }
                let derived = span::derive(identity, content, &mut self.spans);
                if derived.is_err() || !self.spans.iter().copied().eq(record.span_offsets()) {
                    fail(Code::SpanMismatch, "the index of fields is not that of the values".into());
                }
            }
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
            match kind.as_deref() {
                Some("store.created") if log == LOG_CONTROL => self.created.extend(text("key").map(|key| (LOG_CONTROL, key))),
                Some("log.created") if log == LOG_CONTROL => {
                    let created = number("log").and_then(|log| u32::try_from(log).ok());
                    self.created.extend(created.zip(text("key")));
                }
                Some("heads") if log == LOG_CONTROL => {
                    for head in root.get("logs").into_iter().flat_map(|logs| logs.elements()) {
                        let log = head.get("log").and_then(|node| node.as_u64()).and_then(|log| u32::try_from(log).ok());
                        let size = head.get("size").and_then(|node| node.as_u64());
                        let hash = head.get("root").and_then(|node| node.as_str()).and_then(|text| Hash::from_slice(&STANDARD.decode(text.as_bytes()).ok()?));
                        if let (Some(log), Some(size), Some(hash)) = (log, size, hash) {
                            self.heads.push((seq, log, size, hash));
                        }
                    }
                }
                Some("gap") if self.gaps.len() < GAPS_MAX => {
                    if let (Some(producer), Some(epoch), Some(first), Some(last)) = (text("producer"), number("epoch"), number("first_seq"), number("last_seq")) {
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

const LIMITS: json::Limits = json::Limits { bytes_max: 4 << 20, depth_max: 128, nodes_max: 4_000_000 };
