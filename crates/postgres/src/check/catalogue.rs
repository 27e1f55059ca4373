//! What the server's catalogue says, read once by a small number of queries; rules look at nothing else.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{GenericClient, Row};

use super::{CheckError, Options};

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
    /// `r`, `p` or `f`.
    pub(crate) kind: char,
    pub(crate) owner: Oid,
    pub(crate) rls: bool,
    pub(crate) forced: bool,
    pub(crate) rights: Rights,
    pub(crate) tenant: Option<TenantColumn>,
    pub(crate) parents: Vec<Oid>,
    /// Texts of CHECK constraints.
    pub(crate) checks: Vec<String>,
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
    pub(crate) readable: bool,
    pub(crate) text: String,
    /// The tables and views that it reads itself.
    pub(crate) reads: Vec<Oid>,
}

/// A function or procedure that is not the system's or an extension's.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) owner: Oid,
    pub(crate) definer: bool,
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
    pub(crate) primary: bool,
    pub(crate) whole: bool,
    pub(crate) columns: Vec<i16>,
    /// The columns' names, for messages and for the fix.
    pub(crate) names: String,
    pub(crate) constraint: bool,
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
    pub(crate) views: BTreeMap<Oid, View>,
    pub(crate) functions: BTreeMap<Oid, Function>,
    /// Policies' functions: table, policy's name, function.
    pub(crate) policy_functions: Vec<(Oid, String, Oid)>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) rewrites: Vec<Rewrite>,
    /// Sequences that the application's role can look at.
    pub(crate) sequences: Vec<String>,
    pub(crate) extensions: BTreeSet<String>,
    /// Publications and the table each has; `None` for all tables.
    pub(crate) publications: Vec<(String, Option<Oid>)>,
    /// Role (or all), database (or all), setting with its value.
    pub(crate) settings: Vec<(String, String, String)>,
    /// Servers with a user mapping that the application's role uses.
    pub(crate) mappings: Vec<String>,
    pub(crate) large_objects: i64,
    pub(crate) may_make_temp: bool,
    /// Schemas in which the application's role can make objects.
    pub(crate) may_make_in: Vec<String>,
    pub(crate) database: String,
    /// The setting that policies read.
    pub(crate) setting: String,
    pub(crate) tenant_columns: Vec<String>,
}

const NOT_SYSTEM: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
const NOT_EXTENSION: &str = "NOT EXISTS (SELECT FROM pg_depend x WHERE x.objid = o.oid AND x.deptype = 'e'
    AND x.classid = o.tableoid)";

