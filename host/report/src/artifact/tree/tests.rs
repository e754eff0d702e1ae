use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use rustix::fs::Mode;

use super::*;

struct Trees {
    _here: tempfile::TempDir,
    from: PathBuf,
    to: PathBuf,
}

fn trees() -> Trees {
    let here = tempfile::tempdir().unwrap();
    let (from, to) = (here.path().join("from"), here.path().join("kept/to"));
    fs::create_dir(&from).unwrap();
    Trees { from, to, _here: here }
}

impl Trees {
    fn copy(&self, limits: CopyLimits) -> Copied {
        copy_tree_bounded(&self.from, &self.to, limits).unwrap()
    }
}

#[test]
fn files_are_copied_with_their_folders() {
    let trees = trees();
    fs::create_dir_all(trees.from.join("a/empty")).unwrap();
    fs::write(trees.from.join("a/x"), "12345").unwrap();
    fs::write(trees.from.join("y"), "1").unwrap();
    fs::set_permissions(trees.from.join("y"), fs::Permissions::from_mode(0o4777)).unwrap();
    assert_eq!(trees.copy(CopyLimits::default()), Copied { files: 2, bytes: 6, skipped: vec![] });
    assert_eq!(fs::read(trees.to.join("a/x")).unwrap(), b"12345");
    assert!(trees.to.join("a/empty").is_dir());
    assert_eq!(fs::metadata(trees.to.join("y")).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn links_pipes_and_sockets_are_left_out_without_waiting() {
    let trees = trees();
    symlink("/etc/passwd", trees.from.join("absolute")).unwrap();
    symlink("..", trees.from.join("loop")).unwrap();
    symlink("self", trees.from.join("self")).unwrap();
    rustix::fs::mkfifoat(CWD, trees.from.join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(trees.from.join("socket")).unwrap();
    let copied = trees.copy(CopyLimits::default());
    assert_eq!(copied.files, 0);
    assert_eq!(
        copied.skipped,
        ["absolute: symbolic link", "loop: symbolic link", "pipe: named pipe", "self: symbolic link", "socket: socket"]
    );
    assert_eq!(fs::read_dir(&trees.to).unwrap().count(), 0);
}

#[test]
fn a_swapped_in_pipe_or_link_is_not_followed() {
    let trees = trees();
    rustix::fs::mkfifoat(CWD, trees.from.join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
    symlink("/etc/passwd", trees.from.join("link")).unwrap();
    let root = open_directory(CWD, trees.from.as_os_str()).unwrap();
    assert_eq!(open_file(&root, OsStr::new("pipe")).unwrap_err(), "is not a regular file");
    assert!(open_file(&root, OsStr::new("link")).is_err());
    symlink("/etc", trees.from.join("folder")).unwrap();
    assert!(open_directory(&root, OsStr::new("folder")).is_err());
}

#[test]
fn unusual_names_are_copied_and_escaped() {
    let trees = trees();
    let odd = OsStr::from_bytes(b"a\n\xff\x1b[31m");
    fs::write(trees.from.join(odd), "x").unwrap();
    fs::create_dir(trees.from.join(OsStr::from_bytes(b"\xfe"))).unwrap();
    symlink("x", trees.from.join(OsStr::from_bytes(b"\xfe/\n"))).unwrap();
    let copied = trees.copy(CopyLimits::default());
    assert_eq!(fs::read(trees.to.join(odd)).unwrap(), b"x");
    assert_eq!(copied.skipped, ["\\xfe/\\n: symbolic link"]);
}

#[test]
fn oversized_files_are_noted_and_smaller_ones_copied() {
    let trees = trees();
    File::create(trees.from.join("a-sparse")).unwrap().set_len(1 << 40).unwrap();
    fs::write(trees.from.join("b"), "123").unwrap();
    fs::write(trees.from.join("c"), "123").unwrap();
    let copied = trees.copy(CopyLimits { bytes: 5, ..CopyLimits::default() });
    assert_eq!((copied.files, copied.bytes), (1, 3));
    let expected = [
        "a-sparse: its 1099511627776 bytes exceed the 5 left of the limit of 5",
        "c: its 3 bytes exceed the 2 left of the limit of 5",
    ];
    assert_eq!(copied.skipped, expected);
}

#[test]
fn too_many_entries_and_too_deep_folders_are_cut() {
    let trees = trees();
    for n in 0..300 {
        fs::write(trees.from.join(format!("f{n}")), "").unwrap();
    }
    let copied = trees.copy(CopyLimits { entries: 10, ..CopyLimits::default() });
    assert_eq!((copied.files, copied.skipped), (10, vec![".: has more than the limit of 10 entries".into()]));

    let deep = self::trees();
    fs::create_dir_all(deep.from.join("1/2/3/4")).unwrap();
    let copied = deep.copy(CopyLimits { depth: 2, ..CopyLimits::default() });
    assert_eq!(copied.skipped, ["1/2/3: deeper than 2 directories"]);
    assert!(deep.to.join("1/2").is_dir() && !deep.to.join("1/2/3").exists());
}

#[test]
fn the_list_of_skipped_files_is_bounded() {
    let trees = trees();
    for n in 0..150 {
        symlink("x", trees.from.join(format!("{n:03}"))).unwrap();
    }
    let copied = trees.copy(CopyLimits::default());
    assert_eq!(copied.skipped.len(), MAX_SKIPPED + 1);
    assert_eq!(copied.skipped.last().unwrap(), "and 50 more");
}

#[test]
fn a_source_that_is_a_link_or_is_missing_is_an_error() {
    let trees = trees();
    symlink(&trees.from, trees.from.join("self")).unwrap();
    for from in [trees.from.join("self"), trees.from.join("none")] {
        let error = copy_tree_bounded(&from, &trees.to, CopyLimits::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read the directory {}", from.display()));
    }
}
