use host_testing::preview1::*;

use super::conforms;

const FILE: Arg<'static> = Arg::Fd("file");

fn opened(rights: u64) -> Program {
    let mut program = Program::default();
    program.open(DIR, "file", CREAT, rights, "file");
    program
}

/// Bytes that were read or written are told in `n`.
fn reads(program: &mut Program, wanted: &[u8]) {
    program.ok("fd_read", &[FILE, Arg::Read("buffer", 64), Arg::Out("n")]);
    program.holds("n", 0, 32, wanted.len() as u64).begins("buffer", wanted);
}

fn writes(program: &mut Program, bytes: &[u8]) {
    program.ok("fd_write", &[FILE, Arg::Write(bytes), Arg::Out("n")]).holds("n", 0, 32, bytes.len() as u64);
}

fn seeks(program: &mut Program, offset: i64, whence: u64, place: u64) {
    let args = [FILE, Arg::N(offset.cast_unsigned()), Arg::N(whence), Arg::Out("at")];
    program.ok("fd_seek", &args).holds("at", 0, 64, place);
}

fn size(program: &mut Program, bytes: u64) {
    program.ok("fd_filestat_get", &[FILE, Arg::Out("stat")]).holds("stat", 32, 64, bytes);
}

#[test]
fn writes_can_be_read_and_calls_move_the_offset() {
    let mut p = opened(READ_WRITE);
    p.ok("fd_tell", &[FILE, Arg::Out("at")]).holds("at", 0, 64, 0);
    writes(&mut p, b"hello world");
    p.ok("fd_tell", &[FILE, Arg::Out("at")]).holds("at", 0, 64, 11);
    seeks(&mut p, -5, 1, 6);
    reads(&mut p, b"world");
    reads(&mut p, b"");
    seeks(&mut p, -11, 2, 0);
    reads(&mut p, b"hello world");
    seeks(&mut p, 100, 0, 100);
    reads(&mut p, b"");
    p.call("fd_seek", &[FILE, Arg::N((-200_i64).cast_unsigned()), Arg::N(1), Arg::Out("at")], &[INVAL]);
    p.call("fd_seek", &[FILE, Arg::N(0), Arg::N(9), Arg::Out("at")], &[INVAL]);
    p.ok("fd_tell", &[FILE, Arg::Out("at")]).holds("at", 0, 64, 100);
    writes(&mut p, b"far");
    size(&mut p, 103);
    p.ok("fd_datasync", &[FILE]).ok("fd_sync", &[FILE]).ok("fd_close", &[FILE]).call("fd_close", &[FILE], &[BADF]);
    conforms(&p);
}

#[test]
fn of_several_buffers_at_least_the_first_that_is_not_empty_is_taken() {
    let mut p = opened(READ_WRITE);
    p.ok("fd_write", &[FILE, Arg::Writes(&[b"", b"abc", b"defgh"]), Arg::Out("n")]).holds_one_of("n", &[3, 8]);
    p.ok("fd_pwrite", &[FILE, Arg::Writes(&[b"abc", b"defgh"]), Arg::N(0), Arg::Out("n")]).holds_one_of("n", &[3, 8]);
    seeks(&mut p, 0, 0, 0);
    p.ok("fd_read", &[FILE, Arg::Reads("buffer", &[0, 2, 60]), Arg::Out("n")]).holds_one_of("n", &[2, 3, 8]);
    p.begins("buffer", b"ab");
    p.ok("fd_pread", &[FILE, Arg::Reads("again", &[2, 1]), Arg::N(0), Arg::Out("n")]).holds_one_of("n", &[2, 3]);
    p.begins("again", b"ab");
    p.ok("fd_read", &[FILE, Arg::Reads("none", &[]), Arg::Out("n")]).holds("n", 0, 32, 0);
    p.ok("fd_write", &[FILE, Arg::Writes(&[]), Arg::Out("n")]).holds("n", 0, 32, 0);
    p.ok("fd_close", &[FILE]);
    p.call("fd_read", &[FILE, Arg::Reads("none", &[]), Arg::Out("n")], &[BADF]);
    p.call("fd_write", &[FILE, Arg::Writes(&[]), Arg::Out("n")], &[BADF]);
    p.call("fd_write", &[Arg::N(0x1234_5678), Arg::Writes(&[]), Arg::Out("n")], &[BADF]);
    conforms(&p);
}

