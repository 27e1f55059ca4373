//! What stands before a handler and is told what it is about: guards with arguments, and paths that a middleware keeps to some.

use super::before::says;
use crate::{
    flow::Entry,
    ir::{ArgKind, Call, ExprId, ExprKind, NameRef, walk},
    project::{At, Fun, ModuleId, Parent, Project, Symbol, Unit},
    rules::refusing::refuses_by_name,
    vocabulary,
};

/// Whether a guard stands before the handler that is told what it is about, `Depends(require_auth(workspace="workspace_id"))`, or is
/// named for whose a thing is, `[requireProjectMember]`: with the route, with its router, or put before all routes of the router.
pub(super) fn is_guarded(project: &Project, fun: Fun) -> bool {
    let Some(entry) = project.entry_around(fun) else { return false };
    let Some(unit) = project.unit(entry.handler.module) else { return false };
    let function = unit.ir.function(entry.handler.id);
    let class = function.and_then(|own| own.class).and_then(|id| unit.ir.class(id));
    let handler = entry.handler.module;
    let mut said: Vec<At> = Vec::new();
    let decorators = function.into_iter().flat_map(|own| own.decorators.iter());
    said.extend(
        decorators
            .chain(class.into_iter().flat_map(|own| own.decorators.iter()))
            .map(|expr| At { module: handler, expr: *expr }),
    );
    if entry.registration.expr != ExprId::MISSING {
        said.push(entry.registration);
    }
    let routers: Vec<At> = said.iter().filter_map(|at| router_of(project, *at)).collect();
    said.iter().any(|at| has_guard(project, *at, true))
        || routers.iter().any(|router| is_router_guarded(project, *router))
}

/// The name of the router on which a route is registered: `router` of `router.get("/notes")`.
fn router_of(project: &Project, at: At) -> Option<At> {
    let unit = project.unit(at.module)?;
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(_))).then_some(at.to(*object))
}

/// Whether a router is made with a guard, or one is put before all that is registered on it.
fn is_router_guarded(project: &Project, router: At) -> bool {
    let Some(unit) = project.unit(router.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(router.expr) else { return false };
    let made = unit.index.sources(*id).iter().take(4).any(|source| {
        matches!(unit.ir.expr(source.value), ExprKind::Call(_))
            && has_guard(project, router.to(source.value), true)
    });
    made || unit.index.uses(*id).iter().take(64).any(|used| {
        let Parent::Expr(member) = unit.index.parent(*used) else { return false };
        let ExprKind::Member { property, .. } = unit.ir.expr(member) else { return false };
        let Parent::Expr(call) = unit.index.parent(member) else { return false };
        matches!(
            unit.ir.text(*property),
            "use" | "all" | "addHook" | "before" | "onBeforeHandle" | "guard" | "param"
        ) && has_guard(project, router.to(call), true)
    })
}

/// Whether an argument of a call is a guard, or has one in it. What the call itself is named says nothing.
fn has_guard(project: &Project, at: At, deeper: bool) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else {
        return is_named_guard(project, unit, at, deeper);
    };
    let own = |expr: ExprId| is_told(unit, call).then(|| project.last_written(at.to(expr))).flatten();
    own(call.callee).is_some_and(is_guard_name)
        || call.args.iter().any(|arg| {
            let mut found = false;
            walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
                found = found || is_named_guard(project, unit, at.to(expr), deeper);
            });
            found
        })
}

/// Whether an expression is a guard by its name: a call that is told what it is about, or a name that says whose things it looks at.
fn is_named_guard(project: &Project, unit: &Unit, at: At, deeper: bool) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => {
            is_told(unit, call) && project.last_written(at.to(call.callee)).is_some_and(is_guard_name)
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let Some(name) = project.last_written(at) else { return false };
            if refuses_by_name(name) && (says(name) || names_tenant(name)) {
                return true;
            }
            // `require_read = require_auth(workspace="workspace_id")`
            let own = unit.index.sources(*id).first().map(|source| at.to(source.value));
            let made = match project.symbol(at) {
                Symbol::Value(value) => Some(value),
                _ => own,
            };
            deeper
                && made.is_some_and(|value| {
                    project.unit(value.module).is_some_and(|unit| {
                        matches!(unit.ir.expr(value.expr), ExprKind::Call(_))
                            && is_named_guard(project, unit, value, false)
                    })
                })
        }
        _ => false,
    }
}

/// Whether a name has a word for a tenant in it: `requireWorkspace`. One that only asks for a sign-in says nothing of whose a thing is.
fn names_tenant(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| vocabulary::is_tenant(word))
}

fn is_guard_name(name: &str) -> bool {
    refuses_by_name(name) || says(name)
}

