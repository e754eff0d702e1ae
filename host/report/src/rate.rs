//! Describes a pass rate.

use host_model::PassRate;

/// `8/10 passed, 80 % (49–94 %)`, and how many repetitions say nothing.
pub(super) fn describe(rate: &PassRate) -> String {
    let PassRate { passed, judged, repetitions, interval, .. } = rate;
    let unjudged = repetitions.saturating_sub(*judged);
    let aside = if unjudged > 0 { format!("; {unjudged} of {repetitions} not judged") } else { String::new() };
    let Some((low, high)) = interval.filter(|_| *judged > 0) else {
        return format!("none of {repetitions} judged");
    };
    let share = percent(f64::from(*passed) / f64::from(*judged));
    format!("{passed}/{judged} passed, {share} % ({}–{} %){aside}", percent(low), percent(high))
}

/// A whole number; 0 and 100 only for what is exactly that.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
fn percent(share: f64) -> u32 {
    let rounded = (share.clamp(0.0, 1.0) * 100.0).round() as u32;
    match rounded {
        0 if share > 0.0 => 1,
        100 if share < 1.0 => 99,
        rounded => rounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::trial;

    fn shown(passed: u32, judged: u32, repetitions: u32, interval: Option<(f64, f64)>) -> String {
        describe(&PassRate { id: trial("l", "gate"), passed, judged, repetitions, interval })
    }

    #[test]
    fn a_rate_shows_its_interval_and_unjudged_repetitions() {
        assert_eq!(shown(8, 10, 10, Some((0.490_162, 0.943_318))), "8/10 passed, 80 % (49–94 %)");
        assert_eq!(shown(7, 8, 10, Some((0.529, 0.978))), "7/8 passed, 88 % (53–98 %); 2 of 10 not judged");
        assert_eq!(shown(0, 0, 3, None), "none of 3 judged");
    }

    #[test]
    fn only_certainty_is_rounded_to_all_or_nothing() {
        assert_eq!(shown(999, 1000, 1000, Some((0.994, 0.999_8))), "999/1000 passed, 99 % (99–99 %)");
        assert_eq!(shown(1, 1000, 1000, Some((0.000_2, 0.006))), "1/1000 passed, 1 % (1–1 %)");
        assert_eq!(shown(0, 10, 10, Some((0.0, 0.277_5))), "0/10 passed, 0 % (0–28 %)");
        assert_eq!(shown(10, 10, 10, Some((0.722_5, 1.0))), "10/10 passed, 100 % (72–100 %)");
    }
}
