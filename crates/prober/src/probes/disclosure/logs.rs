//! Logs, audits and events that tenants can read.

use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use crate::{
    arguments,
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    survey::Tool,
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "shared-log",
    Layer::Disclosure,
    Severity::High,
    "Looks for one tenant's lines in another's log, also for lines that were smuggled in.",
    include_str!("logs.md"),
    &[
        Technique::new("OB-03", "another tenant's lines in a log", Severity::High, |site| {
            Box::pin(read(site))
        }),
        Technique::new("OB-04", "a line made to look like another tenant's", Severity::Medium, |site| {
            Box::pin(inject(site))
        }),
        Technique::new("OB-05", "refused attempts in another tenant's log", Severity::Medium, |site| {
            Box::pin(attributed(site))
        }),
    ],
);

const LOGS: [&str; 9] =
    ["log", "logs", "audit", "trace", "traces", "events", "activity", "activities", "journal"];

const NO_LOG: &str = "no tool that may be called shows a log, an audit or events";

fn logs<'a>(site: &'a Site, party: &'a Party) -> impl Iterator<Item = &'a Tool> + 'a {
    party
        .surface
        .tools
        .iter()
        .filter(|tool| attempt::named(tool, &LOGS) && attempt::may_call(site, tool))
        .take(3)
}

async fn open(party: &Party, tool: &Tool) -> Exchange {
    party.caller.call(&tool.name, &arguments::object(&tool.schema, &Map::new(), 3)).await
}

async fn read(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for tool in logs(site, attacker) {
            let Some(theirs) = victim.surface.tool(&tool.name) else { continue };
            let before = open(attacker, tool).await;
            // A text of this moment: what stood in the log before may be what the attacker sent himself.
            let mark = attempt::fresh("work");
            work(site, victim, &mark).await;
            let after = open(attacker, tool).await;
            if site.foreign(&attacker.tenant, &before).is_none()
                && let Some(evidence) = site.foreign(&attacker.tenant, &after)
            {
                tally.leak(vec![evidence]);
            } else {
                look(&mut tally, site, (victim, attacker), (theirs, tool), &mark).await;
            }
        }
    }
    tally.absent(NO_LOG);
    tally
}

/// A call that works, with an argument that is not declared.
async fn work(site: &Site, party: &Party, text: &str) {
    for (reading, _) in site.readings_of(&party.tenant).take(attempt::SAMPLE) {
        let Some((name, arguments)) = attempt::as_tool(reading) else { continue };
        let mut arguments = arguments.as_object().cloned().unwrap_or_default();
        arguments.insert("note".to_owned(), json!(text));
        party.caller.call(name, &Value::Object(arguments)).await;
    }
}

/// A call that is refused.
async fn fail(party: &Party, text: &str) {
    party.caller.call(text, &json!({})).await;
}

async fn inject(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for tool in logs(site, attacker) {
            let Some(theirs) = victim.surface.tool(&tool.name) else { continue };
            let mark = attempt::fresh("line");
            for text in forged(&open(attacker, tool).await, attacker, victim, &mark) {
                fail(attacker, &text).await;
                work(site, attacker, &text).await;
            }
            look(&mut tally, site, (attacker, victim), (tool, theirs), &mark).await;
        }
    }
    tally.absent(NO_LOG);
    tally
}

/// Texts that end the attacker's line and begin one that looks like the victim's: in common forms, and in the form that
/// the attacker's own lines have.
fn forged(log: &Exchange, attacker: &Party, victim: &Party, mark: &str) -> Vec<String> {
    let (own, name) = (&attacker.tenant, &victim.tenant);
    let mut texts = vec![
        format!("x\ntenant={name} {mark}"),
        format!("x\r\n[{name}] {mark}\r\n"),
        format!("x\n{}\n", json!({"tenant": name, "tenant_id": name, "message": mark})),
        format!("x\u{2028}\u{1b}[2K{name} {mark}"),
    ];
    let body = log.reply().map(|reply| String::from_utf8_lossy(&reply.body).into_owned()).unwrap_or_default();
    let line = body.split(['\n', '"']).flat_map(|part| part.split("\\n")).find(|line| line.contains(own));
    if let Some(line) = line {
        let line: String = line.replace(own, name).chars().take(200).collect();
        texts.push(format!("x\n{line} {mark}"));
    }
    texts
}

async fn attributed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for tool in logs(site, attacker) {
            let Some(theirs) = victim.surface.tool(&tool.name) else { continue };
            let mark = attempt::fresh("attempt");
            fail(attacker, &mark).await;
            look(&mut tally, site, (attacker, victim), (tool, theirs), &mark).await;
        }
    }
    tally.absent(NO_LOG);
    tally
}

/// What one tenant left must stand in his log and in nobody else's.
async fn look(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    (tool, theirs): (&Tool, &Tool),
    mark: &str,
) {
    let own = open(attacker, tool).await;
    let foreign = open(victim, theirs).await;
    if attempt::shows(&foreign, mark) {
        let why = format!("{}'s log shows {mark:?}, which {} left", victim.tenant, attacker.tenant);
        tally.leak(vec![site.redactor.evidence(&foreign, why, mark)]);
    } else if foreign.success().is_none() {
        tally.control(false, &crate::oracle::reading::failed(&foreign));
    } else {
        let shown = attempt::shows(&own, mark);
        tally.control(
            shown,
            &format!(
                "{} does not show {} what it left itself, so nothing was to be seen",
                tool.name, attacker.tenant
            ),
        );
        if shown {
            tally.held();
        }
    }
}
