//! Redis streams (BSD-3-Clause up to 7.2): a `redis-server` of our own with `appendfsync always`, one connection per writer.
//!
//! The client speaks just enough RESP for `XADD`: a library would only add cost to the peer.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Absent, Round, Running, Subject, Writer};
use crate::Result;
use crate::events::Samples;

const START_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Redis;

impl Subject for Redis {
    fn name(&self) -> &'static str {
        "Redis streams, fsync always"
    }

    fn open(&self, round: &Round<'_>) -> Result<Box<dyn Running>> {
        // A socket's path must be short; the data stay on the measured disk.
        let socket_dir = tempfile::tempdir()?;
        let socket = socket_dir.path().join("redis");
        let server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(round.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let server = match server {
            Ok(server) => server,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Absent("redis-server is not installed".into()).into());
            }
            Err(error) => return Err(error.into()),
        };
        let open = Open { server, socket, _socket_dir: socket_dir, samples: Arc::clone(&round.samples) };
        let started = Instant::now();
        while UnixStream::connect(&open.socket).is_err() {
            if started.elapsed() > START_TIMEOUT {
                return Err("redis-server does not answer".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Box::new(open))
    }
}

struct Open {
    server: Child,
    socket: PathBuf,
    _socket_dir: TempDir,
    samples: Arc<Samples>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // It is gone already, or it is ours to end.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Running for Open {
    fn writer(&self) -> Result<Writer<'_>> {
        let stream = UnixStream::connect(&self.socket)?;
        let mut replies = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        Ok(Box::new(move |event| {
            let json = &self.samples.at(event).json;
            request.clear();
            write!(request, "*5\r\n$4\r\nXADD\r\n$5\r\naudit\r\n$1\r\n*\r\n$1\r\ne\r\n${}\r\n{json}\r\n", json.len())?;
            stream.write_all(&request)?;
            reply.clear();
            replies.read_until(b'\n', &mut reply)?;
            // The entry's id as a bulk string: "$15\r\n", then so many bytes and a line end.
            let length =
                reply.strip_prefix(b"$").and_then(|rest| std::str::from_utf8(rest).ok()?.trim_end().parse::<usize>().ok());
            let length = length.ok_or_else(|| format!("redis-server said {:?}", String::from_utf8_lossy(&reply)))?;
            reply.resize(length + 2, 0);
            replies.read_exact(&mut reply)?;
            Ok(())
        }))
    }

    fn server(&self) -> Option<u32> {
        Some(self.server.id())
    }
}
