//! Objects and files of all owners by a name that the request says: `s3.get_object(Bucket=…, Key=key)`, `(FOLDER / name).read_bytes()`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ArgKind, BinaryOp, Call, ExprId, ExprKind, Language, NameRef, walk},
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

/// Methods of paths that read, write or remove a file.
const FILES: &[&str] = &["read_bytes", "read_text", "write_bytes", "write_text", "open", "unlink"];

/// Reports such uses.
pub(super) fn object_keys(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        let places: Vec<(At, At, bool)> = unit
            .index
            .calls
            .iter()
            .filter_map(|expr| place(project, unit, At { module, expr: *expr }))
            .collect();
        for (at, key, in_store) in &places {
            let fun = project.function_of(*at);
            let told =
                places.iter().any(|(_, other, same)| same == in_store && has_owner(project, unit, *other));
            if !lives.is_per_request(fun)
                || !project.has_owners(module)
                || !is_chosen(project, unit, *key)
                || has_owner(project, unit, *key)
                || project.is_checked(*key)
            {
                continue;
            }
            if !told && !knows_caller(project, unit, *at) {
                continue;
            }
            let what = if *in_store { "this object" } else { "this file" };
            let found = report
                .reached(*at, format!("{what} is found by a name of the request, among those of all owners"));
            found
                .severity(if told { Severity::Medium } else { Severity::Low })
                .confidence(Confidence::Medium);
        }
    }
}

/// The name that a call finds an object or file by, and whether it is one of a store.
fn place(project: &Project, unit: &Unit, at: At) -> Option<(At, At, bool)> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let method = unit.ir.text(*property);
    if OBJECTS.contains(&method) {
        return Some((at, at.to(key_of(unit, call)?), true));
    }
    let path = FILES.contains(&method).then(|| path_of(project, unit, at.to(*object))).flatten()?;
    Some((at, path, false))
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

/// A path that is put together below a folder of the module: `FOLDER / name`.
fn path_of(project: &Project, unit: &Unit, at: At) -> Option<At> {
    let value = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] => source.value,
            _ => return None,
        },
        _ => at.expr,
    };
    // Of the operators that are not told apart it is the slash that joins paths.
    let ExprKind::Binary { op: BinaryOp::Other, left, .. } = unit.ir.expr(value) else { return None };
    if !project.snippet(at.to(value)).contains(" / ") {
        return None;
    }
    let mut here = *left;
    while let ExprKind::Binary { op: BinaryOp::Other, left, .. } = unit.ir.expr(here) {
        here = *left;
    }
    let folder =
        matches!(unit.ir.expr(here), ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id));
    (folder && project.is_fixed(at.to(here))).then(|| at.to(value))
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
