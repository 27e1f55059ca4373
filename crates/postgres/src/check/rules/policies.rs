//! Policies: whether they test the tenant, for every command, and whatever the setting holds.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::{Hit, reach::Graph, roles::quoted, tables};
use crate::check::{
    catalogue::{Catalogue, Function, Policy, Table, TenantColumn},
    predicate::{self, Asked, Reading, Tests},
};

/// Permissive policies that let the application's role, or one that it may become, do something with a tenant's table.
fn policies(catalogue: &Catalogue) -> impl Iterator<Item = (&Table, &TenantColumn, &Policy)> {
    catalogue.policies.iter().filter_map(|policy| {
        let table = catalogue.tables.get(&policy.table)?;
        let tenant = table.tenant.as_ref()?;
        let counts = policy.permissive && policy.within_reach && table.rls && table.rights.any();
        counts.then_some((table, tenant, policy))
    })
}

/// What a text of a policy tests.
fn tests(
    catalogue: &Catalogue,
    table: &Table,
    tenant: &TenantColumn,
    policy: &Policy,
    text: Option<&str>,
) -> Tests {
    asked(catalogue, table, tenant, catalogue.asked(policy), text)
}

fn asked(
    catalogue: &Catalogue,
    table: &Table,
    tenant: &TenantColumn,
    asked: Asked,
    text: Option<&str>,
) -> Tests {
    let reading = Reading { asked, ..catalogue.reading(table, tenant) };
    text.map_or(Tests::Nothing, |text| reading.tests(text))
}

/// Whether restrictive policies hold what a permissive one lets through, for each of its commands.
fn held_by_others(catalogue: &Catalogue, table: &Table, tenant: &TenantColumn, open: &Policy) -> bool {
    let commands: &[char] = match open.command {
        // What may be read, what may be written over, and, where the USING is the check too, what may be written.
        '*' if open.check.is_none() => &['r', 'w', 'd', 'a'],
        '*' => &['r', 'w', 'd'],
        'r' => &['r'],
        'w' => &['w'],
        'd' => &['d'],
        _ => &['a'],
    };
    let held = |command: char, check| held(catalogue, table, tenant, open, command, check);
    // Where the USING is the check too, an UPDATE can give a row to another.
    let written = open.check.is_some() || !matches!(open.command, '*' | 'w') || held('w', true);
    written && commands.iter().all(|command| held(*command, *command == 'a'))
}

/// Whether restrictive policies check the new rows that a permissive one lets through, for each of its commands.
fn checked_by_others(catalogue: &Catalogue, table: &Table, tenant: &TenantColumn, open: &Policy) -> bool {
    let commands: &[char] = if open.command == '*' { &['a', 'w'] } else { &[open.command] };
    commands.iter().all(|command| held(catalogue, table, tenant, open, *command, true))
}

/// Whether a restrictive policy for the same roles tests the tenant for a command.
fn held(
    catalogue: &Catalogue,
    table: &Table,
    tenant: &TenantColumn,
    open: &Policy,
    command: char,
    check: bool,
) -> bool {
    catalogue.policies_of(table).any(|policy| {
        let for_command = policy.command == '*' || policy.command == command;
        let text =
            if check { policy.check.as_ref().or(policy.using.as_ref()) } else { policy.using.as_ref() };
        let tested = tests(catalogue, table, tenant, policy, text.map(String::as_str)).holds();
        let same_roles = policy.roles.contains(&0)
            || if open.for_app {
                policy.for_app
            } else {
                open.roles.iter().all(|role| policy.roles.contains(role))
            };
        !policy.permissive && same_roles && for_command && tested
    })
}

fn name(table: &Table, policy: &Policy) -> String {
    format!("{} on {}", quoted(&policy.name), table.name)
}

/// SQL that has the policy test the tenant and leaves what else it tests; nothing if it is not known which setting it means.
fn replaced(catalogue: &Catalogue, table: &Table, tenant: &TenantColumn, policy: &Policy) -> Option<String> {
    let texts = || [&policy.using, &policy.check].into_iter().flatten();
    let read: BTreeSet<String> = texts().flat_map(|text| predicate::settings_read(text)).collect();
    let setting = match read.iter().collect::<Vec<_>>().as_slice() {
        _ if read.contains(&catalogue.setting) => &catalogue.setting,
        [] => &catalogue.setting,
        [one] => *one,
        _ => return None,
    };
    let test = format!("{} = {}", quoted(&tenant.name), tables::of_setting(setting, tenant));
    let mended = |text: &String| match tests(catalogue, table, tenant, policy, Some(text)) {
        Tests::Tenant | Tests::Never => None,
        _ if text == "true" || predicate::only_compares(text, &tenant.name).is_some() => {
            Some(format!("({test})"))
        }
        _ => Some(format!("({test} AND {text})")),
    };
    let using =
        policy.using.as_ref().and_then(mended).map(|text| format!(" USING {text}")).unwrap_or_default();
    let check =
        policy.check.as_ref().and_then(mended).map(|text| format!(" WITH CHECK {text}")).unwrap_or_default();
    (!using.is_empty() || !check.is_empty())
        .then(|| format!("ALTER POLICY {}{using}{check};", name(table, policy)))
}

