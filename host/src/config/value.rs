//! Values with units, as people write them.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// `"90s"`, `"1m 30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

/// `"64MiB"`, `"1GB"`, or a number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_duration(&text).map_err(|error| match error {
            humantime::DurationError::NumberOverflow => {
                D::Error::custom(format!("`{text}` is longer than any duration can be; write `90s` or `1h`"))
            }
            _ => D::Error::custom(format!("`{text}` is no duration; write `500ms`, `90s`, `1m 30s` or `1h`")),
        })?;
        if time.is_zero() {
            return Err(D::Error::custom("a duration of zero leaves no time at all; write `90s` or `1h`"));
        }
        Ok(Self(time))
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
                D::Error::custom(format!("`{text}` is no size; write `64MiB`, `1GB` or a number of bytes"))
            }),
        }
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

fn parse_bytes(text: &str) -> Option<u64> {
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
