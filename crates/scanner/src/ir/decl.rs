//! Bindings, scopes, functions, classes, imports and exports.

use super::{BindingId, Block, ClassId, ExprId, FunctionId, List, Name, Pattern, ScopeId, Span};

/// A name that a module binds.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The name.
    pub name: Name,
    /// What it is.
    pub kind: BindingKind,
    /// Where it is bound.
    pub scope: ScopeId,
    /// Whether anything but its declaration assigns to it. `const` never; `let` and Python names only when it happens.
    pub reassigned: bool,
    /// Its type annotation, as written.
    pub type_text: Option<Name>,
    /// Where its name stands first.
    pub span: Span,
}

/// What a binding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingKind {
    /// An import: an index into [`super::Module::imports`].
    Import(u32),
    /// A variable.
    Variable,
    /// A parameter, or a name taken out of one by a pattern.
    Parameter(FunctionId),
    /// A function.
    Function(FunctionId),
    /// A class.
    Class(ClassId),
    /// The error of a `catch`.
    Caught,
    /// A type, namespace or anything else that holds no value of interest.
    Other,
}

/// A scope.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// What it is.
    pub kind: ScopeKind,
    /// The one around it; none for the module's.
    pub parent: Option<ScopeId>,
}

/// What a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    /// The module's.
    Module,
    /// A class body's.
    Class(ClassId),
    /// A function's.
    Function(FunctionId),
    /// A block's, a comprehension's.
    Block,
}

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Its name: as declared, or of the variable, property or field that it is the value of.
    pub name: Option<Name>,
    /// What it is.
    pub kind: FunctionKind,
    /// Its parameters, without `self` and `cls`.
    pub params: List<Parameter>,
    /// Its body; an arrow with an expression has one `return`.
    pub body: Block,
    /// Whether it is `async`.
    pub is_async: bool,
    /// Whether it yields.
    pub is_generator: bool,
    /// Its decorators, as expressions, the outermost first.
    pub decorators: List<ExprId>,
    /// The class that it is a member of.
    pub class: Option<ClassId>,
    /// The function around it; none for the module only.
    pub parent: Option<FunctionId>,
    /// Its scope.
    pub scope: ScopeId,
    /// The binding that a declaration makes.
    pub binding: Option<BindingId>,
    /// The type of what it returns, as written.
    pub return_type: Option<Name>,
    /// All of it.
    pub span: Span,
    /// Where its name or its head stands.
    pub head: Span,
}

/// What a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    /// The module itself.
    Module,
    /// A function that stands on its own, a method of an object literal.
    Plain,
    /// An arrow or lambda: `this` is that of the function around it.
    Arrow,
    /// A method of a class.
    Method,
    /// A constructor, `__init__`.
    Constructor,
    /// A getter, a Python property.
    Getter,
    /// A setter.
    Setter,
    /// A static method.
    Static,
    /// A class method: `this` is the class.
    ClassMethod,
    /// A static block of a class, or the statements of a Python class body that are no fields.
    ClassBody,
}

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name, when it is one name.
    pub name: Option<Name>,
    /// What it binds.
    pub pattern: Pattern,
    /// How it is passed.
    pub kind: ParameterKind,
    /// Its value when none is passed.
    pub default: Option<ExprId>,
    /// Whether it may be left out without a default: `x?`.
    pub optional: bool,
    /// Its type, as written.
    pub type_text: Option<Name>,
    /// Its type as an expression: Python only, for `Annotated[User, Depends(current_user)]`.
    pub annotation: Option<ExprId>,
    /// Its decorators.
    pub decorators: List<ExprId>,
    /// Whether a constructor stores it as a field of the same name: `private db: Db`.
    pub is_field: bool,
    /// Where it stands.
    pub span: Span,
}

/// How a parameter is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// By place or by name.
    Normal,
    /// By name only.
    KeywordOnly,
    /// `...rest`, `*args`.
    Rest,
    /// `**kwargs`.
    KeywordRest,
}

/// A class.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: Option<Name>,
    /// The binding that a declaration makes.
    pub binding: Option<BindingId>,
    /// What it extends, and Python's keyword arguments behind them.
    pub bases: List<ExprId>,
    /// The interfaces that it implements, as written without their arguments: TypeScript.
    pub implements: List<Name>,
    /// Its fields, also those that a constructor's parameters declare (without a value).
    pub fields: List<Field>,
    /// Its methods, constructor, getters and setters.
    pub methods: List<FunctionId>,
    /// Its decorators.
    pub decorators: List<ExprId>,
    /// The function that it stands in.
    pub parent: FunctionId,
    /// Its scope.
    pub scope: ScopeId,
    /// All of it.
    pub span: Span,
}

/// A field of a class.
#[derive(Debug)]
pub struct Field {
    /// Its name; private ones keep their `#`.
    pub name: Name,
    /// Its first value.
    pub value: Option<ExprId>,
    /// Whether the class holds it, not an instance. A Python class variable is static unless the class is a dataclass, a
    /// model or has only an annotation.
    pub is_static: bool,
    /// Its type, as written.
    pub type_text: Option<Name>,
    /// Its decorators.
    pub decorators: List<ExprId>,
    /// The binding in the class's scope: Python.
    pub binding: Option<BindingId>,
    /// Where it stands.
    pub span: Span,
}

/// An import of one name.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// Where from, as written: `./db.js`, `pg`, `.models`, `..`, `a.b`. Python's relative dots are part of it.
    pub specifier: Name,
    /// What is imported.
    pub kind: ImportKind,
    /// What it is bound to. `import a.b` of Python binds `a` and has the specifier `a`.
    pub binding: Option<BindingId>,
    /// Whether it is for types only (`import type`, `if TYPE_CHECKING`).
    pub type_only: bool,
    /// Where it stands.
    pub span: Span,
}

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// The default export.
    Default,
    /// All exports as one object: `import * as x`, `import x` of Python, `const x = require(…)`.
    Namespace,
    /// One export: `{ a as b }`, `from m import a as b`, `const { a: b } = require(…)`.
    Named(Name),
    /// All exports as names: `from m import *`.
    Star,
    /// Nothing: for its effect.
    Effect,
}

/// An export.
#[derive(Debug, Clone, Copy)]
pub struct Export {
    /// The name outside; `default` for the default export, [`Export::WHOLE`] for what `module.exports` is.
    pub name: Name,
    /// What it is.
    pub kind: ExportKind,
}

impl Export {
    /// The name of the export that is the whole of a CommonJS module: `module.exports = value`. When the value is an object
    /// literal, its properties are exports of their own as well.
    pub const WHOLE: &'static str = "module.exports";
}

/// What an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// A binding.
    Binding(BindingId),
    /// A value.
    Value(ExprId),
    /// An export of another module.
    From {
        /// The other module.
        specifier: Name,
        /// Its export; none for all of it as one object.
        name: Option<Name>,
    },
    /// All exports of another module; the name is `*`.
    All {
        /// The other module.
        specifier: Name,
    },
}
