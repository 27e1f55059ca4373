//! Folders in which requests leave users' files, and which the server gives to everybody: `app.use("/uploads", express.static("uploads"))`,
//! `app.mount("/outputs", StaticFiles(directory=OUT))`, beside routes that ask who calls.

use std::collections::BTreeMap;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{KeyPart, Lifetimes, parts_of_key},
    ir::{ArgKind, Call, ExprId, ExprKind, NameRef, PropertyKey, walk},
    project::{At, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "served-folder",
        layer: Layer::Data,
        summary: "A folder in which requests leave users' files is served to everybody.",
    },
    severity: Severity::Low,
    axis: Axis::Security,
    why: "The server's routes ask who calls, but the files that they leave are given to whoever knows or guesses a name: \
          of every user and tenant, also of one who was removed.",
    fix: "Serve the files by a route that asks whose they are, or by links that are signed and end.",
    cwe: &["CWE-552", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("served_folder.md"),
    run,
};

/// Calls that serve a folder.
const SERVES: &[&str] = &["static", "serveStatic", "StaticFiles", "fastifyStatic"];

/// Calls that write a file whose path is their first argument.
const WRITES: &[&str] = &[
    "writeFile",
    "writeFileSync",
    "createWriteStream",
    "appendFile",
    "outputFile",
    "open",
    "save",
    "imwrite",
    "savefig",
    "copyFile",
    "rename",
    "move",
    "to_csv",
];

/// Methods of a path that write the file there.
const ON_PATHS: &[&str] = &["write_bytes", "write_text", "open"];

/// Folders that are there for everybody by their name.
const PUBLIC: &[&str] = &["public", "static", "assets", "dist", "build", "www", "html", "avatars", "thumbnails"];

/// How many names a folder is followed through.
const STEPS: u32 = 5;

fn run(project: &Project, report: &mut Report<'_>) {
    let serves = project.calls_named(|name| SERVES.contains(&name));
    let mut served: BTreeMap<String, At> = BTreeMap::new();
    for (module, unit) in project.units() {
        for expr in serves.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(given) = served_by(unit, call) else { continue };
            let folder = folders(project, at.to(given), STEPS).pop().filter(|name| !PUBLIC.contains(&name.as_str()));
            if let Some(folder) = folder
                && project.knows_callers(module)
                && !is_guarded(unit, *expr)
            {
                served.entry(folder).or_insert(at);
            }
        }
    }
    if served.is_empty() {
        return;
    }
    let lives = Lifetimes::new(project);
    let writes = project.calls_named(|name| {
        WRITES.contains(&name) || ON_PATHS.contains(&name) || matches!(name, "multer" | "diskStorage")
    });
    for (module, unit) in project.units() {
        for expr in writes.among(module) {
            let at = At { module, expr: *expr };
            let taken = taken_into(unit, *expr);
            let written = || written(unit, *expr).filter(|_| lives.is_per_request(project.function_of(at)));
            let Some(path) = taken.or_else(written) else { continue };
            let among = folders(project, at.to(path), STEPS);
            // `uploads/avatars` is for everybody to see.
            let shown = among.last().is_some_and(|last| PUBLIC.contains(&last.as_str()));
            let Some(folder) = among.iter().find(|name| served.contains_key(*name)).filter(|_| !shown) else { continue };
            let Some(mount) = served.remove(folder) else { continue };
            report
                .at(mount, format!("`{folder}` is served to everybody, and requests leave their callers' files there"))
                .confidence(Confidence::Medium)
                .related(module, unit.ir.span(*expr), "a file is left there here");
        }
    }
}

/// Where a middleware leaves the files that requests bring: `multer({ dest: "uploads" })`, `diskStorage({ destination: (req, file, done) =>
/// done(null, "uploads") })`.
fn taken_into(unit: &Unit, expr: ExprId) -> Option<ExprId> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    let named = match unit.ir.expr(call.callee) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        _ => return None,
    };
    if !matches!(named, "multer" | "diskStorage") {
        return None;
    }
    let ExprKind::Object(properties) = unit.ir.expr(call.positional(0)?) else { return None };
    let value = properties.iter().find_map(|own| match own.key {
        PropertyKey::Name(name) if matches!(unit.ir.text(name), "dest" | "destination") => Some(own.value),
        _ => None,
    })?;
    let ExprKind::Function(id) = unit.ir.expr(value) else { return Some(value) };
    let mut given = None;
    walk::function_exprs(&unit.ir, *id, &mut |expr| {
        if let ExprKind::Call(done) = unit.ir.expr(expr)
            && done.positional(0).is_some_and(|first| matches!(unit.ir.expr(first), ExprKind::Null))
        {
            given = given.or(done.positional(1));
        }
    });
    given
}