#[test]
fn reading_and_writing_at_a_place_moves_nothing() {
    let mut p = opened(READ_WRITE);
    let pwrite = |p: &mut Program, bytes: &[u8], at: u64| {
        p.ok("fd_pwrite", &[FILE, Arg::Write(bytes), Arg::N(at), Arg::Out("n")]).holds("n", 0, 32, bytes.len() as u64);
    };
    let pread = |p: &mut Program, at: u64, wanted: &[u8]| {
        p.ok("fd_pread", &[FILE, Arg::Read("buffer", 64), Arg::N(at), Arg::Out("n")]);
        p.holds("n", 0, 32, wanted.len() as u64).begins("buffer", wanted);
    };
    pwrite(&mut p, &[0, 1, 2, 3], 0);
    pread(&mut p, 0, &[0, 1, 2, 3]);
    pread(&mut p, 2, &[2, 3]);
    pwrite(&mut p, &[9, 8], 2);
    pread(&mut p, 0, &[0, 1, 9, 8]);
    pread(&mut p, 50, &[]);
    pwrite(&mut p, &[7], 6);
    pread(&mut p, 3, &[8, 0, 0, 7]);
    p.ok("fd_tell", &[FILE, Arg::Out("at")]).holds("at", 0, 64, 0);
    conforms(&p);
}

#[test]
fn appends_go_to_the_end_until_the_flag_is_removed() {
    let mut p = Program::default();
    p.try_open(DIR, "file", (0, CREAT, READ_WRITE, APPEND), "file", &[SUCCESS]);
    p.ok("fd_fdstat_get", &[FILE, Arg::Out("stat")]).holds("stat", 0, 8, TYPE_FILE).holds("stat", 2, 8, APPEND);
    writes(&mut p, b"one");
    seeks(&mut p, 0, 0, 0);
    writes(&mut p, b"two");
    seeks(&mut p, 0, 0, 0);
    reads(&mut p, b"onetwo");
    p.ok("fd_fdstat_set_flags", &[FILE, Arg::N(0)]);
    p.ok("fd_fdstat_get", &[FILE, Arg::Out("stat")]).holds("stat", 2, 8, 0);
    seeks(&mut p, 0, 0, 0);
    writes(&mut p, b"O");
    p.ok("fd_fdstat_set_flags", &[FILE, Arg::N(APPEND)]);
    writes(&mut p, b"!");
    p.ok("fd_tell", &[FILE, Arg::Out("at")]).holds("at", 0, 64, 7);
    seeks(&mut p, 0, 0, 0);
    reads(&mut p, b"Onetwo!");
    // Where this goes is not the same on all systems, but it moves nothing.
    p.ok("fd_pwrite", &[FILE, Arg::Write(b"??"), Arg::N(0), Arg::Out("n")]).holds("n", 0, 32, 2);
    p.ok("fd_tell", &[FILE, Arg::Out("at")]).holds("at", 0, 64, 7);
    conforms(&p);
}

#[test]
fn a_file_has_what_it_was_opened_for() {
    let mut p = Program::default();
    p.file("file").open(DIR, "file", 0, FD_READ, "file");
    p.call("fd_write", &[FILE, Arg::Write(b"x"), Arg::Out("n")], &[BADF, NOTCAPABLE, ACCES]);
    p.call("fd_pwrite", &[FILE, Arg::Write(b"x"), Arg::N(0), Arg::Out("n")], &[BADF, NOTCAPABLE, ACCES]);
    reads(&mut p, b"");
    p.ok("fd_close", &[FILE]).open(DIR, "file", 0, FD_WRITE, "file");
    p.call("fd_read", &[FILE, Arg::Read("buffer", 64), Arg::Out("n")], &[BADF, NOTCAPABLE, ACCES]);
    p.call("fd_pread", &[FILE, Arg::Read("buffer", 64), Arg::N(0), Arg::Out("n")], &[BADF, NOTCAPABLE, ACCES]);
    writes(&mut p, b"x");
    p.ok("fd_close", &[FILE]).open(DIR, "file", 0, READ_WRITE, "file");
    reads(&mut p, b"x");
    writes(&mut p, b"y");
    size(&mut p, 2);
    conforms(&p);
}

