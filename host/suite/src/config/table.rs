//! Tables of settings. [`settings_table!`] lists the keys of one: how each is written, and where its value belongs. Reading,
//! layering, sources and `--show-config` follow from that list, so a new setting is one line.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use host_model::{ConfinementMode, CountsAs, LaneKind, RetryCause};

use super::{
    layers::{Source, Sources},
    source::{FileText, SourceError},
    value::{Bytes, CauseName, NotZero, Time, Wait},
};

/// The form of a setting in a file.
pub(super) trait Written {
    /// What the program works with.
    type Value;

    /// The value that is written.
    fn value(&self) -> Self::Value;

    /// The value as a file would have it; `None` for a value that no file can have.
    fn to_toml(value: &Self::Value) -> Option<toml::Value>;

    /// Why this value of the key `key` cannot be used.
    fn problem(&self, key: &str) -> Option<String> {
        let _ = key;
        None
    }
}

/// Declares a [`SettingsTable`] of [`Written`] settings, and further fields that are not settings. A setting is documented
/// at the field of the target that has its value.
macro_rules! settings_table {
    (
        $(#[$meta:meta])*
        $table:ident for $target:ty {
            $($(#[doc = $doc:literal])* $key:literal $field:ident: $type:ty => $($path:ident).+ $(, for $kinds:expr)?;)*
        }
        $(with { $($(#[doc = $other_doc:literal])* $other:ident: $other_type:ty,)* })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $table {
            $($(#[doc = $doc])* #[serde(rename = $key)] pub(super) $field: Option<toml::Spanned<$type>>,)*
            $($($(#[doc = $other_doc])* pub(super) $other: $other_type,)*)?
        }

        impl $crate::config::table::SettingsTable for $table {
            type Target = $target;

            fn keys() -> &'static [&'static str] {
                &[$($key,)* $($(stringify!($other),)*)?]
            }

            fn kinds_for(key: &str) -> &'static [host_model::LaneKind] {
                $($(if key == $key {
                    return $kinds;
                })?)*
                let _ = key;
                &host_model::LaneKind::ALL
            }

            fn spans(&self) -> Vec<(&'static str, std::ops::Range<usize>)> {
                let all = [$(($key, self.$field.as_ref().map(toml::Spanned::span)),)*];
                all.into_iter().filter_map(|(key, span)| Some((key, span?))).collect()
            }

            fn over(&self, base: &Self) -> Self {
                Self {
                    $($field: self.$field.as_ref().or(base.$field.as_ref()).cloned(),)*
                    $($($other: self.$other.clone(),)*)?
                }
            }

            fn apply(&self, target: &mut $target) {
                $(if let Some(written) = &self.$field {
                    target.$($path).+ = $crate::config::table::Written::value(written.get_ref());
                })*
            }

            fn problems(&self) -> Vec<(std::ops::Range<usize>, String)> {
                let all = [$(self.$field.as_ref().and_then(|written| {
                    let problem = $crate::config::table::Written::problem(written.get_ref(), $key)?;
                    Some((written.span(), problem))
                }),)*];
                all.into_iter().flatten().collect()
            }

            fn rows(target: &$target) -> Vec<(&'static str, toml::Value)> {
                let all = [
                    $(($key, <$type as $crate::config::table::Written>::to_toml(&target.$($path).+)),)*
                ];
                all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
            }
        }
    };
}
pub(super) use settings_table;

/// A table of settings, of which each can be absent.
pub(super) trait SettingsTable {
    /// What its settings belong to.
    type Target;

    /// Every key.
    fn keys() -> &'static [&'static str];

    /// The kinds of lane that `key` is for.
    fn kinds_for(key: &str) -> &'static [LaneKind];

    /// The positions of the values, by key.
    fn spans(&self) -> Vec<(&'static str, Range<usize>)>;

    /// This table's settings, and those of `base` where this table has none.
    fn over(&self, base: &Self) -> Self;

    /// Puts the settings into `target`.
    fn apply(&self, target: &mut Self::Target);

    /// Values that cannot be used, with their positions.
    fn problems(&self) -> Vec<(Range<usize>, String)>;

    /// The settings of `target` as a file would have them.
    fn rows(target: &Self::Target) -> Vec<(&'static str, toml::Value)>;
}

/// A table of settings in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer<'a, T> {
    /// The settings.
    pub(super) table: &'a T,
    /// The file.
    pub(super) file: &'a FileText,
    /// The profile, if the table is in one.
    pub(super) profile: Option<&'a str>,
}

impl<T: SettingsTable> Layer<'_, T> {
    /// Puts the settings over those of weaker layers, and notes them as the source of their keys. `prefix` comes before
    /// each key: `defaults.`.
    pub(super) fn apply(&self, prefix: &str, target: &mut T::Target, sources: &mut Sources) {
        self.table.apply(target);
        self.note(prefix, sources);
    }

    /// Notes the settings as the source of their keys.
    pub(super) fn note(&self, prefix: &str, sources: &mut Sources) {
        for (key, span) in self.table.spans() {
            let source = Source::File { place: self.file.place(span), profile: self.profile.map(str::to_owned) };
            sources.note(&format!("{prefix}{key}"), source);
        }
    }

    /// What is wrong with single values.
    pub(super) fn problems(&self) -> impl Iterator<Item = SourceError> {
        self.table.problems().into_iter().map(|(span, message)| self.file.error(span, message))
    }
}

/// A setting that has no value unless one is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Optional<T>(pub(super) T);

impl<T: Written> Written for Optional<T> {
    type Value = Option<T::Value>;

    fn value(&self) -> Option<T::Value> {
        Some(self.0.value())
    }

    fn to_toml(value: &Option<T::Value>) -> Option<toml::Value> {
        T::to_toml(value.as_ref()?)
    }

    fn problem(&self, key: &str) -> Option<String> {
        self.0.problem(key)
    }
}

impl<T: Written> Written for NotZero<T> {
    type Value = T::Value;

    fn value(&self) -> T::Value {
        self.0.value()
    }

    fn to_toml(value: &T::Value) -> Option<toml::Value> {
        T::to_toml(value)
    }
}

/// Implements [`Written`]: `TYPE => VALUE: |written| its value, |value| its form in a file, |written| its problem`.
macro_rules! written {
    ($($type:ty => $value_type:ty: |$written:ident| $value:expr, |$target:ident| $toml:expr $(, |$own:ident| $problem:expr)?;)*) => {
        $(impl $crate::config::table::Written for $type {
            type Value = $value_type;

            fn value(&self) -> $value_type {
                let $written = self;
                $value
            }

            fn to_toml($target: &$value_type) -> Option<toml::Value> {
                $toml
            }

            $(fn problem(&self, _: &str) -> Option<String> {
                let $own = self;
                $problem
            })?
        })*
    };
}
pub(super) use written;

written! {
    u32 => u32: |number| *number, |number| Some((*number).into());
    u64 => u64: |number| *number, |number| Some(integer(*number));
    bool => bool: |value| *value, |value| Some((*value).into());
    String => String: |text| text.clone(), |text| Some(text.as_str().into());
    Vec<String> => Vec<String>: |texts| texts.clone(), |texts| list(texts.iter().map(|text| text.as_str().into()));
    BTreeMap<String, String> => BTreeMap<String, String>: |texts| texts.clone(), |texts| {
        let table = texts.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
        (!texts.is_empty()).then_some(toml::Value::Table(table))
    };
    CountsAs => CountsAs: |result| *result, |result| Some(result.as_str().into());
    LaneKind => LaneKind: |kind| *kind, |kind| Some(kind.as_str().into());
    ConfinementMode => ConfinementMode: |mode| *mode, |mode| Some(mode.as_str().into());
    Bytes => u64: |bytes| bytes.0, |bytes| {
        // In the largest unit without a rest.
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let whole = units.into_iter().find(|(unit, _)| *bytes > 0 && bytes.is_multiple_of(*unit));
        Some(whole.map_or_else(|| integer(*bytes), |(unit, name)| format!("{}{name}", bytes / unit).into()))
    };
    Time => Duration: |time| time.0, |time| Some(humantime::format_duration(*time).to_string().into());
    Wait => Duration: |wait| wait.0, |time| Time::to_toml(time);
    Vec<CauseName> => BTreeSet<RetryCause>: |causes| causes.iter().map(|cause| cause.0).collect(), |causes| {
        Some(toml::Value::Array(causes.iter().map(|cause| cause.as_str().into()).collect()))
    };
}

/// TOML's integers have a sign. No limit in use is larger.
pub(super) fn integer(number: u64) -> toml::Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

/// A list; `None` for an empty one.
pub(super) fn list(values: impl IntoIterator<Item = toml::Value>) -> Option<toml::Value> {
    let values: Vec<toml::Value> = values.into_iter().collect();
    (!values.is_empty()).then_some(toml::Value::Array(values))
}
