//! The machine's randomness.

use std::io;

use super::Entropy;

/// Random bytes from the kernel (`getrandom`). Keeps no state of its own, so a fork cannot repeat any.
///
/// **Cost**: one system call per fill. Blocks only on a machine that has just booted and gathered no entropy yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealEntropy;

impl Entropy for RealEntropy {
    fn fill(&self, buf: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buf).map_err(|error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::other(error.to_string()),
        })
    }
}
