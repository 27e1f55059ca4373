//! What is asked of the server before it serves: that the role is no dangerous one, and what the statements are.
//!
//! Loading a configuration is not asynchronous, and may happen inside a runtime or outside; so it has a thread and a
//! small runtime of its own, and a connection that is closed when everything is loaded.

use std::sync::PoisonError;

use partywall_postgres::check::{Options, tenant_columns};
use tokio::runtime::Runtime;

use super::{
    Source, Statement,
    catalogue::{self, Findings, Waived},
    error::Broken,
    inspect, statement,
    wire::Conn,
};
use crate::{
    config::Isolation,
    guards::data::{DataError, MODEL},
};

/// A connection for compiling.
pub(super) struct Load {
    /// Gone only while this is dropped.
    runtime: Option<Runtime>,
    conn: Option<Conn>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.conn = None;
        if let Some(runtime) = self.runtime.take() {
            // Dropping it would wait, which is not allowed inside the runtime of the requests.
            runtime.shutdown_background();
        }
    }
}

/// Roles that see or change more than their own tables: to be one, or to be able to become one.
const DANGEROUS: &str = "SELECT
        r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication,
        EXISTS (
            SELECT FROM pg_catalog.pg_roles o
            WHERE o.oid <> r.oid AND pg_catalog.pg_has_role(r.oid, o.oid, 'MEMBER')
                AND (o.rolcanlogin OR o.rolsuper OR o.rolbypassrls OR o.rolcreaterole OR o.rolreplication
                    OR (o.rolname LIKE 'pg\\_%' AND o.rolname <> 'pg_database_owner')))
    FROM pg_catalog.pg_roles r WHERE r.rolname = session_user";

/// Schemas of other tenants in which the role reaches a table: they are named as a tenant's is, and there is a role for
/// them. `$1` and `$2` are the names of schemas and roles with `{tenant}` in them, `$3` is the role's own schema.
const FOREIGN: &str = "
    SELECT n.nspname
    FROM (SELECT pg_catalog.split_part($1, '{tenant}', 1) AS before, pg_catalog.split_part($1, '{tenant}', 2) AS after) p,
        pg_catalog.pg_namespace n,
        LATERAL (SELECT pg_catalog.substr(n.nspname::text, pg_catalog.length(p.before) + 1,
            greatest(0, pg_catalog.length(n.nspname::text) - pg_catalog.length(p.before || p.after))) AS id) t
    WHERE n.nspname <> $3 AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        AND n.nspname = pg_catalog.replace($1, '{tenant}', t.id)
        AND EXISTS (
            SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = pg_catalog.replace($2, '{tenant}', t.id))
        AND EXISTS (
            SELECT FROM pg_catalog.pg_class c
            WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                AND (pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')
                    OR pg_catalog.has_table_privilege(c.oid, 'DELETE, TRUNCATE')))
    LIMIT 1";

impl Source {
    /// Has the server prepare a statement.
    pub(in crate::guards::data) fn compile(
        &self,
        sql: &str,
        params: &[&str],
        writes: bool,
    ) -> Result<Statement, DataError> {
        if sql.trim() == MODEL {
            if self.isolation == Isolation::Rls {
                return Err(DataError::Refused(
                    "with `isolation = \"rls\"` the tenant is a setting, which SQL that a model writes could change; \
                     use `isolation = \"schema\"` or `\"database\"` for `sql = \"@model\"`"
                        .to_owned(),
                ));
            }
            return Statement::model(&self.name, params, writes);
        }
        let inspected = inspect::declared(sql, writes)?;
        self.with_connection(|runtime, conn| {
            let path = self.place.template_path();
            runtime.block_on(Statement::compile(conn, &self.name, &path, inspected, params, writes))
        })
    }

    /// Closes the connection that compiling needed.
    pub(in crate::guards::data) fn loaded(&self) {
        let Some(mut load) = self.load.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if let (Some(conn), Some(runtime)) = (load.conn.take(), &load.runtime) {
            std::thread::scope(|scope| {
                // Nothing depends on how the farewell went.
                let _said = scope.spawn(|| runtime.block_on(conn.close())).join();
            });
        }
    }

