//! The compile cache: a plugin is compiled once, and a cache that is damaged or foreign only costs time.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use host_testing::{Finished, Suite, plain_module};

/// What is said of a plugin that is compiled, where it is big.
const TOLD: &str = "compiling big.wasm (1.05 MB)\n";

/// A suite with a command of more than 1 MiB.
fn suite() -> Suite {
    let suite = Suite::new();
    suite.file("big.wasm", big("(call $proc_exit (i32.const 0))"));
    suite
}

/// What is big in it is a section that nothing looks into.
fn big(start: &str) -> Vec<u8> {
    let mut module = plain_module(start, "");
    let content = vec![0; 1 << 20];
    // The section's size in LEB128: a name of no letters, and the content.
    module.extend([0, 0x81, 0x80, 0xc0, 0x00, 0]);
    module.extend(content);
    module
}

fn run(suite: &Suite, cache: &Path) -> Finished {
    let mut command = suite.host_command(&suite.path(""), ["run", "big.wasm"]);
    command.env("HOST_CACHE_DIR", cache);
    suite.start_command(command).finish()
}

fn files(cache: &Path, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(cache).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
fn a_plugin_is_cached_by_its_content() {
    let suite = suite();
    let cache = suite.path("cache");
    assert_eq!(run(&suite, &cache).exits(0).passes("big").stderr, TOLD);
    let first = run(&suite, &cache);
    assert_eq!(first.exits(0).passes("big").stderr, "");
    // Neither its name nor its time make another plugin of it, and one byte does.
    fs::copy(suite.path("big.wasm"), suite.path("other.wasm")).unwrap();
    let mut command = suite.host_command(&suite.path(""), ["run", "other.wasm"]);
    command.env("HOST_CACHE_DIR", &cache);
    assert_eq!(suite.start_command(command).finish().exits(0).passes("other").stderr, "");
    suite.file("big.wasm", big("(call $proc_exit (i32.const 3))"));
    assert_eq!(run(&suite, &cache).exits(100).stderr, TOLD);
    assert_eq!(files(&cache, "cwasm").len(), 2);
}

#[test]
fn damaged_cache_entries_are_compiled_again() {
    let suite = suite();
    let cache = suite.path("cache");
    run(&suite, &cache).exits(0);
    let [artefact, note] = ["cwasm", "note"].map(|extension| files(&cache, extension).remove(0));
    let sound = fs::read(&artefact).unwrap();
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x20;
        bytes
    };
    // An artefact of other code, which is sound in itself.
    let foreign = suite.path("foreign");
    suite.file("big.wasm", big("(call $proc_exit (i32.const 3))"));
    run(&suite, &foreign).exits(100);
    let foreign = fs::read(files(&foreign, "cwasm").remove(0)).unwrap();
    suite.file("big.wasm", big("(call $proc_exit (i32.const 0))"));
    for damaged in [flipped(100), flipped(sound.len() / 2), sound[..sound.len() / 2].to_owned(), Vec::new(), foreign] {
        fs::write(&artefact, damaged).unwrap();
        let finished = run(&suite, &cache);
        assert_eq!(finished.exits(0).passes("big").stderr, TOLD);
        assert_eq!(fs::read(&artefact).unwrap(), sound);
    }
    for damaged in [&b""[..], b"\xff\xff", b"0 0 0"] {
        fs::write(&note, damaged).unwrap();
        assert_eq!(run(&suite, &cache).exits(0).passes("big").stderr, TOLD);
    }
    assert_eq!(run(&suite, &cache).exits(0).passes("big").stderr, "");
}

#[test]
fn a_plugin_that_takes_too_much_to_compile_is_refused() {
    let suite = suite();
    for (variable, value, told) in [
        ("HOST_COMPILE_MAX_MEMORY", "1MiB", "`big.wasm` needs more than 1 MiB of memory to compile; if you trust it"),
        ("HOST_COMPILE_TIMEOUT", "1ms", "`big.wasm` does not compile within 1ms; if you trust it, raise `timeout`"),
    ] {
        for command in ["run", "list", "check", "inspect"] {
            let mut command = suite.host_command(&suite.path(""), [command, "big.wasm"]);
            command.env(variable, value).env("HOST_CACHE_DIR", suite.path("cache"));
            let finished = suite.start_command(command).finish();
            assert!(finished.exits(96).stderr.contains(told), "{}", finished.told());
        }
    }
    // A suite says it too, a flag wins over it, and what is in the cache needs no process.
    suite.file("scenarios/suite.toml", "[compile]\nmax-memory = \"1MiB\"\n");
    assert!(run(&suite, &suite.path("cache")).exits(96).stderr.contains("1 MiB of memory"));
    let mut command = suite.host_command(&suite.path(""), ["run", "--compile-max-memory", "1GiB", "big.wasm"]);
    command.env("HOST_CACHE_DIR", suite.path("cache"));
    suite.start_command(command).finish().exits(0);
    run(&suite, &suite.path("cache")).exits(0).passes("big");
}

/// A function that is large once it is compiled, again and again.
fn slow() -> Vec<u8> {
    let calls: String =
        (0..2_000).map(|n| format!("(local.set 0 (call $f (i64.add (local.get 0) (i64.const {n}))))")).collect();
    let functions: String =
        (0..400).map(|_| format!("(func (param i64) (result i64) {calls} (local.get 0))")).collect();
    wat::parse_str(format!(
        "(module (func $f (param i64) (result i64) (local.get 0)) {functions} (func (export \"_start\")))"
    ))
    .unwrap()
}

#[test]
fn compiling_ends_with_the_host() {
    let suite = Suite::new();
    suite.file("slow.wasm", slow());
    let marker = format!("--max-memory\0{}", (4_u64 << 30) - u64::from(std::process::id()));
    let compiling = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        commands.filter(|command| String::from_utf8_lossy(command).contains(&marker)).count()
    };
    let limit = ((4_u64 << 30) - u64::from(std::process::id())).to_string();
    let mut command = suite.host_command(&suite.path(""), ["list", "slow.wasm"]);
    command.env("HOST_COMPILE_MAX_MEMORY", limit).env("HOST_CACHE_DIR", suite.path("cache"));
    let running = suite.start_command(command);
    let begun = std::time::Instant::now();
    while compiling() == 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "nothing is compiled");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    running.signal(rustix::process::Signal::INT);
    running.finish();
    let begun = std::time::Instant::now();
    while compiling() > 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "the compiler goes on");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn an_unusable_cache_is_a_warning() {
    let suite = suite();
    let open = suite.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    suite.file("file", "");
    for (cache, reason) in [(open, "is not private"), (suite.path("file"), "cannot use the compile cache")] {
        let finished = run(&suite, &cache);
        finished.exits(0).passes("big");
        assert!(finished.stderr.contains(reason), "{}", finished.stderr);
        assert!(
            finished.stderr.contains("the compile cache is disabled") && finished.stderr.ends_with(TOLD),
            "{}",
            finished.stderr
        );
    }
}
