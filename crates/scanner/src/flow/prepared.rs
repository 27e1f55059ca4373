//! What a text of SQL is run with: values beside it, and those that a prepared statement is given later, wherever that is.

use crate::{
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, Pattern, PropertyKey, StmtKind},
    project::{At, Fun, Parent, Project, Unit, Word},
};

/// A run of a statement: in which function, and with which values.
pub(super) struct Run {
    /// The function that runs it.
    pub(super) function: Fun,
    /// The values.
    pub(super) values: Vec<At>,
}

/// Methods that run a prepared statement, or give it its values.
const RUNS: &[&str] =
    &["get", "all", "run", "iterate", "first", "each", "raw", "values", "bind", "execute", "pluck"];

/// How many steps a text is followed to what runs it.
const STEPS: usize = 10;

/// How many runs of a statement are looked at.
const MOST: usize = 12;

/// Whether an expression is a statement that was prepared: `db.prepare("…")`, `db.prepare("…").bind(id)`, or a variable that was set
/// to one.
pub(super) fn is_statement(unit: &Unit, expr: ExprId) -> bool {
    let mut here = expr;
    for _ in 0..4 {
        here = match unit.ir.expr(here) {
            ExprKind::Call(call) => match unit.ir.expr(call.callee) {
                ExprKind::Member { property, .. } if unit.ir.text(*property) == "prepare" => return true,
                ExprKind::Member { object, .. } => *object,
                _ => return false,
            },
            ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
                [source] if source.path.is_empty() => source.value,
                _ => return false,
            },
            _ => return false,
        };
    }
    false
}

/// The variable that an object literal is the value of.
fn bound_to(unit: &Unit, object: ExprId) -> Option<BindingId> {
    let Parent::Stmt(stmt) = unit.index.parent(object) else { return None };
    match unit.ir.stmt(stmt) {
        StmtKind::Assign { target, .. } => target.as_binding(),
        _ => None,
    }
}

impl Project {
    /// The runs of a text of SQL; one without values where none is seen.
    pub(super) fn runs_of(&self, unit: &Unit, at: At) -> Vec<Run> {
        let mut runs = self.follow_text(unit, at, at.expr);
        if runs.is_empty() {
            runs.push(Run { function: self.function_of(at), values: Vec::new() });
        }
        runs.truncate(MOST);
        runs
    }

    /// `run(sql, values)`, `execute(text("…"), {…})`, `db.prepare("…").get(id)`, `const sql = "…"; run(sql, values)`.
    fn follow_text(&self, unit: &Unit, at: At, from: ExprId) -> Vec<Run> {
        let mut text = from;
        for _ in 0..STEPS {
            match unit.index.parent(text) {
                Parent::Expr(parent) => match unit.ir.expr(parent) {
                    ExprKind::Call(call) => {
                        let others: Vec<At> = call
                            .args
                            .iter()
                            .filter(|arg| arg.value != text)
                            .map(|arg| at.to(arg.value))
                            .collect();
                        if !others.is_empty() {
                            return vec![Run { function: self.function_of(at.to(parent)), values: others }];
                        }
                        text = parent;
                    }
                    // `db.prepare("…").get(id)`
                    ExprKind::Member { object, property, .. }
                        if *object == text && RUNS.contains(&unit.ir.text(*property)) =>
                    {
                        text = parent;
                    }
                    ExprKind::Await(_) => text = parent,
                    // `const statements = { byId: db.prepare("…") }`
                    ExprKind::Object(properties) => {
                        let key = properties.iter().find_map(|property| match property.key {
                            PropertyKey::Name(name) if property.value == text => Some(unit.ir.text(name)),
                            _ => None,
                        });
                        let Some((key, mut path)) = key.zip(self.named_target(unit, at, parent)) else {
                            return Vec::new();
                        };
                        path.push(Word::new(key));
                        let runs = self.runs_under(unit, at, &path);
                        return match bound_to(unit, parent) {
                            Some(id) if runs.is_empty() => self.runs_of_kept(unit, at, id, Some(key)),
                            _ => runs,
                        };
                    }
                    _ => return Vec::new(),
                },
                Parent::Stmt(stmt) => {
                    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return Vec::new() };
                    let Some(id) = target.as_binding() else {
                        // `this.byId = db.prepare("…")`
                        let Pattern::Place(place) = target else { return Vec::new() };
                        return self.runs_under(unit, at, &self.written(at.to(*place)));
                    };
                    // A statement that is kept is run in several places.
                    let kept = unit.index.function(text) == FunctionId::MODULE && text != from;
                    let most = if kept { MOST } else { 1 };
                    let uses = unit.index.uses(id).iter().take(most);
                    let runs: Vec<Run> = uses.flat_map(|used| self.run_at(unit, at, *used)).collect();
                    return if runs.is_empty() { self.runs_of_kept(unit, at, id, None) } else { runs };
                }
                _ => return Vec::new(),
            }
        }
        Vec::new()
    }

    /// The run that a use of a text or of a statement begins.
    pub(super) fn run_at(&self, unit: &Unit, at: At, used: ExprId) -> Vec<Run> {
        let mut here = used;
        for _ in 0..STEPS {
            let Parent::Expr(parent) = unit.index.parent(here) else { return Vec::new() };
            match unit.ir.expr(parent) {
                ExprKind::Call(call) => {
                    let others: Vec<At> = call
                        .args
                        .iter()
                        .filter(|arg| arg.value != here)
                        .map(|arg| at.to(arg.value))
                        .collect();
                    if !others.is_empty() {
                        return vec![Run { function: self.function_of(at.to(parent)), values: others }];
                    }
                }
                ExprKind::Member { object, property, .. }
                    if *object == here && RUNS.contains(&unit.ir.text(*property)) => {}
                ExprKind::Await(_) => {}
                _ => return Vec::new(),
            }
            here = parent;
        }
        Vec::new()
    }

    /// The name that an object literal is given.
    fn named_target(&self, unit: &Unit, at: At, object: ExprId) -> Option<Vec<Word>> {
        let Parent::Stmt(stmt) = unit.index.parent(object) else { return None };
        let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return None };
        match target {
            Pattern::Binding(id) => Some(vec![Word::new(unit.ir.binding_name(*id))]),
            Pattern::Place(place) => Some(self.written(at.to(*place))),
            _ => None,
        }
    }

    /// The runs of a statement that is kept under a path of names in its module.
    fn runs_under(&self, unit: &Unit, at: At, path: &[Word]) -> Vec<Run> {
        if path.len() < 2 {
            return Vec::new();
        }
        let mut runs = Vec::new();
        for call in &unit.index.calls {
            let ExprKind::Call(own) = unit.ir.expr(*call) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(own.callee) else { continue };
            if own.args.is_empty() || !RUNS.contains(&unit.ir.text(*property)) || runs.len() >= MOST {
                continue;
            }
            if self.written(at.to(*object)) == path {
                let values = own.args.iter().map(|arg| at.to(arg.value)).collect();
                runs.push(Run { function: self.function_of(at.to(*call)), values });
            }
        }
        runs
    }
}
