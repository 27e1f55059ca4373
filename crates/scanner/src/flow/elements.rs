//! Items of lists and tables that are written out, as a loop, a callback or a pattern takes them: `t.call` of
//! `for (const t of tools) server.registerTool(t.id, {}, t.call)`.

use crate::{
    ir::{ArgKind, BindingId, BindingKind, ExprId, ExprKind, NameRef, PropertyKey},
    project::{At, Fun, Parent, Project, Step, Symbol, Unit},
};

/// How many values are followed from one to the next.
const STEPS: u32 = 10;

/// How many items are looked at.
const ITEMS: usize = 64;

/// How many uses of a list are looked at for what is put into it.
const USES: usize = 32;

/// Methods that call a function with each item of what they are called on.
const EACH: &[&str] = &["forEach", "map", "flatMap", "filter", "some", "every"];

/// Methods that put an item into a list, and which argument it is.
const PUTS: &[(&str, usize)] = &[("push", 0), ("append", 0), ("add", 0), ("unshift", 0)];

/// A part of a value, or an item of a pair of a key and a value.
#[derive(Debug, Clone, Copy)]
enum Item {
    /// A value that is written somewhere.
    Value(At),
    /// The key and value of a property of which only the value is known.
    Pair(At),
}

impl Project {
    /// The values, as they are written, that an expression may be which takes them out of lists and tables; at least itself.
    pub(super) fn elements(&self, at: At) -> Vec<At> {
        self.elements_in(at, STEPS)
    }

