//! A query of rows that belong to tenants or users, without saying whose.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::{
    asked_by::{has_callers, is_of_own_repository},
    asked_elsewhere::is_asked_elsewhere,
    compared::{compares_kept, compares_owner, item_of, mentions},
    narrowed::{is_cursor, is_far_from_callers},
    passed_over::{is_for_everybody, skipped},
};
use crate::{
    flow::{Owned, Query, Scope},
    ir::{Pattern, StmtKind},
    lang::sql::Verb,
    project::{At, Parent, Project},
    rules::{
        Found, Report, Rule,
        identity::{
            looked_up::is_of_callers_row,
            not_seen::{is_looked_up, is_of_state},
        },
    },
    tables::level_of_column,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "unscoped-query",
        layer: Layer::Data,
        summary: "A query reads, changes or deletes rows of tenants or users without naming whose they are.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "Whoever knows or guesses an id reaches the row, whoever it belongs to.",
    fix: "Test for the owner in the same query, with the verified principal as a required value, or compare the row's owner and refuse before it is used.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("unscoped_query.md"),
    run,
};

/// Why it leaks where no id is seen that a caller could choose: lists, searches, changes of many.
const OF_ALL: &str = "Nothing in the query says whose rows are meant, so what one caller gets or changes may be another's.";
/// What mends that.
const FOR_ALL: &str = "Name the owner in the query, with the verified principal as a required value.";

/// Whether rows are those of a wrapper's own field, `this.collection.find(…)`, which is another collection in each of its objects.
fn is_of_any_collection(shown: &str) -> bool {
    matches!(shown.trim_start_matches(['_', '#']), "collection" | "coll")
}

fn run(project: &Project, report: &mut Report<'_>) {
    let found = open(project);
    let schemas = !found.is_empty() && super::own_schema::has_library(project);
    let extension = !found.is_empty() && super::own_schema::has_extension(project);
    for (query, is) in found {
        let found = judge(project, query, is, report);
        if schemas || (extension && !query.is_sql) || is_of_any_collection(&query.shown) {
            found.severity(Severity::Low).confidence(Confidence::Low);
        } else if super::authorship::is_only_made_by_somebody(project, query)
            || (found.is_high() && (super::shown_to_all::is_shown_to_all(project, query) || super::part_before::is_part_before(project, query) || is_never_scoped(project, query)))
        {
            found.lower_by_one();
        }
    }
    super::past_scope::past_scope(project, report);
    super::points::points(project, report);
    super::odd_query::odd_query(project, report);
    super::whole_label::whole_label(project, report);
    super::named_in_text::named_in_text(project, report);
    super::all_tenants::all_tenants(project, report);
    super::overwritten::overwritten(project, report);
    super::or_beside::or_beside(project, report);
}

/// The queries that name nobody, though the rows may belong to somebody and nothing is compared.
pub(super) fn open(project: &Project) -> Vec<(&Query, Owned)> {
    let queries = project.queries();
    let owned = project.owned_entities();
    let rows = queries.iter().any(|query| query.scope != Scope::None);
    let asked = |query: &&Query| query.scope == Scope::None && !query.tied && query.verb != Verb::Insert;
    let by_id = entities_by_owners_id(project, queries);
    let unread = super::unused_caller::with_unused_caller(project);
    let known = queries.iter().filter(asked).map(|query| (query, owned.get(&query.entity).copied().unwrap_or(Owned::Unknown)));
    known
        .filter(|(query, is)| {
            // Rows that say whose they are speak of several, whatever else the code speaks of.
            let several = project.has_owners(query.at.module) || (matches!(is, Owned::Yes | Owned::Sibling) && by_id.contains(query.entity.as_str()));
            several && *is != Owned::No && !skipped(project, query) && (*is != Owned::Unknown || rows || project.around(query.function).iter().any(|fun| unread.contains(fun))) && !is_checked(project, query)
        })
        .collect()
}

/// Entities that a query asks for by the id of an owner; a column `subject` may be anything's.
fn entities_by_owners_id<'q>(project: &Project, queries: &'q [Query]) -> BTreeSet<&'q str> {
    let says = |query: &&Query| {
        let text = project.snippet(query.at);
        let mut words = text.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        words.any(|word| word.to_ascii_lowercase().ends_with("id") && level_of_column(word).is_some())
    };
    queries.iter().filter(|query| query.scope == Scope::Owner).filter(says).map(|query| query.entity.as_str()).collect()
}

