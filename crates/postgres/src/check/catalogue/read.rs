//! The queries that fill the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{GenericClient, Row};

use super::*;

const NOT_SYSTEM: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
const NOT_EXTENSION: &str = "NOT EXISTS (SELECT FROM pg_depend x WHERE x.objid = o.oid AND x.deptype = 'e'
    AND x.classid = o.tableoid)";

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
    ) -> Result<BTreeMap<Oid, String>, CheckError> {
        let of: BTreeSet<Oid> = policies.iter().map(|policy| policy.table).collect();
        let of: Vec<Oid> = of.into_iter().collect();
        let rows = self
            .rows(
                "SELECT attrelid, attname::text FROM pg_attribute
                 WHERE attrelid = ANY ($1) AND attnum > 0 AND NOT attisdropped
                 ORDER BY attrelid, array_position($2::text[], attname::text), attnum",
                &[&of, &self.options.tenant_columns],
            )
            .await?;
        let mut tested = BTreeMap::new();
        for row in &rows {
            let table: Oid = row.try_get(0).map_err(CheckError::Read)?;
            let column: String = row.try_get(1).map_err(CheckError::Read)?;
            let compares =
                |text: &String| predicate::compares_with_the_setting(text, &column, &self.options.setting);
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
                        ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'),
                        c.reltuples
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1) a
                     LEFT JOIN unnest($3::oid[], $4::text[]) y (relation, tested) ON y.relation = c.oid
                     LEFT JOIN LATERAL (SELECT * FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attnum > 0
                         AND NOT t.attisdropped AND (t.attname = ANY ($2) OR t.attname = y.tested)
                         ORDER BY t.attname = ANY ($2) DESC, (t.attname = y.tested) IS TRUE DESC,
                             array_position($2, t.attname::text) LIMIT 1) t ON true
                     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = t.attnum
                     LEFT JOIN pg_collation co ON co.oid = t.attcollation
                     WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {NOT_SYSTEM}"
                ),
                &[&self.options.role, &self.options.tenant_columns, &of, &tested],
            )
            .await?;
        let mut tables = BTreeMap::new();
        for row in &rows {
            let table = table(row).map_err(CheckError::Read)?;
            tables.insert(table.oid, table);
        }
        Ok(tables)
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
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND (has_table_privilege(a.oid, c.oid, 'DELETE')
                            OR has_any_column_privilege(a.oid, c.oid, 'SELECT, INSERT, UPDATE')),
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

    pub(super) async fn functions(&self) -> Result<BTreeMap<Oid, Function>, CheckError> {
        let rows = self
            .rows(
                &format!(
                    "SELECT o.oid, format('%I.%I(%s)', n.nspname, o.proname, pg_get_function_identity_arguments(o.oid)),
                        o.proowner, o.prosecdef, o.provolatile::text, o.proleakproof, coalesce(o.proconfig, '{{}}'),
                        has_schema_privilege(a.oid, n.oid, 'USAGE') AND has_function_privilege(a.oid, o.oid, 'EXECUTE'),
                        o.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(o.proacl) x
                            WHERE x.grantee = 0 AND x.privilege_type = 'EXECUTE'),
                        coalesce(pg_get_function_sqlbody(o.oid), o.prosrc),
                        o.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
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
                    trigger: row.try_get(10)?,
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

    pub(super) async fn sequences(&self) -> Result<Vec<String>, CheckError> {
        let sql = format!(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = $1) a
             WHERE {NOT_SYSTEM} AND has_schema_privilege(a.oid, n.oid, 'USAGE')
               AND has_sequence_privilege(a.oid, s.seqrelid, 'SELECT') ORDER BY 1"
        );
        self.texts(&sql, &[&self.options.role]).await
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

    pub(super) async fn mappings(&self) -> Result<Vec<String>, CheckError> {
        let sql =
            "SELECT DISTINCT srvname::text FROM pg_user_mappings WHERE umuser = 0 OR usename = $1 ORDER BY 1";
        self.texts(sql, &[&self.options.role]).await
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
        rows: row.try_get(21)?,
    })
}
