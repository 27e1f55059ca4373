//! JavaScript and TypeScript: source text to the program form, with oxc's parser and its scopes.

mod browser;
mod decl;
mod expr;
mod modules;
mod pattern;
mod shapes;
mod specifiers;
mod stmt;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, sync::Arc};

use oxc_allocator::Allocator;
use oxc_ast::ast;
use oxc_parser::Parser;
use oxc_semantic::{Scoping, SemanticBuilder};
use oxc_span::SourceType;
use oxc_syntax::{reference::ReferenceId, scope::ScopeId as OxcScope, symbol::SymbolId};

use super::Lowered;
use crate::ir::{
    BindingId, BindingKind, ClassId, ExprId, ExprKind, FunctionId, Language, Module, ModuleBuilder, Name,
    NameRef, Notice, ScopeId, ScopeKind, Span,
};

/// How deep brackets may be nested. Parsers call themselves for each; the stack of the threads that lower files fits this.
const BRACKETS: usize = 1_000;

/// How deep expressions and statements may be nested: long chains have no brackets.
const DEPTH: u32 = 2_000;

/// Lowers a file. It never fails; what was not understood is in the notices.
#[must_use]
pub fn lower(path: &str, source: Arc<str>) -> Lowered {
    let empty = |message: String, line: u32| {
        let builder = ModuleBuilder::new(path.to_owned(), Language::JavaScript, Arc::clone(&source));
        let notice = Notice { path: path.to_owned(), line, message };
        Lowered {
            module: builder.finish(crate::ir::Block::default()),
            notices: vec![notice],
            in_browser: false,
        }
    };
    if let Some(line) = super::too_deep(&source, BRACKETS) {
        return empty(format!("brackets are nested deeper than {BRACKETS}; the file was left out"), line);
    }
    with_trees(|trees| {
        let parsed = Parser::new(trees, &source, kind(path)).parse();
        if parsed.panicked {
            let message = parsed.diagnostics.iter().next().map_or_else(String::new, ToString::to_string);
            return empty(format!("syntax error: {message}; the file was left out"), 1);
        }
        let builder = ModuleBuilder::new(path.to_owned(), Language::JavaScript, Arc::clone(&source));
        if browser::is_for_browsers(path, &parsed.program, &source) {
            let module = builder.finish(crate::ir::Block::default());
            return Lowered { module, notices: Vec::new(), in_browser: true };
        }
        let semantic = SemanticBuilder::new().build(&parsed.program).semantic;
        let mut lower = Lower {
            builder,
            scoping: semantic.scoping(),
            source: &source,
            scopes: Vec::new(),
            symbols: Vec::new(),
            functions: vec![FunctionId::MODULE],
            classes: Vec::new(),
            depth: 0,
            cut: false,
        };
        lower.declare();
        for comment in &parsed.program.comments {
            lower.builder.comment(span(comment.span));
        }
        let mut notices = Vec::new();
        let module = lower.program(&parsed.program, &mut notices);
        Lowered { module, notices, in_browser: false }
    })
}

thread_local! {
    /// Where the parser puts the trees of a thread's files, one after the other: memory that is made anew for each costs more
    /// than reading a short file.
    static TREES: RefCell<Allocator> = RefCell::default();
}

/// The most bytes that are kept for the next file.
const KEPT: usize = 8 * 1024 * 1024;

/// Gives a parser the memory for one tree.
fn with_trees<T>(read: impl FnOnce(&Allocator) -> T) -> T {
    let mut trees = TREES.take();
    let read = read(&trees);
    trees.reset();
    if trees.capacity() <= KEPT {
        TREES.set(trees);
    }
    read
}

fn kind(path: &str) -> SourceType {
    let kind = SourceType::from_path(path).unwrap_or_default();
    // Flow and JSX in plain `.js` are common; JSX does no harm where there is none.
    if kind.is_javascript() { kind.with_jsx(true) } else { kind }
}

/// Parses and resolves names only; how many symbols there are.
pub(super) fn parse(path: &str, source: &str) -> Option<usize> {
    if super::too_deep(source, BRACKETS).is_some() {
        return None;
    }
    with_trees(|trees| {
        let parsed = Parser::new(trees, source, kind(path)).parse();
        let semantic = SemanticBuilder::new().build(&parsed.program).semantic;
        Some(semantic.scoping().symbols_len())
    })
}

