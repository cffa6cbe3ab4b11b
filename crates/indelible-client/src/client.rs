//! The client: the API of the embedded store, for a store that a server has.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indelible_adapters::{DraftError, write_draft};
use indelible_format::sink::{Refusal, Sink};
use indelible_format::{Class, Draft};

use crate::batch::Batch;
use crate::config::Config;
use crate::connection::Connection;
use crate::error::{ClientError, ErrorKind};
use crate::queue::{Item, Prepared, Queue, Refused, later};
use crate::sender;
use crate::ticket::{Receipt, Ticket};
use crate::token::Token;

type Result<T> = std::result::Result<T, ClientError>;

/// Memory that a thread keeps for encoding.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<(Vec<u8>, Vec<u8>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// Emits to a server as a `Store` does to its directory. Clones share a queue; dropping the last one drains it.
///
/// ```no_run
/// use indelible_client::{Client, Token};
/// use indelible_format::{Draft, Outcome};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("https://audit.example.org", Some(Token::new("indl_…")?))?;
/// let login = Draft::new("user.login").actor("alice").ip("203.0.113.9").outcome(Outcome::Failure);
/// let ticket = client.emit(&login)?; // at once: the event is in memory
/// let receipt = ticket.wait()?; // now it is durable on the server; in async code, `.await` it
/// println!("{} of {}, leaf {:?}", receipt.seq.unwrap_or_default(), receipt.log, receipt.leaf);
/// client.close()?;
/// # Ok(())
/// # }
/// ```
///
/// What is emitted waits in memory, [`Config::queue_bytes`] of it at most, and is sent in batches by threads of its own. A batch
/// is sent until the server has answered; every event has an idempotency key from the first attempt on, so that the log has it
/// once, however often it had to be sent. Whoever must not lose an event when the process dies waits for its receipt, as with a
/// store.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    closing: AtomicBool,
}

/// What emitting and sending share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) connection: Connection,
    pub(crate) queue: Queue,
    rejected: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
}

/// Counters since the client was made.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Events let in.
    pub emitted: u64,
    /// Events that are durable on the server, as it said.
    pub delivered: u64,
    /// Events that the server refused or shed; their tickets say why.
    pub refused: u64,
    /// Events refused at the door: by the rules, or because there was no room.
    pub rejected: u64,
    /// Telemetry that was shed. The log is told how much, by events `audit.gap`.
    pub shed: u64,
    /// Events that wait or are on their way.
    pub waiting: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// Requests sent.
    pub requests: u64,
    /// Attempts that failed, and were or will be made again.
    pub retries: u64,
    /// Why the last attempt failed, or the last event was refused.
    pub last_error: Option<ClientError>,
}

/// What a closed client has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Events that are durable on the server, as it said.
    pub delivered: u64,
    /// Events that it refused or shed.
    pub refused: u64,
    /// Telemetry that was shed before it was sent.
    pub shed: u64,
}

/// Events that a client could not deliver before it was closed. Some of them may be recorded all the same: the answer did not
/// come.
#[derive(Clone)]
pub struct Undelivered {
    /// How many.
    pub count: u64,
    /// The events, one a line, with their idempotency keys: with the same token, sent as they are to `POST /api/v1/events`, they
    /// are recorded once.
    pub lines: Vec<u8>,
    /// The rest.
    pub closed: Closed,
    /// Why the last attempt failed, if one did.
    pub last_error: Option<ClientError>,
}

impl fmt::Debug for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undelivered").field("count", &self.count).field("last_error", &self.last_error).finish_non_exhaustive()
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events were not delivered before the client was closed", self.count)
    }
}

impl std::error::Error for Undelivered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.last_error.as_ref().map(|error| error as _)
    }
}

impl Client {
    /// A client of the server at `url`; `token` needs the scope `emit`. Nothing is sent yet, so that a program starts while its
    /// server does not run.
    ///
    /// # Errors
    /// `Config`: the address or the machine's certificates cannot be used, or the token would be sent in the clear.
    pub fn connect(url: &str, token: Option<Token>) -> Result<Self> {
        Self::with(&Connection::new(url, token)?, Config::default())
    }

