//! The language-neutral program form that front ends lower to and everything else reads.
//!
//! One [`Module`] is one source file. Its parts live in arenas and name each other by small ids, so that a module costs a
//! few times its source. Rules see this form, never a parser's tree, and so are written once for all languages.
//!
//! What a front end promises:
//!
//! - **Names are resolved.** A use of a name is [`NameRef::Binding`] when the module binds it, in any scope, else
//!   [`NameRef::Global`]. Shadowing, hoisting, `global` and `nonlocal` are the front end's work.
//! - **Children stand in evaluation order**, so that a walk meets awaits in the order in which they happen.
//! - **Function 0 is the module itself** ([`FunctionId::MODULE`]): its body is the top-level code.
//! - **`self` is [`ExprKind::This`]**: the first parameter of a Python instance method is left out of `params` and its
//!   uses are lowered to `This` (so are uses in closures inside of the method); `cls` of a class method likewise.
//! - **Lowering never fails.** What is not understood becomes [`ExprKind::Missing`] with the lowered parts it had kept as
//!   [`ExprKind::Sequence`], and a notice says why.
//! - Parentheses, type assertions, `satisfies`, non-null `!` and JSX wrappers vanish; JSX becomes a sequence of its parts.
//! - `undefined`, `null` and `None` are [`ExprKind::Null`]; `==` and `===` are one comparison, and so are `is` and `==`.

mod build;
mod decl;
pub mod dump;
mod expr;
mod kinds;
mod lines;
mod list;
mod names;
mod numbers;
mod pattern;
mod shape;
mod source;
mod stmt;
pub mod walk;
mod walked;

pub use build::ModuleBuilder;
pub use decl::{
    Binding, BindingKind, Class, Export, ExportKind, Field, Function, FunctionKind, Import, ImportKind,
    Parameter, ParameterKind, Scope, ScopeKind,
};
pub use expr::{
    Arg, ArgKind, ArrayKind, BinaryOp, Call, Clause, CompareOp, Comprehension, ComprehensionKind, ExprKind,
    LogicalOp, NameRef, Property, PropertyKey, TemplatePart, UnaryOp,
};
pub use kinds::Kinds;
pub use lines::{Lines, Position};
pub use list::List;
pub(crate) use names::Texts;
pub(crate) use numbers::Numbers;
pub use pattern::{Pattern, PatternProperty};
pub use shape::Shape;
pub use source::{Again, Source};
pub use stmt::{After, Block, Case, Handler, Steps, StmtKind};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index into its arena.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// An expression of a module.
    ExprId
    /// A statement of a module.
    StmtId
    /// A name that a module binds: a variable, parameter, import, function or class.
    BindingId
    /// A function of a module; 0 is the module itself.
    FunctionId
    /// A class of a module.
    ClassId
    /// A scope of a module; 0 is the module's own.
    ScopeId
    /// An interned text of a module. Equal texts of one module have equal ids; compare texts across modules.
    Name
}

impl FunctionId {
    /// The module itself as a function: its top-level code.
    pub const MODULE: Self = Self(0);
}

impl ScopeId {
    /// The module's own scope.
    pub const MODULE: Self = Self(0);
}

impl ExprId {
    /// The expression that stands where there is none; every module has it.
    pub const MISSING: Self = Self(0);
}

/// A piece of source text, in bytes; `start` is inclusive, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte behind the last.
    pub end: u32,
}

impl Span {
    /// A span from `start` up to `end`.
    #[must_use]
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// Whether `other` lies inside.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// The language a module is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// JavaScript and TypeScript, with or without JSX.
    JavaScript,
    /// Python.
    Python,
}

/// Something that was not understood: a syntax error, a depth or size limit, bytes that are no UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The file, as it is named in findings.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
    /// What was not understood, and what was done instead.
    pub message: String,
}

/// One source file.
#[derive(Debug)]
pub struct Module {
    /// The path as it is named in findings: relative to the scanned root, with `/`.
    pub path: String,
    /// The language.
    pub language: Language,
    /// The text.
    pub source: Source,
    /// Where lines begin.
    pub lines: Lines,
    /// What it imports, in source order, also inside of functions.
    pub imports: Vec<Import>,
    /// What it exports. In Python every binding of the module's scope is one.
    pub exports: Vec<Export>,
    /// Comments, in source order, with their marks (`//`, `/*`, `#`).
    pub comments: Vec<Span>,
    pub(crate) names: names::Names,
    pub(crate) exprs: Vec<ExprKind>,
    expr_spans: numbers::Spans,
    /// What each expression is.
    kinds: kinds::Rows,
    pub(crate) stmts: Vec<StmtKind>,
    stmt_spans: numbers::Spans,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) functions: Vec<Function>,
    pub(crate) classes: Vec<Class>,
    /// Its types of objects: TypeScript.
    pub(crate) shapes: Vec<Shape>,
    /// What functions have in them.
    walked: walked::Walked,
}

