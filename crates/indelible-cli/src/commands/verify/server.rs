//! `indelible verify --url`: verifies the logs of a server that is not trusted, from what it serves to any C2SP client.
//!
//! Of each log: its head is signed under the key that is known; the tree's edge makes the signed root; the head that was seen here last, and
//! those given with --against, are beginnings of it. With --events every tile is read down to the leaves, and every leaf is computed from the
//! events themselves, as far as the token may read them. What was not verified is said.

use std::path::Path;

use indelible::format::checkpoint::{Checkpoint, SignedCheckpoint};
use indelible::format::leaf::{Salts, Seed, leaf};
use indelible::format::merkle::{consistency_proof, verify_consistency};
use indelible::format::note::VerifierKey;
use indelible::format::record::{Body, Kind};
use indelible::format::sha256;
use indelible::identity::LogIdentity;
use indelible::{Hash, Record};
use indelible_adapters::{Received, RecordsReader};
use indelible_client::ErrorKind;

use super::{NOTE_FILE_BYTES_MAX, VerifyArgs, read_text};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, Tone};
use crate::progress::Progress;
use crate::question::grouped;
use crate::remote::{Pin, Pins, Remote, TileFault, Tiles, odd, read_all};

/// Positions of one tile of level 0.
const WIDTH: u64 = 256;

/// Something that is not as it was signed.
struct Finding {
    code: &'static str,
    log: String,
    /// The tile that shows it, or the position.
    at: Option<String>,
    message: String,
}

/// What was verified of one log.
#[derive(Default)]
struct Verified {
    log: String,
    size: u64,
    root: Hash,
    /// Up to where heads from outside cover it; none: there was none.
    anchored: Option<u64>,
    /// Leaves read from tiles that lead to the root.
    leaves: u64,
    /// Of these, leaves computed from entries, which hold commitments only.
    entries: u64,
    /// Of these, leaves computed from the events themselves.
    events: u64,
    /// Of those, events with a group of which only the commitment was shown.
    masked: u64,
    /// Positions of which only the roots above them are left.
    expired: u64,
    /// Positions that are shown to others.
    unseen: u64,
}

#[derive(Default)]
struct Report {
    logs: Vec<Verified>,
    findings: Vec<Finding>,
    tiles: u64,
    /// Whether the token may read events.
    may_read: bool,
}

pub(super) fn run(
    remote: &Remote,
    args: &VerifyArgs,
    state: Option<&Path>,
    key: Option<&VerifierKey>,
    out: &mut Out,
) -> Result<Exit> {
    let against = args.against.iter().map(|path| read_text(path, NOTE_FILE_BYTES_MAX)).collect::<Result<Vec<_>>>()?;
    let pins = state.map(|state| Pins::read(state, remote.connection().url())).transpose()?;
    let seen = pins.as_ref().map(|pins| pins.logs.as_slice()).unwrap_or_default();
    let mut report = Report { may_read: true, ..Report::default() };
    let mut heads = Vec::new();
    let bar = Progress::share(if args.events { remote.heads().iter().map(|head| head.size).sum() } else { 0 }, "verifying");
    for pin in seen.iter().filter(|pin| !remote.identity().logs.iter().any(|log| log.name == pin.log)) {
        report.find(
            "log-missing",
            &pin.log,
            None,
            "it was seen here before, and the server does not have it any more".to_owned(),
        );
    }
    for log in &remote.identity().logs {
        let pin = seen.iter().find(|pin| pin.log == log.name);
        if let Some(head) = one_log(remote, log, pin, &against, key, args.events, &bar, &mut report)? {
            heads.push(head);
        }
    }
    drop(bar);
    for note in &against {
        let origin = note.lines().next().unwrap_or_default();
        if !remote.identity().logs.iter().any(|log| remote.identity().origin(log.id).as_deref() == Some(origin)) {
            report.find(
                "checkpoint-origin",
                "-",
                None,
                format!("the checkpoint given is of {origin}, which is no log of this server"),
            );
        }
    }
    let is_first = seen.is_empty() && key.is_none();
    // What failed is not what should be seen the next time.
    if let Some(pins) = pins.filter(|_| report.findings.is_empty()) {
        pins.replace(&heads)?;
    }
    if args.shape.is_json() {
        report.json(remote, args.events, is_first, out)?;
    } else {
        report.text(remote, args.events, is_first, out)?;
    }
    Ok(if report.findings.is_empty() { Exit::Ok } else { Exit::Unverified })
}

