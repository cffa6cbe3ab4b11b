//! The events of a run: in a store of ours, in the order in which it committed them, and as JSON text for everybody else.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use indelible::{Config, Reader, Store};

use crate::cpu::thread_cpu;
use crate::progress::Progress;
use crate::zipf::Zipf;
use crate::{Result, sealing};

const LOG_MAIN: u32 = 1;
/// Text that is handed on at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Where the events are.
pub(crate) struct Corpus<'z> {
    #[cfg_attr(not(feature = "peers"), expect(dead_code, reason = "peers are loaded from it"))]
    pub(crate) zipf: &'z Zipf,
    pub(crate) events: u64,
    /// Our store.
    pub(crate) store: PathBuf,
    pub(crate) store_seconds: f64,
    /// What making one event costs.
    pub(crate) event_ns: f64,
    /// One event per line, in the order of our log.
    #[cfg_attr(not(feature = "peers"), expect(dead_code, reason = "peers read it"))]
    pub(crate) lines: PathBuf,
    pub(crate) lines_bytes: u64,
    pub(crate) gzip_bytes: u64,
    pub(crate) zstd_bytes: u64,
    /// The events' numbers, in the order of our log.
    #[cfg_attr(not(feature = "peers"), expect(dead_code, reason = "peers are loaded in this order"))]
    pub(crate) order: Vec<u64>,
}

impl<'z> Corpus<'z> {
    /// Makes store and text below `dir`.
    pub(crate) fn make(zipf: &'z Zipf, events: u64, dir: &Path) -> Result<Self> {
        let event_ns = event_ns(zipf, events);
        let store = dir.join("store");
        let started = Instant::now();
        fill(&store, zipf, 0..events)?;
        let store_seconds = started.elapsed().as_secs_f64();
        let order = order(&store, zipf)?;
        if order.len() as u64 != events {
            return Err(format!("{events} events were emitted, {} are there", order.len()).into());
        }
        let lines = dir.join("events.ndjson");
        let [lines_bytes, gzip_bytes, zstd_bytes] = write_lines(&lines, zipf, &order)?;
        Ok(Self { zipf, events, store, store_seconds, event_ns, lines, lines_bytes, gzip_bytes, zstd_bytes, order })
    }
}

/// CPU time of making one event and its draft.
fn event_ns(zipf: &Zipf, events: u64) -> f64 {
    let before = thread_cpu();
    (0..events).for_each(|nth| drop(black_box(zipf.at(nth).draft())));
    (thread_cpu() - before).as_secs_f64() * 1e9 / events as f64
}

/// Emits these events into the store in `dir`, seals them and closes it.
pub(crate) fn fill(dir: &Path, zipf: &Zipf, numbers: std::ops::Range<u64>) -> Result<()> {
    let mut config = Config::new(dir);
    sealing::switch_on(&mut config);
    let store = Store::open(config)?;
    let reader = store.reader()?;
    let mut progress = Progress::new(numbers.end - numbers.start);
    for nth in numbers.clone() {
        store.emit(&zipf.at(nth).draft())?;
        let done = nth + 1 - numbers.start;
        if done.is_multiple_of(LOOK_EVENTS) {
            progress.at(done);
            // Emitting is faster than sealing: what waits takes nine times the room of what is sealed.
            while done > sealed(&reader)? + UNSEALED_MAX {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    drop(progress);
    store.flush()?;
    sealing::seal(&store)?;
    store.close()?;
    Ok(())
}

/// Events between two looks at how far sealing is.
const LOOK_EVENTS: u64 = 1 << 16;
/// Events that may wait to be sealed.
const UNSEALED_MAX: u64 = 4_000_000;

fn sealed(reader: &Reader) -> Result<u64> {
    Ok(reader.segments()?.iter().map(|info| info.count).sum())
}

/// The events' numbers as our log has them: critical ones overtake others by a frame.
fn order(store: &Path, zipf: &Zipf) -> Result<Vec<u64>> {
    let mut order = Vec::new();
    let mut strange = None;
    let scan = Reader::open(store)?.records(&mut |position| {
        if position.log != LOG_MAIN {
            return ControlFlow::Continue(());
        }
        match position.record.head().and_then(|head| zipf.number_of(head.time)) {
            Some(nth) => order.push(nth),
            None => strange = Some(position.seq),
        }
        if strange.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match (strange, scan.reason) {
        (None, None) => Ok(order),
        (Some(seq), _) => Err(format!("the event at position {seq} is not one of ours").into()),
        (None, Some(reason)) => Err(reason.into()),
    }
}

/// Writes the text; returns its bytes, and those that gzip -6 and zstd -3 make of it.
fn write_lines(path: &Path, zipf: &Zipf, order: &[u64]) -> Result<[u64; 3]> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut gzip = GzEncoder::new(Counted::default(), Compression::new(6));
    let mut zstd = zstd::stream::Encoder::new(Counted::default(), 3)?;
    let (mut text, mut bytes) = (String::new(), 0);
    let mut numbers = order.iter().peekable();
    while let Some(nth) = numbers.next() {
        zipf.at(*nth).json_line(&mut text);
        if text.len() >= CHUNK_BYTES || numbers.peek().is_none() {
            let outputs: [&mut dyn Write; 3] = [&mut file, &mut gzip, &mut zstd];
            for output in outputs {
                output.write_all(text.as_bytes())?;
            }
            bytes += text.len() as u64;
            text.clear();
        }
    }
    file.into_inner()?.sync_all()?;
    Ok([bytes, gzip.finish()?.bytes, zstd.finish()?.bytes])
}

/// Counts what is written to it.
#[derive(Default)]
struct Counted {
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
