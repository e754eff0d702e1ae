use super::*;

fn tree() -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::at(dir.path());
    (dir, tree)
}

#[test]
fn a_regular_file_is_read_in_place_and_below_folders() {
    let (dir, tree) = tree();
    fs::create_dir_all(dir.path().join("_archive/2026")).unwrap();
    fs::write(dir.path().join("_archive/2026/a.md"), "hello").unwrap();
    assert_eq!(tree.text("_archive/2026/a.md").unwrap(), "hello");
    assert_eq!(tree.find("_archive", "a.md", 2).unwrap(), ["_archive/2026/a.md"]);
    assert_eq!(tree.find("_archive", "a.md", 0).unwrap(), [] as [&str; 0]);
    assert_eq!(tree.names("").unwrap(), ["_archive"]);
}

#[test]
fn every_other_thing_is_an_answer() {
    let (dir, tree) = tree();
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::write(dir.path().join("bytes"), [0xff, 0xfe]).unwrap();
    assert_eq!(tree.text("absent"), Err(NotReadable::Missing));
    assert_eq!(tree.text("bytes/below-a-file"), Err(NotReadable::Missing));
    assert_eq!(tree.text("folder"), Err(NotReadable::Folder));
    assert_eq!(tree.text("bytes"), Err(NotReadable::NotUtf8));
    assert_eq!(tree.read("bytes", 1), Err(NotReadable::TooLarge(2)));
    assert_eq!(tree.text("../bytes"), Err(NotReadable::Missing));
    assert_eq!(tree.names("absent"), Err(NotReadable::Missing));
}

#[cfg(unix)]
#[test]
fn links_and_fifos_are_not_followed_or_opened() {
    let (dir, tree) = tree();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
    std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap().success());
    assert_eq!(tree.text("link"), Err(NotReadable::Link));
    assert_eq!(tree.text("etc/passwd"), Err(NotReadable::Link));
    assert_eq!(tree.text("loop"), Err(NotReadable::Link));
    assert_eq!(tree.names("etc"), Err(NotReadable::Link));
    assert_eq!(tree.find("etc", "passwd", 3).unwrap(), [] as [&str; 0]);
    assert_eq!(tree.text("fifo"), Err(NotReadable::Special));
    assert!(tree.holds("loop") && !tree.holds("absent"));
}

#[test]
fn a_broken_listing_is_not_a_short_one() {
    let entry = |name: &str| Ok(OsString::from(name));
    let broken = || Err(io::Error::from(ErrorKind::InvalidData));
    assert_eq!(all_names([entry("b"), entry("a")].into_iter()).unwrap(), ["a", "b"]);
    assert!(matches!(all_names([entry("a"), broken(), entry("b")].into_iter()), Err(NotReadable::System(_))));
    let many = (0..=MAX_NAMES).map(|number| Ok(OsString::from(number.to_string())));
    assert_eq!(all_names(many), Err(NotReadable::TooManyNames));
}

#[test]
fn a_huge_file_is_refused_without_reading_it() {
    let (dir, tree) = tree();
    File::create(dir.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(tree.text("huge"), Err(NotReadable::TooLarge(1 << 40)));
}
