//! The queries that fill the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{GenericClient, Row};

use super::*;
use crate::check::TENANT_COLUMNS;

const NOT_SYSTEM: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
const NOT_EXTENSION: &str = "NOT EXISTS (SELECT FROM pg_depend x WHERE x.objid = o.oid AND x.deptype = 'e'
    AND x.classid = o.tableoid)";

/// What a role `r` may do with the table `c` of the schema `n`.
const RIGHTS: &str = "
    bool_or(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_any_column_privilege(r.oid, c.oid, 'SELECT')) AS selects,
    bool_or(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_any_column_privilege(r.oid, c.oid, 'INSERT')) AS inserts,
    bool_or(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_any_column_privilege(r.oid, c.oid, 'UPDATE')) AS updates,
    bool_or(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'DELETE')) AS deletes,
    bool_or(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'TRUNCATE')) AS truncates,
    bool_or(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'TRIGGER')) AS triggers,
    bool_or(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_any_column_privilege(r.oid, c.oid, 'REFERENCES')) AS refers";

/// The role, and who else was granted something of the relation `c` of those whose rights the role `a` has or may take on,
/// as REVOKE names them.
const GRANTED_TO: &str = "
    (SELECT string_agg(DISTINCT named.name, ', ') FROM (SELECT quote_ident($1::text) AS name
        UNION ALL SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(g.rolname) END
        FROM aclexplode(c.relacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
        WHERE x.grantee <> c.relowner AND (x.grantee = 0 OR pg_has_role(a.oid, x.grantee, 'MEMBER'))) named)";

pub(super) struct Reader<'c, C> {
    pub(super) client: &'c C,
    pub(super) options: &'c Options,
}

