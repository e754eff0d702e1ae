//! Versions as agents write them: of three numbers and by the calendar, with and without prefixes.

use semver::{BuildMetadata, Prerelease, Version, VersionReq};

/// The first number of a version by the calendar is a year.
const YEARS: std::ops::RangeInclusive<u64> = 1980..=9999;

/// A version, and how its program writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenVersion {
    /// Without prefix, leading zeros and a fourth number: what requirements are compared with.
    pub version: Version,
    /// As it stands there, without a prefix.
    pub written: String,
}

/// The version in what a program says of itself: `2.1.330 (Claude Code)`, `codex-cli 0.169.0`, `v1.2.3`, `name/1.2`,
/// `2025.09.18-7ae6800`. A version of three and more numbers comes before one of two, and that before one such as `v2`.
#[must_use]
pub fn version_in(text: &str) -> Option<WrittenVersion> {
    let plain = without_sequences(text);
    let separates = |c: char| c.is_whitespace() || c.is_control() || "()[]{}<>,;:=\"'`/@|\u{feff}".contains(c);
    // An address is not a version.
    let words = plain.split_whitespace().filter(|word| !word.contains("://"));
    let found: Vec<(usize, WrittenVersion)> =
        words.flat_map(|word| word.split(separates)).filter_map(version).collect();
    let most = found.iter().map(|(numbers, _)| (*numbers).min(3)).max()?;
    found.into_iter().find(|(numbers, _)| (*numbers).min(3) == most).map(|(_, version)| version)
}

/// A requirement as cargo writes them, whose versions may have leading zeros and the prefix `v`.
///
/// # Errors
/// The problem.
pub fn version_requirement(text: &str) -> Result<VersionReq, semver::Error> {
    let parts: Vec<String> = text.split(',').map(requirement_part).collect();
    VersionReq::parse(&parts.join(","))
}

fn requirement_part(part: &str) -> String {
    let begin = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
    let (operator, version) = part.split_at(begin);
    let operator = operator.trim();
    let operator = operator.strip_suffix(['v', 'V']).unwrap_or(operator);
    let end = version.find(['-', '+']).unwrap_or(version.len());
    let (numbers, rest) = version.split_at(end);
    let mut numbers: Vec<&str> = numbers.trim_end().split('.').map(without_zeros).collect();
    // What comes after the third number is compared with nothing.
    if numbers.iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        numbers.truncate(3);
    }
    format!("{operator}{}{rest}", numbers.join("."))
}

fn without_zeros(number: &str) -> &str {
    match number.trim_start_matches('0') {
        rest if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ if number.len() > 1 && number.bytes().all(|byte| byte == b'0') => "0",
        _ => number,
    }
}

/// The version in a word, with how many numbers it has.
fn version(word: &str) -> Option<(usize, WrittenVersion)> {
    let word = word.trim_end_matches(['.', '!', '?']);
    // A name may come before it: `tool2-1.2.3`.
    let starts = std::iter::once(0).chain(word.match_indices(['-', '_']).map(|(at, _)| at + 1));
    let all: Vec<_> = starts.filter_map(|start| version_at(&word[start..])).collect();
    all.iter().find(|(numbers, _)| *numbers > 1).or(all.first()).cloned()
}

/// The version that `text` begins with, after letters such as `v` or `go`. One number is a version after a `v` only.
fn version_at(text: &str) -> Option<(usize, WrittenVersion)> {
    let (prefix, written) = text.split_at(text.find(|c: char| c.is_ascii_digit())?);
    let end = written.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(written.len());
    let (numbers, rest) = written.split_at(end);
    let several = |numbers: &&str| numbers.matches('.').count() >= 2;
    let numbers = numbers.strip_suffix('.').filter(several).unwrap_or(numbers);
    let numbers: Vec<u64> = numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let is_prefix = if numbers.len() > 1 {
        prefix.bytes().all(|byte| byte.is_ascii_alphabetic())
    } else {
        prefix.eq_ignore_ascii_case("v")
    };
    if !is_prefix {
        return None;
    }
    let number = |place: usize| numbers.get(place).copied().unwrap_or(0);
    let mut version = Version::new(number(0), number(1), number(2));
    (version.pre, version.build) = suffix(rest, YEARS.contains(&number(0)))?;
    Some((numbers.len(), WrittenVersion { version, written: written.to_owned() }))
}

