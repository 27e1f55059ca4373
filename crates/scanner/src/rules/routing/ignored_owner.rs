//! A store that is told whose record is meant and does not look.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    ir::{ExprId, ExprKind, FunctionKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "ignored-owner",
        layer: Layer::Routing,
        summary: "A store is told whose record is meant and finds it by its id alone.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Callers of this function rely on it to keep sessions or tenants apart; it gives the record to whoever knows the id.",
    fix: "Keep the owner with the record, and treat a record of somebody else like one that is not there.",
    cwe: &["CWE-639"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("ignored_owner.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let is_method = matches!(function.kind, FunctionKind::Method | FunctionKind::Plain | FunctionKind::Arrow);
            if !is_method || function.class.is_none() || function.body.is_empty() {
                continue;
            }
            let fun = Fun { module, id };
            for parameter in &function.params {
                let Some(binding) = parameter.pattern.as_binding() else { continue };
                let name = unit.ir.binding_name(binding);
                let bare = name.trim_start_matches('_');
                let owner = vocabulary::is_session_id(bare) || vocabulary::is_tenant(bare) || vocabulary::is_user(bare);
                if !owner || !unit.index.uses(binding).is_empty() {
                    continue;
                }
                let Some(look) = looks_up(project, unit, fun).or_else(|| hands_on(project, unit, fun)) else { continue };
                let mut found = report.at(
                    look,
                    format!("`{bare}` says whose record is meant, and the record is found without it"),
                );
                found = found.confidence(Confidence::Medium).related(module, parameter.span, "it is never looked at");
                let _ = found;
                break;
            }
        }
    }
}

/// A call of another method of the object that looks into one of its fields, by a parameter or a part of one.
fn hands_on(project: &Project, unit: &Unit, fun: Fun) -> Option<At> {
    let class = project.this_of(fun)?;
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let Some(callee) = project.callee(at).filter(|callee| callee.targets.len() == 1) else { return };
        let own = callee.targets.first().filter(|target| **target != fun && project.this_of(**target) == Some(class));
        let Some(target) = own else { return };
        let given = call.positional(0).is_some_and(|value| {
            let mut of = value;
            while let ExprKind::Member { object, .. } = unit.ir.expr(of) {
                of = *object;
            }
            call.args.len() == 1 && of_parameter(project, unit, fun, of)
        });
        if given && found.is_none() && project.unit(target.module).and_then(|home| looks_up(project, home, *target)).is_some() {
            found = Some(at);
        }
    });
    found
}

fn of_parameter(project: &Project, unit: &Unit, fun: Fun, expr: ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id))
        if project.parameter_of(fun.module, *id).is_some_and(|(of, ..)| of == fun))
}

/// A look into a field of the object by another parameter.
fn looks_up(project: &Project, unit: &Unit, fun: Fun) -> Option<At> {
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let (map, key) = match unit.ir.expr(expr) {
            ExprKind::Index { object, index, .. } => (*object, *index),
            ExprKind::Call(call) => match (unit.ir.expr(call.callee), call.positional(0)) {
                (ExprKind::Member { object, property, .. }, Some(key))
                    if matches!(unit.ir.text(*property), "get" | "delete" | "pop" | "find") =>
                {
                    (*object, key)
                }
                _ => return,
            },
            _ => return,
        };
        let of_this = matches!(unit.ir.expr(map), ExprKind::Member { object, .. } if matches!(unit.ir.expr(*object), ExprKind::This));
        let by_parameter = of_parameter(project, unit, fun, key);
        if of_this && by_parameter && found.is_none() {
            found = Some(at);
        }
    });
    found
}
