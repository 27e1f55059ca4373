//! A credential or client that is taken without saying whose.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    library::Role,
    flow::{Lifetimes, Query, Scope},
    ir::{BindingId, BindingKind, ExprId, ExprKind, NameRef, Pattern, StmtId, StmtKind, walk},
    lang::sql::Verb,
    project::{At, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "credential-of-anybody",
        layer: Layer::Credentials,
        summary: "A credential or client is taken without saying whose: the first one, or any that is valid.",
    },
    severity: Severity::High,
    axis: Axis::Credentials,
    why: "The call goes out with the credential of whoever happens to be first, and its answer is shown to somebody else.",
    fix: "Look the credential up by the verified caller, and refuse when there is none.",
    cwe: &["CWE-639", "CWE-863"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("credential_of_anybody.md"),
    run,
};

/// Words of entities that hold credentials.
const CREDENTIALS: &[&str] = &["token", "tokens", "credential", "credentials", "secret", "secrets", "apikey", "grant", "grants"];

/// Words of maps that hold what acts for somebody.
const ACTING: &[&str] = &["client", "clients", "connection", "connections", "token", "tokens", "credential", "credentials", "creds"];

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let named = project.calls_of(|callee| asks_for_any(callee.name()));
    for (module, unit) in project.units() {
        // One whose index is in front of it comes first: two rules may follow the same values.
        let is_call = |at: &At| project.is_one_of(&named, *at) && matches!(unit.ir.expr(at.expr), ExprKind::Call(_));
        let calls = named.among(module).map(|expr| At { module, expr: *expr }).filter(is_call);
        let firsts = project.firsts().range(At { module, expr: ExprId::MISSING }..).map(|(at, _)| *at).take_while(|at| at.module == module);
        let all: BTreeSet<At> = calls.chain(firsts).collect();
        for at in all {
            if let Some(name) = first_of_holder(project, at)
                && lives.is_per_request(project.function_of(at))
                && !project.first_of(at).is_some_and(|map| lives.holds(map, &[Role::Transport]))
            {
                report.reached(at, format!("this is the first entry of `{name}`, whosever it is")).confidence(Confidence::Medium);
            } else if is_call(&at) && !names_owner(project, at) {
                let found = report.reached(at, "any credential that fits is taken, whosever it is");
                if !lives.is_per_request(project.function_of(at)) {
                    found.severity(Severity::Medium);
                }
            }
        }
    }
    super::last_issued::last_issued(project, report);
    super::by_other::by_other(project, report);
    super::for_first::for_first(project, report);
    for (at, name) in newest(project) {
        let found = report.reached(at, format!("one of all that `{name}` holds is given, whosever it is"));
        found.confidence(Confidence::Medium);
        if !lives.is_per_request(project.function_of(at)) {
            found.severity(Severity::Medium);
        }
    }
    super::any_after_own::any_after_own(project, report);
    for query in project.queries() {
        if is_unowned(project, query) {
            report
                .reached(query.at, format!("this reads one of `{}` without naming whose it is", query.shown))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Loops over everybody's credentials that pick one, which a function gives that was asked with a token or key it did not find:
/// `for (const own of tokens.values()) { if (!newest || own.at > newest.at) newest = own }`.
fn newest(project: &Project) -> Vec<(At, String)> {
    let mut found = Vec::new();
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::ForEach { target, iter, body, .. } = stmt else { continue };
            let function = unit.index.stmt_function(id);
            let Some(map) = run_through(unit, At { module, expr: *iter }) else { continue };
            let Some((_, name)) = project.store(map) else { continue };
            if !vocabulary::words(&name).iter().any(|word| ACTING.contains(&word.as_str()) || word.starts_with("token")) {
                continue;
            }
            let mut items = Vec::new();
            target.for_each_binding(&mut |id| items.push(id));
            let picked = picked(unit, body, &items);
            let gives = unit.index.returns(function).iter().any(|value| {
                let mut says = false;
                walk::exprs_below(&unit.ir, *value, &mut |expr| {
                    says |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if picked.contains(id));
                });
                says
            });
            let asked = unit.ir.function(function).is_some_and(|function| {
                function.params.iter().filter_map(|own| own.pattern.as_binding()).any(|id| {
                    let name = unit.ir.binding_name(id);
                    vocabulary::is_credential(name) || vocabulary::is_owner(name) || vocabulary::is_principal(name)
                })
            });
            if gives && asked {
                found.push((At { module, expr: *iter }, name));
            }
        }
    }
    found
}

