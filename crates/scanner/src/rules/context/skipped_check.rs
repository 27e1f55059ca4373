//! A check that is made only for callers who say who they are.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{CompareOp, ExprId, ExprKind, LogicalOp, NameRef, StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule, branches::absent},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "skipped-check",
        layer: Layer::Context,
        summary: "Ownership is checked only when the caller has an identity, or nobody waits for the check; without it the request goes on.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "A caller without the claim skips the comparison and gets what the check was to protect.",
    fix: "Refuse when the claim is missing, then compare.",
    cwe: &["CWE-636", "CWE-863"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("skipped_check.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    ownerless(project, report);
    unlimited(project, report);
    super::own_missing::own_missing(project, report);
    super::goes_on::goes_on(project, report);
    super::open_unless_set::open_unless_set(project, report);
    super::unawaited_check::unawaited_check(project, report);
    super::empty_check::empty_check(project, report);
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, otherwise } = stmt else { continue };
            if !ends_open(unit, otherwise) {
                continue;
            }
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            let Some((asked, compared)) = asked_and_compared(unit, *test, then) else { continue };
            let asked = presence(unit, asked);
            let Some(asked) = asked else { continue };
            let ExprKind::Compare { op: CompareOp::NotEq | CompareOp::NotIn, left, right } = unit.ir.expr(compared) else { continue };
            let at = |expr: ExprId| At { module, expr };
            if passes_without_owner(project, at(asked), at(compared)) {
                let text = project.snippet(at(asked)).to_owned();
                report
                    .reached(at(asked), format!("what has no `{text}` passes: it is everybody's"))
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium);
                continue;
            }
            let text = project.snippet(at(asked)).replace("?.", ".");
            let below = format!("{text}.");
            let same = |side: ExprId| {
                let written = project.snippet(at(side)).replace("?.", ".");
                written == text || written.starts_with(below.as_str()) || comes_of(project, unit, at(side), &below)
            };
            let other = if same(*left) {
                *right
            } else if same(*right) {
                *left
            } else {
                continue;
            };
            if !is_caller(project, at(asked)) || !is_party(project, at(other)) || refused_before(project, unit, fun, id, &text) || is_set_to_it(project, unit, at(asked), at(other)) {
                continue;
            }
            let found = report.reached(at(compared), format!("this is compared only when there is `{text}`; a caller without it goes on"));
            found.confidence(Confidence::Medium);
            if lives.is_per_request(fun) && project.origins(at(asked)).has(Origins::PRINCIPAL) {
                found.severity(Severity::Medium);
            } else {
                found.severity(Severity::Low);
            }
        }
    }
}

/// Whether a variable becomes what it was compared with afterwards, so that whoever left it out is himself: `agent = verified.agent`.
fn is_set_to_it(project: &Project, unit: &Unit, asked: At, other: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(asked.expr) else { return false };
    let (text, after) = (project.snippet(other), unit.ir.span(other.expr).end);
    unit.index.sources(*id).iter().any(|source| {
        unit.ir.span(source.value).start > after && project.snippet(asked.to(source.value)) == text
    })
}

/// Whether a row's own owner is asked for before it is compared with the caller: `if (row.owner && row.owner !== caller) refuse`.
fn passes_without_owner(project: &Project, asked: At, compared: At) -> bool {
    let Some(unit) = project.unit(asked.module) else { return false };
    let (ExprKind::Member { object, property, .. }, ExprKind::Compare { left, right, .. }) =
        (unit.ir.expr(asked.expr), unit.ir.expr(compared.expr))
    else {
        return false;
    };
    let of_caller =
        project.written(asked.to(*object)).last().is_some_and(|name| vocabulary::is_principal(name) || vocabulary::is_user(name));
    let text = project.snippet(asked);
    let known = |at: At| {
        let name = project.written(at).pop().unwrap_or_default();
        is_party(project, at) || vocabulary::words(&name).iter().any(|word| matches!(word.as_str(), "email" | "sub" | "subject" | "login" | "username"))
    };
    let other = |one: ExprId, other: ExprId| project.snippet(asked.to(one)) == text && known(asked.to(other));
    vocabulary::is_owner(unit.ir.text(*property)) && !of_caller && (other(*left, *right) || other(*right, *left))
}

