//! The names that a block of statements binds.

use std::collections::BTreeSet;

use ruff_python_ast::{
    ExceptHandler, Expr, ExprContext, Pattern, Stmt,
    visitor::{self, Visitor},
};

/// Names by how they are bound.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Bound here, in the order of the text.
    pub(super) own: Vec<(String, ruff_text_size::TextRange)>,
    /// Said to be the module's.
    pub(super) global: BTreeSet<String>,
    /// Said to be those of a function around.
    pub(super) nonlocal: BTreeSet<String>,
}

/// Collects the names that statements bind, without those of functions, classes and comprehensions inside of them.
pub(super) fn names(body: &[Stmt]) -> Names {
    let mut collect = Names::default();
    for stmt in body {
        collect.visit_stmt(stmt);
    }
    collect
}

impl Names {
    fn bind(&mut self, name: &str, range: ruff_text_size::TextRange) {
        if !self.own.iter().any(|(own, _)| own == name) {
            self.own.push((name.to_owned(), range));
        }
    }
}

impl Visitor<'_> for Names {
    fn visit_stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::FunctionDef(def) => {
                self.bind(&def.name.id, def.name.range);
                def.decorator_list.iter().for_each(|decorator| self.visit_expr(&decorator.expression));
            }
            Stmt::ClassDef(def) => {
                self.bind(&def.name.id, def.name.range);
                def.decorator_list.iter().for_each(|decorator| self.visit_expr(&decorator.expression));
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    match &alias.asname {
                        Some(name) => self.bind(&name.id, name.range),
                        None => {
                            let first = alias.name.id.split('.').next().unwrap_or_default().to_owned();
                            self.bind(&first, alias.name.range);
                        }
                    }
                }
            }
            Stmt::ImportFrom(import) => {
                for alias in import.names.iter().filter(|alias| &alias.name.id != "*") {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.bind(&name.id, name.range);
                }
            }
            Stmt::Global(global) => self.global.extend(global.names.iter().map(|name| name.id.to_string())),
            Stmt::Nonlocal(outer) => self.nonlocal.extend(outer.names.iter().map(|name| name.id.to_string())),
            _ => visitor::walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Name(name) if name.ctx == ExprContext::Store => self.bind(&name.id, name.range),
            Expr::Lambda(_) => {}
            // Targets of comprehensions are theirs; what is assigned with `:=` inside is ours.
            Expr::ListComp(comp) => self.visit_expr(&comp.elt),
            Expr::SetComp(comp) => self.visit_expr(&comp.elt),
            Expr::Generator(comp) => self.visit_expr(&comp.elt),
            Expr::DictComp(comp) => self.visit_expr(&comp.value),
            _ => visitor::walk_expr(self, expr),
        }
    }

    fn visit_except_handler(&mut self, handler: &ExceptHandler) {
        let ExceptHandler::ExceptHandler(inner) = handler;
        if let Some(name) = &inner.name {
            self.bind(&name.id, name.range);
        }
        visitor::walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &Pattern) {
        let name = match pattern {
            Pattern::MatchAs(inner) => inner.name.as_ref(),
            Pattern::MatchStar(inner) => inner.name.as_ref(),
            Pattern::MatchMapping(inner) => inner.rest.as_ref(),
            _ => None,
        };
        if let Some(name) = name {
            self.bind(&name.id, name.range);
        }
        visitor::walk_pattern(self, pattern);
    }
}
