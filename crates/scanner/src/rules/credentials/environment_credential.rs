//! A credential of the process's environment or configuration that is used while a request is served.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ArgKind, ExprId, ExprKind, FunctionId, LogicalOp, Name, NameRef, PropertyKey, StmtKind, TemplatePart, walk},
    library::Role,
    project::{At, Fun, Parent, Project, Step, Symbol, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "environment-credential",
        layer: Layer::Credentials,
        summary: "A credential of the process's environment or configuration is used while a request is served, whoever sent it.",
    },
    severity: Severity::Medium,
    axis: Axis::Credentials,
    why: "Every caller acts with the operator's rights at the other service, which cannot tell the tenants apart; a credential \
          that is put into an answer is known to whoever asks.",
    fix: "Look the credential up by the verified tenant for each request. Take the environment's only where the transport is stdio.",
    cwe: &["CWE-441", "CWE-522"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("environment_credential.md"),
    run,
};

/// Words of credentials that the operator needs for itself: models, telemetry, its own database, signing and sign-in.
pub(super) const OPERATORS: &[&str] = &[
    "openai", "anthropic", "claude", "gemini", "google", "voyage", "cohere", "mistral", "groq", "huggingface", "hf", "openrouter",
    "ollama", "deepseek", "azure", "bedrock", "aws", "llm", "model", "embedding", "embeddings", "embed", "rerank", "jina", "tavily",
    "serper", "exa", "brave", "firecrawl", "database", "db", "postgres", "postgresql", "pg", "mysql", "redis", "mongo", "mongodb",
    "neo4j", "qdrant", "pinecone", "chroma", "weaviate", "milvus", "elastic", "opensearch", "supabase", "jwt", "session", "cookie",
    "signing", "encryption", "hash", "salt", "webhook", "smtp", "mail", "sentry", "langfuse", "langsmith", "posthog", "datadog",
    "stripe", "resend", "sendgrid", "twilio", "s3", "minio", "storage", "bucket", "client", "internal", "admin", "master", "nextauth",
    "csrf", "firebase", "fcm", "apns", "vapid", "push", "bot", "worker", "audit", "retraced", "analytics", "mixpanel", "amplitude", "turnstile", "recaptcha", "vault", "kms", "license", "otel", "metrics", "health", "cron", "test", "dummy", "fake",
];

/// How many names are followed from a value to where the environment is read.
const DEPTH: u32 = 4;

/// Names of objects that hold what the operator has configured.
const CONFIGURATIONS: &[&str] =
    &["config", "settings", "cfg", "env", "conf", "appconfig", "appsettings", "configuration", "serverconfig"];

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    super::own_sessions::own_sessions(project, &lives, report);
    super::beside_callers::forgot_callers(project, report);
    super::kept_beside::kept_beside(project, report);
    super::brought_unused::brought_unused(project, &lives, report);
    super::kept_clients::kept_clients(project, &lives, report);
    super::beside_sessions::goes_round(project, &lives, report);
    for (module, unit) in project.units() {
        for (id, _) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || !lives.is_per_request(fun) {
                continue;
            }
            if let Some((at, name)) = first(project, unit, fun) {
                let found = report.reached(at, format!("every caller acts with `{name}`, which is the process's own"));
                if !project.has_owners(module) || is_operators_by_path(project, unit, at) {
                    found.severity(Severity::Low).confidence(Confidence::Low);
                } else {
                    found.confidence(Confidence::Medium);
                }
            }
        }
    }
}

/// Whether what a credential is read of says that it is the operator's own: `settings.retraced.apiKey`.
fn is_operators_by_path(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Member { object, .. } = unit.ir.expr(at.expr) else { return false };
    project.last_written(at.to(*object)).is_some_and(|name| vocabulary::words(name).iter().any(|word| OPERATORS.contains(&word.as_str())))
}

/// The first use of such a credential in a function, and its name.
pub(super) fn first(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, String)> {
    let mut found: Option<(u32, At, String)> = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let order = unit.index.order(expr);
        if found.as_ref().is_some_and(|(first, ..)| *first <= order) {
            return;
        }
        let Some((name, direct)) = credential(project, unit, at) else { return };
        if !is_operators(&name) && is_sent(project, unit, at, direct) {
            found = Some((order, at, name));
        }
    });
    found.map(|(_, at, name)| (at, name))
}