    /// Makes sure that the role of the URL is one that the server's policies hold for, and that shared tables have
    /// policies; what was found, and is served all the same.
    pub(in crate::guards::data) fn verify(&self) -> Result<Vec<Waived>, DataError> {
        self.with_connection(|runtime, conn| {
            let wrong =
                |error: DataError| DataError::Configuration(format!("source `{}`: {error}", self.name));
            let checked = async {
                check_own_role(conn).await?;
                match self.isolation {
                    Isolation::Rls => {
                        let mut refused = catalogue::look(conn, &self.settings.tenant_columns).await?;
                        let mut found = Findings::default();
                        if !self.pooled {
                            found = catalogue::check(&self.url, self.options(), &refused).await?;
                        }
                        refused.append(&mut found.refused);
                        found.refused = refused;
                        catalogue::judge(found, &self.settings.allow)
                    }
                    // Not this role, but each tenant's own reads there, and no policies are needed.
                    Isolation::Schema | Isolation::Database => Ok(Vec::new()),
                }
            };
            runtime.block_on(checked).map_err(wrong)
        })
    }

    /// What the whole check of the catalogue is asked for.
    fn options(&self) -> Options {
        Options {
            setting: self.settings.setting.as_deref().unwrap_or(super::SETTING).to_owned(),
            tenant_columns: tenant_columns(&self.settings.tenant_columns),
            behaviour: false,
            ..Options::for_role(self.url.user().unwrap_or_default())
        }
    }

    /// Does something with the connection for loading, on a thread where it is allowed to wait.
    fn with_connection<T: Send>(
        &self,
        work: impl FnOnce(&Runtime, &mut Conn) -> Result<T, DataError> + Send,
    ) -> Result<T, DataError> {
        let mut slot = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut *slot;
        let stopped = |_| Err(DataError::Internal("the loading thread ended early".to_owned()));
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| {
                let load = match slot {
                    Some(load) => load,
                    None => slot.insert(Load::new()?),
                };
                let Some(runtime) = &load.runtime else {
                    return Err(DataError::Internal("the loading runtime is gone".to_owned()));
                };
                let mut conn = match load.conn.take() {
                    Some(conn) => conn,
                    None => runtime.block_on(self.connect_for_loading())?,
                };
                let done = work(runtime, &mut conn);
                if conn.is_clean() {
                    load.conn = Some(conn);
                }
                done
            });
            loading.join().unwrap_or_else(stopped)
        })
    }

    async fn connect_for_loading(&self) -> Result<Conn, DataError> {
        let login = self.own_login();
        self.connector.connect(&login).await.map_err(|broken| {
            let advice = match &broken {
                Broken::Refused(_) => "check the role, its password and the database in the URL",
                _ => "is the server running, and is the address right?",
            };
            DataError::Configuration(format!(
                "source `{}`: cannot connect to {} as `{}`: {broken}; {advice}",
                self.name, self.url, login.role
            ))
        })
    }
}

impl Load {
    fn new() -> Result<Self, DataError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| DataError::Storage(format!("cannot start a runtime: {error}")))?;
        Ok(Self { runtime: Some(runtime), conn: None })
    }
}

/// Refuses a role that is more than one tenant's, or more than the policies hold for.
pub(super) async fn check_own_role(conn: &mut Conn) -> Result<(), DataError> {
    let rows = statement::rows(conn, DANGEROUS, &[]).await?;
    let said = |index: usize| rows.first().and_then(|row| row.get(index)?.as_deref());
    match (said(0), said(1)) {
        (Some("f"), Some("f")) => Ok(()),
        (Some("f"), Some(_)) => Err(DataError::Configuration(
            "the database role is a member of a role that can log in, that no policy holds for, or whose name begins \
             with `pg_`; take it out (REVOKE … FROM …)"
                .to_owned(),
        )),
        _ => Err(DataError::Configuration(
            "the database role is a superuser, or has BYPASSRLS, CREATEROLE or REPLICATION, so that the server would \
             not keep tenants apart; use a role with LOGIN and nothing else"
                .to_owned(),
        )),
    }
}

/// Refuses a role that reaches another tenant's tables: that the rights keep tenants apart is what the mode rests on.
pub(super) async fn check_own_schema(conn: &mut Conn, patterns: [String; 3]) -> Result<(), DataError> {
    let rows = statement::rows(conn, FOREIGN, &patterns.map(Some)).await?;
    match rows.first() {
        None => Ok(()),
        Some(row) => {
            let schema = row.first().and_then(Option::as_deref).unwrap_or_default();
            Err(DataError::Configuration(format!(
                "the tenant's database role reaches tables in the schema `{schema}`, which is another tenant's; take its \
                 rights there away, and those of PUBLIC (REVOKE USAGE ON SCHEMA \"{schema}\" FROM …)"
            )))
        }
    }
}
