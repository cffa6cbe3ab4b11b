//! Attacks on frames and files of the journal: reordered, repeated, removed, renamed, overwritten; and what is no attack there.

use std::fs;
use std::path::Path;

use indelible::format::frame::FileHeader;
use indelible::identity::LOG_MAIN;
use indelible::verify::Code;

use super::attacker::{Forgery, Layout, Place, Spot, patch};
use super::attacks::{first_in_frame, flip, inner};
use super::{At, Attack, Expected, Scene, Takes};
use crate::failure::{Failure, Result};

const fn row(name: &'static str, what: &'static str, takes: Takes, expected: Expected, act: super::Act) -> Attack {
    Attack { name, what, takes, expected, act, also: None }
}

pub(super) const ATTACKS: &[Attack] = &[
    row("frames-reordered", "two frames change places", Takes::Write, Expected::Alarm(Code::JournalCorrupt), |scene, dir| {
        scene.forge(dir, |forgery| {
            let sheet = scene.victim.sheet;
            let at = inner(forgery, sheet)?;
            forgery.sheets.swap(sheet, sheet + 1);
            Some(at)
        })
    }),
    row(
        "frames-reordered-chained",
        "two frames change places, the chain is right again",
        Takes::Write,
        Expected::Alarm(Code::Sequence),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let (first, second) = neighbours(scene)?;
                let at = first_in_frame(forgery, first)?;
                forgery.sheets.swap(first.sheet, second.sheet);
                forgery.chain()?;
                Some(at)
            })
        },
    ),
    row("frame-duplicated", "a frame stands twice", Takes::Write, Expected::Alarm(Code::JournalCorrupt), |scene, dir| {
        scene.forge(dir, |forgery| {
            let sheet = scene.victim.sheet;
            inner(forgery, sheet)?;
            let copy = forgery.sheets.get(sheet)?.clone();
            forgery.sheets.insert(sheet, copy);
            Some(At::frame(sheet as u64 + 1))
        })
    }),
    row("frame-removed", "a frame is cut out", Takes::Write, Expected::Alarm(Code::JournalCorrupt), |scene, dir| {
        scene.forge(dir, |forgery| {
            let at = inner(forgery, scene.victim.sheet)?;
            forgery.sheets.remove(scene.victim.sheet);
            Some(at)
        })
    }),
    row(
        "frame-removed-chained",
        "a frame is cut out, the chain is right again",
        Takes::Write,
        Expected::Alarm(Code::Sequence),
        |scene, dir| {
            scene.forge(dir, |forgery| {
                let (first, _) = neighbours(scene)?;
                let at = first_in_frame(forgery, first)?;
                forgery.sheets.remove(first.sheet);
                forgery.chain()?;
                Some(at)
            })
        },
    ),
    row(
        "stale-frame",
        "a frame is overwritten with an older one, as from a recycled file",
        Takes::Write,
        Expected::Alarm(Code::JournalCorrupt),
        |scene, dir| {
            let Some((_, layout)) = scene.forge_files(dir, |_| Some(At::default()))? else { return Ok(None) };
            let last = layout.frames.len().saturating_sub(1);
            let fits = |(nth, place): &(usize, &Place)| {
                let older =
                    layout.frames.iter().take(*nth).find(|older| older.path == place.path && older.bytes <= place.bytes)?;
                (*nth < last).then(|| (*nth, (*place).clone(), older.clone()))
            };
            let Some((nth, place, older)) = layout.frames.iter().enumerate().skip(1).find_map(|pair| fits(&pair)) else {
                return discard(dir);
            };
            patch(&place.path, |bytes| {
                let stale = bytes.get(older.offset..older.offset + older.bytes).unwrap_or_default().to_vec();
                if let Some(target) = bytes.get_mut(place.offset..place.offset + place.bytes) {
                    target.fill(0);
                    target.iter_mut().zip(stale).for_each(|(to, from)| *to = from);
                }
            })?;
            Ok(Some(At::frame(nth as u64)))
        },
    ),
    row(
        "padding-altered",
        "something is hidden behind a frame's payload",
        Takes::Write,
        Expected::Alarm(Code::FrameCrc),
        |scene, dir| {
            let Some((_, layout)) = scene.forge_files(dir, |_| Some(At::default()))? else { return Ok(None) };
            let last = layout.frames.len().saturating_sub(1);
            let padded =
                layout.frames.iter().enumerate().take(last).find(|(_, place)| place.payload + place.payload_bytes < place.bytes);
            let Some((nth, place)) = padded else { return discard(dir) };
            patch(&place.path, |bytes| flip(bytes, place.offset + place.payload + place.payload_bytes))?;
            Ok(Some(At::frame(nth as u64)))
        },
    ),
    row(
        "file-removed",
        "a journal file in the middle is removed",
        Takes::Write,
        Expected::Alarm(Code::JournalCorrupt),
        |scene, dir| spread(scene, dir, 3, |layout| remove(layout, 1), |files| files.get(1).copied()),
    ),
    row(
        "file-removed-first",
        "the first journal file is removed",
        Takes::Write,
        Expected::Alarm(Code::JournalCorrupt),
        |scene, dir| spread(scene, dir, 3, |layout| remove(layout, 0), |_| Some(0)),
    ),
    row(
        "file-removed-last",
        "the last journal file is removed",
        Takes::Write,
        Expected::Alarm(Code::CheckpointAhead),
        |scene, dir| {
            let change = |forgery: &mut Forgery| {
                let last = scene.events.last().filter(|spot| spot.sheet > 0)?.sheet;
                forgery.files = vec![0, last];
                Some(At::position(LOG_MAIN, forgery.signed(LOG_MAIN)))
            };
            let Some((at, layout)) = scene.forge_files(dir, change)? else { return Ok(None) };
            remove(&layout, 1)?;
            Ok(Some(at))
        },
    ),
    row(
        "file-renamed",
        "a journal file has another number",
        Takes::Write,
        Expected::Alarm(Code::JournalCorrupt),
        |scene, dir| {
            let renamed =
                |layout: &Layout| layout.files.get(1).map_or(Ok(()), |path| rename(path, &path.with_file_name("00000009.wal")));
            spread(scene, dir, 3, renamed, |files| files.get(1).copied())
        },
    ),
    row("files-swapped", "two journal files change places", Takes::Write, Expected::Alarm(Code::FileHeader), |scene, dir| {
        let swapped = |layout: &Layout| {
            let (Some(second), Some(third)) = (layout.files.get(1), layout.files.get(2)) else { return Ok(()) };
            let aside = second.with_extension("aside");
            rename(second, &aside)?;
            rename(third, second)?;
            rename(&aside, third)
        };
        spread(scene, dir, 3, swapped, |files| files.get(1).copied())
    }),
    row(
        "header-altered",
        "the header of a journal file is damaged",
        Takes::Write,
        Expected::Alarm(Code::FileHeader),
        |scene, dir| {
            let damaged = |layout: &Layout| layout.files.get(1).map_or(Ok(()), |path| patch(path, |bytes| flip(bytes, 26)));
            spread(scene, dir, 2, damaged, |files| files.get(1).copied())
        },
    ),
    row(
        "header-altered-first",
        "the header of the first journal file is damaged",
        Takes::Write,
        Expected::Alarm(Code::FileHeader),
        |scene, dir| {
            let damaged = |layout: &Layout| layout.files.first().map_or(Ok(()), |path| patch(path, |bytes| flip(bytes, 26)));
            spread(scene, dir, 2, damaged, |_| Some(0))
        },
    ),
    row(
        "header-states-altered",
        "the header of a journal file states other sizes, checksum included",
        Takes::Write,
        Expected::Alarm(Code::FileHeader),
        |scene, dir| {
            let restated = |layout: &Layout| layout.files.get(1).map_or(Ok(()), |path| patch(path, restate));
            spread(scene, dir, 2, restated, |files| files.get(1).copied())
        },
    ),
    row("spread", "no attack: the same frames in three files", Takes::Nothing, Expected::Quiet, |scene, dir| {
        scene.forge(dir, |forgery| {
            forgery.spread(3)?;
            Some(At::default())
        })
    }),
    row(
        "torn-tail",
        "no attack: a write that was never acknowledged broke off",
        Takes::Nothing,
        Expected::Quiet,
        |scene, dir| {
            let Some((at, layout)) = scene.forge_files(dir, |_| Some(At::default()))? else { return Ok(None) };
            if let Some(place) = layout.frames.last() {
                let end = place.offset + place.bytes;
                patch(&place.path, |bytes| {
                    // The front of a frame that would have come next, and then nothing.
                    let half = bytes.get(place.offset..place.offset + place.payload / 2).unwrap_or_default().to_vec();
                    bytes.truncate(end);
                    bytes.extend_from_slice(&half);
                    bytes.extend_from_slice(&[0xff; 700]);
                })?;
            }
            Ok(Some(at))
        },
    ),
    row("trailing-zeros", "no attack: space reserved ahead", Takes::Nothing, Expected::Quiet, |scene, dir| {
        let Some((at, layout)) = scene.forge_files(dir, |_| Some(At::default()))? else { return Ok(None) };
        if let Some(path) = layout.files.last() {
            patch(path, |bytes| bytes.resize(bytes.len() + (1 << 20), 0))?;
        }
        Ok(Some(at))
    }),
];

