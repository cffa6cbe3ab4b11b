//! How a client gathers, sends and waits.

use std::time::Duration;

/// How a [`Client`](crate::Client) gathers, sends and waits. The default is for a program that emits some thousand events a
/// second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bytes of events that wait or are on their way. Telemetry gets half of it, normal events seven eighths, critical ones all.
    /// The request that is being sent takes up to three times `batch_bytes` more.
    pub queue_bytes: usize,
    /// How long [`emit`](crate::Client::emit) waits for room.
    pub emit_timeout: Duration,
    /// Events of one request at most. A server that takes fewer is sent fewer.
    pub batch_events: usize,
    /// Bytes of one request at most, before compression; a larger event goes alone.
    pub batch_bytes: usize,
    /// How long events may gather before they are sent. Zero: as soon as the last request is answered, so that they gather while
    /// it is on its way. A critical event, `flush` and `close` send at once what has gathered.
    pub batch_age: Duration,
    /// Requests at once. With one, events arrive in the order in which they were emitted, critical ones first; more are for long
    /// ways.
    pub senders: usize,
    /// How long a request may go without an answer before it is sent again.
    pub answer_timeout: Duration,
    /// The longest pause between attempts; the first is a tenth of a second. A server that says how long to wait is obeyed.
    pub retry_delay_max: Duration,
    /// How long `flush`, `close`, and letting go of the last handle wait for the server.
    pub drain_timeout: Duration,
    /// Whether requests are compressed (zstd).
    pub compress: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_bytes: 16 << 20,
            emit_timeout: Duration::from_secs(10),
            batch_events: 1_000,
            batch_bytes: 1 << 20,
            batch_age: Duration::ZERO,
            senders: 1,
            answer_timeout: Duration::from_secs(60),
            retry_delay_max: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            compress: true,
        }
    }
}
