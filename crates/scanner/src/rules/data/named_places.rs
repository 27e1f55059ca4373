//! Files and objects of a store, each found by a name: which calls read, write, remove or list them, and by what.

use crate::{
    ir::{Call, ExprId, ExprKind, NameRef, PropertyKey, TemplatePart, walk},
    project::{At, ModuleId, Parent, Project, Unit},
};

/// What is done with a file or object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// It is read, or a link to it is given out.
    Read,
    /// It is written.
    Write,
    /// It is removed.
    Remove,
    /// All are listed.
    List,
}

/// A call that does something with a file or object.
#[derive(Debug)]
pub(super) struct Place {
    /// The call.
    pub at: At,
    /// What is done.
    pub verb: Verb,
    /// The path or key; none where all are listed.
    pub key: Option<At>,
    /// What is written, where it is seen.
    pub data: Option<At>,
    /// Among which ones: the bucket, or the folder that the path begins with.
    pub among: String,
    /// Whether it is a file of the machine.
    pub is_file: bool,
}

/// What a call does, as it is found: the verb, the key, what is written, and the bucket.
type Seen = (Verb, Option<ExprId>, Option<ExprId>, String);

const FILES: &[&str] =
    &["fs", "node:fs", "fs/promises", "node:fs/promises", "fs-extra", "graceful-fs", "bun", "deno"];

/// All such calls of a module.
pub(super) fn places(project: &Project, module: ModuleId, unit: &Unit) -> Vec<Place> {
    let mut found = Vec::new();
    for expr in &unit.index.calls {
        let at = At { module, expr: *expr };
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        if let Some((verb, key, data)) = file(project, unit, at, call) {
            let among = key.map(|key| begins(project, unit, at.to(key), 4)).unwrap_or_default();
            let (key, data) = (key.map(|key| at.to(key)), data.map(|data| at.to(data)));
            found.push(Place { at, verb, key, data, among, is_file: true });
        } else if let Some((verb, key, data, among)) = object(project, unit, at, call) {
            let (key, data) = (key.map(|key| at.to(key)), data.map(|data| at.to(data)));
            found.push(Place { at, verb, key, data, among, is_file: false });
        }
    }
    found
}

/// The name of what is called: as its package has it, whatever it is imported as.
fn name_of<'p>(project: &'p Project, at: At, call: &Call) -> Option<&'p str> {
    let imported = project.callee(at).filter(|callee| callee.package.is_some()).map(|callee| callee.name());
    imported.filter(|name| *name != "default").or_else(|| project.last_written(at.to(call.callee)))
}

/// What is done with a file of the machine.
fn file(
    project: &Project,
    unit: &Unit,
    at: At,
    call: &Call,
) -> Option<(Verb, Option<ExprId>, Option<ExprId>)> {
    let name = name_of(project, at, call)?;
    let first = project.first_written(at.to(call.callee));
    let package = project.callee(at).and_then(|callee| callee.package.as_deref());
    let path = call.positional(0)?;
    if !package.is_some_and(|package| FILES.contains(&package))
        && !matches!(first, Some("Bun" | "Deno" | "fs" | "fsp"))
    {
        // `res.sendFile(join(dir, name))`
        let sends =
            matches!(name, "sendFile" | "download") && matches!(first, Some("res" | "response" | "reply"));
        return sends.then_some((Verb::Read, Some(path), None));
    }
    let verb = match name {
        "readFile" | "readFileSync" | "createReadStream" | "readJson" | "readJSON" | "readJsonSync"
        | "readTextFile" | "file" => Verb::Read,
        "writeFile" | "writeFileSync" | "appendFile" | "appendFileSync" | "createWriteStream"
        | "outputFile" | "outputJson" | "writeJson" | "writeJSON" | "writeTextFile" | "write" => Verb::Write,
        "unlink" | "unlinkSync" | "rm" | "rmSync" | "remove" => Verb::Remove,
        "readdir" | "readdirSync" | "readDir" => Verb::List,
        _ => return None,
    };
    let handle = matches!(unit.ir.expr(path), ExprKind::Call(_)) && name == "write";
    (!handle).then_some((verb, Some(path), (verb == Verb::Write).then(|| call.positional(1)).flatten()))
}

