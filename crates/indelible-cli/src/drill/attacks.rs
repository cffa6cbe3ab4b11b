//! Attacks on what the log says: values changed, events removed, put in or moved, history cut off, rolled back or signed anew.

use indelible::Record;
use indelible::format::frame::FrameMeta;
use indelible::format::note::SigningKey;
use indelible::identity::LOG_MAIN;
use indelible::verify::{Code, Level};

use super::attacker::{Forgery, Sheet, Spot, base64_of, patch};
use super::record::{Parts, leaf_record};
use super::{At, Attack, Expected, Scene, Takes};

/// Seen only by those who kept a checkpoint elsewhere.
const fn outside(code: Code) -> Expected {
    Expected::Outside { key: None, state: Some(code), checkpoint: Some(code) }
}

/// A row whose act has nothing to add.
const fn row(name: &'static str, what: &'static str, takes: Takes, expected: Expected, act: super::Act) -> Attack {
    Attack { name, what, takes, expected, act, also: None }
}

pub(super) const ATTACKS: &[Attack] = &[
    row("intact", "nothing: the untouched copy", Takes::Nothing, Expected::Quiet, |scene, dir| {
        scene.forge(dir, |_| Some(At::default()))
    }),
    row("edit-raw", "one byte of an event is changed on disk", Takes::Write, Expected::Alarm(Code::FrameCrc), |scene, dir| {
        let sheet = scene.victim.sheet;
        let Some((at, layout)) = scene.forge_files(dir, |forgery| inner(forgery, sheet))? else { return Ok(None) };
        if let Some(place) = layout.frames.get(sheet) {
            let byte = place.offset + place.payload + place.payload_bytes / 2;
            patch(&place.path, |bytes| flip(bytes, byte))?;
        }
        Ok(Some(at))
    }),
    row(
        "edit-checksummed",
        "an outcome is turned, the frame's checksums are right again",
        Takes::Write,
        Expected::Alarm(Code::RootMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit(scene.victim, Parts::turn_outcome)?;
                first_in_frame(forgery, scene.victim)
            })
        },
    ),
    row(
        "edit-chained",
        "an outcome is turned, checksums and the chain of frames are right again",
        Takes::Write,
        Expected::Alarm(Code::RootMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit(scene.victim, Parts::turn_outcome)?;
                forgery.chain()?;
                first_in_frame(forgery, scene.victim)
            })
        },
    ),
    row(
        "edit",
        "an outcome is turned; checksums, chain, roots and heads are right again",
        Takes::Write,
        Expected::Alarm(Code::CheckpointMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit(scene.victim, Parts::turn_outcome)?;
                settle(forgery)?;
                Some(signed(scene))
            })
        },
    ),
    row(
        "edit-unsigned",
        "the same, and every signature is removed",
        Takes::Write,
        outside(Code::AnchorMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit(scene.victim, Parts::turn_outcome)?;
                forgery.strip();
                settle(forgery)?;
                Some(anchor(scene))
            })
        },
    ),
    row(
        "delete-careless",
        "an event is cut out, all hashes are right again",
        Takes::Write,
        Expected::Alarm(Code::TenantSequence),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let tenant =
                    |record: &[u8]| Record::parse(record).and_then(|record| record.head().map(|head| head.tenant.to_owned()));
                let own = tenant(forgery.record(scene.victim)?)?;
                let later = |spot: &&Spot| {
                    spot.log == LOG_MAIN
                        && spot.seq > scene.victim.seq
                        && forgery.record(**spot).and_then(|bytes| tenant(bytes)).as_ref() == Some(&own)
                };
                let next = forgery.spots().iter().find(later)?.seq - 1;
                remove(forgery, scene.victim)?;
                settle(forgery)?;
                Some(At::position(LOG_MAIN, next))
            })
        },
    ),
    row(
        "delete",
        "an event is cut out; tenant numbers and all hashes are right again",
        Takes::Write,
        Expected::AlarmOr(Code::CheckpointAhead, Code::CheckpointMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                remove(forgery, scene.victim)?;
                forgery.renumber_tenants()?;
                settle(forgery)?;
                Some(signed(scene))
            })
        },
    ),
    row(
        "delete-to-hash",
        "an event is replaced by its leaf hash, so that every root and signature holds",
        Takes::Write,
        Expected::Alarm(Code::Withheld),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let hash = forgery.leaf_at(scene.victim)?;
                *forgery.record_mut(scene.victim)? = leaf_record(LOG_MAIN, &hash);
                forgery.chain()?;
                Some(At::position(LOG_MAIN, scene.victim.seq))
            })
        },
    ),
    row(
        "erase-value",
        "a value is replaced by its commitment, so that every root and signature holds",
        Takes::Write,
        Expected::Alarm(Code::Withheld),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let tag = Parts::of(forgery.record(scene.victim)?)?
                    .groups
                    .iter()
                    .map(|(tag, ..)| *tag)
                    .rfind(|tag| *tag != indelible::Tag::HEAD)?;
                let salt = forgery.seed_of(LOG_MAIN, scene.victim.seq).salt(tag, scene.victim.seq);
                forgery.edit(scene.victim, |parts| parts.withhold(tag, &salt))?;
                forgery.chain()?;
                Some(At::position(LOG_MAIN, scene.victim.seq))
            })
        },
    ),
    row(
        "insert",
        "an event is put in between; tenant numbers and all hashes are right again",
        Takes::Write,
        Expected::Alarm(Code::CheckpointMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let forged = invented(forgery, scene.victim)?;
                forgery.sheets.get_mut(scene.victim.sheet)?.records.insert(scene.victim.nth, forged);
                forgery.renumber_tenants()?;
                settle(forgery)?;
                Some(signed(scene))
            })
        },
    ),
    row(
        "swap",
        "two events change places; tenant numbers and all hashes are right again",
        Takes::Write,
        Expected::Alarm(Code::CheckpointMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let other = scene.events.iter().rfind(|spot| spot.seq < scene.victim.seq).copied()?;
                let (first, second) = (forgery.record(other)?.clone(), forgery.record(scene.victim)?.clone());
                *forgery.record_mut(other)? = second;
                *forgery.record_mut(scene.victim)? = first;
                forgery.renumber_tenants()?;
                settle(forgery)?;
                Some(At::position(LOG_MAIN, scene.first_signed_beyond(other.seq)))
            })
        },
    ),
    row(
        "append",
        "an invented event is put behind the last one",
        Takes::Write,
        Expected::Said(Code::UnsignedTail, Level::Note),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let size = forgery.size(LOG_MAIN);
                let records = vec![invented(forgery, scene.victim)?];
                append(forgery, records)?;
                forgery.renumber_tenants()?;
                settle(forgery)?;
                Some(At::position(LOG_MAIN, size.min(forgery.signed(LOG_MAIN))))
            })
        },
    ),
    row("truncate", "the newest frames are cut off", Takes::Write, Expected::Alarm(Code::CheckpointAhead), |scene, dir| {
        scene.forge(dir, |forgery| {
            forgery.cut(last_event(scene)?.sheet);
            Some(anchor(scene))
        })
    }),
    row(
        "truncate-torn",
        "the newest frames are cut off in the middle of one",
        Takes::Write,
        Expected::Alarm(Code::CheckpointAhead),
        |scene, dir| {
            let Some(last) = last_event(scene) else { return Ok(None) };
            let Some((at, layout)) = scene.forge_files(dir, |_| Some(anchor(scene)))? else { return Ok(None) };
            if let Some(place) = layout.frames.get(last.sheet) {
                patch(&place.path, |bytes| bytes.truncate(place.offset + place.payload + place.payload_bytes / 2))?;
            }
            Ok(Some(at))
        },
    ),
    row(
        "truncate-and-unsign",
        "the newest frames are cut off together with the checkpoints over them",
        Takes::Write,
        outside(Code::AnchorAhead),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let end = last_event(scene)?.sheet;
                forgery.cut(end);
                forgery.checkpoints = forgery.notes_before(end);
                Some(anchor(scene))
            })
        },
    ),
    row(
        "rollback",
        "the whole directory is put back to an earlier day, signatures included",
        Takes::Write,
        outside(Code::AnchorAhead),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                // The latest moment at which something less was signed; else the moment the store was made.
                let newest = forgery.signed(LOG_MAIN);
                let earlier = forgery.heads().iter().zip(&forgery.sheets).rposition(|(heads, sheet)| {
                    !sheet.meta.notes.is_empty() && heads.get(&LOG_MAIN).is_none_or(|(size, _)| *size < newest)
                });
                forgery.cut(earlier.unwrap_or(0) + 1);
                forgery.checkpoints = forgery.notes_before(forgery.sheets.len());
                Some(anchor(scene))
            })
        },
    ),
    row(
        "resign",
        "history is rewritten and signed anew with the store's own key",
        Takes::Key,
        outside(Code::AnchorMismatch),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit(scene.victim, Parts::turn_outcome)?;
                settle_signed(forgery, scene.key.as_ref()?)?;
                Some(anchor(scene))
            })
        },
    ),
    row(
        "resign-other-key",
        "history is rewritten and signed with a key of the attacker's, which takes the place of the store's",
        Takes::Write,
        Expected::Outside { key: Some(Code::KeyMismatch), state: Some(Code::KeyMismatch), checkpoint: Some(Code::KeyMismatch) },
        |scene, dir| {
            scene.forge(dir, |forgery| {
                forgery.edit(scene.victim, Parts::turn_outcome)?;
                let key = SigningKey::from_seed(scene.verifier.name(), &[42; 32]).ok()?;
                take_over(forgery, &key)?;
                settle_signed(forgery, &key)?;
                Some(At::default())
            })
        },
    ),
    row(
        "other-store",
        "another store, intact and signed, is put in this one's place",
        Takes::Write,
        // The trusted state is looked up by the store's id, and the other one has another.
        Expected::Outside { key: Some(Code::KeyMismatch), state: None, checkpoint: Some(Code::AnchorMismatch) },
        |scene, dir| scene.other.write(dir).map(|_| Some(At::default())),
    ),
    row(
        "producer-duplicate",
        "an event is recorded a second time, signed with the store's own key",
        Takes::Key,
        Expected::Alarm(Code::ProducerDuplicate),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let copy = forgery.record(scene.victim)?.clone();
                Record::parse(&copy)?.head()?.producer?;
                forgery.sheets.get_mut(scene.victim.sheet)?.records.insert(scene.victim.nth, copy);
                forgery.renumber_tenants()?;
                settle_signed(forgery, scene.key.as_ref()?)?;
                Some(At::position(LOG_MAIN, scene.victim.seq + 1))
            })
        },
    ),
    row(
        "producer-gap",
        "an event is left out, numbers and signatures made to fit with the store's own key",
        Takes::Key,
        Expected::Said(Code::ProducerGap, Level::Warn),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let missing = Record::parse(forgery.record(scene.victim)?)?.head()?.producer?.seq;
                remove(forgery, scene.victim)?;
                forgery.renumber_tenants()?;
                settle_signed(forgery, scene.key.as_ref()?)?;
                Some(At { log: None, at: Some(missing) })
            })
        },
    ),
    row(
        "tenant-gap",
        "a number of a tenant is left out, signed with the store's own key",
        Takes::Key,
        Expected::Alarm(Code::TenantSequence),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let number = Record::parse(forgery.record(scene.victim)?)?.head()?.tenant_seq;
                forgery.edit(scene.victim, |parts| parts.set_tenant_seq(number + 1))?;
                settle_signed(forgery, scene.key.as_ref()?)?;
                Some(At::position(LOG_MAIN, scene.victim.seq))
            })
        },
    ),
];

