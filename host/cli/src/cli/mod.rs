//! The command line: turns arguments into settings, calls [`host_core::app`], and turns results into text and exit codes.

mod arg_sources;
mod args;
mod check;
mod componentize;
mod inherited;
mod inspect;
mod list;
mod log;
mod messages;
mod new;
mod notices;
mod panics;
mod parse;
mod process;
mod prove;
mod regrade;
mod run;
mod run_reports;
mod runtime;
mod schema;
mod show_config;
mod signals;
mod terminal;

use std::{
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::args::Command;
use host_core::app::{Error, Helper};
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
    // Helpers come first: they are single-threaded and start within milliseconds. Every session starts one and waits for it.
    let helper = Helper::parse(&args);
    if let Some(helper @ Helper::Supervise(_)) = helper {
        return Ending(helper.run());
    }
    terminal::report_panics();
    if let Some(helper) = helper {
        return Ending(helper.run());
    }
    let cli = match parse::parse(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too.
            return terminal::usage(&error).into();
        }
    };
    match cli.command {
        Command::Supervise(args) => args.helper().map_or(ExitCode::Usage.into(), |helper| Ending(helper.run())),
        Command::Agent(args) => Ending(args.helper().run()),
        Command::Adapt(args) => Ending(args.helper().run()),
        Command::Compile(args) => Ending(args.helper().run()),
        command => match log::start() {
            Ok(()) => in_runtime(command).into(),
            Err(message) => {
                terminal::error(message);
                ExitCode::Usage.into()
            }
        },
    }
}

fn in_runtime(command: Command) -> ExitCode {
    panics::report_places();
    let runtime = match runtime::build() {
        Ok(runtime) => runtime,
        Err(error) => return terminal::fail(&error),
    };
    let work = async {
        tokio::spawn(host_clock::keep());
        // From here on SIGUSR1 ends nothing, also while plugins compile and nobody can answer it yet.
        let _asked = received(SignalKind::user_defined1())?;
        // A file that may not grow any more is an error where it is written, like a full disk, and no end of the run.
        let _full = received(SignalKind::from_raw(libc::SIGXFSZ))?;
        if !matches!(command, Command::New(_) | Command::Componentize(_) | Command::Schema) {
            runtime::check_machine()?;
        }
        match command {
            Command::Run(args) => run::run(&args).await,
            Command::List(args) => list::list(&args).await,
            Command::Check(args) => check::check(&args).await,
            Command::Inspect(args) => inspect::inspect(&args).await,
            Command::Prove(args) => prove::prove(&args).await,
            Command::Regrade(args) => regrade::regrade(&args).await,
            Command::New(args) => new::new(&args),
            Command::Componentize(args) => componentize::componentize(&args),
            Command::Schema => schema::schema(),
            Command::Supervise(_) | Command::Agent(_) | Command::Adapt(_) | Command::Compile(_) => Ok(ExitCode::Usage),
        }
    };
    // The panic was reported. Dropping what it was doing also cleans up.
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
    runtime.shutdown_timeout(SHUTDOWN);
    ended.unwrap_or(Ok(ExitCode::Setup)).unwrap_or_else(|error| terminal::fail(&error))
}

/// Receives the signal, so that it does not end the process.
fn received(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|error| Error::of(&error))
}
