//! Parses the command line.

use std::ffi::OsString;

use clap::{Arg, CommandFactory, FromArgMatches, builder::Resettable};

use super::{
    arg_sources::ArgSources,
    args::{Cli, Command},
};

/// Reads the command line.
///
/// # Errors
/// The command line is invalid, or requests the help or the version.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command().mut_subcommands(|command| command.mut_args(without_empty_variable));
    let matches = command.try_get_matches_from_mut(args)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let Some((name, own)) = matches.subcommand() else { return Ok(cli) };
    let sources = command.find_subcommand(name).map(|command| ArgSources::of(command, own)).unwrap_or_default();
    match &mut cli.command {
        Command::Run(args) => args.suite.load.sources = sources,
        Command::List(args) => args.suite.load.sources = sources,
        Command::Check(args) => args.load.sources = sources,
        Command::Prove(args) => args.load.sources = sources,
        Command::Regrade(args) => args.load.sources = sources,
        _ => {}
    }
    Ok(cli)
}

/// Ignores an empty variable, which CI systems set for inputs that were not given. An empty policy is an error: it must not
/// be ignored.
fn without_empty_variable(arg: Arg) -> Arg {
    if arg.get_env().is_some_and(|name| name == "HOST_POLICY") {
        return arg;
    }
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if is_empty { arg.env(Resettable::Reset) } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::RunArgs;
    use host_suite::config::{Source, Sourced};

    fn run(args: &[&str]) -> RunArgs {
        let args = ["host", "run"].iter().chain(args).map(OsString::from);
        match parse(args).unwrap().command {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_names_its_flag() {
        let overrides = run(&["--jobs", "3", "--lane", "a,b", "--lane", "c"]).overrides();
        assert_eq!(overrides.jobs, Some(Sourced { value: 3, source: Source::Flag("--jobs".into()) }));
        let lanes = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(overrides.lanes, Some(Sourced { value: lanes, source: Source::Flag("--lane".into()) }));
        assert_eq!((overrides.retries, overrides.max_fail), (None, None));
    }

    #[test]
    fn the_last_flag_for_the_bound_on_failures_wins() {
        for (args, bound, flag) in [
            (&["--fail-fast"][..], Some(1), "--fail-fast"),
            (&["--no-fail-fast"], None, "--no-fail-fast"),
            (&["--max-fail", "3"], Some(3), "--max-fail"),
            (&["--fail-fast", "--max-fail", "3"], Some(3), "--max-fail"),
            (&["--max-fail", "3", "--no-fail-fast"], None, "--no-fail-fast"),
            (&["--no-fail-fast", "--fail-fast"], Some(1), "--fail-fast"),
        ] {
            let expected = Sourced { value: bound, source: Source::Flag(flag.into()) };
            assert_eq!(run(args).overrides().max_fail, Some(expected), "{args:?}");
        }
    }
}
