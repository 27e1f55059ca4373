//! One run: files in, a document out.

mod tell;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use partywall_model::{Confidence, Document, Finding, Layer, Page, Skipped};
use rayon::prelude::*;

pub(crate) use self::tell::lines;
use self::tell::{assessed, chosen, layers, lower, stats, tell};
use crate::{
    files::{self, FilesError, Kind, Seen, Selection, SourceFile},
    ir::Again,
    lang::{
        self, Lowered,
        manifest::{self, Dependency},
        prisma,
        sql::{self, Changes},
    },
    library::{Libraries, LibraryError},
    project::{Input, Project},
    rules::{
        self,
        data::rls,
        routing::{shared_process, vulnerable_sdk},
    },
    suppress::{self, Suppression},
    tables::{self, Place, Replay, Schema, Source, orm},
    tenancy,
    vocabulary::own,
};

/// The stack of the threads that read files: parsers call themselves for nested source.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Whether several parties use one process of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tenancy {
    /// One: what its process holds is its own.
    Single,
    /// Several.
    Multi,
    /// It is told from the source: a server that speaks on standard input only is for one.
    #[default]
    Auto,
}

/// What to look at, and what to tell.
#[derive(Debug, Clone)]
pub struct Options {
    /// The files.
    pub selection: Selection,
    /// How the document names what was looked at.
    pub target: String,
    /// Whether several parties use one process.
    pub tenancy: Tenancy,
    /// Only findings of these layers; all when there is none.
    pub layers: Vec<Layer>,
    /// Only findings of these rules; all when there is none.
    pub rules: Vec<String>,
    /// Only findings that are at least this sure.
    pub min_confidence: Confidence,
    /// Files that say what libraries do, besides those that are built in.
    pub libraries: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selection: Selection { targets: vec![PathBuf::from(".")], ..Selection::default() },
            target: ".".to_owned(),
            tenancy: Tenancy::Auto,
            layers: Vec::new(),
            rules: Vec::new(),
            min_confidence: Confidence::Low,
            libraries: Vec::new(),
        }
    }
}

/// Hears how far a run is.
pub trait Progress: Sync {
    /// So many files will be read.
    fn begins(&self, files: usize);
    /// One more was read.
    fn read(&self);
    /// All were read; what follows takes no files.
    fn thinks(&self);
}

/// Nobody hears it.
impl Progress for () {
    fn begins(&self, _files: usize) {}
    fn read(&self) {}
    fn thinks(&self) {}
}

/// What a run found.
#[derive(Debug)]
pub struct Scan {
    /// The document.
    pub document: Document,
    /// The texts of the files that findings speak of, by their paths in findings.
    pub texts: BTreeMap<String, String>,
    /// How many files could not be read or understood, in whole or in part.
    pub not_understood: usize,
    /// The fingerprints that findings had in baselines of the first kind, by those that they have.
    pub earlier: BTreeMap<String, String>,
}