/// Whether a call is given a text, a list or something by its name: what it is about.
fn is_told(unit: &Unit, call: &Call) -> bool {
    call.args.iter().any(|arg| {
        matches!(arg.kind, ArgKind::Keyword(_))
            || matches!(
                unit.ir.expr(arg.value),
                ExprKind::String(_) | ExprKind::Array { .. } | ExprKind::Object(_) | ExprKind::Member { .. }
            )
    })
}

/// Words of code that turns somebody away.
const TURNS_AWAY: &[&str] =
    &["401", "403", "redirect", "Unauthorized", "Forbidden", "unauthorized", "forbidden"];

/// Words of code that looks at the path of a request.
const LOOKS_AT_PATH: &[&str] = &["url.path", "pathname", "req.path", "request.path", "originalUrl"];

/// Whether a middleware for those who rule turns away whoever else comes to paths that begin like that of a handler,
/// `["/leads", "/targets"]`, or like the folders of its file, `/admin`.
pub(super) fn is_kept_by_prefix(project: &Project, module: ModuleId, entry: Option<&Entry>) -> bool {
    let Some(unit) = project.unit(module) else { return false };
    let mut paths = vec![format!("/{}", unit.ir.path)];
    if let Some(entry) = entry {
        paths.extend(paths_of(project, entry.registration));
        let own = unit.ir.function(entry.handler.id).into_iter().flat_map(|own| own.decorators.iter());
        paths.extend(own.flat_map(|expr| paths_of(project, At { module, expr: *expr })));
    }
    let keeps = |path: &str, prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let in_folder = |path: &str, prefix: &str| path.contains(&format!("{prefix}/"));
    let middlewares = project.units().filter(|(id, unit)| {
        let named = unit.ir.path.rsplit('/').next().is_some_and(|name| name.starts_with("middleware."));
        let declared = || {
            project.entries().iter().any(|entry| entry.kind == "middleware" && entry.handler.module == *id)
        };
        (named || declared())
            && LOOKS_AT_PATH.iter().any(|word| unit.ir.source.mentions(word))
            && TURNS_AWAY.iter().any(|word| unit.ir.source.mentions(word))
    });
    middlewares.into_iter().any(|(id, unit)| {
        let of_rulers =
            unit.ir.functions().any(|(_, own)| own.name.is_some_and(|name| names_rulers(unit.ir.text(name))));
        let prefixes = unit.ir.texts().map(|text| text.trim_end_matches('/')).filter(|text| is_prefix(text));
        prefixes.filter(|text| of_rulers || names_rulers(text)).any(|prefix| {
            let [own, rest @ ..] = &*paths else { return false };
            rest.iter().any(|path| keeps(path, prefix)) || (id != module && in_folder(own, prefix))
        })
    })
}

/// Whether a name or path says that it is for those who rule.
fn names_rulers(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "admin" | "admins" | "internal" | "operator" | "operators" | "staff" | "superuser" | "ops"
        )
    })
}

/// Whether a text is the beginning of a path, and not that of all.
fn is_prefix(text: &str) -> bool {
    text.len() > 3
        && text.starts_with('/')
        && text
            .chars()
            .skip(1)
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '/'))
        && !matches!(text, "/api" | "/app" | "/src" | "/v1")
}

/// The paths that a registration names: its own, and behind that of its router.
fn paths_of(project: &Project, at: At) -> Vec<String> {
    let Some(unit) = project.unit(at.module) else { return Vec::new() };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return Vec::new() };
    let texts = |unit: &Unit, call: &Call| -> Vec<String> {
        let texts = call.args.iter().filter_map(|arg| match unit.ir.expr(arg.value) {
            ExprKind::String(text) => Some(unit.ir.text(*text)),
            _ => None,
        });
        texts.filter(|text| text.starts_with('/')).map(str::to_owned).collect()
    };
    let mut paths = texts(unit, call);
    let router = router_of(project, at).and_then(|router| match unit.ir.expr(router.expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.index.sources(*id).first(),
        _ => None,
    });
    if let Some(ExprKind::Call(made)) = router.map(|source| unit.ir.expr(source.value)) {
        paths.extend(texts(unit, made));
    }
    paths
}

/// First words of functions that say what an id may be, or refuse it.
const LOOKS: &[&str] = &[
    "resolve",
    "check",
    "ensure",
    "assert",
    "authorize",
    "authorise",
    "verify",
    "require",
    "enforce",
    "guard",
    "permit",
];

/// Whether a value is only given to a function that is named for looking at it: `await resolveCompany(args.company_id)`.
pub(super) fn is_looked_at(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut here = at.expr;
    for _ in 0..4 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Call(call) => {
                return call.callee != here
                    && project.last_written(at.to(call.callee)).is_some_and(|name| {
                        vocabulary::words(name).first().is_some_and(|word| LOOKS.contains(&word.as_str()))
                    });
            }
            ExprKind::Logical { .. } | ExprKind::Await(_) | ExprKind::Member { .. } => here = up,
            _ => return false,
        }
    }
    false
}
