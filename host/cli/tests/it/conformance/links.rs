use host_testing::preview1::*;

use super::conforms;

fn symlink(p: &mut Program, target: &str, at: &str, wanted: &[u16]) {
    p.call("path_symlink", &[Arg::Text(target), DIR, Arg::Text(at)], wanted);
}

fn link(p: &mut Program, lookup: u64, from: &str, to: &str, wanted: &[u16]) {
    p.call("path_link", &[DIR, Arg::N(lookup), Arg::Text(from), DIR, Arg::Text(to)], wanted);
}

fn type_of(p: &mut Program, lookup: u64, path: &str, wanted: u64) {
    p.ok("path_filestat_get", &[DIR, Arg::N(lookup), Arg::Text(path), Arg::Out("stat")]).holds("stat", 16, 8, wanted);
}

#[test]
fn a_link_is_followed_only_on_request() {
    let mut p = Program::default();
    p.file("file").ok("path_create_directory", &[DIR, Arg::Text("dir")]);
    symlink(&mut p, "file", "to-file", &[SUCCESS]);
    symlink(&mut p, "dir", "to-dir", &[SUCCESS]);
    symlink(&mut p, "../file", "dir/up", &[SUCCESS]);
    for (name, kind) in [("to-file", TYPE_FILE), ("to-dir", TYPE_DIRECTORY), ("dir/up", TYPE_FILE)] {
        type_of(&mut p, 0, name, TYPE_LINK);
        type_of(&mut p, FOLLOW, name, kind);
        p.try_open(DIR, name, (0, 0, FD_READ, 0), "other", &[LOOP]);
        p.try_open(DIR, name, (0, DIRECTORY, 0, 0), "other", &[LOOP, NOTDIR]);
    }
    p.try_open(DIR, "to-file", (FOLLOW, 0, FD_READ, 0), "file", &[SUCCESS]);
    p.try_open(DIR, "to-dir", (FOLLOW, DIRECTORY, 0, 0), "dir", &[SUCCESS]);
    p.try_open(DIR, "to-file", (FOLLOW, DIRECTORY, 0, 0), "other", &[NOTDIR]);
    p.try_open(DIR, "to-dir/up", (FOLLOW, 0, FD_READ, 0), "file", &[SUCCESS]);
    // Within a path a link is always followed.
    p.try_open(DIR, "to-dir/up", (0, 0, FD_READ, 0), "other", &[LOOP]);
    // A slash after its name means what it leads to.
    type_of(&mut p, 0, "to-dir/", TYPE_DIRECTORY);
    p.call("path_filestat_get", &[DIR, Arg::N(0), Arg::Text("to-file/"), Arg::Out("stat")], &[NOTDIR]);
    p.call("path_remove_directory", &[DIR, Arg::Text("to-dir")], &[NOTDIR]);
    // So no file is meant, and no link.
    p.call("path_unlink_file", &[DIR, Arg::Text("to-dir/")], &[ISDIR]);
    p.call("path_unlink_file", &[DIR, Arg::Text("to-dir//")], &[ISDIR]);
    p.call("path_unlink_file", &[DIR, Arg::Text("to-file/")], &[NOTDIR]);
    p.call("path_unlink_file", &[DIR, Arg::Text("dir/")], &[ISDIR]);
    p.call("path_unlink_file", &[DIR, Arg::Text("dir")], &[ISDIR]);
    p.call("path_unlink_file", &[DIR, Arg::Text("file/")], &[NOTDIR]);
    p.ok("path_unlink_file", &[DIR, Arg::Text("to-dir")]).ok("path_unlink_file", &[DIR, Arg::Text("to-file")]);
    type_of(&mut p, 0, "file", TYPE_FILE);
    conforms(&p);
}

#[test]
fn dangling_circular_and_escaping_links_are_errors() {
    let mut p = Program::default();
    symlink(&mut p, "none", "dangling", &[SUCCESS]);
    p.try_open(DIR, "dangling", (FOLLOW, 0, FD_READ, 0), "other", &[NOENT]);
    p.try_open(DIR, "dangling", (0, 0, FD_READ, 0), "other", &[LOOP]);
    p.try_open(DIR, "dangling", (0, DIRECTORY, 0, 0), "other", &[NOTDIR, LOOP]);
    type_of(&mut p, 0, "dangling", TYPE_LINK);
    p.try_open(DIR, "dangling", (FOLLOW, CREAT, FD_WRITE, 0), "file", &[SUCCESS]);
    type_of(&mut p, FOLLOW, "dangling", TYPE_FILE);
    symlink(&mut p, "itself", "itself", &[SUCCESS]);
    p.try_open(DIR, "itself", (FOLLOW, 0, FD_READ, 0), "other", &[LOOP]);
    p.try_open(DIR, "itself", (0, 0, FD_READ, 0), "other", &[LOOP]);
    p.try_open(DIR, "itself/x", (FOLLOW, 0, FD_READ, 0), "other", &[LOOP]);
    symlink(&mut p, "there", "one", &[SUCCESS]);
    symlink(&mut p, "../../../..", "there/out", &[SUCCESS]);
    p.try_open(DIR, "one/out", (FOLLOW, DIRECTORY, 0, 0), "other", &[PERM, NOTCAPABLE]);
    p.try_open(DIR, "one/out/etc/passwd", (FOLLOW, 0, FD_READ, 0), "other", &[PERM, NOTCAPABLE]);
    p.call("path_unlink_file", &[DIR, Arg::Text("one/out/tmp")], &[PERM, NOTCAPABLE]);
    // No link may be made to what could never be followed.
    symlink(&mut p, "/etc/passwd", "absolute", &[PERM, NOTCAPABLE]);
    conforms(&p);
}

