//! Attacks on the proof of one event: what is handed to a third party who has nothing but the proof and the key.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::format::leaf::Salts;
use indelible::format::leaf::commitments;
use indelible::format::tlog_proof::TlogProof;
use indelible::identity::LOG_MAIN;
use indelible::verify::{Level, verify_proof};
use indelible::{Hash, Reader, Record};

use super::attacker::{base64_of, put};
use super::outcome::{Seen, View};
use super::{At, Attack, Evidence, Expected, Scene, Takes};
use crate::failure::{Failure, Result};

/// The word for a proof that was not accepted.
pub(super) const REFUSED: &str = "proof-refused";
/// Name of the proof in the directory of its attack.
pub(super) const FILE: &str = "event.tlog-proof";

const fn row(name: &'static str, what: &'static str, act: super::Act) -> Attack {
    Attack { name, what, takes: Takes::Nothing, expected: Expected::Refused, act, also: None }
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "proof-intact",
        what: "nothing: the proof of an event as it was made",
        takes: Takes::Nothing,
        expected: Expected::Accepted,
        act: |scene, dir| forge(scene, dir, |_| Some(())),
        also: None,
    },
    row("proof-value", "a proof shows another value", |scene, dir| {
        forge(scene, dir, |proof| {
            extra(proof, |json| {
                let (before, behind) = json.split_once("\"value\":\"")?;
                let (value, rest) = behind.split_once('"')?;
                let mut value = STANDARD.decode(value).ok()?;
                let outcome = value.get_mut(1)?;
                *outcome = if *outcome == 2 { 1 } else { 2 };
                Some(format!("{before}\"value\":\"{}\"{rest}", base64_of(&value)))
            })
        })
    }),
    row("proof-salt", "a proof gives another salt", |scene, dir| {
        forge(scene, dir, |proof| {
            extra(proof, |json| {
                let (before, behind) = json.split_once("\"salt\":\"")?;
                let (salt, rest) = behind.split_once('"')?;
                let mut salt = STANDARD.decode(salt).ok()?;
                *salt.first_mut()? ^= 1;
                Some(format!("{before}\"salt\":\"{}\"{rest}", base64_of(&salt)))
            })
        })
    }),
    row("proof-hash", "a hash of the path is another", |scene, dir| {
        forge(scene, dir, |proof| {
            let [byte, ..] = &mut proof.hashes.last_mut()?.0;
            *byte ^= 1;
            Some(())
        })
    }),
    row("proof-index", "the event is said to stand at another position", |scene, dir| {
        forge(scene, dir, |proof| {
            proof.index = if proof.index == 0 { 1 } else { proof.index - 1 };
            Some(())
        })
    }),
    row("proof-node-as-leaf", "an inner node is presented as a leaf: the path is one hash shorter", |scene, dir| {
        forge(scene, dir, |proof| {
            if proof.hashes.is_empty() {
                return None;
            }
            proof.hashes.remove(0);
            proof.index /= 2;
            Some(())
        })
    }),
    row("proof-pair-as-entry", "two leaves are presented as the commitments of one event", |scene, dir| {
        // Left and right below an inner node are 64 bytes, as two commitments are; only the prefix of the hash tells them apart.
        let Some((left, right)) = pair(scene) else { return Ok(None) };
        forge(scene, dir, |proof| {
            let group = |tag: u8, hash: Hash| format!("{{\"commitment\":\"{}\",\"tag\":{tag}}}", base64_of(&hash.0));
            proof.extra =
                Some(format!("{{\"format\":\"indelible/v1\",\"groups\":[{},{}]}}", group(1, left), group(2, right)).into_bytes());
            if !proof.hashes.is_empty() {
                proof.hashes.remove(0);
            }
            proof.index /= 2;
            Some(())
        })
    }),
    row("proof-checkpoint", "the proof leads to a checkpoint with another root", |scene, dir| {
        forge(scene, dir, |proof| {
            let root = proof.checkpoint.lines().nth(2)?.to_owned();
            let mut bytes = STANDARD.decode(&root).ok()?;
            *bytes.first_mut()? ^= 1;
            proof.checkpoint = proof.checkpoint.replacen(&root, &base64_of(&bytes), 1);
            Some(())
        })
    }),
    row("proof-other-store", "a proof of another store, which has its own key", |scene, dir| {
        let place = dir.join("store");
        scene.other.write(&place)?;
        let seq = scene.other.signed(LOG_MAIN) / 2;
        let proof = Reader::open(&place)?.prove(LOG_MAIN, seq)?;
        fs::remove_dir_all(&place).map_err(|error| Failure::file("remove", &place, &error))?;
        put(&dir.join(FILE), proof.to_string().as_bytes())?;
        Ok(Some(At::default()))
    }),
];

/// Makes the proof of the victim, changes it and writes it.
fn forge(scene: &Scene, dir: &Path, change: impl FnOnce(&mut TlogProof) -> Option<()>) -> Result<Option<At>> {
    let mut proof = Reader::open(&scene.intact)?.prove(LOG_MAIN, scene.victim.seq)?;
    let before = proof.clone();
    let expected_change = change(&mut proof).is_some();
    if !expected_change {
        return Ok(None);
    }
    fs::create_dir_all(dir).map_err(|error| Failure::file("make", dir, &error))?;
    put(&dir.join(FILE), proof.to_string().as_bytes())?;
    let at = if proof == before { At::default() } else { At::position(LOG_MAIN, proof.index) };
    Ok(Some(at))
}

fn extra(proof: &mut TlogProof, change: impl FnOnce(&str) -> Option<String>) -> Option<()> {
    let json = String::from_utf8(proof.extra.clone()?).ok()?;
    proof.extra = Some(change(&json)?.into_bytes());
    Some(())
}

/// The leaves of the victim and of its sibling, left one first.
fn pair(scene: &Scene) -> Option<(Hash, Hash)> {
    let leaf = |seq: u64| {
        let spot = scene.forgery.spots().into_iter().find(|spot| (spot.log, spot.seq) == (LOG_MAIN, seq))?;
        scene.forgery.leaf_at(spot)
    };
    let left = scene.victim.seq & !1;
    Some((leaf(left)?, leaf(left + 1)?))
}

/// What somebody sees who was handed the proof: only the key helps here.
pub(super) fn views(scene: &Scene, dir: &Path) -> Result<Vec<View>> {
    let path = dir.join(FILE);
    let bytes = fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
    let at = TlogProof::parse(&bytes).map_or_else(|_| At::default(), |proof| At::position(LOG_MAIN, proof.index));
    let answer = verify_proof(&bytes, &scene.verifier);
    let findings = if answer.is_ok() { Vec::new() } else { vec![Seen { code: REFUSED, level: Level::Fail.name(), at }] };
    Ok(vec![View { evidence: Evidence::Key, ok: answer.is_ok() && shows_the_victim(scene, &answer), findings }])
}

/// An accepted proof must show the event that is in the log, and nothing else.
fn shows_the_victim(scene: &Scene, answer: &indelible::Result<indelible::verify::ProofReport>) -> bool {
    let Ok(report) = answer else { return false };
    let Some(record) = scene.forgery.record(scene.victim).and_then(|bytes| Record::parse(bytes)) else { return false };
    let mut salts = Salts::new(scene.forgery.seed_of(LOG_MAIN, scene.victim.seq));
    let true_groups = commitments(&record, scene.victim.seq, &mut salts).into_iter().map(|(tag, _)| (tag, record.value(tag)));
    report.seq == scene.victim.seq && true_groups.eq(report.groups.iter().map(|group| (group.tag, group.value.as_deref())))
}
