use clap::{
    Args,
    builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser},
};

use crate::cli::arg_sources::ArgSources;
use host_model::{CountsAs, MAX_REPETITIONS, RetryCause, text::renamed};
use host_suite::config::{Overrides, Sourced};

/// How outcomes become verdicts, and when the run stops.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retries and results")]
pub(in crate::cli) struct PolicyArgs {
    /// Retry a trial up to N times; overrides `retries` everywhere [default: 0]
    #[arg(long, value_name = "N", env = "HOST_RETRIES")]
    retries: Option<u32>,

    /// Retry only after these outcomes: fault classes and `fail`; overrides `retry-on` everywhere
    /// [default: launch,overload,idle,crash]
    #[arg(
        long,
        value_name = "CLASS",
        env = "HOST_RETRY_ON",
        value_delimiter = ',',
        value_parser = retry_cause(),
    )]
    retry_on: Vec<RetryCause>,

    /// Choose how a pass after a retry counts [default: the suite's `flaky-result`, or pass]
    #[arg(long, value_name = "RESULT", env = "HOST_FLAKY_RESULT", value_parser = counts_as())]
    flaky_result: Option<CountsAs>,

    /// Choose how an unexpected pass counts [default: the suite's `xpass`, or pass]
    #[arg(long, value_name = "RESULT", env = "HOST_XPASS", value_parser = counts_as())]
    xpass: Option<CountsAs>,

    /// Start nothing more after the first failed trial; the same as `--max-fail 1`
    #[arg(long, env = "HOST_FAIL_FAST", value_parser = BoolishValueParser::new())]
    fail_fast: bool,

    /// Start all trials, however many fail
    #[arg(long)]
    no_fail_fast: bool,

    /// Start nothing more after N failed trials [default: the suite's `max-fail`]
    #[arg(long, value_name = "N", env = "HOST_MAX_FAIL", value_parser = clap::value_parser!(u32).range(1..))]
    max_fail: Option<u32>,

    /// Repeat each trial N times and report how often it passes [default: the suite's `repeat-each`, or 1]
    #[arg(
        long,
        value_name = "N",
        env = "HOST_REPEAT_EACH",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_REPETITIONS)),
    )]
    repeat_each: Option<u32>,
}

fn retry_cause() -> impl TypedValueParser<Value = RetryCause> {
    let former = ["stall", "deadline"].map(|word| PossibleValue::new(word).hide(true));
    let known = RetryCause::all().map(|cause| PossibleValue::new(cause.as_str()));
    PossibleValuesParser::new(known.chain(former)).try_map(|word| {
        word.parse::<RetryCause>().map_err(|error| match renamed(&word) {
            Some(name) => format!("it is now `{name}`"),
            None => error.to_string(),
        })
    })
}

fn counts_as() -> impl TypedValueParser<Value = CountsAs> {
    PossibleValuesParser::new(CountsAs::ALL.map(CountsAs::as_str)).map(|word| {
        // The parser lets no other word pass.
        CountsAs::ALL.into_iter().find(|known| known.as_str() == word).unwrap_or_default()
    })
}

impl PolicyArgs {
    /// Puts what is asked for here into `overrides`.
    pub(in crate::cli) fn add_to(&self, overrides: &mut Overrides, sources: &ArgSources) {
        overrides.retries = sources.sourced("retries", self.retries);
        overrides.retry_on = sources.sourced("retry_on", sources.source("retry_on").map(|_| self.retry_on.clone()));
        overrides.flaky_result = sources.sourced("flaky_result", self.flaky_result);
        overrides.xpass = sources.sourced("xpass", self.xpass);
        overrides.max_fail = self.max_fail(sources);
        overrides.repeat_each = sources.sourced("repeat_each", self.repeat_each);
    }

    /// Three flags for one bound: the last on the command line wins, and then the variables. clap's own ways to let
    /// flags override each other refuse a variable beside a flag.
    fn max_fail(&self, sources: &ArgSources) -> Option<Sourced<Option<u32>>> {
        let said = [
            self.max_fail.map(|bound| ("max_fail", Some(bound))),
            sources.source("fail_fast").map(|_| ("fail_fast", self.fail_fast.then_some(1))),
            self.no_fail_fast.then_some(("no_fail_fast", None)),
        ];
        let said = || said.iter().flatten();
        let last = said().filter(|(id, _)| sources.place(id).is_some()).max_by_key(|(id, _)| sources.place(id));
        let (id, bound) = last.or_else(|| said().next())?;
        sources.sourced(id, Some(*bound))
    }
}
