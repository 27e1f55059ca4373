//! What the server's catalogue says, read once by a small number of queries; rules look at nothing else.

mod read;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::GenericClient;

use self::read::Reader;
use super::{
    CheckError, Options,
    predicate::{self, Asked, Body, Keys, Known, Reading, Tests},
};

/// An object's number in the catalogue.
pub(crate) type Oid = u32;

/// A role.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) superuser: bool,
    pub(crate) bypassrls: bool,
    pub(crate) replication: bool,
    pub(crate) createrole: bool,
    pub(crate) login: bool,
    /// Whether the application's role may become it by `SET ROLE`.
    pub(crate) reachable: bool,
    /// Whether the application's role has its rights without asking.
    pub(crate) inherited: bool,
}

/// What the application's role may do with a table; on some column at least.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rights {
    pub(crate) select: bool,
    pub(crate) insert: bool,
    pub(crate) update: bool,
    pub(crate) delete: bool,
    pub(crate) truncate: bool,
    pub(crate) trigger: bool,
    pub(crate) references: bool,
}

impl Rights {
    pub(crate) const fn any(self) -> bool {
        self.select || self.insert || self.update || self.delete
    }
}

/// The column that says whose a row is.
#[derive(Debug, Clone)]
pub(crate) struct TenantColumn {
    pub(crate) name: String,
    pub(crate) number: i16,
    /// As it is declared: `text`, `uuid`, `character varying(40)`.
    pub(crate) kind: String,
    /// The type's own name in the catalogue, or that of the type below a domain: `text`, `varchar`, `int8`, `citext`.
    pub(crate) base: String,
    pub(crate) not_null: bool,
    pub(crate) default: Option<String>,
    /// Whether its collation takes texts for the same that are not.
    pub(crate) fuzzy: bool,
}

/// A table, partitioned table or foreign table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) oid: Oid,
    /// `schema.table`, quoted where it has to be.
    pub(crate) name: String,
    /// Its name without a schema and without quotes.
    pub(crate) short: String,
    /// `r`, `p` or `f`.
    pub(crate) kind: char,
    pub(crate) owner: Oid,
    pub(crate) rls: bool,
    pub(crate) forced: bool,
    /// What the application's role may do, itself or after SET ROLE to a role that does not log in.
    pub(crate) rights: Rights,
    /// What it may do without SET ROLE.
    pub(crate) own_rights: Rights,
    /// The roles, PUBLIC among them, that it has rights through; as SQL names them.
    pub(crate) granted_to: String,
    pub(crate) tenant: Option<TenantColumn>,
    pub(crate) parents: Vec<Oid>,
    /// Texts of CHECK constraints.
    pub(crate) checks: Vec<String>,
    /// About how many rows it has, as the server last estimated.
    pub(crate) rows: f32,
}

impl Table {
    /// Whether its rows are tenants': it has a column that says whose they are, or row-level security, which is there for
    /// nothing else.
    pub(crate) const fn of_tenants(&self) -> bool {
        self.tenant.is_some() || self.rls
    }

    /// Whether no two values of its tenant's column differ in their case alone.
    pub(crate) fn one_case(&self, tenant: &TenantColumn) -> bool {
        matches!(tenant.base.as_str(), "uuid" | "int2" | "int4" | "int8" | "numeric")
            || self.checks.iter().any(|check| predicate::leaves_one_case(check, &tenant.name))
    }
}

/// A policy.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) table: Oid,
    pub(crate) name: String,
    pub(crate) permissive: bool,
    /// `*`, `r` (SELECT), `a` (INSERT), `w` (UPDATE), `d` (DELETE).
    pub(crate) command: char,
    /// Whether it is for the application's role, by name, by membership or for everybody.
    pub(crate) for_app: bool,
    /// Whether it is for a role that the application's role may become.
    pub(crate) within_reach: bool,
    /// The roles that it is for; 0 is everybody.
    pub(crate) roles: Vec<Oid>,
    pub(crate) using: Option<String>,
    pub(crate) check: Option<String>,
}

/// A view or materialised view.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) materialized: bool,
    pub(crate) owner: Oid,
    pub(crate) invoker: bool,
    pub(crate) barrier: bool,
    /// Whether the application's role may read it, or write through it.
    pub(crate) readable: bool,
    pub(crate) text: String,
    /// The tables and views that it reads itself.
    pub(crate) reads: Vec<Oid>,
}

