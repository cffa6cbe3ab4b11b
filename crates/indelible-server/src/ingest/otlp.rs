//! OTLP logs: protobuf and JSON over HTTP, and gRPC on the same port.
//!
//! A log record becomes one JSON object with its resource and scope beside it; attributes are members, so that they can be searched by name. What
//! JSON does not have is written as OTLP's own JSON writes it (`{"bytesValue":…}`, `{"doubleValue":"NaN"}`), and a list of attributes that names
//! a key twice stays a list. `Success` is said when all of it is durable.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::{Call, Caller, Peer};
use crate::metrics::Protocol;
use crate::server::Server;

pub(crate) fn routes(server: &Arc<Server>) -> Router<Arc<Server>> {
    let limits = server.body_limits();
    let service = LogsServiceServer::new(Service(Arc::clone(server)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.decompressed.min(limits.bytes.saturating_mul(4)));
    Router::new()
        .route("/v1/logs", post(logs))
        .route_service("/opentelemetry.proto.collector.logs.v1.LogsService/Export", service)
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
    let received = receive(&call.headers, body, server.body_limits(), &server.room).await?;
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
        let peer = request.extensions().get::<Peer>().copied();
        let headers = request.metadata().clone().into_headers();
        let caller = Caller::of(&self.0, &headers, peer, Scope::Emit).map_err(status)?;
        let response = export(&self.0, &caller, request.get_ref()).await.map_err(status)?;
        Ok(tonic::Response::new(response))
    }
}

fn status(problem: Problem) -> Status {
    let code = match problem.status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
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
            out.extend_from_slice(format!(",\"droppedAttributesCount\":{}", resource.dropped_attributes_count).as_bytes());
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
            out.extend_from_slice(format!(",\"droppedAttributesCount\":{}", scope.dropped_attributes_count).as_bytes());
        }
        out.push(b'}');
    }
    if !schema_url.is_empty() {
        member(out, "scopeSchemaUrl", schema_url);
    }
}

fn write_record(out: &mut Vec<u8>, record: &LogRecord) {
    // 64-bit integers are texts, as in OTLP's JSON.
    out.extend_from_slice(
        format!(
            ",\"timeUnixNano\":\"{}\",\"observedTimeUnixNano\":\"{}\"",
            record.time_unix_nano, record.observed_time_unix_nano
        )
        .as_bytes(),
    );
    out.extend_from_slice(format!(",\"severityNumber\":{}", record.severity_number).as_bytes());
    member(out, "severityText", &record.severity_text);
    if let Some(body) = &record.body {
        out.extend_from_slice(b",\"body\":");
        write_value(out, Some(body));
    }
    out.extend_from_slice(b",\"attributes\":");
    write_attributes(out, &record.attributes);
    for (name, number) in [("droppedAttributesCount", record.dropped_attributes_count), ("flags", record.flags)] {
        if number > 0 {
            out.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
        }
    }
    for (name, bytes) in [("traceId", &record.trace_id), ("spanId", &record.span_id)] {
        if !bytes.is_empty() {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            member(out, name, &hex);
        }
    }
    member(out, "eventName", &record.event_name);
}

/// A member of text, unless it is empty.
fn member(out: &mut Vec<u8>, name: &str, text: &str) {
    if !text.is_empty() {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
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
        Some(Value::IntValue(number)) => out.extend_from_slice(number.to_string().as_bytes()),
        // Always with a point or an exponent, so that it is not taken for an integer.
        Some(Value::DoubleValue(number)) if number.is_finite() => out.extend_from_slice(format!("{number:?}").as_bytes()),
        Some(Value::DoubleValue(number)) => {
            let name = if number.is_nan() {
                "NaN"
            } else if *number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            out.extend_from_slice(format!("{{\"doubleValue\":\"{name}\"}}").as_bytes());
        }
        Some(Value::BytesValue(bytes)) => {
            out.extend_from_slice(format!("{{\"bytesValue\":\"{}\"}}", STANDARD.encode(bytes)).as_bytes())
        }
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
        Some(Value::StringValueStrindex(index)) => {
            out.extend_from_slice(format!("{{\"stringValueStrindex\":{index}}}").as_bytes())
        }
    }
}
