//! Deserializes parsed TOML. serde hands its errors over in parts (the unknown key, the known ones, what was expected), of
//! which the deserializers of `toml` make one sentence for programmers; this one makes [`ReadProblem`]s.

use std::{borrow::Cow, fmt::Display, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, Expected, IntoDeserializer, MapAccess, Unexpected, Visitor, value::SeqDeserializer},
    forward_to_deserialize_any,
};
use serde_spanned::de::{SpannedDeserializer, is_spanned};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use toml_datetime::de::{DatetimeDeserializer, is_datetime};

use host_model::text::did_you_mean;

/// A problem of a file, and its bytes.
#[derive(Debug)]
pub(super) struct ReadProblem {
    pub(super) span: Option<Range<usize>>,
    pub(super) kind: ProblemKind,
}

/// The kinds of problems.
#[derive(Debug)]
pub(super) enum ProblemKind {
    /// A key that no table of this kind has.
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that it could have been.
        known: Vec<&'static str>,
    },
    /// A table where a list of tables belongs.
    TableForList,
    /// Anything else, as a sentence.
    Other(String),
}

impl ReadProblem {
    fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }
}

impl From<ProblemKind> for ReadProblem {
    fn from(kind: ProblemKind) -> Self {
        Self { span: None, kind }
    }
}

impl std::fmt::Display for ReadProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            ProblemKind::UnknownKey { key, .. } => write!(f, "unknown key `{key}`"),
            ProblemKind::TableForList => f.write_str("expected a list in brackets, found a table"),
            ProblemKind::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ReadProblem {}

impl Error for ReadProblem {
    fn custom<T: Display>(message: T) -> Self {
        ProblemKind::Other(message.to_string().trim_end().to_owned()).into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        if found == Unexpected::Map && expected == "a sequence" {
            return ProblemKind::TableForList.into();
        }
        Self::custom(format!("expected {}, found {}", expected_words(&expected), found_words(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        ProblemKind::UnknownKey { key: key.to_owned(), known: known.to_vec() }.into()
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format!("unknown value `{word}`; {}", did_you_mean(word, known, "expected one of")))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::custom(format!("the key `{key}` is missing; add it"))
    }
}

/// serde names types for programmers.
fn expected_words(expected: &str) -> String {
    match expected {
        "a string" | "string" => "a text in quotes".into(),
        "a boolean" => "`true` or `false`".into(),
        "a sequence" => "a list in brackets".into(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number of at least 0".into(),
        "i64" => "a whole number".into(),
        _ if expected == "a map" || expected.starts_with("struct ") || expected.contains(" enum ") => "a table".into(),
        _ => expected.to_owned(),
    }
}

fn found_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Float(number) => format!("`{number:?}`"),
        Unexpected::Map => "a table".into(),
        Unexpected::Seq => "a list".into(),
        other => other.to_string(),
    }
}

fn wrong_type(found: &str, expected: &dyn Expected) -> ReadProblem {
    ReadProblem::invalid_type(Unexpected::Other(found), expected)
}

/// A value of a file, or a key.
pub(super) struct Value<'i> {
    value: DeValue<'i>,
    span: Range<usize>,
}

impl<'i> From<Spanned<DeValue<'i>>> for Value<'i> {
    fn from(value: Spanned<DeValue<'i>>) -> Self {
        Self { span: value.span(), value: value.into_inner() }
    }
}

impl<'i> From<Spanned<DeTable<'i>>> for Value<'i> {
    fn from(table: Spanned<DeTable<'i>>) -> Self {
        Self { span: table.span(), value: DeValue::Table(table.into_inner()) }
    }
}

impl<'de> IntoDeserializer<'de, ReadProblem> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = ReadProblem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadProblem> {
        let read = match self.value {
            DeValue::String(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            DeValue::String(Cow::Owned(text)) => visitor.visit_string(text),
            DeValue::Integer(number) => {
                let (digits, radix) = (number.as_str(), number.radix());
                match (i64::from_str_radix(digits, radix), u64::from_str_radix(digits, radix)) {
                    (Ok(number), _) => visitor.visit_i64(number),
                    (Err(_), Ok(number)) => visitor.visit_u64(number),
                    (Err(_), Err(_)) => {
                        Err(wrong_type(&format!("`{digits}`, which does not fit into 64 bits"), &visitor))
                    }
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(value) if value.is_finite() || !number.as_str().contains(|c: char| c.is_ascii_digit()) => {
                    visitor.visit_f64(value)
                }
                _ => Err(wrong_type(&format!("`{}`, which does not fit into 64 bits", number.as_str()), &visitor)),
            },
            DeValue::Boolean(value) => visitor.visit_bool(value),
            DeValue::Datetime(time) => {
                // serde knows no dates: for a visitor that wants something else, this one is a map.
                let wrong = wrong_type(&format!("the date or time `{time}`"), &visitor);
                visitor.visit_map(DatetimeDeserializer::new(time)).map_err(|_: ReadProblem| wrong)
            }
            DeValue::Array(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(Value::from))),
            DeValue::Table(table) => visitor.visit_map(Entries { rest: table.into_iter(), value: None }),
        };
        read.map_err(|problem| problem.at(&self.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadProblem> {
        let span = self.span.clone();
        visitor.visit_some(self).map_err(|problem| problem.at(&span))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadProblem> {
        let span = self.span.clone();
        visitor.visit_newtype_struct(self).map_err(|problem| problem.at(&span))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadProblem> {
        match self.value {
            _ if is_spanned(name) => {
                let span = self.span.clone();
                visitor.visit_map(SpannedDeserializer::new(self, span))
            }
            DeValue::Datetime(time) if is_datetime(name) => visitor.visit_map(DatetimeDeserializer::new(time)),
            _ => self.deserialize_any(visitor),
        }
    }

    /// No file has enums with data.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadProblem> {
        let span = self.span.clone();
        let word = String::deserialize(self)?;
        visitor.visit_enum(word.into_deserializer()).map_err(|problem: ReadProblem| problem.at(&span))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadProblem> {
        match &self.value {
            DeValue::Datetime(time) => Err(wrong_type(&format!("the date or time `{time}`"), &visitor).at(&self.span)),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool u8 u16 u32 u64 i8 i16 i32 i64 u128 i128 f32 f64 char str string seq
        bytes byte_buf unit ignored_any unit_struct tuple_struct tuple identifier
    }
}

/// The keys and values of a table.
struct Entries<'i, I> {
    rest: I,
    value: Option<Spanned<DeValue<'i>>>,
}

impl<'de, I: Iterator<Item = (Spanned<Cow<'de, str>>, Spanned<DeValue<'de>>)>> MapAccess<'de> for Entries<'de, I> {
    type Error = ReadProblem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadProblem> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let key = Value { span: key.span(), value: DeValue::String(key.into_inner()) };
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadProblem> {
        let Some(value) = self.value.take() else { return Err(ReadProblem::custom("a value was read before its key")) };
        let span = value.span();
        seed.deserialize(Value::from(value)).map_err(|problem| problem.at(&span))
    }
}
