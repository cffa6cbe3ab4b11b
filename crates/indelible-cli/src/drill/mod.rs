//! The drill: a copy of a log is attacked in every way of the threat table, and verification has to name each attack.
//!
//! The store itself is only read. Every attack begins with a fresh copy, in a directory that nobody else may enter and that is removed
//! at the end. Each copy is verified four times, as somebody would who has nothing but the directory, who knows the store's
//! key, who has a trusted state, and who kept a checkpoint elsewhere. `SECURITY.md` tells the same table in words.

use std::fs;
use std::path::{Path, PathBuf};

use indelible::format::note::{SigningKey, VerifierKey};
use indelible::format::record::Kind;
use indelible::identity::LOG_MAIN;
use indelible::json::write_string;
use indelible::verify::{self, Code, Level};
use indelible::{Identity, Reader, Record, Tag};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

pub(crate) mod attacker;
mod attacks;
mod example;
mod forms;
mod proofs;
mod record;
mod structure;

use attacker::{Forgery, Layout, Spot, put};

/// How a drill is run.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Keep the attacked copies here; the directory is made, or must be empty.
    pub(crate) keep: Option<PathBuf>,
    /// Only the attacks of these names; all if empty.
    pub(crate) only: Vec<String>,
}

/// What a drill showed.
#[derive(Debug)]
pub(crate) struct Drill {
    /// Events in the copy.
    pub(crate) events: u64,
    /// Whether the copy is the whole log, and not only its beginning.
    pub(crate) whole: bool,
    /// Whether a made-up log was attacked, because there was none or next to nothing in it.
    pub(crate) example: bool,
    pub(crate) outcomes: Vec<Outcome>,
}

/// One attack and what became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) attack: &'static Attack,
    /// What is expected to be found first, and where.
    pub(crate) at: At,
    pub(crate) views: Vec<View>,
    pub(crate) verdict: Verdict,
    /// What is not as it should be.
    pub(crate) complaint: Option<String>,
}

/// How an attack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was named as the table says.
    Caught,
    /// No attack, and no alarm.
    Quiet,
    /// Nothing can notice it, as the table says; nothing that is proved depends on it.
    Unbound,
    /// This log, or this copy of it, has no place for the attack.
    Skipped,
    /// It was not named, or an alarm was false.
    Missed,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Quiet => "quiet",
            Self::Unbound => "not bound",
            Self::Skipped => "skipped",
            Self::Missed => "MISSED",
        }
    }
}

/// What a verifier has besides the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    Nothing,
    Key,
    State,
    Checkpoint,
}

impl Evidence {
    pub(crate) const ALL: [Self; 4] = [Self::Nothing, Self::Key, Self::State, Self::Checkpoint];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Key => "key",
            Self::State => "state",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// What a verifier with this evidence sees.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) evidence: Evidence,
    pub(crate) ok: bool,
    pub(crate) findings: Vec<Seen>,
}

/// A finding, or the refusal of a proof, without its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) code: &'static str,
    pub(crate) level: &'static str,
    pub(crate) at: At,
}

/// Where: a position of a log, or a frame when no log is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct At {
    pub(crate) log: Option<u32>,
    pub(crate) at: Option<u64>,
}

impl At {
    pub(crate) const fn position(log: u32, seq: u64) -> Self {
        Self { log: Some(log), at: Some(seq) }
    }

    pub(crate) const fn frame(lsn: u64) -> Self {
        Self { log: None, at: Some(lsn) }
    }

    pub(crate) const fn log(log: u32) -> Self {
        Self { log: Some(log), at: None }
    }

    /// Whether a finding stands here; a place that was left open fits any.
    fn fits(self, found: Self) -> bool {
        self == Self::default() || self == found
    }
}

/// What an attacker must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing: it is an accident, or no attack at all.
    Nothing,
    /// The right to write to the directory.
    Write,
    /// That, and the store's signing key.
    Key,
}

impl Takes {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Write => "write",
            Self::Key => "write+key",
        }
    }
}

