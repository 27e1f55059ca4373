//! A query of rows that belong to tenants or users, without saying whose.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Origins, Owned, Query, Scope, excludes, lists_owners, singular},
    ir::{ExprKind, NameRef, Pattern, PropertyKey, StmtKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project},
    tables::level_of_column,
    rules::{Found, Report, Rule, data::compared::{compares_after, compares_kept, compares_owner, item_of, mentions}, data::asked_by::{has_callers, is_left_to_handler, is_of_own_repository}, data::narrowed::{is_cursor, is_far_from_callers, may_be_narrowed}, identity::{looked_up::is_of_callers_row, not_seen::{is_looked_up, is_of_state}}},
    vocabulary,
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

fn run(project: &Project, report: &mut Report<'_>) {
    let found = open(project);
    let schemas = !found.is_empty() && super::own_schema::has_library(project);
    let extension = !found.is_empty() && super::own_schema::has_extension(project);
    for (query, is) in found {
        let found = judge(project, query, is, report);
        if schemas || (extension && !query.is_sql) {
            found.severity(Severity::Low).confidence(Confidence::Low);
        } else if super::authorship::is_only_made_by_somebody(project, query) {
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
    match is {
        Owned::Yes | Owned::Sibling | Owned::Listed if is_for_everybody(project, query) => {
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

/// Whether more than three in four queries of the same rows name no owner.
fn is_mostly_open(project: &Project, query: &Query) -> bool {
    let (mut open, mut scoped) = (0_usize, 0_usize);
    for other in project.queries().iter().filter(|other| other.entity == query.entity && other.verb != Verb::Insert) {
        if other.scope == Scope::None && !other.tied { open += 1 } else { scoped += 1 }
    }
    open > scoped.saturating_mul(3)
}

/// Whether something that is not in the query itself may say whose rows are meant: a session's id, the list of owners as such, the
/// callers, a helper, a parent, a look before.
pub(super) fn is_asked_elsewhere(project: &Project, query: &Query) -> bool {
    names_filter(project, query, "session_id")
        || names_filter(project, query, "sessionid")
        || (query.is_sql && lists_owners(&query.shown))
        || callers_check(project, query)
        || built_by_helper(project, query)
        || names_owner_of(project, query)
        || may_be_narrowed(project, query)
        || told_before(project, query)
        || looked_up_before(project, query)
        || project.refuses_by_rank(query.function)
        || project.tells_ranks_apart(query.function)
        || is_left_to_handler(project, query)
}

/// Whether every caller of the function that a query stands in compares an owner with the verified one: a route that reads the
/// row, refuses a foreign one, and then asks a function of queries to change it.
fn callers_check(project: &Project, query: &Query) -> bool {
    let callers = project.callers(query.function);
    // One caller that compares what it was given says that this is the callers' part; another that forgets it has a rule.
    if callers.iter().take(CALLERS).any(|call| compares_after(project, *call)) {
        return true;
    }
    let checks_before = |call: &At| {
        let Some(ExprKind::Call(expr)) = project.unit(call.module).map(|unit| unit.ir.expr(call.expr)) else { return false };
        expr.args.iter().any(|arg| !project.is_fixed(call.to(arg.value)) && project.is_checked(call.to(arg.value)))
    };
    if !callers.is_empty() && callers.iter().take(CALLERS).all(checks_before) {
        return true;
    }
    !callers.is_empty()
        && callers.iter().take(CALLERS).all(|call| {
            let order = project.order(*call);
            let fun = project.function_of(*call);
            project.around(fun).into_iter().any(|around| {
                project.guards(around).iter().any(|guard| {
                    let earlier = around != fun || guard.order <= order;
                    let names_owner = |side: At| project.written(side).last().is_some_and(|name| vocabulary::is_owner(name));
                    let verified = |side: At| project.origins(side).has_owner();
                    let pair = (names_owner(guard.left) && verified(guard.right)) || (names_owner(guard.right) && verified(guard.left));
                    earlier && pair
                })
            })
        })
}

/// Whether a filter comes from a function of ours that names an owner: `where = this.buildWhere(params)`. Whether it does so
/// always is not seen.
fn built_by_helper(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let helps = |at: At| {
        let callee = project.callee(at).filter(|callee| callee.certain);
        callee.is_some_and(|callee| callee.targets.iter().take(4).any(|target| names_owner(project, *target)))
    };
    let mut direct = false;
    // `select(Note).where(Note.id == id, *self._own())`
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| {
        direct |= matches!(unit.ir.expr(expr), ExprKind::Call(call) if !call.is_new) && expr != query.at.expr && helps(query.at.to(expr));
    });
    // `findMany({ where: rulesOf(params) })`
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| {
        let is_where = |name: &str| matches!(name, "where" | "filter" | "query");
        if let ExprKind::Object(properties) = unit.ir.expr(expr) {
            direct |= properties.iter().any(|property| {
                matches!(property.key, PropertyKey::Name(name) if is_where(unit.ir.text(name))) && helps(query.at.to(property.value))
            });
        }
    });
    direct
        || query.filters.iter().any(|at| {
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
            unit.index.sources(*id).iter().take(4).any(|source| helps(query.at.to(source.value)))
        })
}

/// Whether the function of a query names the owner of the same rows: `terms.append(Note.user_id == user_id)`, which conditions of the
/// query may be put together from.
fn names_owner_of(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, query.function.id, &mut |expr| {
        let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) else { return };
        found |= vocabulary::is_owner(unit.ir.text(*property))
            && matches!(unit.ir.expr(*object), ExprKind::Name(_))
            && !excludes(unit, expr, query.at.expr)
            && project.written(query.at.to(*object)).last().is_some_and(|name| {
                name.starts_with(char::is_uppercase) && singular(name) == query.entity
            });
    });
    found
}

/// First words of functions that are told who did what, and look at nothing.
const TELLS: &[&str] = &["log", "record", "audit", "notify", "publish", "emit", "send", "track", "capture", "debug", "info", "warn", "error", "warning", "set", "add"];

/// Whether, on the way from the caller to a query, a function was called with the verified caller and with what the row is found by
/// before: it may have looked whose that is. `authorized = await datasets_of([id], user)`. One that calls the query's function so
/// says that this is the callers' part.
fn told_before(project: &Project, query: &Query) -> bool {
    let mut ids: Vec<At> = query.filters.clone();
    let reached = project.around(query.function).into_iter().find(|fun| project.reach(*fun).is_some());
    let mut calls = reached.map(|fun| project.way(fun)).unwrap_or_default();
    calls.extend(project.callers(query.function).iter().take(CALLERS));
    for call in calls {
        let Some(unit) = project.unit(call.module) else { continue };
        if let ExprKind::Call(expr) = unit.ir.expr(call.expr) {
            ids.extend(expr.args.iter().map(|arg| call.to(arg.value)));
        }
    }
    ids.iter().any(|id| {
        let (paths, order) = (paths(project, *id, 3), project.order(*id));
        (!paths.is_empty() && is_told(project, *id, &paths, order)) || comes_of_caller(project, *id, 5)
    })
}

/// Whether a function that an id stands in, or one around it, called something with the caller and the id before.
fn is_told(project: &Project, id: At, paths: &[String], order: u32) -> bool {
    let Some(unit) = project.unit(id.module) else { return false };
    let own = project.function_of(id);
    let caller = |at: At| is_caller(project, at);
    project.around(own).into_iter().any(|around| {
        let mut found = false;
        walk::function_exprs(&unit.ir, around.id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            // What is told afterwards may refuse before anything of the row is given away.
            if found || unit.index.order(expr) == order || call.args.len() < 2 {
                return;
            }
            let name = project.written(id.to(call.callee)).pop().unwrap_or_default();
            let tells = vocabulary::words(&name).first().is_some_and(|verb| TELLS.contains(&verb.as_str()));
            let shares = |arg: &crate::ir::Arg| {
                let at = id.to(arg.value);
                !caller(at) && self::paths(project, at, 2).iter().any(|path| paths.contains(path))
            };
            found |= !tells && call.args.iter().any(|arg| caller(id.to(arg.value))) && call.args.iter().any(shares);
        });
        found
    })
}

