//! A server's live tail: server-sent events, gone on with behind the last one whenever the connection breaks.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::format::limits::RECORD_BYTES_MAX;
use indelible_adapters::{Received, RecordsReader};
use indelible_client::{ClientError, Connection, ErrorKind, Response};

use super::{Remote, odd, pause_before, words};
use crate::failure::{Failure, Result};
use crate::question::Question;

/// Events that wait to be shown.
const WAITING: usize = 256;
/// A record in base64, with room for the names around it.
const LINE_BYTES_MAX: u64 = RECORD_BYTES_MAX as u64 / 3 * 4 + 1024;

/// What a live tail tells.
#[derive(Debug)]
pub(crate) enum Followed {
    /// An event: its position and its record.
    Event(u64, Vec<u8>),
    /// The connection broke; it is being made anew.
    Lost(String),
    /// The server refuses to go on.
    Ended(Failure),
}

/// A live tail that is being listened to.
#[derive(Debug)]
pub(crate) struct Follower {
    told: Receiver<Followed>,
}

impl Follower {
    /// Begins to listen; `from`: behind these positions, else with what comes from now on.
    pub(crate) fn start(remote: &Remote, question: &Question, from: Option<String>) -> Result<Self> {
        let listening = Listening {
            connection: remote.connection().clone(),
            words: words(question).into_iter().chain([("format", "records".to_owned())]).collect(),
            position: from,
        };
        let response = listening.connect()?;
        let (sender, told) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("follow".into())
            .spawn(move || listening.run(response, &sender))
            .map_err(|error| Failure::io("could not start a thread", &error))?;
        Ok(Self { told })
    }

    /// What comes next, if it comes within this time.
    pub(crate) fn next_within(&self, wait: Duration) -> Option<Followed> {
        match self.told.recv_timeout(wait) {
            Ok(followed) => Some(followed),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Followed::Ended(Failure::new("unreachable", "the live tail ended"))),
        }
    }
}

/// The thread that reads.
struct Listening {
    connection: Connection,
    words: Vec<(&'static str, String)>,
    /// Behind the last event that was told.
    position: Option<String>,
}

impl Listening {
    fn connect(&self) -> Result<Response, ClientError> {
        let words: Vec<(&str, &str)> = self.words.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let headers: Vec<(&str, &str)> = self.position.iter().map(|position| ("last-event-id", position.as_str())).collect();
        self.connection.get_with("/api/v1/tail", &words, &headers)
    }

    fn run(mut self, first: Response, sender: &SyncSender<Followed>) {
        let (mut response, mut failures) = (Some(first), 0);
        loop {
            if let Some(response) = response.take() {
                match self.read(response.into_reader(), sender) {
                    Ok(heard) => failures = if heard { 0 } else { failures },
                    Err(Gone::Listener) => return,
                    Err(Gone::Nonsense(failure)) => {
                        let _ = sender.send(Followed::Ended(failure));
                        return;
                    }
                }
            }
            failures += 1;
            if failures == 1
                && sender.send(Followed::Lost("the connection to the server broke; trying again".to_owned())).is_err()
            {
                return;
            }
            std::thread::sleep(pause_before(failures));
            match self.connect() {
                Ok(again) => response = Some(again),
                Err(error) if error.is_transient() && error.kind() != ErrorKind::Protocol => {}
                Err(error) => {
                    let _ = sender.send(Followed::Ended(error.into()));
                    return;
                }
            }
        }
    }

    /// Reads until the connection ends; gives whether anything was heard.
    fn read(&mut self, body: impl Read, sender: &SyncSender<Followed>) -> Result<bool, Gone> {
        let mut input = BufReader::new(body);
        let (mut id, mut data, mut heard) = (None, None, false);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A connection that breaks ends in the middle of an event, which is then told again.
            let Ok(read) = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) else { return Ok(heard) };
            if read as u64 == LINE_BYTES_MAX {
                return Err(Gone::Nonsense(odd("a live tail: a line of it is too long")));
            }
            if line.pop() != Some(b'\n') {
                return Ok(heard);
            }
            heard = true;
            if line.is_empty() {
                if let Some((seq, record)) = data.take() {
                    sender.send(Followed::Event(seq, record)).map_err(|_| Gone::Listener)?;
                }
                self.position = id.take().or(self.position.take());
            } else if let Some(text) = line.strip_prefix(b"id: ") {
                id = Some(String::from_utf8_lossy(text).into_owned());
            } else if let Some(text) = line.strip_prefix(b"data: ") {
                data = Some(event_of(text).ok_or_else(|| Gone::Nonsense(odd("a live tail: an event of it cannot be read")))?);
            }
        }
    }
}

/// Why reading ended for good.
enum Gone {
    Listener,
    Nonsense(Failure),
}

fn event_of(text: &[u8]) -> Option<(u64, Vec<u8>)> {
    let bytes = STANDARD.decode(text).ok()?;
    match RecordsReader::new(&*bytes).next().ok()? {
        Received::Record(seq, record) => Some((seq, record.bytes().to_vec())),
        Received::End(_) => None,
    }
}
