//! `partywall scan`, `rules` and `explain`: the scanner on the command line.

mod arguments;
mod formats;
mod mcp;

use std::{fs, io::IsTerminal as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use partywall_model::{Document, Face, Page, Severity};
use partywall_report::{Report, Style};
use partywall_scanner::{Options, Progress, Scan, baseline::Baseline};

pub(crate) use arguments::{Explain, FailOn, Listing, RulesArguments, ScanArguments, layer};
pub(crate) use formats::{Output, Outputs};

use crate::{args::Arguments, output};

/// The pages of everything that can find something, in the order of their ids.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages = partywall_scanner::pages();
    pages.extend(partywall_postgres::check::pages());
    pages.extend(partywall_prober::pages());
    pages.sort_by_key(|page| page.check.id);
    pages
}

/// Runs `partywall scan`.
pub(crate) fn run(general: &Arguments, arguments: &ScanArguments) -> anyhow::Result<ExitCode> {
    if arguments.mcp {
        mcp::run(&arguments.paths)?;
        return Ok(ExitCode::SUCCESS);
    }
    let outputs = Outputs::new(&arguments.format, arguments.output.as_deref())?;
    let baseline = arguments.baseline.as_deref().map(read_baseline).transpose()?;
    let mut scan = partywall_scanner::scan(&options(arguments), &Bar::new(general))?;
    if let Some(path) = &arguments.write_baseline {
        let list = Baseline::of(&scan.document.findings);
        write(path, &list.write()?)?;
        output::note(&format!("wrote {} findings to {}", scan.document.findings.len(), path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let gone = baseline.map_or(0, |baseline| without_known(&mut scan, &baseline));
    let pages = partywall_scanner::pages();
    let style = Style { colour: output::colour(general), verbose: general.verbose > 0, ..Style::default() };
    let report = Report { document: &scan.document, pages: &pages, sources: &scan.texts, style };
    outputs.write(&report)?;
    let failed = fails(&scan.document, arguments.fail_on)
        || (arguments.strict && (gone > 0 || scan.not_understood > 0));
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn options(arguments: &ScanArguments) -> Options {
    let targets = if arguments.paths.is_empty() { vec![".".into()] } else { arguments.paths.clone() };
    let target = targets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
    Options {
        selection: partywall_scanner::files::Selection { targets, include_tests: arguments.include_tests },
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
fn without_known(scan: &mut Scan, baseline: &Baseline) -> usize {
    let document = &mut scan.document;
    let (new, known, gone) = baseline.apply(std::mem::take(&mut document.findings));
    let layers: Vec<_> = partywall_model::Layer::ALL
        .into_iter()
        .filter(|layer| document.layers.contains_key(layer.name()))
        .collect();
    let assessed: Vec<_> = partywall_model::Axis::ALL
        .into_iter()
        .filter(|axis| document.axes.get(axis.name()).is_some_and(|score| score.score.is_some()))
        .collect();
    let mut notes = std::mem::take(&mut document.notes);
    notes.push(format!("{known} findings are in the baseline; {gone} of the baseline are no longer found"));
    *document = Document::new(
        &document.tool.version,
        std::mem::take(&mut document.target),
        &layers,
        new,
        std::mem::take(&mut document.skipped),
        document.stats.clone(),
    )
    .assessing(&assessed)
    .with_notes(notes);
    gone
}

/// Writes a file, with an error that names it.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}; does its folder exist?", path.display()))
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
    output::print(page.markdown)
}

/// The id that shares most of its words, if any.
fn nearest<'a>(id: &str, pages: &'a [Page]) -> Option<&'a str> {
    let words: Vec<&str> = id.split(['-', '_', ' ']).filter(|word| word.len() > 2).collect();
    let shared = |page: &&Page| words.iter().filter(|word| page.check.id.contains(**word)).count();
    pages.iter().max_by_key(shared).filter(|page| shared(page) > 0).map(|page| page.check.id)
}

/// Runs `partywall rules`.
pub(crate) fn rules(arguments: &RulesArguments) -> anyhow::Result<()> {
    let pages: Vec<Page> = pages().into_iter().filter(|page| page.face == Face::Scan).collect();
    match arguments.format {
        Listing::Json => output::print(&serde_json::to_string_pretty(&pages)?),
        Listing::Text => {
            let width = pages.iter().map(|page| page.check.id.len()).max().unwrap_or(0);
            let lines: Vec<String> = pages
                .iter()
                .map(|page| {
                    let check = page.check;
                    format!(
                        "{:<width$}  {:<11}  {:<6}  {}",
                        check.id,
                        check.layer.name(),
                        page.severity.name(),
                        check.summary
                    )
                })
                .collect();
            output::print(&lines.join("\n"))
        }
    }
}