/// A run that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A target cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file that was named cannot be looked into.
    #[error("cannot scan {path}: it {reason}; name a folder or a source file that can be read")]
    NotRead {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A library file cannot be read.
    #[error("cannot read the library file {path}: {error}")]
    LibraryFile {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A library file is not right.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// There is no such rule.
    #[error("there is no rule `{0}`; partywall rules lists them")]
    UnknownRule(String),
    /// The system gives no threads.
    #[error("cannot start the threads that read files: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// The pages of every rule.
#[must_use]
pub fn pages() -> Vec<Page> {
    let mut pages: Vec<Page> = rules::table().into_iter().map(|(page, _)| page).collect();
    pages.push(suppress::PAGE);
    pages
}

/// What was read of one file.
enum Read {
    Code(Box<Lowered>),
    /// Code that runs in a browser: nothing is kept of it.
    Browser,
    Sql(Changes),
    Prisma(Vec<prisma::Model>),
    Manifest(Vec<Dependency>),
    Other,
}

/// The text of a file: one of code is read again when it is needed.
enum Text {
    Kept(Arc<str>),
    Seen(Arc<Seen>),
}

impl Text {
    fn get(&self) -> Option<Arc<str>> {
        match self {
            Self::Kept(text) => Some(Arc::clone(text)),
            Self::Seen(seen) => seen.read(),
        }
    }
}

/// A file that was read.
struct Loaded {
    file: Arc<SourceFile>,
    text: Text,
    lines: usize,
    bytes: usize,
    suppressions: Vec<Suppression>,
    read: Read,
    notices: Vec<Skipped>,
}

/// Looks at a project.
///
/// # Errors
/// When a target cannot be read or a rule is not known. Whatever is wrong with a file is in the document.
pub fn scan(options: &Options, progress: &dyn Progress) -> Result<Scan, ScanError> {
    let began = Instant::now();
    if let Some(unknown) =
        options.rules.iter().find(|rule| !pages().iter().any(|page| page.check.id == **rule))
    {
        return Err(ScanError::UnknownRule(unknown.clone()));
    }
    let libraries = libraries(options)?;
    let listing = files::list(&options.selection)?;
    let pool = rayon::ThreadPoolBuilder::new().stack_size(STACK_BYTES).build()?;
    let named: Vec<String> = options.selection.named_files();
    pool.install(|| {
        progress.begins(listing.files.len());
        let read: Vec<Result<Loaded, Skipped>> = listing
            .files
            .into_par_iter()
            .map(|file| {
                let loaded = load_safely(file);
                progress.read();
                loaded
            })
            .collect();
        progress.thinks();
        let mut notices = read.iter().filter_map(|read| read.as_ref().err()).chain(&listing.skipped);
        if let Some(notice) = notices.find(|notice| {
            named.contains(&notice.path) && UNREAD.iter().any(|reason| notice.reason.starts_with(reason))
        }) {
            return Err(ScanError::NotRead { path: notice.path.clone(), reason: notice.reason.clone() });
        }
        Ok(finish(options, libraries, read, (listing.skipped, listing.notes), began))
    })
}

/// What is known of libraries: what is built in, and what the user knows besides.
fn libraries(options: &Options) -> Result<Libraries, ScanError> {
    let mut libraries = Libraries::built_in()?;
    for path in &options.libraries {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScanError::LibraryFile { path: name.clone(), error })?;
        libraries.add(&name, &text)?;
    }
    Ok(libraries)
}

/// Reads a file of any kind. A defect of a front end costs one file and not the run.
fn load_safely(file: SourceFile) -> Result<Loaded, Skipped> {
    let path = file.path.clone();
    survive(|| load(file)).unwrap_or_else(|| {
        Err(Skipped { path, reason: format!("{DEFECT}; please report it with this file") })
    })
}

/// How notices begin of files that nobody could look into.
const UNREAD: [&str; 4] = ["cannot be read", "is no UTF-8", "is larger than", DEFECT];

/// How the notice of a defect of ours begins.
const DEFECT: &str = "was not understood: a defect in Partywall";

/// What a part of the run gives, or nothing when it panicked. What it may have left half done is given up by the caller.
fn survive<T>(part: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(part)).ok()
}

/// Runs one rule; a defect of it costs its findings, which a notice says, and not those of the others.
fn judge(
    name: &str,
    target: &str,
    skipped: &mut Vec<Skipped>,
    rule: impl FnOnce() -> Vec<Finding>,
) -> Vec<Finding> {
    survive(rule).unwrap_or_else(|| {
        skipped.push(Skipped {
            path: target.to_owned(),
            reason: format!(
                "{DEFECT}: the rule {name} stopped, so its findings are missing; please report it"
            ),
        });
        Vec::new()
    })
}

fn load(file: SourceFile) -> Result<Loaded, Skipped> {
    let file = Arc::new(file);
    let text: Arc<str> = Arc::from(file.read()?);
    let suppressions = suppress::find(&text);
    let mut notices = Vec::new();
    let mut seen = None;
    let read = match file.kind {
        Kind::JavaScript | Kind::TypeScript | Kind::Python => {
            match lang::lower(&file.path, Arc::clone(&text)) {
                Some(lowered) if lowered.in_browser => {
                    seen = Some(Arc::new(Seen::new(Arc::clone(&file), &text)));
                    Read::Browser
                }
                Some(mut lowered) => {
                    seen = Some(Arc::new(Seen::new(Arc::clone(&file), &text)));
                    notices.extend(lowered.notices.iter().map(|notice| Skipped {
                        path: notice.path.clone(),
                        reason: format!("was not understood at line {}: {}", notice.line, notice.message),
                    }));
                    if let Some(seen) = &seen {
                        lowered.module.source.give_up(Arc::<Seen>::clone(seen));
                    }
                    Read::Code(Box::new(lowered))
                }
                None => Read::Other,
            }
        }
        Kind::Sql if tables::is_way_back(&file.path) => Read::Other,
        Kind::Sql => {
            let changes = sql::changes(&text);
            notices.extend(changes.unread.iter().map(|line| Skipped {
                path: file.path.clone(),
                reason: format!("was not understood at line {line}: no SQL that Partywall knows"),
            }));
            Read::Sql(changes)
        }
        Kind::Prisma => Read::Prisma(prisma::models(&text)),
        Kind::Manifest => match manifest::read(&file.path, &text) {
            Ok(dependencies) => Read::Manifest(dependencies),
            Err(reason) => {
                notices.push(Skipped {
                    path: file.path.clone(),
                    reason: format!("was not understood: {reason}"),
                });
                Read::Other
            }
        },
        Kind::Settings | Kind::Launch => Read::Other,
    };
    let (lines, bytes) = (lines(&text), text.len());
    let text = seen.map_or(Text::Kept(text), Text::Seen);
    Ok(Loaded { file, text, lines, bytes, suppressions, read, notices })
}