/// What verification must say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// It fails for everybody, with this code.
    Alarm(Code),
    /// From inside everything is right, and `unanchored` says so; from outside it fails with these codes.
    Outside { key: Option<Code>, state: Option<Code>, checkpoint: Option<Code> },
    /// It does not fail, and this is said.
    Said(Code, Level),
    /// Nothing more than about the untouched copy.
    Quiet,
    /// The same, although it is an attack: nothing that is proved depends on what it changes.
    Unbound,
    /// The proof is refused.
    Refused,
    /// The proof is accepted.
    Accepted,
}

/// Does the attack in an empty directory. `None`: this log has no place for it.
type Act = fn(&Scene, &Path) -> Result<Option<At>>;

/// One row of the threat table.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) takes: Takes,
    pub(crate) expected: Expected,
    pub(crate) act: Act,
    /// What else must hold afterwards; `Some` is a complaint.
    pub(crate) also: Option<fn(&Scene, &Path) -> Option<String>>,
}

impl Attack {
    /// The code that the table promises, and the least evidence it takes.
    pub(crate) fn promise(&self) -> (Option<&'static str>, &'static str) {
        match self.expected {
            Expected::Alarm(code) | Expected::Said(code, _) => (Some(code.name()), Evidence::Nothing.name()),
            Expected::Outside { key: Some(code), .. } => (Some(code.name()), Evidence::Key.name()),
            Expected::Outside { checkpoint, .. } => (checkpoint.map(Code::name), Evidence::Checkpoint.name()),
            Expected::Refused => (Some(proofs::REFUSED), Evidence::Key.name()),
            Expected::Quiet | Expected::Unbound | Expected::Accepted => (None, "-"),
        }
    }
}

/// Every attack, in the order of the threat table.
pub(crate) fn attacks() -> impl Iterator<Item = &'static Attack> {
    [attacks::ATTACKS, forms::ATTACKS, structure::ATTACKS, proofs::ATTACKS].into_iter().flatten()
}

/// What the attacks work on, and what the verifier kept elsewhere.
pub(crate) struct Scene {
    /// The copy as it was.
    pub(crate) forgery: Forgery,
    /// Signed events of the main log, in order.
    pub(crate) events: Vec<Spot>,
    /// The event that suffers.
    pub(crate) victim: Spot,
    /// The stolen key, if it can be read here.
    pub(crate) key: Option<SigningKey>,
    /// Another store of the same make.
    pub(crate) other: Forgery,
    pub(crate) verifier: VerifierKey,
    notes: Vec<String>,
    state: PathBuf,
    /// The untouched copy, written out.
    pub(crate) intact: PathBuf,
}

/// Most of a journal that is copied for each attack.
const COPY_BYTES_MAX: usize = 4 << 20;
/// Fewer signed events than this leave too many attacks without a place.
const EVENTS_MIN: usize = 8;

/// Attacks copies of the store in `dir`, or of a made-up one if there is next to nothing in it.
pub(crate) fn run(dir: &Path, options: &Options) -> Result<Drill> {
    let unknown = options.only.iter().find(|name| !attacks().any(|attack| attack.name == **name));
    if let Some(name) = unknown {
        return Err(Failure::usage(format!("there is no attack named {name}")).hint("`indelible drill` lists the names"));
    }
    let temporary = tempfile::Builder::new().prefix("indelible-drill-").tempdir().map_err(|error| Failure::io("could not make a temporary directory", &error))?;
    let work = match &options.keep {
        Some(keep) => {
            claim(keep)?;
            keep.clone()
        }
        None => temporary.path().join("copies"),
    };
    let (scene, whole, example) = Scene::set(dir, temporary.path(), &work)?;
    let baseline = scene.views(&scene.intact)?;
    if let Some(view) = baseline.iter().find(|view| !view.ok) {
        let codes: Vec<&str> = view.findings.iter().filter(|seen| seen.level == Level::Fail.name()).map(|seen| seen.code).collect();
        return Err(Failure::new("mismatch", format!("this log fails verification before anybody attacks it: {}", codes.join(", ")))
            .exit(Exit::Unverified)
            .hint("run `indelible verify` for all findings, and keep a copy of the directory"));
    }
    let mut outcomes = Vec::new();
    for attack in attacks().filter(|attack| options.only.is_empty() || options.only.iter().any(|name| name == attack.name)) {
        let place = work.join(attack.name);
        outcomes.push(scene.drill(attack, &place, &baseline)?);
        if options.keep.is_none() {
            // The next copy needs the room; what cannot be removed now is removed with the rest.
            let _ = fs::remove_dir_all(&place);
        }
    }
    let events = scene.forgery.spots().iter().filter(|spot| spot.log != 0).count() as u64;
    Ok(Drill { events, whole, example, outcomes })
}

