//! Statements.

use oxc_ast::ast::{self, Declaration, Expression, ForStatementInit, ForStatementLeft, Statement};
use oxc_span::GetSpan;

use super::{Lower, expr::operators, span};
use crate::ir::{
    After, BindingKind, Block, Case, ExprId, ExprKind, Handler, List, Pattern, Steps, StmtId, StmtKind,
};

impl<'a> Lower<'a> {
    /// Lowers a statement into a list: a declaration of several variables is several statements.
    pub(super) fn statement(&mut self, statement: &Statement<'a>, out: &mut Vec<StmtId>) {
        if self.deeper() {
            self.lower_statement(statement, out);
        }
        self.depth -= 1;
    }

    fn lower_statement(&mut self, statement: &Statement<'a>, out: &mut Vec<StmtId>) {
        if let Some(declaration) = statement.as_declaration() {
            return self.declaration(declaration, out);
        }
        if let Some(declaration) = statement.as_module_declaration() {
            return self.module_declaration(declaration, out);
        }
        let kind = match statement {
            Statement::BlockStatement(block) => StmtKind::Block(self.block(&block.body)),
            Statement::BreakStatement(_) => StmtKind::Break,
            Statement::ContinueStatement(_) => StmtKind::Continue,
            Statement::DoWhileStatement(repeat) => StmtKind::While {
                body: self.body(&repeat.body),
                test: self.expression(&repeat.test),
                body_first: true,
            },
            Statement::WhileStatement(repeat) => StmtKind::While {
                test: self.expression(&repeat.test),
                body: self.body(&repeat.body),
                body_first: false,
            },
            Statement::ExpressionStatement(statement) => self.expression_statement(&statement.expression),
            Statement::ForInStatement(each) => {
                let iter = self.expression(&each.right);
                let target = Box::new(self.loop_target(&each.left));
                let body = self.body(&each.body);
                StmtKind::ForEach {
                    target,
                    iter,
                    body,
                    otherwise: Block::default(),
                    is_async: false,
                    keys: true,
                }
            }
            Statement::ForOfStatement(each) => {
                let iter = self.expression(&each.right);
                let target = Box::new(self.loop_target(&each.left));
                let body = self.body(&each.body);
                let is_async = each.r#await;
                StmtKind::ForEach { target, iter, body, otherwise: Block::default(), is_async, keys: false }
            }
            Statement::ForStatement(count) => self.counting(count),
            Statement::IfStatement(branch) => StmtKind::If {
                test: self.expression(&branch.test),
                then: self.body(&branch.consequent),
                otherwise: branch.alternate.as_ref().map_or_else(Block::default, |other| self.body(other)),
            },
            Statement::LabeledStatement(labeled) => return self.statement(&labeled.body, out),
            Statement::ReturnStatement(give) => StmtKind::Return(self.optional(give.argument.as_ref())),
            Statement::ThrowStatement(throw) => StmtKind::Throw(Some(self.expression(&throw.argument))),
            Statement::SwitchStatement(switch) => self.switch(switch),
            Statement::TryStatement(attempt) => self.attempt(attempt),
            Statement::WithStatement(with) => {
                let object = self.expression(&with.object);
                StmtKind::With {
                    items: List::one((object, None)),
                    body: self.body(&with.body),
                    is_async: false,
                }
            }
            _ => return,
        };
        out.push(self.builder.stmt(kind, span(statement.span())));
    }

