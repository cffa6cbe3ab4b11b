//! Messages over a connection: read as they come, with bounds on what is kept of those that are not whole yet, and for how long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::framing::{Frames, Nonsense};
use super::{refuse, take};
use crate::http::accept::Speak;
use crate::server::Server;

/// Connections that may each hold a long message that is not whole yet; others wait for their turn.
const LONG_MAX: usize = 128;

/// What is spoken over a connection of one listener.
#[derive(Clone)]
pub(super) struct Stream {
    server: Arc<Server>,
    long: Arc<Semaphore>,
}

impl Stream {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server, long: Arc::new(Semaphore::new(LONG_MAX)) }
    }
}

impl Speak for Stream {
    /// Reads messages until the sender ends or stops making sense, or one does not come to its end. When the server stops, what has arrived is
    /// taken.
    async fn speak<S>(self, mut stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = &*self.server;
        let config = server.config();
        let (idle, whole) = (config.time("limits.idle_time"), config.time("limits.body_time"));
        drop(config);
        let mut stop = server.stop.subscribe();
        let mut frames = Frames::default();
        let mut long = None;
        // Since when what comes next is waited for: a message that has begun, or any.
        let mut since = Instant::now();
        let in_order = loop {
            let until = since + if frames.is_empty() { idle } else { whole };
            if frames.is_small() {
                long = None;
            } else if long.is_none() {
                long = tokio::select! {
                    turn = timeout_at(until, Arc::clone(&self.long).acquire_owned()) => turn.ok().and_then(Result::ok),
                    _ = stop.wait_for(|stop| *stop) => None,
                };
                if long.is_none() {
                    break false;
                }
            }
            let begun = !frames.is_empty();
            let mut space = frames.space();
            let read = tokio::select! {
                biased;
                read = timeout_at(until, stream.read_buf(&mut space)) => read,
                _ = stop.wait_for(|stop| *stop) => break false,
            };
            match read {
                Ok(Ok(0)) => break true,
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => break false,
            }
            let mut any = false;
            loop {
                match frames.next() {
                    Ok(Some(message)) => {
                        within_rate(server, &mut stop).await;
                        take(server, &message, peer.ip());
                        any = true;
                    }
                    Ok(None) => break,
                    Err(Nonsense) => return refuse(server),
                }
            }
            if any || !begun {
                since = Instant::now();
            }
        };
        match frames.last(in_order) {
            Ok(Some(message)) => {
                within_rate(server, &mut stop).await;
                take(server, &message, peer.ip());
            }
            Ok(None) => {}
            Err(Nonsense) => refuse(server),
        }
    }
}

/// Waits until one more event is within the tenant's rate: the sender feels it in that nothing more is read. What has arrived when the server
/// stops waits no longer.
async fn within_rate(server: &Server, stop: &mut watch::Receiver<bool>) {
    let mut waited = false;
    while let Err(many) = super::admit(server) {
        if !waited {
            server.metrics.limited.inc();
            waited = true;
        }
        tokio::select! {
            () = tokio::time::sleep(many.after.unwrap_or(Duration::ZERO).max(BREATH)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// The shortest time to wait for a rate.
const BREATH: Duration = Duration::from_millis(1);