#[test]
fn a_file_is_made_emptied_or_left_as_it_is() {
    let mut p = opened(FD_WRITE);
    writes(&mut p, b"content");
    p.ok("fd_close", &[FILE]);
    p.try_open(DIR, "file", (0, CREAT | EXCL, FD_WRITE, 0), "file", &[EXIST]);
    p.try_open(DIR, "none", (0, 0, FD_READ, 0), "file", &[NOENT]);
    p.try_open(DIR, "none", (0, DIRECTORY, 0, 0), "file", &[NOENT]);
    p.open(DIR, "file", CREAT, READ_WRITE, "file");
    reads(&mut p, b"content");
    p.ok("fd_close", &[FILE]).open(DIR, "file", CREAT | TRUNC, READ_WRITE, "file");
    reads(&mut p, b"");
    p.open(DIR, "file", TRUNC, 0, "other");
    p.try_open(FILE, "x", (0, CREAT, FD_WRITE, 0), "other", &[NOTDIR]);
    p.try_open(DIR, "file", (0, DIRECTORY, 0, 0), "other", &[NOTDIR]);
    conforms(&p);
}

#[test]
fn sizes_are_set_and_what_is_new_is_zero() {
    let mut p = opened(READ_WRITE);
    writes(&mut p, b"abc");
    p.ok("fd_filestat_set_size", &[FILE, Arg::N(6)]);
    size(&mut p, 6);
    seeks(&mut p, 0, 0, 0);
    reads(&mut p, b"abc\0\0\0");
    p.ok("fd_filestat_set_size", &[FILE, Arg::N(1)]);
    size(&mut p, 1);
    p.ok("fd_advise", &[FILE, Arg::N(0), Arg::N(50), Arg::N(0)])
        .ok("fd_advise", &[FILE, Arg::N(0), Arg::N(0), Arg::N(5)]);
    p.call("fd_advise", &[FILE, Arg::N(0), Arg::N(0), Arg::N(9)], &[INVAL]);
    // WASI 0.2 and 0.3 have no such call, so an adapted module is told that there is none.
    p.call("fd_allocate", &[FILE, Arg::N(0), Arg::N(100)], &[NOTSUP]);
    size(&mut p, 1);
    conforms(&p);
}

#[test]
fn writes_are_visible_to_other_descriptors_immediately() {
    let mut p = opened(FD_READ);
    p.open(DIR, "file", 0, FD_WRITE, "writer");
    p.ok("fd_write", &[Arg::Fd("writer"), Arg::Write(b"x"), Arg::Out("n")]);
    reads(&mut p, b"x");
    conforms(&p);
}

#[test]
fn a_file_lives_without_its_name_and_the_name_is_free() {
    let mut p = opened(READ_WRITE);
    writes(&mut p, b"old");
    p.ok("path_unlink_file", &[DIR, Arg::Text("file")]);
    p.try_open(DIR, "file", (0, 0, FD_READ, 0), "other", &[NOENT]);
    p.file("file");
    seeks(&mut p, 0, 0, 0);
    reads(&mut p, b"old");
    conforms(&p);
}

