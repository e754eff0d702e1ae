use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs},
    pin::Pin,
    sync::{Arc, LazyLock},
};

use tokio::{sync::Semaphore, task::spawn_blocking};

/// Looks up names. Everything that an attempt reaches by name is looked up here and nowhere else.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`. It may take any time; who asks waits only for so long.
    fn resolve(&self, name: &str) -> Resolving;
}

/// A look-up under way.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The system's resolver, as every program here uses it.
pub struct SystemResolver;

/// Look-ups of this process at once. Each keeps one of the threads that file calls use too (tokio has 512 of them)
/// until the system ends it, whether or not anybody still waits for the answer.
const AT_ONCE: usize = 32;

static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> Resolving {
        // Nobody on the network is asked what this machine is.
        if name == "localhost" {
            return Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]) });
        }
        let name = name.to_owned();
        let look = move || {
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip().to_canonical()).collect())
        };
        Box::pin(in_turn(Arc::clone(&TURNS), look))
    }
}

/// Calls `look` on a thread for what blocks when it is its turn. The turn ends when `look` does.
async fn in_turn<T: Send + 'static>(
    turns: Arc<Semaphore>,
    look: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
    let looking = spawn_blocking(move || {
        let found = look();
        drop(turn);
        found
    });
    looking.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_look_up_that_hangs_keeps_its_turn_when_nobody_waits_for_it_any_more() {
        let turns = Arc::new(Semaphore::new(1));
        let (end, ended) = mpsc::channel::<()>();
        let (start, started) = tokio::sync::oneshot::channel();
        let hangs = tokio::spawn(in_turn(Arc::clone(&turns), move || {
            start.send(()).unwrap();
            let _ = ended.recv();
            Ok(())
        }));
        started.await.unwrap();
        hangs.abort();
        assert!(hangs.await.unwrap_err().is_cancelled());
        assert_eq!(turns.available_permits(), 0, "its thread is taken until it ends");
        let next = tokio::spawn(in_turn(Arc::clone(&turns), || Ok("found")));
        end.send(()).unwrap();
        assert_eq!(next.await.unwrap().unwrap(), "found");
    }

    #[test]
    fn look_ups_that_hang_leave_threads_for_file_calls() {
        // One thread more than look-ups may have.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(AT_ONCE + 1).build().unwrap();
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        runtime.block_on(async {
            let turns = Arc::new(Semaphore::new(AT_ONCE));
            for _ in 0..4 * AT_ONCE {
                let ended = Arc::clone(&ended);
                let hangs = move || {
                    let _ = ended.lock().unwrap().recv();
                    Ok(())
                };
                tokio::spawn(in_turn(Arc::clone(&turns), hangs));
            }
            tokio::task::yield_now().await;
            assert_eq!(turns.available_permits(), 0);
            spawn_blocking(|| ()).await.unwrap();
        });
        drop(end);
        runtime.shutdown_background();
    }
}
