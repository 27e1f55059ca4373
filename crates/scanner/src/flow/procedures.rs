//! Handlers that a builder of procedures or a wrapper takes: `protectedProcedure.input(…).mutation(…)`,
//! `actionClient.schema(…).action(…)`, `export const GET = withTenant(…)`.

use super::Entry;
use crate::{
    ir::{ExprId, ExprKind, NameRef, Property, PropertyKey},
    project::{At, Fun, ModuleId, Project, Unit, Word},
    vocabulary,
};

/// Methods with which builders take the handler.
const ENDS: &[&str] = &["mutation", "query", "subscription", "action", "handler"];

/// Methods with which builders take the form of the input.
const INPUTS: &[&str] = &["input", "schema", "inputSchema"];

/// Further methods of builders.
const MORE: &[&str] = &[
    "output",
    "outputSchema",
    "bindArgsSchemas",
    "meta",
    "metadata",
    "use",
    "route",
    "errors",
    "middleware",
];

/// Whether a path of names ends a builder of procedures.
fn ends_builder(path: &[Word]) -> bool {
    let Some((last, before)) = path.split_last() else { return false };
    let says = |part: &Word| {
        let words = vocabulary::words(part);
        let has = |word: &str| words.iter().any(|own| own == word);
        has("procedure") || (has("action") && has("client"))
    };
    let typed = before.len() > 1 && before.iter().any(|part| INPUTS.contains(&part.as_str()));
    let named = before.iter().any(says);
    ENDS.contains(&last.as_str()) && (named || (typed && !matches!(last.as_str(), "query" | "subscription")))
}

/// How many variables lead from a builder back to the one that it was made of.
const STEPS: u32 = 3;

impl Project {
    /// Whether a call ends a builder of procedures, which may stand in a variable: `signedIn.query(…)` of `t.procedure.use(…)`.
    fn ends_procedure(&self, at: At, path: &[Word]) -> bool {
        ends_builder(path)
            || (path.last().is_some_and(|last| ENDS.contains(&last.as_str()))
                && self.begins_with_builder(at, STEPS))
    }

    /// Whether a chain of calls begins with a variable that holds a builder.
    fn begins_with_builder(&self, at: At, steps: u32) -> bool {
        let Some(steps) = steps.checked_sub(1) else { return false };
        let Some(unit) = self.unit(at.module) else { return false };
        let mut here = at.expr;
        for _ in 0..32 {
            here = match unit.ir.expr(here) {
                ExprKind::Member { object, .. } => *object,
                ExprKind::Call(call) => call.callee,
                ExprKind::Name(NameRef::Binding(id)) => {
                    let (home, id) = self.declared(at.module, *id).unwrap_or((at.module, *id));
                    let Some(own) = self.unit(home) else { return false };
                    let [source] = own.index.sources(id) else { return false };
                    let made = At { module: home, expr: source.value };
                    let says = |part: &Word| vocabulary::words(part).iter().any(|word| word == "procedure");
                    return matches!(own.ir.expr(source.value), ExprKind::Call(_))
                        && (self.written_as_exported(made).iter().any(says)
                            || self.begins_with_builder(made, steps));
                }
                _ => return false,
            };
        }
        false
    }
}

/// The handlers of procedures and actions that a module builds.
pub(super) fn procedures(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for expr in &unit.index.calls {
        let at = At { module, expr: *expr };
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let ends = || project.last_written(at).is_some_and(|last| ENDS.contains(&last));
        if call.args.len() > 2 || !ends() || !project.ends_procedure(at, &project.written_as_exported(at)) {
            continue;
        }
        let Some(first) = call.positional(0) else { continue };
        for handler in project.functions_of(at.to(first)) {
            entries.push(Entry {
                handler,
                kind: "http".to_owned(),
                registration: at,
                input: Some(Vec::new()),
                context: vec![0],
            });
        }
    }
}

impl Project {
    /// Whether a handler stands behind a builder or a wrapper, whose own checks are not read.
    #[must_use]
    pub fn is_wrapped(&self, entry: &Entry) -> bool {
        let at = entry.registration;
        if self.asks_for_permission(entry) {
            return true;
        }
        let Some(unit) = self.unit(at.module) else { return false };
        // What the one handler of all tools looks at before it picks one is not read either.
        if entry.kind == "tool"
            && (super::dispatch::is_table(unit, at.expr) || super::dispatch::names_function(unit, at.expr))
        {
            return true;
        }
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
        let file = unit.ir.path.rsplit('/').next().unwrap_or("");
        let named = call.positional(0).is_some_and(|expr| matches!(unit.ir.expr(expr), ExprKind::String(_)));
        self.ends_procedure(at, &self.written_as_exported(at))
            || (file.starts_with("route.") && entry.kind == "http" && !named)
    }

