//! Our own event as JSON → a draft: what a client posts. The same names and shape as [`write_event`](crate::write_event) writes.
//!
//! Strict where a foreign record is taken as it is: a member that is not known, or has another type, is refused with a JSON pointer to it,
//! because whoever writes our own format wants to hear of a slip. What the log itself says of an event (`log`, `seq`, `received`,
//! `tenant_seq`) is refused too: nobody can choose it.

mod fields;
#[cfg(test)]
mod tests;

use indelible_format::json::{self, Document, Kind, Node};
use indelible_format::limits;

pub use fields::PostedEvent;

/// What parsing one event may cost.
const PARSE_LIMITS: json::Limits =
    json::Limits { bytes_max: limits::RECORD_BYTES_MAX, depth_max: limits::DEPTH_MAX + 2, nodes_max: 1_000_000 };

/// Why an event became no draft, and which part of it says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EventError {
    /// JSON pointer (RFC 6901) to what is wrong; empty for the whole event.
    pub pointer: String,
    /// A stable word for counters and programs.
    pub code: &'static str,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl EventError {
    pub(crate) fn new(pointer: String, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer, code, message: message.into() }
    }

    fn json(error: json::Error, at: &str) -> Self {
        Self::new(at.to_owned(), error.kind.code(), format!("at byte {}: {error}", error.offset))
    }
}

/// Reads one event, which is one JSON object. `at` is the beginning of the pointers in errors; `document` is memory to be used again.
///
/// ```
/// use indelible_adapters::read_event;
/// use indelible_format::json::Document;
/// let json = br#"{"action":"user.login","actor":{"id":"alice"},"outcome":"failure","details":{"attempt":3}}"#;
/// let event = read_event(&mut Document::new(), json, "")?;
/// event.with_draft(|draft| assert_eq!(draft.actor.id, Some("alice")));
/// let error = read_event(&mut Document::new(), br#"{"action":"user.login","actor":{"ID":"alice"}}"#, "/7").unwrap_err();
/// assert_eq!(error.pointer, "/7/actor/ID");
/// # Ok::<(), indelible_adapters::EventError>(())
/// ```
///
/// # Errors
/// It is not JSON, or a member is not what it has to be. Lengths are judged at admission.
///
/// # Cost
/// One parse; a copy of details that are not canonical yet, and of texts with escapes.
pub fn read_event<'i>(document: &mut Document, event: &'i [u8], at: &str) -> Result<PostedEvent<'i>, EventError> {
    let node = document.parse(event, &PARSE_LIMITS).map_err(|error| EventError::json(error, at))?;
    PostedEvent::read(node, at)
}

/// Reads a JSON array of events, or one event, of `bytes_max` bytes at most; hands `each` every event or what is wrong with it, whose
/// pointer begins with its place in the array.
///
/// # Errors
/// The whole is not JSON.
pub fn read_events<'i>(
    document: &mut Document,
    events: &'i [u8],
    bytes_max: usize,
    each: &mut dyn FnMut(Result<PostedEvent<'i>, EventError>),
) -> Result<(), EventError> {
    let limits = json::Limits { bytes_max, nodes_max: 4_000_000, depth_max: PARSE_LIMITS.depth_max + 1 };
    let node = document.parse(events, &limits).map_err(|error| EventError::json(error, ""))?;
    let mut hand = |node: Node<'_, 'i>, at: &str| {
        let length = node.span().len();
        each(if length > PARSE_LIMITS.bytes_max {
            let limit = PARSE_LIMITS.bytes_max;
            Err(EventError::new(at.to_owned(), "too_long", format!("the event has {length} bytes, the limit is {limit}")))
        } else {
            PostedEvent::read(node, at)
        });
    };
    if node.kind() == Kind::Array {
        node.elements().enumerate().for_each(|(nth, event)| hand(event, &format!("/{nth}")));
    } else {
        hand(node, "");
    }
    Ok(())
}
