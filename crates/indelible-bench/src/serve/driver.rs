//! The generator: one thread, plain sockets, keep-alive connections of HTTP/1.1.
//!
//! With a rate the loop is open: request `n` is due at `n / rate`, whatever became of those before, and its latency counts from then. So
//! a server that pauses is charged for every request that would have come meanwhile (no coordinated omission). Without a rate each connection asks
//! again as soon as it was answered: that finds the most there can be.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::answer;
use crate::Result;
use crate::latency::{Latencies, nanoseconds};

/// What is asked, and what happens with the answers.
pub(crate) trait Source {
    /// Makes request `nth` ready for a connection, which has no other.
    fn prepare(&mut self, connection: usize, nth: u64);

    /// The bytes of the request that was made ready for this connection.
    fn bytes(&self, connection: usize) -> &[u8];

    /// What the server said to it.
    ///
    /// # Errors
    /// It is not what was hoped for: the measurement ends.
    fn answered(&mut self, answer: &Answer<'_>) -> Result<()>;
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) nth: u64,
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// When the request was due and when the answer was there whole, ns since the run began.
    pub(crate) due_ns: u64,
    pub(crate) done_ns: u64,
    /// Whether it counts: it is not of the warming up.
    pub(crate) counts: bool,
}

/// How hard, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Requests a second; nothing: as many as are answered.
    pub(crate) rate: Option<f64>,
    /// When it begins; may lie ahead.
    pub(crate) started: Instant,
    /// What is due earlier does not count.
    pub(crate) warm_up: Duration,
    /// Until when requests are due, since it began.
    pub(crate) end: Duration,
}

/// What happened.
pub(crate) struct Driven {
    /// From when a request was due to its whole answer.
    pub(crate) latencies: Latencies,
    /// From when a request was due until its first byte was sent: what the generator itself was late, and what waited for a connection.
    pub(crate) waits: Latencies,
    /// Requests that count.
    pub(crate) requests: u64,
    /// Seconds in which they were answered.
    pub(crate) seconds: f64,
}

/// So long nothing happens only if something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);
const PIECE_BYTES: usize = 256 << 10;

/// Asks and listens until the plan's end, and until everything that was due is answered.
///
/// # Errors
/// A connection ends, the server is silent, or the source is not content.
pub(crate) fn drive(plan: &Plan, source: &mut dyn Source) -> Result<Driven> {
    let mut driver = Driver::connect(plan)?;
    driver.run(source)?;
    Ok(driver.driven)
}

struct Driver<'p> {
    plan: &'p Plan,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    /// Number of the next request.
    next: u64,
    warm_up_ns: u64,
    end_ns: u64,
    driven: Driven,
    piece: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    asked: Option<Asked>,
    received: Vec<u8>,
    /// Length of the answer that comes, once its head is there.
    expects: Option<answer::Whole>,
}

/// A request on its way.
#[derive(Clone, Copy)]
struct Asked {
    nth: u64,
    due_ns: u64,
    written: usize,
    /// Whether the socket takes no more at the moment.
    blocked: bool,
}

impl<'p> Driver<'p> {
    fn connect(plan: &'p Plan) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(plan.connections);
        for nth in 0..plan.connections {
            let stream = TcpStream::connect(plan.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(nth as u64), EventFlags::IN)?;
            connections.push(Connection { stream, asked: None, received: Vec::new(), expects: None });
        }
        Ok(Self {
            plan,
            epoll,
            idle: (0..connections.len()).collect(),
            connections,
            next: 0,
            warm_up_ns: nanoseconds(plan.warm_up),
            end_ns: nanoseconds(plan.end),
            driven: Driven { latencies: Latencies::new()?, waits: Latencies::new()?, requests: 0, seconds: 0.0 },
            piece: vec![0; PIECE_BYTES],
        })
    }

