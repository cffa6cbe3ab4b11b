//! Whatever is changed in a sealed store is named by `verify`, and nobody falls over it.

use std::ops::ControlFlow;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::format::leaf::{Salts, leaf};
use indelible::format::merkle::root_of;
use indelible::format::sha256::sha256;
use indelible::verify::{self, Code, Level, Options, Report};
use indelible::world::World;
use indelible::{Reader, Record, Store};
use indelible_segment::{Proof, Segment, SegmentWriter};
use indelible_testkit::SimWorld;
use indelible_testkit::parquet::replace_word;
use indelible_testkit::scenario::Scenario;

use crate::readers::event;

/// A store with two segments of its main log, and a journal behind them.
fn sealed() -> SimWorld {
    let machine = Scenario::sealing(8).machine();
    let mut config = Scenario::config();
    config.sealing.rows_max = 512;
    let store = Store::open_in(config, machine.world()).unwrap();
    (0..700).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.seal().unwrap();
    (700..720).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.close().unwrap();
    machine
}

fn path(name: &str) -> PathBuf {
    Scenario::dir().join(name)
}

fn verify_of(world: &World) -> Report {
    verify::verify_in(Scenario::dir(), Options::default(), world).unwrap()
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().filter(|finding| finding.level == Level::Fail).map(|finding| finding.code).collect()
}

fn segments(machine: &SimWorld, log: u32) -> Vec<String> {
    let reader = Reader::open_in(Scenario::dir(), machine.world()).unwrap();
    reader.segments().unwrap().into_iter().filter(|info| info.log == log).map(|info| format!("segments/{}", info.file)).collect()
}

/// Puts other bytes in a segment's place, and their digest into the manifest, as somebody who knows the formats would.
fn replace(machine: &SimWorld, name: &std::path::Path, bytes: &[u8]) {
    let old = STANDARD.encode(sha256(&machine.disk.contents(name).unwrap()).0);
    let manifest = String::from_utf8(machine.disk.contents(&path("manifest")).unwrap()).unwrap();
    assert!(manifest.contains(&old));
    machine.disk.tamper(&path("manifest"), manifest.replace(&old, &STANDARD.encode(sha256(bytes).0)).as_bytes()).unwrap();
    machine.disk.tamper(name, bytes).unwrap();
}

/// Everything a program does with a store: none of it may panic, whatever it finds.
fn use_it(machine: &SimWorld) {
    if let Ok(reader) = Reader::open_in(Scenario::dir(), machine.world()) {
        let _ = reader.records(&mut |_| ControlFlow::Continue(()));
        let _ = reader.record(1, 300);
        let _ = reader.prove(1, 300);
        let query = indelible::search::Query::new(&"actor.id:alice details.n:>300".parse().unwrap(), 0).unwrap();
        let _ = reader.latest(&query, 10, None, &mut |_| ControlFlow::Continue(()));
        let _ = reader.count(&query);
    }
    let _ = Store::open_in(Scenario::config(), machine.world());
}

#[test]
fn an_untouched_store_is_found_whole() {
    let machine = sealed();
    let report = verify_of(&machine.world());
    assert!(report.ok, "{:?}", report.findings);
    assert_eq!((report.events, segments(&machine, 1).len()), (720, 2));
}

#[test]
fn a_changed_byte_of_a_segment_is_found() {
    let machine = sealed();
    let name = path(&segments(&machine, 1)[0]);
    let good = machine.disk.contents(&name).unwrap();
    for at in (0..good.len()).step_by(53) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        machine.disk.tamper(&name, &bad).unwrap();
        assert!(codes(&verify_of(&machine.world())).contains(&Code::SegmentDamaged), "byte {at} was changed unseen");
        if at % 5 == 0 {
            use_it(&machine);
        }
    }
    // Who can change the manifest, too, is found out by what the rows give; only what no row depends on may differ then.
    machine.disk.tamper(&name, &good).unwrap();
    let mut unseen = Vec::new();
    for at in (0..good.len()).step_by(53) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        replace(&machine, &name, &bad);
        if verify_of(&machine.world()).ok {
            unseen.push(at);
            let records = |bytes: Vec<u8>| {
                let mut all = Vec::new();
                Segment::open(bytes).unwrap().records(0..u64::MAX, &mut |_, record| {
                    all.push(record.to_vec());
                    ControlFlow::Continue(())
                })?;
                Ok::<_, indelible_segment::SegmentError>(all)
            };
            assert_eq!(records(bad).unwrap(), records(good.clone()).unwrap(), "byte {at}");
        }
    }
    assert!(unseen.len() * 8 < good.len() / 53, "of {} bytes these were changed unseen: {unseen:?}", good.len());
}

