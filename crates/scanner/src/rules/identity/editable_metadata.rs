//! A role or a tenant out of metadata that its user may edit.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    ir::{
        ArgKind, Call, CompareOp, ExprId, ExprKind, FunctionId, Kinds, LogicalOp, Name, NameRef, PropertyKey,
        StmtId, StmtKind, UnaryOp,
    },
    project::{At, Parent, Project, Step, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "editable-metadata",
        layer: Layer::Identity,
        summary: "A role or a tenant is read from metadata that users may edit themselves.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "Whoever is signed in writes this metadata with one call of the provider's client, and so gives himself a role or \
          another tenant.",
    fix: "Read it from what only the server may write: `app_metadata` (Supabase, Auth0), `publicMetadata` or `privateMetadata` \
          (Clerk), or a table of memberships.",
    cwe: &["CWE-639", "CWE-269"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("editable_metadata.md"),
    run,
};

/// What providers call the metadata that a user may write: Supabase and Auth0, its column, Clerk.
const EDITABLE: &[&str] = &[
    "user_metadata", "userMetadata", "raw_user_meta_data", "rawUserMetaData", "unsafeMetadata", "unsafe_metadata",
];

/// How many variables are followed from a value to where it is used.
const STEPS: u32 = 3;

/// What is read of the metadata.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// What its user may do, or whose data he sees.
    Rights,
    /// Whether he is still let in.
    Standing,
}

fn run(project: &Project, report: &mut Report<'_>) {
    super::unverified_email::unverified_email(project, report);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.has_name(EDITABLE)) {
        let mut seen: Vec<FunctionId> = Vec::new();
        let read = unit.ir.exprs_of(Kinds::MEMBER | Kinds::INDEX | Kinds::CALL);
        let read = read.filter_map(|(expr, _)| Some((expr, says(unit.ir.text(key_of(unit, expr)?))?)));
        for (expr, says) in read.chain(taken_out(unit)) {
            let at = At { module, expr };
            let function = unit.index.function(expr);
            if seen.contains(&function) || !decides(unit, expr, STEPS) || is_of_test(&unit.ir.path) {
                continue;
            }
            seen.push(function);
            let what = unit.ir.snippet(unit.ir.span(expr)).split_whitespace().collect::<Vec<_>>().join(" ");
            let what: String = what.chars().take(60).collect();
            let found = report.reached(at, format!("`{what}` decides here, and the user may edit it"));
            if says == Says::Standing || project.function_of(at).id == FunctionId::MODULE {
                found.severity(Severity::Low).confidence(Confidence::Medium);
            } else if comes_second(unit, expr) {
                found.severity(Severity::Medium).confidence(Confidence::Medium);
            }
        }
    }
}

fn is_of_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "test" | "__tests__" | "e2e" | "mocks" | "dist-tests"))
}

/// What a key of the metadata says, if it is more than how its user wants to be named and shown.
fn says(key: &str) -> Option<Says> {
    let words = vocabulary::words(key);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if any(&["name", "label", "title", "requested", "preferred", "default", "last", "theme", "onboarded", "url", "logo", "size", "invite"]) {
        return None;
    }
    let rights = any(&[
        "role", "roles", "admin", "superadmin", "superuser", "staff", "permission", "permissions", "scopes", "tenant", "tenants",
        "org", "orgs", "organization", "organisation", "workspace", "groups",
    ]);
    let party = vocabulary::is_tenant(key) && words.iter().any(|word| word == "id");
    if rights || party || matches!(key, "access_level" | "accessLevel") {
        return Some(Says::Rights);
    }
    any(&["approved", "banned", "suspended", "disabled", "active", "verified"]).then_some(Says::Standing)
}

/// The key that an expression reads of such metadata: `user.user_metadata.role`, `meta["role"]`, `(user.user_metadata or {}).get("role")`.
fn key_of(unit: &Unit, expr: ExprId) -> Option<Name> {
    match unit.ir.expr(expr) {
        ExprKind::Member { object, property, .. } => is_editable(unit, *object, STEPS).then_some(*property),
        ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(name) => is_editable(unit, *object, STEPS).then_some(*name),
            _ => None,
        },
        ExprKind::Call(call) => {
            let (object, name) = got(unit, call)?;
            is_editable(unit, object, STEPS).then_some(name)
        }
        _ => None,
    }
}

