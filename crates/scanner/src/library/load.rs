//! Loading library files and looking up calls and members.

use std::sync::Arc;

use rustc_hash::FxHashMap as HashMap;

use super::{BaseDef, CallDef, Library, MemberDef, Origin};
use crate::ir::Language;

/// The built-in files: name and text.
static BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/libraries.rs"));

/// A library file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "library file {file}: {message}; see the head of a file in crates/scanner/libraries for what can be written"
)]
pub struct LibraryError {
    file: String,
    message: String,
}

/// What is known of all libraries.
#[derive(Debug, Default)]
pub struct Libraries {
    all: Vec<Library>,
    /// The last part of a call's path → the definitions that end so: library, definition.
    calls: HashMap<String, Vec<(usize, usize, Path)>>,
    members: HashMap<String, Vec<(usize, usize, Path)>>,
    bases: HashMap<String, Vec<(usize, usize, Path)>>,
}

/// The parts of a written path, the last first; `any` stands for a leading `*`.
#[derive(Debug)]
struct Path {
    before: Vec<String>,
    any: bool,
}

impl Path {
    fn parse(text: &str) -> (String, Self) {
        let mut parts: Vec<&str> = text.split('.').collect();
        let any = parts.first() == Some(&"*");
        if any {
            parts.remove(0);
        }
        let last = parts.pop().unwrap_or_default().to_owned();
        (last, Self { before: parts.iter().rev().map(|part| (*part).to_owned()).collect(), any })
    }

    /// Whether a use's parts end so. Without `*` and from a known package all of them must be there.
    fn matches(&self, segments: &[impl AsRef<str>], whole: bool) -> bool {
        let Some((_, before)) = segments.split_last() else { return false };
        let mut rest = before.iter().rev();
        self.before.iter().all(|part| rest.next().is_some_and(|own| own.as_ref() == part))
            && (self.any || !whole || rest.next().is_none())
    }
}

impl Libraries {
    /// The built-in libraries.
    ///
    /// # Errors
    ///
    /// When a file cannot be read as one; a test sees to it that none is.
    pub fn built_in() -> Result<Self, LibraryError> {
        let mut all = Self::default();
        for (file, text) in BUILT_IN {
            all.add(file, text)?;
        }
        Ok(all)
    }

