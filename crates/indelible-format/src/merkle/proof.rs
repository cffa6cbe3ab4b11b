//! Inclusion and consistency proofs (RFC 6962 §2.1.1, §2.1.2): made from a [`HashSource`], checked from nothing but hashes.
//!
//! Both kinds are one walk. From a complete subtree, climb to the root; at every level the node is a right child (its sibling is to
//! the left), a left child (its sibling is to the right, perhaps ragged at the edge of the tree), or the last node of an odd row,
//! which rises without a sibling. An inclusion proof is the siblings on the way up from a leaf. A consistency proof from an old
//! size is the same from the last peak of the old tree, preceded by that peak unless it is the whole old tree: the siblings on the
//! left are then the other old peaks, and those on the right are what was added.

use super::source::{HashSource, level_of, range_root};
use super::tree::empty_root;
use crate::{Hash, sha256};

/// The siblings, from the leaf up, that prove leaf `index` to a tree of `size` leaves. At most 64 hashes.
///
/// # Errors
/// `OutOfRange` unless `index < size`; else what the source says.
pub fn inclusion_proof<S: HashSource>(index: u64, size: u64, source: &mut S) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if index >= size {
        return Err(ProveError::OutOfRange { asked: index, size });
    }
    siblings(Climb::new(0, index, size), size, source, Vec::new())
}

/// The hashes that prove the tree of `old_size` leaves to be a prefix of the one of `new_size`. At most 65 hashes, none when the
/// sizes are equal or the old tree is empty.
///
/// # Errors
/// `OutOfRange` unless `old_size ≤ new_size`; else what the source says.
pub fn consistency_proof<S: HashSource>(old_size: u64, new_size: u64, source: &mut S) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if old_size > new_size {
        return Err(ProveError::OutOfRange { asked: old_size, size: new_size });
    }
    if old_size == 0 || old_size == new_size {
        return Ok(Vec::new());
    }
    let (level, index) = last_peak(old_size);
    let first = match index {
        0 => Vec::new(),
        _ => vec![source.subtree(level, index).map_err(ProveError::Source)?],
    };
    siblings(Climb::new(level, index, new_size), new_size, source, first)
}

/// Checks that `leaf` is leaf number `index` of the tree with this size and root.
///
/// # Errors
/// `OutOfRange`, `Length` or `Root`: the proof does not show it. Nothing is wrong with the tree by that alone.
///
/// **Cost**: one node hash per hash of the proof.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { asked: index, size });
    }
    let climb = Climb::new(0, index, size);
    check_length(climb.count(), proof)?;
    let computed = climb.zip(proof).fold(*leaf, |hash, (step, sibling)| step.join(&hash, sibling));
    check_root(computed, root)
}

/// Checks that the tree with the old size and root is a prefix of the one with the new size and root: nothing before `old_size`
/// was changed, left out or put in another order.
///
/// The empty tree is a prefix of every tree; its root must then be [`empty_root`] and the proof empty.
///
/// # Errors
/// `OutOfRange`, `Length`, `OldRoot` or `Root`: the proof does not show it.
///
/// **Cost**: at most two node hashes per hash of the proof.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::OutOfRange { asked: old_size, size: new_size });
    }
    if old_size == 0 {
        check_length(0, proof)?;
        check_old_root(empty_root(), old_root)?;
        return if new_size == 0 { check_root(empty_root(), new_root) } else { Ok(()) };
    }
    if old_size == new_size {
        check_length(0, proof)?;
        return check_root(*old_root, new_root);
    }

    let (level, index) = last_peak(old_size);
    let climb = Climb::new(level, index, new_size);
    check_length(climb.count() + usize::from(index != 0), proof)?;
    // Where the last peak is the whole old tree, the old root is what the climb starts from, and so is checked with the new one.
    let (start, siblings) = match proof.split_first() {
        Some((first, others)) if index != 0 => (first, others),
        _ => (old_root, proof),
    };
    let (mut old, mut new) = (*start, *start);
    for (step, sibling) in climb.zip(siblings) {
        if step.side == Side::Left {
            old = step.join(&old, sibling);
        }
        new = step.join(&new, sibling);
    }
    check_old_root(old, old_root)?;
    check_root(new, new_root)
}