/// A span of ours for one of oxc's.
fn span(span: oxc_span::Span) -> Span {
    Span::new(span.start, span.end)
}

/// The state of lowering one file.
struct Lower<'a> {
    builder: ModuleBuilder,
    scoping: &'a Scoping,
    source: &'a str,
    scopes: Vec<ScopeId>,
    symbols: Vec<BindingId>,
    functions: Vec<FunctionId>,
    classes: Vec<ClassId>,
    depth: u32,
    cut: bool,
}

impl<'a> Lower<'a> {
    /// Makes all scopes and bindings, so that uses before declarations find theirs.
    fn declare(&mut self) {
        let scoping = self.scoping;
        for scope in scoping.scope_descendants_from_root() {
            let id = match scoping.scope_parent_id(scope) {
                None => ScopeId::MODULE,
                Some(parent) => {
                    let parent = self.scopes.get(parent.index()).copied().unwrap_or(ScopeId::MODULE);
                    self.builder.scope(ScopeKind::Block, parent)
                }
            };
            self.scopes.push(id);
        }
        for symbol in scoping.symbol_ids() {
            let name = self.builder.name(scoping.symbol_name(symbol));
            let scope = self.scope_of(Some(scoping.symbol_scope_id(symbol)));
            let id =
                self.builder.binding(name, BindingKind::Variable, scope, span(scoping.symbol_span(symbol)));
            if let Some(binding) = self.builder.binding_mut(id) {
                binding.reassigned = scoping.symbol_is_mutated(symbol);
            }
            self.symbols.push(id);
        }
    }

    fn program(mut self, program: &ast::Program<'a>, notices: &mut Vec<Notice>) -> Module {
        let mut body = Vec::new();
        self.directives(&program.directives, &mut body);
        for statement in &program.body {
            self.statement(statement, &mut body);
        }
        if self.cut {
            notices.push(Notice {
                path: self.builder.module().path.clone(),
                line: 1,
                message: format!("code is nested deeper than {DEPTH}; the deepest parts were left out"),
            });
        }
        self.builder.finish(body.into())
    }

    fn function(&self) -> FunctionId {
        self.functions.last().copied().unwrap_or(FunctionId::MODULE)
    }

    fn scope_of(&self, scope: Option<OxcScope>) -> ScopeId {
        scope.and_then(|scope| self.scopes.get(scope.index()).copied()).unwrap_or(ScopeId::MODULE)
    }

    fn symbol(&self, symbol: Option<SymbolId>) -> Option<BindingId> {
        self.symbols.get(symbol?.index()).copied()
    }

    fn reference(&mut self, reference: Option<ReferenceId>, name: &str) -> NameRef {
        let symbol = reference.and_then(|id| self.scoping.get_reference(id).symbol_id());
        match self.symbol(symbol) {
            Some(binding) => NameRef::Binding(binding),
            None => NameRef::Global(self.builder.name(name)),
        }
    }

    fn add(&mut self, kind: ExprKind, at: oxc_span::Span) -> ExprId {
        self.builder.expr(kind, span(at))
    }

    fn text(&mut self, at: oxc_span::Span) -> Name {
        let text = self.source.get(at.start as usize..at.end as usize).unwrap_or("");
        self.builder.name(text)
    }

    fn type_text(&mut self, annotation: Option<&ast::TSTypeAnnotation<'a>>) -> Option<Name> {
        annotation.map(|annotation| self.object_type(&annotation.type_annotation, shapes::DEPTH))
    }

    fn set_kind(&mut self, binding: Option<BindingId>, kind: BindingKind) {
        if let Some(binding) = binding.and_then(|id| self.builder.binding_mut(id)) {
            binding.kind = kind;
        }
    }

    /// Goes one level deeper; false when it is too deep.
    fn deeper(&mut self) -> bool {
        self.depth += 1;
        let fits = self.depth < DEPTH;
        self.cut |= !fits;
        fits
    }
}
