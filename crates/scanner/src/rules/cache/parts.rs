//! What the parts of a key say about whose a value is: the caller's id does, the caller's mode or role does not.

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef, TemplatePart},
    project::{At, Project, Unit},
    vocabulary,
};

/// What many callers have in common, though each of them has it.
const KINDS: &[&str] = &[
    "mode",
    "role",
    "roles",
    "plan",
    "tier",
    "locale",
    "lang",
    "language",
    "timezone",
    "region",
    "theme",
    "type",
    "kind",
    "status",
    "permissions",
    "scopes",
    "features",
    "flags",
    "version",
    "environment",
    "env",
    "level",
    "currency",
    "country",
];

/// How deep a key is looked into.
const DEPTH: u32 = 10;

/// What was seen in a key.
#[derive(Default)]
struct Seen {
    /// Somebody: the caller, an owner, a session.
    somebody: bool,
    /// Only what many callers have in common.
    kind: bool,
}

/// Whether all that a key has of the caller is something that many callers have in common: `` `${user.role}:${hash}` ``.
pub(super) fn says_only_a_kind(project: &Project, key: At) -> bool {
    let mut seen = Seen::default();
    look(project, key, DEPTH, &mut seen);
    seen.kind && !seen.somebody
}

fn look(project: &Project, at: At, depth: u32, seen: &mut Seen) {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else {
        seen.somebody = true;
        return;
    };
    let mut below = |expr: ExprId| look(project, at.to(expr), depth, seen);
    match unit.ir.expr(at.expr) {
        ExprKind::Template(parts) => parts.iter().for_each(|part| {
            if let TemplatePart::Value(value) = part {
                below(*value);
            }
        }),
        ExprKind::Binary { left, right, .. } | ExprKind::Logical { left, right, .. } => {
            below(*left);
            below(*right);
        }
        ExprKind::Conditional { then, otherwise, .. } => {
            below(*then);
            below(*otherwise);
        }
        ExprKind::Array { items, .. } => items.iter().for_each(|item| below(*item)),
        ExprKind::Object(properties) => properties.iter().for_each(|property| below(property.value)),
        ExprKind::Await(value) | ExprKind::Spread(value) => below(*value),
        ExprKind::Member { object, property, .. } => {
            let of = project
                .written(at.to(*object))
                .pop()
                .is_some_and(|name| vocabulary::is_owner(&name) || vocabulary::is_principal(&name));
            let common =
                KINDS.contains(&vocabulary::words(unit.ir.text(*property)).last().map_or("", String::as_str));
            let whose = is_somebodys(project, at);
            seen.kind |= (whose || of) && common;
            seen.somebody |= ((whose || of) && !common) || vocabulary::is_owner(unit.ir.text(*property));
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() && !unit.ir.is_module_level(*id) => below(source.value),
            _ => seen.somebody |= is_somebodys(project, at),
        },
        ExprKind::Call(call) => {
            call.args.iter().for_each(|arg| below(arg.value));
            if call.args.is_empty() || !is_plain(unit, call.callee) {
                seen.somebody |= is_somebodys(project, at);
            }
        }
        _ => seen.somebody |= is_somebodys(project, at),
    }
}

/// Whether what is called gives back what it is given in another form: `JSON.stringify(…)`, `hash(…)`.
fn is_plain(unit: &Unit, callee: ExprId) -> bool {
    let name = match unit.ir.expr(callee) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Name(NameRef::Global(name)) => unit.ir.text(*name),
        _ => return false,
    };
    vocabulary::words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "hash"
                | "stringify"
                | "string"
                | "digest"
                | "sha"
                | "sha256"
                | "md5"
                | "key"
                | "join"
                | "lower"
                | "trim"
                | "case"
                | "number"
        )
    })
}

fn is_somebodys(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    origins.has_owner() || origins.has(Origins::SESSION)
}
