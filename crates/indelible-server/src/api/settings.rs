//! The configuration in force, and reading it again.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use indelible::{Draft, Outcome, taxonomy};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::blocking;
use super::json_of;
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::{Call, Caller};
use crate::server::Server;

/// One setting.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingDoc {
    key: &'static str,
    value: String,
    /// `default`, a file and its line, an environment variable, or the command line.
    origin: String,
    /// Whether a reload takes it up.
    reloads: bool,
}

/// What a reload did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReloadDoc {
    /// Keys that changed and wait for the next start.
    waiting: Vec<&'static str>,
}

/// Show the configuration in force
#[utoipa::path(get, path = "/api/v1/config", tag = "operation", security(("token" = [])),
    responses((status = 200, description = "Every key", body = Vec<SettingDoc>)))]
pub(crate) async fn show(State(server): State<Arc<Server>>, call: Call) -> Result<Response, Problem> {
    call.caller(&server, Scope::Admin)?;
    let config = server.config();
    let setting = |(key, setting): (&crate::config::Key, &crate::config::Setting)| SettingDoc {
        key: key.name,
        value: setting.text.clone(),
        origin: setting.origin.to_string(),
        reloads: key.reloads,
    };
    Ok(json_of(&config.settings().map(|(key, value)| setting((key, value))).collect::<Vec<_>>()))
}

/// Read the configuration again
///
/// What is wrong with the new one changes nothing.
#[utoipa::path(post, path = "/api/v1/config/reload", tag = "operation", security(("token" = [])),
    responses((status = 200, description = "It is in force", body = ReloadDoc),
        (status = "4XX", description = "The old one stays in force", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn reload(State(server): State<Arc<Server>>, call: Call) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Admin)?;
    let shared = Arc::clone(&server);
    let waiting = blocking(move || Ok(shared.reload())).await?;
    record(&server, Some(&caller), waiting.is_ok());
    match waiting {
        Ok(waiting) => Ok(json_of(&ReloadDoc { waiting })),
        Err(error) => Err(Problem::new(hyper::StatusCode::UNPROCESSABLE_ENTITY, "config", error.to_string())),
    }
}

/// That somebody had it read again.
pub(crate) fn record(server: &Server, caller: Option<&Caller>, taken: bool) {
    let outcome = if taken { Outcome::Success } else { Outcome::Failure };
    let draft = Draft::new(taxonomy::CONFIG_CHANGE).outcome(outcome).detail("what", "configuration read again");
    match caller {
        Some(caller) => server.audit.by(caller, draft),
        None => server.audit.own(draft),
    }
}