/// Whether a value is the verified caller, or the request's context as a whole.
fn is_caller(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    let name = project.unit(at.module).is_some_and(|unit| matches!(unit.ir.expr(at.expr), ExprKind::Name(_)));
    let whole = origins.has(Origins::REQUEST) && name;
    // `actor` of a function that is given one, however its callers found it.
    let given = name && is_principal_parameter(project, at);
    given || (!origins.is_chosen() && (origins.has(Origins::PRINCIPAL) || whole || (origins.has(Origins::OWNER) && is_party(project, at))))
}

/// Whether a value is a parameter that is named for the caller, of a function that is no handler.
fn is_principal_parameter(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    vocabulary::is_principal(unit.ir.binding_name(*id))
        && project.parameter_of(at.module, *id).is_some_and(|(fun, _, path)| path.is_empty() && project.entry(fun).is_none())
}

/// Whether a value was given by a call that is told the caller: `for note in await notes_of(user)`, `note.id`.
fn comes_of_caller(project: &Project, at: At, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return false };
    let mut sources = Vec::new();
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
            && !unit.ir.is_module_level(*id)
        {
            sources.extend(unit.index.sources(*id).iter().take(4).map(|source| source.value).filter(|value| *value != at.expr));
        }
    });
    sources.into_iter().take(8).any(|value| {
        let mut asked = false;
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            if let ExprKind::Call(call) = unit.ir.expr(expr) {
                asked |= !call.is_new && call.args.iter().any(|arg| is_caller(project, at.to(arg.value)));
            }
        });
        asked || comes_of_caller(project, at.to(value), depth)
    })
}

