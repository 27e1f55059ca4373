//! Expressions.

use super::{BindingId, ClassId, ExprId, FunctionId, List, Name, Pattern};

/// What an expression is. Children stand in evaluation order.
#[derive(Debug)]
pub enum ExprKind {
    /// Nothing, or something that was not understood.
    Missing,
    /// A string literal, unquoted. A regular expression is one too, with its slashes.
    String(Name),
    /// A number literal, as written.
    Number(Name),
    /// `true` or `false`.
    Bool(bool),
    /// `null`, `undefined`, `None`.
    Null,
    /// A template or f-string, or a `%` or `.format` formatting of a literal.
    Template(List<TemplatePart>),
    /// A tagged template: the tag is called with the parts.
    Tagged {
        /// What is called.
        tag: ExprId,
        /// The template.
        parts: List<TemplatePart>,
    },
    /// A use of a name.
    Name(NameRef),
    /// `this`; `self` and `cls` of a Python method.
    This,
    /// `super`, and `super()` of Python.
    Super,
    /// `object.property`. Private names keep their `#`.
    Member {
        /// What it is read from.
        object: ExprId,
        /// The property.
        property: Name,
        /// Whether it is `?.`.
        optional: bool,
    },
    /// `object[index]`.
    Index {
        /// What it is read from.
        object: ExprId,
        /// The index; a slice is a [`ExprKind::Sequence`].
        index: ExprId,
        /// Whether it is `?.[`.
        optional: bool,
    },
    /// A call, or `new`.
    Call(Box<Call>),
    /// `await value`.
    Await(ExprId),
    /// `yield value`.
    Yield {
        /// What is given out.
        value: Option<ExprId>,
        /// Whether it is `yield*` or `yield from`.
        delegate: bool,
    },
    /// An object literal or dict.
    Object(List<Property>),
    /// A list, tuple or set.
    Array {
        /// Its items; a spread one is [`ExprKind::Spread`], a hole is [`ExprId::MISSING`].
        items: List<ExprId>,
        /// What it is.
        kind: ArrayKind,
    },
    /// `...value` or `*value` inside of an array.
    Spread(ExprId),
    /// A function, arrow, lambda.
    Function(FunctionId),
    /// A class.
    Class(ClassId),
    /// `test ? then : otherwise`.
    Conditional {
        /// What decides.
        test: ExprId,
        /// The value when it holds.
        then: ExprId,
        /// The value when it does not.
        otherwise: ExprId,
    },
    /// `&&`, `||`, `??`; `a or b or c` is folded to the left.
    Logical {
        /// Which.
        op: LogicalOp,
        /// Evaluated first.
        left: ExprId,
        /// Evaluated when the first does not decide.
        right: ExprId,
    },
    /// An operator with one operand.
    Unary {
        /// Which.
        op: UnaryOp,
        /// The operand.
        operand: ExprId,
    },
    /// An operator with two operands.
    Binary {
        /// Which.
        op: BinaryOp,
        /// The left operand.
        left: ExprId,
        /// The right operand.
        right: ExprId,
    },
    /// A comparison; `a < b < c` is a logical and of two.
    Compare {
        /// Which.
        op: CompareOp,
        /// The left operand.
        left: ExprId,
        /// The right operand.
        right: ExprId,
    },
    /// An assignment that is used as a value, a walrus, and `x++` (its value is then a [`ExprKind::Binary`]).
    Assign {
        /// What is assigned to.
        target: Box<Pattern>,
        /// For `+=` and its like the operator; `||=` and `??=` have `logical`.
        op: Option<BinaryOp>,
        /// For `||=`, `&&=` and `??=`.
        logical: Option<LogicalOp>,
        /// The value.
        value: ExprId,
    },
    /// A comprehension or generator expression.
    Comprehension(Box<Comprehension>),
    /// Several expressions of which the last is the value: a comma, JSX, parts of something not understood.
    Sequence(List<ExprId>),
    /// `import(specifier)`, and a `require` that binds no name.
    Import(ExprId),
}

