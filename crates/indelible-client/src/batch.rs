//! One request: its events, their keys, and what an answer means for each of them.
//!
//! Every event has an idempotency key from the moment its batch is made: its own, or the batch's key and its place in it, as the
//! server makes it of the header. When a batch is taken apart — an event of it was refused, or it was too large — the events say
//! the keys that they had themselves. So whatever an earlier attempt may have recorded, none is recorded twice.

use std::sync::Arc;

use indelible_format::Hash;
use indelible_format::event::Idempotence;
use indelible_format::json::{Document, Kind, Limits, Node, write_string};

use crate::error::{ClientError, ErrorKind, Problem};
use crate::queue::Item;
use crate::ticket::{Receipt, Settled};

const ANSWER_LIMITS: Limits = Limits { bytes_max: 1 << 28, depth_max: 8, nodes_max: 1 << 24 };

/// The events of one request.
#[derive(Debug)]
pub(crate) struct Batch {
    /// For the header `Idempotency-Key`.
    pub(crate) key: Arc<str>,
    items: Vec<Arc<Item>>,
    /// The places are not those of the keys any more: every event says its key.
    apart: bool,
}

/// What to do next with a batch.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing: all of it is settled.
    Done,
    /// The same again, later.
    Later(Batch, ClientError),
    /// Without those that were refused, now.
    Rest(Batch),
    /// In two parts, now: it is too large.
    Halves(Batch, Batch),
}

/// Events of which is known what became of them.
pub(crate) type Known = Vec<(Arc<Item>, Settled)>;

impl Batch {
    /// A batch of new events, or of some that nobody sends any more.
    pub(crate) fn new(key: &str, items: Vec<Arc<Item>>) -> Self {
        let key: Arc<str> = key.into();
        for (nth, item) in items.iter().enumerate() {
            // What was in a batch before keeps the key it had there.
            item.key.get_or_init(|| (Arc::clone(&key), nth));
        }
        Self { key, items, apart: false }
    }

    /// Events that nobody sends any more, with the keys that they have.
    pub(crate) fn without_keys(items: Vec<Arc<Item>>) -> Self {
        Self { key: Arc::default(), items, apart: true }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.line.len() + 1).sum()
    }

    /// As NDJSON.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.bytes());
        for item in &self.items {
            write_line(&mut body, item, item.key.get().filter(|_| self.apart && !item.has_key));
        }
        body
    }

    /// The same, every event with its key in its own words.
    pub(crate) fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    /// What an answer means for each event; what is not settled by it is in [`Next`].
    pub(crate) fn judge(self, answer: Result<Vec<u8>, ClientError>) -> (Known, Next) {
        let error = match answer {
            Ok(body) => return self.receipts(&body),
            Err(error) => error,
        };
        if error.is_transient() {
            return (Vec::new(), Next::Later(self, error));
        }
        let Some(problem) = error.problem() else { return self.all(&error) };
        if problem.status == 413 && self.len() > 1 {
            let mut first = self.apart();
            let items = first.items.split_off(first.len() / 2);
            let second = Self { key: Arc::clone(&first.key), items, apart: true };
            return (Vec::new(), Next::Halves(first, second));
        }
        let refused = refused(problem, self.len());
        if refused.is_empty() {
            return self.all(&error);
        }
        let mut known = Vec::new();
        let mut rest = self.apart();
        for (nth, item) in std::mem::take(&mut rest.items).into_iter().enumerate() {
            match refused.iter().find(|(at, _)| *at == nth) {
                Some((_, error)) => known.push((item, Err(error.clone()))),
                None => rest.items.push(item),
            }
        }
        (known, if rest.items.is_empty() { Next::Done } else { Next::Rest(rest) })
    }

    fn all(self, error: &ClientError) -> (Known, Next) {
        (self.items.into_iter().map(|item| (item, Err(error.clone()))).collect(), Next::Done)
    }

    fn receipts(self, body: &[u8]) -> (Known, Next) {
        let mut document = Document::new();
        let receipts = document.parse(body, &ANSWER_LIMITS).ok().and_then(|answer| answer.get("receipts"));
        let Some(receipts) = receipts.filter(|receipts| receipts.kind() == Kind::Array && receipts.len() == self.len()) else {
            let error = ClientError::new(ErrorKind::Protocol, "the server answered without a receipt for every event");
            return (Vec::new(), Next::Later(self, error));
        };
        let mut names = Names::default();
        let known = self.items.into_iter().zip(receipts.elements());
        (known.map(|(item, receipt)| (item, names.read(receipt))).collect(), Next::Done)
    }
}

fn write_line(body: &mut Vec<u8>, item: &Item, key: Option<&(Arc<str>, usize)>) {
    match (key, item.line.strip_suffix(b"}")) {
        (Some((key, nth)), Some(open)) => {
            body.extend_from_slice(open);
            body.extend_from_slice(b",\"idempotency_key\":");
            // As the server makes it of the header and the place.
            write_string(body, &format!("{key}/{nth}"));
            body.push(b'}');
        }
        _ => body.extend_from_slice(&item.line),
    }
    body.push(b'\n');
}

/// Which events of so many the server named, and why.
fn refused(problem: &Problem, count: usize) -> Vec<(usize, ClientError)> {
    let place = |pointer: &str| pointer.strip_prefix('/')?.split('/').next()?.parse::<usize>().ok().filter(|nth| *nth < count);
    let one = |fault: &crate::error::Fault| {
        let told =
            Problem { detail: fault.detail.clone(), code: fault.code.clone(), faults: vec![fault.clone()], ..problem.clone() };
        Some((place(&fault.pointer)?, told.into()))
    };
    problem.faults.iter().filter_map(one).collect()
}

/// The names of the last log; most receipts of an answer are of one.
#[derive(Default)]
struct Names {
    origin: Arc<str>,
    log: Arc<str>,
}

impl Names {
    fn read(&mut self, receipt: Node<'_, '_>) -> Settled {
        if let Some(why) = receipt.get("error").and_then(|error| error.as_str().map(std::borrow::Cow::into_owned)) {
            return Err(ClientError::new(ErrorKind::Rejected, why));
        }
        if receipt.get("durable").and_then(|durable| durable.as_bool()) != Some(true) {
            return Err(ClientError::new(
                ErrorKind::NotFound,
                "the event was not recorded: the server's lane was full and sheds",
            ));
        }
        let text = |name: &str| receipt.get(name).and_then(|value| value.as_str());
        let (Some(origin), Some(log), Some(word)) = (text("origin"), text("log"), text("idempotence")) else {
            return Err(ClientError::new(ErrorKind::NotFound, "the event is durable, but its place is not remembered"));
        };
        let idempotence = Idempotence::from_name(&word)
            .ok_or_else(|| ClientError::new(ErrorKind::Protocol, "the event is durable; its receipt is of a later version"))?;
        for (known, told) in [(&mut self.origin, origin), (&mut self.log, log)] {
            if **known != *told {
                *known = told.into();
            }
        }
        let number = |name: &str| receipt.get(name).and_then(|value| value.as_u64());
        Ok(Receipt {
            origin: Arc::clone(&self.origin),
            log: Arc::clone(&self.log),
            seq: number("seq"),
            leaf: text("leaf").and_then(|leaf| Hash::from_hex(&leaf)),
            tenant_seq: number("tenant_seq"),
            idempotence,
        })
    }
}
