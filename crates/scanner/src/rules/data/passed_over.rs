//! Queries that are no tenant's business, or are looked up by what only one party has.

use crate::{
    flow::{Query, lists_owners, singular},
    ir::{ExprKind, NameRef, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project, Symbol, Unit},
    vocabulary,
};

/// Words of tables that keep what was said or done in sessions, and not the sessions themselves.
const TALK: &[&str] = &[
    "conversation",
    "conversations",
    "chat",
    "chats",
    "message",
    "messages",
    "history",
    "memory",
    "memories",
    "thread",
    "threads",
    "run",
    "runs",
    "task",
    "tasks",
    "turn",
    "turns",
];

/// Words of tables whose sessions are those of whoever has signed in, or is about to.
const SIGNING_IN: &[&str] = &[
    "account",
    "accounts",
    "human",
    "member",
    "customer",
    "person",
    "employee",
    "staff",
    "operator",
    "principal",
    "identity",
    "auth",
    "login",
    "signin",
    "user",
    "web",
    "http",
    "oauth",
    "oidc",
    "browser",
    "device",
    "admin",
    "sso",
    "saml",
    "mcp",
    "portal",
    "access",
    "active",
    "refresh",
    "token",
    "cookie",
    "client",
    "magic",
    "upload",
    "checkout",
    "payment",
    "anonymous",
    "guest",
    "api",
    "db",
    "express",
    "server",
];

/// Words of files whose functions find out who somebody is, or are the operator's own.
const ASIDE: &[&str] = &[
    "saml",
    "sso",
    "login",
    "signin",
    "og",
    "opengraph",
    "wellknown",
    "migrations",
    "migration",
    "migrate",
    "seed",
    "seeds",
    "admin",
    "alembic",
];

/// Words of files whose functions nobody waits for, unless one asks who calls.
const UNATTENDED: &[&str] = &["scripts", "backup", "cron", "cleanup", "maintenance", "bootstrap", "evals"];

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

/// Whether a query is no tenant's business, or finds rows by what only one party has.
pub(super) fn skipped(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return true };
    is_of_no_tenant(project, unit, query)
        || project.is_behind_policies(query)
        || super::filter_backends::is_narrowed_later(project, query)
        || says_which_party(project, query)
        || is_for_all_or_nobody(project, query)
        || is_by_what_one_has(project, query)
}

/// Whether rows are of no tenant by their name, or a query stands where no tenant's request comes.
fn is_of_no_tenant(project: &Project, unit: &Unit, query: &Query) -> bool {
    let path = unit.ir.path.to_lowercase();
    let states = vocabulary::words(&query.shown);
    let named = |word: &str| states.iter().any(|own| own == word);
    // Whoever has a link that was shared, a device's code or a token to renew may use it, and a picture is shown to everybody.
    let link = (named("share") && named("link"))
        || (named("device") && (named("session") || named("code")))
        || (named("refresh") && named("token") && !is_for_somebody(project, unit, query));
    if link || named("avatar") || named("logo") {
        return true;
    }
    // A sign-in that was begun is found by its state, which only who began it has.
    if states.last().is_some_and(|last| last == "state")
        && states.iter().any(|word| matches!(word.as_str(), "oauth" | "auth" | "login" | "sso" | "saml"))
    {
        return true;
    }
    let part = |list: &[&str]| path.split(['/', '.', '_', '-']).any(|part| list.contains(&part));
    let aside = part(ASIDE)
        || (part(UNATTENDED)
            && !project.around(query.function).into_iter().any(|fun| asks_for_party(project, fun)));
    aside || query.function.id == crate::ir::FunctionId::MODULE || is_for_members(project, query)
}

/// Whether a query asks the list of users or tenants for the caller, or for who somebody is.
fn says_which_party(project: &Project, query: &Query) -> bool {
    // Rows of the list of users or tenants are looked up by the verified caller.
    let party = singular(&query.shown);
    let lists = lists_owners(&query.shown)
        || vocabulary::is_principal(&party)
        || vocabulary::is_user(&party)
        || project.tenant_words().contains(&singular(&query.shown));
    if lists && query.filters.iter().any(|at| project.origins(*at).has_owner()) {
        return true;
    }
    // Who somebody is, is found out by an address, a name or a secret: nobody is known before.
    // And whether there is such a tenant is not what the tenant has: `select(Tenant.id).where(Tenant.id == id)`.
    let only_id = || {
        let text: String = project.snippet(whole(project, query.at)).split_whitespace().collect();
        text.contains(&format!("select({}.id)", query.shown))
            || text.contains("select:{id:true}")
            || text.contains("select:{id:true,}")
    };
    let loads = || project.around(query.function).into_iter().any(|fun| loads_by_session(project, fun));
    lists && query.verb == Verb::Select && (only_id() || says_who_it_is(project, query) || loads())
}

