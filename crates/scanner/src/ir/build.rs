//! What front ends make a module with.

use std::{cell::RefCell, sync::Arc};

use super::{
    BinaryOp, Binding, BindingId, BindingKind, Block, Class, ClassId, Export, ExprId, ExprKind, Function,
    FunctionId, FunctionKind, Import, Language, Lines, List, Module, Name, Scope, ScopeId, ScopeKind, Source,
    Span, StmtId, StmtKind,
    kinds::Rows,
    names::{Interned, Names},
    numbers::Spans,
    walked::Walked,
};

/// A module that is being made.
///
/// It starts with the module's own scope, with function 0 (the module itself, whose body is given to [`finish`]) and with
/// expression 0 (the missing one). Functions and classes are reserved before their bodies are lowered and set afterwards, so
/// that scopes can name them.
///
/// [`finish`]: ModuleBuilder::finish
#[derive(Debug)]
pub struct ModuleBuilder {
    module: Module,
    expr_spans: Vec<Span>,
    stmt_spans: Vec<Span>,
    interned: Interned,
}

/// The longest text that two texts with a `+` between are joined to, in bytes.
const LONGEST_JOINED: usize = 4096;

/// Room in which a module grows. A thread uses it for one file after the other, and what is kept of a file is as large as it has to
/// be: otherwise each list would be copied several times while it grows, into memory that is new each time.
#[derive(Debug, Default)]
struct Room {
    exprs: Vec<ExprKind>,
    expr_spans: Vec<Span>,
    stmts: Vec<StmtKind>,
    stmt_spans: Vec<Span>,
    bindings: Vec<Binding>,
    names: Names,
    interned: Interned,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// For how many expressions room is kept at most: what forgets the names of a file takes as long as its room is large.
const KEPT: usize = 1 << 17;

/// A list without room for more, and its room for the next one.
fn fitting<T>(mut list: Vec<T>) -> (Vec<T>, Vec<T>) {
    let mut fitting = Vec::with_capacity(list.len());
    fitting.append(&mut list);
    (fitting, list)
}

/// Arenas are counted in `u32`; sources beyond the size limit are never lowered, so that the limit is not met.
fn next(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl ModuleBuilder {
    /// Starts a module.
    #[must_use]
    pub fn new(path: String, language: Language, source: Arc<str>) -> Self {
        let span = Span::new(0, next(source.len()));
        let Room { mut exprs, mut expr_spans, stmts, stmt_spans, bindings, names, interned } = ROOM.take();
        exprs.push(ExprKind::Missing);
        expr_spans.push(Span::default());
        let module = Module {
            path,
            language,
            source: Source::kept(source),
            lines: Lines::default(),
            imports: Vec::new(),
            exports: Vec::new(),
            comments: Vec::new(),
            names,
            exprs,
            expr_spans: Spans::default(),
            kinds: Rows::default(),
            walked: Walked::default(),
            stmts,
            stmt_spans: Spans::default(),
            bindings,
            scopes: vec![Scope { kind: ScopeKind::Module, parent: None }],
            functions: vec![Function { kind: FunctionKind::Module, parent: None, ..empty_function(span) }],
            classes: Vec::new(),
            shapes: Vec::new(),
        };
        Self { module, expr_spans, stmt_spans, interned }
    }

    /// Adds a type of objects.
    pub fn shape(&mut self, shape: super::Shape) {
        self.module.shapes.push(shape);
    }

    /// Interns a text.
    pub fn name(&mut self, text: &str) -> Name {
        self.interned.name(&mut self.module.names, text)
    }

    /// Adds an expression. Two texts with a `+` between are one text.
    pub fn expr(&mut self, kind: ExprKind, span: Span) -> ExprId {
        let kind = match kind {
            ExprKind::Binary { op: BinaryOp::Add, left, right } => self.joined(left, right).unwrap_or(kind),
            kind => kind,
        };
        let id = ExprId(next(self.module.exprs.len()));
        self.module.exprs.push(kind);
        self.expr_spans.push(span);
        id
    }

    fn joined(&mut self, left: ExprId, right: ExprId) -> Option<ExprKind> {
        let text = |id: ExprId| match self.module.exprs.get(id.index())? {
            ExprKind::String(name) => Some(self.module.text(*name)),
            _ => None,
        };
        let (left, right) = (text(left)?, text(right)?);
        // Each piece of a long chain would be kept with all that stand before it.
        (left.len() + right.len() <= LONGEST_JOINED)
            .then(|| [left, right].concat())
            .map(|text| ExprKind::String(self.name(&text)))
    }

    /// Adds a statement.
    pub fn stmt(&mut self, kind: StmtKind, span: Span) -> StmtId {
        let id = StmtId(next(self.module.stmts.len()));
        self.module.stmts.push(kind);
        self.stmt_spans.push(span);
        id
    }

    /// Adds a scope.
    pub fn scope(&mut self, kind: ScopeKind, parent: ScopeId) -> ScopeId {
        let id = ScopeId(next(self.module.scopes.len()));
        self.module.scopes.push(Scope { kind, parent: Some(parent) });
        id
    }

    /// Changes what a scope is, for one that was made before its function or class.
    pub fn set_scope_kind(&mut self, id: ScopeId, kind: ScopeKind) {
        if let Some(scope) = self.module.scopes.get_mut(id.index()) {
            scope.kind = kind;
        }
    }

    /// Adds a binding.
    pub fn binding(&mut self, name: Name, kind: BindingKind, scope: ScopeId, span: Span) -> BindingId {
        let id = BindingId(next(self.module.bindings.len()));
        self.module.bindings.push(Binding { name, kind, scope, reassigned: false, type_text: None, span });
        id
    }

    /// A binding, to be completed.
    pub fn binding_mut(&mut self, id: BindingId) -> Option<&mut Binding> {
        self.module.bindings.get_mut(id.index())
    }

    /// Reserves a function.
    pub fn reserve_function(&mut self, span: Span) -> FunctionId {
        let id = FunctionId(next(self.module.functions.len()));
        self.module.functions.push(empty_function(span));
        id
    }

    /// Sets a reserved function.
    pub fn set_function(&mut self, id: FunctionId, function: Function) {
        if let Some(slot) = self.module.functions.get_mut(id.index()) {
            *slot = function;
        }
    }

    /// A function, to be completed: its class, its name.
    pub fn function_mut(&mut self, id: FunctionId) -> Option<&mut Function> {
        self.module.functions.get_mut(id.index())
    }

    /// Reserves a class.
    pub fn reserve_class(&mut self, span: Span) -> ClassId {
        let id = ClassId(next(self.module.classes.len()));
        self.module.classes.push(Class {
            name: None,
            binding: None,
            bases: List::default(),
            implements: List::default(),
            fields: List::default(),
            methods: List::default(),
            decorators: List::default(),
            parent: FunctionId::MODULE,
            scope: ScopeId::MODULE,
            span,
        });
        id
    }

    /// Sets a reserved class.
    pub fn set_class(&mut self, id: ClassId, class: Class) {
        if let Some(slot) = self.module.classes.get_mut(id.index()) {
            *slot = class;
        }
    }

    /// Adds an import and gives its index for [`BindingKind::Import`].
    pub fn import(&mut self, import: Import) -> u32 {
        let index = next(self.module.imports.len());
        self.module.imports.push(import);
        index
    }

    /// Adds an export.
    pub fn export(&mut self, export: Export) {
        self.module.exports.push(export);
    }

    /// Adds a comment.
    pub fn comment(&mut self, span: Span) {
        self.module.comments.push(span);
    }

    /// What was made so far.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Ends the module with its top-level code.
    #[must_use]
    pub fn finish(mut self, body: Block) -> Module {
        if let Some(function) = self.module.functions.get_mut(FunctionId::MODULE.index()) {
            function.body = body;
        }
        // Projects have many modules, and each would hold up to twice what it needs.
        let Self { mut module, mut expr_spans, mut stmt_spans, mut interned } = self;
        let mut room = Room::default();
        module.kinds = Rows::of(module.exprs.iter());
        (module.exprs, room.exprs) = fitting(module.exprs);
        (module.stmts, room.stmts) = fitting(module.stmts);
        (module.bindings, room.bindings) = fitting(module.bindings);
        (module.names, room.names) = module.names.fitting();
        module.expr_spans = Spans::of(&expr_spans);
        module.stmt_spans = Spans::of(&stmt_spans);
        expr_spans.clear();
        stmt_spans.clear();
        (room.expr_spans, room.stmt_spans) = (expr_spans, stmt_spans);
        module.classes.shrink_to_fit();
        module.shapes.shrink_to_fit();
        module.imports.shrink_to_fit();
        module.exports.shrink_to_fit();
        module.scopes.shrink_to_fit();
        module.functions.shrink_to_fit();
        module.comments.shrink_to_fit();
        module.walked = Walked::of(&module);
        interned.clear();
        room.interned = interned;
        if room.exprs.capacity() <= KEPT {
            ROOM.set(room);
        }
        module
    }
}

fn empty_function(span: Span) -> Function {
    Function {
        name: None,
        kind: FunctionKind::Plain,
        params: List::default(),
        body: List::default(),
        is_async: false,
        is_generator: false,
        decorators: List::default(),
        class: None,
        parent: Some(FunctionId::MODULE),
        scope: ScopeId::MODULE,
        binding: None,
        return_type: None,
        span,
        head: Span::new(span.start, span.start),
    }
}
