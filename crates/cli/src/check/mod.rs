//! `check` and `rls`: whether a configuration and its PostgreSQL databases keep tenants apart, and SQL that makes a table do so.

mod lint;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use partywall_gateway::{
    Gateway,
    config::{Allowed, Config, ConfigError, ConfigProblem, Driver, Isolation},
};
use partywall_model::{Axis, Document, Finding, Layer, NOT_ASSESSED, Page, Score, Skipped, Stats};
use partywall_postgres::{
    Connector, DatabaseUrl,
    check::{self, Found, Options, Report},
    migration::{self, Table},
};
use partywall_report::Style;

use crate::{
    args::Arguments,
    output::{self, note, print},
    scan::{FailOn, Output, Outputs, fails, pages},
    serve::{environment, runtime},
};

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// The database: env:NAME, file:PATH, or a URL without a password.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    database: Option<String>,
    /// A configuration file: it is checked as `serve --check` does, and so is each of its PostgreSQL databases.
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    config: Option<PathBuf>,
    /// The role that the application connects as; the URL's own when there is none.
    #[arg(long, conflicts_with = "config")]
    role: Option<String>,
    /// A column that says whose a row is; may stand several times. Default: tenant_id, tenant, org_id, organization_id,
    /// account_id, workspace_id, and the configuration's tenant_columns. A column that a policy compares with the setting
    /// is found without.
    #[arg(long, value_name = "COLUMN")]
    tenant_column: Vec<String>,
    /// The setting that policies read.
    #[arg(long, default_value = check::SETTING, conflicts_with = "config")]
    setting: String,
    /// Print the SQL that mends what was found; nothing is changed.
    #[arg(long, conflicts_with = "format")]
    fix: bool,
    /// Look at the catalogue only: try no statements as the role.
    #[arg(long)]
    catalogue_only: bool,
    /// text, json, jsonl, sarif, html, markdown or badge; FORMAT=FILE writes to a file, and may stand several times
    #[arg(long, value_name = "FORMAT[=FILE]")]
    format: Vec<Output>,
    /// The file for the format that names none, instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The least severity that gives exit status 1.
    #[arg(long, value_enum, default_value_t = FailOn::High)]
    fail_on: FailOn,
    /// Only this rule; may stand several times.
    #[arg(long, value_name = "ID")]
    rule: Vec<String>,
    /// A rule that does not count here, and why; may stand several times.
    #[arg(long, value_name = "RULE=REASON", value_parser = allowed)]
    allow: Vec<(String, String)>,
}

fn allowed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(rule, reason)| (rule.trim(), reason.trim())) {
        Some((rule, reason)) if !rule.is_empty() && !reason.is_empty() => {
            Ok((rule.to_owned(), reason.to_owned()))
        }
        _ => Err("write RULE=REASON: whoever reads this later wants to know why".to_owned()),
    }
}

/// One database to check.
struct Target {
    url: DatabaseUrl,
    options: Options,
    allow: Vec<Allowed>,
}

impl Target {
    /// Why a finding does not count here.
    fn allows(&self, found: &Found) -> Option<&str> {
        let names = |allowed: &&Allowed| {
            let object = allowed.object.as_ref();
            allowed.rule == found.finding.rule && object.is_none_or(|object| *object == found.object)
        };
        self.allow.iter().find(names).map(|allowed| allowed.reason.as_str())
    }
}

/// The pages of this command's rules.
pub(crate) fn own_pages() -> Vec<Page> {
    let mut pages = check::pages();
    pages.push(lint::page());
    pages
}

