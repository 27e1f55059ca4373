//! Whether one process serves several tenants, package by package, and the reason for saying so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    flow::is_within,
    ir::{ArgKind, ExprId, ExprKind, Kinds, PropertyKey},
    library::Role,
    project::{At, ModuleId, Parent, Project, Unit},
    tables::{Level, Table},
    vocabulary,
};

/// What a part of the tree shows: where it serves HTTP, where it speaks over standard input, its words for parties.
type Seen = (Option<String>, Option<String>, BTreeSet<String>, bool);

/// Whether several tenants meet in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// One process, one user: standard input and output only.
    Single,
    /// Several callers in one process.
    Multi,
    /// Nothing says either.
    Unknown,
}

impl fmt::Display for Tenancy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Single => "one party a process",
            Self::Multi => "several parties in one process",
            Self::Unknown => "not known",
        })
    }
}

/// What is known of a package: a folder with a manifest.
#[derive(Debug, Clone)]
pub struct Package {
    /// Whether several tenants meet.
    pub tenancy: Tenancy,
    /// Why that is said.
    pub reason: String,
    /// How many different names in its code mean tenants, users or callers; no more than [`ENOUGH`] are looked for.
    pub owners: usize,
    /// Whether it has an SDK of MCP verify the tokens of its callers, whoever asks afterwards whose they are.
    pub verifies: bool,
}

/// So many names say that a package speaks of tenants, users or callers.
pub const ENOUGH: usize = 3;

/// Texts that only code that answers HTTP has.
const HTTP: &[&str] = &[
    "StreamableHTTP",
    "SSEServerTransport",
    "streamable_http",
    "streamable-http",
    "streamableHttp",
    "http_app(",
    "sse_app(",
    "createMcpHandler",
    "McpAgent",
    "FastAPI(",
    "APIRouter(",
    "express()",
    "new Hono",
    "fastify(",
    "createServer(",
    "SseServerTransport",
    "Flask(",
    "Starlette(",
    "httpStream",
    "uvicorn",
    "NextRequest",
    "@Controller(",
    "Deno.serve",
    "Bun.serve",
    "use server",
];

/// Texts of a server that speaks over standard input and output.
const STDIO: &[&str] = &["StdioServerTransport", "stdio_server", "mcp.run()", ".run(transport=\"stdio\""];

/// Texts of files that name that transport: of a server, or of one that they start themselves.
const STDIO_NAMED: &[&str] = &["'stdio'", "\"stdio\""];

/// The texts that files are asked for here.
pub(crate) const ASKED: [&[&str]; 5] = [HTTP, STDIO, STDIO_NAMED, CALLERS, VERIFIES];

/// Whether a file's text has one of those.
fn speaks_on_stdio(unit: &Unit) -> bool {
    STDIO.iter().any(|own| unit.ir.source.mentions(own)) || names_own_stdio(unit)
}

/// Whether a file names standard input as its own transport. `{ transport: "stdio", command: "npx" }` is how to start another server.
fn names_own_stdio(unit: &Unit) -> bool {
    STDIO_NAMED.iter().any(|text| unit.ir.source.mentions(text))
        && unit.ir.exprs_of(Kinds::TEXT).any(|(expr, kind)| {
            let ExprKind::String(text) = kind else { return false };
            unit.ir.text(*text) == "stdio" && !tells_how_to_start(unit, expr)
        })
}

/// Whether a value stands in a record that has a program's name and arguments, or the address of a server, beside it.
fn tells_how_to_start(unit: &Unit, expr: ExprId) -> bool {
    let Parent::Expr(up) = unit.index.parent(expr) else { return false };
    match unit.ir.expr(up) {
        ExprKind::Object(properties) => properties.iter().any(|property| {
            matches!(property.key, PropertyKey::Name(name) if matches!(unit.ir.text(name), "command" | "args" | "cwd"))
        }),
        ExprKind::Call(call) => call.args.iter().any(|arg| {
            matches!(arg.kind, ArgKind::Keyword(name) if matches!(unit.ir.text(name), "command" | "args"))
        }),
        _ => false,
    }
}

