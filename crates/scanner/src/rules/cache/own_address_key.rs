//! Keys of what all clients of a process share that are made of where a client connects, and not as whom: `f"tools:{self.url}"` of an
//! object that is made with `headers` too.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Access, Store},
    ir::{ExprId, ExprKind, NameRef, walk},
    project::{At, Cls, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Names of fields that say where a client connects.
const WHERE: &[&str] = &[
    "url",
    "base_url",
    "baseUrl",
    "baseURL",
    "server_url",
    "serverUrl",
    "endpoint",
    "host",
    "uri",
    "api_url",
    "apiUrl",
    "command",
    "base",
    "token_url",
    "tokenUrl",
];

/// Names of fields that say as whom.
const AS_WHOM: &[&str] = &[
    "headers",
    "token",
    "access_token",
    "accessToken",
    "api_key",
    "apiKey",
    "auth",
    "credentials",
    "env",
    "client_secret",
    "clientSecret",
    "cookies",
    "bearer",
];

/// How many names are followed from a key to what it is made of.
const STEPS: u32 = 4;

/// Reports where something is kept under such a key, and where the key is made.
pub(super) fn own_address_key(project: &Project, report: &mut Report<'_>) {
    let mut told = std::collections::BTreeSet::new();
    for access in project.accesses().iter().filter(|access| access.value.is_some()) {
        let Some(class) = project.this_of(access.function) else { continue };
        if is_own(project, access, class) || project.is_fixed(access.key) {
            continue;
        }
        let mut parts = Parts::default();
        parts.follow(project, access.key, STEPS);
        if parts.whose || parts.places.is_empty() {
            continue;
        }
        let Some(whom) = parts.places.iter().find_map(|place| as_whom(project, class, *place)) else {
            continue;
        };
        let made = parts.made_at.unwrap_or(access.at);
        for at in [access.at, made] {
            if told.insert(at) {
                report
                    .reached(at, format!("the key of `{}` says where this connects and not as whom: `{whom}` is left out of it", access.name))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium)
                    .whatever_the_way();
            }
        }
    }
}

/// Whether a store belongs to the one object that fills it.
fn is_own(project: &Project, access: &Access, class: Cls) -> bool {
    let Store::Field(of, name) = &access.store else { return false };
    // What stands in the body of the class is one for all its objects.
    let of_class = project
        .unit(of.module)
        .and_then(|unit| unit.ir.class(of.id).map(|decl| (unit, decl)))
        .is_some_and(|(unit, decl)| {
            decl.fields.iter().any(|field| unit.ir.text(field.name) == name && field.value.is_some())
        });
    *of == class && !(of_class && project.field_writes(*of, name).is_empty())
}

/// What a key is made of.
#[derive(Default)]
struct Parts {
    /// Fields that say where something connects.
    places: Vec<At>,
    /// Whether it says as whom, or whose.
    whose: bool,
    /// Where a method makes it.
    made_at: Option<At>,
}

impl Parts {
    fn follow(&mut self, project: &Project, at: At, steps: u32) {
        let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(at.module)) else { return };
        let mut next: Vec<At> = Vec::new();
        let mut maker = None;
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Member { object, property, .. } => {
                let name = unit.ir.text(*property);
                if WHERE.contains(&name) && is_of_this(unit, *object) {
                    self.places.push(at.to(expr));
                }
                self.whose |= AS_WHOM.contains(&name)
                    || vocabulary::says_whose(name)
                    || vocabulary::is_credential(name);
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                let name = unit.ir.binding_name(*id);
                // A variable is what it is made of; `key` is none of its own.
                let made = !unit.index.sources(*id).is_empty();
                self.whose |= vocabulary::says_whose(name)
                    || (!made && (vocabulary::is_credential(name) || AS_WHOM.contains(&name)));
                if !unit.ir.is_module_level(*id) {
                    next.extend(unit.index.sources(*id).iter().take(4).map(|source| at.to(source.value)));
                }
            }
            // `self._key("tools")`
            ExprKind::Call(_) => {
                if let Some(callee) = project.callee(at.to(expr)).filter(|callee| callee.certain)
                    && let [target] = callee.targets.as_slice()
                    && project.this_of(*target).is_some()
                {
                    maker = Some(*target);
                }
            }
            _ => {}
        });
        if let Some(maker) = maker {
            self.made_by(project, maker, steps, &mut next);
        }
        for value in next.into_iter().filter(|value| value.expr != at.expr) {
            self.follow(project, value, steps);
        }
    }

    fn made_by(&mut self, project: &Project, maker: Fun, steps: u32, next: &mut Vec<At>) {
        let Some(unit) = project.unit(maker.module).filter(|_| steps > 0) else { return };
        let returns = unit.index.returns(maker.id);
        next.extend(returns.iter().take(4).map(|expr| At { module: maker.module, expr: *expr }));
        if let Some(last) = returns.last() {
            self.made_at = self.made_at.or(Some(At { module: maker.module, expr: *last }));
        }
    }
}

/// Whether an object is `self`, or a field of it.
fn is_of_this(unit: &Unit, object: ExprId) -> bool {
    match unit.ir.expr(object) {
        ExprKind::This => true,
        ExprKind::Member { object, .. } => matches!(unit.ir.expr(*object), ExprKind::This),
        _ => false,
    }
}

/// The field beside one that says where something connects, which says as whom and is given to whoever makes the object.
fn as_whom(project: &Project, class: Cls, place: At) -> Option<&'static str> {
    let unit = project.unit(place.module)?;
    let ExprKind::Member { object, .. } = unit.ir.expr(place.expr) else { return None };
    let of = match unit.ir.expr(*object) {
        ExprKind::This => class,
        _ => match project.symbol(place.to(*object)) {
            Symbol::Instance(class) => class,
            _ => return None,
        },
    };
    let classes = std::iter::once(of).chain(project.subclasses(of).iter().copied().take(8));
    classes.into_iter().find_map(|class| {
        AS_WHOM.iter().copied().find(|name| {
            project.field_values(class, name).iter().any(|value| {
                project.roots(*value).iter().any(|root| project.parameter_of(value.module, *root).is_some())
            })
        })
    })
}
