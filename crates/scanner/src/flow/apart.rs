//! Whether those who are called administrators are the operator's own: their tokens are of no tenant.

use crate::{
    ir::{BindingKind, ExprKind, NameRef, Property, PropertyKey},
    project::{At, Project, Unit},
    tables::Level,
    vocabulary,
};

/// How code names the tenant of something.
const TENANTS: &[&str] = &[
    "tenant",
    "Tenant",
    "organization_id",
    "organizationId",
    "organisation_id",
    "organisationId",
    "org_id",
    "orgId",
    "workspace_id",
    "workspaceId",
    "company_id",
    "companyId",
    "clinic_id",
    "clinicId",
    "hospital_id",
    "hospitalId",
    "school_id",
    "schoolId",
    "branch_id",
    "branchId",
    "shop_id",
    "shopId",
    "store_id",
    "storeId",
];

impl Project {
    /// Whether administrators belong to no tenant, because the tokens that make somebody one say so, and no tenant. That no table knows
    /// tenants says nothing: those of a server that was made for one of them are often not written down.
    pub(super) fn keeps_admins_apart(&self) -> bool {
        *self.memory.admins_apart.get_or_init(|| self.signs_admins_apart())
    }

    /// Whether anything is a tenant's: rows of a table, or what the code calls so. Where there is one organisation, who has a position in it
    /// works with the rows of all.
    pub(crate) fn keeps_tenants(&self) -> bool {
        *self.memory.tenants.get_or_init(|| {
            self.tables
                .tables
                .values()
                .filter_map(|table| table.owner.as_ref())
                .any(|owner| owner.level == Level::Tenant)
                || self.units().any(|(_, unit)| TENANTS.iter().any(|name| unit.ir.source.mentions(name)))
        })
    }

    /// Whether each token's role is written out where it is signed, and the one of administrators has no tenant beside it.
    fn signs_admins_apart(&self) -> bool {
        let mut found = false;
        for (module, unit) in self.units() {
            for expr in &unit.index.calls {
                let at = At { module, expr: *expr };
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
                if !self.last_written(at).is_some_and(signs) {
                    continue;
                }
                let payload = call.args.iter().take(2).find_map(|arg| object(unit, at.to(arg.value)));
                match payload.map(|properties| judge(unit, properties)) {
                    Some(Of::Admin) => found = true,
                    Some(Of::Any) => return false,
                    _ => {}
                }
            }
        }
        found
    }
}

/// Whose a token is.
enum Of {
    Admin,
    Other,
    /// Whose row it was made from: that may be an administrator of a tenant.
    Any,
}

fn judge(unit: &Unit, properties: &[Property]) -> Of {
    let named = |property: &Property| match property.key {
        PropertyKey::Name(name) => Some(unit.ir.text(name)),
        _ => None,
    };
    let tenant = properties.iter().filter_map(named).any(vocabulary::is_tenant);
    let mut of = Of::Other;
    for property in properties {
        let Some(name) = named(property) else { return Of::Any };
        let words = vocabulary::words(name);
        let admins = |text: &str| vocabulary::words(text).iter().any(|word| word == "admin");
        let admin = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["role" | "roles"] | ["user", "role"] => match unit.ir.expr(property.value) {
                ExprKind::String(text) => admins(unit.ir.text(*text)),
                _ => return Of::Any,
            },
            ["is", "admin"] => match unit.ir.expr(property.value) {
                ExprKind::Bool(is) => *is,
                _ => return Of::Any,
            },
            ["admin", "id"] => true,
            _ => false,
        };
        if admin && tenant {
            return Of::Any;
        }
        if admin {
            of = Of::Admin;
        }
    }
    of
}

/// Whether a function signs a token, by its name: `sign`, `encode`, `createAccessToken`, `generateJwt`.
fn signs(name: &str) -> bool {
    let words = vocabulary::words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    matches!(name, "sign" | "encode")
        || (has(&["sign", "generate", "create", "issue", "make"])
            && (has(&["jwt"]) || (has(&["token"]) && has(&["access", "auth", "sign"]))))
}

/// The record that a value is, written out or in a variable that was set once.
fn object(unit: &Unit, at: At) -> Option<&[Property]> {
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => Some(properties),
        ExprKind::Name(NameRef::Binding(id))
            if unit.ir.binding(*id).is_some_and(|own| own.kind == BindingKind::Variable) =>
        {
            let [source] = unit.index.sources(*id) else { return None };
            match unit.ir.expr(source.value) {
                ExprKind::Object(properties) if source.path.is_empty() => Some(properties),
                _ => None,
            }
        }
        _ => None,
    }
}
