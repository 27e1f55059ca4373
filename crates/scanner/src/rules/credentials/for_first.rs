//! A credential that somebody brings and that is put down for the first administrator: `User.objects.filter(is_superuser=True).first()`.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingId, BindingKind, ExprId, ExprKind, NameRef, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of rows that hold what acts for somebody at another service.
const ACTING: &[&str] =
    &["token", "tokens", "credential", "credentials", "integration", "integrations", "oauth", "grant"];

/// Names of what queries are asked of.
const DATABASES: &[&str] = &["db", "session", "conn", "tx", "prisma", "supabase"];

/// Calls that add or find the row that a credential is put into.
fn adds(name: &str) -> bool {
    matches!(
        name,
        "get_or_create"
            | "update_or_create"
            | "create"
            | "upsert"
            | "insert"
            | "getOrCreate"
            | "findOrCreate"
    )
}

/// Reports rows of credentials that are made for the first administrator, whoever asked.
pub(super) fn for_first(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let calls = project.calls_named(adds);
    let mut seen: BTreeSet<At> = BTreeSet::new();
    for (module, unit) in project.units() {
        for expr in calls.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let path = project.written(at.to(call.callee));
            let acting = path
                .iter()
                .any(|part| vocabulary::words(part).iter().any(|word| ACTING.contains(&word.as_str())));
            if !acting || !lives.is_per_request(project.function_of(at)) {
                continue;
            }
            let Some(first) = call.args.iter().find_map(|arg| first_in(project, unit, at.to(arg.value)))
            else {
                continue;
            };
            if seen.insert(first) {
                report
                    .reached(
                        first,
                        "what a caller connects is put down for the first administrator, whoever asked",
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium)
                    .related(module, project.span(at), "the credential is put down here");
            }
        }
    }
}

/// Where the first administrator comes from that a value names.
fn first_in(project: &Project, unit: &Unit, at: At) -> Option<At> {
    let mut names: Vec<BindingId> = Vec::new();
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            names.push(*id);
        }
    });
    names.into_iter().find_map(|id| {
        let [source] = unit.index.sources(id) else { return None };
        let value = at.to(source.value);
        (source.path.is_empty() && is_first_administrator(project, unit, value)).then_some(value)
    })
}

/// Whether a value is the first row that has a right, found by nothing of the request.
pub(in crate::rules) fn is_first_administrator(project: &Project, unit: &Unit, at: At) -> bool {
    let value = match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => *value,
        _ => at.expr,
    };
    let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return false };
    let one = matches!(
        unit.ir.text(*property),
        "first" | "findFirst" | "findOne" | "find_one" | "get" | "earliest" | "one"
    );
    let text = unit.ir.snippet(unit.ir.span(value)).to_lowercase();
    let rights = ["is_superuser", "is_staff", "is_admin", "isadmin", "superadmin", "super_admin", "role"];
    if !one || !rights.iter().any(|word| text.contains(word)) {
        return false;
    }
    let mut asked = false;
    let mut see = |expr: ExprId| {
        let variable = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => {
                let kind = unit.ir.binding(*id).map(|binding| binding.kind);
                let imported = matches!(kind, Some(BindingKind::Import(_)));
                !imported && !unit.ir.is_module_level(*id) && !DATABASES.contains(&unit.ir.binding_name(*id))
            }
            _ => false,
        };
        asked |= variable || project.origins(at.to(expr)).is_chosen();
    };
    walk::exprs_below(&unit.ir, value, &mut see);
    !asked
}
