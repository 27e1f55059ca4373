//! Imports and exports, of ECMAScript and of CommonJS.

use oxc_ast::ast::{
    self, ExportDefaultDeclarationKind, Expression, ImportDeclarationSpecifier, ModuleDeclaration,
};
use oxc_span::GetSpan;

use super::{Lower, span, specifiers};
use crate::ir::{
    BindingId, BindingKind, Export, ExportKind, ExprId, ExprKind, Import, ImportKind, Name, NameRef,
    PropertyKey, StmtId, StmtKind,
};

impl<'a> Lower<'a> {
    pub(super) fn module_declaration(&mut self, declaration: &ModuleDeclaration<'a>, out: &mut Vec<StmtId>) {
        match declaration {
            ModuleDeclaration::ImportDeclaration(import) => self.import(import),
            ModuleDeclaration::ExportAllDeclaration(export) => {
                let specifier = self.specifier(&export.source.value);
                let (name, kind) = match &export.exported {
                    Some(name) => (self.export_name(name), ExportKind::From { specifier, name: None }),
                    None => (self.builder.name("*"), ExportKind::All { specifier }),
                };
                self.builder.export(Export { name, kind });
            }
            ModuleDeclaration::ExportDefaultDeclaration(export) => self.export_default(export, out),
            ModuleDeclaration::ExportDeclaration(export) => {
                let from = out.len();
                self.declaration(&export.declaration, out);
                self.export_statements(out.get(from..).unwrap_or(&[]).to_vec());
            }
            ModuleDeclaration::ExportNamedDeclaration(export) => {
                for specifier in &export.specifiers {
                    let name = self.export_name(&specifier.exported);
                    let ast::ModuleExportName::IdentifierReference(local) = &specifier.local else {
                        continue;
                    };
                    if let NameRef::Binding(binding) = self.reference(local.reference_id.get(), &local.name) {
                        self.builder.export(Export { name, kind: ExportKind::Binding(binding) });
                    }
                }
            }
            ModuleDeclaration::ExportFromDeclaration(export) => {
                let from = self.specifier(&export.source.value);
                for specifier in &export.specifiers {
                    let name = self.export_name(&specifier.exported);
                    let inner = self.export_name(&specifier.local);
                    let kind = ExportKind::From { specifier: from, name: Some(inner) };
                    self.builder.export(Export { name, kind });
                }
            }
            ModuleDeclaration::TSExportAssignment(export) => {
                let value = self.expression(&export.expression);
                self.export_whole(value);
            }
            ModuleDeclaration::TSNamespaceExportDeclaration(_) => {}
        }
    }

    fn export_name(&mut self, name: &ast::ModuleExportName<'a>) -> Name {
        match name {
            ast::ModuleExportName::IdentifierName(name) => self.builder.name(&name.name),
            ast::ModuleExportName::IdentifierReference(name) => self.builder.name(&name.name),
            ast::ModuleExportName::StringLiteral(text) => self.builder.name(&text.value),
        }
    }

    /// Exports what statements declare.
    fn export_statements(&mut self, statements: Vec<StmtId>) {
        let mut bindings: Vec<BindingId> = Vec::new();
        for id in statements {
            let module = self.builder.module();
            match module.stmt(id) {
                StmtKind::Assign { target, .. } => {
                    target.for_each_binding(&mut |binding| bindings.push(binding))
                }
                StmtKind::Function(id) => {
                    bindings.extend(module.function(*id).and_then(|function| function.binding))
                }
                StmtKind::Class(id) => bindings.extend(module.class(*id).and_then(|class| class.binding)),
                _ => {}
            }
        }
        for binding in bindings {
            let Some(name) = self.builder.module().binding(binding).map(|binding| binding.name) else {
                continue;
            };
            self.builder.export(Export { name, kind: ExportKind::Binding(binding) });
        }
    }

