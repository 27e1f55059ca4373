//! The ambient form of the context: who calls, anywhere in the async call chain of a request.
//!
//! [`current`] never falls back. Code that runs outside a request gets an error that says what is missing. A task
//! that is started with [`spawn`] runs as the same tenant and ends with the call at the latest.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use partywall_model::{Principal, TenantId};
use tokio::task::JoinHandle;

use crate::admit::{Permit, RequestId};

tokio::task_local! {
    static PERMIT: Permit;
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
    let found = PERMIT.try_with(of);
    #[cfg(test)]
    if found.is_err() && crate::removed::removed("no-fallback") {
        return removed::last().as_ref().map(of).ok_or(NoTenant);
    }
    found.map_err(|_outside| NoTenant)
}

/// Runs a future as the permit's tenant.
pub(crate) fn enter<F: Future>(permit: Permit, future: F) -> impl Future<Output = F::Output> {
    #[cfg(test)]
    if crate::removed::removed("no-fallback") {
        *removed::last() = Some(permit.clone());
    }
    PERMIT.scope(permit, future)
}

/// Starts a task that runs as the same tenant; it is stopped when the handle is dropped, so at the end of the call.
///
/// # Errors
/// [`NoTenant`] outside a request.
pub fn spawn<F>(future: F) -> Result<Spawned<F::Output>, NoTenant>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let permit = PERMIT.try_with(Permit::clone).map_err(|_outside| NoTenant)?;
    #[expect(clippy::disallowed_methods, reason = "this is the scoped spawn: the permit goes along")]
    let handle = tokio::spawn(PERMIT.scope(permit, future));
    Ok(Spawned(handle))
}

/// A task of one call; dropping it stops the task.
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
}
