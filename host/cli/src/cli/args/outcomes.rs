use clap::{
    Args,
    builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser},
};

use crate::cli::arg_sources::ArgSources;
use host_model::{CountsAs, MAX_REPETITIONS, RetryCause, text::renamed};
use host_suite::config::{Overrides, Sourced};

#[derive(Debug, Args)]
#[command(next_help_heading = "Run options")]
pub(in crate::cli) struct OutcomeArgs {
    /// Retry a trial up to N times [default: 0]
    ///
    /// Overrides every `retries` of the files.
    #[arg(long, value_name = "N", env = "HOST_RETRIES")]
    retries: Option<u32>,

    /// Retry only after these outcomes [default: launch,overload,idle,crash]
    ///
    /// An outcome is a fault class, or `fail`. Separate outcomes with commas. Overrides every `retry-on` of the files.
    #[arg(
        long,
        value_name = "CLASS",
        env = "HOST_RETRY_ON",
        value_delimiter = ',',
        value_parser = retry_cause(),
    )]
    retry_on: Vec<RetryCause>,

    /// Count a pass after a retry as this result [default: pass]
    ///
    /// Overrides `flaky-result` of the files.
    #[arg(long, value_name = "RESULT", env = "HOST_FLAKY_RESULT", value_parser = counts_as())]
    flaky_result: Option<CountsAs>,

    /// Count the pass of an expected failure as this result [default: pass]
    ///
    /// Overrides `xpass` of the files.
    #[arg(long, value_name = "RESULT", env = "HOST_XPASS", value_parser = counts_as())]
    xpass: Option<CountsAs>,

    /// Stop starting trials after the first failure; the same as `--max-fail 1`
    #[arg(long, env = "HOST_FAIL_FAST", value_parser = BoolishValueParser::new())]
    fail_fast: bool,

    /// Run all trials regardless of failures
    ///
    /// Overrides `fail-fast` and `max-fail` of the files and the environment.
    #[arg(long)]
    no_fail_fast: bool,

    /// Stop starting trials after N failed trials
    ///
    /// Overrides `fail-fast` and `max-fail` of the files.
    #[arg(long, value_name = "N", env = "HOST_MAX_FAIL", value_parser = clap::value_parser!(u32).range(1..))]
    max_fail: Option<u32>,

    /// Repeat each trial N times and report how often it passes
    ///
    /// Overrides `repeat-each` of the files.
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
        // The parser accepts no other word.
        CountsAs::ALL.into_iter().find(|known| known.as_str() == word).unwrap_or_default()
    })
}

impl OutcomeArgs {
    pub(in crate::cli) fn add_to(&self, overrides: &mut Overrides, sources: &ArgSources) {
        overrides.retries = sources.sourced("retries", self.retries);
        overrides.retry_on = sources.list("retry_on", &self.retry_on);
        overrides.flaky_result = sources.sourced("flaky_result", self.flaky_result);
        overrides.xpass = sources.sourced("xpass", self.xpass);
        overrides.max_fail = self.max_fail(sources);
        overrides.repeat_each = sources.sourced("repeat_each", self.repeat_each);
    }

    /// Three flags set one limit: the last on the command line wins, then the variables. clap's own overrides refuse a
    /// variable together with a flag.
    fn max_fail(&self, sources: &ArgSources) -> Option<Sourced<Option<u32>>> {
        let given = [
            self.max_fail.map(|limit| ("max_fail", Some(limit))),
            sources.source("fail_fast").map(|_| ("fail_fast", self.fail_fast.then_some(1))),
            self.no_fail_fast.then_some(("no_fail_fast", None)),
        ];
        let given = || given.iter().flatten();
        let last = given().filter(|(id, _)| sources.place(id).is_some()).max_by_key(|(id, _)| sources.place(id));
        let (id, limit) = last.or_else(|| given().next())?;
        sources.sourced(id, Some(*limit))
    }
}