fn judge<'r>(project: &Project, query: &Query, is: Owned, report: &'r mut Report<'_>) -> &'r mut Found {
    let open = |at: &At| project.origins(*at).is_chosen() && !is_looked_up(project, *at) && !is_of_state(project, *at) && !is_cursor(project, *at);
    let chosen = query.filters.iter().any(open);
    let does = match query.verb {
        Verb::Select => "reads",
        Verb::Update => "changes",
        Verb::Delete => "deletes",
        Verb::Insert => "adds",
    };
    let known = match is {
        Owned::Yes => "whose rows have an owner",
        Owned::Sibling => "for which other queries name an owner",
        Owned::Listed => "which have a column for one,",
        _ => "of which nothing says that its rows are everybody's",
    };
    let message = format!("this query {does} `{}`, {known}, without naming one", query.shown);
    // A statement that is prepared once stands outside of the functions that run it.
    let found = report.reached_in(query.at, query.function, message);
    if !chosen {
        found.why(OF_ALL).fix(FOR_ALL);
    }
    match is {
        Owned::Yes | Owned::Sibling | Owned::Listed if is_for_everybody(project, query) => {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
        _ if super::secret_columns::is_by_secret_column(project, query) || super::secret_columns::is_of_row_found_so(project, query) => {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
        _ if super::only_whether::is_only_whether(project, query) || super::only_whether::only_steps(project, query) || super::only_whether::only_a_number(project, query) => {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
        // `...campusOf(req)`: conditions that were made of the caller, whatever they are.
        _ if project.unit(query.at.module).is_some_and(|unit| super::callers_decide::is_narrowed_by_caller(project, unit, query)) => {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
        _ if is_of_own_repository(project, query) || project.lets_flats() => {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        }
        // Most who ask for these rows name nobody: what is shown to all, and somebody's own of it.
        Owned::Sibling if is_mostly_open(project, query) => {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        }
        Owned::Yes | Owned::Sibling if chosen && has_callers(project, query) && !is_asked_elsewhere(project, query) => {}
        Owned::Yes | Owned::Sibling | Owned::Listed if is_far_from_callers(project, query) => {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
        Owned::Yes | Owned::Sibling | Owned::Listed => {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        }
        _ => {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
    }
    found
}

/// How many queries that name nobody say of rows with a column for an owner that the code takes them for everybody's.
const MANY: usize = 8;

/// How many queries of the same rows name no owner, and how many do.
fn open_and_scoped(project: &Project, query: &Query) -> (usize, usize) {
    let (mut open, mut scoped) = (0_usize, 0_usize);
    for other in project.queries().iter().filter(|other| other.entity == query.entity && other.verb != Verb::Insert) {
        if other.scope == Scope::None && !other.tied { open += 1 } else { scoped += 1 }
    }
    (open, scoped)
}

/// Whether more than three in four queries of the same rows name no owner.
fn is_mostly_open(project: &Project, query: &Query) -> bool {
    let (open, scoped) = open_and_scoped(project, query);
    open > scoped.saturating_mul(3)
}

/// Whether many queries ask for the same rows, and none names the owner that their table has.
fn is_never_scoped(project: &Project, query: &Query) -> bool {
    let (open, scoped) = open_and_scoped(project, query);
    scoped == 0 && open >= MANY
}

/// Whether the owner is compared before the query or on the row it gives, or the function is told an owner and checks it.
pub(super) fn is_checked(project: &Project, query: &Query) -> bool {
    if query.filters.iter().any(|at| !project.is_fixed(*at) && (project.is_checked(*at) || is_of_callers_row(project, *at))) || super::callers_decide::found_before(project, query) || super::callers_decide::callers_decide(project, query) || super::wheres::is_compared_apart(project, query) || super::of_secret_row::is_of_secret_row(project, query) {
        return true;
    }
    let Some(unit) = project.unit(query.at.module) else { return false };
    // What the row, or a part of it, is compared with afterwards.
    let mut at = query.at.expr;
    for _ in 0..12 {
        match unit.index.parent(at) {
            Parent::Expr(parent) => at = parent,
            Parent::Stmt(stmt) => {
                let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
                if let Pattern::Place(place) = target {
                    return compares_kept(project, query.function, unit, *place);
                }
                let mut bindings = Vec::new();
                let own = item_of(unit, at, query.at.expr, target);
                own.map_or(target, |(_, own)| own).for_each_binding(&mut |id| bindings.push(id));
                let mut copies = bindings.clone();
                for (id, _) in unit.ir.bindings() {
                    let from = unit.index.sources(id).iter().any(|source| mentions(unit, source.value, &bindings));
                    if from && copies.len() < 16 {
                        copies.push(id);
                    }
                }
                return compares_owner(project, query.function, unit, &copies);
            }
            _ => return false,
        }
    }
    false
}
