//! Real guests of WASI 0.2 and 0.3 in a directory that an agent has filled with whatever it likes.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    time::Duration,
};

use super::*;

/// The first by the standard library, the second by the calls themselves.
const GUESTS: [&str; 2] = ["probe-command", "probe-network-p3"];

async fn call_at(folder: &Path, guest: &str, args: &[&str]) -> CallResult {
    let preopens = vec![PreopenedDir { path: folder.to_owned(), guest_path: "/".into(), read_only: false }];
    let resolver: Arc<dyn Resolve> = Arc::new(FixedResolver::default());
    let called = call_in(guest, args, Grants::default(), (resolver, 1), preopens);
    tokio::time::timeout(Duration::from_secs(120), called).await.unwrap_or_else(|_| panic!("{guest} {args:?} waits"))
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_and_sockets_are_refused_and_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
    symlink("pipe", at("link")).unwrap();
    fs::hard_link(at("pipe"), at("again")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::write(at("file"), "text").unwrap();
    for guest in GUESTS {
        for name in ["pipe", "link", "again", "socket"] {
            let result = call_at(folder.path(), guest, &["read", name]).await;
            let refused = result.stderr.to_lowercase();
            assert!(!result.passed && refused.contains("not supported") | refused.contains("unsupported"), "{refused}");
            assert!(call_at(folder.path(), guest, &["kind", name]).await.passed, "{guest}: {name} cannot be looked at");
        }
        let result = call_at(folder.path(), guest, &["read", "file"]).await;
        assert!(result.passed && result.stdout.contains("text"), "{guest}: {}", result.stderr);
        let result = call_at(folder.path(), guest, &["list", "."]).await;
        assert!(result.stdout.contains("again file link pipe socket"), "{guest}: {} {}", result.stdout, result.stderr);
        assert_eq!(result.odd_names, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_non_utf8_name_can_be_read_by_its_lossy_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in [b"aa".as_slice(), b"b\xff", b"zz"] {
        fs::write(folder.path().join(OsStr::from_bytes(name)), "text").unwrap();
    }
    for guest in GUESTS {
        let result = call_at(folder.path(), guest, &["list", "."]).await;
        assert!(
            result.passed && result.stdout.contains("aa b\u{fffd} zz"),
            "{guest}: {} {}",
            result.stdout,
            result.stderr
        );
        let told = result.odd_names.unwrap();
        assert!(told.ends_with(r"U+FFFD in them: `b\xff`"), "{told}");
        let result = call_at(folder.path(), guest, &["read", "b\u{fffd}"]).await;
        assert!(result.passed && result.stdout.contains("text"), "{guest}: {}", result.stderr);
        assert!(call_at(folder.path(), guest, &["kind", "b\u{fffd}"]).await.passed, "{guest}");
        let result = call_at(folder.path(), guest, &["read", "none\u{fffd}"]).await;
        assert!(!result.passed, "{guest}: {}", result.stdout);
    }
}

/// More than there are threads for file calls, which all attempts share.
#[tokio::test(flavor = "multi_thread")]
async fn unread_listings_occupy_no_threads() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        fs::write(folder.path().join(format!("entry-{number}")), "").unwrap();
    }
    fs::write(folder.path().join("file"), "text").unwrap();
    let result = call_at(folder.path(), "probe-network-p3", &["hold-listings", "600"]).await;
    assert!(result.passed && result.stdout.contains("text"), "{}", result.stderr);
}
