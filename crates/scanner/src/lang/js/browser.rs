//! Modules that run in a browser: what they hold is one person's.

use oxc_ast::ast::{
    self, BindingPattern, Declaration, ExportDefaultDeclarationKind, Expression, ImportDeclarationSpecifier,
    ModuleDeclaration, Program, Statement,
};

/// Hooks that React calls in browsers only, or whose state is that of one page. `useId`, `useMemo` and `use` are allowed in
/// components of a server too (react.dev, "Directives: 'use client'").
const HOOKS: &[&str] = &[
    "useActionState",
    "useContext",
    "useDeferredValue",
    "useEffect",
    "useImperativeHandle",
    "useInsertionEffect",
    "useLayoutEffect",
    "useOptimistic",
    "useReducer",
    "useRef",
    "useState",
    "useSyncExternalStore",
    "useTransition",
];

/// Where hooks come from.
const REACT: &[&str] = &["react", "preact/hooks", "preact/compat"];

/// What frameworks call on the server, in a file that may have components beside it: Next.js, Remix and React Router, Expo.
const SERVERS: &[&str] = &[
    "action",
    "generateMetadata",
    "generateStaticParams",
    "getInitialProps",
    "getServerSideProps",
    "getStaticPaths",
    "getStaticProps",
    "headers",
    "loader",
    "middleware",
    "DELETE",
    "GET",
    "PATCH",
    "POST",
    "PUT",
];

/// Words of a text that may make a part of it the server's.
const PARTS: &[&str] = &[
    "use server",
    "createServerFn",
    "getInitialProps",
    "server$",
    "renderToString",
    "renderToPipeableStream",
];

/// Whether a module says that it runs in a browser: by the directive `"use client"`, or by hooks, where nothing in it is for
/// a server. React's own hooks with state say so anywhere; others, of the project or of a library, in a file of components.
pub(super) fn is_for_browsers(path: &str, program: &Program<'_>, source: &str) -> bool {
    if program.directives.iter().any(|directive| directive.directive == "use client") {
        return true;
    }
    let components = path.ends_with(".tsx") || path.ends_with(".jsx");
    let mut hooks = false;
    for statement in &program.body {
        if is_for_servers(statement) {
            return false;
        }
        if let Statement::ImportDeclaration(import) = statement {
            hooks |= imports_hooks(import, components, source);
        }
    }
    hooks && !PARTS.iter().any(|part| source.contains(part))
}

/// Whether a statement of a module is what only servers have: an import, a name that a framework calls, an asynchronous
/// function that others call, which no component of a page may be.
fn is_for_servers(statement: &Statement<'_>) -> bool {
    let Some(declaration) = statement.as_module_declaration() else { return requires(statement) };
    let named = |name: &ast::ModuleExportName<'_>| SERVERS.contains(&name.name().as_str());
    match declaration {
        ModuleDeclaration::ImportDeclaration(import) => {
            !import.import_kind.is_type() && is_of_servers(&import.source.value)
        }
        ModuleDeclaration::ExportDeclaration(export) => declares(&export.declaration),
        ModuleDeclaration::ExportNamedDeclaration(export) => {
            export.specifiers.iter().any(|one| named(&one.exported))
        }
        ModuleDeclaration::ExportFromDeclaration(export) => {
            export.specifiers.iter().any(|one| named(&one.exported))
        }
        ModuleDeclaration::ExportDefaultDeclaration(export) => match &export.declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(function) => function.r#async,
            ExportDefaultDeclarationKind::ArrowFunctionExpression(function) => function.r#async,
            ExportDefaultDeclarationKind::ClassDeclaration(_) => true,
            _ => false,
        },
        _ => false,
    }
}

