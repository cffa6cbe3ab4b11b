//! Random bytes that repeat.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use indelible::world::Entropy;
use parking_lot::Mutex;

/// The byte stream of a seed, handed out in the order of the calls. Fit for tests, never for keys. Clones share the stream.
#[derive(Debug, Clone)]
pub struct SimEntropy {
    rng: Arc<Mutex<Rng>>,
    broken: Arc<AtomicBool>,
}

impl SimEntropy {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Apart from the disk's stream of the same seed, so that a new draw there moves no key here.
        let rng = Rng::with_seed(seed ^ 0x9E37_79B9_7F4A_7C15);
        Self { rng: Arc::new(Mutex::new(rng)), broken: Arc::new(AtomicBool::new(false)) }
    }

    /// From now on every fill fails (`true`) or works (`false`).
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, buf: &mut [u8]) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("simulated: no entropy"));
        }
        self.rng.lock().fill(buf);
        Ok(())
    }
}
