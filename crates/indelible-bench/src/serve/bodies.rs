//! Events on their way in: requests made before the run, in which only digits change while it runs.
//!
//! Each has its own request number, 24 of whose digits are made anew whenever a request is sent, so that the log does not see the same
//! events over and over. Neither id nor time is given, as most who post events give none: the server does.

use super::answer;
use super::driver::{Answer, Source};
use super::process::Server;
use crate::Result;
use crate::zipf::{Zipf, mixed};

/// Digits that are made anew at each mark.
const DIGITS: usize = 12;

/// The bytes of a message, and where digits of it change.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    marks: Vec<usize>,
}

impl Message {
    /// `bytes` hold each of `requests`, texts of 32 digits, once and in this order.
    pub(crate) fn new(bytes: Vec<u8>, requests: &[String]) -> Result<Self> {
        let mut marks = Vec::with_capacity(requests.len() * 2);
        let mut from = 0;
        for request in requests {
            let rest = bytes.get(from..).unwrap_or_default();
            let place = rest.windows(request.len()).position(|window| window == request.as_bytes());
            let at = from + place.ok_or("a request's number is not in the message")?;
            marks.extend([at, at + DIGITS]);
            from = at + request.len();
        }
        Ok(Self { bytes, marks })
    }

    /// Makes the digits anew. Cost: some 10 ns each mark.
    pub(crate) fn refresh(&mut self, counter: &mut u64) {
        for at in &self.marks {
            *counter += 1;
            let mut number = mixed(*counter);
            for digit in self.bytes.get_mut(*at..*at + DIGITS).unwrap_or_default() {
                let nibble = number.to_le_bytes()[0] & 15;
                *digit = nibble + if nibble > 9 { b'a' - 10 } else { b'0' };
                number >>= 4;
            }
        }
    }
}

/// Appends the `nth` event as a client posts it: one line of JSON. Returns its request's number.
fn posted_line(zipf: &Zipf, nth: u64, out: &mut String) -> String {
    let event = zipf.at(nth);
    let mut line = String::new();
    event.json_line(&mut line);
    // Id and time come first.
    let rest = line.split_once(",\"tenant\"").map_or("", |(_, rest)| rest);
    out.push_str("{\"tenant\"");
    out.push_str(rest);
    event.request.text().to_owned()
}

/// Batches of events in requests of their own, some for each connection.
pub(crate) struct Posts {
    messages: Vec<Message>,
    by_connection: usize,
    /// Which message each connection sends.
    current: Vec<usize>,
    counter: u64,
    /// What every good answer begins with.
    good: String,
    pub(crate) event_bytes: f64,
}

impl Posts {
    /// `events` of each request: as lines, or one as JSON.
    pub(crate) fn make(server: &Server, zipf: &Zipf, connections: usize, by_connection: usize, events: u64) -> Result<Self> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for message in 0..(connections * by_connection) as u64 {
            let mut body = String::new();
            let requests: Vec<String> = (0..events).map(|nth| posted_line(zipf, message * events + nth, &mut body)).collect();
            let media_type = if events == 1 { "application/json" } else { "application/x-ndjson" };
            bytes += body.len();
            let mut request = server.head("POST", "/api/v1/events", media_type, body.len());
            request.extend_from_slice(body.as_bytes());
            messages.push(Message::new(request, &requests)?);
        }
        let event_bytes = bytes as f64 / (messages.len() as u64 * events) as f64;
        let good = if events == 1 { "{\"origin\":".to_owned() } else { format!("{{\"count\":{events},\"durable\":true,") };
        Ok(Self { messages, by_connection, current: vec![0; connections], counter: 0, good, event_bytes })
    }
}

impl Source for Posts {
    fn prepare(&mut self, connection: usize, nth: u64) {
        let which = usize::try_from(nth / self.current.len() as u64).unwrap_or(0) % self.by_connection;
        let message = connection * self.by_connection + which;
        if let Some(message) = self.messages.get_mut(message) {
            message.refresh(&mut self.counter);
        }
        if let Some(current) = self.current.get_mut(connection) {
            *current = message;
        }
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        let message = self.current.get(connection).and_then(|message| self.messages.get(*message));
        message.map_or(&[], |message| &message.bytes)
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        if answer.status == 201 && answer.body.starts_with(self.good.as_bytes()) {
            return Ok(());
        }
        Err(format!("events were answered with {}: {}", answer.status, answer::shown(answer.body)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_change_and_nothing_else_does() {
        let zipf = Zipf::new(1, 5);
        let mut body = String::new();
        let requests: Vec<String> = (0..3).map(|nth| posted_line(&zipf, nth, &mut body)).collect();
        let mut message = Message::new(body.clone().into_bytes(), &requests).unwrap();
        let mut counter = 0;
        message.refresh(&mut counter);
        let first = String::from_utf8(message.bytes.clone()).unwrap();
        message.refresh(&mut counter);
        let second = String::from_utf8(message.bytes).unwrap();
        assert!(first != body && second != first && counter == 12);
        for (before, after) in body.lines().zip(second.lines()) {
            let [mut before, mut after] = [before, after].map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let [one, other] = [&mut before, &mut after].map(|event| event["details"]["request_id"].take());
            assert!(before == after && one != other);
            assert!(other.as_str().unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(before.get("id").is_none() && before.get("time").is_none() && before["tenant"].is_string());
        }
    }
}
