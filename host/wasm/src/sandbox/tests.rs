//! Real guests with a resolver that answers as the test says: the owner of a name can have it resolve to anything.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use wasmtime::{Store, component::Component};
use wasmtime_wasi::{p2::bindings::CommandPre, p3};

use super::*;
use host_model::{GrantItem, Grants, HttpGrant};

mod files;
mod under_way;

/// Answers with the next address of a name each time it is asked.
#[derive(Default)]
struct FixedResolver {
    answers: HashMap<String, Vec<Vec<IpAddr>>>,
    asked: Mutex<HashMap<String, usize>>,
    lookups: AtomicUsize,
}

impl FixedResolver {
    fn with(name: &str, answers: &[&[&str]]) -> Arc<Self> {
        let parsed = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        let answers = [(name.to_owned(), answers.iter().map(parsed).collect())].into();
        Arc::new(Self { answers, ..Self::default() })
    }
}

impl Resolve for FixedResolver {
    fn resolve(&self, name: &str, _turn: LookupPermit) -> PendingLookup {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let mut asked = self.asked.lock().unwrap();
        let turn = asked.entry(name.to_owned()).or_default();
        let answers = self.answers.get(name).unwrap_or_else(|| panic!("{name} was looked up"));
        let answer = answers[(*turn).min(answers.len() - 1)].clone();
        *turn += 1;
        Box::pin(async move { Ok(answer) })
    }
}

/// What came of a guest's call.
struct CallResult {
    passed: bool,
    stdout: String,
    stderr: String,
    denials: Vec<String>,
    concurrency_exceeded: Option<ConcurrencyExceeded>,
    odd_names: Option<String>,
}

/// Calls the guest `name` with these arguments.
async fn call(name: &str, args: &[&str], grants: Grants, resolver: Arc<FixedResolver>) -> CallResult {
    call_with(name, args, grants, resolver, 1_000).await
}

/// The same with any resolver, and so many places for requests and look-ups.
async fn call_with(name: &str, args: &[&str], grants: Grants, resolver: Arc<dyn Resolve>, at_once: u32) -> CallResult {
    call_in(name, args, grants, (resolver, at_once), Vec::new()).await
}

