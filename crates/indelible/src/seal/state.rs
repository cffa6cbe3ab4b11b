//! `segments/<generation>.state`: what a writer must know of the logs where the journal begins. Bytes: docs/format/store.md.
//!
//! All of it follows from the sealed rows; it is kept so that a store can be opened without reading them. What opening compares with
//! checkpoints is the root that it gives.

use indelible_format::Hash;
use indelible_format::leaf::Seed;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::Frontier;
use indelible_format::sha256::sha256;

use crate::commit::producers::{Intervals, Producers};
use crate::digest::LogHead;
use crate::digest::names::ByName;
use crate::digest::tip::Tip;

const MAGIC: &[u8; 8] = b"IDLSEAL\x01";

/// A log at the end of its segments.
#[derive(Debug, Clone)]
pub(crate) struct LogState {
    pub(crate) log: u32,
    /// The tree of its complete groups.
    pub(crate) groups: Frontier,
    /// Leaves of the group that is not complete.
    pub(crate) partial: Vec<Hash>,
    /// Seed of that group.
    pub(crate) seed: Option<Seed>,
    /// Number of the next event of each tenant.
    pub(crate) tenants: ByName<u64>,
}

impl LogState {
    pub(crate) fn new(log: u32) -> Self {
        Self { log, groups: Frontier::new(), partial: Vec::new(), seed: None, tenants: ByName::default() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.groups.size() + self.partial.len() as u64
    }

    pub(crate) fn frontier(&self) -> Frontier {
        let mut frontier = self.groups.clone();
        frontier.extend(&self.partial, |_| {});
        frontier
    }

    pub(crate) fn head(&self) -> LogHead {
        LogHead { log: self.log, size: self.size(), root: self.frontier().root() }
    }

    fn tip(&self) -> Tip {
        Tip::resume(self.log, self.frontier(), self.tenants.clone(), self.seed.as_ref())
    }
}

/// All logs, and the producers, where the journal begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// By number.
    pub(crate) logs: Vec<LogState>,
    pub(crate) producers: Producers,
}

impl State {
    pub(crate) fn log(&mut self, log: u32) -> &mut LogState {
        let at = self.logs.partition_point(|known| known.log < log);
        if self.logs.get(at).is_none_or(|known| known.log != log) {
            self.logs.insert(at, LogState::new(log));
        }
        #[expect(clippy::indexing_slicing, reason = "found or made in the lines above")]
        &mut self.logs[at]
    }

    pub(crate) fn size(&self, log: u32) -> u64 {
        self.logs.iter().find(|known| known.log == log).map_or(0, LogState::size)
    }

    /// What replaying the journal begins with.
    pub(crate) fn tips(&self) -> Vec<Tip> {
        self.logs.iter().map(LogState::tip).collect()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_count(&mut out, self.logs.len());
        for log in &self.logs {
            out.extend_from_slice(&log.log.to_le_bytes());
            out.extend_from_slice(&log.size().to_le_bytes());
            log.groups.peaks().iter().chain(&log.partial).for_each(|hash| out.extend_from_slice(&hash.0));
            if !log.partial.is_empty() {
                out.extend_from_slice(&log.seed.as_ref().map_or([0; 32], |seed| seed.0));
            }
            encode_tenants(&log.tenants, &mut out);
        }
        encode_producers(&self.producers, &mut out);
        finished(out)
    }

    /// Reads what [`encode`](Self::encode) wrote; `None`: these bytes are not that. Allocates no more than they are long.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bytes::of(bytes, MAGIC)?;
        let mut state = Self::default();
        for _ in 0..rest.u32()? {
            let (log, size) = (rest.u32()?, rest.u64()?);
            if state.logs.last().is_some_and(|last| last.log >= log) {
                return None;
            }
            let complete = size - size % GROUP_LEAVES;
            let peaks = rest.hashes(usize::try_from(complete.count_ones()).ok()?)?;
            let partial = rest.hashes(usize::try_from(size % GROUP_LEAVES).ok()?)?;
            let seed = if partial.is_empty() { None } else { Some(Seed(rest.array()?)) };
            let tenants = decode_tenants(&mut rest)?;
            let groups = Frontier::from_peaks(complete, peaks).ok()?;
            state.logs.push(LogState { log, groups, partial, seed, tenants });
        }
        state.producers = decode_producers(&mut rest)?;
        rest.0.is_empty().then_some(state)
    }
}

/// The bytes of a file, with their digest behind them.
pub(super) fn finished(mut out: Vec<u8>) -> Vec<u8> {
    let digest = sha256(&out);
    out.extend_from_slice(&digest.0);
    out
}

