//! Where the hashes of a proof come from.

use super::tree::{GROUP_LEAVES, GROUP_LEVEL, empty_root, fold_complete, fold_right};
use crate::Hash;

/// Answers with the roots of complete subtrees of one growing tree.
///
/// Contract: for a subtree that is complete at the size being proved, the answer is its RFC 6962 root, the same every time. Proof
/// makers ask for nothing else, at most 64 subtrees for each proof and side. `&mut` so that a source may read and keep pages.
pub trait HashSource {
    /// Why an answer could not be given.
    type Error;

    /// The root of the complete subtree (level, index): leaves `index·2^level .. (index+1)·2^level`.
    ///
    /// # Errors
    /// When the subtree is not complete, or the hashes it is made of cannot be had.
    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The root the tree had when it had `size` leaves.
///
/// # Errors
/// Those of the source.
pub fn root_at<S: HashSource>(size: u64, source: &mut S) -> Result<Hash, S::Error> {
    Ok(range_root(0, size, source)?.unwrap_or_else(empty_root))
}

/// The root over `count` leaves from `begin`, which is aligned to the largest subtree among them; none for no leaves.
pub(super) fn range_root<S: HashSource>(begin: u64, count: u64, source: &mut S) -> Result<Option<Hash>, S::Error> {
    let (mut at, mut left) = (begin, count);
    let mut peaks = Vec::new();
    while let Some(level) = left.checked_ilog2() {
        peaks.push(source.subtree(level_of(level), at >> level)?);
        at += 1 << level;
        left -= 1 << level;
    }
    Ok(fold_right(&peaks))
}

/// The largest complete subtrees that make up the leaves `from..to`, from the left: (level, index) of each.
pub fn subtrees(from: u64, to: u64) -> impl Iterator<Item = (u8, u64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let room = to.checked_sub(at)?.checked_ilog2()?;
        let bit = room.min(at.trailing_zeros());
        let subtree = (level_of(bit), at >> bit);
        at += 1 << bit;
        Some(subtree)
    })
}

/// A bit position as a level; bit positions of a `u64` always fit.
pub(super) fn level_of(bit: u32) -> u8 {
    u8::try_from(bit).unwrap_or(u8::MAX)
}

/// A subtree that its source does not hold completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no hash is held for subtree {index} of level {level}")]
pub struct MissingHash {
    /// Level of the subtree.
    pub level: u8,
    /// Its index in that level.
    pub index: u64,
}

/// A source with all leaf hashes in memory. Fits small trees: a tenant's head, a bundle, a test.
///
/// **Cost** of an answer: one node hash for each leaf of the subtree but one.
#[derive(Clone, Copy, Debug)]
pub struct LeafHashes<'a>(pub &'a [Hash]);

impl HashSource for LeafHashes<'_> {
    type Error = MissingHash;

    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, MissingHash> {
        complete_row(self.0, level, index).map(fold_complete).ok_or(MissingHash { level, index })
    }
}

/// A source over a log as Indelible keeps it: the roots of complete 256-leaf groups, and leaves recomputed on demand.
///
/// `group_leaves(g)` gives the leaf hashes `256·g …` that exist, at most 256: all of a complete group, what there is of the last.
/// A proof asks for at most two groups (the one proved and the ragged last one); the two read last are kept.
///
/// **Cost** of an answer above level 8: one node hash for each group below it but one; a whole proof in a tree of n leaves hashes
/// n/256 times, with no further allocation than one row.
#[derive(Debug)]
pub struct TreeHashes<'a, F> {
    group_roots: &'a [Hash],
    group_leaves: F,
    kept: Vec<(u64, Vec<Hash>)>,
}

impl<'a, F, E> TreeHashes<'a, F>
where
    F: FnMut(u64) -> Result<Vec<Hash>, E>,
{
    /// `group_roots`: roots of the groups 0, 1, 2 … in order, as far as they are complete.
    pub const fn new(group_roots: &'a [Hash], group_leaves: F) -> Self {
        Self { group_roots, group_leaves, kept: Vec::new() }
    }

    fn leaves_of(&mut self, group: u64) -> Result<&[Hash], TreeHashError<E>> {
        let at = match self.kept.iter().position(|(kept, _)| *kept == group) {
            Some(at) => at,
            None => {
                let leaves = (self.group_leaves)(group).map_err(|source| TreeHashError::Read { group, source })?;
                if self.kept.len() >= GROUPS_KEPT {
                    self.kept.remove(0);
                }
                self.kept.push((group, leaves));
                self.kept.len() - 1
            }
        };
        Ok(self.kept.get(at).map_or(&[], |(_, leaves)| leaves.as_slice()))
    }
}

impl<F, E> HashSource for TreeHashes<'_, F>
where
    F: FnMut(u64) -> Result<Vec<Hash>, E>,
{
    type Error = TreeHashError<E>;

    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, TreeHashError<E>> {
        let missing = TreeHashError::Missing(MissingHash { level, index });
        if let Some(above) = level.checked_sub(GROUP_LEVEL) {
            return complete_row(self.group_roots, above, index).map(fold_complete).ok_or(missing);
        }
        let below = GROUP_LEVEL - level;
        let group = index >> below;
        let leaves = self.leaves_of(group)?;
        if leaves.len() > GROUP_LEAVES {
            return Err(missing);
        }
        complete_row(leaves, level, index - (group << below)).map(fold_complete).ok_or(missing)
    }
}

/// Why [`TreeHashes`] has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeHashError<E> {
    /// The group roots, or the leaves of the group, do not reach that far.
    #[error(transparent)]
    Missing(#[from] MissingHash),
    /// The leaves of a group could not be read.
    #[error("could not read the leaves of group {group}")]
    Read {
        /// The group, leaves `256·group …`.
        group: u64,
        /// What the reader said.
        source: E,
    },
}

/// The part of `row` below (level, index), if it is all there. `row` begins with index 0 of level 0.
fn complete_row(row: &[Hash], level: u8, index: u64) -> Option<&[Hash]> {
    let width = 1_usize.checked_shl(u32::from(level))?;
    let begin = usize::try_from(index).ok()?.checked_mul(width)?;
    row.get(begin..begin.checked_add(width)?)
}

/// The proved group and the last one.
const GROUPS_KEPT: usize = 2;
