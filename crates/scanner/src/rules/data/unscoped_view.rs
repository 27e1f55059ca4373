//! A view over all rows of a model that has owners.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::all_tenants::is_tenants;
use crate::{
    flow::{Owned, singular},
    ir::{Arg, ArgKind, Class, ExprId, ExprKind, NameRef, walk},
    project::{At, Cls, Fun, ModuleId, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "unscoped-view",
        layer: Layer::Data,
        summary: "A view serves all rows of a model that has owners, and nothing narrows them to the caller's.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "The framework lists, reads, changes and deletes whatever the view's rows are, for each caller, by ids that are counted up.",
    fix: "Override `get_queryset` and filter there by the field that says whose a row is: `return super().get_queryset().filter(OWNER=self.request.user)`.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("unscoped_view.md"),
    run,
};

/// Methods with which a view narrows its rows, or looks at one of them.
const NARROWS: &[&str] =
    &["get_queryset", "get_object", "filter_queryset", "check_object_permissions", "dispatch", "test_func", "has_permission"];

/// What permissions for everybody who has signed in are called.
const PLAIN: &[&str] = &["IsAuthenticated", "AllowAny", "IsAuthenticatedOrReadOnly", "TokenHasScope", "TokenHasReadWriteScope"];

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, class) in unit.ir.classes() {
            if !is_view(project, module, class) || is_narrowed(project, Cls { module, id }, unit, class) {
                continue;
            }
            let Some((at, model)) = rows(project, module, unit, class) else { continue };
            let owned = project.owned_entities().get(&singular(&model)) == Some(&Owned::Yes);
            if !owned && !is_tenants(&model.to_lowercase()) {
                continue;
            }
            let asks = field(unit, class, "permission_classes").is_some() || mixes_in(project, module, class, "LoginRequiredMixin");
            let found = report
                .at(at, format!("this view serves all rows of `{model}`, which {}, to each caller", if owned { "have owners" } else { "are the tenants" }))
                .severity(if asks && owned { Severity::High } else { Severity::Medium })
                .confidence(Confidence::Medium);
            if is_open_by_link(project, Cls { module, id }, unit, class, &model) {
                found.severity(Severity::Low);
            }
        }
    }
}

/// Whether a view is said to be for whoever has a link: nobody has to sign in, it shows or changes one row at a time, and the rows' ids
/// are random.
fn is_open_by_link(project: &Project, own: Cls, unit: &Unit, class: &Class, model: &str) -> bool {
    let one = bases(project, own.module, class).all(|name| matches!(name.as_str(), "RetrieveAPIView" | "UpdateAPIView" | "RetrieveUpdateAPIView"));
    let Some(value) = field(unit, class, "permission_classes") else { return false };
    let mut open = Vec::new();
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        if let ExprKind::Name(_) = unit.ir.expr(expr) {
            open.push(project.last_written(At { module: own.module, expr }) == Some("AllowAny"));
        }
    });
    one && !open.is_empty() && open.iter().all(|allow| *allow) && project.units().any(|(module, unit)| {
        unit.ir.classes().any(|(id, class)| project.class_name(Cls { module, id }) == model && has_random_id(project, Cls { module, id }, unit, class, 3))
    })
}

/// Whether a model, or one that it extends, has ids that nobody can guess: `UUIDField(primary_key=True)`.
fn has_random_id(project: &Project, own: Cls, unit: &Unit, class: &Class, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let random = class.fields.iter().filter_map(|field| field.value).any(|value| {
        let text = unit.ir.snippet(unit.ir.span(value));
        text.contains("UUIDField(") && text.contains("primary_key")
    });
    random || class.bases.iter().any(|base| match project.symbol(At { module: own.module, expr: *base }) {
        crate::project::Symbol::Class(base) => project.unit(base.module).is_some_and(|unit| {
            unit.ir.class(base.id).is_some_and(|class| has_random_id(project, base, unit, class, depth))
        }),
        _ => false,
    })
}

/// The last names of a class's bases, as they are written.
fn bases<'c>(project: &'c Project, module: ModuleId, class: &'c Class) -> impl Iterator<Item = String> + 'c {
    class.bases.iter().filter_map(move |base| project.written(At { module, expr: *base }).pop().map(String::from))
}