#[test]
fn times_are_set_kept_and_refused_where_they_contradict() {
    const ATIM: u64 = 1;
    const ATIM_NOW: u64 = 2;
    const MTIM: u64 = 4;
    const MTIM_NOW: u64 = 8;
    const THEN: u64 = 1_000_000_007_000_000_123;
    let mut p = opened(READ_WRITE);
    let path = |p: &mut Program, flags: u64, wanted: u16| {
        let times = [Arg::N(THEN - 1000), Arg::N(THEN), Arg::N(flags)];
        p.call("path_filestat_set_times", &[&[DIR, Arg::N(0), Arg::Text("file")][..], &times].concat(), &[wanted]);
    };
    p.ok("fd_filestat_get", &[FILE, Arg::Out("before")]);
    p.ok("fd_filestat_set_times", &[FILE, Arg::N(5), Arg::N(THEN), Arg::N(MTIM)]);
    p.ok("fd_filestat_get", &[FILE, Arg::Out("stat")]).holds("stat", 48, 64, THEN).same(("stat", 40), ("before", 40));
    p.ok("fd_filestat_set_times", &[FILE, Arg::N(THEN), Arg::N(5), Arg::N(ATIM)]);
    p.ok("fd_filestat_get", &[FILE, Arg::Out("stat")]).holds("stat", 48, 64, THEN).holds("stat", 40, 64, THEN);
    path(&mut p, ATIM, SUCCESS);
    for flags in [ATIM | ATIM_NOW, MTIM | MTIM_NOW, ATIM | MTIM | MTIM_NOW] {
        path(&mut p, flags, INVAL);
        p.call("fd_filestat_set_times", &[FILE, Arg::N(1), Arg::N(1), Arg::N(flags)], &[INVAL]);
    }
    p.ok("path_filestat_get", &[DIR, Arg::N(0), Arg::Text("file"), Arg::Out("stat")]);
    p.holds("stat", 48, 64, THEN).holds("stat", 40, 64, THEN - 1000);
    path(&mut p, ATIM_NOW | MTIM_NOW, SUCCESS);
    conforms(&p);
}

#[test]
fn a_file_that_is_set_not_to_block_is_read_all_the_same() {
    let mut p = Program::default();
    p.try_open(DIR, "there/file", (0, 0, READ_WRITE, NONBLOCK), "file", &[SUCCESS]);
    for _ in 0..20 {
        reads(&mut p, b"0123456789");
        reads(&mut p, b"");
        seeks(&mut p, 0, 0, 0);
    }
    p.ok("fd_fdstat_get", &[FILE, Arg::Out("stat")]).holds("stat", 2, 8, NONBLOCK);
    p.file("other").open(DIR, "other", 0, READ_WRITE, "file").ok("fd_fdstat_set_flags", &[FILE, Arg::N(NONBLOCK)]);
    writes(&mut p, b"text");
    seeks(&mut p, 0, 0, 0);
    reads(&mut p, b"text");
    p.ok("fd_read", &[FILE, Arg::Read("nothing", 0), Arg::Out("n")]).holds("n", 0, 32, 0);
    conforms(&p);
}

#[test]
fn the_times_of_a_directory_are_set_by_its_descriptor() {
    const THEN: u64 = 1_000_000_007_000_000_123;
    let mut p = Program::default();
    p.open(DIR, "there", DIRECTORY, 0, "dir");
    for dir in [DIR, Arg::Fd("dir")] {
        p.ok("fd_filestat_set_times", &[dir, Arg::N(THEN), Arg::N(THEN + 5), Arg::N(5)]);
        p.ok("fd_filestat_get", &[dir, Arg::Out("stat")]).holds("stat", 40, 64, THEN).holds("stat", 48, 64, THEN + 5);
        p.call("fd_filestat_set_times", &[dir, Arg::N(1), Arg::N(1), Arg::N(12)], &[INVAL]);
    }
    p.call("fd_filestat_set_times", &[Arg::N(1), Arg::N(1), Arg::N(1), Arg::N(5)], &[BADF, INVAL]);
    conforms(&p);
}

#[test]
fn descriptors_are_renumbered_over_others() {
    let mut p = opened(READ_WRITE);
    p.open(DIR, "other", CREAT, READ_WRITE, "other");
    writes(&mut p, b"first");
    p.ok("fd_renumber", &[FILE, Arg::Fd("other")]);
    p.call("fd_close", &[FILE], &[BADF]).call("fd_renumber", &[Arg::Fd("other"), FILE], &[BADF]);
    p.ok("fd_tell", &[Arg::Fd("other"), Arg::Out("at")]).holds("at", 0, 64, 5);
    p.ok("path_filestat_get", &[DIR, Arg::N(0), Arg::Text("file"), Arg::Out("by-name")]);
    p.ok("fd_filestat_get", &[Arg::Fd("other"), Arg::Out("stat")]).same(("stat", 8), ("by-name", 8));
    p.call("fd_renumber", &[Arg::N(999), DIR], &[BADF]).ok("fd_fdstat_get", &[DIR, Arg::Out("stat")]);
    p.ok("fd_close", &[Arg::Fd("other")]);
    conforms(&p);
}
