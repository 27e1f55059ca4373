//! An object that all requests without a context of their own share.

use partywall_model::{Axis, Check, Layer, Severity};

use crate::{
    ir::{ArgKind, ExprKind},
    library::Role,
    project::{At, Project, Symbol, Unit},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "shared-context-default",
        layer: Layer::Context,
        summary: "A context variable has a default that can be changed, which all requests share until they set their own.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "The default is made once. What one request puts into it is there for every other request that has set nothing.",
    fix: "Give no default, or None, and set a new object where the request begins.",
    cwe: &["CWE-488", "CWE-1188"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021", "A04:2021"],
    markdown: include_str!("shared_context_default.md"),
    run,
};

/// Calls whose result cannot be changed.
const FROZEN: &[&str] = &["frozenset", "tuple", "str", "int", "float", "bool", "bytes", "object", "MappingProxyType", "UUID", "Path", "timedelta", "Decimal"];

fn run(project: &Project, report: &mut Report<'_>) {
    let asked = project.calls_with(Role::ContextNew);
    for (module, unit) in project.units() {
        for expr in asked.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let default = call.args.iter().find(|arg| match arg.kind {
                ArgKind::Keyword(name) => matches!(unit.ir.text(name), "default" | "defaultValue"),
                _ => false,
            });
            let Some(default) = default.map(|arg| at.to(arg.value)) else { continue };
            if is_changeable(project, unit, default) {
                report.add(module, unit.ir.span(*expr), "this default is one object for all requests that have set nothing");
            }
        }
    }
}

/// Whether a value is an object that can be changed: a literal of several values, or a new object of a class that is not frozen.
fn is_changeable(project: &Project, unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::Object(_) => true,
        ExprKind::Array { kind, .. } => !matches!(kind, crate::ir::ArrayKind::Tuple),
        ExprKind::Call(call) => {
            let name = project.written(at).pop().unwrap_or_default();
            if matches!(name.as_str(), "dict" | "list" | "set" | "defaultdict" | "OrderedDict" | "deque" | "SimpleNamespace") {
                return true;
            }
            if FROZEN.contains(&name.as_str()) {
                return false;
            }
            matches!(project.symbol(at.to(call.callee)), Symbol::Class(class) if !is_frozen(project, class))
        }
        _ => false,
    }
}

/// Whether objects of a class cannot be changed: a frozen dataclass or model, a named tuple, an enum.
fn is_frozen(project: &Project, class: crate::project::Cls) -> bool {
    let Some(unit) = project.unit(class.module) else { return true };
    unit.ir.class(class.id).is_none_or(|declared| {
        let text = |expr: &crate::ir::ExprId| unit.ir.snippet(unit.ir.span(*expr));
        let base = |expr| ["NamedTuple", "Enum", "Protocol"].iter().any(|name| text(expr).contains(name));
        let frozen = unit.ir.snippet(declared.span).contains("frozen=True") || unit.ir.snippet(declared.span).contains("\"frozen\": True");
        frozen || declared.decorators.iter().any(|expr| text(expr).contains("frozen")) || declared.bases.iter().any(base)
    })
}
