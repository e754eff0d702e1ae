//! What is not granted is refused, seen from inside a guest. All of it is tried in one run.

use std::{
    fs,
    io::ErrorKind,
    net::{TcpListener, UdpSocket},
    os::unix::fs::symlink,
    sync::LazyLock,
};

use host_model::{EventKind, Report};

use host_testing::{Finished, Suite, probe};

struct Tried {
    run: Finished,
    /// What came of the run outside of it: nothing should.
    damage: Vec<String>,
}

static TRIED: LazyLock<Tried> = LazyLock::new(|| {
    let suite = Suite::new();
    let secret = suite.file("secret.txt", "secret").path("secret.txt");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let udp = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    let names = NAMES.iter().chain(&["control", "preopens"]);
    for name in names.clone() {
        let root = suite.path(&format!("scenarios/{name}/root"));
        fs::create_dir_all(root.join("inner")).unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        fs::write(root.join("marker.txt"), "fixture\n").unwrap();
        fs::write(root.join("inner/file.txt"), "inner\n").unwrap();
        fs::write(root.join("secret-path.txt"), secret.to_str().unwrap()).unwrap();
        fs::write(root.join("port.txt"), port.to_string()).unwrap();
        symlink("/etc/passwd", root.join("absolute-link")).unwrap();
        symlink("/etc", root.join("folder-link")).unwrap();
        symlink("../../../../../../../../etc/passwd", root.join("relative-link")).unwrap();
        symlink("../..", root.join("inner/up-link")).unwrap();
        symlink("..", root.join("up-link")).unwrap();
        symlink(&secret, root.join("secret-link")).unwrap();
    }
    let run = suite.host(["run", probe("probe-denials").to_str().unwrap()]);
    let mut damage = suite.leftovers();
    if fs::read_to_string(&secret).unwrap() != "secret" {
        damage.push("the secret was overwritten".into());
    }
    if tcp.accept().map_err(|error| error.kind()).err() != Some(ErrorKind::WouldBlock) {
        damage.push("a TCP connection came in".into());
    }
    if udp.recv(&mut [0; 10]).map_err(|error| error.kind()).err() != Some(ErrorKind::WouldBlock) {
        damage.push("a datagram came in".into());
    }
    Tried { run, damage }
});

/// The scenarios of the guest, without those that are no denials.
const NAMES: &[&str] = &[
    "environment",
    "stdin",
    "absolute-path",
    "dot-dot",
    "own-absolute-link",
    "own-relative-link",
    "moved-link",
    "fixture-link",
    "other-root",
    "hard-link-out",
    "rename-out",
    "before-open",
    "before-create",
    "before-remove",
    "before-rename",
    "before-hard-link",
    "before-times",
    "before-size",
    "tcp-connect",
    "tcp-bind",
    "tcp-listen",
    "udp-bind",
    "udp-send",
    "name-lookup",
];

/// The guest passes a scenario only when it was refused.
#[track_caller]
fn refused(scenario: &str) {
    TRIED.run.passes(scenario);
}

/// Besides, the event log says that something was tried.
#[track_caller]
fn refused_and_told(scenario: &str, what: &str) {
    refused(scenario);
    let reports = TRIED.run.reports(scenario);
    let told = reports.iter().any(|report| matches!(report, Report::Denied { what: told } if told.contains(what)));
    assert!(told, "{reports:?}");
}

#[test]
fn every_denial_of_the_guest_has_a_test() {
    for event in &TRIED.run.events {
        if let EventKind::TrialFinished { trial, .. } = &event.kind {
            let name = trial.scenario.0.as_str();
            assert!(NAMES.contains(&name) || ["control", "preopens"].contains(&name), "{name}");
        }
    }
    assert_eq!(TRIED.run.records().len(), NAMES.len() + 2);
}

#[test]
fn granted_access_works() {
    TRIED.run.passes("control");
    TRIED.run.passes("preopens");
}

#[test]
fn a_run_of_denials_finishes_and_leaves_nothing() {
    TRIED.run.exits(0);
    assert_eq!(TRIED.damage, [""; 0]);
}

#[test]
fn environment_and_arguments_are_empty() {
    refused("environment");
}

#[test]
fn stdin_is_empty() {
    refused("stdin");
}

#[test]
fn an_absolute_path_does_not_reach_the_machine() {
    refused("absolute-path");
}

#[test]
fn dot_dot_does_not_climb_out() {
    refused("dot-dot");
}

#[test]
fn an_absolute_link_of_the_guest_is_not_followed() {
    refused("own-absolute-link");
}

#[test]
fn a_relative_link_of_the_guest_is_not_followed_outside() {
    refused("own-relative-link");
}

#[test]
fn a_moved_link_is_not_followed_outside() {
    refused("moved-link");
}

#[test]
fn a_link_in_the_fixture_is_not_followed_outside() {
    refused("fixture-link");
}

#[test]
fn the_root_of_another_attempt_is_out_of_reach() {
    refused("other-root");
}

#[test]
fn a_file_outside_cannot_be_linked_in() {
    refused("hard-link-out");
}

#[test]
fn a_file_cannot_be_moved_out() {
    refused("rename-out");
}

#[test]
fn the_fixture_as_it_was_cannot_be_opened_for_writing() {
    refused("before-open");
}

#[test]
fn the_fixture_as_it_was_takes_nothing_new() {
    refused("before-create");
}

#[test]
fn nothing_of_the_fixture_as_it_was_can_be_removed() {
    refused("before-remove");
}

#[test]
fn nothing_of_the_fixture_as_it_was_can_be_moved() {
    refused("before-rename");
}

#[test]
fn the_fixture_as_it_was_cannot_be_linked_to() {
    refused("before-hard-link");
}

#[test]
fn the_times_of_the_fixture_as_it_was_stay() {
    refused("before-times");
}

#[test]
fn the_files_of_the_fixture_as_it_was_keep_their_size() {
    refused("before-size");
}

#[test]
fn a_tcp_connection_is_denied_and_reported() {
    refused_and_told("tcp-connect", "TCP: to connect to 127.0.0.1:");
    refused_and_told("tcp-connect", "TCP: to connect to [::1]:");
}

#[test]
fn a_tcp_address_is_denied_and_reported() {
    refused_and_told("tcp-bind", "TCP: to bind 127.0.0.1:0");
}

#[test]
fn listening_for_tcp_is_denied_and_reported() {
    refused_and_told("tcp-listen", "TCP: to listen on 0.0.0.0:");
}

#[test]
fn a_udp_address_is_denied_and_reported() {
    refused_and_told("udp-bind", "UDP: to bind 127.0.0.1:0");
}

#[test]
fn a_datagram_is_denied_and_reported() {
    refused_and_told("udp-send", "UDP: to send to 127.0.0.1:");
}

#[test]
fn a_name_lookup_is_denied_and_reported() {
    refused_and_told("name-lookup", "name look-up: secret.attacker.invalid");
}
