//! What a log remembers of each name: how many events a tenant has, which numbers a producer delivered.

use std::collections::HashMap;
use std::sync::Arc;

/// A value for each name. Never shrinks: numbering must go on where it stopped.
#[derive(Debug, Clone)]
pub(crate) struct ByName<T> {
    values: Vec<(Arc<str>, T)>,
    places: HashMap<Arc<str>, usize>,
    /// Places of names seen lately, found by a few of their bytes. Names alternate from event to event, and hashing each of them
    /// against collisions on purpose costs more than numbering the event; who collides here only takes the longer way.
    recent: [usize; RECENT],
}

const RECENT: usize = 64;

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { values: Vec::new(), places: HashMap::new(), recent: [usize::MAX; RECENT] }
    }
}

impl<T: Default> ByName<T> {
    /// The value of `name`, made when it was not there.
    #[inline]
    pub(crate) fn entry(&mut self, name: &str) -> &mut T {
        let slot = slot(name);
        let recent = self.recent.get(slot).copied().unwrap_or(usize::MAX);
        let place = match self.values.get(recent) {
            Some((known, _)) if **known == *name => recent,
            _ => self.look_up(name, slot),
        };
        // Places come from this list alone.
        #[expect(clippy::indexing_slicing, reason = "a place was found in the list, or made, in the line above")]
        &mut self.values[place].1
    }

    fn look_up(&mut self, name: &str, slot: usize) -> usize {
        let place = self.places.get(name).copied().unwrap_or_else(|| {
            let name = Arc::<str>::from(name);
            self.values.push((name.clone(), T::default()));
            self.places.insert(name, self.values.len() - 1);
            self.values.len() - 1
        });
        if let Some(recent) = self.recent.get_mut(slot) {
            *recent = place;
        }
        place
    }
}

impl<T> ByName<T> {
    /// The value of `name`, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.values.get(*self.places.get(name)?).map(|(_, value)| value)
    }

    /// All names, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.values.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

/// Names that differ mostly differ in length or at their end.
#[inline]
fn slot(name: &str) -> usize {
    let bytes = name.as_bytes();
    let end = bytes.last_chunk::<4>().map_or_else(|| bytes.last().copied().map_or(0, u32::from), |end| u32::from_le_bytes(*end));
    let mixed = (end ^ u32::try_from(bytes.len()).unwrap_or(0)).wrapping_mul(0x9e37_79b1);
    (mixed >> 26) as usize % RECENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_own_value_however_names_collide() {
        let mut counts = ByName::<u64>::default();
        let mut twin = HashMap::new();
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..50_000 {
            let name = format!("{}{}", "t".repeat(rng.usize(..4)), rng.u32(..300));
            let expected = twin.entry(name.clone()).or_insert(0u64);
            let count = counts.entry(&name);
            assert_eq!(count, expected);
            *count += 1;
            *expected += 1;
        }
        assert_eq!(*counts.entry(""), 0);
        assert_eq!(counts.get("never"), None);
        assert!(counts.iter().all(|(name, count)| counts.get(name) == Some(count)));
        assert_eq!(counts.iter().count(), twin.len() + 1);
    }
}
