//! How many events each tenant has in a log, under one root that tells none of them about another. Rules: docs/format/tenants.md.
//!
//! A log numbers the events of each tenant (`tenant_seq`), and each event's leaf commits to its number. So a count is all that is
//! missing to know that a list of events is whole. The counts of all tenants are the leaves of one tree; names and counts in it are
//! hidden by salts that follow from the seed of a group of log 0, which who holds the store has, and a tenant has not.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::Hash;
use crate::leaf::Seed;
use crate::merkle::verify_inclusion;
use crate::sha256;

const DOMAIN: &[u8; 12] = b"indelible/v1";
const SALT_BYTES: usize = 16;

/// Trees are filled up to this many leaves at least, and to a power of two: their height tells only the order of magnitude.
pub const LEAVES_MIN: usize = 64;

/// The tallest tree whose proofs are looked at.
const HEIGHT_MAX: usize = 40;

/// Hides a tenant's name and count from the others. The tenant itself gets it.
pub type Salt = [u8; SALT_BYTES];

/// What stands in the tree for a tenant: the order of the leaves.
#[must_use]
pub fn id(salt: &Salt, tenant: &str) -> Hash {
    sha256::sha256_parts(&[DOMAIN, b"tenant", salt, tenant.as_bytes()])
}

/// What the leaf says of the tenant's count.
#[must_use]
pub fn commitment(salt: &Salt, count: u64) -> Hash {
    sha256::sha256_parts(&[DOMAIN, b"count", salt, &count.to_le_bytes()])
}

fn leaf_of(id: &Hash, commitment: &Hash) -> Hash {
    sha256::sha256_parts(&[&[0], &id.0, &commitment.0])
}

/// The tree over the counts of one log's tenants.
#[derive(Debug, Clone)]
pub struct TenantTree {
    blinding: Blinding,
    /// By id.
    leaves: Vec<(Hash, Hash)>,
    /// From the leaves' hashes up to the root.
    rows: Vec<Vec<Hash>>,
}

impl TenantTree {
    /// Of these tenants, each named once. Who has no event is passed over: it cannot be told from who is not there.
    ///
    /// **Cost**: about nine SHA-256 blocks for each tenant; 128 bytes for each leaf while the tree is kept.
    #[must_use]
    pub fn new<'t>(seed: &Seed, tenants: impl Iterator<Item = (&'t str, u64)>) -> Self {
        let blinding = Blinding::new(seed);
        let mut leaves: Vec<(Hash, Hash)> = tenants
            .filter(|(_, count)| *count > 0)
            .map(|(tenant, count)| {
                let salt = blinding.salt(tenant);
                (id(&salt, tenant), commitment(&salt, count))
            })
            .collect();
        let wanted = leaves.len().next_power_of_two().max(LEAVES_MIN);
        leaves.extend((0..wanted - leaves.len()).map(|nth| blinding.filler(nth as u64)));
        leaves.sort_unstable();
        let mut row: Vec<Hash> = leaves.iter().map(|(id, commitment)| leaf_of(id, commitment)).collect();
        let mut rows = Vec::new();
        while row.len() > 1 {
            let mut upper = Vec::with_capacity(row.len() / 2);
            sha256::nodes(&row, &mut upper);
            rows.push(std::mem::replace(&mut row, upper));
        }
        rows.push(row);
        Self { blinding, leaves, rows }
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.rows.last().and_then(|row| row.first()).copied().unwrap_or_default()
    }

    /// Proves how many events `tenant` has; `count` is what [`new`](Self::new) was told, 0 if nothing.
    #[must_use]
    pub fn prove(&self, tenant: &str, count: u64) -> CountProof {
        let salt = self.blinding.salt(tenant);
        let place = self.leaves.binary_search_by(|(known, _)| known.cmp(&id(&salt, tenant)));
        let told = match place {
            Ok(index) => Told::Counted { count, index: index as u64, path: self.path(index) },
            Err(index) => {
                let left = index.checked_sub(1).and_then(|index| self.neighbour(index));
                Told::Uncounted { left, right: self.neighbour(index) }
            }
        };
        CountProof { salt, told }
    }

    fn neighbour(&self, index: usize) -> Option<Neighbour> {
        let (id, commitment) = *self.leaves.get(index)?;
        Some(Neighbour { index: index as u64, id, commitment, path: self.path(index) })
    }

    /// The siblings from a leaf up.
    fn path(&self, index: usize) -> Vec<Hash> {
        self.rows.iter().enumerate().filter_map(|(level, row)| row.get((index >> level) ^ 1).copied()).collect()
    }
}

