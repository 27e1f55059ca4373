//! Mutable defaults of Python that requests write to: of a class, and of a parameter.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Cell, Lifetimes, Origins},
    ir::{ArrayKind, BindingId, Class, ExprId, ExprKind, Language, NameRef},
    project::{At, Cls, Fun, ModuleId, Project, Unit},
    rules::{
        Report, Rule,
        data::named_objects::{DEPTH, has_owner},
    },
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "mutable-default",
        layer: Layer::State,
        summary: "A list or dictionary that all objects of a class, or all calls of a function, share is filled with data of requests.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "What stands in the body of a class, or as a parameter's default, is made once. Each object and each call adds to the same one and \
          finds what others have left there.",
    fix: "Make it in `__init__` (`self.items = []`, or `field(default_factory=list)`), and take `None` as a parameter's default.",
    cwe: &["CWE-488", "CWE-1188"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("mutable_default.md"),
    run,
};

/// Methods that change a collection.
const CHANGES: &[&str] = &["append", "add", "extend", "insert", "update", "setdefault", "appendleft"];

fn run(project: &Project, report: &mut Report<'_>) {
    super::of_class::of_class(project, report);
    super::kept_default::kept_default(project, report);
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (at, container, value) in changes(module, unit) {
            let fun = project.function_of(at);
            let origins = value.iter().fold(Origins::NONE, |sum, value| sum | project.origins(*value));
            let asked = lives.is_per_request(fun) && (origins.is_of_request() || origins.has_owner());
            let what = asked.then(|| shared(project, &lives, unit, fun, container)).flatten();
            let Some(what) = what else {
                let named = given_back(project, unit, fun, container).filter(|_| !value.iter().all(|value| project.is_fixed(*value)));
                if let Some(name) = named.filter(|_| project.has_owners(module)) {
                    report
                        .reached(at, format!("`{name}` is added to and given back; a call that leaves it out gets what others have left there"))
                        .severity(Severity::Low)
                        .confidence(Confidence::Low);
                }
                continue;
            };
            // What is kept under whose it is mixes nobody up.
            let of_owner = match unit.ir.expr(at.expr) {
                ExprKind::Index { index, .. } => has_owner(project, At { module, expr: *index }, DEPTH),
                ExprKind::Call(call) if project.last_written(at) == Some("setdefault") => {
                    call.positional(0).is_some_and(|key| has_owner(project, At { module, expr: key }, DEPTH))
                }
                _ => false,
            };
            if of_owner {
                continue;
            }
            // What a class keeps may be meant to be one for all.
            let of_class = matches!(unit.ir.expr(container), ExprKind::Member { .. });
            // What is kept under a key of its own mixes nobody up by itself.
            let keyed = matches!(unit.ir.expr(at.expr), ExprKind::Index { index, .. } if !project.is_fixed(At { module, expr: *index }));
            let sure = project.knows_callers(module) && origins.has_owner() && !keyed;
            report
                .reached(at, format!("{what}, and what a request adds stays for the others"))
                .severity(if sure && !of_class { Severity::High } else { Severity::Medium })
                .confidence(Confidence::Medium);
        }
    }
}

/// What changes a collection: where, which one, and with what.
fn changes(module: ModuleId, unit: &Unit) -> Vec<(At, ExprId, Vec<At>)> {
    let at = |expr: ExprId| At { module, expr };
    let writes = unit.index.writes.iter().filter_map(|write| match unit.ir.expr(write.place) {
        ExprKind::Index { object, index, .. } => Some((at(write.place), *object, vec![at(*index), at(write.value)])),
        _ => None,
    });
    let calls = unit.index.calls.iter().filter_map(|expr| {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { return None };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
        let changes = CHANGES.contains(&unit.ir.text(*property)) && !call.args.is_empty();
        changes.then(|| (at(*expr), *object, call.args.iter().map(|arg| at(arg.value)).collect()))
    });
    writes.chain(calls).collect()
}