/// Roots, then the chain over them.
pub(super) fn settle(forgery: &mut Forgery) -> Option<()> {
    forgery.recompute()?;
    forgery.chain()
}

/// Roots, signatures over them, then the chain.
pub(super) fn settle_signed(forgery: &mut Forgery, key: &SigningKey) -> Option<()> {
    forgery.recompute()?;
    forgery.sign(key)?;
    forgery.chain()
}

/// Changes one bit pattern of one byte.
pub(super) fn flip(bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 0x20;
    }
}

/// The frame, if others follow it.
pub(super) fn inner(forgery: &Forgery, sheet: usize) -> Option<At> {
    (sheet + 1 < forgery.sheets.len()).then_some(At::frame(sheet as u64))
}

/// Where the frame of this position begins in its log.
pub(super) fn first_in_frame(forgery: &Forgery, spot: Spot) -> Option<At> {
    let change = forgery.sheets.get(spot.sheet)?.meta.logs.iter().find(|change| change.log == spot.log)?;
    Some(At::position(spot.log, change.first_seq))
}

/// The first signed size that covers the victim.
fn signed(scene: &Scene) -> At {
    At::position(LOG_MAIN, scene.first_signed_beyond(scene.victim.seq))
}

/// The size of the checkpoint kept elsewhere.
fn anchor(scene: &Scene) -> At {
    At::position(LOG_MAIN, scene.forgery.signed(LOG_MAIN))
}

