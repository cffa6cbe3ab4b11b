//! `segments/<log>-<below>-<generation>.expired`: what stays of the beginning of a log once its events have expired. Bytes:
//! docs/format/store.md.
//!
//! Group roots, so that every proof of what comes later can still be made; how far each tenant and producer had got, so that their numbers
//! can still be checked; and, for checkpoints that somebody outside keeps, the nodes that prove them. No event, no salt.

use std::ops::Deref;
use std::path::Path;

use indelible_format::Hash;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::{Frontier, GROUP_LEVEL, root_of};
use indelible_format::sha256::sha256;
use indelible_segment::Segment;
use sha2::{Digest as _, Sha256};

use super::files;
use super::manifest::{ExpiredInfo, Manifest, SegmentInfo};
use super::state::{Bytes, decode_producers, decode_tenants, encode_producers, encode_tenants, finished, put_count, put_text};
use crate::commit::producers::Producers;
use crate::digest::names::ByName;
use crate::error::{Error, ErrorKind, Result};
use crate::world::World;

const MAGIC: &[u8; 8] = b"IDLEXPD\x01";

/// The beginning of a log without its events.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) log: u32,
    /// Roots of the groups before `below`.
    pub(crate) roots: Vec<Hash>,
    /// Number of the next event of each tenant at `below`.
    pub(crate) tenants: ByName<u64>,
    /// What producers had delivered to this log.
    pub(crate) producers: Producers,
    /// Numbers that a recorded gap speaks for: producer, epoch, first, last.
    pub(crate) gaps: Vec<(String, u64, u64, u64)>,
    /// By size.
    pub(crate) anchors: Vec<Anchor>,
    /// Which events stay because they are held: see [`Positions`].
    pub(crate) held: Hash,
}

/// A size within an expired group that a checkpoint outside is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) size: u64,
    /// Of the group's tree: the smallest complete subtree that ends at `size`, then the sibling at each level on the way up to the root.
    nodes: Vec<Hash>,
}

impl Anchor {
    /// From all leaves of the group that `size` falls into.
    pub(crate) fn new(size: u64, leaves: &[Hash]) -> Self {
        let within = within(size);
        let lowest = within.trailing_zeros().min(u32::from(GROUP_LEVEL));
        let node = |level: u32, index: usize| root_of(leaves.get(index << level..(index + 1) << level).unwrap_or_default());
        let mut nodes = vec![node(lowest, (within >> lowest).saturating_sub(1))];
        // Left of the way where a bit is set, which is a peak of the tree of `size`; else right of it.
        nodes.extend((lowest..u32::from(GROUP_LEVEL)).map(|level| {
            let index = within >> level;
            let sibling = if level > lowest && index % 2 == 1 {
                index - 1
            } else if level > lowest {
                index + 1
            } else {
                index
            };
            node(level, sibling)
        }));
        Self { size, nodes }
    }

    /// The root of the group that the nodes lead to.
    fn group_root(&self) -> Option<Hash> {
        let within = within(self.size);
        let (peak, siblings) = self.nodes.split_first()?;
        let root = siblings.iter().enumerate().fold(*peak, |node, (nth, sibling)| {
            let is_left = nth > 0 && within >> (within.trailing_zeros() as usize + nth) & 1 == 1;
            if is_left { root_of(&[*sibling, node]) } else { root_of(&[node, *sibling]) }
        });
        Some(root)
    }

    const fn count(size: u64) -> usize {
        (1 + GROUP_LEVEL as u32 - within(size).trailing_zeros()) as usize
    }

    /// Peaks of the tree of the leaves before `size` in this group, largest first.
    fn peaks(&self) -> Vec<Hash> {
        let within = within(self.size);
        let lowest = within.trailing_zeros();
        let left = |(nth, _): &(usize, &Hash)| *nth == 0 || (*nth > 1 && within >> (lowest as usize + nth - 1) & 1 == 1);
        self.nodes.iter().enumerate().filter(left).map(|(_, node)| *node).rev().collect()
    }
}

/// Positions of one log in their order, and what they are all together: SHA-256 over the numbers, 8 bytes each, little-endian.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions(Sha256);

impl Positions {
    pub(crate) fn push(&mut self, seq: u64) {
        self.0.update(seq.to_le_bytes());
    }

