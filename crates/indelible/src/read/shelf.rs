//! What a reader keeps of the sealed part of a store: the manifest, and segments that are open.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use indelible_segment::{PageCache, Segment};
use parking_lot::{Mutex, MutexGuard};

use crate::error::Result;
use crate::identity::Identity;
use crate::read::tail::Tail;
use crate::seal::files;
use crate::seal::sealer::available;
use crate::seal::{Manifest, SegmentInfo};
use crate::search::Results;
use crate::world::World;

/// Segments that are open at once: each has a file open.
const OPEN_MAX: usize = 384;

/// What `search_cache_bytes` is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    /// Decoded pages, but for what the unsealed part takes of it.
    pages: usize,
    /// Where the pages of open segments are, and what is said of them: a sixteenth of what they take in the file.
    segments: usize,
    /// Answers of whole segments.
    results: usize,
    /// Payloads of the newest frames, and places and prints of records that are not sealed yet: the most that is lent of the pages' share.
    payloads: usize,
    prints: usize,
}

impl Shares {
    /// Nothing is left over, and nothing comes on top. Decoded pages yield to records that are not sealed: a page that is gone is decoded
    /// again, a print that is gone has all its records looked at.
    const fn of(bytes: usize) -> Self {
        let (segments, results) = (bytes / 8, bytes / 16);
        Self { pages: bytes - segments - results, segments, results, payloads: bytes / 16, prints: bytes / 16 * 9 }
    }
}

/// What the readers of a store keep in memory for searching, in bytes. Together these stay below
/// [`Config::search_cache_bytes`](crate::Config::search_cache_bytes), but for one open segment and the newest thousand unsealed records, which are kept
/// whatever that is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchMemory {
    /// Decoded pages and dictionaries.
    pub pages: usize,
    /// Open segments: where their pages are, and what is said of them.
    pub segments: usize,
    /// How many those are.
    pub segments_open: usize,
    /// Answers of whole segments.
    pub results: usize,
    /// Places and prints of records that are not sealed yet, and the newest of those records.
    pub unsealed: usize,
}

impl SearchMemory {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.pages + self.segments + self.results + self.unsealed
    }
}

/// Shared by the clones of a reader. Segments never change under their name, so an open one is as good as the file.
pub(crate) struct Shelf {
    kept: Mutex<Kept>,
    tail: Mutex<Tail>,
    cache: PageCache,
    results: Results,
}

struct Kept {
    /// The manifest's bytes, to see whether it was replaced, and what they say.
    manifest: Option<(Option<Vec<u8>>, Arc<Manifest>)>,
    open: HashMap<String, Opened>,
    /// Counts up with every use of a segment.
    uses: u64,
    bytes: usize,
    bytes_max: usize,
}

struct Opened {
    segment: Arc<Segment>,
    /// What it took when it was used last: it takes more as more of it is asked for.
    bytes: usize,
    used: u64,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("open", &self.kept.lock().open.len()).finish()
    }
}

impl Shelf {
    /// Keeps at most `bytes`, in all.
    pub(crate) fn new(world: &World, dir: &Path, bytes: usize) -> Self {
        let shares = Shares::of(bytes);
        let kept = Kept { manifest: None, open: HashMap::new(), uses: 0, bytes: 0, bytes_max: shares.segments };
        Self {
            kept: Mutex::new(kept),
            tail: Mutex::new(Tail::new(world, dir, shares.payloads, shares.prints)),
            cache: PageCache::new(shares.pages),
            results: Results::new(shares.results),
        }
    }

    /// Decoded pages.
    pub(crate) const fn cache(&self) -> &PageCache {
        &self.cache
    }

    /// Answers of whole segments.
    pub(crate) const fn results(&self) -> &Results {
        &self.results
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock()
    }

    /// What it keeps now.
    pub(crate) fn memory(&self) -> SearchMemory {
        let (segments, segments_open) = {
            let kept = self.kept.lock();
            (kept.open.values().map(|opened| opened.segment.memory()).sum(), kept.open.len())
        };
        let results = usize::try_from(self.results.counts().bytes).unwrap_or(usize::MAX);
        let unsealed = self.tail.lock().memory();
        SearchMemory { pages: self.cache.bytes(), segments, segments_open, results, unsealed }
    }

    /// The manifest as it is on disk now.
    pub(crate) fn manifest(&self, world: &World, dir: &Path, identity: &Identity) -> Result<Arc<Manifest>> {
        let bytes = Manifest::bytes(world, dir)?;
        let mut kept = self.kept.lock();
        if let Some((known, manifest)) = &kept.manifest
            && *known == bytes
        {
            return Ok(Arc::clone(manifest));
        }
        let manifest = bytes.as_deref().map_or_else(|| Ok(Manifest::empty()), |bytes| Manifest::from_json(bytes, identity))?;
        if manifest.generation > 0 {
            available()?;
        }
        let manifest = Arc::new(manifest);
        let is_gone = |name: &String| !manifest.segments.iter().any(|info| info.file == *name);
        let gone: Vec<String> = kept.open.keys().filter(|name| is_gone(name)).cloned().collect();
        gone.iter().for_each(|name| kept.close(name, &self.cache));
        kept.manifest = Some((bytes, Arc::clone(&manifest)));
        Ok(manifest)
    }

    /// A segment that a manifest names. Others are closed for it if together they take too much; who is at work on one keeps it until done.
    pub(crate) fn segment(&self, world: &World, dir: &Path, info: &SegmentInfo) -> Result<Arc<Segment>> {
        if let Some(segment) = self.kept.lock().take(&info.file, &self.cache) {
            return Ok(segment);
        }
        let fresh = Arc::new(files::open_segment(world, dir, info)?);
        let mut kept = self.kept.lock();
        // Another search may have been faster.
        if let Some(segment) = kept.take(&info.file, &self.cache) {
            return Ok(segment);
        }
        kept.open.insert(info.file.clone(), Opened { segment: Arc::clone(&fresh), bytes: 0, used: 0 });
        kept.take(&info.file, &self.cache);
        Ok(fresh)
    }
}

impl Kept {
    /// An open segment; closes those that were not used longest, as far as there are too many.
    fn take(&mut self, name: &str, cache: &PageCache) -> Option<Arc<Segment>> {
        let opened = self.open.get_mut(name)?;
        self.uses += 1;
        opened.used = self.uses;
        let bytes = opened.segment.memory();
        self.bytes = self.bytes - opened.bytes + bytes;
        opened.bytes = bytes;
        let segment = Arc::clone(&opened.segment);
        while self.bytes > self.bytes_max || self.open.len() > OPEN_MAX {
            let others = self.open.iter().filter(|(other, _)| *other != name);
            let Some(oldest) = others.min_by_key(|(_, opened)| opened.used).map(|(name, _)| name.clone()) else { break };
            self.close(&oldest, cache);
        }
        Some(segment)
    }

    fn close(&mut self, name: &str, cache: &PageCache) {
        if let Some(gone) = self.open.remove(name) {
            self.bytes -= gone.bytes;
            // Opened again it has another number: its pages would be found by nobody.
            cache.forget(gone.segment.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_shared_out_and_no_more() {
        for bytes in [0, 1, 15, 1 << 20, (64 << 20) + 7, usize::MAX] {
            let Shares { pages, segments, results, payloads, prints } = Shares::of(bytes);
            assert_eq!(pages.checked_add(segments).and_then(|sum| sum.checked_add(results)), Some(bytes));
            assert!(pages - payloads - prints >= bytes / 16 * 3);
        }
    }
}
