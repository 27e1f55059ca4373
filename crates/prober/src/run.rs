//! One run: the survey, then every technique that applies, within the time.

use std::time::Duration;

use partywall_model::{Layer, Outcome, Verdict, VerdictStats, Verdicts};
use tokio::{sync::watch, time::Instant};

use crate::{
    Plan, Probe, ProbeError, Protocol, Technique,
    cleanup::{self, Left},
    probes,
    probes::{identity::ended_tenants::restore, routing::all_along::Listeners},
    site::Site,
    survey::{self, shown},
    tally::{SoFar, Tally},
    target::Target,
};

/// The most time for one technique.
const EACH: Duration = Duration::from_secs(40);

/// How long before the run's end no technique goes on, so that what the last one left is still looked at.
const LOOK: Duration = Duration::from_secs(5);

/// From how many refusals as too many a reader is told of them.
const LIMITED: u64 = 50;

/// Who is told how far a run is.
pub trait Progress: Send {
    /// So many techniques will be tried.
    fn planned(&mut self, _techniques: usize) {}
    /// The survey or a technique begins.
    fn begins(&mut self, layer: Option<Layer>, what: &str);
    /// A technique came to a verdict.
    fn verdict(&mut self, verdict: &Verdict);
}

/// Attacks the target as the plan says. When `stop` turns true, what has not been tried is `not-run`, and the rest stands.
///
/// # Errors
///
/// [`ProbeError`] when the plan contradicts itself or the target cannot be attacked at all.
pub async fn run(
    plan: &Plan,
    progress: &mut dyn Progress,
    mut stop: watch::Receiver<bool>,
) -> Result<Verdicts, ProbeError> {
    let began = Instant::now();
    let mut notes = Vec::new();
    progress.begins(None, "what each tenant sees alone");
    let target = Target::new(plan);
    let surveyed = tokio::select! {
        site = survey::survey(plan, &target, &mut notes) => site,
        () = stopped(&mut stop) => {
            Err(ProbeError::Plan("stopped before anything was attacked".to_owned()))
        }
    };
    let mut site = match surveyed {
        Ok(site) => site,
        Err(error) => {
            target.finish().await;
            return Err(error);
        }
    };
    let mut course = Course::default();
    let techniques: Vec<&str> = chosen(plan).iter().map(|(_, technique)| technique.id).collect();
    course.listeners = Listeners::begin(&mut site, &techniques).await;
    let mut verdicts = attacks(&mut site, progress, &mut stop, &mut course).await;
    if !*stop.borrow() {
        left_out(&site, &mut notes).await;
    }
    course.once_more(&site, &stop).await;
    tokio::select! {
        () = tokio::time::sleep(course.listeners.late().min(site.target.left())) => {}
        () = stopped(&mut stop) => {}
    }
    std::mem::take(&mut course.listeners).end(&site, &mut verdicts).await;
    progress.begins(None, "what is still open is ended");
    if let Err(why) = restore(&site).await {
        notes.push(site.redactor.clean(&why));
    }
    target.finish().await;
    if plan.quick {
        notes.push(
            "only the quick profile was run: it finds the most common leaks, and shows no isolation"
                .to_owned(),
        );
    }
    let limited = site.target.limited();
    if limited >= LIMITED {
        notes.push(format!(
            "the target refused {limited} requests as too many (429), which says nothing of tenants: --rate sends fewer a second"
        ));
    }
    if *stop.borrow() {
        notes.push("the run was stopped before its end".to_owned());
    }
    let incomplete = course.incomplete(&site);
    notes.extend(incomplete.iter().map(|why| format!("this run is no pass: {why}")));
    let stats = VerdictStats { requests: site.target.sent(), seconds: began.elapsed().as_secs_f64() };
    let protocols = site.eras().iter().map(|era| era.revision().to_owned()).collect();
    let version = env!("CARGO_PKG_VERSION");
    let verdicts = Verdicts::new(version, shown(plan), protocols, verdicts, stats, notes);
    Ok(Verdicts { incomplete, ..verdicts })
}

/// How a run went, beside its verdicts.
#[derive(Default)]
struct Course {
    /// Who listens for the whole run.
    listeners: Listeners,
    /// Whether the time was up before the last technique had had its turn.
    late: bool,
    /// What was wrong with the target when it was looked at for the last time.
    lost: Option<String>,
}

/// How often a target is looked at again that did not serve a tenant at the end, and after which time.
const AGAIN: (usize, Duration) = (3, Duration::from_secs(1));

