//! What a name, a folder or the first lines say of a file: what it is, and whether it was written by hand for production.

use std::path::Path;

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// JavaScript, with or without JSX.
    JavaScript,
    /// TypeScript, with or without JSX.
    TypeScript,
    /// Python.
    Python,
    /// SQL: migrations, schemas, queries.
    Sql,
    /// A Prisma schema.
    Prisma,
    /// What a project depends on: a manifest or a lock file.
    Manifest,
    /// How a project is built: where imports lead.
    Settings,
    /// How a program is started: an image, services, a shell script.
    Launch,
}

/// The reason for tests.
pub(super) const TEST: &str = "is a test (--include-tests reads it)";

/// Languages that are not read, with an extension and a name.
pub(super) const OTHER_LANGUAGES: [(&str, &str); 12] = [
    ("go", "Go"),
    ("java", "Java"),
    ("kt", "Kotlin"),
    ("cs", "C#"),
    ("rs", "Rust"),
    ("rb", "Ruby"),
    ("php", "PHP"),
    ("swift", "Swift"),
    ("scala", "Scala"),
    ("ex", "Elixir"),
    ("vue", "Vue"),
    ("svelte", "Svelte"),
];

const MANIFESTS: [&str; 12] = [
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "setup.cfg",
];

impl Kind {
    /// What the file with this path is; nothing when it is not read.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if MANIFESTS.contains(&name) || (name.starts_with("requirements") && name.ends_with(".txt")) {
            return Some(Self::Manifest);
        }
        if name.ends_with(".json") && (name.starts_with("tsconfig") || name.starts_with("jsconfig")) {
            return Some(Self::Settings);
        }
        if matches!(name, "pnpm-workspace.yaml" | "deno.json" | "deno.jsonc" | "import_map.json") {
            return Some(Self::Settings);
        }
        if matches!(name, "Dockerfile" | "Containerfile" | "Procfile") || name.starts_with("Dockerfile.") {
            return Some(Self::Launch);
        }
        let (stem, extension) = name.rsplit_once('.')?;
        match extension {
            _ if stem.is_empty() => None,
            "Dockerfile" | "dockerfile" | "sh" => Some(Self::Launch),
            "yml" | "yaml" if stem.starts_with("docker-compose") || stem.starts_with("compose") => {
                Some(Self::Launch)
            }
            "js" | "mjs" | "cjs" | "jsx" => Some(Self::JavaScript),
            "ts" | "mts" | "cts" | "tsx" => Some(Self::TypeScript),
            "py" => Some(Self::Python),
            "sql" => Some(Self::Sql),
            "prisma" => Some(Self::Prisma),
            _ => None,
        }
    }

    /// Whether it is a program.
    #[must_use]
    pub const fn is_code(self) -> bool {
        matches!(self, Self::JavaScript | Self::TypeScript | Self::Python)
    }

    /// Whether it says something of a program itself: one, or its tables. The others say how it is built and started.
    #[must_use]
    pub const fn is_source(self) -> bool {
        self.is_code() || matches!(self, Self::Sql | Self::Prisma)
    }
}

/// The reason for what a build has made.
pub(super) const BUILT: &str = "is build output";

/// Folders of version control, which are no part of the tree.
pub(super) fn is_history(name: &str) -> bool {
    matches!(name, ".git" | ".hg" | ".svn" | ".jj")
}

/// Whether a folder is one that a build fills and that can be what a package ships.
pub(super) fn can_be_shipped(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("dist" | "build" | "out" | "target" | "esm" | "cjs"))
}

/// Whether a program says how another is built, checked or tested: `eslint.config.js`.
pub(super) fn is_settings(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.ends_with(".config") || matches!(stem, "setup" | "gulpfile" | "Gruntfile")
}

/// The reason why a folder is not looked into: what is in it was not written for this project, or not by hand.
/// `path` is below the target, `disk` is where it is.
pub(super) fn folder(path: &str, disk: &Path) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "node_modules" | "bower_components" | "jspm_packages" | "site-packages" | "vendor"
        | "third_party" | "third-party" | ".yarn" | ".pnpm-store" => Some("holds dependencies"),
        "__pycache__" | ".venv" | "venv" | ".tox" | ".nox" | ".mypy_cache" | ".ruff_cache"
        | ".pytest_cache" => Some("is an environment of Python"),
        "coverage" | "htmlcov" | ".nyc_output" | ".next" | ".nuxt" | ".svelte-kit" | ".turbo"
        | ".wrangler" | ".vercel" | ".output" | ".parcel-cache" | ".open-next" | ".netlify" | ".amplify"
        | ".astro" | ".docusaurus" | ".vinxi" | ".sst" => Some(BUILT),
        ".github" | ".gitlab" | ".circleci" | ".husky" | ".changeset" | ".vscode" | ".idea" | ".zed"
        | ".devcontainer" | ".storybook" | ".claude" | ".cursor" | ".gemini" | ".codex" | ".agents"
        | ".windsurf" | ".cache" | ".npm" | ".direnv" | ".terraform" | ".eggs" => {
            Some("holds what a tool keeps")
        }
        name if can_be_shipped(name) && beside_a_manifest(disk) => Some(BUILT),
        _ => None,
    }
}

