//! Resolves names.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs},
    pin::Pin,
    sync::{Arc, LazyLock},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

/// Resolves names. Everything that an attempt reaches by name is resolved by this trait only.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`. It may take any time; callers have a timeout. `permit` is held until the lookup uses no more
    /// resources, even if nothing waits for it anymore.
    fn resolve(&self, name: &str, permit: LookupPermit) -> PendingLookup;
}

/// A permit for one of the lookups of an attempt.
#[derive(Debug)]
pub struct LookupPermit(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// The resolver of one attempt: a few concurrent lookups, so that other attempts need not wait.
pub(super) struct AttemptResolver {
    resolver: Arc<dyn Resolve>,
    own: Arc<Semaphore>,
}

impl AttemptResolver {
    pub(super) fn of(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, own: Arc::new(Semaphore::new(MAX_ATTEMPT_LOOKUPS)) }
    }

    /// [`Resolve::resolve`], after waiting for a permit of the attempt.
    pub(super) async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let permit = Arc::clone(&self.own).acquire_owned().await.map_err(io::Error::other)?;
        self.resolver.resolve(name, LookupPermit(permit)).await
    }
}

/// A pending lookup.
pub type PendingLookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The system's resolver.
pub struct SystemResolver;

/// Concurrent lookups of this process. Each occupies one of the threads that file calls use too (tokio has 512 of them)
/// until it ends, even if nothing waits for it anymore.
const MAX_LOOKUPS: usize = 32;
/// Concurrent lookups of one attempt.
const MAX_ATTEMPT_LOOKUPS: usize = 4;

static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_LOOKUPS)));

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str, permit: LookupPermit) -> PendingLookup {
        // No DNS server is asked for this machine.
        if name == "localhost" {
            return Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]) });
        }
        let name = name.to_owned();
        let lookup = move || {
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip().to_canonical()).collect())
        };
        Box::pin(with_permits(Arc::clone(&PERMITS), permit, lookup))
    }
}

/// Calls `lookup` on a thread for blocking calls, after waiting for one of `permits`. It holds that and the attempt's `own`
/// permit until `lookup` returns.
async fn with_permits<T: Send + 'static>(
    permits: Arc<Semaphore>,
    own: LookupPermit,
    lookup: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
    let blocking = spawn_blocking(move || {
        let found = lookup();
        drop((permit, own));
        found
    });
    blocking.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A permit of an attempt.
    fn own() -> LookupPermit {
        LookupPermit(Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap())
    }

    /// Looks up at once, but for `hangs.example`, whose look-up goes on until there is no more sender.
    struct Slow {
        permits: Arc<Semaphore>,
        ended: Arc<std::sync::Mutex<mpsc::Receiver<()>>>,
        begun: tokio::sync::mpsc::UnboundedSender<()>,
    }

    impl Resolve for Slow {
        fn resolve(&self, name: &str, permit: LookupPermit) -> PendingLookup {
            let (hangs, ended, begun) = (name == "hangs.example", Arc::clone(&self.ended), self.begun.clone());
            Box::pin(with_permits(Arc::clone(&self.permits), permit, move || {
                if hangs {
                    let _ = begun.send(());
                    let _ = ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                }
                Ok(vec![Ipv4Addr::LOCALHOST.into()])
            }))
        }
    }

    #[tokio::test]
    async fn slow_lookups_do_not_delay_other_attempts() {
        let (end, ended) = mpsc::channel::<()>();
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(MAX_LOOKUPS));
        let ended = Arc::new(std::sync::Mutex::new(ended));
        let resolver: Arc<dyn Resolve> = Arc::new(Slow { permits: Arc::clone(&permits), ended, begun });
        let (one, other) = (Arc::new(AttemptResolver::of(Arc::clone(&resolver))), AttemptResolver::of(resolver));
        let asked: Vec<_> = (0..2 * MAX_LOOKUPS)
            .map(|_| {
                let one = Arc::clone(&one);
                tokio::spawn(async move { one.resolve("hangs.example").await })
            })
            .collect();
        for _ in 0..MAX_ATTEMPT_LOOKUPS {
            begins.recv().await.unwrap();
        }
        let waits = std::time::Duration::from_secs(60);
        let found = tokio::time::timeout(waits, other.resolve("other.example")).await;
        assert_eq!(found.expect("it waits for the other attempt's").unwrap().len(), 1);
        assert!(begins.try_recv().is_err() && permits.available_permits() == MAX_LOOKUPS - MAX_ATTEMPT_LOOKUPS);
        // Nobody waits any more, but the system still looks.
        asked.iter().for_each(tokio::task::JoinHandle::abort);
        for asked in asked {
            assert!(asked.await.unwrap_err().is_cancelled());
        }
        assert_eq!(one.own.available_permits(), 0);
        drop(end);
        assert_eq!(one.resolve("other.example").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_abandoned_lookup_keeps_its_permit() {
        let permits = Arc::new(Semaphore::new(1));
        let (end, ended) = mpsc::channel::<()>();
        let (start, started) = tokio::sync::oneshot::channel();
        let hangs = tokio::spawn(with_permits(Arc::clone(&permits), own(), move || {
            start.send(()).unwrap();
            let _ = ended.recv();
            Ok(())
        }));
        started.await.unwrap();
        hangs.abort();
        assert!(hangs.await.unwrap_err().is_cancelled());
        assert_eq!(permits.available_permits(), 0, "its thread is taken until it ends");
        let next = tokio::spawn(with_permits(Arc::clone(&permits), own(), || Ok("found")));
        end.send(()).unwrap();
        assert_eq!(next.await.unwrap().unwrap(), "found");
    }

    #[test]
    fn hanging_lookups_leave_threads_for_file_calls() {
        // One thread more than look-ups may have.
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(MAX_LOOKUPS + 1).build().unwrap();
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        runtime.block_on(async {
            let permits = Arc::new(Semaphore::new(MAX_LOOKUPS));
            for _ in 0..4 * MAX_LOOKUPS {
                let ended = Arc::clone(&ended);
                let hangs = move || {
                    let _ = ended.lock().unwrap().recv();
                    Ok(())
                };
                tokio::spawn(with_permits(Arc::clone(&permits), own(), hangs));
            }
            tokio::task::yield_now().await;
            assert_eq!(permits.available_permits(), 0);
            spawn_blocking(|| ()).await.unwrap();
        });
        drop(end);
        runtime.shutdown_background();
    }
}
