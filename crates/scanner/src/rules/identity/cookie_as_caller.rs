//! The caller as a cookie says that nobody signed: `req.user = JSON.parse(req.cookies.session)`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ExprId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// What stands in code that looks at whether the cookie is its own.
const LOOKS: &[&str] = &[
    "verify",
    "signed",
    "unsign",
    "hmac",
    "signature",
    "decrypt",
    "unseal",
    "jwt",
    "timingsafe",
    "compare_digest",
    "lookup",
    "find",
];

/// Functions that make a record of a text.
const READS: &[&str] = &["parse", "loads", "b64decode", "urlsafe_b64decode", "atob"];

/// Reports where the caller becomes what such a cookie says.
pub(super) fn cookie_as_caller(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if !unit.ir.has_name_with(&["cookies", "COOKIES"]) {
            continue;
        }
        for write in &unit.index.writes {
            let name = match unit.ir.expr(write.place) {
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                _ => continue,
            };
            let at = At { module, expr: write.value };
            if write.function != FunctionId::MODULE
                && (vocabulary::is_principal(name) || matches!(name, "user" | "auth" | "caller" | "account"))
                && is_record_of_cookie(project, unit, at)
                && !super::header_as_caller::looks(unit, write.function, LOOKS)
            {
                report
                    .reached(at, "who calls is what a cookie says that nobody signed")
                    .severity(Severity::High)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a value is a record that is read out of the text of a cookie.
fn is_record_of_cookie(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let reads = project.last_written(at.to(call.callee)).is_some_and(|name| READS.contains(&name));
    let mut open: Vec<ExprId> = call.args.iter().map(|arg| arg.value).collect();
    let mut next = 0;
    let mut found = false;
    while let Some(expr) = open.get(next).copied().filter(|_| next < 8) {
        next += 1;
        walk::exprs_below(&unit.ir, expr, &mut |own| match unit.ir.expr(own) {
            ExprKind::Member { property, .. } => {
                found |= matches!(unit.ir.text(*property), "cookies" | "COOKIES")
            }
            ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
                open.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
            }
            _ => {}
        });
    }
    reads && found
}
