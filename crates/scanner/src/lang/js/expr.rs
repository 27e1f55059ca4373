//! Expressions.

use oxc_ast::ast::{self, Expression};
use oxc_span::GetSpan;
use oxc_syntax::operator::{AssignmentOperator, BinaryOperator, LogicalOperator, UnaryOperator};

use super::Lower;
use crate::ir::{
    Arg, ArgKind, ArrayKind, BinaryOp, Call, CompareOp, ExprId, ExprKind, List, LogicalOp, Name, Pattern,
    Property, PropertyKey, TemplatePart, UnaryOp,
};

impl<'a> Lower<'a> {
    /// Lowers an expression.
    pub(super) fn expression(&mut self, expr: &Expression<'a>) -> ExprId {
        self.named(expr, None)
    }

    pub(super) fn optional(&mut self, expr: Option<&Expression<'a>>) -> Option<ExprId> {
        expr.map(|expr| self.expression(expr))
    }

    /// Lowers an expression that is the value of something with a name.
    pub(super) fn named(&mut self, expr: &Expression<'a>, name: Option<Name>) -> ExprId {
        let id = if self.deeper() { self.lower_expression(expr, name) } else { ExprId::MISSING };
        self.depth -= 1;
        id
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of node")]
    fn lower_expression(&mut self, expr: &Expression<'a>, name: Option<Name>) -> ExprId {
        let at = expr.span();
        let kind = match expr {
            Expression::BooleanLiteral(value) => ExprKind::Bool(value.value),
            Expression::NullLiteral(_) => ExprKind::Null,
            Expression::NumericLiteral(_) | Expression::BigIntLiteral(_) => ExprKind::Number(self.text(at)),
            Expression::RegExpLiteral(_) => ExprKind::String(self.text(at)),
            Expression::StringLiteral(value) => ExprKind::String(self.builder.name(&value.value)),
            Expression::TemplateLiteral(template) => self.template_kind(template),
            Expression::TaggedTemplateExpression(tagged) => {
                let tag = self.expression(&tagged.tag);
                let parts = self.template(&tagged.quasi);
                ExprKind::Tagged { tag, parts }
            }
            Expression::Identifier(name) if name.name == "undefined" => ExprKind::Null,
            Expression::Identifier(name) => {
                ExprKind::Name(self.reference(name.reference_id.get(), &name.name))
            }
            Expression::Super(_) => ExprKind::Super,
            Expression::ThisExpression(_) => ExprKind::This,
            Expression::ArrayExpression(array) => {
                let items = array.elements.iter().map(|element| self.element(element)).collect();
                ExprKind::Array { items, kind: ArrayKind::List }
            }
            Expression::ArrowFunctionExpression(arrow) => ExprKind::Function(self.arrow(arrow, name)),
            Expression::FunctionExpression(function) => {
                ExprKind::Function(self.function_value(function, name))
            }
            Expression::ClassExpression(class) => ExprKind::Class(self.class(class, name)),
            Expression::AssignmentExpression(assign) => {
                let value = self.expression(&assign.right);
                let target = Box::new(self.assignment_target(&assign.left));
                let (op, logical) = operators(assign.operator);
                let kind = ExprKind::Assign { target, op, logical, value };
                // The value of `a ??= b` is that of `a ?? (a = b)`: what is there already is read.
                match logical.zip(self.read_of_target(&assign.left)) {
                    Some((op, left)) => ExprKind::Logical { op, left, right: self.add(kind, at) },
                    None => kind,
                }
            }
            Expression::UpdateExpression(update) => {
                let target = Box::new(self.simple_target(&update.argument));
                let one = self.builder.name("1");
                let value = self.add(ExprKind::Number(one), at);
                ExprKind::Assign { target, op: Some(BinaryOp::Other), logical: None, value }
            }
            Expression::AwaitExpression(wait) => ExprKind::Await(self.expression(&wait.argument)),
            Expression::BinaryExpression(binary) => {
                let left = self.expression(&binary.left);
                let right = self.expression(&binary.right);
                binary_kind(binary.operator, left, right)
            }
            Expression::PrivateInExpression(test) => {
                ExprKind::Unary { op: UnaryOp::Not, operand: self.expression(&test.right) }
            }
            Expression::LogicalExpression(logical) => {
                let left = self.expression(&logical.left);
                let right = self.expression(&logical.right);
                let op = match logical.operator {
                    LogicalOperator::And => LogicalOp::And,
                    LogicalOperator::Or => LogicalOp::Or,
                    LogicalOperator::Coalesce => LogicalOp::Nullish,
                };
                ExprKind::Logical { op, left, right }
            }
            Expression::ConditionalExpression(conditional) => ExprKind::Conditional {
                test: self.expression(&conditional.test),
                then: self.named(&conditional.consequent, name),
                otherwise: self.named(&conditional.alternate, name),
            },
            Expression::CallExpression(call) => return self.call(call),
            Expression::NewExpression(new) => {
                let callee = self.expression(&new.callee);
                let args = self.arguments(&new.arguments);
                ExprKind::Call(Box::new(Call { callee, args, is_new: true, optional: false }))
            }
            Expression::ChainExpression(chain) => return self.chain(&chain.expression),
            Expression::ImportExpression(import) => ExprKind::Import(self.expression(&import.source)),
            Expression::ObjectExpression(object) => {
                ExprKind::Object(object.properties.iter().map(|property| self.property(property)).collect())
            }
            Expression::ParenthesizedExpression(inner) => return self.named(&inner.expression, name),
            Expression::SequenceExpression(sequence) => {
                ExprKind::Sequence(sequence.expressions.iter().map(|expr| self.expression(expr)).collect())
            }
            Expression::UnaryExpression(unary) => {
                let operand = self.expression(&unary.argument);
                ExprKind::Unary { op: unary_op(unary.operator), operand }
            }
            Expression::YieldExpression(give) => {
                ExprKind::Yield { value: self.optional(give.argument.as_ref()), delegate: give.delegate }
            }
            Expression::ImportMeta(_) => {
                let import = self.builder.name("import");
                let object = self.add(ExprKind::Name(crate::ir::NameRef::Global(import)), at);
                ExprKind::Member { object, property: self.builder.name("meta"), optional: false }
            }
            Expression::NewTarget(_) => ExprKind::Missing,
            Expression::JSXElement(element) => ExprKind::Sequence(self.jsx_element(element).into()),
            Expression::JSXFragment(fragment) => {
                let mut parts = Vec::new();
                self.jsx_children(&fragment.children, &mut parts);
                ExprKind::Sequence(parts.into())
            }
            Expression::TSAsExpression(inner) => return self.named(&inner.expression, name),
            Expression::TSSatisfiesExpression(inner) => return self.named(&inner.expression, name),
            Expression::TSTypeAssertion(inner) => return self.named(&inner.expression, name),
            Expression::TSNonNullExpression(inner) => return self.named(&inner.expression, name),
            Expression::TSInstantiationExpression(inner) => return self.named(&inner.expression, name),
            Expression::V8IntrinsicExpression(call) => ExprKind::Sequence(
                call.arguments.iter().map(|argument| self.argument(argument).value).collect(),
            ),
            Expression::ComputedMemberExpression(member) => return self.computed(member),
            Expression::StaticMemberExpression(member) => return self.fixed(member),
            Expression::PrivateFieldExpression(member) => return self.private(member),
        };
        self.add(kind, at)
    }

    pub(super) fn computed(&mut self, member: &ast::ComputedMemberExpression<'a>) -> ExprId {
        let object = self.expression(&member.object);
        let kind = match &member.expression {
            Expression::StringLiteral(name) => ExprKind::Member {
                object,
                property: self.builder.name(&name.value),
                optional: member.optional,
            },
            index => ExprKind::Index { object, index: self.expression(index), optional: member.optional },
        };
        self.add(kind, member.span)
    }

    pub(super) fn fixed(&mut self, member: &ast::StaticMemberExpression<'a>) -> ExprId {
        let object = self.expression(&member.object);
        let property = self.builder.name(&member.property.name);
        self.add(ExprKind::Member { object, property, optional: member.optional }, member.span)
    }

    pub(super) fn private(&mut self, member: &ast::PrivateFieldExpression<'a>) -> ExprId {
        let object = self.expression(&member.object);
        let property = self.builder.name(&format!("#{}", member.field.name));
        self.add(ExprKind::Member { object, property, optional: member.optional }, member.span)
    }

    fn call(&mut self, call: &ast::CallExpression<'a>) -> ExprId {
        if let Some(specifier) = self.required(call) {
            let specifier = self.expression(specifier);
            return self.add(ExprKind::Import(specifier), call.span);
        }
        let callee = self.expression(&call.callee);
        let args = self.arguments(&call.arguments);
        let call_kind =
            ExprKind::Call(Box::new(Call { callee, args, is_new: false, optional: call.optional }));
        self.add(call_kind, call.span)
    }

    /// The specifier of a `require(…)`.
    pub(super) fn required<'c>(&self, call: &'c ast::CallExpression<'a>) -> Option<&'c Expression<'a>> {
        let Expression::Identifier(callee) = &call.callee else { return None };
        let reference = callee.reference_id.get()?;
        let global = self.scoping.get_reference(reference).symbol_id().is_none();
        let argument = call.arguments.first()?.as_expression()?;
        (global && callee.name == "require" && matches!(argument, Expression::StringLiteral(_)))
            .then_some(argument)
    }

