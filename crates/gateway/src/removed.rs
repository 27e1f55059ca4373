//! Guards that this crate's own tests take out, one at a time, to show that each is needed and that a probe sees it go.
//!
//! Only code that is compiled for those tests has the hooks: a release has no switch that turns a guard off.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

static ARMED: AtomicBool = AtomicBool::new(false);
static GUARD: OnceLock<String> = OnceLock::new();

/// Takes a guard out for the rest of the process.
pub(crate) fn take_out(guard: &str) {
    GUARD.get_or_init(|| guard.to_owned());
    ARMED.store(true, Ordering::SeqCst);
}

/// Whether a guard is taken out.
pub(crate) fn removed(guard: &str) -> bool {
    ARMED.load(Ordering::Relaxed) && GUARD.get().is_some_and(|out| out == guard)
}
