//! Holds an agent to its [`Confinement`], by means of the Linux kernel. It is done in the process that becomes the
//! agent, just before its program starts, and cannot be undone by it or by anything it starts.
//!
//! | means | holds it to |
//! |---|---|
//! | Landlock | the files, devices and TCP ports that are listed; signals and abstract sockets within its own processes |
//! | no new privileges | setuid programs and file capabilities give it nothing |
//! | capabilities | as root, it keeps those that concern the files it can reach |
//! | a filter of system calls | no ways around Landlock: see `seccomp` |
//! | a mount namespace, where the host may make one | the directories of other attempts are not there: see `mount_view` |
//! | resource limits | the bounds of [`ProcessLimits`](host_model::ProcessLimits); no core dumps |
//!
//! Landlock also guards processes outside: what needs the right to trace one (`/proc/PID/environ`, `mem`, `maps`,
//! `fd`, `cwd`) is refused, although `/proc` itself can be read. The host's environment may hold secrets.
//!
//! Not covered, as the kernel has no means for it or not yet: changing mode, owner and times of files elsewhere, UDP,
//! listening on a TCP port that the system picks, sockets with a path, what others can see of a process (`cmdline`,
//! `status`), System V IPC.

mod mount_view;
mod seccomp;
mod system_paths;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};
use rustix::{
    fs::FileType,
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities},
};
use serde::{Deserialize, Serialize};

use crate::confine::seccomp::Calls;
use host_model::{Confinement, ConfinementMode, Ports, ProcessLimits};

/// The newest Landlock whose rights are asked for. A kernel that has less gives what it has.
const NEWEST: ABI = ABI::V9;

/// What Landlock has to know for the whole policy to hold.
const COMPLETE: i32 = 6;

/// What each version of Landlock brought that a policy needs.
const BROUGHT: [(i32, &str); 4] = [
    (3, "truncating files elsewhere"),
    (4, "TCP"),
    (5, "ioctl on devices"),
    (6, "signals to other processes and abstract sockets"),
];

/// Capabilities that root keeps: they concern files, which Landlock guards, and listening on low ports.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// A [`Confinement`] on its way to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Policy {
    mode: ConfinementMode,
    // Paths need not be text.
    writable: Vec<OsString>,
    readable: Vec<OsString>,
    tcp_connect: Ports,
    tcp_bind: Ports,
    limits: ProcessLimits,
    /// What is hidden, and what of it is shown.
    view: Option<(OsString, OsString)>,
}

impl Policy {
    /// Gives the calling process, which has one thread, and all that it starts its view of the file system.
    ///
    /// # Errors
    /// It has a part of it only.
    pub(crate) fn enter_view(&self) -> io::Result<()> {
        match &self.view {
            Some((hidden, shown)) if self.mode != ConfinementMode::None => {
                mount_view::enter(Path::new(hidden), Path::new(shown))
            }
            _ => Ok(()),
        }
    }
}

impl From<&Confinement> for Policy {
    fn from(confinement: &Confinement) -> Self {
        let names = |paths: &[PathBuf]| paths.iter().map(|path| path.clone().into_os_string()).collect();
        Self {
            mode: confinement.mode,
            writable: names(&confinement.writable),
            readable: names(&confinement.readable),
            tcp_connect: confinement.tcp_connect.clone(),
            tcp_bind: confinement.tcp_bind.clone(),
            limits: confinement.limits.clone(),
            view: confinement.view.clone().map(|view| (view.hidden.into(), view.shown.into())),
        }
    }
}

/// How far an agent is confined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confined {
    /// As its policy asks: by Landlock, or not at all.
    AsAsked,
    /// Less, and why.
    Short(String),
}

/// A policy, made ready to be entered.
#[derive(Debug)]
pub(crate) struct Cage {
    /// None where it is not to be confined.
    walls: Option<Walls>,
    confined: Confined,
    limits: ProcessLimits,
}

/// What the kernel holds an agent by.
#[derive(Debug)]
struct Walls {
    /// None once it is entered.
    ruleset: Option<RulesetCreated>,
    /// Whether the kernel has Landlock: that it then does nothing must not pass.
    landlock: bool,
    calls: Option<Calls>,
}

