//! The check of a live database's catalogue: would it keep tenants apart for this role?
//!
//! A few queries fill one `Catalogue` in a read-only transaction; every rule is a function over it. Then, if the role may
//! be taken on, statements are tried as it and rolled back (`behaviour`).

mod behaviour;
mod catalogue;
mod predicate;
mod rules;
#[cfg(test)]
mod tests;

use partywall_model::{Confidence, Finding, Layer, Page, Severity, Skipped, fingerprint};
use tokio_postgres::Client;

pub(crate) use self::rules::quoted;
use self::{
    catalogue::Catalogue,
    rules::{Hit, RULES, Rule},
};

/// Columns that name a tenant, unless told otherwise: the one list of them, for this check and for whoever asks a
/// catalogue on their own.
pub const TENANT_COLUMNS: [&str; 6] =
    ["tenant_id", "tenant", "org_id", "organization_id", "account_id", "workspace_id"];
/// The setting that names the tenant of a transaction, unless told otherwise.
pub const SETTING: &str = "app.tenant";

/// What to check.
#[derive(Debug, Clone)]
pub struct Options {
    /// The role that the application connects as.
    pub role: String,
    /// Names of columns that say whose a row is. Of those that a table has, the one counts that a policy compares with
    /// the setting, or the first. A column of another name counts too where a policy compares it with the setting.
    pub tenant_columns: Vec<String>,
    /// The setting that policies read.
    pub setting: String,
    /// Ids of the rules to apply; all if there are none.
    pub only: Vec<String>,
    /// Whether statements are tried as the role, and rolled back.
    pub behaviour: bool,
}

impl Options {
    /// Everything, for a role.
    #[must_use]
    pub fn for_role(role: &str) -> Self {
        Self {
            role: role.to_owned(),
            tenant_columns: tenant_columns(&[]),
            setting: SETTING.to_owned(),
            only: Vec::new(),
            behaviour: true,
        }
    }

    fn wants(&self, rule: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|id| id == rule)
    }
}

/// Names of columns that say whose a row is: one's own first, and then those that are known without being told.
#[must_use]
pub fn tenant_columns(own: &[String]) -> Vec<String> {
    let known = TENANT_COLUMNS.into_iter().map(str::to_owned).filter(|name| !own.contains(name));
    own.iter().cloned().chain(known).collect()
}

/// Something that was found, and what mends it.
#[derive(Debug, Clone)]
pub struct Found {
    /// What and where.
    pub finding: Finding,
    /// What it is about: a table, a view, a function, `policy on table`; the same in the next run.
    pub object: String,
    /// Whether it may show rows of other tenants, which what stands in the catalogue does not tell: whoever does not want
    /// to take the risk takes it for grave.
    pub in_doubt: bool,
    /// SQL that mends it, when there is SQL that does and nothing else would be better known to the owner.
    pub sql: Option<String>,
}

/// What the check came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The worst first.
    pub found: Vec<Found>,
    /// What could not be looked at.
    pub skipped: Vec<Skipped>,
    /// Tables and views that were looked at.
    pub relations: u64,
}

/// Why the catalogue cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The server refused, or is gone.
    #[error("reading the catalogue: {}", crate::connect::chain(.0))]
    Read(#[source] tokio_postgres::Error),
    /// There is no such role.
    #[error("there is no role `{0}` on this server; name the one that the application connects as")]
    NoRole(String),
    /// The server is too old.
    #[error(
        "the server is PostgreSQL {0}, and its catalogue is understood from {oldest} on; upgrade it (older versions are no \
         longer maintained), or check a copy of the schema on a newer one",
        oldest = catalogue::OLDEST
    )]
    Version(i32),
    /// An answer without a row.
    #[error("reading the catalogue: the server answered with nothing")]
    Nothing,
}

/// Checks the database that `client` is connected to. `at` is where it is, without credentials.
///
/// Reads in one read-only transaction; what is tried as the role is rolled back.
///
/// # Errors
/// The catalogue cannot be read, or there is no such role.
pub async fn run(client: &mut Client, at: &str, options: &Options) -> Result<Report, CheckError> {
    let transaction = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(CheckError::Read)?;
    transaction.batch_execute("SET LOCAL search_path = pg_catalog").await.map_err(CheckError::Read)?;
    let catalogue = Catalogue::read(&transaction, options).await?;
    transaction.rollback().await.map_err(CheckError::Read)?;
    let mut report = judge(&catalogue, at, options);
    if options.behaviour {
        behaviour::attempt(client, &catalogue, at, options, &mut report).await?;
    }
    report.found.sort_by(|a, b| {
        let key = |found: &Found| {
            (
                std::cmp::Reverse(found.finding.severity),
                found.finding.rule.clone(),
                found.finding.message.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    Ok(report)
}

fn judge(catalogue: &Catalogue, at: &str, options: &Options) -> Report {
    let mut report =
        Report { relations: (catalogue.tables.len() + catalogue.views.len()) as u64, ..Report::default() };
    for rule in RULES.iter().filter(|rule| options.wants(rule.id)) {
        if let Some(find) = rule.find {
            report.found.extend(find(catalogue).into_iter().map(|hit| found(rule, hit, at)));
        }
    }
    report
}

fn found(rule: &Rule, hit: Hit, at: &str) -> Found {
    let fix = match (&hit.sql, hit.advice) {
        (Some(sql), _) => sql.clone(),
        (None, Some(advice)) => advice.to_owned(),
        (None, None) => rule.advice.to_owned(),
    };
    let finding = Finding {
        rule: rule.id.to_owned(),
        layer: Layer::Data,
        axis: rule.axis,
        severity: hit.severity.unwrap_or(rule.severity),
        confidence: hit.confidence.unwrap_or(Confidence::High),
        path: at.to_owned(),
        line: 1,
        column: 1,
        end_line: 1,
        fingerprint: fingerprint(&[rule.id, &hit.object]),
        message: hit.message,
        why: rule.why.to_owned(),
        fix,
        related: Vec::new(),
        maps: rule.maps(),
    };
    Found { finding, object: hit.object, in_doubt: hit.in_doubt, sql: hit.sql }
}

/// Every rule with its page.
#[must_use]
pub fn pages() -> Vec<Page> {
    RULES.iter().map(Rule::page).collect()
}

/// The highest severity, if anything was found.
#[must_use]
pub fn worst(found: &[Found]) -> Option<Severity> {
    found.iter().map(|found| found.finding.severity).max()
}
