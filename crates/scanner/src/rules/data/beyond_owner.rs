//! Patterns and prefixes that reach beyond one owner: `redis.keys(`user:${id}*`)` finds those of user 10 for user 1,
//! `key.startsWith(tenantId)` holds for another tenant's key that begins alike, and an id with a `*` in it matches everybody's.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{KeyPart, Origins, parts_of_key},
    ir::{ArgKind, Call, ExprId, ExprKind, PropertyKey, walk},
    project::{At, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "pattern-beyond-owner",
        layer: Layer::Data,
        summary: "A pattern or prefix with an owner in it matches what belongs to other owners as well.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Without a delimiter behind it, an id is the beginning of longer ids too: what begins with `user:1` is user 10's as well. \
          In a pattern that a store matches, a `*` in an id stands for everybody's.",
    fix: "End the prefix with the delimiter that keys have behind the owner, and escape what a pattern is put together of.",
    cwe: &["CWE-185", "CWE-863", "CWE-625"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("beyond_owner.md"),
    run,
};

/// Calls that find keys by a pattern.
const MATCHES: &[&str] = &[
    "keys",
    "scan",
    "scan_iter",
    "scanIterator",
    "scanStream",
    "hscan",
    "sscan",
    "zscan",
    "delete_pattern",
    "deletePattern",
    "delPattern",
    "delByPattern",
    "deleteByPattern",
    "delete_by_pattern",
    "invalidate_pattern",
    "invalidatePattern",
];

/// Words of calls behind which a value has nothing left that a pattern reads.
const HARMLESS: &[&str] = &[
    "escape", "escaped", "quote", "encode", "encoded", "hash", "hashed", "digest", "hex", "hexdigest", "base64", "sanitize", "slug", "int",
    "number", "uuid", "glob", "safe", "md5", "sha256", "normalize",
];

fn run(project: &Project, report: &mut Report<'_>) {
    let matches = project.calls_named(|name| MATCHES.contains(&name));
    let begins = project.calls_named(|name| matches!(name, "startsWith" | "startswith"));
    for (module, unit) in project.units() {
        for expr in matches.among(module) {
            pattern(project, unit, At { module, expr: *expr }, report);
        }
        for expr in begins.among(module) {
            prefix(project, unit, At { module, expr: *expr }, report);
        }
    }
}

/// Reports a pattern in which nothing ends the owner's id, or in which the client's own text is a part of the pattern.
fn pattern(project: &Project, unit: &Unit, at: At, report: &mut Report<'_>) {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
    let Some(given) = pattern_of(unit, call) else { return };
    let (written, parts) = parts_of_key(unit, at.to(given));
    let stars = parts.iter().any(|part| matches!(part, KeyPart::Text(text) if text.contains('*')))
        || unit.ir.snippet(unit.ir.span(written.expr)).contains("'*'");
    if !stars {
        return;
    }
    for (number, part) in parts.iter().enumerate() {
        let KeyPart::Value(value) = part else { continue };
        if is_harmless(project, unit, *value) {
            continue;
        }
        let ends_open = matches!(parts.get(number + 1), Some(KeyPart::Text(text)) if text.starts_with('*'));
        let owner = whose(project, unit, *value);
        if ends_open && owner && is_last_named(project, *value) {
            let found = report.reached(
                at,
                "nothing ends the owner's id in this pattern: it matches what belongs to all whose id begins alike",
            );
            found.confidence(Confidence::Medium).related(written.module, project.span(written), "the pattern");
            return;
        }
        let chosen = owner && project.origins(*value).has(Origins::INPUT | Origins::UNVERIFIED);
        let scoped = is_scope(project, unit, *value);
        if chosen || scoped {
            let found = report.reached(
                written,
                "an owner's id is put into a pattern as it is: with a `*` in it, it matches everybody's keys",
            );
            found.severity(if chosen { Severity::Medium } else { Severity::Low }).confidence(Confidence::Medium);
            found.related(at.module, project.span(at), "it is matched here");
            return;
        }
    }
}

/// The pattern that a call is given: the one argument, `match=…`, what stands behind `"MATCH"`.
fn pattern_of(unit: &Unit, call: &Call) -> Option<ExprId> {
    let is_match = |text: &str| text.eq_ignore_ascii_case("match");
    let mut before = false;
    for arg in &call.args {
        if before {
            return Some(arg.value);
        }
        if matches!(arg.kind, ArgKind::Keyword(name) if is_match(unit.ir.text(name)) || unit.ir.text(name) == "pattern") {
            return Some(arg.value);
        }
        match unit.ir.expr(arg.value) {
            ExprKind::String(text) => before = is_match(unit.ir.text(*text)),
            ExprKind::Object(properties) => {
                let found = properties.iter().find(
                    |own| matches!(own.key, PropertyKey::Name(name) if is_match(unit.ir.text(name))),
                );
                if let Some(own) = found {
                    return Some(own.value);
                }
            }
            _ => {}
        }
    }
    match call.args.as_ref() {
        [only] if matches!(only.kind, ArgKind::Positional) => Some(only.value),
        _ => None,
    }
}

/// Reports a test whether a key or path begins with an owner's id, behind which nothing ends it.
fn prefix(project: &Project, unit: &Unit, at: At, report: &mut Report<'_>) {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
    let (ExprKind::Member { object, .. }, [only]) = (unit.ir.expr(call.callee), call.args.as_ref()) else { return };
    if !is_key(project, at.to(*object)) {
        return;
    }
    let (_, parts) = parts_of_key(unit, at.to(only.value));
    let Some(KeyPart::Value(last)) = parts.last() else { return };
    // A value that is put together elsewhere may end in what ends it.
    let plain = matches!(unit.ir.expr(last.expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_));
    if plain && whose(project, unit, *last) && is_last_named(project, *last) && !is_harmless(project, unit, *last) {
        report
            .reached(at, "nothing ends the owner's id in what this begins with: it holds for all whose id begins alike")
            .confidence(Confidence::Medium);
    }
}

/// Words of what is found by how it begins.
const KEYS: &[&str] = &[
    "key", "k", "path", "name", "filename", "file", "object", "blob", "prefix", "resource", "uri", "resolved", "target", "id", "item", "entry",
    "collection", "topic", "channel", "room", "thread",
];

/// Whether a value is named for a key or path.
fn is_key(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let name = match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => call.positional(0).and_then(|arg| project.last_written(at.to(arg))),
        _ => project.last_written(at),
    };
    name.is_some_and(|name| vocabulary::words(name).last().is_some_and(|word| KEYS.contains(&word.as_str())))
}

