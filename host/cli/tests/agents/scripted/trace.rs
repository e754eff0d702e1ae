//! What the processes of a traced run changed in the file system, as `strace` tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
    process::Command,
};

/// Calls that make, change or remove what is in a folder. Modes, owners and times are left out: Landlock knows none.
const CHANGES: &str = "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,\
                       symlink,symlinkat,unlink,unlinkat,rmdir,truncate,bind";

/// `command`, traced into the file `into` with all that it starts.
pub(crate) fn traced(command: &Command, into: &Path) -> Command {
    // Nothing else sees what one process tree does and no other: folders before and after show neither who wrote nor
    // what is gone again.
    let there = Command::new("strace").arg("-V").output();
    assert!(there.is_ok_and(|output| output.status.success()), "strace is missing: install it with your packages");
    let mut traced = Command::new("strace");
    let calls = format!("trace={CHANGES},chdir,execve,clone,clone3,fork,vfork");
    // With `--seccomp-bpf` all other calls run at full speed; `-y` resolves descriptors, links on the way included.
    traced.args(["-f", "-q", "-y", "--seccomp-bpf", "-e", "signal=none", "-e", &calls, "-o"]);
    traced.arg(into).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        traced.current_dir(folder);
    }
    traced.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.stdin(std::process::Stdio::null());
    traced
}

/// What succeeded of a trace, by process.
pub(crate) struct Trace {
    calls: Vec<(u32, String)>,
    /// The supervisors of sessions, and all that they started.
    agents: BTreeSet<u32>,
    /// The threads that share their descriptors with another one.
    threads: BTreeMap<u32, u32>,
}

impl Trace {
    pub(crate) fn of(text: &str) -> Self {
        let calls = calls(text);
        let (mut parents, mut threads) = (BTreeMap::new(), BTreeMap::new());
        let mut agents = BTreeSet::new();
        for (process, call) in &calls {
            if ["clone(", "clone3(", "fork(", "vfork("].iter().any(|name| call.starts_with(name)) {
                let child: u32 = answer(call).parse().unwrap_or_else(|_| panic!("{call}"));
                parents.insert(child, *process);
                if call.contains("CLONE_FILES") {
                    threads.insert(child, *process);
                }
            } else if call.starts_with("execve(") && call.contains("[\"host\", \"supervise\"") {
                agents.insert(*process);
            }
        }
        let supervisors = agents.clone();
        for (process, _) in &calls {
            let mut ancestors = std::iter::successors(Some(*process), |process| parents.get(process).copied());
            if ancestors.any(|ancestor| supervisors.contains(&ancestor)) {
                agents.insert(*process);
            }
        }
        Self { calls, agents, threads }
    }

    /// How many programs the agents' processes started.
    pub(crate) fn programs(&self) -> usize {
        self.of_agents().filter(|call| call.starts_with("execve(")).count()
    }

    /// The paths that agents changed, each with its call.
    pub(crate) fn changed(&self) -> Vec<(PathBuf, &str)> {
        let mut opened: BTreeMap<(u32, &str), &str> = BTreeMap::new();
        let mut found = Vec::new();
        for (process, call) in self.calls.iter().filter(|(process, _)| self.agents.contains(process)) {
            let shared = std::iter::successors(Some(*process), |thread| self.threads.get(thread).copied()).last();
            let process = shared.unwrap_or(*process);
            if let Some((descriptor, path)) = call.rsplit_once(" = ").and_then(|(_, answer)| answer.split_once('<')) {
                opened.insert((process, descriptor), path.trim_end_matches('>'));
            }
            found.extend(changed(call).into_iter().map(|path| {
                // Of a folder that is open, whatever its path is now.
                let below = path.strip_prefix("/proc/self/fd").ok().and_then(Path::to_str);
                let below = below.and_then(|below| below.split_once('/'));
                let known =
                    below.and_then(|(number, name)| Some(Path::new(opened.get(&(process, number))?).join(name)));
                (known.unwrap_or(path), call.as_str())
            }));
        }
        found
    }

    /// The folders that agents went into.
    pub(crate) fn entered(&self) -> Vec<PathBuf> {
        self.of_agents().filter(|call| call.starts_with("chdir(")).flat_map(paths).collect()
    }

    fn of_agents(&self) -> impl Iterator<Item = &str> {
        self.calls.iter().filter(|(process, _)| self.agents.contains(process)).map(|(_, call)| call.as_str())
    }
}

/// Whether `path` stays in one of `folders`. One that is relative does, as all working directories are there.
pub(crate) fn is_within(path: &Path, folders: &[PathBuf]) -> bool {
    let depth = path.components().try_fold(0_usize, |depth, component| match component {
        Component::ParentDir => depth.checked_sub(1),
        Component::Normal(_) => Some(depth + 1),
        _ => Some(depth),
    });
    depth.is_some() && (path.is_relative() || folders.iter().any(|folder| path.starts_with(folder)))
}

