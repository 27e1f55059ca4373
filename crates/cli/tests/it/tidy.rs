//! The habits that a reader relies on.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["crates", "examples", "xtask"] {
        sources(&root.join(folder), &mut found);
    }
    assert!(found.len() > 50);
    found
}

#[test]
fn every_module_says_what_it_is() {
    for path in all() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} opens without //!", path.display());
    }
}

#[test]
fn no_file_is_too_long() {
    for path in all() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 650, "{} has {lines} lines; split it by subject", path.display());
    }
}

#[test]
fn every_layer_has_a_page_with_its_promise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../layers");
    for layer in partywall_model::Layer::ALL {
        let page = fs::read_to_string(root.join(format!("{layer}.md"))).unwrap();
        assert!(page.contains(layer.promise()), "layers/{layer}.md lacks the promise");
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages: Vec<PathBuf> = Vec::new();
    for folder in [".", "docs", "layers", "examples"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let mut checked = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            checked += 1;
            assert!(page.parent().unwrap().join(target).exists(), "{}: no {target}", page.display());
        }
    }
    assert!(checked > 20);
}
