//! Finds an agent's program and its interpreters.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use crate::external::{
    env_command::{self, EnvCommand},
    environment::{self, SYSTEM_PATH},
    shebang::{StartMethod, start_method},
};
use host_model::AgentSettings;

/// The limit of nested interpreters. The kernel allows five.
const MAX_INTERPRETERS: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundProgram {
    pub(crate) program: PathBuf,
    /// What to start: the program or its interpreter.
    pub(crate) executable: PathBuf,
    /// Arguments that come first and end with the program, if `executable` is its interpreter.
    pub(crate) leading_args: Vec<OsString>,
    /// The program and all its interpreters, in the order in which they are found: the files the kernel opens.
    pub(crate) files: Vec<PathBuf>,
    /// Those of `files` that have interpreters.
    pub(crate) scripts: Vec<InterpretedScript>,
}

/// A script and its interpreter; if that is `env`, the program it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterpretedScript {
    pub(crate) file: PathBuf,
    pub(crate) interpreter: PathBuf,
    /// The rest of the first line after the interpreter.
    pub(crate) argument: OsString,
}

/// Finds the program of a lane.
///
/// It is only searched for in the lane's and the system's directories, and never in the directory that a scenario puts
/// before them: the program receives the lane's credentials. For the same reason the host parses the first lines of
/// scripts like the kernel and `env` do, and starts the interpreter by its absolute path.
///
/// # Errors
/// Where it was searched for or why it cannot start, and a fix.
pub(crate) fn find(name: Option<&str>, settings: &AgentSettings) -> Result<FoundProgram, String> {
    let name = settings.command.as_deref().or(name).ok_or("the lane does not set `command`")?;
    let program = look_up(name, &settings.path, "the agent")?;
    InterpreterChain { settings, files: Vec::new(), scripts: Vec::new(), env_args: Vec::new(), env_command_line: None }
        .follow(program)
}

struct InterpreterChain<'a> {
    settings: &'a AgentSettings,
    files: Vec<PathBuf>,
    scripts: Vec<InterpretedScript>,
    /// Complete invocations of `env` that come first because they change more than the program to start.
    env_args: Vec<OsString>,
    /// The command line of the last `env`, with the absolute path of its program. The kernel does the rest.
    env_command_line: Option<Vec<OsString>>,
}