/// Texts of code that asks who calls, in the words of the SDKs: its callers are several, whatever it names them.
const CALLERS: &[&str] = &[
    "get_access_token(",
    "get_http_headers(",
    "get_http_request(",
    "request_context.request.headers",
    "extra.authInfo",
    "TokenVerifier",
    "requireBearerAuth",
    "verifyAccessToken",
    "get_current_user",
    "BearerAuthProvider",
    "JWTVerifier",
    "withMcpAuth",
    "req.auth",
    "request.user",
    "current_user",
    "g.user",
    "session.user",
    "getServerSession",
    "await auth()",
    "authenticate:",
    "this.props",
    "OAuthProvider(",
    "authInfo?.",
    "protectedProcedure",
    "new AsyncLocalStorage",
    "getCurrentUser(",
    "getAuthSession(",
    "login_required",
    "LoginRequiredMixin",
    "HTTPBearer",
    "jwtVerify(",
];

/// Texts of code that has an SDK of MCP verify tokens, of which each caller has its own. Sources: modelcontextprotocol/typescript-sdk,
/// docs/server.md; modelcontextprotocol/python-sdk, README, "Authentication"; gofastmcp.com/servers/auth; npm mcp-handler, mcp-framework,
/// xmcp, mcp-use.
const VERIFIES: &[&str] = &[
    "requireBearerAuth(",
    "withMcpAuth(",
    "token_verifier=",
    "JWTVerifier(",
    "BearerAuthProvider(",
    "RemoteAuthProvider(",
    "OAuthProxy(",
    "new OAuthProvider(",
    "fastmcp.server.auth",
    "JWTAuthProvider",
    "OAuthAuthProvider",
    "jwtAuthMiddleware",
    "oauthAuth0Provider",
];

/// Finds the packages and what they are.
pub(crate) fn find_packages(project: &Project, manifests: &[(String, String)]) -> BTreeMap<String, Package> {
    let roots = manifests.iter().filter(|(path, _)| {
        let name = path.rsplit('/').next().unwrap_or("");
        matches!(name, "package.json" | "pyproject.toml" | "setup.py" | "requirements.txt" | "setup.cfg")
    });
    let mut folders: Vec<String> =
        roots.map(|(path, _)| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()).collect();
    folders.push(String::new());
    folders.sort();
    folders.dedup();
    let mut found: BTreeMap<String, Seen> =
        folders.iter().map(|folder| (folder.clone(), Default::default())).collect();
    for (module, unit) in project.units() {
        let Some(slot) = found.get_mut(folder_of(&folders, &unit.ir.path)) else { continue };
        if slot.0.is_none() && !is_for_development(&unit.ir.path) {
            slot.0 = http(project, module, unit);
        }
        if slot.1.is_none() && speaks_on_stdio(unit) {
            slot.1 = Some(unit.ir.path.clone());
        }
        slot.3 = slot.3 || VERIFIES.iter().any(|text| unit.ir.source.mentions(text));
        if slot.2.len() < ENOUGH
            && CALLERS.iter().any(|text| {
                unit.ir.source.mentions(text) && !(*text == "this.props" && unit.ir.path.ends_with('x'))
            })
        {
            slot.2.extend(CALLERS.iter().take(ENOUGH).map(|text| (*text).to_owned()));
        }
        for (_, binding) in unit.ir.bindings() {
            if slot.2.len() >= ENOUGH {
                break;
            }
            let meaning = unit.meaning(binding.name);
            if meaning.is_owner() || meaning.is_principal() {
                slot.2.insert(unit.ir.text(binding.name).to_lowercase());
            }
        }
        // `req.user.accountId` may never be put into a variable.
        for (_, expr) in unit.ir.exprs_of(Kinds::MEMBER) {
            if slot.2.len() >= ENOUGH {
                break;
            }
            let ExprKind::Member { property, .. } = expr else { continue };
            let meaning = unit.meaning(*property);
            if meaning.is_owner() || meaning.is_principal() {
                slot.2.insert(unit.ir.text(*property).to_lowercase());
            }
        }
    }
    handlers_say(project, &folders, &mut found);
    let any_http = found.values().find_map(|(http, ..)| http.clone());
    let any_stdio = found.values().find_map(|(_, stdio, ..)| stdio.clone());
    let finish = |(http, stdio, owners, verifies): Seen| {
        let (tenancy, reason) = match (http, stdio) {
            (Some(why), _) => (Tenancy::Multi, why),
            (None, Some(path)) => (Tenancy::Single, format!("{path} speaks over standard input only")),
            (None, None) => match (&any_http, &any_stdio) {
                (Some(why), _) => (Tenancy::Multi, why.clone()),
                (None, Some(path)) => (Tenancy::Single, format!("{path} speaks over standard input only")),
                (None, None) => (Tenancy::Unknown, "no transport was found".to_owned()),
            },
        };
        Package { tenancy, reason, owners: owners.len(), verifies }
    };
    found.into_iter().map(|(folder, what)| (folder, finish(what))).collect()
}

