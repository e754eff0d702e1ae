use host_model::FaultClass;

use host_testing::{Suite, preview1::*};

use super::{conforms, conforms_with, run};

#[test]
fn a_closed_descriptor_is_bad_for_every_call() {
    let mut p = Program::default();
    let gone = Arg::N(77);
    for call in ["fd_close", "fd_datasync", "fd_sync"] {
        p.call(call, &[gone], &[BADF]);
    }
    for call in ["fd_fdstat_get", "fd_filestat_get", "fd_prestat_get", "fd_tell"] {
        p.call(call, &[gone, Arg::Out("x")], &[BADF]);
    }
    p.call("fd_read", &[gone, Arg::Read("b", 8), Arg::Out("n")], &[BADF]);
    p.call("fd_write", &[gone, Arg::Write(b"x"), Arg::Out("n")], &[BADF]);
    p.call("fd_seek", &[gone, Arg::N(0), Arg::N(0), Arg::Out("n")], &[BADF]);
    p.call("fd_advise", &[gone, Arg::N(0), Arg::N(0), Arg::N(0)], &[BADF]);
    p.call("fd_fdstat_set_flags", &[gone, Arg::N(0)], &[BADF]);
    p.call("fd_filestat_set_size", &[gone, Arg::N(0)], &[BADF]);
    p.call("fd_filestat_set_times", &[gone, Arg::N(0), Arg::N(0), Arg::N(0)], &[BADF]);
    p.call("fd_readdir", &[gone, Arg::Out("b"), Arg::N(8), Arg::N(0), Arg::Out("n")], &[BADF]);
    p.call("fd_prestat_dir_name", &[gone, Arg::Out("b"), Arg::N(8)], &[BADF, NOTDIR]);
    p.call("path_create_directory", &[gone, Arg::Text("x")], &[BADF]);
    p.try_open(gone, "x", (0, CREAT, FD_WRITE, 0), "y", &[BADF]);
    conforms(&p);
}

#[test]
fn stdio_is_no_terminal_and_no_directory() {
    let mut p = Program::default();
    for (fd, function) in [(0, "fd_read"), (1, "fd_write"), (2, "fd_write")] {
        let fd = Arg::N(fd);
        p.ok("fd_fdstat_get", &[fd, Arg::Out("stat")]).holds("stat", 0, 8, 0);
        p.call("fd_filestat_get", &[fd, Arg::Out("stat")], &[SUCCESS]).holds("stat", 16, 8, 0);
        // A terminal is a character device, which this is not.
        p.call("fd_seek", &[fd, Arg::N(0), Arg::N(0), Arg::Out("n")], &[SPIPE, BADF]);
        p.call("fd_readdir", &[fd, Arg::Out("b"), Arg::N(8), Arg::N(0), Arg::Out("n")], &[BADF, NOTDIR]);
        p.call("path_create_directory", &[fd, Arg::Text("x")], &[NOTDIR, BADF]);
        let buffer = if function == "fd_read" { Arg::Read("b", 8) } else { Arg::Write(b"") };
        p.ok(function, &[fd, buffer, Arg::Out("n")]).holds("n", 0, 32, 0);
    }
    p.call("fd_write", &[Arg::N(0), Arg::Write(b"x"), Arg::Out("n")], &[BADF, NOTCAPABLE]);
    p.call("fd_read", &[Arg::N(1), Arg::Read("b", 8), Arg::Out("n")], &[BADF, NOTCAPABLE]);
    conforms(&p);
}

#[test]
fn stdio_can_be_moved_over_a_file_and_closed() {
    let mut p = Program::default();
    for fd in [0, 1] {
        p.open(DIR, "file", CREAT, READ_WRITE, "file").ok("fd_renumber", &[Arg::N(fd), Arg::Fd("file")]);
        p.call("fd_fdstat_get", &[Arg::N(fd), Arg::Out("stat")], &[BADF]);
        p.ok("fd_fdstat_get", &[Arg::Fd("file"), Arg::Out("stat")]);
    }
    // What was stdout still is where it was moved to.
    p.ok("fd_write", &[Arg::Fd("file"), Arg::Write(b"moved\n"), Arg::Out("n")]);
    p.ok("fd_close", &[Arg::N(2)]).call("fd_close", &[Arg::N(2)], &[BADF]);
    conforms_with(&p, &format!("{}expect = {{ stdout = \"moved\\n\" }}", super::IN_A_FOLDER));
}

