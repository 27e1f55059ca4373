//! Counts and times: what a limiter or a statistic keeps, which is nobody's data.

use crate::{
    ir::{BinaryOp, BindingId, ExprId, ExprKind, NameRef, PropertyKey},
    project::{At, Project, Unit},
    vocabulary,
};

/// Calls that give a time or a number.
const NUMBERS: &[&str] = &[
    "now",
    "time",
    "monotonic",
    "perf_counter",
    "time_ns",
    "utcnow",
    "getTime",
    "valueOf",
    "floor",
    "ceil",
    "round",
    "trunc",
    "min",
    "max",
    "Date",
    "timestamp",
    "total_seconds",
    "len",
];

/// Calls that give what was kept before, or an empty thing.
const KEPT: &[&str] =
    &["get", "setdefault", "pop", "list", "dict", "set", "deque", "Array", "defaultdict", "filter", "slice"];

/// Last words of parameters that are numbers or times.
const MEASURES: &[&str] = &[
    "ms", "sec", "seconds", "limit", "max", "now", "time", "count", "window", "day", "hour", "minute",
    "today", "span", "amount", "at", "ts",
];

/// How many assignments and parts a value is followed through.
const STEPS: u32 = 8;

/// What a part of a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Nothing: empty, or what was there before.
    Silent,
    /// It is a number or a time.
    Number,
    /// It is something else.
    Other,
}

impl Project {
    /// Whether a value is made of numbers and times alone: `{ count: 1, since: Date.now() }`, or a list of moments.
    #[must_use]
    pub fn is_tally(&self, at: At) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        Parts { project: self, unit, at, seen: Vec::new() }.of(at.expr, STEPS) == Part::Number
    }
}

struct Parts<'p> {
    project: &'p Project,
    unit: &'p Unit,
    at: At,
    seen: Vec<BindingId>,
}

impl Parts<'_> {
    fn of(&mut self, expr: ExprId, steps: u32) -> Part {
        let Some(steps) = steps.checked_sub(1) else { return Part::Other };
        let unit = self.unit;
        match unit.ir.expr(expr) {
            ExprKind::Number(_) => Part::Number,
            ExprKind::Bool(_)
            | ExprKind::Null
            | ExprKind::Missing
            | ExprKind::Index { .. }
            | ExprKind::Comprehension(_) => Part::Silent,
            ExprKind::Unary { operand, .. } => self.of(*operand, steps),
            ExprKind::Binary { op, left, right } => self.of_both(*op, *left, *right, steps),
            ExprKind::Logical { left, right, .. } => self.of(*left, steps).max(self.of(*right, steps)),
            ExprKind::Conditional { then, otherwise, .. } => {
                self.of(*then, steps).max(self.of(*otherwise, steps))
            }
            ExprKind::Array { items, .. } => self.most(items.iter().copied(), steps),
            ExprKind::Spread(value) => self.of(*value, steps),
            ExprKind::Object(properties) => {
                let plain =
                    properties.iter().all(|property| !matches!(property.key, PropertyKey::Computed(_)));
                if plain {
                    self.most(properties.iter().map(|property| property.value), steps)
                } else {
                    Part::Other
                }
            }
            ExprKind::Call(call) => {
                let name = self.project.last_written(self.at.to(call.callee)).unwrap_or_default();
                if NUMBERS.contains(&name) {
                    Part::Number
                } else if KEPT.contains(&name) && !matches!(unit.ir.expr(call.callee), ExprKind::Missing) {
                    match unit.ir.expr(call.callee) {
                        ExprKind::Member { object, .. } if matches!(name, "filter" | "slice") => {
                            self.of(*object, steps)
                        }
                        _ => Part::Silent,
                    }
                } else {
                    Part::Other
                }
            }
            ExprKind::Name(NameRef::Binding(id)) => self.of_variable(*id, steps),
            _ => Part::Other,
        }
    }

    fn most(&mut self, parts: impl Iterator<Item = ExprId>, steps: u32) -> Part {
        let mut most = Part::Silent;
        for part in parts {
            most = most.max(self.of(part, steps));
        }
        most
    }

    /// A sum of a number and anything but a text is a number: `entry.count + 1`.
    fn of_both(&mut self, op: BinaryOp, left: ExprId, right: ExprId, steps: u32) -> Part {
        let member = |expr: ExprId| {
            matches!(self.unit.ir.expr(expr), ExprKind::Member { .. } | ExprKind::Index { .. })
        };
        let (member_left, member_right) = (member(left), member(right));
        let mut side =
            |expr: ExprId, is_member: bool| if is_member { Part::Silent } else { self.of(expr, steps) };
        let sum = side(left, member_left).max(side(right, member_right));
        if matches!(op, BinaryOp::BitOr | BinaryOp::BitAnd) { Part::Other } else { sum }
    }

    /// All that a variable is set to, all that is put into it, and all that its fields are set to.
    fn of_variable(&mut self, id: BindingId, steps: u32) -> Part {
        if self.seen.contains(&id) {
            return Part::Silent;
        }
        self.seen.push(id);
        let unit = self.unit;
        let sources = unit.index.sources(id);
        if sources.is_empty() {
            let measures = vocabulary::words(unit.ir.binding_name(id))
                .last()
                .is_some_and(|word| MEASURES.contains(&word.as_str()));
            return if measures { Part::Number } else { Part::Other };
        }
        let mut most = self.most(sources.iter().map(|source| source.value), steps);
        for used in unit.index.uses(id).iter().take(24) {
            let crate::project::Parent::Expr(member) = unit.index.parent(*used) else { continue };
            let ExprKind::Member { property, .. } = unit.ir.expr(member) else { continue };
            let put = match unit.index.parent(member) {
                crate::project::Parent::Expr(call) => match unit.ir.expr(call) {
                    ExprKind::Call(call)
                        if call.callee == member
                            && matches!(unit.ir.text(*property), "push" | "append" | "add" | "unshift") =>
                    {
                        call.positional(0)
                    }
                    _ => None,
                },
                _ => None,
            };
            let set = unit.index.writes.iter().filter(|write| write.place == member).map(|write| write.value);
            most = most.max(self.most(put.into_iter().chain(set).collect::<Vec<_>>().into_iter(), steps));
        }
        most
    }
}