/// What `record.get("key")` reads, and of what.
fn got(unit: &Unit, call: &Call) -> Option<(ExprId, Name)> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    match unit.ir.expr(call.positional(0).filter(|_| unit.ir.text(*property) == "get")?) {
        ExprKind::String(name) => Some((*object, *name)),
        _ => None,
    }
}

/// Whether a value is the metadata as a whole.
fn is_editable(unit: &Unit, expr: ExprId, steps: u32) -> bool {
    let named = |name: Name| EDITABLE.contains(&unit.ir.text(name));
    match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => named(*property),
        ExprKind::Index { index, .. } => matches!(unit.ir.expr(*index), ExprKind::String(name) if named(*name)),
        ExprKind::Call(call) => got(unit, call).is_some_and(|(_, name)| named(name)),
        ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, .. } => is_editable(unit, *left, steps),
        ExprKind::Name(NameRef::Binding(id)) => {
            let Some(steps) = steps.checked_sub(1) else { return false };
            let [source] = unit.index.sources(*id) else { return false };
            match &*source.path {
                [] => is_editable(unit, source.value, steps),
                [.., Step::Key(name)] => named(*name),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Uses of what a pattern takes out of the metadata: `const { role } = user.user_metadata`.
fn taken_out(unit: &Unit) -> impl Iterator<Item = (ExprId, Says)> {
    let bindings = unit.ir.bindings().filter_map(|(id, _)| {
        let [source] = unit.index.sources(id) else { return None };
        let (Step::Key(key), before) = source.path.split_last()? else { return None };
        let of = match before.last() {
            Some(Step::Key(name)) => EDITABLE.contains(&unit.ir.text(*name)),
            Some(_) => false,
            None => is_editable(unit, source.value, STEPS),
        };
        Some((id, says(unit.ir.text(*key)).filter(|_| of)?))
    });
    bindings.flat_map(|(id, says)| unit.index.uses(id).iter().map(move |used| (*used, says)))
}

/// Whether something is decided by a value: it is tested, compared, asked for, or becomes a part of who the caller is.
fn decides(unit: &Unit, expr: ExprId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let mut here = expr;
    for _ in 0..12 {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Compare { op, left, right } => {
                    let other = if *left == here { *right } else { *left };
                    return !matches!(unit.ir.expr(other), ExprKind::Null) && *op != CompareOp::InstanceOf;
                }
                ExprKind::Unary { op, .. } => return *op == UnaryOp::Not,
                ExprKind::Conditional { test, .. } if *test == here => return true,
                ExprKind::Logical { op: LogicalOp::And, left, .. } if *left == here => return true,
                ExprKind::Call(call) if call.callee == here => match unit.ir.expr(here) {
                    // `role.toLowerCase()` is still the role.
                    ExprKind::Member { property, .. } if is_question(unit.ir.text(*property)) => return true,
                    _ => here = up,
                },
                ExprKind::Call(call) => return is_asked(unit, call, here),
                ExprKind::Object(properties) => {
                    let key = properties.iter().find(|property| property.value == here).map(|property| property.key);
                    let rights = matches!(key, Some(PropertyKey::Name(name)) if says(unit.ir.text(name)).is_some());
                    return rights && is_of_caller(unit, up);
                }
                ExprKind::Template(_) | ExprKind::Sequence(_) | ExprKind::Array { .. } | ExprKind::Function(_) | ExprKind::Comprehension(_) => return false,
                _ => here = up,
            },
            Parent::Stmt(stmt) => return decides_in(unit, stmt, here, steps),
            _ => return false,
        }
    }
    false
}

/// Whether a statement decides by a value, or what it puts it into does.
fn decides_in(unit: &Unit, stmt: StmtId, value: ExprId, steps: u32) -> bool {
    match unit.ir.stmt(stmt) {
        StmtKind::If { test, .. } | StmtKind::While { test, .. } | StmtKind::Assert { test, .. } => *test == value,
        StmtKind::Switch { subject, .. } => *subject == value,
        StmtKind::Return(_) => asks_rights(unit, unit.index.function(value)),
        StmtKind::Assign { target, .. } => {
            let Some(id) = target.as_binding() else { return false };
            unit.index.uses(id).iter().any(|used| decides(unit, *used, steps))
        }
        _ => false,
    }
}

