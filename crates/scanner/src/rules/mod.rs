//! The rules: one file each, with its page, by layer; and what they report with.

mod asking;
mod branches;
pub mod cache;
pub mod capacity;
pub mod context;
pub mod credentials;
pub mod data;
pub mod disclosure;
pub mod identity;
mod left_behind;
mod never_run;
#[cfg(test)]
mod pages;
mod refusing;
pub mod routing;
pub mod state;
mod sure;
mod touched;

pub(crate) use asking::AMBIENT;

use std::sync::LazyLock;

use partywall_model::{
    Axis, Check, Confidence, Coverage, Face, Finding, Layer, Maps, Page, Related, Severity, fingerprint,
};

use crate::{
    flow::Admits,
    ir::{ExprKind, Span},
    project::{At, Fun, ModuleId, Project},
    tables::Place,
    tenancy::Tenancy,
    vocabulary,
};

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its id, layer and what it finds in one sentence.
    pub check: Check,
    /// The highest severity that it reports.
    pub severity: Severity,
    /// The side of a server that it counts against.
    pub axis: Axis,
    /// Why it matters, in one or two sentences.
    pub why: &'static str,
    /// What mends it.
    pub fix: &'static str,
    /// Weaknesses of the CWE list.
    pub cwe: &'static [&'static str],
    /// Criteria of SOC 2.
    pub soc2: &'static [&'static str],
    /// Categories of OWASP lists.
    pub owasp: &'static [&'static str],
    /// Its page, which is its tests too.
    pub markdown: &'static str,
    /// Looks for it.
    pub run: fn(&Project, &mut Report<'_>),
}

/// Lists the rules of a layer: `rules! { cache_key, memoised_result }` for `cache_key.rs` and so on, each with a `RULE`.
macro_rules! rules {
    ($($module:ident),* $(,)?) => {
        $(pub mod $module;)*

        /// The rules of this layer.
        pub const RULES: &[$crate::rules::Rule] = &[$($module::RULE),*];
    };
}
pub(crate) use rules;

/// The rules of a layer.
#[must_use]
pub const fn rules_of(layer: Layer) -> &'static [Rule] {
    match layer {
        Layer::Identity => identity::RULES,
        Layer::Context => context::RULES,
        Layer::State => state::RULES,
        Layer::Data => data::RULES,
        Layer::Cache => cache::RULES,
        Layer::Credentials => credentials::RULES,
        Layer::Routing => routing::RULES,
        Layer::Capacity => capacity::RULES,
        Layer::Disclosure => disclosure::RULES,
    }
}

/// All rules, in the order of the layers.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    Layer::ALL.into_iter().flat_map(|layer| rules_of(layer).iter())
}

/// The checks of each layer, in the order of [`Layer::ALL`].
static CHECKS: LazyLock<Vec<(Layer, Vec<Check>)>> = LazyLock::new(|| {
    let checks: Vec<Check> = table().into_iter().map(|(page, _)| page.check).collect();
    let of = |layer| checks.iter().filter(|check| check.layer == layer).copied().collect();
    Layer::ALL.into_iter().map(|layer| (layer, of(layer))).collect()
});

/// What the scanner has for a layer: a cell of the matrix.
#[must_use]
pub fn coverage(layer: Layer) -> Coverage {
    let found = CHECKS.iter().find(|(own, checks)| *own == layer && !checks.is_empty());
    found.map_or(Coverage::None { because: "no rule for this layer has been written" }, |(_, checks)| {
        Coverage::Checks(checks)
    })
}

/// Every rule with the axis that it counts against.
#[must_use]
pub fn table() -> Vec<(Page, Axis)> {
    let page = |rule: &Rule| Page {
        check: rule.check,
        face: Face::Scan,
        severity: rule.severity,
        markdown: rule.markdown,
    };
    let mut table: Vec<(Page, Axis)> = all().map(|rule| (page(rule), rule.axis)).collect();
    table.extend(data::rls::RULES.iter().map(|rule| (rule.page(), rule.axis)));
    table.push((routing::vulnerable_sdk::PAGE, routing::vulnerable_sdk::AXIS));
    table
}

/// What a rule reports into.
#[derive(Debug)]
pub struct Report<'p> {
    project: &'p Project,
    rule: &'static Rule,
    found: Vec<Found>,
}

