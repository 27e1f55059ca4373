//! Interfaces and types of objects.

use oxc_ast::ast::{self, TSSignature, TSType};
use oxc_span::GetSpan;

use super::Lower;
use crate::ir::{BindingKind, List, Name, PropertyKey, Shape};

/// How deep types of objects are looked into.
pub(super) const DEPTH: u32 = 4;

impl<'a> Lower<'a> {
    /// Keeps an interface.
    pub(super) fn interface(&mut self, interface: &ast::TSInterfaceDeclaration<'a>) {
        let binding = self.symbol(interface.id.symbol_id.get());
        self.set_kind(binding, BindingKind::Other);
        let name = self.builder.name(&interface.id.name);
        let bases = interface.extends.iter().map(|base| self.text(base.type_name.span())).collect();
        self.shape(name, bases, &interface.body.body, DEPTH);
    }

    /// Keeps what a type stands for.
    pub(super) fn alias(&mut self, alias: &ast::TSTypeAliasDeclaration<'a>) {
        let binding = self.symbol(alias.id.symbol_id.get());
        self.set_kind(binding, BindingKind::Other);
        let name = self.builder.name(&alias.id.name);
        match &alias.type_annotation {
            TSType::TSTypeLiteral(literal) => self.shape(name, List::default(), &literal.members, DEPTH),
            TSType::TSIntersectionType(all) => {
                let bases = all.types.iter().map(|part| self.object_type(part, DEPTH)).collect();
                self.builder.shape(Shape { name, bases, members: List::default() });
            }
            other if stands_for(other) => {
                let bases = List::one(self.text(other.span()));
                self.builder.shape(Shape { name, bases, members: List::default() });
            }
            _ => {}
        }
    }

    /// The text of a type; of one that is written out, its members are kept.
    pub(super) fn object_type(&mut self, of: &TSType<'a>, depth: u32) -> Name {
        let name = self.text(of.span());
        if let TSType::TSTypeLiteral(literal) = of {
            self.shape(name, List::default(), &literal.members, depth);
        }
        name
    }

    fn shape(&mut self, name: Name, bases: List<Name>, body: &[TSSignature<'a>], depth: u32) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let mut members: Vec<(Name, Name)> = Vec::new();
        for member in body {
            let TSSignature::TSPropertySignature(property) = member else { continue };
            let Some(annotation) = &property.type_annotation else { continue };
            let of = &annotation.type_annotation;
            if property.computed || !is_object(of) {
                continue;
            }
            if let PropertyKey::Name(key) = self.property_key(&property.key) {
                members.push((key, self.object_type(of, depth)));
            }
        }
        self.builder.shape(Shape { name, bases, members: members.into() });
    }
}

/// Whether a type may be that of an object with methods.
fn is_object(of: &TSType<'_>) -> bool {
    match of {
        TSType::TSTypeReference(_) | TSType::TSTypeLiteral(_) | TSType::TSTypeQuery(_) => true,
        // `Redis | null`
        TSType::TSUnionType(all) => all.types.iter().any(is_object),
        _ => false,
    }
}

/// Whether a type is another one under a new name: `ReturnType<typeof createNotes>`, `Omit<Notes, "drop">`.
fn stands_for(of: &TSType<'_>) -> bool {
    matches!(of, TSType::TSTypeReference(_) | TSType::TSTypeQuery(_))
}
