//! The command line, as clap parses it. Each command's arguments turn into the settings of its function in
//! [`host_core::app`].

mod command;
mod execution;
mod policy;
mod regrade;
mod run;
mod suite;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(in crate::cli) use self::{
    command::{CheckArgs, InspectArgs, ListArgs, ProveArgs},
    execution::Color,
    regrade::RegradeArgs,
    run::RunArgs,
};
use host_agents::{ScriptedAgentOptions as ScriptedAgent, SupervisorOptions as Supervised};
use host_core::app::Helper;
use host_wasm::component::{ADAPT_MODE, COMPILE_MODE};

/// Run live end-to-end scenarios as sandboxed WebAssembly components
///
/// The canary runs first, then all other scenarios in parallel, each with a root and a config dir of its own. A scenario
/// can reach only what it is granted.
#[derive(Debug, Parser)]
#[command(name = "scenario-host", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(in crate::cli) struct Cli {
    #[command(subcommand)]
    pub(in crate::cli) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  success
    2  wrong usage
    4  nothing to run
   96  set-up error: a bad suite, plugin or grant, or a report that could not be written
  100  a scenario failed
  105  a canary failed
  110  only infrastructure faults
  130  interrupted";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Run scenarios: the canary first, then the rest in parallel
    Run(RunArgs),
    /// List scenarios with their lanes, canaries, limits and grants
    List(ListArgs),
    /// Show a plugin's kind, what it could reach, and the grants that it needs
    Inspect(InspectArgs),
    /// Test graders: run each scenario with its right and wrong scripted agents
    Prove(ProveArgs),
    /// Grade a recorded run again, without agents, and compare the verdicts
    Regrade(RegradeArgs),
    /// Create a scenario that builds and runs, in a language of your choice
    New(NewArgs),
    /// Turn a core module into a component: a WASI 0.1 command or a plugin
    Componentize(ComponentizeArgs),
    /// Validate suite, scenarios, plugins and lanes without running them
    Check(CheckArgs),
    /// Print the JSON Schema of the events in `events.jsonl` and of `--reporter jsonl`
    Schema,
    /// Play a script as a scripted agent (started by `host run`)
    #[command(hide = true)]
    Agent(ScriptedAgentOptions),
    /// Run an agent until it and all its descendants are gone (started by `host run`)
    #[command(hide = true)]
    Supervise(SupervisorOptions),
    /// Turn a core module on stdin into a component on stdout (started by every command that loads plugins)
    #[command(hide = true, name = ADAPT_MODE)]
    Adapt(AdaptArgs),
    /// Compile a plugin on stdin to machine code on stdout (started by every command that loads plugins)
    #[command(hide = true, name = COMPILE_MODE)]
    Compile(CompileModeArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// Name the scenario
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,

    /// Choose the language
    #[arg(long, value_enum, value_name = "LANG")]
    pub(in crate::cli) lang: Language,

    /// Write to this folder, which must be empty or not exist [default: NAME]
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::cli) dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Language {
    /// Rust, with cargo
    Rust,
    /// C, with zig's compiler
    C,
    /// Go
    Go,
    /// JavaScript, with componentize-js
    Js,
    /// Python, with componentize-py
    Python,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ComponentizeArgs {
    /// Read this core module
    #[arg(value_name = "CORE")]
    pub(in crate::cli) core: PathBuf,

    /// Write the component to this file
    #[arg(short, long, value_name = "OUT")]
    pub(in crate::cli) output: PathBuf,

    /// Read the module's world from this WIT file or folder [default: the world that the module embeds or exports]
    ///
    /// If the WIT has several worlds, the one named `plugin` is used.
    #[arg(long, value_name = "WIT")]
    pub(in crate::cli) world: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ScriptedAgentOptions {
    /// The script
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) script: PathBuf,

    /// Which turn of the conversation to play, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) turn: u32,

    /// The session's name
    #[arg(long)]
    pub(in crate::cli) session: Option<String>,

    /// The message that begins the turn
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(in crate::cli) prompt: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SupervisorOptions {
    /// The agent and its arguments
    #[arg(last = true, required = true)]
    pub(in crate::cli) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct AdaptArgs {
    /// The module is a command of WASI 0.1
    #[arg(long)]
    pub(in crate::cli) command: bool,

    /// The module has its world embedded
    #[arg(long)]
    world: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompileModeArgs {
    /// Bytes of memory that this may take
    #[arg(long)]
    pub(in crate::cli) max_memory: u64,

    /// The code is for an engine with little address space
    #[arg(long)]
    pub(in crate::cli) small: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
}

impl ScriptedAgentOptions {
    pub(in crate::cli) fn helper(self) -> Helper {
        let Self { script, turn, session, prompt } = self;
        Helper::Agent(ScriptedAgent { script, turn, session, prompt })
    }
}

impl SupervisorOptions {
    /// `None` without a program, which clap refuses.
    pub(in crate::cli) fn helper(self) -> Option<Helper> {
        let mut command = self.command.into_iter();
        Some(Helper::Supervise(Supervised { program: command.next()?, args: command.collect() }))
    }
}

impl AdaptArgs {
    pub(in crate::cli) fn helper(&self) -> Helper {
        Helper::Adapt { command: self.command }
    }
}

impl CompileModeArgs {
    pub(in crate::cli) fn helper(&self) -> Helper {
        Helper::Compile { max_memory: self.max_memory, small: self.small }
    }
}
