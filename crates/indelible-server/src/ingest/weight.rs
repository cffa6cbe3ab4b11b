//! What a request takes in memory once it is decoded: told from its bytes, before it is.
//!
//! An empty record is two bytes on the wire and hundreds in memory, and a few kilobytes of gzip are millions of them: a limit on bytes
//! alone bounds nothing.

use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::http::Problem;
use crate::http::body::Received;
use crate::server::Server;

/// Bytes of a text's or a list's own, besides what is in it.
const TEXT: usize = size_of::<String>();
/// Of JSON, what each element and each object takes, as a value and as a message. Records are larger, and counted by themselves.
const ELEMENT: usize = 48;
const OBJECT: usize = size_of::<KeyValue>() + ELEMENT;
/// Of a document, what each value and each key takes: 16 bytes, and a key 24 more until its object ends.
const NODE: usize = 32;
/// How deep messages may nest; prost stops there, too.
const DEPTH_MAX: u32 = 100;

/// The most that a request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// Bytes once decoded.
    pub(super) bytes: usize,
    pub(super) records: usize,
}

impl Most {
    pub(super) fn of(server: &Server) -> Self {
        let config = server.config();
        Self { bytes: config.size("limits.decompressed"), records: config.size("limits.batch_events") }
    }
}

/// A request that is being weighed.
struct Scales {
    most: Most,
    bytes: usize,
    records: usize,
}

/// Bytes that a protobuf request takes once decoded.
///
/// # Errors
/// More than `most`; not readable.
pub(super) fn of_protobuf(request: &[u8], most: Most) -> Result<usize, Problem> {
    let mut scales = Scales { most, bytes: 0, records: 0 };
    scales.message(Message::Request, request, DEPTH_MAX)?;
    Ok(scales.bytes)
}

/// Bytes that a JSON request takes once decoded, about; not how many records it has.
///
/// # Errors
/// More than `most`.
pub(super) fn of_json(request: &[u8], most: Most) -> Result<usize, Problem> {
    let mut scales = Scales { most, bytes: 0, records: 0 };
    let (mut quoted, mut escaped) = (false, false);
    for byte in request {
        let bytes = match byte {
            _ if escaped => {
                escaped = false;
                1
            }
            b'\\' if quoted => {
                escaped = true;
                1
            }
            b'"' => {
                quoted = !quoted;
                TEXT / 2
            }
            b'{' if !quoted => OBJECT,
            b'[' | b',' if !quoted => ELEMENT,
            _ => 1,
        };
        scales.add(bytes)?;
    }
    Ok(scales.bytes)
}

/// Bytes that reading a JSON text as one document takes.
///
/// # Errors
/// More than `most`.
pub(super) fn of_document(json: &[u8], most: Most) -> Result<usize, Problem> {
    let mut scales = Scales { most, bytes: 0, records: 0 };
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            // One of these stands before every value and every key but the first.
            b'{' | b'[' | b',' | b':' if !quoted => scales.add(NODE)?,
            _ => {}
        }
    }
    Ok(scales.bytes)
}

/// Takes room for what a request is going to be once decoded, or counts it as too large.
///
/// # Errors
/// There is no room; what weighing it said.
pub(super) async fn grow(server: &Server, received: &mut Received, weight: Result<usize, Problem>) -> Result<(), Problem> {
    let weight = super::counted(server, weight)?;
    received.grow(weight, server.body_limits()).await
}

impl Scales {
    fn add(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.most.bytes {
            let told = format!("the request takes more than {} bytes in memory", self.most.bytes);
            return Err(Problem::too_large(told).hint("send smaller batches"));
        }
        Ok(())
    }

    fn message(&mut self, message: Message, mut bytes: &[u8], depth: u32) -> Result<(), Problem> {
        let unreadable = || Problem::bad("otlp", "the request cannot be read: it is no protobuf");
        let depth = depth.checked_sub(1).ok_or_else(|| Problem::bad("otlp", "the request nests too deep"))?;
        while !bytes.is_empty() {
            let (key, rest) = varint(bytes).ok_or_else(unreadable)?;
            let (field, rest) = match key & 7 {
                0 => varint(rest).map(|(_, rest)| (None, rest)),
                1 => rest.split_at_checked(8).map(|(_, rest)| (None, rest)),
                5 => rest.split_at_checked(4).map(|(_, rest)| (None, rest)),
                2 => varint(rest).and_then(|(length, rest)| {
                    let (field, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                    Some((Some(field), rest))
                }),
                // Groups, which proto3 does not have.
                _ => None,
            }
            .ok_or_else(unreadable)?;
            bytes = rest;
            let Some(field) = field else { continue };
            match message.field(key >> 3) {
                Some(inner) => {
                    self.add(inner.size())?;
                    if inner == Message::Record {
                        self.records += 1;
                        super::few_enough(self.records, self.most.records)?;
                    }
                    self.message(inner, field, depth)?;
                }
                None => self.add(TEXT + field.len())?,
            }
        }
        Ok(())
    }
}

/// The messages of a request, and how they nest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Request,
    ResourceLogs,
    Resource,
    Entity,
    ScopeLogs,
    Scope,
    Record,
    Attribute,
    Value,
    /// `ArrayValue`
    List,
    /// `KeyValueList`
    Map,
}