/// A finding in the making.
#[derive(Debug)]
pub struct Found {
    module: ModuleId,
    span: Span,
    severity: Severity,
    confidence: Confidence,
    message: String,
    why: Option<String>,
    fix: Option<String>,
    related: Vec<(ModuleId, Span, String)>,
    /// Places in files that are no code, as a table's definition is.
    places: Vec<Related>,
    latent: bool,
    /// Whether it is only known to be reached behind a wrapper, which may have looked whose a thing is.
    wrapped: bool,
    /// Whether only the operator's own people come there, who are no tenant's.
    operators: bool,
    /// Whether only a tenant's own administrators, or the operator's, come there.
    admins: bool,
    /// Whether only those come there who have a position.
    staff: bool,
    /// Whether all who come there have the same key, and nothing else tells them apart.
    holders: bool,
    /// The handler through which callers come there.
    handler: Option<Fun>,
    /// Where it is and the function that runs it, where callers reach it.
    place: Option<(At, Fun)>,
    /// The severity that the rule has set itself.
    said: Option<Severity>,
    /// How bad it can be at most, whatever the rule says: less where it is known who comes there.
    most: Severity,
    /// Whether so many calls lie between that nobody can say what was looked at on the way.
    guessed: bool,
    /// The function that no way from the callers to was found, if so.
    unreached: Option<Fun>,
    /// Whether something on the way from the callers was not looked at: functions in between, or a guess of who is called.
    far: bool,
}

impl Found {
    /// Sets how bad it is; at first it is what the rule says.
    pub fn severity(&mut self, severity: Severity) -> &mut Self {
        self.said = Some(severity);
        self.severity = severity.min(self.most);
        self
    }

    /// Whether it is as bad as can be.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.severity == Severity::High
    }

    /// Sets how sure it is; at first it is high.
    pub fn confidence(&mut self, confidence: Confidence) -> &mut Self {
        self.confidence = confidence;
        self
    }

    /// Makes it one step less bad, and less sure.
    pub fn lower_by_one(&mut self) -> &mut Self {
        let to = if self.is_high() { Severity::Medium } else { Severity::Low };
        self.confidence = self.confidence.min(Confidence::Medium);
        self.severity(to)
    }

    /// Says that it is as bad however far from the callers it stands: nothing on the way could have helped.
    pub fn whatever_the_way(&mut self) -> &mut Self {
        self.far = false;
        self.guessed = false;
        self
    }

    /// Says more exactly than the rule why it matters.
    pub fn why(&mut self, why: impl Into<String>) -> &mut Self {
        self.why = Some(why.into());
        self
    }

    /// Says more exactly than the rule what mends it.
    pub fn fix(&mut self, fix: impl Into<String>) -> &mut Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds another place.
    pub fn related(&mut self, module: ModuleId, span: Span, message: impl Into<String>) -> &mut Self {
        self.related.push((module, span, message.into()));
        self
    }

    /// Adds another place that may stand in no code: the definition of a table.
    pub fn at_place(&mut self, place: &Place, message: impl Into<String>) -> &mut Self {
        self.places.push(Related { path: place.path.to_string(), line: place.line, message: message.into() });
        self
    }

    /// Says that it does not depend on there being several callers: it is not lowered for a server of one user.
    pub fn always(&mut self) -> &mut Self {
        self.latent = true;
        self
    }
}

impl<'p> Report<'p> {
    /// A report of one rule.
    #[must_use]
    pub fn new(project: &'p Project, rule: &'static Rule) -> Self {
        Self { project, rule, found: Vec::new() }
    }

    /// Adds a finding at a place.
    pub fn add(&mut self, module: ModuleId, span: Span, message: impl Into<String>) -> &mut Found {
        self.found.push(Found {
            module,
            span,
            severity: self.rule.severity,
            confidence: Confidence::High,
            message: message.into(),
            why: None,
            fix: None,
            related: Vec::new(),
            places: Vec::new(),
            latent: false,
            wrapped: false,
            operators: false,
            admins: false,
            staff: false,
            holders: false,
            handler: None,
            place: None,
            said: None,
            most: Severity::High,
            guessed: false,
            unreached: None,
            far: false,
        });
        let last = self.found.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was pushed one line above")]
        &mut self.found[last]
    }

    /// Adds a finding at an expression.
    pub fn at(&mut self, at: At, message: impl Into<String>) -> &mut Found {
        self.add(at.module, self.project.span(at), message)
    }

    /// Adds a finding at an expression, with the way that callers of the server come there. Without a way it is at most
    /// medium, and less sure.
    pub fn reached(&mut self, at: At, message: impl Into<String>) -> &mut Found {
        let fun = self.project.function_of(at);
        let project = self.project;
        let found = self.at(at, message);
        found.place = Some((at, fun));
        found.show_way(project, fun);
        found.past(project.admitted_before(at));
        found
    }

    /// Like [`Self::reached`], for what stands in one place and is run by a function that stands in another.
    pub fn reached_in(&mut self, at: At, fun: Fun, message: impl Into<String>) -> &mut Found {
        let project = self.project;
        let found = self.at(at, message);
        found.place = Some((at, fun));
        found.show_way(project, fun);
        if project.function_of(at) == fun {
            found.past(project.admitted_before(at));
        }
        found
    }

