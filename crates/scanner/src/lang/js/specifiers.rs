//! What a specifier of a runtime or of a network of deliveries calls a package: `npm:pg@8`, `https://esm.sh/@supabase/supabase-js@2`.

/// Schemes of Deno and Bun before a package's name. Source: <https://docs.deno.com/runtime/fundamentals/modules/>.
const SCHEMES: &[&str] = &["npm:", "jsr:"];

/// Where packages of npm and of Deno's registry are got from by their names, and what stands between the host and the name.
const HOSTS: &[&str] = &[
    "https://esm.sh/",
    "https://esm.run/",
    "https://cdn.skypack.dev/",
    "https://unpkg.com/",
    "https://cdn.jsdelivr.net/npm/",
    "https://jspm.dev/",
    "https://deno.land/x/",
];

/// The name of the package and what lies below it, without its version: `@supabase/supabase-js`; any other specifier as it is.
pub(super) fn package(specifier: &str) -> String {
    let Some(named) = SCHEMES.iter().chain(HOSTS).find_map(|begin| specifier.strip_prefix(begin)) else {
        return specifier.to_owned();
    };
    let named = named.split(['?', '#']).next().unwrap_or(named).trim_start_matches('/');
    let (scope, rest) = match named.strip_prefix('@').and_then(|scoped| scoped.split_once('/')) {
        Some((scope, rest)) => (Some(scope), rest),
        None => (None, named),
    };
    let (name, below) = rest.split_once('/').map_or((rest, None), |(name, below)| (name, Some(below)));
    // esm.sh pins what it was built with: `https://esm.sh/v135/pg@8`.
    let pin = scope.is_none()
        && name
            .strip_prefix('v')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(below) = below.filter(|_| pin) {
        return package(&format!("npm:{below}"));
    }
    let name = name.split('@').next().unwrap_or(name);
    let scope = scope.map_or(String::new(), |scope| format!("@{scope}/"));
    // The file that a package begins with is the package.
    match below.filter(|below| !below.ends_with("mod.ts") && *below != "+esm") {
        Some(below) => format!("{scope}{name}/{below}"),
        None => format!("{scope}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::package;

    #[test]
    fn packages_are_named_without_where_they_come_from() {
        for (specifier, name) in [
            ("npm:@supabase/supabase-js@2", "@supabase/supabase-js"),
            ("jsr:@supabase/supabase-js@2.49.1", "@supabase/supabase-js"),
            ("npm:@modelcontextprotocol/sdk@1.12/server/mcp.js", "@modelcontextprotocol/sdk/server/mcp.js"),
            ("https://esm.sh/@supabase/supabase-js@2.45.0?target=deno", "@supabase/supabase-js"),
            ("https://esm.sh/v135/jose@5.2.0", "jose"),
            ("https://deno.land/x/hono@v4.3.11/mod.ts", "hono"),
            ("https://deno.land/x/hono@v4.3.11/middleware.ts", "hono/middleware.ts"),
            ("https://cdn.jsdelivr.net/npm/openai@4/+esm", "openai"),
            ("node:fs", "node:fs"),
            ("../_shared/db.ts", "../_shared/db.ts"),
            ("https://example.com/x.ts", "https://example.com/x.ts"),
            ("npm:", ""),
        ] {
            assert_eq!(package(specifier), name, "{specifier}");
        }
    }
}