/// Adds what handlers of requests over HTTP say of their packages, whichever library calls them.
fn handlers_say(project: &Project, folders: &[String], found: &mut BTreeMap<String, Seen>) {
    for entry in project.entries().iter().filter(|entry| entry.kind == "http") {
        let Some(unit) = project.unit(entry.handler.module) else { continue };
        let Some(slot) = found.get_mut(folder_of(folders, &unit.ir.path)) else { continue };
        if slot.0.is_none() && !is_for_development(&unit.ir.path) {
            slot.0 = Some(format!("{} answers HTTP", unit.ir.path));
        }
    }
}

/// What a manifest says of an extension that a program on somebody's desk loads: an editor, a personal assistant. Sources:
/// code.visualstudio.com/api/references/extension-manifest, docs.openclaw.ai/plugins/manifest.
const EXTENSIONS: &[&str] = &["\"vscode\":", "\"openclaw\": {", "\"openclaw\":{"];

/// The folders of programs that run on somebody's desk: of a manifest that asks for Electron, or of the workspace that it is a part of;
/// and of extensions that such a program loads.
pub(crate) fn find_desktops(manifests: &[(String, String)]) -> BTreeSet<String> {
    let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let packages = manifests.iter().filter(|(path, _)| path.rsplit('/').next() == Some("package.json"));
    let folders: BTreeSet<String> = packages.clone().map(|(path, _)| folder(path)).collect();
    let extension = |text: &str| EXTENSIONS.iter().any(|mark| text.contains(mark));
    let extensions: Vec<String> =
        packages.clone().filter(|(_, text)| extension(text)).map(|(path, _)| folder(path)).collect();
    let desktop = packages.filter(|(_, text)| text.contains("\"electron\":")).map(|(path, _)| folder(path));
    desktop
        .map(|own| {
            // The folder of the workspace is not the whole tree's: a server may stand beside it there.
            let around = folders_around(&own).filter(|folder| folders.contains(*folder)).last();
            around.map_or_else(|| own.clone(), str::to_owned)
        })
        .chain(extensions.into_iter().filter(|own| !own.is_empty()))
        .collect()
}

/// Whether a file is a script for development, `scripts/dev-http-server.ts`: the server that is shipped may do without.
fn is_for_development(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let words = vocabulary::words(name);
    folder.split('/').any(|part| part == "scripts") && words.iter().any(|word| word == "dev")
}

/// Whether a file starts a server on standard input and nothing else: what it makes is for one user.
pub(crate) fn is_stdio_only(unit: &Unit) -> bool {
    speaks_on_stdio(unit) && !HTTP.iter().any(|text| unit.ir.source.mentions(text)) && !runs_over_http(unit)
}

/// Whether a file answers HTTP, or starts a server that does.
pub(crate) fn is_http(project: &Project, module: ModuleId, unit: &Unit) -> bool {
    http(project, module, unit).is_some()
}

/// Whether a file runs a server over HTTP, as FastMCP is told: `mcp.run(transport="http")`, `mcp.run("sse")`. Source:
/// gofastmcp.com/deployment/running-server.
fn runs_over_http(unit: &Unit) -> bool {
    unit.index.calls.iter().any(|call| {
        let ExprKind::Call(expr) = unit.ir.expr(*call) else { return false };
        let ExprKind::Member { property, .. } = unit.ir.expr(expr.callee) else { return false };
        matches!(unit.ir.text(*property), "run" | "run_async") && names_http(unit, *call)
    })
}

fn http(project: &Project, module: ModuleId, unit: &Unit) -> Option<String> {
    if let Some(text) = HTTP.iter().find(|text| unit.ir.source.mentions(text)) {
        return Some(format!("{} answers HTTP (`{}`)", unit.ir.path, text.trim_end_matches('(')));
    }
    if runs_over_http(unit) {
        return Some(format!("{} runs a server over HTTP", unit.ir.path));
    }
    for call in &unit.index.calls {
        let at = At { module, expr: *call };
        let Some(callee) = project.callee(at) else { continue };
        for def in &callee.defs {
            let http = match def.role {
                Role::Listen => true,
                Role::Transport => match def.kind.as_deref() {
                    Some(kind) => kind != "stdio",
                    None => names_http(unit, *call),
                },
                _ => false,
            };
            if http {
                return Some(format!("{} answers HTTP (`{}`)", unit.ir.path, callee.name()));
            }
        }
    }
    None
}

