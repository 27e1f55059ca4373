//! The rules: what is wrong with a catalogue, one function each, and a page each in `check/pages`.

mod functions;
mod keys;
mod policies;
mod reach;
pub(super) mod roles;
mod surroundings;
mod tables;
mod views;

use partywall_model::{Axis, Check, Confidence, Face, Layer, Maps, Page, Severity};

use super::catalogue::Catalogue;
pub(crate) use roles::quoted;

/// One thing that a rule found.
#[derive(Debug, Default)]
pub(super) struct Hit {
    /// What it is about, for the fingerprint: the same in the next run.
    pub(super) object: String,
    /// What was found, in one sentence.
    pub(super) message: String,
    /// SQL that mends it.
    pub(super) sql: Option<String>,
    /// What to do, when it is not what the page says.
    pub(super) advice: Option<&'static str>,
    /// When it is not the rule's.
    pub(super) severity: Option<Severity>,
    /// When it is not high.
    pub(super) confidence: Option<Confidence>,
    /// Whether it may show other tenants' rows, which cannot be told.
    pub(super) in_doubt: bool,
}

impl Hit {
    fn new(object: impl Into<String>, message: impl Into<String>) -> Self {
        Self { object: object.into(), message: message.into(), ..Self::default() }
    }

    fn mended_by(mut self, sql: impl Into<String>) -> Self {
        self.sql = Some(sql.into());
        self
    }

    fn advised(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// With SQL where there is some, and otherwise the page's advice.
    fn mended_if(mut self, sql: Option<String>) -> Self {
        self.sql = sql;
        self
    }

    fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = Some(confidence);
        self
    }

    fn in_doubt(mut self) -> Self {
        self.in_doubt = true;
        self
    }
}

/// Looks for one thing.
pub(super) type Find = fn(&Catalogue) -> Vec<Hit>;

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) severity: Severity,
    pub(super) axis: Axis,
    /// Weaknesses of the CWE list.
    cwe: &'static [&'static str],
    page: &'static str,
    pub(super) why: &'static str,
    pub(super) advice: &'static str,
    /// Nothing for those that statements find (`behaviour`).
    pub(super) find: Option<Find>,
}

impl Rule {
    pub(super) fn page(&self) -> Page {
        let summary = paragraph(self.page);
        Page {
            check: Check { id: self.id, layer: Layer::Data, summary },
            face: Face::Scan,
            severity: self.severity,
            markdown: self.page,
        }
    }

    pub(super) fn maps(&self) -> Maps {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        let owasp: &[&str] = match self.axis {
            Axis::Maintenance => &[],
            _ => &["API1:2023", "MCP07:2025", "MCP10:2025"],
        };
        Maps { cwe: texts(self.cwe), soc2: texts(&["CC6.1", "CC6.3", "C1.1"]), owasp: texts(owasp) }
    }
}

