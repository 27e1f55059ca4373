//! Which functions take the credential of whoever calls, and which take the process's own.

use std::collections::BTreeMap;

use super::environment_credential::{environment_name, is_operators};
use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef, Parameter, walk},
    library::Role,
    project::{At, Fun, Project, Unit},
    vocabulary,
};

/// How many calls below a function are looked into.
const DEPTH: u32 = 3;

/// What a function takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Takes {
    /// The credential of the request that is answered.
    pub(super) callers: bool,
    /// A credential out of the settings or the environment.
    pub(super) own: bool,
}

/// What the functions of a project take, as far as it was asked.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<Fun, Takes>);

impl Known {
    /// What a function takes, itself or by a function that it calls.
    pub(super) fn of(&mut self, project: &Project, fun: Fun) -> Takes {
        self.look(project, fun, DEPTH)
    }

    fn look(&mut self, project: &Project, fun: Fun, depth: u32) -> Takes {
        if let Some(known) = self.0.get(&fun) {
            return *known;
        }
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(fun.module)) else {
            return Takes::default();
        };
        // A function that calls itself is asked once.
        self.0.insert(fun, Takes::default());
        let mut takes = Takes::default();
        let mut below = Vec::new();
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            takes.callers |= takes_callers(project, unit, at);
            takes.own |= own_credential(project, unit, at).is_some();
            if let ExprKind::Call(_) = unit.ir.expr(expr)
                && let Some(callee) = project.callee(at)
                && callee.certain
            {
                below.extend(callee.targets.iter().take(2).copied());
            }
        });
        for target in below.into_iter().take(24) {
            let other = self.look(project, target, depth);
            takes.callers |= other.callers;
            takes.own |= other.own;
        }
        self.0.insert(fun, takes);
        takes
    }
}

/// Whether an expression is the credential of the request that is answered: a context variable of credentials, the SDK's reader of
/// headers, or state that middleware has left under such a name.
pub(super) fn takes_callers(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let Some(callee) = project.callee(at) else { return false };
    let mut path = project.written(at);
    let name = path.pop().map(String::from).unwrap_or_default();
    if callee.defs.iter().any(|def| def.role == Role::ContextGet) {
        return path.last().is_some_and(|variable| means_credential(variable.as_str()));
    }
    let sdk = callee
        .package
        .as_deref()
        .is_some_and(|package| matches!(package.split('.').next(), Some("mcp" | "fastmcp")));
    if sdk && matches!(name.as_str(), "get_http_headers" | "get_access_token" | "get_http_request") {
        return true;
    }
    let text = || match call.positional(0).map(|arg| unit.ir.expr(arg)) {
        Some(ExprKind::String(text)) => unit.ir.text(*text).to_owned(),
        _ => String::new(),
    };
    // `ctx.get_state("api_credentials")`
    name == "get_state" && means_credential(&text())
}

/// Whether a name is that of credentials, or of what holds them.
fn means_credential(name: &str) -> bool {
    vocabulary::is_credential(name)
        || vocabulary::words(name).iter().any(|word| {
            matches!(
                word.as_str(),
                "creds" | "cred" | "credential" | "credentials" | "token" | "headers" | "auth"
            )
        })
}

/// Names of objects that hold what the operator has configured.
const CONFIGURATIONS: &[&str] =
    &["config", "settings", "cfg", "conf", "appconfig", "appsettings", "configuration", "serverconfig"];

/// The name of a credential that is read from the environment or the settings, and no service's that the operator needs for itself.
pub(super) fn own_credential(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let name = match environment_name(project, unit, at) {
        Some(name) => name,
        None => {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return None };
            let holder = project.written(at.to(*object)).pop()?;
            let holder = holder.as_str().replace('_', "").to_lowercase();
            if !CONFIGURATIONS.contains(&holder.as_str())
                || project
                    .origins(at)
                    .has(Origins::PRINCIPAL | Origins::SECRET | Origins::INPUT | Origins::UNVERIFIED)
            {
                return None;
            }
            unit.ir.text(*property).to_owned()
        }
    };
    (vocabulary::is_credential(&name) && !is_operators(&name)).then_some(name)
}

/// The name of a variable of the module that a credential of the environment was read into: `API_KEY = os.environ["DESK_API_KEY"]`.
pub(super) fn kept_credential(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
    let [source] = unit.index.sources(*id) else { return None };
    let name = environment_name(project, unit, at.to(source.value))?;
    (unit.ir.is_module_level(*id) && vocabulary::is_credential(&name) && !is_operators(&name)).then_some(name)
}

/// Whether a value is a credential header of the request: `request.headers.get("Authorization")`.
fn is_header(project: &Project, unit: &Unit, at: At) -> bool {
    let key = match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => call.positional(0),
        ExprKind::Index { index, .. } => Some(*index),
        _ => None,
    };
    let Some(ExprKind::String(text)) = key.map(|key| unit.ir.expr(key)) else { return false };
    let name = unit.ir.text(*text);
    (name.eq_ignore_ascii_case("authorization") || vocabulary::is_credential(name))
        && project.origins(at).has(Origins::UNVERIFIED | Origins::SECRET)
}

/// Whether an expression is a variable that holds what the caller brought: by what it was set to.
pub(super) fn holds_callers(project: &Project, unit: &Unit, at: At, known: &mut Known) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    // `def client_for(authorization)`: of a header, by its name and where it comes from.
    if project.parameter_of(at.module, *id).is_some()
        && matches!(
            unit.ir.binding_name(*id),
            "authorization" | "auth_header" | "authorization_header" | "bearer" | "bearer_token"
        )
        && project.origins(at).has(Origins::INPUT | Origins::UNVERIFIED | Origins::SECRET)
    {
        return true;
    }
    unit.index.sources(*id).iter().take(4).any(|source| {
        let mut value = source.value;
        while let ExprKind::Await(inner) = unit.ir.expr(value) {
            value = *inner;
        }
        let value = at.to(value);
        let mut found = takes_callers(project, unit, value) || is_header(project, unit, value);
        if let Some(callee) = project.callee(value).filter(|callee| callee.certain) {
            let targets: Vec<Fun> = callee.targets.iter().take(2).copied().collect();
            for target in targets {
                let takes = known.of(project, target);
                found |= takes.callers && !takes.own;
            }
        }
        found
    })
}

/// Whether all that a call is told is written out.
pub(super) fn is_told_nothing(unit: &Unit, call: &crate::ir::Call) -> bool {
    call.args.iter().all(|arg| {
        matches!(
            unit.ir.expr(arg.value),
            ExprKind::Bool(_) | ExprKind::String(_) | ExprKind::Number(_) | ExprKind::Null
        )
    })
}

/// Whether a parameter of a function is named for a credential or a caller.
pub(super) fn is_told_whose(unit: &Unit, params: &[Parameter]) -> bool {
    params.iter().filter_map(|own| own.name).any(|name| {
        let name = unit.ir.text(name);
        means_credential(name) || vocabulary::is_owner(name) || vocabulary::is_principal(name)
    })
}

/// The expression inside of `await`s.
pub(super) fn awaited(unit: &Unit, expr: ExprId) -> ExprId {
    let mut here = expr;
    for _ in 0..4 {
        let ExprKind::Await(inner) = unit.ir.expr(here) else { break };
        here = *inner;
    }
    here
}