#[test]
fn a_link_is_read_as_far_as_there_is_room() {
    let mut p = Program::default();
    symlink(&mut p, "target", "link", &[SUCCESS]);
    let read = |p: &mut Program, path: &str, room: &str, size: u64, wanted: &[u16]| {
        let args = [DIR, Arg::Text(path), Arg::Out(room), Arg::N(size), Arg::Out("n")];
        p.call("path_readlink", &args, wanted);
    };
    read(&mut p, "link", "large", 10, &[SUCCESS]);
    p.holds("n", 0, 32, 6).begins("large", b"target\0\0\0\0");
    read(&mut p, "link", "small", 4, &[SUCCESS]);
    p.holds("n", 0, 32, 4).begins("small", b"targ\0");
    read(&mut p, "there/file", "other", 10, &[INVAL]);
    read(&mut p, "none", "other", 10, &[NOENT]);
    read(&mut p, "../x", "other", 10, &[PERM, NOTCAPABLE]);
    conforms(&p);
}

#[test]
fn the_times_of_a_link_are_its_own() {
    const THEN: u64 = 1_000_000_007_000_000_123;
    let mut p = Program::default();
    p.file("file");
    symlink(&mut p, "file", "link", &[SUCCESS]);
    let set = |p: &mut Program, lookup: u64, time: u64| {
        let args = [DIR, Arg::N(lookup), Arg::Text("link"), Arg::N(0), Arg::N(time), Arg::N(4)];
        p.ok("path_filestat_set_times", &args);
    };
    let is = |p: &mut Program, path: &str, time: u64| {
        p.ok("path_filestat_get", &[DIR, Arg::N(0), Arg::Text(path), Arg::Out("s")]).holds("s", 48, 64, time);
    };
    set(&mut p, FOLLOW, THEN);
    is(&mut p, "file", THEN);
    set(&mut p, 0, THEN + 5);
    is(&mut p, "link", THEN + 5);
    is(&mut p, "file", THEN);
    conforms(&p);
}

#[test]
fn hard_links_are_the_same_file_by_another_name() {
    let mut p = Program::default();
    p.open(DIR, "file", CREAT, READ_WRITE, "file").ok("path_create_directory", &[DIR, Arg::Text("dir")]);
    link(&mut p, 0, "file", "dir/link", &[SUCCESS]);
    p.ok("fd_filestat_get", &[Arg::Fd("file"), Arg::Out("one")]).holds("one", 24, 64, 2);
    p.ok("path_filestat_get", &[DIR, Arg::N(0), Arg::Text("dir/link"), Arg::Out("two")]);
    for offset in [0, 8, 16, 24, 32, 40, 48, 56] {
        p.same(("one", offset), ("two", offset));
    }
    for (from, to) in [("file", "dir/link"), ("file", "file"), ("file", "dir")] {
        link(&mut p, 0, from, to, &[EXIST]);
    }
    link(&mut p, 0, "dir", "other", &[PERM, ACCES]);
    link(&mut p, 0, "none", "other", &[NOENT]);
    link(&mut p, 0, "file", "other/", &[NOENT]);
    link(&mut p, 0, "file", "../out", &[PERM, NOTCAPABLE]);
    link(&mut p, 0, "../in", "in", &[PERM, NOTCAPABLE]);
    p.ok("path_unlink_file", &[DIR, Arg::Text("file")]);
    p.open(DIR, "dir/link", 0, FD_READ, "file");
    conforms(&p);
}

#[test]
fn a_link_itself_can_be_linked_and_is_not_followed() {
    let mut p = Program::default();
    p.file("file");
    symlink(&mut p, "none", "dangling", &[SUCCESS]);
    link(&mut p, 0, "dangling", "copy", &[SUCCESS]);
    type_of(&mut p, 0, "copy", TYPE_LINK);
    link(&mut p, 0, "file", "dangling", &[EXIST]);
    link(&mut p, FOLLOW, "dangling", "other", &[INVAL, NOENT]);
    symlink(&mut p, "x", "x", &[SUCCESS]);
    link(&mut p, 0, "x", "y", &[SUCCESS]);
    symlink(&mut p, "none", "new/", &[NOENT]);
    symlink(&mut p, "none", "there", &[EXIST]);
    symlink(&mut p, "none", "there/", &[EXIST]);
    symlink(&mut p, "none", "file", &[EXIST]);
    symlink(&mut p, "none", "file/", &[NOTDIR, EXIST]);
    conforms(&p);
}
