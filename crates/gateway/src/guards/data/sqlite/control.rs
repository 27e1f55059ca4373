//! The brake of one connection: its time limits, its cancellation, and whose SQL it compiles.
//!
//! One thread works on a connection; others may only ask it to stop. A request to stop names the call it means, so that
//! one that comes late never hits the next caller's statement.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::InterruptHandle;

use super::authorize::Phase;
use crate::guards::data::DataError;

const RUN: u8 = 0;
const TIMED_OUT: u8 = 1;
const CANCELLED: u8 = 2;

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing that may be stopped.
    Idle,
    /// The statement of this call.
    Running(u64),
}

/// Why a call is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its time is over.
    Time,
    /// Nobody waits for it.
    Cancelled,
}

/// Shared by a connection's hooks, the thread that works on it, and whoever may stop it.
pub(super) struct Control {
    phase: AtomicU8,
    stop: AtomicU8,
    origin: Instant,
    /// Nanoseconds after `origin`.
    deadline: AtomicU64,
    /// The same for work that must not take long; it ends in being done again elsewhere and not in a refusal.
    budget: AtomicU64,
    /// Whether something heavy was compiled.
    heavy: AtomicBool,
    stage: Mutex<Stage>,
    interrupt: InterruptHandle,
}

impl Control {
    pub(super) fn new(interrupt: InterruptHandle) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Declared.code()),
            stop: AtomicU8::new(RUN),
            origin: Instant::now(),
            deadline: AtomicU64::new(u64::MAX),
            budget: AtomicU64::new(u64::MAX),
            heavy: AtomicBool::new(false),
            stage: Mutex::new(Stage::Idle),
            interrupt,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::from_code(self.phase.load(Ordering::Relaxed))
    }

    /// Runs `work` in a phase and goes back to the strictest one, also when it panics.
    pub(super) fn during<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        struct Back<'a>(&'a AtomicU8);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.store(Phase::Declared.code(), Ordering::Relaxed);
            }
        }
        let back = Back(&self.phase);
        self.phase.store(phase.code(), Ordering::Relaxed);
        let result = work();
        drop(back);
        result
    }

    /// Runs `work`, which is stopped after `most`.
    pub(super) fn within<T>(&self, most: Duration, work: impl FnOnce() -> T) -> T {
        struct Back<'a>(&'a AtomicU64);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.store(u64::MAX, Ordering::Relaxed);
            }
        }
        let back = Back(&self.budget);
        self.budget.store(nanoseconds(self.origin.elapsed() + most), Ordering::Relaxed);
        let result = work();
        drop(back);
        result
    }

    /// Compiles with `work` and tells whether nothing heavy was in it.
    pub(super) fn weighing<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        self.heavy.store(false, Ordering::Relaxed);
        let result = work();
        (result, !self.heavy.load(Ordering::Relaxed))
    }

    /// Something heavy is being compiled.
    pub(super) fn note_heavy(&self) {
        self.heavy.store(true, Ordering::Relaxed);
    }

    /// Whether the running statement must stop now; asked again and again while it runs.
    pub(super) fn brakes(&self) -> bool {
        let end = self.deadline.load(Ordering::Relaxed).min(self.budget.load(Ordering::Relaxed));
        self.stop.load(Ordering::Relaxed) != RUN
            || (end != u64::MAX && nanoseconds(self.origin.elapsed()) >= end)
    }

    /// A call begins.
    pub(super) fn start(&self, call: u64, deadline: Instant) {
        let mut stage = self.lock();
        let after = nanoseconds(deadline.saturating_duration_since(self.origin));
        self.deadline.store(after, Ordering::Relaxed);
        self.stop.store(RUN, Ordering::Relaxed);
        *stage = Stage::Running(call);
    }

    /// Asks a call to stop; nothing happens when it is over or is being committed.
    pub(super) fn stop(&self, call: u64, why: Why) {
        let stage = self.lock();
        if *stage == Stage::Running(call) {
            let code = match why {
                Why::Time => TIMED_OUT,
                Why::Cancelled => CANCELLED,
            };
            // The first reason stays.
            let _already = self.stop.compare_exchange(RUN, code, Ordering::Relaxed, Ordering::Relaxed);
            self.interrupt.interrupt();
        }
    }

    /// Ends the part of a call that can be stopped: either it was stopped and must roll back, or it goes on to its end.
    pub(super) fn finish(&self) -> Result<(), DataError> {
        let mut stage = self.lock();
        let verdict = self.check();
        *stage = Stage::Idle;
        self.deadline.store(u64::MAX, Ordering::Relaxed);
        self.stop.store(RUN, Ordering::Relaxed);
        verdict
    }

    /// Whether the call may go on.
    pub(super) fn check(&self) -> Result<(), DataError> {
        match self.stop.load(Ordering::Relaxed) {
            RUN if self.late() => Err(DataError::TimedOut),
            RUN => Ok(()),
            TIMED_OUT => Err(DataError::TimedOut),
            _ => Err(DataError::Cancelled),
        }
    }

    fn late(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        deadline != u64::MAX && nanoseconds(self.origin.elapsed()) >= deadline
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
