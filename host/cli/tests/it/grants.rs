//! What is granted works, and what is not is refused and told: HTTP, TCP, UDP, name look-ups, variables, clocks and
//! random numbers, seen from inside guests of WASI 0.2 and 0.3.

use std::fs;

use host_model::{FaultClass, Report};

use host_testing::{Finished, Suite, probe};

use server::{Server, echo_tcp, echo_udp};

mod audit;
mod listed;
mod listen;
mod policy;
mod server;

const SECRET: &str = "s3cr3t-0f-the-h0st";

/// A suite with one scenario, which calls the guest `guest` with `args`.
struct One {
    suite: Suite,
    /// Variables of the host.
    env: Vec<(&'static str, String)>,
}

impl One {
    fn new(guest: &str, args: &[&str], grants: &str) -> Self {
        let suite = Suite::new();
        let plugin = probe(guest);
        suite.scenario(
            "one",
            &format!("plugin = {:?}\nargs = {args:?}\n[grants]\n{grants}\n", plugin.to_str().unwrap()),
        );
        Self { suite, env: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// Gives the scenario a limit.
    fn limit(&self, line: &str) {
        let scenario = self.suite.path("scenarios/one/scenario.toml");
        let text = fs::read_to_string(&scenario).unwrap();
        fs::write(&scenario, format!("{line}\n{text}")).unwrap();
    }

    fn run(&self, args: &[&str]) -> Finished {
        let mut command =
            self.suite.host_command(&self.suite.path(""), ["run"].into_iter().chain(args.iter().copied()));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        self.suite.start_command(command).finish()
    }

    /// What the guest printed in its only attempt.
    fn stdout(&self) -> String {
        fs::read_to_string(self.attempt().join("stdout.txt")).unwrap()
    }

    fn attempt(&self) -> std::path::PathBuf {
        let run = self.suite.last_run().unwrap();
        let mut found = Vec::new();
        files(&run, &mut found);
        let file = found.into_iter().find(|file| file.ends_with("stdout.txt") || file.ends_with("stderr.txt"));
        file.unwrap_or_else(|| panic!("no attempt in {}", run.display())).parent().unwrap().to_owned()
    }
}

fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() { files(&path, found) } else { found.push(path) }
    }
}

/// Both versions of the guest that makes requests.
const GUESTS: [&str; 2] = ["probe-network", "probe-network-p3"];

fn quoted(targets: &[String]) -> String {
    format!("http = {targets:?}")
}

fn denials(run: &Finished) -> Vec<String> {
    let reports = run.reports("one");
    reports
        .into_iter()
        .filter_map(|it| if let Report::Denied { what } = it { Some(what.clone()) } else { None })
        .collect()
}

/// The guest was refused, the event log and the fault say what, and how to grant it.
#[track_caller]
fn denied(run: &Finished, parts: &[&str]) {
    run.exits(110);
    let fault = run.fault("one");
    assert_eq!(fault.class, FaultClass::Denied, "{}", run.told());
    let told = denials(run);
    for part in parts {
        assert!(told.iter().any(|what| what.contains(part)), "{part}: {told:?}");
        assert!(fault.message.contains(part), "{part}: {}", fault.message);
    }
}

#[test]
fn a_request_to_a_granted_host_is_answered() {
    for guest in GUESTS {
        let server = Server::new();
        let one =
            One::new(guest, &["request", "GET", &server.url("/echo?q=1"), "x-own=mine"], &quoted(&[server.origin()]));
        one.run(&[]).exits(0).passes("one");
        let said = one.stdout();
        assert!(said.contains("200\n") && said.contains("GET /echo?q=1") && said.contains("x-own: mine"), "{said}");
        if guest == "probe-network" {
            let one = One::new(guest, &["request", "POST", &server.url("/echo")], &quoted(&[server.origin()]));
            one.run(&[]).exits(0);
            assert!(one.stdout().ends_with("what is posted\r\n\n"), "a body is streamed: {:?}", one.stdout());
        }
        assert_eq!(one.suite.leftovers(), [""; 0]);
    }
}

#[test]
fn a_denied_request_names_the_missing_grant() {
    for guest in GUESTS {
        let server = Server::new();
        let (url, origin) = (server.url("/"), server.origin());
        let other_port = origin.replace(&format!(":{}", server.port()), &format!(":{}", server.port() ^ 1));
        for grants in [String::new(), quoted(&[other_port]), quoted(&[origin.replace("http:", "https:")])] {
            let one = One::new(guest, &["request", "GET", &url], &grants);
            let run = one.run(&[]);
            denied(&run, &[&format!("HTTP: GET {origin} (to grant it: `http = [\"{origin}\"]`)")]);
            let stderr = fs::read_to_string(one.attempt().join("stderr.txt")).unwrap();
            assert!(stderr.contains("HttpRequestDenied"), "{stderr}");
        }
        assert_eq!(server.requests(), [""; 0]);
    }
}

#[test]
fn a_redirect_needs_its_own_grant() {
    for guest in GUESTS {
        let (server, other) = (Server::new(), Server::new());
        let url = server.url(&format!("/redirect?to={}", other.url("/stolen")));
        let header = format!(
            "http = [{{ to = {:?}, header = {{ name = \"authorization\", secret = \"API_KEY\" }} }}]",
            server.origin()
        );
        let one = One::new(guest, &["follow", &url], &header).with("API_KEY", SECRET);
        let run = one.run(&[]);
        denied(&run, &[&format!("HTTP: GET {}", other.origin())]);
        assert_eq!((server.requests().len(), other.requests().len()), (1, 0));
        assert!(one.stdout().contains("redirected to"));
        // Granted as well it gets there, without the secret of the first.
        let both = format!("{}, {:?}]", header.strip_suffix(']').unwrap(), other.origin());
        let one = One::new(guest, &["follow", &url], &both).with("API_KEY", SECRET);
        one.run(&[]).exits(0);
        let [request] = other.requests().try_into().unwrap();
        assert!(!request.contains(SECRET) && !request.to_lowercase().contains("authorization"), "{request}");
    }
}

#[test]
fn a_secret_header_is_invisible_to_the_component() {
    for guest in GUESTS {
        let server = Server::new();
        let grants = format!(
            "http = [{{ to = {:?}, header = {{ name = \"Authorization\", secret = \"API_KEY\", value = \"Bearer {{}}\" }} }}]",
            server.origin()
        );
        // What the guest writes there itself is replaced.
        let args = ["request", "POST", &server.url("/quiet"), "authorization=guess"];
        let one = One::new(guest, &args, &grants).with("API_KEY", &format!("{SECRET}\n"));
        let run = one.run(&["-v"]);
        run.exits(0).passes("one");
        let [request] = server.requests().try_into().unwrap();
        assert!(
            request.contains(&format!("authorization: Bearer {SECRET}")) && !request.contains("guess"),
            "{request}"
        );
        let said = one.stdout();
        assert!(said.contains("kept authorization: guess"), "the guest sees what it wrote: {said}");
        assert!(!said.contains(SECRET) && !run.told().contains(SECRET));
        assert_secret_is_nowhere(&one);
    }
}

#[test]
fn a_trailer_has_no_name_of_a_header_that_the_host_adds() {
    for guest in GUESTS {
        let server = Server::new();
        let grants = format!(
            "http = [{{ to = {:?}, header = {{ name = \"x-api-key\", secret = \"API_KEY\" }} }}]",
            server.origin()
        );
        let args = ["trailers", &server.url("/quiet"), "X-Api-Key=guess", "x-own=mine"];
        let one = One::new(guest, &args, &grants).with("API_KEY", SECRET);
        one.run(&[]).exits(0).passes("one");
        let [request] = server.requests().try_into().unwrap();
        assert!(request.contains("x-own: mine"), "trailers are sent: {request}");
        assert!(request.contains(&format!("x-api-key: {SECRET}")) && !request.contains("guess"), "{request}");
    }
}

#[test]
fn a_stalled_server_times_out_as_the_guest_requests() {
    for guest in GUESTS {
        let server = Server::new();
        let args = ["patient", &server.url("/stall"), "60000", "50"];
        let one = One::new(guest, &args, &quoted(&[server.origin()]));
        one.run(&[]).exits(100);
        let stderr = fs::read_to_string(one.attempt().join("stderr.txt")).unwrap();
        // In WASI 0.2 wasmtime gives an error of a body its text and no code.
        assert!(stderr.contains("ConnectionReadTimeout") || stderr.contains("connection read timeout"), "{stderr}");
    }
}

#[test]
fn requests_without_a_handle_count_toward_max_handles() {
    let server = Server::new();
    let one = One::new("probe-network-p3", &["keep", "25", &server.url("/")], &quoted(&[server.origin()]));
    one.limit("max-handles = 20");
    let run = one.run(&["--audit"]);
    run.exits(0).passes("one");
    let said = one.stdout();
    assert_eq!(said.lines().filter(|line| *line == "200").count(), 20, "{said}");
    assert_eq!(said.matches("ConnectionLimitReached").count(), 5, "{said}");
    let beyond = "requests and look-ups beyond 20 in parallel";
    let told = run.reports("one").into_iter().filter(|it| matches!(it, Report::Cut { what } if what.contains(beyond)));
    assert_eq!(told.count(), 1, "{}", run.told());
    let audit = fs::read_to_string(one.attempt().join("audit.jsonl")).unwrap();
    let line = format!("GET {}, beyond 20 in parallel (limit `max-handles`)\",\"allowed\":false}}", server.origin());
    assert!(audit.contains(&line), "{audit}");
}

/// One of WASI 0.3 keeps open what it reads, whose handle may be gone.
#[test]
fn streams_are_bounded_by_the_limit_of_handles() {
    let one = One::new("probe-network-p3", &["streams", "1000"], "");
    one.run(&[]).exits(0);
    one.limit("max-handles = 20");
    let run = one.run(&[]);
    run.exits(110);
    let fault = run.fault("one");
    assert_eq!(fault.class, FaultClass::Limit, "{}", run.told());
    assert!(fault.message.contains("its limit is `max-handles`"), "{}", fault.message);
}

/// A component may hold many requests that it never sends.
#[test]
fn a_request_holds_no_more_of_the_hosts_memory_than_a_server_would_take() {
    for guest in GUESTS {
        let server = Server::new();
        let url = server.url("/");
        for (method, url, headers, told) in [
            // A bound of wasmtime's. WASI 0.2 has no code for it, so that it is a trap.
            ("GET", &*url, "x=LONG", "size"),
            ("LONG", &url, "x=1", "bad method"),
            ("GET", "http://LONG/", "x=1", "bad authority"),
            ("GET", &format!("{}/LONG", server.origin()), "x=1", "bad path"),
        ] {
            let one = One::new(guest, &["long", method, url, headers], &quoted(&[server.origin()]));
            let run = one.run(&[]);
            assert_ne!(run.code, Some(0), "{}", run.told());
            assert!(run.told().to_lowercase().contains(told), "{guest}: {told}: {}", run.told());
        }
        assert_eq!(server.requests(), [""; 0]);
    }
}

#[test]
fn a_secret_that_the_server_sends_back_is_in_nothing_that_the_host_keeps() {
    for guest in GUESTS {
        let server = Server::new();
        let grants = format!(
            "http = [{{ to = {:?}, header = {{ name = \"x-api-key\", secret = \"API_KEY\" }} }}]",
            server.origin()
        );
        let one = One::new(guest, &["request", "GET", &server.url("/echo")], &grants).with("API_KEY", SECRET);
        one.run(&[]).exits(0);
        assert!(one.stdout().contains("x-api-key: **"), "it was sent back: {}", one.stdout());
        assert_secret_is_nowhere(&one);
    }
}

#[track_caller]
fn assert_secret_is_nowhere(one: &One) {
    let mut found = Vec::new();
    files(&one.suite.path(".host"), &mut found);
    for file in found {
        let bytes = fs::read(&file).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{}", file.display());
    }
}

#[test]
fn over_https_nothing_is_sent_in_the_clear_and_no_one_is_trusted_blindly() {
    for guest in GUESTS {
        let (port, received) = server::deaf();
        let origin = format!("https://127.0.0.1:{port}");
        let grants =
            format!("http = [{{ to = {origin:?}, header = {{ name = \"authorization\", secret = \"API_KEY\" }} }}]");
        let one = One::new(guest, &["request", "GET", &format!("{origin}/")], &grants).with("API_KEY", SECRET);
        one.run(&[]).exits(100);
        let stderr = fs::read_to_string(one.attempt().join("stderr.txt")).unwrap();
        assert!(stderr.contains("TlsProtocolError"), "{stderr}");
        let received = received.join().unwrap();
        // A handshake of TLS and nothing else.
        assert_eq!(received.first(), Some(&0x16));
        assert!(!String::from_utf8_lossy(&received).contains("GET"));
    }
}

#[test]
fn connect_and_trace_are_never_granted() {
    for guest in GUESTS {
        for method in ["TRACE", "CONNECT", "trace", "Track"] {
            let server = Server::new();
            let one = One::new(guest, &["request", method, &server.url("/")], &quoted(&[server.origin()]));
            denied(&one.run(&[]), &["a method that no grant allows"]);
            assert_eq!(server.requests(), [""; 0]);
        }
    }
}

#[test]
fn localhost_is_this_machine_by_its_name() {
    let server = Server::new();
    let origin = server.origin().replace("127.0.0.1", "localhost");
    let one = One::new("probe-network", &["request", "GET", &format!("{origin}/echo")], &quoted(&[origin]));
    one.run(&[]).exits(0).passes("one");
    // The address is another thing than the name.
    let one = One::new(
        "probe-network",
        &["request", "GET", &server.url("/")],
        &quoted(&[server.origin().replace("127.0.0.1", "localhost")]),
    );
    denied(&one.run(&[]), &[&server.origin()]);
}

#[test]
fn a_missing_secret_is_reported_before_the_run() {
    let grants =
        "http = [{ to = \"https://api.example.com\", header = { name = \"authorization\", secret = \"API_KEY\" } }]";
    for command in ["run", "check"] {
        let one = One::new("probe-network", &["env"], grants);
        let run = one.suite.host([command]);
        run.exits(96);
        assert!(run.told().contains("the variable `API_KEY` is not set"), "{command}: {}", run.told());
    }
}

#[test]
fn tcp_reaches_what_is_granted_by_address_or_name_and_nothing_else() {
    let port = echo_tcp();
    let (text, other) = (port.to_string(), echo_tcp());
    for (host, grant) in [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")] {
        let one = One::new("probe-network", &["tcp", host, &text], &format!("tcp = [\"{grant}:{port}\"]"));
        one.run(&[]).exits(0).passes("one");
        assert!(one.stdout().contains("tcp echo of ping"), "{}", one.stdout());
    }
    for grants in [String::new(), format!("tcp = [\"127.0.0.1:{other}\"]"), format!("udp = [\"127.0.0.1:{port}\"]")] {
        let one = One::new("probe-network", &["tcp", "127.0.0.1", &text], &grants);
        denied(
            &one.run(&[]),
            &[&format!("TCP: to connect to 127.0.0.1:{port} (to grant it: `tcp = [\"127.0.0.1:{port}\"]`)")],
        );
    }
}

#[test]
fn udp_reaches_what_is_granted_and_nothing_else() {
    let port = echo_udp();
    let text = port.to_string();
    let one = One::new("probe-network", &["udp", "127.0.0.1", &text], &format!("udp = [\"127.0.0.1:{port}\"]"));
    one.run(&[]).exits(0).passes("one");
    // Another socket sent a datagram first; the guest never got it.
    assert!(one.stdout().contains("udp echo of ping"), "{}", one.stdout());
    let one = One::new("probe-network", &["udp", "127.0.0.1", &text], "");
    denied(
        &one.run(&[]),
        &[&format!("UDP: to send to 127.0.0.1:{port} (to grant it: `udp = [\"127.0.0.1:{port}\"]`)")],
    );
}

#[test]
fn only_granted_names_are_resolved() {
    for guest in GUESTS {
        let name = "secret.attacker.invalid";
        let one = One::new(guest, &["look-up", name], &quoted(&[format!("https://{name}")]));
        denied(&one.run(&[]), &[&format!("name look-up: {name}")]);
        let stderr = fs::read_to_string(one.attempt().join("stderr.txt")).unwrap();
        assert!(stderr.contains("access-denied") || stderr.contains("AccessDenied"), "{stderr}");
        let one = One::new(guest, &["look-up", "localhost"], "udp = [\"localhost:53\"]");
        one.run(&[]).exits(0).passes("one");
        assert!(one.stdout().contains("Ipv4((127, 0, 0, 1))"), "{}", one.stdout());
    }
}

#[test]
fn variables_are_handed_over_by_name() {
    let one =
        One::new("probe-network", &["env"], "env = [\"GIVEN\", \"UNSET\"]").with("GIVEN", "a value").with("OTHER", "x");
    one.run(&[]).exits(0);
    assert_eq!(one.stdout(), "GIVEN=a value\n");
}

#[test]
fn fixed_clocks_and_numbers_are_the_same_in_every_attempt() {
    let said = |grants: &str| {
        let one = One::new("probe-network", &["same"], grants);
        one.run(&[]).exits(0);
        one.stdout()
    };
    let (first, again, other) = (said("deterministic = true"), said("deterministic = true"), said("deterministic = 7"));
    assert_eq!(first, again);
    assert_ne!(first, other, "another seed gives other numbers");
    assert!(first.contains("seconds: 1735689600"), "{first}");
    assert_ne!(said(""), said(""), "without the grant they are those of the machine");
}