/// A function or procedure that is not the system's or an extension's.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    /// `schema.name(arguments)`, quoted where it has to be.
    pub(crate) name: String,
    /// Its name without a schema, without quotes.
    pub(crate) short: String,
    pub(crate) schema: String,
    pub(crate) language: String,
    pub(crate) procedure: bool,
    /// The arguments' names.
    pub(crate) arguments: Vec<String>,
    pub(crate) owner: Oid,
    pub(crate) definer: bool,
    /// Whether it runs as a trigger, and cannot be called otherwise.
    pub(crate) trigger: bool,
    /// `i`, `s` or `v`.
    pub(crate) volatility: char,
    pub(crate) leakproof: bool,
    pub(crate) settings: Vec<String>,
    pub(crate) executable: bool,
    pub(crate) open_to_all: bool,
    pub(crate) source: String,
}

/// An index.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) table: Oid,
    pub(crate) name: String,
    pub(crate) unique: bool,
    pub(crate) whole: bool,
    pub(crate) columns: Vec<i16>,
    /// Whether it is of an EXCLUDE constraint.
    pub(crate) exclusion: bool,
    /// The columns that its expressions name.
    pub(crate) depends: Vec<i16>,
    /// The SQL that makes it.
    pub(crate) definition: String,
    /// Its constraint's name and definition, quoted where it has to be.
    pub(crate) constraint: Option<(String, String)>,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub(crate) struct ForeignKey {
    pub(crate) name: String,
    pub(crate) table: Oid,
    pub(crate) references: Oid,
    pub(crate) columns: Vec<i16>,
    pub(crate) referenced: Vec<i16>,
    pub(crate) cascades: bool,
}

/// A trigger.
#[derive(Debug, Clone)]
pub(crate) struct Trigger {
    pub(crate) table: Oid,
    pub(crate) name: String,
    pub(crate) function: Oid,
}

/// A rewrite rule of a table.
#[derive(Debug, Clone)]
pub(crate) struct Rewrite {
    pub(crate) table: Oid,
    pub(crate) name: String,
}

/// Everything that rules look at.
#[derive(Debug)]
pub(crate) struct Catalogue {
    /// The application's role.
    pub(crate) app: Role,
    pub(crate) roles: BTreeMap<Oid, Role>,
    pub(crate) tables: BTreeMap<Oid, Table>,
    pub(crate) policies: Vec<Policy>,
    /// Roles that may be a tenant's each: policies that ask for the server's name of the user name them.
    users: BTreeSet<Oid>,
    /// A role and another one, an owner of tables or one that policies name, whose rights it has.
    pub(crate) with_rights_of: BTreeSet<(Oid, Oid)>,
    /// A role and another one that it was made a member of.
    pub(crate) memberships: Vec<(Oid, Oid)>,
    pub(crate) views: BTreeMap<Oid, View>,
    pub(crate) functions: BTreeMap<Oid, Function>,
    /// What policies and views are read with: the functions that they call, keys of the tables that they read.
    pub(crate) known: Known,
    /// Policies' functions: table, policy's name, function.
    pub(crate) policy_functions: Vec<(Oid, String, Oid)>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) rewrites: Vec<Rewrite>,
    /// Sequences that the application's role can look at, and the roles through which.
    pub(crate) sequences: Vec<(String, String)>,
    pub(crate) extensions: BTreeSet<String>,
    /// Publications and the table each has; `None` for all tables.
    pub(crate) publications: Vec<(String, Option<Oid>)>,
    /// Role (or all), database (or all), setting with its value.
    pub(crate) settings: Vec<(String, String, String)>,
    /// Servers with a user mapping that the application's role uses, and whether it is everybody's.
    pub(crate) mappings: Vec<(String, bool)>,
    pub(crate) large_objects: i64,
    pub(crate) may_make_temp: bool,
    /// Schemas in which the application's role can make objects.
    pub(crate) may_make_in: Vec<String>,
    pub(crate) database: String,
    /// The setting that policies read.
    pub(crate) setting: String,
    pub(crate) tenant_columns: Vec<String>,
}

/// The oldest server whose catalogue is understood.
pub(super) const OLDEST: i32 = 14;

