//! What the operating system refuses to an agent, tried by real ones. Each attack is tried unconfined too, where it
//! works: else its failure would show nothing.

#[path = "processes/support.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    time::Duration,
};

use host::{
    lane::{Guard, confinement_available},
    model::{Confinement, ConfinementMode, FaultClass, Ports, SessionEventKind},
};
use support::*;

/// What each command answered, and whether it failed.
async fn try_all(attempt: &Attempt, confinement: Confinement) -> Vec<(String, bool)> {
    let guard = Guard { confinement, ..Guard::default() };
    let mut session = start_guarded(env!("CARGO_BIN_EXE_host"), attempt.spec(), guard).await.unwrap();
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

fn required() -> Confinement {
    Confinement { mode: ConfinementMode::Required, ..Confinement::default() }
}

fn unconfined() -> Confinement {
    Confinement { mode: ConfinementMode::None, ..Confinement::default() }
}

/// Each command is refused to a confined agent, with these words, and works for another.
async fn assert_refused(attempt: &Attempt, commands: &[String], words: &str) {
    assert_eq!(confinement_available(), Ok(()), "these tests need a kernel with Landlock");
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
async fn what_lies_outside_of_the_attempt_can_be_neither_read_nor_changed() {
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
        format!("cat {}", Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").display()),
    ];
    assert_refused(&attempt, &commands, "ermission denied").await;
    assert_eq!(other.read("root/file"), "");
}

#[tokio::test]
async fn other_processes_are_out_of_reach_and_their_memory_and_environment_unseen() {
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

#[tokio::test]
async fn abstract_sockets_of_others_are_refused() {
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
async fn what_a_lane_lists_can_be_used() {
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

    let guard = Guard { confinement: required().and([], ["/nowhere/at/all".into()]), ..Guard::default() };
    let fault = start_guarded(env!("CARGO_BIN_EXE_host"), attempt.spec(), guard).await.err().unwrap();
    assert_eq!(fault.class, FaultClass::Launch);
    assert!(fault.message.contains("cannot let the agent use /nowhere/at/all: No such file"), "{fault}");
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
        host = env!("CARGO_BIN_EXE_host")
    );
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_kernel_that_cannot_is_told_or_refused() {
    let attempt = attempt_with(&["echo x > ../escape".into()]);
    let old = host_without_landlock(&attempt);
    let with = |mode| Guard { confinement: Confinement { mode, ..Confinement::default() }, ..Guard::default() };

    let mut session = start_guarded(&old, attempt.spec(), with(ConfinementMode::Landlock)).await.unwrap();
    let told = session.unconfined().unwrap();
    assert!(told.contains("no Landlock"), "{told}");
    session.conclude().await.unwrap();
    assert_eq!(attempt.read("escape"), "x\n");
    assert!(attempt.read("record/session.json").contains("\"confinement\": \"landlock: this kernel has no Landlock"));

    let fault = start_guarded(&old, attempt.spec(), with(ConfinementMode::Required)).await.err().unwrap();
    assert_eq!(fault.class, FaultClass::Launch);
    assert!(fault.message.contains("`confine = \"required\"`, but this kernel has no Landlock"), "{fault}");

    let mut session = start_guarded(&old, attempt.spec(), with(ConfinementMode::None)).await.unwrap();
    assert_eq!(session.unconfined(), None, "nobody asked for it");
    session.conclude().await.unwrap();
    assert!(attempt.read("record/session.json").contains("\"confinement\": \"none\""));
}
