//! OTLP logs: protobuf and JSON over HTTP, and gRPC on the same port.
//!
//! A log record becomes one JSON object with its resource and scope beside it; attributes are members, so that they can be searched by name. What
//! JSON does not have is written as OTLP's own JSON writes it (`{"bytesValue":…}`, `{"doubleValue":"NaN"}`), and a list of attributes that names
//! a key twice stays a list. `Success` is said when all of it is durable.

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, BytesMut};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use indelible::json::write_string;
use indelible_adapters::Format;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Status};

use super::foreign::{Fate, Foreign};
use super::weight::{self, Most};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::{Coding, Received, receive};
use crate::http::caller::{Call, Caller, Peer};
use crate::metrics::Protocol;
use crate::server::Server;

pub(crate) fn routes(server: &Arc<Server>) -> Router<Arc<Server>> {
    let limits = server.body_limits();
    let service = LogsServiceServer::new(Service(Arc::clone(server)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.decompressed);
    let grpc = Router::new()
        .route_service("/opentelemetry.proto.collector.logs.v1.LogsService/Export", service)
        .layer(middleware::from_fn_with_state(Arc::clone(server), grpc));
    Router::new().route("/v1/logs", post(logs)).merge(grpc)
}

/// A call over gRPC: its message is taken like any other body, of a caller who may, under limits of time and room, before it is decoded.
async fn grpc(State(server): State<Arc<Server>>, request: HttpRequest, next: Next) -> Response {
    match message(&server, request).await {
        Ok((request, received)) => {
            let response = next.run(request).await;
            drop(received);
            response
        }
        Err(problem) => status(problem).into_http(),
    }
}

/// Bytes before a message of gRPC: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

async fn message(server: &Server, request: HttpRequest) -> Result<(HttpRequest, Received), Problem> {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let caller = Caller::of(server, &parts.headers, peer, Scope::Emit)?;
    let limits = server.body_limits();
    let mut received = receive(&parts.headers, body, limits, &server.room).await?;
    let is_gzip = parts.headers.get("grpc-encoding").is_some_and(|name| name == "gzip");
    let mut frame = received.bytes.clone();
    if is_gzip && frame.first() == Some(&1) {
        received = received.decompressed(FRAME_HEAD, Coding::Gzip, limits, &server.room).await?;
        let length = u32::try_from(received.bytes.len()).map_err(|_| Problem::too_large("the message is too long"))?;
        let mut plain = BytesMut::with_capacity(FRAME_HEAD + received.bytes.len());
        plain.put_u8(0);
        plain.put_u32(length);
        plain.put_slice(&received.bytes);
        frame = plain.freeze();
        parts.headers.remove("grpc-encoding");
    }
    // What is compressed in another way is refused by whoever reads it next.
    if frame.first() == Some(&0) {
        let weight = weight::of_protobuf(frame.get(FRAME_HEAD..).unwrap_or_default(), Most::of(server));
        weight::grow(server, &mut received, weight).await?;
    }
    parts.extensions.insert(caller);
    Ok((HttpRequest::from_parts(parts, Body::from(frame)), received))
}

async fn logs(State(server): State<Arc<Server>>, call: Call, body: Body) -> Response {
    let is_json = call.media_type() == "application/json";
    let response = match export_http(&server, &call, is_json, body).await {
        Ok(response) => (StatusCode::OK, encoded(&response, is_json)).into_response(),
        Err(problem) => {
            // OTLP's errors are a google.rpc.Status: a code (2, unknown) and a message.
            let body = if is_json {
                let mut body = b"{\"code\":2,\"message\":".to_vec();
                write_string(&mut body, &problem.detail);
                body.push(b'}');
                body
            } else {
                RpcStatus { code: 2, message: problem.detail.clone() }.encode_to_vec()
            };
            // A client sends again what gets 429, 502, 503 or 504; a full disk passes, too.
            let status =
                if problem.status == StatusCode::INSUFFICIENT_STORAGE { StatusCode::SERVICE_UNAVAILABLE } else { problem.status };
            let mut response = (status, body).into_response();
            problem.dress(&mut response);
            response
        }
    };
    let kind = if is_json { "application/json" } else { "application/x-protobuf" };
    let mut response = response;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// `google.rpc.Status`, as far as it is used.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn encoded(response: &ExportLogsServiceResponse, is_json: bool) -> Vec<u8> {
    if is_json { serde_json::to_vec(response).unwrap_or_default() } else { response.encode_to_vec() }
}

async fn export_http(server: &Server, call: &Call, is_json: bool, body: Body) -> Result<ExportLogsServiceResponse, Problem> {
    let caller = call.caller(server, Scope::Emit)?;
    if !is_json && call.media_type() != "application/x-protobuf" {
        let told = "OTLP is application/x-protobuf or application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", told));
    }
    let limits = server.body_limits();
    let mut received = receive(&call.headers, body, limits, &server.room).await?;
    let weigh = if is_json { weight::of_json } else { weight::of_protobuf };
    let weight = weigh(&received.bytes, Most::of(server));
    weight::grow(server, &mut received, weight).await?;
    let wrong = |error: &dyn std::fmt::Display| Problem::bad("otlp", format!("the request cannot be read: {error}"));
    let request = if is_json {
        // By way of a value: where a build has serde_json keep numbers as texts, the messages' own reader does not know them.
        let value: serde_json::Value = serde_json::from_slice(&received.bytes).map_err(|error| wrong(&error))?;
        serde_json::from_value(value).map_err(|error| wrong(&error))?
    } else {
        ExportLogsServiceRequest::decode(received.bytes.clone()).map_err(|error| wrong(&error))?
    };
    export(server, &caller, &request).await
}

