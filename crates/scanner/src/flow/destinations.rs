//! Where values go: whether one decides which of the server's own rows, entries or files are reached.

use rustc_hash::FxHashSet;

use crate::{
    ir::{ExprId, ExprKind, FunctionId, NameRef, Pattern, PropertyKey, StmtId, StmtKind},
    library::Role,
    project::{At, Fun, ModuleId, Parent, Project, Step, Unit, Word},
    vocabulary,
};

/// How many calls, assignments and returns a value is followed through.
const DEPTH: u32 = 7;
/// How many places are looked at for one value.
const PLACES: usize = 300;
/// How many calls of a function a value that it returns is followed to.
const CALLERS: usize = 12;

/// Words of what rows, entries or files of the server itself are kept in.
const STORES: &[&str] = &[
    "db",
    "database",
    "repo",
    "repository",
    "repositories",
    "store",
    "stores",
    "storage",
    "dao",
    "prisma",
    "pool",
    "cache",
    "collection",
    "knex",
    "redis",
    "sql",
    "sqlite",
    "postgres",
    "mongo",
    "session_maker",
];

impl Project {
    /// Whether a value is seen to decide what is reached of the server's own: it is a filter of a query, a key of a map that
    /// outlives the request, a part of a file's path, or goes into a call of something that is named for a store. What is only
    /// passed on to another service is none of these.
    #[must_use]
    pub fn reaches_store(&self, at: At) -> bool {
        let mut way = Way { project: self, seen: FxHashSet::default(), guesses: true };
        way.value(at, None, DEPTH)
    }

    /// The same by calls alone of which it is known what they call: that of a method by its name is a guess.
    #[must_use]
    pub fn surely_reaches_store(&self, at: At) -> bool {
        let mut way = Way { project: self, seen: FxHashSet::default(), guesses: false };
        way.value(at, None, DEPTH)
    }

    fn filters(&self) -> &FxHashSet<At> {
        self.memory.filters.get_or_init(|| {
            self.queries().iter().flat_map(|query| query.filters.iter().copied().chain([query.at])).collect()
        })
    }
}

/// A value that is followed.
struct Way<'p> {
    project: &'p Project,
    seen: FxHashSet<At>,
    /// Whether what a method may be by its name alone is followed too.
    guesses: bool,
}

