use std::os::unix::ffi::OsStrExt;

use host_testing::{Suite, preview1::*};

use super::{conforms, conforms_with, run};

#[test]
fn directories_are_made_and_removed_when_they_are_empty() {
    let mut p = Program::default();
    let create = |p: &mut Program, path: &str, wanted: &[u16]| {
        p.call("path_create_directory", &[DIR, Arg::Text(path)], wanted);
    };
    let remove = |p: &mut Program, path: &str, wanted: &[u16]| {
        p.call("path_remove_directory", &[DIR, Arg::Text(path)], wanted);
    };
    create(&mut p, "a", &[SUCCESS]);
    create(&mut p, "a", &[EXIST]);
    create(&mut p, "b/c", &[NOENT]);
    create(&mut p, "a/b", &[SUCCESS]);
    remove(&mut p, "a", &[NOTEMPTY]);
    remove(&mut p, "a/b", &[SUCCESS]);
    p.open(DIR, "a", DIRECTORY, 0, "open");
    remove(&mut p, "a", &[SUCCESS]);
    remove(&mut p, "a", &[NOENT]);
    create(&mut p, "a", &[SUCCESS]);
    p.file("file");
    remove(&mut p, "file", &[NOTDIR]);
    create(&mut p, "file", &[EXIST]);
    create(&mut p, "file/x", &[NOTDIR]);
    conforms(&p);
}

#[test]
fn a_directory_is_no_file() {
    let mut p = Program::default();
    let no_file = [ISDIR, BADF, NOTCAPABLE, INVAL];
    p.open(DIR, "there", DIRECTORY, 0, "dir");
    for dir in [DIR, Arg::Fd("dir")] {
        p.ok("fd_fdstat_get", &[dir, Arg::Out("stat")]).holds("stat", 0, 8, TYPE_DIRECTORY).holds("stat", 2, 8, 0);
        p.ok("fd_filestat_get", &[dir, Arg::Out("stat")]).holds("stat", 16, 8, TYPE_DIRECTORY);
        p.call("fd_read", &[dir, Arg::Read("b", 8), Arg::Out("n")], &no_file);
        p.call("fd_pread", &[dir, Arg::Read("b", 8), Arg::N(0), Arg::Out("n")], &no_file);
        p.call("fd_write", &[dir, Arg::Write(b"x"), Arg::Out("n")], &no_file);
        p.call("fd_pwrite", &[dir, Arg::Write(b"x"), Arg::N(0), Arg::Out("n")], &no_file);
        for whence in [0, 1, 2] {
            p.call("fd_seek", &[dir, Arg::N(0), Arg::N(whence), Arg::Out("n")], &no_file);
        }
        p.call("fd_tell", &[dir, Arg::Out("n")], &no_file);
        p.call("fd_allocate", &[dir, Arg::N(0), Arg::N(1)], &[ISDIR, BADF, NOTCAPABLE, NOTSUP]);
        p.call("fd_filestat_set_size", &[dir, Arg::N(0)], &no_file);
    }
    p.try_open(DIR, ".", (0, DIRECTORY, FD_READ | FD_WRITE, 0), "other", &[ISDIR]);
    p.try_open(DIR, "there", (0, 0, FD_WRITE, 0), "other", &[ISDIR]);
    p.try_open(DIR, ".", (0, DIRECTORY, FD_READ, 0), "other", &[SUCCESS]);
    p.try_open(DIR, ".", (0, 0, 0, NONBLOCK), "other", &[SUCCESS]);
    p.try_open(DIR, "new", (0, CREAT | DIRECTORY, 0, 0), "other", &[INVAL, NOENT, NOTDIR]);
    conforms(&p);
}

/// Reads the directory from the place that is told in `from`, and holds how many bytes came.
fn read_dir(p: &mut Program, cookie: Arg<'_>, room: &str, size: u64) {
    p.room(room, 8192);
    p.ok("fd_readdir", &[DIR, Arg::Out(room), Arg::N(size), cookie, Arg::Out("n")]);
}

