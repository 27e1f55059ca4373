//! An issuer's keys in memory: kept for a while, fetched again for a new key, used a little longer in an outage.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use tokio::{sync::Mutex, task::JoinHandle};

use super::{
    error::IdentityDenial,
    key_source::{self, KeySource},
    keys::KeySet,
};
use crate::clock::Clock;

/// How long a key set is used without asking again.
const FRESH: Duration = Duration::from_secs(10 * 60);

/// How long a key set is used when it cannot be fetched again.
const USABLE: Duration = Duration::from_secs(60 * 60);

/// The least time between two attempts, so that made-up key ids cannot make us hammer the issuer.
const PAUSE: Duration = Duration::from_secs(30);

/// The same while there are no keys and every caller is refused anyway.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// How long one attempt may take in all; discovery makes three requests.
const ATTEMPT: Duration = Duration::from_secs(10);

/// The keys of one issuer.
pub(super) struct KeyStore {
    issuer: String,
    source: KeySource,
    clock: Clock,
    state: RwLock<State>,
    /// Held during an attempt, so that there is one at a time.
    flight: Arc<Mutex<()>>,
}

#[derive(Default)]
struct State {
    keys: Option<Fetched>,
    /// When the last attempt began.
    attempted: Option<Duration>,
    /// Whether the last attempt failed.
    failing: bool,
}

#[derive(Clone)]
struct Fetched {
    snapshot: Snapshot,
    at: Duration,
}

/// A key set and its generation.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// The keys.
    pub(super) set: Arc<KeySet>,
    /// Goes up whenever the set changes; what was verified under another generation must be verified again.
    pub(super) generation: u64,
}

impl KeyStore {
    /// A store for this source; a file is read at once, so that a wrong path is found at start.
    pub(super) fn new(issuer: &str, source: KeySource, clock: Clock) -> Result<Arc<Self>, String> {
        let first = match &source {
            KeySource::File(path) => {
                let set = key_source::read_file(path)?;
                if set.is_empty() {
                    return Err(format!("{} has no usable public key", path.display()));
                }
                Some(set)
            }
            KeySource::Fixed | KeySource::Url(..) | KeySource::Discovery { .. } => None,
        };
        Ok(Arc::new(Self::with(issuer, source, clock, first)))
    }

    /// A store for keys that never change.
    pub(super) fn fixed(issuer: &str, set: KeySet, clock: Clock) -> Self {
        Self::with(issuer, KeySource::Fixed, clock, Some(set))
    }

    fn with(issuer: &str, source: KeySource, clock: Clock, first: Option<KeySet>) -> Self {
        let store = Self {
            issuer: issuer.to_owned(),
            source,
            clock,
            state: RwLock::default(),
            flight: Arc::default(),
        };
        if let Some(set) = first {
            store.store(set);
        }
        store
    }

    /// The generation of the keys if they need no refresh now.
    pub(super) fn fresh_generation(&self) -> Option<u64> {
        let state = self.read();
        let keys = state.keys.as_ref()?;
        self.is_within(keys.at, FRESH).then_some(keys.snapshot.generation)
    }

    /// The keys, fetched again when they are old.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Snapshot, IdentityDenial> {
        let (keys, failing) = {
            let state = self.read();
            (state.keys.clone(), state.failing)
        };
        match keys {
            Some(keys) if self.is_within(keys.at, FRESH) => return Ok(keys.snapshot),
            // In a known outage nobody waits for the next attempt.
            Some(keys) if failing && self.is_within(keys.at, USABLE) => {
                drop(self.start());
                return Ok(keys.snapshot);
            }
            _ => self.refresh().await,
        }
        let keys = self.read().keys.clone().filter(|keys| self.is_within(keys.at, USABLE));
        keys.map(|keys| keys.snapshot).ok_or(IdentityDenial::Unavailable)
    }

    /// The keys after a token named one that `seen` does not have, if that changed anything.
    pub(super) async fn newer_than(self: &Arc<Self>, seen: &Snapshot) -> Option<Snapshot> {
        self.refresh().await;
        let state = self.read();
        let snapshot = &state.keys.as_ref()?.snapshot;
        (snapshot.generation != seen.generation).then(|| snapshot.clone())
    }

    /// Fetches the keys if that is due, or waits for the attempt that is under way.
    async fn refresh(self: &Arc<Self>) {
        match self.start() {
            Ok(Some(attempt)) => {
                // It only fails by a panic, and then the state says what there is.
                let _ = attempt.await;
            }
            Ok(None) => {}
            Err(UnderWay) => drop(self.flight.lock().await),
        }
    }

    /// Begins an attempt; `None` when it is too early for one.
    fn start(self: &Arc<Self>) -> Result<Option<JoinHandle<()>>, UnderWay> {
        if matches!(self.source, KeySource::Fixed) {
            return Ok(None);
        }
        let flight = Arc::clone(&self.flight).try_lock_owned().map_err(|_| UnderWay)?;
        if !self.begin() {
            return Ok(None);
        }
        let store = Arc::clone(self);
        #[expect(
            clippy::disallowed_methods,
            reason = "keys belong to no tenant, and a caller that hangs up must not use up the attempt of all others"
        )]
        let attempt = tokio::spawn(async move {
            let _flight = flight;
            let result = tokio::time::timeout(ATTEMPT, store.source.fetch()).await;
            match result.unwrap_or_else(|_| Err("it took too long".to_owned())) {
                Ok(set) => store.store(set),
                Err(problem) => {
                    tracing::warn!(issuer = %store.issuer, %problem, "cannot fetch the issuer's key set");
                    store.write().failing = true;
                }
            }
        });
        Ok(Some(attempt))
    }

    /// Whether an attempt is due; if so it counts from now on, whatever becomes of it.
    fn begin(&self) -> bool {
        let mut state = self.write();
        let usable = state.keys.as_ref().is_some_and(|keys| self.is_within(keys.at, USABLE));
        let pause = if usable { PAUSE } else { PAUSE_WITHOUT_KEYS };
        if state.attempted.is_some_and(|at| self.clock.since_epoch().abs_diff(at) < pause) {
            return false;
        }
        state.attempted = Some(self.clock.since_epoch());
        true
    }

    fn store(&self, set: KeySet) {
        let at = self.clock.since_epoch();
        let mut state = self.write();
        let snapshot = match &state.keys {
            Some(old) if *old.snapshot.set == set => old.snapshot.clone(),
            old => Snapshot {
                set: Arc::new(set),
                generation: old.as_ref().map_or(0, |old| old.snapshot.generation + 1),
            },
        };
        state.keys = Some(Fetched { snapshot, at });
        state.attempted = Some(at);
        state.failing = false;
    }

    /// Whether a moment is less than `limit` away; a clock that was set back makes it as old as one set forward.
    fn is_within(&self, at: Duration, limit: Duration) -> bool {
        matches!(self.source, KeySource::Fixed) || self.clock.since_epoch().abs_diff(at) < limit
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another attempt is under way.
struct UnderWay;