/// The map that a loop runs through all of.
fn run_through(unit: &Unit, at: At) -> Option<At> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    match unit.ir.expr(call.callee) {
        ExprKind::Member { object, property, .. } => match (unit.ir.text(*property), call.positional(0)) {
            ("values" | "entries" | "items", None) => Some(at.to(*object)),
            ("values" | "entries", Some(of)) => Some(at.to(of)),
            _ => None,
        },
        _ => None,
    }
}

/// The variables that a loop's body sets to what the loop runs through, asking nothing but when it came.
fn picked(unit: &Unit, body: &[StmtId], items: &[BindingId]) -> Vec<BindingId> {
    let mut found = Vec::new();
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        if let StmtKind::Assign { target: Pattern::Binding(id), value, declares: false, .. } = unit.ir.stmt(stmt)
            && matches!(unit.ir.expr(*value), ExprKind::Name(NameRef::Binding(item)) if items.contains(item))
        {
            found.push(*id);
        }
    });
    found
}

/// The name of the map of clients or credentials that an expression takes the first entry of.
fn first_of_holder(project: &Project, at: At) -> Option<String> {
    let map = project.first_of(at)?;
    // Whose map a function is called with is not known here.
    let unit = project.unit(map.module)?;
    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(map.expr)
        && unit.ir.binding(*id).is_some_and(|binding| matches!(binding.kind, BindingKind::Parameter(_)))
    {
        return None;
    }
    // `clients["main"] if "main" in clients else list(clients.values())[0]`: what has entries of fixed names is nobody's.
    let around = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.snippet(unit.ir.stmt_span(stmt)));
    if around.is_some_and(|text| text.contains(&format!(" in {}", project.snippet(map)))) {
        return None;
    }
    let name = match project.store(map) {
        Some((_, name)) => name,
        None => project.written(map).pop()?.into(),
    };
    let kept = project.store(map).is_some() || !project.origins(map).is_of_request();
    let words = vocabulary::words(&name);
    (kept && words.iter().any(|word| ACTING.contains(&word.as_str()))).then_some(name)
}

/// Whether a function's name asks for any valid credential: `get_any_valid_token(gateway)`.
fn asks_for_any(name: &str) -> bool {
    let words = vocabulary::words(name);
    let any = words.iter().any(|word| matches!(word.as_str(), "any" | "first" | "arbitrary" | "random"));
    let credential = words.iter().any(|word| CREDENTIALS.contains(&word.as_str())) || name.to_lowercase().contains("api_key");
    let asks = words.first().is_some_and(|first| matches!(first.as_str(), "get" | "find" | "load" | "fetch" | "pick" | "select" | "any" | "first"));
    any && credential && asks
}

/// Whether an argument of a call is an owner, by what it is or by its name.
fn names_owner(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    call.args.iter().any(|arg| {
        let mut named = project.origins(at.to(arg.value)).has_owner();
        let mut see = |expr: ExprId| {
            named |= project.written(at.to(expr)).last().is_some_and(|name| vocabulary::is_owner(name) || vocabulary::is_principal(name));
        };
        walk::exprs_below(&unit.ir, arg.value, &mut see);
        named
    })
}

/// Whether a query reads one row of a table of credentials by what is not its own: neither an owner nor a part of the credential.
fn is_unowned(project: &Project, query: &Query) -> bool {
    let reached = || project.around(query.function).into_iter().any(|fun| project.reach(fun).is_some());
    project.has_owners(query.at.module) && picks_one(project, query) && reached()
}

/// Whether a query reads one row of a table of credentials by what is neither an owner nor a part of the credential.
pub(super) fn picks_one(project: &Project, query: &Query) -> bool {
    let words = vocabulary::words(&query.shown);
    if query.scope != Scope::None || query.verb != Verb::Select || !words.iter().any(|word| CREDENTIALS.contains(&word.as_str())) {
        return false;
    }
    let text = project.snippet(query.at).to_lowercase();
    // Looked up by itself or by its id, or all of them.
    let itself = ["hash", "token ==", "token=", ".token", "token_id", "jti", "key_id", "state", ".id ==", "id:", "code", "prefix", "session", "refresh"];
    let one = ["first", "limit 1", "limit(1)", "scalar", "one()", "one_or_none", "findfirst", "findone", "find_one", "fetchone", "fetchrow", ".get("];
    let around = project.unit(query.at.module).and_then(|unit| {
        let stmt = unit.index.stmt_of(query.at.expr)?;
        Some(unit.ir.snippet(unit.ir.stmt_span(stmt)).to_lowercase())
    });
    let whole = around.unwrap_or_else(|| text.clone());
    one.iter().any(|word| whole.contains(word)) && !itself.iter().any(|word| text.contains(word))
}