fn claim(keep: &Path) -> Result<()> {
    let failed = |error| Failure::file("make", keep, &error);
    fs::create_dir_all(keep).map_err(failed)?;
    if fs::read_dir(keep).map_err(failed)?.next().is_some() {
        return Err(Failure::new("rejected", format!("{} is not empty", keep.display())).hint("choose a new directory for --keep"));
    }
    Ok(())
}

impl Scene {
    fn set(dir: &Path, temporary: &Path, work: &Path) -> Result<(Self, bool, bool)> {
        let other = example::make(&temporary.join("other"))?;
        let (other, _) = Forgery::read(&temporary.join("other"), &other, COPY_BYTES_MAX)?;
        let own = if dir.join("store.json").exists() { Self::take(dir)? } else { None };
        let (taken, example) = match own {
            Some(taken) => (taken, false),
            None => {
                let dir = temporary.join("example");
                example::make(&dir)?;
                let taken = Self::take(&dir)?.ok_or_else(|| Failure::new("drill", "the example log came out too small").hint("report this as a bug"))?;
                (taken, true)
            }
        };
        let (forgery, whole, key, events) = taken;
        let victim = Self::choose(&forgery, &events).ok_or_else(|| Failure::new("drill", "no event can be attacked").hint("report this as a bug"))?;
        let intact = work.join("untouched");
        forgery.write(&intact)?;
        forgery.write_trees(&intact)?;
        let identity = &forgery.identity;
        let verifier = identity.verifier_key(0).ok_or_else(|| Failure::new("drill", "the store has no usable key").exit(Exit::Unverified))?;
        let notes: Vec<String> = forgery.checkpoints.values().map(|note| String::from_utf8_lossy(note).into_owned()).collect();
        let evidence = work.join("evidence");
        let state = evidence.join("state");
        fs::create_dir_all(&state).map_err(|error| Failure::file("make", &state, &error))?;
        put(&evidence.join("key"), format!("{verifier}\n").as_bytes())?;
        for (log, note) in &forgery.checkpoints {
            put(&evidence.join(format!("checkpoint-{log}")), note)?;
        }
        put(&indelible::trusted_state_path(&state, identity), &trusted_state(&forgery))?;
        Ok((Self { forgery, events, victim, key, other, verifier, notes, state, intact }, whole, example))
    }

    /// Takes a store apart; `None`: next to nothing of it is signed.
    #[expect(clippy::type_complexity, reason = "the parts of a scene, on their way into it")]
    fn take(dir: &Path) -> Result<Option<(Forgery, bool, Option<SigningKey>, Vec<Spot>)>> {
        let reader = Reader::open(dir)?;
        let (mut forgery, whole) = Forgery::read(dir, reader.identity(), COPY_BYTES_MAX)?;
        let key = stolen_key(dir, reader.identity());
        let signed_events = |forgery: &Forgery| -> Vec<Spot> {
            let signed = forgery.signed(LOG_MAIN);
            forgery.spots().into_iter().filter(|spot| spot.log == LOG_MAIN && spot.seq < signed && is_event(forgery, *spot)).collect()
        };
        let mut events = signed_events(&forgery);
        if events.len() < EVENTS_MIN
            && let Some(key) = &key
        {
            // Cut off before its first checkpoint: the copy gets one, as the store itself would.
            forgery.sign_heads(key);
            events = signed_events(&forgery);
        }
        Ok((events.len() >= EVENTS_MIN).then_some((forgery, whole, key, events)))
    }

