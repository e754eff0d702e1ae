use super::{
    args::{NoTests, RunArgs},
    failure::Failure,
    list::{few, quoted},
    setup, show_config, terminal, wiring,
};
use host_model::ExitCode;
use host_report::artifact::RunDirectory;
use host_suite::config::{Settings, nearest};
use host_suite::plan::{Selection, check_agents, check_grants, plan};

/// `host run`.
pub(super) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let cwd = setup::current_dir()?;
    if args.show_config {
        terminal::output(&show_config::show(&args, &cwd)?)?;
        return Ok(ExitCode::Ok);
    }
    let output = args.execution.output.clone();
    let output = output.unwrap_or_else(|| Settings::base_folder(&cwd, args.suite.suite.as_deref()).join(".host"));
    let ended = begin(args).await;
    if matches!(ended, Err(_) | Ok(ExitCode::NothingToRun)) {
        RunDirectory::forget_latest(&output);
    }
    ended
}

/// The run itself. Where it fails, or has nothing to run, there is no run directory of it.
async fn begin(args: RunArgs) -> Result<ExitCode, Failure> {
    let loaded = setup::load(&args.suite, &args.overrides()).await?;
    let filters = args.suite.filters.clone();
    let selection = Selection { filters, no_canary: args.no_canary, today: setup::today() };
    let mut plan = plan(loaded.scenarios.clone(), &loaded.settings, &selection);
    if plan.trials().next().is_none() {
        let known: Vec<&str> = loaded.scenarios.iter().map(|it| it.id.0.as_str()).collect();
        let what = nothing_to_run(&args, &known);
        match args.no_tests {
            // A run without trials: who waits for its reports gets them.
            NoTests::Pass => {}
            NoTests::Warn => terminal::warning(what),
            NoTests::Fail => {
                terminal::error(what);
                return Ok(ExitCode::NothingToRun);
            }
        }
    }
    check_grants(&plan).map_err(Failure::setup_all)?;
    check_agents(&plan).map_err(Failure::setup_all)?;
    let absent: Vec<&str> = loaded
        .settings
        .canary
        .iter()
        .map(String::as_str)
        .filter(|name| loaded.scenarios.iter().all(|scenario| scenario.canary.as_deref() != Some(*name)))
        .collect();
    if !absent.is_empty() && !args.no_canary {
        terminal::warning(format_args!(
            "no plugin that was given contains the canary {}; the lane starts without a canary",
            few(&absent)
        ));
    }
    wiring::skip_lanes(&mut plan);
    wiring::check_bins(&plan)?;
    let (_, code) = wiring::execute(&loaded, &plan, &args.execution, &loaded.settings.reporters, &mut |_| {}).await?;
    Ok(code)
}

fn nothing_to_run(args: &RunArgs, known: &[&str]) -> String {
    let mut what = String::from("nothing to run");
    if !args.suite.filters.is_empty() {
        what = format!("nothing to run: no scenario's name contains {}", quoted(&args.suite.filters));
        if let Some(near) = args.suite.filters.iter().find_map(|filter| nearest(filter, known.iter().copied())) {
            what.push_str(&format!("; did you mean `{near}`?"));
        }
    }
    what
}
