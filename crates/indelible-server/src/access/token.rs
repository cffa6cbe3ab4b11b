//! A token: `indl_<id>_<secret>`; 12 characters that name it and 256 random bits that prove it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::file::AccessError;
use super::{Masks, Scope, Scopes, is_tenant_name};

/// What every token begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "indl_";
const ID_BYTES: usize = 6;
const ID_CHARACTERS: usize = 12;
const SECRET_BYTES: usize = 32;
const NAME_BYTES_MAX: usize = 128;

/// A token as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it in lists and in what is recorded of it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret.
    pub(super) hash: [u8; 32],
    /// What it is for.
    pub scopes: Scopes,
    /// Its tenants; `None`: all there are and will be.
    pub tenants: Option<Vec<String>>,
    /// What it does not get to see.
    pub masks: Masks,
    /// When it was made, ns since 1970 UTC.
    pub created: i64,
    /// Until when it holds.
    pub expires: Option<i64>,
    /// Since when it does not.
    pub revoked: Option<i64>,
    /// Events a second, instead of the configuration's.
    pub events_per_second: Option<u32>,
}

/// What a token is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSpec {
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub scopes: Scopes,
    /// Its tenants; `None`: all.
    pub tenants: Option<Vec<String>>,
    /// What it does not get to see.
    pub masks: Masks,
    /// Until when it holds, ns since 1970 UTC.
    pub expires: Option<i64>,
    /// Events a second, instead of the configuration's.
    pub events_per_second: Option<u32>,
}

/// The text that proves a token; wiped when it is let go.
pub struct Secret(Zeroizing<String>);

/// A token that was just made.
#[derive(Debug)]
pub struct NewToken {
    /// What is kept of it.
    pub token: Arc<Token>,
    /// What its owner gets, once.
    pub secret: Secret,
}

impl Secret {
    /// The text, to be handed to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("scopes", &self.scopes.names())
            .finish_non_exhaustive()
    }
}

impl Token {
    /// Whether it holds at this moment.
    #[must_use]
    pub fn is_valid(&self, now: i64) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether it may do that.
    #[must_use]
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Whether it belongs to a tenant. The server's own belongs to whoever may administer all.
    #[must_use]
    pub fn is_for(&self, tenant: &str) -> bool {
        match &self.tenants {
            Some(tenants) => tenants.iter().any(|own| own == tenant),
            None => tenant != super::SYSTEM_TENANT || self.may(Scope::Admin),
        }
    }
}

pub(super) fn create(spec: TokenSpec, now: i64) -> Result<NewToken, AccessError> {
    if spec.name.is_empty() || spec.name.len() > NAME_BYTES_MAX {
        return Err(AccessError::refused(format!("a token needs a name of 1 to {NAME_BYTES_MAX} bytes")));
    }
    if spec.scopes == Scopes::default() {
        return Err(AccessError::refused("a token needs a scope: emit, read, audit or admin"));
    }
    if let Some(tenants) = &spec.tenants {
        if tenants.is_empty() {
            return Err(AccessError::refused("a token needs a tenant, or all of them"));
        }
        if let Some(wrong) = tenants.iter().find(|tenant| !is_tenant_name(tenant)) {
            return Err(AccessError::refused(format!("a tenant cannot be called {wrong:?}: {}", super::TENANT_NAMES)));
        }
        if spec.scopes.has(Scope::Admin) {
            return Err(AccessError::refused("scope admin is for all tenants: leave tenants out"));
        }
    }
    if spec.expires.is_some_and(|expires| expires <= now) {
        return Err(AccessError::refused("it would have expired already"));
    }
    let mut random = Zeroizing::new([0; ID_BYTES + SECRET_BYTES]);
    getrandom::fill(&mut *random).map_err(|error| AccessError::refused(format!("could not draw random bytes: {error}")))?;
    let (id, secret) = random.split_at(ID_BYTES);
    // The id is not secret. Hexadecimal, so that it can be typed behind a command without being taken for an option.
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
    let token = Token {
        hash: hash(&secret),
        name: spec.name,
        scopes: spec.scopes,
        tenants: spec.tenants,
        masks: spec.masks,
        created: now,
        expires: spec.expires,
        revoked: None,
        events_per_second: spec.events_per_second,
        id,
    };
    let secret = Secret(Zeroizing::new(format!("{PREFIX}{}_{}", token.id, *secret)));
    Ok(NewToken { token: Arc::new(token), secret })
}

/// Id and secret of a token's text.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID_CHARACTERS)?;
    Some((id, secret.strip_prefix('_')?))
}

pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// In a time that does not depend on where they differ.
pub(super) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}
