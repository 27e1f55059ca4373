//! What a reader is told of the survey: what is called and why, and what is not.

use partywall_model::Layer;

use super::{
    learn::{MOST_PROMPTS, MOST_RESOURCES},
    surface::Tool,
};
use crate::{
    site::{Party, Site},
    target::Caller,
};

pub(super) fn tell(site: &Site, notes: &mut Vec<String>) {
    if site.parties.iter().any(|party| party.legacy.as_ref().is_some_and(Caller::streams)) {
        notes.push(
            "the target speaks HTTP+SSE, the transport of 2024-11-05: answers come on a stream".to_owned(),
        );
    }
    if site.target.second() {
        notes.push("the target speaks HTTP/2 only, without TLS".to_owned());
    }
    for party in &site.parties {
        let surface = &party.surface;
        let marks = site.marks.counts().get(party.tenant.as_str()).copied().unwrap_or(0);
        notes.push(format!(
            "{} is offered {} tools, {} resources, {} prompts; {} values are known to be its own",
            party.tenant,
            surface.tools.len(),
            surface.resources.len(),
            surface.prompts.len(),
            marks
        ));
        called(site, party, notes);
        for (kind, offered, most) in [
            ("resources", surface.resources.len(), MOST_RESOURCES),
            ("prompts", surface.prompts.len(), MOST_PROMPTS),
        ] {
            if offered > most {
                notes.push(format!("of the {offered} {kind} of {} the first {most} are read", party.tenant));
            }
        }
        let unlisted =
            surface.lists.iter().find(|(method, list)| *method == "tools/list" && list.success().is_none());
        if let Some((_, list)) = unlisted {
            let why = site.redactor.clean(&crate::oracle::reading::failed(list));
            notes.push(format!("the list of tools was not answered: {why}"));
        }
        if marks == 0 {
            notes.push(format!(
                "no value is known to be {}'s alone: name some that stand in its data with --seed, or allow writes",
                party.tenant
            ));
        }
    }
    if !site.plan.layers.contains(&Layer::Capacity) {
        notes.push("load tests were left out; --layer capacity runs them".to_owned());
    }
}

/// Which tools are called though they do not say that they only read, and which are not.
fn called(site: &Site, party: &Party, notes: &mut Vec<String>) {
    let named = |which: &dyn Fn(&Tool) -> bool| -> String {
        let tools = party.surface.tools.iter().filter(|tool| which(tool));
        tools.map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (tenant, writes) = (&party.tenant, site.plan.allow_writes);
    let reads = |tool: &Tool| tool.kind == super::Kind::Read;
    let sql = |tool: &Tool| !tool.says_it_reads() && tool.takes_sql().is_some() && tool.runs_sql(writes);
    let guessed = named(&Tool::guessed);
    if !guessed.is_empty() {
        notes.push(format!(
            "called as {tenant} because their names begin with a verb that reads, and not because they say so \
             (readOnlyHint): {guessed}"
        ));
    }
    let statements = named(&sql);
    if !statements.is_empty() && !writes {
        notes.push(format!(
            "take SQL, and are called as {tenant} with statements that read, though they do not say that they only \
             read: {statements} (readOnlyHint: false keeps statements from them)"
        ));
    }
    let left = named(&|tool: &Tool| !reads(tool) && !sql(tool));
    if !writes && !left.is_empty() {
        notes.push(format!(
            "not called as {tenant}, because they write or may write: {left} (--allow-writes calls them)"
        ));
    }
}
