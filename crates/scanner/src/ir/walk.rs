//! Walking expressions and statements in evaluation order.
//!
//! A walk does not enter functions and classes: their code runs at another time. Depth is bounded by what front ends lower.

use super::{ExprId, ExprKind, FunctionId, Module, Pattern, PropertyKey, StmtId, StmtKind, TemplatePart};

/// Calls `visit` for the expressions directly below one, in evaluation order.
pub fn children(module: &Module, id: ExprId, visit: &mut impl FnMut(ExprId)) {
    match module.expr(id) {
        ExprKind::Missing
        | ExprKind::String(_)
        | ExprKind::Number(_)
        | ExprKind::Bool(_)
        | ExprKind::Null
        | ExprKind::Name(_)
        | ExprKind::This
        | ExprKind::Super
        | ExprKind::Function(_)
        | ExprKind::Class(_) => {}
        ExprKind::Template(parts) => template(parts, visit),
        ExprKind::Tagged { tag, parts } => {
            visit(*tag);
            template(parts, visit);
        }
        ExprKind::Member { object, .. } => visit(*object),
        ExprKind::Index { object, index, .. } => {
            visit(*object);
            visit(*index);
        }
        ExprKind::Call(call) => {
            visit(call.callee);
            call.args.iter().for_each(|arg| visit(arg.value));
        }
        ExprKind::Await(value) | ExprKind::Spread(value) | ExprKind::Import(value) => visit(*value),
        ExprKind::Yield { value, .. } => value.iter().for_each(|value| visit(*value)),
        ExprKind::Object(properties) => {
            for property in properties {
                if let PropertyKey::Computed(key) = property.key {
                    visit(key);
                }
                visit(property.value);
            }
        }
        ExprKind::Array { items, .. } | ExprKind::Sequence(items) => {
            items.iter().for_each(|item| visit(*item))
        }
        ExprKind::Conditional { test, then, otherwise } => {
            visit(*test);
            visit(*then);
            visit(*otherwise);
        }
        ExprKind::Logical { left, right, .. }
        | ExprKind::Binary { left, right, .. }
        | ExprKind::Compare { left, right, .. } => {
            visit(*left);
            visit(*right);
        }
        ExprKind::Unary { operand, .. } => visit(*operand),
        ExprKind::Assign { target, value, .. } => {
            visit(*value);
            pattern_exprs(target, visit);
        }
        ExprKind::Comprehension(comprehension) => {
            for clause in &comprehension.clauses {
                visit(clause.iter);
                pattern_exprs(&clause.target, visit);
                clause.conditions.iter().for_each(|condition| visit(*condition));
            }
            comprehension.key.iter().for_each(|key| visit(*key));
            visit(comprehension.element);
        }
    }
}

fn template(parts: &[TemplatePart], visit: &mut impl FnMut(ExprId)) {
    for part in parts {
        if let TemplatePart::Value(value) = part {
            visit(*value);
        }
    }
}

/// Calls `visit` for the expressions in a pattern: defaults, computed keys, places.
pub fn pattern_exprs(pattern: &Pattern, visit: &mut impl FnMut(ExprId)) {
    match pattern {
        Pattern::Binding(_) => {}
        Pattern::Place(place) => visit(*place),
        Pattern::Object { properties, rest } => {
            for property in properties {
                if let PropertyKey::Computed(key) = property.key {
                    visit(key);
                }
                pattern_exprs(&property.pattern, visit);
            }
            rest.iter().for_each(|rest| pattern_exprs(rest, visit));
        }
        Pattern::Array { items, rest } => {
            items.iter().flatten().for_each(|item| pattern_exprs(item, visit));
            rest.iter().for_each(|rest| pattern_exprs(rest, visit));
        }
        Pattern::Default { pattern, value } => {
            visit(*value);
            pattern_exprs(pattern, visit);
        }
    }
}

/// A thing directly below a statement.
#[derive(Debug, Clone, Copy)]
pub enum Part<'m> {
    /// An expression.
    Expr(ExprId),
    /// What is assigned to or bound.
    Pattern(&'m Pattern),
    /// A statement.
    Stmt(StmtId),
}

