//! What the server's catalogue says of the shared tables, before the first request: whether policies stand between the
//! tenants at all.
//!
//! [`look`] is one short query, the stricter in what it looks at. [`check`] is the catalogue's whole check, of which what
//! is grave counts; its rules have the same names. It needs prepared statements, so behind a pooler the query stands alone.

use std::time::Duration;

use partywall_model::Severity;
use partywall_postgres::{
    Connector, DatabaseUrl,
    check::{Options, run},
    drive,
};

use super::{statement, wire::Conn};
use crate::{config::Allowed, guards::data::DataError};

/// How long the whole check may take.
const CHECK_TIME: Duration = Duration::from_secs(30);

/// Tables that the role reaches and that no policy governs, the worst first. A table without a tenant's column may stay
/// without policies as long as the role only reads it: then it is the same for all, as a list of countries is.
const UNGOVERNED: &str = "
    WITH reached AS (
        SELECT c.oid, c.relkind, c.relrowsecurity AS rls, c.relforcerowsecurity AS forced,
            pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
            pg_catalog.has_table_privilege(session_user, c.oid, 'TRUNCATE') AS truncates,
            pg_catalog.has_any_column_privilege(session_user, c.oid, 'INSERT, UPDATE')
                OR pg_catalog.has_table_privilege(session_user, c.oid, 'DELETE') AS writes,
            EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid) AS policies,
            EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped
                AND a.attname IN ('tenant', 'tenant_id', 'org_id', 'organization_id', 'account_id', 'workspace_id'))
                AS of_tenants
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
            AND pg_catalog.has_schema_privilege(session_user, n.oid, 'USAGE')
            AND (pg_catalog.has_any_column_privilege(session_user, c.oid, 'SELECT, INSERT, UPDATE')
                OR pg_catalog.has_table_privilege(session_user, c.oid, 'DELETE, TRUNCATE'))
    )
    SELECT rule, name FROM (
        SELECT 'tenant-table-without-rls' AS rule, name FROM reached
            WHERE relkind IN ('r', 'p') AND NOT rls AND (of_tenants OR writes)
        UNION ALL SELECT 'materialized-view-of-tenants', name FROM reached WHERE relkind = 'm' AND of_tenants
        UNION ALL SELECT 'foreign-table', name FROM reached WHERE relkind = 'f' AND (of_tenants OR writes)
        UNION ALL SELECT 'truncate-granted', name FROM reached WHERE truncates
        UNION ALL SELECT 'rls-not-forced-on-owner', name FROM reached WHERE relkind IN ('r', 'p') AND rls AND NOT forced
        UNION ALL SELECT 'rls-without-policy', name FROM reached WHERE relkind IN ('r', 'p') AND rls AND NOT policies
    ) found
    ORDER BY pg_catalog.array_position(ARRAY['tenant-table-without-rls', 'truncate-granted', 'materialized-view-of-tenants',
        'foreign-table', 'rls-not-forced-on-owner', 'rls-without-policy'], rule), name";

/// How many findings an error names.
const NAMED: usize = 5;

/// Something that was found, by the name of the rule.
#[derive(Debug)]
pub(super) struct Finding {
    rule: String,
    /// What it is about, alone or in a sentence.
    object: String,
    /// What is wrong, and what to do.
    told: String,
}

impl Finding {
    fn of_table(rule: &str, object: &str) -> Self {
        let told = match rule {
            "tenant-table-without-rls" => format!(
                "{object} has no row-level security, so that the role reaches every tenant's rows (ALTER TABLE {object} \
                 ENABLE ROW LEVEL SECURITY, and FORCE, and a policy)"
            ),
            "truncate-granted" => format!(
                "{object} can be truncated by the role, which no policy governs (REVOKE TRUNCATE ON {object} FROM …)"
            ),
            "rls-not-forced-on-owner" => format!(
                "{object} does not force its policies on its owner, whose views and functions see all rows then \
                 (ALTER TABLE {object} FORCE ROW LEVEL SECURITY)"
            ),
            "rls-without-policy" => {
                format!("{object} has no policy, so that nobody sees a row (CREATE POLICY)")
            }
            _ => format!(
                "{object} has no policies, and its rows are those of all tenants (REVOKE ALL ON {object} FROM …)"
            ),
        };
        Self { rule: rule.to_owned(), object: object.to_owned(), told }
    }
}

/// A finding that the configuration allows, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::guards::data) struct Waived {
    pub(in crate::guards::data) rule: String,
    pub(in crate::guards::data) object: String,
    pub(in crate::guards::data) reason: String,
}

/// Asks for tables that no policy governs.
pub(super) async fn look(conn: &mut Conn) -> Result<Vec<Finding>, DataError> {
    let rows = statement::rows(conn, UNGOVERNED, &[]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let [Some(rule), Some(object)] = row.as_slice() else {
            return Err(DataError::Configuration("the catalogue was answered about with nothing".to_owned()));
        };
        found.push(Finding::of_table(rule, object));
    }
    Ok(found)
}

/// Has the whole catalogue checked, reading only; what is grave and no finding of [`look`]'s.
pub(super) async fn check(url: &DatabaseUrl, role: &str, setting: &str) -> Result<Vec<Finding>, DataError> {
    let failed = |error: String| DataError::Configuration(error);
    let connector = Connector::new(url.clone()).map_err(|error| failed(error.to_string()))?;
    let options = Options { setting: setting.to_owned(), behaviour: false, ..Options::for_role(role) };
    let work = async {
        let (mut client, connection) =
            connector.connect().await.map_err(|error| failed(error.to_string()))?;
        let report = drive(connection, run(&mut client, &url.to_string(), &options)).await;
        let report = report.ok_or_else(|| failed("the connection ended during the check".to_owned()))?;
        report.map_err(|error| failed(error.to_string()))
    };
    let late =
        |_elapsed| failed("the check of the catalogue took too long; see `partywall check`".to_owned());
    let report = tokio::time::timeout(CHECK_TIME, work).await.map_err(late)??;
    let grave = report.found.into_iter().map(|found| found.finding);
    let grave = grave.filter(|found| {
        found.severity >= Severity::High && !UNGOVERNED.contains(&format!("'{}'", found.rule))
    });
    Ok(grave
        .map(|found| Finding {
            told: format!("{} ({})", found.message, found.fix),
            rule: found.rule,
            object: found.message,
        })
        .collect())
}

/// What is allowed comes back; anything else is refused.
pub(super) fn judge(found: Vec<Finding>, allow: &[Allowed]) -> Result<Vec<Waived>, DataError> {
    let (mut waived, mut refused) = (Vec::new(), Vec::new());
    for finding in found {
        match allow.iter().find(|allowed| allowed.rule == finding.rule) {
            Some(allowed) => waived.push(Waived {
                rule: finding.rule,
                object: finding.object,
                reason: allowed.reason.clone(),
            }),
            None => refused.push(finding),
        }
    }
    let Some(first) = refused.first() else { return Ok(waived) };
    let told: Vec<String> =
        refused.iter().take(NAMED).map(|finding| format!("[{}] {}", finding.rule, finding.told)).collect();
    let more = match refused.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Err(DataError::Configuration(format!(
        "the database would not keep tenants apart: {}{more}. If it is meant, write allow = [{{ rule = \"{}\", reason = \
         \"…\" }}]",
        told.join("; "),
        first.rule
    )))
}
