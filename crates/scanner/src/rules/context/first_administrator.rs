//! The first administrator for whoever is not known: `return User.objects.filter(is_superuser=True).first()`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, FunctionId, NameRef},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{Report, credentials::for_first::is_first_administrator},
    tenancy::is_stdio_only,
    vocabulary,
};

/// Words of functions that look for an administrator on purpose.
const ON_PURPOSE: &[&str] =
    &["admin", "admins", "owner", "system", "bot", "staff", "superuser", "notify", "seed", "default"];

/// Reports functions that give the first administrator as the one who calls.
pub(super) fn first_administrator(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
) {
    // Who starts a program on his own machine is the one who uses it.
    if is_stdio_only(unit) {
        return;
    }
    for (id, function) in unit.ir.functions() {
        let fun = Fun { module, id };
        let name = function.name.map_or("", |name| unit.ir.text(name));
        let words = vocabulary::words(name);
        let is = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        let asks = is(&["user", "caller", "principal", "identity", "authenticate", "auth"]);
        if id == FunctionId::MODULE || !asks || is(ON_PURPOSE) || !lives.is_per_request(fun) {
            continue;
        }
        let given = unit
            .index
            .returns(id)
            .iter()
            .find_map(|value| first_of(project, unit, At { module, expr: *value }));
        if let Some(at) = given {
            report
                .reached(at, "whoever is not known is the first administrator from here on")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The first administrator that a value is, or that a variable was set to.
fn first_of(project: &Project, unit: &Unit, at: At) -> Option<At> {
    let values: Vec<ExprId> = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.index.sources(*id).iter().take(4).map(|source| source.value).collect()
        }
        _ => vec![at.expr],
    };
    values.into_iter().map(|value| at.to(value)).find(|value| is_first_administrator(project, unit, *value))
}
