//! OTLP logs: protobuf and JSON over HTTP, and gRPC on the same port.
//!
//! A log record becomes one JSON object with its resource and scope beside it; attributes are members, so that they can be searched by name. What
//! JSON does not have is written as OTLP's own JSON writes it (`{"bytesValue":…}`, `{"doubleValue":"NaN"}`), and a list of attributes that names
//! a key twice stays a list. `Success` is said when all of it is durable.

mod record;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{BufMut as _, BytesMut};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use indelible_adapters::Format;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Status};

use super::foreign::{Fate, Foreign};
use super::weight::{self, Most};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::{Coding, Received, receive};
use crate::http::caller::{Call, Caller, Peer};
use crate::metrics::Protocol;
use crate::server::Server;
use record::{write_record, write_resource, write_scope};
use status::{status, told};

pub(crate) fn routes(server: &Arc<Server>) -> Router<Arc<Server>> {
    // What may be decoded has been measured before, by limits that a reload can change.
    let service = LogsServiceServer::new(Service(Arc::clone(server)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(usize::MAX);
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

/// Whether it is one whole message and nothing else. What followed would be decoded, too, and nobody has measured it.
fn is_one_message(body: &[u8]) -> bool {
    let length = body.get(1..FRAME_HEAD).and_then(|length| <[u8; 4]>::try_from(length).ok()).map(u32::from_be_bytes);
    length.and_then(|length| usize::try_from(length).ok()?.checked_add(FRAME_HEAD)) == Some(body.len())
}

async fn message(server: &Server, request: HttpRequest) -> Result<(HttpRequest, Received), Problem> {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let caller = Caller::of(server, &parts.headers, peer, Scope::Emit)?;
    let limits = server.body_limits();
    let mut received = receive(&parts.headers, body, limits, &server.room.of(&caller)).await?;
    if !is_one_message(&received.bytes) {
        return Err(Problem::bad("otlp", "the call does not have one message"));
    }
    let is_gzip = parts.headers.get("grpc-encoding").is_some_and(|name| name == "gzip");
    let mut frame = received.bytes.clone();
    if is_gzip && frame.first() == Some(&1) {
        received = received.decompressed(FRAME_HEAD, Coding::Gzip, limits).await?;
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
            // A client sends again what gets 429, 502, 503 or 504; a full disk passes, too.
            let status =
                if problem.status == StatusCode::INSUFFICIENT_STORAGE { StatusCode::SERVICE_UNAVAILABLE } else { problem.status };
            let mut response = (status, told(&problem, is_json)).into_response();
            problem.dress(&mut response);
            response
        }
    };
    let kind = if is_json { "application/json" } else { "application/x-protobuf" };
    let mut response = response;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
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
    let mut received = receive(&call.headers, body, limits, &server.room.of(&caller)).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_message() {
        assert!(is_one_message(&[0, 0, 0, 0, 0]) && is_one_message(&[1, 0, 0, 0, 2, 7, 7]));
        for wrong in [&[][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0], &[0, 255, 255, 255, 255]] {
            assert!(!is_one_message(wrong), "{wrong:?}");
        }
    }
}
