//! Import of real Windows events, one stage more in every pass: what each stage costs is the difference.
//!
//! The passes are what the `import` command does on one thread: decompress, cut into records, parse, adapt, emit.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use indelible::json::{Document, Limits};
use indelible::{Config, Store};
use indelible_adapters::{Adapter, ReadLimits, for_each_record};

use crate::cpu::{CpuUse, CpuWatch};
use crate::report::{Cell, Table, cells};
use crate::{Bench, Result};

/// The set of Windows events inside the corpus.
const SET: &str = "otrf-security-datasets/atomic/windows";
const READ_BYTES: usize = 256 << 10;

#[derive(Debug, Default, Args)]
pub(crate) struct ImportArgs {
    /// Files or directories to import: JSON, also as .gz or .zst [default: the Windows set of $INDELIBLE_CORPUS]
    paths: Vec<PathBuf>,
}

/// How far a pass goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Decompress,
    Cut,
    Parse,
    Adapt,
    Emit,
}

impl Stage {
    const ALL: &'static [Self] = &[Self::Decompress, Self::Cut, Self::Parse, Self::Adapt, Self::Emit];

    const fn name(self) -> &'static str {
        match self {
            Self::Decompress => "decompress",
            Self::Cut => "+ cut into records",
            Self::Parse => "+ parse JSON (adapt does it itself)",
            Self::Adapt => "+ adapt: parse, canonical form, split, map",
            Self::Emit => "+ emit, all durable",
        }
    }

    /// The stage that this one is built upon: adapting parses for itself.
    const fn below(self) -> Option<Self> {
        match self {
            Self::Decompress => None,
            Self::Cut => Some(Self::Decompress),
            Self::Parse | Self::Adapt => Some(Self::Cut),
            Self::Emit => Some(Self::Adapt),
        }
    }
}

/// What went through a pass.
#[derive(Debug, Clone, Copy, Default)]
struct Passed {
    bytes: u64,
    records: u64,
    refused: u64,
}

pub(crate) fn run(bench: &mut Bench, args: &ImportArgs) -> Result<()> {
    let mut files = Vec::new();
    if args.paths.is_empty() {
        let corpus =
            std::env::var_os("INDELIBLE_CORPUS").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from).join(SET);
        if !corpus.is_dir() {
            let mut table = Table::new("import", &["stage"]);
            table.note(format!("skipped: {} is not there; set INDELIBLE_CORPUS or name files", corpus.display()));
            return bench.report.add(table);
        }
        collect(&corpus, &mut files)?;
    } else {
        for path in &args.paths {
            collect(path, &mut files)?;
        }
    }
    let mut table = Table::new(
        format!("import: {} files, one thread", files.len()),
        &["pass", "seconds", "MB/s", "records/s", "this stage s", "share", "process CPU s", "foreign CPU"],
    );
    let mut passes: Vec<(Stage, f64, CpuUse, Passed)> = Vec::new();
    let mut stored_bytes = 0;
    for &stage in Stage::ALL {
        let dir = bench.place.fresh("import")?;
        let store = if stage == Stage::Emit { Some(Store::open(Config::new(dir.path().join("store")))?) } else { None };
        let watch = CpuWatch::start(&[]);
        let started = Instant::now();
        let mut passed = Passed::default();
        for file in &files {
            pass(file, stage, store.as_ref(), &mut passed).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        if let Some(store) = &store {
            store.flush()?;
        }
        let seconds = started.elapsed().as_secs_f64();
        passes.push((stage, seconds, watch.stop(), passed));
        if let Some(store) = store {
            stored_bytes = store.stats().bytes;
            store.close()?;
        }
    }
    let total = passes.last().map_or(0.0, |(_, seconds, ..)| *seconds);
    for (stage, seconds, cpu, passed) in &passes {
        let below = stage
            .below()
            .and_then(|below| passes.iter().find(|(stage, ..)| *stage == below))
            .map_or(0.0, |(_, seconds, ..)| *seconds);
        let own = seconds - below;
        table.row(cells![
            stage.name(),
            *seconds,
            passed.bytes as f64 / 1e6 / seconds,
            if passed.records > 0 { Cell::Number(passed.records as f64 / seconds) } else { Cell::Nothing },
            own,
            format!("{:.0} %", 100.0 * own / total),
            cpu.own_s(),
            cpu.foreign_text(),
        ]);
    }
    if let Some((.., passed)) = passes.last() {
        table.note(format!(
            "{:.1} MB of JSON, {} records, {} of them refused; {:.1} MB of journal",
            passed.bytes as f64 / 1e6,
            passed.records,
            passed.refused,
            stored_bytes as f64 / 1e6
        ));
    }
    table.note("shares are of the last pass; hashing and syncing run on other threads beside it");
    bench.report.add(table)
}

/// All files below `path`, in the order of their names.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries =
        std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| collect(entry, files))
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    Ok(match extension {
        Some("zst") => Box::new(BufReader::with_capacity(READ_BYTES, zstd::Decoder::new(file)?)),
        Some("gz") => Box::new(BufReader::with_capacity(READ_BYTES, flate2::read::MultiGzDecoder::new(file))),
        _ => Box::new(BufReader::with_capacity(READ_BYTES, file)),
    })
}

/// Takes one file through all stages up to `stage`.
fn pass(path: &Path, stage: Stage, store: Option<&Store>, passed: &mut Passed) -> Result<()> {
    let mut input = open(path)?;
    if stage == Stage::Decompress {
        loop {
            let bytes = black_box(input.fill_buf()?).len();
            if bytes == 0 {
                return Ok(());
            }
            passed.bytes += bytes as u64;
            input.consume(bytes);
        }
    }
    let mut adapter = Adapter::new(None);
    let mut document = Document::new();
    let mut failed = None;
    let totals = for_each_record(&mut input, ReadLimits::default(), &mut |record| {
        passed.records += 1;
        let accepted = match (record, stage) {
            (Err(_), _) => false,
            (Ok(record), Stage::Decompress | Stage::Cut) => {
                black_box(record.bytes);
                true
            }
            (Ok(record), Stage::Parse) => black_box(document.parse(record.bytes, &Limits::default())).is_ok(),
            (Ok(record), Stage::Adapt | Stage::Emit) => {
                let adapted = adapter.adapt(record.bytes, |draft| store.map(|store| store.emit(black_box(draft)).map(drop)));
                match adapted.map(|adapted| adapted.result) {
                    Ok(Some(Err(error))) if error.kind() != indelible::ErrorKind::Rejected => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                    Ok(Some(Err(_))) | Err(_) => false,
                    Ok(Some(Ok(())) | None) => true,
                }
            }
        };
        passed.refused += u64::from(!accepted);
        ControlFlow::Continue(())
    })?;
    passed.bytes += totals.bytes;
    failed.map_or(Ok(()), |error| Err(error.into()))
}
