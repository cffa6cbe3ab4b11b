//! The disk itself: one thread that writes and syncs as many bytes as a frame of ours has.

use super::{Round, Running, Subject, Writer};
use crate::Result;
use crate::disk::Recycled;

pub(super) struct Bare;

impl Subject for Bare {
    fn name(&self) -> &'static str {
        "bare pwrite + fdatasync"
    }

    fn takes(&self, writers: usize) -> bool {
        writers == 1
    }

    fn open(&self, round: &Round<'_>) -> Result<Box<dyn Running>> {
        Ok(Box::new(Open { file: Recycled::make(&round.dir.join("recycled"), round.frame_bytes)? }))
    }
}

struct Open {
    file: Recycled,
}

impl Running for Open {
    fn writer(&self) -> Result<Writer<'_>> {
        Ok(Box::new(|_| self.file.write_and_sync()))
    }
}