    fn export_default(&mut self, export: &ast::ExportDefaultDeclaration<'a>, out: &mut Vec<StmtId>) {
        let name = self.builder.name("default");
        let at = span(export.span);
        let value = match &export.declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(function) => {
                let id = self.function_value(function, Some(name));
                if let Some(binding) = function.id.as_ref().and_then(|id| self.symbol(id.symbol_id.get())) {
                    out.push(self.builder.stmt(StmtKind::Function(id), at));
                    self.builder.export(Export { name, kind: ExportKind::Binding(binding) });
                    return;
                }
                self.add(ExprKind::Function(id), function.span)
            }
            ExportDefaultDeclarationKind::ClassDeclaration(class) => {
                let id = self.class(class, Some(name));
                if let Some(binding) = class.id.as_ref().and_then(|id| self.symbol(id.symbol_id.get())) {
                    out.push(self.builder.stmt(StmtKind::Class(id), at));
                    self.builder.export(Export { name, kind: ExportKind::Binding(binding) });
                    return;
                }
                self.add(ExprKind::Class(id), class.span)
            }
            ExportDefaultDeclarationKind::TSInterfaceDeclaration(interface) => {
                self.interface(interface);
                return;
            }
            other => match other.as_expression() {
                Some(expr) => self.named(expr, Some(name)),
                None => return,
            },
        };
        out.push(self.builder.stmt(StmtKind::Expr(value), at));
        self.builder.export(Export { name, kind: ExportKind::Value(value) });
    }

    fn import(&mut self, import: &ast::ImportDeclaration<'a>) {
        let specifier = self.specifier(&import.source.value);
        let type_only = import.import_kind.is_type();
        let at = span(import.span);
        let Some(specifiers) = &import.specifiers else {
            self.builder.import(Import {
                specifier,
                kind: ImportKind::Effect,
                binding: None,
                type_only,
                span: at,
            });
            return;
        };
        for item in specifiers {
            let (kind, local, type_only) = match item {
                ImportDeclarationSpecifier::ImportSpecifier(item) => {
                    let name = self.export_name(&item.imported);
                    let kind = if item.imported.name() == "default" {
                        ImportKind::Default
                    } else {
                        ImportKind::Named(name)
                    };
                    (kind, &item.local, type_only || item.import_kind.is_type())
                }
                ImportDeclarationSpecifier::ImportDefaultSpecifier(item) => {
                    (ImportKind::Default, &item.local, type_only)
                }
                ImportDeclarationSpecifier::ImportNamespaceSpecifier(item) => {
                    (ImportKind::Namespace, &item.local, type_only)
                }
            };
            let binding = self.symbol(local.symbol_id.get());
            self.bind_import(Import { specifier, kind, binding, type_only, span: at });
        }
    }

    /// The name of what is imported, whichever runtime's way it is written in.
    fn specifier(&mut self, text: &str) -> Name {
        if text.contains(':') {
            self.builder.name(&specifiers::package(text))
        } else {
            self.builder.name(text)
        }
    }

    fn bind_import(&mut self, import: Import) {
        let number = self.builder.import(import);
        self.set_kind(import.binding, BindingKind::Import(number));
    }

    pub(super) fn import_equals(&mut self, import: &ast::TSImportEqualsDeclaration<'a>) {
        let ast::TSModuleReference::ExternalModuleReference(from) = &import.module_reference else { return };
        let specifier = self.specifier(&from.expression.value);
        let binding = self.symbol(import.id.symbol_id.get());
        let at = span(import.span);
        self.bind_import(Import {
            specifier,
            kind: ImportKind::Namespace,
            binding,
            type_only: false,
            span: at,
        });
    }

    /// Takes `const x = require("y")`, `const { a } = require("y")` and `const x = require("y").a` as imports.
    pub(super) fn required_declaration(
        &mut self,
        target: &ast::BindingPattern<'a>,
        init: &Expression<'a>,
    ) -> bool {
        let (call, member) = match init {
            Expression::CallExpression(call) => (call, None),
            Expression::StaticMemberExpression(member) => match &member.object {
                Expression::CallExpression(call) => (call, Some(self.builder.name(&member.property.name))),
                _ => return false,
            },
            _ => return false,
        };
        let Some(Expression::StringLiteral(text)) = self.required(call) else { return false };
        let specifier = self.specifier(&text.value);
        let at = span(init.span());
        match (target, member) {
            (ast::BindingPattern::BindingIdentifier(name), member) => {
                let binding = self.symbol(name.symbol_id.get());
                let kind = member.map_or(ImportKind::Namespace, ImportKind::Named);
                self.bind_import(Import { specifier, kind, binding, type_only: false, span: at });
                true
            }
            (ast::BindingPattern::ObjectPattern(object), None) if object.rest.is_none() => {
                let simple = object.properties.iter().all(|property| {
                    matches!(property.value, ast::BindingPattern::BindingIdentifier(_)) && !property.computed
                });
                if !simple {
                    return false;
                }
                for property in &object.properties {
                    let PropertyKey::Name(name) = self.property_key(&property.key) else { continue };
                    let ast::BindingPattern::BindingIdentifier(local) = &property.value else { continue };
                    let binding = self.symbol(local.symbol_id.get());
                    let kind = ImportKind::Named(name);
                    self.bind_import(Import { specifier, kind, binding, type_only: false, span: at });
                }
                true
            }
            _ => false,
        }
    }

    /// Takes `module.exports = …`, `module.exports.a = …` and `exports.a = …` as exports.
    pub(super) fn commonjs(&mut self, assign: &ast::AssignmentExpression<'a>, value: ExprId) {
        let ast::AssignmentTarget::StaticMemberExpression(member) = &assign.left else { return };
        let is_module = |expr: &Expression<'a>| {
            matches!(expr, Expression::StaticMemberExpression(inner)
                if inner.property.name == "exports" && matches!(&inner.object, Expression::Identifier(name) if name.name == "module"))
        };
        let named = match &member.object {
            Expression::Identifier(object) if object.name == "exports" => true,
            Expression::Identifier(object)
                if object.name == "module" && member.property.name == "exports" =>
            {
                self.export_whole(value);
                return;
            }
            object => is_module(object),
        };
        if named {
            let name = self.builder.name(&member.property.name);
            self.builder.export(Export { name, kind: ExportKind::Value(value) });
        }
    }

    fn export_whole(&mut self, value: ExprId) {
        let whole = self.builder.name(Export::WHOLE);
        self.builder.export(Export { name: whole, kind: ExportKind::Value(value) });
        let mut named = Vec::new();
        if let ExprKind::Object(properties) = self.builder.module().expr(value) {
            for property in properties {
                if let PropertyKey::Name(name) = property.key {
                    named.push(Export { name, kind: ExportKind::Value(property.value) });
                }
            }
        }
        named.into_iter().for_each(|export| self.builder.export(export));
    }
}
