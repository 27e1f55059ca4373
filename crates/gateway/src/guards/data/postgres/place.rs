//! Where a tenant's tables are: in which schema or database, and which role may go there.

use partywall_model::TenantId;

use crate::{
    config::{DataSource, Isolation},
    guards::{credentials::SecretName, data::DataError},
};

/// What stands for the tenant's id in a name.
const TENANT: &str = "{tenant}";
/// The longest name (`NAMEDATALEN` less one). The server cuts longer ones, so that two tenants could have one name.
const LONGEST: usize = 63;

/// Where the tables of each tenant are.
pub(super) struct Place {
    schema: Name,
    /// The schema that statements are compiled against.
    template: String,
    own: Option<Own>,
}

/// The role of each tenant, where each has one.
pub(super) struct Own {
    role: Name,
    pub(super) password: SecretName,
    database: Option<Name>,
}

/// A name that may have the tenant's id in it.
struct Name(String);

impl Name {
    fn new(key: &str, text: &str, for_each: bool) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err(format!("`{key}` must be a name"));
        }
        match (text.contains(TENANT), for_each) {
            (false, true) => {
                Err(format!("`{key}` must have `{TENANT}` in it, so that each tenant has one of its own"))
            }
            (true, false) => Err(format!("`{key}` is the same for all tenants; leave `{TENANT}` out")),
            _ => Ok(Self(text.to_owned())),
        }
    }

    fn of(&self, tenant: &TenantId) -> Result<String, DataError> {
        let name = self.0.replace(TENANT, tenant.as_str());
        if name.len() > LONGEST {
            return Err(DataError::Configuration(format!(
                "the name `{name}` is longer than {LONGEST} bytes, which the server would cut; shorten the \
                 configured name, or give tenants shorter ids"
            )));
        }
        Ok(name)
    }
}

impl Place {
    /// # Errors
    /// The key that is wrong, and what would be right.
    pub(super) fn new(settings: &DataSource, isolation: Isolation) -> Result<Self, String> {
        let own_schema = isolation == Isolation::Schema;
        let own = match isolation {
            Isolation::Rls => None,
            Isolation::Schema | Isolation::Database => Some(Own::new(settings, isolation)?),
        };
        let default = if own_schema { TENANT } else { "public" };
        let schema = Name::new("schema", settings.schema.as_deref().unwrap_or(default), own_schema)?;
        let template = match (&settings.template, own_schema) {
            (Some(template), true) => template.clone(),
            (None, true) => {
                return Err(
                    "`template` is missing; name a schema with the tables of a tenant, and no rows, that \
                            statements are compiled against"
                        .to_owned(),
                );
            }
            (Some(_), false) => {
                return Err("`template` is for `isolation = \"schema\"`; remove it".to_owned());
            }
            (None, false) => schema.0.clone(),
        };
        Ok(Self { schema, template, own })
    }

    pub(super) fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    /// Where names without a schema are looked for: temporary tables come last, so that none can stand before a table.
    pub(super) fn search_path(&self, tenant: &TenantId) -> Result<String, DataError> {
        Ok(path(&self.schema.of(tenant)?))
    }

    /// The names of schemas and of roles, with `{tenant}` in them, and the tenant's own schema; where each has one.
    pub(super) fn patterns(&self, tenant: &TenantId) -> Result<Option<[String; 3]>, DataError> {
        match &self.own {
            Some(own) if self.schema.0.contains(TENANT) => {
                Ok(Some([self.schema.0.clone(), own.role.0.clone(), self.schema.of(tenant)?]))
            }
            _ => Ok(None),
        }
    }

    /// The same as [`Self::search_path`], for compiling.
    pub(super) fn template_path(&self) -> String {
        path(&self.template)
    }
}

fn path(schema: &str) -> String {
    format!("\"{}\", pg_temp", schema.replace('"', "\"\""))
}

impl Own {
    fn new(settings: &DataSource, isolation: Isolation) -> Result<Self, String> {
        let role = settings.role.as_deref().unwrap_or(TENANT);
        let password = settings.password.as_deref().and_then(|text| text.strip_prefix("secret:"));
        let password = password.and_then(|name| SecretName::parse(name).ok()).ok_or(
            "`password` must be `secret:NAME`: the secret that holds the password of each tenant's role",
        )?;
        let database = match isolation {
            Isolation::Database => {
                Some(Name::new("database", settings.database.as_deref().unwrap_or(TENANT), true)?)
            }
            _ => None,
        };
        Ok(Self { role: Name::new("role", role, true)?, password, database })
    }

    pub(super) fn role(&self, tenant: &TenantId) -> Result<String, DataError> {
        self.role.of(tenant)
    }

    pub(super) fn database(&self, tenant: &TenantId) -> Result<Option<String>, DataError> {
        self.database.as_ref().map(|name| name.of(tenant)).transpose()
    }
}
