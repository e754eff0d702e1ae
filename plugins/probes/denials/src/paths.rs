//! Ways out of the root.

use std::fs;

use probe_raw::{
    filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags},
    preopen,
};
use scenario_sdk::Outcome;

use crate::Attempts;

/// What the host answers to a path that leaves a directory. Only `no-entry` would mean that it looked.
const ESCAPES: &[ErrorCode] = &[ErrorCode::NotPermitted, ErrorCode::Access];
/// Directories that a component is given.
const GIVEN: &[&str] = &["/", "/host/config", "/host/before"];

fn open(directory: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    directory.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)
}

pub(crate) fn absolute() -> Outcome {
    let mut attempts = Attempts::default();
    // The test's fixture says where its secret lies.
    let secret = fs::read_to_string("/secret-path.txt").expect("the test's fixture");
    for path in ["/etc/passwd", "/etc/hostname", "/proc/self/environ", "/proc/self/root/etc/passwd", secret.trim()] {
        attempts.refused(&format!("read {path} through the standard library"), fs::read(path));
        for given in GIVEN {
            attempts.refused_as(&format!("open {path} in {given}"), open(&preopen(given), path), ESCAPES);
        }
    }
    attempts.outcome()
}

pub(crate) fn dot_dot() -> Outcome {
    let mut attempts = Attempts::default();
    fs::create_dir_all("/a/b").expect("folders of its own");
    let climb = "../".repeat(20);
    let spellings = [
        "..".to_owned(),
        "../".to_owned(),
        "./..".to_owned(),
        "../.".to_owned(),
        "../root".to_owned(),
        "../config".to_owned(),
        format!("{climb}etc/passwd"),
        format!("./{climb}./etc/passwd"),
        format!("a/../{climb}etc/passwd"),
        format!("a/b/../..//{climb}etc//passwd"),
        format!("a/./b/.././../{climb}etc/passwd"),
    ];
    for path in &spellings {
        for given in GIVEN {
            // Only the root has the folders `a` and `b`.
            if *given == "/" || !path.contains("a/") || path.starts_with('.') {
                attempts.refused_as(&format!("open {path} in {given}"), open(&preopen(given), path), ESCAPES);
            }
        }
    }
    let inner = preopen("/")
        .open_at(PathFlags::empty(), "a", OpenFlags::DIRECTORY, DescriptorFlags::READ)
        .expect("a folder of its own");
    attempts.refused_as("open .. in a folder of the root", open(&inner, ".."), ESCAPES);
    for path in ["/../etc/passwd", "/a/../../etc/passwd", "../etc/passwd", "/host/config/../../../etc/passwd"] {
        attempts.refused(&format!("read {path} through the standard library"), fs::read(path));
    }
    attempts.outcome()
}

pub(crate) fn own_absolute() -> Outcome {
    let mut attempts = Attempts::default();
    let root = preopen("/");
    // Making the link may be refused as well; then there is nothing to follow.
    let made = root.symlink_at("/etc", "etc");
    attempts.refused("list /etc through its link", fs::read_dir("/etc"));
    attempts.refused("read passwd through its link", open(&root, "etc/passwd"));
    let _ = root.symlink_at("/etc/passwd", "passwd");
    attempts.refused("read passwd through its own link", fs::read("/passwd"));
    attempts.holds(made.is_err_and(|error| ESCAPES.contains(&error)), || "an absolute link was made".into());
    attempts.outcome()
}

pub(crate) fn own_relative() -> Outcome {
    let mut attempts = Attempts::default();
    let root = preopen("/");
    let climb = "../".repeat(20);
    let _ = root.symlink_at(&format!("{climb}etc"), "out");
    let _ = root.symlink_at("..", "up");
    let _ = root.symlink_at("up/..", "twice");
    for path in ["out/passwd", "out", "up", "up/config", "twice", "up/../.."] {
        attempts.refused(&format!("open {path}"), open(&root, path));
        attempts.refused(&format!("read the folder {path}"), fs::read_dir(path));
    }
    attempts.refused("make a file through a link out", fs::write("/up/planted", "x"));
    attempts.refused("make a folder through a link out", fs::create_dir("/up/planted-folder"));
    attempts.refused("remove a folder through a link out", fs::remove_dir_all("/up/config"));
    attempts.outcome()
}

pub(crate) fn moved_link() -> Outcome {
    let mut attempts = Attempts::default();
    let root = preopen("/");
    fs::create_dir_all("/d/e").expect("folders of its own");
    // Within the root where it is made, and out of it where it goes.
    root.symlink_at("../../", "d/e/link").expect("a link that stays inside");
    root.rename_at("d/e/link", &root, "link").expect("a move of its own link");
    attempts.refused("open the moved link", open(&root, "link"));
    attempts.refused("list behind the moved link", fs::read_dir("/link/"));
    attempts.refused("open behind the moved link", open(&root, "link/config"));
    attempts.outcome()
}

pub(crate) fn fixture_link() -> Outcome {
    let mut attempts = Attempts::default();
    for given in ["/", "/host/before"] {
        let directory = preopen(given);
        for link in ["absolute-link", "relative-link", "inner/up-link/../../etc/passwd"] {
            attempts.refused_as(&format!("open {link} in {given}"), open(&directory, link), ESCAPES);
        }
        let folder = open(&directory, "folder-link/passwd");
        attempts.refused_as(&format!("open through folder-link in {given}"), folder, ESCAPES);
    }
    attempts.refused("read the fixture's link", fs::read("/absolute-link"));
    attempts.refused("write through the fixture's link", fs::write("/secret-link", "overwritten"));
    attempts.outcome()
}

pub(crate) fn other_root() -> Outcome {
    let mut attempts = Attempts::default();
    let root = preopen("/");
    for number in 0..4 {
        for path in [format!("../../a{number}/root"), format!("../../a{number}/config"), format!("../../f{number}")] {
            attempts.refused_as(&format!("open {path}"), open(&root, &path), ESCAPES);
            let link = format!("link-{}", path.replace(['/', '.'], "-"));
            let _ = root.symlink_at(&path, &link);
            attempts.refused(&format!("open a link to {path}"), open(&root, &link));
        }
    }
    attempts.outcome()
}

pub(crate) fn hard_link_out() -> Outcome {
    let mut attempts = Attempts::default();
    let root = preopen("/");
    let secret = fs::read_to_string("/secret-path.txt").expect("the test's fixture");
    for path in ["/etc/passwd", "../../../../../../../../etc/passwd", secret.trim(), "../config"] {
        let linked = root.link_at(PathFlags::empty(), path, &root, "stolen");
        attempts.refused_as(&format!("link {path} into the root"), linked, ESCAPES);
    }
    let linked = root.link_at(PathFlags::SYMLINK_FOLLOW, "absolute-link", &root, "stolen");
    attempts.refused("link what a link of the fixture leads to", linked);
    attempts.outcome()
}

pub(crate) fn rename_out() -> Outcome {
    let mut attempts = Attempts::default();
    let root = preopen("/");
    fs::write("/mine", "x").expect("a file of its own");
    for path in ["/tmp/planted", "../planted", "../config/planted", "up-link/planted"] {
        attempts.refused(&format!("move a file to {path}"), root.rename_at("mine", &root, path));
    }
    attempts.refused("move its own root", root.rename_at("../root", &root, "inner"));
    attempts.outcome()
}
