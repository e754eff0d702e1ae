//! What the operating system refuses to an agent, tried by real ones. Each attack is tried unconfined too, where it
//! works: else its failure would show nothing.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::PathBuf,
    time::Duration,
};

use host_agents::{Protection, confinement_available};
use host_model::{Confinement, ConfinementMode, FaultClass, Ports, SessionEventKind};
use host_testing::{host_binary, repository, session::*};

/// What each command answered, and whether it failed.
async fn try_all(attempt: &Attempt, confinement: Confinement) -> Vec<(String, bool)> {
    let guard = Protection { confinement, ..Protection::default() };
    let mut session = start_guarded(host_binary(), attempt.spec(), guard).await.unwrap();
    let (events, fault) = within(60, all_events(&mut *session)).await;
    assert_eq!(fault, None);
    session.conclude().await.unwrap();
    let answers = events.into_iter().filter_map(|event| match event {
        SessionEventKind::ToolResult { output, is_error, .. } => Some((output, is_error)),
        _ => None,
    });
    answers.collect()
}

fn attempt_with(commands: &[String]) -> Attempt {
    let attempt = Attempt::new("");
    give(&attempt, commands);
    attempt
}

/// Makes the commands the agent's script.
fn give(attempt: &Attempt, commands: &[String]) {
    let steps: String = commands.iter().map(|command| shell(command)).collect();
    let script = format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\n{steps}");
    fs::write(attempt.path("script.toml"), script).unwrap();
}

/// Everything is required that this kernel has.
fn required() -> Confinement {
    let whole = confinement_available().is_ok();
    let mode = if whole { ConfinementMode::Required } else { ConfinementMode::Landlock };
    Confinement { mode, ..Confinement::default() }
}

fn unconfined() -> Confinement {
    Confinement { mode: ConfinementMode::None, ..Confinement::default() }
}

/// Each command is refused to a confined agent, with these words, and works for another.
async fn assert_refused(attempt: &Attempt, commands: &[String], words: &str) {
    give(attempt, commands);
    let confined = try_all(attempt, Confinement::default()).await;
    for ((output, failed), command) in confined.iter().zip(commands) {
        assert!(*failed && output.contains(words), "{command}: {output}");
    }
    let free = try_all(attempt, unconfined()).await;
    for ((output, failed), command) in free.iter().zip(commands) {
        assert!(!failed, "{command} fails for an unconfined agent too: {output}");
    }
    assert_eq!((confined.len(), free.len()), (commands.len(), commands.len()));
}

#[tokio::test]
async fn files_outside_the_attempt_are_inaccessible() {
    if kernel::lacks(kernel::FILES) {
        return;
    }
    let (attempt, other) = (Attempt::new(""), Attempt::new(""));
    let away = tempfile::tempdir().unwrap();
    let key = away.path().join(".ssh/id_ed25519");
    fs::create_dir(key.parent().unwrap()).unwrap();
    fs::write(&key, "a key").unwrap();
    fs::write(other.path("root/file"), "of another").unwrap();
    let (key, away) = (key.display(), away.path().display());
    let (other_root, temp) = (other.path("root"), std::env::temp_dir());
    let (other_root, temp) = (other_root.display(), temp.display());
    let unique = attempt.path("").file_name().unwrap().to_string_lossy().into_owned();
    let commands = [
        "echo x > ../escape && rm ../escape".to_owned(),
        format!("echo x > {temp}/{unique}-escape && rm {temp}/{unique}-escape"),
        format!("mkdir {temp}/{unique}-folder && rmdir {temp}/{unique}-folder"),
        format!("ls {temp}"),
        format!("cat {key}"),
        format!("echo x >> {key}"),
        format!("ls {away}/.ssh"),
        format!("ln {key} stolen && rm stolen || {{ echo Permission denied; exit 1; }}"),
        format!("ln -s {key} link; cat link"),
        format!("cat {other_root}/file"),
        format!("echo x > {other_root}/file"),
        format!("mv {other_root} {other_root}2 && mv {other_root}2 {other_root}"),
        format!(": > {other_root}/file"),
        // The session's record, which is below the run directory in a run, and the script.
        "cat ../record/stream.jsonl".to_owned(),
        "echo forged >> ../record/events.jsonl".to_owned(),
        "echo '# more' >> ../script.toml".to_owned(),
        format!("cat {}", repository().join("Cargo.toml").display()),
    ];
    assert_refused(&attempt, &commands, "ermission denied").await;
    assert_eq!(other.read("root/file"), "");
}