/// Verifies one log; gives its head, to be remembered.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another thing the log has to agree with, and they are named at the one call"
)]
fn one_log(
    remote: &Remote,
    log: &LogIdentity,
    pin: Option<&Pin>,
    against: &[String],
    key: Option<&VerifierKey>,
    events: bool,
    bar: &Progress,
    report: &mut Report,
) -> Result<Option<Pin>> {
    let told = remote.identity().verifier_key(log.id).ok_or_else(|| odd("a log's key"))?;
    let name = &log.name;
    if let Some(key) = key.filter(|key| !is_same_store(key, &told)) {
        report.find("key", name, None, format!("the server says that its key is {told}, the key given is {key}"));
        return Ok(None);
    }
    if let Some(pin) = pin.filter(|pin| pin.verifier_key != told.to_string()) {
        let message = format!("its key is {told}; when it was seen here last, it was {}", pin.verifier_key);
        report.find("key", name, None, message);
        return Ok(None);
    }
    let response = remote.connection().get(&format!("/log/{}/checkpoint", log.id), &[])?;
    let note = String::from_utf8(read_all(response, 1 << 20)?).map_err(|_| odd("a checkpoint"))?;
    let head = match open(&note, &told) {
        Ok(head) => head,
        Err(why) => {
            report.find(
                "checkpoint-signature",
                name,
                None,
                format!("the checkpoint that the server gives does not verify: {why}"),
            );
            return Ok(None);
        }
    };
    let mut verified = Verified { log: name.clone(), size: head.size, root: head.root, ..Verified::default() };
    let outcome = agree(remote, log, &head, pin, against, &told, &mut verified, report)
        .and_then(|tiles| if events { read_whole(remote, log, tiles, bar, &mut verified, report) } else { Ok(tiles) });
    match outcome {
        Ok(tiles) => report.tiles += tiles.read,
        Err(TileFault::Wrong(tile, why)) => report.find("tile", name, Some(tile), why),
        Err(TileFault::Expired) => {
            let why = "the server says that the tree's edge has expired, which no policy does".to_owned();
            report.find("tile", name, None, why);
        }
        Err(TileFault::Failed(failure)) => return Err(failure),
    }
    report.logs.push(verified);
    Ok(Some(Pin { log: name.clone(), verifier_key: told.to_string(), checkpoint: note }))
}

/// Whether the tree makes the signed root, and goes on from every head that is known from outside.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another thing the log has to agree with, and they are named at the one call"
)]
fn agree<'r>(
    remote: &'r Remote,
    log: &LogIdentity,
    head: &Checkpoint,
    pin: Option<&Pin>,
    against: &[String],
    key: &VerifierKey,
    verified: &mut Verified,
    report: &mut Report,
) -> Result<Tiles<'r>, TileFault> {
    let mut tiles = Tiles::open(remote.connection(), &log.id.to_string(), head.size, &head.root)?;
    let given =
        against.iter().filter(|note| note.lines().next() == Some(&*head.origin)).map(|note| ("the checkpoint given", note));
    let known = pin.map(|pin| ("the head that was seen here last", &pin.checkpoint)).into_iter().chain(given);
    for (what, note) in known {
        let old = match open(note, key) {
            Ok(old) => old,
            Err(why) => {
                report.find("checkpoint-signature", &log.name, None, format!("{what} does not verify: {why}"));
                continue;
            }
        };
        if old.size > head.size {
            let message = format!("{what} has {} entries, the server shows {}: the log was cut off", old.size, head.size);
            report.find("rolled-back", &log.name, Some(head.size.to_string()), message);
            continue;
        }
        let proof = consistency_proof(old.size, head.size, &mut tiles).map_err(|error| match error {
            indelible::format::merkle::ProveError::Source(fault) => fault,
            error @ indelible::format::merkle::ProveError::OutOfRange { .. } => {
                TileFault::Failed(Failure::new("error", format!("{error:?}")))
            }
        })?;
        match verify_consistency(old.size, &old.root, head.size, &head.root, &proof) {
            Ok(()) => verified.anchored = verified.anchored.max(Some(old.size)),
            Err(error) => {
                let message = format!("{what}, over {} entries, is not a beginning of it: {error}", old.size);
                report.find("rewritten", &log.name, Some(old.size.to_string()), message);
            }
        }
    }
    Ok(tiles)
}

