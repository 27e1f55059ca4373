//! A bounded number of places, and a fair queue before them.
//!
//! Who finds a place free takes it in one atomic step. Who does not waits in a line; each tenant has a line of its
//! own, of bounded length. A place that comes free goes to the lines in turn, so a long line does not make a short one
//! slower. Who gives up, or whose client goes away, leaves the line or gives the place back.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Instant,
};

use tokio::sync::oneshot;

/// A number of places that calls take and give back.
pub(crate) struct Gate {
    /// Twice the number of places that are taken; the lowest bit says that the queue must be asked.
    taken: AtomicUsize,
    /// Twice the number of places there are.
    most: AtomicUsize,
    queue: Mutex<Queue>,
}

const ASK: usize = 1;
const ONE: usize = 2;

#[derive(Default)]
struct Queue {
    /// Those who wait, first come first. A line is here exactly as long as it stands once in `turns`.
    lines: BTreeMap<u64, VecDeque<Waiter>>,
    turns: VecDeque<u64>,
    waiting: usize,
    tickets: u64,
}

struct Waiter {
    ticket: u64,
    call: oneshot::Sender<()>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// As many wait as may.
    Full,
    /// None came free in time.
    Late,
}

/// A place that is taken; given back when dropped.
pub(crate) struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Gate {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let (taken, most) = (AtomicUsize::new(0), AtomicUsize::new(doubled(most)));
        Arc::new(Self { taken, most, queue: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place if one is free and nobody waits for it.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Place> {
        let most = self.most.load(Relaxed);
        let step = |taken: usize| (taken & ASK == 0 && taken < most).then(|| taken + ONE);
        self.taken.fetch_update(AcqRel, Relaxed, step).ok().map(|_before| Place(Arc::clone(self)))
    }

    /// Takes a place, waiting for one in this line until the deadline.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        line: u64,
        longest: usize,
        deadline: Instant,
    ) -> Result<Place, NoPlace> {
        let mut waiting = match self.join(line, longest)? {
            Joined::In(place) => return Ok(place),
            Joined::Waiting(waiting) => waiting,
        };
        match tokio::time::timeout_at(deadline.into(), &mut waiting.called).await {
            Ok(Ok(())) => Ok(waiting.into_place()),
            Ok(Err(_)) | Err(_) => Err(NoPlace::Late),
        }
    }

    fn join(self: &Arc<Self>, line: u64, longest: usize) -> Result<Joined, NoPlace> {
        let mut queue = self.lock();
        // Whoever leaves from here on comes to the lock.
        let taken = self.taken.fetch_or(ASK, AcqRel);
        if queue.waiting == 0 && (taken & !ASK) < self.most.load(Relaxed) {
            // Somebody left in between.
            self.taken.fetch_add(ONE, AcqRel);
            self.taken.fetch_and(!ASK, AcqRel);
            return Ok(Joined::In(Place(Arc::clone(self))));
        }
        if queue.lines.get(&line).map_or(0, VecDeque::len) >= longest {
            self.settle(&mut queue);
            return Err(NoPlace::Full);
        }
        let (call, called) = oneshot::channel();
        let ticket = queue.push(line, call);
        Ok(Joined::Waiting(Waiting { gate: Arc::clone(self), line, ticket, called, done: false }))
    }

    fn leave(&self) {
        if self.taken.fetch_sub(ONE, AcqRel) & ASK != 0 {
            self.call_next(&mut self.lock());
        }
    }

    /// Changes how many places there are; those that are taken stay taken.
    pub(crate) fn resize(&self, most: usize) {
        if self.most.load(Relaxed) != doubled(most) {
            let mut queue = self.lock();
            self.most.store(doubled(most), Relaxed);
            self.call_next(&mut queue);
        }
    }

    /// Gives free places to those who wait.
    fn call_next(&self, queue: &mut Queue) {
        while self.taken.load(Acquire) & !ASK < self.most.load(Relaxed) {
            let Some(waiter) = queue.pop() else { break };
            self.taken.fetch_add(ONE, AcqRel);
            // Who gave up meanwhile finds itself called and gives the place back.
            let _gone = waiter.call.send(());
        }
        self.settle(queue);
    }

    /// Lets the next ones in without asking when nobody waits.
    fn settle(&self, queue: &mut Queue) {
        if queue.waiting == 0 {
            queue.lines.clear();
            queue.turns.clear();
            self.taken.fetch_and(!ASK, AcqRel);
        }
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed) / ONE
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        if self.taken.load(Acquire) & ASK == 0 { 0 } else { self.lock().waiting }
    }
}

fn doubled(most: usize) -> usize {
    most.clamp(1, usize::MAX / 4) * ONE
}

impl Queue {
    fn push(&mut self, line: u64, call: oneshot::Sender<()>) -> u64 {
        self.tickets += 1;
        self.waiting += 1;
        let ticket = self.tickets;
        let turns = &mut self.turns;
        let waiters = self.lines.entry(line).or_insert_with(|| {
            turns.push_back(line);
            VecDeque::new()
        });
        waiters.push_back(Waiter { ticket, call });
        ticket
    }

    /// The first of the line whose turn it is.
    fn pop(&mut self) -> Option<Waiter> {
        while let Some(line) = self.turns.pop_front() {
            let Some(waiters) = self.lines.get_mut(&line) else { continue };
            let first = waiters.pop_front();
            if waiters.is_empty() {
                self.lines.remove(&line);
            } else {
                self.turns.push_back(line);
            }
            if first.is_some() {
                self.waiting -= 1;
                return first;
            }
        }
        None
    }

