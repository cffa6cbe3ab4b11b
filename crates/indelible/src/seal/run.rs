//! Sealing an open store: when, and up to where.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::commit::pipeline::{OPEN, Shared};
use crate::commit::threads;
use crate::error::{ErrorKind, Result};
use crate::read::frames::{self, FileReader, Pages};
use crate::seal::sealer::{Boundary, Sealed, Sealer, Shape};
use crate::world::fork;

/// How long to wait after a failure: most often for room on disk, if somebody else has taken it.
const RETRY: Duration = Duration::from_secs(10);
/// Sealing is behind when as much waits as so many passes take.
const BEHIND_PASSES: u64 = 2;

impl Shared {
    /// Seals what complete journal files hold, until `stop` says so: some of them, about as many as are sealed together, or `all`: then
    /// the file in use ends first, so that everything durable is sealed.
    pub(crate) fn seal(&self, all: bool, stop: &dyn Fn() -> bool) -> Result<Sealed> {
        self.seal_with(&mut self.sealer.lock(), all, stop)
    }

    pub(crate) fn seal_with(&self, sealer: &mut Sealer, all: bool, stop: &dyn Fn() -> bool) -> Result<Sealed> {
        if fork::generation() != self.forks {
            return Err(self.why_closed());
        }
        let end = {
            let mut writer = self.writer.lock();
            if all {
                writer.journal.end_file();
            }
            let heads = self.heads.read().clone();
            writer.journal.boundary(heads)
        };
        // The checkpoints that opening the store looks for shall not lie behind what is sealed: there are no frames to compare them with.
        self.sign_all()?;
        self.save_checkpoints()?;
        let mut sealed = Sealed::default();
        loop {
            // However much has gathered, a pass takes no more than one that is in time: its segments, its list of frames, and the time
            // until its files go are those of any other.
            // On a disk without room for that it takes one file at a time and leaves older segments alone: each step then needs no more than
            // the file has, which the reserve is there for, and gives the file's room back.
            let is_short = self.is_short_of_room();
            let bytes = if is_short { 1 } else { self.config.sealing.journal_bytes };
            let shape = Shape { merges: !is_short, ..self.config.sealing.shape() };
            let nearer = self.pass_end(sealer.manifest.start.file, &end, bytes)?;
            let is_last = !all || nearer.is_none();
            let pass = sealer.seal(nearer.as_ref().unwrap_or(&end), &shape, stop)?;
            self.counters.segments.fetch_add(pass.segments, Ordering::Relaxed);
            sealed += pass;
            if is_last {
                return Ok(sealed);
            }
        }
    }

    /// Makes durable what was emitted, as far as the disk has room: what waits for more gets it from what is sealed then.
    pub(crate) fn flush_what_fits(&self) -> Result<()> {
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::Busy => Ok(()),
            flushed => flushed,
        }
    }

    /// Whether the disk has no room for a pass of the usual size beside the reserve and the journal's next file. Segments of what does not
    /// compress are as large as the journal was.
    fn is_short_of_room(&self) -> bool {
        let config = &self.config;
        let pass = config.sealing.journal_bytes.saturating_add(config.sealing.memory_bytes_max as u64);
        let needed = config.disk_reserve_bytes.saturating_add(config.journal_file_bytes_max).saturating_add(pass);
        self.world.disk.free_bytes(&config.dir).is_ok_and(|free| free < needed)
    }

    /// Where a pass from file `from` on ends that takes so many bytes of journal, and whole files; `None`: at `end`.
    fn pass_end(&self, from: u64, end: &Boundary, bytes_wanted: u64) -> Result<Option<Boundary>> {
        let mut bytes = 0;
        for number in
            frames::numbers(&self.world, &self.config.dir)?.into_iter().filter(|number| (from..end.file).contains(number))
        {
            let mut reader = FileReader::open(&self.world, &self.config.dir, number, Pages::default())?;
            if bytes >= bytes_wanted
                // One without a header was never in use.
                && let Some((header, _)) = reader.header(&self.identity.store)?
            {
                return Ok(Some(Boundary::before(&header)));
            }
            bytes += reader.len()?;
        }
        Ok(None)
    }

    /// Bytes of journal files that are complete and not sealed.
    fn sealable_bytes(&self) -> u64 {
        let from = self.sealer.lock().manifest.start.file;
        let to = self.writer.lock().journal.boundary(Vec::new()).file;
        let numbers = frames::numbers(&self.world, &self.config.dir).unwrap_or_default();
        let complete = numbers.into_iter().filter(|number| (from..to).contains(number));
        let bytes = |number| {
            let file = FileReader::open(&self.world, &self.config.dir, number, Pages::default());
            file.and_then(|file| file.len()).unwrap_or(0)
        };
        complete.map(bytes).sum()
    }

    /// Whether anything durable is not sealed.
    fn is_unsealed(&self) -> bool {
        let sealer = self.sealer.lock();
        self.heads.read().iter().any(|head| head.size > sealer.state.size(head.log))
    }
}

/// The background: seals once enough complete files have gathered, or once the oldest event has waited long enough; and for want of room on the
/// disk, which what is sealed gives back.
pub(crate) fn keep_sealing(shared: &Shared) {
    // From here on a wake-up is not lost, whenever it comes.
    shared.sealing.nap(Duration::ZERO);
    let running = || shared.state.load(Ordering::Acquire) == OPEN;
    let sealing = shared.config.sealing;
    let (mut since, mut failed) = (Instant::now(), None::<Instant>);
    while running() {
        let old = since.elapsed() >= sealing.interval;
        // Commits wait for a journal file that the disk has no room for: the one in use is full.
        let all = old || shared.stalled.load(Ordering::Acquire);
        let waiting = shared.sealable_bytes();
        let due = waiting >= sealing.journal_bytes || (waiting > 0 && shared.is_short_of_room()) || (all && shared.is_unsealed());
        let pause = failed.map_or(Duration::ZERO, |failed| RETRY.saturating_sub(failed.elapsed()));
        let mut wait = sealing.interval.saturating_sub(since.elapsed());
        if due && !pause.is_zero() {
            wait = pause;
        } else if due {
            let pass = || shared.seal(all, &|| !running());
            // Commits come first: on a machine that is busy, sealing takes what they leave. Where that is too little, the log grows faster
            // than it is sealed, and everybody's questions take longer for it.
            let is_behind = waiting >= BEHIND_PASSES * sealing.journal_bytes;
            match if is_behind { pass() } else { threads::aside("indelible-seal", &pass) } {
                Ok(_) => {
                    (since, failed) = (Instant::now(), None);
                    continue;
                }
                Err(_) => {
                    shared.counters.seal_failures.fetch_add(1, Ordering::Relaxed);
                    failed = Some(Instant::now());
                    wait = RETRY;
                }
            }
        } else if old {
            // Nothing came since: nothing is old.
            since = Instant::now();
            continue;
        }
        // Woken when a journal file is complete, when there is no room for another, and when the store closes.
        shared.sealing.nap(wait.max(Duration::from_millis(10)));
    }
}
