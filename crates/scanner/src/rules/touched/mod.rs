//! What touches an id or the row that it finds together with the caller, though it is not understood: who says that nobody asks whose a
//! row is, has to have seen all of it.

mod before;
mod beside;
mod exchanged;
mod frames;
mod kept;
mod straight;
mod tenants;

use crate::{
    flow::{Owned, Query, Scope},
    ir::ExprKind,
    lang::sql::Name,
    project::{At, Fun, ModuleId, Project},
};

/// Rules that say that an id of the request decides whose data is reached.
const BY_ID: &[&str] = &["tenant-from-input", "unscoped-query"];

/// What is said where the id is not seen to come from the caller.
const FOUND: &str = " The id is not taken from the request here: it is a part of what was found before, which is where to look whether \
                     somebody else's can be had.";

/// What is said where the id goes with the caller into something else.
const TOGETHER: &str = " The id, or what is found by it, goes together with the caller into something else here that may refuse: if it \
                        does not, this is as bad as it looks.";

/// What is said where a row or an id is compared with something of the caller's.
const COMPARED: &str = " The id, or the owner of what is found by it, is compared here with something else: if that is not the caller's \
                        own, or nothing is refused then, this is as bad as it looks.";

/// What is said where another query asks for the same id more narrowly.
const ASKED: &str = " Another query asks for the same id and for more before: if nothing is refused when it finds nothing, this is as bad \
                     as it looks.";

/// What is said where something stands before the handler.
const BEFORE: &str = " Something that is named for who may do what stands before: if it lets every caller through to every id, this is as \
                      bad as it looks.";

/// What is said where connections may not be used again.
const UNPOOLED: &str = " The file makes engines without a pool too: what is set on a connection that is closed afterwards reaches nobody.";

/// What is said where rows are found by what only one knows.
const SECRET: &str =
    " It is found by what is named like a secret or a key: whoever has that may be the one it was made for.";

/// What is said where a signature is verified.
const SIGNED: &str = " A signature is verified here too: if it is verified with a secret of what the id finds, nobody else can send it.";

/// What is said where a tool is given its connection.
const GIVEN: &str = " The tool does not make what it asks with, but is given it: if that was made for the caller, others' rows are not \
                     found with it.";

/// What is said where the caller's own credential goes along.
const POLICIES: &str = " It is asked with the caller's own credential, and nothing here tells the table's policies: if they let nobody see \
                        what is another's, nothing is reached.";

/// What is said where a table that is known says nothing of owners.
const NOBODYS: &str = " Some queries of these rows name somebody, but their table has no column that says whose they are: if it is what all \
                       have in common, nothing is another's.";

/// What is said where a call with one credential for all says who it is for.
const FOR_WHOM: &str = " The call says who it is for: if what is called is the server's own, or keeps its callers apart by that, it can tell \
                        them apart.";

/// What keeps all of a file's findings of a rule from being sure.
pub(super) fn doubt_of_file(project: &Project, rule: &str, module: ModuleId) -> Option<&'static str> {
    let (doubted, why) = match rule {
        "action-without-caller" => (kept::is_kept_by_prefix(project, module, None), BEFORE),
        // sqlalchemy.org: an engine with `NullPool` opens a connection for each use and closes it.
        "session-setting-on-pool" => {
            (project.unit(module).is_some_and(|unit| unit.ir.source.mentions("NullPool")), UNPOOLED)
        }
        _ => return None,
    };
    doubted.then_some(why)
}

/// What touches the id of a finding, or what it finds, and was not understood.
pub(super) fn doubt(project: &Project, rule: &str, at: At, fun: Fun) -> Option<&'static str> {
    match rule {
        "default-tenant" => return tenants::doubt(project, at),
        "unverified-token" => return exchanged::doubt(project, at),
        "shared-credential" => return says_for_whom(project, at).then_some(FOR_WHOM),
        _ if !BY_ID.contains(&rule) => return None,
        _ => {}
    }
    let query = query_at(project, at, fun);
    // Who names the owner and finds others' rows all the same does so by other means than an id.
    if query.is_some_and(|query| query.scope != Scope::None || query.tied) {
        return None;
    }
    if query.is_some_and(|query| is_nobodys(project, query)) {
        return Some(NOBODYS);
    }
    if query.is_some_and(|query| is_asked_as_caller(project, query)) {
        return Some(POLICIES);
    }
    let frames = frames::frames(project, at, fun, query);
    if straight::is_found(project, at, fun, query) {
        return Some(FOUND);
    }
    if query.is_some_and(|query| straight::is_by_secret(project, query)) {
        return Some(SECRET);
    }
    if beside::is_compared(project, &frames) {
        return Some(COMPARED);
    }
    if beside::is_asked_before(project, &frames) {
        return Some(ASKED);
    }
    if beside::goes_together(project, &frames) {
        return Some(TOGETHER);
    }
    if before::verifies_signature(project, &frames) {
        return Some(SIGNED);
    }
    if before::is_given_connection(project, at, fun, query, &frames) {
        return Some(GIVEN);
    }
    if rule == "tenant-from-input" && kept::is_looked_at(project, at) {
        return Some(TOGETHER);
    }
    let entry = project.entry_around(fun);
    let before = before::is_permitted(project, fun, &frames)
        || kept::is_guarded(project, fun)
        || entry.is_some_and(|own| kept::is_kept_by_prefix(project, own.handler.module, Some(own)));
    before.then_some(BEFORE)
}

/// The query that a finding is about, if it is about one.
fn query_at(project: &Project, at: At, fun: Fun) -> Option<&Query> {
    project.queries().iter().find(|query| query.at == at && query.function == fun)
}

/// Functions that ask whatever stands at an address.
const BY_ADDRESS: &[&str] =
    &["fetch", "request", "get", "post", "put", "patch", "delete", "send", "axios", "got", "ky", "urlopen"];

/// Whether a call to an address is told who calls.
fn says_for_whom(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    // A client of somebody else's service asks that one; only what is asked by address may be the server's own.
    let by_address = project.last_written(at.to(call.callee)).is_some_and(|name| BY_ADDRESS.contains(&name));
    by_address && call.args.iter().any(|arg| straight::has_caller(project, at.to(arg.value)))
}

/// Whether rows of a table that is not known are asked for with a client that carries the caller's credential.
fn is_asked_as_caller(project: &Project, query: &Query) -> bool {
    let known = project
        .tables
        .table(&Name::bare(&query.shown))
        .or_else(|| project.tables.model(&query.shown))
        .is_some();
    !known
        && project
            .unit(query.at.module)
            .is_some_and(|unit| beside::is_on_callers_client(project, unit, query))
}

/// Whether the table of a query is known and has no owner.
fn is_nobodys(project: &Project, query: &Query) -> bool {
    let table =
        project.tables.table(&Name::bare(&query.shown)).or_else(|| project.tables.model(&query.shown));
    table.is_some_and(|table| table.owner.is_none())
        && project.owned_entities().get(&query.entity) == Some(&Owned::Sibling)
}
