//! A server in place of a data directory: the same questions, asked over the network.
//!
//! Events come as the records they are stored as (`indelible_adapters::RecordsReader`), so that everything that is made of an event of a
//! directory — tables, columns, JSON, OCSF, Parquet — is made of one of a server by the same code. Counts come as JSON. What a server says is
//! not believed to be well formed, and its text is foreign text like any other.

mod address;
mod answer;
mod follow;
mod hand_over;
mod pin;
mod tiles;

use std::io::BufReader;
use std::ops::ControlFlow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::format::leaf::{control_entry, event_entry};
use indelible::format::sha256;
use indelible::format::tlog_proof::TlogProof;
use indelible::identity::LogIdentity;
use indelible::search::{Explain, Grouping, Latest, PageEnd, Summary, View};
use indelible::verify::verify_proof;
use indelible::{Hash, Identity, LogHead, Record, SignedCheckpoint, time};
use indelible_adapters::{Received, RecordsReader};
use indelible_client::{ClientError, Connection, ErrorKind, Response};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::question::{Located, Question, with_view};
use crate::shown::unhex;
use crate::source::{Counted, Found};

pub(crate) use address::ServerArgs;
pub(crate) use answer::odd;
pub(crate) use follow::{Followed, Follower};
pub(crate) use hand_over::{Fate, HandOver, record};
pub(crate) use pin::{Pin, Pins};
pub(crate) use tiles::{TileFault, Tiles};

/// Groups or values that one answer tells: what the server gives at most.
const GROUPS_MAX: usize = 10_000;
/// Times that a stream which broke is gone on with, if none of them brings anything.
const RESUMES_MAX: u32 = 5;
const BUFFER_BYTES: usize = 256 << 10;

/// A server, and the store it says it has.
#[derive(Debug)]
pub(crate) struct Remote {
    connection: Connection,
    identity: Identity,
    heads: Vec<LogHead>,
    /// By log, up to where its newest checkpoint covered it when this was opened.
    signed: Vec<(u32, u64)>,
    /// Groups of events that the token does not get to see.
    masked: Vec<String>,
}

impl Remote {
    /// Asks the server which store it has.
    pub(crate) fn open(connection: Connection) -> Result<Self> {
        let told = connection.get("/api/v1/store", &[])?.json()?;
        let (identity, heads, signed) = store_of(&told).ok_or_else(|| odd("which store it has"))?;
        let mask = told.get("mask").and_then(Value::as_array).into_iter().flatten();
        let masked = mask.filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { connection, identity, heads, signed, masked })
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Size and root of each log when this was opened, as the server says.
    pub(crate) fn heads(&self) -> &[LogHead] {
        &self.heads
    }

    /// Groups of events that the token does not get to see.
    pub(crate) fn masked(&self) -> &[String] {
        &self.masked
    }

    pub(crate) fn signed_size(&self, log: u32) -> u64 {
        self.signed.iter().find(|(known, _)| *known == log).map_or(0, |(_, size)| *size)
    }

