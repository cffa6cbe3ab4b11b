//! What a reader keeps of the sealed part of a store: the manifest, and the segments that were opened so far.

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

/// Shared by the clones of a reader. Segments never change under their name, so an open one is as good as the file.
pub(crate) struct Shelf {
    kept: Mutex<Kept>,
    tail: Mutex<Tail>,
    cache: PageCache,
    results: Results,
}

#[derive(Default)]
struct Kept {
    /// The manifest's bytes, to see whether it was replaced, and what they say.
    manifest: Option<(Option<Vec<u8>>, Arc<Manifest>)>,
    segments: HashMap<String, Arc<Segment>>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("open", &self.kept.lock().segments.len()).finish()
    }
}

impl Shelf {
    pub(crate) fn new(world: &World, dir: &Path, cache_bytes: usize) -> Self {
        Self {
            kept: Mutex::default(),
            tail: Mutex::new(Tail::new(world, dir, cache_bytes)),
            cache: PageCache::new(cache_bytes),
            results: Results::new(cache_bytes / 8),
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
        kept.segments.retain(|name, segment| {
            let is_named = manifest.segments.iter().any(|info| info.file == *name);
            if !is_named {
                self.cache.forget(segment.id());
            }
            is_named
        });
        kept.manifest = Some((bytes, Arc::clone(&manifest)));
        Ok(manifest)
    }

    /// A segment that a manifest names.
    pub(crate) fn segment(&self, world: &World, dir: &Path, info: &SegmentInfo) -> Result<Arc<Segment>> {
        if let Some(segment) = self.kept.lock().segments.get(&info.file) {
            return Ok(Arc::clone(segment));
        }
        let segment = Arc::new(files::open_segment(world, dir, info)?);
        self.kept.lock().segments.insert(info.file.clone(), Arc::clone(&segment));
        Ok(segment)
    }
}