    fn run(&mut self, source: &mut dyn Source) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(self.connections.len());
        let mut heard = Instant::now();
        std::thread::sleep(self.plan.started.saturating_duration_since(Instant::now()));
        loop {
            while let Some(connection) = self.idle.front().copied()
                && let Some(due_ns) = self.due()
                && due_ns <= self.now_ns()
            {
                self.idle.pop_front();
                self.ask(connection, due_ns, source)?;
            }
            if self.due().is_none() && self.idle.len() == self.connections.len() {
                break;
            }
            events.clear();
            let timeout = self.timeout();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !events.is_empty() || self.idle.len() == self.connections.len() {
                heard = Instant::now();
            } else if heard.elapsed() > PATIENCE {
                return Err(format!("the server has not said anything for {} s", PATIENCE.as_secs()).into());
            }
            for event in &events {
                let data = event.data;
                self.go_on(usize::try_from(data.u64())?, source)?;
            }
        }
        let last_ns = match self.plan.rate {
            Some(_) => self.now_ns().max(self.end_ns),
            None => self.end_ns,
        };
        self.driven.seconds = (last_ns - self.warm_up_ns) as f64 / 1e9;
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        nanoseconds(self.plan.started.elapsed())
    }

    /// When the next request is due; nothing when there are no more.
    fn due(&self) -> Option<u64> {
        let due_ns = match self.plan.rate {
            Some(rate) => nanoseconds(Duration::from_secs_f64(self.next as f64 / rate)),
            None => self.now_ns(),
        };
        (due_ns < self.end_ns).then_some(due_ns)
    }

    /// How long to wait for answers: until the next request can be sent.
    fn timeout(&self) -> Timespec {
        let next = self.due().filter(|_| !self.idle.is_empty());
        let wait = next.map_or(Duration::from_secs(1), |due_ns| Duration::from_nanos(due_ns.saturating_sub(self.now_ns())));
        Timespec { tv_sec: wait.as_secs().try_into().unwrap_or(1), tv_nsec: wait.subsec_nanos().into() }
    }

    fn ask(&mut self, at: usize, due_ns: u64, source: &mut dyn Source) -> Result<()> {
        let nth = self.next;
        self.next += 1;
        source.prepare(at, nth);
        if due_ns >= self.warm_up_ns {
            self.driven.waits.record(self.now_ns().saturating_sub(due_ns));
        }
        let connection = self.connections.get_mut(at).ok_or("no such connection")?;
        connection.asked = Some(Asked { nth, due_ns, written: 0, blocked: false });
        self.write(at, source)
    }

    fn write(&mut self, at: usize, source: &mut dyn Source) -> Result<()> {
        let connection = self.connections.get_mut(at).ok_or("no such connection")?;
        let Some(asked) = &mut connection.asked else { return Ok(()) };
        let bytes = source.bytes(at);
        let mut blocked = false;
        while let Some(rest) = bytes.get(asked.written..).filter(|rest| !rest.is_empty()) {
            match connection.stream.write(rest) {
                Ok(written) => asked.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    blocked = true;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if blocked != asked.blocked {
            asked.blocked = blocked;
            let flags = if blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(at as u64), flags)?;
        }
        Ok(())
    }

    /// Something happened on this connection.
    fn go_on(&mut self, at: usize, source: &mut dyn Source) -> Result<()> {
        if self.connections.get(at).is_some_and(|connection| connection.asked.is_some_and(|asked| asked.blocked)) {
            self.write(at, source)?;
        }
        let connection = self.connections.get_mut(at).ok_or("no such connection")?;
        loop {
            match connection.stream.read(&mut self.piece) {
                Ok(0) => return Err(format!("the server closed a connection: {}", answer::shown(&connection.received)).into()),
                Ok(length) => {
                    connection.received.extend_from_slice(self.piece.get(..length).unwrap_or_default());
                    // What did not fill the buffer was all there is: asking again would only cost.
                    if length < self.piece.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if connection.expects.is_none() {
            connection.expects = answer::head(&connection.received)?;
        }
        let Some(whole) = connection.expects.filter(|whole| connection.received.len() >= whole.length) else { return Ok(()) };
        let asked = connection.asked.take().ok_or("an answer that nobody asked for")?;
        let done_ns = nanoseconds(self.plan.started.elapsed());
        let counts = match self.plan.rate {
            Some(_) => asked.due_ns >= self.warm_up_ns,
            None => (self.warm_up_ns..self.end_ns).contains(&done_ns),
        };
        if counts {
            self.driven.latencies.record(done_ns.saturating_sub(asked.due_ns));
            self.driven.requests += 1;
        }
        let body = connection.received.get(whole.body..whole.length).unwrap_or_default();
        source.answered(&Answer { nth: asked.nth, status: whole.status, body, due_ns: asked.due_ns, done_ns, counts })?;
        connection.received.drain(..whole.length);
        connection.expects = None;
        self.idle.push_back(at);
        Ok(())
    }
}
