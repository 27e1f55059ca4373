//! A tenant's own record that is loaded by an id, without the caller being a member.

use std::collections::BTreeMap;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::{
    callers::{asks_itself, is_caller, own_code},
    wheres::wheres,
};
use crate::{
    flow::Query,
    ir::{ExprId, ExprKind, PropertyKey, walk},
    lang::sql::Verb,
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "membership-not-required",
        layer: Layer::Data,
        summary: "What users are members of is reached, and nobody looks whether the caller is a member.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "That somebody is signed in, or that the caller's membership is read along, keeps nobody out: the record comes for all.",
    fix: "Put the membership into the condition (`users: { some: { userId } }`), or refuse when the list of the caller's memberships is empty.",
    cwe: &["CWE-862", "CWE-639"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("membership_not_required.md"),
    run,
};

/// How many other queries have to look at the membership before one that does not is told.
const OTHERS: usize = 2;

/// Where a query names the caller's membership.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    /// In its condition.
    Required,
    /// In what is read along.
    Beside,
    /// Nowhere.
    None,
}

fn run(project: &Project, report: &mut Report<'_>) {
    super::anybodys_membership::anybodys_membership(project, report);
    let mut of: BTreeMap<&str, Vec<(&Query, Join, String)>> = BTreeMap::new();
    for query in project.queries().iter().filter(|query| !query.is_sql && query.verb == Verb::Select) {
        let Some(unit) = project.unit(query.at.module) else { continue };
        let (join, key) = joined(project, unit, query.at);
        of.entry(query.entity.as_str()).or_default().push((query, join, key));
    }
    let entries: Vec<Fun> = project.entries().iter().filter(|entry| !project.is_operators(entry)).map(|entry| entry.handler).collect();
    for queries in of.values() {
        let joining = queries.iter().filter(|(_, join, _)| *join != Join::None).count();
        for (query, join, key) in queries {
            let others = joining - usize::from(*join != Join::None);
            if others < OTHERS || *join == Join::Required {
                continue;
            }
            let around = project.around(query.function);
            let Some(handler) = entries.iter().find(|handler| around.contains(handler)) else { continue };
            let open = match join {
                Join::Beside => !is_mentioned(project, *handler, key),
                _ => asks_itself(project, *handler) && !is_looked_at(project, *handler),
            };
            if open && by_foreign_id(project, query) {
                let text = format!("`{}` is loaded by an id, and nobody looks whether the caller is a member", query.shown);
                report.reached(query.at, text).confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether the last word of a name says who belongs to a thing.
fn says_members(name: &str) -> bool {
    vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "users" | "members" | "memberships" | "collaborators"))
}

/// Where a query names the caller among those who belong to the row, and by what key.
fn joined(project: &Project, unit: &Unit, at: At) -> (Join, String) {
    let (mut join, mut key) = (Join::None, String::new());
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let ExprKind::Object(properties) = unit.ir.expr(expr) else { return };
        for property in properties {
            let PropertyKey::Name(name) = property.key else { continue };
            let name = unit.ir.text(name);
            if name == "where" && holds_members(project, unit, at, property.value).is_some() {
                join = Join::Required;
            }
            if says_members(name) && join == Join::None && names_caller(project, unit, at, property.value) {
                join = Join::Beside;
                key = name.to_owned();
            }
        }
    });
    (join, key)
}

/// Whether a condition names the caller among those who belong to the row.
fn holds_members(project: &Project, unit: &Unit, at: At, value: ExprId) -> Option<()> {
    let mut found = None;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        let ExprKind::Object(properties) = unit.ir.expr(expr) else { return };
        for property in properties {
            let named = matches!(property.key, PropertyKey::Name(name) if says_members(unit.ir.text(name)));
            if named && names_caller(project, unit, at, property.value) {
                found = Some(());
            }
        }
    });
    found
}

/// Whether a part of a query has a user's id that is the caller's.
fn names_caller(project: &Project, unit: &Unit, at: At, value: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        let ExprKind::Object(properties) = unit.ir.expr(expr) else { return };
        found |= properties.iter().any(|property| {
            matches!(property.key, PropertyKey::Name(name) if vocabulary::is_user(unit.ir.text(name))) && is_caller(project, at.to(property.value))
        });
    });
    found
}

/// Whether a query finds its row by an id that is not the caller's own.
fn by_foreign_id(project: &Project, query: &Query) -> bool {
    let tests = wheres(project, query.at);
    let [(name, value)] = tests.as_slice() else { return false };
    let words = vocabulary::words(name);
    let id = words.last().is_some_and(|last| matches!(last.as_str(), "id" | "slug"));
    let Some(unit) = project.unit(value.module) else { return false };
    // A member of the caller, or of a row that was loaded before, is no choice.
    let plain = match unit.ir.expr(value.expr) {
        ExprKind::Name(crate::ir::NameRef::Binding(id)) => !unit.index.sources(*id).iter().any(|source| is_member(unit, source.value)),
        _ => project.origins(*value).is_chosen(),
    };
    let verified = project.origins(*value).has(crate::flow::Origins::PRINCIPAL);
    id && plain && !verified && !project.is_fixed(*value) && !project.is_checked(*value)
}

fn is_member(unit: &Unit, expr: ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Member { object, .. } if matches!(unit.ir.expr(*object), ExprKind::Name(_)))
}

/// Whether a function or one inside of it mentions a part of a row.
fn is_mentioned(project: &Project, fun: Fun, key: &str) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let mut found = false;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if unit.ir.text(*property) == key);
        });
    }
    found || unit.ir.bindings().any(|(_, binding)| unit.ir.text(binding.name) == key)
}

/// Whether a handler looks at who belongs to what: by a query of memberships, or a call that checks and is told the caller.
fn is_looked_at(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let code = own_code(project, fun);
    let queried = project.queries().iter().filter(|query| code.contains(&query.function)).any(|query| {
        let words = vocabulary::words(&query.shown);
        let joins = words.len() > 1 && words.iter().any(|word| matches!(word.as_str(), "user" | "users" | "member" | "members" | "membership" | "memberships"));
        joins || joined(project, unit, query.at).0 != Join::None
    });
    let mut checked = false;
    for here in &code {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let at = At { module: fun.module, expr };
            let name = project.written(at).pop().unwrap_or_default();
            let words = vocabulary::words(&name);
            let looks = words.iter().any(|word| matches!(word.as_str(), "role" | "member" | "members" | "membership" | "access" | "permission" | "permissions"));
            let told = call.args.iter().any(|arg| {
                let mut told = false;
                walk::exprs_below(&unit.ir, arg.value, &mut |expr| told |= is_caller(project, at.to(expr)));
                told
            });
            checked |= looks || (told && (Project::is_check(&name) || project.compares_inside(at)));
        });
    }
    queried || checked
}