/// Whether an import is of a hook with state, or of all of React, whose hooks are used; in a file of components, of any hook.
fn imports_hooks(import: &ast::ImportDeclaration<'_>, components: bool, source: &str) -> bool {
    if import.import_kind.is_type() {
        return false;
    }
    if !REACT.contains(&import.source.value.as_str()) {
        return components
            && import.specifiers.iter().flatten().any(|specifier| is_hook(&specifier.local().name));
    }
    import.specifiers.iter().flatten().any(|specifier| match specifier {
        ImportDeclarationSpecifier::ImportSpecifier(one) => {
            !one.import_kind.is_type() && HOOKS.contains(&one.imported.name().as_str())
        }
        ImportDeclarationSpecifier::ImportDefaultSpecifier(one) => uses_hook(&one.local.name, source),
        ImportDeclarationSpecifier::ImportNamespaceSpecifier(one) => uses_hook(&one.local.name, source),
    })
}

/// Whether a name is a hook's, by the rule that React's own tools follow; those of translations are for servers too.
fn is_hook(name: &str) -> bool {
    let rest = name.strip_prefix("use").unwrap_or_default();
    rest.starts_with(|first: char| first.is_ascii_uppercase())
        && !rest.starts_with("Transla")
        && !matches!(
            rest,
            "Locale"
                | "Id"
                | "Memo"
                | "Callback"
                | "Formatter"
                | "Messages"
                | "Now"
                | "TimeZone"
                | "RequestContext"
        )
}

/// Whether a hook of what is called `react` is used.
fn uses_hook(react: &str, source: &str) -> bool {
    source.match_indices("use").any(|(at, _)| {
        let before = source.get(..at).unwrap_or_default();
        before.strip_suffix('.').is_some_and(|before| before.ends_with(react))
            && HOOKS.iter().any(|hook| {
                source.get(at..).and_then(|rest| rest.strip_prefix(hook)).is_some_and(|rest| {
                    !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
                })
            })
    })
}

/// Whether a module has what only servers have.
fn is_of_servers(specifier: &str) -> bool {
    const WHOLE: &[&str] = &[
        "fs",
        "fs/promises",
        "http",
        "https",
        "net",
        "child_process",
        "async_hooks",
        "worker_threads",
        "next/server",
        "next/headers",
        "server-only",
        "react-dom/server",
        "express",
        "fastify",
        "koa",
        "hono",
        "pg",
        "mysql2",
        "mysql2/promise",
        "mongoose",
        "mongodb",
        "redis",
        "ioredis",
        "drizzle-orm",
        "electron",
    ];
    const BEGINNINGS: &[&str] = &[
        "node:",
        "bun:",
        "cloudflare:",
        "hono/",
        "@modelcontextprotocol/",
        "@nestjs/",
        "@hono/",
        "@fastify/",
        "@prisma/",
        "drizzle-orm/",
        "@remix-run/node",
        "@remix-run/server",
        "@remix-run/cloudflare",
        "@tanstack/react-start",
        "@tanstack/start",
        "fastmcp",
    ];
    WHOLE.contains(&specifier) || BEGINNINGS.iter().any(|beginning| specifier.starts_with(beginning))
}

/// Whether a statement reads a module as CommonJS does: files that hooks stand in beside it are bundles or a server's.
fn requires(statement: &Statement<'_>) -> bool {
    let Statement::VariableDeclaration(declaration) = statement else { return false };
    declaration.declarations.iter().any(|one| {
        matches!(&one.init, Some(Expression::CallExpression(call)) if call.callee.is_specific_id("require"))
    })
}

/// Whether a declaration is of a function that only a server has, or of what may hold one.
fn declares(declaration: &Declaration<'_>) -> bool {
    let named = |name: &str| SERVERS.contains(&name);
    match declaration {
        Declaration::FunctionDeclaration(function) => {
            function.r#async || function.id.as_ref().is_some_and(|id| named(&id.name))
        }
        Declaration::VariableDeclaration(variables) => variables.declarations.iter().any(|one| match &one.id {
            BindingPattern::BindingIdentifier(id) => {
                named(&id.name)
                    || matches!(&one.init, Some(Expression::ArrowFunctionExpression(function)) if function.r#async)
            }
            // Who takes a route's handlers out of an object does it with a pattern.
            _ => true,
        }),
        Declaration::ClassDeclaration(_) => true,
        _ => false,
    }
}
