//! `listen`: sockets on loopback, which talk with themselves and with whoever on this machine comes to them.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use super::{GUESTS, One, denied, echo_tcp, echo_udp, policy::policy};
use host_testing::Finished;

/// The loopback addresses that this machine has, and how a grant names each.
fn loopback() -> Vec<(&'static str, &'static str)> {
    let all = [("127.0.0.1", "127.0.0.1:0"), ("::1", "[::1]:0")];
    all.into_iter().filter(|(_, named)| TcpListener::bind(*named).is_ok()).collect()
}

fn listen(named: &str) -> String {
    format!("listen = [{named:?}]")
}

/// A port that nobody has now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn an_attempt_talks_with_itself_where_it_may_listen() {
    for guest in GUESTS {
        for (ip, named) in loopback() {
            let one = One::new(guest, &["own-tcp", ip], &listen(named));
            one.run(&[]).exits(0).passes("one");
            let said = one.stdout();
            assert!(said.contains("tcp echo of ping, again bind: "), "{said}");
            assert!(said.contains("address-in-use") || said.contains("AddressInUse"), "{said}");
            let one = One::new(guest, &["own-udp", ip], &listen(named));
            one.run(&[]).exits(0).passes("one");
            assert_eq!(one.stdout(), "udp echo of ping\n");
            assert_eq!(one.suite.leftovers(), [""; 0]);
        }
    }
}

#[test]
fn without_a_grant_no_port_is_bound() {
    for guest in GUESTS {
        for (word, shown) in [("own-tcp", "TCP"), ("own-udp", "UDP")] {
            for grants in ["", "tcp = [\"127.0.0.1:1\"]\nudp = [\"127.0.0.1:1\"]", "listen = [\"127.0.0.1:1\"]"] {
                let one = One::new(guest, &[word, "127.0.0.1"], grants);
                let told = format!("{shown}: to bind 127.0.0.1:0 (to grant it: `listen = [\"127.0.0.1:0\"]`)");
                denied(&one.run(&[]), &[&told]);
            }
        }
    }
}

#[test]
fn to_listen_anywhere_else_is_denied() {
    let free = free_port().to_string();
    for guest in GUESTS {
        for (ip, port, told) in [
            // Bound it may be, with a port of the system's choice: that lets nothing in.
            ("0.0.0.0", "0", "TCP: to bind 0.0.0.0:"),
            ("127.0.0.2", "0", "to bind 127.0.0.2:0 (to grant it: `listen = [\"127.0.0.2:0\"]`)"),
            ("::1", "0", "to bind [::1]:0 (to grant it: `listen = [\"[::1]:0\"]`)"),
            ("127.0.0.1", &free, "(to grant it: `listen = [\"127.0.0.1:"),
        ] {
            let one = One::new(guest, &["bind-tcp", ip, port], &listen("127.0.0.1:0"));
            denied(&one.run(&[]), &[told]);
            if ip != "0.0.0.0" {
                let one = One::new(guest, &["bind-udp", ip, port], &listen("127.0.0.1:0"));
                denied(&one.run(&[]), &[told]);
            }
        }
        // What others reach is `access-denied` here, and not the word for an address that the machine does not have.
        let one = One::new(guest, &["bind-udp", "0.0.0.0", &free], &listen("127.0.0.1:0"));
        denied(&one.run(&[]), &[&format!("UDP: to bind 0.0.0.0:{free}")]);
    }
}

#[test]
fn a_port_of_the_systems_choice_may_be_bound_again_by_its_number() {
    for guest in GUESTS {
        let one = One::new(guest, &["bind-tcp", "127.0.0.1", "0"], &listen("127.0.0.1:0"));
        one.run(&[]).exits(0).passes("one");
        assert_eq!(one.stdout(), "bound twice\n");
    }
}

#[test]
fn third_party_loopback_ports_are_denied() {
    let (tcp, udp) = (echo_tcp(), echo_udp());
    for guest in GUESTS {
        let one = One::new(guest, &["tcp", "127.0.0.1", &tcp.to_string()], &listen("127.0.0.1:0"));
        denied(&one.run(&[]), &[&format!("TCP: to connect to 127.0.0.1:{tcp} (to grant it: `tcp = [")]);
        let one = One::new(guest, &["udp", "127.0.0.1", &udp.to_string()], &listen("127.0.0.1:0"));
        denied(&one.run(&[]), &[&format!("UDP: to send to 127.0.0.1:{udp} (to grant it: `udp = [")]);
        // Beside it, the grants for others work.
        let both = format!("{}\ntcp = [\"127.0.0.1:{tcp}\"]", listen("127.0.0.1:0"));
        let one = One::new(guest, &["tcp", "127.0.0.1", &tcp.to_string()], &both);
        one.run(&[]).exits(0).passes("one");
        assert!(one.stdout().contains("tcp echo of ping"), "{}", one.stdout());
    }
}

