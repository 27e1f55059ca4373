//! Comparisons that stand between a value and its use.

use super::{
    Origins,
    chains::excludes,
    checks::{CHANGES, CHECKS, DOES, finds_caller, looks_at_form},
    names::is_class,
};
use crate::{
    ir::{
        Arg, ArgKind, BindingId, CompareOp, ExprId, ExprKind, FunctionId, Language, LogicalOp, NameRef,
        Pattern, StmtId, StmtKind, UnaryOp, walk,
    },
    project::{At, Fun, Parent, Project, Step, Unit},
    vocabulary,
};

/// A comparison that ends the function, or skips what depends on it, when it does not hold.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// One side; for a call that checks, its argument.
    pub left: At,
    /// The other side; for a call that checks, the call.
    pub right: At,
    /// When, within the function.
    pub order: u32,
}

impl Project {
    /// The comparisons of a function that lead to a refusal, in order.
    #[must_use]
    pub fn guards(&self, fun: Fun) -> std::rc::Rc<Vec<Guard>> {
        if let Some(known) = self.memory.guards.borrow().get(&fun) {
            return std::rc::Rc::clone(known);
        }
        // Whoever asks again on the way, as recursive functions do, learns of none.
        self.memory.guards.borrow_mut().insert(fun, std::rc::Rc::default());
        let guards = std::rc::Rc::new(self.find_guards(fun));
        self.memory.guards.borrow_mut().insert(fun, std::rc::Rc::clone(&guards));
        guards
    }

    fn find_guards(&self, fun: Fun) -> Vec<Guard> {
        let mut guards = Vec::new();
        let Some(unit) = self.unit(fun.module) else { return guards };
        let Some(function) = unit.ir.function(fun.id) else { return guards };
        walk::stmts_below(&unit.ir, &function.body, &mut |stmt| match unit.ir.stmt(stmt) {
            StmtKind::If { test, then, otherwise }
                if self.leaves(fun, then) || self.leaves(fun, otherwise) || self.uses(fun, *test, then) =>
            {
                self.compared(At { module: fun.module, expr: *test }, &mut guards);
            }
            StmtKind::Assert { test, .. } => {
                self.compared(At { module: fun.module, expr: *test }, &mut guards)
            }
            StmtKind::Return(Some(value)) => {
                self.compared(At { module: fun.module, expr: *value }, &mut guards);
            }
            StmtKind::Expr(expr) => {
                let mut call = *expr;
                if let ExprKind::Await(value) = unit.ir.expr(call) {
                    call = *value;
                }
                self.checking_call(At { module: fun.module, expr: call }, &mut guards);
            }
            StmtKind::Assign { value, .. } => {
                let mut call = *value;
                if let ExprKind::Await(value) = unit.ir.expr(call) {
                    call = *value;
                }
                self.checking_call(At { module: fun.module, expr: call }, &mut guards);
                self.compared(At { module: fun.module, expr: *value }, &mut guards);
            }
            _ => {}
        });
        guards.sort_by_key(|guard| guard.order);
        guards
    }

