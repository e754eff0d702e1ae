//! Roots, and what is the same in two of them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use host_model::Fixture;
use host_testing::host_binary;
use host_wasm::sandbox::Snapshot;

/// The system's programs; no agent gets more but what its test adds.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Every step that changes files, each in the ways that are easily got wrong.
pub(crate) const EVERY_STEP: &str = r##"
summary = "Every step that changes files."
expect = { verdict = "pass" }
step = [
  { say = "I begin." },
  { write = "new.md", text = "one\ntwo\n" },
  { write = "a folder/deep/new.md", text = "in a folder\n" },
  { write = "open-end", text = "no end of line" },
  { write = "empty", text = "" },
  { write = "odd.txt", text = "it's \"quoted\" \\ $HOME `id` %s\\n !! \t tab  \nümläut “curly”  \n\nCRLF\r\n*** End Patch\n+x\n" },
  { write = "new.md", text = "over the old one\nfrom x to y\n" },
  { say = "Half is done." },
  { say = "Now the rest." },
  { append = "new.md", text = "'appended' $x\n" },
  { append = "made/by-append.md", text = "x" },
  { append = "open-end", text = " and more" },
  { replace = "new.md", from = "from x", to = "from $1 & \\1 'z'" },
  { replace = "odd.txt", from = "“curly”  \n", to = "\"straight\" \n" },
  { replace = "odd.txt", from = "CRLF\r\n", to = "\\0d\r\r\n" },
  { replace = "new.md", from = "over the old one\n", to = "" },
  { replace = "open-end", from = "no end", to = "no\nend" },
  { shell = "mkdir sub && cd sub && pwd | sed 's,.*/,,' > here" },
  { shell = "echo root > there; ls nothing; exit 3" },
  { tool = "lookup", input = { word = "it's" }, output = "found 'it'\n", is-error = true },
  { dispatch = "worker-1", task = "Do it, it's \"urgent\"." },
  { message-worker = "worker-1", text = "Do it's rest." },
  { shell = "git add -A && git commit -q -m 'it is done' && git branch side" },
  { write = "uncommitted.md", text = "left over\n" },
  { usage = { input-tokens = 120, cached-input-tokens = 20, output-tokens = 34 } },
  { say = "It is all done." },
]
"##;

/// A new root from a scenario's fixture, with the repository that the host would make. `None` is an empty one.
pub(crate) fn root(fixture: Option<PathBuf>, into: &Path) -> PathBuf {
    fs::create_dir_all(into).unwrap();
    Snapshot::take(&Fixture { root: fixture, git: true, ..Fixture::default() }, into, u64::MAX, &|| false).unwrap();
    into.join("repository")
}

/// Plays a script with the host's own scripted agent.
pub(crate) fn play_scripted(script: &Path, root: &Path, home: &Path) {
    let output = Command::new(host_binary())
        .args(["agent", "--turn", "1", "--prompt=Do it.", "--script"])
        .arg(script)
        .current_dir(root)
        .env_clear()
        .envs([("PATH", PATH), ("LANG", "C.UTF-8")])
        .env("HOME", home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
}

/// Everything that a grader could read in a root: its files, and what its repository holds. Times are left out, and
/// with them the ids of commits.
pub(crate) fn contents(root: &Path) -> BTreeMap<String, String> {
    let mut contents = BTreeMap::new();
    gather(root, root, &mut contents);
    for args in [
        &["log", "--all", "--format=%D %T %an <%ae> %s%n%b", "--topo-order"][..],
        &["status", "--porcelain=v1", "--untracked-files=all"],
        &["stash", "list"],
    ] {
        let output = Command::new("git")
            .args(args)
            .current_dir(root)
            .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap())
            .output()
            .unwrap();
        // An error is what it is too: a root whose repository was removed.
        let told = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { b"failed" });
        contents.insert(format!("git {}", args[0]), told.into_owned());
    }
    contents
}

fn gather(root: &Path, folder: &Path, contents: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let kind = path.symlink_metadata().unwrap();
        if name == ".git" {
            continue;
        }
        let what = if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_dir() {
            gather(root, &path, contents);
            "folder".into()
        } else {
            let bytes = fs::read(&path).unwrap();
            format!("{:o} {}", kind.permissions().mode() & 0o111, bytes.escape_ascii())
        };
        contents.insert(name, what);
    }
}
