//! Whether what is kept in a place is given to whoever asks.

use crate::{
    ir::{ArgKind, CompareOp, ExprId, ExprKind, StmtKind, walk},
    project::{At, Parent, Project, Unit},
    vocabulary,
};

/// Methods and functions that tell how much there is, or note it down for the operator.
const COUNTS: &[&str] = &[
    "len",
    "length",
    "size",
    "count",
    "bool",
    "isinstance",
    "hasattr",
    "print",
    "debug",
    "info",
    "warn",
    "warning",
    "error",
    "log",
    "exception",
    "trace",
];

/// Methods that change a collection, take things out of it, or look for one of them.
const HANDLES: &[&str] = &[
    "append",
    "appendleft",
    "push",
    "unshift",
    "add",
    "extend",
    "insert",
    "update",
    "clear",
    "remove",
    "discard",
    "delete",
    "splice",
    "index",
    "indexOf",
    "includes",
    "has",
    "some",
    "every",
    "forEach",
    "find",
    "findIndex",
    "set",
    "put",
    "put_nowait",
    "task_done",
    "empty",
    "full",
    "qsize",
];

/// Functions and methods that answer a request.
const ANSWERS: &[&str] = &[
    "json",
    "send",
    "end",
    "jsonify",
    "render",
    "render_template",
    "JSONResponse",
    "JsonResponse",
    "send_json",
];

/// How many variables are followed.
const DEPTH: u32 = 3;

impl Project {
    /// Whether a read of a collection gives its content to whoever asks: as an answer, or to a call whose value is used. A
    /// content that is narrowed by a comparison is not.
    #[must_use]
    pub fn is_shown(&self, read: At) -> bool {
        self.is_shown_in(read, DEPTH)
    }

    fn is_shown_in(&self, read: At, depth: u32) -> bool {
        let Some(unit) = self.unit(read.module) else { return false };
        let mut here = read.expr;
        for _ in 0..16 {
            match unit.index.parent(here) {
                Parent::Expr(up) => match self.passes(unit, read, here, up) {
                    Passes::On => here = up,
                    Passes::Shown => return true,
                    Passes::Not => return false,
                },
                Parent::Stmt(stmt) => return self.stated(unit, read, here, stmt, depth),
                // The value of an arrow function.
                _ => return false,
            }
        }
        false
    }

    /// What a statement does with a value.
    fn stated(&self, unit: &Unit, read: At, here: ExprId, stmt: crate::ir::StmtId, depth: u32) -> bool {
        match unit.ir.stmt(stmt) {
            StmtKind::Return(_) => true,
            StmtKind::Assign { target, value, .. } if *value == here => {
                let (Some(id), Some(depth)) = (target.as_binding(), depth.checked_sub(1)) else {
                    return false;
                };
                let function = unit.index.function(here);
                unit.ir.binding_function(id) == function
                    && function != crate::ir::FunctionId::MODULE
                    && unit.index.uses(id).iter().take(12).any(|used| self.is_shown_in(read.to(*used), depth))
            }
            _ => false,
        }
    }

    fn passes(&self, unit: &Unit, read: At, here: ExprId, up: ExprId) -> Passes {
        match unit.ir.expr(up) {
            ExprKind::Await(_)
            | ExprKind::Template(_)
            | ExprKind::Object(_)
            | ExprKind::Array { .. }
            | ExprKind::Spread(_)
            | ExprKind::Binary { .. } => Passes::On,
            ExprKind::Yield { .. } => Passes::Shown,
            ExprKind::Logical { .. } => Passes::On,
            ExprKind::Conditional { test, .. } if *test != here => Passes::On,
            ExprKind::Index { object, index, .. } if *object == here => {
                // A part of it, or what stands at a fixed place; not what is kept under a key.
                match unit.ir.expr(*index) {
                    ExprKind::Sequence(_) | ExprKind::Number(_) | ExprKind::Unary { .. } => Passes::On,
                    _ => Passes::Not,
                }
            }
            ExprKind::Member { object, property, .. } if *object == here => {
                let name = unit.ir.text(*property);
                if COUNTS.contains(&name) || HANDLES.contains(&name) { Passes::Not } else { Passes::On }
            }
            ExprKind::Call(call) if call.callee == here => {
                let method = self.written(read.to(here)).pop().unwrap_or_default();
                let narrows = matches!(method.as_str(), "filter" | "flatMap" | "reduce")
                    && call.args.iter().any(|arg| has_comparison(unit, arg.value));
                if narrows { Passes::Not } else { Passes::On }
            }
            ExprKind::Call(call) => {
                let name = self.written(read.to(call.callee)).pop().unwrap_or_default();
                let filters = matches!(name.as_str(), "filter" | "next");
                let counts = COUNTS.contains(&name.as_str()) || HANDLES.contains(&name.as_str());
                let saves = vocabulary::words(&name).first().is_some_and(|word| {
                    matches!(word.as_str(), "save" | "persist" | "write" | "flush" | "dump" | "log")
                });
                if ANSWERS.contains(&name.as_str()) {
                    return Passes::Shown;
                }
                let whole = call
                    .args
                    .iter()
                    .all(|arg| !matches!(arg.kind, ArgKind::KeywordSpread) || arg.value != here);
                if counts || filters || saves || !whole { Passes::Not } else { Passes::On }
            }
            ExprKind::Comprehension(comprehension) => {
                let narrowed = comprehension.clauses.iter().any(|clause| {
                    clause.iter == here && clause.conditions.iter().any(|test| has_comparison(unit, *test))
                });
                if narrowed { Passes::Not } else { Passes::On }
            }
            _ => Passes::Not,
        }
    }
}

/// What becomes of a value in the expression around it.
enum Passes {
    /// It is part of that one's value.
    On,
    /// It is given to whoever asks.
    Shown,
    /// It is not part of it.
    Not,
}

/// Whether something is compared inside of an expression, also in a function that it makes.
fn has_comparison(unit: &Unit, expr: ExprId) -> bool {
    let mut found = false;
    let is = |kind: &ExprKind| {
        matches!(
            kind,
            ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq | CompareOp::In | CompareOp::NotIn, .. }
        )
    };
    walk::exprs_below(&unit.ir, expr, &mut |inner| {
        found |= is(unit.ir.expr(inner));
        if let ExprKind::Function(id) = unit.ir.expr(inner) {
            walk::function_exprs(&unit.ir, *id, &mut |deep| found |= is(unit.ir.expr(deep)));
        }
    });
    found
}