    /// An event in the middle that has as much as possible to be attacked: values, a producer, frames behind it.
    fn choose(forgery: &Forgery, events: &[Spot]) -> Option<Spot> {
        let last = forgery.sheets.len().saturating_sub(1);
        let worth = |spot: &Spot| {
            let Some(record) = forgery.record(*spot).and_then(|bytes| Record::parse(bytes)) else { return 0 };
            let values = [Tag::IDENTITY, Tag::CONTENT].iter().filter(|tag| record.value(**tag).is_some()).count();
            let producer = record.head().is_some_and(|head| head.producer.is_some());
            values * 2 + usize::from(producer) + usize::from(spot.sheet < last) * 4
        };
        // Neither the first nor the last third: there must be something on both sides.
        let middle = events.get(events.len() / 3..events.len() * 2 / 3 + 1)?;
        middle.iter().rev().max_by_key(|spot| worth(spot)).copied()
    }

    /// Attacks a fresh copy and looks at it with every evidence.
    fn drill(&self, attack: &'static Attack, place: &Path, baseline: &[View]) -> Result<Outcome> {
        let Some(at) = (attack.act)(self, place)? else {
            let complaint = if attack.takes == Takes::Key && self.key.is_none() { "the signing key cannot be read here" } else { "this log has no place for it" };
            return Ok(Outcome { attack, at: At::default(), views: Vec::new(), verdict: Verdict::Skipped, complaint: Some(complaint.into()) });
        };
        let views = match attack.expected {
            Expected::Refused | Expected::Accepted => proofs::views(self, place)?,
            _ => self.views(place)?,
        };
        let complaint = judge(attack, at, &views, baseline).or_else(|| attack.also.and_then(|also| also(self, place)));
        let verdict = match (&complaint, attack.expected) {
            (Some(_), _) => Verdict::Missed,
            (None, Expected::Quiet | Expected::Accepted) => Verdict::Quiet,
            (None, Expected::Unbound) => Verdict::Unbound,
            (None, _) => Verdict::Caught,
        };
        Ok(Outcome { attack, at, views, verdict, complaint })
    }

    /// What each verifier sees.
    fn views(&self, dir: &Path) -> Result<Vec<View>> {
        let view = |evidence| {
            let mut options = verify::Options::default();
            match evidence {
                Evidence::Nothing => {}
                Evidence::Key => options.key = Some(self.verifier.clone()),
                Evidence::State => options.trusted_state_dir = Some(self.state.clone()),
                Evidence::Checkpoint => options.against = self.notes.clone(),
            }
            let report = verify::verify(dir, options)?;
            let seen = |finding: &verify::Finding| Seen {
                code: finding.code.name(),
                level: finding.level.name(),
                at: At { log: finding.log, at: finding.at },
            };
            Ok(View { evidence, ok: report.ok, findings: report.findings.iter().map(seen).collect() })
        };
        Evidence::ALL.into_iter().map(view).collect()
    }

    /// A changed copy in `dir`. `None` from `change`: there is no place for it, and nothing is written.
    pub(crate) fn forge(&self, dir: &Path, change: impl FnOnce(&mut Forgery) -> Option<At>) -> Result<Option<At>> {
        Ok(self.forge_files(dir, change)?.map(|(at, _)| at))
    }

    /// [`forge`](Self::forge), and where everything was written, for attacks on the bytes themselves.
    pub(crate) fn forge_files(&self, dir: &Path, change: impl FnOnce(&mut Forgery) -> Option<At>) -> Result<Option<(At, Layout)>> {
        let mut forgery = self.forgery.clone();
        let Some(at) = change(&mut forgery) else { return Ok(None) };
        let layout = forgery.write(dir)?;
        Ok(Some((at, layout)))
    }

    /// The smallest size of the main log beyond `seq` that is signed, in a frame or in the file.
    pub(crate) fn first_signed_beyond(&self, seq: u64) -> u64 {
        let size = |note: &[u8]| indelible::format::checkpoint::SignedCheckpoint::parse(note).map_or(0, |signed| signed.unverified().size);
        let in_frames = self.forgery.sheets.iter().flat_map(|sheet| &sheet.meta.notes).filter(|(log, _)| *log == LOG_MAIN).map(|(_, note)| size(note.as_bytes()));
        in_frames.chain([self.forgery.signed(LOG_MAIN)]).filter(|size| *size > seq).min().unwrap_or_default()
    }
}

fn is_event(forgery: &Forgery, spot: Spot) -> bool {
    forgery.record(spot).and_then(|bytes| Record::parse(bytes)).is_some_and(|record| record.kind() == Kind::Event && record.head().is_some())
}