/// Whether a value is named for the caller or for who it is.
fn is_party(project: &Project, at: At) -> bool {
    project.written(at).last().is_some_and(|name| vocabulary::is_owner(name) || vocabulary::is_principal(name))
}

/// Whether a property, a string or a key in a function is named for an owner.
fn names_owner(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => vocabulary::is_owner(unit.ir.text(*property)),
            ExprKind::String(text) => vocabulary::is_owner(unit.ir.text(*text)),
            ExprKind::Object(properties) => properties.iter().any(|property| {
                matches!(property.key, PropertyKey::Name(name) if vocabulary::is_owner(unit.ir.text(name)))
            }),
            _ => false,
        };
    });
    found
}

/// Whether the row, or what it belongs to, was looked up with its owner before, on the way from the caller to a query: in its own
/// function, or in one that calls it.
fn looked_up_before(project: &Project, query: &Query) -> bool {
    let mut ids: Vec<(At, Fun)> = query.filters.iter().map(|at| (*at, query.function)).collect();
    let reached = project.around(query.function).into_iter().find(|fun| project.reach(*fun).is_some());
    let way = reached.map(|fun| project.way(fun)).unwrap_or_default();
    for call in way {
        let Some(unit) = project.unit(call.module) else { continue };
        let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { continue };
        let fun = project.function_of(call);
        ids.extend(expr.args.iter().map(|arg| (call.to(arg.value), fun)));
    }
    let places: BTreeSet<Fun> = ids.iter().flat_map(|(_, fun)| project.around(*fun)).collect();
    let scoped = |other: &&Query| other.verb == Verb::Select && places.contains(&other.function) && project.says_whose(other);
    let scoped: Vec<&Query> = project.queries().iter().filter(scoped).collect();
    ids.iter().any(|(id, fun)| {
        let (paths, order) = (paths(project, *id, 3), project.order(*id));
        let shares = |at: &At| at.module == id.module && self::paths(project, *at, 3).iter().any(|path| paths.contains(path));
        let around = project.around(*fun);
        let earlier = |other: &&Query| around.contains(&other.function) && project.order(other.at) < order;
        let checked = |fun: &Fun| {
            project.guards(*fun).iter().any(|guard| {
                guard.order < order && (shares(&guard.left) || shares(&guard.right)) && checks_owner(project, guard.left, guard.right)
            })
        };
        scoped.iter().copied().filter(earlier).any(|other| other.filters.iter().any(shares)) || around.iter().any(checked)
    })
}

