//! Other processes: forked copies of this one, and writers that are killed while they write.
#![expect(unsafe_code, reason = "fork has no safe wrapper; a test that a forked copy is refused needs a fork")]

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indelible::world::World;
use indelible::{Config, Durability, Hash, Receipt, Store};

use crate::events::Spec;
use crate::gate::Gate;
use crate::model::{Acknowledged, Ledger};
use crate::scenario::chain;

/// Runs `child` in a forked copy of this process and returns what it returned; 255 when it panicked.
///
/// # Errors
/// The fork failed, or the child did not end within ten seconds (it is killed then) or died by a signal.
pub fn in_fork(child: impl FnOnce() -> u8) -> io::Result<u8> {
    // SAFETY: the child runs `child` and leaves by `_exit`, so no destructor or exit handler of the parent runs twice. What
    // `child` may not rely on is that other threads go on: they are not there. The C library's own allocator is usable in
    // the child of a threaded process, and a lock held by another thread would hang it, which the parent's patience ends.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(255);
            // SAFETY: ends this process at once; it is the child's only thread.
            unsafe { libc::_exit(i32::from(code)) }
        }
        pid => wait(pid, Instant::now() + Duration::from_secs(10)),
    }
}

fn wait(pid: libc::pid_t, deadline: Instant) -> io::Result<u8> {
    loop {
        let mut status = 0;
        // SAFETY: `pid` is a child of this process that nobody else waits for, and `status` is a live integer.
        match unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } {
            0 if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            0 => {
                // SAFETY: the child was not waited for, so its number is still its own.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                // SAFETY: as above; the child is about to end.
                unsafe { libc::waitpid(pid, &raw mut status, 0) };
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the forked child did not end"));
            }
            -1 => return Err(io::Error::last_os_error()),
            _ if libc::WIFEXITED(status) => return Ok(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX)),
            _ => return Err(io::Error::other(format!("the forked child died: status {status}"))),
        }
    }
}

/// What a writer process is told.
#[derive(Debug, Clone)]
pub struct WriterPlan {
    /// The data directory.
    pub dir: PathBuf,
    /// Where it sends what was acknowledged.
    pub socket: PathBuf,
    /// Seed of its events.
    pub seed: u64,
    /// Its threads write the streams `first_stream..first_stream + threads`.
    pub first_stream: u64,
    /// How many threads append.
    pub threads: u64,
    /// Whether its syncs do nothing.
    pub lying: bool,
}

impl WriterPlan {
    /// The plan as one environment variable.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { dir, socket, seed, first_stream, threads, lying } = self;
        format!("{}\n{}\n{seed}\n{first_stream}\n{threads}\n{lying}", dir.display(), socket.display())
    }

    /// Reads [`to_text`](Self::to_text) back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (dir, socket) = (lines.next()?.into(), lines.next()?.into());
        let mut number = || lines.next()?.parse().ok();
        let (seed, first_stream, threads) = (number()?, number()?, number()?);
        Some(Self { dir, socket, seed, first_stream, threads, lying: lines.next()? == "true" })
    }
}