#[test]
fn clocks_go_on_and_random_numbers_come_in_any_amount() {
    const REALTIME: Arg<'_> = Arg::N(0);
    const MONOTONIC: Arg<'_> = Arg::N(1);
    let mut p = Program::default();
    for clock in [REALTIME, MONOTONIC] {
        for precision in [0, 1, u64::MAX] {
            p.ok("clock_time_get", &[clock, Arg::N(precision), Arg::Out("now")]);
        }
        p.ok("clock_res_get", &[clock, Arg::Out("resolution")]);
    }
    p.call("clock_time_get", &[Arg::N(77), Arg::N(0), Arg::Out("now")], &[BADF, INVAL]);
    p.call("clock_res_get", &[Arg::N(77), Arg::Out("now")], &[BADF, INVAL]);
    for size in [0, 1, 1024, 100_000] {
        p.room("random", 100_000).ok("random_get", &[Arg::Out("random"), Arg::N(size)]);
    }
    p.ok("sched_yield", &[]);
    conforms(&p);
}

fn subscription(userdata: u64, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    bytes[8] = kind;
    bytes[16..16 + rest.len()].copy_from_slice(rest);
    bytes
}

/// A wait on the monotonic clock.
fn clock(userdata: u64, nanoseconds: u64) -> Vec<u8> {
    let rest = [&1_u64.to_le_bytes()[..], &nanoseconds.to_le_bytes(), &[0; 16]].concat();
    subscription(userdata, 0, &rest)
}

#[test]
fn a_poll_reports_ready_events() {
    let mut p = Program::default();
    let poll = |p: &mut Program, name: &str, subscriptions: &[Vec<u8>]| {
        p.put(name, &subscriptions.concat()).room("events", 512);
        let count = Arg::N(subscriptions.len() as u64);
        p.ok("poll_oneoff", &[Arg::Out(name), Arg::Out("events"), count, Arg::Out("n")]);
    };
    poll(&mut p, "sleep", &[clock(5, 1_000_000)]);
    p.holds("n", 0, 32, 1).holds("events", 0, 64, 5).holds("events", 8, 32, 0);
    let write = |userdata: u64, fd: u8| subscription(userdata, 2, &[fd, 0, 0, 0]);
    poll(&mut p, "writable", &[write(1, 1), write(2, 2)]);
    p.holds("n", 0, 32, 2).holds("events", 0, 64, 1).holds("events", 8, 16, 0).holds("events", 32, 64, 2);
    let read = |userdata: u64, fd: u8| subscription(userdata, 1, &[fd, 0, 0, 0]);
    // An hour would be too long: stdin is at its end, which is ready.
    poll(&mut p, "stdin", &[clock(5, 3_600_000_000_000), read(6, 0)]);
    p.holds("n", 0, 32, 1).holds("events", 0, 64, 6).holds("events", 10, 8, 1);
    p.open(DIR, "there/file", 0, FD_READ, "file");
    p.call("poll_oneoff", &[Arg::Out("sleep"), Arg::Out("events"), Arg::N(0), Arg::Out("n")], &[INVAL]);
    conforms(&p);
}

/// Until a time of day, in nanoseconds since 1970.
fn until(userdata: u64, nanoseconds: u64) -> Vec<u8> {
    let rest = [&0_u64.to_le_bytes()[..], &nanoseconds.to_le_bytes(), &[0; 8], &1_u64.to_le_bytes()].concat();
    subscription(userdata, 0, &rest)
}

#[test]
fn a_time_of_day_that_is_over_has_come() {
    let mut p = Program::default();
    let last_century = 900_000_000_000_000_000;
    p.put("one", &until(7, 0)).room("events", 512);
    p.ok("poll_oneoff", &[Arg::Out("one"), Arg::Out("events"), Arg::N(1), Arg::Out("n")]);
    p.holds("n", 0, 32, 1).holds("events", 0, 64, 7).holds("events", 8, 32, 0);
    let hour = clock(5, 3_600_000_000_000);
    p.put("several", &[hour, until(8, u64::MAX), until(9, last_century), until(10, 1)].concat());
    p.ok("poll_oneoff", &[Arg::Out("several"), Arg::Out("events"), Arg::N(4), Arg::Out("n")]);
    p.holds("n", 0, 32, 2).holds("events", 0, 64, 9).holds("events", 8, 32, 0).holds("events", 32, 64, 10);
    // The question stays as it was.
    p.holds("several", 96 + 24, 64, last_century).holds("one", 0, 64, 7);
    conforms(&p);
}