/// The names and paths that a value is made of: `body.group`, `id`, and those that variables were set from. Names of the module,
/// as of the connection, are none.
fn paths(project: &Project, at: At, depth: u32) -> Vec<String> {
    let mut found = Vec::new();
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return found };
    let mut sources = Vec::new();
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return };
        if unit.ir.is_module_level(*id) {
            return;
        }
        let mut whole = expr;
        while let Parent::Expr(up) = unit.index.parent(whole) {
            if !matches!(unit.ir.expr(up), ExprKind::Member { object, .. } if *object == whole) {
                break;
            }
            whole = up;
        }
        found.push(project.written(at.to(whole)).join("."));
        sources.extend(unit.index.sources(*id).iter().take(4).filter(|source| source.value != at.expr).map(|source| source.value));
    });
    for source in sources.into_iter().take(8) {
        found.extend(paths(project, at.to(source), depth));
    }
    found.truncate(64);
    found
}

/// Whether two sides of a guard are an owner's id and the verified one, or a call that is named for a check and is told the caller.
fn checks_owner(project: &Project, left: At, right: At) -> bool {
    // `verify_signature(id, expiry, signature)`: the server itself has signed the id for whoever has the link.
    let signed = project.unit(right.module).is_some_and(|unit| matches!(unit.ir.expr(right.expr), ExprKind::Call(_)))
        && project.callee(right).is_some_and(|callee| {
            vocabulary::words(callee.name()).iter().any(|word| matches!(word.as_str(), "signature" | "signed" | "hmac" | "unsign"))
        });
    if signed {
        return true;
    }
    let verified = |side: At| project.origins(side).has_owner() && !project.origins(side).is_chosen();
    let told = project.unit(right.module).is_some_and(|unit| match unit.ir.expr(right.expr) {
        ExprKind::Call(call) => call.args.iter().any(|arg| verified(right.to(arg.value))),
        _ => false,
    });
    told || verified(left) || verified(right)
}

/// Of how many callers the checks are looked for.
const CALLERS: usize = 32;

/// Queries that are no tenant's business, or are looked up by what only one party has.
/// Words of tables that keep what was said or done in sessions, and not the sessions themselves.
const TALK: &[&str] = &[
    "conversation", "conversations", "chat", "chats", "message", "messages", "history", "memory", "memories", "thread", "threads", "run", "runs", "task", "tasks", "turn", "turns",
];

/// Words of files whose functions find out who somebody is, or are the operator's own.
const ASIDE: &[&str] = &["saml", "sso", "login", "signin", "og", "opengraph", "wellknown", "migrations", "migration", "migrate", "seed", "seeds", "admin", "alembic"];

/// Words of files whose functions nobody waits for, unless one asks who calls.
const UNATTENDED: &[&str] = &["scripts", "backup", "cron", "cleanup", "maintenance", "bootstrap"];

/// Whether a function calls one that is named for who calls: `const { workspace } = await requireWorkspace()`.
fn asks_for_party(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut asks = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr) {
            let path = project.written_as_exported(At { module: fun.module, expr: call.callee });
            asks |= path.last().is_some_and(|name| crate::flow::asks_for_party(name));
        }
    });
    asks
}

