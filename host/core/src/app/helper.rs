//! The modes in which the host starts its own program: to compile and adapt plugins, to supervise agents, and to play
//! scripted ones.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    thread,
    time::Duration,
};

use host_agents::{ScriptedAgentOptions, SupervisorOptions, run_agent, supervise};
use host_wasm::component::{self, ADAPT_MODE, COMPILE_MODE, MEMORY_EXCEEDED};
use rustix::process::{
    Resource, Rlimit, Signal, getpid, getrlimit, kill_process, set_parent_process_death_signal, setrlimit,
};

/// What the encoder may take: bytes of address space, and seconds on the processor.
const MAX_ADAPT_SPACE: u64 = 4 << 30;
const MAX_ADAPT_SECONDS: u64 = 30;
/// How often a compiler checks the memory that it takes.
const MEMORY_CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// Address space of a compiler beyond its memory: the stacks of threads, and what the allocator sets aside for each.
const EXTRA_COMPILE_SPACE: u64 = 4 << 30;

/// A mode in which the host starts its own program.
///
/// Compiling, adapting and supervising happen in processes of their own, and the host starts `/proc/self/exe` for them. A
/// program that embeds the host must therefore parse its arguments with [`Helper::parse`] before it does anything else:
///
/// ```no_run
/// # use host_core::app::Helper;
/// let args: Vec<_> = std::env::args_os().collect();
/// if let Some(helper) = Helper::parse(&args) {
///     std::process::exit(helper.run().into());
/// }
/// ```
#[derive(Debug)]
pub enum Helper {
    /// Runs an agent until it and all its descendants are gone.
    Supervise(SupervisorOptions),
    /// Plays a script as a scripted agent.
    Agent(ScriptedAgentOptions),
    /// Turns the core module on stdin into a component on stdout.
    Adapt {
        /// The module is a command of WASI 0.1.
        command: bool,
    },
    /// Writes the code of the plugin on stdin to stdout.
    Compile {
        /// Bytes of memory that this may take.
        max_memory: u64,
        /// The code is for an engine with little address space.
        small: bool,
    },
}

impl Helper {
    /// The mode that `args` ask for, the program's name first, as the host starts itself. `None` for everything else.
    #[must_use]
    pub fn parse(args: &[OsString]) -> Option<Self> {
        let (mode, args) = args.get(1..)?.split_first()?;
        match mode.to_str()? {
            "supervise" => match args {
                [dashes, program, args @ ..] if dashes == "--" => {
                    Some(Self::Supervise(SupervisorOptions { program: program.clone(), args: args.to_vec() }))
                }
                _ => None,
            },
            "agent" => parse_agent(args),
            ADAPT_MODE => match args {
                [kind] if kind == "--command" || kind == "--world" => {
                    Some(Self::Adapt { command: kind == "--command" })
                }
                _ => None,
            },
            COMPILE_MODE => match args {
                [flag, max_memory, small @ ..] if flag == "--max-memory" => Some(Self::Compile {
                    max_memory: max_memory.to_str()?.parse().ok()?,
                    small: match small {
                        [] => false,
                        [flag] if flag == "--small" => true,
                        _ => return None,
                    },
                }),
                _ => None,
            },
            _ => None,
        }
    }

    /// Does the work of the mode with the process's stdin, stdout and stderr. Returns the exit code of the process, which
    /// must do nothing else: its limits are lowered.
    #[must_use]
    pub fn run(self) -> u8 {
        match self {
            Self::Supervise(args) => supervise(&args),
            Self::Agent(args) => run_agent(&args),
            Self::Adapt { command } => exit_code(adapt(command)),
            Self::Compile { max_memory, small } => exit_code(compile(max_memory, small)),
        }
    }
}

fn parse_agent(args: &[OsString]) -> Option<Helper> {
    let mut agent = ScriptedAgentOptions { script: Default::default(), turn: 1, session: None, prompt: String::new() };
    let mut args = args.iter().map(OsString::as_os_str);
    while let Some(arg) = args.next() {
        match arg.to_str()? {
            "--script" => agent.script = args.next()?.into(),
            "--turn" => agent.turn = args.next().and_then(OsStr::to_str)?.parse().ok().filter(|turn| *turn > 0)?,
            "--session" => agent.session = Some(args.next()?.to_str()?.to_owned()),
            arg => agent.prompt = arg.strip_prefix("--prompt=")?.to_owned(),
        }
    }
    (!agent.script.as_os_str().is_empty()).then_some(Helper::Agent(agent))
}

