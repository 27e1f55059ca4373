//! Chosen ids that are compared with the caller, or looked up with it, before they are used.

use crate::{
    flow::Origins,
    ir::{BindingId, CompareOp, ExprId, ExprKind, NameRef, StmtKind, UnaryOp, walk},
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::data::{callers::is_caller, compared::item_of},
    vocabulary,
};

/// The most uses of a variable that are looked at.
const USES: usize = 24;

/// Whether a chosen id is what a row is looked up by together with the verified caller, and who has no such row is refused: at
/// the look-up itself, and after the refusal. `seat = await seats.find(user.id, teamId)`, `if (!seat) return refuse()`.
pub(in crate::rules) fn is_of_callers_row(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let own = unit.index.function(at.expr);
    // Of `data.batchId` other fields say nothing.
    let told = project.parameter_of(at.module, *id).is_some();
    let field = |expr: ExprId| match unit.index.parent(expr) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Member { object, property, .. } if *object == expr && told => {
                Some(unit.ir.text(*property))
            }
            _ => None,
        },
        _ => None,
    };
    let same =
        |used: &&ExprId| field(at.expr).is_none_or(|name| field(**used).is_none_or(|other| other == name));
    let uses =
        unit.index.uses(*id).iter().take(USES).filter(|used| unit.index.function(**used) == own).filter(same);
    uses.filter_map(|used| Some((*used, refused_after(project, unit, at.to(*used))?)))
        .any(|(used, refused)| used == at.expr || unit.index.order(at.expr) > refused)
}

/// Whether a part of what was sent is what a row is looked up by, here or in another place of the function that names the same part, and the
/// row's owner is compared with the caller: `place = find(input.placeId)`, `if (place.userId !== me.id) throw …`.
pub(super) fn finds_compared_row(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    let fun = unit.index.function(at.expr);
    let uses = unit.index.uses(*id).iter().take(USES).filter(|used| unit.index.function(**used) == fun);
    let same = uses.filter_map(|used| match unit.index.parent(*used) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Member { object, property: own, .. } => {
                (*object == *used && own == property).then_some(up)
            }
            _ => None,
        },
        _ => None,
    });
    same.filter(|part| unit.index.order(*part) <= unit.index.order(at.expr)).any(|part| {
        let mut here = part;
        for _ in 0..6 {
            let Parent::Expr(up) = unit.index.parent(here) else { return false };
            match unit.ir.expr(up) {
                ExprKind::Call(call) if call.callee != here => {
                    return is_callers_own(project, unit, at.to(up));
                }
                ExprKind::Object(_) => here = up,
                _ => return false,
            }
        }
        false
    })
}

/// Whether the owner of the row that a call gives is compared with the id of who is named as the caller, and who is another one is refused.
fn is_callers_own(project: &Project, unit: &Unit, call: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(call.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(row) = target.as_binding() else { return false };
    let fun = project.function_of(call);
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let part = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Member { object, property, .. } => match unit.ir.expr(*object) {
            ExprKind::Name(NameRef::Binding(id)) => Some((*id, unit.ir.text(*property))),
            _ => None,
        },
        _ => None,
    };
    let of_row = |expr: ExprId| part(expr).is_some_and(|(id, name)| id == row && vocabulary::is_owner(name));
    let of_caller = |expr: ExprId| {
        part(expr).is_some_and(|(id, name)| {
            let words = vocabulary::words(unit.ir.binding_name(id));
            let named = words.len() > 1
                && words
                    .first()
                    .is_some_and(|first| matches!(first.as_str(), "current" | "auth" | "logged" | "session"))
                && words.last().is_some_and(|last| vocabulary::is_user(last) || last == "user");
            id != row
                && matches!(name, "id" | "_id" | "sub" | "uid" | "userId" | "user_id")
                && (named || vocabulary::is_principal(unit.ir.binding_name(id)))
        })
    };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        if found
            || unit.index.order(*test) < unit.index.order(call.expr)
            || !project.always_leaves(unit, fun, then)
        {
            return;
        }
        // `!place || place.userId !== currentUser.id`
        let mut open = vec![*test];
        while let Some(expr) = open.pop() {
            match unit.ir.expr(expr) {
                ExprKind::Logical { op: crate::ir::LogicalOp::Or, left, right } => {
                    open.extend([*left, *right])
                }
                ExprKind::Compare { op: CompareOp::NotEq, left, right } => {
                    found |= (of_row(*left) && of_caller(*right)) || (of_row(*right) && of_caller(*left));
                }
                _ => {}
            }
        }
    });
    found
}