/// Why a proof could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The leaf or the old tree is not inside the tree.
    #[error("{asked} lies outside a tree of {size} leaves")]
    OutOfRange {
        /// Leaf index or old size asked for.
        asked: u64,
        /// Leaves the tree has.
        size: u64,
    },
    /// The source of hashes failed.
    #[error("could not read the hashes of a proof")]
    Source(#[source] E),
}

/// Why a proof does not show what it is said to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf or the old tree is not inside the tree.
    #[error("{asked} lies outside a tree of {size} leaves")]
    OutOfRange {
        /// Leaf index or old size asked about.
        asked: u64,
        /// Leaves the tree has.
        size: u64,
    },
    /// Sizes and index determine how many hashes a proof has; this one has another number.
    #[error("a proof of {expected} hashes was expected, this one has {found}")]
    Length {
        /// Hashes such a proof has.
        expected: usize,
        /// Hashes it has.
        found: usize,
    },
    /// The proof leads to another root.
    #[error("the proof leads to root {computed}, not {expected}")]
    Root {
        /// The root to be proved.
        expected: Hash,
        /// Where the proof leads.
        computed: Hash,
    },
    /// The consistency proof leads to another root of the old tree.
    #[error("the proof leads to old root {computed}, not {expected}")]
    OldRoot {
        /// The old root to be proved.
        expected: Hash,
        /// Where the proof leads.
        computed: Hash,
    },
}

fn check_length(expected: usize, proof: &[Hash]) -> Result<(), ProofError> {
    if proof.len() == expected { Ok(()) } else { Err(ProofError::Length { expected, found: proof.len() }) }
}

fn check_root(computed: Hash, expected: &Hash) -> Result<(), ProofError> {
    if computed == *expected { Ok(()) } else { Err(ProofError::Root { expected: *expected, computed }) }
}

fn check_old_root(computed: Hash, expected: &Hash) -> Result<(), ProofError> {
    if computed == *expected { Ok(()) } else { Err(ProofError::OldRoot { expected: *expected, computed }) }
}

/// The last, smallest peak of a tree that is not empty.
fn last_peak(size: u64) -> (u8, u64) {
    let bit = size.trailing_zeros();
    (level_of(bit), (size >> bit) - 1)
}

/// Appends the hash of every sibling on the climb to `proof`.
fn siblings<S: HashSource>(
    climb: Climb,
    size: u64,
    source: &mut S,
    mut proof: Vec<Hash>,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    for step in climb {
        let begin = step.sibling << step.level;
        let width = 1 << step.level;
        let hash = if size - begin >= width {
            Some(source.subtree(step.level, step.sibling).map_err(ProveError::Source)?)
        } else {
            // Ragged: the right edge of the tree ends inside this sibling.
            range_root(begin, size - begin, source).map_err(ProveError::Source)?
        };
        proof.extend(hash);
    }
    Ok(proof)
}

/// On which side of the climbing node its sibling stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// One level of the climb at which the node has a sibling.
#[derive(Clone, Copy, Debug)]
struct Step {
    level: u8,
    sibling: u64,
    side: Side,
}

impl Step {
    fn join(&self, node: &Hash, sibling: &Hash) -> Hash {
        match self.side {
            Side::Left => sha256::node(sibling, node),
            Side::Right => sha256::node(node, sibling),
        }
    }
}

/// The way from a node up to the root: its steps, skipping the levels at which it has no sibling.
#[derive(Clone, Copy, Debug)]
struct Climb {
    level: u8,
    index: u64,
    /// Index of the last node in this level's row; 0 at the root.
    last: u64,
}

impl Climb {
    /// `size` > 0 and the node lies inside the tree.
    fn new(level: u8, index: u64, size: u64) -> Self {
        Self { level, index, last: size.saturating_sub(1) >> level }
    }
}

impl Iterator for Climb {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        while self.last > 0 {
            let (level, index, last) = (self.level, self.index, self.last);
            *self = Self { level: level + 1, index: index >> 1, last: last >> 1 };
            if index & 1 == 1 {
                return Some(Step { level, sibling: index - 1, side: Side::Left });
            }
            if index < last {
                return Some(Step { level, sibling: index + 1, side: Side::Right });
            }
        }
        None
    }
}