#[test]
fn a_directory_is_read_from_any_cookie() {
    let mut p = Program::default();
    p.ok("path_unlink_file", &[DIR, Arg::Text("there/file")]);
    p.ok("path_remove_directory", &[DIR, Arg::Text("there")]);
    read_dir(&mut p, Arg::N(0), "all", 256);
    // Two entries of 24 bytes, and their names.
    p.holds("n", 0, 32, 24 + 1 + 24 + 2);
    p.ok("fd_filestat_get", &[DIR, Arg::Out("stat")]).same(("all", 8), ("stat", 8));
    p.holds("all", 16, 32, 1).holds("all", 20, 8, TYPE_DIRECTORY).holds("all", 24, 8, u64::from(b'.'));
    p.holds("all", 25 + 16, 32, 2).holds("all", 25 + 20, 8, TYPE_DIRECTORY).holds("all", 25 + 24, 8, u64::from(b'.'));
    p.file("file");
    read_dir(&mut p, Arg::N(0), "all", 256);
    p.holds("n", 0, 32, 25 + 26 + 28);
    p.ok("path_filestat_get", &[DIR, Arg::N(0), Arg::Text("file"), Arg::Out("stat")]);
    p.holds("all", 51 + 16, 32, 4).holds("all", 51 + 20, 8, TYPE_FILE).same(("all", 51 + 8), ("stat", 8));
    // What the first and the second tell of the next is where the rest begins.
    read_dir(&mut p, Arg::Wide("all", 0), "rest", 256);
    p.holds("n", 0, 32, 26 + 28).holds("rest", 24, 8, u64::from(b'.'));
    read_dir(&mut p, Arg::Wide("all", 25), "last", 256);
    p.holds("n", 0, 32, 28).same(("last", 8), ("stat", 8));
    read_dir(&mut p, Arg::Wide("last", 0), "none", 256);
    p.holds("n", 0, 32, 0);
    // From the beginning it is read anew.
    p.ok("path_unlink_file", &[DIR, Arg::Text("file")]);
    read_dir(&mut p, Arg::N(0), "all", 256);
    p.holds("n", 0, 32, 25 + 26);
    conforms(&p);
}

#[test]
fn a_small_room_gets_as_much_as_fits() {
    let mut p = Program::default();
    for size in [0, 1, 23, 24, 30, 50] {
        read_dir(&mut p, Arg::N(0), "some", size);
        p.holds("n", 0, 32, size);
    }
    read_dir(&mut p, Arg::N(0), "some", 200);
    p.holds("n", 0, 32, 25 + 26 + 29);
    conforms(&p);
}

#[test]
fn a_thousand_entries_are_each_listed_once() {
    let suite = Suite::new();
    for number in 0..1000 {
        suite.file(&format!("scenarios/calls/data/file.{number}"), "");
    }
    let mut p = Program::default();
    p.room("all", 65_536).ok("fd_readdir", &[DIR, Arg::Out("all"), Arg::N(65_536), Arg::N(0), Arg::Out("n")]);
    let names: usize = (0..1000).map(|number| 24 + format!("file.{number}").len()).sum();
    p.holds("n", 0, 32, (25 + 26 + names) as u64);
    run(&suite, &p, super::IN_A_FOLDER).exits(0).passes("calls");
}