impl Catalogue {
    /// Reads it, in the transaction that `client` is in.
    pub(crate) async fn read(client: &impl GenericClient, options: &Options) -> Result<Self, CheckError> {
        let reader = Reader { client, options };
        let roles = reader.roles().await?;
        let app = roles
            .values()
            .find(|role| role.name == options.role)
            .cloned()
            .ok_or_else(|| CheckError::NoRole(options.role.clone()))?;
        let (may_make_temp, database, large_objects) = reader.database().await?;
        Ok(Self {
            app,
            roles,
            tables: reader.tables().await?,
            policies: reader.policies().await?,
            views: reader.views().await?,
            functions: reader.functions().await?,
            policy_functions: reader.policy_functions().await?,
            indexes: reader.indexes().await?,
            foreign_keys: reader.foreign_keys().await?,
            triggers: reader.triggers().await?,
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

    pub(crate) fn policies_of(&self, table: &Table) -> impl Iterator<Item = &Policy> {
        let oid = table.oid;
        self.policies.iter().filter(move |policy| policy.table == oid)
    }

    /// Whether queries that run with a role's rights see all rows of a table, whatever its policies say.
    pub(crate) fn sees_all(&self, role: Oid, table: &Table) -> bool {
        let unbound = self.roles.get(&role).is_some_and(|role| role.superuser || role.bypassrls);
        unbound || !table.rls || (role == table.owner && !table.forced)
    }

    pub(crate) fn role_name(&self, role: Oid) -> &str {
        self.roles.get(&role).map_or("?", |role| &role.name)
    }

    /// The tables that a view reads, through other views too; where one of those has its readers' rights or another
    /// owner, that owner is the one who looks.
    pub(crate) fn seen_by(&self, view: &View) -> BTreeSet<(Oid, Oid)> {
        let mut found = BTreeSet::new();
        let mut todo = vec![(view, view.owner)];
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
}

struct Reader<'c, C> {
    client: &'c C,
    options: &'c Options,
}

impl<C: GenericClient> Reader<'_, C> {
    async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Row>, CheckError> {
        self.client.query(sql, params).await.map_err(CheckError::Read)
    }

    async fn roles(&self) -> Result<BTreeMap<Oid, Role>, CheckError> {
        let rows = self
            .rows(
                "SELECT r.oid, r.rolname::text, r.rolsuper, r.rolbypassrls, r.rolreplication, r.rolcreaterole, r.rolcanlogin,
                        pg_has_role(a.oid, r.oid, 'MEMBER'), pg_has_role(a.oid, r.oid, 'USAGE')
                 FROM pg_roles r, pg_roles a WHERE a.rolname = $1",
                &[&self.options.role],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let role = Role {
                    name: row.try_get(1)?,
                    superuser: row.try_get(2)?,
                    bypassrls: row.try_get(3)?,
                    replication: row.try_get(4)?,
                    createrole: row.try_get(5)?,
                    login: row.try_get(6)?,
                    reachable: row.try_get(7)?,
                    inherited: row.try_get(8)?,
                };
                Ok((row.try_get(0)?, role))
            })
            .collect::<Result<_, tokio_postgres::Error>>()
            .map_err(CheckError::Read)
    }

    async fn tables(&self) -> Result<BTreeMap<Oid, Table>, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relowner, c.relrowsecurity,
                        c.relforcerowsecurity,
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_any_column_privilege(a.oid, c.oid, 'SELECT'),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_any_column_privilege(a.oid, c.oid, 'INSERT'),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_any_column_privilege(a.oid, c.oid, 'UPDATE'),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_table_privilege(a.oid, c.oid, 'DELETE'),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_table_privilege(a.oid, c.oid, 'TRUNCATE'),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_table_privilege(a.oid, c.oid, 'TRIGGER'),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_any_column_privilege(a.oid, c.oid, 'REFERENCES'),
                        t.attname::text, t.attnum, format_type(t.atttypid, t.atttypmod), t.attnotnull,
                        pg_get_expr(d.adbin, d.adrelid), coalesce(NOT co.collisdeterministic, false),
                        ARRAY(SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid),
                        ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c')
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1) a
                     LEFT JOIN LATERAL (SELECT * FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attnum > 0
                         AND NOT t.attisdropped AND t.attname = ANY ($2)
                         ORDER BY array_position($2, t.attname::text) LIMIT 1) t ON true
                     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = t.attnum
                     LEFT JOIN pg_collation co ON co.oid = t.attcollation
                     WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {NOT_SYSTEM}"
                ),
                &[&self.options.role, &self.options.tenant_columns],
            )
            .await?;
        let mut tables = BTreeMap::new();
        for row in &rows {
            let table = table(row).map_err(CheckError::Read)?;
            tables.insert(table.oid, table);
        }
        Ok(tables)
    }

    async fn policies(&self) -> Result<Vec<Policy>, CheckError> {
        let rows = self
            .rows(
                "SELECT p.polrelid, p.polname::text, p.polpermissive, p.polcmd::text,
                        0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role(a.oid, r, 'USAGE')),
                        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
                 FROM pg_policy p CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1) a ORDER BY 1, 2",
                &[&self.options.role],
            )
            .await?;
        let read = |row: &Row| -> Result<Policy, tokio_postgres::Error> {
            Ok(Policy {
                table: row.try_get(0)?,
                name: row.try_get(1)?,
                permissive: row.try_get(2)?,
                command: letter(row, 3)?,
                for_app: row.try_get(4)?,
                using: row.try_get(5)?,
                check: row.try_get(6)?,
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    async fn views(&self) -> Result<BTreeMap<Oid, View>, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind = 'm', c.relowner,
                        coalesce(c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1',
                            'security_invoker=yes'], false),
                        coalesce(c.reloptions && ARRAY['security_barrier=true', 'security_barrier=on', 'security_barrier=1',
                            'security_barrier=yes'], false),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_any_column_privilege(a.oid, c.oid, 'SELECT'),
                        pg_get_viewdef(c.oid),
                        ARRAY(SELECT DISTINCT d.refobjid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
                              WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
                                AND r.ev_class = c.oid AND d.refobjid <> c.oid)
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1) a
                     WHERE c.relkind IN ('v', 'm') AND {NOT_SYSTEM}"
                ),
                &[&self.options.role],
            )
            .await?;
        let read = |row: &Row| -> Result<(Oid, View), tokio_postgres::Error> {
            let oid = row.try_get(0)?;
            Ok((
                oid,
                View {
                    name: row.try_get(1)?,
                    materialized: row.try_get(2)?,
                    owner: row.try_get(3)?,
                    invoker: row.try_get(4)?,
                    barrier: row.try_get(5)?,
                    readable: row.try_get(6)?,
                    text: row.try_get(7)?,
                    reads: row.try_get(8)?,
                },
            ))
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    async fn functions(&self) -> Result<BTreeMap<Oid, Function>, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT o.oid, format('%I.%I(%s)', n.nspname, o.proname, pg_get_function_identity_arguments(o.oid)),
                        o.proowner, o.prosecdef, o.provolatile::text, o.proleakproof, coalesce(o.proconfig, '{{}}'),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_function_privilege(a.oid, o.oid, 'EXECUTE'),
                        o.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(o.proacl) x
                            WHERE x.grantee = 0 AND x.privilege_type = 'EXECUTE'),
                        coalesce(pg_get_function_sqlbody(o.oid), o.prosrc)
                     FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace
                     CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1) a
                     WHERE {NOT_SYSTEM} AND {NOT_EXTENSION}"
                ),
                &[&self.options.role],
            )
            .await?;
        let read = |row: &Row| -> Result<(Oid, Function), tokio_postgres::Error> {
            let oid = row.try_get(0)?;
            Ok((
                oid,
                Function {
                    name: row.try_get(1)?,
                    owner: row.try_get(2)?,
                    definer: row.try_get(3)?,
                    volatility: letter(row, 4)?,
                    leakproof: row.try_get(5)?,
                    settings: row.try_get(6)?,
                    executable: row.try_get(7)?,
                    open_to_all: row.try_get(8)?,
                    source: row.try_get(9)?,
                },
            ))
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    async fn policy_functions(&self) -> Result<Vec<(Oid, String, Oid)>, CheckError> {
        let rows = self
            .rows(
                "SELECT DISTINCT p.polrelid, p.polname::text, d.refobjid FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid
                 WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass ORDER BY 1, 2, 3",
                &[],
            )
            .await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }

    async fn indexes(&self) -> Result<Vec<Index>, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT i.indrelid, format('%I.%I', n.nspname, c.relname), i.indisunique, i.indisprimary,
                        i.indisvalid AND i.indpred IS NULL, (i.indkey::int2[])[0:i.indnkeyatts - 1],
                        (SELECT string_agg(quote_ident(t.attname), ', ' ORDER BY k.place)
                         FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY k (number, place)
                         JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = k.number),
                        EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))
                     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE {NOT_SYSTEM} ORDER BY 2"
                ),
                &[],
            )
            .await?;
        let read = |row: &Row| -> Result<Index, tokio_postgres::Error> {
            Ok(Index {
                table: row.try_get(0)?,
                name: row.try_get(1)?,
                unique: row.try_get(2)?,
                primary: row.try_get(3)?,
                whole: row.try_get(4)?,
                columns: row.try_get(5)?,
                names: row.try_get::<_, Option<String>>(6)?.unwrap_or_default(),
                constraint: row.try_get(7)?,
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    async fn foreign_keys(&self) -> Result<Vec<ForeignKey>, CheckError> {
        let rows = self
            .rows(
                "SELECT k.conname::text, k.conrelid, k.confrelid, k.conkey, k.confkey, k.confdeltype = 'c'
                 FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 2, 1",
                &[],
            )
            .await?;
        let read = |row: &Row| -> Result<ForeignKey, tokio_postgres::Error> {
            Ok(ForeignKey {
                name: row.try_get(0)?,
                table: row.try_get(1)?,
                references: row.try_get(2)?,
                columns: row.try_get(3)?,
                referenced: row.try_get(4)?,
                cascades: row.try_get(5)?,
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    async fn triggers(&self) -> Result<Vec<Trigger>, CheckError> {
        let rows = self
            .rows(
                "SELECT tgrelid, tgname::text, tgfoid FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 ORDER BY 1, 2",
                &[],
            )
            .await?;
        let read = |row: &Row| -> Result<Trigger, tokio_postgres::Error> {
            Ok(Trigger { table: row.try_get(0)?, name: row.try_get(1)?, function: row.try_get(2)? })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    async fn rewrites(&self) -> Result<Vec<Rewrite>, CheckError> {
        let rows = self
            .rows(
                "SELECT ev_class, rulename::text FROM pg_rewrite WHERE rulename <> '_RETURN' ORDER BY 1, 2",
                &[],
            )
            .await?;
        let read = |row: &Row| -> Result<Rewrite, tokio_postgres::Error> {
            Ok(Rewrite { table: row.try_get(0)?, name: row.try_get(1)? })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    async fn sequences(&self) -> Result<Vec<String>, CheckError> {
        let sql = format!(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1) a
             WHERE {NOT_SYSTEM} AND has_schema_privilege(a.oid, n.oid, 'USAGE')
               AND has_sequence_privilege(a.oid, s.seqrelid, 'SELECT') ORDER BY 1"
        );
        self.texts(&sql, &[&self.options.role]).await
    }

    async fn extensions(&self) -> Result<BTreeSet<String>, CheckError> {
        Ok(self.texts("SELECT extname::text FROM pg_extension", &[]).await?.into_iter().collect())
    }

    async fn publications(&self) -> Result<Vec<(String, Option<Oid>)>, CheckError> {
        let rows = self
            .rows(
                "SELECT p.pubname::text, r.prrelid FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid
                 WHERE p.puballtables OR r.prrelid IS NOT NULL ORDER BY 1, 2",
                &[],
            )
            .await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }

    async fn settings(&self) -> Result<Vec<(String, String, String)>, CheckError> {
        let rows = self
            .rows(
                "SELECT coalesce(r.rolname::text, ''), coalesce(d.datname::text, ''), s.setting
                 FROM pg_db_role_setting c CROSS JOIN unnest(c.setconfig) s (setting)
                 LEFT JOIN pg_roles r ON r.oid = c.setrole LEFT JOIN pg_database d ON d.oid = c.setdatabase
                 WHERE (c.setdatabase = 0 OR d.datname = current_database()) AND (c.setrole = 0 OR r.rolname = $1)",
                &[&self.options.role],
            )
            .await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }

    async fn mappings(&self) -> Result<Vec<String>, CheckError> {
        let sql =
            "SELECT DISTINCT srvname::text FROM pg_user_mappings WHERE umuser = 0 OR usename = $1 ORDER BY 1";
        self.texts(sql, &[&self.options.role]).await
    }

    async fn schemas(&self) -> Result<Vec<String>, CheckError> {
        let sql = format!(
            "SELECT quote_ident(n.nspname) FROM pg_namespace n WHERE {NOT_SYSTEM}
               AND has_schema_privilege($1::text::name, n.oid, 'CREATE') ORDER BY 1"
        );
        self.texts(&sql, &[&self.options.role]).await
    }

    async fn database(&self) -> Result<(bool, String, i64), CheckError> {
        let rows = self
            .rows(
                "SELECT has_database_privilege($1::text::name, current_database(), 'TEMP'), quote_ident(current_database()),
                        (SELECT count(*) FROM pg_largeobject_metadata)",
                &[&self.options.role],
            )
            .await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let row = rows.first().ok_or(CheckError::Nothing)?;
        read(row).map_err(CheckError::Read)
    }

    async fn texts(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<String>, CheckError> {
        let rows = self.rows(sql, params).await?;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(CheckError::Read)
    }
}

fn letter(row: &Row, at: usize) -> Result<char, tokio_postgres::Error> {
    Ok(row.try_get::<_, String>(at)?.chars().next().unwrap_or(' '))
}

fn table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    let tenant = match row.try_get::<_, Option<String>>(13)? {
        None => None,
        Some(name) => Some(TenantColumn {
            name,
            number: row.try_get(14)?,
            kind: row.try_get(15)?,
            not_null: row.try_get(16)?,
            default: row.try_get(17)?,
            fuzzy: row.try_get(18)?,
        }),
    };
    Ok(Table {
        oid: row.try_get(0)?,
        name: row.try_get(1)?,
        kind: letter(row, 2)?,
        owner: row.try_get(3)?,
        rls: row.try_get(4)?,
        forced: row.try_get(5)?,
        rights: Rights {
            select: row.try_get(6)?,
            insert: row.try_get(7)?,
            update: row.try_get(8)?,
            delete: row.try_get(9)?,
            truncate: row.try_get(10)?,
            trigger: row.try_get(11)?,
            references: row.try_get(12)?,
        },
        tenant,
        parents: row.try_get(19)?,
        checks: row.try_get(20)?,
    })
}