impl Way<'_> {
    /// A value at a place; with the name of the property when the place is an object that holds it.
    fn value(&mut self, at: At, mut key: Option<String>, depth: u32) -> bool {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.project.unit(at.module)) else {
            return false;
        };
        if self.seen.len() >= PLACES || !self.seen.insert(at) {
            return false;
        }
        let mut here = at.expr;
        for _ in 0..20 {
            if self.project.filters().contains(&at.to(here)) {
                return true;
            }
            let parent = match unit.index.parent(here) {
                Parent::Expr(parent) => parent,
                Parent::Stmt(stmt) => return self.statement(unit, at.to(here), stmt, key, depth),
                _ => return false,
            };
            match unit.ir.expr(parent) {
                // `tenant.trim()`
                ExprKind::Call(call) if call.callee == here => {}
                ExprKind::Call(_) => match self.argument(at.to(parent), at.to(here), key.as_ref(), depth) {
                    Some(found) => return found,
                    None => key = None,
                },
                ExprKind::Object(properties) => {
                    key = properties.iter().find(|property| property.value == here).and_then(|property| {
                        match property.key {
                            PropertyKey::Name(name) => Some(unit.ir.text(name).to_owned()),
                            _ => None,
                        }
                    });
                }
                ExprKind::Index { object, index, .. }
                    if *index == here && self.project.store(at.to(*object)).is_some() =>
                {
                    return true;
                }
                ExprKind::Assign { target, value, .. }
                    if *value == here && self.target(at.module, target, key.as_ref(), depth) =>
                {
                    return true;
                }
                ExprKind::Member { property, .. }
                    if key.as_ref().is_some_and(|key| unit.ir.text(*property) == key) =>
                {
                    key = None;
                }
                ExprKind::Compare { .. } | ExprKind::Function(_) => return false,
                _ => {}
            }
            here = parent;
        }
        false
    }

    /// A value that a call is given; nothing when what the call gives is the value again.
    fn argument(&mut self, call: At, value: At, key: Option<&String>, depth: u32) -> Option<bool> {
        let callee = self.project.callee(call)?;
        let named = |part: &Word| vocabulary::words(part).iter().any(|word| STORES.contains(&word.as_str()));
        let joins = matches!(callee.name(), "join" | "open" | "readFile" | "writeFile" | "Path");
        let files = joins
            && callee
                .path
                .iter()
                .any(|part| matches!(part.as_str(), "path" | "fs" | "open" | "Path" | "fsp" | "promises"));
        let context = callee
            .defs
            .iter()
            .any(|def| matches!(def.role, Role::ContextSet | Role::ContextRun | Role::Query));
        if callee.path.iter().any(named) || files || (context && self.project.keeps_rows(call.module)) {
            return Some(true);
        }
        let mut targets: Vec<Fun> = callee.targets.clone();
        if targets.is_empty() {
            return if callee.says.converts() { None } else { Some(false) };
        }
        if !callee.certain && !self.guesses {
            return Some(false);
        }
        // A method's name that many classes have says little.
        targets.truncate(if callee.certain { 4 } else { 2 });
        Some(targets.into_iter().any(|target| self.into(call, value, target, key, depth)))
    }

    /// A value that goes into a function as one of its arguments.
    fn into(&mut self, call: At, value: At, target: Fun, key: Option<&String>, depth: u32) -> bool {
        let Some(unit) = self.project.unit(target.module) else { return false };
        let Some(function) = unit.ir.function(target.id) else { return false };
        let given =
            |number: &usize| self.project.argument(call, target, *number).is_some_and(|own| own == value);
        let Some(number) = (0..function.params.len()).find(given) else { return false };
        let Some(parameter) = function.params.get(number) else { return false };
        self.pattern(target.module, &parameter.pattern, key, depth)
    }

    /// What a pattern binds of a value.
    fn pattern(&mut self, module: ModuleId, pattern: &Pattern, key: Option<&String>, depth: u32) -> bool {
        let Some(unit) = self.project.unit(module) else { return false };
        let mut bindings = Vec::new();
        pattern.for_each_binding(&mut |id| bindings.push(id));
        let whole = pattern.as_binding().is_some();
        let fits = |id: &crate::ir::BindingId| {
            let path = self.project.parameter_of(module, *id).map(|(_, _, path)| path).unwrap_or_default();
            let taken = path.iter().find_map(|step| match step {
                Step::Key(name) => Some(unit.ir.text(*name)),
                _ => None,
            });
            whole || key.is_none_or(|key| taken.unwrap_or_else(|| unit.ir.binding_name(*id)) == key)
        };
        bindings.retain(fits);
        let key = if whole { key.cloned() } else { None };
        bindings.into_iter().take(8).any(|id| {
            let uses = unit.index.uses(id).iter().take(24);
            let uses: Vec<ExprId> = uses.copied().collect();
            uses.into_iter().any(|expr| self.used(unit, At { module, expr }, key.as_ref(), depth))
        })
    }

    /// A use of a variable that holds the value, or an object with it: of an object another property is something else.
    fn used(&mut self, unit: &Unit, at: At, key: Option<&String>, depth: u32) -> bool {
        if let (Some(key), Parent::Expr(parent)) = (key, unit.index.parent(at.expr))
            && let ExprKind::Member { object, property, .. } = unit.ir.expr(parent)
            && *object == at.expr
            && unit.ir.text(*property) != key
            && !matches!(unit.index.parent(parent), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee == parent))
        {
            return false;
        }
        self.value(at, key.cloned(), depth)
    }

    fn target(&mut self, module: ModuleId, target: &Pattern, key: Option<&String>, depth: u32) -> bool {
        let Some(unit) = self.project.unit(module) else { return false };
        let Pattern::Place(place) = target else { return self.pattern(module, target, key, depth) };
        // `params["tenant"] = tenant`: the object that holds it is followed.
        let mut root = *place;
        while let ExprKind::Member { object, .. } | ExprKind::Index { object, .. } = unit.ir.expr(root) {
            root = *object;
        }
        if let ExprKind::Index { object, .. } = unit.ir.expr(*place)
            && self.project.store(At { module, expr: *object }).is_some()
        {
            return true;
        }
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(root) else { return false };
        let uses: Vec<ExprId> =
            unit.index.uses(*id).iter().take(16).copied().filter(|own| *own != root).collect();
        uses.into_iter().any(|expr| self.value(At { module, expr }, None, depth))
    }

    fn statement(&mut self, unit: &Unit, at: At, stmt: StmtId, key: Option<String>, depth: u32) -> bool {
        match unit.ir.stmt(stmt) {
            StmtKind::Assign { target, value, .. } if *value == at.expr => {
                self.target(at.module, target, key.as_ref(), depth)
            }
            StmtKind::Return(Some(_)) => {
                let id = unit.index.stmt_function(stmt);
                if id == FunctionId::MODULE {
                    return false;
                }
                let callers: Vec<At> = self
                    .project
                    .callers(Fun { module: at.module, id })
                    .iter()
                    .take(CALLERS)
                    .copied()
                    .collect();
                callers.into_iter().any(|call| self.value(call, key.clone(), depth))
            }
            _ => false,
        }
    }
}
