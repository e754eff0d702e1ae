//! The fixture as it was: every attempt of the run is compared with it, so nobody may change it.

use std::fs::{self, File, OpenOptions};

use probe_raw::{
    filesystem::types::{Descriptor, DescriptorFlags, NewTimestamp, OpenFlags, PathFlags},
    preopen,
};
use scenario_sdk::Outcome;

use crate::Attempts;

const FILE: &str = "/host/before/marker.txt";

/// The same file with nothing but the right to read.
fn readable() -> Descriptor {
    preopen("/host/before")
        .open_at(PathFlags::empty(), "marker.txt", OpenFlags::empty(), DescriptorFlags::READ)
        .expect("reading is granted")
}

pub(crate) fn open() -> Outcome {
    let mut attempts = Attempts::default();
    attempts.refused("open for writing", OpenOptions::new().write(true).open(FILE));
    attempts.refused("open for appending", OpenOptions::new().append(true).open(FILE));
    attempts.refused("open for reading and writing", OpenOptions::new().read(true).write(true).open(FILE));
    attempts.refused("truncate", OpenOptions::new().write(true).truncate(true).open(FILE));
    attempts.refused("write with the right to read", readable().write(b"changed", 0));
    attempts.refused("write a stream with the right to read", readable().write_via_stream(0));
    attempts.refused("append with the right to read", readable().append_via_stream());
    let before = preopen("/host/before");
    let truncated = before.open_at(PathFlags::empty(), "marker.txt", OpenFlags::TRUNCATE, DescriptorFlags::READ);
    attempts.refused("truncate while opening for reading", truncated);
    let opened = before.open_at(
        PathFlags::empty(),
        "inner",
        OpenFlags::DIRECTORY,
        DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
    );
    // The host may open it; what counts is that it does not change.
    let changed = opened.and_then(|folder| folder.create_directory_at("new"));
    attempts.refused("change a folder that was opened to be changed", changed);
    attempts.outcome()
}

pub(crate) fn create() -> Outcome {
    let mut attempts = Attempts::default();
    let before = preopen("/host/before");
    attempts.refused("make a file", File::create_new("/host/before/new"));
    attempts.refused("make a file deeper", File::create_new("/host/before/inner/new"));
    attempts.refused("make a folder", fs::create_dir("/host/before/new"));
    attempts.refused("make a link", before.symlink_at("marker.txt", "new"));
    let inner = before
        .open_at(PathFlags::empty(), "inner", OpenFlags::DIRECTORY, DescriptorFlags::READ)
        .expect("reading is granted");
    attempts.refused("make a folder in an opened folder", inner.create_directory_at("new"));
    let made = inner.open_at(PathFlags::empty(), "new", OpenFlags::CREATE, DescriptorFlags::READ);
    attempts.refused("make a file in an opened folder", made);
    attempts.outcome()
}

pub(crate) fn remove() -> Outcome {
    let mut attempts = Attempts::default();
    attempts.refused("remove a file", fs::remove_file(FILE));
    attempts.refused("remove a folder", fs::remove_dir("/host/before/empty"));
    attempts.refused("remove a folder with its files", fs::remove_dir_all("/host/before/inner"));
    attempts.refused("remove a link", fs::remove_file("/host/before/absolute-link"));
    attempts.outcome()
}

pub(crate) fn rename() -> Outcome {
    let mut attempts = Attempts::default();
    let (root, before) = (preopen("/"), preopen("/host/before"));
    attempts.refused("rename within", before.rename_at("marker.txt", &before, "renamed"));
    attempts.refused("move out", before.rename_at("marker.txt", &root, "stolen"));
    fs::write("/mine", "x").expect("a file of its own");
    attempts.refused("move in", root.rename_at("mine", &before, "planted"));
    attempts.refused("move over", root.rename_at("mine", &before, "marker.txt"));
    attempts.outcome()
}

pub(crate) fn hard_link() -> Outcome {
    let mut attempts = Attempts::default();
    let (root, before, config) = (preopen("/"), preopen("/host/before"), preopen("/host/config"));
    let link = |from: &Descriptor, name: &str, to: &Descriptor| from.link_at(PathFlags::empty(), name, to, "linked");
    attempts.refused("link into the root", link(&before, "marker.txt", &root));
    attempts.refused("link into the config dir", link(&before, "marker.txt", &config));
    attempts.refused("link within", link(&before, "marker.txt", &before));
    fs::write("/mine", "x").expect("a file of its own");
    attempts.refused("link its own file in", link(&root, "mine", &before));
    attempts.outcome()
}

pub(crate) fn times() -> Outcome {
    let mut attempts = Attempts::default();
    let before = preopen("/host/before");
    let (now, keep) = (NewTimestamp::Now, NewTimestamp::NoChange);
    attempts.refused("set times by path", before.set_times_at(PathFlags::empty(), "marker.txt", keep, now));
    attempts.refused("set times of a folder by path", before.set_times_at(PathFlags::empty(), "inner", now, now));
    attempts.refused("set times of an open file", readable().set_times(now, now));
    attempts.refused("set times of the fixture's own folder", before.set_times(now, now));
    attempts.outcome()
}

pub(crate) fn size() -> Outcome {
    let mut attempts = Attempts::default();
    attempts.refused("cut an open file", readable().set_size(0));
    attempts.refused("cut by path", OpenOptions::new().write(true).open(FILE).and_then(|file| file.set_len(0)));
    attempts.outcome()
}