    /// What the arguments of a call are, also where one list of them is spread: `register(...tool)`.
    pub(super) fn spread_items(&self, call: At) -> Vec<At> {
        let Some(unit) = self.unit(call.module) else { return Vec::new() };
        let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return Vec::new() };
        let [only] = &*expr.args else { return Vec::new() };
        if !matches!(only.kind, ArgKind::Spread) {
            return Vec::new();
        }
        let lists = self.elements_in(call.to(only.value), STEPS);
        lists.into_iter().find_map(|list| Some(self.items_of_array(list)?.collect())).unwrap_or_default()
    }

    /// The items of a list or tuple that is written out.
    pub(super) fn items_of_array(&self, at: At) -> Option<impl Iterator<Item = At>> {
        let unit = self.unit(at.module)?;
        let ExprKind::Array { items, .. } = unit.ir.expr(at.expr) else { return None };
        Some(items.iter().take(ITEMS).map(move |item| at.to(*item)))
    }

    fn elements_in(&self, at: At, steps: u32) -> Vec<At> {
        let Some(steps) = steps.checked_sub(1) else { return Vec::new() };
        let Some(unit) = self.unit(at.module) else { return Vec::new() };
        match unit.ir.expr(at.expr) {
            ExprKind::Name(NameRef::Binding(id)) => self.elements_of_name(at, *id, steps),
            ExprKind::Member { object, property, .. } => {
                let name = unit.ir.text(*property);
                match self.symbol(at) {
                    Symbol::Value(value) => return vec![value],
                    Symbol::Function(_) => return vec![at],
                    _ => {}
                }
                self.parts(&self.elements_in(at.to(*object), steps), name)
            }
            ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
                ExprKind::String(name) => {
                    self.parts(&self.elements_in(at.to(*object), steps), unit.ir.text(*name))
                }
                _ => vec![at],
            },
            ExprKind::Await(value) | ExprKind::Spread(value) => self.elements_in(at.to(*value), steps),
            ExprKind::Call(call) => match self.symbol(at) {
                Symbol::Value(value) => vec![value],
                // `defineTool({ … })`, `Object.freeze([…])`: what is given is what comes back, or in it.
                _ => match call.args.first() {
                    Some(first)
                        if call.args.len() == 1
                            && matches!(
                                unit.ir.expr(first.value),
                                ExprKind::Object(_) | ExprKind::Array { .. }
                            ) =>
                    {
                        vec![at.to(first.value)]
                    }
                    _ => vec![at],
                },
            },
            _ => vec![at],
        }
    }

    /// The part of that name of each of several records.
    fn parts(&self, records: &[At], name: &str) -> Vec<At> {
        records.iter().filter_map(|record| self.property_value(*record, name)).collect()
    }

    fn elements_of_name(&self, at: At, id: BindingId, steps: u32) -> Vec<At> {
        let (module, id) = self.declared(at.module, id).unwrap_or((at.module, id));
        let Some(unit) = self.unit(module) else { return vec![at] };
        match unit.ir.binding(id).map(|binding| binding.kind) {
            Some(BindingKind::Parameter(_)) => self.elements_of_parameter(unit, at, (module, id), steps),
            Some(BindingKind::Variable | BindingKind::Other) => {
                let mut found = Vec::new();
                for source in unit.index.sources(id).iter().take(4) {
                    found.extend(self.taken(At { module, expr: source.value }, &source.path, steps));
                }
                found.truncate(ITEMS);
                if found.is_empty() { vec![at] } else { found }
            }
            // `import tools from "./tools"` of a default that is written out.
            Some(BindingKind::Import(_)) => match self.symbol(at) {
                Symbol::Value(value) => vec![value],
                _ => vec![at],
            },
            _ => vec![at],
        }
    }

    /// What a parameter is of a function that is called with each item, `tools.forEach((tool) => …)`, or with an item by a loop.
    fn elements_of_parameter(
        &self,
        unit: &Unit,
        at: At,
        (module, id): (crate::project::ModuleId, BindingId),
        steps: u32,
    ) -> Vec<At> {
        let Some((fun, number, path)) = self.parameter_of(module, id) else { return vec![at] };
        if number == 0
            && let Some(list) = listed(unit, fun)
        {
            let path: Vec<Step> = std::iter::once(Step::Any).chain(path).collect();
            return self.taken(At { module, expr: list }, &path, steps);
        }
        if self.entry_of.contains_key(&fun) {
            return vec![at];
        }
        let mut found = Vec::new();
        for call in self.callers(fun).iter().take(4) {
            if let Some(given) = self.argument(*call, fun, number) {
                found.extend(self.taken(given, &path, steps));
            }
        }
        found.truncate(ITEMS);
        if found.is_empty() { vec![at] } else { found }
    }

    /// What a pattern or a loop takes out of a value.
    fn taken(&self, value: At, path: &[Step], steps: u32) -> Vec<At> {
        let Some(unit) = self.unit(value.module) else { return Vec::new() };
        if path.is_empty() {
            return self.elements_in(value, steps);
        }
        let mut items: Vec<Item> = vec![Item::Value(value)];
        for step in path {
            items = match step {
                Step::Any => items.iter().flat_map(|item| self.each(*item, steps)).take(ITEMS).collect(),
                Step::Key(name) => {
                    let name = unit.ir.text(*name);
                    let records: Vec<At> = items
                        .iter()
                        .flat_map(|item| match item {
                            Item::Value(at) => self.elements_in(*at, steps),
                            Item::Pair(_) => Vec::new(),
                        })
                        .collect();
                    self.parts(&records, name).into_iter().map(Item::Value).collect()
                }
                Step::Item(number) => items
                    .iter()
                    .flat_map(|item| match item {
                        Item::Pair(value) if *number == 1 => vec![Item::Value(*value)],
                        Item::Pair(_) => Vec::new(),
                        Item::Value(at) => {
                            let lists = self.elements_in(*at, steps);
                            let part =
                                |list: At| self.items_of_array(list)?.nth(*number as usize).map(Item::Value);
                            lists.into_iter().filter_map(part).collect()
                        }
                    })
                    .collect(),
                Step::Rest | Step::Entered => return Vec::new(),
            };
        }
        let values = items.into_iter().filter_map(|item| match item {
            Item::Value(at) => Some(at),
            Item::Pair(_) => None,
        });
        values.flat_map(|at| self.elements_in(at, steps)).take(ITEMS).collect()
    }

    /// The items of a list, the pairs of a table, or its values: of `tools`, `Object.entries(tools)`, `tools.items()`.
    fn each(&self, item: Item, steps: u32) -> Vec<Item> {
        let (Item::Value(at), Some(steps)) = (item, steps.checked_sub(1)) else { return Vec::new() };
        let Some(unit) = self.unit(at.module) else { return Vec::new() };
        if let ExprKind::Call(call) = unit.ir.expr(at.expr) {
            let (table, pairs) = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, property, .. } => {
                    let object_of_js = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "Object");
                    let of = if object_of_js { call.positional(0) } else { Some(*object) };
                    match unit.ir.text(*property) {
                        "entries" | "items" => (of, true),
                        "values" => (of, false),
                        _ => (None, false),
                    }
                }
                _ => (None, false),
            };
            if let Some(table) = table {
                let tables = self.elements_in(at.to(table), steps);
                return tables
                    .into_iter()
                    .flat_map(|table| self.values_of(table, pairs))
                    .take(ITEMS)
                    .collect();
            }
        }
        let mut found = Vec::new();
        for list in self.elements_in(at, steps) {
            for item in self.items_of_array(list).into_iter().flatten() {
                let spread = self
                    .unit(item.module)
                    .is_some_and(|unit| matches!(unit.ir.expr(item.expr), ExprKind::Spread(_)));
                if spread {
                    found.extend(self.each(Item::Value(item), steps));
                } else {
                    found.push(Item::Value(item));
                }
            }
        }
        found.extend(self.put_into(at).into_iter().map(Item::Value));
        found.truncate(ITEMS);
        found
    }

    /// The values of a table that is written out, alone or with their keys.
    fn values_of(&self, table: At, pairs: bool) -> Vec<Item> {
        let Some(unit) = self.unit(table.module) else { return Vec::new() };
        let item = |at: At| if pairs { Item::Pair(at) } else { Item::Value(at) };
        match unit.ir.expr(table.expr) {
            ExprKind::Object(properties) => {
                let named = properties.iter().filter(|own| !matches!(own.key, PropertyKey::Spread));
                named.map(|own| item(table.to(own.value))).collect()
            }
            // `new Map([["a", a]])`
            ExprKind::Array { items, .. } => {
                let second = |pair: &ExprId| self.items_of_array(table.to(*pair))?.nth(1).map(item);
                items.iter().filter_map(second).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What is put into a list that a name of a module stands for: `tools.push(tool)`.
    fn put_into(&self, at: At) -> Vec<At> {
        let Some(unit) = self.unit(at.module) else { return Vec::new() };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return Vec::new() };
        let (module, id) = self.declared(at.module, *id).unwrap_or((at.module, *id));
        let Some(home) = self.unit(module) else { return Vec::new() };
        let put = |used: &ExprId| {
            let Parent::Expr(member) = home.index.parent(*used) else { return None };
            let ExprKind::Member { property, .. } = home.ir.expr(member) else { return None };
            let Parent::Expr(up) = home.index.parent(member) else { return None };
            let ExprKind::Call(call) = home.ir.expr(up) else { return None };
            let name = home.ir.text(*property);
            let (_, place) = PUTS.iter().find(|(own, _)| *own == name && call.callee == member)?;
            Some(At { module, expr: call.positional(*place)? })
        };
        home.index.uses(id).iter().take(USES).filter_map(put).collect()
    }
}

/// The list whose items a function is called with, each by itself: `tools` of `tools.forEach((tool) => …)`.
fn listed(unit: &Unit, fun: Fun) -> Option<ExprId> {
    let Parent::Expr(up) = unit.index.parent(unit.index.site(fun.id)?) else { return None };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    EACH.contains(&unit.ir.text(*property)).then_some(*object)
}
