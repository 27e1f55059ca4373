//! Conversations that an object keeps by the id of a session alone, where nothing looks whose session that is:
//! `self.conversations[session_id]` of a service beside handlers that know their callers.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Access, Store},
    ir::{ExprKind, FunctionKind, NameRef},
    project::{Cls, Fun, Project},
    rules::Report,
    vocabulary,
};

/// Words of fields that hold what was said.
const TALKS: &[&str] = &[
    "conversation",
    "conversations",
    "history",
    "histories",
    "chats",
    "messages",
    "transcripts",
    "dialogs",
    "dialogues",
    "threads",
];

/// Reports such fields, where they are first used by a method that is told nothing but the session.
pub(super) fn kept_talks(project: &Project, report: &mut Report<'_>) {
    let mut stores: BTreeMap<(Cls, String), Vec<&Access>> = BTreeMap::new();
    for access in project.accesses() {
        if let Store::Field(class, name) = &access.store
            && vocabulary::words(name).iter().any(|word| TALKS.contains(&word.as_str()))
        {
            stores.entry((*class, name.clone())).or_default().push(access);
        }
    }
    for ((class, name), accesses) in stores {
        let functions: BTreeSet<Fun> = accesses.iter().map(|access| access.function).collect();
        let unseen = functions.iter().all(|fun| is_unchecked(project, *fun));
        let plain = accesses.iter().all(|access| is_session_alone(project, access));
        if functions.len() < 2
            || !unseen
            || !plain
            || tells_callers_apart(project, class)
            || !project.handlers_know_callers(class.module)
        {
            continue;
        }
        let first = accesses.iter().min_by_key(|access| project.span(access.at).start);
        if let Some(first) = first {
            report
                .reached(first.at, format!("`{name}` is kept by the id of a session alone, and whoever says that id goes on with the conversation"))
                .severity(Severity::Low)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether nothing is seen that looks whose a session is before it calls a method, or nothing is seen that calls it.
fn is_unchecked(project: &Project, fun: Fun) -> bool {
    project.callers(fun).iter().take(8).all(|call| project.guards(project.function_of(*call)).is_empty())
}

/// Whether a key is a parameter that is named for a session or conversation.
fn is_session_alone(project: &Project, access: &Access) -> bool {
    let Some(unit) = project.unit(access.key.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(access.key.expr) else { return false };
    let words = vocabulary::words(unit.ir.binding_name(*id));
    let named = words.last().is_some_and(|last| matches!(last.as_str(), "id" | "key"))
        && words.iter().any(|word| matches!(word.as_str(), "session" | "conversation" | "thread" | "chat"));
    named && project.parameter_of(access.key.module, *id).is_some_and(|(fun, ..)| fun == access.function)
}

/// Whether a method of a class is told who calls.
fn tells_callers_apart(project: &Project, class: Cls) -> bool {
    let Some(unit) = project.unit(class.module) else { return true };
    let Some(decl) = unit.ir.class(class.id) else { return true };
    decl.methods.iter().filter_map(|id| unit.ir.function(*id)).any(|function| {
        let party = |name: &str| {
            vocabulary::is_owner(name) || vocabulary::is_principal(name) || vocabulary::is_credential(name)
        };
        function.kind != FunctionKind::Constructor
            && function.params.iter().filter_map(|own| own.name).any(|name| party(unit.ir.text(name)))
    })
}
