//! Enforces an agent's [`Confinement`] with the Linux kernel. The process that becomes the agent confines itself just
//! before the program starts; neither the agent nor anything it starts can undo that.
//!
//! | mechanism | limits the agent to |
//! |---|---|
//! | Landlock | the listed files, devices and TCP ports; signals and abstract sockets within its own processes |
//! | no new privileges | setuid programs and file capabilities have no effect |
//! | capabilities | root keeps only those that concern accessible files |
//! | a system call filter | no ways around Landlock: see `seccomp` |
//! | a mount namespace, if the host may create one | no directories of other attempts: see `mount_view` |
//! | resource limits | the limits of [`ProcessLimits`]; no core dumps |
//!
//! Landlock also protects outside processes: access that requires the right to trace them (`/proc/PID/environ`, `mem`,
//! `maps`, `fd`, `cwd`) is denied, although `/proc` itself is readable. The host's environment may contain secrets.
//!
//! Not covered, because the kernel has no mechanism or not yet: changing mode, owner and times of other files, UDP,
//! listening on a TCP port picked by the system, sockets with a path, what others can see of a process (`cmdline`,
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

use self::seccomp::SeccompFilter;
use host_model::{Confinement, ConfinementMode, Ports, ProcessLimits};

/// The newest Landlock ABI whose rights are requested. An older kernel enforces the ones it has.
const NEWEST_LANDLOCK: ABI = ABI::V9;

/// The Landlock ABI that can enforce all confinement rules.
const COMPLETE_LANDLOCK: i32 = 6;

/// The features that each Landlock ABI added, as far as the rules need them.
const VERSION_FEATURES: [(i32, &str); 4] = [
    (3, "truncating files elsewhere"),
    (4, "TCP"),
    (5, "ioctl on devices"),
    (6, "signals to other processes and abstract sockets"),
];

/// Capabilities that root keeps: for files, which Landlock protects, and for listening on low ports.
const KEPT_CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// A [`Confinement`] as it is sent to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConfinementSpec {
    mode: ConfinementMode,
    // Paths may not be valid UTF-8.
    writable: Vec<OsString>,
    readable: Vec<OsString>,
    tcp_connect: Ports,
    tcp_bind: Ports,
    limits: ProcessLimits,
    /// The hidden directory, and the part of it that is visible.
    view: Option<(OsString, OsString)>,
}

impl ConfinementSpec {
    /// Hides other attempts' directories from the calling process, which must have one thread, and its children.
    ///
    /// # Errors
    /// The view was only partly set up.
    pub(crate) fn enter_view(&self) -> io::Result<()> {
        match &self.view {
            Some((hidden, shown)) if self.mode != ConfinementMode::None => {
                mount_view::enter(Path::new(hidden), Path::new(shown))
            }
            _ => Ok(()),
        }
    }
}

impl From<&Confinement> for ConfinementSpec {
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

pub(crate) struct ConfinementPlan {
    /// `None` for an agent that is not confined.
    rules: Option<ConfinementRules>,
    /// Which part of the requested confinement the kernel cannot enforce.
    pub(crate) unconfined: Option<String>,
    limits: ProcessLimits,
}

struct ConfinementRules {
    /// `None` once it is enforced.
    ruleset: Option<RulesetCreated>,
    /// Whether the kernel supports Landlock: failing to enforce the rules is an error then.
    landlock: bool,
    seccomp: Option<SeccompFilter>,
}

impl ConfinementPlan {
    /// Opens the paths of `spec`, so that entering it takes few system calls. The agent may also read and run
    /// `program`.
    ///
    /// # Errors
    /// A path cannot be opened, or the kernel cannot enforce the required rules.
    pub(crate) fn prepare(spec: &ConfinementSpec, program: &Path) -> Result<Self, String> {
        let limits = spec.limits.clone();
        if spec.mode == ConfinementMode::None {
            return Ok(Self { rules: None, unconfined: None, limits });
        }
        let (version, filters) = (landlock_version(), seccomp::available());
        let unconfined = missing_protection(version, filters);
        if let (Some(why), ConfinementMode::Required) = (&unconfined, spec.mode) {
            return Err(format!("`confinement = \"required\"`, but {why}"));
        }
        let ruleset = Some(ruleset(spec, program)?);
        let rules = ConfinementRules { ruleset, landlock: version > 0, seccomp: filters.then(SeccompFilter::new) };
        Ok(Self { rules: Some(rules), unconfined, limits })
    }

