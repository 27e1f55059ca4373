//! Python: source text to the program form, with ruff's parser and a binder of our own.

mod collect;
mod decl;
mod expr;
mod scopes;
mod stmt;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use ruff_python_ast::{PySourceType, token::TokenKind};
use ruff_python_parser::parse_unchecked_source;
use ruff_text_size::{Ranged, TextRange};

use self::scopes::{Frame, FrameKind};
use super::Lowered;
use crate::ir::{
    BindingId, ClassId, Export, ExportKind, ExprId, ExprKind, FunctionId, Language, ModuleBuilder, Name,
    Notice, ScopeId, Span,
};

/// How deep brackets may be nested. The parser calls itself for each; the stack of the threads that lower files fits this.
const BRACKETS: usize = 1_000;

/// How deep expressions and statements may be nested: long chains have no brackets.
const DEPTH: u32 = 2_000;

/// Parses only; how many tokens there are.
pub(super) fn parse(source: &str) -> Option<usize> {
    if super::too_deep(source, BRACKETS).is_some() {
        return None;
    }
    Some(parse_unchecked_source(source, PySourceType::Python).tokens().len())
}

/// Lowers a file. It never fails; what was not understood is in the notices.
#[must_use]
pub fn lower(path: &str, source: Arc<str>) -> Lowered {
    let builder = ModuleBuilder::new(path.to_owned(), Language::Python, Arc::clone(&source));
    if let Some(line) = super::too_deep(&source, BRACKETS) {
        let message = format!("brackets are nested deeper than {BRACKETS}; the file was left out");
        let notice = Notice { path: path.to_owned(), line, message };
        return Lowered {
            module: builder.finish(crate::ir::Block::default()),
            notices: vec![notice],
            in_browser: false,
        };
    }
    let parsed = parse_unchecked_source(&source, PySourceType::Python);
    let mut lower = Lower {
        builder,
        source: &source,
        frames: Vec::new(),
        functions: vec![FunctionId::MODULE],
        classes: Vec::new(),
        stores: HashMap::new(),
        depth: 0,
        cut: false,
        type_checking: false,
    };
    for token in parsed.tokens().iter().filter(|token| token.kind() == TokenKind::Comment) {
        lower.builder.comment(span(token.range()));
    }
    let body = &parsed.syntax().body;
    lower.enter(FrameKind::Module, ScopeId::MODULE, body);
    let mut out = Vec::new();
    lower.statements(body, &mut out);
    lower.export_names();
    lower.mark_reassigned();
    let mut notices = Vec::new();
    if let Some(error) = parsed.errors().first() {
        let line = lower.builder.module().position(error.location.start().to_u32()).line;
        let message = format!("syntax error: {}; the rest was read as well as it goes", error.error);
        notices.push(Notice { path: path.to_owned(), line, message });
    }
    if lower.cut {
        let message = format!("code is nested deeper than {DEPTH}; the deepest parts were left out");
        notices.push(Notice { path: path.to_owned(), line: 1, message });
    }
    Lowered { module: lower.builder.finish(out.into()), notices, in_browser: false }
}

/// A span of ours for one of ruff's.
fn span(range: TextRange) -> Span {
    Span::new(range.start().to_u32(), range.end().to_u32())
}

/// The state of lowering one file.
struct Lower<'a> {
    builder: ModuleBuilder,
    source: &'a str,
    frames: Vec<Frame>,
    functions: Vec<FunctionId>,
    classes: Vec<ClassId>,
    stores: HashMap<BindingId, u32>,
    depth: u32,
    cut: bool,
    type_checking: bool,
}

impl Lower<'_> {
    fn function(&self) -> FunctionId {
        self.functions.last().copied().unwrap_or(FunctionId::MODULE)
    }

    fn add(&mut self, kind: ExprKind, at: impl Ranged) -> ExprId {
        self.builder.expr(kind, span(at.range()))
    }

    fn text(&mut self, at: impl Ranged) -> Name {
        let at = span(at.range());
        let text = self.source.get(at.start as usize..at.end as usize).unwrap_or("");
        self.builder.name(text)
    }

    /// Goes one level deeper; false when it is too deep.
    fn deeper(&mut self) -> bool {
        self.depth += 1;
        let fits = self.depth < DEPTH;
        self.cut |= !fits;
        fits
    }

    /// Every name of the module can be imported.
    fn export_names(&mut self) {
        let module = self.builder.module();
        let own: Vec<(Name, BindingId)> = module
            .bindings()
            .filter(|(_, binding)| binding.scope == ScopeId::MODULE)
            .map(|(id, binding)| (binding.name, id))
            .collect();
        for (name, id) in own {
            self.builder.export(Export { name, kind: ExportKind::Binding(id) });
        }
    }

    #[expect(
        clippy::iter_over_hash_type,
        reason = "each turn sets another binding, so that the order is nothing"
    )]
    fn mark_reassigned(&mut self) {
        for (id, count) in std::mem::take(&mut self.stores) {
            if let Some(binding) = self.builder.binding_mut(id).filter(|_| count > 1) {
                binding.reassigned = true;
            }
        }
    }
}