    /// A client over a connection's address, token and certificates; its sockets are its own.
    ///
    /// # Errors
    /// `Config`: no thread can be started.
    pub fn with(connection: &Connection, config: Config) -> Result<Self> {
        let queue = Queue::new(&config);
        let connection = connection.apart(config.answer_timeout);
        let zero = || AtomicU64::new(0);
        let shared = Arc::new(Shared { config, connection, queue, rejected: zero(), requests: zero(), retries: zero() });
        // Made first: when a thread cannot be started, those before it are ended by its drop.
        let client = Self { handle: Arc::new(Handle { shared: Arc::clone(&shared), closing: AtomicBool::new(false) }) };
        for nth in 0..shared.config.senders.max(1) {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("indelible-send-{nth}"))
                .spawn(move || sender::run(&shared, nth))
                .map_err(|error| ClientError::caused(ErrorKind::Config, "no thread to send with could be started", error))?;
        }
        Ok(client)
    }

    /// Hands an event over and returns a ticket at once. Waits only while there is no room for its class, up to
    /// [`Config::emit_timeout`]; telemetry is shed instead.
    ///
    /// An event that says no time happened now. (Unless it has an idempotency key: whoever repeats it means the first time, which
    /// only the server knows.)
    ///
    /// **Durability**: none yet, the event is in memory; [`Ticket::wait`] or [`flush`](Self::flush) give it. **Cost**: encoding,
    /// two allocations and a short lock.
    ///
    /// # Errors
    /// `Rejected`: no store would take it; [`ClientError::rejection`] says why. `Busy`: there was no room all the time. `Closed`.
    pub fn emit(&self, draft: &Draft<'_>) -> Result<Ticket> {
        self.emit_within(draft, self.shared().config.emit_timeout)
    }

    /// As [`emit`](Self::emit), but never waits: without room it is `Busy`.
    ///
    /// # Errors
    /// As `emit`.
    pub fn try_emit(&self, draft: &Draft<'_>) -> Result<Ticket> {
        self.emit_within(draft, Duration::ZERO)
    }

    /// As [`emit`](Self::emit), but yields to the executor instead of blocking.
    ///
    /// # Errors
    /// As `emit`, but it waits for room without a timeout: drop the future to give up.
    pub async fn emit_async(&self, draft: &Draft<'_>) -> Result<Ticket> {
        let mut waiting = Some(self.prepare(draft)?);
        poll_fn(|context| {
            let Some(event) = waiting.take() else { return Poll::Ready(Err(closed())) };
            match self.shared().queue.push(event, Some(context.waker())) {
                Ok(ticket) => Poll::Ready(Ok(ticket)),
                Err(Refused::Full(event, _)) if event.class == Class::Telemetry => Poll::Ready(Ok(self.shed())),
                Err(Refused::Full(event, _)) => {
                    waiting = Some(event);
                    Poll::Pending
                }
                Err(Refused::Closed) => Poll::Ready(Err(closed())),
            }
        })
        .await
    }

    /// Emits an event and waits for its receipt.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit) and [`Ticket::wait`].
    pub fn append(&self, draft: &Draft<'_>) -> Result<Receipt> {
        self.emit(draft)?.wait()
    }

    /// Returns once the server has answered for everything that was emitted before the call: it is durable, or was refused, which
    /// its ticket and [`stats`](Self::stats) say.
    ///
    /// # Errors
    /// `Busy`: that took longer than [`Config::drain_timeout`]; sending goes on.
    pub fn flush(&self) -> Result<()> {
        let limit = self.shared().config.drain_timeout;
        match self.shared().queue.flush(after(limit)) {
            0 => Ok(()),
            left => Err(ClientError::new(ErrorKind::Busy, format!("{left} events are not delivered after {limit:?}"))),
        }
    }

    /// Counters since the client was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let (counts, waiting, waiting_bytes) = shared.queue.counts();
        Stats {
            emitted: counts.emitted,
            delivered: counts.delivered,
            refused: counts.refused,
            rejected: shared.rejected.load(Ordering::Relaxed),
            shed: counts.shed,
            waiting,
            waiting_bytes: waiting_bytes as u64,
            requests: shared.requests.load(Ordering::Relaxed),
            retries: shared.retries.load(Ordering::Relaxed),
            last_error: counts.last_error,
        }
    }

    /// Lets nothing in any more, delivers what waits, and ends the threads, for all clones. Takes [`Config::drain_timeout`] at
    /// most.
    ///
    /// # Errors
    /// [`Undelivered`]: what the server did not answer for in that time, to be kept and sent later; tickets of it are `Closed`.
    pub fn close(self) -> std::result::Result<Closed, Undelivered> {
        self.handle.close()
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    fn emit_within(&self, draft: &Draft<'_>, limit: Duration) -> Result<Ticket> {
        let event = self.prepare(draft)?;
        let (class, queue) = (event.class, &self.shared().queue);
        let pushed = if limit.is_zero() || class == Class::Telemetry {
            queue.push(event, None)
        } else {
            queue.push_waiting(event, after(limit))
        };
        match pushed {
            Ok(ticket) => Ok(ticket),
            Err(Refused::Full(..)) if class == Class::Telemetry => Ok(self.shed()),
            Err(Refused::Full(_, bytes)) => Err(self.busy(class, bytes, limit)),
            Err(Refused::Closed) => Err(closed()),
        }
    }

    fn prepare(&self, draft: &Draft<'_>) -> Result<Prepared> {
        prepare(draft).map_err(|error| {
            self.shared().rejected.fetch_add(1, Ordering::Relaxed);
            ClientError::caused(ErrorKind::Rejected, "the event was refused", error)
        })
    }

    fn shed(&self) -> Ticket {
        self.shared().queue.shed();
        Ticket::nothing()
    }

    fn busy(&self, class: Class, bytes: usize, waited: Duration) -> ClientError {
        let shared = self.shared();
        shared.rejected.fetch_add(1, Ordering::Relaxed);
        let capacity = shared.config.queue_bytes;
        let why =
            format!("no room for a {} event: {bytes} of {capacity} bytes wait to be sent (waited {waited:?})", class.name());
        ClientError::new(ErrorKind::Busy, why).with_hint("try again later; `stats` says what keeps the server from answering")
    }
}

