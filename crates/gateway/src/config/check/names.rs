//! Which names are allowed, and which of them name a tenant.

/// Whether an argument of this name would let the caller choose a tenant or act as somebody else.
///
/// Case and separators do not matter: `tenant_id`, `tenantId`, `X-Tenant` and `TENANT` are one name. Names of people,
/// customers, companies and teams are not tenants: `user_id` and `company_id` say whom a call is about, and are records as often.
pub(crate) fn names_tenant(name: &str) -> bool {
    const PARTY: [&str; 6] = ["org", "orgs", "organization", "organisation", "workspace", "accounttenant"];
    const BEFORE: [&str; 8] = ["x", "current", "target", "customer", "active", "selected", "my", "for"];
    const AFTER: [&str; 9] = ["id", "ids", "name", "slug", "key", "uuid", "guid", "code", "ref"];
    const ACTING: [&str; 6] = ["actas", "actingas", "onbehalfof", "runas", "assumerole", "sudo"];

    /// Whom somebody acts as, where nothing separates the words.
    const WHOM: [&str; 14] = [
        "user",
        "userid",
        "username",
        "account",
        "accountid",
        "id",
        "name",
        "role",
        "rolearn",
        "sub",
        "subject",
        "principal",
        "identity",
        "",
    ];
    /// The same in two words, which alone are too short to be looked for in others.
    const AS: [&str; 5] = ["asuser", "asuserid", "asaccount", "asprincipal", "assubject"];

    #[cfg(test)]
    if crate::removed::removed("no-tenant-argument") {
        return false;
    }
    let folded: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if folded.replace("lieutenant", "").contains("tenant") {
        return true;
    }
    let acts = |words: &str| {
        ACTING.iter().filter_map(|acting| words.strip_prefix(acting)).any(|whom| WHOM.contains(&whom))
    };
    if folded.contains("impersonat")
        || acts(&folded)
        || AS.contains(&folded.as_str())
        || begins(name).iter().any(|words| ACTING.contains(&words.as_str()))
    {
        return true;
    }
    // An account may be a record like any other (`account_name`), but its id is what many systems call the tenant.
    let plain = folded.strip_prefix('x').unwrap_or(&folded);
    if matches!(plain, "account" | "accounts" | "accountid" | "accountids") {
        return true;
    }
    let is_party = |word: &str| PARTY.contains(&word);
    let with_suffix = |word: &str| {
        is_party(word) || AFTER.iter().filter_map(|after| word.strip_suffix(after)).any(is_party)
    };
    with_suffix(&folded) || BEFORE.iter().filter_map(|before| folded.strip_prefix(before)).any(with_suffix)
}

/// The first words of a name, the first two, and so on, without what separates them: `act`, `actas`, `actasuser` of `act_as_user`.
fn begins(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut words = String::new();
    let mut before = ' ';
    for char in name.chars() {
        let new = !char.is_ascii_alphanumeric() || (char.is_ascii_uppercase() && before.is_ascii_lowercase());
        if new && !words.is_empty() {
            found.push(words.clone());
        }
        if char.is_ascii_alphanumeric() {
            words.push(char.to_ascii_lowercase());
        }
        before = char;
    }
    found.push(words);
    found
}

/// Why an argument that names a tenant is refused.
pub(super) const NAMES_TENANT: &str =
    "names a tenant; the tenant comes from the caller's token; remove the argument";

/// A tool's name on the wire.
pub(crate) fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// An argument's name, which is also the name of a parameter in SQL.
pub(super) fn is_arg_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A data source's name, which is also a file name.
pub(super) fn is_source_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
}

/// A token of RFC 9110, which header names are made of.
pub(super) fn is_header_token(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A scope of RFC 6749: visible ASCII without quotes and backslashes.
pub(super) fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}
