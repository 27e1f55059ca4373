//! What an HTTP/2 client has been given to read and does not take.
//!
//! In HTTP/1 a reply that nobody takes waits in the socket, where [`super::patience`] sees it. In HTTP/2 the client says
//! how much of each reply it takes: one that allows nothing keeps the reply in our memory, and nothing of it ever waits
//! in the socket. So each body of a connection is watched by itself: pieces of it that were handed over for sending
//! must go on being taken, and whoever takes none for a while loses the connection. There is no way to end one body
//! alone, since hyper looks at a body again only when its last piece has been taken.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{admit::Permit, guards::capacity::seats::Busy};

/// The bodies of one connection that are not taken yet.
pub(crate) struct Unread {
    patience: Duration,
    table: Mutex<Table>,
    begun: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    bodies: BTreeMap<u64, Begun>,
    /// Whether somebody waits for the earliest deadline, and needs not be told of a later one.
    watched: bool,
}

/// One body.
struct Begun {
    /// How many pieces were handed over and are not taken.
    pieces: usize,
    /// When one was handed over while there was none, or was taken.
    since: Instant,
    late: bool,
    /// The connection is busy until the body has been taken or is late.
    busy: Option<Busy>,
}

impl Begun {
    /// When it will be late, unless it is already or waits for nobody.
    fn deadline(&self, patience: Duration) -> Option<Instant> {
        (self.pieces > 0 && !self.late).then(|| self.since + patience)
    }
}

/// A body under way; the last of its pieces to be taken gives its call's place back.
pub(crate) struct Reading {
    unread: Arc<Unread>,
    number: u64,
    _permit: Option<Permit>,
}

/// A piece of a body.
struct Piece {
    bytes: Bytes,
    reading: Arc<Reading>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.reading.change(|body| {
            body.pieces = body.pieces.saturating_sub(1);
            body.since = Instant::now();
        });
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _gone = self.unread.lock().bodies.remove(&self.number);
    }
}

impl Reading {
    fn change(&self, change: impl FnOnce(&mut Begun)) {
        let mut table = self.unread.lock();
        if let Some(body) = table.bodies.get_mut(&self.number) {
            change(body);
        }
    }

    /// The bytes as a piece of this body, which must be taken in time.
    pub(crate) fn piece(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.change(|body| {
            if body.pieces == 0 {
                body.since = Instant::now();
            }
            body.pieces += 1;
        });
        self.unread.tell();
        Bytes::from_owner(Piece { bytes, reading: Arc::clone(self) })
    }
}

impl Unread {
    pub(crate) fn new(patience: Duration) -> Arc<Self> {
        Arc::new(Self { patience, table: Mutex::default(), begun: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch a body, which holds its call's place and keeps the connection busy for as long.
    pub(crate) fn watch(self: &Arc<Self>, permit: Option<Permit>, busy: Option<Busy>) -> Arc<Reading> {
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        let begun = Begun { pieces: 0, since: Instant::now(), late: false, busy };
        let _none = table.bodies.insert(number, begun);
        drop(table);
        Arc::new(Reading { unread: Arc::clone(self), number, _permit: permit })
    }

    /// Has the next deadline looked at, if nobody waits for one.
    fn tell(&self) {
        let watched = std::mem::replace(&mut self.lock().watched, true);
        if !watched {
            self.begun.notify_one();
        }
    }

    /// Waits until a body is late. It does not keep the connection busy any more, and is not waited for again.
    pub(crate) async fn late(&self) {
        loop {
            match self.next() {
                None => self.begun.notified().await,
                Some(deadline) if deadline <= Instant::now() => break,
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            }
        }
        let (mut table, now) = (self.lock(), Instant::now());
        for body in table.bodies.values_mut() {
            if body.deadline(self.patience).is_some_and(|deadline| deadline <= now) {
                body.late = true;
                drop(body.busy.take());
            }
        }
    }

    /// The earliest deadline.
    fn next(&self) -> Option<Instant> {
        let mut table = self.lock();
        let next = table.bodies.values().filter_map(|body| body.deadline(self.patience)).min();
        table.watched = next.is_some();
        next
    }

    /// Whether there is a body that is still being taken.
    pub(crate) fn is_read(&self) -> bool {
        self.lock().bodies.values().any(|body| !body.late)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn piece(reading: &Arc<Reading>) -> Bytes {
        reading.piece(Bytes::from_static(b"a piece"))
    }

    #[tokio::test]
    async fn a_body_that_is_not_taken_is_late_and_one_without_pieces_is_not() {
        let unread = Unread::new(PATIENCE);
        let (silent, stalled) = (unread.watch(None, None), unread.watch(None, None));
        assert!(unread.late().now_or_never().is_none());
        let held = piece(&stalled);
        assert_eq!(held, "a piece");
        let begun = Instant::now();
        unread.late().await;
        assert!(begun.elapsed() >= PATIENCE / 2 && unread.is_read(), "the silent one has time");
        drop(silent);
        assert!(!unread.is_read());
        // It is late once.
        assert!(unread.late().now_or_never().is_none());
        drop((held, stalled));
        assert!(unread.lock().bodies.is_empty());
    }

    #[tokio::test]
    async fn whoever_goes_on_taking_pieces_is_not_late() {
        let unread = Unread::new(PATIENCE);
        let slow = unread.watch(None, None);
        let mut pieces: Vec<_> = (0..4).map(|_| piece(&slow)).collect();
        let begun = Instant::now();
        while pieces.len() > 1 {
            let late = tokio::time::timeout(PATIENCE * 3 / 4, unread.late()).await;
            assert!(late.is_err() || begun.elapsed() > PATIENCE * 4, "the last one was taken just now");
            pieces.pop();
        }
        unread.late().await;
        assert!(begun.elapsed() >= PATIENCE * 2, "four pieces and one time together");
    }
}