    fn chain(&mut self, element: &ast::ChainElement<'a>) -> ExprId {
        match element {
            ast::ChainElement::CallExpression(call) => self.call(call),
            ast::ChainElement::TSNonNullExpression(inner) => self.expression(&inner.expression),
            ast::ChainElement::ComputedMemberExpression(member) => self.computed(member),
            ast::ChainElement::StaticMemberExpression(member) => self.fixed(member),
            ast::ChainElement::PrivateFieldExpression(member) => self.private(member),
        }
    }

    fn arguments(&mut self, arguments: &[ast::Argument<'a>]) -> List<Arg> {
        arguments.iter().map(|argument| self.argument(argument)).collect()
    }

    fn argument(&mut self, argument: &ast::Argument<'a>) -> Arg {
        match argument {
            ast::Argument::SpreadElement(spread) => {
                Arg { kind: ArgKind::Spread, value: self.expression(&spread.argument) }
            }
            other => {
                let value = other.as_expression().map_or(ExprId::MISSING, |expr| self.expression(expr));
                Arg { kind: ArgKind::Positional, value }
            }
        }
    }

    fn element(&mut self, element: &ast::ArrayExpressionElement<'a>) -> ExprId {
        match element {
            ast::ArrayExpressionElement::SpreadElement(spread) => {
                let value = self.expression(&spread.argument);
                self.add(ExprKind::Spread(value), spread.span)
            }
            other => other.as_expression().map_or(ExprId::MISSING, |expr| self.expression(expr)),
        }
    }

    fn property(&mut self, property: &ast::ObjectPropertyKind<'a>) -> Property {
        match property {
            ast::ObjectPropertyKind::SpreadProperty(spread) => {
                Property { key: PropertyKey::Spread, value: self.expression(&spread.argument) }
            }
            ast::ObjectPropertyKind::ObjectProperty(property) => {
                let key = self.property_key(&property.key);
                let name = match key {
                    PropertyKey::Name(name) => Some(name),
                    _ => None,
                };
                Property { key, value: self.named(&property.value, name) }
            }
        }
    }

    pub(super) fn property_key(&mut self, key: &ast::PropertyKey<'a>) -> PropertyKey {
        match key {
            ast::PropertyKey::StaticIdentifier(name) => PropertyKey::Name(self.builder.name(&name.name)),
            ast::PropertyKey::PrivateIdentifier(name) => {
                PropertyKey::Name(self.builder.name(&format!("#{}", name.name)))
            }
            ast::PropertyKey::StringLiteral(text) => PropertyKey::Name(self.builder.name(&text.value)),
            ast::PropertyKey::NumericLiteral(number) => PropertyKey::Name(self.text(number.span)),
            other => other
                .as_expression()
                .map_or(PropertyKey::Spread, |expr| PropertyKey::Computed(self.expression(expr))),
        }
    }

    fn template_kind(&mut self, template: &ast::TemplateLiteral<'a>) -> ExprKind {
        match (template.quasis.as_slice(), template.expressions.is_empty()) {
            ([only], true) => {
                let text = only.value.cooked.as_ref().unwrap_or(&only.value.raw);
                ExprKind::String(self.builder.name(text))
            }
            _ => ExprKind::Template(self.template(template)),
        }
    }

    fn template(&mut self, template: &ast::TemplateLiteral<'a>) -> List<TemplatePart> {
        let mut parts = Vec::new();
        let mut values = template.expressions.iter();
        for quasi in &template.quasis {
            let text = quasi.value.cooked.as_ref().unwrap_or(&quasi.value.raw);
            if !text.is_empty() {
                parts.push(TemplatePart::Text(self.builder.name(text)));
            }
            if let Some(value) = values.next() {
                parts.push(TemplatePart::Value(self.expression(value)));
            }
        }
        parts.into()
    }

    fn jsx_element(&mut self, element: &ast::JSXElement<'a>) -> Vec<ExprId> {
        let mut parts = Vec::new();
        for attribute in &element.opening_element.attributes {
            match attribute {
                ast::JSXAttributeItem::SpreadAttribute(spread) => {
                    parts.push(self.expression(&spread.argument))
                }
                ast::JSXAttributeItem::Attribute(attribute) => match &attribute.value {
                    Some(ast::JSXAttributeValue::ExpressionContainer(container)) => {
                        parts.extend(container.expression.as_expression().map(|expr| self.expression(expr)));
                    }
                    Some(ast::JSXAttributeValue::Element(inner)) => parts.extend(self.jsx_element(inner)),
                    Some(ast::JSXAttributeValue::Fragment(inner)) => {
                        self.jsx_children(&inner.children, &mut parts)
                    }
                    Some(ast::JSXAttributeValue::StringLiteral(_)) | None => {}
                },
            }
        }
        self.jsx_children(&element.children, &mut parts);
        parts
    }

    fn jsx_children(&mut self, children: &[ast::JSXChild<'a>], parts: &mut Vec<ExprId>) {
        if !self.deeper() {
            self.depth -= 1;
            return;
        }
        for child in children {
            match child {
                ast::JSXChild::Text(_) => {}
                ast::JSXChild::Element(element) => parts.extend(self.jsx_element(element)),
                ast::JSXChild::Fragment(fragment) => self.jsx_children(&fragment.children, parts),
                ast::JSXChild::ExpressionContainer(container) => {
                    parts.extend(container.expression.as_expression().map(|expr| self.expression(expr)));
                }
                ast::JSXChild::Spread(spread) => parts.push(self.expression(&spread.expression)),
            }
        }
        self.depth -= 1;
    }

    /// A place that is assigned to, as an expression pattern.
    pub(super) fn place(&mut self, id: ExprId) -> Pattern {
        Pattern::Place(id)
    }
}

/// The operators of an assignment.
pub(super) fn operators(operator: AssignmentOperator) -> (Option<BinaryOp>, Option<LogicalOp>) {
    match operator {
        AssignmentOperator::Assign => (None, None),
        AssignmentOperator::Addition => (Some(BinaryOp::Add), None),
        AssignmentOperator::LogicalOr => (None, Some(LogicalOp::Or)),
        AssignmentOperator::LogicalAnd => (None, Some(LogicalOp::And)),
        AssignmentOperator::LogicalNullish => (None, Some(LogicalOp::Nullish)),
        _ => (Some(BinaryOp::Other), None),
    }
}

fn binary_kind(operator: BinaryOperator, left: ExprId, right: ExprId) -> ExprKind {
    let compare = match operator {
        BinaryOperator::Equality | BinaryOperator::StrictEquality => Some(CompareOp::Eq),
        BinaryOperator::Inequality | BinaryOperator::StrictInequality => Some(CompareOp::NotEq),
        BinaryOperator::LessThan
        | BinaryOperator::LessEqualThan
        | BinaryOperator::GreaterThan
        | BinaryOperator::GreaterEqualThan => Some(CompareOp::Order),
        BinaryOperator::In => Some(CompareOp::In),
        BinaryOperator::Instanceof => Some(CompareOp::InstanceOf),
        _ => None,
    };
    if let Some(op) = compare {
        return ExprKind::Compare { op, left, right };
    }
    let op = match operator {
        BinaryOperator::Addition => BinaryOp::Add,
        BinaryOperator::BitwiseOR => BinaryOp::BitOr,
        BinaryOperator::BitwiseAnd => BinaryOp::BitAnd,
        BinaryOperator::Remainder => BinaryOp::Rem,
        _ => BinaryOp::Other,
    };
    ExprKind::Binary { op, left, right }
}

const fn unary_op(operator: UnaryOperator) -> UnaryOp {
    match operator {
        UnaryOperator::LogicalNot => UnaryOp::Not,
        UnaryOperator::Typeof => UnaryOp::TypeOf,
        UnaryOperator::Void => UnaryOp::Void,
        UnaryOperator::Delete => UnaryOp::Delete,
        _ => UnaryOp::Arithmetic,
    }
}