/// How many variables and functions of ours a chosen id is followed through to where it is compared.
const STEPS: u32 = 3;

/// Whether a chosen id goes into a variable that is used after it was compared with the caller only: `org = req.query.org`,
/// `if (org !== req.user.org) return refuse()`; or into a function of ours whose parameter is.
pub(super) fn is_checked_where_used(project: &Project, at: At) -> bool {
    goes_into_held(project, at, STEPS)
}

/// The same of a value on its way: `tenant = UUID(raw)`, `choose(db, user, raw)`.
fn goes_into_held(project: &Project, at: At, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return false };
    let held = |(target, id): (Fun, BindingId)| {
        project.unit(target.module).is_some_and(|home| {
            refuses(project, home, target) && is_held(project, home, target.module, id, depth)
        })
    };
    if parameters_of(project, unit, at).is_some_and(|parameters| parameters.into_iter().all(held)) {
        return true;
    }
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return false };
    // What a call gives for it on the way is another thing.
    let whole = depth + 1 == STEPS || *value == at.expr;
    target.as_binding().is_some_and(|id| whole && is_held(project, unit, at.module, id, depth))
}

/// Whether a function ends for whom something does not hold; one that only gives a value another form looks at nothing.
fn refuses(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        found |= match unit.ir.stmt(stmt) {
            StmtKind::If { then, otherwise, .. } => {
                project.leaves(fun, then) || project.leaves(fun, otherwise)
            }
            StmtKind::Throw(_) | StmtKind::Assert { .. } => true,
            _ => false,
        };
    });
    found
}

/// The parameters of the functions of ours that a value is given to as it is.
fn parameters_of(project: &Project, unit: &Unit, at: At) -> Option<Vec<(Fun, BindingId)>> {
    let Parent::Expr(up) = unit.index.parent(at.expr) else { return None };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return None };
    let call = Some(at.to(up)).filter(|_| call.callee != at.expr)?;
    let callee = project.callee(call).filter(|callee| callee.certain && !callee.targets.is_empty())?;
    let received = |target: &Fun| {
        let params = &project.unit(target.module)?.ir.function(target.id)?.params;
        let number = (0..params.len()).find(|number| project.argument(call, *target, *number) == Some(at))?;
        Some((*target, params.get(number)?.pattern.as_binding()?))
    };
    callee.targets.iter().map(received).collect()
}

/// Whether all uses of a variable that are no tests come after it was compared with the caller, or looked up with it.
fn is_held(project: &Project, unit: &Unit, module: ModuleId, id: BindingId, depth: u32) -> bool {
    let tests = |used: &ExprId| {
        unit.index.stmt_of(*used).is_some_and(|stmt| matches!(unit.ir.stmt(stmt), StmtKind::If { .. }))
    };
    let uses: Vec<ExprId> = unit.index.uses(id).iter().copied().filter(|used| !tests(used)).collect();
    !uses.is_empty()
        && uses.len() <= USES
        && uses.into_iter().map(|used| At { module, expr: used }).all(|used| {
            project.is_checked(used)
                || is_of_callers_row(project, used)
                || project.is_superusers(used)
                || goes_into_held(project, conversion_of(unit, used), depth)
        })
}

/// What stands around a value that only gives it another form: `UUID(raw)`, `int(raw)`, `raw.trim()`.
fn conversion_of(unit: &Unit, at: At) -> At {
    const FORMS: &[&str] = &[
        "UUID",
        "int",
        "str",
        "Number",
        "String",
        "parseInt",
        "BigInt",
        "ObjectId",
        "trim",
        "strip",
        "lower",
        "toLowerCase",
        "toString",
    ];
    let Parent::Expr(up) = unit.index.parent(at.expr) else { return at };
    let (callee, up) = match unit.ir.expr(up) {
        ExprKind::Call(call) if call.callee != at.expr => (call.callee, up),
        ExprKind::Member { object, .. } if *object == at.expr => match unit.index.parent(up) {
            Parent::Expr(call) if matches!(unit.ir.expr(call), ExprKind::Call(call) if call.callee == up) => {
                (up, call)
            }
            _ => return at,
        },
        _ => return at,
    };
    let name = match unit.ir.expr(callee) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Name(NameRef::Global(name)) => unit.ir.text(*name),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return at,
    };
    if FORMS.contains(&name) { at.to(up) } else { at }
}

