use host_testing::preview1::*;

use super::conforms;

fn with_folders() -> Program {
    let mut p = Program::default();
    p.ok("path_create_directory", &[DIR, Arg::Text("dir")]);
    p.ok("path_create_directory", &[DIR, Arg::Text("dir/nested")]);
    p.file("dir/nested/file");
    p
}

fn refused(p: &mut Program, path: &str, wanted: &[u16]) {
    p.try_open(DIR, path, (FOLLOW, 0, FD_READ, 0), "other", wanted);
    let out = [DIR, Arg::N(FOLLOW), Arg::Text(path), Arg::Out("stat")];
    p.call("path_filestat_get", &out, wanted);
}

#[test]
fn a_path_may_take_ways_round_but_never_out() {
    let mut p = with_folders();
    p.open(DIR, "dir/.//nested/../../dir/nested/../nested///./file", 0, FD_READ, "file");
    p.open(DIR, ".", DIRECTORY, 0, "itself").open(Arg::Fd("itself"), "dir/nested", DIRECTORY, 0, "nested");
    p.open(Arg::Fd("nested"), "file", 0, FD_READ, "file");
    for path in ["/dir/nested/file", "/", "..", "../data", "dir/../..", "dir/nested/../../../data/dir/nested/file"] {
        refused(&mut p, path, &[PERM, NOTCAPABLE]);
    }
    // A directory is no way back to what it was opened in.
    p.try_open(Arg::Fd("nested"), "../nested/file", (0, 0, FD_READ, 0), "other", &[PERM, NOTCAPABLE]);
    conforms(&p);
}

#[test]
fn invalid_paths_are_refused() {
    let mut p = with_folders();
    refused(&mut p, "", &[NOENT, INVAL]);
    refused(&mut p, "dir/nested/file\0", &[INVAL, ILSEQ, NOENT]);
    refused(&mut p, "dir\0/nested/file", &[INVAL, ILSEQ, NOENT]);
    refused(&mut p, "none/../dir", &[NOENT]);
    refused(&mut p, "dir/nested/file/x", &[NOTDIR]);
    refused(&mut p, &"n".repeat(300), &[NAMETOOLONG]);
    refused(&mut p, &"dir/../".repeat(1000), &[NAMETOOLONG]);
    // Alone, cut short, too long a form, half of a pair, beyond the last character.
    let bad = [
        &b"\xff"[..],
        b"dir/\xc3\x28",
        b"\x80",
        b"\xe2\x82",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf0\x80\x80\xaf",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x98",
        b"\xc3",
    ];
    for bad in bad.map(Arg::Raw) {
        let (zero, good) = (Arg::N(0), Arg::Text("dir"));
        p.call("path_create_directory", &[DIR, bad], &[ILSEQ]);
        p.call("path_remove_directory", &[DIR, bad], &[ILSEQ]);
        p.call("path_unlink_file", &[DIR, bad], &[ILSEQ]);
        p.call("path_filestat_get", &[DIR, zero, bad, Arg::Out("stat")], &[ILSEQ]);
        p.call("path_filestat_set_times", &[DIR, zero, bad, zero, zero, zero], &[ILSEQ]);
        p.call("path_open", &[DIR, zero, bad, zero, zero, zero, zero, Arg::Out("fd")], &[ILSEQ]);
        p.call("path_readlink", &[DIR, bad, Arg::Out("b"), Arg::N(8), Arg::Out("n")], &[ILSEQ]);
        for (from, to) in [(bad, good), (good, bad)] {
            p.call("path_rename", &[DIR, from, DIR, to], &[ILSEQ]);
            p.call("path_link", &[DIR, zero, from, DIR, to], &[ILSEQ]);
            p.call("path_symlink", &[from, DIR, to], &[ILSEQ]);
        }
    }
    for call in ["path_create_directory", "path_unlink_file", "path_remove_directory"] {
        p.call(call, &[DIR, Arg::Text("")], &[NOENT, INVAL]);
        p.call(call, &[DIR, Arg::Text("/x")], &[PERM, NOTCAPABLE]);
        p.call(call, &[DIR, Arg::Text("../x")], &[PERM, NOTCAPABLE]);
    }
    conforms(&p);
}

