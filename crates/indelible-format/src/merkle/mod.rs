//! RFC 6962 Merkle trees over SHA-256: roots, inclusion proofs, consistency proofs.
//!
//! A tree is known by its **size** (how many leaves) and its **root**. A **subtree** is named by (level, index): it covers the
//! leaves `index·2^level .. (index+1)·2^level`, so level 0 is the leaves themselves. A subtree is **complete** in a tree whose
//! size reaches its end; its root then never changes again, which is what makes it worth keeping. The tree of any size is a row of
//! complete subtrees of falling level, one for each 1 bit of the size: its **peaks**.
//!
//! Of all subtrees Indelible keeps only the roots of level 8, the **groups** of 256 leaves ([`GROUP_LEAVES`]). Everything below is
//! recomputed from the events, everything above from the groups ([`TreeHashes`]).
//!
//! Invariants:
//! * nothing here computes a leaf hash: leaves arrive hashed with the 0x00 prefix (`sha256::leaf`), so no input can pass an inner
//!   node off as a leaf;
//! * proofs are checked for their exact length before any hash of them is believed.

mod proof;
mod source;
mod tree;

pub use proof::{ProofError, ProveError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};
pub use source::{HashSource, LeafHashes, MissingHash, TreeHashError, TreeHashes, root_at, subtrees};
pub use tree::{Frontier, FrontierError, GROUP_LEAVES, GROUP_LEVEL, SIZE_MAX, empty_root, root_of};

#[cfg(test)]
mod tests;
