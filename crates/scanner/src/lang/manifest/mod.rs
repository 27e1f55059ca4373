//! Manifests and lock files: which versions of which packages a project uses.
//!
//! Lock files say it exactly. A manifest says it only where it names one version; a range is what the next installation
//! decides.

mod javascript;
mod python;
mod version;

use std::collections::HashMap;

pub use version::is_before;

/// Where packages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Registry {
    /// npm.
    Npm,
    /// PyPI.
    PyPi,
}

/// A package that a project uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Where it comes from.
    pub registry: Registry,
    /// Its name; of Python in the form that PyPI compares.
    pub name: String,
    /// The version, if it is certain.
    pub version: Option<String>,
    /// The line, from 1.
    pub line: u32,
}

/// The dependencies that a manifest or lock file names; of development only are left out where that is said. Nothing fails: what cannot be
/// read has none, and the notice says why.
///
/// # Errors
/// The notice, when the file cannot be read.
pub fn read(path: &str, text: &str) -> Result<Vec<Dependency>, String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "package.json" => javascript::manifest(text),
        "package-lock.json" | "npm-shrinkwrap.json" => javascript::npm(text),
        "pnpm-lock.yaml" => Ok(javascript::pnpm(text)),
        "yarn.lock" => Ok(javascript::yarn(text)),
        "bun.lock" => Ok(javascript::bun(text)),
        "pyproject.toml" => python::project(text),
        "uv.lock" | "poetry.lock" | "pdm.lock" => Ok(python::locked(text)),
        "Pipfile.lock" => python::pipfile(text),
        _ if name.starts_with("requirements") => Ok(python::requirements(text)),
        _ => Ok(Vec::new()),
    }
}

/// The lines on which texts stand in quotes for the first time. A lock file has thousands of names: it is walked once for all.
struct Quoted<'n>(HashMap<&'n str, u32>);

impl<'n> Quoted<'n> {
    fn find(text: &str, names: impl Iterator<Item = &'n str>) -> Self {
        let mut lines: HashMap<&str, u32> = names.map(|name| (name, 0)).collect();
        let (mut line, mut double, mut single) = (1_u32, None, None);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'\n' => line = line.saturating_add(1),
                b'"' | b'\'' => {
                    let open = if byte == b'"' { &mut double } else { &mut single };
                    // Whatever stands between one quote and the next may be a name, also what is between two texts.
                    if let Some((from, on)) = open.replace((at + 1, line))
                        && let Some(first) = text.get(from..at).and_then(|quoted| lines.get_mut(quoted))
                        && *first == 0
                    {
                        *first = on;
                    }
                }
                _ => {}
            }
        }
        Self(lines)
    }

    /// The line of a text; the first one when it is not there.
    fn line(&self, name: &str) -> u32 {
        self.0.get(name).copied().unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests;
