//! A policy that lets every row through.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule, is_internal, is_public, of_tenants, owned, predicate};
use crate::{
    lang::sql::{Command, Policy},
    tables::{Schema, Table},
    vocabulary,
};

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-policy-always-true",
    summary: "A policy of a table of tenants is `true`, so that it lets every row through.",
    axis: Axis::Security,
    severity: Severity::High,
    cwe: "CWE-284",
    markdown: include_str!("always_true.md"),
    check,
};

fn check(schema: &Schema, found: &mut Found<'_>) {
    meant_for_service(schema, found);
    for table in owned(schema).filter(|table| table.enabled) {
        for placed in &table.policies {
            let policy = &placed.policy;
            if !applies(policy) || held_back(table, policy) {
                continue;
            }
            let reads = policy.using.as_ref().is_some_and(|using| using.always);
            let writes = policy.check.as_ref().is_some_and(|check| check.always);
            if !reads && !writes {
                continue;
            }
            let itself = table.owner.as_ref().is_some_and(|owner| owner.itself);
            let open = reads && of_tenants(table) && !itself && !is_of_one_service(table, policy);
            let severity = match open && !must_be_seen_first(table, policy) {
                true if is_said_public(policy, &["public", "publicly"]) => Severity::Low,
                true if is_said_public(policy, &["everyone", "everybody", "anyone", "anybody"]) => {
                    Severity::Medium
                }
                true => Severity::High,
                false => Severity::Medium,
            };
            let (does, clause) = match (reads, policy.command) {
                (true, Command::Select) => ("be read by every tenant", "USING"),
                (true, Command::Delete) => ("be deleted by every tenant", "USING"),
                (true, Command::Update) => ("be changed by every tenant", "USING"),
                (true, _) => ("be read and changed by every tenant", "USING"),
                (false, _) => ("be written for another tenant", "WITH CHECK"),
            };
            found.add(Note {
                severity,
                confidence: if of_tenants(table) { Confidence::High } else { Confidence::Medium },
                place: &placed.place,
                message: format!("policy `{}` lets rows of `{}` {does}: its {clause} is `true`", policy.name, table.name),
                why: "Permissive policies are OR-ed: one that is true opens the rows that all others protect.",
                fix: format!(
                    "DROP POLICY \"{}\" ON {};\nCREATE POLICY tenant ON {} USING ({});",
                    policy.name,
                    table.name,
                    table.name,
                    predicate(schema, table)
                ),
                related: vec![(&table.place, format!("`{}` is made here", table.name))],
            });
        }
    }
}

/// Policies that are meant for the service by their name and are for everybody, since they name no role: on tables of nobody in
/// particular too, whoever has the key that is in every browser changes the rows. `CREATE POLICY service_all ON jobs FOR ALL USING (true)`
fn meant_for_service(schema: &Schema, found: &mut Found<'_>) {
    let unowned = schema.tables.values().filter(|table| {
        table.owner.is_none()
            && table.enabled
            && table.source == crate::tables::Source::Sql
            && is_public(table.name.schema.as_deref())
    });
    for table in unowned {
        for placed in &table.policies {
            let policy = &placed.policy;
            let always = policy.using.as_ref().is_some_and(|using| using.always);
            let changes = matches!(policy.command, Command::All | Command::Update | Command::Delete);
            let open = policy.permissive
                && policy
                    .roles
                    .iter()
                    .all(|role| matches!(role.as_str(), "public" | "anon" | "authenticated"));
            if !(always && changes && open && is_internal(&policy.name.to_lowercase()))
                || held_back(table, policy)
            {
                continue;
            }
            found.add(Note {
                severity: Severity::Medium,
                confidence: Confidence::Medium,
                place: &placed.place,
                message: format!(
                    "policy `{}` of `{}` is meant for the service by its name, and lets everybody read and change all rows",
                    policy.name, table.name
                ),
                why: "A policy without TO is for every role, also for the one whose key is in every browser. The service's own role needs no \
                      policy where it passes over row-level security.",
                fix: format!("DROP POLICY \"{}\" ON {};", policy.name, table.name),
                related: Vec::new(),
            });
        }
    }
}

/// Whether what a policy lets be changed has to be seen first, and no policy shows everything: a statement that reads a column, as each
/// with a `WHERE` does, is let near the rows only that the policies for `SELECT` show
/// (postgresql.org/docs/current/sql-createpolicy.html, "Policies Applied by Command Type").
fn must_be_seen_first(table: &Table, policy: &Policy) -> bool {
    let shows = |own: &Policy| {
        applies(own)
            && matches!(own.command, Command::Select | Command::All)
            && own.using.as_ref().is_none_or(|using| using.always || !using.asks_caller)
    };
    matches!(policy.command, Command::Update | Command::Delete)
        && !table.policies.iter().any(|placed| shows(&placed.policy))
}

/// Whether a policy is for roles of one part of the application, and another one of the same table keeps everybody else to their own:
/// `TO auth_runtime USING (true)` beside `USING (user_id = …)`.
fn is_of_one_service(table: &Table, policy: &Policy) -> bool {
    let of_clients = |role: &String| matches!(role.as_str(), "public" | "anon" | "authenticated");
    let keeps_others = |other: &Policy| {
        other.permissive
            && other.using.as_ref().is_some_and(|using| using.asks_caller)
            && !policy.roles.iter().any(|role| other.roles.contains(role))
    };
    !policy.roles.is_empty()
        && !policy.roles.iter().any(of_clients)
        && table.policies.iter().any(|placed| keeps_others(&placed.policy))
}

/// Whether a policy that only lets read says by its name that its rows are for everybody: `Public can read site settings`.
fn is_said_public(policy: &Policy, says: &[&str]) -> bool {
    policy.command == Command::Select
        && vocabulary::words(&policy.name).iter().any(|word| says.contains(&word.as_str()))
}

/// Whether a policy gives rows to somebody who is a client.
pub(super) fn applies(policy: &Policy) -> bool {
    policy.permissive && (policy.roles.is_empty() || policy.roles.iter().any(|role| !is_internal(role)))
}

/// Whether a restrictive policy of the table asks for the caller and holds back what this one lets through.
pub(super) fn held_back(table: &Table, policy: &Policy) -> bool {
    table.policies.iter().map(|placed| &placed.policy).any(|other| {
        !other.permissive
            && (other.command == Command::All || other.command == policy.command)
            && (other.roles.is_empty()
                || policy.roles.iter().all(|role| other.roles.contains(role)) && !policy.roles.is_empty())
            && other.using.as_ref().or(other.check.as_ref()).is_some_and(|condition| condition.asks_caller)
    })
}
