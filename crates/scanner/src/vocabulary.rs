//! Which names mean tenants, users, callers, sessions and credentials in code.

use std::{cell::RefCell, rc::Rc, sync::LazyLock};

use compact_str::CompactString as Word;
use rustc_hash::FxHashMap;

pub(crate) mod own;

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meaning(u8);

impl Meaning {
    /// Of [`MEANS`], a bit each.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    const fn has(self, what: usize) -> bool {
        self.0 & (1 << what) != 0
    }

    /// As [`is_tenant`].
    #[must_use]
    pub const fn is_tenant(self) -> bool {
        self.has(TENANTS)
    }

    /// As [`is_user`].
    #[must_use]
    pub const fn is_user(self) -> bool {
        self.has(USERS)
    }

    /// As [`is_owner`].
    #[must_use]
    pub const fn is_owner(self) -> bool {
        self.is_tenant() || self.is_user()
    }

    /// As [`is_principal`].
    #[must_use]
    pub const fn is_principal(self) -> bool {
        self.has(PRINCIPALS)
    }

    /// As [`is_credential`].
    #[must_use]
    pub const fn is_credential(self) -> bool {
        self.has(CREDENTIALS)
    }

    /// As [`is_session_id`].
    #[must_use]
    pub const fn is_session_id(self) -> bool {
        self.has(SESSIONS)
    }

    /// As [`is_cache`].
    #[must_use]
    pub const fn is_cache(self) -> bool {
        self.has(CACHES)
    }
}

/// What a name says.
#[derive(Clone)]
struct Said {
    words: Rc<Vec<String>>,
    means: Meaning,
}

/// Whether a name means something, by its words.
type Means = fn(&[String]) -> bool;

/// What is asked of names again and again.
const MEANS: [Means; 6] =
    [means_tenant, means_user, means_principal, means_credential, means_session_id, means_cache];
const TENANTS: usize = 0;
const USERS: usize = 1;
const PRINCIPALS: usize = 2;
const CREDENTIALS: usize = 3;
const SESSIONS: usize = 4;
const CACHES: usize = 5;

/// How many names are remembered; one more, and all are forgotten.
const REMEMBERED: usize = 1 << 17;
/// What is longer is a text and no name.
const LONGEST: usize = 64;

thread_local! {
    /// A project has some ten thousand names and asks millions of times.
    static KNOWN: RefCell<FxHashMap<Word, Said>> = RefCell::default();
}

/// Looks what a name says, and takes of that what is asked for.
fn said<T>(name: &str, take: impl FnOnce(&Said) -> T) -> T {
    let work_out = || {
        let words = split(name);
        // Most names mean nothing, and are not asked what.
        let asked = may_mean(name).then_some(&MEANS).into_iter().flatten().enumerate();
        let means = asked.fold(0, |bits, (bit, means)| bits | (u8::from(means(&words)) << bit));
        Said { words, means: Meaning(means) }
    };
    if name.len() > LONGEST {
        return take(&work_out());
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(said) = known.get(name) {
            return take(said);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        let said = work_out();
        let taken = take(&said);
        known.insert(name.into(), said);
        taken
    })
}

/// Forgets what names mean, since words got or lost a meaning.
fn forget() {
    KNOWN.with_borrow_mut(FxHashMap::clear);
}

/// All that a name means.
#[must_use]
pub fn meaning_of(name: &str) -> Meaning {
    if may_mean(name) { said(name, |said| said.means) } else { Meaning::default() }
}

/// Of each three letters, as a number, whether a word that gives a name a meaning begins with them.
static BEGINNINGS: LazyLock<Box<[bool]>> = LazyLock::new(|| {
    let mut found = vec![false; 26 * 26 * 26].into_boxed_slice();
    let lists = [TENANT, USER, PRINCIPAL, CREDENTIAL, SESSION, CACHE, PAIRED];
    for word in lists.into_iter().flatten() {
        let bytes = word.as_bytes();
        if let Some(place) = beginning(bytes).and_then(|number| found.get_mut(number)) {
            *place = true;
        }
    }
    found
});

/// The number of the three letters that a text begins with.
fn beginning(text: &[u8]) -> Option<usize> {
    text.get(..3)?.iter().try_fold(0, |sum, byte| {
        let letter = byte.to_ascii_lowercase();
        letter.is_ascii_lowercase().then(|| sum * 26 + usize::from(letter - b'a'))
    })
}

