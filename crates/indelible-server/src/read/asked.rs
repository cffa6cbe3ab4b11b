//! A question as a request puts it, and as the store is asked it.

use indelible::Identity;
use indelible::search::{Filter, Query, time};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Cancel, masks};
use crate::access::SYSTEM_TENANT;
use crate::http::Problem;
use crate::http::caller::{Caller, Tenants};
use crate::server::Server;

/// Which events are meant.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// A query in the search language; all events if left out.
    pub(crate) q: Option<String>,
    /// Only events of this time and later: `2021-01-31`, RFC 3339, `now-15m`, `2h`.
    pub(crate) since: Option<String>,
    /// Only events before this time.
    pub(crate) until: Option<String>,
    /// Only events of this log, by name or number.
    pub(crate) log: Option<String>,
}

impl Asked {
    /// What a URL calls its members.
    pub(crate) const PARAMETERS: [&str; 4] = ["q", "since", "until", "log"];

    /// The filter that `q` is, of the caller's tenants and of nothing that is masked for it.
    ///
    /// # Errors
    /// It cannot be understood, or looks into what is masked, which is recorded.
    pub(crate) fn filter(&self, server: &Server, caller: &Caller) -> Result<Filter, Problem> {
        let filter = Filter::parse(self.q.as_deref().unwrap_or_default())?;
        masks::check(&filter, caller.masks()).inspect_err(|_| server.audit.masked(caller))?;
        Ok(restricted(filter, &caller.tenants()))
    }

    /// The query for the store: of the caller's tenants, and of nothing that is masked for it.
    ///
    /// # Errors
    /// The query cannot be understood, or looks into what is masked, which is recorded.
    pub(crate) fn compile(&self, server: &Server, caller: &Caller, now: i64) -> Result<Query, Problem> {
        self.query(&self.filter(server, caller)?, &server.identity, now)
    }

    /// As [`compile`](Self::compile), of a filter that is this one's.
    ///
    /// # Errors
    /// A time or a log that cannot be understood.
    pub(crate) fn query(&self, filter: &Filter, identity: &Identity, now: i64) -> Result<Query, Problem> {
        let moment = |text: &Option<String>| {
            let wrong = |error: time::TimeError| Problem::bad("time", error.message).hint(error.hint);
            text.as_deref().map(|text| time::parse(text, now)).transpose().map_err(wrong)
        };
        let mut query = Query::new(filter, now)?;
        query.since = moment(&self.since)?;
        query.until = moment(&self.until)?;
        query.log = self.log.as_deref().map(|name| log_named(identity, name)).transpose()?;
        Ok(query)
    }

    /// In one line, for the record of who asked what.
    pub(crate) fn told(&self) -> String {
        let mut told = self.q.clone().unwrap_or_else(|| "*".to_owned());
        for (name, value) in [("since", &self.since), ("until", &self.until), ("log", &self.log)] {
            if let Some(value) = value {
                told.push_str(&format!(" {name}={value}"));
            }
        }
        told
    }
}

/// Only what belongs to these tenants.
pub(crate) fn restricted(filter: Filter, tenants: &Tenants) -> Filter {
    let of = |tenant: &str| Filter::field("tenant").is(tenant);
    match tenants {
        Tenants::All => filter,
        Tenants::AllButSystem => of(SYSTEM_TENANT).not().and(filter),
        Tenants::These(tenants) => {
            let any = tenants.iter().map(|tenant| of(tenant)).reduce(Filter::or).unwrap_or(Filter::Or(Vec::new()));
            any.and(filter)
        }
    }
}

/// Tenants in one line.
pub(crate) fn told(tenants: &Tenants) -> String {
    match tenants {
        Tenants::All => "*".to_owned(),
        Tenants::AllButSystem => "* but _system".to_owned(),
        Tenants::These(tenants) => tenants.join(" "),
    }
}

pub(crate) fn log_named(identity: &Identity, name: &str) -> Result<u32, Problem> {
    identity.log_named(name).ok_or_else(|| {
        let names: Vec<&str> = identity.logs.iter().map(|log| log.name.as_str()).collect();
        Problem::not_found(format!("there is no log {name}")).hint(format!("the logs are {}", names.join(", ")))
    })
}

/// Whether an event of this tenant is one of these.
pub(crate) fn includes(tenants: &Tenants, tenant: &str) -> bool {
    match tenants {
        Tenants::All => true,
        Tenants::AllButSystem => tenant != SYSTEM_TENANT,
        Tenants::These(tenants) => tenants.iter().any(|own| own == tenant),
    }
}

/// One event, as it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) log: u32,
    pub(crate) seq: u64,
    /// How many more events of the caller's have the id that was given.
    pub(crate) namesakes: u64,
}

/// A position as it is named: `1234`, `telemetry:7`, or the event's own id.
///
/// # Errors
/// 404 where there is nothing, or nothing of the caller's: the same answer. That somebody asked for a place of another's is recorded.
pub(crate) fn locate(server: &Server, caller: &Caller, text: &str, cancel: &Cancel) -> Result<Located, Problem> {
    let (reader, tenants) = (&server.reader, &caller.tenants());
    let identity = reader.identity();
    let none = || Problem::not_found(format!("there is no event {text}"));
    let place = match text.rsplit_once(':') {
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
            text.parse().ok().map(|seq| (indelible::identity::LOG_MAIN, seq))
        }
        Some((name, seq)) => identity.log_named(name).zip(seq.parse().ok()),
        None => None,
    };
    if let Some((log, seq)) = place {
        let stored = reader.record(log, seq)?.ok_or_else(none)?;
        let tenant = stored.record().and_then(|record| record.head().map(|head| head.tenant.to_owned()));
        // What has no tenant is the log's own, which no tenant is told of.
        let visible = tenant.map_or(*tenants == Tenants::All, |tenant| includes(tenants, &tenant));
        if !visible {
            server.audit.hidden(caller);
            return Err(none());
        }
        return Ok(Located { log, seq, namesakes: 0 });
    }
    let filter = restricted(Filter::field("id").is(text.strip_prefix("id:").unwrap_or(text)), tenants);
    let mut found: Option<Located> = None;
    reader.search(&cancel.on(Query::new(&filter, server.now())?), &mut |view| {
        match &mut found {
            Some(first) => first.namesakes += 1,
            None => found = Some(Located { log: view.log, seq: view.seq, namesakes: 0 }),
        }
        std::ops::ControlFlow::Continue(())
    })?;
    found.ok_or_else(none)
}
