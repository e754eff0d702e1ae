//! Clocks and random numbers that are the same in every attempt (`deterministic`).

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::TryRng;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// When every attempt begins: 2025-01-01T00:00:00Z.
const START: Duration = Duration::from_secs(1_735_689_600);
/// How far each reading advances a clock: code that polls for a time must see it come.
const STEP: Duration = Duration::from_millis(1);

/// Sets clocks that advance when they are read, and random numbers that depend on `seed` only.
pub(super) fn make_deterministic(wasi: &mut WasiCtxBuilder, seed: u64) {
    let readings = Arc::new(AtomicU64::new(0));
    wasi.wall_clock(Clock(Arc::clone(&readings))).monotonic_clock(Clock(readings));
    let mut seeds = SplitMix(seed);
    let insecure_seed = u128::from(seeds.next()) << 64 | u128::from(seeds.next());
    wasi.secure_random(SplitMix(seeds.next())).insecure_random(SplitMix(seeds.next()));
    wasi.insecure_random_seed(insecure_seed);
}

/// Counts how often it, or the clock that shares its count, was read.
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn elapsed(&self) -> Duration {
        let readings = self.0.fetch_add(1, Ordering::Relaxed);
        STEP * u32::try_from(readings).unwrap_or(u32::MAX)
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        STEP
    }

    fn now(&self) -> Duration {
        START + self.elapsed()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        STEP.as_nanos() as u64
    }

    fn now(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// SplitMix64: the same numbers in every version of this host. Not for secrets.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl TryRng for SplitMix {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_in_every_version() {
        // The reference's numbers for the seed 0.
        let mut numbers = SplitMix(0);
        assert_eq!([numbers.next(), numbers.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        let mut bytes = [0; 11];
        SplitMix(0).try_fill_bytes(&mut bytes).unwrap();
        assert_eq!(bytes[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
        assert_eq!(bytes[8..], 0x6e78_9e6a_a1b9_65f4_u64.to_le_bytes()[..3]);
    }

    #[test]
    fn both_clocks_advance_when_read() {
        let readings = Arc::new(AtomicU64::new(0));
        let (wall, monotonic) = (Clock(Arc::clone(&readings)), Clock(readings));
        assert_eq!(HostWallClock::now(&wall), START);
        assert_eq!(HostMonotonicClock::now(&monotonic), 1_000_000);
        assert_eq!(HostWallClock::now(&wall), START + 2 * STEP);
    }
}
