//! Names of owners that are cleaned until two owners have the same one: `re.sub(r"[^a-z0-9]", "_", tenant)` as a folder.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    ir::{BinaryOp, BindingId, Call, CompareOp, ExprId, ExprKind, Function, FunctionId, NameRef, StmtKind, TemplatePart, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "lossy-owner-name",
        layer: Layer::Identity,
        summary: "An owner's id is cleaned into a name that another owner's id may be cleaned into as well, and their data is kept under it.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Two owners whose ids differ in what is left out or replaced meet: each reads and overwrites what is the other's.",
    fix: "Refuse an id with letters that a name may not have, or encode it so that no two give the same: escape each letter, or add a hash of the whole id.",
    cwe: &["CWE-694", "CWE-706"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("lossy_owner_name.md"),
    run,
};

/// Words of names of what data is kept under.
const PLACES: &[&str] = &[
    "path", "dir", "directory", "folder", "collection", "schema", "database", "db", "namespace", "bucket", "table", "prefix", "index", "file",
    "filename", "keyspace", "partition", "volume", "container", "root", "base", "store", "workspace", "home",
];

/// How many calls of a function that cleans are looked at.
const CALLERS: usize = 16;

/// What keeps two cleaned ids apart, or says that there is nothing to clean.
const APART: &[&str] = &["sha1", "sha256", "sha512", "sha", "md5", "blake2b", "blake2s", "hash", "digest", "hexdigest", "crc32", "uuid", "uuid5", "isuuid", "parseint", "quote", "encodeuricomponent", "base64", "b64encode", "urlsafe_b64encode"];

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if !crate::marks::CLEANS.iter().any(|text| unit.ir.source.mentions(text)) {
            continue;
        }
        for (id, function) in unit.ir.functions().filter(|(id, _)| *id != FunctionId::MODULE) {
            let fun = Fun { module, id };
            let mut cleaned = Vec::new();
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                if let Some(of) = cleaned_of(unit, expr) {
                    cleaned.push((expr, of));
                }
            });
            for (expr, of) in cleaned {
                let at = At { module, expr };
                let Some(name) = owner_of(project, unit, function, at.to(of)) else { continue };
                if !is_kept_apart(unit, function) && is_place(project, unit, fun, at) {
                    report
                        .reached(at, format!("two values of `{name}` may be cleaned into the same name here, and what is kept under it is then both's"))
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium);
                    break;
                }
            }
        }
    }
}

/// What a call cleans so that two texts may become one: `re.sub("[^a-z]", "_", text)`, `text.replace(/[^a-z]/g, "")`, and
/// `"".join(c for c in text if c.isalnum())`.
fn cleaned_of(unit: &Unit, expr: ExprId) -> Option<ExprId> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let excludes = |number: usize| call.positional(number).is_some_and(|value| is_excluding(unit, value));
    match unit.ir.text(*property) {
        "sub" if excludes(0) => call.positional(2),
        "replace" | "replaceAll" if excludes(0) => Some(*object),
        "join" if matches!(unit.ir.expr(*object), ExprKind::String(_)) => letters_of(unit, call),
        _ => None,
    }
}

/// Whether a value is a pattern of all letters but some.
fn is_excluding(unit: &Unit, value: ExprId) -> bool {
    matches!(unit.ir.expr(value), ExprKind::String(text) if {
        let text = unit.ir.text(*text);
        // What leaves only line ends or white space out is no cleaning of names.
        text.contains("[^") && text.to_lowercase().contains("a-z") || text.contains("[^\\w")
    })
}

/// The text of whose letters only some are joined, or all after some were replaced.
fn letters_of(unit: &Unit, call: &Call) -> Option<ExprId> {
    let ExprKind::Comprehension(comprehension) = unit.ir.expr(call.positional(0)?) else { return None };
    let [clause] = comprehension.clauses.as_ref() else { return None };
    let mut asks = false;
    let conditions = clause.conditions.iter().copied().chain([comprehension.element]);
    for part in conditions {
        walk::exprs_below(&unit.ir, part, &mut |expr| {
            asks |= matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if matches!(unit.ir.text(*property), "isalnum" | "isalpha" | "isidentifier"));
        });
    }
    asks.then_some(clause.iter)
}

/// The name of the owner that a value is: by its own name, or that of the parameter that it is made of.
fn owner_of(project: &Project, unit: &Unit, function: &Function, at: At) -> Option<String> {
    let named = |name: &str| {
        let words = vocabulary::words(name);
        let owner = vocabulary::is_tenant(name) || vocabulary::is_user(name);
        // A name of a file or of a profile is what somebody is shown.
        (owner && !words.iter().any(|word| matches!(word.as_str(), "name" | "email" | "profile" | "slug" | "username" | "author"))).then(|| name.to_owned())
    };
    if let Some(name) = project.last_written(at).and_then(named) {
        return Some(name);
    }
    let roots = project.roots(at);
    function.params.iter().filter_map(|own| own.pattern.as_binding().map(|id| (own, id))).find_map(|(own, id)| {
        let text = own.type_text.map_or("", |text| unit.ir.text(text));
        let other = ["UUID", "int", "number"].contains(&text.trim());
        (roots.contains(&id) && !other).then(|| named(unit.ir.binding_name(id))).flatten()
    })
}

