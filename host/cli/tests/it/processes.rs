//! Sessions with real processes: what they say, how they break, and that nothing outlives them.

mod ends;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use host_agents::{Observer, SessionLimits, SessionSpec, become_subreaper};
use host_model::{FaultClass, SessionEvent, SessionEventKind};
use host_testing::{has_test_to_itself, host_binary, session::*, test_command};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_session_is_shown_recorded_and_concluded() {
    let attempt = Attempt::new(
        "[[step]]\nsay = \"hello\"\n[[step]]\nwrite = \"a/b.md\"\ntext = \"x\"\n\
         [[step]]\nreplace = \"a/b.md\"\nfrom = \"x\"\nto = \"y\"\n\
         [[step]]\nappend = \"a/b.md\"\ntext = \"z\"\n[[step]]\ndispatch = \"w1\"\ntask = \"t\"\n\
         [[step]]\nusage = { input-tokens = 5 }\n\
         [[step]]\nback-off = \"busy\"\ndelay = \"1ms\"\n[[step]]\nraw = \"what\"\n[[step]]\nsay = \"bye\"\n",
    );
    let mut session = attempt.start().await;
    let (events, fault) = all_events(&mut *session).await;
    assert_eq!(fault, None);
    assert!(matches!(&events[0], SessionEventKind::Started { model: Some(model), .. } if model == "scripted"));
    assert_eq!(events[1], SessionEventKind::Message { text: "hello".into() });
    assert!(matches!(&events[2], SessionEventKind::ToolCall { name, .. } if name == "write"));
    assert!(matches!(&events[3], SessionEventKind::ToolResult { is_error: false, .. }));
    assert!(events.contains(&SessionEventKind::Raw { line: "what".into() }));
    let conclusion = session.conclude().await.unwrap();
    assert_eq!((conclusion.final_message.as_str(), conclusion.stop_reason.as_str()), ("bye", "end-turn"));
    assert_eq!((conclusion.turns, conclusion.usage.input_tokens, conclusion.usage.output_tokens), (1, Some(5), None));
    assert_eq!(session.conclude().await.unwrap(), conclusion, "the answer stays the same");
    assert_eq!(session.next_event().await, Ok(None));
    assert_eq!(session.end(NO_GRACE).await, Ok(None));
    assert_eq!(session.conclude().await.unwrap(), conclusion);
    assert_eq!(attempt.living(), [0; 0]);
    assert_eq!(attempt.read("root/a/b.md"), "yz");
    assert_eq!(attempt.read("record/final-message.txt"), "bye");
    let recorded: Vec<SessionEventKind> = attempt
        .read("record/events.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<SessionEvent>(line).unwrap().kind)
        .collect();
    assert_eq!(recorded, events);
    assert_eq!(attempt.read("record/stream.jsonl").lines().count(), events.len() + 1);
    let summary: serde_json::Value = serde_json::from_str(&attempt.read("record/session.json")).unwrap();
    assert_eq!((&summary["state"], &summary["turns"][0]["exit"]), (&"concluded".into(), &"exit code 0".into()));
    let transcript = fs::read_dir(attempt.path("config/sessions")).unwrap().next().unwrap().unwrap().path();
    assert!(fs::read_to_string(transcript).unwrap().starts_with("{\"text\":\"do it\""));
}

#[tokio::test]
async fn a_message_starts_the_next_turn_in_the_same_session() {
    let steps = "[[step]]\nsay = \"one\"\n[[step]]\nawait-message = true\n[[step]]\nsay = \"two\"\n";
    let attempt = Attempt::new(&format!("{}{steps}", shell("sleep 77 & echo $! > job")));
    let mut session = attempt.start().await;
    // Events of the turn before that were not fetched are dropped.
    session.send("--go on".into()).await.unwrap();
    assert!(is_alive(attempt.read("root/job").trim().parse().unwrap()), "background jobs live on between turns");
    let (events, fault) = all_events(&mut *session).await;
    assert_eq!(fault, None);
    assert_eq!(events[1..], [SessionEventKind::Message { text: "two".into() }]);
    let conclusion = session.conclude().await.unwrap();
    assert_eq!(conclusion.turns, 2);
    assert_eq!(attempt.living(), [0; 0]);
    assert_eq!(fs::read_dir(attempt.path("config/sessions")).unwrap().count(), 1);
    let fault = session.send("more".into()).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Protocol);

    let attempt = Attempt::new(steps);
    let mut session = attempt.start().await;
    session.send("two".into()).await.unwrap();
    session.send("three".into()).await.unwrap();
    let fault = session.conclude().await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Protocol);
    assert!(fault.message.contains("the script has 2"), "{fault}");
}

