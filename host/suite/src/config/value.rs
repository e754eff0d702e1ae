//! Values with units, as people write them.

use std::{fmt, marker::PhantomData, ops::Range, time::Duration};

use jiff::civil::Date;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use host_model::{RetryCause, text::did_you_mean};

/// `"90s"`, `"1m 30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

/// `"64MiB"`, `"1GB"`, or a number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// `"90s"`, or `"0s"` for none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait(pub(super) Duration);

/// A day, as TOML writes one, or as a text of that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day(pub(super) Date);

/// One word, or a list of words.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(Vec<(String, Option<Range<usize>>)>);

/// A cause of retries, by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CauseName(pub(super) RetryCause);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wait(time) = Wait::deserialize(deserializer)?;
        if time.is_zero() {
            return Err(D::Error::custom("a duration of zero leaves no time; write `90s` or `1h`"));
        }
        Ok(Self(time))
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Wait;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration in quotes such as `\"90s\"`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Wait, E> {
                humantime::parse_duration(text).map(Wait).map_err(|error| match error {
                    humantime::DurationError::NumberOverflow => {
                        E::custom(format!("`{text}` is longer than the longest duration; write `90s` or `1h`"))
                    }
                    _ => E::custom(format!("`{text}` is not a duration; write `500ms`, `90s`, `1m 30s` or `1h`")),
                })
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Wait, E> {
                Err(E::custom(format!(
                    "a duration needs a unit, in quotes: `\"{number}s\"` for seconds, `\"{number}m\"` for minutes"
                )))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::Datetime(time) => time.to_string(),
            toml::Value::String(text) => text,
            other => return Err(D::Error::custom(format!("expected a day such as `2026-12-31`, found `{other}`"))),
        };
        // A time of day is no part of a day, though the parser would take it.
        let day = text.parse().ok().filter(|_| text.len() == "2026-12-31".len());
        day.map(Self).ok_or_else(|| {
            let text = text.escape_debug();
            D::Error::custom(format!("`{text}` is not a day; write year, month and day: `2026-12-31`"))
        })
    }
}

impl Words {
    /// Each word with its bytes; those of the whole value are `whole`.
    pub(super) fn with_spans(&self, whole: Range<usize>) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.0.iter().map(move |(word, span)| (word.as_str(), span.clone().unwrap_or_else(|| whole.clone())))
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes, or a list of them")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Words, E> {
                Ok(Words(vec![(word.to_owned(), None)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element::<Spanned<String>>()? {
                    let span = word.span();
                    words.push((word.into_inner(), Some(span)));
                }
                Ok(Words(words))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl<'de> Deserialize<'de> for CauseName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = CauseName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }

            // Raised in here, an error has the place of its word; raised later, that of the whole list.
            fn visit_str<E: Error>(self, word: &str) -> Result<CauseName, E> {
                word.parse().map(CauseName).map_err(|_| {
                    let known: Vec<&str> = RetryCause::all().map(RetryCause::as_str).collect();
                    let hint = did_you_mean(word, &known, "expected one of");
                    E::custom(format!("unknown retry cause `{}`; {hint}", word.escape_debug()))
                })
            }
        }

        deserializer.deserialize_str(Word)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a size such as `\"64MiB\"`, or a number of bytes")]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => parse_bytes(&text).map(Self).ok_or_else(|| {
                D::Error::custom(format!("`{text}` is not a size; write `64MiB`, `1GB` or a number of bytes"))
            }),
        }
    }
}

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExitCode(pub(super) i32);

impl<'de> Deserialize<'de> for ExitCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = i64::deserialize(deserializer)?;
        let byte = u8::try_from(code)
            .map_err(|_| D::Error::custom(format!("`{code}` is not an exit code; exit codes are 0 to 255")))?;
        Ok(Self(byte.into()))
    }
}

/// A bound of which zero would let nothing run at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotZero<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + Default + PartialEq> Deserialize<'de> for NotZero<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = T::deserialize(deserializer)?;
        if value == T::default() {
            return Err(D::Error::custom("no component can run with a limit of zero; raise it, or remove the key"));
        }
        Ok(Self(value))
    }
}

/// A table and nothing else: serde would take a list for one too, its values in the order of the fields, so that
/// `grants = [true]` would give the first grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Table<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Only(PhantomData)).map(Self)
    }
}

/// A size as people write it: `64MiB`, `1GB`, or a number of bytes.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("64MiB", 64 << 20), ("1 GB", 1_000_000_000), ("12", 12), ("7B", 7)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5GB", "-1", "1TiBx", "99999999999GiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}
