//! C2SP tiles of a log, computed from what is stored: any tlog client can check the log without our code.

use indelible_format::leaf::{self, Salts, Seed};
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle;
use indelible_format::tile::{self, TileKind, TilePath};
use indelible_format::{Hash, Record};

use crate::digest::tree_file;
use crate::error::{Error, ErrorKind, Result};
use crate::read::Reader;

impl Reader {
    /// The bytes of a tile of a log that has `size` entries, or more: what a checkpoint covers.
    ///
    /// **Cost**: of level 0 and of entries, the 256 events are read and hashed; of higher levels, the roots of groups below are read.
    ///
    /// # Errors
    /// `NotFound`: a log of that size has no such tile. `Expired`: what it is made of is gone. `Corrupt`, `Io`.
    pub fn tile(&self, log: u32, size: u64, path: &TilePath) -> Result<Vec<u8>> {
        let none = || Error::new(ErrorKind::NotFound, format!("log {log} has no {path}"));
        let held = TilePath::in_log(path.kind(), path.index(), size).ok_or_else(none)?;
        if path.width() > held.width() {
            return Err(none());
        }
        let width = u64::from(path.width());
        match path.kind() {
            TileKind::Entries => self.entries(log, path.index() * GROUP_LEAVES, width),
            TileKind::Hashes(0) => {
                let first = path.index() * GROUP_LEAVES;
                Ok(tile::encode_hashes(&self.leaves_of(log, first, first + width)?))
            }
            TileKind::Hashes(level) => {
                // Roots of groups under one hash of this level; the tree over them is the upper part of the log's.
                let below = GROUP_LEAVES.pow(u32::from(level) - 1);
                let first = path.index() * GROUP_LEAVES * below;
                let roots = self.roots(log, first, first + width * below)?;
                let hashes = roots.chunks(usize::try_from(below).unwrap_or(usize::MAX)).map(merkle::root_of).collect::<Vec<_>>();
                Ok(tile::encode_hashes(&hashes))
            }
        }
    }

    fn entries(&self, log: u32, first: u64, count: u64) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        for seq in first..first + count {
            let missing = || Error::new(ErrorKind::Corrupt, format!("position {seq} of log {log} is missing"));
            let stored = self.record(log, seq)?.ok_or_else(missing)?;
            let record: Record<'_> = stored.record().ok_or_else(missing)?;
            let mut salts = Salts::new(stored.seed.clone().unwrap_or(Seed([0; 32])));
            let gone = || Error::new(ErrorKind::Expired, format!("of position {seq} of log {log} only the hash is left"));
            entries.push(leaf::entry(&record, seq, &mut salts).ok_or_else(gone)?);
        }
        tile::encode_entries(entries.iter().map(Vec::as_slice))
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("the entries do not fit a tile: {error}")))
    }

    /// Roots of groups `from..to`: of the tree file, else of what is stored.
    fn roots(&self, log: u32, from: u64, to: u64) -> Result<Vec<Hash>> {
        let roots = tree_file::read(self.world(), self.dir(), log, from, to).unwrap_or_default();
        if roots.len() as u64 == to - from {
            return Ok(roots);
        }
        let all = self.rebuild_tree(log, to)?;
        Ok(all.into_iter().skip(usize::try_from(from).unwrap_or(usize::MAX)).collect())
    }
}