/// Whether a function is told an id by the session that its library has signed: `@login_manager.user_loader` of Flask-Login,
/// `passport.deserializeUser((id, done) => …)`. Source: flask-login.readthedocs.io, passportjs.org.
fn loads_by_session(project: &Project, fun: Fun) -> bool {
    let named = |at: At, name: &str| project.written_as_exported(at).last().is_some_and(|own| **own == *name);
    let set = project.calls_named(|name| name == "deserializeUser");
    let decorated = |unit: &Unit, fun: Fun| {
        unit.ir.function(fun.id).is_some_and(|function| {
            let mut decorators = function.decorators.iter();
            decorators.any(|expr| named(At { module: fun.module, expr: *expr }, "user_loader"))
        })
    };
    let given = |unit: &Unit, call: At, fun: Fun| {
        let ExprKind::Call(made) = unit.ir.expr(call.expr) else { return false };
        made.positional(0).is_some_and(|given| match unit.ir.expr(given) {
            ExprKind::Function(id) => fun == Fun { module: call.module, id: *id },
            _ => project.symbol(call.to(given)) == Symbol::Function(fun),
        })
    };
    let loads = |fun: Fun| {
        project.unit(fun.module).is_some_and(|unit| decorated(unit, fun))
            || project.units().any(|(module, unit)| {
                set.among(module).any(|call| given(unit, At { module, expr: *call }, fun))
            })
    };
    // What it hands the id on to asks for it.
    let callers = project.callers(fun);
    loads(fun) || (!callers.is_empty() && callers.iter().all(|call| loads(project.function_of(*call))))
}

/// Whether a query keeps house, or reads what is there for everybody or is another service's.
fn is_for_all_or_nobody(project: &Project, query: &Query) -> bool {
    if is_housekeeping(project.function_name(query.function))
        || super::own_schema::is_in_own_schema(project, query)
    {
        return true;
    }
    // What is public by its name is there for everybody.
    if vocabulary::words(&query.shown)
        .first()
        .is_some_and(|first| matches!(first.as_str(), "public" | "published"))
    {
        return true;
    }
    let text = project.snippet(query.at).to_lowercase();
    // Whether something is there at all.
    if query.is_sql && text.contains("select 1 ") {
        return true;
    }
    // An account of another service is its owner's, whoever that is here: that service says who signs in or sends an event.
    let elsewhere = ["provideraccount", "externalid", "externaluser"]
        .iter()
        .any(|word| text.replace('_', "").contains(word));
    elsewhere && text.contains("provider")
}

/// Whether rows are found by a secret, or by what only one party has.
pub(super) fn is_by_what_one_has(project: &Project, query: &Query) -> bool {
    let text = project.snippet(query.at).to_lowercase();
    let secret = [
        "token",
        "phone",
        "email",
        "api_key",
        "apikey",
        "key_hash",
        "keyhash",
        "hashedkey",
        "hashed_key",
        "secret",
        "session_id",
        "state",
        "code_verifier",
    ];
    // An authorization code, an invitation, a code that was mailed: whoever has it may use it.
    let codes = ["auth", "code", "otp", "invit", "verification"]
        .iter()
        .any(|word| query.shown.to_lowercase().contains(word));
    // Whoever signs in names the application that sent them.
    let apps = query.shown.to_lowercase().contains("oauth");
    // What was said in a conversation is its people's, and the id of the session is what anybody may send.
    let words = vocabulary::words(&query.shown);
    // A session of something other than signing in, a diagnosis or a lesson, is found by an id that is no secret either.
    let lesson = words.len() > 1
        && words.last().is_some_and(|last| last == "session" || last == "sessions")
        && !words.iter().any(|word| SIGNING_IN.contains(&word.as_str()));
    let talk = lesson || words.iter().any(|word| TALK.contains(&word.as_str()));
    let secret = secret
        .into_iter()
        .filter(|word| !(talk && *word == "session_id"))
        .chain(codes.then_some("code"))
        .chain(apps.then_some("clientid"))
        .chain(apps.then_some("client_id"));
    // The connection, the table and the functions of the query builder stand among what it names.
    let own = |at: &&At| !project.is_fixed(**at) && !is_of_module(project, **at);
    let few = query.filters.iter().filter(own).count() <= 2;
    (few && secret.into_iter().any(|word| text.contains(word) && names_filter(project, query, word)))
        || super::by_secret::is_found_by_secret(project, query)
}

/// Whether a list of users or tenants is asked for one of them by what only that one has or is called: an address, a name for the web, a
/// key.
fn says_who_it_is(project: &Project, query: &Query) -> bool {
    const BY: &[&str] = &[
        "email",
        "username",
        "slug",
        "domain",
        "subdomain",
        "apikey",
        "token",
        "phone",
        "mobile",
        "login",
        "handle",
        "externalid",
        "stripe",
        "hostname",
        "sub",
        "code",
    ];
    let text = project.snippet(whole(project, query.at)).to_lowercase().replace(['_', '\n', ' '], "");
    // Which columns come along says nothing.
    let begins = ["where", ".filter", "filterby(", ".get(", ".eq(", "findone", "findby"]
        .iter()
        .filter_map(|begin| text.find(begin))
        .min();
    let Some(text) = begins.and_then(|begin| text.get(begin..)) else { return false };
    let text = ["select:", "include:", ".orderby(", "columns:"]
        .iter()
        .fold(text, |text, end| text.split(end).next().unwrap_or(text));
    !query.filters.is_empty()
        && BY.iter().any(|by| {
            ["=", ":", "',", "\",", ",", "}"].iter().any(|end| text.contains(&format!("{by}{end}")))
        })
}

