use clap::{
    Args,
    builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser},
};

use super::given::Given;
use host_model::{CountsAs, MAX_REPETITIONS, RetryCause};
use host_suite::config::{Overrides, Sourced};

/// What the run makes of outcomes.
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// Try a trial again so often; overrides every `retries` of the files [default: 0]
    #[arg(long, value_name = "N", env = "HOST_RETRIES")]
    retries: Option<u32>,

    /// Try again after these ends alone: classes of faults, and `fail`; overrides every `retry-on` of the files
    /// [default: launch,overload,stall,crash]
    #[arg(
        long,
        value_name = "CLASS",
        env = "HOST_RETRY_ON",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(RetryCause::all().map(RetryCause::as_str))
            .try_map(|word| word.parse::<RetryCause>()),
    )]
    retry_on: Vec<RetryCause>,

    /// What a pass after a retry counts as; overrides `flaky-result` of the files [default: pass]
    #[arg(long, value_name = "RESULT", env = "HOST_FLAKY_RESULT", value_parser = counts_as())]
    flaky_result: Option<CountsAs>,

    /// What the pass of an expected failure counts as; overrides `xpass` of the files [default: pass]
    #[arg(long, value_name = "RESULT", env = "HOST_XPASS", value_parser = counts_as())]
    xpass: Option<CountsAs>,

    /// Start nothing more after the first failed trial; as `--max-fail 1`
    #[arg(long, env = "HOST_FAIL_FAST", value_parser = BoolishValueParser::new())]
    fail_fast: bool,

    /// Start everything, however many trials fail; overrides `fail-fast` and `max-fail` of files and environment
    #[arg(long)]
    no_fail_fast: bool,

    /// Start nothing more after N failed trials; overrides `fail-fast` and `max-fail` of the files
    #[arg(long, value_name = "N", env = "HOST_MAX_FAIL", value_parser = clap::value_parser!(u32).range(1..))]
    max_fail: Option<u32>,

    /// Repeat each trial N times and tell how often it passes; overrides `repeat-each` of the files
    #[arg(
        long,
        value_name = "N",
        env = "HOST_REPEAT_EACH",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_REPETITIONS)),
    )]
    repeat_each: Option<u32>,
}

fn counts_as() -> impl TypedValueParser<Value = CountsAs> {
    PossibleValuesParser::new(CountsAs::ALL.map(CountsAs::as_str)).map(|word| {
        // The parser lets no other word pass.
        CountsAs::ALL.into_iter().find(|known| known.as_str() == word).unwrap_or_default()
    })
}

impl PolicyArgs {
    /// Puts what is asked for here into `overrides`.
    pub(super) fn add_to(&self, overrides: &mut Overrides, given: &Given) {
        overrides.retries = given.sourced("retries", self.retries);
        overrides.retry_on = given.sourced("retry_on", given.source("retry_on").map(|_| self.retry_on.clone()));
        overrides.flaky_result = given.sourced("flaky_result", self.flaky_result);
        overrides.xpass = given.sourced("xpass", self.xpass);
        overrides.max_fail = self.max_fail(given);
        overrides.repeat_each = given.sourced("repeat_each", self.repeat_each);
    }

    /// Three flags for one bound: the last on the command line wins, and then the variables. clap's own ways to let
    /// flags override each other refuse a variable beside a flag.
    fn max_fail(&self, given: &Given) -> Option<Sourced<Option<u32>>> {
        let said = [
            self.max_fail.map(|bound| ("max_fail", Some(bound))),
            given.source("fail_fast").map(|_| ("fail_fast", self.fail_fast.then_some(1))),
            self.no_fail_fast.then_some(("no_fail_fast", None)),
        ];
        let said = || said.iter().flatten();
        let last = said().filter(|(id, _)| given.place(id).is_some()).max_by_key(|(id, _)| given.place(id));
        let (id, bound) = last.or_else(|| said().next())?;
        given.sourced(id, Some(*bound))
    }
}
