//! Who calls: the token of a request, however its protocol carries it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue};

use super::problem::Problem;
use super::shares::Holder;
use crate::access::{Masks, SYSTEM_TENANT, Scope, Token};
use crate::server::Server;

/// The caller of one request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) token: Arc<Token>,
    pub(crate) address: Option<IpAddr>,
}

/// Where the connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Whose events a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tenants {
    /// All, the server's own among them.
    All,
    /// All but the server's own.
    AllButSystem,
    /// These.
    These(Vec<String>),
}

impl Caller {
    /// The caller of a request, who has to have `scope`.
    ///
    /// # Errors
    /// 401 without a token that holds, 403 without the scope, 429 beyond its rate.
    pub(crate) fn of(server: &Server, headers: &HeaderMap, peer: Option<Peer>, scope: Scope) -> Result<Self, Problem> {
        Self::authenticate(server, headers, peer)?.may_any(server, &[scope])
    }

    /// The same caller, who has to have one of these scopes; the first of them is the one that is missed.
    fn may_any(self, server: &Server, scopes: &[Scope]) -> Result<Self, Problem> {
        if scopes.iter().any(|scope| self.token.may(*scope)) {
            return Ok(self);
        }
        if let [missed, ..] = scopes {
            server.audit.denied(&self, *missed);
        }
        let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        Err(Problem::forbidden(format!("this token has no scope {}", names.join(" or "))))
    }

    /// The caller of a request, whatever it may do.
    pub(crate) fn authenticate(server: &Server, headers: &HeaderMap, peer: Option<Peer>) -> Result<Self, Problem> {
        let address = peer.map(|peer| peer.0.ip().to_canonical());
        // Who sends none is not guessing: many a client asks first whether it has to.
        let value = headers.get(AUTHORIZATION).ok_or_else(|| Problem::unauthenticated("this needs a token"))?;
        let secret = match secret(value) {
            Ok(secret) => secret,
            Err(problem) => return Err(failed_login(server, address, "the header authorization cannot be read", problem)),
        };
        let Some(token) = server.access.check(&secret, server.now()) else {
            let problem = Problem::unauthenticated("this token does not hold: unknown, expired or revoked");
            return Err(failed_login(server, address, "no such token, or it has expired or was revoked", problem));
        };
        let caller = Self { token, address };
        server.limits().request(&caller.token.id).map_err(|many| server.too_many(&caller, many))?;
        Ok(caller)
    }

    /// Whether it is a caller for all tenants: what this is about tells of all of them, and of no events.
    ///
    /// # Errors
    /// 403, beginning with `why`, for a token of some tenants.
    pub(crate) fn for_all(&self, server: &Server, why: &str) -> Result<(), Problem> {
        if self.token.tenants.is_none() {
            return Ok(());
        }
        server.audit.bound(self);
        Err(Problem::forbidden(format!("{why}: it takes a token for all tenants")))
    }

    /// The tenant of an event that says `said`.
    ///
    /// # Errors
    /// 403 when it is not the token's, whether or not there is such a tenant.
    pub(crate) fn tenant<'t>(&'t self, server: &'t Server, said: Option<&'t str>) -> Result<&'t str, Problem> {
        let tenant = match (said, self.token.tenants.as_deref()) {
            (Some(said), _) => said,
            (None, Some([own])) => own,
            (None, None) => server.default_tenant(),
            (None, Some(_)) => {
                return Err(Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "tenant",
                    "this token has several tenants: say which one",
                ));
            }
        };
        if tenant == SYSTEM_TENANT || !self.token.is_for(tenant) || !server.access.has_tenant(tenant) {
            server.audit.other_tenant(self, tenant);
            return Err(Problem::forbidden(format!("this token does not record for tenant {tenant:?}")));
        }
        Ok(tenant)
    }

    /// Whose events it may see.
    pub(crate) fn tenants(&self) -> Tenants {
        match &self.token.tenants {
            Some(tenants) => Tenants::These(tenants.clone()),
            None if self.token.may(Scope::Admin) => Tenants::All,
            None => Tenants::AllButSystem,
        }
    }

    /// As whom it takes places and room: the tokens of one tenant share them.
    pub(crate) fn holder(&self) -> Holder {
        match self.token.tenants.as_deref() {
            Some([tenant]) => Holder::Tenant(tenant.clone()),
            _ => Holder::Token(self.token.id.clone()),
        }
    }

    pub(crate) fn masks(&self) -> Masks {
        self.token.masks
    }
}

/// Counts and records that a login failed. Gives what to answer: `problem`, or that there were too many from there.
fn failed_login(server: &Server, address: Option<IpAddr>, why: &'static str, problem: Problem) -> Problem {
    server.metrics.failed_logins.inc();
    server.audit.failed_login(address, why);
    match address.map(|address| server.limits().failed_login(address)) {
        Some(Err(many)) => {
            server.metrics.limited.inc();
            many.into()
        }
        Some(Ok(())) | None => problem,
    }
}

/// The secret in `authorization`: Bearer, Splunk's, Elastic's ApiKey, or Basic with the token as the password.
fn secret(value: &HeaderValue) -> Result<String, Problem> {
    let wrong = || Problem::unauthenticated("the header authorization cannot be read");
    let value = value.to_str().map_err(|_| wrong())?;
    let (scheme, rest) = value.split_once(' ').ok_or_else(wrong)?;
    let rest = rest.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "splunk" => Ok(rest.to_owned()),
        "apikey" | "basic" => {
            // `id:key` or `user:password` in base64; our tokens are also taken as they are.
            if rest.starts_with("indl_") {
                return Ok(rest.to_owned());
            }
            let decoded = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
            decoded.split_once(':').map(|(_, secret)| secret.to_owned()).ok_or_else(wrong)
        }
        _ => Err(Problem::unauthenticated("the header authorization has to begin with Bearer")),
    }
}

/// What a handler needs of a request's head to find out who calls.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) headers: HeaderMap,
    peer: Option<Peer>,
}

impl Call {
    /// The caller, who has to have `scope`.
    pub(crate) fn caller(&self, server: &Server, scope: Scope) -> Result<Caller, Problem> {
        Caller::of(server, &self.headers, self.peer, scope)
    }

    /// The caller, who has to have one of these scopes.
    pub(crate) fn caller_of_any(&self, server: &Server, scopes: &[Scope]) -> Result<Caller, Problem> {
        self.anybody(server)?.may_any(server, scopes)
    }

    /// The caller, whatever it may do.
    pub(crate) fn anybody(&self, server: &Server) -> Result<Caller, Problem> {
        Caller::authenticate(server, &self.headers, self.peer)
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type of the body, without its parameters, in lower case.
    pub(crate) fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

impl axum::extract::FromRequestParts<Arc<Server>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut hyper::http::request::Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().copied();
        // Whatever else is wrong with the request: whoever sent this has to hear that the token has been seen.
        if parts.uri.query().is_some_and(|query| query.contains("indl_")) {
            server.metrics.failed_logins.inc();
            server.audit.failed_login(peer.map(|peer| peer.0.ip().to_canonical()), "a token in the URL");
            return Err(Problem::bad("token_in_url", "a token does not belong into a URL, where proxies and logs keep it")
                .hint("send it in the header authorization, and revoke this one: it has been seen"));
        }
        // Nobody else looks at them.
        Ok(Self { headers: std::mem::take(&mut parts.headers), peer })
    }
}
