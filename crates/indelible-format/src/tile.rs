//! Tiles (C2SP tlog-tiles): a log as files of at most 256 hashes or entries, named so that they never change.
//!
//! ```text
//! tile/<L>/<N>[.p/<W>]         hashes of level 8·L (roots of 256^L leaves), 32 bytes each
//! tile/entries/<N>[.p/<W>]     entries, each behind its length as a big-endian u16
//! ```
//!
//! `<N>` is the tile's index in groups of three digits, all but the last marked: 1234067 is `x001/x234/067`. `.p/<W>` marks a tile
//! that has only its first W (1..=255) of 256. One tile has one path; a reader refuses every other spelling.

use std::fmt;
use std::fmt::Write as _;

use crate::Hash;
use crate::checkpoint::parse_decimal;

/// Hashes or entries of a full tile.
pub const TILE_WIDTH: u16 = 256;

/// Highest level a path can name.
pub const TILE_LEVEL_MAX: u8 = 63;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// Hashes of this tile level, 0..=63: roots of subtrees of 256^level leaves.
    Hashes(u8),
    /// Log entries.
    Entries,
}

/// Which tile: kind, index, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TilePath {
    /// The path of a tile that holds its first `width` (1..=256) hashes or entries; none for another width or a level above 63.
    #[must_use]
    pub fn new(kind: TileKind, index: u64, width: u16) -> Option<Self> {
        let level_fits = !matches!(kind, TileKind::Hashes(level) if level > TILE_LEVEL_MAX);
        (level_fits && (1..=TILE_WIDTH).contains(&width)).then_some(Self { kind, index, width })
    }

    /// The widest tile of this kind and index in a log of `size` leaves; none when it would be empty.
    #[must_use]
    pub fn in_log(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let row = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let held = row.saturating_sub(index.checked_mul(u64::from(TILE_WIDTH))?);
        let width = u16::try_from(held.min(u64::from(TILE_WIDTH))).ok()?;
        Self::new(kind, index, width)
    }

    /// Reads a path, without a leading slash.
    ///
    /// # Errors
    /// For anything but the one spelling of a tile's path.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        Self::read(path).ok_or(TileError::Path)
    }

    fn read(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(u8::try_from(parse_decimal(level)?).ok()?),
        };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, u16::try_from(parse_decimal(width)?).ok().filter(|width| *width < TILE_WIDTH)?),
            None => (rest, TILE_WIDTH),
        };
        Self::new(kind, parse_index(groups)?, width)
    }

    /// What the tile holds.
    #[must_use]
    pub const fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its index among the tiles of its kind.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it holds, 1..=256.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether it will never grow.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        write_index(f, self.index)?;
        if !self.is_full() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The bytes of a tile of hashes.
#[must_use]
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile with `width` of them.
///
/// # Errors
/// `Length` when the bytes are not exactly `32·width`.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TileError> {
    match bytes.as_chunks::<32>() {
        (hashes, []) if hashes.len() == usize::from(width) => Ok(hashes.iter().copied().map(Hash).collect()),
        _ => Err(TileError::Length),
    }
}

/// The bytes of an entry bundle.
///
/// # Errors
/// `Entry` when an entry is larger than 65,535 bytes.
pub fn encode_entries<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, TileError> {
    let mut bundle = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::Entry)?;
        #[expect(clippy::big_endian_bytes, reason = "tlog-tiles gives the length of an entry in big-endian order")]
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// The entries of a bundle with `width` of them.
///
/// # Errors
/// `Length` when the bytes do not hold exactly that many entries and nothing more.
pub fn decode_entries(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    for _ in 0..width {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(TileError::Length)?;
        #[expect(clippy::big_endian_bytes, reason = "tlog-tiles gives the length of an entry in big-endian order")]
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(TileError::Length)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(TileError::Length) }
}

/// Why something is not a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not the path of a tile.
    #[error("this is not the path of a tile")]
    Path,
    /// The content is not as long as the width says.
    #[error("the tile does not hold exactly the number of hashes or entries it must")]
    Length,
    /// An entry does not fit the format.
    #[error("an entry of a bundle is larger than 65,535 bytes")]
    Entry,
}

/// Digits in groups of three, `x` before all but the last; the first group is not 000 unless it is the last.
fn parse_index(groups: &str) -> Option<u64> {
    let (leading, last) = match groups.rsplit_once('/') {
        Some((leading, last)) => (Some(leading), last),
        None => (None, groups),
    };
    let mut index = 0_u64;
    for group in leading.into_iter().flat_map(|leading| leading.split('/')) {
        let value = parse_group(group.strip_prefix('x')?)?;
        // A leading group of zeros would give one tile two paths.
        if index == 0 && value == 0 {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(value)?;
    }
    index.checked_mul(1000)?.checked_add(parse_group(last)?)
}

fn parse_group(digits: &str) -> Option<u64> {
    (digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

fn write_index(f: &mut fmt::Formatter<'_>, index: u64) -> fmt::Result {
    let mut divisor = 1_u64;
    while index / divisor >= 1000 {
        divisor *= 1000;
    }
    while divisor > 1 {
        write!(f, "x{:03}", index / divisor % 1000)?;
        f.write_char('/')?;
        divisor /= 1000;
    }
    write!(f, "{:03}", index % 1000)
}

#[cfg(test)]
mod tests;