#[tokio::test]
async fn other_processes_are_out_of_reach_and_their_memory_and_environment_unseen() {
    if kernel::lacks(kernel::SIGNALS) {
        return;
    }
    let (attempt, other) = (Attempt::new(""), Attempt::new(&shell("sleep 1014")));
    let mut session = other.start().await;
    wait_until(Duration::from_secs(10), || !living_with_argument("1014").is_empty()).await;
    let stranger = living_with_argument("1014")[0];
    // This process is the host here. The shell's parent is the agent, and the agent's the supervisor.
    let host = std::process::id().to_string();
    let supervisor = "$(ps -o ppid= -p $PPID | tr -d ' ')";
    let mut seen = Vec::new();
    for process in [&host, supervisor, &stranger.to_string()] {
        for file in ["environ", "mem", "maps", "auxv", "fd/0"] {
            seen.push(format!("p={process}; : < /proc/$p/{file} && dd if=/proc/$p/{file} of=/dev/null count=0"));
        }
        seen.extend(["cwd", "exe", "root"].map(|link| format!("p={process}; readlink -v /proc/$p/{link}")));
    }
    assert_refused(&attempt, &seen, "ermission denied").await;
    let signals: Vec<String> =
        [&host, supervisor, &stranger.to_string()].iter().map(|process| format!("kill -0 {process}")).collect();
    assert_refused(&attempt, &signals, "ermitted").await;
    assert_eq!(session.end(NO_GRACE).await, Ok(None));
}

#[tokio::test]
async fn only_the_ports_of_the_lane_are_reached() {
    if kernel::lacks(kernel::TCP) {
        return;
    }
    let (given, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let connect = |port: u16| format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'");
    let bind = |port: u16| {
        format!("python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", {port})); s.listen()'")
    };
    let attempt = Attempt::new("");
    assert_refused(&attempt, &[connect(port(&given)), bind(0)], "ermission denied").await;

    give(&attempt, &[connect(port(&given)), connect(port(&other)), bind(0)]);
    let confinement = Confinement { tcp_connect: Ports::Only(vec![port(&given)]), ..required() };
    let answers = try_all(&attempt, confinement).await;
    assert_eq!(answers.iter().map(|(_, failed)| *failed).collect::<Vec<_>>(), [false, true, true], "{answers:?}");
    assert!(answers[1].0.contains("ermission denied"), "{answers:?}");
    let answers =
        try_all(&attempt, Confinement { tcp_connect: Ports::Any, tcp_bind: Ports::Only(vec![0]), ..required() }).await;
    assert!(answers.iter().all(|(_, failed)| !failed), "{answers:?}");
}

/// What Landlock does not know of, and TCP that it does not see.
#[tokio::test]
async fn denied_ports_cannot_be_reached_by_detours() {
    if kernel::lacks(kernel::TCP) || kernel::lacks(kernel::FILTERS) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let attempt = Attempt::new("");
    let socket = |made: &str, used: &str| format!("python3 -c 'import socket; s = socket.socket({made}); {used}' 2>&1");
    let connect = format!("s.connect((\"127.0.0.1\", {port}))");
    let send = |address: &str| format!("s.sendto(b\"x\", 0x20000000, (\"{address}\", {port}))");
    // A kernel that has no MPTCP or VSOCK offers no such way.
    let there = |made: &str| kernel::runs(&format!("python3 -c 'import socket; socket.socket({made})'"));
    let tries = [
        ("2, 1, 262", connect.as_str(), "Protocol not supported"),
        ("40, 1, 0", "", "Address family not supported"),
        ("2, 1, 0", &send("127.0.0.1"), "Operation not supported"),
        ("2, 1, 6", &send("127.0.0.1"), "Operation not supported"),
        ("10, 1, 0", &send("::ffff:127.0.0.1"), "Operation not supported"),
        (
            "2, 1, 0",
            &format!("s.sendmsg([b\"x\"], [], 0x20000000, (\"127.0.0.1\", {port}))"),
            "Operation not supported",
        ),
    ];
    for (made, used, words) in tries {
        if there(made) {
            assert_refused(&attempt, &[socket(made, used)], words).await;
        }
    }
    let ring = "python3 -c 'import ctypes, os; c = ctypes.CDLL(None, use_errno=True); r = c.syscall(425, 8, \
                bytes(120)); print(os.strerror(ctypes.get_errno())); exit(r < 0)' 2>&1";
    if kernel::runs(ring) {
        assert_refused(&attempt, &[ring.to_owned()], "Function not implemented").await;
    }
    // The same call of the 32-bit kind: `socket(2, 1, 262)`.
    let foreign = r#"python3 -c 'import ctypes, mmap, os; m = mmap.mmap(-1, 4096, prot=7); m.write(b"\x53\xb8\x67\x01\0\0\xbb\x02\0\0\0\xb9\x01\0\0\0\xba\x06\x01\0\0\xcd\x80\x5b\xc3"); r = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))(); print(os.strerror(-r)); exit(r < 0)' 2>&1"#;
    if cfg!(target_arch = "x86_64") && kernel::runs(foreign) {
        assert_refused(&attempt, &[foreign.to_owned()], "Function not implemented").await;
    }
    // What programs are used to still works, with the rest refused or not.
    give(
        &attempt,
        &["python3 -c 'import socket as s; s.socketpair(); s.socket(2, 2); s.socket(10, 1); s.socket(16, 3, 0)'"
            .into()],
    );
    let answers = try_all(&attempt, required()).await;
    assert!(!answers[0].1, "{answers:?}");
}