/// Whether a manifest lies beside a folder. Elsewhere `build` or `target` may be what the program is about.
fn beside_a_manifest(disk: &Path) -> bool {
    disk.parent().is_some_and(|parent| {
        ["package.json", "pyproject.toml", "setup.py", "Cargo.toml", "pom.xml"]
            .iter()
            .any(|name| parent.join(name).is_file())
    })
}

/// The reason why a file is not read, by its name.
pub(super) fn file(path: &str, kind: Kind) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.starts_with('.') {
        return Some("is hidden, as settings of tools are");
    }
    if !kind.is_code() {
        return None;
    }
    if [".d.ts", ".d.mts", ".d.cts"].iter().any(|end| name.ends_with(end)) {
        return Some("holds declarations only");
    }
    let inner = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if inner.ends_with(".min") || inner.ends_with("-min") || inner.ends_with(".bundle") {
        return Some("is minified");
    }
    let python_stubs = ["_pb2", "_pb2_grpc"];
    if inner.ends_with(".pb") || inner.ends_with("_pb") || python_stubs.iter().any(|end| inner.ends_with(end))
    {
        return Some("is generated");
    }
    let stories = [".stories", ".story"];
    if stories.iter().any(|end| inner.ends_with(end)) {
        return Some(TEST);
    }
    None
}

/// Whether a folder holds tests by its name.
pub(super) fn is_test_folder(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(
        name,
        "test"
            | "tests"
            | "__tests__"
            | "__mocks__"
            | "spec"
            | "specs"
            | "e2e"
            | "testdata"
            | "test-data"
            | "__fixtures__"
            | "fixtures"
            | "integration-tests"
            | "integration_tests"
            | "unit-tests"
            | "unit_tests"
            | "e2e-tests"
            | "cypress"
            | "playwright"
    )
}

/// Whether a program is a test by its name.
pub(super) fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let in_folder = path.rsplit_once('/').is_some_and(|(folders, _)| folders.split('/').any(is_test_folder));
    in_folder
        || [".test", ".spec", ".e2e", ".cy", ".bench", ".mock"].iter().any(|end| stem.ends_with(end))
        || (name.ends_with(".py")
            && (stem.starts_with("test_")
                || stem.ends_with("_test")
                // Django's own place for them, beside `models.py`.
                || matches!(stem, "tests" | "conftest")))
}

/// The name of the language of a file that no front end reads.
pub(super) fn other_language(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    OTHER_LANGUAGES.iter().find(|(other, _)| *other == extension).map(|(_, name)| *name)
}

/// Whether a name is that of an archive.
pub(super) fn is_archive(path: &str) -> bool {
    let name = path.to_ascii_lowercase();
    [
        ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".whl", ".jar", ".vsix", ".dxt",
        ".mcpb",
    ]
    .iter()
    .any(|end| name.ends_with(end))
}

/// The reason why a text was not written by hand, by its first lines and its longest line.
pub(super) fn made_by_a_program(text: &str) -> Option<&'static str> {
    let lines = text.lines().take(12).map(|line| line.get(..200).unwrap_or(line));
    let mut head = lines.take_while(|line| line.len() <= 2_000);
    let comment = |line: &str| {
        let line = line.trim_start();
        ["//", "/*", "*", "#", "\"\"\""].iter().any(|mark| line.starts_with(mark))
    };
    let marked = head.any(|line| {
        if !comment(line) {
            return false;
        }
        let line = line.to_ascii_lowercase();
        line.contains("@generated")
            || line.contains("do not edit")
            || (line.contains("generated by")
                && (line.contains("automatically")
                    || line.contains("auto-generated")
                    || line.contains("autogenerated")))
    });
    if marked {
        return Some("is generated");
    }
    // Most files are too short for either.
    if text.len() > super::LONGEST_LINE && text.lines().any(|line| line.len() > super::LONGEST_LINE) {
        return Some("has a line that is longer than 100,000 bytes");
    }
    // Minified without saying so: lines that nobody writes, and few of them.
    (text.len() > 20_000 && text.len() / crate::run::lines(text).max(1) > 400).then_some("is minified")
}