/// Whether an argument of a call names a transport over HTTP.
fn names_http(unit: &Unit, call: ExprId) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(call) else { return false };
    call.args.iter().any(|arg| match unit.ir.expr(arg.value) {
        ExprKind::String(text) => {
            matches!(unit.ir.text(*text), "http" | "sse" | "streamable-http" | "httpStream")
        }
        _ => false,
    })
}

/// The folders around a file, the nearest first.
fn folders_around(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(folder, _)| folder.rsplit_once('/'))
        .map(|(folder, _)| folder)
}

/// The nearest of these folders, which are sorted, that a file is in.
fn folder_of<'f>(folders: &'f [String], path: &str) -> &'f str {
    let find = |folder: &str| folders.binary_search_by(|own| own.as_str().cmp(folder)).ok();
    folders_around(path).find_map(find).and_then(|number| folders.get(number)).map_or("", String::as_str)
}

impl Project {
    /// What is known of the package that a module belongs to.
    #[must_use]
    pub fn package(&self, module: ModuleId) -> Option<&Package> {
        self.packages.get(self.folder(module)?)
    }

    /// The folder of the package that a module belongs to.
    #[must_use]
    pub fn folder(&self, module: ModuleId) -> Option<&str> {
        match self.homes.get(module.index()) {
            Some(home) => Some(home),
            None => Some(self.package_folder(&self.unit(module)?.ir.path)),
        }
    }

    /// The folder of the package that a file belongs to.
    #[must_use]
    pub fn package_folder(&self, path: &str) -> &str {
        let find = |folder: &str| self.packages.get_key_value(folder);
        folders_around(path).find_map(find).map_or("", |(folder, _)| folder.as_str())
    }

    /// Whether several tenants meet in a module's process: as the user says, else as its package looks.
    #[must_use]
    pub fn tenancy_of(&self, module: ModuleId) -> Tenancy {
        self.tenancy
            .unwrap_or_else(|| self.package(module).map_or(Tenancy::Unknown, |package| package.tenancy))
    }

    /// Whether a module's package speaks over standard input too: the same code serves one user there, whose credentials the
    /// environment has.
    #[must_use]
    pub fn also_speaks_on_stdio(&self, module: ModuleId) -> bool {
        let Some(own) = self.folder(module) else { return false };
        let find = || {
            let speaking = self.units().filter(|(_, unit)| speaks_on_stdio(unit));
            speaking.filter_map(|(other, _)| self.folder(other)).map(str::to_owned).collect()
        };
        !self.is_asked_multi() && self.memory.on_stdio.get_or_init(find).contains(own)
    }

    /// Whether a module is a part of a program that runs on somebody's desk.
    #[must_use]
    pub fn is_of_desktop(&self, module: ModuleId) -> bool {
        let Some(unit) = self.unit(module).filter(|_| !self.desktops.is_empty()) else { return false };
        self.desktops.contains("")
            || folders_around(&unit.ir.path).any(|folder| self.desktops.contains(folder))
    }

    /// Whether the user says that several tenants meet in the process.
    #[must_use]
    pub fn is_asked_multi(&self) -> bool {
        self.tenancy == Some(Tenancy::Multi)
    }

    /// Whether a module's package speaks of tenants, users or callers at all, or asks who calls.
    #[must_use]
    pub fn has_owners(&self, module: ModuleId) -> bool {
        self.names_owners(module) || self.knows_callers(module) || self.has_tenants_tables(module)
    }

    /// Whether a package that answers HTTP has a table whose rows say which tenant they belong to.
    fn has_tenants_tables(&self, module: ModuleId) -> bool {
        if self.tenancy_of(module) != Tenancy::Multi {
            return false;
        }
        let folders = self.memory.tenants_tables.get_or_init(|| {
            let says = |table: &&Table| {
                table
                    .owner
                    .as_ref()
                    .is_some_and(|own| own.level == Level::Tenant && !own.guessed && !own.itself)
            };
            let tables = self.tables.tables.values().filter(says);
            tables.map(|table| self.package_folder(&table.place.path).to_owned()).collect()
        });
        let own = self.folder(module).unwrap_or_default();
        folders.iter().any(|folder| is_within(own, folder) || is_within(folder, own))
    }

    /// Whether a module's package speaks of tenants, users or callers by several names.
    #[must_use]
    pub fn names_owners(&self, module: ModuleId) -> bool {
        self.tenancy == Some(Tenancy::Multi)
            || self.package(module).is_some_and(|package| package.owners >= ENOUGH)
            || !self.header_words().is_empty()
            || self.handlers_know_callers(module)
    }
}
