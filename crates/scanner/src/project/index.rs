//! What one module's code looks like from below: parents, functions, evaluation order, sources of bindings, writes.

use super::compact::Grouped;
use crate::ir::{
    BinaryOp, BindingId, ClassId, ExprId, ExprKind, FunctionId, FunctionKind, Module, Name, NameRef, Numbers,
    Pattern, PropertyKey, StmtId, StmtKind, walk,
};

/// What an expression stands directly in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parent {
    /// Nothing that is known.
    #[default]
    None,
    /// Another expression.
    Expr(ExprId),
    /// A statement.
    Stmt(StmtId),
    /// A parameter or decorator of a function.
    Function(FunctionId),
    /// A field, base or decorator of a class.
    Class(ClassId),
}

/// A step from a value to what a pattern takes out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A property.
    Key(Name),
    /// An item by number.
    Item(u32),
    /// Some item: a loop variable, a computed key.
    Any,
    /// What is left over.
    Rest,
    /// What `with` gives.
    Entered,
}

/// A value that a binding gets.
#[derive(Debug, Clone)]
pub struct Source {
    /// The value, before `path` is taken.
    pub value: ExprId,
    /// What is taken out of it.
    pub path: Box<[Step]>,
    /// The function that assigns.
    pub function: FunctionId,
    /// When, within the function.
    pub order: u32,
    /// Whether it is the declaration.
    pub declares: bool,
    /// Whether the old value stays part of it: `+=`, `??=`.
    pub updates: bool,
    /// The statement, if it is one.
    pub stmt: Option<StmtId>,
}

/// An assignment to a member, an index or a global name.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    /// What is written to.
    pub place: ExprId,
    /// The value.
    pub value: ExprId,
    /// The function that writes.
    pub function: FunctionId,
    /// When, within the function.
    pub order: u32,
    /// For `||=`, `??=` and `+=`: the old value stays part of it.
    pub updates: bool,
}

/// The index of a module.
#[derive(Debug, Default)]
pub struct Index {
    /// What expressions stand in, as [`Bounds`] writes it.
    parents: Numbers,
    bounds: Bounds,
    functions: Numbers,
    orders: Numbers,
    /// One more than the number of the statement around a statement; 0 where there is none.
    stmt_parents: Numbers,
    stmt_functions: Numbers,
    stmt_orders: Numbers,
    /// The expressions that make functions; the missing one where there is none.
    sites: Numbers,
    sources: Grouped<Source>,
    uses: Grouped<ExprId>,
    awaits: Grouped<u32>,
    returns: Grouped<ExprId>,
    inner: Grouped<FunctionId>,
    /// Every assignment to a place, in source order.
    pub writes: Vec<Write>,
    /// Every call, in source order of its function.
    pub calls: Vec<ExprId>,
}

/// How many expressions, statements and functions there are: what an expression stands in is one number, small numbers for
/// expressions, larger ones for statements, and so on.
#[derive(Debug, Default, Clone, Copy)]
struct Bounds {
    exprs: u32,
    stmts: u32,
    functions: u32,
}

impl Bounds {
    fn of(module: &Module) -> Self {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Self {
            exprs: count(module.exprs.len()),
            stmts: count(module.stmts.len()),
            functions: count(module.functions.len()),
        }
    }

    /// 0 for nothing that is known.
    const fn write(self, parent: Parent) -> u32 {
        match parent {
            Parent::None => 0,
            Parent::Expr(id) => 1 + id.0,
            Parent::Stmt(id) => 1 + self.exprs + id.0,
            Parent::Function(id) => 1 + self.exprs + self.stmts + id.0,
            Parent::Class(id) => 1 + self.exprs + self.stmts + self.functions + id.0,
        }
    }

