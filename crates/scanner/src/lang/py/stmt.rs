//! Statements.

use ruff_python_ast::{ExceptHandler, Expr, Pattern as PyPattern, Stmt};
use ruff_text_size::{Ranged, TextRange};

use super::{Lower, expr::binary_op, span};
use crate::ir::{
    After, BindingKind, Block, Case, ExprId, ExprKind, Handler, Import, ImportKind, Pattern, StmtId, StmtKind,
};

impl Lower<'_> {
    pub(super) fn statements(&mut self, body: &[Stmt], out: &mut Vec<StmtId>) {
        for stmt in body {
            if self.deeper() {
                self.statement(stmt, out);
            }
            self.depth -= 1;
        }
    }

    pub(super) fn block(&mut self, body: &[Stmt]) -> Block {
        let mut out = Vec::new();
        self.statements(body, &mut out);
        out.into()
    }

    fn push(&mut self, kind: StmtKind, at: TextRange, out: &mut Vec<StmtId>) {
        out.push(self.builder.stmt(kind, span(at)));
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of node")]
    fn statement(&mut self, stmt: &Stmt, out: &mut Vec<StmtId>) {
        let at = stmt.range();
        let kind = match stmt {
            Stmt::FunctionDef(def) => StmtKind::Function(self.function_def(def, None).0),
            Stmt::ClassDef(def) => StmtKind::Class(self.class_def(def)),
            Stmt::Return(give) => StmtKind::Return(self.optional(give.value.as_deref())),
            Stmt::Delete(delete) => {
                StmtKind::Delete(delete.targets.iter().map(|target| self.expression(target)).collect())
            }
            Stmt::Assign(assign) => {
                let value = self.expression(&assign.value);
                for target in &assign.targets {
                    let kind = self.assignment(target, value);
                    self.push(kind, at, out);
                }
                return;
            }
            Stmt::AugAssign(assign) => {
                let value = self.expression(&assign.value);
                let target = self.target(&assign.target);
                StmtKind::Assign {
                    target,
                    op: Some(binary_op(assign.op)),
                    logical: None,
                    value,
                    declares: false,
                }
            }
            Stmt::AnnAssign(assign) => {
                let value = assign.value.as_ref().map_or(ExprId::MISSING, |value| self.expression(value));
                let kind = self.assignment(&assign.target, value);
                if let StmtKind::Assign { target, .. } = &kind {
                    let type_text = self.text(assign.annotation.range());
                    self.set_type(target.as_binding(), type_text);
                }
                kind
            }
            Stmt::For(each) => {
                let iter = self.expression(&each.iter);
                let target = Box::new(self.target(&each.target));
                let body = self.block(&each.body);
                let otherwise = self.block(&each.orelse);
                StmtKind::ForEach { target, iter, body, otherwise, is_async: each.is_async, keys: false }
            }
            Stmt::While(repeat) => {
                let test = self.expression(&repeat.test);
                let body = self.block(&repeat.body);
                self.push(StmtKind::While { test, body, body_first: false }, at, out);
                self.statements(&repeat.orelse, out);
                return;
            }
            Stmt::If(branch) => self.branch(branch),
            Stmt::With(with) => {
                let items = with
                    .items
                    .iter()
                    .map(|item| {
                        let value = self.expression(&item.context_expr);
                        (value, item.optional_vars.as_ref().map(|target| self.target(target)))
                    })
                    .collect();
                StmtKind::With { items, body: self.block(&with.body), is_async: with.is_async }
            }
            Stmt::Match(matched) => self.matched(matched),
            Stmt::Raise(raise) => StmtKind::Throw(self.optional(raise.exc.as_deref())),
            Stmt::Try(attempt) => StmtKind::Try {
                body: self.block(&attempt.body),
                handlers: attempt.handlers.iter().map(|handler| self.handler(handler)).collect(),
                after: Box::new(After {
                    otherwise: self.block(&attempt.orelse),
                    finally: self.block(&attempt.finalbody),
                }),
            },
            Stmt::Assert(assert) => StmtKind::Assert {
                test: self.expression(&assert.test),
                message: self.optional(assert.msg.as_deref()),
            },
            Stmt::Import(import) => {
                for alias in &import.names {
                    self.import(alias);
                }
                return;
            }
            Stmt::ImportFrom(import) => {
                self.import_from(import);
                return;
            }
            Stmt::Expr(expr) => StmtKind::Expr(self.expression(&expr.value)),
            Stmt::Break(_) => StmtKind::Break,
            Stmt::Continue(_) => StmtKind::Continue,
            Stmt::TypeAlias(_)
            | Stmt::Global(_)
            | Stmt::Nonlocal(_)
            | Stmt::Pass(_)
            | Stmt::IpyEscapeCommand(_) => return,
        };
        self.push(kind, at, out);
    }

    fn assignment(&mut self, target: &Expr, value: ExprId) -> StmtKind {
        let target = self.target(target);
        let declares =
            target.as_binding().is_some_and(|id| self.stores.get(&id).is_some_and(|count| *count == 1));
        StmtKind::Assign { target, op: None, logical: None, value, declares }
    }

    fn branch(&mut self, branch: &ruff_python_ast::StmtIf) -> StmtKind {
        let checking = matches!(&*branch.test, Expr::Name(name) if &name.id == "TYPE_CHECKING")
            || matches!(&*branch.test, Expr::Attribute(member) if &member.attr.id == "TYPE_CHECKING");
        let test = self.expression(&branch.test);
        let outer = self.type_checking;
        self.type_checking |= checking;
        let then = self.block(&branch.body);
        self.type_checking = outer;
        let mut clauses = Vec::new();
        for clause in &branch.elif_else_clauses {
            let test = self.optional(clause.test.as_ref());
            clauses.push((test, self.block(&clause.body), clause.range));
        }
        // From the last clause to the first: each holds those behind it.
        let mut otherwise = Block::default();
        for (test, body, at) in clauses.into_iter().rev() {
            otherwise = match test {
                None => body,
                Some(test) => {
                    let kind = StmtKind::If { test, then: body, otherwise };
                    Block::one(self.builder.stmt(kind, span(at)))
                }
            };
        }
        StmtKind::If { test, then, otherwise }
    }

    fn handler(&mut self, handler: &ExceptHandler) -> Handler {
        let ExceptHandler::ExceptHandler(handler) = handler;
        let types = self.optional(handler.type_.as_deref());
        let binding = handler.name.as_ref().map(|name| self.name_pattern(&name.id, name.range));
        if let Some(id) = binding.as_ref().and_then(Pattern::as_binding)
            && let Some(binding) = self.builder.binding_mut(id)
        {
            binding.kind = BindingKind::Caught;
        }
        Handler { types, binding, body: self.block(&handler.body) }
    }

    fn matched(&mut self, matched: &ruff_python_ast::StmtMatch) -> StmtKind {
        let subject = self.expression(&matched.subject);
        let mut cases = Vec::new();
        for case in &matched.cases {
            let mut tests = Vec::new();
            let mut binds = Vec::new();
            self.case_pattern(&case.pattern, &mut tests, &mut binds);
            let guard = self.optional(case.guard.as_deref());
            let body = self.block(&case.body);
            cases.push(Case { tests: tests.into(), binds: binds.into(), guard, body });
        }
        StmtKind::Switch { subject, cases: cases.into(), falls_through: false }
    }

    fn case_pattern(&mut self, pattern: &PyPattern, tests: &mut Vec<ExprId>, binds: &mut Vec<Pattern>) {
        if !self.deeper() {
            self.depth -= 1;
            return;
        }
        match pattern {
            PyPattern::MatchValue(value) => tests.push(self.expression(&value.value)),
            PyPattern::MatchSingleton(single) => tests.push(self.add(ExprKind::Null, single.range)),
            PyPattern::MatchSequence(list) => {
                list.patterns.iter().for_each(|inner| self.case_pattern(inner, tests, binds));
            }
            PyPattern::MatchMapping(map) => {
                map.patterns.iter().for_each(|inner| self.case_pattern(inner, tests, binds));
                binds.extend(map.rest.as_ref().map(|name| self.name_pattern(&name.id, name.range)));
            }
            PyPattern::MatchClass(class) => {
                tests.push(self.expression(&class.cls));
                class.arguments.patterns.iter().for_each(|inner| self.case_pattern(inner, tests, binds));
                class
                    .arguments
                    .keywords
                    .iter()
                    .for_each(|inner| self.case_pattern(&inner.pattern, tests, binds));
            }
            PyPattern::MatchStar(star) => {
                binds.extend(star.name.as_ref().map(|name| self.name_pattern(&name.id, name.range)));
            }
            PyPattern::MatchAs(named) => {
                if let Some(inner) = &named.pattern {
                    self.case_pattern(inner, tests, binds);
                }
                binds.extend(named.name.as_ref().map(|name| self.name_pattern(&name.id, name.range)));
            }
            PyPattern::MatchOr(any) => {
                any.patterns.iter().for_each(|inner| self.case_pattern(inner, tests, binds))
            }
        }
        self.depth -= 1;
    }

    fn import(&mut self, alias: &ruff_python_ast::Alias) {
        let (specifier, local) = match &alias.asname {
            Some(name) => (alias.name.id.as_str(), name.id.as_str()),
            None => {
                let first = alias.name.id.split('.').next().unwrap_or_default();
                (first, first)
            }
        };
        let specifier = self.builder.name(specifier);
        self.bind_import(specifier, ImportKind::Namespace, Some(local), alias.range);
    }

    fn import_from(&mut self, import: &ruff_python_ast::StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |module| module.id.as_str());
        let dots = ".".repeat(import.level.min(32) as usize);
        let specifier = self.builder.name(&format!("{dots}{module}"));
        for alias in &import.names {
            if &alias.name.id == "*" {
                self.bind_import(specifier, ImportKind::Star, None, alias.range);
                continue;
            }
            let local = alias.asname.as_ref().unwrap_or(&alias.name).id.clone();
            let kind = ImportKind::Named(self.builder.name(&alias.name.id));
            self.bind_import(specifier, kind, Some(&local), alias.range);
        }
    }

    fn bind_import(
        &mut self,
        specifier: crate::ir::Name,
        kind: ImportKind,
        local: Option<&str>,
        at: TextRange,
    ) {
        let binding = local.and_then(|local| match self.lookup(local) {
            Some(super::scopes::Slot::Binding(id)) => Some(id),
            _ => None,
        });
        let type_only = self.type_checking;
        let number = self.builder.import(Import { specifier, kind, binding, type_only, span: span(at) });
        // `try: import a / except ImportError: a = None` stays an import, and so does the first of several.
        let taken = binding.and_then(|id| self.builder.module().binding(id).map(|binding| binding.kind));
        if !matches!(taken, Some(BindingKind::Import(_))) {
            self.set_kind(binding, BindingKind::Import(number));
        }
    }
}
