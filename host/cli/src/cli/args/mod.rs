//! The command line, as clap parses it. Each command's arguments turn into the settings of its function in
//! [`host_core::app`].

mod command;
mod execution;
mod outcomes;
mod run;
mod suite;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(in crate::cli) use self::{
    command::{CheckArgs, InspectArgs, ListArgs, ProveArgs, RegradeArgs},
    execution::Color,
    run::RunArgs,
};
use host_agents::{ScriptedAgentOptions as ScriptedAgent, SupervisorOptions as Supervised};
use host_core::app::Helper;
use host_wasm::component::{ADAPT_MODE, COMPILE_MODE};

/// Run end-to-end scenarios for coding agents as sandboxed WebAssembly components
///
/// Canaries run first, then all other trials in parallel. Each attempt has its own root and config dir, and can use
/// only what you grant it.
#[derive(Debug, Parser)]
#[command(name = "scenario-host", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(in crate::cli) struct Cli {
    #[command(subcommand)]
    pub(in crate::cli) command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0    success
  2    invalid command line
  4    nothing to run
  96   invalid suite, plugin or grant, or a report that could not be written
  100  a scenario failed
  105  a canary failed
  110  only infrastructure faults
  130  interrupted";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Run scenarios
    Run(RunArgs),
    /// List lanes, and their scenarios with canaries, limits and grants
    List(ListArgs),
    /// Show a plugin's kind, imports and required grants, and the smallest policy for it
    Inspect(InspectArgs),
    /// Run each scenario with all its scripted agents, and show what each clause catches
    Prove(ProveArgs),
    /// Grade a recorded run again without any agent, and compare the verdicts
    Regrade(RegradeArgs),
    /// Create a folder with a complete scenario in a language of your choice
    New(NewArgs),
    /// Turn a core WebAssembly module into a component
    Componentize(ComponentizeArgs),
    /// Validate the suite, scenarios, plugins and lanes without running them
    Check(CheckArgs),
    /// Print the JSON Schema of the event stream (`events.jsonl` and `--reporter jsonl`)
    Schema,
    /// Play a script as a scripted agent (started by `host run`)
    #[command(hide = true)]
    Agent(ScriptedAgentOptions),
    /// Run an agent until it and all its descendants have exited (started by `host run`)
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

    /// Set the language of the plugin
    #[arg(long, value_enum, value_name = "LANG")]
    pub(in crate::cli) lang: Language,

    /// Create this folder, which must not exist or must be empty [default: NAME]
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

    /// Read the module's world from this WIT file or folder [default: the world embedded in the module]
    ///
    /// The world must be named `plugin`, or be the only one. Without an embedded world, the module's exports decide.
    #[arg(long, value_name = "WIT")]
    pub(in crate::cli) world: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ScriptedAgentOptions {
    /// Play this script
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) script: PathBuf,

    /// Play this turn of the conversation, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) turn: u32,

    /// Name the session
    #[arg(long)]
    pub(in crate::cli) session: Option<String>,

    /// Begin the turn with this message
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(in crate::cli) prompt: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SupervisorOptions {
    /// Run this agent with its arguments
    #[arg(last = true, required = true)]
    pub(in crate::cli) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct AdaptArgs {
    /// Adapt a command of WASI 0.1
    #[arg(long)]
    pub(in crate::cli) command: bool,

    /// Adapt a module with an embedded world
    #[arg(long)]
    world: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompileModeArgs {
    /// Limit the memory, in bytes
    #[arg(long)]
    pub(in crate::cli) max_memory: u64,

    /// Compile for an engine with little address space
    #[arg(long)]
    pub(in crate::cli) small: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Readable text
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
    /// `None` without a program, which clap does not accept.
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
