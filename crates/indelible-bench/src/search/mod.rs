//! Questions to a store of ours and to its peers: how long until the answer is there, hot and cold, and what it takes on disk.
//!
//! Everybody has the same events in the same order and is asked the same questions, one at a time, with another literal each time;
//! nobody may remember answers. The answers are compared, text for text: a run in which two differ fails. *Hot* is in the page cache
//! and in whatever the peer keeps; *cold* is the first question after the files have left the page cache and the peer was opened anew,
//! opening not counted.

mod corpus;
mod ours;
#[cfg(feature = "peers")]
mod python;
mod questions;
#[cfg(feature = "peers")]
mod segments;
#[cfg(feature = "peers")]
mod sqlite;
mod tables;
#[cfg(feature = "peers")]
mod tantivy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;

use crate::cpu::CpuWatch;
use crate::latency::{Latencies, nanoseconds};
use crate::pages;
use crate::place::bytes_on_disk;
use crate::zipf::Zipf;
use crate::{Bench, Result, say};

pub(crate) use corpus::fill;
pub(crate) use ours::Ours;
pub(crate) use questions::{Kind, Question};

use corpus::Corpus;

/// Questions of each kind that are asked before counting begins.
const WARM_UP: usize = 3;
/// The fewest questions that make a figure, however slow the answers come.
const QUESTIONS_MIN: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Events in the log
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Milliseconds from one event to the next
    #[arg(long, default_value_t = 25)]
    gap_ms: u64,
    /// Questions of each kind
    #[arg(long, default_value_t = 200)]
    questions: usize,
    /// Seconds after which a peer is asked no more questions of a kind
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Cold questions of each kind
    #[arg(long, default_value_t = 3)]
    cold: usize,
    /// Only peers whose names contain one of these words; ours is always measured
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A Python that has the packages `duckdb` and `chdb` [default: an environment made for it beside the build's products]
    #[arg(long)]
    python: Option<PathBuf>,
}

impl SearchArgs {
    pub(crate) const fn short() -> Self {
        Self { events: 200_000, gap_ms: 25, questions: 50, seconds: 1.0, cold: 1, only: Vec::new(), python: None }
    }
}

/// What a question was answered, in a form in which answers of different peers can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer(String);

/// Nanoseconds, and the answer.
pub(crate) type Answered = (u64, Answer);

impl Answer {
    /// Adds a row: its id, and its details as JSON text, which shows that the row came whole.
    pub(crate) fn row(&mut self, id: &str, details: &str) {
        self.0.push_str(&format!("{id} {details}\n"));
    }

    pub(crate) fn count(count: u64) -> Self {
        Self(count.to_string())
    }

    pub(crate) fn groups(groups: BTreeMap<String, u64>) -> Self {
        Self(groups.iter().map(|(name, count)| format!("{name} {count}\n")).collect())
    }

    /// What another process made by the same rules.
    #[cfg(feature = "peers")]
    pub(crate) fn said(text: &str) -> Self {
        Self(text.to_owned())
    }

    fn beginning(&self) -> String {
        self.0.chars().take(200).collect()
    }
}

/// Runs `work`; how long it took, and what it returned.
pub(crate) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(u64, T)> {
    let started = Instant::now();
    let done = work()?;
    Ok((nanoseconds(started.elapsed()), done))
}

/// Somebody who is asked.
trait Peer {
    fn name(&self) -> &'static str;

    /// Takes the events in, durable or not, and leaves them closed.
    fn load(&mut self, corpus: &Corpus<'_>) -> Result<()>;

    fn open(&mut self) -> Result<()>;

    fn close(&mut self) -> Result<()>;

    fn ask(&mut self, question: &Question) -> Result<Answered>;
}

/// Ours as one of them.
struct OursAsPeer {
    store: PathBuf,
    open: Option<Ours>,
}

impl Peer for OursAsPeer {
    fn name(&self) -> &'static str {
        "indelible"
    }

    fn load(&mut self, _: &Corpus<'_>) -> Result<()> {
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        self.open = Some(Ours::open(&self.store)?);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.open = None;
        Ok(())
    }