#[test]
fn a_segment_cut_short_or_put_in_another_ones_place_is_found() {
    let machine = sealed();
    let names: Vec<PathBuf> = segments(&machine, 1).iter().map(|name| path(name)).collect();
    let (one, two) = (machine.disk.contents(&names[0]).unwrap(), machine.disk.contents(&names[1]).unwrap());
    for cut in [0, 3, 8, one.len() / 2, one.len() - 9, one.len() - 1] {
        machine.disk.tamper(&names[0], &one[..cut]).unwrap();
        assert!(codes(&verify_of(&machine.world())).contains(&Code::SegmentDamaged), "cut at {cut}");
        use_it(&machine);
    }
    machine.disk.tamper(&names[0], &two).unwrap();
    machine.disk.tamper(&names[1], &one).unwrap();
    assert!(codes(&verify_of(&machine.world())).contains(&Code::SegmentDamaged));
    machine.disk.tamper(&names[0], b"PAR1 not a segment PAR1").unwrap();
    assert!(codes(&verify_of(&machine.world())).contains(&Code::SegmentDamaged));
    use_it(&machine);
}

/// The attacker has this very crate: the segment is well formed, its index, statistics and checksums are right, its roots are those of the
/// changed rows. The checkpoint is what it does not have the key for.
#[test]
fn a_segment_made_anew_with_another_value_is_found_by_the_checkpoint() {
    let machine = sealed();
    let name = path(&segments(&machine, 1)[0]);
    let good = machine.disk.contents(&name).unwrap();
    let segment = Segment::open(good).unwrap();
    let proof = segment.proof().unwrap();
    let mut records = Vec::new();
    segment
        .records(0..u64::MAX, &mut |_, record| {
            records.push(record.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    let at = records[77].windows(5).position(|window| window == b"alice").unwrap();
    records[77][at..at + 5].copy_from_slice(b"malus");
    let mut writer = SegmentWriter::new(Vec::new(), proof.log, proof.first_seq, indelible_segment::Options::default()).unwrap();
    let mut roots = Vec::new();
    for (group, records) in records.chunks(256).enumerate() {
        let mut salts = Salts::new(proof.seeds[group].clone());
        let seq = |nth: usize| (group * 256 + nth) as u64;
        let leaves: Vec<_> =
            records.iter().enumerate().map(|(nth, record)| leaf(&Record::parse(record).unwrap(), seq(nth), &mut salts)).collect();
        if leaves.len() == 256 {
            roots.push(root_of(&leaves));
        }
        records.iter().for_each(|record| writer.push(&Record::parse(record).unwrap()).unwrap());
    }
    let stale = proof.roots != roots;
    let (bad, _) = writer.finish(&Proof { roots, ..proof }).unwrap();
    replace(&machine, &name, &bad);
    let found = codes(&verify_of(&machine.world()));
    assert!(stale && found.contains(&Code::CheckpointMismatch), "{found:?}");
    assert!(!found.contains(&Code::SegmentDamaged), "{found:?}");
}

/// Records of a segment written again whole beside their columns: every leaf is right, whatever the columns say.
#[test]
fn columns_that_say_other_things_than_the_records_are_found() {
    let machine = sealed();
    let name = path(&segments(&machine, 1)[0]);
    let segment = Segment::open(machine.disk.contents(&name).unwrap()).unwrap();
    let proof = segment.proof().unwrap();
    let mut writer = SegmentWriter::new(Vec::new(), proof.log, proof.first_seq, indelible_segment::Options::default()).unwrap();
    writer.keep_whole(proof.first_seq..proof.first_seq + proof.count);
    segment
        .records(0..u64::MAX, &mut |_, record| {
            writer.push(&Record::parse(record).unwrap()).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    let (whole, _) = writer.finish(&proof).unwrap();
    let old = machine.disk.contents(&name).unwrap();
    // How long the file is, the manifest says, too; that is another finding.
    let found = |bytes: &[u8], before: &[u8]| {
        machine.disk.tamper(&name, before).unwrap();
        replace(&machine, &name, bytes);
        let report = verify_of(&machine.world());
        let of_code = report.findings.into_iter().filter(|finding| finding.code == Code::SegmentDamaged);
        of_code.map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(found(&whole, &old), Vec::<String>::new(), "they say the same");
    let mut before = whole;
    for (from, to) in [("widget.polish", "widget.admire"), ("alice", "bobby")] {
        let mut bad = before.clone();
        assert!(replace_word(&mut bad, from, to));
        let found = found(&bad, &before);
        assert!(found.iter().any(|message| message.contains("columns of 512 rows say other things")), "{from}: {found:?}");
        before = bad;
    }
}

#[test]
fn a_manifest_or_state_that_lies_is_found() {
    let machine = sealed();
    let manifest = machine.disk.contents(&path("manifest")).unwrap();
    let text = String::from_utf8(manifest.clone()).unwrap();
    let names = segments(&machine, 1);
    let last = names[1].strip_prefix("segments/").unwrap().to_owned();
    let entry = text.split(",{").find(|entry| entry.contains(&last)).unwrap().split('}').next().unwrap().to_owned();
    for (what, bad, code) in [
        ("a segment left out", text.replace(&format!(",{{{entry}}}"), ""), Code::Sequence),
        ("another beginning of the journal", text.replace("\"lsn\":", "\"lsn\":1"), Code::JournalCorrupt),
        ("times that hide events", text.replace("\"time\":[", "\"time\":[1"), Code::Manifest),
        ("fewer keys", text.replace("\"keyed\":0", "\"keyed\":7"), Code::Manifest),
        ("nothing sealed", String::new(), Code::Manifest),
        ("no JSON", "{".into(), Code::Manifest),
    ] {
        assert_ne!(bad, text, "{what}");
        machine.disk.tamper(&path("manifest"), bad.as_bytes()).unwrap();
        let found = codes(&verify_of(&machine.world()));
        assert!(found.contains(&code), "{what}: {found:?}");
        use_it(&machine);
    }
    machine.disk.tamper(&path("manifest"), &manifest).unwrap();
    let folder = path("segments");
    let state = machine.world().disk.list(&folder).unwrap().into_iter().find(|name| name.ends_with(".state")).unwrap();
    let good = machine.disk.contents(&folder.join(&state)).unwrap();
    let mut bad = good.clone();
    bad[40] ^= 1;
    machine.disk.tamper(&folder.join(&state), &bad).unwrap();
    assert_eq!(codes(&verify_of(&machine.world())), [Code::SealedState]);
    assert!(Store::open_in(Scenario::config(), machine.world()).is_err());
    // With a digest that fits.
    let body = bad.len() - 32;
    let digest = sha256(&bad[..body]);
    bad[body..].copy_from_slice(&digest.0);
    machine.disk.tamper(&folder.join(&state), &bad).unwrap();
    let found = codes(&verify_of(&machine.world()));
    assert!(found.contains(&Code::SealedState), "{found:?}");
    use_it(&machine);
    // The files of a store that nobody sealed are not there by chance.
    machine.world().disk.remove(&path("manifest")).unwrap();
    let found = codes(&verify_of(&machine.world()));
    assert!(found.contains(&Code::JournalCorrupt), "{found:?}");
    assert!(Store::open_in(Scenario::config(), machine.world()).is_err());
}
