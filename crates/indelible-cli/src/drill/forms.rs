//! Attacks on the form of entries and on what says whose log it is: encodings, field indexes, seeds, roots, notes, identity.

use indelible::Tag;
use indelible::format::checkpoint::SignedCheckpoint;
use indelible::format::frame::LogChange;
use indelible::format::leaf::Seed;
use indelible::format::limits::GROUP_LEAVES;
use indelible::identity::LOG_MAIN;
use indelible::verify::Code;

use super::attacker::{Forgery, Spot, base64_of, put};
use super::attacks::{append, first_in_frame, invented, remove, settle, settle_signed};
use super::record::Parts;
use super::{At, Attack, Expected, Scene, Takes};

const fn row(name: &'static str, what: &'static str, takes: Takes, expected: Expected, act: super::Act) -> Attack {
    Attack { name, what, takes, expected, act, also: None }
}

pub(super) const ATTACKS: &[Attack] = &[
    row(
        "re-encode",
        "the same JSON value in other bytes; all hashes are right again",
        Takes::Write,
        Expected::Alarm(Code::NotCanonical),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit(scene.victim, |parts| {
                    let value = if parts.value_mut(Tag::CONTENT).is_some() { Tag::CONTENT } else { Tag::IDENTITY };
                    let value = parts.value_mut(value)?;
                    // White space before the last brace moves no field.
                    value.insert(value.len().checked_sub(1)?, b' ');
                    Some(())
                })?;
                settle(forgery)?;
                Some(At::position(LOG_MAIN, scene.victim.seq))
            })
        },
    ),
    row(
        "span-altered",
        "the index of an event's fields points elsewhere",
        Takes::Write,
        Expected::Alarm(Code::SpanMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit(scene.victim, |parts| {
                    let (_, _, length) = parts.spans.iter_mut().find(|(_, _, length)| *length > 0)?;
                    *length -= 1;
                    Some(())
                })?;
                forgery.chain()?;
                Some(At::position(LOG_MAIN, scene.victim.seq))
            })
        },
    ),
    row("seed-altered", "the seed of 256 events is another", Takes::Write, Expected::Alarm(Code::RootMismatch), |scene, dir| {
        scene.forge(dir, |forgery| {
            let group = scene.victim.seq / GROUP_LEAVES;
            let first = *scene.events.iter().find(|spot| spot.seq / GROUP_LEAVES == group)?;
            for seed in forgery
                .sheets
                .iter_mut()
                .flat_map(|sheet| &mut sheet.meta.seeds)
                .filter(|seed| (seed.log, seed.group) == (LOG_MAIN, group))
            {
                seed.seed = turned(&seed.seed);
            }
            forgery.chain()?;
            first_in_frame(forgery, first)
        })
    }),
    row(
        "seed-altered-once",
        "the seed of 256 events is another in one of its frames",
        Takes::Write,
        Expected::Alarm(Code::SeedMissing),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let same_group = |spots: &[&Spot]| {
                    spots
                        .first()
                        .zip(spots.get(1))
                        .is_some_and(|(a, b)| a.seq / GROUP_LEAVES == b.seq / GROUP_LEAVES && a.sheet < b.sheet)
                };
                let events: Vec<&Spot> = scene.events.iter().collect();
                let second = **events.windows(2).find(|pair| same_group(pair))?.get(1)?;
                let group = (LOG_MAIN, second.seq / GROUP_LEAVES);
                let seed =
                    forgery.sheets.get_mut(second.sheet)?.meta.seeds.iter_mut().find(|seed| (seed.log, seed.group) == group)?;
                seed.seed = turned(&seed.seed);
                forgery.chain()?;
                Some(At::position(LOG_MAIN, second.seq))
            })
        },
    ),
    row("root-altered", "a frame states another root", Takes::Write, Expected::Alarm(Code::RootMismatch), |scene, dir| {
        scene.forge(dir, |forgery| {
            let change =
                forgery.sheets.get_mut(scene.victim.sheet)?.meta.logs.iter_mut().find(|change| change.log == LOG_MAIN)?;
            let [byte, ..] = &mut change.root.0;
            *byte ^= 1;
            forgery.chain()?;
            first_in_frame(forgery, scene.victim)
        })
    }),
    row(
        "record-unlisted",
        "a frame holds an invented event of a log that it does not list",
        Takes::Write,
        Expected::Alarm(Code::Sequence),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let forged = invented(forgery, scene.victim)?;
                let sheet =
                    forgery.sheets.first_mut().filter(|sheet| sheet.meta.logs.iter().all(|change| change.log != LOG_MAIN))?;
                sheet.records.push(forged);
                sheet.meta.records += 1;
                forgery.chain()?;
                Some(At::position(LOG_MAIN, 0))
            })
        },
    ),
    row(
        "log-invented",
        "events of a log that the store does not have are put behind the last one",
        Takes::Write,
        Expected::Alarm(Code::LogUnknown),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let mut parts = Parts::of(&invented(forgery, scene.victim)?)?;
                parts.log = INVENTED_LOG;
                append(forgery, vec![parts.encode()?])?;
                forgery.renumber_tenants()?;
                settle(forgery)?;
                Some(At { log: Some(INVENTED_LOG), at: Some(forgery.sheets.len() as u64 - 1) })
            })
        },
    ),
    row(
        "note-altered",
        "a checkpoint in the journal claims another size",
        Takes::Write,
        Expected::Alarm(Code::CheckpointSignature),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let (nth, sheet) = forgery.sheets.iter_mut().enumerate().find(|(_, sheet)| !sheet.meta.notes.is_empty())?;
                let (log, note) = sheet.meta.notes.first_mut()?;
                *note = other_size(note)?;
                let log = *log;
                forgery.chain()?;
                Some(At { log: Some(log), at: Some(nth as u64) })
            })
        },
    ),
    row(
        "note-too-early",
        "a checkpoint is moved to a frame before what it covers",
        Takes::Write,
        Expected::Alarm(Code::CheckpointAhead),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let note = String::from_utf8(forgery.checkpoints.get(&LOG_MAIN)?.clone()).ok()?;
                forgery.sheets.first_mut()?.meta.notes = vec![(LOG_MAIN, note)];
                forgery.chain()?;
                Some(At::position(LOG_MAIN, forgery.signed(LOG_MAIN)))
            })
        },
    ),
    row(
        "checkpoint-altered",
        "the newest checkpoint claims another size",
        Takes::Write,
        Expected::Alarm(Code::CheckpointSignature),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let note = forgery.checkpoints.get_mut(&LOG_MAIN)?;
                *note = other_size(std::str::from_utf8(note).ok()?)?.into_bytes();
                Some(At::log(LOG_MAIN))
            })
        },
    ),
    row(
        "checkpoint-cross-log",
        "the checkpoint of another log of the store is put in this one's place",
        Takes::Write,
        Expected::Alarm(Code::CheckpointMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let other = forgery.checkpoints.get(&0)?.clone();
                forgery.checkpoints.insert(LOG_MAIN, other);
                Some(At::log(LOG_MAIN))
            })
        },
    ),
    row(
        "heads-altered",
        "log 0 states a head that the log never had, signed with the store's own key",
        Takes::Key,
        Expected::Alarm(Code::HeadsMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let seq = (0..forgery.size(0))
                    .find(|seq| control_of(forgery, *seq).is_some_and(|json| json.ends_with("\"type\":\"heads\"}")))?;
                forgery.edit_control(seq, |json| turn_text(json, "\"root\":\""))?;
                forgery.restates = false;
                settle_signed(forgery, scene.key.as_ref()?)?;
                Some(At::default())
            })
        },
    ),
    row(
        "log-created-altered",
        "log 0 names another origin for a log, signed with the store's own key",
        Takes::Key,
        Expected::Alarm(Code::StoreIdentity),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit_control(1, |json| json.replace("\"origin\":\"", "\"origin\":\"elsewhere."))?;
                settle_signed(forgery, scene.key.as_ref()?)?;
                Some(At::position(0, 1))
            })
        },
    ),
    row(
        "log-created-removed",
        "the entry that made a log is cut out of log 0, signed with the store's own key",
        Takes::Key,
        Expected::Alarm(Code::LogUnknown),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let spot = forgery.spots().into_iter().find(|spot| (spot.log, spot.seq) == (0, 1))?;
                remove(forgery, spot)?;
                settle_signed(forgery, scene.key.as_ref()?)?;
                Some(At::position(LOG_MAIN, 0))
            })
        },
    ),
    row(
        "store-prefix",
        "store.json gives the logs another origin",
        Takes::Write,
        Expected::Alarm(Code::StoreIdentity),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                edit_identity(forgery, |json| json.replace("\"prefix\":\"", "\"prefix\":\"elsewhere."))?;
                Some(At::position(0, 0))
            })
        },
    ),
    row("store-key", "store.json names another public key", Takes::Write, Expected::Alarm(Code::StoreIdentity), |scene, dir| {
        scene.forge(dir, |forgery| {
            let other = base64_of(&scene.other.identity.public_key);
            let own = base64_of(&forgery.identity.public_key);
            edit_identity(forgery, |json| json.replace(&own, &other))?;
            Some(At::position(0, 0))
        })
    }),
    row("store-id", "store.json names another store", Takes::Write, Expected::Alarm(Code::StoreIdentity), |scene, dir| {
        scene.forge(dir, |forgery| {
            let (own, other) = (forgery.identity.store_hex(), scene.other.identity.store_hex());
            edit_identity(forgery, |json| json.replace(&own, &other))?;
            Some(At::default())
        })
    }),
    row(
        "store-log-dropped",
        "store.json no longer knows the main log",
        Takes::Write,
        Expected::Alarm(Code::LogUnknown),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let log = forgery.identity.logs.iter().find(|log| log.id == LOG_MAIN)?;
                let entry = format!("{{\"id\":{LOG_MAIN},\"name\":\"{}\",\"uid\":\"{}\"}},", log.name, log.uid);
                edit_identity(forgery, |json| json.replace(&entry, ""))?;
                forgery.checkpoints.remove(&LOG_MAIN);
                let first = forgery.spots().into_iter().find(|spot| spot.log == LOG_MAIN)?;
                Some(At { log: Some(LOG_MAIN), at: Some(first.sheet as u64) })
            })
        },
    ),
    row(
        "store-log-names",
        "store.json calls the main log by another name",
        Takes::Write,
        Expected::Alarm(Code::StoreIdentity),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let log = forgery.identity.logs.iter().find(|log| log.id == LOG_MAIN)?;
                let (own, other) = (format!("\"name\":\"{}\"", log.name), "\"name\":\"archive\"");
                edit_identity(forgery, |json| json.replace(&own, other))?;
                Some(At::position(0, 1))
            })
        },
    ),
    row(
        "idempotency-altered",
        "the digest by which a repeated request is recognised is another",
        Takes::Write,
        Expected::Unbound,
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let keyed = |spot: &&Spot| {
                    forgery.record(**spot).and_then(|bytes| Parts::of(bytes)).is_some_and(|parts| parts.idempotency.is_some())
                };
                let spot = *scene.events.iter().find(keyed)?;
                forgery.edit(spot, |parts| {
                    let [byte, ..] = &mut parts.idempotency.as_mut()?.key;
                    *byte ^= 1;
                    Some(())
                })?;
                forgery.chain()?;
                Some(At::default())
            })
        },
    ),
    row(
        "frame-time-altered",
        "a frame states that it was written a day earlier",
        Takes::Write,
        Expected::Unbound,
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.sheets.get_mut(scene.victim.sheet)?.meta.written -= DAY_NS;
                forgery.chain()?;
                Some(At::default())
            })
        },
    ),
    row(
        "carry-early",
        "an invented event is smuggled in as a repetition of one that comes later",
        Takes::Write,
        Expected::Alarm(Code::Sequence),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                carry(scene, forgery, scene.victim.sheet)?;
                Some(At::position(LOG_MAIN, scene.victim.seq))
            })
        },
    ),
    Attack {
        name: "carry-forged",
        what: "an invented event is smuggled in as a repetition of an earlier one",
        takes: Takes::Write,
        expected: Expected::Said(Code::CarryUnchecked, indelible::verify::Level::Note),
        act: |scene, dir| {
            scene.forge(dir, |forgery| {
                carry(scene, forgery, scene.victim.sheet + 1)?;
                Some(At::default())
            })
        },
        also: Some(|scene, dir| {
            let found = indelible::Reader::open(dir).and_then(|reader| reader.record(LOG_MAIN, scene.victim.seq));
            match found {
                Ok(Some(stored)) if Some(&stored.bytes) == scene.forgery.record(scene.victim) => None,
                _ => Some("the invented event is shown in the place of the true one".into()),
            }
        }),
    },
    Attack {
        name: "tree-altered",
        what: "the file of subtree roots holds something else",
        takes: Takes::Write,
        expected: Expected::Quiet,
        act: |scene, dir| {
            let at = scene.forge(dir, |_| Some(At::default()))?;
            scene.forgery.write_trees(dir)?;
            put(&dir.join("tree").join(LOG_MAIN.to_string()), &[0xa5; 4096])?;
            Ok(at)
        },
        also: Some(|scene, dir| {
            let proof = indelible::Reader::open(dir).and_then(|reader| reader.prove(LOG_MAIN, scene.victim.seq));
            let proven = proof.and_then(|proof| indelible::verify::verify_proof(proof.to_string().as_bytes(), &scene.verifier));
            proven.err().map(|error| format!("an event can no longer be proved: {error}"))
        }),
    },
    row(
        "status-altered",
        "the hint how far the journal is durable is something else, while nobody writes",
        Takes::Write,
        Expected::Quiet,
        |scene, dir| {
            let at = scene.forge(dir, |_| Some(At::default()))?;
            put(&dir.join("status"), &[0x5a; 64])?;
            Ok(at)
        },
    ),
];

