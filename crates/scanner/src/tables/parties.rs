//! The project's own words for its tenants, where they are none that every project has: `gym`, `clinic`, `empresa`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Level, Table, level_of_column};
use crate::vocabulary::{self, singular};

/// So many tables have a column for a tenant.
const TABLES: usize = 3;

/// What rows refer to in all kinds of projects, and what is no party; and words for parts of an application that have a rule of their own
/// (`Project::header_words`).
const NO_TENANT: &str = "project space namespace vault site realm env environment stage region user role permission group token session device client invite key chat \
    channel thread conversation message event room run job task agent bot tool server model plan \
    subscription product order invoice payment item file document doc image media post comment category \
    tag type status parent country city language currency request correlation trace transaction external \
    course class lesson quiz exam question patient student employee contact lead deal address department \
    position manager provider resource object entity record row source target template workflow node \
    edge step version app api service dataset collection page booking appointment execution result response \
    output answer attempt report skill revision draft variable prompt";

/// Words for what a project keeps apart: it has its own tenants, in whose rows everything else is.
pub(super) fn find<'a>(
    tables: &BTreeMap<String, Table>,
    names: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let mut counted: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut usual = 0;
    for (key, table) in tables {
        usual += usize::from(
            table.columns.iter().any(|column| level_of_column(&column.name) == Some(Level::Tenant)),
        );
        for column in &table.columns {
            if let [word, id] = vocabulary::words(&column.name).as_slice()
                && id == "id"
                && !NO_TENANT.split(' ').any(|other| other == word)
                && !vocabulary::says_whose(&column.name)
            {
                counted.entry(word.clone()).or_default().insert(key);
            }
        }
    }
    // With tenants of the usual names all others are parts of them.
    counted.retain(|_, having| usual < TABLES && having.len() >= TABLES);
    if counted.is_empty() {
        return Vec::new();
    }
    let said = said_by_names(&counted, names);
    counted
        .into_iter()
        .filter(|(word, having)| match said.get(word) {
            Some(Said::Header) => true,
            Some(Said::Current) => users_have(tables, word),
            None => users_have(tables, word) && having.len() * 5 >= tables.len() * 2 && lists(tables, word),
        })
        .map(|(word, _)| word)
        .collect()
}

/// Parts of columns of those who sign in.
const SIGNS_IN: &[&str] = &[
    "password",
    "passwd",
    "pwhash",
    "authid",
    "authuser",
    "clerk",
    "supabase",
    "firebase",
    "cognito",
    "auth0",
    "googleid",
    "verified",
    "lastlogin",
    "refreshtoken",
    "otp",
    "apikey",
];

/// Words beside `customer` in names of what asks which one calls.
const CALLS: &[&str] = &[
    "current",
    "auth",
    "authenticate",
    "authenticated",
    "authorize",
    "authorized",
    "authorization",
    "session",
    "login",
    "signin",
    "signup",
    "register",
    "jwt",
    "me",
    "logged",
    "require",
    "required",
    "portal",
    "token",
    "role",
    "header",
    "x",
    "context",
];

/// Whether customers are rows that users keep, and no party that calls: there are users and a table of customers, nobody of whom can
/// sign in, no user belongs to one, and nothing asks for the current one.
pub(super) fn keeps_customers<'a>(
    tables: &BTreeMap<String, Table>,
    names: impl Iterator<Item = &'a str>,
) -> bool {
    let lists_customers = |table: &&Table| singular(&table.name.name) == "customer";
    let is_users = |table: &&Table| {
        matches!(
            singular(&table.name.name).as_str(),
            "user" | "staff" | "employee" | "admin" | "profile" | "authuser"
        )
    };
    let mut customers = tables.values().filter(lists_customers).peekable();
    if customers.peek().is_none() || !tables.values().any(|table| is_users(&table)) {
        return false;
    }
    let sign_in = customers.any(|table| {
        table.columns.iter().any(|column| {
            let name: String = column.name.to_lowercase().replace('_', "");
            SIGNS_IN.iter().any(|part| name.contains(part))
        })
    });
    let mut of_users = tables.values().filter(|table| {
        is_users(table) || vocabulary::words(&table.name.name).iter().any(|word| word.starts_with("member"))
    });
    if sign_in
        || of_users
            .any(|table| table.columns.iter().any(|own| own.name.to_lowercase().starts_with("customer")))
    {
        return false;
    }
    let mut asked = names.filter(|name| name.len() < 40 && vocabulary::mentions(name, &["customer"]));
    !asked.any(|name| vocabulary::split(name).iter().any(|word| CALLS.contains(&word.as_str())))
}

/// How the code names a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    /// It asks for the current one, or whether somebody may have it: `get_current_gym`, `verifyGymAccess`.
    Current,
    /// Clients name it in a header: `X-Gym-ID`.
    Header,
}

fn said_by_names<'a>(
    counted: &BTreeMap<String, BTreeSet<&str>>,
    names: impl Iterator<Item = &'a str>,
) -> BTreeMap<String, Said> {
    let mut found: BTreeMap<String, Said> = BTreeMap::new();
    let asked: Vec<&str> = counted.keys().map(String::as_str).collect();
    for name in names.filter(|name| name.len() < 40 && vocabulary::mentions(name, &asked)) {
        let words = vocabulary::split(name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = match words.as_slice() {
            ["x", word] | ["x", word, "id" | "slug" | "key" | "name"] => Some((*word, Said::Header)),
            [.., "current" | "active", word] | [.., "current" | "active", word, "id"] => {
                Some((*word, Said::Current))
            }
            ["verify" | "require" | "check" | "ensure", word, "access" | "member" | "membership" | "id"] => {
                Some((*word, Said::Current))
            }
            _ => None,
        };
        if let Some((word, said)) = said.filter(|(word, _)| counted.contains_key(*word)) {
            let known = found.entry(word.to_owned()).or_insert(said);
            *known = said.max(*known);
        }
    }
    found
}

/// Whether users are in one: their table has a column for it, or a table joins both.
fn users_have(tables: &BTreeMap<String, Table>, word: &str) -> bool {
    tables.values().any(|table| {
        let has = table.columns.iter().any(|column| {
            matches!(vocabulary::words(&column.name).as_slice(), [own, id] if own == word && id == "id")
        });
        let of_users = super::level_of_table(&table.name.name) == Some(Level::User);
        let joins = || {
            let name = vocabulary::words(&table.name.name);
            name.len() > 1
                && name.iter().any(|own| singular(own) == word)
                && table.columns.iter().any(|column| vocabulary::is_user(&column.name))
        };
        has && (of_users || joins())
    })
}

/// Whether a table lists what a word means.
fn lists(tables: &BTreeMap<String, Table>, word: &str) -> bool {
    tables.values().any(|table| singular(&table.name.name) == word)
}