    /// Takes somebody out of a line; whether it was still there. The line keeps its turn, so that nobody gains by
    /// leaving and coming back.
    fn remove(&mut self, line: u64, ticket: u64) -> bool {
        let Some(waiters) = self.lines.get_mut(&line) else { return false };
        let Ok(at) = waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket) else { return false };
        self.waiting -= 1;
        waiters.remove(at).is_some()
    }
}

enum Joined {
    In(Place),
    Waiting(Waiting),
}

/// Somebody in a line.
struct Waiting {
    gate: Arc<Gate>,
    line: u64,
    ticket: u64,
    called: oneshot::Receiver<()>,
    done: bool,
}

impl Waiting {
    fn into_place(mut self) -> Place {
        self.done = true;
        Place(Arc::clone(&self.gate))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut queue = self.gate.lock();
        if queue.remove(self.line, self.ticket) {
            self.gate.settle(&mut queue);
        } else {
            // It was called and does not come: the place is the next one's.
            drop(queue);
            self.gate.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use futures_util::{FutureExt, future::join_all};

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test]
    async fn a_line_is_served_in_order_and_is_bounded() {
        let gate = Gate::new(1);
        let place = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        let mut first = Box::pin(gate.enter(1, 2, later()));
        let mut second = Box::pin(gate.enter(1, 2, later()));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        assert_eq!(gate.enter(1, 2, later()).await.err(), Some(NoPlace::Full));
        assert_eq!(gate.waiting(), 2);
        drop(place);
        assert!(gate.try_enter().is_none(), "nobody gets in before those who wait");
        assert!((&mut second).now_or_never().is_none(), "the second waits for the first");
        drop(first.await.unwrap());
        drop(second.await.unwrap());
        assert_eq!((gate.taken(), gate.waiting()), (0, 0));
        assert!(gate.try_enter().is_some(), "the quick way is open again");
    }

    #[tokio::test]
    async fn lines_take_turns_however_long_they_are() {
        let gate = Gate::new(1);
        let mut place = gate.try_enter();
        // A hundred of the first tenant came before the two of the second.
        let mut flood: Vec<_> = (0..100).map(|_| Box::pin(gate.enter(1, 100, later()))).collect();
        assert!(flood.iter_mut().all(|call| call.now_or_never().is_none()));
        let mut calm: Vec<_> = (0..2).map(|_| Box::pin(gate.enter(2, 100, later()))).collect();
        assert!(calm.iter_mut().all(|call| call.now_or_never().is_none()));
        let mut order = Vec::new();
        for _ in 0..4 {
            drop(place.take());
            let mut all = flood.iter_mut().map(|call| (1, call)).chain(calm.iter_mut().map(|call| (2, call)));
            let (line, entered) =
                all.find_map(|(line, call)| call.now_or_never().map(|entered| (line, entered))).unwrap();
            order.push(line);
            place = entered.ok();
            match line {
                1 => drop(flood.remove(0)),
                _ => drop(calm.remove(0)),
            }
        }
        assert_eq!(order, [1, 2, 1, 2]);
    }

    #[tokio::test]
    async fn who_gives_up_loses_no_place_for_the_others() {
        let gate = Gate::new(1);
        let place = gate.try_enter().unwrap();
        let mut gone = Box::pin(gate.enter(1, 8, later()));
        let mut called = Box::pin(gate.enter(1, 8, later()));
        let mut last = Box::pin(gate.enter(2, 8, later()));
        for call in [&mut gone, &mut called, &mut last] {
            assert!(call.now_or_never().is_none());
        }
        drop(gone);
        assert_eq!(gate.waiting(), 2);
        // The place was handed over and not taken yet.
        drop(place);
        drop(called);
        let place = last.now_or_never().unwrap().unwrap();
        assert_eq!((gate.taken(), gate.waiting()), (1, 0));
        let late = gate.enter(1, 8, Instant::now()).await;
        assert_eq!((late.err(), gate.waiting()), (Some(NoPlace::Late), 0));
        drop(place);
        assert_eq!(gate.taken(), 0);
    }

    #[tokio::test]
    async fn the_number_of_places_can_change() {
        let gate = Gate::new(1);
        let held = gate.try_enter().unwrap();
        let mut waits = pin!(gate.enter(1, 8, later()));
        assert!((&mut waits).now_or_never().is_none());
        gate.resize(2);
        let second = waits.await.unwrap();
        gate.resize(1);
        drop(held);
        assert!(gate.try_enter().is_none(), "what was taken counts");
        drop(second);
        assert!(gate.try_enter().is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn under_a_storm_every_place_comes_back() {
        let gate = Gate::new(3);
        let most = Arc::new(AtomicUsize::new(0));
        let calls = (0..64_u64).map(|n| {
            let (gate, most) = (Arc::clone(&gate), Arc::clone(&most));
            #[expect(clippy::disallowed_methods, reason = "the callers of the test")]
            tokio::spawn(async move {
                for round in 0..200 {
                    let call = gate.enter(n % 5, 64, later());
                    if (n + round) % 3 == 0 {
                        // Given up at any moment.
                        tokio::select! { biased; _ = call => {} , () = tokio::task::yield_now() => {} }
                        continue;
                    }
                    let place = call.await.unwrap();
                    most.fetch_max(gate.taken(), Relaxed);
                    tokio::task::yield_now().await;
                    drop(place);
                }
            })
        });
        assert!(join_all(calls).await.iter().all(Result::is_ok));
        assert_eq!((gate.taken(), gate.waiting()), (0, 0));
        assert_eq!(gate.taken.load(Relaxed), 0, "the quick way is open");
        assert!(most.load(Relaxed) <= 3);
    }
}
