use super::*;

fn tree(count: usize) -> (TenantTree, Vec<(String, u64)>) {
    let tenants: Vec<(String, u64)> = (0..count).map(|nth| (format!("tenant-{nth}"), nth as u64 + 1)).collect();
    let seed = Seed([7; 32]);
    (TenantTree::new(&seed, tenants.iter().map(|(name, count)| (name.as_str(), *count))), tenants)
}

#[test]
fn every_tenant_proves_its_own_count_and_no_other() {
    for count in [1, 2, 63, 64, 65, 300] {
        let (tree, tenants) = tree(count);
        let root = tree.root();
        for (name, events) in &tenants {
            let proof = tree.prove(name, *events);
            assert_eq!(proof.verify(name, &root), Some(*events));
            assert_eq!(proof.verify("another", &root), None);
            assert_eq!(proof.verify(name, &Hash([1; 32])), None);
            // A count that is not the one in the leaf, one less or one more, does not verify.
            for other in [events - 1, events + 1] {
                assert_eq!(tree.prove(name, other).verify(name, &root), None, "{name} {other}");
            }
        }
    }
}

#[test]
fn who_has_no_event_proves_that() {
    for count in [0, 1, 64, 200] {
        let (tree, _) = tree(count);
        // Enough names to hit the first and the last place, too.
        let (mut first, mut last) = (0, 0);
        for nth in 0..2_000 {
            let name = format!("nobody-{nth}");
            let proof = tree.prove(&name, 0);
            assert_eq!(proof.verify(&name, &tree.root()), Some(0));
            let Told::Uncounted { left, right } = &proof.told else { panic!("nobody has a leaf") };
            first += usize::from(left.is_none());
            last += usize::from(right.is_none());
        }
        assert!(first > 0 && last > 0);
    }
}

#[test]
fn nobody_who_has_a_leaf_can_be_shown_to_have_none() {
    let (tree, tenants) = tree(200);
    let root = tree.root();
    let (name, events) = &tenants[17];
    let proof = tree.prove(name, *events);
    let Told::Counted { index, .. } = proof.told else { panic!("it has a leaf") };
    let at = |index: u64| tree.neighbour(usize::try_from(index).unwrap());
    let lies = [
        (at(index - 1), at(index + 1)),
        (at(index - 1), None),
        (None, at(index + 1)),
        (at(index - 1), at(index)),
        (at(index), at(index + 1)),
        (None, None),
        (None, at(0)),
        (at(255), None),
    ];
    for (left, right) in lies {
        let lie = CountProof { salt: proof.salt, told: Told::Uncounted { left, right } };
        assert_eq!(lie.verify(name, &root), None);
    }
    // Nor by a neighbour that calls itself by another place.
    let mut moved = at(index + 1).unwrap();
    moved.index = index;
    let lie = CountProof { salt: proof.salt, told: Told::Uncounted { left: at(index - 1), right: Some(moved) } };
    assert_eq!(lie.verify(name, &root), None);
}

#[test]
fn a_tree_tells_neither_names_nor_how_many_there_are() {
    let heights = |count| tree(count).0.rows.len();
    assert_eq!(heights(0), heights(64));
    assert_eq!(heights(65), heights(128));
    // Another seed, another order and other ids.
    let names = ["acme", "globex"];
    let of = |seed: u8| TenantTree::new(&Seed([seed; 32]), names.iter().map(|name| (*name, 5)));
    let (one, two) = (of(1), of(2));
    assert!(one.leaves.iter().all(|leaf| !two.leaves.contains(leaf)));
}

/// The vectors of docs/format/tenants.md, which the verifier in Python has, too.
#[test]
fn golden_vectors_hold() {
    let seed = Seed(std::array::from_fn(|nth| u8::try_from(nth).unwrap()));
    let tree = TenantTree::new(&seed, [("acme", 3), ("globex", 41), ("ünï", 1)].into_iter());
    let acme = tree.prove("acme", 3);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&acme.salt), GOLDEN[0]);
    assert_eq!(id(&acme.salt, "acme").to_string(), GOLDEN[1]);
    assert_eq!(commitment(&acme.salt, 3).to_string(), GOLDEN[2]);
    assert_eq!(tree.root().to_string(), GOLDEN[3]);
    let Told::Counted { index, path, .. } = &acme.told else { panic!("acme has a leaf") };
    assert_eq!((index.to_string().as_str(), path.len()), (GOLDEN[4], 6));
}

const GOLDEN: [&str; 5] = [
    "783020af212833fcbf623ad71c350281",
    "1286270740415c27ad7be6d0161eb25ece5d11602bf4f380f04edcfe87801f38",
    "e841efed30716d683b32d92e1ce21cd043f491c2ea501fd8292e75ff5ead67b0",
    "9f388f9ab4dccf511c78490709032c5d05a17c2649db70cde955d2a8b3549d94",
    "5",
];