impl Course {
    /// Looks at the target once more where it was lost: a limit that was used up, or a start, is over soon.
    async fn once_more(&mut self, site: &Site, stop: &watch::Receiver<bool>) {
        let (times, pause) = AGAIN;
        for _ in 0..times {
            if self.lost.is_none() || *stop.borrow() || site.target.left() < pause {
                return;
            }
            tokio::time::sleep(pause).await;
            self.lost = cleanup::after(site).await.and_then(|left| left.lost());
        }
    }

    /// Why the run is no pass, whatever its verdicts are.
    fn incomplete(self, site: &Site) -> Vec<String> {
        let mut all: Vec<String> = site.unread.iter().map(|why| site.redactor.clean(why)).collect();
        if let Some(why) = self.lost {
            all.push(site.redactor.clean(&format!("at its end the target was not served any more: {why}")));
        }
        if self.late {
            all.push("the time was up before the last technique; --duration gives it more".to_owned());
        }
        all
    }
}

/// How long a list that is asked for after the attacks is waited for.
const LISTED_AGAIN: Duration = Duration::from_secs(2);

/// The most tools that one note names.
const NAMED: usize = 20;

/// What no technique has tried, and what there is now that was not there when the attacks began.
async fn left_out(site: &Site, notes: &mut Vec<String>) {
    let plan = &site.plan;
    let unreached = site.unreached();
    if plan.probes.is_empty() && plan.layers.is_empty() && !plan.quick && !unreached.is_empty() {
        let more = unreached.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named: Vec<&str> = unreached.iter().take(NAMED).map(String::as_str).collect();
        notes.push(format!(
            "no technique has tried these tools: {}{more} (they could not be read with arguments made from their schemas, or the \
             time was up)",
            named.join(", ")
        ));
    }
    for party in &site.parties {
        if site.target.late() {
            return;
        }
        let known = |name: &str| site.parties.iter().any(|party| party.surface.knows(name));
        let listed =
            tokio::time::timeout(LISTED_AGAIN, survey::tools(&party.caller)).await.unwrap_or_default();
        let late: Vec<String> =
            listed.into_iter().map(|tool| tool.name).filter(|name| !known(name)).collect();
        if !late.is_empty() {
            let late: Vec<&str> = late.iter().take(NAMED).map(String::as_str).collect();
            notes.push(format!(
                "listed for {} only while the attacks went on, and not attacked: {}",
                party.tenant,
                late.join(", ")
            ));
        }
    }
}

/// Every technique of the plan, and after each probe a look at what it left.
async fn attacks(
    site: &mut Site,
    progress: &mut dyn Progress,
    stop: &mut watch::Receiver<bool>,
    course: &mut Course,
) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut shown = None;
    let chosen = chosen(&site.plan);
    progress.planned(chosen.len());
    for family in chosen.chunk_by(|(one, _), (other, _)| one.page.check.id == other.page.check.id) {
        let mut judged = Vec::new();
        for (probe, technique) in family {
            progress.begins(Some(probe.page.check.layer), technique.name);
            let tally = attempt(site, technique, stop, course).await;
            course.listeners.ended(technique.id);
            let verdict = verdict(site, probe, technique, tally);
            progress.verdict(&verdict);
            judged.push(verdict);
        }
        // What ends tenants has put everything back itself, or has not been able to.
        let lasting = family.iter().any(|(_, technique)| technique.last);
        let tried = judged.iter().any(|verdict| verdict.verdict != Outcome::NotRun);
        if tried && !lasting && !*stop.borrow() {
            let left = tokio::select! {
                left = cleanup::after(site) => left,
                () = stopped(stop) => Some(Left::Stopped),
            };
            if !matches!(left, Some(Left::Stopped)) {
                course.lost = left.as_ref().and_then(Left::lost);
            }
            let evidence = left.and_then(|left| left.doubts(&mut judged, &site.redactor));
            if let (None, Some(evidence), Some(last)) = (&shown, evidence, judged.last()) {
                shown = Some((last.technique.clone(), evidence));
            }
            if site.plan.allow_writes {
                tokio::select! {
                    () = cleanup::forget_changed(site) => {}
                    () = stopped(stop) => {}
                }
            }
        }
        verdicts.extend(judged);
    }
    // What a tenant was shown of the other's is a leak, also where no technique was looking.
    if !verdicts.iter().any(|verdict| verdict.verdict == Outcome::Leaked)
        && let Some((technique, evidence)) = shown
        && let Some(verdict) = verdicts.iter_mut().find(|verdict| verdict.technique == technique)
    {
        verdict.verdict = Outcome::Leaked;
        verdict.evidence = vec![*evidence];
    }
    verdicts
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody can stop the run any more.
        std::future::pending::<()>().await;
    }
}

