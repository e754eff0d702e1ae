//! Hides the directories of other attempts from an agent.
//!
//! Landlock prevents reading and writing them, but not operations for which the kernel checks no Landlock right:
//! querying mode, owner and times, and the existence of names. If this process may mount (root may, except in some
//! containers), an empty file system is mounted over the run's workspace, and the attempt's own directories are mounted
//! into it. Otherwise the unguessable names of the directories have to suffice.

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

/// Sets up the view for this process, which must have one thread, and its children. Without the right to mount, nothing
/// changes.
///
/// # Errors
/// The view was only partly set up.
pub(super) fn enter(hidden: &Path, visible: &Path) -> io::Result<()> {
    let Ok(relative) = visible.strip_prefix(hidden) else { return Ok(()) };
    let here = env::current_dir()?;
    // SAFETY: a plain system call; this process has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Ok(());
    }
    // Later mounts are private to this process. If `/` is not a mount point, nothing can be mounted at all.
    if mount("none", Path::new("/"), "", libc::MS_SLAVE | libc::MS_REC, "").is_err() {
        return Ok(());
    }
    let visible_dir = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(visible)?;
    let safe = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    if mount("none", hidden, "tmpfs", safe, OPTIONS).is_err() {
        return Ok(());
    }
    let place = hidden.join(relative);
    let put = fs::create_dir_all(&place).and_then(|()| {
        mount(&format!("/proc/self/fd/{}", visible_dir.as_raw_fd()), &place, "", libc::MS_BIND, "")?;
        mount("none", hidden, "", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | safe, "")
    });
    if let Err(error) = put {
        let path = c_string(hidden.as_os_str())?;
        // SAFETY: a plain system call with a string that lives here.
        return if unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) } < 0 { Err(error) } else { Ok(()) };
    }
    // The old working directory is below the new file system, and its `..` leads to the hidden directory.
    env::set_current_dir(here)
}

fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let [source, kind, options] = [source, kind, options].map(OsStr::new).map(c_string);
    let (source, kind, options) = (source?, kind?, options?);
    let target = c_string(target.as_os_str())?;
    // SAFETY: a plain system call with strings that live here.
    let done = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}
