//! What this runs on, for reports of measurements: processor, file system, limits.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// Model of the processor and how many of them there are.
pub(crate) fn processor() -> String {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name").or_else(|| line.strip_prefix("CPU part")));
    let model = model.and_then(|line| line.split_once(':')).map_or(std::env::consts::ARCH, |(_, model)| model.trim());
    format!("{count} × {model}")
}

/// Device, type and mount point of the file system that holds `path`.
pub(crate) fn file_system(path: &Path) -> String {
    let path = existing(path);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4).map(unescaped) else { continue };
        let mut right = right.split(' ');
        let (Some(kind), Some(device)) = (right.next(), right.next()) else { continue };
        // Of mounts over the same point the last one is seen.
        if path.starts_with(&point) && best.as_ref().is_none_or(|(length, _)| point.len() >= *length) {
            best = Some((point.len(), format!("{kind} on {device} at {point}")));
        }
    }
    best.map_or_else(|| "an unknown file system".to_owned(), |(_, text)| text)
}

/// Spaces and their like are octal in mountinfo.
fn unescaped(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

/// The path itself or the nearest directory above it that there is, in full.
pub(crate) fn existing(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    full.ancestors().find_map(|ancestor| ancestor.canonicalize().ok()).unwrap_or(full)
}

/// How many files this process may have open; `None`: as many as it likes.
pub(crate) fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
