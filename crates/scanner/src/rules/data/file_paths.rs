//! Files of all callers in one folder, by a name of the request, in a handler that is told who calls:
//! `(UPLOADS / file.filename).write_bytes(…)`.

use partywall_model::Confidence;

use super::{
    ignored_caller::{is_compared, uses_of_caller},
    streamed::is_told_caller,
};
use crate::{
    flow::Origins,
    ir::{BinaryOp, Call, ExprId, ExprKind, FunctionId, Language, NameRef, Span, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods of a path that read, write or remove the file there.
const OF_PATH: &[&str] = &["read_bytes", "write_bytes", "read_text", "write_text", "unlink", "open"];

/// Functions that do so with a path.
const WITH_PATH: &[&str] = &["open", "FileResponse", "send_file", "remove", "unlink", "rmtree", "copyfile"];

/// Words of folders whose files are everybody's.
const EVERYBODYS: &[&str] = &[
    "static",
    "public",
    "asset",
    "assets",
    "template",
    "templates",
    "avatar",
    "avatars",
    "logo",
    "logos",
    "icon",
    "icons",
    "doc",
    "docs",
    "example",
    "examples",
    "schema",
    "schemas",
    "plugin",
    "plugins",
    "skill",
    "skills",
    "prompt",
    "prompts",
    "model",
    "models",
    "log",
    "logs",
    "dist",
    "frontend",
    "www",
    "web",
    "locale",
    "locales",
    "i18n",
    "share",
    "shared",
];

/// Reports such places, the first of each handler.
pub(super) fn file_paths(project: &Project, report: &mut Report<'_>) {
    for entry in project.entries().iter().filter(|entry| entry.kind == "http" || entry.kind == "tool") {
        let fun = entry.handler;
        let python = |unit: &&Unit| unit.ir.language == Language::Python && fun.id != FunctionId::MODULE;
        let Some(unit) = project.unit(fun.module).filter(python) else { continue };
        if project.is_operators(entry)
            || project.is_public(entry)
            || project.is_checked_before(entry)
            || !project.has_owners(fun.module)
            || !is_told_caller(project, unit, fun)
            || !uses_of_caller(project, fun).is_empty()
        {
            continue;
        }
        let mut found: Option<At> = None;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            if found.is_none()
                && path_of(project, unit, at, call).is_some_and(|path| is_below_all(project, unit, path))
            {
                found = Some(at);
            }
        });
        if let Some(at) = found {
            report
                .reached(at, "this file is found by a name of the request in a folder of all callers, and the caller is left out")
                .confidence(Confidence::Medium);
        }
    }
}

/// The path that a call reads from or writes to.
fn path_of(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<At> {
    let name = project.last_written(at)?;
    if let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
        && OF_PATH.contains(&unit.ir.text(*property))
        && joins(unit, *object, 2)
    {
        return Some(at.to(*object));
    }
    let path = call.positional(0).filter(|_| WITH_PATH.contains(&name))?;
    joins(unit, path, 2).then(|| at.to(path))
}

/// Whether a value is a path of several parts: `BASE / name`, `os.path.join(BASE, name)`, `f"{BASE}/{name}"`.
fn joins(unit: &Unit, expr: ExprId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    match unit.ir.expr(expr) {
        ExprKind::Binary { op: BinaryOp::Other, left, right } => {
            let between = Span::new(unit.ir.span(*left).end, unit.ir.span(*right).start);
            unit.ir.snippet(between).contains('/')
        }
        ExprKind::Template(_) => true,
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { property, .. } => unit.ir.text(*property) == "join" && call.args.len() > 1,
            _ => false,
        },
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            let [source] = unit.index.sources(*id) else { return false };
            source.path.is_empty() && joins(unit, source.value, steps)
        }
        _ => false,
    }
}

/// Whether a path begins at what is the same for all and goes on with what the request says, and nothing in it is the caller's.
fn is_below_all(project: &Project, unit: &Unit, path: At) -> bool {
    let mut values = vec![path.expr];
    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(path.expr) {
        values.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
    }
    let (mut chosen, mut common, mut whose) = (false, false, false);
    for value in values {
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            let at = path.to(expr);
            match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => {
                    let name = unit.ir.binding_name(*id);
                    let shared = unit.ir.is_module_level(*id);
                    common |= shared && name.chars().any(char::is_uppercase);
                    whose |= says_whose(name);
                    chosen |= !shared && project.origins(at).has(Origins::INPUT) && !is_compared(project, at);
                }
                ExprKind::Member { property, .. } => {
                    let name = unit.ir.text(*property);
                    whose |= says_whose(name);
                    chosen |= project.origins(at).has(Origins::INPUT);
                    common |= vocabulary::words(name)
                        .iter()
                        .any(|word| matches!(word.as_str(), "dir" | "folder" | "path" | "root"));
                }
                ExprKind::String(text) => whose |= says_whose(unit.ir.text(*text)),
                ExprKind::Call(_) => whose |= project.origins(at).has(Origins::PRINCIPAL | Origins::OWNER),
                _ => {}
            }
        });
    }
    chosen && common && !whose
}

/// Whether a name says whose a folder is, or that it is everybody's.
pub(super) fn says_whose(name: &str) -> bool {
    vocabulary::is_owner(name)
        || vocabulary::is_principal(name)
        || vocabulary::is_session_id(name)
        || vocabulary::words(name)
            .iter()
            .any(|word| EVERYBODYS.contains(&word.as_str()) || matches!(word.as_str(), "user" | "tenant"))
}
