//! All that a caller sent is copied into a row, its owner with it.

use std::collections::BTreeMap;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Origins, Owned, singular},
    ir::{ArgKind, Call, ExprId, ExprKind, NameRef},
    project::{At, Project, Symbol, Unit},
    rules::{Report, Rule},
    tables::level_of_column,
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "owner-from-body",
        layer: Layer::Identity,
        summary: "All that a caller sent is copied into a row that has an owner, and the owner is not set after it.",
    },
    severity: Severity::Medium,
    axis: Axis::Permissions,
    why: "A caller adds the owner's field to what it sends, and the row is another tenant's, or comes from one.",
    fix: "Copy the fields that callers may set, one by one, and set the owner from the verified caller last.",
    cwe: &["CWE-915", "CWE-639"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A08:2021"],
    markdown: include_str!("owner_from_body.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::stamped::stamped(project, report);
    super::copied_body::copied_body(project, report);
    super::spread_over::spread_over(project, report);
    let owned = project.owned_entities();
    let likely = project.calls_named(|name| PUTS.contains(&name) || name == "assign" || name.starts_with(char::is_uppercase));
    for (module, unit) in project.units() {
        if !project.has_owners(module) {
            continue;
        }
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if let Some(body) = inserted_whole(project, unit, at, call) {
                report
                    .reached(at, format!("all of `{body}` is put in, and its owner is what the caller sent"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
                continue;
            }
            let Some((entity, body)) = copied(project, unit, at, call) else { continue };
            let has_owner = owned.get(&singular(&entity)).is_some_and(|is| *is == Owned::Yes);
            if has_owner && is_sent(project, unit, at.to(body)) && may_hold_owner(project, unit, at.to(body)) {
                report
                    .reached(at, format!("everything that was sent goes into `{entity}`, whose owner can be among it"))
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Names of calls that put a row in.
pub(super) const PUTS: &[&str] = &["insert_one", "insert", "create", "insert_many", "save", "add", "put_item"];

/// The variable of a validated body that has a field for the owner and is put in as it is, where the caller is known:
/// `insert_one(item.model_dump())`.
fn inserted_whole(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<String> {
    let puts = PUTS.contains(&project.last_written(at.to(call.callee))?);
    let dumped = call.args.iter().find_map(|arg| match unit.ir.expr(arg.value) {
        ExprKind::Call(dump) if dump.args.is_empty() => match unit.ir.expr(dump.callee) {
            ExprKind::Member { object, property, .. } if matches!(unit.ir.text(*property), "model_dump" | "dict") => Some(*object),
            _ => None,
        },
        _ => None,
    });
    let body = dumped.filter(|_| puts)?;
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(body) else { return None };
    let (fun, number, _) = project.parameter_of(at.module, *id)?;
    let function = unit.ir.function(fun.id)?;
    let text = function.params.get(number)?.type_text?;
    let (Symbol::Class(class) | Symbol::Instance(class)) = project.type_symbol(at.module, unit.ir.text(text), 4) else { return None };
    let home = project.unit(class.module)?;
    let owned = home.ir.class(class.id)?.fields.iter().any(|field| is_owner(home.ir.text(field.name)));
    let knows = function.params.iter().filter_map(|own| own.name).any(|name| vocabulary::is_principal(unit.ir.text(name)) || unit.ir.text(name) == "user");
    (owned && knows && project.origins(at.to(body)).has(Origins::INPUT)).then(|| unit.ir.binding_name(*id).to_owned())
}

/// The model that a call fills with all fields of another value, and that value.
fn copied(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<(String, ExprId)> {
    let last = project.last_written(at.to(call.callee))?;
    if last != "assign" && !last.starts_with(char::is_uppercase) {
        return None;
    }
    let path = project.written(at.to(call.callee));
    let names: Vec<&str> = path.iter().map(|name| name.as_str()).collect();
    if let ["Object", "assign"] = names.as_slice() {
        let target = call.positional(0)?;
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(target) else { return None };
        let entity = unit.index.sources(*id).iter().find_map(|source| made(project, unit, at.to(source.value)))?;
        let more = call.args.len() > 2;
        return (!more && !is_set_after(unit, at, *id)).then_some((entity, call.positional(1)?));
    }
    // `Note(**body)`
    let class = names.last().filter(|name| name.starts_with(char::is_uppercase))?;
    let spread = call.args.iter().find(|arg| matches!(arg.kind, ArgKind::KeywordSpread))?;
    let says = call.args.iter().any(|arg| matches!(arg.kind, ArgKind::Keyword(name) if is_owner(unit.ir.text(name))));
    (!says).then(|| ((*class).to_owned(), spread.value))
}

pub(super) fn is_owner(name: &str) -> bool {
    level_of_column(name).is_some() || vocabulary::is_owner(name)
}

/// The class that an expression makes an object of.
fn made(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    call.is_new.then(|| project.written(at.to(call.callee)).pop().map(String::from)).flatten()
}

/// Whether a field for the owner of a variable's object is set in the function of a call, after it.
pub(super) fn is_set_after(unit: &Unit, call: At, id: crate::ir::BindingId) -> bool {
    let order = unit.index.order(call.expr);
    unit.index.writes.iter().any(|write| match unit.ir.expr(write.place) {
        ExprKind::Member { object, property, .. } => {
            matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(own)) if *own == id)
                && is_owner(unit.ir.text(*property))
                && unit.index.order(write.place) > order
        }
        _ => false,
    })
}

/// Names of parameters that hold what a caller sent.
const SENT: &[&str] = &["body", "payload", "input", "dto", "data", "updates", "changes", "attributes", "fields"];

/// Whether a value is what a caller sent: by where it comes from, or a parameter by its name.
pub(super) fn is_sent(project: &Project, unit: &Unit, at: At) -> bool {
    if project.origins(at).has(Origins::INPUT) {
        return true;
    }
    project.roots(at).iter().any(|id| {
        let words = vocabulary::words(unit.ir.binding_name(*id));
        project.parameter_of(at.module, *id).is_some() && words.last().is_some_and(|word| SENT.contains(&word.as_str()))
    })
}

/// Whether the owner's field can be among a value's fields: its type does not say which it has, or says that it has that one.
pub(super) fn may_hold_owner(project: &Project, unit: &Unit, at: At) -> bool {
    let typed: BTreeMap<_, _> = project
        .roots(at)
        .into_iter()
        .filter_map(|id| {
            let (fun, number, _) = project.parameter_of(at.module, id)?;
            let text = unit.ir.function(fun.id)?.params.get(number)?.type_text?;
            Some((id, unit.ir.text(text).to_owned()))
        })
        .collect();
    !typed.values().any(|text| match project.type_symbol(at.module, text, 4) {
        Symbol::Class(class) | Symbol::Instance(class) => {
            let fields = project.unit(class.module).and_then(|home| Some((home, home.ir.class(class.id)?)));
            fields.is_some_and(|(home, decl)| {
                !decl.fields.is_empty() && !decl.fields.iter().any(|field| is_owner(home.ir.text(field.name)))
            })
        }
        _ => text.contains("Omit<") || text.contains("Pick<"),
    })
}
