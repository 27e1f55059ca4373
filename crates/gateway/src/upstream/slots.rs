//! What runs for one tenant: at most one process for each upstream, and one conversation for each principal at a URL.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use partywall_model::TenantId;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::watch, task::AbortHandle};

use super::{
    Processes, Upstream, UpstreamError, UpstreamSet,
    declared::{Command, Given, Way},
    folder,
    launch::{Launch, Limits},
    processes::Place,
    session::{AnyLink, Session},
    stdio::{StdioLink, Whose},
};
use crate::{
    admit::{Incarnation, Permit},
    gateway::Services,
    guards::credentials::SecretName,
    tools::{ToolError, http::TenantClient},
};

/// The most conversations of one tenant; each of its callers has one with each server at a URL.
const MOST_CONVERSATIONS: usize = 128;
/// What ended before it ran so long is started again later and later.
const STEADY: Duration = Duration::from_secs(60);
/// The longest that is waited before another start.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What runs for a tenant.
#[derive(Default)]
pub(crate) struct Upstreams {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

/// What a conversation is for.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    upstream: Arc<str>,
    /// Whose it is, if not the whole tenant's: issuer and subject.
    caller: Option<(Arc<str>, Arc<str>)>,
}

/// The place of one conversation.
pub(super) struct Slot {
    pub(super) tenant: TenantId,
    pub(super) life: Incarnation,
    upstream: Arc<str>,
    state: Mutex<State>,
    users: AtomicUsize,
}

struct State {
    running: Option<Running>,
    /// What was replaced or is not wanted any more, for as long as calls use it.
    retired: Vec<Weak<Session>>,
    /// Whether the last start failed.
    failed: bool,
    /// How many of them in a row came to a bad end soon.
    failures: u32,
    /// What is not started again before then, by its digest, and why.
    pause: Option<([u8; 32], Instant, Arc<UpstreamError>)>,
    used: Instant,
    idle: Duration,
}

type Outcome = Option<Result<Arc<Session>, Arc<UpstreamError>>>;

/// What was started.
struct Running {
    /// Of the declaration and the secrets that it was started with.
    digest: [u8; 32],
    declaration: [u8; 32],
    /// Which configuration the call was under that started it.
    revision: u64,
    since: Instant,
    outcome: watch::Receiver<Outcome>,
    starting: AbortHandle,
}

impl Running {
    fn outcome(&self) -> Outcome {
        self.outcome.borrow().clone()
    }
}

impl Drop for Running {
    /// Whatever was started ends when no call uses it any more.
    fn drop(&mut self) {
        self.starting.abort();
    }
}

/// A conversation while a call uses it.
pub(super) struct InUse {
    session: Arc<Session>,
    _user: User,
}

impl Deref for InUse {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}

/// Counts a user of a slot.
struct User(Arc<Slot>);

impl User {
    fn new(slot: &Arc<Slot>) -> Self {
        slot.users.fetch_add(1, Relaxed);
        slot.state().used = Instant::now();
        Self(Arc::clone(slot))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Relaxed);
        self.0.state().used = Instant::now();
    }
}

/// What a start needs; it may go on when the call that began it has ended.
struct Start {
    services: Arc<Services>,
    upstream: Arc<Upstream>,
    tenant: TenantId,
    life: Incarnation,
    secrets: Vec<(SecretName, SecretString)>,
    most: usize,
    client: Option<Arc<TenantClient>>,
}

impl Upstreams {
    /// The conversation of the permit's tenant with an upstream; it begins when there is none. Where its last start failed, no
    /// longer than `patience` is waited for it.
    pub(super) async fn session(
        &self,
        permit: &Permit,
        upstream: &Arc<Upstream>,
        ends: Instant,
        patience: Option<Duration>,
    ) -> Result<InUse, Arc<UpstreamError>> {
        let secrets = secrets(permit, upstream).await?;
        let slot = self.slot(permit, upstream)?;
        let user = User::new(&slot);
        let mut outcome = slot.running(permit, upstream, secrets)?;
        // The start goes on when nobody waits for it any more.
        let ends = match patience {
            Some(patience) if slot.state().failed => ends.min(Instant::now() + patience),
            _ => ends,
        };
        let ready = tokio::time::timeout_at(ends.into(), outcome.wait_for(Option::is_some)).await;
        let ready = match ready {
            Ok(Ok(outcome)) => outcome.clone(),
            // It was stopped while it started, so nothing was asked of it.
            Ok(Err(_closed)) => return Err(Arc::new(UpstreamError::Forgotten)),
            Err(_elapsed) => return Err(Arc::new(UpstreamError::TimedOut)),
        };
        let session = ready.unwrap_or_else(|| Err(Arc::new(UpstreamError::Ended)))?;
        Ok(InUse { session, _user: user })
    }

