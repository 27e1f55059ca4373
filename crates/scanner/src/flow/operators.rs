//! Whom checks let through: nobody but the operator's own people, administrators of whom nothing says whose they are, or anybody.

use crate::{
    ir::{ArgKind, Call, CompareOp, ExprKind, LogicalOp, NameRef, TemplatePart, UnaryOp, walk},
    project::{At, Project, Unit},
    vocabulary,
};

/// Whom something lets through, from everybody to the fewest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Admits {
    /// Whoever calls.
    #[default]
    Anybody,
    /// Who has the one key of the whole server, which tells nobody apart: the operator's own, or everybody's.
    Holders,
    /// Who has a position, such as a nurse's or a dispatcher's: where nothing is a tenant's, all work with the same rows.
    Staff,
    /// Administrators, who may be those of a tenant.
    Admins,
    /// The operator's own people, who are no tenant's.
    Operators,
}

/// Words of the operator's own people by themselves.
const ALONE: &[&str] =
    &["superadmin", "superadmins", "superuser", "superusers", "sysadmin", "sysadmins", "backoffice"];

/// Words for all of an installation, beside one for who administers it.
const WHOLE: &[&str] =
    &["super", "platform", "global", "system", "root", "site", "instance", "internal", "saas"];

/// Words of who administers something.
const ADMINS: &[&str] = &["admin", "admins", "administrator", "administrators"];

/// What a platform has, and no tenant: `require_platform_permission`.
const OF_PLATFORM: &[&str] =
    &["permission", "permissions", "role", "roles", "owner", "actor", "staff", "operator", "manager"];

/// Roles that are written out in one word.
const ROLES: &[&str] = &["root", "super", "platform", "operator"];

/// Roles of those whom a server is there for, and of tenants' own people.
const ORDINARY: &[&str] = &[
    "user",
    "users",
    "member",
    "members",
    "customer",
    "client",
    "patient",
    "student",
    "parent",
    "guest",
    "anonymous",
    "authenticated",
    "buyer",
    "seller",
    "vendor",
    "subscriber",
    "viewer",
    "reader",
    "editor",
    "writer",
    "contributor",
    "owner",
    "free",
    "basic",
    "pro",
    "premium",
    "paid",
    "trial",
    "public",
    "self",
    "tenant",
    "agent",
    "assistant",
    "system",
    "bearer",
    "service",
    "candidate",
    "participant",
    "driver",
    "guardian",
    "creator",
    "author",
    "host",
];

/// Words of functions and classes that ask for a role which they are given.
pub(super) const ASKS: &[&str] = &[
    "role",
    "roles",
    "require",
    "requires",
    "required",
    "restrict",
    "authorize",
    "authorise",
    "allow",
    "allowed",
    "only",
    "guard",
    "has",
    "check",
    "ensure",
    "permit",
    "rbac",
    "access",
    "verify",
    "enforce",
    "protect",
];

/// Words of such functions where they are called in a condition: `user.roles.includes("platform_admin")`.
const ASKS_IN_CONDITION: &[&str] = &["authorized", "guards", "is", "includes", "some", "protected", "auth"];

/// Words of what a role is kept as.
const RANKS: &[&str] = &["role", "roles", "rank", "type", "level", "group", "groups", "scope", "scopes"];

/// First words of functions that refuse by themselves.
pub(super) const REFUSES: &[&str] = &[
    "require",
    "assert",
    "ensure",
    "check",
    "verify",
    "enforce",
    "guard",
    "must",
    "authorize",
    "authorise",
    "restrict",
];

/// Words of secrets that the operator's own services have, and no tenant: `WORKER_SECRET`, `CRON_SECRET`.
const OWN_SERVICES: &[&str] = &["worker", "cron", "scheduler", "internal"];

/// How many calls a check may be away.
pub(super) const DEPTH: u32 = 4;

/// Whether a word is one of who administers something, a tenant or the whole: `admin`, `superuser`.
#[must_use]
pub fn is_admin(word: &str) -> bool {
    ADMINS.contains(&word) || ALONE.contains(&word)
}

/// Whether a word of a role says that it holds over all tenants: `platform`, `superuser`, `staff`.
#[must_use]
pub fn is_over_tenants(word: &str) -> bool {
    WHOLE.contains(&word) || ALONE.contains(&word) || word == "staff"
}