/// Whether a name may mean something: one of its words begins as a word with a meaning does. Most do not, and are not split.
fn may_mean(name: &str) -> bool {
    if !name.is_ascii() {
        return true;
    }
    let bytes = name.as_bytes();
    let mut last = b' ';
    for (at, byte) in bytes.iter().enumerate() {
        let starts = byte.is_ascii_uppercase() || !last.is_ascii_alphanumeric();
        last = *byte;
        let rest = || bytes.get(at..).and_then(beginning);
        if starts && rest().is_some_and(|number| BEGINNINGS.get(number) == Some(&true)) {
            return true;
        }
    }
    own::mentioned(name)
}

/// Whether a text has one of others in it, in small or capital letters of ASCII; those are in small letters.
#[must_use]
pub fn mentions(text: &str, others: &[&str]) -> bool {
    let bytes = text.as_bytes();
    let bit = |byte: u8| 1_u64 << (byte.to_ascii_lowercase() % 64);
    let firsts =
        others.iter().fold(0, |bits, other| bits | other.as_bytes().first().map_or(0, |first| bit(*first)));
    // Most places are told by their first letter.
    let mut places = bytes.iter().enumerate().filter(|(_, byte)| bit(**byte) & firsts != 0);
    others.iter().any(|other| other.is_empty())
        || places.any(|(at, _)| {
            let rest = bytes.get(at..).unwrap_or_default();
            others.iter().any(|other| {
                rest.get(..other.len()).is_some_and(|part| part.eq_ignore_ascii_case(other.as_bytes()))
            })
        })
}

/// The words of an identifier, in lower case: `orgId`, `org_id`, `ORG-ID` are `org`, `id`.
#[must_use]
pub fn words(name: &str) -> Rc<Vec<String>> {
    said(name, |said| Rc::clone(&said.words))
}

/// The name of an entity without what tables and models differ in: `email_team_join_requests`, `EmailTeamJoinRequest`.
#[must_use]
pub fn singular(name: &str) -> String {
    let joined = words(name).join("");
    match joined.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => {
            joined.strip_suffix('s').filter(|stem| !stem.ends_with('s')).map_or(joined.clone(), str::to_owned)
        }
    }
}

pub(crate) fn split(name: &str) -> Rc<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut last = ' ';
    let mut chars = name.chars().peekable();
    while let Some(char) = chars.next() {
        let next_is_lower = chars.peek().is_some_and(|next| next.is_lowercase());
        let starts = char.is_uppercase()
            && (last.is_lowercase() || last.is_numeric() || (last.is_uppercase() && next_is_lower));
        if (starts || !char.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if char.is_ascii_alphanumeric() {
            word.push(char.to_ascii_lowercase());
        } else if char.is_alphanumeric() {
            word.extend(char.to_lowercase());
        }
        last = char;
    }
    if !word.is_empty() {
        words.push(word);
    }
    Rc::new(words)
}

const TENANT: &[&str] = &[
    "tenant",
    "tenants",
    "org",
    "orgs",
    "organization",
    "organisation",
    "workspace",
    "account",
    "acct",
    "company",
    "customer",
    "team",
    "tid",
    "orgid",
    "tenantid",
    "accountid",
    "workspaceid",
    "realm",
    "tenancy",
];
const USER: &[&str] = &[
    "user", "owner", "uid", "userid", "ownerid", "sub", "subject", "member", "creator", "author", "person",
    "username", "profile",
];
const PRINCIPAL: &[&str] = &[
    "principal",
    "identity",
    "auth",
    "authinfo",
    "claims",
    "claim",
    "caller",
    "actor",
    "viewer",
    "authenticated",
    "oauth",
    "credentials",
    "jwt",
    "bearer",
];
const KEYS: &[&str] = &[
    "id",
    "ids",
    "uuid",
    "guid",
    "slug",
    "key",
    "name",
    "ref",
    "oid",
    "pk",
    "hash",
    "fingerprint",
    "scope",
    "ns",
    "did",
];
const CREDENTIAL: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "apikey",
    "apitoken",
    "bearer",
    "authorization",
    "credential",
    "credentials",
    "pat",
    "jwt",
    "accesskey",
];

fn has(words: &[String], list: &[&str]) -> bool {
    words.iter().any(|word| list.contains(&word.as_str()))
}

fn all_in(words: &[String], lists: &[&[&str]]) -> bool {
    words.iter().all(|word| lists.iter().any(|list| list.contains(&word.as_str())))
}

