//! Statements.

use super::{BinaryOp, ClassId, ExprId, FunctionId, List, LogicalOp, Pattern, StmtId};

/// Statements in order.
pub type Block = List<StmtId>;

/// What a statement is.
#[derive(Debug)]
pub enum StmtKind {
    /// Nothing.
    Empty,
    /// An expression for its effect.
    Expr(ExprId),
    /// An assignment or a declaration with a value; one for each declarator.
    Assign {
        /// What is assigned to. `a = b = c` is two statements.
        target: Pattern,
        /// For `+=` and its like the operator.
        op: Option<BinaryOp>,
        /// For `||=`, `&&=` and `??=`.
        logical: Option<LogicalOp>,
        /// The value; [`ExprId::MISSING`] for a declaration without one.
        value: ExprId,
        /// Whether it declares its bindings (`const`, `let`, `var`; the first assignment of a Python scope).
        declares: bool,
    },
    /// A branch.
    If {
        /// What decides.
        test: ExprId,
        /// When it holds.
        then: Block,
        /// When it does not.
        otherwise: Block,
    },
    /// `while`, `do … while`.
    While {
        /// Whether to go on.
        test: ExprId,
        /// What is repeated.
        body: Block,
        /// Whether the body comes first.
        body_first: bool,
    },
    /// A counting loop.
    For {
        /// Before the first turn.
        init: Block,
        /// What stands behind it.
        steps: Box<Steps>,
        /// What is repeated.
        body: Block,
    },
    /// A loop over a collection.
    ForEach {
        /// What is bound.
        target: Box<Pattern>,
        /// What is run through.
        iter: ExprId,
        /// What is repeated.
        body: Block,
        /// Python's `else`.
        otherwise: Block,
        /// Whether it is `for await`, `async for`.
        is_async: bool,
        /// Whether it runs through keys: `for … in` of JavaScript.
        keys: bool,
    },
    /// `return`.
    Return(Option<ExprId>),
    /// `throw`, `raise`.
    Throw(Option<ExprId>),
    /// `try`.
    Try {
        /// What is tried.
        body: Block,
        /// What happens on an error.
        handlers: List<Handler>,
        /// What comes behind.
        after: Box<After>,
    },
    /// `with`; a `using` declaration is one whose body is the rest of its block.
    With {
        /// What is entered, and what it is bound to.
        items: List<(ExprId, Option<Pattern>)>,
        /// What runs inside.
        body: Block,
        /// Whether entering and leaving wait.
        is_async: bool,
    },
    /// `switch`, `match`.
    Switch {
        /// What decides.
        subject: ExprId,
        /// The cases in order.
        cases: List<Case>,
        /// Whether a case runs into the next one when it does not leave.
        falls_through: bool,
    },
    /// `break`.
    Break,
    /// `continue`.
    Continue,
    /// A function declaration.
    Function(FunctionId),
    /// A class declaration.
    Class(ClassId),
    /// Statements in a scope of their own.
    Block(Block),
    /// `del`. JavaScript's `delete` is an operator.
    Delete(List<ExprId>),
    /// `assert`.
    Assert {
        /// What must hold.
        test: ExprId,
        /// What is said if it does not.
        message: Option<ExprId>,
    },
}

/// There are many statements.
const _: () = assert!(size_of::<StmtKind>() <= 32);

/// The head of a counting loop.
#[derive(Debug)]
pub struct Steps {
    /// Whether to go on.
    pub test: Option<ExprId>,
    /// After each turn.
    pub update: Option<ExprId>,
}

/// What comes behind what is tried and what happens on an error.
#[derive(Debug, Default)]
pub struct After {
    /// Python's `else`.
    pub otherwise: Block,
    /// What happens in any case.
    pub finally: Block,
}

/// A `catch` or `except`.
#[derive(Debug)]
pub struct Handler {
    /// Which errors; all when there is none.
    pub types: Option<ExprId>,
    /// What the error is bound to.
    pub binding: Option<Pattern>,
    /// What happens.
    pub body: Block,
}

/// A case of a `switch` or `match`.
#[derive(Debug)]
pub struct Case {
    /// The values that it is for; none for `default` and `case _`. Values of a Python pattern are listed as expressions.
    pub tests: List<ExprId>,
    /// The names that a pattern binds to parts of the subject.
    pub binds: List<Pattern>,
    /// The condition behind a pattern.
    pub guard: Option<ExprId>,
    /// What happens.
    pub body: Block,
}