/// The store's signing key as a thief finds it.
fn stolen_key(dir: &Path, identity: &Identity) -> Option<SigningKey> {
    let text = fs::read_to_string(dir.join("key")).ok()?;
    SigningKey::parse(text.trim_end()).ok().filter(|key| *key.verifier().public_key() == identity.public_key)
}

/// The trusted state of somebody who saw the untouched log.
fn trusted_state(forgery: &Forgery) -> Vec<u8> {
    let mut notes: Vec<(String, String)> = forgery.checkpoints.iter().map(|(log, note)| (log.to_string(), String::from_utf8_lossy(note).into_owned())).collect();
    notes.sort();
    let mut out = b"{\"checkpoints\":{".to_vec();
    for (nth, (log, note)) in notes.iter().enumerate() {
        out.extend_from_slice(format!("{}\"{log}\":", if nth > 0 { "," } else { "" }).as_bytes());
        write_string(&mut out, note);
    }
    out.extend_from_slice(format!("}},\"format\":1,\"store\":\"{}\"}}", forgery.identity.store_hex()).as_bytes());
    out
}

/// Compares what was seen with what the table promises; `Some` says what is missing.
fn judge(attack: &Attack, at: At, views: &[View], baseline: &[View]) -> Option<String> {
    let fails = |view: &View, code: &str| {
        let named = view.findings.iter().any(|seen| seen.code == code && seen.level == Level::Fail.name() && at.fits(seen.at));
        (view.ok || !named).then(|| format!("with {}, {code} at {} is not found: {}", view.evidence.name(), place_text(at), view.text()))
    };
    let passes = |view: &View| {
        let said = view.findings.iter().any(|seen| seen.code == Code::Unanchored.name());
        (!view.ok || !said).then(|| format!("with {}, it should look intact and be called unanchored: {}", view.evidence.name(), view.text()))
    };
    let same = |view: &View| {
        let before = baseline.iter().find(|before| before.evidence == view.evidence)?;
        let codes = |view: &View| view.findings.iter().map(|seen| (seen.code, seen.level)).collect::<Vec<_>>();
        (!view.ok || codes(before) != codes(view)).then(|| format!("with {}, more is said than about the untouched copy: {}", view.evidence.name(), view.text()))
    };
    match attack.expected {
        Expected::Alarm(code) => views.iter().find_map(|view| fails(view, code.name())),
        Expected::Outside { key, state, checkpoint } => views.iter().find_map(|view| {
            let expected = match view.evidence {
                Evidence::Nothing => None,
                Evidence::Key => key,
                Evidence::State => state,
                Evidence::Checkpoint => checkpoint,
            };
            expected.map_or_else(|| passes(view), |code| fails(view, code.name()))
        }),
        Expected::Said(code, level) => views.iter().find(|view| view.evidence == Evidence::Nothing).and_then(|view| {
            let said = view.findings.iter().any(|seen| (seen.code, seen.level) == (code.name(), level.name()) && at.fits(seen.at));
            (!view.ok || !said).then(|| format!("{} ({}) at {} is not said: {}", code.name(), level.name(), place_text(at), view.text()))
        }),
        Expected::Quiet | Expected::Unbound => views.iter().find_map(same),
        Expected::Refused => views.iter().find(|view| view.ok).map(|_| "the proof is accepted".into()),
        Expected::Accepted => views.iter().find(|view| !view.ok).map(|_| "the proof is refused".into()),
    }
}

impl View {
    fn text(&self) -> String {
        let found: Vec<String> = self.findings.iter().take(6).map(|seen| format!("{} at {}", seen.code, place_text(seen.at))).collect();
        format!("{}{}", if self.ok { "ok, " } else { "" }, if found.is_empty() { "nothing found".into() } else { found.join(", ") })
    }
}

/// A place in words.
pub(crate) fn place_text(at: At) -> String {
    match (at.log, at.at) {
        (Some(log), Some(seq)) => format!("{log}:{seq}"),
        (Some(log), None) => format!("log {log}"),
        (None, Some(lsn)) => format!("frame {lsn}"),
        (None, None) => "-".into(),
    }
}