    /// Adds the way that callers of the server come to a function to the last finding.
    pub fn show_way_of_last(&mut self, fun: Fun) {
        let project = self.project;
        if let Some(found) = self.found.last_mut() {
            found.show_way(project, fun);
        }
    }

    /// Says of the last finding that it is as bad however far from the callers it stands.
    pub fn last_whatever_the_way(&mut self) {
        if let Some(found) = self.found.last_mut() {
            found.whatever_the_way();
        }
    }

    /// The findings, with severities lowered where one process has one user.
    #[must_use]
    pub fn finish(self) -> Vec<Finding> {
        let Self { project, rule, found } = self;
        let mut seen = std::collections::HashSet::new();
        let kept = found.into_iter().filter(|found| seen.insert((found.module, found.span)));
        kept.filter_map(|found| finding(project, rule, found)).collect()
    }
}

/// From how many calls between a caller and a place nobody can say any more what was looked at on the way: each is a guess of who is
/// called, and any of them may have refused.
const FAR: usize = 4;

impl Found {
    /// Makes it at most medium, and less sure.
    fn lower(&mut self) {
        self.severity = self.severity.min(Severity::Medium);
        self.confidence = self.confidence.min(Confidence::Medium);
    }

    /// Whether what is medium is a guess: far from the callers, or where only those come who rule a tenant, and who are let near what is
    /// the tenant's.
    fn is_guess(&self, rule: &str) -> bool {
        let far_away = self.guessed && sure::is_lowest_far_away(rule);
        let ruled = self.admins && self.said == Some(Severity::Medium) && sure::is_of_tenants(rule);
        far_away || ruled || (self.far && sure::is_on_the_way(rule))
    }

    /// Takes into account whom what was asked before lets come there.
    fn past(&mut self, admits: Admits) {
        match admits {
            Admits::Operators => self.operators = true,
            Admits::Admins => {
                self.admins = true;
                self.lower();
            }
            Admits::Staff => self.staff = true,
            Admits::Holders => self.holders = true,
            Admits::Anybody => {}
        }
    }

    fn show_way(&mut self, project: &Project, fun: Fun) {
        let reach = project.around(fun).into_iter().find_map(|fun| Some((fun, project.reach(fun)?)));
        let Some((fun, reach)) = reach else {
            self.lower();
            self.unreached = Some(fun);
            return;
        };
        if !reach.certain {
            self.confidence = self.confidence.min(Confidence::Medium);
        }
        self.far = sure::is_far(project, fun);
        if let Some(entry) = project.entries().get(reach.entry) {
            // No tenant calls it: what the operator's people, a timer or a signed event name is not a tenant's choice.
            // And what is public by its name is there for everybody.
            if project.is_operators(entry)
                || project.is_registered_for_operators(entry)
                || project.is_public(entry)
            {
                self.most = Severity::Medium;
                self.lower();
            }
            self.wrapped = project.is_wrapped(entry);
            self.handler = Some(entry.handler);
            self.past(project.admits(entry.handler));
            let span = project
                .unit(entry.handler.module)
                .and_then(|unit| Some(unit.ir.function(entry.handler.id)?.head));
            let message = format!("callers reach it through this {}", kind_name(&entry.kind));
            self.related(entry.handler.module, span.unwrap_or_default(), message);
        }
        if project.around(fun).into_iter().any(|around| project.is_given_to_operators(around)) {
            self.lower();
        }
        let way = project.way(fun);
        if way.len() > FAR {
            self.lower();
            self.guessed = true;
        }
        self.far = self.far || way.iter().any(|call| project.is_by_shape(*call));
        for call in &way {
            self.past(project.admitted_before(*call));
        }
        for (call, target) in project.steps(fun).into_iter().take(6) {
            if let Some(message) = step(project, call, target) {
                self.related(call.module, project.span(call), message);
            }
        }
    }
}

/// What a step of a way says; nothing where the function is made there, so that what it does is seen in the same place.
fn step(project: &Project, call: At, target: Fun) -> Option<String> {
    let unit = project.unit(call.module)?;
    if !matches!(unit.ir.expr(call.expr), ExprKind::Call(_)) {
        return None;
    }
    match project.callee(call) {
        Some(callee) if callee.targets.contains(&target) => Some(format!("which calls {}", callee.name())),
        _ => Some(format!("which hands {} on", project.function_name(target))),
    }
}

fn kind_name(kind: &str) -> &str {
    match kind {
        "http" => "HTTP handler",
        "event" => "event handler",
        other => other,
    }
}

