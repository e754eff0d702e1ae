//! Unlinked files that an agent's processes have open: removed ones, and those that never had a name (`O_TMPFILE`).

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::fs::{AtFlags, CWD, FileType, Stat, StatxFlags, stat, statx};

use super::allocated_bytes;

/// The kernel's suffix for a removed path.
const DELETED: &[u8] = b" (deleted)";

/// Bytes of the unlinked files that `processes` have open, on the file system of `base` and created after it.
pub(super) fn bytes(processes: &[i32], base: &Path, base_stat: &Stat) -> u64 {
    let since = birth_time(base);
    let mut open: HashMap<u64, u64> = HashMap::new();
    let mut mapped: BTreeMap<u64, u64> = BTreeMap::new();
    for process in processes {
        // Processes that exited or cannot be inspected are skipped.
        for descriptor in fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten() {
            let path = descriptor.path();
            // Others are not touched: their file system may not respond.
            if !fs::read_link(&path).is_ok_and(|target| target.as_os_str().as_bytes().ends_with(DELETED)) {
                continue;
            }
            let Ok(found) = stat(&path) else { continue };
            let file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
            if file && found.st_nlink == 0 && found.st_dev == base_stat.st_dev && birth_time(&path) >= since {
                open.insert(found.st_ino, allocated_bytes(&found));
            }
        }
        for line in fs::read(format!("/proc/{process}/maps")).unwrap_or_default().split(|byte| *byte == b'\n') {
            if let Some((inode, end)) = mapping(line, base) {
                let max = mapped.entry(inode).or_default();
                *max = end.max(*max);
            }
        }
    }
    let mapped = mapped.into_iter().filter(|(inode, _)| !open.contains_key(inode)).map(|(_, end)| end);
    open.values().copied().chain(mapped).fold(0, u64::saturating_add)
}

/// When a file was created, in nanoseconds, if its file system records it.
fn birth_time(path: &Path) -> Option<i128> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::BTIME).ok()?;
    let known = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    known.then(|| i128::from(found.stx_btime.tv_sec) * 1_000_000_000 + i128::from(found.stx_btime.tv_nsec))
}

/// The inode and the last byte of a mapped file whose path was below `base`. If it was closed, its number of blocks is
/// unknown.
fn mapping(line: &[u8], base: &Path) -> Option<(u64, u64)> {
    let path = line.iter().position(|byte| *byte == b'/').map(|at| &line[at..])?;
    let below = path.strip_suffix(DELETED)?.strip_prefix(base.as_os_str().as_bytes())?;
    if !below.starts_with(b"/") {
        return None;
    }
    let line = str::from_utf8(&line[..line.len() - path.len()]).ok()?;
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    let length = hexadecimal(end)?.checked_sub(hexadecimal(start)?)?;
    let offset = hexadecimal(fields.nth(1)?)?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some((inode, offset.saturating_add(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_removed_files_below_the_directory_are_parsed() {
        let base = Path::new("/tmp/host-x/a0");
        let of = |text: &str| mapping(text.as_bytes(), base);
        let line = "7f0000000000-7f0000100000 rw-s 00200000 fe:00 4711    /tmp/host-x/a0/tmp/a b (deleted)";
        assert_eq!(of(line), Some((4711, 0x30_0000)));
        for other in [
            "7f0000000000-7f0000100000 rw-s 00200000 fe:00 4711    /tmp/host-x/a0/tmp/a",
            "7f0000000000-7f0000100000 rw-s 00200000 fe:00 4711    /tmp/host-x/a01/a (deleted)",
            "7f0000000000-7f0000100000 rw-s 00000000 00:01 9    /memfd:x (deleted)",
            "7f0000000000-7f0000100000 rw-p 00000000 00:00 0",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
