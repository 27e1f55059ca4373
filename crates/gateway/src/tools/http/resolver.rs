//! Names of upstreams are resolved to public addresses only.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::address::{self, AllowList};

/// Look-ups of names of one tenant at a time. The system's own resolver may take half a minute for a name whose servers do
/// not answer, whatever the call's time is, and the threads are those that statements of all tenants run on.
const LOOK_UPS: usize = 8;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Resolving = Pin<Box<dyn Future<Output = Result<std::vec::IntoIter<SocketAddr>, Failure>> + Send>>;

/// A name that has no public address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
pub(super) struct NotPublic;

/// Asks the system for a name's addresses; it may take long.
pub(super) type LookUp = fn(&str) -> io::Result<Vec<SocketAddr>>;

pub(super) fn system(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((name, 0).to_socket_addrs()?.collect())
}

/// Resolves one tenant's names to their public addresses, and listed names to all of theirs.
#[derive(Debug, Clone)]
pub(super) struct PublicOnly {
    allow: Arc<AllowList>,
    seats: Arc<Semaphore>,
    look_up: LookUp,
}

impl PublicOnly {
    /// A resolver with look-ups of its own.
    pub(super) fn new(allow: &Arc<AllowList>, look_up: LookUp) -> Self {
        Self { allow: Arc::clone(allow), seats: Arc::new(Semaphore::new(LOOK_UPS)), look_up }
    }
}

impl Service<Name> for PublicOnly {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Failure;
    type Future = Resolving;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolving {
        let (allow, seats, look_up) = (Arc::clone(&self.allow), Arc::clone(&self.seats), self.look_up);
        Box::pin(async move {
            let listed = allow.lists_host(name.as_str());
            let seat = seats.acquire_owned().await?;
            let found = tokio::task::spawn_blocking(move || {
                // Given back when the system has answered, whether or not the call still waits.
                let _seat = seat;
                look_up(name.as_str())
            })
            .await??;
            let any = !found.is_empty();
            let usable: Vec<SocketAddr> =
                found.into_iter().filter(|address| listed || address::is_public(address.ip())).collect();
            if any && usable.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(usable.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Condvar, Mutex, PoisonError,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::Duration,
    };

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static ANSWERS: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    /// A system whose name servers do not answer.
    fn silent(_name: &str) -> io::Result<Vec<SocketAddr>> {
        ASKED.fetch_add(1, SeqCst);
        let answers = ANSWERS.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Ends by itself, so that a test that fails ends too.
        let most = Duration::from_secs(20);
        drop(ANSWERS.1.wait_timeout_while(answers, most, |answers| !*answers));
        Ok(vec![SocketAddr::from(([8, 8, 8, 8], 0))])
    }

    fn quick(_name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::from(([8, 8, 8, 8], 0)), SocketAddr::from(([10, 0, 0, 1], 0))])
    }

    fn ask(resolver: &PublicOnly) -> Resolving {
        resolver.clone().call("api.example.com".parse().expect("a name"))
    }

    /// Calls that gave up leave their look-ups behind. (Without the seats each of them has a thread.)
    #[tokio::test]
    async fn a_tenants_look_ups_hold_few_threads_however_many_calls_gave_up() {
        let allow = Arc::new(AllowList::parse(&[]).expect("a list"));
        let (acme, globex) = (PublicOnly::new(&allow, silent), PublicOnly::new(&allow, quick));
        let mut calls: Vec<Resolving> = (0..100).map(|_| ask(&acme)).collect();
        while ASKED.load(SeqCst) < LOOK_UPS {
            for call in &mut calls {
                assert!(futures_util::poll!(call).is_pending());
            }
            tokio::task::yield_now().await;
        }
        drop(calls);
        let mut late = ask(&acme);
        for _ in 0..100 {
            assert!(futures_util::poll!(&mut late).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(ASKED.load(SeqCst), LOOK_UPS);
        // The neighbour's names are found, and only what is public of them.
        let found: Vec<SocketAddr> = ask(&globex).await.expect("found").collect();
        assert_eq!(found, [SocketAddr::from(([8, 8, 8, 8], 0))]);
        *ANSWERS.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        ANSWERS.1.notify_all();
        assert_eq!(late.await.expect("found").count(), 1);
    }
}