/// The same with directories.
async fn call_in(
    name: &str,
    args: &[&str],
    grants: Grants,
    (resolver, at_once): (Arc<dyn Resolve>, u32),
    preopens: Vec<PreopenedDir>,
) -> CallResult {
    let folder = tempfile::tempdir().unwrap();
    let violations = Arc::new(Violations::default());
    let output = |name: &'static str| OutputFile::new(name, folder.path().join(name), 1 << 20, &violations);
    let (stdout, stderr) = (output("stdout"), output("stderr"));
    let granted = Arc::new(Granted::new(&grants, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}")));
    let network = Network::new(granted, resolver, Arc::clone(&violations), None, at_once);
    let args = std::iter::once(name).chain(args.iter().copied()).map(str::to_owned).collect();
    let config = GuestConfig { args, preopens, ..GuestConfig::default() };
    let outputs = (stdout.clone(), stderr.clone());
    let limits = Limits::default();
    let account = Account::new(&limits, Mappings::share(1), drop);
    let sandbox = Sandbox::new(&config, &limits, Some(outputs), account, network).unwrap();

    let mut config = wasmtime::Config::new();
    config.concurrency_support(true);
    let engine = wasmtime::Engine::new(&config).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/target/probes/{name}.wasm"));
    let component =
        Component::from_file(&engine, &path).unwrap_or_else(|error| panic!("run `make plugins`: {error:#}"));
    let mut linker = Linker::<Sandbox>::new(&engine);
    add_to_linker(&mut linker).unwrap();
    let pre = linker.instantiate_pre(&component).unwrap();
    let mut store = Store::new(&engine, sandbox);
    let passed = match CommandPre::new(pre.clone()) {
        Ok(pre) => {
            let command = pre.instantiate_async(&mut store).await.unwrap();
            // A guest that exits with a code ends with an error.
            command.wasi_cli_run().call_run(&mut store).await.is_ok_and(|returned| returned.is_ok())
        }
        Err(_) => {
            let instance = pre.instantiate_async(&mut store).await.unwrap();
            let command = p3::bindings::Command::new(&mut store, &instance).unwrap();
            let ran = store.run_concurrent(async move |store| command.wasi_cli_run().call_run(store).await).await;
            ran.unwrap().unwrap().is_ok()
        }
    };
    drop(store);
    CallResult {
        passed,
        stdout: stdout.tail(),
        stderr: stderr.tail(),
        denials: violations.denials().0,
        concurrency_exceeded: violations.concurrency_exceeded(),
        odd_names: violations.lossy_names(),
    }
}

const GUESTS: [&str; 2] = ["probe-network", "probe-network-p3"];
const NAME: &str = "api.example.com";

fn http(targets: &[&str]) -> Grants {
    targets.iter().map(|target| GrantItem::Http(HttpGrant::to(target.parse().unwrap()))).collect()
}

/// A server that answers one request with `done`, and its port.
fn server() -> (std::thread::JoinHandle<String>, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 2_000];
        let read = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    (served, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn granted_names_may_not_resolve_to_special_addresses() {
    for guest in GUESTS {
        for (address, kind) in [
            ("127.0.0.1", "a loopback address"),
            ("169.254.169.254", "a metadata service"),
            ("::ffff:169.254.169.254", "a metadata service"),
            ("64:ff9b::a00:1", "a private address"),
            ("fd00:ec2::254", "a metadata service"),
        ] {
            let resolver = FixedResolver::with(NAME, &[&[address]]);
            let url = format!("http://{NAME}/");
            let result = call(guest, &["request", "GET", &url], http(&[&url]), resolver).await;
            assert!(
                !result.passed && result.stderr.contains("DestinationIpProhibited"),
                "{address}: {}",
                result.stderr
            );
            let [denial] = result.denials.try_into().unwrap();
            assert!(denial.contains(kind) && denial.contains("to grant it: `http = [\"http://"), "{denial}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_use_the_address_that_was_checked() {
    for guest in GUESTS {
        let (served, port) = server();
        // The second answer would be another: nobody may ask for it.
        let resolver = FixedResolver::with(NAME, &[&["127.0.0.1"], &["192.0.2.1"]]);
        let (by_name, by_address) = (format!("http://{NAME}:{port}"), format!("http://127.0.0.1:{port}"));
        let grants = http(&[&by_name, &by_address]);
        let result = call(guest, &["request", "GET", &by_name], grants, Arc::clone(&resolver)).await;
        assert!(result.passed && result.stdout.contains("done"), "{} {:?}", result.stderr, result.denials);
        assert_eq!(resolver.lookups.load(Ordering::Relaxed), 1);
        let head = served.join().unwrap();
        assert!(head.contains(&format!("host: {NAME}:{port}")), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_allowed_addresses_of_a_name_are_used() {
    let (served, port) = server();
    let resolver = FixedResolver::with(NAME, &[&["10.0.0.1", "127.0.0.1", "169.254.169.254"]]);
    let grants = http(&[&format!("http://{NAME}:{port}"), &format!("http://127.0.0.1:{port}")]);
    let result = call("probe-network", &["request", "GET", &format!("http://{NAME}:{port}/")], grants, resolver).await;
    assert!(result.passed, "{} {:?}", result.stderr, result.denials);
    served.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_names_are_not_resolved() {
    for guest in GUESTS {
        // It panics when it is asked.
        let resolver = FixedResolver::with("nobody.example", &[]);
        let result = call(
            guest,
            &["request", "GET", "https://other.example.com/"],
            http(&["https://api.example.com"]),
            resolver,
        );
        assert!(result.await.stderr.contains("HttpRequestDenied"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_names_allow_only_their_own_public_addresses() {
    let target = |text: &str| GrantItem::Tcp(text.parse().unwrap());
    let resolver = FixedResolver::with(NAME, &[&["169.254.169.254"]]);
    let result =
        call("probe-network", &["tcp", NAME, "80"], [target("api.example.com:80")].into_iter().collect(), resolver)
            .await;
    assert!(result.stderr.contains("access-denied"), "{}", result.stderr);
    assert!(result.denials[0].contains("a metadata service"), "{:?}", result.denials);

    let (served, port) = server();
    let text = port.to_string();
    let both = || [target(&format!("{NAME}:{port}")), target(&format!("127.0.0.1:{port}"))].into_iter().collect();
    let loopback = || FixedResolver::with(NAME, &[&["127.0.0.1"]]);
    let result = call("probe-network", &["tcp", NAME, &text], both(), loopback()).await;
    assert!(result.passed && result.stdout.contains("200 OK"), "{} {:?}", result.stderr, result.denials);
    served.join().unwrap();

    // The name's grant is for what it leads to, not for any address.
    let public = || FixedResolver::with(NAME, &[&["93.184.215.14"]]);
    let granted = [target(&format!("{NAME}:{port}"))].into_iter().collect();
    let result = call("probe-network", &["tcp", "127.0.0.1", &text], granted, public()).await;
    assert!(result.stderr.contains("access-denied"), "{}", result.stderr);
}

/// The system's choice of a port is another one in each attempt, so no hint names one.
#[test]
fn denials_name_the_missing_grant() {
    use wasmtime_wasi::sockets::SocketAddrUse::TcpConnect;

    use super::loopback::Protocol;
    let hint = |grants: Grants, own: &str, to: &str| {
        let violations = Arc::new(Violations::default());
        let granted = Arc::new(Granted::new(&grants, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}")));
        let network = Network::new(granted, FixedResolver::with(NAME, &[]), Arc::clone(&violations), None, 10);
        network.bound(1, Protocol::Tcp, "0.0.0.0:0".parse().unwrap(), Ok::<_, ()>(own.parse().unwrap()));
        assert!(!network.socket(to.parse().unwrap(), TcpConnect), "{to}");
        let (denials, _) = violations.denials();
        denials[0].split_once(" (to grant it: ").map(|(_, hint)| hint.to_owned())
    };
    let listens = || [GrantItem::Listen("127.0.0.1:0".parse().unwrap())].into_iter().collect::<Grants>();
    let listen = Some("`listen = [\"127.0.0.1:0\"]`)".to_owned());
    assert_eq!(hint(Grants::default(), "0.0.0.0:41234", "127.0.0.1:41234"), listen);
    assert_eq!(hint(Grants::default(), "127.0.0.1:41234", "127.0.0.1:41234"), listen);
    assert_eq!(hint(listens(), "127.0.0.1:41234", "127.0.0.1:41234"), None, "it was granted, and is closed");
    assert_eq!(hint(listens(), "127.0.0.1:41234", "127.0.0.1:0"), None, "nothing grants port 0");
    let other = Some("`tcp = [\"127.0.0.1:5432\"]`)".to_owned());
    assert_eq!(hint(listens(), "127.0.0.1:41234", "127.0.0.1:5432"), other);
}

/// A plugin that lists its scenarios has no grants yet, not even for a socket that is bound and never used.
#[tokio::test]
async fn no_socket_is_created_without_grants() {
    use wasmtime_wasi::{
        p2::bindings::sockets::{
            network::{ErrorCode, IpAddressFamily},
            tcp_create_socket::Host as _,
            udp_create_socket::Host as _,
        },
        sockets::WasiSocketsView,
    };

    let limits = Limits::default();
    let account = || Account::new(&limits, Mappings::share(1), drop);
    let mut listing = Sandbox::without_grants(&limits, account()).unwrap();
    for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
        let denied = listing.sockets().create_tcp_socket(family).unwrap_err().downcast().unwrap();
        assert_eq!(denied, ErrorCode::AccessDenied);
        let denied = listing.sockets().create_udp_socket(family).await.unwrap_err().downcast().unwrap();
        assert_eq!(denied, ErrorCode::AccessDenied);
    }
    let network = Network::new(Arc::default(), Arc::new(SystemResolver), Arc::default(), None, 10);
    let mut attempt = Sandbox::new(&GuestConfig::default(), &limits, None, account(), network).unwrap();
    attempt.sockets().create_udp_socket(IpAddressFamily::Ipv4).await.unwrap();
}
