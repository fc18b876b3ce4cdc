//! The delays of the session, spread so that a million devices don't come back in one second
//! (`docs/contract/session.md`, "Delays").

use crate::clock::ms;
use crate::options::Options;

/// SplitMix64, seeded from the host's entropy.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// The seed is the last 8 bytes, big-endian.
    pub fn new(entropy: &[u8; 16]) -> Self {
        Self(u128::from_be_bytes(*entropy) as u64)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z.wrapping_shr(30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z.wrapping_shr(27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z.wrapping_shr(31)
    }

    /// An integer from 0 to `most`.
    pub fn up_to(&mut self, most: i64) -> i64 {
        let span = u128::from(most.max(0).unsigned_abs()).saturating_add(1);
        u128::from(self.next()).wrapping_mul(span).wrapping_shr(64) as i64
    }

    /// A wait, up to a tenth shorter.
    pub fn shorter(&mut self, wait: i64) -> i64 {
        wait.saturating_sub(self.up_to(wait.checked_div(10).unwrap_or(0)))
    }

    /// The wait before the retry after so many failures in a row, from 1.
    pub fn backoff(&mut self, failures: u32, options: &Options) -> i64 {
        let doublings = failures.saturating_sub(1).min(40);
        let wait = ms(options.backoff_base_ms)
            .saturating_mul(1_i64.wrapping_shl(doublings))
            .min(ms(options.backoff_max_ms));
        wait.saturating_sub(self.up_to(wait.checked_div(2).unwrap_or(0)))
    }

    /// The wait before the retry after a failure for which the server may have asked for one.
    pub fn retry(&mut self, failures: u32, retry_after_ms: Option<i64>, options: &Options) -> i64 {
        let backoff = self.backoff(failures, options);
        match retry_after_ms {
            None => backoff,
            Some(asked) => {
                let asked = asked.min(ms(options.retry_after_max_ms));
                // Later, never earlier than asked.
                let asked = asked.saturating_add(self.up_to(asked.checked_div(10).unwrap_or(0)));
                asked.max(backoff)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of SplitMix64 from the seed 1234567, as its author's C code prints them.
    #[test]
    fn published_values() {
        let mut entropy = [0; 16];
        entropy[8..].copy_from_slice(&1_234_567_u64.to_be_bytes());
        let mut jitter = Jitter::new(&entropy);
        let first: Vec<u64> = (0..3).map(|_| jitter.next()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn waits_stay_within_their_limits() {
        let options = Options::default();
        let mut jitter = Jitter::new(&[7; 16]);
        for failures in 1..200 {
            let whole = 1_000_i64.saturating_mul(1 << (failures - 1).min(30)).min(60_000);
            let wait = jitter.backoff(failures, &options);
            assert!(wait >= whole / 2 && wait <= whole, "{failures}: {wait}");
            assert!((54_000..=60_000).contains(&jitter.shorter(60_000)));
            assert!((0..=3).contains(&jitter.up_to(3)));
        }
        assert_eq!(jitter.up_to(0), 0);
        let asked = jitter.retry(1, Some(10_000_000), &options);
        assert!(
            (300_000..=330_000).contains(&asked),
            "bounded, and not earlier than that: {asked}"
        );
    }
}
