//! What belongs to nobody and is shown to everybody: `tenant_id = $1 OR tenant_id IS NULL`.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    ir::{BinaryOp, Call, CompareOp, ExprId, ExprKind, FunctionId, Kinds, NameRef, Property, PropertyKey, walk},
    project::{At, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "rows-of-nobody",
        layer: Layer::Data,
        summary: "What has no owner is given to every caller: a row that was written without one is everybody's.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Rows lose their owner by mistake more often than on purpose: an import, an old version, a writer that forgot. Then they are everybody's.",
    fix: "Refuse what has no owner, and keep what is meant for all under a mark of its own.",
    cwe: &["CWE-639", "CWE-636"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("rows_of_nobody.md"),
    run,
};

/// Words by which a place says that what has no owner is meant for all.
const FOR_ALL: &[&str] = &[
    "role", "roles", "permission", "permissions", "category", "categories", "plan", "plans", "holiday", "holidays", "currency", "feature", "features", "setting", "settings", "policy", "policies",
    "public", "system", "shared", "default", "defaults", "global", "globals", "template", "templates", "builtin", "built", "preset", "presets",
    "common", "everyone", "everybody", "catalog", "catalogue", "community", "platform", "unassigned", "unclaimed", "claim", "claimed", "assign",
    "assigned", "assignee", "visibility", "wide", "universal", "anonymous", "guest", "migrate", "migration", "backfill", "orphan", "orphaned",
    "orphans", "admin", "seed", "seeded", "canonical", "official", "organization_wide", "stock", "demo",
];

/// How far before a place its comments are read.
const BEFORE: usize = 240;

fn run(project: &Project, report: &mut Report<'_>) {
    super::missing_owner::missing_owner(project, report);
    let naming = project.naming(&["isnull", "is_"]);
    for (module, unit) in project.units() {
        if is_aside(&unit.ir.path) {
            continue;
        }
        for (expr, kind) in unit.ir.exprs_of(Kinds::TEXT | Kinds::CALL) {
            let at = At { module, expr };
            let column = match kind {
                ExprKind::String(_) | ExprKind::Template(_) | ExprKind::Tagged { .. } => in_sql(unit, expr),
                ExprKind::Call(call) => in_call(project, unit, at, call),
                _ => None,
            };
            tell(project, report, unit, at, column);
        }
        for (expr, kind) in unit.ir.exprs_of(Kinds::OBJECT) {
            let column = match kind {
                ExprKind::Object(properties) if !is_below_another(properties, unit) => properties.iter().find_map(|property| {
                    let PropertyKey::Name(name) = property.key else { return None };
                    let ExprKind::Array { items, .. } = unit.ir.expr(property.value) else { return None };
                    matches!(unit.ir.text(name), "OR" | "$or" | "_or" | "or").then(|| beside(unit, items)).flatten()
                }),
                _ => None,
            };
            tell(project, report, unit, At { module, expr }, column);
        }
        // `Q(owner=user) | Q(owner__isnull=True)`
        if !naming(module) {
            continue;
        }
        for (expr, kind) in unit.ir.exprs() {
            if let ExprKind::Binary { op: BinaryOp::BitOr, left, right } = kind {
                tell(project, report, unit, At { module, expr }, beside(unit, &[*left, *right]));
            }
        }
    }
}

/// Whether a file is for tests, operators or changes of tables.
pub(super) fn is_aside(path: &str) -> bool {
    vocabulary::words(path).iter().any(|word| {
        matches!(word.as_str(), "admin" | "migration" | "migrations" | "test" | "tests" | "scripts" | "alembic" | "seed" | "seeds" | "internal")
    })
}

fn tell(project: &Project, report: &mut Report<'_>, unit: &Unit, at: At, column: Option<String>) {
    let Some(column) = column.filter(|column| !is_for_all(project, unit, at) && !is_of_another(unit, at, column))
    else {
        return;
    };
    report
        .reached(at, format!("rows without `{column}` are given to every caller here"))
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
}

/// Whether a condition names what else the rows are below: `{ businessId, OR: [{ userId }, { userId: null }] }`.
fn is_below_another(properties: &[Property], unit: &Unit) -> bool {
    properties.iter().any(|property| {
        matches!(property.key, PropertyKey::Name(name) if {
            let words = vocabulary::words(unit.ir.text(name));
            words.len() > 1 && words.last().is_some_and(|last| last == "id")
        })
    })
}

/// Whether another owner of the rows is tested for as well, in the same text or the same function: what has no workspace is still
/// the user's.
fn is_of_another(unit: &Unit, at: At, column: &str) -> bool {
    let own = unit.ir.snippet(unit.ir.span(at.expr));
    let is_text = !matches!(unit.ir.expr(at.expr), ExprKind::Call(_) | ExprKind::Object(_) | ExprKind::Binary { .. });
    let id = unit.index.function(at.expr);
    let around = unit.ir.function(id).filter(|_| id != FunctionId::MODULE && !is_text);
    let text = around.map_or(own, |function| unit.ir.snippet(function.span));
    text.match_indices('=').any(|(place, _)| {
        let before = text.get(..place).unwrap_or_default().trim_end_matches(['=', ' ', '"', '`']);
        let name = before.rsplit(|char: char| !(char.is_alphanumeric() || char == '_')).next().unwrap_or_default();
        let of_row = is_text || before.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        of_row && name != column && is_owners(name)
    })
}

/// Whether the place says that what has no owner is meant for all: its statement, the comments before it, its function's name.
pub(super) fn is_for_all(project: &Project, unit: &Unit, at: At) -> bool {
    let own = unit.ir.span(at.expr);
    let span = unit.index.stmt_of(at.expr).map_or(own, |stmt| unit.ir.stmt_span(stmt));
    let from = (span.start as usize).saturating_sub(BEFORE);
    let to = (span.end as usize).min(own.end as usize + BEFORE);
    let text = unit.ir.source.get(from..to).or_else(|| unit.ir.source.get(span.start as usize..to)).unwrap_or_default();
    // Comments and the flags of the query count; `default` of a parameter's value would, and is a word of few places.
    let name = project.function_name(project.function_of(at));
    let says = |text: &str| vocabulary::words(text).iter().any(|word| FOR_ALL.contains(&word.as_str()));
    says(text) || says(name) || function_comment(unit, unit.index.function(at.expr)).is_some_and(says)
}

/// The text of a function that stands as its first statement: Python's own comment.
fn function_comment(unit: &Unit, id: FunctionId) -> Option<&str> {
    let function = unit.ir.function(id).filter(|_| id != FunctionId::MODULE)?;
    let crate::ir::StmtKind::Expr(expr) = unit.ir.stmt(*function.body.first()?) else { return None };
    matches!(unit.ir.expr(*expr), ExprKind::String(_)).then(|| unit.ir.snippet(unit.ir.span(*expr)))
}

/// Whether a column is that of the owner of a row. `scope` is one where it is asked for as one.
fn is_owners(column: &str) -> bool {
    (vocabulary::is_tenant(column) || vocabulary::is_user(column)) && !vocabulary::words(column).iter().any(|word| matches!(word.as_str(), "parent" | "author" | "creator"))
}

/// The owner's column that a text of SQL tests and lets be missing.
fn in_sql(unit: &Unit, expr: ExprId) -> Option<String> {
    let text = unit.ir.snippet(unit.ir.span(expr));
    if !vocabulary::mentions(text, &["is null"]) {
        return None;
    }
    let lower = text.to_lowercase();
    if ["left join", "create ", "alter ", "update ", "count(", "coalesce", "delete "].iter().any(|other| lower.contains(other)) {
        return None;
    }
    for (place, _) in lower.match_indices(" is null") {
        let (before, column) = column_before(lower.get(..place)?)?;
        let alone = column.rsplit(['.']).next().unwrap_or(column).trim_matches(['"', '`', '[', ']']);
        let or = before.trim_end_matches(['(', ' ', '\n', '\t']).ends_with(" or") || before.trim_end().ends_with("\nor");
        if or && (is_owners(alone) || alone == "scope") && is_tested(unit, expr, &lower, alone) {
            return Some(alone.to_owned());
        }
    }
    None
}

/// What stands before a column at the end of a text, and the column.
fn column_before(text: &str) -> Option<(&str, &str)> {
    let from = text.rfind(|char: char| !(char.is_alphanumeric() || matches!(char, '_' | '.' | '"' | '`')))?;
    let (before, column) = (text.get(..=from)?, text.get(from + 1..)?);
    // `$1 IS NULL`, `:tenant_id IS NULL`, `${tenant} IS NULL` ask for a parameter and no column.
    (!before.ends_with([':', '$', '@', '?', '}', '%', '{'])).then_some((before, column))
}

/// Whether a column is compared with a value in the same text, or in another text of the same function.
fn is_tested(unit: &Unit, expr: ExprId, text: &str, column: &str) -> bool {
    let tests = |text: &str| {
        text.match_indices(column).any(|(at, _)| {
            let rest = text.get(at + column.len()..).unwrap_or_default().trim_start_matches(['"', '`', ' ']);
            rest.starts_with('=') || rest.starts_with("in (") || rest.starts_with("in(") || rest.starts_with("in $")
        })
    };
    if tests(text) {
        return true;
    }
    let id = unit.index.function(expr);
    let Some(function) = unit.ir.function(id).filter(|_| id != FunctionId::MODULE) else { return false };
    tests(&unit.ir.snippet(function.span).to_lowercase())
}

/// The owner's column of `or_(T.owner == x, T.owner.is_(None))`, `or(eq(t.ownerId, x), isNull(t.ownerId))`.
fn in_call(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<String> {
    if !matches!(project.last_written(at)?, "or_" | "or") {
        return None;
    }
    let items: Vec<ExprId> = call.args.iter().map(|arg| arg.value).collect();
    beside(unit, &items)
}

/// The owner's column that one of some alternatives tests and another one lets be missing.
fn beside(unit: &Unit, items: &[ExprId]) -> Option<String> {
    let missing = items.iter().find_map(|item| missing(unit, *item)).filter(|column| is_owners(column))?;
    items.iter().any(|item| equals(unit, *item, &missing)).then_some(missing)
}

/// The column that a condition wants to be missing.
fn missing(unit: &Unit, at: ExprId) -> Option<String> {
    let last = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => Some(unit.ir.text(*property).to_owned()),
        _ => None,
    };
    let is_null = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Null);
    match unit.ir.expr(at) {
        ExprKind::Compare { op: CompareOp::Eq, left, right } if is_null(*right) => last(*left),
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "is_" => {
                call.positional(0).filter(|value| is_null(*value)).and_then(|_| last(*object))
            }
            ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "isnull" => last(*object),
            ExprKind::Name(_) if matches!(unit.ir.snippet(unit.ir.span(call.callee)), "isNull") => last(call.positional(0)?),
            // `Q(owner__isnull=True)`
            _ => call.args.iter().find_map(|arg| match arg.kind {
                crate::ir::ArgKind::Keyword(name) => {
                    let yes = matches!(unit.ir.expr(arg.value), ExprKind::Bool(true));
                    unit.ir.text(name).strip_suffix("__isnull").filter(|_| yes).map(str::to_owned)
                }
                _ => None,
            }),
        },
        ExprKind::Object(properties) => match properties.as_ref() {
            [only] => match only.key {
                PropertyKey::Name(name) if is_null(only.value) => Some(unit.ir.text(name).to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Whether a condition compares a column with a value.
fn equals(unit: &Unit, at: ExprId, column: &str) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, at, &mut |expr| {
        let is = |side: ExprId| matches!(unit.ir.expr(side), ExprKind::Member { property, .. } if unit.ir.text(*property) == column);
        let null = |side: ExprId| matches!(unit.ir.expr(side), ExprKind::Null);
        found |= match unit.ir.expr(expr) {
            ExprKind::Compare { op: CompareOp::Eq, left, right } => is(*left) && !null(*right),
            ExprKind::Call(call) => {
                let named = |arg: &crate::ir::Arg| matches!(arg.kind, crate::ir::ArgKind::Keyword(name) if unit.ir.text(name).trim_end_matches("_id") == column.trim_end_matches("_id"));
                let method = matches!(unit.ir.expr(call.callee), ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "in_" && is(*object));
                let function = matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Binding(_))) && call.args.len() == 2 && call.positional(0).is_some_and(is);
                call.args.iter().any(named) || method || function
            }
            ExprKind::Object(properties) => properties.iter().any(|property| {
                matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == column) && !null(property.value)
            }),
            _ => false,
        };
    });
    // `a | b | c` is seen at its outermost.
    found && !matches!(unit.index.parent(at), Parent::None)
}
