//! The model log: a ledger of what was asked for and what was acknowledged, kept outside the store.
//!
//! It knows nothing of frames or trees. What it holds must be in the log, whatever happened to the machine since.

use std::collections::BTreeMap;

use indelible::{Hash, Receipt};

use crate::events::Spec;

/// Where an acknowledged event must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// In which log.
    pub log: u32,
    /// At which position.
    pub seq: u64,
    /// With which leaf hash.
    pub leaf: Hash,
}

/// What happened to one event, as far as its caller knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was asked for.
    pub spec: Spec,
    /// The receipt, if there was one; without it the event may or may not be in the log.
    pub acknowledged: Option<Acknowledged>,
}

/// All events of a run by (stream, number).
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: BTreeMap<(u64, u64), Entry>,
}

impl Ledger {
    /// Notes that `spec` is about to be handed over.
    pub fn attempt(&mut self, spec: &Spec) {
        let fresh = || Entry { spec: spec.clone(), acknowledged: None };
        self.entries.entry((spec.stream, spec.number)).or_insert_with(fresh);
    }

    /// Notes the receipt of `spec`.
    ///
    /// # Errors
    /// The engine contradicts itself: an earlier receipt says otherwise, or this one names no place.
    pub fn acknowledge(&mut self, spec: &Spec, receipt: &Receipt) -> Result<(), String> {
        let (Some(seq), Some(leaf)) = (receipt.seq, receipt.leaf) else {
            return Err(format!("the receipt of {} names no place: {receipt:?}", spec.id));
        };
        self.acknowledge_at(spec, Acknowledged { log: receipt.log, seq, leaf })
    }

    /// As [`acknowledge`](Self::acknowledge), from the parts of a receipt.
    ///
    /// # Errors
    /// An earlier receipt says otherwise.
    pub fn acknowledge_at(&mut self, spec: &Spec, place: Acknowledged) -> Result<(), String> {
        self.attempt(spec);
        let Some(entry) = self.entries.get_mut(&(spec.stream, spec.number)) else { return Ok(()) };
        match entry.acknowledged.replace(place) {
            Some(before) if before != place => Err(format!("{} was acknowledged at {before:?}, now at {place:?}", spec.id)),
            _ => Ok(()),
        }
    }

    /// What is known of one event.
    #[must_use]
    pub fn entry(&self, stream: u64, number: u64) -> Option<&Entry> {
        self.entries.get(&(stream, number))
    }

    /// Everything, by (stream, number).
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Events with a receipt.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Spec, Acknowledged)> {
        self.entries.values().filter_map(|entry| Some((&entry.spec, entry.acknowledged?)))
    }

    /// Events whose fate the caller does not know.
    pub fn unknown(&self) -> impl Iterator<Item = &Spec> {
        self.entries.values().filter(|entry| entry.acknowledged.is_none()).map(|entry| &entry.spec)
    }
}
