//! Opens paths for a component: beneath their directory, without blocking, and only files and directories.

use std::{fs::File, io, sync::LazyLock};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
};

/// How often a path is resolved again that was renamed meanwhile.
const MAX_RETRIES: usize = 4;

/// How to open a path.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct OpenOptions {
    pub(in super::super) follow: bool,
    pub(in super::super) create: bool,
    pub(in super::super) exclusive: bool,
    pub(in super::super) truncate: bool,
    pub(in super::super) directory: bool,
    pub(in super::super) read: bool,
    pub(in super::super) write: bool,
    /// Any of the flags for synchronized writes, which are not supported.
    pub(in super::super) synchronized: bool,
}

/// What was opened.
#[derive(Debug)]
pub(super) enum Opened {
    File(File),
    Directory(File),
}

impl OpenOptions {
    /// Whether it may change the file.
    pub(super) fn changes(self) -> bool {
        self.create || self.truncate || self.write
    }

    /// Whether the result can be read. A file that is not opened for writing is opened for reading.
    pub(super) fn reads(self) -> bool {
        self.read || !self.write
    }

    /// Refuses invalid combinations.
    pub(super) fn check(self) -> io::Result<()> {
        if self.synchronized {
            return Err(Errno::NOTSUP.into());
        }
        if self.directory && (self.create || self.exclusive || self.truncate) {
            return Err(Errno::INVAL.into());
        }
        Ok(())
    }

    fn flags(self) -> OFlags {
        let mut flags = match (self.reads(), self.changes()) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
        flags.set(OFlags::CREATE, self.create);
        flags.set(OFlags::EXCL, self.create && self.exclusive);
        flags.set(OFlags::TRUNC, self.truncate && !(self.create && self.exclusive));
        flags.set(OFlags::NOFOLLOW, !self.follow);
        flags
    }
}

/// Whether `openat2` is available. Containers with old seccomp filters refuse it.
pub(super) fn is_available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        let opened = openat2(CWD, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH);
        !matches!(opened, Err(Errno::NOSYS | Errno::PERM))
    });
    *AVAILABLE
}

/// Opens `path` in `directory`. A named pipe, a socket or a device is refused with `ENOTSUP`; a file on another file system or
/// outside the directory with `EPERM`.
///
/// # Errors
/// The file system's; `EAGAIN` if another process holds a lease on the file.
pub(super) fn open(directory: &File, path: &[u8], options: OpenOptions) -> io::Result<Opened> {
    // Checked before: opening a pipe wakes its writers, and opening a device may have any effect.
    match resolve(directory, path, OFlags::PATH | (options.flags() & OFlags::NOFOLLOW)) {
        Ok(found) => drop(kind(&found)?),
        Err(Errno::NOENT) if options.create => {}
        Err(error) => return Err(error.into()),
    }
    // Checked again after, since the file may have been replaced. With `O_NONBLOCK` neither a pipe without another end nor a
    // lease blocks.
    let opened = resolve(directory, path, options.flags() | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    match kind(&opened)? {
        FileType::Directory => Ok(Opened::Directory(opened)),
        _ if options.directory => Err(Errno::NOTDIR.into()),
        _ => Ok(Opened::File(opened)),
    }
}

/// Finds `path` without opening it.
pub(super) fn find(directory: &File, path: &[u8], follow: bool) -> Result<File, Errno> {
    resolve(directory, path, if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW })
}

/// Does not cross mounts: no directory of an attempt has one, and an agent may mount a file system that never responds.
fn resolve(directory: &File, path: &[u8], flags: OFlags) -> Result<File, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o666) } else { Mode::empty() };
    let mut opened = Err(Errno::AGAIN);
    for _ in 0..MAX_RETRIES {
        opened = openat2(directory, path, flags | OFlags::CLOEXEC, mode, how).map(File::from);
        if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    opened.map_err(|error| if error == Errno::XDEV { Errno::PERM } else { error })
}