    fn ask(&mut self, question: &Question) -> Result<Answered> {
        self.open.as_ref().ok_or("our store is not open")?.ask(question)
    }
}

/// What one peer did.
struct Entry {
    peer: Box<dyn Peer>,
    /// Where its files are.
    dir: PathBuf,
    load_s: f64,
    bytes: u64,
    open_ns: Vec<f64>,
    /// In the order of [`Kind::ALL`].
    kinds: Vec<Measured>,
}

/// How one peer answered the questions of one kind.
struct Measured {
    hot: Latencies,
    cold: Latencies,
    answers: Vec<Answer>,
}

pub(crate) fn run(bench: &mut Bench, args: &SearchArgs) -> Result<()> {
    let dir = bench.place.fresh("search")?;
    let zipf = Zipf::new(bench.seed, args.gap_ms);
    say(&format!("making {} events", args.events));
    let corpus = Corpus::make(&zipf, args.events, dir.path())?;
    let watch = CpuWatch::start(&[]);
    let (mut entries, notes) = peers(bench, args, &corpus, dir.path())?;
    for entry in &mut entries {
        say(&format!("loading {}", entry.peer.name()));
        let started = Instant::now();
        entry.peer.load(&corpus)?;
        entry.load_s += started.elapsed().as_secs_f64();
        // ClickHouse keeps parts that it merged until it starts again: they are not what the events take.
        entry.peer.open()?;
        entry.peer.close()?;
        pages::forget(&entry.dir)?;
        entry.bytes = bytes_on_disk(&entry.dir)?;
    }
    let loading = watch.stop();
    let mut rng = Rng::with_seed(bench.seed ^ 0x71);
    // Processes of peers count as ours from when they have ended.
    let watch = CpuWatch::start(&[]);
    entries.iter_mut().try_for_each(Entry::open)?;
    for kind in Kind::ALL {
        let count = WARM_UP + args.questions + args.cold;
        let questions: Vec<Question> = (0..count).map(|_| Question::draw(kind, &zipf, args.events, &mut rng)).collect();
        for entry in &mut entries {
            say(&format!("{kind}: {}", entry.peer.name()));
            entry.measure(&questions, args).map_err(|error| format!("{}, {kind}: {error}", entry.peer.name()))?;
        }
        compare(kind, &questions, &entries)?;
    }
    entries.iter_mut().try_for_each(|entry| entry.peer.close())?;
    let asking = watch.stop();
    tables::report(bench, args, &corpus, &entries, notes, [loading, asking])
}

impl Entry {
    fn new(peer: Box<dyn Peer>, dir: PathBuf) -> Self {
        Self { peer, dir, load_s: 0.0, bytes: 0, open_ns: Vec::new(), kinds: Vec::new() }
    }

    fn open(&mut self) -> Result<()> {
        let opening = Instant::now();
        self.peer.open()?;
        self.open_ns.push(opening.elapsed().as_nanos() as f64);
        Ok(())
    }

    /// Asks the first questions cold, some to warm up, and the rest hot for as long as there is time.
    fn measure(&mut self, questions: &[Question], args: &SearchArgs) -> Result<()> {
        let mut measured = Measured { hot: Latencies::new()?, cold: Latencies::new()?, answers: Vec::new() };
        let (cold, hot) = questions.split_at_checked(args.cold).unwrap_or((questions, &[]));
        for question in cold {
            self.peer.close()?;
            pages::forget(&self.dir)?;
            self.open()?;
            let (ns, answer) = self.peer.ask(question)?;
            measured.cold.record(ns);
            measured.answers.push(answer);
        }
        // The cold ones left most of it on the disk.
        pages::remember(&self.dir)?;
        let started = Instant::now();
        for (nth, question) in hot.iter().enumerate() {
            if nth >= QUESTIONS_MIN + WARM_UP && started.elapsed() > Duration::from_secs_f64(args.seconds) {
                break;
            }
            let (ns, answer) = self.peer.ask(question)?;
            if nth >= WARM_UP {
                measured.hot.record(ns);
            }
            measured.answers.push(answer);
        }
        self.kinds.push(measured);
        Ok(())
    }
}