#[test]
fn the_number_of_open_files_is_limited_by_max_handles() {
    let mut p = Program::default();
    p.open(DIR, "file", CREAT, READ_WRITE, "first");
    for _ in 0..300 {
        p.open(DIR, "file", 0, READ_WRITE, "other");
    }
    p.ok("fd_close", &[Arg::Fd("first")]).open(DIR, "file", 0, READ_WRITE, "first");
    conforms(&p);
    let finished = run(&Suite::new(), &p, "max-handles = 200");
    let fault = finished.exits(110).fault("calls");
    assert_eq!(fault.class, FaultClass::Limit, "{fault}");
    assert!(fault.message.contains("its limit is `max-handles`"), "{fault}");
}

#[test]
fn sockets_are_not_supported_and_reported() {
    let mut p = Program::default();
    p.open(DIR, "file", CREAT, READ_WRITE, "file");
    for (fd, errno) in [(Arg::Fd("file"), NOTSOCK), (DIR, NOTSOCK), (Arg::N(1), NOTSOCK), (Arg::N(77), BADF)] {
        p.call("sock_shutdown", &[fd, Arg::N(3)], &[errno]);
        p.call("sock_accept", &[fd, Arg::N(0), Arg::Out("x")], &[errno]);
        p.call("sock_recv", &[fd, Arg::Read("b", 8), Arg::N(0), Arg::Out("n"), Arg::Out("flags")], &[errno]);
        p.call("sock_send", &[fd, Arg::Write(b"x"), Arg::N(0), Arg::Out("n")], &[errno]);
    }
    conforms(&p);
}

#[test]
fn arguments_and_variables_come_as_they_are() {
    let mut p = Program::default();
    p.ok("args_sizes_get", &[Arg::Out("count"), Arg::Out("size")]);
    p.holds("count", 0, 32, 4).holds("size", 0, 32, 11 + 1 + 4 + 3);
    p.ok("args_get", &[Arg::Out("list"), Arg::Out("args")]).begins("args", "calls.wasm\0\0a b\0ä\0".as_bytes());
    p.ok("environ_sizes_get", &[Arg::Out("count"), Arg::Out("size")]);
    p.holds("count", 0, 32, 2).holds("size", 0, 32, 7 + 6);
    p.ok("environ_get", &[Arg::Out("list"), Arg::Out("env")]).begins("env", b"NONE=\0A=b=c \0");
    conforms_with(&p, "args = [\"\", \"a b\", \"ä\"]\nenv = { NONE = \"\", A = \"b=c \" }");
}

#[test]
fn a_preopen_has_the_rights_that_programs_look_for() {
    let bits = |places: &[u32]| places.iter().map(|place| 1_u64 << place).sum::<u64>();
    // What is done with a directory, and what is done with the files in it.
    let directory = bits(&[9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 23, 24, 25, 26]);
    let file = bits(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 21, 22, 23, 27]);
    let mut p = Program::default();
    p.ok("fd_fdstat_get", &[DIR, Arg::Out("stat")]);
    p.has_bits("stat", 8, directory, bits(&[2, 22])).has_bits("stat", 16, directory | file, 0);
    // Opening it again with what it has, or with nothing, works.
    let args =
        |rights: Arg<'static>| [DIR, Arg::N(0), Arg::Text("."), Arg::N(0), rights, rights, Arg::N(0), Arg::Out("o")];
    p.ok("path_open", &args(Arg::Wide("stat", 8))).ok("path_open", &args(Arg::N(0)));
    // Rights cannot be given up, which is told.
    let rights = [DIR, Arg::Wide("stat", 8), Arg::Wide("stat", 16)];
    p.call("fd_fdstat_set_rights", &rights, &[NOTSUP]);
    conforms(&p);
}

#[test]
fn a_file_has_the_rights_that_it_was_opened_with() {
    let mut p = Program::default();
    p.file("file");
    for (rights, other) in [(FD_READ, FD_WRITE), (FD_WRITE, FD_READ), (FD_READ | FD_WRITE, 0)] {
        p.open(DIR, "file", 0, rights, "file").ok("fd_fdstat_get", &[Arg::Fd("file"), Arg::Out("stat")]);
        p.has_bits("stat", 8, rights, other);
    }
    conforms(&p);
}

