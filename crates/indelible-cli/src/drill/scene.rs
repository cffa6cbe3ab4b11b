//! The scene of a drill: the copy that is attacked, the event that suffers, and what the verifiers kept elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use indelible::format::note::{SigningKey, VerifierKey};
use indelible::format::record::Kind;
use indelible::identity::LOG_MAIN;
use indelible::json::write_string;
use indelible::verify;
use indelible::{Identity, Reader, Record, Tag};

use super::attacker::{Forgery, Layout, Spot, put};
use super::outcome::{At, Evidence, Outcome, Seen, Verdict, View, judge};
use super::{Attack, Expected, Takes, example, proofs};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

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
    /// The untouched copy, written out.
    pub(crate) intact: PathBuf,
}

impl Scene {
    pub(super) fn set(dir: &Path, temporary: &Path, work: &Path) -> Result<(Self, bool, bool)> {
        let other = example::make(&temporary.join("other"))?;
        let (other, _) = Forgery::read(&temporary.join("other"), &other, COPY_BYTES_MAX)?;
        let own = if dir.join("store.json").exists() { Self::take(dir)? } else { None };
        let (taken, example) = match own {
            Some(taken) => (taken, false),
            None => {
                let dir = temporary.join("example");
                example::make(&dir)?;
                let taken = Self::take(&dir)?
                    .ok_or_else(|| Failure::new("drill", "the example log came out too small").hint("report this as a bug"))?;
                (taken, true)
            }
        };
        let (forgery, whole, key, events) = taken;
        let victim = Self::choose(&forgery, &events)
            .ok_or_else(|| Failure::new("drill", "no event can be attacked").hint("report this as a bug"))?;
        let intact = work.join("untouched");
        forgery.write(&intact)?;
        forgery.write_trees(&intact)?;
        let identity = &forgery.identity;
        let verifier = identity
            .verifier_key(0)
            .ok_or_else(|| Failure::new("drill", "the store has no usable key").exit(Exit::Unverified))?;
        let notes: Vec<String> = forgery.checkpoints.values().map(|note| String::from_utf8_lossy(note).into_owned()).collect();
        let evidence = work.join("evidence");
        let state = evidence.join("state");
        fs::create_dir_all(&state).map_err(|error| Failure::file("make", &state, &error))?;
        put(&evidence.join("key"), format!("{verifier}\n").as_bytes())?;
        for (log, note) in &forgery.checkpoints {
            put(&evidence.join(format!("checkpoint-{log}")), note)?;
        }
        put(&indelible::trusted_state_path(&state, identity), &trusted_state(&forgery))?;
        Ok((Self { forgery, events, victim, key, other, verifier, notes, intact }, whole, example))
    }

    /// Takes a store apart; `None`: next to nothing of it is signed.
    #[expect(clippy::type_complexity, reason = "the parts of a scene, on their way into it")]
    fn take(dir: &Path) -> Result<Option<(Forgery, bool, Option<SigningKey>, Vec<Spot>)>> {
        let reader = Reader::open(dir)?;
        let (mut forgery, whole) = Forgery::read(dir, reader.identity(), COPY_BYTES_MAX)?;
        let key = stolen_key(dir, reader.identity());
        let signed_events = |forgery: &Forgery| -> Vec<Spot> {
            let signed = forgery.signed(LOG_MAIN);
            forgery
                .spots()
                .into_iter()
                .filter(|spot| spot.log == LOG_MAIN && spot.seq < signed && is_event(forgery, *spot))
                .collect()
        };
        let mut events = signed_events(&forgery);
        if (!whole || events.len() < EVENTS_MIN)
            && let Some(key) = &key
        {
            // Cut off in the middle, or never signed yet: the copy gets the checkpoints that the store itself would get when closed.
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
    pub(super) fn drill(&self, attack: &'static Attack, place: &Path, baseline: &[View]) -> Result<Outcome> {
        let Some(at) = (attack.act)(self, place)? else {
            let complaint = if attack.takes == Takes::Key && self.key.is_none() {
                "the signing key cannot be read here"
            } else {
                "this log has no place for it"
            };
            return Ok(Outcome {
                attack,
                at: At::default(),
                views: Vec::new(),
                verdict: Verdict::Skipped,
                complaint: Some(complaint.into()),
            });
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
    pub(super) fn views(&self, dir: &Path) -> Result<Vec<View>> {
        // Verification pins what it accepts: each copy meets the state as it was before anybody attacked.
        let pinned = tempfile::tempdir().map_err(|error| Failure::io("could not make a temporary directory", &error))?;
        let state = indelible::trusted_state_path(pinned.path(), &self.forgery.identity);
        put(&state, &trusted_state(&self.forgery))?;
        let view = |evidence| {
            let mut options = verify::Options::default();
            match evidence {
                Evidence::Nothing => {}
                Evidence::Key => options.key = Some(self.verifier.clone()),
                Evidence::State => options.trusted_state_dir = Some(pinned.path().to_owned()),
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
    pub(crate) fn forge_files(
        &self,
        dir: &Path,
        change: impl FnOnce(&mut Forgery) -> Option<At>,
    ) -> Result<Option<(At, Layout)>> {
        let mut forgery = self.forgery.clone();
        let Some(at) = change(&mut forgery) else { return Ok(None) };
        let layout = forgery.write(dir)?;
        Ok(Some((at, layout)))
    }

    /// The smallest size of the main log beyond `seq` that is signed, in a frame or in the file.
    pub(crate) fn first_signed_beyond(&self, seq: u64) -> u64 {
        let size = |note: &[u8]| {
            indelible::format::checkpoint::SignedCheckpoint::parse(note).map_or(0, |signed| signed.unverified().size)
        };
        let in_frames = self
            .forgery
            .sheets
            .iter()
            .flat_map(|sheet| &sheet.meta.notes)
            .filter(|(log, _)| *log == LOG_MAIN)
            .map(|(_, note)| size(note.as_bytes()));
        in_frames.chain([self.forgery.signed(LOG_MAIN)]).filter(|size| *size > seq).min().unwrap_or_default()
    }
}

fn is_event(forgery: &Forgery, spot: Spot) -> bool {
    forgery
        .record(spot)
        .and_then(|bytes| Record::parse(bytes))
        .is_some_and(|record| record.kind() == Kind::Event && record.head().is_some())
}

/// The store's signing key as a thief finds it.
fn stolen_key(dir: &Path, identity: &Identity) -> Option<SigningKey> {
    let text = fs::read_to_string(dir.join("key")).ok()?;
    SigningKey::parse(text.trim_end()).ok().filter(|key| *key.verifier().public_key() == identity.public_key)
}

/// The trusted state of somebody who saw the untouched log.
fn trusted_state(forgery: &Forgery) -> Vec<u8> {
    let mut notes: Vec<(String, String)> =
        forgery.checkpoints.iter().map(|(log, note)| (log.to_string(), String::from_utf8_lossy(note).into_owned())).collect();
    notes.sort();
    let mut out = b"{\"checkpoints\":{".to_vec();
    for (nth, (log, note)) in notes.iter().enumerate() {
        out.extend_from_slice(format!("{}\"{log}\":", if nth > 0 { "," } else { "" }).as_bytes());
        write_string(&mut out, note);
    }
    out.extend_from_slice(format!("}},\"format\":1,\"store\":\"{}\"}}", forgery.identity.store_hex()).as_bytes());
    out
}

/// Most of a journal that is copied for each attack.
const COPY_BYTES_MAX: usize = 4 << 20;

/// Fewer signed events than this leave too many attacks without a place.
const EVENTS_MIN: usize = 8;
