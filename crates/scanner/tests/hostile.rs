//! Trees that are made to break a scanner: each ends with a document and a notice of what was not understood, never a crash.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path, sync::LazyLock};

use partywall_scanner::{Options, Scan, scan};
use proptest::prelude::*;

/// A file in which a defect is found, beside each hostile one: what is hostile must not hide it.
const LEAK: &str = "CREATE TABLE notes (id int, tenant_id uuid);\n\
     CREATE POLICY p ON notes USING (tenant_id = current_setting('app.t')::uuid);\n";

fn run(root: &Path) -> Scan {
    let mut options = Options::default();
    options.selection.targets = vec![root.to_owned()];
    scan(&options, &()).unwrap()
}

/// Scans a file beside the one with a defect, which has to be found.
fn beside_leak(name: &str, content: &[u8]) -> Scan {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("leak.sql"), LEAK).unwrap();
    fs::write(folder.path().join(name), content).unwrap();
    let scan = run(folder.path());
    let found =
        |scan: &Scan| scan.document.findings.iter().any(|finding| finding.rule == "rls-policies-inert");
    assert!(found(&scan), "{name} hides a finding of another file");
    scan
}

fn told(scan: &Scan, name: &str) -> String {
    let told: Vec<&str> = scan
        .document
        .skipped
        .iter()
        .filter(|skipped| skipped.path == name)
        .map(|skipped| skipped.reason.as_str())
        .collect();
    told.join("; ")
}

#[test]
fn a_line_of_ten_megabytes_is_told_and_not_read() {
    for name in ["a.js", "a.ts", "a.py", "a.sql"] {
        let scan = beside_leak(name, "x = 1; ".repeat(10 << 20 >> 3).as_bytes());
        assert!(!told(&scan, name).is_empty(), "{name}: {:?}", scan.document.skipped);
    }
}

#[test]
fn ten_thousand_nested_brackets_are_told_in_every_language() {
    // Each on a line of its own: one long line would be left out as minified.
    let nested = |open: &str, close: &str| {
        format!("{}1{}", format!("{open}\n").repeat(10_000), format!("\n{close}").repeat(10_000))
    };
    for (name, text) in [
        ("a.js", format!("x = {}", nested("[", "]"))),
        ("a.ts", format!("const x = {};", nested("(", ")"))),
        ("a.tsx", format!("const x = {};", nested("{a:", "}"))),
        ("a.py", format!("x = {}\n", nested("(", ")"))),
        ("b.py", format!("x = {}\n", nested("[", "]"))),
        ("package.json", nested("{\"a\":", "}")),
        ("pyproject.toml", format!("x = {}\n", nested("[", "]"))),
    ] {
        let scan = beside_leak(name, text.as_bytes());
        let told = told(&scan, name);
        assert!(told.contains("not understood"), "{name}: {told:?}");
        assert!(!told.contains("defect"), "{name}: {told:?}");
    }
}

#[test]
fn functions_that_call_each_other_from_many_places_are_followed_once() {
    // Each calls the one before at twelve places: very many ways lead to one object.
    let way = |number: usize| {
        let calls = format!(" way{}(box, value);\n", number - 1).repeat(12);
        format!("function way{number}(box, value) {{{calls} }}\n")
    };
    let ways: String = (1..=10).map(way).collect();
    let text = format!(
        "import express from 'express';\nconst app = express();\n\
         class Box {{ value; put(value) {{ this.value = value; }} get() {{ return this.value; }} }}\n\
         export const kept = new Box();\nfunction way0(box, value) {{ box.put(value); }}\n{ways}\
         app.post('/x', (req, res) => {{ const own = new Box(); way10(own, req.user.id); res.json(own.get()); }});\n"
    );
    let scan = beside_leak("a.ts", text.as_bytes());
    assert_eq!(told(&scan, "a.ts"), "");
}

#[test]
fn ten_thousand_brackets_in_a_policy_leave_the_policy_readable() {
    // The reader of migrations keeps a policy's expression as text and does not go down into it.
    let nested = format!("{}1 = 1{}", "(\n".repeat(10_000), "\n)".repeat(10_000));
    let scan = beside_leak(
        "a.sql",
        LEAK.replace("tenant_id = current_setting('app.t')::uuid", &nested)
            .replace("notes", "papers")
            .as_bytes(),
    );
    assert!(
        scan.document.findings.iter().any(|finding| finding.path == "a.sql"),
        "{:?}",
        scan.document.findings
    );
    assert!(!told(&scan, "a.sql").contains("defect"));
}

