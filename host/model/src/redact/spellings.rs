//! The forms in which a secret may stand in a text.

use std::{collections::BTreeSet, fmt::Write as _};

use super::SHORTEST_SECRET;

/// A secret of a file that is longer is looked for line by line only.
const LONGEST: usize = 4 << 10;
/// So many characters in a row of a token give it away; tokens of twice as many are recognised by them.
pub(super) const FRAGMENT: usize = 12;
/// Tokens up to this length are found whole where a line break goes through them.
const WRAPPED: usize = 512;

/// All that a secret is looked for by.
pub(super) fn patterns_of(secret: &str, patterns: &mut BTreeSet<Vec<u8>>) {
    if secret.len() <= LONGEST {
        spellings(secret, patterns);
        encodings(secret, patterns);
    }
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_SECRET && line.len() <= LONGEST);
    for line in lines {
        spellings(line, patterns);
        encodings(line, patterns);
        if line.len() <= WRAPPED && !line.contains(char::is_whitespace) {
            for (at, _) in line.char_indices().skip(1) {
                let (head, tail) = line.split_at(at);
                patterns.extend(["\n", "\r\n", "\\n"].map(|end| format!("{head}{end}{tail}").into_bytes()));
            }
        }
        let is_token = line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_.-".contains(&byte));
        // The host has the names of hosts in lower case, however they were written: a secret can be a part of one.
        let lower = line.to_ascii_lowercase().into_bytes();
        if is_token && line.len() >= 2 * FRAGMENT {
            patterns.extend(lower.windows(FRAGMENT).map(<[u8]>::to_vec));
        }
        patterns.insert(lower);
        if is_token && line.len() >= 2 * FRAGMENT {
            for at in 0..=line.len() - FRAGMENT {
                spellings(&line[at..at + FRAGMENT], patterns);
                encodings(&line[at..at + FRAGMENT], patterns);
            }
        }
    }
}

/// `text`, and what JSON writers make of it.
fn spellings(text: &str, patterns: &mut BTreeSet<Vec<u8>>) {
    patterns.insert(text.as_bytes().to_vec());
    let mut once = BTreeSet::new();
    for slash in [false, true] {
        for control in Hex::ALL {
            for markup in Hex::ALL {
                for foreign in Hex::ALL {
                    once.insert(escaped(text, &Writer { slash, control, markup, foreign, all: Hex::No }));
                }
            }
        }
    }
    for all in [Hex::Lower, Hex::Upper] {
        once.insert(escaped(text, &Writer { all, ..Writer::default() }));
    }
    for spelling in once {
        patterns.insert(escaped(&spelling, &Writer::default()).into_bytes());
        patterns.insert(escaped(&spelling, &Writer { slash: true, ..Writer::default() }).into_bytes());
        patterns.insert(spelling.into_bytes());
    }
}

/// `text` as a URL and as base64 have it, the latter with whatever stands before and after it.
fn encodings(text: &str, patterns: &mut BTreeSet<Vec<u8>>) {
    for kept in ["-_.~", "-_.~/", "-_.!~*'()"] {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte);
        let (mut upper, mut lower) = (String::new(), String::new());
        for byte in text.bytes() {
            // Writing to a string does not fail.
            let _ = match plain(byte) {
                true => write!(upper, "{}", char::from(byte)).and(write!(lower, "{}", char::from(byte))),
                false => write!(upper, "%{byte:02X}").and(write!(lower, "%{byte:02x}")),
            };
        }
        patterns.extend([upper.into_bytes(), lower.into_bytes()]);
    }
    for before in 0..3 {
        let standard = base64_within(text.as_bytes(), before);
        let of_urls = standard.iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        patterns.insert(of_urls.collect());
        patterns.insert(standard);
    }
}

/// The characters of base64 that say nothing but `bytes`, where so many other bytes stand `before` them.
fn base64_within(bytes: &[u8], before: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| usize::from(bytes[at / 8 - before] >> (7 - at % 8) & 1);
    let (first, end) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
    (first..end).map(|place| ALPHABET[(place * 6..place * 6 + 6).fold(0, |value, at| value << 1 | bit(at))]).collect()
}

/// Whether a character is written as `\u00e9`, `\u00E9` or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hex {
    #[default]
    No,
    Lower,
    Upper,
}

impl Hex {
    pub(super) const ALL: [Self; 3] = [Self::No, Self::Lower, Self::Upper];

    fn write(self, character: char, to: &mut String) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = match self {
                Self::Upper => write!(to, "\\u{unit:04X}"),
                Self::Lower | Self::No => write!(to, "\\u{unit:04x}"),
            };
        }
    }
}

/// The habits of a JSON writer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writer {
    /// `\/`
    pub(super) slash: bool,
    /// What has a short form otherwise: `"`, `\` and some control characters.
    pub(super) control: Hex,
    /// `<`, `>`, `&`, `'` and `=`, for what is put into HTML.
    pub(super) markup: Hex,
    /// What is not ASCII, and control characters without a short form.
    pub(super) foreign: Hex,
    /// Everything.
    pub(super) all: Hex,
}

pub(super) fn escaped(text: &str, writer: &Writer) -> String {
    let mut to = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        let short = match character {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            _ => None,
        };
        match (character, short) {
            _ if writer.all != Hex::No => writer.all.write(character, &mut to),
            (_, Some(short)) if writer.control == Hex::No => to.push_str(short),
            (_, Some(_)) => writer.control.write(character, &mut to),
            ('\0'..'\u{20}', _) => writer.foreign.write(character, &mut to),
            ('/', _) if writer.slash => to.push_str("\\/"),
            ('<' | '>' | '&' | '\'' | '=', _) if writer.markup != Hex::No => writer.markup.write(character, &mut to),
            ('\u{7f}'.., _) if writer.foreign != Hex::No => writer.foreign.write(character, &mut to),
            _ => to.push(character),
        }
    }
    to
}
