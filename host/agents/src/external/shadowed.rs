//! Finds programs in a scenario's `bin` that could run instead of the agent, with the lane's credentials.
//!
//! The host itself finds the agent's program and its interpreters, see [`super::program`]. But some programs only start
//! the agent: a shell wrapper, a launcher such as `nice`, an adapter. They search the agent's `PATH`, which begins with
//! the scenario's `bin`, and the host cannot prevent that. If such a program might find something in `bin` instead of
//! the agent or its interpreter, a lane with credentials refuses the scenario.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::external::{
    env_command,
    program::{self, InterpretedScript},
    shebang::{StartMethod, start_method},
};
use host_model::{AgentSettings, LaneKind};

const SHELLS: [&str; 10] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox", "toybox"];

/// Interpreters that run a script themselves instead of searching for another program.
const RUNTIMES: [&str; 16] = [
    "node", "nodejs", "deno", "bun", "python", "pypy", "ruby", "perl", "php", "lua", "luajit", "java", "guile",
    "julia", "tclsh", "Rscript",
];

/// Programs that search for an interpreter or another program by name and start it.
const LAUNCHERS: [&str; 24] = [
    "env", "npx", "npm", "bunx", "tsx", "uv", "uvx", "pipx", "dotnet", "mise", "asdf", "nvm", "fnm", "volta", "pyenv",
    "rbenv", "nice", "nohup", "setsid", "stdbuf", "timeout", "time", "xargs", "sudo",
];

const AGENTS: [&str; 6] = ["claude", "codex", "pi", "gemini", "opencode", "goose"];

/// The size limit of scripts in other languages that are treated as launchers.
const MAX_LAUNCHER: usize = 16 << 10;

/// The size limit of scripts to examine. Wrappers are short.
const MAX_WRAPPER: u64 = 256 << 10;

/// Explains which program in a scenario's `bin` directory could run instead of the lane's agent, whose program is
/// called `name` unless the lane sets another one.
pub(crate) fn shadowing_program(name: Option<&str>, settings: &AgentSettings, bin: &Path) -> Option<String> {
    if settings.credentials.is_empty() {
        return None;
    }
    let names: BTreeSet<String> = std::fs::read_dir(bin)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !bin.join(name).is_dir())
        .collect();
    if names.is_empty() {
        return None;
    }
    // A missing program is reported elsewhere.
    let found = program::find(name, settings).ok()?;
    let (name, why) = (found.scripts.iter().find_map(|script| shadow_of_script(script, &names)))
        .or_else(|| shadow_of_arguments(settings, &found.program, &names))
        .or_else(|| shadow_of_adapter(settings, &found.program, &names))?;
    let stub = bin.join(&name);
    Some(format!(
        "{} could run instead of the agent, with the lane's credentials: {why}\nhelp: set the lane's \
         `command` to the agent's own program, rename `bin/{name}`, or use a lane without `credentials`",
        stub.display()
    ))
}

/// The name of a program without its version: `python` for `python3.11`.
fn base_name(name: &str) -> &str {
    let base_name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if base_name.is_empty() { name } else { base_name }
}

fn is_one_of(name: &str, known: &[&str]) -> bool {
    known.contains(&name) || known.contains(&base_name(name))
}

