//! One index or list of the module into which functions put what they are given, and out of which others answer, where nothing shows
//! who calls them: `index.add(vectors)`, `documents.extend(chunks)`, and `search(query)` beside it.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, ExprId, ExprKind, Function, FunctionId, Language, NameRef, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of what holds documents or memories.
const HOLDS: &[&str] = &[
    "documents",
    "docs",
    "chunks",
    "embeddings",
    "vectors",
    "memories",
    "notes",
    "transcripts",
    "passages",
    "corpus",
    "index",
    "vectorstore",
    "history",
    "messages",
];

/// Methods that put something in.
const PUTS: &[&str] =
    &["append", "extend", "add", "insert", "add_texts", "add_documents", "upsert", "add_with_ids", "push"];

/// Reports such places: where something is put in, and where all of it is thrown away.
pub(super) fn index_of_all(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        if is_run_by_hand(unit) {
            continue;
        }
        for (id, binding) in unit.ir.bindings().filter(|(id, _)| unit.ir.is_module_level(*id)) {
            let name = unit.ir.text(binding.name);
            let named = vocabulary::words(name).last().is_some_and(|word| HOLDS.contains(&word.as_str()));
            if named && is_made_empty(project, unit, module, id) {
                judge(project, report, unit, module, id);
            }
        }
    }
}

fn judge(project: &Project, report: &mut Report<'_>, unit: &Unit, module: ModuleId, id: BindingId) {
    let users: BTreeSet<FunctionId> = unit
        .index
        .uses(id)
        .iter()
        .map(|used| unit.index.function(*used))
        .filter(|function| *function != FunctionId::MODULE)
        .collect();
    let told = users
        .iter()
        .any(|function| unit.ir.function(*function).is_some_and(|function| tells_apart(unit, function)));
    let unseen = |function: &FunctionId| {
        let fun = Fun { module, id: *function };
        let inner =
            unit.ir.function(*function).and_then(|own| own.parent).is_some_and(|up| up != FunctionId::MODULE);
        project.callers(fun).is_empty() && project.entry(fun).is_none() && !inner
    };
    if told {
        return;
    }
    let puts =
        users.iter().filter(|own| unseen(own)).find_map(|own| put_in(unit, *own, id).map(|at| (*own, at)));
    let Some((own, put)) = puts else { return };
    let answers = users.iter().any(|other| {
        *other != own
            && unseen(other)
            && unit.ir.function(*other).is_some_and(|function| !function.params.is_empty())
            && unit
                .index
                .returns(*other)
                .iter()
                .any(|value| !matches!(unit.ir.expr(*value), ExprKind::Bool(_) | ExprKind::Null))
    });
    if !answers {
        return;
    }
    let name = unit.ir.binding_name(id).to_owned();
    report
        .reached(
            At { module, expr: put },
            format!("`{name}` holds what all callers bring, and whoever searches is answered out of it"),
        )
        .severity(Severity::Low)
        .confidence(Confidence::Low);
    let emptied = users.iter().filter(|own| unseen(own)).find_map(|own| emptied(unit, *own, id));
    if let Some(at) = emptied {
        report
            .reached(At { module, expr: at }, format!("`{name}` is emptied here for all callers at once"))
            .severity(Severity::Low)
            .confidence(Confidence::Low);
    }
}

/// Whether a file is a script, which one person runs.
fn is_run_by_hand(unit: &Unit) -> bool {
    let aside = unit.ir.path.to_lowercase().split(['/', '.', '_', '-']).any(|part| {
        matches!(
            part,
            "test" | "tests" | "script" | "scripts" | "cli" | "example" | "examples" | "notebook" | "demo"
        )
    });
    aside || unit.ir.has_name(&["__main__", "argparse", "input", "streamlit", "gradio"])
}

/// Whether a variable is made as an empty list, or as an index in memory.
fn is_made_empty(project: &Project, unit: &Unit, module: ModuleId, id: BindingId) -> bool {
    unit.index.sources(id).iter().any(|source| {
        source.function == FunctionId::MODULE
            && match unit.ir.expr(source.value) {
                ExprKind::Array { items, .. } => items.is_empty(),
                ExprKind::Call(call) => project
                    .last_written(At { module, expr: call.callee })
                    .is_some_and(|name| name.starts_with("Index") || name.ends_with("VectorStore")),
                _ => false,
            }
    })
}

/// Whether a function is told whose something is.
fn tells_apart(unit: &Unit, function: &Function) -> bool {
    function.params.iter().filter_map(|own| own.name).map(|name| unit.ir.text(name)).any(|name| {
        vocabulary::says_whose(name)
            || vocabulary::words(name).iter().any(|word| {
                matches!(
                    word.as_str(),
                    "namespace" | "collection" | "project" | "session" | "conversation" | "thread"
                )
            })
    })
}

/// Where a function puts what it was given into a variable.
fn put_in(unit: &Unit, function: FunctionId, id: BindingId) -> Option<ExprId> {
    let own = unit.ir.function(function)?;
    let params: Vec<BindingId> = own.params.iter().filter_map(|own| own.pattern.as_binding()).collect();
    let mut found = None;
    walk::function_exprs(&unit.ir, function, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        let into = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(of)) if *of == id);
        if found.is_none() && into && PUTS.contains(&unit.ir.text(*property)) {
            let given = call.args.iter().any(|arg| is_made_of(unit, arg.value, &params, 3));
            found = given.then_some(expr);
        }
    });
    found
}

/// Whether a value is made of some variables.
fn is_made_of(unit: &Unit, value: ExprId, of: &[BindingId], steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            found |= of.contains(id)
                || (!unit.ir.is_module_level(*id)
                    && unit
                        .index
                        .sources(*id)
                        .iter()
                        .take(3)
                        .any(|source| is_made_of(unit, source.value, of, steps)));
        }
    });
    found
}

/// Where a function that is told nothing throws away all that a variable holds.
fn emptied(unit: &Unit, function: FunctionId, id: BindingId) -> Option<ExprId> {
    let own = unit.ir.function(function)?;
    if !own.params.is_empty() {
        return None;
    }
    let mut found = None;
    walk::function_exprs(&unit.ir, function, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        let of = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(of)) if *of == id);
        if found.is_none() && of && unit.ir.text(*property) == "clear" && call.args.is_empty() {
            found = Some(expr);
        }
    });
    found
}