/// The first paragraph after a page's heading.
const fn paragraph(page: &'static str) -> &'static str {
    between(page, "\n\n", "\n\n")
}

/// A section of a page: its first paragraph.
const fn section(page: &'static str, heading: &str) -> &'static str {
    between(page, heading, "\n\n")
}

/// What stands between two texts; everything after the first when there is no second.
const fn between(page: &'static str, begin: &str, end: &str) -> &'static str {
    let start = match find(page.as_bytes(), begin.as_bytes(), 0) {
        Some(at) => at + begin.len(),
        None => return "",
    };
    let stop = match find(page.as_bytes(), end.as_bytes(), start) {
        Some(at) => at,
        None => page.len(),
    };
    let (_, rest) = page.split_at(start);
    let (text, _) = rest.split_at(stop - start);
    text.trim_ascii()
}

const fn find(text: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at + wanted.len() <= text.len() {
        let (_, rest) = text.split_at(at);
        let (mut same, mut left, mut right) = (true, rest, wanted);
        while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
            if *a != *b {
                same = false;
                break;
            }
            (left, right) = (left_rest, right_rest);
        }
        if same && right.is_empty() {
            return Some(at);
        }
        at += 1;
    }
    None
}

macro_rules! rules {
    ($($id:literal $severity:ident $axis:ident $cwe:expr => $find:expr,)*) => {
        /// All rules, in the order in which they are listed.
        pub(super) static RULES: &[Rule] = &[$(Rule {
            id: $id,
            severity: Severity::$severity,
            axis: Axis::$axis,
            cwe: &$cwe,
            page: include_str!(concat!("../pages/", $id, ".md")),
            why: section(include_str!(concat!("../pages/", $id, ".md")), "## Why it matters\n\n"),
            advice: section(include_str!(concat!("../pages/", $id, ".md")), "## What to do\n\n"),
            find: $find,
        },)*];
    };
}

rules! {
    // Roles.
    "app-role-bypasses-rls" High Permissions ["CWE-250"] => Some(roles::bypasses),
    "app-role-owns-table" High Permissions ["CWE-250"] => Some(roles::owns),
    "app-role-can-become-others" Medium Permissions ["CWE-269"] => Some(roles::becomes),
    "app-role-reads-server" High Permissions ["CWE-250"] => Some(roles::reads_server),
    "app-role-makes-roles" Medium Permissions ["CWE-269"] => Some(roles::makes_roles),
    "app-role-sees-statistics" Low Permissions ["CWE-200"] => Some(roles::sees_statistics),
    // Tables.
    "tenant-table-without-rls" High Security ["CWE-862", "CWE-639"] => Some(tables::not_enabled),
    "policies-without-rls" High Security ["CWE-863"] => Some(tables::inert_policies),
    "rls-not-forced-on-owner" Low Security ["CWE-863"] => Some(tables::not_forced),
    "rls-without-policy" Medium Maintenance ["CWE-1188"] => Some(tables::no_policy),
    "rls-without-tenant-column" Medium Security ["CWE-863"] => Some(policies::unknown_column),
    "only-restrictive-policies" Medium Maintenance ["CWE-1188"] => Some(tables::only_restrictive),
    "command-without-policy" Low Maintenance ["CWE-1188"] => Some(tables::command_without_policy),
    "child-table-without-tenant" Medium Security ["CWE-862"] => Some(tables::child_without_tenant),
    "unprotected-partition" High Security ["CWE-862"] => Some(tables::unprotected_partition),
    "rls-on-child-only" High Security ["CWE-863"] => Some(tables::child_only),
    "nullable-tenant-column" Medium Security ["CWE-20"] => Some(tables::nullable),
    "empty-tenant-allowed" Medium Security ["CWE-20"] => Some(tables::empty_allowed),
    "tenant-default-may-be-empty" Medium Security ["CWE-1188"] => Some(tables::default_may_be_empty),
    "fuzzy-tenant-equality" High Security ["CWE-178"] => Some(tables::fuzzy),
    "foreign-table" High Security ["CWE-862"] => Some(tables::foreign),
    "truncate-granted" High Permissions ["CWE-732"] => Some(tables::truncate),
    "trigger-granted" High Permissions ["CWE-732"] => Some(tables::trigger),
    "references-granted" Medium Permissions ["CWE-732"] => Some(tables::references),
    // Policies.
    "policy-without-tenant-test" High Security ["CWE-863", "CWE-639"] => Some(policies::no_test),
    "write-policy-wider-than-read" High Security ["CWE-863"] => Some(policies::wide_write),
    "check-without-tenant-test" High Security ["CWE-863"] => Some(policies::no_check),
    "fail-open-policy" High Security ["CWE-636"] => Some(policies::fails_open),
    "null-matching-policy" High Security ["CWE-863"] => Some(policies::null_matching),
    "self-comparison-in-policy" High Security ["CWE-697"] => Some(policies::self_comparison),
    "policy-by-writable-rows" Medium Security ["CWE-639", "CWE-863"] => Some(policies::by_writable_rows),
    "policy-not-understood" Medium Security ["CWE-863"] => Some(policies::not_understood),
    "strict-setting-in-policy" Low Maintenance ["CWE-755"] => Some(policies::strict),
    "unguarded-cast-in-policy" Low Maintenance ["CWE-755"] => Some(policies::unguarded_cast),
    "immutable-policy-function" High Security ["CWE-672"] => Some(policies::immutable_function),
    "volatile-policy-function" Low Maintenance ["CWE-1073"] => Some(policies::volatile_function),
    "persisted-tenant-setting" High Security ["CWE-1188"] => Some(policies::persisted_setting),
    // Views.
    "view-bypasses-rls" High Security ["CWE-863"] => Some(views::bypasses),
    "tenant-filter-in-plain-view" High Security ["CWE-863"] => Some(views::plain_filter),
    "materialized-view-of-tenants" High Security ["CWE-862"] => Some(views::materialized),
    // Functions, triggers and rules.
    "definer-function-bypasses-rls" High Security ["CWE-250", "CWE-863"] => Some(functions::bypasses),
    "definer-without-search-path" Medium Security ["CWE-426"] => Some(functions::search_path),
    "definer-open-to-public" Medium Permissions ["CWE-732"] => Some(functions::open_to_public),
    "function-sets-tenant" High Security ["CWE-863"] => Some(functions::sets_tenant),
    "leakproof-function" High Security ["CWE-200"] => Some(functions::leakproof),
    "trigger-copies-to-open-table" High Security ["CWE-668"] => Some(functions::trigger_copies),
    "rewrite-rule-on-tenant-table" High Security ["CWE-863"] => Some(functions::rewrites),
    // Keys and indexes.
    "global-unique-key" Medium Security ["CWE-203"] => Some(keys::global_unique),
    "foreign-key-without-tenant" Medium Security ["CWE-639"] => Some(keys::foreign_key),
    "no-tenant-index" Low Maintenance ["CWE-1073"] => Some(keys::no_index),
    // What stands around the tables.
    "readable-sequence" Low Security ["CWE-200"] => Some(surroundings::sequence),
    "dangerous-extension" Medium Permissions ["CWE-250"] => Some(surroundings::extension),
    "user-mapping" Medium Permissions ["CWE-441"] => Some(surroundings::mapping),
    "published-tenant-table" Medium Security ["CWE-668"] => Some(surroundings::published),
    "large-objects" Medium Security ["CWE-668"] => Some(surroundings::large_objects),
    "temp-tables-allowed" Low Permissions ["CWE-668"] => Some(surroundings::temp),
    "create-in-schema-granted" Medium Permissions ["CWE-426"] => Some(surroundings::create),
    // What statements find.
    "reads-without-context" High Security ["CWE-863"] => None,
    "update-reaches-others" High Security ["CWE-863"] => None,
    "delete-reaches-others" High Security ["CWE-863"] => None,
    "insert-for-others" High Security ["CWE-863"] => None,
}
