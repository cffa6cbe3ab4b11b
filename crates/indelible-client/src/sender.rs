//! The thread that sends: takes what has gathered, sends it until the server has answered for every event, takes the next.

use std::time::Duration;

use crate::batch::{Batch, Known, Next};
use crate::client::Shared;
use crate::error::{ClientError, ErrorKind};

const EVENTS: &str = "/api/v1/events";
/// Bytes of an answer: a receipt takes about 250.
const ANSWER_BYTES_MAX: u64 = 1 << 28;
/// Shorter bodies are not worth compressing.
const COMPRESSED_BYTES_MIN: usize = 2 << 10;
const COMPRESSION_LEVEL: i32 = 1;
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
/// A server that says to come back tomorrow is asked before.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Sends until there is nothing more to come.
pub(crate) fn run(shared: &Shared, sender: usize) {
    while let Some(items) = shared.queue.take(sender) {
        let mut backoff = Backoff::new(shared.config.retry_delay_max);
        let Some(key) = key(shared, &mut backoff) else { return };
        let mut todo = vec![Batch::new(&key, items)];
        while let Some(batch) = todo.pop() {
            if !deliver(shared, sender, batch, &mut backoff, &mut todo) {
                return;
            }
        }
    }
}

/// Sends a batch until it is settled or taken apart; `false` if everything was abandoned.
fn deliver(shared: &Shared, sender: usize, mut batch: Batch, backoff: &mut Backoff, todo: &mut Vec<Batch>) -> bool {
    let body = batch.body();
    let compressed = (shared.config.compress && body.len() >= COMPRESSED_BYTES_MIN)
        .then(|| zstd::bulk::compress(&body, COMPRESSION_LEVEL).ok())
        .flatten();
    loop {
        shared.count_request();
        let answer = send(shared, &batch.key, compressed.as_deref(), &body);
        let (known, next): (Known, Next) = batch.judge(answer);
        if !known.is_empty() {
            shared.queue.settle(sender, known);
        }
        match next {
            Next::Done => {
                backoff.reset();
                return true;
            }
            Next::Rest(rest) => {
                backoff.reset();
                todo.push(rest);
                return true;
            }
            Next::Halves(first, second) => {
                shared.queue.shrink(first.len(), first.bytes());
                todo.extend([second, first]);
                return true;
            }
            Next::Later(same, error) => {
                batch = same;
                let after = error.problem().and_then(|problem| problem.retry_after);
                let delay = backoff.next(after);
                shared.count_retry();
                shared.queue.note(error);
                if !shared.queue.pause(delay) {
                    return false;
                }
            }
        }
    }
}

fn send(shared: &Shared, key: &str, compressed: Option<&[u8]>, body: &[u8]) -> Result<Vec<u8>, ClientError> {
    let mut headers = vec![("content-type", "application/x-ndjson"), ("idempotency-key", key)];
    if compressed.is_some() {
        headers.push(("content-encoding", "zstd"));
    }
    let response = shared.connection.post(EVENTS, &[], &headers, compressed.unwrap_or(body))?;
    response.bytes(ANSWER_BYTES_MAX)
}

/// 128 random bits.
pub(crate) fn random_key() -> Result<String, ClientError> {
    Ok(format!("{:016x}{:016x}", random()?, random()?))
}

fn random() -> Result<u64, ClientError> {
    getrandom::u64().map_err(|error| ClientError::caused(ErrorKind::Config, "this machine gives no random bytes", error))
}

/// A key, once there is randomness; `None` if everything was abandoned before.
fn key(shared: &Shared, backoff: &mut Backoff) -> Option<String> {
    loop {
        let error = match random_key() {
            Ok(key) => return Some(key),
            Err(error) => error,
        };
        shared.queue.note(error);
        if !shared.queue.pause(backoff.next(None)) {
            return None;
        }
    }
}

/// Pauses between attempts: twice as long each time, less up to a half at random, so that clients that failed together do not
/// come back together.
#[derive(Debug)]
struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    fn new(max: Duration) -> Self {
        Self { next: RETRY_DELAY_MIN.min(max), max }
    }

    fn reset(&mut self) {
        *self = Self::new(self.max);
    }

    fn next(&mut self, after: Option<Duration>) -> Duration {
        let delay = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = self.next.saturating_mul(2).min(self.max);
        // Never before the server said; by the same share later, for the same reason.
        after.map_or(delay, |after| after.min(RETRY_AFTER_MAX).max(delay).mul_f64(1.0 + fastrand::f64() / 10.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_never_undercut_the_server() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        for most in [100, 200, 400, 800, 1_000, 1_000] {
            let delay = backoff.next(None);
            assert!(delay >= Duration::from_millis(most) / 2 && delay <= Duration::from_millis(most), "{delay:?} of {most} ms");
        }
        assert!(backoff.next(Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert!(backoff.next(Some(Duration::ZERO)) >= Duration::from_millis(500));
        assert!(backoff.next(Some(Duration::MAX)) <= RETRY_AFTER_MAX * 2);
        backoff.reset();
        assert!(backoff.next(None) <= Duration::from_millis(100));
    }
}