/// The folder that a call serves, as it is written.
fn served_by(unit: &Unit, call: &Call) -> Option<ExprId> {
    let named = |name: &str| matches!(name, "directory" | "root");
    let of_object = |arg: ExprId| match unit.ir.expr(arg) {
        ExprKind::Object(properties) => properties.iter().find_map(|own| match own.key {
            PropertyKey::Name(name) if named(unit.ir.text(name)) => Some(own.value),
            _ => None,
        }),
        _ => None,
    };
    let keyword = call.args.iter().find_map(|arg| match arg.kind {
        ArgKind::Keyword(name) if named(unit.ir.text(name)) => Some(arg.value),
        _ => of_object(arg.value),
    });
    keyword.or_else(|| call.positional(0))
}

/// Whether something else than the path stands before what serves the folder: `app.use("/files", requireUser, express.static(…))`.
fn is_guarded(unit: &Unit, serving: ExprId) -> bool {
    let crate::project::Parent::Expr(up) = unit.index.parent(serving) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return false };
    call.args.iter().any(|arg| {
        arg.value != serving
            && matches!(arg.kind, ArgKind::Positional)
            && !matches!(unit.ir.expr(arg.value), ExprKind::String(_) | ExprKind::Template(_))
    })
}

/// The path of the file that a call writes.
fn written(unit: &Unit, expr: ExprId) -> Option<ExprId> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    let (object, name) = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, property, .. } => (Some(*object), unit.ir.text(*property)),
        ExprKind::Name(NameRef::Global(name)) => (None, unit.ir.text(*name)),
        ExprKind::Name(NameRef::Binding(id)) => (None, unit.ir.binding_name(*id)),
        _ => return None,
    };
    let mode = |number: usize| {
        call.positional(number).is_some_and(|mode| {
            matches!(unit.ir.expr(mode), ExprKind::String(text) if unit.ir.text(*text).starts_with(['w', 'a', 'x']))
        })
    };
    match (object, name) {
        (Some(path), "write_bytes" | "write_text") => Some(path),
        (_, "open") if mode(1) => call.positional(0),
        (Some(path), "open") if mode(0) => Some(path),
        (_, "open") => None,
        // `fs.rename(from, to)`
        (_, "copyFile" | "rename" | "move") => call.positional(1),
        (_, name) if WRITES.contains(&name) => call.positional(0),
        _ => None,
    }
}

/// The folders of a path that are the same for all: `data` and `uploads` of `path.join(__dirname, "data/uploads", name)`.
fn folders(project: &Project, at: At, steps: u32) -> Vec<String> {
    let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(at.module)) else { return Vec::new() };
    let (_, parts) = parts_of_key(unit, at);
    let [KeyPart::Value(only)] = parts.as_slice() else { return first_folders(project, unit, &parts, steps) };
    match unit.ir.expr(only.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let (home, id) = project.declared(only.module, *id).unwrap_or((only.module, *id));
            match project.unit(home).map(|unit| unit.index.sources(id)) {
                Some([source]) if source.path.is_empty() => {
                    folders(project, At { module: home, expr: source.value }, steps)
                }
                _ => Vec::new(),
            }
        }
        // `process.env.UPLOADS || "uploads"`
        ExprKind::Logical { right, .. } => folders(project, only.to(*right), steps),
        ExprKind::Conditional { otherwise, .. } => folders(project, only.to(*otherwise), steps),
        // `Path("outputs")`, `path.resolve(__dirname, "uploads")`, `str(OUT)`
        ExprKind::Call(call) => {
            let name = project.last_written(only.to(call.callee)).unwrap_or_default();
            if !matches!(name, "Path" | "resolve" | "str" | "abspath" | "absolute" | "String" | "normalize") {
                return Vec::new();
            }
            let of_object = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } if call.args.is_empty() => Some(*object),
                _ => None,
            };
            let told = of_object.into_iter().chain(call.args.iter().map(|arg| arg.value));
            told.flat_map(|arg| folders(project, only.to(arg), steps)).collect()
        }
        // `settings.upload_dir`
        ExprKind::Member { property, .. } => {
            let name = unit.ir.text(*property);
            let words = vocabulary::words(name);
            let place = words.last().is_some_and(|word| {
                matches!(word.as_str(), "dir" | "directory" | "folder" | "path" | "root")
            });
            place.then(|| words.join("_")).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The folders among the parts of a path before the first that is not the same for all.
fn first_folders(project: &Project, unit: &Unit, parts: &[KeyPart], steps: u32) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for part in parts {
        match part {
            // `f"{name}.png"` has the end of a name.
            KeyPart::Text(text) => found.extend(
                text.split(['/', '\\']).filter(|own| !own.is_empty() && !own.contains('.')).map(str::to_owned),
            ),
            KeyPart::Value(value) => {
                let own = folders(project, *value, steps);
                let root = matches!(unit.ir.expr(value.expr), ExprKind::Name(NameRef::Global(_)));
                // `__dirname` says nothing; what a request names ends it.
                if own.is_empty() && !root {
                    break;
                }
                found.extend(own);
            }
        }
    }
    found
}