#[tokio::test]
async fn limits_and_keys_of_others_are_out_of_reach() {
    if kernel::lacks(kernel::FILTERS) {
        return;
    }
    let (attempt, other) = (Attempt::new(""), Attempt::new(&shell("sleep 1016")));
    let mut session = other.start().await;
    wait_until(Duration::from_secs(10), || !living_with_argument("1016").is_empty()).await;
    let stranger = living_with_argument("1016")[0];
    // As it is: the victim lives on.
    let limit = format!("python3 -c 'import resource as r; r.prlimit({stranger}, 1, r.prlimit({stranger}, 1))' 2>&1");
    assert_refused(&attempt, &[limit], "ermi").await;
    let keys = format!(
        "python3 -c 'import ctypes, os; c = ctypes.CDLL(None, use_errno=True); r = c.syscall({}, 0, -3, 1); \
         print(os.strerror(ctypes.get_errno())); exit(r < 0)' 2>&1",
        libc::SYS_keyctl
    );
    if kernel::runs(&keys) {
        assert_refused(&attempt, &[keys], "ermitted").await;
    }
    give(&attempt, &["ulimit -n 100; python3 -c 'import resource as r; r.setrlimit(1, r.getrlimit(1))'".into()]);
    let answers = try_all(&attempt, required()).await;
    assert!(!answers[0].1, "{answers:?}");
    assert_eq!(session.end(NO_GRACE).await, Ok(None));
}

