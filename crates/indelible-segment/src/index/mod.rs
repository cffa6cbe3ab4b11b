//! Which blocks of rows hold a term: exact, derived from the rows, and read a few hundred bytes at a time.
//!
//! The block of bytes is a function of the set of (field, key of the term, block) alone, so whoever has the rows can make it again and
//! compare. Layout: [`block`].

pub(crate) mod block;
mod build;

pub(crate) use build::{IdIndex, IndexBuilder, id_index};

use indelible_format::sha256;

/// Rows of a block.
pub const BLOCK_ROWS: u32 = 1_024;

/// What can be looked up. The number is that of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum IndexField {
    /// `actor.id`
    ActorId = 1,
    /// Tenant and action together: [`pair`].
    TenantAction = 2,
    /// `targets.id`, any of them
    TargetId = 3,
    /// `session`
    Session = 4,
    /// `origin.ip`
    OriginIp = 5,
    /// `action`
    Action = 6,
    /// `tenant`
    Tenant = 7,
    /// `id`, its 16 bytes; in files whose ids are in no order, so that least and greatest of a page say nothing
    Id = 8,
    /// `id_text`
    IdText = 9,
    /// `trace.trace_id`, its 16 bytes
    TraceId = 10,
}

impl IndexField {
    /// Every field, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::ActorId,
        Self::TenantAction,
        Self::TargetId,
        Self::Session,
        Self::OriginIp,
        Self::Action,
        Self::Tenant,
        Self::Id,
        Self::IdText,
        Self::TraceId,
    ];

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    pub(crate) const fn index(self) -> usize {
        self as usize - 1
    }
}

/// The term of a tenant and an action: the tenant's length as two bytes, the tenant, the action.
#[must_use]
pub fn pair(tenant: &[u8], action: &[u8]) -> Vec<u8> {
    let mut term = Vec::with_capacity(2 + tenant.len() + action.len());
    term.extend_from_slice(&u16::try_from(tenant.len()).unwrap_or(u16::MAX).to_le_bytes());
    term.extend_from_slice(tenant);
    term.extend_from_slice(action);
    term
}

/// What stands for a term: the first eight bytes of SHA-256(number of the field ‖ term), the first of them the lowest.
pub(crate) fn hash(field: IndexField, term: &[u8]) -> u64 {
    first_eight(&sha256::sha256_parts(&[&[field.number()], term]))
}

pub(crate) fn first_eight(hash: &indelible_format::Hash) -> u64 {
    hash.0.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