impl<C: GenericClient> Reader<'_, C> {
    pub(super) async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Row>, CheckError> {
        self.client.query(sql, params).await.map_err(CheckError::Read)
    }

    /// What is asked for below is there from this version on.
    pub(super) async fn version(&self) -> Result<(), CheckError> {
        let rows = self.rows("SELECT current_setting('server_version_num')::int", &[]).await?;
        let number: i32 = rows.first().ok_or(CheckError::Nothing)?.try_get(0).map_err(CheckError::Read)?;
        if number < OLDEST * 10_000 { Err(CheckError::Version(number / 10_000)) } else { Ok(()) }
    }

    pub(super) async fn roles(&self) -> Result<BTreeMap<Oid, Role>, CheckError> {
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

    /// For each table with policies the column that one of them compares with the setting, if one does; a column that has
    /// a known name before others.
    pub(super) async fn tested_columns(
        &self,
        policies: &[Policy],
        known: &Known,
    ) -> Result<BTreeMap<Oid, String>, CheckError> {
        let of: BTreeSet<Oid> = policies.iter().map(|policy| policy.table).collect();
        let of: Vec<Oid> = of.into_iter().collect();
        let rows = self
            .rows(
                "SELECT attrelid, attname::text, (SELECT relname::text FROM pg_class WHERE oid = attrelid) FROM pg_attribute
                 WHERE attrelid = ANY ($1) AND attnum > 0 AND NOT attisdropped
                 ORDER BY attrelid, array_position($2::text[], attname::text), attnum",
                &[&of, &self.options.tenant_columns],
            )
            .await?;
        let mut tested = BTreeMap::new();
        for row in &rows {
            let table: Oid = row.try_get(0).map_err(CheckError::Read)?;
            let column: String = row.try_get(1).map_err(CheckError::Read)?;
            let name: String = row.try_get(2).map_err(CheckError::Read)?;
            // Which column it is, and not how well it is tested.
            let reading = Reading {
                table: &name,
                column: &column,
                setting: &self.options.setting,
                base: "",
                one_case: true,
                known,
                asked: Asked::default(),
            };
            let compares = |text: &String| reading.compares_with_the_setting(text);
            let of_table = |policy: &&Policy| policy.table == table;
            if !tested.contains_key(&table)
                && policies
                    .iter()
                    .filter(of_table)
                    .any(|policy| [&policy.using, &policy.check].into_iter().flatten().any(compares))
            {
                tested.insert(table, column);
            }
        }
        Ok(tested)
    }

    /// All tables, with the columns that say whose rows are: `tested` ones where a name does not tell.
    pub(super) async fn tables(
        &self,
        tested: &BTreeMap<Oid, String>,
    ) -> Result<BTreeMap<Oid, Table>, CheckError> {
        let (of, tested): (Vec<Oid>, Vec<&str>) =
            tested.iter().map(|(table, column)| (*table, column.as_str())).unzip();
        // Names that were given come before what a policy compares, and that before names that are known to be used.
        let own: Vec<&str> = self
            .options
            .tenant_columns
            .iter()
            .map(String::as_str)
            .filter(|name| !TENANT_COLUMNS.contains(name))
            .collect();
        let rows = self
            .rows(
                &format!(
                    "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relowner, c.relrowsecurity,
                        c.relforcerowsecurity, m.selects, m.inserts, m.updates, m.deletes, m.truncates, m.triggers, m.refers,
                        o.selects, o.inserts, o.updates, o.deletes, o.truncates, o.triggers, o.refers,
                        t.attname::text, t.attnum, format_type(t.atttypid, t.atttypmod), t.attnotnull,
                        pg_get_expr(d.adbin, d.adrelid), coalesce(NOT co.collisdeterministic, false),
                        (WITH RECURSIVE below (typname, typtype, typbasetype) AS (
                             SELECT typname::text, typtype, typbasetype FROM pg_type WHERE oid = t.atttypid
                             UNION ALL SELECT y.typname::text, y.typtype, y.typbasetype FROM pg_type y
                             JOIN below b ON y.oid = b.typbasetype WHERE b.typtype = 'd')
                         SELECT typname FROM below WHERE typtype <> 'd' LIMIT 1),
                        ARRAY(SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid),
                        ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'),
                        c.reltuples, c.relname::text, {GRANTED_TO}
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1) a
                     CROSS JOIN LATERAL (SELECT {RIGHTS} FROM pg_roles r WHERE r.oid = a.oid) o
                     CROSS JOIN LATERAL (SELECT {RIGHTS} FROM pg_roles r WHERE r.oid = ANY ($5)) m
                     LEFT JOIN unnest($3::oid[], $4::text[]) y (relation, tested) ON y.relation = c.oid
                     LEFT JOIN LATERAL (SELECT * FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attnum > 0
                         AND NOT t.attisdropped AND (t.attname = ANY ($2) OR t.attname = y.tested)
                         ORDER BY t.attname = ANY ($6) DESC, (t.attname = y.tested) IS TRUE DESC,
                             t.attname = ANY ($2) DESC, array_position($2, t.attname::text) LIMIT 1) t ON true
                     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = t.attnum
                     LEFT JOIN pg_collation co ON co.oid = t.attcollation
                     WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {NOT_SYSTEM}"
                ),
                &[
                    &self.options.role,
                    &self.options.tenant_columns,
                    &of,
                    &tested,
                    &self.taken_on().await?,
                    &own,
                ],
            )
            .await?;
        let mut tables = BTreeMap::new();
        for row in &rows {
            let table = table(row).map_err(CheckError::Read)?;
            tables.insert(table.oid, table);
        }
        Ok(tables)
    }

    /// The application's role, and those without a login and bound by policies that it may become.
    pub(super) async fn taken_on(&self) -> Result<Vec<Oid>, CheckError> {
        let rows = self
            .rows(
                "SELECT r.oid FROM pg_roles r, pg_roles a WHERE a.rolname = $1 AND (r.oid = a.oid OR (NOT a.rolsuper
                     AND NOT r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolbypassrls AND pg_has_role(a.oid, r.oid, 'MEMBER')))",
                &[&self.options.role],
            )
            .await?;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    /// Who was made a member of what.
    pub(super) async fn memberships(&self) -> Result<Vec<(Oid, Oid)>, CheckError> {
        let rows = self.rows("SELECT member, roleid FROM pg_auth_members ORDER BY 1, 2", &[]).await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }

    pub(super) async fn policies(&self) -> Result<Vec<Policy>, CheckError> {
        let rows = self
            .rows(
                "SELECT p.polrelid, p.polname::text, p.polpermissive, p.polcmd::text,
                        0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role(a.oid, r, 'USAGE')),
                        0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role(a.oid, r, 'MEMBER')),
                        p.polroles, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
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
                within_reach: row.try_get(5)?,
                roles: row.try_get(6)?,
                using: row.try_get(7)?,
                check: row.try_get(8)?,
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    pub(super) async fn with_rights_of(&self) -> Result<BTreeSet<(Oid, Oid)>, CheckError> {
        let rows = self
            .rows(
                "WITH RECURSIVE has (role, of) AS (
                     SELECT m.member, m.roleid FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
                     WHERE r.rolinherit
                     UNION SELECT h.role, m.roleid FROM has h JOIN pg_auth_members m ON m.member = h.of
                     JOIN pg_roles r ON r.oid = m.member WHERE r.rolinherit)
                 SELECT role, of FROM has WHERE of IN (SELECT relowner FROM pg_class WHERE relkind IN ('r', 'p'))
                     OR of IN (SELECT unnest(polroles) FROM pg_policy)",
                &[],
            )
            .await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }

    pub(super) async fn views(&self) -> Result<BTreeMap<Oid, View>, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind = 'm', c.relowner,
                        EXISTS (SELECT FROM unnest(c.reloptions) x WHERE x ~* '^security_invoker=(t|tr|tru|true|y|ye|yes|on|1)$'),
                        EXISTS (SELECT FROM unnest(c.reloptions) x WHERE x ~* '^security_barrier=(t|tr|tru|true|y|ye|yes|on|1)$'),
                        EXISTS (SELECT FROM unnest($1::oid[]) r (oid) WHERE has_schema_privilege(r.oid, n.oid, 'USAGE')
                            AND (has_table_privilege(r.oid, c.oid, 'DELETE')
                                OR has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE'))),
                        pg_get_viewdef(c.oid),
                        ARRAY(SELECT DISTINCT d.refobjid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
                              WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
                                AND r.ev_class = c.oid AND d.refobjid <> c.oid)
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE c.relkind IN ('v', 'm') AND {NOT_SYSTEM}"
                ),
                &[&self.taken_on().await?],
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

    pub(super) async fn functions(&self) -> Result<BTreeMap<Oid, Function>, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT o.oid, format('%I.%I(%s)', n.nspname, o.proname, pg_get_function_identity_arguments(o.oid)),
                        o.proowner, o.prosecdef, o.provolatile::text, o.proleakproof, coalesce(o.proconfig, '{{}}'),
                        EXISTS (SELECT FROM unnest($1::oid[]) r (oid) WHERE has_schema_privilege(r.oid, n.oid, 'USAGE')
                            AND has_function_privilege(r.oid, o.oid, 'EXECUTE')),
                        o.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(o.proacl) x
                            WHERE x.grantee = 0 AND x.privilege_type = 'EXECUTE'),
                        coalesce(pg_get_function_sqlbody(o.oid), o.prosrc),
                        o.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype), n.nspname::text, o.proname::text,
                        l.lanname::text, o.prokind = 'p', coalesce(o.proargnames, '{{}}')
                     FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace JOIN pg_language l ON l.oid = o.prolang
                     WHERE {NOT_SYSTEM} AND {NOT_EXTENSION}"
                ),
                &[&self.taken_on().await?],
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
                    trigger: row.try_get(10)?,
                    schema: row.try_get(11)?,
                    short: row.try_get(12)?,
                    language: row.try_get(13)?,
                    procedure: row.try_get(14)?,
                    arguments: row.try_get(15)?,
                },
            ))
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    pub(super) async fn policy_functions(&self) -> Result<Vec<(Oid, String, Oid)>, CheckError> {
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

    pub(super) async fn indexes(&self) -> Result<Vec<Index>, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT i.indrelid, format('%I.%I', n.nspname, c.relname), i.indisunique,
                        i.indisvalid AND i.indpred IS NULL, (i.indkey::int2[])[0:i.indnkeyatts - 1], i.indisexclusion,
                        ARRAY(SELECT DISTINCT d.refobjsubid::int2 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                            AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid),
                        pg_get_indexdef(i.indexrelid), quote_ident(k.conname), pg_get_constraintdef(k.oid)
                     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
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
                whole: row.try_get(3)?,
                columns: row.try_get(4)?,
                exclusion: row.try_get(5)?,
                depends: row.try_get(6)?,
                definition: row.try_get(7)?,
                constraint: row.try_get::<_, Option<String>>(8)?.zip(row.try_get::<_, Option<String>>(9)?),
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(CheckError::Read)
    }

    /// What tells rows of each table apart.
    pub(super) async fn keys(&self) -> Result<Known, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT c.oid, c.relname::text, ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid
                         AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])),
                        (SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                             AND NOT a.attisdropped AND a.attname = ANY ($1)
                             ORDER BY array_position($1, a.attname::text) LIMIT 1)
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                         AND 0 <> ALL (i.indkey::int2[])
                         -- A key says nothing of the rows of tables that inherit.
                         AND (c.relkind = 'p' OR NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid))
                     WHERE c.relkind IN ('r', 'p', 'f') AND {NOT_SYSTEM} ORDER BY c.oid"
                ),
                &[&self.options.tenant_columns],
            )
            .await?;
        let mut tables: BTreeMap<Oid, (String, Keys)> = BTreeMap::new();
        for row in &rows {
            let read = || -> Result<(Oid, String, Vec<String>, Option<String>), tokio_postgres::Error> {
                Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
            };
            let (oid, name, columns, tenant) = read().map_err(CheckError::Read)?;
            let (_, keys) = tables.entry(oid).or_insert_with(|| (name, Keys { tenant, ..Keys::default() }));
            if !columns.is_empty() {
                keys.unique.insert(columns.into_iter().collect());
            }
        }
        let mut known = Known::default();
        known.tenants.insert(self.options.setting.to_ascii_lowercase());
        known.tenants.extend(self.options.tenant_columns.iter().cloned());
        for (name, keys) in tables.into_values() {
            known.add_table(&name, keys);
        }
        Ok(known)
    }

    /// Enumerations, and domains over types in which different values stay different.
    pub(super) async fn types(&self) -> Result<BTreeSet<String>, CheckError> {
        let sql = format!(
            "SELECT o.typname::text FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace
             WHERE {NOT_SYSTEM} AND NOT EXISTS (SELECT FROM pg_type b WHERE b.typname = o.typname
                 AND b.typnamespace = 'pg_catalog'::regnamespace) AND (o.typtype = 'e' OR (o.typtype = 'd' AND o.typtypmod = -1 AND o.typbasetype = ANY
                 ('{{text,varchar,uuid,int2,int4,int8,numeric}}'::regtype[]::oid[])))"
        );
        Ok(self.texts(&sql, &[]).await?.into_iter().collect())
    }

    pub(super) async fn foreign_keys(&self) -> Result<Vec<ForeignKey>, CheckError> {
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

    pub(super) async fn triggers(&self) -> Result<Vec<Trigger>, CheckError> {
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

    pub(super) async fn rewrites(&self) -> Result<Vec<Rewrite>, CheckError> {
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

    pub(super) async fn sequences(&self) -> Result<Vec<(String, String)>, CheckError> {
        let sql = format!(
            "SELECT format('%I.%I', n.nspname, c.relname), {GRANTED_TO} FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1::text) a
             WHERE {NOT_SYSTEM} AND has_schema_privilege(a.oid, n.oid, 'USAGE')
               AND has_sequence_privilege(a.oid, s.seqrelid, 'SELECT') ORDER BY 1"
        );
        let rows = self.rows(&sql, &[&self.options.role]).await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }

    pub(super) async fn extensions(&self) -> Result<BTreeSet<String>, CheckError> {
        Ok(self.texts("SELECT extname::text FROM pg_extension", &[]).await?.into_iter().collect())
    }

    pub(super) async fn publications(&self) -> Result<Vec<(String, Option<Oid>)>, CheckError> {
        let rows = self
            .rows(
                "SELECT p.pubname::text, NULL::oid FROM pg_publication p WHERE p.puballtables
                 UNION SELECT t.pubname::text, c.oid FROM pg_publication_tables t
                 JOIN pg_publication p ON p.pubname = t.pubname AND NOT p.puballtables
                 JOIN pg_namespace n ON n.nspname = t.schemaname
                 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename ORDER BY 1, 2",
                &[],
            )
            .await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }

    pub(super) async fn settings(&self) -> Result<Vec<(String, String, String)>, CheckError> {
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

    pub(super) async fn mappings(&self) -> Result<Vec<(String, bool)>, CheckError> {
        let sql = "SELECT DISTINCT srvname::text, umuser = 0 FROM pg_user_mappings WHERE umuser = 0 OR usename = $1 ORDER BY 1, 2";
        let rows = self.rows(sql, &[&self.options.role]).await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }

    pub(super) async fn schemas(&self) -> Result<Vec<String>, CheckError> {
        let sql = format!(
            "SELECT quote_ident(n.nspname) FROM pg_namespace n WHERE {NOT_SYSTEM}
               AND has_schema_privilege($1::text::name, n.oid, 'CREATE') ORDER BY 1"
        );
        self.texts(&sql, &[&self.options.role]).await
    }

    pub(super) async fn database(&self) -> Result<(bool, String, i64), CheckError> {
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

    pub(super) async fn texts(
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
    let rights = |first: usize| -> Result<Rights, tokio_postgres::Error> {
        Ok(Rights {
            select: row.try_get(first)?,
            insert: row.try_get(first + 1)?,
            update: row.try_get(first + 2)?,
            delete: row.try_get(first + 3)?,
            truncate: row.try_get(first + 4)?,
            trigger: row.try_get(first + 5)?,
            references: row.try_get(first + 6)?,
        })
    };
    let tenant = match row.try_get::<_, Option<String>>(20)? {
        None => None,
        Some(name) => Some(TenantColumn {
            name,
            number: row.try_get(21)?,
            kind: row.try_get(22)?,
            not_null: row.try_get(23)?,
            default: row.try_get(24)?,
            fuzzy: row.try_get(25)?,
            base: row.try_get(26)?,
        }),
    };
    Ok(Table {
        oid: row.try_get(0)?,
        name: row.try_get(1)?,
        kind: letter(row, 2)?,
        owner: row.try_get(3)?,
        rls: row.try_get(4)?,
        forced: row.try_get(5)?,
        rights: rights(6)?,
        own_rights: rights(13)?,
        tenant,
        parents: row.try_get(27)?,
        checks: row.try_get(28)?,
        rows: row.try_get(29)?,
        short: row.try_get(30)?,
        granted_to: row.try_get(31)?,
    })
}
