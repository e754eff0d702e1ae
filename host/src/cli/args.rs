use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use super::{caps::CapsArgs, given::Given, policy_args::PolicyArgs};
use host_model::CompileLimits;
pub(super) use host_model::ReporterKind;
use host_suite::config::{Overrides, parse_bytes};
use host_wasm::component::{ADAPT_MODE, COMPILE_MODE};

/// Runs live end-to-end scenarios as sandboxed WebAssembly components: the canary first, then all the rest at
/// once, each in its own root and config dir, with nothing that it was not granted.
#[derive(Debug, Parser)]
#[command(name = "host", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all well · 2 usage · 4 nothing to run · 96 bad suite, plugin or grant, or a \
                          report could not be written · \
                          100 a scenario failed · 105 a canary failed · 110 only infrastructure faults · \
                          130 interrupted";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run scenarios: the canary first, then the rest at once
    Run(RunArgs),
    /// List scenarios, the lanes that they run in, canaries, limits and grants
    List(ListArgs),
    /// Show what a plugin is, what it could reach, and which grants it needs
    Inspect(InspectArgs),
    /// Run each scenario against its scripted agents, right and wrong, and show what its grader catches
    Prove(ProveFlags),
    /// Grade the recorded sessions of a run again, without any agent, and compare the verdicts
    Regrade(RegradeArgs),
    /// Write a folder with a scenario in the language of your choice, which builds and runs as it stands
    New(NewArgs),
    /// Turn a core module (WASI 0.1, or with the exports of a plugin) into a component
    Componentize(ComponentizeArgs),
    /// Look whether suite, scenarios, plugins and lanes are sound; run nothing
    Check(CheckArgs),
    /// Print the JSON Schema of the event stream: one line of `events.jsonl`, and of `--reporter jsonl`
    Schema,
    /// Carry out a script as a scripted agent would (started by `host run`)
    #[command(hide = true)]
    Agent(AgentArgs),
    /// Run an agent until it and all its descendants are gone (started by `host run`)
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    /// Turn a core module on stdin into a component on stdout (started by every command that loads plugins)
    #[command(hide = true, name = ADAPT_MODE)]
    Adapt(AdaptArgs),
    /// Compile a plugin on stdin to machine code on stdout (started by every command that loads plugins)
    #[command(hide = true, name = COMPILE_MODE)]
    Compile(CompileModeArgs),
}

/// Bounds of compiling a plugin, in place of the suite's.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct CompileArgs {
    /// Memory that compiling one plugin may take [default: the suite's `compile.max-memory`, or 4GiB]
    #[arg(long, value_name = "SIZE", env = "HOST_COMPILE_MAX_MEMORY", value_parser = size)]
    compile_max_memory: Option<u64>,

    /// Time that compiling one plugin may take [default: the suite's `compile.timeout`, or 10m]
    #[arg(long, value_name = "TIME", env = "HOST_COMPILE_TIMEOUT", value_parser = time)]
    compile_timeout: Option<Duration>,
}

impl CompileArgs {
    /// Puts these over what files say.
    pub(super) fn over(&self, given: &Given, overrides: Overrides) -> Overrides {
        Overrides {
            compile_max_memory: given.sourced("compile_max_memory", self.compile_max_memory),
            compile_timeout: given.sourced("compile_timeout", self.compile_timeout),
            ..overrides
        }
    }

