//! The first tenant or user that there is, for whoever none was found for: `if found is None: found = await
//! db.scalar(select(Workspace).order_by(Workspace.id).limit(1))`, `(await bySlug(slug)) ?? (await prisma.tenant.findFirst())`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Origins, lists_owners},
    ir::{
        BindingId, CompareOp, ExprId, ExprKind, Function, FunctionId, Kinds, LogicalOp, NameRef, StmtKind,
        TemplatePart, walk,
    },
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{
        Report,
        branches::{absent_variable, stands_under},
    },
    tenancy::is_stdio_only,
    vocabulary,
};

/// Words of calls that ask for some of the rows only.
const NARROWS: &[&str] = &[
    "where",
    "filter",
    "filterBy",
    "filter_by",
    "find_by",
    "findBy",
    "findOneBy",
    "eq",
    "get",
    "get_or_none",
    "getById",
    "findById",
    "findUnique",
    "match",
    "andWhere",
    "execution_options",
];

/// Words of calls that give one row.
const ONE: &[&str] = &[
    "first",
    "findFirst",
    "findOne",
    "find_one",
    "limit",
    "take",
    "one",
    "scalar",
    "fetchone",
    "earliest",
    "latest",
    "last",
    "first_or_none",
];

/// Parts of the paths of programs that set a server up.
const ASIDE: &[&str] = &[
    "cli",
    "scripts",
    "script",
    "seed",
    "seeds",
    "migrations",
    "fixtures",
    "test",
    "tests",
    "demo",
    "bootstrap",
];

/// Reports such branches.
pub(super) fn first_party(project: &Project, report: &mut Report<'_>, module: ModuleId, unit: &Unit) {
    let aside = unit.ir.path.to_lowercase().split(['/', '.', '_', '-']).any(|part| ASIDE.contains(&part));
    if aside || is_stdio_only(unit) {
        return;
    }
    for (id, stmt) in unit.ir.stmts() {
        let StmtKind::If { test, then, .. } = stmt else { continue };
        let fun = Fun { module, id: unit.index.stmt_function(id) };
        let Some(missing) = absent_variable(unit, *test).filter(|_| fun.id != FunctionId::MODULE) else {
            continue;
        };
        for own in then {
            let value = match unit.ir.stmt(*own) {
                StmtKind::Assign { target, value, .. } if target.as_binding() == Some(missing) => *value,
                StmtKind::Return(Some(value)) => *value,
                _ => continue,
            };
            let party = any_party(project, unit, At { module, expr: value });
            if party.is_some_and(|party| looks_for(unit, missing, value, &party)) {
                tell(report, unit, At { module, expr: value });
            }
        }
    }
    behind_callers(project, report, module, unit);
    for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
        let at = At { module, expr };
        let ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } = kind else {
            continue;
        };
        if project.function_of(at).id == FunctionId::MODULE {
            continue;
        }
        let looked = |party: &str| match unit.ir.expr(*left) {
            ExprKind::Name(NameRef::Binding(id)) => looks_for(unit, *id, *right, party),
            _ => mentions(unit, *left, party),
        };
        if any_party(project, unit, at.to(*right)).is_some_and(|party| looked(&party)) {
            tell(report, unit, at.to(*right));
        }
    }
}

/// Functions that leave with the caller's tenant where there is a caller, and go on with the first one that there is:
/// `if (caller) return tenantOf(caller)`, and then `return (await query("SELECT … FROM tenants LIMIT 1"))[0]`.
fn behind_callers(project: &Project, report: &mut Report<'_>, module: ModuleId, unit: &Unit) {
    for (id, function) in unit.ir.functions().filter(|(id, _)| *id != FunctionId::MODULE) {
        let fun = Fun { module, id };
        let asks = function.body.iter().find_map(|stmt| match unit.ir.stmt(*stmt) {
            StmtKind::If { test, then, otherwise }
                if otherwise.is_empty() && project.always_leaves(unit, fun, then) =>
            {
                asks_for_caller(project, unit, At { module, expr: *test }).then_some(*test)
            }
            _ => None,
        });
        let Some(test) = asks else { continue };
        for value in unit.index.returns(id) {
            // What stands in front of it, or in the branch, is the caller's.
            if unit.index.order(*value) < unit.index.order(test) || !stands_alone(unit, function, *value) {
                continue;
            }
            let mut from = vec![*value];
            walk::exprs_below(&unit.ir, *value, &mut |expr| {
                if let ExprKind::Name(NameRef::Binding(own)) = unit.ir.expr(expr)
                    && let [source] = unit.index.sources(*own)
                    && unit.ir.binding_function(*own) == id
                {
                    from.push(source.value);
                }
            });
            let first =
                from.into_iter().find(|expr| any_party(project, unit, At { module, expr: *expr }).is_some());
            if let Some(first) = first {
                tell(report, unit, At { module, expr: first });
                report.last_whatever_the_way();
            }
        }
    }
}

