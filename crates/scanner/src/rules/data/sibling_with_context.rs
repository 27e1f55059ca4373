//! A tool that believes what an argument says of who calls, where the tools beside it hold the same argument against the session:
//! `refused = claim(ctx, agent)`, `if refused: return refused`.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::Confidence;

use crate::{
    ir::{BindingId, Call, ExprId, ExprKind, FunctionId, NameRef, StmtKind, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many tools have to ask before one that does not is told.
const ASKING: usize = 2;

/// First words of tools by which somebody says for the first time who calls.
const BEGINS: &[&str] = &[
    "register",
    "unregister",
    "join",
    "login",
    "claim",
    "identify",
    "connect",
    "enroll",
    "enter",
    "introduce",
    "hello",
    "whoami",
];

/// Reports such tools.
pub(super) fn sibling_with_context(project: &Project, report: &mut Report<'_>) {
    let mut modules: BTreeMap<ModuleId, BTreeSet<Fun>> = BTreeMap::new();
    for entry in project.entries().iter().filter(|entry| entry.kind == "tool") {
        modules.entry(entry.handler.module).or_default().insert(entry.handler);
    }
    for (module, tools) in modules {
        let Some(unit) = project.unit(module).filter(|_| project.has_owners(module)) else { continue };
        let asked: BTreeMap<Fun, BTreeSet<(String, String)>> =
            tools.iter().map(|fun| (*fun, held_against(project, unit, *fun))).collect();
        let mut checks: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
        for (check, name) in asked.values().flatten() {
            let (times, names) = checks.entry(check).or_default();
            *times += 1;
            names.insert(name);
        }
        let Some((check, (times, names))) = checks.into_iter().max_by_key(|(_, (times, _))| *times) else {
            continue;
        };
        if times < ASKING {
            continue;
        }
        let begins = |fun: &Fun| {
            let words = vocabulary::words(project.function_name(*fun));
            words.first().is_some_and(|verb| BEGINS.contains(&verb.as_str()))
        };
        let open = tools.iter().filter(|fun| asked.get(fun).is_none_or(BTreeSet::is_empty) && !begins(fun));
        for fun in open {
            let Some(function) = unit.ir.function(fun.id) else { continue };
            let believed = function
                .params
                .iter()
                .filter_map(|own| own.pattern.as_binding())
                .find(|id| names.contains(unit.ir.binding_name(*id)) && is_handed_on(unit, *id));
            if let Some(id) = believed.filter(|_| !calls(project, unit, *fun, check)) {
                let name = unit.ir.binding_name(id);
                report
                    .add(module, function.head, format!("`{name}` is believed here; the tools beside this one hold it against the session with `{check}`"))
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The functions that a tool asks with the context of its call and an argument, and whose answer may refuse; with the argument's name.
fn held_against(project: &Project, unit: &Unit, fun: Fun) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let Some(function) = unit.ir.function(fun.id) else { return found };
    let params: Vec<BindingId> = function.params.iter().filter_map(|own| own.pattern.as_binding()).collect();
    let context: Vec<BindingId> = function
        .params
        .iter()
        .filter(|own| {
            let name = own.name.map_or("", |name| unit.ir.text(name));
            let text = own.type_text.map_or("", |text| unit.ir.text(text));
            matches!(name, "ctx" | "context" | "request" | "extra") || text.contains("Context")
        })
        .filter_map(|own| own.pattern.as_binding())
        .collect();
    if context.is_empty() {
        return found;
    }
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let at = At { module: fun.module, expr };
        let given = names_given(unit, call);
        let with_context = given.iter().any(|id| context.contains(id));
        let party = given
            .iter()
            .find(|id| params.contains(id) && !context.contains(id) && is_party(unit.ir.binding_name(**id)));
        if let (true, Some(id)) = (with_context, party)
            && refuses(project, unit, fun, at)
        {
            let name = project.last_written(at).unwrap_or_default();
            found.insert((name.to_owned(), unit.ir.binding_name(*id).to_owned()));
        }
    });
    found
}

fn names_given(unit: &Unit, call: &Call) -> Vec<BindingId> {
    let named = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => Some(*id),
        _ => None,
    };
    call.args.iter().filter_map(|arg| named(arg.value)).collect()
}

/// Whether an argument is named for somebody who may call.
fn is_party(name: &str) -> bool {
    vocabulary::is_owner(name)
        || vocabulary::is_principal(name)
        || vocabulary::words(name).iter().any(|word| {
            matches!(
                word.as_str(),
                "agent"
                    | "user"
                    | "sender"
                    | "from"
                    | "account"
                    | "member"
                    | "player"
                    | "name"
                    | "by"
                    | "handle"
            )
        })
}

/// Whether what a call gives is tested, and its function then leaves; or what is called raises.
fn refuses(project: &Project, unit: &Unit, fun: Fun, at: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let mut given = Vec::new();
    match unit.ir.stmt(stmt) {
        StmtKind::Assign { target, .. } => target.for_each_binding(&mut |id| given.push(id)),
        StmtKind::Expr(_) => {
            let callee = project.callee(at).filter(|callee| callee.certain);
            return callee.is_some_and(|callee| callee.targets.iter().any(|target| raises(project, *target)));
        }
        _ => return false,
    }
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |own| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(own) else { return };
        let mut tests = false;
        walk::exprs_below(&unit.ir, *test, &mut |expr| {
            tests |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if given.contains(id));
        });
        let leaves =
            then.iter().any(|inner| matches!(unit.ir.stmt(*inner), StmtKind::Return(_) | StmtKind::Throw(_)));
        found |= tests && leaves;
    });
    found
}

fn raises(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let Some(function) = unit.ir.function(fun.id).filter(|_| fun.id != FunctionId::MODULE) else {
        return false;
    };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        found |= matches!(unit.ir.stmt(stmt), StmtKind::Throw(_))
    });
    found
}

/// Whether a parameter is an argument of a call, itself or in a list.
fn is_handed_on(unit: &Unit, id: BindingId) -> bool {
    unit.index.uses(id).iter().any(|used| {
        let mut here = *used;
        for _ in 0..3 {
            let crate::project::Parent::Expr(up) = unit.index.parent(here) else { return false };
            match unit.ir.expr(up) {
                ExprKind::Call(call) => return call.callee != here,
                ExprKind::Array { .. } | ExprKind::Object(_) => here = up,
                _ => return false,
            }
        }
        false
    })
}

fn calls(project: &Project, unit: &Unit, fun: Fun, check: &str) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Call(_))
            && project.last_written(At { module: fun.module, expr }) == Some(check);
    });
    found
}
