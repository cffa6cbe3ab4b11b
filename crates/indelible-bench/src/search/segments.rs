//! Our events as plain Parquet for DuckDB: the store's own segments, or, of a store that has none, files made by the same writer.

use std::fs::{self, File};
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use indelible::format::leaf::Seed;
use indelible::format::limits::GROUP_LEAVES;
use indelible::{Hash, Reader, Record};
use indelible_segment::{Options, Proof, SegmentWriter};

use super::corpus::Corpus;
use crate::{Result, sealing};

const LOG_MAIN: u32 = 1;
/// Rows of one of the files made here.
const SEGMENT_ROWS: u64 = 1 << 20;

/// Files with all events of the log.
pub(super) struct Segments {
    pub(super) files: Vec<PathBuf>,
    /// Whether the store did not have them.
    pub(super) made: bool,
}

impl Segments {
    /// Those of the store; otherwise makes them in `dir`.
    pub(super) fn of(corpus: &Corpus<'_>, dir: &Path) -> Result<Self> {
        let files = sealing::segments(&corpus.store)?;
        if !files.is_empty() {
            return Ok(Self { files, made: false });
        }
        fs::create_dir_all(dir)?;
        Ok(Self { files: make(corpus, dir)?, made: true })
    }

    pub(super) fn bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for file in &self.files {
            bytes += fs::metadata(file)?.len();
        }
        Ok(bytes)
    }
}

fn make(corpus: &Corpus<'_>, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut maker = Maker { dir, files: Vec::new(), open: None };
    let mut failed = None;
    Reader::open(&corpus.store)?.records(&mut |position| {
        failed = (position.log == LOG_MAIN).then(|| maker.push(position.seq, position.record).err()).flatten();
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match failed {
        Some(error) => Err(error),
        None => maker.finish(corpus.events),
    }
}

/// Writes one file after the other.
struct Maker<'m> {
    dir: &'m Path,
    files: Vec<PathBuf>,
    open: Option<SegmentWriter<BufWriter<File>>>,
}

impl Maker<'_> {
    fn push(&mut self, seq: u64, record: &Record<'_>) -> Result<()> {
        if seq.is_multiple_of(SEGMENT_ROWS) {
            if let Some(writer) = self.open.take() {
                finish(writer, seq - SEGMENT_ROWS, SEGMENT_ROWS)?;
            }
            let path = self.dir.join(format!("{seq:012}.parquet"));
            let out = BufWriter::new(File::create(&path)?);
            self.open = Some(SegmentWriter::new(out, LOG_MAIN, seq, Options::default())?);
            self.files.push(path);
        }
        Ok(self.open.as_mut().ok_or("the log does not begin at 0")?.push(record)?)
    }

    fn finish(self, events: u64) -> Result<Vec<PathBuf>> {
        if let Some(writer) = self.open {
            let first = (events - 1) / SEGMENT_ROWS * SEGMENT_ROWS;
            finish(writer, first, events - first)?;
        }
        Ok(self.files)
    }
}

/// Ends a file with a proof of the size that a real one has: chance instead of roots and seeds.
fn finish(writer: SegmentWriter<BufWriter<File>>, first_seq: u64, count: u64) -> Result<()> {
    let mut rng = Rng::with_seed(first_seq);
    let mut chance = |_| {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes);
        bytes
    };
    let proof = Proof {
        origin: "localhost/bench/1".into(),
        log: LOG_MAIN,
        first_seq,
        count,
        before: Vec::new(),
        roots: (0..count / GROUP_LEAVES).map(|nth| Hash(chance(nth))).collect(),
        seeds: (0..count.div_ceil(GROUP_LEAVES)).map(|nth| Seed(chance(nth))).collect(),
    };
    let (out, _) = writer.finish(&proof)?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}
