//! Explains why ELF programs for another machine or C library cannot start. The kernel's own errors do not.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::Path,
};

use crate::external::shebang::other_formats;

/// ELF machine numbers of platforms that agents are built for.
const MACHINES: [(u64, &str); 9] = [
    (3, "i386"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv"),
];

/// The machines whose programs this kernel runs.
const NATIVE_MACHINES: &[u64] = if cfg!(target_arch = "x86_64") {
    &[62, 3]
} else if cfg!(target_arch = "aarch64") {
    &[183, 40]
} else {
    &[]
};

/// Limits of the program headers to check, and of the loader's path.
const MAX_HEADERS: u64 = 64;
const MAX_PATH: u64 = 4096;
/// The type of the program header that names the loader (`PT_INTERP`).
const LOADER_HEADER: u64 = 3;

/// Why the ELF file `opened` cannot start here, if known.
pub(super) fn startup_problem(file: &Path, opened: &File) -> Option<String> {
    let shown = file.display();
    let Some(elf) = Elf::read(opened) else {
        return Some(format!("{shown} is truncated\nhelp: install the agent again"));
    };
    let kind = elf.number(16, 2)?;
    if !matches!(kind, 2 | 3) {
        return Some(format!(
            "{shown} is an object file or a core dump, not an executable\nhelp: set `command` to the executable"
        ));
    }
    let machine = elf.number(18, 2)?;
    if !NATIVE_MACHINES.is_empty() && (!NATIVE_MACHINES.contains(&machine) || elf.big_endian) {
        if other_formats() {
            return None;
        }
        let name = MACHINES.iter().find(|(number, _)| *number == machine).map_or("another machine", |(_, name)| name);
        return Some(format!(
            "{shown} is built for {name}, but this machine is {}\nhelp: install the agent for this machine",
            std::env::consts::ARCH
        ));
    }
    let loader = elf.loader()?;
    let loader = Path::new(OsStr::from_bytes(&loader)).to_owned();
    (!loader.exists()).then(|| {
        let why = if loader.as_os_str().as_bytes().windows(4).any(|part| part == b"musl") {
            " of the C library musl"
        } else {
            ""
        };
        format!(
            "{shown} needs the loader {}{why}, which does not exist\nhelp: install the agent for this system's C library",
            loader.display()
        )
    })
}

struct Elf<'a> {
    file: &'a File,
    is_64_bit: bool,
    big_endian: bool,
}

impl<'a> Elf<'a> {
    fn read(file: &'a File) -> Option<Self> {
        let mut start = [0; 6];
        file.read_exact_at(&mut start, 0).ok()?;
        let elf = Self { file, is_64_bit: start[4] == 2, big_endian: start[5] == 2 };
        // The whole header is present.
        elf.number(if elf.is_64_bit { 62 } else { 50 }, 2).map(|_| elf)
    }

    /// Reads a number of `size` bytes, at most 8, at `offset`.
    fn number(&self, offset: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(bytes.get_mut(..size)?, offset).ok()?;
        if self.big_endian {
            bytes[..size].reverse();
        }
        Some(u64::from_le_bytes(bytes))
    }

    /// Reads a number at one place in 64-bit files and at another in 32-bit files.
    fn either(&self, base: u64, is_64_bit: (u64, usize), narrow: (u64, usize)) -> Option<u64> {
        let (offset, size) = if self.is_64_bit { is_64_bit } else { narrow };
        self.number(base.checked_add(offset)?, size)
    }

    /// The path of a dynamically linked program's loader.
    fn loader(&self) -> Option<Vec<u8>> {
        let headers = self.either(0, (32, 8), (28, 4))?;
        let size = self.either(0, (54, 2), (42, 2))?;
        let count = self.either(0, (56, 2), (44, 2))?.min(MAX_HEADERS);
        for number in 0..count {
            let header = headers.checked_add(number * size)?;
            if self.number(header, 4)? == LOADER_HEADER {
                let offset = self.either(header, (8, 8), (4, 4))?;
                let length = self.either(header, (32, 8), (16, 4))?.min(MAX_PATH);
                let mut path = vec![0; usize::try_from(length).ok()?];
                self.file.read_exact_at(&mut path, offset).ok()?;
                path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
                return Some(path);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn problem_of(content: &[u8]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent");
        fs::write(&path, content).unwrap();
        startup_problem(&path, &File::open(&path).unwrap())
    }

    /// The beginning of this test's own program, which can start, with some bytes changed.
    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let mut bytes = vec![0; 16 << 10];
        file.read_exact_at(&mut bytes, 0).unwrap();
        change(&mut bytes);
        bytes
    }

    #[test]
    fn a_native_program_has_no_problem() {
        assert_eq!(problem_of(&changed(|_| {})), None);
    }

    #[test]
    fn programs_that_cannot_start_are_explained() {
        let cut = problem_of(b"\x7fELF\x02\x01").unwrap();
        assert!(cut.contains("is truncated"), "{cut}");
        let object = problem_of(&changed(|bytes| bytes[16] = 1)).unwrap();
        assert!(object.contains("not an executable"), "{object}");
        let loader = b"/lib64/ld-linux-x86-64.so.2\0";
        if cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
            let musl = changed(|bytes| {
                let at = bytes.windows(loader.len()).position(|part| part == loader).unwrap();
                bytes[at..at + 12].copy_from_slice(b"/lib/ld-musl");
            });
            let musl = problem_of(&musl).unwrap();
            assert!(musl.contains("needs the loader /lib/ld-musl") && musl.contains("does not exist"), "{musl}");
        }
        if !other_formats() && !NATIVE_MACHINES.is_empty() {
            let foreign = problem_of(&changed(|bytes| bytes[18] = 243)).unwrap();
            assert!(foreign.contains("for riscv, but this machine is"), "{foreign}");
        }
    }
}
