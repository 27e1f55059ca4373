//! The matrix stands in the README as the command prints it.
//!
//! `PARTYWALL_UPDATE=1 cargo test -p partywall matrix` writes it there.

use std::{fs, path::Path};

use crate::support::ok;

const BEGIN: &str = "<!-- matrix:begin";
const END: &str = "<!-- matrix:end -->";

#[test]
fn the_readme_holds_the_matrix_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let matrix = ok(&root, &["matrix"], "");
    let file = root.join("README.md");
    let text = fs::read_to_string(&file).unwrap();
    let begin = text.find(BEGIN).unwrap();
    let start = begin + text[begin..].find('\n').unwrap() + 1;
    let end = text.find(END).unwrap();
    let fresh = format!("{}\n{}\n{}", &text[..start], matrix.trim_end(), &text[end..]);
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test chooses")]
    let update = std::env::var("PARTYWALL_UPDATE").is_ok();
    if update {
        fs::write(&file, &fresh).unwrap();
    } else {
        assert!(
            text == fresh,
            "the matrix in README.md is stale; write it with: PARTYWALL_UPDATE=1 cargo test -p partywall matrix"
        );
    }
}

#[test]
fn every_cell_is_answered() {
    let matrix = ok(Path::new("."), &["matrix"], "");
    for layer in partywall_model::Layer::ALL {
        let row = matrix.lines().find(|line| line.starts_with(&format!("| {layer} "))).unwrap();
        for cell in row.trim_matches('|').split('|') {
            assert!(!cell.trim().is_empty(), "{row}");
        }
    }
}

#[test]
fn the_lab_column_counts_what_the_manifest_lists() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/manifest.toml");
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
    let servers = manifest["server"].as_array().unwrap();
    let missed = servers.iter().filter(|server| server.get("scan").is_some()).count();
    let matrix = ok(Path::new("."), &["matrix"], "");
    let after = |word: &str| -> usize {
        let cells = matrix.lines().filter_map(|line| line.trim_end_matches(['|', ' ']).rsplit('|').next());
        cells
            .filter_map(|cell| cell.split([';', ',']).find_map(|part| part.trim().strip_prefix(word)))
            .map(|count| count.parse::<usize>().unwrap())
            .sum()
    };
    assert_eq!((after("probe "), after("scan ")), (servers.len(), servers.len() - missed));
}