const FILLERS: &[&str] = &[
    "current",
    "my",
    "the",
    "active",
    "default",
    "request",
    "req",
    "ctx",
    "context",
    "requested",
    "target",
    "effective",
    "raw",
    "by",
    "for",
    "of",
    "created",
    "owned",
    "from",
    "with",
    "all",
    "any",
    "optional",
    "session",
    "db",
    "sql",
    "where",
    "filter",
    "app",
    "x",
    "resolved",
    "internal",
    "external",
    "primary",
    "parent",
    "requesting",
    "calling",
    "logged",
    "in",
    "end",
];

/// Whether a name means a tenant or its id: `tenantId`, `org_id`, `currentWorkspace`. `accountBalance` does not.
#[must_use]
pub fn is_tenant(name: &str) -> bool {
    meaning_of(name).has(TENANTS)
}

fn means_tenant(words: &[String]) -> bool {
    let known = [TENANT, USER, KEYS, FILLERS, PRINCIPAL];
    let is_tenant =
        |word: &String| (TENANT.contains(&word.as_str()) && !own::is_thing(word)) || own::is_own(word);
    words.iter().any(is_tenant)
        && words.iter().all(|word| is_tenant(word) || known.iter().any(|list| list.contains(&word.as_str())))
}

/// Whether a name means a user or its id: `userId`, `owner`, `created_by`.
#[must_use]
pub fn is_user(name: &str) -> bool {
    meaning_of(name).has(USERS)
}

fn means_user(words: &[String]) -> bool {
    (has(words, USER) && all_in(words, &[USER, KEYS, FILLERS, PRINCIPAL, &["email"]]))
        || matches!(
            words.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
            ["caller" | "principal" | "viewer", "id" | "uid" | "sub" | "key"]
        )
        || matches!(
            words.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
            ["created", "by"] | ["owned", "by"] | ["user" | "owner", "email"]
        )
}

/// Whether a name means a party that data belongs to: a tenant or a user.
#[must_use]
pub fn is_owner(name: &str) -> bool {
    meaning_of(name).is_owner()
}

/// Whether a name means the caller as such: `principal`, `authInfo`, `claims`, `currentUser`.
#[must_use]
pub fn is_principal(name: &str) -> bool {
    meaning_of(name).has(PRINCIPALS)
}

fn means_principal(words: &[String]) -> bool {
    let caller = has(words, &["current", "authenticated", "calling", "request"]) && has(words, USER);
    caller || (has(words, PRINCIPAL) && !has(words, NO_CALLER))
}

/// Words that make a name out of [`PRINCIPAL`] a thing that has to do with callers, and no caller.
const NO_CALLER: &[&str] = &[
    "document",
    "documents",
    "amount",
    "header",
    "headers",
    "provider",
    "router",
    "error",
    "url",
    "server",
    "client",
    "loader",
    "store",
    "factory",
    "resolver",
    "manager",
    "fn",
    "callback",
    "cache",
    "config",
    "settings",
    "verifier",
    "validator",
    "enabled",
    "mode",
    "type",
    "required",
    "method",
    "scheme",
    "middleware",
    "path",
    "generation",
    "status",
    "flow",
    "lock",
    "storage",
    "attempts",
    "failed",
    "failures",
    "pending",
    "timeout",
    "version",
    "class",
    "count",
    "file",
    "files",
    "line",
    "module",
    "function",
    "symbol",
    "graph",
    "site",
    "stack",
];

/// Whether a name means a credential: `apiKey`, `accessToken`, `GITHUB_TOKEN`.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    meaning_of(name).has(CREDENTIALS)
}

/// Last words of names that say something about a credential: `token_access_level`, `API_KEY_CACHE`.
const ABOUT_CREDENTIALS: &[&str] = &[
    "type", "types", "kind", "mode", "url", "uri", "endpoint", "length", "level", "minutes", "seconds",
    "hours", "days", "cache", "enabled", "disabled", "required", "body",
];

fn means_credential(words: &[String]) -> bool {
    let counted = has(
        words,
        &[
            "max",
            "count",
            "limit",
            "limits",
            "budget",
            "budgets",
            "tokens",
            "tokenizer",
            "progress",
            "page",
            "next",
            "cursor",
            "cancel",
            "cancellation",
        ],
    );
    // `CREDENTIAL_VAULT_TYPE`, `token_url`: something about one; `ACCESS_TOKEN_EXPIRE_MINUTES`: how long one is good.
    let about = words.last().is_some_and(|last| ABOUT_CREDENTIALS.contains(&last.as_str()))
        || has(words, &["expire", "expires", "expiry", "expiration", "lifetime", "ttl"]);
    let pair = words.iter().zip(words.iter().skip(1)).any(|(a, b)| {
        matches!(
            (a.as_str(), b.as_str()),
            ("api", "key")
                | ("access", "key")
                | ("private", "key")
                | ("auth", "header")
                | ("auth", "key")
                | ("secret", "key")
        )
    });
    !counted && !about && (pair || has(words, CREDENTIAL))
}

