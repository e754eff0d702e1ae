//! Numbers as people read them.

/// `2.31s`, `9m 32s`, `1h 02m`.
pub(super) fn duration(ms: u64) -> String {
    let hundredths = ms.saturating_add(5) / 10;
    let seconds = ms.saturating_add(500) / 1000;
    match () {
        () if hundredths < 6000 => format!("{}.{:02}s", hundredths / 100, hundredths % 100),
        () if seconds < 3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        () => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `$1.23`, and more places for what would be lost in cents.
pub(super) fn dollars(micro: u64) -> String {
    let (whole, rest) = (micro / 1_000_000, micro % 1_000_000);
    if whole == 0 && rest % 10_000 != 0 {
        format!("$0.{:04}", rest / 100)
    } else {
        format!("${}.{:02}", grouped(whole), rest / 10_000)
    }
}

/// `1 trial`, `2 trials`.
pub(super) fn count(number: usize, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

/// `whole` divided by `part`; `None` if `part` is zero.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^52")]
pub(super) fn ratio(whole: u64, part: u64) -> Option<f64> {
    (part > 0).then(|| whole as f64 / part as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_precision_that_matters() {
        let shown: Vec<_> = [0, 4, 5, 2314, 59_994, 59_996, 572_000, 3_599_600, 3_720_000].map(duration).into();
        assert_eq!(shown, ["0.00s", "0.00s", "0.01s", "2.31s", "59.99s", "1m 00s", "9m 32s", "1h 00m", "1h 02m"]);
        assert!(duration(u64::MAX).ends_with('m'));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((count(1, "trial"), count(1000, "trial")), ("1 trial".into(), "1,000 trials".into()));
    }

    #[test]
    fn small_costs_do_not_vanish() {
        assert_eq!([0, 1200, 120_000, 1_234_500].map(dollars), ["$0.00", "$0.0012", "$0.12", "$1.23"]);
    }
}
