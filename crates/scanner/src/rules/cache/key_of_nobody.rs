//! Keys that take the caller out, say only whether there is one, or name the same one for all.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ArgKind, BindingId, CompareOp, ExprId, ExprKind, FunctionId, Kinds, NameRef, TemplatePart, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports keys of caches that cannot tell callers apart, though they were written with callers in mind.
pub(super) fn key_of_nobody(project: &Project, report: &mut Report<'_>) {
    super::key_without_told::key_without_told(project, report);
    let kept: BTreeSet<Fun> = project.accesses().iter().map(|access| access.function).collect();
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::COMPARE | Kinds::TEXT | Kinds::CALL) {
            let at = At { module, expr };
            if matches!(kind, ExprKind::String(_)) {
                continue;
            }
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE {
                continue;
            }
            let text = match kind {
                ExprKind::Compare { op: CompareOp::In | CompareOp::NotIn, right, .. }
                    if drops_caller(unit, *right) && uses_cache(unit, fun.id, kept.contains(&fun)) =>
                {
                    "the caller is left out of what this key is made of"
                }
                ExprKind::Template(parts) if is_key(project, unit, at) => {
                    match only_whether(unit, fun, parts) {
                        true => "this key says whether there is a caller, and not who",
                        false => continue,
                    }
                }
                ExprKind::Call(_) if asks_for_one(project, unit, at, fun) => {
                    "this cache is asked for one and the same tenant, whoever calls"
                }
                _ => continue,
            };
            report.reached(at, text).severity(Severity::Medium).confidence(Confidence::Medium);
        }
    }
}

/// Names of what a framework hands to a function, and that is no part of a key.
const PLUMBING: &[&str] = &[
    "db",
    "request",
    "response",
    "session",
    "self",
    "req",
    "conn",
    "connection",
    "background_tasks",
    "cls",
    "ctx",
];

/// Whether a list of names of arguments, some of which are a framework's, has the caller in it: `("db", "request", "current_user")`.
fn drops_caller(unit: &Unit, list: ExprId) -> bool {
    let list = match unit.ir.expr(list) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] => source.value,
            _ => return false,
        },
        _ => list,
    };
    let mut names = Vec::new();
    walk::exprs_below(&unit.ir, list, &mut |expr| {
        if let ExprKind::String(text) = unit.ir.expr(expr) {
            names.push(unit.ir.text(*text));
        }
    });
    let caller = |name: &&str| {
        vocabulary::is_principal(name)
            || vocabulary::is_user(name)
            || matches!(*name, "user" | "current_user" | "tenant")
    };
    names.len() > 1 && names.iter().any(caller) && names.iter().any(|name| PLUMBING.contains(name))
}

/// Whether a function keeps values by keys, or has variables that are named for a cache.
fn uses_cache(unit: &Unit, id: FunctionId, keeps: bool) -> bool {
    let mut named = keeps;
    walk::function_exprs(&unit.ir, id, &mut |expr| {
        named |= match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_cache(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => vocabulary::is_cache(unit.ir.text(*property)),
            _ => false,
        };
    });
    named
}

/// Whether a text is a key: by the variable that it is set to, or because something is kept under it.
fn is_key(project: &Project, unit: &Unit, at: At) -> bool {
    let named = |name: &str| vocabulary::words(name).last().is_some_and(|last| last == "key");
    if let Some(stmt) = unit.index.stmt_of(at.expr)
        && let crate::ir::StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt)
        && *value == at.expr
        && let Some(id) = target.as_binding()
    {
        return named(unit.ir.binding_name(id));
    }
    match unit.index.parent(at.expr) {
        crate::project::Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Call(call) => {
                let method = project.written(at.to(call.callee)).pop().unwrap_or_default();
                call.positional(0) == Some(at.expr)
                    && matches!(method.as_str(), "get" | "set" | "setex" | "setnx" | "aget" | "aset")
            }
            ExprKind::Index { index, .. } => *index == at.expr,
            _ => false,
        },
        // What a function that is named for a key gives.
        crate::project::Parent::Stmt(stmt) => {
            matches!(unit.ir.stmt(stmt), crate::ir::StmtKind::Return(_))
                && makes_key(project.function_name(project.function_of(at)))
        }
        _ => false,
    }
}

/// Whether a function is named for the key that it makes: `keyOf`, `generateCacheKey`.
fn makes_key(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.last().is_some_and(|last| last == "key") || words.first().is_some_and(|first| first == "key")
}

/// Whether a part of a key is named for a caller, and is only ever set to written texts in this function:
/// `who = "anonymous"; if token: who = "authenticated"`.
fn only_whether(unit: &Unit, fun: Fun, parts: &[TemplatePart]) -> bool {
    let mut nobody = false;
    let mut somebody = false;
    for part in parts {
        let TemplatePart::Value(value) = part else { continue };
        let fixed = match unit.ir.expr(*value) {
            ExprKind::Name(NameRef::Binding(id)) => {
                is_only_texts(unit, fun, *id)
                    || matches!(unit.index.sources(*id), [source] if is_flag(unit, source.value))
            }
            _ => is_flag(unit, *value),
        };
        nobody |= fixed;
        somebody |= !fixed && names_somebody(unit, *value);
    }
    nobody && !somebody
}

