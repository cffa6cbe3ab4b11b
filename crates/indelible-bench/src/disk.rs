//! The disk itself: as many bytes as a frame has, written and synced over and over on the same blocks.
//!
//! The file was written before, so that a sync has data to write and nothing else: the least that one durable event can cost.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::latency::{Latencies, nanoseconds};

const FILE_BYTES: u64 = 64 << 20;

/// A file that is written again and again.
pub(crate) struct Recycled {
    file: File,
    frame: Vec<u8>,
    at: AtomicU64,
}

impl Recycled {
    pub(crate) fn make(path: &Path, frame_bytes: usize) -> Result<Self> {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
        let zeros = vec![0; 1 << 20];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        // Not zeros: nothing on the way may find out that there is nothing to do.
        let frame = (0..frame_bytes).map(|at| at.to_le_bytes()[0]).collect();
        Ok(Self { file, frame, at: AtomicU64::new(0) })
    }

    pub(crate) fn write_and_sync(&self) -> Result<()> {
        let bytes = self.frame.len() as u64;
        let at = self.at.fetch_add(bytes, Ordering::Relaxed) % (FILE_BYTES - bytes);
        // Whole sectors, as ours are.
        self.file.write_all_at(&self.frame, at - at % 512)?;
        self.file.sync_data()?;
        Ok(())
    }
}

/// How long so many bytes take to write and sync, one after the other for some time.
pub(crate) fn sync_latencies(dir: &Path, frame_bytes: usize, seconds: f64) -> Result<Latencies> {
    let file = Recycled::make(&dir.join("recycled"), frame_bytes)?;
    let mut latencies = Latencies::new()?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs_f64(seconds) {
        let before = Instant::now();
        file.write_and_sync()?;
        latencies.record(nanoseconds(before.elapsed()));
    }
    std::fs::remove_file(dir.join("recycled"))?;
    Ok(latencies)
}