    #[inline]
    fn read(self, number: u32) -> Parent {
        let Some(mut rest) = number.checked_sub(1) else { return Parent::None };
        if rest < self.exprs {
            return Parent::Expr(ExprId(rest));
        }
        rest -= self.exprs;
        if rest < self.stmts {
            return Parent::Stmt(StmtId(rest));
        }
        rest -= self.stmts;
        match rest.checked_sub(self.functions) {
            None => Parent::Function(FunctionId(rest)),
            Some(class) => Parent::Class(ClassId(class)),
        }
    }
}

/// What is found of expressions and statements, until all is there.
#[derive(Debug)]
struct Found {
    bounds: Bounds,
    parents: Vec<u32>,
    functions: Vec<u32>,
    orders: Vec<u32>,
    stmt_parents: Vec<u32>,
    stmt_functions: Vec<u32>,
    stmt_orders: Vec<u32>,
    sites: Vec<u32>,
}

/// Sets the number at a place that there is.
fn set(numbers: &mut [u32], place: usize, number: u32) {
    if let Some(slot) = numbers.get_mut(place) {
        *slot = number;
    }
}

impl Index {
    /// Reads a module once.
    #[must_use]
    pub fn new(module: &Module) -> Self {
        let (count, stmts) = (module.exprs.len(), module.stmts.len());
        let mut found = Found {
            bounds: Bounds::of(module),
            parents: vec![0; count],
            functions: vec![0; count],
            orders: vec![0; count],
            stmt_parents: vec![0; stmts],
            stmt_functions: vec![0; stmts],
            stmt_orders: vec![0; stmts],
            sites: vec![0; module.functions.len()],
        };
        let mut index = Self { bounds: found.bounds, ..Self::default() };
        for (id, _) in module.functions() {
            Walk { module, index: &mut index, found: &mut found, function: id, order: 0 }.function();
        }
        for (id, class) in module.classes() {
            let parent = Parent::Class(id);
            let (index, found) = (&mut index, &mut found);
            let mut walk = Walk { module, index, found, function: class.parent, order: 0 };
            class.bases.iter().chain(&class.decorators).for_each(|expr| walk.expr(*expr, parent));
            for field in &class.fields {
                field.decorators.iter().for_each(|expr| walk.expr(*expr, parent));
                if let Some(value) = field.value {
                    walk.expr(value, parent);
                    if let Some(binding) = field.binding {
                        walk.source(binding, value, &[], true, false, None);
                    }
                }
            }
        }
        index.parents = Numbers::of(&found.parents);
        index.functions = Numbers::of(&found.functions);
        index.orders = Numbers::of(&found.orders);
        index.stmt_parents = Numbers::of(&found.stmt_parents);
        index.stmt_functions = Numbers::of(&found.stmt_functions);
        index.stmt_orders = Numbers::of(&found.stmt_orders);
        index.sites = Numbers::of(&found.sites);
        index.sources.finish();
        index.uses.finish();
        index.awaits.finish();
        index.returns.finish();
        index.inner.finish();
        index.writes.shrink_to_fit();
        index.calls.shrink_to_fit();
        index
    }

    /// What an expression stands in.
    #[must_use]
    #[inline]
    pub fn parent(&self, id: ExprId) -> Parent {
        self.bounds.read(self.parents.get(id.index()).unwrap_or(0))
    }

    /// The function whose code an expression is.
    #[must_use]
    #[inline]
    pub fn function(&self, id: ExprId) -> FunctionId {
        self.functions.get(id.index()).map_or(FunctionId::MODULE, FunctionId)
    }

    /// When an expression has its value, counted within its function.
    #[must_use]
    #[inline]
    pub fn order(&self, id: ExprId) -> u32 {
        self.orders.get(id.index()).unwrap_or(0)
    }

    /// The statement around a statement, within its function.
    #[must_use]
    #[inline]
    pub fn stmt_parent(&self, id: StmtId) -> Option<StmtId> {
        self.stmt_parents.get(id.index())?.checked_sub(1).map(StmtId)
    }

    /// The function whose code a statement is.
    #[must_use]
    #[inline]
    pub fn stmt_function(&self, id: StmtId) -> FunctionId {
        self.stmt_functions.get(id.index()).map_or(FunctionId::MODULE, FunctionId)
    }

