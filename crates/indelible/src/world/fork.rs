//! Knowing that this process is a forked copy.
//!
//! A child made by `fork` inherits the log's memory, its open files and its writer's lock, but none of its threads. Were
//! it to emit, two processes would write the same sequence numbers. So the engine remembers [`watch`]'s answer when it
//! opens, compares it with [`generation`] on every emit, and refuses when they differ.
//!
//! Invariants: the counter only grows, and only in a child, before `fork` returns there. Parents never see a change.
//!
//! Not seen: a child made by a bare `clone` system call behind the C library's back. `vfork` and `posix_spawn` run no
//! handlers either, but their children may do nothing but `exec`.
#![expect(
    unsafe_code,
    reason = "pthread_atfork has no safe wrapper; it is the only way to see a fork without a system call per emit"
)]

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many forks lie between this process and the first one that called [`watch`]. 0 while nobody watches.
///
/// **Cost**: one relaxed load.
#[must_use]
#[inline]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Starts counting forks, once per process tree however often it is called, and returns the present [`generation`].
///
/// # Errors
/// Out of memory for the handler. Forks would go unseen, so whoever relies on them must not go on.
pub fn watch() -> io::Result<u64> {
    let registered = *REGISTERED.get_or_init(|| {
        // SAFETY: the handler is a function that lives as long as the code itself and that does nothing but one atomic
        // addition, which is allowed in the child of a multi-threaded process. No other handlers are given.
        unsafe { libc::pthread_atfork(None, None, Some(count_fork)) }
    });
    match registered {
        0 => Ok(generation()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Runs in the child, in the only thread it has, before `fork` returns.
extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

static GENERATION: AtomicU64 = AtomicU64::new(0);
static REGISTERED: OnceLock<i32> = OnceLock::new();