    /// Whether a function in a builder's chain checks before the handler: `.use(ensureNoteOwner)`.
    #[must_use]
    pub fn is_checked_before(&self, entry: &Entry) -> bool {
        let at = entry.registration;
        let Some(unit) = self.unit(at.module) else { return false };
        if self.is_for_members(entry.handler) {
            return true;
        }
        let mut here = at.expr;
        for _ in 0..32 {
            here = match unit.ir.expr(here) {
                ExprKind::Member { object, .. } => *object,
                ExprKind::Call(call) => {
                    let names = call.args.iter().filter_map(|arg| self.written(at.to(arg.value)).pop());
                    if here != at.expr && names.into_iter().any(|name| checks_thing(&name)) {
                        return true;
                    }
                    call.callee
                }
                _ => return false,
            };
        }
        false
    }

    /// Whether a decorator of a function lets only those through who belong to what the path names: `@team_member_required`.
    #[must_use]
    pub fn is_for_members(&self, fun: Fun) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        unit.ir.function(fun.id).is_some_and(|function| {
            function.decorators.iter().any(|expr| {
                let mut at = At { module: fun.module, expr: *expr };
                if let ExprKind::Call(call) = unit.ir.expr(at.expr) {
                    at = at.to(call.callee);
                }
                let words = vocabulary::words(self.last_written(at).unwrap_or_default());
                let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
                (has(&["member", "membership", "owner", "ownership", "access"])
                    && has(&["required", "require", "requires", "only", "check", "ensure", "must"]))
                    // `@OrganizationProtected(Role.Owner)` of the routes below an organization
                    || (has(&["protected", "scoped"]) && words.iter().any(|word| vocabulary::is_tenant(word)))
            })
        })
    }

    /// The name of what stands before a handler and asks who calls: the builder's first words, the wrapper, the functions before
    /// it in the list of a route; nothing where it is called by itself.
    #[must_use]
    pub fn gate(&self, entry: &Entry) -> Option<String> {
        let at = entry.registration;
        let unit = self.unit(at.module)?;
        if at.expr == ExprId::MISSING {
            return None;
        }
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
        let path = self.written_as_exported(at);
        if self.ends_procedure(at, &path) {
            let part = |name: &&Word| !ENDS.iter().chain(INPUTS).chain(MORE).any(|own| *own == name.as_str());
            let root: Vec<&str> = path.iter().take_while(part).map(|name| name.as_str()).collect();
            return Some(root.join("."));
        }
        let decorates = entry.handler.module == at.module
            && unit.ir.function(entry.handler.id).is_some_and(|own| own.decorators.contains(&at.expr));
        if decorates {
            return None;
        }
        let between = call.args.len().saturating_sub(2);
        let before: Vec<String> = call
            .args
            .iter()
            .skip(1)
            .take(between)
            .filter_map(|arg| match unit.ir.expr(arg.value) {
                ExprKind::Object(properties) => hooks(unit, properties),
                _ => self.written(at.to(arg.value)).pop().map(String::from),
            })
            .collect();
        let routes = call.positional(0).is_some_and(|expr| matches!(unit.ir.expr(expr), ExprKind::String(_)));
        match (routes, before.is_empty()) {
            (true, true) => None,
            (true, false) => Some(before.join(" ")),
            (false, _) => path.last().map(Word::to_string),
        }
    }
}

/// Whether a name says that a function checks the access to a thing, and not only that somebody is signed in.
fn checks_thing(name: &str) -> bool {
    let signed = ["auth", "authenticated", "session", "login", "signed"];
    Project::is_check(name) && !vocabulary::words(name).iter().any(|word| signed.contains(&word.as_str()))
}

/// What the options of a route run before its handler: `{ preHandler: [requireUser] }`.
fn hooks(unit: &Unit, properties: &[Property]) -> Option<String> {
    properties.iter().find_map(|property| {
        let PropertyKey::Name(name) = property.key else { return None };
        let before =
            matches!(unit.ir.text(name), "preHandler" | "onRequest" | "preValidation" | "beforeHandle");
        before.then(|| unit.ir.snippet(unit.ir.span(property.value)).to_owned())
    })
}