/// The name of the credential that an expression is, when it is of the environment or configuration alone; and whether it is read
/// right here.
pub(super) fn credential(project: &Project, unit: &Unit, at: At) -> Option<(String, bool)> {
    if let Some(name) = environment_name(project, unit, at) {
        return (vocabulary::is_credential(&name) && may_hold(&name)).then_some((name, true));
    }
    let name = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return None,
    };
    if !may_hold(name) || is_part(unit, at.expr) {
        return None;
    }
    let is_named = vocabulary::is_credential(name);
    if configured(project, unit, at) {
        return is_named.then(|| (name.to_owned(), true));
    }
    let origins = project.origins(at);
    if !origins.has(Origins::ENV) || origins.without(Origins::ENV | Origins::CONSTANT | Origins::UNKNOWN) != Origins::NONE {
        return None;
    }
    let read = kept_name(project, unit, at);
    match read {
        Some(read) if vocabulary::is_credential(&read) => Some((read, false)),
        _ => (is_named && !origins.has(Origins::UNKNOWN)).then(|| (name.to_owned(), false)),
    }
}

/// Last words of names of what a credential is made or sent with, and not of one: `ACCESS_TOKEN_EXPIRE_HOURS`, `API_KEY_HEADER`.
const ABOUT: &[&str] = &[
    "hours", "days", "minutes", "seconds", "secs", "mins", "ms", "expire", "expires", "expiry", "expiration", "ttl", "lifetime", "age", "algorithm",
    "length", "size", "limit", "count", "prefix", "header", "url", "uri", "endpoint", "path", "enabled", "required",
];

/// Whether a name is one that credentials, or what is sent with them, have.
fn may_hold(name: &str) -> bool {
    vocabulary::mentions(name, &["key", "token", "secret", "pass", "auth", "header", "credential", "creds", "pat", "bearer", "cookie"])
        && !vocabulary::words(name).last().is_some_and(|last| ABOUT.contains(&last.as_str()))
}

/// The variable of the environment that an expression reads: `process.env.X`, `os.environ["X"]`, `os.getenv("X")`.
pub(super) fn environment_name(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let of_environment = |expr: ExprId| {
        if !matches!(project.last_written(at.to(expr)), Some("env" | "environ")) {
            return false;
        }
        let path = project.written(at.to(expr));
        let path: Vec<&str> = path.iter().map(|name| name.as_str()).collect();
        matches!(
            path.as_slice(),
            ["process" | "Deno" | "Bun" | "os", "env" | "environ"] | ["import", "meta", "env"] | ["environ"]
        ) || is_of_worker(project, unit, at.to(expr))
    };
    let constant = |name: Name| !unit.ir.text(name).chars().any(char::is_lowercase);
    match unit.ir.expr(at.expr) {
        ExprKind::Member { object, property, .. } if constant(*property) && of_environment(*object) => {
            Some(unit.ir.text(*property).to_owned())
        }
        ExprKind::Index { object, index, .. } if of_environment(*object) => named_by(project, unit, at.to(*index)),
        ExprKind::Call(call) => {
            let name = match unit.ir.expr(call.callee) {
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                _ => "",
            };
            if !matches!(name, "getenv" | "get") {
                return None;
            }
            let path = project.written(at.to(call.callee));
            let path: Vec<&str> = path.iter().map(|name| name.as_str()).collect();
            let reads = matches!(path.as_slice(), ["os", "getenv"] | ["getenv"] | [.., "environ" | "env", "get"]);
            call.positional(0).filter(|_| reads).and_then(|expr| named_by(project, unit, at.to(expr)))
        }
        _ => None,
    }
}

/// Whether `env` is what a worker of Cloudflare is started with: `this.env` in a class of its library, `c.env` of Hono.
fn is_of_worker(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    if unit.ir.text(*property) != "env" {
        return false;
    }
    match unit.ir.expr(*object) {
        ExprKind::This => {
            let Some(class) = project.this_of(project.function_of(at)) else { return false };
            unit.ir.class(class.id).is_some_and(|decl| {
                decl.bases.iter().any(|base| match project.symbol(at.to(*base)) {
                    Symbol::External { path, .. } | Symbol::Unknown(path) => {
                        path.last().is_some_and(|name| {
                            matches!(name.as_str(), "McpAgent" | "Agent" | "AIChatAgent" | "DurableObject" | "WorkerEntrypoint")
                        })
                    }
                    _ => false,
                })
            })
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            matches!(unit.ir.binding_name(*id), "c" | "ctx" | "context")
                && unit.ir.imports.iter().any(|import| unit.ir.text(import.specifier).split('/').next() == Some("hono"))
        }
        _ => false,
    }
}

