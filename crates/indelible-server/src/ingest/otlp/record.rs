//! A log record, its resource and its scope as one JSON object.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::json::write_string;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};

pub(super) fn write_resource(out: &mut Vec<u8>, logs: &ResourceLogs) {
    out.extend_from_slice(b"\"resource\":{");
    if let Some(resource) = &logs.resource {
        out.extend_from_slice(b"\"attributes\":");
        write_attributes(out, &resource.attributes);
        if resource.dropped_attributes_count > 0 {
            put(out, format_args!(",\"droppedAttributesCount\":{}", resource.dropped_attributes_count));
        }
        write_entities(out, &resource.entity_refs);
    }
    out.push(b'}');
    if !logs.schema_url.is_empty() {
        member(out, "resourceSchemaUrl", &logs.schema_url);
    }
}

fn write_entities(out: &mut Vec<u8>, entities: &[EntityRef]) {
    for (nth, entity) in entities.iter().enumerate() {
        out.extend_from_slice(if nth == 0 { b",\"entityRefs\":[" } else { b"," });
        out.extend_from_slice(b"{\"type\":");
        write_string(out, &entity.r#type);
        member(out, "schemaUrl", &entity.schema_url);
        for (name, keys) in [("idKeys", &entity.id_keys), ("descriptionKeys", &entity.description_keys)] {
            for (nth, key) in keys.iter().enumerate() {
                if nth == 0 {
                    put(out, format_args!(",\"{name}\":["));
                } else {
                    out.push(b',');
                }
                write_string(out, key);
            }
            if !keys.is_empty() {
                out.push(b']');
            }
        }
        out.push(b'}');
    }
    if !entities.is_empty() {
        out.push(b']');
    }
}

pub(super) fn write_scope(out: &mut Vec<u8>, scope: Option<&InstrumentationScope>, schema_url: &str) {
    if let Some(scope) = scope {
        out.extend_from_slice(b",\"scope\":{\"name\":");
        write_string(out, &scope.name);
        member(out, "version", &scope.version);
        if !scope.attributes.is_empty() {
            out.extend_from_slice(b",\"attributes\":");
            write_attributes(out, &scope.attributes);
        }
        if scope.dropped_attributes_count > 0 {
            put(out, format_args!(",\"droppedAttributesCount\":{}", scope.dropped_attributes_count));
        }
        out.push(b'}');
    }
    if !schema_url.is_empty() {
        member(out, "scopeSchemaUrl", schema_url);
    }
}

pub(super) fn write_record(out: &mut Vec<u8>, record: &LogRecord) {
    // 64-bit integers are texts, as in OTLP's JSON.
    let LogRecord { time_unix_nano, observed_time_unix_nano, .. } = record;
    put(out, format_args!(",\"timeUnixNano\":\"{time_unix_nano}\",\"observedTimeUnixNano\":\"{observed_time_unix_nano}\""));
    put(out, format_args!(",\"severityNumber\":{}", record.severity_number));
    member(out, "severityText", &record.severity_text);
    if let Some(body) = &record.body {
        out.extend_from_slice(b",\"body\":");
        write_value(out, Some(body));
    }
    out.extend_from_slice(b",\"attributes\":");
    write_attributes(out, &record.attributes);
    for (name, number) in [("droppedAttributesCount", record.dropped_attributes_count), ("flags", record.flags)] {
        if number > 0 {
            put(out, format_args!(",\"{name}\":{number}"));
        }
    }
    for (name, bytes) in [("traceId", &record.trace_id), ("spanId", &record.span_id)] {
        if !bytes.is_empty() {
            put(out, format_args!(",\"{name}\":\""));
            let digit = |nibble: u8| nibble + if nibble > 9 { b'a' - 10 } else { b'0' };
            bytes.iter().for_each(|byte| out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]));
            out.push(b'"');
        }
    }
    member(out, "eventName", &record.event_name);
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}

/// A member of text, unless it is empty.
fn member(out: &mut Vec<u8>, name: &str, text: &str) {
    if !text.is_empty() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write_string(out, text);
    }
}

/// An object by key; a list where a key comes twice.
fn write_attributes(out: &mut Vec<u8>, attributes: &[KeyValue]) {
    let mut keys: Vec<&str> = attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    keys.sort_unstable();
    // A key by index is none that an object has; what it points to is not in a request of logs.
    let named = attributes.iter().all(|attribute| attribute.key_strindex == 0);
    let distinct = named && keys.windows(2).all(|pair| pair.first() != pair.last());
    out.push(if distinct { b'{' } else { b'[' });
    for (nth, attribute) in attributes.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        if distinct {
            write_string(out, &attribute.key);
            out.push(b':');
            write_value(out, attribute.value.as_ref());
        } else {
            out.extend_from_slice(b"{\"key\":");
            write_string(out, &attribute.key);
            out.extend_from_slice(b",\"value\":");
            write_value(out, attribute.value.as_ref());
            if attribute.key_strindex != 0 {
                put(out, format_args!(",\"keyStrindex\":{}", attribute.key_strindex));
            }
            out.push(b'}');
        }
    }
    out.push(if distinct { b'}' } else { b']' });
}

/// The decoder bounds how deep values nest.
fn write_value(out: &mut Vec<u8>, value: Option<&AnyValue>) {
    match value.and_then(|value| value.value.as_ref()) {
        None => out.extend_from_slice(b"null"),
        Some(Value::StringValue(text)) => write_string(out, text),
        Some(Value::BoolValue(is)) => out.extend_from_slice(if *is { b"true" } else { b"false" }),
        Some(Value::IntValue(number)) => put(out, format_args!("{number}")),
        // Always with a point or an exponent, so that it is not taken for an integer.
        Some(Value::DoubleValue(number)) if number.is_finite() => put(out, format_args!("{number:?}")),
        Some(Value::DoubleValue(number)) => {
            let name = if number.is_nan() {
                "NaN"
            } else if *number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            put(out, format_args!("{{\"doubleValue\":\"{name}\"}}"));
        }
        Some(Value::BytesValue(bytes)) => put(out, format_args!("{{\"bytesValue\":\"{}\"}}", STANDARD.encode(bytes))),
        Some(Value::ArrayValue(list)) => {
            out.push(b'[');
            for (nth, value) in list.values.iter().enumerate() {
                if nth > 0 {
                    out.push(b',');
                }
                write_value(out, Some(value));
            }
            out.push(b']');
        }
        Some(Value::KvlistValue(list)) => write_attributes(out, &list.values),
        Some(Value::StringValueStrindex(index)) => put(out, format_args!("{{\"stringValueStrindex\":{index}}}")),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::resource::v1::Resource;

    use super::*;

    #[test]
    fn what_a_resource_is_made_of_is_kept() {
        let entity = |id: &[&str], told: &[&str]| EntityRef {
            schema_url: if told.is_empty() { String::new() } else { "https://x".into() },
            r#type: "host".into(),
            id_keys: id.iter().map(ToString::to_string).collect(),
            description_keys: told.iter().map(ToString::to_string).collect(),
        };
        let entity_refs = vec![entity(&["host.id", "b"], &["host.name"]), entity(&["host.id"], &[])];
        let resource = Some(Resource { entity_refs, ..Resource::default() });
        let mut out = Vec::new();
        write_resource(&mut out, &ResourceLogs { resource, ..ResourceLogs::default() });
        let told = r#""resource":{"attributes":{},"entityRefs":[{"type":"host","schemaUrl":"https://x","idKeys":["host.id","b"],"descriptionKeys":["host.name"]},{"type":"host","idKeys":["host.id"]}]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), told);
    }
}
