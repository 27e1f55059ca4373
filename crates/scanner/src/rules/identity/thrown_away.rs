//! Who was verified, thrown away: `_, error = await validate(login, password)`, and what the path names is acted on.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, ExprKind, Pattern, StmtId, StmtKind},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports calls of functions that give who was verified, where that part is thrown away though other calls keep it.
pub(super) fn thrown_away(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (stmt, _) in unit.ir.stmts() {
            let Some((call, items)) = taken_apart(unit, stmt) else { continue };
            let at = At { module, expr: call };
            let Some(callee) = project.callee(at).filter(|callee| callee.certain && verifies(callee.name()))
            else {
                continue;
            };
            let [target] = *callee.targets else { continue };
            for (number, item) in items.iter().enumerate() {
                let Some(Some(own)) = item.as_ref().map(Pattern::as_binding) else { continue };
                if !(unit.ir.binding_name(own).starts_with('_') && unit.index.uses(own).is_empty()) {
                    continue;
                }
                let Some(kept) =
                    project.callers(target).iter().find_map(|other| kept(project, *other, number))
                else {
                    continue;
                };
                report
                    .reached(at, format!("`{kept}`, who was verified, is thrown away here, and whoever the request names is taken for the caller"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The call whose value a statement takes apart, and the parts.
fn taken_apart(unit: &Unit, stmt: StmtId) -> Option<(crate::ir::ExprId, &[Option<Pattern>])> {
    let StmtKind::Assign { target: Pattern::Array { items, .. }, value, .. } = unit.ir.stmt(stmt) else {
        return None;
    };
    let call = match unit.ir.expr(*value) {
        ExprKind::Await(inner) => *inner,
        _ => *value,
    };
    matches!(unit.ir.expr(call), ExprKind::Call(_)).then_some((call, items))
}

/// Whether a name is that of a function that verifies who calls.
fn verifies(name: &str) -> bool {
    let words = vocabulary::words(name);
    let verb = words.iter().any(|word| {
        matches!(word.as_str(), "verify" | "validate" | "authenticate" | "check" | "introspect" | "resolve")
    });
    let what = words.iter().any(|word| {
        matches!(
            word.as_str(),
            "credential"
                | "credentials"
                | "token"
                | "auth"
                | "user"
                | "login"
                | "identity"
                | "session"
                | "jwt"
                | "bearer"
                | "caller"
                | "principal"
        )
    });
    verb && what || words.iter().any(|word| word == "authenticate")
}

/// The name under which another call keeps a part, when it is one of a caller and is used.
fn kept(project: &Project, call: At, number: usize) -> Option<String> {
    let unit = project.unit(call.module)?;
    let (own, items) = taken_apart(unit, unit.index.stmt_of(call.expr)?)?;
    let id: BindingId = items.get(number)?.as_ref()?.as_binding()?;
    let name = unit.ir.binding_name(id);
    let party = vocabulary::words(name)
        .iter()
        .any(|word| vocabulary::is_owner(word) || vocabulary::is_principal(word));
    (own == call.expr && party && !unit.index.uses(id).is_empty()).then(|| name.to_owned())
}