/// The name of a variable of the environment: written out, or put together of what is written out and of no party's name,
/// `API_KEY_${scheme}`.
fn named_by(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let parts = match unit.ir.expr(at.expr) {
        ExprKind::String(text) => return Some(unit.ir.text(*text).to_owned()),
        ExprKind::Template(parts) => parts,
        _ => return None,
    };
    let mut name = String::new();
    for part in parts.iter() {
        match part {
            TemplatePart::Text(text) => name.push_str(unit.ir.text(*text)),
            TemplatePart::Value(value) => {
                let mut foreign = project.origins(at.to(*value)).has_owner();
                walk::exprs_below(&unit.ir, *value, &mut |expr| {
                    let said = match unit.ir.expr(expr) {
                        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                        ExprKind::Member { property, .. } => unit.ir.text(*property),
                        _ => return,
                    };
                    foreign |= vocabulary::says_whose(said) || vocabulary::words(said).iter().any(|word| OF_SOMEBODY.contains(&word.as_str()));
                });
                if foreign {
                    return None;
                }
                name.push('_');
            }
        }
    }
    let name = name.trim_matches('_').replace("__", "_");
    (!name.is_empty()).then_some(name)
}

/// Words of what has a variable of the environment for each: tenants, and the models that the operator pays.
const OF_SOMEBODY: &[&str] = &["client", "customer", "site", "store", "shop", "brand", "provider", "model", "llm", "vendor", "env", "environment"];

/// The variable of the environment that a name or field was set from.
fn kept_name(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let mut found: Option<String> = None;
    let mut look = |value: At| {
        let name = name_below(project, value, DEPTH);
        if found.is_none() {
            found = name;
        }
    };
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.index.sources(*id).iter().take(4).for_each(|source| look(at.to(source.value)));
        }
        ExprKind::Member { object, property, .. } if matches!(unit.ir.expr(*object), ExprKind::This) => {
            let class = project.this_of(project.function_of(at))?;
            let writes = project.field_values(class, unit.ir.text(*property));
            writes.into_iter().take(4).for_each(look);
        }
        _ => {}
    }
    found
}

/// The credential of the environment that a value is made of: read there, or through names.
fn name_below(project: &Project, value: At, depth: u32) -> Option<String> {
    let (depth, unit) = (depth.checked_sub(1)?, project.unit(value.module)?);
    let mut read = None;
    let mut names = Vec::new();
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| {
        let name = environment_name(project, unit, value.to(expr)).filter(|name| vocabulary::is_credential(name));
        read = read.take().or(name);
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
            && let [source] = unit.index.sources(*id)
            && source.path.is_empty()
        {
            names.push(source.value);
        }
    });
    read.or_else(|| names.into_iter().take(8).find_map(|expr| name_below(project, value.to(expr), depth)))
}

/// Whether a member is read from an object of settings that is no part of a request: `settings.desk_api_key`.
fn configured(project: &Project, unit: &Unit, at: At) -> bool {
    let path = match unit.ir.expr(at.expr) {
        ExprKind::Member { .. } => at,
        // `const { user, password } = config.desk`
        ExprKind::Name(NameRef::Binding(id)) => {
            let [source] = unit.index.sources(*id) else { return false };
            if !matches!(*source.path, [Step::Key(_)]) {
                return false;
            }
            at.to(source.value)
        }
        _ => return false,
    };
    let mut root = path.expr;
    while let ExprKind::Member { object, .. } = unit.ir.expr(root) {
        root = *object;
    }
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(root) else { return false };
    let name = unit.ir.binding_name(*id).replace('_', "").to_lowercase();
    CONFIGURATIONS.contains(&name.as_str())
        && unit.ir.is_module_level(*id)
        && !project.origins(at).is_of_request()
        && !project.written(path).iter().any(|part| is_operators(part))
}

/// Whether an expression is the object of a longer path, or what a method is called on.
fn is_part(unit: &Unit, expr: ExprId) -> bool {
    let Parent::Expr(up) = unit.index.parent(expr) else { return false };
    matches!(unit.ir.expr(up), ExprKind::Member { object, property, .. }
        if *object == expr && !matches!(unit.ir.text(*property), "get_secret_value" | "trim" | "strip" | "toString" | "value"))
}

/// Whether the operator needs a credential for itself.
pub(super) fn is_operators(name: &str) -> bool {
    let words = vocabulary::words(name);
    let whole = words.join("_");
    let about = ["url", "uri", "path", "file", "ttl", "expiry", "expires", "timeout", "type", "header", "endpoint", "name", "issuer", "audience", "length", "id"];
    // `JWT_SECRET` signs; `JWT_TOKEN` is a token of somebody.
    let token = words.iter().any(|word| word == "token");
    words.iter().any(|word| OPERATORS.contains(&word.as_str()) && !(token && word == "jwt"))
        || words.last().is_some_and(|last| about.contains(&last.as_str()))
        || matches!(whole.as_str(), "secret_key" | "secret" | "app_secret" | "auth_secret" | "auth_token")
}