/// How bad and how sure a finding is, by where it stands and who reaches it.
fn weighed(project: &Project, rule: &Rule, found: &Found, path: &str) -> (Severity, Confidence) {
    let mut severity = found.severity;
    let mut confidence = found.confidence;
    if !found.latent && project.tenancy_of(found.module) == Tenancy::Single {
        severity = Severity::Low;
        confidence = Confidence::Low;
    }
    if found.wrapped {
        confidence = confidence.min(Confidence::Medium);
    }
    let aside = is_aside(path);
    if severity > Severity::Low && left_behind::is_left_behind(project, found.module, found.span) {
        severity = Severity::Low;
        confidence = Confidence::Low;
    }
    if found.wrapped || aside {
        severity = severity.min(Severity::Medium);
    }
    // A program of its own, which somebody runs by hand.
    if aside && !found.latent && !project.serves(found.module) {
        severity = Severity::Low;
        confidence = Confidence::Low;
    }
    if found.staff && sure::is_of_tenants(rule.check.id) && !project.keeps_tenants() {
        severity = severity.min(Severity::Medium);
        confidence = confidence.min(Confidence::Medium);
    }
    if found.is_guess(rule.check.id) && !found.latent && severity == Severity::Medium {
        severity = Severity::Low;
        confidence = Confidence::Low;
    }
    // What nothing calls, or the operator and the server themselves do.
    if severity > Severity::Low
        && !found.latent
        && found.unreached.is_some_and(|fun| sure::is_only_if_reached(rule.check.id) || project.is_idle(fun))
    {
        severity = Severity::Low;
        confidence = Confidence::Low;
    }
    (severity, confidence)
}

fn finding(project: &Project, rule: &Rule, found: Found) -> Option<Finding> {
    if found.operators && sure::is_of_tenants(rule.check.id) {
        return None;
    }
    let unit = project.unit(found.module)?;
    let start = unit.ir.position(found.span.start);
    let end = unit.ir.position(found.span.end);
    let (mut severity, confidence) = weighed(project, rule, &found, &unit.ir.path);
    let mut why = found.why.unwrap_or_else(|| rule.why.to_owned());
    if severity == Severity::High
        && !found.latent
        && let Some(doubt) = sure::doubt(project, &rule.check, found.module, found.far)
            .or_else(|| sure::assumed(project, &rule.check, found.handler, found.holders))
            .or_else(|| found.place.and_then(|(at, fun)| touched::doubt(project, rule.check.id, at, fun)))
            .or_else(|| touched::doubt_of_file(project, rule.check.id, found.module))
    {
        severity = Severity::Medium;
        why.push_str(doubt);
    }
    let related = found.related.into_iter().filter_map(|(module, span, message)| {
        let unit = project.unit(module)?;
        Some(Related { path: unit.ir.path.clone(), line: unit.ir.position(span.start).line, message })
    });
    let text: String = unit.ir.snippet(found.span).split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().take(400).collect();
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    Some(Finding {
        rule: rule.check.id.to_owned(),
        layer: rule.check.layer,
        axis: rule.axis,
        severity,
        confidence,
        path: unit.ir.path.clone(),
        line: start.line,
        column: start.column,
        end_line: end.line.max(start.line),
        message: found.message,
        why,
        fix: found.fix.unwrap_or_else(|| rule.fix.to_owned()),
        related: related.chain(found.places).collect(),
        fingerprint: fingerprint(&[rule.check.id, &unit.ir.path, &text]),
        maps: Maps { cwe: list(rule.cwe), soc2: list(rule.soc2), owasp: list(rule.owasp) },
    })
}

/// Whether a file is no part of the server: an example, a script, a benchmark, what runs in a browser.
fn is_aside(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or("");
    let stands_in = vocabulary::words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "local" | "dev" | "stub" | "stubs" | "mock" | "mocks" | "fake" | "fakes" | "fixture" | "fixtures"
        )
    });
    stands_in
        // What an operator starts from a shell: docs.djangoproject.com/en/stable/howto/custom-management-commands.
        || path.contains("management/commands/")
        || path.split('/').any(|part| {
            matches!(
                part,
                "examples"
                    | "example"
                    | "scripts"
                    | "benchmarks"
                    | "bench"
                    | "demo"
                    | "demos"
                    | "samples"
                    | "docs"
                    | "migrations"
                    | "seeds"
                    | "browser_extension"
                    | "browser-extension"
                    | "chrome-extension"
                    | "cli"
            )
        })
}

/// Runs one rule.
#[must_use]
pub fn run(rule: &'static Rule, project: &Project) -> Vec<Finding> {
    let mut report = Report::new(project, rule);
    (rule.run)(project, &mut report);
    report.finish()
}
