//! The process's own credential behind a branch for callers who bring theirs: `if (context?.apiKey) { … return clientOf(context); }`, and
//! further down `return new Client(settingsOfEnvironment())`. Whoever leaves the credential out comes to what stands there.

use partywall_model::{Confidence, Severity};

use super::{
    callers_own::{Known, kept_credential, own_credential},
    of_models::is_of_models,
};
use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, ExprId, ExprKind, FunctionId, Language, LogicalOp, NameRef, StmtId, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// What a value is of when a caller brought it.
const CALLERS: Origins = Origins::SECRET.or(Origins::PRINCIPAL).or(Origins::UNVERIFIED);

/// Words of what is told of one caller or one tenant.
const OF_CALLERS: &[&str] = &[
    "context",
    "ctx",
    "session",
    "tenant",
    "user",
    "caller",
    "account",
    "workspace",
    "org",
    "organization",
    "request",
    "req",
    "extra",
    "auth",
    "principal",
    "connection",
    "store",
    "customer",
];

/// How many statements around a branch are left for what follows them.
const AROUND: usize = 16;

/// Reports what a caller without a credential comes to.
pub(super) fn falls_past(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let mut known = Known::default();
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, otherwise } = stmt else { continue };
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            if fun.id == FunctionId::MODULE || !leaves(unit, then) || !lives.is_per_request(fun) {
                continue;
            }
            let Some(root) = brought(project, unit, At { module, expr: *test }) else { continue };
            if !gives_theirs(unit, then, root) {
                continue;
            }
            let mut search = Search { project, unit, fun, root, known: &mut known };
            let own = match search.first(otherwise) {
                Next::Own(at, name) => Some((at, name)),
                Next::Ends => None,
                Next::Goes => search.after(id),
            };
            let Some((own, name)) = own else { continue };
            let found = report.reached(
                own,
                format!("a caller who brings no credential gets `{name}`, which is the process's own"),
            );
            let low = is_of_models(std::slice::from_ref(&name));
            found
                .severity(if low { Severity::Low } else { Severity::Medium })
                .confidence(Confidence::Medium)
                .related(module, unit.ir.span(*test), "this is for those who bring theirs");
        }
    }
}

/// Whether a block ends by leaving the function.
fn leaves(unit: &Unit, block: &[StmtId]) -> bool {
    block.last().is_some_and(|last| matches!(unit.ir.stmt(*last), StmtKind::Return(_) | StmtKind::Throw(_)))
}

/// The variable whose credential a condition finds there: `context` of `context?.url && context.apiKey`.
fn brought(project: &Project, unit: &Unit, test: At) -> Option<BindingId> {
    match unit.ir.expr(test.expr) {
        ExprKind::Logical { op: LogicalOp::And, left, right } => {
            brought(project, unit, test.to(*left)).or_else(|| brought(project, unit, test.to(*right)))
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let theirs = vocabulary::is_credential(unit.ir.binding_name(*id)) && is_callers(project, test);
            theirs.then_some(*id)
        }
        ExprKind::Member { object, property, .. } => {
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
            let credential = vocabulary::is_credential(unit.ir.text(*property));
            (credential && (is_of_caller(project, unit, test, *id) || is_callers(project, test)))
                .then_some(*id)
        }
        _ => None,
    }
}

/// Whether a caller brought a value, and the environment had no part in it.
fn is_callers(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    origins.has(CALLERS) && !origins.has(Origins::ENV)
}

/// Whether a variable holds what one caller has: a parameter or what a call gave, by its name.
fn is_of_caller(project: &Project, unit: &Unit, at: At, id: BindingId) -> bool {
    let words = vocabulary::words(unit.ir.binding_name(id));
    let named = words.iter().any(|word| OF_CALLERS.contains(&word.as_str()));
    let given = project.parameter_of(at.module, id).is_some()
        || unit
            .index
            .sources(id)
            .iter()
            .any(|source| matches!(unit.ir.expr(source.value), ExprKind::Call(_) | ExprKind::Await(_)));
    // Who runs the server for one user gives it that one's from the environment in the same way.
    let origins = project.origins(at);
    let own = origins.has(Origins::ENV) && !origins.is_of_request() && !origins.has(Origins::UNKNOWN);
    named && given && !unit.ir.is_module_level(id) && !own
}

/// Whether a block gives back something that was made of what a caller brought.
fn gives_theirs(unit: &Unit, block: &[StmtId], root: BindingId) -> bool {
    let mut gives = false;
    let mut uses = false;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        gives |= matches!(unit.ir.stmt(stmt), StmtKind::Return(Some(value)) if !matches!(unit.ir.expr(*value), ExprKind::Null));
        uses |= mentions(unit, stmt, root);
    });
    gives && uses
}