/// What is done with an object of a store.
fn object(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<Seen> {
    let name = name_of(project, at, call)?;
    let verb = match name {
        "GetObjectCommand" | "HeadObjectCommand" | "getObject" | "headObject" => Verb::Read,
        "PutObjectCommand" | "putObject" | "upload" => Verb::Write,
        "DeleteObjectCommand" | "deleteObject" => Verb::Remove,
        "ListObjectsV2Command" | "ListObjectsCommand" | "listObjectsV2" | "listObjects" => Verb::List,
        _ => return of_library(project, unit, at, call, name).or_else(|| bound(project, at, call, name)),
    };
    let Some(ExprKind::Object(_)) = call.positional(0).map(|arg| unit.ir.expr(arg)) else {
        return of_library(project, unit, at, call, name);
    };
    let said = call.positional(0)?;
    let property = |name: &str| property(unit, said, name);
    let bucket = property("Bucket").map(|bucket| unit.ir.snippet(unit.ir.span(bucket)).to_owned())?;
    let key = property(if verb == Verb::List { "Prefix" } else { "Key" });
    (key.is_some() || verb == Verb::List).then(|| (verb, key, property("Body"), bucket))
}

fn property(unit: &Unit, of: ExprId, name: &str) -> Option<ExprId> {
    let ExprKind::Object(properties) = unit.ir.expr(of) else { return None };
    properties.iter().find_map(|own| match own.key {
        PropertyKey::Name(key) if unit.ir.text(key) == name => Some(own.value),
        _ => None,
    })
}

/// What is done with an object by a library that names it in its own way.
fn of_library(project: &Project, unit: &Unit, at: At, call: &Call, name: &str) -> Option<Seen> {
    let package = project.callee(at).and_then(|callee| callee.package.as_deref()).unwrap_or_default();
    let first = || call.positional(0);
    match (package, name) {
        ("@vercel/blob", "put") => Some((Verb::Write, first(), call.positional(1), "blob".to_owned())),
        ("@vercel/blob", "head" | "get") => Some((Verb::Read, first(), None, "blob".to_owned())),
        ("@vercel/blob", "del") => Some((Verb::Remove, first(), None, "blob".to_owned())),
        ("minio", "getObject" | "presignedGetObject" | "statObject") => {
            Some((Verb::Read, call.positional(1), None, text(unit, first()?)))
        }
        ("minio", "putObject") => {
            Some((Verb::Write, call.positional(1), call.positional(2), text(unit, first()?)))
        }
        ("minio", "removeObject") => Some((Verb::Remove, call.positional(1), None, text(unit, first()?))),
        // `bucket.file(name).download()`, `container.getBlockBlobClient(name).upload(…)`
        (_, "file")
            if package.starts_with("@google-cloud/storage") || package.starts_with("firebase-admin") =>
        {
            handle(unit, at, call)
        }
        (_, "getBlockBlobClient" | "getBlobClient") => handle(unit, at, call),
        _ => {
            // `db.storage.from("files").download(name)`
            let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
            let ExprKind::Call(from) = unit.ir.expr(*object) else { return None };
            let path = project.written(at.to(from.callee));
            let storage = matches!(path.as_slice(), [.., storage, from] if storage.as_str() == "storage" && from.as_str() == "from");
            let bucket = text(unit, from.positional(0).filter(|_| storage)?);
            match name {
                "download" | "createSignedUrl" => Some((Verb::Read, first(), None, bucket)),
                "upload" | "update" => Some((Verb::Write, first(), call.positional(1), bucket)),
                "remove" => Some((Verb::Remove, first(), None, bucket)),
                _ => None,
            }
        }
    }
}

fn text(unit: &Unit, expr: ExprId) -> String {
    unit.ir.snippet(unit.ir.span(expr)).to_owned()
}

/// What is done with the handle of an object that a call gives, at once or through a variable.
fn handle(unit: &Unit, at: At, call: &Call) -> Option<Seen> {
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    let method = |of: ExprId| match unit.index.parent(of) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Member { property, .. } => Some((up, unit.ir.text(*property))),
            _ => None,
        },
        _ => None,
    };
    let used = match unit.index.parent(at.expr) {
        Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
            crate::ir::StmtKind::Assign { target, .. } => {
                target.as_binding().and_then(|id| unit.index.uses(id).iter().find_map(|used| method(*used)))
            }
            _ => None,
        },
        _ => method(at.expr),
    };
    let (callee, name) = used?;
    let verb = match name {
        "download" | "downloadToBuffer" | "downloadToFile" | "createReadStream" | "getSignedUrl"
        | "generateSasUrl" => Verb::Read,
        "save" | "createWriteStream" | "upload" | "uploadData" | "uploadStream" => Verb::Write,
        "delete" | "deleteIfExists" => Verb::Remove,
        _ => return None,
    };
    let data = match unit.index.parent(callee) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Call(call) if verb == Verb::Write => call.positional(0),
            _ => None,
        },
        _ => None,
    };
    Some((verb, call.positional(0), data, text(unit, *object)))
}

