//! Code that no run comes to: what stands behind a statement that always leaves, and files that are meant to be pasted into another.

use crate::{
    ir::{ExprId, ExprKind, Function, Language, NameRef, Span, StmtId, StmtKind},
    project::Unit,
};

/// How deep blocks are looked into.
const DEPTH: u32 = 12;

/// Whether a place is in such code.
pub(super) fn is_never_run(unit: &Unit, span: Span) -> bool {
    let around = unit.ir.functions().filter(|(_, function)| function.span.contains(span));
    let mut innermost: Option<&Function> = None;
    for (_, function) in around {
        if is_left_undefined(unit, function) {
            return true;
        }
        if innermost.is_none_or(|inner| inner.span.contains(function.span)) {
            innermost = Some(function);
        }
    }
    innermost.is_some_and(|function| is_behind_end(unit, &function.body, span, DEPTH))
}

/// Whether a function of Python is decorated with something that its file neither makes nor imports: loading the file fails.
fn is_left_undefined(unit: &Unit, function: &Function) -> bool {
    unit.ir.language == Language::Python
        && !unit.ir.source.mentions("import *")
        && function.decorators.iter().any(|decorator| {
            matches!(root(unit, *decorator), Some(NameRef::Global(name)) if matches!(unit.ir.text(name), "app" | "api" | "router" | "mcp" | "server"))
        })
}

/// What a decorator begins with: `app` of `@app.post("/notes")`.
fn root(unit: &Unit, expr: ExprId) -> Option<NameRef> {
    let mut at = expr;
    for _ in 0..6 {
        match unit.ir.expr(at) {
            ExprKind::Call(call) => at = call.callee,
            ExprKind::Member { object, .. } => at = *object,
            ExprKind::Name(name) => return Some(*name),
            _ => return None,
        }
    }
    None
}

/// Whether a place stands in a block behind a statement that always leaves.
fn is_behind_end(unit: &Unit, block: &[StmtId], span: Span, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let mut ended = false;
    for stmt in block {
        if unit.ir.stmt_span(*stmt).contains(span) {
            // JavaScript knows a function before it comes to it.
            let known = matches!(unit.ir.stmt(*stmt), StmtKind::Function(_) | StmtKind::Class(_));
            return (ended && !known)
                || blocks(unit, *stmt).iter().any(|inner| is_behind_end(unit, inner, span, depth));
        }
        ended |= always_ends(unit, *stmt, depth);
    }
    false
}

/// Whether nothing behind a statement is ever run.
fn always_ends(unit: &Unit, stmt: StmtId, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let ends = |block: &[StmtId]| block.iter().any(|stmt| always_ends(unit, *stmt, depth));
    match unit.ir.stmt(stmt) {
        StmtKind::Return(_) | StmtKind::Throw(_) => true,
        StmtKind::If { then, otherwise, .. } => ends(then) && ends(otherwise),
        StmtKind::Try { body, handlers, after } => {
            ends(&after.finally)
                || ((ends(body) || ends(&after.otherwise))
                    && handlers.iter().all(|handler| ends(&handler.body)))
        }
        StmtKind::Block(block) => ends(block),
        // What `with` enters may keep an error to itself.
        _ => false,
    }
}

/// The blocks of a statement.
fn blocks(unit: &Unit, stmt: StmtId) -> Vec<&[StmtId]> {
    match unit.ir.stmt(stmt) {
        StmtKind::If { then, otherwise, .. } => vec![then, otherwise],
        StmtKind::While { body, .. } | StmtKind::For { body, .. } | StmtKind::With { body, .. } => vec![body],
        StmtKind::ForEach { body, otherwise, .. } => vec![body, otherwise],
        StmtKind::Try { body, handlers, after } => {
            let mut found: Vec<&[StmtId]> = vec![body, &after.otherwise, &after.finally];
            found.extend(handlers.iter().map(|handler| &*handler.body));
            found
        }
        StmtKind::Switch { cases, .. } => cases.iter().map(|case| &*case.body).collect(),
        StmtKind::Block(block) => vec![block],
        _ => Vec::new(),
    }
}