pub(super) fn skipped(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return true };
    let path = unit.ir.path.to_lowercase();
    let states = vocabulary::words(&query.shown);
    let named = |word: &str| states.iter().any(|own| own == word);
    // Whoever has a link that was shared, a device's code or a token to renew may use it, and a picture is shown to everybody.
    let link = (named("share") && named("link")) || (named("device") && (named("session") || named("code"))) || (named("refresh") && named("token"));
    if link || named("avatar") || named("logo") {
        return true;
    }
    // A sign-in that was begun is found by its state, which only who began it has.
    if states.last().is_some_and(|last| last == "state") && states.iter().any(|word| matches!(word.as_str(), "oauth" | "auth" | "login" | "sso" | "saml")) {
        return true;
    }
    let part = |list: &[&str]| path.split(['/', '.', '_', '-']).any(|part| list.contains(&part));
    let aside = part(ASIDE) || (part(UNATTENDED) && !project.around(query.function).into_iter().any(|fun| asks_for_party(project, fun)));
    if aside || query.function.id == crate::ir::FunctionId::MODULE || is_for_members(project, query) {
        return true;
    }
    if project.is_behind_policies(query) {
        return true;
    }
    // Rows of the list of users or tenants are looked up by the verified caller.
    let party = singular(&query.shown);
    let lists = lists_owners(&query.shown) || vocabulary::is_principal(&party) || vocabulary::is_user(&party) || project.tenant_words().contains(&singular(&query.shown));
    if lists && query.filters.iter().any(|at| project.origins(*at).has_owner()) {
        return true;
    }
    // Who somebody is, is found out by an address, a name or a secret: nobody is known before.
    // And whether there is such a tenant is not what the tenant has: `select(Tenant.id).where(Tenant.id == id)`.
    let only_id = || {
        let text: String = project.snippet(whole(project, query.at)).split_whitespace().collect();
        text.contains(&format!("select({}.id)", query.shown)) || text.contains("select:{id:true}") || text.contains("select:{id:true,}")
    };
    if lists && query.verb == Verb::Select && (only_id() || says_who_it_is(project, query)) {
        return true;
    }
    if is_housekeeping(project.function_name(query.function)) || super::own_schema::is_in_own_schema(project, query) {
        return true;
    }
    // What is public by its name is there for everybody.
    if vocabulary::words(&query.shown).first().is_some_and(|first| matches!(first.as_str(), "public" | "published")) {
        return true;
    }
    let text = project.snippet(query.at).to_lowercase();
    // Whether something is there at all.
    if query.is_sql && text.contains("select 1 ") {
        return true;
    }
    // An account of another service is its owner's, whoever that is here: that service says who signs in or sends an event.
    let elsewhere = ["provideraccount", "externalid", "externaluser"].iter().any(|word| text.replace('_', "").contains(word));
    if elsewhere && text.contains("provider") {
        return true;
    }
    let secret = ["token", "phone", "email", "api_key", "apikey", "key_hash", "keyhash", "hashedkey", "hashed_key", "secret", "session_id", "state", "code_verifier"];
    // An authorization code, an invitation, a code that was mailed: whoever has it may use it.
    let codes = ["auth", "code", "otp", "invit", "verification"].iter().any(|word| query.shown.to_lowercase().contains(word));
    // Whoever signs in names the application that sent them.
    let apps = query.shown.to_lowercase().contains("oauth");
    // What was said in a conversation is its people's, and the id of the session is what anybody may send.
    let talk = vocabulary::words(&query.shown).iter().any(|word| TALK.contains(&word.as_str()));
    let secret = secret.into_iter().filter(|word| !(talk && *word == "session_id")).chain(codes.then_some("code")).chain(apps.then_some("clientid")).chain(apps.then_some("client_id"));
    // The connection, the table and the functions of the query builder stand among what it names.
    let own = |at: &&At| !project.is_fixed(**at) && !is_of_module(project, **at);
    let few = query.filters.iter().filter(own).count() <= 2;
    (few && secret.into_iter().any(|word| text.contains(word) && names_filter(project, query, word))) || super::by_secret::is_found_by_secret(project, query)
}

/// Whether a list of users or tenants is asked for one of them by what only that one has or is called: an address, a name for the web, a
/// key.
fn says_who_it_is(project: &Project, query: &Query) -> bool {
    const BY: &[&str] = &[
        "email", "username", "slug", "domain", "subdomain", "apikey", "token", "phone", "mobile", "login", "handle", "externalid", "stripe", "hostname", "sub", "code",
    ];
    let text = project.snippet(whole(project, query.at)).to_lowercase().replace(['_', '\n', ' '], "");
    // Which columns come along says nothing.
    let begins = ["where", ".filter", "filterby(", ".get(", ".eq(", "findone", "findby"].iter().filter_map(|begin| text.find(begin)).min();
    let Some(text) = begins.and_then(|begin| text.get(begin..)) else { return false };
    let text = ["select:", "include:", ".orderby(", "columns:"].iter().fold(text, |text, end| text.split(end).next().unwrap_or(text));
    !query.filters.is_empty()
        && BY.iter().any(|by| ["=", ":", "',", "\",", ",", "}"].iter().any(|end| text.contains(&format!("{by}{end}"))))
}