/// A program that removes what it reads, room by room, as `remove_dir_all` of Rust does.
#[test]
fn removals_during_a_listing_hide_no_other_entry() {
    let suite = Suite::new();
    for number in 100..400 {
        suite.file(&format!("scenarios/calls/data/file.{number}"), "");
    }
    let import = |name: &str, takes: &str| {
        format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param {takes}) (result i32)))")
    };
    let text = format!(
        "(module {} {} (memory (export \"memory\") 2)
            (global $cookie (mut i64) (i64.const 0)) (global $removed (mut i32) (i32.const 0))
            (func $read (result i32)
                (if (call $fd_readdir (i32.const 3) (i32.const 64) (i32.const 200) (global.get $cookie) (i32.const 8))
                    (then unreachable))
                (i32.load (i32.const 8)))
            (func (export \"_start\") (local $at i32) (local $end i32) (local $length i32)
                (loop $room
                    (local.set $at (i32.const 64))
                    (local.set $end (i32.add (i32.const 64) (call $read)))
                    (block $cut (loop $entry
                        (br_if $cut (i32.gt_u (i32.add (local.get $at) (i32.const 24)) (local.get $end)))
                        (local.set $length (i32.load offset=16 (local.get $at)))
                        (br_if $cut
                            (i32.gt_u (i32.add (i32.add (local.get $at) (i32.const 24)) (local.get $length)) (local.get $end)))
                        (global.set $cookie (i64.load (local.get $at)))
                        (if (i32.eq (i32.load8_u offset=20 (local.get $at)) (i32.const 4))
                            (then
                                (if (call $path_unlink_file (i32.const 3) (i32.add (local.get $at) (i32.const 24)) (local.get $length))
                                    (then unreachable))
                                (global.set $removed (i32.add (global.get $removed) (i32.const 1)))))
                        (local.set $at (i32.add (i32.add (local.get $at) (i32.const 24)) (local.get $length)))
                        (br $entry)))
                    (br_if $room (i32.eq (local.get $end) (i32.const 264))))
                (if (i32.ne (global.get $removed) (i32.const 300)) (then unreachable))))",
        import("fd_readdir", "i32 i32 i32 i64 i32"),
        import("path_unlink_file", "i32 i32 i32"),
    );
    suite.file("calls.wasm", wat::parse_str(text).unwrap()).scenario("calls", super::IN_A_FOLDER);
    suite.host(["run", "calls.wasm"]).exits(0).passes("calls");
}

#[test]
fn a_name_that_is_not_utf8_hides_no_other() {
    let suite = Suite::new();
    let folder = suite.path("scenarios/calls/root");
    std::fs::create_dir_all(&folder).unwrap();
    for name in [&b"a\xff"[..], b"b"] {
        std::fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
    }
    let mut p = Program::default();
    p.room("all", 8192).ok("fd_readdir", &[DIR, Arg::Out("all"), Arg::N(8192), Arg::N(0), Arg::Out("n")]);
    p.holds("n", 0, 32, 25 + 26 + 26 + 25);
    run(&suite, &p, "").exits(0).passes("calls");
}

#[test]
fn files_that_could_block_are_not_opened() {
    let suite = Suite::new();
    suite.agent("calls", "[[step]]\nshell = \"mkfifo pipe && ln -s pipe link\"\n[[step]]\nsay = \"done\"\n");
    let mut p = Program::default();
    for name in ["pipe", "link"] {
        for rights in [FD_READ, FD_WRITE, FD_READ | FD_WRITE] {
            p.try_open(DIR, name, (FOLLOW, 0, rights, 0), "file", &[NOTSUP, NOENT]);
        }
    }
    p.try_open(DIR, "link", (0, 0, FD_READ, 0), "file", &[LOOP]);
    let times = |name: &'static str| [DIR, Arg::N(1), Arg::Text(name), Arg::N(0), Arg::N(0), Arg::N(2)];
    p.call("path_filestat_set_times", &times("link"), &[NOTSUP, NOENT]);
    p.room("all", 8192).ok("fd_readdir", &[DIR, Arg::Out("all"), Arg::N(8192), Arg::N(0), Arg::Out("n")]);
    run(&suite, &p, "[session]\nprompt = \"go\"\n[grants]\nsession = true\n").exits(0).passes("calls");
}