/// The gRPC service.
struct Service(Arc<Server>);

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let caller = request.extensions().get::<Caller>().ok_or_else(|| Status::internal("nobody calls"))?;
        let response = export(&self.0, caller, request.get_ref()).await.map_err(status)?;
        Ok(tonic::Response::new(response))
    }
}

fn status(problem: Problem) -> Status {
    let code = match problem.status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 => Code::DeadlineExceeded,
        413 => Code::InvalidArgument,
        429 => Code::ResourceExhausted,
        503 | 507 => Code::Unavailable,
        500 => Code::Internal,
        _ => Code::InvalidArgument,
    };
    Status::new(code, problem.detail)
}

async fn export(
    server: &Server,
    caller: &Caller,
    request: &ExportLogsServiceRequest,
) -> Result<ExportLogsServiceResponse, Problem> {
    let count = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs).map(|logs| logs.log_records.len()).sum();
    let mut foreign = Foreign::new(server, caller, None, Protocol::Otlp, Some(Format::OpenTelemetry), count)?;
    let mut json = Vec::new();
    for logs in &request.resource_logs {
        let mut front = Vec::new();
        write_resource(&mut front, logs);
        for scope_logs in &logs.scope_logs {
            let mut scope = Vec::new();
            write_scope(&mut scope, scope_logs.scope.as_ref(), &scope_logs.schema_url);
            for record in &scope_logs.log_records {
                json.clear();
                json.push(b'{');
                json.extend_from_slice(&front);
                json.extend_from_slice(&scope);
                write_record(&mut json, record);
                json.push(b'}');
                foreign.take(&json, None, |draft, emit| emit(draft))?;
            }
        }
    }
    let fates = foreign.fates().await?;
    let refused: Vec<&String> =
        fates.iter().filter_map(|fate| if let Fate::Refused(_, why) = fate { Some(why) } else { None }).collect();
    let partial_success = refused.first().map(|why| ExportLogsPartialSuccess {
        rejected_log_records: i64::try_from(refused.len()).unwrap_or(i64::MAX),
        error_message: (*why).clone(),
    });
    Ok(ExportLogsServiceResponse { partial_success })
}

fn write_resource(out: &mut Vec<u8>, logs: &ResourceLogs) {
    out.extend_from_slice(b"\"resource\":{");
    if let Some(resource) = &logs.resource {
        out.extend_from_slice(b"\"attributes\":");
        write_attributes(out, &resource.attributes);
        if resource.dropped_attributes_count > 0 {
            put(out, format_args!(",\"droppedAttributesCount\":{}", resource.dropped_attributes_count));
        }
    }
    out.push(b'}');
    if !logs.schema_url.is_empty() {
        member(out, "resourceSchemaUrl", &logs.schema_url);
    }
}

fn write_scope(out: &mut Vec<u8>, scope: Option<&InstrumentationScope>, schema_url: &str) {
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

fn write_record(out: &mut Vec<u8>, record: &LogRecord) {
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
    let distinct = keys.windows(2).all(|pair| pair.first() != pair.last());
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
