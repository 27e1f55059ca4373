//! Replies that several gateway processes share, in Redis or Valkey.
//!
//! Behind a tenant's own cache, for tools that ask for it. What stands in Redis is sealed to tenant, life, tool,
//! declaration, caller and arguments (`credentials::replies`), under names that tell nothing. Whatever goes wrong is a
//! miss: no answer in time, a value of somebody else's, of another time, cut off or made up. A tenant has a bounded part
//! of Redis, of the questions under way, and of the waiting when there are no answers.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    clock::Clock,
    config::{Config, Environment},
    guards::{
        capacity::shared::{Link, Place, Script, SharedError, Words},
        credentials::{REPLY_OVERHEAD, ReplyKeys, ReplyName},
    },
};

const REPLIES: Words = Words {
    metric: "partywall_shared_cache",
    what: "the shared replies",
    outage: "until it does, replies are kept by each process alone",
    end: "replies are shared again",
};

/// The largest reply that is shared, in bytes, whatever a tool and a tenant may keep.
const LARGEST: usize = 1 << 20;
/// Questions of one tenant that are under way at once in this process; a call beyond them asks nobody.
const MOST_AT_ONCE: usize = 16;
/// After a question without an answer, how long the tenant's calls ask nobody: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(4);
/// How far the clocks of two processes may be apart; a reply from further in the future is not used.
const CLOCKS: Duration = Duration::from_secs(5);
/// Before the text: until when it may be used, in milliseconds since 1970.
const UNTIL_LEN: usize = 8;

/// The connection to what is shared, and the keys.
pub(crate) struct SharedReplies {
    link: Arc<Link>,
    place: Place,
    keys: Arc<ReplyKeys>,
    keep: Script,
    clock: Clock,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    unreadable: AtomicU64,
    kept: AtomicU64,
    full: AtomicU64,
    /// Calls that asked nobody: too many of the tenant's are under way, or there was no answer of late.
    passed: AtomicU64,
}

/// One reply to look for or to keep, with the tenant's bounds.
pub(crate) struct Wanted<'w> {
    pub(crate) name: ReplyName<'w>,
    pub(crate) asking: &'w Asking,
    /// How long a reply may be used.
    pub(crate) ttl: Duration,
    /// The largest reply that is kept, in bytes.
    pub(crate) most: usize,
    /// How much a tenant may have in a cache, in bytes.
    pub(crate) tenant_bytes: u64,
}

impl Wanted<'_> {
    fn most(&self) -> usize {
        let quarter = usize::try_from(self.tenant_bytes / 4).unwrap_or(usize::MAX);
        self.most.min(quarter).min(LARGEST)
    }
}

impl SharedReplies {
    /// What the configuration says, if a tool shares its replies; `before` again, with its connection, when that has not
    /// changed.
    pub(crate) fn open(
        config: &Config,
        environment: &Environment,
        keys: &Arc<ReplyKeys>,
        clock: &Clock,
        before: Option<Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, SharedError> {
        let shares = |tool: &crate::config::ToolConfig| tool.cache.as_ref().is_some_and(|cache| cache.shared);
        if !config.tools.iter().any(|tool| shares(tool.get_ref())) {
            return Ok(None);
        }
        let Some(place) = Place::read(config, environment)? else { return Ok(None) };
        if let Some(before) = before
            && before.place == place
        {
            return Ok(Some(before));
        }
        let link = place.link(&REPLIES)?;
        Ok(Some(Arc::new(Self {
            link,
            place,
            keys: Arc::clone(keys),
            keep: Script::new(include_str!("keep.lua")),
            clock: clock.clone(),
            counts: Counts::default(),
        })))
    }

    /// Sees to it that there is a connection before it is needed.
    pub(crate) fn connect(&self) {
        self.link.connect();
    }

    /// How long a call may wait for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.place.settings().timeout
    }

    /// A reply, and how long it may still be used. Nothing is found for whatever reason there is.
    pub(crate) async fn find(&self, wanted: &Wanted<'_>) -> Option<(String, Duration)> {
        let most = UNTIL_LEN + wanted.most() + REPLY_OVERHEAD;
        let turn = self.turn(wanted)?;
        let mut command = redis::cmd("GETRANGE");
        // One byte more, to see that it is too long; and never more, whatever stands there.
        command.arg(self.key(&wanted.name)).arg(0).arg(most);
        let answer: Option<Vec<u8>> = self.link.ask(self.link.command(&command)).await;
        turn.end(answer.is_some());
        let sealed = answer?;
        if sealed.is_empty() {
            self.counts.misses.fetch_add(1, Relaxed);
            return None;
        }
        let found = (sealed.len() <= most).then(|| self.opened(wanted, &sealed)).flatten();
        let count = if found.is_some() { &self.counts.hits } else { &self.counts.unreadable };
        count.fetch_add(1, Relaxed);
        found
    }