static MISSING: ExprKind = ExprKind::Missing;
static EMPTY: StmtKind = StmtKind::Empty;

impl Module {
    /// The text of an interned name; empty for an id of another module.
    #[must_use]
    #[inline]
    pub fn text(&self, name: Name) -> &str {
        self.names.get(name).unwrap_or_default()
    }

    /// An expression.
    #[must_use]
    #[inline]
    pub fn expr(&self, id: ExprId) -> &ExprKind {
        self.exprs.get(id.index()).unwrap_or(&MISSING)
    }

    /// Where an expression stands.
    #[must_use]
    #[inline]
    pub fn span(&self, id: ExprId) -> Span {
        self.expr_spans.get(id.index()).unwrap_or_default()
    }

    /// A statement.
    #[must_use]
    #[inline]
    pub fn stmt(&self, id: StmtId) -> &StmtKind {
        self.stmts.get(id.index()).unwrap_or(&EMPTY)
    }

    /// Where a statement stands.
    #[must_use]
    #[inline]
    pub fn stmt_span(&self, id: StmtId) -> Span {
        self.stmt_spans.get(id.index()).unwrap_or_default()
    }

    /// A binding.
    #[must_use]
    #[inline]
    pub fn binding(&self, id: BindingId) -> Option<&Binding> {
        self.bindings.get(id.index())
    }

    /// The name of a binding; empty for an id of another module.
    #[must_use]
    #[inline]
    pub fn binding_name(&self, id: BindingId) -> &str {
        self.binding(id).map_or("", |binding| self.text(binding.name))
    }

    /// Whether one of the names of a module has one of these texts in it, in small or capital letters.
    #[must_use]
    pub fn has_name_with(&self, texts: &[&str]) -> bool {
        self.names.mention(texts)
    }

    /// All texts of names and strings in it.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.names.iter()
    }

    /// Whether one of its names is one of some texts.
    #[must_use]
    pub fn has_name(&self, texts: &[&str]) -> bool {
        self.names.have(texts)
    }

    /// A scope.
    #[must_use]
    #[inline]
    pub fn scope(&self, id: ScopeId) -> Option<&Scope> {
        self.scopes.get(id.index())
    }

    /// A function.
    #[must_use]
    #[inline]
    pub fn function(&self, id: FunctionId) -> Option<&Function> {
        self.functions.get(id.index())
    }

    /// A class.
    #[must_use]
    #[inline]
    pub fn class(&self, id: ClassId) -> Option<&Class> {
        self.classes.get(id.index())
    }

    /// All functions with their ids; the first is the module itself.
    pub fn functions(&self) -> impl Iterator<Item = (FunctionId, &Function)> {
        (0..).map(FunctionId).zip(&self.functions)
    }

    /// All classes with their ids.
    pub fn classes(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        (0..).map(ClassId).zip(&self.classes)
    }

    /// All bindings with their ids.
    pub fn bindings(&self) -> impl Iterator<Item = (BindingId, &Binding)> {
        (0..).map(BindingId).zip(&self.bindings)
    }

    /// All expressions with their ids, in the order in which they were lowered.
    pub fn exprs(&self) -> impl Iterator<Item = (ExprId, &ExprKind)> {
        (0..).map(ExprId).zip(&self.exprs)
    }

    /// The expressions of some kinds with their ids, in the order in which they were lowered.
    pub fn exprs_of(&self, kinds: Kinds) -> impl Iterator<Item = (ExprId, &ExprKind)> {
        self.kinds.numbers(kinds).filter_map(|number| {
            let id = ExprId(number);
            self.exprs.get(id.index()).map(|expr| (id, expr))
        })
    }

    /// All statements with their ids, in the order in which they were lowered.
    pub fn stmts(&self) -> impl Iterator<Item = (StmtId, &StmtKind)> {
        (0..).map(StmtId).zip(&self.stmts)
    }

    /// The source text of a span; empty when it does not lie in the source.
    #[must_use]
    #[inline]
    pub fn snippet(&self, span: Span) -> &str {
        self.source.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Line and column of a byte.
    #[must_use]
    pub fn position(&self, byte: u32) -> Position {
        self.lines.position(&self.source, byte)
    }

    /// The function whose code a binding's scope belongs to; the module for module and class scopes at the top.
    #[must_use]
    pub fn binding_function(&self, id: BindingId) -> FunctionId {
        let mut scope = self.binding(id).map(|binding| binding.scope);
        // Scopes form a tree, so the number of scopes bounds the way up.
        for _ in 0..=self.scopes.len() {
            let Some(here) = scope.and_then(|id| self.scope(id)) else { break };
            if let ScopeKind::Function(function) = here.kind {
                return function;
            }
            scope = here.parent;
        }
        FunctionId::MODULE
    }

    /// Whether a binding lives as long as the process: it belongs to the module, or to a class at the top.
    #[must_use]
    pub fn is_module_level(&self, id: BindingId) -> bool {
        self.binding_function(id) == FunctionId::MODULE
    }
}
