//! The parts of the system that every agent may use: programs, libraries and the files they expect. Missing paths are
//! skipped; links stand for their targets.
//!
//! Deliberately not listed: home directories, `/tmp`, `/var`, `/run`, `/srv`, `/mnt`, and files in `/etc` that may
//! contain secrets (keys, password hashes, service configuration). `/dev/shm` and terminals are shared with others.

/// Readable and executable.
pub(super) const PROGRAMS: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    // CI runners and vendors install toolchains here.
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/snap",
];

/// Readable.
pub(super) const READABLE: &[&str] = &[
    // The kernel shows no more of other processes than `ps` does: see `confinement`.
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/random",
    "/dev/urandom",
    // The dynamic linker.
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    // Names of users, hosts and services.
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/networks",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    // Public certificates.
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    // The system's name, time and language.
    "/etc/debian_version",
    "/etc/default/locale",
    "/etc/locale.conf",
    "/etc/localtime",
    "/etc/lsb-release",
    "/etc/os-release",
    "/etc/redhat-release",
    "/etc/timezone",
    // Shells and common tools.
    "/etc/alternatives",
    "/etc/bash.bashrc",
    "/etc/bashrc",
    "/etc/gitattributes",
    "/etc/gitconfig",
    "/etc/inputrc",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/profile",
    "/etc/profile.d",
    "/etc/shells",
    "/etc/terminfo",
];

/// Readable and writable; nobody else can read what is written there.
pub(super) const DEVICES: &[&str] = &["/dev/full", "/dev/null", "/dev/tty", "/dev/zero"];
