//! A limit of the project's own that counts all callers together.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingKind, CompareOp, ExprId, ExprKind, FunctionId, NameRef, StmtId, StmtKind, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "one-limit",
        layer: Layer::Capacity,
        summary: "A limit of the project's own counts all callers together.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "One caller uses up everybody's share: the others are refused while it is busy.",
    fix: "Count by the verified tenant.",
    cwe: &["CWE-770"],
    soc2: &["A1.1"],
    owasp: &["A04:2021"],
    markdown: include_str!("one_limit.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::limit_without_told::limit_without_told(project, report);
    super::one_object::one_object(project, report);
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (_, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, .. } = stmt else { continue };
            let at = At { module, expr: *test };
            if !lives.is_per_request(project.function_of(at)) || !project.has_owners(module) || !refuses(unit, then) {
                continue;
            }
            let mut found = false;
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                found |= counts_under_one_key(project, unit, At { module, expr }) || is_full(project, unit, &lives, module, expr);
            });
            if found {
                report.reached(at, "one limit counts all callers together").confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a block says that there are too many requests.
pub(super) fn refuses(unit: &Unit, block: &[StmtId]) -> bool {
    let mut found = false;
    let mut see = |expr: ExprId| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Number(text) => unit.ir.text(*text) == "429",
            ExprKind::String(text) => is_said(unit.ir.text(*text)),
            ExprKind::Name(NameRef::Binding(id)) => is_said(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => is_said(unit.ir.text(*property)),
            _ => false,
        };
    };
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            if let walk::Part::Expr(expr) = part {
                walk::exprs_below(&unit.ir, expr, &mut see);
            }
        });
    });
    found
}

fn is_said(text: &str) -> bool {
    let text: String = text.to_lowercase().chars().filter(|char| char.is_alphanumeric()).collect();
    ["ratelimit", "toomanyrequests", "quotaexceeded", "httperror429", "http429"].iter().any(|word| text.contains(word))
}

/// Whether a call hands a fixed key to a function that counts under it: `over("all")`.
fn counts_under_one_key(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let Some(callee) = project.callee(at).filter(|callee| callee.certain) else { return false };
    callee.targets.iter().any(|target| {
        (0..call.args.len()).any(|number| {
            let fixed = project.argument(at, *target, number).is_some_and(|arg| {
                matches!(project.unit(arg.module).map(|unit| unit.ir.expr(arg.expr)), Some(ExprKind::String(_))) && project.is_fixed(arg)
            });
            fixed && is_key_of_store(project, *target, number)
        })
    })
}

/// Whether a parameter of a function is the key under which it keeps something that outlives the request.
fn is_key_of_store(project: &Project, fun: Fun, number: usize) -> bool {
    project.puts_of(fun).any(|access| {
        project.roots(access.key).iter().any(|root| {
            project.parameter_of(fun.module, *root).is_some_and(|(own, at, _)| own == fun && at == number)
        })
    })
}

/// Whether a comparison asks whether a counter of the process, which requests count up, is above a bound.
fn is_full(project: &Project, unit: &Unit, lives: &Lifetimes<'_>, module: ModuleId, expr: ExprId) -> bool {
    let ExprKind::Compare { op: CompareOp::Order, left, right } = unit.ir.expr(expr) else { return false };
    [*left, *right].into_iter().any(|side| {
        let id = match unit.ir.expr(side) {
            ExprKind::Name(NameRef::Binding(id)) => *id,
            // `if (++used > most)`
            ExprKind::Assign { target, .. } => match target.as_binding() {
                Some(id) => id,
                None => return false,
            },
            _ => return false,
        };
        if unit.index.sources(id).iter().any(|source| counts_in_store(project, unit, At { module, expr: source.value })) {
            return true;
        }
        let variable = unit.ir.binding(id).is_some_and(|binding| matches!(binding.kind, BindingKind::Variable | BindingKind::Other));
        let sources = unit.index.sources(id);
        let number = sources.iter().any(|source| {
            source.function == FunctionId::MODULE && matches!(unit.ir.expr(source.value), ExprKind::Number(_))
        });
        let counted = sources.iter().any(|source| {
            let counts = source.updates || matches!(unit.ir.expr(source.value), ExprKind::Binary { .. });
            counts && lives.is_per_request(Fun { module, id: source.function })
        });
        variable && unit.ir.is_module_level(id) && number && counted
    })
}

/// Whether a value is what a store has counted under a fixed key: `await redis.incr("uses")`.
fn counts_in_store(project: &Project, unit: &Unit, at: At) -> bool {
    let value = match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => *value,
        _ => at.expr,
    };
    let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return false };
    matches!(unit.ir.text(*property), "incr" | "incrby" | "incrBy")
        && call.positional(0).is_some_and(|key| matches!(unit.ir.expr(key), ExprKind::String(_)))
        && !project.origins(at.to(call.callee)).is_of_request()
}