impl Catalogue {
    /// Reads it, in the transaction that `client` is in.
    pub(crate) async fn read(client: &impl GenericClient, options: &Options) -> Result<Self, CheckError> {
        let reader = Reader { client, options };
        reader.version().await?;
        let roles = reader.roles().await?;
        let app = roles
            .values()
            .find(|role| role.name == options.role)
            .cloned()
            .ok_or_else(|| CheckError::NoRole(options.role.clone()))?;
        let policies = reader.policies().await?;
        let functions = reader.functions().await?;
        let users = users(&app, &roles, &policies, &functions);
        let mut known = Known {
            functions: bodies(&functions),
            types: reader.types().await?,
            users_differ: users.len() > 1,
            ..reader.keys().await?
        };
        let tested = reader.tested_columns(&policies, &known).await?;
        let tables = reader.tables(&tested).await?;
        let triggers = reader.triggers().await?;
        let written = writes::Written { policies: &policies, functions: &functions, triggers: &triggers };
        known.free = written.free(&known, &tables, &reader.writable().await?);
        let (may_make_temp, database, large_objects) = reader.database().await?;
        Ok(Self {
            app,
            roles,
            tables,
            policies,
            users,
            with_rights_of: reader.with_rights_of().await?,
            memberships: reader.memberships().await?,
            views: reader.views().await?,
            functions,
            known,
            policy_functions: reader.policy_functions().await?,
            indexes: reader.indexes().await?,
            foreign_keys: reader.foreign_keys().await?,
            triggers,
            rewrites: reader.rewrites().await?,
            sequences: reader.sequences().await?,
            extensions: reader.extensions().await?,
            publications: reader.publications().await?,
            settings: reader.settings().await?,
            mappings: reader.mappings().await?,
            large_objects,
            may_make_temp,
            may_make_in: reader.schemas().await?,
            database,
            setting: options.setting.clone(),
            tenant_columns: options.tenant_columns.clone(),
        })
    }

    /// Tables with a tenant's column.
    pub(crate) fn tenant_tables(&self) -> impl Iterator<Item = (&Table, &TenantColumn)> {
        self.tables.values().filter_map(|table| table.tenant.as_ref().map(|tenant| (table, tenant)))
    }

    /// Tables with tenants' rows, also where it is not known which column says whose.
    pub(crate) fn tables_of_tenants(&self) -> impl Iterator<Item = &Table> {
        self.tables.values().filter(|table| table.of_tenants())
    }

    pub(crate) fn policies_of(&self, table: &Table) -> impl Iterator<Item = &Policy> {
        let oid = table.oid;
        self.policies.iter().filter(move |policy| policy.table == oid)
    }