    /// Keeps a reply, if there is room; whoever comes for it finds it, or does not.
    pub(crate) async fn keep(&self, wanted: &Wanted<'_>, text: &str) {
        if text.len() > wanted.most() {
            return;
        }
        let Some(sealed) = self.sealed(wanted, text) else { return };
        let Some(turn) = self.turn(wanted) else { return };
        let (key, count) = (self.key(&wanted.name), self.count_key(wanted));
        let ttl = milliseconds(wanted.ttl);
        // Two stretches may be in Redis at once.
        let half = wanted.tenant_bytes / 2;
        let kept: Option<bool> = self
            .link
            .ask(self.link.run(&self.keep, |command| {
                command.arg(2).arg(&key).arg(&count).arg(&sealed).arg(ttl).arg(ttl).arg(half);
            }))
            .await;
        turn.end(kept.is_some());
        match kept {
            Some(true) => self.counts.kept.fetch_add(1, Relaxed),
            Some(false) => self.counts.full.fetch_add(1, Relaxed),
            None => 0,
        };
    }

    fn turn<'w>(&self, wanted: &Wanted<'w>) -> Option<Turn<'w>> {
        let turn = wanted.asking.begin(Instant::now());
        if turn.is_none() {
            self.counts.passed.fetch_add(1, Relaxed);
        }
        turn
    }

    /// The braces have a cluster keep what belongs to one life of a tenant together.
    fn key(&self, name: &ReplyName<'_>) -> String {
        let group = self.keys.group(name.tenant, name.life);
        format!("{}:{{{group}}}:reply:{}", self.place.settings().prefix, self.keys.name(name))
    }

    /// What counts the bytes that were stored for so long.
    fn count_key(&self, wanted: &Wanted<'_>) -> String {
        let group = self.keys.group(wanted.name.tenant, wanted.name.life);
        format!("{}:{{{group}}}:stored:{}", self.place.settings().prefix, milliseconds(wanted.ttl))
    }

    fn sealed(&self, wanted: &Wanted<'_>, text: &str) -> Option<Vec<u8>> {
        let until = self.clock.since_epoch().checked_add(wanted.ttl)?;
        let until = milliseconds(until).to_be_bytes();
        self.keys.seal(&wanted.name, &[until.as_slice(), text.as_bytes()].concat())
    }

    fn opened(&self, wanted: &Wanted<'_>, sealed: &[u8]) -> Option<(String, Duration)> {
        let plain = self.keys.open(&wanted.name, sealed)?;
        let (until, text) = plain.split_first_chunk::<UNTIL_LEN>()?;
        let until = Duration::from_millis(u64::from_be_bytes(*until));
        // Whoever can write to Redis can put an old value back; its time is sealed with it.
        let left = until.checked_sub(self.clock.since_epoch()).filter(|left| !left.is_zero())?;
        if left > wanted.ttl.saturating_add(CLOCKS) {
            return None;
        }
        Some((String::from_utf8(text.to_vec()).ok()?, left.min(wanted.ttl)))
    }

    /// In the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        let Counts { hits, misses, unreadable, kept, full, passed } = &self.counts;
        let mut text = self.link.health.render(Instant::now());
        let rows = [
            ("reads_total", "Replies that were looked for", "hit", hits),
            ("reads_total", "", "miss", misses),
            ("reads_total", "", "unreadable", unreadable),
            ("writes_total", "Replies that were to be kept", "stored", kept),
            ("writes_total", "", "full", full),
            ("not_asked_total", "Times that nobody was asked", "passed", passed),
        ];
        for (name, help, result, count) in rows {
            if !help.is_empty() {
                text.push_str(&format!(
                    "# HELP partywall_shared_cache_{name} {help}.\n# TYPE partywall_shared_cache_{name} counter\n"
                ));
            }
            text.push_str(&format!(
                "partywall_shared_cache_{name}{{result=\"{result}\"}} {}\n",
                count.load(Relaxed)
            ));
        }
        text
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// One tenant's questions in this process.
#[derive(Default)]
pub(crate) struct Asking {
    under_way: AtomicUsize,
    silence: Mutex<Silence>,
}

/// Questions without an answer, one after the other.
#[derive(Default)]
struct Silence {
    times: u32,
    again: Option<Instant>,
}

impl Asking {
    /// Whether one more question may be asked now.
    fn begin(&self, now: Instant) -> Option<Turn<'_>> {
        let before = self.under_way.fetch_add(1, Relaxed);
        let turn = Turn(self);
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        if before >= MOST_AT_ONCE || silence.again.is_some_and(|again| now < again) {
            return None;
        }
        if silence.times > 0 {
            // One tries it for all; the others do not wait with it.
            silence.again = Some(now + silence.pause());
        }
        drop(silence);
        Some(turn)
    }
}

impl Silence {
    fn pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.times.saturating_sub(1).min(10)).min(LAST_PAUSE)
    }
}

/// One question of a tenant that is under way.
struct Turn<'a>(&'a Asking);

impl Turn<'_> {
    /// There was an answer, or none in time.
    fn end(self, answered: bool) {
        let mut silence = self.0.silence.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            *silence = Silence::default();
        } else {
            silence.times = silence.times.saturating_add(1);
            silence.again = Some(Instant::now() + silence.pause());
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
