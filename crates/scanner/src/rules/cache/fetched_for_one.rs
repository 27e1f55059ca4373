//! What was fetched with one caller's client or credential is kept for all.

use std::collections::BTreeMap;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::unscoped_cache_key::is_scoped;
use crate::{
    flow::{Access, Store},
    ir::{BindingId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "fetched-for-one",
        layer: Layer::Cache,
        summary: "What was fetched with the client or the credential that a caller brought is kept under a key without the caller.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "The other side allowed one caller to see the value; the cache gives it to everybody who asks for the same name.",
    fix: "Put the caller, or a hash of its credential, into the key, or keep only what is public and ask again for the rest.",
    cwe: &["CWE-524", "CWE-639"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("fetched_for_one.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let mut stores: BTreeMap<Store, Vec<Access>> = BTreeMap::new();
    for access in project.accesses() {
        stores.entry(access.store.clone()).or_default().push(access);
    }
    for accesses in stores.into_values() {
        let read = |fun: Fun| accesses.iter().any(|access| access.value.is_none() && access.function == fun);
        for write in accesses.iter().filter(|access| access.value.is_some()) {
            if write.function.id == FunctionId::MODULE || !read(write.function) || is_scoped(project, write.key) {
                continue;
            }
            let Some(client) = client_of(project, write) else { continue };
            let Some(unit) = project.unit(write.at.module) else { continue };
            if project.is_fixed(write.key) || is_made_of(project, unit, write.key, client) || is_asked(unit, &accesses, write, client) {
                continue;
            }
            let name = unit.ir.binding_name(client);
            report
                .reached(write.at, format!("`{}` keeps for everybody what `{name}` was allowed to fetch", write.name))
                .confidence(Confidence::Medium);
        }
    }
}

/// Words of clients that are the process's own and no caller's.
const OWN: &[&str] = &[
    "db", "http", "redis", "cache", "sql", "pg", "prisma", "mongo", "database", "storage", "store", "s3", "knex", "pool", "session", "tokenizer",
    "httpx", "aiohttp", "axios", "fetch", "llm", "openai", "embedding", "model", "docker", "k8s",
];

/// The parameter of a function that a stored value was fetched with: a client or a credential that the caller hands over.
fn client_of(project: &Project, write: &Access) -> Option<BindingId> {
    let value = write.value?;
    let unit = project.unit(value.module)?;
    let mut found = None;
    let mut see = |root: crate::ir::ExprId| {
        walk::exprs_below(&unit.ir, root, &mut |expr| {
            let ExprKind::Await(inner) = unit.ir.expr(expr) else { return };
            let ExprKind::Call(call) = unit.ir.expr(*inner) else { return };
            let receiver = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } => Some(*object),
                _ => None,
            };
            for arg in call.args.iter().map(|arg| arg.value).chain(receiver) {
                let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(arg) else { continue };
                let given = project.parameter_of(value.module, *id).is_some_and(|(fun, ..)| fun == write.function);
                if given && is_callers(unit.ir.binding_name(*id)) {
                    found = found.or(Some(*id));
                }
            }
        });
    };
    see(value.expr);
    for root in project.roots(value) {
        unit.index.sources(root).iter().take(4).for_each(|source| see(source.value));
    }
    found
}

/// Whether a parameter's name says that it is a client or a credential of the caller.
fn is_callers(name: &str) -> bool {
    let words = vocabulary::words(name);
    let client = words.last().is_some_and(|last| matches!(last.as_str(), "client" | "token" | "credentials" | "api" | "sdk"));
    (client || vocabulary::is_credential(name)) && !words.iter().any(|word| OWN.contains(&word.as_str()))
}

/// Whether a key has something of a variable: itself, or in what it was set to.
fn is_made_of(project: &Project, unit: &Unit, key: At, client: BindingId) -> bool {
    let roots = project.roots(key);
    let values = roots.iter().flat_map(|root| unit.index.sources(*root)).map(|source| source.value);
    let mut found = roots.contains(&client);
    for value in values.chain([key.expr]) {
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if *id == client);
        });
    }
    found
}

/// Whether what the cache gives is handed to a check together with the client: `mayRead(cached, client)`.
fn is_asked(unit: &Unit, accesses: &[Access], write: &Access, client: BindingId) -> bool {
    let mut read: Vec<BindingId> = Vec::new();
    for access in accesses.iter().filter(|access| access.value.is_none() && access.function == write.function) {
        if let Some(stmt) = unit.index.stmt_of(access.at.expr)
            && let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
        {
            target.for_each_binding(&mut |id| read.push(id));
        }
    }
    let mut found = false;
    walk::function_exprs(&unit.ir, write.function.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let is = |wanted: &dyn Fn(BindingId) -> bool| {
            call.args.iter().any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Name(NameRef::Binding(id)) if wanted(*id)))
        };
        let at = At { module: write.at.module, expr };
        found |= at != write.at && is(&|id| read.contains(&id)) && is(&|id| id == client);
    });
    found
}