#[test]
fn bytes_that_are_no_text_are_told() {
    for name in ["a.js", "a.ts", "a.py", "a.sql", "package.json", "pyproject.toml"] {
        let scan = beside_leak(name, b"x = '\xff\xfe\x80'\n");
        assert!(!told(&scan, name).is_empty(), "{name}: {:?}", scan.document.skipped);
    }
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_and_odd_names_end() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("src");
    fs::create_dir(&inner).unwrap();
    std::os::unix::fs::symlink(folder.path(), inner.join("up")).unwrap();
    std::os::unix::fs::symlink("self.ts", inner.join("self.ts")).unwrap();
    fs::write(inner.join("..a.ts"), "export const a = 1;\n").unwrap();
    fs::write(inner.join("b..ts"), "import { a } from '../../../../../..a';\nexport const b = a;\n").unwrap();
    fs::write(folder.path().join("leak.sql"), LEAK).unwrap();
    let scan = run(folder.path());
    let rules: Vec<&str> = scan.document.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["rls-policies-inert"], "each file is read once");
    assert!(scan.document.findings.iter().all(|finding| finding.path == "leak.sql"));
}

/// The project's own examples of dangerous and safe code, with their file names.
static FIXTURES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patterns");
    let mut all: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let extension = path.extension().unwrap().to_string_lossy().into_owned();
            (format!("server.{extension}"), fs::read_to_string(&path).unwrap())
        })
        .collect();
    all.sort();
    all.push(("schema.sql".to_owned(), LEAK.repeat(4)));
    all.push((
        "package.json".to_owned(),
        r#"{"dependencies":{"@modelcontextprotocol/sdk":"1.10.0","pg":"^8"}}"#.to_owned(),
    ));
    all.push((
        "pyproject.toml".to_owned(),
        "[project]\nname = \"a\"\ndependencies = [\"mcp>=1.0\"]\n".to_owned(),
    ));
    all
});

/// One change of a text: bytes left out, written twice, or put in.
#[derive(Debug, Clone)]
enum Change {
    Cut(usize, usize),
    Double(usize, usize),
    Insert(usize, &'static str),
}

const PIECES: &[&str] = &[
    "(", ")", "[", "]", "{", "}", "`", "${", "'", "\"", "\"\"\"", "/*", "*/", "//", "#", "--", "$$", ";",
    ",", "=>", "async ", "class ", "def ", "\n", "\t", "\r", "\u{0}", "\u{feff}", "\u{202e}", "é", "🦀", "@",
    "...", "\\", "import ", "lambda ", "match ", "f\"{", "<", "/>",
];

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 1_usize..40).prop_map(|(at, length)| Change::Cut(at, length)),
        (any::<usize>(), 1_usize..40).prop_map(|(at, length)| Change::Double(at, length)),
        (any::<usize>(), proptest::sample::select(PIECES)).prop_map(|(at, piece)| Change::Insert(at, piece)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for change in changes {
        let most = chars.len();
        let place = |at: usize| at.checked_rem(most.max(1)).unwrap_or(0).min(most);
        match change {
            Change::Cut(at, length) => {
                let at = place(*at);
                chars.drain(at..at.saturating_add(*length).min(most));
            }
            Change::Double(at, length) => {
                let at = place(*at);
                let copy: Vec<char> = chars.iter().skip(at).take(*length).copied().collect();
                chars.splice(at..at, copy);
            }
            Change::Insert(at, piece) => {
                let at = place(*at);
                chars.splice(at..at, piece.chars());
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_file_meets_a_defect(number in any::<usize>(), changes in proptest::collection::vec(change(), 1..12)) {
        let (name, text) = FIXTURES.get(number.checked_rem(FIXTURES.len()).unwrap()).unwrap();
        let text = changed(text, &changes);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), &text).unwrap();
        let scan = run(folder.path());
        for skipped in &scan.document.skipped {
            prop_assert!(!skipped.reason.contains("defect"), "{}: {}\n{text}", skipped.path, skipped.reason);
        }
    }
}
