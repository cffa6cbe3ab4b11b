//! A log's tree, read from its C2SP tiles and believed only as far as it leads to a signed root.
//!
//! The tiles at the edge — of each level the one that is not full — have all the roots that the tree of this size is made of. They are
//! fetched first and have to make the signed root. Every other tile is full, and its root has to stand in the tile above it. So each hash that
//! is handed out is one that the signature covers, and a tile that was changed is named.

use indelible::Hash;
use indelible::format::merkle::{Frontier, HashSource, root_of};
use indelible::format::tile::{TILE_WIDTH, TileKind, TilePath, decode_entries, decode_hashes};
use indelible_client::{ClientError, Connection};

use super::read_all;
use crate::failure::Failure;

/// An entry has 65,535 bytes at most, and two of its length.
const TILE_BYTES_MAX: usize = 256 * (65_535 + 2);
const WIDTH: u64 = TILE_WIDTH as u64;

/// Why a tile does not serve.
#[derive(Debug)]
pub(crate) enum TileFault {
    /// It is not what was signed: which, and how that shows.
    Wrong(String, String),
    /// What it is made of has expired.
    Expired,
    /// It could not be had.
    Failed(Failure),
}

impl From<ClientError> for TileFault {
    fn from(error: ClientError) -> Self {
        let is_expired = error.problem().is_some_and(|problem| problem.code == "expired");
        if is_expired { Self::Expired } else { Self::Failed(error.into()) }
    }
}

impl From<Failure> for TileFault {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The tree of one log.
#[derive(Debug)]
pub(crate) struct Tiles<'c> {
    connection: &'c Connection,
    log: String,
    size: u64,
    /// By level, the hashes of its tile that is not full; none where all are.
    edges: Vec<Vec<Hash>>,
    /// By level, the full tile that was read last.
    kept: Vec<Option<(u64, Vec<Hash>)>>,
    /// Tiles that were read.
    pub(crate) read: u64,
}

impl<'c> Tiles<'c> {
    /// The tree that `size` leaves had under `root`, which the caller believes.
    pub(crate) fn open(connection: &'c Connection, log: &str, size: u64, root: &Hash) -> Result<Self, TileFault> {
        let mut tiles = Self { connection, log: log.to_owned(), size, edges: Vec::new(), kept: Vec::new(), read: 0 };
        let (mut peaks, mut names) = (Vec::new(), Vec::new());
        for level in 0..8 {
            let row = tiles.row(level);
            let edge = match TilePath::new(TileKind::Hashes(level), row / WIDTH, u16::try_from(row % WIDTH).unwrap_or_default()) {
                Some(path) => {
                    names.push(path.to_string());
                    tiles.fetch(&path)?
                }
                None => Vec::new(),
            };
            tiles.edges.push(edge);
            tiles.kept.push(None);
        }
        for edge in tiles.edges.iter().rev() {
            let mut rest = edge.as_slice();
            // One subtree for each 1 bit of the width, the largest first.
            while let Some(level) = rest.len().checked_ilog2() {
                let Some((peak, after)) = rest.split_at_checked(1 << level) else { break };
                peaks.push(root_of(peak));
                rest = after;
            }
        }
        let computed = Frontier::from_peaks(size, peaks).map(|frontier| frontier.root());
        if computed.as_ref() == Ok(root) {
            return Ok(tiles);
        }
        let why = format!("the tree's edge does not make the root that is signed over {size} entries");
        Err(TileFault::Wrong(names.join(", "), why))
    }

    /// Hashes of this level that the tree has.
    const fn row(&self, level: u8) -> u64 {
        // Level 8 and higher would need more than 2^63 leaves.
        if level < 8 { self.size >> (8 * level as u32) } else { 0 }
    }

    fn fetch(&mut self, path: &TilePath) -> Result<Vec<Hash>, TileFault> {
        let bytes = self.bytes(path)?;
        let wrong = |error: &dyn std::fmt::Display| TileFault::Wrong(path.to_string(), error.to_string());
        decode_hashes(&bytes, path.width()).map_err(|error| wrong(&error))
    }

    fn bytes(&mut self, path: &TilePath) -> Result<Vec<u8>, TileFault> {
        self.read += 1;
        let response = self.connection.get(&format!("/log/{}/{path}", self.log), &[])?;
        Ok(read_all(response, TILE_BYTES_MAX)?)
    }

    /// The hashes of one tile, as far as the tree reaches.
    pub(crate) fn tile(&mut self, level: u8, index: u64) -> Result<Vec<Hash>, TileFault> {
        let at = usize::from(level);
        if index == self.row(level) / WIDTH {
            return Ok(self.edges.get(at).cloned().unwrap_or_default());
        }
        if let Some(Some((known, hashes))) = self.kept.get(at)
            && *known == index
        {
            return Ok(hashes.clone());
        }
        let path = TilePath::new(TileKind::Hashes(level), index, TILE_WIDTH);
        let path = path.ok_or_else(|| Failure::new("protocol", "there is no such tile"))?;
        let expected = self.hash(level + 1, index)?;
        let hashes = self.fetch(&path)?;
        let computed = root_of(&hashes);
        if computed != expected {
            let why = format!("its root is {computed}, the tile above has {expected}");
            return Err(TileFault::Wrong(path.to_string(), why));
        }
        if let Some(kept) = self.kept.get_mut(at) {
            *kept = Some((index, hashes.clone()));
        }
        Ok(hashes)
    }

    /// The root of one subtree of 256^level leaves.
    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, TileFault> {
        let within = usize::try_from(index % WIDTH).unwrap_or_default();
        let hash = self.tile(level, index / WIDTH)?.get(within).copied();
        hash.ok_or_else(|| TileFault::Wrong(format!("tile/{level}"), format!("it has no hash {index}")))
    }

    /// The entries of one tile of level 0, `width` of them.
    pub(crate) fn entries(&mut self, index: u64, width: usize) -> Result<Vec<Vec<u8>>, TileFault> {
        let path = u16::try_from(width).ok().and_then(|width| TilePath::new(TileKind::Entries, index, width));
        let path = path.ok_or_else(|| Failure::new("protocol", "there is no such tile"))?;
        let bytes = self.bytes(&path)?;
        let entries = decode_entries(&bytes, path.width());
        let entries = entries.map_err(|error| TileFault::Wrong(path.to_string(), error.to_string()))?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }
}

impl HashSource for Tiles<'_> {
    type Error = TileFault;

    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, TileFault> {
        let (tile_level, above) = (level / 8, level % 8);
        let first = index << above;
        let tile = self.tile(tile_level, first / WIDTH)?;
        let at = usize::try_from(first % WIDTH).unwrap_or_default();
        let part = tile.get(at..at + (1 << above));
        let missing = || TileFault::Wrong(format!("tile/{tile_level}"), format!("it has not all hashes from {first} on"));
        part.map(root_of).ok_or_else(missing)
    }
}