/// Runs `partywall check`.
pub(crate) fn run(general: &Arguments, arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let outputs = Outputs::new(&arguments.format, arguments.output.as_deref())?;
    known(arguments)?;
    let began = Instant::now();
    let (targets, config) = match (&arguments.database, &arguments.config) {
        (Some(word), _) => (vec![one(arguments, word)?], None),
        (None, Some(file)) => {
            let config = match Config::load(file) {
                Err(ConfigError::Invalid { problems }) => {
                    return refused(general, arguments, &outputs, &problems);
                }
                loaded => loaded?,
            };
            (all(arguments, &config)?, Some(config))
        }
        (None, None) => bail!("name a database with --database, or a configuration with --config"),
    };
    let mut at = Vec::new();
    let (mut found, mut skipped, mut relations) = (Vec::new(), Vec::new(), 0);
    for target in targets {
        let place = target.url.to_string();
        let report = examine(&target, &place)?;
        relations += report.relations;
        skipped.extend(report.skipped);
        for one in report.found {
            match target.allows(&one) {
                None => found.push(one),
                Some(reason) => skipped.push(Skipped {
                    path: place.clone(),
                    reason: format!("{} ({}) is allowed: {reason}", one.finding.rule, one.finding.message),
                }),
            }
        }
        at.push(place);
    }
    if arguments.fix {
        print(&fixes(found.iter().map(|found| (&found.finding, found.sql.as_deref()))))?;
    }
    let stats = Stats { relations, seconds: began.elapsed().as_secs_f64(), ..Stats::default() };
    let target = if at.is_empty() { "no database".to_owned() } else { at.join(" ") };
    let findings = found.into_iter().map(|found| found.finding).collect();
    let document = Document::new(env!("CARGO_PKG_VERSION"), target, &[Layer::Data], findings, skipped, stats)
        .assessing(&[Axis::Security, Axis::Permissions]);
    let document = graded(document, at.is_empty(), !arguments.rule.is_empty());
    let failed = fails(&document, arguments.fail_on);
    if !arguments.fix {
        outputs.write(&report(general, &document, &pages()))?;
    }
    if let (Some(config), false) = (config, failed) {
        let gateway = Gateway::builder(config).environment(environment()).open()?;
        note(&format!("the configuration is good: {} tools", gateway.config().tools.len()));
    }
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn report<'d>(
    general: &Arguments,
    document: &'d Document,
    pages: &'d [Page],
) -> partywall_report::Report<'d> {
    let style = Style { colour: output::colour(general), verbose: true, ..Style::default() };
    partywall_report::Report { document, pages, sources: &(), style, below: "", here: "" }
}

/// What is wrong with a configuration. Its databases are not looked at: what it says of them may not be what is meant.
fn refused(
    general: &Arguments,
    arguments: &CheckArguments,
    outputs: &Outputs,
    problems: &[ConfigProblem],
) -> anyhow::Result<ExitCode> {
    let findings: Vec<Finding> = problems.iter().map(lint::finding).collect();
    let target = problems.first().map(|problem| problem.file.clone()).unwrap_or_default();
    if arguments.fix {
        print(&fixes(findings.iter().map(|finding| (finding, None))))?;
        return Ok(ExitCode::from(1));
    }
    let layers: Vec<Layer> = Layer::ALL
        .into_iter()
        .filter(|layer| findings.iter().any(|finding| finding.layer == *layer))
        .collect();
    let stats = Stats { files: 1, ..Stats::default() };
    let mut document = Document::new(env!("CARGO_PKG_VERSION"), target, &layers, findings, Vec::new(), stats);
    for axis in [Axis::Permissions, Axis::Credentials] {
        leave_open(&mut document, axis);
    }
    let failed = fails(&document, arguments.fail_on);
    outputs.write(&report(general, &document, &pages()))?;
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The document with the grades that a check can give: none without a database, none of the whole where not all rules were asked for,
/// and none of credentials, of which no rule says anything.
fn graded(document: Document, of_nothing: bool, narrowed: bool) -> Document {
    if of_nothing {
        return document.of_nothing();
    }
    if narrowed {
        return document.narrowed(&[Axis::Security, Axis::Permissions], &[Layer::Data]);
    }
    let mut document = document;
    leave_open(&mut document, Axis::Credentials);
    document
}

/// Takes the grade of an axis away that nothing was found of and no rule looked at.
fn leave_open(document: &mut Document, axis: Axis) {
    let found = document.findings.iter().any(|finding| finding.axis == axis);
    if let Some(score) = document.axes.get_mut(axis.name()).filter(|_| !found) {
        *score = Score { score: None, grade: NOT_ASSESSED.to_owned() };
    }
}

/// Refuses rules that there are not, which would leave something out in silence.
fn known(arguments: &CheckArguments) -> anyhow::Result<()> {
    let pages = own_pages();
    for id in arguments.rule.iter().chain(arguments.allow.iter().map(|(rule, _)| rule)) {
        ensure!(
            pages.iter().any(|page| page.check.id == id),
            "`check` has no rule `{id}`; `partywall rules` lists all"
        );
    }
    Ok(())
}

fn resolve(word: &str, base: &Path) -> anyhow::Result<DatabaseUrl> {
    let environment = environment();
    Ok(DatabaseUrl::resolve(word, base, |name| environment.value(name))?)
}

fn columns(arguments: &CheckArguments, configured: &[String]) -> Vec<String> {
    match arguments.tenant_column.as_slice() {
        [] => check::tenant_columns(configured),
        named => named.to_vec(),
    }
}

fn allowed_here(arguments: &CheckArguments) -> Vec<Allowed> {
    let allowed = |(rule, reason): &(String, String)| Allowed {
        rule: rule.clone(),
        object: None,
        reason: reason.clone(),
    };
    arguments.allow.iter().map(allowed).collect()
}

fn one(arguments: &CheckArguments, word: &str) -> anyhow::Result<Target> {
    let url = resolve(word, Path::new("."))?;
    let role = match (&arguments.role, url.user()) {
        (Some(role), _) => role.clone(),
        (None, Some(role)) => role.to_owned(),
        (None, None) => bail!("the URL names no role; name the application's with --role"),
    };
    let options = Options {
        role,
        tenant_columns: columns(arguments, &[]),
        setting: arguments.setting.clone(),
        only: arguments.rule.clone(),
        behaviour: !arguments.catalogue_only,
    };
    Ok(Target { url, options, allow: allowed_here(arguments) })
}

/// The databases of a configuration in which row-level security keeps tenants apart.
fn all(arguments: &CheckArguments, config: &Config) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for (name, source) in &config.data {
        if source.driver != Driver::Postgres || source.isolation != Some(Isolation::Rls) {
            continue;
        }
        let word = source.url.as_deref().unwrap_or_default();
        let url = resolve(word, &config.base_dir).with_context(|| format!("data.{name}.url"))?;
        let role = url.user().unwrap_or_default().to_owned();
        let mut allow = source.allow.clone();
        allow.extend(allowed_here(arguments));
        let options = Options {
            role,
            tenant_columns: columns(arguments, &source.tenant_columns),
            setting: source.setting.clone().unwrap_or_else(|| check::SETTING.to_owned()),
            only: arguments.rule.clone(),
            behaviour: !arguments.catalogue_only,
        };
        targets.push(Target { url, options, allow });
    }
    Ok(targets)
}

