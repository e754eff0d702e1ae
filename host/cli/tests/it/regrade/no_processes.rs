//! A program that cannot start another: the kernel refuses it every new process, but no thread.

use std::{io, os::unix::process::CommandExt, process::Command};

/// The kernel's answer to a call.
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
/// Where `clone3` is not there, the C library uses `clone`, whose flags a filter can read.
const ABSENT: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Places in `seccomp_data`.
const NUMBER: u32 = 0;
const FIRST_ARGUMENT: u32 = 16;

/// Denies `command` every process beside its own.
pub(crate) fn without_processes(command: &mut Command) {
    // SAFETY: between fork and exec it only makes two system calls, with memory of its own.
    unsafe {
        command.pre_exec(|| {
            let mut filter = filter();
            let program =
                libc::sock_fprog { len: u16::try_from(filter.len()).unwrap_or(0), filter: filter.as_mut_ptr() };
            let pointer: *const libc::sock_fprog = &raw const program;
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, pointer) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

#[cfg(target_arch = "x86_64")]
const FORKS: [libc::c_long; 2] = [libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORKS: [libc::c_long; 2] = [libc::SYS_clone3, libc::SYS_clone3];

fn filter() -> [libc::sock_filter; 12] {
    let load = |place| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, place);
    let answer = |answer| statement(libc::BPF_RET | libc::BPF_K, answer);
    let skip_unless = |number: libc::c_long| {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        libc::sock_filter { jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number) }
    };
    let skip_if =
        |bits: u32| libc::sock_filter { jt: 1, ..statement(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, bits) };
    [
        load(NUMBER),
        skip_unless(libc::SYS_clone3),
        answer(ABSENT),
        skip_unless(FORKS[0]),
        answer(REFUSE),
        skip_unless(FORKS[1]),
        answer(REFUSE),
        libc::sock_filter {
            jf: 3,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, u32::try_from(libc::SYS_clone).unwrap_or(u32::MAX))
        },
        load(FIRST_ARGUMENT),
        skip_if(libc::CLONE_THREAD as u32),
        answer(REFUSE),
        answer(ALLOW),
    ]
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt: 0, jf: 0, k }
}
