//! The growing edge of a tree: roots without keeping the leaves.

use crate::Hash;
use crate::sha256;

/// Level of the subtrees whose roots are kept: groups of 256 leaves.
pub const GROUP_LEVEL: u8 = 8;

/// Leaves of one complete group.
pub const GROUP_LEAVES: usize = 1 << GROUP_LEVEL;

/// The largest tree a [`Frontier`] can be told to be. No log reaches it leaf by leaf, so sizes need no overflow checks beyond it.
pub const SIZE_MAX: u64 = (1 << 63) - 1;

/// The root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1).
#[must_use]
pub fn empty_root() -> Hash {
    sha256::sha256(&[])
}

/// The root of the tree with exactly these leaf hashes, in this order.
///
/// **Cost**: one node hash per leaf but one; no copy of the leaves.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    frontier.extend(leaves, |_| {});
    frontier.root()
}

/// A tree that can grow and tell its root, in at most 63 hashes: the peaks of RFC 6962's recursion.
///
/// ```
/// use indelible_format::{merkle, sha256};
///
/// let mut frontier = merkle::Frontier::new();
/// assert_eq!(frontier.root(), merkle::empty_root());
/// frontier.push_leaf(sha256::leaf(b"one"));
/// assert_eq!(frontier.root(), sha256::leaf(b"one"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    // Roots of the complete subtrees, leftmost and largest first: one for each 1 bit of `size`, from the highest bit down.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// The tree of `size` leaves whose complete subtrees have these roots, largest first, as [`Frontier::peaks`] gave them.
    ///
    /// # Errors
    /// `Peaks` when their number is not the number of 1 bits of `size`, `Full` when `size` is beyond [`SIZE_MAX`]. That the hashes
    /// are the right ones shows only in the root.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Result<Self, FrontierError> {
        if size > SIZE_MAX {
            return Err(FrontierError::Full);
        }
        if u64::from(size.count_ones()) != peaks.len() as u64 {
            return Err(FrontierError::Peaks { size, found: peaks.len() });
        }
        Ok(Self { size, peaks })
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The root of the tree as it is now.
    ///
    /// **Cost**: one node hash less than the size has 1 bits; no allocation.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold_right(&self.peaks).unwrap_or_else(empty_root)
    }

    /// Appends one leaf. When it completes a group of 256, gives that group's root.
    ///
    /// **Cost**: one node hash on average, at most 63.
    pub fn push_leaf(&mut self, leaf: Hash) -> Option<Hash> {
        let mut group = None;
        self.merge(0, leaf, &mut |root| group = Some(root));
        group
    }

    /// Appends leaves in order and calls `on_group` with the root of each group of 256 they complete.
    ///
    /// **Cost**: one node hash per leaf on average; whole aligned runs are hashed row by row.
    pub fn extend(&mut self, leaves: &[Hash], mut on_group: impl FnMut(Hash)) {
        let mut rest = leaves;
        while let Some(fits) = rest.len().checked_ilog2() {
            // A run can be hashed on its own when it is a subtree: as long as a power of two, and aligned to it.
            let level = fits.min(self.size.trailing_zeros()).min(u32::from(GROUP_LEVEL));
            let Some((run, after)) = rest.split_at_checked(1 << level) else { break };
            rest = after;
            let level = u8::try_from(level).unwrap_or(GROUP_LEVEL);
            self.merge(level, fold_complete(run), &mut on_group);
        }
    }

    /// Appends a complete subtree of `2^level` leaves by its root. Groups inside it are not reported again.
    ///
    /// # Errors
    /// `Misaligned` unless `size` is a multiple of `2^level`; `Full` when the tree would grow beyond [`SIZE_MAX`]. Nothing changes then.
    pub fn push_subtree(&mut self, level: u8, root: Hash) -> Result<(), FrontierError> {
        let leaves = 1_u64.checked_shl(u32::from(level)).ok_or(FrontierError::Full)?;
        if !self.size.is_multiple_of(leaves) {
            return Err(FrontierError::Misaligned { size: self.size, level });
        }
        if self.size.checked_add(leaves).is_none_or(|size| size > SIZE_MAX) {
            return Err(FrontierError::Full);
        }
        self.merge(level, root, &mut |_| {});
        Ok(())
    }

    /// Binary addition: the new subtree joins its left neighbour of the same level as long as there is one.
    fn merge(&mut self, level: u8, root: Hash, on_group: &mut impl FnMut(Hash)) {
        let (mut at, mut hash) = (level, root);
        let mut higher = self.size >> level;
        if at == GROUP_LEVEL {
            on_group(hash);
        }
        while higher & 1 == 1 {
            // There is a peak for each 1 bit of the size, so this never comes up empty.
            let Some(left) = self.peaks.pop() else { break };
            hash = sha256::node(&left, &hash);
            at += 1;
            higher >>= 1;
            if at == GROUP_LEVEL {
                on_group(hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1 << level;
    }
}

/// Why a frontier would not take a subtree or peaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// The subtree does not begin where the tree ends.
    #[error("a subtree of level {level} cannot follow leaf {size}")]
    Misaligned {
        /// Leaves the tree has.
        size: u64,
        /// Level of the refused subtree.
        level: u8,
    },
    /// The tree would be larger than [`SIZE_MAX`].
    #[error("the tree would be larger than 2^63 - 1 leaves")]
    Full,
    /// Not the number of peaks a tree of this size has.
    #[error("a tree of {size} leaves does not have {found} peaks")]
    Peaks {
        /// Leaves the tree is said to have.
        size: u64,
        /// Peaks given.
        found: usize,
    },
}

/// The root over peaks that stand side by side, largest first; none for no peaks.
pub(super) fn fold_right(peaks: &[Hash]) -> Option<Hash> {
    peaks.iter().rev().copied().reduce(|right, left| sha256::node(&left, &right))
}

/// The root of a complete subtree from its leaves (or from any full row of it): `row.len()` is a power of two.
pub(super) fn fold_complete(row: &[Hash]) -> Hash {
    let mut upper = match row {
        [only] => return *only,
        _ => fold_row(row),
    };
    while upper.len() > 1 {
        upper = fold_row(&upper);
    }
    upper.first().copied().unwrap_or_default()
}

/// The row above a row of even length.
fn fold_row(row: &[Hash]) -> Vec<Hash> {
    let mut upper = Vec::with_capacity(row.len() / 2);
    sha256::nodes(row, &mut upper);
    upper
}