/// Whether an expression is one text or another, by whether there is a caller, a credential or what gives one:
/// `deps?.authProvider ? "auth" : "none"`.
fn is_flag(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::Conditional { test, then, otherwise } = unit.ir.expr(expr) else { return false };
    let texts = [*then, *otherwise].into_iter().all(|side| matches!(unit.ir.expr(side), ExprKind::String(_)));
    // What is compared with something is a mode: `user.plan === "pro" ? "pro" : "free"`.
    let name = match unit.ir.expr(*test) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        _ => return false,
    };
    texts && gives_caller(name)
}

/// Whether a name is that of a caller, of a credential, or of what gives one: `authProvider`, `tokenStore`.
fn gives_caller(name: &str) -> bool {
    let words = vocabulary::words(name);
    let asks = words
        .first()
        .is_some_and(|first| matches!(first.as_str(), "is" | "has" | "use" | "with" | "needs" | "requires"));
    let gives = words.last().is_some_and(|last| {
        matches!(
            last.as_str(),
            "provider" | "storage" | "store" | "manager" | "client" | "context" | "header" | "headers"
        )
    });
    let stem =
        if gives && words.len() > 1 { words.split_last().map(|(_, stem)| stem.join("_")) } else { None };
    let stem = stem.as_deref().unwrap_or(name);
    !asks && (vocabulary::is_principal(stem) || vocabulary::is_credential(stem) || vocabulary::is_owner(stem))
}

/// Whether an expression names somebody.
fn names_somebody(unit: &Unit, expr: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            _ => return,
        };
        found |= vocabulary::is_owner(name)
            || vocabulary::is_principal(name)
            || vocabulary::is_session_id(name)
            || vocabulary::is_credential(name);
    });
    found
}

fn is_only_texts(unit: &Unit, fun: Fun, id: BindingId) -> bool {
    let sources = unit.index.sources(id);
    let texts: Vec<&str> = sources
        .iter()
        .filter(|source| source.path.is_empty() && source.function == fun.id)
        .filter_map(|source| match unit.ir.expr(source.value) {
            ExprKind::String(text) => Some(unit.ir.text(*text)),
            _ => None,
        })
        .collect();
    let without = texts.iter().any(|text| {
        matches!(
            text.to_lowercase().as_str(),
            "anonymous" | "anon" | "guest" | "public" | "none" | "unauthenticated"
        )
    });
    texts.len() > 1 && texts.len() == sources.len() && without
}

/// Methods of caches.
const METHODS: &[&str] =
    &["get", "set", "put", "lookup", "check", "store", "delete", "fetch", "aget", "aset", "invalidate"];

/// Whether a method of a cache is told a tenant that is written out: `self.get(request, tenant_id=DEFAULT)` in a class of caches.
fn asks_for_one(project: &Project, unit: &Unit, at: At, fun: Fun) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    if !METHODS.contains(&unit.ir.text(*property)) {
        return false;
    }
    let holder = match unit.ir.expr(*object) {
        ExprKind::This => {
            project.this_of(fun).map(|class| project.class_name(class).to_owned()).unwrap_or_default()
        }
        _ => project.written(at.to(*object)).pop().map(String::from).unwrap_or_default(),
    };
    vocabulary::is_cache(&holder)
        && call.args.iter().any(|arg| {
            let ArgKind::Keyword(name) = arg.kind else { return false };
            let owner = vocabulary::is_owner(unit.ir.text(name));
            owner && is_one(project, unit, at.to(arg.value))
        })
}

/// Whether a value is a text that is written out, or a variable of the module that is never set to anything else.
fn is_one(project: &Project, unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::String(text) => !unit.ir.text(*text).is_empty(),
        ExprKind::Name(NameRef::Binding(id)) => {
            let [source] = unit.index.sources(*id) else { return false };
            unit.ir.is_module_level(*id) && is_written_out(project, unit, at.to(source.value))
        }
        _ => false,
    }
}

/// Whether a value is made of nothing but what stands in the code: `sha256(b"default").hexdigest()`.
fn is_written_out(project: &Project, unit: &Unit, at: At) -> bool {
    let mut fixed = true;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        fixed &= match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => {
                unit.ir.binding(*id).is_some_and(|own| matches!(own.kind, crate::ir::BindingKind::Import(_)))
            }
            ExprKind::Null => false,
            _ => true,
        };
    });
    let text = project.snippet(at);
    fixed
        && !text.contains("environ")
        && !text.contains("getenv")
        && !text.contains("uuid")
        && !text.contains("token_")
}
