//! What a thread has read of segments: counted where it is read, by whom it is read.
//!
//! A cache is shared by all who search; what it counts says nothing of one search. Who looks at these counts before and after its work, on
//! each thread that it works on, has its own.

use std::cell::Cell;
use std::ops::{AddAssign, Sub};

/// What was read of segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// Pages and dictionaries that were found decoded.
    pub found: u64,
    /// Pieces of files that were read: pages, dictionaries, parts of indexes, and what says where those are.
    pub pieces: u64,
    /// Bytes of those, as they are in the files.
    pub bytes: u64,
}

thread_local! {
    static READS: Cell<Reads> = const { Cell::new(Reads { found: 0, pieces: 0, bytes: 0 }) };
}

impl Reads {
    /// Since this thread began.
    #[must_use]
    pub fn of_this_thread() -> Self {
        READS.get()
    }
}

pub(crate) fn count_found() {
    READS.set(Reads { found: READS.get().found + 1, ..READS.get() });
}

pub(crate) fn count_read(bytes: usize) {
    let reads = READS.get();
    READS.set(Reads { pieces: reads.pieces + 1, bytes: reads.bytes + bytes as u64, ..reads });
}

impl AddAssign for Reads {
    fn add_assign(&mut self, other: Self) {
        self.found += other.found;
        self.pieces += other.pieces;
        self.bytes += other.bytes;
    }
}

impl Sub for Reads {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { found: self.found - before.found, pieces: self.pieces - before.pieces, bytes: self.bytes - before.bytes }
    }
}
