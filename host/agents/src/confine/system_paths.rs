//! What every agent may use of the system it runs on: programs, libraries, and what those expect to find. A path that
//! is not there is left out; one that is a link stands for what it leads to.
//!
//! Not on the list, on purpose: home folders, `/tmp`, `/var`, `/run`, `/srv`, `/mnt`, and of `/etc` whatever may hold
//! a secret (keys, password hashes, service configuration). `/dev/shm` and terminals are shared with others.

/// May be read and run.
pub(super) const PROGRAMS: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    // Where CI runners and vendors put their toolchains.
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/snap",
];

/// May be read.
pub(super) const READABLE: &[&str] = &[
    // Of a process that is not the agent's, the kernel shows no more than what `ps` does: see `confine`.
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
    // What the system is, its time and its language.
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

/// May be read and written; nobody else reads what is written there.
pub(super) const DEVICES: &[&str] = &["/dev/full", "/dev/null", "/dev/tty", "/dev/zero"];