/// Calls `visit` for what stands directly below a statement, in evaluation order.
#[expect(clippy::too_many_lines, reason = "one arm for each kind of node")]
pub fn parts<'m>(module: &'m Module, id: StmtId, visit: &mut impl FnMut(Part<'m>)) {
    let block = |block: &'m [StmtId], visit: &mut dyn FnMut(Part<'m>)| {
        block.iter().for_each(|stmt| visit(Part::Stmt(*stmt)));
    };
    match module.stmt(id) {
        StmtKind::Empty
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Function(_)
        | StmtKind::Class(_) => {}
        StmtKind::Expr(value) => visit(Part::Expr(*value)),
        StmtKind::Assign { target, value, .. } => {
            visit(Part::Expr(*value));
            visit(Part::Pattern(target));
        }
        StmtKind::If { test, then, otherwise } => {
            visit(Part::Expr(*test));
            block(then, visit);
            block(otherwise, visit);
        }
        StmtKind::While { test, body, body_first } => {
            if *body_first {
                block(body, visit);
                visit(Part::Expr(*test));
            } else {
                visit(Part::Expr(*test));
                block(body, visit);
            }
        }
        StmtKind::For { init, steps, body } => {
            block(init, visit);
            steps.test.iter().for_each(|test| visit(Part::Expr(*test)));
            block(body, visit);
            steps.update.iter().for_each(|update| visit(Part::Expr(*update)));
        }
        StmtKind::ForEach { target, iter, body, otherwise, .. } => {
            visit(Part::Expr(*iter));
            visit(Part::Pattern(target));
            block(body, visit);
            block(otherwise, visit);
        }
        StmtKind::Return(value) | StmtKind::Throw(value) => {
            value.iter().for_each(|value| visit(Part::Expr(*value)))
        }
        StmtKind::Try { body, handlers, after } => {
            block(body, visit);
            for handler in handlers {
                handler.types.iter().for_each(|types| visit(Part::Expr(*types)));
                handler.binding.iter().for_each(|binding| visit(Part::Pattern(binding)));
                block(&handler.body, visit);
            }
            block(&after.otherwise, visit);
            block(&after.finally, visit);
        }
        StmtKind::With { items, body, .. } => {
            for (value, target) in items {
                visit(Part::Expr(*value));
                target.iter().for_each(|target| visit(Part::Pattern(target)));
            }
            block(body, visit);
        }
        StmtKind::Switch { subject, cases, .. } => {
            visit(Part::Expr(*subject));
            for case in cases {
                case.tests.iter().for_each(|test| visit(Part::Expr(*test)));
                case.binds.iter().for_each(|bind| visit(Part::Pattern(bind)));
                case.guard.iter().for_each(|guard| visit(Part::Expr(*guard)));
                block(&case.body, visit);
            }
        }
        StmtKind::Block(stmts) => block(stmts, visit),
        StmtKind::Delete(places) => places.iter().for_each(|place| visit(Part::Expr(*place))),
        StmtKind::Assert { test, message } => {
            visit(Part::Expr(*test));
            message.iter().for_each(|message| visit(Part::Expr(*message)));
        }
    }
}

/// Calls `visit` for an expression and everything below it, a parent before its children.
pub fn exprs_below(module: &Module, id: ExprId, visit: &mut impl FnMut(ExprId)) {
    below(module, id, &mut Vec::new(), visit);
}

/// The same with room for what is still to be visited, which is empty before and after.
fn below(module: &Module, id: ExprId, open: &mut Vec<ExprId>, visit: &mut impl FnMut(ExprId)) {
    let mut here = Some(id);
    while let Some(id) = here {
        visit(id);
        let from = open.len();
        children(module, id, &mut |child| open.push(child));
        if let Some(new) = open.get_mut(from..) {
            new.reverse();
        }
        here = open.pop();
    }
}

/// Calls `visit` for every statement of a block and everything below, a parent before its children.
pub fn stmts_below(module: &Module, block: &[StmtId], visit: &mut impl FnMut(StmtId)) {
    let mut open: Vec<StmtId> = block.iter().rev().copied().collect();
    while let Some(id) = open.pop() {
        visit(id);
        let from = open.len();
        parts(module, id, &mut |part| {
            if let Part::Stmt(stmt) = part {
                open.push(stmt);
            }
        });
        if let Some(new) = open.get_mut(from..) {
            new.reverse();
        }
    }
}

/// Calls `visit` for every expression of a function's own code, without that of functions inside of it.
pub fn function_exprs(module: &Module, id: FunctionId, visit: &mut impl FnMut(ExprId)) {
    match module.walked.of_function(id) {
        Some(exprs) => exprs.for_each(visit),
        None => walk_function(module, id, visit),
    }
}

/// The same by walking, for whoever gathers them.
pub(super) fn walk_function(module: &Module, id: FunctionId, visit: &mut impl FnMut(ExprId)) {
    let Some(function) = module.function(id) else { return };
    let mut open = Vec::new();
    let mut root = |expr: ExprId| below(module, expr, &mut open, visit);
    for parameter in &function.params {
        parameter.default.iter().for_each(|default| root(*default));
        pattern_exprs(&parameter.pattern, &mut root);
    }
    stmts_below(module, &function.body, &mut |stmt| {
        parts(module, stmt, &mut |part| match part {
            Part::Expr(expr) => root(expr),
            Part::Pattern(pattern) => pattern_exprs(pattern, &mut root),
            Part::Stmt(_) => {}
        });
    });
}
