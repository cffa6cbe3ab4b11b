//! Handles of the process: each connection takes one, and the store must not run out of them.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Handles that connections leave to the store, where there are enough.
const KEPT: usize = 2_048;

/// Takes as many handles as the system grants, and gives how many connections fit.
pub(crate) fn connections() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Where it is refused, the limit is what it was.
        let _ = setrlimit(Resource::Nofile, raised);
        limit = getrlimit(Resource::Nofile);
    }
    limit.current.map_or(usize::MAX, |handles| fit(usize::try_from(handles).unwrap_or(usize::MAX)))
}

fn fit(handles: usize) -> usize {
    handles - (handles / 2).min(KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_keeps_its_share() {
        assert_eq!((fit(1_024), fit(20_000), fit(0)), (512, 17_952, 0));
        assert!(connections() > 0);
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
    }
}