/// Every answer must be the same from everybody who was asked.
fn compare(kind: Kind, questions: &[Question], entries: &[Entry]) -> Result<()> {
    let answers = |entry: &Entry, nth: usize| entry.kinds.last().and_then(|measured| measured.answers.get(nth).cloned());
    for (nth, question) in questions.iter().enumerate() {
        let mut given = entries.iter().filter_map(|entry| Some((entry.peer.name(), answers(entry, nth)?)));
        let Some((first, expected)) = given.next() else { continue };
        if let Some((other, found)) = given.find(|(_, answer)| *answer != expected) {
            return Err(format!(
                "{kind}: {first} and {other} answer {question:?} differently:\n{}\n---\n{}",
                expected.beginning(),
                found.beginning()
            )
            .into());
        }
    }
    Ok(())
}

/// Ours first, then all that were built in and are wanted; and remarks about those that are missing.
#[cfg_attr(not(feature = "peers"), expect(clippy::unnecessary_wraps, reason = "peers can fail to come"))]
fn peers(bench: &Bench, args: &SearchArgs, corpus: &Corpus<'_>, dir: &Path) -> Result<(Vec<Entry>, Vec<String>)> {
    let ours = OursAsPeer { store: corpus.store.clone(), open: None };
    let mut entries = vec![Entry::new(Box::new(ours), corpus.store.clone())];
    entries.iter_mut().for_each(|entry| entry.load_s = corpus.store_seconds);
    #[cfg(not(feature = "peers"))]
    let notes = {
        let _ = (bench, args, dir);
        vec!["built without the feature `peers`: nobody to compare with".to_owned()]
    };
    #[cfg(feature = "peers")]
    let notes = built_in::add(&mut entries, bench, args, corpus, dir)?;
    Ok((entries, notes))
}

#[cfg(feature = "peers")]
mod built_in {
    //! The peers of the feature `peers`.

    use std::fs;

    use super::python::{Kind, Python, PythonPeer};
    use super::segments::Segments;
    use super::sqlite::Sqlite;
    use super::tantivy::Tantivy;
    use super::{Bench, Corpus, Entry, Path, Peer, Result, SearchArgs};

    pub(super) fn add(
        entries: &mut Vec<Entry>,
        bench: &Bench,
        args: &SearchArgs,
        corpus: &Corpus<'_>,
        dir: &Path,
    ) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let mut wanted = |peer: Box<dyn Peer>, dir| {
            let name = peer.name().to_lowercase();
            if args.only.is_empty() || args.only.iter().any(|word| name.contains(&word.to_lowercase())) {
                entries.push(Entry::new(peer, dir));
            }
        };
        let sqlite = dir.join("sqlite");
        fs::create_dir_all(&sqlite)?;
        wanted(Box::new(Sqlite::new(sqlite.clone())), sqlite);
        let tantivy = dir.join("tantivy");
        wanted(Box::new(Tantivy::new(tantivy.clone())), tantivy);
        match Python::prepare(args.python.as_deref(), bench.place.cache()?, dir) {
            Ok(python) => {
                let segments = Segments::of(corpus, &dir.join("segments"))?;
                if segments.made {
                    notes.push(format!(
                        "the store has no segments: DuckDB reads files that the segment writer made apart, {:.1} B/event",
                        segments.bytes()? as f64 / corpus.events as f64
                    ));
                }
                if let Some(parquet) = segments.files.first().and_then(|file| file.parent()) {
                    wanted(Box::new(PythonPeer::new(Kind::DuckParquet, python.clone(), parquet.to_owned())), parquet.to_owned());
                }
                for (kind, name) in [(Kind::DuckTable, "duckdb"), (Kind::ClickHouse, "clickhouse")] {
                    let own = dir.join(name);
                    wanted(Box::new(PythonPeer::new(kind, python.clone(), own.clone())), own);
                }
            }
            Err(error) => notes.push(format!("DuckDB and ClickHouse were not measured: {error}")),
        }
        Ok(notes)
    }
}