    /// Adds a library file.
    ///
    /// # Errors
    ///
    /// When it cannot be read as one.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), LibraryError> {
        let error = |message: String| LibraryError { file: file.to_owned(), message };
        let library: Library = toml::from_str(text).map_err(|e| error(e.to_string()))?;
        let at = self.all.len();
        let lists: [(&mut HashMap<_, _>, Vec<&Vec<String>>); 3] = [
            (&mut self.calls, library.call.iter().map(|call| &call.names).collect()),
            (&mut self.members, library.member.iter().map(|member| &member.names).collect()),
            (&mut self.bases, library.base.iter().map(|base| &base.names).collect()),
        ];
        for (map, defs) in lists {
            for (number, names) in defs.into_iter().enumerate() {
                for name in names {
                    let (last, path) = Path::parse(name);
                    let slot: &mut Vec<(usize, usize, Path)> = map.entry(last).or_default();
                    slot.push((at, number, path));
                }
            }
        }
        self.all.push(library);
        Ok(())
    }

    /// What is known of a call. `package` is what the callee was imported from, if that is known; then only libraries of that
    /// package answer, else those that name no package, and `*` names of all.
    #[must_use]
    pub fn calls(
        &self,
        language: Language,
        package: Option<&str>,
        segments: &[impl AsRef<str>],
    ) -> Vec<Arc<CallDef>> {
        let found = self.find(&self.calls, Some(language), package, segments);
        found
            .into_iter()
            .filter_map(|(library, number)| self.all.get(library)?.call.get(number).cloned())
            .collect()
    }

    /// What is known of a call of something that a package exports.
    #[must_use]
    pub fn calls_of(&self, package: &str, segments: &[impl AsRef<str>]) -> Vec<Arc<CallDef>> {
        let found = self.find(&self.calls, None, Some(package), segments);
        found
            .into_iter()
            .filter_map(|(library, number)| self.all.get(library)?.call.get(number).cloned())
            .collect()
    }

    /// What is known of a base class.
    #[must_use]
    pub fn bases(
        &self,
        language: Language,
        package: Option<&str>,
        segments: &[impl AsRef<str>],
    ) -> Vec<Arc<BaseDef>> {
        let found = self.find(&self.bases, Some(language), package, segments);
        found
            .into_iter()
            .filter_map(|(library, number)| self.all.get(library)?.base.get(number).cloned())
            .collect()
    }

    fn find(
        &self,
        map: &HashMap<String, Vec<(usize, usize, Path)>>,
        language: Option<Language>,
        package: Option<&str>,
        segments: &[impl AsRef<str>],
    ) -> Vec<(usize, usize)> {
        // `default.Pool` is `Pool` too.
        let short = match segments {
            [first, rest @ ..] if first.as_ref() == "default" && !rest.is_empty() => rest,
            _ => segments,
        };
        let Some(defs) = segments.last().and_then(|last| map.get(last.as_ref())) else { return Vec::new() };
        let mut exact = Vec::new();
        let mut loose = Vec::new();
        for (library, number, path) in defs {
            let Some(def) = self.all.get(*library) else { continue };
            if language.is_some_and(|language| def.language.is_some_and(|name| name.language() != language)) {
                continue;
            }
            match package {
                Some(package) if def.packages.iter().any(|name| below(package, name)) => {
                    if path.matches(segments, true) || path.matches(short, true) {
                        exact.push((*library, *number));
                    }
                }
                Some(_) => {
                    if def.packages.is_empty() && path.any && path.matches(segments, false) {
                        loose.push((*library, *number));
                    }
                }
                None => {
                    // `*.query` needs a receiver, a class none; a global function must be written in full.
                    let class =
                        segments.last().is_some_and(|last| last.as_ref().starts_with(char::is_uppercase));
                    let wide = path.any && (segments.len() > 1 || class);
                    if (wide || def.packages.is_empty()) && path.matches(segments, !path.any) {
                        loose.push((*library, *number));
                    }
                }
            }
        }
        if exact.is_empty() { loose } else { exact }
    }

    /// Whether some library defines a member of this name.
    #[must_use]
    pub fn has_member(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// What a member is by the dotted path that leads to it: the longest definition wins.
    #[must_use]
    pub fn member(&self, language: Language, file: &str, segments: &[impl AsRef<str>]) -> Option<Origin> {
        let defs = segments.last().and_then(|last| self.members.get(last.as_ref()))?;
        let mut best: Option<(usize, Origin)> = None;
        for (library, number, path) in defs {
            let Some(def) = self.all.get(*library) else { continue };
            if def.language.is_some_and(|name| name.language() != language) || !path.matches(segments, false)
            {
                continue;
            }
            let Some(MemberDef { is, except, .. }) = def.member.get(*number) else { continue };
            if except.iter().any(|end| file.ends_with(end.as_str())) {
                continue;
            }
            if best.is_none_or(|(length, _)| length < path.before.len() + 1) {
                best = Some((path.before.len() + 1, *is));
            }
        }
        best.map(|(_, is)| is)
    }
}

/// Whether a specifier is a package or lies below it.
fn below(specifier: &str, package: &str) -> bool {
    specifier.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn every_built_in_file_loads() {
        Libraries::built_in().unwrap();
    }

    #[test]
    fn calls_are_found_by_package_or_by_any_receiver() {
        let mut all = Libraries::default();
        all.add(
            "pg.toml",
            "library = 'pg'\npackages = ['pg']\n[[call]]\nnames = ['Pool.query', '*.runQuery']\nrole = 'query'\nsql = '0'",
        )
        .unwrap();
        let js = Language::JavaScript;
        assert_eq!(all.calls(js, Some("pg"), &parts("Pool.query")).len(), 1);
        assert_eq!(all.calls(js, Some("pg/lib"), &parts("Pool.query")).len(), 1);
        assert_eq!(all.calls(js, Some("pgx"), &parts("Pool.query")).len(), 0);
        assert_eq!(all.calls(js, None, &parts("Pool.query")).len(), 0);
        assert_eq!(all.calls(js, None, &parts("ctx.db.runQuery")).len(), 1);
        assert_eq!(all.calls(js, None, &parts("runQuery")).len(), 0);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_file() {
        let mut all = Libraries::default();
        let error = all.add("x.toml", "library = 'x'\ncolour = 'red'").unwrap_err();
        assert!(error.to_string().contains("x.toml"));
    }
}
