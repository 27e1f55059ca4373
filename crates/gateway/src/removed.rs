//! Guards that this crate's own tests take out, one at a time, to show that each is needed and that a probe sees it go.
//!
//! Only code that is compiled for those tests has the hooks: a release has no switch that turns a guard off.

use std::{
    collections::HashMap,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
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

/// Answers a request as a process does that finds waiting requests by their ids: with what the last of that id was answered.
pub(crate) async fn answer_by_id(request: &str, answer: String) -> String {
    static WAITING: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);
    let id = serde_json::from_str::<serde_json::Value>(request).ok();
    let Some(id) = id.and_then(|request| request.get("id").map(ToString::to_string)) else { return answer };
    let waiting = |id: &str, answer: Option<&String>| {
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.get_or_insert_default();
        match answer {
            Some(answer) => waiting.insert(id.to_owned(), answer.clone()),
            None => waiting.get(id).cloned(),
        }
    };
    waiting(&id, Some(&answer));
    // Answers of the same moment meet.
    tokio::time::sleep(Duration::from_millis(3)).await;
    waiting(&id, None).unwrap_or(answer)
}
