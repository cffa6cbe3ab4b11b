//! Events on their way to a server: written where they are made, sent in batches, each batch until the server says what became of it.
//!
//! A batch has a key of its own: sent again after a broken connection it is recorded once. One that is refused as it is was not recorded at all.

use indelible::{Draft, Rejection};
use indelible_adapters::{DraftError, write_draft};
use indelible_client::{ClientError, Connection, ErrorKind};
use serde_json::Value;

use super::{odd, pause_before};
use crate::failure::{Failure, Result};

/// Events and bytes of one batch.
const BATCH_EVENTS: usize = 1_000;
const BATCH_BYTES: usize = 2 << 20;
/// Times that a batch is sent before it is given up.
const ATTEMPTS: u32 = 8;
/// Of one event, which somebody waits for.
const ATTEMPTS_OF_ONE: u32 = 4;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Recorded,
    /// It had been recorded before.
    Duplicate,
    /// Code and message.
    Refused(String, String),
}

/// A batch in the making.
#[derive(Debug)]
pub(crate) struct HandOver<'c> {
    connection: &'c Connection,
    /// One JSON object a line.
    lines: Vec<u8>,
    /// Where each event ends, and what whoever gave it calls it.
    events: Vec<(usize, u64)>,
    memory: Vec<u8>,
}

impl<'c> HandOver<'c> {
    pub(crate) const fn new(connection: &'c Connection) -> Self {
        Self { connection, lines: Vec::new(), events: Vec::new(), memory: Vec::new() }
    }

    /// Takes an event, which its giver calls `name`; gives back why no store would take it.
    pub(crate) fn add(&mut self, draft: &Draft<'_>, name: u64) -> Result<(), (&'static str, String)> {
        write_draft(&mut self.lines, draft, &mut self.memory).map_err(|error| refusal(&error))?;
        self.lines.push(b'\n');
        self.events.push((self.lines.len(), name));
        Ok(())
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.events.len() >= BATCH_EVENTS || self.lines.len() >= BATCH_BYTES
    }

    /// Sends what there is, and says of each event what became of it.
    pub(crate) fn send(&mut self, mut each: impl FnMut(u64, Fate)) -> Result<()> {
        let all: Vec<usize> = (0..self.events.len()).collect();
        let sent = self.deliver(&all, &mut each);
        self.lines.clear();
        self.events.clear();
        sent
    }

    fn deliver(&self, chosen: &[usize], each: &mut dyn FnMut(u64, Fate)) -> Result<()> {
        if chosen.is_empty() {
            return Ok(());
        }
        let body: Vec<u8> = chosen.iter().flat_map(|nth| self.line(*nth)).copied().collect();
        let key = fresh_key();
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key.as_str())];
        match persist(ATTEMPTS, || self.connection.post("/api/v1/events", &[], &headers, &body)?.json()) {
            Ok(told) => self.report(chosen, &told, each),
            Err(error) => self.refused(chosen, error, each),
        }
    }

    fn report(&self, chosen: &[usize], told: &Value, each: &mut dyn FnMut(u64, Fate)) -> Result<()> {
        let receipts = told.get("receipts").and_then(Value::as_array).filter(|receipts| receipts.len() == chosen.len());
        for (nth, receipt) in chosen.iter().zip(receipts.ok_or_else(|| odd("a receipt for each event"))?) {
            each(self.name(*nth), fate_of(receipt));
        }
        Ok(())
    }

    /// Nothing of the batch was recorded: without what is wrong with it, or in smaller parts, it may be.
    fn refused(&self, chosen: &[usize], error: ClientError, each: &mut dyn FnMut(u64, Fate)) -> Result<()> {
        let Some(problem) = error.problem().filter(|_| error.kind() == ErrorKind::Rejected).cloned() else {
            return Err(error.into());
        };
        if let [one] = chosen {
            let fault = problem.faults.first();
            let (code, detail) = fault.map_or((&problem.code, &problem.detail), |fault| (&fault.code, &fault.detail));
            each(self.name(*one), Fate::Refused(code.clone(), detail.clone()));
            return Ok(());
        }
        let mut wrong = vec![None; chosen.len()];
        for fault in &problem.faults {
            let nth = fault.pointer.split('/').nth(1).and_then(|nth| nth.parse::<usize>().ok());
            if let Some(slot) = nth.and_then(|nth| wrong.get_mut(nth)) {
                slot.get_or_insert((fault.code.clone(), fault.detail.clone()));
            }
        }
        if wrong.iter().all(Option::is_none) {
            // Which of them it is, halves will tell.
            let (left, right) = chosen.split_at_checked(chosen.len() / 2).unwrap_or((chosen, &[]));
            self.deliver(left, each)?;
            return self.deliver(right, each);
        }
        let mut others = Vec::new();
        for (nth, wrong) in chosen.iter().zip(wrong) {
            match wrong {
                Some((code, detail)) => each(self.name(*nth), Fate::Refused(code, detail)),
                None => others.push(*nth),
            }
        }
        self.deliver(&others, each)
    }

    fn line(&self, nth: usize) -> &[u8] {
        let start = nth.checked_sub(1).and_then(|before| self.events.get(before)).map_or(0, |(end, _)| *end);
        self.events.get(nth).and_then(|(end, _)| self.lines.get(start..*end)).unwrap_or_default()
    }

    fn name(&self, nth: usize) -> u64 {
        self.events.get(nth).map_or(0, |(_, name)| *name)
    }
}

/// Records one event; gives its receipt as the server told it.
pub(crate) fn record(connection: &Connection, draft: &Draft<'_>) -> Result<Value> {
    let mut body = Vec::new();
    write_draft(&mut body, draft, &mut Vec::new()).map_err(|error| {
        let (_, why) = refusal(&error);
        Failure::new("rejected", error.to_string()).cause(why).hint("change what the message names; nothing was recorded")
    })?;
    let key = fresh_key();
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    Ok(persist(ATTEMPTS_OF_ONE, || connection.post("/api/v1/events", &[], &headers, &body)?.json())?)
}

fn refusal(error: &DraftError) -> (&'static str, String) {
    match error {
        DraftError::Rejected(rejection) => (Rejection::code(rejection), rejection.to_string()),
        DraftError::NotCanonical(_) => ("not_canonical", error.to_string()),
    }
}

fn fate_of(receipt: &Value) -> Fate {
    let text = |name: &str| receipt.get(name).and_then(Value::as_str);
    match (receipt.get("durable").and_then(Value::as_bool), text("idempotence")) {
        (Some(true), Some("duplicate")) => Fate::Duplicate,
        (Some(true), _) => Fate::Recorded,
        _ if receipt.get("shed").is_some() => Fate::Refused("shed".to_owned(), "the server had no room for it".to_owned()),
        _ => Fate::Refused("rejected".to_owned(), text("error").unwrap_or("the server does not say why").to_owned()),
    }
}

/// Tries until it succeeds, or fails for good, or so many times.
fn persist<T>(attempts: u32, mut attempt: impl FnMut() -> Result<T, ClientError>) -> Result<T, ClientError> {
    let mut nth = 1;
    loop {
        match attempt() {
            Err(error) if nth < attempts && error.is_transient() => {
                let told = error.problem().and_then(|problem| problem.retry_after);
                std::thread::sleep(told.unwrap_or_default().clamp(pause_before(nth), RETRY_AFTER_MAX));
                nth += 1;
            }
            result => return result,
        }
    }
}

/// No server is believed that it takes longer.
const RETRY_AFTER_MAX: std::time::Duration = std::time::Duration::from_secs(30);

fn fresh_key() -> String {
    format!("{:032x}", fastrand::u128(..))
}