/// SQL for a policy that does nothing but compare the tenant with a setting: the same, as it is best written.
fn rewritten(table: &Table, tenant: &TenantColumn, policy: &Policy) -> Option<String> {
    let text = |text: &Option<String>, word: &str| match text {
        None => Some(String::new()),
        Some(text) => predicate::only_compares(text, &tenant.name).map(|setting| {
            format!(" {word} ({} = {})", quoted(&tenant.name), tables::of_setting(&setting, tenant))
        }),
    };
    let (using, check) = (text(&policy.using, "USING")?, text(&policy.check, "WITH CHECK")?);
    Some(format!("ALTER POLICY {}{using}{check};", name(table, policy)))
}

/// Policies whose rows are not tested, for the commands that `wanted` names.
fn untested(catalogue: &Catalogue, wanted: &[char], found: Tests) -> Vec<(String, String, Option<String>)> {
    policies(catalogue)
        .filter(|(_, _, policy)| wanted.contains(&policy.command))
        .filter(|(table, tenant, policy)| {
            tests(catalogue, table, tenant, policy, policy.using.as_deref()) == found
        })
        .filter(|(table, tenant, policy)| !held_by_others(catalogue, table, tenant, policy))
        .map(|(table, tenant, policy)| {
            let text = policy.using.clone().unwrap_or_default();
            (name(table, policy), text, replaced(catalogue, table, tenant, policy))
        })
        .collect()
}

pub(super) fn no_test(catalogue: &Catalogue) -> Vec<Hit> {
    untested(catalogue, &['*', 'r'], Tests::Nothing)
        .into_iter()
        .map(|(name, text, sql)| {
            let message = format!(
                "the policy {name} does not test the tenant: {text}; permissive policies are joined by OR, so it opens the \
                 table whatever the others say"
            );
            Hit::new(name, message).mended_if(sql)
        })
        .collect()
}

pub(super) fn wide_write(catalogue: &Catalogue) -> Vec<Hit> {
    untested(catalogue, &['w', 'd'], Tests::Nothing)
        .into_iter()
        .map(|(name, text, sql)| {
            let message = format!(
                "the policy {name} does not test the tenant: {text}; a statement without a WHERE reaches every tenant's rows"
            );
            Hit::new(name, message).mended_if(sql)
        })
        .collect()
}

pub(super) fn no_check(catalogue: &Catalogue) -> Vec<Hit> {
    policies(catalogue)
        .filter(|(_, _, policy)| matches!(policy.command, '*' | 'a' | 'w'))
        // Without a WITH CHECK, the USING is one.
        .filter(|(table, tenant, policy)| {
            let text = policy.check.as_deref();
            text.is_some()
                && matches!(tests(catalogue, table, tenant, policy, text), Tests::Nothing | Tests::FailsOpen)
        })
        .filter(|(table, tenant, policy)| !checked_by_others(catalogue, table, tenant, policy))
        .map(|(table, tenant, policy)| {
            let name = name(table, policy);
            let message = format!(
                "the policy {name} checks new rows by {}: a tenant can write rows for another",
                policy.check.as_deref().unwrap_or_default()
            );
            Hit::new(name, message).mended_if(replaced(catalogue, table, tenant, policy))
        })
        .collect()
}

pub(super) fn fails_open(catalogue: &Catalogue) -> Vec<Hit> {
    untested(catalogue, &['*', 'r', 'w', 'd'], Tests::FailsOpen)
        .into_iter()
        .map(|(name, text, sql)| {
            let message = format!("the policy {name} has a way around the test of the tenant: {text}");
            Hit::new(name, message).mended_if(sql)
        })
        .collect()
}