    /// To what extent it confines.
    /// Confines the calling thread permanently. Makes only system calls unless it fails.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        // A core dump would contain the agent's credentials.
        set_limit(Resource::Core, Some(0))?;
        set_limit(Resource::Nproc, self.limits.processes)?;
        set_limit(Resource::Fsize, self.limits.file_size)?;
        set_limit(Resource::As, self.limits.address_space)?;
        rustix::thread::set_no_new_privs(true)?;
        self.rules.as_mut().map_or(Ok(()), ConfinementRules::enter)
    }
}

impl ConfinementRules {
    fn enter(&mut self) -> io::Result<()> {
        if let Some(ruleset) = self.ruleset.take() {
            let status = ruleset.restrict_self().map_err(|_| io::Error::last_os_error())?;
            if self.landlock && status.ruleset == RulesetStatus::NotEnforced {
                return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
            }
        }
        drop_capabilities()?;
        self.seccomp.as_ref().map_or(Ok(()), SeccompFilter::enter)
    }
}

/// The Landlock ABI of this kernel; 0 if there is none, or it is disabled or not allowed.
fn landlock_version() -> i32 {
    const VERSION: libc::c_uint = 1;
    let no_attributes = std::ptr::null::<libc::c_void>();
    // SAFETY: queries the version; the kernel accesses no memory for that.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, no_attributes, 0_usize, VERSION) };
    i32::try_from(answer).unwrap_or(0).max(0)
}

/// Checks whether agents can be confined on this machine.
///
/// # Errors
/// Describes what the kernel cannot enforce.
pub fn confinement_available() -> Result<(), String> {
    missing_protection(landlock_version(), seccomp::available()).map_or(Ok(()), Err)
}

/// Describes what a kernel with this Landlock ABI, and with or without system call filters, cannot enforce.
fn missing_protection(version: i32, filters: bool) -> Option<String> {
    if version <= 0 {
        return Some(
            "this kernel has no Landlock (Linux 5.13 or later, built in and enabled), so agents are not confined"
                .into(),
        );
    }
    let open: Vec<&str> =
        VERSION_FEATURES.iter().filter(|(since, _)| *since > version).map(|(_, what)| *what).collect();
    let open = open.join(", ");
    let mut gaps = Vec::new();
    if version < COMPLETE_LANDLOCK {
        gaps.push(format!(
            "this kernel has Landlock version {version} instead of {COMPLETE_LANDLOCK} (Linux 6.12), which does not \
             confine {open}"
        ));
    }
    if !filters {
        let what = "MPTCP, TCP without `connect`, the limits of other processes and keyrings";
        gaps.push(format!("this kernel does not filter system calls (seccomp), so {what} are not confined"));
    }
    (!gaps.is_empty()).then(|| gaps.join("; "))
}

fn ruleset(spec: &ConfinementSpec, program: &Path) -> Result<RulesetCreated, String> {
    let mut ruleset = new_ruleset(spec).map_err(|error| format!("Landlock rejects the confinement rules: {error}"))?;
    let device_access = READ_ACCESS | AccessFs::WriteFile | AccessFs::IoctlDev;
    for (paths, access) in [
        (system_paths::PROGRAMS, RUN_ACCESS),
        (system_paths::READABLE, READ_ACCESS),
        (system_paths::DEVICES, device_access),
    ] {
        for path in paths {
            ruleset = allow(ruleset, Path::new(path), access, IfMissing::Skip)?;
        }
    }
    // The host itself may be the agent, or a wrapper may start it.
    ruleset = allow(ruleset, Path::new("/proc/self/exe"), RUN_ACCESS, IfMissing::Skip)?;
    if program.components().count() > 1 {
        // If it is missing, starting it reports that.
        ruleset = allow(ruleset, program, RUN_ACCESS, IfMissing::Skip)?;
    }
    for (paths, access) in [(&spec.readable, RUN_ACCESS), (&spec.writable, write_access())] {
        for path in paths {
            ruleset = allow(ruleset, Path::new(path), access, IfMissing::Fail)?;
        }
    }
    for (ports, access) in [(&spec.tcp_connect, AccessNet::ConnectTcp), (&spec.tcp_bind, AccessNet::BindTcp)] {
        let Ports::Only(ports) = ports else { continue };
        for port in ports {
            ruleset = ruleset
                .add_rule(NetPort::new(*port, access))
                .map_err(|error| format!("cannot allow the port {port}: {error}"))?;
        }
    }
    Ok(ruleset)
}