#[tokio::test]
async fn abstract_sockets_of_others_are_refused() {
    if kernel::lacks(kernel::SIGNALS) {
        return;
    }
    use std::os::linux::net::SocketAddrExt;
    let name = format!("host-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let connect =
        format!("python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(chr(0).encode() + b\"{name}\")'");
    assert_refused(&Attempt::new(""), &[connect], "ermitted").await;
}

#[tokio::test]
async fn nothing_more_privileged_is_to_be_had() {
    let (mut commands, root) = (Vec::new(), rustix::process::getuid().is_root());
    let attempt = Attempt::new("");
    if root {
        // A program that would run as nobody.
        fs::copy("/usr/bin/id", attempt.path("root/id")).unwrap();
        std::os::unix::fs::chown(attempt.path("root/id"), Some(65534), None).unwrap();
        fs::set_permissions(attempt.path("root/id"), fs::Permissions::from_mode(0o4755)).unwrap();
        commands.extend(["mknod disk b 8 0", "mknod null c 1 3", "chroot . /bin/true", "setpriv --reuid 65534 true"]);
    }
    commands.extend(["./id -u 2>&1 || id -u", "grep NoNewPrivs /proc/self/status", "grep CapBnd /proc/self/status"]);
    commands.extend(["grep CapEff /proc/self/status", "ulimit -Hc"]);
    let commands: Vec<String> = commands.into_iter().map(Into::into).collect();
    give(&attempt, &commands);
    let answers = try_all(&attempt, required()).await;
    let (tried, shown) = answers.split_at(answers.len() - 5);
    assert!(tried.iter().all(|(_, failed)| *failed), "{tried:?}");
    let shown: Vec<&str> = shown.iter().map(|(output, _)| output.trim()).collect();
    let own = rustix::process::getuid().as_raw().to_string();
    assert!(shown[0].ends_with(&own), "{shown:?}");
    assert!(shown[1].ends_with('1') && shown[4] == "0", "{shown:?}");
    // Those that concern files, and low ports.
    let most = 0b100_0001_1011_u64;
    let effective = u64::from_str_radix(shown[3].split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(effective & !most, 0, "{shown:?}");
    if root {
        let bounding = u64::from_str_radix(shown[2].split_whitespace().last().unwrap(), 16).unwrap();
        assert_eq!(bounding & !most, 0, "{shown:?}");
    }
    // Unconfined, setuid programs still give nothing.
    let answers = try_all(&attempt, unconfined()).await;
    let id = &answers[answers.len() - 5].0;
    assert!(id.trim().ends_with(&own), "{id}");
}

#[tokio::test]
async fn an_agent_can_work() {
    let commands = [
        "git init -q . && git config user.name A && git config user.email a@b.invalid && echo x > f && git add f \
         && git commit -qm one && git mv f g && git commit -qm two && git log --oneline | wc -l | grep -x 2",
        "python3 -c 'import json, os, ssl, subprocess, tempfile; tempfile.TemporaryFile(); subprocess.check_call([\"true\"])'",
        "if [ -x /usr/bin/node ]; then node -e 'require(\"fs\").mkdtempSync(require(\"os\").tmpdir() + \"/x\")'; fi",
        "echo x > $HOME/a && mkdir $TMPDIR/b && mv $HOME/a $TMPDIR/b/c && ln $TMPDIR/b/c $HOST_AGENT_CONFIG_DIR/d",
        "mkfifo pipe && ln -s f link && chmod 600 g && truncate -s 3 g && rm pipe link",
        "printf '#!/bin/sh\\necho ran' > tool && chmod +x tool && ./tool | grep ran && cp /bin/true mine && ./mine",
        "echo x > /dev/null && head -c 3 /dev/urandom | wc -c | grep 3 && ls /usr/bin /proc/self > /dev/null",
        "sleep 1015 & kill $! && cat /proc/self/environ > /dev/null && getent hosts localhost && date > /dev/null",
    ];
    let attempt = attempt_with(&commands.map(Into::into));
    for ((output, failed), command) in try_all(&attempt, required()).await.iter().zip(commands) {
        assert!(!failed, "{command}: {output}");
    }
}

#[tokio::test]
async fn listed_paths_and_ports_can_be_used() {
    if kernel::lacks(kernel::FILES) {
        return;
    }
    let away = tempfile::tempdir().unwrap();
    fs::write(away.path().join("notes"), "read me").unwrap();
    fs::create_dir(away.path().join("shared")).unwrap();
    let here = away.path().display();
    let attempt = attempt_with(&[
        format!("cat {here}/notes && echo x > {here}/shared/mine"),
        format!("echo x > {here}/notes"),
        "head -c 3000 /dev/zero > large".into(),
    ]);
    let mut confinement = required().and([away.path().join("shared")], [away.path().to_owned()]);
    confinement.limits.file_size = Some(2000);
    let answers = try_all(&attempt, confinement).await;
    assert_eq!(answers.iter().map(|(_, failed)| *failed).collect::<Vec<_>>(), [false, true, true], "{answers:?}");
    assert_eq!(fs::read_to_string(away.path().join("notes")).unwrap(), "read me");
    assert_eq!(fs::metadata(attempt.path("root/large")).unwrap().len(), 2000);

    let guard = Protection { confinement: required().and([], ["/nowhere/at/all".into()]), ..Protection::default() };
    let fault = start_guarded(host_binary(), attempt.spec(), guard).await.err().unwrap();
    assert_eq!(fault.class, FaultClass::Launch);
    assert!(fault.message.contains("cannot give the agent access to /nowhere/at/all: No such file"), "{fault}");
}

/// A program in the host's place for which the kernel has no Landlock: a filter answers its calls with `ENOSYS`.
fn host_without_landlock(attempt: &Attempt) -> PathBuf {
    let path = attempt.path("old-kernel");
    // Loads the system call's number, and answers 444 to 446 with an error (38); all else is allowed.
    let program = format!(
        r#"#!/usr/bin/python3
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = [(0x20, 0, 0, 0), (0x35, 0, 3, 444), (0x25, 2, 0, 446), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(program)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, header) == 0, ctypes.get_errno()
os.execv("{host}", ["host"] + sys.argv[1:])
"#,
        host = host_binary()
    );
    write_program(&path, &program)
}

#[tokio::test]
async fn a_kernel_without_landlock_is_reported_or_refused() {
    let attempt = attempt_with(&["echo x > ../escape".into()]);
    let old = host_without_landlock(&attempt);
    let with =
        |mode| Protection { confinement: Confinement { mode, ..Confinement::default() }, ..Protection::default() };

    let mut session = start_guarded(&old, attempt.spec(), with(ConfinementMode::Landlock)).await.unwrap();
    let told = session.unconfined().unwrap();
    assert!(told.contains("no Landlock"), "{told}");
    session.conclude().await.unwrap();
    assert_eq!(attempt.read("escape"), "x\n");
    assert!(attempt.read("record/session.json").contains("\"confinement\": \"landlock: this kernel has no Landlock"));

    let fault = start_guarded(&old, attempt.spec(), with(ConfinementMode::Required)).await.err().unwrap();
    assert_eq!(fault.class, FaultClass::Launch);
    assert!(fault.message.contains("`confinement = \"required\"`, but this kernel has no Landlock"), "{fault}");

    let mut session = start_guarded(&old, attempt.spec(), with(ConfinementMode::None)).await.unwrap();
    assert_eq!(session.unconfined(), None, "nobody asked for it");
    session.conclude().await.unwrap();
    assert!(attempt.read("record/session.json").contains("\"confinement\": \"none\""));
}