fn examine(target: &Target, place: &str) -> anyhow::Result<Report> {
    let connector = Connector::new(target.url.clone())?;
    runtime()?.block_on(async {
        let (mut client, connection) = connector.connect().await?;
        let work = check::run(&mut client, place, &target.options);
        let report = partywall_postgres::drive(connection, work).await;
        Ok(report.with_context(|| format!("{place} has hung up"))??)
    })
}

/// What mends each finding, as a script to be read first: the finding with its SQL.
fn fixes<'f>(found: impl Iterator<Item = (&'f Finding, Option<&'f str>)>) -> String {
    let mut text =
        String::from("-- Read this first: it was not run, and a statement may not be what you want.\n");
    for (finding, sql) in found {
        text.push_str(&format!(
            "\n-- {} ({}): {}\n",
            finding.rule,
            finding.severity.name(),
            one_line(&finding.message)
        ));
        match sql {
            Some(sql) => text.push_str(&format!("{sql}\n")),
            None => text.push_str(&format!("-- {}\n", one_line(&finding.fix))),
        }
    }
    text
}

/// Without line breaks, which would end the comment that it stands in.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[derive(Args)]
pub(crate) struct RlsArguments {
    /// The table, with its schema or without: orders, shop.orders
    #[arg(long)]
    table: String,
    /// The column that says whose a row is.
    #[arg(long)]
    tenant_column: String,
    /// Look at the table in this database, for its keys and its column's type: env:NAME, file:PATH, or a URL without a
    /// password.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The role that the application connects as.
    #[arg(long, default_value = "app")]
    role: String,
    /// The role that owns tables; nobody logs in as it.
    #[arg(long, default_value = "table_owner")]
    owner: String,
    /// The setting that holds the tenant's id.
    #[arg(long, default_value = check::SETTING)]
    setting: String,
}

/// Runs `partywall rls`.
pub(crate) fn rls(arguments: &RlsArguments) -> anyhow::Result<()> {
    let table = Table {
        name: arguments.table.clone(),
        column: arguments.tenant_column.clone(),
        role: arguments.role.clone(),
        owner: arguments.owner.clone(),
        setting: arguments.setting.clone(),
    };
    let text = match &arguments.database {
        None => migration::without_database(&table)?,
        Some(word) => {
            let url = resolve(word, Path::new("."))?;
            let (place, connector) = (url.to_string(), Connector::new(url)?);
            runtime()?.block_on(async {
                let (client, connection) = connector.connect().await?;
                let made = partywall_postgres::drive(connection, migration::of_live(&client, &table)).await;
                anyhow::Ok(made.with_context(|| format!("{place} has hung up"))??)
            })?
        }
    };
    print(text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_rule_looked_at_has_no_grade() {
        let document = || {
            let at = "postgres://localhost/app".to_owned();
            let stats = Stats { relations: 3, ..Stats::default() };
            Document::new("0", at, &[Layer::Data], Vec::new(), Vec::new(), stats)
        };
        let whole = graded(document(), false, false);
        assert_eq!((whole.grade.as_str(), whole.axes["credentials"].score), ("A", None));
        assert_eq!(whole.axes["security"].score, Some(100));
        assert!(graded(document(), true, false).is_of_nothing());
        let narrowed = graded(document(), false, true);
        assert_eq!((narrowed.grade.as_str(), narrowed.is_of_nothing()), (NOT_ASSESSED, false));
    }
}
