//! Callers that are looked up by the credential that they bring.

use super::Origins;
use crate::{
    ir::{ArgKind, Call, ExprId, ExprKind, Language, NameRef, walk},
    library::Role,
    project::{At, Callee, Fun, Project},
    vocabulary,
};

/// How many names are followed from a key to the header that it was read from.
const DEPTH: u32 = 4;

impl Project {
    /// Whether a call takes out of the request's context who a middleware has found to call: `c.get("user")`.
    pub(super) fn gets_caller(&self, at: At, call: &Call, name: &str, depth: u32) -> bool {
        const CALLERS: &[&str] =
            &["user", "auth", "principal", "identity", "jwtPayload", "claims", "currentUser", "session"];
        let Some(unit) = self.unit(at.module).filter(|_| name == "get") else { return false };
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
        let Some(ExprKind::String(key)) = call.positional(0).map(|key| unit.ir.expr(key)) else {
            return false;
        };
        let key = unit.ir.text(*key);
        let owner = unit.ir.language == Language::JavaScript && vocabulary::is_owner(key);
        (owner || CALLERS.contains(&key))
            && self.written(at.to(*object)).len() == 1
            && self.origins_in(at.to(*object), depth).has(Origins::REQUEST)
            && (CALLERS.contains(&key) || self.is_put_into_context(key, depth))
    }

    /// Whether a middleware puts something under a name into the request's context, and nobody puts there what the caller chose:
    /// `c.set("userId", claims.sub)`.
    fn is_put_into_context(&self, key: &str, depth: u32) -> bool {
        let puts = self.calls_named(|name| name == "set");
        let mut put = false;
        for (module, unit) in self.units() {
            for expr in puts.among(module) {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
                let (Some(name), Some(value)) = (call.positional(0), call.positional(1)) else { continue };
                if !matches!(unit.ir.expr(name), ExprKind::String(text) if unit.ir.text(*text) == key) {
                    continue;
                }
                if self.origins_in(At { module, expr: value }, depth).is_chosen() {
                    return false;
                }
                put = true;
            }
        }
        put
    }

    /// Whether a call looks up, in a map of the server's own, to whom a credential belongs: `TOKENS.get(bearer)`. Who brings none
    /// of the map's keys gets nothing, so that what is found is the verified caller.
    pub(super) fn looks_up_bearer(&self, at: At) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
        let Some(key) = call.positional(0).filter(|_| unit.ir.text(*property) == "get") else { return false };
        // `headers.get("authorization")` reads the credential itself.
        if matches!(unit.ir.expr(key), ExprKind::String(_)) {
            return false;
        }
        let map = self.written(at.to(*object)).pop().unwrap_or_default();
        let words = vocabulary::words(&map);
        let of_tokens = words.iter().any(|word| {
            matches!(
                word.as_str(),
                "token" | "tokens" | "keys" | "apikeys" | "bearers" | "credentials" | "secrets"
            )
        });
        of_tokens && self.is_kept_map(at.to(*object)) && self.is_bearer(at.to(key), DEPTH)
    }

    /// Whether a call of ours gives the party that brings a credential, `get_current_org(x_api_key=key, authorization=token)`: all
    /// that it is given of the caller's choice are credentials, and it does not only read what a token says of itself.
    pub(super) fn asks_with_credentials(&self, at: At) -> bool {
        let ours =
            |callee: &&Callee| callee.says.asks_for_party() && callee.certain && !callee.targets.is_empty();
        let (Some(unit), Some(callee)) = (self.unit(at.module), self.callee(at).filter(ours)) else {
            return false;
        };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
        let mut brings = false;
        let mut other = false;
        for arg in &call.args {
            let keyword = match arg.kind {
                ArgKind::Keyword(name) => vocabulary::is_credential(unit.ir.text(name)),
                _ => false,
            };
            let named =
                self.written(at.to(arg.value)).last().is_some_and(|name| vocabulary::is_credential(name));
            brings |= keyword || named;
            let fixed = matches!(
                unit.ir.expr(arg.value),
                ExprKind::String(_) | ExprKind::Null | ExprKind::Bool(_) | ExprKind::Number(_)
            );
            let object = unit.ir.expr(arg.value);
            let handle = matches!(object, ExprKind::Name(_) | ExprKind::Member { .. })
                && self.written(at.to(arg.value)).last().is_some_and(|name| {
                    let words = vocabulary::words(name);
                    words.iter().any(|word| {
                        matches!(
                            word.as_str(),
                            "db" | "database"
                                | "session"
                                | "attribution"
                                | "posthog"
                                | "pool"
                                | "client"
                                | "store"
                        )
                    })
                });
            other |= !(keyword || named || fixed || handle);
        }
        brings && !other && !callee.targets.iter().any(|target| self.decodes(*target))
    }

    /// Whether a function reads a token without verifying it.
    fn decodes(&self, fun: Fun) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            found |= matches!(unit.ir.expr(expr), ExprKind::Call(_))
                && self.callee(at).is_some_and(|callee| {
                    callee.defs.iter().any(|def| def.role == Role::Decode)
                        || callee.name().to_lowercase().contains("decode")
                });
        });
        found
    }

    /// Whether a map is a constant of a module: filled by the operator, not by callers.
    fn is_kept_map(&self, map: At) -> bool {
        let Some(unit) = self.unit(map.module) else { return false };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(map.expr) else { return false };
        let [source] = unit.index.sources(*id) else { return false };
        let made = match unit.ir.expr(source.value) {
            ExprKind::Call(call) => !call.args.is_empty(),
            ExprKind::Object(properties) => !properties.is_empty(),
            _ => false,
        };
        let written = unit.index.uses(*id).iter().any(|used| {
            matches!(unit.index.parent(*used), crate::project::Parent::Expr(up)
                if matches!(unit.ir.expr(up), ExprKind::Member { property, .. } if unit.ir.text(*property) == "set"))
        });
        unit.ir.is_module_level(*id) && made && !written
    }

    /// Whether a value is the credential of the request: read from the header for it, or named for one.
    fn is_bearer(&self, at: At, depth: u32) -> bool {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.unit(at.module)) else { return false };
        let mut found = false;
        let mut more: Vec<ExprId> = Vec::new();
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::String(text) => {
                let text = unit.ir.text(*text).to_lowercase();
                found |= text == "authorization" || text.starts_with("bearer") || text.contains("api-key");
            }
            ExprKind::Member { property, .. } => found |= unit.ir.text(*property) == "authorization",
            ExprKind::Name(NameRef::Binding(id)) => {
                let sources = unit.index.sources(*id);
                found |= sources.is_empty() && vocabulary::is_credential(unit.ir.binding_name(*id));
                more.extend(sources.iter().take(3).map(|source| source.value));
            }
            _ => {}
        });
        found || more.into_iter().any(|expr| self.is_bearer(at.to(expr), depth))
    }
}

/// Whether the words of a function's name ask for a party, and not for what a token or a text says.
pub(super) fn asks_for_party(words: &[String]) -> bool {
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let party = [
        "org",
        "organization",
        "tenant",
        "user",
        "account",
        "workspace",
        "principal",
        "caller",
        "authenticate",
    ];
    has(&party) && !has(&["decode", "parse", "hash", "extract", "id", "unverified"])
}