fn exit_code(result: io::Result<()>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            // Without a stderr the exit code still tells.
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

fn adapt(command: bool) -> io::Result<()> {
    limit_process(MAX_ADAPT_SPACE, Some(MAX_ADAPT_SECONDS))?;
    let module = read_stdin(MAX_ADAPT_SPACE)?;
    write_stdout(&component::adapt(&module, command).map_err(io::Error::other)?)
}

fn compile(max_memory: u64, small: bool) -> io::Result<()> {
    limit_process(max_memory.saturating_add(EXTRA_COMPILE_SPACE), None)?;
    limit_memory(max_memory)?;
    let plugin = read_stdin(u64::MAX)?;
    write_stdout(&component::compile(&plugin, small).map_err(io::Error::other)?)
}

fn read_stdin(most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Ends this process with its parent, and limits its address space and its time on the processor.
fn limit_process(address_space: u64, seconds: Option<u64>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    lower_limit(Resource::As, address_space)?;
    seconds.map_or(Ok(()), |seconds| lower_limit(Resource::Cpu, seconds))?;
    // A crash is reported by its signal.
    lower_limit(Resource::Core, 0)
}

/// Lowers a limit, and never raises it.
fn lower_limit(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum.map_or(most, |current| current.min(most));
    let current = getrlimit(resource).current.map_or(maximum, |current| current.min(maximum));
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?)
}

/// Ends this process when it takes more memory than `most`. The limit of address space cannot be as tight: much of that
/// is set aside and never used.
fn limit_memory(most: u64) -> io::Result<()> {
    thread::Builder::new().name("memory".into()).spawn(move || {
        // Without /proc the limit of address space has to do.
        while let Ok(resident) = resident() {
            if resident > most {
                let _ = writeln!(io::stderr(), "{MEMORY_EXCEEDED}");
                let _ = kill_process(getpid(), Signal::KILL);
            }
            thread::sleep(MEMORY_CHECK_INTERVAL);
        }
    })?;
    Ok(())
}

/// Bytes of memory that this process takes.
fn resident() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    line.and_then(|kibibytes| kibibytes.parse::<u64>().ok())
        .map(|kibibytes| kibibytes << 10)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Option<Helper> {
        let args: Vec<OsString> = ["host"].iter().chain(args).map(OsString::from).collect();
        Helper::parse(&args)
    }

    #[test]
    fn resident_memory_grows_with_use() {
        let before = resident().unwrap();
        let large = vec![1_u8; 64 << 20];
        assert!(resident().unwrap() >= before + (32 << 20));
        drop(large);
    }

    #[test]
    fn helpers_are_parsed_as_the_host_starts_them() {
        assert!(matches!(parse(&["adapt", "--command"]), Some(Helper::Adapt { command: true })));
        assert!(matches!(parse(&["adapt", "--world"]), Some(Helper::Adapt { command: false })));
        let compile = parse(&["compile", "--max-memory", "5", "--small"]);
        assert!(matches!(compile, Some(Helper::Compile { max_memory: 5, small: true })));
        let Some(Helper::Supervise(args)) = parse(&["supervise", "--", "sh", "-c", "x"]) else { panic!("parsed") };
        assert_eq!((args.program, args.args), ("sh".into(), vec!["-c".into(), "x".into()]));
        let agent = parse(&["agent", "--script", "s", "--turn", "2", "--session", "id", "--prompt=--do it"]);
        let Some(Helper::Agent(args)) = agent else { panic!("parsed") };
        assert_eq!((args.turn, args.session.as_deref(), args.prompt.as_str()), (2, Some("id"), "--do it"));
    }

    #[test]
    fn other_arguments_are_not_for_a_helper() {
        for args in [&[][..], &["run"], &["supervise"], &["adapt", "--help"], &["compile"], &["agent", "--turn", "0"]] {
            assert!(parse(args).is_none(), "{args:?}");
        }
    }
}
