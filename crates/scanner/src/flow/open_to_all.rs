//! Handlers of which the project itself says that everybody may call them: in what stands above them, or in its list of open paths.

use super::Entry;
use crate::{
    ir::{ExprKind, Span, StmtKind},
    project::{At, Parent, Project, Unit},
    vocabulary,
};

/// How much of what stands above a handler is read.
const ABOVE: u32 = 600;

/// What is said of a handler that is there for everybody.
const SAID: &[&str] = &[
    "public endpoint",
    "public route",
    "public api endpoint",
    "publicly accessible",
    "publicly available",
    "publicly visible",
    "anyone can view",
    "visible to everyone",
];

/// Words of lists of paths.
const PATHS: &[&str] =
    &["path", "paths", "route", "routes", "prefix", "prefixes", "endpoint", "endpoints", "url", "urls"];

impl Project {
    /// Whether the project says that everybody may call a handler.
    pub(crate) fn is_open_to_all(&self, entry: &Entry) -> bool {
        entry.kind == "http" && (self.is_said_above(entry) || self.is_listed_open(entry))
    }

    /// Whether the comment above a handler, or the text that it begins with, says so.
    fn is_said_above(&self, entry: &Entry) -> bool {
        let Some(unit) = self.unit(entry.handler.module) else { return false };
        let Some(function) = unit.ir.function(entry.handler.id) else { return false };
        let says = |text: &str| {
            let text = text.to_lowercase();
            SAID.iter().any(|said| text.contains(said))
        };
        let begins = function.body.first().is_some_and(|stmt| match unit.ir.stmt(*stmt) {
            StmtKind::Expr(expr) => {
                matches!(unit.ir.expr(*expr), ExprKind::String(text) if says(unit.ir.text(*text)))
            }
            _ => false,
        });
        let registered = self.span(entry.registration).start;
        let place =
            match entry.registration.module == entry.handler.module && registered < function.span.start {
                true => registered,
                false => function.span.start,
            };
        begins || comment_above(unit, place).is_some_and(|text| says(&text))
    }

    /// Whether the path of a handler begins as one of those that the project lists as open.
    fn is_listed_open(&self, entry: &Entry) -> bool {
        let open = self.memory.open_paths.get_or_init(|| self.find_open_paths());
        if open.is_empty() {
            return false;
        }
        let Some(unit) = self.unit(entry.handler.module) else { return false };
        let route = route_of_file(&unit.ir.path).or_else(|| self.route(entry).map(str::to_owned));
        route.is_some_and(|route| {
            open.iter().any(|open| {
                route.strip_prefix(open.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        })
    }

    /// Paths of at least two parts in a list that is named for what is public, or in a function that says what is.
    fn find_open_paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (module, unit) in self.units() {
            for (expr, kind) in unit.ir.exprs() {
                let ExprKind::String(text) = kind else { continue };
                let path = unit.ir.text(*text).trim_end_matches(['*', '/']).trim_end_matches("(.");
                let parts = path.split('/').filter(|part| !part.is_empty()).count();
                if path.starts_with('/') && parts >= 2 && self.is_in_open_list(unit, At { module, expr }) {
                    found.push(path.to_owned());
                }
            }
        }
        found
    }

    /// Whether a text stands in a list that is named for public paths, or in a function that is named for what is public.
    fn is_in_open_list(&self, unit: &Unit, at: At) -> bool {
        let says = |name: &str, of_paths: bool| {
            let words = vocabulary::words(name);
            words.iter().any(|word| word == "public")
                && (!of_paths || words.iter().any(|word| PATHS.contains(&word.as_str())))
        };
        if says(self.function_name(self.function_of(at)), false) {
            return true;
        }
        let mut here = at.expr;
        for _ in 0..4 {
            match unit.index.parent(here) {
                Parent::Expr(up)
                    if matches!(unit.ir.expr(up), ExprKind::Array { .. } | ExprKind::Call(_)) =>
                {
                    here = up
                }
                Parent::Stmt(stmt) => {
                    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
                    return target.as_binding().is_some_and(|id| says(unit.ir.binding_name(id), true));
                }
                _ => return false,
            }
        }
        false
    }
}

/// The comment that ends right above a place, if one does.
fn comment_above(unit: &Unit, place: u32) -> Option<String> {
    let text = unit.ir.snippet(Span { start: place.saturating_sub(ABOVE), end: place });
    // What stands in front on the same line belongs to the place.
    let above = text.rsplit_once('\n').map_or("", |(above, _)| above).trim_end();
    if above.ends_with("*/") {
        let (_, comment) = above.rsplit_once("/*")?;
        return Some(comment.to_owned());
    }
    let lines: Vec<&str> = above
        .lines()
        .rev()
        .map(str::trim)
        .take_while(|line| line.starts_with("//") || line.starts_with('#'))
        .collect();
    (!lines.is_empty()).then(|| lines.join(" "))
}

/// The path under which a framework serves a file: `app/api/slots/route.ts` under `/api/slots`. Source:
/// nextjs.org/docs/app/building-your-application/routing/route-handlers.
fn route_of_file(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    if !matches!(name.split('.').next()?, "route" | "page") {
        return None;
    }
    let within = folder.strip_prefix("app/").or_else(|| folder.rsplit_once("/app/").map(|(_, rest)| rest))?;
    let parts = within.split('/').filter(|part| !part.starts_with('('));
    Some(parts.fold(String::new(), |route, part| route + "/" + part))
}