/// The last events of two frames that follow each other and both hold events of the main log.
fn neighbours(scene: &Scene) -> Option<(Spot, Spot)> {
    let mut pairs = scene.events.iter().zip(scene.events.iter().skip(1));
    let (first, second) = pairs.rfind(|(first, second)| first.sheet + 1 == second.sheet)?;
    Some((*first, *second))
}

/// Spreads the copy over `count` files and harms them; the place is the first frame of a file.
fn spread(
    scene: &Scene,
    dir: &Path,
    count: usize,
    harm: impl FnOnce(&Layout) -> Result<()>,
    place: impl FnOnce(&[usize]) -> Option<usize>,
) -> Result<Option<At>> {
    let change = |forgery: &mut Forgery| {
        forgery.spread(count)?;
        // A file whose header was lost is told from a torn one by its second frame.
        let second = forgery.files.get(1).copied()?;
        let enough = forgery.files.get(2).copied().unwrap_or(forgery.sheets.len()) > second + 1;
        let first = place(&forgery.files).filter(|_| enough)?;
        Some(At::frame(first as u64))
    };
    let Some((at, layout)) = scene.forge_files(dir, change)? else { return Ok(None) };
    harm(&layout)?;
    Ok(Some(at))
}

/// What was written turned out to have no place for the attack.
fn discard(dir: &Path) -> Result<Option<At>> {
    fs::remove_dir_all(dir).map_err(|error| Failure::file("remove", dir, &error))?;
    Ok(None)
}

fn remove(layout: &Layout, nth: usize) -> Result<()> {
    layout.files.get(nth).map_or(Ok(()), |path| fs::remove_file(path).map_err(|error| Failure::file("remove", path, &error)))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Failure::file("rename", from, &error))
}

/// One entry more in every log.
fn restate(bytes: &mut Vec<u8>) {
    let Some((mut header, length)) = FileHeader::parse(bytes) else { return };
    header.logs.iter_mut().for_each(|state| state.size += 1);
    let mut altered = Vec::new();
    if header.encode(&mut altered) == Some(length) {
        bytes.splice(..length, altered);
    }
}