    fn slot(&self, permit: &Permit, upstream: &Arc<Upstream>) -> Result<Arc<Slot>, UpstreamError> {
        let caller = match &upstream.way {
            Way::Command(_) => None,
            Way::Url(..) => {
                let principal = permit.principal();
                Some((Arc::clone(&principal.issuer), Arc::clone(&principal.subject)))
            }
        };
        let key = Key { upstream: Arc::clone(&upstream.name), caller };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key) {
            return Ok(Arc::clone(slot));
        }
        if slots.len() >= MOST_CONVERSATIONS {
            let unused = slots.iter().filter(|(_, slot)| slot.users.load(Relaxed) == 0);
            let oldest = unused.min_by_key(|(_, slot)| slot.state().used).map(|(key, _)| key.clone());
            // Those who lose theirs begin another one.
            slots.remove(&oldest.ok_or(UpstreamError::Busy)?);
        }
        let state = State {
            running: None,
            retired: Vec::new(),
            failed: false,
            failures: 0,
            pause: None,
            used: Instant::now(),
            idle: upstream.limits.idle,
        };
        let slot = Arc::new(Slot {
            tenant: permit.tenant().clone(),
            life: permit.incarnation(),
            upstream: Arc::clone(&upstream.name),
            state: Mutex::new(state),
            users: AtomicUsize::new(0),
        });
        slots.insert(key, Arc::clone(&slot));
        Ok(slot)
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs or starts with this declaration and these secrets; it is started when there is nothing, and what was started
    /// with others is ended.
    fn running(
        self: &Arc<Self>,
        permit: &Permit,
        upstream: &Arc<Upstream>,
        secrets: Vec<(SecretName, SecretString)>,
    ) -> Result<watch::Receiver<Outcome>, Arc<UpstreamError>> {
        let services = permit.services();
        let (digest, revision) = (digest_of(upstream, &secrets), services.limits.revision());
        let mut state = self.state();
        state.reap(&services.processes);
        if let Some(running) = &state.running {
            if running.digest == digest {
                return Ok(running.outcome.clone());
            }
            // A call of an earlier configuration does not bring back what the present one has replaced.
            if running.declaration != upstream.declaration && running.revision > revision {
                return Err(Arc::new(UpstreamError::Ended));
            }
            state.retire();
            (state.failures, state.failed, state.pause) = (0, false, None);
        }
        if let Some((paused, until, why)) = &state.pause
            && *paused == digest
            && *until > Instant::now()
        {
            return Err(Arc::clone(why));
        }
        let client = match &upstream.way {
            Way::Command(_) => None,
            Way::Url(..) => Some(permit.resident().client(revision, || TenantClient::new(&services.http))),
        };
        services.processes.watch(self);
        let start = Start {
            services: Arc::clone(services),
            upstream: Arc::clone(upstream),
            tenant: permit.tenant().clone(),
            life: permit.incarnation(),
            secrets,
            most: permit.resident().limits().reply_bytes,
            client,
        };
        let (tell, outcome) = watch::channel(None);
        let starting = begun(async move {
            let begun = start.run().await;
            let _nobody_waits = tell.send(Some(begun.map(Arc::new).map_err(Arc::new)));
        });
        state.idle = upstream.limits.idle;
        state.running = Some(Running {
            digest,
            declaration: upstream.declaration,
            revision,
            since: Instant::now(),
            outcome: outcome.clone(),
            starting,
        });
        Ok(outcome)
    }