/// The techniques that the plan names, in the order of the layers.
fn chosen(plan: &Plan) -> Vec<(&'static Probe, &'static Technique)> {
    let mut chosen = Vec::new();
    for layer in Layer::ALL {
        for probe in probes().iter().filter(|probe| probe.page.check.layer == layer) {
            for technique in probe.techniques {
                let named = plan
                    .probes
                    .iter()
                    .any(|id| id == probe.page.check.id || id.eq_ignore_ascii_case(technique.id));
                let wanted = named
                    || (plan.probes.is_empty()
                        && (plan.layers.is_empty() || plan.layers.contains(&layer))
                        && (!plan.quick || technique.quick)
                        && (!technique.load || plan.layers.contains(&Layer::Capacity)));
                if wanted {
                    chosen.push((*probe, technique));
                }
            }
        }
    }
    // What leaves a tenant in another state comes after everything else.
    chosen.sort_by_key(|(_, technique)| technique.last);
    chosen
}

async fn attempt(
    site: &Site,
    technique: &Technique,
    stop: &mut watch::Receiver<bool>,
    course: &mut Course,
) -> Tally {
    if *stop.borrow() {
        return Tally::not_run("the run was stopped");
    }
    if technique.load && !site.plan.layers.contains(&Layer::Capacity) {
        return Tally::not_run("it loads the target; --layer capacity allows that");
    }
    let left = site.target.left().saturating_sub(LOOK.min(site.plan.duration / 5));
    if left.is_zero() {
        course.late = true;
        return Tally::not_run("the time of the run was up; --duration gives it more");
    }
    let so_far = SoFar::default();
    let running = so_far.watch((technique.run)(site));
    let mut tally = tokio::select! {
        tried = tokio::time::timeout(EACH.min(left), running) => match tried {
            Ok(tally) => so_far.doubted(tally),
            Err(_) => {
                course.late |= left < EACH;
                let mut tally = Tally::default();
                tally.doubt("it did not end in time");
                so_far.broken_off(tally)
            }
        },
        () = stopped(stop) => so_far.broken_off(Tally::not_run("the run was stopped")),
    };
    // A leak is one wherever it was found, and what was stopped says so.
    let told = !tally.has_leaked() && !*stop.borrow();
    if let (Some((tried, all)), true) = (so_far.reach(), told) {
        tally.note(format!("It was tried on {tried} of the {all} readings."));
    }
    tally
}

fn verdict(site: &Site, probe: &Probe, technique: &Technique, tally: Tally) -> Verdict {
    let (mut outcome, mut reason, evidence) = tally.finish();
    if outcome == Outcome::Isolated && site.plan.quick {
        outcome = Outcome::Inconclusive;
        reason =
            format!("nothing was found in the quick profile, which is too short to show isolation: {reason}");
    }
    Verdict {
        probe: probe.page.check.id.to_owned(),
        technique: technique.id.to_owned(),
        name: technique.name.to_owned(),
        layer: probe.page.check.layer,
        verdict: outcome,
        severity: technique.severity,
        reason: site.redactor.clean(&reason),
        evidence,
        replay: replay(&site.plan, technique),
    }
}

/// The command that runs a technique again. Tokens are named by variables that the reader sets.
fn replay(plan: &Plan, technique: &Technique) -> String {
    let mut command = format!("partywall probe {}", shown(plan));
    for credential in &plan.tenants {
        let variable: String = credential
            .tenant
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        command.push_str(&format!(" --tenant {}=env:{variable}_TOKEN", credential.tenant));
    }
    for (name, _) in &plan.headers {
        command.push_str(&format!(" --header '{name}: …'"));
    }
    if let Some(name) = &plan.token_header {
        command.push_str(&format!(" --token-header {name}"));
    }
    for (given, flag) in [
        (!plan.seeds.is_empty(), " --seed SEEDS.toml"),
        (plan.issuer_key.is_some(), " --issuer-key KEY.pem"),
        (plan.authority.is_some(), " --ca CA.pem"),
        (plan.protocol == Protocol::Modern, " --protocol 2026-07-28"),
        (plan.protocol == Protocol::Legacy, " --protocol 2025-11-25"),
        (plan.allow_writes, " --allow-writes"),
    ] {
        if given {
            command.push_str(flag);
        }
    }
    for (errand, flag) in [
        (&plan.errands.suspend, "suspend"),
        (&plan.errands.resume, "resume"),
        (&plan.errands.recreate, "recreate"),
    ] {
        if errand.is_some() {
            // The command may hold a secret.
            command.push_str(&format!(" --{flag} …"));
        }
    }
    if technique.load {
        command.push_str(" --layer capacity");
    }
    format!("{command} --probe {} --seed-run {}", technique.id, plan.seed_run)
}
