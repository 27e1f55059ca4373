//! The time, as something a test can set.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

/// Where the gateway reads the wall clock, which may be set forward and back at any time.
#[derive(Clone)]
pub struct Clock(Option<Arc<Given>>);

/// A clock of somebody else's, and the latest that it ever said.
struct Given {
    now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    latest: AtomicU64,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that asks `now` each time.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Given { now: Box::new(now), latest: AtomicU64::new(0) })))
    }

    /// Seconds since 1970, never negative.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.since_epoch().as_secs()
    }

    /// Seconds from some beginning that never go back, whatever is done to the wall clock: for what ends with the
    /// process.
    pub(crate) fn steady_seconds(&self) -> u64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            None => START.elapsed().as_secs(),
            Some(given) => {
                let now = self.unix_seconds();
                given.latest.fetch_max(now, Relaxed).max(now)
            }
        }
    }

    /// Time since 1970; zero for a clock set before that.
    #[must_use]
    pub fn since_epoch(&self) -> Duration {
        let now = match &self.0 {
            Some(given) => (given.now)(),
            None => SystemTime::now(),
        };
        now.duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// The clock that goes on while the machine is asleep, which [`Instant`]'s does not on Linux.
#[cfg(target_os = "linux")]
const SINCE_BOOT: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

/// The time since the machine started, however long it was asleep.
pub(crate) fn since_boot() -> Duration {
    let now = clock_gettime(SINCE_BOOT);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const ASKED: &str = "PARTYWALL_TEST_SINCE_BOOT";

    /// What a machine looks like that slept for a day: no process ran, and it started a day earlier.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_that_the_machine_slept_is_counted() {
        if std::env::var_os(ASKED).is_some() {
            return println!("\nsince boot: {}", since_boot().as_secs());
        }
        let child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--fork", "--time", "--boottime", "86400"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "clock::tests::the_time_that_the_machine_slept_is_counted"])
            .env(ASKED, "")
            .output();
        // Where users may not make such a thing, what is left to look at is which clock it is.
        let Some(child) = child.ok().filter(|child| child.status.success()) else {
            assert!(matches!(SINCE_BOOT, ClockId::Boottime));
            return;
        };
        let said = String::from_utf8(child.stdout).unwrap();
        let said = said.lines().find_map(|line| line.strip_prefix("since boot: ")).expect(&said);
        assert!(said.parse::<u64>().unwrap() >= since_boot().as_secs() + 86_400, "{said}");
    }

    #[test]
    fn steady_time_does_not_go_back() {
        let hand = Arc::new(AtomicU64::new(1000));
        let read = Arc::clone(&hand);
        let clock = Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(read.load(Relaxed)));
        let mut seen = Vec::new();
        for now in [1000, 2000, 500, 1999, 2001] {
            hand.store(now, Relaxed);
            seen.push((clock.unix_seconds(), clock.steady_seconds()));
        }
        assert_eq!(seen, [(1000, 1000), (2000, 2000), (500, 2000), (1999, 2000), (2001, 2001)]);
        assert!(Clock::system().steady_seconds() < Clock::system().unix_seconds());
    }
}