    /// These over the defaults, where there is no suite.
    pub(super) fn limits(&self) -> CompileLimits {
        let default = CompileLimits::default();
        CompileLimits {
            max_memory: self.compile_max_memory.unwrap_or(default.max_memory),
            timeout: self.compile_timeout.unwrap_or(default.timeout),
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    parse_bytes(text).filter(|bytes| *bytes > 0).ok_or_else(|| "write a size such as `8GiB`".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| "write a duration such as `20m`".into())
}

/// What to load.
#[derive(Debug, Args)]
pub(super) struct SuiteArgs {
    /// Plugins: `.wasm` files or patterns; those that the suite names when absent
    #[arg(value_name = "PLUGIN")]
    pub(super) plugins: Vec<OsString>,

    /// The suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if there is one]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    pub(super) suite: Option<PathBuf>,

    #[command(flatten)]
    pub(super) caps: CapsArgs,

    /// A `[profile.NAME]` of the suite, put over the rest of it
    #[arg(long, value_name = "NAME", env = "HOST_PROFILE")]
    pub(super) profile: Option<String>,

    /// A lane to run in, in place of the suite's; may be repeated
    #[arg(long = "lane", value_name = "NAME", env = "HOST_LANE", value_delimiter = ',')]
    pub(super) lanes: Vec<String>,

    /// Compile plugins anew and keep nothing of it
    #[arg(long)]
    pub(super) no_cache: bool,

    #[command(flatten)]
    pub(super) compile: CompileArgs,

    /// Only scenarios whose name contains one of these texts (canaries run all the same)
    #[arg(last = true, value_name = "FILTER")]
    pub(super) filters: Vec<String>,

    /// Who gave which flag of the whole command.
    #[arg(skip)]
    pub(super) given: Given,
}

impl SuiteArgs {
    /// What these ask for in place of what files say.
    pub(super) fn overrides(&self) -> Overrides {
        let overrides = Overrides {
            suite: self.given.sourced("suite", self.suite.clone()),
            caps: self.caps.sourced(&self.given),
            profile: self.given.sourced("profile", self.profile.clone()),
            lanes: self.given.sourced("lanes", Some(self.lanes.clone()).filter(|lanes| !lanes.is_empty())),
            ..Overrides::default()
        };
        self.compile.over(&self.given, overrides)
    }
}

/// How to run.
#[derive(Debug, Args)]
pub(super) struct ExecutionArgs {
    /// Attempts at once [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    pub(super) jobs: Option<usize>,

    /// Folder for run directories [default: .host beside the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    pub(super) output: Option<PathBuf>,

    /// Keep every attempt's root and config dir, and print where they are
    #[arg(long)]
    pub(super) keep: bool,

    /// Write down what each attempt uses of its grants and what it is refused, and propose the smallest policy
    #[arg(long)]
    pub(super) audit: bool,

    /// When to use colours (`NO_COLOR` is kept)
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(super) color: Color,

    /// Only failures and the summary
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Steps, notes and messages too
    #[arg(short, long)]
    pub(super) verbose: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) suite: SuiteArgs,

    #[command(flatten)]
    pub(super) execution: ExecutionArgs,

    #[command(flatten)]
    pub(super) policy: PolicyArgs,

    /// Print every setting with who says it, as TOML, and run nothing
    #[arg(long)]
    pub(super) show_config: bool,

    /// A scripted agent to play in place of the lane's, in each scenario that has one of that name
    #[arg(long = "agent", value_name = "NAME")]
    pub(super) agents: Vec<String>,

    /// Start everything at once, without waiting for canaries
    #[arg(long)]
    pub(super) no_canary: bool,

    /// What to do when there is nothing to run
    #[arg(long, value_enum, default_value_t = NoTests::Fail, value_name = "ACTION")]
    pub(super) no_tests: NoTests,

    /// How to report to the terminal or a pipe; may be repeated [default: the suite's `reporters`, or human]
    #[arg(long = "reporter", value_parser = reporter_kind(), value_name = "KIND", value_delimiter = ',')]
    pub(super) reporters: Vec<ReporterKind>,
}

impl RunArgs {
    /// What these ask for in place of what files say.
    pub(super) fn overrides(&self) -> Overrides {
        let given = &self.suite.given;
        let reporters = Some(self.reporters.clone()).filter(|reporters| !reporters.is_empty());
        let mut overrides = Overrides {
            jobs: given.sourced("jobs", self.execution.jobs),
            agents: self.agents.clone(),
            reporters: given.sourced("reporters", reporters),
            ..self.suite.overrides()
        };
        self.policy.add_to(&mut overrides, given);
        overrides
    }
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Plugins: `.wasm` files or patterns; those that the suite names when absent
    #[arg(value_name = "PLUGIN")]
    pub(super) plugins: Vec<OsString>,

