//! Where an id is on its way from the handler to what it finds: each function, and what is the id or the row there.

use crate::{
    flow::{Query, is_request},
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit, Word},
};

/// How many functions down from a handler are looked at.
const STEPS: usize = 3;

/// Names of what holds all that was sent, or what is asked with.
const HOLDERS: &[&str] = &[
    "args",
    "arguments",
    "input",
    "inputs",
    "body",
    "data",
    "payload",
    "params",
    "query",
    "event",
    "options",
    "opts",
    "kwargs",
    "self",
    "db",
    "session",
    "conn",
    "connection",
    "client",
    "supabase",
    "prisma",
    "tx",
    "trx",
    "pool",
    "cursor",
    "app",
    "server",
    "c",
    "ctx",
    "context",
    "info",
    "extra",
    "env",
    "json",
    "form",
    "dto",
    "parsed",
    "result",
    "validated",
];

/// A function on the way, with what is the id or the row in it.
pub(super) struct Frame {
    /// The function, and those around it.
    pub around: Vec<Fun>,
    /// The place that the way goes on at, or the finding's own.
    pub at: At,
    /// Whether the finding stands here.
    pub is_place: bool,
    /// Whether it is a function that the id is given to, where nothing is known of who calls but what its code says.
    pub is_below: bool,
    /// Variables that hold the id.
    pub ids: Vec<BindingId>,
    /// How the id is written: `req.params.id`.
    pub paths: Vec<Vec<Word>>,
    /// Variables that hold what was found.
    pub rows: Vec<BindingId>,
}

impl Frame {
    /// Whether an expression has the id or a row in it.
    pub(super) fn mentions(&self, project: &Project, at: At) -> bool {
        self.has(project, at, true)
    }

    /// Whether an expression has the id in it.
    pub(super) fn names_id(&self, project: &Project, at: At) -> bool {
        self.has(project, at, false)
    }

    fn has(&self, project: &Project, at: At, rows: bool) -> bool {
        let Some(unit) = project.unit(at.module) else { return false };
        let mut found = false;
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
            found = found
                || match unit.ir.expr(expr) {
                    ExprKind::Name(NameRef::Binding(id)) => {
                        self.ids.contains(id) || (rows && self.rows.contains(id))
                    }
                    ExprKind::Member { .. } => {
                        let path = project.written(at.to(expr));
                        path.len() > 1 && self.paths.contains(&path)
                    }
                    _ => false,
                };
        });
        found
    }

    /// Whether an expression stands in one of the functions.
    pub(super) fn holds(&self, unit: &Unit, expr: ExprId) -> bool {
        let own = unit.index.function(expr);
        self.around.iter().any(|fun| fun.id == own)
    }

    /// Whether an expression is a part of the finding's own, or the other way about.
    pub(super) fn is_own(&self, unit: &Unit, expr: ExprId) -> bool {
        let (own, span) = (unit.ir.span(self.at.expr), unit.ir.span(expr));
        own.contains(span) || span.contains(own)
    }
}

/// The functions on the way to a finding, the one that it stands in first.
pub(super) fn frames(project: &Project, at: At, fun: Fun, query: Option<&Query>) -> Vec<Frame> {
    let mut found = Vec::new();
    let Some(first) = place(project, at, fun, query) else { return found };
    let mut at = fun;
    found.push(first);
    // The function that callers reach may be one around it.
    while found.len() <= STEPS {
        let Some((near, (from, call))) =
            project.around(at).into_iter().find_map(|near| Some((near, project.reach(near)?.from?)))
        else {
            break;
        };
        let Some(last) = found.last() else { break };
        let Some(next) = step(project, last, near, from, call) else { break };
        found.push(next);
        at = from;
    }
    found
}

fn functions(project: &Project, fun: Fun) -> Vec<Fun> {
    project.around(fun).into_iter().filter(|around| around.id != FunctionId::MODULE).collect()
}

fn place(project: &Project, at: At, fun: Fun, query: Option<&Query>) -> Option<Frame> {
    let unit = project.unit(at.module)?;
    let mut frame = Frame {
        around: functions(project, fun),
        at,
        is_place: true,
        is_below: false,
        ids: Vec::new(),
        paths: Vec::new(),
        rows: Vec::new(),
    };
    match query {
        Some(query) => {
            for filter in query
                .filters
                .iter()
                .filter(|filter| filter.module == at.module && !project.is_fixed(**filter))
            {
                take(project, unit, *filter, &mut frame);
            }
            keep_rows(project, unit, at, &mut frame);
        }
        None => {
            take(project, unit, at, &mut frame);
            keep_rows(project, unit, at, &mut frame);
            if let Some(StmtKind::Assign { target, .. }) =
                unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt))
            {
                frame.ids.extend(target.as_binding());
            }
        }
    }
    derive(project, unit, &mut frame);
    keep_parts(project, unit, frame.at, &mut frame);
    Some(frame)
}

/// Takes what an id is and is written as.
fn take(project: &Project, unit: &Unit, id: At, frame: &mut Frame) {
    let path = project.written(id);
    if path.len() > 1 && matches!(unit.ir.expr(id.expr), ExprKind::Member { .. }) {
        frame.paths.push(path);
    }
    for root in project.roots(id) {
        let name = unit.ir.binding_name(root);
        if unit.ir.is_module_level(root)
            || is_request(name)
            || HOLDERS.contains(&name)
            || frame.ids.contains(&root)
        {
            continue;
        }
        frame.ids.push(root);
        for source in unit.index.sources(root).iter().take(2) {
            let path = project.written(id.to(source.value));
            if path.len() > 1
                && source.path.is_empty()
                && matches!(unit.ir.expr(source.value), ExprKind::Member { .. })
            {
                frame.paths.push(path);
            }
        }
    }
}

