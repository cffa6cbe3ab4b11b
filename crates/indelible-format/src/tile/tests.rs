//! Tiles have the names and bytes of tlog-tiles: by its text, by another crate, by a log that Tessera wrote.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::checkpoint::open;
use crate::corpus;
use crate::merkle::{LeafHashes, consistency_proof, inclusion_proof, root_of, verify_consistency, verify_inclusion};
use crate::note::VerifierKey;
use crate::sha256;

#[test]
fn paths_are_those_of_the_specification() {
    let path = |kind, index, width| TilePath::new(kind, index, width).unwrap().to_string();
    assert_eq!(path(TileKind::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(path(TileKind::Hashes(63), 0, 1), "tile/63/000.p/1");
    assert_eq!(path(TileKind::Entries, 1_000, 255), "tile/entries/x001/000.p/255");
    assert_eq!(path(TileKind::Entries, 999_999, 256), "tile/entries/x999/999");
    assert_eq!(path(TileKind::Entries, 1_000_000, 256), "tile/entries/x001/x000/000");
    assert_eq!(path(TileKind::Hashes(0), u64::MAX, 256), "tile/0/x018/x446/x744/x073/x709/x551/615");
    assert_eq!(TilePath::new(TileKind::Hashes(64), 0, 1), None);
    assert_eq!(TilePath::new(TileKind::Entries, 0, 0), None);
    assert_eq!(TilePath::new(TileKind::Entries, 0, 257), None);
}

#[test]
fn no_other_spelling_is_a_path() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/256/000",
        "tile/data/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/",
        "tile/0/X001/000",
        "tile/0/+01",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/x001.p/1",
        "tile/0/..",
        "tile/entries/../key",
        "tile/0/\u{0660}00",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/Entries/000",
    ] {
        assert_eq!(TilePath::parse(path), Err(TileError::Path), "{path}");
    }
}

#[test]
fn the_tiles_of_a_log_are_as_wide_as_the_specification_says() {
    // "A tree of size 70,000 will be represented by …"
    let width = |kind, index, size| TilePath::in_log(kind, index, size).map_or(0, |path| path.width());
    assert_eq!(width(TileKind::Hashes(0), 272, 70_000), 256);
    assert_eq!(width(TileKind::Hashes(0), 273, 70_000), 112);
    assert_eq!(width(TileKind::Hashes(0), 274, 70_000), 0);
    assert_eq!(width(TileKind::Hashes(1), 0, 70_000), 256);
    assert_eq!(width(TileKind::Hashes(1), 1, 70_000), 17);
    assert_eq!(width(TileKind::Hashes(2), 0, 70_000), 1);
    assert_eq!(width(TileKind::Hashes(3), 0, 70_000), 0);
    assert_eq!(width(TileKind::Entries, 273, 70_000), 112);
    assert_eq!((width(TileKind::Hashes(0), 0, 256), width(TileKind::Hashes(1), 0, 256)), (256, 1));
    assert_eq!(width(TileKind::Hashes(0), 0, 0), 0);
    assert_eq!(width(TileKind::Hashes(63), u64::MAX, u64::MAX), 0);
    assert_eq!(width(TileKind::Hashes(7), 0, u64::MAX), 255);
}

#[test]
fn bundles_hold_exactly_their_entries() {
    let entries: [&[u8]; 3] = [b"one", b"", &[7; 65_535]];
    let bundle = encode_entries(entries).unwrap();
    assert_eq!(bundle[..5], *b"\x00\x03one");
    assert_eq!(decode_entries(&bundle, 3).unwrap(), entries);
    assert_eq!(decode_entries(&bundle, 2), Err(TileError::Length));
    assert_eq!(decode_entries(&bundle, 4), Err(TileError::Length));
    assert_eq!(decode_entries(&bundle[..bundle.len() - 1], 3), Err(TileError::Length));
    assert_eq!(decode_entries(&[0], 1), Err(TileError::Length));
    assert_eq!(encode_entries([[0; 65_536].as_slice()]), Err(TileError::Entry));

    let hashes = [Hash([1; 32]), Hash([2; 32])];
    assert_eq!(decode_hashes(&encode_hashes(&hashes), 2).unwrap(), hashes);
    assert_eq!(decode_hashes(&encode_hashes(&hashes), 1), Err(TileError::Length));
    assert_eq!(decode_hashes(&[0; 63], 2), Err(TileError::Length));
}

/// The log in Tessera's testdata: up to 15 entries.
struct Tessera(PathBuf);

impl Tessera {
    const KEY: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

