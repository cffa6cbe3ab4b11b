//! How many events of each tenant a log has: the source of `tenant_seq`.

use std::collections::HashMap;
use std::sync::Arc;

/// Counts by tenant. Never shrinks: a tenant's numbers must go on where they stopped.
#[derive(Debug)]
pub(crate) struct Tenants {
    counts: Vec<(Arc<str>, u64)>,
    places: HashMap<Arc<str>, usize>,
    /// Places of tenants seen lately, found by a few bytes of their names. Tenants alternate from event to event, and hashing every
    /// name against collisions on purpose costs more than numbering the event; who collides here only takes the longer way.
    recent: [usize; RECENT],
}

const RECENT: usize = 64;

impl Default for Tenants {
    fn default() -> Self {
        Self { counts: Vec::new(), places: HashMap::new(), recent: [usize::MAX; RECENT] }
    }
}

impl Tenants {
    /// The tenant's count: the number its next event will have.
    #[inline]
    pub(crate) fn count(&mut self, tenant: &str) -> &mut u64 {
        let slot = slot(tenant);
        let recent = self.recent.get(slot).copied().unwrap_or(usize::MAX);
        let place = match self.counts.get(recent) {
            Some((known, _)) if **known == *tenant => recent,
            _ => self.look_up(tenant, slot),
        };
        // Places come from this list alone.
        #[expect(clippy::indexing_slicing, reason = "a place was found in the list, or made, in the line above")]
        &mut self.counts[place].1
    }

    fn look_up(&mut self, tenant: &str, slot: usize) -> usize {
        let place = self.places.get(tenant).copied().unwrap_or_else(|| {
            let name = Arc::<str>::from(tenant);
            self.counts.push((name.clone(), 0));
            self.places.insert(name, self.counts.len() - 1);
            self.counts.len() - 1
        });
        if let Some(recent) = self.recent.get_mut(slot) {
            *recent = place;
        }
        place
    }
}

/// Names that differ mostly differ in length or at their end.
#[inline]
fn slot(tenant: &str) -> usize {
    let bytes = tenant.as_bytes();
    let end = bytes.last_chunk::<4>().map_or_else(|| bytes.last().copied().map_or(0, u32::from), |end| u32::from_le_bytes(*end));
    let mixed = (end ^ u32::try_from(bytes.len()).unwrap_or(0)).wrapping_mul(0x9e37_79b1);
    (mixed >> 26) as usize % RECENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenant_has_its_own_count_however_their_names_collide() {
        let mut tenants = Tenants::default();
        let mut twin = HashMap::new();
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..50_000 {
            let tenant = format!("{}{}", "t".repeat(rng.usize(..4)), rng.u32(..300));
            let expected = twin.entry(tenant.clone()).or_insert(0u64);
            let count = tenants.count(&tenant);
            assert_eq!(count, expected);
            *count += 1;
            *expected += 1;
        }
        assert_eq!(*tenants.count(""), 0);
    }
}
