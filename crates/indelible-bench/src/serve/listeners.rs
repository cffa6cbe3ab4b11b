//! Live tails: many connections that listen, and single events sent now and then to be heard by all of them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::answer;
use super::driver::{Answer, Source};
use super::process::Server;
use super::questions::encoded;
use crate::Result;
use crate::latency::{Latencies, nanoseconds};

/// What stands before a probe's number, and how long that is.
const MARK: &[u8] = b"\"probe\":";
const DIGITS: usize = 7;
/// So that all numbers have as many digits.
const FIRST: u64 = 1_000_000;
/// Time for a listener to be told that it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// A probe that was heard by one listener.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    probe: u64,
    at_ns: u64,
}

/// All that listen.
pub(crate) struct Listeners {
    epoll: OwnedFd,
    streams: Vec<Stream>,
}

struct Stream {
    stream: TcpStream,
    /// What was heard and may be the beginning of more.
    carry: Vec<u8>,
}

/// What all of them heard.
pub(crate) struct Heard {
    arrivals: Vec<Arrival>,
    listeners: u64,
}

impl Listeners {
    /// Returns once all of them listen. They ask `filters` different questions, each of which all probes answer.
    pub(crate) fn connect(server: &Server, count: usize, filters: usize) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut streams = Vec::with_capacity(count);
        for nth in 0..count {
            let mut stream = TcpStream::connect(server.address)?;
            // One of the people who do hardly anything: it makes the question another and its answer hardly longer.
            let query = format!("action:bench.probe OR actor.id:u-{}", 49_999 - nth % filters.max(1));
            stream.write_all(&server.request(&format!("/api/v1/tail?q={}", encoded(&query)), ""))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut carry = Vec::new();
            let mut piece = [0; 4096];
            while !carry.windows(11).any(|window| window == b": listening") {
                let length = stream.read(&mut piece)?;
                if length == 0 || !(carry.is_empty() || carry.starts_with(b"HTTP/1.1 200")) {
                    return Err(format!("a tail was answered with {}", answer::shown(&carry)).into());
                }
                carry.extend_from_slice(piece.get(..length).unwrap_or_default());
            }
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(nth as u64), EventFlags::IN)?;
            streams.push(Stream { stream, carry });
        }
        Ok(Self { epoll, streams })
    }

    /// Listens until told to stop.
    pub(crate) fn listen(mut self, started: Instant, stop: &AtomicBool) -> Result<Heard> {
        let mut heard = Heard { arrivals: Vec::new(), listeners: self.streams.len() as u64 };
        let mut events = Vec::with_capacity(self.streams.len().max(1));
        let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let mut piece = vec![0; 64 << 10];
        while !stop.load(Ordering::Relaxed) {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let data = event.data;
                let stream = self.streams.get_mut(usize::try_from(data.u64())?).ok_or("no such listener")?;
                match stream.stream.read(&mut piece) {
                    Ok(0) => return Err("a listener was cut off".into()),
                    Ok(length) => stream.carry.extend_from_slice(piece.get(..length).unwrap_or_default()),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
                    Err(error) => return Err(error.into()),
                }
                let at_ns = nanoseconds(started.elapsed());
                scan(&mut stream.carry, &mut |probe| heard.arrivals.push(Arrival { probe, at_ns }));
            }
        }
        Ok(heard)
    }
}

/// Takes the probes out of what was heard; what may be the beginning of one stays.
fn scan(carry: &mut Vec<u8>, each: &mut dyn FnMut(u64)) {
    let mut from = 0;
    while let Some(rest) = carry.get(from..)
        && let Some(place) = rest.windows(MARK.len()).position(|window| window == MARK)
    {
        let digits = from + place + MARK.len();
        let Some(text) = carry.get(digits..digits + DIGITS) else {
            carry.drain(..from + place);
            return;
        };
        if let Some(probe) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok()?.checked_sub(FIRST)) {
            each(probe);
        }
        from = digits + DIGITS;
    }
    let kept = carry.len().saturating_sub(MARK.len() - 1).max(from);
    carry.drain(..kept);
}

/// Sends the probes; remembers when each was acknowledged.
pub(crate) struct Probes {
    request: Vec<u8>,
    /// By number: when it was due, and when its receipt was there.
    times: Vec<(u64, u64)>,
}

impl Probes {
    pub(crate) fn new(server: &Server, tenant: &str) -> Self {
        let json = format!("{{\"action\":\"bench.probe\",\"tenant\":\"{tenant}\",\"details\":{{\"probe\":{FIRST}}}}}");
        Self { request: server.request("/api/v1/events", &json), times: Vec::new() }
    }

    pub(crate) fn count(&self) -> u64 {
        self.times.len() as u64
    }
}

impl Source for Probes {
    fn prepare(&mut self, _: usize, nth: u64) {
        let end = self.request.len().saturating_sub(2);
        if let Some(digits) = self.request.get_mut(end.saturating_sub(DIGITS)..end) {
            digits.copy_from_slice(format!("{:0DIGITS$}", FIRST + nth).as_bytes());
        }
    }

    /// It is small: it is always written before the next is made ready.
    fn bytes(&self, _: usize) -> &[u8] {
        &self.request
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        if answer.status != 201 {
            return Err(format!("a probe was answered with {}: {}", answer.status, answer::shown(answer.body)).into());
        }
        let at = usize::try_from(answer.nth)?;
        if self.times.len() <= at {
            self.times.resize(at + 1, (u64::MAX, u64::MAX));
        }
        if let Some(times) = self.times.get_mut(at) {
            *times = (answer.due_ns, answer.done_ns);
        }
        Ok(())
    }
}

/// How late probes were heard.
pub(crate) struct Delays {
    /// From when a probe was due to be sent; that holds its own sync, too.
    pub(crate) from_due: Latencies,
    /// From when its sender had the receipt; 0 if it was heard before.
    pub(crate) from_receipt: Latencies,
    /// How many were heard, and how many should have been.
    pub(crate) heard: u64,
    pub(crate) sent: u64,
}

impl Heard {
    pub(crate) fn delays(&self, probes: &Probes) -> Result<Delays> {
        let sent = probes.count() * self.listeners;
        let mut delays = Delays { from_due: Latencies::new()?, from_receipt: Latencies::new()?, heard: 0, sent };
        for Arrival { probe, at_ns } in &self.arrivals {
            let Some((due_ns, done_ns)) = usize::try_from(*probe).ok().and_then(|probe| probes.times.get(probe)) else {
                continue;
            };
            delays.heard += 1;
            delays.from_due.record(at_ns.saturating_sub(*due_ns));
            delays.from_receipt.record(at_ns.saturating_sub(*done_ns));
        }
        Ok(delays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_found_wherever_the_stream_is_cut() {
        let text = b"id: 1:5\ndata: {\"action\":\"bench.probe\",\"details\":{\"probe\":1000007}}\n\n {\"probe\":1000008}\n\n";
        for cut in 0..text.len() {
            let (mut carry, mut found) = (Vec::new(), Vec::new());
            for part in [&text[..cut], &text[cut..]] {
                carry.extend_from_slice(part);
                scan(&mut carry, &mut |probe| found.push(probe));
                assert!(carry.len() < MARK.len() + DIGITS, "{cut}");
            }
            assert_eq!(found, [7, 8], "{cut}");
        }
    }
}
