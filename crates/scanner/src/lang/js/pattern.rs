//! Patterns: what declarations, parameters and assignments bind.

use oxc_ast::ast::{
    AssignmentTarget, AssignmentTargetMaybeDefault, AssignmentTargetProperty, BindingPattern, Expression,
    SimpleAssignmentTarget,
};

use super::Lower;
use crate::ir::{BindingKind, ExprId, ExprKind, NameRef, Pattern, PatternProperty, PropertyKey};

impl<'a> Lower<'a> {
    /// Lowers what a declaration or parameter binds.
    pub(super) fn binding_pattern(&mut self, pattern: &BindingPattern<'a>, kind: BindingKind) -> Pattern {
        match pattern {
            BindingPattern::BindingIdentifier(name) => match self.symbol(name.symbol_id.get()) {
                Some(binding) => {
                    self.set_kind(Some(binding), kind);
                    Pattern::Binding(binding)
                }
                None => Pattern::Place(ExprId::MISSING),
            },
            BindingPattern::ObjectPattern(object) => Pattern::Object {
                properties: object
                    .properties
                    .iter()
                    .map(|property| PatternProperty {
                        key: self.property_key(&property.key),
                        pattern: self.binding_pattern(&property.value, kind),
                    })
                    .collect(),
                rest: object.rest.as_ref().map(|rest| Box::new(self.binding_pattern(&rest.argument, kind))),
            },
            BindingPattern::ArrayPattern(array) => Pattern::Array {
                items: array
                    .elements
                    .iter()
                    .map(|element| element.as_ref().map(|element| self.binding_pattern(element, kind)))
                    .collect(),
                rest: array.rest.as_ref().map(|rest| Box::new(self.binding_pattern(&rest.argument, kind))),
            },
            BindingPattern::AssignmentPattern(default) => {
                let value = self.expression(&default.right);
                Pattern::Default { pattern: Box::new(self.binding_pattern(&default.left, kind)), value }
            }
        }
    }

    /// Lowers what is assigned to.
    pub(super) fn assignment_target(&mut self, target: &AssignmentTarget<'a>) -> Pattern {
        if let Some(simple) = target.as_simple_assignment_target() {
            return self.simple_target(simple);
        }
        match target {
            AssignmentTarget::ArrayAssignmentTarget(array) => Pattern::Array {
                items: array
                    .elements
                    .iter()
                    .map(|element| element.as_ref().map(|element| self.maybe_default(element)))
                    .collect(),
                rest: array.rest.as_ref().map(|rest| Box::new(self.assignment_target(&rest.target))),
            },
            AssignmentTarget::ObjectAssignmentTarget(object) => Pattern::Object {
                properties: object.properties.iter().map(|property| self.target_property(property)).collect(),
                rest: object.rest.as_ref().map(|rest| Box::new(self.assignment_target(&rest.target))),
            },
            _ => Pattern::Place(ExprId::MISSING),
        }
    }

    /// A name or member that is assigned to, once more as what is read; nothing when a call would be there twice.
    pub(super) fn read_of_target(&mut self, target: &AssignmentTarget<'a>) -> Option<ExprId> {
        match target.as_simple_assignment_target()? {
            SimpleAssignmentTarget::AssignmentTargetIdentifier(name) => {
                let reference = self.reference(name.reference_id.get(), &name.name);
                Some(self.add(ExprKind::Name(reference), name.span))
            }
            SimpleAssignmentTarget::StaticMemberExpression(member) if is_path(&member.object) => {
                Some(self.fixed(member))
            }
            SimpleAssignmentTarget::PrivateFieldExpression(member) if is_path(&member.object) => {
                Some(self.private(member))
            }
            SimpleAssignmentTarget::ComputedMemberExpression(member)
                if is_path(&member.object) && is_path(&member.expression) =>
            {
                Some(self.computed(member))
            }
            _ => None,
        }
    }

    fn target_property(&mut self, property: &AssignmentTargetProperty<'a>) -> PatternProperty {
        match property {
            AssignmentTargetProperty::AssignmentTargetPropertyIdentifier(short) => {
                let key = PropertyKey::Name(self.builder.name(&short.binding.name));
                let name = self.reference(short.binding.reference_id.get(), &short.binding.name);
                let pattern = self.name_pattern(name, short.binding.span);
                let pattern = match &short.init {
                    Some(init) => {
                        Pattern::Default { pattern: Box::new(pattern), value: self.expression(init) }
                    }
                    None => pattern,
                };
                PatternProperty { key, pattern }
            }
            AssignmentTargetProperty::AssignmentTargetPropertyProperty(property) => PatternProperty {
                key: self.property_key(&property.name),
                pattern: self.maybe_default(&property.binding),
            },
        }
    }

    fn maybe_default(&mut self, target: &AssignmentTargetMaybeDefault<'a>) -> Pattern {
        match target {
            AssignmentTargetMaybeDefault::AssignmentTargetWithDefault(default) => {
                let value = self.expression(&default.init);
                Pattern::Default { pattern: Box::new(self.assignment_target(&default.binding)), value }
            }
            other => match other.as_assignment_target() {
                Some(target) => self.assignment_target(target),
                None => Pattern::Place(ExprId::MISSING),
            },
        }
    }

    fn name_pattern(&mut self, name: NameRef, at: oxc_span::Span) -> Pattern {
        match name {
            NameRef::Binding(binding) => Pattern::Binding(binding),
            NameRef::Global(_) => Pattern::Place(self.add(ExprKind::Name(name), at)),
        }
    }

    /// Lowers a name, member or index that is assigned to.
    pub(super) fn simple_target(&mut self, target: &SimpleAssignmentTarget<'a>) -> Pattern {
        let place = match target {
            SimpleAssignmentTarget::AssignmentTargetIdentifier(name) => {
                let reference = self.reference(name.reference_id.get(), &name.name);
                return self.name_pattern(reference, name.span);
            }
            SimpleAssignmentTarget::TSAsExpression(inner) => self.expression(&inner.expression),
            SimpleAssignmentTarget::TSSatisfiesExpression(inner) => self.expression(&inner.expression),
            SimpleAssignmentTarget::TSNonNullExpression(inner) => self.expression(&inner.expression),
            SimpleAssignmentTarget::TSTypeAssertion(inner) => self.expression(&inner.expression),
            SimpleAssignmentTarget::ComputedMemberExpression(member) => self.computed(member),
            SimpleAssignmentTarget::StaticMemberExpression(member) => self.fixed(member),
            SimpleAssignmentTarget::PrivateFieldExpression(member) => self.private(member),
        };
        self.place(place)
    }
}

/// Whether an expression is a name, a text, or a member of such.
fn is_path(expr: &Expression<'_>) -> bool {
    match expr {
        Expression::Identifier(_) | Expression::ThisExpression(_) | Expression::StringLiteral(_) => true,
        Expression::StaticMemberExpression(member) => is_path(&member.object),
        Expression::PrivateFieldExpression(member) => is_path(&member.object),
        _ => false,
    }
}