pub(super) fn null_matching(catalogue: &Catalogue) -> Vec<Hit> {
    policies(catalogue)
        .filter(|(_, tenant, policy)| {
            let texts = [&policy.using, &policy.check];
            texts.into_iter().flatten().any(|text| predicate::takes_null_for_a_tenant(text, &tenant.name))
        })
        .map(|(table, tenant, policy)| {
            let name = name(table, policy);
            let message = format!(
                "the policy {name} takes two NULLs for the same (IS NOT DISTINCT FROM): without a tenant, rows without a \
                 tenant are seen"
            );
            let hit = Hit::new(name, message).mended_if(rewritten(table, tenant, policy));
            // No such row can exist.
            if tenant.not_null { hit.severity(Severity::Low) } else { hit }
        })
        .collect()
}

pub(super) fn self_comparison(catalogue: &Catalogue) -> Vec<Hit> {
    policies(catalogue)
        .filter(|(_, _, policy)| {
            [&policy.using, &policy.check].into_iter().flatten().any(|text| predicate::compares_with_itself(text))
        })
        .map(|(table, _, policy)| {
            let name = name(table, policy);
            let message = format!(
                "the policy {name} compares a column with itself: a name inside its subquery is the subquery's own column"
            );
            Hit::new(name, message)
        })
        .collect()
}

/// Policies that compare the tenant in a way for which different texts are the same.
pub(super) fn folding(catalogue: &Catalogue) -> Vec<Hit> {
    policies(catalogue)
        .filter(|(table, tenant, policy)| {
            let texts = [&policy.using, &policy.check];
            let folded = |text: &String| predicate::compares_folded(text, &tenant.name);
            // A constraint may leave one spelling of each.
            let checked = table.checks.iter().any(|check| {
                check.contains(&tenant.name) && ["lower(", "upper(", "~"].iter().any(|way| check.contains(way))
            });
            texts.into_iter().flatten().any(folded) && !checked
        })
        .map(|(table, _, policy)| {
            let name = name(table, policy);
            let message = format!(
                "the policy {name} compares the tenant in a way for which different texts are equal: two tenants can be one"
            );
            Hit::new(name, message).advised("Compare the column as it is with the setting as it is, or with lower() on the \
                                             setting's side alone and a CHECK that the column is in lower case.")
        })
        .collect()
}

/// Policies of which it is not known whether they test the tenant.
pub(super) fn not_understood(catalogue: &Catalogue) -> Vec<Hit> {
    policies(catalogue)
        .filter_map(|(table, tenant, policy)| {
            let unknown =
                |text: &&String| tests(catalogue, table, tenant, policy, Some(text)) == Tests::Unknown;
            let using = policy
                .using
                .as_ref()
                .filter(unknown)
                .filter(|_| !held_by_others(catalogue, table, tenant, policy));
            let text = using.or_else(|| {
                let check = policy.check.as_ref().filter(unknown);
                check.filter(|_| !checked_by_others(catalogue, table, tenant, policy))
            })?;
            let name = name(table, policy);
            let message =
                format!("whether the policy {name} tests the tenant cannot be told from its text: {text}");
            Some(Hit::new(name, message).confidence(Confidence::Low).in_doubt())
        })
        .collect()
}

/// Policies that go by rows in which the application's role writes whose they are as it likes.
pub(super) fn by_writable_rows(catalogue: &Catalogue) -> Vec<Hit> {
    policies(catalogue)
        .filter_map(|(table, tenant, policy)| {
            let strictly = |policy: &Policy, text: &String| {
                let strictly = Asked { strictly: true, ..catalogue.asked(policy) };
                asked(catalogue, table, tenant, strictly, Some(text)).holds()
            };
            let loose = |text: &&String| {
                tests(catalogue, table, tenant, policy, Some(text)) == Tests::Tenant && !strictly(policy, text)
            };
            let text = [&policy.using, &policy.check].into_iter().flatten().find(loose)?;
            let held = |other: &Policy| {
                !other.permissive
                    && other.command == '*'
                    && other.for_app
                    && [&other.using, &other.check].into_iter().flatten().all(|text| strictly(other, text))
            };
            if catalogue.policies_of(table).any(held) {
                return None;
            }
            let written = catalogue.known.free.iter().filter(|(table, _)| predicate::names(text, table));
            let written: Vec<String> = written
                .map(|(table, columns)| {
                    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                    format!("{table} ({})", columns.join(", "))
                })
                .collect();
            let of = if written.is_empty() { String::new() } else { format!(" of {}", written.join(" and ")) };
            let name = name(table, policy);
            let message = format!(
                "the policy {name} goes by rows{of} that `{}` may write for itself, whoever's they say that something \
                 is: {text}",
                catalogue.app.name
            );
            Some(Hit::new(name, message).confidence(Confidence::Medium))
        })
        .collect()
}

