//! Functions and classes.

use oxc_ast::ast::{self, ClassElement, MethodDefinitionKind};
use oxc_span::GetSpan;

use super::{Lower, span};
use crate::ir::{
    BindingKind, Block, Class, ClassId, Field, Function, FunctionId, FunctionKind, List, Name, Parameter,
    ParameterKind, PropertyKey, ScopeKind, Span, StmtKind,
};

/// What is known of a function before its body.
struct Head<'s, 'a> {
    name: Option<Name>,
    kind: FunctionKind,
    params: &'s ast::FormalParameters<'a>,
    return_type: Option<&'s ast::TSTypeAnnotation<'a>>,
    scope: Option<oxc_syntax::scope::ScopeId>,
    is_async: bool,
    is_generator: bool,
    span: Span,
    head: Span,
    class: Option<ClassId>,
    binding: Option<crate::ir::BindingId>,
    decorators: List<crate::ir::ExprId>,
}

impl<'a> Lower<'a> {
    fn make(&mut self, head: Head<'_, 'a>, body: impl FnOnce(&mut Self) -> Block) -> FunctionId {
        let id = self.builder.reserve_function(head.span);
        let parent = self.function();
        let scope = self.scope_of(head.scope);
        self.builder.set_scope_kind(scope, ScopeKind::Function(id));
        self.set_kind(head.binding, BindingKind::Function(id));
        self.functions.push(id);
        let params = self.parameters(head.params, id);
        let return_type = self.type_text(head.return_type);
        let body = body(self);
        self.functions.pop();
        let function = Function {
            name: head.name,
            kind: head.kind,
            params,
            body,
            is_async: head.is_async,
            is_generator: head.is_generator,
            decorators: head.decorators,
            class: head.class,
            parent: Some(parent),
            scope,
            binding: head.binding,
            return_type,
            span: head.span,
            head: head.head,
        };
        self.builder.set_function(id, function);
        id
    }

    pub(super) fn arrow(
        &mut self,
        arrow: &ast::ArrowFunctionExpression<'a>,
        name: Option<Name>,
    ) -> FunctionId {
        let at = span(arrow.span);
        let head = Head {
            name,
            kind: FunctionKind::Arrow,
            params: &arrow.params,
            return_type: arrow.return_type.as_deref(),
            scope: arrow.scope_id.get(),
            is_async: arrow.r#async,
            is_generator: false,
            span: at,
            head: Span::new(at.start, span(arrow.params.span).end),
            class: None,
            binding: None,
            decorators: List::default(),
        };
        self.make(head, |lower| match &arrow.body {
            ast::ArrowFunctionBody::FunctionBody(body) => lower.function_body(body),
            other => other.as_expression().map_or_else(Block::default, |expr| {
                let value = lower.expression(expr);
                List::one(lower.builder.stmt(StmtKind::Return(Some(value)), span(expr.span())))
            }),
        })
    }

    /// Lowers a function declaration, expression or object method.
    pub(super) fn function_value(&mut self, function: &ast::Function<'a>, name: Option<Name>) -> FunctionId {
        let own = function.id.as_ref().map(|id| self.builder.name(&id.name));
        let binding = function.id.as_ref().and_then(|id| self.symbol(id.symbol_id.get()));
        self.function_of(function, own.or(name), FunctionKind::Plain, None, binding, List::default())
    }

    fn function_of(
        &mut self,
        function: &ast::Function<'a>,
        name: Option<Name>,
        kind: FunctionKind,
        class: Option<ClassId>,
        binding: Option<crate::ir::BindingId>,
        decorators: List<crate::ir::ExprId>,
    ) -> FunctionId {
        let at = span(function.span);
        let head = Head {
            name,
            kind,
            params: &function.params,
            return_type: function.return_type.as_deref(),
            scope: function.scope_id.get(),
            is_async: function.r#async,
            is_generator: function.generator,
            span: at,
            head: Span::new(at.start, span(function.params.span).end),
            class,
            binding,
            decorators,
        };
        self.make(head, |lower| {
            function.body.as_ref().map_or_else(Block::default, |body| lower.function_body(body))
        })
    }

