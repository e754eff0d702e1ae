//! A seccomp filter for system calls that bypass Landlock. They fail as on a kernel without them, so that programs fall
//! back.
//!
//! | call | what it could be used for |
//! |---|---|
//! | `socket` of MPTCP, SCTP and the like, or of families other than UNIX, IPv4, IPv6 and netlink | reaching any port: Landlock only covers TCP, and MPTCP falls back to it |
//! | `sendto`, `sendmsg`, `sendmmsg` with `MSG_FASTOPEN` | the same: a TCP connection without `connect` |
//! | `io_uring_setup` | the same: its operations bypass filters |
//! | `prlimit64` of another process | killing the host with a CPU time limit, or stopping its record with a file size limit |
//! | `add_key`, `request_key`, `keyctl` | the user's keyrings, which the host's session shares |
//! | all of these of another architecture | the same in 32 bits |

use std::{io, mem::offset_of};

use libc::{seccomp_data, sock_filter};

/// The architecture's number, and the bit that marks calls of a foreign ABI (x32), if any.
#[cfg(target_arch = "x86_64")]
const NATIVE_ARCH: (u32, Option<u32>) = (0xc000_003e, Some(0x4000_0000));
#[cfg(target_arch = "aarch64")]
const NATIVE_ARCH: (u32, Option<u32>) = (0xc000_00b7, None);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const NATIVE_ARCH: (u32, Option<u32>) = (0, None);

/// The other architecture its kernel supports, and the calls denied there: `socketcall`, `socket`, `sendto`, `sendmsg`,
/// `sendmmsg`, `add_key`, `request_key`, `keyctl`, `io_uring_setup`, `prlimit64`.
#[cfg(target_arch = "x86_64")]
const FOREIGN_ARCH: (u32, &[u32]) = (0x4000_0003, &[102, 359, 369, 370, 345, 286, 287, 288, 425, 340]);
#[cfg(target_arch = "aarch64")]
const FOREIGN_ARCH: (u32, &[u32]) = (0x4000_0028, &[102, 281, 290, 296, 374, 309, 310, 311, 425, 369]);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FOREIGN_ARCH: (u32, &[u32]) = (0, &[]);

/// Calls that are denied, with the error the kernel uses for that.
const DENIED_CALLS: [(libc::c_long, i32); 4] = [
    (libc::SYS_io_uring_setup, libc::ENOSYS),
    (libc::SYS_add_key, libc::EPERM),
    (libc::SYS_request_key, libc::EPERM),
    (libc::SYS_keyctl, libc::EPERM),
];

/// The index of the flags among the call's arguments.
const SEND_CALLS: [(libc::c_long, usize); 3] = [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)];

/// Whether this kernel supports filters, and the calls of its architecture are known.
pub(super) fn available() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the kernel reads the action, which lives here.
    NATIVE_ARCH.0 != 0
        && unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

pub(super) struct SeccompFilter(Vec<sock_filter>);

impl SeccompFilter {
    pub(super) fn new() -> Self {
        let own = native_filter();
        let foreign: Vec<sock_filter> = FOREIGN_ARCH
            .1
            .iter()
            .flat_map(|call| on_call(*call, vec![refuse(libc::ENOSYS)]))
            .chain([allow()])
            .collect();
        let mut all = vec![load(offset_of!(seccomp_data, arch)), equal(NATIVE_ARCH.0, 0, 1), jump(3 + foreign.len())];
        all.extend([equal(FOREIGN_ARCH.0, 1, 0), refuse(libc::ENOSYS), load(offset_of!(seccomp_data, nr))]);
        all.extend(foreign);
        all.extend(own);
        Self(all)
    }

    /// Filters the calls of the calling thread, which must have no new privileges, permanently. Makes one system call.
    pub(super) fn enter(&self) -> io::Result<()> {
        let length = u16::try_from(self.0.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let program = libc::sock_fprog { len: length, filter: self.0.as_ptr().cast_mut() };
        // Avoids mitigations that would slow the agent down; the filter is not about speculation.
        let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        // SAFETY: the kernel copies the program, which lives until then, and does not change it.
        let done =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn native_filter() -> Vec<sock_filter> {
    let mut all = vec![load(offset_of!(seccomp_data, nr))];
    if let Some(bit) = NATIVE_ARCH.1 {
        all.extend([any_bit(bit, 0, 1), refuse(libc::ENOSYS)]);
    }
    for (call, error) in DENIED_CALLS {
        all.extend(on_call(call_number(call), vec![refuse(error)]));
    }
    all.extend(on_call(call_number(libc::SYS_socket), socket_filter()));
    for (call, flags) in SEND_CALLS {
        let flag = libc::MSG_FASTOPEN.cast_unsigned();
        all.extend(on_call(
            call_number(call),
            vec![load_argument(flags), any_bit(flag, 0, 1), refuse(libc::EOPNOTSUPP), allow()],
        ));
    }
    all.extend(on_call(call_number(libc::SYS_prlimit64), prlimit_filter()));
    all.push(allow());
    all
}

/// Allows UNIX and netlink sockets, and of the internet's stream sockets only TCP.
fn socket_filter() -> Vec<sock_filter> {
    let is = |what: i32, then, or| equal(what.cast_unsigned(), then, or);
    vec![
        load_argument(0),
        is(libc::AF_INET, 5, 0),
        is(libc::AF_INET6, 4, 0),
        is(libc::AF_UNIX, 2, 0),
        is(libc::AF_NETLINK, 1, 0),
        refuse(libc::EAFNOSUPPORT),
        allow(),
        load_argument(1),
        // The remaining bits are flags.
        mask_bits(0xf),
        is(libc::SOCK_DGRAM, 6, 0),
        is(libc::SOCK_RAW, 5, 0),
        is(libc::SOCK_STREAM, 0, 3),
        load_argument(2),
        is(0, 2, 0),
        is(libc::IPPROTO_TCP, 1, 0),
        refuse(libc::EPROTONOSUPPORT),
        allow(),
    ]
}

/// A process refers to itself as pid 0. Reading the limits of others is harmless.
fn prlimit_filter() -> Vec<sock_filter> {
    let new = offset_of!(seccomp_data, args) + 2 * size_of::<u64>();
    vec![
        load_argument(0),
        equal(0, 4, 0),
        load(new),
        equal(0, 0, 3),
        load(new + size_of::<u32>()),
        equal(0, 0, 1),
        allow(),
        refuse(libc::EPERM),
    ]
}

/// Runs `then`, which must end with a return, if the loaded call number is `call`.
fn on_call(call: u32, then: Vec<sock_filter>) -> Vec<sock_filter> {
    let skipped = u8::try_from(then.len()).unwrap_or(u8::MAX);
    std::iter::once(equal(call, 0, skipped)).chain(then).collect()
}

fn call_number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

const fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

fn load(offset: usize) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32, 0, 0)
}

/// Loads the lower half of an argument: for an `int` the kernel ignores the rest. These architectures store it first.
fn load_argument(index: usize) -> sock_filter {
    load(offset_of!(seccomp_data, args) + index * size_of::<u64>())
}

fn equal(value: u32, then: u8, or: u8) -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, then, or)
}

fn any_bit(mask: u32, then: u8, or: u8) -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, mask, then, or)
}

fn mask_bits(mask: u32) -> sock_filter {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask, 0, 0)
}

fn jump(over: usize) -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JA, over as u32, 0, 0)
}

fn refuse(error: i32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | error.cast_unsigned(), 0, 0)
}

fn allow() -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0)
}