#[test]
fn preopens_have_their_names_in_their_order() {
    let mut p = Program::default();
    for (fd, name) in [(3, "/"), (4, "relative.dir"), (5, ".")] {
        p.ok("fd_prestat_get", &[Arg::N(fd), Arg::Out("stat")]).holds("stat", 0, 32, 0);
        p.holds("stat", 4, 32, name.len() as u64);
        let room = format!("name-{fd}");
        let args = |size: u64| [Arg::N(fd), Arg::Out(&room), Arg::N(size)];
        p.call("fd_prestat_dir_name", &args(0), &[INVAL, NAMETOOLONG]);
        p.ok("fd_prestat_dir_name", &args(name.len() as u64 + 1)).begins(&room, format!("{name}\0").as_bytes());
    }
    p.call("fd_prestat_get", &[Arg::N(6), Arg::Out("stat")], &[BADF]);
    p.call("fd_prestat_get", &[Arg::N(0), Arg::Out("stat")], &[BADF]);
    conforms_with(
        &p,
        "preopens = [{ from = \"data\", to = \"/\" }, { from = \"root\", to = \"relative.dir\" },\n\
         { from = \"config\", to = \".\" }]",
    );
}

#[test]
fn a_preopen_can_be_closed_and_renumbered_over() {
    let mut p = Program::default();
    p.open(DIR, "there", DIRECTORY, 0, "dir").open(DIR, ".", DIRECTORY, 0, "same");
    p.ok("fd_close", &[DIR]).call("fd_fdstat_get", &[DIR, Arg::Out("stat")], &[BADF]);
    p.call("fd_prestat_get", &[DIR, Arg::Out("stat")], &[BADF]);
    p.ok("fd_fdstat_get", &[Arg::Fd("dir"), Arg::Out("stat")]).holds("stat", 0, 8, TYPE_DIRECTORY);
    p.open(Arg::Fd("dir"), "file", 0, FD_READ, "file");
    p.ok("fd_filestat_get", &[Arg::Fd("dir"), Arg::Out("before")]);
    p.ok("fd_renumber", &[Arg::Fd("dir"), Arg::N(4)]);
    p.ok("fd_filestat_get", &[Arg::N(4), Arg::Out("stat")]).same(("stat", 8), ("before", 8));
    p.call("fd_fdstat_get", &[Arg::Fd("dir"), Arg::Out("stat")], &[BADF]);
    conforms_with(&p, "preopens = [{ from = \"data\", to = \"/\" }, { from = \"root\", to = \"x\" }]");
}

#[test]
fn read_only_folders_cannot_be_changed() {
    let mut p = Program::default();
    let refused = [PERM, NOTCAPABLE, ROFS, ACCES];
    p.open(DIR, "there/file", 0, FD_READ, "file");
    p.try_open(DIR, "there/file", (0, 0, FD_WRITE, 0), "other", &refused);
    p.try_open(DIR, "there/file", (0, TRUNC, 0, 0), "other", &refused);
    p.try_open(DIR, "new", (0, CREAT, FD_WRITE, 0), "other", &refused);
    p.call("path_create_directory", &[DIR, Arg::Text("new")], &refused);
    p.call("path_remove_directory", &[DIR, Arg::Text("there")], &refused);
    p.call("path_unlink_file", &[DIR, Arg::Text("there/file")], &refused);
    p.call("path_rename", &[DIR, Arg::Text("there"), DIR, Arg::Text("new")], &refused);
    p.call("path_symlink", &[Arg::Text("x"), DIR, Arg::Text("new")], &refused);
    p.call("path_link", &[DIR, Arg::N(0), Arg::Text("there/file"), DIR, Arg::Text("new")], &refused);
    let times = [DIR, Arg::N(0), Arg::Text("there/file"), Arg::N(0), Arg::N(5), Arg::N(4)];
    p.call("path_filestat_set_times", &times, &refused);
    p.call("fd_filestat_set_times", &[Arg::Fd("file"), Arg::N(0), Arg::N(5), Arg::N(4)], &refused);
    p.call("fd_filestat_set_size", &[Arg::Fd("file"), Arg::N(0)], &[PERM, NOTCAPABLE, ROFS, ACCES, BADF, INVAL]);
    conforms_with(&p, "preopens = [{ from = \"data\", to = \"/\", mode = \"ro\" }]");
}
