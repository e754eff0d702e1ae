//! Names of lanes and scenarios as names of folders.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use host_model::FIXTURES_FOLDER;

/// Longest folder name, in bytes. All of it is ASCII.
const MAX_NAME_BYTES: usize = 120;
/// Hexadecimal digits that stand for the rest of a longer name: 128 bits.
const DIGEST_DIGITS: usize = 32;

/// Maps a name to one path component, different names to different components.
///
/// - ASCII letters, digits, `-`, `_` and `.` stay, but neither `-` nor `.` as the first character;
/// - `::` becomes `+`;
/// - any other byte becomes `%` and two hexadecimal digits;
/// - the empty name becomes `%`;
/// - what is then longer than 120 bytes is cut, and ends in `~` and the beginning of the name's SHA-256.
///
/// `+`, `%` and `~` are made by these rules alone, so each step can be undone (the last one but for a collision of
/// SHA-256). On a file system that ignores case, names that differ in case alone do share a folder.
pub(super) fn folder_name(name: &str) -> String {
    if name.is_empty() {
        return "%".into();
    }
    let mut folder = String::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if rest.starts_with(b"::") {
            folder.push('+');
            rest = &rest[2..];
            continue;
        }
        if byte.is_ascii_alphanumeric() || byte == b'_' || (matches!(byte, b'-' | b'.') && !folder.is_empty()) {
            folder.push(char::from(byte));
        } else {
            push_escaped(&mut folder, byte);
        }
        rest = after;
    }
    bounded(folder, name)
}

/// As [`folder_name`], for a folder next to the other files of a run: a name such as `events.jsonl` or
/// `fixtures` must not take the place of one of them.
pub(super) fn lane_folder_name(lane: &str) -> String {
    if let Some((first, rest)) = lane.split_at_checked(1).filter(|_| lane.eq_ignore_ascii_case(FIXTURES_FOLDER)) {
        return format!("%{:02X}{rest}", first.as_bytes()[0]);
    }
    const EXTENSIONS: [&str; 5] = ["jsonl", "json", "xml", "html", "md"];
    let folder = folder_name(lane);
    match folder.rsplit_once('.') {
        Some((stem, extension)) if EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)) => {
            bounded(format!("{stem}%2E{extension}"), lane)
        }
        _ => folder,
    }
}

fn push_escaped(folder: &mut String, byte: u8) {
    let _ = write!(folder, "%{byte:02X}");
}

fn bounded(mut folder: String, name: &str) -> String {
    if folder.len() <= MAX_NAME_BYTES {
        return folder;
    }
    folder.truncate(MAX_NAME_BYTES - DIGEST_DIGITS - 1);
    folder.push('~');
    for byte in &Sha256::digest(name.as_bytes())[..DIGEST_DIGITS / 2] {
        let _ = write!(folder, "{byte:02x}");
    }
    folder
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_names_stay_readable() {
        let usual = ["gate", "merge-hook", "gpt-5.1_x", "demo::gate", "a:::b"].map(folder_name);
        assert_eq!(usual, ["gate", "merge-hook", "gpt-5.1_x", "demo+gate", "a+%3Ab"]);
    }

    #[test]
    fn dangerous_names_are_escaped() {
        let spelled = ["", ".", "..", "../x", "-rf", "a/b", "a\nb", "a\0b", "é", "+", "%2E", "~"].map(folder_name);
        let expected =
            ["%", "%2E", "%2E.", "%2E.%2Fx", "%2Drf", "a%2Fb", "a%0Ab", "a%00b", "%C3%A9", "%2B", "%252E", "%7E"];
        assert_eq!(spelled, expected);
    }

    #[test]
    fn long_names_are_cut_and_stay_unique() {
        let (one, two) = (folder_name(&format!("{}1", "x".repeat(500))), folder_name(&format!("{}2", "x".repeat(500))));
        assert_eq!((one.len(), two.len()), (MAX_NAME_BYTES, MAX_NAME_BYTES));
        assert_ne!(one, two);
        assert_eq!(folder_name(&"x".repeat(120)), "x".repeat(120));
    }

    #[test]
    fn lane_directories_never_collide_with_run_files() {
        let lanes = ["events.jsonl", "junit.xml", "gpt-5.1", "x.JSON", "fixtures", "Fixtures"].map(lane_folder_name);
        assert_eq!(lanes, ["events%2Ejsonl", "junit%2Exml", "gpt-5.1", "x%2EJSON", "%66ixtures", "%46ixtures"]);
        let long = format!("{}.xml", "x".repeat(116));
        assert_eq!(lane_folder_name(&long).len(), MAX_NAME_BYTES);
        assert!(!lane_folder_name(&long).ends_with(".xml"));
    }

    /// Undoes the mapping of a name that was not cut.
    fn undo(folder: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = folder.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'+' => bytes.extend(b"::"),
                b'%' if after.is_empty() => {}
                b'%' => {
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
                    rest = &after[2..];
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn every_name_is_one_safe_component(name in any::<String>(), dotted in "[.:/%+~a-]{0,200}") {
            for name in [name.as_str(), dotted.as_str()] {
                for folder in [folder_name(name), lane_folder_name(name)] {
                    prop_assert!(folder.is_ascii() && !folder.is_empty() && folder.len() <= MAX_NAME_BYTES);
                    let components: Vec<_> = Path::new(&folder).components().collect();
                    prop_assert!(matches!(components.as_slice(), [Component::Normal(_)]), "{}", folder);
                    if !folder.contains('~') {
                        prop_assert_eq!(undo(&folder), name);
                    }
                }
            }
        }

        #[test]
        fn different_names_have_different_folders(a in "[.:/%+~a-]{0,150}", b in "[.:/%+~a-]{0,150}") {
            prop_assert_eq!(a == b, folder_name(&a) == folder_name(&b));
            prop_assert_eq!(a == b, lane_folder_name(&a) == lane_folder_name(&b));
        }
    }
}
