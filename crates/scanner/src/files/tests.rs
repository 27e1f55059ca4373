//! Which files are read of trees of every kind, hostile ones too.

use std::{fs, path::Path};

use super::*;

fn put(root: &Path, path: &str, text: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn select(root: &Path) -> Listing {
    list(&Selection { targets: vec![root.to_owned()], ..Selection::default() }).unwrap()
}

fn read(listing: &Listing) -> Vec<&str> {
    listing.files.iter().map(|file| file.path.as_str()).collect()
}

fn reason<'a>(listing: &'a Listing, path: &str) -> &'a str {
    listing.skipped.iter().find(|skipped| skipped.path == path).map_or("", |skipped| skipped.reason.as_str())
}

#[test]
fn what_was_written_for_the_project_is_read_and_the_rest_has_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for path in [
        "src/a.ts",
        "src/build/b.py",
        "examples/server/c.js",
        "package.json",
        "schema.prisma",
        "m/1.sql",
        "tsconfig.json",
        "Dockerfile",
        "deploy/compose.prod.yaml",
        "values.yaml",
        "src/a.test.ts",
        "tests/d.py",
        "test_e.py",
        "shop/tests.py",
        "node_modules/x/i.js",
        "dist/a.js",
        "src/f.d.ts",
        "src/g.min.js",
        "vendor/h.js",
        "svc/main.go",
        "svc/other.go",
        "README.md",
        "ignored/k.ts",
        ".well-known/l.ts",
        ".github/m.js",
        "portal/.open-next/cloudflare/init.js",
        ".git/n.ts",
        ".eslintrc.js",
    ] {
        put(root, path, b"let a = 1\n");
    }
    put(root, ".gitignore", b"ignored/\n");
    let listing = select(root);
    assert_eq!(
        read(&listing),
        [
            ".well-known/l.ts",
            "Dockerfile",
            "deploy/compose.prod.yaml",
            "examples/server/c.js",
            "m/1.sql",
            "package.json",
            "schema.prisma",
            "src/a.ts",
            "src/build/b.py",
            "tsconfig.json"
        ]
    );
    assert_eq!(reason(&listing, "src/a.test.ts"), names::TEST);
    assert_eq!(reason(&listing, "tests/"), names::TEST);
    assert_eq!(reason(&listing, "node_modules/"), "holds dependencies");
    assert_eq!(reason(&listing, "dist/"), "is build output");
    assert_eq!(reason(&listing, "src/g.min.js"), "is minified");
    assert_eq!(reason(&listing, "*.go"), "2 files: there is no front end for Go");
    assert_eq!(reason(&listing, "README.md"), "");
    assert_eq!(reason(&listing, ".github/"), "holds what a tool keeps");
    assert_eq!(reason(&listing, "portal/.open-next/"), "is build output");
    assert_eq!(reason(&listing, ".eslintrc.js"), "is hidden, as settings of tools are");
    assert_eq!(reason(&listing, ".git/"), "");
    assert_eq!(
        listing.notes,
        ["1 source file is named by .gitignore and not read: ignored/k.ts; name a file to read it"]
    );
    let all =
        list(&Selection { targets: vec![root.to_owned()], include_tests: true, ..Selection::default() })
            .unwrap();
    assert!(read(&all).contains(&"src/a.test.ts") && read(&all).contains(&"tests/d.py"));
}

#[test]
fn a_file_that_is_named_is_read_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "dist/a.test.js", b"let a = 1\n");
    let target = folder.path().join("dist/a.test.js");
    let listing =
        list(&Selection { targets: vec![target, folder.path().to_owned()], ..Selection::default() }).unwrap();
    assert_eq!(listing.files.len(), 1);
}

#[test]
fn archives_and_what_is_not_there_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "repository.zip", b"PK\x03\x04../../etc/passwd");
    for (name, says) in [("repository.zip", "unpack it"), ("gone", "name a folder")] {
        let target = folder.path().join(name);
        let error =
            list(&Selection { targets: vec![target], ..Selection::default() }).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(name), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_not_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), "secret.ts", b"let a = 1\n");
    put(folder.path(), "a.ts", b"let a = 1\n");
    symlink(folder.path(), folder.path().join("loop")).unwrap();
    symlink(outside.path().join("secret.ts"), folder.path().join("link.ts")).unwrap();
    symlink("/nowhere", folder.path().join("broken.py")).unwrap();
    let listing = select(folder.path());
    assert_eq!(read(&listing), ["a.ts"]);
    assert!(reason(&listing, "link.ts").contains("links are not followed"));
    assert!(reason(&listing, "broken.py").contains("links are not followed"));
}