    /// Whether a block ends the function, the turn of a loop, or the request.
    pub(crate) fn leaves(&self, fun: Fun, block: &[StmtId]) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        let mut found = false;
        walk::stmts_below(&unit.ir, block, &mut |stmt| {
            found |= match unit.ir.stmt(stmt) {
                StmtKind::Return(_) | StmtKind::Throw(_) | StmtKind::Continue | StmtKind::Break => true,
                StmtKind::Expr(expr) => {
                    let text = self.written(At { module: fun.module, expr: *expr });
                    text.iter().any(|word| {
                        matches!(
                            word.as_str(),
                            "abort"
                                | "exit"
                                | "sendStatus"
                                | "status"
                                | "forbidden"
                                | "notFound"
                                | "redirect"
                                // `ctx.throw(403)` of Koa
                                | "throw"
                        )
                    })
                }
                _ => false,
            };
        });
        found
    }

    /// Whether a block is only for when the test holds: a comparison for equality.
    fn uses(&self, fun: Fun, test: ExprId, then: &[StmtId]) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        !then.is_empty()
            && matches!(unit.ir.expr(test), ExprKind::Compare { op: CompareOp::Eq | CompareOp::In, .. })
    }

    /// Adds the comparisons of a condition.
    fn compared(&self, test: At, guards: &mut Vec<Guard>) {
        let Some(unit) = self.unit(test.module) else { return };
        match unit.ir.expr(test.expr) {
            ExprKind::Compare { op, left, right }
                if *op != CompareOp::InstanceOf && *op != CompareOp::Order =>
            {
                let order = unit.index.order(test.expr);
                guards.push(Guard { left: test.to(*left), right: test.to(*right), order });
            }
            ExprKind::Logical { op: LogicalOp::And | LogicalOp::Or, left, right } => {
                self.compared(test.to(*left), guards);
                self.compared(test.to(*right), guards);
            }
            ExprKind::Unary { op: UnaryOp::Not, operand } => self.compared(test.to(*operand), guards),
            ExprKind::Await(value) => self.compared(test.to(*value), guards),
            // `return row && row.owner === owner ? row : null`
            ExprKind::Conditional { test: inner, .. } => self.compared(test.to(*inner), guards),
            // `const mine = row.owner === user.id`, and then `if (!mine)`
            ExprKind::Name(NameRef::Binding(id)) => {
                if let [source] = unit.index.sources(*id)
                    && source.path.is_empty()
                    && matches!(unit.ir.expr(source.value), ExprKind::Compare { .. })
                {
                    self.compared(test.to(source.value), guards);
                }
                // `mine = any(one.id == id for one in notes_of(user))`
                if let [source] = unit.index.sources(*id)
                    && source.path.is_empty()
                {
                    self.compared_any(test.to(source.value), guards);
                }
            }
            ExprKind::Call(call) => {
                self.checking_call(test, guards);
                self.compared_any(test, guards);
                // `allowed.includes(id)`, `a.equals(b)`.
                if let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
                    && matches!(
                        unit.ir.text(*property),
                        "includes"
                            | "has"
                            | "equals"
                            | "compare_digest"
                            | "timingSafeEqual"
                            | "some"
                            | "contains"
                            | "startsWith"
                            | "startswith"
                    )
                    && let Some(arg) = call.positional(0)
                {
                    let order = unit.index.order(test.expr);
                    guards.push(Guard { left: test.to(*object), right: test.to(arg), order });
                    // `tokens.some((token) => token.id === id)`
                    if let ExprKind::Function(each) = unit.ir.expr(arg) {
                        for side in Self::sides_in(unit, *each) {
                            guards.push(Guard { left: test.to(*object), right: test.to(side), order });
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Adds what `any(one.id == id for one in all)` compares with what is run through.
    fn compared_any(&self, at: At, guards: &mut Vec<Guard>) {
        let Some(unit) = self.unit(at.module) else { return };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
        if self.last_written(at.to(call.callee)).is_none_or(|name| name != "any") {
            return;
        }
        let Some(ExprKind::Comprehension(each)) = call.positional(0).map(|arg| unit.ir.expr(arg)) else {
            return;
        };
        let ([clause], ExprKind::Compare { op: CompareOp::Eq, left, right }) =
            (&*each.clauses, unit.ir.expr(each.element))
        else {
            return;
        };
        let order = unit.index.order(at.expr);
        let sides = [*left, *right].map(|side| Guard { left: at.to(clause.iter), right: at.to(side), order });
        guards.extend(sides);
    }

    /// The sides of the comparisons that a function gives.
    fn sides_in(unit: &crate::project::Unit, function: FunctionId) -> Vec<ExprId> {
        let mut sides = Vec::new();
        for value in unit.index.returns(function) {
            walk::exprs_below(&unit.ir, *value, &mut |expr| {
                if let ExprKind::Compare { op: CompareOp::Eq, left, right } = unit.ir.expr(expr) {
                    sides.extend([*left, *right]);
                }
            });
        }
        sides.truncate(8);
        sides
    }

    /// A call whose name says that it checks something: each of its arguments is compared with whatever it compares with.
    fn checking_call(&self, at: At, guards: &mut Vec<Guard>) {
        let Some(unit) = self.unit(at.module) else { return };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
        let name = match self.callee(at) {
            Some(callee) => callee.name().to_owned(),
            None => self.written(at).pop().map(String::from).unwrap_or_default(),
        };
        let words = vocabulary::words(&name);
        // `log_member_action` and `add_member` check nothing, whatever they are about.
        let does = words.first().is_some_and(|verb| DOES.contains(&verb.as_str()));
        // `TeamMember(…)` makes one.
        let makes = call.is_new || name.starts_with(char::is_uppercase);
        // `findLatestCheck` gives one, and checks nothing.
        let gives = words
            .first()
            .is_some_and(|verb| matches!(verb.as_str(), "find" | "get" | "fetch" | "load" | "search"));
        let says = |word: &String| CHECKS.contains(&word.as_str()) && !(gives && word == "check");
        let checks = !does && !makes && !looks_at_form(&words) && words.iter().any(says);
        if !checks && !self.compares_inside(at) {
            return;
        }
        let order = unit.index.order(at.expr);
        // `userId = requireUserId(req)` says who calls, and looks at nothing else that the request names.
        let says_who = finds_caller(&words) && !self.compares_inside(at);
        let whole =
            |arg: At| says_who && self.written(arg).len() == 1 && self.origins(arg).has(Origins::REQUEST);
        let compared = call.args.iter().map(|arg| at.to(arg.value)).filter(|arg| !whole(*arg));
        guards.extend(compared.map(|left| Guard { left, right: at, order }));
    }

    /// Whether a function of ours that is called compares an owner with one that callers do not choose, whatever its name is:
    /// `resolve_scope(tenant_id)`, which refuses a tenant that is not the caller's.
    #[must_use]
    pub fn compares_inside(&self, call: At) -> bool {
        let Some(callee) = self.callee(call) else { return false };
        callee.certain
            && !callee.targets.is_empty()
            && callee.targets.iter().all(|target| {
                self.guards(*target).iter().any(|guard| {
                    let is_owner =
                        |side: At| self.written(side).last().is_some_and(|name| vocabulary::is_owner(name));
                    let verified = |side: At| {
                        let origins = self.origins(side);
                        origins.has_owner() && !origins.is_chosen()
                    };
                    let call = matches!(
                        self.unit(guard.right.module).map(|unit| unit.ir.expr(guard.right.expr)),
                        Some(ExprKind::Call(_))
                    );
                    let owner = |side: At| is_owner(side) && verified(side);
                    if call { is_owner(guard.left) } else { owner(guard.left) || owner(guard.right) }
                })
            })
    }

    /// Whether a name says that a function checks an access and refuses. What only looks at the form of a value is none.
    #[must_use]
    pub fn is_check(name: &str) -> bool {
        let words = vocabulary::words(name);
        // `add_member` lets somebody in.
        let changes = words.first().is_some_and(|verb| CHANGES.contains(&verb.as_str()));
        !finds_caller(&words)
            && !changes
            && words
                .iter()
                .any(|word| CHECKS.contains(&word.as_str()) && word != "validate" && word != "check")
    }

    /// Whether a value was compared with something that belongs to the caller before a moment, in its function or, for a
    /// captured variable, in one around it. The value is a name or a path of names; its parts and what it was taken from count.
    #[must_use]
    pub fn is_checked(&self, at: At) -> bool {
        let roots = self.roots(at);
        if roots.is_empty() {
            return false;
        }
        let fun = self.function_of(at);
        self.around(fun).into_iter().any(|around| {
            let before = if around == fun { self.order(at) } else { u32::MAX };
            self.guards(around).iter().any(|guard| {
                let order_fits = guard.order <= before;
                let mine = |side: At| {
                    self.roots(side).iter().any(|root| roots.contains(root)) && !self.is_other_part(side, at)
                };
                let other = if mine(guard.left) {
                    guard.right
                } else if !self.is_permission(guard) && mine(guard.right) {
                    guard.left
                } else {
                    return false;
                };
                let by_call = guard.right == other
                    && matches!(
                        self.unit(other.module).map(|unit| unit.ir.expr(other.expr)),
                        Some(ExprKind::Call(_))
                    );
                let excluded = || {
                    let unit = self.unit(at.module).filter(|_| around == fun);
                    unit.is_some_and(|unit| excludes(unit, guard.left.expr, at.expr))
                };
                order_fits
                    && !excluded()
                    && !(around == fun && self.holds_elsewhere(guard, at))
                    && (by_call || self.origins(other).has_owner() || self.is_listed_for_caller(other))
            })
        })
    }

    /// Whether a guard says that two values are equal where the function ends, and a place comes after that: there they differ.
    /// `if (id === user.id) throw …` before what is done to anybody but the caller.
    fn holds_elsewhere(&self, guard: &Guard, at: At) -> bool {
        let Some(unit) = self.unit(guard.left.module) else { return false };
        let mut here = guard.left.expr;
        let Parent::Expr(compare) = unit.index.parent(here) else { return false };
        if !matches!(unit.ir.expr(compare), ExprKind::Compare { op: CompareOp::Eq, .. }) {
            return false;
        }
        here = compare;
        let stmt = loop {
            match unit.index.parent(here) {
                Parent::Expr(up) => match unit.ir.expr(up) {
                    ExprKind::Logical { .. } | ExprKind::Await(_) => here = up,
                    _ => return false,
                },
                Parent::Stmt(stmt) => break stmt,
                _ => return false,
            }
        };
        let StmtKind::If { then, otherwise, .. } = unit.ir.stmt(stmt) else { return false };
        let ends = then.last().is_some_and(|last| {
            matches!(
                unit.ir.stmt(*last),
                StmtKind::Return(_) | StmtKind::Throw(_) | StmtKind::Continue | StmtKind::Break
            )
        });
        let place = unit.ir.span(at.expr);
        ends && otherwise.is_empty() && !unit.ir.stmt_span(stmt).contains(place)
    }

    /// Whether two values are different parts of one request, as they are written: `req.headers.authorization` and `req.params.id`.
    fn is_other_part(&self, one: At, other: At) -> bool {
        let Some((of, part)) = self.request_part(one) else { return false };
        let Some(unit) = self.unit(other.module) else { return false };
        // `[req.params.id, …]` is made of several.
        let (mut parts, mut whole) = (Vec::new(), false);
        let mut inside: Option<ExprId> = None;
        walk::exprs_below(&unit.ir, other.expr, &mut |expr| {
            if inside.is_some_and(|outer| unit.ir.span(outer).contains(unit.ir.span(expr))) {
                return;
            }
            match self.request_part(other.to(expr)) {
                Some(found) => {
                    parts.push(found);
                    inside = Some(expr);
                }
                None => {
                    whole |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if *id == of)
                }
            }
        });
        !whole && !parts.is_empty() && parts.iter().all(|(own, own_part)| *own == of && *own_part != part)
    }

    /// The request that a value is a part of, and which part: `params` of `req.params.id`, `headers` of
    /// `request.headers.get("authorization")?.slice(7)`, `req.json` of `await c.req.json()`; through variables too.
    fn request_part(&self, at: At) -> Option<(BindingId, String)> {
        const STEPS: usize = 16;
        let unit = self.unit(at.module)?;
        let mut here = at.expr;
        let (mut part, mut inner): (Option<String>, Option<String>) = (None, None);
        for _ in 0..STEPS {
            here = match unit.ir.expr(here) {
                ExprKind::Member { object, property, .. } => {
                    inner = part.replace(unit.ir.text(*property).to_owned());
                    *object
                }
                ExprKind::Call(call) => match unit.ir.expr(call.callee) {
                    ExprKind::Member { .. } => call.callee,
                    _ => {
                        inner = part.replace(self.written(at.to(call.callee)).pop()?.to_string());
                        // `NoteSerializer(data=request.data)`
                        let named = |arg: &&Arg| matches!(arg.kind, ArgKind::Keyword(name) if matches!(unit.ir.text(name), "data" | "body" | "payload"));
                        call.args.iter().find(named).map(|arg| arg.value).or_else(|| call.positional(0))?
                    }
                },
                ExprKind::Index { object, .. } => *object,
                ExprKind::Await(value) | ExprKind::Logical { left: value, .. } => *value,
                ExprKind::Name(NameRef::Binding(of)) if self.is_request(at.to(here)) => {
                    let part = part?;
                    // Hono's and Koa's context has the request in it.
                    let whole = matches!(part.as_str(), "req" | "request");
                    return Some((*of, if whole { format!("{part}.{}", inner?) } else { part }));
                }
                ExprKind::Name(NameRef::Binding(id)) => {
                    let [source] = unit.index.sources(*id) else { return None };
                    if let Some(Step::Key(name)) = source.path.first() {
                        inner = part.replace(unit.ir.text(*name).to_owned());
                    }
                    source.value
                }
                _ => return None,
            };
        }
        None
    }

    fn is_request(&self, at: At) -> bool {
        self.written(at)
            .last()
            .is_some_and(|name| matches!(name.as_str(), "req" | "request" | "ctx" | "context" | "c"))
            && self.origins(at).has(Origins::REQUEST)
    }

    /// Whether a value is a list that was asked for with the caller, `tokens = await tokensOf(user.id)`, or with the request by
    /// a function that knows its caller: `const { teams } = await reachOf(req)`.
    fn is_listed_for_caller(&self, at: At) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
        let [source] = unit.index.sources(*id) else { return false };
        let call = match unit.ir.expr(source.value) {
            ExprKind::Await(call) => *call,
            _ => source.value,
        };
        let made = at.to(call);
        let ExprKind::Call(call) = unit.ir.expr(call) else { return false };
        call.args.iter().any(|arg| {
            let origins = self.origins(at.to(arg.value));
            (origins.has(Origins::PRINCIPAL) && !origins.is_chosen())
                || (self.is_request(at.to(arg.value)) && self.reads_caller(made))
        })
    }

    /// Whether each function of ours that may be called reads who calls.
    fn reads_caller(&self, call: At) -> bool {
        let Some(callee) = self.callee(call).filter(|callee| callee.certain) else { return false };
        !callee.targets.is_empty()
            && callee.targets.iter().all(|target| {
                let Some(unit) = self.unit(target.module) else { return false };
                let mut reads = false;
                walk::function_exprs(&unit.ir, target.id, &mut |expr| {
                    reads |= matches!(unit.ir.expr(expr), ExprKind::Member { .. }) && {
                        let origins = self.origins(At { module: target.module, expr });
                        origins.has(Origins::PRINCIPAL) && !origins.is_chosen()
                    };
                });
                reads
            })
    }

    /// When an expression has its value, within its function.
    #[must_use]
    pub fn order(&self, at: At) -> u32 {
        self.unit(at.module).map_or(0, |unit| unit.index.order(at.expr))
    }

    /// The bindings that a value is made of, with those that they are copies of.
    #[must_use]
    pub fn roots(&self, at: At) -> Vec<BindingId> {
        let mut roots = Vec::new();
        let Some(unit) = self.unit(at.module) else { return roots };
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
                && is_of_value(unit, expr, *id)
            {
                roots.push(*id);
            }
        });
        let mut next = 0;
        while let Some(id) = roots.get(next).copied() {
            next += 1;
            if roots.len() > 32 {
                break;
            }
            for source in unit.index.sources(id).iter().take(4) {
                let is_copy = matches!(
                    unit.ir.expr(source.value),
                    ExprKind::Name(_)
                        | ExprKind::Member { .. }
                        | ExprKind::Await(_)
                        | ExprKind::Logical { .. }
                        | ExprKind::Call(_)
                        | ExprKind::Template(_)
                        | ExprKind::Conditional { .. }
                ) && !source.path.contains(&Step::Any);
                if !is_copy {
                    continue;
                }
                walk::exprs_below(&unit.ir, source.value, &mut |expr| {
                    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
                        && !roots.contains(id)
                        && is_of_value(unit, expr, *id)
                    {
                        roots.push(*id);
                    }
                });
            }
        }
        roots
    }

    /// The binding that a pattern binds as a whole.
    #[must_use]
    pub fn pattern_binding(pattern: &Pattern) -> Option<BindingId> {
        pattern.as_binding()
    }

    /// Whether a value is nothing but written out or of the process.
    #[must_use]
    pub fn is_fixed(&self, at: At) -> bool {
        self.origins(at).without(Origins::CONSTANT | Origins::ENV) == Origins::NONE
    }
}

/// Names of what a value is asked of, and is no part of it: connections, answers.
const CARRIERS: &[&str] = &[
    "db",
    "tx",
    "trx",
    "conn",
    "connection",
    "cursor",
    "pool",
    "engine",
    "database",
    "prisma",
    "knex",
    "em",
    "uow",
    "res",
    "reply",
    "logger",
    "dbSession",
    "db_session",
    "async_session",
];

/// Whether a name says what a value is made of: no function that is called, no class, and no connection that it was asked of.
fn is_of_value(unit: &Unit, expr: ExprId, id: BindingId) -> bool {
    let name = unit.ir.binding_name(id);
    let called = || matches!(unit.index.parent(expr), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee == expr));
    // SQLAlchemy's `session` is one; that of a browser is a caller's.
    let session = name == "session" && unit.ir.language == Language::Python;
    !is_class(name) && !session && !CARRIERS.contains(&name) && !called()
}