pub(super) fn encode_tenants(tenants: &ByName<u64>, out: &mut Vec<u8>) {
    put_count(out, tenants.iter().count());
    for (name, next) in tenants.iter() {
        put_text(out, name);
        out.extend_from_slice(&next.to_le_bytes());
    }
}

pub(super) fn decode_tenants(rest: &mut Bytes<'_>) -> Option<ByName<u64>> {
    let mut tenants = ByName::default();
    for _ in 0..rest.u32()? {
        let name = rest.text()?;
        *tenants.entry(name) = rest.u64()?;
    }
    Some(tenants)
}

pub(super) fn encode_producers(producers: &Producers, out: &mut Vec<u8>) {
    put_count(out, producers.iter().count());
    for (id, epoch, intervals) in producers.iter() {
        put_text(out, id);
        out.extend_from_slice(&epoch.to_le_bytes());
        put_count(out, intervals.as_slice().len());
        for (first, last) in intervals.as_slice() {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
        }
    }
}

pub(super) fn decode_producers(rest: &mut Bytes<'_>) -> Option<Producers> {
    let mut producers = Producers::default();
    for _ in 0..rest.u32()? {
        let (id, epoch, count) = (rest.text()?, rest.u64()?, rest.u32()?);
        let mut intervals = Vec::new();
        for _ in 0..count {
            intervals.push((rest.u64()?, rest.u64()?));
        }
        producers.restore(id, epoch, Intervals::from_sorted(intervals)?);
    }
    Some(producers)
}

pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Takes values from the front.
pub(super) struct Bytes<'b>(pub(super) &'b [u8]);

impl<'b> Bytes<'b> {
    /// What is between the magic of a file and its digest; `None`: they are not those.
    pub(super) fn of(bytes: &'b [u8], magic: &[u8; 8]) -> Option<Self> {
        let (body, digest) = bytes.split_last_chunk::<32>()?;
        let rest = body.strip_prefix(magic)?;
        (sha256(body).0 == *digest).then_some(Self(rest))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    pub(super) fn hashes(&mut self, count: usize) -> Option<Vec<Hash>> {
        let (hashes, rest) = self.0.split_at_checked(count.checked_mul(32)?)?;
        self.0 = rest;
        Some(hashes.chunks_exact(32).filter_map(Hash::from_slice).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::producers::Arrival;

    fn example() -> State {
        let mut state = State::default();
        for (log, size) in [(0, 3u64), (1, 256 * 5 + 17), (7, 512)] {
            let known = state.log(log);
            for nth in 0..size / 256 {
                known.groups.push_subtree(8, Hash([u8::try_from(nth).unwrap(); 32])).unwrap();
            }
            known.partial = (0..size % 256).map(|nth| Hash([u8::try_from(nth).unwrap(); 32])).collect();
            known.seed = (!known.partial.is_empty()).then_some(Seed([9; 32]));
            *known.tenants.entry("acme") = 7;
            *known.tenants.entry("") = 1;
        }
        for seq in [0, 1, 2, 5, 9] {
            assert_eq!(state.producers.arrive("p", 3, seq), Arrival::New);
        }
        assert_eq!(state.producers.arrive("p", 4, 0), Arrival::New);
        state
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let bytes = example().encode();
        let mut found = State::decode(&bytes).unwrap();
        assert_eq!(found.encode(), bytes);
        assert_eq!(found.size(1), 256 * 5 + 17);
        assert_eq!(found.log(1).head(), example().log(1).head());
        assert_eq!(found.producers.arrive("p", 3, 5), Arrival::Repeated);
        assert_eq!(found.producers.arrive("p", 3, 3), Arrival::New);
        assert_eq!(found.producers.latest_epoch("p"), Some(4));
        let tips = found.tips();
        assert_eq!(tips.iter().map(|tip| (tip.log, tip.next_seq)).collect::<Vec<_>>(), [(0, 3), (1, 1297), (7, 512)]);
    }

    #[test]
    fn any_other_bytes_are_refused() {
        let bytes = example().encode();
        for cut in 0..bytes.len() {
            assert!(State::decode(&bytes[..cut]).is_none());
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(State::decode(&bad).is_none(), "{at}");
        }
        // A digest that fits does not make it a state.
        let mut body = bytes[..bytes.len() - 32].to_vec();
        body.push(0);
        body.extend_from_slice(&sha256(&body).0);
        assert!(State::decode(&body).is_none());
    }
}