    fn function_body(&mut self, body: &ast::FunctionBody<'a>) -> Block {
        let mut out = Vec::new();
        self.directives(&body.directives, &mut out);
        for statement in &body.statements {
            self.statement(statement, &mut out);
        }
        out.into()
    }

    fn parameters(&mut self, params: &ast::FormalParameters<'a>, function: FunctionId) -> List<Parameter> {
        let kind = BindingKind::Parameter(function);
        let mut all: Vec<Parameter> = Vec::new();
        for item in &params.items {
            let type_text = self.type_text(item.type_annotation.as_deref());
            let decorators =
                item.decorators.iter().map(|decorator| self.expression(&decorator.expression)).collect();
            let mut default = item.initializer.as_ref().map(|value| self.expression(value));
            let pattern = match &item.pattern {
                ast::BindingPattern::AssignmentPattern(inner) => {
                    default = Some(self.expression(&inner.right));
                    self.binding_pattern(&inner.left, kind)
                }
                other => self.binding_pattern(other, kind),
            };
            let name = pattern.as_binding().map(|id| {
                if let Some(binding) = self.builder.binding_mut(id) {
                    binding.type_text = type_text;
                }
                self.builder.module().binding(id).map_or(Name(0), |binding| binding.name)
            });
            all.push(Parameter {
                name,
                pattern,
                kind: ParameterKind::Normal,
                default,
                optional: item.optional,
                type_text,
                annotation: None,
                decorators,
                is_field: item.accessibility.is_some() || item.readonly,
                span: span(item.span),
            });
        }
        if let Some(rest) = &params.rest {
            let type_text = self.type_text(rest.type_annotation.as_deref());
            let pattern = self.binding_pattern(&rest.rest.argument, kind);
            let name = pattern
                .as_binding()
                .and_then(|id| self.builder.module().binding(id).map(|binding| binding.name));
            all.push(Parameter {
                name,
                pattern,
                kind: ParameterKind::Rest,
                default: None,
                optional: true,
                type_text,
                annotation: None,
                decorators: List::default(),
                is_field: false,
                span: span(rest.span),
            });
        }
        all.into()
    }