    pub(crate) fn digest(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

/// Where in its group a size is.
const fn within(size: u64) -> usize {
    (size % GROUP_LEAVES) as usize
}

impl Beginning {
    pub(crate) fn new(log: u32) -> Self {
        let (roots, gaps, anchors, held) = (Vec::new(), Vec::new(), Vec::new(), Positions::default().digest());
        Self { log, roots, tenants: ByName::default(), producers: Producers::default(), gaps, anchors, held }
    }

    /// The first position that has not expired.
    pub(crate) fn below(&self) -> u64 {
        self.roots.len() as u64 * GROUP_LEAVES
    }

    /// The tree of the groups before `groups`.
    pub(crate) fn tree(&self, groups: usize) -> Frontier {
        let mut tree = Frontier::new();
        for root in self.roots.iter().take(groups) {
            // Whole groups only: they always join.
            let _ = tree.push_subtree(GROUP_LEVEL, *root);
        }
        tree
    }

    /// The root that the log had at `size`, if it can still be told.
    pub(crate) fn root_at(&self, size: u64) -> Option<Hash> {
        let tree = self.tree(usize::try_from(size / GROUP_LEAVES).ok()?);
        if size.is_multiple_of(GROUP_LEAVES) {
            return (size <= self.below()).then(|| tree.root());
        }
        self.root_within(&tree, size)
    }

    /// The same, of a size that lies within the group behind `tree`.
    pub(crate) fn root_within(&self, tree: &Frontier, size: u64) -> Option<Hash> {
        let anchor = self.anchors.iter().find(|anchor| anchor.size == size)?;
        let peaks = tree.peaks().iter().copied().chain(anchor.peaks()).collect();
        Frontier::from_peaks(size, peaks).ok().map(|tree| tree.root())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.log.to_le_bytes());
        out.extend_from_slice(&self.below().to_le_bytes());
        self.roots.iter().for_each(|root| out.extend_from_slice(&root.0));
        encode_tenants(&self.tenants, &mut out);
        encode_producers(&self.producers, &mut out);
        put_count(&mut out, self.gaps.len());
        for (id, epoch, first, last) in &self.gaps {
            put_text(&mut out, id);
            [epoch, first, last].iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        }
        put_count(&mut out, self.anchors.len());
        for anchor in &self.anchors {
            out.extend_from_slice(&anchor.size.to_le_bytes());
            anchor.nodes.iter().for_each(|node| out.extend_from_slice(&node.0));
        }
        out.extend_from_slice(&self.held.0);
        finished(out)
    }

    /// Reads what [`encode`](Self::encode) wrote; `None`: these bytes are not that. Allocates no more than they are long.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bytes::of(bytes, MAGIC)?;
        let mut expired = Self::new(rest.u32()?);
        let below = rest.u64()?;
        expired.roots = rest.hashes(usize::try_from(below / GROUP_LEAVES).ok()?)?;
        expired.tenants = decode_tenants(&mut rest)?;
        expired.producers = decode_producers(&mut rest)?;
        for _ in 0..rest.u32()? {
            let id = rest.text()?.to_owned();
            expired.gaps.push((id, rest.u64()?, rest.u64()?, rest.u64()?));
        }
        for _ in 0..rest.u32()? {
            let size = rest.u64()?;
            let known = expired.anchors.last().map_or(0, |last| last.size);
            if size <= known || size >= below || size.is_multiple_of(GROUP_LEAVES) {
                return None;
            }
            let anchor = Anchor { size, nodes: rest.hashes(Anchor::count(size))? };
            let group = usize::try_from(size / GROUP_LEAVES).ok()?;
            if anchor.group_root().as_ref() != expired.roots.get(group) {
                return None;
            }
            expired.anchors.push(anchor);
        }
        expired.held = Hash(rest.array()?);
        (rest.0.is_empty() && below.is_multiple_of(GROUP_LEAVES)).then_some(expired)
    }
}

