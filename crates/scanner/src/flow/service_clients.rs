//! Clients of a database that its policies do not bind, because they have the service's own key.

use super::{Query, chains::innermost};
use crate::{
    ir::{Call, ExprId, ExprKind, Kinds, Module, NameRef, walk},
    lang::sql::Name,
    project::{At, Parent, Project, Unit},
    vocabulary,
};

/// How many functions a client is followed through to where it is made.
const STEPS: u32 = 4;

/// Functions that make a client of Supabase.
const MAKES: &[&str] =
    &["createClient", "create_client", "createServerClient", "acreate_client", "create_async_client"];

impl Project {
    /// Whether a call that makes a client gives it the service's key; nothing where it makes none.
    pub(crate) fn is_service_client(&self, at: At, call: &Call) -> Option<bool> {
        let unit = self.unit(at.module)?;
        let callee = self.callee(at)?;
        let makes = MAKES.contains(&callee.name())
            && callee.package.as_deref().is_none_or(|package| package.contains("supabase"));
        makes.then(|| call.args.iter().any(|arg| names_service(self, &unit.ir, at.module, arg.value)))
    }

    /// Whether the client that a query is called on skips the policies of the tables: it says so by its name, or all that the server
    /// makes do.
    pub(crate) fn skips_policies(&self, query: At) -> bool {
        let Some(unit) = self.unit(query.module) else { return false };
        let root = innermost(unit, query.expr);
        let named = match unit.ir.expr(root) {
            ExprKind::Name(NameRef::Binding(id)) => says_service(unit.ir.binding_name(*id)),
            _ => false,
        };
        named
            || *self.memory.only_service.get_or_init(|| self.has_only_service_clients())
            || self.is_made_with_service_key(unit, query.to(root))
    }

    /// Whether the client that a query is called on is made with the service's key, as far as that is followed:
    /// `db = get_client()`, `createAdminClient().from("notes")`.
    fn is_made_with_service_key(&self, unit: &Unit, root: At) -> bool {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(root.expr) else { return false };
        // `getClient().from("notes")` begins with the function's name.
        if let Parent::Expr(up) = unit.index.parent(root.expr)
            && matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee == root.expr)
        {
            return self.gives_service_client(root.to(up), STEPS) == Some(true);
        }
        let own = unit.index.function(root.expr);
        let sources =
            unit.index.sources(*id).iter().filter(|source| source.path.is_empty() && source.function == own);
        let mut made = sources.take(2).map(|source| {
            let value = match unit.ir.expr(source.value) {
                ExprKind::Await(inner) => *inner,
                _ => source.value,
            };
            self.gives_service_client(root.to(value), STEPS)
        });
        made.next().is_some_and(|first| first == Some(true)) && made.all(|other| other == Some(true))
    }

    /// Whether a call gives a client with the service's key: it makes it, or calls a function of ours that makes no other one. Nothing
    /// where no client is made.
    fn gives_service_client(&self, at: At, depth: u32) -> Option<bool> {
        let depth = depth.checked_sub(1)?;
        let ExprKind::Call(call) = self.unit(at.module)?.ir.expr(at.expr) else { return None };
        if let Some(service) = self.is_service_client(at, call) {
            return Some(service);
        }
        let callee = self.callee(at).filter(|callee| callee.certain)?;
        let [target] = *callee.targets else { return None };
        let home = self.unit(target.module)?;
        let calls = home.index.calls.iter().filter(|expr| home.index.function(**expr) == target.id).take(8);
        let made = calls
            .filter_map(|expr| self.gives_service_client(At { module: target.module, expr: *expr }, depth));
        made.fold(None, |all, one| Some(all.unwrap_or(true) && one))
    }

    /// Whether the policies of a table decide which of its rows a query meets: the table has some, and the client is bound by them.
    pub(crate) fn is_behind_policies(&self, query: &Query) -> bool {
        let table = self.tables.table(&Name::bare(&query.shown)).or_else(|| self.tables.model(&query.shown));
        table.is_some_and(|table| table.enabled && !table.policies.is_empty())
            && !self.skips_policies(query.at)
    }

    /// Whether clients of the database are made on the server, and each has the service's key.
    fn has_only_service_clients(&self) -> bool {
        let mut made = self.units().flat_map(|(module, unit)| {
            unit.ir.exprs_of(Kinds::CALL).filter_map(move |(expr, kind)| {
                let ExprKind::Call(call) = kind else { return None };
                self.is_service_client(At { module, expr }, call)
            })
        });
        let Some(first) = made.next() else { return false };
        first && made.all(|service| service)
    }
}

/// Whether a name is that of a client with the service's key: `supabaseAdmin`, `service_client`, `getServiceRoleClient`.
fn says_service(name: &str) -> bool {
    let words = vocabulary::words(name);
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    has(&["service", "admin"]) && has(&["client", "supabase", "role", "db", "sb"])
}

/// Whether a value is the service's key, by the name that it has somewhere.
fn names_service(project: &Project, module: &Module, id: crate::project::ModuleId, value: ExprId) -> bool {
    let mut named = false;
    walk::exprs_below(module, value, &mut |expr| {
        let text = match module.expr(expr) {
            ExprKind::String(text) => module.text(*text).to_owned(),
            ExprKind::Member { property, .. } => module.text(*property).to_owned(),
            ExprKind::Name(_) => {
                let at = At { module: id, expr };
                // A constant is followed to what it was made from.
                format!("{} {}", project.snippet(at), sources(module, project, at))
            }
            _ => return,
        };
        let text = text.to_lowercase().replace(['_', '-'], "");
        named |= text.contains("servicerole")
            || text.contains("supabaseservicekey")
            || text.contains("supabasesecretkey");
    });
    named
}

/// The texts of what a name is assigned.
fn sources(module: &Module, project: &Project, at: At) -> String {
    let ExprKind::Name(crate::ir::NameRef::Binding(binding)) = module.expr(at.expr) else {
        return String::new();
    };
    let Some(unit) = project.unit(at.module) else { return String::new() };
    unit.index
        .sources(*binding)
        .iter()
        .take(4)
        .map(|source| project.snippet(at.to(source.value)))
        .filter(|text| text.len() < 200)
        .collect::<Vec<_>>()
        .join(" ")
}
