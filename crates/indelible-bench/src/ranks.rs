//! Drawing one of many, the frequent ones more often.

/// Draws numbers, each as often as its weight says, by Walker's alias method: one word, one place in memory.
pub(crate) struct Ranks {
    /// Below the first number of 2^32 the place stands for itself, above for the second.
    places: Vec<(u32, u32)>,
}

impl Ranks {
    /// Weights 1, 2^-s, 3^-s…
    pub(crate) fn zipf(count: u32, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect();
        Self::new(&weights)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares below one, and counts below 2^32")]
    pub(crate) fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut places: Vec<(u32, u32)> = (0..weights.len()).map(|nth| (u32::MAX, nth as u32)).collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) = (0..shares.len()).partition(|nth| share(&shares, *nth) < 1.0);
        while let (Some(taker), Some(giver)) = (poor.pop(), rich.last().copied()) {
            let part = share(&shares, taker);
            if let (Some(place), Some(left)) = (places.get_mut(taker), shares.get_mut(giver)) {
                *place = ((part * 4_294_967_296.0) as u32, giver as u32);
                *left -= 1.0 - part;
                if *left < 1.0 {
                    rich.pop();
                    poor.push(giver);
                }
            }
        }
        Self { places }
    }

    #[inline]
    pub(crate) fn draw(&self, word: u64) -> usize {
        let nth = usize::try_from(((word >> 32) * self.places.len() as u64) >> 32).unwrap_or(usize::MAX);
        let (threshold, other) = self.places.get(nth).copied().unwrap_or_default();
        if word & 0xffff_ffff < u64::from(threshold) { nth } else { usize::try_from(other).unwrap_or(usize::MAX) }
    }
}

fn share(shares: &[f64], nth: usize) -> f64 {
    shares.get(nth).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn every_rank_comes_as_often_as_its_weight() {
        let ranks = Ranks::new(&[5.0, 3.0, 1.0, 1.0]);
        let mut rng = Rng::with_seed(3);
        let mut counts = [0u32; 4];
        (0..100_000).for_each(|_| counts[ranks.draw(rng.u64(..))] += 1);
        for (count, wanted) in counts.iter().zip([50_000.0, 30_000.0, 10_000.0, 10_000.0]) {
            assert!((f64::from(*count) - wanted).abs() < 700.0, "{counts:?}");
        }
    }
}
