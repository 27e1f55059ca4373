//! Keys and paths that are put together: `f"note:{owner}:{id}"`, `ROOT / owner / name`; and the stores of keys and values.

use crate::{
    ir::{BinaryOp, Call, ExprId, ExprKind, NameRef, Span, TemplatePart},
    library::Role,
    project::{At, Project, Unit},
    vocabulary,
};

/// Words of stores of keys and values.
pub(crate) const KEY_STORES: &[&str] = &["redis", "valkey", "kv", "memcached", "memcache", "ioredis"];

/// How far the parts of a key are looked for in variables.
const DEPTH: u32 = 4;

/// A part of a key.
pub(crate) enum KeyPart {
    /// What is written out.
    Text(String),
    /// What is put in.
    Value(At),
}

/// The parts of a key or path, with those of the variables that it is put together from, and where it is put together.
pub(crate) fn parts_of_key(unit: &Unit, at: At) -> (At, Vec<KeyPart>) {
    let mut parts = Vec::new();
    let written = gather(unit, at, DEPTH, &mut parts);
    (written, parts)
}

/// Whether an expression joins parts of a path.
pub(crate) fn is_join(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Binary { op: BinaryOp::Other, left, right } => {
            let between = Span::new(unit.ir.span(*left).end, unit.ir.span(*right).start);
            unit.ir.snippet(between).trim() == "/"
        }
        ExprKind::Call(call) => is_path_join(unit, call),
        _ => false,
    }
}

fn is_path_join(unit: &Unit, call: &Call) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    let of = match unit.ir.expr(*object) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        _ => return false,
    };
    (unit.ir.text(*property) == "join" && of == "path") || unit.ir.text(*property) == "joinpath"
}

/// The parts of a key or path, with those of the variables that it is put together from; gives where it is put together.
fn gather(unit: &Unit, at: At, depth: u32, parts: &mut Vec<KeyPart>) -> At {
    let Some(depth) = depth.checked_sub(1) else {
        parts.push(KeyPart::Value(at));
        return at;
    };
    match unit.ir.expr(at.expr) {
        ExprKind::String(text) => parts.push(KeyPart::Text(unit.ir.text(*text).to_owned())),
        ExprKind::Template(written) => {
            for part in written {
                match part {
                    TemplatePart::Text(text) => parts.push(KeyPart::Text(unit.ir.text(*text).to_owned())),
                    TemplatePart::Value(value) => {
                        gather(unit, at.to(*value), depth, parts);
                    }
                }
            }
        }
        ExprKind::Binary { op: BinaryOp::Add, left, right } => {
            gather(unit, at.to(*left), depth, parts);
            gather(unit, at.to(*right), depth, parts);
        }
        ExprKind::Binary { left, right, .. } if is_join(unit, at.expr) => {
            gather(unit, at.to(*left), depth, parts);
            gather(unit, at.to(*right), depth, parts);
        }
        ExprKind::Call(call) if is_path_join(unit, call) => {
            // `base.joinpath(name)`
            if let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
                && unit.ir.text(*property) == "joinpath"
            {
                gather(unit, at.to(*object), depth, parts);
            }
            for arg in &call.args {
                gather(unit, at.to(arg.value), depth, parts);
            }
        }
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            match unit.index.sources(*id) {
                [source] if source.path.is_empty() && is_put_together(unit, source.value) => {
                    return gather(unit, at.to(source.value), depth, parts);
                }
                _ => parts.push(KeyPart::Value(at)),
            }
        }
        _ => parts.push(KeyPart::Value(at)),
    }
    at
}

fn is_put_together(unit: &Unit, expr: ExprId) -> bool {
    matches!(
        unit.ir.expr(expr),
        ExprKind::Template(_) | ExprKind::String(_) | ExprKind::Binary { op: BinaryOp::Add, .. }
    ) || is_join(unit, expr)
}

/// Whether an object is a store of keys and values, by its name or by what libraries say of its call.
pub(crate) fn is_key_store(project: &Project, call: At, object: At) -> bool {
    let named = project
        .last_written(object)
        .is_some_and(|name| vocabulary::words(name).iter().any(|word| KEY_STORES.contains(&word.as_str())));
    named
        || project.callee(call).is_some_and(|callee| {
            let known = callee.defs.iter().any(|def| matches!(def.role, Role::CacheGet | Role::CacheSet));
            let package = callee.package.as_deref().unwrap_or_default();
            known || KEY_STORES.contains(&package.split(['.', '/']).next().unwrap_or_default())
        })
}