/// Whether a variable stands in a statement itself.
fn mentions(unit: &Unit, stmt: StmtId, root: BindingId) -> bool {
    let mut found = false;
    walk::parts(&unit.ir, stmt, &mut |part| {
        if let walk::Part::Expr(expr) = part {
            walk::exprs_below(&unit.ir, expr, &mut |expr| {
                found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if *id == root);
            });
        }
    });
    found
}

/// What statements come to, one after the other.
enum Next {
    /// A use of the process's own credential.
    Own(At, String),
    /// A refusal, or another way out.
    Ends,
    /// What follows them.
    Goes,
}

/// Where the process's own credential is looked for.
struct Search<'a> {
    project: &'a Project,
    unit: &'a Unit,
    fun: Fun,
    root: BindingId,
    known: &'a mut Known,
}

impl Search<'_> {
    /// The first use of the process's own credential that is reached when a branch is passed over.
    fn after(&mut self, branch: StmtId) -> Option<(At, String)> {
        let mut here = branch;
        for _ in 0..AROUND {
            let up = self.unit.index.stmt_parent(here);
            let order = self.unit.index.stmt_order(here);
            let block = self.block_of(up, here)?;
            let rest: Vec<StmtId> =
                block.iter().copied().filter(|own| self.unit.index.stmt_order(*own) > order).collect();
            match self.first(&rest) {
                Next::Own(at, name) => return Some((at, name)),
                Next::Ends => return None,
                Next::Goes => here = up?,
            }
        }
        None
    }

    /// The block that a statement stands in; a loop or a `try` is not looked out of.
    fn block_of(&self, up: Option<StmtId>, here: StmtId) -> Option<Vec<StmtId>> {
        let Some(up) = up else { return Some(self.unit.ir.function(self.fun.id)?.body.to_vec()) };
        let StmtKind::If { then, otherwise, .. } = self.unit.ir.stmt(up) else { return None };
        [then, otherwise].into_iter().find(|block| block.contains(&here)).map(|block| block.to_vec())
    }

    /// What some statements come to.
    fn first(&mut self, block: &[StmtId]) -> Next {
        for stmt in block {
            if let Some((at, name)) = self.own_in(*stmt, AROUND) {
                return Next::Own(at, name);
            }
            let mut refuses = false;
            walk::stmts_below(&self.unit.ir, std::slice::from_ref(stmt), &mut |below| {
                refuses |= match self.unit.ir.stmt(below) {
                    StmtKind::Throw(_) | StmtKind::Return(None) => true,
                    StmtKind::Return(Some(value)) => {
                        below == *stmt
                            || !matches!(
                                self.unit.ir.expr(*value),
                                ExprKind::Name(_) | ExprKind::Member { .. }
                            )
                    }
                    _ => false,
                };
            });
            if refuses {
                return Next::Ends;
            }
        }
        Next::Goes
    }

    /// The process's own credential in a statement, if it is used there and not only asked for.
    fn own_in(&mut self, stmt: StmtId, depth: usize) -> Option<(At, String)> {
        let depth = depth.checked_sub(1)?;
        let unit = self.unit;
        let value = match unit.ir.stmt(stmt) {
            StmtKind::If { then, otherwise, .. } => {
                return then.iter().chain(otherwise.iter()).find_map(|below| self.own_in(*below, depth));
            }
            StmtKind::Return(Some(value)) | StmtKind::Expr(value) => *value,
            StmtKind::Assign { value, .. } => *value,
            _ => return None,
        };
        let mut all = Vec::new();
        walk::exprs_below(&unit.ir, value, &mut |expr| all.push(expr));
        all.into_iter().find_map(|expr| self.own(expr))
    }

    fn own(&mut self, expr: ExprId) -> Option<(At, String)> {
        let (project, unit) = (self.project, self.unit);
        let at = At { module: self.fun.module, expr };
        let name = own_credential(project, unit, at).or_else(|| kept_credential(project, unit, at));
        if let Some(name) = name {
            let alone = matches!(unit.index.parent(expr), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Unary { .. } | ExprKind::Logical { .. }));
            return (!alone && !project.origins(at).has(CALLERS)).then_some((at, name));
        }
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
        let callee = project.callee(at).filter(|callee| callee.certain)?;
        let [target] = callee.targets.as_slice() else { return None };
        let words = vocabulary::words(callee.name());
        let fits = vocabulary::is_credential(callee.name())
            || words.iter().any(|word| {
                matches!(
                    word.as_str(),
                    "client" | "config" | "credentials" | "settings" | "env" | "environment" | "headers"
                )
            });
        let told = call.args.iter().any(|arg| {
            project.roots(at.to(arg.value)).contains(&self.root)
                || project.origins(at.to(arg.value)).has(CALLERS)
        });
        if !fits || told {
            return None;
        }
        let takes = self.known.of(project, *target);
        (takes.own && !takes.callers).then(|| (at, callee.name().to_owned()))
    }
}
