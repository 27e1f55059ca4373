//! What workers run for those who put a job into a queue, `new Worker("exports", run)` for `new Queue("exports")` and its `add`.

use rustc_hash::FxHashMap;

use crate::{
    ir::{ExprId, ExprKind, NameRef},
    project::{At, Fun, Project, Symbol, Unit},
};

/// Packages whose queues have a name by which workers know them.
const PACKAGES: &[&str] = &["bullmq", "bull", "bee-queue"];

/// The functions that workers run for what each function puts into queues, with the call that puts it there.
pub(super) fn queued(project: &Project) -> FxHashMap<Fun, Vec<(Fun, At)>> {
    let of_queues = |callee: &crate::project::Callee| {
        callee.package.as_deref().is_some_and(|package| PACKAGES.contains(&package))
    };
    let calls = project.calls_of(of_queues);
    let mut workers: FxHashMap<String, Vec<Fun>> = FxHashMap::default();
    let mut puts: Vec<(String, At)> = Vec::new();
    for (module, unit) in project.units() {
        for expr in calls.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(callee) = project.callee(at) else { continue };
            match callee.name() {
                "Worker" => {
                    let name = call.positional(0).and_then(|name| text_of(project, unit, at.to(name)));
                    let run = call.positional(1).and_then(|run| function_of(project, unit, at.to(run)));
                    if let (Some(name), Some(run)) = (name, run) {
                        workers.entry(name).or_default().push(run);
                    }
                }
                "process" => {
                    let last = call.args.last().map(|arg| arg.value);
                    let run = last.and_then(|run| function_of(project, unit, at.to(run)));
                    if let (Some(name), Some(run)) = (queue_of(project, unit, at, call.callee), run) {
                        workers.entry(name).or_default().push(run);
                    }
                }
                "add" | "addBulk" | "createJob" => {
                    puts.extend(queue_of(project, unit, at, call.callee).map(|name| (name, at)));
                }
                _ => {}
            }
        }
    }
    let mut all: FxHashMap<Fun, Vec<(Fun, At)>> = FxHashMap::default();
    for (name, at) in puts {
        let run = workers.get(&name).into_iter().flatten().map(|run| (*run, at));
        all.entry(project.function_of(at)).or_default().extend(run);
    }
    all
}

/// The name of the queue that a method is called on.
fn queue_of(project: &Project, unit: &Unit, call: At, callee: ExprId) -> Option<String> {
    let ExprKind::Member { object, .. } = unit.ir.expr(callee) else { return None };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
    let (module, id) = project.declared(call.module, *id).unwrap_or((call.module, *id));
    let home = project.unit(module)?;
    let [source] = home.index.sources(id) else { return None };
    let ExprKind::Call(made) = home.ir.expr(source.value) else { return None };
    text_of(project, home, At { module, expr: made.positional(0)? })
}

fn text_of(project: &Project, unit: &Unit, at: At) -> Option<String> {
    match unit.ir.expr(at.expr) {
        ExprKind::String(text) => Some(unit.ir.text(*text).to_owned()),
        _ => project.text_of_name(at).map(ToOwned::to_owned),
    }
}

fn function_of(project: &Project, unit: &Unit, at: At) -> Option<Fun> {
    match unit.ir.expr(at.expr) {
        ExprKind::Function(id) => Some(Fun { module: at.module, id: *id }),
        _ => match project.symbol(at) {
            Symbol::Function(fun) => Some(fun),
            _ => None,
        },
    }
}