    /// When a statement begins, counted within its function.
    #[must_use]
    #[inline]
    pub fn stmt_order(&self, id: StmtId) -> u32 {
        self.stmt_orders.get(id.index()).unwrap_or(0)
    }

    /// The statement that an expression stands in.
    #[must_use]
    pub fn stmt_of(&self, id: ExprId) -> Option<StmtId> {
        let mut at = self.parent(id);
        for _ in 0..=self.parents.len() {
            match at {
                Parent::Expr(up) => at = self.parent(up),
                Parent::Stmt(stmt) => return Some(stmt),
                _ => return None,
            }
        }
        None
    }

    /// The expression that makes a function value; none for declarations and methods.
    #[must_use]
    #[inline]
    pub fn site(&self, id: FunctionId) -> Option<ExprId> {
        self.sites.get(id.index()).map(ExprId).filter(|site| *site != ExprId::MISSING)
    }

    /// The values that a binding gets, in source order.
    #[must_use]
    #[inline]
    pub fn sources(&self, id: BindingId) -> &[Source] {
        self.sources.get(id.0)
    }

    /// All uses of a binding, its being written to not counted.
    #[must_use]
    #[inline]
    pub fn uses(&self, id: BindingId) -> &[ExprId] {
        self.uses.get(id.0)
    }

    /// When a function waits.
    #[must_use]
    pub fn awaits(&self, id: FunctionId) -> &[u32] {
        self.awaits.get(id.0)
    }

    /// Whether a function waits between two moments.
    #[must_use]
    pub fn waits_between(&self, id: FunctionId, from: u32, to: u32) -> bool {
        self.awaits(id).iter().any(|at| from <= *at && *at < to)
    }

    /// The values that a function returns or yields.
    #[must_use]
    #[inline]
    pub fn returns(&self, id: FunctionId) -> &[ExprId] {
        self.returns.get(id.0)
    }

    /// The functions that stand directly in a function.
    #[must_use]
    pub fn inner(&self, id: FunctionId) -> &[FunctionId] {
        self.inner.get(id.0)
    }
}

struct Walk<'a> {
    module: &'a Module,
    index: &'a mut Index,
    found: &'a mut Found,
    function: FunctionId,
    order: u32,
}

impl<'a> Walk<'a> {
    fn function(&mut self) {
        let module = self.module;
        let Some(function) = module.function(self.function) else { return };
        if let Some(parent) = function.parent.filter(|parent| *parent != self.function) {
            self.index.inner.push(parent.0, self.function);
        }
        let parent = Parent::Function(self.function);
        // Decorators and defaults belong to the function, though the code around it runs them: rules look for them there.
        function.decorators.iter().for_each(|expr| self.expr(*expr, parent));
        for parameter in &function.params {
            parameter.decorators.iter().for_each(|expr| self.expr(*expr, parent));
            parameter.annotation.iter().for_each(|expr| self.expr(*expr, parent));
            if let Some(default) = parameter.default {
                self.expr(default, parent);
            }
            walk::pattern_exprs(&parameter.pattern, &mut |expr| self.expr(expr, parent));
        }
        self.block(&function.body, None);
    }

    fn tick(&mut self) -> u32 {
        self.order += 1;
        self.order
    }

    fn block(&mut self, block: &[StmtId], parent: Option<StmtId>) {
        for id in block {
            self.stmt(*id, parent);
        }
    }