/// Salts and fillers from the seed of a group of log 0.
#[derive(Clone)]
struct Blinding(Hkdf<Sha256>);

impl std::fmt::Debug for Blinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blinding(…)")
    }
}

impl Blinding {
    fn new(seed: &Seed) -> Self {
        Self(Hkdf::new(Some(DOMAIN), &seed.0))
    }

    fn salt(&self, tenant: &str) -> Salt {
        let mut salt = [0; SALT_BYTES];
        self.expand(&[b"tenant", tenant.as_bytes()], &mut salt);
        salt
    }

    /// A leaf of nobody, which cannot be told from a tenant's.
    fn filler(&self, nth: u64) -> (Hash, Hash) {
        let mut bytes = [0; 64];
        self.expand(&[b"filler", &nth.to_le_bytes()], &mut bytes);
        let (id, commitment) = bytes.split_at(32);
        (Hash::from_slice(id).unwrap_or_default(), Hash::from_slice(commitment).unwrap_or_default())
    }

    fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        let expanded = self.0.expand_multi_info(info, out);
        debug_assert!(expanded.is_ok(), "64 bytes are within HKDF's range");
    }
}

/// Proves how many events a tenant has in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountProof {
    /// The tenant's, under this root.
    pub salt: Salt,
    /// What the tree says.
    pub told: Told,
}

/// What a tree of counts says of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It has a leaf.
    Counted {
        /// Events of the tenant; its numbers are those below.
        count: u64,
        /// Which leaf.
        index: u64,
        /// Siblings from the leaf up.
        path: Vec<Hash>,
    },
    /// It has none: these leaves stand side by side, and it would stand between them.
    Uncounted {
        /// `None`: it would be the first.
        left: Option<Neighbour>,
        /// `None`: it would be the last.
        right: Option<Neighbour>,
    },
}

/// A leaf beside the place where a tenant's would be. Tells nothing about whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Which leaf.
    pub index: u64,
    /// Whose it is, hidden by a salt.
    pub id: Hash,
    /// The count, hidden by the salt.
    pub commitment: Hash,
    /// Siblings from the leaf up.
    pub path: Vec<Hash>,
}

impl CountProof {
    /// The tenant's count under `root`; 0 when it has no leaf. `None`: the proof does not show anything.
    #[must_use]
    pub fn verify(&self, tenant: &str, root: &Hash) -> Option<u64> {
        match &self.told {
            Told::Counted { count, index, path } => {
                let leaf = leaf_of(&id(&self.salt, tenant), &commitment(&self.salt, *count));
                (*count > 0 && is_in(&leaf, *index, path, root)).then_some(*count)
            }
            Told::Uncounted { left, right } => {
                let own = id(&self.salt, tenant);
                let height = left.as_ref().or(right.as_ref())?.path.len();
                let holds = |beside: &Neighbour| {
                    let leaf = leaf_of(&beside.id, &beside.commitment);
                    beside.path.len() == height && is_in(&leaf, beside.index, &beside.path, root)
                };
                let end = 1u64.checked_shl(u32::try_from(height).ok()?)?;
                let next = left.as_ref().map_or(0, |left| left.index.saturating_add(1));
                let between = right.as_ref().map_or(end, |right| right.index) == next
                    && left.as_ref().is_none_or(|left| left.id < own && holds(left))
                    && right.as_ref().is_none_or(|right| own < right.id && holds(right));
                between.then_some(0)
            }
        }
    }
}

fn is_in(leaf: &Hash, index: u64, path: &[Hash], root: &Hash) -> bool {
    path.len() <= HEIGHT_MAX && verify_inclusion(leaf, index, 1 << path.len(), path, root).is_ok()
}

#[cfg(test)]
mod tests;
