//! What the service manager is told (`sd_notify(3)`): that the server serves, reads its configuration again, stops, and that it is well.
//!
//! Datagrams to the socket that `NOTIFY_SOCKET` names; without one nothing is told. Telling never fails and never waits longer than
//! [`PATIENCE`]: a manager that does not listen is no reason not to record.

mod watchdog;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub(crate) use watchdog::keep_alive;

/// Time for the manager to take a datagram.
const PATIENCE: Duration = Duration::from_secs(1);
/// Characters of a status line.
const STATUS_CHARACTERS_MAX: usize = 400;

/// Whoever started the server and wants to know how it is. Clones tell the same one.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    socket: Option<Arc<(UnixDatagram, SocketAddr)>>,
    limit: Option<Duration>,
}

impl Manager {
    /// The one that `variable` tells of, as the environment does.
    ///
    /// # Errors
    /// In words: its socket cannot be used. The server was then started by a manager that will wait in vain.
    pub(crate) fn of(variable: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Result<Self, String> {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self { socket: None, limit: None });
        };
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name),
            [b'/', ..] => SocketAddr::from_pathname(&name),
            _ => Err(std::io::Error::other("neither a path nor an abstract name")),
        };
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Arc::new((socket, address)))
        });
        let socket = socket.map_err(|error| format!("NOTIFY_SOCKET={} cannot be used: {error}", name.to_string_lossy()))?;
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        // Meant for another process: for the one that started us, perhaps.
        let ours = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|limit| ours && *limit > 0).map(Duration::from_micros);
        Ok(Self { socket: Some(socket), limit })
    }

    /// How long the manager waits for a sign of life before it starts the server anew.
    pub(crate) const fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// It serves, with the configuration that is in force.
    pub(crate) fn ready(&self, status: &str) {
        self.tell("READY=1", status);
    }

    /// It reads its configuration; [`ready`](Self::ready) follows, whatever becomes of that.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"), "reading the configuration again");
    }

    /// It stops, and wants so much time for it.
    pub(crate) fn stopping(&self, time: Duration) {
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", time.as_micros()), "letting requests end");
    }

    /// It is well.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// What it is doing, in one line.
    pub(crate) fn status(&self, status: &str) {
        self.send(&line(status));
    }

    fn tell(&self, state: &str, status: &str) {
        self.send(&format!("{state}\n{}", line(status)));
    }

    fn send(&self, datagram: &str) {
        if let Some((socket, address)) = self.socket.as_deref() {
            let _ = socket.send_to_addr(datagram.as_bytes(), address);
        }
    }
}

/// A line break would begin another variable.
fn line(status: &str) -> String {
    let shown = |character: char| if character.is_control() { ' ' } else { character };
    format!("STATUS={}", status.chars().take(STATUS_CHARACTERS_MAX).map(shown).collect::<String>())
}

#[cfg(test)]
mod tests;
