//! Objects of all owners by a name that the request says: `s3.get_object(Bucket=…, Key=key)`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ArgKind, Call, ExprId, ExprKind, Language, NameRef, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods of clients of S3 and its like.
const OBJECTS: &[&str] = &[
    "get_object",
    "put_object",
    "delete_object",
    "head_object",
    "download_file",
    "download_fileobj",
    "upload_file",
    "upload_fileobj",
    "generate_presigned_url",
    "copy_object",
];

/// Reports such uses.
pub(super) fn object_keys(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let likely = project.calls_named(|name| OBJECTS.contains(&name));
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        let places: Vec<(At, At)> =
            likely.among(module).filter_map(|expr| place(unit, At { module, expr: *expr })).collect();
        for (at, key) in &places {
            let fun = project.function_of(*at);
            let told = places.iter().any(|(_, other)| has_owner(project, unit, *other));
            let open = |key: &At| is_chosen(project, unit, *key) && !has_owner(project, unit, *key);
            if !lives.is_per_request(fun)
                || !project.has_owners(module)
                || !branches(unit, *key).iter().any(open)
                || project.is_checked(*key)
            {
                continue;
            }
            if !told && !knows_caller(project, unit, *at) {
                continue;
            }
            let found = report
                .reached(*at, "this object is found by a name of the request, among those of all owners");
            found
                .severity(if told { Severity::Medium } else { Severity::Low })
                .confidence(Confidence::Medium);
        }
    }
}

/// A call, and the name that it finds an object by.
fn place(unit: &Unit, at: At) -> Option<(At, At)> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return None };
    if !OBJECTS.contains(&unit.ir.text(*property)) {
        return None;
    }
    Some((at, at.to(key_of(unit, call)?)))
}

/// The key that a call of a store is given.
fn key_of(unit: &Unit, call: &Call) -> Option<ExprId> {
    let named = |args: &[crate::ir::Arg]| {
        args.iter()
            .find(|arg| matches!(arg.kind, ArgKind::Keyword(name) if unit.ir.text(name) == "Key"))
            .map(|arg| arg.value)
    };
    named(&call.args).or_else(|| {
        // `generate_presigned_url("get_object", Params={"Key": key})`
        call.args.iter().find_map(|arg| match unit.ir.expr(arg.value) {
            ExprKind::Object(properties) => properties.iter().find_map(|own| match own.key {
                crate::ir::PropertyKey::Name(name) if unit.ir.text(name) == "Key" => Some(own.value),
                _ => None,
            }),
            _ => None,
        })
    })
}

/// What a name may be, one way or the other: `key if key.startswith("files/") else folder_of(user) + key`.
fn branches(unit: &Unit, key: At) -> Vec<At> {
    let made = match unit.ir.expr(key.expr) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => source.value,
            _ => key.expr,
        },
        _ => key.expr,
    };
    match unit.ir.expr(made) {
        ExprKind::Conditional { then, otherwise, .. } => vec![key.to(*then), key.to(*otherwise)],
        ExprKind::Logical { left, right, .. } => vec![key.to(*left), key.to(*right)],
        _ => vec![key],
    }
}

/// Whether a part of a name is what the request says.
fn is_chosen(project: &Project, unit: &Unit, key: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. })
            && project.origins(key.to(expr)).has(Origins::INPUT);
    });
    found
}

/// Whether a part of a name says whose it is.
fn has_owner(project: &Project, unit: &Unit, key: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| {
        let at = key.to(expr);
        if matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_)) {
            found |= project.origins(at).has(Origins::PRINCIPAL | Origins::OWNER)
                || project
                    .last_written(at)
                    .is_some_and(|name| vocabulary::is_owner(name) || vocabulary::is_principal(name));
        }
    });
    found
}

/// Whether the handler is told who calls.
fn knows_caller(project: &Project, unit: &Unit, at: At) -> bool {
    project.around(project.function_of(at)).into_iter().any(|fun| {
        let params = unit.ir.function(fun.id).map(|function| function.params.iter()).into_iter().flatten();
        params.filter_map(|own| own.name).any(|name| {
            let name = unit.ir.text(name).trim_start_matches('_');
            vocabulary::is_principal(name) || vocabulary::is_user(name)
        })
    })
}