impl Cage {
    /// Opens what the policy names, so that entering it makes few system calls. `program` may be read and run too.
    ///
    /// # Errors
    /// A path cannot be opened, or the kernel cannot do what the policy requires.
    pub(crate) fn prepare(policy: &Policy, program: &Path) -> Result<Self, String> {
        let limits = policy.limits.clone();
        if policy.mode == ConfinementMode::None {
            return Ok(Self { walls: None, confined: Confined::AsAsked, limits });
        }
        let (version, filters) = (landlock_version(), seccomp::available());
        let confined = match shortfall(version, filters) {
            Some(why) if policy.mode == ConfinementMode::Required => {
                return Err(format!("`confine = \"required\"`, but {why}"));
            }
            Some(why) => Confined::Short(why),
            None => Confined::AsAsked,
        };
        let ruleset = Some(ruleset(policy, program)?);
        let walls = Walls { ruleset, landlock: version > 0, calls: filters.then(Calls::new) };
        Ok(Self { walls: Some(walls), confined, limits })
    }

    /// How far it confines.
    pub(crate) fn confined(&self) -> &Confined {
        &self.confined
    }

    /// Confines the calling thread, for good. Makes system calls only, unless it fails.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        // A dump of an agent's memory has its credentials.
        limit(Resource::Core, Some(0))?;
        limit(Resource::Nproc, self.limits.processes)?;
        limit(Resource::Fsize, self.limits.file_size)?;
        limit(Resource::As, self.limits.address_space)?;
        rustix::thread::set_no_new_privs(true)?;
        self.walls.as_mut().map_or(Ok(()), Walls::enter)
    }
}

impl Walls {
    fn enter(&mut self) -> io::Result<()> {
        if let Some(ruleset) = self.ruleset.take() {
            let status = ruleset.restrict_self().map_err(|_| io::Error::last_os_error())?;
            if self.landlock && status.ruleset == RulesetStatus::NotEnforced {
                return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
            }
        }
        drop_capabilities()?;
        self.calls.as_ref().map_or(Ok(()), Calls::enter)
    }
}

/// The version of Landlock that this kernel has; 0 where there is none, it is off or not allowed.
fn landlock_version() -> i32 {
    const VERSION: libc::c_uint = 1;
    let no_attributes = std::ptr::null::<libc::c_void>();
    // SAFETY: asks for the version; the kernel reads and writes no memory for that.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, no_attributes, 0_usize, VERSION) };
    i32::try_from(answer).unwrap_or(0).max(0)
}

/// Whether agents can be confined on this machine.
///
/// # Errors
/// What a kernel that cannot, or not fully, leaves open.
pub fn confinement_available() -> Result<(), String> {
    shortfall(landlock_version(), seccomp::available()).map_or(Ok(()), Err)
}

/// What a kernel with this version of Landlock, and with filters of system calls or without, does not hold an agent to.
fn shortfall(version: i32, filters: bool) -> Option<String> {
    if version <= 0 {
        return Some(
            "this kernel has no Landlock (Linux 5.13, built in and switched on), so nothing is confined".into(),
        );
    }
    let open: Vec<&str> = BROUGHT.iter().filter(|(since, _)| *since > version).map(|(_, what)| *what).collect();
    let open = open.join(", ");
    let old = (version < COMPLETE).then(|| {
        format!(
            "this kernel's Landlock is of version {version} and not {COMPLETE} (Linux 6.12): not confined is {open}"
        )
    });
    let unfiltered = (!filters).then(|| {
        "this kernel does not filter system calls (seccomp): not confined are MPTCP, TCP without `connect`, the \
         limits of other processes and keyrings"
            .to_owned()
    });
    match (old, unfiltered) {
        (Some(old), Some(unfiltered)) => Some(format!("{old}; {unfiltered}")),
        (old, unfiltered) => old.or(unfiltered),
    }
}

fn ruleset(policy: &Policy, program: &Path) -> Result<RulesetCreated, String> {
    let mut ruleset = create(policy).map_err(|error| format!("Landlock refuses the policy: {error}"))?;
    for path in system_paths::PROGRAMS {
        ruleset = allow(ruleset, Path::new(path), RUN, Missing::Fine)?;
    }
    for path in system_paths::READABLE {
        ruleset = allow(ruleset, Path::new(path), READ, Missing::Fine)?;
    }
    for path in system_paths::DEVICES {
        ruleset = allow(ruleset, Path::new(path), READ | AccessFs::WriteFile | AccessFs::IoctlDev, Missing::Fine)?;
    }
    // The host itself may be the agent, or be what a wrapper of it starts.
    ruleset = allow(ruleset, Path::new("/proc/self/exe"), RUN, Missing::Fine)?;
    if program.components().count() > 1 {
        // What is not there shows with the start.
        ruleset = allow(ruleset, program, RUN, Missing::Fine)?;
    }
    for path in &policy.readable {
        ruleset = allow(ruleset, Path::new(path), RUN, Missing::Wrong)?;
    }
    for path in &policy.writable {
        ruleset = allow(ruleset, Path::new(path), change(), Missing::Wrong)?;
    }
    for (ports, access) in [(&policy.tcp_connect, AccessNet::ConnectTcp), (&policy.tcp_bind, AccessNet::BindTcp)] {
        let Ports::Only(ports) = ports else { continue };
        for port in ports {
            ruleset = ruleset
                .add_rule(NetPort::new(*port, access))
                .map_err(|error| format!("cannot allow the port {port}: {error}"))?;
        }
    }
    Ok(ruleset)
}

