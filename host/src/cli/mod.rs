//! The command line: clap's types, one file per command, and the composition root.

mod adapt;
mod args;
mod caps;
mod check;
mod check_lanes;
mod compile;
mod compiling;
mod componentize;
mod failure;
mod given;
mod inherited;
mod inspect;
mod leftovers;
mod list;
mod new;
mod origin;
mod panics;
mod policy_args;
mod prove;
mod reach;
mod regrade;
mod revision;
mod run;
mod runtime;
mod schema;
mod setup;
mod show_config;
mod signals;
mod terminal;
mod wiring;

use std::{
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use self::{args::Command, failure::Failure};
use host_agents::{ScriptedAgentOptions, SupervisorOptions, run_agent, supervise};
use host_model::ExitCode;

/// How long file calls that cannot be cancelled may hold up the end of the process.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// How `host` ends: as one of the documented codes, or as a hidden mode does.
pub struct Ending(u8);

impl From<Ending> for std::process::ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.0)
    }
}

impl From<ExitCode> for Ending {
    fn from(code: ExitCode) -> Self {
        Self(code as u8)
    }
}

/// Runs `host` with `args`, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Ending {
    inherited::reset_signals();
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(asked) = supervised(&args) {
        return Ending(supervise(&asked));
    }
    terminal::report_panics();
    let cli = match given::parse(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too.
            return terminal::usage(&error).into();
        }
    };
    match cli.command {
        // The hidden modes come first: they are single-threaded and start within milliseconds.
        Command::Supervise(args) => {
            let mut command = args.command.into_iter();
            let Some(program) = command.next() else { return ExitCode::Usage.into() };
            Ending(supervise(&SupervisorOptions { program, args: command.collect() }))
        }
        Command::Agent(args) => Ending(run_agent(&ScriptedAgentOptions {
            script: args.script,
            turn: args.turn,
            session: args.session,
            prompt: args.prompt,
        })),
        Command::Adapt(args) => Ending(adapt::adapt(&args)),
        Command::Compile(args) => Ending(compile::compile(&args)),
        command => in_runtime(command).into(),
    }
}

/// What `host supervise` is asked, where it is asked as the host does: every session starts it, and the agent waits until
/// the arguments are read. Whatever else is left to the parser of the command line, which has words for it.
fn supervised(args: &[OsString]) -> Option<SupervisorOptions> {
    match args.get(1..)? {
        [mode, dashes, program, args @ ..] if mode == "supervise" && dashes == "--" => {
            Some(SupervisorOptions { program: program.clone(), args: args.to_vec() })
        }
        _ => None,
    }
}

fn in_runtime(command: Command) -> ExitCode {
    panics::tell_places();
    let runtime = match runtime::build() {
        Ok(runtime) => runtime,
        Err(failure) => return failure.tell(),
    };
    let work = async {
        tokio::spawn(host_clock::keep());
        // From here on SIGUSR1 ends nothing, also while plugins compile and nobody can answer it yet.
        let _asked = signal(SignalKind::user_defined1())?;
        // A file that may not grow any more is an error where it is written, like a full disk, and no end of the run.
        let _full = signal(SignalKind::from_raw(libc::SIGXFSZ))?;
        if !matches!(command, Command::New(_) | Command::Componentize(_) | Command::Schema) {
            runtime::check_machine()?;
        }
        match command {
            Command::Run(args) => run::run(args).await,
            Command::List(args) => list::list(&args).await,
            Command::Check(args) => check::check(args).await,
            Command::Inspect(args) => inspect::inspect(&args).await,
            Command::Prove(args) => prove::prove(args.into()).await,
            Command::Regrade(args) => regrade::regrade(args).await,
            Command::New(args) => new::new(&args),
            Command::Componentize(args) => componentize::componentize(&args),
            Command::Schema => schema::schema(),
            Command::Supervise(_) | Command::Agent(_) | Command::Adapt(_) | Command::Compile(_) => Ok(ExitCode::Usage),
        }
    };
    // A panic has told its place. What it had under way is dropped, and with that cleaned up.
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
    runtime.shutdown_timeout(SHUTDOWN);
    ended.unwrap_or(Ok(ExitCode::Setup)).unwrap_or_else(Failure::tell)
}