#[tokio::test]
async fn nothing_is_inherited_by_an_agent() {
    // It changes a limit of the process.
    if !has_test_to_itself(module_path!(), "nothing_is_inherited_by_an_agent", |_| {}) {
        return;
    }
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // As the host does for itself.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let script = "env -u PWD -u OLDPWD -u SHLVL -u _ | sort; ls -l /proc/self/fd | grep -c socket; \
                  ps -o sid=,pid= -p $PPID; \
                  grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; readlink /proc/$PPID/fd/0; ulimit -Sn; ulimit -Hn; pwd";
    let attempt = Attempt::new(&shell(script));
    let mut session = attempt.start().await;
    let (events, _) = all_events(&mut *session).await;
    let SessionEventKind::ToolResult { output, .. } = &events[2] else { panic!("{events:?}") };
    let lines: Vec<&str> = output.lines().collect();
    let names: Vec<&str> = lines.iter().map_while(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(names, ["HOME", "HOST_AGENT_CONFIG_DIR", "HOST_SESSION", "LANG", "PATH", "TMPDIR"], "{output}");
    assert_eq!(lines[6], "0", "no socket is open: {output}");
    let ids: Vec<&str> = lines[7].split_whitespace().collect();
    assert_eq!(ids[0], ids[1], "a session of its own: {output}");
    assert!(lines[8].ends_with("0000000000000000"), "nothing is blocked: {output}");
    assert!(output.contains("/dev/null"), "{output}");
    let hard = most.map_or("unlimited".into(), |most| most.to_string());
    let soft = most.map_or(1024, |most| most.min(1024)).to_string();
    assert_eq!(lines[lines.len() - 3..lines.len() - 1], [soft, hard]);
    assert_eq!(*lines.last().unwrap(), attempt.path("root").to_str().unwrap());
}

#[tokio::test]
async fn every_scripted_fault_has_its_class() {
    let fault = |kind: &str| format!("[[step]]\nsay = \"before\"\n[[step]]\nfault = \"{kind}\"\n");
    for (steps, class, says) in [
        (
            format!("{}text = \"boom on stderr\"\n", fault("crash")),
            FaultClass::Crash,
            "exit code 70; the end of its stderr:\nboom",
        ),
        ("[[step]]\nfault = \"crash\"\n".into(), FaultClass::Crash, "wrote nothing to stderr"),
        (fault("kill"), FaultClass::Crash, "SIGKILL"),
        (fault("exit"), FaultClass::Crash, "exit code 0"),
        (fault("unauthorized"), FaultClass::Launch, "401"),
        (fault("half-line"), FaultClass::Crash, "exit code 0"),
        (
            "[[step]]\nreplace = \"none\"\nfrom = \"a\"\nto = \"b\"\n".into(),
            FaultClass::Protocol,
            "step 1 failed: none",
        ),
        ("[[step]]\nsays = \"a\"\n".into(), FaultClass::Protocol, "script.toml:"),
    ] {
        let attempt = Attempt::new(&steps);
        let mut session = attempt.start().await;
        let (events, fault) = within(10, all_events(&mut *session)).await;
        let fault = fault.unwrap();
        assert_eq!(fault.class, class, "{steps}: {fault}");
        assert!(fault.message.contains(says), "{steps}: {fault}");
        assert_eq!(session.next_event().await.unwrap_err(), fault, "a fault is for good");
        assert_eq!(session.conclude().await.unwrap_err(), fault);
        assert_eq!(session.end(NO_GRACE).await, Ok(Some(fault)));
        assert_eq!(attempt.living(), [0; 0]);
        if steps.contains("half-line") {
            assert!(matches!(events.last(), Some(SessionEventKind::Raw { line }) if line.ends_with("only ha")));
        }
        assert!(attempt.read("record/session.json").contains(&format!("\"class\": \"{class}\"")));
    }
}

#[tokio::test]
async fn garbage_is_kept_and_is_no_fault() {
    let attempt = Attempt::new(
        "[[step]]\nfault = \"garbage\"\ncount = 3\n[[step]]\nfault = \"invalid-utf8\"\n[[step]]\nsay = \"fine\"\n",
    );
    let mut session = attempt.start().await;
    let (events, fault) = all_events(&mut *session).await;
    assert_eq!(fault, None);
    assert_eq!(events.iter().filter(|it| matches!(it, SessionEventKind::Raw { .. })).count(), 3);
    assert!(events.iter().any(|it| matches!(it, SessionEventKind::Message { text } if text.contains('\u{fffd}'))));
    assert_eq!(session.conclude().await.unwrap().final_message, "fine");
    assert!(attempt.read("record/session.json").contains("\"unreadable-lines\": 0"));
}

#[tokio::test]
async fn a_program_that_cannot_start_is_a_launch_fault() {
    let attempt = Attempt::new("");
    let mut spec = attempt.spec();
    spec.root = attempt.path("missing");
    let fault = start(spec).await.err().unwrap();
    assert_eq!(fault.class, FaultClass::Launch, "{fault}");
    let mut spec = attempt.spec();
    spec.script = None;
    assert_eq!(start(spec).await.err().unwrap().class, FaultClass::Launch);
    // The longest argument is 131,071 bytes, `--prompt=` included.
    for (length, fits) in [(131_062, true), (131_063, false), (131_071, false), (200_000, false)] {
        let mut spec = attempt.spec();
        spec.prompt = "x".repeat(length);
        match start(spec).await {
            Ok(mut session) => assert!(fits && session.conclude().await.is_ok(), "{length}"),
            Err(fault) => assert!(!fits && fault.class == FaultClass::Protocol, "{length}: {fault}"),
        }
    }
}

#[tokio::test]
async fn leftovers_die_however_they_hide() {
    let hide = [
        "setsid sleep 1001 &",
        "(setsid sh -c 'trap \"\" TERM HUP INT; sleep 1002; sleep 1003' &)",
        "(setsid env -i sleep 1004.25 &)",
        "sh -c 'kill -STOP $$' &",
    ];
    let steps: String = hide.iter().map(|command| shell(command)).collect();
    let attempt = Attempt::new(&format!("{steps}[[step]]\nfault = \"daemon\"\n[[step]]\nsay = \"done\"\n"));
    let mut session = attempt.start().await;
    let (_, fault) = within(10, all_events(&mut *session)).await;
    assert_eq!(fault, None);
    let are_hidden = || {
        // Until `env` is another program, it has the attempt's environment.
        let hidden = living_with_argument("1004.25");
        hidden.len() == 1 && !attempt.living().contains(&hidden[0]) && attempt.living().len() >= 4
    };
    wait_until(Duration::from_secs(10), are_hidden).await;
    within(10, session.conclude()).await.unwrap();
    assert_eq!(attempt.living(), [0; 0]);
    assert_eq!(living_with_argument("1004.25"), [0; 0]);
}

#[tokio::test]
async fn a_fork_bomb_loses_the_race() {
    // Each generation forks its successors and dies; about fifty at a time.
    let bomb =
        "#!/bin/sh\nsleep 0.05\n[ $(ls -d /proc/[0-9]* | wc -l) -lt 400 ] && { setsid \"$0\" & }\nsetsid \"$0\" &\n";
    let attempt =
        Attempt::new(&shell("for i in 1 2 3 4 5 6 7 8 9 10; do setsid ./bomb & done; touch armed; sleep 100"));
    write_program(&attempt.path("root/bomb"), bomb);
    let mut session = attempt.start().await;
    attempt.wait_for_file("root/armed").await;
    wait_until(Duration::from_secs(10), || attempt.living().len() > 20).await;
    within(10, session.end(NO_GRACE)).await.unwrap();
    assert_eq!(attempt.living(), [0; 0]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(attempt.living(), [0; 0]);
}

#[tokio::test]
async fn the_grace_is_given_and_no_more() {
    let attempt = Attempt::new(
        "[[step]]\nfault = \"ignore-sigterm\"\n[[step]]\nwrite = \"up\"\ntext = \"\"\n[[step]]\nfault = \"stall\"\n",
    );
    let mut session = attempt.start().await;
    attempt.wait_for_file("root/up").await;
    let begun = Instant::now();
    within(5, session.end(Duration::from_millis(700))).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(700) && begun.elapsed() < Duration::from_secs(2), "{begun:?}");
    assert_eq!(attempt.living(), [0; 0]);
    within(1, session.end(NO_GRACE)).await.unwrap();

    // One that heeds SIGTERM is not waited for.
    let attempt = Attempt::new(&shell("trap 'echo bye > heeded; exit' TERM; touch up; while :; do sleep 0.02; done"));
    let mut session = attempt.start().await;
    attempt.wait_for_file("root/up").await;
    let begun = Instant::now();
    session.end(Duration::from_secs(20)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(attempt.read("root/heeded"), "bye\n");
}

#[tokio::test]
async fn dropping_a_session_mid_flight_kills_it() {
    let attempt = Attempt::new(&shell("(setsid sleep 1005 &); touch up; sleep 1006"));
    let mut session = attempt.start().await;
    attempt.wait_for_file("root/up").await;
    let cut_off = tokio::time::timeout(Duration::from_millis(50), session.conclude()).await;
    assert!(cut_off.is_err());
    assert!(!attempt.living().is_empty());
    drop(session);
    wait_until(Duration::from_secs(2), || attempt.living().is_empty()).await;

    // Also when it is dropped while it starts.
    for delay in [0, 1, 2, 4, 8] {
        drop(tokio::time::timeout(Duration::from_millis(delay), start(attempt.spec())).await);
    }
    wait_until(Duration::from_secs(2), || attempt.living().is_empty()).await;
}

#[tokio::test]
async fn processes_of_a_killed_supervisor_are_found() {
    // The orphans of other tests would come to this process too.
    if !has_test_to_itself(module_path!(), "processes_of_a_killed_supervisor_are_found", |_| {}) {
        return;
    }
    become_subreaper().unwrap();
    let leave = "(setsid sh -c \"touch one; exec sleep 1007\" &); \
                 (setsid env -i sh -c \"touch other; exec sleep 1008.25\" &); \
                 until [ -e one ] && [ -e other ]; do sleep 0.01; done";
    // The shell's parent is the agent, whose parent is the supervisor.
    let kill_it = "kill -SIGNAL $(ps -o ppid= -p $PPID); touch done; sleep 100";
    for (signal, bound) in [("KILL", 8), ("TERM", 8), ("STOP", 8)] {
        let attempt = Attempt::new(&format!("{}{}", shell(leave), shell(&kill_it.replace("SIGNAL", signal))));
        let mut session = start_unconfined(attempt.spec()).await;
        if signal != "STOP" {
            let (_, fault) = within(10, all_events(&mut *session)).await;
            assert_eq!(fault.unwrap().class, FaultClass::Crash);
        } else {
            attempt.wait_for_file("root/done").await;
        }
        within(bound, session.end(NO_GRACE)).await.unwrap();
        assert_eq!(attempt.living(), [0; 0], "{signal}");
        assert_eq!(living_with_argument("1008.25"), [0; 0], "{signal}");
    }
}

#[tokio::test]
async fn a_flood_costs_time_but_no_memory() {
    // It measures the memory of the process.
    if !has_test_to_itself(module_path!(), "a_flood_costs_time_but_no_memory", |_| {}) {
        return;
    }
    let attempt = Attempt::new(
        "[[step]]\nfault = \"flood\"\ncount = 1000000\n\
         [[step]]\nfault = \"huge-line\"\nbytes = 67108864\n[[step]]\nsay = \"dry\"\n",
    );
    let (observer, mut observed) = mpsc::channel::<SessionEvent>(64);
    let count = tokio::spawn(async move {
        let mut count = 0_u64;
        let mut cut = 0;
        while let Some(event) = observed.recv().await {
            count += 1;
            cut += u64::from(
                matches!(event.kind, SessionEventKind::Message { text } if text.starts_with("xxx") && text.contains("[cut: ")),
            );
        }
        (count, cut)
    });
    let before = rss_mib();
    let mut spec = attempt.spec();
    spec.observer = Some(Observer::new(observer, Arc::default()));
    let begun = Instant::now();
    let mut session = start(spec).await.unwrap();
    // Nobody fetches: the agent waits.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let conclusion = within(120, session.conclude()).await.unwrap();
    let grown = rss_mib().saturating_sub(before);
    drop(session);
    eprintln!("a million events in {:?}, {grown} MiB more", begun.elapsed());
    assert_eq!(conclusion.final_message, "dry");
    assert!(grown < 40, "{grown} MiB more");
    assert_eq!(count.await.unwrap(), (1_000_003, 1));
    let kept = fs::metadata(attempt.path("record/stream.jsonl")).unwrap().len();
    assert!(kept < (64 << 20) + 100, "{kept}");
    assert!(attempt.read("record/stream.jsonl").ends_with("{\"type\":\"cut\",\"after-bytes\":67108864}\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_at_once_do_not_mix() {
    let run = |number: usize| async move {
        let attempt = Attempt::new(&format!(
            "{}[[step]]\nsay = \"{number}\"\n",
            shell(&format!("setsid sleep 1009 & echo {number} > mine; sleep 0.2"))
        ));
        let mut session = attempt.start().await;
        let conclusion = within(30, session.conclude()).await.unwrap();
        assert_eq!(conclusion.final_message, number.to_string());
        assert_eq!(attempt.read("root/mine").trim(), number.to_string());
        assert_eq!(attempt.living(), [0; 0]);
    };
    let tasks: Vec<_> = (0..16).map(|number| tokio::spawn(run(number))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Stands for a host: `killed_hosts_leave_nothing` runs this test alone, in another process, and kills it.
#[tokio::test]
#[ignore = "run by another test"]
async fn drive_until_killed() {
    let folder = PathBuf::from(std::env::var_os("DRIVE").unwrap());
    let spec = SessionSpec {
        root: folder.join("root"),
        config_dir: folder.join("config"),
        home: folder.join("home"),
        tmp: folder.join("tmp"),
        bin: None,
        view: None,
        prompt: String::new(),
        script: Some(folder.join("script.toml")),
        record_dir: Some(folder.join("record")),
        limits: SessionLimits::default(),
        observer: None,
    };
    let mut session = start_unconfined(spec).await;
    drop(session.conclude().await);
}

#[tokio::test]
async fn killed_hosts_leave_nothing() {
    for stop_supervisor in [false, true] {
        let stop = if stop_supervisor { "kill -STOP $(ps -o ppid= -p $PPID)" } else { ":" };
        let attempt = Attempt::new(&shell(&format!(
            "(setsid sh -c 'trap \"\" TERM; touch trapped; sleep 1010' &); \
             until [ -e trapped ]; do sleep 0.01; done; {stop}; touch up; sleep 1011"
        )));
        let mut host = test_command(module_path!(), "drive_until_killed")
            .env("DRIVE", Path::new(&attempt.path("")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        attempt.wait_for_file("root/up").await;
        wait_until(Duration::from_secs(10), || attempt.living().len() > 3).await;
        kill("-KILL", i32::try_from(host.id()).unwrap());
        host.wait().unwrap();
        wait_until(Duration::from_secs(2), || attempt.living().is_empty()).await;
        assert!(attempt.read("record/events.jsonl").contains("\"started\""));
    }
}

/// Every process can read the arguments of others. Whoever knows the path of an attempt can change the mode of its files.
#[tokio::test]
async fn no_path_of_an_attempt_is_in_the_arguments_of_a_supervisor() {
    let attempt = Attempt::new("");
    let program = write_program(&attempt.path("agent"), "#!/bin/sh\ncat >/dev/null; exec sleep 1019\n");
    let mut settings = host_model::AgentSettings::new(host_agents::LaneKind::Command);
    settings.command = Some(program.display().to_string());
    let host = host_agents::HostProgram::at(host_binary());
    let lane = host_agents::create_lane(&settings, host, host_agents::Protection::default());
    let mut session = lane.start(attempt.spec()).await.unwrap();
    wait_until(Duration::from_secs(10), || !living_with_argument("1019").is_empty()).await;
    let supervisors: Vec<i32> =
        attempt.living().into_iter().filter(|pid| has_in(&format!("/proc/{pid}/cmdline"), "supervise")).collect();
    assert_eq!(supervisors.len(), 1);
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", supervisors[0])).unwrap();
    assert_eq!(arguments, format!("host\0supervise\0--\0{}\0", program.display()));
    assert_eq!(session.end(NO_GRACE).await, Ok(None));
}