/// Reads every leaf, and what it is made of.
fn read_whole<'r>(
    remote: &Remote,
    log: &LogIdentity,
    mut tiles: Tiles<'r>,
    bar: &Progress,
    verified: &mut Verified,
    report: &mut Report,
) -> Result<Tiles<'r>, TileFault> {
    let before: u64 = report.logs.iter().map(|log| log.size).sum();
    for index in 0..verified.size.div_ceil(WIDTH) {
        bar.at(before + index * WIDTH);
        let hashes = match tiles.tile(0, index) {
            Ok(hashes) => hashes,
            Err(TileFault::Expired) => {
                verified.expired += WIDTH;
                continue;
            }
            // The others may be whole.
            Err(TileFault::Wrong(tile, why)) => {
                report.find("tile", &log.name, Some(tile), why);
                continue;
            }
            Err(fault) => return Err(fault),
        };
        verified.leaves += hashes.len() as u64;
        let is_read = report.may_read && read_events(remote, log, index, &hashes, verified, report)?;
        if !is_read {
            match tiles.entries(index, hashes.len()) {
                Ok(entries) => {
                    for (nth, (entry, hash)) in entries.iter().zip(&hashes).enumerate() {
                        if sha256::leaf(entry) == *hash {
                            verified.entries += 1;
                        } else {
                            let at = index * WIDTH + nth as u64;
                            report.find("entry", &log.name, Some(at.to_string()), "the entry does not make the leaf".to_owned());
                        }
                    }
                }
                Err(TileFault::Expired) => verified.expired += hashes.len() as u64,
                Err(TileFault::Wrong(tile, why)) => report.find("tile", &log.name, Some(tile), why),
                Err(fault) => return Err(fault),
            }
        }
    }
    Ok(tiles)
}

/// Computes the leaves of one tile from the events; `false`: this token does not get to see events.
fn read_events(
    remote: &Remote,
    log: &LogIdentity,
    index: u64,
    hashes: &[Hash],
    verified: &mut Verified,
    report: &mut Report,
) -> Result<bool, TileFault> {
    let response = match remote.connection().get(&format!("/log/{}/events/{index}", log.id), &[]) {
        Ok(response) => response,
        Err(error) if error.kind() == ErrorKind::Denied => {
            report.may_read = false;
            return Ok(false);
        }
        Err(error) => match TileFault::from(error) {
            TileFault::Expired => {
                verified.expired += hashes.len() as u64;
                return Ok(true);
            }
            fault => return Err(fault),
        },
    };
    let mut reader = RecordsReader::new(std::io::BufReader::new(response.into_reader()));
    let mut salts = Salts::new(Seed([0; 32]));
    let (first, mut next) = (index * WIDTH, 0);
    let broken = |error: std::io::Error| {
        TileFault::Failed(Failure::new("unreachable", "the server's answer broke off").cause(error.to_string()).hint("try again"))
    };
    while let Received::Record(seq, record) = reader.next().map_err(broken)? {
        // What came behind the head that is verified is for the next time.
        let Some(hash) = usize::try_from(next).ok().and_then(|next| hashes.get(next)) else { continue };
        let at = first + next;
        if seq != at {
            break;
        }
        next += 1;
        if leaf(&record, seq, &mut salts) == *hash {
            count(&record, verified);
        } else {
            report.find("event", &log.name, Some(at.to_string()), "what the event says does not make its leaf".to_owned());
        }
    }
    if next < hashes.len() as u64 {
        let at = first + next;
        report.find("event", &log.name, Some(at.to_string()), "the server does not show what stands here".to_owned());
    }
    Ok(true)
}

fn count(record: &Record<'_>, verified: &mut Verified) {
    if record.kind() == Kind::Leaf {
        verified.unseen += 1;
        return;
    }
    verified.events += 1;
    verified.masked += u64::from(record.groups().any(|(_, body)| matches!(body, Body::Withheld(_))));
}

fn open(note: &str, key: &VerifierKey) -> std::result::Result<Checkpoint, String> {
    let signed = SignedCheckpoint::parse(note.as_bytes()).map_err(|error| error.to_string())?;
    signed.open(std::slice::from_ref(key)).cloned().map_err(|error| error.to_string())
}

/// Whether two keys are of logs of one store: the same but for the log's own id.
fn is_same_store(a: &VerifierKey, b: &VerifierKey) -> bool {
    let store = |key: &VerifierKey| key.name().rsplit_once('/').map(|(store, _)| store.to_owned());
    a.public_key() == b.public_key() && store(a) == store(b)
}

impl Report {
    fn find(&mut self, code: &'static str, log: &str, at: Option<String>, message: String) {
        self.findings.push(Finding { code, log: log.to_owned(), at, message });
    }

    fn sum(&self, count: fn(&Verified) -> u64) -> u64 {
        self.logs.iter().map(count).sum()
    }

