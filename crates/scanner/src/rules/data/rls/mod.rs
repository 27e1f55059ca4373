//! Rules about row-level security: what the migrations of a project leave open in the end.
//!
//! They look at tables that belong to tenants only, and say nothing where security is set by statements that cannot be
//! followed.

mod always_true;
mod definer;
mod editable_metadata;
mod fails_open;
mod grant;
mod inert;
mod no_policy;
mod not_enabled;
mod not_forced;
mod session_setting;
mod view;
mod without_caller;

use partywall_model::{Axis, Check, Confidence, Face, Finding, Layer, Maps, Page, Related, Severity};

use crate::{
    lang::sql::Condition,
    tables::{Level, Place, Schema, Table},
};

pub(crate) use session_setting::names_caller;

/// A rule about a schema.
#[derive(Debug, Clone, Copy)]
pub struct SchemaRule {
    /// Its id.
    pub id: &'static str,
    /// What it finds, in one sentence.
    pub summary: &'static str,
    /// The axis that it counts against.
    pub axis: Axis,
    /// The highest severity that it gives.
    pub severity: Severity,
    /// Its weakness in the CWE list.
    pub cwe: &'static str,
    /// Its page.
    pub markdown: &'static str,
    /// Looks at a schema.
    pub check: fn(&Schema, &mut Found<'_>),
}

impl SchemaRule {
    /// The rule's page.
    #[must_use]
    pub const fn page(&self) -> Page {
        Page {
            check: Check { id: self.id, layer: Layer::Data, summary: self.summary },
            face: Face::Scan,
            severity: self.severity,
            markdown: self.markdown,
        }
    }
}

/// Every rule about row-level security.
pub const RULES: [SchemaRule; 13] = [
    not_enabled::RULE,
    inert::RULE,
    always_true::RULE,
    without_caller::RULE,
    fails_open::RULE,
    not_forced::RULE,
    no_policy::RULE,
    view::RULE,
    definer::UNFILTERED,
    definer::SEARCH_PATH,
    editable_metadata::RULE,
    session_setting::RULE,
    grant::RULE,
];

/// Looks at a schema with every rule.
#[must_use]
pub fn check(schema: &Schema) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in &RULES {
        (rule.check)(schema, &mut Found { rule, findings: &mut findings });
    }
    findings
}

/// What a rule says of one place.
pub struct Note<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// How sure the rule is.
    pub confidence: Confidence,
    /// Where it is.
    pub place: &'a Place,
    /// What is there.
    pub message: String,
    /// Why it matters.
    pub why: &'a str,
    /// What mends it.
    pub fix: String,
    /// Other places, with what is there.
    pub related: Vec<(&'a Place, String)>,
}

/// Where a rule puts its findings.
pub struct Found<'a> {
    rule: &'a SchemaRule,
    findings: &'a mut Vec<Finding>,
}

impl Found<'_> {
    /// Adds a finding.
    pub fn add(&mut self, note: Note<'_>) {
        let related = note
            .related
            .into_iter()
            .map(|(place, message)| Related { path: place.path.to_string(), line: place.line, message })
            .collect();
        self.findings.push(Finding {
            rule: self.rule.id.to_owned(),
            layer: Layer::Data,
            axis: self.rule.axis,
            severity: note.severity,
            confidence: note.confidence,
            path: note.place.path.to_string(),
            line: note.place.line,
            column: note.place.column,
            end_line: note.place.line,
            message: note.message,
            why: note.why.to_owned(),
            fix: note.fix,
            related,
            fingerprint: String::new(),
            maps: Maps {
                cwe: vec![self.rule.cwe.to_owned()],
                soc2: vec!["CC6.1".to_owned(), "CC6.3".to_owned()],
                owasp: vec!["A01:2021".to_owned()],
            },
        });
    }
}

/// The tables that belong to tenants or people, as far as migrations made them.
fn owned(schema: &Schema) -> impl Iterator<Item = &Table> {
    schema.tables.values().filter(|table| table.owner.is_some() && table.source == crate::tables::Source::Sql)
}

/// Whether rows of a table belong to tenants, and not only to persons.
fn of_tenants(table: &Table) -> bool {
    table.owner.as_ref().is_some_and(|owner| owner.level == Level::Tenant)
}

/// Whether a role is one that clients do not get: it may see all rows.
fn is_internal(role: &str) -> bool {
    [
        "service", "admin", "postgres", "owner", "migrat", "system", "worker", "job", "backup", "internal",
        "super", "bypass", "maint", "cron", "replica",
    ]
    .iter()
    .any(|word| role.contains(word))
}

/// Whether a condition or a body speaks of rows that are shared on purpose, or are found by something that only its owner
/// knows.
fn is_shared(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "public", "publish", "shar", "privat", "visib", "listed", "global", "system", "template", "demo",
        "default", "token", "invit", "slug",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// Whether a schema is one that clients can reach where they speak to the database themselves.
fn is_public(schema: Option<&str>) -> bool {
    matches!(schema, None | Some("public" | "api"))
}

/// The comparison that a policy of this table should make: the one that another table's policy makes with such a column, if there is
/// one.
fn predicate(schema: &Schema, table: &Table) -> String {
    let Some(owner) = &table.owner else { return "true".to_owned() };
    if let Some(through) = &owner.through {
        return format!("{} in (select id from {through})", owner.column);
    }
    let kind = kind_of(table, &owner.column);
    if let Some(known) = as_elsewhere(schema, &owner.column, kind) {
        return known;
    }
    let cast = |own: Option<&str>| match kind {
        Some(kind) if own != Some(kind) => format!("::{kind}"),
        None if own.is_some() => "::text".to_owned(),
        _ => String::new(),
    };
    let caller = if schema.exposed {
        match owner.level {
            Level::User => format!("(select auth.uid()){}", cast(Some("uuid"))),
            Level::Tenant => format!("(select (auth.jwt() ->> 'tenant_id'){})", cast(None)),
        }
    } else {
        format!("nullif(current_setting('app.tenant', true), ''){}", cast(None))
    };
    format!("{} = {caller}", owner.column)
}

/// What the values of a column are cast to.
fn kind_of(table: &Table, column: &str) -> Option<&'static str> {
    table.columns.iter().find(|own| own.name == column).and_then(|own| own.kind)
}

/// The condition of a policy that compares a column of this name and type, and no other of its table, with the caller.
fn as_elsewhere(schema: &Schema, column: &str, kind: Option<&str>) -> Option<String> {
    let good = |table: &Table, condition: &Condition| {
        let of_table = |name: &String| table.columns.iter().any(|own| own.name == *name);
        condition.asks_caller
            && !condition.fails_open
            && !condition.always
            && condition.text.len() < 200
            && condition.names.iter().filter(|name| of_table(name)).eq([column])
            && !condition.names.iter().any(|name| name == "select" || name == "or")
    };
    schema
        .tables
        .values()
        .filter(|table| table.enabled && kind_of(table, column) == kind)
        .flat_map(|table| table.policies.iter().map(move |placed| (table, &placed.policy)))
        .filter(|(_, policy)| policy.permissive)
        .filter_map(|(table, policy)| policy.using.as_ref().filter(|using| good(table, using)))
        .map(|using| using.text.trim().to_owned())
        .next()
}

#[cfg(test)]
mod tests;
