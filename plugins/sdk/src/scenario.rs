//! What a plugin exports.

use crate::{
    Clauses, SessionFault, Verdict,
    bindings::exports::scenario::host::scenarios::{Clause as ClauseInfo, ScenarioInfo},
};

/// What a scenario's function returns. A session fault only has to be passed on (`?`): the host has noted it already.
pub type Outcome = Result<Verdict, SessionFault>;

/// A named test: what the host must know of it, and the function that runs it.
#[derive(Clone, Copy)]
pub struct Scenario {
    name: &'static str,
    summary: &'static str,
    tags: &'static [&'static str],
    needs: &'static [&'static str],
    clauses: Option<&'static dyn Clauses>,
    run: fn() -> Outcome,
}

impl Scenario {
    /// A scenario without tags, needs or declared clauses. `name` is lower-case letters, digits and `-`; it names the
    /// folder `scenarios/<name>/`. `summary` is one sentence.
    #[must_use]
    pub const fn new(name: &'static str, summary: &'static str, run: fn() -> Outcome) -> Self {
        Self { name, summary, tags: &[], needs: &[], clauses: None, run }
    }

    /// Words to select it by.
    #[must_use]
    pub const fn tags(self, tags: &'static [&'static str]) -> Self {
        Self { tags, ..self }
    }

    /// The grants that it cannot do without (`session`).
    #[must_use]
    pub const fn needs(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    /// The grader whose clauses are declared to the host: `host prove` then knows which are never exercised.
    #[must_use]
    pub const fn graded_by(self, clauses: &'static dyn Clauses) -> Self {
        Self { clauses: Some(clauses), ..self }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The declared clauses, as (code, what must hold).
    #[must_use]
    pub fn clauses(&self) -> Vec<(&'static str, &'static str)> {
        self.clauses.map(Clauses::list).unwrap_or_default()
    }

    fn info(&self) -> ScenarioInfo {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        ScenarioInfo {
            name: self.name.to_owned(),
            summary: self.summary.to_owned(),
            tags: owned(self.tags),
            needs: owned(self.needs),
            clauses: self
                .clauses()
                .into_iter()
                .map(|(code, requires)| ClauseInfo { code: code.to_owned(), requires: requires.to_owned() })
                .collect(),
        }
    }
}

/// The export `list`.
#[must_use]
pub fn list(scenarios: &[Scenario]) -> Vec<ScenarioInfo> {
    scenarios.iter().map(Scenario::info).collect()
}

/// The export `run`.
#[must_use]
pub fn run(scenarios: &[Scenario], name: &str) -> Verdict {
    match scenarios.iter().find(|scenario| scenario.name == name) {
        // After a session fault the host does not look at what is returned.
        Some(scenario) => (scenario.run)().unwrap_or_else(|fault| Verdict::Skip(fault.message)),
        None => Verdict::Skip(format!("this plugin has no scenario `{name}`")),
    }
}

/// Makes the crate a plugin that contains these scenarios: `plugin![FIRST, SECOND]`.
#[macro_export]
macro_rules! plugin {
    ($($scenario:expr),+ $(,)?) => {
        const _: () = {
            struct Plugin;

            const SCENARIOS: &[$crate::Scenario] = &[$($scenario),+];

            impl $crate::__private::Guest for Plugin {
                fn list() -> ::std::vec::Vec<$crate::__private::ScenarioInfo> {
                    $crate::__private::list(SCENARIOS)
                }

                fn run(name: ::std::string::String) -> $crate::__private::Verdict {
                    $crate::__private::run(SCENARIOS, &name)
                }
            }

            // Only a component has these exports: their names are no symbols that a native linker takes.
            #[cfg(target_family = "wasm")]
            $crate::__private::export_component!(Plugin with_types_in $crate::bindings);
            // Nobody calls it elsewhere; without a mention a scenario and all that it uses would be dead code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn(::std::string::String) -> $crate::__private::Verdict =
                <Plugin as $crate::__private::Guest>::run;
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Scenario = Scenario::new("always", "It passes.", || Ok(Verdict::Pass)).tags(&["quick"]);
    const BROKEN: Scenario = Scenario::new("broken", "Its session breaks.", || {
        Err(SessionFault { class: "crash".into(), message: "the agent died".into() })
    });

    #[test]
    fn a_plugin_lists_and_runs_several_scenarios() {
        let infos = list(&[ALWAYS, BROKEN]);
        assert_eq!(infos.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["always", "broken"]);
        assert_eq!(infos[0].tags, ["quick"]);
        assert!(matches!(run(&[ALWAYS, BROKEN], "always"), Verdict::Pass));
    }

    #[test]
    fn a_session_fault_and_an_unknown_name_are_no_verdict_on_the_agent() {
        assert!(matches!(run(&[BROKEN], "broken"), Verdict::Skip(why) if why == "the agent died"));
        assert!(matches!(run(&[BROKEN], "other"), Verdict::Skip(_)));
    }
}
