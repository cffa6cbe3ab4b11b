//! Peers that come as Python packages, DuckDB (MIT) and ClickHouse (Apache-2.0, as `chdb`), in a process each that times itself.
//!
//! They are installed from PyPI into an environment of their own beside the build's products. The process reads one question per line
//! and answers with one line: nanoseconds between handing the question to the database and having all rows, and the answer.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::corpus::Corpus;
use super::questions::Question;
use super::{Answer, Answered, Peer};
use crate::{Result, say};

const SCRIPT: &str = include_str!("../../../../tools/bench_peers.py");
const REQUIREMENTS: &str = include_str!("../../../../tools/bench_requirements.txt");

/// A Python that has the packages.
#[derive(Debug, Clone)]
pub(super) struct Python {
    interpreter: PathBuf,
    script: PathBuf,
}

impl Python {
    /// The given interpreter, or one of an environment in `cache` that is made if it is not there; the script goes to `run`.
    pub(super) fn prepare(given: Option<&Path>, cache: &Path, run: &Path) -> Result<Self> {
        let script = run.join("bench_peers.py");
        fs::write(&script, SCRIPT)?;
        let interpreter = match given {
            Some(given) => given.to_owned(),
            None => environment(&cache.join("bench-py"))?,
        };
        Ok(Self { interpreter, script })
    }
}

/// Makes the environment, once for each list of packages.
fn environment(dir: &Path) -> Result<PathBuf> {
    let (interpreter, list) = (dir.join("bin/python"), dir.join("installed.txt"));
    if fs::read_to_string(&list).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(interpreter);
    }
    say(&format!("installing DuckDB and chdb from PyPI into {}", dir.display()));
    let wanted = dir.join("wanted.txt");
    checked(Command::new("python3").arg("-m").arg("venv").arg(dir))?;
    fs::write(&wanted, REQUIREMENTS)?;
    checked(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&wanted))?;
    fs::rename(&wanted, &list)?;
    Ok(interpreter)
}

fn checked(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}

/// Which of the script's peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// DuckDB over files of ours.
    DuckParquet,
    /// DuckDB over a table of its own.
    DuckTable,
    /// ClickHouse over a table of its own.
    ClickHouse,
}

pub(super) struct PythonPeer {
    kind: Kind,
    python: Python,
    dir: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl PythonPeer {
    /// `dir`: where it keeps its table; for [`Kind::DuckParquet`], where the files are.
    pub(super) const fn new(kind: Kind, python: Python, dir: PathBuf) -> Self {
        Self { kind, python, dir, running: None }
    }

    fn start(&self) -> Result<Running> {
        let kind = match self.kind {
            Kind::DuckParquet => "duckdb-parquet",
            Kind::DuckTable => "duckdb",
            Kind::ClickHouse => "clickhouse",
        };
        let mut child = Command::new(&self.python.interpreter)
            .arg(&self.python.script)
            .arg(kind)
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no pipe from Python")?);
        let input = child.stdin.take();
        let mut running = Running { child, input, output };
        // It says when it has loaded its libraries.
        running.hear()?;
        Ok(running)
    }
}

impl Running {
    fn tell(&mut self, request: &Value) -> Result<Value> {
        let input = self.input.as_mut().ok_or("Python was told to end")?;
        writeln!(input, "{request}")?;
        input.flush()?;
        self.hear()
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("the Python process ended: {}", self.child.wait()?).into());
        }
        let said: Value = serde_json::from_str(&line).map_err(|_| format!("the Python process said {line:?}"))?;
        match said.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.into()),
            None => Ok(said),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.input = None;
        let _ = self.child.wait();
    }
}

impl Peer for PythonPeer {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::DuckParquet => "DuckDB over our Parquet",
            Kind::DuckTable => "DuckDB, its own table",
            Kind::ClickHouse => "ClickHouse local (chdb)",
        }
    }

    fn load(&mut self, corpus: &Corpus<'_>) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        self.start()?.tell(&json!({"ask": "load", "lines": corpus.lines})).map(drop)
    }

    fn open(&mut self) -> Result<()> {
        let mut running = self.start()?;
        running.tell(&json!({"ask": "open"}))?;
        self.running = Some(running);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.running = None;
        Ok(())
    }

    fn ask(&mut self, question: &Question) -> Result<Answered> {
        let said = self.running.as_mut().ok_or("the Python process does not run")?.tell(&question.as_json())?;
        let ns = said.get("ns").and_then(Value::as_u64).ok_or("Python did not say how long it took")?;
        let answer = said.get("answer").and_then(Value::as_str).ok_or("Python did not say the answer")?;
        Ok((ns, Answer::said(answer)))
    }
}
