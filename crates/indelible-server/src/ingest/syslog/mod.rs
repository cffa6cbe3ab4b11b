//! Syslog: RFC 5424 and RFC 3164 over UDP, TCP (RFC 6587, both framings) and TLS (RFC 5425).
//!
//! Syslog has no acknowledgements: what arrives is recorded, what cannot be taken is counted. A message is kept byte for byte in `raw`; what it says of
//! itself stands in `details` and in the fields of the event.

mod framing;
mod message;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;

use indelible::ErrorKind;
use tokio::net::{TcpListener, UdpSocket};

use crate::access::TooMany;
use crate::http::accept;
use crate::metrics::{ByProtocol, Protocol};
use crate::server::Server;
use stream::Stream;

/// Bytes of one datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Connections of syslog senders at once.
const CONNECTIONS_MAX: usize = 4_096;

/// Datagrams that have arrived and are still taken when the server stops.
const DATAGRAMS_LAST_MAX: usize = 65_536;

/// Takes datagrams until the server stops, and then those that have arrived.
pub(crate) async fn udp(server: Arc<Server>, socket: UdpSocket) {
    let mut stop = server.stop.subscribe();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if let Ok((length, peer)) = received {
            take_within_rate(&server, buffer.get(..length).unwrap_or_default(), peer.ip());
        }
    }
    for _ in 0..DATAGRAMS_LAST_MAX {
        let Ok((length, peer)) = socket.try_recv_from(&mut buffer) else { return };
        take_within_rate(&server, buffer.get(..length).unwrap_or_default(), peer.ip());
    }
}

/// Takes connections until the server stops.
pub(crate) async fn tcp(server: Arc<Server>, listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) {
    let stream = Stream::new(Arc::clone(&server));
    accept::serve(&server, listener, tls, CONNECTIONS_MAX, stream).await;
}

/// Takes one event of the rate that the tenant of syslog has.
fn admit(server: &Server) -> Result<(), TooMany> {
    server.limits().tenant(server.config().text("syslog.tenant"), 1)
}

/// Records a datagram, unless it is beyond the tenant's rate: its sender cannot be made to wait, and the next ones would be lost where nobody
/// counts them.
fn take_within_rate(server: &Server, bytes: &[u8], peer: IpAddr) {
    if admit(server).is_ok() {
        return take(server, bytes, peer);
    }
    server.metrics.limited.inc();
    refuse(server);
}

fn refuse(server: &Server) {
    server.metrics.refused.get_or_create(&ByProtocol { protocol: Protocol::Syslog }).inc();
}

/// Records one message.
fn take(server: &Server, bytes: &[u8], peer: IpAddr) {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    let config = server.config();
    let (tenant, zone) = (config.text("syslog.tenant"), message::zone(config.text("syslog.zone")));
    let recorded = message::with_draft(bytes, peer, zone, server.now(), |draft| {
        let draft = draft.tenant(tenant);
        match server.store.try_emit(&draft) {
            // The sender cannot be told: it is made to wait, which TCP lets it feel.
            Err(error) if error.kind() == ErrorKind::Busy => tokio::task::block_in_place(|| server.store.emit(&draft)).map(drop),
            result => result.map(drop),
        }
    });
    match recorded {
        Ok(()) => drop(server.metrics.events.get_or_create(&ByProtocol { protocol: Protocol::Syslog }).inc()),
        Err(_) => refuse(server),
    }
}