    pub(super) fn directives(&mut self, directives: &[ast::Directive<'a>], out: &mut Vec<StmtId>) {
        for directive in directives {
            let text = self.builder.name(&directive.expression.value);
            let expr = self.add(ExprKind::String(text), directive.span);
            out.push(self.builder.stmt(StmtKind::Expr(expr), span(directive.span)));
        }
    }

    pub(super) fn block(&mut self, statements: &[Statement<'a>]) -> Block {
        let mut out = Vec::new();
        for statement in statements {
            self.statement(statement, &mut out);
        }
        out.into()
    }

    fn body(&mut self, statement: &Statement<'a>) -> Block {
        match statement {
            Statement::BlockStatement(block) => self.block(&block.body),
            other => self.block(std::slice::from_ref(other)),
        }
    }

    fn expression_statement(&mut self, expression: &Expression<'a>) -> StmtKind {
        match expression {
            Expression::AssignmentExpression(assign) => {
                let name = assign.left.as_simple_assignment_target().and_then(|target| {
                    let member = target.as_member_expression()?;
                    Some(self.builder.name(member.static_property_name()?))
                });
                let value = self.named(&assign.right, name);
                self.commonjs(assign, value);
                let target = self.assignment_target(&assign.left);
                let (op, logical) = operators(assign.operator);
                StmtKind::Assign { target, op, logical, value, declares: false }
            }
            other => StmtKind::Expr(self.expression(other)),
        }
    }

    fn loop_target(&mut self, left: &ForStatementLeft<'a>) -> Pattern {
        match left {
            ForStatementLeft::VariableDeclaration(declaration) => match declaration.declarations.first() {
                Some(first) => self.binding_pattern(&first.id, BindingKind::Variable),
                None => Pattern::Place(ExprId::MISSING),
            },
            other => match other.as_assignment_target() {
                Some(target) => self.assignment_target(target),
                None => Pattern::Place(ExprId::MISSING),
            },
        }
    }

    fn counting(&mut self, count: &ast::ForStatement<'a>) -> StmtKind {
        let mut init = Vec::new();
        match &count.init {
            Some(ForStatementInit::VariableDeclaration(declaration)) => {
                self.variables(declaration, &mut init)
            }
            Some(other) => {
                if let Some(expr) = other.as_expression() {
                    let id = self.expression(expr);
                    init.push(self.builder.stmt(StmtKind::Expr(id), span(expr.span())));
                }
            }
            None => {}
        }
        let test = self.optional(count.test.as_ref());
        let body = self.body(&count.body);
        let update = self.optional(count.update.as_ref());
        StmtKind::For { init: init.into(), steps: Box::new(Steps { test, update }), body }
    }

    fn switch(&mut self, switch: &ast::SwitchStatement<'a>) -> StmtKind {
        let subject = self.expression(&switch.discriminant);
        let cases = switch
            .cases
            .iter()
            .map(|case| Case {
                tests: case.test.iter().map(|test| self.expression(test)).collect(),
                binds: List::default(),
                guard: None,
                body: self.block(&case.consequent),
            })
            .collect();
        StmtKind::Switch { subject, cases, falls_through: true }
    }

    fn attempt(&mut self, attempt: &ast::TryStatement<'a>) -> StmtKind {
        let body = self.block(&attempt.block.body);
        let handlers = attempt
            .handler
            .iter()
            .map(|handler| Handler {
                types: None,
                binding: handler
                    .param
                    .as_ref()
                    .map(|param| self.binding_pattern(&param.pattern, BindingKind::Caught)),
                body: self.block(&handler.body.body),
            })
            .collect();
        let finally = attempt.finalizer.as_ref().map_or_else(Block::default, |block| self.block(&block.body));
        let after = Box::new(After { otherwise: Block::default(), finally });
        StmtKind::Try { body, handlers, after }
    }

    pub(super) fn declaration(&mut self, declaration: &Declaration<'a>, out: &mut Vec<StmtId>) {
        let at = span(declaration.span());
        match declaration {
            Declaration::VariableDeclaration(variables) => self.variables(variables, out),
            Declaration::FunctionDeclaration(function) => {
                if function.body.is_some() {
                    let id = self.function_value(function, None);
                    out.push(self.builder.stmt(StmtKind::Function(id), at));
                }
            }
            Declaration::ClassDeclaration(class) => {
                let id = self.class(class, None);
                out.push(self.builder.stmt(StmtKind::Class(id), at));
            }
            Declaration::TSEnumDeclaration(decl) => self.enumeration(decl, out),
            Declaration::TSNamespaceDeclaration(namespace) => self.namespace(namespace, out),
            Declaration::TSImportEqualsDeclaration(import) => self.import_equals(import),
            Declaration::TSTypeAliasDeclaration(alias) => self.alias(alias),
            Declaration::TSInterfaceDeclaration(interface) => self.interface(interface),
            Declaration::TSExternalModuleDeclaration(_) | Declaration::TSGlobalDeclaration(_) => {}
        }
    }

    pub(super) fn variables(&mut self, declaration: &ast::VariableDeclaration<'a>, out: &mut Vec<StmtId>) {
        for declarator in &declaration.declarations {
            if let Some(init) = &declarator.init
                && self.required_declaration(&declarator.id, init)
            {
                continue;
            }
            let type_text = self.type_text(declarator.type_annotation.as_deref());
            let name = match &declarator.id {
                ast::BindingPattern::BindingIdentifier(name) => Some(self.builder.name(&name.name)),
                _ => None,
            };
            let value = declarator.init.as_ref().map_or(ExprId::MISSING, |init| self.named(init, name));
            let target = self.binding_pattern(&declarator.id, BindingKind::Variable);
            if let Some(binding) = target.as_binding().and_then(|id| self.builder.binding_mut(id)) {
                binding.type_text = type_text;
            }
            let kind = StmtKind::Assign { target, op: None, logical: None, value, declares: true };
            out.push(self.builder.stmt(kind, span(declarator.span)));
        }
    }

    fn enumeration(&mut self, decl: &ast::TSEnumDeclaration<'a>, out: &mut Vec<StmtId>) {
        let properties = decl
            .body
            .members
            .iter()
            .filter_map(|member| {
                let name = match &member.id {
                    ast::TSEnumMemberName::Identifier(name) => self.builder.name(&name.name),
                    ast::TSEnumMemberName::String(name) | ast::TSEnumMemberName::ComputedString(name) => {
                        self.builder.name(&name.value)
                    }
                    ast::TSEnumMemberName::ComputedTemplateString(_) => return None,
                };
                let value = match &member.initializer {
                    Some(value) => self.expression(value),
                    None => self.add(ExprKind::Number(name), member.span),
                };
                Some(crate::ir::Property { key: crate::ir::PropertyKey::Name(name), value })
            })
            .collect();
        let value = self.add(ExprKind::Object(properties), decl.span);
        if let Some(binding) = self.symbol(decl.id.symbol_id.get()) {
            let target = Pattern::Binding(binding);
            let kind = StmtKind::Assign { target, op: None, logical: None, value, declares: true };
            out.push(self.builder.stmt(kind, span(decl.span)));
        }
    }

    fn namespace(&mut self, namespace: &ast::TSNamespaceDeclaration<'a>, out: &mut Vec<StmtId>) {
        let binding = self.symbol(namespace.id.symbol_id.get());
        self.set_kind(binding, BindingKind::Other);
        match &namespace.body {
            ast::TSNamespaceDeclarationBody::TSModuleBlock(block) => {
                let body = self.block(&block.body);
                out.push(self.builder.stmt(StmtKind::Block(body), span(namespace.span)));
            }
            ast::TSNamespaceDeclarationBody::TSNamespaceDeclaration(inner) => self.namespace(inner, out),
        }
    }
}