/// Whether a value is an owner's id: by its name, or by where it comes from.
fn whose(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. })
            && project.last_written(at.to(expr)).is_some_and(vocabulary::is_owner);
    });
    found
}

/// Whether the last name of a value is the owner's: `user.id`, `tenantId`, `str(org_id)`, and not `user.prefix`.
fn is_last_named(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let expr = match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => call.positional(0),
        _ => Some(at.expr),
    };
    let Some(written) = expr.map(|expr| project.written(at.to(expr))) else { return false };
    let last = written.last().map(crate::project::Word::as_str).unwrap_or_default();
    let before = written.iter().rev().nth(1).map(crate::project::Word::as_str).unwrap_or_default();
    let uuid = vocabulary::words(last).iter().any(|word| word == "uuid" || word == "hash");
    !uuid && (vocabulary::is_owner(last) || (matches!(last, "id" | "slug" | "name") && vocabulary::is_owner(before)))
}

/// All expressions below one, also those of a few functions in it.
fn below(unit: &Unit, root: ExprId) -> Vec<ExprId> {
    let (mut all, mut functions) = (Vec::new(), Vec::new());
    walk::exprs_below(&unit.ir, root, &mut |expr| {
        all.push(expr);
        if let ExprKind::Function(id) = unit.ir.expr(expr) {
            functions.push(*id);
        }
    });
    for id in functions.into_iter().take(4) {
        walk::function_exprs(&unit.ir, id, &mut |expr| all.push(expr));
    }
    all
}

/// Whether a value is a part of what says whose a thing is, whatever it is: `scope[key]`, `SCOPE_KEYS.map((key) => scope[key])`.
fn is_scope(project: &Project, unit: &Unit, at: At) -> bool {
    below(unit, at.expr).into_iter().any(|expr| match unit.ir.expr(expr) {
        ExprKind::Index { object, .. } | ExprKind::Member { object, .. } => project
            .last_written(at.to(*object))
            .is_some_and(|name| vocabulary::words(name).last().is_some_and(|word| word == "scope")),
        _ => false,
    })
}

/// Whether a value, or what a variable of it was set to, goes through a call behind which a pattern reads nothing of it.
fn is_harmless(project: &Project, unit: &Unit, at: At) -> bool {
    let mut roots = vec![at.expr];
    for root in project.roots(at) {
        roots.extend(unit.index.sources(root).iter().take(4).map(|source| source.value));
    }
    roots.into_iter().flat_map(|root| below(unit, root)).any(|expr| match unit.ir.expr(expr) {
        ExprKind::Call(call) => {
            let name = project.last_written(at.to(call.callee)).unwrap_or_default();
            vocabulary::words(name).iter().any(|word| HARMLESS.contains(&word.as_str()))
        }
        _ => false,
    })
}
