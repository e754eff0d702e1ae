use std::{
    ffi::OsStr,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::Command,
};

use super::*;

/// Two folders, and a third for what is kept.
struct Trees {
    folder: tempfile::TempDir,
}

impl Trees {
    fn new() -> Self {
        let trees = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["before", "after"] {
            fs::create_dir(trees.path(name)).unwrap();
        }
        trees
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn both(&self, name: &str, content: &str) {
        for side in ["before", "after"] {
            self.put(side, name, content);
        }
    }

    fn put(&self, side: &str, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(side).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn keep(&self, limits: DiffLimits) -> (String, Vec<String>) {
        let before = self.path("before");
        let left_out = keep_changes(Some(&before), &self.path("after"), &self.path("kept"), limits).unwrap();
        (fs::read_to_string(self.path("kept/root.diff")).unwrap(), left_out)
    }

    fn tree(&self) -> String {
        fs::read_to_string(self.path("kept/root.tree")).unwrap()
    }
}

fn make_executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn unchanged_files_are_not_listed() {
    let trees = Trees::new();
    trees.both("a/b.md", "text\n");
    trees.both("same.bin", "\0");
    trees.both(".git/HEAD", "ref");
    trees.put("after", ".git/index", "changed");
    for side in ["before", "after"] {
        symlink(OsStr::from_bytes(b"\xff"), trees.path(side).join("odd link")).unwrap();
    }
    trees.put("after", "a/.git/objects/x", "nested");
    assert_eq!(trees.keep(DiffLimits::default()), (String::new(), vec![]));
    assert_eq!(
        trees.tree().lines().map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(),
        [".git", "a", "a/.git", "a/b.md", r#""\377""#, "same.bin"]
    );
}

#[test]
fn git_applies_the_difference() {
    let trees = Trees::new();
    let lines: String = (0..30).map(|number| format!("line {number}\n")).collect();
    trees.both("sub/changed.md", &lines);
    trees.put("after", "sub/changed.md", lines.replace("line 3\n", "three\n").replace("line 29\n", "the end"));
    trees.put("after", "new in a folder/file", "1\n2\n");
    trees.put("after", "empty", "");
    trees.put("before", "gone.md", "no end of line");
    trees.both("run.sh", "#!/bin/sh\n");
    make_executable(&trees.path("after/run.sh"));
    trees.put("after", "say \"hi\"\n\tthere\u{202e}", "odd\r\n");
    trees.both("was a file", "text\n");
    fs::remove_file(trees.path("after/was a file")).unwrap();
    symlink("../elsewhere", trees.path("after/was a file")).unwrap();
    for (side, target) in [("before", "one"), ("after", "two")] {
        symlink(target, trees.path(side).join("link")).unwrap();
    }
    let (text, left_out) = trees.keep(DiffLimits::default());
    assert_eq!(left_out, [""; 0]);
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(trees.path("before")).output().unwrap();
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet"]);
    git(&["apply", "--whitespace=nowarn", "../kept/root.diff"]);
    fs::remove_dir_all(trees.path("before/.git")).unwrap();
    assert_eq!(trees.keep(DiffLimits::default()), (String::new(), vec![]), "the same now\n{text}");
}

#[test]
fn binary_files_take_one_line() {
    let trees = Trees::new();
    trees.put("before", "image", b"\0\x01");
    trees.put("after", "image", b"\0\x01\x02");
    trees.put("before", "same-size", "\0a");
    trees.put("after", "same-size", "\0b");
    trees.put("after", "large", "x".repeat(2 << 20));
    trees.put("after", "many-lines", "\n".repeat(20_001));
    trees.put("after", "latin1", b"\xe4");
    rustix::fs::mkfifoat(rustix::fs::CWD, trees.path("after/pipe"), rustix::fs::Mode::RUSR).unwrap();
    fs::create_dir(trees.path("after/folder")).unwrap();
    make_executable(&trees.path("after/folder"));
    for file in ["large", "many-lines", "latin1"] {
        make_executable(&trees.path("after").join(file));
    }
    let (text, _) = trees.keep(DiffLimits::default());
    let expected = "\
# folder: new: mode 040755, a folder
# image: changed: 2 bytes -> 3 bytes, binary
# large: new: mode 100755, 2097152 bytes, large
# latin1: new: mode 100755, 1 bytes, binary
# many-lines: new: mode 100755, 20001 bytes, large
# pipe: new: mode 000400, named pipe
# same-size: changed: 2 bytes -> 2 bytes, binary
";
    assert_eq!(text, expected);
    assert!(trees.tree().contains("?r--------          - pipe (named pipe)\n"), "{}", trees.tree());
}

#[test]
fn links_are_not_followed_and_names_stay_on_their_line() {
    let trees = Trees::new();
    symlink("/etc/passwd", trees.path("after/link\n+++ forged")).unwrap();
    symlink("/etc", trees.path("after/folder")).unwrap();
    let (text, _) = trees.keep(DiffLimits::default());
    assert!(!text.contains("root:"), "{text}");
    assert!(text.contains("+/etc/passwd\n"), "{text}");
    assert!(text.contains(r#"+++ "b/link\n+++ forged""#), "{text}");
    assert!(!text.lines().any(|line| line == "+++ forged"), "{text}");
    assert_eq!(trees.tree().lines().count(), 2);
}

#[test]
fn the_difference_is_limited_with_a_note() {
    let trees = Trees::new();
    for number in 0..10 {
        trees.put("after", &format!("f{number}"), format!("{}\n", "x".repeat(1000)));
    }
    let (text, left_out) = trees.keep(DiffLimits { bytes: 2500, ..DiffLimits::default() });
    assert_eq!(text.matches("diff --git").count(), 3);
    assert!(text.ends_with("\n[cut: 7 more entries were not compared: the limits are 2500 bytes and 5s]\n"), "{text}");
    assert_eq!(left_out.len(), 1);
    let (text, _) = trees.keep(DiffLimits { time: Duration::ZERO, ..DiffLimits::default() });
    assert!(text.starts_with("[cut: 10 more entries"), "{text}");
}

#[test]
fn unrelated_files_do_not_exceed_the_time_limit() {
    let trees = Trees::new();
    let lines =
        |sign: char| (0..20_000).map(|number| format!("{sign}{}\n", number * 7919 % 20_011)).collect::<String>();
    trees.put("before", "file", lines('a'));
    trees.put("after", "file", lines('b'));
    let began = Instant::now();
    let (text, _) = trees.keep(DiffLimits { file_time: Duration::from_millis(50), ..DiffLimits::default() });
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(text.lines().filter(|line| line.starts_with('+')).count(), 20_001);
}

#[test]
fn unlisted_files_do_not_count_as_removed() {
    let trees = Trees::new();
    let deep = "d/".repeat(70);
    trees.both(&format!("{deep}file"), "text");
    trees.put("before", "gone", "text");
    let (text, left_out) = trees.keep(DiffLimits::default());
    assert_eq!(text.matches("diff --git").count(), 1, "{text}");
    assert!(text.contains("deleted file"), "{text}");
    assert!(left_out[0].contains("deeper than 64"), "{left_out:?}");
}

#[test]
fn uncompared_files_do_not_count_as_changed() {
    let trees = Trees::new();
    trees.both("large", &"x".repeat(100));
    let listing = |side: &str| Listing::of(&trees.path(side), CopyLimits::default()).unwrap();
    let (before, after) = (listing("before"), listing("after"));
    let limits = DiffLimits { file_bytes: 10, ..DiffLimits::default() };
    let noted = |until: Instant| {
        let mut diff = Diff { before: Some(&before), after: &after, limits, until, text: String::new() };
        diff.changed(&before.entries[0], &after.entries[0]);
        diff.text
    };
    assert_eq!(noted(Instant::now() + Duration::from_secs(600)), "");
    assert_eq!(noted(Instant::now()), "# large: not compared: 100 bytes, the time limit was reached\n");
    trees.put("after", "large", "y".repeat(100));
    let told = noted(Instant::now() + Duration::from_secs(600));
    assert_eq!(told, "# large: changed: 100 bytes -> 100 bytes, large\n");
}