/// There are very many expressions.
const _: () = assert!(size_of::<ExprKind>() <= 16);

/// A part of a template.
#[derive(Debug)]
pub enum TemplatePart {
    /// Text, unescaped.
    Text(Name),
    /// A value.
    Value(ExprId),
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameRef {
    /// Something that this module binds.
    Binding(BindingId),
    /// A global or built-in name.
    Global(Name),
}

/// A call.
#[derive(Debug)]
pub struct Call {
    /// What is called.
    pub callee: ExprId,
    /// With what.
    pub args: List<Arg>,
    /// Whether it is `new`. A Python class is called without.
    pub is_new: bool,
    /// Whether it is `?.(`.
    pub optional: bool,
}

impl Call {
    /// The positional argument at `index`, counted up to the first spread one.
    #[must_use]
    pub fn positional(&self, index: usize) -> Option<ExprId> {
        let plain = self.args.iter().take_while(|arg| !matches!(arg.kind, ArgKind::Spread));
        plain.filter(|arg| matches!(arg.kind, ArgKind::Positional)).nth(index).map(|arg| arg.value)
    }
}

/// An argument of a call.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// How it is passed.
    pub kind: ArgKind,
    /// The value.
    pub value: ExprId,
}

/// How an argument is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// By place.
    Positional,
    /// By name.
    Keyword(Name),
    /// `...value`, `*value`.
    Spread,
    /// `**value`.
    KeywordSpread,
}

/// A property of an object literal or dict.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its key.
    pub key: PropertyKey,
    /// Its value; a method is a [`ExprKind::Function`].
    pub value: ExprId,
}

/// The key of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyKey {
    /// A name or a literal string or number.
    Name(Name),
    /// A computed key.
    Computed(ExprId),
    /// `...value`, `**value`.
    Spread,
}

/// What an array is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayKind {
    /// An array or list.
    List,
    /// A tuple.
    Tuple,
    /// A set.
    Set,
}

/// A logical operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogicalOp {
    /// `&&`, `and`.
    And,
    /// `||`, `or`.
    Or,
    /// `??`.
    Nullish,
}

/// An operator with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `!`, `not`.
    Not,
    /// `-`, `+`, `~`.
    Arithmetic,
    /// `typeof`.
    TypeOf,
    /// `void`.
    Void,
    /// `delete`.
    Delete,
}

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`.
    Add,
    /// `|`, which also merges dicts and combines filters.
    BitOr,
    /// `&`, which also combines filters.
    BitAnd,
    /// `%` of something that is no string literal.
    Rem,
    /// Any other.
    Other,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`, `===`, `is`.
    Eq,
    /// `!=`, `!==`, `is not`.
    NotEq,
    /// `<`, `<=`, `>`, `>=`.
    Order,
    /// `in`.
    In,
    /// `not in`.
    NotIn,
    /// `instanceof`.
    InstanceOf,
}

/// A comprehension or generator expression.
#[derive(Debug)]
pub struct Comprehension {
    /// What it makes.
    pub kind: ComprehensionKind,
    /// Its loops, the outermost first.
    pub clauses: List<Clause>,
    /// For a dict, the key.
    pub key: Option<ExprId>,
    /// The element, or a dict's value.
    pub element: ExprId,
}

/// What a comprehension makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComprehensionKind {
    /// A list.
    List,
    /// A set.
    Set,
    /// A dict.
    Dict,
    /// A generator.
    Generator,
}

/// One `for` of a comprehension.
#[derive(Debug)]
pub struct Clause {
    /// What is run through.
    pub iter: ExprId,
    /// What is bound.
    pub target: Pattern,
    /// Its `if`s.
    pub conditions: List<ExprId>,
    /// Whether it is `async for`.
    pub is_async: bool,
}
