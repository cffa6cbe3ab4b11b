//! Roots and proofs are RFC 6962's: by its recursion written down plainly, by three independent crates, by its public vectors.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::tree::fold_right;
use super::*;
use crate::{Hash, sha256};

type OracleTree = ct_merkle::mem_backed_tree::MemoryBackedTree<Sha256, Vec<u8>>;

const EDGE_SIZES: [u64; 14] = [0, 1, 2, 3, 7, 8, 255, 256, 257, 511, 513, 65_535, 65_536, 65_537];

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|index| sha256::leaf(&entry(index))).collect()
}

fn group_roots(leaves: &[Hash]) -> Vec<Hash> {
    leaves.chunks_exact(GROUP_LEAVES).map(root_of).collect()
}

/// A log as Indelible keeps it; notes which groups were read.
fn tree_hashes<'a>(
    leaves: &'a [Hash],
    groups: &'a [Hash],
    read: &'a mut Vec<u64>,
) -> TreeHashes<'a, impl FnMut(u64) -> Result<Vec<Hash>, std::convert::Infallible> + 'a> {
    TreeHashes::new(groups, move |group| {
        read.push(group);
        let begin = usize::try_from(group).unwrap() * GROUP_LEAVES;
        Ok(leaves.iter().skip(begin).take(GROUP_LEAVES).copied().collect())
    })
}

/// MTH of RFC 6962 §2.1, word for word.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash(Sha256::digest(b"").into()),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            sha256::node(&mth(left), &mth(right))
        }
    }
}

/// PATH of RFC 6962 §2.1.1, word for word.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if index < k { (path(index, left), mth(right)) } else { (path(index - k, right), mth(left)) };
    proof.push(sibling);
    proof
}

/// SUBPROOF of RFC 6962 §2.1.2, word for word.
fn subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) =
        if old <= k { (subproof(old, left, whole), mth(right)) } else { (subproof(old - k, right, false), mth(left)) };
    proof.push(sibling);
    proof
}

