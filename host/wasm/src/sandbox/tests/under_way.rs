//! What may be under way at once, and for how long.

use super::*;

/// Never answers.
struct Hangs;

impl Resolve for Hangs {
    fn resolve(&self, _: &str, _: LookupPermit) -> PendingLookup {
        Box::pin(std::future::pending())
    }
}

/// Answers every request with `done`; its port.
fn serves() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 2_000]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
        }
    });
    port
}

fn sockets() -> Grants {
    [GrantItem::Tcp(format!("{NAME}:80").parse().unwrap())].into_iter().collect()
}

fn temporary(stderr: &str) -> bool {
    stderr.contains("temporary-resolver-failure") || stderr.contains("TemporaryResolverFailure")
}

#[test]
fn pending_requests_count_toward_the_memory_limit() {
    let violations = Arc::new(Violations::default());
    let message = Arc::clone(&violations);
    let limits = Limits { max_memory: 300 << 10, ..Limits::default() };
    let account = Account::new(&limits, Mappings::share(1), move |what| message.limit(what));
    let network =
        Network::new(Arc::default(), Arc::new(Hangs), Arc::clone(&violations), None, 10).with_account(account);
    let permit = || network.permit(network::HTTP, "GET https://example.org", 144 << 10);
    let (first, second) = (permit(), permit());
    assert!(first.is_some() && second.is_some() && violations.breached().is_none());
    drop(first);
    let third = permit();
    assert!(third.is_some() && violations.breached().is_none(), "a place that is left is free");
    assert!(permit().is_none());
    let fault = violations.breached().unwrap();
    assert!(fault.message.contains("requests in progress; its limit `max-memory` is 307200"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn excess_requests_are_refused_until_others_finish() {
    for guest in GUESTS {
        let url = format!("http://127.0.0.1:{}", serves());
        let resolver = FixedResolver::with(NAME, &[]);
        let result = call_with(guest, &["keep", "3", &url], http(&[&url]), resolver, 2).await;
        assert!(result.passed, "{} {:?}", result.stderr, result.denials);
        let messages: Vec<&str> = result.stdout.lines().collect();
        assert_eq!(messages[..2], ["200", "200"], "{messages:?}");
        assert!(messages[2].contains("ConnectionLimitReached"), "{messages:?}");
        assert_eq!(messages[3], "afterwards 200");
        let concurrency_exceeded = result.concurrency_exceeded.unwrap();
        assert!(concurrency_exceeded.refused >= 1 && concurrency_exceeded.at_once == 2, "{concurrency_exceeded}");
        assert_eq!(result.denials, [""; 0], "nothing was missing from the grants");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_are_returned_after_each_request() {
    for guest in GUESTS {
        let url = format!("http://127.0.0.1:{}", serves());
        let resolver = FixedResolver::with(NAME, &[]);
        let result = call_with(guest, &["keep", "0", &url], http(&[&url]), resolver, 1).await;
        assert!(result.passed && result.stdout == "afterwards 200\n", "{} {:?}", result.stdout, result.stderr);
        assert_eq!(result.concurrency_exceeded, None);
    }
}

#[tokio::test(start_paused = true)]
async fn excess_lookups_are_refused() {
    for guest in GUESTS {
        let result = call_with(guest, &["look-ups", "3", NAME], sockets(), Arc::new(Hangs), 2).await;
        assert!(!result.passed && temporary(&result.stderr), "{}", result.stderr);
        assert_eq!(result.concurrency_exceeded, Some(ConcurrencyExceeded { refused: 1, at_once: 2 }), "{guest}");
        assert_eq!(result.denials, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_lookup_times_out() {
    for guest in GUESTS {
        let result = call_with(guest, &["look-up", NAME], sockets(), Arc::new(Hangs), 1).await;
        assert!(!result.passed && temporary(&result.stderr), "{}", result.stderr);
        let url = format!("https://{NAME}");
        let result = call_with(guest, &["request", "GET", &url], http(&[&url]), Arc::new(Hangs), 1).await;
        assert!(!result.passed && result.stderr.contains("DnsTimeout"), "{}", result.stderr);
        assert_eq!(result.concurrency_exceeded, None);
    }
}
