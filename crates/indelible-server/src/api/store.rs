//! Which store it is that answers, and which logs it has.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::format::merkle::empty_root;
use indelible::time;
use serde::Serialize;
use utoipa::ToSchema;

use super::json_of;
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::Call;
use crate::metrics::Question;
use crate::read::ask;
use crate::server::Server;

/// A store: what is public of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Store)]
pub(crate) struct StoreDoc {
    store: String,
    prefix: String,
    created: String,
    /// Ed25519, in base64.
    public_key: String,
    /// Groups of events that this token does not get to see.
    mask: Vec<&'static str>,
    logs: Vec<StoreLogDoc>,
}

/// One log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoreLog)]
pub(crate) struct StoreLogDoc {
    id: u32,
    log: String,
    /// Its part of the origin.
    uid: String,
    origin: String,
    verifier_key: String,
    size: u64,
    root: String,
    /// Up to where the newest checkpoint on disk covers it.
    signed: u64,
}

/// Say which store this is, and which logs it has
///
/// For tokens with scope read, audit or admin.
#[utoipa::path(get, path = "/api/v1/store", tag = "proof", security(("token" = [])),
    responses((status = 200, description = "Identity, and logs with their keys", body = StoreDoc),
        (status = "4XX", description = "Not for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn get(State(server): State<Arc<Server>>, call: Call) -> Result<Response, Problem> {
    let caller = call.caller_of_any(&server, &[Scope::Read, Scope::Audit, Scope::Admin])?;
    ask(&server, caller.holder(), Question::Proof, move |server, _| {
        let identity = &server.identity;
        let heads = server.store.heads();
        let mut logs = Vec::new();
        for log in &identity.logs {
            let head = heads.iter().find(|head| head.log == log.id);
            logs.push(StoreLogDoc {
                id: log.id,
                log: log.name.clone(),
                uid: log.uid.clone(),
                origin: identity.origin(log.id).unwrap_or_default(),
                verifier_key: identity.verifier_key(log.id).map(|key| key.to_string()).unwrap_or_default(),
                size: head.map_or(0, |head| head.size),
                root: head.map_or_else(empty_root, |head| head.root).to_string(),
                signed: server.reader.checkpoint(log.id)?.map_or(0, |checkpoint| checkpoint.size),
            });
        }
        Ok(json_of(&StoreDoc {
            store: identity.store_hex(),
            prefix: identity.prefix.clone(),
            created: time::format(identity.created),
            public_key: STANDARD.encode(identity.public_key),
            mask: caller.masks().names(),
            logs,
        }))
    })
    .await
}