/// Whom a name speaks of: `requireSuperAdmin`, `isPlatformAdmin`, `is_staff`, `adminOnly`.
pub(super) fn says(name: &str) -> Admits {
    let words = vocabulary::words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    // `isOrgSuperAdmin` is an organisation's.
    if words.iter().any(|word| {
        vocabulary::is_tenant(word)
            || crate::tables::level_of_column(&format!("{word}_id")) == Some(crate::tables::Level::Tenant)
    }) {
        return Admits::Anybody;
    }
    let staff = matches!(words.as_slice(), [is, staff] if is == "is" && staff == "staff")
        || matches!(words.as_slice(), [staff, member, ..] if staff == "staff" && member == "member");
    let user = has(&["super"]) && has(&["user", "users"]);
    // What the operator's own services know, and no tenant: `requireInternalSecret`.
    let internal = has(&["internal"]) && has(&["secret", "key", "apikey", "token"]);
    if has(ALONE)
        || internal
        || staff
        || user
        || (has(WHOLE) && has(ADMINS))
        || (has(&["platform"]) && has(OF_PLATFORM))
    {
        return Admits::Operators;
    }
    if has(ADMINS) { Admits::Admins } else { Admits::Anybody }
}

/// Whom a role speaks of that is written out: `"SUPER_ADMIN"`, `"root"`.
fn role_says(text: &str) -> Admits {
    let words = vocabulary::words(text);
    match words.as_slice() {
        [only] if ROLES.contains(&only.as_str()) => Admits::Operators,
        _ => says(text),
    }
}

/// The same of a role that is a position in one organisation, by its name: `nurse`, `LAB_TECHNICIAN`. A permission such as `notes:read`
/// is none.
fn position(text: &str) -> Admits {
    let words = vocabulary::words(text);
    let is_word = |char: char| char.is_ascii_alphabetic() || matches!(char, '_' | '-' | ' ');
    let is = matches!(words.len(), 1..=3)
        && text.len() > 2
        && text.chars().all(is_word)
        && !words.iter().any(|word| ORDINARY.contains(&word.as_str()) || vocabulary::is_tenant(word));
    if is { Admits::Staff } else { Admits::Anybody }
}

/// Whether a name speaks of roles: `UserRole`, `restrictTo`, `authorize`.
fn is_of_roles(name: &str) -> bool {
    const ROLES: &[&str] =
        &["role", "roles", "group", "groups", "position", "restrict", "permit", "authorize", "authorise"];
    vocabulary::words(name).iter().any(|word| ROLES.contains(&word.as_str()))
}

