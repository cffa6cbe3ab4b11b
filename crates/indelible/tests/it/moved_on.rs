//! A writer may seal, and take a segment into the next one, at any moment of a reader's question: the answer is that of a store at rest.

use indelible::format::tile::{TileKind, TilePath};
use indelible::verify::{self, Options};
use indelible::world::World;
use indelible::{Config, Reader, Store};
use indelible_testkit::SimWorld;
use indelible_testkit::scenario::Scenario;
use indelible_testkit::watched::Watched;

use crate::readers::event;

fn config() -> Config {
    let mut config = Scenario::config();
    config.sealing.background = false;
    config.sealing.rows_max = 512;
    config
}

/// A store of two segments and a journal, with a checkpoint of when it was smaller. It has no tree file: trees are made of what is sealed.
fn store() -> (SimWorld, String) {
    let machine = Scenario::sealing(8).machine();
    let store = Store::open_in(config(), machine.world()).unwrap();
    (0..600).for_each(|n| drop(store.append(&event(n)).unwrap()));
    let old = store.checkpoint(1).unwrap().note;
    (600..700).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.seal().unwrap();
    (700..720).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.checkpoint(1).unwrap();
    store.close().unwrap();
    machine.world().disk.remove(&Scenario::dir().join("tree/1")).unwrap();
    (machine, old)
}

/// Asks in a store that is sealed anew before the first segment is opened, before the second, and so on until none is opened any more.
fn at_every_open(ask: impl Fn(World, &str)) {
    let mut asked = 0;
    loop {
        let (machine, old) = store();
        let (watched, world) = Watched::before(machine.world());
        let writer = machine.world();
        watched.before_open(asked, move || {
            let store = Store::open_in(config(), writer.clone()).unwrap();
            store.append(&event(720)).unwrap();
            assert!(store.seal().unwrap().merged > 0);
            store.close().unwrap();
            drop(writer.disk.remove(&Scenario::dir().join("tree/1")));
        });
        ask(world, &old);
        if watched.waits() {
            break;
        }
        asked += 1;
    }
    assert!(asked > 0, "no segment was opened");
}

#[test]
fn an_intact_store_verifies_while_it_is_being_sealed() {
    at_every_open(|world, old| {
        let options = Options { against: vec![old.to_owned()], ..Options::default() };
        let report = verify::verify_in(Scenario::dir(), options, &world).unwrap();
        assert!(report.ok, "{:?}", report.findings);
        assert_eq!(report.logs[1].anchored, 600);
    });
}

#[test]
fn a_proof_is_made_while_its_segment_is_replaced() {
    for seq in [5, 555, 715] {
        at_every_open(|world, _| {
            let reader = Reader::open_in(Scenario::dir(), world).unwrap();
            assert_eq!(reader.prove(1, seq).unwrap().index, seq);
        });
    }
}

#[test]
fn a_tile_is_whole_while_its_segment_is_replaced() {
    let (machine, _) = store();
    let tile = |world: World, kind: TileKind, index: u64, size: u64| {
        let path = TilePath::in_log(kind, index, size).unwrap();
        Reader::open_in(Scenario::dir(), world).unwrap().tile(1, size, &path).unwrap()
    };
    for (kind, index) in [(TileKind::Hashes(0), 0), (TileKind::Hashes(0), 2), (TileKind::Hashes(1), 0), (TileKind::Entries, 2)] {
        let at_rest = tile(machine.world(), kind, index, 720);
        at_every_open(|world, _| assert!(tile(world, kind, index, 720) == at_rest, "{kind:?} {index}"));
    }
}