fn new_ruleset(spec: &ConfinementSpec) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST_LANDLOCK))?
        .scope(Scope::from_all(NEWEST_LANDLOCK))?;
    if spec.tcp_connect != Ports::Any {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    if spec.tcp_bind != Ports::Any {
        ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
    }
    ruleset.create()
}

const READ_ACCESS: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const RUN_ACCESS: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir | Execute});

/// Everything except creating devices: a device node of the disk would give access to the whole disk.
fn write_access() -> BitFlags<AccessFs> {
    AccessFs::from_all(NEWEST_LANDLOCK) & !(AccessFs::MakeChar | AccessFs::MakeBlock)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IfMissing {
    Skip,
    Fail,
}

fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
    if_missing: IfMissing,
) -> Result<RulesetCreated, String> {
    let refused =
        |error: &dyn std::fmt::Display| format!("cannot give the agent access to {}: {error}", path.display());
    let opened = match PathFd::new(path) {
        Ok(opened) => opened,
        Err(_) if if_missing == IfMissing::Skip => return Ok(ruleset),
        Err(_) => {
            return Err(refused(
                &std::fs::metadata(path).err().map_or("it cannot be opened".into(), |it| it.to_string()),
            ));
        }
    };
    let stat = rustix::fs::fstat(&opened).map_err(|error| refused(&error))?;
    // The kernel refuses rights for a file that only apply to directories.
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let access = if is_directory { access } else { access & AccessFs::from_file(NEWEST_LANDLOCK) };
    ruleset.add_rule(PathBeneath::new(opened, access)).map_err(|error| refused(&error))
}

fn set_limit(resource: Resource, max: Option<u64>) -> io::Result<()> {
    let Some(max) = max else { return Ok(()) };
    // Raising a hard limit requires privileges.
    let max = getrlimit(resource).maximum.map_or(max, |now| now.min(max));
    Ok(setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) })?)
}

/// Landlock does not cover root's powers beyond files (kernel modules, raw sockets, other users, the clock).
fn drop_capabilities() -> io::Result<()> {
    // A program that root runs gets the bounding set. A process that may not drop from it is not root.
    for number in 0..u64::BITS {
        if KEPT_CAPABILITIES.bits() & (1 << number) == 0 {
            // SAFETY: a plain system call; an unknown number is refused, which is fine.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        }
    }
    clear_ambient_capability_set()?;
    let permitted = capabilities(None)?.permitted & KEPT_CAPABILITIES;
    set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_kernel_features_are_named() {
        assert!(missing_protection(0, true).unwrap().contains("no Landlock"));
        let first = missing_protection(1, true).unwrap();
        assert!(VERSION_FEATURES.iter().all(|(_, what)| first.contains(what)), "{first}");
        let fourth = missing_protection(4, true).unwrap();
        assert!(fourth.contains("signals") && !fourth.contains("TCP"), "{fourth}");
        assert_eq!(missing_protection(COMPLETE_LANDLOCK, true), None);
        assert_eq!(missing_protection(99, true), None);
        assert!(missing_protection(99, false).unwrap().contains("MPTCP"));
        let neither = missing_protection(4, false).unwrap();
        assert!(neither.contains("signals") && neither.contains("MPTCP"), "{neither}");
    }

    #[test]
    fn unusual_paths_are_serialized() {
        use std::os::unix::ffi::OsStringExt;
        let odd = PathBuf::from(OsString::from_vec(b"/tmp/\xff\n\"".to_vec()));
        let confinement = Confinement::default().and([odd.clone()], []);
        let text = serde_json::to_string(&ConfinementSpec::from(&confinement)).unwrap();
        assert!(!text.contains('\n'), "{text}");
        let spec: ConfinementSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(spec.writable, [odd.into_os_string()]);
        assert_eq!(spec.tcp_connect, Ports::Only(Vec::new()));
    }

    #[test]
    fn a_missing_listed_path_is_an_error() {
        for (writable, readable) in [(vec!["/nowhere/at/all".into()], vec![]), (vec![], vec!["/nowhere/at/all".into()])]
        {
            let spec = ConfinementSpec::from(&Confinement::default().and(writable, readable));
            let problem = ConfinementPlan::prepare(&spec, Path::new("sh")).err().unwrap();
            assert!(problem.contains("/nowhere/at/all: No such file"), "{problem}");
        }
    }
}
