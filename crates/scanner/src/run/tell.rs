//! What a run tells: findings that were asked for and are not allowed, with the texts they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use partywall_model::{Allowed, Axis, Confidence, Document, Finding, Layer, Page, Severity, Stats};

use super::{Loaded, Options, pages};
use crate::{baseline, rules, suppress};

/// The layers that the run was to look at: those that were asked for, or those of the rules that were.
pub(super) fn layers(options: &Options) -> Vec<Layer> {
    let pages = pages();
    let of_rules = |layer: &Layer| {
        let asked = |page: &&Page| options.rules.iter().any(|rule| rule == page.check.id);
        options.rules.is_empty() || pages.iter().filter(asked).any(|page| page.check.layer == *layer)
    };
    let asked = |layer: &Layer| options.layers.is_empty() || options.layers.contains(layer);
    Layer::ALL.into_iter().filter(|layer| asked(layer) && of_rules(layer)).collect()
}

/// That the grade is not one of everything, if less was asked for.
pub(super) fn chosen(options: &Options) -> Option<String> {
    let mut left_out = Vec::new();
    if !options.layers.is_empty() {
        left_out.push("other layers");
    }
    if !options.rules.is_empty() {
        left_out.push("other rules");
    }
    if options.min_confidence > Confidence::Low {
        left_out.push("less sure findings");
    }
    (!left_out.is_empty())
        .then(|| format!("the grade says nothing of {}, which were not asked for", left_out.join(" and ")))
}

/// The document with the grades that this run can give: none where no program was read, and none of the whole where less was asked for.
pub(super) fn assessed(document: Document, options: &Options) -> Document {
    if document.stats.programs == 0 {
        return document.of_nothing();
    }
    let asked = |page: &Page| {
        (options.rules.is_empty() || options.rules.iter().any(|rule| rule == page.check.id))
            && (options.layers.is_empty() || options.layers.contains(&page.check.layer))
    };
    let mut axes: Vec<Axis> = Vec::new();
    let mut partly: Vec<Layer> = Vec::new();
    for (page, axis) in rules::table().into_iter().chain([(suppress::PAGE, Axis::Maintenance)]) {
        if asked(&page) {
            axes.push(axis);
        } else {
            partly.push(page.check.layer);
        }
    }
    if options.min_confidence > Confidence::Low {
        partly.extend(Layer::ALL);
    }
    let document = document.assessing(&[Axis::Maintenance]);
    if partly.is_empty() { document } else { document.narrowed(&axes, &partly) }
}

/// Where one party has the process for itself, nothing reaches another.
pub(super) fn lower(findings: &mut [Finding]) {
    for finding in findings {
        finding.severity = Severity::Low;
    }
}

/// What a run tells.
pub(super) struct Told {
    pub(super) findings: Vec<Finding>,
    pub(super) allowed: Vec<Allowed>,
    pub(super) texts: BTreeMap<String, String>,
    /// The fingerprints of the first kind, by those that findings have.
    pub(super) earlier: BTreeMap<String, String>,
}

/// Stamps findings, and leaves out those that were not asked for and those that the source allows; with the texts that they name.
pub(super) fn tell(
    options: &Options,
    loaded: &[Loaded],
    mut findings: Vec<Finding>,
    notes: &mut Vec<String>,
) -> Told {
    findings
        .sort_by(|a, b| (&a.path, a.line, &a.rule, &a.message).cmp(&(&b.path, b.line, &b.rule, &b.message)));
    let pages = pages();
    let known = |rule: &str| pages.iter().any(|page| page.check.id == rule);
    let asked = |rule: &str, layer: Layer| {
        (options.rules.is_empty() || options.rules.iter().any(|asked| asked == rule))
            && (options.layers.is_empty() || options.layers.contains(&layer))
    };
    let ran = |rule: &str| pages.iter().any(|page| page.check.id == rule && asked(rule, page.check.layer));
    let mut by_file: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        by_file.entry(finding.path.clone()).or_default().push(finding);
    }
    let mut left = Vec::new();
    let mut allowed = Vec::new();
    for file in loaded.iter().filter(|file| !file.suppressions.is_empty()) {
        let found = by_file.remove(&file.file.path).unwrap_or_default();
        let applied = suppress::apply(&file.file.path, &file.suppressions, found, &ran, &known);
        allowed.extend(applied.allowed);
        left.extend(applied.findings);
    }
    left.extend(by_file.into_values().flatten());
    let wanted = |finding: &Finding| {
        asked(&finding.rule, finding.layer) && finding.confidence >= options.min_confidence
    };
    left.retain(wanted);
    allowed.retain(|allowed| wanted(&allowed.finding));
    left.sort_by(|a, b| (&a.path, a.line, &a.rule, &a.message).cmp(&(&b.path, b.line, &b.rule, &b.message)));
    if !allowed.is_empty() {
        let are = if allowed.len() == 1 { "finding is" } else { "findings are" };
        notes.push(format!("{} {are} allowed by comments with a reason", allowed.len()));
    }
    let texts = texts(loaded, left.iter().chain(allowed.iter().map(|allowed| &allowed.finding)));
    let text = |path: &str| texts.get(path).map(String::as_str);
    let earlier = baseline::stamp(&mut left, &text);
    for allowed in &mut allowed {
        baseline::stamp(std::slice::from_mut(&mut allowed.finding), &text);
    }
    Told { findings: left, allowed, texts, earlier }
}

/// How many lines a text has.
pub(crate) fn lines(text: &str) -> usize {
    // In bits that fit a byte, which is counted several times as fast.
    let counts =
        text.as_bytes().chunks(255).map(|bit| bit.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>());
    let breaks: usize = counts.map(usize::from).sum();
    breaks + usize::from(!text.is_empty() && !text.ends_with('\n'))
}

pub(super) fn stats(loaded: &[Loaded], began: Instant) -> Stats {
    let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    Stats {
        files: count(loaded.len()),
        programs: count(loaded.iter().filter(|file| file.file.kind.is_source()).count()),
        lines: loaded.iter().map(|file| count(file.lines)).sum(),
        bytes: loaded.iter().map(|file| count(file.bytes)).sum(),
        relations: 0,
        seconds: began.elapsed().as_secs_f64(),
    }
}

/// The texts of the files that findings name.
fn texts<'a>(loaded: &[Loaded], findings: impl Iterator<Item = &'a Finding>) -> BTreeMap<String, String> {
    let named: BTreeSet<&str> = findings
        .flat_map(|finding| {
            std::iter::once(finding.path.as_str())
                .chain(finding.related.iter().map(|related| related.path.as_str()))
        })
        .collect();
    loaded
        .iter()
        .filter(|file| named.contains(file.file.path.as_str()))
        .filter_map(|file| Some((file.file.path.clone(), file.text.get()?.to_string())))
        .collect()
}