    /// Lowers a class.
    pub(super) fn class(&mut self, class: &ast::Class<'a>, name: Option<Name>) -> ClassId {
        let id = self.builder.reserve_class(span(class.span));
        let binding = class.id.as_ref().and_then(|id| self.symbol(id.symbol_id.get()));
        self.set_kind(binding, BindingKind::Class(id));
        let own = class.id.as_ref().map(|id| self.builder.name(&id.name));
        let decorators =
            class.decorators.iter().map(|decorator| self.expression(&decorator.expression)).collect();
        let bases = class.heritage.iter().map(|heritage| self.expression(&heritage.expression)).collect();
        let scope = self.scope_of(class.scope_id.get());
        self.builder.set_scope_kind(scope, ScopeKind::Class(id));
        self.classes.push(id);
        let mut fields = Vec::new();
        let mut methods = Vec::new();
        for element in &class.body.body {
            self.element_of_class(element, id, &mut fields, &mut methods);
        }
        self.classes.pop();
        let implements = class.implements.iter().map(|own| self.text(own.expression.span())).collect();
        let class = Class {
            name: own.or(name),
            binding,
            bases,
            implements,
            fields: fields.into(),
            methods: methods.into(),
            decorators,
            parent: self.function(),
            scope,
            span: span(class.span),
        };
        self.builder.set_class(id, class);
        id
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of node")]
    fn element_of_class(
        &mut self,
        element: &ClassElement<'a>,
        class: ClassId,
        fields: &mut Vec<Field>,
        methods: &mut Vec<FunctionId>,
    ) {
        match element {
            ClassElement::StaticBlock(block) => {
                let id = self.builder.reserve_function(span(block.span));
                let parent = self.function();
                self.functions.push(id);
                let body = self.block(&block.body);
                self.functions.pop();
                if let Some(function) = self.builder.function_mut(id) {
                    function.kind = FunctionKind::ClassBody;
                    function.body = body;
                    function.class = Some(class);
                    function.parent = Some(parent);
                }
                methods.push(id);
            }
            ClassElement::MethodDefinition(method) => {
                if method.value.body.is_none() {
                    return;
                }
                let name = self.member_name(&method.key);
                let kind = match method.kind {
                    MethodDefinitionKind::Constructor => FunctionKind::Constructor,
                    MethodDefinitionKind::Get => FunctionKind::Getter,
                    MethodDefinitionKind::Set => FunctionKind::Setter,
                    MethodDefinitionKind::Method if method.r#static => FunctionKind::Static,
                    MethodDefinitionKind::Method => FunctionKind::Method,
                };
                let decorators = method
                    .decorators
                    .iter()
                    .map(|decorator| self.expression(&decorator.expression))
                    .collect();
                let id = self.function_of(&method.value, name, kind, Some(class), None, decorators);
                if let Some(function) = self.builder.function_mut(id) {
                    function.head.start = span(method.span).start;
                    function.span.start = span(method.span).start;
                }
                if kind == FunctionKind::Constructor {
                    self.stored_parameters(&method.value.params, fields);
                }
                methods.push(id);
            }
            ClassElement::PropertyDefinition(property) => {
                let Some(name) = self.member_name(&property.key) else { return };
                let type_text = self.type_text(property.type_annotation.as_deref());
                let decorators = property
                    .decorators
                    .iter()
                    .map(|decorator| self.expression(&decorator.expression))
                    .collect();
                let value =
                    property.value.as_ref().map(|value| self.field_value(value, name, class, methods));
                fields.push(Field {
                    name,
                    value,
                    is_static: property.r#static,
                    type_text,
                    decorators,
                    binding: None,
                    span: span(property.span),
                });
            }
            ClassElement::AccessorProperty(property) => {
                let Some(name) = self.member_name(&property.key) else { return };
                let value = property.value.as_ref().map(|value| self.named(value, Some(name)));
                let type_text = self.type_text(property.type_annotation.as_deref());
                let decorators = List::default();
                let is_static = property.r#static;
                fields.push(Field {
                    name,
                    value,
                    is_static,
                    type_text,
                    decorators,
                    binding: None,
                    span: span(property.span),
                });
            }
            ClassElement::TSIndexSignature(_) => {}
        }
    }

    /// A field whose value is a function is a method for all that look for one: `run = async () => {…}`.
    fn field_value(
        &mut self,
        value: &ast::Expression<'a>,
        name: Name,
        class: ClassId,
        methods: &mut Vec<FunctionId>,
    ) -> crate::ir::ExprId {
        let before = self.builder.module().functions().count();
        let expr = self.named(value, Some(name));
        if let crate::ir::ExprKind::Function(id) = self.builder.module().expr(expr) {
            let id = *id;
            if let Some(function) = self.builder.function_mut(id) {
                function.class = Some(class);
            }
            methods.push(id);
        } else {
            // Functions inside of the value see the object as `this`.
            let after = self.builder.module().functions().count();
            for number in before..after {
                let id = FunctionId(u32::try_from(number).unwrap_or(u32::MAX));
                if let Some(function) = self.builder.function_mut(id)
                    && function.kind == FunctionKind::Arrow
                    && function.class.is_none()
                {
                    function.class = Some(class);
                }
            }
        }
        expr
    }

    fn stored_parameters(&mut self, params: &ast::FormalParameters<'a>, fields: &mut Vec<Field>) {
        for item in &params.items {
            if item.accessibility.is_none() && !item.readonly {
                continue;
            }
            let name = match &item.pattern {
                ast::BindingPattern::BindingIdentifier(name) => self.builder.name(&name.name),
                ast::BindingPattern::AssignmentPattern(inner) => match &inner.left {
                    ast::BindingPattern::BindingIdentifier(name) => self.builder.name(&name.name),
                    _ => continue,
                },
                _ => continue,
            };
            let type_text = self.type_text(item.type_annotation.as_deref());
            fields.push(Field {
                name,
                value: None,
                is_static: false,
                type_text,
                decorators: List::default(),
                binding: None,
                span: span(item.span),
            });
        }
    }

    fn member_name(&mut self, key: &ast::PropertyKey<'a>) -> Option<Name> {
        match self.property_key(key) {
            PropertyKey::Name(name) => Some(name),
            _ => None,
        }
    }
}