/// Whether it is a typical name of an agent or an interpreter.
fn is_well_known(name: &str) -> bool {
    [&SHELLS[..], &RUNTIMES, &LAUNCHERS, &AGENTS].iter().any(|known| is_one_of(name, known))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Programs with many names that search for others.
const MULTICALL: [&str; 2] = ["busybox", "toybox"];

/// A program that the interpreter of a script might start.
fn shadow_of_script(script: &InterpretedScript, names: &BTreeSet<String>) -> Option<(String, String)> {
    let shown = script.file.display();
    let argument = script.argument.to_string_lossy();
    if is_shell(&script.interpreter, &argument) {
        let text = wrapper(&script.file);
        let name = match &text {
            Some(text) => {
                let code = argument.split_once("-c").map_or("", |(_, code)| code);
                started_in_shell(code, names).or_else(|| started_in_shell(text, names))?
            }
            None => names.iter().find(|name| is_well_known(name))?.clone(),
        };
        let why = format!("{shown} is a shell script that may look for `{name}` in `PATH`");
        return Some((name, why));
    }
    let interpreter = name_of(&script.interpreter);
    if is_one_of(&interpreter, &RUNTIMES) {
        let name = exec_target(&wrapper(&script.file)?, names)?;
        let why = format!("{shown} may replace itself with `{name}` from `PATH`");
        return Some((name, why));
    }
    let name = started_by_launcher(&argument, names)?;
    let why = format!("{shown} is started by `{interpreter}`, which may look for `{name}` in `PATH`");
    Some((name, why))
}

/// A program that the lane's `command` might start because of its `args`: `env`, `nice`, `sh -c`, `npx`.
fn shadow_of_arguments(settings: &AgentSettings, program: &Path, names: &BTreeSet<String>) -> Option<(String, String)> {
    let arguments = settings.args.join(" ");
    let name = if is_shell(program, &arguments) {
        // Includes the text of a script among the arguments.
        let scripts = settings.args.iter().filter(|arg| arg.starts_with('/')).filter_map(|arg| wrapper(Path::new(arg)));
        let texts = settings.args.iter().cloned().chain(scripts);
        texts.into_iter().find_map(|text| started_in_shell(&text, names))
    } else if is_one_of(&name_of(program), &LAUNCHERS) || is_multicall(program) || env_command::is_env(program) {
        started_by_launcher(&arguments, names)
    } else {
        None
    }?;
    let why = format!("the lane's `command` is {}, which may look for `{name}` in `PATH`", program.display());
    Some((name, why))
}

fn is_multicall(program: &Path) -> bool {
    MULTICALL.contains(&name_of(program).as_str())
}

/// Whether `program` runs a shell script with these arguments.
fn is_shell(program: &Path, arguments: &str) -> bool {
    if is_multicall(program) {
        return words_of(arguments)
            .first()
            .is_some_and(|applet| SHELLS.contains(applet) && !MULTICALL.contains(applet));
    }
    is_one_of(&name_of(program), &SHELLS)
}

/// A launcher starts one of its arguments, or an interpreter of it.
fn started_by_launcher(arguments: &str, names: &BTreeSet<String>) -> Option<String> {
    let words = words_of(arguments);
    names.iter().find(|name| is_well_known(name) || words.contains(&name.as_str())).cloned()
}

/// Adapters start agents, and agents start interpreters, by name unless they have a path.
fn shadow_of_adapter(settings: &AgentSettings, program: &Path, names: &BTreeSet<String>) -> Option<(String, String)> {
    if settings.kind != LaneKind::Acp {
        return None;
    }
    let is_given =
        |name: &str| settings.env.values().any(|value| value.starts_with('/') && name_of(Path::new(value)) == name);
    let is_named = |name: &str| settings.env.values().any(|value| value == name);
    let scripts = ["node", "nodejs", "deno", "bun"];
    let name = names
        .iter()
        .find(|name| is_named(name) || (!is_given(name) && (is_one_of(name, &AGENTS) || is_one_of(name, &scripts))))?;
    let why = format!("{} is an adapter, which may start its agent by the name `{name}`", program.display());
    Some((name.clone(), why))
}

/// The text of a wrapper; `None` if it is too long to examine.
fn wrapper(file: &Path) -> Option<String> {
    let is_short = file.metadata().is_ok_and(|metadata| metadata.len() <= MAX_WRAPPER);
    let content = host_fs::read(file).ok().filter(|_| is_short)?;
    Some(String::from_utf8_lossy(&content).replace("\\\n", " "))
}

fn words_of(line: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_alphanumeric() || "_-+.@".contains(c);
    line.split(|c| !is_part(c)).filter(|word| !word.is_empty()).collect()
}

/// A program that a short script in another language might replace itself with: Python's `os.execvp`, Perl's `exec`.
fn exec_target(text: &str, names: &BTreeSet<String>) -> Option<String> {
    if text.len() > MAX_LAUNCHER {
        return None;
    }
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words: BTreeSet<&str> = lines.flat_map(|line| line.split(|c: char| !is_word(c))).collect();
    let replaces = words.iter().any(|word| word.starts_with("exec"));
    names.iter().find(|name| replaces && is_well_known(name) && words.contains(name.as_str())).cloned()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-+@".contains(c)
}

/// Whether a line of a shell script starts a program whose name is computed.
fn has_computed_command(line: &str) -> bool {
    line.split([';', '|', '&', '(', '{', '`']).any(|part| {
        let command = part.split_whitespace().find(|word| !is_assignment(word) && !is_keyword(word));
        command.is_some_and(|word| word == "eval" || word.starts_with('$') || word.contains(['\\', '"', '\'']))
    })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

fn is_keyword(word: &str) -> bool {
    ["if", "then", "else", "elif", "do", "while", "until", "!", "command", "builtin"].contains(&word)
}

/// A program that a shell script might start instead of the agent: an interpreter or agent that it names, whatever
/// receives its arguments, and any interpreter if the name is unknown.
fn started_in_shell(text: &str, names: &BTreeSet<String>) -> Option<String> {
    let well_known = names.iter().find(|name| is_well_known(name));
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    for line in lines {
        let words = words_of(line);
        let hands_over = words.contains(&"exec")
            || has_computed_command(line)
            || ["$@", "$*", "${@", "${*"].iter().any(|all| line.contains(all));
        let named = names.iter().find(|name| words.contains(&name.as_str()) && (hands_over || is_well_known(name)));
        if let Some(name) = named.or(well_known.filter(|_| hands_over && !starts_only_a_binary(line))) {
            return Some(name.clone());
        }
    }
    None
}

/// Whether a line only passes its arguments to a binary by absolute path, or only redirects.
fn starts_only_a_binary(line: &str) -> bool {
    let after = line.split_once("exec ").map_or(line, |(_, after)| after).trim_start();
    if after.starts_with(['<', '>', '&'])
        || after.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['<', '>'])
    {
        return true;
    }
    let program = after.split_whitespace().next().unwrap_or_default().trim_matches(['"', '\'']);
    let program = PathBuf::from(program);
    let name = name_of(&program);
    program.is_absolute()
        && matches!(start_method(&program), Ok(StartMethod::Binary))
        && !is_one_of(&name, &SHELLS)
        && !is_one_of(&name, &LAUNCHERS)
        && !env_command::is_env(&program)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use host_model::Credential;

    struct LaneFixture {
        dir: tempfile::TempDir,
        settings: AgentSettings,
    }

    impl LaneFixture {
        fn new(kind: LaneKind, agent: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("bin")).unwrap();
            let mut settings = AgentSettings::new(kind);
            settings.command = Some(dir.path().join("agent").display().to_string());
            settings.credentials = vec![Credential::Variable("KEY".into())];
            let this = Self { dir, settings };
            this.program("agent", agent);
            this
        }

        fn program(&self, name: &str, text: &str) {
            let path = self.dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn shadowed(&self, stub: &str) -> Option<String> {
            let stub = format!("bin/{stub}");
            self.program(&stub, "#!/bin/sh\n");
            let shadowed = shadowing_program(None, &self.settings, &self.dir.path().join("bin"));
            fs::remove_file(self.dir.path().join(stub)).unwrap();
            shadowed
        }
    }

    #[test]
    fn wrappers_and_launchers_may_be_shadowed() {
        for (agent, stub) in [
            ("#!/bin/sh\nexec node \"$basedir/cli.js\" \"$@\"\n", "node"),
            // As npm writes it for other shells.
            (
                "#!/bin/sh\nif [ -x \"$basedir/node\" ]; then\n  exec \"$basedir/node\"  x \"$@\"\nelse\n  exec node  x \"$@\"\nfi\n",
                "node",
            ),
            ("#!/bin/sh\nnode cli.js\nexit $?\n", "node"),
            ("#!/bin/sh\nexec python3 -m agent\n", "python3"),
            ("#!/bin/bash\nexec /opt/asdf/bin/asdf exec \"agent\" \"$@\"\n", "bash"),
            (
                "#!/usr/bin/env bash\nprogram=${0##*/}\nexec \"/root/.pyenv/libexec/pyenv\" exec \"$program\" \"$@\"\n",
                "bash",
            ),
            ("#!/bin/sh\nexec \"$NODE\" x\n", "node"),
            ("#!/bin/sh\nexec \\\n  agent-real\n", "agent-real"),
            ("#!/bin/sh\nagent-real \"$@\"\n", "agent-real"),
            ("#!/bin/sh\nexec /usr/bin/env \"$x\"\n", "deno"),
            ("exec node x\n", "node"),
            ("#!/bin/sh\na=pyt; b=hon3; $a$b -c 'print(1)'\n", "python3"),
            ("#!/bin/sh\nimpl() { $1 -c 'print(1)'; }\nimpl py\"\"thon3\n", "python3"),
            ("#!/bin/sh\necho 'print(1)' | py\\thon3\n", "python3"),
            ("#!/bin/sh\neval \"$(echo cHl0aG9uMyAtYyAxCg== | base64 -d)\"\n", "python3"),
            ("#!/bin/sh\nif true; then \"$NODE\" x; fi\n", "node"),
            ("#!/usr/bin/python3\nimport os; os.execvp(\"node\", [\"node\", \"x\"])\n", "node"),
            ("#!/usr/bin/perl\nexec 'node', 'x';\n", "node"),
            ("#!/usr/bin/nice node\n", "node"),
            ("#!/usr/bin/env -S nice -n 1 agent-real\n", "agent-real"),
            ("#!/usr/bin/env -S sh -c 'exec deno run \"$0\"'\n", "deno"),
        ] {
            let interpreter = agent.trim_start_matches("#!").lines().next().unwrap_or_default();
            if interpreter.starts_with("/usr/bin/p") && !Path::new(interpreter).exists() {
                continue;
            }
            let lane = LaneFixture::new(LaneKind::Command, agent);
            let problem = lane.shadowed(stub).unwrap_or_else(|| panic!("{agent}"));
            assert!(problem.contains(&format!("/bin/{stub} could run")) && problem.contains("\nhelp: "), "{problem}");
            assert_eq!(lane.shadowed("deploy"), None, "{agent}");
        }
    }

    #[test]
    fn a_command_may_be_shadowed_by_its_arguments() {
        let mut lane = LaneFixture::new(LaneKind::Command, "");
        let wrapper = lane.dir.path().join("wrapper").display().to_string();
        lane.program("wrapper", "exec node x\n");
        for (command, args, stub) in [
            ("/usr/bin/env", &["-S", "node agent.js"][..], "node"),
            ("env", &["agent-real"], "agent-real"),
            ("nice", &["python3", "agent.py"], "python3"),
            ("/bin/sh", &["-c", "exec node agent.js"], "node"),
            ("sh", &[&wrapper], "node"),
        ] {
            lane.settings.command = Some(command.into());
            lane.settings.args = args.iter().map(|&arg| arg.to_owned()).collect();
            assert!(lane.shadowed(stub).is_some(), "{command} {args:?}");
            assert_eq!(lane.shadowed("deploy"), None, "{command} {args:?}");
        }
        lane.settings.args = vec!["-c".into(), "echo hello".into()];
        assert_eq!(lane.shadowed("node"), None);
    }

    #[test]
    fn harmless_stubs_are_allowed() {
        for (agent, stub) in [
            ("#!/bin/sh\n# runs node\necho agent ran\n", "node"),
            ("#!/usr/bin/env -S bash -e\necho agent ran\n", "bash"),
            ("#!/bin/sh\ndeploy --now\ngit commit\n", "git"),
            ("#!/bin/sh\nexec 3>log\nexec >&2\nexec /bin/cat \"$@\"\n", "node"),
            ("#!/usr/bin/python3 -I\nimport subprocess; subprocess.run(['node'])\n", "node"),
        ] {
            if !Path::new("/usr/bin/python3").exists() && agent.contains("python3") {
                continue;
            }
            assert_eq!(LaneFixture::new(LaneKind::Command, agent).shadowed(stub), None, "{agent}");
        }
        let mut lane = LaneFixture::new(LaneKind::Command, "#!/bin/sh\nexec node x\n");
        assert!(lane.shadowed("node").is_some());
        lane.settings.credentials.clear();
        assert_eq!(lane.shadowed("node"), None, "there are no credentials to protect");
    }

    #[test]
    fn agents_of_an_adapter_may_be_shadowed() {
        let mut lane = LaneFixture::new(LaneKind::Acp, "#!/bin/sh\necho\n");
        for stub in ["claude", "node", "codex"] {
            assert!(lane.shadowed(stub).unwrap().contains("is an adapter"), "{stub}");
        }
        assert_eq!(lane.shadowed("git"), None);
        lane.settings.env.insert("CLAUDE_CODE_EXECUTABLE".into(), "/opt/claude".into());
        assert_eq!(lane.shadowed("claude"), None);
        lane.settings.env.insert("OTHER".into(), "git".into());
        assert!(lane.shadowed("git").is_some());
    }
}