/// Whether a query reads only what was made public: `.eq("status", "approved")`, `where is_public = true`, `{ published: true }`.
fn is_for_everybody(project: &Project, query: &Query) -> bool {
    const STATES: &[&str] = &["approved", "published", "public"];
    const FLAGS: &[&str] = &["ispublic", "published", "ispublished"];
    let text: String = project.snippet(whole(project, query.at)).to_lowercase().replace(['_', ' ', '\n', '\t', '"', '\''], "");
    let column = |state: &str| {
        ["status", "state", "visibility"].iter().any(|column| [",", "=", "==", ":", ":{eq:", ":{equals:"].iter().any(|by| text.contains(&format!("{column}{by}{state}"))))
    };
    let flag = |flag: &&str| ["=true", ",true", ":true", "==true", "=1"].iter().any(|so| text.contains(&format!("{flag}{so}")));
    query.verb == Verb::Select && (STATES.iter().any(|state| column(state)) || FLAGS.iter().any(flag))
}

/// The whole chain of calls that a query begins: `db.from("notes").select("*").eq("id", id)`.
fn whole(project: &Project, at: At) -> At {
    let Some(unit) = project.unit(at.module) else { return at };
    let mut here = at.expr;
    for _ in 0..24 {
        match unit.index.parent(here) {
            Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Member { object, .. } if *object == here) || matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee == here) => here = up,
            _ => break,
        }
    }
    at.to(here)
}

/// Whether a function by its name keeps house, or finds out who somebody is before there is a caller.
fn is_housekeeping(name: &str) -> bool {
    const OTHERS: &[&str] =
        &["cleanup", "purge", "expire", "prune", "migrate", "seed", "login", "authenticate", "health", "init", "_all_tenants", "sweep", "reap"];
    let lower = name.to_lowercase();
    // `verifyToken`, `verify_email`; a receipt or a chain of records that is verified is somebody's.
    let words = vocabulary::words(name);
    let proof = |word: &str| matches!(word, "code" | "otp" | "totp" | "mfa" | "email" | "phone" | "signature" | "login" | "user" | "key" | "session" | "link" | "domain" | "magic" | "passkey" | "webhook" | "invite" | "invitation" | "license" | "hash" | "auth" | "challenge" | "access");
    let verifies = words.iter().any(|word| matches!(word.as_str(), "verify" | "verified" | "verification"))
        && (words.len() == 1 || words.iter().any(|word| proof(word) || vocabulary::is_credential(word)));
    verifies || OTHERS.iter().any(|word| lower.contains(word))
}

fn is_of_module(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    matches!(unit.ir.expr(at.expr), ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id))
}

/// Whether a filter's value is named so: a row that is found by a token is its bearer's. A token's id is no secret.
fn names_filter(project: &Project, query: &Query, word: &str) -> bool {
    query.filters.iter().any(|at| {
        let text = project.snippet(*at);
        // The model `Secret` is no secret; a variable `secret` is.
        if singular(text) == query.entity && text.starts_with(char::is_uppercase) {
            return false;
        }
        let words = vocabulary::words(text);
        let is_id = words.len() > 1 && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid"));
        // `sentByEmail` says how, and is nobody's address.
        let said = words.len() > 1 && words.first().is_some_and(|first| matches!(first.as_str(), "sent" | "is" | "has" | "via" | "by" | "send" | "with"));
        text.to_lowercase().contains(word) && (word.ends_with("id") || !is_id) && !said
    })
}

/// Whether the handler that a query stands in, or is called by alone, is for the members of what its decorator names.
fn is_for_members(project: &Project, query: &Query) -> bool {
    project.is_for_members(query.function)
        || matches!(project.callers(query.function), [only] if project.is_for_members(project.function_of(*only)))
}

/// Whether the owner is compared before the query or on the row it gives, or the function is told an owner and checks it.
pub(super) fn is_checked(project: &Project, query: &Query) -> bool {
    if query.filters.iter().any(|at| !project.is_fixed(*at) && (project.is_checked(*at) || is_of_callers_row(project, *at))) || super::callers_decide::found_before(project, query) || super::callers_decide::callers_decide(project, query) || super::wheres::is_compared_apart(project, query) {
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