#[test]
fn what_is_no_text_or_not_written_by_hand_gives_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    let long = [b"let a = \"".as_slice(), &vec![b'x'; 1_000_000], b"\"\n"].concat();
    for (path, text, says) in [
        ("a.ts", b"let a = '\xff\xfe'\n".as_slice(), "is no UTF-8 from byte 9 on"),
        ("b.ts", b"// Code generated by a program. DO NOT EDIT.\nlet a = 1\n", "is generated"),
        ("c.ts", &long, "has a line that is longer"),
    ] {
        put(folder.path(), path, text);
        let listing = select(folder.path());
        let file = listing.files.iter().find(|file| file.path == path).unwrap();
        let skipped = file.read().unwrap_err();
        assert!(skipped.reason.starts_with(says), "{path}: {}", skipped.reason);
    }
    put(folder.path(), "d.ts", "\u{feff}let a = 1 // do not edit by hand\n".as_bytes());
    put(folder.path(), "e.ts", &vec![b'x'; 6 * 1024 * 1024]);
    let listing = select(folder.path());
    let file = listing.files.iter().find(|file| file.path == "d.ts").unwrap();
    assert_eq!(file.read().unwrap(), "let a = 1 // do not edit by hand\n");
    assert_eq!(reason(&listing, "e.ts"), "is larger than 5 MiB");
}

#[test]
fn a_file_that_vanishes_gives_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.ts", b"let a = 1\n");
    let listing = select(folder.path());
    fs::remove_file(folder.path().join("a.ts")).unwrap();
    assert!(listing.files[0].read().unwrap_err().reason.starts_with("cannot be read"));
}

#[test]
fn what_stands_above_a_repository_says_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), ".gitignore", b"*\n");
    put(folder.path(), "project/.git/HEAD", b"ref: refs/heads/main\n");
    put(folder.path(), "project/.ignore", b"*.ts\n");
    put(folder.path(), "project/src/a.ts", b"let a = 1\n");
    put(folder.path(), "plain/a.ts", b"let a = 1\n");
    for (root, path) in [("project", "src/a.ts"), ("plain", "a.ts")] {
        assert_eq!(read(&select(&folder.path().join(root))), [path]);
    }
}

#[test]
fn a_package_that_ships_only_what_was_built_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for path in
        ["a/package.json", "a/dist/a.js", "a/eslint.config.js", "b/package.json", "b/dist/b.js", "b/src/b.ts"]
    {
        put(folder.path(), path, b"let a = 1\n");
    }
    let listing = select(folder.path());
    let read = read(&listing);
    assert!(read.contains(&"a/dist/a.js") && !read.contains(&"b/dist/b.js"), "{read:?}");
    assert_eq!(listing.notes, ["a/dist/ is build output and was read: its package holds no other program"]);
    assert_eq!((reason(&listing, "a/dist/"), reason(&listing, "b/dist/")), ("", "is build output"));
    let named = select(&folder.path().join("b/dist"));
    assert_eq!(named.files.len(), 1);
}

#[test]
fn a_file_is_read_once_however_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "src/a.ts", b"let a = 1\n");
    let targets = ["", "src", "src/../src", "src/a.ts"].map(|path| folder.path().join(path)).to_vec();
    let listing = list(&Selection { targets, ..Selection::default() }).unwrap();
    assert_eq!(listing.files.len(), 1, "{:?}", listing.files);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("x.ts");
    let _listener = std::os::unix::net::UnixListener::bind(&at).unwrap();
    let error = list(&Selection { targets: vec![at], ..Selection::default() }).unwrap_err().to_string();
    assert!(error.contains("is no ordinary file"), "{error}");
}

#[test]
fn what_somebody_leaves_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["src/a.ts", "src/b.gen.ts", "examples/one/c.ts", "src/examples.ts"] {
        put(folder.path(), path, b"x");
    }
    let listed = |exclude: &[&str]| {
        let exclude = exclude.iter().map(|pattern| (*pattern).to_owned()).collect();
        list(&Selection { targets: vec![folder.path().to_owned()], exclude, ..Selection::default() })
    };
    let listing = listed(&["examples/", "*.gen.ts"]).unwrap();
    let read: Vec<_> = listing.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(read, ["src/a.ts", "src/examples.ts"]);
    let told: Vec<_> = listing.skipped.iter().map(|one| (one.path.as_str(), one.reason.as_str())).collect();
    assert_eq!(told, [("examples/", EXCLUDED), ("src/b.gen.ts", EXCLUDED)]);
    assert_eq!(
        listing.notes,
        ["2 files and folders left out by --exclude: what stands there was not looked at"]
    );
    // The later pattern takes back what an earlier one says.
    assert_eq!(listed(&["*.ts", "!a.ts"]).unwrap().files.len(), 1);
    let error = listed(&["a{"]).unwrap_err().to_string();
    assert!(error.starts_with("--exclude: ") && error.contains("a{"), "{error}");
}
