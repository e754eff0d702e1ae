//! Sets the times of a path that may be a link. wasmtime opens the target, and blocks if it is a pipe.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat},
    io::Errno,
};

use super::{lossy_names, open::find};

/// The times to set; `None` does not change.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Times {
    pub(in super::super) read: Option<SystemTime>,
    pub(in super::super) modified: Option<SystemTime>,
}

/// The time `seconds` and `nanoseconds` after 1970, or before it if the seconds are negative.
pub(super) fn system_time(seconds: i128, nanoseconds: u32) -> Result<SystemTime, Errno> {
    let away = u64::try_from(seconds.unsigned_abs()).map_err(|_| Errno::OVERFLOW)?;
    let whole = away.checked_add(u64::from(nanoseconds / 1_000_000_000)).ok_or(Errno::OVERFLOW)?;
    let away = Duration::new(whole, nanoseconds % 1_000_000_000);
    let system_time = if seconds < 0 { UNIX_EPOCH.checked_sub(away) } else { UNIX_EPOCH.checked_add(away) };
    system_time.ok_or(Errno::OVERFLOW)
}

/// Sets the times of the target of `path`.
///
/// # Errors
/// The file system's.
pub(super) fn set(directory: &File, path: &[u8], times: Times) -> io::Result<()> {
    let found = match (find(directory, path, true), str::from_utf8(path)) {
        (Err(Errno::NOENT), Ok(path)) if lossy_names::may_be_lossy(path) => {
            find(directory, &lossy_names::find_raw(directory, path)?, true)?
        }
        (found, _) => found?,
    };
    let times = Timestamps { last_access: timespec(times.read)?, last_modification: timespec(times.modified)? };
    match utimensat(&found, "", &times, AtFlags::EMPTY_PATH) {
        // Before Linux 5.8.
        Err(Errno::INVAL | Errno::NOENT) => {
            Ok(utimensat(CWD, format!("/proc/self/fd/{}", found.as_raw_fd()), &times, AtFlags::empty())?)
        }
        set => Ok(set?),
    }
}

fn timespec(time: Option<SystemTime>) -> Result<Timespec, Errno> {
    let Some(time) = time else { return Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }) };
    let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i128::from(after.as_secs()), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let part = before.subsec_nanos();
            let borrowed = i128::from(part > 0);
            (-i128::from(before.as_secs()) - borrowed, if part > 0 { 1_000_000_000 - part } else { 0 })
        }
    };
    let tv_sec = i64::try_from(seconds).map_err(|_| Errno::OVERFLOW)?;
    Ok(Timespec { tv_sec, tv_nsec: nanoseconds.into() })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, sync::mpsc};

    use rustix::fs::{Mode, mkfifoat};

    use super::*;

    #[test]
    fn setting_times_does_not_block_on_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mkfifoat(CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        symlink("pipe", at("link")).unwrap();
        fs::write(at("file"), "text").unwrap();
        fs::create_dir(at("directory")).unwrap();
        let (sender, receiver) = mpsc::channel();
        let directory = File::open(folder.path()).unwrap();
        std::thread::spawn(move || {
            let times = Times { read: None, modified: Some(system_time(1_000_000_000, 5).unwrap()) };
            let set = |path: &str| {
                set(&directory, path.as_bytes(), times).map_err(|error| Errno::from_io_error(&error).unwrap())
            };
            sender.send(["link", "file", "directory", "none", "../file"].map(set))
        });
        let came = receiver.recv_timeout(Duration::from_secs(60)).expect("it waits");
        assert_eq!(came, [Ok(()), Ok(()), Ok(()), Err(Errno::NOENT), Err(Errno::PERM)]);
        for name in ["pipe", "file", "directory"] {
            let modified = fs::metadata(at(name)).unwrap().modified().unwrap();
            assert_eq!(modified, UNIX_EPOCH + Duration::new(1_000_000_000, 5), "{name}");
        }
        assert!(
            fs::symlink_metadata(at("link")).unwrap().modified().unwrap()
                > UNIX_EPOCH + Duration::from_secs(1_500_000_000)
        );
    }

    #[test]
    fn times_before_1970_are_normalized_for_the_kernel() {
        let spec = |seconds, nanoseconds| {
            let spec = timespec(Some(system_time(seconds, nanoseconds).unwrap())).unwrap();
            (spec.tv_sec, spec.tv_nsec)
        };
        assert_eq!(spec(5, 1_000_000_007), (6, 7));
        assert_eq!(spec(-5, 0), (-5, 0));
        assert_eq!(spec(-5, 7), (-6, 999_999_993));
        assert_eq!(system_time(i128::from(u64::MAX), 0), Err(Errno::OVERFLOW));
    }
}
