//! A memo whose key is made of its own, and leaves out the caller whom the function asks for.

use crate::{
    ir::{BindingKind, ExprKind, Function, NameRef, walk},
    library::Role,
    project::{At, Fun, Project, Symbol, Unit},
    vocabulary,
};

use super::memoised_result::{MEMOISERS, is_party, key_maker, reads_caller, taken_by};

/// Functions and methods that only bring into another form what they are given.
const FORMS: &[&str] = &[
    "str",
    "repr",
    "hash",
    "tuple",
    "hashkey",
    "format",
    "join",
    "sorted",
    "frozenset",
    "lower",
    "upper",
    "strip",
    "int",
    "len",
    "dumps",
    "md5",
    "sha1",
    "sha256",
    "encode",
    "hexdigest",
    "get",
    "items",
];

/// Whether a function reads the caller from elsewhere than its arguments, and is memoised under a text that is written out, or under what a
/// function makes of its arguments alone.
pub(super) fn leaves_out_caller(
    project: &Project,
    unit: &Unit,
    at: At,
    function: &Function,
    fun: Fun,
) -> bool {
    let Some(callee) = project.callee(at) else { return false };
    let known = callee.defs.iter().any(|def| def.role == Role::Memoize)
        || (MEMOISERS.contains(&callee.name()) && callee.targets.is_empty());
    let Some(key) = key_maker(project, unit, at).filter(|_| known) else { return false };
    names_nobody(project, unit, key, function) && reads_caller(project, fun.module, unit, fun)
}

fn names_nobody(project: &Project, memoised: &Unit, key: At, function: &Function) -> bool {
    let Some(home) = project.unit(key.module) else { return false };
    let maker = match (home.ir.expr(key.expr), project.symbol(key)) {
        (ExprKind::String(text), _) => return is_of_nobody(home.ir.text(*text)),
        (ExprKind::Function(id), _) => Fun { module: key.module, id: *id },
        (ExprKind::Name(_), Symbol::Function(fun)) => fun,
        _ => return false,
    };
    let Some(unit) = project.unit(maker.module) else { return false };
    let mut other = false;
    walk::function_exprs(&unit.ir, maker.id, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Call(_) => {
            let at = At { module: maker.module, expr };
            other |= project.callee(at).is_none_or(|callee| !FORMS.contains(&callee.name()));
        }
        // `current_user.id`
        ExprKind::Name(NameRef::Binding(id)) => {
            let imported = unit.ir.binding(*id).is_some_and(|own| matches!(own.kind, BindingKind::Import(_)));
            other |= imported
                && matches!(unit.index.parent(expr), crate::project::Parent::Expr(up)
                if !matches!(unit.ir.expr(up), ExprKind::Call(_)));
        }
        _ => {}
    });
    let whole = |name: &String| {
        is_party(name)
            || vocabulary::is_principal(name)
            || vocabulary::is_credential(name)
            || matches!(
                name.as_str(),
                "self" | "cls" | "request" | "req" | "ctx" | "context" | "info" | "session"
            )
    };
    !other && taken_by(project, maker, function, memoised).is_some_and(|taken| !taken.iter().any(whole))
}

/// Whether a text that is a key names nobody, also where arguments are put into it: `note:{note_id}`.
fn is_of_nobody(text: &str) -> bool {
    text.split('{')
        .skip(1)
        .filter_map(|part| part.split(['}', ':', '.', '!']).next())
        .all(|name| !is_party(name) && !vocabulary::is_principal(name) && !vocabulary::is_credential(name))
}