    /// Notes what has ended; whether nothing runs here.
    pub(super) fn tidy(&self, processes: &Processes) -> bool {
        let mut state = self.state();
        state.reap(processes);
        state.retired.retain(|session| session.strong_count() > 0);
        state.running.is_none() && state.retired.is_empty()
    }

    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let state = self.state();
        state.running.is_some() && self.users.load(Relaxed) == 0 && state.used + state.idle <= now
    }

    pub(super) fn is_served(&self, upstreams: &UpstreamSet) -> bool {
        let state = self.state();
        let running = state.running.as_ref();
        running.is_none_or(|running| upstreams.has(&self.upstream, &running.declaration, &self.tenant))
    }

    /// Ends what runs, now, whoever uses it.
    pub(super) fn kill(&self) {
        for session in self.taken() {
            session.kill();
        }
    }

    /// Ends what runs, whoever uses it, with a little time to do so by itself.
    pub(super) fn close(&self) {
        for session in self.taken() {
            session.close();
        }
    }

    /// Takes away whatever runs.
    fn taken(&self) -> Vec<Arc<Session>> {
        let mut state = self.state();
        state.retire();
        std::mem::take(&mut state.retired).iter().filter_map(Weak::upgrade).collect()
    }

    /// Has what runs end as soon as no call uses it.
    pub(super) fn retire(&self) {
        self.state().retire();
    }

    /// Since when nobody has used the process that runs here; nothing when there is none, or it has users.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        // One that is being looked at is in use.
        let state = self.state.try_lock().ok()?;
        (self.users.load(Relaxed) == 0 && state.process().is_some()).then_some(state.used)
    }

    /// Ends the process that runs here, unless somebody uses it again; whether it ends.
    pub(super) fn give_way(&self) -> bool {
        let Ok(mut state) = self.state.try_lock() else { return false };
        let unused = self.users.load(Relaxed) == 0 && state.process().is_some();
        if unused {
            state.retire();
        }
        unused
    }
}

impl State {
    /// The process that runs, if it has started.
    fn process(&self) -> Option<Arc<Session>> {
        let session = self.running.as_ref()?.outcome()?.ok()?;
        (session.is_process() && !session.ended()).then_some(session)
    }

    /// Lets go of what runs; it ends as soon as no call uses it.
    fn retire(&mut self) {
        let Some(running) = self.running.take() else { return };
        if let Some(Ok(session)) = running.outcome() {
            self.retired.retain(|session| session.strong_count() > 0);
            self.retired.push(Arc::downgrade(&session));
        }
    }

    /// Lets go of what has ended by itself, or did not start.
    fn reap(&mut self, processes: &Processes) {
        let Some(running) = &self.running else { return };
        // A server at a URL that forgets a conversation costs nobody but itself.
        let forgot = matches!(running.outcome(), Some(Ok(session)) if !session.is_process());
        let (why, ran) = match running.outcome() {
            Some(Err(why)) => (why, false),
            Some(Ok(session)) if session.ended() => {
                let why = "it ended soon after its start, several times, and is started again in a while";
                (Arc::new(UpstreamError::Unreachable(why.to_owned())), true)
            }
            None if running.starting.is_finished() => (Arc::new(UpstreamError::Ended), false),
            _ => return,
        };
        self.failed = !ran;
        // That there was no place says nothing of the server.
        if matches!(*why, UpstreamError::Busy) {
            self.running = None;
            return;
        }
        let steady = running.since.elapsed() >= STEADY;
        self.failures = if steady { 1 } else { self.failures.saturating_add(1) };
        // What ran well and ended is started again at once.
        let waits = if forgot {
            0
        } else if ran {
            self.failures.saturating_sub(1)
        } else {
            self.failures
        };
        let wait = match waits {
            0 => Duration::ZERO,
            n => Duration::from_millis(500 << n.min(7)),
        };
        // Those who wait for a start that takes long and fails do not do so most of the time.
        let wait = if ran { wait } else { wait.max(running.since.elapsed()) }.min(LONGEST_WAIT);
        self.pause = Some((running.digest, Instant::now() + wait, why));
        self.running = None;
        if ran {
            processes.counts().ended.fetch_add(1, Relaxed);
        }
    }
}

impl Start {
    /// Starts it in its time, and tells the operator when it cannot be.
    async fn run(self) -> Result<Session, UpstreamError> {
        let (name, tenant) = (Arc::clone(&self.upstream.name), self.tenant.clone());
        let services = Arc::clone(&self.services);
        let place = match &self.upstream.way {
            Way::Command(_) => Some(services.processes.place(services.settings.upstream_processes).await?),
            Way::Url(..) => None,
        };
        let ends = Instant::now() + self.upstream.limits.start;
        let begun = tokio::time::timeout_at(ends.into(), self.begin(place, ends)).await;
        let begun = begun.unwrap_or(Err(UpstreamError::TimedOut));
        let counts = services.processes.counts();
        match &begun {
            Ok(_) => counts.started.fetch_add(1, Relaxed),
            Err(error) => {
                tracing::warn!(
                    upstream = %name,
                    tenant = %tenant,
                    "an upstream cannot be started: {error}; what a process said is in the log at level debug (`-vv`)"
                );
                counts.failed.fetch_add(1, Relaxed)
            }
        };
        begun
    }