impl Project {
    /// Whom somebody can be where a condition holds, `user.isSuperAdmin`, `user.role === "super_admin"`, or where it does not, and leads to
    /// a refusal: `!user.isSuperAdmin`, `user.role !== "super_admin"`.
    pub(super) fn admits_where(&self, test: At, holds: bool, depth: u32) -> Admits {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.unit(test.module)) else {
            return Admits::Anybody;
        };
        match unit.ir.expr(test.expr) {
            ExprKind::Unary { op: UnaryOp::Not, operand } => {
                self.admits_where(test.to(*operand), !holds, depth)
            }
            ExprKind::Logical { op, left, right } => {
                let own = self.admits_where(test.to(*left), holds, depth);
                let other = || self.admits_where(test.to(*right), holds, depth);
                match op {
                    LogicalOp::And if holds => own.max(other()),
                    LogicalOp::Or if !holds => own.max(other()),
                    LogicalOp::Nullish if !holds => own,
                    // `user.isSuperAdmin ?? false`
                    LogicalOp::Or | LogicalOp::Nullish
                        if matches!(unit.ir.expr(*right), ExprKind::Bool(false) | ExprKind::Null) =>
                    {
                        own
                    }
                    _ => own.min(other()),
                }
            }
            ExprKind::Compare {
                op: op @ (CompareOp::Eq | CompareOp::In | CompareOp::NotEq | CompareOp::NotIn),
                left,
                right,
            } => {
                let equal = matches!(op, CompareOp::Eq | CompareOp::In) == holds;
                match unit.ir.expr(*right) {
                    ExprKind::Bool(value) => self.admits_where(test.to(*left), equal == *value, depth),
                    ExprKind::Null => self.admits_where(test.to(*left), !equal, depth),
                    _ if equal => self.admits_equal(test.to(*left), test.to(*right)),
                    _ => Admits::Anybody,
                }
            }
            ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
                [source] if source.path.is_empty() => self.admits_where(test.to(source.value), holds, depth),
                // `const { isSuperAdmin } = req.user`
                [source] if holds && !self.is_sent(test.to(source.value)) => {
                    self.flag(test, unit.ir.binding_name(*id))
                }
                _ => Admits::Anybody,
            },
            _ if !holds => Admits::Anybody,
            ExprKind::Await(value) => self.admits_where(test.to(*value), holds, depth),
            ExprKind::Call(call) => self.admits_if_called(test, call),
            ExprKind::Member { property, .. } => self.flag(test, unit.ir.text(*property)),
            ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
                ExprKind::String(text) => self.flag(test, unit.ir.text(*text)),
                _ => Admits::Anybody,
            },
            _ => Admits::Anybody,
        }
    }

    /// What a flag of that name says: `isSuperAdmin`, `is_admin`, `platform_admin`. One that the caller sends says nothing.
    fn flag(&self, at: At, name: &str) -> Admits {
        if self.is_sent(at) { Admits::Anybody } else { self.settled(says(name)) }
    }

    /// Whether a value is a part of what the caller sends, as it is written: `req.body.isSuperAdmin`.
    fn is_sent(&self, at: At) -> bool {
        const SENT: &[&str] = &[
            "body",
            "query",
            "params",
            "headers",
            "cookies",
            "args",
            "form",
            "json",
            "query_params",
            "GET",
            "POST",
        ];
        self.written(at).iter().any(|part| SENT.contains(&part.as_str()))
    }

    /// What a call says that is true: `isSuperAdmin(user)`, `roles.includes("super_admin")`, `user.has_role("SUPER_ADMIN")`.
    fn admits_if_called(&self, at: At, call: &Call) -> Admits {
        let Some(name) = self.last_written(at.to(call.callee)) else { return Admits::Anybody };
        let words = vocabulary::words(name);
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        if has(&["equal", "equals", "compare", "digest", "verify", "match", "matches"])
            && call.args.iter().any(|arg| self.is_operators_secret(at.to(arg.value)))
        {
            return Admits::Operators;
        }
        if has(&["equal", "equals", "compare", "match", "matches"])
            && call.args.iter().any(|arg| self.is_servers_secret(at.to(arg.value)))
        {
            return Admits::Holders;
        }
        if self.is_sent(at) {
            return Admits::Anybody;
        }
        let own = self.settled(says(name));
        if own != Admits::Anybody || !(has(ASKS) || has(ASKS_IN_CONDITION)) {
            return own;
        }
        self.roles_of(at, call)
    }

    /// What two equal values say: a role that is written out, or a secret that only the operator has.
    fn admits_equal(&self, left: At, right: At) -> Admits {
        if self.is_operators_secret(left) || self.is_operators_secret(right) {
            return Admits::Operators;
        }
        if self.is_servers_secret(left) || self.is_servers_secret(right) {
            return Admits::Holders;
        }
        let is_role = |at: At| {
            !self.is_sent(at)
                && self
                    .written(at)
                    .iter()
                    .rev()
                    .take(2)
                    .any(|name| vocabulary::words(name).iter().any(|word| RANKS.contains(&word.as_str())))
        };
        let of = |role: At, text: At| match is_role(role) {
            true => self.role(text, DEPTH).unwrap_or_default(),
            false => Admits::Anybody,
        };
        of(left, right).max(of(right, left))
    }

    /// Whether a value is a secret out of the configuration that is named for who administers the server:
    /// `settings.ADMIN_API_KEY`, `process.env.INTERNAL_ADMIN_TOKEN`.
    fn is_operators_secret(&self, at: At) -> bool {
        self.is_secret_of_configuration(at, true)
    }

    /// Whether a value is a secret out of the configuration, of which a server has one for all: `process.env.API_KEY`.
    fn is_servers_secret(&self, at: At) -> bool {
        self.is_secret_of_configuration(at, false)
    }

    /// Whether a value is a secret out of the configuration; with `named`, one that is named for who administers the server.
    fn is_secret_of_configuration(&self, at: At, named: bool) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        let secret = |name: &str| {
            let words = vocabulary::words(name);
            let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
            (!named || has(ADMINS) || has(ALONE) || has(&["operator", "platform"]) || has(OWN_SERVICES))
                && has(&["key", "apikey", "secret", "token", "password"])
        };
        let mut expr = at.expr;
        for _ in 0..3 {
            match unit.ir.expr(expr) {
                // `secret.encode()`, `Buffer.from(ADMIN_KEY)`, `os.environ.get("ADMIN_KEY")`, `f"Bearer {ADMIN_KEY}"`
                ExprKind::Call(call) => {
                    let path = self.written(at.to(expr));
                    let environment =
                        path.iter().any(|part| matches!(part.as_str(), "environ" | "getenv" | "env"));
                    match (call.positional(0), unit.ir.expr(call.callee)) {
                        (Some(first), _) if environment => {
                            return matches!(unit.ir.expr(first), ExprKind::String(text) if secret(unit.ir.text(*text)));
                        }
                        (Some(first), ExprKind::Member { .. }) => expr = first,
                        (None, ExprKind::Member { object, .. }) => expr = *object,
                        _ => return false,
                    }
                }
                ExprKind::Template(parts) => {
                    let value = parts.iter().find_map(|part| match part {
                        TemplatePart::Value(value) => Some(*value),
                        TemplatePart::Text(_) => None,
                    });
                    match value {
                        Some(value) => expr = value,
                        None => return false,
                    }
                }
                _ => break,
            }
        }
        let path = self.written(at.to(expr));
        let of_process = path.iter().rev().skip(1).any(|part| {
            vocabulary::words(part)
                .iter()
                .any(|word| matches!(word.as_str(), "env" | "environ" | "config" | "settings" | "cfg"))
        });
        let constant = matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id))
            if (named && unit.ir.is_module_level(*id)) || self.is_of_configuration(unit, at, *id) || (!named && self.is_of_environment(at, *id)));
        (of_process || constant) && path.last().is_some_and(|name| secret(name))
    }

    /// Whether a variable, or the one of another module that it is imported from, is set to what the environment or the settings say,
    /// whatever else it may be: `const KEY = (process.env.KEY || "").trim()`.
    fn is_of_environment(&self, at: At, id: crate::ir::BindingId) -> bool {
        let (module, id) = self.declared(at.module, id).unwrap_or((at.module, id));
        let Some(unit) = self.unit(module) else { return false };
        unit.index.sources(id).iter().take(2).any(|source| {
            let mut found = false;
            walk::exprs_below(&unit.ir, source.value, &mut |expr| {
                let name = match unit.ir.expr(expr) {
                    ExprKind::Member { property, .. } => unit.ir.text(*property),
                    ExprKind::Name(NameRef::Global(name)) => unit.ir.text(*name),
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                    _ => return,
                };
                found |= matches!(
                    name,
                    "env" | "environ" | "getenv" | "settings" | "config" | "get_settings" | "getConfig"
                );
            });
            found
        })
    }

    /// Whether a variable is set from the configuration: `const adminKey = process.env.ADMIN_KEY`.
    fn is_of_configuration(&self, unit: &Unit, at: At, id: crate::ir::BindingId) -> bool {
        unit.index.sources(id).iter().take(2).any(|source| {
            self.written(at.to(source.value)).iter().any(|part| {
                matches!(part.as_str(), "env" | "environ" | "getenv" | "settings" | "config" | "get_settings")
            })
        })
    }

    /// Whom a role speaks of, or all of a list: nothing where it is not written out.
    fn role(&self, at: At, depth: u32) -> Option<Admits> {
        let (depth, unit) = (depth.checked_sub(1)?, self.unit(at.module)?);
        let told = match unit.ir.expr(at.expr) {
            ExprKind::String(text) => role_says(unit.ir.text(*text)).max(position(unit.ir.text(*text))),
            ExprKind::Array { items, .. } => {
                let all = items.iter().map(|item| self.role(at.to(*item), depth));
                return all.reduce(|one, other| Some(one?.min(other?))).flatten();
            }
            // `UserRole.PLATFORM_ADMIN.value`
            ExprKind::Member { object, property, .. }
                if matches!(unit.ir.text(*property), "value" | "name") =>
            {
                return self.role(at.to(*object), depth);
            }
            ExprKind::Member { object, property, .. } => {
                let own = unit.ir.text(*property);
                let of_roles = self.last_written(at.to(*object)).is_some_and(is_of_roles);
                role_says(own).max(if of_roles { position(own) } else { Admits::Anybody })
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                let (module, id) = self.declared(at.module, *id).unwrap_or((at.module, *id));
                let home = self.unit(module)?;
                match home.index.sources(id) {
                    [source] if source.path.is_empty() => {
                        return self.role(At { module, expr: source.value }, depth);
                    }
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(self.settled(told))
    }

    /// Whom all roles that a call is given speak of.
    pub(super) fn roles_of(&self, at: At, call: &Call) -> Admits {
        let mut all = None;
        for arg in &call.args {
            let Some(role) = self.role(at.to(arg.value), DEPTH) else { continue };
            // What else it is told by its name says nothing of a role.
            if matches!(arg.kind, ArgKind::Keyword(_)) && role == Admits::Anybody {
                continue;
            }
            all = Some(all.map_or(role, |other: Admits| other.min(role)));
        }
        // What else is said in one word is what it is about: `ensure(user, "reports")`.
        match all.unwrap_or_default() {
            Admits::Staff if !self.last_written(at.to(call.callee)).is_some_and(is_of_roles) => {
                Admits::Anybody
            }
            all => all,
        }
    }

    /// Administrators are the operator's own where tenants have none.
    pub(super) fn settled(&self, admits: Admits) -> Admits {
        match admits {
            Admits::Admins if self.keeps_admins_apart() => Admits::Operators,
            other => other,
        }
    }
}