/// Whether a value is put into a record or a text, passed on or given back; not tested, compared, or used to verify. What was read
/// before is looked at only where it is sent.
pub(super) fn is_sent(project: &Project, unit: &Unit, at: At, direct: bool) -> bool {
    let mut here = at.expr;
    for _ in 0..12 {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Compare { .. } | ExprKind::Unary { .. } | ExprKind::Function(_) => return false,
                ExprKind::Conditional { test, .. } if *test == here => return false,
                ExprKind::Logical { op: LogicalOp::And, left, .. } if *left == here => return false,
                // `token ?? process.env.TOKEN` has a rule of its own.
                ExprKind::Logical { left, right, .. }
                    if project.origins(at.to(if *left == here { *right } else { *left })).is_of_request() =>
                {
                    return false;
                }
                ExprKind::Object(properties) => {
                    let key = properties.iter().find(|property| property.value == here).map(|property| &property.key);
                    return !matches!(key, Some(PropertyKey::Name(name)) if is_flag(unit.ir.text(*name)));
                }
                ExprKind::Template(_) | ExprKind::Binary { .. } => return true,
                ExprKind::Call(call) if call.callee != here => return is_given(project, at.to(up), call, here),
                _ => here = up,
            },
            Parent::Stmt(stmt) => {
                return direct && matches!(unit.ir.stmt(stmt), StmtKind::Assign { .. } | StmtKind::Return(_))
                    && !only_compared(unit, stmt)
                    && !comes_second(unit, stmt);
            }
            _ => return false,
        }
    }
    false
}

/// Whether a variable is only tested and compared: the door of a server that has one token.
fn only_compared(unit: &Unit, stmt: crate::ir::StmtId) -> bool {
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return false };
    unit.index.uses(id).iter().all(|used| match unit.index.parent(*used) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Call(call) => {
                let name = match unit.ir.expr(call.callee) {
                    ExprKind::Member { property, .. } => unit.ir.text(*property),
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                    _ => "",
                };
                checks(name)
            }
            ExprKind::Compare { .. } | ExprKind::Unary { .. } | ExprKind::Logical { .. } => true,
            ExprKind::Template(_) => compares(unit, up),
            _ => false,
        },
        Parent::Stmt(stmt) => matches!(unit.ir.stmt(stmt), StmtKind::If { .. }),
        _ => false,
    })
}

/// Whether a variable is only taken where another one is missing, `brought || own`: that has a rule of its own.
fn comes_second(unit: &Unit, stmt: crate::ir::StmtId) -> bool {
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return false };
    let uses = unit.index.uses(id);
    let second = |used: &ExprId| {
        let Parent::Expr(up) = unit.index.parent(*used) else { return false };
        matches!(unit.ir.expr(up), ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, right, .. } if right == used)
    };
    !uses.is_empty() && uses.iter().all(second)
}

fn compares(unit: &Unit, expr: ExprId) -> bool {
    matches!(unit.index.parent(expr), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Compare { .. }))
}

fn is_flag(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "has" | "is" | "configured" | "enabled" | "masked" | "expected"))
}

fn checks(name: &str) -> bool {
    let lower = name.to_lowercase();
    [
        "verify", "compare", "equal", "sign", "hmac", "decode", "encrypt", "decrypt", "hash", "digest", "cipher", "bool", "len",
        "isinstance", "check", "validate", "auth_required", "log", "print", "warn", "mask", "redact", "startswith", "includes",
    ]
    .iter()
    .any(|word| lower.contains(word))
}

/// Whether a call sends what it is given, or gives it back in another form that is sent.
fn is_given(project: &Project, call: At, expr: &crate::ir::Call, arg: ExprId) -> bool {
    let Some(callee) = project.callee(call) else { return false };
    let aside = callee.defs.iter().any(|def| {
        matches!(def.role, Role::Log | Role::Verify | Role::Decode | Role::Listen | Role::Server | Role::Query)
            || matches!(def.kind.as_deref(), Some("llm" | "telemetry" | "database"))
    });
    let names = callee.path.iter().any(|part| vocabulary::words(part).iter().any(|word| OPERATORS.contains(&word.as_str()) && word != "client" && word != "model"));
    let flag = expr.args.iter().any(|own| own.value == arg && matches!(own.kind, ArgKind::Keyword(name)
        if project.unit(call.module).is_some_and(|unit| is_flag(unit.ir.text(name)))));
    !aside && !names && !flag && !checks(callee.name())
}