/// The schema of all migrations and models, in the order of migrations, and the project's own words for tenants, which hold as long
/// as they are kept.
fn schema(loaded: &[Loaded]) -> (Schema, own::Words) {
    let mut sql: Vec<(&str, &Changes)> = loaded
        .iter()
        .filter_map(|file| match &file.read {
            Read::Sql(changes) => Some((file.file.path.as_str(), changes)),
            _ => None,
        })
        .collect();
    sql.sort_by(|a, b| tables::compare(a.0, b.0));
    let mut replay = Replay::default();
    for (path, changes) in sql {
        replay.apply(path, changes);
    }
    let mut code: Vec<&Loaded> = loaded.iter().collect();
    code.sort_by(|a, b| tables::compare(&a.file.path, &b.file.path));
    let mut models = Vec::new();
    for file in code {
        let path: Arc<str> = Arc::from(file.file.path.as_str());
        match &file.read {
            Read::Prisma(prisma) => models.extend(prisma.iter().flat_map(|model| of_prisma(model, &path))),
            Read::Code(lowered) => {
                let module = &lowered.module;
                let changes = Changes { changes: orm::changes(module), unread: Vec::new() };
                replay.apply(&file.file.path, &changes);
                if orm::speaks_to_sqlite(module) {
                    replay.without_roles(&changes);
                }
                models.extend(orm::models(module).into_iter().map(|model| {
                    let at = module.position(model.at);
                    (
                        model,
                        Place { path: Arc::clone(&path), line: at.line, column: at.column },
                        Source::Model,
                    )
                }));
            }
            _ => {}
        }
    }
    replay.models(models);
    let modules = loaded.iter().filter_map(|file| match &file.read {
        Read::Code(lowered) => Some(&lowered.module),
        _ => None,
    });
    let names = || modules.clone().flat_map(crate::ir::Module::texts);
    let words = own::take(replay.words(names()), replay.keeps_customers(names()));
    (replay.finish(), words)
}

/// A model of Prisma, by its own name and by that of its delegate: `prisma.document` of the model `Document`.
pub(crate) fn of_prisma(model: &prisma::Model, path: &Arc<str>) -> Vec<(orm::Model, Place, Source)> {
    let mut letters = model.name.chars();
    let delegate: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    [model.name.clone(), delegate]
        .into_iter()
        .map(|code| {
            let place = Place { path: Arc::clone(path), line: model.line, column: 1 };
            let table = model.table.clone();
            let model = orm::Model { code, table, columns: model.columns.clone(), at: 0, secured: false };
            (model, place, Source::Prisma)
        })
        .collect()
}

