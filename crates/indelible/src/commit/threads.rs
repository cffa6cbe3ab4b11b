//! The threads of a store and how they sleep.
//!
//! A committer naps while there is traffic, as long as the durability mode lets events gather, so that callers need no system call
//! to be served, and parks for good when there was none for a while; the first event after that wakes it. The second committer only helps to build ahead. The
//! keeper signs checkpoints, writes them out, and makes journal files ahead of use. The sealer makes segments of complete ones.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::buffer::Lane;
use crate::commit::pipeline::{CLOSED, DEAD, OPEN, Progress, Shared};
use crate::config::Durability;
use crate::world;

/// How long a committer naps while there is traffic and events need not gather: the bound on how long an event nobody waits for lies in
/// memory.
const NAP: Duration = Duration::from_micros(250);
/// Traffic is over when nothing came for this long.
const QUIET: Duration = Duration::from_millis(50);
/// How long a committer waits before it asks a full disk again.
const RETRY: Duration = Duration::from_millis(100);
/// Pending bytes at which the second committer joins in.
const SECOND_BYTES: usize = 256 << 10;

/// Lets one thread sleep and others wake it, cheaply when it is awake.
#[derive(Default)]
pub(crate) struct Parking {
    parked: AtomicBool,
    napping: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Parking {
    fn enter(&self) {
        *self.thread.lock() = Some(thread::current());
    }

    /// Sleeps until woken, unless `ready` says there is work.
    fn park(&self, ready: impl Fn() -> bool) {
        self.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !ready() {
            thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }

    /// Wakes the thread if it sleeps for good.
    #[inline]
    pub(crate) fn wake_if_parked(&self) {
        publish_before_looking();
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes the thread from a nap, unless somebody did since its last one.
    #[inline]
    pub(crate) fn wake_now(&self) {
        publish_before_looking();
        if self.napping.load(Ordering::Relaxed) && self.napping.swap(false, Ordering::SeqCst) {
            self.wake();
        } else {
            self.wake_if_parked();
        }
    }

    /// Wakes the thread from any sleep.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.lock().as_ref() {
            thread.unpark();
        }
    }
}

/// What was put into a lane is seen before the flags of who sleeps are looked at: else both sides may miss each other. The other half
/// is the fence between setting a flag and looking for work.
#[inline]
fn publish_before_looking() {
    // On x86-64 the unlocking of the lane was a full barrier already.
    #[cfg(target_arch = "x86_64")]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(target_arch = "x86_64"))]
    fence(Ordering::SeqCst);
}

thread_local! {
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread belongs to a store. Foreign code runs here when it is woken, and must not wait for this very thread.
pub(crate) fn is_own() -> bool {
    OWN.get()
}

/// Does `work` on a thread of its own that gives way to all others, and waits for it; here, if no thread can be had.
pub(crate) fn aside<T: Send>(name: &str, work: &(dyn Fn() -> T + Sync)) -> T {
    let aside = || {
        OWN.set(true);
        world::background();
        work()
    };
    thread::scope(|scope| match thread::Builder::new().name(name.into()).spawn_scoped(scope, aside) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(_) => work(),
    })
}

/// Starts the threads of a store.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let spawn = |name: &str, run: fn(&Shared)| {
        let shared = Arc::clone(shared);
        thread::Builder::new().name(name.into()).spawn(move || {
            OWN.set(true);
            run(&shared);
        })
    };
    let mut threads = vec![
        spawn("indelible-commit", commit)?,
        spawn("indelible-build", build_ahead)?,
        spawn("indelible-keep", crate::digest::checkpoints::keep)?,
    ];
    if shared.config.sealing.background && cfg!(feature = "segments") {
        threads.push(spawn("indelible-seal", crate::seal::run::keep_sealing)?);
    }
    Ok(threads)
}

impl Parking {
    /// For a thread that keeps house: sleeps at most `timeout`.
    pub(crate) fn nap(&self, timeout: Duration) {
        self.enter();
        thread::park_timeout(timeout);
    }

    /// For a thread that keeps house: sleeps until woken, unless `ready` says there is work.
    pub(crate) fn rest(&self, ready: impl Fn() -> bool) {
        self.enter();
        self.park(ready);
    }
}

fn running(shared: &Shared) -> bool {
    shared.state.load(Ordering::Acquire) == OPEN
}

/// Whether what waits should be committed now.
fn due(shared: &Shared, since: Instant) -> bool {
    if shared.stalled.load(Ordering::Acquire) {
        return true;
    }
    let pending = shared.pending_records();
    if pending == 0 {
        return false;
    }
    let gathered =
        |events: u64, interval| pending as u64 >= events || since.elapsed() >= interval || shared.lanes.iter().any(Lane::presses);
    match shared.config.durability {
        Durability::Immediate => true,
        Durability::Batched { events, interval } => gathered(events, interval),
        Durability::Hybrid { events, interval } => {
            let [critical, ..] = &shared.lanes;
            critical.pending_records() > 0 || gathered(events, interval)
        }
    }
}

/// Sleeps for `RETRY`, whoever wakes this thread, or until the store closes.
fn pause(shared: &Shared) {
    let until = Instant::now() + RETRY;
    while running(shared) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// How long to nap: where events may gather, until the oldest one is due. Who completes a batch wakes the committer before.
fn nap(shared: &Shared, since: Instant) -> Duration {
    match shared.config.durability {
        Durability::Immediate => NAP,
        Durability::Batched { interval, .. } | Durability::Hybrid { interval, .. } => {
            interval.saturating_sub(since.elapsed()).max(NAP)
        }
    }
}

fn commit(shared: &Shared) {
    shared.committer.enter();
    let mut last_work = Instant::now();
    // When the oldest event that waits now came in, as far as this thread knows.
    let mut since = Instant::now();
    loop {
        let state = shared.state.load(Ordering::Acquire);
        if state == CLOSED || state == DEAD {
            return;
        }
        if due(shared, since) {
            match shared.cycle() {
                Ok(Progress::Committed | Progress::Cleared) => {
                    last_work = Instant::now();
                    since = last_work;
                    if shared.pending_bytes() >= SECOND_BYTES {
                        shared.second.wake_if_parked();
                    }
                    continue;
                }
                Ok(Progress::Idle) => {}
                // No room on disk: try again, but not in a hurry. Death shows in the state.
                Err(_) => pause(shared),
            }
        } else if shared.pending_records() == 0 {
            since = Instant::now();
        }
        let nothing_to_do = || shared.pending_records() == 0 && !shared.stalled.load(Ordering::Acquire);
        if nothing_to_do() && last_work.elapsed() > QUIET {
            shared.committer.park(|| !nothing_to_do() || !running(shared));
            last_work = Instant::now();
            since = last_work;
        } else {
            shared.committer.napping.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            if running(shared) && !due(shared, since) {
                thread::park_timeout(nap(shared, since));
            }
            shared.committer.napping.store(false, Ordering::SeqCst);
        }
    }
}

/// Builds the next batch while the first committer syncs one, as long as enough waits to be worth it.
fn build_ahead(shared: &Shared) {
    shared.second.enter();
    while running(shared) {
        if shared.pending_bytes() < SECOND_BYTES || shared.stalled.load(Ordering::Acquire) {
            shared.second.park(|| !running(shared));
            continue;
        }
        // Errors show in the state, and to those who wait.
        let _ = shared.cycle();
    }
}