/// The calls that succeeded. One that others came between is in two parts.
fn calls(text: &str) -> Vec<(u32, String)> {
    let mut begun: BTreeMap<u32, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let (process, call) = (process.parse().unwrap_or_else(|_| panic!("{line}")), call.trim_start());
        if let Some(beginning) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(process, beginning);
            continue;
        }
        let end = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>")).map(|(_, end)| end);
        let call =
            end.map_or_else(|| call.to_owned(), |end| begun.remove(&process).unwrap_or_default().to_owned() + end);
        if !answer(&call).is_empty() && !answer(&call).starts_with(['-', '?']) {
            calls.push((process, call));
        }
    }
    calls
}

/// What a call returned.
fn answer(call: &str) -> &str {
    call.rsplit_once(" = ").map_or("", |(_, answer)| answer.split(' ').next().unwrap_or_default())
}

fn changed(call: &str) -> Vec<PathBuf> {
    let name = call.split('(').next().unwrap_or_default();
    match name {
        "open" | "openat" | "openat2" | "creat" => {
            let writes =
                ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| call.contains(flag));
            // The descriptor's own path, as the kernel has it.
            let opened = call.rsplit_once(" = ").and_then(|(_, answer)| answer.split_once('<')).map(|(_, path)| path);
            opened.filter(|_| writes || name == "creat").map(plain).into_iter().collect()
        }
        // The paths that the others begin with are read.
        "link" | "linkat" | "symlink" | "symlinkat" => paths(call).pop().into_iter().collect(),
        "bind" => {
            let path = call.split_once("sun_path=\"").and_then(|(_, path)| path.split('"').next());
            path.map(PathBuf::from).into_iter().collect()
        }
        "chdir" | "execve" | "clone" | "clone3" | "fork" | "vfork" => Vec::new(),
        _ => paths(call),
    }
}

fn plain(path: &str) -> PathBuf {
    PathBuf::from(path.trim_end_matches('>').trim_end_matches(" (deleted)"))
}

/// The paths in quotes, each below the folder of the descriptor before it.
fn paths(call: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = call.rsplit_once(" = ").map_or(call, |(call, _)| call);
    while let Some((before, after)) = rest.split_once('"') {
        let Some((path, after)) = after.split_once('"') else { break };
        let folder = before.strip_suffix(">, ").and_then(|before| before.rsplit_once('<')).map(|(_, folder)| folder);
        found.push(folder.map_or_else(PathBuf::new, PathBuf::from).join(path));
        rest = after;
    }
    found
}

#[test]
fn a_trace_separates_changes_of_agents_and_host() {
    let text = "\
10 execve(\"/bin/host\", [\"host\", \"run\"], 0x7ff /* 6 vars */) = 0
10 openat(AT_FDCWD</suite>, \"log\", O_WRONLY|O_CREAT, 0666) = 3</suite/log>
10 vfork() = 11
11 execve(\"/proc/self/exe\", [\"host\", \"supervise\", \"--\", \"agent\"], 0x7ff /* 6 vars */) = 0
11 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD, stack=0x7f, stack_size=0x9000} => {parent_tid=[0]}, 88) = 12
12 chdir(\"sub\") = 0
12 execve(\"/bin/agent\", [\"agent\"], 0x7ff /* 6 vars */) = 0
13 openat(AT_FDCWD</a/root>, \"link/new\", O_RDWR|O_CLOEXEC) = 4</elsewhere/new>
13 openat(AT_FDCWD</a/root>, \"only-read\", O_RDONLY) = 4</a/root/only-read>
12 clone(child_stack=NULL, flags=CLONE_FILES|CLONE_THREAD <unfinished ...>
13 mkdir(\"/tmp/refused\", 0777) = -1 EACCES (Permission denied)
12 <... clone resumed>) = 13
13 rename(\"/tmp/left\", \"/tmp/half\" <unfinished ...>
13 <... rename resumed>) = ?
13 mkdirat(5</a/root>, \"made\", 0777) = 0
12 openat(AT_FDCWD</a/root>, \"/b\", O_RDONLY|O_DIRECTORY) = 7</b>
13 unlink(\"/proc/self/fd/7/gone\") = 0
13 rename(\"from\", \"/tmp/to\") = 0
13 symlink(\"/target\", \"../at\") = 0
13 bind(5<UNIX-STREAM:[1]>, {sa_family=AF_UNIX, sun_path=\"/tmp/socket\"}, 110) = 0
13 bind(5<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = 0
";
    let trace = Trace::of(text);
    let changed: Vec<PathBuf> = trace.changed().into_iter().map(|(path, _)| path).collect();
    let expected = ["/elsewhere/new", "/a/root/made", "/b/gone", "from", "/tmp/to", "../at", "/tmp/socket"];
    assert_eq!(changed, expected.map(PathBuf::from));
    assert_eq!((trace.entered(), trace.programs()), (vec![PathBuf::from("sub")], 2));
    let within = |path: &PathBuf| is_within(path, &["/a".into()]);
    let outside: Vec<&PathBuf> = changed.iter().filter(|path| !within(path)).collect();
    assert_eq!(outside, ["/elsewhere/new", "/b/gone", "/tmp/to", "../at", "/tmp/socket"].map(Path::new));
}
