//! The disk itself: one thread that writes and syncs as many bytes as a frame of ours has, over and over on the same blocks.
//!
//! The file was written before, so that a sync has data to write and nothing else: the least that one durable event can cost.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Round, Running, Subject, Writer};
use crate::Result;

const FILE_BYTES: u64 = 64 << 20;

pub(super) struct Bare;

impl Subject for Bare {
    fn name(&self) -> &'static str {
        "bare pwrite + fdatasync"
    }

    fn takes(&self, writers: usize) -> bool {
        writers == 1
    }

    fn open(&self, round: &Round<'_>) -> Result<Box<dyn Running>> {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(round.dir.join("recycled"))?;
        let zeros = vec![0; 1 << 20];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        // Not zeros: nothing on the way may find out that there is nothing to do.
        let frame = (0..round.frame_bytes).map(|at| at.to_le_bytes()[0]).collect();
        Ok(Box::new(Open { file, frame, at: AtomicU64::new(0) }))
    }
}

struct Open {
    file: File,
    frame: Vec<u8>,
    at: AtomicU64,
}

impl Running for Open {
    fn writer(&self) -> Result<Writer<'_>> {
        Ok(Box::new(|_| {
            let bytes = self.frame.len() as u64;
            let at = self.at.fetch_add(bytes, Ordering::Relaxed) % (FILE_BYTES - bytes);
            // Whole sectors, as ours are.
            self.file.write_all_at(&self.frame, at - at % 512)?;
            self.file.sync_data()?;
            Ok(())
        }))
    }
}
