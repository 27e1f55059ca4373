//! `partywall scan`, `rules` and `explain`: the scanner on the command line.

mod arguments;
mod formats;
mod mcp;
mod places;

use std::{fs, io::IsTerminal as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use partywall_model::{Document, Face, Page, Severity};
use partywall_report::{Report, Style};
use partywall_scanner::{Options, Progress, Scan, baseline::Baseline, files::Selection};

use arguments::Sure;
pub(crate) use arguments::{Explain, FailOn, Listing, RulesArguments, ScanArguments, layer};
pub(crate) use formats::{Output, Outputs, can_be_written, same};
use places::Places;

use crate::{args::Arguments, output};

/// The pages of everything that can find something, in the order of their ids.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages = partywall_scanner::pages();
    pages.extend(crate::check::own_pages());
    pages.extend(partywall_prober::pages());
    pages.sort_by_key(|page| page.check.id);
    pages
}

/// Runs `partywall scan`.
pub(crate) fn run(general: &Arguments, arguments: &ScanArguments) -> anyhow::Result<ExitCode> {
    if arguments.mcp {
        mcp::run(&arguments.paths, options(arguments))?;
        return Ok(ExitCode::SUCCESS);
    }
    let outputs = Outputs::new(&arguments.format, arguments.output.as_deref())?;
    let baseline = arguments.baseline.as_deref().map(read_baseline).transpose()?;
    for rule in &arguments.rule {
        is_rule_of_scan(rule)?;
    }
    let mut scan = partywall_scanner::scan(&options(arguments), &Bar::new(general))?;
    something_was_read(arguments, &scan.document)?;
    let gone = baseline.map_or(0, |baseline| without_known(&mut scan, &baseline, arguments));
    let pages = partywall_scanner::pages();
    let width = output::width().unwrap_or_else(|| Style::default().width);
    let style = Style { colour: output::colour(general), width, verbose: general.verbose > 0 };
    let Places { below, here } = Places::of(&arguments.paths);
    let report = Report {
        document: &scan.document,
        pages: &pages,
        sources: &scan.texts,
        style,
        below: &below,
        here: &here,
    };
    if let Some(path) = &arguments.write_baseline {
        write_baseline(path, &scan.document)?;
        if !arguments.format.is_empty() || arguments.output.is_some() {
            outputs.write(&report)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    outputs.write(&report)?;
    let strict = if arguments.strict { not_strict(&scan, gone) } else { None };
    if let Some(reason) = &strict {
        output::note(&format!("status 1, as --strict asks: {reason}"));
    }
    let failed = fails(&scan.document, arguments.fail_on) || strict.is_some();
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Why a run is not good enough for `--strict`, whatever it found.
fn not_strict(scan: &Scan, gone: usize) -> Option<String> {
    if scan.document.is_of_nothing() {
        Some("no program was read".to_owned())
    } else if gone > 0 {
        Some(format!(
            "{gone} of the baseline {} no longer found; write it anew with --write-baseline",
            are(gone)
        ))
    } else if scan.not_understood > 0 {
        Some(format!(
            "{} could not be read or understood; the report names them",
            counted(scan.not_understood, "file")
        ))
    } else {
        None
    }
}

/// That something was read of what was named. The current folder may well hold no source; a folder that was named was to hold some.
fn something_was_read(arguments: &ScanArguments, document: &Document) -> anyhow::Result<()> {
    let named = arguments.paths.iter().any(|path| path != Path::new("."));
    let first = document.skipped.first();
    let why = first.map_or_else(String::new, |skipped| format!(" ({}: {})", skipped.path, skipped.reason));
    anyhow::ensure!(
        !named || document.stats.files > 0,
        "nothing was read of {}{why}; name a folder or a file with source that Partywall reads",
        document.target
    );
    Ok(())
}

fn write_baseline(path: &Path, document: &Document) -> anyhow::Result<()> {
    anyhow::ensure!(
        !document.is_of_nothing() || !document.findings.is_empty(),
        "no program was read of {}, so there is nothing to list in {}; name the folder of its source",
        document.target,
        path.display()
    );
    write(path, &Baseline::of(&document.findings).write()?)?;
    output::note(&format!("wrote {} to {}", findings(document.findings.len()), path.display()));
    Ok(())
}

/// That the scanner has a rule.
fn is_rule_of_scan(id: &str) -> anyhow::Result<()> {
    let own = partywall_scanner::pages();
    if own.iter().any(|page| page.check.id == id) {
        return Ok(());
    }
    if crate::check::own_pages().iter().any(|page| page.check.id == id) {
        anyhow::bail!(
            "`{id}` is a rule of `partywall check`, which looks at configurations and databases; scan has no such rule"
        );
    }
    let near = nearest(id, &own).map_or_else(|| "; ".to_owned(), |near| format!("; did you mean `{near}`? "));
    anyhow::bail!("there is no rule `{id}`{near}`partywall rules` lists all")
}

/// How many there are of something.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn findings(count: usize) -> String {
    counted(count, "finding")
}

const fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn options(arguments: &ScanArguments) -> Options {
    let targets = if arguments.paths.is_empty() { vec![".".into()] } else { arguments.paths.clone() };
    let target = targets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
    Options {
        selection: Selection {
            targets,
            include_tests: arguments.include_tests,
            exclude: arguments.exclude.clone(),
        },
        target,
        tenancy: arguments.tenancy.into(),
        layers: arguments.layer.clone(),
        rules: arguments.rule.clone(),
        min_confidence: arguments.min_confidence.into(),
        libraries: arguments.library.clone(),
    }
}

/// Whether a document has a finding that is bad enough.
pub(crate) fn fails(document: &Document, fail_on: FailOn) -> bool {
    let least = match fail_on {
        FailOn::High => Severity::High,
        FailOn::Medium => Severity::Medium,
        FailOn::Low => Severity::Low,
        FailOn::Never => return false,
    };
    document.findings.iter().any(|finding| finding.severity >= least)
}

fn read_baseline(path: &Path) -> anyhow::Result<Baseline> {
    let text = fs::read_to_string(path).with_context(|| {
        format!("cannot read the baseline {}; write one with --write-baseline {0}", path.display())
    })?;
    Baseline::read(&text).with_context(|| path.display().to_string())
}

/// Takes the known findings out; how many of them are no longer found.
fn without_known(scan: &mut Scan, baseline: &Baseline, arguments: &ScanArguments) -> usize {
    let document = &mut scan.document;
    let pages = partywall_scanner::pages();
    // What was not asked for is not found, and still there.
    let asked = |rule: &str| {
        let layer = pages.iter().find(|page| page.check.id == rule).map(|page| page.check.layer);
        (arguments.rule.is_empty() || arguments.rule.iter().any(|asked| asked == rule))
            && (arguments.layer.is_empty() || layer.is_none_or(|layer| arguments.layer.contains(&layer)))
            && arguments.min_confidence == Sure::Low
    };
    let found = std::mem::take(&mut document.findings);
    let applied = baseline.apply(found, &scan.earlier, &asked);
    let (known, gone) = (applied.known.len(), applied.gone);
    document.notes.extend(applied.notes);
    document.notes.push(format!(
        "{} {} in the baseline and {} not count, so that the grade is one of what is new; {gone} of the baseline {} no longer found",
        findings(known),
        are(known),
        if known == 1 { "does" } else { "do" },
        are(gone)
    ));
    *document = document.clone().with_known(applied.new, applied.known);
    gone
}

/// Writes a file, with an error that names it.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A progress bar on a terminal, and nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new(general: &Arguments) -> Self {
        let shown = !general.quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn begins(&self, files: usize) {
        self.0.set_message("reading");
        self.0.set_length(files as u64);
    }

    fn read(&self) {
        self.0.inc(1);
    }

    fn thinks(&self) {
        self.0.finish_and_clear();
    }
}

/// Runs `partywall explain`.
pub(crate) fn explain(arguments: &Explain) -> anyhow::Result<()> {
    let pages = pages();
    // A technique is explained by the page of its probe.
    let probe = partywall_prober::probes().iter().find(|probe| probe.answers_to(&arguments.id));
    let id = probe.map_or(arguments.id.as_str(), |probe| probe.page.check.id);
    let Some(page) = pages.iter().find(|page| page.check.id == id) else {
        let near = nearest(&arguments.id, &pages);
        let hint = near.map_or_else(String::new, |id| format!("; did you mean `{id}`?"));
        anyhow::bail!(
            "there is no rule or probe `{}`{hint}; `partywall rules` and `partywall probes` list them",
            arguments.id
        );
    };
    if arguments.all { output::print(page.markdown) } else { output::print(page.brief().trim_end()) }
}

/// The id that is most like a word, if any is.
fn nearest<'a>(id: &str, pages: &'a [Page]) -> Option<&'a str> {
    let id = id.to_lowercase().replace(['_', ' '], "-");
    let alike = |page: &Page| strsim::jaro_winkler(&id, page.check.id);
    let nearest = pages.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(nearest) > 0.8).then_some(nearest.check.id)
}