/// Reads the file that a manifest names.
///
/// # Errors
/// `Io`; `Corrupt`: it is not the file that the manifest describes.
pub(crate) fn read(world: &World, dir: &Path, info: &ExpiredInfo) -> Result<Beginning> {
    let bytes = files::read_whole(world, &files::folder(dir), &info.file)
        .map_err(|error| Error::io(format!("could not read segments/{}", info.file), error))?;
    let expired = (sha256(&bytes) == info.digest).then(|| Beginning::decode(&bytes)).flatten();
    expired
        .filter(|expired| (expired.log, expired.below()) == (info.log, info.below))
        .ok_or_else(|| files::damaged(&info.file, &"it is not the file that the manifest describes"))
}

/// Roots of all groups of a log that are sealed, whether their events have expired or not. Nothing is compared.
pub(crate) fn group_roots<S: Deref<Target = Segment>>(
    world: &World,
    dir: &Path,
    manifest: &Manifest,
    log: u32,
    open: impl Fn(&SegmentInfo) -> Result<S>,
) -> Result<Vec<Hash>> {
    let mut roots =
        manifest.expired(log).map_or_else(|| Ok(Vec::new()), |info| read(world, dir, info).map(|expired| expired.roots))?;
    for info in manifest.whole(log) {
        let known = (roots.len() as u64).saturating_sub(info.first_seq / GROUP_LEAVES);
        let proof = open(info)?.proof().map_err(|error| files::failed(&info.file, error))?;
        roots.extend(proof.roots.iter().skip(usize::try_from(known).unwrap_or(usize::MAX)));
    }
    Ok(roots)
}

/// What is asked for is not there any more, and was not to stay.
pub(crate) fn gone(info: &ExpiredInfo, seq: u64) -> Error {
    let message = format!("PRUNED: position {seq} of log {} has expired, with everything before {}", info.log, info.below);
    Error::new(ErrorKind::Expired, message).with_hint(format!(
        "entry {} of the control log says when and by which policy: `indelible show control:{}`",
        info.entry, info.entry
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::producers::Arrival;

    fn leaf(nth: u64) -> Hash {
        sha256(&nth.to_le_bytes())
    }

    fn example(sizes: &[u64]) -> Beginning {
        let mut expired = Beginning::new(3);
        // More than have expired, for sizes that are beyond them.
        let leaves: Vec<Hash> = (0..5 * GROUP_LEAVES).map(leaf).collect();
        expired.roots = leaves.chunks(256).take(4).map(root_of).collect();
        *expired.tenants.entry("acme") = 7;
        assert_eq!(expired.producers.arrive("p", 3, 5), Arrival::New);
        expired.gaps.push(("p".into(), 3, 6, 9));
        for size in sizes {
            let group = usize::try_from(size / GROUP_LEAVES).unwrap();
            expired.anchors.push(Anchor::new(*size, &leaves[group * 256..(group + 1) * 256]));
        }
        expired
    }

    #[test]
    fn the_root_at_every_size_that_was_kept_can_be_told() {
        let sizes: Vec<u64> = (1..4 * GROUP_LEAVES).filter(|size| !size.is_multiple_of(GROUP_LEAVES)).collect();
        let expired = Beginning::decode(&example(&sizes).encode()).unwrap();
        let mut tree = Frontier::new();
        for size in 0..=4 * GROUP_LEAVES {
            assert_eq!(expired.root_at(size), Some(tree.root()), "{size}");
            tree.push_leaf(leaf(size));
        }
        assert_eq!(expired.root_at(5 * GROUP_LEAVES), None);
        assert_eq!(example(&[300]).root_at(301), None);
    }

    /// The independent verifier makes the same file by the page: `tools/test_expired.py`.
    #[test]
    fn the_bytes_are_those_of_the_page() {
        let digest: String = sha256(&example(&[1, 300, 384]).encode()).0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "8adb6853b95e5397a75a9c7b51b44299a64d0cc517b0970a737bd0f84f50ab2b");
    }

    #[test]
    fn any_other_bytes_are_refused() {
        let bytes = example(&[1, 300]).encode();
        assert_eq!(Beginning::decode(&bytes).unwrap().encode(), bytes);
        for cut in 0..bytes.len() {
            assert!(Beginning::decode(&bytes[..cut]).is_none());
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Beginning::decode(&bad).is_none(), "{at}");
        }
        for sizes in [&[300, 300][..], &[512], &[1_024]] {
            assert!(Beginning::decode(&example(sizes).encode()).is_none(), "{sizes:?}");
        }
    }
}