/// Whether what is kept under a name has rules of its own, or is no caller's: connections, locks, limits, keys of issuers.
#[must_use]
pub fn has_own_rules(name: &str) -> bool {
    words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "session"
                | "sessions"
                | "transport"
                | "transports"
                | "lock"
                | "locks"
                | "jwks"
                | "limiter"
                | "rate"
        )
    })
}

/// Whether the name of a function says that it asks whose something is: `checkOwner`, `belongs_to`, `requireAccess`.
#[must_use]
pub fn asks_whose(name: &str) -> bool {
    words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "owner" | "owns" | "owned" | "authorize" | "belongs" | "ownership" | "access" | "permission"
        )
    })
}

/// Whether a name says whose something is: a party, the caller, a credential or a session.
pub fn says_whose(name: &str) -> bool {
    is_owner(name) || is_principal(name) || is_credential(name) || is_session_id(name)
}

/// Whether a name means the id of a session: `sessionId`, `mcp-session-id`, `sid`.
#[must_use]
pub fn is_session_id(name: &str) -> bool {
    meaning_of(name).has(SESSIONS)
}

/// With what the names of sessions' ids have a word of.
const SESSION: &[&str] = &["sid", "sessionid", "session"];

fn means_session_id(words: &[String]) -> bool {
    has(words, &["sid", "sessionid"]) || (has(words, &["session"]) && has(words, &["id", "key", "token"]))
}

/// Whether a name means a cache, pool or memo of several requests.
#[must_use]
pub fn is_cache(name: &str) -> bool {
    meaning_of(name).has(CACHES)
}

const CACHE: &[&str] = &["cache", "caches", "cached", "memo", "memoized", "lru", "pool", "pools", "cacher"];

fn means_cache(words: &[String]) -> bool {
    has(words, CACHE)
}

/// The first words of pairs that mean something together.
const PAIRED: &[&str] = &["created", "owned", "api", "access", "private", "auth", "secret"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(*words("orgId"), ["org", "id"]);
        assert_eq!(*words("HTTPServerURL"), ["http", "server", "url"]);
        assert_eq!(*words("x-tenant-id"), ["x", "tenant", "id"]);
        assert_eq!(*words("GITHUB_TOKEN"), ["github", "token"]);
    }

    #[test]
    fn a_name_that_is_not_split_means_nothing() {
        let words = [TENANT, USER, PRINCIPAL, KEYS, CREDENTIAL, FILLERS, NO_CALLER, SESSION, CACHE, PAIRED];
        for one in words.into_iter().flatten() {
            for two in words.into_iter().flatten() {
                let capital: String =
                    two.chars().take(1).flat_map(char::to_uppercase).chain(two.chars().skip(1)).collect();
                for name in
                    [format!("{one}_{two}"), format!("{one}{capital}"), format!("x{}", one.to_uppercase())]
                {
                    let words = split(&name);
                    assert!(may_mean(&name) || !MEANS.iter().any(|means| means(&words)), "{name}");
                }
            }
        }
    }

    #[test]
    fn names_mean_what_people_mean() {
        for name in [
            "tenantId",
            "org_id",
            "organizationId",
            "currentTenant",
            "workspace",
            "x-tenant-id",
            "account_id",
        ] {
            assert!(is_tenant(name), "{name}");
        }
        for name in ["accountBalance", "documentId", "teammates", "userId", "organizer"] {
            assert!(!is_tenant(name), "{name}");
        }
        for name in ["userId", "owner", "created_by", "ownerId"] {
            assert!(is_user(name), "{name}");
        }
        assert!(!is_user("userAgent"));
        for name in ["apiKey", "GITHUB_TOKEN", "access_token", "Authorization"] {
            assert!(is_credential(name), "{name}");
        }
        for name in [
            "maxTokens",
            "progressToken",
            "nextPageToken",
            "key",
            "ACCESS_TOKEN_EXPIRE_MINUTES",
            "token_access_level",
            "API_KEY_CACHE",
        ] {
            assert!(!is_credential(name), "{name}");
        }
        assert!(is_principal("authInfo") && !is_principal("credentials_loader"));
        assert!(is_session_id("mcp-session-id") && !is_session_id("session"));
    }
}