#[test]
fn the_stand_in_for_nothing_is_the_hash_of_nothing() {
    assert_eq!(empty_root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(Frontier::new().root(), empty_root());
    assert_eq!(root_of(&[]), empty_root());
}

#[test]
fn every_small_tree_and_every_proof_of_it_is_the_rfcs() {
    let all = leaves(70);
    for size in 0..=all.len() {
        let tree = &all[..size];
        let root = mth(tree);
        assert_eq!(root_of(tree), root, "size {size}");
        assert_eq!(root_at(size as u64, &mut LeafHashes(&all)), Ok(root), "size {size}");
        for (index, leaf) in tree.iter().enumerate() {
            let proof = inclusion_proof(index as u64, size as u64, &mut LeafHashes(&all)).unwrap();
            assert_eq!(proof, path(index, tree), "leaf {index} of {size}");
            assert_eq!(verify_inclusion(leaf, index as u64, size as u64, &proof, &root), Ok(()));
        }
        for old in 1..=size {
            let proof = consistency_proof(old as u64, size as u64, &mut LeafHashes(&all)).unwrap();
            assert_eq!(proof, subproof(old, tree, true), "{old} in {size}");
            assert_eq!(verify_consistency(old as u64, &mth(&all[..old]), size as u64, &root, &proof), Ok(()));
        }
    }
}

#[test]
fn a_frontier_gives_every_root_and_every_completed_group() {
    let all = leaves(65_537);
    let mut one_by_one = Frontier::new();
    let mut groups = Vec::new();
    for (count, leaf) in (1_u64..).zip(&all) {
        groups.extend(one_by_one.push_leaf(*leaf));
        if EDGE_SIZES.contains(&count) {
            assert_eq!(one_by_one.root(), mth(&all[..usize::try_from(count).unwrap()]), "size {count}");
            assert_eq!(groups.len() as u64, count / 256, "size {count}");
            let restored = Frontier::from_peaks(count, one_by_one.peaks().to_vec()).unwrap();
            assert_eq!(restored, one_by_one);
        }
    }
    assert_eq!(groups, group_roots(&all));

    // A log restarts from group roots and the leaves of its last group.
    let mut restarted = Frontier::new();
    groups.iter().for_each(|root| restarted.push_subtree(GROUP_LEVEL, *root).unwrap());
    restarted.extend(&all[groups.len() * GROUP_LEAVES..], |_| panic!("no group is complete in the tail"));
    assert_eq!(restarted, one_by_one);
}

#[test]
fn a_frontier_takes_only_subtrees_that_fit() {
    let mut frontier = Frontier::new();
    frontier.push_leaf(Hash::ZERO);
    let before = frontier.clone();
    assert_eq!(frontier.push_subtree(1, Hash::ZERO), Err(FrontierError::Misaligned { size: 1, level: 1 }));
    assert_eq!(frontier.push_subtree(64, Hash::ZERO), Err(FrontierError::Full));
    assert_eq!(frontier, before);
    assert_eq!(Frontier::new().push_subtree(63, Hash::ZERO), Err(FrontierError::Full));

    let mut largest = Frontier::from_peaks(SIZE_MAX, vec![Hash::ZERO; 63]).unwrap();
    assert_eq!(largest.push_subtree(0, Hash::ZERO), Err(FrontierError::Full));
    assert_eq!(Frontier::from_peaks(SIZE_MAX + 1, vec![Hash::ZERO]), Err(FrontierError::Full));
    assert_eq!(Frontier::from_peaks(3, vec![Hash::ZERO]), Err(FrontierError::Peaks { size: 3, found: 1 }));
}

#[test]
fn around_full_groups_proofs_come_from_group_roots_and_two_groups_and_another_crate_makes_the_same() {
    let all = leaves(65_537);
    let groups = group_roots(&all);
    let mut oracle = OracleTree::new();
    let mut roots = vec![(0, empty_root())];
    for size in 1..=65_537 {
        oracle.push(entry(size - 1));
        if !EDGE_SIZES.contains(&size) {
            continue;
        }
        let tree = &all[..usize::try_from(size).unwrap()];
        let root = root_of(tree);
        roots.push((size, root));
        assert_eq!(oracle.root().as_bytes().to_vec(), root.0, "size {size}");
        let mut read = Vec::new();
        assert_eq!(root_at(size, &mut tree_hashes(&all, &groups, &mut read)), Ok(root), "size {size}");

        for index in EDGE_SIZES.into_iter().filter(|index| *index < size) {
            let mut read = Vec::new();
            let proof = inclusion_proof(index, size, &mut tree_hashes(&all, &groups, &mut read)).unwrap();
            let at = usize::try_from(index).unwrap();
            assert_eq!(oracle.prove_inclusion(at).as_bytes(), bytes_of(&proof), "leaf {index} of {size}");
            assert_eq!(verify_inclusion(&all[at], index, size, &proof, &root), Ok(()));
            assert!(read.len() <= 2, "read groups {read:?}");
        }
        for (old, old_root) in &roots {
            let mut read = Vec::new();
            let proof = consistency_proof(*old, size, &mut tree_hashes(&all, &groups, &mut read)).unwrap();
            // ct-merkle has other proofs for "from nothing" and "nothing was added"; RFC 6962 has none.
            if *old == 0 || *old == size {
                assert_eq!(proof, []);
            } else {
                let added = usize::try_from(size - old).unwrap();
                assert_eq!(oracle.prove_consistency(added).as_bytes(), bytes_of(&proof), "{old} in {size}");
            }
            assert_eq!(verify_consistency(*old, old_root, size, &root, &proof), Ok(()));
            assert!(read.len() <= 2, "read groups {read:?}");
        }
    }
    assert_eq!(roots.len(), EDGE_SIZES.len());
}

#[test]
fn a_source_says_what_it_lacks() {
    let all = leaves(600);
    let groups = group_roots(&all);
    let missing = |level, index| TreeHashError::Missing(MissingHash { level, index });
    let mut read = Vec::new();
    let mut hashes = tree_hashes(&all, &groups, &mut read);
    assert_eq!(hashes.subtree(8, 2), Err(missing(8, 2)), "the third group is not complete");
    assert_eq!(hashes.subtree(9, 0), Ok(mth(&all[..512])));
    assert_eq!(hashes.subtree(200, 0), Err(missing(200, 0)));
    assert_eq!(hashes.subtree(8, u64::MAX), Err(missing(8, u64::MAX)));
    assert_eq!(hashes.subtree(0, 600), Err(missing(0, 600)));
    assert_eq!(hashes.subtree(6, 8), Ok(mth(&all[512..576])));

    let mut unreadable = TreeHashes::new(&groups, |_| Err("gone"));
    assert_eq!(unreadable.subtree(0, 300), Err(TreeHashError::Read { group: 1, source: "gone" }));
    assert_eq!(inclusion_proof(5, 5, &mut LeafHashes(&all)), Err(ProveError::OutOfRange { asked: 5, size: 5 }),);
    assert_eq!(consistency_proof(6, 5, &mut LeafHashes(&all)), Err(ProveError::OutOfRange { asked: 6, size: 5 }),);
    assert_eq!(inclusion_proof(5, 601, &mut LeafHashes(&all)), Err(ProveError::Source(MissingHash { level: 0, index: 600 })),);
}

#[test]
fn the_empty_tree_is_a_prefix_only_of_what_it_is() {
    let root = root_of(&leaves(5));
    assert_eq!(verify_consistency(0, &empty_root(), 5, &root, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty_root(), 0, &empty_root(), &[]), Ok(()));
    assert!(matches!(verify_consistency(0, &root, 5, &root, &[]), Err(ProofError::OldRoot { .. })));
    assert!(matches!(verify_consistency(0, &empty_root(), 0, &root, &[]), Err(ProofError::Root { .. })));
    assert_eq!(verify_consistency(0, &empty_root(), 5, &root, &[root]), Err(ProofError::Length { expected: 0, found: 1 }),);
}

#[test]
fn the_largest_sizes_do_not_overflow() {
    for size in [SIZE_MAX, u64::MAX] {
        for index in [0, 1, size / 2, size - 1] {
            let found = verify_inclusion(&Hash::ZERO, index, size, &[], &Hash::ZERO);
            assert!(matches!(found, Err(ProofError::Length { expected: 1..=64, .. })), "{found:?}");
            let found = verify_consistency(index.max(1), &Hash::ZERO, size, &Hash::ZERO, &[]);
            assert!(matches!(found, Err(ProofError::Length { expected: 1..=65, .. })), "{found:?}");
        }
    }
    let zeros = |_: u8, _: u64| Hash::ZERO;
    struct Constant<F>(F);
    impl<F: FnMut(u8, u64) -> Hash> HashSource for Constant<F> {
        type Error = std::convert::Infallible;
        fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            Ok((self.0)(level, index))
        }
    }
    assert_eq!(inclusion_proof(u64::MAX - 1, u64::MAX, &mut Constant(zeros)).unwrap().len(), 63);
    assert_eq!(inclusion_proof(0, u64::MAX, &mut Constant(zeros)).unwrap().len(), 64);
    assert!(root_at(u64::MAX, &mut Constant(zeros)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn batches_of_any_cut_make_the_same_tree(cuts in prop::collection::vec(0_usize..700, 0..8)) {
        let all = leaves(cuts.iter().sum::<usize>() as u64);
        let (mut frontier, mut groups, mut at) = (Frontier::new(), Vec::new(), 0);
        for cut in cuts {
            frontier.extend(&all[at..at + cut], |root| groups.push(root));
            at += cut;
            prop_assert_eq!(frontier.size(), at as u64);
        }
        prop_assert_eq!(frontier.root(), mth(&all));
        prop_assert_eq!(fold_right(frontier.peaks()).unwrap_or_else(empty_root), mth(&all));
        prop_assert_eq!(groups, group_roots(&all));
    }

    #[test]
    fn other_crates_make_and_accept_the_same_proofs(size in 1_u64..1100, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let mut oracle = OracleTree::new();
        (0..size).for_each(|index| oracle.push(entry(index)));
        let all = leaves(size);
        let root = root_of(&all);
        prop_assert_eq!(oracle.root().as_bytes().to_vec(), root.as_bytes().to_vec());

        let at = a.index(all.len());
        let index = at as u64;
        let proof = inclusion_proof(index, size, &mut LeafHashes(&all)).unwrap();
        let bytes = bytes_of(&proof);
        prop_assert_eq!(oracle.prove_inclusion(at).as_bytes().to_vec(), bytes);
        let others: Vec<_> = proof.iter().map(|hash| hash.0.into()).collect();
        let (leaf, top) = (all[at].0.into(), root.0.into());
        prop_assert!(sigstore_merkle::verify_inclusion_proof(&leaf, index, size, &others, &top).is_ok());
        let tiles: Vec<_> = proof.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect();
        let (leaf, top) = (tlog_tiles::Hash(all[at].0), tlog_tiles::Hash(root.0));
        prop_assert!(tlog_tiles::check_record(&tiles, size, top, index, leaf).is_ok());

        let before = b.index(all.len()) + 1;
        let (old, old_root) = (before as u64, root_of(&all[..before]));
        let proof = consistency_proof(old, size, &mut LeafHashes(&all)).unwrap();
        let bytes = bytes_of(&proof);
        // ct-merkle has another proof for "nothing was added".
        if old < size {
            prop_assert_eq!(oracle.prove_consistency(all.len() - before).as_bytes().to_vec(), bytes);
        }
        let others: Vec<_> = proof.iter().map(|hash| hash.0.into()).collect();
        let (low, high) = (old_root.0.into(), root.0.into());
        prop_assert!(sigstore_merkle::verify_consistency_proof(old, size, &others, &low, &high).is_ok());
        let tiles: Vec<_> = proof.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect();
        let (low, high) = (tlog_tiles::Hash(old_root.0), tlog_tiles::Hash(root.0));
        prop_assert!(tlog_tiles::check_tree(&tiles, size, high, old, low).is_ok());
    }

    #[test]
    fn no_altered_proof_is_accepted(
        size in 1_u64..600,
        a in any::<prop::sample::Index>(),
        b in any::<prop::sample::Index>(),
        which in any::<prop::sample::Index>(),
        bit in 0_usize..256,
    ) {
        let all = leaves(size);
        let root = root_of(&all);
        let (at, before) = (a.index(all.len()), b.index(all.len()) + 1);
        let (index, old) = (at as u64, before as u64);
        let old_root = root_of(&all[..before]);
        let inclusion = inclusion_proof(index, size, &mut LeafHashes(&all)).unwrap();
        let consistency = consistency_proof(old, size, &mut LeafHashes(&all)).unwrap();

        for altered in alterations(&inclusion, which, bit) {
            prop_assert!(verify_inclusion(&all[at], index, size, &altered, &root).is_err());
        }
        for altered in alterations(&consistency, which, bit) {
            prop_assert!(verify_consistency(old, &old_root, size, &root, &altered).is_err());
        }
        let other = flip(&root, bit);
        prop_assert!(verify_inclusion(&all[at], index, size, &inclusion, &other).is_err());
        prop_assert!(verify_inclusion(&flip(&all[at], bit), index, size, &inclusion, &root).is_err());
        prop_assert!(verify_consistency(old, &flip(&old_root, bit), size, &root, &consistency).is_err());
        prop_assert!(verify_consistency(old, &old_root, size, &other, &consistency).is_err());
        let elsewhere = which.index(all.len());
        if elsewhere != at {
            prop_assert!(verify_inclusion(&all[at], elsewhere as u64, size, &inclusion, &root).is_err());
        }
    }

    #[test]
    fn any_numbers_are_judged_without_a_panic(
        index in any::<u64>(),
        size in any::<u64>(),
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
    ) {
        let root = Hash([7; 32]);
        prop_assert!(verify_inclusion(&Hash::ZERO, index, size, &proof, &root).is_err());
        prop_assert!(verify_consistency(index, &Hash::ZERO, size, &root, &proof).is_err());
    }
}

fn bytes_of(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = hash.0;
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash(bytes)
}

/// The proof with one bit changed, one hash less, one more, two swapped.
fn alterations(proof: &[Hash], which: prop::sample::Index, bit: usize) -> Vec<Vec<Hash>> {
    let mut longer = proof.to_vec();
    longer.push(Hash::ZERO);
    let mut altered = vec![longer];
    if !proof.is_empty() {
        let at = which.index(proof.len());
        let mut flipped = proof.to_vec();
        flipped[at] = flip(&proof[at], bit);
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        let mut turned = proof.to_vec();
        turned.rotate_left(1);
        altered.extend([flipped, shorter]);
        altered.extend((turned != proof).then_some(turned));
    }
    altered
}

/// The public vectors of transparency-dev/merkle.
mod vectors {
    use std::path::Path;

    use base64::Engine as _;
    use serde_json::Value;

    use super::super::*;
    use crate::Hash;

    fn hash(value: &Value) -> Option<Hash> {
        Hash::from_slice(&base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?)
    }

    fn proof(value: &Value) -> Option<Vec<Hash>> {
        value.as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
    }

    fn inclusion_holds(case: &Value) -> Option<bool> {
        let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
        let (leaf, proof, root) = (hash(&case["leafHash"])?, proof(&case["proof"])?, hash(&case["root"])?);
        Some(verify_inclusion(&leaf, index, size, &proof, &root).is_ok())
    }

    fn consistency_holds(case: &Value) -> Option<bool> {
        let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
        let (old_root, new_root, proof) = (hash(&case["root1"])?, hash(&case["root2"])?, proof(&case["proof"])?);
        Some(verify_consistency(old, &old_root, new, &new_root, &proof).is_ok())
    }

    /// Checks every file below `folder`; how many held and how many did not.
    fn check_all(folder: &Path, holds: fn(&Value) -> Option<bool>) -> (usize, usize) {
        let (mut held, mut refused) = (0, 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let (more_held, more_refused) = check_all(&path, holds);
                held += more_held;
                refused += more_refused;
                continue;
            }
            let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            // What is no hash, or no size, cannot be put to the verifier at all: that too is a refusal.
            let found = holds(&case).unwrap_or(false);
            assert_eq!(found, !case["wantErr"].as_bool().unwrap(), "{}", path.display());
            held += usize::from(found);
            refused += usize::from(!found);
        }
        (held, refused)
    }

    #[test]
    fn the_verifier_accepts_and_refuses_exactly_as_the_vectors_want() {
        let Some(folder) = crate::corpus::folder("merkle-rfc6962") else { return };
        let inclusion = check_all(&folder.join("inclusion"), inclusion_holds);
        let consistency = check_all(&folder.join("consistency"), consistency_holds);
        assert_eq!(inclusion.0 + inclusion.1 + consistency.0 + consistency.1, 96);
        assert!(inclusion.0 > 0 && consistency.0 > 0, "accepted {inclusion:?} {consistency:?}");
    }
}