    fn is_anchored(&self) -> bool {
        self.logs.iter().any(|log| log.anchored.is_some())
    }

    /// What was not verified, in words.
    fn open_questions(&self, events: bool, is_first: bool) -> Vec<String> {
        let mut open = Vec::new();
        if is_first {
            open.push(
                "whose key it is: this server was not seen here before, and no --key was given; from now on it is known"
                    .to_owned(),
            );
        }
        if !self.is_anchored() {
            open.push(
                "whether the logs were cut off or rewritten before now: there is no earlier head to compare with".to_owned(),
            );
        }
        if !events {
            open.push("leaves and events: only what links the heads was read; --events reads everything".to_owned());
        }
        let some = |open: &mut Vec<String>, count: u64, what: &str| {
            if count > 0 {
                open.push(format!("{} positions: {what}", grouped(count)));
            }
        };
        if events && !self.may_read {
            some(
                &mut open,
                self.sum(|log| log.entries),
                "their commitments make the leaves; the token has no scope read, so what they say was not seen",
            );
        }
        some(&mut open, self.sum(|log| log.unseen), "they are not this token's; the leaves are those of the tree");
        some(&mut open, self.sum(|log| log.masked), "a group is masked for this token; its commitment makes the leaf");
        some(&mut open, self.sum(|log| log.expired), "they have expired; the roots above them are those of the tree");
        open.push("whether the server shows others another log: compare `indelible checkpoint` with what they see".to_owned());
        open
    }

    fn text(&self, remote: &Remote, events: bool, is_first: bool, out: &mut Out) -> Result<()> {
        let mut logs = Table::new(["log", "entries", "goes on from", "leaves", "events", "root"]);
        for log in &self.logs {
            let count = |count: u64| if count == 0 { "-".to_owned() } else { grouped(count) };
            let anchored = log.anchored.map_or_else(|| "-".to_owned(), grouped);
            logs.row([&log.log, &grouped(log.size), &anchored, &count(log.leaves), &count(log.events), &log.root.to_string()]);
        }
        out.table(logs, &[1, 2, 3, 4])?;
        if !self.findings.is_empty() {
            out.line("")?;
            let mut findings = Table::new(["level", "code", "log", "where", "finding"]);
            for finding in &self.findings {
                let at = finding.at.as_deref().unwrap_or("-");
                findings.row(["fail", finding.code, &finding.log, at, &finding.message]);
            }
            out.table(findings, &[])?;
        }
        out.line("")?;
        out.line("not verified:")?;
        self.open_questions(events, is_first).iter().try_for_each(|what| out.lines(&format!("  {what}")))?;
        let read = format!(
            "{} tiles, {} leaves, {} events of {}",
            self.tiles,
            self.sum(|log| log.leaves),
            self.sum(|log| log.events),
            remote.connection().url()
        );
        let (tone, word, rest) = match (self.findings.is_empty(), self.is_anchored()) {
            (true, true) => (Tone::Good, "VERIFIED", format!("{read}; the logs go on from the heads that were known")),
            (true, false) => {
                (Tone::Careful, "VERIFIED, UNANCHORED", format!("{read} agree with each other and with the signatures"))
            }
            (false, _) => {
                (Tone::Bad, "FAILED", format!("{} findings; {read}. Keep what was served, and ask why", self.findings.len()))
            }
        };
        let word = out.painted(tone, word);
        out.line("")?;
        out.line(&format!("{word}: {rest}"))
    }

    fn json(&self, remote: &Remote, events: bool, is_first: bool, out: &mut Out) -> Result<()> {
        let mut object = Object::new();
        object.boolean("ok", self.findings.is_empty()).boolean("anchored", self.is_anchored());
        object.text("url", remote.connection().url()).text("store", &remote.identity().store_hex()).number("tiles", self.tiles);
        object.objects("logs", &self.logs, |object, log| {
            object.text("log", &log.log).number("size", log.size).text("root", &log.root.to_string());
            object.optional_number("anchored", log.anchored).number("leaves", log.leaves).number("entries", log.entries);
            object.number("events", log.events).number("masked", log.masked).number("unseen", log.unseen);
            object.number("expired", log.expired);
        });
        object.objects("findings", &self.findings, |object, finding| {
            object.text("code", finding.code).text("level", "fail").text("log", &finding.log);
            object.optional_text("at", finding.at.as_deref()).text("message", &finding.message);
        });
        let open = self.open_questions(events, is_first);
        object.texts("not_verified", open.iter().map(String::as_str));
        out.json_line(&object.finish())
    }
}