impl Sink for Client {
    fn offer(&self, draft: &Draft<'_>) -> std::result::Result<(), Refusal> {
        match self.try_emit(draft) {
            Ok(ticket) if ticket.is_shed() => Err(Refusal::Full),
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                ErrorKind::Rejected => Refusal::Rejected,
                ErrorKind::Busy => Refusal::Full,
                _ => Refusal::Stopped,
            }),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.shared().connection.url()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}

impl Handle {
    fn close(&self) -> std::result::Result<Closed, Undelivered> {
        let queue = &self.shared.queue;
        queue.close();
        let left = queue.flush(after(self.shared.config.drain_timeout));
        let first = !self.closing.swap(true, Ordering::AcqRel);
        // Before anything is given up: from here on nothing is sent, so that what is given up has the keys it was sent with.
        self.shared.connection.shutdown();
        let items = if left > 0 && first { queue.abandon() } else { Vec::new() };
        let (counts, ..) = queue.counts();
        let closed = Closed { delivered: counts.delivered, refused: counts.refused, shed: counts.shed };
        if left == 0 {
            return Ok(closed);
        }
        let lines = give_up(items);
        Err(Undelivered { count: left as u64, lines, closed, last_error: counts.last_error })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.closing.load(Ordering::Acquire) {
            // Nobody is left to hear what was not delivered, but those who hold tickets.
            let _ = self.close();
        }
    }
}

fn prepare(draft: &Draft<'_>) -> std::result::Result<Prepared, DraftError> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_nanos()).ok());
    let has_key = draft.idempotency_key.is_some();
    let stamped;
    let draft = if draft.time.is_some() || has_key {
        draft
    } else {
        stamped = Draft { time: now(), ..draft.clone() };
        &stamped
    };
    // A thread that ends has none any more, and may still emit.
    let (mut line, mut memory) = SCRATCH.try_with(Cell::take).unwrap_or_default();
    line.clear();
    let class = write_draft(&mut line, draft, &mut memory)?;
    let prepared = Prepared { line: line.as_slice().into(), has_key, class };
    if line.capacity() + memory.capacity() <= SCRATCH_BYTES_MAX {
        let _ = SCRATCH.try_with(|scratch| scratch.set((line, memory)));
    }
    Ok(prepared)
}

/// What nobody sends any more: told to those who wait for it, and as lines.
fn give_up(items: Vec<Arc<Item>>) -> Vec<u8> {
    for item in &items {
        item.slot.settle(Err(closed()));
    }
    // What was never sent has no key yet, and without randomness gets none.
    match sender::random_key() {
        Ok(key) => Batch::new(&key, items).apart().body(),
        Err(_) => Batch::without_keys(items).body(),
    }
}

fn closed() -> ClientError {
    ClientError::new(ErrorKind::Closed, "the client is closed")
}

fn after(limit: Duration) -> Instant {
    later(Instant::now(), limit)
}