/// What is done with a store that the platform binds: `env.NOTES.get(id)`.
fn bound(project: &Project, at: At, call: &Call, name: &str) -> Option<Seen> {
    let verb = match name {
        "get" | "getWithMetadata" | "head" => Verb::Read,
        "put" => Verb::Write,
        "delete" => Verb::Remove,
        _ => return None,
    };
    let path = project.written(at.to(call.callee));
    let [.., env, store, _] = path.as_slice() else { return None };
    let binding = env.as_str() == "env"
        && store.as_str().chars().all(|own| own.is_uppercase() || own == '_' || own.is_ascii_digit());
    let words = crate::vocabulary::words(store.as_str());
    // What is found by a code or token there is found by a secret; caches have a rule of their own.
    let aside = words.iter().any(|word| {
        matches!(
            word.as_str(),
            "cache"
                | "session"
                | "sessions"
                | "token"
                | "tokens"
                | "oauth"
                | "rate"
                | "limit"
                | "limits"
                | "auth"
                | "config"
                | "assets"
        )
    });
    (binding && !aside).then(|| (verb, call.positional(0), call.positional(1), store.as_str().to_owned()))
}

/// What a path begins with: the name of a folder, or what is written before the first value.
fn begins(project: &Project, unit: &Unit, at: At, steps: u32) -> String {
    let Some(steps) = steps.checked_sub(1) else { return String::new() };
    match unit.ir.expr(at.expr) {
        ExprKind::String(name) => unit.ir.text(*name).to_owned(),
        ExprKind::Template(parts) => match parts.first() {
            Some(TemplatePart::Text(name)) => unit.ir.text(*name).to_owned(),
            Some(TemplatePart::Value(value)) => begins(project, unit, at.to(*value), steps),
            None => String::new(),
        },
        ExprKind::Binary { left, .. } => begins(project, unit, at.to(*left), steps),
        ExprKind::Call(call) => match (name_of(project, at, call), call.positional(0)) {
            (Some("join" | "resolve" | "normalize" | "URL"), Some(first)) => {
                begins(project, unit, at.to(first), steps)
            }
            _ => String::new(),
        },
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            match unit.index.sources(*id) {
                [source] if source.path.is_empty() => begins(project, unit, at.to(source.value), steps),
                _ => String::new(),
            }
        }
        // A path that the request says whole is in no folder of the server's.
        ExprKind::Name(_) | ExprKind::Member { .. } if project.origins(at).is_chosen() || is_of_home(project, at, 3) => String::new(),
        ExprKind::Name(_) | ExprKind::Member { .. } => {
            project.last_written(at).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

/// Whether a folder is in the home of whoever runs the program, who is its only user: `join(homedir(), ".desk")`.
fn is_of_home(project: &Project, at: At, steps: u32) -> bool {
    let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(at.module)) else { return false };
    let text = project.snippet(at);
    let mut found = text.contains("env.HOME");
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr) {
            found |= matches!(name_of(project, at.to(expr), call), Some("homedir" | "getPath"));
        }
        if matches!(unit.ir.expr(expr), ExprKind::Call(_)) && !found {
            let targets = project.callee(at.to(expr)).filter(|callee| callee.certain).map_or(&[][..], |callee| &callee.targets);
            found = targets.iter().take(1).any(|target| {
                let returns = project.unit(target.module).map(|unit| unit.index.returns(target.id)).unwrap_or_default();
                returns.iter().take(4).any(|expr| is_of_home(project, At { module: target.module, expr: *expr }, steps))
            });
        }
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return };
        let (module, id) = project.declared(at.module, *id).unwrap_or((at.module, *id));
        let sources = project.unit(module).map(|unit| unit.index.sources(id)).unwrap_or_default();
        found = found || matches!(sources, [source] if is_of_home(project, At { module, expr: source.value }, steps));
    });
    found
}