/// Takes the variables that what a place gives is kept in.
fn keep_rows(project: &Project, unit: &Unit, at: At, frame: &mut Frame) {
    let Some(StmtKind::Assign { target, .. }) = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt))
    else {
        return;
    };
    target.for_each_binding(&mut |id| frame.rows.push(id));
    keep_parts(project, unit, at, frame);
}

/// Takes the variables that what is in others is taken out of, or is found by the id.
fn keep_parts(project: &Project, unit: &Unit, at: At, frame: &mut Frame) {
    let around: Vec<FunctionId> = frame.around.iter().map(|fun| fun.id).collect();
    for _ in 0..2 {
        for (id, _) in unit.ir.bindings() {
            let own = around.contains(&unit.ir.binding_function(id))
                && !frame.rows.contains(&id)
                && frame.rows.len() < 16;
            let from = |value: ExprId| {
                let root = innermost(unit, value);
                let part = matches!(unit.ir.expr(root), ExprKind::Name(NameRef::Binding(of)) if frame.rows.contains(of));
                part || is_found_by(unit, value, &frame.ids)
            };
            if own
                && project.parameter_of(at.module, id).is_none()
                && unit.index.sources(id).iter().any(|source| from(source.value))
            {
                frame.rows.push(id);
            }
        }
    }
}

/// Whether a call that is waited for is given an id as it is: `user = await users.byId(userId)`.
fn is_found_by(unit: &Unit, value: ExprId, ids: &[BindingId]) -> bool {
    let ExprKind::Await(inner) = unit.ir.expr(value) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(*inner) else { return false };
    call.args.iter().any(
        |arg| matches!(unit.ir.expr(arg.value), ExprKind::Name(NameRef::Binding(id)) if ids.contains(id)),
    )
}

/// What a chain of members and calls begins with.
pub(super) fn innermost(unit: &Unit, expr: ExprId) -> ExprId {
    let mut at = expr;
    for _ in 0..64 {
        at = match unit.ir.expr(at) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => *object,
            ExprKind::Call(call) => call.callee,
            ExprKind::Await(value) => *value,
            _ => break,
        };
    }
    at
}

/// What a query is asked of: `db` of `db.query("SELECT …", [id])`, whose text is the query.
pub(super) fn asked_of(unit: &Unit, query: ExprId) -> ExprId {
    let mut here = query;
    if matches!(unit.ir.expr(query), ExprKind::String(_) | ExprKind::Template(_) | ExprKind::Binary { .. }) {
        for _ in 0..3 {
            let Parent::Expr(up) = unit.index.parent(here) else { break };
            if matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee != here && matches!(unit.ir.expr(call.callee), ExprKind::Member { .. }))
            {
                return innermost(unit, up);
            }
            here = up;
        }
    }
    innermost(unit, query)
}

/// The frame of a function that calls the one of another frame.
fn step(project: &Project, last: &Frame, target: Fun, from: Fun, call: At) -> Option<Frame> {
    let unit = project.unit(call.module)?;
    let mut frame = Frame {
        around: functions(project, from),
        at: call,
        is_place: false,
        is_below: false,
        ids: Vec::new(),
        paths: Vec::new(),
        rows: Vec::new(),
    };
    for id in &last.ids {
        let Some((fun, number, _)) = project.parameter_of(target.module, *id) else { continue };
        if let Some(given) = project.argument(call, fun, number).filter(|_| fun == target) {
            take(project, unit, given, &mut frame);
        }
    }
    keep_rows(project, unit, call, &mut frame);
    derive(project, unit, &mut frame);
    keep_parts(project, unit, frame.at, &mut frame);
    Some(frame)
}

/// Takes the variables that hold the id in another form, `key = UUID(note_id)`, or a copy of it.
pub(super) fn derive(project: &Project, unit: &Unit, frame: &mut Frame) {
    let around: Vec<FunctionId> = frame.around.iter().map(|fun| fun.id).collect();
    for (id, _) in unit.ir.bindings() {
        if frame.ids.contains(&id) || frame.ids.len() > 12 || !around.contains(&unit.ir.binding_function(id))
        {
            continue;
        }
        let is_id = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if frame.ids.contains(own));
        let copies = unit.index.sources(id).iter().any(|source| {
            source.path.is_empty()
                && match unit.ir.expr(source.value) {
                    ExprKind::Name(_) => is_id(source.value),
                    ExprKind::Call(call) => {
                        let plain = project
                            .callee(frame.at.to(source.value))
                            .is_none_or(|callee| callee.targets.is_empty());
                        plain
                            && call.args.len() < 3
                            && call.positional(0).is_some_and(is_id)
                            && !is_asked(unit, call.callee)
                    }
                    _ => false,
                }
        });
        if copies {
            frame.ids.push(id);
        }
    }
}

/// Whether a call asks something for what it is given, and does not only write it otherwise: `db.get(id)`.
fn is_asked(unit: &Unit, callee: ExprId) -> bool {
    let ExprKind::Member { property, .. } = unit.ir.expr(callee) else { return false };
    !matches!(
        unit.ir.text(*property),
        "UUID" | "parse" | "toString" | "trim" | "parseInt" | "isInteger" | "ObjectId" | "cast"
    )
}