/// Life of the writer process: opens the store, says so, and appends until it is killed or something fails. The odd threads
/// wait for each event, the even ones keep several in flight. Only what was acknowledged is told.
///
/// # Errors
/// The failure that ended it; a writer that is killed does not return.
pub fn write_until_killed(plan: &WriterPlan) -> Result<(), String> {
    let ledger = Mutex::new(UnixStream::connect(&plan.socket).map_err(|error| format!("no ledger: {error}"))?);
    let (gate, world) = Gate::before(World::real());
    if plan.lying {
        gate.lie();
    }
    let mut config = Config::new(&plan.dir);
    // Small files, frequent checkpoints and small segments: so that a kill falls into a rotation, a signature, or any stage of sealing
    // now and then.
    config.durability = Durability::Immediate;
    config.disk_reserve_bytes = 1 << 20;
    config.journal_file_bytes_max = 4 << 20;
    config.checkpoint_interval = Duration::from_millis(20);
    config.sealing.background = false;
    config.sealing.rows_max = 2_048;
    let store = Store::open_in(config, world).map_err(|error| chain(&error))?;
    tell(&ledger, "open\n");
    let streams: Vec<u64> = (0..plan.threads).map(|thread| plan.first_stream + thread).collect();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            streams.iter().map(|stream| scope.spawn(|| append_for_ever(&store, plan.seed, *stream, &ledger))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    Err(failures.join("; "))
}

/// Events that every other thread of a writer has under way at once; the others have one.
const DEPTH: usize = 16;

/// Events that a writer of so many threads has under way at once, at most.
#[must_use]
pub const fn under_way(threads: u64) -> u64 {
    threads.div_ceil(2) * DEPTH as u64 + threads / 2
}

fn append_for_ever(store: &Store, seed: u64, stream: u64, ledger: &Mutex<UnixStream>) -> String {
    let mut in_flight = std::collections::VecDeque::new();
    let depth = if stream.is_multiple_of(2) { DEPTH } else { 1 };
    for number in 0.. {
        let spec = Spec::of(seed, stream, number);
        // Not left to the thread in the background, which a busy machine does not run for a while.
        if stream % 4 == 3
            && number % 8 == 7
            && let Err(error) = store.seal()
        {
            return chain(&error);
        }
        match store.emit(&spec.draft()) {
            // A lane that sheds may shed: that is not an acknowledgement.
            Ok(ticket) if ticket.is_shed() => {}
            Ok(ticket) => in_flight.push_back((number, ticket)),
            Err(error) => return chain(&error),
        }
        while in_flight.len() >= depth
            && let Some((number, ticket)) = in_flight.pop_front()
        {
            match ticket.wait() {
                Ok(receipt) => tell(ledger, &line(stream, number, &receipt)),
                Err(error) => return chain(&error),
            }
        }
    }
    String::new()
}

fn line(stream: u64, number: u64, receipt: &Receipt) -> String {
    let hex: String = receipt.leaf.unwrap_or_default().0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{stream} {number} {} {} {hex}\n", receipt.log, receipt.seq.unwrap_or(u64::MAX))
}

fn tell(ledger: &Mutex<UnixStream>, text: &str) {
    // One write per line: what the parent reads is a whole number of lines but for the last. If the parent is gone, so is
    // the reason to go on; the next kill ends this process.
    if let Ok(mut stream) = ledger.lock() {
        let _ = stream.write_all(text.as_bytes());
    }
}

/// The parent's end of the ledger of one writer process.
#[derive(Debug)]
pub struct LedgerSocket {
    listener: UnixListener,
}

impl LedgerSocket {
    /// Listens at `path`; a socket left there is replaced.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if path.exists() {
            std::fs::remove_file(path)?;
        }
        Ok(Self { listener: UnixListener::bind(path)? })
    }

    /// Waits for the writer and for its word that the store is open.
    ///
    /// # Errors
    /// It went away before that.
    pub fn wait_for_writer(&self) -> io::Result<LedgerStream> {
        let (stream, _) = self.listener.accept()?;
        let mut lines = BufReader::new(stream);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        if first != "open\n" {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the writer could not open the store"));
        }
        Ok(LedgerStream { lines })
    }
}

/// What a writer process tells.
#[derive(Debug)]
pub struct LedgerStream {
    lines: BufReader<UnixStream>,
}

impl LedgerStream {
    /// Reads the next acknowledgement into `ledger`. `false`: the writer is gone, and everything it told is read.
    ///
    /// # Errors
    /// The writer's receipts contradict each other, or it talks nonsense.
    pub fn read_one(&mut self, seed: u64, ledger: &mut Ledger) -> Result<bool, String> {
        let mut text = String::new();
        self.lines.read_line(&mut text).map_err(|error| format!("ledger: {error}"))?;
        // The last line may have been cut off by the kill: then it was not told.
        let Some(text) = text.strip_suffix('\n') else { return Ok(false) };
        let mut parts = text.split(' ');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let place = (|| Some((number()?, number()?, number()?, number()?)))();
        let leaf = parts.next().and_then(unhex);
        let (Some((stream, number, log, seq)), Some(leaf)) = (place, leaf) else { return Err(format!("ledger: {text:?}")) };
        let log = u32::try_from(log).map_err(|error| error.to_string())?;
        ledger.acknowledge_at(&Spec::of(seed, stream, number), Acknowledged { log, seq, leaf })?;
        Ok(true)
    }
}

fn unhex(text: &str) -> Option<Hash> {
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    Hash::from_slice(&bytes?)
}
