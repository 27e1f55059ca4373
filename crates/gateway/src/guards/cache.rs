//! Cache: a cached value is found only by the tenant that owns it.
//!
//! A cache hangs on the tenant's `Resident`, so another tenant's cannot even be named. The
//! key inside is made by the framework from the tool, the configuration revision and the canonical arguments; a
//! tool's author never writes it. Tools that ask for it share replies between processes too, sealed (`shared`).

pub(crate) mod shared;

use std::{
    future::Future,
    hash::RandomState,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use quick_cache::{Weighter, sync::Cache};

use self::shared::Asking;

/// One tenant's cached replies, bounded in bytes.
pub(crate) struct ReplyCache {
    bytes: u64,
    // Most tenants have no cached tool in use; they pay for nothing.
    entries: OnceLock<Entries>,
    asking: OnceLock<Box<Asking>>,
}

/// A reply for the cache, and how long it may be used.
pub(crate) struct Fresh {
    pub(crate) text: String,
    pub(crate) ttl: Duration,
}

type Entries = Cache<Arc<str>, Entry, ByBytes, RandomState>;

#[derive(Clone)]
struct Entry {
    text: Arc<str>,
    until: Instant,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Arc<str>, Entry> for ByBytes {
    fn weight(&self, key: &Arc<str>, entry: &Entry) -> u64 {
        // What an entry costs besides its texts: two counts, the instant, the table's slot.
        const OVERHEAD: u64 = 128;
        OVERHEAD + key.len() as u64 + entry.text.len() as u64
    }
}

impl ReplyCache {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { bytes, entries: OnceLock::new(), asking: OnceLock::new() }
    }

    /// How much the tenant may have in a cache, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The tenant's questions about replies that processes share.
    pub(crate) fn asking(&self) -> &Asking {
        self.asking.get_or_init(Box::default)
    }

    fn entries(&self) -> &Entries {
        self.entries.get_or_init(|| {
            let estimated = usize::try_from(self.bytes / 4096).unwrap_or(usize::MAX).clamp(4, 1024);
            Cache::with(
                estimated,
                self.bytes,
                ByBytes,
                RandomState::new(),
                quick_cache::sync::DefaultLifecycle::default(),
            )
        })
    }

    /// The text for `key`, or the one `make` makes: one caller makes it, those who come meanwhile wait for it.
    ///
    /// A failure is not kept. When the maker is cancelled, one of those who wait takes over. A text longer than
    /// `max_bytes` is returned but not kept.
    pub(crate) async fn get_or_make<E>(
        &self,
        key: &str,
        max_bytes: usize,
        make: impl Future<Output = Result<Fresh, E>>,
    ) -> Result<Arc<str>, E> {
        let entries = self.entries();
        let key: Arc<str> = key.into();
        if let Some(entry) = entries.get(&key)
            && entry.until <= Instant::now()
        {
            // No other that came in its place.
            drop(entries.remove_if(&key, |entry| entry.until <= Instant::now()));
        }
        match entries.get_value_or_guard_async(&key).await {
            Ok(entry) => Ok(entry.text),
            Err(guard) => {
                let Fresh { text, ttl } = make.await?;
                let text: Arc<str> = text.into();
                if text.len() <= max_bytes && (text.len() as u64) <= self.bytes / 4 {
                    let entry = Entry { text: Arc::clone(&text), until: Instant::now() + ttl };
                    // Fails only when the entry was removed meanwhile, which is a reason not to keep it.
                    let _removed = guard.insert(entry);
                }
                Ok(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures_util::future::join_all;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn make(cache: &ReplyCache, key: &str, ttl: Duration, text: &str) -> Arc<str> {
        let made: Result<_, ()> =
            cache.get_or_make(key, usize::MAX, async { Ok(Fresh { text: text.to_owned(), ttl }) }).await;
        made.expect("made")
    }

    #[tokio::test]
    async fn a_kept_reply_is_found_again_until_its_time_is_over() {
        let cache = ReplyCache::new(1 << 20);
        assert_eq!(&*make(&cache, "k", HOUR, "one").await, "one");
        assert_eq!(&*make(&cache, "k", HOUR, "two").await, "one");
        assert_eq!(&*make(&cache, "other", HOUR, "two").await, "two");
        assert_eq!(&*make(&cache, "short", Duration::ZERO, "one").await, "one");
        assert_eq!(&*make(&cache, "short", HOUR, "two").await, "two");
    }

    #[tokio::test]
    async fn one_of_many_makes_it_and_a_failure_is_not_kept() {
        let cache = ReplyCache::new(1 << 20);
        let made = AtomicUsize::new(0);
        let all = join_all((0..32).map(|_| {
            cache.get_or_make("k", usize::MAX, async {
                made.fetch_add(1, SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, ()>(Fresh { text: "text".to_owned(), ttl: HOUR })
            })
        }))
        .await;
        assert!(all.iter().all(|text| text.as_deref() == Ok("text")));
        assert_eq!(made.load(SeqCst), 1);
        let failed: Result<_, &str> = cache.get_or_make("f", usize::MAX, async { Err("no") }).await;
        assert_eq!(failed, Err("no"));
        assert_eq!(&*make(&cache, "f", HOUR, "yes").await, "yes");
    }

    #[tokio::test]
    async fn what_is_too_large_is_returned_and_not_kept() {
        let cache = ReplyCache::new(4096);
        let large = "x".repeat(2000);
        assert_eq!(&*make(&cache, "k", HOUR, &large).await, large);
        assert_eq!(&*make(&cache, "k", HOUR, "small").await, "small");
    }
}
