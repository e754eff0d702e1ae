//! The scenarios that the suite's `canary` names.

use std::collections::{BTreeMap, BTreeSet};

use super::{SetupProblem, folders::names, resolve::hint};
use crate::config::Settings;
use host_model::{PluginFacts, Scenario};

/// Says which scenarios the suite's `canary` means. A name alone could be any plugin's, also that of a stranger who lists
/// the name: `PLUGIN::NAME` means one, and so does a name whose folder is tied to a plugin. Where neither says so, all
/// scenarios of the name are meant, and the lane opens when one of them passes.
pub(super) fn mark_canaries(scenarios: &mut [Scenario], plugins: &[PluginFacts], settings: &Settings) {
    let plugins: BTreeMap<_, _> = plugins.iter().map(|plugin| (plugin.id, plugin)).collect();
    for scenario in scenarios {
        let plugin = plugins[&scenario.plugin];
        let tie = settings.scenarios.get(&scenario.name).filter(|folder| folder.plugin.is_some());
        let is_meant = |entry: &&String| match entry.rsplit_once("::") {
            Some((label, name)) => label == plugin.label && name == scenario.name,
            None => **entry == scenario.name && tie.is_none_or(|folder| names(folder, plugin)),
        };
        scenario.canary = settings.canary.iter().find(is_meant).cloned();
    }
}

/// Names in `canary` that no scenario has.
pub(super) fn unknown_canaries(
    scenarios: &[Scenario],
    plugins: &[PluginFacts],
    settings: &Settings,
) -> Vec<SetupProblem> {
    let known: BTreeSet<&str> = scenarios
        .iter()
        .map(|scenario| scenario.name.as_str())
        .chain(settings.scenarios.keys().map(String::as_str))
        .collect();
    let labels: BTreeMap<_, _> = plugins.iter().map(|plugin| (plugin.id, plugin.label.as_str())).collect();
    let qualified: BTreeSet<String> =
        scenarios.iter().map(|scenario| format!("{}::{}", labels[&scenario.plugin], scenario.name)).collect();
    let is_known = |name: &str| known.contains(name) || qualified.contains(name);
    let unknown = settings.canary_places.iter().filter(|(name, _)| !is_known(name));
    let qualified = qualified.iter().map(String::as_str).filter(|_| settings.canary.iter().any(|it| it.contains("::")));
    let known: Vec<&str> = known.iter().copied().chain(qualified).collect();
    unknown
        .map(|(name, place)| place.error(format!("the canary `{name}` is not a scenario{}", hint(name, &known))).into())
        .collect()
}