/// What a branch asks for, and what it compares before it refuses.
fn asked_and_compared(unit: &Unit, test: ExprId, then: &[StmtId]) -> Option<(ExprId, ExprId)> {
    match unit.ir.expr(test) {
        // `if (caller && record.owner !== caller) refuse`
        ExprKind::Logical { op: LogicalOp::And, left, right } => {
            let compares = matches!(unit.ir.expr(*right), ExprKind::Compare { op: CompareOp::NotEq, .. });
            if compares && refuses(unit, then) {
                return Some((*left, *right));
            }
            // `if (caller && mode === "oauth") { if (record.owner !== caller.id) throw … }`
            Some((*left, refusing(unit, then)?))
        }
        // `if (caller) { if (record.owner !== caller) refuse }`
        ExprKind::Name(_) | ExprKind::Member { .. } => match then {
            [inner] => match unit.ir.stmt(*inner) {
                StmtKind::If { test: compared, then, .. } if refuses(unit, then) => Some((test, *compared)),
                _ => None,
            },
            _ => Some((test, refusing(unit, then)?)),
        },
        _ => None,
    }
}

/// The condition under which one of some statements throws.
fn refusing(unit: &Unit, block: &[StmtId]) -> Option<ExprId> {
    block.iter().find_map(|stmt| match unit.ir.stmt(*stmt) {
        StmtKind::If { test, then, .. } => {
            let throws = then.iter().any(|own| matches!(unit.ir.stmt(*own), StmtKind::Throw(_)));
            throws.then_some(*test)
        }
        _ => None,
    })
}

/// Whether a chain of branches has no last one for everything else.
fn ends_open(unit: &Unit, otherwise: &[StmtId]) -> bool {
    let mut here = otherwise;
    for _ in 0..16 {
        match here {
            [] => return true,
            [only] => match unit.ir.stmt(*only) {
                StmtKind::If { otherwise, .. } => here = otherwise,
                _ => return false,
            },
            _ => return false,
        }
    }
    false
}

/// Whether a variable was made of parts of something: `allowed = [team.id for team in caller.teams]`.
fn comes_of(project: &Project, unit: &Unit, at: At, below: &str) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    unit.index.sources(*id).iter().take(4).any(|source| project.snippet(at.to(source.value)).replace("?.", ".").contains(below))
}

/// Rows without an owner that a check gives to everybody: `if (!row.ownerId) return true`, `return !row.ownerId || row.ownerId === me`.
fn ownerless(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let asked = match stmt {
                StmtKind::If { test, then, .. } => match then.as_ref() {
                    [only] => match unit.ir.stmt(*only) {
                        StmtKind::Return(Some(value)) if matches!(unit.ir.expr(*value), ExprKind::Bool(true)) => *test,
                        _ => continue,
                    },
                    _ => continue,
                },
                StmtKind::Return(Some(value)) => match unit.ir.expr(*value) {
                    ExprKind::Logical { op: LogicalOp::Or, left, .. } => *left,
                    _ => continue,
                },
                _ => continue,
            };
            let Some(owner) = absent(unit, asked) else { continue };
            if is_list_of_owners(project, unit, At { module, expr: owner }) && asks_user(unit, unit.index.stmt_function(id)) {
                report
                    .reached(At { module, expr: asked }, "what has no owners is everybody's")
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium);
                continue;
            }
            let ExprKind::Member { object, property, .. } = unit.ir.expr(owner) else { continue };
            let at = At { module, expr: owner };
            let of_caller = project
                .written(at.to(*object))
                .last()
                .is_some_and(|name| vocabulary::is_principal(name) || vocabulary::is_user(name));
            if !vocabulary::is_owner(unit.ir.text(*property)) || of_caller {
                continue;
            }
            let text = project.snippet(at);
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            let mut compared = false;
            walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
                if let ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } = unit.ir.expr(expr) {
                    let other = |one: ExprId, other: ExprId| {
                        project.snippet(at.to(one)) == text && is_party(project, at.to(other))
                    };
                    compared |= other(*left, *right) || other(*right, *left);
                }
            });
            if compared {
                report
                    .reached(At { module, expr: asked }, format!("what has no `{text}` is everybody's"))
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a value is what a function gives that is asked for the owners of something: `required = self.owners_of(resource)`.
fn is_list_of_owners(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let [source] = unit.index.sources(*id) else { return false };
    matches!(unit.ir.expr(source.value), ExprKind::Call(_))
        && project.last_written(at.to(source.value)).is_some_and(|name| {
            vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "owners" | "owner" | "tenants"))
        })
}