/// As WASI calls it, in the spelling of either guest.
#[track_caller]
fn fails_as(one: &One, run: &Finished, words: [&str; 2]) {
    let said = fs::read_to_string(one.attempt().join("stderr.txt")).unwrap();
    assert!(words.iter().any(|word| said.contains(word)), "{words:?}: {said}{}", run.told());
}

const DENIED: [&str; 2] = ["access-denied", "AccessDenied"];
const REFUSED: [&str; 2] = ["connection-refused", "ConnectionRefused"];
const NOT_BINDABLE: [&str; 2] = ["address-not-bindable", "AddressNotBindable"];

/// Nothing is kept from the component, so its failure is its own.
#[test]
fn an_address_that_is_not_of_the_machine_is_not_bindable() {
    for guest in GUESTS {
        // Of documentation (RFC 5737, RFC 3849): no machine has them.
        for ip in ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"] {
            for word in ["bind-tcp", "bind-udp"] {
                for grants in ["", &listen("127.0.0.1:0")] {
                    let one = One::new(guest, &[word, ip, "0"], grants);
                    let run = one.run(&[]);
                    run.exits(100);
                    assert_eq!(run.verdict("one").word(), "fail", "{}", run.told());
                    fails_as(&one, &run, NOT_BINDABLE);
                }
            }
        }
    }
}

/// No component hears which addresses the machine has; people hear that it tried.
#[test]
fn external_addresses_are_not_bindable() {
    let ways_out = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    // Without a network there is no such address.
    let Some(own) = ways_out.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
    else {
        return;
    };
    for guest in GUESTS {
        for word in ["bind-tcp", "bind-udp"] {
            let one = One::new(guest, &[word, &own.to_string(), "0"], &listen("127.0.0.1:0"));
            let run = one.run(&[]);
            denied(&run, &[&format!("to bind {own}:0, which other machines can reach")]);
            fails_as(&one, &run, NOT_BINDABLE);
        }
    }
}

#[test]
fn a_loopback_address_without_a_grant_is_denied_and_called_so() {
    for guest in GUESTS {
        for word in ["bind-tcp", "bind-udp"] {
            let one = One::new(guest, &[word, "127.0.0.1", "0"], "");
            let run = one.run(&[]);
            denied(&run, &["to bind 127.0.0.1:0"]);
            fails_as(&one, &run, DENIED);
        }
    }
}

/// Whoever has the port now: the component hears what it would hear if nobody had.
#[test]
fn a_port_that_was_closed_refuses_connections() {
    for guest in GUESTS {
        for word in ["closed-tcp", "closed-udp"] {
            for (ip, named) in loopback() {
                let one = One::new(guest, &[word, ip], &listen(named));
                fails_as(&one, &one.run(&[]), REFUSED);
            }
        }
        let tcp = echo_tcp().to_string();
        let one = One::new(guest, &["tcp", "127.0.0.1", &tcp], &listen("127.0.0.1:0"));
        fails_as(&one, &one.run(&[]), DENIED);
    }
}

/// Whoever gets the port next is not the component.
#[test]
fn a_port_that_was_closed_is_its_own_no_more() {
    for guest in GUESTS {
        for (word, told) in [
            ("closed-tcp", "TCP: to connect to 127.0.0.1:"),
            ("closed-udp", "UDP: to send to 127.0.0.1:"),
            ("disconnected-udp", "UDP: to send to 127.0.0.1:"),
        ] {
            let one = One::new(guest, &[word, "127.0.0.1"], &listen("127.0.0.1:0"));
            denied(&one.run(&[]), &[told]);
        }
    }
}