/// Whether a value is returned by a statement of the function's own body.
fn stands_alone(unit: &Unit, function: &Function, value: ExprId) -> bool {
    unit.index.stmt_of(value).is_some_and(|stmt| function.body.contains(&stmt))
}

/// Whether a condition asks whether there is a caller: a token, a session, what the context of the request has.
fn asks_for_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let asked = match unit.ir.expr(at.expr) {
        ExprKind::Logical { op: LogicalOp::And, left, .. } => *left,
        ExprKind::Compare { op: CompareOp::NotEq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            *left
        }
        _ => at.expr,
    };
    let name = match unit.ir.expr(asked) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return false,
    };
    let says = vocabulary::is_principal(name)
        || matches!(name, "token" | "session" | "claims" | "caller" | "principal");
    says || vocabulary::is_owner(name) || project.origins(at.to(asked)).has(Origins::PRINCIPAL)
}

fn tell(report: &mut Report<'_>, unit: &Unit, at: At) {
    // A developer's own server has one.
    if stands_under(unit, at.expr, &["debug", "dev", "development", "local", "single", "standalone"]) {
        return;
    }
    report
        .reached(at, "where none is found, the first one that there is stands in, whosever it is")
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
}

/// Whether a variable was looked for among the same rows before, with a condition.
fn looks_for(unit: &Unit, id: BindingId, but: ExprId, party: &str) -> bool {
    unit.index.sources(id).iter().any(|source| source.value != but && mentions(unit, source.value, party))
}

/// Whether an expression asks for rows of an entity.
fn mentions(unit: &Unit, expr: ExprId, party: &str) -> bool {
    let party = vocabulary::singular(&party.to_lowercase());
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        let says =
            |text: &str| vocabulary::words(text).iter().any(|word| vocabulary::singular(word) == party);
        found |= match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => says(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => says(unit.ir.text(*property)),
            ExprKind::String(text) => says(unit.ir.text(*text)),
            _ => false,
        };
    });
    found
}

/// The entity of which a value is any row, when its rows are tenants or users and nothing says which one is meant.
fn any_party(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let (mut party, mut one, mut narrowed) = (None, false, false);
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            if name.starts_with(char::is_uppercase) && lists_owners(name) {
                party = party.take().or(Some(name.to_owned()));
            }
        }
        // `prisma.workspace.findFirst()`, `db.query.tenants.findFirst()`
        ExprKind::Member { object, property, .. } => {
            if ONE.contains(&unit.ir.text(*property))
                && let ExprKind::Member { property: of, .. } = unit.ir.expr(*object)
                && lists_owners(unit.ir.text(*of))
            {
                party = party.take().or(Some(unit.ir.text(*of).to_owned()));
            }
        }
        ExprKind::Call(call) => {
            let name = project.last_written(at.to(expr)).unwrap_or_default();
            narrowed |= NARROWS.contains(&name);
            one |= ONE.contains(&name);
            // `findOne({ slug })`, `findFirst({ where })`
            let condition = call.args.iter().any(|arg| match unit.ir.expr(arg.value) {
                ExprKind::Object(properties) => properties.iter().any(|property| match property.key {
                    crate::ir::PropertyKey::Name(key) => !matches!(
                        unit.ir.text(key),
                        "orderBy"
                            | "order"
                            | "select"
                            | "include"
                            | "sort"
                            | "take"
                            | "columns"
                            | "_id"
                            | "created_at"
                            | "createdAt"
                    ),
                    _ => true,
                }),
                _ => false,
            });
            narrowed |= condition;
        }
        ExprKind::Compare { .. } => narrowed = true,
        ExprKind::String(text) => sql(unit.ir.text(*text), &mut party, &mut one, &mut narrowed),
        ExprKind::Template(parts) | ExprKind::Tagged { parts, .. } => {
            for part in parts {
                match part {
                    TemplatePart::Text(text) => sql(unit.ir.text(*text), &mut party, &mut one, &mut narrowed),
                    TemplatePart::Value(_) => narrowed = true,
                }
            }
        }
        _ => {}
    });
    party.filter(|_| one && !narrowed)
}

/// What a text of SQL asks for: `SELECT id FROM workspaces ORDER BY id LIMIT 1`.
fn sql(text: &str, party: &mut Option<String>, one: &mut bool, narrowed: &mut bool) {
    let lower = text.to_lowercase();
    let mut words = lower.split_whitespace();
    if words.next() != Some("select") {
        return;
    }
    let table =
        words.skip_while(|word| *word != "from").nth(1).map(|word| word.trim_matches(['"', '`', ';', ',']));
    if let Some(table) = table.filter(|table| lists_owners(table)) {
        *party = Some(table.to_owned());
    }
    *one |= lower.contains("limit 1");
    *narrowed |= lower.contains(" where ") || lower.contains(" join ");
}
