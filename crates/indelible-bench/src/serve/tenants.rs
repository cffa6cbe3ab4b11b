//! Many tenants on one node: each is made, and has an event recorded.

use std::time::{Duration, Instant};

use super::ServeArgs;
use super::answer;
use super::driver::{Answer, Plan, Source, drive};
use super::process::{Program, Server, Watch, tenant};
use crate::report::{Table, cells};
use crate::{Bench, Result, say};

/// So many are sent at the rate; a part of the measurement that does not end is broken off.
const RATE: f64 = 5_000.0;
const CONNECTIONS: usize = 16;

/// One small request for each tenant.
struct Each<'s> {
    server: &'s Server,
    path: &'static str,
    body: fn(u64) -> String,
    requests: Vec<Vec<u8>>,
}

impl<'s> Each<'s> {
    fn new(server: &'s Server, path: &'static str, body: fn(u64) -> String) -> Self {
        Self { server, path, body, requests: vec![Vec::new(); CONNECTIONS] }
    }

    /// Sends all of them; gives the seconds that took.
    fn send(mut self, count: usize) -> Result<f64> {
        let started = Instant::now();
        let end = Duration::from_secs_f64(count as f64 / RATE);
        let plan = Plan {
            address: self.server.address,
            connections: CONNECTIONS,
            rate: Some(RATE),
            started,
            warm_up: Duration::ZERO,
            end,
        };
        let driven = drive(&plan, &mut self)?;
        if driven.requests != count as u64 {
            return Err(format!("{} of {count} requests were sent", driven.requests).into());
        }
        Ok(started.elapsed().as_secs_f64())
    }
}

impl Source for Each<'_> {
    fn prepare(&mut self, connection: usize, nth: u64) {
        if let Some(request) = self.requests.get_mut(connection) {
            *request = self.server.request(self.path, &(self.body)(nth));
        }
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        self.requests.get(connection).map_or(&[], Vec::as_slice)
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        if answer.status == 201 {
            return Ok(());
        }
        Err(format!("{} was answered with {}: {}", self.path, answer.status, answer::shown(answer.body)).into())
    }
}

pub(super) fn run(bench: &mut Bench, args: &ServeArgs, program: &Program) -> Result<()> {
    let count = args.tenants;
    let dir = bench.place.fresh("serve")?;
    let server = Server::start(program, &dir.path().join("data"), &dir.path().join("state"))?;
    let mut table =
        Table::new(format!("serve: {count} tenants"), &["what", "seconds", "server CPU s", "anonymous MiB", "asked MiB"]);
    say(&format!("making {count} tenants"));
    let watch = Watch::start(&server);
    let made_s = Each::new(&server, "/api/v1/tenants", |nth| tenant(&name(nth))).send(count)?;
    let used = watch.stop()?;
    table.row(cells!["made, one request each", made_s, used.server_s, used.anonymous_mib(), None::<f64>]);
    say("an event for each");
    let watch = Watch::start(&server);
    let event = |nth| format!("{{\"action\":\"user.login\",\"tenant\":\"{}\",\"actor\":{{\"id\":\"alice\"}}}}", name(nth));
    let emitted_s = Each::new(&server, "/api/v1/events", event).send(count)?;
    let used = watch.stop()?;
    table.row(cells!["an event for each, one request each", emitted_s, used.server_s, used.anonymous_mib(), 512u64]);
    server.stop()?;
    bench.report.add(table)
}

fn name(nth: u64) -> String {
    format!("t{nth:05}")
}