    /// As `Reader::search_from`. A stream that breaks is gone on with behind the last event that came.
    pub(crate) fn search_from(
        &self,
        question: &Question,
        from: &[(u32, u64)],
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<Summary> {
        let mut next = from.to_vec();
        let (mut matched, mut failures) = (0, 0);
        loop {
            let before = matched;
            let mut stopped = false;
            let places: Vec<String> = next.iter().map(|(log, seq)| format!("{log}:{seq}")).collect();
            let mut words = words(question);
            words.extend([("format", "records".to_owned()), ("now", time::format(question.now))]);
            if !places.is_empty() {
                words.push(("from", places.join(",")));
            }
            let end = self.stream("/api/v1/export", &words, &mut |view| {
                matched += 1;
                match next.iter_mut().find(|(log, _)| *log == view.log) {
                    Some((_, next)) => *next = view.seq + 1,
                    None => next.push((view.log, view.seq + 1)),
                }
                let flow = each(view);
                stopped = flow.is_break();
                flow
            });
            match end {
                Ok(Some(end)) => {
                    let summary = answer::summary(&end, &self.identity).ok_or_else(|| odd("how the answer ends"))?;
                    return Ok(Summary { matched, ..summary });
                }
                Ok(None) => {
                    let explain = Explain::default();
                    return Ok(Summary { matched, scanned: 0, incomplete: None, heads: self.heads.clone(), explain });
                }
                Err(failure) => {
                    failures = if matched > before { 1 } else { failures + 1 };
                    if stopped || !failure.is_transient() || failures > RESUMES_MAX {
                        return Err(failure.into());
                    }
                    std::thread::sleep(pause_before(failures));
                }
            }
        }
    }

    /// As `Reader::latest`.
    pub(crate) fn latest(
        &self,
        question: &Question,
        limit: u64,
        before: Option<&PageEnd>,
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<Latest> {
        let mut words = words(question);
        // A page has one event at least.
        let limit = limit.max(1);
        words.extend([("format", "records".to_owned()), ("limit", limit.to_string()), ("explain", "true".to_owned())]);
        if let Some(before) = before {
            words.push(("before", before.to_string()));
        }
        let mut shown = 0;
        let end = self.stream("/api/v1/search", &words, &mut |view| {
            shown += 1;
            each(view)
        })?;
        let Some(end) = end else {
            let (heads, explain) = (self.heads.clone(), Explain::default());
            return Ok(Latest { shown, next: None, incomplete: None, heads, explain });
        };
        answer::latest(&end, &self.identity, shown).ok_or_else(|| odd("how a page ends"))
    }

    /// As `Reader::count`.
    pub(crate) fn count(&self, question: &Question) -> Result<Summary> {
        let mut words = words(question);
        words.extend([("limit", "1".to_owned()), ("count", "true".to_owned())]);
        let told = self.get("/api/v1/search", &words)?.json()?;
        answer::summary(&told, &self.identity).ok_or_else(|| odd("how many there are"))
    }

    /// As `Reader::aggregate`; `limit` groups of it, 0 for as many as the server tells.
    pub(crate) fn aggregate(&self, question: &Question, grouping: &Grouping, limit: usize) -> Result<(Counted, Summary)> {
        let names: Vec<String> = grouping.fields.iter().map(|field| field.name().to_string()).collect();
        // A limit is for each stretch of time.
        let all = limit == 0 || grouping.interval.is_some();
        let told = if all { GROUPS_MAX } else { limit.min(GROUPS_MAX) };
        let mut words = words(question);
        words.extend([("by", names.join(",")), ("limit", told.to_string())]);
        if let Some(interval) = grouping.interval {
            words.push(("interval", interval.to_string()));
        }
        let told = self.get("/api/v1/stats", &words)?.json()?;
        let summary = answer::summary(&told, &self.identity);
        let counted = answer::groups(&told, &names);
        let (counted, mut summary) = counted.zip(summary).ok_or_else(|| odd("the counts"))?;
        if counted.groups.groups.len() < counted.total && (all || limit > GROUPS_MAX) {
            summary.incomplete.get_or_insert_with(too_many);
        }
        Ok((counted, summary))
    }

    /// As `Reader::aggregate_each`, each by one field.
    pub(crate) fn facets(&self, question: &Question, names: &[String]) -> Result<(Vec<Counted>, Summary)> {
        let mut words = words(question);
        let limit = GROUPS_MAX.to_string();
        words.extend([("fields", names.join(",")), ("limit", limit), ("times", "true".to_owned())]);
        let told = self.get("/api/v1/facets", &words)?.json()?;
        let facets = told.get("facets").and_then(Value::as_array).filter(|facets| facets.len() == names.len());
        let counted = facets.and_then(|facets| facets.iter().map(answer::facet).collect::<Option<Vec<_>>>());
        let (counted, mut summary) =
            counted.zip(answer::summary(&told, &self.identity)).ok_or_else(|| odd("the values of fields"))?;
        if counted.iter().any(|counted| counted.groups.groups.len() < counted.total) {
            summary.incomplete.get_or_insert_with(too_many);
        }
        Ok((counted, summary))
    }

    /// One event with what its leaf is made of.
    pub(crate) fn event(&self, text: &str) -> Result<Found> {
        let response = self.connection.get(&place("/api/v1/events/", text, ""), &[("format", "records")])?;
        let mut reader = RecordsReader::new(response.into_reader());
        let (seq, bytes) = match reader.next().map_err(broken)? {
            Received::Record(seq, record) => (seq, record.bytes().to_vec()),
            Received::End(_) => return Err(odd("the event")),
        };
        let Received::End(end) = reader.next().map_err(broken)? else { return Err(odd("how the event ends")) };
        let end: Value = serde_json::from_slice(end).map_err(|_| odd("how the event ends"))?;
        let (leaf, commitments, namesakes) = answer::leaf(&end).ok_or_else(|| odd("the event's leaf"))?;
        let record = Record::parse(&bytes).ok_or_else(|| odd("the event"))?;
        let computed = match record.control() {
            Some(control) => sha256::leaf(&control_entry(control)),
            None => {
                let tags = record.groups().map(|(tag, _)| tag);
                let pairs: Vec<_> = tags.zip(commitments.iter().copied()).collect();
                record.leaf().unwrap_or_else(|| sha256::leaf(&event_entry(&pairs)))
            }
        };
        if computed != leaf {
            return Err(Failure::new(
                "mismatch",
                format!("the leaf that the server names is {leaf}, its commitments make {computed}"),
            )
            .exit(Exit::Unverified)
            .hint("ask for a proof: `indelible prove` checks it"));
        }
        let log = record.log();
        Ok(Found { located: Located { log, seq, namesakes }, bytes, commitments, leaf })
    }

    /// The proof of one event, checked against the key that the server says is the store's.
    pub(crate) fn prove(&self, text: &str) -> Result<(Located, TlogProof)> {
        let response = self.connection.get(&place("/api/v1/events/", text, "/proof"), &[])?;
        let bytes = read_all(response, indelible::format::tlog_proof::PROOF_BYTES_MAX)?;
        let proof = TlogProof::parse(&bytes).map_err(|error| odd("the proof").cause(error.to_string()))?;
        let origin = proof.checkpoint.lines().next().unwrap_or_default();
        let log = self.identity.logs.iter().find(|log| self.identity.origin(log.id).as_deref() == Some(origin));
        let log = log.ok_or_else(|| odd("of which log the proof is"))?.id;
        let key = self.identity.verifier_key(log).ok_or_else(|| odd("the log's key"))?;
        verify_proof(&bytes, &key).map_err(|error| Failure::from(error).exit(Exit::Unverified))?;
        Ok((Located { log, seq: proof.index, namesakes: 0 }, proof))
    }

    /// The newest head of a log, signed now and its signature checked.
    pub(crate) fn checkpoint(&self, log: u32) -> Result<SignedCheckpoint> {
        let response = self.connection.get(&format!("/api/v1/checkpoints/{log}"), &[])?;
        let note = read_text(response)?;
        let key = self.identity.verifier_key(log).ok_or_else(|| odd("the log's key"))?;
        let opened = indelible::format::checkpoint::open(note.as_bytes(), &key).map_err(|error| {
            Failure::new("mismatch", format!("the checkpoint that the server gave does not verify: {error}"))
                .exit(Exit::Unverified)
        })?;
        Ok(SignedCheckpoint { log, origin: opened.origin, size: opened.size, root: opened.root, note })
    }

    /// Has the server read its configuration again; gives the keys that wait for the next start.
    pub(crate) fn reload(connection: &Connection) -> Result<Vec<String>> {
        let told = connection.post("/api/v1/config/reload", &[], &[], b"")?.json()?;
        let waiting = told.get("waiting").and_then(Value::as_array).ok_or_else(|| odd("what it took up"))?;
        Ok(waiting.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    fn get(&self, path: &str, words: &[(&str, String)]) -> Result<Response, ClientError> {
        let words: Vec<(&str, &str)> = words.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.connection.get(path, &words)
    }

    /// Shows `each` the events of an answer; gives what is said at its end, or nothing if `each` broke off.
    fn stream(
        &self,
        path: &str,
        words: &[(&str, String)],
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Value>, Broken> {
        let response = self.get(path, words)?;
        let mut reader = RecordsReader::new(BufReader::with_capacity(BUFFER_BYTES, response.into_reader()));
        loop {
            match reader.next()? {
                Received::End(end) => {
                    return serde_json::from_slice(end).map(Some).map_err(|_| Broken::Odd(odd("how the answer ends")));
                }
                Received::Record(seq, record) => {
                    let flow = with_view(record.log(), seq, &record, |view| each(view));
                    if flow.is_some_and(|flow| flow.is_break()) {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Why a stream of events ended before its end.
enum Broken {
    Refused(ClientError),
    Stream(std::io::Error),
    Odd(Failure),
}

impl Broken {
    /// Whether asking again may help.
    fn is_transient(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_transient() && error.kind() != ErrorKind::Protocol,
            Self::Stream(error) => error.kind() != std::io::ErrorKind::InvalidData,
            Self::Odd(_) => false,
        }
    }
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        Self::Refused(error)
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Stream(error)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Refused(error) => error.into(),
            Broken::Stream(error) => broken_off(&error),
            Broken::Odd(failure) => failure,
        }
    }
}

fn broken(error: std::io::Error) -> Failure {
    broken_off(&error)
}

fn broken_off(error: &std::io::Error) -> Failure {
    Failure::new("unreachable", "the server's answer broke off").cause(error.to_string()).hint("try again")
}

/// How long to wait before trying for the nth time, from 1.
pub(crate) fn pause_before(nth: u32) -> Duration {
    Duration::from_millis(200 << nth.min(5)).min(Duration::from_secs(5))
}

/// A question as the API takes it.
fn words(question: &Question) -> Vec<(&'static str, String)> {
    let query = &question.query;
    let mut words = Vec::new();
    if !question.text.trim().is_empty() {
        words.push(("q", question.text.clone()));
    }
    for (name, moment) in [("since", query.since), ("until", query.until)] {
        words.extend(moment.map(|moment| (name, time::format(moment))));
    }
    words.extend(query.log.map(|log| ("log", log.to_string())));
    words
}

/// A path with a text in it.
fn place(before: &str, text: &str, behind: &str) -> String {
    let mut path = before.to_owned();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path + behind
}

/// A body of some bytes at most.
pub(crate) fn read_all(response: Response, bytes_max: usize) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    response.into_reader().take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() > bytes_max { Err(odd("more than there can be")) } else { Ok(bytes) }
}

fn read_text(response: Response) -> Result<String> {
    String::from_utf8(read_all(response, 1 << 20)?).map_err(|_| odd("text"))
}

fn too_many() -> String {
    format!("the server tells {GROUPS_MAX} groups at most; narrow the question")
}

/// How far each log is signed.
type Signed = Vec<(u32, u64)>;

/// Identity, heads and signed sizes, as `/api/v1/store` tells them.
fn store_of(told: &Value) -> Option<(Identity, Vec<LogHead>, Signed)> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (mut logs, mut heads, mut signed) = (Vec::new(), Vec::new(), Vec::new());
    for log in told.get("logs")?.as_array()? {
        let id = u32::try_from(log.get("id")?.as_u64()?).ok()?;
        heads.push(LogHead { log: id, size: log.get("size")?.as_u64()?, root: Hash::from_hex(&text(log, "root")?)? });
        signed.push((id, log.get("signed")?.as_u64()?));
        logs.push(LogIdentity { id, name: text(log, "log")?, uid: text(log, "uid")? });
    }
    let identity = Identity {
        store: unhex(&text(told, "store")?)?,
        prefix: text(told, "prefix")?,
        created: time::parse(&text(told, "created")?)?,
        logs,
        public_key: STANDARD.decode(text(told, "public_key")?).ok()?.try_into().ok()?,
        retention: None,
        predecessors: Vec::new(),
    };
    Some((identity, heads, signed))
}