    fn stmt(&mut self, id: StmtId, parent: Option<StmtId>) {
        let module = self.module;
        let order = self.tick();
        set(&mut self.found.stmt_parents, id.index(), parent.map_or(0, |parent| parent.0 + 1));
        set(&mut self.found.stmt_functions, id.index(), self.function.0);
        set(&mut self.found.stmt_orders, id.index(), order);
        let here = Parent::Stmt(id);
        match module.stmt(id) {
            StmtKind::Assign { target, op, logical, value, declares } => {
                self.expr(*value, here);
                let updates = op.is_some() || logical.is_some();
                self.assign(target, *value, &mut Vec::new(), (*declares, updates, Some(id)), here);
            }
            StmtKind::ForEach { target, iter, body, otherwise, is_async, .. } => {
                self.expr(*iter, here);
                if *is_async {
                    self.wait();
                }
                self.assign(target, *iter, &mut vec![Step::Any], (true, false, Some(id)), here);
                self.block(body, Some(id));
                self.block(otherwise, Some(id));
            }
            StmtKind::With { items, body, is_async } => {
                for (value, target) in items {
                    self.expr(*value, here);
                    if *is_async {
                        self.wait();
                    }
                    if let Some(target) = target {
                        self.assign(target, *value, &mut vec![Step::Entered], (true, false, Some(id)), here);
                    }
                }
                self.block(body, Some(id));
                if *is_async {
                    self.wait();
                }
            }
            StmtKind::Switch { subject, cases, .. } => {
                self.expr(*subject, here);
                for case in cases {
                    case.tests.iter().for_each(|test| self.expr(*test, here));
                    for bind in &case.binds {
                        self.assign(bind, *subject, &mut vec![Step::Any], (true, false, Some(id)), here);
                    }
                    case.guard.iter().for_each(|guard| self.expr(*guard, here));
                    self.block(&case.body, Some(id));
                }
            }
            StmtKind::Return(value) => {
                if let Some(value) = value {
                    self.expr(*value, here);
                    self.index.returns.push(self.function.0, *value);
                }
            }
            _ => walk::parts(module, id, &mut |part| match part {
                walk::Part::Expr(expr) => self.expr(expr, here),
                walk::Part::Pattern(pattern) => {
                    walk::pattern_exprs(pattern, &mut |expr| self.expr(expr, here))
                }
                walk::Part::Stmt(stmt) => self.stmt(stmt, Some(id)),
            }),
        }
    }

    fn wait(&mut self) {
        let order = self.tick();
        self.index.awaits.push(self.function.0, order);
    }

    fn expr(&mut self, id: ExprId, parent: Parent) {
        let module = self.module;
        if id == ExprId::MISSING {
            return;
        }
        set(&mut self.found.parents, id.index(), self.found.bounds.write(parent));
        set(&mut self.found.functions, id.index(), self.function.0);
        let here = Parent::Expr(id);
        match module.expr(id) {
            ExprKind::Assign { target, op, logical, value } => {
                self.expr(*value, here);
                let updates = op.is_some() || logical.is_some();
                self.assign(target, *value, &mut Vec::new(), (false, updates, None), here);
            }
            ExprKind::Comprehension(comprehension) => {
                for clause in &comprehension.clauses {
                    self.expr(clause.iter, here);
                    if clause.is_async {
                        self.wait();
                    }
                    self.assign(&clause.target, clause.iter, &mut vec![Step::Any], (true, false, None), here);
                    clause.conditions.iter().for_each(|condition| self.expr(*condition, here));
                }
                comprehension.key.iter().for_each(|key| self.expr(*key, here));
                self.expr(comprehension.element, here);
            }
            ExprKind::Name(NameRef::Binding(binding)) => {
                self.index.uses.push(binding.0, id);
            }
            ExprKind::Function(function) => {
                set(&mut self.found.sites, function.index(), id.0);
            }
            _ => walk::children(module, id, &mut |child| self.expr(child, here)),
        }
        let order = self.tick();
        set(&mut self.found.orders, id.index(), order);
        match module.expr(id) {
            ExprKind::Await(_) => self.index.awaits.push(self.function.0, order),
            ExprKind::Call(_) | ExprKind::Tagged { .. } => self.index.calls.push(id),
            ExprKind::Yield { value: Some(value), .. } => {
                self.index.returns.push(self.function.0, *value);
                self.index.awaits.push(self.function.0, order);
            }
            _ => {}
        }
    }

