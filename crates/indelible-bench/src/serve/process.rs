//! The server that is measured: a process of its own, started as an operator starts it, and watched through `/proc`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::answer;
use crate::Result;
use crate::cpu::{CpuUse, CpuWatch, memory_bytes_of, process_cpu, process_seconds};

/// How often memory is looked at: what rises and falls between two looks is not seen.
const LOOK: Duration = Duration::from_millis(10);

/// What is started.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// `key=value` of its configuration.
    pub(crate) settings: Vec<String>,
}

/// A running server.
pub(crate) struct Server {
    process: Child,
    /// Kept open: whoever writes to a pipe that nobody reads is ended.
    _out: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    token: String,
    is_stopped: bool,
}

impl Server {
    /// Starts `program` on `data`, which has no tokens yet, and returns once it takes requests.
    pub(crate) fn start(program: &Program, data: &Path, state: &Path) -> Result<Self> {
        let mut command = Command::new(&program.path);
        command.args(["serve", "--output", "json", "--set", "listen.http=127.0.0.1:0"]);
        command.args(program.settings.iter().flat_map(|setting| ["--set", setting]));
        command.arg("--data").arg(data).arg("--state").arg(state).env_remove("INDELIBLE_CONFIG");
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = process.map_err(|error| format!("could not start {}: {error}", program.path.display()))?;
        let mut out = BufReader::new(process.stdout.take().ok_or("no pipe to the server")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        let ready = || -> Option<(SocketAddr, String)> {
            let said: Value = serde_json::from_str(&line).ok()?;
            let address = said.get("url")?.as_str()?.strip_prefix("http://")?.parse().ok()?;
            Some((address, said.get("token")?.as_str()?.to_owned()))
        };
        let Some((address, token)) = ready() else {
            process.kill()?;
            process.wait()?;
            return Err(format!("the server did not say where it listens and a token, but {line:?}").into());
        };
        Ok(Self { process, _out: out, address, token, is_stopped: false })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The head of a request; the body that belongs to it has `length` bytes of `media_type`.
    pub(crate) fn head(&self, method: &str, path: &str, media_type: &str, length: usize) -> Vec<u8> {
        let Self { address, token, .. } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n");
        if length > 0 {
            head.push_str(&format!("content-type: {media_type}\r\ncontent-length: {length}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// A whole request with a JSON body; without one it is a GET.
    pub(crate) fn request(&self, path: &str, json: &str) -> Vec<u8> {
        let method = if json.is_empty() { "GET" } else { "POST" };
        let mut request = self.head(method, path, "application/json", json.len());
        request.extend_from_slice(json.as_bytes());
        request
    }

    /// The value of the header `authorization`.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Makes tenants, one after the other on one connection.
    pub(crate) fn create_tenants(&self, names: impl Iterator<Item = String>) -> Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        for name in names {
            stream.write_all(&self.request("/api/v1/tenants", &tenant(&name)))?;
            let (mut received, mut piece) = (Vec::new(), [0; 4096]);
            let status = loop {
                let length = stream.read(&mut piece)?;
                received.extend_from_slice(piece.get(..length).unwrap_or_default());
                match answer::whole(&received)? {
                    Some(whole) => break whole.status,
                    None if length == 0 => return Err("the server closed the connection".into()),
                    None => {}
                }
            };
            if !matches!(status, 200 | 201) {
                return Err(format!("tenant {name} was not made: {}", answer::shown(&received)).into());
            }
        }
        Ok(())
    }

    /// Stops it as an operator does, and waits until the store is closed.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.is_stopped = true;
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.is_stopped {
            // A measurement failed: that is told, not this.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// The body that makes a tenant.
pub(crate) fn tenant(name: &str) -> String {
    format!("{{\"name\":\"{name}\"}}")
}

/// Looks at a server's memory, and at who uses the processors, until it is stopped.
pub(crate) struct Watch {
    pid: u32,
    stop: Arc<AtomicBool>,
    memory: JoinHandle<u64>,
    cpu: CpuWatch,
    server_s: f64,
    own: Duration,
    started: Instant,
}

/// What a server took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) wall_s: f64,
    /// CPU of the server, in and outside the kernel.
    pub(crate) server_s: f64,
    /// CPU of this process, which makes the load.
    pub(crate) generator_s: f64,
    /// Most anonymous memory of the server.
    pub(crate) anonymous_bytes: u64,
    cpu: CpuUse,
}

impl Watch {
    pub(crate) fn start(server: &Server) -> Self {
        let pid = server.pid();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let memory = thread::spawn(move || {
            let mut peak = 0;
            while !told.load(Ordering::Relaxed) {
                peak = peak.max(memory_bytes_of(pid, "RssAnon"));
                thread::sleep(LOOK);
            }
            peak
        });
        let (cpu, server_s, own) = (CpuWatch::start(&[pid]), process_seconds(pid), process_cpu());
        Self { pid, stop, memory, cpu, server_s, own, started: Instant::now() }
    }

    pub(crate) fn stop(self) -> Result<Used> {
        let wall_s = self.started.elapsed().as_secs_f64();
        let (server_s, generator_s) = (process_seconds(self.pid) - self.server_s, (process_cpu() - self.own).as_secs_f64());
        let cpu = self.cpu.stop();
        self.stop.store(true, Ordering::Relaxed);
        let anonymous_bytes = self.memory.join().map_err(|_| "looking at memory panicked")?;
        Ok(Used { wall_s, server_s, generator_s, anonymous_bytes, cpu })
    }
}

impl Used {
    pub(crate) fn anonymous_mib(&self) -> f64 {
        self.anonymous_bytes as f64 / 1_048_576.0
    }

    /// Who used the two cores, for people.
    pub(crate) fn told(&self) -> String {
        let share = |seconds: f64| format!("{:.2}", seconds / self.wall_s);
        format!(
            "cores: server {}, generator {}, kernel threads {}, others {}",
            share(self.server_s),
            share(self.generator_s),
            share(self.cpu.kernel_threads_s),
            share(self.cpu.foreign_s)
        )
    }
}
