//! The ambient form of the context: who calls, anywhere in the async call chain of a request.
//!
//! [`current`] never falls back. Code that runs outside a request gets an error that says what is missing. A task
//! that is started with [`spawn`] runs as the same tenant and ends with the call at the latest.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use partywall_model::{Principal, TenantId};
use tokio::task::{AbortHandle, JoinHandle};

use crate::admit::{Permit, RequestId};

tokio::task_local! {
    static HERE: Here;
}

/// Where code of a call runs: for whom, and the tasks that end with the call.
#[derive(Clone)]
struct Here {
    permit: Permit,
    tasks: Arc<Mutex<Tasks>>,
}

/// The tasks of one call.
#[derive(Default)]
struct Tasks {
    started: Vec<AbortHandle>,
    /// How many there may be before those that have ended are let go of.
    room: usize,
    ended: bool,
}

impl Here {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    fn add(&mut self, task: AbortHandle) {
        if self.ended {
            // It was started by another task of the call, just when the call ended.
            task.abort();
            return;
        }
        if self.started.len() >= self.room {
            self.started.retain(|task| !task.is_finished());
            self.room = 2 * self.started.len().max(8);
        }
        self.started.push(task);
    }
}

/// Ends the tasks of a call when it is dropped.
struct End(Here);

impl Drop for End {
    fn drop(&mut self) {
        let mut tasks = self.0.tasks();
        tasks.ended = true;
        for task in tasks.started.drain(..) {
            task.abort();
        }
    }
}

/// Code asked for the tenant where no request is being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no tenant here: this code runs outside a request. Call it from a tool, or from a task started with \
     partywall_gateway::context::spawn; a task started with tokio::spawn has no tenant"
)]
pub struct NoTenant;

/// Who calls, as far as the ambient context tells.
#[derive(Debug, Clone)]
pub struct Current {
    principal: Arc<Principal>,
    request: RequestId,
}

impl Current {
    /// The caller's tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.principal.tenant
    }

    /// The caller.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The number of the request.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }
}

/// Who calls.
///
/// # Errors
/// [`NoTenant`] outside a request; there is no default tenant.
pub fn current() -> Result<Current, NoTenant> {
    let of =
        |permit: &Permit| Current { principal: Arc::clone(permit.principal()), request: permit.request() };
    let found = HERE.try_with(|here| of(&here.permit));
    #[cfg(test)]
    if found.is_err() && crate::removed::removed("no-fallback") {
        return removed::last().as_ref().map(of).ok_or(NoTenant);
    }
    found.map_err(|_outside| NoTenant)
}

/// Runs a future as the permit's tenant; the tasks that it starts with [`spawn`] end with it.
pub(crate) fn enter<F: Future>(permit: Permit, future: F) -> impl Future<Output = F::Output> {
    #[cfg(test)]
    if crate::removed::removed("no-fallback") {
        *removed::last() = Some(permit.clone());
    }
    let here = Here { permit, tasks: Arc::default() };
    let end = End(here.clone());
    HERE.scope(here, async move {
        let _end = end;
        future.await
    })
}

/// Starts a task that runs as the same tenant; it is stopped when the handle is dropped, and at the end of the call
/// wherever the handle is then.
///
/// # Errors
/// [`NoTenant`] outside a request.
pub fn spawn<F>(future: F) -> Result<Spawned<F::Output>, NoTenant>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let here = HERE.try_with(Here::clone).map_err(|_outside| NoTenant)?;
    #[expect(clippy::disallowed_methods, reason = "this is the scoped spawn: the permit goes along")]
    let handle = tokio::spawn(HERE.scope(here.clone(), future));
    here.tasks().add(handle.abort_handle());
    Ok(Spawned(handle))
}

/// A task of one call; dropping it stops the task, and so does the end of the call.
#[derive(Debug)]
pub struct Spawned<T>(JoinHandle<T>);

/// The task panicked or was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task ended without a result")]
pub struct TaskEnded;

impl<T> Future for Spawned<T> {
    type Output = Result<T, TaskEnded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_join| TaskEnded)
    }
}

impl<T> Drop for Spawned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whoever called last, for the tests in which code outside a request falls back to it.
#[cfg(test)]
mod removed {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use crate::admit::Permit;

    static LAST: Mutex<Option<Permit>> = Mutex::new(None);

    pub(super) fn last() -> MutexGuard<'static, Option<Permit>> {
        LAST.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn outside_a_request_there_is_no_tenant() {
        assert_eq!(current().err(), Some(NoTenant));
        assert!(spawn(async {}).is_err());
    }

    /// A tool may keep the handle where it likes: in itself, in a static, in the tenant's state.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_ends_with_its_call_whoever_has_the_handle() {
        let permit = Permit::for_test("acme", 1);
        let held = Arc::new(());
        let (kept, inner) = enter(permit.clone(), {
            let held = Arc::clone(&held);
            async move {
                let (tell, told) = tokio::sync::oneshot::channel();
                let task = spawn(async move {
                    let _held = held;
                    // One that a task starts is the call's too.
                    let inner = spawn(std::future::pending::<()>()).expect("in a call");
                    let _gone = tell.send(inner);
                    std::future::pending::<()>().await;
                });
                (task.expect("in a call"), told.await.expect("started"))
            }
        })
        .await;
        let ended = async { (kept.await, inner.await) };
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), ended).await;
        assert_eq!(ended, Ok((Err(TaskEnded), Err(TaskEnded))));
        assert_eq!(Arc::strong_count(&held), 1, "what it held is free again");
        // What ends by itself is not kept in mind.
        let many = async {
            for _ in 0..1000 {
                spawn(async {}).expect("in a call").await.expect("ends");
            }
            HERE.with(|here| here.tasks().started.len())
        };
        assert!(enter(permit, many).await < 100);
    }
}