/// What an expression is, when it is a mutable default.
fn shared(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, fun: Fun, container: ExprId) -> Option<String> {
    match unit.ir.expr(container) {
        ExprKind::Member { object, property, .. } if matches!(unit.ir.expr(*object), ExprKind::This) => {
            let class = project.this_of(fun)?;
            let name = unit.ir.text(*property);
            let decl = unit.ir.class(class.id).filter(|_| class.module == fun.module)?;
            let kept = Cell::Field(class, name.to_owned());
            let shown = || lives.reads(project, &kept).into_iter().any(|(read, ..)| project.is_shown(read));
            (of_class(project, unit, class, decl, name) && shown()).then(|| format!("`{name}` is one for all objects of its class"))
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let (own, number) = defaulted(project, unit, fun, *id)?;
            let fresh = !passed_always(project, own, number);
            fresh.then(|| format!("`{}` is one for all calls that leave it out", unit.ir.binding_name(*id)))
        }
        _ => None,
    }
}

/// The function and number of a parameter whose default is a collection, and that is not set anew where it was left out:
/// `history = history or []`.
pub(super) fn defaulted(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> Option<(Fun, usize)> {
    let (own, number, path) = project.parameter_of(fun.module, id)?;
    let function = unit.ir.function(own.id).filter(|_| path.is_empty())?;
    let default = function.params.get(number)?.default?;
    let renewed = unit.index.sources(id).iter().any(|source| source.value != default);
    (is_collection(unit, default) && !renewed).then_some((own, number))
}

/// The name of a parameter with such a default, when its function gives it back as it is.
fn given_back<'p>(project: &Project, unit: &'p Unit, fun: Fun, container: ExprId) -> Option<&'p str> {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(container) else { return None };
    let (own, _) = defaulted(project, unit, fun, *id)?;
    let back = unit.index.returns(own.id).iter().any(|expr| matches!(unit.ir.expr(*expr), ExprKind::Name(NameRef::Binding(given)) if given == id));
    (own == fun && back).then(|| unit.ir.binding_name(*id))
}

/// Whether a field is a collection that stands in the body of a class, and no object makes one of its own.
fn of_class(project: &Project, unit: &Unit, class: Cls, decl: &Class, name: &str) -> bool {
    let declared = decl.fields.iter().find(|field| unit.ir.text(field.name) == name).and_then(|field| field.value);
    let copied = decl.bases.iter().any(|base| {
        let base = project.written(At { module: class.module, expr: *base }).pop().unwrap_or_default();
        matches!(base.as_str(), "BaseModel" | "SQLModel" | "BaseSettings" | "Struct" | "TypedDict" | "Model" | "Document")
    });
    let record = decl.decorators.iter().any(|expr| {
        let text = unit.ir.snippet(unit.ir.span(*expr));
        text.contains("dataclass") || text.contains("define") || text.contains("attr")
    });
    // A class of constants, `CACHE = {}`, is meant to be one for all, and is other rules' matter.
    let meant = name.chars().all(|char| !char.is_lowercase());
    declared.is_some_and(|value| is_collection(unit, value))
        && !copied
        && !record
        && !meant
        && project.field_writes(class, name).is_empty()
}

/// Whether an expression makes an empty or written out list, set or dict.
fn is_collection(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Array { kind, .. } => !matches!(kind, ArrayKind::Tuple),
        ExprKind::Object(_) => true,
        ExprKind::Call(call) => {
            matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if matches!(unit.ir.text(*name), "list" | "dict" | "set"))
        }
        _ => false,
    }
}

/// Whether every call that is seen passes a parameter.
pub(super) fn passed_always(project: &Project, fun: Fun, number: usize) -> bool {
    let callers = project.callers(fun);
    !callers.is_empty() && callers.iter().all(|call| project.argument(*call, fun, number).is_some())
}