/// The command whose rule it is.
fn command(page: &Page) -> &'static str {
    if crate::check::own_pages().iter().any(|own| own.check.id == page.check.id) { "check" } else { "scan" }
}

/// Runs `partywall rules`.
pub(crate) fn rules(arguments: &RulesArguments) -> anyhow::Result<()> {
    let asked = |page: &Page| arguments.layer.is_empty() || arguments.layer.contains(&page.check.layer);
    let pages: Vec<Page> =
        pages().into_iter().filter(|page| page.face == Face::Scan && asked(page)).collect();
    match arguments.format {
        Listing::Json => {
            let axes = partywall_scanner::rules::table();
            let rules = pages
                .iter()
                .map(|page| {
                    let mut rule = serde_json::to_value(page)?;
                    if let Some(map) = rule.as_object_mut() {
                        map.insert("command".to_owned(), command(page).into());
                        let axis = axes.iter().find(|(own, _)| own.check.id == page.check.id);
                        if let Some((_, axis)) = axis {
                            map.insert("axis".to_owned(), axis.name().into());
                        }
                    }
                    anyhow::Ok(rule)
                })
                .collect::<anyhow::Result<Vec<_>>>()?;
            output::print(&serde_json::to_string_pretty(&rules)?)
        }
        Listing::Text => {
            let width = pages.iter().map(|page| page.check.id.len()).max().unwrap_or(0);
            let lines: Vec<String> = pages
                .iter()
                .map(|page| {
                    let check = page.check;
                    format!(
                        "{:<width$}  {:<11}  {:<6}  {:<5}  {}",
                        check.id,
                        check.layer.name(),
                        page.severity.name(),
                        command(page),
                        check.summary
                    )
                })
                .collect();
            output::print(&lines.join("\n"))
        }
    }
}
