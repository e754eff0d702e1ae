use std::{error::Error, io};

/// A resource that has run out on the machine, or for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// File descriptors of this process.
    OpenFiles,
    /// File descriptors of the whole machine.
    AllOpenFiles,
    /// Threads and processes.
    Processes,
    /// Memory, or address space.
    Memory,
    /// Bytes or inodes of a file system.
    Room,
    /// The user's quota of a file system.
    Quota,
}

impl Shortage {
    /// The shortage that caused `error` or one of its sources.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let code = match error.downcast_ref::<io::Error>() {
                Some(error) => match error.get_ref() {
                    // The source of such an error is the source of what it wraps.
                    Some(inner) => return Self::of(inner),
                    None => error.raw_os_error(),
                },
                None => error.downcast_ref::<rustix::io::Errno>().map(|errno| errno.raw_os_error()),
            };
            if let Some(shortage) = code.and_then(Self::of_code) {
                return Some(shortage);
            }
            next = error.source();
        }
        None
    }

    /// The same for an error of starting a thread or a process, where `EAGAIN` is a shortage too.
    #[must_use]
    pub fn of_start(error: &io::Error) -> Option<Self> {
        if error.raw_os_error() == Some(libc::EAGAIN) { Some(Self::Processes) } else { Self::of(error) }
    }

    /// The same for the host's message about a failed start, which ends with the system's code.
    #[must_use]
    pub fn of_ending(words: &str) -> Option<Self> {
        let (_, code) = words.trim_end().strip_suffix(')')?.rsplit_once("(os error ")?;
        Self::of_start(&io::Error::from_raw_os_error(code.parse().ok()?))
    }

    fn of_code(code: i32) -> Option<Self> {
        match code {
            libc::EMFILE => Some(Self::OpenFiles),
            libc::ENFILE => Some(Self::AllOpenFiles),
            libc::ENOMEM => Some(Self::Memory),
            libc::ENOSPC => Some(Self::Room),
            libc::EDQUOT => Some(Self::Quota),
            _ => None,
        }
    }

    /// The missing resource, and the remedy.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::OpenFiles => "too few file descriptors: raise `ulimit -n`, or lower `--jobs`",
            Self::AllOpenFiles => "the machine has no file descriptor left: raise `fs.file-max`, or lower `--jobs`",
            Self::Processes => {
                "too few threads and processes: raise `ulimit -u` or the cgroup's `pids.max`, or lower `--jobs`"
            }
            Self::Memory => {
                "too little memory or address space: raise `ulimit -v` or the cgroup's `memory.max`, or lower `--jobs`"
            }
            Self::Room => {
                "the disk is full: free space and inodes in the temporary folder and in `--output`, or lower `--jobs`"
            }
            Self::Quota => "the disk quota is used up: free some of it, or set TMPDIR and `--output` to other disks",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot copy it")]
    struct Wrapped(#[source] io::Error);

    fn os(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    #[test]
    fn shortages_are_found_in_nested_errors() {
        for (code, shortage) in [
            (libc::EMFILE, Shortage::OpenFiles),
            (libc::ENFILE, Shortage::AllOpenFiles),
            (libc::ENOMEM, Shortage::Memory),
            (libc::ENOSPC, Shortage::Room),
            (libc::EDQUOT, Shortage::Quota),
        ] {
            assert_eq!(Shortage::of(&os(code)), Some(shortage));
            assert_eq!(Shortage::of(&io::Error::other(Wrapped(os(code)))), Some(shortage));
            assert_eq!(Shortage::of(&Wrapped(io::Error::other(Wrapped(os(code))))), Some(shortage));
        }
        assert_eq!(Shortage::of(&Wrapped(rustix::io::Errno::NOMEM.into())), Some(Shortage::Memory));
    }

    #[test]
    fn other_errors_are_not_shortages() {
        assert_eq!(Shortage::of(&os(libc::EACCES)), None);
        assert_eq!(Shortage::of(&io::Error::other("no space left (os error 28)")), None, "words do not count");
        assert_eq!(Shortage::of(&os(libc::EAGAIN)), None, "of a read it only means that nothing is there yet");
        assert_eq!(Shortage::of_start(&os(libc::EAGAIN)), Some(Shortage::Processes));
    }

    #[test]
    fn only_the_end_of_a_message_counts() {
        let words = |code| format!("cannot start /bin/it: {}", os(code));
        assert_eq!(Shortage::of_ending(&words(libc::EAGAIN)), Some(Shortage::Processes));
        assert_eq!(Shortage::of_ending(&words(libc::EMFILE)), Some(Shortage::OpenFiles));
        assert_eq!(Shortage::of_ending(&words(libc::ENOENT)), None);
        let named = format!("cannot open a (os error 24): {}", os(libc::EACCES));
        assert_eq!(Shortage::of_ending(&named), None, "a file can have any name");
    }
}