/// Whether a query reads only what was made public: `.eq("status", "approved")`, `where is_public = true`, `{ published: true }`.
pub(super) fn is_for_everybody(project: &Project, query: &Query) -> bool {
    const STATES: &[&str] = &["approved", "published", "public"];
    const FLAGS: &[&str] = &["ispublic", "published", "ispublished"];
    let text: String = project
        .snippet(whole(project, query.at))
        .to_lowercase()
        .replace(['_', ' ', '\n', '\t', '"', '\''], "");
    let column = |state: &str| {
        ["status", "state", "visibility"].iter().any(|column| {
            [",", "=", "==", ":", ":{eq:", ":{equals:"]
                .iter()
                .any(|by| text.contains(&format!("{column}{by}{state}")))
        })
    };
    let flag = |flag: &&str| {
        ["=true", ",true", ":true", "==true", "=1"].iter().any(|so| text.contains(&format!("{flag}{so}")))
    };
    query.verb == Verb::Select && (STATES.iter().any(|state| column(state)) || FLAGS.iter().any(flag))
}

/// The whole chain of calls that a query begins: `db.from("notes").select("*").eq("id", id)`.
fn whole(project: &Project, at: At) -> At {
    let Some(unit) = project.unit(at.module) else { return at };
    let mut here = at.expr;
    for _ in 0..24 {
        match unit.index.parent(here) {
            Parent::Expr(up)
                if matches!(unit.ir.expr(up), ExprKind::Member { object, .. } if *object == here)
                    || matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee == here) =>
            {
                here = up
            }
            _ => break,
        }
    }
    at.to(here)
}

/// Whether a function by its name keeps house, or finds out who somebody is before there is a caller.
fn is_housekeeping(name: &str) -> bool {
    const OTHERS: &[&str] = &[
        "cleanup",
        "purge",
        "expire",
        "prune",
        "migrate",
        "seed",
        "login",
        "authenticate",
        "health",
        "init",
        "_all_tenants",
        "sweep",
        "reap",
    ];
    let lower = name.to_lowercase();
    // `verifyToken`, `verify_email`; a receipt or a chain of records that is verified is somebody's.
    let words = vocabulary::words(name);
    let proof = |word: &str| {
        matches!(
            word,
            "code"
                | "otp"
                | "totp"
                | "mfa"
                | "email"
                | "phone"
                | "signature"
                | "login"
                | "user"
                | "key"
                | "session"
                | "link"
                | "domain"
                | "magic"
                | "passkey"
                | "webhook"
                | "invite"
                | "invitation"
                | "license"
                | "hash"
                | "auth"
                | "challenge"
                | "access"
        )
    };
    let verifies = words.iter().any(|word| matches!(word.as_str(), "verify" | "verified" | "verification"))
        && (words.len() == 1 || words.iter().any(|word| proof(word) || vocabulary::is_credential(word)));
    verifies || OTHERS.iter().any(|word| lower.contains(word))
}

/// Whether a query that finds rows by nothing but their state stands in a function that speaks of one user: `revokeAll(userId)` whose
/// query says `{ revokedAt: null }`.
fn is_for_somebody(project: &Project, unit: &Unit, query: &Query) -> bool {
    let fixed = query.filters.iter().all(|at| project.is_fixed(*at) || is_of_module(project, *at));
    let mut speaks = false;
    for (id, binding) in unit.ir.bindings().filter(|_| fixed) {
        let local = unit.ir.binding_function(id) == query.function.id && !unit.ir.is_module_level(id);
        let name = unit.ir.text(binding.name);
        speaks |= local && (vocabulary::is_user(name) || vocabulary::is_principal(name));
    }
    speaks
}

fn is_of_module(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    matches!(unit.ir.expr(at.expr), ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id))
}

/// Whether a filter's value is named so: a row that is found by a token is its bearer's. A token's id is no secret.
pub(super) fn names_filter(project: &Project, query: &Query, word: &str) -> bool {
    query.filters.iter().any(|at| {
        let text = project.snippet(*at);
        // The model `Secret` is no secret; a variable `secret` is.
        if singular(text) == query.entity && text.starts_with(char::is_uppercase) {
            return false;
        }
        let words = vocabulary::words(text);
        let is_id = words.len() > 1
            && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid"));
        // `sentByEmail` says how, and is nobody's address.
        let said = words.len() > 1
            && words.first().is_some_and(|first| {
                matches!(first.as_str(), "sent" | "is" | "has" | "via" | "by" | "send" | "with")
            });
        text.to_lowercase().contains(word) && (word.ends_with("id") || !is_id) && !said
    })
}

/// Whether the handler that a query stands in, or is called by alone, is for the members of what its decorator names.
fn is_for_members(project: &Project, query: &Query) -> bool {
    project.is_for_members(query.function)
        || matches!(project.callers(query.function), [only] if project.is_for_members(project.function_of(*only)))
}