/// Tables whose policies nobody has judged, since it is not known which column they would have to test.
pub(super) fn unknown_column(catalogue: &Catalogue) -> Vec<Hit> {
    let shows_rows = |policy: &Policy| policy.permissive && policy.within_reach;
    catalogue
        .tables
        .values()
        .filter(|table| table.rls && table.tenant.is_none() && table.rights.any())
        .filter(|table| catalogue.policies_of(table).any(shows_rows))
        .map(|table| {
            let message = format!(
                "{} has row-level security, and it is not known which of its columns says whose a row is: whether its \
                 policies test the tenant was not judged",
                table.name
            );
            Hit::new(&table.name, message).confidence(Confidence::Low).in_doubt()
        })
        .collect()
}

fn texts(catalogue: &Catalogue, is: impl Fn(&str) -> bool, message: &str) -> Vec<Hit> {
    policies(catalogue)
        .filter(|(_, _, policy)| [&policy.using, &policy.check].into_iter().flatten().any(|text| is(text)))
        .map(|(table, tenant, policy)| {
            let name = name(table, policy);
            let message = format!("the policy {name} {message}");
            Hit::new(name, message).mended_if(rewritten(table, tenant, policy))
        })
        .collect()
}

pub(super) fn strict(catalogue: &Catalogue) -> Vec<Hit> {
    texts(
        catalogue,
        predicate::asks_strictly,
        "calls current_setting with one argument: a session that never had a tenant gets an error instead of no rows",
    )
}

pub(super) fn unguarded_cast(catalogue: &Catalogue) -> Vec<Hit> {
    texts(
        catalogue,
        predicate::casts_the_empty_text,
        "casts the setting without nullif: a session whose tenant has ended gets an error instead of no rows",
    )
}

fn functions(catalogue: &Catalogue, volatility: char) -> impl Iterator<Item = (&Table, &str, &Function)> {
    catalogue.policy_functions.iter().filter_map(move |(table, policy, function)| {
        let table = catalogue.tables.get(table)?;
        let function = catalogue.functions.get(function)?;
        (function.volatility == volatility).then_some((table, policy.as_str(), function))
    })
}

pub(super) fn immutable_function(catalogue: &Catalogue) -> Vec<Hit> {
    let graph = Graph::of(catalogue);
    functions(catalogue, 'i')
        .filter(|(_, _, function)| graph.reads_a_setting(function))
        .map(|(table, policy, function)| {
            let function = &function.name;
            let message = format!(
                "the policy {} on {} calls {function}, which reads a setting and is IMMUTABLE: a prepared statement keeps \
                 the tenant of the call that planned it",
                quoted(policy),
                table.name
            );
            let sql = format!("ALTER FUNCTION {function} STABLE;");
            Hit::new(format!("{} {policy} {function}", table.name), message).mended_by(sql)
        })
        .collect()
}

pub(super) fn volatile_function(catalogue: &Catalogue) -> Vec<Hit> {
    functions(catalogue, 'v')
        .map(|(table, policy, function)| {
            let function = &function.name;
            let message = format!(
                "the policy {} on {} calls {function}, which is VOLATILE: it runs for each row, and no index helps",
                quoted(policy),
                table.name
            );
            let sql = format!("ALTER FUNCTION {function} STABLE;");
            Hit::new(format!("{} {policy} {function}", table.name), message)
                .mended_by(sql)
                .confidence(Confidence::Medium)
        })
        .collect()
}

pub(super) fn persisted_setting(catalogue: &Catalogue) -> Vec<Hit> {
    let mut seen = BTreeSet::new();
    let mut hits = Vec::new();
    for (role, database, setting) in &catalogue.settings {
        let Some((name, value)) = setting.split_once('=') else { continue };
        if name != catalogue.setting || value.is_empty() || !seen.insert((role, database)) {
            continue;
        }
        let (of, sql) = match (role.as_str(), database.as_str()) {
            ("", database) => (
                format!("the database {database}"),
                format!("ALTER DATABASE {} RESET {name};", quoted(database)),
            ),
            (role, "") => (format!("the role {role}"), format!("ALTER ROLE {} RESET {name};", quoted(role))),
            (role, database) => (
                format!("the role {role} in {database}"),
                format!("ALTER ROLE {} IN DATABASE {} RESET {name};", quoted(role), quoted(database)),
            ),
        };
        let message = format!("{of} has `{name}` set for every session: what has no tenant acts as that one");
        hits.push(Hit::new(of, message).mended_by(sql));
    }
    hits
}