#[test]
fn names_may_hold_anything_else() {
    let mut p = Program::default();
    for name in [
        "ä ö",
        "-",
        "...",
        "a\nb",
        "*?[",
        "\u{1f600}",
        "\u{10ffff}\u{e000}\u{d7ff}\u{800}\u{7ff}\u{80}",
        "C:\\x",
        &"n".repeat(255),
    ] {
        p.file(name).open(DIR, name, 0, FD_READ, "file").ok("fd_close", &[Arg::Fd("file")]);
        p.ok("path_unlink_file", &[DIR, Arg::Text(name)]);
    }
    conforms(&p);
}

#[test]
fn a_slash_at_the_end_means_a_directory() {
    let mut p = with_folders();
    for path in ["dir/nested/", "dir/nested///", "dir/nested/."] {
        p.open(DIR, path, 0, 0, "opened").ok("fd_close", &[Arg::Fd("opened")]);
    }
    for path in ["dir/nested/file/", "dir/nested/file///"] {
        refused(&mut p, path, &[NOTDIR, NOENT]);
        p.call("path_unlink_file", &[DIR, Arg::Text(path)], &[NOTDIR]);
        p.call("path_remove_directory", &[DIR, Arg::Text(path)], &[NOTDIR]);
    }
    p.try_open(DIR, "new/", (0, CREAT, FD_WRITE, 0), "other", &[ISDIR, NOTDIR, NOENT, INVAL]);
    p.call("path_unlink_file", &[DIR, Arg::Text("dir")], &[ISDIR]);
    p.call("path_unlink_file", &[DIR, Arg::Text("dir/")], &[ISDIR]);
    p.ok("path_create_directory", &[DIR, Arg::Text("made/")]);
    p.ok("path_remove_directory", &[DIR, Arg::Text("made/")]);
    p.call("path_remove_directory", &[DIR, Arg::Text("made/")], &[NOENT]);
    p.ok("path_create_directory", &[DIR, Arg::Text("made")]);
    let rename = |p: &mut Program, from: &str, to: &str| {
        p.ok("path_rename", &[DIR, Arg::Text(from), DIR, Arg::Text(to)]);
    };
    rename(&mut p, "made/", "other");
    rename(&mut p, "other", "made/");
    rename(&mut p, "made/", "other/");
    conforms(&p);
}

#[test]
fn things_are_renamed_over_what_may_be_replaced() {
    let mut p = with_folders();
    let rename = |p: &mut Program, from: &str, to: &str, wanted: &[u16]| {
        p.call("path_rename", &[DIR, Arg::Text(from), DIR, Arg::Text(to)], wanted);
    };
    p.file("file").file("other");
    rename(&mut p, "file", "other", &[SUCCESS]);
    rename(&mut p, "file", "other", &[NOENT]);
    rename(&mut p, "other", "dir/nested/other", &[SUCCESS]);
    rename(&mut p, "dir/nested/other", "file", &[SUCCESS]);
    rename(&mut p, "file", "file", &[SUCCESS]);
    p.ok("path_create_directory", &[DIR, Arg::Text("empty")]);
    rename(&mut p, "file", "empty", &[ISDIR]);
    rename(&mut p, "empty", "file", &[NOTDIR]);
    rename(&mut p, "empty", "dir", &[NOTEMPTY, EXIST]);
    rename(&mut p, "dir", "dir/nested/dir", &[INVAL]);
    rename(&mut p, "dir", "empty", &[SUCCESS]);
    rename(&mut p, "empty/nested/file", "../out", &[PERM, NOTCAPABLE]);
    rename(&mut p, "../in", "in", &[PERM, NOTCAPABLE]);
    p.open(DIR, "empty/nested/file", 0, FD_READ, "file");
    p.try_open(DIR, "dir", (0, DIRECTORY, 0, 0), "other", &[NOENT]);
    conforms(&p);
}
