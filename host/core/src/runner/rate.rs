//! How certain a success rate of a few repetitions is.

/// The standard normal deviate of 95 % confidence, two-sided.
const Z: f64 = 1.959_963_984_540_054;

/// The bounds of a success rate by Wilson's score (1927) with 95 % confidence, both between 0 and 1; `None` for no
/// trial at all. Unlike the usual approximation it stays within bounds and says something for few trials, and for
/// rates of 0 and 1.
#[must_use]
pub(super) fn wilson(passed: u32, judged: u32) -> Option<(f64, f64)> {
    if judged == 0 {
        return None;
    }
    let n = f64::from(judged);
    let rate = f64::from(passed) / n;
    let z2 = Z * Z;
    let center = rate + z2 / (2.0 * n);
    let spread = Z * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    let bound = |value: f64| (value / (1.0 + z2 / n)).clamp(0.0, 1.0);
    // Exact at the ends, where rounding would leave a trace of the other terms.
    let low = if passed == 0 { 0.0 } else { bound(center - spread) };
    let high = if passed == judged { 1.0 } else { bound(center + spread) };
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values_come_out() {
        // 81 of 263 is an example of Newcombe (1998); the others are the formula's, by another program.
        for (passed, judged, low, high) in [
            (0, 10, 0.0, 0.277_533),
            (5, 10, 0.236_593, 0.763_407),
            (10, 10, 0.722_467, 1.0),
            (81, 263, 0.255_289, 0.366_198),
        ] {
            let (a, b) = wilson(passed, judged).unwrap();
            assert!((a - low).abs() < 1e-4 && (b - high).abs() < 1e-4, "{passed}/{judged}: {a} {b}");
        }
        assert_eq!(wilson(0, 0), None);
        for judged in 1..100 {
            assert_eq!((wilson(0, judged).unwrap().0, wilson(judged, judged).unwrap().1), (0.0, 1.0), "{judged}");
        }
    }

    proptest! {
        #[test]
        fn the_rate_is_within_its_interval(judged in 1_u32..10_000, share in 0.0_f64..=1.0) {
            let passed = (f64::from(judged) * share) as u32;
            let rate = f64::from(passed) / f64::from(judged);
            let (low, high) = wilson(passed, judged).unwrap();
            prop_assert!(0.0 <= low && low <= rate + 1e-12 && rate - 1e-12 <= high && high <= 1.0);
        }
    }
}