/// WASI 0.3 binds a socket that listens unbound, and leaves open where.
#[test]
fn a_socket_that_listens_unbound_listens_on_the_granted_address() {
    for (ip, named) in loopback() {
        let one = One::new("probe-network-p3", &["unbound", ip], &listen(named));
        one.run(&[]).exits(0).passes("one");
        let said = one.stdout();
        let at = if ip == "::1" { "(0, 0, 0, 0, 0, 0, 0, 1)" } else { "(127, 0, 0, 1)" };
        assert!(said.contains("tcp echo of ping at") && said.contains(at), "{said}");
    }
    for grants in ["", "listen = [\"127.0.0.1:1\"]"] {
        let one = One::new("probe-network-p3", &["unbound", "127.0.0.1"], grants);
        denied(&one.run(&[]), &["TCP: to listen on 0.0.0.0:0, which other machines can reach; no grant allows that"]);
    }
}

#[test]
fn others_on_this_machine_come_to_a_port_that_is_named_and_are_answered() {
    for guest in GUESTS {
        for word in ["serve-tcp", "serve-udp"] {
            let port = free_port();
            let one = One::new(guest, &[word, "127.0.0.1", &port.to_string()], &listen(&format!("127.0.0.1:{port}")));
            let asking = thread::spawn(move || if word == "serve-tcp" { ask_tcp(port) } else { ask_udp(port) });
            one.run(&[]).exits(0).passes("one");
            assert_eq!((one.stdout().as_str(), asking.join().unwrap().as_str()), ("served ping\n", "echo of ping"));
        }
    }
}

/// Asks until somebody listens.
fn ask_tcp(port: u16) -> String {
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    stream.write_all(b"ping").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn ask_udp(port: u16) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut buffer = [0; 100];
    loop {
        socket.send_to(b"ping", ("127.0.0.1", port)).unwrap();
        if let Ok((read, _)) = socket.recv_from(&mut buffer) {
            return String::from_utf8_lossy(&buffer[..read]).into_owned();
        }
    }
}

#[test]
fn attempts_at_once_each_have_ports_of_their_own() {
    for guest in GUESTS {
        let one = One::new(guest, &["own-tcp", "127.0.0.1"], &listen("127.0.0.1:0"));
        let text = fs::read_to_string(one.suite.path("scenarios/one/scenario.toml")).unwrap();
        for name in ["two", "three", "four"] {
            one.suite.scenario(name, &text);
        }
        let run = one.run(&["--jobs", "4", "--repeat-each", "3", "--no-canary"]);
        run.exits(0);
        assert!(run.stdout.contains("12 passed"), "{}", run.told());
    }
}

#[test]
fn a_policy_caps_it() {
    let one = One::new("probe-network", &["own-tcp", "127.0.0.1"], &listen("127.0.0.1:0"));
    for allowed in ["", "listen = [\"[::1]:0\"]", "listen = [\"127.0.0.1:8080\"]", "tcp = [\"127.0.0.1:8080\"]"] {
        let policy = policy(&one.suite, &format!("[grants]\n{allowed}\n"));
        let run = one.run(&["--policy", &policy]);
        run.exits(96);
        assert!(run.told().contains("scenarios/one/scenario.toml:4:11: `listen` requests more"), "{}", run.told());
    }
    let policy = policy(&one.suite, "[grants]\nlisten = [\"127.0.0.1:0\"]");
    one.run(&["--policy", &policy]).exits(0).passes("one");
    let listed = one.suite.host(["list", "--format", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert!(listed.to_string().contains("\"grants\":[\"listen\"]"), "{listed}");
}

#[test]
fn the_policy_that_an_audit_proposes_is_enough() {
    for guest in GUESTS {
        for word in ["own-tcp", "own-udp"] {
            let one = One::new(guest, &[word, "127.0.0.1"], "listen = [\"127.0.0.1:0\", \"[::1]:0\"]");
            one.run(&["--audit"]).exits(0);
            let audit = fs::read_to_string(one.attempt().join("audit.jsonl")).unwrap();
            let used = r#""allowed":true,"grant":"listen = [\"127.0.0.1:0\"]"}"#;
            assert!(audit.lines().filter(|line| line.contains(used)).count() >= 2, "{audit}");
            let proposed = fs::read_to_string(one.suite.last_run().unwrap().join("policy.toml")).unwrap();
            assert!(proposed.contains("\nlisten = [\"127.0.0.1:0\"]\n"), "{proposed}");
            assert!(proposed.contains("# granted, but not used in this form: listen = [\"[::1]:0\"]"), "{proposed}");
            let again = One::new(guest, &[word, "127.0.0.1"], &listen("127.0.0.1:0"));
            let policy = policy(&again.suite, &proposed);
            again.run(&["--policy", &policy]).exits(0).passes("one");
        }
    }
}
