use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::PathBuf,
};

use tar::{Builder, EntryType, Header};

use super::*;

struct TestDirs {
    folder: tempfile::TempDir,
}

impl TestDirs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["root", "config", "scratch", "outside"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn look(&self, limits: ImageLimits) -> Result<Captured, ImageError> {
        let (root, config) = (self.path("root"), self.path("config"));
        Captured::scan(&parts(&root, &config), limits)
    }

    fn capture(&self) -> u64 {
        let (root, config) = (self.path("root"), self.path("config"));
        self.look(ImageLimits::default()).unwrap().write(&parts(&root, &config), &self.path("i.tar")).unwrap()
    }

    fn restore(&self, bytes: u64) -> Result<Vec<bool>, RestoreError> {
        let (root, config) = (self.path("root"), self.path("config"));
        let limits = ImageLimits::default();
        restore(&self.path("i.tar"), bytes, &parts(&root, &config), &self.path("scratch"), limits)
    }
}

fn parts<'a>(root: &'a Path, config: &'a Path) -> [Part<'a>; 2] {
    [Part { name: "root", folder: root }, Part { name: "config", folder: config }]
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn trees_are_restored_exactly_and_in_place() {
    let dirs = TestDirs::new();
    dirs.write("root/sub/deep/file", "text");
    dirs.write("root/empty", "");
    dirs.write("config/sessions/a.jsonl", "{}\n");
    let long = format!("root/{}/{}", "d".repeat(120), "f".repeat(200));
    dirs.write(&long, "long");
    let odd = dirs.path("root").join(OsStr::from_bytes(b"\xff\n:\\ "));
    fs::write(&odd, "odd").unwrap();
    symlink("/etc/passwd", dirs.path("root/link")).unwrap();
    symlink("x".repeat(300), dirs.path("root/long-link")).unwrap();
    fs::set_permissions(dirs.path("root/empty"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dirs.path("root/sub"), Permissions::from_mode(0o750)).unwrap();
    let modified = fs::metadata(dirs.path("root/sub/deep/file")).unwrap().modified().unwrap();
    let bytes = dirs.capture();

    // As an agent and a component may leave it.
    fs::set_permissions(dirs.path("root/sub"), Permissions::from_mode(0o700)).unwrap();
    let opened = open_directory(rustix::fs::CWD, dirs.path("root/sub").as_os_str()).unwrap();
    fs::write(dirs.path("root/sub/deep/file"), "changed").unwrap();
    fs::remove_file(dirs.path("root/link")).unwrap();
    symlink(dirs.path("outside"), dirs.path("root/link")).unwrap();
    fs::remove_file(dirs.path("root/empty")).unwrap();
    dirs.write("root/empty/is/a/folder", "now");
    fs::remove_file(&odd).unwrap();
    dirs.write("root/new/locked/file", "");
    fs::set_permissions(dirs.path("root/new/locked"), Permissions::from_mode(0o000)).unwrap();
    fs::remove_dir_all(dirs.path("config/sessions")).unwrap();
    dirs.write("outside/kept", "kept");
    symlink(dirs.path("outside"), dirs.path("config/sessions")).unwrap();

    assert_eq!(dirs.restore(bytes).unwrap(), [true, true]);
    assert_eq!(fs::read_to_string(dirs.path("root/sub/deep/file")).unwrap(), "text");
    assert_eq!(fs::read_to_string(dirs.path("root/empty")).unwrap(), "");
    assert_eq!(fs::read_to_string(dirs.path(&long)).unwrap(), "long");
    assert_eq!(fs::read_to_string(&odd).unwrap(), "odd");
    assert_eq!(fs::read_to_string(dirs.path("config/sessions/a.jsonl")).unwrap(), "{}\n");
    assert_eq!(fs::read_link(dirs.path("root/link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read_link(dirs.path("root/long-link")).unwrap().as_os_str().len(), 300);
    assert_eq!((mode(&dirs.path("root/empty")), mode(&dirs.path("root/sub"))), (0o755, 0o750));
    assert!(!dirs.path("root/new").exists());
    let restored = fs::metadata(dirs.path("root/sub/deep/file")).unwrap().modified().unwrap();
    assert!(modified.duration_since(restored).unwrap().as_secs() == 0, "{modified:?} {restored:?}");
    assert_eq!(fs::read_dir(dirs.path("outside")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(dirs.path("scratch")).unwrap().count(), 0);
    // Who had the folder open has it still.
    assert!(rustix::fs::statat(&opened, "deep/file", rustix::fs::AtFlags::empty()).is_ok());
}

#[test]
fn trees_over_the_limits_have_no_image() {
    let refused = |dirs: &TestDirs, limits| match dirs.look(limits) {
        Err(ImageError::Unfit(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let dirs = TestDirs::new();
    dirs.write("root/a/b/file", "12345");
    let all = ImageLimits::default();
    assert!(refused(&dirs, ImageLimits { bytes: 4, ..all }).starts_with("root/a/b/file: with it"));
    assert!(refused(&dirs, ImageLimits { entries: 3, ..all }).contains("more than 3 entries"));
    assert!(refused(&dirs, ImageLimits { depth: 1, ..all }).starts_with("root/a/b: deeper"));
    let _listening = std::os::unix::net::UnixListener::bind(dirs.path("config/socket")).unwrap();
    assert_eq!(refused(&dirs, all), "config/socket: a socket");
}

#[test]
fn files_that_change_during_the_copy_are_refused() {
    let dirs = TestDirs::new();
    dirs.write("root/file", "12345");
    let (root, config) = (dirs.path("root"), dirs.path("config"));
    let seen = dirs.look(ImageLimits::default()).unwrap();
    dirs.write("root/file", "1");
    let error = seen.write(&parts(&root, &config), &dirs.path("i.tar")).unwrap_err();
    assert!(error.to_string().contains("changed while"), "{error}");
    assert!(!dirs.path("i.tar").exists());
    assert!(!dirs.look(ImageLimits::default()).unwrap().is_unchanged_since(&seen));
}

/// An image that no host writes.
fn forged(dirs: &TestDirs, entries: &[(EntryType, &str, &str)]) -> u64 {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o6777);
        header.set_mtime(0);
        let bytes = if *kind == EntryType::Regular { content.as_bytes() } else { b"" };
        header.set_size(bytes.len() as u64);
        // Past the checks of the writer.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if *kind == EntryType::Symlink {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }
    let bytes = builder.into_inner().unwrap();
    fs::write(dirs.path("i.tar"), &bytes).unwrap();
    bytes.len() as u64
}

#[test]
fn forged_images_write_nothing_outside_the_trees() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let root = (Directory, "root", "");
    for entries in [
        &[root, (Symlink, "root/out", "../outside"), (Regular, "root/out/file", "x")][..],
        &[root, (Symlink, "root/out", "../outside"), (Directory, "root/out/folder", "")],
        &[root, (Symlink, "root/out", "../outside"), (Directory, "root/out", "")],
        &[root, (Regular, "root/../outside/file", "x")],
        &[root, (Regular, "/outside/file", "x")],
        &[root, (Regular, "outside/file", "x")],
        &[root, (Regular, "../outside/file", "x")],
        &[root, (Link, "root/hard", "/etc/passwd")],
        &[root, (Symlink, "root/out", "../outside/file"), (Regular, "root/out", "x")],
        &[(Symlink, "root", "outside"), (Regular, "root/file", "x")],
        &[root, (EntryType::Char, "root/device", "")],
        &[(Regular, "root", "x")],
    ] {
        let dirs = TestDirs::new();
        let bytes = forged(&dirs, entries);
        let refused = dirs.restore(bytes);
        assert!(refused.is_err(), "{entries:?}");
        assert_eq!(fs::read_dir(dirs.path("outside")).unwrap().count(), 0, "{entries:?}");
    }
}

#[test]
fn an_incomplete_image_is_refused() {
    let dirs = TestDirs::new();
    dirs.write("root/file", "text");
    let bytes = dirs.capture();
    fs::OpenOptions::new().append(true).open(dirs.path("i.tar")).unwrap().write_all(b"x").unwrap();
    assert!(dirs.restore(bytes).unwrap_err().to_string().contains("not the"));
    fs::File::options().write(true).open(dirs.path("i.tar")).unwrap().set_len(700).unwrap();
    assert!(dirs.restore(bytes).is_err() && dirs.restore(700).is_err());
    fs::remove_file(dirs.path("i.tar")).unwrap();
    symlink("/etc/passwd", dirs.path("i.tar")).unwrap();
    assert!(dirs.restore(bytes).is_err());
    rustix::fs::mkfifoat(rustix::fs::CWD, dirs.path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    fs::rename(dirs.path("pipe"), dirs.path("i.tar")).unwrap();
    assert!(dirs.restore(0).unwrap_err().to_string().contains("not a regular file"));
    assert_eq!(fs::read_to_string(dirs.path("root/file")).unwrap(), "text");
}
