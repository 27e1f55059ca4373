//! Python's scopes: a name that a function assigns is local to all of it; class scopes are not seen from functions inside.

use std::collections::{HashMap, hash_map::Entry};

use ruff_python_ast::Stmt;
use ruff_text_size::TextRange;

use super::{Lower, collect, span};
use crate::ir::{BindingId, BindingKind, ExprKind, Name, NameRef, Pattern, ScopeId};

/// What a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The module's.
    Module,
    /// A class body's.
    Class,
    /// A function's or lambda's.
    Function,
    /// A comprehension's.
    Comprehension,
}

/// What a name of a scope is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    /// A binding.
    Binding(BindingId),
    /// The object or class of a method.
    This,
}

/// An open scope.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) scope: ScopeId,
    pub(super) names: HashMap<String, Slot>,
}

impl Lower<'_> {
    /// Opens a scope and binds what its statements bind.
    pub(super) fn enter(&mut self, kind: FrameKind, scope: ScopeId, body: &[Stmt]) {
        let found = collect::names(body);
        let mut names = HashMap::new();
        for name in &found.global {
            let id = self.module_binding(name);
            names.insert(name.clone(), Slot::Binding(id));
        }
        for name in &found.nonlocal {
            if let Some(slot) = self.lookup(name) {
                names.insert(name.clone(), slot);
            }
        }
        for (name, range) in found.own {
            if let Entry::Vacant(free) = names.entry(name) {
                let id = self.bind(free.key(), BindingKind::Variable, scope, range);
                free.insert(Slot::Binding(id));
            }
        }
        self.frames.push(Frame { kind, scope, names });
    }

    pub(super) fn leave(&mut self) {
        self.frames.pop();
    }

    pub(super) fn bind(
        &mut self,
        name: &str,
        kind: BindingKind,
        scope: ScopeId,
        range: TextRange,
    ) -> BindingId {
        let name = self.builder.name(name);
        self.builder.binding(name, kind, scope, span(range))
    }

    /// The binding of a name in the module, made if it is only assigned in functions.
    fn module_binding(&mut self, name: &str) -> BindingId {
        if let Some(Slot::Binding(id)) = self.frames.first().and_then(|frame| frame.names.get(name)) {
            return *id;
        }
        let id = self.bind(name, BindingKind::Variable, ScopeId::MODULE, TextRange::default());
        if let Some(frame) = self.frames.first_mut() {
            frame.names.insert(name.to_owned(), Slot::Binding(id));
        }
        id
    }

    /// Adds a name to the innermost scope.
    pub(super) fn insert(&mut self, name: &str, slot: Slot) {
        if let Some(frame) = self.frames.last_mut() {
            frame.names.insert(name.to_owned(), slot);
        }
    }

    /// What a name is where it is used.
    pub(super) fn lookup(&self, name: &str) -> Option<Slot> {
        let mut inside = false;
        for frame in self.frames.iter().rev() {
            // A class's names are seen from its own body only, and from comprehensions' outermost iterators, which is rare.
            if frame.kind == FrameKind::Class && inside {
                continue;
            }
            if let Some(slot) = frame.names.get(name) {
                return Some(*slot);
            }
            inside |= frame.kind == FrameKind::Function;
        }
        None
    }

    pub(super) fn name_kind(&mut self, name: &str) -> ExprKind {
        match self.lookup(name) {
            Some(Slot::Binding(id)) => ExprKind::Name(NameRef::Binding(id)),
            Some(Slot::This) => ExprKind::This,
            None => ExprKind::Name(NameRef::Global(self.builder.name(name))),
        }
    }

    /// The pattern of a name that is assigned to.
    pub(super) fn name_pattern(&mut self, name: &str, range: TextRange) -> Pattern {
        match self.lookup(name) {
            Some(Slot::Binding(id)) => {
                *self.stores.entry(id).or_default() += 1;
                Pattern::Binding(id)
            }
            _ => {
                let kind = self.name_kind(name);
                Pattern::Place(self.add(kind, range))
            }
        }
    }

    /// The binding that the innermost scope has for a name.
    pub(super) fn own(&self, name: &str) -> Option<BindingId> {
        match self.frames.last()?.names.get(name)? {
            Slot::Binding(id) => Some(*id),
            Slot::This => None,
        }
    }

    pub(super) fn scope(&self) -> ScopeId {
        self.frames.last().map_or(ScopeId::MODULE, |frame| frame.scope)
    }

    pub(super) fn set_kind(&mut self, binding: Option<BindingId>, kind: BindingKind) {
        if let Some(id) = binding {
            *self.stores.entry(id).or_default() += 1;
            if let Some(binding) = self.builder.binding_mut(id) {
                binding.kind = kind;
            }
        }
    }

    pub(super) fn set_type(&mut self, binding: Option<BindingId>, type_text: Name) {
        if let Some(binding) = binding.and_then(|id| self.builder.binding_mut(id)) {
            binding.type_text = Some(type_text);
        }
    }
}