impl Message {
    /// The message in a field of this one; `None`: a text, bytes, or a field that is not known.
    const fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Request, 1) => Self::ResourceLogs,
            (Self::ResourceLogs, 1) => Self::Resource,
            (Self::ResourceLogs, 2) => Self::ScopeLogs,
            (Self::Resource, 3) => Self::Entity,
            (Self::ScopeLogs, 1) => Self::Scope,
            (Self::ScopeLogs, 2) => Self::Record,
            (Self::Resource | Self::Map, 1) | (Self::Scope, 3) | (Self::Record, 6) => Self::Attribute,
            (Self::Record, 5) | (Self::Attribute, 2) | (Self::List, 1) => Self::Value,
            (Self::Value, 5) => Self::List,
            (Self::Value, 6) => Self::Map,
            _ => return None,
        })
    }

    const fn size(self) -> usize {
        match self {
            Self::Request | Self::List | Self::Map => TEXT,
            Self::ResourceLogs => size_of::<ResourceLogs>(),
            Self::Resource => size_of::<Resource>(),
            Self::Entity => size_of::<EntityRef>(),
            Self::ScopeLogs => size_of::<ScopeLogs>(),
            Self::Scope => size_of::<InstrumentationScope>(),
            Self::Record => size_of::<LogRecord>(),
            Self::Attribute => size_of::<KeyValue>(),
            Self::Value => size_of::<AnyValue>(),
        }
    }
}

/// A number of seven bits a byte, the lowest first, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (nth, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(nth + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
    use prost::Message as _;

    use super::*;

    const MOST: Most = Most { bytes: 1 << 20, records: 1_000 };

    fn request(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
        let logs = ScopeLogs { log_records: records, schema_url: "s".repeat(100), ..ScopeLogs::default() };
        ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs: vec![logs], ..ResourceLogs::default() }] }
    }

    fn value(value: Value) -> Option<AnyValue> {
        Some(AnyValue { value: Some(value) })
    }

    #[test]
    fn every_message_and_text_is_weighed() {
        let text = || value(Value::StringValue("x".repeat(500)));
        let list = value(Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: None }; 300] }));
        let attribute = |value| KeyValue { key: "k".into(), value, ..KeyValue::default() };
        let map = value(Value::KvlistValue(KeyValueList { values: vec![attribute(None); 300] }));
        let record = LogRecord { body: text(), attributes: vec![attribute(list), attribute(map)], ..LogRecord::default() };
        let bytes = request(vec![record]).encode_to_vec();
        let weight = of_protobuf(&bytes, MOST).unwrap();
        let least = 100 + 500 + size_of::<LogRecord>() + 300 * (size_of::<AnyValue>() + size_of::<KeyValue>());
        assert!((least..least + 10_000).contains(&weight), "{weight} {least}");
        for length in 1..bytes.len() {
            // Whatever is cut off, it ends.
            let _ = of_protobuf(&bytes[..length], MOST);
        }
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_in_memory_is_refused() {
        let many = request(vec![LogRecord::default(); 1_001]).encode_to_vec();
        assert!(many.len() < 3_000);
        assert_eq!(of_protobuf(&many, MOST).unwrap_err().detail, "more than 1000 events");
        let lists = vec![AnyValue { value: None }; 100_000];
        let body = value(Value::ArrayValue(ArrayValue { values: lists }));
        let lists = request(vec![LogRecord { body, ..LogRecord::default() }]).encode_to_vec();
        assert_eq!(of_protobuf(&lists, MOST).unwrap_err().code, "too_large");
        assert_eq!(of_json("{},".repeat(10_000).as_bytes(), MOST).unwrap_err().code, "too_large");
        assert_eq!(of_document("{},".repeat(20_000).as_bytes(), MOST).unwrap_err().code, "too_large");
        let text = format!("\"{}\"", "\\\"{[,:".repeat(10_000));
        assert!(of_json(text.as_bytes(), MOST).is_ok(), "in a text they are text");
        assert_eq!(of_document(text.as_bytes(), MOST).unwrap(), 0);
        let mut deep = AnyValue { value: None };
        for _ in 0..60 {
            deep = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![deep] })) };
        }
        let deep = request(vec![LogRecord { body: Some(deep), ..LogRecord::default() }]).encode_to_vec();
        assert_eq!(of_protobuf(&deep, MOST).unwrap_err().code, "otlp");
        for wrong in [&[0x0b][..], &[0x0a, 0xff, 0xff], &[0xff; 11], &[0x09, 1]] {
            assert_eq!(of_protobuf(wrong, MOST).unwrap_err().code, "otlp", "{wrong:?}");
        }
    }
}
