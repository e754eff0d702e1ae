//! An agent's own view of the file system, in which the directories of all other attempts are not there.
//!
//! Landlock keeps an agent from reading and writing them, and from nothing that the kernel asks no right for: their mode,
//! owner and times, and what is reported of names. Where this process may mount (root does, unless a container takes that
//! away), an empty file system lies over the run's workspace, with the attempt's own directories in it. Elsewhere the
//! names of the directories, which cannot be guessed, have to do.

use std::{
    env,
    ffi::{CString, OsStr},
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::ffi::OsStrExt, unix::fs::OpenOptionsExt},
    path::Path,
};

/// Room for a few empty directories.
const OPTIONS: &str = "mode=0711,size=64k,nr_inodes=64";

/// Gives this process, which has one thread, and all that it starts the view. Nothing changes where it may not mount.
///
/// # Errors
/// It was changed only in part.
pub(super) fn enter(hidden: &Path, shown: &Path) -> io::Result<()> {
    let Ok(within) = shown.strip_prefix(hidden) else { return Ok(()) };
    let here = env::current_dir()?;
    // SAFETY: plain system calls; this process has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Ok(());
    }
    // What is mounted from here on is this process's own. Where `/` is not a mount point nothing may be mounted at all.
    if mount("none", Path::new("/"), "", libc::MS_SLAVE | libc::MS_REC, "").is_err() {
        return Ok(());
    }
    let own = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(shown)?;
    let safe = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    if mount("none", hidden, "tmpfs", safe, OPTIONS).is_err() {
        return Ok(());
    }
    let place = hidden.join(within);
    let put = fs::create_dir_all(&place).and_then(|()| {
        mount(&format!("/proc/self/fd/{}", own.as_raw_fd()), &place, "", libc::MS_BIND, "")?;
        mount("none", hidden, "", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | safe, "")
    });
    if let Err(error) = put {
        let path = c_string(hidden.as_os_str())?;
        // SAFETY: a plain system call with a text that lives here.
        return if unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) } < 0 { Err(error) } else { Ok(()) };
    }
    // The old one lies below the new file system, and from there `..` leads to what is hidden.
    env::set_current_dir(here)
}

fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let [source, kind, options] = [source, kind, options].map(OsStr::new).map(c_string);
    let (source, kind, options) = (source?, kind?, options?);
    let target = c_string(target.as_os_str())?;
    // SAFETY: a plain system call with texts that live here.
    let done = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}