#[test]
fn many_and_large_arguments_and_variables_come_whole() {
    const LARGE: u32 = 32 << 10;
    let (large, value) = ("x".repeat(LARGE as usize), "y".repeat(LARGE as usize));
    let mut p = Program::default();
    p.ok("args_sizes_get", &[Arg::Out("count"), Arg::Out("size")]);
    p.holds("count", 0, 32, 1 + 10 + 2000).holds("size", 0, 32, u64::from(11 + 10 * (LARGE + 1)) + 2000 * 4);
    p.room("args", 600_000).room("list", 10_000).ok("args_get", &[Arg::Out("list"), Arg::Out("args")]);
    let end = 11 + 10 * (LARGE + 1);
    p.holds("args", end - 2, 8, u64::from(b'x')).holds("args", end - 1, 8, 0).holds("args", end, 8, u64::from(b'a'));
    p.ok("environ_sizes_get", &[Arg::Out("count"), Arg::Out("size")]);
    p.holds("count", 0, 32, 9).holds("size", 0, 32, u64::from(9 * (LARGE + 4)));
    p.room("env", 500_000).ok("environ_get", &[Arg::Out("list"), Arg::Out("env")]);
    p.holds("env", 9 * (LARGE + 4) - 2, 8, u64::from(b'y'));
    let args = [vec![format!("{large:?}"); 10], vec!["\"abc\"".to_owned(); 2000]].concat().join(", ");
    let env: Vec<String> = (0..9).map(|number| format!("E{number} = {value:?}")).collect();
    conforms_with(&p, &format!("args = [{args}]\nenv = {{ {} }}", env.join(", ")));
}

#[test]
fn one_argument_or_variable_may_be_as_large_as_all_of_them() {
    const LARGE: u32 = 200_000;
    let large = "x".repeat(LARGE as usize);
    let mut p = Program::default();
    for (sizes, texts, size) in
        [("args_sizes_get", "args_get", 11 + LARGE + 1), ("environ_sizes_get", "environ_get", 2 + LARGE + 1)]
    {
        p.ok(sizes, &[Arg::Out("count"), Arg::Out(sizes)]).holds(sizes, 0, 32, u64::from(size));
        p.room(texts, size + 1).room("list", 64).ok(texts, &[Arg::Out("list"), Arg::Out(texts)]);
        p.holds(texts, size - 2, 8, u64::from(b'x')).holds(texts, size - 1, 8, 0);
    }
    conforms_with(&p, &format!("args = [{large:?}]\nenv = {{ A = {large:?} }}"));
}

#[test]
fn more_is_read_and_written_than_one_call_takes() {
    const LARGE: u32 = 2 << 20;
    let mut p = Program::default();
    let file = Arg::Fd("file");
    p.open(DIR, "file", CREAT, READ_WRITE, "file").room("large", LARGE);
    let list = Arg::Read("large", LARGE);
    p.ok("fd_write", &[file, list, Arg::Out("n")]).holds("n", 0, 32, 1 << 20);
    p.ok("fd_pwrite", &[file, list, Arg::N(7), Arg::Out("n")]).holds("n", 0, 32, 1 << 20);
    p.ok("fd_pread", &[file, list, Arg::N(7), Arg::Out("n")]);
    p.ok("fd_seek", &[file, Arg::N(0), Arg::N(0), Arg::Out("at")]);
    p.ok("fd_read", &[file, list, Arg::Out("n")]).holds("n", 0, 32, 1 << 20);
    p.ok("fd_read", &[file, list, Arg::Out("n")]).holds("n", 0, 32, 7);
    conforms(&p);
}

#[test]
fn all_allowed_preopens_can_be_used() {
    let name = |number: u64| format!("/{}/{number}", "n".repeat(200));
    let mut p = Program::default();
    for (fd, number) in [(3, 0), (4, 1), (52, 49), (102, 99)] {
        let place = format!("name-{fd}");
        p.room(&place, 256).ok("fd_prestat_dir_name", &[Arg::N(fd), Arg::Out(&place), Arg::N(256)]);
        p.begins(&place, format!("{}\0", name(number)).as_bytes());
        p.open(Arg::N(fd), "there/file", 0, FD_READ, "file");
    }
    let entry = |number| format!("{{ from = \"data\", to = {:?}, mode = \"ro\" }}", name(number));
    let entries: Vec<String> = (0..100).map(entry).collect();
    conforms_with(&p, &format!("preopens = [{}]", entries.join(", ")));
}