/// Whether a function is told who asks.
fn asks_user(unit: &Unit, id: crate::ir::FunctionId) -> bool {
    unit.ir.function(id).is_some_and(|function| {
        function.params.iter().filter_map(|own| own.name).any(|name| {
            let name = unit.ir.text(name);
            vocabulary::is_principal(name) || vocabulary::is_user(name)
        })
    })
}

/// Functions that say for whom something is to be asked, and say nobody for a caller without a tenant:
/// `return tenant if tenant is not None and limited() else None`. What asks for nobody's asks for everybody's.
fn unlimited(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let named = function.name.is_some_and(|name| {
                vocabulary::words(unit.ir.text(name)).iter().any(|word| vocabulary::is_tenant(word) || word == "scope")
            });
            if !named {
                continue;
            }
            for value in unit.index.returns(id) {
                let ExprKind::Conditional { test, then, otherwise } = unit.ir.expr(*value) else { continue };
                let ExprKind::Logical { op: LogicalOp::And, left, right } = unit.ir.expr(*test) else { continue };
                let at = At { module, expr: *then };
                let text = project.snippet(at);
                let asks = |side: ExprId| presence(unit, side).is_some_and(|asked| project.snippet(at.to(asked)) == text);
                let tenant = project.written(at).last().is_some_and(|name| vocabulary::is_tenant(name));
                if tenant && matches!(unit.ir.expr(*otherwise), ExprKind::Null) && asks(*left) != asks(*right) {
                    report
                        .reached(At { module, expr: *value }, format!("for a caller without `{text}` nobody's is everybody's"))
                        .severity(Severity::Medium)
                        .confidence(Confidence::Low);
                }
            }
        }
    }
}

fn presence(unit: &Unit, test: ExprId) -> Option<ExprId> {
    match unit.ir.expr(test) {
        ExprKind::Name(_) | ExprKind::Member { .. } => Some(test),
        ExprKind::Compare { op: CompareOp::NotEq, left, right } if matches!(unit.ir.expr(*right), ExprKind::Null) => Some(*left),
        _ => None,
    }
}

fn is_caller(project: &Project, at: At) -> bool {
    let name = project.written(at).pop().unwrap_or_default();
    let origins = project.origins(at);
    // `auth.user`, whatever the object is made of.
    let of_caller = project.written(at).first().is_some_and(|first| vocabulary::is_principal(first)) && vocabulary::is_owner(&name);
    of_caller
        || origins.has(Origins::PRINCIPAL)
        || (origins.has(Origins::OWNER | Origins::UNKNOWN)
            && (vocabulary::is_owner(&name) || vocabulary::is_principal(&name))
            && !origins.has(Origins::INPUT))
}

fn is_party(project: &Project, at: At) -> bool {
    let name = project.written(at).pop().unwrap_or_default();
    vocabulary::is_owner(&name) || vocabulary::is_principal(&name) || project.origins(at).has_owner()
}

/// Whether a block throws, or answers that it will not.
fn refuses(unit: &Unit, block: &[StmtId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        found |= matches!(unit.ir.stmt(stmt), StmtKind::Throw(_) | StmtKind::Return(_));
    });
    found
}

/// Whether the function has refused callers without it before.
fn refused_before(project: &Project, unit: &Unit, fun: Fun, before: StmtId, text: &str) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let order = unit.index.stmt_order(before);
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt)
            && unit.index.stmt_order(stmt) != order
            && refuses(unit, then)
        {
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                if let ExprKind::Unary { operand, .. } = unit.ir.expr(expr) {
                    let asked = project.snippet(At { module: fun.module, expr: *operand }).replace("?.", ".");
                    found |= asked == text || text.starts_with(&format!("{asked}."));
                }
            });
        }
    });
    found
}