/// Whether a class is a view that a framework fills from a model.
fn is_view(project: &Project, module: ModuleId, class: &Class) -> bool {
    bases(project, module, class).any(|name| {
        matches!(name.as_str(), "ModelViewSet" | "ReadOnlyModelViewSet" | "GenericViewSet" | "DetailView" | "UpdateView" | "DeleteView" | "ListView")
            // One that only adds serves no rows.
            || (name.ends_with("APIView") && name.len() > "APIView".len() && name != "CreateAPIView")
    })
}

fn mixes_in(project: &Project, module: ModuleId, class: &Class, wanted: &str) -> bool {
    bases(project, module, class).any(|name| name == wanted)
}

/// Whether the view, or a class of the project that it extends, narrows its rows or asks for more than a caller who is known.
fn is_narrowed(project: &Project, own: Cls, unit: &Unit, class: &Class) -> bool {
    let narrows = |name: &str| project.method(own, name).is_some_and(|method| name != "get_queryset" || may_narrow(project, method));
    let methods = NARROWS.iter().any(|name| narrows(name));
    // Mixins of the project and of others do what their names say.
    let mixed = bases(project, own.module, class).any(|name| {
        vocabulary::words(&name)
            .iter()
            .any(|word| vocabulary::is_owner(word) || matches!(word.as_str(), "admin" | "staff" | "permission" | "scoped" | "passes"))
    });
    let mut more = false;
    for name in ["permission_classes", "filter_backends"] {
        let Some(value) = field(unit, class, name) else { continue };
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            if let ExprKind::Name(_) = unit.ir.expr(expr) {
                let said = project.written(At { module: own.module, expr }).pop().unwrap_or_default();
                let said = said.as_str();
                let fixed = said.ends_with("SearchFilter") || said.ends_with("OrderingFilter") || said == "DjangoFilterBackend";
                more |= said.starts_with(char::is_uppercase) && !PLAIN.contains(&said) && !fixed;
            }
        });
    }
    methods || mixed || more || super::filter_backends::narrows_views(project, own)
}

/// What a method that gives a view's rows may do with them for all callers alike: choose, sort and join by what everybody may send.
const FOR_ALL: &[&str] = &[
    "filter", "exclude", "all", "order_by", "select_related", "prefetch_related", "annotate", "distinct", "get_queryset", "super", "get", "getlist",
    "Q", "Prefetch", "Count", "Max", "Min", "Sum", "int", "bool", "str", "only", "defer", "reverse", "split", "lower", "strip",
];

/// Whether `get_queryset` may narrow the rows to somebody's: it asks for the caller, for what the path names, or calls what is not
/// known to narrow nothing.
fn may_narrow(project: &Project, method: Fun) -> bool {
    let Some(unit) = project.unit(method.module) else { return true };
    let mut narrows = false;
    walk::function_exprs(&unit.ir, method.id, &mut |expr| {
        narrows |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => {
                let name = unit.ir.text(*property);
                matches!(name, "user" | "auth" | "kwargs" | "session" | "tenant") || vocabulary::says_whose(name)
            }
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::says_whose(unit.ir.binding_name(*id)),
            ExprKind::Call(call) => {
                let own = project.last_written(At { module: method.module, expr: call.callee }).unwrap_or_default();
                let named = |arg: &Arg| matches!(arg.kind, ArgKind::Keyword(name) if unit.ir.text(name).split("__").any(vocabulary::says_whose));
                !FOR_ALL.contains(&own) || call.args.iter().any(named)
            }
            _ => false,
        };
    });
    narrows
}

fn field(unit: &Unit, class: &Class, name: &str) -> Option<ExprId> {
    class.fields.iter().find(|field| unit.ir.text(field.name) == name)?.value
}

/// The rows that a view serves, and their model: `queryset = Note.objects.all()`, `model = Note`.
fn rows(project: &Project, module: ModuleId, unit: &Unit, class: &Class) -> Option<(At, String)> {
    if let Some(value) = field(unit, class, "queryset") {
        let path = project.written(At { module, expr: value });
        let model = path.first().filter(|_| path.iter().any(|part| part == "objects"))?;
        // A filter that is always there may be anything.
        let whole = path.iter().all(|part| !matches!(part.as_str(), "filter" | "exclude" | "none"));
        return whole.then(|| (At { module, expr: value }, model.to_string()));
    }
    let value = field(unit, class, "model")?;
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value) else { return None };
    Some((At { module, expr: value }, unit.ir.binding_name(*id).to_owned()))
}
