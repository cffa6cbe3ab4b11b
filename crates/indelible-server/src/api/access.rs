//! Tokens and tenants.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use indelible::{Draft, Outcome, taxonomy, time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{json, json_of};
use crate::access::{Masks, Scope, Scopes, Tenant, Token, TokenSpec};
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::{Call, Caller, Tenants};
use crate::read::asked::includes;
use crate::server::Server;

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenDoc {
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    /// `null`: all.
    tenants: Option<Vec<String>>,
    mask: Vec<&'static str>,
    created: String,
    expires: Option<String>,
    revoked: Option<String>,
    events_per_second: Option<u32>,
    /// Only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenDoc {
    pub(crate) fn of(token: &Token, secret: Option<&str>) -> Self {
        Self {
            id: token.id.clone(),
            name: token.name.clone(),
            scopes: token.scopes.names(),
            tenants: token.tenants.clone(),
            mask: token.masks.names(),
            created: time::format(token.created),
            expires: token.expires.map(time::format),
            revoked: token.revoked.map(time::format),
            events_per_second: token.events_per_second,
            token: secret.map(str::to_owned),
        }
    }
}

/// What a token is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenDoc {
    name: String,
    /// Of `emit`, `read`, `audit`, `admin`.
    scopes: Vec<String>,
    /// Left out: all.
    tenants: Option<Vec<String>>,
    /// Of `identity`, `content`: what it does not get to see.
    #[serde(default)]
    mask: Vec<String>,
    /// RFC 3339, or `now+90d`.
    expires: Option<String>,
    /// Instead of what is configured.
    events_per_second: Option<u32>,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantDoc {
    name: String,
    created: String,
}

/// A tenant to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenantDoc {
    /// 1 to 64 of a-z, 0-9, dot, - and _, beginning and ending with a letter or digit.
    name: String,
}

/// List tokens
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access", security(("token" = [])),
    responses((status = 200, description = "All tokens, without their secrets", body = Vec<TokenDoc>)))]
pub(crate) async fn tokens(State(server): State<Arc<Server>>, call: Call) -> Result<Response, Problem> {
    call.caller(&server, Scope::Admin)?;
    let tokens: Vec<TokenDoc> = server.access.tokens().iter().map(|token| TokenDoc::of(token, None)).collect();
    Ok(json_of(&tokens))
}

/// Make a token
///
/// The answer holds its secret, which is not kept and cannot be seen again.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "access", security(("token" = [])), request_body = NewTokenDoc,
    responses((status = 201, description = "The token and its secret", body = TokenDoc),
        (status = "4XX", description = "It cannot be", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn create_token(State(server): State<Arc<Server>>, call: Call, body: Body) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Admin)?;
    let new: NewTokenDoc = read(&server, &caller, &call, body).await?;
    let word = |word: String| Problem::bad("scope", format!("there is no {word:?}"));
    let now = server.now();
    let expires = new.expires.as_deref().map(|text| indelible::search::time::parse(text, now)).transpose();
    let spec = TokenSpec {
        name: new.name,
        scopes: Scopes::read(&new.scopes).map_err(word)?,
        tenants: new.tenants,
        masks: Masks::read(&new.mask).map_err(word)?,
        expires: expires.map_err(|error| Problem::bad("time", error.message).hint(error.hint))?,
        events_per_second: new.events_per_second,
    };
    let shared = Arc::clone(&server);
    let new = blocking(move || Ok(shared.access.create_token(spec, now)?)).await?;
    let scopes = new.token.scopes.names().join(" ");
    let draft = Draft::new(taxonomy::TOKEN_ISSUE).outcome(Outcome::Success).target("token", &new.token.id);
    server.audit.by(&caller, draft.detail("name", &new.token.name).detail("scopes", &scopes));
    let mut response = json_of(&TokenDoc::of(&new.token, Some(new.secret.reveal())));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Revoke a token
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "access", security(("token" = [])),
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 200, description = "It does not hold any more", body = TokenDoc),
        (status = "4XX", description = "There is no such token", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn revoke_token(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Admin)?;
    let (shared, now, wanted) = (Arc::clone(&server), server.now(), id.clone());
    let revoked = blocking(move || Ok(shared.access.revoke_token(&wanted, now)?)).await?;
    let token = revoked.ok_or_else(|| Problem::not_found(format!("there is no token {id}")))?;
    server.audit.by(&caller, Draft::new(taxonomy::TOKEN_REVOKE).outcome(Outcome::Success).target("token", &token.id));
    Ok(json_of(&TokenDoc::of(&token, None)))
}

/// List tenants
#[utoipa::path(get, path = "/api/v1/tenants", tag = "access", security(("token" = [])),
    responses((status = 200, description = "The token's tenants", body = Vec<TenantDoc>)))]
pub(crate) async fn tenants(State(server): State<Arc<Server>>, call: Call) -> Result<Response, Problem> {
    let caller = call.anybody(&server)?;
    let own: Tenants = caller.tenants();
    let tenants = server.access.tenants();
    let tenants = tenants.into_iter().filter(|tenant| includes(&own, &tenant.name));
    let tenants: Vec<TenantDoc> =
        tenants.map(|Tenant { name, created }| TenantDoc { name, created: time::format(created) }).collect();
    Ok(json_of(&tenants))
}

/// Make a tenant
#[utoipa::path(post, path = "/api/v1/tenants", tag = "access", security(("token" = [])), request_body = NewTenantDoc,
    responses((status = 201, description = "It is made", body = TenantDoc), (status = 200, description = "It was there", body = TenantDoc),
        (status = "4XX", description = "It cannot be", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn create_tenant(State(server): State<Arc<Server>>, call: Call, body: Body) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Admin)?;
    let new: NewTenantDoc = read(&server, &caller, &call, body).await?;
    let (shared, now, name) = (Arc::clone(&server), server.now(), new.name.clone());
    let is_new = blocking(move || Ok(shared.access.create_tenant(&name, now)?)).await?;
    if is_new {
        let draft = Draft::new(taxonomy::CONFIG_CHANGE).outcome(Outcome::Success).target("tenant", &new.name);
        server.audit.by(&caller, draft.detail("what", "tenant made"));
    }
    let created = server.access.tenant(&new.name).map_or(now, |tenant| tenant.created);
    let doc = TenantDoc { name: new.name, created: time::format(created) };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, json(serde_json::to_vec(&doc).unwrap_or_default())).into_response())
}

/// A small JSON body.
async fn read<T: serde::de::DeserializeOwned>(server: &Server, caller: &Caller, call: &Call, body: Body) -> Result<T, Problem> {
    let received = receive(&call.headers, body, server.body_limits(), &server.room.of(caller)).await?;
    serde_json::from_slice(&received.bytes).map_err(|error| Problem::bad("json", format!("the body cannot be read: {error}")))
}

/// Work that waits for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "it broke off");
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}