/// The type of an open file, if a component may have it.
fn kind(file: &File) -> Result<FileType, Errno> {
    match FileType::from_raw_mode(fstat(file)?.st_mode) {
        // A link that is not followed fails in its own way.
        kind @ (FileType::RegularFile | FileType::Directory | FileType::Symlink) => Ok(kind),
        _ => Err(Errno::NOTSUP),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
        os::unix::{fs::symlink, net::UnixListener},
        path::Path,
        sync::mpsc,
        time::Duration,
    };

    use rustix::fs::mkfifoat;

    use super::*;

    const READ: OpenOptions = OpenOptions {
        follow: true,
        create: false,
        exclusive: false,
        truncate: false,
        directory: false,
        read: true,
        write: false,
        synchronized: false,
    };

    /// Opens on another thread, with a timeout.
    fn open_in(folder: &Path, path: &str, options: OpenOptions) -> io::Result<Opened> {
        let (directory, path) = (File::open(folder).unwrap(), path.to_owned());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(open(&directory, path.as_bytes(), options)));
        receiver.recv_timeout(Duration::from_secs(60)).expect("it waits")
    }

    fn error(opened: io::Result<Opened>) -> Errno {
        Errno::from_io_error(&opened.unwrap_err()).unwrap()
    }

    #[test]
    fn pipes_sockets_and_devices_are_refused_immediately() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mkfifoat(CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        symlink("pipe", at("link")).unwrap();
        fs::hard_link(at("pipe"), at("other-name")).unwrap();
        fs::create_dir(at("sub")).unwrap();
        symlink("../link", at("sub/up")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let ways = [
            READ,
            OpenOptions { write: true, ..READ },
            OpenOptions { read: false, write: true, ..READ },
            OpenOptions { create: true, write: true, ..READ },
            OpenOptions { truncate: true, write: true, ..READ },
            OpenOptions { directory: true, ..READ },
        ];
        for name in ["pipe", "link", "other-name", "sub/up", "socket"] {
            for options in ways {
                assert_eq!(error(open_in(folder.path(), name, options)), Errno::NOTSUP, "{name} {options:?}");
            }
        }
        // Only root can create a device.
        if rustix::fs::mknodat(CWD, at("null"), FileType::CharacterDevice, 0o600.into(), rustix::fs::makedev(1, 3))
            .is_ok()
        {
            assert_eq!(error(open_in(folder.path(), "null", READ)), Errno::NOTSUP);
        }
        assert_eq!(error(open_in(folder.path(), "link", OpenOptions { follow: false, ..READ })), Errno::LOOP);
    }

    /// A program that waits for a reader of its pipe keeps waiting.
    #[test]
    fn refusing_a_pipe_wakes_no_writer() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        let (sender, receiver) = mpsc::channel();
        let theirs = pipe.clone();
        std::thread::spawn(move || sender.send(fs::OpenOptions::new().write(true).open(theirs).map(drop)));
        for _ in 0..100 {
            assert_eq!(error(open_in(folder.path(), "pipe", READ)), Errno::NOTSUP);
        }
        assert!(receiver.try_recv().is_err(), "the writer went on");
        // The writer's thread ends.
        let _reader = fs::OpenOptions::new().read(true).open(&pipe).unwrap();
        receiver.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
    }

    #[test]
    fn a_file_replaced_by_a_pipe_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").unwrap();
        mkfifoat(CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        let (file, pipe) = (at("file"), at("pipe"));
        let swapper = std::thread::spawn(move || {
            while let Err(mpsc::TryRecvError::Empty) = stopped.try_recv() {
                rustix::fs::renameat_with(CWD, &file, CWD, &pipe, rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        });
        for _ in 0..2_000 {
            match open_in(folder.path(), "file", READ) {
                Ok(Opened::File(file)) => assert!(file.metadata().unwrap().is_file()),
                Ok(Opened::Directory(_)) => panic!("a directory"),
                Err(error) => {
                    let error = Errno::from_io_error(&error).unwrap();
                    assert!([Errno::NOTSUP, Errno::AGAIN].contains(&error), "{error}");
                }
            }
        }
        drop(stop);
        swapper.join().unwrap();
    }

    #[test]
    fn files_are_opened_with_their_options() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("/etc", at("away")).unwrap();
        let write = OpenOptions { read: false, write: true, ..READ };
        for name in ["file", "link"] {
            let Opened::File(mut file) = open_in(folder.path(), name, READ).unwrap() else { panic!("a directory") };
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "text");
        }
        let made = open_in(folder.path(), "new", OpenOptions { create: true, exclusive: true, ..write }).unwrap();
        let Opened::File(mut made) = made else { panic!("a directory") };
        made.write_all(b"new").unwrap();
        assert_eq!(
            error(open_in(folder.path(), "new", OpenOptions { create: true, exclusive: true, ..write })),
            Errno::EXIST
        );
        open_in(folder.path(), "file", OpenOptions { truncate: true, ..write }).unwrap();
        assert_eq!(fs::read(at("file")).unwrap(), b"");
        assert!(matches!(open_in(folder.path(), ".", READ), Ok(Opened::Directory(_))));
        assert_eq!(error(open_in(folder.path(), "file", OpenOptions { directory: true, ..READ })), Errno::NOTDIR);
        assert_eq!(error(open_in(folder.path(), "none", READ)), Errno::NOENT);
        for outside in ["away", "../file", "/etc", "away/passwd"] {
            assert_eq!(error(open_in(folder.path(), outside, READ)), Errno::PERM, "{outside}");
        }
        assert!(OpenOptions { directory: true, create: true, ..READ }.check().is_err());
        assert!(OpenOptions { synchronized: true, ..READ }.check().is_err());
    }

    #[test]
    fn other_file_systems_are_not_entered() {
        // `/proc` is another file system, if it exists.
        if Path::new("/proc/self/status").exists() {
            assert_eq!(error(open_in(Path::new("/"), "proc/self/status", READ)), Errno::PERM);
        }
    }

    #[test]
    fn opening_a_leased_file_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leased");
        fs::write(&path, "text").unwrap();
        let holder = fs::OpenOptions::new().write(true).open(&path).unwrap();
        // SAFETY: the descriptor is open, and the call takes a number.
        let leased = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&holder), libc::F_SETLEASE, libc::F_WRLCK) };
        // Some file systems do not support leases. The test ignores SIGIO, which notifies the holder.
        if leased == 0 {
            // SAFETY: a signal that is ignored runs no code.
            unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
            assert_eq!(error(open_in(folder.path(), "leased", READ)), Errno::AGAIN);
            drop(holder);
            open_in(folder.path(), "leased", READ).unwrap();
        }
    }
}