/// Whether a method asks something of a text or list.
fn is_question(name: &str) -> bool {
    matches!(name, "includes" | "startsWith" | "startswith" | "some" | "every" | "indexOf" | "has")
}

/// Whether a call asks for what it is given: a list of roles, a query's condition, a check.
fn is_asked(unit: &Unit, call: &Call, value: ExprId) -> bool {
    let name = match unit.ir.expr(call.callee) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Name(NameRef::Global(name)) => unit.ir.text(*name),
        _ => return false,
    };
    let keyword = call.args.iter().find(|arg| arg.value == value).map(|arg| arg.kind);
    let made = match keyword {
        // `CurrentUser(id=…, role=meta.get("role"))`
        Some(ArgKind::Keyword(key)) if says(unit.ir.text(key)).is_some() => of_caller(name),
        _ => false,
    };
    let asked = matches!(name, "includes" | "has" | "eq" | "neq" | "filter" | "filter_by" | "where" | "in_" | "match" | "set_config" | "indexOf");
    made || asked || Project::is_check(name)
}

/// Whether a record says who the caller is: by the name of what it becomes, or of the function that gives it.
fn is_of_caller(unit: &Unit, record: ExprId) -> bool {
    match unit.index.parent(record) {
        Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
            StmtKind::Return(_) => asks_caller(unit, unit.index.function(record)),
            StmtKind::Assign { target, .. } => match target {
                crate::ir::Pattern::Place(place) => {
                    matches!(unit.ir.expr(*place), ExprKind::Member { property, .. } if of_caller(unit.ir.text(*property)))
                }
                _ => target.as_binding().is_some_and(|id| of_caller(unit.ir.binding_name(id))),
            },
            _ => false,
        },
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Assign { target, .. } => match &**target {
                crate::ir::Pattern::Place(place) => {
                    matches!(unit.ir.expr(*place), ExprKind::Member { property, .. } if of_caller(unit.ir.text(*property)))
                }
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// Whether a name is that of the caller: `req.user`, `AuthContext`, `currentUser`.
fn of_caller(name: &str) -> bool {
    let words = vocabulary::words(name);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    !any(&["response", "summary", "item", "detail", "details", "info", "list", "profile", "out", "read", "dto"])
        && (any(&["auth", "principal", "caller", "identity", "claims", "session", "viewer", "actor"])
            || (any(&["user"]) && (any(&["current", "authenticated", "context"]) || words.len() == 1)))
}

/// Whether a function is named for who calls: `getCurrentUser`, `authenticate`, `requireAuth`.
fn asks_caller(unit: &Unit, id: FunctionId) -> bool {
    let Some(name) = unit.ir.function(id).and_then(|function| function.name) else { return false };
    let words = vocabulary::words(unit.ir.text(name));
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    any(&["auth", "authenticate", "authorize", "principal", "caller", "session", "require", "context", "verify", "claims"])
        || (any(&["current"]) && any(&["user", "tenant", "org", "member"]))
}

/// Whether a function is named for a right or a tenant: `isAdmin`, `getUserRole`, `tenantOf`.
fn asks_rights(unit: &Unit, id: FunctionId) -> bool {
    let Some(name) = unit.ir.function(id).and_then(|function| function.name) else { return false };
    let name = unit.ir.text(name);
    says(name).is_some() || Project::is_check(name)
}

/// Whether a value is only taken where what the server has written says nothing: `app_metadata.role ?? user_metadata.role`.
fn comes_second(unit: &Unit, expr: ExprId) -> bool {
    let mut here = expr;
    for _ in 0..4 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, right, .. } if *right == here => return true,
            ExprKind::Conditional { .. } => return true,
            ExprKind::Logical { .. } | ExprKind::Await(_) => here = up,
            _ => return false,
        }
    }
    false
}
