//! Who may do what: tokens, tenants, scopes, limits.
//!
//! A token's secret is seen once, when it is made; kept is only its SHA-256. Whoever may not see a tenant gets the same answer as if there
//! were none.

mod file;
mod limits;
mod scope;
mod token;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

pub use file::AccessError;
pub use limits::{Limits, Rate, TooMany};
pub use scope::{Masks, Scope, Scopes};
pub use token::{NewToken, Secret, Token, TokenSpec};

/// Tenant of what the server itself records. No token can be given for it alone: scope admin reads it.
pub const SYSTEM_TENANT: &str = "_system";

/// What a tenant may be called.
pub const TENANT_NAMES: &str = "1 to 64 of a-z, 0-9, dot, - and _, beginning and ending with a letter or digit";

/// Whether a tenant can be called so: one spelling, no look-alikes, nothing that means something in a path.
#[must_use]
pub fn is_tenant_name(name: &str) -> bool {
    let seen = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let any = |byte: u8| seen(byte) || matches!(byte, b'.' | b'-' | b'_');
    let ends = [name.bytes().next(), name.bytes().next_back()];
    ends.iter().all(|end| end.is_some_and(seen)) && name.len() <= 64 && name.bytes().all(any) && !name.contains("..")
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// When it was made, ns since 1970 UTC.
    pub created: i64,
}

/// Tokens and tenants, as `access.json` has them. Cheap to ask, from any thread; changes are durable before they are answered.
pub struct Access {
    path: PathBuf,
    /// As it is on disk.
    state: RwLock<State>,
    /// Taken after `writing` by who holds both.
    next: Mutex<Next>,
    /// Held by who writes the file.
    writing: Mutex<()>,
}

/// What the file is to hold: what is there, and changes that wait to be written. Whoever writes does so for all who wait: a file of ten thousand
/// tenants is not written anew for each of many that are made at once.
#[derive(Default)]
struct Next {
    state: State,
    waiting: Vec<Arc<Written>>,
}

/// What became of a change, once the file was written with it, or could not be.
type Written = OnceLock<Result<(), (&'static str, io::ErrorKind, String)>>;

#[derive(Debug, Clone, Default)]
struct State {
    tokens: BTreeMap<String, Arc<Token>>,
    tenants: BTreeMap<String, Tenant>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Access {
    /// Reads `access.json` of a data directory. There need not be one.
    ///
    /// # Errors
    /// It cannot be read, or is not what this version writes.
    pub fn open(data: &Path) -> Result<Self, AccessError> {
        let path = data.join("access.json");
        let state = file::read(&path)?;
        let next = Next { state: state.clone(), waiting: Vec::new() };
        Ok(Self { path, state: RwLock::new(state), next: Mutex::new(next), writing: Mutex::new(()) })
    }

    /// Whether nobody has a token yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.read().tokens.is_empty()
    }

    /// The token that has this secret, unless it has expired or was revoked.
    #[must_use]
    pub fn check(&self, secret: &str, now: i64) -> Option<Arc<Token>> {
        let (id, secret) = token::split(secret)?;
        let token = self.state.read().tokens.get(id).cloned();
        // As much is done for an id that is not there, so that time does not tell.
        let known = token.as_ref().map_or(&[0; 32], |token| &token.hash);
        let fits = token::same(&token::hash(secret), known);
        token.filter(|token| fits && token.is_valid(now))
    }

    /// A token by its id.
    #[must_use]
    pub fn token(&self, id: &str) -> Option<Arc<Token>> {
        self.state.read().tokens.get(id).cloned()
    }

    /// All tokens, by id.
    #[must_use]
    pub fn tokens(&self) -> Vec<Arc<Token>> {
        self.state.read().tokens.values().cloned().collect()
    }

    /// All tenants, by name.
    #[must_use]
    pub fn tenants(&self) -> Vec<Tenant> {
        self.state.read().tenants.values().cloned().collect()
    }

    /// A tenant by its name.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<Tenant> {
        self.state.read().tenants.get(name).cloned()
    }

    /// Whether there is a tenant of this name.
    #[must_use]
    pub fn has_tenant(&self, name: &str) -> bool {
        self.state.read().tenants.contains_key(name)
    }

    /// Makes a token. Its secret is in the answer and nowhere else.
    ///
    /// **Durability**: it is on disk when this returns.
    ///
    /// # Errors
    /// A tenant that is not there, or is no name; the disk.
    pub fn create_token(&self, spec: TokenSpec, now: i64) -> Result<NewToken, AccessError> {
        self.change(|state| {
            for tenant in spec.tenants.iter().flatten() {
                if !state.tenants.contains_key(tenant) {
                    return Err(AccessError::refused(format!("there is no tenant {tenant}; make it first")));
                }
            }
            let new = token::create(spec, now)?;
            state.tokens.insert(new.token.id.clone(), Arc::clone(&new.token));
            Ok(new)
        })
    }

    /// Revokes a token, from this moment on. `None`: there is none of this id.
    ///
    /// # Errors
    /// The disk.
    pub fn revoke_token(&self, id: &str, now: i64) -> Result<Option<Arc<Token>>, AccessError> {
        self.change(|state| {
            let Some(token) = state.tokens.get_mut(id) else { return Ok(None) };
            if token.revoked.is_none() {
                *token = Arc::new(Token { revoked: Some(now), ..Token::clone(token) });
            }
            Ok(Some(Arc::clone(token)))
        })
    }

    /// Makes a tenant. `false`: it was there.
    ///
    /// # Errors
    /// It cannot be called so; the disk.
    pub fn create_tenant(&self, name: &str, now: i64) -> Result<bool, AccessError> {
        if !is_tenant_name(name) {
            return Err(AccessError::refused(format!("a tenant cannot be called {name:?}: {TENANT_NAMES}")));
        }
        self.change(|state| {
            let new = !state.tenants.contains_key(name);
            if new {
                state.tenants.insert(name.to_owned(), Tenant { name: name.to_owned(), created: now });
            }
            Ok(new)
        })
    }

    /// Changes what the file is to hold, has it written, and only then lets it be seen. `change` that fails has changed nothing.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, AccessError>) -> Result<T, AccessError> {
        let written = Arc::<Written>::default();
        let told = {
            let mut next = self.next.lock();
            let told = change(&mut next.state)?;
            next.waiting.push(Arc::clone(&written));
            told
        };
        let writing = self.writing.lock();
        if written.get().is_none() {
            self.write_next();
        }
        drop(writing);
        match written.get() {
            Some(Ok(())) => Ok(told),
            Some(Err((what, kind, why))) => Err(AccessError::Io(what, io::Error::new(*kind, why.clone()))),
            None => Err(AccessError::Io("write", io::Error::other("whoever wrote it for others did not end"))),
        }
    }

    /// Writes the file with all changes that wait. If that fails, none of them was made.
    fn write_next(&self) {
        let (state, mut waiting) = {
            let mut next = self.next.lock();
            (next.state.clone(), std::mem::take(&mut next.waiting))
        };
        let done = file::write(&self.path, &state).map_err(|error| {
            // What came meanwhile builds on what is not there.
            let mut next = self.next.lock();
            next.state = self.state.read().clone();
            waiting.append(&mut next.waiting);
            match error {
                AccessError::Io(what, error) => (what, error.kind(), error.to_string()),
                error => ("write", io::ErrorKind::InvalidData, error.to_string()),
            }
        });
        if done.is_ok() {
            *self.state.write() = state;
        }
        for written in waiting {
            let _ = written.set(done.clone());
        }
    }
}

#[cfg(test)]
mod tests;
