//! What the server's catalogue says of the shared tables, before the first request: whether policies stand between the
//! tenants at all.
//!
//! [`look`] is one short query, the stricter in what it looks at. [`check`] is the catalogue's whole check: what is grave
//! there, and what it is in doubt about, refuses the start, and what else is of medium severity is told. Its rules have the
//! same names. It needs prepared statements, so behind a pooler the query stands alone.

use std::{collections::BTreeMap, time::Duration};

use partywall_model::Severity;
use partywall_postgres::{
    Connector, DatabaseUrl,
    check::{Found, Options, run, tenant_columns},
    drive,
};

use super::{statement, wire::Conn};
use crate::{config::Allowed, guards::data::DataError};

/// How long the whole check may take.
const CHECK_TIME: Duration = Duration::from_secs(30);

/// Tables that the role reaches and that no policy governs, the worst first. A table without a tenant's column may stay
/// without policies as long as the role only reads it: then it is the same for all, as a list of countries is. `$1` are the
/// names of tenants' columns, a line each.
const UNGOVERNED: &str = "
    WITH reached AS (
        SELECT c.oid, c.relkind, c.relrowsecurity AS rls, c.relforcerowsecurity AS forced,
            pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
            pg_catalog.has_table_privilege(session_user, c.oid, 'TRUNCATE') AS truncates,
            pg_catalog.has_any_column_privilege(session_user, c.oid, 'INSERT, UPDATE')
                OR pg_catalog.has_table_privilege(session_user, c.oid, 'DELETE') AS writes,
            EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid) AS policies,
            EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped
                AND a.attname = ANY (pg_catalog.string_to_array($1::text, pg_catalog.chr(10))))
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
    /// What it is about, as `allow` names it.
    object: String,
    /// The same as one reads it later, alone or in a sentence.
    said: String,
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
        Self { rule: rule.to_owned(), object: object.to_owned(), said: object.to_owned(), told }
    }

    fn of_check(found: Found) -> Self {
        let Found { finding, object, .. } = found;
        let told = format!("{} ({})", finding.message, finding.fix);
        Self { rule: finding.rule, object, said: finding.message, told }
    }
}

/// What the check has found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What must not be served unless the configuration allows it: what shows rows of others, or may.
    pub(super) refused: Vec<Finding>,
    /// What is served, and said.
    pub(super) told: Vec<Finding>,
}

/// A finding with which the source is served all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::guards::data) struct Waived {
    pub(in crate::guards::data) rule: String,
    pub(in crate::guards::data) object: String,
    /// Why the configuration allows it; none where it need not be allowed.
    pub(in crate::guards::data) reason: Option<String>,
}

/// Asks for tables that no policy governs; `columns` are the names of tenants' columns.
pub(super) async fn look(conn: &mut Conn, columns: &[String]) -> Result<Vec<Finding>, DataError> {
    let columns = tenant_columns(columns).join("\n");
    let rows = statement::rows(conn, UNGOVERNED, &[Some(columns)]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let [Some(rule), Some(object)] = row.as_slice() else {
            return Err(DataError::Configuration("the catalogue was answered about with nothing".to_owned()));
        };
        found.push(Finding::of_table(rule, object));
    }
    Ok(found)
}

/// Has the whole catalogue checked, reading only; what is no finding of [`look`]'s.
pub(super) async fn check(
    url: &DatabaseUrl,
    options: Options,
    looked: &[Finding],
) -> Result<Findings, DataError> {
    let failed = |error: String| DataError::Configuration(error);
    let connector = Connector::new(url.clone()).map_err(|error| failed(error.to_string()))?;
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
    let known = |found: &Found| {
        looked.iter().any(|known| known.rule == found.finding.rule && known.object == found.object)
    };
    let mut findings = Findings::default();
    for found in report.found.into_iter().filter(|found| !known(found)) {
        if found.finding.severity >= Severity::High || found.in_doubt {
            findings.refused.push(Finding::of_check(found));
        } else if found.finding.severity == Severity::Medium {
            findings.told.push(Finding::of_check(found));
        }
    }
    // What could not be looked at is not passed in silence.
    findings.told.extend(report.skipped.into_iter().map(|skipped| Finding {
        rule: "skipped".to_owned(),
        said: format!("{}: {}", skipped.path, skipped.reason),
        told: skipped.reason,
        object: skipped.path,
    }));
    Ok(findings)
}

/// What is allowed, or need not be, comes back; anything else is refused.
pub(super) fn judge(found: Findings, allow: &[Allowed]) -> Result<Vec<Waived>, DataError> {
    let reason = |finding: &Finding| {
        let names = |allowed: &&Allowed| {
            let object = allowed.object.as_ref();
            allowed.rule == finding.rule && object.is_none_or(|object| *object == finding.object)
        };
        allow.iter().find(names).map(|allowed| allowed.reason.clone())
    };
    let (mut passed, mut refused) = (Vec::new(), Vec::new());
    let must = found.refused.into_iter().map(|finding| (finding, true));
    for (finding, grave) in must.chain(found.told.into_iter().map(|finding| (finding, false))) {
        match reason(&finding) {
            None if grave => refused.push(finding),
            reason => passed.push(Waived { rule: finding.rule, object: finding.said, reason }),
        }
    }
    let Some(first) = refused.first() else { return Ok(in_few(passed)) };
    let told: Vec<String> =
        refused.iter().take(NAMED).map(|finding| format!("[{}] {}", finding.rule, finding.told)).collect();
    let more = match refused.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Err(DataError::Configuration(format!(
        "the database would not keep tenants apart: {}{more}. If it is meant, write allow = [{{ rule = \"{}\", object = \
         \"{}\", reason = \"…\" }}]",
        told.join("; "),
        first.rule,
        first.object.replace('\\', "\\\\").replace('"', "\\\"")
    )))
}

/// The same, with what nobody has answered for in one sentence for each rule.
fn in_few(passed: Vec<Waived>) -> Vec<Waived> {
    let (mut few, rest): (Vec<Waived>, Vec<Waived>) =
        passed.into_iter().partition(|waived| waived.reason.is_some());
    let mut by_rule = BTreeMap::<String, Vec<String>>::new();
    for waived in rest {
        by_rule.entry(waived.rule).or_default().push(waived.object);
    }
    few.extend(by_rule.into_iter().map(|(rule, objects)| {
        let more = match objects.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let named: Vec<String> = objects.into_iter().take(NAMED).collect();
        Waived { rule, object: format!("{}{more}", named.join("; ")), reason: None }
    }));
    few
}
