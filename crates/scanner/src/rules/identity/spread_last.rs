//! A request's body that is spread behind the caller's own tenant, and so decides it: `create({ tenantId: user.tenantId, ...body })`.
//! Python's records are told by `spread_over`, which looks at what types say of a body.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, FunctionId, Kinds, Language, NameRef, Property, PropertyKey, StmtKind},
    project::{At, Fun, Parent, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// How many calls and variables a body is followed through.
const STEPS: u32 = 4;

/// First words of functions that write a row.
const WRITES: &[&str] = &[
    "create",
    "insert",
    "save",
    "add",
    "put",
    "update",
    "upsert",
    "values",
    "set",
    "replace",
    "push",
    "build",
    "store",
    "new",
    "register",
    "invite",
    "onboard",
    "provision",
    "initiate",
    "submit",
];

/// Reports such records of JavaScript.
pub(super) fn spread_last(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        for (expr, kind) in unit.ir.exprs_of(Kinds::OBJECT) {
            let ExprKind::Object(properties) = kind else { continue };
            let at = At { module, expr };
            // What stands there is looked at before what it is.
            let Some((place, owner)) = first_owner(unit, properties) else { continue };
            let behind = properties.get(place + 1..).unwrap_or_default();
            let Some(body) = behind.iter().rposition(|own| matches!(own.key, PropertyKey::Spread)) else {
                continue;
            };
            // The owner is set once more behind it.
            let again = behind
                .get(body..)
                .unwrap_or_default()
                .iter()
                .any(|own| matches!(own.key, PropertyKey::Name(name) if unit.ir.text(name) == owner));
            let spread = behind
                .get(body)
                .is_some_and(|own| is_written_later(unit, expr) && is_body(project, at.to(own.value), STEPS));
            let own = || properties.get(place).is_some_and(|own| is_own(project, unit, at.to(own.value)));
            if again || !spread || !own() {
                continue;
            }
            let severity = if vocabulary::is_owner(owner) { Severity::High } else { Severity::Medium };
            report
                .reached(
                    at,
                    format!(
                        "what was sent is spread behind `{owner}`, and decides it when it has one of its own"
                    ),
                )
                .severity(severity)
                .confidence(Confidence::Medium);
        }
    }
}

/// The first key of a record that is named for an id, and is set to what is read from something.
fn first_owner<'u>(unit: &'u Unit, properties: &[Property]) -> Option<(usize, &'u str)> {
    properties.iter().enumerate().find_map(|(place, own)| {
        let PropertyKey::Name(name) = own.key else { return None };
        if !matches!(unit.ir.expr(own.value), ExprKind::Member { .. } | ExprKind::Name(_)) {
            return None;
        }
        let name = unit.ir.text(name);
        let words = vocabulary::words(name);
        let id = words.len() > 1
            && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "uuid" | "slug"));
        id.then_some((place, name))
    })
}

/// Whether a value is one that nobody sent: the caller's, by its key or by what it is, or a part of something else, as a guard leaves
/// on the request whatever the project calls it.
fn is_own(project: &Project, unit: &Unit, value: At) -> bool {
    let part = matches!(unit.ir.expr(value.expr), ExprKind::Member { .. });
    let origins = project.origins(value);
    (part || origins.has_owner()) && !origins.is_chosen()
}

/// Whether a record goes into a call that writes it, at once or by its variable: `const row = { teamId, ...req.body }`, `create(row)`.
fn is_written_later(unit: &Unit, expr: ExprId) -> bool {
    if is_written(unit, expr) {
        return true;
    }
    let Parent::Stmt(stmt) = unit.index.parent(expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let own = unit.index.function(expr);
    let uses = target.as_binding().map_or(&[][..], |id| unit.index.uses(id));
    uses.iter().take(8).any(|used| unit.index.function(*used) == own && is_written(unit, *used))
}

/// Whether a record goes into a call that writes it, or is the `data` of one.
fn is_written(unit: &Unit, expr: ExprId) -> bool {
    let mut here = expr;
    for _ in 0..4 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Object(_) | ExprKind::Array { .. } | ExprKind::Await(_) => here = up,
            ExprKind::Call(call) => {
                let name = match unit.ir.expr(call.callee) {
                    ExprKind::Member { property, .. } => unit.ir.text(*property),
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                    _ => return false,
                };
                return vocabulary::words(name).first().is_some_and(|first| WRITES.contains(&first.as_str()));
            }
            _ => return false,
        }
    }
    false
}

/// Whether a value is a request's body as it came, through parameters and variables: nothing that a schema has gone through.
fn is_body(project: &Project, at: At, steps: u32) -> bool {
    let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(at.module)) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Member { property, .. } => {
            unit.ir.text(*property) == "body" && project.origins(at).has(Origins::INPUT)
        }
        ExprKind::Await(value) => is_body(project, at.to(*value), steps),
        ExprKind::Call(call) => {
            let json = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if unit.ir.text(*property) == "json");
            json && call.args.is_empty() && project.origins(at).has(Origins::INPUT)
        }
        ExprKind::Name(NameRef::Binding(id)) => match project.parameter_of(at.module, *id) {
            Some((fun, number, path)) => path.is_empty() && is_body_parameter(project, fun, number, steps),
            None => match unit.index.sources(*id) {
                [source] => source.path.is_empty() && is_body(project, at.to(source.value), steps),
                _ => false,
            },
        },
        _ => false,
    }
}

/// Whether a parameter is a whole body: by its decorator, `@Body() input`, or since a caller hands one over. What is typed by a class has the
/// fields that the class has where a pipe takes out the others.
fn is_body_parameter(project: &Project, fun: Fun, number: usize, steps: u32) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let Some(parameter) = unit.ir.function(fun.id).and_then(|function| function.params.get(number)) else {
        return false;
    };
    let class = parameter.type_text.is_some_and(|text| {
        matches!(project.type_symbol(fun.module, unit.ir.text(text), 8), Symbol::Instance(_))
    });
    // A class takes nothing out of a body by itself.
    if (class && !keeps_other_fields(project)) || fun.id == FunctionId::MODULE {
        return false;
    }
    let decorated = parameter.decorators.iter().any(|expr| match unit.ir.expr(*expr) {
        ExprKind::Call(call) => {
            call.args.is_empty()
                && project
                    .written_as_exported(At { module: fun.module, expr: call.callee })
                    .last()
                    .is_some_and(|name| name.as_str() == "Body")
        }
        _ => false,
    });
    decorated
        || project.callers(fun).iter().take(8).any(|call| {
            project.argument(*call, fun, number).is_some_and(|given| is_body(project, given, steps))
        })
}

/// Whether a server of Nest lets fields through that the class of a body has not: only a pipe that is told to takes them out.
fn keeps_other_fields(project: &Project) -> bool {
    const STRIPS: &[&str] =
        &["whitelist", "nestjs-zod", "ZodValidationPipe", "createZodDto", "excludeExtraneousValues"];
    let mut nest = false;
    let strips = project.units().any(|(_, unit)| {
        nest |= unit.ir.has_name(&["NestFactory"]);
        STRIPS.iter().any(|word| unit.ir.source.contains(word))
    });
    nest && !strips
}