    async fn begin(self, place: Option<Place>, ends: Instant) -> Result<Session, UpstreamError> {
        let Self { services, upstream, tenant, life, secrets, most, client } = self;
        let link = match (&upstream.way, client) {
            (Way::Url(called, _), Some(client)) => {
                let named: Vec<_> = secrets.iter().map(|(name, value)| (name.as_str(), value)).collect();
                AnyLink::Http(called.link(client, &named)?)
            }
            (Way::Url(..), None) => return Err(UpstreamError::Ended),
            (Way::Command(command), _) => {
                let launcher = services.launcher.as_ref().ok_or(UpstreamError::Ended)?;
                let place = place.ok_or(UpstreamError::Busy)?;
                let (known, name) = (Arc::clone(&services), Arc::clone(&upstream.name));
                let of = tenant.clone();
                let made = tokio::task::spawn_blocking(move || {
                    folder::make(&known.registry, &known.settings.data_dir, &of, life, &name)
                });
                let folder = made.await.map_err(|_stopped| UpstreamError::Ended)??;
                let launch = launch(command, &upstream, &tenant, folder, &secrets)?;
                let child = launcher.spawn(&launch, ends).await?;
                let values = secrets.into_iter().map(|(_, value)| value).collect();
                // An answer in JSON, with what stands around it.
                let most = most.max(4 << 20) + (64 << 10);
                let whose = Whose { upstream: Arc::clone(&upstream.name), tenant: tenant.clone() };
                AnyLink::Stdio(StdioLink::new(child, &whose, most, values, place))
            }
        };
        Session::begin(link, &upstream, tenant, ends).await
    }
}

/// What a process of this tenant's is started with.
fn launch(
    command: &Command,
    upstream: &Upstream,
    tenant: &TenantId,
    folder: std::path::PathBuf,
    secrets: &[(SecretName, SecretString)],
) -> Result<Launch, UpstreamError> {
    let unusable = || UpstreamError::Unreachable("the folder's path is not UTF-8".to_owned());
    let path = folder.to_str().ok_or_else(unusable)?.to_owned();
    let filled = |text: &str| text.replace("{tenant_dir}", &path).replace("{tenant}", tenant.as_str());
    let mut env = Vec::new();
    for (name, given) in &command.environment {
        let value = match given {
            Given::Text(text) => SecretString::from(filled(text)),
            Given::Secret(wanted) => {
                let found = secrets.iter().find(|(held, _)| held == wanted);
                found.ok_or_else(|| UpstreamError::MissingSecret(wanted.to_string()))?.1.clone()
            }
        };
        env.push((name.clone(), value));
    }
    let program = command.program.to_str().ok_or_else(unusable)?.to_owned();
    let args = command.arguments.iter().map(|argument| filled(argument)).collect();
    let limits = Limits {
        memory: upstream.limits.memory.0,
        processes: upstream.limits.processes,
        ..Limits::default()
    };
    let (readable, network) = (command.readable.clone(), command.network.clone());
    Ok(Launch { program, args, env, folder, readable, network, limits })
}

/// The tenant's values of the secrets that an upstream is started with.
async fn secrets(
    permit: &Permit,
    upstream: &Upstream,
) -> Result<Vec<(SecretName, SecretString)>, Arc<UpstreamError>> {
    let names: Vec<&SecretName> = match &upstream.way {
        Way::Url(_, names) => names.iter().collect(),
        Way::Command(command) => command
            .environment
            .iter()
            .filter_map(|(_, given)| match given {
                Given::Secret(name) => Some(name),
                Given::Text(_) => None,
            })
            .collect(),
    };
    let mut secrets: Vec<(SecretName, SecretString)> = Vec::new();
    for name in names {
        if secrets.iter().all(|(held, _)| held != name) {
            let value = permit.services().read_secret(permit, name).await.map_err(|error| match error {
                ToolError::MissingSecret(name) => {
                    permit.services().processes.tell_missing(permit.tenant(), &upstream.name, &name);
                    UpstreamError::MissingSecret(name)
                }
                other => UpstreamError::Unreachable(other.to_string()),
            })?;
            secrets.push((name.clone(), value));
        }
    }
    Ok(secrets)
}

/// A digest of what an upstream is started with, so that a secret that was changed is noticed.
fn digest_of(upstream: &Upstream, secrets: &[(SecretName, SecretString)]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&upstream.declaration);
    for (name, value) in secrets {
        for part in [name.as_str(), value.expose_secret()] {
            context.update(&part.len().to_le_bytes());
            context.update(part.as_bytes());
        }
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// Starts a task that may outlive the call that began it, so that the next one finds what it has made.
fn begun(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    #[expect(clippy::disallowed_methods, reason = "its tenant's memory holds it and ends it")]
    tokio::spawn(task).abort_handle()
}
