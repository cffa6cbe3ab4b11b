//! Searches over HTTP: those of `big`, as a client puts them.

use fastrand::Rng;

use super::answer;
use super::driver::{Answer, Source};
use super::process::Server;
use crate::Result;
use crate::latency::Latencies;
use crate::search::{Kind, Question};
use crate::zipf::Zipf;

/// The kinds that are asked, in turn.
pub(crate) const KINDS: [Kind; 3] = [Kind::ById, Kind::LastOfActor, Kind::LastOfTenantAction];

/// Questions made before the run, each with a literal of its own.
pub(crate) struct Searches {
    requests: Vec<Vec<u8>>,
    /// What each connection asks.
    current: Vec<usize>,
    /// By kind.
    pub(crate) latencies: [Latencies; KINDS.len()],
}

impl Searches {
    /// `count` questions about the first `events` events.
    pub(crate) fn make(server: &Server, zipf: &Zipf, connections: usize, events: u64, count: usize, seed: u64) -> Result<Self> {
        let mut rng = Rng::with_seed(seed);
        let kinds = KINDS.iter().cycle().take(count.next_multiple_of(KINDS.len()));
        let requests = kinds.map(|kind| server.request(&path(&Question::draw(*kind, zipf, events, &mut rng)), "")).collect();
        Ok(Self { requests, current: vec![0; connections], latencies: [Latencies::new()?, Latencies::new()?, Latencies::new()?] })
    }
}

impl Source for Searches {
    fn prepare(&mut self, connection: usize, nth: u64) {
        let which = usize::try_from(nth % self.requests.len().max(1) as u64).unwrap_or(0);
        if let Some(current) = self.current.get_mut(connection) {
            *current = which;
        }
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        self.current.get(connection).and_then(|which| self.requests.get(*which)).map_or(&[], Vec::as_slice)
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        let has = |text: &[u8]| answer.body.windows(text.len()).any(|window| window == text);
        // Every question is about an event that is there.
        if answer.status != 200 || !has(b"\"complete\":true") || has(b"\"shown\":0,") {
            return Err(format!("a search was answered with {}: {}", answer.status, answer::shown(answer.body)).into());
        }
        let kind = usize::try_from(answer.nth % KINDS.len() as u64)?;
        if let Some(latencies) = self.latencies.get_mut(kind).filter(|_| answer.counts) {
            latencies.record(answer.done_ns.saturating_sub(answer.due_ns));
        }
        Ok(())
    }
}

/// Path and query of a question.
fn path(question: &Question) -> String {
    let (query, limit) = match question {
        Question::ById { id } => (format!("id:{id}"), 1),
        Question::LastOfActor { actor } => (format!("actor.id:{actor}"), 100),
        Question::LastOfTenantAction { tenant, action } => (format!("tenant:{tenant} action:{action}"), 100),
        Question::CountByAction | Question::SeverityInHour { .. } | Question::Substring { .. } => (String::new(), 1),
    };
    format!("/api/v1/search?q={}&limit={limit}", encoded(&query))
}

/// Text as a value of a URL's query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
