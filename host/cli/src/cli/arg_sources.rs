//! The source of each value of the command line: a flag, or the environment.

use std::collections::BTreeMap;

use clap::{ArgMatches, parser::ValueSource};

use host_suite::config::{Source, Sourced};

/// The sources of a command's flags, by the flag's id, which is its field's name; and their positions on the command
/// line.
#[derive(Clone, Debug, Default)]
pub(super) struct ArgSources(BTreeMap<String, (Source, Option<usize>)>);

impl ArgSources {
    pub(super) fn of(command: &clap::Command, matches: &ArgMatches) -> Self {
        let sources = command.get_arguments().filter_map(|flag| {
            let id = flag.get_id().as_str();
            let long = flag.get_long()?;
            let given = match matches.ids().any(|present| present == id).then(|| matches.value_source(id))?? {
                ValueSource::CommandLine => {
                    (Source::Flag(format!("--{long}")), matches.indices_of(id).and_then(Iterator::max))
                }
                ValueSource::EnvVariable => (Source::Variable(flag.get_env()?.to_string_lossy().into_owned()), None),
                _ => return None,
            };
            Some((id.to_owned(), given))
        });
        Self(sources.collect())
    }

    pub(super) fn source(&self, id: &str) -> Option<&Source> {
        self.0.get(id).map(|(source, _)| source)
    }

    /// The position on the command line of the flag `id`; `None` for a variable.
    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.0.get(id)?.1
    }

    pub(super) fn sourced<T>(&self, id: &str, value: Option<T>) -> Option<Sourced<T>> {
        let source = || self.source(id).cloned().unwrap_or_else(|| Source::Flag(format!("--{}", id.replace('_', "-"))));
        value.map(|value| Sourced { value, source: source() })
    }

    /// `values` of the flag `id`, with their source, unless there are none.
    pub(super) fn list<T: Clone>(&self, id: &str, values: &[T]) -> Option<Sourced<Vec<T>>> {
        self.sourced(id, Some(values.to_vec()).filter(|values| !values.is_empty()))
    }
}