impl InterpreterChain<'_> {
    fn follow(mut self, program: PathBuf) -> Result<FoundProgram, String> {
        let mut words: Vec<OsString> = vec![program.clone().into()];
        let mut by_env = true;
        for _ in 0..=MAX_INTERPRETERS {
            let file = PathBuf::from(&words[0]);
            let start = start_method(&file)?;
            self.files.push(file.clone());
            match start {
                StartMethod::ShellText if !by_env => {
                    let needed = self.files.iter().rev().nth(1).unwrap_or(&program);
                    return Err(format!(
                        "{} is the interpreter of {}, but has no `#!` line itself\nhelp: fix one of the two files",
                        file.display(),
                        needed.display()
                    ));
                }
                StartMethod::Script { interpreter, argument } => {
                    (words, by_env) = self.interpreted(&file, &interpreter, argument, words)?;
                }
                StartMethod::ShellText => {
                    self.scripts.push(InterpretedScript {
                        file,
                        interpreter: "/bin/sh".into(),
                        argument: OsString::new(),
                    });
                    return Ok(self.found(program));
                }
                StartMethod::Binary => return Ok(self.found(program)),
            }
        }
        Err(format!(
            "{} has a chain of more than {MAX_INTERPRETERS} interpreters\nhelp: fix the `#!` line of {}",
            program.display(),
            self.files.last().unwrap_or(&program).display()
        ))
    }

    fn found(self, program: PathBuf) -> FoundProgram {
        let words = match self.env_command_line {
            Some(env_command_line) => [self.env_args, env_command_line].concat(),
            None => vec![program.clone().into()],
        };
        let mut words = words.into_iter();
        let executable = words.next().map_or_else(|| program.clone(), PathBuf::from);
        FoundProgram { program, executable, leading_args: words.collect(), files: self.files, scripts: self.scripts }
    }

    /// The command line that starts `words`, whose first word is the script `file`; and whether `env` and not the
    /// kernel starts it.
    fn interpreted(
        &mut self,
        file: &Path,
        interpreter: &Path,
        argument: Option<OsString>,
        words: Vec<OsString>,
    ) -> Result<(Vec<OsString>, bool), String> {
        check_executable(interpreter, "it")
            .map_err(|problem| interpreter_error(file, interpreter.as_os_str(), &problem))?;
        if !env_command::is_env(interpreter) {
            let shown = argument.clone().unwrap_or_default();
            self.scripts.push(InterpretedScript {
                file: file.to_owned(),
                interpreter: interpreter.to_owned(),
                argument: shown,
            });
            let leading_args = [Some(interpreter.into()), argument].into_iter().flatten();
            return Ok((leading_args.chain(words).collect(), false));
        }
        let unclear = |problem: String| {
            format!(
                "cannot determine which program {} starts: {problem}\nhelp: fix its first line, or use the interpreter's \
                 absolute path there",
                file.display()
            )
        };
        let mut words: Vec<OsString> = argument.into_iter().chain(words).collect();
        let mut env = interpreter.to_owned();
        let mut path = None;
        // One `env` may start another.
        let (program, mut command) = loop {
            let parsed = env_command::parse(words, |name| self.variable(name)).map_err(unclear)?;
            let EnvCommand { env_args, path: set, command } = parsed;
            path = set.or(path);
            let name = &command[0];
            let program = match &path {
                Some(path) => look_up_in(name, &dirs_of(path).map_err(unclear)?, "it"),
                None => name
                    .to_str()
                    .ok_or("its name is not UTF-8".to_owned())
                    .and_then(|it| look_up(it, &self.settings.path, "it")),
            };
            let program = program.map_err(|problem| interpreter_error(file, name, &problem))?;
            if program == file {
                return Err(unclear("it would start itself in an endless loop".into()));
            }
            if !env_args.is_empty() {
                if program.as_os_str().as_bytes().contains(&b'=') {
                    return Err(unclear(format!("`env` would treat {} as a variable", program.display())));
                }
                self.env_args.push(env.clone().into());
                self.env_args.extend(env_args);
            }
            self.files.push(env);
            if !env_command::is_env(&program) {
                break (program, command);
            }
            env = program;
            words = command.into_iter().skip(1).collect();
        };
        let argument = command[1..].join(OsStr::new(" "));
        self.scripts.push(InterpretedScript { file: file.to_owned(), interpreter: program.clone(), argument });
        command[0] = program.into();
        self.env_command_line = Some(command.clone());
        Ok((command, true))
    }

    /// A variable's value before the start, if known.
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PATH" => environment::search_path(self.settings.path.iter()).into_string().ok(),
            _ => self.settings.env.get(name).cloned(),
        }
    }
}

fn interpreter_error(file: &Path, interpreter: &OsStr, problem: &str) -> String {
    format!("{} needs `{}`: {problem}", file.display(), interpreter.display())
}

/// The directories of a `PATH` set in a first line.
fn dirs_of(path: &OsStr) -> Result<Vec<PathBuf>, String> {
    let dirs: Vec<PathBuf> = std::env::split_paths(path).collect();
    match dirs.iter().find(|dir| !dir.is_absolute()) {
        Some(dir) => Err(format!("its `PATH` contains `{}`, which is not absolute", dir.display())),
        None => Ok(dirs),
    }
}

/// `what` names the program to install in the help.
fn look_up(name: &str, dirs: &[PathBuf], what: &str) -> Result<PathBuf, String> {
    let system = SYSTEM_PATH.split(':').map(PathBuf::from);
    look_up_in(OsStr::new(name), &dirs.iter().cloned().chain(system).collect::<Vec<_>>(), what)
}

