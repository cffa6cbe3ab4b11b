//! The one place where the benchmarks seal: everything else takes what it finds.

#[cfg(feature = "peers")]
use std::{
    fs,
    path::{Path, PathBuf},
};

use indelible::{Config, Sealed, Store};

use crate::Result;

/// Switches background sealing on for a store that is about to be opened.
pub(crate) const fn switch_on(config: &mut Config) {
    config.sealing.background = true;
}

/// Seals all that is durable, and returns when it is.
pub(crate) fn seal(store: &Store) -> Result<Sealed> {
    Ok(store.seal()?)
}

/// The Parquet files of a store, oldest first.
#[cfg(feature = "peers")]
pub(crate) fn segments(store: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(segments(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