    fn source(
        &mut self,
        binding: BindingId,
        value: ExprId,
        path: &[Step],
        declares: bool,
        updates: bool,
        stmt: Option<StmtId>,
    ) {
        let source = Source {
            value,
            path: path.into(),
            function: self.function,
            order: self.order,
            declares,
            updates,
            stmt,
        };
        self.index.sources.push(binding.0, source);
    }

    fn assign(
        &mut self,
        target: &Pattern,
        value: ExprId,
        path: &mut Vec<Step>,
        how: (bool, bool, Option<StmtId>),
        parent: Parent,
    ) {
        let (declares, updates, stmt) = how;
        match target {
            Pattern::Binding(binding) => {
                if value != ExprId::MISSING {
                    self.source(*binding, value, path, declares, updates, stmt);
                }
            }
            Pattern::Place(place) => {
                self.expr(*place, parent);
                let order = self.tick();
                let write = Write { place: *place, value, function: self.function, order, updates };
                self.index.writes.push(write);
            }
            Pattern::Object { properties, rest } => {
                for property in properties {
                    let step = match property.key {
                        PropertyKey::Name(name) => Step::Key(name),
                        PropertyKey::Computed(key) => {
                            self.expr(key, parent);
                            Step::Any
                        }
                        PropertyKey::Spread => Step::Rest,
                    };
                    path.push(step);
                    self.assign(&property.pattern, value, path, how, parent);
                    path.pop();
                }
                if let Some(rest) = rest {
                    path.push(Step::Rest);
                    self.assign(rest, value, path, how, parent);
                    path.pop();
                }
            }
            Pattern::Array { items, rest } => {
                // `a, b = x, y` sets each to its own.
                let own =
                    if path.is_empty() && rest.is_none() { self.each_of(value, items.len()) } else { None };
                for (item, value) in items.iter().zip(own.into_iter().flatten()) {
                    if let Some(item) = item {
                        self.assign(item, *value, path, how, parent);
                    }
                }
                if own.is_some() {
                    return;
                }
                for (number, item) in (0_u32..).zip(items) {
                    if let Some(item) = item {
                        path.push(Step::Item(number));
                        self.assign(item, value, path, how, parent);
                        path.pop();
                    }
                }
                if let Some(rest) = rest {
                    path.push(Step::Rest);
                    self.assign(rest, value, path, how, parent);
                    path.pop();
                }
            }
            Pattern::Default { pattern, value: default } => {
                self.expr(*default, parent);
                self.assign(pattern, value, path, how, parent);
                if *default != value {
                    self.assign_default(pattern, *default, how);
                }
            }
        }
    }

    /// The values of a list that is written out and has as many of them as are taken.
    fn each_of(&self, value: ExprId, wanted: usize) -> Option<&'a [ExprId]> {
        let module = self.module;
        let ExprKind::Array { items, .. } = module.expr(value) else { return None };
        let spread = items.iter().any(|item| matches!(module.expr(*item), ExprKind::Spread(_)));
        (items.len() == wanted && !spread).then_some(items)
    }

    /// The default of a pattern is a value that its bindings may have.
    fn assign_default(&mut self, pattern: &Pattern, default: ExprId, how: (bool, bool, Option<StmtId>)) {
        if let Some(binding) = pattern.as_binding() {
            self.source(binding, default, &[], how.0, how.1, how.2);
        }
    }
}

/// The class that `this` means in a function.
#[must_use]
pub fn this_class(module: &Module, function: FunctionId) -> Option<ClassId> {
    let mut at = Some(function);
    for _ in 0..64 {
        let function = module.function(at?)?;
        if let Some(class) = function.class {
            return Some(class);
        }
        if function.kind == FunctionKind::Module {
            return None;
        }
        at = function.parent;
    }
    None
}

/// Whether an operator joins texts or filters, so that its value holds both operands.
#[must_use]
pub const fn joins(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Add | BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::Rem)
}
