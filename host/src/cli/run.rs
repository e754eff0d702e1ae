use super::{
    args::{NoTests, RunArgs},
    failure::Failure,
    list::quoted,
    setup, show_config, terminal, wiring,
};
use crate::{
    config::nearest,
    model::ExitCode,
    plan::{Selection, check_agents, check_grants, plan},
};

/// `host run`.
pub(super) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    if args.show_config {
        terminal::output(&show_config::show(&args, &std::env::current_dir()?)?)?;
        return Ok(ExitCode::Ok);
    }
    let loaded = setup::load(&args.suite, &args.overrides()).await?;
    let filters = args.suite.filters.clone();
    let selection = Selection { filters, no_canary: args.no_canary, today: setup::today() };
    let mut plan = plan(loaded.scenarios.clone(), &loaded.settings, &selection);
    if plan.trials().next().is_none() {
        return Ok(nothing_to_run(&args, &loaded.scenarios.iter().map(|it| it.id.0.as_str()).collect::<Vec<_>>()));
    }
    check_grants(&plan).map_err(Failure::setup_all)?;
    check_agents(&plan).map_err(Failure::setup_all)?;
    let absent: Vec<&str> = loaded
        .settings
        .canary
        .iter()
        .map(String::as_str)
        .filter(|name| loaded.scenarios.iter().all(|scenario| scenario.name != *name))
        .collect();
    if !absent.is_empty() && !args.no_canary {
        terminal::warning(format_args!(
            "no plugin that was given contains the canary {}; nothing guards the lane",
            absent.join(", ")
        ));
    }
    wiring::skip_lanes(&mut plan);
    let (_, code) = wiring::execute(&loaded, &plan, &args.execution, &loaded.settings.reporters, &mut |_| {}).await?;
    Ok(code)
}

fn nothing_to_run(args: &RunArgs, known: &[&str]) -> ExitCode {
    let mut what = String::from("nothing to run");
    if !args.suite.filters.is_empty() {
        what = format!("nothing to run: no scenario's name contains {}", quoted(&args.suite.filters));
        if let Some(near) = args.suite.filters.iter().find_map(|filter| nearest(filter, known.iter().copied())) {
            what.push_str(&format!("; did you mean `{near}`?"));
        }
    }
    match args.no_tests {
        NoTests::Pass => ExitCode::Ok,
        NoTests::Warn => {
            terminal::warning(what);
            ExitCode::Ok
        }
        NoTests::Fail => {
            terminal::error(what);
            ExitCode::NothingToRun
        }
    }
}
