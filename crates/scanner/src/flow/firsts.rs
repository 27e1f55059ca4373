//! Expressions that take any entry of a map or list, whichever comes first or last.

use std::collections::BTreeMap;

use crate::{
    ir::{ExprId, ExprKind, Kinds, Language, NameRef, StmtKind, UnaryOp},
    project::{At, Parent, Project, Unit},
};

impl Project {
    /// The map or list that an expression takes the first entry of, whosever it is: `Object.values(m)[0]`,
    /// `[...m.values()][0]`, `m.values().next().value`, `next(iter(m.values()))`, `list(m.values())[0]`.
    #[must_use]
    pub fn first_of(&self, at: At) -> Option<At> {
        self.firsts().get(&at).copied()
    }

    /// All such expressions, with the map or list of each.
    #[must_use]
    pub fn firsts(&self) -> &BTreeMap<At, At> {
        self.memory.firsts.get_or_init(|| {
            let all = self.units().flat_map(|(module, unit)| {
                unit.ir
                    .exprs_of(Kinds::MEMBER | Kinds::INDEX | Kinds::CALL)
                    .map(move |(expr, _)| At { module, expr })
            });
            all.filter_map(|at| Some((at, self.find_first(at)?))).collect()
        })
    }

    fn find_first(&self, at: At) -> Option<At> {
        let unit = self.unit(at.module)?;
        // Most expressions are nothing of the kind.
        let likely = match unit.ir.expr(at.expr) {
            ExprKind::Index { index, .. } => is_end(unit, *index),
            ExprKind::Member { property, .. } => unit.ir.text(*property) == "value",
            ExprKind::Call(call) => match unit.ir.expr(call.callee) {
                ExprKind::Name(_) => self.last_written(at.to(call.callee)) == Some("next"),
                ExprKind::Member { property, .. } => {
                    matches!(unit.ir.text(*property), "at" | "pop" | "shift")
                }
                _ => false,
            },
            _ => false,
        };
        if !likely {
            return None;
        }
        // `cache.delete(cache.keys().next().value)` makes room.
        if let Parent::Expr(up) = unit.index.parent(at.expr)
            && let ExprKind::Call(call) = unit.ir.expr(up)
            && call.callee != at.expr
            && matches!(
                self.written(at.to(call.callee)).last().map(|name| name.as_str()),
                Some("pop" | "delete" | "remove")
            )
        {
            return None;
        }
        if makes_room(self, unit, at) {
            return None;
        }
        match unit.ir.expr(at.expr) {
            ExprKind::Index { object, index, .. } => {
                if is_end(unit, *index) {
                    listed(unit, at, *object)
                } else {
                    None
                }
            }
            ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "value" => {
                let ExprKind::Call(call) = unit.ir.expr(*object) else { return None };
                let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else {
                    return None;
                };
                if unit.ir.text(*property) == "next" { listed(unit, at, *object) } else { None }
            }
            // `[...m.values()].at(-1)`: the one that came last.
            ExprKind::Call(call) if matches!(unit.ir.expr(call.callee), ExprKind::Member { .. }) => {
                let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
                listed(unit, at, *object)
            }
            ExprKind::Call(call) if matches!(unit.ir.expr(call.callee), ExprKind::Name(_)) => {
                let path = self.written(at.to(call.callee));
                let ["next"] = path.iter().map(|name| name.as_str()).collect::<Vec<_>>().as_slice() else {
                    return None;
                };
                let inner = call.positional(0)?;
                let ExprKind::Call(iter) = unit.ir.expr(inner) else { return None };
                let name = self.written(at.to(iter.callee));
                if name.last().map(|name| name.as_str()) == Some("iter") {
                    let of = iter.positional(0)?;
                    return listed(unit, at, of).or_else(|| Some(at.to(of)));
                }
                listed(unit, at, inner)
            }
            _ => None,
        }
    }
}

/// Whether a variable takes a value, and only says with it what goes: `oldest = next(iter(cache))`, `del cache[oldest]`.
fn makes_room(project: &Project, unit: &Unit, at: At) -> bool {
    let Some(StmtKind::Assign { target, value, .. }) =
        unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt))
    else {
        return false;
    };
    let Some(id) = target.as_binding().filter(|_| *value == at.expr) else { return false };
    let (mut goes, mut stays) = (false, false);
    for used in unit.index.uses(id) {
        let Parent::Expr(up) = unit.index.parent(*used) else {
            stays = true;
            continue;
        };
        match unit.ir.expr(up) {
            ExprKind::Index { index, .. } if *index == *used => {
                let deleted = matches!(unit.index.parent(up), Parent::Stmt(stmt) if matches!(unit.ir.stmt(stmt), StmtKind::Delete(_)));
                goes |= deleted;
                stays |= !deleted;
            }
            ExprKind::Call(call) if call.callee != *used => {
                let name = project.last_written(at.to(call.callee)).unwrap_or_default();
                let removes = matches!(name, "pop" | "delete" | "remove");
                goes |= removes;
                stays |= !removes && !matches!(name, "debug" | "info" | "warn" | "warning" | "log" | "print");
            }
            // `if (oldest !== undefined)`
            ExprKind::Compare { .. } | ExprKind::Template(_) => {}
            _ => stays = true,
        }
    }
    goes && !stays
}

/// Whether an index is that of the first or the last entry: `[0]`, `[-1]`.
#[must_use]
pub fn is_end(unit: &Unit, index: ExprId) -> bool {
    let number = |expr: ExprId, wanted: &str| matches!(unit.ir.expr(expr), ExprKind::Number(text) if unit.ir.text(*text) == wanted);
    match unit.ir.expr(index) {
        ExprKind::Unary { op: UnaryOp::Arithmetic, operand } => {
            number(*operand, "1") && unit.ir.snippet(unit.ir.span(index)) == "-1"
        }
        _ => number(index, "0"),
    }
}

/// The map whose values an expression lists.
fn listed(unit: &Unit, at: At, expr: ExprId) -> Option<At> {
    match unit.ir.expr(expr) {
        ExprKind::Array { items, .. } => {
            let [item] = items.as_ref() else { return None };
            let ExprKind::Spread(value) = unit.ir.expr(*item) else { return None };
            listed(unit, at, *value)
        }
        ExprKind::Call(call) => {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else {
                // `list(m.values())`, `sorted(…)`; `list(m)` has the keys.
                let inner = call.positional(0)?;
                let keys = matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "list")
                    && matches!(unit.ir.expr(inner), ExprKind::Name(_) | ExprKind::Member { .. });
                return listed(unit, at, inner).or_else(|| keys.then(|| at.to(inner)));
            };
            // `[...m.values()].sort(byTime)[0]`: the newest of all.
            if matches!(unit.ir.text(*property), "sort" | "toSorted" | "reverse" | "toReversed") {
                return listed(unit, at, *object);
            }
            match (unit.ir.text(*property), call.positional(0)) {
                ("values" | "entries" | "items", None) => Some(at.to(*object)),
                // Of Python; JavaScript's `keys` has its own way, and is asked to make room.
                ("keys", None) if unit.ir.language == Language::Python => Some(at.to(*object)),
                ("values" | "entries" | "from", Some(of)) => listed(unit, at, of).or_else(|| Some(at.to(of))),
                _ => None,
            }
        }
        _ => None,
    }
}