    fn tile(&self, kind: TileKind, size: u64) -> (Vec<u8>, u16) {
        let path = TilePath::in_log(kind, 0, size).unwrap();
        (std::fs::read(self.0.join(path.to_string())).unwrap(), path.width())
    }
}

#[test]
fn every_root_of_a_tessera_log_follows_from_its_tiles_and_every_two_are_consistent() {
    let Some(folder) = corpus::folder("tlog-tiles-tessera") else { return };
    let log = Tessera(folder.join("log"));
    let key = VerifierKey::parse(Tessera::KEY).unwrap();
    let checkpoints: Vec<_> =
        (0..=15_u64).map(|size| open(&std::fs::read(log.0.join(format!("checkpoint.{size}"))).unwrap(), &key).unwrap()).collect();
    assert_eq!(open(&std::fs::read(log.0.join("checkpoint")).unwrap(), &key).as_ref(), Ok(&checkpoints[15]));
    assert_eq!(root_of(&[]), checkpoints[0].root);

    let mut leaves = Vec::new();
    for (size, checkpoint) in (1..).zip(&checkpoints[1..]) {
        let (bytes, width) = log.tile(TileKind::Hashes(0), size);
        leaves = decode_hashes(&bytes, width).unwrap();
        assert_eq!(encode_hashes(&leaves), bytes);
        let (bundle, width) = log.tile(TileKind::Entries, size);
        let entries = decode_entries(&bundle, width).unwrap();
        assert_eq!(encode_entries(entries.iter().copied()).unwrap(), bundle);
        assert_eq!(entries.iter().map(|entry| sha256::leaf(entry)).collect::<Vec<_>>(), leaves);
        assert_eq!((checkpoint.size, checkpoint.root), (size, root_of(&leaves)));
    }
    for new in &checkpoints {
        for old in &checkpoints[..=usize::try_from(new.size).unwrap()] {
            let proof = consistency_proof(old.size, new.size, &mut LeafHashes(&leaves)).unwrap();
            assert_eq!(verify_consistency(old.size, &old.root, new.size, &new.root, &proof), Ok(()));
        }
        for (index, leaf) in (0..new.size).zip(&leaves) {
            let proof = inclusion_proof(index, new.size, &mut LeafHashes(&leaves)).unwrap();
            assert_eq!(verify_inclusion(leaf, index, new.size, &proof, &new.root), Ok(()));
        }
    }
}

fn kinds() -> impl Strategy<Value = TileKind> {
    prop_oneof![(0_u8..=63).prop_map(TileKind::Hashes), Just(TileKind::Entries)]
}

proptest! {
    #[test]
    fn a_path_names_one_tile(kind in kinds(), index in any::<u64>(), shift in 0_u32..64, width in 1_u16..=256) {
        let path = TilePath::new(kind, index >> shift, width).unwrap();
        prop_assert_eq!(TilePath::parse(&path.to_string()), Ok(path));
        // The other crate writes the tile height, 8, into its paths, and knows entries as data.
        let (level, is_data) = match kind {
            TileKind::Hashes(level) => (level, false),
            TileKind::Entries => (0, true),
        };
        let theirs = tlog_tiles::Tile::new(8, level, index >> shift, u32::from(width), is_data).path();
        let ours = path.to_string().replacen("tile/", "tile/8/", 1).replacen("/entries/", "/data/", 1);
        prop_assert_eq!(theirs, ours);
    }

    #[test]
    fn any_path_is_parsed_or_refused(text in "(tile/)?(0|63|64|entries|\\PC{0,3})/((x?[0-9]{1,4}|\\PC)/){0,7}[0-9]{0,4}(\\.p/[0-9]{0,3})?") {
        if let Ok(path) = TilePath::parse(&text) {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn any_bundle_is_decoded_or_refused(bytes in prop::collection::vec(0_u8..4, 0..64), width in any::<u16>()) {
        if let Ok(entries) = decode_entries(&bytes, width) {
            prop_assert_eq!(entries.len(), usize::from(width));
            prop_assert_eq!(encode_entries(entries).unwrap(), bytes.clone());
        }
        prop_assert_eq!(decode_hashes(&bytes, width).is_ok(), bytes.len() == 32 * usize::from(width));
    }

    #[test]
    fn the_new_tiles_of_a_growing_log_are_the_ones_another_crate_would_write(old in 0_u64..70_000, more in 1_u64..70_000) {
        for tile in tlog_tiles::Tile::new_tiles(8, old, old + more) {
            let path = TilePath::in_log(TileKind::Hashes(tile.level()), tile.level_index(), old + more).unwrap();
            prop_assert_eq!(u32::from(path.width()), tile.width());
        }
    }
}
