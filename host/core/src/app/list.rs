use super::{
    error::{Error, Message},
    lanes::skip_lanes,
    load::{LoadSettings, Suite, today},
    notices::Notices,
    text::backquoted,
};
use host_model::RunRules;
use host_suite::config::Settings;
use host_suite::plan::{Plan, Selection, plan};

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListSettings {
    /// Which suite and plugins to load.
    pub load: LoadSettings,
    /// Only scenarios whose name contains one of these texts; all if empty.
    pub filters: Vec<String>,
}

/// What a run would run.
pub struct Listing {
    /// The suite with its plugins.
    pub suite: Suite,
    /// Its trials, each once, by lane.
    pub plan: Plan,
}

/// Lists what a run would run.
///
/// # Errors
/// The suite or a plugin cannot be loaded.
pub async fn list(settings: &ListSettings, notices: &dyn Notices) -> Result<Listing, Error> {
    let suite = Suite::load(&settings.load, notices).await?;
    let selection = Selection { filters: settings.filters.clone(), no_canary: false, today: today() };
    let mut plan = plan(suite.scenarios.clone(), &without_repetitions(suite.settings.clone()), &selection);
    if plan.trials().next().is_none() && !settings.filters.is_empty() {
        notices.warning(Message::plain(format!(
            "no scenario's name contains {}",
            backquoted(&settings.filters).join(" or ")
        )));
    }
    skip_lanes(&mut plan);
    Ok(Listing { suite, plan })
}

/// The settings for a plan that has each trial once.
pub(super) fn without_repetitions(settings: Settings) -> Settings {
    Settings { policy: RunRules { repeat_each: 1, ..settings.policy }, ..settings }
}