/// What follows the numbers: a pre-release, or metadata of a build. Behind a date it is never a pre-release: builds are
/// told apart so (`2025.09.18-7ae6800`).
fn suffix(rest: &str, by_calendar: bool) -> Option<(Prerelease, BuildMetadata)> {
    let build = |text: &str| BuildMetadata::new(text).ok();
    let (pre, metadata) = rest.split_once('+').unwrap_or((rest, ""));
    let metadata = build(metadata).unwrap_or(BuildMetadata::EMPTY);
    let Some(pre) = pre.strip_prefix('-') else {
        // As Python writes them: `1.2.3rc1`, `1.2.3.dev4`, `1.2.3b2`.
        let pre = pre.trim_start_matches('.');
        let is_plain = pre.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        return is_plain.then(|| (Prerelease::new(pre).unwrap_or(Prerelease::EMPTY), metadata));
    };
    if by_calendar {
        return Some((Prerelease::EMPTY, build(pre).unwrap_or(metadata)));
    }
    match Prerelease::new(pre) {
        Ok(pre) => Some((pre, metadata)),
        // A number with leading zeros.
        Err(_) => Some((Prerelease::EMPTY, build(pre)?)),
    }
}

/// Without the escape sequences of a terminal.
fn without_sequences(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, sequence)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = match sequence.strip_prefix('[') {
            Some(control) => {
                control.trim_start_matches(|c: char| !('@'..='~').contains(&c)).get(1..).unwrap_or_default()
            }
            None => sequence,
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_output_of_agents() {
        for (answer, version, written) in [
            ("2.1.330 (Claude Code)\n", "2.1.330", "2.1.330"),
            ("codex-cli 0.169.0\n", "0.169.0", "0.169.0"),
            ("WARNING: x\nit v1.2.3-beta.1, built 2026\n", "1.2.3-beta.1", "1.2.3-beta.1"),
            ("2025.09.18\n", "2025.9.18", "2025.09.18"),
            ("2025.09.18-7ae6800", "2025.9.18+7ae6800", "2025.09.18-7ae6800"),
            ("agent 2025.09.18-0012345", "2025.9.18+0012345", "2025.09.18-0012345"),
            ("1.02.003", "1.2.3", "1.02.003"),
            ("1.2", "1.2.0", "1.2"),
            ("codex-cli 0.1", "0.1.0", "0.1"),
            ("needs node 18.1, is 1.2.3", "1.2.3", "1.2.3"),
            ("name/1.2.3 linux-x64 node-v22.1.0", "1.2.3", "1.2.3"),
            ("@scope/name@1.2.3", "1.2.3", "1.2.3"),
            ("name-v1.2.3", "1.2.3", "1.2.3"),
            ("tool2-1.2.3", "1.2.3", "1.2.3"),
            ("go1.22.3", "1.22.3", "1.22.3"),
            ("Version: 1.2.3+abc.7", "1.2.3+abc.7", "1.2.3+abc.7"),
            ("version=1.2.3.4;", "1.2.3", "1.2.3.4"),
            ("1.2.3-01", "1.2.3+01", "1.2.3-01"),
            ("tool, version 1.2.3rc1.", "1.2.3-rc1", "1.2.3rc1"),
            ("\u{feff}\u{1b}[1mname\u{1b}[0m \u{1b}[32m1.2.3\u{1b}[0m\r\n", "1.2.3", "1.2.3"),
            ("see https://x.invalid/9.9.9 for v3", "3.0.0", "3"),
        ] {
            let found = version_in(answer).unwrap_or_else(|| panic!("{answer:?}"));
            assert_eq!((found.version.to_string().as_str(), found.written.as_str()), (version, written), "{answer:?}");
        }
        for none in ["", "hello", "built 2026", "error 17", "1.2.x-y_z.", "99999999999999999999.1.1"] {
            assert_eq!(version_in(none), None, "{none:?}");
        }
    }

    #[test]
    fn requirements_are_compared_by_numbers() {
        for (requirement, version, meets) in [
            (">=2025.09.18", "2025.09.18", true),
            (">=2025.09.18", "2025.10.01-7ae6800", true),
            (">=2025.09.18", "2025.09.17", false),
            (">=2025.9", "2025.09.18-7ae6800", true),
            ("=2025.09.18", "2025.09.18-0012345", true),
            (">= v1.02, <v2", "1.10.0", true),
            ("v1.2.3", "v1.2.3", true),
            (">=1.2.3.4", "1.2.3.9", true),
            ("~0.1", "codex-cli 0.1", true),
            ("~0.1", "0.2", false),
            ("*", "0.1", true),
            ("1.0.*", "1.0.7", true),
            ("1.00.*", "1.1.7", false),
            (">=1.2", "1.3.0-beta.1", false),
            (">=1.3.0-beta", "1.3.0-beta.1", true),
        ] {
            let version = version_in(version).unwrap().version;
            assert_eq!(version_requirement(requirement).unwrap().matches(&version), meets, "{requirement} {version}");
        }
        for wrong in ["two", ">=", "1.x.2", "=>1"] {
            assert!(version_requirement(wrong).is_err(), "{wrong}");
        }
    }
}
