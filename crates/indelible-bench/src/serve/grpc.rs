//! OTLP over gRPC: log records encoded before the run, HTTP/2 without anything above it, so that the generator costs little.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes};
use http::Request;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::bodies::Message;
use super::process::Server;
use crate::Result;
use crate::latency::{Latencies, nanoseconds};
use crate::zipf::Zipf;

/// A message's length stands behind a byte that says whether it is compressed.
const PREFIX_BYTES: usize = 5;

/// What a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exports {
    pub(crate) connections: usize,
    /// Log records of a request.
    pub(crate) records: u64,
    pub(crate) warm_up: Duration,
    pub(crate) end: Duration,
}

/// What was answered.
pub(crate) struct Exported {
    pub(crate) latencies: Latencies,
    pub(crate) requests: u64,
    pub(crate) record_bytes: f64,
}

/// One client for each connection, its message made.
pub(crate) fn prepare(server: &Server, zipf: &Zipf, exports: Exports) -> Result<Vec<Client>> {
    let clients = 0..exports.connections as u64;
    let client = |nth| {
        let message = message(zipf, nth * exports.records, exports.records)?;
        // Counters that do not meet: each connection makes digits of its own.
        Ok(Client { address: server.address, authorization: server.authorization(), message, counter: nth << 40 })
    };
    clients.map(client).collect()
}

/// Exports as fast as it is answered: one request at a time on each connection.
pub(crate) fn export(clients: Vec<Client>, exports: Exports) -> Result<Exported> {
    let bytes: usize = clients.iter().map(|client| client.message.bytes.len()).sum();
    let record_bytes = bytes as f64 / (clients.len() as u64 * exports.records) as f64;
    let mut exported = Exported { latencies: Latencies::new()?, requests: 0, record_bytes };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let started = Instant::now();
        let mut running = JoinSet::new();
        for client in clients {
            running.spawn(client.run(exports, started));
        }
        while let Some(ended) = running.join_next().await {
            let latencies = ended??;
            exported.latencies.add(&latencies)?;
        }
        Result::Ok(())
    })?;
    exported.requests = exported.latencies.count();
    Ok(exported)
}

/// One connection.
pub(crate) struct Client {
    address: SocketAddr,
    authorization: String,
    message: Message,
    counter: u64,
}

impl Client {
    async fn run(mut self, exports: Exports, started: Instant) -> Result<Latencies> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut send, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        let mut latencies = Latencies::new()?;
        while started.elapsed() < exports.end {
            self.message.refresh(&mut self.counter);
            send = send.ready().await?;
            let asked = Instant::now();
            self.ask(&mut send).await?;
            if (exports.warm_up..exports.end).contains(&started.elapsed()) {
                latencies.record(nanoseconds(asked.elapsed()));
            }
        }
        Ok(latencies)
    }

    /// Sends the message, and waits for a good answer.
    async fn ask(&self, send: &mut h2::client::SendRequest<Bytes>) -> Result<()> {
        let path = "opentelemetry.proto.collector.logs.v1.LogsService/Export";
        let request = Request::post(format!("http://{}/{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", &self.authorization)
            .body(())?;
        let (response, mut stream) = send.send_request(request, false)?;
        stream.send_data(Bytes::copy_from_slice(&self.message.bytes), true)?;
        let response = response.await?;
        // An error without a message has its status in the head.
        let early = response.headers().get("grpc-status").cloned();
        let mut body = response.into_body();
        let mut received = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            received.extend_from_slice(&piece);
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        let status = early.as_ref().or_else(|| trailers.get("grpc-status"));
        if status.is_none_or(|status| status != "0") {
            return Err(format!("an export was answered with {status:?}, {:?}", trailers.get("grpc-message")).into());
        }
        let response = ExportLogsServiceResponse::decode(received.get(PREFIX_BYTES..).unwrap_or_default())?;
        match response.partial_success {
            None => Ok(()),
            Some(partial) => Err(format!("an export was taken in part: {partial:?}").into()),
        }
    }
}

/// Events from `first` on as one gRPC message.
fn message(zipf: &Zipf, first: u64, records: u64) -> Result<Message> {
    let requests: Vec<String> = (first..first + records).map(|nth| zipf.at(nth).request.text().to_owned()).collect();
    let scope_logs = ScopeLogs {
        scope: Some(InstrumentationScope { name: "audit".into(), version: "1.4.2".into(), ..InstrumentationScope::default() }),
        log_records: (first..first + records).map(|nth| record(zipf, nth)).collect(),
        ..ScopeLogs::default()
    };
    let resource = Resource {
        attributes: vec![text("service.name", "billing"), text("host.name", "app-07"), text("service.version", "2.31.0")],
        ..Resource::default()
    };
    let resource_logs = ResourceLogs { resource: Some(resource), scope_logs: vec![scope_logs], ..ResourceLogs::default() };
    let body = ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec();
    let mut frame = Vec::with_capacity(body.len() + PREFIX_BYTES);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(body.len())?);
    frame.extend_from_slice(&body);
    Message::new(frame, &requests)
}

/// An event as an instrumented service tells it.
fn record(zipf: &Zipf, nth: u64) -> LogRecord {
    let event = zipf.at(nth);
    let at = u64::try_from(event.time_ns).unwrap_or(0);
    let body = format!("{} {} {}", event.actor_id, event.action.name(), event.target_id.text());
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at + 1_000_000,
        severity_number: 9,
        severity_text: "INFO".into(),
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        attributes: vec![
            text("user.id", event.actor_id),
            text("user.name", event.actor_name),
            text("user.email", event.actor_email),
            text("session.id", event.session.text()),
            text("client.address", event.ip),
            text("user_agent.original", event.user_agent),
            text("outcome", event.outcome.name()),
            text("reason", event.reason),
            text("request.id", event.request.text()),
            KeyValue {
                key: "duration_us".into(),
                value: Some(AnyValue { value: Some(Value::IntValue(i64::try_from(event.duration_us).unwrap_or(0))) }),
                ..KeyValue::default()
            },
        ],
        event_name: event.action.name().into(),
        ..LogRecord::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}