fn look_up_in(name: &OsStr, dirs: &[PathBuf], what: &str) -> Result<PathBuf, String> {
    let shown = name.display();
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        if !path.is_absolute() {
            return Err(format!("`{shown}` must be an absolute path, or the name of a program"));
        }
        return check_executable(&path, what).map(|()| path);
    }
    let all = || dirs.iter().map(|dir| dir.join(name));
    if let Some(found) = all().find(|path| check_executable(path, what).is_ok()) {
        return Ok(found);
    }
    let unfit = all().find(|path| path.is_file()).map(|path| format!("; {} is not executable", path.display()));
    let looked: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    Err(format!(
        "cannot find the program `{shown}` in {}{}\nhelp: install {what}, add its directory to the lane's `path`, or \
         set `command` to its path",
        looked.join(", "),
        unfit.unwrap_or_default()
    ))
}

fn check_executable(path: &Path, what: &str) -> Result<(), String> {
    let shown = path.display();
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let dangling =
                path.read_link().map(|to| format!("{shown} is a link to {}, which does not exist", to.display()));
            let why = dangling.unwrap_or_else(|_| format!("{shown} does not exist"));
            return Err(format!("{why}\nhelp: install {what} there, or fix the path"));
        }
        Err(error) => return Err(format!("cannot open {shown}: {error}")),
    };
    if metadata.is_dir() {
        return Err(format!("{shown} is a directory\nhelp: give the path of the program in it"));
    }
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file\nhelp: give the path of a program"));
    }
    access(path, Access::EXEC_OK)
        .map_err(|_| format!("{shown} is not executable\nhelp: run `chmod +x {shown}`, or use another program"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use host_model::LaneKind;

    /// A directory of programs in the lane's `path`.
    struct Programs {
        dir: tempfile::TempDir,
        settings: AgentSettings,
    }

    impl Programs {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut settings = AgentSettings::new(LaneKind::Pi);
            settings.path = vec!["/nowhere".into(), dir.path().into()];
            Self { dir, settings }
        }

        fn add(&self, name: &str, text: &str) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        /// The command line for `pi`, with the directory as `@`.
        fn words(&self) -> String {
            let found = find(Some("pi"), &self.settings).unwrap();
            let words =
                std::iter::once(found.executable.as_os_str()).chain(found.leading_args.iter().map(OsString::as_os_str));
            let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
            words.join(" ").replace(&self.path("").display().to_string(), "@/")
        }

        fn problem(&self) -> String {
            find(Some("pi"), &self.settings).unwrap_err()
        }
    }

    #[test]
    fn lane_directories_come_before_the_systems() {
        let mut programs = Programs::new();
        let shadowed = programs.add("sh", "#!/bin/sh\n");
        assert_eq!(find(Some("sh"), &programs.settings).unwrap().executable, shadowed);
        programs.settings.path.clear();
        assert_ne!(find(Some("sh"), &programs.settings).unwrap().executable, shadowed);
    }

    #[test]
    fn interpreters_are_found_like_programs() {
        let programs = Programs::new();
        programs.add("node", "#!/bin/sh\n");
        for (first, words) in [
            ("#!/usr/bin/env node", "@/node @/pi"),
            ("#!/usr/bin/env  node ", "@/node @/pi"),
            ("#!/bin/env -S node --x", "@/node --x @/pi"),
            ("#!/usr/bin/env -Snode", "@/node @/pi"),
            ("#!/usr/bin/env -iS A=1 node -x", "/usr/bin/env -i A=1 @/node -x @/pi"),
            ("#!/usr/bin/env -S -u B -C / node", "/usr/bin/env -u B -C / @/node @/pi"),
            ("#!/usr/bin/env -S env node", "@/node @/pi"),
            (
                "#!/usr/bin/env -S A=1 env -S 'B=2 /usr/bin/env node -x'",
                "/usr/bin/env A=1 /usr/bin/env B=2 @/node -x @/pi",
            ),
            // The kernel starts these on its own.
            ("#!/bin/sh -e", "@/pi"),
            ("echo no first line", "@/pi"),
        ] {
            programs.add("pi", &format!("{first}\nx"));
            assert_eq!(programs.words(), words, "{first}");
        }
        programs.add("pi", &format!("#!/usr/bin/env -S PATH=/nowhere:{} node\n", programs.path("").display()));
        assert_eq!(programs.words(), "/usr/bin/env PATH=/nowhere:@/ @/node @/pi");
    }

    #[test]
    fn script_interpreters_are_followed() {
        let programs = Programs::new();
        programs.add("bash", "#!/bin/sh\n");
        let node = programs.add("node", "#!/usr/bin/env -S bash -e\n");
        programs.add("pi", "#!/usr/bin/env node\n");
        assert_eq!(programs.words(), "@/bash -e @/node @/pi");
        programs.add("pi", &format!("#!{} --direct\n", node.display()));
        assert_eq!(programs.words(), "@/bash -e @/node --direct @/pi");
        let found = find(Some("pi"), &programs.settings).unwrap();
        for file in ["pi", "node", "bash"] {
            assert!(found.files.contains(&programs.path(file)), "{file}: {:?}", found.files);
        }
        assert!(found.files.contains(&"/bin/sh".into()));
        programs.add("node", &format!("#!{}\n", programs.path("pi").display()));
        assert!(programs.problem().contains("more than 5 interpreters"), "{}", programs.problem());
    }

    #[test]
    fn broken_interpreters_are_named() {
        let programs = Programs::new();
        programs.add("text", "echo text\n");
        let text = programs.path("text").display().to_string();
        for (first, says) in [
            (
                "#!/usr/bin/env no-such-one",
                "/pi needs `no-such-one`: cannot find the program `no-such-one` in /nowhere, ",
            ),
            ("#!/opt/no-such-one", "/pi needs `/opt/no-such-one`: /opt/no-such-one does not exist"),
            ("#!/usr/bin/node\r", "ends in a carriage return"),
            ("#!/etc", "needs `/etc`: /etc is a directory"),
            ("#!/etc/passwd", "needs `/etc/passwd`: /etc/passwd is not executable"),
            ("#!/usr/bin/env -S ./node", "needs `./node`: `./node` must be an absolute path"),
            ("#!/usr/bin/env -S PATH=bin:/x node", "`PATH` contains `bin`, which is not absolute"),
            ("#!/usr/bin/env --weird", "cannot determine which program"),
            ("#!/usr/bin/env -i", "start itself in an endless loop"),
            ("#!/usr/bin/env A=1 node", "start itself in an endless loop"),
            (&format!("#!{text}"), "has no `#!` line itself"),
        ] {
            programs.add("pi", &format!("{first}\nx"));
            assert!(programs.problem().contains(says), "{first:?}: {}", programs.problem());
        }
    }

    #[test]
    fn broken_programs_are_named_with_a_fix() {
        let mut programs = Programs::new();
        let problem = find(Some("no-such-agent"), &programs.settings).unwrap_err();
        assert!(
            problem.contains(&programs.dir.path().display().to_string()) && problem.contains("install"),
            "{problem}"
        );
        let plain = programs.path("plain");
        fs::write(&plain, "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink("/nowhere/pi", programs.path("dangling")).unwrap();
        let problem = find(Some("plain"), &programs.settings).unwrap_err();
        assert!(problem.contains("/plain is not executable"), "{problem}");
        programs.add("empty", "");
        let own = |name: &str| programs.path(name).display().to_string();
        for (command, says) in [
            ("bin/claude".to_owned(), "absolute"),
            ("/nowhere/claude".into(), "/nowhere/claude does not exist"),
            ("/etc".into(), "is a directory"),
            ("/dev/null".into(), "is not a regular file"),
            (own("plain"), "is not executable\nhelp: run `chmod +x"),
            (own("dangling"), "is a link to /nowhere/pi, which does not exist"),
            (own("empty"), "is empty"),
        ] {
            programs.settings.command = Some(command.clone());
            let problem = find(None, &programs.settings).unwrap_err();
            assert!(problem.contains(says), "{command}: {problem}");
        }
    }
}