/// Whether a variable holds a row that was looked up with the verified caller, and who has none was refused.
pub(in crate::rules) fn is_callers_row(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let [source] = unit.index.sources(*id) else { return false };
    refused_after(project, unit, at.to(source.value))
        .is_some_and(|refused| unit.index.order(at.expr) > refused)
}

/// When who has no row is refused, for a use in a look-up, or the whole of it, that the verified caller stands in too.
fn refused_after(project: &Project, unit: &Unit, used: At) -> Option<u32> {
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(unit.index.stmt_of(used.expr)?) else {
        return None;
    };
    // Of several at once, `await Promise.all([…])`, each has a name of its own.
    let one = item_of(unit, *value, used.expr, target);
    let (value, target) = one.as_ref().map_or((value, target), |(value, target)| (value, *target));
    // What is called is no caller, whatever it is called: `prisma.user.findUnique(…)`.
    let mut given = Vec::new();
    walk::exprs_below(&unit.ir, *value, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr) {
            given.extend(call.args.iter().map(|arg| arg.value));
        }
    });
    let (mut asked, mut callers) = (used.expr == *value, false);
    for arg in given {
        walk::exprs_below(&unit.ir, arg, &mut |expr| {
            asked |= expr == used.expr;
            if !callers
                && matches!(unit.ir.expr(expr), ExprKind::Member { .. } | ExprKind::Name(_))
                && expr != used.expr
            {
                let at = used.to(expr);
                // `Student.id` is a column.
                callers =
                    !is_of_class(unit, expr) && is_caller(project, at) && !project.origins(at).is_chosen();
            }
        });
    }
    // What is asked, as `db` of `db.query(…)`, is nothing that a row is found by.
    if !asked {
        return None;
    }
    if !callers {
        return None;
    }
    let mut rows = Vec::new();
    target.for_each_binding(&mut |binding| rows.push(binding));
    let fun = project.function_of(used);
    let mut refused = None;
    walk::stmts_below(&unit.ir, &unit.ir.function(fun.id)?.body, &mut |stmt| {
        if let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt)
            && unit.index.order(*test) > unit.index.order(used.expr)
            && refused.is_none()
            && is_missing(unit, *test, &rows)
            && project.leaves(fun, then)
        {
            refused = Some(unit.index.order(*test));
        }
    });
    refused
}

/// Whether a value is a class, or what one has: `Student.id`.
fn is_of_class(unit: &Unit, mut expr: ExprId) -> bool {
    while let ExprKind::Member { object, .. } = unit.ir.expr(expr) {
        expr = *object;
    }
    matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if unit.ir.binding_name(*id).starts_with(char::is_uppercase))
}

/// Whether a test holds when one of the variables has nothing: `!row`, `row is None`, `error || !row`.
fn is_missing(unit: &Unit, test: ExprId, rows: &[BindingId]) -> bool {
    let is_row = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if rows.contains(id));
    let mut found = false;
    walk::exprs_below(&unit.ir, test, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Unary { op: UnaryOp::Not, operand } => is_row(*operand),
            ExprKind::Compare { op: CompareOp::Eq, left, right } => {
                is_row(*left) && matches!(unit.ir.expr(*right), ExprKind::Null)
            }
            _ => false,
        };
    });
    found
}

/// Whether a part of what was looked up goes into a variable that is compared with the caller: `owner = room.get("owner")`,
/// `if owner != subject`.
pub(super) fn is_held_against(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return false };
    let root = match unit.ir.expr(at.expr) {
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => *object,
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, .. } => *object,
            _ => return false,
        },
        _ => return false,
    };
    let looked_up = matches!(unit.ir.expr(root), ExprKind::Name(NameRef::Binding(of))
        if unit.index.sources(*of).iter().any(|source| matches!(unit.ir.expr(source.value), ExprKind::Await(_))));
    if !looked_up {
        return false;
    }
    let is_it =
        |side: At| matches!(unit.ir.expr(side.expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    let caller = |side: At| {
        let origins = project.origins(side);
        let call = matches!(unit.ir.expr(side.expr), ExprKind::Call(_));
        !call && origins.has(Origins::PRINCIPAL) && !origins.has(Origins::INPUT)
    };
    project
        .guards(project.function_of(at))
        .iter()
        .any(|guard| (is_it(guard.left) && caller(guard.right)) || (is_it(guard.right) && caller(guard.left)))
}
