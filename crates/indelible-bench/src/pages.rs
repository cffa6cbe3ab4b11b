//! Files that are in memory, and files that are not: what a question costs when the kernel has their pages, and when nobody asked before.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

use crate::Result;

/// Reads all files below `dir`, so that the kernel has their pages.
pub(crate) fn remember(dir: &Path) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remember(&entry.path())?;
        } else if kind.is_file() {
            let mut file = File::open(entry.path())?;
            while file.read(&mut buffer)? > 0 {}
        }
    }
    Ok(())
}

/// Writes all files below `dir` to the disk and has the kernel forget their pages. Pages that somebody has mapped stay: close first.
pub(crate) fn forget(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            forget(&entry.path())?;
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            // Only clean pages can be forgotten.
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
