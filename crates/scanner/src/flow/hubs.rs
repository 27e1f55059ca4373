//! What most of a project's rows hang below: an account, a project, a space of its own word. A query that names it means one tenant.

use std::collections::{BTreeMap, BTreeSet};

use super::{Query, Scope, singular};
use crate::{
    ir::{ArgKind, ExprId, ExprKind, NameRef, PropertyKey, TemplatePart, walk},
    project::{Project, Unit},
    tables::{key, level_of_table},
    vocabulary,
};

/// Of how many tables something has to be the parent.
const CHILDREN: usize = 3;

/// Words of parents that are things of a tenant, and never the tenant, however much hangs below them.
const THINGS: &[&str] = &[
    "agent",
    "app",
    "channel",
    "chat",
    "collection",
    "conversation",
    "dataset",
    "document",
    "event",
    "file",
    "flow",
    "group",
    "issue",
    "job",
    "message",
    "note",
    "page",
    "post",
    "prompt",
    "role",
    "run",
    "server",
    "session",
    "source",
    "task",
    "thread",
    "tool",
    "workflow",
];

/// What hangs below what, by the schema.
#[derive(Debug, Default)]
pub(crate) struct Hubs {
    /// The parents that stand for a tenant, as entities.
    parents: BTreeSet<String>,
    /// Columns that refer to one of them, by the entity that has them, as words that are joined.
    columns: BTreeMap<String, BTreeSet<String>>,
}

impl Project {
    fn hubs(&self) -> &Hubs {
        self.memory.hubs.get_or_init(|| self.find_hubs())
    }

    fn find_hubs(&self) -> Hubs {
        let mut below: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for table in self.tables.tables.values() {
            for column in &table.columns {
                let Some(to) = &column.references else { continue };
                let parent = self.tables.tables.get(&key(to)).or_else(|| self.tables.table(to));
                let owned =
                    parent.is_some_and(|parent| parent.owner.as_ref().is_some_and(|owner| !owner.itself));
                if owned && level_of_table(&to.name).is_none() && to.name != table.name.name {
                    below
                        .entry(singular(&to.name))
                        .or_default()
                        .push((singular(&table.name.name), joined(&column.name)));
                }
            }
        }
        let children =
            |list: &[(String, String)]| list.iter().map(|(table, _)| table).collect::<BTreeSet<_>>().len();
        let most = below.values().map(|list| children(list)).max().unwrap_or(0);
        let mut hubs = Hubs::default();
        for (parent, list) in below {
            let many = children(&list);
            if many < CHILDREN || many * 2 < most || THINGS.contains(&parent.as_str()) {
                continue;
            }
            for (table, column) in list {
                hubs.columns.entry(table).or_default().insert(column);
            }
            hubs.parents.insert(parent);
        }
        hubs
    }

    /// Whether a query names what most rows of the project hang below: `where: { id, mailboxId }`, where nearly every table
    /// refers to a mailbox.
    #[must_use]
    pub fn names_hub(&self, query: &Query) -> bool {
        let hubs = self.hubs();
        if hubs.parents.is_empty() {
            return false;
        }
        let columns = hubs.columns.get(&query.entity);
        let names = |name: &str| {
            let name = joined(name);
            let id = name
                .strip_suffix("ids")
                .or_else(|| name.strip_suffix("id"))
                .or_else(|| name.strip_suffix("uuid"));
            columns.is_some_and(|columns| columns.contains(&name))
                || id.is_some_and(|stem| hubs.parents.contains(stem))
        };
        let Some(unit) = self.unit(query.at.module) else { return false };
        let mut found = false;
        let mut sources: Vec<ExprId> = Vec::new();
        walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| {
            found |= names_in(unit, expr, &names);
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
                && !unit.ir.is_module_level(*id)
            {
                sources.extend(unit.index.sources(*id).iter().take(4).map(|source| source.value));
            }
        });
        // What a variable in it was set to: `const mine = sql`…`, `where = { … }`.
        for source in sources.into_iter().take(16) {
            walk::exprs_below(&unit.ir, source, &mut |expr| found |= names_in(unit, expr, &names));
        }
        found || query.filters.iter().any(|at| self.written(*at).last().is_some_and(|name| names(name)))
    }

    /// Whether a query says whose rows it means: by an owner, by a tenant in the project's own word, or by what most rows hang
    /// below.
    #[must_use]
    pub fn says_whose(&self, query: &Query) -> bool {
        query.scope == Scope::Owner || query.tied || self.names_hub(query)
    }
}

/// Whether an expression has such a name in it.
fn names_in(unit: &Unit, expr: ExprId, names: &impl Fn(&str) -> bool) -> bool {
    let text = |text: &str| {
        if text.contains([' ', '=']) {
            text.split(|char: char| !(char.is_alphanumeric() || char == '_')).any(names)
        } else {
            names(text)
        }
    };
    match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => names(unit.ir.text(*property)),
        ExprKind::Name(NameRef::Binding(id)) => names(unit.ir.binding_name(*id)),
        ExprKind::String(own) => text(unit.ir.text(*own)),
        ExprKind::Template(parts) | ExprKind::Tagged { parts, .. } => {
            parts.iter().any(|part| matches!(part, TemplatePart::Text(own) if text(unit.ir.text(*own))))
        }
        ExprKind::Object(properties) => properties
            .iter()
            .any(|property| matches!(property.key, PropertyKey::Name(name) if names(unit.ir.text(name)))),
        ExprKind::Call(call) => call
            .args
            .iter()
            .any(|arg| matches!(arg.kind, ArgKind::Keyword(name) if names(unit.ir.text(name)))),
        _ => false,
    }
}

/// The words of a name as one, in lower case.
fn joined(name: &str) -> String {
    vocabulary::words(name).join("")
}
