//! `access.json` in the data directory (docs/format/access.md): replaced as a whole, written beside, synced, renamed, directory synced.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use indelible::time;
use serde::{Deserialize, Serialize};

use super::{Masks, Scopes, State, Tenant, Token};

/// Version of the file.
const FORMAT: u64 = 1;
/// A file larger than this is not ours.
const BYTES_MAX: u64 = 256 << 20;
/// `O_NOFOLLOW` of Linux.
const NO_FOLLOW: i32 = 0o400_000;

/// Why tokens or tenants could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Refused(String),
    /// The file could not be read or written.
    #[error("could not {0} access.json")]
    Io(&'static str, #[source] std::io::Error),
    /// The file is not what this version writes.
    #[error("access.json is damaged: {0}")]
    Damaged(String),
}

impl AccessError {
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u64,
    tenants: Vec<StoredTenant>,
    tokens: Vec<StoredToken>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTenant {
    created: String,
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredToken {
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events_per_second: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    hash: String,
    id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mask: Vec<String>,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenants: Option<Vec<String>>,
}

pub(super) fn read(path: &Path) -> Result<State, AccessError> {
    let file = match OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(AccessError::Io("open", error)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(|error| AccessError::Io("read", error))?;
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| AccessError::Damaged(error.to_string()))?;
    if stored.format != FORMAT {
        return Err(AccessError::Damaged(format!("it has format {}, this version reads {FORMAT}", stored.format)));
    }
    let mut state = State::default();
    for tenant in stored.tenants {
        let created = moment(&tenant.created)?;
        state.tenants.insert(tenant.name.clone(), Tenant { name: tenant.name, created });
    }
    for token in stored.tokens {
        let word = |word| AccessError::Damaged(format!("token {} has the word {word:?}", token.id));
        let token = Token {
            hash: unhex(&token.hash).ok_or_else(|| AccessError::Damaged(format!("token {} has no hash", token.id)))?,
            scopes: Scopes::read(&token.scopes).map_err(word)?,
            masks: Masks::read(&token.mask).map_err(word)?,
            created: moment(&token.created)?,
            expires: token.expires.as_deref().map(moment).transpose()?,
            revoked: token.revoked.as_deref().map(moment).transpose()?,
            name: token.name,
            tenants: token.tenants,
            events_per_second: token.events_per_second,
            id: token.id,
        };
        state.tokens.insert(token.id.clone(), Arc::new(token));
    }
    Ok(state)
}

pub(super) fn write(path: &Path, state: &State) -> Result<(), AccessError> {
    let words = |words: Vec<&'static str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let stored = Stored {
        format: FORMAT,
        tenants: state
            .tenants
            .values()
            .map(|tenant| StoredTenant { created: time::format(tenant.created), name: tenant.name.clone() })
            .collect(),
        tokens: state
            .tokens
            .values()
            .map(|token| StoredToken {
                created: time::format(token.created),
                events_per_second: token.events_per_second,
                expires: token.expires.map(time::format),
                hash: token.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
                id: token.id.clone(),
                mask: words(token.masks.names()),
                name: token.name.clone(),
                revoked: token.revoked.map(time::format),
                scopes: words(token.scopes.names()),
                tenants: token.tenants.clone(),
            })
            .collect(),
    };
    let bytes = serde_json::to_vec(&stored).map_err(|error| AccessError::Damaged(error.to_string()))?;
    let beside = path.with_extension("json.new");
    let written = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(NO_FOLLOW).open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    written().map_err(|error| AccessError::Io("write", error))
}

fn moment(text: &str) -> Result<i64, AccessError> {
    indelible::search::time::parse(text, 0).map_err(|error| AccessError::Damaged(error.message))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