fn last_event(scene: &Scene) -> Option<Spot> {
    scene.events.last().copied().filter(|spot| spot.sheet > 0)
}

pub(super) fn remove(forgery: &mut Forgery, spot: Spot) -> Option<()> {
    let records = &mut forgery.sheets.get_mut(spot.sheet)?.records;
    (spot.nth < records.len() && records.len() > 1).then(|| drop(records.remove(spot.nth)))
}

/// An event like the one at `spot`, of a producer's run that was never there.
pub(super) fn invented(forgery: &Forgery, spot: Spot) -> Option<Vec<u8>> {
    let mut parts = Parts::of(forgery.record(spot)?)?;
    let has_producer = Record::parse(forgery.record(spot)?)?.head()?.producer.is_some();
    if has_producer {
        parts.set_producer(u64::MAX, 0)?;
    }
    parts.turn_outcome()?;
    parts.idempotency = None;
    parts.encode()
}

/// A new last frame.
pub(super) fn append(forgery: &mut Forgery, records: Vec<Vec<u8>>) -> Option<()> {
    let last = forgery.sheets.last()?;
    let meta = FrameMeta { flags: 0, logs: Vec::new(), seeds: Vec::new(), notes: Vec::new(), ..last.meta.clone() };
    forgery.sheets.push(Sheet { meta, records });
    Some(())
}

/// Puts another key in the place of the store's, wherever the store names it.
fn take_over(forgery: &mut Forgery, key: &SigningKey) -> Option<()> {
    let replace = |text: &str, old: &str, new: &str| text.replace(old, new);
    let public_key = |key: &[u8; 32]| format!("\"public_key\":\"{}\"", base64_of(key));
    let identity = forgery.identity.clone();
    let json = std::str::from_utf8(&forgery.identity_json).ok()?;
    forgery.identity_json =
        replace(json, &public_key(&identity.public_key), &public_key(key.verifier().public_key())).into_bytes();
    for (seq, log) in (0..).zip(&identity.logs) {
        let old = identity.verifier_key(log.id)?;
        let new = key.verifier().with_name(old.name()).ok()?;
        forgery.edit_control(seq, |json| replace(json, &old.to_string(), &new.to_string()))?;
    }
    Some(())
}