/// Whether a function adds a hash, encodes, asks for a form of ids, or refuses an id that it had to clean.
fn is_kept_apart(unit: &Unit, function: &Function) -> bool {
    let text = unit.ir.snippet(function.span);
    let words = vocabulary::words(text);
    if words.iter().any(|word| APART.contains(&word.as_str())) {
        return true;
    }
    let mut refuses = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        let throws = then.iter().any(|own| matches!(unit.ir.stmt(*own), StmtKind::Throw(_)));
        let mut compares = false;
        walk::exprs_below(&unit.ir, *test, &mut |expr| {
            compares |= match unit.ir.expr(expr) {
                ExprKind::Compare { op: CompareOp::NotEq, left, right } => {
                    [left, right].into_iter().all(|side| matches!(unit.ir.expr(*side), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_)))
                }
                ExprKind::Call(call) => {
                    let name = unit.ir.snippet(unit.ir.span(call.callee));
                    name.ends_with(".test") || name.ends_with("match")
                }
                _ => false,
            };
        });
        refuses |= throws && compares;
    });
    refuses
}

/// Whether a cleaned name becomes a place of data: where it stands, through a variable, or where its function's answer is used.
fn is_place(project: &Project, unit: &Unit, fun: Fun, at: At) -> bool {
    if stands_in_place(project, unit, at) {
        return true;
    }
    if let Some(id) = variable_of(unit, at.expr)
        && unit.index.uses(id).iter().any(|used| stands_in_place(project, unit, at.to(*used)))
    {
        return true;
    }
    let given = unit.index.returns(fun.id).iter().any(|value| {
        let own = variable_of(unit, at.expr);
        let mut found = false;
        walk::exprs_below(&unit.ir, *value, &mut |expr| {
            found |= expr == at.expr || matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if Some(*id) == own);
        });
        found
    });
    given
        && (says_place(project.function_name(fun))
            || project.callers(fun).iter().take(CALLERS).any(|call| {
                project.unit(call.module).is_some_and(|unit| {
                    stands_in_place(project, unit, *call)
                        || variable_of(unit, call.expr).is_some_and(|id| {
                            unit.index.uses(id).iter().any(|used| stands_in_place(project, unit, call.to(*used)))
                        })
                })
            }))
}

/// The variable that a value, as it is or after more cleaning, is kept in.
fn variable_of(unit: &Unit, expr: ExprId) -> Option<BindingId> {
    let stmt = unit.index.stmt_of(expr)?;
    match unit.ir.stmt(stmt) {
        StmtKind::Assign { target, .. } => target.as_binding(),
        _ => None,
    }
}

fn says_place(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| PLACES.contains(&word.as_str()))
}

/// Whether a value stands in what names a place: joined to a path, in a text under such a name, or given to what opens it.
fn stands_in_place(project: &Project, unit: &Unit, at: At) -> bool {
    let mut here = at.expr;
    for _ in 0..6 {
        let up = match unit.index.parent(here) {
            Parent::Expr(up) => up,
            Parent::Stmt(stmt) => {
                let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
                return here != at.expr && target.as_binding().is_some_and(|id| says_place(unit.ir.binding_name(id)));
            }
            _ => return false,
        };
        match unit.ir.expr(up) {
            // `root / name` of a path.
            ExprKind::Binary { op: BinaryOp::Other, right, .. } if *right == here => return true,
            ExprKind::Template(parts) => {
                let slash = parts.iter().any(|part| matches!(part, TemplatePart::Text(text) if unit.ir.text(*text).contains('/')));
                if slash && !is_url(unit, parts) {
                    return true;
                }
            }
            ExprKind::Call(call) if call.callee != here => {
                let path = project.written(at.to(up));
                let name = path.last().map_or("", |name| name.as_str());
                let joins = matches!(name, "join" | "resolve" | "Path" | "joinpath" | "get_or_create_collection" | "get_collection" | "create_collection");
                let text = matches!(name, "strip" | "trim" | "lower" | "toLowerCase" | "slice" | "substring" | "str");
                if joins && path.len() < 4 && !matches!(unit.ir.expr(call.callee), ExprKind::Member { object, .. } if matches!(unit.ir.expr(*object), ExprKind::String(_))) {
                    return true;
                }
                if !text {
                    return false;
                }
            }
            ExprKind::Logical { .. } | ExprKind::Conditional { .. } | ExprKind::Member { .. } | ExprKind::Call(_) | ExprKind::Binary { .. } => {}
            _ => return false,
        }
        here = up;
    }
    false
}

/// Whether a template is an address: what it names is not kept here.
fn is_url(unit: &Unit, parts: &[TemplatePart]) -> bool {
    parts.iter().any(|part| matches!(part, TemplatePart::Text(text) if unit.ir.text(*text).contains("://")))
}