const INVENTED_LOG: u32 = 9;
const DAY_NS: i64 = 86_400_000_000_000;

fn turned(seed: &Seed) -> Seed {
    let mut bytes = seed.0;
    let [first, ..] = &mut bytes;
    *first ^= 1;
    Seed(bytes)
}

/// The note with a size one larger; its signature is as it was.
fn other_size(note: &str) -> Option<String> {
    let size = SignedCheckpoint::parse(note.as_bytes()).ok()?.unverified().size;
    Some(note.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size + 1), 1))
}

/// Another first character behind `marker`; still base64.
fn turn_text(text: &str, marker: &str) -> String {
    let Some((before, behind)) = text.split_once(marker) else { return text.to_owned() };
    let turned = if behind.starts_with('A') { "B" } else { "A" };
    format!("{before}{marker}{turned}{}", behind.get(1..).unwrap_or_default())
}

fn control_of(forgery: &Forgery, seq: u64) -> Option<String> {
    let spot = forgery.spots().into_iter().find(|spot| (spot.log, spot.seq) == (0, seq))?;
    let record = indelible::Record::parse(forgery.record(spot)?)?;
    String::from_utf8(record.control()?.to_vec()).ok()
}

/// Changes store.json; `None` when that changes nothing.
fn edit_identity(forgery: &mut Forgery, change: impl FnOnce(&str) -> String) -> Option<()> {
    let json = std::str::from_utf8(&forgery.identity_json).ok()?;
    let changed = change(json);
    let differs = changed != json;
    forgery.identity_json = changed.into_bytes();
    differs.then_some(())
}

/// Puts a frame at `at` that claims to repeat the victim, with another event in it.
fn carry(scene: &Scene, forgery: &mut Forgery, at: usize) -> Option<()> {
    let mut parts = Parts::of(forgery.record(scene.victim)?)?;
    parts.turn_outcome()?;
    let mut sheet = forgery.sheets.get(scene.victim.sheet)?.clone();
    let group = (LOG_MAIN, scene.victim.seq / GROUP_LEAVES);
    let root = sheet.meta.logs.iter().find(|change| change.log == LOG_MAIN)?.root;
    sheet.records = vec![parts.encode()?];
    sheet.meta.flags = indelible::format::frame::FLAG_CARRY;
    sheet.meta.records = 1;
    sheet.meta.notes.clear();
    sheet.meta.seeds.retain(|seed| (seed.log, seed.group) == group);
    sheet.meta.logs = vec![LogChange { log: LOG_MAIN, count: 1, first_seq: scene.victim.seq, root }];
    forgery.sheets.insert(at, sheet);
    forgery.chain()
}