fn create(policy: &Policy) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    if policy.tcp_connect != Ports::Any {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    if policy.tcp_bind != Ports::Any {
        ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
    }
    ruleset.create()
}

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const RUN: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir | Execute});

/// Everything but making devices: a node of the disk's would be the whole disk.
fn change() -> BitFlags<AccessFs> {
    AccessFs::from_all(NEWEST) & !(AccessFs::MakeChar | AccessFs::MakeBlock)
}

/// What it means that a path is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fine,
    Wrong,
}

fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
    missing: Missing,
) -> Result<RulesetCreated, String> {
    let refused = |error: &dyn std::fmt::Display| format!("cannot let the agent use {}: {error}", path.display());
    let opened = match PathFd::new(path) {
        Ok(opened) => opened,
        Err(_) if missing == Missing::Fine => return Ok(ruleset),
        Err(_) => {
            return Err(refused(
                &std::fs::metadata(path).err().map_or("it cannot be opened".into(), |it| it.to_string()),
            ));
        }
    };
    let stat = rustix::fs::fstat(&opened).map_err(|error| refused(&error))?;
    // The other rights mean nothing for a file, and are refused by the kernel.
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let access = if is_directory { access } else { access & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(opened, access)).map_err(|error| refused(&error))
}

fn limit(resource: Resource, most: Option<u64>) -> io::Result<()> {
    let Some(most) = most else { return Ok(()) };
    // Nobody without privileges may raise what there is.
    let most = getrlimit(resource).maximum.map_or(most, |now| now.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Root's powers beyond files (kernel modules, raw sockets, other users, the clock) are no matter of Landlock's.
fn drop_capabilities() -> io::Result<()> {
    // A program that root runs gets what is in the bounding set. Who may not drop from it is not root.
    for number in 0..u64::BITS {
        if KEPT.bits() & (1 << number) == 0 {
            // SAFETY: a plain system call; an unknown number is refused, which is fine.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        }
    }
    clear_ambient_capability_set()?;
    let permitted = capabilities(None)?.permitted & KEPT;
    set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_cannot_do_is_named() {
        assert!(shortfall(0, true).unwrap().contains("no Landlock"));
        let first = shortfall(1, true).unwrap();
        assert!(BROUGHT.iter().all(|(_, what)| first.contains(what)), "{first}");
        let fourth = shortfall(4, true).unwrap();
        assert!(fourth.contains("signals") && !fourth.contains("TCP"), "{fourth}");
        assert_eq!(shortfall(COMPLETE, true), None);
        assert_eq!(shortfall(99, true), None);
        assert!(shortfall(99, false).unwrap().contains("MPTCP"));
        let neither = shortfall(4, false).unwrap();
        assert!(neither.contains("signals") && neither.contains("MPTCP"), "{neither}");
    }

    #[test]
    fn a_policy_travels_whatever_its_paths_are() {
        use std::os::unix::ffi::OsStringExt;
        let odd = PathBuf::from(OsString::from_vec(b"/tmp/\xff\n\"".to_vec()));
        let confinement = Confinement::default().and([odd.clone()], []);
        let text = serde_json::to_string(&Policy::from(&confinement)).unwrap();
        assert!(!text.contains('\n'), "{text}");
        let policy: Policy = serde_json::from_str(&text).unwrap();
        assert_eq!(policy.writable, [odd.into_os_string()]);
        assert_eq!(policy.tcp_connect, Ports::Only(Vec::new()));
    }

    #[test]
    fn a_listed_path_that_is_not_there_is_told() {
        for (writable, readable) in [(vec!["/nowhere/at/all".into()], vec![]), (vec![], vec!["/nowhere/at/all".into()])]
        {
            let policy = Policy::from(&Confinement::default().and(writable, readable));
            let problem = Cage::prepare(&policy, Path::new("sh")).unwrap_err();
            assert!(problem.contains("/nowhere/at/all: No such file"), "{problem}");
        }
    }
}
