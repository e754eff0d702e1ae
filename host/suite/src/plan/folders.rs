//! Which folders of scenarios belong to which plugin.

use std::{collections::HashMap, ffi::OsStr, path::Path};

use crate::config::{ScenarioSettings, Settings};
use host_model::PluginFacts;

/// Which plugin a folder names: a file, or, where none is there, any of that name elsewhere.
#[derive(PartialEq, Eq, Hash)]
enum Target<'a> {
    File(&'a Path),
    Elsewhere(&'a OsStr),
}

fn target(folder: &ScenarioSettings) -> Option<Target<'_>> {
    let elsewhere = || folder.plugin.as_deref()?.file_name().map(Target::Elsewhere);
    folder.plugin_canonical.as_deref().map(Target::File).or_else(elsewhere)
}

/// A reference to a plugin in a folder.
fn targets(plugin: &PluginFacts) -> impl Iterator<Item = Target<'_>> {
    std::iter::once(Target::File(&plugin.canonical)).chain(plugin.canonical.file_name().map(Target::Elsewhere))
}

/// Whether a folder's `plugin` is this one.
pub(super) fn names(folder: &ScenarioSettings, plugin: &PluginFacts) -> bool {
    target(folder).is_some_and(|target| targets(plugin).any(|own| own == target))
}

/// The folders that name a plugin, by what they name.
pub(super) struct Folders<'a>(HashMap<Target<'a>, Vec<&'a ScenarioSettings>>);

impl<'a> Folders<'a> {
    pub(super) fn of(settings: &'a Settings) -> Self {
        let mut folders: HashMap<_, Vec<_>> = HashMap::new();
        for folder in settings.scenarios.values() {
            if let Some(target) = target(folder) {
                folders.entry(target).or_default().push(folder);
            }
        }
        Self(folders)
    }

    /// Those for which [`names`] holds, by name.
    pub(super) fn naming<'b>(&'b self, plugin: &'b PluginFacts) -> Vec<&'a ScenarioSettings>
    where
        'a: 'b,
    {
        let mut found: Vec<_> = targets(plugin).filter_map(|target| self.0.get(&target)).flatten().copied().collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }
}