fn finish(
    options: &Options,
    libraries: Libraries,
    read: Vec<Result<Loaded, Skipped>>,
    (mut skipped, mut notes): (Vec<Skipped>, Vec<String>),
    began: Instant,
) -> Scan {
    let mut loaded = Vec::with_capacity(read.len());
    let mut not_understood = 0;
    for file in read {
        match file {
            Ok(file) => loaded.push(file),
            Err(notice) => skipped.push(notice),
        }
    }
    for file in &mut loaded {
        not_understood += usize::from(!file.notices.is_empty());
        skipped.append(&mut file.notices);
    }
    let (schema, _words) = schema(&loaded);
    let mut findings = judge("rls", &options.target, &mut skipped, || rls::check(&schema));
    let dependencies: Vec<(String, Vec<Dependency>)> = loaded
        .iter_mut()
        .filter_map(|file| match &mut file.read {
            Read::Manifest(dependencies) => Some((file.file.path.clone(), std::mem::take(dependencies))),
            _ => None,
        })
        .collect();
    let check = || vulnerable_sdk::check(&dependencies);
    findings.extend(judge("vulnerable-sdk", &options.target, &mut skipped, check));
    let check = || shared_process::check(&launches(&loaded));
    findings.extend(judge("shared-process", &options.target, &mut skipped, check));
    notes.extend(for_browsers(&loaded));
    let mut project = project(options, libraries, &mut loaded, schema);
    for rule in rules::all() {
        let found = judge(rule.check.id, &options.target, &mut skipped, || rules::run(rule, &project));
        findings.extend(found);
        project.forget_open();
        project.forget_texts();
    }
    not_understood += skipped
        .iter()
        .filter(|skipped| UNREAD.iter().any(|reason| skipped.reason.starts_with(reason)))
        .count();
    notes.extend(project.packages.iter().map(|(folder, package)| {
        let place = if folder.is_empty() { "." } else { folder };
        format!("tenancy of {place}: {}, because {}", package.tenancy, package.reason)
    }));
    if options.tenancy == Tenancy::Single {
        lower(&mut findings);
        notes.push("tenancy: single, as asked; every finding is low".to_owned());
    }
    // What is told from here on needs the files only, and copies some.
    drop(project);
    let told = tell(options, &loaded, findings, &mut notes);
    skipped.extend(changed(&loaded));
    let stats = stats(&loaded, began);
    skipped.sort_by(|a, b| (&a.path, &a.reason).cmp(&(&b.path, &b.reason)));
    notes.extend(chosen(options));
    let document = Document::new(
        env!("CARGO_PKG_VERSION"),
        options.target.clone(),
        &layers(options),
        told.findings,
        skipped,
        stats,
    );
    let document = assessed(document, options).with_notes(notes).with_allowed(told.allowed);
    Scan { document, texts: told.texts, not_understood, earlier: told.earlier }
}

/// The files that were changed while they were looked at.
fn changed(loaded: &[Loaded]) -> impl Iterator<Item = Skipped> {
    let has_changed = |file: &&Loaded| matches!(&file.text, Text::Seen(seen) if seen.has_changed());
    loaded.iter().filter(has_changed).map(|file| Skipped {
        path: file.file.path.clone(),
        reason: "was changed while it was looked at: what is said of it may be wrong; scan it again"
            .to_owned(),
    })
}

/// The note of files that were only parsed, if there are any.
fn for_browsers(loaded: &[Loaded]) -> Option<String> {
    let count = loaded.iter().filter(|file| matches!(file.read, Read::Browser)).count();
    (count > 0).then(|| {
        let files = if count == 1 { "file runs" } else { "files run" };
        format!("{count} {files} in browsers (\"use client\" or React's hooks), for one person each: not looked into")
    })
}

/// The files that say how programs are started.
fn launches(loaded: &[Loaded]) -> Vec<(&str, &str)> {
    fn text(file: &Loaded) -> Option<(&str, &str)> {
        match &file.text {
            Text::Kept(text) => Some((file.file.path.as_str(), &**text)),
            Text::Seen(_) => None,
        }
    }
    let starts = |file: &&Loaded| {
        file.file.kind == Kind::Launch || file.file.path.rsplit('/').next() == Some("package.json")
    };
    loaded.iter().filter(starts).filter_map(text).collect()
}

/// Joins the code that was read.
fn project(options: &Options, libraries: Libraries, loaded: &mut [Loaded], tables: Schema) -> Project {
    let mut input = Input {
        tables,
        tenancy: match options.tenancy {
            Tenancy::Single => Some(tenancy::Tenancy::Single),
            Tenancy::Multi => Some(tenancy::Tenancy::Multi),
            Tenancy::Auto => None,
        },
        libraries,
        ..Input::default()
    };
    for file in loaded {
        match std::mem::replace(&mut file.read, Read::Other) {
            Read::Code(lowered) => input.modules.push(lowered.module),
            other => file.read = other,
        }
        if let (Kind::Manifest | Kind::Settings, Text::Kept(text)) = (file.file.kind, &file.text) {
            input.manifests.push((file.file.path.clone(), text.to_string()));
        }
    }
    Project::new(input)
}

#[cfg(test)]
mod tests;