    /// The suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if there is one]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    pub(super) suite: Option<PathBuf>,

    #[command(flatten)]
    pub(super) caps: CapsArgs,

    /// Try one trivial turn in each lane of a real agent: it reaches the provider, and costs
    #[arg(long)]
    pub(super) live: bool,

    /// A lane to look at, in place of all; may be repeated
    #[arg(long = "lane", value_name = "NAME", env = "HOST_LANE", value_delimiter = ',')]
    pub(super) lanes: Vec<String>,

    /// Compile plugins anew and keep nothing of it
    #[arg(long)]
    pub(super) no_cache: bool,

    #[command(flatten)]
    pub(super) compile: CompileArgs,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,

    /// Who gave which flag.
    #[arg(skip)]
    pub(super) given: Given,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) suite: SuiteArgs,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Plugins: `.wasm` files or patterns
    #[arg(value_name = "PLUGIN", required = true)]
    pub(super) plugins: Vec<OsString>,

    /// Show what of it this policy allows
    #[arg(long, value_name = "FILE", env = "HOST_POLICY")]
    pub(super) policy: Option<PathBuf>,

    #[command(flatten)]
    pub(super) compile: CompileArgs,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
}

/// The flags of `host prove`: it has a lane of its own, and prints only its proof.
#[derive(Debug, Args)]
pub(super) struct ProveFlags {
    /// Plugins: `.wasm` files or patterns; those that the suite names when absent
    #[arg(value_name = "PLUGIN")]
    plugins: Vec<OsString>,

    /// The suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if there is one]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    suite: Option<PathBuf>,

    #[command(flatten)]
    caps: CapsArgs,

    /// Compile plugins anew and keep nothing of it
    #[arg(long)]
    no_cache: bool,

    #[command(flatten)]
    compile: CompileArgs,

    /// Attempts at once [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    jobs: Option<usize>,

    /// Folder for run directories [default: .host beside the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    output: Option<PathBuf>,

    /// Keep every attempt's root and config dir, and print where they are
    #[arg(long)]
    keep: bool,

    /// Only scenarios whose name contains one of these texts
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,

    /// Who gave which flag.
    #[arg(skip)]
    pub(super) given: Given,
}

/// What `host prove` works on, in the same parts as [`RunArgs`].
#[derive(Debug)]
pub(super) struct ProveArgs {
    pub(super) suite: SuiteArgs,
    pub(super) execution: ExecutionArgs,
}