    /// What policies of a table are read with.
    pub(crate) fn reading<'c>(&'c self, table: &'c Table, tenant: &'c TenantColumn) -> Reading<'c> {
        Reading {
            table: &table.short,
            column: &tenant.name,
            setting: &self.setting,
            base: &tenant.base,
            one_case: table.one_case(tenant),
            known: &self.known,
            asked: Asked::default(),
        }
    }

    /// What a policy is read for: one that is for none of the users that may be a tenant's is asked by one for all.
    pub(crate) fn asked(&self, policy: &Policy) -> Asked {
        let for_user = |user: &Oid| {
            let is = |of: &Oid| *of == 0 || of == user || self.with_rights_of.contains(&(*user, *of));
            policy.roles.iter().any(is)
        };
        Asked { by_one_user: !self.users.iter().any(for_user), strictly: false }
    }

    /// What queries that run with a role's rights see of a table, whatever its policies say.
    pub(crate) fn sees(&self, role: Oid, table: &Table) -> Sight {
        let unbound = self.roles.get(&role).is_some_and(|role| role.superuser || role.bypassrls);
        let owns = role == table.owner || self.with_rights_of.contains(&(role, table.owner));
        if unbound || !table.rls || (owns && !table.forced) {
            Sight::All
        } else {
            self.opened_by_policy(role, table)
        }
    }

    /// Whether they see all of its rows for sure.
    pub(crate) fn sees_all(&self, role: Oid, table: &Table) -> bool {
        self.sees(role, table) == Sight::All
    }

    /// Whether a policy for this role lets it see a tenant's table without a test of the tenant.
    fn opened_by_policy(&self, role: Oid, table: &Table) -> Sight {
        let Some(tenant) = &table.tenant else { return Sight::Bound };
        let reading = self.reading(table, tenant);
        let bound = |policy: &Policy| {
            let for_role = policy
                .roles
                .iter()
                .any(|of| *of == 0 || *of == role || self.with_rights_of.contains(&(role, *of)));
            for_role && matches!(policy.command, '*' | 'r')
        };
        let mut sight = Sight::Bound;
        for policy in self.policies_of(table).filter(|policy| bound(policy)) {
            let tested = policy.using.as_deref().map_or(Tests::Nothing, |text| reading.tests(text));
            if !policy.permissive && tested.holds() {
                return Sight::Bound;
            }
            if policy.permissive {
                sight = sight.max(match tested {
                    Tests::Nothing | Tests::FailsOpen => Sight::All,
                    Tests::Unknown => Sight::Perhaps,
                    Tests::Tenant | Tests::Never => Sight::Bound,
                });
            }
        }
        sight
    }

    pub(crate) fn role_name(&self, role: Oid) -> &str {
        self.roles.get(&role).map_or("?", |role| &role.name)
    }

    /// The tables that a view reads, through other views too; where one of those has its readers' rights or another
    /// owner, that owner is the one who looks.
    pub(crate) fn seen_by(&self, view: &View) -> BTreeSet<(Oid, Oid)> {
        self.seen_as(view, view.owner)
    }

    /// The same for somebody who reads the view.
    pub(crate) fn seen_as(&self, view: &View, looks: Oid) -> BTreeSet<(Oid, Oid)> {
        let mut found = BTreeSet::new();
        let mut todo = vec![(view, looks)];
        let mut done = BTreeSet::new();
        while let Some((view, looks)) = todo.pop() {
            for read in &view.reads {
                if self.tables.contains_key(read) {
                    found.insert((*read, looks));
                } else if let Some(next) = self.views.get(read)
                    && done.insert((*read, looks))
                {
                    todo.push((next, if next.invoker { looks } else { next.owner }));
                }
            }
        }
        found
    }

    /// A table's parents, their parents and so on.
    pub(crate) fn ancestors(&self, table: &Table) -> Vec<&Table> {
        let (mut found, mut todo) = (Vec::new(), table.parents.clone());
        while let Some(table) = todo.pop().and_then(|oid| self.tables.get(&oid)) {
            if !found.iter().any(|known: &&Table| known.oid == table.oid) {
                found.push(table);
                todo.extend(&table.parents);
            }
        }
        found
    }
}

/// What somebody sees of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sight {
    /// What policies let through that test the tenant.
    Bound,
    /// All rows or not: a policy was not understood.
    Perhaps,
    All,
}

/// Roles that all who log in through a service are: what the server calls the user is then nobody's name.
const FOR_ALL: [&str; 3] = ["anon", "authenticated", "service_role"];

/// Roles that the application's role becomes and that policies name which ask for the server's name of the user: that may be
/// a tenant's then. Where it is none, roles are for kinds of users; and one role for all tenants tells nobody apart.
fn users(
    app: &Role,
    roles: &BTreeMap<Oid, Role>,
    policies: &[Policy],
    functions: &BTreeMap<Oid, Function>,
) -> BTreeSet<Oid> {
    let askers: BTreeSet<&str> = functions
        .values()
        .filter(|function| predicate::asks_for_the_user(&function.source))
        .map(|function| function.short.as_str())
        .collect();
    let asks = |policy: &&Policy| {
        [&policy.using, &policy.check].into_iter().flatten().any(|text| {
            predicate::asks_for_the_user(text) || askers.iter().any(|name| predicate::names(text, name))
        })
    };
    let named: BTreeSet<Oid> =
        policies.iter().filter(asks).flat_map(|policy| policy.roles.iter().copied()).collect();
    let other = |(oid, role): &(&Oid, &Role)| {
        let bound = role.reachable && !role.superuser && !role.bypassrls;
        bound && role.name != app.name && named.contains(oid) && !FOR_ALL.contains(&role.name.as_str())
    };
    roles.iter().filter(other).map(|(oid, _)| *oid).collect()
}

fn bodies(functions: &BTreeMap<Oid, Function>) -> BTreeMap<String, Vec<Body>> {
    let mut bodies: BTreeMap<String, Vec<Body>> = BTreeMap::new();
    for function in functions.values() {
        bodies.entry(function.short.clone()).or_default().push(Body {
            schema: function.schema.clone(),
            language: function.language.clone(),
            arguments: function.arguments.clone(),
            source: function.source.clone(),
        });
    }
    bodies
}