impl From<ProveFlags> for ProveArgs {
    fn from(flags: ProveFlags) -> Self {
        let ProveFlags { plugins, suite, caps, no_cache, compile, jobs, output, keep, filters, given } = flags;
        Self {
            suite: SuiteArgs {
                plugins,
                suite,
                caps,
                profile: None,
                lanes: Vec::new(),
                no_cache,
                compile,
                filters,
                given,
            },
            // Quiet: nobody but the proof says where attempts were kept.
            execution: ExecutionArgs {
                jobs,
                output,
                keep,
                audit: false,
                color: Color::Auto,
                quiet: true,
                verbose: false,
            },
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RegradeArgs {
    /// The run: a run directory, the name of a run, or `latest`
    #[arg(value_name = "RUN")]
    pub(super) run: Option<OsString>,

    /// Plugins to grade with: `.wasm` files or patterns; those of the run, as they are now, when absent
    #[arg(value_name = "PLUGIN")]
    pub(super) plugins: Vec<OsString>,

    /// The suite: a `suite.toml` or its folder [default: scenarios/suite.toml, if there is one]
    #[arg(long, value_name = "PATH", env = "HOST_SUITE")]
    pub(super) suite: Option<PathBuf>,

    #[command(flatten)]
    pub(super) caps: CapsArgs,

    /// Compile plugins anew and keep nothing of it
    #[arg(long)]
    pub(super) no_cache: bool,

    #[command(flatten)]
    pub(super) compile: CompileArgs,

    /// Attempts at once [default: the suite's `jobs`, or 16]
    #[arg(short, long, value_name = "N", env = "HOST_JOBS", value_parser = at_least_one)]
    pub(super) jobs: Option<usize>,

    /// Folder of the run directories, for the new one too [default: .host beside the scenarios]
    #[arg(long, value_name = "DIR", env = "HOST_OUTPUT")]
    pub(super) output: Option<PathBuf>,

    /// Only trials whose verdict is not the same, and the summary
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// How to report to the terminal or a pipe; may be repeated [default: human]
    #[arg(long = "reporter", value_parser = reporter_kind(), value_name = "KIND", value_delimiter = ',')]
    pub(super) reporters: Vec<ReporterKind>,

    /// Only trials of scenarios whose name contains one of these texts
    #[arg(last = true, value_name = "FILTER")]
    pub(super) filters: Vec<String>,

    /// Who gave which flag.
    #[arg(skip)]
    pub(super) given: Given,
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The scenario's name
    #[arg(value_name = "NAME")]
    pub(super) name: String,

    /// The language that it is written in
    #[arg(long, value_enum, value_name = "LANG")]
    pub(super) lang: Language,

    /// The folder to write, which must be empty if it is there [default: NAME]
    #[arg(long, value_name = "FOLDER")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
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
pub(super) struct ComponentizeArgs {
    /// The core module
    #[arg(value_name = "CORE")]
    pub(super) core: PathBuf,

    /// The component to write
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: PathBuf,

    /// The WIT, a file or a folder, of the world that it is of: the one named `plugin`, or else the only one
    /// [default: what is embedded in it, or else what its exports say]
    #[arg(long, value_name = "WIT")]
    pub(super) world: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// The script
    #[arg(long, value_name = "FILE")]
    pub(super) script: PathBuf,

    /// Which turn of the conversation to play, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) turn: u32,

    /// The session's name
    #[arg(long)]
    pub(super) session: Option<String>,

    /// The message that begins the turn
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(super) prompt: String,
}

#[derive(Debug, Args)]
pub(super) struct SuperviseArgs {
    /// The agent and its arguments
    #[arg(last = true, required = true)]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct AdaptArgs {
    /// The module is a command of WASI 0.1
    #[arg(long)]
    pub(super) command: bool,

    /// The module has its world embedded
    #[arg(long)]
    world: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompileModeArgs {
    /// Bytes of memory that this may take
    #[arg(long)]
    pub(super) max_memory: u64,

    /// The code is for an engine with little address space
    #[arg(long)]
    pub(super) small: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum NoTests {
    /// Exit with 4
    Fail,
    /// Say so and exit with 0
    Warn,
    /// Exit with 0
    Pass,
}

/// Parses a kind of report by its word.
fn reporter_kind() -> impl TypedValueParser<Value = ReporterKind> {
    let values = ReporterKind::ALL.map(|kind| {
        PossibleValue::new(kind.as_str()).help(match kind {
            ReporterKind::Human => "For people: live on a terminal, plain lines elsewhere",
            ReporterKind::Jsonl => "The event stream, one JSON object a line, on stdout",
            ReporterKind::Junit => "`junit.xml` in the run directory, as Jenkins reads it",
            ReporterKind::Github => {
                "Groups, annotations, step summary and outputs for GitHub Actions, on stdout and in the files that it \
                 names"
            }
            ReporterKind::Silent => "Nothing but the run directory",
        })
    });
    PossibleValuesParser::new(values).try_map(|word| {
        let kind = ReporterKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.ok_or_else(|| format!("there is no report `{word}`"))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("nothing runs with 0 at once; give 1 or more".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
